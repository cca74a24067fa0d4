//! What the verbs say of a sandbox, and do to it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::super::support::{Case, Need, Outcome, Scene, case, unique};
use super::{
    Fault, LIMITED, PID_NAMESPACE, PLAIN, agrees, control, ctl, of, start, until, written,
};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "every_verb",
            &[Need::Limits, Need::UserNamespaces],
            every_verb,
        ),
        case("without_limits", &[Need::UserNamespaces], without_limits),
        case("names", &[], names),
        case("wait_tells_the_status", &[], wait_tells_the_status),
        case("kill_signals", &[], kill_signals),
        case(
            "kill_all_of_a_namespace",
            &[Need::UserNamespaces],
            kill_all_of_a_namespace,
        ),
        case("kill_all_of_a_group", &[Need::Limits], kill_all_of_a_group),
        case("freeze_is_complete", &[Need::Limits], freeze_is_complete),
        case("freeze_needs_a_group", &[], freeze_needs_a_group),
        case("events_of_one", &[Need::Limits], events_of_one),
        case("top_once", &[], top_once),
        case("top_on_a_terminal", &[], top_on_a_terminal),
        case("twenty", &[], twenty),
    ]
}

fn every_verb(scene: &Scene) -> Outcome {
    let name = unique("all");
    let profile = format!("{LIMITED}{PID_NAMESPACE}{PLAIN}");
    let run = start(scene, &name, &profile, "sleep 600 & sleep 600")?;
    let line = of(&control(scene, &["list", "--json"])?, "name", &name).ok_or("not listed")?;
    assert_eq!(line["status"], "running", "{line}");
    assert_eq!(line["memory_limit"], 64 << 20, "{line}");
    assert_eq!(line["program"], "sh", "{line}");
    let out = ctl(scene, &["list"])?;
    out.succeeds()?;
    let text = out.stdout();
    let row = text.lines().find(|row| row.starts_with(&name));
    assert!(row.is_some_and(|row| row.contains("/64M")), "{out}");

    let state = control(scene, &["state", &name, "--json"])?;
    let limit = of(&state["limits"], "key", "memory").ok_or("no limit")?;
    let origin = limit["origin"].as_str().unwrap_or("");
    assert!(origin.contains("profile-1.toml:2:"), "{limit}");
    assert_eq!(state["init"], true);
    ctl(scene, &["state", &name])?.succeeds()?;

    let processes = control(scene, &["ps", &name, "--json"])?;
    let inside: Vec<i64> = processes
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|process| process["inside"].as_i64())
        .collect();
    assert!(
        inside.contains(&1) && inside.contains(&2) && inside.len() == 4,
        "{processes:#}"
    );
    let tree = control(scene, &["tree", &name, "--json"])?;
    let first = &tree[0]["processes"][0];
    assert_eq!(first["inside"], 1, "{tree:#}");
    assert_eq!(
        first["children"][0]["children"].as_array().map(Vec::len),
        Some(2),
        "{tree:#}"
    );
    ctl(scene, &["tree", &name])?.succeeds()?;

    let stats = control(scene, &["stats", &name, "--json"])?;
    assert_eq!(stats[0]["counted"], "group", "{stats:#}");
    assert_eq!(stats[0]["pids"], 4, "{stats:#}");
    assert_eq!(stats[0]["pids_limit"], 40, "{stats:#}");
    let out = ctl(scene, &["stats", &name])?;
    assert!(out.stdout().contains("of 64.0 MiB"), "{out}");

    let namespaces = control(scene, &["namespaces", &name, "--json"])?;
    let pid = of(&namespaces, "kind", "pid").ok_or("no pid namespace")?;
    assert_eq!(pid["shared_with_caller"], false, "{pid}");
    let net = of(&namespaces, "kind", "net").ok_or("no net namespace")?;
    assert_eq!(net["shared_with_caller"], true, "{net}");

    let out = ctl(scene, &["policy", &name])?;
    assert!(out.stdout().contains("memory = \"64M\""), "{out}");
    let policy = control(scene, &["policy", &name, "--json"])?;
    assert_eq!(policy["sections"]["limits"]["pids"]["origin"]["line"], 3);

    let out = ctl(scene, &["show", &name])?;
    out.exits_with(2)?
        .complains(&format!("sandboxctl policy {name}"))?;

    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    assert_eq!(
        of(&control(scene, &["list", "--json"])?, "name", &name),
        None
    );
    assert!(!scene.records().join(&name).exists());
    Ok(())
}

