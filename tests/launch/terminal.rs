//! The terminal: the caller's, one of its own, or none.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Sandbox, Scene, case, wait_until};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("own_terminal", USERNS, own_terminal),
        case("own_terminal_in_own_dev", USERNS, own_terminal_in_own_dev),
        case("no_terminal", &[], no_terminal),
        case("callers_terminal", &[], callers_terminal),
        case("job_control", USERNS, job_control),
        case("interrupt_key", USERNS, interrupt_key),
        case(
            "interrupt_key_on_the_callers",
            USERNS,
            interrupt_key_on_the_callers,
        ),
        case("suspend_key", USERNS, suspend_key),
        case(
            "suspend_key_on_the_callers",
            USERNS,
            suspend_key_on_the_callers,
        ),
        case("window_size", USERNS, window_size),
        case("pushed_input", USERNS, pushed_input),
        case("pushed_input_filtered", USERNS, pushed_input_filtered),
        case("settings_come_back", USERNS, settings_come_back),
        case(
            "settings_come_back_after_a_signal",
            USERNS,
            settings_come_back_after_a_signal,
        ),
        case("nothing_is_lost", USERNS, nothing_is_lost),
        case("redirected_output", USERNS, redirected_output),
        case("end_of_input", USERNS, end_of_input),
        case("hangup", USERNS, hangup),
    ]
}

const OWN: &str = "[process]\nterminal = \"new\"\n[namespaces]\npid = true\n";
const OWN_DEV: &str = "[process]\nterminal = \"new\"\n[namespaces]\npid = true\n\
                       [capabilities]\ndefault = \"drop\"\n[devices]\ndefault = \"minimal\"\n[filesystem]\n\"/\" = \"read-only\"\n";
const CALLERS: &str = "[process]\nterminal = \"caller\"\n[namespaces]\npid = true\n";

fn on<'a>(scene: &'a Scene, profile: &str, script: &str) -> std::io::Result<Sandbox<'a>> {
    Ok(scene
        .sandbox()
        .on_terminal()
        .profile_text(profile)?
        .args(["--quiet"])
        .program(["sh", "-c", script]))
}

/// The launcher below an interactive shell: what is typed is the shell's, as a user's is.
fn below_a_shell<'a>(scene: &'a Scene) -> Sandbox<'a> {
    scene
        .command("/bin/bash")
        .on_terminal()
        .env("PS1", "prompt> ")
        .env("BIN", super::support::binary("sandbox"))
        .args(["--norc", "--noprofile", "--noediting", "-i"])
}

fn profile(scene: &Scene, text: &str) -> std::io::Result<String> {
    Ok(scene.write("shell.toml", text)?.display().to_string())
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// Waits until standard output holds `text` that many times.
fn wait_for_times(run: &Running, text: &str, times: usize) -> Outcome {
    let limit = Duration::from_secs(60);
    if wait_until(limit, || count(&run.stdout_so_far(), text) >= times) {
        return Ok(());
    }
    Err(format!(
        "`{text}` did not come {times} times in:\n{}",
        run.stdout_so_far()
    )
    .into())
}

const WHERE: &str = "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; \
                     (: </dev/tty) && echo controlling";

fn own_terminal(scene: &Scene) -> Outcome {
    let out = on(scene, OWN, WHERE)?.run()?;
    out.succeeds()?;
    let text = out.stdout();
    assert!(
        text.contains("all") && text.contains("controlling"),
        "{out}"
    );
    Ok(())
}

fn own_terminal_in_own_dev(scene: &Scene) -> Outcome {
    let out = on(scene, OWN_DEV, &format!("{WHERE}; ls -1 /dev/pts"))?.run()?;
    out.succeeds()?;
    let text = out.stdout().replace('\r', "");
    assert!(text.starts_with("/dev/pts/0\n"), "{out}");
    assert!(
        text.contains("all") && text.contains("controlling"),
        "{out}"
    );
    assert!(text.ends_with("0\nptmx\n"), "{out}");
    Ok(())
}

fn no_terminal(scene: &Scene) -> Outcome {
    let text = "[process]\nterminal = \"none\"\n";
    let script = "(: </dev/tty) 2>/dev/null && echo controlling; echo session $(($(cut -d' ' -f6 /proc/self/stat)))";
    let out = on(scene, text, script)?.run()?;
    out.succeeds()?;
    assert!(!out.stdout().contains("controlling"), "{out}");
    // Control: with the caller's there is one.
    let out = on(scene, "[process]\nterminal = \"caller\"\n", script)?.run()?;
    assert!(out.stdout().contains("controlling"), "{out}");
    Ok(())
}

fn callers_terminal(scene: &Scene) -> Outcome {
    let script = "echo $(cut -d' ' -f7 /proc/self/stat)"; // the terminal's device number
    let inside = on(scene, "[process]\nterminal = \"caller\"\n", script)?.spawn()?;
    let leader = inside.pid();
    let stat = std::fs::read_to_string(format!("/proc/{leader}/stat"))?;
    let outside = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(4));
    let outside = outside.ok_or("no terminal number")?.to_owned();
    assert_ne!(outside, "0", "{stat}");
    let out = inside.wait()?;
    out.succeeds()?.prints(&outside)?;
    // Another one is another.
    let own = on(scene, OWN, script)?.run()?;
    assert_ne!(own.stdout().trim(), outside, "{own}");
    assert_ne!(own.stdout().trim(), "0", "{own}");
    Ok(())
}

