//! `sandboxctl doctor` agrees with what sandboxes can really do here, and leaves nothing.

use serde_json::Value;

use super::support::{Case, Need, Outcome, Scene, binary, case};

pub fn cases() -> Vec<Case> {
    vec![
        case("fit_host", &[Need::UserNamespaces], fit_host),
        case(
            "limits_that_can_be_held",
            &[Need::Limits],
            limits_that_can_be_held,
        ),
        case("within_a_filter", &[Need::UserNamespaces], within_a_filter),
        case("lines_for_people", &[], lines_for_people),
    ]
}

/// The state of a check.
fn state<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    let checks = document.get("checks")?.as_array()?;
    checks
        .iter()
        .find(|check| check.get("name").and_then(Value::as_str) == Some(name))?
        .get("state")?
        .as_str()
}

fn fit_host(scene: &Scene) -> Outcome {
    let out = scene.sandboxctl().args(["doctor", "--json"]).run()?;
    let document: Value = serde_json::from_str(&out.stdout())?;
    assert_eq!(state(&document, "user-namespace"), Some("ok"), "{out}");
    let fit = document.get("fit").and_then(Value::as_bool);
    assert_eq!(fit, Some(out.code() == 0), "{out}");
    // What it says of /proc is what a launch finds.
    let launched = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n")?
        .program(["true"])
        .run()?;
    let proc = state(&document, "new-proc") == Some("ok");
    assert_eq!(proc, launched.code() == 0, "{out}\n{launched}");
    Ok(())
}

fn limits_that_can_be_held(scene: &Scene) -> Outcome {
    let out = scene.sandboxctl().args(["doctor", "--json"]).run()?;
    let document: Value = serde_json::from_str(&out.stdout())?;
    let launched = scene
        .sandbox()
        .profile_text("[limits]\nmemory = \"200M\"\npids = 50\n")?
        .program(["true"])
        .run()?;
    let held = state(&document, "memory-limit") == Some("ok")
        && state(&document, "pids-limit") == Some("ok");
    assert_eq!(held, launched.code() == 0, "{out}\n{launched}");
    let way = document.pointer("/limits/way");
    assert_eq!(held, way.is_some_and(Value::is_string), "{out}");
    Ok(())
}

/// An outer sandbox that forbids namespaces is named as the reason.
fn within_a_filter(scene: &Scene) -> Outcome {
    let program = binary("sandboxctl");
    let program = program.to_str().ok_or("the program's path is not UTF-8")?;
    let out = scene
        .sandbox()
        .profile_text(
            "[namespaces]\npid = true\n[syscalls]\nunshare = \"deny\"\n\"clone(&CLONE_NEWUSER)\" = \"deny\"\n",
        )?
        .program([program, "doctor", "--json"])
        .run()?;
    out.exits_with(1)?;
    let document: Value = serde_json::from_str(&out.stdout())?;
    assert_eq!(state(&document, "clone3"), Some("missing"), "{out}");
    assert_eq!(state(&document, "user-namespace"), Some("missing"), "{out}");
    assert!(out.stdout().contains("seccomp filter"), "{out}");
    Ok(())
}

fn lines_for_people(scene: &Scene) -> Outcome {
    let out = scene.sandboxctl().args(["doctor"]).run()?;
    assert!(matches!(out.code(), 0 | 1), "{out}");
    for group in ["kernel", "namespaces", "limits", "helpers", "host"] {
        assert!(out.stdout().lines().any(|line| line == group), "{out}");
    }
    Ok(())
}
