//! `[filesystem]`, with `[devices]`: what the program sees at which path, lowered to mounts. All pure.
//!
//! Every rule sits at one *place*: the path inside, without symbolic links. The nearest rule at or above a path
//! decides what is there. The lowering keeps that promise against four things that would break it: rules that
//! meet at one place (`rule`), links that somebody else may have made, trees that are shown at a second place,
//! and directories that could be moved aside while a rule sits below them (`guard`). What remains is a table
//! that is carried out from the root downwards (`mount`).

#[cfg(test)]
mod device_tests;
mod draft;
mod enter;
mod execution;
mod fixture;
#[cfg(test)]
mod fixture_tests;
mod gather;
mod groups;
mod guard;
mod landlock;
#[cfg(test)]
mod landlock_tests;
pub mod later;
mod look;
#[cfg(test)]
mod model;
mod mount;
mod proc;
mod programs;
mod rule;
pub mod seen;
mod system;
#[cfg(test)]
mod tests;
mod twin;
mod world;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use fixture::{Fixed, Fixture};
pub use landlock::{Held, Refusal, lower_without_mounts};

use super::desktop::PathRule;
use world::below;

use super::devices;
use super::expand::{self, Expanded};
use crate::host::Facts;
use crate::host::facts::{Caller, PathKind};
use crate::plan::Step;
use crate::plan::step::ProcOptions;
use crate::plan::step::Upper;
use crate::policy::{self, Policy};
use crate::profile::key::Section;
use crate::profile::value::{Access, Create, Value, View};
use crate::report::{Diagnostics, Site};
use crate::tree::{self, PathMap, PathSet};

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
    /// What `[desktop]` shows.
    pub desktop: Vec<PathRule>,
    /// What other sections put into the view.
    pub fixtures: Vec<Fixture>,
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
        let imported = root.is_some_and(|said| said.value.root().is_some());
        imported && !self.network_namespace
    }

    /// The path of the host that a view shows instead of its own, if it does; see [`expand::expand`].
    ///
    /// # Errors
    /// What is wrong with it.
    fn elsewhere(&self, view: &View, caller: &Caller) -> Option<Result<Expanded, String>> {
        match view.plain() {
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
    /// Where `[execute]` denies something and a mount holds it; none without mounts.
    pub denied: BTreeSet<PathBuf>,
}

/// Whether the two sections and the namespaces ask for a view of one's own.
#[must_use]
pub fn asks(policy: &Policy, around: &Surroundings) -> bool {
    policy.mentions(Section::Filesystem)
        || devices::asks(policy)
        || policy.mentions(Section::Desktop)
        || around.pid_namespace
        || proc::asks(policy)
        || !around.fixtures.is_empty()
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
    let mut paths: PathSet = ["/dev", "/proc"].map(PathBuf::from).into();
    paths.extend(asked.iter().cloned());
    let mut globs = PathSet::default();
    let mut binds = Vec::new();
    if around.real_root {
        paths.extend(proc::KERNEL_WIDE.map(PathBuf::from));
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
                if let Value::View(view) = value
                    && view.closes()
                {
                    paths.insert(later::stem(&path));
                }
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
    for rule in &around.desktop {
        paths.insert(rule.path.clone());
        if let Some(source) = rule.source() {
            paths.insert(source.to_owned());
        }
    }
    if around.shows_a_root(policy) {
        paths.insert(RESOLVER.into());
    }
    // Below something that is shown from elsewhere, that elsewhere says what is there.
    for (place, source) in &binds {
        let there = world::moved_below(&paths, place, source);
        paths.extend(there);
        let [at, from] = [place, source].map(|path| expand::literal(path, true));
        let there = world::moved_below(&globs, &at, &from);
        globs.extend(there);
        paths.insert(source.clone());
    }
    paths.extend(around.configuration.iter().cloned());
    paths.extend(groups::wanted(around));
    paths.extend(fixture::wanted(around));
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
    programs::hold(&mut draft);
    guard::prune(&mut draft);
    guard::pin(&mut draft);
    groups::tell(&mut draft);
    gather::tell_later(&mut draft, true);
    twin::tell(&mut draft);
    if !draft.errors.is_empty() {
        return Err(draft.errors);
    }
    let lines = draft.lines();
    let held = landlock::hold(&draft, &lines, true);
    let denied = programs::denied(&draft);
    let later = later::look_after(&mut draft, &lines);
    let mut lowered = mount::carry_out(draft, lines)?;
    // As soon as there is a view, and before anything runs in it.
    lowered.steps.extend(later);
    Ok(Lowered {
        held,
        denied,
        ..lowered
    })
}

/// The table of what is to be where, before it becomes mounts.
fn draft<'a>(policy: &'a Policy, facts: &'a Facts, around: &'a Surroundings) -> Draft<'a> {
    let mut draft = Draft::new(policy, facts, around);
    let rules = rule::place(&mut draft);
    guard::refuse_foreign_links(&mut draft, &rules);
    enter::enter(&mut draft, &rules);
    system::trees(&mut draft);
    system::resolver(&mut draft);
    let mut guarded = fixture::put(&mut draft, &rules);
    guarded.extend(guard::own_directories(&mut draft, &rules));
    guarded.extend(groups::keep(&mut draft));
    guard::second_roads(&mut draft, &rules, &guarded);
    draft
}

