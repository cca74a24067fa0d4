//! `[devices]` by class, with what is shown of /sys and /proc.

use std::fs;
use std::path::Path;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "serial",
            &[Need::UserNamespaces, Need::File("/dev/ttyS0")],
            serial,
        ),
        case(
            "only_where_there_are_nodes",
            USERNS,
            only_where_there_are_nodes,
        ),
        case("machine_in_sys", USERNS, machine_in_sys),
        case("machine_in_proc", USERNS, machine_in_proc),
        case(
            "tools_that_read_proc",
            &[
                Need::UserNamespaces,
                Need::Program("ps"),
                Need::Program("free"),
            ],
            tools_that_read_proc,
        ),
        case("only_processes", USERNS, only_processes),
        case(
            "processes_that_may_be_traced",
            USERNS,
            processes_that_may_be_traced,
        ),
        case("without_an_own_proc", USERNS, without_an_own_proc),
    ]
}

/// Whether a path is not there, or lies below something closed (which root may look into, and finds empty).
fn is_away(out: &Finished, path: &str) {
    let answer = out.answer(&format!("stat@{path}"));
    assert!(
        ["ENOENT", "EACCES"].contains(&answer.as_str()),
        "{path}: {out}"
    );
}

/// Nothing of /sys and /run but what a class brings with it.
const BARE: &str =
    "[filesystem]\n\"/\" = \"read-only\"\n\"/sys\" = \"hidden\"\n\"/run\" = \"tmpfs\"\n";

fn serial(scene: &Scene) -> Outcome {
    let deeds = [
        "stat@/dev/ttyS0",
        "stat@/sys/class/tty/ttyS0",
        "create@/sys/class/tty/x",
        "stat@/sys/class/net",
        "stat@/sys/kernel",
    ];
    let run = |rules: &str| {
        let sandbox = scene.sandbox().profile_text(rules)?;
        sandbox.show_probe().deeds(deeds).run()
    };
    let out = run(&format!("{BARE}[devices]\nserial = true\n"))?;
    out.succeeds()?;
    out.answers(&[
        ("stat@/dev/ttyS0", "ok"),
        ("stat@/sys/class/tty/ttyS0", "ok"),
        ("create@/sys/class/tty/x", "EROFS"),
        ("stat@/sys/class/net", "ENOENT"),
        ("stat@/sys/kernel", "ENOENT"),
    ])?;
    // Other classes bring neither.
    let out = run(&format!(
        "{BARE}[devices]\nserial = false\nprinter = true\nusb = true\n"
    ))?;
    out.succeeds()?;
    is_away(&out, "/dev/ttyS0");
    is_away(&out, "/sys/class/tty/ttyS0");
    // Where /sys is seen, nothing is put over it.
    let out = run("[filesystem]\n\"/\" = \"read-only\"\n[devices]\nserial = true\n")?;
    out.succeeds()?;
    out.answers(&[("stat@/dev/ttyS0", "ok"), ("stat@/sys/class/net", "ok")])?;
    // Who names a path has the last word about it.
    let out = run(&format!(
        "{BARE}\"/sys/class/tty\" = \"hidden\"\n[devices]\nserial = true\n"
    ))?;
    out.succeeds()?;
    is_away(&out, "/sys/class/tty/ttyS0");
    out.answers(&[("stat@/dev/ttyS0", "ok")])
}

fn only_where_there_are_nodes(scene: &Scene) -> Outcome {
    let table: [(&str, &[&str], &str); 3] = [
        (
            "gpu",
            &["/dev/dri", "/dev/kfd", "/dev/nvidia0", "/dev/nvidiactl"],
            "/sys/dev/char",
        ),
        ("usb", &["/dev/bus/usb"], "/sys/bus/usb/devices"),
        (
            "camera",
            &["/dev/video0", "/dev/media0"],
            "/sys/class/video4linux",
        ),
    ];
    for (class, nodes, beside) in table {
        let there = nodes.iter().any(|node| Path::new(node).exists());
        let deed = format!("stat@{beside}");
        let out = scene
            .sandbox()
            .profile_text(&format!("{BARE}[devices]\n{class} = true\n"))?
            .show_probe()
            .deeds([deed.as_str()])
            .run()?;
        out.succeeds()?;
        match there && Path::new(beside).exists() {
            true => out.answers(&[(deed.as_str(), "ok")])?,
            false => is_away(&out, beside),
        }
    }
    Ok(())
}

