//! Escapes that have worked elsewhere, tried from inside a strict sandbox. Each has a
//! control: the same attempt without the sandbox, or without what holds it, succeeds, so
//! that the case can fail.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use super::support::{Case, Finished, Need, Outcome, Scene, binary, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "secrets_of_the_environment",
            USERNS,
            secrets_of_the_environment,
        ),
        case("keys_of_the_caller", USERNS, keys_of_the_caller),
        case(
            "files_in_memory_count",
            &[Need::Limits],
            files_in_memory_count,
        ),
        case("calls_newer_than_lists", USERNS, calls_newer_than_lists),
        case("calls_by_the_old_entry", USERNS, calls_by_the_old_entry),
        case(
            "failing_calls",
            &[Need::UserNamespaces, Need::Program("strace")],
            failing_calls,
        ),
        case(
            "kernel_settings_as_root",
            &[Need::Root],
            kernel_settings_as_root,
        ),
        case(
            "launchers_binary_as_root",
            &[Need::Root],
            launchers_binary_as_root,
        ),
        case(
            "families_that_ignore_namespaces",
            USERNS,
            families_that_ignore_namespaces,
        ),
        case("abstract_sockets", USERNS, abstract_sockets),
        case(
            "descriptors_that_lead_out",
            USERNS,
            descriptors_that_lead_out,
        ),
        case("nested_user_namespace", USERNS, nested_user_namespace),
        case("namespaces_of_others", USERNS, namespaces_of_others),
        case("processes_of_others", USERNS, processes_of_others),
        case("old_root", USERNS, old_root),
        case("planted_profiles", USERNS, planted_profiles),
        case(
            "shared_memory_of_the_host",
            USERNS,
            shared_memory_of_the_host,
        ),
        case("few_descriptors", USERNS, few_descriptors),
        case(
            "removed_working_directory",
            USERNS,
            removed_working_directory,
        ),
        case(
            "unreadable_working_directory",
            USERNS,
            unreadable_working_directory,
        ),
        case("launcher_has_no_privilege", &[], launcher_has_no_privilege),
        case("kill_everything_inside", USERNS, kill_everything_inside),
    ]
}

/// What a careful author writes. The home stays, with one folder hidden.
pub(super) const STRICT: &str = r#"
[namespaces]
user = true
pid = true
ipc = true
uts = true
net = true
cgroup = true
[filesystem]
"/" = "read-only"
"~" = "read-write"
"~/secret" = "hidden"
"/tmp" = "tmpfs"
[devices]
default = "minimal"
[capabilities]
default = "drop"
[environment]
default = "clean"
PATH = true
HOME = true
[process]
terminal = "new"
no-new-privileges = true
[syscalls]
default = "deny"
"@system-service" = "allow"
"@keyring" = "deny"
"@mount" = "deny"
"@cross-process" = "deny"
setns = "deny"
"unshare(&CLONE_NEWUSER)" = "deny"
"clone(&CLONE_NEWUSER)" = "deny"
"@io-uring" = "deny"
socket = "EAFNOSUPPORT"
"socket(AF_UNIX)" = "allow"
"socket(AF_INET)" = "allow"
"socket(AF_INET6)" = "allow"
"ioctl(_, TIOCSTI)" = "deny"
"ioctl(_, TIOCLINUX)" = "deny"
"#;

fn strict(scene: &Scene, deeds: &[String]) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(STRICT)?
        .env("SECRET_TOKEN", "s3cret-of-the-caller")
        .deeds(deeds)
        .run()
}

/// The same deeds, with nothing around them.
fn bare(scene: &Scene, deeds: &[String]) -> Result<Finished, Box<dyn std::error::Error>> {
    let out = scene
        .command(std::env::current_exe()?)
        .env("SECRET_TOKEN", "s3cret-of-the-caller")
        .args(["probe", "do"])
        .args(deeds.to_vec())
        .run()?;
    Ok(out)
}

fn texts<const N: usize>(deeds: [&str; N]) -> Vec<String> {
    deeds.map(str::to_owned).to_vec()
}

