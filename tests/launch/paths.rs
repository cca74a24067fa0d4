//! Every path by descriptor: what somebody outside, or the host's own oddities, can do to the paths that rules name. All
//! of it with the kernel's resolver (openat2) and with the walk that stands in for it.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, binary, case, own_path};

const USERNS: &[Need] = &[Need::UserNamespaces];
/// Launches against the attacker, for each way of resolving paths.
const LAUNCHES: usize = 200;
const NO_CAPABILITIES: &str = "[capabilities]\ndefault = \"drop\"\n";
/// What a launch may take where a file system does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn cases() -> Vec<Case> {
    vec![
        case("exchanged_directories", USERNS, |scene| {
            exchanged_directories(scene, true)
        }),
        case("exchanged_directories_walked", USERNS, |scene| {
            exchanged_directories(scene, false)
        }),
        case("magic_links", USERNS, magic_links),
        case("upwards", USERNS, upwards),
        case("hard_links", USERNS, hard_links),
        case("links_of_the_system", USERNS, links_of_the_system),
        case(
            "parents_of_somebody_else",
            &[Need::Root, Need::UserNamespaces, Need::Program("setpriv")],
            parents_of_somebody_else,
        ),
        case("silent_fuse", &[Need::Root], silent_fuse),
        case("silent_automount", &[Need::Root], silent_automount),
    ]
}

/// The launcher, with openat2 or in an outer sandbox that says there is none.
fn launcher(scene: &Scene, openat2: bool) -> std::io::Result<Sandbox<'_>> {
    if openat2 {
        return Ok(scene.sandbox());
    }
    let outer = "[syscalls]\nopenat2 = \"ENOSYS\"\n";
    let profile = scene.write("outer.toml", outer)?;
    let line: [PathBuf; 4] = [binary("sandbox"), "--profile".into(), profile, "--".into()];
    Ok(scene.sandbox().behind(line))
}

/// What every program needs, and the probe.
fn system() -> String {
    format!(
        "[filesystem]\n\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n\"/bin\" = \"read-only\"\n\"/lib\" = \"read-only\"\n\
         \"/lib64\" = \"read-only\"\n\"/etc\" = \"read-only\"\n\"{}\" = \"read-only\"\n",
        own_path().display()
    )
}

fn c_path(path: &Path) -> Result<CString, std::ffi::NulError> {
    CString::new(path.as_os_str().as_bytes())
}

/// Exchanges two names as fast as it can, until it is dropped.
struct Attacker {
    done: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<u64>>,
}