fn machine_in_sys(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--profile", "base"])
        .deeds([
            "list@/sys",
            "list@/sys/devices",
            "read@/sys/devices/system/cpu/online",
            "write@/sys/devices/system/cpu/online",
            "create@/sys/x",
            "stat@/sys/class",
            "stat@/sys/firmware",
            "stat@/sys/kernel/debug",
            "stat@/sys/kernel/security",
            "stat@/run/udev",
        ])
        .run()?;
    out.succeeds()?;
    let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
    out.answers(&[
        ("list@/sys", "[devices fs kernel]"),
        ("list@/sys/devices", "[system]"),
        (
            "read@/sys/devices/system/cpu/online",
            &format!("`{}\\n`", online.trim()),
        ),
        ("create@/sys/x", "EROFS"),
        ("stat@/sys/class", "ENOENT"),
        ("stat@/sys/firmware", "ENOENT"),
        ("stat@/sys/kernel/debug", "ENOENT"),
        ("stat@/sys/kernel/security", "ENOENT"),
        ("stat@/run/udev", "ENOENT"),
    ])?;
    assert_ne!(
        out.answer("write@/sys/devices/system/cpu/online"),
        "ok",
        "{out}"
    );
    Ok(())
}

/// Parts of /proc of which nothing is told.
const TOLD_TO_NOBODY: [&str; 12] = [
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "slabinfo",
    "softirqs",
    "timer_list",
    "vmallocinfo",
];

fn machine_in_proc(scene: &Scene) -> Outcome {
    let mut deeds: Vec<String> = TOLD_TO_NOBODY
        .iter()
        .map(|name| format!("read@/proc/{name}"))
        .collect();
    let read = [
        "meminfo",
        "stat",
        "cpuinfo",
        "self/status",
        "self/maps",
        "mounts",
        "loadavg",
    ];
    deeds.extend(read.iter().map(|name| format!("read@/proc/{name}")));
    let written = [
        "sys/kernel/core_pattern",
        "sysrq-trigger",
        "irq/default_smp_affinity",
    ];
    deeds.extend(written.iter().map(|name| format!("write@/proc/{name}")));
    for profile in ["base", "container"] {
        let out = scene
            .sandbox()
            .args(["--profile", profile])
            .deeds(&deeds)
            .run()?;
        out.succeeds()?;
        for name in TOLD_TO_NOBODY {
            let answer = out.answer(&format!("read@/proc/{name}"));
            let there = Path::new("/proc").join(name).exists();
            // Root inside may open what stands in its place, which is empty.
            let nothing = match there {
                true => ["EACCES", "``", "EPERM"].contains(&answer.as_str()),
                false => answer == "ENOENT",
            };
            assert!(nothing, "{profile}: /proc/{name}: {answer}");
        }
        for name in read {
            let answer = out.answer(&format!("read@/proc/{name}"));
            assert!(answer.len() > 10, "{profile}: /proc/{name}: {answer}");
        }
        for name in written {
            assert_ne!(out.answer(&format!("write@/proc/{name}")), "ok", "{out}");
        }
    }
    Ok(())
}

fn tools_that_read_proc(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--profile", "base"])
        .program(["sh", "-ec", "free; ps ax; nproc; cat /proc/uptime"])
        .run()?;
    out.succeeds()?;
    for text in ["Mem:", "ps ax"] {
        assert!(out.stdout().contains(text), "{out}");
    }
    assert_eq!(out.stderr(), "", "{out}");
    Ok(())
}

fn only_processes(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--profile", "base", "--set", "process.proc-subset=pid"])
        .deeds([
            "stat@/proc/meminfo",
            "stat@/proc/sys",
            "stat@/proc/self/status",
            "stat@/proc/1",
        ])
        .run()?;
    out.succeeds()?;
    out.answers(&[
        ("stat@/proc/meminfo", "ENOENT"),
        ("stat@/proc/sys", "ENOENT"),
        ("stat@/proc/self/status", "ok"),
        ("stat@/proc/1", "ok"),
    ])
}

fn processes_that_may_be_traced(scene: &Scene) -> Outcome {
    // Process 1 is ours, and lets nobody look into it.
    for (word, first) in [("default", "ok"), ("ptraceable", "ENOENT")] {
        let out = scene
            .sandbox()
            .args(["--profile", "base"])
            .args([format!("--set=process.protect-proc={word}")])
            .deeds(["stat@/proc/1", "stat@/proc/self"])
            .run()?;
        out.succeeds()?;
        out.answers(&[("stat@/proc/1", first), ("stat@/proc/self", "ok")])?;
    }
    Ok(())
}

fn without_an_own_proc(scene: &Scene) -> Outcome {
    for key in ["protect-proc = \"invisible\"", "proc-subset = \"pid\""] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[process]\n{key}\n"))?
            .program(["true"])
            .run()?;
        out.exits_with(125)?;
        out.complains("/proc is the caller's")?;
        out.complains("namespaces.pid = true")?;
    }
    Ok(())
}
