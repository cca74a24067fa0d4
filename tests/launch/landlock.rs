//! The second wall: what holds with mounts alone, with both, and with Landlock in the place of mounts.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, binary, case};

const BOTH: &[Need] = &[Need::UserNamespaces, Need::Landlock(2)];

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "matrix_of_mounts",
            &[Need::UserNamespaces],
            matrix_of_mounts,
        ),
        case("matrix_of_both", BOTH, matrix_of_both),
        case(
            "matrix_of_landlock",
            &[Need::Landlock(2)],
            matrix_of_landlock,
        ),
        case(
            "view_that_was_undone",
            &[Need::Root, Need::Landlock(2)],
            view_that_was_undone,
        ),
        case("nothing_is_mounted_after", BOTH, nothing_is_mounted_after),
        case(
            "nested_bubblewrap",
            &[
                Need::UserNamespaces,
                Need::Landlock(2),
                Need::Program("bwrap"),
            ],
            nested_bubblewrap,
        ),
        case(
            "nested_chromium",
            &[
                Need::UserNamespaces,
                Need::Landlock(2),
                Need::Program("chromium"),
            ],
            nested_chromium,
        ),
        case("standard_descriptors", BOTH, standard_descriptors),
        case(
            "abstract_sockets",
            &[Need::UserNamespaces, Need::Landlock(6)],
            abstract_sockets,
        ),
        case("devices", BOTH, devices),
        case("write_xor_execute", BOTH, write_xor_execute),
        case("switched_off", BOTH, switched_off),
        case("required", &[Need::UserNamespaces], required),
        case("kinds_of_refusal", &[Need::Landlock(2)], kinds_of_refusal),
        case(
            "refused_without_mounts",
            &[Need::Landlock(2)],
            refused_without_mounts,
        ),
        case(
            "dropped_without_mounts",
            &[Need::Landlock(2)],
            dropped_without_mounts,
        ),
        case(
            "sockets_without_mounts",
            &[Need::Landlock(2)],
            sockets_without_mounts,
        ),
        case(
            "host_without_namespaces",
            &[
                Need::NoUserNamespaces,
                Need::OrdinaryUser,
                Need::Landlock(2),
            ],
            host_without_namespaces,
        ),
        case(
            "background_without_mounts",
            &[Need::Landlock(2)],
            background_without_mounts,
        ),
        case(
            "records_without_mounts",
            &[Need::Landlock(2)],
            records_without_mounts,
        ),
        case(
            "plan_without_mounts",
            &[Need::Landlock(2)],
            plan_without_mounts,
        ),
    ]
}

/// An outer sandbox as a container is one: no user namespaces, and no capability that could do without.
fn outer(answer: &str) -> String {
    format!(
        "[syscalls]\n\"clone(&CLONE_NEWUSER)\" = \"{answer}\"\n\"unshare(&CLONE_NEWUSER)\" = \"{answer}\"\n\
         [capabilities]\ndefault = \"drop\"\n"
    )
}

/// The launcher on such a host.
fn without_namespaces<'a>(scene: &Scene, inner: Sandbox<'a>) -> std::io::Result<Sandbox<'a>> {
    let profile = scene.write("outer.toml", &outer("deny"))?;
    let line: [PathBuf; 4] = [binary("sandbox"), "--profile".into(), profile, "--".into()];
    Ok(inner.behind(line))
}

/// Folders with a file, a program, a folder and a socket in each; and a profile that shows two of three.
struct Folders {
    ro: String,
    rw: String,
    no: String,
    profile: String,
    sockets: Vec<UnixListener>,
}

/// What every program needs.
const SYSTEM: &str = "\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n\"/bin\" = \"read-only\"\n\"/lib\" = \"read-only\"\n\
    \"/lib64\" = \"read-only\"\n\"/etc\" = \"read-only\"\n\"/dev/null\" = \"read-write\"\n";

fn own_path() -> Result<String, Box<dyn std::error::Error>> {
    Ok(std::env::current_exe()?.display().to_string())
}