impl Attacker {
    fn start(one: &Path, other: &Path) -> Result<Self, std::ffi::NulError> {
        let (one, other) = (c_path(one)?, c_path(other)?);
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let mut times = 0;
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: both paths live through the call.
                let returned = unsafe {
                    libc::syscall(
                        libc::SYS_renameat2,
                        libc::AT_FDCWD,
                        one.as_ptr(),
                        libc::AT_FDCWD,
                        other.as_ptr(),
                        libc::RENAME_EXCHANGE,
                    )
                };
                times += u64::from(returned == 0);
                // Launches are to find either for a while: two cores are shared by both sides.
                if times % 64 == 0 {
                    thread::sleep(Duration::from_micros(300));
                }
            }
            times
        });
        Ok(Self {
            done,
            thread: Some(thread),
        })
    }

    fn stop(mut self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// Somebody outside exchanges a directory on the way for a link to what is hidden, again and again: no launch shows what the
/// link leads to, or has anything made there.
fn exchanged_directories(scene: &Scene, openat2: bool) -> Outcome {
    scene.write("home/work/mid/dir/file", "harmless")?;
    scene.write("home/secret/dir/file", "secret")?;
    let (work, secret) = (scene.home().join("work"), scene.home().join("secret"));
    symlink(&secret, work.join("link"))?;
    let dir = work.join("mid/dir").display().to_string();
    let mid = work.join("mid").display().to_string();
    // Rules, where the file is inside then, and what has to be mounted for it.
    let rules = [
        (format!("\"{dir}\" = \"read-only\"\n"), dir.clone()),
        (format!("\"{mid}\" = \"read-write\"\n"), dir.clone()),
        (
            format!("\"/shown\" = {{ bind = \"{dir}\", access = \"read-write\" }}\n"),
            "/shown".to_owned(),
        ),
        (format!("\"{dir}\" = \"copy\"\n"), dir.clone()),
        (
            format!(
                "\"{mid}/made\" = {{ access = \"read-write\", create = \"dir\" }}\n\"{dir}\" = \"read-only\"\n"
            ),
            dir.clone(),
        ),
        (
            format!("\"{dir}/file\" = \"read-only\"\n[execute]\ndefault = \"allow\"\n"),
            dir.clone(),
        ),
    ];
    let attacker = Attacker::start(&work.join("mid"), &work.join("link"))?;
    let (mut shown, mut refused) = (0, 0);
    for number in 0..LAUNCHES {
        let (rule, at) = &rules[number % rules.len()];
        let read = format!("read@{at}/file");
        let out = launcher(scene, openat2)?
            .profile_text(&format!("{}{rule}", system()))?
            .args(["--best-effort"])
            .deeds([&read, &format!("create@{at}/new")])
            .run()?;
        assert!(!out.stdout().contains("secret`"), "{rule}: {out}");
        match out.answer(&read).as_str() {
            "`harmless`" => shown += 1,
            _ => refused += 1,
        }
        // What the program may do where it is read-write is to be done in the harmless directory.
        let names: Vec<_> = fs::read_dir(&secret)?.flatten().collect();
        assert_eq!(names.len(), 1, "{rule}: {names:?}\n{out}");
        assert!(!secret.join("dir/new").exists(), "{rule}: {out}");
    }
    let times = attacker.stop();
    assert!(
        times > 1000,
        "the attacker exchanged them {times} times only"
    );
    assert!(
        shown > 0 && refused > 0,
        "shown {shown}, refused {refused}: both were to be met"
    );
    Ok(())
}

/// Links that lead where their text does not say: to a descriptor, to another process's root.
fn magic_links(scene: &Scene) -> Outcome {
    let secret = scene.write("home/secret/file", "secret")?;
    scene.write("home/shown/file", "harmless")?;
    let folder = secret.parent().ok_or("no folder")?;
    let pid = std::process::id();
    let open = fs::File::open(folder)?;
    let fd = open.as_raw_fd();
    let through = format!("/proc/{pid}/root{}", folder.display());
    for openat2 in [true, false] {
        for path in [
            format!("/proc/{pid}/fd/{fd}"),
            format!("/proc/{pid}/cwd"),
            through.clone(),
            "/proc/self/fd/0".to_owned(),
            format!("/proc/self/root{}", folder.display()),
            format!("/proc/{pid}/task/{pid}/root{}", folder.display()),
            format!("/dev/fd/{fd}"),
        ] {
            for rule in [
                format!("\"{path}\" = \"read-only\"\n"),
                format!("\"{path}\" = \"read-write\"\n"),
                format!("\"/shown\" = {{ bind = \"{path}\", access = \"read-only\" }}\n"),
                format!("\"{path}\" = \"copy\"\n"),
            ] {
                let reads = [
                    format!("read@{path}/file"),
                    "read@/shown/file".to_owned(),
                    format!("read@{}", secret.display()),
                ];
                let text = format!("{}\"{}\" = \"hidden\"\n{rule}", system(), folder.display());
                let out = launcher(scene, openat2)?
                    .profile_text(&text)?
                    .deeds(&reads)
                    .run()?;
                assert!(!out.stdout().contains("secret`"), "{rule}: {out}");
                out.exits_with(125)?.complains("one process")?;
            }
        }
        // Nor is anything hidden by such a name, which would be another's at the next start.
        for path in [&through, &format!("/proc/{pid}/fd/{fd}")] {
            let read = format!("read@{}", secret.display());
            let out = launcher(scene, openat2)?
                .profile_text(&format!("[filesystem]\n\"{path}\" = \"hidden\"\n"))?
                .deeds([&read])
                .run()?;
            out.exits_with(125)?.complains("is about one process")?;
        }
    }
    Ok(())
}

/// `..` is no part of a rule; in a link it leads where it leads on the host.
fn upwards(scene: &Scene) -> Outcome {
    let secret = scene.write("home/secret/file", "secret")?;
    scene.write("home/a/b/file", "harmless")?;
    symlink("../../secret", scene.home().join("a/b/up"))?;
    let read = format!("read@{}", secret.display());
    for path in ["~/a/../secret", "~/a/b/..", "~/.."] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[filesystem]\n\"{path}\" = \"read-only\"\n"))?
            .deeds([&read])
            .run()?;
        assert_ne!(out.code(), 0, "{out}");
        out.complains("contains `..`")?;
        out.complains("profile-1.toml:2:1")?;
    }
    for openat2 in [true, false] {
        let hidden = launcher(scene, openat2)?
            .profile_text(&format!(
                "[filesystem]\n\"~/a/b/up\" = \"hidden\"\n{NO_CAPABILITIES}"
            ))?
            .deeds([&read])
            .run()?;
        hidden.answers(&[(&read, "EACCES")])?;
        // A program could have made the link: it opens nothing that another rule keeps away.
        let text = format!("{}\"~/a/b/up\" = \"read-only\"\n", system());
        let opened = launcher(scene, openat2)?
            .profile_text(&text)?
            .deeds([&read])
            .run()?;
        opened.exits_with(125)?.complains("symbolic link")?;
    }
    Ok(())
}

