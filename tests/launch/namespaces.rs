//! Namespaces: new ones, kept ones, joined ones; process 1, ids, signals and exit status.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("each_kind_alone", USERNS, each_kind_alone),
        case("all_kinds", USERNS, all_kinds),
        case("kept", &[], kept),
        case("kept_against_a_need", &[], kept_against_a_need),
        case("joined_network", USERNS, joined_network),
        case("joined_everything", &[Need::Root], joined_everything),
        case("join_of_the_wrong_kind", &[], join_of_the_wrong_kind),
        case("first_process_reaps", USERNS, first_process_reaps),
        case("first_process_is_ours", USERNS, first_process_is_ours),
        case("program_as_first_process", USERNS, program_as_first_process),
        case(
            "nothing_outlives_the_program",
            USERNS,
            nothing_outlives_the_program,
        ),
        case("signals_are_forwarded", USERNS, signals_are_forwarded),
        case("exit_status", USERNS, exit_status),
        case("loopback", USERNS, loopback),
        case("network_mode_none", USERNS, network_mode_none),
        case("hostname", USERNS, hostname),
        case("own_ids", USERNS, own_ids),
        case("root_inside", USERNS, root_inside),
        case("numbers_inside", USERNS, numbers_inside),
        case(
            "subordinate_ids",
            &[
                Need::OrdinaryUser,
                Need::UserNamespaces,
                Need::Program("newuidmap"),
                Need::File("/etc/subuid"),
            ],
            subordinate_ids,
        ),
        case("setgroups_is_denied", USERNS, setgroups_is_denied),
    ]
}

