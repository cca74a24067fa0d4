//! New processes: clone3(2), and fork(2) by its means.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, Result, check};

/// CLONE_INTO_CGROUP of linux/sched.h, which does not fit into an int.
const INTO_GROUP: u64 = 0x2_0000_0000;
/// The structure without `cgroup` (CLONE_ARGS_SIZE_VER1, Linux 5.5).
const WITHOUT_GROUP: usize = 80;

/// Which side of the call one is on.
pub enum Side {
    /// The new process.
    Child,
    /// The caller.
    Parent(Child),
}

/// A process that was just made.
#[derive(Debug)]
pub struct Child {
    /// Its number, as the caller sees it.
    pub pid: libc::pid_t,
    /// The descriptor that names it for sure (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// Makes a process in the new namespaces that `flags` (CLONE_NEW…) name; SIGCHLD is sent when it ends. `group` is the
/// directory of the v2 control group that it is born into (CLONE_INTO_CGROUP, Linux 5.7), else the caller's. Nobody has to
/// wait for that, as for a process that is moved.
///
/// The caller must be single-threaded, for the child gets a copy of this thread only and goes on using everything.
///
/// # Errors
/// EPERM: a namespace needs a privilege, or user namespaces are refused by the system. ENOSPC: a limit on the
/// number of namespaces (namespaces(7)). EAGAIN: a limit on processes. EINVAL: the kernel lacks a namespace. With a group:
/// EACCES: the caller may not move processes there. EBUSY: it gives controllers to its children. E2BIG: the kernel is
/// too old. ENOSYS: there is no clone3(2), and without it nobody is born into a group. Such an error made no process; who
/// gets it may ask again without the group.
pub fn clone3(flags: u64, group: Option<BorrowedFd<'_>>) -> Result<Side> {
    match by_clone3(flags, group) {
        // Filters of containers cannot see flags behind a pointer, and say that there is no such call.
        Err(Errno::ENOSYS) if group.is_none() => by_clone(flags),
        Err(Errno::EPERM) if group.is_none() && flags == 0 => by_clone(flags),
        other => other,
    }
}

/// Tries clone3(2) itself, without the older call in its place.
///
/// # Errors
/// As [`clone3`]; ENOSYS or EPERM where a filter shuts it off.
pub fn only_clone3(flags: u64) -> Result<Side> {
    by_clone3(flags, None)
}

/// The same as [`clone3`], but the new process is a child of the caller's parent (CLONE_PARENT), as the caller is; its end
/// sends the signal that the caller's own end sends.
///
/// # Errors
/// As for [`only_clone3`].
pub fn clone3_beside(flags: u64, group: Option<BorrowedFd<'_>>) -> Result<Side> {
    #[allow(clippy::cast_sign_loss)] // a positive constant of type int
    clone_with(flags | libc::CLONE_PARENT as u64, 0, group)
}

fn by_clone3(flags: u64, group: Option<BorrowedFd<'_>>) -> Result<Side> {
    clone_with(flags, libc::SIGCHLD, group)
}

fn clone_with(flags: u64, signal: libc::c_int, group: Option<BorrowedFd<'_>>) -> Result<Side> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: an all-zero clone_args is valid: no stack, no TLS, no signal.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    // CLONE_PIDFD is a positive constant of type int.
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = signal as u64;
    let mut size = WITHOUT_GROUP;
    if let Some(group) = group {
        arguments.flags |= INTO_GROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
        size = size_of::<libc::clone_args>();
    }
    // SAFETY: the structure outlives the call, its size is passed, and without CLONE_VM the child has its own copy of
    // all memory, so that returning twice is what fork(2) does.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    side(check(returned)?, pidfd)
}

/// The older call, which does the same for all namespaces but that of time: its flag is taken by the signal. Nobody is born
/// into a group by it.
fn by_clone(flags: u64) -> Result<Side> {
    let signals = 0xff;
    if flags & signals != 0 {
        return Err(Errno::ENOSYS);
    }
    let mut pidfd: libc::c_int = -1;
    let none = std::ptr::null_mut::<libc::c_void>();
    let flags = flags | libc::CLONE_PIDFD as u64 | libc::SIGCHLD as u64;
    // SAFETY: as above; with CLONE_PIDFD the third argument is where the descriptor goes, and it outlives the call.
    let returned =
        unsafe { libc::syscall(libc::SYS_clone, flags, none, &raw mut pidfd, none, none) };
    side(check(returned)?, pidfd)
}

fn side(pid: libc::c_long, pidfd: libc::c_int) -> Result<Side> {
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: the kernel has just put a descriptor that nobody else owns there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    #[allow(clippy::cast_possible_truncation)] // pids are ints
    let pid = pid as libc::pid_t;
    Ok(Side::Parent(Child { pid, pidfd }))
}

/// Makes a plain copy of the process: fork(2) without the C library's handlers. Returns 0 in the child, the pid in
/// the parent. Allocates nothing.
///
/// # Errors
/// EAGAIN: a limit on processes.
pub fn fork() -> Result<libc::pid_t> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: SIGCHLD alone makes this fork(2): the child has a copy of all memory and no stack of its own is needed.
    let returned = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, none, none, none, none) };
    #[allow(clippy::cast_possible_truncation)] // pids are ints
    check(returned).map(|pid| pid as libc::pid_t)
}
