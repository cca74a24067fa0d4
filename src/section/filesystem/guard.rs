//! What keeps the rules true: against links that others made, trees that are shown twice, and the program's own
//! power over directories that it may write to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::rule::Rule;
use super::{Draft, Item, What, below, is_moved, moved, world};
use crate::host::facts::PathKind;
use crate::profile::value::Access;
use crate::report::{Diagnostic, Site};
use crate::section::expand::{Expanded, expand};
use crate::tree::{self, PathMap, PathSet};

/// Directories in which only root makes anything, on every usual host.
const SYSTEM: [&str; 12] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys",
    "/usr",
];
/// What lies in these and is not.
const NOT_SYSTEM: [&str; 3] = ["/dev/mqueue", "/dev/shm", "/run/user"];

/// Why records are hidden.
pub const RECORDS: &str = "records of running sandboxes";

impl Draft<'_> {
    /// Whether nobody but root can have made, or can rename, what is in this directory.
    pub(super) fn is_roots(&self, directory: &Path) -> bool {
        let caller = &self.facts.caller;
        let within = |above: &str| tree::is_within(directory, Path::new(above));
        let home_itself = tree::is_within(directory, &caller.home) && caller.home != Path::new("/");
        let here = &caller.working_directory;
        let work = tree::is_within(directory, here) && here.components().count() > 2;
        if home_itself || work || NOT_SYSTEM.iter().any(|other| within(other)) {
            return false;
        }
        tree::is_within(&caller.home, directory)
            || directory == Path::new("/")
            || SYSTEM.iter().any(|system| within(system))
            || (within("/var") && !within("/var/tmp"))
    }

    /// The links among these that somebody else than root may have made.
    pub(super) fn foreign<'l>(&self, links: &'l [(PathBuf, PathBuf)]) -> Option<&'l Path> {
        let mut at = links.iter().map(|(at, _)| at.as_path());
        at.find(|at| !self.is_roots(at.parent().unwrap_or(at)))
    }
}

/// Refuses grants that a link leads into what another rule keeps away: a program that may write where the link is
/// could have made it in an earlier run.
pub fn refuse_foreign_links(draft: &mut Draft, rules: &[Rule]) {
    let suspects: Vec<(&Rule, &Path)> = rules
        .iter()
        .filter(|rule| rule.grants().is_some())
        .filter_map(|rule| {
            let bound = rule.source != rule.host;
            let link = draft.foreign(if bound { &rule.source_via } else { &rule.via })?;
            Some((rule, link))
        })
        .collect();
    if suspects.is_empty() {
        return;
    }
    let hosts: BTreeMap<&Path, &Rule> = rules
        .iter()
        .map(|rule| (rule.host.as_path(), rule))
        .collect();
    for (rule, link) in suspects {
        let bound = rule.source != rule.host;
        // What is shown from elsewhere may be the very place of another rule; else that place is this rule's own.
        let cover = rule
            .source
            .ancestors()
            .skip(usize::from(!bound))
            .find_map(|at| hosts.get(at));
        let Some(cover) =
            cover.filter(|cover| cover.grants().is_none() || cover.source != cover.host)
        else {
            continue;
        };
        draft.errors.push(
            Diagnostic::error(
                format!(
                    "`{}` leads through the symbolic link `{}` to `{}`",
                    rule.key,
                    link.display(),
                    rule.source.display()
                ),
                rule.site,
                "this would open it",
            )
            .related(cover.site, format!("`{}` keeps it away", cover.key))
            .help("a link in a place that programs may write to can be made by a program")
            .help(format!(
                "if it is meant, add a rule for \"{}\" itself",
                rule.source.display()
            )),
        );
    }
}