fn without_limits(scene: &Scene) -> Outcome {
    let name = unique("free");
    let run = start(scene, &name, PID_NAMESPACE, "sleep 600 & sleep 600")?;
    let stats = control(scene, &["stats", &name, "--json"])?;
    assert_eq!(stats[0]["counted"], "processes", "{stats:#}");
    assert_eq!(stats[0]["pids"], 4, "{stats:#}");
    let processes = control(scene, &["ps", &name, "--json"])?;
    assert_eq!(processes.as_array().map(Vec::len), Some(4), "{processes:#}");
    ctl(scene, &["kill", &name, "--signal", "KILL"])?.succeeds()?;
    run.wait()?.exits_with(137)?;
    Ok(())
}

fn names(scene: &Scene) -> Outcome {
    let name = unique("name");
    let first = start(scene, &name, PLAIN, "exec sleep 600")?;
    let again = scene
        .sandbox()
        .profile_text(PLAIN)?
        .args(["--name", &name])
        .program(["true"])
        .run()?;
    again.exits_with(125)?;
    again.complains(&format!(
        "`{name}` is taken by a running sandbox: `sh`, process"
    ))?;
    for bad in ["a/b", ".a", "-a", "a b", &"a".repeat(65)] {
        let option = format!("--name={bad}");
        scene
            .sandbox()
            .profile_text(PLAIN)?
            .args([option])
            .program(["true"])
            .run()?
            .exits_with(2)?;
    }
    // Automatic names are numbered; the program's name is all that they need.
    let program = scene.write(&unique("prog"), "#!/bin/sh\necho ready\nexec sleep 600\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let mut run = scene
            .sandbox()
            .profile_text(PLAIN)?
            .program([&program])
            .spawn()?;
        run.wait_for("ready")?;
        runs.push(run);
    }
    for number in ["", "-2", "-3"] {
        written(scene, &(unique("prog") + number))?;
    }
    let out = ctl(scene, &["state", &unique("prgo")])?;
    out.exits_with(1)?;
    out.complains(&format!("did you mean `{}", unique("pro")))?;
    out.complains("running: ")?;
    // A number that became free is taken again.
    ctl(scene, &["kill", &(unique("prog") + "-2")])?.succeeds()?;
    runs.remove(1).wait()?.exits_with(143)?;
    let mut run = scene
        .sandbox()
        .profile_text(PLAIN)?
        .program([&program])
        .spawn()?;
    run.wait_for("ready")?;
    written(scene, &(unique("prog") + "-2"))?;
    runs.push(run);
    runs.push(first);
    for run in runs {
        run.signal(Signal::SIGTERM)?;
        run.wait()?.exits_with(143)?;
    }
    Ok(())
}

fn wait_tells_the_status(scene: &Scene) -> Outcome {
    let name = unique("wait");
    let run = start(
        scene,
        &name,
        PLAIN,
        "trap 'exit 7' TERM; while :; do sleep 0.1; done",
    )?;
    let waiting = scene.sandboxctl().args(["wait", &name, "--json"]).spawn()?;
    std::thread::sleep(Duration::from_millis(300));
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(7)?;
    let out = waiting.wait()?;
    out.exits_with(7)?;
    let ended: Value = serde_json::from_str(&out.stdout())?;
    agrees("wait", &ended)?;
    assert_eq!(ended["status"], 7, "{out}");
    ctl(scene, &["wait", &name])?
        .exits_with(1)?
        .complains("no sandbox named")?;
    Ok(())
}

