//! The keys of a rule that runs a program.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::accounts::id;
use crate::pattern;
use crate::show::show;

use super::read::{Reader, Table, Value};
use super::{CAPABILITIES, Directory, Extra, Run, Supplementary, Target, TargetGroup, is_variable};

impl Reader<'_> {
    pub(super) fn run(&mut self, table: &Table<'_>, at: usize) -> Option<Run> {
        let Some(program) = table.get("program") else {
            self.fault(at, "`program` is missing".to_owned());
            return None;
        };
        let path = self.text(program, "program")?;
        if !is_plain_path(&path) || path == "/" {
            self.fault(
                program.span().start,
                "`program` must be an absolute path without `.`, `..` and `//`".to_owned(),
            );
        }
        let arguments = match table.get("arguments") {
            None => Vec::new(),
            Some(value) => self.texts(value, "arguments")?,
        };
        let extra = match table.get("extra-arguments") {
            None => Extra::default(),
            Some(value) => self.extra(value)?,
        };
        let user = match table.get("user") {
            None => Target::Id(0),
            Some(value) => match self.account(value, "user")? {
                Account::Word("caller") => Target::Caller,
                Account::Id(id) => Target::Id(id),
                Account::Name(name) => Target::Name(name),
                Account::Word(_) => return None,
            },
        };
        let group = match table.get("group") {
            None => TargetGroup::Primary,
            Some(value) => match self.account(value, "group")? {
                Account::Word("caller") => TargetGroup::Caller,
                Account::Word(_) => TargetGroup::Primary,
                Account::Id(id) => TargetGroup::Id(id),
                Account::Name(name) => TargetGroup::Name(name),
            },
        };
        if matches!(user, Target::Id(_))
            && table.get("group").is_none()
            && !matches!(user, Target::Id(0))
        {
            self.fault(
                at,
                "with a number as `user`, `group` must be said".to_owned(),
            );
        }
        let supplementary = match table.get("supplementary-groups") {
            None => Supplementary::None,
            Some(value) => match value.get_ref() {
                DeValue::Array(_) => {
                    Supplementary::List(self.texts(value, "supplementary-groups")?)
                }
                _ => self.word(
                    value,
                    "supplementary-groups",
                    &[
                        ("none", Supplementary::None),
                        ("target", Supplementary::Target),
                    ],
                )?,
            },
        };
        Some(Run {
            program: path,
            arguments,
            extra,
            user,
            group,
            supplementary,
            capabilities: self.capabilities(table)?,
            directory: self.directory(table)?,
            umask: self.umask(table)?,
            keep: self.keep(table)?,
            set: self.set(table)?,
        })
    }

    fn directory(&mut self, table: &Table<'_>) -> Option<Directory> {
        let Some(value) = table.get("directory") else {
            return Some(Directory::Path("/".to_owned()));
        };
        Some(match self.text(value, "directory")?.as_str() {
            "caller" => Directory::Caller,
            "~" => Directory::Home,
            path if is_plain_path(path) => Directory::Path(path.to_owned()),
            _ => {
                self.fault(
                    value.span().start,
                    "`directory` is an absolute path, \"~\" (the target user's home) or \"caller\" (where the caller is)".to_owned(),
                );
                return None;
            }
        })
    }

    fn capabilities(&mut self, table: &Table<'_>) -> Option<Vec<u32>> {
        let Some(value) = table.get("capabilities") else {
            return Some(Vec::new());
        };
        let mut numbers = Vec::new();
        for name in self.texts(value, "capabilities")? {
            let plain = name.to_ascii_lowercase().replace('-', "_");
            let plain = plain.strip_prefix("cap_").unwrap_or(&plain);
            match CAPABILITIES.iter().position(|known| *known == plain) {
                Some(number) => numbers.push(u32::try_from(number).unwrap_or(0)),
                None => self.fault(
                    value.span().start,
                    format!("`{}` is no capability (capabilities(7))", show(&name)),
                ),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Some(numbers)
    }

    fn umask(&mut self, table: &Table<'_>) -> Option<u32> {
        let Some(value) = table.get("umask") else {
            return Some(0o022);
        };
        let text = self.text(value, "umask")?;
        let octal = text.len() <= 4
            && !text.is_empty()
            && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mask = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        if mask.is_none_or(|mask| mask > 0o777) {
            self.fault(
                value.span().start,
                "`umask` is octal text such as \"0022\"".to_owned(),
            );
            return None;
        }
        mask
    }

    fn keep(&mut self, table: &Table<'_>) -> Option<Vec<String>> {
        let Some(value) = table.get("keep-environment") else {
            return Some(Vec::new());
        };
        let names = self.texts(value, "keep-environment")?;
        for name in &names {
            let plain = name.strip_suffix('*').unwrap_or(name);
            if !is_variable(plain) {
                self.fault(
                    value.span().start,
                    format!("`{}` is no variable's name", show(name)),
                );
            } else if crate::environment::is_dangerous(plain)
                || (plain != name && crate::environment::may_be_dangerous(plain))
            {
                self.fault(
                    value.span().start,
                    format!("`{name}` makes programs run or load what the caller wants, and cannot be kept"),
                );
            }
        }
        Some(names)
    }

    fn set(&mut self, table: &Table<'_>) -> Option<BTreeMap<String, String>> {
        let Some(value) = table.get("environment") else {
            return Some(BTreeMap::new());
        };
        let mut all = BTreeMap::new();
        for (name, value) in self.table(value, "environment")? {
            if !is_variable(name.get_ref()) {
                self.fault(
                    name.span().start,
                    format!("`{}` is no variable's name", show(name.get_ref())),
                );
                continue;
            }
            if let Some(text) = self.text(value, "environment") {
                all.insert(name.get_ref().to_string(), text);
            }
        }
        Some(all)
    }

    fn extra(&mut self, value: &Value<'_>) -> Option<Extra> {
        let mut extra = Extra::default();
        let table = self.table(value, "extra-arguments")?;
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "min" => extra.min = self.count(value, "min")?,
                "max" => extra.max = self.count(value, "max")?,
                "options" => match value.get_ref() {
                    DeValue::Boolean(yes) => extra.options = *yes,
                    _ => self.fault(value.span().start, "`options` is true or false".to_owned()),
                },
                "patterns" => {
                    extra.patterns = self.texts(value, "patterns")?;
                    if let Some(wrong) = extra.patterns.iter().find(|text| !pattern::is_valid(text.as_bytes())) {
                        let message = format!("`{}` is no pattern: a `[` is not closed, or a `\\` is last", show(wrong));
                        self.fault(value.span().start, message);
                    }
                }
                other => self.fault(
                    key.span().start,
                    format!("unknown key `{}`: `extra-arguments` has `min`, `max`, `patterns`, `options`", show(other)),
                ),
            }
        }
        if table.get("max").is_none() {
            self.fault(
                value.span().start,
                "`extra-arguments` needs `max`".to_owned(),
            );
        } else if extra.min > extra.max {
            self.fault(value.span().start, "`min` is more than `max`".to_owned());
        }
        Some(extra)
    }

    fn account(&mut self, value: &Value<'_>, key: &str) -> Option<Account> {
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            _ => None,
        };
        let text = match number {
            Some(number) => number,
            None => self.text(value, key)?,
        };
        match text.as_str() {
            "caller" => return Some(Account::Word("caller")),
            "primary" if key == "group" => return Some(Account::Word("primary")),
            _ => {}
        }
        if let Some(id) = id(&text) {
            return Some(Account::Id(id));
        }
        if is_account(&text) {
            return Some(Account::Name(text));
        }
        self.fault(
            value.span().start,
            format!(
                "`{}` is neither a name nor a number of a {key}",
                show(&text)
            ),
        );
        None
    }
}

enum Account {
    Word(&'static str),
    Id(u32),
    Name(String),
}

/// Whether it can be an account's name: what useradd(8) makes, and dots.
pub(super) fn is_account(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.$@\\+".contains(&byte))
}

/// An absolute path that says what it means.
fn is_plain_path(path: &str) -> bool {
    path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}
