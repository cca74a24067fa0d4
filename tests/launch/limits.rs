//! `[limits]` held by control groups: what is written, what strikes, and what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Scene, case};

const LIMITS: &[Need] = &[Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("written", LIMITS, written),
        case(
            "cpu_written",
            &[Need::Limits, Need::Controller("cpu")],
            cpu_written,
        ),
        case(
            "swap_written",
            &[Need::Limits, Need::SwapLimit],
            swap_written,
        ),
        case("soft_written", &[Need::Root, Need::CgroupV1], soft_written),
        case("part_of_memory", LIMITS, part_of_memory),
        case("by_options", LIMITS, by_options),
        case("memory_strikes", LIMITS, memory_strikes),
        case("memory_of_all_children", LIMITS, memory_of_all_children),
        case("memory_below_the_limit", LIMITS, memory_below_the_limit),
        case(
            "swap_strikes",
            &[Need::Limits, Need::Swap, Need::SwapLimit],
            swap_strikes,
        ),
        case("fork_bomb", LIMITS, fork_bomb),
        case(
            "cpu_is_held_back",
            &[Need::Limits, Need::Controller("cpu")],
            cpu_is_held_back,
        ),
        case(
            "from_the_first_instruction",
            LIMITS,
            from_the_first_instruction,
        ),
        case("nothing_is_left", LIMITS, nothing_is_left),
        case("swept_after_a_kill", LIMITS, swept_after_a_kill),
        case("ends_with_the_group", LIMITS, ends_with_the_group),
        case("no_group_without_limits", &[], no_group_without_limits),
        case("out_of_reach_inside", LIMITS, out_of_reach_inside),
        case(
            "scope_of_the_manager",
            &[Need::SystemdUser, Need::CgroupV2],
            scope_of_the_manager,
        ),
        case("many_at_once", LIMITS, many_at_once),
        case("refused", &[Need::OrdinaryUser], refused),
        case("report", LIMITS, report),
        case("mistakes", &[], mistakes),
        case(
            "failed_start_leaves_nothing",
            LIMITS,
            failed_start_leaves_nothing,
        ),
    ]
}