fn secrets_of_the_environment(scene: &Scene) -> Outcome {
    let script = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c 's3cr[e]t'";
    let run = |profile: &str| {
        scene
            .sandbox()
            .profile_text(profile)?
            .env("SECRET_TOKEN", "s3cret-of-the-caller")
            .program(["sh", "-c", script])
            .run()
    };
    let out = run(STRICT)?;
    assert_eq!(out.stdout().trim(), "0", "{out}");
    // Control: passed on, it is found.
    let out = run("[namespaces]\npid = true\n")?;
    assert_ne!(out.stdout().trim(), "0", "{out}");
    Ok(())
}

fn keys_of_the_caller(scene: &Scene) -> Outcome {
    let own = std::env::current_exe()?.display().to_string();
    let control = scene
        .command(&own)
        .args([
            "probe",
            "with-key",
            "sandbox-attack",
            &own,
            "probe",
            "do",
            "key@sandbox-attack",
        ])
        .run()?;
    if !control.status.success() {
        return Ok(()); // no keyrings on this host
    }
    control.answers(&[("key@sandbox-attack", "found")])?;
    let out = scene
        .sandbox()
        .behind([own.as_str(), "probe", "with-key", "sandbox-attack"])
        .profile_text(STRICT)?
        .deeds([
            "key@sandbox-attack",
            "call@add_key@0@0@0@0@0",
            "call@request_key@0@0@0@0",
        ])
        .run()?;
    out.answers(&[
        ("key@sandbox-attack", "EPERM"),
        ("call@add_key@0@0@0@0@0", "EPERM"),
        ("call@request_key@0@0@0@0", "EPERM"),
    ])
}

/// A file system in memory is no way around the limit.
fn files_in_memory_count(scene: &Scene) -> Outcome {
    if scene.host.no_userns.is_some() && !scene.host.is_root() {
        return Ok(());
    }
    let run = |limit: &str| {
        scene
            .sandbox()
            .profile_text(&format!(
                "[limits]\nmemory = \"{limit}\"\n[devices]\ndefault = \"minimal\"\n[filesystem]\n\"/tmp\" = \"tmpfs\"\n"
            ))?
            .program([
                "sh",
                "-c",
                "for f in /tmp/a /dev/shm/b; do dd if=/dev/zero of=$f bs=1M count=48 2>/dev/null || exit 1; done; \
                 cat /tmp/a /dev/shm/b | wc -c",
            ])
            .run()
    };
    run("256M")?.succeeds()?.prints("100663296")?;
    if scene.host.swap == 0 || scene.host.lacks(&Need::SwapLimit).is_none() {
        let out = scene
            .sandbox()
            .profile_text(&format!(
                "[limits]\nmemory = \"64M\"\n{}[devices]\ndefault = \"minimal\"\n[filesystem]\n\"/tmp\" = \"tmpfs\"\n",
                if scene.host.lacks(&Need::SwapLimit).is_none() { "swap = 0\n" } else { "" }
            ))?
            .program([
                "sh",
                "-c",
                "for f in /tmp/a /dev/shm/b; do dd if=/dev/zero of=$f bs=1M count=48 2>/dev/null || exit 1; done; echo held",
            ])
            .run()?;
        assert!(!out.stdout().contains("held"), "{out}");
        assert_ne!(out.code(), 0, "{out}");
    }
    Ok(())
}

fn calls_newer_than_lists(scene: &Scene) -> Outcome {
    let deeds = texts([
        "call@open_tree@-100@s:/@0",
        "call@467@-100@s:/@0@0@0", // open_tree_attr
        "call@mount_setattr@-100@s:/@0@0@0",
        "call@userfaultfd@0",
        "call@io_uring_setup@1@0",
        "call@unshare@0x10000000",
        "call@setns@0@0",
        "call@pivot_root@s:/@s:/",
        "call@bpf@0@0@0",
        "call@perf_event_open@0@0@0@0@0",
        "call@kexec_load@0@0@0@0",
        "call@open_by_handle_at@0@0@0",
        "call@ptrace@99@0@0@0",
        "call@process_vm_readv@1@0@0@0@0@0",
        "call@kcmp@1@1@0@0@0",
        "call@fanotify_init@0@0",
        "call@5000",
    ]);
    let out = strict(scene, &deeds)?;
    out.succeeds()?;
    for deed in &deeds {
        let answer = out.answer(deed);
        assert!(
            matches!(answer.as_str(), "EPERM" | "ENOSYS"),
            "{deed}: {answer}"
        );
    }
    // Control: the kernel answers some of these otherwise.
    let out = bare(scene, &deeds)?;
    for deed in ["call@open_tree@-100@s:/@0", "call@ptrace@99@0@0@0"] {
        let answer = out.answer(deed);
        assert!(!matches!(answer.as_str(), "EPERM"), "{deed}: {answer}");
    }
    Ok(())
}

