//! Each limit × each way: what the kernel's files say, read from outside while the program runs. Where the host cannot hold
//! a limit, the case is skipped with the reason, and `refusals` checks that a launch says the same.

use std::fs;

use nix::unistd::Pid;

use super::limits::{end, group, sleeping};
use super::support::{Case, Layout, Need, Outcome, Scene, case, refused_limits};

/// Files and a line that each must have.
type Files = &'static [(&'static str, &'static str)];

/// One limit.
struct Row {
    name: &'static str,
    needs: &'static [Need],
    /// What the profile says in `[limits]`.
    says: &'static str,
    /// The controller on v1, and what its files then say; nothing where v1 has no file for it.
    v1: (&'static str, Files),
    /// The same on v2.
    v2: (&'static str, Files),
}

const NONE: (&str, Files) = ("", &[]);

const fn row(
    name: &'static str,
    needs: &'static [Need],
    says: &'static str,
    v1: (&'static str, Files),
    v2: (&'static str, Files),
) -> Row {
    Row {
        name,
        needs,
        says,
        v1,
        v2,
    }
}

/// In a line that is expected: the number of a disk.
const DISK: &str = "DISK";

const ROWS: &[Row] = &[
    row(
        "memory",
        &[Need::Limit("memory")],
        "memory = \"64M\"",
        ("memory", &[("memory.limit_in_bytes", "67108864")]),
        ("memory", &[("memory.max", "67108864")]),
    ),
    row(
        "swap",
        &[Need::Limit("swap")],
        "memory = \"64M\"\nswap = \"32M\"",
        ("memory", &[("memory.memsw.limit_in_bytes", "100663296")]),
        ("memory", &[("memory.swap.max", "33554432")]),
    ),
    row(
        "memory-soft",
        &[Need::Limit("memory-soft")],
        "memory-soft = \"32M\"",
        ("memory", &[("memory.soft_limit_in_bytes", "33554432")]),
        ("memory", &[("memory.high", "max"), ("memory.low", "0")]),
    ),
    row(
        "memory-soft-throttle",
        &[Need::Limit("memory-high")],
        "memory-soft = \"512M\"\nmemory-soft-mode = \"throttle\"",
        NONE,
        (
            "memory",
            &[("memory.high", "536870912"), ("memory.low", "0")],
        ),
    ),
    row(
        "memory-soft-protect",
        &[Need::Limit("memory-low")],
        "memory-soft = \"8M\"\nmemory-soft-mode = \"protect\"",
        NONE,
        (
            "memory",
            &[("memory.high", "max"), ("memory.low", "8388608")],
        ),
    ),
    row(
        "memory-high",
        &[Need::Limit("memory-high")],
        "memory-high = \"512M\"",
        NONE,
        ("memory", &[("memory.high", "536870912")]),
    ),
    row(
        "memory-low-and-min",
        &[Need::Limit("memory-low"), Need::Limit("memory-min")],
        "memory-low = \"8M\"\nmemory-min = \"4M\"",
        NONE,
        (
            "memory",
            &[("memory.low", "8388608"), ("memory.min", "4194304")],
        ),
    ),
    row(
        "swappiness",
        &[Need::Limit("swappiness")],
        "swappiness = 7",
        ("memory", &[("memory.swappiness", "7")]),
        NONE,
    ),
    row(
        "zswap",
        &[Need::Limit("zswap")],
        "zswap = \"16M\"",
        NONE,
        ("memory", &[("memory.zswap.max", "16777216")]),
    ),
    row(
        "zswap-writeback",
        &[Need::Limit("zswap-writeback")],
        "zswap-writeback = false",
        NONE,
        ("memory", &[("memory.zswap.writeback", "0")]),
    ),
    row(
        "oom-group",
        &[Need::Limit("oom-group")],
        "memory = \"64M\"\noom-group = true",
        ("memory", &[]),
        ("memory", &[("memory.oom.group", "1")]),
    ),
    row(
        "pids",
        &[Need::Limit("pids")],
        "pids = 33",
        ("pids", &[("pids.max", "33")]),
        ("pids", &[("pids.max", "33")]),
    ),
    row(
        "cpu",
        &[Need::Limit("cpu")],
        "cpu = \"50%\"",
        (
            "cpu",
            &[
                ("cpu.cfs_quota_us", "50000"),
                ("cpu.cfs_period_us", "100000"),
            ],
        ),
        ("cpu", &[("cpu.max", "50000 100000")]),
    ),
    row(
        "cpu-period-and-burst",
        &[Need::Limit("cpu"), Need::Limit("cpu-burst")],
        "cpu = \"50%\"\ncpu-period = \"40ms\"\ncpu-burst = \"10ms\"",
        (
            "cpu",
            &[
                ("cpu.cfs_quota_us", "20000"),
                ("cpu.cfs_period_us", "40000"),
                ("cpu.cfs_burst_us", "10000"),
            ],
        ),
        (
            "cpu",
            &[("cpu.max", "20000 40000"), ("cpu.max.burst", "10000")],
        ),
    ),
    row(
        "cpu-weight",
        &[Need::Limit("cpu-weight")],
        "cpu-weight = 50",
        ("cpu", &[("cpu.shares", "512")]),
        ("cpu", &[("cpu.weight", "50")]),
    ),
    row(
        "cpu-idle",
        &[Need::Limit("cpu-weight")],
        "cpu-weight = \"idle\"",
        ("cpu", &[("cpu.idle", "1")]),
        ("cpu", &[("cpu.idle", "1")]),
    ),
    row(
        "cpus",
        &[Need::Limit("cpus")],
        "cpus = \"0\"",
        ("cpuset", &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
        (
            "cpuset",
            &[("cpuset.cpus", "0"), ("cpuset.cpus.effective", "0")],
        ),
    ),
    row(
        "memory-nodes",
        &[Need::Limit("memory-nodes")],
        "memory-nodes = \"0\"",
        ("cpuset", &[("cpuset.mems", "0")]),
        ("cpuset", &[("cpuset.mems", "0")]),
    ),
    row(
        "io-weight",
        &[Need::Limit("io-weight")],
        "io-weight = 50",
        ("blkio", &[("blkio.bfq.weight", "50")]),
        ("io", &[("io.weight io.bfq.weight", "default 50")]),
    ),
    row(
        "io-rates",
        &[Need::Limit("PATH")],
        "\"/\" = { read = \"20M\", write = \"10M\", read-operations = 500, write-operations = 200 }",
        (
            "blkio",
            &[
                ("blkio.throttle.read_bps_device", "DISK 20971520"),
                ("blkio.throttle.write_bps_device", "DISK 10485760"),
                ("blkio.throttle.read_iops_device", "DISK 500"),
                ("blkio.throttle.write_iops_device", "DISK 200"),
            ],
        ),
        (
            "io",
            &[(
                "io.max",
                "DISK rbps=20971520 wbps=10485760 riops=500 wiops=200",
            )],
        ),
    ),
    row(
        "huge-pages",
        &[Need::Limit("huge-pages-SIZE")],
        "huge-pages-2MB = \"9M\"",
        ("hugetlb", &[("hugetlb.2MB.limit_in_bytes", "8388608")]),
        ("hugetlb", &[("hugetlb.2MB.max", "8388608")]),
    ),
    row(
        "net-class",
        &[Need::Limit("net-class")],
        "net-class = \"10:1\"",
        ("net_cls", &[("net_cls.classid", "1048577")]),
        NONE,
    ),
    row(
        "net-priority",
        &[Need::Limit("net-priority-INTERFACE")],
        "net-priority-lo = 5",
        ("net_prio", &[("net_prio.ifpriomap", "lo 5")]),
        NONE,
    ),
    row(
        "devices",
        &[Need::Limit("devices")],
        "devices = \"listed\"",
        (
            "devices",
            &[
                ("devices.list", "c 1:3 rwm"),
                ("devices.list", "c 136:* rwm"),
            ],
        ),
        NONE,
    ),
    row(
        "all-together",
        &[
            Need::Limit("swap"),
            Need::Limit("cpu"),
            Need::Limit("pids"),
            Need::Limit("memory-soft"),
        ],
        "memory = \"64M\"\nswap = 0\nmemory-soft = \"32M\"\npids = 33\ncpu = \"150%\"\ncpu-weight = 200",
        (
            "memory",
            &[
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "67108864"),
            ],
        ),
        (
            "memory",
            &[("memory.max", "67108864"), ("memory.swap.max", "0")],
        ),
    ),
];

pub fn cases() -> Vec<Case> {
    let rows = ROWS
        .iter()
        .map(|row| case(row.name, row.needs, |scene: &Scene| held(scene, row)));
    rows.chain([
        case("refusals", &[], refusals),
        case("what_is_not_there", &[Need::Limits], what_is_not_there),
        case("device_files", &[Need::Limit("devices")], device_files),
        case(
            "perf_event",
            &[Need::Limits, Need::Limit("perf-event")],
            perf_event,
        ),
        case("degraded", &[Need::Limits], degraded),
        case("ways", &[Need::Limits], ways),
    ])
    .collect()
}

/// Whether a line is the one that is expected.
fn is(line: &str, expected: &str) -> bool {
    let Some(rest) = expected.strip_prefix(DISK) else {
        return line == expected;
    };
    let Some((disk, found)) = line.split_once(' ') else {
        return false;
    };
    let place = format!("/sys/dev/block/{disk}");
    let whole = fs::metadata(&place).is_ok() && fs::metadata(format!("{place}/partition")).is_err();
    whole && found == rest.trim_start()
}

fn check(scene: &Scene, pid: Pid, controller: &str, files: Files) -> Outcome {
    if files.is_empty() {
        return Ok(());
    }
    let group = group(scene, pid, controller)?;
    for (names, expected) in files {
        // Of several the one that this kernel has.
        let text = names
            .split(' ')
            .find_map(|name| fs::read_to_string(group.join(name)).ok())
            .ok_or_else(|| format!("no {names} in {}", group.display()))?;
        if !text.lines().any(|line| is(line.trim(), expected)) {
            return Err(format!(
                "{names} of {} says {text:?}, not {expected:?}",
                group.display()
            )
            .into());
        }
    }
    Ok(())
}

fn held(scene: &Scene, row: &Row) -> Outcome {
    let (run, pid) = sleeping(scene, &format!("[limits]\n{}\n", row.says))?;
    let on_v1 = !row.v1.0.is_empty() && scene.host.v1_mount(row.v1.0).is_some();
    let (controller, files) = if on_v1 { row.v1 } else { row.v2 };
    let checked = check(scene, pid, controller, files);
    end(run)?;
    checked
}

/// What the host cannot hold is refused by a launch for the same reason, with the key and its place.
fn refusals(scene: &Scene) -> Outcome {
    let refused = refused_limits().as_ref().map_err(Clone::clone)?;
    for row in ROWS {
        let lacking = row.needs.iter().filter_map(|need| match need {
            Need::Limit(key) => refused.iter().find(|(name, _)| name == key),
            _ => None,
        });
        let Some((_, reason)) = lacking.into_iter().next() else {
            continue;
        };
        let out = scene
            .sandbox()
            .profile_text(&format!("[limits]\n{}\n", row.says))?
            .program(["true"])
            .run()?;
        out.exits_with(125)?;
        let text = out.stderr();
        assert!(
            text.contains("cannot be applied on this host: "),
            "{}: {text}",
            row.name
        );
        // Where a key means another file, the reason is the key's own.
        let own = row.name.starts_with("memory-soft-");
        assert!(
            own || text.contains(reason.as_str()),
            "{}: {reason}: {text}",
            row.name
        );
        assert!(text.contains("--best-effort"), "{}: {text}", row.name);
    }
    Ok(())
}

/// Values that this host does not have.
fn what_is_not_there(scene: &Scene) -> Outcome {
    let refused = refused_limits().as_ref().map_err(Clone::clone)?;
    let can = |key: &str| !refused.iter().any(|(name, _)| name == key);
    let mut rows = vec![
        (
            "kernel-memory = \"1G\"",
            2,
            "kernel memory counts towards `memory`",
        ),
        ("resident-set = \"1G\"", 2, "would limit nothing"),
        ("\"/proc\" = { read = 1000 }", 125, "/proc lies on proc"),
        ("\"/no/such/path\" = { read = 1000 }", 125, "/no/such/path"),
        ("\"/home/*\" = { read = 1000 }", 2, "is a pattern"),
        ("cpu-burst = \"1ms\"", 2, "`cpu-burst` needs `cpu`"),
    ];
    if can("cpus") {
        rows.push(("cpus = \"0,4000\"", 125, "there is no CPU 4000"));
    }
    if can("misc-RESOURCE") {
        rows.push(("misc-no_such_thing = 4", 125, "misc.max"));
    }
    if can("net-priority-INTERFACE") {
        rows.push(("net-priority-none0 = 4", 125, "net_prio.ifpriomap"));
    }
    if scene.host.v1_mount("memory").is_some() {
        rows.push((
            "memory-soft = \"1G\"\nmemory-soft-mode = \"throttle\"",
            125,
            "knows no `memory-soft-mode",
        ));
    }
    for (says, status, text) in rows {
        let out = scene
            .sandbox()
            .profile_text(&format!("[limits]\n{says}\n"))?
            .program(["true"])
            .run()?;
        // Rules that contradict each other are the profile's fault, but found when the plan is made.
        let other = if status == 2 { 125 } else { status };
        assert!(out.code() == status || out.code() == other, "{says}: {out}");
        assert!(out.stderr().contains(text), "{says}: {out}");
    }
    Ok(())
}

/// What is listed can be used, what is not is refused, whatever the nodes' modes say.
fn device_files(scene: &Scene) -> Outcome {
    let script = "head -c1 /dev/zero | wc -c; head -c1 /dev/kmsg";
    let open = scene
        .sandbox()
        .profile_text("[limits]\npids = 100\n")?
        .program(["sh", "-c", "exec 3</dev/kmsg"])
        .run()?;
    if open.code() != 0 {
        return Err(format!("/dev/kmsg cannot be opened anyway: {open}").into());
    }
    let out = scene
        .sandbox()
        .profile_text("[limits]\ndevices = \"listed\"\n")?
        .program(["sh", "-c", script])
        .run()?;
    assert_eq!(out.stdout().trim(), "1", "{out}");
    assert!(out.stderr().contains("Operation not permitted"), "{out}");
    Ok(())
}

/// `perf stat -G` counts a group by its path in the hierarchy of perf_event, or by any on v2.
fn perf_event(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\nperf-event = true\n")?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    end(run)?;
    let groups = groups?;
    let line = groups
        .lines()
        .find(|line| match scene.host.v1_mount("perf_event") {
            Some(_) => line.contains("perf_event"),
            None => line.starts_with("0::"),
        });
    let line = line.ok_or("no line")?;
    assert!(line.contains("sandbox"), "{groups}");
    Ok(())
}

/// What the host cannot hold is dropped by name with --best-effort, and the rest is held.
fn degraded(scene: &Scene) -> Outcome {
    let impossible = match scene.host.layout {
        Layout::V2 => "swappiness = 7",
        _ => "memory-min = \"4M\"",
    };
    let out = scene
        .sandbox()
        .profile_text(&format!("[limits]\npids = 33\n{impossible}\n"))?
        .args(["--best-effort"])
        .program(["true"])
        .run()?;
    if scene.host.layout != Layout::None {
        out.succeeds()?;
        assert!(out.stderr().contains("is not applied"), "{out}");
    }
    Ok(())
}

/// `doctor` prints the ways in their order, and the one that it says is taken is one that applies.
fn ways(scene: &Scene) -> Outcome {
    let out = scene.sandboxctl().args(["doctor", "--json"]).run()?;
    let document: serde_json::Value = serde_json::from_str(&out.stdout())?;
    let ways = document
        .pointer("/limits/ways")
        .and_then(serde_json::Value::as_array);
    let ways = ways.ok_or("no ways")?;
    let names: Vec<&str> = ways
        .iter()
        .filter_map(|way| way.get("name")?.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "delegated",
            "systemd-user",
            "systemd-system",
            "v2",
            "v1",
            "hybrid",
            "error"
        ]
    );
    let flag = |way: &serde_json::Value, name: &str| {
        way.get(name).and_then(serde_json::Value::as_bool) == Some(true)
    };
    // Limits can be had here, so that a way is taken, and it is the first that applies.
    let first = ways
        .iter()
        .find(|way| flag(way, "applies"))
        .ok_or("none applies")?;
    assert!(flag(first, "taken"), "{out}");
    assert_eq!(
        ways.iter().filter(|way| flag(way, "taken")).count(),
        1,
        "{out}"
    );
    assert_eq!(document.pointer("/limits/way"), first.get("name"), "{out}");
    Ok(())
}
