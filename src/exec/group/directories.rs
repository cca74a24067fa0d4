//! The directories of one sandbox's control group, whoever made them: what is in it, killing, removing.
//!
//! The supervisor has them from making them; `sandboxctl` opens them anew by a [`GroupDirectory`] each.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::PATIENCE;
use crate::kernel::cgroup::{Directory, FileError};
use crate::section::limits::{Place, Version};

/// Where a directory of a group is, as it is written down for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDirectory {
    /// The version of its hierarchy.
    pub version: Version,
    /// v1: the controllers of its hierarchy; v2: those that hold limits or count.
    pub controllers: BTreeSet<String>,
    /// Its path.
    pub path: PathBuf,
}

/// One directory of the group.
#[derive(Debug)]
pub(super) struct Member {
    pub version: Version,
    /// Where it was made, when it is ours to remove.
    pub parent: Option<Directory>,
    pub name: String,
    pub directory: Directory,
    /// v1: of its hierarchy; v2: all that hold limits or count.
    pub controllers: BTreeSet<String>,
    /// Whether the launch goes on without it.
    pub optional: bool,
}

impl Member {
    pub fn make(place: &Place, name: &str) -> Result<Self, FileError> {
        let parent = Directory::open(&place.parent)?;
        let directory = parent.make(name)?;
        let mut controllers = place.controllers.clone();
        if place.version == Version::V2 {
            // Those that hold no limit count.
            let available = directory.read("cgroup.controllers").unwrap_or_default();
            controllers.extend(available.split_whitespace().map(str::to_owned));
        }
        Ok(Self {
            version: place.version,
            parent: Some(parent),
            name: name.to_owned(),
            directory,
            controllers,
            optional: place.optional,
        })
    }
}

/// The directories of one group; several on v1, where each hierarchy has its own.
#[derive(Debug, Default)]
pub struct Directories {
    pub(super) members: Vec<Member>,
}

impl Directories {
    pub(super) fn gather(&mut self) {
        let members = std::mem::take(&mut self.members);
        self.members.reserve_exact(members.len());
        self.members.extend(members);
        for member in &mut self.members {
            member.name = member.name.clone();
            member.controllers = member.controllers.clone();
            member.directory.gather();
            if let Some(parent) = &mut member.parent {
                parent.gather();
            }
        }
    }

    /// Opens the directories of somebody else's group. They are not removed when this is dropped.
    ///
    /// # Errors
    /// Those of open(2): ENOENT when the group is gone.
    pub fn open(places: &[GroupDirectory]) -> Result<Self, FileError> {
        let members = places.iter().map(|place| {
            let directory = Directory::open(&place.path)?;
            let mut controllers = place.controllers.clone();
            if place.version == Version::V2 {
                // It may have been given more since it was written down.
                let available = directory.read("cgroup.controllers").unwrap_or_default();
                controllers.extend(available.split_whitespace().map(str::to_owned));
            }
            Ok(Member {
                version: place.version,
                parent: None,
                name: String::new(),
                directory,
                controllers,
                optional: false,
            })
        });
        Ok(Self {
            members: members.collect::<Result<_, FileError>>()?,
        })
    }

    /// Where they are, to be written down.
    #[must_use]
    pub fn places(&self) -> Vec<GroupDirectory> {
        let places = self.members.iter().map(|member| GroupDirectory {
            version: member.version,
            controllers: member.controllers.clone(),
            path: member.directory.path().to_owned(),
        });
        places.collect()
    }

