//! What a profile leaves open on purpose, or cannot close, and why.

use super::course::{Course, Walls};

/// Some attempts that work somewhere.
pub struct Exception {
    /// Which.
    pub ids: &'static [&'static str],
    /// Under which profiles.
    pub profiles: &'static [&'static str],
    /// For whom, and where.
    pub when: When,
    /// Why, for users.
    pub reason: &'static str,
}

/// Who meets an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Everybody.
    Always,
    /// Root as the caller.
    Root,
    /// An ordinary user as the caller.
    User,
    /// Where Landlock is off or older than this.
    LandlockBefore(u32),
}

/// Profiles that share the caller's network.
const ONLINE: &[&str] = &["default", "build", "agent", "desktop-app", "web-browser"];
/// Those that show the directory where the program was started.
const PROJECT: &[&str] = &["default", "build", "agent"];
/// Those with windows.
const WINDOWS: &[&str] = &["desktop-app", "web-browser"];
/// All that are shipped and tried.
const EVERY: &[&str] = &[
    "strict",
    "default",
    "build",
    "agent",
    "desktop-app",
    "web-browser",
    "container-demo",
];
/// A host that gives no namespaces.
const ALONE: &[&str] = &["Landlock alone"];

const fn exception(
    ids: &'static [&'static str],
    profiles: &'static [&'static str],
    when: When,
    reason: &'static str,
) -> Exception {
    Exception {
        ids,
        profiles,
        when,
        reason,
    }
}

use When::{Always, LandlockBefore, Root, User};

pub const ALL: &[Exception] = &[
    exception(
        &[
            "NSC-1 net",
            "NET-1",
            "NET-1 v6",
            "NET-1 mapped",
            "NET-1 udp",
        ],
        ONLINE,
        Always,
        "the network is the caller's, and with it what listens on this machine. `--net none` takes it away",
    ),
    exception(
        &["IPC-8", "IPC-4 abstract", "FD-8 abstract"],
        ONLINE,
        LandlockBefore(6),
        "abstract sockets belong to the network; Landlock keeps them apart from Linux 6.12 on, unless it is switched off",
    ),
    exception(
        &["IPC-5", "IPC-6"],
        WINDOWS,
        Always,
        "a program with windows and sound needs the display and the sound server; `desktop.wayland` and `desktop.audio` say how much of them",
    ),
    exception(
        &["NSC-2", "NSC-2 clone", "NSC-3 network"],
        &["web-browser"],
        Always,
        "browsers put their own processes into user namespaces. Mounts, the firewall and other families stay denied there",
    ),
    exception(
        &["FD-8"],
        PROJECT,
        Always,
        "a program outside that helps can hand anything to one inside, where both see a directory",
    ),
    exception(
        &["FIL-3 before"],
        PROJECT,
        Always,
        "a hard link is a name of its own; one that the host has made in a directory that is shown, is shown",
    ),
    exception(
        &["FIL-9 commondir"],
        &["default", "agent"],
        Always,
        "commits need a writable `.git`, and Git obeys more files in it than can be protected. `build` shows it read-only, as does `--ro .git`",
    ),
    exception(
        &["FIL-9 new"],
        PROJECT,
        Always,
        "rules about files hold for those that are there at the start; where the directory is writable, others can be made",
    ),
    exception(
        &["ENV-1 other"],
        &["default", "build", "agent", "desktop-app", "web-browser"],
        Always,
        "variables are left out by their names; a secret with a name like any other is passed on. `environment.default = \"clean\"` passes nothing on",
    ),
    exception(
        &["KRN-4 machine"],
        ONLINE,
        Always,
        "/etc/machine-id is read by D-Bus and many libraries; `--hide /etc/machine-id`",
    ),
    exception(
        &["KRN-4 boot"],
        &[
            "default",
            "build",
            "agent",
            "desktop-app",
            "web-browser",
            "container-demo",
        ],
        Always,
        "the boot id is part of /proc/sys, and changes with every start of the machine; `--hide /proc/sys/kernel/random/boot_id`, as `strict` does",
    ),
    exception(
        &["SEC-6"],
        &["container-demo"],
        Always,
        "processes in a container may trace each other, as debuggers there do. The filter is looked at after the tracer",
    ),
    exception(
        &["NSC-1 user"],
        &["default", "build", "agent", "desktop-app", "web-browser"],
        Root,
        "for root none is made, unless the profile asks; all capabilities are dropped instead",
    ),
    exception(
        &["NSC-9"],
        EVERY,
        User,
        "an ordinary user cannot drop supplementary groups, but with `user.subordinate-ids`. What such a group may reach has to be hidden by path. `user.groups = \"none\"` is an error then",
    ),
    exception(
        &["NSC-9"],
        ALONE,
        User,
        "an ordinary user cannot drop supplementary groups",
    ),
    exception(
        &[
            "NSC-1 mnt",
            "NSC-1 pid",
            "NSC-1 ipc",
            "NSC-1 uts",
            "NSC-1 cgroup",
            "NSC-1 net",
            "NSC-1 user",
            "MNT-7",
            "PRC-1",
            "PRC-6",
            "PRC-8 cmdline",
            "SEC-1 others",
            "IPC-9",
            "LIF-1",
            "KRN-3 keys",
            "KRN-3 interrupts",
            "KRN-4 boot",
        ],
        ALONE,
        Always,
        "without namespaces Landlock holds files and signals, and the filter system calls; other processes are seen, and what is shared by number can be reached",
    ),
    exception(
        &["PRC-6 affinity", "PRC-6 priority"],
        ALONE,
        User,
        "without namespaces an ordinary user's other processes can be told how to run; root's cannot, without CAP_SYS_NICE",
    ),
    exception(
        &["PRC-5", "PRC-5 pidfd"],
        ALONE,
        LandlockBefore(6),
        "signals are kept inside by Landlock from Linux 6.12 on",
    ),
];

/// The exception that an attempt falls under.
pub fn of(id: &str, course: Course, root: bool, landlock: u32) -> Option<&'static Exception> {
    let (profile, walls) = match course {
        Course::Profile(name, walls) => (name, walls),
        Course::Alone => ("Landlock alone", Walls::Landlock),
        _ => return None,
    };
    ALL.iter().find(|one| {
        let meets = match one.when {
            Always => true,
            Root => root,
            User => !root,
            LandlockBefore(abi) => walls == Walls::Mounts || landlock < abi,
        };
        meets && one.ids.contains(&id) && one.profiles.contains(&profile)
    })
}
