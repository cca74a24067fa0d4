//! The report: the seed's recipe from the writing of its values to the end, and who is blamed for a kill.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::limits::{group, value};
use super::support::sandbox::Running;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, case};

pub fn cases() -> Vec<Case> {
    vec![
        case("recipe", &[Need::Limits, Need::SwapLimit], recipe),
        case(
            "a_limit_above",
            &[Need::Root, Need::CgroupV1],
            a_limit_above,
        ),
        case(
            "a_limit_of_the_users_slice",
            &[Need::SystemdUser, Need::CgroupV2, Need::OrdinaryUser],
            a_limit_of_the_users_slice,
        ),
        case("somebody_kills", &[Need::Limits], somebody_kills),
        case("oomd_kills", &[Need::Limits, Need::CgroupV2], oomd_kills),
        case(
            "the_host_runs_out",
            &[Need::Limits, Need::Root],
            the_host_runs_out,
        ),
        case("a_child_is_killed", &[Need::Limits], a_child_is_killed),
        case("quiet_and_verbose", &[Need::Limits], quiet_and_verbose),
        case("where_to_raise", &[Need::Limits], where_to_raise),
        case("input_and_output", &[Need::Limits], input_and_output),
        case("without_a_group", &[], without_a_group),
    ]
}

fn report(out: &Finished) -> Result<Value, Box<dyn std::error::Error>> {
    let text = out.stderr();
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.ok_or_else(|| format!("no report\n{out}"))?;
    Ok(serde_json::from_str(line)?)
}

fn kinds(report: &Value) -> Vec<&str> {
    let causes = report["causes"].as_array().into_iter().flatten();
    causes.filter_map(|cause| cause["kind"].as_str()).collect()
}

/// Starts it and waits for the word `ready`; the process that says it is `sleep` or the probe.
fn started(sandbox: Sandbox<'_>) -> Result<(Running, Pid), Box<dyn std::error::Error>> {
    let mut run = sandbox
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let sleeper = run.descendants().into_iter().find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        });
        if let Some(pid) = sleeper {
            return Ok((run, pid));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("`sleep` is not found".into())
}

/// `echo 3G > memory.limit_in_bytes`, `6G > memory.memsw.limit_in_bytes`, `1G > memory.soft_limit_in_bytes`.
fn recipe(scene: &Scene) -> Outcome {
    let v1 = scene.host.v1_mount("memory").is_some();
    // As a user of a v2 kernel before 6.5 the soft limit cannot be had: the rest of the recipe holds.
    let without: &[&str] = match v1 || super::soft::can_watch_pressure() {
        true => &[],
        false => &["--best-effort"],
    };
    let sandbox = || {
        scene
            .sandbox()
            .args(["--profile", "memlimit"])
            .args(without.iter().copied())
    };
    let (run, pid) = started(sandbox())?;
    let read = |v1: &str, v2: &str| value(scene, pid, "memory", v1, v2);
    let memory = read("memory.limit_in_bytes", "memory.max");
    let swap = read("memory.memsw.limit_in_bytes", "memory.swap.max");
    // v2 has no file for it: what slows down at all times, or protects, must not be set instead.
    let soft = read("memory.soft_limit_in_bytes", "memory.high");
    let low = read("memory.soft_limit_in_bytes", "memory.low");
    let place = group(scene, pid, "memory");
    run.signal(Signal::SIGTERM)?;
    run.wait()?.exits_with(143)?;
    assert_eq!(memory?, "3221225472");
    assert_eq!(swap?, if v1 { "6442450944" } else { "3221225472" });
    assert_eq!(soft?, if v1 { "1073741824" } else { "max" });
    assert_eq!(low?, if v1 { "1073741824" } else { "0" });
    assert!(!place?.exists(), "the group is left");

    // The same recipe with less of everything, so that a small host can show the kill.
    let out = sandbox()
        .args(["--memory", "48M", "--swap", "0", "--json"])
        .args(["--memory-soft", "16M"])
        .probe(["memory-hog", "209715200"])
        .run()?;
    out.exits_with(137)?;
    let told = report(&out)?;
    assert_eq!(kinds(&told), ["memory"], "{told}");
    let text = told["causes"][0]["text"].as_str().unwrap_or_default();
    for part in [
        "the kernel killed 1 process at the memory limit of 48.0 MiB (limits.memory, command line (--memory 48M))",
        "it may not use swap (limits.swap, command line (--swap 0))",
    ] {
        assert!(text.contains(part), "{text}");
    }
    if without.is_empty() {
        assert_eq!(told["limits"]["memory-soft"]["number"], 16 << 20, "{told}");
    }
    Ok(())
}

