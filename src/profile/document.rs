//! One document: text → [`Profile`], with everything that is wrong with it.
//!
//! The tree that the TOML parser gives (with a place for every key and value) is walked by hand against the table of
//! keys. Nesting is bounded by that parser (80 levels), size by [`search`](super::search).

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Kind, Section};
use super::plain::{Line, Plain};
use super::read::{self, Place, Wrong, type_of};
use super::table::TOP;
use super::{Entry, Profile, name};
use crate::report::suggest::nearest;
use crate::report::{Diagnostic, Diagnostics, Located, Site, SourceId};

/// More errors of one file than this are counted, not shown.
const MOST_SHOWN: usize = 50;
/// After this many errors nothing more is looked for: each costs a search for the nearest name.
const MOST_COUNTED: usize = 1000;
/// Entries of `extends`.
pub const MOST_EXTENDS: usize = 256;
/// Entries of `programs`.
const MOST_PROGRAMS: usize = 1024;

/// What a document says, as far as it can be understood.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What it says. Without the parts that are wrong.
    pub profile: Profile,
    /// What is wrong with it, in the order of the text.
    pub diagnostics: Diagnostics,
}

/// A key and its value with their places.
type Pair<'t, 'i> = (
    &'t Spanned<std::borrow::Cow<'i, str>>,
    &'t Spanned<DeValue<'i>>,
);

/// The entries of a table in the order of the text.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Pair<'t, 'i>> {
    let mut pairs: Vec<Pair<'t, 'i>> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

/// Reads a document. A byte order mark at its beginning is skipped, line ends may be CR LF.
#[must_use]
pub fn parse(name: &str, source: SourceId, text: &str) -> Parsed {
    match Reader::new(name, source).plain(text) {
        Some(profile) => Parsed {
            profile,
            diagnostics: Vec::new(),
        },
        None => parse_any(name, source, text),
    }
}

