#![allow(clippy::unwrap_used)]

use super::*;
use std::path::PathBuf;

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
fn a_controller_that_systemd_does_not_know_is_refused() {
    let mut cgroup = desktop(true);
    let manager = cgroup.manager.as_mut().unwrap();
    manager.controllers.insert("hugetlb".to_owned());
    let refusal = refusal(
        &Limits::default().with_number("huge-pages-2MB", 1 << 21),
        &facts(0, cgroup),
    );
    assert!(
        refusal
            .reason
            .contains("gives nobody the controller `hugetlb`"),
        "{}",
        refusal.reason
    );
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

fn one(key: &str, amount: Amount) -> Limits {
    Limits::default().with(key, Traced::default_value(amount))
}

fn refusal(limits: &Limits, facts: &Facts) -> Refusal {
    let mut refusals = lower(limits, facts, "a", never).unwrap_err();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    refusals.remove(0)
}

fn group(limits: &Limits, facts: &Facts) -> GroupPlan {
    lower(limits, facts, "a", never).unwrap().group.unwrap()
}

fn written(limits: &Limits, facts: &Facts) -> Vec<String> {
    let writes = group(limits, facts).writes;
    writes
        .iter()
        .map(|write| format!("{}={}", write.file, write.value))
        .collect()
}

fn ranges(text: &str) -> Option<Ranges> {
    Ranges::parse(text)
}

fn places(plan: &GroupPlan) -> &[Place] {
    match &plan.way {
        Way::Direct { places } => places,
        Way::Scope { .. } => &[],
    }
}

/// v1 with all controllers that there are, and a v2 tree beside it.
fn everything() -> CgroupFacts {
    let mut cgroup = v1(true, false);
    for name in [
        "cpuset",
        "devices",
        "net_cls",
        "net_prio",
        "perf_event",
        "hugetlb",
        "misc",
        "rdma",
    ] {
        let mut hierarchy = cgroup.legacy[0].clone();
        hierarchy.controllers = set(&[name]);
        hierarchy.mount = format!("/c/{name}").into();
        hierarchy.own = Some(hierarchy.mount.clone());
        cgroup.legacy.push(hierarchy);
    }
    cgroup.cpus = ranges("0-3");
    cgroup.memory_nodes = ranges("0");
    cgroup.may_refuse_devices = true;
    cgroup.disks = [("/".to_owned(), Ok(Disk { major: 8, minor: 0 }))].into();
    cgroup
}

#[test]
fn what_only_the_other_version_has_is_refused_with_what_replaces_it() {
    let number = Amount::Number(100);
    let flag = Amount::Flag(false);
    let old = facts(0, v1(true, false));
    let new = facts(0, v2(&[("/c", &[], true)]));
    let soft = |mode| {
        one("memory-soft", number.clone()).with(
            "memory-soft-mode",
            Traced::default_value(Amount::Word(mode)),
        )
    };
    for (limits, facts, key, reason) in [
        (
            one("memory-high", number.clone()),
            &old,
            "memory-high",
            "cgroup v1 for memory",
        ),
        (
            one("memory-low", number.clone()),
            &old,
            "memory-low",
            "cgroup v1 for memory",
        ),
        (
            one("memory-min", number.clone()),
            &old,
            "memory-min",
            "cgroup v1 for memory",
        ),
        (
            one("zswap", number.clone()),
            &old,
            "zswap",
            "cgroup v1 for memory",
        ),
        (
            one("zswap-writeback", flag),
            &old,
            "zswap-writeback",
            "cgroup v1 for memory",
        ),
        (
            soft("throttle"),
            &old,
            "memory-soft",
            "knows no `memory-soft-mode = \"throttle\"`",
        ),
        (
            soft("protect"),
            &old,
            "memory-soft",
            "knows no `memory-soft-mode = \"protect\"`",
        ),
        (
            one("net-class", number.clone()),
            &old,
            "net-class",
            "`net_cls` is mounted",
        ),
        (
            one("misc-x", number.clone()),
            &old,
            "misc-x",
            "`misc` is mounted",
        ),
        (
            one("swappiness", number.clone()),
            &new,
            "swappiness",
            "no swappiness of a group",
        ),
        (
            one("net-class", number.clone()),
            &new,
            "net-class",
            "no classes of packets",
        ),
        (
            one("net-priority-lo", number.clone()),
            &new,
            "net-priority-lo",
            "no priorities of packets",
        ),
        (
            one("misc-x", number),
            &new,
            "misc-x",
            "`misc` cannot be had",
        ),
    ] {
        let refusal = refusal(&limits, facts);
        assert_eq!(refusal.key, key);
        assert!(refusal.reason.contains(reason), "{key}: {}", refusal.reason);
    }
    assert!(refusal(&one("swappiness", Amount::Number(0)), &new).help[0].contains("swap = 0"));
}

#[test]
fn a_file_that_the_kernel_lacks_is_refused_by_name_in_both_versions() {
    let all = one("cpu", Amount::Number(5_000))
        .with_number("cpu-burst", 1_000)
        .with("cpu-weight", Traced::default_value(Amount::Word("idle")))
        .with_number("io-weight", 50);
    let missing = set(&[
        "cpu.cfs_burst_us",
        "cpu.max.burst",
        "cpu.idle",
        "blkio.bfq.weight",
        "blkio.weight",
        "io.weight",
        "io.bfq.weight",
    ]);
    let mut old = v1(true, false);
    for hierarchy in &mut old.legacy {
        hierarchy.missing.clone_from(&missing);
    }
    let mut new = v2(&[("/c", &[], true)]);
    new.unified.as_mut().unwrap().missing = missing;
    for cgroup in [old, new] {
        let refusals = lower(&all, &facts(0, cgroup), "a", never).unwrap_err();
        let keys: Vec<&str> = refusals
            .iter()
            .map(|refusal| refusal.key.as_str())
            .collect();
        assert_eq!(keys, ["cpu-burst", "cpu-weight", "io-weight"]);
        assert!(
            refusals
                .iter()
                .all(|refusal| refusal.reason.starts_with("this kernel ")),
            "{refusals:?}"
        );
    }
}

#[test]
fn of_two_files_the_one_that_the_kernel_has_is_written() {
    let mut cgroup = v2(&[("/c", &[], true)]);
    cgroup.unified.as_mut().unwrap().missing = set(&["io.weight"]);
    let limits = one("io-weight", Amount::Number(1_000));
    assert_eq!(written(&limits, &facts(0, cgroup)), ["io.bfq.weight=181"]);
}

#[test]
fn a_weight_that_no_disk_shares_by_is_remarked() {
    let mut cgroup = v1(true, false);
    cgroup.weights = Some(false);
    let lowered = lower(
        &one("io-weight", Amount::Number(50)),
        &facts(0, cgroup),
        "a",
        never,
    )
    .unwrap();
    assert!(lowered.remarks[0].1.contains("no effect yet"));
}

#[test]
fn v1_groups_of_cpuset_get_both_files_before_all_others() {
    let host = facts(0, everything());
    let cpus = one("cpus", Amount::Ranges(ranges("0-1").unwrap())).with_number("pids", 5);
    assert_eq!(
        written(&cpus, &host),
        ["cpuset.mems=0", "pids.max=5", "cpuset.cpus=0-1"]
    );
    let nodes = one("memory-nodes", Amount::Ranges(ranges("0").unwrap()));
    assert_eq!(written(&nodes, &host), ["cpuset.cpus=0-3", "cpuset.mems=0"]);
    // Mounted together with another controller it is needed too, and only then.
    let mut cgroup = everything();
    cgroup
        .legacy
        .retain(|hierarchy| !hierarchy.controllers.contains("cpuset"));
    for hierarchy in &mut cgroup.legacy {
        if hierarchy.controllers.contains("cpu") || hierarchy.controllers.contains("freezer") {
            hierarchy.controllers.insert("cpuset".to_owned());
        }
    }
    let together = facts(0, cgroup);
    let weight = one("cpu-weight", Amount::Number(100));
    assert_eq!(
        written(&weight, &together),
        ["cpuset.cpus=0-3", "cpuset.mems=0", "cpu.shares=1024"]
    );
    assert_eq!(
        written(&one("pids", Amount::Number(5)), &together),
        ["pids.max=5"]
    );
}

#[test]
fn cpus_that_are_not_there_are_refused_with_those_that_are() {
    let mut new = v2(&[("/c", &["cpuset"], true)]);
    new.cpus = ranges("0-3");
    new.unified.as_mut().unwrap().groups[0]
        .controllers
        .insert("cpuset".to_owned());
    for cgroup in [everything(), new] {
        let limits = one("cpus", Amount::Ranges(ranges("2-5,9").unwrap()));
        let refusal = refusal(&limits, &facts(0, cgroup));
        assert_eq!(
            refusal.reason,
            "there is no CPU 4-5,9 for a group that is made here"
        );
        assert_eq!(refusal.help, ["there are 0-3"]);
    }
}

#[test]
fn rates_need_a_disk_and_say_why_there_is_none() {
    let rates = Amount::Rates(Rates {
        read: Some(5),
        ..Rates::default()
    });
    let limits = one("/", rates.clone());
    assert_eq!(
        written(&limits, &facts(0, everything())),
        ["blkio.throttle.read_bps_device=8:0 5"]
    );
    let mut cgroup = everything();
    cgroup
        .disks
        .insert("/".to_owned(), Err("/ lies on overlay".to_owned()));
    assert_eq!(
        refusal(&limits, &facts(0, cgroup)).reason,
        "/ lies on overlay"
    );
    let mut cgroup = everything();
    cgroup
        .disks
        .insert("/home".to_owned(), Ok(Disk { major: 8, minor: 0 }));
    let two = limits.with("/home", Traced::default_value(rates));
    let lowered = lower(&two, &facts(0, cgroup), "a", never).unwrap();
    assert!(lowered.remarks[0].1.contains("lie on one disk (8:0)"));
    assert_eq!(lowered.group.unwrap().writes.len(), 1);
}

#[test]
fn devices_are_a_file_on_v1_and_a_program_on_v2() {
    let limits = one("devices", Amount::Word("listed"));
    let mut old = everything();
    let fuse = Node {
        block: false,
        major: 10,
        minor: 229,
    };
    let null = Node {
        block: false,
        major: 1,
        minor: 3,
    };
    old.nodes = [fuse, null].into();
    let plan = group(&limits, &facts(0, old.clone()));
    assert_eq!(plan.devices, None);
    assert_eq!(
        plan.writes.first().unwrap().to_string(),
        "devices.deny = a (limits.devices)"
    );
    assert_eq!(plan.writes.last().unwrap().value, "c 10:229 rwm");
    assert_eq!(
        plan.writes
            .iter()
            .filter(|write| write.value.starts_with("c 1:3 "))
            .count(),
        1
    );

    let mut new = v2(&[("/c", &[], true)]);
    new.may_refuse_devices = true;
    let plan = group(&limits, &facts(0, new.clone()));
    assert!(plan.writes.is_empty());
    assert_eq!(plan.devices.unwrap().allowed.len(), 8);
    // Without v1's controller a hybrid host has v2's way.
    old.legacy
        .retain(|hierarchy| !hierarchy.controllers.contains("devices"));
    old.unified = new.unified.clone();
    let plan = group(&limits, &facts(0, old));
    assert!(
        plan.devices.is_some()
            && places(&plan)
                .iter()
                .any(|place| !place.optional && place.version == Version::V2)
    );

    new.may_refuse_devices = false;
    let refusal = refusal(&limits, &facts(1000, new));
    assert!(
        refusal
            .reason
            .contains("CAP_SYS_ADMIN in the initial user namespace")
    );
}

#[test]
fn on_v1_the_launcher_kills_the_rest_of_a_group() {
    let limits = one("oom-group", Amount::Flag(true));
    let plan = group(&limits, &facts(0, v1(true, false)));
    assert!(plan.kill_at_oom && plan.writes.is_empty());
    assert!(
        places(&plan)
            .iter()
            .any(|place| place.controllers.contains("memory") && !place.optional)
    );
    let plan = group(&limits, &facts(0, v2(&[("/c", &[], true)])));
    assert!(!plan.kill_at_oom);
    assert_eq!(plan.writes[0].file, "memory.oom.group");
}

#[test]
fn perf_events_need_a_group_of_their_own_on_v1_and_any_on_v2() {
    let limits = one("perf-event", Amount::Flag(true));
    let plan = group(&limits, &facts(0, everything()));
    assert!(
        places(&plan)
            .iter()
            .any(|place| place.controllers.contains("perf_event") && !place.optional)
    );
    let plan = group(&limits, &facts(0, v2(&[("/c", &[], true)])));
    assert!(plan.writes.is_empty() && plan.controllers.is_empty());
    assert_eq!(places(&plan).len(), 1);
}

#[test]
fn each_controller_is_used_where_it_is() {
    let mut cgroup = v1(true, false);
    cgroup.unified = v2(&[("/u", &[], true)]).unified;
    let groups = &mut cgroup.unified.as_mut().unwrap().groups;
    groups[0].controllers = set(&["hugetlb", "misc"]);
    let limits = all()
        .with_number("huge-pages-2MB", 1 << 21)
        .with_number("misc-x", 1);
    let plan = group(&limits, &facts(0, cgroup.clone()));
    let v2_places: Vec<&Place> = places(&plan)
        .iter()
        .filter(|place| place.version == Version::V2)
        .collect();
    assert_eq!(v2_places.len(), 1);
    assert_eq!(v2_places[0].controllers, set(&["hugetlb", "misc"]));
    assert_eq!(
        v2_places[0].enable,
        [(PathBuf::from("/u"), set(&["hugetlb", "misc"]))]
    );
    assert!(!v2_places[0].optional);
    let version = |file: &str| {
        plan.writes
            .iter()
            .find(|write| write.file == file)
            .map(|write| write.controller)
    };
    assert_eq!(version("hugetlb.2MB.max"), Some("hugetlb"));
    assert_eq!(version("memory.limit_in_bytes"), Some("memory"));
    // What is dropped is not enabled.
    let plan = lower(&limits, &facts(0, cgroup), "a", never)
        .unwrap()
        .group
        .unwrap();
    assert!(plan.controllers.contains("misc"));
}

#[test]
fn beside_v1_root_has_a_v2_group_without_limits() {
    let mut cgroup = v1(true, true);
    cgroup.unified = v2(&[("/u", &[], true)]).unified;
    let plan = group(&all(), &facts(0, cgroup.clone()));
    let twin = places(&plan).last().unwrap();
    assert!(
        twin.optional
            && twin.version == Version::V2
            && twin.controllers.is_empty()
            && twin.enable.is_empty()
    );
    assert_eq!(twin.parent, PathBuf::from("/u"));
    let plan = group(&all(), &facts(1000, cgroup));
    assert!(
        places(&plan)
            .iter()
            .all(|place| place.version == Version::V1)
    );
}

#[test]
fn the_ways_are_in_order_and_the_first_that_applies_is_taken() {
    let offer = |facts: &Facts| {
        let plan = lower(&all(), facts, "a", |_| true).unwrap().group;
        let offers = ways::ways(facts, plan.as_ref());
        assert_eq!(offers.len(), 7);
        assert!(
            offers.iter().all(|offer| !offer.why.is_empty()),
            "{offers:?}"
        );
        let first = offers.iter().find(|offer| offer.applies).unwrap();
        assert!(first.taken, "{offers:#?}");
        assert_eq!(offers.iter().filter(|offer| offer.taken).count(), 1);
        first.name
    };
    let mut hybrid = v1(true, false);
    hybrid.unified = v2(&[("/u", &[], true)]).unified;
    let mut root = desktop(true);
    root.manager.as_mut().unwrap().system = true;
    let given = v2(&[
        ("/c", CONTROLLERS, false),
        ("/c/s/1000", CONTROLLERS, true),
        ("/c/s/1000/x", &[], true),
    ]);
    let mut scope = desktop(true);
    let groups = &mut scope.unified.as_mut().unwrap().groups;
    groups[0].enabled = set(CONTROLLERS);
    groups[0].occupied = false;
    for (uid, cgroup, name) in [
        (0, v1(true, false), "v1"),
        (1000, v1(false, true), "v1"),
        (1000, v1(false, false), "error"),
        (0, hybrid, "hybrid"),
        (0, v2(&[("/c", &[], true)]), "v2"),
        (1000, v2(&[("/c", &[], false)]), "error"),
        (1000, given, "delegated"),
        (1000, scope, "delegated"),
        (1000, desktop(true), "systemd-user"),
        (1000, desktop(false), "error"),
        (0, root, "systemd-system"),
        (0, CgroupFacts::default(), "error"),
    ] {
        assert_eq!(offer(&facts(uid, cgroup)), name);
    }
}

mod any {
    use proptest::prelude::*;

    use super::*;
    use crate::section::limits::writes::tests::{any_limits, is_well_formed};

    proptest! {
        #[test]
        fn combination_of_limits_is_lowered_or_refused_with_reasons(
            limits in any_limits(),
            uid in prop_oneof![Just(0_u32), Just(1000)],
            which in 0..6_usize,
            degrade in any::<bool>(),
        ) {
            let mut hybrid = everything();
            hybrid.legacy.retain(|hierarchy| !hierarchy.controllers.contains("hugetlb"));
            hybrid.unified = v2(&[("/u", &["hugetlb"], true)]).unified;
            let all = [everything(), hybrid, v2(&[("/c", &[], true)]), desktop(true), desktop(false), CgroupFacts::default()];
            let mut cgroup = all[which].clone();
            for path in ["/a", "/b"] {
                cgroup.disks.insert(path.to_owned(), Ok(Disk { major: 8, minor: 0 }));
            }
            match lower(&limits, &facts(uid, cgroup), "a", |_| degrade) {
                Ok(lowered) => {
                    prop_assert!(degrade || lowered.dropped.is_empty());
                    for write in lowered.group.iter().flat_map(|group| &group.writes) {
                        prop_assert!(is_well_formed(write), "{:?}", write);
                    }
                    let group = lowered.group;
                    let places: &[Place] = group.as_ref().map_or(&[], places);
                    prop_assert!(places.iter().filter(|place| place.version == Version::V2).count() <= 1);
                    prop_assert_eq!(lowered.dropped.len() < limits.iter().count(), group.is_some());
                }
                Err(refusals) => {
                    prop_assert!(!degrade && !refusals.is_empty());
                    prop_assert!(refusals.iter().all(|refusal| !refusal.reason.is_empty()));
                }
            }
        }
    }
}
