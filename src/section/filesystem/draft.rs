//! The table while it is made: what is asked of it, and how something is added.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::{Draft, Item, Note, What, moved_from};
use crate::host::facts::PathKind;
use crate::profile::value::{Access, Create};
use crate::report::Site;

/// How an entry of the table lies among the others.
pub(super) struct Line {
    /// The number of the nearest one above it.
    pub above: Option<usize>,
    /// Whether what is there can be executed.
    pub executes: bool,
    /// Whether something lies below it.
    pub has_below: bool,
    /// Whether something lies below it that is not closed.
    pub leads_on: bool,
    /// Whether what lies around it is of the host.
    pub in_host: bool,
}

/// What the entries above one hand down.
struct Step {
    number: usize,
    /// The nearest word about execution.
    word: Option<bool>,
    of_host: bool,
}

impl Draft<'_> {
    pub(super) fn note(&mut self, site: Site, text: impl Into<String>) {
        self.notes.push(Note {
            text: text.into(),
            site,
        });
    }

    /// The nearest entry of the table at or above a place.
    pub(super) fn cover(&self, place: &Path) -> Option<(&Path, &Item)> {
        let nearest = self.table.nearest(place);
        nearest.map(|(at, item)| (at.as_path(), item))
    }

    /// The same; without one, the root is the host's.
    pub(super) fn cover_or_root(&self, place: &Path) -> (&Path, &Item) {
        self.cover(place).unwrap_or((Path::new("/"), &self.root))
    }

    /// The path of the host that is shown at a place, with which access; `None` when nothing of the host is.
    pub(super) fn shown<'p>(&self, place: &'p Path) -> Option<(Cow<'p, Path>, Access)> {
        Self::shown_by(self.cover_or_root(place), place)
    }

    /// The same where the nearest entry is known.
    pub(super) fn shown_by<'p>(
        (at, item): (&Path, &Item),
        place: &'p Path,
    ) -> Option<(Cow<'p, Path>, Access)> {
        match &item.what {
            What::Show { source, access, .. } => Some((moved_from(place, at, source), *access)),
            // Nothing of the host can be changed by it.
            What::Overlay { source, .. } => Some((moved_from(place, at, source), Access::ReadOnly)),
            _ => None,
        }
    }

    /// Whether what is at a place can be executed: the nearest word about that decides, but for what can be written, of
    /// which `process.write-xor-execute` has a word too. `[execute]` has to let it, besides.
    pub(super) fn executes(&self, place: &Path, item: &Item) -> bool {
        self.executes_below(place, item, || {
            let found = self.table.find_above(place.parent()?, |item| item.execute);
            found.map(|(_, execute)| execute)
        })
    }

    /// How the entries of the table lie below each other, in their order.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::with_capacity(self.table.len());
        // The last one, and all above it.
        let mut above: Vec<Step> = Vec::new();
        self.table.each_below(|place, item, depth| {
            above.truncate(depth);
            let around = above.last();
            let word = around.and_then(|around| around.word);
            if let Some(line) = around.and_then(|around| lines.get_mut(around.number)) {
                line.has_below = true;
            }
            if !item.what.closes() {
                for around in &above {
                    if let Some(line) = lines.get_mut(around.number) {
                        line.leads_on = true;
                    }
                }
            }
            let of_host = item.of_host().is_some();
            lines.push(Line {
                above: around.map(|around| around.number),
                executes: self.executes_below(place, item, || word),
                has_below: false,
                leads_on: false,
                in_host: around.is_none_or(|around| around.of_host),
            });
            above.push(Step {
                number: lines.len() - 1,
                word: item.execute.or(word),
                of_host,
            });
        });
        lines
    }

    pub(super) fn executes_below(
        &self,
        place: &Path,
        item: &Item,
        above: impl FnOnce() -> Option<bool>,
    ) -> bool {
        let programs = self.programs.as_ref();
        if programs.is_some_and(|programs| programs.keep_from(place, item)) {
            return false;
        }
        if item.execute.is_none() && self.around.write_xor_execute && item.what.is_writable() {
            return false;
        }
        item.execute.or_else(above).unwrap_or(true)
    }

    /// Has something made first that a rule asks for.
    pub(super) fn create(&mut self, path: &Path, what: Create, site: Site) {
        self.created.insert(path.to_owned(), (what, site));
        for made in path.ancestors().skip(1) {
            self.known.insert(made.to_owned(), PathKind::Directory);
        }
        let kind = match what {
            Create::Directory => PathKind::Directory,
            Create::File => PathKind::File,
        };
        self.known.insert(path.to_owned(), kind);
    }

    /// Has a directory of the caller's own made first.
    pub(super) fn make_own(&mut self, path: &Path, site: Site) {
        self.own.insert(path.to_owned(), site);
        for made in path.ancestors() {
            self.known.insert(made.to_owned(), PathKind::Directory);
        }
    }

    /// Adds an entry that no rule says, unless there is one at that place; and what is there then.
    pub(super) fn imply(
        &mut self,
        place: impl Into<PathBuf>,
        what: What,
        site: Site,
        because: &str,
    ) -> &mut Item {
        let place = place.into();
        // Nearly all paths are text.
        let name = || match place.to_str() {
            Some(text) => text.to_owned(),
            None => place.display().to_string(),
        };
        let item = || Item {
            what,
            name: name(),
            site,
            because: because.to_owned(),
            execute: None,
        };
        self.table.entry(place.clone()).or_insert_with(item)
    }
}
