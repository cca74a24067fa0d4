//! Many sandboxes at once, of several users, in one another, and what is left when launchers are killed.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::running::{Fault, LIMITED, Other, PLAIN, UIDS, agrees, control, ctl, of, start, until};
use super::support::sandbox::Running;
use super::support::{Case, Finished, Need, Outcome, Scene, binary, case, unique};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "twenty_of_three_users",
            &[Need::Root, Need::Program("setpriv"), Need::Limits],
            twenty_of_three_users,
        ),
        case("nested", &[Need::Limits], nested),
        case(
            "limits_that_do_not_hold",
            &[Need::Limits, Need::CgroupV1],
            limits_that_do_not_hold,
        ),
        case("launchers_killed_at_any_moment", &[], killed_at_any_moment),
    ]
}

/// What a verb of another user prints as JSON.
fn theirs(scene: &Scene, other: &Other, words: &[&str]) -> Result<Value, Fault> {
    let out = other.ctl(scene, words)?;
    out.succeeds()?;
    let value = serde_json::from_str(&out.stdout())?;
    agrees(words[0], &value)?;
    Ok(value)
}

fn names(listed: &Value, start: &str) -> BTreeSet<String> {
    let all = listed.as_array().into_iter().flatten();
    all.filter_map(|line| Some(line["name"].as_str()?.to_owned()))
        .filter(|name| name.starts_with(start))
        .collect()
}

fn steps_of(out: &Finished, verb: &str) -> Outcome {
    for line in out.stdout().lines() {
        agrees(verb, &serde_json::from_str(line)?)?;
    }
    Ok(())
}

fn twenty_of_three_users(scene: &Scene) -> Outcome {
    let [one, two] = UIDS.map(Other::new);
    let (one, two) = (one?, two?);
    let prefix = unique("session");
    let name = |who: &str, number: usize| format!("{prefix}-{who}-{number}");
    let profile = format!("{LIMITED}{PLAIN}");
    let mut runs: Vec<(String, Running)> = Vec::new();
    for number in 0..8 {
        let name = name("root", number);
        let run = start(scene, &name, &profile, "sleep 600 & wait")?;
        runs.push((name, run));
    }
    for (who, other) in [("one", &one), ("two", &two)] {
        for number in 0..6 {
            let name = name(who, number);
            let run = other.start(scene, &name)?;
            runs.push((name, run));
        }
    }
    assert_eq!(runs.len(), 20);

    // Everybody sees the own ones, root all.
    assert_eq!(
        names(&control(scene, &["list", "--json"])?, &prefix).len(),
        20
    );
    for other in [&one, &two] {
        let seen = names(&theirs(scene, other, &["list", "--json"])?, &prefix);
        assert_eq!(seen.len(), 6, "{seen:?}");
    }
    for verb in ["ps", "tree", "stats", "namespaces"] {
        control(scene, &[verb, "--json"])?;
        let text = theirs(scene, &one, &[verb, "--json"])?.to_string();
        let foreign = [name("two", 0), name("root", 0)];
        assert!(text.contains(&name("one", 0)), "{verb}: {text}");
        assert!(!foreign.iter().any(|name| text.contains(name)), "{verb}");
    }
    // And acts on those alone, by whatever verb.
    let (root0, one0, two0) = (name("root", 0), name("one", 0), name("two", 0));
    for foreign in [&root0, &two0] {
        for verb in [
            &["state"][..],
            &["ps"],
            &["stats"],
            &["policy"],
            &["namespaces"],
            &["kill"],
            &["kill", "--all"],
            &["freeze"],
            &["thaw"],
            &["wait"],
            &["join"],
            &["set"],
        ] {
            let mut line = verb.to_vec();
            line.push(foreign);
            match verb[0] {
                "join" => line.push("true"),
                "set" => line.push("pids=1"),
                _ => {}
            }
            let out = one.ctl(scene, &line)?;
            assert!(out.code() != 0, "{verb:?} {out}");
            out.complains("no sandbox named")?;
        }
    }
    // Nor by the number of a process.
    let state = control(scene, &["state", &root0, "--json"])?;
    let pid = state["child"]["pid"].as_i64().or(state["pid"].as_i64());
    let pid = pid.ok_or_else(|| format!("no pid: {state:#}"))?.to_string();
    let out = one.ctl(scene, &["attach", "--pids", "1", &pid])?;
    assert!(out.code() != 0, "{out}");

    // Every verb on one of root's.
    for verb in ["state", "policy"] {
        control(scene, &[verb, &root0, "--json"])?;
    }
    let why = control(scene, &["why", &root0, "/etc/passwd", "--json"])?;
    assert_eq!(why["asked"]["kind"], "sandbox");
    let set = control(scene, &["set", &root0, "pids=41", "--json"])?;
    assert_eq!(set["changed"][0]["after"], "41", "{set:#}");
    ctl(scene, &["join", &root0, "true"])?.succeeds()?;
    ctl(scene, &["freeze", &root0])?.succeeds()?;
    let frozen = of(&control(scene, &["list", "--json"])?, "name", &root0);
    assert_eq!(frozen.ok_or("not listed")?["status"], "frozen");
    ctl(scene, &["thaw", &root0])?.succeeds()?;
    ctl(scene, &["top"])?.succeeds()?;
    let mut stranger = scene
        .command("/bin/sh")
        .args(["-c", "echo ready; exec sleep 600"])
        .spawn()?;
    stranger.wait_for("ready")?;
    let pid = stranger.pid().to_string();
    control(scene, &["attach", "--pids", "30", "--json", &pid])?;
    stranger.signal(Signal::SIGKILL)?;
    stranger.wait()?;
    // Nobody looks after the group of what was attached: the next launch with limits does.
    let next = scene.sandbox().profile_text(&profile)?;
    next.program(["true"]).run()?.succeeds()?;
    let listed = ctl(scene, &["rules", "list", "--json"])?;
    if listed.code() == 0 {
        agrees("rules-list", &serde_json::from_str(&listed.stdout())?)?;
    }
    control(scene, &["profiles", "--json"])?;
    control(scene, &["check", "default", "--json"])?;

    // They end as they are told to, and whoever waits and watches hears of it.
    let mut events = scene
        .sandboxctl()
        .args(["events", &root0, "--json"])
        .spawn()?;
    let waiting = scene
        .sandboxctl()
        .args(["wait", &root0, "--json"])
        .spawn()?;
    events.wait_for("\n")?;
    thread::sleep(Duration::from_millis(300));
    ctl(scene, &["kill", &root0])?.succeeds()?;
    let waited = waiting.wait()?;
    agrees("wait", &serde_json::from_str(&waited.stdout())?)?;
    steps_of(&events.wait()?, "events")?;
    one.ctl(scene, &["kill", &one0])?.succeeds()?;
    let rest: Vec<&str> = runs
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != root0 && *name != one0)
        .collect();
    let mut line = vec!["kill", "--all"];
    line.extend(&rest);
    ctl(scene, &line)?.succeeds()?;
    for (_, run) in runs {
        run.wait()?.exits_with(143)?;
    }
    assert!(names(&control(scene, &["list", "--json"])?, &prefix).is_empty());
    Ok(())
}

