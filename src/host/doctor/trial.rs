//! Namespaces are tried by making them, in children that end at once: what they made ends with them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::kernel::clone::{Child, Side, clone3, fork, only_clone3};
use crate::kernel::namespace::unshare;
use crate::kernel::{Errno, descriptor, mount, process, signal};

/// How long a trial may take until it is killed.
const LIMIT: Duration = Duration::from_millis(700);

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A user namespace.
    User,
    /// Writing its id maps, from outside.
    MapIds,
    /// A mount namespace.
    Mount,
    /// Making its mounts private.
    Private,
    /// A new tmpfs, attached over the root.
    Tmpfs,
    /// An IPC namespace.
    Ipc,
    /// A UTS namespace.
    Uts,
    /// A network namespace.
    Net,
    /// A cgroup namespace.
    Cgroup,
    /// A time namespace.
    Time,
    /// A pid namespace, and a first process in it.
    Pid,
    /// A new proc of that pid namespace.
    Proc,
}

impl Step {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 12] = [
        Self::User,
        Self::MapIds,
        Self::Mount,
        Self::Private,
        Self::Tmpfs,
        Self::Ipc,
        Self::Uts,
        Self::Net,
        Self::Cgroup,
        Self::Time,
        Self::Pid,
        Self::Proc,
    ];
}

/// What came of each step that was tried.
pub type Attempts = BTreeMap<Step, Result<(), Errno>>;

/// A user namespace as the launcher makes one, and everything else in it.
#[must_use]
pub fn in_user_namespace(uid: u32, gid: u32) -> Attempts {
    let mut attempts = Attempts::new();
    if let Err(errno) = user_trial(uid, gid, &mut attempts) {
        attempts.entry(Step::User).or_insert(Err(errno));
    }
    attempts
}

/// Namespaces without a user namespace, which needs CAP_SYS_ADMIN.
#[must_use]
pub fn directly() -> Attempts {
    let mut attempts = Attempts::new();
    let mut trial = || -> Result<(), Errno> {
        let (read, write) = descriptor::pipe()?;
        let pid = fork()?;
        if pid == 0 {
            drop(read);
            try_all(write.as_fd());
            process::exit(0);
        }
        drop(write);
        let pidfd = process::open(pid)?;
        listen(&read, &Child { pid, pidfd }, &mut attempts);
        Ok(())
    };
    if let Err(errno) = trial() {
        attempts.entry(Step::Mount).or_insert(Err(errno));
    }
    attempts
}

/// Whether clone3(2) can be used at all.
///
/// # Errors
/// clone3(2).
pub fn plain_clone() -> Result<(), Errno> {
    match only_clone3(0)? {
        Side::Child => process::exit(0),
        Side::Parent(child) => {
            let _ = process::wait_for(child.pidfd.as_fd(), libc::WEXITED);
            Ok(())
        }
    }
}

fn user_trial(uid: u32, gid: u32, attempts: &mut Attempts) -> Result<(), Errno> {
    let (read, write) = descriptor::pipe()?;
    let (wait, go) = descriptor::pipe()?;
    // The flag is a positive constant of type int.
    let child = match clone3(libc::CLONE_NEWUSER as u64, None)? {
        Side::Child => {
            drop((read, go));
            if descriptor::read(wait.as_fd(), &mut [0]) == Ok(1) {
                try_all(write.as_fd());
            }
            process::exit(0);
        }
        Side::Parent(child) => child,
    };
    drop((write, wait));
    attempts.insert(Step::User, Ok(()));
    let mapped = map_ids(child.pid, uid, gid);
    attempts.insert(Step::MapIds, mapped);
    if mapped.is_ok() {
        let _ = descriptor::write(go.as_fd(), b"g");
    }
    drop(go);
    listen(&read, &child, attempts);
    Ok(())
}

/// The maps that an ordinary user may write: the own ids, unchanged.
fn map_ids(pid: libc::pid_t, uid: u32, gid: u32) -> Result<(), Errno> {
    let write = |name: &str, text: &str| {
        std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/{pid}/{name}"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    write("setgroups", "deny")?;
    write("gid_map", &format!("{gid} {gid} 1\n"))?;
    write("uid_map", &format!("{uid} {uid} 1\n"))
}

/// Takes the reports in until the child has ended.
fn listen(from: &OwnedFd, child: &Child, attempts: &mut Attempts) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut ready = [libc::pollfd {
            fd: from.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }];
        let left = left.as_millis().try_into().unwrap_or(0);
        match descriptor::poll(&mut ready, left) {
            Err(Errno::EINTR) => continue,
            Ok(1..) => {}
            _ => break,
        }
        // Reports are shorter than PIPE_BUF, so that each is written and read as a whole.
        let mut report = [0; 5];
        if descriptor::read(from.as_fd(), &mut report) != Ok(report.len()) {
            break;
        }
        let [step, errno @ ..] = report;
        let Some(step) = Step::ALL.get(usize::from(step)) else {
            break;
        };
        let result = match i32::from_le_bytes(errno) {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        };
        attempts.insert(*step, result);
    }
    let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = process::wait_for(child.pidfd.as_fd(), libc::WEXITED);
}

/// Tells the parent; whether the step succeeded.
fn report(to: BorrowedFd<'_>, step: Step, result: Result<(), Errno>) -> bool {
    let number = Step::ALL.iter().position(|known| *known == step);
    let number = number.and_then(|number| u8::try_from(number).ok());
    let errno = result.err().map_or(0, |errno| errno as i32);
    let [a, b, c, d] = errno.to_le_bytes();
    let _ = descriptor::write(to, &[number.unwrap_or(u8::MAX), a, b, c, d]);
    result.is_ok()
}

/// In the child: everything but the user namespace.
fn try_all(to: BorrowedFd<'_>) {
    let _ = process::die_with_parent(libc::SIGKILL);
    let mounts = report(to, Step::Mount, unshare(libc::CLONE_NEWNS))
        && report(to, Step::Private, mount::make_private());
    for (step, flag) in [
        (Step::Ipc, libc::CLONE_NEWIPC),
        (Step::Uts, libc::CLONE_NEWUTS),
        (Step::Net, libc::CLONE_NEWNET),
        (Step::Cgroup, libc::CLONE_NEWCGROUP),
        (Step::Time, libc::CLONE_NEWTIME),
    ] {
        report(to, step, unshare(flag));
    }
    match unshare(libc::CLONE_NEWPID).and_then(|()| fork()) {
        Ok(0) => {
            let _ = process::die_with_parent(libc::SIGKILL);
            report(to, Step::Pid, Ok(()));
            if mounts {
                report(to, Step::Proc, make(c"proc").map(drop));
            }
            process::exit(0);
        }
        Ok(_) => drop(process::wait_any(libc::WEXITED)),
        Err(errno) => drop(report(to, Step::Pid, Err(errno))),
    }
    if mounts {
        let attached = make(c"tmpfs").and_then(|tree| mount::attach_over_root(tree.as_fd()));
        report(to, Step::Tmpfs, attached);
    }
}

/// A new file system, detached: it ends with its descriptor.
fn make(kind: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let context = mount::open_filesystem(kind)?;
    mount::make_mount(
        context.as_fd(),
        mount::attribute::NOSUID | mount::attribute::NODEV,
    )
}
