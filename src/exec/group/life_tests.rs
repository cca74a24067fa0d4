//! Events, freezing, devices, and the v2 twin of v1 groups, on the real kernel.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};

use super::tests::{Child, enter, forks, hog, limits, plan, sleeps};
use super::*;
use crate::kernel::clone::{Side, clone3};
use crate::kernel::descriptor;
use crate::section::limits::{DeviceRule, Limits, Place};

/// Polls like a supervisor until `count` events have come or ten seconds have passed; how often it was woken, too.
fn events(group: &mut Group, count: usize) -> (Vec<Event>, u32) {
    let mut all = group.watch();
    let started = Instant::now();
    let mut woken = 0;
    while all.len() < count && started.elapsed() < Duration::from_secs(20) {
        let mut ready = group.watches();
        let wait = group.next_look().map_or(100, |next| {
            let left = next.saturating_duration_since(Instant::now());
            i32::try_from(left.as_millis()).unwrap_or(100) + 1
        });
        descriptor::poll(&mut ready, wait.min(100)).unwrap();
        woken += u32::from(ready.iter().any(|entry| entry.revents != 0));
        let (new, failed) = group.notice(&ready);
        assert_eq!(failed, None);
        all.extend(new);
    }
    (all, woken)
}

fn swapless() -> Limits {
    limits(64 << 20, 50).with_number("swap", 0)
}

