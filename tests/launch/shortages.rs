//! Launches where something is missing that every launch uses: memory, descriptors, processes, room on disks, /proc, calls
//! of the kernel, control groups, the home, the streams. The program is run with everything that was promised, or it is not
//! run, and it is told why.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::attacks::STRICT;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, binary, case, own_path};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("address_space", USERNS, address_space),
        case("stack", USERNS, stack),
        case("size_of_files", USERNS, size_of_files),
        case(
            "memory_of_a_group",
            &[Need::UserNamespaces, Need::Limits],
            memory_of_a_group,
        ),
        case("descriptors", USERNS, descriptors),
        case(
            "processes",
            &[Need::UserNamespaces, Need::OrdinaryUser],
            processes,
        ),
        case(
            "group_full_of_processes",
            &[Need::UserNamespaces, Need::Limits],
            full_group,
        ),
        case("disk_full", USERNS, disk_full),
        case("store_full", USERNS, store_full),
        case("runtime_full", USERNS, runtime_full),
        case("no_proc", USERNS, no_proc),
        case("no_control_groups", USERNS, no_control_groups),
        case("read_only_control_groups", USERNS, read_only_control_groups),
        case("no_pressure", USERNS, no_pressure),
        case("calls_that_this_kernel_lacks", USERNS, missing_calls),
        case("closed_streams", USERNS, closed_streams),
        case("full_output", &[], full_output),
        case(
            "nobody_reads_what_is_said",
            &[Need::UserNamespaces, Need::Program("python3")],
            nobody_reads,
        ),
        case("read_only_tmp", USERNS, read_only_tmp),
        case("homes", USERNS, homes),
    ]
}

const DEEDS: [&str; 8] = [
    "status@Seccomp_filters",
    "status@NoNewPrivs",
    "status@CapEff",
    "status@CapBnd",
    "create@/usr/sandbox-attack",
    "create@/var/tmp/sandbox-attack",
    "stat@/dev/kmsg",
    "call@add_key@0@0@0@0@0",
];

/// What the program finds in a launch that lacks nothing.
fn promised(scene: &Scene) -> Result<Vec<(&'static str, String)>, Box<dyn std::error::Error>> {
    let out = scene.sandbox().profile_text(STRICT)?.deeds(DEEDS).run()?;
    out.succeeds()?;
    Ok(DEEDS.iter().map(|deed| (*deed, out.answer(deed))).collect())
}

/// Whether it was run: then with all that was promised. Else the status says so, and words say why.
fn judge(
    what: &str,
    out: &Finished,
    promised: &[(&str, String)],
) -> Result<bool, Box<dyn std::error::Error>> {
    let (stdout, stderr) = (out.stdout(), out.stderr());
    assert!(!stderr.contains("panicked"), "{what}\n{out}");
    if stdout.contains(": ") {
        for (deed, answer) in promised {
            assert_eq!(&out.answer(deed), answer, "{what}: {deed}\n{out}");
        }
        return Ok(true);
    }
    assert_ne!(
        out.code(),
        0,
        "{what}: nothing was run, and it is success\n{out}"
    );
    // The kernel or the loader may have met it before there was anybody to tell it.
    let early = what.contains("address space") && matches!(out.code(), 127 | 134 | 139)
        || what.contains("kB of stack") && matches!(out.code(), 126 | 127 | 137 | 139);
    assert!(
        early || stderr.split_whitespace().count() > 4,
        "{what}: it is not told why\n{out}"
    );
    println!(
        "shortages: {what}: [{}] {}",
        out.code(),
        stderr.trim().replace('\n', " | ")
    );
    Ok(false)
}

/// The launcher with the strict profile and the deeds, started by a shell that has run `before`, in a user namespace with
/// mounts of its own if `mounts`.
fn after<'a>(scene: &'a Scene, mounts: bool, before: &str) -> std::io::Result<Sandbox<'a>> {
    // The caller is the same user there: files of others are others' still. His privileges end before the launcher.
    let script = match mounts {
        true => format!("{before}\nexec setpriv --ambient-caps=-all --inh-caps=-all \"$@\""),
        false => format!("{before}\nexec \"$@\""),
    };
    let mut line = vec![];
    if mounts {
        line.extend([
            "unshare",
            "--user",
            "--map-current-user",
            "--keep-caps",
            "--mount",
        ]);
    }
    line.extend(["sh", "-ec", &script, "sh"]);
    let seconds = if scene.host.is_virtual() { 90 } else { 20 };
    Ok(scene
        .sandbox()
        .behind(line)
        .profile_text(STRICT)?
        .limit(Duration::from_secs(seconds))
        .deeds(DEEDS))
}

