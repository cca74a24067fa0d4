//! What `memory-soft` means: a program runs free while the host has memory, and is pushed back when it has not.
//! Only in machines of our own, as they make the host short of memory.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::limits::group;
use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Scene, case};

pub fn cases() -> Vec<Case> {
    vec![case(
        "pushed_back_when_memory_is_short",
        &[Need::Limits, Need::Swap],
        pushed_back_when_memory_is_short,
    )]
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
    if !scene.host.is_virtual() || scene.host.swap < 400 << 20 {
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
    let deadline = Instant::now() + Duration::from_secs(150);
    let mut least = u64::MAX;
    while Instant::now() < deadline {
        least = least.min(used(&soft_group));
        if least < SOFT + (16 << 20) {
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
    assert!(
        least < SOFT + (16 << 20),
        "still {least} under pressure\n{out}"
    );
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