/// The same for a document in any form, right or wrong.
pub(super) fn parse_any(name: &str, source: SourceId, text: &str) -> Parsed {
    let mut reader = Reader::new(name, source);
    if let Some(at) = text.find('\0') {
        let what = if text.bytes().all(|byte| byte == 0) {
            "the file is filled with NUL bytes"
        } else {
            "the file contains a NUL byte"
        };
        reader.report(
            Wrong::new(what)
                .label("no text has this")
                .help("the file is damaged, or no profile"),
            at..at + 1,
        );
        return reader.finish(text, &[]);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let root = root.get_ref();
    let mut broken = Vec::new();
    // Everything behind a bracket that was forgotten is taken for elements of the array, each of them wrong.
    let open_array = errors
        .iter()
        .any(|error| error.message().starts_with("unclosed array"))
        .then(|| {
            errors
                .iter()
                .position(|error| error.message().contains("array elements"))
        })
        .flatten();
    let told = open_array.map_or(MOST_COUNTED + 1, |at| at + 1);
    for (number, error) in errors.iter().enumerate().take(told) {
        let span = error.span().unwrap_or(text.len()..text.len());
        let span = span.start.min(text.len())..span.end.min(text.len());
        if open_array == Some(number) {
            reader.report(
                Wrong::new("an array is not closed").label("`]` expected before this"),
                span.clone(),
            );
        } else if broken.len() <= MOST_SHOWN {
            reader.syntax(error.message(), span.clone(), root, text);
        } else {
            // Only counted: the text of it is never shown.
            reader.report(Wrong::new("syntax error"), span.clone());
        }
        // Keys below a header that is none belong to no table; saying so would only confuse.
        let line = text
            .get(..span.start)
            .and_then(|before| before.rsplit('\n').next());
        reader.headless |= line.is_some_and(|line| line.trim_start().starts_with('['));
        broken.push(span);
    }
    reader.document(root);
    if open_array.is_some()
        && let Some(array) = broken.last()
    {
        let mut index = 0;
        reader.diagnostics.retain(|diagnostic| {
            index += 1;
            let label = diagnostic.primary.as_ref();
            index <= broken.len()
                || label.is_none_or(|label| (label.site.start as usize) < array.start)
        });
    }
    if errors.is_empty() {
        reader.check_says_something(text);
    }
    reader.finish(text, &broken)
}

pub(super) struct Reader {
    place: Place,
    profile: Profile,
    diagnostics: Diagnostics,
    /// Whether the header of a table is broken.
    headless: bool,
}

impl Reader {
    pub(super) fn new(name: &str, source: SourceId) -> Self {
        Self {
            place: Place::whole(source),
            profile: Profile::empty(name, source),
            diagnostics: Vec::new(),
            headless: false,
        }
    }

    /// What a document in the plain form says. `None`: it is in another form, or something is wrong with it.
    pub(super) fn plain(mut self, text: &str) -> Option<Profile> {
        let mut lines = Plain::new(text);
        let mut above: Vec<&str> = Vec::new();
        let mut sections: Vec<Section> = Vec::new();
        let mut first = 0;
        // About what a key and its comments take.
        self.profile.entries.reserve(text.len() / 80);
        loop {
            match (lines.next()?, sections.last()) {
                (Line::Table(name), _) => {
                    let section = Section::by_name(name)?;
                    if sections.contains(&section) || !are_different(self.entries_from(first)) {
                        return None;
                    }
                    first = self.profile.entries.len();
                    sections.push(section);
                }
                (Line::Pair(key, place, value), Some(section)) => {
                    let (entry, canonical) = name::lookup(*section, key).ok()?;
                    let read = read_entry(entry.kind, &value, self.place).ok()?;
                    self.profile.entries.push(Entry {
                        section: *section,
                        key: Located::new(canonical, self.place.site(place)),
                        value: Located::new(read, self.place.site(value.span())),
                    });
                }
                (Line::Pair(key, place, value), None) => {
                    let by_name = TOP.iter().any(|(name, _, _)| *name == key);
                    if !by_name || above.contains(&key) {
                        return None;
                    }
                    above.push(key);
                    self.above(key, place, &value);
                }
                (Line::End, _) => break,
            }
        }
        if !are_different(self.entries_from(first)) {
            return None;
        }
        self.check_says_something(text);
        self.diagnostics.is_empty().then_some(self.profile)
    }

    fn entries_from(&self, first: usize) -> &[Entry] {
        self.profile.entries.get(first..).unwrap_or_default()
    }

    fn report(&mut self, wrong: Wrong, span: std::ops::Range<usize>) {
        self.diagnostics.push(wrong.locate(self.place, span));
    }

    /// What the TOML parser has to say.
    fn syntax(
        &mut self,
        message: &str,
        span: std::ops::Range<usize>,
        root: &DeTable<'_>,
        text: &str,
    ) {
        let mut wrong = read::broken(message, Some(span.clone()), text);
        let mut first = None;
        if message.starts_with("duplicate key") {
            let key = text.get(span.clone()).unwrap_or("");
            let key = key.trim_matches(['"', '\'']);
            wrong = Wrong::new(format!("`{key}` is said twice")).label("again here");
            first =
                find_before(root, key, span.start).or_else(|| find_header(text, key, span.start));
        } else if message.contains("unquoted") || message.starts_with("invalid") {
            let line = text
                .get(..span.start)
                .and_then(|before| before.rsplit('\n').next())
                .unwrap_or("");
            if !line.contains('=') {
                wrong = wrong.help(
                    "a key with other characters than letters, digits, `_` and `-` must be quoted",
                );
            }
        }
        let mut diagnostic = wrong.locate(self.place, span);
        if let Some(first) = first {
            diagnostic = diagnostic.related(self.place.site(first), "first here");
        }
        self.diagnostics.push(diagnostic);
    }

    fn document(&mut self, root: &DeTable<'_>) {
        let tables = root.values().filter_map(|value| value.get_ref().as_table());
        let keys = tables.map(DeTable::len).sum();
        self.profile.entries.reserve_exact(keys);
        for (key, value) in in_order(root) {
            if self.diagnostics.len() > MOST_COUNTED {
                return;
            }
            self.above(key.get_ref(), key.span(), value);
        }
    }

    /// A key outside of all tables, or a table.
    fn above(&mut self, key: &str, span: std::ops::Range<usize>, value: &Spanned<DeValue<'_>>) {
        match key {
            "description" => self.description(value),
            "programs" => {
                self.profile.programs =
                    self.names(Kind::Words(&[]), value, MOST_PROGRAMS, program_name);
            }
            "extends" => {
                self.profile.extends =
                    self.names(Kind::Words(&[]), value, MOST_EXTENDS, profile_name);
            }
            "degrade" => match read::read(Kind::Rules, value, self.place) {
                Ok(super::value::Value::List(rules)) => {
                    self.profile.degrade = Some(Located::new(rules, self.place.site(value.span())));
                }
                Ok(_) => {}
                Err(wrong) => self.diagnostics.extend(wrong),
            },
            other => match Section::by_name(other) {
                Some(section) => self.section(section, span, value),
                None if self.headless => {}
                None => self.unknown_top(other, span),
            },
        }
    }

    fn unknown_top(&mut self, key: &str, span: std::ops::Range<usize>) {
        let wrong = Wrong::new(format!("unknown key or table `{key}`"));
        let sections = Section::ALL.map(Section::name);
        let home = Section::ALL
            .into_iter()
            .find(|section| super::table::find(*section, key).is_some());
        let names = TOP.iter().map(|(name, _, _)| *name);
        let wrong = match (home, nearest(key, names.chain(sections))) {
            (Some(section), _) => wrong
                .label("outside of its table")
                .help(format!("`{key}` belongs in `[{section}]`")),
            (None, Some(near)) => wrong.label(format!("did you mean `{near}`?")),
            (None, None) => wrong
                .label("unknown")
                .help(format!("tables are {}", sections.join(", "))),
        };
        self.report(wrong, span);
    }

    fn description(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::String(text) => {
                self.profile.description = Some(Located::new(
                    text.to_string(),
                    self.place.site(value.span()),
                ));
            }
            other => self.report(
                Wrong::new(format!("expected a string, found {}", type_of(other)))
                    .label(type_of(other)),
                value.span(),
            ),
        }
    }

    /// An array of names, each checked.
    fn names(
        &mut self,
        kind: Kind,
        value: &Spanned<DeValue<'_>>,
        most: usize,
        check: fn(&str) -> Result<(), Wrong>,
    ) -> Option<Located<Vec<Located<String>>>> {
        if !value.get_ref().is_array() {
            let found = type_of(value.get_ref());
            let mut wrong =
                Wrong::new(format!("expected an array of strings, found {found}")).label(found);
            if let Some(text) = value.get_ref().as_str() {
                wrong = wrong.help(format!("write [\"{text}\"]"));
            }
            self.report(wrong, value.span());
            return None;
        }
        let (names, wrong) = read::strings(kind, value, most, self.place);
        self.diagnostics.extend(wrong);
        for name in &names {
            if let Err(wrong) = check(&name.value) {
                self.report(wrong, name.site.start as usize..name.site.end as usize);
            }
        }
        Some(Located::new(names, self.place.site(value.span())))
    }

    fn section(
        &mut self,
        section: Section,
        key_span: std::ops::Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            DeValue::Array(_) => {
                self.report(
                    Wrong::new(format!("`{section}` is one table, not an array of tables"))
                        .help(format!("write `[{section}]`, once")),
                    key_span,
                );
                return;
            }
            other => {
                self.report(
                    Wrong::new(format!("`{section}` is a table, found {}", type_of(other)))
                        .help(format!("write `[{section}]` and its keys below")),
                    value.span(),
                );
                return;
            }
        };
        // Two spellings of one thing are one key, which TOML does not see.
        let mut seen: BTreeMap<String, std::ops::Range<usize>> = BTreeMap::new();
        for (key, value) in in_order(table) {
            if self.diagnostics.len() > MOST_COUNTED {
                return;
            }
            let (entry, canonical) = match name::lookup(section, key.get_ref()) {
                Ok(found) => found,
                Err(wrong) => {
                    self.report(wrong, key.span());
                    continue;
                }
            };
            if let Some(first) = seen.insert(canonical.clone(), key.span()) {
                let diagnostic = Wrong::new(format!(
                    "`{}` and `{}` are the same key",
                    key.get_ref(),
                    text_of(table, &first)
                ))
                .label("again here")
                .locate(self.place, key.span())
                .related(self.place.site(first), "first here");
                self.diagnostics.push(diagnostic);
                continue;
            }
            match read_entry(entry.kind, value, self.place) {
                Ok(read) => self.profile.entries.push(Entry {
                    section,
                    key: Located::new(canonical, self.place.site(key.span())),
                    value: Located::new(read, self.place.site(value.span())),
                }),
                Err(wrong) => self.diagnostics.extend(wrong),
            }
        }
    }

    /// A profile that declares nothing is an error, so that a truncated file never runs a program unconfined.
    fn check_says_something(&mut self, text: &str) {
        let extends = self
            .profile
            .extends
            .as_ref()
            .is_some_and(|extends| !extends.value.is_empty());
        if !self.diagnostics.is_empty() || extends || !self.profile.entries.is_empty() {
            return;
        }
        let what = if text.trim_start_matches('\u{feff}').trim().is_empty() {
            "the profile is empty"
        } else {
            "the profile declares nothing"
        };
        self.report(
            Wrong::new(what)
                .help("a profile without any rule is refused, so that a truncated file never runs a program unconfined")
                .help("say at least one thing, such as extends = [\"base\"]"),
            0..0,
        );
    }

    /// Puts the diagnostics in order and leaves out what only follows from broken syntax.
    fn finish(mut self, text: &str, broken: &[std::ops::Range<usize>]) -> Parsed {
        let syntax = broken.len();
        if syntax > 0 {
            let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count();
            // Lines are counted only for a handful of errors: each count reads the text.
            let lines: Vec<usize> = broken
                .iter()
                .take(MOST_SHOWN)
                .map(|span| line(span.start))
                .collect();
            let mut index = 0;
            let mut checked = 0;
            self.diagnostics.retain(|diagnostic| {
                index += 1;
                if index <= syntax {
                    return true;
                }
                checked += 1;
                let at = diagnostic
                    .primary
                    .as_ref()
                    .map(|label| label.site.start as usize);
                checked <= MOST_SHOWN && at.is_some_and(|at| !lines.contains(&line(at)))
            });
        }
        self.diagnostics
            .sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| label.site));
        if self.diagnostics.len() > MOST_SHOWN {
            let all = self.diagnostics.len();
            let more = match all - MOST_SHOWN {
                more if all > MOST_COUNTED => {
                    format!("more than {} further", more.min(MOST_COUNTED - MOST_SHOWN))
                }
                more => format!("{more} further"),
            };
            let site = self
                .diagnostics
                .get(MOST_SHOWN)
                .and_then(|next| next.primary.as_ref())
                .map_or_else(|| Site::new(self.place.source, 0..0), |label| label.site);
            self.diagnostics.truncate(MOST_SHOWN);
            self.diagnostics.push(Diagnostic::error(
                format!("{more} errors in this file are not shown"),
                site,
                "the next one",
            ));
        }
        Parsed {
            profile: self.profile,
            diagnostics: self.diagnostics,
        }
    }
}

