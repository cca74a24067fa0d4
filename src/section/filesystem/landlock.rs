//! The second wall: the same table as rules of Landlock, and what it can hold where nothing can be mounted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::draft::Line;
use super::system::{first_of_devices, host_dev};
use super::{
    Draft, Item, Lowered, Surroundings, What, asks, enter, fixture, gather, groups, guard, moved,
    proc, rule,
};
use crate::host::Facts;
use crate::host::facts::PathKind;
use crate::plan::{Action, OnFailure, Step};
use crate::policy::Policy;
use crate::profile::value::Access;
use crate::report::{Diagnostics, Site};
use crate::section::devices;
use crate::section::landlock::{PathRule, Rights};
use crate::tree::{self, PathMap, PathSet};

/// What Landlock can hold of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What is granted, parents first; none when the host's root is granted everything, for then nothing is refused
    /// anywhere.
    pub rules: Vec<PathRule>,
    /// Places that are given less than the rules grant.
    pub beyond: Vec<PathBuf>,
}

/// A rule that cannot be held without mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub site: Site,
    /// Why not, in a few words.
    pub why: String,
    /// Whether it stands in `[filesystem]`, so that `degrade` can name it.
    pub said: bool,
    /// Whether the program could only do more without it.
    pub strict: bool,
}

/// What a rule of Landlock is tied to: not the path, but what is found there. Shown at two places, it is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    /// This path of the host.
    Host(PathBuf),
    /// Something that is made for the view.
    Ours(PathBuf),
}

/// Rights as they are granted so far.
#[derive(Default)]
struct Grants {
    host: PathMap<Rights>,
    ours: PathMap<Rights>,
}

impl Grants {
    /// What is granted at a place: all that is granted there or above.
    /// `above`: the entries of the table that are there or above, the nearest first.
    fn at<'a>(&self, place: &'a Path, above: impl Iterator<Item = (&'a Path, &'a Item)>) -> Rights {
        let all = |from: &PathMap<Rights>, path: &Path, top: &Path| {
            let granted = from.above(path);
            let granted = granted.take_while(|(at, _)| tree::rest(at, top).is_some());
            granted.fold(Rights::NONE, |all, (_, rights)| all | *rights)
        };
        let mut rights = Rights::NONE;
        let mut next = Some(place);
        for (at, item) in above {
            let Some(place) = next else { break };
            rights = rights
                | match item.of_host() {
                    Some(source) => all(&self.host, &moved(place, at, source), source),
                    None => all(&self.ours, place, at),
                };
            next = at.parent();
        }
        // Without a word about it, the root is the host's.
        match next {
            Some(place) => rights | all(&self.host, place, Path::new("/")),
            None => rights,
        }
    }

    /// The same where the table says what is there and above.
    fn at_entry(&self, draft: &Draft, place: &Path) -> Rights {
        let above = draft.table.above(place);
        self.at(place, above.map(|(at, item)| (at.as_path(), item)))
    }

    fn add(&mut self, object: Object, rights: Rights) {
        let (all, path) = match object {
            Object::Host(path) => (&mut self.host, path),
            Object::Ours(path) => (&mut self.ours, path),
        };
        let granted = all.entry(path).or_default();
        *granted = *granted | rights;
    }
}

fn object(draft: &Draft, place: &Path) -> Object {
    let (at, item) = draft.cover_or_root(place);
    match item.of_host() {
        Some(source) => Object::Host(moved(place, at, source)),
        None => Object::Ours(place.to_owned()),
    }
}

impl Item {
    /// The directory or file of the host that is shown.
    pub(super) fn of_host(&self) -> Option<&Path> {
        match &self.what {
            What::Show { source, .. } | What::Private { directory: source } => Some(source),
            _ => None,
        }
    }
}

