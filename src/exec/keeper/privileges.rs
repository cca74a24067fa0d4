//! What is left to the process that hides names: it meets names that anybody has made, and is to be worth nothing to who
//! gets hold of it.

use libc::c_long;

use crate::bpf::{Action, Arch, Listed, Test, only};
use crate::kernel::{Errno, capability, process, seccomp};

/// To read and search directories whatever their modes are; to enter mount namespaces, with the next; to mount.
const CAPABILITIES: u64 = 1 << 2 | 1 << 18 | 1 << 21;
/// statmount(2), which has this number everywhere.
const SYS_STATMOUNT: c_long = 457;
const WRITES: u32 = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).cast_unsigned();
const EXECUTES: u32 = libc::PROT_EXEC.cast_unsigned();
const NO_FILE: u32 = libc::MAP_ANONYMOUS.cast_unsigned();
const MOUNTS: u32 = libc::CLONE_NEWNS.cast_unsigned();
const KILL: u32 = libc::SIGKILL.cast_unsigned();

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // numbers of calls are small
const fn call(number: c_long, tests: &'static [Test]) -> Listed {
    Listed {
        number: number as u32,
        tests,
    }
}

/// What it does while it watches. C libraries differ in what they ask for a file's status and for memory.
const CALLS: &[Listed] = &[
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_poll, &[]),
    call(libc::SYS_ppoll, &[]),
    call(libc::SYS_restart_syscall, &[]),
    call(libc::SYS_read, &[]),
    call(libc::SYS_sendto, &[]),
    call(libc::SYS_pidfd_send_signal, &[Test::Is(1, KILL)]),
    call(libc::SYS_inotify_add_watch, &[]),
    call(libc::SYS_inotify_rm_watch, &[]),
    // Names that others made.
    call(libc::SYS_openat2, &[]),
    call(libc::SYS_openat, &[Test::Lacks(2, WRITES)]),
    call(libc::SYS_close, &[]),
    call(libc::SYS_fchdir, &[]),
    call(libc::SYS_getdents64, &[]),
    call(libc::SYS_statx, &[]),
    call(libc::SYS_fstat, &[]),
    call(libc::SYS_newfstatat, &[]),
    call(libc::SYS_fstatfs, &[]),
    call(SYS_STATMOUNT, &[]),
    call(
        libc::SYS_fcntl,
        &[Test::Is(1, libc::F_GETFD.cast_unsigned())],
    ),
    call(
        libc::SYS_fcntl,
        &[Test::Is(1, libc::F_GETFL.cast_unsigned())],
    ),
    call(
        libc::SYS_fcntl,
        &[Test::Is(1, libc::F_SETFD.cast_unsigned())],
    ),
    // What covers them.
    call(libc::SYS_setns, &[Test::Is(1, MOUNTS)]),
    call(libc::SYS_open_tree, &[]),
    call(libc::SYS_mount_setattr, &[]),
    call(libc::SYS_move_mount, &[]),
    // Memory.
    call(libc::SYS_brk, &[]),
    call(
        libc::SYS_mmap,
        &[Test::Lacks(2, EXECUTES), Test::Has(3, NO_FILE)],
    ),
    call(libc::SYS_mremap, &[]),
    call(libc::SYS_munmap, &[]),
    call(libc::SYS_madvise, &[]),
    call(libc::SYS_futex, &[]),
    call(libc::SYS_sched_yield, &[]),
    call(libc::SYS_getrandom, &[]),
    call(libc::SYS_rt_sigreturn, &[]),
    call(libc::SYS_exit_group, &[]),
];

/// Where the kernel does not tell what a file system is, a copy of this process asks it, which may be kept waiting.
const COPIES: &[Listed] = &[
    call(
        libc::SYS_clone,
        &[Test::Is(0, libc::SIGCHLD.cast_unsigned())],
    ),
    call(
        libc::SYS_fcntl,
        &[Test::Is(1, libc::F_DUPFD.cast_unsigned())],
    ),
    call(libc::SYS_close_range, &[]),
    call(libc::SYS_wait4, &[]),
    call(libc::SYS_kill, &[Test::Is(1, KILL)]),
    call(libc::SYS_nanosleep, &[]),
    call(libc::SYS_clock_nanosleep, &[]),
];

/// Gives up, for good, all that watching and covering does not need. `copies`: whether file systems are asked by copies of this
/// process.
pub(super) fn drop_all(copies: bool) -> Result<(), Errno> {
    // The bounding set stays: it counts for who executes a program, which the filter leaves nobody.
    capability::keep_only(CAPABILITIES, false)?;
    // A change of privileges may have opened it to others.
    process::undumpable()?;
    let arch = Arch::native().ok_or(Errno::ENOSYS)?;
    let more = if copies { COPIES } else { &[] };
    // Not killed: a C library may try what it can do without.
    let refused = Action::Errno(libc::EPERM);
    let filter = only(arch, CALLS.iter().chain(more), refused).map_err(|_| Errno::EINVAL)?;
    seccomp::install(&seccomp::prepare(&filter))
}
