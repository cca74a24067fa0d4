//! `[filesystem]` and `[devices]`: what is seen at a path, and what can be done with it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::support::{Case, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("read_only", USERNS, read_only),
        case("read_write", USERNS, read_write),
        case("hidden", USERNS, hidden),
        case("tmpfs", USERNS, tmpfs),
        case("tmpfs_size", USERNS, tmpfs_size),
        case("private", USERNS, private),
        case(
            "private_is_the_profiles_own",
            USERNS,
            private_is_the_profiles_own,
        ),
        case("bind", USERNS, bind),
        case("text", USERNS, text),
        case("longest_path_decides", USERNS, longest_path_decides),
        case("globs", USERNS, globs),
        case("nested_mounts", &[Need::Root], nested_mounts),
        case("flags_of_every_mount", USERNS, flags_of_every_mount),
        case(
            "later_mounts_stay_outside",
            &[Need::Root],
            later_mounts_stay_outside,
        ),
        case(
            "mounts_inside_stay_inside",
            &[Need::Root],
            mounts_inside_stay_inside,
        ),
        case("own_processes_only", USERNS, own_processes_only),
        case("minimal_dev", USERNS, minimal_dev),
        case("device_by_path", USERNS, device_by_path),
        case("private_shared_memory", USERNS, private_shared_memory),
        case("hidden_root", USERNS, hidden_root),
        case("link_to_what_is_hidden", USERNS, link_to_what_is_hidden),
        case("swapped_while_launching", USERNS, swapped_while_launching),
        case("swapped_target", USERNS, swapped_target),
        case("missing_mount_point", USERNS, missing_mount_point),
        case("missing_path", USERNS, missing_path),
        case("working_directory", USERNS, working_directory),
        case("macros", USERNS, macros),
        case("root_as_read_only", USERNS, root_as_read_only),
        case("options", USERNS, options),
    ]
}

/// Ways to have the caller's power over mounts taken away; each must hold the view.
fn confinements(scene: &Scene) -> Vec<&'static str> {
    let mut ways = vec![
        "[namespaces]\nuser = true\n",
        "[user]\nuid = \"root\"\ngid = \"root\"\n",
        "[namespaces]\nuser = true\npid = true\n[devices]\ndefault = \"minimal\"\n",
    ];
    if scene.host.is_root() {
        ways.push("[capabilities]\ndefault = \"drop\"\n");
    }
    ways
}

/// A folder in the home with a file and a program in it.
fn furnish(scene: &Scene, name: &str) -> Result<String, Box<dyn std::error::Error>> {
    let file = scene.write(&format!("home/{name}/file"), "content")?;
    let folder = file.parent().ok_or("no folder")?;
    fs::copy("/bin/true", folder.join("tool"))?;
    fs::create_dir(folder.join("sub"))?;
    Ok(folder.display().to_string())
}

fn read_only(scene: &Scene) -> Outcome {
    let (ro, rw) = (furnish(scene, "ro")?, furnish(scene, "rw")?);
    for way in confinements(scene) {
        let table = [
            (format!("stat@{ro}/file"), "ok"),
            (format!("read@{ro}/file"), "`content`"),
            (format!("list@{ro}"), "[file sub tool]"),
            (format!("exec@{ro}/tool"), "Some(0)"),
            (format!("write@{ro}/file"), "EROFS"),
            (format!("create@{ro}/new"), "EROFS"),
            (format!("create@{ro}/sub/new"), "EROFS"),
            (format!("create@/..{ro}/new"), "EROFS"),
            (format!("mkdir@{ro}/new"), "EROFS"),
            (format!("rename@{ro}/file@{ro}/other"), "EROFS"),
            (format!("rename@{ro}/file@{rw}/other"), "EXDEV|EROFS"),
            (format!("rename@{ro}@{rw}/other"), "EBUSY|EXDEV"),
            (format!("link@{ro}/file@{ro}/other"), "EROFS"),
            (format!("link@{ro}/file@{rw}/other"), "EXDEV"),
            (format!("symlink@x@{ro}/other"), "EROFS"),
            (format!("chmod@{ro}/file"), "EROFS"),
            (format!("unlink@{ro}/file"), "EROFS"),
            (format!("umount@{ro}"), "EPERM"),
            (format!("remount@{ro}"), "EPERM"),
            (format!("setattr@{ro}"), "EPERM"),
            (format!("move@{ro}@{rw}/sub"), "EPERM"),
            (format!("bind@{rw}@{ro}"), "EPERM"),
            (format!("tmpfs@{ro}"), "EPERM"),
            (format!("mknod@{ro}/node"), "EROFS|EPERM"),
        ];
        let out = scene
            .sandbox()
            .profile_text(&format!(
                "[filesystem]\n\"~/ro\" = \"read-only\"\n\"~/rw\" = \"read-write\"\n{way}"
            ))?
            .deeds(table.iter().map(|(deed, _)| deed))
            .run()?;
        out.answers(&table)?;
    }
    assert_eq!(fs::read_to_string(format!("{ro}/file"))?, "content");
    Ok(())
}

