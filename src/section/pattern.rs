//! Patterns of paths, name by name: the same matching when a sandbox is started and while it runs.
//!
//! `*` and `?` match names that start with a dot too, since a rule that hides must not miss them; `**` stands for any number
//! of directories, none included, at the end for everything in one.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use glob::Pattern;

/// One component of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A name without a pattern.
    Name(OsString),
    /// A pattern, for names that are text, and for others byte by byte.
    Pattern {
        /// As written.
        text: Pattern,
        /// Its bytes as characters of the same numbers, where these are others.
        bytes: Option<Pattern>,
    },
    /// `**`
    Any,
}

impl Part {
    /// Reads a component.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(component: &OsStr) -> Result<Self, String> {
        let Some(text) = component.to_str() else {
            return Ok(Self::Name(component.to_owned()));
        };
        if text == "**" {
            return Ok(Self::Any);
        }
        if let Some(name) = plain(text) {
            return Ok(Self::Name(name.into()));
        }
        let wrong = |error: glob::PatternError| error.msg.to_owned();
        let bytes = (!text.is_ascii()).then(|| Pattern::new(&latin(text.as_bytes())));
        Ok(Self::Pattern {
            text: Pattern::new(text).map_err(wrong)?,
            bytes: bytes.transpose().map_err(wrong)?,
        })
    }

    /// Whether it stands for a name.
    #[must_use]
    pub fn matches(&self, name: &OsStr) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Any => true,
            Self::Pattern { text, bytes } => match name.to_str() {
                Some(name) => text.matches(name),
                // A name that is no text is matched byte by byte, and as the text that people see.
                None => {
                    let bytes = bytes.as_ref().unwrap_or(text);
                    bytes.matches(&latin(name.as_bytes())) || text.matches(&name.to_string_lossy())
                }
            },
        }
    }
}

/// The directory before the first component of a pattern that is one, and how many components follow.
#[must_use]
pub fn start(pattern: &Path) -> (PathBuf, usize) {
    let mut start = PathBuf::from("/");
    let mut names = names(pattern).peekable();
    while let Some(name) = names.peek() {
        match name.to_str().map(plain) {
            Some(Some(name)) => start.push(name),
            Some(None) => break,
            None => start.push(name),
        }
        names.next();
    }
    (start, names.count())
}

/// Bytes as characters of the same numbers.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The one name that a component matches, if it has no pattern but quoted characters (`[[]`, `[*]`).
fn plain(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' => return None,
            '[' => {
                let quoted = rest.next()?;
                if !"[]*?".contains(quoted) || rest.next()? != ']' {
                    return None;
                }
                out.push(quoted);
            }
            c => out.push(c),
        }
    }
    Some(out)
}

/// What may still follow below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Only these names.
    Names(Vec<OsString>),
    /// Any name.
    All,
}

/// A pattern of absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts(Vec<Part>);

impl Parts {
    /// Reads an absolute pattern.
    ///
    /// # Errors
    /// What is wrong with one of its components.
    pub fn new(pattern: &Path) -> Result<Self, String> {
        let parts = names(pattern).map(Part::new);
        parts.collect::<Result<_, _>>().map(Self)
    }

