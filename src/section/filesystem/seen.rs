//! What is seen at one path, and which rule says so: the answer to a question, from the same table that becomes mounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Draft, Item, Surroundings, What, asks, draft, moved, world};
use crate::host::Facts;
use crate::host::facts::PathKind;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value, View};
use crate::report::{Diagnostics, Site};
use crate::section::expand::{Expanded, expand};

pub use super::world::{Links, links, normal};

/// What somebody finds at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A path of the host.
    Host {
        /// Without links.
        path: PathBuf,
        /// What may be done with it, as far as its own mode allows.
        access: Access,
        /// Whether device nodes work there.
        devices: bool,
        /// What the host has there; `None`: nobody looked.
        kind: Option<PathKind>,
    },
    /// A path of an imported root, with changes that are thrown away.
    Root {
        /// On the host.
        path: PathBuf,
        /// What is there; `None`: nobody looked.
        kind: Option<PathKind>,
    },
    /// Nothing.
    Hidden,
    /// Something empty and closed.
    Denied,
    /// A directory that only leads to what is shown below it.
    Way,
    /// Memory.
    Tmpfs,
    /// This directory of the profile's own, or what is in it.
    Private(PathBuf),
    /// A file whose content a rule gives.
    Text,
    /// A socket or file that is made for this run alone.
    Made,
    /// Information about processes, of a pid namespace of the sandbox's own.
    Proc(Access),
    /// The minimal /dev; what is in it has rules of its own.
    Dev,
    /// Pseudo-terminals of the sandbox's own.
    Devpts,
    /// Message queues of the sandbox's own.
    Mqueue,
    /// A symbolic link that says this.
    Link(PathBuf),
}

/// A rule that is about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// The key, or the path where nobody wrote one.
    pub name: String,
    /// Where it stands.
    pub site: Site,
    /// Why, when no rule says it; else empty.
    pub because: String,
}

/// What is seen at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where the path leads inside.
    pub place: PathBuf,
    /// What is there.
    pub shown: Shown,
    /// Whether it can be executed, as far as `execute` and `process.write-xor-execute` are about it.
    pub execute: bool,
    /// What decided; `None`: no rule is about it, and it is seen as on the host.
    pub decider: Option<Decider>,
    /// Rules about directories above, the nearest first.
    pub weaker: Vec<Decider>,
}

/// Looks a path up, which the facts must know of.
///
/// # Errors
/// Rules that cannot be carried out: what is seen cannot be told then.
pub fn seen(
    policy: &Policy,
    facts: &Facts,
    around: &Surroundings,
    path: &Path,
) -> Result<Seen, Diagnostics> {
    if !asks(policy, around) {
        let fact = facts.path(path);
        let place = fact.map_or_else(|| normal(path), |fact| world::host_place(path, fact));
        return Ok(Seen {
            shown: Shown::Host {
                path: place.clone(),
                access: Access::ReadWrite,
                devices: true,
                kind: fact.map(|fact| fact.kind),
            },
            place,
            execute: true,
            decider: None,
            weaker: Vec::new(),
        });
    }
    let draft = draft(policy, facts, around);
    if !draft.errors.is_empty() {
        return Err(draft.errors);
    }
    let trees = draft.table.iter().map(|(place, item)| {
        let source = match &item.what {
            What::Show { source, .. } | What::Overlay { source, .. } => source,
            _ => place,
        };
        (place.clone(), source.clone())
    });
    let links = links(facts);
    let walk = world::walk_inside(path, &links, &trees.collect()).unwrap_or_else(|_| world::Walk {
        place: normal(path),
        links: Vec::new(),
    });
    // A link of the host that is not seen inside leads nowhere there.
    let broken = walk.links.iter().map(|(at, _)| at).find(|at| {
        draft
            .cover(at)
            .is_some_and(|(place, item)| match item.what {
                What::Show { .. } | What::Overlay { .. } => false,
                What::Link(_) => place != at.as_path(),
                _ => !leads_through(&draft, at),
            })
    });
    let place = broken.cloned().unwrap_or(walk.place);
    let mut above: Vec<(&PathBuf, &Item)> = place
        .ancestors()
        .filter_map(|at| draft.table.get_key_value(at))
        .collect();
    let found = (!above.is_empty()).then(|| above.remove(0));
    let shown = shown(&draft, &place);
    let execute = found.is_none_or(|(at, item)| draft.executes(at, item));
    let decider = |(_, item): (&PathBuf, &Item)| Decider {
        name: item.name.clone(),
        site: item.site,
        because: item.because.clone(),
    };
    Ok(Seen {
        shown,
        execute,
        decider: found.map(decider),
        weaker: above.into_iter().map(decider).collect(),
        place,
    })
}