/// Ever more of something, in steps: at least the last is enough.
fn each(scene: &Scene, what: &str, amounts: &[&str], before: &str) -> Outcome {
    let promised = promised(scene)?;
    let mut ran = false;
    for amount in amounts {
        let out = after(scene, false, &before.replace('N', amount))?.run()?;
        ran = judge(&format!("{what} {amount}"), &out, &promised)?;
    }
    assert!(ran, "even {amounts:?} is too little");
    tidy(scene)
}

/// Nothing stays where records, logs and sockets of sandboxes lie, but for the directory itself.
fn tidy(scene: &Scene) -> Outcome {
    let mut left = Vec::new();
    let mut open = vec![scene.runtime()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => open.push(entry.path()),
                false => left.push(entry.path()),
            }
        }
    }
    assert!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn address_space(scene: &Scene) -> Outcome {
    let sizes = [
        "3000", "4000", "5000", "6000", "8000", "10000", "14000", "20000", "40000", "4000000",
    ];
    each(scene, "kB of address space", &sizes, "ulimit -v N")
}

fn stack(scene: &Scene) -> Outcome {
    // The kernel or the loader runs out of it.
    let promised = promised(scene)?;
    for size in ["4", "8", "16"] {
        let out = after(scene, false, &format!("ulimit -s {size}"))?.run()?;
        assert!(!judge(&format!("kB of stack {size}"), &out, &promised)?);
    }
    for size in ["48", "64", "72", "80", "96", "128", "192", "252"] {
        let out = after(scene, false, &format!("ulimit -s {size}"))?.run()?;
        assert!(!judge(
            &format!("kB of little stack {size}"),
            &out,
            &promised
        )?);
        out.exits_with(125)?;
        out.complains(&format!("is {size} KiB"))?;
        out.complains("ulimit -s 8192")?;
    }
    each(
        scene,
        "kB of stack",
        &["256", "512", "8192", "unlimited"],
        "ulimit -s N",
    )
}

/// Who writes more is killed by SIGXFSZ, which says nothing.
fn size_of_files(scene: &Scene) -> Outcome {
    each(
        scene,
        "blocks of a file",
        &["0", "1", "unlimited"],
        "ulimit -f N",
    )?;
    let promised = promised(scene)?;
    let before = "ulimit -f 0";
    // What says how long a sandbox is there cannot be written: it runs, and that is told.
    let out = after(scene, false, before)?
        .program(["sh", "-c", "sleep 0.3; echo it ran"])
        .run()?;
    out.succeeds()?.prints("it ran")?;
    out.complains("by its name only")?;
    let out = after(scene, false, before)?.args(["--copy", "~"]).run()?;
    assert!(!judge("changes that cannot be kept", &out, &promised)?);
    out.complains("changes cannot be kept")?;
    let text = "[filesystem]\n\"/etc/hosts\" = { text = \"127.0.0.1 localhost\" }\n";
    let out = after(scene, false, before)?.profile_text(text)?.run()?;
    assert!(!judge("a text that cannot be written", &out, &promised)?);
    out.complains("/etc/hosts")?;
    out.complains("ulimit -f")?;
    tidy(scene)
}

fn descriptors(scene: &Scene) -> Outcome {
    let mut numbers: Vec<String> = (3..=20).map(|number| number.to_string()).collect();
    numbers.push("64".to_owned());
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    each(scene, "descriptors", &numbers, "ulimit -n N")
}

fn processes(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    for most in ["0", "1", "2", "3"] {
        let out = after(scene, false, &format!("exec prlimit --nproc={most} \"$@\""))?.run()?;
        judge(&format!("processes {most}"), &out, &promised)?;
    }
    tidy(scene)
}

/// The command line of a launcher with all deeds, to be run inside a sandbox.
fn inner(scene: &Scene) -> std::io::Result<Vec<String>> {
    let profile = scene.write("inner.toml", STRICT)?.display().to_string();
    let mut program = vec![
        binary("sandbox").display().to_string(),
        "--profile".to_owned(),
        profile,
        "--".to_owned(),
    ];
    program.extend([
        own_path().display().to_string(),
        "probe".to_owned(),
        "do".to_owned(),
    ]);
    program.extend(DEEDS.map(str::to_owned));
    Ok(program)
}

