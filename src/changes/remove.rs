//! Removing a tree that a hostile program filled: by descriptors, whatever modes it has and however deep it is.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::kernel::{Errno, at};

/// What lies deeper is moved up first, so that neither descriptors nor the stack run out.
const DEEPEST: usize = 60;

/// The names in a directory, sorted.
///
/// # Errors
/// open(2), getdents(2).
pub fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    let list = at::open_names(directory)?;
    at::names(list.as_fd(), |name| {
        names.extend(CString::new(name));
        true
    })?;
    names.sort();
    Ok(names)
}

/// Opens a directory in another one, and no link.
///
/// # Errors
/// open(2): ELOOP, ENOTDIR for all else.
pub fn open(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    at::open(parent, name, flags, 0)
}

/// Removes what has that name, with all in it.
///
/// # Errors
/// What unlink(2) and its kin say first. ENOENT: there is nothing of that name.
pub fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let c_name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    let found = fstatat(parent, c_name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if found.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return unlinkat(parent, c_name.as_c_str(), UnlinkatFlags::NoRemoveDir);
    }
    let top = opened(parent, &c_name)?;
    let mut moved = 0u64;
    while empty(top.as_fd(), top.as_fd(), 0, &mut moved)? {}
    unlinkat(parent, c_name.as_c_str(), UnlinkatFlags::RemoveDir)
}

/// Opens a directory, given back to its owner if it was closed to it.
fn opened(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    // Without the right to write nothing in it can be removed.
    let own = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if own.st_mode & 0o700 != 0o700 {
        let handle = at::open(
            parent,
            name,
            libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW,
            0,
        )?;
        at::reopen_mode(handle.as_fd(), 0o700)?;
    }
    open(parent, name)
}

/// Empties a directory; whether something too deep was moved to the top, to be removed next.
fn empty(
    top: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    depth: usize,
    moved: &mut u64,
) -> Result<bool, Errno> {
    let mut again = false;
    for name in names(directory)? {
        match unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
        let found = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if found.st_mode & libc::S_IFMT != libc::S_IFDIR {
            return Err(Errno::EPERM);
        }
        let inner = opened(directory, &name)?;
        if depth >= DEEPEST {
            // Somebody may have thought of these names.
            loop {
                *moved += 1;
                let place = format!(".sandbox-deep-{moved}");
                match renameat(directory, name.as_c_str(), top, place.as_str()) {
                    Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                    other => break other?,
                }
            }
            again = true;
            continue;
        }
        again |= empty(top, inner.as_fd(), depth + 1, moved)?;
        drop(inner);
        unlinkat(directory, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(again)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn closed_and_deep_trees_go_and_nothing_outside() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("whole"), "").unwrap();
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        let deep: PathBuf = top.join(["d"; 400].join("/"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("f"), "").unwrap();
        fs::create_dir_all(top.join(".sandbox-deep-1/x")).unwrap();
        symlink(outside.path(), top.join("link")).unwrap();
        fs::create_dir(top.join("closed")).unwrap();
        fs::write(top.join("closed/f"), "").unwrap();
        fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        let directory = File::open(root.path()).unwrap();
        remove(directory.as_fd(), OsStr::new("top")).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(outside.path().join("whole").exists());
        assert_eq!(
            remove(directory.as_fd(), OsStr::new("top")),
            Err(Errno::ENOENT)
        );
    }
}
