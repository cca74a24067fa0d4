//! Priorities, schedulers and sets of CPUs, and who may have which.

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::super::support::{Case, Need, Outcome, Sandbox, Scene, case};
use super::script;

pub fn cases() -> Vec<Case> {
    vec![
        case("umask_nice_oom", &[], umask_nice_oom),
        case("lower_nice", &[Need::OrdinaryUser], lower_nice),
        case("lower_oom_score", &[Need::OrdinaryUser], lower_oom_score),
        case("priorities", &[], priorities),
        case(
            "priorities_seen_from_outside",
            &[],
            priorities_seen_from_outside,
        ),
        case("real_time", &[Need::Root], real_time),
        case(
            "real_time_of_a_user",
            &[Need::OrdinaryUser],
            real_time_of_a_user,
        ),
        case("cpu_affinity", &[], cpu_affinity),
        case(
            "privileged_priorities_in_a_user_namespace",
            &[Need::Root, Need::UserNamespaces],
            privileged_priorities_in_a_user_namespace,
        ),
        case("priorities_that_cannot_be", &[], priorities_that_cannot_be),
        case(
            "priorities_that_may_fail",
            &[Need::OrdinaryUser],
            priorities_that_may_fail,
        ),
        case(
            "limits_that_forbid_raising",
            &[],
            limits_that_forbid_raising,
        ),
        case(
            "limits_that_allow_raising",
            &[Need::Capability("sys_resource")],
            limits_that_allow_raising,
        ),
        case("realtime_time_holds", &[Need::Root], realtime_time_holds),
    ]
}

fn umask_nice_oom(scene: &Scene) -> Outcome {
    let all = "umask; nice; cat /proc/self/oom_score_adj";
    let out = script(
        scene,
        "[process]\numask = \"0127\"\nnice = 7\noom-score-adjust = 432\n",
        all,
    )?;
    out.succeeds()?.prints("0127\n7\n432")?;
    for (rule, place) in [
        ("umask = \"0999\"", ":2:9"),
        ("nice = 20", ":2:8"),
        ("oom-score-adjust = 1001", ":2:20"),
        ("timeout = \"soon\"", ":2:11"),
        ("io-priority = \"best-effort\"", ":2:15"),
        ("io-priority = 3", ":2:15"),
        ("scheduler = \"fifo:0\"", ":2:13"),
        ("cpu-affinity = 0", ":2:16"),
        ("cpu-affinity = \"3-0\"", ":2:16"),
        ("terminl = \"new\"", ":2:1"),
    ] {
        let out = script(scene, &format!("[process]\n{rule}\n"), "echo was run")?;
        out.exits_with(2)?.prints("")?;
        out.complains(&format!("profile-1.toml{place}"))?;
    }
    let out = script(scene, "[limits]\nkernel-memory = \"1G\"\n", "echo was run")?;
    out.exits_with(2)?.prints("")?;
    out.complains("kernel memory counts towards `memory`")
}

fn lower_nice(scene: &Scene) -> Outcome {
    let out = script(scene, "[process]\nnice = -19\n", "echo was run")?;
    out.exits_with(125)?.prints("")?;
    out.complains("CAP_SYS_NICE")?;
    out.complains("limits.conf")?;
    out.complains("profile-1.toml:2:")
}

fn lower_oom_score(scene: &Scene) -> Outcome {
    let out = script(
        scene,
        "[process]\noom-score-adjust = -900\n",
        "echo was run",
    )?;
    out.exits_with(125)?.prints("")?;
    out.complains("CAP_SYS_RESOURCE")?;
    out.complains("/proc/self/oom_score_adj")?;
    out.complains("profile-1.toml:2:")
}

/// What the program finds: ioprio_get answers class << 13 | level, sched_getscheduler the number of the policy.
fn priorities(scene: &Scene) -> Outcome {
    let table = [
        ("io-priority = \"idle\"", "call@ioprio_get@1@0", "= 24576"),
        (
            "io-priority = \"best-effort:0\"",
            "call@ioprio_get@1@0",
            "= 16384",
        ),
        (
            "io-priority = \"best-effort:7\"",
            "call@ioprio_get@1@0",
            "= 16391",
        ),
        ("scheduler = \"other\"", "call@sched_getscheduler@0", "= 0"),
        ("scheduler = \"batch\"", "call@sched_getscheduler@0", "= 3"),
        ("scheduler = \"idle\"", "call@sched_getscheduler@0", "= 5"),
    ];
    for (rule, deed, value) in table {
        for more in [
            "",
            "[namespaces]\npid = true\n[capabilities]\ndefault = \"drop\"\n",
        ] {
            if !more.is_empty() && scene.host.no_userns.is_some() {
                continue;
            }
            let out = scene
                .sandbox()
                .profile_text(&format!("[process]\n{rule}\n{more}"))?
                .deeds([deed])
                .run()?;
            out.succeeds()?;
            out.answers(&[(deed, value)])?;
        }
    }
    Ok(())
}

