//! Memory pressure of the host: a trigger on /proc/pressure/memory (PSI; kernel document accounting/psi).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// 150 ms of stalled tasks within 2 s; without privilege the kernel takes only windows of whole 2 s.
const TRIGGER: &[u8] = b"some 150000 2000000\0";

/// Opens the trigger: the file polls POLLPRI when memory has run short, at most once in 2 s.
///
/// # Errors
/// ENOENT without PSI in the kernel, EACCES or EINVAL for an ordinary user before Linux 6.5, EOPNOTSUPP with `psi=0`.
pub fn memory_trigger() -> std::io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/proc/pressure/memory")?;
    file.write_all(TRIGGER)?;
    Ok(file)
}

/// Waits until memory has run short, or something has happened to a group whose `cgroup.events` this is. Whether it is
/// the former.
///
/// # Errors
/// poll(2).
pub fn wait(pressure: BorrowedFd<'_>, events: &File) -> std::io::Result<bool> {
    let mut wanted = [
        PollFd::new(pressure, PollFlags::POLLPRI),
        PollFd::new(events.as_fd(), PollFlags::POLLPRI),
    ];
    match poll(&mut wanted, PollTimeout::NONE) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let [pressure, _] = wanted;
    let seen = pressure.revents().unwrap_or(PollFlags::empty());
    if seen.contains(PollFlags::POLLERR) && !seen.contains(PollFlags::POLLPRI) {
        return Err(std::io::Error::other("the trigger is gone"));
    }
    Ok(seen.contains(PollFlags::POLLPRI))
}
