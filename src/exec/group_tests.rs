//! On the real kernel: each test makes groups below the caller's own and removes them. Without the right to make groups
//! a test says so and passes nothing off as tested.

#![allow(
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]

use super::*;
use crate::host::Facts;
use crate::host::cgroup::probe_self;
use crate::section::limits::{Limits, lower};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::path::PathBuf;
use std::time::Instant;

/// The facts of this host; none, with the reason printed, where `limits` cannot be held.
pub(super) fn plan(limits: &Limits) -> Option<GroupPlan> {
    let mut facts = Facts {
        cgroup: probe_self(),
        ..Facts::default()
    };
    facts.caller.uid = nix::unistd::geteuid().as_raw();
    facts.caller.user = facts.caller.uid.to_string();
    match lower(limits, &facts, "test", |_| false) {
        Ok(lowered) => lowered.group,
        // In the throwaway machines nothing may be skipped.
        Err(refusals) if std::env::var_os("SANDBOX_TEST_ALL").is_some() => panic!("{refusals:#?}"),
        Err(refusals) => {
            eprintln!("skipped: {}", refusals[0].reason);
            None
        }
    }
}

/// A child that waits for a byte, then does `work` and ends with its result.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) go: OwnedFd,
}

impl Child {
    pub(super) fn start(work: fn() -> i32) -> Self {
        let (reader, go) = nix::unistd::pipe().unwrap();
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                drop(go);
                let mut byte = [0];
                let _ = nix::unistd::read(&reader, &mut byte);
                unsafe { libc::_exit(work()) }
            }
            ForkResult::Parent { child } => Self { pid: child, go },
        }
    }

    pub(super) fn finish(self) -> WaitStatus {
        nix::unistd::write(&self.go, b"x").unwrap();
        waitpid(self.pid, None).unwrap()
    }
}

/// Touches 256 MiB.
pub(super) fn hog() -> i32 {
    let size = 256 << 20;
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return 9;
    }
    for page in (0..size).step_by(4096) {
        unsafe { memory.cast::<u8>().add(page).write_volatile(1) };
    }
    0
}

/// Forks until it is refused; the number of children, which sleep.
pub(super) fn forks() -> i32 {
    for count in 0..100 {
        match unsafe { libc::fork() } {
            0 => unsafe {
                libc::pause();
                libc::_exit(0)
            },
            -1 => return count,
            _ => {}
        }
    }
    100
}

pub(super) fn sleeps() -> i32 {
    unsafe { libc::pause() };
    0
}

pub(super) fn limits(memory: u64, pids: u64) -> Limits {
    Limits::default()
        .with_number("memory", memory)
        .with_number("pids", pids)
}

/// As a launcher does it, but that the child does not write itself into the v1 hierarchies.
pub(super) fn enter(group: &mut Group, pid: Pid) -> Result<(), GroupError> {
    for member in &group.directories.members {
        if member.version == Version::V1 {
            member.directory.enter(pid.as_raw())?;
        }
    }
    group.enter(pid.as_raw(), false)
}

fn exists(paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| path.exists())
}

fn paths(group: &Group) -> Vec<PathBuf> {
    group.paths().map(Path::to_owned).collect()
}

#[test]
fn a_memory_hog_is_killed_counted_and_gone() {
    let swapless = limits(64 << 20, 50).with_number("swap", 0);
    let Some(plan) = plan(&swapless) else { return };
    let child = Child::start(hog);
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    let places = paths(&group);
    assert!(!places.is_empty() && exists(&places));
    let status = child.finish();
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    let usage = group.usage();
    eprintln!("{usage:?}");
    assert_eq!(usage.oom_kills, Some(1));
    if let Some(peak) = usage.memory_peak {
        assert!((60 << 20..=64 << 20).contains(&peak), "{peak}");
    }
    assert!(usage.cpu_usec.is_none_or(|time| time > 0));
    group.remove().unwrap();
    assert!(!exists(&places));
}

