//! Groups for processes that run already. Nobody supervises them: such a group says so in its name, is never killed, and
//! is removed when it is empty: by systemd where it lies in a scope, else by the next launch below the same parent.

use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::directories::{Directories, GroupDirectory, Member, all_processes, remove_tree};
use super::name::{Name, Supervisor};
use super::soft::Soft;
use super::watch::Watches;
use super::{Group, GroupError, enable_controllers, scope, sweep};
use crate::host::cgroup::{Membership, directory, memberships, mounts};
use crate::kernel::cgroup::{Directory, field};
use crate::kernel::peer::Peer;
use crate::kernel::{peer, process, resident};
use crate::section::limits::{GroupPlan, Version, Way};

/// `sandbox-attached.PIDNS-PID-START-RANDOM`: who made it, so that it is not removed between being made and being entered.
const ATTACHED: &str = "sandbox-attached.";

/// A fresh name.
fn own_name() -> Result<String, GroupError> {
    let name = Name::own()?.to_string();
    Ok(name.replacen("sandbox-", ATTACHED, 1))
}

/// Who made a group for running processes; none for other groups.
pub(super) fn maker(text: &str) -> Option<Supervisor> {
    let rest = text.strip_prefix(ATTACHED)?;
    Name::parse(&format!("sandbox-{rest}")).map(|name| name.supervisor)
}

/// Removes a group that no process is in. Whether it did so.
pub(super) fn remove_if_empty(parent: &Directory, name: &str) -> bool {
    let Ok(group) = parent.child(name) else {
        return false;
    };
    all_processes(&group).is_empty() && remove_tree(parent, name, Duration::ZERO).is_ok()
}

/// The part of a group's path above what `sandboxctl attach` made.
#[must_use]
pub fn outside_of_attached(group: &Path) -> PathBuf {
    let is_ours = |part: &Component<'_>| {
        let name = part.as_os_str().to_string_lossy();
        maker(&name).is_some() || scope::is_attached(&name)
    };
    group
        .components()
        .take_while(|part| !is_ours(part))
        .collect()
}

/// The name of the sandbox's group that a group is, or lies in.
#[must_use]
pub fn sandbox_of(group: &Path) -> Option<String> {
    let mut names = group
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    names.find(|name| Name::parse(name).is_some() || scope::is_sandbox(name))
}

/// Which processes are limited.
#[derive(Debug)]
pub struct Running {
    /// Those that were named; at least one.
    pub named: Vec<Peer>,
    /// Whether what descends from them is too.
    pub tree: bool,
}

/// How long processes that fork are run after.
const PATIENCE: Duration = Duration::from_secs(10);

impl Running {
    /// What is to be in the group, and is not known by `known` yet: of those named, what has not ended.
    ///
    /// A process whose parents ended before this looked is no descendant any more.
    fn wanted(&self, is_in: impl Fn(&str) -> bool) -> Vec<Peer> {
        let own = std::process::id().cast_signed();
        let mut pids: Vec<i32> = self.named.iter().map(Peer::pid).collect();
        if self.tree {
            let all = peer::all();
            let mut at = 0;
            while let Some(&parent) = pids.get(at) {
                at += 1;
                for (pid, stat) in &all {
                    if stat.parent == parent && !pids.contains(pid) && *pid != own {
                        pids.push(*pid);
                    }
                }
            }
        }
        let found = pids.into_iter().filter_map(|pid| Peer::open(pid).ok());
        found
            .filter(|peer| !peer.has_ended() && !peer.stat.kernel)
            .filter(|peer| self.is_meant(peer))
            // What has a sandbox keeps its limits.
            .filter(|peer| {
                peer.groups()
                    .is_ok_and(|text| !is_in(&text) && !is_in_sandbox(&text))
            })
            .collect()
    }

    /// All that are meant, in whatever groups.
    #[must_use]
    pub fn everyone(&self) -> Vec<Peer> {
        self.wanted(|_| false)
    }

