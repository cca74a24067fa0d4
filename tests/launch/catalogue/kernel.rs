//! KRN and RES: what the kernel shows and lets be set, devices, and limits.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::attempt::Control::{Anyone, Root, Sometimes};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{Attempt, any, attempt, done, errno_of, opens, raw};

/// Opens for writing, and writes nothing.
macro_rules! setting {
    ($id:literal, $path:literal) => {
        attempt($id, concat!("write to ", $path), SETTING, |_| {
            opens($path, true)
        })
    };
}

const SETTING: super::attempt::Control = Sometimes("root, where the kernel has it");

/// Devices that every program gets.
const HARMLESS: [&str; 11] = [
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "stdin", "stdout", "stderr", "fd",
];

pub const ALL: &[Attempt] = &[
    setting!("KRN-1 core", "/proc/sys/kernel/core_pattern"),
    setting!("KRN-1 modprobe", "/proc/sys/kernel/modprobe"),
    setting!("KRN-1 hostname", "/proc/sys/kernel/hostname"),
    setting!("KRN-1 vm", "/proc/sys/vm/overcommit_memory"),
    setting!("KRN-1 fs", "/proc/sys/fs/file-max"),
    setting!("KRN-1 net", "/proc/sys/net/ipv4/ip_forward"),
    setting!("KRN-1 sysrq", "/proc/sysrq-trigger"),
    attempt("KRN-1 irq", "write to /proc/irq", Root, |_| {
        any(walk("/proc/irq", 2)
            .into_iter()
            .map(|path| opens(path, true)))
    }),
    attempt("KRN-2", "write below /sys", Root, |_| {
        let first = [
            "/sys/kernel/uevent_helper",
            "/sys/power/state",
            "/sys/kernel/profiling",
        ]
        .map(PathBuf::from);
        let all = first
            .into_iter()
            .chain(walk("/sys/module", 3))
            .chain(walk("/sys/kernel/mm", 2))
            .chain(walk("/sys/class", 2));
        any(all.map(|path| opens(path, true)))
    }),
    attempt(
        "KRN-2 cpu",
        "switch processors (/sys/devices/system)",
        Root,
        |_| {
            any(walk("/sys/devices/system", 3)
                .into_iter()
                .map(|path| opens(path, true)))
        },
    ),
    attempt(
        "KRN-3 kcore",
        "read the kernel's memory",
        Sometimes("root, where the kernel has it"),
        |_| any(["/proc/kcore", "/dev/mem", "/dev/kmem"].map(|path| opens(path, false))),
    ),
    attempt(
        "KRN-3 kallsyms",
        "read the kernel's addresses",
        Root,
        |_| {
            let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            match text
                .lines()
                .find(|line| !line.starts_with("0000000000000000"))
            {
                Some(line) => Escaped(line.to_owned()),
                None => Held(format!("{} lines without addresses", text.lines().count())),
            }
        },
    ),
    attempt("KRN-3 kmsg", "read the kernel's messages", Root, |_| {
        any(["/dev/kmsg", "/proc/kmsg"].map(|path| opens(path, false)))
    }),
    attempt(
        "KRN-3 keys",
        "see the keys of all programs",
        Anyone,
        |_| match fs::read_to_string("/proc/keys") {
            Ok(text) if !text.is_empty() => Escaped(format!("{} keys", text.lines().count())),
            Ok(_) => Held("none".to_owned()),
            Err(error) => Held(format!("{:?}", errno_of(&error))),
        },
    ),
    attempt(
        "KRN-3 interrupts",
        "see when keys are pressed (/proc/interrupts)",
        Anyone,
        |_| {
            opens("/proc/interrupts", false).and(|| {
                let text = fs::read("/proc/interrupts").unwrap_or_default();
                if text.is_empty() {
                    Held("empty".to_owned())
                } else {
                    Escaped(format!("{} bytes", text.len()))
                }
            })
        },
    ),
    attempt(
        "KRN-4 machine",
        "read the machine's name for life (/etc/machine-id)",
        Sometimes("where there is one"),
        |_| match fs::read_to_string("/etc/machine-id") {
            Ok(text) if text.trim().len() == 32 => Escaped("it is read".to_owned()),
            other => Held(format!("{:?}", other.map_err(|error| errno_of(&error)))),
        },
    ),
    attempt("KRN-4 boot", "read the boot id", Anyone, |_| {
        opens("/proc/sys/kernel/random/boot_id", false)
    }),
    attempt(
        "KRN-4 hardware",
        "see disks and network cards (/sys)",
        Anyone,
        |_| {
            let all = [
                "/sys/block",
                "/sys/class/net",
                "/sys/class/dmi/id",
                "/sys/bus/pci/devices",
            ];
            any(
                all.map(|path| match fs::read_dir(path).map(Iterator::count) {
                    Ok(1..) => Escaped(format!("{path} is listed")),
                    Ok(_) => Held(format!("{path} is empty")),
                    Err(error) => Held(format!("{path}: {:?}", errno_of(&error))),
                }),
            )
        },
    ),
    attempt(
        "KRN-5",
        "open a device that is more than harmless",
        Root,
        |_| any(devices().into_iter().map(|path| opens(path, false))),
    ),
    attempt(
        "KRN-5 disk",
        "open a disk",
        Sometimes("root, where there is a disk"),
        |_| {
            let disks = devices().into_iter().filter(|path| {
                fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device())
            });
            any(disks.map(|path| opens(path, false)))
        },
    ),
    attempt(
        "KRN-5 kvm",
        "open /dev/kvm",
        Sometimes("where there is one"),
        |_| opens("/dev/kvm", true),
    ),
    attempt(
        "KRN-5 fuse",
        "open /dev/fuse",
        Sometimes("where there is one"),
        |_| opens("/dev/fuse", true),
    ),
    attempt(
        "KRN-5 tun",
        "open /dev/net/tun",
        Sometimes("where there is one"),
        |_| opens("/dev/net/tun", true),
    ),
    attempt(
        "KRN-5 vsock",
        "open /dev/vsock",
        Sometimes("where there is one"),
        |_| opens("/dev/vsock", false),
    ),
    attempt(
        "KRN-5 userfaultfd",
        "open /dev/userfaultfd",
        Sometimes("root, where there is one"),
        |_| opens("/dev/userfaultfd", true),
    ),
    attempt(
        "KRN-5 input",
        "open what is typed (/dev/input)",
        Sometimes("root, where there is a keyboard"),
        |_| {
            any(walk("/dev/input", 1)
                .into_iter()
                .map(|path| opens(path, false)))
        },
    ),
    attempt("KRN-6", "make a device and open it", Root, |_| {
        let made = ["/tmp", "/dev/shm", "/var/tmp", "."].map(|folder| {
            let path = format!("{folder}/bait-device-{}", std::process::id());
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            // /dev/kmsg
            let number = nix::sys::stat::makedev(1, 11);
            let made =
                nix::sys::stat::mknod(path.as_str(), nix::sys::stat::SFlag::S_IFCHR, mode, number);
            let found = done("mknod", made).and(|| opens(&path, false));
            let _ = fs::remove_file(&path);
            found
        });
        any(made)
    }),
    attempt(
        "KRN-8",
        "hand a core dump to a handler of the host",
        Anyone,
        |_| {
            // What is more than a byte is written, or, to a handler, handed on.
            match getrlimit(Resource::RLIMIT_CORE) {
                Ok((_, hard)) if hard > 1 => {
                    done("setrlimit", setrlimit(Resource::RLIMIT_CORE, hard, hard))
                }
                other => Held(format!("{other:?}")),
            }
        },
    ),
    attempt(
        "RES-6",
        "name a program for the kernel to run (release_agent)",
        Sometimes("root, with control groups of version 1"),
        |_| {
            any(walk("/sys/fs/cgroup", 2)
                .into_iter()
                .filter(|path| path.ends_with("release_agent"))
                .map(|path| opens(path, true)))
        },
    ),
    attempt(
        "RES-7",
        "leave the control group (cgroup.procs)",
        Sometimes("root, or a group of the user's own"),
        |_| {
            any(groups()
                .into_iter()
                .map(|group| opens(group.join("cgroup.procs"), true)))
        },
    ),
    attempt(
        "RES-7 raise",
        "raise the limits of the control group",
        Sometimes("root, or a group of the user's own"),
        |_| {
            let files = ["memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max"];
            any(groups()
                .into_iter()
                .flat_map(|group| files.map(|file| opens(group.join(file), true))))
        },
    ),
    attempt(
        "RES-7 make",
        "make a control group",
        Sometimes("root, or a group of the user's own"),
        |_| {
            any(groups().into_iter().map(|group| {
                let path = group.join(format!("bait-{}", std::process::id()));
                let made = fs::create_dir(&path);
                let _ = fs::remove_dir(&path);
                done("mkdir", made.map_err(|error| errno_of(&error)))
            }))
        },
    ),
    attempt(
        "RES-11 raise",
        "raise a hard resource limit",
        Sometimes("root with CAP_SYS_RESOURCE"),
        |_| match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) => done(
                "setrlimit",
                setrlimit(Resource::RLIMIT_NOFILE, soft, hard + 1),
            ),
            Err(errno) => Held(format!("{errno:?}")),
        },
    ),
    attempt(
        "RES-11 nice",
        "put oneself before others (nice)",
        Root,
        |_| {
            let now = raw(libc::SYS_getpriority, &[0, 0]).unwrap_or(20);
            // The call answers 20 minus the value.
            let better = (20 - now - 1).cast_unsigned();
            done("setpriority", raw(libc::SYS_setpriority, &[0, 0, better]))
        },
    ),
    attempt(
        "RES-11 realtime",
        "put oneself before everybody (real time)",
        Root,
        |_| {
            let priority = 1_i32;
            done(
                "sched_setscheduler",
                raw(
                    libc::SYS_sched_setscheduler,
                    &[0, 1, (&raw const priority) as u64],
                ),
            )
        },
    ),
    attempt(
        "RES-11 disk",
        "put oneself before everybody at the disk",
        Root,
        |_| done("ioprio_set", raw(libc::SYS_ioprio_set, &[1, 0, 1 << 13])),
    ),
    attempt(
        "RES-11 oom",
        "be the last whom the kernel kills",
        Sometimes("root with CAP_SYS_RESOURCE"),
        |bait| {
            let path = "/proc/self/oom_score_adj";
            let callers: i32 = bait.get("oom").parse().unwrap_or(0);
            done(
                "oom_score_adj",
                fs::write(path, (callers - 1).to_string()).map_err(|error| errno_of(&error)),
            )
        },
    ),
];

