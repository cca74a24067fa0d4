//! A command line that cannot be read, told. What was typed may come from anywhere (a desktop entry, a script's
//! variable), so that it is made harmless before it is repeated.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::report::escape;

use super::{answered, status};

mod foreign;

/// `--help` and `--version` are answers; everything else is a mistake. Returns the exit status.
pub(super) fn usage(error: Error) -> i32 {
    let error = harmless(with_our_word(error));
    // The library chooses the stream.
    let printed = error.print();
    if error.use_stderr() {
        return status::USAGE;
    }
    let written = printed.and_then(|()| std::io::Write::flush(&mut std::io::stdout()));
    answered(written).err().unwrap_or(status::OK)
}

/// What the library finds in a command line, which begins with the name of the program.
///
/// # Errors
/// The library's, and that of an option or an operand that is given nothing.
pub(super) fn matches<W: Into<OsString> + Clone>(
    command: &mut Command,
    words: impl IntoIterator<Item = W>,
) -> Result<ArgMatches, Error> {
    let matches = command.try_get_matches_from_mut(words)?;
    no_empty(command, &matches)?;
    Ok(matches)
}

/// Fails for an option or an operand that is given nothing, as by a variable of a script that is not set: nowhere does that mean
/// something. What a program is given is its own matter.
///
/// # Errors
/// That of the library for a value which is missing.
fn no_empty(command: &Command, matches: &ArgMatches) -> Result<(), Error> {
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let mut values = matches.get_raw(id).into_iter().flatten();
        let is_empty = match argument.is_trailing_var_arg_set() {
            // The program itself has a name.
            true => id == "command" && values.next().is_some_and(|value| value.is_empty()),
            false => values.any(|value| value.is_empty()),
        };
        if is_empty {
            let mut error = Error::new(ErrorKind::InvalidValue).with_cmd(command);
            let text = |text: String| ContextValue::String(text);
            error.insert(ContextKind::InvalidArg, text(argument.to_string()));
            error.insert(ContextKind::InvalidValue, text(String::new()));
            return Err(error);
        }
    }
    match matches.subcommand() {
        Some((name, matches)) => match command.find_subcommand(name) {
            Some(command) => no_empty(command, matches),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// The same error; for a verb or an option of another tool it names ours in place of what is merely spelt like it.
fn with_our_word(mut error: Error) -> Error {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else {
        return error;
    };
    // Usage: PROGRAM COMMAND… <COMMAND>
    let usage = usage.to_string();
    let mut usage = usage.split_whitespace().skip(1);
    let program = usage.next().unwrap_or_default();
    let within: Vec<&str> = usage
        .take_while(|word| !word.starts_with(['<', '[']))
        .collect();
    let within = within.join(" ");
    let instead = match error.kind() {
        ErrorKind::InvalidSubcommand => word(ContextKind::InvalidSubcommand)
            .and_then(|verb| foreign::instead(&within, verb))
            .map(str::to_owned),
        ErrorKind::UnknownArgument => word(ContextKind::InvalidArg)
            .and_then(|option| foreign::option(program, &within, option)),
        _ => None,
    };
    if let Some(instead) = instead {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        let instead = ContextValue::StyledStrs(vec![instead.into()]);
        error.insert(ContextKind::Suggested, instead);
    }
    error
}

/// The same error with foreign text escaped.
fn harmless(mut error: Error) -> Error {
    let escaped: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| Some((kind, escaped(value)?)))
        .collect();
    if escaped.is_empty() {
        return error;
    }
    for (kind, value) in escaped {
        error.insert(kind, value);
    }
    // Suggestions repeat what was typed in the midst of colours of their own, where it cannot be told apart.
    error.insert(ContextKind::Suggested, ContextValue::None);
    error
}

/// None when there is nothing to escape.
fn escaped(value: &ContextValue) -> Option<ContextValue> {
    let line = |text: &str| escape::line(text).into_owned();
    match value {
        ContextValue::String(text) if text.chars().any(escape::is_harmful) => {
            Some(ContextValue::String(line(text)))
        }
        ContextValue::Strings(list)
            if list.iter().any(|text| text.chars().any(escape::is_harmful)) =>
        {
            Some(ContextValue::Strings(
                list.iter().map(|text| line(text)).collect(),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::arguments::{Control, Launch};

    /// What a terminal gets, without the colours of the library's own.
    fn told(error: Error) -> String {
        let colours = harmless(error).render().ansi().to_string();
        let mut text = String::new();
        let mut rest = colours.as_str();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            text.push_str(before);
            rest = after.split_once('m').map_or("", |(_, after)| after);
        }
        text + rest
    }

    #[test]
    fn what_was_typed_does_not_reach_the_terminal_raw() {
        for typed in ["--\u{1b}]0;x\u{7}", "--a\nb", "--\u{202e}x"] {
            let error = Launch::try_parse_from(["sandbox", typed, "true"]).unwrap_err();
            let told = told(error);
            let lines = told.lines().next().unwrap();
            assert!(lines.contains(&*escape::line(typed)), "{told:?}");
            assert!(
                !told.chars().any(|c| c != '\n' && escape::is_harmful(c)),
                "{told:?}"
            );
        }
        let error = Launch::try_parse_from(["sandbox", "--name", "x\nfine", "true"]).unwrap_err();
        assert!(told(error).contains("x\\nfine"));
        let error = Control::try_parse_from(["sandboxctl", "\u{1b}]0;x\u{7}"]).unwrap_err();
        assert!(told(error).contains("\\x1b]0;x\\x07"));
    }

    #[test]
    fn verbs_of_other_tools_lead_to_ours() {
        let said = |words: &[&str]| {
            let words = ["sandboxctl"].iter().chain(words);
            told(with_our_word(Control::try_parse_from(words).unwrap_err()))
        };
        for (words, ours) in [
            (&["stop", "x"][..], "`sandboxctl kill NAME`"),
            (&["rm", "-f", "x"], "`sandboxctl kill NAME`"),
            (&["exec", "-it", "x", "sh"], "`sandboxctl join NAME"),
            (&["RUN", "x"], "`sandbox PROGRAM`"),
            (&["root", "rm", "x"], "`sandboxctl root remove NAME`"),
        ] {
            let told = said(words);
            assert!(told.contains(&format!("tip: {ours}")), "{told}");
            assert_eq!(told.matches("tip:").count(), 1, "{told}");
        }
        for signal in ["-9", "-15", "-KILL"] {
            let kill = said(&["kill", signal, "x"]);
            assert!(kill.contains("tip: `--signal SIGNAL`"), "{kill}");
        }
        for (option, ours) in [
            ("-p", "`--profile"),
            ("--rm", "it is not needed"),
            ("--volume=/a:/b", "`--bind"),
        ] {
            let words = ["sandbox", option, "x", "true"];
            let told = told(with_our_word(Launch::try_parse_from(words).unwrap_err()));
            assert!(told.contains(&format!("tip: {ours}")), "{told}");
            assert_eq!(told.matches("tip:").count(), 1, "{told}");
        }
        // A slip of the finger is one still; and a verb of one command is none of another's.
        assert!(said(&["lisst"]).contains("a similar subcommand exists: 'list'"));
        assert!(!said(&["rules", "rm"]).contains("kill"));
    }

    #[test]
    fn numbers_below_zero_are_judged_where_limits_are() {
        for limit in ["memory", "swap", "memory-soft", "pids", "cpu"] {
            let option = format!("--{limit}");
            let typed = Launch::try_parse_from(["sandbox", &option, "-1", "true"]);
            assert_eq!(typed.unwrap().command, ["true"], "{limit}");
        }
    }

    #[test]
    fn nothing_is_no_value() {
        let empty = |mut command: Command, words: &[&str]| {
            let matches = command.try_get_matches_from_mut(words).unwrap();
            no_empty(&command, &matches).map_err(told)
        };
        for argument in Launch::command().get_arguments() {
            let Some(long) = argument.get_long() else {
                continue;
            };
            // These are judged by the library itself, and every word that they take has a meaning.
            let judged = ["name", "app-id", "net", "notify", "documents"];
            if !argument.get_action().takes_values() || judged.contains(&long) {
                continue;
            }
            let option = format!("--{long}=");
            let told = empty(Launch::command(), &["sandbox", &option, "true"]).unwrap_err();
            assert!(
                told.contains(&format!("a value is required for '--{long} <")),
                "{told}"
            );
        }
        assert!(empty(Launch::command(), &["sandbox", ""]).is_err());
        for words in [&["show", ""][..], &["kill", "a", ""], &["root", "show", ""]] {
            let words: Vec<&str> = ["sandboxctl"].iter().chain(words).copied().collect();
            let told = empty(Control::command(), &words).unwrap_err();
            assert!(told.contains("a value is required for '<"), "{told}");
        }
        for words in [
            &["join", "a", "printf", ""][..],
            &["rules", "test", "u", "r", ""],
        ] {
            let words: Vec<&str> = ["sandboxctl"].iter().chain(words).copied().collect();
            assert_eq!(empty(Control::command(), &words), Ok(()));
        }
        let words = ["sandbox", "--env", "A=", "printf", ""];
        assert_eq!(empty(Launch::command(), &words), Ok(()));
    }

    #[test]
    fn plain_mistakes_keep_their_suggestions() {
        let error = Launch::try_parse_from(["sandbox", "--memry", "1G", "true"]).unwrap_err();
        assert!(told(error).contains("--memory"));
    }
}
