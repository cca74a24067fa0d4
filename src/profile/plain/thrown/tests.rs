//! What is thrown at the reader: documents put together from pieces that are right, rare and wrong, and then damaged.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::{Line, Plain};
use crate::profile::document::{Reader, parse_any};
use crate::report::SourceId;

/// So many in each run of the tests; for more by hand: THROWN=3000000.
const COUNT: u64 = 20_000;

fn count() -> u64 {
    let asked = std::env::var("THROWN");
    asked
        .ok()
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(COUNT)
}

/// Numbers without a pattern (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % below as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.next(all.len())]
    }

    /// Mostly one of the first, now and then one of the others.
    fn mostly<'a>(&mut self, usual: &[&'a str], rare: &[&'a str]) -> &'a str {
        match self.next(12) {
            0 => self.of(rare),
            _ => self.of(usual),
        }
    }
}

const BLANKS: [&str; 4] = ["", " ", "  ", "\t"];
const ODD_BLANKS: [&str; 7] = ["\u{a0}", "\r", "\u{b}", "\u{c}", "\n", "\u{feff}", "\u{85}"];
const COMMENTS: [&str; 6] = [
    "",
    "",
    "#",
    "# of more than eight bytes",
    "#ü\u{2028}\u{10ffff}",
    "# [a] \"b\" = '",
];
const ODD_COMMENTS: [&str; 8] = [
    "# \t",
    "# 1234567\u{7f}",
    "# 1234567\u{1f}",
    "# \r",
    "# a\r",
    "#\u{80}\u{9f}\u{feff}",
    "#\0",
    "# 12345\u{7f}\u{ff}",
];
const NAMES: [&str; 7] = ["a", "b", "limits", "-", "_", "1", "true"];
const KEYS: [&str; 14] = [
    "a", "b", "\"a\"", "\"b\"", "\"\"", "1", "-", "_x-1", "true", "inf", "\"a b\"", "\"a.b\"",
    "\"ü\"", "\"#\"",
];
const ODD_KEYS: [&str; 12] = [
    "'a'",
    "a.b",
    "a . b",
    "\"\\u0061\"",
    "\"a\\\\\"",
    "ü",
    "",
    "\"\"\"a\"\"\"",
    "\"a\tb\"",
    "+a",
    "1.2",
    "\"a\".b",
];
const SCALARS: [&str; 24] = [
    "1",
    "0",
    "42",
    "1_000",
    "0x1f",
    "0xDEAD_beef",
    "0o17",
    "0b10",
    "true",
    "false",
    "\"\"",
    "\"a\"",
    "\"ü\"",
    "\"a # b\"",
    "\"\\n\"",
    "\"\\\"\"",
    "\"\\\\\"",
    "\"\\u00e9\"",
    "\"\\U0001F600\"",
    "9223372036854775807",
    "\"]\"",
    "\"=\"",
    "\"'\"",
    "\"\u{80}\"",
];
const ODD_SCALARS: [&str; 62] = [
    "01",
    "00",
    "+1",
    "-1",
    "-0",
    "1_",
    "1__0",
    "_1",
    "0x",
    "0X1F",
    "0x_1",
    "0xg",
    "0o8",
    "0b2",
    "9223372036854775808",
    "99999999999999999999999999",
    "-9223372036854775808",
    "0xffffffffffffffff",
    "0x7fffffffffffffff",
    "1.0",
    "1.",
    ".1",
    "1e5",
    "1E5",
    "1e-5",
    "1e+5",
    "1_0e1_0",
    "inf",
    "nan",
    "+inf",
    "-nan",
    "True",
    "TRUE",
    "truex",
    "t",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "1979-05-27 07:32:00",
    "07:32:00",
    "07:32",
    "1979",
    "'a'",
    "'''a'''",
    "\"\"\"a\"\"\"",
    "\"\"\"\"\"\"",
    "\"a\"\"",
    "\"\"\"",
    "\"",
    "\"a",
    "\"\\x41\"",
    "\"\\e\"",
    "\"\\q\"",
    "\"\\uD800\"",
    "\"\\u12\"",
    "\"\\U00110000\"",
    "\"\\\n\"",
    "\"\\ü\"",
    "\"\u{7f}\"",
    "\"\t\"",
    "\"\0\"",
    "a",
    "",
];

fn blank(random: &mut Random, to: &mut String) {
    to.push_str(match random.next(60) {
        0 => random.of(&ODD_BLANKS),
        _ => random.of(&BLANKS),
    });
}