/// A sandbox in a sandbox is a sandbox like others, and ends with the one around it.
fn nested(scene: &Scene) -> Outcome {
    let (outer, inner) = (unique("outer"), unique("inner"));
    let line = format!(
        "{} --no-profile --set process.no-new-privileges=true --name {inner} sleep 600 & wait",
        binary("sandbox").display()
    );
    let run = start(scene, &outer, &format!("{LIMITED}{PLAIN}"), &line)?;
    until(scene, "the inner one", || {
        let listed = of(&control(scene, &["list", "--json"])?, "name", &inner);
        Ok(listed.is_some_and(|line| line["status"] == "running"))
    })?;
    let numbers = |name: &str| -> Result<BTreeSet<i64>, Fault> {
        let processes = control(scene, &["ps", name, "--json"])?;
        let all = processes.as_array().into_iter().flatten();
        Ok(all.filter_map(|process| process["pid"].as_i64()).collect())
    };
    let (around, within) = (numbers(&outer)?, numbers(&inner)?);
    assert!(
        !within.is_empty() && within.is_subset(&around) && within.len() < around.len(),
        "{within:?} in {around:?}"
    );
    ctl(scene, &["kill", &outer])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    until(scene, "the end of the inner one", || {
        Ok(of(&control(scene, &["list", "--json"])?, "name", &inner).is_none())
    })?;
    for pid in within {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        assert!(state.is_empty() || state.starts_with('Z'), "{stat}");
    }
    Ok(())
}

/// What this host cannot hold, and need not, is told of each limit by itself.
fn limits_that_do_not_hold(scene: &Scene) -> Outcome {
    let name = unique("partly");
    let profile = "degrade = [\"limits.memory-min\"]\n[limits]\npids = 40\nmemory-min = \"1M\"\n";
    let run = start(scene, &name, profile, "exec sleep 600")?;
    let state = control(scene, &["state", &name, "--json"])?;
    let out = ctl(scene, &["state", &name])?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    for (key, applied) in [("pids", true), ("memory-min", false)] {
        let limit = of(&state["limits"], "key", key).ok_or("no such limit")?;
        assert_eq!(limit["applied"], applied, "{state:#}");
        let line = format!("{key} = ");
        let text = out.stdout();
        let line = text.lines().find(|told| told.contains(&line));
        let says = line.is_some_and(|line| line.ends_with("not applied"));
        assert_eq!(says, !applied, "{out}");
    }
    Ok(())
}

/// Whatever a launcher was doing, nothing of it is left, and what is found is what runs.
fn killed_at_any_moment(scene: &Scene) -> Outcome {
    const TIMES: u64 = 100;
    let prefix = unique("crash");
    let marker = format!("{}", 10_000_000 + u64::from(std::process::id()));
    let limits = if scene.host.lacks(&Need::Limits).is_none() {
        "[limits]\npids = 40\n"
    } else {
        ""
    };
    let profile = scene.write("crash.toml", &format!("{limits}{PLAIN}"))?;
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut random = u64::from(std::process::id());
    for number in 0..TIMES {
        let run = scene
            .sandbox()
            .args(["--name".into(), format!("{prefix}-{number}")])
            .args(["--profile".into(), profile.clone()])
            .program(["sleep", &marker])
            .spawn()?;
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        thread::sleep(Duration::from_micros((random >> 40) % 60_000));
        run.signal(Signal::SIGKILL)?;
        run.wait()?;
        if number % 10 == 0 {
            ctl(scene, &["list", "--json"])?.succeeds()?;
        }
        assert!(Instant::now() < deadline, "only {number} in two minutes");
    }
    // One more launch and a look.
    scene
        .sandbox()
        .args(["--name".into(), format!("{prefix}-last")])
        .args(["--profile".into(), profile])
        .program(["true"])
        .run()?
        .succeeds()?;
    let running = || -> Vec<String> {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            line.ends_with(&format!("sleep\0{marker}\0"))
                .then_some(line)
        })
        .collect()
    };
    until(
        scene,
        "the end of all programs",
        || Ok(running().is_empty()),
    )?;
    let listed = control(scene, &["list", "--json"])?;
    assert!(names(&listed, &prefix).is_empty(), "{listed:#}");
    let left = std::fs::read_dir(scene.records())?.flatten();
    let left: Vec<_> = left
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with(&prefix))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
