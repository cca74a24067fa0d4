//! A directory for one run, in which sockets are made that the program is shown. It lies beside the records, belongs to the
//! launcher alone, is locked by it as long as it lives (flock(2)), and is removed at the end; what a killed launcher left is
//! removed by the next one that makes such a directory or ends.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};

use super::directory::{Directory, writable};
use crate::changes::remove::remove;
use crate::kernel::{at, lock, process};
use crate::report::escape;

/// In the directory of records; no record can be called so.
const NAME: &str = ".run";

/// The names of directories are so many hexadecimal digits.
const DIGITS: usize = 12;

/// A path of a socket has at most 107 bytes (unix(7)); this much is left for its name in the directory.
const LONGEST: usize = 107 - 33;

/// So many directories are looked at when some are to be removed.
const SWEPT: usize = 64;

fn flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// A directory of one run. It is removed, with everything in it, when this is dropped.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Holds the lock.
    lock: OwnedFd,
}

impl RunDirectory {
    /// Makes one, with mode 0700.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn make() -> Result<Self, String> {
        let records = writable()?;
        // Whatever the caller's umask takes away, this mode is meant.
        let theirs = process::set_umask(0o077);
        let made = make_in(&records);
        process::set_umask(theirs);
        let (above, made) = made?;
        sweep_in(&above);
        Ok(made)
    }

    /// Where it is, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // From where it lies by now, not where its path leads. Nobody can be told; the next launch tries it again.
        if let (Some(name), Ok(above)) = (
            self.path.file_name(),
            openat(&self.lock, "..", flags(), Mode::empty()),
        ) {
            let _ = remove(above.as_fd(), name);
        }
    }
}

/// The directory that holds those of all runs.
struct Above {
    fd: OwnedFd,
    path: PathBuf,
}

fn make_in(records: &Directory) -> Result<(Above, RunDirectory), String> {
    let shown = records.path().join(NAME);
    let told = |what: &str, errno: Errno| {
        let shown = escape::os(shown.as_os_str());
        format!(
            "no directory can be made {what} `{shown}`: {}",
            errno.desc()
        )
    };
    match mkdirat(&records.fd, NAME, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(told("at", errno)),
    }
    let fd =
        openat(&records.fd, NAME, flags(), Mode::empty()).map_err(|errno| told("at", errno))?;
    let found = fstat(&fd).map_err(|errno| told("at", errno))?;
    if found.st_uid != records.uid() || found.st_mode & super::directory::OTHERS != 0 {
        return Err(format!(
            "`{}` is not used: it belongs to somebody else, or others have rights on it",
            escape::os(shown.as_os_str())
        ));
    }
    let path = shown.canonicalize().map_err(|error| error.to_string())?;
    let above = Above { fd, path };
    for _ in 0..100 {
        let name = process::random_hex().map_err(|error| format!("no random bytes: {error}"))?;
        let path = above.path.join(&name);
        if path.as_os_str().len() > LONGEST {
            return Err(format!(
                "the path of a socket in `{}` would be too long",
                escape::os(above.path.as_os_str())
            ));
        }
        match mkdirat(&above.fd, name.as_str(), Mode::S_IRWXU) {
            Ok(()) => {}
            Err(Errno::EEXIST) => continue,
            Err(errno) => return Err(told("in", errno)),
        }
        // Somebody who looked whether it is stale may have found it unlocked, and removed it.
        let Ok(fd) = openat(&above.fd, name.as_str(), flags(), Mode::empty()) else {
            continue;
        };
        let mine = lock::try_exclusive(fd.as_fd()) == Ok(true)
            && fstat(&fd).is_ok_and(|found| found.st_nlink > 0);
        if mine {
            return Ok((above, RunDirectory { path, lock: fd }));
        }
    }
    Err(told("in", Errno::EAGAIN))
}

/// Removes directories of launchers that have died without doing it, in the directory of records.
pub(super) fn sweep(records: &Directory) {
    let Ok(fd) = openat(&records.fd, NAME, flags(), Mode::empty()) else {
        return;
    };
    sweep_in(&Above {
        fd,
        path: records.path().join(NAME),
    });
}

fn sweep_in(above: &Above) {
    // A file of its own, as reading moves the position.
    let Ok(listed) = at::open_names(above.fd.as_fd()) else {
        return;
    };
    let mut names: Vec<OsString> = Vec::new();
    let _ = at::names(listed.as_fd(), |name| {
        // What has another name is none of ours.
        if name.len() == DIGITS && name.iter().all(u8::is_ascii_hexdigit) {
            names.push(OsString::from_vec(name.to_owned()));
        }
        names.len() < SWEPT
    });
    for name in names {
        let Ok(fd) = openat(&above.fd, name.as_os_str(), flags(), Mode::empty()) else {
            continue;
        };
        if lock::try_exclusive(fd.as_fd()) != Ok(true) {
            continue;
        }
        // The one that is locked, and none that has taken its name since.
        let now = fstatat(&above.fd, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let same = matches!((fstat(&fd), now), (Ok(one), Ok(other)) if one.st_ino == other.st_ino);
        if same {
            let _ = remove(above.fd.as_fd(), &name);
        }
    }
}
