//! NSC and MNT: namespaces, capabilities, and the view of the file system.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::attempt::Control::{Anyone, Root, Sometimes};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{
    Attempt, Bait, Found, NOWHERE, any, at, attempt, behind, done, errno_of, in_child, owned, raw,
    reached, reads,
};

const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
const HERE: u64 = libc::AT_FDCWD as u64;

/// What no program inside is to have: over the host, and in most namespaces, these are everything.
const DANGEROUS: [u32; 18] = [
    2, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 25, 27, 33, 34, 38, 39, 40,
];

macro_rules! namespace {
    ($id:literal, $kind:literal) => {
        attempt(
            $id,
            concat!("be in the host's namespace: ", $kind),
            Anyone,
            |bait| same_namespace(bait, $kind),
        )
    };
}

pub const ALL: &[Attempt] = &[
    namespace!("NSC-1 mnt", "mnt"),
    namespace!("NSC-1 pid", "pid"),
    namespace!("NSC-1 ipc", "ipc"),
    namespace!("NSC-1 uts", "uts"),
    namespace!("NSC-1 cgroup", "cgroup"),
    namespace!("NSC-1 net", "net"),
    namespace!("NSC-1 user", "user"),
    attempt("NSC-2", "make a user namespace (unshare)", Anyone, |_| {
        done("unshare", raw(libc::SYS_unshare, &[NEWUSER]))
    }),
    attempt(
        "NSC-2 clone",
        "make a user namespace (clone)",
        Anyone,
        |_| {
            let flags = NEWUSER | libc::SIGCHLD as u64;
            match raw(libc::SYS_clone, &[flags, 0, 0, 0, 0]) {
                // SAFETY: takes no pointer.
                Ok(0) => unsafe { libc::_exit(0) },
                other => done("clone", other),
            }
        },
    ),
    attempt(
        "NSC-2 clone3",
        "make a user namespace (clone3, whose flags no filter sees)",
        Anyone,
        |_| {
            let arguments = [NEWUSER, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
            match raw(libc::SYS_clone3, &[arguments.as_ptr() as u64, 64]) {
                // SAFETY: takes no pointer.
                Ok(0) => unsafe { libc::_exit(0) },
                other => done("clone3", other),
            }
        },
    ),
    attempt(
        "NSC-2 bits",
        "make a user namespace, with bits above the 32nd set",
        Sometimes("kernels may refuse such bits"),
        |_| done("unshare", raw(libc::SYS_unshare, &[NEWUSER | 1 << 40])),
    ),
    attempt(
        "NSC-3",
        "mount in a user namespace of one's own",
        Anyone,
        |_| {
            let made = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS);
            done("unshare", made).and(|| done("mount", mount_tmpfs("/tmp")))
        },
    ),
    attempt(
        "NSC-3 network",
        "raw sockets in a user namespace of one's own",
        Anyone,
        |_| {
            let made = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
            done("unshare", made).and(|| done("socket", raw(libc::SYS_socket, &[2, 3, 1])))
        },
    ),
    attempt(
        "NSC-3 firewall",
        "the firewall's tables in a user namespace of one's own",
        Anyone,
        |_| {
            let made = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
            done("unshare", made).and(|| done("netlink", raw(libc::SYS_socket, &[16, 3, 12])))
        },
    ),
    attempt(
        "NSC-4",
        "enter namespaces of the host (setns by /proc/PID/ns)",
        Root,
        |bait| {
            any(super::processes::others(bait).into_iter().flat_map(|pid| {
                ["mnt", "pid", "net", "ipc", "uts"]
                    .map(|kind| enter(&format!("/proc/{pid}/ns/{kind}"), bait, kind))
            }))
        },
    ),
    attempt(
        "NSC-4 pidfd",
        "enter namespaces of the host (setns by pidfd)",
        Root,
        |bait| {
            let process = raw(libc::SYS_pidfd_open, &[bait.number("victim"), 0]);
            match process {
                Ok(number) => done(
                    "setns",
                    raw(
                        libc::SYS_setns,
                        &[number.cast_unsigned(), libc::CLONE_NEWUTS as u64],
                    ),
                ),
                Err(errno) => Held(format!("pidfd_open: {errno:?}")),
            }
        },
    ),
    attempt("NSC-4 reach", "setns(2) at all", Anyone, |_| {
        reached("setns", raw(libc::SYS_setns, &[NOWHERE << 16, 0]))
    }),
    attempt("NSC-5", "change the root (chroot)", Root, |_| {
        done("chroot", raw(libc::SYS_chroot, &[at(c"/proc")]))
    }),
    attempt("NSC-5 pivot", "change the root (pivot_root)", Root, |_| {
        reached(
            "pivot_root",
            raw(libc::SYS_pivot_root, &[at(c"/nowhere"), at(c"/nowhere")]),
        )
    }),
    attempt(
        "NSC-6",
        "gain by set-user-ID programs (no_new_privs is off)",
        Anyone,
        |_| status("NoNewPrivs:", |v| v == "0"),
    ),
    attempt(
        "NSC-7",
        "a capability that is worth something, in any set",
        Root,
        |_| any(["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].map(|set| status(set, has_dangerous))),
    ),
    attempt(
        "NSC-8",
        "a bounding set from which a program could draw",
        Anyone,
        |_| status("NoNewPrivs:", |v| v == "0").and(|| status("CapBnd:", has_dangerous)),
    ),
    attempt(
        "NSC-9",
        "a supplementary group of the caller's",
        Root,
        |_| {
            // One that the user namespace does not know is there as 65534, and counts.
            let own = nix::unistd::getgid().to_string();
            status("Groups:", |groups| {
                groups.split_whitespace().any(|group| group != own)
            })
        },
    ),
    attempt("MNT-1", "unmount what hides something", Root, |_| {
        own_view();
        any(mounts().iter().rev().map(|place| {
            done(
                &format!("umount {place}"),
                umount2(place.as_str(), MntFlags::MNT_DETACH),
            )
        }))
    }),
    attempt(
        "MNT-2",
        "make a read-only mount writable (remount)",
        Anyone,
        |_| {
            own_view();
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            any(["/", "/usr", "/etc", "/proc/sys"]
                .map(|place| done(&format!("remount {place}"), mount(NO, place, NO, flags, NO))))
        },
    ),
    attempt(
        "MNT-3",
        "make a read-only mount writable (mount_setattr)",
        Anyone,
        |_| {
            own_view();
            let clear = [0_u64, 1, 0, 0];
            let set = raw(
                libc::SYS_mount_setattr,
                &[HERE, at(c"/"), 0, clear.as_ptr() as u64, 32],
            );
            done("mount_setattr", set)
        },
    ),
    attempt("MNT-4", "move a mount aside", Root, |_| {
        own_view();
        any(mounts().iter().rev().map(|place| {
            done(
                &format!("move {place}"),
                mount(Some(place.as_str()), "/tmp", NO, MsFlags::MS_MOVE, NO),
            )
        }))
    }),
    attempt("MNT-4 new", "move a mount aside (move_mount)", Root, |_| {
        reached(
            "move_mount",
            raw(
                libc::SYS_move_mount,
                &[HERE, at(c"/nowhere"), HERE, at(c"/nowhere"), 0],
            ),
        )
    }),
    attempt(
        "MNT-5",
        "copy a tree without its mounts, and look below",
        Root,
        |bait| {
            own_view();
            let copy = raw(libc::SYS_open_tree, &[HERE, at(c"/"), 1]);
            match copy.map(owned) {
                Ok(Some(tree)) => {
                    reads(behind(&tree, bait.home(".ssh/id").trim_start_matches('/')))
                }
                other => Held(format!("open_tree: {other:?}")),
            }
        },
    ),
    attempt("MNT-5 bind", "the same by a bind mount", Root, |bait| {
        own_view();
        done("bind", mount(Some("/"), "/tmp", NO, MsFlags::MS_BIND, NO))
            .and(|| reads(format!("/tmp{}", bait.home(".ssh/id"))))
    }),
    attempt("MNT-6 tmpfs", "mount tmpfs", Anyone, |_| {
        own_view();
        done("mount", mount_tmpfs("/tmp"))
    }),
    attempt("MNT-6 overlay", "mount overlay", Root, |_| {
        own_view();
        let options = Some("lowerdir=/usr:/etc");
        done(
            "mount",
            mount(
                Some("overlay"),
                "/tmp",
                Some("overlay"),
                MsFlags::empty(),
                options,
            ),
        )
    }),
    attempt("MNT-6 proc", "mount another /proc", Root, |_| {
        own_view();
        done(
            "mount",
            mount(Some("proc"), "/tmp", Some("proc"), MsFlags::empty(), NO),
        )
    }),
    attempt("MNT-6 sysfs", "mount another /sys", Root, |_| {
        own_view();
        done(
            "mount",
            mount(Some("sysfs"), "/tmp", Some("sysfs"), MsFlags::empty(), NO),
        )
    }),
    attempt(
        "MNT-6 fsopen",
        "mount by the new interface (fsopen)",
        Anyone,
        |_| {
            own_view();
            done("fsopen", raw(libc::SYS_fsopen, &[at(c"tmpfs"), 0]))
        },
    ),
    attempt("MNT-6 devpts", "mount the host's terminals", Root, |_| {
        own_view();
        done(
            "mount",
            mount(Some("devpts"), "/tmp", Some("devpts"), MsFlags::empty(), NO),
        )
    }),
    attempt(
        "MNT-7",
        "have mounts that spread to the host",
        Sometimes("where its mounts are shared"),
        |bait| {
            let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let host: Vec<&str> = bait.get("peers").split(' ').collect();
            // Sharing with namespaces that are made inside is not spreading.
            let spreads = |line: &&str| {
                let mut words = line.split(' ');
                words.any(|word| word.starts_with("shared:") && host.contains(&word))
            };
            match text.lines().find(spreads) {
                Some(line) => Escaped(line.to_owned()),
                None => Held("none is shared with the host".to_owned()),
            }
        },
    ),
    attempt("MNT-15", "mount the control groups", Root, |_| {
        own_view();
        // Its options hold for all mounts of it: those that it has stay.
        let options = options_of("cgroup2");
        done(
            "mount",
            mount(
                Some("cgroup2"),
                "/tmp",
                Some("cgroup2"),
                MsFlags::empty(),
                Some(options.as_str()),
            ),
        )
    }),
];

const NO: Option<&str> = None;

fn same_namespace(bait: &Bait, kind: &str) -> Found {
    match fs::metadata(format!("/proc/self/ns/{kind}")) {
        Ok(found) if found.ino() == bait.number(&format!("ns-{kind}")) => {
            Escaped(format!("{kind} is the host's"))
        }
        Ok(found) => Held(format!("{kind} is {}", found.ino())),
        Err(error) => Held(format!("{:?}", errno_of(&error))),
    }
}

fn enter(path: &str, bait: &Bait, kind: &str) -> Found {
    let namespace = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return Held(format!("{path}: {:?}", errno_of(&error))),
    };
    let hosts = namespace
        .metadata()
        .is_ok_and(|found| found.ino() == bait.number(&format!("ns-{kind}")));
    let number = u64::try_from(namespace.as_raw_fd()).unwrap_or(u64::MAX);
    let entered = in_child(|| i32::from(raw(libc::SYS_setns, &[number, 0]).is_err()));
    match entered {
        Ok(nix::sys::wait::WaitStatus::Exited(_, 0)) if hosts => {
            Escaped(format!("{path} is entered"))
        }
        other => Held(format!("{path}: {other:?}")),
    }
}

/// In the control, what is mounted is to stay here: a view that nobody else sees. Inside, where that is refused, the attempt
/// is made on what there is.
fn own_view() {
    let alone = unshare(CloneFlags::CLONE_NEWNS)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS));
    if alone.is_ok() {
        let _ = mount(NO, "/", NO, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NO);
    }
}