/// A field of /proc/PID/stat, by its number in proc_pid_stat(5).
fn stat_field(pid: Pid, number: usize) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = rest.split_whitespace().nth(number.saturating_sub(3));
    field.unwrap_or_default().to_owned()
}

fn io_priority_of(pid: Pid) -> libc::c_long {
    // SAFETY: plain integers.
    unsafe { libc::syscall(libc::SYS_ioprio_get, 1, pid.as_raw()) }
}

fn allowed_cpus(pid: Pid) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_owned()
}

fn priorities_seen_from_outside(scene: &Scene) -> Outcome {
    let cpu = first_cpu();
    let mut run = scene
        .sandbox()
        .profile_text(&format!(
            "[process]\nnice = 11\nio-priority = \"best-effort:6\"\nscheduler = \"batch\"\ncpu-affinity = \"{cpu}\"\n"
        ))?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let inside = *run.descendants().last().ok_or("no process")?;
    let found = (
        stat_field(inside, 19),
        io_priority_of(inside),
        stat_field(inside, 41),
        allowed_cpus(inside),
    );
    // The launcher stays as it was.
    let own = (stat_field(run.pid(), 41), io_priority_of(run.pid()));
    run.signal(Signal::SIGTERM)?;
    run.wait()?;
    assert_eq!(found, ("11".to_owned(), 16390, "3".to_owned(), cpu));
    assert_ne!(own, ("3".to_owned(), 16390));
    Ok(())
}

/// The first CPU that we may run on.
fn first_cpu() -> String {
    let all = allowed_cpus(Pid::this());
    all.split([',', '-']).next().unwrap_or("0").to_owned()
}

/// Whether real time is shared out by control groups here, and the group that we are in has none.
fn is_out_of_real_time() -> bool {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers
            .split(',')
            .any(|name| name == "cpu")
            .then(|| path.to_owned())
    });
    let file = format!(
        "/sys/fs/cgroup/cpu{}/cpu.rt_runtime_us",
        own.unwrap_or_default()
    );
    fs::read_to_string(file).is_ok_and(|text| text.trim() == "0")
}

fn real_time(scene: &Scene) -> Outcome {
    for (rule, deed, value) in [
        (
            "io-priority = \"realtime:2\"",
            "call@ioprio_get@1@0",
            "= 8194",
        ),
        ("scheduler = \"fifo:7\"", "call@sched_getscheduler@0", "= 1"),
        (
            "scheduler = \"round-robin:99\"",
            "call@sched_getscheduler@0",
            "= 2",
        ),
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[process]\n{rule}\n"))?
            .deeds([deed])
            .run()?;
        if rule.starts_with("scheduler") && is_out_of_real_time() {
            out.exits_with(125)?;
            out.complains("cpu.rt_runtime_us")?;
            continue;
        }
        out.succeeds()?;
        out.answers(&[(deed, value)])?;
    }
    // A new group of cgroup v1 has no time for it where groups share it out.
    let out = script(
        scene,
        "[process]\nscheduler = \"fifo:7\"\n[limits]\ncpu = \"50%\"\n",
        "echo was run",
    )?;
    let shared_out = fs::exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")?;
    if shared_out && out.code() != 0 {
        out.exits_with(125)?.prints("")?;
        out.complains("EPERM")?;
        out.complains("cpu.rt_runtime_us")?;
        return out.complains("profile-1.toml:2:");
    }
    out.succeeds()?.prints("was run")
}

fn real_time_of_a_user(scene: &Scene) -> Outcome {
    for (rule, helps) in [
        ("io-priority = \"realtime:2\"", "best-effort:0"),
        ("scheduler = \"fifo:7\"", "rtprio"),
        ("scheduler = \"round-robin:1\"", "RLIMIT_RTPRIO"),
    ] {
        let out = script(scene, &format!("[process]\n{rule}\n"), "echo was run")?;
        out.exits_with(125)?.prints("")?;
        out.complains("EPERM")?;
        out.complains("CAP_SYS_NICE")?;
        out.complains(helps)?;
        out.complains("profile-1.toml:2:")?;
    }
    Ok(())
}