fn read_write(scene: &Scene) -> Outcome {
    let rw = furnish(scene, "rw")?;
    let table = [
        (format!("write@{rw}/file"), "ok"),
        (format!("create@{rw}/new"), "ok"),
        (format!("mkdir@{rw}/folder"), "ok"),
        (format!("rename@{rw}/new@{rw}/other"), "ok"),
        (format!("link@{rw}/other@{rw}/linked"), "ok"),
        (format!("chmod@{rw}/other"), "ok"),
        (format!("unlink@{rw}/linked"), "ok"),
        (format!("umount@{rw}"), "EPERM"),
    ];
    let out = scene
        .sandbox()
        .profile_text(
            "[filesystem]\n\"/\" = \"read-only\"\n\"~/rw\" = \"read-write\"\n\
             [namespaces]\nuser = true\n",
        )?
        .deeds(table.iter().map(|(deed, _)| deed))
        .run()?;
    out.answers(&table)?;
    assert_eq!(fs::read_to_string(format!("{rw}/file"))?, "contentx");
    assert!(Path::new(&rw).join("other").exists());
    let file = fs::metadata(Path::new(&rw).join("other"))?;
    assert_eq!(file.uid(), scene.host.uid);
    Ok(())
}

fn hidden(scene: &Scene) -> Outcome {
    let secret = furnish(scene, "secret")?;
    let file = scene.write("home/secret-file", "content")?;
    let (file, home) = (
        file.display().to_string(),
        scene.home().display().to_string(),
    );
    for way in confinements(scene) {
        let table = [
            (format!("list@{secret}"), "EACCES"),
            (format!("stat@{secret}/file"), "EACCES"),
            (format!("read@{secret}/file"), "EACCES"),
            (format!("write@{secret}/file"), "EACCES"),
            (format!("create@{secret}/new"), "EACCES|EROFS"),
            (format!("exec@{secret}/tool"), "EACCES"),
            (format!("read@{file}"), "EACCES"),
            (format!("write@{file}"), "EACCES|EROFS"),
            (format!("chmod@{file}"), "EPERM|EROFS"),
            (format!("rename@{secret}@{home}/aside"), "EBUSY"),
            (format!("rename@{file}@{home}/aside"), "EBUSY"),
            (format!("unlink@{file}"), "EBUSY"),
            (format!("rmdir@{secret}"), "EBUSY"),
            (format!("link@{file}@{home}/aside"), "EXDEV|EPERM|EACCES"),
            (format!("umount@{secret}"), "EPERM"),
            (format!("umount@{file}"), "EPERM"),
            (format!("move@{secret}@{home}/.cache"), "EPERM"),
            (format!("below@{home}@secret/file"), "EPERM"),
            (format!("read@/proc/self/root{secret}/file"), "EACCES"),
            (format!("read@{home}/.cache/../secret/file"), "EACCES"),
            // A root that was left mounted over the new one would be found so.
            (format!("read@/..{secret}/file"), "EACCES"),
        ];
        let out = scene
            .sandbox()
            .profile_text(&format!(
                "[filesystem]\n\"~/secret\" = \"hidden\"\n\"~/secret-file\" = \"hidden\"\n{way}"
            ))?
            .deeds(table.iter().map(|(deed, _)| deed))
            .run()?;
        out.answers(&table)?;
    }
    // Even where root keeps everything, what is hidden is not there.
    let out = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/secret\" = \"hidden\"\n")?
        .deeds([format!("read@{secret}/file")])
        .run()?;
    out.answers(&[(format!("read@{secret}/file"), "EACCES|ENOENT")])
}

fn tmpfs(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    let run = || {
        scene
            .sandbox()
            .profile_text("[filesystem]\n\"~/folder\" = \"tmpfs\"\n")?
            .deeds([
                format!("list@{folder}"),
                format!("create@{folder}/new"),
                format!("write@{folder}/new"),
                format!("read@{folder}/new"),
            ])
            .run()
    };
    for _ in 0..2 {
        let out = run()?;
        out.answers(&[
            (format!("list@{folder}"), "[]"),
            (format!("create@{folder}/new"), "ok"),
            (format!("write@{folder}/new"), "ok"),
            (format!("read@{folder}/new"), "`x`"),
        ])?;
        assert!(!Path::new(&folder).join("new").exists());
    }
    Ok(())
}

