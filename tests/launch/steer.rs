//! Limits on what runs already: `sandboxctl attach` and `sandboxctl set`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::limits::{group, value};
use super::support::sandbox::{Finished, Running};
use super::support::{Case, Need, Outcome, Scene, binary, case};

const LIMITS: &[Need] = &[Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("caller", LIMITS, caller),
        case(
            "caller_as_shipped",
            &[Need::Limits, Need::SwapLimit],
            caller_as_shipped,
        ),
        case("by_number", LIMITS, by_number),
        case("tree", LIMITS, tree),
        case("tree_that_forks", LIMITS, tree_that_forks),
        case("again", LIMITS, again),
        case("stopped", LIMITS, stopped),
        case(
            "frozen",
            &[Need::Root, Need::Controller("freezer"), Need::CgroupV1],
            frozen,
        ),
        case("watcher", &[Need::Limits, Need::CgroupV2], watcher),
        case("attributes", &[], attributes),
        case("only_limits", LIMITS, only_limits),
        case("system_profiles", LIMITS, system_profiles),
        case("odd_numbers", &[], odd_numbers),
        case("zombie", &[], zombie),
        case("thread", &[], thread),
        case("kernel_thread", &[Need::Root], kernel_thread),
        case("of_another_user", &[Need::OrdinaryUser], of_another_user),
        case("in_a_sandbox", LIMITS, in_a_sandbox),
        case(
            "without_a_group",
            &[Need::OrdinaryUser, Need::CgroupV1],
            without_a_group,
        ),
        case("set", LIMITS, set),
        case(
            "set_all_or_nothing",
            &[Need::Limits, Need::SwapLimit],
            set_all_or_nothing,
        ),
        case(
            "set_by_force",
            &[Need::Limits, Need::SwapLimit],
            set_by_force,
        ),
        case("set_soft", &[Need::Limits, Need::CgroupV2], set_soft),
        case("set_mistakes", LIMITS, set_mistakes),
        case("set_without_limits", &[], set_without_limits),
    ]
}

type Text = Result<String, Box<dyn Error>>;

/// The command in front of what is attached.
fn attach() -> String {
    format!("{} attach", binary("sandboxctl").display())
}

fn shell(scene: &Scene, script: &str) -> Result<Finished, Box<dyn Error>> {
    Ok(scene.command("/bin/sh").args(["-c", script]).run()?)
}

/// A shell that says it is ready and waits for a line.
fn waiting(scene: &Scene, script: &str) -> Result<Running, Box<dyn Error>> {
    let mut run = scene
        .command("/bin/sh")
        .on_terminal()
        .args(["-c", script])
        .spawn()?;
    run.wait_for("ready")?;
    Ok(run)
}

fn end(mut run: Running) -> Outcome {
    run.type_in(b"\n")?;
    run.wait()?.succeeds()?;
    Ok(())
}

/// All groups of attached processes on this host.
fn groups(scene: &Scene) -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("sandbox-attached.") || name.starts_with("app-sandboxattach-") {
                found.push(entry.path());
            }
            collect(&entry.path(), found);
        }
    }
    let mut found = Vec::new();
    for controller in ["memory", "pids", "cpu"] {
        if let Some(mount) = scene.host.v1_mount(controller) {
            collect(mount, &mut found);
        }
    }
    if let Some((mount, _)) = &scene.host.v2 {
        collect(mount, &mut found);
    }
    found
}

/// Sees that the groups that are there and were not `before` vanish, at the latest with the next launch.
fn vanish(scene: &Scene, before: &[PathBuf]) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let next = scene.sandbox();
        let next = next.args(["--no-profile", "--memory", "1G", "--pids", "999"]);
        next.program(["true"]).run()?.succeeds()?;
        let left: Vec<_> = groups(scene)
            .into_iter()
            .filter(|group| !before.contains(group))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("still there: {left:?}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn memory_of(scene: &Scene, pid: Pid) -> Text {
    value(scene, pid, "memory", "memory.limit_in_bytes", "memory.max")
}

