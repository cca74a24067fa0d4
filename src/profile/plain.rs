//! Documents in the form that nearly all profiles have, read in one pass: each line a comment, a header of one bare name, or a
//! key with a string, a boolean, a whole number, an array of strings or a flat table behind it.
//!
//! It knows what it reads and nothing else: where anything is not in this form, be it wrong or only rare (dotted keys, other
//! strings), it says so, and the document is read from the start by the TOML parser, which also has the words for what
//! is wrong. What it does read is what that parser reads, with the same places; a test holds it to that.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One line that says something.
pub(super) enum Line<'t> {
    /// The header of a table: its name.
    Table(&'t str),
    /// A key, where it stands, and its value.
    Pair(&'t str, Range<usize>, Spanned<DeValue<'t>>),
    /// There are no more.
    End,
}

/// Goes through a document.
pub(super) struct Plain<'t> {
    text: &'t str,
    at: usize,
}

/// Whether a byte can stand in a string or a comment. Tabs could, and are rare.
fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f
}

/// Whether none of eight bytes is a control character.
fn are_text(bytes: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH << 7;
    // Each is looked at by itself only as long as none before it borrows, and then it is one that counts.
    let eight = u64::from_le_bytes(bytes);
    let below = eight.wrapping_sub(EACH * 0x20) & !eight;
    let delete = eight ^ (EACH * 0x7f);
    let delete = delete.wrapping_sub(EACH) & !delete;
    (below | delete) & HIGH == 0
}

impl<'t> Plain<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes this byte, if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Over what stands between a key and its value. `None`: something else stands here.
    fn equals(&mut self) -> Option<()> {
        self.blanks();
        let found = self.take(b'=');
        self.blanks();
        found.then_some(())
    }

    /// Over blanks and a comment to the next line. `None`: something else stands here.
    fn end_of_line(&mut self) -> Option<()> {
        self.blanks();
        if self.take(b'#') {
            let rest = self.text.as_bytes().get(self.at..)?;
            let eights = rest.chunks_exact(8);
            let clear = eights.take_while(|eight| (*eight).try_into().is_ok_and(are_text));
            self.at += 8 * clear.count();
            while self.peek().is_some_and(is_text) {
                self.at += 1;
            }
        }
        (self.take(b'\n') || self.at >= self.text.len()).then_some(())
    }

    /// The next line that says something. `None`: it is in another form.
    pub(super) fn next(&mut self) -> Option<Line<'t>> {
        loop {
            self.blanks();
            match self.peek() {
                None => return Some(Line::End),
                Some(b'\n' | b'#') => self.end_of_line()?,
                Some(b'[') => {
                    self.at += 1;
                    let name = self.bare()?;
                    if !self.take(b']') {
                        return None;
                    }
                    self.end_of_line()?;
                    return Some(Line::Table(name));
                }
                Some(_) => {
                    let (key, place, value) = self.pair()?;
                    self.end_of_line()?;
                    return Some(Line::Pair(key, place, value));
                }
            }
        }
    }

    /// A key without quotes.
    fn bare(&mut self) -> Option<&'t str> {
        let start = self.at;
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        while self.peek().is_some_and(is_bare) {
            self.at += 1;
        }
        let name = self.text.get(start..self.at)?;
        (!name.is_empty()).then_some(name)
    }

    /// A string in double quotes on one line, without escapes.
    fn string(&mut self) -> Option<&'t str> {
        if !self.take(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => return None,
                byte if is_text(byte) => self.at += 1,
                _ => return None,
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        // Three quotes begin a string of several lines.
        let longer = text.is_empty() && self.peek() == Some(b'"');
        (!longer).then_some(text)
    }

    fn pair(&mut self) -> Option<(&'t str, Range<usize>, Spanned<DeValue<'t>>)> {
        let start = self.at;
        let key = match self.peek()? {
            b'"' => self.string()?,
            _ => self.bare()?,
        };
        let place = start..self.at;
        self.equals()?;
        let start = self.at;
        let value = match self.peek()? {
            b'[' => self.array()?,
            b'{' => self.table()?,
            _ => self.scalar()?,
        };
        Some((key, place, Spanned::new(start..self.at, value)))
    }

    /// A string with escapes on one line: found here, read by the parser.
    fn escaped(&mut self) -> Option<DeValue<'t>> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                byte if is_text(byte) => self.at += 1,
                _ => return None,
            }
        }
        self.at += 1;
        let read = DeValue::parse(self.text.get(start..self.at)?).ok()?;
        read.get_ref().as_str()?;
        Some(read.into_inner())
    }

    /// A string, a boolean, or a whole number without a sign.
    fn scalar(&mut self) -> Option<DeValue<'t>> {
        let start = self.at;
        if self.peek() == Some(b'"') {
            if let Some(text) = self.string() {
                return Some(DeValue::String(text.into()));
            }
            self.at = start;
            return self.escaped();
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        while self.peek().is_some_and(is_word) {
            self.at += 1;
        }
        // What belongs to it in other forms: fractions, signs, dates.
        if matches!(self.peek(), Some(b'.' | b'+' | b'-' | b':')) {
            return None;
        }
        match self.text.get(start..self.at)? {
            "true" => Some(DeValue::Boolean(true)),
            "false" => Some(DeValue::Boolean(false)),
            number if number.starts_with(|first: char| first.is_ascii_digit()) => {
                // Nothing else can make an integer.
                let read = DeValue::parse(number).ok()?;
                read.get_ref().as_integer()?;
                Some(read.into_inner())
            }
            _ => None,
        }
    }

    /// An array of scalars, over several lines or on one.
    fn array(&mut self) -> Option<DeValue<'t>> {
        let mut array = DeArray::new();
        self.at += 1;
        loop {
            self.gap()?;
            if self.take(b']') {
                return Some(DeValue::Array(array));
            }
            let start = self.at;
            let value = self.scalar()?;
            array.push(Spanned::new(start..self.at, value));
            self.gap()?;
            if !self.take(b',') && self.peek() != Some(b']') {
                return None;
            }
        }
    }

    /// Over blanks, comments and ends of lines.
    fn gap(&mut self) -> Option<()> {
        loop {
            self.blanks();
            match self.peek()? {
                b'\n' | b'#' => self.end_of_line()?,
                _ => return Some(()),
            }
        }
    }

    /// A table of scalars on one line.
    fn table(&mut self) -> Option<DeValue<'t>> {
        let mut table = DeTable::new();
        self.at += 1;
        loop {
            self.blanks();
            let start = self.at;
            let key = self.bare()?;
            let place = start..self.at;
            self.equals()?;
            let start = self.at;
            let value = self.scalar()?;
            let value = Spanned::new(start..self.at, value);
            if table
                .insert(Spanned::new(place, key.into()), value)
                .is_some()
            {
                return None;
            }
            self.blanks();
            if self.take(b'}') {
                return Some(DeValue::Table(table));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
