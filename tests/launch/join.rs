//! `sandboxctl join`: the same restrictions as the sandbox's own, and nobody to be fooled.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Sandbox, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];
const BOTH: &[Need] = &[Need::UserNamespaces, Need::Landlock(2)];

pub fn cases() -> Vec<Case> {
    vec![
        case("same_restrictions", USERNS, same_restrictions),
        case("same_restrictions_alone", &[], same_restrictions_alone),
        case("same_landlock", BOTH, same_landlock),
        case(
            "same_landlock_alone",
            &[Need::Landlock(2)],
            same_landlock_alone,
        ),
        case("same_environment", &[], same_environment),
        case("inherited_limits", &[], inherited_limits),
        case("nothing_of_the_caller", USERNS, nothing_of_the_caller),
        case("status", &[], status),
        case("default_program", &[], default_program),
        case("terminal", USERNS, terminal),
        case("ends_with_the_joiner", USERNS, ends_with_the_joiner),
        case("ends_with_the_sandbox", &[], ends_with_the_sandbox),
        case("counts_in_the_group", &[Need::Limits], counts_in_the_group),
        case(
            "out_of_reach_while_entering",
            USERNS,
            out_of_reach_while_entering,
        ),
        case("own_file_is_out_of_reach", USERNS, own_file_is_out_of_reach),
        case("forged_records", USERNS, forged_records),
        case("launcher_gone", &[], launcher_gone),
        case(
            "of_another_user",
            &[Need::Root, Need::UserNamespaces],
            of_another_user,
        ),
        case("unknown_name", &[], unknown_name),
        case("as_root_inside", USERNS, as_root_inside),
        case(
            "as_root_of_subordinate_ids",
            &[Need::Root, Need::UserNamespaces, Need::Program("newuidmap")],
            as_root_of_subordinate_ids,
        ),
    ]
}

/// A sandbox that runs until it is dropped, named after the test.
fn start<'a>(scene: &'a Scene, name: &str, profile: &str) -> std::io::Result<Sandbox<'a>> {
    Ok(scene
        .sandbox()
        .profile_text(profile)?
        .args(["--name", name]))
}

fn join<'a>(scene: &'a Scene, name: &str) -> Sandbox<'a> {
    scene.sandboxctl().args(["join", name])
}

/// A name that no other test or person uses.
fn unique(what: &str) -> String {
    format!("test-{}-{what}", std::process::id())
}

fn end(run: Running) -> Outcome {
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    Ok(())
}

fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit_once(") ") {
        Some((_, rest)) => rest.starts_with('Z') || rest.starts_with('X'),
        None => true,
    }
}

/// What can be told about a process from within.
const DEEDS: &[&str] = &[
    "ids",
    "where",
    "ns@cgroup",
    "ns@ipc",
    "ns@mnt",
    "ns@net",
    "ns@pid",
    "ns@time",
    "ns@user",
    "ns@uts",
    "status@NoNewPrivs",
    "status@Seccomp",
    "status@Seccomp_filters",
    "status@CapInh",
    "status@CapPrm",
    "status@CapEff",
    "status@CapBnd",
    "status@CapAmb",
    "status@Umask",
    "status@Uid",
    "status@Gid",
    "status@Groups",
    "status@Cpus_allowed_list",
    "status@SigBlk",
    "status@SigIgn",
    "limit@Max cpu time",
    "limit@Max file size",
    "limit@Max data size",
    "limit@Max stack size",
    "limit@Max core file size",
    "limit@Max resident set",
    "limit@Max processes",
    "limit@Max open files",
    "limit@Max locked memory",
    "limit@Max address space",
    "limit@Max file locks",
    "limit@Max pending signals",
    "limit@Max msgqueue size",
    "limit@Max nice priority",
    "limit@Max realtime priority",
    "limit@Max realtime timeout",
    "read@/proc/self/uid_map",
    "read@/proc/self/gid_map",
    "read@/proc/self/setgroups",
    "read@/proc/self/cgroup",
    "read@/proc/self/mountinfo",
    "read@/proc/self/oom_score_adj",
    "read@/proc/sys/kernel/hostname",
    "list@/",
    "list@/dev",
    "list@/srv",
    "list@/tmp",
    "open@/etc/shadow",
    "call@getpriority@0@0",
    "call@ioprio_get@1@0",
    "call@sched_getscheduler@0",
    "call@personality@8",
    "call@socket@16@3@0",
];