/// The recipe of the issue: the calling shell, and what it starts then, with a limit that is reached.
fn caller(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let probe = std::env::current_exe()?;
    let script = format!(
        "{} --profile memlimit --memory 64M --swap 0 --caller || exit 1
         {probe} probe memory-hog 16777216; echo small $?
         {probe} probe memory-hog 268435456; echo large $?
         echo the shell goes on",
        attach(),
        probe = probe.display()
    );
    let out = if scene.host.lacks(&Need::SwapLimit).is_none() {
        shell(scene, &script)?
    } else {
        shell(
            scene,
            &script.replace(" --swap 0", " --set limits.swap=max"),
        )?
    };
    out.succeeds()?;
    let text = out.stdout();
    assert!(text.contains("(sh) is under limits now"), "{out}");
    assert!(text.contains("command line (--memory 64M)"), "{out}");
    assert!(text.contains("small 0"), "{out}");
    assert!(text.contains("large 137"), "{out}");
    assert!(text.contains("the shell goes on"), "{out}");
    vanish(scene, &before)
}

fn caller_as_shipped(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let script = format!(
        "{} --profile memlimit --caller && echo ready; read x",
        attach()
    );
    let run = waiting(scene, &script)?;
    let memory = memory_of(scene, run.pid());
    let swap = value(
        scene,
        run.pid(),
        "memory",
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
    );
    let v1 = scene.host.v1_mount("memory").is_some();
    let soft = group(scene, run.pid(), "memory")
        .and_then(|path| Ok(fs::read_to_string(path.join("memory.soft_limit_in_bytes"))?));
    end(run)?;
    assert_eq!(memory?, (3_u64 << 30).to_string());
    let swap = swap?;
    if v1 {
        assert_eq!(swap, (6_u64 << 30).to_string());
        assert_eq!(soft?.trim(), (1_u64 << 30).to_string());
    } else {
        assert_eq!(swap, (3_u64 << 30).to_string());
    }
    vanish(scene, &before)
}