fn folders(scene: &Scene) -> Result<Folders, Box<dyn std::error::Error>> {
    let mut sockets = Vec::new();
    let mut paths = Vec::new();
    for name in ["ro", "rw", "no"] {
        let file = scene.write(&format!("home/{name}/file"), "content")?;
        let folder = file.parent().ok_or("no folder")?;
        fs::copy("/bin/true", folder.join("tool"))?;
        fs::create_dir(folder.join("sub"))?;
        sockets.push(UnixListener::bind(folder.join("socket"))?);
        paths.push(folder.display().to_string());
    }
    let [ro, rw, no] = paths.try_into().map_err(|_| "three folders")?;
    let profile = format!(
        "[filesystem]\n{SYSTEM}\"{}\" = \"read-only\"\n\"{ro}\" = \"read-only\"\n\"{rw}\" = \"read-write\"\n",
        own_path()?
    );
    Ok(Folders {
        ro,
        rw,
        no,
        profile,
        sockets,
    })
}

/// What is tried in a folder, and what comes of it where it is read-only, read-write and hidden, with mounts (with or
/// without a second wall), and with Landlock alone.
const MATRIX: &[(&str, [&str; 2], &str, [&str; 2])] = &[
    // Landlock lets be seen what there is; nothing that is in it.
    ("stat@F/file", ["ok", "ok"], "ok", ["ENOENT", "ok"]),
    (
        "read@F/file",
        ["`content`", "`content`"],
        "`content`",
        ["ENOENT", "EACCES"],
    ),
    ("open@F/sub", ["ok", "ok"], "ok", ["ENOENT", "EACCES"]),
    ("list@F/sub", ["[]", "[]"], "[]", ["ENOENT", "EACCES"]),
    (
        "exec@F/tool",
        ["Some(0)", "Some(0)"],
        "Some(0)",
        ["ENOENT", "EACCES"],
    ),
    (
        "write@F/tool",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "truncate@F/file",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "create@F/new",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "create@F/../F/sub/new",
        ["ENOENT", "ENOENT"],
        "ENOENT",
        ["ENOENT", "ENOENT"],
    ),
    (
        "mkdir@F/newdir",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "mkfifo@F/fifo",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "symlink@x@F/link",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "link@F/file@F/hard",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "link@F/file@F/sub/hard",
        ["EROFS", "EACCES|EXDEV"],
        "ok",
        ["ENOENT", "EACCES|EXDEV"],
    ),
    (
        "rename@F/file@F/other",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "rename@F/other@F/sub/moved",
        ["EROFS|ENOENT", "ENOENT"],
        "ok",
        ["ENOENT", "ENOENT"],
    ),
    (
        "rename@F/sub/moved@F/file",
        ["EROFS|ENOENT", "ENOENT"],
        "ok",
        ["ENOENT", "ENOENT"],
    ),
    (
        "rename@F/sub@F/dir",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "unlink@F/tool",
        ["EROFS", "EACCES"],
        "ok",
        ["ENOENT", "EACCES"],
    ),
    (
        "rmdir@F/newdir",
        ["EROFS|ENOENT", "ENOENT"],
        "ok",
        ["ENOENT", "ENOENT"],
    ),
    // Not Landlock's to refuse: modes, and, up to ABI 8, sockets by their path.
    ("chmod@F/file", ["EROFS", "ok"], "ok", ["ENOENT", "ok"]),
    (
        "connect@F/socket",
        ["ok", "ok"],
        "ok",
        ["ENOENT", "ok|EACCES"],
    ),
];

/// With the version of Landlock, where it holds alone.
fn table(folders: &Folders, alone: Option<u32>) -> Vec<(String, &'static str)> {
    let column = usize::from(alone.is_some());
    let mut table = Vec::new();
    for &(deed, read_only, read_write, hidden) in MATRIX {
        if deed.starts_with("truncate") && alone.is_some_and(|abi| abi < 3) {
            continue;
        }
        let in_folder = |folder: &str| deed.replace("F/", &format!("{folder}/"));
        table.push((in_folder(&folders.ro), read_only[column]));
        table.push((in_folder(&folders.rw), read_write));
        table.push((in_folder(&folders.no), hidden[column]));
    }
    table
}

