//! Patterns that keep files away, for names that are given later: while the program runs, the launcher looks after the
//! directories in which such a name can appear, and covers what gets one.
//!
//! A path is decided as at the start: what names it alone decides, then the strongest pattern that matches. What was shown
//! from elsewhere is decided by its own path, and by that of the host.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::draft::Line;
use super::{Draft, Said, What, is_moved, moved, world};
use crate::plan::{Action, OnFailure, Step};
use crate::profile::value::{Access, View};
use crate::section::expand::Expanded;
use crate::section::pattern::{self, Onward, Parts};
use crate::tree::{self, PathMap};

/// A pattern of `[filesystem]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it matches, below a directory without symbolic links.
    pub pattern: Parts,
    /// Whether it keeps files away.
    pub closes: bool,
    /// As written.
    pub key: String,
}

/// What the files below a place are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Those of the host below this path.
    Host(PathBuf),
    /// Ours.
    Own,
}

/// What is to be covered as soon as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The strongest first.
    rules: Vec<Rule>,
    /// What names a path alone, and whether it keeps that away.
    literals: PathMap<bool>,
    /// The last names of those that do: nearly all files are told apart by theirs.
    kept: BTreeSet<OsString>,
    /// Where what lies below is something else than around it.
    trees: PathMap<Tree>,
}

impl Names {
    /// Rules, the strongest first; what names a path alone; and where what lies below is something else than around it.
    #[must_use]
    pub fn new(rules: Vec<Rule>, literals: PathMap<bool>, trees: PathMap<Tree>) -> Self {
        Self {
            rules,
            trees,
            ..Self::default()
        }
        .with_literals(literals)
    }

    fn with_literals(mut self, literals: PathMap<bool>) -> Self {
        let kept = literals.iter().filter(|(_, closes)| **closes);
        self.kept = kept
            .filter_map(|(path, _)| path.file_name().map(OsStr::to_owned))
            .collect();
        self.literals = literals;
        self
    }

    /// The patterns that keep files away, as written.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let rules = self.rules.iter().filter(|rule| rule.closes);
        rules.map(|rule| rule.key.as_str())
    }

    /// Whether what is at a place is to be kept away.
    #[must_use]
    pub fn close(&self, place: &Path) -> bool {
        // The same at both paths, but where a file is shown under another name: a key names that place alone, and decides.
        let name = place.file_name();
        let mut rules = self.rules.iter().filter(|rule| rule.closes);
        if !name.is_some_and(|name| self.kept.contains(name))
            && !rules.any(|rule| rule.pattern.may_end_in(name))
        {
            return false;
        }
        let Some(host) = self.host(place) else {
            return false;
        };
        let said = self.verdict(place);
        said.or_else(|| {
            (host != place)
                .then(|| self.verdict(&host))
                .flatten()
                .filter(|closes| *closes)
        })
        .unwrap_or(false)
    }

    fn verdict(&self, path: &Path) -> Option<bool> {
        self.literals.get(path).copied().or_else(|| {
            let mut rules = self.rules.iter();
            let found = rules.find(|rule| rule.pattern.matches(path));
            found.map(|rule| rule.closes)
        })
    }

    /// Which names in a directory matter: of files to be covered, or of directories in which there may be some.
    #[must_use]
    pub fn onward(&self, directory: &Path) -> Option<Onward> {
        let mut names: Vec<OsString> = Vec::new();
        if let Some(host) = self.host(directory) {
            let elsewhere = Some(host.as_path()).filter(|host| *host != directory);
            for path in [directory].into_iter().chain(elsewhere) {
                for rule in self.rules.iter().filter(|rule| rule.closes) {
                    match rule.pattern.onward(path) {
                        None => {}
                        Some(Onward::Names(more)) => names.extend(more),
                        Some(Onward::All) => return Some(Onward::All),
                    }
                }
            }
        }
        // On the way to a tree of the host that matters.
        for (place, tree) in super::below(&self.trees, directory) {
            if *tree != Tree::Own
                && place != directory
                && let Ok(rest) = place.strip_prefix(directory)
                && let Some(name) = rest.iter().next()
                && self.onward_at(place)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.dedup();
        (!names.is_empty()).then_some(Onward::Names(names))
    }

    /// Whether [`Self::onward`] has something to say of the root.
    fn matter(&self) -> bool {
        let root = Path::new("/");
        let may_match = |path: &Path| {
            let mut rules = self.rules.iter().filter(|rule| rule.closes);
            rules.any(|rule| rule.pattern.onward(path).is_some())
        };
        if let Some(host) = self.host(root)
            && (may_match(root) || (host != root && may_match(&host)))
        {
            return true;
        }
        let mut below = super::below(&self.trees, root);
        below.any(|(place, tree)| *tree != Tree::Own && self.onward_at(place))
    }

    /// Whether files of the host that lie below one of its directories may be seen where the directory itself is not.
    fn is_elsewhere(&self, directory: &Path) -> bool {
        self.trees.iter().any(|(place, tree)| match tree {
            Tree::Own => false,
            Tree::Host(source) => {
                place.starts_with(directory)
                    || source.starts_with(directory)
                    || directory.starts_with(source)
            }
        })
    }

    /// Whether something may match at or below the root of a tree.
    fn onward_at(&self, place: &Path) -> bool {
        let paths = [Some(place.to_owned()), self.host(place)];
        paths.into_iter().flatten().any(|path| {
            let mut rules = self.rules.iter().filter(|rule| rule.closes);
            rules.any(|rule| rule.pattern.onward(&path).is_some() || rule.pattern.matches(&path))
        })
    }

    /// The path of the host that is seen at a place; none where the files are ours.
    fn host(&self, place: &Path) -> Option<PathBuf> {
        match self.trees.nearest(place) {
            None => Some(place.to_owned()),
            Some((_, Tree::Own)) => None,
            Some((at, Tree::Host(source))) => Some(moved(place, at, source)),
        }
    }
}