fn by_number(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let run = waiting(scene, "echo ready; read x")?;
    let other = waiting(scene, "echo ready; read x")?;
    let (one, two) = (run.pid().to_string(), other.pid().to_string());
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", "--pids", "33", "--json"])
        .args([&one, &two, &one])
        .run()?;
    let limits: Vec<String> = [run.pid(), other.pid()]
        .into_iter()
        .flat_map(|pid| {
            let pids = value(scene, pid, "pids", "pids.max", "pids.max");
            [memory_of(scene, pid), pids].map(|text| text.unwrap_or_else(|e| e.to_string()))
        })
        .collect();
    let together = (
        group(scene, run.pid(), "pids"),
        group(scene, other.pid(), "pids"),
    );
    end(run)?;
    end(other)?;
    out.succeeds()?;
    assert_eq!(limits, ["67108864", "33", "67108864", "33"], "{out}");
    assert_eq!(together.0?, together.1?);
    let json: serde_json::Value = serde_json::from_str(&out.stdout())?;
    let pids: Vec<_> = json["processes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|process| process["pid"].to_string())
        .collect();
    assert_eq!(pids, [one, two], "{out}");
    vanish(scene, &before)
}

/// What descends from the first process and is in another group. What is ending is in none, so that is asked for twice.
fn outside(scene: &Scene, run: &Running) -> Result<Vec<Pid>, Box<dyn Error>> {
    let own = group(scene, run.pid(), "pids")?;
    let is_outside = |pid: &Pid| group(scene, *pid, "pids").is_ok_and(|group| group != own);
    let mut found = run.descendants();
    found.retain(is_outside);
    if !found.is_empty() {
        std::thread::sleep(Duration::from_millis(300));
        found.retain(|pid| is_outside(pid) && !state(*pid).is_ok_and(|state| state == "Z"));
    }
    Ok(found)
}

fn tree(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let run = waiting(
        scene,
        "(sleep 600; true) & echo ready; read x; kill %1 2>/dev/null; pkill -P $! 2>/dev/null; true",
    )?;
    let pid = run.pid().to_string();
    let args = ["attach", "--pids", "44", &pid];
    scene.sandboxctl().args(args).run()?.succeeds()?;
    let alone = outside(scene, &run)?.len();
    let out = scene.sandboxctl().args(args).args(["--tree"]).run()?;
    let all = outside(scene, &run)?.len();
    for pid in run.descendants() {
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
    end(run)?;
    out.succeeds()?;
    assert!(alone > 0, "without --tree children stay where they are");
    assert_eq!(all, 0, "{out}");
    vanish(scene, &before)
}

/// Processes come and go while they are moved: none that is below the first at the end is outside.
fn tree_that_forks(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let script = "fork() { for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sleep 0.3; sleep 600) & done; }
        (fork; fork; echo ready; while sleep 0.02; do (sleep 0.1 & sleep 0.1) & done) & read x";
    let run = waiting(scene, script)?;
    let pid = run.pid().to_string();
    let args = ["attach", "--tree", "--pids", "400", &pid];
    let out = scene.sandboxctl().args(args).run()?;
    let left = outside(scene, &run)?;
    // What it forks from now on is born inside.
    std::thread::sleep(Duration::from_millis(500));
    let later = outside(scene, &run)?;
    for _ in 0..200 {
        let below = run.descendants();
        for pid in &below {
            let _ = nix::sys::signal::kill(*pid, Signal::SIGKILL);
        }
        if below.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    end(run)?;
    out.succeeds()?;
    assert_eq!((left, later), (vec![], vec![]), "{out}");
    vanish(scene, &before)
}

/// A later `attach` stands in the place of an earlier one.
fn again(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let run = waiting(scene, "echo ready; read x")?;
    let pid = run.pid().to_string();
    let attach = |limit: [&str; 2]| {
        let command = scene.sandboxctl().args(["attach"]).args(limit);
        command.args([&pid]).run()
    };
    attach(["--memory", "64M"])?.succeeds()?;
    let first = group(scene, run.pid(), "memory")?;
    attach(["--memory", "96M"])?.succeeds()?;
    let second = group(scene, run.pid(), "memory")?;
    let limit = memory_of(scene, run.pid());
    attach(["--pids", "30"])?.succeeds()?;
    let last = group(scene, run.pid(), "memory")?;
    end(run)?;
    assert_eq!(limit?, (96 << 20).to_string());
    assert_ne!(first, second);
    assert!(!second.starts_with(&first), "{second:?} lies in {first:?}");
    assert_ne!(second, last, "the limit of memory was to go");
    vanish(scene, &before)
}

fn state(pid: Pid) -> Text {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("State:"));
    Ok(line.unwrap_or_default().trim().chars().take(1).collect())
}

fn stopped(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let run = waiting(scene, "echo ready; read x")?;
    run.signal(Signal::SIGSTOP)?;
    let pid = run.pid().to_string();
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", &pid])
        .run()?;
    let (state, limit) = (state(run.pid()), memory_of(scene, run.pid()));
    run.signal(Signal::SIGCONT)?;
    end(run)?;
    out.succeeds()?;
    assert_eq!((state?.as_str(), limit?.as_str()), ("T", "67108864"));
    vanish(scene, &before)
}

/// A frozen process stays frozen.
fn frozen(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let freezer = scene.host.v1_mount("freezer").ok_or("no freezer")?;
    let folder = freezer.join(format!("sbx-steer-{}", std::process::id()));
    let run = waiting(scene, "echo ready; read x")?;
    let pid = run.pid().to_string();
    fs::create_dir(&folder)?;
    fs::write(folder.join("cgroup.procs"), &pid)?;
    fs::write(folder.join("freezer.state"), "FROZEN")?;
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", &pid])
        .run();
    let limit = memory_of(scene, run.pid());
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let still = fs::read_to_string(folder.join("freezer.state"))?;
    fs::write(folder.join("freezer.state"), "THAWED")?;
    end(run)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::remove_dir(&folder).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    out?.succeeds()?;
    assert_eq!((limit?.as_str(), still.trim()), ("67108864", "FROZEN"));
    assert!(own.contains("sbx-steer-"), "{own}");
    vanish(scene, &before)
}

/// On v2 a process of ours holds the soft limit, and ends with the group.
fn watcher(scene: &Scene) -> Outcome {
    if scene.host.v1_mount("memory").is_some() {
        return Ok(());
    }
    let before = groups(scene);
    let run = waiting(scene, "echo ready; read x")?;
    let pid = run.pid().to_string();
    let args = [
        "attach",
        "--memory",
        "64M",
        "--memory-soft",
        "32M",
        "--json",
        &pid,
    ];
    let out = scene.sandboxctl().args(args).run()?;
    let json: serde_json::Value = serde_json::from_str(&out.stdout()).unwrap_or_default();
    let watcher = json["watcher"].as_i64().unwrap_or(0);
    let proc = PathBuf::from(format!("/proc/{watcher}"));
    let name = fs::read_to_string(proc.join("comm"));
    let groups = fs::read_to_string(proc.join("cgroup")).unwrap_or_default();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    end(run)?;
    out.succeeds()?;
    assert_eq!(
        name.map_err(|e| format!("{e}: {out}"))?.trim(),
        "sandbox-soft"
    );
    assert_ne!(groups, own, "it must not be limited itself");
    let deadline = Instant::now() + Duration::from_secs(20);
    while proc.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
        // It is ours to reap, as everything that is left behind in these tests.
        let watcher = Pid::from_raw(i32::try_from(watcher)?);
        let _ = nix::sys::wait::waitpid(watcher, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
    }
    assert!(!proc.exists(), "the watcher is still there");
    vanish(scene, &before)
}

fn attributes(scene: &Scene) -> Outcome {
    let run = waiting(scene, "echo ready; read x")?;
    let pid = run.pid().to_string();
    let set = |rules: &[&str]| {
        let rules = rules.iter().flat_map(|rule| ["--set", rule]);
        let command = scene.sandboxctl().args(["attach"]);
        command.args(rules).args([&pid]).run()
    };
    let out = set(&[
        "process.nice=7",
        "process.oom-score-adjust=300",
        "limits.open-files=77",
    ])?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let nice = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(16))
        .unwrap_or_default();
    let adjust = fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let raised = set(&["limits.open-files=78"])?;
    let lowered = set(&["process.nice=0"])?;
    let may = |name| scene.host.lacks(&Need::Capability(name)).is_none();
    end(run)?;
    out.succeeds()?;
    assert_eq!((nice, adjust.trim()), ("7", "300"));
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<_> = files.unwrap_or_default().split_whitespace().collect();
    assert_eq!(files.get(3..5), Some(&["77", "77"][..]), "{limits}");
    for (out, why, may) in [
        (raised, "hard limit", may("sys_resource")),
        (lowered, "`nice` would fall", may("sys_nice")),
    ] {
        if may {
            out.succeeds()?;
        } else {
            out.exits_with(1)?.complains(why)?;
        }
    }
    Ok(())
}

fn only_limits(scene: &Scene) -> Outcome {
    let before = groups(scene);
    let run = waiting(scene, "echo ready; read x")?;
    let pid = run.pid().to_string();
    let profile = "[limits]\nmemory = \"64M\"\n[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n";
    let attach = || {
        scene
            .sandboxctl()
            .args(["attach", &pid])
            .profile_text(profile)
    };
    let refused = attach()?.run()?;
    let untouched = group(scene, run.pid(), "memory")?;
    let left_out = attach()?.args(["--limits-only"]).run()?;
    let limit = memory_of(scene, run.pid());
    let nothing = scene
        .sandboxctl()
        .args(["attach", "--limits-only", &pid])
        .profile_text("[namespaces]\npid = true\n")?
        .run()?;
    end(run)?;
    refused.exits_with(1)?;
    refused.complains("not namespaces.pid, filesystem./")?;
    assert!(
        !untouched.to_string_lossy().contains("attach"),
        "{untouched:?}"
    );
    left_out.succeeds()?;
    assert!(
        left_out.stdout().contains("2 rules of the profile"),
        "{left_out}"
    );
    assert_eq!(limit?, "67108864");
    nothing.exits_with(1)?.complains("has no limit")?;
    vanish(scene, &before)
}

fn system_profiles(scene: &Scene) -> Outcome {
    let before = groups(scene);
    scene.install_profile("memlimit", "[limits]\nmemory = \"64M\"\n")?;
    let run = waiting(scene, "echo ready; read x")?;
    let pid = run.pid().to_string();
    let attach = |options: &[&str]| {
        let command = scene.sandboxctl().args(["attach", "--best-effort"]);
        command.args(options).args([&pid]).run()
    };
    let own = attach(&["--profile", "memlimit"])?;
    let owns = memory_of(scene, run.pid());
    let systems = attach(&["--profile", "memlimit", "--system-profiles"])?;
    let limit = memory_of(scene, run.pid());
    let file = attach(&["--profile", "./x.toml", "--system-profiles"])?;
    end(run)?;
    own.succeeds()?;
    systems.succeeds()?;
    assert_eq!(owns?, "67108864");
    assert_eq!(limit?, (3_u64 << 30).to_string());
    file.exits_with(2)?.complains("by their names alone")?;
    vanish(scene, &before)
}

fn odd_numbers(scene: &Scene) -> Outcome {
    for (pid, status, why) in [
        ("0", 2, "named by its number"),
        ("-1", 2, "named by its number"),
        ("self", 2, "named by its number"),
        ("../1", 2, "named by its number"),
        ("99999999999", 2, "named by its number"),
        ("1", 1, "init process"),
        ("2147483647", 1, "there is no process 2147483647"),
    ] {
        let out = scene
            .sandboxctl()
            .args(["attach", "--memory", "64M", pid])
            .run()?;
        out.exits_with(status)?.complains(why)?;
    }
    let args = ["attach", "--caller"];
    let out = scene.sandboxctl().args(args).run()?;
    out.exits_with(2)?.complains("nothing says which limits")
}

fn zombie(scene: &Scene) -> Outcome {
    // The shell's child ends, and the program in the shell's place never waits for it.
    let run = waiting(scene, "sleep 0.3 & echo pid $!; echo ready; exec sleep 600")?;
    let text = run.stdout_so_far();
    let pid = text
        .lines()
        .find_map(|line| line.strip_prefix("pid "))
        .ok_or("no number")?
        .trim()
        .to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    while state(Pid::from_raw(pid.parse()?))? != "Z" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", &pid])
        .run()?;
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    out.exits_with(1)?.complains("a zombie")
}

fn thread(scene: &Scene) -> Outcome {
    let (tell, told) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        let _ = tell.send(nix::unistd::gettid());
        let _ = wait.recv();
    });
    let thread = told.recv()?.to_string();
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", &thread])
        .run()?;
    drop(go);
    let _ = other.join();
    out.exits_with(1)?.complains("is a thread of a process")
}