    pub(super) fn member(&self, controller: &str) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.controllers.contains(controller))
    }

    /// The directory that holds the limits of a controller, and the version of its hierarchy.
    #[must_use]
    pub fn of(&self, controller: &str) -> Option<(Version, &Directory)> {
        self.member(controller)
            .map(|member| (member.version, &member.directory))
    }

    /// The directories, and the versions of their hierarchies.
    pub fn each(&self) -> impl Iterator<Item = (Version, &Directory)> {
        self.members
            .iter()
            .map(|member| (member.version, &member.directory))
    }

    /// Puts a process that has no children into the group.
    ///
    /// # Errors
    /// Those of [`Directory::enter`].
    pub fn enter(&self, pid: i32) -> Result<(), FileError> {
        self.members
            .iter()
            .try_for_each(|member| member.directory.enter(pid))
    }

    /// The directory in the v2 hierarchy.
    pub(super) fn unified(&self) -> Option<&Directory> {
        self.members
            .iter()
            .find(|member| member.version == Version::V2)
            .map(|member| &member.directory)
    }

    /// The processes in the group and in groups that the program made in it. One that left the group in one hierarchy,
    /// as root may on v1, is still found in another.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<i32> {
        self.members
            .iter()
            .flat_map(|member| all_processes(&member.directory))
            .collect()
    }

    /// Whether a process is in the group or in a group that the program made in it.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        self.members
            .iter()
            .any(|member| !all_processes(&member.directory).is_empty())
    }

    /// Kills every process in the group, and waits until they are dead. They may still have to be reaped. Frozen ones die
    /// too, and the group is thawed by that.
    ///
    /// # Errors
    /// Some are still there after 10 s (in uninterruptible sleep), or the kernel refuses.
    pub fn kill(&self) -> Result<(), FileError> {
        if let Some(unified) = self.unified()
            && self.members.len() > 1
        {
            // All at once, while the v1 hierarchies can only be asked for one process after another.
            let _ = unified.write("cgroup.kill", "1");
        }
        // The hierarchies hold the same processes; where they can be frozen, none escapes between listing and killing.
        let (first, rest): (Vec<_>, Vec<_>) = self
            .members
            .iter()
            .partition(|member| member.controllers.contains("freezer"));
        for member in first.into_iter().chain(rest) {
            kill_all(&member.directory, PATIENCE)?;
        }
        Ok(())
    }
}

/// Directories of a group and of all groups in it, the deepest last.
fn tree(group: &Directory) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut open = vec![PathBuf::new()];
    // Bounded: the program may be making groups while we look.
    while let Some(at) = open.pop().filter(|_| all.len() < 10_000) {
        let children = match at.to_str() {
            Some("") => group.children(),
            Some(name) => group.child(name).and_then(|child| child.children()),
            None => continue,
        };
        open.extend(
            children
                .unwrap_or_default()
                .iter()
                .map(|name| at.join(name)),
        );
        if !at.as_os_str().is_empty() {
            all.push(at);
        }
    }
    all.sort_by_key(|path| path.components().count());
    all
}

pub(super) fn all_processes(group: &Directory) -> BTreeSet<i32> {
    let mut all: BTreeSet<i32> = group.processes().unwrap_or_default().into_iter().collect();
    for below in tree(group) {
        let processes = below
            .to_str()
            .and_then(|name| group.child(name).ok())
            .and_then(|child| child.processes().ok());
        all.extend(processes.unwrap_or_default());
    }
    all
}

/// Kills all processes in a group and in groups in it, and waits until they are dead.
pub(super) fn kill_all(group: &Directory, patience: Duration) -> Result<(), FileError> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    let at_once = group.has("cgroup.kill") && group.write("cgroup.kill", "1").is_ok();
    loop {
        let processes = all_processes(group);
        if processes.is_empty() {
            return Ok(());
        }
        if started.elapsed() > patience {
            return Err(FileError {
                path: group.path().to_owned(),
                doing: format!("kill process {} in", processes.first().unwrap_or(&0)),
                errno: Errno::EBUSY,
            });
        }
        if !at_once {
            // Without a freezer processes may fork between being listed and being killed, and the list is read again.
            let _ = group.write("freezer.state", "FROZEN");
            let _ = group.kill_processes();
            for below in tree(group) {
                let child = below.to_str().and_then(|name| group.child(name).ok());
                let _ = child.map(|child| child.kill_processes());
            }
            // On v1 a frozen process dies only when it is thawed.
            let _ = group.write("freezer.state", "THAWED");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

pub(super) fn remove_tree(
    parent: &Directory,
    name: &str,
    patience: Duration,
) -> Result<(), FileError> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        // An empty one goes at once, and without a descriptor, which may be what was missing.
        match parent.remove(name) {
            Err(error) if matches!(error.errno, Errno::EBUSY | Errno::ENOTEMPTY) => {}
            other => return other,
        }
        let group = match parent.child(name) {
            Ok(group) => group,
            Err(error) if error.errno == Errno::ENOENT => return Ok(()),
            Err(error) => return Err(error),
        };
        let below = tree(&group);
        let inner = below
            .iter()
            .rev()
            .filter_map(|path| path.to_str())
            .try_for_each(|path| group.remove(path));
        // EBUSY for a moment after the last process died.
        match inner.and_then(|()| parent.remove(name)) {
            Err(error) if error.errno == Errno::EBUSY && started.elapsed() < patience => {}
            other => return other,
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