fn tmpfs_size(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    let out = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/folder\" = { tmpfs = \"1M\" }\n")?
        .program([
            "sh",
            "-c",
            "dd if=/dev/zero of=\"$0/most\" bs=64k count=14 2>/dev/null && echo most; \
             dd if=/dev/zero of=\"$0/more\" bs=64k count=14 2>/dev/null || echo full",
            &folder,
        ])
        .run()?;
    out.succeeds()?.prints("most\nfull")
}

fn private(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    scene.install_profile("first", "[filesystem]\n\"~/folder\" = \"private\"\n")?;
    scene.install_profile("second", "[filesystem]\n\"~/folder\" = \"private\"\n")?;
    let run = |profile: &str, deeds: &[String]| {
        scene
            .sandbox()
            .args(["--profile", profile])
            .deeds(deeds)
            .run()
    };
    let (list, make) = (format!("list@{folder}"), format!("create@{folder}/kept"));
    run("first", &[list.clone(), make.clone()])?
        .answers(&[(list.clone(), "[]"), (make.clone(), "ok")])?;
    run("first", std::slice::from_ref(&list))?.answers(&[(list.clone(), "[kept]")])?;
    run("second", &[list.clone(), make])?.answers(&[(list.clone(), "[]")])?;
    assert!(!Path::new(&folder).join("kept").exists());

    let store = scene.home().join(".local/share/sandbox/private");
    let mut kept = 0;
    for entry in fs::read_dir(&store)? {
        let entry = entry?;
        let found = entry.metadata()?;
        assert_eq!(
            found.permissions().mode() & 0o777,
            0o700,
            "{}",
            entry.path().display()
        );
        assert_eq!(found.uid(), scene.host.uid);
        kept += 1;
    }
    assert_eq!(kept, 2);
    Ok(())
}

fn private_is_the_profiles_own(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    let text = "[filesystem]\n\"~/folder\" = \"private\"\n[namespaces]\nuser = true\n";
    scene.install_profile("first", text)?;
    scene.install_profile("second", text)?;
    let run = |profile: &str, deeds: &[String]| {
        scene
            .sandbox()
            .args(["--profile", profile])
            .deeds(deeds)
            .run()
    };
    run("first", &[format!("create@{folder}/kept")])?.succeeds()?;
    let store = scene.home().join(".local/share/sandbox/private");
    assert!(store.join("first").is_dir());
    let look = format!("list@{}", store.display());
    run("second", std::slice::from_ref(&look))?.answers(&[(look, "EACCES|ENOENT")])
}

fn bind(scene: &Scene) -> Outcome {
    let (source, place) = (furnish(scene, "source")?, furnish(scene, "place")?);
    fs::write(format!("{source}/file"), "from the source")?;
    for (access, written) in [("read-only", "EROFS"), ("read-write", "ok")] {
        let out = scene
            .sandbox()
            .profile_text(&format!(
                "[filesystem]\n\"~/place\" = {{ bind = \"~/source\", access = \"{access}\" }}\n"
            ))?
            .deeds([
                format!("read@{place}/file"),
                format!("create@{place}/new-{access}"),
            ])
            .run()?;
        out.answers(&[
            (format!("read@{place}/file"), "`from the source`"),
            (format!("create@{place}/new-{access}"), written),
        ])?;
    }
    assert!(Path::new(&source).join("new-read-write").exists());
    assert!(!Path::new(&source).join("new-read-only").exists());
    Ok(())
}

fn text(scene: &Scene) -> Outcome {
    let file = scene
        .write("home/motd", "of the host")?
        .display()
        .to_string();
    let out = scene
        .sandbox()
        .profile_text(
            "[filesystem]\n\"~/motd\" = { text = \"hello\\n\" }\n[namespaces]\nuser = true\n",
        )?
        .deeds([
            format!("read@{file}"),
            format!("write@{file}"),
            format!("unlink@{file}"),
        ])
        .run()?;
    out.answers(&[
        (format!("read@{file}"), "`hello\\n`"),
        (format!("write@{file}"), "EROFS|EACCES"),
        (format!("unlink@{file}"), "EBUSY"),
    ])?;
    assert_eq!(fs::read_to_string(file)?, "of the host");
    Ok(())
}

