//! Short texts that lie in a table itself, and not behind a pointer. A program that may be loaded anywhere sets every pointer
//! right at its start, and so writes to each page of a table of them, whether or not it is used; to these it does not.

/// A text of at most `N` bytes, which are no more than 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    /// For what is compiled: a text that is too long does not compile.
    #[must_use]
    pub const fn of(text: &str) -> Self {
        let source = text.as_bytes();
        assert!(source.len() <= N && N <= u8::MAX as usize, "too long");
        let mut bytes = [0; N];
        let mut at = 0;
        while at < source.len() {
            bytes[at] = source[at];
            at += 1;
        }
        #[allow(clippy::cast_possible_truncation)] // checked above
        let length = source.len() as u8;
        Self { length, bytes }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

/// A table of names, written with texts; `M` is how many there are.
#[must_use]
pub const fn table<V: Copy, const N: usize, const M: usize>(
    written: &[(&str, V)],
) -> [(Short<N>, V); M] {
    assert!(written.len() == M, "another number of names");
    let mut made = [(Short::of(""), written[0].1); M];
    let mut at = 0;
    while at < M {
        made[at] = (Short::of(written[at].0), written[at].1);
        at += 1;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::{Short, table};

    static TABLE: [(Short<5>, u8); 2] = table(&[("", 1), ("für", 2)]);

    #[test]
    fn texts_come_back() {
        let [first, second] = &TABLE;
        assert_eq!((first.0.as_str(), first.1), ("", 1));
        assert_eq!((second.0.as_str(), second.1), ("für", 2));
        assert!(second.0.is("für") && !second.0.is("fü") && !first.0.is("g"));
    }
}
