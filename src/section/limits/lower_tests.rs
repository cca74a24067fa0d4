#![allow(clippy::unwrap_used)]

use super::*;
use std::path::{Path, PathBuf};

use crate::host::facts::cgroup::{CgroupFacts, Disk, Group, Hierarchy, Manager, Unified};
use crate::policy::Traced;
use crate::profile::value::Rates;
use crate::section::limits::Place;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn all() -> Limits {
    Limits::default()
        .with_number("memory", 3 << 30)
        .with_number("swap", 3 << 30)
        .with_number("memory-soft", 1 << 30)
        .with_number("pids", 512)
        .with_number("cpu", 15_000)
        .with_number("cpu-weight", 50)
}

fn facts(uid: u32, cgroup: CgroupFacts) -> Facts {
    let mut facts = Facts {
        cgroup,
        ..Facts::default()
    };
    facts.caller.uid = uid;
    facts.caller.user = if uid == 0 { "root" } else { "alice" }.to_owned();
    facts
}

/// Everything mounted by itself; the caller sits in `/own` of memory and in the root of the others.
fn v1(own_writable: bool, delegated: bool) -> CgroupFacts {
    let hierarchy = |name: &str| {
        let mount = PathBuf::from(format!("/c/{name}"));
        Hierarchy {
            controllers: set(&[name]),
            own: Some(if name == "memory" {
                mount.join("own")
            } else {
                mount.clone()
            }),
            own_writable,
            delegated: delegated.then(|| mount.join("sandbox.user/1000")),
            missing: BTreeSet::new(),
            mount,
        }
    };
    CgroupFacts {
        legacy: ["cpu", "cpuacct", "memory", "freezer", "pids", "blkio"]
            .map(hierarchy)
            .into(),
        ..CgroupFacts::default()
    }
}

/// A v2 tree in which the caller sits in the last of `path`; every group is `(path, enabled, writable)`.
fn v2(path: &[(&str, &[&str], bool)]) -> CgroupFacts {
    let mut groups = Vec::new();
    let mut given = set(&["cpu", "io", "memory", "pids"]);
    for (at, (path, enabled, writable)) in path.iter().enumerate() {
        groups.push(Group {
            path: PathBuf::from(path),
            root: at == 0,
            controllers: given.clone(),
            enabled: set(enabled),
            occupied: false,
            writable: *writable,
            control_writable: *writable,
        });
        given = set(enabled);
    }
    groups.reverse();
    if let Some(own) = groups.first_mut() {
        own.occupied = true;
    }
    CgroupFacts {
        unified: Some(Unified {
            mount: "/c".into(),
            groups,
            missing: BTreeSet::new(),
        }),
        pressure: true,
        ..CgroupFacts::default()
    }
}

fn never(_: &str) -> bool {
    false
}

