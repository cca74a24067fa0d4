//! Ways out that were found by trying: each held once, or would have been one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{Case, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "closed_directory_of_ones_own",
            &[Need::OrdinaryUser, Need::UserNamespaces],
            closed_directory_of_ones_own,
        ),
        case(
            "not_looked_at_is_not_passed_over",
            &[],
            not_looked_at_is_not_passed_over,
        ),
        case(
            "looking_that_fails",
            &[Need::UserNamespaces, Need::Program("strace")],
            looking_that_fails,
        ),
        case("planted_user_directories", USERNS, planted_user_directories),
        case("families_of_pairs", USERNS, families_of_pairs),
        case(
            "firewall_by_socket_options",
            USERNS,
            firewall_by_socket_options,
        ),
        case("repository_of_a_build", USERNS, repository_of_a_build),
        case(
            "home_of_somebody_else",
            &[Need::Root],
            home_of_somebody_else,
        ),
        case("home_behind_a_link", USERNS, home_behind_a_link),
        case("view_of_others", &[], view_of_others),
        case("stopping_the_caller", USERNS, stopping_the_caller),
        case(
            "view_that_root_can_undo",
            &[Need::Root],
            view_that_root_can_undo,
        ),
    ]
}

/// What its owner has closed he can open again, and so can the program.
fn closed_directory_of_ones_own(scene: &Scene) -> Outcome {
    let secret = scene.write("home/closed/secret", "s")?;
    let closed = scene.home().join("closed");
    for (mode, rule) in [
        (0o000, "\"~/closed/secret\" = \"hidden\""),
        (0o000, "\"~/closed/secret\" = \"read-only\""),
        (0o311, "\"~/closed/*\" = \"hidden\""),
    ] {
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode))?;
        let out = scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n{rule}\n"))?
            .deeds([format!("read@{}", secret.display())])
            .run();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
        let out = out?;
        out.exits_with(125)?;
        out.complains("Operation not permitted")?;
    }
    Ok(())
}

fn not_looked_at_is_not_passed_over(scene: &Scene) -> Outcome {
    std::os::unix::fs::symlink("loop", scene.home().join("loop"))?;
    for access in ["read-only", "hidden"] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n\"~/loop\" = \"{access}\"\n"))?
            .deeds(["ids"])
            .run()?;
        out.exits_with(125)?;
        out.complains("cannot be looked at")?;
    }
    Ok(())
}

