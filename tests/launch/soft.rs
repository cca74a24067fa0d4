//! What `memory-soft` means: a program runs free while the host has memory, and is pushed back when it has not.
//! Only in machines of our own, as they make the host short of memory.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::limits::group;
use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Scene, case};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "pushed_back_when_memory_is_short",
            &[Need::Limits, Need::Swap],
            pushed_back_when_memory_is_short,
        ),
        case(
            "free_again_afterwards",
            &[Need::Limits, Need::Swap, Need::CgroupV2],
            free_again_afterwards,
        ),
        case(
            "throttle_holds_at_any_time",
            &[Need::Limits, Need::Swap, Need::CgroupV2],
            throttle_holds_at_any_time,
        ),
        case(
            "protect_keeps_under_pressure",
            &[Need::Limits, Need::Swap, Need::CgroupV2],
            protect_keeps_under_pressure,
        ),
    ]
}

const HELD: u64 = 160 << 20;
const SOFT: u64 = 32 << 20;

/// A sandbox that holds memory which it does not touch again, and the directory of its group.
fn holding(
    scene: &Scene,
    name: &str,
    limits: &str,
) -> Result<(Running, PathBuf), Box<dyn std::error::Error>> {
    let mut run = scene
        .sandbox()
        .profile_text(&format!("[limits]\nmemory = \"512M\"\n{limits}"))?
        .args(["--json", "--name", name])
        .probe(["memory-hog", &HELD.to_string(), "anon", "600"])
        .limit(Duration::from_secs(600))
        .spawn()?;
    run.wait_for("held")?;
    let holder = run.descendants().into_iter().rfind(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("launch"))
    });
    let group = group(scene, holder.ok_or("no hog")?, "memory")?;
    Ok((run, group))
}

/// The same with memory that is in use all of the time.
fn warm(scene: &Scene, limits: &str) -> Result<(Running, PathBuf), Box<dyn std::error::Error>> {
    let mut run = scene
        .sandbox()
        .profile_text(&format!("[limits]\nmemory = \"512M\"\n{limits}"))?
        .args(["--json"])
        .probe(["keep-warm", &HELD.to_string(), "600"])
        .limit(Duration::from_secs(600))
        .spawn()?;
    run.wait_for("warm")?;
    let holder = run.descendants().into_iter().rfind(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("launch"))
    });
    let group = group(scene, holder.ok_or("no probe")?, "memory")?;
    Ok((run, group))
}

fn end(run: Running) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    run.signal(Signal::SIGTERM)?;
    let out = run.wait()?;
    out.exits_with(143)?;
    Ok(serde_json::from_str(out.stderr().trim())?)
}

/// Whether this is a machine of our own with swap, in which we may watch the pressure (v2: root, or Linux 6.5).
fn can_be_short(scene: &Scene) -> bool {
    let watches = scene.host.v1_mount("memory").is_some() || can_watch_pressure();
    scene.host.is_virtual() && scene.host.swap >= 400 << 20 && watches
}

/// Whether the kernel lets us set a trigger, as the launcher does.
pub(super) fn can_watch_pressure() -> bool {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/pressure/memory");
    file.is_ok_and(|mut file| file.write_all(b"some 150000 2000000\0").is_ok())
}

/// Waits until the group uses at least or at most so much.
fn wait_until(
    group: &std::path::Path,
    suits: impl Fn(u64) -> bool,
    seconds: u64,
) -> Result<(), u64> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if suits(used(group)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(used(group))
}

