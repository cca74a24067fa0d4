//! The launcher against its caller: what it is started with, and how it and its first process are killed.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Case, Need, Outcome, Sandbox, Scene, binary, case};

const USER: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("closed_standard_streams", USER, closed_standard_streams),
        case("few_descriptors", USER, few_descriptors),
        case("many_descriptors", USER, many_descriptors),
        case(
            "signals_blocked_and_ignored",
            USER,
            signals_blocked_and_ignored,
        ),
        case("umask_without_rights", USER, umask_without_rights),
        case("working_directory_gone", USER, working_directory_gone),
        case("working_directory_closed", USER, working_directory_closed),
        case("odd_home", USER, odd_home),
        case("odd_search_path", USER, odd_search_path),
        case("odd_own_directories", USER, odd_own_directories),
        case("large_command_lines", USER, large_command_lines),
        case("odd_own_name", USER, odd_own_name),
        case("control_characters", USER, control_characters),
        case(
            "control_characters_on_a_terminal",
            &[],
            control_characters_on_a_terminal,
        ),
        case("output_that_nobody_takes", &[], output_that_nobody_takes),
        case(
            "launcher_killed_at_any_moment",
            USER,
            launcher_killed_at_any_moment,
        ),
        case(
            "launcher_killed_with_limits",
            &[Need::UserNamespaces, Need::Limits],
            launcher_killed_with_limits,
        ),
        case(
            "first_process_killed_from_outside",
            USER,
            first_process_killed_from_outside,
        ),
        case("signals_from_inside", USER, signals_from_inside),
        case("daemons_end", USER, daemons_end),
        case("zombies_are_reaped", USER, zombies_are_reaped),
    ]
}

/// Enough that there is a process 1, and that there are mounts.
const PROFILE: &str = "[namespaces]\npid = true\nipc = true\n[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n";

fn launcher<'a>(scene: &'a Scene) -> Result<Sandbox<'a>, std::io::Error> {
    scene.sandbox().profile_text(PROFILE)
}

/// `prepare` in a shell, which then becomes the launcher: `"$@"` is its command line.
fn shell<'a>(scene: &'a Scene, prepare: &str, program: &[&str]) -> std::io::Result<Sandbox<'a>> {
    let profile = scene.write("caller.toml", PROFILE)?;
    let words = [
        "-c",
        prepare,
        "sh",
        &binary("sandbox").display().to_string(),
        "--profile",
        &profile.display().to_string(),
        "--",
    ]
    .map(str::to_owned);
    let program = program.iter().map(|word| (*word).to_owned());
    Ok(scene
        .command("/bin/sh")
        .args(words.into_iter().chain(program)))
}

fn closed_standard_streams(scene: &Scene) -> Outcome {
    let look = "for n in 0 1 2; do test -e /proc/self/fd/$n || exit 8; done; test -e /proc/self/fd/9 && exit 9; exit 7";
    for closed in 0..8 {
        let redirections: String = ["0<&-", "1>&-", "2>&-"]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| closed & (1 << bit) != 0)
            .map(|(_, redirection)| format!(" {redirection}"))
            .collect();
        let prepare = format!("exec \"$@\"{redirections}");
        let out = shell(scene, &prepare, &["sh", "-c", look])?.run()?;
        out.exits_with(7)
            .map_err(|error| format!("with{redirections}: {error}"))?;
    }
    // Nothing of ours is to be found under the number that was closed.
    let out = shell(scene, "exec \"$@\" 0<&-", &["readlink", "/proc/self/fd/0"])?.run()?;
    out.succeeds()?;
    out.prints("/dev/null")
}

fn few_descriptors(scene: &Scene) -> Outcome {
    // With less than 4 the program loader fails already.
    for most in [4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 64, 128] {
        let prepare = format!("ulimit -n {most}; exec \"$@\"");
        let out = shell(scene, &prepare, &["sh", "-c", "exit 3"])?
            .limit(Duration::from_secs(20))
            .run()?;
        match out.code() {
            3 => {}
            // Each mount takes one until the program is executed, and a control group a few for each hierarchy of v1.
            125 if most < 128 => assert!(!out.stderr().is_empty(), "{out}"),
            _ => return Err(format!("with {most} descriptors:\n{out}").into()),
        }
    }
    Ok(())
}

fn many_descriptors(scene: &Scene) -> Outcome {
    let files: Vec<fs::File> = (0..500)
        .map(|_| fs::File::open("/dev/null"))
        .collect::<Result<_, _>>()?;
    for file in &files {
        fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        assert!(file.as_raw_fd() > 2);
    }
    let out = launcher(scene)?
        .program(["sh", "-c", "echo /proc/self/fd/*"])
        .run()?;
    drop(files);
    out.succeeds()?;
    let count = out.stdout().split_whitespace().count();
    // 0, 1, 2, and the one that the shell lists the directory through.
    assert!(count <= 4, "{out}");
    Ok(())
}

