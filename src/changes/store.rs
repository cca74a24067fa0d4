//! Where changes are kept: `$XDG_DATA_HOME/sandbox/changes/NAME/AREA/`, with `upper` and `work`, the two halves of an
//! overlay, and `area.json`, what is known about it. Whoever changes a store, or has a sandbox write to it, holds the lock on
//! its directory.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat};
use serde::{Deserialize, Serialize};

use super::{Result, remove};
use crate::control::name as names;
use crate::kernel::{Errno, at, lock, process};
use crate::report::escape;

const DIRECTORY: libc::c_int = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
/// What is known about an area is short.
const MOST: u64 = 1 << 20;
const ABOUT: &str = "area.json";

/// The store of one name.
#[derive(Debug)]
pub struct Store {
    /// Of the sandboxes that write to it.
    pub name: String,
    path: PathBuf,
    directory: OwnedFd,
    root: OwnedFd,
}

/// What is known about the changes to one directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The directory of the host, without links.
    pub place: PathBuf,
    /// Its inode number then.
    pub inode: u64,
    /// When the overlay was first made: seconds and nanoseconds by the clock of the kernel. What has a later change time was
    /// changed on the disk since.
    pub since: (i64, i64),
    /// What was carried onto the disk by us: path, inode number and change time afterwards. That is no change of others.
    #[serde(default)]
    pub applied: Vec<(String, u64, i64, i64)>,
}

/// The changes to one directory.
#[derive(Debug)]
pub struct Area {
    /// Its name in the store.
    pub name: String,
    /// What is known about it.
    pub about: About,
    directory: OwnedFd,
}

fn c_name(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| "a name has a NUL in it".to_owned())
}

fn told(path: &Path) -> String {
    escape::os(path.as_os_str())
}

/// Opens, and if it is to be made makes, the directory of all stores. None: it is not there.
fn root(path: &Path, make: bool) -> Result<Option<OwnedFd>> {
    let fail = |errno: Errno| format!("`{}`: {}", told(path), errno.desc());
    if make && path.symlink_metadata().is_err() {
        let theirs = process::set_umask(0o077);
        let made = std::fs::create_dir_all(path);
        process::set_umask(theirs);
        made.map_err(|error| format!("`{}` cannot be made: {error}", told(path)))?;
    }
    let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| fail(Errno::EINVAL))?;
    let opened = match at::open(at::working_directory(), &c_path, DIRECTORY, 0) {
        Ok(opened) => opened,
        Err(Errno::ENOENT) if !make => return Ok(None),
        Err(errno) => return Err(fail(errno)),
    };
    let found = fstat(&opened).map_err(fail)?;
    if found.st_uid != nix::unistd::geteuid().as_raw() || found.st_mode & 0o077 != 0 {
        return Err(format!(
            "`{}` is not used: it has to be the caller's own, and closed to others (chmod 700)",
            told(path)
        ));
    }
    Ok(Some(opened))
}

/// The names of all stores.
///
/// # Errors
/// The directory of stores cannot be read, or is not the caller's own.
pub fn all(path: &Path) -> Result<Vec<String>> {
    let Some(root) = root(path, false)? else {
        return Ok(Vec::new());
    };
    let found = remove::names(root.as_fd())
        .map_err(|errno| format!("`{}`: {}", told(path), errno.desc()))?;
    Ok(found
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| names::check(name).is_ok())
        .collect())
}

impl Store {
    /// Opens the store of a name without taking its lock. None: there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is not the caller's own.
    pub fn look(path: &Path, name: &str) -> Result<Option<Self>> {
        match root(path, false)? {
            Some(root) => Self::open(path, name, root, false),
            None => Ok(None),
        }
    }

