//! The directories of one sandbox's control group, whoever made them: what it uses, freezing, killing, removing.
//!
//! The supervisor has them from making them; `sandboxctl` opens them anew by a [`GroupDirectory`] each.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::PATIENCE;
use crate::kernel::cgroup::{Directory, FileError, field};
use crate::section::limits::{Place, Version};

/// What the group has used, as far as this kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// The most bytes of memory at a time.
    pub memory_peak: Option<u64>,
    /// The most bytes of swap at a time (v2, Linux 6.5).
    pub swap_peak: Option<u64>,
    /// Processes that the kernel killed at the memory limit.
    pub oom_kills: Option<u64>,
    /// The most processes and threads at a time.
    pub pids_peak: Option<u64>,
    /// Forks refused at the limit.
    pub pids_refused: Option<u64>,
    /// CPU time in microseconds.
    pub cpu_usec: Option<u64>,
    /// Of it in the program's own code, in microseconds.
    pub user_usec: Option<u64>,
    /// Of it in the kernel, in microseconds.
    pub system_usec: Option<u64>,
    /// Times that the group was held back at its CPU quota.
    pub throttled: Option<u64>,
    /// Time for which the group was held back at its CPU quota, in microseconds.
    pub throttled_usec: Option<u64>,
    /// Times that the memory limit was reached, also where reclaiming helped.
    pub memory_limit_hits: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
    /// Reads from block devices.
    pub io_reads: Option<u64>,
    /// Writes to block devices.
    pub io_writes: Option<u64>,
}

/// What the group uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Current {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of swap.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Whether it is frozen.
    pub frozen: bool,
}

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
    /// v1: of its hierarchy; v2: all that hold limits.
    pub controllers: BTreeSet<String>,
}

impl Member {
    pub fn make(place: &Place, name: &str) -> Result<Self, FileError> {
        let parent = Directory::open(&place.parent)?;
        let directory = parent.make(name)?;
        Ok(Self {
            version: place.version,
            parent: Some(parent),
            name: name.to_owned(),
            directory,
            controllers: place.controllers.clone(),
        })
    }
}

/// The directories of one group; several on v1, where each hierarchy has its own.
#[derive(Debug, Default)]
pub struct Directories {
    pub(super) members: Vec<Member>,
}