/// Where a pattern starts, for the facts: it is looked after where that leads.
#[must_use]
pub fn stem(glob: &Path) -> PathBuf {
    pattern::start(glob).0
}

/// Whether names are looked for that a pattern may match later. Not where every match lies in one directory of the system's,
/// in which only root makes files: no launch with a profile that hides `/etc/shadow*` is to pay for that.
pub(super) fn is_looked_after(draft: &Draft, glob: &Path) -> bool {
    let (stem, rest) = pattern::start(glob);
    is_looked_after_in(draft, &stem, rest)
}

fn is_looked_after_in(draft: &Draft, stem: &Path, rest: usize) -> bool {
    rest > 1 || !draft.is_roots(stem)
}

/// What patterns keep away later, where mounts can be made.
pub(super) fn look_after(draft: &mut Draft, lines: &[Line]) -> Option<Step> {
    let overlays: Vec<PathBuf> = (draft.table.iter())
        .filter(|(_, item)| matches!(item.what, What::Overlay { .. }))
        .map(|(place, _)| place.clone())
        .collect();
    let mut notes = Vec::new();
    let mut found = Vec::new();
    let said = draft.said.clone();
    let is_closed_glob =
        |said: &Said| said.view.closes() && matches!(said.expanded, Ok(Expanded::Glob(_)));
    if !said.iter().any(is_closed_glob) {
        return None;
    }
    let mut names = Names {
        trees: trees(draft, lines),
        ..Names::default()
    };
    for said in said.iter() {
        let (key, view, rule) = (said.key, said.view, said.rule);
        let closes = view.closes();
        let Ok(Expanded::Glob(glob)) = &said.expanded else {
            continue;
        };
        let (stem, rest) = pattern::start(glob);
        let looked_after = !closes || is_looked_after_in(draft, &stem, rest);
        let stem = match draft.facts.path(&stem) {
            Some(fact) => world::host_place(&stem, fact),
            None => stem,
        };
        if !looked_after {
            continue;
        }
        let seen = draft.shown(&stem).is_some() || names.is_elsewhere(&stem);
        if closes && !seen {
            continue;
        }
        let Ok(pattern) = Parts::new(glob) else {
            continue;
        };
        let strictness = match view.plain() {
            _ if closes => 2,
            View::Host(Access::ReadWrite) => 0,
            _ => 1,
        };
        let near = |over: &&PathBuf| stem.starts_with(over) || over.starts_with(&stem);
        if closes && let Some(over) = overlays.iter().find(near) {
            let text = format!(
                "`{key}` keeps away what it matches in `{}` at the start, and what the program makes; what others make there later is seen, for changes are kept apart",
                over.display()
            );
            notes.push((rule.site, text));
        }
        found.push((
            (rule.layer, key.len(), strictness),
            rule.site,
            Rule {
                pattern: pattern.starting_in(&stem),
                closes,
                key: key.to_owned(),
            },
        ));
    }
    // As where rules meet at the start.
    found.sort_by_key(|(rank, ..)| Reverse(*rank));
    let site = found.iter().find(|(.., rule)| rule.closes)?.1;
    names.rules = found.into_iter().map(|(.., rule)| rule).collect();
    if !names.matter() {
        return None;
    }
    let names = names.with_literals(literals(draft, &said));
    for (site, text) in notes {
        draft.note(site, text);
    }
    if !draft.around.pid_namespace {
        let text = "the process that hides what gets a hidden name later can be killed from inside, and the program ends with it then; what the program leaves running when it ends sees such files: with `namespaces.pid = true` it is out of reach, and nothing is left";
        draft.note(site, text);
    }
    Some(Step {
        action: Action::KeepAway(names),
        site,
        because: String::new(),
        on_failure: OnFailure::Fatal,
    })
}

/// What rules name alone, by what they say and by where that leads.
fn literals(draft: &Draft, said: &[Said]) -> PathMap<bool> {
    let mut literals = PathMap::with_capacity(said.len());
    for said in said {
        if let Ok(Expanded::Path(path)) = &said.expanded {
            let closes = said.view.closes();
            if let Some(fact) = draft.facts.path(path) {
                let place = world::leads_to(path, fact);
                if place.as_os_str() != path.as_os_str() {
                    literals.entry(place.into_owned()).or_insert(closes);
                }
            }
            literals.insert(path.clone(), closes);
        }
    }
    literals
}

