//! The life of a sandbox's control group: made, entered, counted, killed, removed; what a crash left is swept.
//!
//! The order in which a supervisor calls: [`Group::create`] before there is a child, [`Group::enter`] while the child
//! waits, [`Group::usage`] when the child has ended (before or after it is reaped: the group stays until it is removed),
//! [`Group::kill`] for what is left in it, [`Group::remove`]. The name is fresh each time: a group in which
//! `cgroup.kill` was used must not be used again, as the kernel kills what is cloned into it later.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::kernel::bpf;
use crate::kernel::cgroup::{Directory, FileError};
use crate::report::Site;
use crate::section::limits::writes::{agrees, reads_back};
use crate::section::limits::{DeviceLimit, GroupPlan, LimitWrite, SoftLimit, Version, Way};

mod attached;
mod circumstances;
mod directories;
mod event;
mod freeze;
mod measure;
mod name;
mod scope;
mod shortage;
mod soft;
mod sweep;
mod watch;

pub use attached::{Attached, Running, others_attached, outside_of_attached, sandbox_of};
pub use circumstances::{Ceiling, Circumstances};
pub use directories::{Directories, GroupDirectory};
use directories::{Member, remove_tree};
pub use event::Event;
pub use measure::{Current, Pressure, Usage};
use soft::Soft;
pub use sweep::{Swept, sweep, sweep_scopes};
pub use watch::WATCHES;
use watch::{Watch, Watches};

/// A group could not be made, entered or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupError {
    /// The key of `[limits]`, when it is about one.
    pub key: Option<String>,
    /// The rule, when it is about one.
    pub site: Site,
    /// What was asked for and what the kernel or systemd said.
    pub message: String,
    /// What of that was the kernel's word.
    pub cause: Option<Errno>,
    /// What to do, a line each.
    pub help: Vec<String>,
}

impl GroupError {
    fn general(message: impl Into<String>) -> Self {
        Self {
            key: None,
            site: Site::DEFAULT,
            message: message.into(),
            cause: None,
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
        Self {
            cause: Some(error.errno),
            ..Self::general(error.to_string())
        }
    }
}

/// A control group of our own. It is removed when this is dropped, if it is empty then; the processes in it are not killed.
#[derive(Debug)]
pub struct Group {
    directories: Directories,
    writes: Vec<LimitWrite>,
    devices: Option<DeviceLimit>,
    soft: Option<SoftLimit>,
    kill_at_oom: bool,
    watches: Watches,
    scope: Option<scope::Scope>,
    warnings: Vec<GroupError>,
}

/// How long killing and removing may take until it is an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when nobody is left to be told: what was killed just now leaves its group in a moment.
const GOODBYE: Duration = Duration::from_millis(100);

impl Group {
    /// Makes the group and writes the limits. For a systemd scope only its name is made: a scope cannot be empty.
    ///
    /// # Errors
    /// A directory or a limit that the kernel refuses; nothing is left behind then.
    pub fn create(plan: &GroupPlan) -> Result<Self, GroupError> {
        let mut group = Self {
            directories: Directories::default(),
            writes: plan.writes.clone(),
            devices: plan.devices.clone(),
            soft: plan.soft.clone(),
            kill_at_oom: plan.kill_at_oom,
            watches: Watches::default(),
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

    /// Moves what it keeps to where memory is asked for now.
    pub fn gather(&mut self) {
        self.directories.gather();
        self.writes = self.writes.clone();
        self.soft = self.soft.clone();
        self.watches.gather();
    }

    /// The v2 directory that the child can be born into, so that nobody has to move it there.
    #[must_use]
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        match self.scope {
            Some(_) => None,
            None => self.directories.unified().map(Directory::as_fd),
        }
    }

    /// The group in which programs of ours run beside the program, in its scope and not under its limits; none where the
    /// launcher's own group is as good.
    #[must_use]
    pub fn home(&self) -> Option<BorrowedFd<'_>> {
        let home = self.scope.as_ref().and_then(scope::Scope::home);
        home.map(Directory::as_fd)
    }

    /// Puts a program of ours there that was not born there.
    ///
    /// # Errors
    /// Neither the kernel lets us nor does systemd.
    pub fn take_in(&self, pid: i32) -> Result<(), GroupError> {
        self.scope
            .as_ref()
            .map_or(Ok(()), |scope| scope.take_in(pid))
    }

    /// Files by which a child that has one thread puts itself into the group, writing `0` to each, so that nobody has to
    /// [`Group::enter`] it: for the hierarchies of v1.
    ///
    /// The kernel lets a single thread move itself without stopping forks and ends of processes on the whole host, for
    /// which it waits 5 to 20 milliseconds when one process moves another (cgroup_threadgroup_rwsem).
    ///
    /// # Errors
    /// Those of open(2).
    pub fn doors(&self) -> Result<Vec<OwnedFd>, GroupError> {
        let members = self.directories.members.iter();
        let doors = members
            .filter(|member| member.version == Version::V1)
            .map(|member| member.directory.door());
        Ok(doors.collect::<Result<_, _>>()?)
    }

