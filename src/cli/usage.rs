//! A command line that cannot be read, told. What was typed may come from anywhere (a desktop entry, a script's
//! variable), so that it is made harmless before it is repeated.

use clap::error::{ContextKind, ContextValue, Error};

use crate::report::escape;

use super::{answered, status};

/// `--help` and `--version` are answers; everything else is a mistake. Returns the exit status.
pub(super) fn usage(error: Error) -> i32 {
    let error = harmless(error);
    // The library chooses the stream.
    let printed = error.print();
    if error.use_stderr() {
        return status::USAGE;
    }
    let written = printed.and_then(|()| std::io::Write::flush(&mut std::io::stdout()));
    answered(written).err().unwrap_or(status::OK)
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
    use clap::Parser;

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
    fn plain_mistakes_keep_their_suggestions() {
        let error = Launch::try_parse_from(["sandbox", "--memry", "1G", "true"]).unwrap_err();
        assert!(told(error).contains("--memory"));
    }
}