fn signals_blocked_and_ignored(scene: &Scene) -> Outcome {
    let masks = "grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 3";
    for how in [
        "--block-signal",
        "--ignore-signal",
        "--ignore-signal=CHLD",
        "--block-signal --ignore-signal",
    ] {
        let prepare = format!("exec env {how} \"$@\"");
        let out = shell(scene, &prepare, &["sh", "-c", masks])?.run()?;
        out.exits_with(3)?;
        let set = |name: &str| {
            let text = out.stdout();
            let line = text.lines().find(|line| line.starts_with(name))?;
            u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
        };
        assert_eq!(set("SigBlk"), Some(0), "{how}\n{out}");
        // SIGHUP stays ignored, as nohup(1) has it. 32 and 33 are the C library's own: its posix_spawn leaves them
        // ignored, and its sigaction changes nothing about them.
        const OF_THE_LIBRARY: u64 = 0b11 << 31;
        assert!(
            matches!(set("SigIgn").map(|set| set & !OF_THE_LIBRARY), Some(0 | 1)),
            "{how}\n{out}"
        );
    }
    Ok(())
}

/// The program gets the caller's umask, and what is made for it has modes that do not depend on that.
fn umask_without_rights(scene: &Scene) -> Outcome {
    let prepare = "umask 0777; exec \"$@\"";
    let out = shell(scene, prepare, &["sh", "-c", "umask"])?.run()?;
    out.succeeds()?;
    out.prints("0777")?;
    // What the launcher made for the user stays usable.
    let out = launcher(scene)?.program(["true"]).run()?;
    out.succeeds()?;
    let profile = scene.write(
        "modes.toml",
        "[namespaces]\npid = true\n[filesystem]\n\"/tmp\" = \"tmpfs\"\n\"/tmp/a/b\" = \"tmpfs\"\n\"/tmp/c/d\" = { text = \"hello\" }\n",
    )?;
    let words = [
        "-c",
        prepare,
        "sh",
        &binary("sandbox").display().to_string(),
        "--profile",
        &profile.display().to_string(),
        "sh",
        "-c",
        "cat /tmp/c/d; stat -c ' %a' /tmp/a",
    ]
    .map(str::to_owned);
    let out = scene.command("/bin/sh").args(words).run()?;
    out.succeeds()?;
    out.prints("hello 755")
}

fn working_directory_gone(scene: &Scene) -> Outcome {
    let prepare = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    let out = shell(scene, prepare, &["pwd"])?.run()?;
    out.succeeds()?;
    out.prints(&scene.home().display().to_string())
}

fn working_directory_closed(scene: &Scene) -> Outcome {
    let prepare = "mkdir closed && cd closed && chmod 0 . && exec \"$@\"";
    let out = shell(scene, prepare, &["sh", "-c", "exit 3"])?.run()?;
    set_mode(&scene.home().join("closed"), 0o755)?; // to be removed
    out.exits_with(3)?;
    Ok(())
}

fn odd_home(scene: &Scene) -> Outcome {
    for home in [
        "",
        "relative/home",
        "/nonexistent",
        "/etc/passwd",
        "/proc/1",
    ] {
        let out = launcher(scene)?
            .env("HOME", home)
            .program(["sh", "-c", "exit 3"])
            .run()?;
        out.exits_with(3)
            .map_err(|error| format!("HOME={home}: {error}"))?;
    }
    let out = launcher(scene)?
        .without_env("HOME")
        .program(["sh", "-c", "exit 3"])
        .run()?;
    out.exits_with(3)?;
    Ok(())
}

