//! The value of `Exec=`: words with field codes, read as leniently as it is safe to, and written in the strict form.
//!
//! Desktop Entry Specification 1.5, "The Exec key". Two layers: the escapes of all values (`entry::unescape`), and then
//! words, with double quotes. What common readers take beyond that is taken here too where they agree on its meaning (single
//! quotes, quotes within a word); where one would start a shell, another not, the line is refused.

use super::entry;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// `%f` and the like: what the launcher puts in.
    Code(char),
}

/// One argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub Vec<Piece>);

/// A command line.
pub type Words = Vec<Word>;

impl Word {
    /// A word without codes.
    #[must_use]
    pub fn of(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// The text, if there is no code in it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Code(_) => None,
            })
            .collect()
    }

    fn push(&mut self, letter: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(letter),
            _ => self.0.push(Piece::Text(letter.to_string())),
        }
    }
}

/// How a command line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// In a desktop entry: `%` begins a code.
    Known,
    /// In a D-Bus service file: `%` is a letter.
    Unknown,
}

/// Codes that launchers replace. The four first stand for files, of which there may be one; the last six are of old, and
/// launchers still differ in whether they drop them: that stays theirs to decide.
const CODES: &str = "fFuUickdDnNvm";

/// Reads a command line, the value of a key as it stands in the file.
///
/// # Errors
/// What is wrong with it, to go behind "…: ".
pub fn parse(value: &str, codes: Codes) -> Result<Words, String> {
    let text = entry::unescape(value)?;
    if let Some(letter) = text
        .chars()
        .find(|letter| letter.is_control() && *letter != '\t')
    {
        return Err(format!(
            "it holds the control character U+{:04X}",
            u32::from(letter)
        ));
    }
    let mut words = Words::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('%', _) if codes == Codes::Known => match letters.next() {
                Some('%') => word.get_or_insert_default().push('%'),
                Some(code) if CODES.contains(code) => {
                    word.get_or_insert_default().0.push(Piece::Code(code));
                }
                Some(code) => return Err(format!("`%{code}` is no field code")),
                None => return Err("it ends with a single `%`".to_owned()),
            },
            (letter, Some(closing)) if letter == closing => quote = None,
            ('\\', Some('"')) => {
                let word = word.get_or_insert_default();
                match letters.next() {
                    Some(next @ ('"' | '`' | '$' | '\\')) => word.push(next),
                    Some(next) => {
                        word.push('\\');
                        word.push(next);
                    }
                    None => return Err("a quote is not closed".to_owned()),
                }
            }
            ('$' | '`', Some('"')) => {
                return Err(format!(
                    "`{letter}` in quotes without a backslash before it"
                ));
            }
            (letter, Some(_)) => word.get_or_insert_default().push(letter),
            (' ' | '\t', None) => {
                words.extend(word.take());
            }
            ('"' | '\'', None) => {
                quote = Some(letter);
                // Quotes with nothing between are a word.
                let word = word.get_or_insert_default();
                if word.0.is_empty() {
                    word.0.push(Piece::Text(String::new()));
                }
            }
            ('\\', None) => match letters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("it ends with a single backslash".to_owned()),
            },
            ('|' | '&' | ';' | '<' | '>' | '$' | '`' | '(' | ')', None) => {
                return Err(format!("`{letter}` outside of quotes is for a shell"));
            }
            ('#' | '~', None) if word.is_none() => {
                return Err(format!(
                    "`{letter}` at the beginning of a word is for a shell"
                ));
            }
            (letter, None) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    for word in &mut words {
        // Text that quotes began and nothing followed.
        if word.0.len() > 1 {
            word.0.retain(|piece| *piece != Piece::Text(String::new()));
        }
    }
    let files = |word: &Word| {
        let is_file = |piece: &&Piece| matches!(piece, Piece::Code('f' | 'F' | 'u' | 'U'));
        word.0.iter().filter(is_file).count()
    };
    if words.iter().map(files).sum::<usize>() > 1 {
        return Err("it has more than one of %f, %F, %u and %U".to_owned());
    }
    match words.first() {
        None => Err("it is empty".to_owned()),
        Some(first) if first.text().is_none_or(|text| text.is_empty()) => {
            Err("it does not begin with a program".to_owned())
        }
        Some(_) => Ok(words),
    }
}

/// Letters that need no quotes.
fn is_plain(letter: char) -> bool {
    !letter.is_whitespace() && !letter.is_control() && !"\"'\\><~|&;$*?#()`".contains(letter)
}

/// Writes a command line as the value of a key.
///
/// # Errors
/// A code stands in a word that would have to be quoted, where no code may be; or text cannot be written at all.
pub fn write(words: &[Word], codes: Codes) -> Result<String, String> {
    let written: Result<Vec<String>, String> =
        words.iter().map(|word| write_word(word, codes)).collect();
    Ok(entry::escape(&written?.join(" ")))
}

