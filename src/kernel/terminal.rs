//! Terminals and pseudo-terminals (tty_ioctl(2), pty(7)). What the child uses allocates nothing.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, check_int};

/// Whether a descriptor is a terminal.
#[must_use]
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    attributes(fd).is_ok()
}

/// The settings of a terminal.
///
/// # Errors
/// ENOTTY: it is none.
pub fn attributes(fd: BorrowedFd<'_>) -> Result<libc::termios> {
    // SAFETY: all-zero is a valid termios.
    let mut found: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::tcgetattr(fd.as_raw_fd(), &raw mut found) })?;
    Ok(found)
}

/// Sets the settings of a terminal once its output has drained.
///
/// # Errors
/// tcsetattr(3).
pub fn set_attributes(fd: BorrowedFd<'_>, attributes: &libc::termios) -> Result<()> {
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::tcsetattr(fd.as_raw_fd(), libc::TCSADRAIN, attributes) }).map(drop)
}

/// The same settings, but every byte passed on as it is.
#[must_use]
pub fn raw(of: &libc::termios) -> libc::termios {
    let mut raw = *of;
    // SAFETY: changes the structure only.
    unsafe { libc::cfmakeraw(&raw mut raw) };
    raw
}

/// Rows and columns.
///
/// # Errors
/// ENOTTY.
pub fn size(fd: BorrowedFd<'_>) -> Result<libc::winsize> {
    // SAFETY: all-zero is a valid winsize.
    let mut found: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut found) })?;
    Ok(found)
}

/// Sets rows and columns.
///
/// # Errors
/// ENOTTY.
pub fn set_size(fd: BorrowedFd<'_>, size: &libc::winsize) -> Result<()> {
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(size)) })
        .map(drop)
}

/// Lets the other end of a pseudo-terminal be opened.
///
/// # Errors
/// ioctl TIOCSPTLCK.
pub fn unlock(master: BorrowedFd<'_>) -> Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the integer lives through the call.
    check_int(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })
        .map(drop)
}

/// Opens the other end of a pseudo-terminal, whatever is mounted where (Linux 4.13).
///
/// # Errors
/// ioctl TIOCGPTPEER.
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: plain integers.
    let fd = check_int(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a terminal the controlling terminal of the caller's session.
///
/// # Errors
/// EPERM: the caller leads no session, or has a terminal.
pub fn make_controlling(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: plain integers; 0: not to be stolen from another session.
    check_int(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// The process group in the foreground.
///
/// # Errors
/// ENOTTY: not the controlling terminal.
pub fn foreground(fd: BorrowedFd<'_>) -> Result<libc::pid_t> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::tcgetpgrp(fd.as_raw_fd()) })
}

/// Puts a process group into the foreground. SIGTTOU must be blocked or ignored.
///
/// # Errors
/// tcsetpgrp(3).
pub fn set_foreground(fd: BorrowedFd<'_>, group: libc::pid_t) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::tcsetpgrp(fd.as_raw_fd(), group) }).map(drop)
}

/// The caller's process group.
#[must_use]
pub fn own_group() -> libc::pid_t {
    // SAFETY: no arguments.
    unsafe { libc::getpgrp() }
}
