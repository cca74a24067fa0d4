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
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::kernel::cgroup::{Directory, FileError, field};
use crate::kernel::{pressure, process};
use crate::report::Site;
use crate::section::limits::writes::agrees;
use crate::section::limits::{GroupPlan, LimitWrite, SoftLimit, Way};

mod name;
mod scope;
mod sweep;

pub use sweep::{Swept, sweep};

/// A group could not be made, entered or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupError {
    /// The key of `[limits]`, when it is about one.
    pub key: Option<&'static str>,
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
        if let Some(key) = self.key {
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
    /// Time for which the group was held back at its CPU quota, in microseconds.
    pub throttled_usec: Option<u64>,
}

/// One directory of the group.
#[derive(Debug)]
struct Member {
    parent: Directory,
    name: String,
    directory: Directory,
    /// v1: of its hierarchy; v2: all that hold limits.
    controllers: BTreeSet<String>,
}

/// A control group of our own. It is removed when this is dropped, if it is empty then; the processes in it are not killed.
#[derive(Debug)]
pub struct Group {
    legacy: bool,
    members: Vec<Member>,
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
            legacy: matches!(plan.way, Way::Legacy { .. }),
            members: Vec::new(),
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
            Way::Legacy { places } => {
                sweep(
                    &places
                        .iter()
                        .map(|place| place.parent.clone())
                        .collect::<Vec<_>>(),
                );
                let name = name::Name::own()?.to_string();
                for place in places {
                    match Member::make(&place.parent, &name, place.controllers.clone()) {
                        Ok(member) => group.members.push(member),
                        Err(_) if place.optional => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Way::Unified { parent, enable } => {
                for (path, controllers) in enable {
                    enable_controllers(&Directory::open(path)?, controllers)?;
                }
                sweep(std::slice::from_ref(parent));
                let name = name::Name::own()?.to_string();
                let member = Member::make(parent, &name, plan.controllers.clone())?;
                group.members.push(member);
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
        if !self.legacy {
            return Ok(Vec::new());
        }
        let doors = self.members.iter().map(|member| member.directory.door());
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
                parent: parts.parent,
                name: scope::BOX.to_owned(),
                directory: parts.directory,
                controllers: parts.controllers,
            };
            self.members.push(member);
            return self.limit();
        }
        for member in &self.members {
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
        self.members.iter().map(|member| member.directory.path())
    }

    /// The systemd unit that the group lies in.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.scope.as_ref().map(scope::Scope::unit)
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
            key: Some(write.key),
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
        if let Err(error) = directory.write(write.file, &write.value) {
            let mut refused = fail(error.to_string());
            refused.help.extend(explain(write, error.errno));
            return Err(refused);
        }
        let read = directory
            .read(write.file)
            .map_err(|error| fail(error.to_string()))?;
        if agrees(write.file, &write.value, &read) {
            return Ok(());
        }
        Err(fail(format!(
            "`{}` is {} after {} was written",
            directory.path().join(write.file).display(),
            read.trim(),
            write.value
        )))
    }

    fn watch(&self, soft: &SoftLimit) -> Result<File, GroupError> {
        let fail = |message: String| GroupError {
            key: Some("memory-soft"),
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
        let of = |controller| self.member(controller).map(|member| &member.directory);
        let mut usage = Usage::default();
        if let Some(memory) = of("memory") {
            if self.legacy {
                usage.memory_peak = memory.number("memory.max_usage_in_bytes");
                usage.oom_kills = memory.field("memory.oom_control", "oom_kill");
            } else {
                usage.memory_peak = memory.number("memory.peak");
                usage.swap_peak = memory.number("memory.swap.peak");
                usage.oom_kills = memory.field("memory.events", "oom_kill");
            }
        }
        if let Some(pids) = of("pids") {
            usage.pids_peak = pids.number("pids.peak");
            usage.pids_refused = pids.field("pids.events", "max");
        }
        if self.legacy {
            let usec = |nanoseconds: u64| nanoseconds / 1000;
            usage.cpu_usec = of("cpuacct")
                .and_then(|cpu| cpu.number("cpuacct.usage"))
                .map(usec);
            usage.throttled_usec = of("cpu")
                .and_then(|cpu| cpu.field("cpu.stat", "throttled_time"))
                .map(usec);
        } else if let Some(member) = self.members.first() {
            // Without the controller the file is there too, with the time alone.
            let text = member.directory.read("cpu.stat").unwrap_or_default();
            usage.cpu_usec = field(&text, "usage_usec");
            usage.throttled_usec = field(&text, "throttled_usec");
        }
        usage
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
    pub fn kill(&self) -> Result<(), GroupError> {
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

    /// Removes the group, with groups that the program made in it.
    ///
    /// # Errors
    /// There are still processes in it after 10 s.
    pub fn remove(mut self) -> Result<(), GroupError> {
        self.take_down(PATIENCE)
    }

    fn take_down(&mut self, patience: Duration) -> Result<(), GroupError> {
        let mut result = Ok(());
        for member in self.members.drain(..) {
            let removed = remove_tree(&member.parent, &member.name, patience);
            result = result.and(removed.map_err(Into::into));
        }
        // systemd removes the scope once nothing is in it.
        self.scope = None;
        result
    }

    fn member(&self, controller: &str) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.controllers.contains(controller))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is left to be told; a group that still has processes is swept by the next launch.
        let _ = self.take_down(Duration::ZERO);
    }
}

impl Member {
    fn make(parent: &Path, name: &str, controllers: BTreeSet<String>) -> Result<Self, FileError> {
        let parent = Directory::open(parent)?;
        let directory = parent.make(name)?;
        Ok(Self {
            parent,
            name: name.to_owned(),
            directory,
            controllers,
        })
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
    Some(match (write.file, errno) {
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

fn all_processes(group: &Directory) -> BTreeSet<i32> {
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
fn kill_all(group: &Directory) -> Result<(), FileError> {
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

fn remove_tree(parent: &Directory, name: &str, patience: Duration) -> Result<(), FileError> {
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
