//! `[process]`, `[environment]`, resource limits, and what a process inherits or must not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

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
        case("resource_limits", &[], resource_limits),
        case(
            "raised_resource_limit",
            &[Need::OrdinaryUser],
            raised_resource_limit,
        ),
        case("timeout", &[], timeout),
        case("timeout_of_the_deaf", USERNS, timeout_of_the_deaf),
        case("dies_with_the_launcher", USERNS, dies_with_the_launcher),
        case("killed_while_starting", USERNS, killed_while_starting),
        case("outlives_when_asked", &[], outlives_when_asked),
        case("first_process_killed", USERNS, first_process_killed),
        case("descriptors", &[], descriptors),
        case("closed_streams", USERNS, closed_streams),
        case("environment_passed", &[], environment_passed),
        case("environment_clean", &[], environment_clean),
        case("environment_patterns", &[], environment_patterns),
        case("environment_options", &[], environment_options),
        case(
            "path_inside_finds_the_program",
            &[],
            path_inside_finds_the_program,
        ),
        case("session_keyring", &[], session_keyring),
        case(
            "first_process_tells_nothing",
            USERNS,
            first_process_tells_nothing,
        ),
        case(
            "first_process_holds_nothing",
            USERNS,
            first_process_holds_nothing,
        ),
        case("launcher_is_out_of_reach", USERNS, launcher_is_out_of_reach),
        case("signals_start_fresh", USERNS, signals_start_fresh),
        case("standard_input", USERNS, standard_input),
        case("arguments_as_given", &[], arguments_as_given),
    ]
}

/// Runs a shell script under a profile.
fn script(scene: &Scene, profile: &str, text: &str) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(profile)?
        .program(["sh", "-c", text])
        .run()
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

fn priorities_that_cannot_be(scene: &Scene) -> Outcome {
    // What loosens is no rule that may be dropped.
    let out = script(
        scene,
        "degrade = [\"process.nice\"]\n[process]\nnice = 5\n",
        "echo was run",
    )?;
    out.exits_with(2)?.prints("")?;
    // A filter of an outer sandbox says no: the rule is named.
    let out = scene
        .sandbox()
        .behind([
            super::support::binary("sandbox").into_os_string(),
            "--no-profile".into(),
            "--set".into(),
            "syscalls.ioprio_set=deny".into(),
            "--".into(),
        ])
        .profile_text("[process]\nio-priority = \"idle\"\n")?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("outer sandbox")?;
    out.complains("profile-1.toml:2:")
}