    /// Puts a process that waits, and has no children yet, into the group, where it does not do so itself by the
    /// [`Group::doors`]. `born` says that it is in the v2 directory already ([`Group::birthplace`]). A v2 directory that
    /// only helps, and does not take the process, is given up.
    ///
    /// # Errors
    /// The kernel or systemd refuses; or a limit that could only be written now does.
    pub fn enter(&mut self, pid: i32, born: bool) -> Result<(), GroupError> {
        if let Some(scope) = &mut self.scope {
            let parts = scope.start(pid)?;
            let member = Member {
                version: Version::V2,
                parent: Some(parts.parent),
                name: parts.name,
                directory: parts.directory,
                controllers: parts.controllers,
                optional: false,
            };
            self.directories.members.push(member);
            return self.limit();
        }
        if born {
            return Ok(());
        }
        let mut unified = self.directories.members.iter();
        let Some(at) = unified.position(|member| member.version == Version::V2) else {
            return Ok(());
        };
        let entered = match self.directories.members.get(at) {
            Some(member) => member
                .directory
                .enter(pid)
                .map_err(|error| (member.optional, error)),
            None => Ok(()),
        };
        match entered {
            Ok(()) => Ok(()),
            Err((true, _)) => {
                self.give_up(at);
                Ok(())
            }
            Err((false, error)) => Err(error.into()),
        }
    }

    fn give_up(&mut self, at: usize) {
        let member = self.directories.members.remove(at);
        if let Some(parent) = &member.parent {
            let _ = parent.remove(&member.name);
        }
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
        if let Some(devices) = self.devices.take() {
            match self.restrict(&devices) {
                Err(error) if devices.may_fail => self.warnings.push(error),
                other => other?,
            }
        }
        if let Some(soft) = self.soft.clone() {
            match Soft::new(&soft, &self.directories) {
                Ok(held) => self.watches.hold(held),
                Err(error) if soft.may_fail => self.warnings.push(error),
                Err(error) => return Err(error),
            }
        }
        if self.kill_at_oom {
            let watch = Watch::memory(&self.directories).map_err(|error| GroupError {
                key: Some("oom-group".to_owned()),
                ..error.into()
            })?;
            watch.into_iter().for_each(|watch| self.watches.add(watch));
        }
        Ok(())
    }

    /// Has a program of ours asked about each use of a device (v2).
    fn restrict(&mut self, devices: &DeviceLimit) -> Result<(), GroupError> {
        let fail = |message: String| GroupError {
            key: Some("devices".to_owned()),
            site: devices.site,
            message,
            cause: None,
            help: Vec::new(),
        };
        let at = self.directories.unified().ok_or_else(|| {
            fail("the group is in no cgroup v2 hierarchy, where devices can be limited".to_owned())
        })?;
        let program = crate::bpf::device::compile(&devices.allowed);
        let loaded = bpf::load_device_program(&program.words()).map_err(|errno| {
            let refused = fail(format!(
                "the kernel does not take the BPF program that decides about devices: {}",
                errno.desc()
            ));
            match errno {
                Errno::EPERM => refused.help(
                    "needs root in the first user namespace of the host (CAP_BPF and CAP_NET_ADMIN)",
                ),
                Errno::EINVAL => {
                    refused.help("needs a kernel with CONFIG_CGROUP_BPF (Linux 5.1 or later)")
                }
                Errno::ENOSYS => refused.help("this kernel has no bpf(2)"),
                _ => refused,
            }
        })?;
        bpf::attach_device_program(&loaded, at.as_fd()).map_err(|errno| {
            let refused = fail(format!(
                "the program that decides about devices cannot be attached to `{}`: {}",
                at.path().display(),
                errno.desc()
            ));
            match errno {
                Errno::EPERM => refused.help(
                    "needs CAP_NET_ADMIN; or a group above has a program that allows none below it",
                ),
                _ => refused,
            }
        })
    }

    fn write(&self, write: &LimitWrite) -> Result<(), GroupError> {
        let fail = |message: String| GroupError {
            key: Some(write.key.clone()),
            site: write.site,
            message,
            cause: None,
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
            refused.cause = Some(error.errno);
            refused.help.extend(explain(write, error.errno));
            return Err(refused);
        }
        if !reads_back(&write.file) {
            return Ok(());
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

    /// Removes what dead supervisors left beside this group. Nothing waits for that: call it when the program runs.
    pub fn sweep(&self) -> Swept {
        let parents = self.directories.members.iter();
        let parents = parents.filter_map(|member| member.parent.as_ref());
        match &self.scope {
            // The slice: what holds the scope, which holds the group.
            Some(_) => parents
                .filter_map(|scope| scope.path().parent())
                .map(sweep_scopes)
                .next()
                .unwrap_or_default(),
            None => sweep(parents.map(Directory::path)),
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
        let _ = self.take_down(GOODBYE);
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

#[cfg(test)]
#[path = "group_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "group/life_tests.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]
mod life_tests;