fn write_word(word: &Word, codes: Codes) -> Result<String, String> {
    let texts = || {
        word.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Code(_) => None,
        })
    };
    let has_code = word.0.iter().any(|piece| matches!(piece, Piece::Code(_)));
    // What is not read is not written.
    let refused = |letter: char| letter.is_control() && letter != '\t';
    if texts().any(|text| text.contains(refused)) {
        return Err("a control character cannot be written".to_owned());
    }
    let plain = texts().all(|text| text.chars().all(is_plain));
    let empty = !has_code && texts().all(str::is_empty);
    if has_code && !plain {
        return Err("a field code stands in a word with blanks or special characters".to_owned());
    }
    let mut out = String::new();
    for piece in &word.0 {
        match piece {
            Piece::Code(code) => {
                out.push('%');
                out.push(*code);
            }
            Piece::Text(text) => {
                for letter in text.chars() {
                    match letter {
                        '"' | '`' | '$' | '\\' => {
                            out.push('\\');
                            out.push(letter);
                        }
                        '%' if codes == Codes::Known => out.push_str("%%"),
                        letter => out.push(letter),
                    }
                }
            }
        }
    }
    Ok(if plain && !empty {
        out
    } else {
        format!("\"{out}\"")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(value: &str) -> Vec<String> {
        parse(value, Codes::Known)
            .unwrap()
            .iter()
            .map(|word| word.text().unwrap_or_else(|| format!("{:?}", word.0)))
            .collect()
    }

    #[test]
    fn words_of_the_specification_and_of_real_files() {
        // The four words that GLib was seen to read so.
        assert_eq!(
            texts(r#"p "a\\\\b" "d\\$x" "b\\`y" "dq\\"z""#),
            ["p", r"a\b", "d$x", "b`y", "dq\"z"]
        );
        assert_eq!(texts("p  'a b' \"\" c%%d"), ["p", "a b", "", "c%d"]);
        assert_eq!(
            texts(r#"env WINEPREFIX="/h/.wine" wine C:\\\\a\\\\b.exe"#),
            ["env", "WINEPREFIX=/h/.wine", "wine", r"C:\a\b.exe"]
        );
        let words = parse("p --url=%u %i -caption %c %m \"%k\"", Codes::Known).unwrap();
        assert_eq!(words.len(), 7);
        assert_eq!(
            words[1].0,
            [Piece::Text("--url=".to_owned()), Piece::Code('u')]
        );
        assert_eq!(words[6].0, [Piece::Code('k')]);
        assert_eq!(
            write(&words, Codes::Known).unwrap(),
            "p --url=%u %i -caption %c %m %k"
        );
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for (value, why) in [
            ("a; b", "shell"),
            ("a $HOME", "shell"),
            ("a `b`", "shell"),
            ("a \"$HOME\"", "without a backslash"),
            ("a #b", "shell"),
            ("~/a", "shell"),
            ("a \"b", "not closed"),
            ("a %f %U", "more than one"),
            ("a %z", "no field code"),
            ("a %", "single `%`"),
            ("a \\q", "no escape"),
            ("", "empty"),
            ("%f", "begin with a program"),
            ("\"\" a", "begin with a program"),
            ("a b\u{1b}c", "U+001B"),
            ("a\\nb", "U+000A"),
        ] {
            let wrong = parse(value, Codes::Known).unwrap_err();
            assert!(wrong.contains(why), "{value}: {wrong}");
        }
        let words = parse("a \"x y%f\"", Codes::Known).unwrap();
        assert!(write(&words, Codes::Known).is_err());
    }

    /// The specification's own reading, for what we write: nothing lenient, every step as its text says.
    fn strict(value: &str) -> Option<Vec<String>> {
        let text = entry::unescape(value).ok()?;
        let mut rest = text.as_str();
        let mut words = Vec::new();
        loop {
            let mut word = String::new();
            if let Some(quoted) = rest.strip_prefix('"') {
                let mut letters = quoted.char_indices();
                let end = loop {
                    match letters.next()? {
                        (at, '"') => break at,
                        (_, '\\') => match letters.next()?.1 {
                            letter @ ('"' | '`' | '$' | '\\') => word.push(letter),
                            _ => return None,
                        },
                        (_, '`' | '$') => return None,
                        (_, letter) => word.push(letter),
                    }
                };
                rest = &quoted[end + 1..];
            } else {
                let end = rest.find(' ').unwrap_or(rest.len());
                word.push_str(&rest[..end]);
                if word.is_empty() || word.contains(|c| "\t\n\"'\\><~|&;$*?#()`".contains(c)) {
                    return None;
                }
                rest = &rest[end..];
            }
            words.push(word);
            if rest.is_empty() {
                return Some(words);
            }
            rest = rest.strip_prefix(' ')?;
        }
    }

    proptest! {
        #[test]
        fn any_words_are_read_back_by_us_and_by_the_specification(
            program in "[a-z/]{1,8}",
            more in proptest::collection::vec("[ -~\t\u{e4}\u{2028}]{0,12}", 0..6),
        ) {
            let mut all = vec![program];
            all.extend(more);
            let words: Words = all.iter().map(Word::of).collect();
            let value = write(&words, Codes::Known).unwrap();
            let read = parse(&value, Codes::Known).unwrap();
            let read: Vec<String> = read.iter().map(|word| word.text().unwrap()).collect();
            prop_assert_eq!(&read, &all);
            let strictly: Vec<String> = strict(&value)
                .unwrap_or_else(|| panic!("{value}"))
                .iter()
                .map(|word| word.replace("%%", "%"))
                .collect();
            prop_assert_eq!(strictly, all.clone());
            let bus = write(&words, Codes::Unknown).unwrap();
            prop_assert_eq!(strict(&bus), Some(all));
        }

        #[test]
        fn what_can_be_read_can_be_written_and_means_the_same(value in "[ -~]{0,40}") {
            if let Ok(words) = parse(&value, Codes::Known)
                && let Ok(again) = write(&words, Codes::Known)
            {
                prop_assert_eq!(parse(&again, Codes::Known), Ok(words), "{}", again);
            }
        }
    }
}
