//! Names and answers of system calls.

use super::Wrong;
use crate::bpf::Action;
use crate::profile::errno;
use crate::report::suggest::nearest;

const WORDS: [&str; 5] = ["allow", "deny", "kill", "log", "trap"];

/// The errno of `deny`: EPERM.
const DENY: i32 = 1;

/// What a system call is answered.
///
/// # Errors
/// It is neither a word nor the name of an errno.
pub fn action(text: &str) -> Result<Action, Wrong> {
    match text {
        "allow" => return Ok(Action::Allow),
        "deny" => return Ok(Action::Errno(DENY)),
        "kill" => return Ok(Action::KillProcess),
        "log" => return Ok(Action::Log),
        "trap" => return Ok(Action::Trap),
        _ => {}
    }
    if let Some(number) = errno::number(text) {
        return Ok(Action::Errno(number));
    }
    let names = errno::ERRNOS.iter().map(|(name, _)| *name);
    let wrong = Wrong::new(format!("`{text}` is neither an action nor an errno name"));
    Err(match nearest(text, WORDS.into_iter().chain(names)) {
        Some(near) => wrong.label(format!("did you mean \"{near}\"?")),
        None => {
            wrong.help("\"allow\", \"deny\", \"kill\", \"log\", \"trap\" or a name of errno(3)")
        }
    })
}

/// An action as a profile writes it.
#[must_use]
pub fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Errno(DENY) => "deny",
        // Numbers come from names alone, see `action`.
        Action::Errno(number) => errno::name(number).unwrap_or("deny"),
        Action::KillProcess => "kill",
        Action::Log => "log",
        Action::Trap => "trap",
    }
}

/// Whether a key can name a system call, a group or a call with conditions; and its canonical form, in which
/// `socket( AF_NETLINK )` is `socket(AF_NETLINK)`.
///
/// # Errors
/// It cannot.
pub fn check_syscall_key(text: &str) -> Result<String, Wrong> {
    let wrong = |label: &str| {
        Wrong::new(format!("`{text}` does not name a system call"))
            .label(label)
            .help("write a name (ptrace), a group (\"@mount\"), or a call with conditions (\"socket(AF_NETLINK)\")")
    };
    let bare: String = text.chars().filter(|c| *c != ' ').collect();
    let (name, conditions) = match bare.split_once('(') {
        None => (bare.as_str(), None),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(conditions) if !conditions.is_empty() && !conditions.contains(['(', ')']) => {
                (name, Some(conditions))
            }
            _ => return Err(wrong("the conditions must end with one `)`")),
        },
    };
    let word = name.strip_prefix('@').unwrap_or(name);
    let plain = !word.is_empty()
        && word.len() <= 64
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if !plain || word.starts_with(|c: char| !c.is_ascii_lowercase() && c != '_') {
        return Err(wrong("names are lower-case letters, digits and `_`"));
    }
    match conditions {
        None => Ok(name.to_owned()),
        Some(_) if name.starts_with('@') => Err(wrong("a group takes no conditions")),
        Some(conditions) => Ok(format!(
            "{name}({})",
            conditions.split(',').collect::<Vec<_>>().join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_words_or_errnos() {
        for (text, expected) in [
            ("allow", Action::Allow),
            ("deny", Action::Errno(1)),
            ("EPERM", Action::Errno(1)),
            ("ENOSYS", Action::Errno(38)),
        ] {
            assert_eq!(action(text), Ok(expected));
            assert_eq!(action(action_word(expected)), Ok(expected));
        }
        assert_eq!(
            action("ENOSYSS").expect_err("unknown").label,
            "did you mean \"ENOSYS\"?"
        );
        assert_eq!(
            action("denny").expect_err("unknown").label,
            "did you mean \"deny\"?"
        );
    }

    #[test]
    fn keys_have_a_shape_and_one_spelling() {
        for (text, canonical) in [
            ("ptrace", "ptrace"),
            ("@mount", "@mount"),
            ("socket( AF_NETLINK )", "socket(AF_NETLINK)"),
            ("ioctl(_,TIOCSTI)", "ioctl(_, TIOCSTI)"),
            ("clone(&CLONE_NEWUSER)", "clone(&CLONE_NEWUSER)"),
        ] {
            assert_eq!(check_syscall_key(text).as_deref(), Ok(canonical));
        }
        for text in [
            "",
            "@",
            "Ptrace",
            "a(",
            "a()",
            "a(b",
            "a)b(",
            "@mount(1)",
            "a(b)c",
            "1a",
            "a\nb",
        ] {
            assert!(check_syscall_key(text).is_err(), "{text:?}");
        }
    }
}
