//! `sandbox --background` and `sandboxctl logs`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::support::{Case, Need, Outcome, Scene, case, unique};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("comes_back_at_once", &[], comes_back_at_once),
        case("pipes_are_let_go", &[], pipes_are_let_go),
        case("failures_are_told", &[], failures_are_told),
        case("log_is_followed", USERNS, log_is_followed),
        case("no_log", &[], no_log),
    ]
}

/// A log of this scene; removed when this is dropped, as root's are not in the scene.
struct Log(PathBuf);

impl Log {
    fn of(scene: &Scene, name: &str) -> Self {
        let folder = if scene.host.is_root() {
            PathBuf::from("/var/log/sandbox")
        } else {
            scene.home().join(".local/state/sandbox/logs")
        };
        Self(folder.join(format!("{name}.log")))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Ends a sandbox, and waits until it is gone.
fn end(scene: &Scene, name: &str) -> Outcome {
    let out = scene
        .sandboxctl()
        .args(["join", name])
        .program(["sh", "-c", "kill -TERM $(cat \"$HOME/pid\")"])
        .run()?;
    // It may be gone before who joined it has ended.
    if out.code() != 137 {
        out.succeeds()?;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let out = scene
            .sandboxctl()
            .args(["join", name])
            .program(["true"])
            .run()?;
        if out.code() != 0 {
            return out.complains("is running");
        }
        assert!(Instant::now() < deadline, "it does not end");
    }
}

fn comes_back_at_once(scene: &Scene) -> Outcome {
    let name = unique("background");
    let log = Log::of(scene, &name);
    let start = Instant::now();
    let out = scene
        .sandbox()
        .profile_text("[process]\nno-new-privileges = true\n")?
        .args(["--background", "--name", &name])
        .stdin("typed\n")
        .program([
            "sh",
            "-c",
            "echo $$ > \"$HOME/pid\"; echo out; echo err >&2; cat; echo read; exec sleep 600",
        ])
        .run()?;
    out.succeeds()?.prints(&name)?;
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "it did not come back"
    );
    let shown = || scene.sandboxctl().args(["logs", &name]).run();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut text = String::new();
    while !text.contains("read\n") && Instant::now() < deadline {
        text = shown()?.stdout();
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&log.0)?.permissions());
    // No terminal of the caller's, and a session of its own.
    let session = fs::read_to_string(scene.home().join("pid"))?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", session.trim()))?;
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    end(scene, &name)?;
    assert_eq!(text, "out\nerr\nread\n");
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fields.get(4), Some(&"0"), "it has a terminal: {stat}");
    // The log stays.
    let after = shown()?;
    after.succeeds()?;
    assert!(after.stdout().starts_with("out\nerr\nread\n"), "{after}");
    Ok(())
}

/// Who reads what it says, as `$(…)`, `ssh` and pipelines do, waits until nobody can say anything more.
fn pipes_are_let_go(scene: &Scene) -> Outcome {
    let name = unique("pipes");
    let log = Log::of(scene, &name);
    let start = Instant::now();
    let out = scene
        .sandbox()
        .profile_text("[process]\nno-new-privileges = true\n")?
        .args(["--background", "--name", &name])
        .program(["sh", "-c", "echo $$ > \"$HOME/pid\"; exec sleep 20"])
        .behind(["sh", "-c", "\"$@\" 2>&1 | cat", "sh"])
        .run()?;
    let took = start.elapsed();
    end(scene, &name)?;
    drop(log);
    assert!(
        took < Duration::from_secs(15),
        "it was waited for: {took:?}"
    );
    out.succeeds()?.prints(&name)
}

fn failures_are_told(scene: &Scene) -> Outcome {
    let name = unique("failed");
    let log = Log::of(scene, &name);
    for (profile, program, code, reason) in [
        (
            "[process]\nno-new-privileges = true\n",
            "/no/such/program",
            127,
            "no such file",
        ),
        (
            "[process]\nno-new-privileges = true\n",
            "/etc/passwd",
            126,
            "permission denied",
        ),
        (
            "[process]\ncpu-affinity = \"8191\"\n",
            "true",
            125,
            "EINVAL",
        ),
        ("[process]\nnice = 99\n", "true", 2, "out of range"),
    ] {
        let out = scene
            .sandbox()
            .profile_text(profile)?
            .args(["--background", "--name", &name])
            .program([program])
            .run()?;
        out.exits_with(code)?.prints("")?;
        out.complains(reason)?;
        assert!(!log.0.exists(), "a log stays of what never ran");
    }
    // What has ended at once was started.
    let out = scene
        .sandbox()
        .profile_text("[process]\nno-new-privileges = true\n")?
        .args(["--background", "--name", &name])
        .program(["sh", "-c", "exit 3"])
        .run()?;
    out.succeeds()?.prints(&name)
}

fn log_is_followed(scene: &Scene) -> Outcome {
    let name = unique("followed");
    let log = Log::of(scene, &name);
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .args(["--background", "--name", &name])
        .program([
            "sh",
            "-c",
            "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done; printf 'end \\033[31m'",
        ])
        .run()?;
    out.succeeds()?.prints(&name)?;
    let out = scene.sandboxctl().args(["logs", "--follow", &name]).run()?;
    out.succeeds()?;
    assert_eq!(
        out.stdout(),
        "line 1\nline 2\nline 3\nline 4\nline 5\nend \u{1b}[31m"
    );
    // A terminal is not commanded by it.
    let out = scene
        .sandboxctl()
        .args(["logs", &name])
        .on_terminal()
        .run()?;
    drop(log);
    let text = out.stdout();
    assert!(text.contains("line 5") && !text.contains('\u{1b}'), "{out}");
    Ok(())
}

fn no_log(scene: &Scene) -> Outcome {
    for (name, reason) in [
        ("no-such-sandbox", "--background"),
        ("../x", "is no name of a sandbox"),
    ] {
        let out = scene.sandboxctl().args(["logs", name]).run()?;
        out.exits_with(1)?.prints("")?;
        out.complains(reason)?;
    }
    Ok(())
}