fn matrix(scene: &Scene, more: &str, alone: bool) -> Result<Finished, Box<dyn std::error::Error>> {
    let folders = folders(scene)?;
    let table = table(&folders, alone.then_some(scene.host.landlock));
    let mut line = scene
        .sandbox()
        .profile_text(&format!("{}{more}", folders.profile))?;
    if alone {
        line = without_namespaces(scene, line)?.args(["--best-effort"]);
    }
    let out = line.deeds(table.iter().map(|(deed, _)| deed)).run()?;
    out.answers(&table)?;
    drop(folders.sockets);
    Ok(out)
}

fn matrix_of_mounts(scene: &Scene) -> Outcome {
    matrix(
        scene,
        "[process]\nlandlock = false\n[capabilities]\ndefault = \"drop\"\n",
        false,
    )?;
    Ok(())
}

fn matrix_of_both(scene: &Scene) -> Outcome {
    matrix(
        scene,
        "[process]\nlandlock = true\n[capabilities]\ndefault = \"drop\"\n",
        false,
    )?;
    Ok(())
}

fn matrix_of_landlock(scene: &Scene) -> Outcome {
    let out = matrix(scene, "", true)?;
    out.complains("this host gives you no user namespace")?;
    out.complains("Unix sockets can be reached by their paths")
}

/// Root's program keeps CAP_SYS_ADMIN: it makes the mount writable again, and finds the second wall behind it.
fn view_that_was_undone(scene: &Scene) -> Outcome {
    let file = scene.write("home/ro/file", "content")?;
    let folder = file.parent().ok_or("no folder")?.display().to_string();
    let profile = format!(
        "[filesystem]\n{SYSTEM}\"{}\" = \"read-only\"\n\"{folder}\" = \"read-only\"\n",
        own_path()?
    );
    let write = format!("write@{folder}/file");
    let deeds = [format!("setattr@{folder}"), write.clone()];
    let said = "since it keeps CAP_SYS_ADMIN";
    let run = |more: &str| {
        let line = scene.sandbox().profile_text(&format!("{profile}{more}"))?;
        line.deeds(&deeds).run()
    };
    let alone = run("[process]\nlandlock = false\n")?;
    alone.succeeds()?.complains(said)?;
    alone.answers(&[(&deeds[0], "ok"), (&write, "ok")])?;
    let both = run("")?;
    both.succeeds()?;
    both.answers(&[(&deeds[0], "ok"), (&write, "EACCES")])?;
    assert!(!both.stderr().contains(said), "{both}");
    Ok(())
}

/// Whatever capability it has, what is held to files mounts nothing.
fn nothing_is_mounted_after(scene: &Scene) -> Outcome {
    let profile = "[filesystem]\n\"/\" = \"read-only\"\n[user]\nuid = \"root\"\ngid = \"root\"\n\
        [capabilities]\ndefault = \"keep\"\n";
    let deeds = [
        "tmpfs@/mnt",
        "bind@/usr@/mnt",
        "umount@/proc",
        "move@/proc@/mnt",
    ];
    let out = scene.sandbox().profile_text(profile)?.deeds(deeds).run()?;
    out.answers(&deeds.map(|deed| (deed, "EPERM|EINVAL")))?;
    let free = scene
        .sandbox()
        .profile_text(&format!("{profile}[process]\nnested = true\n"))?
        .deeds(deeds)
        .run()?;
    free.answers(&[(deeds[0], "ok"), (deeds[1], "ok")])
}

