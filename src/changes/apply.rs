//! Carrying changes onto the disk, and throwing them away.
//!
//! Everything is done by descriptors: the directory that a change is in is opened without following a link, from the root of
//! the upper layer and from the directory of the host. A file is written under a name of its own and takes its place in one
//! step; what it replaces is looked at once more just before.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{RenameFlags, readlinkat, renameat2};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fchmod, fstat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use super::store::{Area, Store};
use super::walk::{self, CARRIED, Change, Kind, Object, c_path, key, look};
use super::{Result, content, remove};
use crate::kernel::{Errno, at};

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which.
    pub change: Change,
    /// Why nothing was done.
    pub refused: Option<String>,
}

/// Whether a change is one of those that paths name; all are when there are no paths.
fn is_named(change: &Change, paths: &[PathBuf]) -> bool {
    paths.is_empty() || paths.iter().any(|path| change.path.starts_with(path))
}

/// The changes that paths name, with the new directories that they lie in.
#[must_use]
pub fn selected(changes: &[Change], paths: &[PathBuf]) -> Vec<Change> {
    let makes_room = |change: &Change| {
        change.object == Object::Directory
            && matches!(change.kind, Kind::Added | Kind::Type)
            && paths.iter().any(|path| path.starts_with(&change.path))
    };
    let chosen = changes
        .iter()
        .filter(|change| is_named(change, paths) || makes_room(change));
    chosen.cloned().collect()
}

/// Carries changes onto the disk, parents first. With `force`, also over what others changed there meanwhile.
///
/// The lock on the store must be held.
///
/// # Errors
/// The area cannot be opened at all.
pub fn apply(area: &mut Area, changes: Vec<Change>, force: bool) -> Result<Vec<Done>> {
    let fail = |errno: Errno| format!("the kept changes cannot be read: {}", errno.desc());
    let (upper, lower) = (area.upper().map_err(fail)?, area.lower()?);
    let mut carrier = Carrier {
        upper,
        lower,
        root: nix::unistd::geteuid().is_root(),
        modes: Vec::new(),
        number: 0,
        blocked: BTreeSet::new(),
    };
    let mut done = Vec::new();
    for change in changes {
        let refused = carrier.one(&change, force);
        if refused.is_some() {
            carrier.blocked.insert(change.path.clone());
        }
        done.push(Done { change, refused });
    }
    carrier.finish(&mut done);
    let noted = carrier.noted(&done);
    // What is not on the disk yet must not be taken from where it is.
    let _ = nix::unistd::syncfs(&carrier.lower);
    area.note(noted)?;
    let left = walk::changes(area)?;
    carrier.prune(&done, &left);
    Ok(done)
}

struct Carrier {
    upper: OwnedFd,
    lower: OwnedFd,
    root: bool,
    /// New directories, which are closed until they are filled.
    modes: Vec<(PathBuf, u32)>,
    number: u32,
    /// What was refused: nothing is carried into it.
    blocked: BTreeSet<PathBuf>,
}

/// What to say of an errno.
fn why(what: &str, errno: Errno) -> String {
    format!("{what}: {}", errno.desc())
}

/// The name of what is not finished, beside what it will be.
fn temporary(number: u32) -> String {
    format!(".sandbox-apply-{}-{number}", std::process::id())
}

fn split(path: &Path) -> (&Path, &OsStr) {
    let parent = path.parent().unwrap_or(Path::new(""));
    (parent, path.file_name().unwrap_or(OsStr::new(".")))
}

