//! Landlock: what a process and all that it starts may do with files, sockets and signals, whatever is mounted.
//!
//! A rule grants rights on everything at and below one directory, or on one file; what no rule grants is refused. There
//! are no rules that take away: what lies below something granted is granted too. See the kernel's
//! Documentation/userspace-api/landlock.rst and landlock(7). The rules are made from the table of `[filesystem]`, so that
//! they say the same as the mounts (`section/filesystem/landlock.rs`); here is what they are made of.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::path::PathBuf;

use crate::report::Site;

/// Rights on files, as the bits of LANDLOCK_ACCESS_FS_….
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u64);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Run a file as a program.
    pub const EXECUTE: Self = Self(1);
    /// Open a file for writing.
    pub const WRITE_FILE: Self = Self(1 << 1);
    /// Open a file for reading.
    pub const READ_FILE: Self = Self(1 << 2);
    /// List a directory.
    pub const READ_DIR: Self = Self(1 << 3);
    /// Remove or rename a directory.
    pub const REMOVE_DIR: Self = Self(1 << 4);
    /// Remove or rename a file.
    pub const REMOVE_FILE: Self = Self(1 << 5);
    /// Make character devices, directories, files, sockets, FIFOs, block devices, symbolic links.
    pub const MAKE: Self = Self(0b111_1111 << 6);
    /// Link or rename from one directory to another.
    pub const REFER: Self = Self(1 << 13);
    /// Cut a file off.
    pub const TRUNCATE: Self = Self(1 << 14);
    /// ioctl(2) on devices.
    pub const IOCTL_DEV: Self = Self(1 << 15);
    /// Connect to a Unix socket that has a path, and that others made.
    pub const RESOLVE_UNIX: Self = Self(1 << 16);
    /// All that this program knows.
    pub const ALL: Self = Self((1 << 17) - 1);
    /// What can be done with a file that is no directory.
    const ON_FILE: Self = Self(
        Self::EXECUTE.0
            | Self::WRITE_FILE.0
            | Self::READ_FILE.0
            | Self::TRUNCATE.0
            | Self::IOCTL_DEV.0
            | Self::RESOLVE_UNIX.0,
    );

    /// Rights that the kernel knows from an ABI on, with a word for each group.
    const SINCE: [(u32, Self, &'static str); 4] = [
        (2, Self::REFER, "moving between directories"),
        (3, Self::TRUNCATE, "truncation"),
        (5, Self::IOCTL_DEV, "ioctl on devices"),
        (9, Self::RESOLVE_UNIX, "sockets with a path"),
    ];

    const NAMES: [&'static str; 17] = [
        "execute",
        "write-file",
        "read-file",
        "read-dir",
        "remove-dir",
        "remove-file",
        "make-char",
        "make-dir",
        "make-reg",
        "make-sock",
        "make-fifo",
        "make-block",
        "make-sym",
        "refer",
        "truncate",
        "ioctl-dev",
        "resolve-unix",
    ];

    /// What a read-only view lets be done.
    #[must_use]
    pub fn read() -> Self {
        // Connecting to a socket is no change, so that a read-only mount does not stop it.
        Self::READ_FILE | Self::READ_DIR | Self::EXECUTE | Self::RESOLVE_UNIX
    }

    /// What a view with everything lets be done with files; devices are a matter of their own.
    #[must_use]
    pub fn read_write() -> Self {
        Self::ALL & !Self::IOCTL_DEV
    }

    /// What a device node, or a directory of them, lets be done.
    #[must_use]
    pub fn device() -> Self {
        Self::READ_FILE | Self::WRITE_FILE | Self::READ_DIR | Self::IOCTL_DEV | Self::RESOLVE_UNIX
    }

    /// What a kernel with this ABI can hold.
    #[must_use]
    pub fn known(abi: u32) -> Self {
        if abi == 0 {
            return Self::NONE;
        }
        let newer = Self::SINCE.iter().filter(|(since, ..)| *since > abi);
        newer.fold(Self::ALL, |known, (_, right, _)| known & !*right)
    }

    /// Those that a file that is no directory can have.
    #[must_use]
    pub fn on_file(self) -> Self {
        self & Self::ON_FILE
    }

    /// Whether all of the others are among these.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As the kernel takes them.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The rights with these bits; nothing when one is unknown.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        Self::ALL.contains(Self(bits)).then_some(Self(bits))
    }

    /// The names, as landlock(7) has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let has = move |bit: usize| self.0 & (1 << bit) != 0;
        (0..)
            .zip(Self::NAMES)
            .filter_map(move |(bit, name)| has(bit).then_some(name))
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Rights {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let words = [
            (Self::read_write(), "read-write"),
            (
                Self::read_write() & !Self::EXECUTE,
                "read-write, not executable",
            ),
            (Self::read(), "read-only"),
            (Self::device(), "read-write, nothing new"),
        ];
        if self.contains(Self::IOCTL_DEV) && Self::device().contains(*self) {
            return f.write_str("devices");
        }
        // Older kernels know less, and files have fewer: what they do not know is no part of the word.
        let first = Self::known(1);
        let same = |rights: &Self| {
            let (own, rights) = (*self & first, *rights & first);
            own == rights || own == rights.on_file()
        };
        match words.iter().find(|(rights, _)| same(rights)) {
            Some((_, word)) => f.write_str(word),
            None => f.write_str(&self.names().collect::<Vec<_>>().join(" ")),
        }
    }
}