/// Where what is seen is something else than around it.
fn trees(draft: &Draft, lines: &[Line]) -> PathMap<Tree> {
    let mut trees: Vec<(PathBuf, Tree)> = Vec::new();
    // The last of these at or above each entry.
    let mut nearest: Vec<Option<usize>> = Vec::with_capacity(lines.len());
    for (line, (place, item)) in lines.iter().zip(&draft.table) {
        let above = line.above.and_then(|above| *nearest.get(above)?);
        nearest.push(above);
        // Somebody outside may put something else in the place of what is closed.
        if item.what.closes() && !line.has_below {
            continue;
        }
        let source = match &item.what {
            What::Show { source, .. } | What::Overlay { source, .. } => Some(source),
            _ => None,
        };
        let above = above.and_then(|above| trees.get(above));
        let inherited = match (source, above.map(|(at, tree)| (at, tree))) {
            (Some(source), None) => tree::same(source, place),
            (Some(source), Some((at, Tree::Host(from)))) => is_moved(place, at, from, source),
            (None, Some((_, Tree::Own))) => true,
            _ => false,
        };
        if !inherited {
            let tree = source.map_or(Tree::Own, |source| Tree::Host(source.clone()));
            if let Some(nearest) = nearest.last_mut() {
                *nearest = Some(trees.len());
            }
            trees.push((place.clone(), tree));
        }
    }
    trees.into_iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rule(pattern: &str, closes: bool) -> Rule {
        Rule {
            pattern: Parts::new(Path::new(pattern)).unwrap(),
            closes,
            key: pattern.to_owned(),
        }
    }

    fn names(rules: &[(&str, bool)], literals: &[(&str, bool)], trees: &[(&str, Tree)]) -> Names {
        let rules = rules.iter().map(|(at, closes)| rule(at, *closes));
        let literals = literals.iter().map(|(at, closes)| (at.into(), *closes));
        let trees = trees.iter().map(|(at, tree)| (at.into(), tree.clone()));
        Names::new(rules.collect(), literals.collect(), trees.collect())
    }

    fn closed(names: &Names, place: &str) -> bool {
        names.close(Path::new(place))
    }

    fn listed(onward: &[&str]) -> Option<Onward> {
        Some(Onward::Names(onward.iter().map(OsString::from).collect()))
    }

    #[test]
    fn exceptions_hold_for_what_comes_later() {
        let names = names(
            &[("/w/**/.env.example", false), ("/w/**/.env*", true)],
            &[("/w/a/.env", false), ("/w/b/key", true)],
            &[],
        );
        for (place, expected) in [
            ("/w/.env", true),
            ("/w/a/b/.env.local", true),
            ("/w/a/.env.example", false),
            ("/w/a/.env", false),
            ("/w/b/key", true),
            ("/w/c/key", false),
        ] {
            assert_eq!(closed(&names, place), expected, "{place}");
        }
        assert_eq!(names.onward(Path::new("/")), listed(&["w"]));
        assert_eq!(names.onward(Path::new("/w/x")), Some(Onward::All));
        assert_eq!(names.onward(Path::new("/etc")), None);
    }

    #[test]
    fn what_is_ours_is_left_alone_and_what_is_shown_below_it_is_not() {
        let trees = [
            ("/", Tree::Own),
            ("/h/w", Tree::Host("/h/w".into())),
            ("/h/w/t", Tree::Own),
            ("/usr", Tree::Host("/usr".into())),
        ];
        let names = names(&[("/h/**/.env", true)], &[], &trees);
        assert!(closed(&names, "/h/w/a/.env"));
        assert!(!closed(&names, "/h/.env") && !closed(&names, "/h/w/t/.env"));
        assert_eq!(names.onward(Path::new("/")), listed(&["h"]));
        assert_eq!(names.onward(Path::new("/h")), listed(&["w"]));
        assert_eq!(names.onward(Path::new("/h/w")), Some(Onward::All));
        assert_eq!(names.onward(Path::new("/h/w/t")), None);
    }

    #[test]
    fn at_a_second_place_the_path_of_the_host_counts_too() {
        let trees = [("/m", Tree::Host("/w/a".into()))];
        let shown = names(&[("/w/**/.env", true)], &[], &trees);
        assert!(closed(&shown, "/m/x/.env") && closed(&shown, "/w/.env"));
        assert!(!closed(&shown, "/n/.env"));
        assert_eq!(shown.onward(Path::new("/")), listed(&["m", "w"]));
        let named = names(
            &[("/w/*.env", true)],
            &[("/w/a/key", true), ("/m/own", false), ("/w/a/own", true)],
            &trees,
        );
        assert!(closed(&named, "/m/key") && closed(&named, "/w/a/key"));
        assert!(!closed(&named, "/m/own") && !closed(&named, "/m/b/key"));
        let own_word = names(&[("/m/**/.env", false), ("/w/**/.env", true)], &[], &trees);
        assert!(!closed(&own_word, "/m/x/.env"));
    }
}