    /// Whether a number that was named still means the process that was meant.
    fn is_meant(&self, found: &Peer) -> bool {
        let mut named = self.named.iter();
        match named.find(|peer| peer.pid() == found.pid()) {
            Some(peer) => peer.stat.started == found.stat.started,
            None => self.tree,
        }
    }
}

fn is_in_sandbox(groups: &str) -> bool {
    memberships(groups.as_bytes())
        .iter()
        .any(|line| sandbox_of(&line.group).is_some())
}

/// What came of it.
#[derive(Debug)]
pub struct Attached {
    /// The group, which stays when this is dropped, as processes are in it.
    pub group: Group,
    /// The processes that were moved.
    pub moved: Vec<Peer>,
}

impl Group {
    /// Makes a group for processes that run already, writes the limits, and moves the processes into it.
    ///
    /// `slice` is where a scope is made, if it comes to that.
    ///
    /// # Errors
    /// A directory or a limit that the kernel refuses; a process that cannot be moved: then those that were go back to
    /// where they were, if they may.
    pub fn attach(
        plan: &GroupPlan,
        running: &Running,
        slice: &str,
    ) -> Result<Attached, GroupError> {
        let mut group = Self {
            directories: Directories::default(),
            writes: plan.writes.clone(),
            devices: plan.devices.clone(),
            soft: plan.soft.clone(),
            kill_at_oom: false,
            watches: Watches::default(),
            scope: None,
            warnings: Vec::new(),
        };
        match &plan.way {
            Way::Scope { bus, .. } => {
                let scope = scope::Scope::of_running(plan, bus, slice)?;
                group.attach_by_systemd(scope, running)
            }
            Way::Direct { places } => {
                for (path, controllers) in places.iter().flat_map(|place| &place.enable) {
                    enable_controllers(&Directory::open(path)?, controllers)?;
                }
                // Of v1 only what holds a limit: leaving a freezer's group would thaw a process.
                let places: Vec<_> = places.iter().filter(|place| !place.optional).collect();
                let parents: Vec<_> = places.iter().map(|place| place.parent.clone()).collect();
                sweep(parents.iter().map(PathBuf::as_path));
                let name = own_name()?;
                for place in places {
                    let member = Member::make(place, &name)?;
                    group.directories.members.push(member);
                }
                // The scheduler alone can refuse a process for what it is (a real-time one): before others have it.
                group
                    .directories
                    .members
                    .sort_by_key(|member| !member.controllers.contains("cpu"));
                group.limit()?;
                group.attach_directly(running)
            }
        }
    }

    fn attach_by_systemd(
        mut self,
        mut scope: scope::Scope,
        running: &Running,
    ) -> Result<Attached, GroupError> {
        let mut moved = running.wanted(|_| false);
        let pids: Vec<i32> = moved.iter().map(Peer::pid).collect();
        if pids.is_empty() {
            return self.arrived(running, moved);
        }
        let parts = scope.take(&pids)?;
        self.directories.members.push(Member {
            version: Version::V2,
            parent: Some(parts.parent),
            name: parts.name,
            directory: parts.directory,
            controllers: parts.controllers,
            optional: false,
        });
        let unit = scope.unit().to_owned();
        self.scope = Some(scope);
        self.limit()?;
        let started = Instant::now();
        loop {
            let left = running.wanted(|text| text.contains(&unit));
            if left.is_empty() {
                break;
            }
            if started.elapsed() > PATIENCE {
                return Err(outrun(&left));
            }
            let pids: Vec<i32> = left.iter().map(Peer::pid).collect();
            if let Some(scope) = &self.scope {
                match scope.add(scope::BOX, &pids) {
                    // One of them has ended meanwhile; the others are asked for again.
                    Err(_) if left.iter().any(Peer::has_ended) => {}
                    other => other?,
                }
            }
            moved.extend(left);
        }
        self.arrived(running, moved)
    }

