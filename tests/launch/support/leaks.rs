//! What a case must not leave behind: processes, control groups, mounts.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long something may take to disappear after its case has ended.
const GRACE: Duration = Duration::from_secs(3);

/// Makes leaks ours to find: orphans become our children, and root gets a mount
/// namespace of its own, with shared propagation, so that a mount which spreads out of
/// a sandbox is seen here and no further. Call it while there is one thread.
///
/// # Errors
///
/// Says what could not be had. The checks go on with less.
pub fn isolate() -> Result<(), String> {
    // Descriptors that we were started with are not for the programs under test.
    // SAFETY: takes no pointer, and closes nothing in this process.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    set_child_subreaper(true).map_err(|e| format!("orphaned processes will go unseen: {e}"))?;
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let none: Option<&str> = None;
    let spread = |flag| mount(none, "/", none, MsFlags::MS_REC | flag, none);
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| spread(MsFlags::MS_PRIVATE))
        .and_then(|()| spread(MsFlags::MS_SHARED))
        .map_err(|e| format!("mounts are compared with those of the entire host: {e}"))
}

/// What there was before a case.
pub struct Traces {
    groups: BTreeSet<PathBuf>,
    mounts: BTreeSet<String>,
    children: BTreeSet<i32>,
}

impl Traces {
    /// Looks around.
    pub fn take() -> Traces {
        Traces {
            groups: groups(),
            mounts: mounts(),
            children: children(),
        }
    }

    /// Whether a control group that came since has stayed, once the processes have had some time to end.
    pub fn has_groups(&self, grace: Duration) -> bool {
        let deadline = Instant::now() + grace;
        loop {
            reap();
            match self.new_groups().is_empty() {
                true => return false,
                false if Instant::now() > deadline => return true,
                false => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Names everything that came since and stayed, and removes it.
    pub fn clean_up(&self) -> Vec<String> {
        self.clean_up_after(GRACE)
    }

    /// The same with another time to disappear in.
    pub fn clean_up_after(&self, grace: Duration) -> Vec<String> {
        let deadline = Instant::now() + grace;
        let mut pause = Duration::from_millis(1);
        loop {
            reap();
            let gone = self.new_children().is_empty() && self.new_groups().is_empty();
            if (gone && self.new_mounts().is_empty()) || Instant::now() > deadline {
                break;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }

        let mut found = Vec::new();
        for pid in self.new_children() {
            found.push(format!("left behind: process {pid} {}", described(pid)));
        }
        self.kill_children();
        let groups = self.new_groups();
        for group in groups.iter().rev() {
            found.push(format!("left behind: control group `{}`", group.display()));
            let _ = fs::remove_dir(group); // stays if populated
        }
        for line in self.new_mounts().iter().rev() {
            found.push(format!("left behind: mount {line}"));
            if let Some(at) = line.split(' ').nth(4) {
                let _ = umount2(unescaped(at).as_str(), MntFlags::MNT_DETACH);
            }
        }
        found
    }

    fn new_children(&self) -> BTreeSet<i32> {
        &children() - &self.children
    }

    fn new_groups(&self) -> Vec<PathBuf> {
        let new = &groups() - &self.groups;
        let elsewhere = elsewhere(&new);
        let name = |group: &PathBuf| group.file_name().map(ToOwned::to_owned);
        new.into_iter()
            .filter(|group| !is_foreign(group) && !elsewhere.contains(&name(group)))
            // What another run of launchers has removed meanwhile has lost what shows that it is foreign.
            .filter(|group| group.exists())
            .collect()
    }

    fn new_mounts(&self) -> Vec<String> {
        let new = &mounts() - &self.mounts;
        // Without a namespace of our own, others may mount at the same time.
        let root = nix::unistd::Uid::effective().is_root();
        new.into_iter()
            .filter(|line| root || line.contains("sandbox"))
            .collect()
    }

    /// Kills what is left, then what that leaves to us in turn.
    fn kill_children(&self) {
        for _ in 0..100 {
            let left = self.new_children();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(5));
            reap();
        }
    }
}

/// Collects children that have ended. All that a case started through a `Running` have
/// been waited for by then.
fn reap() {
    while let Ok(status) = waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

/// Our child processes, zombies included.
fn children() -> BTreeSet<i32> {
    let own = std::process::id();
    pids()
        .filter(|pid| parent(*pid).is_some_and(|parent| parent == own))
        .collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

fn described(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("`{}` ({})", line.trim(), name.trim())
}

/// Control groups that are named after us, in every hierarchy.
fn groups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for line in fs::read_to_string("/proc/self/mounts")
        .unwrap_or_default()
        .lines()
    {
        let mut fields = line.split(' ').skip(1);
        if let (Some(at), Some("cgroup" | "cgroup2")) = (fields.next(), fields.next()) {
            collect_groups(Path::new(&unescaped(at)), 0, &mut found);
        }
    }
    found
}

fn collect_groups(folder: &Path, depth: u32, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "sandbox" || name.starts_with("sandbox-") || name.starts_with("sandbox.") {
            found.insert(path.clone());
        }
        if depth < 12 {
            collect_groups(&path, depth + 1, found);
        }
    }
}

/// Names of groups that another run of launchers made: on v1 one makes its groups below the
/// caller's own, under one name in all hierarchies, so that a group elsewhere gives them away.
fn elsewhere(groups: &BTreeSet<PathBuf>) -> BTreeSet<Option<OsString>> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut tops = Vec::new();
    for line in fs::read_to_string("/proc/self/mounts")
        .unwrap_or_default()
        .lines()
    {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[_, at, "cgroup", options, ..] = fields.as_slice() else {
            continue;
        };
        for line in own.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            if let (Some(controllers), Some(path)) = (parts.next(), parts.next())
                && !controllers.is_empty()
                && options.ends_with(controllers)
            {
                let mount = PathBuf::from(unescaped(at));
                tops.push((mount.clone(), mount.join(path.trim_start_matches('/'))));
            }
        }
    }
    let lies_elsewhere = |group: &&PathBuf| {
        tops.iter()
            .any(|(mount, top)| group.starts_with(mount) && !group.starts_with(top))
    };
    let found = groups.iter().filter(lies_elsewhere);
    found
        .map(|group| group.file_name().map(ToOwned::to_owned))
        .collect()
}

/// Whether processes live in the group that do not descend from us: then another run
/// of these tests, or a user of this host, has made it.
fn is_foreign(group: &Path) -> bool {
    // What an ordinary user makes is his.
    let own = nix::unistd::geteuid();
    let owner = fs::metadata(group).map(|found| std::os::unix::fs::MetadataExt::uid(&found));
    if !own.is_root() && owner.is_ok_and(|owner| owner != own.as_raw()) {
        return true;
    }
    // The name says which launcher made it: `sandbox-PIDNS-PID-START-RANDOM`.
    let name = group.file_name().unwrap_or_default().to_string_lossy();
    let words: Vec<&str> = name.split('-').collect();
    if let [_, _, maker, _, _] = words.as_slice()
        && let Ok(pid) = maker.parse()
        && parent(pid).is_some()
        && !descends(pid)
    {
        return true;
    }
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut members = members.lines().filter_map(|line| line.parse().ok());
    members.any(|pid| !descends(pid))
}

fn descends(mut pid: i32) -> bool {
    let own = std::process::id();
    for _ in 0..64 {
        match parent(pid) {
            Some(above) if above == own => return true,
            Some(above @ 1..) => pid = i32::try_from(above).unwrap_or(0),
            _ => return false,
        }
    }
    false
}

/// The mounts of our namespace.
fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Undoes the octal escapes of the mount tables.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}
