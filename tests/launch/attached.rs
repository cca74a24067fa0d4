//! Processes that `sandboxctl attach` put under limits, as the verbs about running sandboxes see them.

use std::error::Error;

use serde_json::Value;

use super::support::sandbox::{Finished, Running};
use super::support::{Case, Need, Outcome, Scene, binary, case};

const LIMITS: &[Need] = &[Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("listed_until_they_end", LIMITS, listed_until_they_end),
        case("changed", LIMITS, changed),
        case("given_more", &[Need::Limits, Need::CgroupV2], given_more),
        case("killed", LIMITS, killed),
        case("killed_all", LIMITS, killed_all),
        case("frozen", &[Need::Limits, Need::CgroupV2], frozen),
        case("not_joined", LIMITS, not_joined),
        case("not_from_within", LIMITS, not_from_within),
        case("two_of_one_name", LIMITS, two_of_one_name),
    ]
}

type Found<T> = Result<T, Box<dyn Error>>;

fn control(scene: &Scene, words: &[&str]) -> Found<Finished> {
    Ok(scene.sandboxctl().args(words.iter().copied()).run()?)
}

fn json(scene: &Scene, words: &[&str]) -> Found<Value> {
    let out = control(scene, words)?;
    out.succeeds()?;
    Ok(serde_json::from_str(&out.stdout())?)
}

/// A shell with a child, both under a limit of processes; what they are called.
fn attached(scene: &Scene) -> Found<(Running, String)> {
    let script = "trap '' HUP; sleep 600 & echo ready; read x; kill $!; true";
    let mut run = scene
        .command("/bin/sh")
        .on_terminal()
        .args(["-c", script])
        .spawn()?;
    run.wait_for("ready")?;
    let pid = run.pid().to_string();
    let args = ["attach", "--tree", "--pids", "44", "--json", &pid];
    let told = json(scene, &args)?;
    let name = told["name"].as_str().ok_or("it has no name")?.to_owned();
    Ok((run, name))
}

fn end(mut run: Running) -> Outcome {
    run.type_in(b"\n")?;
    run.wait()?.succeeds()?;
    Ok(())
}

fn says(out: &Finished, text: &str) -> Outcome {
    match out.stdout().contains(text) {
        true => Ok(()),
        false => Err(format!("expected `{text}` in the output\n{out}").into()),
    }
}

/// Root sees everybody's.
fn ours<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    let mut lines = list.as_array()?.iter();
    lines.find(|line| line["name"] == name && line["kind"] == "attached")
}