/// A launcher inside a sandbox whose group gives it next to nothing.
fn within(scene: &Scene, limits: &[&str]) -> std::io::Result<Finished> {
    let mut line = vec!["--no-profile".to_owned()];
    line.extend(limits.iter().map(|text| (*text).to_owned()));
    let program = inner(scene)?;
    scene.sandbox().args(line).program(program).run()
}

fn memory_of_a_group(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let mut ran = false;
    for size in ["512K", "1M", "2M", "3M", "4M", "6M", "64M"] {
        let out = within(scene, &["--memory", size])?;
        ran = judge(&format!("memory of a group {size}"), &out, &promised)?;
    }
    assert!(ran, "64M is too little");
    tidy(scene)
}

fn full_group(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let mut ran = false;
    for most in ["1", "2", "3", "8"] {
        let out = within(scene, &["--pids", most])?;
        ran = judge(&format!("group of processes {most}"), &out, &promised)?;
    }
    assert!(ran, "8 processes are too few");
    tidy(scene)
}

/// The folder as a file system without room.
fn full(folder: &std::path::Path) -> String {
    let at = folder.display();
    format!(
        "mount -t tmpfs -o size=4k,nr_inodes=4 none {at}; mkdir {at}/a; echo x > {at}/b; dd if=/dev/zero of={at}/c bs=4k count=1 2>/dev/null || :; (: > {at}/d) 2>/dev/null || :\n"
    )
}

fn disk_full(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let home = full(&scene.home());
    let out = after(scene, true, &home)?.run()?;
    judge("a home without room", &out, &promised)?;
    let read_only = format!("mount -t tmpfs -o ro none {}", scene.home().display());
    let out = after(scene, true, &read_only)?.run()?;
    assert!(
        !judge("a home that is read-only", &out, &promised)?,
        "{out}"
    );
    out.exits_with(125)?;
    out.complains("mkdir -p -m 700")?;
    // A directory of the profile's own is made in the home.
    let out = after(scene, true, &home)?
        .profile_text("[filesystem]\n\"~/.config\" = \"private\"\n")?
        .run()?;
    judge(
        "a home without room for a private directory",
        &out,
        &promised,
    )?;
    tidy(scene)
}

/// The store of changes that are kept apart.
fn store_full(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let store = scene.home().join(".local/share");
    std::fs::create_dir(scene.home().join("work"))?;
    for before in [
        full(&store),
        format!("mount -t tmpfs -o ro none {}", store.display()),
    ] {
        let out = after(scene, true, &before)?
            .args(["--copy", "~/work"])
            .run()?;
        assert!(!judge("a store without room", &out, &promised)?, "{out}");
        out.complains("changes cannot be kept")?;
    }
    tidy(scene)
}

fn runtime_full(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let out = after(scene, true, &full(&scene.runtime()))?.run()?;
    judge("a run directory without room", &out, &promised)?;
    let out = after(scene, true, &full(&scene.runtime()))?
        .args(["--name", "full"])
        .run()?;
    judge("a run directory without room for a name", &out, &promised)?;
    // There is none at all: what is to be known by its name is not started.
    let state = scene.home().join(".local/state");
    std::fs::create_dir_all(&state)?;
    let before = format!(
        "for at in {} {} \"$([ -d /run/sandbox ] && echo /run/sandbox || echo /run)\"; do mount -t tmpfs -o mode=700 none \"$at\"; mkdir -p -m 700 \"$at/sandbox/run\"; mount -o remount,ro \"$at\"; done",
        scene.runtime().display(),
        state.display(),
    );
    let start = || -> std::io::Result<Sandbox<'_>> {
        after(scene, true, &before)?.profile_text("[process]\nno-new-privileges = true\n")
    };
    start()?.program(["true"]).run()?.succeeds()?;
    for options in [&["--name", "nowhere"][..], &["--background"]] {
        let out = start()?.args(options).program(["true"]).run()?;
        assert!(!judge(
            &format!("no run directory for {options:?}"),
            &out,
            &promised
        )?);
        out.exits_with(125)?;
        out.complains("no record of it can be written")?;
    }
    Ok(())
}

