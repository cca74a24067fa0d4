//! `sandboxctl group`: control groups with limits that an administrator makes once, and users put their processes into
//! afterwards, without any privilege at that time. On cgroup v1, where the owner of `cgroup.procs` may join: the limits
//! stay root's, so that who is in cannot raise them, and cannot leave.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueHint};
use nix::unistd::{User, geteuid};

use super::attach::{WantedLimits, policy};
use super::{answer, attach, complain, inspect, status};
use crate::host::cgroup::probe;
use crate::host::facts::cgroup::CgroupFacts;
use crate::kernel::cgroup::{Directory, FileError};
use crate::kernel::machine;
use crate::report::{Diagnostic, SourceMap, escape};
use crate::section::limits::writes::{Group as Seats, agrees, reads_back, writes};
use crate::section::limits::{LimitWrite, Limits, Version};

/// The directory of these groups in each hierarchy; root's.
const SHARED: &str = "sandbox.shared";

/// What is done with them.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Group {
    /// Make a group with limits that a user may join (as root; cgroup v1)
    Make {
        /// Its name
        #[arg(value_name = "NAME", value_parser = super::arguments::run_name, value_hint = ValueHint::Other)]
        name: String,
        /// Who may join
        #[arg(long, value_name = "USER", value_hint = ValueHint::Username)]
        user: String,
        /// Which limits.
        #[command(flatten)]
        limits: Box<WantedLimits>,
    },
    /// Remove a group that nobody is in (as root)
    Remove {
        /// Its name
        #[arg(value_name = "NAME", value_parser = super::arguments::run_name, value_hint = ValueHint::Other)]
        name: String,
    },
    /// List the groups, and how many processes are in each
    List,
    /// Put processes of yours into a group
    Join {
        /// Its name
        #[arg(value_name = "NAME", value_parser = super::arguments::run_name, value_hint = ValueHint::Other)]
        name: String,
        /// The processes, by number
        #[arg(value_name = "PID", required_unless_present = "caller", value_hint = ValueHint::Other)]
        processes: Vec<i32>,
        /// The process that calls: the shell that this is typed in
        #[arg(long, conflicts_with = "processes")]
        caller: bool,
    },
}

/// Carries it out.
///
/// # Errors
/// The exit status.
pub(super) fn run(verb: &Group) -> Result<(), i32> {
    let facts = probe(geteuid().as_raw());
    let mut sources = SourceMap::new();
    let done = match verb {
        Group::Make { name, user, limits } => make(&facts, name, user, limits, &mut sources),
        Group::Remove { name } => remove(&facts, name),
        Group::List => list(&facts),
        Group::Join {
            name,
            processes,
            caller,
        } => join(&facts, name, processes, *caller),
    };
    match done {
        Ok(text) => answer(&text),
        Err(refused) => {
            inspect::tell(&refused.diagnostics, &sources);
            Err(refused.status)
        }
    }
}

struct Refused {
    diagnostics: Vec<Diagnostic>,
    status: i32,
}

impl From<Diagnostic> for Refused {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostics: vec![diagnostic],
            status: status::NO,
        }
    }
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        Diagnostic::general(error.to_string()).into()
    }
}

fn shared(mount: &Path) -> PathBuf {
    mount.join(SHARED)
}

/// The groups of that name, one in each hierarchy that has one.
fn named(facts: &CgroupFacts, name: &str) -> Vec<PathBuf> {
    let places = facts.legacy.iter();
    let places = places.map(|hierarchy| shared(&hierarchy.mount).join(name));
    places.filter(|path| path.is_dir()).collect()
}

fn existing(facts: &CgroupFacts, name: &str) -> Result<Vec<PathBuf>, Refused> {
    let found = named(facts, name);
    if found.is_empty() {
        return Err(Diagnostic::general(format!("there is no group `{name}`"))
            .help("sandboxctl group list")
            .into());
    }
    Ok(found)
}

fn must_be_root(what: &str) -> Result<(), Refused> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(Diagnostic::general(format!("only root can {what} such a group")).into())
}