fn kernel_thread(scene: &Scene) -> Outcome {
    if fs::read_to_string("/proc/2/comm").ok().as_deref() != Some("kthreadd\n") {
        return Ok(());
    }
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", "2"])
        .run()?;
    out.exits_with(1)?.complains("a thread of the kernel")
}

fn of_another_user(scene: &Scene) -> Outcome {
    let own = nix::unistd::getuid().to_string();
    let foreign = fs::read_dir("/proc")?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        let is_others = !user.split_whitespace().any(|id| id == own);
        (pid > 1 && is_others && status.contains("VmRSS")).then_some(pid)
    });
    let pid = foreign.ok_or("there is no process of another user")?;
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "64M", &pid.to_string()])
        .run()?;
    out.exits_with(1)?
        .complains("runs with the rights of the user")
}

fn in_a_sandbox(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .args(["--no-profile", "--memory", "64M"])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let inside = run
        .descendants()
        .into_iter()
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|n| n == "sleep\n" || n == "sh\n")
        })
        .ok_or("no process inside")?
        .to_string();
    let out = scene
        .sandboxctl()
        .args(["attach", "--memory", "128M", &inside])
        .run()?;
    run.signal(Signal::SIGTERM)?;
    run.wait()?;
    out.exits_with(1)?.complains("is in a sandbox already")
}

