//! `[execute]` as mounts, where a view is mounted: nothing can be executed, nor mapped for execution (mmap(2), EPERM), but at
//! what it allows and where libraries are. Landlock holds the same about execve(2), file by file; this is what it cannot:
//! a loader that is handed a program (`ld.so PROGRAM`), and a program that is denied below a directory that is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Draft, Item, What, moved};
use crate::host::facts::PathKind;
use crate::report::Site;
use crate::section::execute::{self, Word};

/// Why something is there that no rule of `[filesystem]` says.
const BECAUSE: &str = "[execute]";
/// More programs than these in one directory are not mounted one by one: the directory is left open as a whole, and
/// Landlock holds which of them can be run.
const MOST_BESIDE: usize = 16;

/// What `[execute]` says of places inside.
#[derive(Debug, Default)]
pub struct Programs {
    /// Whether things can be mapped for execution at a place and below, until a longer one says otherwise.
    words: BTreeMap<PathBuf, bool>,
    /// Trees of which parts cannot be mounted apart, and some part is allowed.
    open: BTreeSet<PathBuf>,
    /// Places of rules that deny.
    denied: BTreeSet<PathBuf>,
}

impl Programs {
    /// Whether what is mounted at a place is kept from being executed.
    pub fn keep_from(&self, place: &Path, item: &Item) -> bool {
        let holds = match &item.what {
            What::Show {
                devices, directory, ..
            } => *directory || !devices,
            What::Overlay { .. } | What::Private { .. } | What::Tmpfs { .. } => {
                !self.open.contains(place)
            }
            _ => false,
        };
        let nearest = || place.ancestors().find_map(|at| self.words.get(at));
        holds && nearest() == Some(&false)
    }

    /// Whether everything is kept from being executed that nothing else is said of.
    pub fn keep_root(&self) -> bool {
        self.words.get(Path::new("/")) == Some(&false)
    }
}

/// Splits the table where `[execute]` says something else of a part than of what lies around it.
pub fn hold(draft: &mut Draft) {
    if !execute::asks(draft.policy) {
        return;
    }
    // What is wrong with it is told when it is lowered for Landlock.
    let Ok(lowered) = execute::lower(draft.policy, draft.facts) else {
        return;
    };
    let mut programs = Programs::default();
    let mut beside: BTreeMap<&Path, usize> = BTreeMap::new();
    for (at, said) in &lowered.said {
        if said.word == Word::Allow && draft.known.get(at) == Some(&PathKind::File) {
            *beside.entry(at.parent().unwrap_or(at)).or_default() += 1;
        }
    }
    for (at, said) in &lowered.said {
        let parent = at.parent().unwrap_or(at);
        match said.word {
            Word::Allow if beside.get(parent).is_some_and(|count| *count > MOST_BESIDE) => {
                programs.words.entry(parent.to_owned()).or_insert(true);
            }
            word => drop(programs.words.insert(at.clone(), word != Word::Deny)),
        }
    }
    let mut places: BTreeMap<PathBuf, Site> = BTreeMap::new();
    for at in programs.words.keys() {
        let site = lowered.said.get(at).map_or(Site::DEFAULT, |said| said.site);
        places.insert(at.clone(), site);
    }
    for (at, site) in places {
        if at.parent().is_none() {
            draft.table.entry(at).or_insert_with(Item::root_of_host);
            continue;
        }
        if draft.table.contains_key(&at) {
            continue;
        }
        let (tree, item) = draft.cover_or_root(&at);
        match &item.what {
            What::Show {
                source,
                access,
                devices,
                ..
            } => {
                let source = moved(&at, tree, source);
                let kind = draft.known.get(&source).copied();
                if !matches!(kind, Some(PathKind::Directory | PathKind::File)) {
                    continue;
                }
                let what = What::Show {
                    access: *access,
                    devices: *devices,
                    directory: kind == Some(PathKind::Directory),
                    source,
                };
                // Both sections have to let it.
                let kept = !draft.executes(tree, item);
                let entry = draft.imply(at, what, site, BECAUSE);
                entry.execute = kept.then_some(false);
            }
            What::Overlay { .. } | What::Private { .. } | What::Tmpfs { .. }
                if programs.words.get(&at) == Some(&true) =>
            {
                let tree = tree.to_owned();
                programs.open.insert(tree);
            }
            _ => {}
        }
    }
    let denied = lowered
        .said
        .iter()
        .filter(|(_, said)| said.word == Word::Deny);
    programs.denied = denied.map(|(at, _)| at.clone()).collect();
    draft.programs = Some(programs);
}

/// The places of rules that deny, at which a mount of their own keeps everything from being executed.
pub fn denied(draft: &Draft) -> BTreeSet<PathBuf> {
    let Some(programs) = &draft.programs else {
        return BTreeSet::new();
    };
    let held = |at: &&PathBuf| {
        draft
            .table
            .get(at)
            .is_some_and(|item| matches!(item.what, What::Show { .. }) && !draft.executes(at, item))
    };
    programs.denied.iter().filter(held).cloned().collect()
}

#[cfg(test)]
#[path = "programs_tests.rs"]
mod tests;