/// Starts `sleep` and waits until it runs; its process id outside.
pub(super) fn sleeping(
    scene: &Scene,
    profile: &str,
) -> Result<(Running, Pid), Box<dyn std::error::Error>> {
    let mut run = scene
        .sandbox()
        .profile_text(profile)?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for pid in run.descendants() {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name == "sleep\n" {
                return Ok((run, pid));
            }
        }
        if Instant::now() > deadline {
            return Err("`sleep` is not found".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn end(run: Running) -> Outcome {
    run.signal(Signal::SIGTERM)?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

/// The group of a process that holds a controller, as the host sees it.
pub(super) fn group(
    scene: &Scene,
    pid: Pid,
    controller: &str,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let (mount, wanted) = match (scene.host.v1_mount(controller), &scene.host.v2) {
        (Some(mount), _) => (mount.to_owned(), controller),
        (None, Some((mount, _))) => (mount.clone(), ""),
        (None, None) => return Err("no hierarchy".into()),
    };
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (fields.next(), fields.next())
            && controllers.split(',').any(|name| name == wanted)
        {
            return Ok(mount.join(path.trim_start_matches('/')));
        }
    }
    Err(format!("`{controller}` is not in\n{groups}").into())
}

/// What a limit's file says: `v1` and `v2` are its names.
pub(super) fn value(
    scene: &Scene,
    pid: Pid,
    controller: &str,
    v1: &str,
    v2: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let file = if scene.host.v1_mount(controller).is_some() {
        v1
    } else {
        v2
    };
    let path = group(scene, pid, controller)?.join(file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn is_v1(scene: &Scene, controller: &str) -> bool {
    scene.host.v1_mount(controller).is_some()
}

fn written(scene: &Scene) -> Outcome {
    for extra in ["", "[namespaces]\npid = true\ncgroup = true\n"] {
        if !extra.is_empty() && scene.host.no_userns.is_some() {
            continue;
        }
        let (run, pid) = sleeping(
            scene,
            &format!("[limits]\nmemory = \"64M\"\npids = 33\n{extra}"),
        )?;
        let memory = value(scene, pid, "memory", "memory.limit_in_bytes", "memory.max");
        let pids = value(scene, pid, "pids", "pids.max", "pids.max");
        end(run)?;
        assert_eq!(memory?, "67108864");
        assert_eq!(pids?, "33");
    }
    Ok(())
}

fn cpu_written(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\ncpu = \"50%\"\ncpu-weight = 50\n")?;
    let quota = value(scene, pid, "cpu", "cpu.cfs_quota_us", "cpu.max");
    let weight = value(scene, pid, "cpu", "cpu.shares", "cpu.weight");
    end(run)?;
    let v1 = is_v1(scene, "cpu");
    assert_eq!(quota?, if v1 { "50000" } else { "50000 100000" });
    assert_eq!(weight?, if v1 { "512" } else { "50" });
    Ok(())
}

fn swap_written(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\nmemory = \"64M\"\nswap = \"32M\"\n")?;
    let swap = value(
        scene,
        pid,
        "memory",
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
    );
    end(run)?;
    // v1 counts the sum.
    let expected = if is_v1(scene, "memory") {
        96 << 20
    } else {
        32 << 20
    };
    assert_eq!(swap?, expected.to_string());
    let (run, pid) = sleeping(scene, "[limits]\nmemory = \"64M\"\nswap = 0\n")?;
    let swap = value(
        scene,
        pid,
        "memory",
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
    );
    end(run)?;
    assert_eq!(
        swap?,
        if is_v1(scene, "memory") {
            (64 << 20).to_string()
        } else {
            "0".to_owned()
        }
    );
    Ok(())
}

fn soft_written(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\nmemory = \"64M\"\nmemory-soft = \"16M\"\n")?;
    let soft = value(scene, pid, "memory", "memory.soft_limit_in_bytes", "");
    end(run)?;
    assert_eq!(soft?, (16 << 20).to_string());
    Ok(())
}

fn part_of_memory(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\nmemory = \"25%\"\n")?;
    let memory = value(scene, pid, "memory", "memory.limit_in_bytes", "memory.max");
    end(run)?;
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no MemTotal")?;
    let quarter = total.parse::<u64>()? * 1024 / 4;
    let memory: u64 = memory?.parse()?;
    assert!(memory.abs_diff(quarter) < 1 << 16, "{memory} of {quarter}");
    Ok(())
}

fn by_options(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"1G\"\npids = 500\n")?
        .args(["--memory", "48M", "--pids", "22"])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    std::thread::sleep(Duration::from_millis(if scene.host.is_virtual() {
        1000
    } else {
        100
    }));
    let pid = run.descendants().into_iter().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let pid = pid.ok_or("no `sleep`")?;
    let memory = value(scene, pid, "memory", "memory.limit_in_bytes", "memory.max");
    let pids = value(scene, pid, "pids", "pids.max", "pids.max");
    end(run)?;
    assert_eq!(memory?, (48 << 20).to_string());
    assert_eq!(pids?, "22");
    Ok(())
}

/// `swap = 0` where that can be said, so that memory means memory.
fn without_swap(scene: &Scene) -> &'static str {
    if scene.host.lacks(&Need::SwapLimit).is_none() {
        "swap = 0\n"
    } else {
        ""
    }
}

fn memory_strikes(scene: &Scene) -> Outcome {
    if scene.host.swap > 0 && without_swap(scene).is_empty() {
        return Ok(()); // it would be swapped out instead
    }
    for kind in ["anon", "memfd"] {
        for extra in ["", "[namespaces]\npid = true\n"] {
            if !extra.is_empty() && scene.host.no_userns.is_some() {
                continue;
            }
            let swap = without_swap(scene);
            let out = scene
                .sandbox()
                .profile_text(&format!("[limits]\nmemory = \"48M\"\n{swap}{extra}"))?
                .probe(["memory-hog", "314572800", kind])
                .run()?;
            out.exits_with(137)?;
            assert!(!out.stdout().contains("held"), "{out}");
            out.complains("killed 1 process")?;
            out.complains("48.0 MiB")?;
            out.complains("limits.memory")?;
            out.complains("profile-1.toml:2:")?;
            out.complains("peak")?;
        }
    }
    Ok(())
}

