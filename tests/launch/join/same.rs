//! Who joins is bound as the program is.

use std::fs;
use std::path::PathBuf;

use super::super::support::{Case, Need, Outcome, Scene, case, unique, wait_until};
use super::{SOON, USERNS, end, idle, join};

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
    ]
}

const BOTH: &[Need] = &[Need::UserNamespaces, Need::Landlock(2)];

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
    let mut run = scene
        .run_called(&name, profile)?
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
        let run = idle(scene, &name, &text)?;
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
        super::super::support::binary("sandbox"),
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
    let own = super::super::support::own_path();
    let profile = format!(
        "degrade = [\"filesystem.{}\"]\n[filesystem]\n\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n\"/bin\" = \"read-only\"\n\
         \"/lib\" = \"read-only\"\n\"/lib64\" = \"read-only\"\n\"/etc\" = \"read-only\"\n\"/dev/null\" = \"read-write\"\n\
         \"{}\" = \"read-only\"\n{lines}[process]\nwrite-xor-execute = true\n\
         [syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n",
        gone.display(),
        own.display()
    );
    let name = unique("alone");
    let mut run = scene
        .run_called(&name, &profile)?
        .behind(&behind)
        .deeds(deeds.iter().map(String::as_str).chain(["wait@600"]))
        .spawn()?;
    run.wait_for("rmdir@")?;
    let told = wait_until(SOON, || run.stdout_so_far().contains("gone: "));
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
    let mut run = scene
        .run_called(&name, profile)?
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
    wait_until(SOON, || run.stdout_so_far().ends_with('\n'));
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
    let sandbox = scene
        .run_called(&name, "[process]\nno-new-privileges = true\n")?
        .behind([
            "sh",
            "-c",
            "ulimit -S -n 300; ulimit -H -n 400; umask 0027; exec \"$@\"",
            "sh",
        ]);
    let run = sandbox.idle()?;
    let deeds = ["limit@Max open files", "status@Umask"];
    let joined = join(scene, &name).deeds(deeds).run()?;
    end(run)?;
    joined.succeeds()?;
    joined.answers(&[(deeds[0], "300 400"), (deeds[1], "0027")])
}

fn nothing_of_the_caller(scene: &Scene) -> Outcome {
    let name = unique("nothing");
    let run = idle(scene, &name, "[namespaces]\npid = true\n")?;
    // Descriptors, keys, the working directory.
    let fds = join(scene, &name)
        .behind(["sh", "-c", "exec 7</etc/passwd; exec \"$@\"", "sh"])
        .probe(["fds"])
        .run()?;
    let probe = super::super::support::own_path();
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