/// A second name of a hidden file is another path. It stays seen where that is shown, and whoever checks is told.
fn hard_links(scene: &Scene) -> Outcome {
    let secret = scene.write("home/secret/key", "secret")?;
    let other = scene.home().join("other");
    fs::hard_link(&secret, &other)?;
    let single = scene.write("home/secret/single", "secret")?;
    let reads = [&secret, &other, &single].map(|path| format!("read@{}", path.display()));
    let said = "has 2 names on this host";
    let rules = |keys: &[&str]| {
        let lines = keys.iter().map(|key| format!("\"{key}\" = \"hidden\"\n"));
        format!(
            "[filesystem]\n{}{NO_CAPABILITIES}",
            lines.collect::<String>()
        )
    };
    let out = scene
        .sandbox()
        .profile_text(&rules(&["~/secret/key", "~/secret/single"]))?
        .deeds(&reads)
        .run()?;
    out.succeeds()?.answers(&[
        (&reads[0], "EACCES"),
        (&reads[1], "`secret`"),
        (&reads[2], "EACCES"),
    ])?;
    let check = |text: &str| {
        let profile = scene.write("check.toml", text)?;
        let line = scene.sandboxctl().args(["check".into(), profile]);
        line.run()
    };
    let told = |text: &str| {
        Ok::<_, std::io::Error>({
            let out = check(text)?;
            format!("{}{}", out.stdout(), out.stderr())
        })
    };
    let text = told(&rules(&["~/secret/key", "~/secret/single"]))?;
    assert!(text.contains(said) && text.contains("secret/key"), "{text}");
    assert!(!text.contains("`~/secret/single`"), "{text}");
    let denied = rules(&["~/secret/*"]).replace("hidden", "denied");
    let text = told(&denied)?;
    assert!(text.contains(said), "{text}");
    // The directory is another matter: what is in it is not counted. Nor is anything to be said when both are kept away.
    assert!(!told(&rules(&["~/secret"]))?.contains(said));
    let text = told(&rules(&["~/secret/key", "~/other"]))?;
    assert!(!text.contains(said), "{text}");
    Ok(())
}