fn job_control(scene: &Scene) -> Outcome {
    for text in [OWN_DEV, CALLERS] {
        let mut run = scene
            .sandbox()
            .on_terminal()
            .profile_text(text)?
            .env("PS1", "prompt> ")
            .program(["bash", "--norc", "--noprofile", "--noediting", "-i"])
            .spawn()?;
        run.wait_for("prompt>")?;
        assert!(
            !run.stdout_so_far().contains("job control"),
            "{}",
            run.stdout_so_far()
        );
        run.type_in(b"sleep 500\n")?;
        thread::sleep(Duration::from_millis(if scene.host.is_virtual() {
            3000
        } else {
            400
        }));
        run.type_in(b"\x1a")?;
        run.wait_for("Stopped")?;
        run.type_in(b"bg; jobs; echo in $((1+1))\n")?;
        run.wait_for("Running")?;
        run.wait_for("in 2")?;
        run.type_in(b"fg\n")?;
        thread::sleep(Duration::from_millis(if scene.host.is_virtual() {
            3000
        } else {
            400
        }));
        run.type_in(b"\x03")?;
        run.type_in(b"echo status $? after $((20+3))\n")?;
        run.wait_for("status 130 after 23")?;
        run.type_in(b"exit 6\n")?;
        run.wait()?.exits_with(6)?;
    }
    Ok(())
}

fn interrupt_key(scene: &Scene) -> Outcome {
    let script = "trap 'echo interrupted' INT; echo ready; \
                  n=0; while [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done; echo done; exit 3";
    let mut run = on(scene, OWN, script)?.spawn()?;
    run.wait_for("ready")?;
    run.type_in(b"\x03")?;
    run.wait_for("interrupted")?;
    let out = run.wait()?;
    out.exits_with(3)?;
    assert_eq!(count(&out.stdout(), "interrupted"), 1, "{out}");
    // A program that does not care dies of it, and so says the launcher.
    let mut run = on(scene, OWN, "echo ready; exec sleep 100")?.spawn()?;
    run.wait_for("ready")?;
    run.type_in(b"\x03")?;
    run.wait()?.exits_with(130)?;
    Ok(())
}

fn interrupt_key_on_the_callers(scene: &Scene) -> Outcome {
    let script = "trap 'echo interrupted' INT; echo ready; \
                  n=0; while [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done; echo done; exit 3";
    for text in [CALLERS, "[process]\nterminal = \"caller\"\n"] {
        let mut run = on(scene, text, script)?.spawn()?;
        run.wait_for("ready")?;
        run.type_in(b"\x03")?;
        let out = run.wait()?;
        out.exits_with(3)?;
        assert_eq!(count(&out.stdout(), "interrupted"), 1, "{out}");
        let mut run = on(scene, text, "echo ready; exec sleep 100")?.spawn()?;
        run.wait_for("ready")?;
        run.type_in(b"\x03")?;
        run.wait()?.exits_with(130)?;
    }
    Ok(())
}

/// `sandbox sleep 500`, Ctrl-Z, `jobs`, `fg`, Ctrl-C, all in an outer shell.
fn suspend(scene: &Scene, text: &str) -> Outcome {
    let path = profile(scene, text)?;
    let pause = || {
        thread::sleep(Duration::from_millis(if scene.host.is_virtual() {
            3000
        } else {
            400
        }))
    };
    let mut run = below_a_shell(scene).spawn()?;
    run.wait_for("prompt>")?;
    run.type_in(
        format!("$BIN --profile {path} sh -c 'echo rea\"dy\"; exec sleep 500'\n").as_bytes(),
    )?;
    run.wait_for("ready")?;
    pause();
    run.type_in(b"\x1a")?;
    run.wait_for("Stopped")?;
    run.type_in(b"echo outer $((40+2))\n")?;
    run.wait_for("outer 42")?;
    run.type_in(b"fg\n")?;
    pause();
    run.type_in(b"\x1a")?;
    wait_for_times(&run, "Stopped", 2)?;
    run.type_in(b"fg\n")?;
    pause();
    run.type_in(b"\x03")?;
    pause();
    run.type_in(b"echo status $? after $((20+3))\n")?;
    run.wait_for("status 130 after 23")?;
    run.type_in(b"exit 5\n")?;
    run.wait()?.exits_with(5)?;
    Ok(())
}