fn without_a_group(scene: &Scene) -> Outcome {
    if scene.host.lacks(&Need::Limits).is_none() {
        return Ok(());
    }
    let script = format!("{} --memory 64M --caller", attach());
    let out = shell(scene, &script)?;
    out.exits_with(1)?.complains("sudo sandboxctl delegate")
}

/// A sandbox that says it is ready and sleeps; and the number of a process in it.
fn sandboxed(scene: &Scene, rules: &[&str]) -> Result<(Running, Pid), Box<dyn Error>> {
    let mut run = scene
        .sandbox()
        .args(["--name", "steered", "--no-profile"])
        .args(rules.iter().flat_map(|rule| ["--set", rule]))
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let pid = asleep(&run)?;
    Ok((run, pid))
}

fn asleep(run: &Running) -> Result<Pid, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let named = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let mut below = run.descendants().into_iter();
        if let Some(pid) = below.find(|pid| named(pid) == "sleep\n") {
            return Ok(pid);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("`sleep` is not found".into())
}

fn over(run: Running) -> Outcome {
    run.signal(Signal::SIGTERM)?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn change(scene: &Scene, texts: &[&str]) -> Result<Finished, Box<dyn Error>> {
    let command = scene.sandboxctl().args(["set", "steered"]);
    Ok(command.args(texts.iter().copied()).run()?)
}

/// Each limit is raised, lowered, and lifted; the kernel's files say so.
fn set(scene: &Scene) -> Outcome {
    const G: u64 = 1 << 30;
    let memory = ("memory", "memory.limit_in_bytes", "memory.max");
    let swap = ("memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    let pids = ("pids", "pids.max", "pids.max");
    let cpu = ("cpu", "cpu.cfs_quota_us", "cpu.max");
    let weight = ("cpu", "cpu.shares", "cpu.weight");
    let number = |number: u64| number.to_string();
    let most = || "9223372036854771712".to_owned();
    let max = || "max".to_owned();
    let with_swap = scene.host.lacks(&Need::SwapLimit).is_none();
    let with_cpu = scene.host.lacks(&Need::Controller("cpu")).is_none();
    let mut start = vec!["limits.memory=2G", "limits.pids=50"];
    if with_swap {
        start.push("limits.swap=1G");
    }
    if with_cpu {
        start.push("limits.cpu=50%");
    }
    // A change; a file of its controller by version; what it says then.
    type Step<'a> = (&'a [&'a str], (&'a str, &'a str, &'a str), String, String);
    let mut steps: Vec<Step<'_>> = vec![
        (&["memory=3G"], memory, number(3 * G), number(3 * G)),
        (&["memory=1G"], memory, number(G), number(G)),
        (&["pids=70"], pids, number(70), number(70)),
        (&["pids=max"], pids, max(), max()),
        (
            &["limits.pids=40", "memory=2G"],
            pids,
            number(40),
            number(40),
        ),
    ];
    if with_swap {
        steps.push((
            &["memory=4G", "swap=2G"],
            swap,
            number(6 * G),
            number(2 * G),
        ));
        steps.push((&["swap=0"], swap, number(4 * G), "0".to_owned()));
        steps.push((&["memory=1G", "swap=1G"], swap, number(2 * G), number(G)));
        steps.push((&["memory=2G"], swap, number(3 * G), number(G)));
        steps.push((&["swap=max"], swap, most(), max()));
        steps.push((&["memory=max", "swap=inherit"], swap, most(), max()));
    }
    steps.push((&["memory=max"], memory, most(), max()));
    steps.push((&["memory=2G"], memory, number(2 * G), number(2 * G)));
    if with_cpu {
        steps.push((
            &["cpu=150%"],
            cpu,
            number(150_000),
            "150000 100000".to_owned(),
        ));
        steps.push((
            &["cpu=50%", "cpu-period=50ms"],
            cpu,
            number(25_000),
            "25000 50000".to_owned(),
        ));
        steps.push((
            &["cpu=max", "cpu-period=inherit"],
            cpu,
            "-1".to_owned(),
            "max 100000".to_owned(),
        ));
        steps.push((&["cpu-weight=200"], weight, number(2048), number(200)));
        steps.push((&["cpu-weight=inherit"], weight, number(1024), number(100)));
    }
    let (run, pid) = sandboxed(scene, &start)?;
    let mut wrong = Vec::new();
    for (texts, (controller, v1, v2), of_v1, of_v2) in steps {
        let out = change(scene, texts)?;
        let found = value(scene, pid, controller, v1, v2)?;
        let expected = match scene.host.v1_mount(controller) {
            Some(_) => of_v1,
            None => of_v2,
        };
        // With the quota the period goes back to what it was.
        let is_there =
            found == expected || (expected.starts_with("max ") && found.starts_with("max "));
        if out.code() != 0 || !is_there {
            wrong.push(format!("{texts:?}: {found}, not {expected}\n{out}"));
        }
    }
    let again = change(scene, &["memory=2G"])?;
    let state = scene.sandboxctl().args(["state", "steered"]).run()?;
    over(run)?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(again.stdout().contains("nothing to change"), "{again}");
    assert!(
        state.stdout().contains("memory = 2G (sandboxctl set)"),
        "{state}"
    );
    Ok(())
}

