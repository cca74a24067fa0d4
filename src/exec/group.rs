//! The life of a sandbox's control group: made, entered, counted, killed, removed; what a crash left is swept.
//!
//! The order in which a supervisor calls: [`Group::create`] before there is a child, [`Group::enter`] while the child
//! waits, [`Group::usage`] when the child has ended (before or after it is reaped: the group stays until it is removed),
//! [`Group::kill`] for what is left in it, [`Group::remove`]. The name is fresh each time: a group in which
//! `cgroup.kill` was used must not be used again, as the kernel kills what is cloned into it later.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::kernel::cgroup::{Directory, FileError};
use crate::kernel::{pressure, process};
use crate::report::Site;
use crate::section::limits::writes::agrees;
use crate::section::limits::{GroupPlan, LimitWrite, SoftLimit, Version, Way};

mod directories;
mod event;
mod name;
mod scope;
mod sweep;

pub use directories::{Current, Directories, GroupDirectory, Usage};
use directories::{Member, remove_tree};
pub use event::Event;
pub use sweep::{Swept, sweep};

/// A group could not be made, entered or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupError {
    /// The key of `[limits]`, when it is about one.
    pub key: Option<String>,
    /// The rule, when it is about one.
    pub site: Site,
    /// What was asked for and what the kernel or systemd said.
    pub message: String,
    /// What to do, a line each.
    pub help: Vec<String>,
}

impl GroupError {
    fn general(message: impl Into<String>) -> Self {
        Self {
            key: None,
            site: Site::DEFAULT,
            message: message.into(),
            help: Vec::new(),
        }
    }

    fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(key) = &self.key {
            write!(f, " (limits.{key})")?;
        }
        Ok(())
    }
}

impl std::error::Error for GroupError {}

impl From<FileError> for GroupError {
    fn from(error: FileError) -> Self {
        Self::general(error.to_string())
    }
}

/// A control group of our own. It is removed when this is dropped, if it is empty then; the processes in it are not killed.
#[derive(Debug)]
pub struct Group {
    directories: Directories,
    writes: Vec<LimitWrite>,
    soft: Option<SoftLimit>,
    pressure: Option<File>,
    scope: Option<scope::Scope>,
    warnings: Vec<GroupError>,
}

/// How long killing and removing may take until it is an error.
const PATIENCE: Duration = Duration::from_secs(10);