/// Starts a sandbox whose program answers all, and compares what a program that joins it answers.
fn compare(scene: &Scene, name: &str, profile: &str) -> Outcome {
    compare_deeds(scene, name, profile, DEEDS, &[])
}

/// The same with other deeds, and both the sandbox and who joins it behind a command.
fn compare_deeds(
    scene: &Scene,
    name: &str,
    profile: &str,
    deeds: &[&str],
    behind: &[PathBuf],
) -> Outcome {
    let name = unique(name);
    let waits = deeds.iter().copied().chain(["wait@600"]);
    let mut run = start(scene, &name, profile)?
        .behind(behind)
        .deeds(waits)
        .spawn()?;
    let last = deeds.last().copied().unwrap_or_default();
    run.wait_for(&format!("\n{last}: "))?;
    let joined = join(scene, &name).behind(behind).deeds(deeds).run()?;
    joined.succeeds()?;
    let text = run.stdout_so_far();
    end(run)?;
    let mut wrong = Vec::new();
    for deed in deeds {
        let own = text
            .lines()
            .find_map(|line| line.strip_prefix(deed)?.strip_prefix(": "))
            .unwrap_or("nothing");
        let answer = joined.answer(deed);
        if own != answer {
            wrong.push(format!("{deed}: the program {own}, who joined {answer}"));
        }
    }
    assert!(wrong.is_empty(), "under\n{profile}\n{}", wrong.join("\n"));
    Ok(())
}

fn same_restrictions(scene: &Scene) -> Outcome {
    compare(
        scene,
        "all",
        "[namespaces]\npid = true\nipc = true\nuts = true\nnet = true\ncgroup = true\nhostname = \"box\"\n\
         [filesystem]\n\"/\" = \"read-only\"\n\"/srv\" = \"hidden\"\n\"/tmp\" = \"tmpfs\"\n\
         [devices]\ndefault = \"minimal\"\n\
         [limits]\nopen-files = 200\ncore-size = 0\nnice-limit = 19\n\
         [syscalls]\npersonality = \"ENOTTY\"\n\"socket(AF_NETLINK)\" = \"EXDEV\"\n\
         [capabilities]\ndefault = \"drop\"\n\
         [process]\numask = \"0027\"\nnice = 3\nio-priority = \"idle\"\nscheduler = \"batch\"\noom-score-adjust = 77\n\
         working-directory = \"/usr\"\n",
    )?;
    compare(
        scene,
        "root-inside",
        "[user]\nuid = \"root\"\ngid = \"root\"\n[namespaces]\npid = true\ntime = true\n\
         [capabilities]\ndefault = \"drop\"\nnet_bind_service = \"keep\"\nsys_admin = \"keep\"\n",
    )?;
    compare(
        scene,
        "no-init",
        "[namespaces]\npid = true\n[process]\ninit = false\nno-new-privileges = true\n[syscalls]\nptrace = \"deny\"\nkill = \"deny\"\n",
    )
}

fn same_restrictions_alone(scene: &Scene) -> Outcome {
    compare(
        scene,
        "filter",
        "[syscalls]\npersonality = \"ENOTTY\"\nkill = \"deny\"\nwaitid = \"deny\"\n[process]\numask = \"0077\"\n",
    )?;
    compare(
        scene,
        "umask",
        "[process]\numask = \"0070\"\nsession-keyring = \"caller\"\n",
    )
}