fn calls_by_the_old_entry(scene: &Scene) -> Outcome {
    let own = std::env::current_exe()?;
    // userfaultfd, open_tree, io_uring_setup, unshare
    for number in ["374", "428", "425", "310"] {
        let control = scene.command(&own).args(["probe", "int80", number]).run()?;
        if control.code() == 139 {
            return Ok(()); // this kernel has no such entry
        }
        let out = scene
            .sandbox()
            .profile_text(STRICT)?
            .probe(["int80", number])
            .run()?;
        out.exits_with(159)?;
    }
    Ok(())
}

/// Each call that the launcher makes fails in turn: the program is not run, or everything
/// that was promised holds.
fn failing_calls(scene: &Scene) -> Outcome {
    scene.write("home/secret/token", "top secret")?;
    let home = scene.home().display().to_string();
    let deeds = [
        format!("read@{home}/secret/token"),
        format!("read@/..{home}/secret/token"),
        "create@/usr/sandbox-attack".to_owned(),
        "create@/var/tmp/sandbox-attack".to_owned(),
        "status@Seccomp:".to_owned(),
        "status@NoNewPrivs".to_owned(),
        "status@CapEff".to_owned(),
        "status@CapPrm".to_owned(),
        "status@CapInh".to_owned(),
        "ns@net".to_owned(),
        "ns@pid".to_owned(),
        "ns@ipc".to_owned(),
        "ns@user".to_owned(),
        "stat@/dev/kmsg".to_owned(),
        "call@add_key@0@0@0@0@0".to_owned(),
    ];
    let all = [
        "access",
        "capget",
        "capset",
        "chdir",
        "clone3",
        "close",
        "close_range",
        "dup2",
        "dup3",
        "fchdir",
        "fcntl",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fstat",
        "fstatfs",
        "geteuid",
        "getuid",
        "getdents64",
        "getgid",
        "getgroups",
        "getpid",
        "getrandom",
        "ioctl",
        "keyctl",
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
        "lseek",
        "mkdirat",
        "mknodat",
        "mount",
        "mount_setattr",
        "move_mount",
        "newfstatat",
        "open_tree",
        "openat2",
        "pidfd_open",
        "pidfd_send_signal",
        "pipe2",
        "pivot_root",
        "poll",
        "ppoll",
        "prctl",
        "prlimit64",
        "readlink",
        "readlinkat",
        "recvfrom",
        "recvmsg",
        "rt_sigprocmask",
        "rt_sigaction",
        "seccomp",
        "sendmsg",
        "sendto",
        "setgroups",
        "sethostname",
        "setpriority",
        "setrlimit",
        "setsid",
        "signalfd4",
        "socket",
        "socketpair",
        "statfs",
        "statx",
        "symlinkat",
        "umask",
        "umount2",
        "uname",
        "unshare",
        "waitid",
    ];
    let chosen: Vec<&str> = if scene.host.is_virtual() {
        vec![
            "mount_setattr",
            "pivot_root",
            "seccomp",
            "prctl",
            "capset",
            "umount2",
            "keyctl",
            "close_range",
        ]
    } else {
        all.to_vec()
    };
    let launcher = binary("sandbox").display().to_string();
    let own = std::env::current_exe()?.display().to_string();
    let profile = scene.write("strict.toml", STRICT)?.display().to_string();
    let (mut ran, mut refused, mut hung) = (0, 0, Vec::new());
    for call in chosen {
        for errno in ["EPERM", "ENOSYS"] {
            let run = scene
                .command("/usr/bin/strace")
                .env("SECRET_TOKEN", "s3cret-of-the-caller")
                .limit(Duration::from_secs(if scene.host.is_virtual() {
                    120
                } else {
                    15
                }))
                .args(["-f", "-qq", "-o", "/dev/null", "-e"])
                .args([
                    format!("trace={call}"),
                    "-e".to_owned(),
                    format!("inject={call}:error={errno}"),
                ])
                .args([&launcher, "--profile", &profile, "--", &own, "probe", "do"])
                .args(deeds.iter().map(String::as_str))
                .run();
            let out = match run {
                Ok(out) => out,
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    hung.push(format!("{call} {errno}"));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let text = out.stdout();
            assert!(!text.contains("top secret"), "{call} {errno}\n{out}");
            if !text.contains(": ") {
                assert_ne!(out.code(), 0, "{call} {errno} reports success\n{out}");
                refused += 1;
                continue;
            }
            ran += 1;
            let is = |deed: &str| {
                // The probe's own calls fail as well; then it knows nothing.
                text.lines()
                    .find_map(|line| line.strip_prefix(deed)?.strip_prefix(": "))
            };
            let held = [
                (
                    "create@/usr/sandbox-attack",
                    is("create@/usr/sandbox-attack") != Some("ok"),
                ),
                (
                    "create@/var/tmp/sandbox-attack",
                    is("create@/var/tmp/sandbox-attack") != Some("ok"),
                ),
                ("stat@/dev/kmsg", is("stat@/dev/kmsg") != Some("ok")),
                (
                    "filter",
                    is("status@Seccomp:").is_none_or(|mode| mode != "0"),
                ),
                (
                    "no_new_privs",
                    is("status@NoNewPrivs").is_none_or(|value| value != "0"),
                ),
            ];
            for (what, held) in held {
                assert!(held, "{call} {errno}: {what} does not hold\n{out}");
            }
            for set in ["status@CapEff", "status@CapPrm", "status@CapInh"] {
                let none = is(set).is_none_or(|value| {
                    value.trim_start_matches('0').is_empty() || value.starts_with('E')
                });
                assert!(none, "{call} {errno}: {set}\n{out}");
            }
            for kind in ["net", "pid", "ipc", "user"] {
                let outside = fs::read_link(format!("/proc/self/ns/{kind}"))?;
                let inside = is(&format!("ns@{kind}"));
                assert_ne!(inside, outside.to_str(), "{call} {errno}\n{out}");
            }
        }
    }
    assert!(hung.is_empty(), "these make it hang: {hung:?}");
    assert!(ran > 0 && refused > 0, "ran {ran}, refused {refused}");
    Ok(())
}

/// Opens for writing, without writing.
fn open_for_writing(path: &str) -> String {
    format!("call@openat@-100@s:{path}@1")
}

fn kernel_settings_as_root(scene: &Scene) -> Outcome {
    let deeds: Vec<String> = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/hostname",
    ]
    .iter()
    .filter(|path| fs::metadata(path).is_ok())
    .map(|path| open_for_writing(path))
    .collect();
    // Control: root outside may.
    let control = bare(scene, &deeds)?;
    assert!(control.stdout().contains(": = "), "{control}");
    for profile in [
        STRICT,
        "[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n",
        "[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n[capabilities]\ndefault = \"drop\"\n",
        "[namespaces]\npid = true\nuser = true\n[filesystem]\n\"/\" = \"read-only\"\n",
    ] {
        let out = scene.sandbox().profile_text(profile)?.deeds(&deeds).run()?;
        for deed in &deeds {
            let answer = out.answer(deed);
            assert!(
                matches!(answer.as_str(), "EROFS" | "EACCES" | "EPERM"),
                "under {profile}\n{deed}: {answer}"
            );
        }
    }
    Ok(())
}