    /// Opens the store of a name, made if need be, and takes its lock.
    ///
    /// # Errors
    /// It cannot be made. Somebody else has the lock.
    pub fn make(path: &Path, name: &str) -> Result<Self> {
        // Who removes a store has its lock, so that one that was removed meanwhile is told by its missing name.
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            let Some(root) = root(path, true)? else { break };
            if let Some(store) = Self::open(path, name, root, true)?
                && store.take()?
            {
                return Ok(store);
            }
        }
        Err(format!("`{}` is removed again and again", told(path)))
    }

    fn open(path: &Path, name: &str, root: OwnedFd, make: bool) -> Result<Option<Self>> {
        names::check(name)?;
        let at_name = c_name(name)?;
        if make {
            match at::make_directory(root.as_fd(), &at_name, 0o700) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => {
                    return Err(format!(
                        "`{}` cannot be made: {}",
                        told(&path.join(name)),
                        errno.desc()
                    ));
                }
            }
        }
        match at::open(root.as_fd(), &at_name, DIRECTORY, 0) {
            Ok(directory) => Ok(Some(Self {
                name: name.to_owned(),
                path: path.join(name),
                directory,
                root,
            })),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(format!("`{}`: {}", told(&path.join(name)), errno.desc())),
        }
    }

    /// Takes the lock; false when the store has been removed meanwhile.
    ///
    /// # Errors
    /// Somebody else has it.
    pub fn take(&self) -> Result<bool> {
        match lock::try_exclusive(self.directory.as_fd()) {
            Ok(true) => {}
            Ok(false) => {
                return Err(format!(
                    "the changes of `{}` are in use by a running sandbox",
                    self.name
                ));
            }
            Err(errno) => return Err(format!("`{}`: {}", told(&self.path), errno.desc())),
        }
        let own = fstat(&self.directory).ok();
        let named = fstatat(&self.root, self.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok();
        let number = |found: Option<FileStat>| found.map(|found| (found.st_dev, found.st_ino));
        Ok(number(own).is_some() && number(own) == number(named))
    }

    /// Whether nobody has the lock.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let free = lock::try_shared(self.directory.as_fd()) == Ok(true);
        if free {
            lock::release(self.directory.as_fd());
        }
        free
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What has been kept, by the directory that it is about. What a crash left half made is passed over.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn areas(&self) -> Result<Vec<Area>> {
        let fail = |errno: Errno| format!("`{}`: {}", told(&self.path), errno.desc());
        let mut areas = Vec::new();
        for name in remove::names(self.directory.as_fd()).map_err(fail)? {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if let Some(area) = self.area(&name) {
                areas.push(area);
            }
        }
        areas.sort_by(|a, b| a.about.place.cmp(&b.about.place));
        Ok(areas)
    }

    fn area(&self, name: &str) -> Option<Area> {
        let directory = at::open(self.directory.as_fd(), &c_name(name).ok()?, DIRECTORY, 0).ok()?;
        let file = at::open(
            directory.as_fd(),
            &c_name(ABOUT).ok()?,
            libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK,
            0,
        );
        let mut text = String::new();
        File::from(file.ok()?)
            .take(MOST)
            .read_to_string(&mut text)
            .ok()?;
        let about: About = serde_json::from_str(&text).ok()?;
        about.place.is_absolute().then(|| Area {
            name: name.to_owned(),
            about,
            directory,
        })
    }

    /// The area for changes to a directory, made if it is not there yet. The lock must be held.
    ///
    /// # Errors
    /// It cannot be made. The changes that are kept there are to another directory of this path.
    pub fn make_area(&self, name: &str, place: &Path) -> Result<Area> {
        let fail = |what: &str, errno: Errno| format!("{what} `{}`: {}", told(place), errno.desc());
        let lower = open_place(place).map_err(|errno| fail("cannot open", errno))?;
        let there = fstat(&lower).map_err(|errno| fail("cannot look at", errno))?;
        if let Some(area) = self.area(name) {
            if area.about.inode != there.st_ino || area.about.place != place {
                return Err(format!(
                    "`{}` is another directory than the one that the kept changes are about; look at them and remove them: sandboxctl diff {1}, sandboxctl discard {1}",
                    told(place),
                    self.name
                ));
            }
            return Ok(area);
        }
        if place.to_str().is_none() {
            return Err(format!(
                "`{}` is no text in UTF-8, and changes to it cannot be kept",
                told(place)
            ));
        }
        let wrong = |errno: Errno| {
            format!(
                "`{}` cannot be made: {}",
                told(&self.path.join(name)),
                errno.desc()
            )
        };
        // Without the file that tells about it, it is nothing yet.
        match remove::remove(self.directory.as_fd(), name.as_ref()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(wrong(errno)),
        }
        let theirs = process::set_umask(0o077);
        let made = self.fill_area(name, place, &there);
        process::set_umask(theirs);
        made.map_err(|errno| match errno {
            Errno::ENOTSUP => format!(
                "the file system of `{}` keeps no attributes of users, without which nothing can be removed in a copy (tmpfs does since Linux 6.6); XDG_DATA_HOME can lead elsewhere",
                told(&self.path)
            ),
            errno => wrong(errno),
        })?;
        self.area(name)
            .ok_or_else(|| format!("`{}` cannot be read", told(&self.path.join(name))))
    }

    fn fill_area(
        &self,
        name: &str,
        place: &Path,
        there: &FileStat,
    ) -> std::result::Result<(), Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        at::make_directory(self.directory.as_fd(), &name, 0o700)?;
        let directory = at::open(self.directory.as_fd(), &name, DIRECTORY, 0)?;
        at::make_directory(directory.as_fd(), c"work", 0o700)?;
        at::make_directory(directory.as_fd(), c"upper", 0o700)?;
        let upper = at::open(directory.as_fd(), c"upper", DIRECTORY, 0)?;
        // Where no attributes are kept, directories can be neither removed nor replaced inside.
        let own = [c"user.sandbox", c"trusted.sandbox"].into_iter();
        let mut own = own.filter(|name| at::set_attribute(upper.as_fd(), name, b"1").is_ok());
        let name = own.next().ok_or(Errno::ENOTSUP)?;
        at::remove_attribute(upper.as_fd(), name)?;
        if nix::unistd::geteuid().is_root() {
            let owner = (
                nix::unistd::Uid::from_raw(there.st_uid),
                nix::unistd::Gid::from_raw(there.st_gid),
            );
            nix::unistd::fchown(&upper, Some(owner.0), Some(owner.1))?;
        }
        at::set_mode(directory.as_fd(), c"upper", there.st_mode & 0o1777)?;
        let about = About {
            place: place.to_owned(),
            inode: there.st_ino,
            since: (0, 0),
            applied: Vec::new(),
        };
        let area = Area {
            name: String::new(),
            about,
            directory,
        };
        // The kernel's own clock for change times, which others do not have to agree with.
        area.write(&area.about)?;
        let stamp = fstatat(&area.directory, ABOUT, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        area.write(&About {
            since: (stamp.st_ctime, stamp.st_ctime_nsec),
            ..area.about.clone()
        })
    }

    /// Removes one area. The lock must be held.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_area(&self, area: &Area) -> Result<()> {
        // First what makes it one, so that what is left by a crash is nothing.
        let _ = remove::remove(area.directory.as_fd(), ABOUT.as_ref());
        match remove::remove(self.directory.as_fd(), area.name.as_ref()) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(format!(
                "`{}` cannot be removed: {}",
                told(&self.path.join(&area.name)),
                errno.desc()
            )),
        }
    }

    /// Removes the store with all that is in it. The lock must be held.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(self) -> Result<()> {
        remove::remove(self.root.as_fd(), self.name.as_ref())
            .map_err(|errno| format!("`{}` cannot be removed: {}", told(&self.path), errno.desc()))
    }
}