/// A v1 group that is removed at the end, with processes that are moved out of it.
struct Group(Vec<PathBuf>);

impl Group {
    fn new(
        scene: &Scene,
        limits: &[(&str, &str, &str)],
    ) -> Result<Group, Box<dyn std::error::Error>> {
        let mut group = Group(Vec::new());
        for (controller, file, value) in limits {
            let own = super::limits::group(scene, Pid::this(), controller)?;
            let path = own.join(format!("sbx-truth-{}", std::process::id()));
            fs::create_dir(&path)?;
            group.0.push(path.clone());
            fs::write(path.join(file), value)?;
        }
        Ok(group)
    }

    /// A command line that joins the group and then runs what follows.
    fn join(&self) -> Vec<String> {
        let doors = self
            .0
            .iter()
            .map(|path| format!("echo $$ >{}/cgroup.procs; ", path.display()));
        let script = format!("{}exec \"$@\"", doors.collect::<String>());
        ["sh", "-c", &script, "sh"].map(str::to_owned).into()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_dir(path);
        }
    }
}

/// The group that the caller is in has lower limits than the profile: those hold, and are blamed.
fn a_limit_above(scene: &Scene) -> Outcome {
    let above = Group::new(
        scene,
        &[
            ("memory", "memory.limit_in_bytes", "33554432"),
            ("pids", "pids.max", "12"),
        ],
    )?;
    if scene.host.swap > 0
        && let Some(path) = above.0.first()
    {
        let _ = fs::write(path.join("memory.memsw.limit_in_bytes"), "33554432");
    }
    let profile = "[limits]\nmemory = \"200M\"\npids = 100\n";
    let hog = scene
        .sandbox()
        .profile_text(profile)?
        .args(["--json"])
        .behind(above.join())
        .probe(["memory-hog", "104857600"])
        .run()?;
    hog.exits_with(137)?;
    let told = report(&hog)?;
    assert_eq!(
        kinds(&told),
        ["memory-above", "lower-above", "lower-above"],
        "{told:#}"
    );
    let text = told["causes"][0]["text"].as_str().unwrap_or_default();
    for part in [
        "32.0 MiB",
        "sbx-truth-",
        "own limit of 200.0 MiB (limits.memory, ",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        told["limits"]["memory"]["lower_above"]["number"],
        32 << 20,
        "{told}"
    );
    let bomb = scene
        .sandbox()
        .profile_text(profile)?
        .args(["--json"])
        .behind(above.join())
        .probe(["fork-bomb", "1", "60"])
        .run()?;
    let told = report(&bomb)?;
    assert_eq!(kinds(&told).first(), Some(&"pids-above"), "{told:#}");
    Ok(())
}