    fn attach_directly(self, running: &Running) -> Result<Attached, GroupError> {
        let name = self.directories.members.first();
        let name = name.map(|member| member.name.clone()).unwrap_or_default();
        let mut moved: Vec<(Peer, String)> = Vec::new();
        let started = Instant::now();
        loop {
            // In the last hierarchy it is in all.
            let count = self.directories.members.len();
            let left = running.wanted(|text| text.matches(&name).count() >= count);
            if left.is_empty() {
                break;
            }
            if started.elapsed() > PATIENCE {
                self.move_back(&moved);
                return Err(outrun(&left));
            }
            for peer in left {
                let before = peer.groups().unwrap_or_default();
                let entered = self.enter_running(&peer);
                moved.push((peer, before));
                if let Err(error) = entered {
                    let stays = self.move_back(&moved);
                    return Err(match stays.as_slice() {
                        [] => error,
                        stays => error.help(format!(
                            "nobody but root can move what was moved already back: {} now under the limits of {}",
                            list(stays),
                            self.shown()
                        )),
                    });
                }
            }
        }
        let moved = moved.into_iter().map(|(peer, _)| peer).collect();
        self.arrived(running, moved)
    }

    /// Moves one process into all directories. That it has ended is no error.
    fn enter_running(&self, peer: &Peer) -> Result<(), GroupError> {
        for member in &self.directories.members {
            match member.directory.enter(peer.pid()) {
                Ok(()) => {}
                Err(error) if error.errno == Errno::ESRCH => return Ok(()),
                Err(error) => return Err(refused(peer, error, member.version)),
            }
        }
        self.leave_earlier(peer);
        // The number may have passed to another process just before it was written.
        if !peer.has_ended() || !process_is(peer.pid(), |started| started != peer.stat.started) {
            return Ok(());
        }
        for member in &self.directories.members {
            if let Some(parent) = &member.parent {
                let _ = parent.enter(peer.pid());
            }
        }
        Err(GroupError::general(format!(
            "process {} ended, and another one that got its number was moved in its place and out again, to above {}",
            peer.pid(),
            self.shown()
        )))
    }

    /// Out of what an earlier `attach` made in other hierarchies (v1): the later one stands in its place. Where that is not
    /// allowed, the earlier limits hold beside the new ones.
    fn leave_earlier(&self, peer: &Peer) {
        let text = peer.groups().unwrap_or_default();
        for line in memberships(text.as_bytes()) {
            let outside = outside_of_attached(&line.group);
            let here = |member: &Member| line.group.ends_with(&member.name);
            if outside == line.group || self.directories.members.iter().any(here) {
                continue;
            }
            if let Some(group) = directory_of(&line, &outside) {
                let _ = group.enter(peer.pid());
            }
        }
    }

    /// Moves processes back to where they were; those that could not be.
    fn move_back(&self, moved: &[(Peer, String)]) -> Vec<i32> {
        let mut stay = Vec::new();
        for (peer, before) in moved {
            let before = memberships(before.as_bytes());
            let now = peer.groups().unwrap_or_default();
            let is_here = self
                .directories
                .members
                .iter()
                .any(|member| now.contains(&member.name));
            if !is_here {
                continue;
            }
            let back = self.directories.members.iter().all(|member| {
                let line = before.iter().find(|line| match member.version {
                    Version::V1 => line.controllers == member.controllers,
                    Version::V2 => line.controllers.is_empty() && !line.named,
                });
                let group = line.and_then(|line| directory_of(line, &line.group));
                let entered = group.map(|group| group.enter(peer.pid()));
                entered.is_some_and(|entered| entered.is_ok())
            });
            if !back && !peer.has_ended() {
                stay.push(peer.pid());
            }
        }
        stay
    }

    /// Sees that the processes that were named are in the group.
    fn arrived(self, running: &Running, moved: Vec<Peer>) -> Result<Attached, GroupError> {
        for peer in &running.named {
            if !peer.is_there() {
                return Err(GroupError::general(format!(
                    "process {} ended before it was under its limits",
                    peer.pid()
                )));
            }
        }
        Ok(Attached { group: self, moved })
    }