fn no_proc(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    for before in [
        "mount -t tmpfs none /proc",
        "mount -t tmpfs none /proc; mount -o remount,ro /proc",
    ] {
        let out = after(scene, true, before)?.run()?;
        judge(&format!("no /proc ({before})"), &out, &promised)?;
    }
    let out = after(
        scene,
        true,
        "mount --bind /dev/null /proc/self/mountinfo || :",
    )?
    .run()?;
    judge("an empty mountinfo", &out, &promised)?;
    tidy(scene)
}

fn no_control_groups(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let none = "mount -t tmpfs none /sys/fs/cgroup";
    let out = after(scene, true, none)?.run()?;
    assert!(
        judge("no control groups", &out, &promised)?,
        "they are not needed\n{out}"
    );
    let out = after(scene, true, none)?.args(["--memory", "64M"]).run()?;
    assert!(
        !judge("no control groups, and a limit", &out, &promised)?,
        "{out}"
    );
    out.complains("memory")
}

fn read_only_control_groups(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let before = "grep -E ' (cgroup|cgroup2) ' /proc/self/mounts | while read -r _ at _; do mount -o remount,bind,ro \"$at\"; done";
    let out = after(scene, true, before)?.run()?;
    assert!(judge("no control group can be made", &out, &promised)?);
    let out = after(scene, true, before)?
        .args(["--memory", "64M"])
        .run()?;
    assert!(
        !judge("no control group can be made, and a limit", &out, &promised)?,
        "{out}"
    );
    out.complains("memory")?;
    tidy(scene)
}

fn no_pressure(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let out = after(
        scene,
        true,
        "[ ! -d /proc/pressure ] || mount -t tmpfs none /proc/pressure",
    )?
    .run()?;
    judge("no /proc/pressure", &out, &promised)?;
    tidy(scene)
}

/// A filter around the launcher, by a launcher.
fn missing_calls(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    for call in [
        "openat2",
        "clone3",
        "close_range",
        "pidfd_open",
        "statx",
        "mount_setattr",
        "open_tree",
        "fsopen",
        "statmount",
        "pidfd_send_signal",
        "landlock_create_ruleset",
        "memfd_create",
        "prlimit64",
        "getrandom",
    ] {
        let outer = format!("[syscalls]\ndefault = \"allow\"\n{call} = \"ENOSYS\"\n");
        let out = scene
            .sandbox()
            .profile_text(&outer)?
            .program(["true"])
            .run()?;
        out.succeeds()?;
        let program = inner(scene)?;
        let out = scene
            .sandbox()
            .profile_text(&outer)?
            .program(program)
            .run()?;
        // One filter more is around it.
        let promised: Vec<_> = promised
            .iter()
            .filter(|(deed, _)| *deed != "status@Seccomp_filters")
            .cloned()
            .collect();
        judge(&format!("no {call}"), &out, &promised)?;
    }
    tidy(scene)
}

fn closed_streams(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    for closed in ["0<&-", "2>&-", "0<&- 2>&-"] {
        let out = after(scene, false, &format!("exec \"$@\" {closed}"))?.run()?;
        assert!(judge(closed, &out, &promised)?, "{closed}\n{out}");
    }
    // Without an output there is nothing to judge but the end; what is opened must not come to lie in its place.
    for closed in ["1>&-", "0<&- 1>&- 2>&-", "1>&- 2>&-"] {
        let out = after(scene, false, &format!("exec \"$@\" {closed}"))?
            .program(["sh", "-c", "echo x >&1"])
            .run()?;
        assert!(!out.stdout().contains('x'), "{closed}\n{out}");
    }
    tidy(scene)
}

/// Nothing can be written where answers go.
fn full_output(scene: &Scene) -> Outcome {
    let profile = scene.write("full.toml", STRICT)?.display().to_string();
    let (launcher, other) = (binary("sandbox"), binary("sandboxctl"));
    let shown: &[&str] = &["show", &profile];
    for (program, line) in [
        (&launcher, &["--version"] as &[&str]),
        (&launcher, &["--help"]),
        (&launcher, &["--profile", &profile, "--dry-run", "true"]),
        (&other, &["--version"]),
        (&other, &["--help"]),
        (&other, &["list"]),
        (&other, &["explain"]),
        (&other, &["profiles"]),
        (&other, shown),
    ] {
        let start = |to: &str| {
            let script = format!("exec \"$@\" {to}");
            let shell = scene.command("sh").args(["-c", &script, "sh"]);
            shell.args([program]).args(line).run()
        };
        start("")?.succeeds()?;
        let out = start(">/dev/full")?;
        out.exits_with(1)?;
        out.complains("cannot write to standard output")?;
    }
    Ok(())
}