fn mount_tmpfs(place: &str) -> Result<(), Errno> {
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), NO)
}

/// The places of all mounts but the first.
fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = text.lines().filter_map(|line| line.split(' ').nth(4));
    places
        .filter(|place| *place != "/")
        .map(str::to_owned)
        .collect()
}

/// The options of a kind of file system that is mounted, but whether it can be written.
fn options_of(kind: &str) -> String {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ends = text.lines().filter_map(|line| line.split_once(" - "));
    let mut options = ends.filter_map(|(_, end)| {
        let mut words = end.split(' ');
        (words.next() == Some(kind)).then(|| words.nth(1).unwrap_or_default())
    });
    let options = options.next().unwrap_or_default().split(',');
    let own: Vec<&str> = options.filter(|one| !matches!(*one, "rw" | "ro")).collect();
    own.join(",")
}

/// Worked, if a line of /proc/self/status is so.
pub fn status(key: &str, is: impl Fn(&str) -> bool) -> Found {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match text.lines().find_map(|line| line.strip_prefix(key)) {
        Some(value) if is(value.trim()) => Escaped(format!("{key} {}", value.trim())),
        Some(value) => Held(format!("{key} {}", value.trim())),
        None => Held(format!("no {key}")),
    }
}

fn has_dangerous(hex: &str) -> bool {
    let set = u64::from_str_radix(hex, 16).unwrap_or(0);
    DANGEROUS.iter().any(|bit| set & (1 << bit) != 0)
}