/// Keys of `[namespaces]` and names in /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("user", "user"),
    ("mount", "mnt"),
    ("pid", "pid"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("net", "net"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn own(file: &str) -> std::io::Result<String> {
    let link = fs::read_link(format!("/proc/self/ns/{file}"))?;
    Ok(link.to_string_lossy().into_owned())
}

fn deeds_of_kinds() -> Vec<String> {
    KINDS.iter().map(|(_, file)| format!("ns@{file}")).collect()
}

/// Whether asking for `asked` makes a new namespace of `kind` as well.
fn follows(scene: &Scene, asked: &str, kind: &str) -> bool {
    asked == kind
        || (kind == "user" && !scene.host.is_root())
        || (kind == "mount" && asked == "pid")
}

fn each_kind_alone(scene: &Scene) -> Outcome {
    for (asked, _) in KINDS {
        let out = scene
            .sandbox()
            .profile_text(&format!("[namespaces]\n{asked} = true\n"))?
            .deeds(deeds_of_kinds())
            .run()?;
        out.succeeds()?;
        for (kind, file) in KINDS {
            let inside = out.answer(&format!("ns@{file}"));
            assert!(inside.starts_with(file), "{out}");
            assert_eq!(
                inside != own(file)?,
                follows(scene, asked, kind),
                "asked for {asked}, and {kind} is {inside} inside, {} outside",
                own(file)?
            );
        }
    }
    Ok(())
}

const ALL: &str = "[namespaces]\nuser = true\nmount = true\npid = true\nipc = true\nuts = true\n\
                   net = true\ncgroup = true\ntime = true\n";

fn all_kinds(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(ALL)?
        .deeds(deeds_of_kinds())
        .run()?;
    out.succeeds()?;
    for (kind, file) in KINDS {
        assert_ne!(out.answer(&format!("ns@{file}")), own(file)?, "{kind}");
    }
    Ok(())
}

fn kept(scene: &Scene) -> Outcome {
    let text = ALL.replace("true", "false");
    let out = scene
        .sandbox()
        .profile_text(&text)?
        .deeds(deeds_of_kinds())
        .run()?;
    out.succeeds()?;
    for (kind, file) in KINDS {
        assert_eq!(out.answer(&format!("ns@{file}")), own(file)?, "{kind}");
    }
    Ok(())
}

fn kept_against_a_need(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nmount = false\n[filesystem]\n\"/\" = \"read-only\"\n")?
        .program(["true"])
        .run()?;
    assert_ne!(out.code(), 0, "{out}");
    out.complains("profile-1.toml:2:")?;
    out.complains("mount")
}

/// A sandbox that lives until it is dropped, and the id of its program.
fn waiting(scene: &Scene, profile: &str) -> Result<(Running, i32), Box<dyn std::error::Error>> {
    let mut other = scene
        .sandbox()
        .profile_text(profile)?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    other.wait_for("ready")?;
    let program = other
        .descendants()
        .last()
        .copied()
        .ok_or("the sandbox has no process")?;
    Ok((other, program.as_raw()))
}

fn end(other: Running) -> Outcome {
    other.signal(Signal::SIGTERM)?;
    let out = other.wait()?;
    out.exits_with(143)?;
    Ok(())
}

fn joined_network(scene: &Scene) -> Outcome {
    let (other, pid) = waiting(scene, "[namespaces]\nuser = true\nnet = true\n")?;
    let there = |file: &str| fs::read_link(format!("/proc/{pid}/ns/{file}"));
    let out = scene
        .sandbox()
        .profile_text(&format!(
            "[namespaces]\nuser = \"/proc/{pid}/ns/user\"\nnet = \"/proc/{pid}/ns/net\"\n"
        ))?
        .deeds(["ns@user", "ns@net", "ns@uts", "bindport@80"])
        .run()?;
    let (user, net) = (there("user")?, there("net")?);
    end(other)?;
    out.succeeds()?;
    assert_eq!(out.answer("ns@user"), user.to_string_lossy(), "{out}");
    assert_eq!(out.answer("ns@net"), net.to_string_lossy(), "{out}");
    assert_ne!(out.answer("ns@net"), own("net")?, "{out}");
    assert_eq!(out.answer("ns@uts"), own("uts")?, "{out}");
    Ok(())
}

fn joined_everything(scene: &Scene) -> Outcome {
    let other = "[namespaces]\nmount = true\nipc = true\nuts = true\nnet = true\ncgroup = true\n\
                 hostname = \"joined-here\"\n[filesystem]\n\"/mnt\" = \"tmpfs\"\n";
    let (other, pid) = waiting(scene, other)?;
    let mut text = "[namespaces]\n".to_owned();
    let kinds = ["mnt", "ipc", "uts", "net", "cgroup"];
    for file in kinds {
        let key = if file == "mnt" { "mount" } else { file };
        text += &format!("{key} = \"/proc/{pid}/ns/{file}\"\n");
    }
    let deeds: Vec<String> = kinds.iter().map(|file| format!("ns@{file}")).collect();
    let out = scene.sandbox().profile_text(&text)?.deeds(deeds).run()?;
    let there: Result<Vec<_>, _> = kinds
        .iter()
        .map(|file| fs::read_link(format!("/proc/{pid}/ns/{file}")))
        .collect();
    end(other)?;
    out.succeeds()?;
    for (file, there) in kinds.iter().zip(there?) {
        assert_eq!(out.answer(&format!("ns@{file}")), there.to_string_lossy());
        assert_ne!(out.answer(&format!("ns@{file}")), own(file)?);
    }
    Ok(())
}

fn join_of_the_wrong_kind(scene: &Scene) -> Outcome {
    for path in [
        "/proc/self/ns/uts",
        "/etc/passwd",
        "/proc/self/ns/none",
        "/dev/null",
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[namespaces]\nnet = \"{path}\"\n"))?
            .program(["echo", "was run"])
            .run()?;
        out.exits_with(125)?.prints("")?;
        out.complains("net")?;
        out.complains(path)?;
        out.complains("profile-")?;
    }
    Ok(())
}

fn first_process_reaps(scene: &Scene) -> Outcome {
    // Both subshells lose their parent at once; the first ends early, the second counts zombies.
    let (early, late, end) = if scene.host.is_virtual() {
        ("1", "8", "14")
    } else {
        ("0.05", "0.4", "0.8")
    };
    let script = format!(
        "(for i in 1 2 3 4 5; do sleep {early} & done); \
         ( {{ sleep {late}; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; }} & ); \
         exec sleep {end}"
    );
    // As process 1, `sleep` reaps nothing.
    for (init, zombies) in [(true, "0"), (false, "5")] {
        let out = scene
            .sandbox()
            .profile_text(&format!(
                "[namespaces]\npid = true\n[process]\ninit = {init}\n"
            ))?
            .program(["sh", "-c", &script])
            .run()?;
        out.succeeds()?.prints(zombies)?;
    }
    Ok(())
}