/// Standard error is a pipe that is full, and nobody reads it.
fn nobody_reads(scene: &Scene) -> Outcome {
    const FULL: &str = "import os, sys
read, write = os.pipe()
os.set_blocking(write, False)
for size in (4096, 1):
    try:
        while True: os.write(write, b'x' * size)
    except BlockingIOError: pass
os.set_blocking(write, sys.argv[1] == 'waits')
os.set_inheritable(read, True)
os.dup2(write, 2)
os.execv(sys.argv[2], sys.argv[2:])
";
    let promised = promised(scene)?;
    let start = |way: &str| -> std::io::Result<Sandbox<'_>> {
        Ok(scene
            .sandbox()
            .behind(["python3", "-c", FULL, way])
            .profile_text(STRICT)?
            .limit(Duration::from_secs(60)))
    };
    for way in ["waits", "fails"] {
        let out = start(way)?.deeds(DEEDS).run()?;
        assert!(judge(way, &out, &promised)?, "{out}");
        // The program's end is not held up, however it ends.
        let killed = start(way)?.program(["sh", "-c", "kill -9 $$"]).run()?;
        killed.exits_with(137)?;
    }
    // Nor is the end of one that is not looked after any more.
    std::fs::create_dir(scene.home().join("late"))?;
    let hiding = "[filesystem]\n\"~/late/**/.env*\" = \"hidden\"\n";
    let mut run = start("waits")?
        .profile_text(hiding)?
        .program(["sh", "-c", "echo ready; sleep 100"])
        .spawn()?;
    run.wait_for("ready")?;
    let is_keeper = |pid: &nix::unistd::Pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "sandbox-keeper")
    };
    let keeper = run.descendants().into_iter().find(is_keeper);
    nix::sys::signal::kill(keeper.ok_or("no keeper")?, nix::sys::signal::SIGKILL)?;
    run.wait()?.exits_with(137)?;
    // What cannot be told changes nothing about what is done.
    let out = start("fails")?
        .profile_text("[filesystem]\n\"/usr\" = \"nonsense\"\n")?
        .deeds(DEEDS)
        .run()?;
    assert!(!out.stdout().contains(": "), "{out}");
    assert_eq!(out.code(), 2, "{out}");
    tidy(scene)
}

fn read_only_tmp(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let before = "mount -t tmpfs -o ro none /tmp; mount --bind /var/tmp /var/tmp";
    let out = after(scene, true, before)?.run()?;
    assert!(judge("a /tmp that is read-only", &out, &promised)?, "{out}");
    Ok(())
}

fn homes(scene: &Scene) -> Outcome {
    let promised = promised(scene)?;
    let folder = scene.folder().join("odd");
    std::fs::create_dir(&folder)?;
    std::os::unix::fs::symlink("b", folder.join("a"))?;
    std::os::unix::fs::symlink("a", folder.join("b"))?;
    std::fs::create_dir(folder.join("closed"))?;
    std::fs::write(folder.join("file"), "")?;
    std::fs::set_permissions(folder.join("closed"), std::fs::Permissions::from_mode(0o0))?;
    let below = |name: &str| folder.join(name).display().to_string();
    let long = format!("/{}", "x".repeat(5000));
    let homes = [
        "",
        "relative",
        "/nowhere",
        &below("a"),
        &below("closed"),
        &below("file"),
        "/",
        "/proc",
        &long,
    ];
    for home in homes {
        let out = after(scene, false, "")?
            .env("HOME", home)
            .without_env("XDG_CONFIG_HOME")
            .without_env("XDG_STATE_HOME")
            .without_env("XDG_RUNTIME_DIR")
            .run()?;
        let shown: String = home.chars().take(60).collect();
        judge(&format!("the home `{shown}`"), &out, &promised)?;
    }
    let out = after(scene, false, "")?.without_env("HOME").run()?;
    judge("no HOME", &out, &promised)?;
    std::fs::set_permissions(
        folder.join("closed"),
        std::fs::Permissions::from_mode(0o700),
    )?;
    tidy(scene)
}