fn kill_signals(scene: &Scene) -> Outcome {
    let name = unique("sig");
    let line = "trap 'echo one' USR1; trap 'echo two' HUP; while :; do sleep 0.1; done";
    let mut run = start(scene, &name, PLAIN, line)?;
    ctl(scene, &["kill", &name, "--signal", "USR1"])?.succeeds()?;
    run.wait_for("one")?;
    ctl(scene, &["kill", &name, "--signal", "1"])?.succeeds()?;
    run.wait_for("two")?;
    ctl(scene, &["kill", &name, "--signal", "NONE"])?.exits_with(2)?;
    ctl(
        scene,
        &["kill", &unique("nobody"), &name, "--signal", "KILL"],
    )?
    .exits_with(1)?
    .complains("no sandbox named")?;
    run.wait()?.exits_with(137)?;
    Ok(())
}

/// Ends a sandbox whose processes become others faster than they can be listed.
fn kill_hoppers(scene: &Scene, profile: &str) -> Outcome {
    let name = unique("hop");
    let mut run = scene
        .sandbox()
        .profile_text(profile)?
        .args(["--name", &name])
        .probe(["hop", "10"])
        .spawn()?;
    run.wait_for("hopping")?;
    written(scene, &name)?;
    ctl(scene, &["kill", &name, "--all", "--signal", "KILL"])?.succeeds()?;
    run.wait()?.exits_with(137)?;
    // What is left would be found by the frame, too.
    let out = ctl(scene, &["list"])?;
    assert!(!out.stdout().contains(&name), "{out}");
    Ok(())
}

fn kill_all_of_a_namespace(scene: &Scene) -> Outcome {
    kill_hoppers(scene, PID_NAMESPACE)
}

fn kill_all_of_a_group(scene: &Scene) -> Outcome {
    kill_hoppers(scene, LIMITED)
}