fn error_number(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

impl Carrier {
    fn open(root: &OwnedFd, path: &Path) -> std::result::Result<OwnedFd, Errno> {
        let found = at::resolve(root.as_fd(), &c_path(path)?)?;
        match Object::of(at::mode(found.as_fd())?) {
            Object::Directory => Ok(found),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Carries one change; why not, if not.
    fn one(&mut self, change: &Change, force: bool) -> Option<String> {
        if let Some(refused) = &change.refused {
            return Some(refused.clone());
        }
        let around = change.path.ancestors().skip(1);
        if let Some(at) = around.into_iter().find(|at| self.blocked.contains(*at))
            && !at.as_os_str().is_empty()
        {
            return Some("the directory that it is in was not carried over".to_owned());
        }
        if change.conflict && !force {
            return Some("it has changed on the disk since the sandbox was started".to_owned());
        }
        let (parent, name) = split(&change.path);
        let lower = match Self::open(&self.lower, parent) {
            Ok(lower) => lower,
            Err(errno) => return Some(why("the directory on the disk cannot be opened", errno)),
        };
        let Ok(name) = CString::new(name.as_bytes()) else {
            return Some("its name cannot be".to_owned());
        };
        // What is there must still be what was looked at.
        let before = look(lower.as_fd(), &name);
        let expected = change.kind != Kind::Added;
        if before.is_some() != expected {
            return Some("it has changed on the disk just now".to_owned());
        }
        let result = match (change.kind, change.object) {
            (Kind::Deleted, _) => self.delete(lower.as_fd(), &name),
            (Kind::Mode, _) => self.mode(lower.as_fd(), &name, change),
            (_, object) => self.put(lower.as_fd(), &name, change, object, before.as_ref()),
        };
        result.err().map(|errno| match errno {
            Errno::EEXIST => "something of that name has been made on the disk just now".to_owned(),
            errno => why("it cannot be written", errno),
        })
    }

    fn temporary(&mut self) -> String {
        self.number += 1;
        temporary(self.number)
    }

    /// Takes something away in one step, and then apart.
    fn delete(&mut self, lower: BorrowedFd<'_>, name: &CString) -> std::result::Result<(), Errno> {
        let found = look(lower, name).ok_or(Errno::ENOENT)?;
        if Object::of(found.st_mode) != Object::Directory {
            return unlinkat(lower, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
        let aside = self.temporary();
        renameat2(
            lower,
            name.as_c_str(),
            lower,
            aside.as_str(),
            RenameFlags::RENAME_NOREPLACE,
        )?;
        remove::remove(lower, aside.as_ref())
    }

    /// Changes the permissions of what is on the disk, which may be the directory itself.
    fn mode(
        &self,
        lower: BorrowedFd<'_>,
        name: &CString,
        change: &Change,
    ) -> std::result::Result<(), Errno> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let handle = at::open(lower, name, flags, 0)?;
        let now = at::mode(handle.as_fd())?;
        if Object::of(now) != change.object || change.object == Object::Link {
            return Err(Errno::EINVAL);
        }
        let kept = if change.object == Object::Directory {
            now & 0o6000
        } else {
            0
        };
        let mode = change.mode.0.unwrap_or(0) & CARRIED | kept;
        at::reopen_mode(handle.as_fd(), mode)
    }

    /// Puts a file, a link or a directory in its place.
    fn put(
        &mut self,
        lower: BorrowedFd<'_>,
        name: &CString,
        change: &Change,
        object: Object,
        before: Option<&FileStat>,
    ) -> std::result::Result<(), Errno> {
        let (parent, _) = split(&change.path);
        let upper = Self::open(&self.upper, parent)?;
        let now = look(upper.as_fd(), name).ok_or(Errno::ENOENT)?;
        if Object::of(now.st_mode) != object {
            return Err(Errno::ESTALE);
        }
        let made = self.temporary();
        let c_made = CString::new(made.as_str()).map_err(|_| Errno::EINVAL)?;
        let result = (|| {
            match object {
                Object::File => self.copy(upper.as_fd(), name, lower, &c_made, &now)?,
                Object::Link => {
                    let target = readlinkat(&upper, name.as_c_str())?;
                    let target = CString::new(target.as_bytes()).map_err(|_| Errno::EINVAL)?;
                    at::make_link(&target, lower, &c_made)?;
                }
                Object::Directory => at::make_directory(lower, &c_made, 0o700)?,
                Object::Special(_) => return Err(Errno::EINVAL),
            }
            if self.root && object != Object::File {
                let owner = (Uid::from_raw(now.st_uid), Gid::from_raw(now.st_gid));
                let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
                nix::unistd::fchownat(
                    lower,
                    c_made.as_c_str(),
                    Some(owner.0),
                    Some(owner.1),
                    flags,
                )?;
            }
            self.replace(lower, &c_made, name, before)
        })();
        if result.is_err() {
            let _ = remove::remove(lower, OsStr::from_bytes(c_made.as_bytes()));
        } else if object == Object::Directory {
            self.modes
                .push((change.path.clone(), now.st_mode & CARRIED));
        }
        result
    }

    /// Gives what was made its name, in the place of what was looked at and of nothing else.
    fn replace(
        &mut self,
        lower: BorrowedFd<'_>,
        made: &CString,
        name: &CString,
        before: Option<&FileStat>,
    ) -> std::result::Result<(), Errno> {
        let rename = |flags| renameat2(lower, made.as_c_str(), lower, name.as_c_str(), flags);
        let Some(before) = before else {
            return rename(RenameFlags::RENAME_NOREPLACE);
        };
        let same = |found: &FileStat| {
            (found.st_ino, found.st_ctime, found.st_ctime_nsec)
                == (before.st_ino, before.st_ctime, before.st_ctime_nsec)
        };
        if !look(lower, name).is_some_and(|found| same(&found)) {
            return Err(Errno::ESTALE);
        }
        let directory = |mode: u32| Object::of(mode) == Object::Directory;
        let is_directory = look(lower, made).is_some_and(|found| directory(found.st_mode));
        if directory(before.st_mode) || is_directory {
            // Neither takes the other's place by itself.
            let aside = self.temporary();
            let none = RenameFlags::RENAME_NOREPLACE;
            renameat2(lower, name.as_c_str(), lower, aside.as_str(), none)?;
            if let Err(errno) = rename(none) {
                renameat2(lower, aside.as_str(), lower, name.as_c_str(), none)?;
                return Err(errno);
            }
            return remove::remove(lower, aside.as_ref());
        }
        rename(RenameFlags::empty())
    }

    fn copy(
        &self,
        upper: BorrowedFd<'_>,
        name: &CString,
        lower: BorrowedFd<'_>,
        made: &CString,
        now: &FileStat,
    ) -> std::result::Result<(), Errno> {
        let mut from = content::open_file(upper, name)?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let mut to = std::fs::File::from(at::open(lower, made, flags, 0o600)?);
        io::copy(&mut from, &mut to).map_err(|error| error_number(&error))?;
        if self.root {
            let owner = (Uid::from_raw(now.st_uid), Gid::from_raw(now.st_gid));
            fchown(&to, Some(owner.0), Some(owner.1))?;
        }
        fchmod(&to, Mode::from_bits_truncate(now.st_mode & CARRIED))?;
        let time = TimeSpec::new(now.st_mtime, now.st_mtime_nsec);
        nix::sys::stat::futimens(&to, &time, &time)
    }

    /// Gives new directories their modes, the innermost first.
    fn finish(&self, done: &mut [Done]) {
        for (path, mode) in self.modes.iter().rev() {
            let set = Self::open(&self.lower, path).and_then(|directory| {
                let kept = at::mode(directory.as_fd())? & 0o2000;
                at::reopen_mode(directory.as_fd(), mode | kept)?;
                let upper = Self::open(&self.upper, path)?;
                let found = fstat(&upper)?;
                let time = TimeSpec::new(found.st_mtime, found.st_mtime_nsec);
                utimensat(
                    &directory,
                    ".",
                    &time,
                    &time,
                    UtimensatFlags::NoFollowSymlink,
                )
            });
            if let Err(errno) = set
                && let Some(entry) = done.iter_mut().find(|done| done.change.path == *path)
            {
                entry.refused = Some(why("its permissions cannot be set", errno));
            }
        }
    }

    /// What is on the disk now by our doing.
    fn noted(&self, done: &[Done]) -> Vec<(String, u64, i64, i64)> {
        let carried = done.iter().filter(|done| done.refused.is_none());
        carried
            .filter_map(|done| {
                let (parent, name) = split(&done.change.path);
                let directory = Self::open(&self.lower, parent).ok()?;
                let name = CString::new(name.as_bytes()).ok()?;
                let found = look(directory.as_fd(), &name)?;
                let path = key(&done.change.path);
                Some((path, found.st_ino, found.st_ctime, found.st_ctime_nsec))
            })
            .collect()
    }

    /// Takes what is on the disk now from the upper layer, where that leaves the view as it is.
    fn prune(&self, done: &[Done], left: &[Change]) {
        for entry in done.iter().rev() {
            let change = &entry.change;
            let kept = entry.refused.is_some() || change.opaque || change.kind == Kind::Mode;
            // A directory of the program's own is pruned with all in it, or not at all.
            let whole = !left
                .iter()
                .any(|other| other.path.starts_with(&change.path));
            if kept || !whole || change.path.as_os_str().is_empty() {
                continue;
            }
            let _ = take_away(&self.upper, &change.path);
        }
    }
}

/// Removes what an upper layer has at a path.
fn take_away(upper: &OwnedFd, path: &Path) -> std::result::Result<(), Errno> {
    let (parent, name) = split(path);
    let directory = Carrier::open(upper, parent)?;
    remove::remove(directory.as_fd(), name)
}

/// Throws changes away: those that paths name. The lock on the store must be held.
///
/// # Errors
/// The area cannot be opened at all.
pub fn discard(area: &Area, changes: &[Change], paths: &[PathBuf]) -> Result<Vec<Done>> {
    let fail = |errno: Errno| format!("the kept changes cannot be read: {}", errno.desc());
    let upper = area.upper().map_err(fail)?;
    let mut done: Vec<Done> = Vec::new();
    let mut gone: Vec<PathBuf> = Vec::new();
    for change in changes.iter().filter(|change| is_named(change, paths)) {
        let refused = if let Some(around) = &change.replaced {
            (!gone.contains(around)).then(|| {
                format!(
                    "the program made `{}` anew: discard that as a whole",
                    crate::report::escape::os(around.as_os_str())
                )
            })
        } else if gone.iter().any(|at| change.path.starts_with(at)) {
            None
        } else if change.kind == Kind::Mode && change.object == Object::Directory {
            restore_mode(area, &upper, change).err()
        } else {
            gone.push(change.path.clone());
            let taken = take_away(&upper, &change.path);
            taken.err().map(|errno| why("it cannot be removed", errno))
        };
        done.push(Done {
            change: change.clone(),
            refused,
        });
    }
    // A directory that was made anew is named itself, or all that is in it differs from what a path names.
    for path in paths {
        let replaced = changes
            .iter()
            .any(|change| change.replaced.as_deref() == Some(path) && !gone.contains(path));
        if replaced && take_away(&upper, path).is_ok() {
            for entry in &mut done {
                if entry.change.replaced.as_deref() == Some(path) {
                    entry.refused = None;
                }
            }
        }
    }
    Ok(done)
}

fn restore_mode(area: &Area, upper: &OwnedFd, change: &Change) -> Result<()> {
    let lower = area.lower()?;
    let set = || {
        let before = Carrier::open(&lower, &change.path)?;
        let now = Carrier::open(upper, &change.path)?;
        at::reopen_mode(now.as_fd(), at::mode(before.as_fd())? & CARRIED)
    };
    set().map_err(|errno| why("its permissions cannot be set back", errno))
}

/// Removes an area in which nothing is changed any more, and the store with the last one. Whether anything is left.
///
/// # Errors
/// It cannot be removed.
pub fn tidy(store: Store) -> Result<Option<Store>> {
    let mut left = false;
    for area in store.areas()? {
        // What cannot be looked at may have changes in it.
        match walk::changes(&area) {
            Ok(changes) if changes.is_empty() => store.remove_area(&area)?,
            _ => left = true,
        }
    }
    if left {
        return Ok(Some(store));
    }
    store.remove()?;
    Ok(None)
}