fn odd_search_path(scene: &Scene) -> Outcome {
    let planted = scene.write("home/true", "#!/bin/sh\necho planted\n")?;
    set_mode(&planted, 0o755)?;
    for path in ["", ".", ":", "relative/directory", "/nonexistent"] {
        let out = launcher(scene)?.env("PATH", path).program(["true"]).run()?;
        out.exits_with(127)
            .map_err(|error| format!("PATH={path}: {error}"))?;
        assert_eq!(out.stdout(), "", "PATH={path}");
    }
    // Without the variable the system's directories are searched.
    let out = launcher(scene)?
        .without_env("PATH")
        .program(["true"])
        .run()?;
    out.succeeds()?;
    assert_eq!(out.stdout(), "");
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn odd_own_directories(scene: &Scene) -> Outcome {
    const NAMES: [&str; 5] = [
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
    ];
    for value in ["", "relative", "../..", "/etc/passwd"] {
        let mut line = launcher(scene)?;
        for name in NAMES {
            line = line.env(name, value);
        }
        let out = line.program(["sh", "-c", "exit 3"]).run()?;
        match out.code() {
            3 => {}
            // A file where a directory must be made.
            125 if value == "/etc/passwd" => out.complains("ENOTDIR")?,
            _ => return Err(format!("{value}:\n{out}").into()),
        }
    }
    Ok(())
}

fn large_command_lines(scene: &Scene) -> Outcome {
    let mut words = vec!["sh".to_owned(), "-c".into(), "echo $#".into(), "x".into()];
    words.extend((0..10_000).map(|_| "a".repeat(100)));
    let out = launcher(scene)?.program(words).run()?;
    out.succeeds()?;
    out.prints("10000")?;
    let mut line = launcher(scene)?;
    for number in 0..500 {
        line = line.env(&format!("V{number}"), "x".repeat(2000));
    }
    let out = line.program(["sh", "-c", "env | grep -c ^V"]).run()?;
    out.succeeds()?;
    out.prints("500")
}

/// What the launcher is called decides about nothing.
fn odd_own_name(scene: &Scene) -> Outcome {
    use std::os::unix::process::CommandExt;
    let profile = scene.write("name.toml", PROFILE)?;
    let long = "a".repeat(60_000);
    for name in [
        "",
        "sandboxctl",
        "sandbox-suid",
        "\u{1b}]0;x\u{7}",
        long.as_str(),
    ] {
        let status = Command::new(binary("sandbox"))
            .arg0(name)
            .arg("--profile")
            .arg(&profile)
            .args(["sh", "-c", "exit 3"])
            .env("HOME", scene.home())
            .stdin(Stdio::null())
            .status()?;
        assert_eq!(status.code(), Some(3), "argv[0] of {} bytes", name.len());
    }
    Ok(())
}

const FORGED: &str = "\u{1b}]0;title\u{7}\u{202e}\nsandbox: all is well";

fn is_harmless(text: &str) -> bool {
    !text
        .chars()
        .any(|c| (c.is_control() && c != '\n' && c != '\t' && c != '\r') || c == '\u{202e}')
        && !text
            .lines()
            .any(|line| line.starts_with("sandbox: all is well"))
}

fn control_characters(scene: &Scene) -> Outcome {
    let option = format!("--{FORGED}");
    let setting = format!("limits.{FORGED}=1");
    let path = format!("./{FORGED}");
    for (code, options, program) in [
        (127, &[][..], FORGED),
        (127, &[], &format!("/{FORGED}")),
        (2, &["--profile", FORGED], "true"),
        (2, &["--profile", &path], "true"),
        (2, &["--set", &setting], "true"),
        (2, &["--memory", FORGED], "true"),
        (2, &["--name", FORGED], "true"),
        (2, &[&option], "true"),
    ] {
        let out = launcher(scene)?
            .args(options.iter().copied())
            .program([program])
            .run()?;
        out.exits_with(code)?;
        assert!(is_harmless(&out.stderr()), "{options:?} {program:?}\n{out}");
    }
    Ok(())
}

fn control_characters_on_a_terminal(scene: &Scene) -> Outcome {
    let option = format!("--{FORGED}");
    for options in [["--name", FORGED], ["--quiet", &option]] {
        let out = scene
            .sandbox()
            .args(options)
            .program(["true"])
            .on_terminal()
            .run()?;
        out.exits_with(2)?;
        let shown = out.stdout();
        assert!(
            !shown.contains("\u{1b}]") && !shown.contains('\u{7}'),
            "{out}"
        );
        let forged = shown.lines().any(|line| line.starts_with("sandbox: all"));
        assert!(!forged, "{out}");
    }
    Ok(())
}

fn output_that_nobody_takes(scene: &Scene) -> Outcome {
    let full = || -> std::io::Result<Stdio> {
        Ok(fs::OpenOptions::new().write(true).open("/dev/full")?.into())
    };
    let profile = scene.write("output.toml", "[process]\nno-new-privileges = true\n")?;
    let start = |stdout: Stdio, words: &[&str]| {
        Command::new(binary("sandbox"))
            .args(words)
            .env("HOME", scene.home())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(stdout)
            .status()
    };
    let profile = profile.display().to_string();
    let plan = ["--profile", &profile, "--dry-run", "true"];
    let status = start(full()?, &plan)?;
    assert_eq!(status.code(), Some(1), "a plan that could not be written");
    // A reader of the end report that has left does not cost the program's status.
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let status = Command::new(binary("sandbox"))
        .args(["--profile", &profile, "--report", "sh", "-c", "exit 3"])
        .env("HOME", scene.home())
        .stdin(Stdio::null())
        .stderr(writer)
        .status()?;
    assert_eq!(status.code(), Some(3), "{status}");
    // A reader that has left is no failure and no crash.
    for words in [&plan[..], &["--help"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let status = start(writer.into(), words)?;
        assert_eq!(status.code(), Some(0), "{words:?}");
    }
    Ok(())
}

/// Times between 0 and 30 ms, the same in every run.
fn moments(count: u32) -> impl Iterator<Item = Duration> {
    let mut state: u32 = 0x2545_f491;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        Duration::from_micros(u64::from(state % 30_000))
    })
}