fn priorities_that_may_fail(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .behind([
            super::support::binary("sandbox").into_os_string(),
            "--no-profile".into(),
            "--set".into(),
            "syscalls.ioprio_set=deny".into(),
            "--".into(),
        ])
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

fn resource_limits(scene: &Scene) -> Outcome {
    let table = [
        ("open-files = 200", "Max open files", "200 200"),
        ("processes = 300", "Max processes", "300 300"),
        ("core-size = 0", "Max core file size", "0 0"),
        ("core-size = 1", "Max core file size", "1 1"),
        ("file-size = \"1M\"", "Max file size", "1048576 1048576"),
        (
            "address-space = \"4G\"",
            "Max address space",
            "4294967296 4294967296",
        ),
        (
            "data-size = \"1G\"",
            "Max data size",
            "1073741824 1073741824",
        ),
        ("stack-size = \"4M\"", "Max stack size", "4194304 4194304"),
        (
            "locked-memory = \"32K\"",
            "Max locked memory",
            "32768 32768",
        ),
        ("cpu-time = \"10m\"", "Max cpu time", "600 600"),
        ("pending-signals = 100", "Max pending signals", "100 100"),
        (
            "message-queues = \"400K\"",
            "Max msgqueue size",
            "409600 409600",
        ),
        ("realtime-priority = 0", "Max realtime priority", "0 0"),
        (
            "realtime-time = \"200ms\"",
            "Max realtime timeout",
            "200000 200000",
        ),
        ("nice-limit = 19", "Max nice priority", "0 0"),
    ];
    for (rule, name, value) in table {
        let deed = format!("limit@{name}");
        let out = scene
            .sandbox()
            .profile_text(&format!("[limits]\n{rule}\n"))?
            .deeds([&deed])
            .run()?;
        out.succeeds()?;
        out.answers(&[(deed, value)])?;
    }
    // It holds: a file of two MiB ends with SIGXFSZ.
    let out = script(
        scene,
        "[limits]\nfile-size = \"1M\"\n",
        "dd if=/dev/zero of=\"$HOME/big\" bs=1024k count=2 2>/dev/null; echo $?",
    )?;
    assert_ne!(out.stdout(), "0\n", "{out}");
    assert!(fs::metadata(scene.home().join("big"))?.size() <= 1 << 20);
    Ok(())
}

fn raised_resource_limit(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .behind(["sh", "-c", "ulimit -n 500; exec \"$@\"", "sh"])
        .profile_text("[limits]\nopen-files = 600\n")?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("CAP_SYS_RESOURCE")
}

fn timeout(scene: &Scene) -> Outcome {
    for extra in ["", "[namespaces]\npid = true\n"] {
        if !extra.is_empty() && scene.host.no_userns.is_some() {
            continue;
        }
        let out = script(
            scene,
            &format!("[process]\ntimeout = \"1s\"\n{extra}"),
            "exec sleep 100",
        )?;
        out.exits_with(143)?;
        out.complains("timeout of 1 s")?;
        out.complains("profile-1.toml:2:")?;
        let out = script(
            scene,
            &format!("[process]\ntimeout = \"100s\"\n{extra}"),
            "echo in time; exit 4",
        )?;
        out.exits_with(4)?.prints("in time")?;
    }
    Ok(())
}

fn timeout_of_the_deaf(scene: &Scene) -> Outcome {
    let start = Instant::now();
    let out = script(
        scene,
        "[process]\ntimeout = \"1s\"\n[namespaces]\npid = true\n",
        "trap '' TERM; echo deaf; while :; do sleep 1; done",
    )?;
    out.exits_with(137)?.prints("deaf")?;
    assert!(
        start.elapsed() >= Duration::from_secs(6),
        "killed too early"
    );
    Ok(())
}

/// Whether a process has ended, be it still a zombie.
fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit_once(") ") {
        Some((_, rest)) => rest.starts_with('Z') || rest.starts_with('X'),
        None => true,
    }
}

fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

fn dies_with_the_launcher(scene: &Scene) -> Outcome {
    for profile in [
        "[namespaces]\npid = true\n",
        "[namespaces]\npid = true\n[process]\ninit = false\n",
        "[namespaces]\nuts = true\n",
        "[namespaces]\npid = true\n[process]\nterminal = \"new\"\n[capabilities]\ndefault = \"drop\"\n",
        "[user]\nuid = \"root\"\n[syscalls]\nptrace = \"deny\"\n",
    ] {
        let mut run = scene
            .sandbox()
            .profile_text(profile)?
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        let inside = run.descendants();
        assert!(!inside.is_empty());
        run.signal(Signal::SIGKILL)?;
        run.wait()?.exits_with(137)?;
        let gone = wait_until(Duration::from_secs(2), || {
            inside.iter().all(|pid| has_ended(*pid))
        });
        assert!(gone, "under {profile} it lives on: {inside:?}");
    }
    Ok(())
}

fn killed_while_starting(scene: &Scene) -> Outcome {
    let tries = if scene.host.is_virtual() { 25 } else { 120 };
    let step = if scene.host.is_virtual() { 12_000 } else { 250 };
    for profile in ["[namespaces]\npid = true\n", "[process]\numask = \"022\"\n"] {
        for i in 0..tries {
            let run = scene
                .sandbox()
                .profile_text(profile)?
                .program(["sleep", "4242"])
                .spawn()?;
            thread::sleep(Duration::from_micros(i * step));
            run.signal(Signal::SIGKILL)?;
            run.wait()?.exits_with(137)?;
        }
        let left = || {
            let mut found = Vec::new();
            for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let own = entry.metadata().is_ok_and(|m| m.uid() == scene.host.uid);
                if own && line == b"sleep\x004242\0" {
                    found.push(entry.file_name());
                }
            }
            found
        };
        let gone = wait_until(Duration::from_secs(2), || left().is_empty());
        assert!(gone, "under {profile} these live on: {:?}", left());
    }
    Ok(())
}