/// Whatever call fails while the launcher looks at the host and makes the view: nothing is run, or all rules hold.
fn looking_that_fails(scene: &Scene) -> Outcome {
    let secret = scene.write("home/keys/one.key", "secret")?;
    scene.write("home/work/file", "x")?;
    let work = scene.home().join("work");
    let profile = "[filesystem]\n\"~/keys/*.key\" = \"hidden\"\n\"~/work\" = \"read-only\"\n[capabilities]\ndefault = \"drop\"\n";
    let calls = [
        ("openat", 30),
        ("fcntl", 8),
        ("fstat", 20),
        ("newfstatat", 20),
        ("statx", 20),
        ("fstatfs", 8),
        ("getdents64", 4),
        ("readlinkat", 8),
        ("open_tree", 8),
        ("mount_setattr", 8),
        ("move_mount", 8),
        ("openat2", 12),
        ("pivot_root", 1),
        ("umount2", 3),
    ];
    let mut ran = 0;
    for (call, times) in calls {
        for number in 1..=times {
            let inject = format!("inject={call}:error=EIO:when={number}");
            let read = format!("read@{}", secret.display());
            let create = format!("create@{}", work.join("new").display());
            let out = scene
                .sandbox()
                .profile_text(profile)?
                .behind(["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject])
                .deeds([&read, &create, &read, &create])
                .run()?;
            let text = out.stdout();
            assert!(!text.contains("secret`"), "{inject}: {out}");
            assert!(!work.join("new").exists(), "{inject}: {out}");
            ran += usize::from(text.contains("EACCES") && text.contains("EROFS"));
        }
    }
    assert!(ran > 0, "no launch came so far as to be tested");
    Ok(())
}

/// user-dirs.dirs(5) lies where many programs may write; it does not decide that the next one gets keys.
fn planted_user_directories(scene: &Scene) -> Outcome {
    scene.write(
        "home/.config/user-dirs.dirs",
        "XDG_DOWNLOAD_DIR=\"$HOME/.ssh\"\nXDG_MUSIC_DIR=\"$HOME/Music\"\n",
    )?;
    let secret = scene.write("home/.ssh/id", "secret")?;
    let music = scene.write("home/Music/song", "la")?;
    let out = scene
        .sandbox()
        .profile_text(
            "[filesystem]\n\"~\" = \"tmpfs\"\n\"${XDG_DOWNLOAD_DIR}\" = \"read-write\"\n\"${XDG_MUSIC_DIR}\" = \"read-only\"\n",
        )?
        .deeds([
            format!("read@{}", secret.display()),
            format!("read@{}", music.display()),
        ])
        .run()?;
    out.succeeds()?.answers(&[
        (format!("read@{}", secret.display()), "ENOENT"),
        (format!("read@{}", music.display()), "`la`"),
    ])
}

/// socketpair(2) makes sockets of any family as well, and loads the module for it.
fn families_of_pairs(scene: &Scene) -> Outcome {
    let pair = |family: libc::c_int| format!("call@socketpair@{family}@1@0@0");
    let families = [
        libc::AF_VSOCK,
        libc::AF_PACKET,
        libc::AF_NETLINK,
        libc::AF_TIPC,
        libc::AF_INET,
    ];
    let refused: Vec<_> = families.map(|family| (pair(family), "EAFNOSUPPORT")).into();
    let out = scene
        .sandbox()
        .args(["--profile", "base"])
        .show_probe()
        .deeds(
            refused
                .iter()
                .map(|(deed, _)| deed.clone())
                .chain([pair(libc::AF_UNIX)]),
        )
        .run()?;
    out.succeeds()?.answers(&refused)?;
    // No array for the descriptors was given.
    out.answers(&[(pair(libc::AF_UNIX), "EFAULT")])
}

/// In a user namespace of its own, which browsers are allowed, a program has CAP_NET_ADMIN.
fn firewall_by_socket_options(scene: &Scene) -> Outcome {
    let set = |level: libc::c_int, option| format!("call@setsockopt@99@{level}@{option}@0@0");
    let refused: Vec<_> = [
        (libc::SOL_IP, 64),
        (libc::SOL_IP, 65),
        (libc::SOL_IPV6, 64),
        (libc::SOL_IPV6, 65),
        (libc::SOL_IP, 96),
        (libc::SOL_IP, 128),
    ]
    .map(|(level, option)| (set(level, option), "EPERM"))
    .into();
    // IP_TTL: reaches the kernel, which knows no such descriptor.
    let usual = set(libc::SOL_IP, libc::IP_TTL);
    let out = scene
        .sandbox()
        .args(["--profile", "web-browser"])
        .show_probe()
        .deeds(
            refused
                .iter()
                .map(|(deed, _)| deed.clone())
                .chain([usual.clone()]),
        )
        .run()?;
    out.succeeds()?.answers(&refused)?;
    out.answers(&[(usual, "EBADF")])
}

/// `.git/commondir` names another directory with a configuration, which the next `git` outside obeys.
fn repository_of_a_build(scene: &Scene) -> Outcome {
    scene.write("home/work/.git/config", "[core]\n")?;
    scene.write("home/work/.git/hooks/sample", "")?;
    let work = scene.home().join("work");
    let create = |name: &str| format!("create@{}", work.join(name).display());
    let out = scene
        .sandbox()
        .args(["--profile", "build"])
        .in_folder(&work)
        .show_probe()
        .deeds([
            create(".git/commondir"),
            create(".git/hooks/post-checkout"),
            create("made"),
            format!("rename@{0}/.git@{0}/.git2", work.display()),
        ])
        .run()?;
    out.succeeds()?.answers(&[
        (create(".git/commondir"), "EROFS"),
        (create(".git/hooks/post-checkout"), "EROFS"),
        (create("made"), "ok"),
        (
            format!("rename@{0}/.git@{0}/.git2", work.display()),
            "EBUSY",
        ),
    ])
}

/// Root with another user's HOME makes nothing where that user's links lead.
fn home_of_somebody_else(scene: &Scene) -> Outcome {
    let elsewhere = scene.folder().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let private = scene.home().join(".local/share/sandbox/private");
    fs::create_dir_all(&private)?;
    std::os::unix::fs::symlink(&elsewhere, private.join("build"))?;
    let out = scene
        .sandbox()
        .args(["--profile", "build"])
        .program(["/bin/true"])
        .run()?;
    out.exits_with(125)?;
    assert_eq!(fs::read_dir(&elsewhere)?.count(), 0, "{out}");
    Ok(())
}

/// No mount follows a link; `/home` is one on some hosts, and private homes are below it.
fn home_behind_a_link(scene: &Scene) -> Outcome {
    let secret = scene.write("home/.ssh/id", "secret")?;
    let link = scene.folder().join("link");
    std::os::unix::fs::symlink("home", &link)?;
    let seen = |name: &str| format!("read@{}", link.join(name).display());
    let run = |deeds: Vec<String>| {
        scene
            .sandbox()
            .env("HOME", &link)
            .env("XDG_DATA_HOME", link.join(".local/share"))
            .profile_text("[filesystem]\n\"~\" = \"private\"\n")?
            .deeds(deeds)
            .run()
    };
    let kept = format!("create@{}", link.join("kept").display());
    run(vec![kept.clone()])?
        .succeeds()?
        .answers(&[(kept, "ok")])?;
    let out = run(vec![
        seen("kept"),
        seen(".ssh/id"),
        format!("read@{}", secret.display()),
    ])?;
    out.succeeds()?.answers(&[
        (seen("kept"), "``"),
        (seen(".ssh/id"), "ENOENT"),
        (format!("read@{}", secret.display()), "ENOENT"),
    ])?;
    assert!(!scene.home().join("kept").exists());
    Ok(())
}

/// What is mounted in a namespace that is joined would be mounted for all in it, their root changed with it. Only planned
/// here, for where it went wrong it would change this very host.
fn view_of_others(scene: &Scene) -> Outcome {
    for rules in [
        "[filesystem]\n\"/tmp\" = \"tmpfs\"\n[namespaces]\n",
        "[devices]\ndefault = \"minimal\"\n[namespaces]\n",
        "[namespaces]\npid = true\n",
    ] {
        let out = scene
            .sandbox()
            .args(["--dry-run"])
            .profile_text(&format!("{rules}mount = \"/proc/1/ns/mnt\"\n"))?
            .program(["/bin/true"])
            .run()?;
        out.exits_with(125)?;
        out.complains("nothing can be mounted in a mount namespace that is joined")?;
    }
    let out = scene
        .sandbox()
        .args(["--dry-run"])
        .profile_text("[namespaces]\nmount = \"/proc/1/ns/mnt\"\n")?
        .program(["/bin/true"])
        .run()?;
    out.succeeds().map(drop)
}

/// A program that stops itself stops the launcher's job, where there is a shell to let it go on. Nobody is there in this
/// case: the launcher, and what shares its process group, must not stop.
fn stopping_the_caller(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[process]\nterminal = \"new\"\n")?
        .program(["/bin/sh", "-c", "kill -STOP $$; echo went on"])
        .on_terminal()
        .limit(std::time::Duration::from_secs(10))
        .run()?;
    out.succeeds()?;
    assert!(out.stdout().contains("went on"), "{out}");
    Ok(())
}

/// Root's program keeps CAP_SYS_ADMIN unless somebody says otherwise: then the user is told what that means for the view.
fn view_that_root_can_undo(scene: &Scene) -> Outcome {
    let secret = scene.write("home/secret", "s")?;
    let hide = "[filesystem]\n\"~/secret\" = \"hidden\"\n";
    let said = "can undo `~/secret`, since it keeps CAP_SYS_ADMIN";
    let undo = [
        format!("umount@{}", secret.display()),
        format!("read@{}", secret.display()),
    ];
    let out = scene.sandbox().profile_text(hide)?.deeds(&undo).run()?;
    out.succeeds()?.complains(said)?;
    out.answers(&[(undo[1].as_str(), "`s`")])?;
    for more in [
        "[capabilities]\ndefault = \"drop\"\n",
        "[capabilities]\ndefault = \"keep\"\nsys_admin = \"drop\"\n",
        "[namespaces]\nuser = true\n",
        "[syscalls]\n\"@mount\" = \"deny\"\n\"@new-mount-api\" = \"deny\"\n",
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("{hide}{more}"))?
            .deeds(&undo)
            .run()?;
        out.succeeds()?;
        assert!(!out.stderr().contains(said), "{more}: {out}");
        assert_ne!(out.answer(&undo[1]), "`s`", "{more}: {out}");
    }
    Ok(())
}
