//! `[filesystem]`, with `[devices]`: what the program sees at which path, lowered to mounts. All pure.
//!
//! Every rule sits at one *place*: the path inside, without symbolic links. The nearest rule at or above a path
//! decides what is there. The lowering keeps that promise against four things that would break it: rules that
//! meet at one place (`rule`), links that somebody else may have made, trees that are shown at a second place,
//! and directories that could be moved aside while a rule sits below them (`guard`). What remains is a table
//! that is carried out from the root downwards (`mount`).

mod enter;
mod gather;
mod groups;
mod guard;
mod landlock;
#[cfg(test)]
mod landlock_tests;
mod look;
#[cfg(test)]
mod model;
mod mount;
mod rule;
pub mod seen;
#[cfg(test)]
mod tests;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use landlock::{Held, Refusal, lower_without_mounts};

use world::below;

use super::devices;
use super::expand::{self, Expanded};
use crate::host::Facts;
use crate::host::facts::{Caller, PathKind};
use crate::plan::Step;
use crate::plan::step::Upper;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value, View};
use crate::report::{Diagnostic, Diagnostics, Site};

/// What the lowering must know beside the policy and the host.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Whether the program gets a pid namespace of its own, so that /proc must be a fresh one.
    pub pid_namespace: bool,
    /// Whether the program gets an IPC namespace of its own, so that message queues must be fresh.
    pub ipc_namespace: bool,
    /// Whether the program gets a network namespace of its own.
    pub network_namespace: bool,
    /// The terminal that the program keeps, e.g. `/dev/pts/3`; a minimal /dev shows it as /dev/console, so that
    /// ttyname(3) finds it.
    pub terminal: Option<PathBuf>,
    /// Where private directories of this profile are kept: `~/.local/share/sandbox/private/PROFILE`. Its parent,
    /// which holds those of all profiles, is never seen inside.
    pub private_root: PathBuf,
    /// Where changes are kept that are to be reviewed: never seen inside.
    pub changes: PathBuf,
    /// Directories from which the launcher reads what it obeys: the program must not write there.
    pub configuration: Vec<PathBuf>,
    /// Where records of running sandboxes are: what is written there, `sandboxctl` believes of this user's sandboxes.
    pub records: Vec<PathBuf>,
    /// Whether the caller is the host's root and no user namespace stands between.
    pub real_root: bool,
    /// Whether the program gets a user namespace of its own: it is to change nothing of the machine then, whatever of the
    /// host's files root may write.
    pub user_namespace: bool,
    /// RAM in bytes.
    pub memory: u64,
    /// Control groups that hold limits of the program's.
    pub groups: Option<ControlGroups>,
    /// Where the roots are that the policy names, by what it says.
    pub roots: BTreeMap<String, PathBuf>,
    /// Whether what can be written cannot be executed (`process.write-xor-execute`).
    pub write_xor_execute: bool,
}

/// Where limits that control groups hold could be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroups {
    /// Where control groups are mounted, or a directory above.
    pub mounts: Vec<PathBuf>,
    /// Where the service manager that made the groups can be asked to change them.
    pub sockets: Vec<PathBuf>,
}

/// Where programs find whom to ask for names (resolv.conf(5)).
const RESOLVER: &str = "/etc/resolv.conf";

impl Surroundings {
    /// Whether an imported root is `/`, and the network is the caller's.
    fn shows_a_root(&self, policy: &Policy) -> bool {
        let root = policy.get(Section::Filesystem, "/");
        let imported =
            root.is_some_and(|said| matches!(said.value, Value::View(View::Root { .. })));
        imported && !self.network_namespace
    }

    /// The path of the host that a view shows instead of its own, if it does; see [`expand::expand`].
    ///
    /// # Errors
    /// What is wrong with it.
    fn elsewhere(&self, view: &View, caller: &Caller) -> Option<Result<Expanded, String>> {
        match view {
            View::Bind { source, .. } => Some(expand::expand(source, caller)),
            View::Root { source, .. } => Some(match self.roots.get(source) {
                Some(tree) => Ok(Expanded::Path(tree.clone())),
                None => Err("this root was not looked for".to_owned()),
            }),
            _ => None,
        }
    }
}

/// What has to be looked at before anything can be lowered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Paths, for [`Facts::paths`].
    pub paths: Vec<PathBuf>,
    /// Patterns, for [`Facts::globs`]; each match belongs into [`Facts::paths`] too.
    pub globs: Vec<PathBuf>,
}

/// Something to be known about a rule that does not stop anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// One line.
    pub text: String,
    /// The rule.
    pub site: Site,
}