    /// Leaves the group to the processes in it; without any it is removed.
    pub fn leave(mut self) {
        if self.is_populated() {
            self.directories.members.clear();
        }
    }

    fn shown(&self) -> String {
        let paths: Vec<String> = self
            .paths()
            .map(|path| path.display().to_string())
            .collect();
        paths.join(", ")
    }

    /// Starts a process that holds the soft limit where no file does, and ends when the group is empty. Its number; none
    /// when it is not needed.
    ///
    /// # Errors
    /// It cannot be started, or cannot watch.
    pub fn leave_watcher(&mut self) -> Result<Option<i32>, GroupError> {
        let given_up = |error: &GroupError| error.key.as_deref() == Some("memory-soft");
        let Some(soft) = self.soft.clone() else {
            return Ok(None);
        };
        if self.warnings.iter().any(given_up) {
            return Ok(None);
        }
        let places = self.directories.places();
        // Of a group that systemd removes nothing is ours to remove.
        let removes = self.scope.is_none();
        let watch = move |ready: &mut dyn FnMut()| watch(&places, &soft, removes, ready);
        let pid = resident::leave(c"sandbox-soft", watch).map_err(|why| GroupError {
            key: Some("memory-soft".to_owned()),
            site: self
                .soft
                .as_ref()
                .map_or(crate::report::Site::DEFAULT, |soft| soft.site),
            message: format!("cannot leave a process behind that holds the soft limit: {why}"),
            cause: None,
            help: Vec::new(),
        })?;
        if let Some(scope) = &self.scope {
            // Beside the group that is limited: so it ends with the scope, and the scope with it.
            let parent = self.directories.members.first();
            let parent = parent.and_then(|member| member.parent.as_ref());
            if let Some(parent) = parent {
                parent.make(scope::KEEP)?;
            }
            scope.add(scope::KEEP, &[pid])?;
        }
        Ok(Some(pid))
    }
}

/// The directory of a group in the hierarchy of a line of /proc/PID/cgroup, where it is mounted.
fn directory_of(line: &Membership, group: &Path) -> Option<Directory> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let version = if line.controllers.is_empty() { 2 } else { 1 };
    mounts(&text)
        .iter()
        .filter(|mount| mount.version == version && mount.controllers == line.controllers)
        .find_map(|mount| directory(mount, group))
        .and_then(|path| Directory::open(&path).ok())
}

/// The group of an earlier `attach` that a process is in and that is another user's, with that user.
#[must_use]
pub fn others_attached(groups: &[Membership], uid: u32) -> Option<(PathBuf, u32)> {
    groups.iter().find_map(|line| {
        if outside_of_attached(&line.group) == line.group {
            return None;
        }
        let found = directory_of(line, &line.group)?;
        let owner = found.owner().ok().filter(|owner| *owner != uid)?;
        Some((found.path().to_owned(), owner))
    })
}

fn process_is(pid: i32, is: impl Fn(u64) -> bool) -> bool {
    process::start_time(pid).is_ok_and(is)
}

/// Why the kernel refuses to move a process.
fn refused(peer: &Peer, error: crate::kernel::cgroup::FileError, version: Version) -> GroupError {
    let errno = error.errno;
    let refused = GroupError::general(format!("process {} cannot be moved: {error}", peer.pid()));
    match (errno, version) {
        (Errno::EACCES | Errno::EPERM, Version::V2) => refused.help(
            "on cgroup v2 a user moves processes only within the part of the tree that is the user's: as root it can be done",
        ),
        (Errno::EACCES | Errno::EPERM, Version::V1) => {
            refused.help("a user moves only processes that run with the user's own id: as root it can be done")
        }
        (Errno::EINVAL, _) => refused.help(
            "a real-time process cannot be in a group with a share of the CPU that has no real-time budget: leave `cpu` and `cpu-weight` out",
        ),
        _ => refused,
    }
}