/// The administrator's limit of the slice that systemd makes scopes in.
fn a_limit_of_the_users_slice(scene: &Scene) -> Outcome {
    let set = |limit: &str| {
        scene
            .command("/usr/bin/systemctl")
            .args([
                "--user",
                "set-property",
                "--runtime",
                "app.slice",
                limit,
                "MemorySwapMax=0",
            ])
            .run()
    };
    // The desktop's own scope would be limited too, and we in it.
    let own = fs::read_to_string("/proc/self/cgroup")?;
    if own.contains("/app.slice/") {
        return Ok(());
    }
    set("MemoryMax=64M")?.succeeds()?;
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"200M\"\n")?
        .args(["--json"])
        .probe(["memory-hog", "157286400"])
        .run();
    set("MemoryMax=infinity")?.succeeds()?;
    let reset = scene
        .command("/usr/bin/systemctl")
        .args([
            "--user",
            "set-property",
            "--runtime",
            "app.slice",
            "MemorySwapMax=infinity",
        ])
        .run()?;
    reset.succeeds()?;
    let out = out?;
    out.exits_with(137)?;
    let told = report(&out)?;
    assert_eq!(kinds(&told).first(), Some(&"memory-above"), "{told:#}");
    let text = told["causes"][0].to_string();
    assert!(
        text.contains("app.slice") && text.contains("64.0 MiB"),
        "{told:#}"
    );
    Ok(())
}

fn somebody_kills(scene: &Scene) -> Outcome {
    let sandbox = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"64M\"\n")?
        .args(["--json"]);
    let (run, pid) = started(sandbox)?;
    kill(pid, Signal::SIGKILL)?;
    let out = run.wait()?;
    out.exits_with(137)?;
    let told = report(&out)?;
    assert_eq!(kinds(&told), ["killed"], "{told}");
    assert_eq!(told["usage"]["oom_kills"], 0, "{told}");
    Ok(())
}

/// What systemd-oomd leaves on a group, set by hand.
fn oomd_kills(scene: &Scene) -> Outcome {
    let sandbox = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"64M\"\n")?
        .args(["--report"]);
    let (run, pid) = started(sandbox)?;
    let marked = mark(&group(scene, pid, "memory")?, c"user.oomd_kill", "2");
    kill(pid, Signal::SIGKILL)?;
    let out = run.wait()?;
    marked?;
    out.exits_with(137)?;
    out.complains("systemd-oomd killed 2 processes")
}

fn mark(group: &Path, name: &std::ffi::CStr, value: &str) -> std::io::Result<()> {
    let path = CString::new(group.as_os_str().as_bytes())?;
    // SAFETY: both names end with NUL, and the value has as many bytes as are said.
    let set = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Only in a machine of our own: the limit is more than the host has.
fn the_host_runs_out(scene: &Scene) -> Outcome {
    if !scene.host.is_virtual() {
        return Ok(());
    }
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"16G\"\n[process]\noom-score-adjust = 1000\n")?
        .args(["--json"])
        .probe(["memory-hog", "8589934592"])
        .limit(Duration::from_secs(400))
        .run()?;
    out.exits_with(137)?;
    let told = report(&out)?;
    assert_eq!(kinds(&told), ["host-memory"], "{told:#}");
    Ok(())
}

/// The program lives on; that a child was killed is said all the same, and when.
fn a_child_is_killed(scene: &Scene) -> Outcome {
    if scene.host.swap > 0 && scene.host.lacks(&Need::SwapLimit).is_some() {
        return Ok(());
    }
    let own = std::env::current_exe()?.display().to_string();
    let swap = if scene.host.lacks(&Need::SwapLimit).is_none() {
        "swap = 0\n"
    } else {
        ""
    };
    let pause = if scene.host.is_virtual() { "4" } else { "2" };
    let out = scene
        .sandbox()
        .profile_text(&format!("[limits]\nmemory = \"32M\"\n{swap}"))?
        .args(["--json"])
        .program([
            "sh",
            "-c",
            "\"$0\" probe memory-hog 104857600; sleep $1; exit 5",
            &own,
            pause,
        ])
        .run()?;
    out.exits_with(5)?;
    let told = report(&out)?;
    assert_eq!(kinds(&told), ["memory"], "{told}");
    let event = &told["events"][0];
    assert_eq!(event["event"], "out-of-memory", "{told:#}");
    // It was noted when it happened, not at the end.
    let (then, all) = (event["seconds"].as_f64(), told["seconds"].as_f64());
    let pause: f64 = pause.parse()?;
    assert!(
        then.zip(all)
            .is_some_and(|(then, all)| then < all - pause / 2.0),
        "{told:#}"
    );
    Ok(())
}

