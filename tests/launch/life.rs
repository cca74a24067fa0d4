//! The life of a control group: launchers that are killed at each of their system calls, many sandboxes at once and many in
//! a row. None of them may leave anything behind, and none may fail.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Case, Need, Outcome, Sandbox, Scene, Traces, binary, case};

const LIMITS: &[Need] = &[Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("killed_at_each_call", LIMITS, killed_at_each_call),
        case("ended_at_each_call", LIMITS, ended_at_each_call),
        case("outlives_its_launcher", LIMITS, outlives_its_launcher),
        case("many_at_once", LIMITS, many_at_once),
        case("many_in_a_row", LIMITS, many_in_a_row),
        case("without_clone3", LIMITS, without_clone3),
    ]
}

const PROFILE: &str = "[limits]\nmemory = \"64M\"\npids = 33\n";
/// What leaves more to be tidied up.
const LARGER: &str = "[limits]\nmemory = \"64M\"\npids = 33\n[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n";
/// The program may live on when the launcher is killed.
const LASTING: &str = "[limits]\nmemory = \"64M\"\npids = 33\n[process]\ndie-with-parent = false\n";

/// A program that leaves another one running.
const DAEMON: [&str; 3] = [
    "sh",
    "-c",
    "setsid sleep 600 </dev/null >/dev/null 2>&1 & echo started",
];

fn profiles(scene: &Scene) -> Vec<&'static str> {
    match scene.host.no_userns {
        Some(_) => vec![PROFILE, LASTING],
        None => vec![PROFILE, LARGER, LASTING],
    }
}

