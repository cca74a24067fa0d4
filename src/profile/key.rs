//! The table of keys: everything that a profile can say, once.
//!
//! From it come the parser's checks and suggestions, `sandboxctl explain`, the JSON schema and the reference in
//! `sandbox.toml(5)`. A key that is not here does not exist.

use std::fmt;

/// A table of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `[limits]`
    Limits,
    /// `[namespaces]`
    Namespaces,
    /// `[filesystem]`
    Filesystem,
    /// `[devices]`
    Devices,
    /// `[execute]`
    Execute,
    /// `[desktop]`
    Desktop,
    /// `[network]`
    Network,
    /// `[dbus]`
    Dbus,
    /// `[syscalls]`
    Syscalls,
    /// `[capabilities]`
    Capabilities,
    /// `[environment]`
    Environment,
    /// `[process]`
    Process,
    /// `[user]`
    User,
}

impl Section {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Limits,
        Self::Namespaces,
        Self::Filesystem,
        Self::Devices,
        Self::Execute,
        Self::Desktop,
        Self::Network,
        Self::Dbus,
        Self::Syscalls,
        Self::Capabilities,
        Self::Environment,
        Self::Process,
        Self::User,
    ];

    /// The name of the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Namespaces => "namespaces",
            Self::Filesystem => "filesystem",
            Self::Devices => "devices",
            Self::Execute => "execute",
            Self::Desktop => "desktop",
            Self::Network => "network",
            Self::Dbus => "dbus",
            Self::Syscalls => "syscalls",
            Self::Capabilities => "capabilities",
            Self::Environment => "environment",
            Self::Process => "process",
            Self::User => "user",
        }
    }

    /// The section of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a key: itself, or what may stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// This word.
    Exact(&'static str),
    /// An absolute path, `~…` or `${VARIABLE}…`; components may be globs.
    Path,
    /// A system call, `@group`, or a call with argument conditions.
    Syscall,
    /// A capability, with or without `cap_`.
    Capability,
    /// The name of an environment variable; `*` matches any characters.
    Variable,
    /// The path of a device node below `/dev`.
    Device,
    /// A name on a message bus, or a part of what its owner does: `org.a.B`, `system:org.a.B`, `org.a.B(org.a.Interface.*)`.
    BusName,
    /// A word with an end that the host knows: `huge-pages-2MB`.
    Open {
        /// What it begins with.
        start: &'static str,
        /// The whole of it for people, with capitals for the end: `huge-pages-SIZE`.
        label: &'static str,
    },
}

/// What a key's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// An integer of this range, both ends included.
    Integer(i64, i64),
    /// Bytes (`"3G"`, binary), `"25%"` of the RAM, or `"max"`.
    Size,
    /// Bytes or `"max"`; a part of the RAM makes no sense here.
    Bytes,
    /// A whole number or `"max"`.
    Count,
    /// `"150%"` of one CPU, or `"max"`.
    Cpu,
    /// `"90s"`, `"5m"`, `"2h"`, `"500ms"`, or a number of seconds.
    Duration,
    /// Octal text such as `"0077"`.
    Mode,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Free text without NUL.
    Text,
    /// A host name (hostname(7)).
    Hostname,
    /// A path to be expanded.
    Path,
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A list of the names of rules: `"limits.memory-soft"`.
    Rules,
    /// `true`, `false`, or the path of a namespace to join.
    Namespace,
    /// What is seen at a path.
    View,
    /// What a system call is answered.
    SyscallAction,
    /// `"keep"` or `"drop"`.
    Keep,
    /// `true`, `false`, or the value.
    Variable,
    /// `true` (read and write), `false`, or an access word.
    Device,
    /// `"caller"`, `"root"`, or a number.
    Id,
    /// A weight from 1 to 10000, or `"idle"`.
    Weight,
    /// CPUs or memory nodes as the kernel lists them: `"0-3,7"`.
    Ranges,
    /// `{ read = "20M", write = "10M", read-operations = 500, write-operations = 200 }`, any of them.
    Rates,
    /// The class of network packets: `"1:1"` (tc(8), hexadecimal), or one number (`"0x10001"`).
    NetClass,
    /// `"idle"`, `"best-effort:4"`, `"realtime:0"`.
    IoPriority,
    /// `"other"`, `"batch"`, `"idle"`, `"fifo:10"`, `"round-robin:10"`.
    Scheduler,
    /// Numbers of CPUs: `"0-3,7"`.
    CpuSet,
}

/// One key of the language.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The table it stands in.
    pub section: Section,
    /// Its name.
    pub name: Name,
    /// What its value must be.
    pub kind: Kind,
    /// What holds when no layer says anything, in words or as TOML.
    pub default: &'static str,
    /// The version that brought it.
    pub since: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The rest: units, what it becomes on which host, sources.
    pub detail: &'static str,
    /// What to know before loosening it.
    pub security: Option<&'static str>,
    /// A line of TOML.
    pub example: &'static str,
}

impl Key {
    /// The name for people: the word itself, or what stands in its place.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.name {
            Name::Exact(name) => name,
            Name::Path => "PATH",
            Name::Syscall => "SYSTEM-CALL",
            Name::Capability => "CAPABILITY",
            Name::Variable => "VARIABLE",
            Name::Device => "/dev/DEVICE",
            Name::BusName => "BUS-NAME",
            Name::Open { label, .. } => label,
        }
    }

    /// Whether a rule of this key can be one that only adds strictness, so that `degrade` may name it. Whether it
    /// does depends on its value too: [`Value::only_adds_strictness`](super::value::Value::only_adds_strictness).
    #[must_use]
    pub fn degradable(&self) -> bool {
        match self.section {
            Section::Limits
            | Section::Filesystem
            | Section::Execute
            | Section::Network
            | Section::Capabilities => true,
            Section::Dbus => matches!(self.name, Name::Exact(_)),
            Section::Namespaces => self.kind == Kind::Namespace,
            Section::Syscalls => self.kind == Kind::SyscallAction,
            Section::User => self.name == Name::Exact("groups"),
            Section::Process => matches!(
                self.name,
                Name::Exact(
                    "no-new-privileges"
                        | "terminal"
                        | "session-keyring"
                        | "timeout"
                        | "io-priority"
                        | "scheduler"
                        | "cpu-affinity"
                        | "landlock"
                        | "write-xor-execute"
                )
            ),
            Section::Devices | Section::Desktop | Section::Environment => false,
        }
    }
}