/// For tests that run as another user in a forked child: whether a hog dies at its limit, and nothing is left.
pub(crate) fn a_hog_dies() -> Result<bool, String> {
    let swapless = limits(64 << 20, 50).with_number("swap", 0);
    let plan = plan(&swapless).ok_or("refused")?;
    let child = Child::start(hog);
    let mut group = Group::create(&plan).map_err(|error| error.to_string())?;
    enter(&mut group, child.pid).map_err(|error| error.to_string())?;
    let places = paths(&group);
    let died = matches!(child.finish(), WaitStatus::Signaled(_, Signal::SIGKILL, _));
    let counted = group.usage().oom_kills == Some(1);
    group.remove().map_err(|error| error.to_string())?;
    Ok(died && counted && !exists(&places))
}

#[test]
fn forks_are_refused_at_the_limit_and_what_is_left_is_killed() {
    let Some(plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    let child = Child::start(forks);
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    let status = child.finish();
    // It counts itself.
    assert!(matches!(status, WaitStatus::Exited(_, 9)), "{status:?}");
    let usage = group.usage();
    eprintln!("{usage:?}");
    assert_eq!(usage.pids_refused, Some(1));
    assert!(usage.pids_peak.is_none_or(|peak| peak == 10));
    assert!(group.is_populated());
    group.kill().unwrap();
    assert!(!group.is_populated());
    let places = paths(&group);
    group.remove().unwrap();
    assert!(!exists(&places));
}

#[test]
fn every_limit_reads_back_and_a_child_that_ended_is_still_counted() {
    let all = limits(64_000_000, 20)
        .with_number("swap", 1 << 20)
        .with_number("memory-soft", 32 << 20)
        .with_number("cpu", 5_000)
        .with_number("cpu-weight", 50);
    let Some(plan) = plan(&all) else { return };
    eprintln!("{plan}");
    let child = Child::start(|| 7);
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    assert!(group.warnings().is_empty());
    assert!(matches!(child.finish(), WaitStatus::Exited(_, 7)));
    std::thread::sleep(Duration::from_millis(300));
    let usage = group.usage();
    eprintln!("{usage:?}");
    assert_eq!(usage.oom_kills, Some(0));
    assert_eq!(usage.throttled_usec, Some(0));
    // Whatever is there to reclaim, asking must not fail or hang.
    assert_eq!(push_back(&group).is_some(), plan.soft.is_some());
    group.remove().unwrap();
}

/// What the supervisor does when the host is short of memory; none without a soft limit that it holds.
fn push_back(group: &Group) -> Option<Option<Event>> {
    let soft = group.watches.soft.as_ref();
    soft.map(|soft| soft.push_back(&group.directories))
}

/// Leaves 40 MiB of page cache behind.
fn caches() -> i32 {
    use std::io::Write;
    let written = tempfile::tempfile_in(".").and_then(|mut file| {
        file.write_all(&vec![7; 40 << 20])?;
        file.sync_all()?;
        unsafe { libc::pause() };
        Ok(())
    });
    i32::from(written.is_err())
}

#[test]
fn under_pressure_a_v2_group_is_pushed_back_to_its_soft_limit() {
    let soft = limits(512 << 20, 20).with_number("memory-soft", 8 << 20);
    let Some(plan) = plan(&soft) else { return };
    if plan.soft.is_none() {
        eprintln!("skipped: v1 has a file for it");
        return;
    }
    let child = Child::start(caches);
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    nix::unistd::write(&child.go, b"x").unwrap();
    let used = |group: &Group| {
        group.directories.members[0]
            .directory
            .number("memory.current")
            .unwrap()
    };
    let started = Instant::now();
    while used(&group) < 40 << 20 && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = used(&group);
    // Written pages are clean a moment later; the host would call again every 2 s.
    while used(&group) > 9 << 20 && started.elapsed() < Duration::from_secs(30) {
        push_back(&group);
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("{before} -> {}", used(&group));
    assert!(before >= 40 << 20);
    assert!(used(&group) <= 9 << 20);
    group.kill().unwrap();
    waitpid(child.pid, None).unwrap();
    group.remove().unwrap();
}

#[test]
fn a_limit_that_the_kernel_does_not_take_names_its_rule_and_leaves_nothing() {
    let Some(mut plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    for write in plan.writes.iter_mut().filter(|write| write.key == "pids") {
        write.value = "-7".to_owned();
    }
    let child = Child::start(|| 0);
    let error = Group::create(&plan)
        .and_then(|mut group| enter(&mut group, child.pid))
        .unwrap_err();
    eprintln!("{error}");
    assert_eq!(error.key.as_deref(), Some("pids"));
    assert!(error.message.contains("write -7 to"), "{error}");
    child.finish();
    // As a warning it does not stop the launch.
    for write in &mut plan.writes {
        write.may_fail = true;
    }
    let child = Child::start(|| 0);
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    assert_eq!(group.warnings().len(), 1);
    child.finish();
    group.remove().unwrap();
}

fn parents(plan: &GroupPlan) -> Vec<PathBuf> {
    match &plan.way {
        Way::Direct { places } => places.iter().map(|place| place.parent.clone()).collect(),
        Way::Scope { .. } => Vec::new(),
    }
}

#[test]
fn groups_of_a_killed_supervisor_are_swept_and_those_of_a_live_one_are_not() {
    let Some(plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    if matches!(plan.way, Way::Scope { .. }) {
        eprintln!("skipped: systemd removes scopes");
        return;
    }
    let live = Group::create(&plan).unwrap();
    let (reader, writer) = nix::unistd::pipe().unwrap();
    // A supervisor, with a program in its group, that is killed without any warning.
    let supervisor = match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let program = Child::start(sleeps);
            let mut group = Group::create(&plan).unwrap();
            enter(&mut group, program.pid).unwrap();
            let text = paths(&group)
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>();
            nix::unistd::write(&writer, text.join("\n").as_bytes()).unwrap();
            loop {
                unsafe { libc::pause() };
            }
        }
        ForkResult::Parent { child } => child,
    };
    let mut text = [0; 4096];
    let count = nix::unistd::read(&reader, &mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    let left: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    assert_eq!(left.len(), live.paths().count());

    let early = sweep(parents(&plan).iter().map(PathBuf::as_path));
    assert!(
        !early.removed.iter().any(|path| left.contains(path)),
        "{early:?}"
    );
    kill(supervisor, Signal::SIGKILL).unwrap();
    waitpid(supervisor, None).unwrap();
    assert!(exists(&left));
    // Another test may sweep first.
    let swept = sweep(parents(&plan).iter().map(PathBuf::as_path));
    eprintln!("{swept:?}");
    let started = Instant::now();
    while exists(&left) && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!exists(&left));
    assert!(live.paths().all(Path::exists));
    live.remove().unwrap();
}

#[test]
fn the_scope_of_a_killed_supervisor_ends_with_its_program() {
    let Some(plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    if !matches!(plan.way, Way::Scope { .. }) {
        eprintln!("skipped: no systemd to ask for a scope here");
        return;
    }
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let supervisor = match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let program = Child::start(|| {
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                sleeps()
            });
            let mut group = Group::create(&plan).unwrap();
            enter(&mut group, program.pid).unwrap();
            nix::unistd::write(&program.go, b"x").unwrap();
            let path = paths(&group).remove(0);
            nix::unistd::write(&writer, path.display().to_string().as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            kill(Pid::this(), Signal::SIGKILL).unwrap();
            0
        }
        ForkResult::Parent { child } => child.as_raw(),
    };
    let mut text = [0; 4096];
    let count = nix::unistd::read(&reader, &mut text).unwrap();
    let path = PathBuf::from(String::from_utf8_lossy(&text[..count]).into_owned());
    assert!(path.exists());
    waitpid(Pid::from_raw(supervisor), None).unwrap();
    let started = Instant::now();
    while path.exists() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!path.exists());
}