/// What can be told about Landlock by who keeps every capability over the mounts: that they cannot be changed, and what is
/// behind them when they are.
fn same_landlock(scene: &Scene) -> Outcome {
    let file = scene.write("home/ro/file", "content")?;
    let folder = file.parent().ok_or("no folder")?.display().to_string();
    let rw = scene
        .write("home/rw/file", "content")?
        .display()
        .to_string();
    let deeds = [
        "tmpfs@/mnt".to_owned(),
        "umount@/proc".to_owned(),
        format!("setattr@{folder}"),
        format!("write@{folder}/file"),
        format!("rename@{folder}/file@{folder}/other"),
        format!("write@{rw}"),
        "list@/etc/ssl".to_owned(),
        "call@socket@1@1@0".to_owned(),
        // Within the sandbox everybody may be signalled, also over the edge between two domains of Landlock.
        "signal@2".to_owned(),
        "signal@1".to_owned(),
    ];
    let deeds: Vec<&str> = deeds.iter().map(String::as_str).collect();
    let profile = format!(
        "[filesystem]\n\"/\" = \"read-only\"\n\"/mnt\" = \"tmpfs\"\n\"{rw}\" = \"read-write\"\n\
         [namespaces]\npid = true\nnet = true\n[process]\nlandlock = true\n\
         [user]\nuid = \"root\"\ngid = \"root\"\n[capabilities]\ndefault = \"keep\"\n"
    );
    compare_deeds(scene, "both", &profile, &deeds, &[])?;
    // The comparison means something only if these answers come from Landlock.
    for (name, more, mounts) in [
        ("one-wall", "[process]\nlandlock = false\n", "ok"),
        ("two-walls", "", "EPERM"),
    ] {
        let name = unique(name);
        let text = profile.replace("[process]\nlandlock = true\n", more);
        let mut run = start(scene, &name, &text)?
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        let joined = join(scene, &name).deeds(["tmpfs@/mnt"]).run()?;
        end(run)?;
        joined.answers(&[("tmpfs@/mnt", mounts)])?;
    }
    Ok(())
}

/// Without mounts Landlock is all there is; who joins finds its rules even when the program has removed what one names.
fn same_landlock_alone(scene: &Scene) -> Outcome {
    let outer = scene.write(
        "outer.toml",
        "[syscalls]\n\"clone(&CLONE_NEWUSER)\" = \"deny\"\n\"unshare(&CLONE_NEWUSER)\" = \"deny\"\n\
         [capabilities]\ndefault = \"drop\"\n",
    )?;
    let behind: [PathBuf; 4] = [
        super::support::binary("sandbox"),
        "--profile".into(),
        outer,
        "--".into(),
    ];
    let mut lines = String::new();
    let mut deeds = Vec::new();
    for (folder, access) in [("ro", "read-only"), ("rw", "read-write"), ("no", "hidden")] {
        let file = scene.write(&format!("home/{folder}/file"), "content")?;
        let folder = file.parent().ok_or("no folder")?.display().to_string();
        fs::copy("/bin/true", format!("{folder}/tool"))?;
        if access != "hidden" {
            lines.push_str(&format!("\"{folder}\" = \"{access}\"\n"));
        }
        for deed in ["open@F/file", "write@F/file", "exec@F/tool"] {
            deeds.push(deed.replace('F', &folder));
        }
    }
    let gone = scene.home().join("rw/gone");
    fs::create_dir(&gone)?;
    lines.push_str(&format!("\"{}\" = \"read-only\"\n", gone.display()));
    deeds.push(format!("rmdir@{}", gone.display()));
    let own = super::support::own_path();
    let profile = format!(
        "degrade = [\"filesystem.{}\"]\n[filesystem]\n\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n\"/bin\" = \"read-only\"\n\
         \"/lib\" = \"read-only\"\n\"/lib64\" = \"read-only\"\n\"/etc\" = \"read-only\"\n\"/dev/null\" = \"read-write\"\n\
         \"{}\" = \"read-only\"\n{lines}[process]\nwrite-xor-execute = true\n\
         [syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n",
        gone.display(),
        own.display()
    );
    let name = unique("alone");
    let mut run = start(scene, &name, &profile)?
        .behind(&behind)
        .deeds(deeds.iter().map(String::as_str).chain(["wait@600"]))
        .spawn()?;
    run.wait_for("rmdir@")?;
    let told = wait_until(|| run.stdout_so_far().contains("gone: "));
    let joined = join(scene, &name).behind(&behind).deeds(&deeds).run()?;
    let text = run.stdout_so_far();
    end(run)?;
    assert!(told, "{text}");
    joined.succeeds()?;
    let own: Vec<&str> = text.lines().collect();
    let answers = joined.stdout();
    for (own, joined) in own.iter().zip(answers.lines()).take(deeds.len() - 1) {
        assert_eq!(*own, joined);
    }
    let file = |folder: &str| scene.home().join(folder).display().to_string();
    joined.answers(&[
        (format!("write@{}/file", file("ro")), "EACCES"),
        (format!("write@{}/file", file("rw")), "ok"),
        (format!("exec@{}/tool", file("rw")), "EACCES"),
        (format!("open@{}/file", file("no")), "EACCES"),
        (format!("rmdir@{}", gone.display()), "ENOENT"),
    ])
}

