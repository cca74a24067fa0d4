//! Which program a command line starts, behind `env`.

use super::exec::{Word, Words};

/// What a command line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// `NAME=VALUE` that `env` sets, when `env` does nothing else and need not be run.
    pub variables: Vec<String>,
    /// The program and its arguments; with `env` in front where that does more.
    pub words: Words,
    /// The program, as it is written: behind `env`.
    pub program: String,
}

/// Programs that run what their arguments say: what that is cannot be told from here.
const WRAPPERS: [&str; 25] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "fish",
    "ksh",
    "busybox",
    "sudo",
    "pkexec",
    "doas",
    "su",
    "nice",
    "ionice",
    "nohup",
    "setsid",
    "timeout",
    "taskset",
    "chrt",
    "xdg-open",
    "gio",
    "gtk-launch",
    "flatpak",
    "snap",
    "firejail",
    "bwrap",
];

/// The last part of a path.
#[must_use]
pub fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether a program starts others in ways that only it knows.
#[must_use]
pub fn is_wrapper(program: &str) -> bool {
    WRAPPERS.contains(&file_name(program))
        || program.starts_with("/snap/")
        || program.starts_with("/var/lib/snapd/")
}

fn is_variable(text: &str) -> bool {
    let name = text.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What `sandbox --env` takes as it is.
fn can_be_option(text: &str) -> bool {
    let (name, value) = text.split_once('=').unwrap_or_default();
    is_variable(text) && name != "default" && value != "inherit"
}

/// Looks behind `env`.
///
/// # Errors
/// What `env` starts cannot be told.
pub fn started(words: &Words) -> Result<Started, String> {
    let text = |word: Option<&Word>| word.and_then(Word::text).unwrap_or_default();
    let first = text(words.first());
    if file_name(&first) != "env" {
        return Ok(Started {
            variables: Vec::new(),
            words: words.clone(),
            program: first,
        });
    }
    let mut variables = Vec::new();
    let mut only_sets = true;
    let mut at = 1;
    loop {
        let Some(word) = words.get(at) else {
            return Err("`env` is given no program".to_owned());
        };
        let Some(said) = word.text() else {
            // `NAME=%k` and the like.
            if at + 1 < words.len()
                && matches!(word.0.first(), Some(super::exec::Piece::Text(text)) if text.contains('='))
            {
                only_sets = false;
                at += 1;
                continue;
            }
            return Err("what `env` starts cannot be told".to_owned());
        };
        match said.as_str() {
            "--" => at += 1,
            "-i" | "-" | "--ignore-environment" => {
                only_sets = false;
                at += 1;
                continue;
            }
            "-u" | "--unset" => {
                only_sets = false;
                at += 2;
                continue;
            }
            said if said.starts_with("--unset=") || (said.starts_with("-u") && said.len() > 2) => {
                only_sets = false;
                at += 1;
                continue;
            }
            said if said.starts_with('-') => {
                return Err(format!("what `env {said}` starts cannot be told"));
            }
            said if said.contains('=') => {
                only_sets &= can_be_option(said);
                variables.push(said.to_owned());
                at += 1;
                continue;
            }
            _ => {}
        }
        break;
    }
    let rest: Words = words.get(at..).unwrap_or_default().to_vec();
    let program = text(rest.first());
    if program.is_empty() || program.contains('=') {
        return Err("what `env` starts cannot be told".to_owned());
    }
    Ok(if only_sets {
        Started {
            variables,
            words: rest,
            program,
        }
    } else {
        Started {
            variables: Vec::new(),
            words: words.clone(),
            program,
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::exec::{Codes, parse};
    use super::*;

    #[test]
    fn env_is_looked_behind() {
        let of = |line: &str| started(&parse(line, Codes::Known).unwrap());
        let simple = of("env A=1 B=x=y firefox %u").unwrap();
        assert_eq!(simple.variables, ["A=1", "B=x=y"]);
        assert_eq!(simple.program, "firefox");
        assert_eq!(simple.words.len(), 2);
        for (line, program) in [
            ("/usr/bin/env -u A firefox", "firefox"),
            ("env -i A=1 /usr/bin/firefox", "/usr/bin/firefox"),
            ("env A=inherit firefox", "firefox"),
            ("env A.B=1 firefox", "firefox"),
            ("env A=%k firefox", "firefox"),
        ] {
            let kept = of(line).unwrap();
            assert_eq!(kept.program, program, "{line}");
            assert!(kept.variables.is_empty(), "{line}");
            assert!(kept.words.len() > 2, "{line}");
        }
        for line in [
            "env",
            "env A=1",
            "env -S firefox",
            "env %k",
            "env -C /x firefox",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