fn scalar(random: &mut Random, to: &mut String) {
    to.push_str(random.mostly(&SCALARS, &ODD_SCALARS));
}

fn gap(random: &mut Random, to: &mut String) {
    blank(random, to);
    if random.next(4) == 0 {
        to.push_str(random.mostly(&COMMENTS, &ODD_COMMENTS));
        to.push('\n');
        blank(random, to);
    }
}

fn value(random: &mut Random, depth: usize, to: &mut String) {
    match random.next(12) {
        0..=2 => {
            to.push('[');
            for _ in 0..random.next(4) {
                gap(random, to);
                match random.next(20) {
                    0 if depth < 3 => value(random, depth + 1, to),
                    _ => scalar(random, to),
                }
                gap(random, to);
                to.push_str(random.mostly(&[","], &["", ",,", ";", ", ,"]));
            }
            gap(random, to);
            to.push_str(random.mostly(&["]"], &["", "]]", "}"]));
        }
        3 | 4 => {
            to.push('{');
            for number in 0..=random.next(3) {
                to.push_str(if number > 0 { "," } else { "" });
                blank(random, to);
                to.push_str(random.mostly(&["a", "b", "c", "-1"], &KEYS));
                blank(random, to);
                to.push_str(random.mostly(&["="], &["", "==", ":", ".x ="]));
                blank(random, to);
                match random.next(20) {
                    0 if depth < 3 => value(random, depth + 1, to),
                    _ => scalar(random, to),
                }
                blank(random, to);
            }
            to.push_str(random.mostly(&["}"], &["", ",}", "}}", "]", "\n}"]));
        }
        _ => scalar(random, to),
    }
}

/// A document in which anything may stand, mostly in the plain form.
fn document(random: &mut Random) -> String {
    let mut text = random.mostly(&[""], &["\u{feff}", "\n", "#"]).to_owned();
    for _ in 0..random.next(7) {
        blank(random, &mut text);
        match random.next(6) {
            0 => {}
            1 | 2 => {
                let (name, more) = (random.mostly(&NAMES, &KEYS), random.next(30));
                let _ = match more {
                    0 => write!(text, "[ {name} ]"),
                    1 => write!(text, "[[{name}]]"),
                    2 => write!(text, "[{name}.a]"),
                    3 => write!(text, "[{name}"),
                    _ => write!(text, "[{name}]"),
                };
            }
            _ => {
                text.push_str(random.mostly(&KEYS, &ODD_KEYS));
                blank(random, &mut text);
                text.push_str(random.mostly(&["="], &["", "==", "=\n", ":"]));
                blank(random, &mut text);
                value(random, 0, &mut text);
            }
        }
        blank(random, &mut text);
        text.push_str(random.mostly(&COMMENTS, &ODD_COMMENTS));
        text.push_str(random.mostly(&["\n"], &["", "\r\n", "\r", "\n\n", "\n\r\n"]));
    }
    text
}

/// Takes away, doubles, or puts in a letter, at a few places.
fn damage(random: &mut Random, text: &str) -> String {
    const LETTERS: [&str; 34] = [
        "\"", "'", "\\", "#", "\n", "\r", "\t", " ", "\0", "\u{7f}", "\u{1f}", "[", "]", "{", "}",
        "=", ",", ".", "0", "1", "-", "_", "+", ":", "a", "e", "x", "\u{80}", "\u{feff}",
        "\u{2028}", "\"\"\"", "'''", "[[", "inherit",
    ];
    let mut letters: Vec<String> = text.chars().map(String::from).collect();
    for _ in 0..random.next(4) {
        let at = random.next(letters.len() + 1);
        match random.next(4) {
            0 if at < letters.len() => drop(letters.remove(at)),
            1 if at < letters.len() => {
                let from = random.next(letters.len());
                letters.swap(at, from);
            }
            2 if at < letters.len() => {
                let end = letters.len().min(at + 1 + random.next(12));
                let part = letters.get(at..end).unwrap_or_default().to_vec();
                let to = random.next(letters.len() + 1);
                letters.splice(to..to, part);
            }
            _ => letters.insert(at, random.of(&LETTERS).to_owned()),
        }
    }
    letters.concat()
}

type Values<'t> = BTreeMap<String, (std::ops::Range<usize>, Spanned<DeValue<'t>>)>;

