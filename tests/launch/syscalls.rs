//! `[syscalls]`: what calls are answered, on every way into the kernel.

use std::fs;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

/// 128 + SIGSYS.
const KILLED: i32 = 159;

pub fn cases() -> Vec<Case> {
    vec![
        case("answers", &[], answers),
        case("kill", &[], kill),
        case("groups", &[], groups),
        case("allow_list", &[], allow_list),
        case("families_of_sockets", &[], families_of_sockets),
        case("terminal_requests", &[], terminal_requests),
        case("flags_of_clone", &[], flags_of_clone),
        case("clone3", &[], clone3),
        case("x32", &[], x32),
        case("old_entry", &[], old_entry),
        case("old_entry_by_name", &[], old_entry_by_name),
        case(
            "io_uring_goes_with_sockets",
            &[],
            io_uring_goes_with_sockets,
        ),
        case("unknown_numbers", &[], unknown_numbers),
        case("one_filter", &[], one_filter),
        case("first_process_too", USERNS, first_process_too),
        case("mistakes", &[], mistakes),
        case("option", &[], option),
        case("init_must_live", USERNS, init_must_live),
        case("silent", USERNS, silent),
    ]
}

/// Runs deeds under a filter.
fn under(scene: &Scene, rules: &str, deeds: &[&str]) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(&format!("[syscalls]\n{rules}"))?
        .deeds(deeds)
        .run()
}

/// Runs deeds with nothing that filters.
fn without(scene: &Scene, deeds: &[&str]) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text("[process]\numask = \"022\"\n")?
        .deeds(deeds)
        .run()
}

fn answers(scene: &Scene) -> Outcome {
    let deeds = [
        "call@getppid",
        "call@getpgid@0",
        "call@sync",
        "call@getsid@0",
    ];
    let out = without(scene, &deeds)?;
    for deed in deeds {
        assert!(out.answer(deed).starts_with("= "), "{out}");
    }
    let out = under(
        scene,
        "getppid = \"deny\"\ngetpgid = \"ENOTTY\"\nsync = \"log\"\ngetsid = \"allow\"\n",
        &deeds,
    )?;
    out.answers(&[
        ("call@getppid", "EPERM"),
        ("call@getpgid@0", "ENOTTY"),
        ("call@sync", "= 0"),
    ])?;
    assert!(out.answer("call@getsid@0").starts_with("= "), "{out}");
    Ok(())
}

fn kill(scene: &Scene) -> Outcome {
    for action in ["kill", "trap"] {
        for extra in ["", "[namespaces]\npid = true\n"] {
            if !extra.is_empty() && scene.host.no_userns.is_some() {
                continue;
            }
            let rules = format!("getppid = \"{action}\"\n{extra}");
            let out = under(
                scene,
                &rules,
                &["call@getuid", "call@getppid", "call@getgid"],
            )?;
            out.exits_with(KILLED)?;
            assert!(out.stdout().contains("call@getuid"), "{out}");
            assert!(!out.stdout().contains("call@getgid"), "{out}");
        }
    }
    Ok(())
}

fn groups(scene: &Scene) -> Outcome {
    let deeds = [
        "call@keyctl@-1",
        "call@add_key@0@0@0@0@0",
        "call@acct@0",
        "call@swapoff@0",
    ];
    let out = without(scene, &deeds)?;
    assert_ne!(out.answer("call@keyctl@-1"), "ENOTTY", "{out}");
    let out = under(
        scene,
        "\"@keyring\" = \"ENOTTY\"\nadd_key = \"EBADF\"\n\"@privileged\" = \"EXDEV\"\n\
         \"@swap\" = \"EMLINK\"\n",
        &deeds,
    )?;
    // A name beats its group, a smaller group a larger one.
    out.answers(&[
        ("call@keyctl@-1", "ENOTTY"),
        ("call@add_key@0@0@0@0@0", "EBADF"),
        ("call@acct@0", "EXDEV"),
        ("call@swapoff@0", "EMLINK"),
    ])
}