/// The tree of the host that is `/` inside in the place of the host's own, if there is one.
#[must_use]
pub fn other_root(policy: &Policy, facts: &Facts) -> Option<PathBuf> {
    let view = match policy.get(Section::Filesystem, "/")?.value {
        Value::View(view) => view.plain(),
        _ => return None,
    };
    let tree = match view {
        View::Root { source, .. } => facts.roots.get(source)?.clone(),
        View::Bind { source, .. } => match expand(source, &facts.caller) {
            Ok(Expanded::Path(path)) => path,
            _ => return None,
        },
        _ => return None,
    };
    let canonical = facts.path(&tree).and_then(|fact| fact.canonical.clone());
    Some(canonical.unwrap_or(tree)).filter(|tree| tree != Path::new("/"))
}

/// Where a path leads inside such a root, as far as the facts tell.
#[must_use]
pub fn place_in(tree: &Path, path: &Path, links: &Links) -> PathBuf {
    let trees = [(PathBuf::from("/"), tree.to_owned())].into();
    world::walk_inside(path, links, &trees).map_or_else(|_| normal(path), |walk| walk.place)
}

/// Paths of the host that have to be looked at before it can be told where these paths lead inside such a root: a link in
/// it has said that it goes on there.
#[must_use]
pub fn beyond(tree: &Path, paths: &[PathBuf], facts: &Facts) -> Vec<PathBuf> {
    let links = links(facts);
    let places = paths.iter().map(|path| place_in(tree, path, &links));
    let there: BTreeSet<PathBuf> = places
        .map(|place| moved(&place, Path::new("/"), tree))
        .collect();
    let unknown = there.into_iter().filter(|path| facts.path(path).is_none());
    unknown.collect()
}

/// Whether a rule about what lies beyond has the link made again, where nothing of the host is.
fn leads_through(draft: &Draft, link: &Path) -> bool {
    draft
        .table
        .get(link)
        .is_some_and(|item| matches!(item.what, What::Link(_)))
}

fn kind_of(draft: &Draft, path: &Path) -> Option<PathKind> {
    let known = draft.known.get(path).copied();
    known.or_else(|| draft.facts.path(path).map(|fact| fact.kind))
}

fn shown(draft: &Draft, place: &Path) -> Shown {
    let (at, item) = draft.cover_or_root(place);
    let of_host = |source: &Path| {
        let path = moved(place, at, source);
        let kind = kind_of(draft, &path);
        (path, kind)
    };
    match &item.what {
        What::Show {
            source,
            access,
            devices,
            ..
        } => {
            let (path, kind) = of_host(source);
            Shown::Host {
                path,
                access: *access,
                devices: *devices,
                kind,
            }
        }
        // Changes go elsewhere.
        What::Overlay { source, .. } => {
            let (path, kind) = of_host(source);
            Shown::Root { path, kind }
        }
        What::Hidden | What::Denied { .. } | What::MinimalDev => {
            let leads = draft
                .table
                .below(place)
                .any(|(_, item)| !item.what.closes());
            match (&item.what, leads) {
                (What::MinimalDev, _) if at == place => Shown::Dev,
                (_, true) => Shown::Way,
                (What::Denied { .. }, _) if at == place => Shown::Denied,
                _ => Shown::Hidden,
            }
        }
        What::Tmpfs { .. } => Shown::Tmpfs,
        What::Private { directory } => Shown::Private(moved(place, at, directory)),
        What::Text(_) => Shown::Text,
        What::Proc { options, .. } if options.only_processes && !super::proc::is_of_one(place) => {
            Shown::Hidden
        }
        What::Proc { access, .. } => Shown::Proc(*access),
        What::Made { .. } => Shown::Made,
        What::Devpts => Shown::Devpts,
        What::Mqueue => Shown::Mqueue,
        What::Link(target) => Shown::Link(target.clone()),
    }
}