fn cpu_affinity(scene: &Scene) -> Outcome {
    let cpu = first_cpu();
    let deed = "status@Cpus_allowed_list";
    let out = scene
        .sandbox()
        .profile_text(&format!("[process]\ncpu-affinity = \"{cpu}\"\n"))?
        .deeds([deed])
        .run()?;
    out.succeeds()?;
    out.answers(&[(deed, cpu.as_str())])?;
    // One that is not there is not passed over in silence, beside one that is.
    for list in ["8191".to_owned(), format!("{cpu},8191")] {
        let out = script(
            scene,
            &format!("[process]\ncpu-affinity = \"{list}\"\n"),
            "echo was run",
        )?;
        out.exits_with(125)?.prints("")?;
        out.complains("EINVAL")?;
        out.complains("Cpus_allowed_list")?;
        out.complains("profile-1.toml:2:")?;
    }
    // With a warning it may be.
    let out = script(
        scene,
        "degrade = [\"process.cpu-affinity\"]\n[process]\ncpu-affinity = \"8191\"\n",
        "echo was run",
    )?;
    out.succeeds()?.prints("was run")?;
    out.complains("not done: bind it to the CPUs 8191")
}

/// Root of the host may raise priorities also for a program in a user namespace, where it has no such privilege itself.
fn privileged_priorities_in_a_user_namespace(scene: &Scene) -> Outcome {
    let deeds = [
        "call@getpriority@0@0",
        "call@ioprio_get@1@0",
        "call@setpriority@0@0@-10",
    ];
    let out = scene
        .sandbox()
        .profile_text(
            "[namespaces]\nuser = true\n[process]\nnice = -5\nio-priority = \"realtime:7\"\n\
             [limits]\nnice-limit = 19\n",
        )?
        .deeds(deeds)
        .run()?;
    out.succeeds()?;
    // The call answers 20 - nice. Inside it cannot go further.
    out.answers(&[
        (deeds[0], "= 25"),
        (deeds[1], "= 8199"),
        (deeds[2], "EACCES"),
    ])
}

/// A sandbox in one whose filter forbids to set the I/O priority.
fn behind_a_filter(scene: &Scene) -> Sandbox<'_> {
    scene.sandbox().behind([
        super::super::support::binary("sandbox").into_os_string(),
        "--no-profile".into(),
        "--set".into(),
        "syscalls.ioprio_set=deny".into(),
        "--".into(),
    ])
}

fn priorities_that_cannot_be(scene: &Scene) -> Outcome {
    // What loosens is no rule that may be dropped.
    let out = script(
        scene,
        "degrade = [\"process.nice\"]\n[process]\nnice = 5\n",
        "echo was run",
    )?;
    out.exits_with(2)?.prints("")?;
    // A filter of an outer sandbox says no: the rule is named.
    let out = behind_a_filter(scene)
        .profile_text("[process]\nio-priority = \"idle\"\n")?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("outer sandbox")?;
    out.complains("profile-1.toml:2:")
}

fn priorities_that_may_fail(scene: &Scene) -> Outcome {
    let out = behind_a_filter(scene)
        .profile_text(
            "degrade = [\"process.io-priority\", \"process.scheduler\"]\n[process]\nio-priority = \"idle\"\n",
        )?
        .program(["echo", "was run"])
        .run()?;
    out.succeeds()?.prints("was run")?;
    out.complains("not done: set the I/O priority to idle")?;
    // Real time does more than add strictness.
    let out = script(
        scene,
        "degrade = [\"process.scheduler\"]\n[process]\nscheduler = \"fifo:3\"\n",
        "echo was run",
    )?;
    out.exits_with(125)?.prints("")
}

fn limits_that_forbid_raising(scene: &Scene) -> Outcome {
    let deeds = ["limit@Max nice priority", "call@setpriority@0@0@-3"];
    let out = scene
        .sandbox()
        .profile_text("[capabilities]\ndefault = \"drop\"\n[limits]\nnice-limit = 19\n")?
        .deeds(deeds)
        .run()?;
    out.succeeds()?;
    out.answers(&[(deeds[0], "0 0"), (deeds[1], "EACCES")])
}

fn limits_that_allow_raising(scene: &Scene) -> Outcome {
    let deeds = [
        "limit@Max nice priority",
        "call@setpriority@0@0@-3",
        "call@setpriority@0@0@-4",
    ];
    let out = scene
        .sandbox()
        .profile_text("[capabilities]\ndefault = \"drop\"\n[limits]\nnice-limit = -3\n")?
        .deeds(deeds)
        .run()?;
    out.succeeds()?;
    out.answers(&[(deeds[0], "23 23"), (deeds[1], "= 0"), (deeds[2], "EACCES")])
}

/// Who computes in real time without waiting is killed.
fn realtime_time_holds(scene: &Scene) -> Outcome {
    if is_out_of_real_time() {
        println!("SKIPPED process::realtime_time_holds: our control group has no real time");
        return Ok(());
    }
    let out = scene
        .sandbox()
        .profile_text("[process]\nscheduler = \"fifo:1\"\n[limits]\nrealtime-time = \"100ms\"\n")?
        .probe(["burn", "20"])
        .run()?;
    out.exits_with(137)?;
    Ok(())
}