/// What the program may not reach outside of itself, whatever it may open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// Abstract Unix sockets that others made (unix(7)).
    pub abstract_sockets: bool,
    /// Processes that are no descendants of the sandbox, with signals.
    pub signals: bool,
}

impl Scopes {
    /// The first ABI that has them.
    pub const SINCE: u32 = 6;

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// As the kernel takes them: LANDLOCK_SCOPE_….
    #[must_use]
    pub fn bits(self) -> u64 {
        u64::from(self.abstract_sockets) | u64::from(self.signals) << 1
    }

    /// The names.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let both = [
            (self.abstract_sockets, "abstract sockets"),
            (self.signals, "signals"),
        ];
        both.iter()
            .filter_map(|(has, name)| has.then_some(*name))
            .collect()
    }
}

/// Rights at one place and below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// Without symbolic links; inside.
    pub path: PathBuf,
    /// What is granted.
    pub rights: Rights,
    /// The rule that grants it.
    pub site: Site,
}

/// What is to be held, as a plan has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The version of the kernel's interface.
    pub abi: u32,
    /// Rights that are refused unless a rule grants them; none when files are left alone.
    pub handled: Rights,
    /// What is granted, parents first.
    pub rules: Vec<PathRule>,
    /// What is shut off beside files.
    pub scopes: Scopes,
    /// Places that the view gives less than these rules do, since they lie below something that is granted more: there
    /// the mounts alone hold.
    pub beyond: Vec<PathBuf>,
}

/// What a kernel with this ABI cannot hold of what a newer one can, in words.
#[must_use]
pub fn lost(abi: u32) -> Vec<&'static str> {
    let rights = Rights::SINCE.iter().filter(|(since, ..)| *since > abi);
    let mut words: Vec<&'static str> = rights.map(|(.., word)| *word).collect();
    if abi < Scopes::SINCE {
        words.extend(["abstract sockets", "signals"]);
    }
    words
}

/// The first ABI with which sockets that have a path are not reached where no rule grants it.
pub const SOCKETS_SINCE: u32 = 9;

/// The first ABI with which files can be held: before, no file could be moved or linked from one directory to another.
pub const FILES_SINCE: u32 = 2;

impl Ruleset {
    /// Whether it is about which programs can be run, and nothing else.
    #[must_use]
    pub fn is_about_programs(&self) -> bool {
        self.handled == Rights::EXECUTE | Rights::REFER && self.scopes.is_empty()
    }

    /// One line.
    #[must_use]
    pub fn describe(&self) -> String {
        let count = |number: usize, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {many}"),
        };
        if self.is_about_programs() {
            let allowed = |rule: &&PathRule| rule.rights.contains(Rights::EXECUTE);
            let places = self.rules.iter().filter(allowed).count();
            return format!(
                "let nothing be executed but what is at {} (Landlock ABI {})",
                count(places, "place", "places"),
                self.abi
            );
        }
        let mut parts = Vec::new();
        if !self.handled.is_empty() {
            parts.push(format!(
                "files at {}",
                count(self.rules.len(), "place", "places")
            ));
        }
        if !self.scopes.is_empty() {
            parts.push(format!("no {} of others", self.scopes.names().join(" or ")));
        }
        let mut text = format!(
            "hold it with Landlock (ABI {}): {}",
            self.abi,
            parts.join("; ")
        );
        if !self.beyond.is_empty() {
            text.push_str(&format!(
                "; {} below these held by mounts alone",
                count(self.beyond.len(), "place is", "places are")
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_come_with_the_kernel() {
        assert_eq!(Rights::known(0), Rights::NONE);
        assert_eq!(Rights::known(1).bits(), (1 << 13) - 1);
        assert_eq!(Rights::known(2).bits(), (1 << 14) - 1);
        assert_eq!(Rights::known(3).bits(), (1 << 15) - 1);
        assert_eq!(Rights::known(4), Rights::known(3));
        for abi in [5, 6, 7, 8] {
            assert_eq!(Rights::known(abi).bits(), (1 << 16) - 1, "{abi}");
        }
        for abi in [9, 10, 99] {
            assert_eq!(Rights::known(abi), Rights::ALL, "{abi}");
        }
        assert_eq!(lost(9), [""; 0]);
        assert_eq!(lost(7), ["sockets with a path"]);
        let old = [
            "ioctl on devices",
            "sockets with a path",
            "abstract sockets",
            "signals",
        ];
        assert_eq!(lost(3), old);
    }

    #[test]
    fn words_stand_for_rights() {
        assert_eq!(Rights::read().to_string(), "read-only");
        assert_eq!(
            (Rights::read_write() & Rights::known(2)).to_string(),
            "read-write"
        );
        assert_eq!(Rights::device().to_string(), "devices");
        assert_eq!(Rights::READ_DIR.to_string(), "read-dir");
        assert_eq!(Rights::NONE.to_string(), "nothing");
        assert_eq!(Rights::ALL.names().count(), 17);
        let file = Rights::read_write().on_file();
        assert_eq!(file.to_string(), "read-write");
        assert_eq!(
            (Rights::READ_FILE | Rights::REFER).to_string(),
            "read-file refer"
        );
    }

    #[test]
    fn scopes_are_bits_of_the_kernel() {
        let both = Scopes {
            abstract_sockets: true,
            signals: true,
        };
        assert_eq!(both.bits(), 3);
        assert_eq!(
            Scopes {
                signals: true,
                ..Scopes::default()
            }
            .bits(),
            2
        );
        assert!(Scopes::default().is_empty());
    }
}