/// Processes whose command line is exactly that of the marked program.
fn marked(mark: &str) -> Vec<i32> {
    let line = format!("sleep\0{mark}\0");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let found = fs::read(entry.path().join("cmdline")).ok()?;
            (found == line.as_bytes()).then_some(pid)
        })
        .collect()
}

/// Kills the launcher again and again, and looks each time whether something of the sandbox lives on.
fn kill_launchers(scene: &Scene, options: &[&str], count: u32) -> Outcome {
    let mark = format!("4242.{}", std::process::id());
    let script = format!("setsid sleep {mark} & sleep {mark}");
    let mut seen = 0;
    for moment in moments(count) {
        let running = launcher(scene)?
            .args(options.iter().copied())
            .program(["sh", "-c", &script])
            .spawn()?;
        sleep(moment);
        seen += u32::from(!marked(&mark).is_empty());
        running.signal(Signal::SIGKILL)?;
        let out = running.wait()?;
        out.exits_with(137)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while !marked(&mark).is_empty() {
            if Instant::now() > deadline {
                return Err(format!("alive after {moment:?}: {:?}", marked(&mark)).into());
            }
            sleep(Duration::from_millis(2));
        }
    }
    if !scene.host.is_virtual() {
        assert!(seen > 0, "the program never ran: nothing was tested");
    }
    Ok(())
}

fn launcher_killed_at_any_moment(scene: &Scene) -> Outcome {
    let count = if scene.host.is_virtual() { 20 } else { 100 };
    kill_launchers(scene, &[], count)
}

fn launcher_killed_with_limits(scene: &Scene) -> Outcome {
    let limits = ["--memory", "200M", "--pids", "50"];
    kill_launchers(scene, &limits, 20)?;
    // The next launch sweeps what the killed ones left; the frame looks for the rest.
    let out = launcher(scene)?.args(limits).program(["true"]).run()?;
    out.succeeds()?;
    Ok(())
}

/// The child of the launcher, which is process 1 inside.
fn first_process(launcher: Pid) -> std::io::Result<Pid> {
    let path: PathBuf = format!("/proc/{launcher}/task/{launcher}/children").into();
    let text = fs::read_to_string(path)?;
    let pid = text
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok());
    pid.map(Pid::from_raw)
        .ok_or_else(|| std::io::Error::other("the launcher has no child"))
}

fn first_process_killed_from_outside(scene: &Scene) -> Outcome {
    let mark = format!("4243.{}", std::process::id());
    let script = format!("setsid sleep {mark} & echo ready; sleep {mark}");
    let mut running = launcher(scene)?.program(["sh", "-c", &script]).spawn()?;
    running.wait_for("ready")?;
    kill(first_process(running.pid())?, Signal::SIGKILL)?;
    running.wait()?.exits_with(137)?;
    assert_eq!(marked(&mark), [0; 0]);
    Ok(())
}

fn signals_from_inside(scene: &Scene) -> Outcome {
    for (script, code) in [
        ("kill -9 1; sleep 0.2; exit 4", 4),
        ("kill -STOP 1; exit 4", 4),
        ("kill -9 -1; exit 4", 4),
        // Process 1 hands on what it is sent, as from outside.
        ("kill -TERM 1; sleep 20; exit 4", 143),
        ("kill -9 $$", 137),
    ] {
        let out = launcher(scene)?.program(["sh", "-c", script]).run()?;
        out.exits_with(code)
            .map_err(|error| format!("{script}: {error}"))?;
    }
    Ok(())
}

fn daemons_end(scene: &Scene) -> Outcome {
    let mark = format!("4244.{}", std::process::id());
    let script = format!("setsid sh -c 'sleep {mark} & exit' & sleep 0.2; exit 6");
    let out = launcher(scene)?.program(["sh", "-c", &script]).run()?;
    out.exits_with(6)?;
    assert_eq!(marked(&mark), [0; 0]);
    Ok(())
}

fn zombies_are_reaped(scene: &Scene) -> Outcome {
    let script = "for n in 1 2 3 4 5 6 7 8; do sh -c 'sh -c \"exit 1\" & exit 0'; done; sleep 0.5; \
                  grep -l '^State:.Z' /proc/[0-9]*/status; exit 0";
    let out = launcher(scene)?.program(["sh", "-c", script]).run()?;
    out.succeeds()?;
    out.prints("")
}