fn same_environment(scene: &Scene) -> Outcome {
    let profile = "[environment]\ndefault = \"clean\"\nPATH = true\nHOME = true\nA = \"b \\\\ ü\"\nLATE = true\n";
    let name = unique("environment");
    let deed = "read@/proc/self/environ";
    let mut run = start(scene, &name, profile)?
        .env("LATE", "said at the start")
        .deeds([deed, "wait@600"])
        .spawn()?;
    run.wait_for(&format!("{deed}: "))?;
    let joined = join(scene, &name)
        .env("LATE", "said later")
        .env("LD_PRELOAD", "/nowhere.so")
        .deeds([deed])
        .run()?;
    joined.succeeds()?;
    wait_until(|| run.stdout_so_far().ends_with('\n'));
    let text = run.stdout_so_far();
    end(run)?;
    let own = text.lines().next().unwrap_or_default();
    assert!(
        own.contains("said at the start") && own.contains("b \\ ü"),
        "{own}"
    );
    assert_eq!(own, joined.stdout().trim_end());
    Ok(())
}

/// What the launcher's caller had set binds those who join, whatever theirs has set.
fn inherited_limits(scene: &Scene) -> Outcome {
    let name = unique("inherited");
    let mut run = start(scene, &name, "[process]\nno-new-privileges = true\n")?
        .behind([
            "sh",
            "-c",
            "ulimit -S -n 300; ulimit -H -n 400; umask 0027; exec \"$@\"",
            "sh",
        ])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let deeds = ["limit@Max open files", "status@Umask"];
    let joined = join(scene, &name).deeds(deeds).run()?;
    end(run)?;
    joined.succeeds()?;
    joined.answers(&[(deeds[0], "300 400"), (deeds[1], "0027")])
}