impl Area {
    fn write(&self, about: &About) -> std::result::Result<(), Errno> {
        let io = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        let text = serde_json::to_vec(about).map_err(|_| Errno::EINVAL)?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
        let file = at::open(self.directory.as_fd(), c"area.new", flags, 0o600)?;
        File::from(file).write_all(&text).map_err(io)?;
        nix::fcntl::renameat(&self.directory, "area.new", &self.directory, ABOUT)
    }

    /// Writes down what was carried onto the disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&mut self, applied: Vec<(String, u64, i64, i64)>) -> Result<()> {
        self.about
            .applied
            .retain(|(path, ..)| !applied.iter().any(|(other, ..)| other == path));
        self.about.applied.extend(applied);
        self.write(&self.about)
            .map_err(|errno| format!("what was applied cannot be noted: {}", errno.desc()))
    }

    /// The upper layer.
    ///
    /// # Errors
    /// open(2).
    pub fn upper(&self) -> std::result::Result<OwnedFd, Errno> {
        at::open(self.directory.as_fd(), c"upper", DIRECTORY, 0)
    }

    /// The directory that the changes are about, if it is still the same one.
    ///
    /// # Errors
    /// It is gone, cannot be opened, or is another one.
    pub fn lower(&self) -> Result<OwnedFd> {
        let place = &self.about.place;
        let lower = open_place(place)
            .map_err(|errno| format!("`{}` cannot be opened: {}", told(place), errno.desc()))?;
        match fstat(&lower) {
            Ok(found) if found.st_ino == self.about.inode => Ok(lower),
            _ => Err(format!(
                "`{}` is another directory than the one that these changes are about",
                told(place)
            )),
        }
    }
}

/// Opens a directory of the host by a path without links.
fn open_place(place: &Path) -> std::result::Result<OwnedFd, Errno> {
    let path = CString::new(place.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let root = at::open(
        at::working_directory(),
        c"/",
        libc::O_PATH | libc::O_DIRECTORY,
        0,
    )?;
    let found = at::resolve(root.as_fd(), &path)?;
    at::open(found.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
}
