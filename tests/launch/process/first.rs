//! Process 1 and the launcher, which a program is to learn nothing from.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::support::{Case, Outcome, Scene, case, wait_until};
use super::USERNS;

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "first_process_tells_nothing",
            USERNS,
            first_process_tells_nothing,
        ),
        case(
            "first_process_holds_nothing",
            USERNS,
            first_process_holds_nothing,
        ),
        case("launcher_is_out_of_reach", USERNS, launcher_is_out_of_reach),
    ]
}

fn first_process_tells_nothing(scene: &Scene) -> Outcome {
    let deeds = [
        "read@/proc/1/environ",
        "read@/proc/1/mem",
        "list@/proc/1/fd",
        "list@/proc/1/root",
        "list@/proc/1/cwd",
        "read@/proc/1/exe",
        "write@/proc/1/mem",
        "trace@1",
        "memory@1",
    ];
    let mut ways = vec![
        "[namespaces]\npid = true\nuser = true\n",
        "[namespaces]\npid = true\n[user]\nuid = \"root\"\ngid = \"root\"\n",
        "[namespaces]\npid = true\nuser = true\n[capabilities]\nsys_ptrace = \"drop\"\ndefault = \"keep\"\n",
    ];
    if scene.host.is_root() {
        ways.push("[namespaces]\npid = true\n[capabilities]\ndefault = \"drop\"\n");
    }
    for way in ways {
        let out = scene
            .sandbox()
            .profile_text(way)?
            .env("SECRET_TOKEN", "s3cret-of-the-caller")
            .deeds(deeds)
            .run()?;
        for deed in deeds {
            let answer = out.answer(deed);
            // One with root's own id may list, but there is nothing.
            let empty = deed == "list@/proc/1/fd" && answer == "[]";
            assert!(
                empty || matches!(answer.as_str(), "EACCES" | "EPERM"),
                "under {way}{deed} answers {answer}\n{}",
                out.stderr()
            );
        }
    }
    Ok(())
}

/// What is found about process 1 by one who may look at everything, from outside and inside.
fn first_process_holds_nothing(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .env("SECRET_TOKEN", "s3cret-of-the-caller")
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let first = run.descendants().first().copied().ok_or("no process")?;
    // It settles while the program already runs.
    let line = format!("/proc/{first}/cmdline");
    let settled = wait_until(Duration::from_secs(5), || {
        fs::read(&line).is_ok_and(|line| !line.windows(5).any(|w| w == b"sleep"))
    });
    assert!(settled, "{}", fs::read_to_string(&line)?);
    let status = fs::read_to_string(format!("/proc/{first}/status"))?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        if !scene.host.is_root() {
            assert!(
                status.contains(&format!("{set}:\t0000000000000000")),
                "{status}"
            );
        }
    }
    if scene.host.is_root() {
        let environ = fs::read(format!("/proc/{first}/environ"))?;
        assert!(
            environ.iter().all(|byte| *byte == 0),
            "{}",
            String::from_utf8_lossy(&environ)
        );
        let mut open = Vec::new();
        for entry in fs::read_dir(format!("/proc/{first}/fd"))? {
            open.push(fs::read_link(entry?.path())?);
        }
        assert!(open.is_empty(), "process 1 holds {open:?}");
        // The program has it: the search above would have found it.
        let program = run.descendants().last().copied().ok_or("no process")?;
        let environ = fs::read(format!("/proc/{program}/environ"))?;
        assert!(String::from_utf8_lossy(&environ).contains("s3cret"));
    }
    run.signal(Signal::SIGTERM)?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

/// The launcher itself, for a program that shares its pid namespace or not.
fn launcher_is_out_of_reach(scene: &Scene) -> Outcome {
    let own = std::process::id();
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nuser = true\npid = true\n")?
        .deeds([
            format!("trace@{own}"),
            format!("memory@{own}"),
            format!("call@kill@{own}@0"),
            "call@pidfd_open@1@0".to_owned(),
        ])
        .run()?;
    if own > 10 {
        out.answers(&[
            (format!("trace@{own}"), "ESRCH"),
            (format!("memory@{own}"), "ESRCH"),
            (format!("call@kill@{own}@0"), "ESRCH"),
        ])?;
    }
    Ok(())
}
