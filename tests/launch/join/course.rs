//! From the first to the last moment of who joins.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::support::{Case, Need, Outcome, Scene, case, has_ended, unique, wait_until};
use super::{SOON, USERNS, end, idle, join};

pub fn cases() -> Vec<Case> {
    vec![
        case("status", &[], status),
        case("default_program", &[], default_program),
        case("terminal", USERNS, terminal),
        case("ends_with_the_joiner", USERNS, ends_with_the_joiner),
        case("ends_with_the_sandbox", &[], ends_with_the_sandbox),
        case("counts_in_the_group", &[Need::Limits], counts_in_the_group),
        case("launcher_gone", &[], launcher_gone),
        case("unknown_name", &[], unknown_name),
    ]
}

fn status(scene: &Scene) -> Outcome {
    let name = unique("status");
    let run = idle(scene, &name, "[process]\nno-new-privileges = true\n")?;
    let mut outcomes = Vec::new();
    for (line, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        outcomes.push((join(scene, &name).program(line).run()?, code));
    }
    let input = join(scene, &name)
        .stdin("through\n")
        .program(["cat"])
        .run()?;
    end(run)?;
    for (out, code) in outcomes {
        out.exits_with(code)?;
    }
    input.succeeds()?.prints("through")
}

fn default_program(scene: &Scene) -> Outcome {
    let name = unique("default");
    let run = idle(scene, &name, "[process]\nno-new-privileges = true\n")?;
    let mut outcomes = Vec::new();
    for (shell, expected) in [
        ("/bin/bash", "/bin/bash"),
        ("/no/such/shell", "/bin/sh"),
        ("sh", "/bin/sh"),
    ] {
        let out = join(scene, &name)
            .env("SHELL", shell)
            .stdin("echo $0\n")
            .run()?;
        outcomes.push((out, expected));
    }
    end(run)?;
    for (out, expected) in outcomes {
        out.succeeds()?.prints(expected)?;
    }
    Ok(())
}

fn terminal(scene: &Scene) -> Outcome {
    let name = unique("terminal");
    let run = idle(
        scene,
        &name,
        "[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n[devices]\ndefault = \"minimal\"\n",
    )?;
    let mut shell = join(scene, &name)
        .env("TERM", "vt100")
        .on_terminal()
        .program([
            "sh",
            "-c",
            "tty; echo $TERM; stty size; echo go; read x; stty size; exec sed -u s/here/there/",
        ])
        .spawn()?;
    shell.wait_for("go")?;
    let size = libc::winsize {
        ws_row: 33,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let fd = std::os::fd::AsRawFd::as_raw_fd(shell.terminal()?);
    // SAFETY: the argument points to a winsize, as TIOCSWINSZ takes.
    let set = unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(set, 0);
    thread::sleep(Duration::from_millis(300));
    shell.type_in(b"\n")?;
    shell.wait_for("33 77")?;
    // The shell passes a key over that comes while it waits for a program which ends by itself.
    shell.type_in(b"here\n")?;
    shell.wait_for("there")?;
    // The interrupt key ends what is in the foreground of the terminal inside.
    shell.type_in(b"\x03")?;
    let shell = shell.wait()?;
    end(run)?;
    shell.exits_with(130)?;
    let text = shell.stdout();
    assert!(
        text.contains("/dev/pts/") && text.contains("vt100"),
        "{shell}"
    );
    Ok(())
}

fn ends_with_the_joiner(scene: &Scene) -> Outcome {
    for (number, profile) in [
        "[namespaces]\npid = true\n",
        "[namespaces]\nuts = true\n[capabilities]\ndefault = \"drop\"\n",
        "[user]\nuid = \"root\"\n",
    ]
    .into_iter()
    .enumerate()
    {
        let name = unique(&format!("joiner-{number}"));
        let run = idle(scene, &name, profile)?;
        let mut joined = join(scene, &name)
            .program(["sh", "-c", "echo joined; exec sleep 600"])
            .spawn()?;
        joined.wait_for("joined")?;
        let inside = joined.descendants();
        joined.signal(Signal::SIGKILL)?;
        joined.wait()?.exits_with(137)?;
        let gone = wait_until(SOON, || inside.iter().all(|pid| has_ended(*pid)));
        end(run)?;
        assert!(inside.len() >= 2 && gone, "under {profile}: {inside:?}");
    }
    Ok(())
}

fn ends_with_the_sandbox(scene: &Scene) -> Outcome {
    let name = unique("sandbox");
    for profile in [
        "[namespaces]\npid = true\n",
        "[process]\nno-new-privileges = true\n",
    ] {
        if profile.contains("pid") && scene.host.no_userns.is_some() {
            continue;
        }
        let run = idle(scene, &name, profile)?;
        let mut joined = join(scene, &name)
            .program(["sh", "-c", "echo joined; exec sleep 600"])
            .spawn()?;
        joined.wait_for("joined")?;
        let inside = joined.descendants();
        run.signal(Signal::SIGTERM)?;
        run.wait()?.exits_with(143)?;
        joined.wait()?.exits_with(137)?;
        let gone = wait_until(SOON, || inside.iter().all(|pid| has_ended(*pid)));
        assert!(gone, "under {profile} it lives on: {inside:?}");
    }
    Ok(())
}

fn counts_in_the_group(scene: &Scene) -> Outcome {
    let name = unique("group");
    let run = idle(
        scene,
        &name,
        "degrade = [\"limits.swap\"]\n[limits]\npids = 20\nmemory = \"200M\"\nswap = 0\n",
    )?;
    let bomb = join(scene, &name).probe(["fork-bomb", "5", "60"]).run()?;
    let hog = join(scene, &name)
        .probe(["memory-hog", "300000000"])
        .run()?;
    let mut joined = join(scene, &name)
        .program(["sh", "-c", "echo joined; sleep 600 & sleep 600 & wait"])
        .spawn()?;
    joined.wait_for("joined")?;
    let inside = joined.descendants();
    run.signal(Signal::SIGTERM)?;
    let outcome = run.wait()?;
    joined.wait()?.exits_with(137)?;
    let gone = wait_until(SOON, || inside.iter().all(|pid| has_ended(*pid)));
    assert!(gone, "not killed with the group: {inside:?}");
    assert!(outcome.code() == 143 || outcome.code() == 137, "{outcome}");
    let text = bomb.stdout();
    assert!(
        text.starts_with("forked ") && !text.contains("refused 0"),
        "{bomb}"
    );
    hog.exits_with(137)?;
    Ok(())
}

fn launcher_gone(scene: &Scene) -> Outcome {
    let name = unique("orphan");
    let run = idle(scene, &name, "[process]\ndie-with-parent = false\n")?;
    let path = scene.records().join(&name);
    assert!(wait_until(SOON, || fs::read_to_string(&path)
        .is_ok_and(|text| text.lines().count() >= 3)));
    let inside = run.descendants();
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    let out = join(scene, &name).program(["echo", "was run"]).run();
    for pid in inside {
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
    let _ = fs::remove_file(&path);
    let out = out?;
    out.exits_with(125)?.prints("")?;
    out.complains("its launcher was killed")
}

fn unknown_name(scene: &Scene) -> Outcome {
    let out = join(scene, "no-such-sandbox")
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("no sandbox named `no-such-sandbox` is running")
}
