//! A desktop file as lines that stay as they are, byte for byte, unless they are replaced.
//!
//! Format: Desktop Entry Specification 1.5, "Basic format of the file". Readers differ in what they make of files that do
//! not follow it, so that nothing is decided here by which of two equal keys counts: all of them can be asked for.

/// No desktop file is larger.
pub const MOST_BYTES: usize = 1 << 20;

/// The group that makes a file a desktop entry.
pub const MAIN: &[u8] = b"Desktop Entry";

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// `[NAME]`.
    Group(Vec<u8>),
    /// `KEY=…` or `KEY[LOCALE]=…`; where the value begins.
    Key { key: Vec<u8>, value: usize },
    /// A comment, an empty line, or nothing that has a meaning.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    kind: Kind,
    /// With its end, if it has one.
    raw: Vec<u8>,
}

/// The lines of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    lines: Vec<Line>,
}

/// A key's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number, from 0.
    pub line: usize,
    /// The group that it is in; empty before the first one.
    pub group: &'a [u8],
    /// The key without a locale.
    pub key: &'a [u8],
    /// `[de]` and the like, with the brackets; mostly empty.
    pub locale: &'a [u8],
    /// All behind `=` and the blanks there, without the line's end.
    pub value: &'a [u8],
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// The line without its end (`\n` or `\r\n`).
fn without_end(raw: &[u8]) -> &[u8] {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    raw.strip_suffix(b"\r").unwrap_or(raw)
}

fn kind(raw: &[u8]) -> Kind {
    let line = without_end(raw);
    let lead = line.iter().take_while(|byte| is_blank(**byte)).count();
    let text = line.get(lead..).unwrap_or_default();
    match text.first() {
        None | Some(b'#') => return Kind::Other,
        Some(b'[') => {
            let name = text.get(1..).unwrap_or_default();
            let end = name.iter().position(|byte| *byte == b']');
            return end.map_or(Kind::Other, |end| {
                Kind::Group(name.get(..end).unwrap_or_default().to_vec())
            });
        }
        Some(_) => {}
    }
    let Some(equals) = text.iter().position(|byte| *byte == b'=') else {
        return Kind::Other;
    };
    let key = text.get(..equals).unwrap_or_default();
    let behind = text.get(equals + 1..).unwrap_or_default();
    let blanks = behind.iter().take_while(|byte| is_blank(**byte)).count();
    Kind::Key {
        key: key.trim_ascii_end().to_vec(),
        value: lead + equals + 1 + blanks,
    }
}

