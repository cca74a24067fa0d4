//! The directories that records are kept in: whose they are, and whether they can be relied on.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};

use super::{name, place};
use crate::kernel::{at, process};
use crate::report::escape;

/// So many files of one directory are looked at: who puts more there only keeps their own from being found.
const MOST: usize = 10_000;

/// Permission bits of others than the owner.
pub(super) const OTHERS: u32 = 0o077;

fn path_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// A directory with the records of one user.
#[derive(Debug)]
pub struct Directory {
    pub(super) fd: OwnedFd,
    path: PathBuf,
    uid: u32,
}

/// Why a directory is not used.
enum Unfit {
    Missing,
    Because(String),
}

impl Directory {
    /// Opens the directory of the caller.
    fn own(path: &Path, uid: u32) -> Result<Self, Unfit> {
        let fd = open(path, path_flags(), Mode::empty()).map_err(|errno| unfit(path, errno))?;
        Self::checked(fd, path, uid)
    }

    /// Opens a directory of another user, below one that only root can change.
    fn of_other(base: &Path, below: &Path, uid: u32) -> Result<Self, Unfit> {
        let mut fd = open(
            base,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| unfit(base, errno))?;
        let path = base.join(below);
        for (depth, part) in below.components().enumerate() {
            let Component::Normal(part) = part else {
                return Err(Unfit::Missing);
            };
            // Many a name in the user database has a home that is somebody else's: nothing of it can be there.
            let unfit = |reason: Unfit| if depth == 0 { Unfit::Missing } else { reason };
            fd = openat(&fd, part, path_flags(), Mode::empty())
                .map_err(|errno| unfit(self::unfit(&path, errno)))?;
            let found = fstat(&fd).map_err(|errno| unfit(self::unfit(&path, errno)))?;
            if found.st_uid != uid {
                return Err(unfit(Unfit::Because(format!(
                    "`{}` is not used: a directory in its path belongs to user {}, not {uid}",
                    escape::os(path.as_os_str()),
                    found.st_uid
                ))));
            }
        }
        Self::checked(fd, &path, uid)
    }

    fn checked(fd: OwnedFd, path: &Path, uid: u32) -> Result<Self, Unfit> {
        let found = fstat(&fd).map_err(|errno| unfit(path, errno))?;
        let told = escape::os(path.as_os_str());
        if found.st_uid != uid {
            return Err(Unfit::Because(format!(
                "`{told}` is not used: it belongs to user {}, not {uid}",
                found.st_uid
            )));
        }
        if found.st_mode & OTHERS != 0 {
            return Err(Unfit::Because(format!(
                "`{told}` is not used: others have rights on it (mode {:03o}); `chmod 700` it",
                found.st_mode & 0o777
            )));
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
            uid,
        })
    }

    /// Moves what it keeps to where memory is asked for now.
    pub(super) fn gather(&mut self) {
        self.path = self.path.clone();
    }

    /// Whose it is.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the files in it that may be records.
    pub(super) fn names(&self) -> Vec<String> {
        // A file of its own, as reading moves the position.
        let Ok(fd) = at::open_names(self.fd.as_fd()) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        // What could be read until something cannot be is told.
        let _ = at::names(fd.as_fd(), |file| {
            if let Ok(file) = str::from_utf8(file)
                && name::check(file).is_ok()
            {
                names.push(file.to_owned());
            }
            names.len() < MOST
        });
        names.sort();
        names
    }
}

fn unfit(path: &Path, errno: Errno) -> Unfit {
    match errno {
        Errno::ENOENT => Unfit::Missing,
        errno => Unfit::Because(format!(
            "`{}` is not used: {}",
            escape::os(path.as_os_str()),
            match errno {
                Errno::ELOOP | Errno::ENOTDIR => "it is no directory, or a symbolic link",
                errno => errno.desc(),
            }
        )),
    }
}

/// The directory of the state of the user who calls.
pub(super) fn state() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))
}

/// Where the caller's records may be, the best first.
fn own_places(uid: u32) -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    place::of(uid, runtime.as_deref(), state().as_deref())
}