impl Group {
    /// Makes the group and writes the limits; sweeps what dead supervisors left beside it first. For a systemd scope only
    /// its name is made: a scope cannot be empty.
    ///
    /// # Errors
    /// A directory or a limit that the kernel refuses; nothing is left behind then.
    pub fn create(plan: &GroupPlan) -> Result<Self, GroupError> {
        let mut group = Self {
            directories: Directories::default(),
            writes: plan.writes.clone(),
            soft: plan.soft.clone(),
            pressure: None,
            scope: None,
            warnings: Vec::new(),
        };
        match &plan.way {
            Way::Scope { bus, slice, .. } => {
                group.scope = Some(scope::Scope::new(plan, bus, slice)?);
                return Ok(group);
            }
            Way::Direct { places } => {
                for (path, controllers) in places.iter().flat_map(|place| &place.enable) {
                    enable_controllers(&Directory::open(path)?, controllers)?;
                }
                sweep(
                    &places
                        .iter()
                        .map(|place| place.parent.clone())
                        .collect::<Vec<_>>(),
                );
                let name = name::Name::own()?.to_string();
                for place in places {
                    match Member::make(place, &name) {
                        Ok(member) => group.directories.members.push(member),
                        Err(_) if place.optional => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        group.limit()?;
        Ok(group)
    }

    /// Files by which a child that has one thread puts itself into the group, writing `0` to each, so that nobody has to
    /// [`Group::enter`] it: v1 only.
    ///
    /// The kernel lets a single thread move itself without stopping forks and ends of processes on the whole host, for
    /// which it waits 5 to 20 milliseconds when one process moves another (cgroup_threadgroup_rwsem).
    ///
    /// # Errors
    /// Those of open(2).
    pub fn doors(&self) -> Result<Vec<OwnedFd>, GroupError> {
        let members = &self.directories.members;
        if members.iter().any(|member| member.version == Version::V2) {
            return Ok(Vec::new());
        }
        let doors = members.iter().map(|member| member.directory.door());
        Ok(doors.collect::<Result<_, _>>()?)
    }

    /// Puts a process that waits, and has no children yet, into the group.
    ///
    /// # Errors
    /// The kernel or systemd refuses; or a limit that could only be written now does.
    pub fn enter(&mut self, pid: i32) -> Result<(), GroupError> {
        if let Some(scope) = &mut self.scope {
            let parts = scope.start(pid)?;
            let member = Member {
                version: Version::V2,
                parent: Some(parts.parent),
                name: scope::BOX.to_owned(),
                directory: parts.directory,
                controllers: parts.controllers,
            };
            self.directories.members.push(member);
            return self.limit();
        }
        for member in &self.directories.members {
            member.directory.enter(pid)?;
        }
        Ok(())
    }

    /// Limits that were not held, because their rules allow that.
    #[must_use]
    pub fn warnings(&self) -> &[GroupError] {
        &self.warnings
    }

    /// The directories of the group; several on v1.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.directories
            .members
            .iter()
            .map(|member| member.directory.path())
    }

    /// The systemd unit that the group lies in.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.scope.as_ref().map(scope::Scope::unit)
    }

    /// The soft memory limit that we hold ourselves, in bytes.
    #[must_use]
    pub fn soft_limit(&self) -> Option<u64> {
        self.soft.as_ref().map(|soft| soft.bytes)
    }

    /// Writes the limits, and sees that they hold.
    fn limit(&mut self) -> Result<(), GroupError> {
        for write in std::mem::take(&mut self.writes) {
            let result = self.write(&write);
            match result {
                Err(error) if write.may_fail => self.warnings.push(error),
                other => other?,
            }
        }
        if let Some(soft) = &self.soft {
            let result = self.watch(soft);
            match result {
                Ok(file) => self.pressure = Some(file),
                Err(error) if soft.may_fail => self.warnings.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&self, write: &LimitWrite) -> Result<(), GroupError> {
        let fail = |message: String| GroupError {
            key: Some(write.key.clone()),
            site: write.site,
            message,
            help: Vec::new(),
        };
        let member = self.member(write.controller).ok_or_else(|| {
            fail(format!(
                "the group has no controller `{}`",
                write.controller
            ))
        })?;
        let directory = &member.directory;
        if let Err(error) = directory.write(&write.file, &write.value) {
            let mut refused = fail(error.to_string());
            refused.help.extend(explain(write, error.errno));
            return Err(refused);
        }
        let read = directory
            .read(&write.file)
            .map_err(|error| fail(error.to_string()))?;
        if agrees(&write.file, &write.value, &read) {
            return Ok(());
        }
        Err(fail(format!(
            "`{}` is {} after {} was written",
            directory.path().join(&write.file).display(),
            read.trim(),
            write.value
        )))
    }

    fn watch(&self, soft: &SoftLimit) -> Result<File, GroupError> {
        let fail = |message: String| GroupError {
            key: Some("memory-soft".to_owned()),
            site: soft.site,
            message,
            help: Vec::new(),
        };
        let memory = self.member("memory").map(|member| &member.directory);
        if !memory.is_some_and(|directory| directory.has("memory.reclaim")) {
            return Err(fail(
                "this kernel cannot be asked to reclaim (`memory.reclaim`, Linux 5.19)".to_owned(),
            ));
        }
        pressure::memory_trigger().map_err(|error| {
            fail(format!(
                "cannot watch memory pressure (/proc/pressure/memory): {error}"
            ))
            .help("needs Linux 6.5, or root, and a kernel started with `psi=1`")
        })
    }

    /// What is to be polled for POLLPRI, upon which [`Group::on_pressure`] is to be called; none without a soft limit
    /// that we hold ourselves.
    #[must_use]
    pub fn pressure_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pressure.as_ref().map(AsFd::as_fd)
    }

    /// The host is short of memory: reclaims from the group down to its soft limit, in parts, for at most a fifth of a
    /// second, so that the supervisor stays responsive. Under lasting pressure the kernel calls again every 2 s.
    pub fn on_pressure(&self) {
        const PART: u64 = 32 << 20;
        let (Some(soft), Some(member)) = (&self.soft, self.member("memory")) else {
            return;
        };
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(200) {
            let used = member.directory.number("memory.current").unwrap_or(0);
            let excess = used.saturating_sub(soft.bytes);
            if excess == 0 {
                return;
            }
            // EAGAIN: less than that could be reclaimed; no more is to be had now.
            let part = excess.min(PART).to_string();
            if member.directory.write("memory.reclaim", &part).is_err() {
                return;
            }
        }
    }

    /// What the group has used until now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.directories.usage()
    }

    /// Its directories.
    #[must_use]
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// Whether a process is in the group or in a group that the program made in it.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        self.directories.is_populated()
    }

    /// Kills every process in the group, and waits until they are dead. They may still have to be reaped.
    ///
    /// # Errors
    /// Some are still there after 10 s (in uninterruptible sleep), or the kernel refuses.
    pub fn kill(&self) -> Result<(), GroupError> {
        Ok(self.directories.kill()?)
    }

    /// Removes the group, with groups that the program made in it.
    ///
    /// # Errors
    /// There are still processes in it after 10 s.
    pub fn remove(mut self) -> Result<(), GroupError> {
        self.take_down(PATIENCE)
    }

    fn take_down(&mut self, patience: Duration) -> Result<(), GroupError> {
        let mut result = Ok(());
        for member in self.directories.members.drain(..) {
            if let Some(parent) = &member.parent {
                let removed = remove_tree(parent, &member.name, patience);
                result = result.and(removed.map_err(Into::into));
            }
        }
        // systemd removes the scope once nothing is in it.
        self.scope = None;
        result
    }

    fn member(&self, controller: &str) -> Option<&Member> {
        self.directories.member(controller)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is left to be told; a group that still has processes is swept by the next launch.
        let _ = self.take_down(Duration::ZERO);
    }
}

/// Enables controllers for the children of a group.
///
/// # Errors
/// The kernel refuses one; the message names it.
pub fn enable_controllers(
    group: &Directory,
    controllers: &BTreeSet<String>,
) -> Result<(), GroupError> {
    // One by one, so that the message names the one that is refused.
    for controller in controllers {
        group
            .write("cgroup.subtree_control", &format!("+{controller}"))
            .map_err(|error| {
                let errno = error.errno;
                let refused = GroupError::from(error);
                match errno {
                    Errno::EBUSY => refused.help("the group has processes of its own, which a group that gives controllers to children must not"),
                    Errno::EINVAL if controller == "cpu" => refused.help("the kernel refuses while a real-time process is in a group other than the root"),
                    _ => refused,
                }
            })?;
    }
    Ok(())
}

fn explain(write: &LimitWrite, errno: Errno) -> Option<String> {
    Some(match (write.file.as_str(), errno) {
        (_, Errno::ENOENT) => format!("this kernel has no `{}`", write.file),
        ("cpu.cfs_quota_us", Errno::EINVAL) => {
            "a group above this one allows less CPU time, or the kernel's real-time budget is in the way".to_owned()
        }
        ("memory.memsw.limit_in_bytes", Errno::EOPNOTSUPP) => {
            "start the kernel with `swapaccount=1`".to_owned()
        }
        (_, Errno::EACCES | Errno::EPERM) => "the file belongs to somebody else".to_owned(),
        _ => return None,
    })
}

/// Start times differ between processes that had the same number, so that both together name one.
fn is_alive(pid: i32, started: u64) -> bool {
    match process::start_time(pid) {
        Ok(time) => time == started,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
pub(crate) mod tests;