impl Document {
    /// Takes a text apart.
    ///
    /// # Errors
    /// It is too large, or holds a NUL byte, at which some readers would stop and others not.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err("it is larger than 1 MiB".to_owned());
        }
        if text.contains(&0) {
            return Err("it holds a NUL byte".to_owned());
        }
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        Ok(Self {
            lines: lines
                .map(|raw| Line {
                    kind: kind(raw),
                    raw: raw.to_vec(),
                })
                .collect(),
        })
    }

    /// The text again.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.lines
            .iter()
            .flat_map(|line| line.raw.iter().copied())
            .collect()
    }

    /// All keys in their order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut group: &[u8] = b"";
        self.lines
            .iter()
            .enumerate()
            .filter_map(move |(at, line)| match &line.kind {
                Kind::Group(name) => {
                    group = name;
                    None
                }
                Kind::Key { key, value } => {
                    let cut = key.iter().position(|byte| *byte == b'[');
                    let (key, locale) = key.split_at(cut.unwrap_or(key.len()));
                    Some(Entry {
                        line: at,
                        group,
                        key,
                        locale,
                        value: without_end(&line.raw).get(*value..).unwrap_or_default(),
                    })
                }
                Kind::Other => None,
            })
    }

    /// The value of a key without a locale: the last one, as GLib has it.
    #[must_use]
    pub fn value(&self, group: &[u8], key: &[u8]) -> Option<&[u8]> {
        self.entries()
            .filter(|entry| entry.group == group && entry.key == key && entry.locale.is_empty())
            .last()
            .map(|entry| entry.value)
    }

    /// The same, if it is UTF-8; without blanks at the end.
    #[must_use]
    pub fn text(&self, group: &[u8], key: &[u8]) -> Option<&str> {
        let value = std::str::from_utf8(self.value(group, key)?).ok()?;
        Some(value.trim_end_matches([' ', '\t', '\r']))
    }

    /// Whether a boolean key of the main group is true; GLib takes `1` too.
    #[must_use]
    pub fn is_true(&self, key: &[u8]) -> bool {
        matches!(self.text(MAIN, key), Some("true" | "1"))
    }

    /// Whether there is a group of that name.
    #[must_use]
    pub fn has_group(&self, name: &[u8]) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(&line.kind, Kind::Group(group) if group == name))
    }

    /// Replaces the value of a line; its key, and the blanks and the line's end around it, stay.
    pub fn set(&mut self, line: usize, value: &str) {
        let Some(Line {
            kind: Kind::Key { value: start, .. },
            raw,
        }) = self.lines.get_mut(line)
        else {
            return;
        };
        let end = without_end(raw).len();
        raw.splice((*start).min(end)..end, one_line(value).bytes());
    }

    /// Takes a line out.
    pub fn remove(&mut self, line: usize) {
        if let Some(line) = self.lines.get_mut(line) {
            line.kind = Kind::Other;
            line.raw.clear();
        }
    }

    /// Puts keys behind the first header of a group; whether there is one.
    pub fn insert(&mut self, group: &[u8], keys: &[(&str, String)]) -> bool {
        let header = self
            .lines
            .iter()
            .position(|line| matches!(&line.kind, Kind::Group(name) if name == group));
        let Some(header) = header else {
            return false;
        };
        let end: &[u8] = match self.lines.get_mut(header) {
            Some(line) if line.raw.ends_with(b"\r\n") => b"\r\n",
            Some(line) => {
                if !line.raw.ends_with(b"\n") {
                    line.raw.push(b'\n');
                }
                b"\n"
            }
            None => return false,
        };
        let new = keys.iter().map(|(key, value)| {
            let mut raw = format!("{key}={}", one_line(value)).into_bytes();
            raw.extend_from_slice(end);
            Line {
                kind: kind(&raw),
                raw,
            }
        });
        let new: Vec<Line> = new.collect();
        self.lines.splice(header + 1..header + 1, new);
        true
    }
}

/// A value can never end its line.
fn one_line(value: &str) -> String {
    value.replace(['\n', '\r', '\0'], " ")
}

/// Writes a text as a value of type `string` or `localestring`.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut leading = true;
    for letter in text.chars() {
        match letter {
            ' ' if leading => out.push_str("\\s"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            letter => out.push(letter),
        }
        leading &= letter == ' ';
    }
    out
}

/// Reads a value of type `string`.
///
/// # Errors
/// A backslash before anything else than `s n t r \`: readers differ in what that is.
pub fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next() {
            Some('s') => ' ',
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('\\') => '\\',
            Some(other) => return Err(format!("`\\{other}` is no escape of desktop files")),
            None => return Err("it ends with a single backslash".to_owned()),
        });
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_are_not_touched_stay() {
        let text = b"# c\r\n\n  [Desktop Entry] junk\nName[de] =  \xff \nExec= a b \r\nno equals\n[Desktop Action x]\nExec=c";
        let mut document = Document::parse(text).unwrap();
        assert_eq!(document.bytes(), text);
        let all: Vec<_> = document.entries().collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].locale, b"[de]");
        assert_eq!(all[1].value, b"a b ");
        assert_eq!(all[2].group, b"Desktop Action x");
        let lines: Vec<usize> = all
            .iter()
            .filter(|entry| entry.key == b"Exec")
            .map(|entry| entry.line)
            .collect();
        for line in lines {
            document.set(line, "new\nX=1");
        }
        document.insert(MAIN, &[("X-A", "1".to_owned())]);
        assert_eq!(
            document.bytes(),
            b"# c\r\n\n  [Desktop Entry] junk\nX-A=1\nName[de] =  \xff \nExec= new X=1\r\nno equals\n[Desktop Action x]\nExec=new X=1"
        );
    }

    #[test]
    fn files_that_readers_would_read_differently_are_refused() {
        assert!(Document::parse(b"[Desktop Entry]\n\0").is_err());
        assert!(Document::parse(&vec![b'a'; MOST_BYTES + 1]).is_err());
        assert!(unescape("a\\").is_err() && unescape("\\\"").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(document) = Document::parse(&bytes) {
                prop_assert_eq!(document.bytes(), bytes);
            }
        }

        #[test]
        fn values_come_back(text in "\\PC{0,20}[ \t\n\r\\\\a]{0,10}") {
            prop_assert_eq!(unescape(&escape(&text)), Ok(text));
        }
    }
}
