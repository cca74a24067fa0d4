//! Names of groups: they say which supervisor a group belongs to, so that what is swept is nobody's.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use super::GroupError;
use crate::kernel::process;

/// Which process a group belongs to: its pid namespace, its number in it, and its start time, as numbers come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Supervisor {
    pub pid_namespace: u64,
    pub pid: i32,
    pub started: u64,
}

/// `sandbox-PIDNS-PID-START-RANDOM`: the supervisor, and random digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub supervisor: Supervisor,
    pub random: String,
}

impl Supervisor {
    /// This process.
    pub fn own() -> Result<Self, GroupError> {
        let pid = nix::unistd::getpid().as_raw();
        let say =
            |what: &str, error: std::io::Error| GroupError::general(format!("{what}: {error}"));
        Ok(Self {
            pid_namespace: pid_namespace().map_err(|error| {
                say(
                    "cannot tell the own pid namespace from /proc/self/ns/pid",
                    error,
                )
            })?,
            pid,
            started: process::start_time(pid)
                .map_err(|error| say("cannot tell the own start time from /proc", error))?,
        })
    }

    fn parse<'t>(mut parts: impl Iterator<Item = &'t str>) -> Option<Self> {
        Some(Self {
            pid_namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok().filter(|pid| *pid > 0)?,
            started: parts.next()?.parse().ok()?,
        })
    }

    /// The name of the program's group in a scope of systemd: `box-PIDNS-PID-START`.
    pub fn inner(self) -> String {
        format!("box-{self}")
    }

    /// Reads such a name; none for what is not one of ours.
    pub fn of_inner(text: &str) -> Option<Self> {
        let supervisor = Self::parse(text.strip_prefix("box-")?.split('-'))?;
        (supervisor.inner() == text).then_some(supervisor)
    }
}

impl Name {
    /// A fresh name for a group of this process.
    pub fn own() -> Result<Self, GroupError> {
        Ok(Self {
            supervisor: Supervisor::own()?,
            random: process::random_hex().map_err(|error| {
                GroupError::general(format!("cannot get random bytes: {error}"))
            })?,
        })
    }

    /// Reads a name; none for what is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("sandbox-")?.split('-');
        let name = Self {
            supervisor: Supervisor::parse(&mut parts)?,
            random: parts.next()?.to_owned(),
        };
        // Exactly what we write: nothing after it, no sign, no leading zero.
        (name.to_string() == text).then_some(name)
    }
}

/// The inode of the own pid namespace.
pub(super) fn pid_namespace() -> std::io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

impl fmt::Display for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid_namespace,
            pid,
            started,
        } = self;
        write!(f, "{pid_namespace}-{pid}-{started}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox-{}-{}", self.supervisor, self.random)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_nothing_else_is() {
        let own = Name::own().unwrap();
        assert_eq!(Name::parse(&own.to_string()), Some(own.clone()));
        assert_ne!(own, Name::own().unwrap());
        for other in [
            "",
            "sandbox-",
            "sandbox-1-2-3",
            "sandbox-1-2-3-a-b",
            "sandbox-1-+2-3-a",
            "sandbox-1-0-3-a",
            "sandbox-01-2-3-a",
            "x-1-2-3-a",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn inner_names_are_read_as_they_are_written_and_nothing_else_is() {
        let own = Supervisor::own().unwrap();
        assert_eq!(Supervisor::of_inner(&own.inner()), Some(own));
        for other in [
            "box",
            "box-",
            "box-1-2",
            "box-1-2-3-4",
            "box-1-02-3",
            "box-1--2-3",
        ] {
            assert_eq!(Supervisor::of_inner(other), None, "{other}");
        }
    }
}
