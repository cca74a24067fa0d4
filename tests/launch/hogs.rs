//! Programs that take all they can get, each against its limit: the limit strikes, the report says what happened, and
//! the host answers meanwhile.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const LIMITS: &[Need] = &[Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("memory", LIMITS, memory),
        case("page_cache", LIMITS, page_cache),
        case("forks", LIMITS, forks),
        case("forks_within_forks", LIMITS, forks_within_forks),
        case("cpu", &[Need::Limits, Need::Controller("cpu")], cpu),
        case("swap", &[Need::Limits, Need::Swap, Need::SwapLimit], swap),
        case("disk", &[Need::Limits, Need::Root], disk),
        case(
            "all_at_once",
            &[Need::Limits, Need::Program("sh")],
            all_at_once,
        ),
    ]
}

/// The longest time that starting and ending a process took on this host while `work` went on.
fn while_host_answers(
    scene: &Scene,
    work: impl FnOnce() -> std::io::Result<Finished>,
) -> Result<Finished, Box<dyn std::error::Error>> {
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let asking = thread::spawn(move || {
        let mut slowest = Duration::ZERO;
        while !ended.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let answer = Command::new("true").stdin(Stdio::null()).status();
            slowest = slowest.max(asked.elapsed());
            if !answer.is_ok_and(|status| status.success()) {
                return Duration::MAX;
            }
            thread::sleep(Duration::from_millis(20));
        }
        slowest
    });
    let out = work();
    done.store(true, Ordering::Relaxed);
    let slowest = asking.join().map_err(|_| "the host was not asked")?;
    // A second is what a user would bear; machines that are emulated, or shared with other work, get more.
    let bearable = Duration::from_secs(if scene.host.is_virtual() { 20 } else { 5 });
    assert!(
        slowest < bearable,
        "the host did not answer for {slowest:?}"
    );
    Ok(out?)
}

/// `swap = 0` where that can be said, so that memory means memory.
fn without_swap(scene: &Scene) -> Option<&'static str> {
    match scene.host.lacks(&Need::SwapLimit) {
        None => Some("swap = 0\n"),
        Some(_) if scene.host.swap > 0 => None,
        Some(_) => Some(""),
    }
}

fn report(out: &Finished) -> Result<Value, Box<dyn std::error::Error>> {
    let text = out.stderr();
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.ok_or_else(|| format!("no report\n{out}"))?;
    Ok(serde_json::from_str(line)?)
}

/// The cause of that kind.
fn cause<'a>(report: &'a Value, kind: &str) -> Result<&'a Value, Box<dyn std::error::Error>> {
    let causes = report["causes"].as_array().into_iter().flatten();
    let found = causes.into_iter().find(|cause| cause["kind"] == kind);
    Ok(found.ok_or_else(|| format!("no cause `{kind}` in {report:#}"))?)
}

fn memory(scene: &Scene) -> Outcome {
    let Some(swap) = without_swap(scene) else {
        return Ok(()); // it would be swapped out instead
    };
    let userns = scene.host.no_userns.is_none();
    let view = "[namespaces]\npid = true\nipc = true\n[filesystem]\n\"/\" = \"read-write\"\n\"/tmp\" = \"tmpfs\"\n";
    for (kind, extra) in [
        ("anon", ""),
        ("memfd", ""),
        ("shm", ""),
        ("sysv", ""),
        ("anon", view),
        ("sysv", view),
        ("/tmp/hog", view),
    ] {
        if !extra.is_empty() && !userns {
            continue;
        }
        let sandbox = scene
            .sandbox()
            .profile_text(&format!("[limits]\nmemory = \"48M\"\n{swap}{extra}"))?
            .args(["--json"])
            .probe(["memory-hog", "209715200", kind]);
        let out = while_host_answers(scene, || sandbox.run())?;
        out.exits_with(137)
            .map_err(|error| format!("{kind}: {error}"))?;
        assert!(!out.stdout().contains("held"), "{kind}: {out}");
        let report = report(&out)?;
        let cause = cause(&report, "memory")?;
        assert_eq!(cause["limit"], "limits.memory", "{report}");
        let text = cause["text"].as_str().unwrap_or_default();
        assert!(text.contains("profile-1.toml:2:10"), "{report}");
        assert!(
            cause["help"][0]
                .as_str()
                .is_some_and(|help| help.contains("--memory 96M")
                    && help.contains("`memory = \"96M\"` in line 2 of")),
            "{report}"
        );
        // The peak is the limit, less what the kernel keeps in hand.
        let peak = report["usage"]["memory_peak"].as_u64();
        assert!(
            peak.is_none_or(|peak| (44 << 20..=48 << 20).contains(&peak)),
            "{report}"
        );
        assert_eq!(report["signal"], 9, "{report}");
    }
    Ok(())
}