/// A sandbox in the sandbox, which mounts; with `nested` files are left to the mounts, and are held.
fn nested_bubblewrap(scene: &Scene) -> Outcome {
    let file = scene.write("home/ro/file", "content")?;
    let moved = scene.write("home/rw/a/file", "content")?;
    let to = scene.home().join("rw/file").display().to_string();
    let script = format!(
        "echo inside; echo x >> {}; mv {} {to} && echo moved; ls /mnt",
        file.display(),
        moved.display()
    );
    let line = [
        "bwrap",
        "--dev-bind",
        "/",
        "/",
        "--tmpfs",
        "/mnt",
        "sh",
        "-c",
        &script,
    ];
    let profile = "[filesystem]\n\"/\" = \"read-only\"\n\"~/rw\" = \"read-write\"\n[user]\nuid = 1000\ngid = 1000\n";
    let run = |more: &str| {
        let sandbox = scene.sandbox().profile_text(&format!("{profile}{more}"))?;
        sandbox.program(line).run()
    };
    let held = run("")?;
    assert_ne!(held.code(), 0, "{held}");
    assert!(!held.stdout().contains("inside"), "{held}");
    let nested = run("[process]\nnested = true\n[namespaces]\npid = true\n")?;
    nested.succeeds()?.prints("inside\nmoved")?;
    nested.complains("Read-only file system")
}

/// Chromium shuts its helpers into namespaces and an empty root, without a mount: that goes with both walls. Where it can
/// not, it does not start.
fn nested_chromium(scene: &Scene) -> Outcome {
    let page = "data:text/html,<p>x</p><script>document.write(600*70+42)</script>";
    let line = [
        "chromium",
        "--headless=new",
        "--disable-gpu",
        "--dump-dom",
        page,
    ];
    let run = |option: &str| {
        let mut sandbox = scene
            .sandbox()
            .args(["--profile", "chromium", "--set", option]);
        if scene.host.is_root() {
            // Root's Chromium must be another user inside, see the profile `web-browser`.
            sandbox = sandbox.args(["--set", "user.uid=1000", "--set", "user.gid=1000"]);
        }
        sandbox
            .limit(std::time::Duration::from_secs(180))
            .program(line)
            .run()
    };
    for nested in ["process.nested=false", "process.nested=true"] {
        let out = run(nested)?;
        out.succeeds()?;
        assert!(out.stdout().contains("42042"), "{out}");
    }
    let out = run("syscalls.\"clone(&CLONE_NEWUSER)\"=deny")?;
    assert_ne!(out.code(), 0, "{out}");
    out.complains("No usable sandbox")
}

/// What a descriptor was opened for can be done once more by its name, and nothing else.
fn standard_descriptors(scene: &Scene) -> Outcome {
    let input = scene.write("input", "text\n")?;
    let script = format!(
        "exec {} --profile \"$1\" -- /bin/sh -c \"$2\" < {} > {} 2>&1",
        binary("sandbox").display(),
        input.display(),
        scene.folder().join("output").display()
    );
    let inside = "cat /dev/stdin; cat < /proc/self/fd/0; echo more 2>/dev/null >> /proc/self/fd/0 || echo held; \
        echo again >> /dev/stdout; cat /proc/self/fd/1 > /dev/null 2>&1 || echo unread";
    let profile = scene.write(
        "standard.toml",
        "[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n[capabilities]\ndefault = \"drop\"\n",
    )?;
    let profile = profile.display().to_string();
    let run = scene
        .command("/bin/sh")
        .args(["-c", &script, "sh", &profile, inside])
        .run()?;
    run.succeeds()?;
    let output = fs::read_to_string(scene.folder().join("output"))?;
    for word in ["text\ntext\n", "held", "again"] {
        assert!(output.contains(word), "{word}: {output}");
    }
    assert_eq!(fs::read_to_string(input)?, "text\n");
    Ok(())
}