/// What was made of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lowered {
    /// In the order in which they must be carried out.
    pub steps: Vec<Step>,
    /// In the order in which they were found.
    pub notes: Vec<Note>,
    /// What Landlock can hold of it, as a second wall or instead of mounts.
    pub held: Held,
    /// Rules that cannot be held without mounts, when there are to be none.
    pub refused: Vec<Refusal>,
}

/// Parts of /proc that are about the whole machine, which root could change from inside.
const KERNEL_WIDE: [&str; 7] = [
    "/proc/acpi",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Whether the two sections and the namespaces ask for a view of one's own.
#[must_use]
pub fn asks(policy: &Policy, around: &Surroundings) -> bool {
    policy.mentions(Section::Filesystem) || devices::asks(policy) || around.pid_namespace
}

/// What has to be looked at for a policy.
#[must_use]
pub fn wanted(policy: &Policy, caller: &Caller, around: &Surroundings) -> Wanted {
    wanted_for(policy, caller, around, &[])
}

/// The same, with paths that somebody asks about.
#[must_use]
pub fn wanted_for(
    policy: &Policy,
    caller: &Caller,
    around: &Surroundings,
    asked: &[PathBuf],
) -> Wanted {
    if !asks(policy, around) {
        return Wanted {
            paths: asked.to_vec(),
            globs: Vec::new(),
        };
    }
    let mut paths: BTreeSet<PathBuf> = ["/dev", "/proc"].map(PathBuf::from).into();
    paths.extend(asked.iter().cloned());
    let mut globs = BTreeSet::new();
    let mut binds = Vec::new();
    if around.real_root {
        paths.extend(KERNEL_WIDE.map(PathBuf::from));
    }
    paths.extend(around.terminal.clone());
    for (key, value, _) in policy.section(Section::Filesystem) {
        match expand::expand(key, caller) {
            Ok(Expanded::Path(path)) => {
                if let Value::View(view) = value
                    && let Some(Ok(Expanded::Path(source))) = around.elsewhere(view, caller)
                {
                    binds.push((path.clone(), source));
                }
                paths.insert(path);
            }
            Ok(Expanded::Glob(path)) => {
                globs.insert(path);
            }
            // Said when it is lowered.
            Ok(Expanded::NotApplicable(_)) | Err(_) => {}
        }
    }
    for rule in devices::rules(policy).unwrap_or_default() {
        if expand::is_pattern(&rule.path.to_string_lossy()) {
            globs.insert(rule.path);
        } else {
            paths.insert(rule.path);
        }
    }
    if around.shows_a_root(policy) {
        paths.insert(RESOLVER.into());
    }
    // Below something that is shown from elsewhere, that elsewhere says what is there.
    for (place, source) in &binds {
        let below = |path: &PathBuf, pattern: bool| {
            let rest = path.strip_prefix(expand::literal(place, pattern)).ok()?;
            Some(join(&expand::literal(source, pattern), rest))
        };
        let there: Vec<PathBuf> = paths.iter().filter_map(|path| below(path, false)).collect();
        paths.extend(there);
        let there: Vec<PathBuf> = globs.iter().filter_map(|path| below(path, true)).collect();
        globs.extend(there);
        paths.insert(source.clone());
    }
    paths.extend(around.configuration.iter().cloned());
    paths.extend(groups::wanted(around));
    paths.extend(around.records.iter().cloned());
    paths.extend(around.private_root.parent().map(Path::to_owned));
    paths.extend(Some(around.changes.clone()).filter(|path| path.parent().is_some()));
    Wanted {
        paths: paths.into_iter().collect(),
        globs: globs.into_iter().collect(),
    }
}

/// Lowers `[filesystem]` and `[devices]` to steps.
///
/// # Errors
/// Every rule that cannot be carried out on this host, with the reason and the way out.
pub fn lower(
    policy: &Policy,
    facts: &Facts,
    around: &Surroundings,
) -> Result<Lowered, Diagnostics> {
    if !asks(policy, around) {
        return Ok(Lowered::default());
    }
    let mut draft = draft(policy, facts, around);
    guard::prune(&mut draft);
    guard::pin(&mut draft);
    groups::tell(&mut draft);
    if !draft.errors.is_empty() {
        return Err(draft.errors);
    }
    let held = landlock::hold(&draft, true);
    let lowered = mount::carry_out(draft)?;
    Ok(Lowered { held, ..lowered })
}

/// The table of what is to be where, before it becomes mounts.
fn draft<'a>(policy: &'a Policy, facts: &'a Facts, around: &'a Surroundings) -> Draft<'a> {
    let mut draft = Draft::new(policy, facts, around);
    let rules = rule::place(&mut draft);
    guard::refuse_foreign_links(&mut draft, &rules);
    enter::enter(&mut draft, &rules);
    system_trees(&mut draft);
    resolver(&mut draft);
    let mut guarded = guard::own_directories(&mut draft, &rules);
    guarded.extend(groups::keep(&mut draft));
    guard::second_roads(&mut draft, &rules, &guarded);
    draft
}

