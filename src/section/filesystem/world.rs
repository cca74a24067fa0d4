//! Where paths lead: on the host, and inside, where some trees come from elsewhere.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use super::{join, moved};
use crate::host::Facts;
use crate::host::facts::{PathFact, PathKind};
use crate::tree::{self, PathMap, PathSet};

/// The kernel follows no more links in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Every link that was seen on the host: where it is, by a path without links, and what it says.
pub type Links = PathMap<PathBuf>;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Without links.
    pub place: PathBuf,
    /// The links that were followed.
    pub links: Vec<(PathBuf, PathBuf)>,
}

/// All links that the facts tell of.
#[must_use]
pub fn links(facts: &Facts) -> Links {
    let all = facts
        .paths
        .values()
        .flat_map(|fact| fact.links.iter().cloned());
    all.collect()
}

/// Where a path of the host leads, whether or not something is there.
#[must_use]
pub fn host_place(path: &Path, fact: &PathFact) -> PathBuf {
    if let Some(canonical) = &fact.canonical {
        return canonical.clone();
    }
    if fact.links.is_empty() {
        return normal(path);
    }
    let links: Links = fact.links.iter().cloned().collect();
    walk(path, &links, &PathMap::new()).map_or_else(|_| path.to_owned(), |walk| walk.place)
}

/// The same, as it is kept where something is there.
pub fn leads_to<'a>(path: &'a Path, fact: &'a PathFact) -> Cow<'a, Path> {
    match &fact.canonical {
        Some(canonical) => canonical.into(),
        None if fact.links.is_empty() && tree::is_plain(path) => path.into(),
        None => host_place(path, fact).into(),
    }
}

/// What is known of paths without links.
#[must_use]
pub fn known(facts: &Facts) -> PathMap<PathKind> {
    let mut out = PathMap::with_capacity(facts.paths.len() * 5 / 4);
    // Whatever something lies below is a directory.
    let mut parents = Vec::new();
    let mut before: Option<Cow<Path>> = None;
    for (path, fact) in facts.paths.iter().filter(|(_, fact)| fact.error.is_none()) {
        let place = leads_to(path, fact);
        if fact.kind != PathKind::Missing {
            let above = tree::ancestors(&place).skip(1);
            // What is above the last one, too, was seen there.
            let seen = |at: &Path| {
                let before = before.as_deref();
                before.is_some_and(|before| tree::is_within(before, at) && !tree::same(before, at))
            };
            parents.extend(above.take_while(|at| !seen(at)).map(Path::to_owned));
            before = Some(place.clone());
        }
        out.insert(place.into_owned(), fact.kind);
    }
    out.extend(parents.into_iter().map(|path| (path, PathKind::Directory)));
    out
}

/// Follows a path as the program will: `trees` tells which places show which path of the host; elsewhere the
/// same path is shown, or a tree of ours in which the host's links are made again.
///
/// # Errors
/// Why it cannot be told where the path leads.
pub fn walk(path: &Path, links: &Links, trees: &PathMap<PathBuf>) -> Result<Walk, String> {
    follow(path, links, trees, false)
}

/// The same where it is known what is inside at whatever a link says: one that leads out of the tree that it is in leads
/// on inside, and not to where it would on the host.
///
/// # Errors
/// Too many links.
pub fn walk_inside(path: &Path, links: &Links, trees: &PathMap<PathBuf>) -> Result<Walk, String> {
    follow(path, links, trees, true)
}

fn follow(
    path: &Path,
    links: &Links,
    trees: &PathMap<PathBuf>,
    inside: bool,
) -> Result<Walk, String> {
    // Nothing leads away from it, and whatever is shown there is shown where it is.
    let direct = || {
        tree::is_plain(path)
            && links.nearest(path).is_none()
            && trees.above(path).all(|(at, source)| tree::same(at, source))
    };
    if links.is_empty() || direct() {
        return Ok(Walk {
            place: normal(path),
            links: Vec::new(),
        });
    }
    let mut place = PathBuf::from("/");
    let mut followed = Vec::new();
    let mut count = 0;
    let mut rest = tree::names(path);
    while let Some(name) = rest.pop() {
        if name == ".." {
            place.pop();
            continue;
        }
        let tree = trees.nearest(&place);
        let (at, source) = tree.map_or((Path::new("/"), Path::new("/")), |(at, source)| {
            (at, source)
        });
        let Some(target) = links.get(&moved(&place, at, source).join(&name)) else {
            place.push(name);
            continue;
        };
        count += 1;
        if count > MOST_LINKS {
            return Err("too many symbolic links".to_owned());
        }
        if at == source {
            followed.push((place.join(&name), target.clone()));
        } else if !inside && (target.is_absolute() || !normal(&place.join(target)).starts_with(at))
        {
            // It was followed on the host, where it leads to another place than inside.
            return Err(format!(
                "the symbolic link `{}` leads out of `{}`",
                moved(&place, at, source).join(&name).display(),
                source.display()
            ));
        }
        if target.is_absolute() {
            place = PathBuf::from("/");
        }
        rest.extend(tree::names(target));
    }
    Ok(Walk {
        place,
        links: followed,
    })
}

/// Those of the paths that lie at or below `place`, moved to below `source`.
pub fn moved_below(all: &PathSet, place: &Path, source: &Path) -> Vec<PathBuf> {
    // They stand one after another: paths are ordered by their names.
    all.from(place)
        .map_while(|path| Some(join(source, path.strip_prefix(place).ok()?)))
        .collect()
}

/// A path with `..` taken as text: where it leads when there is no link.
pub fn normal(path: &Path) -> PathBuf {
    if tree::is_plain(path) {
        return path.to_owned();
    }
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// Entries of a tree of places that lie strictly below one.
pub fn below<'a, V>(
    table: &'a PathMap<V>,
    place: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
    table.below(place)
}