/// Eight children, each of which stays below the limit.
fn memory_of_all_children(scene: &Scene) -> Outcome {
    if scene.host.swap > 0 && without_swap(scene).is_empty() {
        return Ok(());
    }
    let seconds = if scene.host.is_virtual() { "15" } else { "3" };
    let own = std::env::current_exe()?.display().to_string();
    let out = scene
        .sandbox()
        .profile_text(&format!(
            "[limits]\nmemory = \"64M\"\n{}",
            without_swap(scene)
        ))?
        .program([
            "sh",
            "-c",
            "for i in 1 2 3 4 5 6 7 8; do \"$0\" probe memory-hog 20971520 anon $1 >&2 && echo survived & done; wait",
            &own,
            seconds,
        ])
        .run()?;
    let survived = out.stdout().matches("survived").count();
    assert!(survived <= 3, "{survived} of 8 kept 20 MiB each\n{out}");
    out.complains("at the memory limit of 64.0 MiB")
}

fn memory_below_the_limit(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"128M\"\n")?
        .probe(["memory-hog", "33554432", "anon"])
        .run()?;
    out.succeeds()?.prints("held 33554432")?;
    assert_eq!(out.stderr(), "", "{out}");
    Ok(())
}

fn swap_strikes(scene: &Scene) -> Outcome {
    let run = |swap: &str| {
        scene
            .sandbox()
            .profile_text(&format!("[limits]\nmemory = \"32M\"\nswap = \"{swap}\"\n"))?
            .probe(["memory-hog", "67108864", "anon"])
            .run()
    };
    run("16M")?
        .exits_with(137)?
        .complains("at the memory limit")?;
    if scene.host.swap > 200 << 20 {
        run("128M")?.succeeds()?.prints("held 67108864")?;
    }
    Ok(())
}

fn fork_bomb(scene: &Scene) -> Outcome {
    let seconds = if scene.host.is_virtual() { "20" } else { "1" };
    for extra in ["", "[namespaces]\npid = true\n"] {
        if !extra.is_empty() && scene.host.no_userns.is_some() {
            continue;
        }
        let out = scene
            .sandbox()
            .profile_text(&format!("[limits]\npids = 20\n{extra}"))?
            .probe(["fork-bomb", seconds, "60"])
            .run()?;
        out.succeeds()?;
        let text = out.stdout();
        let words: Vec<&str> = text.split_whitespace().collect();
        let &["forked", forked, "refused", refused] = words.as_slice() else {
            return Err(out.to_string().into());
        };
        let forked: u32 = forked.parse()?;
        // The probe itself counts, and process 1 where there is one.
        assert!((15..20).contains(&forked), "{out}");
        assert_ne!(refused, "0", "{out}");
        out.complains("refused at the limit of 20")?;
        out.complains("profile-1.toml:2:")?;
    }
    Ok(())
}

fn cpu_is_held_back(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\ncpu = \"10%\"\n")?
        .args(["--json"])
        .probe(["burn", if scene.host.is_virtual() { "4" } else { "1" }])
        .run()?;
    out.succeeds()?;
    let report: serde_json::Value = serde_json::from_str(&out.stderr())?;
    let usage = &report["usage"];
    assert!(
        usage["throttled_usec"]
            .as_u64()
            .is_some_and(|time| time > 0),
        "{report}"
    );
    if !scene.host.is_virtual() {
        let used = out
            .stdout()
            .trim()
            .trim_start_matches("cpu-ms ")
            .parse::<u64>()?;
        assert!(
            used < 500,
            "a tenth of a second of each, but {used} ms of one second"
        );
    }
    Ok(())
}

fn from_the_first_instruction(scene: &Scene) -> Outcome {
    let controller = "pids";
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"256M\"\npids = 40\n")?
        .program(["cat", "/proc/self/cgroup"])
        .run()?;
    out.succeeds()?;
    let wanted = if is_v1(scene, controller) {
        controller
    } else {
        ""
    };
    let text = out.stdout();
    let line = text.lines().find(|line| {
        let controllers = line.split(':').nth(1).unwrap_or("-");
        controllers.split(',').any(|name| name == wanted)
    });
    assert!(line.is_some_and(|line| line.contains("sandbox-")), "{out}");
    // In a control group namespace of its own it is the root.
    if scene.host.no_userns.is_none() {
        let out = scene
            .sandbox()
            .profile_text("[limits]\npids = 40\n[namespaces]\ncgroup = true\n")?
            .program(["cat", "/proc/self/cgroup"])
            .run()?;
        out.succeeds()?;
        let wanted = format!(":{wanted}:/");
        assert!(
            out.stdout().lines().any(|line| line.ends_with(&wanted)),
            "{out}"
        );
    }
    Ok(())
}

