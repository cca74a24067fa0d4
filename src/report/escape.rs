//! Foreign text made harmless before it is printed.
//!
//! Names of files, keys and programs are chosen by others. Printed raw they could move the cursor, colour the
//! screen, or forge a line of ours (control characters), or read differently from what they are (bidirectional
//! marks and other invisible characters).

use std::borrow::Cow;

/// Whether a character must not reach a terminal as it is.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_harmful(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_harmful(c) || keep(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Escapes what must not appear within a line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Escapes a text of several lines: line ends and tabs stay.
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    escape(text, |c| matches!(c, '\n' | '\t'))
}

/// A path or an argument as one would type it, quoted where a reader would need it.
#[must_use]
pub fn os(text: &std::ffi::OsStr) -> String {
    line(&text.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_left_alone() {
        assert!(matches!(line("naïve/path – ünï"), Cow::Borrowed(_)));
    }

    #[test]
    fn control_and_bidirectional_characters_are_shown() {
        assert_eq!(line("a\x1b[31mb\n\u{202e}c"), "a\\x1b[31mb\\n\\u{202e}c");
        assert_eq!(block("a\tb\nc\x07"), "a\tb\nc\\x07");
    }
}
