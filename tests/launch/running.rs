//! Running sandboxes: their records, and the verbs of `sandboxctl` about them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::support::sandbox::Running;
use super::support::{Case, Finished, Need, Outcome, Scene, case};

pub type Fault = Box<dyn std::error::Error>;

/// The least that a sandbox can be.
pub const PLAIN: &str = "[process]\nno-new-privileges = true\n";
const PID_NAMESPACE: &str = "[namespaces]\npid = true\n";
pub const LIMITED: &str = "[limits]\nmemory = \"64M\"\npids = 40\n";

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
        case("killed_launcher", &[], killed_launcher),
        case("orphan", &[], orphan),
        case("forged_records", &[], forged_records),
        case(
            "records_are_hidden",
            &[Need::UserNamespaces],
            records_are_hidden,
        ),
        case(
            "unwritable_registry",
            &[Need::OrdinaryUser],
            unwritable_registry,
        ),
        case(
            "two_users",
            &[Need::Root, Need::Program("setpriv")],
            two_users,
        ),
        case(
            "root_is_not_led_astray",
            &[Need::Root, Need::Program("setpriv")],
            root_is_not_led_astray,
        ),
        case("twenty", &[], twenty),
    ]
}

/// A name that no other test on this host has.
pub fn named(label: &str) -> String {
    format!("t{}-{label}", std::process::id())
}

/// Starts a shell line under a name, and waits until `ready` is printed and its record is written.
pub fn start(scene: &Scene, name: &str, profile: &str, line: &str) -> Result<Running, Fault> {
    let mut run = scene
        .sandbox()
        .profile_text(profile)?
        .args(["--name", name])
        .program(["sh", "-c", &format!("echo ready; {line}")])
        .spawn()?;
    run.wait_for("ready")?;
    written(scene, name)?;
    Ok(run)
}

/// Waits until a sandbox is said to run.
pub fn written(scene: &Scene, name: &str) -> Outcome {
    until(scene, "its record", || {
        let listed = of(&control(scene, &["list", "--json"])?, "name", name);
        Ok(listed.is_some_and(|line| line["status"] != "starting"))
    })
}