fn freeze_is_complete(scene: &Scene) -> Outcome {
    let name = unique("ice");
    let mut run = scene
        .sandbox()
        .profile_text(LIMITED)?
        .args(["--name", &name])
        .probe(["hop", "10"])
        .spawn()?;
    run.wait_for("hopping")?;
    written(scene, &name)?;
    let out = ctl(scene, &["freeze", &name])?;
    if out.code() == 1 && out.stderr().contains("hierarchy of `freezer`") {
        // v1 in the hands of a user to whom it was not given.
        run.signal(Signal::SIGTERM)?;
        run.wait()?;
        return Ok(());
    }
    out.succeeds()?;
    let line = of(&control(scene, &["list", "--json"])?, "name", &name).ok_or("not listed")?;
    assert_eq!(line["status"], "frozen", "{line}");
    let processes = || -> Result<BTreeSet<i64>, Fault> {
        let all = control(scene, &["ps", &name, "--json"])?;
        let all = all.as_array().into_iter().flatten();
        Ok(all.filter_map(|process| process["pid"].as_i64()).collect())
    };
    let before = processes()?;
    assert!(before.len() >= 11, "{before:?}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(processes()?, before, "one was not frozen");
    ctl(scene, &["thaw", &name])?.succeeds()?;
    until(scene, "a change", || Ok(processes()? != before))?;
    ctl(scene, &["thaw", &name])?
        .exits_with(1)?
        .complains("is not frozen")?;
    // Killed while it is frozen.
    ctl(scene, &["freeze", &name])?.succeeds()?;
    ctl(scene, &["kill", &name, "--all", "--signal", "KILL"])?.succeeds()?;
    run.wait()?.exits_with(137)?;
    Ok(())
}

fn freeze_needs_a_group(scene: &Scene) -> Outcome {
    let name = unique("warm");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let out = ctl(scene, &["freeze", &name])?;
    out.exits_with(1)?;
    out.complains("has no control group")?;
    out.complains("[limits]")?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn events_of_one(scene: &Scene) -> Outcome {
    let name = unique("ev");
    let line =
        "until [ -e go ]; do sleep 0.1; done; head -c 200M /dev/zero | tail -n1 | wc -c; exit 3";
    let run = start(scene, &name, "[limits]\nmemory = \"32M\"\nswap = 0\n", line)
        .or_else(|_| start(scene, &name, "[limits]\nmemory = \"32M\"\n", line))?;
    let mut watching = scene
        .sandboxctl()
        .args(["events", &name, "--json", "--interval", "0.2"])
        .spawn()?;
    watching.wait_for("started")?;
    scene.write("home/go", "")?;
    run.wait()?.exits_with(3)?;
    let out = watching.wait()?;
    out.succeeds()?;
    let mut seen = Vec::new();
    for line in out.stdout().lines() {
        let event: Value = serde_json::from_str(line)?;
        agrees("events", &event)?;
        seen.push(event["event"].as_str().unwrap_or("").to_owned());
    }
    assert_eq!(seen.first().map(String::as_str), Some("started"), "{out}");
    assert_eq!(seen.last().map(String::as_str), Some("exited"), "{out}");
    assert!(seen.contains(&"oom".to_owned()), "{out}");
    assert!(out.stdout().contains("\"status\":3"), "{out}");
    Ok(())
}

fn top_once(scene: &Scene) -> Outcome {
    let name = unique("top");
    let run = start(scene, &name, PLAIN, "while :; do :; done")?;
    let out = ctl(scene, &["top"])?;
    out.succeeds()?;
    assert!(out.stdout().contains(&name), "{out}");
    assert!(!out.stdout().contains('\u{1b}'), "{out}");
    ctl(scene, &["top", &unique("nobody")])?.exits_with(1)?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn top_on_a_terminal(scene: &Scene) -> Outcome {
    const LEFT: &str = "\u{1b}[?25h\u{1b}[?1049l";
    let name = unique("tty");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    for (end, status) in [(Some(&b"q"[..]), 0), (Some(&b"\x03"[..]), 130), (None, 143)] {
        let mut top = scene
            .sandboxctl()
            .args(["top", "--interval", "0.2"])
            .on_terminal()
            .spawn()?;
        top.wait_for(&name)?;
        let before = nix::sys::termios::tcgetattr(top.terminal()?)?;
        assert!(
            !before
                .local_flags
                .contains(nix::sys::termios::LocalFlags::ECHO)
        );
        match end {
            Some(keys) => top.type_in(keys)?,
            None => top.signal(Signal::SIGTERM)?,
        }
        let terminal = top.terminal()?.try_clone()?;
        let out = top.wait()?;
        out.exits_with(status)?;
        assert!(out.stdout().ends_with(LEFT), "{out}");
        let after = nix::sys::termios::tcgetattr(&terminal)?;
        assert!(
            after
                .local_flags
                .contains(nix::sys::termios::LocalFlags::ECHO)
        );
    }
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn twenty(scene: &Scene) -> Outcome {
    const COUNT: usize = 20;
    let program = scene.write(&unique("many"), "#!/bin/sh\nexec sleep 600\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut runs = Vec::new();
    for _ in 0..COUNT {
        runs.push(
            scene
                .sandbox()
                .args(["--no-profile", "--set", "process.no-new-privileges=true"])
                .program([&program])
                .spawn()?,
        );
    }
    let ours = |listed: &Value| -> BTreeSet<String> {
        let all = listed.as_array().into_iter().flatten();
        all.filter(|line| line["status"] == "running")
            .filter_map(|line| Some(line["name"].as_str()?.to_owned()))
            .filter(|name| name.starts_with(&unique("many")))
            .collect()
    };
    let mut names = BTreeSet::new();
    until(scene, "all of them", || {
        names = ours(&control(scene, &["list", "--json"])?);
        Ok(names.len() == COUNT)
    })?;
    for verb in ["ps", "tree", "stats", "namespaces"] {
        control(scene, &[verb, "--json"])?;
    }
    let mut line = vec!["kill", "--all"];
    line.extend(names.iter().map(String::as_str));
    ctl(scene, &line)?.succeeds()?;
    for run in runs {
        run.wait()?.exits_with(143)?;
    }
    assert!(ours(&control(scene, &["list", "--json"])?).is_empty());
    Ok(())
}