fn allow_list(scene: &Scene) -> Outcome {
    let rules = "default = \"deny\"\n\"@system-service\" = \"allow\"\ngetppid = \"ENOTTY\"\n";
    let deeds = [
        "call@getuid",
        "call@ptrace@99@0@0@0",
        "call@mount@0@0@0@0@0",
        "call@getppid",
    ];
    for extra in ["", "[namespaces]\npid = true\n"] {
        if !extra.is_empty() && scene.host.no_userns.is_some() {
            continue;
        }
        let out = under(scene, &format!("{rules}{extra}"), &deeds)?;
        out.succeeds()?;
        out.answers(&[
            ("call@ptrace@99@0@0@0", "EPERM"),
            ("call@mount@0@0@0@0@0", "EPERM"),
            ("call@getppid", "ENOTTY"),
        ])?;
        assert!(out.answer("call@getuid").starts_with("= "), "{out}");
    }
    // `EPERM` above might be the kernel's own.
    let out = without(scene, &["call@ptrace@99@0@0@0"])?;
    assert_ne!(out.answer("call@ptrace@99@0@0@0"), "EPERM");
    // Nothing allowed but what starting a program takes: it does not come far.
    let out = under(
        scene,
        "default = \"kill\"\nexecve = \"allow\"\n",
        &["call@getuid"],
    )?;
    assert_eq!(out.code(), KILLED, "{out}");
    assert_eq!(out.stdout(), "", "{out}");
    Ok(())
}

fn families_of_sockets(scene: &Scene) -> Outcome {
    let deeds = [
        "call@socket@16@3@0",          // AF_NETLINK
        "call@socket@0x100000010@3@0", // the kernel looks at the low half only
        "call@socket@0xffffffff00000010@3@0",
        "call@socket@1@1@0",  // AF_UNIX
        "call@socket@40@1@0", // AF_VSOCK
    ];
    let out = without(scene, &deeds)?;
    for deed in deeds.iter().take(4) {
        assert!(out.answer(deed).starts_with("= "), "{out}");
    }
    let out = under(
        scene,
        "\"socket(AF_NETLINK)\" = \"EAFNOSUPPORT\"\n\"socket(AF_VSOCK)\" = \"EACCES\"\n",
        &deeds,
    )?;
    out.answers(&[
        (deeds[0], "EAFNOSUPPORT"),
        (deeds[1], "EAFNOSUPPORT"),
        (deeds[2], "EAFNOSUPPORT"),
        (deeds[4], "EACCES"),
    ])?;
    assert!(out.answer(deeds[3]).starts_with("= "), "{out}");
    // The other way round: all but some.
    let out = under(
        scene,
        "socket = \"EAFNOSUPPORT\"\n\"socket(AF_UNIX)\" = \"allow\"\n",
        &deeds,
    )?;
    out.answers(&[(deeds[0], "EAFNOSUPPORT"), (deeds[1], "EAFNOSUPPORT")])?;
    assert!(out.answer(deeds[3]).starts_with("= "), "{out}");
    Ok(())
}

fn terminal_requests(scene: &Scene) -> Outcome {
    let deeds = [
        "call@ioctl@0@0x5412@s:x",
        "call@ioctl@0@0x100005412@s:x",
        "call@ioctl@0@0xffffffff00005412@s:x",
        "call@ioctl@0@0x541c@s:x",
        "call@ioctl@0@0x541b@0", // FIONREAD
    ];
    // On a pipe the kernel answers ENOTTY, or EFAULT to FIONREAD.
    without(scene, &deeds)?.answers(
        &deeds[..4]
            .iter()
            .map(|d| (*d, "ENOTTY|EINVAL"))
            .collect::<Vec<_>>(),
    )?;
    let out = under(
        scene,
        "\"ioctl(_, TIOCSTI)\" = \"EPERM\"\n\"ioctl(_, TIOCLINUX)\" = \"EPERM\"\n",
        &deeds,
    )?;
    out.answers(&[
        (deeds[0], "EPERM"),
        (deeds[1], "EPERM"),
        (deeds[2], "EPERM"),
        (deeds[3], "EPERM"),
        (deeds[4], "EFAULT"),
    ])
}