/// What the lowering works on.
struct Draft<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    around: &'a Surroundings,
    /// What is at paths of the host that have no link in them; what is not here was not looked at.
    known: BTreeMap<PathBuf, PathKind>,
    /// What is to be at which place inside. Parents come before children.
    table: BTreeMap<PathBuf, Item>,
    /// Directories of the caller's own that must be there first.
    own: BTreeMap<PathBuf, Site>,
    notes: Vec<Note>,
    errors: Diagnostics,
}

/// What is to be at a place, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    what: What,
    /// The key, for messages.
    name: String,
    site: Site,
    /// Why, when no rule says it.
    because: String,
}

/// What is to be at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A path of the host, without links.
    Show {
        source: PathBuf,
        access: Access,
        devices: bool,
        directory: bool,
    },
    /// A directory of the host, without links, with changes elsewhere.
    Overlay {
        source: PathBuf,
        upper: Upper,
    },
    Hidden,
    Tmpfs {
        size: Option<u64>,
        mode: u32,
    },
    Private {
        directory: PathBuf,
    },
    Text(String),
    Proc {
        access: Access,
    },
    MinimalDev,
    Devpts,
    Mqueue,
    /// A symbolic link, where the tree is ours.
    Link(PathBuf),
}

impl<'a> Draft<'a> {
    fn new(policy: &'a Policy, facts: &'a Facts, around: &'a Surroundings) -> Self {
        Self {
            policy,
            facts,
            around,
            known: world::known(facts),
            table: BTreeMap::new(),
            own: BTreeMap::new(),
            notes: Vec::new(),
            errors: Diagnostics::new(),
        }
    }
}

impl Draft<'_> {
    fn note(&mut self, site: Site, text: impl Into<String>) {
        self.notes.push(Note {
            text: text.into(),
            site,
        });
    }

    /// The nearest entry of the table at or above a place; without one, the root is the host's.
    fn cover(&self, place: &Path) -> Option<(&Path, &Item)> {
        place
            .ancestors()
            .find_map(|at| self.table.get_key_value(at))
            .map(|(at, item)| (at.as_path(), item))
    }

    /// The path of the host that is shown at a place, with which access; `None` when nothing of the host is.
    fn shown(&self, place: &Path) -> Option<(PathBuf, Access)> {
        match self.cover(place) {
            None => Some((place.to_owned(), Access::ReadWrite)),
            Some((at, item)) => match &item.what {
                What::Show { source, access, .. } => Some((moved(place, at, source), *access)),
                // Nothing of the host can be changed by it.
                What::Overlay { source, .. } => Some((moved(place, at, source), Access::ReadOnly)),
                _ => None,
            },
        }
    }

    /// Has a directory of the caller's own made first.
    fn make_own(&mut self, path: &Path, site: Site) {
        self.own.insert(path.to_owned(), site);
        for made in path.ancestors() {
            self.known.insert(made.to_owned(), PathKind::Directory);
        }
    }

    fn imply(&mut self, place: impl Into<PathBuf>, what: What, site: Site, because: &str) {
        let place = place.into();
        let name = place.display().to_string();
        self.table.entry(place).or_insert(Item {
            what,
            name,
            site,
            because: because.to_owned(),
        });
    }
}

/// Adds /dev and /proc where no rule has the last word about them.
fn system_trees(draft: &mut Draft) {
    let proc = Path::new("/proc");
    if devices::is_minimal(draft.policy) {
        minimal_dev(draft);
    } else {
        host_dev(draft);
    }
    if !draft.around.pid_namespace {
        return;
    }
    let because = "implied by namespaces.pid";
    match draft.table.get_mut(proc) {
        None => draft.imply(
            proc,
            What::Proc {
                access: Access::ReadWrite,
            },
            Site::DEFAULT,
            because,
        ),
        Some(item) => {
            if let What::Show { source, access, .. } = &item.what
                && source == proc
            {
                item.what = What::Proc { access: *access };
            }
        }
    }
    let root_is_writable = draft
        .shown(Path::new("/"))
        .is_some_and(|(_, access)| access == Access::ReadWrite);
    let proc_is_ours = matches!(
        draft.table.get(proc),
        Some(Item {
            what: What::Proc { .. },
            ..
        })
    );
    if draft.around.real_root && proc_is_ours && (!root_is_writable || draft.around.user_namespace)
    {
        for part in KERNEL_WIDE.map(PathBuf::from) {
            if let Some(kind @ (PathKind::Directory | PathKind::File)) = draft.known.get(&part) {
                let what = What::Show {
                    source: part.clone(),
                    access: Access::ReadOnly,
                    devices: false,
                    directory: *kind == PathKind::Directory,
                };
                draft.imply(part, what, Site::DEFAULT, "it is about the whole machine");
            }
        }
    }
}

