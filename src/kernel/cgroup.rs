//! The files of control groups, each relative to an open directory. cgroups(7); kernel documents
//! admin-guide/cgroup-v1, admin-guide/cgroup-v2.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, unlinkat};

use super::{at, process, signal};
use crate::section::limits::Version;

/// What could not be done to which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// `read`, `write 512 to`, …
    pub doing: String,
    /// The kernel's answer.
    pub errno: Errno,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} `{}`: {}",
            self.doing,
            crate::report::escape::line(&self.path.to_string_lossy()),
            self.errno.desc()
        )
    }
}

impl std::error::Error for FileError {}

/// The attribute by which a soft limit is told.
const SOFT_LIMIT: &CStr = c"user.sandbox.memory-soft";

/// A group's directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Moves what it keeps to where memory is asked for now.
    pub fn gather(&mut self) {
        self.path = self.path.clone();
    }

    /// Opens a directory; no symbolic link is followed in its last component.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = again(|| open(path, flags, Mode::empty()))
            .map_err(|errno| fault(path.to_owned(), "open", errno))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// The same directory, opened once more.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn again(&self) -> Result<Self, FileError> {
        let fd = self.fd.try_clone();
        Ok(Self {
            fd: fd.map_err(|error| self.fault("", "open", errno_of(&error)))?,
            path: self.path.clone(),
        })
    }

    /// Its descriptor, for what is born into it or attached to it.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a group in it, which must not be there yet, and opens it.
    ///
    /// # Errors
    /// Those of mkdir(2) and open(2).
    pub fn make(&self, name: &str) -> Result<Self, FileError> {
        again(|| mkdirat(&self.fd, name, Mode::from_bits_truncate(0o755)))
            .map_err(|errno| self.fault(name, "make the group", errno))?;
        self.child(name).inspect_err(|_| {
            // Nobody else knows yet that it is there.
            let _ = self.remove(name);
        })
    }

    /// Opens a group in it.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn child(&self, name: &str) -> Result<Self, FileError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = again(|| openat(&self.fd, name, flags, Mode::empty()))
            .map_err(|errno| self.fault(name, "open", errno))?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Removes a group in it, which must have neither processes nor groups.
    ///
    /// # Errors
    /// Those of rmdir(2); EBUSY while a process is in it. A group that is gone is no error.
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        match again(|| unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fault(name, "remove the group", errno)),
        }
    }

    /// The names of the groups in it.
    ///
    /// # Errors
    /// Those of open(2) and getdents(2).
    pub fn children(&self) -> Result<Vec<String>, FileError> {
        let mut found = Vec::new();
        // A fresh open file: reading a directory moves the position that duplicates share.
        let list = at::open_names(self.fd.as_fd()).and_then(|list| {
            at::entries(list.as_fd(), |entry| {
                if entry.is_directory() {
                    found.extend(str::from_utf8(entry.name).map(str::to_owned));
                }
                true
            })
        });
        list.map_err(|errno| self.fault("", "list", errno))?;
        Ok(found)
    }

    /// What a file says.
    ///
    /// # Errors
    /// Those of open(2) and read(2); ENODEV once the group is removed.
    pub fn read(&self, file: &str) -> Result<String, FileError> {
        super::pseudo::text(self.opened(file, OFlag::O_RDONLY, "read")?)
            .map_err(|error| self.fault(file, "read", errno_of(&error)))
    }

    /// Writes a value in one write(2), as the kernel wants it.
    ///
    /// # Errors
    /// Those of open(2) and write(2), which is where a value is refused.
    pub fn write(&self, file: &str, value: &str) -> Result<(), FileError> {
        let doing = format!("write {value} to");
        let mut opened = self.opened(file, OFlag::O_WRONLY, &doing)?;
        loop {
            match opened.write(value.as_bytes()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault(file, &doing, errno_of(&error))),
            }
        }
    }

    /// The file by which a process of one thread moves itself here, by writing `0` (v1).
    ///
    /// # Errors
    /// Those of open(2).
    pub fn door(&self) -> Result<OwnedFd, FileError> {
        self.opened("tasks", OFlag::O_WRONLY, "open")
            .map(OwnedFd::from)
    }

    /// The soft limit that whoever holds it was told to hold from now on (an extended attribute of the directory, v2, Linux
    /// 5.7): bytes, or `u64::MAX` for none; nothing when nobody was told.
    #[must_use]
    pub fn soft_limit(&self) -> Option<u64> {
        let mut text = [0_u8; 24];
        // SAFETY: the descriptor is ours, the name is a C string, and no more is written than there is room for.
        let length = unsafe {
            libc::fgetxattr(
                self.fd.as_raw_fd(),
                SOFT_LIMIT.as_ptr(),
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        let text = text.get(..usize::try_from(length).ok()?)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// Tells whoever holds the soft limit to hold another one.
    ///
    /// # Errors
    /// fsetxattr(2): EPERM for another user's group.
    pub fn set_soft_limit(&self, bytes: u64) -> Result<(), FileError> {
        let text = bytes.to_string();
        // SAFETY: the descriptor is ours, the name is a C string, and the value is as long as we say.
        let set = unsafe {
            libc::fsetxattr(
                self.fd.as_raw_fd(),
                SOFT_LIMIT.as_ptr(),
                text.as_ptr().cast(),
                text.len(),
                0,
            )
        };
        match set {
            0 => Ok(()),
            _ => Err(self.fault("", "tell the soft limit of", Errno::last())),
        }
    }

    /// One of its files, to be read, and polled where the kernel announces changes of it.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn file(&self, name: &str) -> Result<File, FileError> {
        self.opened(name, OFlag::O_RDONLY, "open")
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn has(&self, file: &str) -> bool {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        again(|| openat(&self.fd, file, flags, Mode::empty())).is_ok()
    }

    /// The processes in it, not those of groups in it; 0 stands for one of another pid namespace.
    ///
    /// # Errors
    /// Those of [`Directory::read`].
    pub fn processes(&self) -> Result<Vec<i32>, FileError> {
        let text = self.read("cgroup.procs")?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect())
    }

    /// Kills the processes in it once, not those of groups in it. A number may pass to another process at any time: what
    /// is still listed after the process was opened is the process that was opened, or that one is dead.
    ///
    /// # Errors
    /// Those of [`Directory::read`]; a process that cannot be killed is still there afterwards.
    pub fn kill_processes(&self) -> Result<(), FileError> {
        // 0 is a process of a pid namespace that we do not see.
        let opened: Vec<(i32, OwnedFd)> = self
            .processes()?
            .into_iter()
            .filter(|pid| *pid > 1)
            .filter_map(|pid| Some((pid, process::open(pid).ok()?)))
            .collect();
        let still = self.processes()?;
        for (_, process) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
            // It may have ended by itself.
            let _ = signal::send(process.as_fd(), libc::SIGKILL);
        }
        Ok(())
    }

    /// Moves a process into it, with all its threads.
    ///
    /// # Errors
    /// Those of [`Directory::write`]: EACCES without the right to move it, ESRCH when it is gone, EBUSY for a v2 group
    /// that gives controllers to children.
    pub fn enter(&self, pid: i32) -> Result<(), FileError> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// The number in a file; none for `max`, what is not a number, and a file that is not there.
    #[must_use]
    pub fn number(&self, file: &str) -> Option<u64> {
        self.read(file).ok()?.trim().parse().ok()
    }

    /// The number after `name` in a file of lines `NAME NUMBER`.
    #[must_use]
    pub fn field(&self, file: &str, name: &str) -> Option<u64> {
        field(&self.read(file).ok()?, name)
    }

    /// Opens a group in it, which is made if it is not there; and whether it was made.
    ///
    /// # Errors
    /// Those of [`Directory::make`] and [`Directory::child`].
    pub fn made(&self, name: &str) -> Result<(Self, bool), FileError> {
        match self.make(name) {
            Ok(group) => Ok((group, true)),
            Err(error) if error.errno == Errno::EEXIST => Ok((self.child(name)?, false)),
            Err(error) => Err(error),
        }
    }

    /// The user that it belongs to.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn owner(&self) -> Result<u32, FileError> {
        let status = fstat(&self.fd).map_err(|errno| self.fault("", "look at", errno))?;
        Ok(status.st_uid)
    }

    /// Which version of control groups it is of; none when it is no control group at all (fstatfs(2)).
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match fstatfs(&self.fd).ok()?.filesystem_type() {
            CGROUP_SUPER_MAGIC => Some(Version::V1),
            CGROUP2_SUPER_MAGIC => Some(Version::V2),
            _ => None,
        }
    }

    /// Gives it to a user: so that the user can make groups in it.
    ///
    /// # Errors
    /// Those of chown(2).
    pub fn give(&self, uid: u32, gid: u32) -> Result<(), FileError> {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchown(&self.fd, Some(user), Some(group))
            .map_err(|errno| self.fault("", "give away", errno))
    }

    /// Gives one of its files to a user.
    ///
    /// # Errors
    /// Those of chown(2); no error when there is no such file.
    pub fn give_file(&self, file: &str, uid: u32, gid: u32) -> Result<(), FileError> {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        match fchownat(&self.fd, file, Some(user), Some(group), flags) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fault(file, "give away", errno)),
        }
    }

    pub(super) fn opened(&self, file: &str, mode: OFlag, doing: &str) -> Result<File, FileError> {
        let flags = mode | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        again(|| openat(&self.fd, file, flags, Mode::empty()))
            .map(File::from)
            .map_err(|errno| self.fault(file, doing, errno))
    }

    fn fault(&self, file: &str, doing: &str, errno: Errno) -> FileError {
        fault(self.path.join(file), doing, errno)
    }
}

fn fault(path: PathBuf, doing: &str, errno: Errno) -> FileError {
    FileError {
        path,
        doing: doing.to_owned(),
        errno,
    }
}

/// The number after `name` in lines `NAME NUMBER`.
#[must_use]
pub fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|number| number.trim().parse().ok())
}

/// An extended attribute of a directory, of at most 64 bytes (fgetxattr(2)); none when it is not there.
#[must_use]
pub fn extended_attribute(directory: BorrowedFd<'_>, name: &CStr) -> Option<Vec<u8>> {
    let mut value = [0_u8; 64];
    // SAFETY: the name ends with NUL, and the kernel writes at most as many bytes as the buffer has.
    let length = unsafe {
        libc::fgetxattr(
            directory.as_raw_fd(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    let length = usize::try_from(length).ok()?;
    value.get(..length).map(<[u8]>::to_vec)
}

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Repeats a call that a signal interrupted.
fn again<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_whole_words() {
        let text = "oom 3\noom_kill 7\noom_kill_disable 0\n";
        assert_eq!(field(text, "oom_kill"), Some(7));
        assert_eq!(field(text, "oom"), Some(3));
        assert_eq!(field(text, "max"), None);
    }
}