fn flags_of_clone(scene: &Scene) -> Outcome {
    // CLONE_NEWUSER with CLONE_THREAD is invalid, so that no process is made even where it is allowed.
    let deeds = [
        "call@clone@0x10010000@0@0@0@0",
        "call@clone@0x110010000@0@0@0@0",
        "call@unshare@0x10000000",
        "call@unshare@0x100010000000",
        "call@unshare@0",
    ];
    let out = without(scene, &deeds)?;
    out.answers(&[(deeds[0], "EINVAL"), (deeds[4], "= 0")])?;
    let out = under(
        scene,
        "\"clone(&CLONE_NEWUSER)\" = \"deny\"\n\"unshare(&CLONE_NEWUSER)\" = \"deny\"\n",
        &deeds,
    )?;
    out.answers(&[
        (deeds[0], "EPERM"),
        (deeds[1], "EPERM"),
        (deeds[2], "EPERM"),
        (deeds[3], "EPERM"),
        (deeds[4], "= 0"),
    ])?;
    // Threads and processes work under it.
    let out = scene
        .sandbox()
        .profile_text("[syscalls]\n\"clone(&CLONE_NEWUSER)\" = \"deny\"\n")?
        .program(["sh", "-c", "(echo child) | cat"])
        .run()?;
    out.succeeds()?.prints("child")
}

fn clone3(scene: &Scene) -> Outcome {
    without(scene, &["call@clone3@0@0"])?.answers(&[("call@clone3@0@0", "EINVAL")])?;
    under(
        scene,
        "\"clone(&CLONE_NEWUSER)\" = \"deny\"\n",
        &["call@clone3@0@0"],
    )?
    .answers(&[("call@clone3@0@0", "ENOSYS")])
}

#[cfg(target_arch = "x86_64")]
fn x32(scene: &Scene) -> Outcome {
    let deeds = ["call@0x40000027"]; // getpid
    without(scene, &deeds)?.succeeds()?;
    under(scene, "getppid = \"deny\"\n", &deeds)?.exits_with(KILLED)?;
    under(scene, "default = \"allow\"\n", &deeds)?.exits_with(KILLED)?;
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
fn x32(_: &Scene) -> Outcome {
    Ok(())
}

/// Runs the 32-bit getuid under rules, where the kernel has that entry.
fn through_old_entry(scene: &Scene, rules: &str) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(rules)?
        .probe(["int80", "64"]) // getppid
        .run()
}

fn old_entry(scene: &Scene) -> Outcome {
    let control = through_old_entry(scene, "[process]\numask = \"022\"\n")?;
    if !control.status.success() {
        return Ok(()); // this kernel has no 32-bit entry
    }
    through_old_entry(scene, "[syscalls]\nptrace = \"deny\"\n")?.exits_with(KILLED)?;
    let out = through_old_entry(
        scene,
        "[syscalls]\nptrace = \"deny\"\narchitectures = [\"x86\"]\n",
    )?;
    out.succeeds()?;
    Ok(())
}

fn old_entry_by_name(scene: &Scene) -> Outcome {
    let control = through_old_entry(scene, "[process]\numask = \"022\"\n")?;
    if !control.status.success() {
        return Ok(());
    }
    // The rule holds for the call of that name, whatever its number is there.
    let out = through_old_entry(
        scene,
        "[syscalls]\ngetppid = \"ENOTTY\"\narchitectures = [\"x86\"]\n",
    )?;
    out.exits_with(1)?.prints("ENOTTY")
}

fn io_uring_goes_with_sockets(scene: &Scene) -> Outcome {
    let deed = "call@io_uring_setup@1@0";
    let out = without(scene, &[deed])?;
    let closed = matches!(out.answer(deed).as_str(), "EPERM" | "ENOSYS");
    let out = under(scene, "\"socket(AF_NETLINK)\" = \"deny\"\n", &[deed])?;
    out.answers(&[(deed, "EPERM|ENOSYS")])?;
    if !closed {
        let out = under(scene, "ptrace = \"deny\"\n", &[deed])?;
        assert!(
            !matches!(out.answer(deed).as_str(), "EPERM" | "ENOSYS"),
            "{out}"
        );
    }
    Ok(())
}