/// A rule of `[filesystem]`.
struct Said<'a> {
    key: &'a str,
    view: &'a View,
    rule: &'a policy::Rule,
    /// What the key comes to.
    expanded: Result<Expanded, String>,
}

/// What the lowering works on.
struct Draft<'a> {
    policy: &'a Policy,
    /// Its rules in `[filesystem]`.
    said: Rc<[Said<'a>]>,
    facts: &'a Facts,
    around: &'a Surroundings,
    /// What is at paths of the host that have no link in them; what is not here was not looked at.
    known: PathMap<PathKind>,
    /// What is to be at which place inside. Parents come before children.
    table: PathMap<Item>,
    /// What is at `/` when the table does not say.
    root: Item,
    /// Directories of the caller's own that must be there first.
    own: PathMap<Site>,
    /// What rules have made first, by its path on the host.
    created: PathMap<(Create, Site)>,
    /// Keys of rules that decide against others about the same place.
    decisive: BTreeSet<String>,
    /// What `[execute]` keeps from being executed, where mounts are to hold it too.
    programs: Option<programs::Programs>,
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
    /// Whether what is there can be executed, when that is said.
    execute: Option<bool>,
}

impl Item {
    /// What is at `/` when no rule is about it.
    fn root_of_host() -> Self {
        Self {
            what: What::Show {
                source: PathBuf::from("/"),
                access: Access::ReadWrite,
                devices: false,
                directory: true,
            },
            name: "/".to_owned(),
            site: Site::DEFAULT,
            because: String::new(),
            execute: None,
        }
    }
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
    /// Something closed, as a directory or a file; `None`: the host has nothing there.
    Denied {
        directory: Option<bool>,
    },
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
        options: ProcOptions,
    },
    MinimalDev,
    Devpts,
    Mqueue,
    /// A file or socket of the directory of the run.
    Made {
        name: OsString,
    },
    /// A symbolic link, where the tree is ours.
    Link(PathBuf),
}

impl What {
    /// Whether it keeps away what the host has there.
    fn closes(&self) -> bool {
        matches!(self, Self::Hidden | Self::Denied { .. })
    }

    /// Whether the program can write there, as far as the files' modes let it.
    fn is_writable(&self) -> bool {
        match self {
            Self::Show {
                access, devices, ..
            } => *access == Access::ReadWrite && !devices,
            Self::Tmpfs { .. } | Self::Private { .. } | Self::Overlay { .. } => true,
            _ => false,
        }
    }
}

impl<'a> Draft<'a> {
    fn new(policy: &'a Policy, facts: &'a Facts, around: &'a Surroundings) -> Self {
        let said = policy.section(Section::Filesystem);
        let said = said.filter_map(|(key, value, rule)| match value {
            Value::View(view) => Some(Said {
                key,
                view,
                rule,
                expanded: expand::expand(key, &facts.caller),
            }),
            _ => None,
        });
        Self {
            policy,
            said: said.collect(),
            facts,
            around,
            known: world::known(facts),
            table: PathMap::new(),
            root: Item::root_of_host(),
            own: PathMap::new(),
            created: PathMap::new(),
            decisive: BTreeSet::new(),
            programs: None,
            notes: Vec::new(),
            errors: Diagnostics::new(),
        }
    }
}

/// `path`, which lies at or below `from`, moved to the same place below `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    tree::rest(path, from).map_or_else(|| path.to_owned(), |rest| join(to, rest))
}

/// The same, as it is kept where it stays where it is.
fn moved_from<'a>(path: &'a Path, from: &Path, to: &Path) -> Cow<'a, Path> {
    match tree::same(from, to) {
        true => path.into(),
        false => moved(path, from, to).into(),
    }
}

/// Whether [`moved`] comes to `there`.
fn is_moved(path: &Path, from: &Path, to: &Path, there: &Path) -> bool {
    match tree::same(from, to) {
        true => tree::same(path, there),
        false => moved(path, from, to) == there,
    }
}

/// Joining without a slash at the end when there is nothing to join.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        base.to_owned()
    } else {
        base.join(rest)
    }
}