fn longest_path_decides(scene: &Scene) -> Outcome {
    let a = furnish(scene, "a")?;
    scene.write("home/a/sub/deep/file", "deep")?;
    let table = [
        (format!("create@{a}/new"), "EROFS"),
        (format!("create@{a}/sub/new"), "ok"),
        (format!("read@{a}/sub/deep/file"), "EACCES"),
    ];
    // The order in the file says nothing.
    for text in [
        "\"~/a\" = \"read-only\"\n\"~/a/sub\" = \"read-write\"\n\"~/a/sub/deep\" = \"hidden\"\n",
        "\"~/a/sub/deep\" = \"hidden\"\n\"~/a/sub\" = \"read-write\"\n\"~/a\" = \"read-only\"\n",
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[namespaces]\nuser = true\n[filesystem]\n{text}"))?
            .deeds(table.iter().map(|(deed, _)| deed))
            .run()?;
        out.answers(&table)?;
        fs::remove_file(format!("{a}/sub/new"))?;
    }
    Ok(())
}

fn globs(scene: &Scene) -> Outcome {
    let home = scene.home().display().to_string();
    for name in ["one.key", "two.key", "shown.key", "one.txt"] {
        scene.write(&format!("home/{name}"), "content")?;
    }
    let out = scene
        .sandbox()
        .profile_text(
            "[filesystem]\n\"~/*.key\" = \"hidden\"\n\"~/shown.key\" = \"read-only\"\n\
             [namespaces]\nuser = true\n",
        )?
        .deeds(["one.key", "two.key", "shown.key", "one.txt"].map(|n| format!("read@{home}/{n}")))
        .run()?;
    out.answers(&[
        (format!("read@{home}/one.key"), "EACCES"),
        (format!("read@{home}/two.key"), "EACCES"),
        (format!("read@{home}/shown.key"), "`content`"),
        (format!("read@{home}/one.txt"), "`content`"),
    ])
}

/// A tmpfs in this test's own mount namespace, gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf) -> nix::Result<Mounted> {
        mount(
            Some("tmpfs"),
            &at,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )?;
        Ok(Mounted(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn nested_mounts(scene: &Scene) -> Outcome {
    let ro = furnish(scene, "ro")?;
    let below = Mounted::new(Path::new(&ro).join("sub"))?;
    fs::write(below.0.join("file"), "below")?;
    fs::create_dir(below.0.join("deeper"))?;
    let deeper = Mounted::new(below.0.join("deeper"))?;
    fs::copy("/bin/true", below.0.join("tool"))?;
    fs::set_permissions(below.0.join("tool"), fs::Permissions::from_mode(0o4755))?;
    nix::sys::stat::mknod(
        &below.0.join("null"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_truncate(0o666),
        nix::sys::stat::makedev(1, 3),
    )?;
    // Control: outside of the sandbox the node works.
    fs::write(below.0.join("null"), "x")?;
    for (rule, way) in ["\"~/ro\"", "\"/\""]
        .iter()
        .flat_map(|rule| confinements(scene).into_iter().map(move |way| (rule, way)))
    {
        let table = [
            (format!("read@{ro}/sub/file"), "`below`"),
            (format!("write@{ro}/sub/file"), "EROFS"),
            (format!("create@{ro}/sub/deeper/new"), "EROFS"),
            (format!("open@{ro}/sub/null"), "EACCES"),
            (format!("umount@{ro}/sub/deeper"), "EPERM"),
            (format!("remount@{ro}/sub"), "EPERM"),
        ];
        let out = scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n{rule} = \"read-only\"\n{way}"))?
            .deeds(table.iter().map(|(deed, _)| deed))
            .run()?;
        out.answers(&table)?;
    }
    drop(deeper);
    Ok(())
}

fn flags_of_every_mount(scene: &Scene) -> Outcome {
    furnish(scene, "folder")?;
    for view in [
        "[filesystem]\n\"~/folder\" = \"read-only\"\n",
        "[filesystem]\n\"/\" = \"read-only\"\n\"~/folder\" = \"tmpfs\"\n",
        "[namespaces]\npid = true\nipc = true\n[devices]\ndefault = \"minimal\"\n\
         [filesystem]\n\"/\" = \"read-only\"\n\"~/folder\" = \"private\"\n\"/tmp\" = \"tmpfs\"\n",
    ] {
        let out = scene
            .sandbox()
            .profile_text(view)?
            .program(["cat", "/proc/self/mountinfo"])
            .run()?;
        out.succeeds()?;
        let text = out.stdout();
        assert!(text.lines().count() > 1, "{out}");
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let (at, options) = (fields[4], fields[5]);
            let has = |option: &str| options.split(',').any(|one| one == option);
            assert!(has("nosuid"), "{view}: {line}");
            let node = at == "/dev" || at.starts_with("/dev/");
            assert!(has("nodev") || node, "{view}: {line}");
            assert!(!line.contains(" shared:"), "{view}: {line}");
            assert!(!line.contains(" master:"), "{view}: {line}");
        }
    }
    Ok(())
}