/// What may be done at a place; `None` when it is only a link.
fn wanted(draft: &Draft, item: &Item, executes: bool) -> Option<Rights> {
    // Where it may not be, no word about what can be read or written lets anything be executed.
    let allowed = match executes {
        true => Rights::ALL,
        false => !Rights::EXECUTE,
    };
    let writable = Rights::read_write();
    let rights = match &item.what {
        What::Show {
            access,
            devices,
            directory,
            ..
        } => {
            let mut rights = match access {
                Access::ReadWrite => writable,
                _ => Rights::read(),
            };
            if *devices && (devices::is_minimal(draft.policy) || !directory) {
                // Nodes, and directories in which nothing but the host makes any.
                rights = Rights::device();
            } else if *devices {
                // The host's /dev. A read-only mount is not about devices, and so its second wall is not.
                rights = rights | Rights::device();
            }
            if *directory { rights } else { rights.on_file() }
        }
        What::Hidden | What::Denied { .. } => Rights::NONE,
        What::Tmpfs { .. } | What::Private { .. } | What::Overlay { .. } => writable,
        What::Text(_) => Rights::READ_FILE,
        What::Made { .. } => Rights::read().on_file() & !Rights::EXECUTE,
        What::Proc { access, .. } => {
            let read = Rights::READ_FILE | Rights::READ_DIR;
            match access {
                Access::ReadWrite => read | Rights::WRITE_FILE | Rights::TRUNCATE,
                _ => read,
            }
        }
        What::MinimalDev | What::Devpts => Rights::device(),
        What::Mqueue => Rights::read_write() & !Rights::EXECUTE,
        What::Link(_) => return None,
    };
    Some(rights & allowed)
}

/// Whether everything of the host is shown at one place only, as far as rights go: then what is granted at an entry of the table
/// is what was granted for it and for the entries above it.
fn is_shown_once(draft: &Draft) -> bool {
    let mut elsewhere = PathSet::default();
    for (place, item) in &draft.table {
        if let Some(source) = item.of_host()
            && !tree::same(source, place)
            && !elsewhere.insert(source.to_owned())
        {
            return false;
        }
    }
    let alone = |source: &PathBuf| {
        !draft.table.contains_key(source)
            && draft.table.below(source).next().is_none()
            && elsewhere.below(source).next().is_none()
    };
    elsewhere.iter().all(alone)
}

/// The rules for a table, and the places at which they grant more than it does. Without mounts the tree is the host's own,
/// in which nothing is only a passage.
pub(super) fn hold(draft: &Draft, lines: &[Line], mounts: bool) -> Held {
    let root = Path::new("/");
    let all = |item: Option<&Item>| {
        item.is_none_or(|item| {
            wanted(draft, item, draft.executes(root, item))
                .is_some_and(|rights| rights.contains(Rights::read_write()))
        })
    };
    // A root from elsewhere is held whole: nothing is granted beside it.
    if all(draft.table.get(root)) && object(draft, root) == Object::Host(root.to_owned()) {
        return Held::default();
    }
    let once = is_shown_once(draft);
    let mut grants = Grants::default();
    let mut rules: Vec<PathRule> = Vec::new();
    // What is granted at each entry; only of what is shown once.
    let mut granted: Vec<Rights> = Vec::with_capacity(lines.len());
    let above = |granted: &[Rights], line: &Line| {
        let above = line.above.and_then(|above| granted.get(above));
        above.copied().unwrap_or_default()
    };
    for (line, (place, item)) in lines.iter().zip(&draft.table) {
        let around = match once {
            true => above(&granted, line),
            false => Rights::NONE,
        };
        granted.push(around);
        let rights = match wanted(draft, item, line.executes) {
            None => continue,
            // What is hidden but has something below it is a directory of ours, whose names may be seen.
            Some(_) if mounts && item.what.closes() && line.leads_on => Rights::READ_DIR,
            Some(rights) => rights,
        };
        let now = match once {
            true => around,
            false => grants.at_entry(draft, place),
        };
        if now.contains(rights) {
            continue;
        }
        if let Some(granted) = granted.last_mut() {
            *granted = *granted | rights;
        }
        if !once {
            grants.add(object(draft, place), rights);
        }
        rules.push(PathRule {
            path: place.clone(),
            rights,
            site: item.site,
        });
    }
    let mut beyond = lent(draft, &rules);
    let none_lent = beyond.is_empty();
    for (at, (line, (place, item))) in lines.iter().zip(&draft.table).enumerate() {
        let wanted = match item.what {
            // Where nothing of the host lies below, a rule that hides finds nothing to hide.
            What::Hidden if !(line.in_host && place.as_os_str() != "/") => continue,
            // What covers it has no names, and no bits that let it be listed.
            What::Hidden | What::Denied { .. } => Some(Rights::READ_DIR),
            _ => wanted(draft, item, line.executes),
        };
        let now = || match once {
            true => granted.get(at).copied().unwrap_or_default(),
            false => grants.at_entry(draft, place),
        };
        if wanted.is_some_and(|rights| !rights.contains(on(item, now()))) {
            beyond.push(place.clone());
        }
    }
    if !none_lent {
        beyond.sort();
        beyond.dedup();
    }
    Held { rules, beyond }
}