fn outrun(left: &[Peer]) -> GroupError {
    let pids: Vec<i32> = left.iter().map(Peer::pid).collect();
    GroupError::general(format!(
        "processes fork faster than they can be moved: after {} s {} still outside",
        PATIENCE.as_secs(),
        list(&pids)
    ))
    .help("stop them first (kill -STOP), attach, and let them go on (kill -CONT)")
}

fn list(pids: &[i32]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = pids.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match pids.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let is = if pids.len() == 1 { "is" } else { "are" };
    format!("{}{more} {is}", shown.join(", "))
}

/// What the watcher does: reclaims down to the soft limit while the host is short of memory, until the group is empty.
fn watch(
    places: &[GroupDirectory],
    soft: &crate::section::limits::SoftLimit,
    removes: bool,
    ready: &mut dyn FnMut(),
) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let directories = Directories::open(places).map_err(|error| told(&error))?;
    let held = Soft::new(soft, &directories).map_err(|error| told(&error))?;
    let (_, directory) = directories
        .of("memory")
        .ok_or("the group has no controller `memory`")?;
    let mut events = directory
        .file("cgroup.events")
        .map_err(|error| told(&error))?;
    ready();
    loop {
        // Read first: a change from here on is what the kernel tells this file.
        let mut text = String::new();
        let read = events
            .rewind()
            .and_then(|()| events.read_to_string(&mut text));
        let populated = read.ok().and_then(|_| field(&text, "populated"));
        if populated != Some(1) && !directories.is_populated() {
            break;
        }
        match crate::kernel::pressure::wait(held.as_fd(), &events) {
            Ok(true) => drop(held.push_back(&directories)),
            Ok(false) => {}
            Err(error) => return Err(told(&error)),
        }
    }
    let path = directory.path();
    if removes
        && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && let (Ok(parent), Some(name)) = (Directory::open(parent), name.to_str())
    {
        remove_if_empty(&parent, name);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_made_them_and_are_no_sandboxs() {
        let name = own_name().unwrap();
        let maker = maker(&name).unwrap();
        assert_eq!(maker.pid.cast_unsigned(), std::process::id());
        assert_eq!(Name::parse(&name), None);
        for other in [
            "sandbox-attached.",
            "sandbox-attached.1-2-3",
            "sandbox-1-2-3-a",
        ] {
            assert_eq!(super::maker(other), None, "{other}");
        }
    }

    #[test]
    fn a_number_that_passed_to_another_process_is_not_meant() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        let named = || Peer::open(pid).unwrap();
        let wanted = |named| Running { named, tree: false }.wanted(|_| false).len();
        let right = wanted(vec![named()]);
        let mut other = named();
        other.stat.started += 1;
        let wrong = wanted(vec![other]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((right, wrong), (1, 0));
    }

    #[test]
    fn paths_are_cut_at_what_was_attached() {
        let cut = |path: &str| outside_of_attached(Path::new(path));
        assert_eq!(cut("/a/sandbox-attached.1-2-3-f/b"), Path::new("/a"));
        assert_eq!(cut("/u/app-sandboxattach-x-0a.scope/box"), Path::new("/u"));
        assert_eq!(cut("/u/sandbox-1-2-3-f"), Path::new("/u/sandbox-1-2-3-f"));
        assert_eq!(cut("/"), Path::new("/"));
    }

    #[test]
    fn sandboxes_are_found_by_their_groups() {
        let of = |path: &str| sandbox_of(Path::new(path));
        assert_eq!(
            of("/a/sandbox-1-2-3-f/b").as_deref(),
            Some("sandbox-1-2-3-f")
        );
        assert!(of("/user.slice/app-sandbox-a-0.scope/box").is_some());
        for none in [
            "/",
            "/sandbox-attached.1-2-3-f",
            "/app-sandboxattach-x-0.scope/box",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