fn first_process_is_ours(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .program([
            "sh",
            "-c",
            "echo $PPID; cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l",
        ])
        .run()?;
    out.succeeds()?;
    // Process 1, the shell, `ls`, and `wc` at most.
    let text = out.stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        matches!(lines.as_slice(), ["1", "sandbox-init", "3" | "4"]),
        "{out}"
    );
    Ok(())
}

fn program_as_first_process(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[process]\ninit = false\n")?
        .program(["sh", "-c", "echo $$; exit 9"])
        .run()?;
    out.exits_with(9)?.prints("1")
}

fn nothing_outlives_the_program(scene: &Scene) -> Outcome {
    // The search for leaks after the case would find it.
    let started = std::time::Instant::now();
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .program([
            "sh",
            "-c",
            "setsid sleep 300 >/dev/null 2>&1 </dev/null & echo left",
        ])
        .run()?;
    out.succeeds()?.prints("left")?;
    assert!(started.elapsed() < Duration::from_secs(100));
    Ok(())
}

fn signals_are_forwarded(scene: &Scene) -> Outcome {
    let script = "for s in TERM INT HUP USR1 USR2 QUIT; do trap \"echo got $s; n=x\" $s; done; \
                  n=; echo ready; while [ -z \"$n\" ]; do sleep 0.02; done; exit 7";
    for profile in ["[namespaces]\npid = true\n", "[namespaces]\nuts = true\n"] {
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGQUIT,
        ] {
            let mut run = scene
                .sandbox()
                .profile_text(profile)?
                .program(["sh", "-c", script])
                .spawn()?;
            run.wait_for("ready")?;
            run.signal(signal)?;
            let name = signal.as_str().trim_start_matches("SIG");
            run.wait_for(&format!("got {name}"))?;
            run.wait()?.exits_with(7)?;
        }
    }
    Ok(())
}

fn exit_status(scene: &Scene) -> Outcome {
    let plain = scene.write("plain", "no program\n")?;
    let (plain, folder) = (
        plain.display().to_string(),
        scene.home().display().to_string(),
    );
    let own = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let table = [
        (own("exit 0"), 0),
        (own("exit 3"), 3),
        (own("exit 125"), 125),
        (own("exit 255"), 255),
        (own("kill -TERM $$; sleep 9"), 143),
        (own("kill -KILL $$; sleep 9"), 137),
        (own("kill -SEGV $$; sleep 9"), 139),
        (vec![plain], 126),
        (vec![folder], 126),
        (vec!["/no/such/program".to_owned()], 127),
        (vec!["no-such-program-at-all".to_owned()], 127),
    ];
    for profile in [
        "[namespaces]\npid = true\n",
        "[namespaces]\nuts = true\n",
        "[process]\numask = \"022\"\n",
    ] {
        for (program, status) in &table {
            let out = scene
                .sandbox()
                .profile_text(profile)?
                .program(program.clone())
                .run()?;
            out.exits_with(*status)?;
            assert_eq!(
                out.stderr().contains("sandbox:"),
                matches!(status, 126 | 127),
                "{out}"
            );
        }
    }
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[process]\ninit = false\n")?
        .program(["sh", "-c", "exit 12"])
        .run()?;
    out.exits_with(12)?;
    Ok(())
}

fn loopback(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nnet = true\n")?
        .deeds([
            "bindport@8080",
            "read@/proc/self/net/dev",
            "read@/proc/self/net/route",
        ])
        .run()?;
    out.answers(&[("bindport@8080", "ok")])?;
    let devices = out.answer("read@/proc/self/net/dev");
    assert_eq!(
        devices.matches(':').count(),
        1,
        "more than one interface\n{out}"
    );
    assert!(devices.contains("lo:"), "{out}");
    Ok(())
}

fn network_mode_none(scene: &Scene) -> Outcome {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let run = |mode: &str| {
        scene
            .sandbox()
            .profile_text(&format!("[network]\nmode = \"{mode}\"\n"))?
            .probe(["connect", "tcp", &address])
            .run()
    };
    run("host")?.succeeds()?.prints("connected")?;
    run("none")?.exits_with(1)?.prints("ECONNREFUSED")?;
    let out = scene
        .sandbox()
        .args(["--no-profile", "--net", "none"])
        .probe(["connect", "tcp", &address])
        .run()?;
    out.exits_with(1)?.prints("ECONNREFUSED")
}