fn abstract_sockets(scene: &Scene) -> Outcome {
    let name = format!("sandbox-landlock-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    let path = scene.home().join("socket");
    let _file = UnixListener::bind(&path)?;
    let deeds = [
        format!("connect@abstract:{name}"),
        format!("connect@{}", path.display()),
    ];
    let run = |more: &str| {
        let text = format!("[filesystem]\n\"/\" = \"read-only\"\n{more}");
        scene.sandbox().profile_text(&text)?.deeds(&deeds).run()
    };
    run("")?.answers(&[(&deeds[0], "ok"), (&deeds[1], "ok")])?;
    let own = "[network]\nabstract-sockets = \"own\"\n";
    run(own)?.answers(&[(&deeds[0], "EPERM"), (&deeds[1], "ok")])?;
    // Files are one thing, sockets another.
    let nested = format!("{own}[process]\nnested = true\n");
    run(&nested)?.answers(&[(&deeds[0], "EPERM"), (&deeds[1], "ok")])?;
    let off = run(&format!("{own}[process]\nlandlock = false\n"))?;
    off.exits_with(125)?
        .complains("`process.landlock` is false")?;
    // A network of its own does without Landlock.
    let net =
        "[network]\nmode = \"none\"\nabstract-sockets = \"own\"\n[process]\nlandlock = false\n";
    run(net)?.answers(&[(&deeds[0], "ECONNREFUSED")])
}

/// Devices that are given can be used; the wall is no lower for those of the host.
fn devices(scene: &Scene) -> Outcome {
    for more in ["[devices]\ndefault = \"minimal\"\n", ""] {
        let profile =
            format!("[filesystem]\n\"/\" = \"read-only\"\n[process]\nlandlock = true\n{more}");
        let deeds = [
            ("write@/dev/null", "ok"),
            ("read@/dev/null", "``"),
            ("ioctl@/dev/null", "ENOTTY"),
            ("open@/dev/urandom", "ok"),
            ("pty", "ok"),
            ("create@/dev/new", "EROFS|EACCES"),
        ];
        let out = scene.sandbox().profile_text(&profile)?;
        let out = out.deeds(deeds.map(|(deed, _)| deed)).run()?;
        out.answers(&deeds)?;
    }
    Ok(())
}

fn write_xor_execute(scene: &Scene) -> Outcome {
    let folders = folders(scene)?;
    let (ro, rw) = (&folders.ro, &folders.rw);
    let profile = format!(
        "{}\"/tmp\" = \"tmpfs\"\n[process]\nwrite-xor-execute = true\n[capabilities]\ndefault = \"drop\"\n",
        folders.profile
    );
    let table = [
        (format!("exec@{ro}/tool"), "Some(0)"),
        (format!("map@{ro}/tool"), "ok"),
        (format!("exec@{rw}/tool"), "EACCES"),
        (format!("map@{rw}/tool"), "EPERM|EACCES"),
        (format!("write@{rw}/file"), "ok"),
    ];
    for more in ["", "[process]\nlandlock = false\n"] {
        let mut line = scene.sandbox().profile_text(&profile)?;
        if !more.is_empty() {
            line = line.profile_text(more)?;
        }
        let out = line.deeds(table.iter().map(|(deed, _)| deed)).run()?;
        out.answers(&table)?;
    }
    let copied = scene
        .sandbox()
        .profile_text(&profile)?
        .program(["sh", "-c", "cp /bin/true /tmp/x && /tmp/x"])
        .run()?;
    copied.exits_with(126)?;
    // Without mounts Landlock says the same of programs, and nothing of mappings.
    let line = scene
        .sandbox()
        .profile_text(&profile.replace("\"/tmp\" = \"tmpfs\"\n", ""))?;
    let out = without_namespaces(scene, line)?
        .args(["--best-effort"])
        .deeds(table.iter().map(|(deed, _)| deed))
        .run()?;
    out.answers(&[
        (&table[0].0, table[0].1),
        (&table[2].0, table[2].1),
        (&table[4].0, table[4].1),
    ])?;
    let all = "[filesystem]\n\"/\" = \"read-write\"\n[process]\nwrite-xor-execute = true\n";
    let out = scene.sandbox().profile_text(all)?.program(["true"]).run()?;
    out.exits_with(125)?.complains("nothing could be executed")
}

/// Without the second wall nothing but the mounts holds, and what Landlock would forbid can be done.
fn switched_off(scene: &Scene) -> Outcome {
    let plan = |more: &str| {
        let text = format!("[filesystem]\n\"/\" = \"read-only\"\n{more}");
        let line = scene.sandbox().profile_text(&text)?;
        line.args(["--dry-run"]).program(["true"]).run()
    };
    assert!(plan("")?.stdout().contains("Landlock (ABI"));
    assert!(
        !plan("[process]\nlandlock = false\n")?
            .stdout()
            .contains("Landlock (ABI")
    );
    // Nothing is claimed where nothing is refused.
    let open = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/secret\" = \"hidden\"\n")?
        .args(["--dry-run"])
        .program(["true"])
        .run()?;
    assert!(open.stdout().contains("no second wall"), "{open}");
    Ok(())
}

