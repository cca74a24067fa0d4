//! `sandboxctl delegate USER`: gives a user a part of the control group tree, where neither v2 delegation nor systemd does.
//!
//! What is given lies below `sandbox.user`, a directory of root's at the top of each hierarchy: the user can make groups
//! in it, and limit and move its own processes. It cannot raise what root sets for `sandbox.user/UID` itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};

use crate::exec::group::{enable_controllers, sweep};
use crate::host::cgroup::{DELEGATED, probe};
use crate::host::facts::cgroup::{CgroupFacts, Unified};
use crate::kernel::cgroup::{Directory, FileError};
use crate::report::escape;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Delegate<'a> {
    /// Login name or user id.
    pub user: &'a str,
    /// Take it back.
    pub remove: bool,
    /// cgroup v2: also move this process of the user (a login shell, say) into it, so that sandboxes started from it can
    /// be limited.
    pub pid: Option<i32>,
}

/// The controllers that limits, killing and counting need, of both versions. Not among them are `devices`, whose rules the
/// kernel takes from CAP_SYS_ADMIN alone, and `net_cls` and `net_prio`, which mark packets for rules of root's.
const CONTROLLERS: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "freezer",
    "hugetlb",
    "io",
    "memory",
    "misc",
    "perf_event",
    "pids",
    "rdma",
];
/// v2: the group of the user's processes that are in no sandbox.
const SESSION: &str = "session";

/// Does it, and says on standard output what was done.
///
/// # Errors
/// It could not be done, as standard error says: the exit status, 1.
pub fn run(options: Delegate<'_>) -> Result<(), i32> {
    match carry_out(&options) {
        Ok(lines) => {
            let mut out = std::io::stdout().lock();
            for line in lines {
                // A reader that left early is no failure.
                let _ = writeln!(out, "{}", escape::line(&line));
            }
            Ok(())
        }
        Err(lines) => {
            let mut out = std::io::stderr().lock();
            for (at, line) in lines.iter().enumerate() {
                let lead = if at == 0 { "sandboxctl: " } else { "  " };
                let _ = writeln!(out, "{lead}{}", escape::line(line));
            }
            Err(1)
        }
    }
}

type Lines = Vec<String>;

/// What was done, or what is wrong and what helps, a line each.
fn carry_out(options: &Delegate<'_>) -> Result<Lines, Lines> {
    let user = account(options.user)?;
    if !geteuid().is_root() {
        let mut command = format!("sudo sandboxctl delegate {}", user.name);
        if options.remove {
            command.push_str(" --remove");
        }
        if let Some(pid) = options.pid {
            command.push_str(&format!(" --pid {pid}"));
        }
        return Err(vec![
            "only root can give control groups away".to_owned(),
            command,
        ]);
    }
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let facts = probe(0);
    let result = match (facts.is_legacy(), options.remove) {
        (_, true) => take_back(&facts, uid),
        (true, false) => give_legacy(&facts, uid, gid),
        (false, false) if facts.systemd => Ok(by_systemd(&user.name)),
        (false, false) => give_unified(&facts, uid, gid, options.pid),
    };
    let mut lines = result?;
    if facts.is_legacy() && options.pid.is_some() {
        lines.push("on cgroup v1 a user moves its own processes: --pid was not needed".to_owned());
    }
    Ok(lines)
}

fn account(name: &str) -> Result<User, Lines> {
    let found = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    let user = found
        .map_err(|errno| {
            vec![format!(
                "cannot look up the user `{name}`: {}",
                errno.desc()
            )]
        })?
        .ok_or_else(|| {
            vec![
                format!("there is no user `{name}`"),
                "getent passwd".to_owned(),
            ]
        })?;
    if user.uid.is_root() {
        return Err(vec!["root needs no control groups given to it".to_owned()]);
    }
    Ok(user)
}

fn told(error: FileError) -> Lines {
    vec![error.to_string()]
}

/// The directory of users' directories, which must be root's.
fn top(mount: &Path) -> Result<Directory, Lines> {
    let (top, _) = Directory::open(mount)
        .and_then(|mount| mount.made(DELEGATED))
        .map_err(told)?;
    match top.owner().map_err(told)? {
        0 => Ok(top),
        other => Err(vec![format!(
            "{} belongs to user {other}, and must be root's",
            top.path().display()
        )]),
    }
}

// ------------------------------------------------------------------------------------------------ v1

