//! Names of running sandboxes: `--name`, or the program's with a number.

use std::ffi::OsStr;
use std::path::Path;

/// A name becomes the name of a file: so many characters at most.
pub const LONGEST: usize = 64;

/// Whether a character may stand in a name.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-')
}

/// Checks a name that somebody gave: letters, digits and `_ + . -`, no dot or hyphen in front.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST {
        return Err(format!("a name has 1 to {LONGEST} characters"));
    }
    if name.starts_with(['.', '-']) {
        return Err("a name does not begin with a dot or a hyphen".to_owned());
    }
    if !name.chars().all(is_plain) {
        return Err("a name has only letters, digits and `_ + . -`".to_owned());
    }
    Ok(())
}

/// What the runs of a program are called: its file's name in the letters that a name may have, with room for a number.
#[must_use]
pub fn of_program(program: &OsStr) -> String {
    const ROOM: usize = 8;
    let file = Path::new(program).file_name().unwrap_or_default();
    let plain: String = file
        .to_string_lossy()
        .chars()
        .take(LONGEST - ROOM)
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    match plain.trim_start_matches(['.', '-']) {
        "" => "sandbox".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of the `number`th run of that name: `firefox`, `firefox-2`, …
#[must_use]
pub fn numbered(name: &str, number: u32) -> String {
    match number {
        0 | 1 => name.to_owned(),
        number => format!("{name}-{number}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files() {
        for good in ["a", "firefox-2", "_x", "g++", "1", &"a".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "ä",
            "a\n",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_program_has_a_good_name() {
        for (program, name) in [
            ("/usr/bin/firefox", "firefox"),
            ("./my program", "my_program"),
            ("..", "sandbox"),
            ("/", "sandbox"),
            ("", "sandbox"),
            ("--help", "help"),
            ("naïve", "na_ve"),
        ] {
            assert_eq!(of_program(OsStr::new(program)), name);
        }
        let long = of_program(OsStr::new(&"x".repeat(300)));
        assert!(check(&numbered(&long, 999_999)).is_ok());
        assert_eq!(numbered("a", 1), "a");
        assert_eq!(numbered("a", 2), "a-2");
    }
}
