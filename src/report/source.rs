//! Every text that can say something about a sandbox, and places in it.
//!
//! A [`Site`] is small and `Copy`, so that each value of a profile, each rule of a policy and each step of a
//! plan can carry the place that asked for it. Only the [`SourceMap`] can turn it into `file:line:column`.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Names one [`Source`] of a [`SourceMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// Where a text came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The defaults of the key table; has no text of its own.
    Default,
    /// A profile that is compiled into the program.
    Embedded,
    /// A file on disk.
    File(PathBuf),
    /// One option of the command line.
    CommandLine,
}

/// One text: a profile's file, an embedded profile, or an option of the command line.
#[derive(Clone, Debug)]
pub struct Source {
    /// What people see before the line number: a path, `embedded:NAME.toml` or `command line`.
    pub name: String,
    /// Where it came from.
    pub kind: SourceKind,
    /// The whole text. Empty for [`SourceKind::Default`].
    pub text: Cow<'static, str>,
}

/// A range of bytes in one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Site {
    /// The place of everything that nobody asked for: the default of a key.
    pub const DEFAULT: Self = Self {
        source: SourceId(0),
        start: 0,
        end: 0,
    };

    /// A place in `source`. Offsets beyond 4 GiB cannot occur: no source is that large.
    #[must_use]
    pub fn new(source: SourceId, span: std::ops::Range<usize>) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            source,
            start: clamp(span.start),
            end: clamp(span.end),
        }
    }

    /// Whether this is a built-in default rather than something that somebody wrote.
    #[must_use]
    pub fn is_default(self) -> bool {
        self.source == SourceId(0)
    }
}

/// A value with the place that says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Located<T> {
    /// What is said.
    pub value: T,
    /// Where.
    pub site: Site,
}

impl<T> Located<T> {
    /// Puts a value and its place together.
    pub fn new(value: T, site: Site) -> Self {
        Self { value, site }
    }

    /// The same place, another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: change(self.value),
            site: self.site,
        }
    }
}

/// A place as people count: lines and columns from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The source's name.
    pub name: String,
    /// Line, from 1; 0 where the source has no lines (defaults, command line).
    pub line: usize,
    /// Column, from 1; 0 where the source has none.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = super::escape::line(&self.name);
        if self.line == 0 {
            write!(f, "{name}")
        } else {
            write!(f, "{name}:{}:{}", self.line, self.column)
        }
    }
}

/// All texts of one run.
#[derive(Clone, Debug)]
pub struct SourceMap {
    sources: Vec<Source>,
    /// Where the lines of each begin; counted when a place is asked for, for thousands may be.
    lines: Vec<OnceLock<Vec<usize>>>,
}

impl Default for SourceMap {
    fn default() -> Self {
        Self::new()
    }
}

impl SourceMap {
    /// A map that knows only the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sources: vec![Source {
                name: "default".to_owned(),
                kind: SourceKind::Default,
                text: Cow::Borrowed(""),
            }],
            lines: vec![OnceLock::new()],
        }
    }

    /// Adds a text and names it.
    pub fn add(&mut self, source: Source) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        self.sources.push(source);
        self.lines.push(OnceLock::new());
        id
    }

    /// The text that `id` names.
    #[must_use]
    pub fn get(&self, id: SourceId) -> &Source {
        self.sources.get(id.0 as usize).unwrap_or(&self.sources[0])
    }

    /// The place in lines and columns.
    #[must_use]
    pub fn position(&self, site: Site) -> Position {
        let source = self.get(site.source);
        let name = source.name.clone();
        if !matches!(source.kind, SourceKind::File(_) | SourceKind::Embedded) {
            let name = if source.kind == SourceKind::CommandLine {
                format!("command line ({})", source.text)
            } else {
                name
            };
            return Position {
                name,
                line: 0,
                column: 0,
            };
        }
        let before = source
            .text
            .get(..site.start as usize)
            .unwrap_or(&source.text);
        let count = || {
            let ends = source.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect::<Vec<_>>()
        };
        let counted = self.lines.get(site.source.0 as usize);
        let starts = counted.map_or(&[][..], |lines| lines.get_or_init(count));
        let line = starts.partition_point(|start| *start <= before.len());
        let start = line.checked_sub(1).and_then(|at| starts.get(at));
        let in_line = before.get(start.copied().unwrap_or(0)..).unwrap_or(before);
        Position {
            name,
            line: line.max(1),
            column: in_line.chars().count() + 1,
        }
    }

    /// A copy with no more text than is needed to tell these places.
    #[must_use]
    pub fn only(&self, sites: &[Site]) -> Self {
        let only = |(number, source): (usize, &Source)| {
            let sites = sites.iter().filter(|site| site.source.0 as usize == number);
            let end = match source.kind {
                SourceKind::File(_) | SourceKind::Embedded => {
                    sites.map(|site| site.end as usize).max().unwrap_or(0)
                }
                // Told as a whole.
                SourceKind::Default | SourceKind::CommandLine => source.text.len(),
            };
            let text = match &source.text {
                Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
                Cow::Owned(text) => Cow::Owned(text.get(..end).unwrap_or(text).to_owned()),
            };
            Source {
                name: source.name.clone(),
                kind: source.kind.clone(),
                text,
            }
        };
        Self {
            sources: self.sources.iter().enumerate().map(only).collect(),
            lines: self.sources.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// The text at a place.
    #[must_use]
    pub fn text(&self, site: Site) -> &str {
        self.get(site.source)
            .text
            .get(site.start as usize..site.end as usize)
            .unwrap_or("")
    }
}