/// `landlock = true` is held or refused: here where an outer filter shuts it off.
fn required(scene: &Scene) -> Outcome {
    let shut = "[syscalls]\nlandlock_create_ruleset = \"ENOSYS\"\n";
    let profile = scene.write("outer.toml", shut)?;
    let run = |text: &str, options: &[&str]| {
        let line: [PathBuf; 4] = [
            binary("sandbox"),
            "--profile".into(),
            profile.clone(),
            "--".into(),
        ];
        let inner = scene.sandbox().profile_text(text)?.behind(line);
        inner.args(options).program(["echo", "ran"]).run()
    };
    let view = "[filesystem]\n\"/\" = \"read-only\"\n";
    run(view, &[])?.succeeds()?.prints("ran")?;
    let asked = format!("{view}[process]\nlandlock = true\n");
    let out = run(&asked, &[])?;
    out.exits_with(125)?
        .complains("this kernel has no Landlock")?;
    out.complains("profile-1.toml:4")?;
    let out = run(&asked, &["--best-effort"])?;
    out.succeeds()?.prints("ran")?;
    out.complains("`process.landlock` cannot be applied")
}

/// Each way in which systems refuse leads to the same.
fn kinds_of_refusal(scene: &Scene) -> Outcome {
    let folders = folders(scene)?;
    for answer in ["EPERM", "EACCES", "ENOSPC", "EUSERS", "EINVAL"] {
        let profile = scene.write("outer.toml", &outer(answer))?;
        let line: [PathBuf; 4] = [binary("sandbox"), "--profile".into(), profile, "--".into()];
        let deeds = [
            (format!("write@{}/file", folders.rw), "ok"),
            (format!("write@{}/file", folders.ro), "EACCES"),
            (format!("read@{}/file", folders.no), "EACCES"),
        ];
        let text = format!(
            "{}[syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n",
            folders.profile
        );
        let out = scene
            .sandbox()
            .profile_text(&text)?
            .behind(line)
            .deeds(deeds.iter().map(|(deed, _)| deed))
            .run()?;
        out.answers(&deeds)?;
        out.complains(answer)?;
        out.complains("held with Landlock alone")?;
    }
    Ok(())
}

/// What only mounts and namespaces can do is refused, rule by rule, and nothing is run.
fn refused_without_mounts(scene: &Scene) -> Outcome {
    scene.write("home/.ssh/id", "key")?;
    scene.write("other/file", "")?;
    let other = scene.folder().join("other").display().to_string();
    let view = "[filesystem]\n\"/\" = \"read-only\"\n";
    let table = [
        (format!("{view}\"/tmp\" = \"tmpfs\"\n"), "profile-1.toml:3"),
        (format!("{view}\"~\" = \"private\"\n"), "profile-1.toml:3"),
        (
            format!("{view}\"/etc/hosts\" = {{ text = \"x\" }}\n"),
            "profile-1.toml:3",
        ),
        (
            format!("{view}\"~/.ssh\" = {{ bind = \"{other}\", access = \"read-only\" }}\n"),
            "profile-1.toml:3",
        ),
        (
            format!("{view}\"~/.ssh\" = \"hidden\"\n"),
            "profile-1.toml:3",
        ),
        (
            format!("{view}[devices]\ndefault = \"minimal\"\n"),
            "profile-1.toml:4",
        ),
        (
            format!("{view}[namespaces]\npid = true\n"),
            "profile-1.toml:4",
        ),
        (
            format!("{view}[namespaces]\nhostname = \"box\"\n"),
            "profile-1.toml:4",
        ),
        (
            format!("{view}[network]\nmode = \"none\"\n"),
            "profile-1.toml:4",
        ),
        (
            format!("{view}[user]\nuid = \"root\"\n"),
            "profile-1.toml:4",
        ),
    ];
    for (text, place) in table {
        let text = format!("{text}[syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n");
        let inner = scene.sandbox().profile_text(&text)?;
        let out = without_namespaces(scene, inner)?
            .program(["echo", "ran"])
            .run()?;
        out.exits_with(125)?.prints("")?;
        out.complains("gives you no user namespace")?;
        out.complains(place)?;
        // The fix for this system.
        out.complains("seccomp=unconfined")?;
    }
    Ok(())
}

