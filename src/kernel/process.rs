//! What tells one process from another with the same number later.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// A process, whatever becomes of its number (pidfd_open(2), Linux 5.3).
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens the process that has this number now.
    ///
    /// # Errors
    /// Those of pidfd_open(2): ESRCH when there is none.
    pub fn open(pid: i32) -> Result<Self, Errno> {
        // SAFETY: takes two numbers and returns a descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made it for us; it is close-on-exec.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// Those of pidfd_send_signal(2): ESRCH when it has ended, EPERM.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and no siginfo is given.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                none,
                0,
            )
        };
        Errno::result(sent).map(drop)
    }
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22).
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn start_time(pid: i32) -> std::io::Result<u64> {
    let text = fs::read(format!("/proc/{pid}/stat")).map_err(|error| {
        if error.raw_os_error() == Some(libc::ESRCH) {
            ErrorKind::NotFound.into()
        } else {
            error
        }
    })?;
    // The name in parentheses may hold anything, also a parenthesis.
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Random bits of the kernel, as hexadecimal digits.
///
/// # Errors
/// Those of getrandom(2).
pub fn random_hex() -> std::io::Result<String> {
    let mut bytes = [0_u8; 6];
    // SAFETY: the buffer is ours and as long as we say.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != 6 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