fn later_mounts_stay_outside(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    let mut run = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/.cache\" = \"tmpfs\"\n")?
        .program([
            "sh",
            "-c",
            "echo ready; until [ -e ~/go ]; do sleep 0.02; done; cat \"$0/file\"; ls \"$0\"",
            &folder,
        ])
        .spawn()?;
    run.wait_for("ready")?;
    let mounted = Mounted::new(PathBuf::from(&folder))?;
    fs::write(mounted.0.join("file"), "mounted later")?;
    scene.write("home/go", "")?;
    let out = run.wait()?;
    drop(mounted);
    assert!(out.stdout().contains("content"), "{out}");
    assert!(!out.stdout().contains("later"), "{out}");
    Ok(())
}

fn mounts_inside_stay_inside(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    for profile in [
        "[filesystem]\n\"~/.cache\" = \"tmpfs\"\n",
        "[namespaces]\nmount = true\n",
    ] {
        let mut run = scene
            .sandbox()
            .profile_text(profile)?
            .program([
                "sh",
                "-c",
                "mount -t tmpfs tmpfs \"$0\" && ls \"$0\" | wc -l && echo ready && exec sleep 600",
                &folder,
            ])
            .spawn()?;
        run.wait_for("ready")?;
        let there = fs::read_to_string("/proc/self/mountinfo")?;
        run.signal(nix::sys::signal::Signal::SIGTERM)?;
        let out = run.wait()?;
        assert!(out.stdout().starts_with("0\n"), "{out}");
        assert!(!there.contains(&folder), "it is mounted outside too");
    }
    Ok(())
}

fn own_processes_only(scene: &Scene) -> Outcome {
    let own = std::process::id();
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .program([
            "sh",
            "-c",
            "cd /proc; ls -d [0-9]* | sort -n | head -n 1; ls -d [0-9]* | wc -l",
        ])
        .run()?;
    let lines: Vec<String> = out.stdout().lines().map(str::to_owned).collect();
    assert_eq!(lines.first().map(String::as_str), Some("1"), "{out}");
    let count: u32 = lines.get(1).ok_or("no count")?.parse()?;
    assert!(count <= 5, "{out}");
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n")?
        .deeds([format!("stat@/proc/{own}")])
        .run()?;
    // Our number is high enough not to be met by chance in a namespace of three processes.
    if own > 10 {
        out.answers(&[(format!("stat@/proc/{own}"), "ENOENT")])?;
    }
    Ok(())
}

fn minimal_dev(scene: &Scene) -> Outcome {
    for (namespaces, names) in [
        (
            "",
            "[fd full null ptmx pts random shm stderr stdin stdout tty urandom zero]",
        ),
        (
            "[namespaces]\nipc = true\n",
            "[fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero]",
        ),
    ] {
        let table = [
            ("list@/dev", names),
            ("write@/dev/null", "ok"),
            ("write@/dev/zero", "ok"),
            ("write@/dev/full", "ENOSPC"),
            ("open@/dev/urandom", "ok"),
            ("open@/dev/random", "ok"),
            ("open@/dev/tty", "ENXIO"),
            ("pty", "ok"),
            ("list@/dev/shm", "[]"),
            ("create@/dev/shm/new", "ok"),
            ("create@/dev/new", "EROFS|EACCES"),
            ("mknod@/dev/shm/node", "EPERM"),
            ("unlink@/dev/null", "EBUSY|EROFS|EACCES"),
            ("read@/dev/stdin", "``"),
        ];
        for view in ["", "[filesystem]\n\"/\" = \"read-only\"\n"] {
            let out = scene
                .sandbox()
                .profile_text(&format!(
                    "[devices]\ndefault = \"minimal\"\n[capabilities]\ndefault = \"drop\"\n\
                     {namespaces}{view}"
                ))?
                .deeds(table.iter().map(|(deed, _)| deed))
                .run()?;
            out.answers(&table)?;
        }
    }
    Ok(())
}

fn device_by_path(scene: &Scene) -> Outcome {
    for (rule, answer) in [("true", "ok"), ("false", "EACCES|ENXIO|ENOENT")] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[devices]\n\"/dev/null\" = {rule}\n"))?
            .deeds(["write@/dev/null"])
            .run()?;
        out.answers(&[("write@/dev/null", answer)])?;
    }
    let out = scene
        .sandbox()
        .profile_text("[devices]\n\"/etc/passwd\" = true\n")?
        .program(["true"])
        .run()?;
    out.exits_with(2)?.complains("profile-1.toml:2:1")
}