fn suspend_key(scene: &Scene) -> Outcome {
    suspend(scene, OWN)?;
    suspend(scene, OWN_DEV)
}

fn suspend_key_on_the_callers(scene: &Scene) -> Outcome {
    suspend(scene, CALLERS)?;
    suspend(scene, "[process]\nterminal = \"caller\"\n")
}

/// Sets the size of the terminal that the test holds the other end of.
fn resize(run: &Running, rows: u16, columns: u16) -> std::io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = run.terminal()?;
    // SAFETY: the argument points to a winsize, as TIOCSWINSZ takes.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn window_size(scene: &Scene) -> Outcome {
    let script = "trap 'stty size' WINCH; echo ready; stty size; \
                  n=0; while [ $n -lt 600 ] && ! [ -e \"$HOME/end\" ]; do sleep 0.05; n=$((n+1)); done";
    for text in [OWN, CALLERS] {
        let _ = std::fs::remove_file(scene.home().join("end"));
        let mut run = below_a_shell(scene).spawn()?;
        resize(&run, 33, 77)?;
        run.wait_for("prompt>")?;
        let path = profile(scene, text)?;
        let file = scene.write("script", script)?;
        run.type_in(format!("$BIN --profile {path} sh {}\n", file.display()).as_bytes())?;
        run.wait_for("33 77")?;
        resize(&run, 44, 88)?;
        run.wait_for("44 88")?;
        scene.write("home/end", "")?;
        wait_for_times(&run, "prompt>", 2)?;
        run.type_in(b"exit 5\n")?;
        run.wait()?.exits_with(5)?;
    }
    Ok(())
}

/// What is pushed into the caller's terminal would be read by the caller's shell.
fn pushed(scene: &Scene, text: &str) -> Result<(bool, String), Box<dyn std::error::Error>> {
    let path = profile(scene, text)?;
    let own = std::env::current_exe()?.display().to_string();
    let mut run = below_a_shell(scene).spawn()?;
    run.wait_for("prompt>")?;
    run.type_in(format!("$BIN --profile {path} {own} probe tiocsti; echo en\"\"d\n").as_bytes())?;
    run.wait_for("end")?;
    // Whatever has arrived stands before this in the shell's input.
    run.type_in(b"\necho gone $((30+4))\n")?;
    let arrived = !wait_until(Duration::from_secs(60), || {
        let text = run.stdout_so_far();
        text.contains("gone 34") || text.contains("xecho") || text.contains("x: command")
    }) || {
        let text = run.stdout_so_far();
        text.contains("x: command") || text.contains("xecho")
    };
    run.type_in(b"\nexit 5\n")?;
    let out = run.wait()?;
    Ok((arrived, out.stdout()))
}

fn pushed_input(scene: &Scene) -> Outcome {
    // Root's CAP_SYS_ADMIN would push into any terminal that it has open.
    let none = "[process]\nterminal = \"none\"\n[capabilities]\ndefault = \"drop\"\n";
    for text in [OWN, OWN_DEV, none] {
        let (arrived, shown) = pushed(scene, text)?;
        assert!(!arrived, "under {text}{shown}");
    }
    // Control, where the kernel allows the request at all.
    let allowed = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti")
        .map_or(true, |text| text.trim() == "1");
    if allowed || scene.host.is_root() {
        let (arrived, shown) = pushed(scene, "[process]\numask = \"022\"\n")?;
        assert!(arrived, "the probe cannot show anything:\n{shown}");
    }
    Ok(())
}

fn pushed_input_filtered(scene: &Scene) -> Outcome {
    let text = "[process]\nterminal = \"caller\"\n[syscalls]\n\"ioctl(_, TIOCSTI)\" = \"deny\"\n\
                \"ioctl(_, TIOCLINUX)\" = \"deny\"\n";
    let (arrived, shown) = pushed(scene, text)?;
    assert!(!arrived && shown.contains("EPERM"), "{shown}");
    let out = scene
        .sandbox()
        .on_terminal()
        .profile_text(text)?
        .deeds([
            "call@ioctl@0@0x5412@s:x",
            "call@ioctl@0@0x700005412@s:x",
            "call@ioctl@0@0x541c@s:\u{2}",
        ])
        .run()?;
    out.answers(&[
        ("call@ioctl@0@0x5412@s:x", "EPERM"),
        ("call@ioctl@0@0x700005412@s:x", "EPERM"),
        ("call@ioctl@0@0x541c@s:\u{2}", "EPERM"),
    ])
}

