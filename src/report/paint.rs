//! Weight and colour for text on terminals: little, and nothing that the words do not say too.

/// Paints, or does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    /// Whether the reader is a terminal that wants colours.
    pub on: bool,
}

impl Paint {
    /// No colours.
    pub const PLAIN: Self = Self { on: false };

    /// A heading or a name.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.wrapped(text, "1")
    }

    /// What may be passed over by the eye.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.wrapped(text, "2")
    }

    fn wrapped(self, text: &str, code: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_what_it_is() {
        assert_eq!(Paint::PLAIN.strong("a"), "a");
        assert_eq!(Paint { on: true }.faint(""), "");
        assert_eq!(Paint { on: true }.faint("a"), "\u{1b}[2ma\u{1b}[0m");
    }
}