/// Places that are granted more than they show, because the same is shown at another place with more.
fn lent(draft: &Draft, rules: &[PathRule]) -> Vec<PathBuf> {
    let shown_elsewhere = |(place, item): (&PathBuf, &Item)| match &item.what {
        What::Show { source, .. } => !tree::same(source, place),
        _ => false,
    };
    if !draft.table.iter().any(shown_elsewhere) {
        return Vec::new();
    }
    let mut grants = Grants::default();
    for rule in rules {
        grants.add(object(draft, &rule.path), rule.rights);
    }
    let shows: Vec<(&PathBuf, &PathBuf, &Item)> = draft
        .table
        .iter()
        .filter_map(|(place, item)| match &item.what {
            What::Show { source, .. } => Some((place, source, item)),
            _ => None,
        })
        .collect();
    // What shows a path shows what is below it too.
    let mut by_source: PathMap<Vec<_>> = PathMap::new();
    for show in &shows {
        by_source.entry(show.1.clone()).or_default().push(show);
    }
    let mut places = PathSet::default();
    let mut compare = |granted: &Path, (place, source, item): &(&PathBuf, &PathBuf, &Item)| {
        let at = moved(granted, source, place);
        let same = object(draft, &at) == Object::Host(granted.to_owned());
        let decides = draft
            .cover(&at)
            .is_some_and(|(by, _)| by == place.as_path());
        let granted = grants.at_entry(draft, &at);
        let more = wanted(draft, item, draft.executes(place, item))
            .is_some_and(|rights| !rights.contains(on(item, granted)));
        if same && decides && more {
            places.insert(at);
        }
    };
    for (place, granted, _) in &shows {
        for show in by_source.above(granted).flat_map(|(_, shows)| shows) {
            // At its own place the same is granted as it shows.
            if place != granted || show.0 != show.1 {
                compare(granted, show);
            }
        }
    }
    places.into_iter().collect()
}

/// Of rights, those that mean something for what is at a place.
fn on(item: &Item, rights: Rights) -> Rights {
    match item.what {
        What::Show {
            directory: false,
            devices: true,
            ..
        } => rights.on_file() & !Rights::EXECUTE,
        What::Text(_)
        | What::Made { .. }
        | What::Show {
            directory: false, ..
        } => rights.on_file(),
        // Nothing can be executed in these, and no device works where none is shown.
        What::Proc { .. } | What::Devpts | What::MinimalDev | What::Mqueue => {
            rights & !Rights::EXECUTE & !Rights::IOCTL_DEV
        }
        _ => rights & !Rights::IOCTL_DEV,
    }
}