fn hostname(scene: &Scene) -> Outcome {
    let before = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nhostname = \"box-of-test\"\n")?
        .program(["uname", "-n"])
        .run()?;
    out.succeeds()?.prints("box-of-test")?;
    assert_eq!(before, fs::read_to_string("/proc/sys/kernel/hostname")?);
    let wrong = scene
        .sandbox()
        .args(["--no-profile", "--hostname", "not a name"])
        .program(["true"])
        .run()?;
    wrong.exits_with(2)?.complains("not a name")
}

fn own_ids(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nuser = true\n")?
        .deeds([
            "ids",
            "read@/proc/self/uid_map",
            "read@/proc/self/setgroups",
        ])
        .run()?;
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    assert!(
        out.answer("ids").starts_with(&format!("{uid} {gid} ")),
        "{out}"
    );
    assert_eq!(
        map(&out.answer("read@/proc/self/uid_map")),
        format!("{uid} {uid} 1")
    );
    out.answers(&[("read@/proc/self/setgroups", "`deny\\n`")])
}

/// An id map with single spaces.
fn map(answer: &str) -> String {
    let lines = answer.trim_matches('`').split("\\n");
    let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

fn root_inside(scene: &Scene) -> Outcome {
    let file = scene.home().join("made");
    let out = scene
        .sandbox()
        .profile_text("[user]\nuid = \"root\"\ngid = \"root\"\n")?
        .deeds(["ids".to_owned(), format!("create@{}", file.display())])
        .run()?;
    assert!(out.answer("ids").starts_with("0 0 "), "{out}");
    out.answers(&[(format!("create@{}", file.display()), "ok")])?;
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        fs::metadata(&file)?.uid(),
        scene.host.uid,
        "outside it is the caller's"
    );
    Ok(())
}

fn numbers_inside(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[user]\nuid = 4242\ngid = 4343\n")?
        .deeds(["ids", "read@/proc/self/uid_map", "read@/proc/self/gid_map"])
        .run()?;
    assert!(out.answer("ids").starts_with("4242 4343 "), "{out}");
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    assert_eq!(
        map(&out.answer("read@/proc/self/uid_map")),
        format!("4242 {uid} 1")
    );
    assert_eq!(
        map(&out.answer("read@/proc/self/gid_map")),
        format!("4343 {gid} 1")
    );
    for wrong in ["-1", "4294967295", "\"0x0\"", "\"nobody\""] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[user]\nuid = {wrong}\n"))?
            .program(["true"])
            .run()?;
        out.exits_with(2)?.complains("profile-1.toml:2:7")?;
    }
    Ok(())
}

fn subordinate_ids(scene: &Scene) -> Outcome {
    let name = std::env::var("USER")?;
    let ranges = fs::read_to_string("/etc/subuid")?;
    let range = ranges
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    let (start, length) = range
        .and_then(|range| range.split_once(':'))
        .ok_or("no range in /etc/subuid")?;
    let out = scene
        .sandbox()
        .profile_text(
            "[user]\nuid = \"root\"\ngid = \"root\"\nsubordinate-ids = true\n\
             [capabilities]\nsetuid = \"keep\"\n",
        )?
        .deeds([
            "ids",
            "read@/proc/self/uid_map",
            "call@setresuid@7@7@7",
            "status@Uid",
        ])
        .run()?;
    out.succeeds()?;
    let uid = scene.host.uid;
    assert_eq!(
        map(&out.answer("read@/proc/self/uid_map")),
        format!("0 {uid} 1, 1 {start} {length}"),
    );
    assert!(out.answer("ids").starts_with("0 0 "), "{out}");
    out.answers(&[("call@setresuid@7@7@7", "= 0"), ("status@Uid", "7 7 7 7")])
}

fn setgroups_is_denied(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(
            "[user]\nuid = \"root\"\ngid = \"root\"\n[capabilities]\ndefault = \"keep\"\n",
        )?
        .deeds([
            "status@CapEff",
            "call@setgroups@0@0",
            "read@/proc/self/setgroups",
        ])
        .run()?;
    assert_ne!(out.answer("status@CapEff"), "0000000000000000", "{out}");
    out.answers(&[
        ("call@setgroups@0@0", "EPERM"),
        ("read@/proc/self/setgroups", "`deny\\n`"),
    ])
}