/// `stty -a` of the outer shell around something that runs in a sandbox.
fn settings_around(scene: &Scene, text: &str, script: &str, then: Option<Signal>) -> Outcome {
    let path = profile(scene, text)?;
    let mut run = below_a_shell(scene).spawn()?;
    run.wait_for("prompt>")?;
    let file = scene.write("script", script)?;
    run.type_in(b"stty -echo; stty -g | sed s/^/before:/; echo first\"\"\n")?;
    run.wait_for("first\r")?;
    run.type_in(
        format!(
            "$BIN --profile {path} sh {}; echo; stty -g | sed s/^/after:/; echo last\"\"\n",
            file.display()
        )
        .as_bytes(),
    )?;
    if let Some(signal) = then {
        run.wait_for("ready")?;
        let launcher = run.descendants().first().copied().ok_or("no launcher")?;
        nix::sys::signal::kill(launcher, signal)?;
    }
    run.wait_for("last\r")?;
    let text = run.stdout_so_far().replace('\r', "");
    let line = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key));
        found.map(str::to_owned)
    };
    let (before, after) = (line("before:"), line("after:"));
    assert!(before.is_some(), "{text}");
    assert_eq!(before, after, "{text}");
    run.type_in(b"exit 5\n")?;
    run.wait()?.exits_with(5)?;
    Ok(())
}

fn settings_come_back(scene: &Scene) -> Outcome {
    settings_around(scene, OWN, "echo ready; stty raw -echo; exit 1\n", None)?;
    settings_around(scene, OWN, "kill -KILL $$\n", None)?;
    settings_around(scene, OWN_DEV, "echo ready; stty raw; exit 0\n", None)
}

fn settings_come_back_after_a_signal(scene: &Scene) -> Outcome {
    let script = "stty raw -echo; echo ready; exec sleep 500\n";
    settings_around(scene, OWN, script, Some(Signal::SIGTERM))?;
    settings_around(scene, OWN, script, Some(Signal::SIGINT))
}

fn nothing_is_lost(scene: &Scene) -> Outcome {
    // A million bytes and a last word right before the end.
    let script = "i=0; while [ $i -lt 125 ]; do \
                  printf '%08000d' 7; i=$((i+1)); done; printf END";
    for text in [OWN, CALLERS, OWN_DEV] {
        let out = on(scene, text, script)?.run()?;
        out.succeeds()?;
        let text = out.stdout();
        assert!(
            text.ends_with("END"),
            "the end is lost after {} bytes",
            text.len()
        );
        assert_eq!(text.len(), 125 * 8000 + 3);
    }
    Ok(())
}

/// Standard output is a file while the rest is the terminal: the file gets what is printed.
fn redirected_output(scene: &Scene) -> Outcome {
    let path = profile(scene, OWN)?;
    let file = scene.home().join("out");
    let file = file.display();
    let mut run = below_a_shell(scene).spawn()?;
    run.wait_for("prompt>")?;
    run.type_in(
        format!(
            "$BIN --profile {path} sh -c '[ -t 0 ] && [ -t 2 ] && echo to the file; \
             [ -t 1 ] || echo to th\"\"e screen >&2' >{file}; echo st\"\"atus $?\n"
        )
        .as_bytes(),
    )?;
    run.wait_for("status 0")?;
    run.wait_for("to the screen")?;
    assert_eq!(std::fs::read_to_string(file.to_string())?, "to the file\n");
    // And the other way round.
    run.type_in(
        format!("echo fed | $BIN --profile {path} sh -c 'read w; [ -t 1 ] && echo go\"\"t $w'; echo st\"\"atus2 $?\n")
            .as_bytes(),
    )?;
    run.wait_for("got fed")?;
    run.wait_for("status2 0")?;
    run.type_in(b"exit 5\n")?;
    run.wait()?.exits_with(5)?;
    Ok(())
}

fn end_of_input(scene: &Scene) -> Outcome {
    for text in [OWN, CALLERS] {
        let mut run = on(scene, text, "echo ready; cat; echo ended")?.spawn()?;
        run.wait_for("ready")?;
        run.type_in(b"word\n")?;
        wait_for_times(&run, "word", 2)?;
        run.type_in(b"\x04")?;
        run.wait_for("ended")?;
        run.wait()?.succeeds()?;
    }
    Ok(())
}

/// The terminal goes away: the program must not stay.
fn hangup(scene: &Scene) -> Outcome {
    for text in [OWN, CALLERS] {
        let mut run = on(scene, text, "echo ready; exec sleep 500")?.spawn()?;
        run.wait_for("ready")?;
        run.signal(Signal::SIGHUP)?;
        run.wait()?.exits_with(129)?;
    }
    Ok(())
}