/// Rules that only add strictness can be dropped by name; what is left of them holds.
fn dropped_without_mounts(scene: &Scene) -> Outcome {
    let id = scene.write("home/.ssh/id", "key")?;
    let read = format!("read@{}", id.display());
    let outside = format!("signal@{}", std::process::id());
    let profile = "degrade = [\"namespaces.pid\", \"filesystem.~/.ssh\"]\n[filesystem]\n\"/\" = \"read-only\"\n\
        \"~/.ssh\" = \"hidden\"\n[namespaces]\npid = true\n[syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n";
    let inner = scene.sandbox().profile_text(profile)?;
    let out = without_namespaces(scene, inner)?
        .deeds([&read, &outside])
        .run()?;
    out.complains("`filesystem.~/.ssh` is not applied")?;
    out.complains("`namespaces.pid` is not applied")?;
    // Signals still stay inside, where the kernel can keep them there; else it is another user's business.
    let signal = if scene.host.landlock >= 6 {
        "EPERM"
    } else {
        "ok"
    };
    out.answers(&[(&read, "`key`"), (&outside, signal)])?;
    // One that is not strict stays refused, whatever is said.
    let inner = scene
        .sandbox()
        .profile_text(&format!("{profile}[user]\nuid = \"root\"\n"))?;
    let out = without_namespaces(scene, inner)?
        .args(["--best-effort"])
        .program(["echo", "ran"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    Ok(())
}

/// Hidden paths do not keep sockets away without mounts, which is said rather than passed over.
fn sockets_without_mounts(scene: &Scene) -> Outcome {
    let view = "[filesystem]\n\"/\" = \"read-only\"\n";
    let inner = scene.sandbox().profile_text(view)?;
    let out = without_namespaces(scene, inner)?
        .program(["echo", "ran"])
        .run()?;
    if scene.host.landlock >= 9 {
        out.succeeds()?.prints("ran")?;
        return Ok(());
    }
    out.exits_with(125)?
        .complains("Unix sockets can be reached by their paths")?;
    let inner = scene.sandbox().profile_text(view)?;
    let out = without_namespaces(scene, inner)?
        .args(["--best-effort"])
        .program(["echo", "ran"])
        .run()?;
    out.succeeds()?.prints("ran")
}

/// The second try has the name of the first, and is still in the background. What is to be said is said in the foreground.
fn background_without_mounts(scene: &Scene) -> Outcome {
    let folders = folders(scene)?;
    let (ro, rw) = (&folders.ro, &folders.rw);
    let name = format!("test-{}-fallback", std::process::id());
    let text = format!(
        "{}[syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n",
        folders.profile
    );
    let run = |more: &str, program: &[&str]| {
        let inner = scene.sandbox().profile_text(&format!("{text}{more}"))?;
        without_namespaces(scene, inner)?
            .args(["--background", "--name", &name])
            .program(program)
            .run()
    };
    let script = format!(
        "echo x 2>&- > {ro}/new || echo held; echo $$ > {rw}/pid; until test -e {rw}/go; do sleep 0.1; done"
    );
    let out = run("", &["sh", "-c", &script])?;
    let listed = scene.sandboxctl().args(["list"]).run()?;
    let again = run("", &["true"])?;
    fs::write(format!("{rw}/go"), "")?;
    let logs = scene.sandboxctl().args(["logs", "--follow", &name]).run()?;
    out.succeeds()?.prints(&name)?;
    out.complains("held with Landlock alone")?;
    assert!(listed.stdout().contains(&name), "{listed}");
    again.exits_with(125)?.complains("is taken by a running")?;
    logs.succeeds()?.prints("held")?;
    // What cannot be held so is told in the foreground, and so is a program that is not there; nothing of them stays.
    let refused = run("[namespaces]\npid = true\n", &["true"])?;
    refused.exits_with(125)?.prints("")?;
    refused.complains("a namespace of its own for pid")?;
    let missing = run("", &["/no/such/program"])?;
    missing.exits_with(127)?.prints("")?;
    missing.complains("held with Landlock alone")?;
    missing.complains("no such file")?;
    let none = scene.sandboxctl().args(["logs", &name]).run()?;
    none.exits_with(1)?;
    Ok(())
}

/// Who could write records of running sandboxes could have `sandboxctl` believe anything: that is refused where nothing can
/// be hidden.
fn records_without_mounts(scene: &Scene) -> Outcome {
    let run = |access: &str, option: &str| {
        let text = format!(
            "[filesystem]\n{SYSTEM}\"{}\" = \"read-only\"\n\"~\" = \"{access}\"\n\"/run\" = \"read-only\"\n\
             [syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n",
            own_path()?
        );
        let inner = scene.sandbox().profile_text(&text)?;
        let line = without_namespaces(scene, inner)?.args([option]);
        Ok::<Finished, Box<dyn std::error::Error>>(line.program(["echo", "ran"]).run()?)
    };
    run("read-only", "--verbose")?.succeeds()?.prints("ran")?;
    let out = run("read-write", "--verbose")?;
    out.exits_with(125)?.prints("")?;
    if !scene.host.is_root() {
        out.complains("records of running sandboxes")?;
    }
    Ok(())
}

/// `--dry-run` shows what will be done here, and no mount.
fn plan_without_mounts(scene: &Scene) -> Outcome {
    let text = "[filesystem]\n\"/\" = \"read-only\"\n[syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n";
    let inner = scene.sandbox().profile_text(text)?;
    let out = without_namespaces(scene, inner)?
        .args(["--dry-run"])
        .program(["true"])
        .run()?;
    out.succeeds()?;
    let plan = out.stdout();
    assert!(plan.contains("in the place of mounts"), "{plan}");
    assert!(plan.contains("set no_new_privs"), "{plan}");
    assert!(
        !plan.contains("new root") && !plan.contains("new namespaces"),
        "{plan}"
    );
    Ok(())
}

/// The same on a host that really is like that.
fn host_without_namespaces(scene: &Scene) -> Outcome {
    let folders = folders(scene)?;
    let (ro, rw, no) = (&folders.ro, &folders.rw, &folders.no);
    let text = format!(
        "{}[syscalls]\n\"socket(AF_UNIX)\" = \"deny\"\n",
        folders.profile
    );
    let deeds = [
        (format!("write@{rw}/file"), "ok"),
        (format!("write@{ro}/file"), "EACCES"),
        (format!("read@{no}/file"), "EACCES"),
    ];
    let line = scene.sandbox().profile_text(&text)?;
    let out = line.deeds(deeds.iter().map(|(deed, _)| deed)).run()?;
    out.succeeds()?.answers(&deeds)?;
    out.complains("user namespaces are switched off")?;
    for profile in ["default", "firefox"] {
        let line = scene.sandbox().args(["--profile", profile]);
        let out = line.program(["echo", "ran"]).run()?;
        out.exits_with(125)?.prints("")?;
        out.complains("user.max_user_namespaces = 15000")?;
    }
    Ok(())
}
