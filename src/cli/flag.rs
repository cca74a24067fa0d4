//! The options that say a rule.

/// An option that says a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `--set SECTION.KEY=VALUE`: VALUE is TOML, a bare word is a string.
    Set,
    /// `--memory SIZE`
    Memory,
    /// `--swap SIZE`
    Swap,
    /// `--memory-soft SIZE`
    MemorySoft,
    /// `--pids COUNT`
    Pids,
    /// `--cpu SHARE`
    Cpu,
    /// `--net MODE`
    Net,
    /// `--ro PATH`
    ReadOnly,
    /// `--rw PATH`
    ReadWrite,
    /// `--hide PATH`
    Hide,
    /// `--tmpfs PATH`
    Tmpfs,
    /// `--copy PATH`
    Copy,
    /// `--bind SRC:DST`: `DST = { bind = SRC, access = "read-write" }`.
    Bind,
    /// `--root DIR`: `"/" = { bind = DIR, access = "read-write" }`.
    Root,
    /// `--hostname NAME`
    Hostname,
    /// `--chdir DIR`
    Chdir,
    /// `--env NAME=VALUE`
    Env,
    /// `--unset-env NAME`
    UnsetEnv,
}

impl Flag {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Set,
        Self::Memory,
        Self::Swap,
        Self::MemorySoft,
        Self::Pids,
        Self::Cpu,
        Self::Net,
        Self::ReadOnly,
        Self::ReadWrite,
        Self::Hide,
        Self::Tmpfs,
        Self::Copy,
        Self::Bind,
        Self::Root,
        Self::Hostname,
        Self::Chdir,
        Self::Env,
        Self::UnsetEnv,
    ];

    /// The option's name without dashes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Memory => "memory",
            Self::Swap => "swap",
            Self::MemorySoft => "memory-soft",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Net => "net",
            Self::ReadOnly => "ro",
            Self::ReadWrite => "rw",
            Self::Hide => "hide",
            Self::Tmpfs => "tmpfs",
            Self::Copy => "copy",
            Self::Bind => "bind",
            Self::Root => "root",
            Self::Hostname => "hostname",
            Self::Chdir => "chdir",
            Self::Env => "env",
            Self::UnsetEnv => "unset-env",
        }
    }
}