fn quiet_and_verbose(scene: &Scene) -> Outcome {
    let bomb = |option: &str| {
        scene
            .sandbox()
            .profile_text("[limits]\npids = 12\n")?
            .args([option])
            .probe(["fork-bomb", "1", "60"])
            .run()
    };
    let out = bomb("--quiet")?;
    out.succeeds()?;
    assert_eq!(out.stderr(), "", "{out}");
    let out = bomb("--report")?;
    let text = out.stderr();
    let first = text.lines().next().unwrap_or_default();
    assert!(
        first.contains("refused at the limit of 12 processes and threads"),
        "{out}"
    );
    out.complains("processes, at most  12 of 12")?;
    out.complains("exit status 0 after")
}

/// A limit of a profile that is not the caller's to edit is raised in a drop-in of the caller's; and that works.
fn where_to_raise(scene: &Scene) -> Outcome {
    scene.install_profile(
        "mine",
        "extends = [\"cgroup-demo\"]\n[limits]\nswap = \"max\"\nmemory = \"max\"\n",
    )?;
    let run = || {
        scene
            .sandbox()
            .args(["--profile", "mine", "--json"])
            .probe(["fork-bomb", "1", "60"])
            .run()
    };
    let told = report(&run()?)?;
    let help = told["causes"][0]["help"][0].as_str().unwrap_or_default();
    let wanted = "--pids 20; for good: `pids = 20` in [limits] of ~/.config/sandbox/profiles/mine.d/limits.toml";
    assert!(help.ends_with(wanted), "{told:#}");
    scene.write(
        "home/.config/sandbox/profiles/mine.d/limits.toml",
        "[limits]\npids = 20\n",
    )?;
    let told = report(&run()?)?;
    assert_eq!(told["limits"]["pids"]["number"], 20, "{told:#}");
    let help = told["causes"][0]["help"][0].as_str().unwrap_or_default();
    assert!(
        help.contains("`pids = 40` in line 2 of") && help.ends_with("mine.d/limits.toml"),
        "{told:#}"
    );
    Ok(())
}

/// What is counted of disks is no more than was done, with what writing a file takes beside.
fn input_and_output(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"256M\"\n")?
        .args(["--json"])
        .program([
            "dd",
            "if=/dev/zero",
            "of=written",
            "bs=1M",
            "count=16",
            "conv=fsync",
        ])
        .run()?;
    out.succeeds()?;
    let told = report(&out)?;
    let usage = &told["usage"];
    if let Some(written) = usage["io_write_bytes"].as_u64() {
        // A file system may lie on no disk of this kernel's: then nothing is counted.
        assert!(
            written == 0 || (16 << 20..64 << 20).contains(&written),
            "{told:#}"
        );
    }
    let parts = usage["user_usec"]
        .as_u64()
        .zip(usage["system_usec"].as_u64());
    if let Some((all, (user, system))) = usage["cpu_usec"].as_u64().zip(parts) {
        assert!(all.abs_diff(user + system) <= 2, "{told:#}");
    }
    Ok(())
}

fn without_a_group(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\nnice = 1\n")?
        .args(["--json"])
        .program(["sh", "-c", "kill -TERM $$"])
        .run()?;
    let told = report(&out)?;
    assert_eq!(told["usage"], Value::Null, "{told}");
    assert_eq!(told["signal"], 15, "{told}");
    assert_eq!(kinds(&told), Vec::<&str>::new(), "{told}");
    Ok(())
}