fn outlives_when_asked(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .profile_text("[process]\ndie-with-parent = false\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let inside = run.descendants();
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    thread::sleep(Duration::from_millis(300));
    let alive = inside.iter().any(|pid| !has_ended(*pid));
    for pid in inside {
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
    assert!(alive, "it ended with the launcher");
    Ok(())
}

/// The launcher must not report success when process 1 was killed.
fn first_process_killed(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let first = run.descendants().first().copied().ok_or("no process")?;
    nix::sys::signal::kill(first, Signal::SIGKILL)?;
    run.wait()?.exits_with(137)?;
    // From inside it cannot be.
    let out = script(
        scene,
        "[namespaces]\npid = true\n",
        "kill -KILL 1; kill -SEGV 1; kill -TERM 1; sleep 0.2; echo alive",
    )?;
    assert!(
        !out.status.success() || out.stdout().contains("alive"),
        "{out}"
    );
    Ok(())
}

fn descriptors(scene: &Scene) -> Outcome {
    for profile in [
        "[process]\numask = \"022\"\n",
        "[namespaces]\npid = true\n[syscalls]\nptrace = \"deny\"\n",
        "[filesystem]\n\"/srv\" = \"read-only\"\n[limits]\nopen-files = 64\n",
    ] {
        if profile.contains('/') && scene.host.no_userns.is_some() {
            continue;
        }
        let out = scene
            .sandbox()
            .behind([
                "sh",
                "-c",
                "exec 3</ 7</etc/passwd 9>/dev/null; exec \"$@\"",
                "sh",
            ])
            .profile_text(profile)?
            .probe(["fds"])
            .run()?;
        out.succeeds()?;
        let text = out.stdout();
        let numbers: Vec<_> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(numbers, ["0", "1", "2"], "{profile}{out}");
    }
    // Control: without the launcher they are there.
    let out = scene
        .command("/bin/sh")
        .args(["-c", "exec 7</etc/passwd; exec \"$0\" probe fds"])
        .args([std::env::current_exe()?])
        .run()?;
    assert!(out.stdout().contains("/etc/passwd"), "{out}");
    Ok(())
}

/// Started without standard streams, nothing of ours may land on their numbers.
fn closed_streams(scene: &Scene) -> Outcome {
    let note = scene.home().join("note");
    let out = scene
        .sandbox()
        .behind(["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
        .profile_text("[namespaces]\npid = true\n[filesystem]\n\"/srv\" = \"read-only\"\n")?
        .program([
            "sh",
            "-c",
            "for fd in 0 1 2; do readlink /proc/self/fd/$fd || echo none; done 3>\"$0\" >&3; \
             ls /proc/self/fd >>\"$0\"",
            &note.display().to_string(),
        ])
        .run()?;
    let said = fs::read_to_string(&note).unwrap_or_default();
    let first: Vec<_> = said.lines().take(3).collect();
    // 1 is the note itself by the redirection.
    assert!(
        matches!(
            first.as_slice(),
            ["/dev/null" | "none", _, "/dev/null" | "none"]
        ),
        "{said}{out}"
    );
    Ok(())
}

fn environment_passed(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[environment]\nGONE = false\nCHANGED = \"new value\"\nADDED = \"\"\n")?
        .env("KEPT", "kept value")
        .env("GONE", "x")
        .env("CHANGED", "old")
        .program(["env"])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let has = |line: &str| text.lines().any(|one| one == line);
    assert!(
        has("KEPT=kept value") && has("CHANGED=new value") && has("ADDED="),
        "{out}"
    );
    assert!(!text.contains("GONE"), "{out}");
    Ok(())
}

fn environment_clean(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(
            "[environment]\ndefault = \"clean\"\nPATH = true\nKEPT = true\nABSENT = true\nSET = \"1\"\n",
        )?
        .env("KEPT", "yes")
        .env("SECRET", "s3cret")
        .env("LD_PRELOAD", "")
        .program(["env"])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let mut names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["KEPT", "PATH", "SET"], "{out}");
    Ok(())
}

fn environment_patterns(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(
            "[environment]\n\"APP_*\" = false\n\"APP_KEEP_*\" = true\nAPP_KEEP_NOT = false\nAPP_SET = \"x\"\n",
        )?
        .env("APP_ONE", "1")
        .env("APP_KEEP_ONE", "1")
        .env("APP_KEEP_NOT", "1")
        .env("APP_SET", "1")
        .env("OTHER", "1")
        .program(["sh", "-c", "env | grep -e APP -e OTHER | sort"])
        .run()?;
    out.succeeds()?.prints("APP_KEEP_ONE=1\nAPP_SET=x\nOTHER=1")
}

fn environment_options(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[environment]\nA = \"profile\"\nB = \"profile\"\n")?
        .args(["--env", "A=option=1", "--unset-env", "B", "--env", "C=new"])
        .program(["sh", "-c", "echo $A.$B.$C"])
        .run()?;
    out.succeeds()?.prints("option=1..new")
}

/// `PATH` for the program is what the profile says, and relative entries do not count.
fn path_inside_finds_the_program(scene: &Scene) -> Outcome {
    let folder = scene.home().join("tools");
    fs::create_dir(&folder)?;
    fs::copy("/bin/echo", folder.join("only-here"))?;
    let run = |path: String| {
        scene
            .sandbox()
            .profile_text(&format!("[environment]\nPATH = \"{path}\"\n"))?
            .in_folder(&folder)
            .program(["only-here", "found"])
            .run()
    };
    run(format!("/usr/bin:{}", folder.display()))?
        .succeeds()?
        .prints("found")?;
    run("/usr/bin:.:".to_owned())?.exits_with(127)?.prints("")
}

fn session_keyring(scene: &Scene) -> Outcome {
    let own = std::env::current_exe()?.display().to_string();
    let with_key = [own.as_str(), "probe", "with-key", "sandbox-case"];
    let control = scene
        .command(&own)
        .args([
            "probe",
            "with-key",
            "sandbox-case",
            &own,
            "probe",
            "do",
            "key@sandbox-case",
        ])
        .run()?;
    if !control.status.success() {
        return Ok(()); // no keyrings on this host
    }
    control.answers(&[("key@sandbox-case", "found")])?;
    let run = |profile: &str| {
        scene
            .sandbox()
            .behind(with_key)
            .profile_text(profile)?
            .deeds(["key@sandbox-case"])
            .run()
    };
    for profile in [
        "[process]\numask = \"022\"\n",
        "[process]\nsession-keyring = \"new\"\nno-new-privileges = true\n",
    ] {
        run(profile)?.answers(&[("key@sandbox-case", "ENOKEY|EACCES|EPERM")])?;
    }
    run("[process]\nsession-keyring = \"caller\"\n")?.answers(&[("key@sandbox-case", "found")])
}

fn first_process_tells_nothing(scene: &Scene) -> Outcome {
    let deeds = [
        "read@/proc/1/environ",
        "read@/proc/1/mem",
        "list@/proc/1/fd",
        "list@/proc/1/root",
        "list@/proc/1/cwd",
        "read@/proc/1/exe",
        "write@/proc/1/mem",
        "trace@1",
        "memory@1",
    ];
    let mut ways = vec![
        "[namespaces]\npid = true\nuser = true\n",
        "[namespaces]\npid = true\n[user]\nuid = \"root\"\ngid = \"root\"\n",
        "[namespaces]\npid = true\nuser = true\n[capabilities]\nsys_ptrace = \"drop\"\ndefault = \"keep\"\n",
    ];
    if scene.host.is_root() {
        ways.push("[namespaces]\npid = true\n[capabilities]\ndefault = \"drop\"\n");
    }
    for way in ways {
        let out = scene
            .sandbox()
            .profile_text(way)?
            .env("SECRET_TOKEN", "s3cret-of-the-caller")
            .deeds(deeds)
            .run()?;
        for deed in deeds {
            let answer = out.answer(deed);
            // One with root's own id may list, but there is nothing.
            let empty = deed == "list@/proc/1/fd" && answer == "[]";
            assert!(
                empty || matches!(answer.as_str(), "EACCES" | "EPERM"),
                "under {way}{deed} answers {answer}\n{}",
                out.stderr()
            );
        }
    }
    Ok(())
}

/// What is found about process 1 by one who may look at everything, from outside and inside.
fn first_process_holds_nothing(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .env("SECRET_TOKEN", "s3cret-of-the-caller")
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let first = run.descendants().first().copied().ok_or("no process")?;
    // It settles while the program already runs.
    let line = format!("/proc/{first}/cmdline");
    let settled = wait_until(Duration::from_secs(5), || {
        fs::read(&line).is_ok_and(|line| !line.windows(5).any(|w| w == b"sleep"))
    });
    assert!(settled, "{}", fs::read_to_string(&line)?);
    let status = fs::read_to_string(format!("/proc/{first}/status"))?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        if !scene.host.is_root() {
            assert!(
                status.contains(&format!("{set}:\t0000000000000000")),
                "{status}"
            );
        }
    }
    if scene.host.is_root() {
        let environ = fs::read(format!("/proc/{first}/environ"))?;
        assert!(
            environ.iter().all(|byte| *byte == 0),
            "{}",
            String::from_utf8_lossy(&environ)
        );
        let mut open = Vec::new();
        for entry in fs::read_dir(format!("/proc/{first}/fd"))? {
            open.push(fs::read_link(entry?.path())?);
        }
        assert!(open.is_empty(), "process 1 holds {open:?}");
        // The program has it: the search above would have found it.
        let program = run.descendants().last().copied().ok_or("no process")?;
        let environ = fs::read(format!("/proc/{program}/environ"))?;
        assert!(String::from_utf8_lossy(&environ).contains("s3cret"));
    }
    run.signal(Signal::SIGTERM)?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

/// The launcher itself, for a program that shares its pid namespace or not.
fn launcher_is_out_of_reach(scene: &Scene) -> Outcome {
    let own = std::process::id();
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nuser = true\npid = true\n")?
        .deeds([
            format!("trace@{own}"),
            format!("memory@{own}"),
            format!("call@kill@{own}@0"),
            "call@pidfd_open@1@0".to_owned(),
        ])
        .run()?;
    if own > 10 {
        out.answers(&[
            (format!("trace@{own}"), "ESRCH"),
            (format!("memory@{own}"), "ESRCH"),
            (format!("call@kill@{own}@0"), "ESRCH"),
        ])?;
    }
    Ok(())
}

fn signals_start_fresh(scene: &Scene) -> Outcome {
    // Ignored by the caller; a program under the launcher starts with nothing ignored or blocked.
    let out = scene
        .sandbox()
        .behind([
            "sh",
            "-c",
            "trap '' CHLD PIPE INT QUIT USR1; exec \"$@\"",
            "sh",
        ])
        .profile_text("[namespaces]\npid = true\n")?
        .deeds(["status@SigIgn", "status@SigBlk"])
        .run()?;
    // Rust's runtime ignores SIGPIPE (bit 12) in the probe itself.
    out.answers(&[
        ("status@SigIgn", "0000000000001000"),
        ("status@SigBlk", "0000000000000000"),
    ])
}

fn standard_input(scene: &Scene) -> Outcome {
    let out = script(scene, "[namespaces]\npid = true\n", "cat; echo end")?;
    out.succeeds()?.prints("end")?;
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[process]\nterminal = \"new\"\n")?
        .stdin("some words\n")
        .program(["cat"])
        .run()?;
    out.succeeds()?.prints("some words")
}

fn arguments_as_given(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\numask = \"022\"\n")?
        .program([
            "printf",
            "[%s]",
            "",
            "a b",
            "--profile",
            "-x",
            "\u{e9}\n",
            "*",
            "$HOME",
        ])
        .run()?;
    out.succeeds()?
        .prints("[][a b][--profile][-x][\u{e9}\n][*][$HOME]")?;
    // Options after the program are the program's, also without `--`.
    let out = scene
        .command(super::support::binary("sandbox"))
        .args([
            "--no-profile",
            "--set",
            "process.umask=0077",
            "echo",
            "--profile",
            "none",
            "--help",
        ])
        .run()?;
    out.succeeds()?.prints("--profile none --help")
}