/// Whether no two of these entries of a section are about the same thing.
fn are_different(entries: &[Entry]) -> bool {
    let mut keys: Vec<&str> = entries
        .iter()
        .map(|entry| entry.key.value.as_str())
        .collect();
    keys.sort_unstable();
    keys.is_sorted_by(|one, next| one < next)
}

/// A value of this kind, or `"inherit"`, which removes what lower layers say. This holds for every kind, free text
/// included: a variable cannot be given the value `inherit`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_entry(
    kind: Kind,
    value: &Spanned<DeValue<'_>>,
    place: Place,
) -> Result<Option<super::value::Value>, Diagnostics> {
    if value.get_ref().as_str() == Some("inherit") {
        return Ok(None);
    }
    read::read(kind, value, place).map(Some)
}

/// The key that stands at a place.
fn text_of(table: &DeTable<'_>, span: &std::ops::Range<usize>) -> String {
    table
        .keys()
        .find(|key| key.span() == *span)
        .map_or_else(String::new, |key| key.get_ref().to_string())
}

/// The last key of that name that stands before `end`.
fn find_before(table: &DeTable<'_>, name: &str, end: usize) -> Option<std::ops::Range<usize>> {
    let mut best: Option<std::ops::Range<usize>> = None;
    let mut consider = |span: std::ops::Range<usize>| {
        if span.start < end && best.as_ref().is_none_or(|best| best.start < span.start) {
            best = Some(span);
        }
    };
    for (key, value) in table.iter() {
        if key.get_ref() == name {
            consider(key.span());
        }
        if let DeValue::Table(inner) = value.get_ref() {
            for key in inner.keys().filter(|key| key.get_ref() == name) {
                consider(key.span());
            }
        }
    }
    best
}