fn used(group: &std::path::Path) -> u64 {
    ["memory.current", "memory.usage_in_bytes"]
        .iter()
        .find_map(|file| fs::read_to_string(group.join(file)).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// CPU time of a process in clock ticks.
fn ticks(pid: nix::unistd::Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let words = after.split_whitespace().skip(11).take(2);
    words.filter_map(|word| word.parse::<u64>().ok()).sum()
}

struct Hog(Child);

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes more than is left, outside of any sandbox, and keeps using it.
fn make_memory_short() -> Result<Hog, Box<dyn std::error::Error>> {
    let own = std::env::current_exe()?;
    let bytes = available() + (60 << 20);
    let child = Command::new(own)
        .args(["probe", "keep-warm", &bytes.to_string(), "600"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Hog(child))
}

fn pushed_back_when_memory_is_short(scene: &Scene) -> Outcome {
    if !can_be_short(scene) {
        return Ok(());
    }
    let (soft, soft_group) = holding(scene, "soft", "memory-soft = \"32M\"\n")?;
    let (free, free_group) = holding(scene, "free", "")?;
    std::thread::sleep(Duration::from_secs(3));
    // Without pressure both run free.
    for group in [&soft_group, &free_group] {
        assert!(
            used(group) > HELD * 9 / 10,
            "{} without pressure",
            used(group)
        );
    }
    let before = ticks(soft.pid());
    let started = Instant::now();
    let hog = make_memory_short()?;
    // It is pushed back while the host is short of memory. How far that goes depends on who else gave way meanwhile, and
    // on how fast the disk is that is swapped to.
    let enough = HELD * 3 / 4;
    let deadline = Instant::now() + Duration::from_secs(150);
    let mut least = u64::MAX;
    while Instant::now() < deadline {
        least = least.min(used(&soft_group));
        if least < enough {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let beside = used(&free_group);
    println!(
        "soft::pushed_back: {} MiB with a soft limit of 32 MiB, {} MiB without one, after {:?}",
        least >> 20,
        beside >> 20,
        started.elapsed()
    );
    // Watching must not cost what it wants to save: the supervisor sleeps nearly all of the time.
    std::thread::sleep(Duration::from_secs(10));
    let busy = ticks(soft.pid()) - before;
    let lasted = started.elapsed().as_secs() * 100;
    println!("soft::pushed_back: the supervisor was busy for {busy} of {lasted} ticks");
    drop(hog);
    soft.signal(Signal::SIGTERM)?;
    free.signal(Signal::SIGTERM)?;
    let out = soft.wait()?;
    free.wait()?.exits_with(143)?;
    out.exits_with(143)?;
    assert!(least < enough, "still {least} under pressure\n{out}");
    assert!(
        least < beside,
        "{least} with a soft limit, {beside} without"
    );
    assert!(busy < lasted / 4, "{busy} of {lasted} ticks");
    if scene.host.v1_mount("memory").is_none() {
        let report: serde_json::Value = serde_json::from_str(out.stderr().trim())?;
        let causes = report["causes"].as_array().into_iter().flatten();
        let told = causes
            .into_iter()
            .find(|cause| cause["kind"] == "memory-soft");
        let text = told.ok_or_else(|| format!("{report:#}"))?["text"].to_string();
        assert!(
            text.contains("soft limit of 32.0 MiB (limits.memory-soft, "),
            "{text}"
        );
    }
    Ok(())
}

/// What a program waits for after it was pushed back is no reason to push it back again.
fn free_again_afterwards(scene: &Scene) -> Outcome {
    if !can_be_short(scene) {
        return Ok(());
    }
    let (run, group) = warm(scene, "memory-soft = \"32M\"\n")?;
    let hog = make_memory_short()?;
    // It takes back at once what it is deprived of, so that on a slow machine it never gets far below.
    let pushed = wait_until(&group, |used| used < HELD * 19 / 20, 120);
    drop(hog);
    let free = wait_until(&group, |used| used > HELD * 9 / 10, 60);
    let mut least = u64::MAX;
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(200));
        least = least.min(used(&group));
    }
    let report = end(run)?;
    pushed.map_err(|used| format!("never pushed back: {used}\n{report:#}"))?;
    free.map_err(|used| format!("not free again: {used}\n{report:#}"))?;
    assert!(
        least > HELD * 8 / 10,
        "{least} without pressure\n{report:#}"
    );
    Ok(())
}

fn throttle_holds_at_any_time(scene: &Scene) -> Outcome {
    if !can_be_short(scene) {
        return Ok(());
    }
    let limits = "memory-soft = \"32M\"\nmemory-soft-mode = \"throttle\"\n";
    let (run, group) = holding(scene, "throttle", limits)?;
    let held = wait_until(&group, |used| used < SOFT + (16 << 20), 60);
    let report = end(run)?;
    held.map_err(|used| format!("{used} is not throttled\n{report:#}"))?;
    let causes = report["causes"].to_string();
    assert!(
        causes.contains("memory-throttled") && causes.contains("limits.memory-soft"),
        "{report:#}"
    );
    Ok(())
}

/// The opposite favour: what is held stays, and somebody else's goes.
fn protect_keeps_under_pressure(scene: &Scene) -> Outcome {
    if !can_be_short(scene) || scene.host.systemd_user {
        return Ok(()); // protection counts only as far as the groups above have it
    }
    let limits = "memory-soft = \"150M\"\nmemory-soft-mode = \"protect\"\n";
    let (kept, kept_group) = holding(scene, "kept", limits)?;
    let (free, free_group) = holding(scene, "free", "")?;
    let hog = make_memory_short()?;
    let pressed = wait_until(&free_group, |used| used < HELD * 7 / 8, 150);
    let (kept_used, free_used) = (used(&kept_group), used(&free_group));
    drop(hog);
    println!(
        "soft::protect: {} MiB kept, {} MiB without",
        kept_used >> 20,
        free_used >> 20
    );
    end(kept)?;
    end(free)?;
    pressed.map_err(|used| format!("no pressure: {used}"))?;
    assert!(kept_used > 140 << 20, "{kept_used} of what is protected");
    Ok(())
}