/// Keeps what the launcher obeys from being written, and the private directories of all profiles and the records of running
/// sandboxes from being seen.
/// Returns what it keeps, by the path on the host.
pub fn own_directories(draft: &mut Draft, rules: &[Rule]) -> Vec<(PathBuf, Access, String, Site)> {
    if !draft
        .policy
        .mentions(crate::profile::key::Section::Filesystem)
    {
        return Vec::new();
    }
    let around = draft.around;
    let private = around
        .private_root
        .parent()
        .filter(|parent| parent.parent().is_some());
    let own = around.configuration.iter().map(|path| {
        let because = "a program must not write what its next start obeys";
        (path.clone(), Access::ReadOnly, because)
    });
    let private = private.map(|path| {
        let because = "private directories of other profiles";
        (path.to_owned(), Access::Hidden, because)
    });
    let changes = Some(around.changes.clone()).filter(|path| path.parent().is_some());
    let changes = changes.map(|path| (path, Access::Hidden, "changes that were kept for review"));
    let records = around
        .records
        .iter()
        .map(|path| (path.clone(), Access::Hidden, RECORDS));
    let own: Vec<_> = own.chain(private).chain(changes).chain(records).collect();
    let mut kept = Vec::new();
    for (path, access, because) in own {
        let fact = draft.facts.path(&path);
        let host = fact.map_or_else(|| path.clone(), |fact| world::host_place(&path, fact));
        let missing = fact.is_none_or(|fact| fact.kind == PathKind::Missing);
        // A rule that takes away something which is not there yet needs it to be made. The paths of rules are normal ones.
        let [named, led] = [&path, &host].map(|path| world::normal(path).into_os_string());
        let said = rules.iter().any(|rule| {
            (rule.path.as_os_str() == named || rule.host.as_os_str() == led)
                && (!missing || rule.grants().is_some())
        });
        if said {
            continue;
        }
        for (at, _) in fact.map(|fact| fact.links.as_slice()).unwrap_or_default() {
            let parent = at.parent().unwrap_or(at);
            if access == Access::ReadOnly && !draft.is_roots(parent) && writable(draft, parent) {
                draft.errors.push(
                    Diagnostic::general(format!(
                        "`{}` is reached through the symbolic link `{}`, which the program could replace",
                        path.display(),
                        at.display()
                    ))
                    .help("a program must not write what its next start obeys")
                    .help("make it a real directory, or make the link's directory \"read-only\" or \"private\"")
                    .help(format!("or accept it with \"{}\" = \"read-write\"", path.display())),
                );
            }
        }
        // What nobody can make from inside is not there to be hidden; the launcher has made its own by now.
        if missing && around.records.contains(&path) && !path.starts_with(&draft.facts.caller.home)
        {
            continue;
        }
        let directory = fact.is_none_or(|fact| fact.kind != PathKind::File);
        kept.push((host.clone(), access, because.to_owned(), Site::DEFAULT));
        let from = match host.parent() {
            Some(parent) if draft.table.contains_key(&host) => parent,
            _ => &host,
        };
        let seen = draft.shown(from).filter(|(source, _)| source == from);
        // Where something cannot be made, what is missing needs no hiding.
        let least = match missing && around.records.contains(&path) {
            true => Access::ReadOnly,
            false => access,
        };
        let needed = seen.is_some_and(|(_, now)| now > least);
        let elsewhere = draft.table.iter().any(|(place, item)| {
            matches!(&item.what, What::Show { source, .. } | What::Overlay { source, .. } if source != place && host.starts_with(source))
        });
        if missing && (needed || elsewhere) {
            // A rule about it needs something to hold on to.
            draft.make_own(&host, Site::DEFAULT);
        }
        if needed {
            let what = match access {
                Access::Hidden | Access::Denied => What::Hidden,
                access => What::Show {
                    source: host.clone(),
                    access,
                    devices: false,
                    directory,
                },
            };
            draft.imply(host, what, Site::DEFAULT, because);
        }
    }
    kept
}

fn writable(draft: &Draft, directory: &Path) -> bool {
    draft
        .shown(directory)
        .is_some_and(|(source, access)| source == directory && access == Access::ReadWrite)
}

