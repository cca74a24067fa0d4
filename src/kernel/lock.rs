//! Locks on open files, flock(2): held until every copy of the descriptor is closed, so that the kernel gives them back
//! when a process dies, however it dies.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, Result, check_int};

fn flock(file: BorrowedFd<'_>, operation: libc::c_int) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

/// Takes the exclusive lock if nobody holds any; whether it was to be had.
///
/// # Errors
/// flock(2), ENOLCK.
pub fn try_exclusive(file: BorrowedFd<'_>) -> Result<bool> {
    taken(flock(file, libc::LOCK_EX | libc::LOCK_NB))
}

/// Takes a shared lock if nobody holds the exclusive one; whether it was to be had.
///
/// # Errors
/// flock(2), ENOLCK.
pub fn try_shared(file: BorrowedFd<'_>) -> Result<bool> {
    taken(flock(file, libc::LOCK_SH | libc::LOCK_NB))
}

/// Waits until nobody holds the exclusive lock.
///
/// # Errors
/// EINTR: a signal came first.
pub fn wait_shared(file: BorrowedFd<'_>) -> Result<()> {
    flock(file, libc::LOCK_SH)
}

/// Gives a lock back.
pub fn release(file: BorrowedFd<'_>) {
    // Nothing can be done about a failure; the lock goes with the descriptor.
    let _ = flock(file, libc::LOCK_UN);
}

fn taken(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}