fn make(
    facts: &CgroupFacts,
    name: &str,
    user: &str,
    wanted: &WantedLimits,
    sources: &mut SourceMap,
) -> Result<String, Refused> {
    let usage = |diagnostics| Refused {
        diagnostics,
        status: status::USAGE,
    };
    let policy = policy(wanted, sources).map_err(usage)?;
    must_be_root("make")?;
    if !facts.is_legacy() {
        return Err(Diagnostic::general(
            "cgroup v2 lets a user move processes only within what is delegated to it, so that nobody could join the group",
        )
        .help("users limit their own processes there without it: sandboxctl attach --profile NAME --caller")
        .into());
    }
    let owner = User::from_name(user)
        .ok()
        .flatten()
        .ok_or_else(|| Diagnostic::general(format!("there is no user `{}`", escape::line(user))))?;
    let limits = Limits::of(&policy, machine::memory().unwrap_or(0)).map_err(usage)?;
    let legacy = |controller: &str| facts.legacy(controller).map(|_| Version::V1);
    let all = writes(
        &limits,
        Seats {
            version: &legacy,
            lacks: &|_| false,
            may_fail: &|_| false,
        },
    );
    for (key, ..) in limits.iter() {
        if !all.iter().any(|write| write.key == key) {
            return Err(Diagnostic::general(format!(
                "`limits.{key}` cannot be held by a group that is made here"
            ))
            .into());
        }
    }
    if all.is_empty() {
        return Err(Diagnostic::general("no limit was asked for that a group holds").into());
    }
    if !named(facts, name).is_empty() {
        return Err(
            Diagnostic::general(format!("there is a group `{name}` already"))
                .help(format!("sandboxctl group remove {name}"))
                .into(),
        );
    }
    let made = build(facts, name, &all);
    let directories = match made {
        Ok(directories) => directories,
        Err(refused) => {
            // Half of it is no limit.
            for path in named(facts, name) {
                let parent = path
                    .parent()
                    .and_then(|parent| Directory::open(parent).ok());
                let _ = parent.map(|parent| parent.remove(name));
            }
            return Err(refused);
        }
    };
    let mut text = String::new();
    for directory in &directories {
        for file in ["cgroup.procs", "tasks"] {
            directory.give_file(file, owner.uid.as_raw(), owner.gid.as_raw())?;
        }
        text.push_str(&format!("made {}\n", directory.path().display()));
    }
    for write in &all {
        text.push_str(&format!("  {} = {}\n", write.file, write.value));
    }
    text.push_str(&format!(
        "`{}` puts its processes there with: sandboxctl group join {name} --caller\nthis lasts until the next boot\n",
        escape::line(&owner.name)
    ));
    Ok(text)
}

/// Makes the directories, and writes the limits, before anybody can be in them.
fn build(facts: &CgroupFacts, name: &str, all: &[LimitWrite]) -> Result<Vec<Directory>, Refused> {
    let mut directories = Vec::new();
    for hierarchy in &facts.legacy {
        let here: Vec<&LimitWrite> = all
            .iter()
            .filter(|write| hierarchy.controllers.contains(write.controller))
            .collect();
        if here.is_empty() {
            continue;
        }
        let (top, _) = Directory::open(&hierarchy.mount)?.made(SHARED)?;
        if top.owner()? != 0 {
            return Err(
                Diagnostic::general(format!("{} is not root's", top.path().display())).into(),
            );
        }
        let group = top.make(name)?;
        for write in here {
            group.write(&write.file, &write.value)?;
            if reads_back(&write.file) {
                let read = group.read(&write.file)?;
                if !agrees(&write.file, &write.value, &read) {
                    return Err(Diagnostic::general(format!(
                        "`{}` is {} after {} was written",
                        group.path().join(&write.file).display(),
                        read.trim(),
                        write.value
                    ))
                    .into());
                }
            }
        }
        directories.push(group);
    }
    Ok(directories)
}

fn remove(facts: &CgroupFacts, name: &str) -> Result<String, Refused> {
    must_be_root("remove")?;
    let mut text = String::new();
    let found = existing(facts, name)?;
    for path in &found {
        let many = Directory::open(path)?.processes()?.len();
        if many > 0 {
            return Err(
                Diagnostic::general(format!("{} holds {many} processes", path.display()))
                    .help("they leave it when they end")
                    .into(),
            );
        }
    }
    for path in found {
        let Some(parent) = path.parent() else {
            continue;
        };
        Directory::open(parent)?.remove(name)?;
        text.push_str(&format!("removed {}\n", path.display()));
    }
    Ok(text)
}

fn list(facts: &CgroupFacts) -> Result<String, Refused> {
    let mut names: Vec<(String, usize)> = Vec::new();
    for hierarchy in &facts.legacy {
        let Ok(top) = Directory::open(&shared(&hierarchy.mount)) else {
            continue;
        };
        for name in top.children()? {
            let many = top.child(&name)?.processes()?.len();
            match names.iter_mut().find(|(known, _)| *known == name) {
                Some((_, most)) => *most = many.max(*most),
                None => names.push((name, many)),
            }
        }
    }
    if names.is_empty() {
        return Ok("there is no group that users can join\n".to_owned());
    }
    names.sort();
    let lines = names
        .into_iter()
        .map(|(name, many)| format!("{:20} {many} processes\n", escape::line(&name)));
    Ok(lines.collect())
}

fn join(
    facts: &CgroupFacts,
    name: &str,
    processes: &[i32],
    caller: bool,
) -> Result<String, Refused> {
    let peers = attach::choose(processes, caller)?;
    let found = existing(facts, name)?;
    let mut text = String::new();
    for peer in &peers {
        for path in &found {
            let group = Directory::open(path)?;
            group.enter(peer.pid()).map_err(|error| {
                let refused = Diagnostic::general(error.to_string());
                match error.errno {
                    nix::errno::Errno::EACCES | nix::errno::Errno::EPERM => {
                        refused.help("the group is another user's to join, or the process is")
                    }
                    _ => refused,
                }
            })?;
        }
        text.push_str(&format!(
            "process {} is in the group `{name}` now\n",
            peer.pid()
        ));
    }
    if found
        .iter()
        .any(|path| path.join("memory.limit_in_bytes").exists())
    {
        complain("note: memory that it holds already is counted where it was\n");
    }
    Ok(text)
}