fn private_shared_memory(scene: &Scene) -> Outcome {
    let name = format!("sandbox-case-{}", std::process::id());
    let (memory, temporary) = (format!("/dev/shm/{name}"), format!("/tmp/{name}"));
    fs::write(&memory, "of the host")?;
    fs::write(&temporary, "of the host")?;
    let run = |profile: &str| {
        scene
            .sandbox()
            .profile_text(profile)?
            .deeds([format!("read@{memory}"), format!("read@{temporary}")])
            .run()
    };
    let closed = run("[devices]\ndefault = \"minimal\"\n[filesystem]\n\"/tmp\" = \"tmpfs\"\n");
    let open = run("[process]\numask = \"077\"\n");
    fs::remove_file(&memory)?;
    fs::remove_file(&temporary)?;
    closed?.answers(&[
        (format!("read@{memory}"), "ENOENT"),
        (format!("read@{temporary}"), "ENOENT"),
    ])?;
    open?.answers(&[
        (format!("read@{memory}"), "`of the host`"),
        (format!("read@{temporary}"), "`of the host`"),
    ])
}

/// Rules for what dynamically linked programs need.
const LIBRARIES: &str = "\"/usr\" = \"read-only\"\n\"/bin\" = \"read-only\"\n\
                         \"/lib\" = \"read-only\"\n\"/lib64\" = \"read-only\"\n";

fn hidden_root(scene: &Scene) -> Outcome {
    let probe = std::env::current_exe()?;
    let mut expected: Vec<String> = ["bin", "lib", "lib64", "proc", "some", "usr"]
        .map(str::to_owned)
        .into();
    let first = probe.components().nth(1).ok_or("no path")?;
    expected.push(first.as_os_str().to_string_lossy().into_owned());
    expected.sort();
    expected.dedup();
    let names = format!("[{}]", expected.join(" "));
    let home = scene.home().display().to_string();
    let table = [
        ("list@/".to_owned(), names.as_str()),
        ("list@/..".to_owned(), names.as_str()),
        ("read@/etc/passwd".to_owned(), "ENOENT"),
        ("read@/../etc/passwd".to_owned(), "ENOENT"),
        (format!("stat@{home}"), "ENOENT"),
        ("stat@/bin/sh".to_owned(), "ok"),
        ("list@/some".to_owned(), "[empty place]"),
        ("create@/some/place/new".to_owned(), "ok"),
        ("create@/some/new".to_owned(), "EROFS|EACCES"),
        ("create@/new".to_owned(), "EROFS|EACCES"),
        ("create@/usr/new".to_owned(), "EROFS|EACCES"),
        ("read@/some/empty".to_owned(), "``"),
        ("umount@/usr".to_owned(), "EPERM"),
        ("call@pivot_root@s:/@s:/".to_owned(), "EPERM"),
        ("call@chroot@s:/some".to_owned(), "EPERM"),
    ];
    let out = scene
        .sandbox()
        .profile_text(&format!(
            "[filesystem]\n\"/\" = \"hidden\"\n{LIBRARIES}\"/some/place\" = \"tmpfs\"\n\
             \"/some/empty\" = {{ text = \"\" }}\n[namespaces]\nuser = true\npid = true\n"
        ))?
        .show_probe()
        .deeds(table.iter().map(|(deed, _)| deed))
        .run()?;
    out.answers(&table)
}

fn link_to_what_is_hidden(scene: &Scene) -> Outcome {
    furnish(scene, "secret")?;
    let link = scene.home().join("shown");
    symlink("secret", &link)?;
    let shown = link.display().to_string();
    let run = |rules: &str| {
        scene
            .sandbox()
            .profile_text(&format!(
                "[filesystem]\n\"~/shown\" = \"read-write\"\n{rules}"
            ))?
            .deeds([format!("read@{shown}/file")])
            .run()
    };
    // Control: where nothing is hidden the link is followed.
    run("")?.answers(&[(format!("read@{shown}/file"), "`content`")])?;
    // The stricter of two rules that meet holds, and the link cannot be made to lead elsewhere.
    let out = run("\"~/secret\" = \"hidden\"\n")?;
    out.answers(&[(format!("read@{shown}/file"), "EACCES|ENOENT")])?;
    // A rule that leads to the inside of what is hidden would open it.
    fs::remove_file(&link)?;
    fs::create_dir(scene.home().join("way"))?;
    symlink("../secret", scene.home().join("way/in"))?;
    let out = scene
        .sandbox()
        .profile_text(
            "[filesystem]\n\"~/way/in/sub\" = \"read-write\"\n\"~/secret\" = \"hidden\"\n",
        )?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("symbolic link")
}