    /// The directory before the first component that is a pattern, and what follows; the whole path where none is.
    #[must_use]
    pub fn split(self) -> (PathBuf, Vec<Part>) {
        let mut parts = self.0;
        let plain = parts
            .iter()
            .take_while(|part| matches!(part, Part::Name(_)));
        let rest = parts.split_off(plain.count());
        let mut start = PathBuf::from("/");
        start.extend(parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name),
            _ => None,
        }));
        (start, rest)
    }

    /// The same pattern starting in another directory: where the first one is without symbolic links.
    #[must_use]
    pub fn starting_in(self, directory: &Path) -> Self {
        let (_, rest) = self.split();
        let names = names(directory).map(|name| Part::Name(name.to_owned()));
        Self(names.chain(rest).collect())
    }

    /// Whether a path matches.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        self.may_end_in(path.file_name()) && self.reached(path).contains(&self.0.len())
    }

    /// Whether a path with this last name may match: most are told apart by that already.
    #[must_use]
    pub fn may_end_in(&self, name: Option<&OsStr>) -> bool {
        matches!((self.0.last(), name), (Some(part), Some(name)) if part.matches(name))
    }

    /// What may match below a directory; nothing when nothing can.
    #[must_use]
    pub fn onward(&self, directory: &Path) -> Option<Onward> {
        let mut next = Vec::new();
        for at in self.reached(directory) {
            match self.0.get(at) {
                None => {}
                Some(Part::Name(name)) => next.push(name.clone()),
                Some(_) => return Some(Onward::All),
            }
        }
        (!next.is_empty()).then_some(Onward::Names(next))
    }

    /// How many parts may be behind one at a path.
    fn reached(&self, path: &Path) -> Vec<usize> {
        let mut names = names(path);
        // What begins with other names is told apart at once.
        let mut plain = 0;
        while let Some(Part::Name(own)) = self.0.get(plain) {
            match names.next() {
                Some(name) if name == own => plain += 1,
                Some(_) => return Vec::new(),
                None => return vec![plain],
            }
        }
        let mut at = vec![plain];
        self.pass(&mut at);
        for name in names {
            let mut next = Vec::new();
            for from in at {
                match self.0.get(from) {
                    Some(Part::Any) if from + 1 < self.0.len() => next.push(from),
                    Some(part) if part.matches(name) => next.push(from + 1),
                    _ => {}
                }
            }
            self.pass(&mut next);
            if next.is_empty() {
                return next;
            }
            at = next;
        }
        at
    }

    /// `**` may stand for no directory at all.
    fn pass(&self, at: &mut Vec<usize>) {
        let mut looked = 0;
        while let Some(&from) = at.get(looked) {
            let any = matches!(self.0.get(from), Some(Part::Any)) && from + 1 < self.0.len();
            if any && !at.contains(&(from + 1)) {
                at.push(from + 1);
            }
            looked += 1;
        }
        at.sort_unstable();
        at.dedup();
    }
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts {
        Parts::new(Path::new(text)).unwrap()
    }

    #[test]
    fn paths_match_as_the_search_finds_them() {
        for (pattern, path, expected) in [
            ("/w/**/.env", "/w/.env", true),
            ("/w/**/.env", "/w/a/b/.env", true),
            ("/w/**/.env", "/w/a/b/.envrc", false),
            ("/w/**/.env", "/.env", false),
            ("/w/**/.env*", "/w/a/.env.local", true),
            ("/w/*/.env", "/w/.env", false),
            ("/w/*/.env", "/w/.hidden/.env", true),
            ("/w/*/.env", "/w/a/b/.env", false),
            ("/w/**/b/**/k", "/w/a/b/c/d/k", true),
            ("/w/**/b/**/k", "/w/a/c/d/k", false),
            ("/w/**/b/**/k", "/w/b/k", true),
            ("/w/**", "/w/a", true),
            ("/w/**", "/w/a/b", false),
            ("/w/[*]", "/w/*", true),
            ("/w/[*]", "/w/a", false),
            ("/**/x", "/x", true),
        ] {
            assert_eq!(
                parts(pattern).matches(Path::new(path)),
                expected,
                "{pattern} {path}"
            );
        }
        let odd = Path::new(OsStr::from_bytes(b"/w/k\xff.key"));
        assert!(parts("/w/*.key").matches(odd) && parts("/w/k?.key").matches(odd));
    }

    #[test]
    fn it_is_known_where_matches_may_lie() {
        let deep = parts("/h/w/**/.env");
        let names = |names: &[&str]| {
            let names = names.iter().map(OsString::from).collect();
            Some(Onward::Names(names))
        };
        assert_eq!(deep.onward(Path::new("/")), names(&["h"]));
        assert_eq!(deep.onward(Path::new("/h")), names(&["w"]));
        assert_eq!(deep.onward(Path::new("/h/w")), Some(Onward::All));
        assert_eq!(deep.onward(Path::new("/h/w/a/b")), Some(Onward::All));
        assert_eq!(deep.onward(Path::new("/h/x")), None);
        let flat = parts("/w/*/k");
        assert_eq!(flat.onward(Path::new("/w")), Some(Onward::All));
        assert_eq!(flat.onward(Path::new("/w/a")), names(&["k"]));
        assert_eq!(flat.onward(Path::new("/w/a/k")), None);
    }

    #[test]
    fn it_is_known_where_it_starts_without_reading_all_of_it() {
        for pattern in ["/w/**/.env", "/w/[*]/a*", "/w/x", "/", "/*", "/a/[ab]/c/d"] {
            let (directory, rest) = parts(pattern).split();
            let found = start(Path::new(pattern));
            assert_eq!(found, (directory, rest.len()), "{pattern}");
        }
    }

    #[test]
    fn it_can_start_where_links_lead() {
        let moved = parts("/l/**/k").starting_in(Path::new("/real/w"));
        assert!(moved.matches(Path::new("/real/w/a/k")));
        assert!(!moved.matches(Path::new("/l/a/k")));
    }
}