/// An imported root cannot know whom this host asks for names: the host's own list is shown, where the network is the
/// host's too and no rule has the last word.
fn resolver(draft: &mut Draft) {
    let place = Path::new(RESOLVER);
    let Some(Item {
        what: What::Overlay { source, .. },
        site,
        ..
    }) = draft.table.get(Path::new("/"))
    else {
        return;
    };
    let (inside, site) = (source.join("etc/resolv.conf"), *site);
    let host = draft.facts.path(place).and_then(|fact| {
        (fact.kind == PathKind::File)
            .then(|| fact.canonical.clone())
            .flatten()
    });
    let covered = draft
        .cover(place)
        .is_some_and(|(at, _)| at != Path::new("/"));
    let (Some(source), false) = (host, covered || !draft.around.shows_a_root(draft.policy)) else {
        return;
    };
    match draft.known.get(&inside) {
        Some(PathKind::File | PathKind::Missing) => {
            let what = What::Show {
                source,
                access: Access::ReadOnly,
                devices: false,
                directory: false,
            };
            draft.imply(place, what, site, "names are looked up as on the host");
        }
        _ => draft.note(
            site,
            format!("`{RESOLVER}` is a link in this root: names are not looked up as on the host"),
        ),
    }
}

/// Devices work in the host's /dev, where that is shown.
fn host_dev(draft: &mut Draft) {
    let dev = Path::new("/dev");
    if !draft.table.contains_key(dev)
        && draft.known.get(dev) == Some(&PathKind::Directory)
        && let Some((source, access)) = draft.shown(dev)
        && source == dev
    {
        let what = What::Show {
            source,
            access,
            devices: true,
            directory: true,
        };
        draft.imply(dev, what, Site::DEFAULT, "device nodes work in /dev only");
    }
}

/// Why something of [devices] is there that no key names.
const IMPLIED_BY_DEVICES: &str = "implied by [devices]";

/// The first rule of [devices].
fn first_of_devices(policy: &Policy) -> Site {
    policy
        .section(Section::Devices)
        .next()
        .map_or(Site::DEFAULT, |(.., rule)| rule.site)
}

fn minimal_dev(draft: &mut Draft) {
    let because = IMPLIED_BY_DEVICES;
    let said = first_of_devices(draft.policy);
    if let Some(item) = draft.table.remove(Path::new("/dev")) {
        if matches!(item.what, What::Show { .. }) {
            draft.note(
                item.site,
                "`/dev` has no effect: [devices] makes a /dev of its own",
            );
        } else {
            draft.errors.push(
                Diagnostic::error(
                    "two rules make /dev",
                    item.site,
                    "this one, in [filesystem]",
                )
                .related(said, "[devices] makes a /dev of its own")
                .help("set one of them to \"inherit\", or `devices.default = \"host\"`"),
            );
        }
    }
    draft.imply("/dev", What::MinimalDev, said, because);
    draft.imply("/dev/pts", What::Devpts, said, because);
    draft.imply(
        "/dev/shm",
        What::Tmpfs {
            size: None,
            mode: 0o1777,
        },
        said,
        because,
    );
    if draft.around.ipc_namespace {
        draft.imply("/dev/mqueue", What::Mqueue, said, because);
    }
    for (place, target) in devices::LINKS {
        draft.imply(place, What::Link(target.into()), said, because);
    }
    if let Some(terminal) = draft.around.terminal.clone()
        && terminal.starts_with("/dev")
        && draft.known.get(&terminal) == Some(&PathKind::Special)
    {
        let what = What::Show {
            source: terminal,
            access: Access::ReadWrite,
            devices: true,
            directory: false,
        };
        draft.imply("/dev/console", what, said, "the program keeps its terminal");
    }
}

/// `path`, which lies at or below `from`, moved to the same place below `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    path.strip_prefix(from)
        .map_or_else(|_| path.to_owned(), |rest| join(to, rest))
}

/// Joining without a slash at the end when there is nothing to join.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        base.to_owned()
    } else {
        base.join(rest)
    }
}