/// Makes a directory of the caller in one of the caller's; below the directory of state with what is missing above it.
fn make(path: &Path, uid: u32) -> Result<Directory, Unfit> {
    let unfit = |errno| unfit(path, errno);
    let mut above = path.ancestors().skip(1);
    let there = if path.ends_with(place::BELOW_STATE) {
        above.find(|above| above.symlink_metadata().is_ok())
    } else {
        above.next()
    };
    let there = there.ok_or(Unfit::Missing)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut fd = open(there, flags, Mode::empty()).map_err(unfit)?;
    // Not in somebody else's directory, where it could be replaced.
    if fstat(&fd).map_err(unfit)?.st_uid != uid {
        return Err(Unfit::Because(format!(
            "`{}` is not used: `{}` belongs to somebody else",
            escape::os(path.as_os_str()),
            escape::os(there.as_os_str())
        )));
    }
    for part in path.strip_prefix(there).unwrap_or(path).components() {
        let Component::Normal(part) = part else {
            return Err(Unfit::Missing);
        };
        // Whatever the caller's umask takes away, this mode is meant.
        let theirs = process::set_umask(0o077);
        let made = mkdirat(&fd, part, Mode::S_IRWXU);
        process::set_umask(theirs);
        match made {
            // Somebody else of us was faster.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(unfit(errno)),
        }
        fd = openat(&fd, part, path_flags(), Mode::empty()).map_err(unfit)?;
    }
    Directory::checked(fd, path, uid)
}

/// Where [`writable`] found one: a launch needs it twice, and does not keep it open between.
static FOUND: OnceLock<PathBuf> = OnceLock::new();

/// The first directory that the caller can have, made if need be.
pub(super) fn writable() -> Result<Directory, String> {
    let uid = nix::unistd::geteuid().as_raw();
    if let Some(Ok(directory)) = FOUND.get().map(|path| Directory::own(path, uid)) {
        return Ok(directory);
    }
    let mut reasons = Vec::new();
    for path in own_places(uid) {
        let found = match Directory::own(&path, uid) {
            Err(Unfit::Missing) => make(&path, uid),
            other => other,
        };
        match found {
            Ok(directory) => {
                FOUND.get_or_init(|| path);
                return Ok(directory);
            }
            Err(Unfit::Missing) => {}
            Err(Unfit::Because(reason)) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        reasons
            .push("$XDG_RUNTIME_DIR and $HOME lead to no directory of the caller's own".to_owned());
    }
    Err(reasons.join("; "))
}

/// Whose records are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The caller's.
    Own,
    /// All that the caller may see: the own ones, and for root those of all users.
    Seen,
}

/// The directories that the caller reads.
pub(super) fn readable(whose: Whose, passed_over: &mut Vec<String>) -> Vec<Rc<Directory>> {
    let uid = nix::unistd::geteuid().as_raw();
    let mut found: Vec<Rc<Directory>> = Vec::new();
    let mut take = |directory: Result<Directory, Unfit>| match directory {
        Ok(directory) => {
            let same = |other: &Rc<Directory>| {
                let id = |fd: &OwnedFd| fstat(fd).map(|found| (found.st_dev, found.st_ino));
                id(&other.fd) == id(&directory.fd)
            };
            if !found.iter().any(same) {
                found.push(Rc::new(directory));
            }
        }
        Err(Unfit::Missing) => {}
        Err(Unfit::Because(reason)) => passed_over.push(reason),
    };
    for path in own_places(uid) {
        take(Directory::own(&path, uid));
    }
    if uid == 0 && whose == Whose::Seen {
        for (base, below, uid) in others() {
            take(Directory::of_other(&base, &below, uid));
        }
    }
    found
}

/// Where other users' records may be: a directory that only root can change, and the way below it.
fn others() -> Vec<(PathBuf, PathBuf, u32)> {
    let mut all = Vec::new();
    let runtime = std::fs::read_dir(place::OF_USERS);
    for entry in runtime.into_iter().flatten().flatten().take(MOST) {
        let name = entry.file_name();
        let uid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(uid) = uid.filter(|uid| *uid != 0) {
            let below = Path::new(&name).join(place::NAME);
            all.push((PathBuf::from(place::OF_USERS), below, uid));
        }
    }
    // Who has no runtime directory keeps them at home. Other sources of users are not asked: that would load libraries.
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(uid), Some(home)) = (fields.get(2), fields.get(5)) else {
            continue;
        };
        let home = Path::new(home);
        let (Ok(uid), true) = (uid.parse::<u32>(), home.is_absolute()) else {
            continue;
        };
        if let (Some(base), Some(own), true) = (home.parent(), home.file_name(), uid != 0) {
            let below = Path::new(own).join(".local/state").join(place::BELOW_STATE);
            all.push((base.to_owned(), below, uid));
        }
    }
    all
}