/// Lowers the same for a host on which nothing can be mounted: to rules of Landlock alone, about the host's own tree.
///
/// # Errors
/// Rules that no host could carry out. Those that only mounts could are told in [`Lowered::refused`].
pub fn lower_without_mounts(
    policy: &Policy,
    facts: &Facts,
    around: &Surroundings,
) -> Result<Lowered, Diagnostics> {
    if !asks(policy, around) {
        return Ok(Lowered::default());
    }
    let mut draft = Draft::new(policy, facts, around);
    let rules = rule::place(&mut draft);
    guard::refuse_foreign_links(&mut draft, &rules);
    enter::enter(&mut draft, &rules);
    let minimal = devices::is_minimal(policy);
    if minimal {
        // Told as one, and not node by node.
        draft.table.retain(|place, _| !place.starts_with("/dev"));
    } else {
        host_dev(&mut draft);
    }
    fixture::put(&mut draft, &rules);
    guard::own_directories(&mut draft, &rules);
    readable_records(&mut draft);
    // Private directories take mounts: where there is none yet, none will be made.
    let made: Vec<PathBuf> = std::mem::take(&mut draft.own).into_keys().collect();
    let first = std::mem::take(&mut draft.created);
    let first = first.into_iter().map(|(path, (what, site))| Step {
        action: Action::Create { path, what },
        site,
        because: String::new(),
        on_failure: OnFailure::Fatal,
    });
    draft
        .table
        .retain(|place, item| item.what != What::Hidden || !made.contains(place));
    guard::prune(&mut draft);
    groups::tell(&mut draft);
    gather::tell_later(&mut draft, false);
    super::twin::tell(&mut draft);
    if !draft.errors.is_empty() {
        return Err(draft.errors);
    }
    let mut refused = without_mounts(&mut draft);
    refused.extend(proc::refused(policy));
    if minimal {
        refused.insert(
            0,
            Refusal {
                key: "devices".to_owned(),
                site: first_of_devices(policy),
                why: "a /dev of its own is mounted; `devices.default = \"host\"` does without"
                    .to_owned(),
                said: false,
                strict: false,
            },
        );
    }
    Ok(Lowered {
        steps: first.collect(),
        held: hold(&draft, &draft.lines(), false),
        notes: draft.notes,
        refused,
        denied: BTreeSet::new(),
    })
}

/// What others may read of running sandboxes does no harm, and could not be hidden where all around it is shown. That
/// nobody forges records is what matters.
fn readable_records(draft: &mut Draft) {
    let mut places = Vec::new();
    for (place, item) in &mut draft.table {
        if item.what == What::Hidden && item.because == guard::RECORDS {
            item.what = What::Show {
                source: place.clone(),
                access: Access::ReadOnly,
                devices: false,
                directory: true,
            };
            places.push(place.clone());
        }
    }
    for place in places {
        let text = format!(
            "the program can read the records of running sandboxes in `{}`",
            place.display()
        );
        draft.note(Site::DEFAULT, text);
    }
}

/// Takes out of a table what only mounts can do, and says what that was.
fn without_mounts(draft: &mut Draft) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let all = std::mem::take(&mut draft.table);
    for (place, item) in all {
        let why = match &item.what {
            What::Show { source, .. } if *source == place => None,
            What::Show { .. } => Some("a path is shown at another place by a mount"),
            What::Hidden | What::Denied { .. } => None,
            What::Overlay { .. } => Some("an overlay is mounted, so that changes go elsewhere"),
            What::Tmpfs { .. } => Some("a file system in memory is mounted"),
            What::Private { .. } => Some("a directory of the profile's own is mounted"),
            What::Made { .. } => Some("a socket of this run alone is mounted"),
            What::Text(_) => Some("a text is mounted in the file's place"),
            What::Link(_) => continue,
            What::Proc { .. } | What::MinimalDev | What::Devpts | What::Mqueue => {
                Some("it is mounted")
            }
        };
        match why {
            None => drop(draft.table.insert(place, item)),
            Some(why) => refused.push(refusal(&item, why.to_owned(), false)),
        }
    }
    let held = hold(draft, &draft.lines(), false);
    let everything = held.rules.is_empty();
    for (place, item) in &draft.table {
        let missing = place
            .ancestors()
            .any(|at| draft.known.get(at) == Some(&PathKind::Missing));
        let executes = draft.executes(place, item);
        let Some(wanted) = wanted(draft, item, executes).filter(|_| !missing) else {
            continue;
        };
        if (everything && !wanted.contains(Rights::read_write().on_file()))
            || held.beyond.contains(place)
        {
            let above = place
                .ancestors()
                .skip(1)
                .find_map(|at| draft.table.get(at))
                .map_or("/", |item| item.name.as_str());
            let why = format!("`{above}` above it gives more, and Landlock takes nothing away");
            refused.push(refusal(item, why, true));
        }
    }
    refused
}

fn refusal(item: &Item, why: String, strict: bool) -> Refusal {
    let said = item.because.is_empty();
    Refusal {
        key: item.name.clone(),
        site: item.site,
        why: if said {
            why
        } else {
            format!("{}: {why}", item.because)
        },
        said,
        strict,
    }
}
