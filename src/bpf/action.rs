//! What happens to a system call.

use std::fmt;

use super::constants::{self, EPERM};
use crate::report::suggest::nearest;

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_TRAP: u32 = 0x0003_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_DATA: u32 = 0x0000_ffff;

/// The largest errno that the kernel hands to a caller (`MAX_ERRNO`); seccomp(2) caps larger ones in silence.
const MAX_ERRNO: i32 = 4095;

/// What happens to a call; the actions of seccomp(2) that need no second process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The call is made.
    Allow,
    /// The call is not made and fails with this errno (1 to 4095).
    Errno(i32),
    /// The whole process dies of SIGSYS.
    KillProcess,
    /// The call is made and written to the kernel's audit log.
    Log,
    /// The thread gets a SIGSYS that it may handle.
    Trap,
}

/// An action that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionError {
    /// What is wrong, in one line.
    pub message: String,
    /// The valid word that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(name) => write!(f, "\ndid you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ActionError {}

impl Action {
    const WORDS: [&'static str; 5] = ["allow", "deny", "kill", "log", "trap"];

    /// Reads `allow`, `deny` (the same as `EPERM`), `kill`, `log`, `trap` or the name of an errno.
    ///
    /// # Errors
    /// The text is none of them; the nearest valid word is named where there is one.
    pub fn parse(text: &str) -> Result<Self, ActionError> {
        match text {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Errno(EPERM)),
            "kill" => Ok(Self::KillProcess),
            "log" => Ok(Self::Log),
            "trap" => Ok(Self::Trap),
            _ => constants::errno(text)
                .map(Self::Errno)
                .ok_or_else(|| ActionError {
                    message: format!(
                        "`{}` is no action: allow, deny, kill, log, trap or the name of an errno",
                        text.escape_debug()
                    ),
                    nearest: nearest(
                        text,
                        Self::WORDS.into_iter().chain(constants::errno_names()),
                    )
                    .map(str::to_owned),
                }),
        }
    }

    /// Whether the call is made.
    pub fn permits(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }

    /// Orders actions from the laxest to the strictest; two errnos are told apart only so that ties have one answer.
    pub(super) fn strictness(self) -> (u8, i32) {
        match self {
            Self::Allow => (0, 0),
            Self::Log => (1, 0),
            Self::Errno(number) => (2, -number),
            Self::Trap => (3, 0),
            Self::KillProcess => (4, 0),
        }
    }

    /// Whether the kernel can return it as it stands.
    pub(super) fn is_valid(self) -> bool {
        match self {
            Self::Errno(number) => (1..=MAX_ERRNO).contains(&number),
            _ => true,
        }
    }

    /// The value of a BPF return instruction, `None` for an errno out of range.
    pub fn to_return_value(self) -> Option<u32> {
        Some(match self {
            Self::Allow => RET_ALLOW,
            Self::Log => RET_LOG,
            Self::Trap => RET_TRAP,
            Self::KillProcess => RET_KILL_PROCESS,
            Self::Errno(number) if self.is_valid() => RET_ERRNO | u32::try_from(number).ok()?,
            Self::Errno(_) => return None,
        })
    }

    /// The action of a BPF return value, `None` for one that this program never makes.
    pub fn from_return_value(value: u32) -> Option<Self> {
        Some(match value {
            RET_ALLOW => Self::Allow,
            RET_LOG => Self::Log,
            RET_TRAP => Self::Trap,
            RET_KILL_PROCESS => Self::KillProcess,
            _ if value & !RET_DATA == RET_ERRNO => {
                let action = Self::Errno(i32::try_from(value & RET_DATA).ok()?);
                return action.is_valid().then_some(action);
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::KillProcess => f.write_str("kill"),
            Self::Log => f.write_str("log"),
            Self::Trap => f.write_str("trap"),
            Self::Errno(number) => match constants::errno_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "errno {number}"),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Action, EPERM};

    #[test]
    fn words_and_errno_names_are_actions() {
        assert_eq!(Action::parse("deny").unwrap(), Action::Errno(EPERM));
        assert_eq!(Action::parse("EPERM").unwrap(), Action::Errno(EPERM));
        assert_eq!(Action::parse("ENOSYS").unwrap().to_string(), "ENOSYS");
        assert_eq!(Action::parse("kill").unwrap(), Action::KillProcess);
        assert_eq!(
            Action::parse("ENOSYSS").unwrap_err().nearest.as_deref(),
            Some("ENOSYS")
        );
        assert_eq!(
            Action::parse("allw").unwrap_err().nearest.as_deref(),
            Some("allow")
        );
        assert!(
            Action::parse("Allow\n")
                .unwrap_err()
                .message
                .contains("`Allow\\n`")
        );
        assert!(Action::parse("").is_err());
        assert!(Action::parse("1").is_err());
    }

    #[test]
    fn return_values_round_trip_and_bad_errnos_have_none() {
        for action in [
            Action::Allow,
            Action::Log,
            Action::Trap,
            Action::KillProcess,
            Action::Errno(1),
            Action::Errno(4095),
        ] {
            assert_eq!(
                Action::from_return_value(action.to_return_value().unwrap()),
                Some(action)
            );
        }
        for errno in [0, -1, 4096, 65536] {
            assert_eq!(Action::Errno(errno).to_return_value(), None);
        }
        // SECCOMP_RET_ERRNO with errno 0 makes a refused call look like a successful one; KILL_THREAD leaves siblings.
        assert_eq!(Action::from_return_value(0x0005_0000), None);
        assert_eq!(Action::from_return_value(0), None);
    }

    #[test]
    fn strictness_is_a_total_order() {
        let ladder = [
            Action::Allow,
            Action::Log,
            Action::Errno(38),
            Action::Errno(1),
            Action::Trap,
            Action::KillProcess,
        ];
        assert!(ladder.is_sorted_by_key(|action| action.strictness()));
    }
}