/// A group in which one that took too much memory was killed, which was noticed. Its parent, if that was not killed with
/// it, lives on, so that it is no end that is noticed.
fn hogged(plan: &GroupPlan) -> (Child, Group) {
    let child = Child::start(|| match unsafe { libc::fork() } {
        0 => unsafe { libc::_exit(hog()) },
        _ => sleeps(),
    });
    let mut group = Group::create(plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    nix::unistd::write(&child.go, b"x").unwrap();
    let (found, _) = events(&mut group, 1);
    assert_eq!(found, [Event::OutOfMemory { kills: 1 }]);
    (child, group)
}

#[test]
fn an_out_of_memory_kill_is_noticed_when_it_happens() {
    let Some(plan) = plan(&swapless()) else {
        return;
    };
    let (child, group) = hogged(&plan);
    assert!(group.is_populated());
    group.kill().unwrap();
    waitpid(child.pid, None).unwrap();
    group.remove().unwrap();
}

#[test]
fn all_of_a_group_is_killed_with_the_first_where_that_was_asked_for() {
    let Some(mut plan) = plan(&swapless()) else {
        return;
    };
    plan.kill_at_oom = true;
    let (child, group) = hogged(&plan);
    assert!(!group.is_populated());
    let status = waitpid(child.pid, None).unwrap();
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    group.remove().unwrap();
}

#[test]
fn a_storm_of_refused_forks_wakes_once_in_a_while() {
    let Some(plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    let child = Child::start(|| {
        loop {
            forks();
        }
    });
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    nix::unistd::write(&child.go, b"x").unwrap();
    let started = Instant::now();
    let (found, woken) = events(&mut group, 3);
    let counts: Vec<u64> = found
        .iter()
        .map(|event| match event {
            Event::ForksRefused { count } => *count,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts.len(), 3, "{found:?}");
    assert!(counts.is_sorted(), "{counts:?}");
    // One and two seconds are between them.
    assert!(started.elapsed() >= Duration::from_millis(2900));
    assert!(woken <= 8, "{woken}");
    group.kill().unwrap();
    waitpid(child.pid, None).unwrap();
    group.remove().unwrap();
}

#[test]
fn nothing_wakes_who_watches_an_idle_group() {
    let Some(plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    let child = Child::start(sleeps);
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    assert_eq!(group.watch(), []);
    assert_eq!(group.next_look(), None);
    let mut ready = group.watches();
    assert!(ready.iter().any(|entry| entry.fd >= 0));
    assert_eq!(descriptor::poll(&mut ready, 500), Ok(0));
    group.kill().unwrap();
    waitpid(child.pid, None).unwrap();
    group.remove().unwrap();
}

/// The processes's state, as proc_pid_stat(5) has it, and its CPU time.
fn ticks(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let mut fields = text.rsplit_once(')').unwrap().1.split_whitespace();
    fields.nth(11).unwrap().parse().unwrap()
}

#[test]
fn a_frozen_group_stands_still_goes_on_and_can_be_killed() {
    let Some(plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    let child = Child::start(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    let pid = child.pid.as_raw();
    let mut group = Group::create(&plan).unwrap();
    enter(&mut group, child.pid).unwrap();
    nix::unistd::write(&child.go, b"x").unwrap();
    // As somebody else who was told where it is.
    let seen = Directories::open(&group.directories().places()).unwrap();
    assert!(!seen.current().frozen);
    assert_eq!(seen.processes(), BTreeSet::from([pid]));
    if let Err(error) = seen.freeze() {
        assert_eq!(error.errno, Errno::EOPNOTSUPP, "{error}");
        eprintln!("skipped: {error}");
        group.kill().unwrap();
        waitpid(child.pid, None).unwrap();
        return;
    }
    seen.freeze().unwrap();
    assert!(seen.current().frozen);
    let before = ticks(pid);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticks(pid), before);
    seen.thaw().unwrap();
    assert!(!seen.current().frozen);
    let started = Instant::now();
    while ticks(pid) == before && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ticks(pid) > before);
    seen.freeze().unwrap();
    group.kill().unwrap();
    waitpid(child.pid, None).unwrap();
    let usage = group.usage();
    eprintln!("{usage:?} {:?}", group.directories().current());
    assert!(usage.cpu_usec.is_none_or(|usec| usec > 0));
    group.remove().unwrap();
}

/// The place of a v2 directory beside the others, where there is one that we may use.
fn twin(plan: &mut GroupPlan, optional: bool) -> bool {
    let Way::Direct { places } = &mut plan.way else {
        eprintln!("skipped: the group is in a scope");
        return false;
    };
    if places.iter().any(|place| place.version == Version::V2) {
        return true;
    }
    let parent = PathBuf::from("/sys/fs/cgroup/unified");
    let usable = Directory::open(&parent)
        .and_then(|directory| directory.make("sandbox-probe").map(|_| directory))
        .and_then(|directory| directory.remove("sandbox-probe"));
    if let Err(error) = usable {
        eprintln!("skipped: {error}");
        return false;
    }
    places.push(Place {
        version: Version::V2,
        controllers: BTreeSet::new(),
        parent,
        enable: Vec::new(),
        optional,
    });
    true
}

#[test]
fn a_child_is_born_into_the_v2_directory() {
    let Some(mut plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    if !twin(&mut plan, true) {
        return;
    }
    let mut group = Group::create(&plan).unwrap();
    let unified = group.directories.unified().unwrap().path().to_owned();
    let into = group.birthplace();
    assert!(into.is_some());
    let child = match clone3(0, into).unwrap() {
        Side::Child => unsafe {
            libc::pause();
            libc::_exit(0)
        },
        Side::Parent(child) => child,
    };
    group.enter(child.pid, true).unwrap();
    let text = std::fs::read_to_string(unified.join("cgroup.procs")).unwrap();
    assert_eq!(text.trim(), child.pid.to_string());
    assert!(group.directories().processes().contains(&child.pid));
    group.kill().unwrap();
    waitpid(nix::unistd::Pid::from_raw(child.pid), None).unwrap();
    let places = group.directories().places();
    group.remove().unwrap();
    assert!(!places.iter().any(|place| place.path.exists()));
}

#[test]
fn a_directory_that_only_helps_is_given_up_when_it_cannot_be_had() {
    let Some(mut plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    let Way::Direct { places } = &mut plan.way else {
        return;
    };
    let count = places.len();
    for optional in [true, false] {
        let mut plan = plan.clone();
        let Way::Direct { places } = &mut plan.way else {
            return;
        };
        places.push(Place {
            version: Version::V2,
            controllers: BTreeSet::new(),
            parent: PathBuf::from("/proc/self/no such group"),
            enable: Vec::new(),
            optional,
        });
        let made: Vec<PathBuf> = places.iter().map(|place| place.parent.clone()).collect();
        match Group::create(&plan) {
            Ok(group) => {
                assert!(optional);
                assert_eq!(group.paths().count(), count);
                group.remove().unwrap();
            }
            // The last of them failed: the others are gone again.
            Err(error) => {
                assert!(
                    !optional && error.message.contains("no such group"),
                    "{error}"
                );
                let own = name::Supervisor::own().unwrap().to_string();
                for parent in made.iter().filter(|parent| parent.exists()) {
                    // Other tests of this process make groups at the same time; they remove theirs.
                    let started = Instant::now();
                    let left = || {
                        let children = Directory::open(parent).unwrap().children().unwrap();
                        children.iter().any(|name| name.contains(&own))
                    };
                    while left() && started.elapsed() < Duration::from_secs(60) {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    assert!(!left());
                }
            }
        }
    }
}

/// What opening and making devices says: /dev/null, /dev/zero, mknod of /dev/zero's and of /dev/null's number.
fn tries_devices() -> i32 {
    let open = |path: &std::ffi::CStr| unsafe { libc::open(path.as_ptr(), libc::O_RDWR) >= 0 };
    let make = |path: &std::ffi::CStr, minor| {
        let made = unsafe {
            libc::mknod(
                path.as_ptr(),
                libc::S_IFCHR | 0o600,
                libc::makedev(1, minor),
            )
        };
        unsafe { libc::unlink(path.as_ptr()) };
        made == 0
    };
    let answers = [
        open(c"/dev/null"),
        open(c"/dev/zero"),
        make(c"/tmp/sandbox-test-null", 3),
        make(c"/tmp/sandbox-test-zero", 5),
    ];
    answers
        .iter()
        .fold(0, |sum, answer| sum * 2 + i32::from(*answer))
}

#[test]
fn devices_that_are_not_listed_are_refused_in_groups_below_too() {
    let Some(mut plan) = plan(&limits(1 << 30, 10)) else {
        return;
    };
    if !twin(&mut plan, false) {
        return;
    }
    plan.devices = Some(DeviceLimit {
        allowed: vec![DeviceRule {
            block: false,
            major: Some(1),
            minor: Some(3),
            write: true,
            make: true,
        }],
        may_fail: false,
        site: Site::DEFAULT,
    });
    let mut group = match Group::create(&plan) {
        Ok(group) => group,
        Err(error) => {
            assert!(
                !nix::unistd::geteuid().is_root(),
                "{error} {:?}",
                error.help
            );
            assert_eq!(error.key.as_deref(), Some("devices"));
            assert!(!error.help.is_empty());
            eprintln!("skipped: {error} {:?}", error.help);
            return;
        }
    };
    let unified = group.directories.unified().unwrap().path().to_owned();
    for below in [false, true] {
        let child = Child::start(tries_devices);
        if below {
            // The program's own group, with processes in it and none in the one above: allowed without controllers.
            let inner = Directory::open(&unified).unwrap().make("inner").unwrap();
            inner.enter(child.pid.as_raw()).unwrap();
        } else {
            enter(&mut group, child.pid).unwrap();
        }
        let status = child.finish();
        assert!(
            matches!(status, WaitStatus::Exited(_, 0b1010)),
            "{status:?}"
        );
    }
    group.remove().unwrap();
    assert!(!unified.exists());
}