/// `/var/run` is `/run`, by whichever name a rule says it.
fn links_of_the_system(scene: &Scene) -> Outcome {
    fs::create_dir_all(scene.folder().join("sys/run/thing"))?;
    let file = scene.write("sys/run/thing/file", "seen")?;
    let var = scene.folder().join("sys/var");
    fs::create_dir(&var)?;
    symlink("../run", var.join("run"))?;
    let by_link = var.join("run/thing/file");
    let reads = [&file, &by_link].map(|path| format!("read@{}", path.display()));
    for openat2 in [true, false] {
        for (rule, answer) in [
            (
                format!(
                    "\"/\" = \"read-only\"\n\"{}\" = \"hidden\"\n",
                    var.join("run/thing").display()
                ),
                "EACCES",
            ),
            (
                format!(
                    "\"/\" = \"read-only\"\n\"{}\" = \"tmpfs\"\n",
                    var.join("run/thing").display()
                ),
                "ENOENT",
            ),
        ] {
            let out = launcher(scene, openat2)?
                .profile_text(&format!("[filesystem]\n{rule}{NO_CAPABILITIES}"))?
                .deeds(&reads)
                .run()?;
            out.answers(&[(&reads[0], answer), (&reads[1], answer)])?;
        }
        if fs::read_link("/var/run").is_ok_and(|to| to == Path::new("/run")) {
            let lists = ["list@/run", "list@/var/run"];
            let out = launcher(scene, openat2)?
                .profile_text(&format!(
                    "[filesystem]\n\"/\" = \"read-only\"\n\"/var/run\" = \"hidden\"\n{NO_CAPABILITIES}"
                ))?
                .deeds(lists)
                .run()?;
            out.answers(&lists.map(|deed| (deed, "EACCES")))?;
            // Shown by the link's name, it is found by both.
            let text = format!("{}\"/var/run/lock\" = \"read-only\"\n", system());
            if Path::new("/run/lock").is_dir() {
                let stats = ["stat@/run/lock/.", "stat@/var/run/lock/."];
                let out = launcher(scene, openat2)?
                    .profile_text(&text)?
                    .deeds(stats)
                    .run()?;
                out.answers(&stats.map(|deed| (deed, "ok")))?;
            }
        }
    }
    Ok(())
}

/// A home below a directory that the caller may pass and not read, as hosts with many users have it.
fn parents_of_somebody_else(scene: &Scene) -> Outcome {
    const NOBODY: u32 = 65534;
    let closed = scene.folder().join("closed");
    let home = closed.join("home");
    for name in [
        "work/sub",
        ".ssh",
        ".config",
        ".local/share",
        ".local/state",
        "run",
    ] {
        fs::create_dir_all(home.join(name))?;
    }
    fs::write(home.join("work/file"), "mine")?;
    fs::write(home.join("work/a.key"), "secret")?;
    fs::write(home.join(".ssh/id"), "secret")?;
    fs::create_dir(closed.join("neighbour"))?;
    fs::write(closed.join("neighbour/file"), "other")?;
    for path in walk(&home)? {
        chown(&path, Some(NOBODY), Some(NOBODY))?;
    }
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o711))?;
    let at = |name: &str| home.join(name).display().to_string();
    let profile = format!(
        "{}\"~/work\" = \"read-write\"\n\"~/work/*.key\" = \"hidden\"\n\"{}\" = \"read-only\"\n",
        system(),
        closed.join("neighbour").display()
    );
    let deeds = [
        (format!("read@{}", at("work/file")), "`mine`"),
        (format!("create@{}", at("work/new")), "ok"),
        (format!("read@{}", at("work/a.key")), "EACCES"),
        (format!("read@{}", at(".ssh/id")), "ENOENT"),
        (
            format!("read@{}", closed.join("neighbour/file").display()),
            "`other`",
        ),
    ];
    let caller = NOBODY.to_string();
    let become_nobody = [
        "setpriv",
        "--reuid",
        &caller,
        "--regid",
        &caller,
        "--clear-groups",
    ];
    for openat2 in [true, false] {
        let mut line = launcher(scene, openat2)?
            .profile_text(&profile)?
            .env("HOME", &home)
            .behind(become_nobody);
        for (name, below) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_CACHE_HOME", ".cache"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            line = line.env(name, home.join(below));
        }
        let out = line
            .in_folder("/")
            .deeds(deeds.iter().map(|(deed, _)| deed))
            .run()?;
        out.succeeds()?.answers(&deeds)?;
        fs::remove_file(home.join("work/new"))?;
    }
    Ok(())
}

