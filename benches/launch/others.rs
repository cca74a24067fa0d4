//! What the launcher is measured against: the floor, and others that do the like. What is not installed is left out, and
//! the report says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Case, Place};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
/// What of the host a bundle shows; those that are links there are links inside.
const TREES: [&str; 6] = ["/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr"];
/// The row of a process between, and nothing else.
const BARE: &str = "floor, no namespaces";
/// The row of the least system calls.
pub const FLOOR: &str = "floor, the same view";
/// The row of the least system calls for all that the profile of the view asks.
const WHOLE: &str = "floor, all that the view asks";
/// The row of a process between, and a control group with a limit.
const LIMITED: &str = "floor, a memory limit";
/// The row of what people compare with first.
pub const FIREJAIL: &str = "firejail, firefox profile";

/// Builds the floor, and makes a bundle; returns the cases, and what of it could not be made.
pub fn cases(place: &Place) -> Vec<Case> {
    let case = |name, program: &str, arguments: &[&str]| {
        let words = std::iter::once(program).chain(arguments.iter().copied());
        place.case(name, words.map(str::to_owned).collect())
    };
    let floor = place.path().join("floor");
    // Where it cannot be built, the file is missing, and that is said.
    let _ = Command::new("cc")
        .args(["-O2", "-static", "-o"])
        .arg(&floor)
        .arg(SOURCE)
        .status();
    let mut cases = vec![
        case(BARE, &floor.display().to_string(), &["-n"]),
        case(FLOOR, &floor.display().to_string(), &[]),
        case(WHOLE, &floor.display().to_string(), &["-w"]),
        case(
            FIREJAIL,
            "/usr/bin/firejail",
            &[
                "--quiet",
                // There may be no bus, and then it ends; without one to filter it does less.
                "--ignore=dbus-user",
                "--ignore=dbus-user.own",
                "--ignore=dbus-user.talk",
                "--profile=/etc/firejail/firefox.profile",
            ],
        ),
    ];
    let (parent, limit) = group(place).unwrap_or_default();
    let floor = floor.display().to_string();
    cases.push(case(LIMITED, &floor, &["-m", &parent, limit]));
    for (name, program) in [
        ("crun, a like bundle", "/usr/bin/crun"),
        ("runc, a like bundle", "/usr/sbin/runc"),
    ] {
        let state = place.home().join("state").display().to_string();
        let bundle = bundle(place).map(|path| path.display().to_string());
        let bundle = bundle.unwrap_or_default();
        let words = ["--root", &state, "run", "--bundle", &bundle];
        cases.push(case(name, program, &words));
    }
    for (name, program, words) in [
        (
            "nsjail, a like view",
            "/usr/bin/nsjail",
            ["-Q", "-Mo", "-R", "/", "-T", "/tmp", "--"].as_slice(),
        ),
        (
            "minijail, a like view",
            "/usr/bin/minijail0",
            &["-U", "-m", "-M", "-v", "-p", "-l", "-r", "-n", "--"],
        ),
    ] {
        cases.push(case(name, program, words));
    }
    cases
}

/// Where a limit of memory makes its control group, and the file of that limit: as a program sees that is started so.
fn group(place: &Place) -> Option<(String, &'static str)> {
    let words = [&place.sandbox, "--profile", "memlimit", "--"];
    let limited = place.case(LIMITED, words.map(str::to_owned).to_vec());
    let said = limited
        .command("/bin/cat")
        .arg("/proc/self/cgroup")
        .output();
    let own = String::from_utf8_lossy(&said.ok()?.stdout).into_owned();
    let of = |controllers: &str| {
        let mut lines = own.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(_, rest)| {
            rest.split_once(':')
                .filter(|(names, _)| *names == controllers)
        })
    };
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounted = |option: &str, kind: &str| {
        mounts.lines().find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, at, found, options, ..] = words.as_slice() else {
                return None;
            };
            (*found == kind && (option.is_empty() || options.split(',').any(|one| one == option)))
                .then(|| (*at).to_owned())
        })
    };
    let (at, (_, path), limit) = match of("memory") {
        Some(found) => (mounted("memory", "cgroup")?, found, "memory.limit_in_bytes"),
        None => (mounted("", "cgroup2")?, of("")?, "memory.max"),
    };
    let parent = Path::new(path).parent()?.display().to_string();
    Some((format!("{at}{parent}"), limit))
}

/// Directories and settings of the runtime specification that come to the view of `benches/view.toml`.
fn bundle(place: &Place) -> std::io::Result<PathBuf> {
    let bundle = place.path().join("bundle");
    let root = bundle.join("rootfs");
    let mut mounts = vec![
        mount("proc", "/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", "tmpfs", &["nosuid", "mode=755"]),
        mount(
            "devpts",
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666"],
        ),
        mount(
            "tmpfs",
            "/dev/shm",
            "tmpfs",
            &["nosuid", "nodev", "mode=1777"],
        ),
        mount(
            "mqueue",
            "/dev/mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        mount("tmpfs", "/tmp", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
    ];
    for directory in ["proc", "dev", "tmp"] {
        std::fs::create_dir_all(root.join(directory))?;
    }
    for tree in TREES {
        let Ok(found) = std::fs::symlink_metadata(tree) else {
            continue;
        };
        let inside = root.join(tree.trim_start_matches('/'));
        if found.is_symlink() {
            if std::fs::symlink_metadata(&inside).is_err() {
                std::os::unix::fs::symlink(std::fs::read_link(tree)?, inside)?;
            }
        } else {
            std::fs::create_dir_all(inside)?;
            mounts.push(mount(
                tree,
                tree,
                "bind",
                &["rbind", "ro", "nosuid", "nodev"],
            ));
        }
    }
    let own = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    let (uid, gid) = place.user.map_or(own, |user| (user, user));
    let one = |id: u32| json!([{ "containerID": id, "hostID": id, "size": 1 }]);
    let kinds = ["user", "mount", "pid", "ipc", "uts", "cgroup"];
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let said = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": uid, "gid": gid },
            "args": [super::PROGRAM],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "uidMappings": one(uid),
            "gidMappings": one(gid),
            "readonlyPaths": ["/proc/acpi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    });
    std::fs::write(bundle.join("config.json"), said.to_string())?;
    Ok(bundle)
}

fn mount(source: &str, destination: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "source": source, "destination": destination, "type": kind, "options": options })
}