fn is_gone(scene: &Scene, name: &str) -> Outcome {
    for _ in 0..100 {
        if ours(&json(scene, &["list", "--json"])?, name).is_none() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(control(scene, &["list"])?.stdout().into())
}

fn listed_until_they_end(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    let list = json(scene, &["list", "--json"])?;
    let line = ours(&list, &name).ok_or("it is not listed")?;
    assert_eq!(line["kind"], "attached", "{line}");
    assert_eq!(line["status"], "running", "{line}");
    assert_eq!(line["pid"], run.pid().as_raw(), "{line}");
    assert_eq!(line["supervisor"], Value::Null, "{line}");
    says(&control(scene, &["list"])?, "attached")?;
    let state = control(scene, &["state", &name])?;
    state.succeeds()?;
    says(&state, "pids = 44")?;
    let stats = json(scene, &["stats", &name, "--json"])?;
    let stats = stats.get(0).unwrap_or(&stats).to_string();
    assert!(stats.contains("\"pids_limit\":44"), "{stats}");
    says(&control(scene, &["ps", &name])?, "sleep 600")?;
    let waiting = scene
        .sandboxctl()
        .args(["wait", name.as_str(), "--json"])
        .spawn()?;
    let open = format!("/proc/{}/fd", waiting.pid());
    let waits = || {
        let mut open = std::fs::read_dir(&open).into_iter().flatten().flatten();
        open.any(|fd| {
            let target = std::fs::read_link(fd.path()).unwrap_or_default();
            target.to_string_lossy().contains("pidfd")
        })
    };
    for _ in 0..500 {
        if waits() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(waiting.stdout_so_far(), "", "it did not wait");
    end(run)?;
    let waited = waiting.wait()?;
    waited.succeeds()?;
    says(&waited, "\"status\": null")?;
    is_gone(scene, &name)
}

fn changed(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    let set = control(scene, &["set", &name, "pids=55"])?;
    set.succeeds()?;
    says(&set, "44 → 55")?;
    says(&control(scene, &["state", &name])?, "pids = 55")?;
    end(run)?;
    is_gone(scene, &name)
}

/// A limit of a kind that it had none of: where the group above hands the controller on it holds, else it is said why not.
fn given_more(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    let set = control(scene, &["set", &name, "cpu=50%", "memory=512M"])?;
    let stats = json(scene, &["stats", &name, "--json"])?;
    let stats = stats.get(0).unwrap_or(&stats).clone();
    end(run)?;
    match set.code() {
        0 => {
            assert_eq!(stats["cpu_limit"], 0.5, "{stats}");
            assert_eq!(stats["memory_limit"], 512 << 20, "{stats}");
            Ok(())
        }
        _ => set.complains("the group above"),
    }
}

fn killed(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    // The first alone; its child is left, and the group with it.
    control(scene, &["kill", "--signal", "KILL", &name])?.succeeds()?;
    run.wait()?.exits_with(128 + 9)?;
    let again = control(scene, &["kill", &name])?;
    again.exits_with(1)?;
    again.complains("--all")?;
    control(scene, &["kill", "--all", &name])?.succeeds()?;
    is_gone(scene, &name)
}

fn killed_all(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    control(scene, &["kill", "--all", "--signal", "KILL", &name])?.succeeds()?;
    run.wait()?.exits_with(128 + 9)?;
    is_gone(scene, &name)
}

fn frozen(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    control(scene, &["freeze", &name])?.succeeds()?;
    says(&control(scene, &["list"])?, "frozen")?;
    control(scene, &["thaw", &name])?.succeeds()?;
    says(&control(scene, &["list"])?, "attached")?;
    end(run)?;
    is_gone(scene, &name)
}

fn not_joined(scene: &Scene) -> Outcome {
    let (run, name) = attached(scene)?;
    let out = control(scene, &["join", &name, "true"])?;
    let sharing = scene
        .sandbox()
        .args(["--no-profile", "--set"])
        .args([format!("namespaces.net=\"sandbox:{name}\"")]);
    let shared = sharing.program(["true"]).run()?;
    end(run)?;
    is_gone(scene, &name)?;
    out.exits_with(125)?;
    out.complains("is no sandbox")?;
    shared.exits_with(125)?;
    shared.complains("is no sandbox")
}

/// Who would stop or wait for themselves is told so.
fn not_from_within(scene: &Scene) -> Outcome {
    let control = binary("sandboxctl");
    let script = format!(
        "{0} attach --pids 44 --caller
        for verb in freeze wait 'kill --all'; do timeout 20 {0} $verb sh; echo \"$verb $?\"; done",
        control.display()
    );
    let out = scene.command("/bin/sh").args(["-c", &script]).run()?;
    out.succeeds()?;
    for told in ["freeze 1", "wait 1", "kill --all 1"] {
        says(&out, told)?;
    }
    is_gone(scene, "sh")?;
    out.complains("this very process is in it")
}

fn two_of_one_name(scene: &Scene) -> Outcome {
    let (first, one) = attached(scene)?;
    let (second, other) = attached(scene)?;
    end(first)?;
    let left = json(scene, &["list", "--json"])?;
    end(second)?;
    assert_ne!(one, other);
    assert!(ours(&left, &other).is_some(), "{left}");
    is_gone(scene, &one)?;
    is_gone(scene, &other)
}