/// A directory and all below it.
fn walk(top: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut out = vec![top.to_owned()];
    let mut at = 0;
    while let Some(path) = out.get(at).cloned() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                out.push(entry?.path());
            }
        }
        at += 1;
    }
    Ok(out)
}

/// Something that was mounted for a case, and what keeps it from failing at once.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// A file system whose server never answers: it is mounted, and the first question waits for ever. Rules beside it are
/// carried out in time; a pattern is not searched there; what a rule says about a path in it is refused in time.
fn silent_fuse(scene: &Scene) -> Outcome {
    let remote = scene.home().join("remote");
    fs::create_dir(&remote)?;
    let server = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        server.as_raw_fd()
    );
    mount(
        Some("silent"),
        &remote,
        Some("fuse.silent"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )?;
    let mounted = Mounted(remote.clone());
    let outcome = beside_and_below(scene, &remote);
    let pattern = format!("\"{}/*.key\" = \"hidden\"\n", remote.display());
    let refused = outcome.and_then(|()| {
        let out = in_time(scene, &pattern, &[], "stat@/")?;
        out.exits_with(125)?.complains("remote")
    });
    drop(mounted);
    drop(server);
    refused
}

/// The same with a directory whose content is mounted when somebody asks for it, by a daemon that never does.
fn silent_automount(scene: &Scene) -> Outcome {
    let remote = scene.home().join("remote");
    fs::create_dir(&remote)?;
    let (_daemon, pipe) = nix::unistd::pipe()?;
    let options = format!(
        "fd={},pgrp={},minproto=5,maxproto=5,indirect",
        pipe.as_raw_fd(),
        nix::unistd::getpgrp()
    );
    mount(
        Some("silent"),
        &remote,
        Some("autofs"),
        MsFlags::empty(),
        Some(options.as_str()),
    )?;
    let mounted = Mounted(remote.clone());
    let outcome = beside_and_below(scene, &remote);
    drop(mounted);
    outcome
}

/// Runs a deed under rules, and fails when that takes long.
fn in_time(
    scene: &Scene,
    rules: &str,
    options: &[&str],
    deed: &str,
) -> Result<Finished, Box<dyn std::error::Error>> {
    let since = Instant::now();
    let out = scene
        .sandbox()
        .profile_text(&format!(
            "[filesystem]\n{rules}[capabilities]\ndefault = \"drop\"\n"
        ))?
        .args(options.to_vec())
        .limit(PATIENCE * 2)
        .deeds([deed])
        .run()?;
    let took = since.elapsed();
    assert!(took < PATIENCE, "{rules}: {took:?}\n{out}");
    Ok(out)
}

fn beside_and_below(scene: &Scene, remote: &Path) -> Outcome {
    let key = scene.write("home/keys/one.key", "secret")?;
    let read = format!("read@{}", key.display());
    let below = remote.join("dir/file").display().to_string();
    let run = |rules: &str, options: &[&str]| in_time(scene, rules, options, &read);
    for rules in [
        "\"/\" = \"read-only\"\n\"~/keys\" = \"hidden\"\n".to_owned(),
        "\"/\" = \"read-only\"\n\"~/**/*.key\" = \"hidden\"\n".to_owned(),
        "\"~/*/*.key\" = \"hidden\"\n".to_owned(),
        format!(
            "\"~/keys\" = \"hidden\"\n\"{}\" = \"hidden\"\n",
            remote.display()
        ),
    ] {
        run(&rules, &[])?
            .succeeds()?
            .answers(&[(&read, "EACCES")])?;
    }
    let planned = run("\"~/**/*.key\" = \"hidden\"\n", &["--dry-run"])?;
    planned.succeeds()?;
    let text = format!("{}{}", planned.stdout(), planned.stderr());
    assert!(text.contains("is not searched for matches"), "{text}");
    for rules in [
        format!("\"{below}\" = \"hidden\"\n"),
        format!("\"{below}\" = \"read-only\"\n"),
    ] {
        let out = run(&rules, &[])?;
        assert!(!out.stdout().contains("secret`"), "{rules}: {out}");
        out.exits_with(125)?;
        out.complains("remote")?;
    }
    Ok(())
}