/// Where a tree of the host is shown at a second place, what rules take away from it at its own place is taken away
/// there too, but for what a rule says about that second place.
pub fn second_roads(draft: &mut Draft, rules: &[Rule], kept: &[(PathBuf, Access, String, Site)]) {
    let shown: Vec<(PathBuf, PathBuf)> = draft
        .table
        .iter()
        .filter_map(|(place, item)| match &item.what {
            What::Show { source, .. } | What::Overlay { source, .. } if source != place => {
                Some((place.clone(), source.clone()))
            }
            _ => None,
        })
        .collect();
    if shown.is_empty() {
        return;
    }
    let mut guarded: PathMap<(Access, bool, String, Site)> = PathMap::new();
    for (path, access, name, site) in kept {
        guarded.insert(path.clone(), (*access, true, name.clone(), *site));
    }
    for rule in rules {
        let access = match rule.grants() {
            Some(access) if rule.source == rule.host => access,
            // Something else is seen in its place.
            _ => Access::Hidden,
        };
        let name = holds_too(&rule.key);
        let executes = rule.terms.execute != Some(false);
        guarded.insert(rule.host.clone(), (access, executes, name, rule.site));
    }
    let mut taken = PathSet::default();
    for (place, source) in shown {
        let mut hidden: Option<&Path> = None;
        for (path, (access, executes, because, site)) in below(&guarded, &source) {
            let there = moved(path, &source, &place);
            let decided = there
                .ancestors()
                .take_while(|at| *at != place)
                .any(|at| draft.table.contains_key(at) && !taken.contains(at));
            let absent = draft
                .known
                .get(path)
                .is_none_or(|kind| *kind == PathKind::Missing);
            if decided
                || absent
                || (*access == Access::ReadWrite && *executes)
                || hidden.is_some_and(|at| path.starts_with(at))
            {
                continue;
            }
            let what = if *access == Access::Hidden {
                hidden = Some(path);
                What::Hidden
            } else {
                What::Show {
                    source: path.clone(),
                    access: (*access).min(draft.shown(&there).map_or(*access, |(_, now)| now)),
                    devices: false,
                    directory: draft.known.get(path) == Some(&PathKind::Directory),
                }
            };
            taken.insert(there.clone());
            let item = draft.imply(there, what, *site, because);
            item.execute = item.execute.or((!executes).then_some(false));
        }
    }
}

fn holds_too(key: &str) -> String {
    format!("`{key}` holds here too")
}

/// Drops entries that change nothing: the tree above shows the same already.
pub fn prune(draft: &mut Draft) {
    /// An entry that stays.
    struct Kept<'a> {
        /// How many entries lie above it, of all.
        depth: usize,
        place: &'a Path,
        item: &'a Item,
        /// The nearest word about execution.
        word: Option<bool>,
        executes: bool,
    }
    let root = Path::new("/");
    let of_root = Kept {
        depth: 0,
        place: root,
        item: &draft.root,
        word: None,
        executes: draft.executes_below(root, &draft.root, || None),
    };
    let mut keeps: Vec<bool> = Vec::with_capacity(draft.table.len());
    let mut notes = Vec::new();
    // Those that stay, of the last one and all above it.
    let mut line: Vec<Kept> = Vec::new();
    draft.table.each_below(|place, item, depth| {
        while line.last().is_some_and(|last| last.depth >= depth) {
            line.pop();
        }
        let above = line.last().unwrap_or(&of_root);
        let same = match (&above.item.what, &item.what) {
            (
                What::Show {
                    source,
                    access,
                    devices,
                    ..
                },
                What::Show {
                    source: own,
                    access: own_access,
                    devices: own_devices,
                    ..
                },
            ) => {
                access == own_access
                    && devices == own_devices
                    && is_moved(place, above.place, source, own)
            }
            _ => false,
        };
        // A word about execution is one for what lies below, too, of which [execute] may say more.
        let said = draft.programs.is_some() && item.execute.is_some();
        let executes = draft.executes_below(place, item, || line.last()?.word);
        let keep = !same || said || executes != above.executes;
        keeps.push(keep);
        if keep {
            let word = item.execute.or(line.last().and_then(|above| above.word));
            line.push(Kept {
                depth,
                place,
                item,
                word,
                executes,
            });
        } else if changes_nothing(draft, place, item) {
            let text = format!(
                "`{}` changes nothing: `{}` shows the same there already",
                item.name, above.item.name
            );
            notes.push((item.site, text));
        }
    });
    let mut keeps = keeps.into_iter();
    draft.table.retain(|_, _| keeps.next().unwrap_or(true));
    for (site, text) in notes {
        draft.note(site, text);
    }
}

