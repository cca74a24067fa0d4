//! Names and answers of system calls, as `bpf` reads them.

use super::Wrong;
use crate::bpf::{Action, Key};

fn wrong(message: String, nearest: Option<String>, help: Vec<String>) -> Wrong {
    let mut wrong = Wrong::new(message);
    if let Some(near) = nearest {
        wrong = wrong.label(format!("did you mean `{near}`?"));
    }
    wrong.help = help;
    wrong
}

/// What a system call is answered.
///
/// # Errors
/// It is neither a word nor the name of an errno.
pub fn action(text: &str) -> Result<Action, Wrong> {
    Action::parse(text).map_err(|error| wrong(error.message, error.nearest, Vec::new()))
}

/// An action as a profile writes it: `deny` for EPERM.
#[must_use]
pub fn action_word(action: Action) -> String {
    let deny = Action::parse("deny").ok();
    if deny == Some(action) {
        "deny".to_owned()
    } else {
        action.to_string()
    }
}

/// The canonical form of a key that names a system call, a group or a call with conditions, in which
/// `socket( AF_NETLINK )` and `socket(16)` are one key.
///
/// # Errors
/// It names none.
pub fn check_syscall_key(text: &str) -> Result<String, Wrong> {
    Key::parse(text)
        .map(|key| key.to_string())
        .map_err(|error| wrong(error.message, error.nearest, error.help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_rule_are_one_key() {
        assert_eq!(check_syscall_key("ptrace").as_deref(), Ok("ptrace"));
        assert_eq!(check_syscall_key("@mount").as_deref(), Ok("@mount"));
        let socket = check_syscall_key("socket(AF_NETLINK)");
        assert!(socket.is_ok());
        assert_eq!(check_syscall_key("socket( 16 )"), socket);
        let error = check_syscall_key("ptrcae").expect_err("unknown");
        assert_eq!(error.label, "did you mean `ptrace`?");
    }

    #[test]
    fn actions_are_words_or_errnos() {
        for text in ["allow", "deny", "kill", "log", "trap", "ENOSYS"] {
            assert_eq!(action(text).map(action_word).as_deref(), Ok(text));
        }
        assert_eq!(
            action("ENOSYSS").expect_err("unknown").label,
            "did you mean `ENOSYS`?"
        );
    }
}