fn nothing_of_the_caller(scene: &Scene) -> Outcome {
    let name = unique("nothing");
    let mut run = start(scene, &name, "[namespaces]\npid = true\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    // Descriptors, keys, the working directory.
    let fds = join(scene, &name)
        .behind(["sh", "-c", "exec 7</etc/passwd; exec \"$@\"", "sh"])
        .probe(["fds"])
        .run()?;
    let probe = super::support::own_path();
    let keys = join(scene, &name)
        .behind([
            probe.as_os_str(),
            "probe".as_ref(),
            "with-key".as_ref(),
            "sbx-join".as_ref(),
        ])
        .deeds(["key@sbx-join"])
        .run()?;
    let control = scene
        .command(&probe)
        .args(["probe", "with-key", "sbx-join"])
        .args([probe.as_os_str()])
        .args(["probe", "do", "key@sbx-join"])
        .run()?;
    end(run)?;
    fds.succeeds()?;
    let open: Vec<String> = fds
        .stdout()
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(open, ["0", "1", "2"], "{fds}");
    keys.succeeds()?;
    if control.answer("key@sbx-join") == "found" {
        keys.answers(&[("key@sbx-join", "ENOKEY")])?;
    }
    Ok(())
}

fn status(scene: &Scene) -> Outcome {
    let name = unique("status");
    let mut run = start(scene, &name, "[process]\nno-new-privileges = true\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
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
    let mut run = start(scene, &name, "[process]\nno-new-privileges = true\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
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
    let mut run = start(
        scene,
        &name,
        "[namespaces]\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n[devices]\ndefault = \"minimal\"\n",
    )?
    .program(["sh", "-c", "echo ready; exec sleep 600"])
    .spawn()?;
    run.wait_for("ready")?;
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
        let mut run = start(scene, &name, profile)?
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        let mut joined = join(scene, &name)
            .program(["sh", "-c", "echo joined; exec sleep 600"])
            .spawn()?;
        joined.wait_for("joined")?;
        let inside = joined.descendants();
        joined.signal(Signal::SIGKILL)?;
        joined.wait()?.exits_with(137)?;
        let gone = wait_until(|| inside.iter().all(|pid| has_ended(*pid)));
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
        let mut run = start(scene, &name, profile)?
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        let mut joined = join(scene, &name)
            .program(["sh", "-c", "echo joined; exec sleep 600"])
            .spawn()?;
        joined.wait_for("joined")?;
        let inside = joined.descendants();
        run.signal(Signal::SIGTERM)?;
        run.wait()?.exits_with(143)?;
        joined.wait()?.exits_with(137)?;
        let gone = wait_until(|| inside.iter().all(|pid| has_ended(*pid)));
        assert!(gone, "under {profile} it lives on: {inside:?}");
    }
    Ok(())
}

fn counts_in_the_group(scene: &Scene) -> Outcome {
    let name = unique("group");
    let mut run = start(
        scene,
        &name,
        "degrade = [\"limits.swap\"]\n[limits]\npids = 20\nmemory = \"200M\"\nswap = 0\n",
    )?
    .program(["sh", "-c", "echo ready; exec sleep 600"])
    .spawn()?;
    run.wait_for("ready")?;
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
    let gone = wait_until(|| inside.iter().all(|pid| has_ended(*pid)));
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

fn out_of_reach_while_entering(scene: &Scene) -> Outcome {
    for profile in [
        "[namespaces]\npid = true\n[capabilities]\ndefault = \"drop\"\n",
        "[namespaces]\npid = true\n[syscalls]\npersonality = \"deny\"\n[capabilities]\ndefault = \"drop\"\n",
        "[namespaces]\nuts = true\n[syscalls]\npersonality = \"deny\"\n[capabilities]\ndefault = \"drop\"\n",
    ] {
        let name = unique("stalked");
        let mut run = start(scene, &name, profile)?
            .probe(["stalk", "12"])
            .spawn()?;
        run.wait_for("stalking")?;
        let deadline = Instant::now() + Duration::from_secs(9);
        let mut joins = 0;
        while Instant::now() < deadline {
            let out = join(scene, &name).program(["sleep", "0.5"]).run()?;
            // It may be stopped for a moment, but nothing worse.
            out.succeeds()?;
            joins += 1;
        }
        let out = run.wait()?;
        out.succeeds()?;
        let text = out.stdout();
        let number = |word: &str| {
            let mut words = text.split_whitespace().skip_while(|found| *found != word);
            words.nth(1).and_then(|number| number.parse::<u32>().ok())
        };
        assert_eq!(number("early"), Some(0), "under {profile}: {text}");
        // What it tries works on programs, else this would show nothing.
        let (new, late) = (number("new"), number("late"));
        assert!(
            joins >= 5 && new >= Some(5) && late >= Some(3),
            "under {profile}: {text}"
        );
    }
    Ok(())
}

/// Who owns `sandboxctl` joins with a program that leads to `/proc/self/exe`: then `sandboxctl` runs inside, and a program
/// there holds its file, whatever the view shows. It must not become writable when nobody runs it any more.
fn own_file_is_out_of_reach(scene: &Scene) -> Outcome {
    let own = scene.home().join("sandboxctl");
    fs::copy(super::support::binary("sandboxctl"), &own)?;
    let link = scene.home().join("link");
    std::os::unix::fs::symlink("/proc/self/exe", &link)?;
    let name = unique("own-file");
    let script = "echo ready
        while :; do
            for p in /proc/[0-9]*; do
                line=$(tr '\\0' ' ' 2>/dev/null <$p/cmdline) || continue
                case $line in *'link events ') ;; *) continue ;; esac
                command exec 5<$p/exe || continue
                echo held
                while readlink $p/exe >/dev/null 2>&1; do sleep 0.05; done
                printf overwritten >>/proc/self/fd/5 && echo written || echo refused
                exec sleep 600
            done
        done";
    let profile = "[filesystem]\n\"/\" = \"read-only\"\n\"/dev/null\" = \"read-write\"\n[namespaces]\npid = true\n\
                   [capabilities]\ndefault = \"drop\"\n[process]\nlandlock = false\n";
    let mut run = start(scene, &name, profile)?
        .program(["sh", "-c", script])
        .spawn()?;
    run.wait_for("ready")?;
    let joined = scene
        .command(&own)
        .args(["join", &name])
        .args([link.clone(), "events".into()])
        .spawn()?;
    run.wait_for("held")?;
    joined.signal(Signal::SIGKILL)?;
    joined.wait()?;
    let told = wait_until(|| {
        let text = run.stdout_so_far();
        text.contains("refused") || text.contains("written")
    });
    let text = run.stdout_so_far();
    end(run)?;
    assert!(told && text.contains("refused"), "{text}");
    let (before, after) = (
        fs::read(super::support::binary("sandboxctl"))?,
        fs::read(&own)?,
    );
    assert!(before == after, "`sandboxctl` was written to");
    Ok(())
}

/// The record of a sandbox of this scene.
fn record_of(scene: &Scene, name: &str) -> PathBuf {
    if scene.host.is_root() {
        Path::new("/run/sandbox").join(name)
    } else {
        scene.runtime().join("sandbox").join(name)
    }
}

/// A record under another name whose lock we hold; removed when this is dropped.
struct Forged {
    path: PathBuf,
    _lock: fs::File,
}

impl Forged {
    fn new(like: &Path, name: &str, text: &str) -> std::io::Result<Self> {
        let path = like.with_file_name(name);
        let file = fs::File::options()
            .write(true)
            .create_new(true)
            .open(&path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.lock()?;
        fs::write(&path, text)?;
        Ok(Self { path, _lock: file })
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn forged_records(scene: &Scene) -> Outcome {
    let profile = "[namespaces]\npid = true\nuts = true\n[syscalls]\nptrace = \"deny\"\n";
    let name = unique("real");
    let mut run = start(scene, &name, profile)?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let path = record_of(scene, &name);
    assert!(wait_until(
        || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() >= 3)
    ));
    let text = fs::read_to_string(&path)?;
    let lines: Vec<&str> = text.lines().collect();
    let record: serde_json::Value = serde_json::from_str(lines[0])?;
    let number = |value: &serde_json::Value| value.as_i64().unwrap_or_default();
    let inside = number(&record["program_process"]["pid"]);
    assert!(inside > 0, "{record:#}");
    let stat = fs::read_to_string(format!("/proc/{inside}/stat"))?;
    let started: i64 = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok())
        .unwrap_or_default();
    let own =
        serde_json::json!({ "pid": std::process::id(), "started": started_of(std::process::id()) });
    let forge = |what: &str, change: &dyn Fn(&mut serde_json::Value), confinement: &str| {
        let forged = unique(what);
        let mut record = record.clone();
        record["name"] = forged.clone().into();
        change(&mut record);
        let text = format!("{record}\n{}\n{confinement}\n", lines[1]);
        let held = Forged::new(&path, &forged, &text)?;
        let out = join(scene, &forged).program(["echo", "was run"]).run()?;
        drop(held);
        Ok::<_, std::io::Error>(out)
    };
    let same = lines[2];
    let without_filter = {
        let mut confinement: serde_json::Value = serde_json::from_str(same)?;
        if let Some(bonds) = confinement["bonds"].as_array_mut() {
            bonds.retain(|bond| bond["rule"].get("seccomp").is_none());
        }
        confinement.to_string()
    };
    let truth = forge("copy", &|_| {}, same)?;
    let mut outcomes = vec![
        (
            "filter",
            forge("filter", &|_| {}, &without_filter)?,
            "system call filter",
        ),
        (
            "nothing",
            forge("nothing", &|_| {}, "")?,
            "does not say what binds it",
        ),
        (
            "garbage",
            forge("garbage", &|_| {}, "{\"bonds\":7}")?,
            "cannot be read",
        ),
        (
            "launcher",
            forge(
                "launcher",
                &|record| {
                    record["supervisor"] = serde_json::json!({ "pid": inside, "started": started })
                },
                same,
            )?,
            "its launcher",
        ),
        (
            "other-launcher",
            forge(
                "other-launcher",
                &|record| record["supervisor"] = own.clone(),
                same,
            )?,
            "not started by its launcher",
        ),
        (
            "recycled",
            forge(
                "recycled",
                &|record| record["program_process"]["started"] = (started + 1).into(),
                same,
            )?,
            "it has ended",
        ),
        (
            "outside",
            forge(
                "outside",
                &|record| {
                    record["program_process"] = own.clone();
                },
                same,
            )?,
            "not started by its launcher",
        ),
        (
            "moved",
            forge(
                "moved",
                &|record| record["namespaces"]["uts"] = 7.into(),
                same,
            )?,
            "has left the uts namespace",
        ),
        (
            "unnamed",
            forge(
                "unnamed",
                &|record| {
                    drop(
                        record["namespaces"]
                            .as_object_mut()
                            .and_then(|all| all.remove("uts")),
                    )
                },
                same,
            )?,
            "does not name its uts namespace",
        ),
        (
            "pretended",
            forge(
                "pretended",
                &|record| {
                    let own = fs::metadata("/proc/self/ns/uts").map_or(0, |found| found.ino());
                    record["namespaces"]["uts"] = own.into();
                },
                same,
            )?,
            "has left the uts namespace",
        ),
        (
            "group",
            forge(
                "group",
                &|record| {
                    record["group"] =
                        serde_json::json!([{ "version": "v2", "controllers": [], "path": "/tmp" }]);
                },
                same,
            )?,
            "control group",
        ),
    ];
    // Not a file of ours at all.
    let link = unique("link");
    std::os::unix::fs::symlink(&path, path.with_file_name(&link))?;
    let linked = join(scene, &link).program(["echo", "was run"]).run();
    fs::remove_file(path.with_file_name(&link))?;
    outcomes.push(("link", linked?, "symbolic link"));
    end(run)?;
    // All that the kernel says agrees with it, and what it says binds the program may have been loosened.
    outcomes.push(("copy", truth, "its launcher does not hold this record"));
    for (what, out, reason) in outcomes {
        out.exits_with(125)
            .map_err(|error| format!("{what}: {error}"))?;
        out.prints("")?;
        out.complains(reason)?;
    }
    Ok(())
}

fn started_of(pid: u32) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok())
        .unwrap_or_default()
}