/// All files below, to a depth; the first some hundred.
fn walk(folder: impl AsRef<Path>, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 0 {
            found.extend(walk(entry.path(), depth - 1));
        } else if !kind.is_dir() && !kind.is_symlink() {
            found.push(entry.path());
        }
        if found.len() > 400 {
            break;
        }
    }
    found
}

/// Nodes in /dev, but those of programs' own.
fn devices() -> Vec<PathBuf> {
    let mut found = walk("/dev", 2);
    found.retain(|path| {
        let is_node = fs::symlink_metadata(path).is_ok_and(|found| {
            found.file_type().is_block_device() || found.file_type().is_char_device()
        });
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // Terminals have attempts of their own, and opening some of these waits for somebody to call.
        let is_terminal = name.starts_with("tty") || name.starts_with("vcs") || name == "console";
        is_node
            && !is_terminal
            && !HARMLESS.contains(&name.as_str())
            && !path.starts_with("/dev/pts")
            && name != "watchdog"
    });
    found
}

/// The directories of one's own control groups, and of those at the top.
fn groups() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        for top in [names.to_owned(), "unified".to_owned(), String::new()] {
            let top = Path::new("/sys/fs/cgroup").join(top);
            found.push(top.join(path.trim_start_matches('/')));
            found.push(top);
        }
    }
    found
}