fn give_legacy(facts: &CgroupFacts, uid: u32, gid: u32) -> Result<Lines, Lines> {
    let mut lines = Vec::new();
    for hierarchy in &facts.legacy {
        if !CONTROLLERS
            .iter()
            .any(|name| hierarchy.controllers.contains(*name))
        {
            continue;
        }
        let top = top(&hierarchy.mount)?;
        let (group, new) = top.made(&uid.to_string()).map_err(told)?;
        if hierarchy.controllers.contains("cpuset") {
            let mount = Directory::open(&hierarchy.mount).map_err(told)?;
            fill_cpuset(&mount, &top)?;
            fill_cpuset(&top, &group)?;
        }
        for file in ["cgroup.procs", "tasks"] {
            group.give_file(file, uid, gid).map_err(told)?;
        }
        // Last: with the directory the user has it.
        group.give(uid, gid).map_err(told)?;
        lines.push(said(new, group.path()));
    }
    if lines.is_empty() {
        return Err(vec![
            "no hierarchy with a controller that limits need is mounted".to_owned(),
        ]);
    }
    lines.push(until_reboot());
    Ok(lines)
}

/// A new group of v1's cpuset has neither CPUs nor memory nodes, and neither has what is made in it.
fn fill_cpuset(parent: &Directory, group: &Directory) -> Result<(), Lines> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if group.read(file).map_err(told)?.trim().is_empty() {
            let own = parent.read(file).map_err(told)?;
            group.write(file, own.trim()).map_err(told)?;
        }
    }
    Ok(())
}

fn said(new: bool, path: &Path) -> String {
    let what = if new {
        "made and gave away"
    } else {
        "gave away (it was there)"
    };
    format!("{what} {}", path.display())
}

fn until_reboot() -> String {
    "this lasts until the next boot; run it at boot to keep it".to_owned()
}

// ------------------------------------------------------------------------------------------------ v2

fn by_systemd(user: &str) -> Lines {
    vec![
        format!("nothing was done: on this host systemd gives `{user}` control groups (cpu, memory, pids) with each login"),
        "for further controllers: put [Service] and Delegate=cpu cpuset io memory pids into /etc/systemd/system/user@.service.d/delegate.conf, then systemctl daemon-reload and a new login".to_owned(),
        format!("for sandboxes without a login (cron, services): loginctl enable-linger {user}"),
    ]
}

fn give_unified(facts: &CgroupFacts, uid: u32, gid: u32, pid: Option<i32>) -> Result<Lines, Lines> {
    let tree = facts.unified.as_ref().ok_or_else(|| {
        vec![
            "no control groups are mounted".to_owned(),
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned(),
        ]
    })?;
    // Before anything is made: a wrong process number must change nothing.
    if let Some(pid) = pid {
        check_owner(pid, uid)?;
    }
    let mount = Directory::open(&tree.mount).map_err(told)?;
    let available = mount.read("cgroup.controllers").map_err(told)?;
    let controllers: BTreeSet<String> = available
        .split_whitespace()
        .filter(|name| CONTROLLERS.contains(name))
        .map(str::to_owned)
        .collect();
    let top = top(&tree.mount)?;
    let (group, new) = top.made(&uid.to_string()).map_err(told)?;
    for directory in [&mount, &top, &group] {
        enable_controllers(directory, &controllers).map_err(|error| {
            std::iter::once(error.message)
                .chain(error.help)
                .collect::<Lines>()
        })?;
    }
    let (session, _) = group.made(SESSION).map_err(told)?;
    for directory in [&session, &group] {
        // What cgroups(7) and /sys/kernel/cgroup/delegate name: not the limits of the group itself.
        for file in [
            "cgroup.procs",
            "cgroup.threads",
            "cgroup.subtree_control",
            "memory.oom.group",
            "memory.reclaim",
        ] {
            directory.give_file(file, uid, gid).map_err(told)?;
        }
        directory.give(uid, gid).map_err(told)?;
    }
    let controllers = controllers.into_iter().collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("{} with {controllers}", said(new, group.path()))];
    if let Some(pid) = pid {
        session.enter(pid).map_err(told)?;
        lines.push(format!(
            "moved process {pid} to {}",
            session.path().display()
        ));
    } else {
        lines.push("on cgroup v2 a user cannot move a process into it from outside: start the user's session in it, or move its login shell with --pid PID".to_owned());
        lines.push(format!(
            "a login can do so for itself, as root: echo $$ > {}/cgroup.procs",
            session.path().display()
        ));
    }
    lines.push(until_reboot());
    Ok(lines)
}

/// Whether a process is the user's, with all its ids: root must not be talked into moving another's.
fn check_owner(pid: i32, uid: u32) -> Result<(), Lines> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path)
        .map_err(|error| vec![format!("cannot look at process {pid}: {error}")])?;
    let ids = text
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or("");
    let ids: Vec<u32> = ids
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect();
    if ids.len() == 4 && ids.iter().all(|id| *id == uid) {
        return Ok(());
    }
    Err(vec![format!(
        "process {pid} is not user {uid}'s (its user ids are {ids:?})"
    )])
}

// ------------------------------------------------------------------------------------------------ back

