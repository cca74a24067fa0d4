//! Rules, and their text: `[rule.NAME]` tables of files below [`RULES`](crate::RULES).
//!
//! Anything that is not understood is a fault, and one fault anywhere makes all rules unusable: a misread rule gives
//! away what the administrator did not mean to give.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::accounts::id;
use crate::pattern;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, by which it is called.
    pub name: String,
    /// The file and line that it stands in.
    pub place: String,
    /// For people.
    pub description: String,
    /// Who may use it.
    pub who: Who,
    /// What it does.
    pub action: Action,
    /// A profile from the system's directories.
    pub profile: Option<String>,
    /// Limits, as `[limits]` of a profile has them: the value is TOML.
    pub limits: BTreeMap<String, String>,
    /// Whether it is refused when it cannot be logged.
    pub must_log: bool,
}

/// Who may use a rule: who is named by `users` or `groups`, and not by an exception.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Names or numbers of users; `*` is everybody.
    pub users: Vec<String>,
    /// Names or numbers of groups.
    pub groups: Vec<String>,
    /// Not these, even if named above.
    pub except_users: Vec<String>,
    /// Not members of these.
    pub except_groups: Vec<String>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a fixed program.
    Run(Box<Run>),
    /// Put the process that called us (a shell, mostly) under the rule's limits.
    LimitCaller,
}

/// A program, and as whom it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Absolute path.
    pub program: String,
    /// Fixed arguments, without argument 0.
    pub arguments: Vec<String>,
    /// What the caller may add.
    pub extra: Extra,
    /// The target user.
    pub user: Target,
    /// The target group.
    pub group: TargetGroup,
    /// Supplementary groups.
    pub supplementary: Supplementary,
    /// Capabilities that a target other than root keeps, by their numbers.
    pub capabilities: Vec<u32>,
    /// The working directory.
    pub directory: Directory,
    /// The umask.
    pub umask: u32,
    /// Names of variables that the caller's values are kept of; `LC_*` is a prefix.
    pub keep: Vec<String>,
    /// Variables with fixed values.
    pub set: BTreeMap<String, String>,
}

/// Arguments that the caller may add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// At least so many.
    pub min: usize,
    /// At most so many.
    pub max: usize,
    /// Each must match one of these; any may be given if there are none.
    pub patterns: Vec<String>,
    /// Whether an argument may begin with `-` where no pattern says so.
    pub options: bool,
}

/// As which user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The caller itself.
    Caller,
    /// A name.
    Name(String),
    /// A number.
    Id(u32),
}

/// With which group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetGroup {
    /// The primary group of the target user.
    Primary,
    /// The caller's.
    Caller,
    /// A name.
    Name(String),
    /// A number.
    Id(u32),
}

/// With which further groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supplementary {
    /// None.
    None,
    /// Those of the target user.
    Target,
    /// These.
    List(Vec<String>),
}

/// Where the program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Where the caller is.
    Caller,
    /// The target user's home.
    Home,
    /// A path.
    Path(String),
}

/// What is wrong with a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `file:line:column`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// Most extra arguments that `"any"` stands for.
pub const ANY: usize = 4096;
/// Keys that a rule can have.
pub const KEYS: &[&str] = &[
    "action",
    "arguments",
    "capabilities",
    "description",
    "directory",
    "environment",
    "except-groups",
    "except-users",
    "extra-arguments",
    "group",
    "groups",
    "keep-environment",
    "limits",
    "log",
    "profile",
    "program",
    "supplementary-groups",
    "umask",
    "user",
    "users",
];
/// Keys that only a rule with `action = "run"` can have.
const RUN_KEYS: &[&str] = &[
    "arguments",
    "capabilities",
    "directory",
    "environment",
    "extra-arguments",
    "group",
    "keep-environment",
    "program",
    "supplementary-groups",
    "umask",
    "user",
];

/// Names of capabilities, each at its number (linux/capability.h).
pub const CAPABILITIES: &[&str] = &[
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

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

/// All files' rules together.
///
/// # Errors
/// Two rules of one name.
pub fn join(files: Vec<Vec<Rule>>) -> Result<BTreeMap<String, Rule>, Vec<Fault>> {
    let mut all: BTreeMap<String, Rule> = BTreeMap::new();
    let mut faults = Vec::new();
    for rule in files.into_iter().flatten() {
        if let Some(first) = all.get(&rule.name) {
            faults.push(Fault {
                place: rule.place.clone(),
                message: format!("the rule `{}` is at {} already", rule.name, first.place),
            });
        } else {
            all.insert(rule.name.clone(), rule);
        }
    }
    if faults.is_empty() {
        Ok(all)
    } else {
        Err(faults)
    }
}

/// Whether a name can be a rule's: lower and upper case letters, digits, `_`, `-`, `.`, not in front.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) && !name.starts_with(['-', '.'])
}

/// Whether it can be the name of an environment variable.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Text for people without what could drive a terminal.
#[must_use]
pub fn show(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(|letter| {
            let plain = !letter.is_control() && !is_direction(letter);
            let shown: Box<dyn Iterator<Item = char>> = if plain {
                Box::new(std::iter::once(letter))
            } else {
                Box::new(letter.escape_default())
            };
            shown
        })
        .collect()
}

/// Characters that change the direction of what is beside them, or are not seen: those that the launcher escapes.
fn is_direction(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

type Table<'a> = DeTable<'a>;
type Value<'a> = Spanned<DeValue<'a>>;

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }

    fn fault(&mut self, at: usize, message: String) {
        let place = self.place(at);
        self.faults.push(Fault { place, message });
    }

    fn table<'v, 'a>(&mut self, value: &'v Value<'a>, key: &str) -> Option<&'v Table<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.fault(value.span().start, format!("`{key}` must be a table"));
                None
            }
        }
    }

    fn text(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
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

    fn texts(&mut self, value: &Value<'_>, key: &str) -> Option<Vec<String>> {
        let DeValue::Array(array) = value.get_ref() else {
            self.fault(
                value.span().start,
                format!("`{key}` must be a list of strings"),
            );
            return None;
        };
        array.iter().map(|item| self.text(item, key)).collect()
    }

    fn word<T: Clone>(&mut self, value: &Value<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
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

    fn count(&mut self, value: &Value<'_>, key: &str) -> Option<usize> {
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

    fn rule(
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

    fn who(&mut self, table: &Table<'_>, at: usize) -> Who {
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

    fn limit_caller(&mut self, table: &Table<'_>) -> Option<Action> {
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

    fn limits(&mut self, value: &Value<'_>) -> BTreeMap<String, String> {
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

    fn run(&mut self, table: &Table<'_>, at: usize) -> Option<Run> {
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
fn is_account(name: &str) -> bool {
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