/// Files that are written fill the cache, which the kernel takes back: nobody is killed, and it is told as that.
fn page_cache(scene: &Scene) -> Outcome {
    let file = scene.folder().join("home/written");
    let file = file.display().to_string();
    let sandbox = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"32M\"\n")?
        .args(["--json"])
        .probe(["memory-hog", "134217728", &file]);
    let out = while_host_answers(scene, || sandbox.run())?;
    out.succeeds()?;
    let report = report(&out)?;
    assert_eq!(report["usage"]["oom_kills"], 0, "{report}");
    let peak = report["usage"]["memory_peak"].as_u64();
    assert!(peak.is_none_or(|peak| peak <= 32 << 20), "{report}");
    let hits = report["usage"]["memory_limit_hits"].as_u64();
    if hits.is_some_and(|hits| hits > 0) {
        let cause = cause(&report, "memory-reclaimed")?;
        assert_eq!(cause["count"].as_u64(), hits, "{report}");
    }
    // Without being asked nothing is said.
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"32M\"\n")?
        .probe(["memory-hog", "67108864", &file])
        .run()?;
    out.succeeds()?;
    assert_eq!(out.stderr(), "", "{out}");
    Ok(())
}

fn forks(scene: &Scene) -> Outcome {
    let seconds = if scene.host.is_virtual() { "20" } else { "2" };
    let sandbox = scene
        .sandbox()
        .profile_text("[limits]\npids = 24\n")?
        .args(["--json"])
        .probe(["fork-bomb", seconds, "200"]);
    let out = while_host_answers(scene, || sandbox.run())?;
    out.succeeds()?;
    let report = report(&out)?;
    let cause = cause(&report, "pids")?;
    let refused = report["usage"]["pids_refused"].as_u64();
    assert_eq!(cause["count"].as_u64(), refused, "{report}");
    let said = out.stdout();
    let said = said.trim().rsplit(' ').next().and_then(|n| n.parse().ok());
    assert!(refused >= said && refused > Some(0), "{out}");
    let peak = report["usage"]["pids_peak"].as_u64();
    assert!(peak.is_none_or(|peak| peak == 24), "{report}");
    Ok(())
}

/// The bomb of every textbook, which runs until it is killed: by the timeout, all of it.
fn forks_within_forks(scene: &Scene) -> Outcome {
    let seconds = if scene.host.is_virtual() { 6 } else { 2 };
    let sandbox = scene
        .sandbox()
        .profile_text(&format!(
            "[limits]\npids = 30\n[process]\ntimeout = \"{seconds}s\"\n"
        ))?
        .args(["--json"])
        .probe(["fork-storm"])
        .limit(Duration::from_secs(120));
    let out = while_host_answers(scene, || sandbox.run())?;
    let report = report(&out)?;
    assert_eq!(report["timed_out"], true, "{report}");
    cause(&report, "pids")?;
    let timeout = cause(&report, "timeout")?;
    assert_eq!(timeout["limit"], "process.timeout", "{report}");
    Ok(())
}

fn cpu(scene: &Scene) -> Outcome {
    let seconds = if scene.host.is_virtual() { "4" } else { "1" };
    let sandbox = scene
        .sandbox()
        .profile_text("[limits]\ncpu = \"10%\"\n")?
        .args(["--report"])
        .probe(["burn", seconds]);
    let out = while_host_answers(scene, || sandbox.run())?;
    out.succeeds()?;
    for text in [
        "held back at the CPU limit of 10% (limits.cpu, ",
        "profile-1.toml:2:7) in ",
        "to give it more: --cpu 20%; for good: `cpu = \"20%\"` in line 2 of",
        "CPU time",
    ] {
        out.complains(text)?;
    }
    Ok(())
}