fn take_back(facts: &CgroupFacts, uid: u32) -> Result<Lines, Lines> {
    let mounts = facts.legacy.iter().map(|hierarchy| &hierarchy.mount);
    let unified = facts.unified.as_ref().map(|Unified { mount, .. }| mount);
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for mount in mounts.chain(unified) {
        let own = mount.join(DELEGATED).join(uid.to_string());
        if !own.is_dir() {
            continue;
        }
        match take_back_from(mount, &own, uid) {
            Ok(()) => lines.push(format!("removed {}", own.display())),
            Err(error) => {
                wrong.push(error.to_string());
                wrong.extend(occupants(&own));
            }
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if lines.is_empty() {
        lines.push(format!("user {uid} has been given no control groups"));
    }
    Ok(lines)
}

fn take_back_from(mount: &Path, own: &Path, uid: u32) -> Result<(), FileError> {
    sweep([own]);
    let mount = Directory::open(mount)?;
    let top = mount.child(DELEGATED)?;
    let group = top.child(&uid.to_string())?;
    // Where processes are left this says EBUSY, and what the user had is still there.
    group.remove(SESSION)?;
    top.remove(&uid.to_string())?;
    // The last user's: not an error while there are others.
    let _ = mount.remove(DELEGATED);
    Ok(())
}

/// Who is still in there.
fn occupants(own: &Path) -> Option<String> {
    let mut open: Vec<PathBuf> = vec![own.to_owned()];
    let mut all = BTreeSet::new();
    while let Some(path) = open.pop().filter(|_| all.len() < 20) {
        let Ok(group) = Directory::open(&path) else {
            continue;
        };
        all.extend(group.processes().unwrap_or_default());
        open.extend(
            group
                .children()
                .unwrap_or_default()
                .iter()
                .map(|name| path.join(name)),
        );
    }
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| format!("end these processes first: {}", all.join(" ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(user: &str) -> Delegate<'_> {
        Delegate {
            user,
            remove: false,
            pid: None,
        }
    }

    #[test]
    fn users_that_are_not_there_and_root_are_refused() {
        let lines = carry_out(&options("no-such-user-here")).unwrap_err();
        assert_eq!(lines[0], "there is no user `no-such-user-here`");
        let lines = carry_out(&options("0")).unwrap_err();
        assert_eq!(lines[0], "root needs no control groups given to it");
    }

    #[test]
    fn a_process_of_somebody_else_is_not_moved() {
        let own = i32::try_from(std::process::id()).unwrap();
        let uid = geteuid().as_raw();
        assert_eq!(check_owner(own, uid), Ok(()));
        assert!(check_owner(own, uid + 1).is_err());
        assert!(check_owner(i32::MAX, uid).is_err());
    }

    #[test]
    #[allow(clippy::undocumented_unsafe_blocks)]
    fn a_user_who_was_given_control_groups_holds_limits_in_them_until_they_are_taken_back() {
        const NOBODY: u32 = 65_534;
        let facts = probe(0);
        if !geteuid().is_root() || (facts.systemd && !facts.is_legacy()) {
            eprintln!(
                "skipped: needs root on a host where systemd does not give control groups to users"
            );
            return;
        }
        let (ready, tell_ready) = nix::unistd::pipe().unwrap();
        let (go, tell_go) = nix::unistd::pipe().unwrap();
        let mut byte = [0];
        let user = match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                nix::unistd::setresgid(NOBODY.into(), NOBODY.into(), NOBODY.into()).unwrap();
                nix::unistd::setresuid(NOBODY.into(), NOBODY.into(), NOBODY.into()).unwrap();
                nix::unistd::write(&tell_ready, b"x").unwrap();
                nix::unistd::read(&go, &mut byte).unwrap();
                let result = crate::exec::group::tests::a_hog_dies();
                eprintln!("as a user: {result:?}");
                unsafe { libc::_exit(i32::from(result != Ok(true))) }
            }
            nix::unistd::ForkResult::Parent { child } => child,
        };
        nix::unistd::read(&ready, &mut byte).unwrap();
        let give = || {
            if facts.is_legacy() {
                give_legacy(&facts, NOBODY, NOBODY)
            } else {
                give_unified(&facts, NOBODY, NOBODY, Some(user.as_raw()))
            }
        };
        let lines = give().unwrap();
        eprintln!("{lines:#?}");
        assert!(lines[0].starts_with("made and gave away"));
        // Again: nothing changes.
        assert!(give().unwrap()[0].starts_with("gave away (it was there)"));
        nix::unistd::write(&tell_go, b"x").unwrap();
        let status = nix::sys::wait::waitpid(user, None).unwrap();
        let lines = take_back(&facts, NOBODY).unwrap();
        eprintln!("{lines:#?}");
        assert!(lines[0].starts_with("removed"));
        assert_eq!(status, nix::sys::wait::WaitStatus::Exited(user, 0));
        let lines = take_back(&facts, NOBODY).unwrap();
        assert_eq!(lines, ["user 65534 has been given no control groups"]);
    }
}
