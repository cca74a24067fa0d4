//! Signals: masks, signalfd(2), and sending by descriptor. What the child uses allocates nothing.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::{Errno, Result, check, check_int};

/// The signals that the launcher and process 1 take as messages.
pub const WATCHED: [libc::c_int; 12] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: all-zero is a valid sigset_t.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for &signal in signals {
        // SAFETY: the set is valid; a wrong number is refused.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Blocks these signals for the caller, on top of what is blocked.
///
/// # Errors
/// sigprocmask(2).
pub fn block(signals: &[libc::c_int]) -> Result<()> {
    let set = set_of(signals);
    // SAFETY: the set lives through the call.
    check_int(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })
        .map(drop)
}

/// Blocks these signals no longer: one that came meanwhile takes its action.
///
/// # Errors
/// sigprocmask(2).
pub fn unblock(signals: &[libc::c_int]) -> Result<()> {
    let set = set_of(signals);
    // SAFETY: the set lives through the call.
    check_int(unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) })
        .map(drop)
}

/// Lets a signal that is blocked and pending take its action, and blocks it again.
///
/// # Errors
/// sigprocmask(2).
pub fn let_through(signal: libc::c_int) -> Result<()> {
    let set = set_of(&[signal]);
    // SAFETY: the set lives through the call.
    check_int(unsafe {
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut())
    })?;
    block(&[signal])
}

/// Blocks no signal.
///
/// # Errors
/// sigprocmask(2).
pub fn unblock_all() -> Result<()> {
    let set = set_of(&[]);
    // SAFETY: the set lives through the call.
    check_int(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) })
        .map(drop)
}

/// What rt_sigaction(2) takes on 64-bit machines: handler, flags, restorer, mask.
const DEFAULT_ACTION: [u64; 4] = [0; 4];

/// Gives every signal its default action, but leaves SIGHUP ignored, as nohup(1) has it. Children inherit that.
///
/// All are set rather than those that proc_pid_status(5) shows to be altered: the kernel takes longer to write that text.
pub fn reset_actions() {
    let under_nohup = is_ignored(libc::SIGHUP);
    for signal in 1..=64 {
        if signal == libc::SIGHUP && under_nohup {
            continue;
        }
        // The C library refuses its own numbers (32, 33), but a caller may have left them ignored. SIGKILL and SIGSTOP
        // are refused by the kernel.
        // SAFETY: all zero is the default action with no flags and no mask; it lives through the call, and no handler
        // is installed. The last argument is the size of the kernel's mask.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT_ACTION.as_ptr(),
                std::ptr::null::<u64>(),
                8_usize,
            )
        };
    }
}

/// For a process of ours that stays without a program: what the launcher ignores or blocks, it hears.
pub(super) fn start_fresh() {
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGCHLD,
        libc::SIGPIPE,
    ] {
        // SAFETY: the default action is no handler of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = unblock_all();
}

/// Whether a signal is ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all-zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks; the structure lives through the call.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// A descriptor from which the blocked `signals` can be read; close-on-exec, non-blocking.
///
/// # Errors
/// signalfd(2).
pub fn descriptor(signals: &[libc::c_int]) -> Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: the set lives through the call.
    let fd = check_int(unsafe {
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: libc::c_int,
    /// Whether the kernel sent it (a key on the terminal) rather than a process.
    pub by_kernel: bool,
}

/// The next signal from a [`descriptor`], if one has come.
///
/// # Errors
/// read(2).
pub fn next(from: BorrowedFd<'_>) -> Result<Option<Signal>> {
    // SAFETY: all-zero is a valid signalfd_siginfo.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the structure lives through the call; its size is passed.
    let length = unsafe { libc::read(from.as_raw_fd(), (&raw mut info).cast(), size) };
    match usize::try_from(length) {
        Ok(length) if length == size => Ok(Some(Signal {
            number: info.ssi_signo.cast_signed(),
            by_kernel: info.ssi_code == libc::SI_KERNEL,
        })),
        Ok(_) => Err(Errno::EIO),
        Err(_) => match Errno::last() {
            Errno::EAGAIN | Errno::EINTR => Ok(None),
            error => Err(error),
        },
    }
}

/// Waits for one of the blocked `signals` (sigtimedwait(2)), for `patience` at most if there is one.
///
/// # Errors
/// EAGAIN: none came so long. EINTR is passed on.
pub fn wait(signals: &[libc::c_int], patience: Option<Duration>) -> Result<Signal> {
    let set = set_of(signals);
    let patience = patience.map(|patience| libc::timespec {
        tv_sec: patience.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    });
    let timeout = patience
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: all structures live through the call; without a time there is a null pointer.
    let number = check_int(unsafe { libc::sigtimedwait(&raw const set, &raw mut info, timeout) })?;
    Ok(Signal {
        number,
        by_kernel: info.si_code == libc::SI_KERNEL,
    })
}

/// Sends a signal to the process that `pidfd` names.
///
/// # Errors
/// ESRCH: it has ended.
pub fn send(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without siginfo the kernel makes its own.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            none,
            0,
        )
    })
    .map(drop)
}

/// Sends a signal by number: to a child that has not been waited for, to a group of our own (negative), or to oneself.
///
/// # Errors
/// kill(2).
pub fn send_to(pid: libc::pid_t, signal: libc::c_int) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::kill(pid, signal) }).map(drop)
}