/// What this reader makes of a document whatever its keys mean: by tables, of which "" holds what stands above all. None where it
/// declines, or where [`Reader::plain`] would.
fn read(text: &str) -> Option<BTreeMap<String, Values<'_>>> {
    let mut tables: BTreeMap<String, Values<'_>> = BTreeMap::new();
    let mut lines = Plain::new(text);
    let mut here = String::new();
    tables.insert(String::new(), Values::new());
    loop {
        match lines.next()? {
            Line::End => break,
            Line::Table(name) => {
                here = name.to_owned();
                let twice = tables.insert(here.clone(), Values::new()).is_some();
                if twice || tables.get("").is_some_and(|above| above.contains_key(name)) {
                    return None;
                }
            }
            Line::Pair(key, place, value) => {
                let table = tables.get_mut(&here)?;
                if table.insert(key.to_owned(), (place, value)).is_some() {
                    return None;
                }
            }
        }
    }
    Some(tables)
}

fn values<'t>(table: &DeTable<'t>) -> Values<'t> {
    let values = table.iter();
    values
        .map(|(key, value)| (key.get_ref().to_string(), (key.span(), value.clone())))
        .collect()
}

/// Whether a document is read here; and that the TOML parser then reads the same values at the same places.
fn is_read(text: &str) -> bool {
    let Some(read) = read(text) else {
        return false;
    };
    let parsed =
        DeTable::parse(text).unwrap_or_else(|error| panic!("{text:?} is no TOML: {error}"));
    let mut above = values(parsed.get_ref());
    let mut tables = BTreeMap::new();
    for name in read.keys().filter(|name| !name.is_empty()) {
        let table = above
            .remove(name)
            .unwrap_or_else(|| panic!("{name} is not in {text:?}"));
        let table = table.1.get_ref().as_table().map(values);
        tables.insert(name.clone(), table.unwrap_or_default());
    }
    tables.insert(String::new(), above);
    assert_eq!(format!("{read:?}"), format!("{tables:?}"), "{text:?}");
    true
}

#[test]
fn whatever_is_thrown_is_toml_that_says_the_same() {
    let (mut random, mut taken, all) = (Random(1), 0, count());
    for _ in 0..all {
        let whole = document(&mut random);
        taken += u64::from(is_read(&whole));
        taken += u64::from(is_read(&damage(&mut random, &whole)));
    }
    assert!(taken > all / 5, "only {taken} of {all}");
}

/// What stands above all tables.
const ABOVE: [&str; 5] = [
    "description = \"an example\"",
    "programs = [\"a\", \"b\"]",
    "extends = [\"base\"]",
    "degrade = [\"limits.pids\"]",
    "description = \"inherit\"",
];

/// Tables, and lines of each that say something which is right, some of them the same in other words.
const TABLES: [(&str, &[&str]); 4] = [
    (
        "[limits]",
        &[
            "memory = \"3G\"",
            "\"memory\" = 4096",
            "pids = 2_048",
            "pids = 9223372036854775807",
            "swap = 0x10",
            "cpu = \"150%\"",
        ],
    ),
    (
        "[filesystem]",
        &[
            "\"/a\" = \"hidden\"",
            "\"/a/\" = \"read-only\"",
            "\"/b\" = { tmpfs = \"1M\", execute = false }",
            "\"~\" = \"private\"",
            "\"${HOME}\" = \"inherit\"",
            "\"//a\" = \"hidden\"",
        ],
    ),
    (
        "[environment]",
        &[
            "A = true",
            "\"A\" = \"b\"",
            "B = \"\\u0061\"",
            "\"C*\" = true",
        ],
    ),
    ("[user]", &["uid = 0", "uid = \"root\"", "gid = 0o17"]),
];

fn profile(random: &mut Random) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for _ in 0..random.next(3) {
        lines.push(random.of(&ABOVE));
    }
    for _ in 0..random.next(4) {
        let (header, keys) = TABLES[random.next(TABLES.len())];
        lines.push(header);
        for _ in 0..random.next(4) {
            lines.push(random.of(keys));
        }
    }
    lines.join("\n")
}

#[test]
fn whatever_profile_is_thrown_is_read_alike() {
    let (mut random, mut taken, all) = (Random(2), 0, count());
    for _ in 0..all {
        let whole = profile(&mut random);
        let text = damage(&mut random, &whole);
        let source = SourceId::default();
        let Some(profile) = Reader::new("p", source).plain(&text) else {
            continue;
        };
        let parsed = parse_any("p", source, &text);
        assert_eq!(parsed.diagnostics, [], "{text:?}");
        assert_eq!(parsed.profile, profile, "{text:?}");
        taken += 1;
    }
    assert!(taken > all / 20, "only {taken} of {all}");
}