fn launchers_binary_as_root(scene: &Scene) -> Outcome {
    // A copy of the launcher, so that nothing is lost if the attempt succeeds.
    let copy = scene.folder().join("launcher");
    fs::copy(binary("sandbox"), &copy)?;
    let before = fs::metadata(&copy)?.len();
    let profile = scene
        .write(
            "p.toml",
            "[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n",
        )?
        .display()
        .to_string();
    let out = scene
        .command(&copy)
        .args(["--profile", &profile, "--"])
        .args([std::env::current_exe()?])
        .args([
            "probe",
            "do",
            "write@/proc/1/exe",
            &format!("write@{}", copy.display()),
        ])
        .run()?;
    for deed in [
        "write@/proc/1/exe".to_owned(),
        format!("write@{}", copy.display()),
    ] {
        let answer = out.answer(&deed);
        assert!(
            matches!(answer.as_str(), "EROFS" | "EACCES" | "EPERM" | "ETXTBSY"),
            "{deed}: {answer}"
        );
    }
    assert_eq!(fs::metadata(&copy)?.len(), before);
    Ok(())
}

fn families_that_ignore_namespaces(scene: &Scene) -> Outcome {
    let deeds = texts([
        "call@socket@40@1@0", // AF_VSOCK
        "call@socket@0x10000000028@1@0",
        "call@socket@16@3@0", // AF_NETLINK
        "call@socket@17@3@0", // AF_PACKET
        "call@socket@38@5@0", // AF_ALG
        "call@socket@1@1@0",
    ]);
    let out = strict(scene, &deeds)?;
    for deed in deeds.iter().take(5) {
        assert_eq!(out.answer(deed), "EAFNOSUPPORT", "{deed}");
    }
    assert!(out.answer(&deeds[5]).starts_with("= "), "{out}");
    assert!(bare(scene, &deeds)?.answer(&deeds[2]).starts_with("= "));
    Ok(())
}

