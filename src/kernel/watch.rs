//! Files of control groups that say when something happened, so that nobody has to look again and again: poll(2) of
//! memory.events and pids.events, eventfd(2) for v1's memory.oom_control (kernel documents admin-guide/cgroup-v1/memory,
//! admin-guide/cgroup-v2).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;

use super::cgroup::{Directory, FileError};
use super::check_int;

/// An open file that polls POLLPRI once the kernel has changed it after it was last read.
#[derive(Debug)]
pub struct Changing(File);

impl Changing {
    /// Opens a file; it polls POLLPRI until it is read for the first time.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(group: &Directory, file: &str) -> Result<Self, FileError> {
        group.opened(file, OFlag::O_RDONLY, "watch").map(Self)
    }

    /// What it says now.
    ///
    /// # Errors
    /// ENODEV: the group is removed.
    pub fn read(&self) -> std::io::Result<String> {
        // The files that can be watched are short.
        let mut bytes = [0_u8; 4096];
        let length = self.0.read_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned())
    }
}

impl AsFd for Changing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor that polls POLLIN when a v1 group ran out of memory, before a process is killed for it.
#[derive(Debug)]
pub struct OutOfMemory(File);

impl OutOfMemory {
    /// Asks a v1 memory group to tell.
    ///
    /// # Errors
    /// Those of eventfd(2), open(2) and write(2): EACCES for somebody else's group.
    pub fn of(group: &Directory) -> Result<Self, FileError> {
        // SAFETY: takes two numbers.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let event = check_int(event).map_err(|errno| FileError {
            path: group.path().to_owned(),
            doing: "make an eventfd for".to_owned(),
            errno,
        })?;
        // SAFETY: the kernel has just made this descriptor for us.
        let event = unsafe { File::from_raw_fd(event) };
        let control: OwnedFd = group
            .opened("memory.oom_control", OFlag::O_RDONLY, "watch")?
            .into();
        let text = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        group.write("cgroup.event_control", &text)?;
        Ok(Self(event))
    }

    /// Takes what has been told, so that it polls only upon the next time.
    pub fn take(&self) {
        // EAGAIN: nothing has been told.
        let _ = (&self.0).read(&mut [0_u8; 8]);
    }
}

impl AsFd for OutOfMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