/// Swaps `home/a` and `home/b` until it is dropped.
struct Swapping(Arc<AtomicBool>, Option<std::thread::JoinHandle<u64>>);

impl Swapping {
    fn start(scene: &Scene) -> Swapping {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, home) = (Arc::clone(&stop), scene.home());
        let thread = std::thread::spawn(move || {
            let (a, b) = (home.join("a"), home.join("b"));
            let mut count = 0;
            while !seen.load(Ordering::Relaxed) {
                let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
                let here = nix::fcntl::AT_FDCWD;
                if nix::fcntl::renameat2(here, &a, here, &b, flags).is_ok() {
                    count += 1;
                }
                if count % 16 == 0 {
                    std::thread::sleep(std::time::Duration::from_micros(300));
                }
            }
            count
        });
        Swapping(stop, Some(thread))
    }

    fn stop(mut self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        let thread = self.1.take().map(std::thread::JoinHandle::join);
        thread.and_then(Result::ok).unwrap_or(0)
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn swapped_while_launching(scene: &Scene) -> Outcome {
    scene.write("home/secret/token", "top secret")?;
    scene.write("home/a/token", "harmless")?;
    symlink("secret", scene.home().join("b"))?;
    let token = scene.home().join("a/token").display().to_string();
    let tries = if scene.host.is_virtual() { 30 } else { 200 };
    let swapping = Swapping::start(scene);
    let (mut harmless, mut closed) = (0, 0);
    for _ in 0..tries {
        let out = scene
            .sandbox()
            .profile_text(
                "[namespaces]\nuser = true\n[filesystem]\n\"/\" = \"read-only\"\n\
                 \"~/a\" = \"read-only\"\n\"~/secret\" = \"hidden\"\n",
            )?
            .deeds([format!("read@{token}"), format!("read@{token}")])
            .run()?;
        assert!(!out.stdout().contains("top"), "{out}");
        match out.code() {
            0 if out.stdout().contains("harmless") => harmless += 1,
            0 | 125 => closed += 1,
            _ => return Err(out.to_string().into()),
        }
    }
    let swaps = swapping.stop();
    assert!(swaps > tries, "only {swaps} swaps");
    // Whether a swap falls into the moment between the look and the mount is a matter of luck; that the swaps went on
    // is not, and neither is what was seen.
    assert!(harmless > 0, "harmless {harmless}, closed {closed}");
    Ok(())
}

/// A folder on the way to a mount point is swapped with a link: nothing may be made on the
/// host where the link leads, and what was asked for is there or nothing is run.
fn swapped_target(scene: &Scene) -> Outcome {
    scene.write("home/outside/file", "of the host")?;
    scene.write("home/a/place/file", "covered")?;
    symlink("outside", scene.home().join("b"))?;
    let tries = if scene.host.is_virtual() { 20 } else { 100 };
    let swapping = Swapping::start(scene);
    let (mut ran, mut refused) = (0, 0);
    for _ in 0..tries {
        let out = scene
            .sandbox()
            .profile_text(
                "[filesystem]\n\"~/a/place\" = { bind = \"/usr\", access = \"read-only\" }\n",
            )?
            .program(["grep", "-c", "home/[ab]/place ro", "/proc/self/mountinfo"])
            .run()?;
        match out.code() {
            0 => ran += 1,
            125 => refused += 1,
            _ => return Err(out.to_string().into()),
        }
    }
    swapping.stop();
    assert!(ran > 0 && refused > 0, "ran {ran}, refused {refused}");
    let left: Vec<_> = fs::read_dir(scene.home().join("outside"))?.collect();
    assert!(
        left.len() <= 1,
        "something was made through the link: {left:?}"
    );
    Ok(())
}

fn missing_mount_point(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/nowhere\" = \"tmpfs\"\n")?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(125)?.prints("")?;
    out.complains("nowhere")?;
    out.complains("profile-1.toml:2:")?;
    assert!(
        !scene.home().join("nowhere").exists(),
        "it was made on the host"
    );
    Ok(())
}