fn abstract_sockets(scene: &Scene) -> Outcome {
    let name = format!("sandbox-attack-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    let address = format!("@{name}");
    let control = scene
        .command(std::env::current_exe()?)
        .args(["probe", "connect", "unix", &address])
        .run()?;
    control.succeeds()?.prints("connected")?;
    let out = scene
        .sandbox()
        .profile_text(STRICT)?
        .probe(["connect", "unix", &address])
        .run()?;
    out.exits_with(1)?.prints("ECONNREFUSED")
}

fn descriptors_that_lead_out(scene: &Scene) -> Outcome {
    scene.write("home/secret/token", "top secret")?;
    let secret = scene.home().join("secret").display().to_string();
    let script = format!("exec 9<{secret} 3</; exec \"$@\"");
    let deeds = texts([
        "read@/proc/self/fd/9/token",
        "read@/proc/self/fd/3/etc/passwd",
        "read@/dev/fd/9/token",
    ]);
    let own = std::env::current_exe()?.display().to_string();
    let control = scene
        .command("/bin/sh")
        .args(["-c", &script, "sh", &own, "probe", "do"])
        .args(deeds.clone())
        .run()?;
    assert_eq!(control.answer(&deeds[0]), "`top secret`", "{control}");
    for profile in [STRICT, "[filesystem]\n\"~/secret\" = \"hidden\"\n"] {
        let out = scene
            .sandbox()
            .behind(["sh", "-c", &script, "sh"])
            .profile_text(profile)?
            .deeds(&deeds)
            .run()?;
        out.answers(
            &deeds
                .iter()
                .map(|deed| (deed, "ENOENT"))
                .collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

fn nested_user_namespace(scene: &Scene) -> Outcome {
    let control = scene
        .command(std::env::current_exe()?)
        .args(["probe", "userns"])
        .run()?;
    control.succeeds()?.prints("works")?;
    let out = scene
        .sandbox()
        .profile_text(STRICT)?
        .probe(["userns"])
        .run()?;
    out.exits_with(1)?.prints("EPERM")
}

fn namespaces_of_others(scene: &Scene) -> Outcome {
    let own = std::process::id();
    let deeds = [
        format!("call@openat@-100@s:/proc/{own}/ns/net@0"),
        "call@openat@-100@s:/proc/1/ns/net@0".to_owned(),
        "call@openat@-100@s:/proc/1/ns/mnt@0".to_owned(),
        "call@pidfd_open@1@0".to_owned(),
        "call@setns@0@0".to_owned(),
    ];
    let out = strict(scene, &deeds)?;
    out.succeeds()?;
    let first = out.answer(&deeds[0]);
    assert!(first == "ENOENT" || own < 10, "{first}");
    out.answers(&[
        (&deeds[1], "EACCES|EPERM|ENOENT"),
        (&deeds[2], "EACCES|EPERM|ENOENT"),
        (&deeds[4], "EPERM|ENOSYS"),
    ])?;
    let control = bare(scene, &deeds[..1])?;
    assert!(control.answer(&deeds[0]).starts_with("= "), "{control}");
    Ok(())
}

fn processes_of_others(scene: &Scene) -> Outcome {
    let mut victim = std::process::Command::new("/bin/sleep")
        .arg("600")
        .spawn()?;
    let pid = victim.id();
    let deeds = [
        format!("call@kill@{pid}@0"),
        format!("trace@{pid}"),
        format!("memory@{pid}"),
        format!("call@pidfd_open@{pid}@0"),
        format!("call@prlimit64@{pid}@7@0@0"),
        format!("read@/proc/{pid}/cmdline"),
        format!("call@sched_getaffinity@{pid}@8@0"),
    ];
    let inside = strict(scene, &deeds);
    let outside = bare(scene, &deeds);
    victim.kill()?;
    victim.wait()?;
    let (inside, outside) = (inside?, outside?);
    assert_eq!(outside.answer(&deeds[0]), "= 0", "{outside}");
    inside.succeeds()?;
    for deed in &deeds {
        let answer = inside.answer(deed);
        assert!(
            matches!(answer.as_str(), "ESRCH" | "EPERM" | "ENOENT"),
            "{deed}: {answer}"
        );
    }
    Ok(())
}

fn old_root(scene: &Scene) -> Outcome {
    scene.write("home/secret/token", "top secret")?;
    let token = scene.home().join("secret/token").display().to_string();
    let roads = [
        format!("/..{token}"),
        format!("/../../../..{token}"),
        format!("/proc/self/root{token}"),
        format!("/proc/self/root/..{token}"),
        format!("/proc/1/root{token}"),
        "/proc/self/cwd/secret/token".to_owned(),
        format!("/proc/self/cwd/../..{token}"),
        format!("/proc/thread-self/root/..{token}"),
        format!("/dev/fd/../root/..{token}"),
        format!("/tmp/../..{token}"),
    ];
    let deeds: Vec<String> = roads.iter().map(|road| format!("read@{road}")).collect();
    for profile in [
        STRICT,
        "[namespaces]\nuser = true\n[filesystem]\n\"~/secret\" = \"hidden\"\n",
    ] {
        let out = scene.sandbox().profile_text(profile)?.deeds(&deeds).run()?;
        out.succeeds()?;
        assert!(!out.stdout().contains("top secret"), "{out}");
    }
    // Control: most of these lead there when nothing is hidden.
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nuser = true\n[filesystem]\n\"/srv\" = \"read-only\"\n")?
        .deeds(&deeds)
        .run()?;
    assert!(out.stdout().matches("top secret").count() >= 5, "{out}");
    Ok(())
}

/// What the launcher obeys at its next start cannot be written from inside, also where it
/// does not exist yet, and though the home is writable.
fn planted_profiles(scene: &Scene) -> Outcome {
    let home = scene.home().display().to_string();
    let deeds = [
        format!("create@{home}/made"),
        format!("mkdir@{home}/.config/sandbox"),
        format!("mkdir@{home}/.config/sandbox/profiles"),
        format!("create@{home}/.config/sandbox/profiles/default.toml"),
        format!("rename@{home}/.config@{home}/.aside"),
        format!("rename@{home}/.config/sandbox@{home}/.aside"),
        format!("symlink@/tmp@{home}/.config/sandbox"),
        format!("rmdir@{home}/.config/sandbox"),
        format!("create@{home}/.local/share/sandbox/private/made"),
    ];
    for profile in [
        STRICT,
        "[namespaces]\nuser = true\n[filesystem]\n\"/srv\" = \"read-only\"\n",
    ] {
        let out = scene.sandbox().profile_text(profile)?.deeds(&deeds).run()?;
        assert_eq!(out.answer(&deeds[0]), "ok", "{out}");
        for deed in deeds.iter().skip(1) {
            let answer = out.answer(deed);
            assert_ne!(answer, "ok", "under {profile}\n{deed}");
        }
        let profiles = scene.home().join(".config/sandbox/profiles");
        let planted = fs::read_dir(profiles).map(Iterator::count).unwrap_or(0);
        assert_eq!(planted, 0);
        fs::remove_file(scene.home().join("made"))?;
    }
    Ok(())
}

fn shared_memory_of_the_host(scene: &Scene) -> Outcome {
    // A System V segment of the test's own.
    // SAFETY: makes a segment; no pointer is taken.
    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) };
    assert!(id >= 0);
    let deeds = [
        format!("call@shmctl@{id}@2@0"),
        format!("call@shmat@{id}@0@0"),
    ];
    let inside = strict(scene, &deeds);
    let outside = bare(scene, &deeds);
    // SAFETY: removes it again; with IPC_RMID the pointer is not looked at.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    let (inside, outside) = (inside?, outside?);
    assert!(outside.answer(&deeds[1]).starts_with("= "), "{outside}");
    inside.answers(&[
        (&deeds[0], "EINVAL|EFAULT|EPERM"),
        (&deeds[1], "EINVAL|EPERM|EIDRM"),
    ])
}

fn few_descriptors(scene: &Scene) -> Outcome {
    let mut ran = 0;
    for most in ["4", "5", "6", "8", "10", "14", "20", "64"] {
        let out = scene
            .sandbox()
            .behind(["sh", "-c", &format!("ulimit -n {most}; exec \"$@\""), "sh"])
            .profile_text(STRICT)?
            .limit(Duration::from_secs(if scene.host.is_virtual() {
                60
            } else {
                15
            }))
            .deeds(["status@Seccomp:"])
            .run()?;
        if out.status.success() {
            out.answers(&[("status@Seccomp:", "2")])?;
            ran += 1;
        } else {
            assert!(!out.stdout().contains("status@"), "{out}");
        }
    }
    assert!(ran > 0, "even 64 descriptors are too few");
    Ok(())
}

fn removed_working_directory(scene: &Scene) -> Outcome {
    for profile in [STRICT, "[process]\numask = \"022\"\n"] {
        let out = scene
            .sandbox()
            .behind([
                "sh",
                "-c",
                "mkdir gone; cd gone; rmdir ../gone; exec \"$@\"",
                "sh",
            ])
            .profile_text(profile)?
            .program(["sh", "-c", "/bin/pwd; echo was run"])
            .run()?;
        if out.status.success() {
            assert!(!out.stdout().contains("unreachable"), "{out}");
        } else {
            assert!(matches!(out.code(), 2 | 125), "{out}");
            out.prints("")?;
        }
    }
    Ok(())
}

fn unreadable_working_directory(scene: &Scene) -> Outcome {
    scene.write("home/secret/token", "top secret")?;
    let secret = scene.home().join("secret");
    let out = scene
        .sandbox()
        .in_folder(&secret)
        .profile_text(STRICT)?
        .deeds([
            "read@token",
            "read@./token",
            "read@../secret/token",
            "list@.",
        ])
        .run()?;
    out.succeeds()?;
    assert!(!out.stdout().contains("top secret"), "{out}");
    // Control: not hidden, it is where one starts.
    let out = scene
        .sandbox()
        .in_folder(&secret)
        .profile_text("[filesystem]\n\"/\" = \"read-only\"\n")?
        .deeds(["read@token"])
        .run()?;
    out.answers(&[("read@token", "`top secret`")])
}

fn launcher_has_no_privilege(_: &Scene) -> Outcome {
    for name in ["sandbox", "sandboxctl"] {
        let mode = fs::metadata(binary(name))?.permissions().mode();
        assert_eq!(mode & 0o6000, 0, "{name} has the mode {mode:o}");
    }
    Ok(())
}

/// The program kills all it can see; the launcher must not report success for a sandbox that
/// was taken down, nor hang.
fn kill_everything_inside(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .program(["sh", "-c", "kill -KILL -1; kill -KILL 1; kill -KILL $$"])
        .run()?;
    out.exits_with(137)?;
    Ok(())
}