/// A hog of 32 MiB with the given limits; its number.
fn hog(scene: &Scene) -> Result<Running, Box<dyn Error>> {
    let mut run = scene
        .sandbox()
        .args(["--name", "steered", "--no-profile", "--memory", "128M"])
        .args(["--swap", "0", "--pids", "50"])
        .probe(["memory-hog", "33554432", "anon", "600"])
        .spawn()?;
    run.wait_for("held")?;
    Ok(run)
}

fn inside(run: &Running) -> Result<Pid, Box<dyn Error>> {
    let named = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let mut below = run.descendants().into_iter();
    Ok(below
        .find(|pid| named(pid) == "launch\n" || named(pid).starts_with("launch-"))
        .ok_or("no process inside")?)
}

fn set_all_or_nothing(scene: &Scene) -> Outcome {
    let run = hog(scene)?;
    let pid = inside(&run)?;
    let limits = || {
        let pids = value(scene, pid, "pids", "pids.max", "pids.max");
        [memory_of(scene, pid), pids].map(|text| text.unwrap_or_else(|e| e.to_string()))
    };
    let refused = change(scene, &["pids=20", "memory=8M", "swap=0"])?;
    let after = limits();
    let fits = change(scene, &["pids=20", "memory=64M"])?;
    let smaller = limits();
    over(run)?;
    refused.exits_with(1)?.complains("are in use")?;
    assert_eq!(after, ["134217728", "50"], "{refused}");
    fits.succeeds()?;
    assert_eq!(smaller, ["67108864", "20"], "{fits}");
    Ok(())
}