/// Waits for something.
pub fn until(scene: &Scene, what: &str, mut there: impl FnMut() -> Result<bool, Fault>) -> Outcome {
    let patience = if scene.host.is_virtual() { 90 } else { 20 };
    let deadline = Instant::now() + Duration::from_secs(patience);
    while !there()? {
        if Instant::now() > deadline {
            return Err(format!("{what} never came").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub fn ctl(scene: &Scene, words: &[&str]) -> std::io::Result<Finished> {
    scene.sandboxctl().args(words.iter().copied()).run()
}

/// What a verb prints as JSON, which is as its schema says.
pub fn control(scene: &Scene, words: &[&str]) -> Result<Value, Fault> {
    let out = ctl(scene, words)?;
    out.succeeds()?;
    let value: Value = serde_json::from_str(&out.stdout())?;
    agrees(words[0], &value)?;
    Ok(value)
}

/// Fails unless a value is as the schema of a verb says.
pub fn agrees(verb: &str, value: &Value) -> Outcome {
    let all = sandbox::cli::schema::running::all();
    let schema = all.iter().find(|(name, _)| *name == verb);
    let (_, schema) = schema.ok_or_else(|| format!("no schema for {verb}"))?;
    check(schema, schema, value, verb)?;
    Ok(())
}

/// A validator for the part of the language that the schemas use; anything else in one is a fault.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{at}: {what}: {value:#}"));
    for (word, says) in schema.as_object().into_iter().flatten() {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = says.as_str().and_then(|at| at.strip_prefix('#'));
                let target = pointer.and_then(|pointer| root.pointer(pointer));
                check(root, target.ok_or("a reference to nothing")?, value, at)?;
            }
            "type" => {
                let good = match says.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("boolean") => value.is_boolean(),
                    Some("null") => value.is_null(),
                    Some("integer") => value.is_u64() || value.is_i64(),
                    Some("number") => value.is_number(),
                    _ => return Err(format!("a schema with type {says}")),
                };
                if !good {
                    return fault(&format!("is no {says}"));
                }
            }
            "minimum" if value.as_f64() < says.as_f64() => return fault("is too small"),
            "minimum" => {}
            "const" if says != value => return fault("is another"),
            "const" => {}
            "enum" if !says.as_array().is_some_and(|all| all.contains(value)) => {
                return fault("is none of them");
            }
            "enum" => {}
            "anyOf" => {
                let any = says.as_array().into_iter().flatten();
                if !any.clone().any(|one| check(root, one, value, at).is_ok()) {
                    return fault("is none of what it can be");
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(root, says, item, at)?;
                }
            }
            "required" => {
                for name in says.as_array().into_iter().flatten() {
                    let name = name.as_str().unwrap_or("");
                    if value.is_object() && value.get(name).is_none() {
                        return fault(&format!("lacks `{name}`"));
                    }
                }
            }
            "properties" => {
                for (name, one) in says.as_object().into_iter().flatten() {
                    if let Some(member) = value.get(name) {
                        check(root, one, member, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    check(root, says, member, &format!("{at}.{name}"))?;
                }
            }
            other => return Err(format!("a schema with `{other}`")),
        }
    }
    Ok(())
}

/// The element of a list whose member is this.
pub fn of(list: &Value, member: &str, is: &str) -> Option<Value> {
    let mut all = list.as_array()?.iter();
    all.find(|one| one[member] == is).cloned()
}

/// Where the records of who runs the tests are.
pub fn records(scene: &Scene) -> PathBuf {
    if scene.host.is_root() {
        PathBuf::from("/run/sandbox")
    } else {
        scene.runtime().join("sandbox")
    }
}

fn every_verb(scene: &Scene) -> Outcome {
    let name = named("all");
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

    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    assert_eq!(
        of(&control(scene, &["list", "--json"])?, "name", &name),
        None
    );
    assert!(!records(scene).join(&name).exists());
    Ok(())
}

fn without_limits(scene: &Scene) -> Outcome {
    let name = named("free");
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
    let name = named("name");
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
    let program = scene.write(&named("prog"), "#!/bin/sh\necho ready\nexec sleep 600\n")?;
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
        written(scene, &(named("prog") + number))?;
    }
    let out = ctl(scene, &["state", &named("prgo")])?;
    out.exits_with(1)?;
    out.complains(&format!("did you mean `{}", named("pro")))?;
    out.complains("running: ")?;
    // A number that became free is taken again.
    ctl(scene, &["kill", &(named("prog") + "-2")])?.succeeds()?;
    runs.remove(1).wait()?.exits_with(143)?;
    let mut run = scene
        .sandbox()
        .profile_text(PLAIN)?
        .program([&program])
        .spawn()?;
    run.wait_for("ready")?;
    written(scene, &(named("prog") + "-2"))?;
    runs.push(run);
    runs.push(first);
    for run in runs {
        run.signal(Signal::SIGTERM)?;
        run.wait()?.exits_with(143)?;
    }
    Ok(())
}

fn wait_tells_the_status(scene: &Scene) -> Outcome {
    let name = named("wait");
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
    let name = named("sig");
    let line = "trap 'echo one' USR1; trap 'echo two' HUP; while :; do sleep 0.1; done";
    let mut run = start(scene, &name, PLAIN, line)?;
    ctl(scene, &["kill", &name, "--signal", "USR1"])?.succeeds()?;
    run.wait_for("one")?;
    ctl(scene, &["kill", &name, "--signal", "1"])?.succeeds()?;
    run.wait_for("two")?;
    ctl(scene, &["kill", &name, "--signal", "NONE"])?.exits_with(2)?;
    ctl(
        scene,
        &["kill", &named("nobody"), &name, "--signal", "KILL"],
    )?
    .exits_with(1)?
    .complains("no sandbox named")?;
    run.wait()?.exits_with(137)?;
    Ok(())
}

/// Ends a sandbox whose processes become others faster than they can be listed.
fn kill_hoppers(scene: &Scene, profile: &str) -> Outcome {
    let name = named("hop");
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
    let name = named("ice");
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
    let name = named("warm");
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
    let name = named("ev");
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
    let name = named("top");
    let run = start(scene, &name, PLAIN, "while :; do :; done")?;
    let out = ctl(scene, &["top"])?;
    out.succeeds()?;
    assert!(out.stdout().contains(&name), "{out}");
    assert!(!out.stdout().contains('\u{1b}'), "{out}");
    ctl(scene, &["top", &named("nobody")])?.exits_with(1)?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn top_on_a_terminal(scene: &Scene) -> Outcome {
    const LEFT: &str = "\u{1b}[?25h\u{1b}[?1049l";
    let name = named("tty");
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

fn killed_launcher(scene: &Scene) -> Outcome {
    let name = named("dead");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let waiting = scene.sandboxctl().args(["wait", &name]).spawn()?;
    let waiter = format!(" {} ", waiting.pid());
    until(scene, "somebody who waits for the lock", || {
        let locks = fs::read_to_string("/proc/locks")?;
        let mut blocked = locks.lines().filter(|line| line.contains("->"));
        Ok(blocked.any(|line| line.contains(&waiter)))
    })?;
    run.signal(Signal::SIGKILL)?;
    run.wait()?.exits_with(137)?;
    let out = waiting.wait()?;
    out.exits_with(125)?;
    out.complains("its launcher did not say how")?;
    until(scene, "the removal of a stale record", || {
        let listed = control(scene, &["list", "--json"])?;
        Ok(of(&listed, "name", &name).is_none() && !records(scene).join(&name).exists())
    })?;
    // Its name is free.
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn orphan(scene: &Scene) -> Outcome {
    let name = named("orphan");
    let run = start(
        scene,
        &name,
        "[process]\ndie-with-parent = false\n",
        "exec sleep 600",
    )?;
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    let line = of(&control(scene, &["list", "--json"])?, "name", &name).ok_or("not listed")?;
    assert_eq!(line["status"], "orphaned", "{line}");
    ctl(scene, &["kill", &name, "--all", "--signal", "KILL"])?.succeeds()?;
    until(scene, "the end of an orphan", || {
        Ok(of(&control(scene, &["list", "--json"])?, "name", &name).is_none())
    })
}

/// Writes a record as if a launcher held it; as long as this lives it is not stale.
fn forge(directory: &Path, name: &str, record: &Value) -> Result<Flock<File>, Fault> {
    let path = directory.join(name);
    fs::write(&path, format!("{record}\n{{}}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let file = File::open(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// The first line of a record that is there.
fn record(directory: &Path, name: &str) -> Result<Value, Fault> {
    let text = fs::read_to_string(directory.join(name))?;
    Ok(serde_json::from_str(text.lines().next().unwrap_or(""))?)
}

fn forged_records(scene: &Scene) -> Outcome {
    let name = named("true");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let directory = records(scene);
    let good = record(&directory, &name)?;
    let forged = named("forged");
    let refuses = |change: &dyn Fn(&mut Value), words: &str| -> Outcome {
        let mut value = good.clone();
        value["name"] = json!(forged);
        change(&mut value);
        let lock = forge(&directory, &forged, &value)?;
        for verb in [
            &["kill", &forged][..],
            &["kill", &forged, "--all", "--signal", "KILL"],
        ] {
            let out = ctl(scene, verb)?;
            if words.is_empty() {
                // Killing what has ended is no failure.
                continue;
            }
            out.exits_with(1)?;
            out.complains(words)?;
        }
        drop(lock);
        let _ = fs::remove_file(directory.join(&forged));
        Ok(())
    };
    // Another process has the number by now.
    refuses(
        &|record| {
            record["child"]["started"] = json!(1);
            record["program_process"] = json!(null);
        },
        "",
    )?;
    // The host was restarted, or it is of a container.
    refuses(
        &|record| record["boot"] = json!("another"),
        "another pid namespace",
    )?;
    refuses(
        &|record| record["pid_namespace"] = json!(1),
        "another pid namespace",
    )?;
    // No group at all, and one that is gone.
    let place = |path: &str| json!([{ "version": "v2", "controllers": ["pids"], "path": path }]);
    refuses_group(
        scene,
        &directory,
        &good,
        &forged,
        &place("/etc"),
        "is no control group",
    )?;
    refuses_group(
        scene,
        &directory,
        &good,
        &forged,
        &place("/nowhere"),
        "cannot be opened",
    )?;
    // About somebody else, of another version, no record.
    for (change, words) in [
        (json!({ "name": "other" }), "not about what its name"),
        (json!({ "uid": 77 }), "not about what its name"),
        (json!({ "version": 2 }), "version 2"),
        (json!({ "child": 5 }), "is no record"),
    ] {
        let mut value = good.clone();
        value["name"] = json!(forged);
        for (key, to) in change.as_object().into_iter().flatten() {
            value[key] = to.clone();
        }
        let lock = forge(&directory, &forged, &value)?;
        let out = ctl(scene, &["list"])?;
        out.succeeds()?.complains(words)?;
        ctl(scene, &["kill", &forged])?
            .exits_with(1)?
            .complains("no sandbox named")?;
        drop(lock);
        let _ = fs::remove_file(directory.join(&forged));
    }
    // A link, a file that others may write to, a file with a second name, a directory, a pipe.
    let real = directory.join(&name);
    let path = directory.join(&forged);
    symlink(&real, &path)?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("symbolic link")?;
    fs::remove_file(&path)?;
    let mut value = good.clone();
    value["name"] = json!(forged);
    let lock = forge(&directory, &forged, &value)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o606))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("nobody else has rights")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    fs::hard_link(&path, scene.folder().join("second"))
        .or_else(|_| fs::hard_link(&path, directory.join(".second")))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("nobody else has rights")?;
    drop(lock);
    fs::remove_file(&path)?;
    let _ = fs::remove_file(directory.join(".second"));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("no plain file")?;
    fs::remove_file(&path)?;
    // Nothing of this touched what runs.
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn refuses_group(
    scene: &Scene,
    directory: &Path,
    good: &Value,
    forged: &str,
    group: &Value,
    words: &str,
) -> Outcome {
    let mut value = good.clone();
    value["name"] = json!(forged);
    value["group"] = group.clone();
    let lock = forge(directory, forged, &value)?;
    for verb in [
        &["kill", forged, "--all", "--signal", "KILL"][..],
        &["freeze", forged],
        &["ps", forged],
    ] {
        let out = ctl(scene, verb)?;
        if verb[0] != "ps" {
            out.exits_with(1)?;
        }
        out.complains(words)?;
    }
    drop(lock);
    let _ = fs::remove_file(directory.join(forged));
    Ok(())
}

fn records_are_hidden(scene: &Scene) -> Outcome {
    let name = named("seen");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let place = records(scene);
    let at = place.display().to_string();
    for profile in [
        "",
        "[filesystem]\n\"/\" = \"read-write\"\n",
        "[filesystem]\n\"/\" = \"read-only\"\n",
    ] {
        let sandbox = match profile {
            "" => scene.sandbox().args(["--profile", "default"]),
            text => scene.sandbox().profile_text(text)?,
        };
        let out = sandbox
            .program([
                "sh",
                "-c",
                &format!("ls {at}/{name}; echo x > {at}/forged; true"),
            ])
            .run()?;
        out.succeeds()?;
        assert!(!out.stdout().contains(&name), "{profile}: {out}");
        assert!(!place.join("forged").exists(), "{profile}");
    }
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn unwritable_registry(scene: &Scene) -> Outcome {
    if Path::new(&format!("/run/user/{}", nix::unistd::getuid())).exists() {
        return Ok(());
    }
    let lost = || -> Result<_, Fault> {
        Ok(scene
            .sandbox()
            .profile_text(PLAIN)?
            .without_env("XDG_RUNTIME_DIR")
            .env("XDG_STATE_HOME", "/proc/nowhere"))
    };
    let out = lost()?.program(["true"]).run()?;
    out.succeeds()?;
    assert_eq!(out.stderr(), "", "{out}");
    let out = lost()?.args(["--verbose"]).program(["true"]).run()?;
    out.succeeds()?.complains("will not know this sandbox")?;
    let out = lost()?.args(["--name", "x"]).program(["true"]).run()?;
    out.exits_with(125)?.complains("cannot be named `x`")?;
    Ok(())
}

/// A user without a name, with a runtime directory where root looks for it.
pub struct Other {
    pub uid: u32,
    pub runtime: PathBuf,
}

impl Other {
    pub fn new(uid: u32) -> Result<Self, Fault> {
        fs::create_dir_all("/run/user")?;
        let runtime = PathBuf::from(format!("/run/user/{uid}"));
        fs::create_dir(&runtime)?;
        let other = Self { uid, runtime };
        other.own(&other.runtime)?;
        Ok(other)
    }

    fn own(&self, path: &Path) -> Outcome {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.uid))?;
        if !path.is_symlink() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    pub fn words(&self) -> Vec<String> {
        let uid = self.uid;
        [
            "setpriv",
            &format!("--reuid={uid}"),
            &format!("--regid={uid}"),
            "--clear-groups",
            "--inh-caps=-all",
        ]
        .map(str::to_owned)
        .into()
    }

    pub fn ctl(&self, scene: &Scene, words: &[&str]) -> Result<Finished, Fault> {
        Ok(scene
            .sandboxctl()
            .args(words.iter().copied())
            .behind(self.words())
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .env("HOME", &self.runtime)
            .in_folder("/")
            .run()?)
    }

    pub fn start(&self, scene: &Scene, name: &str) -> Result<Running, Fault> {
        let mut run = scene
            .sandbox()
            .args([
                "--no-profile",
                "--set",
                "process.no-new-privileges=true",
                "--name",
                name,
            ])
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .behind(self.words())
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .env("HOME", &self.runtime)
            .in_folder("/")
            .spawn()?;
        run.wait_for("ready")?;
        written(scene, name)?;
        Ok(run)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.runtime);
    }
}

/// Uids that no user of a usual host has.
pub const UIDS: [u32; 2] = [64_321, 64_322];

fn two_users(scene: &Scene) -> Outcome {
    let [one, two] = UIDS.map(Other::new);
    let (one, two) = (one?, two?);
    let (first, second, roots) = (named("one"), named("two"), named("root"));
    let runs = [
        one.start(scene, &first)?,
        two.start(scene, &second)?,
        start(scene, &roots, PLAIN, "exec sleep 600")?,
    ];
    // Each sees the own ones, root all.
    let out = one.ctl(scene, &["list"])?;
    assert!(
        out.stdout().contains(&first) && !out.stdout().contains(&second),
        "{out}"
    );
    assert!(!out.stdout().contains(&roots), "{out}");
    let listed = control(scene, &["list", "--json"])?;
    for (name, uid) in [(&first, UIDS[0]), (&second, UIDS[1]), (&roots, 0)] {
        let line = of(&listed, "name", name).ok_or("not listed")?;
        assert_eq!(line["uid"], uid);
    }
    for verb in ["kill", "state", "ps", "stats", "policy", "freeze", "wait"] {
        for name in [&second, &roots] {
            one.ctl(scene, &[verb, name])?
                .exits_with(1)?
                .complains("no sandbox named")?;
        }
    }
    // Pointed at the other's directory by the environment, nothing more is seen.
    let out = scene
        .sandboxctl()
        .args(["list"])
        .behind(one.words())
        .env("XDG_RUNTIME_DIR", &two.runtime)
        .env("HOME", &one.runtime)
        .in_folder("/")
        .run()?;
    assert!(!out.stdout().contains(&second), "{out}");
    // The same name twice: root says whose.
    let double = one.start(scene, &second)?;
    ctl(scene, &["kill", &second])?
        .exits_with(1)?
        .complains("several users")?;
    ctl(scene, &["kill", &format!("{}/{second}", UIDS[0])])?.succeeds()?;
    double.wait()?.exits_with(143)?;
    for name in [&first, &second, &roots] {
        ctl(scene, &["kill", name])?.succeeds()?;
    }
    for run in runs {
        run.wait()?.exits_with(143)?;
    }
    Ok(())
}

fn root_is_not_led_astray(scene: &Scene) -> Outcome {
    let user = Other::new(UIDS[0])?;
    let name = named("bait");
    let own = user.start(scene, &name)?;
    let directory = user.runtime.join("sandbox");
    let good = record(&directory, &name)?;
    // A process of root, as if it were the user's sandbox.
    let victim = named("victim");
    let run = start(scene, &victim, LIMITED, "exec sleep 600")
        .or_else(|_| start(scene, &victim, PLAIN, "exec sleep 600"))?;
    let target = record(&records(scene), &victim)?;
    let forged = named("trap");
    for steal in [
        &["child", "program_process", "init"][..],
        &["group"],
        &["child", "group"],
    ] {
        let mut value = good.clone();
        value["name"] = json!(forged);
        for key in steal {
            value[*key] = target[*key].clone();
        }
        if steal.contains(&"group") && value["group"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        let lock = forge(&directory, &forged, &value)?;
        user.own(&directory.join(&forged))?;
        fs::set_permissions(directory.join(&forged), fs::Permissions::from_mode(0o600))?;
        let verbs: &[&[&str]] = match steal {
            ["group"] => &[
                &["kill", &forged, "--all", "--signal", "KILL"],
                &["freeze", &forged],
            ],
            _ => &[
                &["kill", &forged],
                &["kill", &forged, "--signal", "KILL"],
                &["kill", &forged, "--all", "--signal", "KILL"],
                &["kill", &forged, "--all"],
            ],
        };
        for verb in verbs {
            let out = ctl(scene, verb)?;
            out.exits_with(1)?;
            out.complains("belong")?;
        }
        drop(lock);
        fs::remove_file(directory.join(&forged))?;
    }
    assert_eq!(
        of(&control(scene, &["list", "--json"])?, "name", &victim)
            .map(|line| line["status"].clone()),
        Some(json!("running"))
    );
    ctl(scene, &["kill", &name])?.succeeds()?;
    own.wait()?.exits_with(143)?;
    // The directory is a link to another's, or another's itself.
    fs::remove_dir_all(&directory)?;
    symlink("/run/sandbox", &directory)?;
    user.own(&directory)?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("symbolic link")?;
    fs::remove_file(&directory)?;
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("belongs to user 0")?;
    user.own(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o770))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("others have rights")?;
    ctl(scene, &["kill", &victim])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn twenty(scene: &Scene) -> Outcome {
    const COUNT: usize = 20;
    let program = scene.write(&named("many"), "#!/bin/sh\nexec sleep 600\n")?;
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
            .filter(|name| name.starts_with(&named("many")))
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