fn shown(facts: &Facts) -> String {
    match lower(&all(), facts, "firefox", never) {
        Ok(lowered) => {
            assert!(lowered.dropped.is_empty());
            lowered
                .group
                .map_or("no group".to_owned(), |group| group.to_string())
        }
        Err(refusals) => refusals
            .iter()
            .map(|refusal| {
                format!(
                    "{}: {}\n  {}",
                    refusal.key,
                    refusal.reason,
                    refusal.help.join("\n  ")
                )
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn without_limits_there_is_no_group() {
    let lowered = lower(&Limits::default(), &facts(0, v1(true, false)), "a", never).unwrap();
    assert_eq!(lowered, Lowered::default());
}

#[test]
fn v1_as_root_lies_below_the_own_group() {
    insta::assert_snapshot!(shown(&facts(0, v1(true, false))), @r"
    cgroup v1, a group below /c/cpu, /c/cpuacct, /c/memory/own, /c/freezer, /c/pids
    memory.limit_in_bytes = 3221225472 (limits.memory)
    memory.memsw.limit_in_bytes = 6442450944 (limits.swap)
    memory.soft_limit_in_bytes = 1073741824 (limits.memory-soft)
    pids.max = 512 (limits.pids)
    cpu.cfs_period_us = 100000 (limits.cpu)
    cpu.cfs_quota_us = 150000 (limits.cpu)
    cpu.shares = 512 (limits.cpu-weight)
    ");
}

#[test]
fn v1_as_a_user_lies_where_it_was_delegated() {
    let text = shown(&facts(1000, v1(false, true)));
    assert!(text.starts_with(
        "cgroup v1, a group below /c/cpu/sandbox.user/1000, /c/cpuacct/sandbox.user/1000, /c/memory/sandbox.user/1000, "
    ));
}

#[test]
fn v1_as_a_user_without_delegation_is_refused_with_the_command_that_helps() {
    let refusals = lower(&all(), &facts(1000, v1(false, false)), "a", never).unwrap_err();
    assert_eq!(refusals.len(), 6);
    for refusal in refusals {
        assert_eq!(refusal.help, ["sudo sandboxctl delegate alice"]);
        assert!(refusal.reason.contains("cgroup v1"), "{}", refusal.reason);
    }
}

#[test]
fn v1_swap_needs_memory_and_a_kernel_that_counts_it() {
    let only_swap = Limits::default().with_number("swap", 1 << 30);
    let refusals = lower(&only_swap, &facts(0, v1(true, false)), "a", never).unwrap_err();
    assert!(refusals[0].reason.contains("by their sum"));

    let mut cgroup = v1(true, false);
    for hierarchy in &mut cgroup.legacy {
        hierarchy.missing = set(&["memory.memsw.limit_in_bytes"]);
    }
    let refusals = lower(&all(), &facts(0, cgroup), "a", never).unwrap_err();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].key, "swap");
}

#[test]
fn what_may_degrade_is_dropped_by_name_and_the_rest_is_held() {
    let mut cgroup = v1(true, false);
    cgroup
        .legacy
        .retain(|hierarchy| !hierarchy.controllers.contains("cpu"));
    let lowered = lower(&all(), &facts(0, cgroup.clone()), "a", |key| {
        key.starts_with("cpu")
    })
    .unwrap();
    let dropped: Vec<_> = lowered
        .dropped
        .iter()
        .map(|refusal| refusal.key.as_str())
        .collect();
    assert_eq!(dropped, ["cpu", "cpu-weight"]);
    let group = lowered.group.unwrap();
    assert!(group.writes.iter().all(|write| write.controller != "cpu"));
    // One of the two is not enough.
    assert!(lower(&all(), &facts(0, cgroup), "a", |key| key == "cpu").is_err());
}

#[test]
fn nothing_left_to_hold_needs_no_group() {
    let lowered = lower(&all(), &facts(1000, v1(false, false)), "a", |_| true).unwrap();
    assert!(lowered.group.is_none());
    assert_eq!(lowered.dropped.len(), 6);
}

#[test]
fn v2_as_root_without_systemd_enables_from_the_top_down() {
    insta::assert_snapshot!(shown(&facts(0, v2(&[("/c", &[], true)]))), @r"
    cgroup v2, a group below /c; enabling cpu,memory,pids in /c
    memory.max = 3221225472 (limits.memory)
    memory.swap.max = 3221225472 (limits.swap)
    pids.max = 512 (limits.pids)
    cpu.max = 150000 100000 (limits.cpu)
    cpu.weight = 50 (limits.cpu-weight)
    memory.reclaim down to 1073741824 under memory pressure (limits.memory-soft)
    ");
    let text = shown(&facts(
        0,
        v2(&[
            ("/c", &["memory"], true),
            ("/c/a", &[], true),
            ("/c/a/b", &[], true),
        ]),
    ));
    assert!(
        text.starts_with("cgroup v2, a group below /c/a; enabling cpu,pids in /c; enabling cpu,memory,pids in /c/a"),
        "{text}"
    );
}

#[test]
fn v2_a_group_with_processes_cannot_give_controllers() {
    let mut cgroup = v2(&[("/c", &[], false), ("/c/a", &[], true)]);
    let groups = &mut cgroup.unified.as_mut().unwrap().groups;
    groups[1].root = false;
    groups[1].occupied = true;
    let refusals = lower(&all(), &facts(0, cgroup), "a", never).unwrap_err();
    assert_eq!(refusals.len(), 6);
    assert!(
        refusals[0].reason.contains("has processes of its own"),
        "{}",
        refusals[0].reason
    );
}

const CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];

#[test]
fn v2_as_a_user_takes_what_is_delegated_without_systemd() {
    let cgroup = v2(&[
        ("/c", CONTROLLERS, false),
        ("/c/sandbox.user/1000", CONTROLLERS, true),
        ("/c/sandbox.user/1000/session", &[], true),
    ]);
    let text = shown(&facts(1000, cgroup));
    assert!(
        text.starts_with("cgroup v2, a group below /c/sandbox.user/1000\n"),
        "{text}"
    );
}

#[test]
fn v2_as_a_user_without_anything_is_refused_with_the_command_that_helps() {
    let cgroup = v2(&[("/c", &[], false)]);
    let refusals = lower(&all(), &facts(1000, cgroup), "a", never).unwrap_err();
    assert_eq!(
        refusals[0].help,
        ["sudo sandboxctl delegate alice --pid $$"]
    );
}

fn desktop(manager: bool) -> CgroupFacts {
    let mut cgroup = v2(&[
        ("/c", CONTROLLERS, false),
        ("/c/user.slice", CONTROLLERS, false),
        ("/c/user.slice/user@1000.service", CONTROLLERS, true),
        (
            "/c/user.slice/user@1000.service/app.slice",
            CONTROLLERS,
            true,
        ),
        (
            "/c/user.slice/user@1000.service/app.slice/vte.scope",
            &[],
            true,
        ),
    ]);
    cgroup.systemd = true;
    cgroup.manager = manager.then(|| Manager {
        system: false,
        bus: "/run/user/1000/bus".into(),
        controllers: set(CONTROLLERS),
    });
    cgroup.no_manager = "/run/user/1000/bus cannot be used".to_owned();
    cgroup
}

#[test]
fn v2_groups_of_the_user_manager_are_asked_for_and_not_taken() {
    let text = shown(&facts(1000, desktop(true)));
    assert!(
        text.starts_with(
            "cgroup v2, a delegated scope in app.slice of the user's systemd\nmemory.max"
        ),
        "{text}"
    );
    let refusals = lower(&all(), &facts(1000, desktop(false)), "a", never).unwrap_err();
    assert!(
        refusals[0]
            .reason
            .contains("/run/user/1000/bus cannot be used")
    );
}

#[test]
fn v2_inside_a_delegated_scope_needs_no_manager() {
    let mut cgroup = desktop(true);
    let groups = &mut cgroup.unified.as_mut().unwrap().groups;
    groups[0].enabled = set(CONTROLLERS);
    groups[0].occupied = false;
    let mut leaf = groups[0].clone();
    leaf.path.push("sup");
    leaf.occupied = true;
    groups.insert(0, leaf);
    let text = shown(&facts(1000, cgroup));
    assert!(
        text.contains("a group below /c/user.slice/user@1000.service/app.slice/vte.scope\n"),
        "{text}"
    );
}

#[test]
fn a_controller_that_the_manager_lacks_is_refused_with_the_drop_in_that_helps() {
    let mut cgroup = desktop(true);
    cgroup.manager.as_mut().unwrap().controllers.remove("cpu");
    let refusals = lower(&all(), &facts(1000, cgroup), "a", never).unwrap_err();
    let keys: Vec<_> = refusals
        .iter()
        .map(|refusal| refusal.key.as_str())
        .collect();
    assert_eq!(keys, ["cpu", "cpu-weight"]);
    assert!(refusals[0].help[0].contains("Delegate=cpu"));
}

#[test]
fn v2_soft_limits_need_pressure_and_reclaim() {
    let mut cgroup = desktop(true);
    cgroup.pressure = false;
    let refusals = lower(&all(), &facts(1000, cgroup.clone()), "a", never).unwrap_err();
    assert_eq!(refusals[0].key, "memory-soft");
    cgroup.unified.as_mut().unwrap().missing = set(&["memory.swap.max", "memory.reclaim"]);
    let refusals = lower(&all(), &facts(1000, cgroup), "a", never).unwrap_err();
    let keys: Vec<_> = refusals
        .iter()
        .map(|refusal| refusal.key.as_str())
        .collect();
    assert_eq!(keys, ["swap", "memory-soft"]);
}

#[test]
fn hybrid_limits_are_v1s() {
    let mut cgroup = v1(true, false);
    cgroup.unified = v2(&[("/c/unified", &[], true)]).unified;
    assert!(shown(&facts(0, cgroup)).starts_with("cgroup v1"));
}

#[test]
fn names_cannot_leave_the_directory() {
    for (name, plain) in [
        ("firefox", "firefox"),
        ("../../etc", "_.._etc"),
        ("..", "sandbox"),
        ("", "sandbox"),
        ("A b\n", "a_b_"),
        ("-x", "x"),
    ] {
        assert_eq!(plain_name(name), plain);
    }
}