/// Whether a rule that shows what is seen anyway does nothing else.
fn changes_nothing(draft: &Draft, place: &Path, item: &Item) -> bool {
    if !item.because.is_empty()
        || place.parent().is_none()
        || draft.decisive.contains(&item.name)
        || expand(&item.name, &draft.facts.caller) != Ok(Expanded::Path(place.to_owned()))
    {
        return false;
    }
    let elsewhere = holds_too(&item.name);
    !draft.table.values().any(|item| item.because == elsewhere)
}

/// Mounts the directories between a writable tree and a stricter rule below it on themselves: a mount point
/// cannot be renamed (rename(2), EBUSY), so that nothing else can be put under the rule's path for the next start.
pub fn pin(draft: &mut Draft) {
    let mut pins: PathMap<(What, Option<bool>, Site, String)> = PathMap::new();
    let open =
        |item: &Item| matches!(item.what, What::Show { access, .. } if access == Access::ReadWrite);
    for (place, item) in &draft.table {
        let Some(parent) = tree::above(place) else {
            continue;
        };
        let stricter = match item.what {
            What::Link(_) => false,
            // As writable as what lies around it, but what is there may not be executed.
            What::Show {
                access: Access::ReadWrite,
                ..
            } => {
                !draft.executes(place, item)
                    && draft
                        .cover(parent)
                        .is_none_or(|(at, above)| draft.executes(at, above))
            }
            _ => true,
        };
        if !stricter {
            continue;
        }
        let mut cover = draft.cover_or_root(parent);
        if !open(cover.1) {
            continue;
        }
        let Some((tree, _)) = Draft::shown_by(cover, parent) else {
            continue;
        };
        let name = place.file_name().unwrap_or_default();
        if draft
            .known
            .get(&tree.join(name))
            .is_none_or(|kind| *kind == PathKind::Missing)
        {
            continue;
        }
        let mut from = parent;
        loop {
            let (at, around) = cover;
            let devices = matches!(around.what, What::Show { devices: true, .. });
            for directory in from.ancestors().take_while(|directory| *directory != at) {
                let Some((source, _)) = draft.shown(directory) else {
                    continue;
                };
                let above = source.parent().unwrap_or(&source);
                if !draft.around.real_root && draft.is_roots(above) {
                    continue;
                }
                let what = What::Show {
                    source: source.into_owned(),
                    access: Access::ReadWrite,
                    devices,
                    directory: true,
                };
                let because = format!("so that it is not moved aside below `{}`", item.name);
                pins.entry(directory.to_owned()).or_insert((
                    what,
                    around.execute,
                    item.site,
                    because,
                ));
            }
            // A part that is shown where it is anyway, and is as writable, does not end the tree.
            let Some(above) = at.parent() else {
                break;
            };
            let next = draft.cover_or_root(above);
            let shown = Draft::shown_by(cover, at);
            if !matches!(shown, Some((_, Access::ReadWrite))) || Draft::shown_by(next, at) != shown
            {
                break;
            }
            (from, cover) = (above, next);
        }
    }
    for (place, (what, execute, site, because)) in pins {
        draft.imply(place, what, site, &because).execute = execute;
    }
}