/// v2 kills what does not fit; v1 refuses all the same.
fn set_by_force(scene: &Scene) -> Outcome {
    let run = hog(scene)?;
    let out = change(scene, &["memory=8M", "--force"])?;
    if scene.host.v1_mount("memory").is_some() {
        over(run)?;
        out.exits_with(1)?.complains("are in use")?;
    } else {
        run.wait()?.exits_with(137)?;
    }
    Ok(())
}

fn set_soft(scene: &Scene) -> Outcome {
    if scene.host.v1_mount("memory").is_some() {
        return Ok(());
    }
    let (run, _) = sandboxed(scene, &["limits.memory=128M", "limits.memory-soft=64M"])?;
    let changed = change(scene, &["memory-soft=32M"])?;
    let state = scene.sandboxctl().args(["stats", "steered"]).run()?;
    let lifted = change(scene, &["memory-soft=max"])?;
    let again = change(scene, &["memory-soft=16M", "memory=64M"])?;
    over(run)?;
    let (run, pid) = sandboxed(scene, &["limits.memory=128M"])?;
    let none = change(scene, &["memory-soft=32M"])?;
    let throttled = change(scene, &["memory-soft=32M", "memory-soft-mode=throttle"])?;
    let high = value(scene, pid, "memory", "", "memory.high");
    let lower = change(scene, &["memory-soft-mode=protect"])?;
    let low = value(scene, pid, "memory", "", "memory.low");
    let high_then = value(scene, pid, "memory", "", "memory.high");
    over(run)?;
    for out in [&changed, &lifted, &again, &throttled, &lower] {
        out.succeeds()?;
    }
    assert!(changed.stdout().contains("64M → 32M"), "{changed}");
    assert!(lifted.stdout().contains("32M → max"), "{lifted}");
    assert!(state.stdout().contains("pushed back to 32"), "{state}");
    none.exits_with(1)?.complains("does not watch")?;
    assert_eq!(high?, "33554432");
    assert_eq!((low?.as_str(), high_then?.as_str()), ("33554432", "max"));
    Ok(())
}

fn set_mistakes(scene: &Scene) -> Outcome {
    let (run, pid) = sandboxed(scene, &["limits.memory=128M", "limits.memory-soft=64M"])?;
    let all = [
        (&["memory=32M"][..], 2, "is more than `memory`"),
        (&["memory=3Q"], 2, "unknown unit"),
        (&["memroy=3G"], 2, "memroy"),
        (&["memory"], 2, "is not of the form KEY=VALUE"),
        (
            &["open-files=5"],
            2,
            "cannot be changed while a sandbox runs",
        ),
        (
            &["namespaces.pid=true"],
            2,
            "cannot be changed while a sandbox runs",
        ),
        (&["memory=64M", "devices=listed"], 1, "limits.devices"),
    ];
    let outs: Result<Vec<_>, _> = all.iter().map(|(texts, ..)| change(scene, texts)).collect();
    let limit = memory_of(scene, pid);
    let other = scene
        .sandboxctl()
        .args(["set", "../x", "memory=1G"])
        .run()?;
    over(run)?;
    for (out, (_, code, why)) in outs?.iter().zip(all) {
        out.exits_with(code)?.complains(why)?;
    }
    assert_eq!(limit?, "134217728");
    other.exits_with(1)?.complains("no sandbox named")
}

fn set_without_limits(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .args([
            "--name",
            "steered",
            "--no-profile",
            "--set",
            "process.nice=1",
        ])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let out = change(scene, &["memory=64M"])?;
    over(run)?;
    out.exits_with(1)?.complains("has no control group")
}