impl Directories {
    /// Opens the directories of somebody else's group. They are not removed when this is dropped.
    ///
    /// # Errors
    /// Those of open(2): ENOENT when the group is gone.
    pub fn open(places: &[GroupDirectory]) -> Result<Self, FileError> {
        let members = places.iter().map(|place| {
            Ok(Member {
                version: place.version,
                parent: None,
                name: String::new(),
                directory: Directory::open(&place.path)?,
                controllers: place.controllers.clone(),
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

    /// Whether all processes of the group are frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.each().any(|(version, directory)| match version {
            Version::V1 => directory
                .read("freezer.state")
                .is_ok_and(|state| state.trim() == "FROZEN"),
            Version::V2 => directory.field("cgroup.events", "frozen") == Some(1),
        })
    }

    /// What the group has used until now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let usec = |nanoseconds: u64| nanoseconds / 1000;
        match self.of("memory") {
            Some((Version::V1, memory)) => {
                usage.memory_peak = memory.number("memory.max_usage_in_bytes");
                usage.memory_limit_hits = memory.number("memory.failcnt");
                usage.oom_kills = memory.field("memory.oom_control", "oom_kill");
            }
            Some((Version::V2, memory)) => {
                usage.memory_peak = memory.number("memory.peak");
                usage.swap_peak = memory.number("memory.swap.peak");
                let events = memory.read("memory.events").unwrap_or_default();
                usage.memory_limit_hits = field(&events, "max");
                usage.oom_kills = field(&events, "oom_kill");
            }
            None => {}
        }
        if let Some((_, pids)) = self.of("pids") {
            usage.pids_peak = pids.number("pids.peak");
            usage.pids_refused = pids.field("pids.events", "max");
        }
        if let Some((Version::V1, cpuacct)) = self.of("cpuacct") {
            usage.cpu_usec = cpuacct.number("cpuacct.usage").map(usec);
            usage.user_usec = cpuacct.number("cpuacct.usage_user").map(usec);
            usage.system_usec = cpuacct.number("cpuacct.usage_sys").map(usec);
        }
        if let Some((Version::V1, cpu)) = self.of("cpu") {
            let stat = cpu.read("cpu.stat").unwrap_or_default();
            usage.throttled = field(&stat, "nr_throttled");
            usage.throttled_usec = field(&stat, "throttled_time").map(usec);
        }
        let unified = self
            .members
            .iter()
            .find(|member| member.version == Version::V2);
        if let Some(member) = unified
            && self.of("cpuacct").is_none()
        {
            // Without the controller the file is there too, with the time alone.
            let stat = member.directory.read("cpu.stat").unwrap_or_default();
            usage.cpu_usec = field(&stat, "usage_usec");
            usage.user_usec = field(&stat, "user_usec");
            usage.system_usec = field(&stat, "system_usec");
            usage.throttled = usage.throttled.or(field(&stat, "nr_throttled"));
            usage.throttled_usec = usage.throttled_usec.or(field(&stat, "throttled_usec"));
        }
        usage
    }

    /// What the group uses now.
    #[must_use]
    pub fn current(&self) -> Current {
        let mut current = Current::default();
        match self.of("memory") {
            Some((Version::V1, memory)) => {
                current.memory = memory.number("memory.usage_in_bytes");
                let both = memory.number("memory.memsw.usage_in_bytes");
                current.swap = both
                    .zip(current.memory)
                    .map(|(both, memory)| both.saturating_sub(memory));
            }
            Some((Version::V2, memory)) => {
                current.memory = memory.number("memory.current");
                current.swap = memory.number("memory.swap.current");
            }
            None => {}
        }
        current.pids = self
            .of("pids")
            .and_then(|(_, pids)| pids.number("pids.current"));
        current
    }

    /// The processes in the group and in groups that the program made in it.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<i32> {
        self.members
            .first()
            .map(|member| all_processes(&member.directory))
            .unwrap_or_default()
    }

    /// Whether a process is in the group or in a group that the program made in it.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        self.members
            .iter()
            .any(|member| !all_processes(&member.directory).is_empty())
    }

    /// Kills every process in the group, and waits until they are dead. They may still have to be reaped.
    ///
    /// # Errors
    /// Some are still there after 10 s (in uninterruptible sleep), or the kernel refuses.
    pub fn kill(&self) -> Result<(), FileError> {
        // The hierarchies hold the same processes; where they can be frozen, none escapes between listing and killing.
        let (first, rest): (Vec<_>, Vec<_>) = self
            .members
            .iter()
            .partition(|member| member.controllers.contains("freezer"));
        for member in first.into_iter().chain(rest) {
            kill_all(&member.directory)?;
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
pub(super) fn kill_all(group: &Directory) -> Result<(), FileError> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    let at_once = group.has("cgroup.kill") && group.write("cgroup.kill", "1").is_ok();
    loop {
        let processes = all_processes(group);
        if processes.is_empty() {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(FileError {
                path: group.path().to_owned(),
                doing: format!("kill process {} in", processes.first().unwrap_or(&0)),
                errno: Errno::EBUSY,
            });
        }
        if !at_once {
            freeze(group, true);
            let _ = group.kill_processes();
            for below in tree(group) {
                let child = below.to_str().and_then(|name| group.child(name).ok());
                let _ = child.map(|child| child.kill_processes());
            }
            // On v1 a frozen process dies only when it is thawed.
            freeze(group, false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Freezes or thaws where the group can; without it processes may fork between being listed and being killed, and the
/// list is read again.
fn freeze(group: &Directory, frozen: bool) {
    let value = if frozen { "FROZEN" } else { "THAWED" };
    let _ = group.write("freezer.state", value);
}

pub(super) fn remove_tree(
    parent: &Directory,
    name: &str,
    patience: Duration,
) -> Result<(), FileError> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
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