/// All of the swap limit is used, nothing beyond it, and the report says that it was full.
fn swap(scene: &Scene) -> Outcome {
    const LIMIT: u64 = 48 << 20;
    if scene.host.swap < 100 << 20 {
        return Ok(());
    }
    let profile = "[limits]\nmemory = \"32M\"\nswap = \"48M\"\n";
    // 68 MiB: more than the memory, less than both.
    let mut run = scene
        .sandbox()
        .profile_text(profile)?
        .args(["--json"])
        .probe(["memory-hog", "71303168", "anon", "4"])
        .spawn()?;
    run.wait_for("held")?;
    let holder = run.descendants().into_iter().rfind(|pid| {
        // By its own name: what keeps a scope has the arguments of the launcher.
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.starts_with("launch"))
    });
    let group = super::limits::group(scene, holder.ok_or("no hog")?, "memory")?;
    let read = |file: &str| {
        let text = std::fs::read_to_string(group.join(file)).unwrap_or_default();
        text.trim().parse::<u64>().unwrap_or(0)
    };
    let swapped = if scene.host.v1_mount("memory").is_some() {
        read("memory.memsw.usage_in_bytes").saturating_sub(read("memory.usage_in_bytes"))
    } else {
        read("memory.swap.current")
    };
    let out = run.wait()?;
    out.succeeds()?;
    assert!(swapped > 30 << 20 && swapped <= LIMIT, "{swapped} of swap");

    let both = "its swap limit of 48.0 MiB was reached too (limits.swap, ";
    // A kernel that does not get pages out fast enough kills while there is swap left, and the report says so.
    let mut tries = 5;
    let (report, cause) = loop {
        let sandbox = scene
            .sandbox()
            .profile_text(profile)?
            .args(["--json"])
            .probe(["memory-hog", "157286400", "anon"]);
        let out = while_host_answers(scene, || sandbox.run())?;
        out.exits_with(137)?;
        let report = report(&out)?;
        let cause = cause(&report, "memory")?.clone();
        if cause["text"].as_str().unwrap_or_default().contains(both) {
            break (report, cause);
        }
        tries -= 1;
        assert!(tries > 0, "{report}");
    };
    let help = cause["help"].to_string();
    assert!(
        help.contains("--memory 64M") && help.contains("--swap 96M"),
        "{report}"
    );
    if let Some(peak) = report["usage"]["swap_peak"].as_u64() {
        assert!(peak > LIMIT * 9 / 10 && peak <= LIMIT, "{report}");
    }
    if let Some(both) = report["usage"]["memory_and_swap_peak"].as_u64() {
        assert!(both > 76 << 20 && both <= 80 << 20, "{report}");
    }
    Ok(())
}

/// Writing to a disk as fast as the limit allows, which is told although the kernel counts no waiting for it.
fn disk(scene: &Scene) -> Outcome {
    let v2 = scene.host.v2.as_ref();
    let v2 = v2.is_some_and(|(_, controllers)| controllers.iter().any(|name| name == "io"));
    if !v2 && scene.host.v1_mount("blkio").is_none() {
        return Ok(());
    }
    // Written past the page cache: what goes through it v1 does not limit.
    let sandbox = scene
        .sandbox()
        .profile_text("[limits]\n\"/var/tmp\" = { write = \"1M\" }\n")?
        .args(["--json"])
        .program([
            "dd",
            "if=/dev/zero",
            "of=written",
            "bs=64k",
            "count=96",
            "oflag=direct",
        ]);
    let out = while_host_answers(scene, || sandbox.run())?;
    if out.code() == 125 && out.stderr().contains("no disk")
        || out.stderr().contains("Invalid argument")
    {
        return Ok(()); // not on a disk of this kernel's, or a file system without direct writing
    }
    out.succeeds()?;
    let report = report(&out)?;
    let seconds = report["seconds"].as_f64().unwrap_or(0.0);
    assert!(
        seconds > 3.0,
        "6 MiB at 1 MiB a second took {seconds}\n{report:#}"
    );
    let written = report["usage"]["io_write_bytes"].as_u64();
    assert!(
        written.is_some_and(|bytes| (6 << 20..12 << 20).contains(&bytes)),
        "{report:#}"
    );
    let cause = cause(&report, "io")?;
    let text = cause["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("its limit is 1.0 MiB (limits./var/tmp, "),
        "{text}"
    );
    assert!(
        cause["help"]
            .to_string()
            .contains("limits.\\\"/var/tmp\\\"="),
        "{report:#}"
    );
    Ok(())
}

/// One sandbox that does everything wrong at the same time.
fn all_at_once(scene: &Scene) -> Outcome {
    let Some(swap) = without_swap(scene) else {
        return Ok(());
    };
    let seconds = if scene.host.is_virtual() { "30" } else { "2" };
    let own = std::env::current_exe()?.display().to_string();
    let file = scene.folder().join("home/written");
    let sandbox = scene
        .sandbox()
        .profile_text(&format!(
            "[limits]\nmemory = \"64M\"\n{swap}pids = 30\ncpu = \"100%\"\n"
        ))?
        .args(["--json"])
        .program([
            "sh",
            "-c",
            "\"$0\" probe fork-bomb $1 60 >/dev/null & \"$0\" probe burn $1 & \
             \"$0\" probe memory-hog 67108864 \"$2\" & \"$0\" probe memory-hog 209715200; wait; exit 7",
            &own,
            seconds,
            &file.display().to_string(),
        ]);
    let out = while_host_answers(scene, || sandbox.run())?;
    out.exits_with(7)?;
    let report = report(&out)?;
    for kind in ["memory", "pids"] {
        cause(&report, kind)?;
    }
    // They are also told as they happen.
    let events = report["events"].as_array().into_iter().flatten();
    let kills = events
        .filter(|event| event["event"] == "out-of-memory")
        .count();
    assert!(kills >= 1, "{report:#}");
    Ok(())
}