fn nothing_is_left(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\nmemory = \"64M\"\npids = 33\n")?;
    let memory = group(scene, pid, "memory")?;
    let pids = group(scene, pid, "pids")?;
    assert!(memory.is_dir() && pids.is_dir());
    end(run)?;
    assert!(
        !memory.exists() && !pids.exists(),
        "{} is left",
        memory.display()
    );
    Ok(())
}

fn wait_until_gone(path: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while path.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    !path.exists()
}

fn swept_after_a_kill(scene: &Scene) -> Outcome {
    for extra in ["", "[namespaces]\npid = true\n"] {
        if !extra.is_empty() && scene.host.no_userns.is_some() {
            continue;
        }
        let profile = format!("[limits]\nmemory = \"64M\"\npids = 33\n{extra}");
        let (run, pid) = sleeping(scene, &profile)?;
        let left = group(scene, pid, "memory")?;
        run.signal(Signal::SIGKILL)?;
        run.wait()?.exits_with(137)?;
        std::thread::sleep(Duration::from_millis(200));
        let out = scene
            .sandbox()
            .profile_text(&profile)?
            .program(["echo", "next"])
            .run()?;
        out.succeeds()?.prints("next")?;
        assert!(wait_until_gone(&left), "{} is left", left.display());
    }
    Ok(())
}

/// What the program leaves running ends with the group, without a pid namespace too.
fn ends_with_the_group(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\npids = 33\n")?
        .program([
            "sh",
            "-c",
            "setsid sleep 500 </dev/null >/dev/null 2>&1 & echo $!",
        ])
        .run()?;
    out.succeeds()?;
    let pid = out.stdout().trim().to_owned();
    let deadline = Instant::now() + Duration::from_secs(3);
    let alive =
        || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while alive() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!alive(), "process {pid} lives on");
    Ok(())
}

fn no_group_without_limits(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\nopen-files = 100\n")?
        .program(["cat", "/proc/self/cgroup"])
        .run()?;
    out.succeeds()?;
    assert_eq!(
        out.stdout(),
        fs::read_to_string("/proc/self/cgroup")?,
        "{out}"
    );
    Ok(())
}

/// The limit cannot be raised, nor the group be left, from inside.
fn out_of_reach_inside(scene: &Scene) -> Outcome {
    if scene.host.no_userns.is_some() {
        return Ok(());
    }
    // The view that strict profiles have: nothing of the host is writable.
    let profile =
        "[limits]\npids = 33\n[namespaces]\nuser = true\n[filesystem]\n\"/\" = \"read-only\"\n";
    let (run, pid) = sleeping(scene, profile)?;
    let group = group(scene, pid, "pids");
    end(run)?;
    let group = group?;
    let above = group
        .parent()
        .ok_or("no group above")?
        .display()
        .to_string();
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .program([
            "sh",
            "-c",
            "for f in \"$0\"/pids.max \"$0\"/cgroup.procs \"$0\"/*/pids.max \"$0\"/*/cgroup.procs; do \
             (echo 0 >\"$f\") 2>/dev/null && echo \"wrote $f\"; done; echo tried",
            &above,
        ])
        .run()?;
    out.succeeds()?.prints("tried")
}

fn scope_of_the_manager(scene: &Scene) -> Outcome {
    let (run, pid) = sleeping(scene, "[limits]\nmemory = \"64M\"\npids = 33\n")?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let memory = value(scene, pid, "memory", "", "memory.max");
    end(run)?;
    let groups = groups?;
    let scope = groups
        .split('/')
        .find(|part| part.starts_with("app-sandbox-") && part.ends_with(".scope"));
    assert!(scope.is_some(), "{groups}");
    let slice = if scene.host.is_root() {
        "/system.slice/"
    } else {
        "/app.slice/"
    };
    assert!(groups.contains(slice), "{groups}");
    assert_eq!(memory?, "67108864");
    Ok(())
}