fn unknown_numbers(scene: &Scene) -> Outcome {
    let deeds = ["call@5000", "call@1023", "call@-1"];
    for rules in [
        "default = \"deny\"\n\"@system-service\" = \"allow\"\n",
        "default = \"kill\"\n\"@system-service\" = \"allow\"\n",
        "getppid = \"deny\"\n",
    ] {
        let out = under(scene, rules, &deeds[..2])?;
        out.answers(&[(deeds[0], "ENOSYS"), (deeds[1], "ENOSYS")])?;
    }
    Ok(())
}

fn one_filter(scene: &Scene) -> Outcome {
    let deeds = [
        "status@Seccomp:",
        "status@Seccomp_filters:",
        "status@NoNewPrivs",
    ];
    without(scene, &deeds)?.answers(&[(deeds[0], "0"), (deeds[2], "0")])?;
    under(
        scene,
        "getppid = \"deny\"\n\"socket(AF_NETLINK)\" = \"deny\"\n",
        &deeds,
    )?
    .answers(&[(deeds[0], "2"), (deeds[1], "1"), (deeds[2], "1")])
}

fn first_process_too(scene: &Scene) -> Outcome {
    let mut run = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[syscalls]\nptrace = \"deny\"\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let inside = run.descendants();
    assert_eq!(inside.len(), 2, "{inside:?}");
    for pid in inside {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "`{line}` is not in\n{status}");
        }
    }
    run.signal(nix::sys::signal::Signal::SIGTERM)?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn mistakes(scene: &Scene) -> Outcome {
    for (rule, place, said) in [
        ("ptrac = \"deny\"", ":2:1", "ptrace"),
        ("\"@mounts\" = \"deny\"", ":2:1", "@mount"),
        ("ptrace = \"refuse\"", ":2:10", "refuse"),
        ("ptrace = \"ENOTHING\"", ":2:10", "ENOTHING"),
        ("\"socket(AF_NOTHING)\" = \"deny\"", ":2:1", "AF_NOTHING"),
        ("\"open(5)\" = \"deny\"", ":2:1", "pointer"),
        ("architectures = [\"z80\"]", ":2:18", "z80"),
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[syscalls]\n{rule}\n"))?
            .program(["echo", "was run"])
            .run()?;
        out.exits_with(2)?.prints("")?;
        out.complains(&format!("profile-1.toml{place}"))?;
        out.complains(said)?;
    }
    let out = scene
        .sandbox()
        .profile_text("[syscalls]\n")?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")
}

fn option(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--no-profile", "--set", "syscalls.getppid=ENOTTY"])
        .deeds(["call@getppid"])
        .run()?;
    out.answers(&[("call@getppid", "ENOTTY")])
}

/// A filter under which our own process 1 could not work is no filter to start with.
fn init_must_live(scene: &Scene) -> Outcome {
    for rule in [
        "waitid = \"kill\"",
        "rt_sigtimedwait = \"deny\"",
        "exit_group = \"deny\"",
        "execve = \"deny\"",
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[namespaces]\npid = true\n[syscalls]\n{rule}\n"))?
            .program(["true"])
            .limit(std::time::Duration::from_secs(30))
            .run()?;
        // Either it works, or it is refused before anything runs, naming the rule.
        if !out.status.success() {
            assert!(matches!(out.code(), 2 | 125), "{out}");
            out.complains("profile-1.toml:4:")?;
        }
    }
    Ok(())
}

/// A filter that forbids all that could say why the program is not started does not keep that from being said.
fn silent(scene: &Scene) -> Outcome {
    let text = scene.write("text", "no program")?;
    fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let text = text.display().to_string();
    for spaces in ["", "[namespaces]\npid = true\n"] {
        for action in ["deny", "kill"] {
            let start = |program: &str| {
                scene
                    .sandbox()
                    .profile_text(&format!("{spaces}[syscalls]\nsendto = \"{action}\"\n"))?
                    .program([program])
                    .run()
            };
            start("true")?.succeeds()?;
            let out = start("nonexistent")?;
            out.exits_with(127)?.complains("was not found")?;
            let out = start(&text)?;
            out.exits_with(126)?.complains("it is no program")?;
        }
    }
    Ok(())
}