fn quiet(sandbox: &Sandbox<'_>) -> Command {
    let mut command = sandbox.command().1;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What became of a launcher that was stopped at its system calls.
struct Traced {
    /// Its number, which is in the name of its group.
    pid: i32,
    /// So many times it was stopped, at the begin and at the end of a call.
    stops: usize,
    /// Its wait status; none when it did not end in time.
    status: Option<i32>,
}

/// Starts the launcher and sends it a signal at the given stop.
fn interrupt(mut command: Command, at: usize, signal: Signal) -> Result<Traced, Box<dyn Error>> {
    let ask = || {
        // SAFETY: takes numbers only; the process that calls it will be executed.
        match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: `ask` makes one system call and allocates nothing.
    unsafe { command.pre_exec(ask) };
    let child = command.spawn()?;
    let pid = i32::try_from(child.id())?;
    let wait = |flags: i32| {
        let mut status = 0;
        // SAFETY: the status is ours; the child is.
        let found = unsafe { libc::waitpid(pid, &raw mut status, flags | libc::__WALL) };
        (found == pid).then_some(status)
    };
    let resume = |request: libc::c_uint, signal: i32| {
        // SAFETY: a request about a child of ours that is stopped; its numbers are no pointers.
        unsafe { libc::ptrace(request, pid, 0, signal) };
    };
    wait(0).ok_or("it cannot be traced")?;
    // SAFETY: as above.
    unsafe {
        libc::ptrace(
            libc::PTRACE_SETOPTIONS,
            pid,
            0,
            libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL,
        )
    };
    let mut stops = 0;
    let mut deliver = 0;
    loop {
        resume(libc::PTRACE_SYSCALL, deliver);
        deliver = 0;
        let status = wait(0).ok_or("it is gone")?;
        if !libc::WIFSTOPPED(status) {
            return Ok(Traced {
                pid,
                stops,
                status: Some(status),
            });
        }
        match libc::WSTOPSIG(status) {
            call if call == libc::SIGTRAP | 0x80 => {
                stops += 1;
                if stops == at {
                    kill(Pid::from_raw(pid), signal)?;
                    if signal != Signal::SIGKILL {
                        resume(libc::PTRACE_DETACH, 0);
                    }
                    break;
                }
            }
            other => deliver = other,
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = wait(libc::WNOHANG) {
            return Ok(Traced {
                pid,
                stops,
                status: Some(status),
            });
        }
        if Instant::now() > deadline {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            wait(0);
            return Ok(Traced {
                pid,
                stops,
                status: None,
            });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Scopes that systemd made for sandboxes.
fn scopes(scene: &Scene) -> BTreeSet<PathBuf> {
    fn collect(folder: &Path, depth: u32, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("app-sandbox-") {
                found.insert(entry.path());
            } else if depth < 6 {
                collect(&entry.path(), depth + 1, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    if let Some((mount, _)) = &scene.host.v2 {
        collect(mount, 0, &mut found);
    }
    found
}

/// Files in the directory where running sandboxes may be recorded.
fn records(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(records(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// What has stayed, after it was given a moment to go.
fn left(scene: &Scene, before: &Traces, old: &BTreeSet<PathBuf>) -> Vec<String> {
    let grace = Duration::from_secs(if scene.host.is_virtual() { 20 } else { 5 });
    let mut found = before.clean_up_after(grace);
    let deadline = Instant::now() + grace;
    let new = || &scopes(scene) - old;
    while !new().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    found.extend(new().iter().map(|path| path.display().to_string()));
    let records = records(&scene.runtime());
    found.extend(records.iter().map(|path| path.display().to_string()));
    found
}

/// Interrupts launchers at stops that are spread over their whole life.
fn at_each_call(
    scene: &Scene,
    signal: Signal,
    most: usize,
    check: impl Fn(&Traced) -> bool,
) -> Outcome {
    let most = if scene.host.is_virtual() {
        most / 15
    } else {
        most
    };
    let profiles = profiles(scene);
    let most = most / profiles.len();
    for profile in profiles {
        let sandbox = scene.sandbox().profile_text(profile)?.program(DAEMON);
        let before = Traces::take();
        let old = scopes(scene);
        let whole = interrupt(quiet(&sandbox), usize::MAX, signal)?;
        assert!(
            whole.status == Some(0) && whole.stops > 100,
            "{} stops, status {:?}",
            whole.stops,
            whole.status
        );
        let next = scene.sandbox().profile_text(profile)?.program(["true"]);
        for number in 0..most {
            let at = 1 + number * whole.stops / most;
            let traced = interrupt(quiet(&sandbox), at, signal)?;
            if !check(&traced) {
                return Err(format!(
                    "{signal} at stop {at} of {}: status {:?}\n{profile}",
                    whole.stops, traced.status
                )
                .into());
            }
            if signal == Signal::SIGKILL {
                let status = quiet(&next).status()?;
                assert!(status.success(), "after stop {at}: {status}");
            }
            let mut found = left(scene, &before, &old);
            if signal == Signal::SIGKILL && !found.is_empty() {
                // What was still ending while the next launch looked is for the one after it.
                assert!(quiet(&next).status()?.success());
                found = left(scene, &before, &old);
            }
            if !found.is_empty() {
                return Err(format!(
                    "{signal} at stop {at} of {} (process {})\n{profile}{}",
                    whole.stops,
                    traced.pid,
                    found.join("\n")
                )
                .into());
            }
        }
    }
    Ok(())
}

/// After the next launch nothing is left of one that was killed, wherever that was.
fn killed_at_each_call(scene: &Scene) -> Outcome {
    at_each_call(scene, Signal::SIGKILL, 150, |traced| {
        // It may have ended just before.
        matches!(traced.status, Some(9 | 0))
    })
}

/// SIGTERM is handed on to the program, or ends the launcher before there is one; nothing is left right afterwards.
fn ended_at_each_call(scene: &Scene) -> Outcome {
    at_each_call(scene, Signal::SIGTERM, 60, |traced| {
        traced.status.is_some_and(|status| {
            let exited = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            // Ended before it did anything; the program was ended; it had ended already.
            status == 15 || matches!(exited, Some(143 | 0))
        })
    })
}

/// What lives on without its launcher, because its profile says so, is ended by the next launch: also where systemd keeps
/// its group.
fn outlives_its_launcher(scene: &Scene) -> Outcome {
    let old = scopes(scene);
    let before = Traces::take();
    let mut run = scene
        .sandbox()
        .profile_text(LASTING)?
        .program(["sh", "-c", "echo ready; exec sleep 600 >/dev/null 2>&1"])
        .spawn()?;
    run.wait_for("ready")?;
    let inside = run.descendants();
    run.signal(Signal::SIGKILL)?;
    run.wait()?.exits_with(137)?;
    std::thread::sleep(Duration::from_millis(300));
    let alive = |pid: &Pid| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains("sandbox-keep"))
    };
    assert!(inside.iter().any(alive), "die-with-parent = false");
    let next = scene.sandbox().profile_text(LASTING)?.program(["true"]);
    assert!(quiet(&next).status()?.success());
    let left = left(scene, &before, &old);
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn many_at_once(scene: &Scene) -> Outcome {
    let (count, seconds) = if scene.host.is_virtual() {
        (40, "20")
    } else if scene.host.is_root() {
        (200, "4")
    } else {
        // Each has a session keyring of its own, and the kernel lets an ordinary user have 200 keys (keyrings(7)).
        (150, "4")
    };
    let before = Traces::take();
    let old = scopes(scene);
    let sandbox = scene
        .sandbox()
        .profile_text(PROFILE)?
        .program(["sleep", seconds]);
    let mut running = Vec::new();
    for _ in 0..count {
        let mut command = quiet(&sandbox);
        running.push(command.stderr(Stdio::piped()).spawn()?);
    }
    for child in running {
        let output = child.wait_with_output()?;
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let left = left(scene, &before, &old);
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// As many as two thousand; fewer where the machine is so busy that it would take more than a minute.
fn many_in_a_row(scene: &Scene) -> Outcome {
    let (least, most) = if scene.host.is_virtual() {
        (20, 100)
    } else {
        (300, 2000)
    };
    let before = Traces::take();
    let old = scopes(scene);
    let sandbox = scene.sandbox().profile_text(PROFILE)?.program(["true"]);
    let started = Instant::now();
    let mut number = 0;
    while number < least || (number < most && started.elapsed() < Duration::from_secs(50)) {
        let output = quiet(&sandbox).stderr(Stdio::piped()).output()?;
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "launch {number}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        number += 1;
    }
    println!("{number} launches in {} ms", started.elapsed().as_millis());
    let left = left(scene, &before, &old);
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// Where an outer filter shuts clone3(2) off nobody is born into a group: the program is in it all the same.
fn without_clone3(scene: &Scene) -> Outcome {
    let outer = scene.write("outer.toml", "[syscalls]\nclone3 = \"ENOSYS\"\n")?;
    let behind: [PathBuf; 4] = [binary("sandbox"), "--profile".into(), outer, "--".into()];
    let deed = "read@/proc/self/cgroup";
    for profile in [PROFILE, LASTING] {
        let run = |behind: &[PathBuf]| {
            let line = scene.sandbox().profile_text(profile)?.behind(behind);
            line.deeds([deed]).run()
        };
        let (born, moved) = (run(&[])?, run(&behind)?);
        born.succeeds()?;
        moved.succeeds()?;
        let count = |text: String| text.matches("sandbox-").count();
        assert!(count(born.answer(deed)) > 0, "{born}");
        assert_eq!(count(born.answer(deed)), count(moved.answer(deed)));
    }
    Ok(())
}
