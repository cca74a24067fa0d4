//! The frame itself: its probes answer, and it notices what a case leaves behind.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::support::{Case, Layout, Need, Outcome, Scene, Traces, case};

/// Long enough here, as nothing is about to disappear.
const SOON: Duration = Duration::from_millis(50);

pub fn cases() -> Vec<Case> {
    vec![
        case("status_probe", &[], status_probe),
        case("descriptor_probe", &[], descriptor_probe),
        case("memory_probe", &[], memory_probe),
        case("fork_probe", &[], fork_probe),
        case("call_probe", &[], call_probe),
        case("terminal", &[], terminal),
        case("time_limit", &[], time_limit),
        case("environment", &[], environment),
        case("orphan_is_found", &[], orphan_is_found),
        case(
            "group_is_found",
            &[Need::Root, Need::Controller("pids")],
            group_is_found,
        ),
        case("mount_is_found", &[Need::Root], mount_is_found),
        case("kind_matches_layout", &[], kind_matches_layout),
    ]
}

/// This program, as the scene's command and without a sandbox around it.
fn probe(scene: &Scene, line: &[&str]) -> Result<super::support::Finished, std::io::Error> {
    let own = std::env::current_exe()?;
    scene
        .command(own)
        .args(["probe"])
        .args(line.iter().copied())
        .run()
}

fn status_probe(scene: &Scene) -> Outcome {
    let out = probe(scene, &["status"])?;
    out.succeeds()?;
    assert!(out.stdout().contains("\nCapEff:"), "{out}");
    Ok(())
}

fn descriptor_probe(scene: &Scene) -> Outcome {
    let out = probe(scene, &["fds"])?;
    out.succeeds()?;
    let text = out.stdout();
    let numbers: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(numbers, ["0", "1", "2"], "{out}");
    Ok(())
}

fn memory_probe(scene: &Scene) -> Outcome {
    for kind in ["anon", "memfd", "shm"] {
        let out = probe(scene, &["memory-hog", "3145728", kind])?;
        out.succeeds()?;
        out.prints("held 3145728")?;
    }
    probe(scene, &["memory-hog", "1", "paper"])?.exits_with(2)?;
    Ok(())
}

fn fork_probe(scene: &Scene) -> Outcome {
    let own = std::env::current_exe()?;
    let out = scene
        .command("/usr/bin/prlimit")
        .args(["--nproc=1:1"])
        .args([own])
        .args(["probe", "fork-bomb", "1", "20"])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let words: Vec<&str> = text.split_whitespace().collect();
    let &["forked", forked, "refused", refused] = words.as_slice() else {
        return Err(out.to_string().into());
    };
    // The limit does not bind root.
    if scene.host.is_root() {
        assert_eq!(forked, "20", "{out}");
    } else {
        assert_ne!(refused, "0", "{out}");
    }
    Ok(())
}

fn call_probe(scene: &Scene) -> Outcome {
    let out = probe(scene, &["syscall", "getuid"])?;
    out.prints(&format!("= {}", nix::unistd::Uid::current()))?;
    let out = probe(scene, &["syscall", "access", "s:/nowhere/at/all", "0"])?;
    out.exits_with(1)?.prints("ENOENT")
}

fn terminal(scene: &Scene) -> Outcome {
    let mut shell = scene
        .command("/bin/sh")
        .on_terminal()
        .args(["-c", "read word; tty; echo got $word"])
        .spawn()?;
    shell.type_in(b"hello\n")?;
    shell.wait_for("got hello")?;
    let out = shell.wait()?;
    out.succeeds()?;
    assert!(out.stdout().contains("/dev/pts/"), "{out}");
    Ok(())
}

fn time_limit(scene: &Scene) -> Outcome {
    let sleeping = scene
        .command("/bin/sleep")
        .args(["30"])
        .limit(Duration::from_millis(50))
        .run();
    let error = sleeping
        .err()
        .ok_or("a limit of 50 ms let `sleep 30` end")?;
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    Ok(())
}

fn environment(scene: &Scene) -> Outcome {
    let out = scene
        .command("/bin/sh")
        .args(["-c", "echo $HOME; pwd"])
        .run()?;
    let home = scene.home().display().to_string();
    out.prints(&format!("{home}\n{home}"))
}

fn orphan_is_found(scene: &Scene) -> Outcome {
    let before = Traces::take();
    let out = scene
        .command("/bin/sh")
        .args(["-c", "sleep 98765 >/dev/null 2>&1 &"])
        .run()?;
    out.succeeds()?;
    let found = before.clean_up_after(SOON).join("\n");
    assert!(
        found.contains("process") && found.contains("sleep 98765"),
        "found: {found}"
    );
    assert!(Traces::take().clean_up().is_empty());
    Ok(())
}

fn group_is_found(scene: &Scene) -> Outcome {
    let host = &scene.host;
    let root: PathBuf = match (host.v1_mount("pids"), &host.v2) {
        (Some(mount), _) => mount.to_owned(),
        (None, Some((mount, _))) => mount.clone(),
        (None, None) => return Err("the hierarchy has gone".into()),
    };
    let before = Traces::take();
    let group = root.join(format!("sandbox-harness-{}", std::process::id()));
    fs::create_dir(&group)?;
    let found = before.clean_up_after(SOON).join("\n");
    assert!(found.contains("sandbox-harness-"), "found: {found}");
    assert!(!group.exists(), "`{}` was not removed", group.display());
    Ok(())
}

fn mount_is_found(scene: &Scene) -> Outcome {
    let before = Traces::take();
    let folder = scene.folder().join("mounted");
    fs::create_dir(&folder)?;
    let out = scene
        .command("/bin/mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .args([&folder])
        .run()?;
    out.succeeds()?;
    let found = before.clean_up_after(SOON).join("\n");
    assert!(found.contains("mounted"), "found: {found}");
    Ok(())
}

/// The runner promises a layout by the kind's name; a machine that came up otherwise
/// would test something else than it says.
fn kind_matches_layout(scene: &Scene) -> Outcome {
    let host = &scene.host;
    let expected = match host.kind.as_str() {
        kind if kind.starts_with("vm-v2") => Layout::V2,
        kind if kind.starts_with("vm-v1") => Layout::V1,
        kind if kind.starts_with("vm-hybrid") => Layout::Hybrid,
        _ => return Ok(()),
    };
    assert_eq!(host.layout, expected, "{host}");
    assert_eq!(host.is_root(), host.kind.contains("root"), "{host}");
    Ok(())
}