fn many_at_once(scene: &Scene) -> Outcome {
    let count = 20;
    let mut running = Vec::new();
    let profile = scene.write("many.toml", "[limits]\nmemory = \"64M\"\npids = 30\n")?;
    for number in 0..count {
        running.push(
            scene
                .sandbox()
                .args(["--profile".into(), profile.clone().into_os_string()])
                .program([
                    "sh",
                    "-c",
                    "cat /proc/self/cgroup; sleep 1; echo end $0",
                    &number.to_string(),
                ])
                .limit(Duration::from_secs(if scene.host.is_virtual() {
                    400
                } else {
                    60
                }))
                .spawn()?,
        );
    }
    let mut groups = std::collections::BTreeSet::new();
    for (number, run) in running.into_iter().enumerate() {
        let out = run.wait()?;
        out.succeeds()?;
        assert!(out.stdout().ends_with(&format!("end {number}\n")), "{out}");
        let text = out.stdout();
        let line = text.lines().find(|line| line.contains("sandbox-"));
        groups.insert(line.ok_or_else(|| out.to_string())?.to_owned());
    }
    assert_eq!(groups.len(), count, "groups are shared");
    Ok(())
}

fn refused(scene: &Scene) -> Outcome {
    if scene.host.lacks(&Need::Limits).is_none() {
        return Ok(()); // here they can be had
    }
    let profile = "[limits]\nmemory = \"64M\"\npids = 33\n";
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    // One cause is told once, with both places.
    for text in [
        "`limits.memory`, `limits.pids` cannot be applied",
        "profile-1.toml:2:",
        "2 | memory",
        "3 | pids",
    ] {
        out.complains(text)?;
    }
    if !scene.host.systemd {
        out.complains("sandboxctl delegate")?;
    }
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .args(["--best-effort"])
        .program(["echo", "was run"])
        .run()?;
    out.succeeds()?.prints("was run")?;
    out.complains("warning")?;
    out.complains("limits.memory")?;
    let out = scene
        .sandbox()
        .profile_text(&format!(
            "degrade = [\"limits.memory\", \"limits.pids\"]\n{profile}"
        ))?
        .program(["echo", "was run"])
        .run()?;
    out.succeeds()?.prints("was run")?;
    out.complains("warning")
}

fn report(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"256M\"\npids = 40\n")?
        .args(["--json"])
        .program(["sh", "-c", "exit 3"])
        .run()?;
    out.exits_with(3)?;
    let report: serde_json::Value = serde_json::from_str(&out.stderr())?;
    assert_eq!(report["status"], 3, "{report}");
    assert!(
        report["usage"]["memory_peak"]
            .as_u64()
            .is_none_or(|peak| peak > 4096),
        "{report}"
    );
    assert!(
        report["limits"]["memory"]["origin"]
            .as_str()
            .is_some_and(|o| o.contains("profile-1.toml:2")),
        "{report}"
    );
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"256M\"\npids = 40\n")?
        .args(["--report"])
        .program(["true"])
        .run()?;
    out.succeeds()?;
    out.complains("exit status 0")?;
    out.complains("of 256.0 MiB")
}

fn mistakes(scene: &Scene) -> Outcome {
    for (rule, place) in [
        ("memory = \"lots\"", ":2:10"),
        ("memory = -1", ":2:10"),
        ("memory = \"1 GB of it\"", ":2:10"),
        ("memory = \"99999999999999T\"", ":2:10"),
        ("memory = \"101%\"", ":2:10"),
        ("memory = 1.5", ":2:10"),
        ("memory = []", ":2:10"),
        ("pids = \"many\"", ":2:8"),
        ("pids = 1.5", ":2:8"),
        ("cpu = \"0%\"", ":2:7"),
        ("cpu-weight = 0", ":2:14"),
        ("cpu-weight = 10001", ":2:14"),
        ("memry = \"1G\"", ":2:1"),
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[limits]\n{rule}\n"))?
            .program(["echo", "was run"])
            .run()?;
        out.exits_with(2)
            .map_err(|error| format!("{rule}: {error}"))?
            .prints("")?;
        out.complains(&format!("profile-1.toml{place}"))?;
    }
    Ok(())
}

fn failed_start_leaves_nothing(scene: &Scene) -> Outcome {
    for (program, status) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let out = scene
            .sandbox()
            .profile_text("[limits]\npids = 33\n")?
            .program([program])
            .run()?;
        out.exits_with(status)?;
    }
    Ok(())
}
