//! One file's rules from its text. Every fault is told, with its place.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::accounts::id;
use crate::show::show;

use super::run::is_account;
use super::{ANY, Action, Fault, KEYS, RUN_KEYS, Rule, Who, is_name};

pub(super) type Table<'a> = DeTable<'a>;
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// Reads one file's rules.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(file: &str, text: &str) -> Result<Vec<Rule>, Vec<Fault>> {
    let mut reader = Reader {
        file,
        text,
        faults: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, error.message().to_owned());
            return Err(reader.faults);
        }
    };
    let mut rules = Vec::new();
    for (key, value) in table.get_ref() {
        if key.get_ref() != "rule" {
            reader.fault(
                key.span().start,
                format!(
                    "unknown table `{}`: rules are tables [rule.NAME]",
                    show(key.get_ref())
                ),
            );
            continue;
        }
        let Some(named) = reader.table(value, "rule") else {
            continue;
        };
        for (name, body) in named {
            if let Some(rule) = reader.rule(name, body) {
                rules.push(rule);
            }
        }
    }
    if rules.is_empty() && reader.faults.is_empty() {
        reader.fault(0, "the file has no rule".to_owned());
    }
    if reader.faults.is_empty() {
        Ok(rules)
    } else {
        Err(reader.faults)
    }
}

pub(super) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    pub(super) fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }

    pub(super) fn fault(&mut self, at: usize, message: String) {
        let place = self.place(at);
        self.faults.push(Fault { place, message });
    }

    pub(super) fn table<'v, 'a>(
        &mut self,
        value: &'v Value<'a>,
        key: &str,
    ) -> Option<&'v Table<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.fault(value.span().start, format!("`{key}` must be a table"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                self.fault(value.span().start, format!("`{key}` contains a NUL"));
                None
            }
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.fault(value.span().start, format!("`{key}` must be a string"));
                None
            }
        }
    }

    pub(super) fn texts(&mut self, value: &Value<'_>, key: &str) -> Option<Vec<String>> {
        let DeValue::Array(array) = value.get_ref() else {
            self.fault(
                value.span().start,
                format!("`{key}` must be a list of strings"),
            );
            return None;
        };
        array.iter().map(|item| self.text(item, key)).collect()
    }

    pub(super) fn word<T: Clone>(
        &mut self,
        value: &Value<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(value, key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let names: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            self.fault(
                value.span().start,
                format!("`{key}` is {}, not `{}`", names.join(" or "), show(&text)),
            );
        }
        found.map(|(_, value)| value.clone())
    }

    pub(super) fn count(&mut self, value: &Value<'_>, key: &str) -> Option<usize> {
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::String(text) if text == "any" => Some(ANY),
            _ => None,
        };
        let number = number.filter(|number| *number <= ANY);
        if number.is_none() {
            self.fault(
                value.span().start,
                format!("`{key}` must be a number from 0 to {ANY}, or \"any\""),
            );
        }
        number
    }

    pub(super) fn rule(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        body: &Value<'_>,
    ) -> Option<Rule> {
        let before = self.faults.len();
        let at = name.span().start;
        if !is_name(name.get_ref()) {
            self.fault(
                at,
                format!(
                    "`{}` cannot be a rule's name: letters, digits, `_`, `-` and `.`, at most 64, not beginning with `-` or `.`",
                    show(name.get_ref())
                ),
            );
        }
        let table = self.table(body, name.get_ref())?;
        for (key, _) in table {
            if !KEYS.contains(&key.get_ref().as_ref()) {
                self.fault(
                    key.span().start,
                    format!("unknown key `{}`", show(key.get_ref())),
                );
            }
        }
        let who = self.who(table, at);
        let action = match table.get("action") {
            None => Some(false),
            Some(value) => self.word(value, "action", &[("run", false), ("limit-caller", true)]),
        };
        let action = match action {
            Some(true) => self.limit_caller(table),
            Some(false) => self.run(table, at).map(|run| Action::Run(Box::new(run))),
            None => None,
        };
        let profile = table.get("profile").and_then(|value| {
            let name = self.text(value, "profile")?;
            if is_name(&name) {
                return Some(name);
            }
            self.fault(
                value.span().start,
                "`profile` must be the name of a profile in a system directory, not a path"
                    .to_owned(),
            );
            None
        });
        let limits = table
            .get("limits")
            .map_or_else(BTreeMap::new, |value| self.limits(value));
        if matches!(action, Some(Action::LimitCaller)) && profile.is_none() && limits.is_empty() {
            self.fault(
                at,
                "a rule that limits its caller needs `limits` or `profile`".to_owned(),
            );
        }
        let must_log = table.get("log").map_or(Some(true), |value| {
            self.word(value, "log", &[("required", true), ("best-effort", false)])
        });
        let description = table
            .get("description")
            .map_or(Some(String::new()), |value| self.text(value, "description"));
        if self.faults.len() > before {
            return None;
        }
        Some(Rule {
            name: name.get_ref().to_string(),
            place: self.place(at),
            description: description?,
            who,
            action: action?,
            profile,
            limits,
            must_log: must_log?,
        })
    }

    pub(super) fn who(&mut self, table: &Table<'_>, at: usize) -> Who {
        let mut list = |key: &str, everybody: bool| {
            let Some(value) = table.get(key) else {
                return Vec::new();
            };
            let names = self.texts(value, key).unwrap_or_default();
            for name in &names {
                let number = name.bytes().all(|byte| byte.is_ascii_digit());
                let right = (everybody && name == "*")
                    || if number {
                        id(name).is_some()
                    } else {
                        is_account(name)
                    };
                if !right {
                    self.fault(
                        value.span().start,
                        format!("`{}` in `{key}` is neither a name nor a number", show(name)),
                    );
                }
            }
            names
        };
        let who = Who {
            users: list("users", true),
            groups: list("groups", false),
            except_users: list("except-users", false),
            except_groups: list("except-groups", false),
        };
        if who.users.is_empty() && who.groups.is_empty() {
            self.fault(at, "nobody may use this rule: `users` or `groups` must name somebody (\"*\" in `users` is everybody)".to_owned());
        }
        who
    }

    pub(super) fn limit_caller(&mut self, table: &Table<'_>) -> Option<Action> {
        for (key, _) in table {
            if RUN_KEYS.contains(&key.get_ref().as_ref()) {
                self.fault(
                    key.span().start,
                    format!(
                        "`{}` has no meaning with action = \"limit-caller\"",
                        key.get_ref()
                    ),
                );
            }
        }
        Some(Action::LimitCaller)
    }

    pub(super) fn limits(&mut self, value: &Value<'_>) -> BTreeMap<String, String> {
        let Some(table) = self.table(value, "limits") else {
            return BTreeMap::new();
        };
        let mut limits = BTreeMap::new();
        for (key, value) in table {
            let text = match value.get_ref() {
                DeValue::String(text)
                    if text
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"%.,-_:".contains(&byte)) =>
                {
                    Some(format!("\"{text}\""))
                }
                DeValue::Integer(number) if number.radix() == 10 => {
                    Some(number.as_str().to_owned())
                }
                DeValue::Boolean(yes) => Some(yes.to_string()),
                _ => None,
            };
            match text {
                Some(text) if is_name(key.get_ref()) => {
                    limits.insert(key.get_ref().to_string(), text);
                }
                _ => self.fault(
                    value.span().start,
                    format!("`limits.{}` must be a number, a word or a size, as in [limits] of a profile; what is more goes into a profile", show(key.get_ref())),
                ),
            }
        }
        limits
    }
}