fn launcher_gone(scene: &Scene) -> Outcome {
    let name = unique("orphan");
    let mut run = start(scene, &name, "[process]\ndie-with-parent = false\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let path = record_of(scene, &name);
    assert!(wait_until(
        || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() >= 3)
    ));
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

/// Neither root another user's, whose hands it would be in, nor the other way round.
fn of_another_user(scene: &Scene) -> Outcome {
    const OTHER: u32 = 65534;
    let folder = Path::new("/run/user").join(OTHER.to_string());
    fs::create_dir_all("/run/user")?;
    if folder.exists() {
        println!(
            "SKIPPED join::of_another_user: {} is in use",
            folder.display()
        );
        return Ok(());
    }
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    chown(&folder, Some(OTHER), Some(OTHER))?;
    let outcome = other_user(scene, OTHER, &folder);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn other_user(scene: &Scene, other: u32, folder: &Path) -> Outcome {
    // The programs and the profile where anybody can read them.
    let place = scene.folder().join("shared");
    fs::create_dir(&place)?;
    for path in [scene.folder(), place.as_path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    for program in ["sandbox", "sandboxctl"] {
        fs::copy(super::support::binary(program), place.join(program))?;
    }
    let as_other = |program: &str| {
        let id = other.to_string();
        scene
            .command("setpriv")
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .args([place.join(program)])
            .env("XDG_RUNTIME_DIR", folder.as_os_str())
            .env("HOME", "/")
            .in_folder("/")
    };
    let theirs = unique("theirs");
    let mut run = as_other("sandbox")
        .args([
            "--no-profile",
            "--set",
            "namespaces.uts=true",
            "--name",
            &theirs,
        ])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let ours = unique("ours");
    let mut own = start(scene, &ours, "[namespaces]\nuts = true\n")?
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    own.wait_for("ready")?;
    let by_root = join(scene, &theirs).program(["echo", "was run"]).run()?;
    let by_other = as_other("sandboxctl")
        .args(["join", &ours])
        .program(["echo", "was run"])
        .run()?;
    let by_owner = as_other("sandboxctl")
        .args(["join", &theirs])
        .program(["echo", "was run"])
        .run()?;
    end(own)?;
    end(run)?;
    by_root.exits_with(125)?.prints("")?;
    by_root.complains("joined by its own user only")?;
    by_root.complains("runuser -u")?;
    by_other.exits_with(125)?.prints("")?;
    by_owner.succeeds()?.prints("was run")
}

fn unknown_name(scene: &Scene) -> Outcome {
    let out = join(scene, "no-such-sandbox")
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("no sandbox named `no-such-sandbox` is running")
}

fn as_root_inside(scene: &Scene) -> Outcome {
    let line = ["sh", "-c", "id -u; grep Cap.[^n] /proc/self/status"];
    for (label, profile, uid, reason) in [
        (
            "forbidden",
            "[user]\nuid = \"root\"\n",
            None,
            "its profile does not allow it",
        ),
        (
            "nobody",
            "[namespaces]\nuser = true\n[user]\nuid = 77\njoin-as-root = true\n",
            None,
            "there is no root inside",
        ),
        (
            "everybody",
            "[user]\nuid = \"root\"\njoin-as-root = true\n[capabilities]\ndefault = \"drop\"\nchown = \"keep\"\n",
            Some("0"),
            "",
        ),
    ] {
        let name = unique(label);
        let mut run = start(scene, &name, profile)?
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        let joined = scene
            .sandboxctl()
            .args(["join", "--as-root-inside", &name])
            .program(line)
            .run()?;
        end(run)?;
        match uid {
            Some(uid) => {
                joined.succeeds()?;
                let text = joined.stdout();
                assert_eq!(text.lines().next(), Some(uid), "{joined}");
                for set in text.lines().skip(1) {
                    let bits = set.split_whitespace().nth(1).unwrap_or_default();
                    let bits = u64::from_str_radix(bits, 16).unwrap_or(u64::MAX);
                    assert!(bits & !1 == 0, "{set}: {joined}");
                }
            }
            None => {
                joined.exits_with(125)?.prints("")?;
                joined.complains(reason)?;
            }
        }
    }
    Ok(())
}

/// A root inside who is somebody else outside: an ordinary user's sandbox with subordinate ids.
fn as_root_of_subordinate_ids(scene: &Scene) -> Outcome {
    const OTHER: u32 = 54323;
    let folder = scene.folder();
    let place = folder.join("shared");
    let home = folder.join("home-of-other");
    for path in [&place, &home] {
        fs::create_dir(path)?;
    }
    for path in [folder, place.as_path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    chown(&home, Some(OTHER), Some(OTHER))?;
    for program in ["sandbox", "sandboxctl"] {
        fs::copy(super::support::binary(program), place.join(program))?;
    }
    let profile = scene.write(
        "shared/p.toml",
        "[namespaces]\npid = true\n[user]\nsubordinate-ids = true\njoin-as-root = true\n\
         [capabilities]\ndefault = \"drop\"\nchown = \"keep\"\n[syscalls]\npersonality = \"deny\"\n",
    )?;
    fs::set_permissions(&profile, fs::Permissions::from_mode(0o644))?;
    let name = unique("subordinate");
    // Accounts that only this mount namespace knows.
    let script = format!(
        "set -eu
        mkdir {0}/etc; mount -t tmpfs -o mode=755 tmpfs {0}/etc; cp -a /etc/. {0}/etc/; mount --bind {0}/etc /etc
        echo 'sbx-sub:x:{OTHER}:{OTHER}::{1}:/bin/sh' >>/etc/passwd
        echo 'sbx-sub:x:{OTHER}:' >>/etc/group
        echo sbx-sub:3000000:65536 >>/etc/subuid; echo sbx-sub:3000000:65536 >>/etc/subgid
        cd /
        user() {{ setpriv --reuid {OTHER} --regid {OTHER} --clear-groups env -i HOME={1} PATH=/usr/bin:/bin \"$@\"; }}
        user {2}/sandbox --profile {2}/p.toml --name {name} sleep 600 &
        for i in $(seq 100); do user {2}/sandboxctl state {name} 2>/dev/null | grep -q running && break; sleep 0.1; done
        user {2}/sandboxctl join {name} id -u
        user {2}/sandboxctl join --as-root-inside {name} sh -c 'id -u; id -G; grep -E \"Cap[PEBA]|NoNew|Seccomp:\" /proc/self/status'
        user {2}/sandboxctl kill {name}
        wait || true",
        folder.display(),
        home.display(),
        place.display(),
    );
    let script = scene.write("world.sh", &script)?;
    let out = scene
        .command("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh"])
        .args([script])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("54323"), "{out}");
    assert_eq!(
        (lines.next(), lines.next()),
        (Some("0"), Some("0")),
        "{out}"
    );
    for line in lines {
        let (what, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim();
        match what {
            "NoNewPrivs" => assert_eq!(value, "1", "{out}"),
            "Seccomp" => assert_eq!(value, "2", "{out}"),
            _ => {
                let bits = u64::from_str_radix(value, 16).unwrap_or(u64::MAX);
                assert!(bits & !1 == 0, "{line}: {out}");
            }
        }
    }
    Ok(())
}