fn missing_path(scene: &Scene) -> Outcome {
    let run = |access: &str| {
        scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n\"~/nowhere\" = \"{access}\"\n"))?
            .program(["echo", "was run"])
            .run()
    };
    for access in ["read-only", "hidden", "read-write"] {
        run(access)?.succeeds()?.prints("was run")?;
    }
    assert!(!scene.home().join("nowhere").exists());
    let out = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/nowhere\" = \"hidden\"\n")?
        .args(["--dry-run"])
        .program(["true"])
        .run()?;
    assert!(
        out.stdout().contains("nowhere"),
        "the plan says nothing of it\n{out}"
    );
    Ok(())
}

fn working_directory(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    let home = scene.home().display().to_string();
    let run = |rules: &str, here: &str| {
        scene
            .sandbox()
            .profile_text(rules)?
            .in_folder(here)
            .program(["/bin/sh", "-c", "/bin/pwd"])
            .run()
    };
    run("[filesystem]\n\"/\" = \"read-only\"\n", &folder)?
        .succeeds()?
        .prints(&folder)?;
    let out = run(
        "[filesystem]\n\"~/folder\" = \"hidden\"\n[namespaces]\nuser = true\n",
        &folder,
    )?;
    out.succeeds()?.prints(&home)?;
    let out = run(
        &format!("[filesystem]\n\"/\" = \"hidden\"\n{LIBRARIES}"),
        &folder,
    )?;
    out.succeeds()?.prints("/")?;
    let out = run("[process]\nworking-directory = \"/usr\"\n", &folder)?;
    out.succeeds()?.prints("/usr")?;
    let out = run("[process]\nworking-directory = \"~/folder\"\n", "/")?;
    out.succeeds()?.prints(&folder)?;
    let out = run("[process]\nworking-directory = \"/no/such\"\n", &folder)?;
    out.exits_with(125)?;
    out.complains("/no/such")?;
    out.complains("profile-")
}

fn macros(scene: &Scene) -> Outcome {
    let home = scene.home().display().to_string();
    scene.write("home/.config/app/file", "content")?;
    let out = scene
        .sandbox()
        .profile_text(
            "[namespaces]\nuser = true\n[filesystem]\n\"${XDG_CONFIG_HOME}/app\" = \"hidden\"\n\
             \"${XDG_VIDEOS_DIR}\" = \"read-only\"\n\"${XAUTHORITY}\" = \"read-only\"\n",
        )?
        .deeds([format!("read@{home}/.config/app/file")])
        .run()?;
    out.answers(&[(format!("read@{home}/.config/app/file"), "EACCES")])?;
    for wrong in ["${NO_SUCH_THING}/x", "relative", "~root/x"] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n\"{wrong}\" = \"read-only\"\n"))?
            .program(["true"])
            .run()?;
        assert!(matches!(out.code(), 2 | 125), "{wrong}: {out}");
        out.complains("profile-")?;
    }
    Ok(())
}

fn root_as_read_only(scene: &Scene) -> Outcome {
    let home = scene.home().display().to_string();
    let file = scene.write("home/file", "content")?.display().to_string();
    for way in confinements(scene) {
        let out = scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n\"/\" = \"read-only\"\n{way}"))?
            .deeds([
                format!("write@{file}"),
                format!("create@{home}/new"),
                "create@/tmp/sandbox-case-new".to_owned(),
                "create@/var/tmp/sandbox-case-new".to_owned(),
                "umount@/".to_owned(),
                "remount@/".to_owned(),
                "setattr@/".to_owned(),
            ])
            .run()?;
        out.answers(&[
            (format!("write@{file}").as_str(), "EROFS"),
            (format!("create@{home}/new").as_str(), "EROFS"),
            ("create@/tmp/sandbox-case-new", "EROFS"),
            ("create@/var/tmp/sandbox-case-new", "EROFS"),
            ("umount@/", "EPERM"),
            ("remount@/", "EPERM"),
            ("setattr@/", "EPERM"),
        ])?;
    }
    Ok(())
}

fn options(scene: &Scene) -> Outcome {
    let folder = furnish(scene, "folder")?;
    let secret = furnish(scene, "secret")?;
    let out = scene
        .sandbox()
        .args([
            "--no-profile",
            "--ro",
            "/",
            "--rw",
            &folder,
            "--hide",
            &secret,
            "--tmpfs",
            "/tmp",
        ])
        .args(["--set", "namespaces.user=true"])
        .deeds([
            format!("create@{folder}/new"),
            format!("read@{secret}/file"),
            "list@/tmp".to_owned(),
            format!("create@{}/new", scene.home().display()),
        ])
        .run()?;
    out.answers(&[
        (format!("create@{folder}/new"), "ok"),
        (format!("read@{secret}/file"), "EACCES"),
        ("list@/tmp".to_owned(), "[]"),
        (format!("create@{}/new", scene.home().display()), "EROFS"),
    ])
}
