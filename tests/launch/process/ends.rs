//! What ends a program: resource limits, time, and the launcher's own end.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::support::{Case, Need, Outcome, Scene, case, has_ended, wait_until};
use super::{USERNS, script};

pub fn cases() -> Vec<Case> {
    vec![
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
    ]
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