/// The first header of a table in the text before `end`.
fn find_header(text: &str, name: &str, end: usize) -> Option<std::ops::Range<usize>> {
    let header = format!("[{name}]");
    let mut at = 0;
    for line in text.get(..end)?.split_inclusive('\n') {
        if line.trim_start().starts_with(&header) {
            let start = at + line.len() - line.trim_start().len() + 1;
            return (start < end).then(|| start..start + name.len());
        }
        at += line.len();
    }
    None
}

/// The longest name of a profile.
const LONGEST_NAME: usize = 64;

/// Whether a name can be a profile's: letters, digits, `_`, `+`, `.` and `-`, not beginning with `.` or `-`.
///
/// # Errors
/// It cannot.
pub fn profile_name(text: &str) -> Result<(), Wrong> {
    let wrong =
        |label: &str| Wrong::new(format!("`{text}` is not the name of a profile")).label(label);
    if text.is_empty() {
        return Err(wrong("empty"));
    }
    if text.contains('/') {
        return Err(
            wrong("a path").help("profiles are extended by name, from the directories of profiles")
        );
    }
    if text.len() > LONGEST_NAME {
        return Err(wrong("longer than 64 bytes"));
    }
    if text.starts_with(['.', '-']) {
        return Err(wrong("begins with `.` or `-`"));
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'.' | b'-'))
    {
        return Err(wrong("letters, digits, `_`, `+`, `.` and `-` only"));
    }
    match text.strip_suffix(".toml") {
        Some(bare) => {
            Err(wrong("a name is without the ending of its file").help(format!("write \"{bare}\"")))
        }
        None => Ok(()),
    }
}

/// Whether a name can be a program's file name.
fn program_name(text: &str) -> Result<(), Wrong> {
    if text.is_empty() || text.contains('/') || text.chars().any(char::is_control) {
        return Err(
            Wrong::new(format!("`{text}` is not the file name of a program"))
                .help("write the name alone, without its directory"),
        );
    }
    Ok(())
}
