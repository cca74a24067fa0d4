//! Rules, and their text: `[rule.NAME]` tables of files below [`RULES`](crate::RULES).
//!
//! Anything that is not understood is a fault, and one fault anywhere makes all rules unusable: a misread rule gives
//! away what the administrator did not mean to give.

mod read;
mod run;

use std::collections::BTreeMap;

pub use self::read::read;

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
