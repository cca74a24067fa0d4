//! Paths resolved from a directory descriptor, without following any link. Allocates nothing.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, Result, check, check_int};

/// What [`libc::open_how`] holds; that one cannot be built without a zeroed value.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens `path` below `root` as O_PATH, following no symbolic and no magic link, and never leaving `root`. A leading
/// `/` means `root`. Where openat2(2) is missing, a walk component by component does the same.
///
/// # Errors
/// ELOOP or ENOTDIR: a component is a symbolic link. Others as open(2).
pub fn resolve(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    match openat2(root, path) {
        Err(Errno::ENOSYS) => walk(root, path),
        other => other,
    }
}

/// Opens `path` as O_PATH as a process would whose root `root` is: links are followed, and lead nowhere else.
///
/// # Errors
/// ENOSYS: a kernel before 5.6, or an outer sandbox. Others as open(2).
pub fn resolve_as_root(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    openat2_how(
        root,
        path,
        libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
    )
}

fn openat2(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    openat2_how(root, path, resolve)
}

fn openat2_how(root: BorrowedFd<'_>, path: &CStr, resolve: u64) -> Result<OwnedFd> {
    let how = OpenHow {
        // Without O_NOFOLLOW, with which a link as the last component would be opened as itself instead of refused.
        flags: (libc::O_PATH | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve,
    };
    // SAFETY: both pointers live through the call; the size is that of the structure.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<OpenHow>(),
        )
    })?;
    #[allow(clippy::cast_possible_truncation)] // descriptors are ints
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Tries openat2(2) on the working directory.
///
/// # Errors
/// ENOSYS: a kernel before 5.6, or an outer sandbox.
pub fn try_openat2() -> Result<()> {
    openat2(working_directory(), c".").map(drop)
}

/// Whether a file has an extended attribute (getxattr(2)).
#[must_use]
pub fn has_attribute(path: &CStr, name: &CStr) -> bool {
    // SAFETY: both strings live through the call; with size 0 nothing is written.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    length > 0
}

/// Sets an extended attribute of an open file (fsetxattr(2)).
///
/// # Errors
/// ENOTSUP: the file system keeps none. ENOSPC: there is no room for it.
pub fn set_attribute(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: the name lives through the call; the value's pointer and length belong together.
    check_int(unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    })
    .map(drop)
}

/// Reads an extended attribute of an open file into a buffer (fgetxattr(2)); its length.
///
/// # Errors
/// ENODATA: the file has none of that name. ENOTSUP: the file system keeps none. ERANGE: it is longer.
pub fn attribute(file: BorrowedFd<'_>, name: &CStr, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the name lives through the call; the buffer's pointer and length belong together.
    let length = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            into.as_mut_ptr().cast(),
            into.len(),
        )
    };
    usize::try_from(length).map_err(|_| Errno::last())
}

/// Takes an extended attribute away from an open file (fremovexattr(2)).
///
/// # Errors
/// As [`attribute`].
pub fn remove_attribute(file: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: the name lives through the call.
    check_int(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) }).map(drop)
}

/// Goes down `path` from `root`, one component at a time: `step` opens the next one, `..` is refused.
fn descend(
    root: BorrowedFd<'_>,
    path: &CStr,
    mut step: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<OwnedFd>,
) -> Result<OwnedFd> {
    let mut here = open_path(root, c".")?;
    let mut name = [0u8; 256];
    for component in path.to_bytes().split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(Errno::EXDEV),
            _ => {}
        }
        let slot = name.get_mut(..component.len());
        slot.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(component);
        *name.get_mut(component.len()).ok_or(Errno::ENAMETOOLONG)? = 0;
        let next = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EINVAL)?;
        here = step(here.as_fd(), next)?;
    }
    Ok(here)
}

/// The walk that stands in for openat2: each component by itself, O_NOFOLLOW.
pub fn walk(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    descend(root, path, |parent, name| {
        let opened = open_path(parent, name)?;
        if mode(opened.as_fd())? & libc::S_IFMT == libc::S_IFLNK {
            return Err(Errno::ELOOP);
        }
        Ok(opened)
    })
}

fn open_path(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open(directory, name, libc::O_PATH | libc::O_NOFOLLOW, 0)
}

/// openat(2) with O_CLOEXEC added.
///
/// # Errors
/// open(2).
pub fn open(
    directory: BorrowedFd<'_>,
    name: &CStr,
    flags: libc::c_int,
    mode: u32,
) -> Result<OwnedFd> {
    // SAFETY: the name lives through the call.
    let fd = check_int(unsafe {
        libc::openat(
            directory.as_raw_fd(),
            name.as_ptr(),
            flags | libc::O_CLOEXEC,
            mode,
        )
    })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The descriptor for «relative to the working directory», and with an absolute path for none at all.
#[must_use]
pub fn working_directory() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is no descriptor that could be closed.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

fn stat(file: BorrowedFd<'_>) -> Result<libc::stat> {
    // SAFETY: all-zero is a valid stat.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::fstat(file.as_raw_fd(), &raw mut found) })?;
    Ok(found)
}

/// Type and mode bits of an open file.
///
/// # Errors
/// fstat(2).
pub fn mode(file: BorrowedFd<'_>) -> Result<u32> {
    stat(file).map(|found| found.st_mode)
}

/// The user whom an open file belongs to.
///
/// # Errors
/// fstat(2).
pub fn owner(file: BorrowedFd<'_>) -> Result<u32> {
    stat(file).map(|found| found.st_uid)
}

/// The device number that a device node stands for.
///
/// # Errors
/// fstat(2).
pub fn device(file: BorrowedFd<'_>) -> Result<(u32, u32)> {
    stat(file).map(|found| (libc::major(found.st_rdev), libc::minor(found.st_rdev)))
}

/// The inode number of what a path leads to, from a directory.
///
/// # Errors
/// fstatat(2).
pub fn inode(directory: BorrowedFd<'_>, path: &CStr) -> Result<u64> {
    // SAFETY: all-zero is a valid stat.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: path and structure live through the call.
    check_int(unsafe { libc::fstatat(directory.as_raw_fd(), path.as_ptr(), &raw mut found, 0) })?;
    Ok(found.st_ino)
}

/// Type and mode bits of what is at a path; a link at its end is not followed.
///
/// # Errors
/// lstat(2).
pub fn mode_of(path: &CStr) -> Result<u32> {
    // SAFETY: all-zero is a valid stat.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: path and structure live through the call.
    check_int(unsafe { libc::lstat(path.as_ptr(), &raw mut found) })?;
    Ok(found.st_mode)
}

/// The number that a symbolic link says; `u32::MAX` when it says something else.
///
/// # Errors
/// readlink(2).
pub fn link_number(path: &CStr) -> Result<u32> {
    let mut says = [0u8; 16];
    let length = read_link(working_directory(), path, &mut says)?;
    let text = says
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(u32::MAX))
}

/// Whether the working directory can be reached from the root: else the kernel says `(unreachable)` before its path
/// (getcwd(2)).
///
/// # Errors
/// getcwd(2).
pub fn is_inside() -> Result<bool> {
    let mut path = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer lives through the call, and its length is said. The C library's function would hide the difference.
    check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })?;
    Ok(path.first() == Some(&b'/'))
}

/// mkdirat(2).
///
/// # Errors
/// mkdir(2).
pub fn make_directory(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the name lives through the call.
    check_int(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// fchmodat(2) of something that is no link.
///
/// # Errors
/// chmod(2).
pub fn set_mode(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the name lives through the call.
    check_int(unsafe { libc::fchmodat(directory.as_raw_fd(), name.as_ptr(), mode, 0) }).map(drop)
}

/// Changes the mode of what a descriptor of O_PATH names, by way of /proc (chmod(2)).
///
/// # Errors
/// chmod(2); ENOENT without /proc.
pub fn reopen_mode(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path lives through the call.
    check_int(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

/// An empty regular file, without opening it (mknodat(2)).
///
/// # Errors
/// mknod(2).
pub fn make_file(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the name lives through the call.
    check_int(unsafe {
        libc::mknodat(
            directory.as_raw_fd(),
            name.as_ptr(),
            libc::S_IFREG | mode,
            0,
        )
    })
    .map(drop)
}

/// symlinkat(2).
///
/// # Errors
/// symlink(2).
pub fn make_link(target: &CStr, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: both strings live through the call.
    check_int(unsafe { libc::symlinkat(target.as_ptr(), directory.as_raw_fd(), name.as_ptr()) })
        .map(drop)
}

/// readlinkat(2) into a buffer; the length of what the link says.
///
/// # Errors
/// readlink(2).
pub fn read_link(directory: BorrowedFd<'_>, name: &CStr, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer's pointer and length belong together.
    let length = unsafe {
        libc::readlinkat(
            directory.as_raw_fd(),
            name.as_ptr(),
            into.as_mut_ptr().cast(),
            into.len(),
        )
    };
    usize::try_from(length).map_err(|_| Errno::last())
}

/// fchdir(2).
///
/// # Errors
/// chdir(2).
pub fn enter(directory: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::fchdir(directory.as_raw_fd()) }).map(drop)
}

/// chdir(2), and a look at where that is: outside of the root getcwd(2) says `(unreachable)`.
///
/// # Errors
/// chdir(2), getcwd(2); EXDEV: the directory is not below the root.
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the path lives through the call.
    check_int(unsafe { libc::chdir(path.as_ptr()) })?;
    let mut place = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer's pointer and length belong together; the raw call does not allocate.
    check(unsafe { libc::syscall(libc::SYS_getcwd, place.as_mut_ptr(), place.len()) })?;
    if place.first() == Some(&b'/') {
        Ok(())
    } else {
        Err(Errno::EXDEV)
    }
}

/// Makes the directories of `path` below `root` that are missing, following no link; each with `mode`.
///
/// # Errors
/// As [`resolve`] and mkdir(2).
pub fn make_directories(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<OwnedFd> {
    descend(root, path, |parent, name| {
        match make_directory(parent, name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {
                let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY;
                open(parent, name, flags, 0)
            }
            // A read-only or foreign parent is no reason to fail if the directory is there.
            Err(error) => open_path(parent, name).map_err(|_| error),
        }
    })
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name, which may be any bytes.
    pub name: &'a [u8],
    kind: u8,
}

impl Entry<'_> {
    /// Whether it is a directory, as far as the file system says that here.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == libc::DT_DIR
    }

    /// Whether it is one, or the file system does not say.
    #[must_use]
    pub fn may_be_directory(&self) -> bool {
        matches!(self.kind, libc::DT_DIR | libc::DT_UNKNOWN)
    }
}

/// Opens a directory, given by any descriptor of it, to read its names from the first on.
///
/// # Errors
/// open(2).
pub fn open_names(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    open(directory, c".", flags, 0)
}

/// Calls `each` with what is in a directory that is open for reading, but for `.` and `..`, from where its position is, until it
/// says that it has enough (getdents64(2)). The C library would take 32 kB for that.
///
/// # Errors
/// ENOTDIR; EIO; what the file system says. What came before has been told.
pub fn entries(directory: BorrowedFd<'_>, mut each: impl FnMut(Entry<'_>) -> bool) -> Result<()> {
    // Of linux_dirent64: number, position, length, type, and the name, which ends with NUL.
    const LENGTH: usize = 16;
    const KIND: usize = 18;
    const NAME: usize = 19;
    let mut buffer = [0_u8; 4096];
    loop {
        // SAFETY: the buffer outlives the call, and its size is passed.
        let got = check(unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        })?;
        let mut rest = buffer
            .get(..got.unsigned_abs() as usize)
            .unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let name = rest.get(NAME..length).unwrap_or_default();
            let end = name.iter().position(|&byte| byte == 0);
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
            let kind = rest.get(KIND).copied().unwrap_or(libc::DT_UNKNOWN);
            if !matches!(name, b"." | b"..") && !each(Entry { name, kind }) {
                return Ok(());
            }
            rest = rest.get(length.max(NAME)..).unwrap_or_default();
        }
    }
}

/// The same for who needs the names alone.
///
/// # Errors
/// As [`entries`].
pub fn names(directory: BorrowedFd<'_>, mut each: impl FnMut(&[u8]) -> bool) -> Result<()> {
    entries(directory, |entry| each(entry.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// What was opened, by device and inode, or the errno.
    fn outcome(opened: Result<OwnedFd>) -> std::result::Result<(u64, u64), Errno> {
        let found = File::from(opened?).metadata().unwrap();
        Ok((found.dev(), found.ino()))
    }

    #[test]
    fn a_directory_is_read_from_the_first_name_to_the_last() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("inner")).unwrap();
        symlink("inner", root.path().join("link")).unwrap();
        // More than fit into one answer of the kernel.
        for number in 0..300 {
            fs::write(
                root.path().join(format!("a-file-of-a-long-name-{number}")),
                "",
            )
            .unwrap();
        }
        let directory = File::open(root.path()).unwrap();
        for _ in 0..2 {
            let list = open_names(directory.as_fd()).unwrap();
            let (mut count, mut directories) = (0, Vec::new());
            entries(list.as_fd(), |entry| {
                count += 1;
                if entry.is_directory() && entry.may_be_directory() {
                    directories.push(entry.name.to_vec());
                }
                true
            })
            .unwrap();
            assert_eq!((count, directories), (302, vec![b"inner".to_vec()]));
        }
        let mut first = 0;
        let list = open_names(directory.as_fd()).unwrap();
        names(list.as_fd(), |_| {
            first += 1;
            false
        })
        .unwrap();
        assert_eq!(first, 1);
        fs::write(root.path().join("file"), "").unwrap();
        let file = File::open(root.path().join("file")).unwrap();
        assert_eq!(open_names(file.as_fd()).err(), Some(Errno::ENOTDIR));
        assert_eq!(entries(file.as_fd(), |_| true), Err(Errno::ENOTDIR));
    }

    #[test]
    fn the_walk_finds_what_openat2_finds_and_follows_no_link_either() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::write(at("a/file"), "x").unwrap();
        symlink("b", at("a/link")).unwrap();
        symlink("/etc", at("a/out")).unwrap();
        symlink("../../..", at("a/b/up")).unwrap();
        let directory = File::open(root.path()).unwrap();
        for path in [
            c"/",
            c"",
            c".",
            c"a",
            c"/a/b/c",
            c"a//b/./c/",
            c"a/file",
            c"a/none",
            c"a/file/x",
            c"a/link",
            c"a/link/c",
            c"a/out/passwd",
            c"a/b/up/etc",
            c"/proc/self/root/etc",
        ] {
            let by_call = outcome(openat2(directory.as_fd(), path));
            let by_walk = outcome(walk(directory.as_fd(), path));
            match (path.to_bytes(), by_call) {
                // The call does not know an empty path; the walk stays where it is.
                (b"", _) => {}
                (_, Ok(found)) => assert_eq!(by_walk, Ok(found), "{path:?}"),
                (_, Err(_)) => assert!(by_walk.is_err(), "{path:?}: {by_walk:?}"),
            }
        }
    }

    #[test]
    fn the_walk_never_goes_upwards() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        let directory = File::open(root.path()).unwrap();
        for path in [c"..", c"a/..", c"a/../..", c"/../etc/passwd"] {
            assert_eq!(
                outcome(walk(directory.as_fd(), path)),
                Err(Errno::EXDEV),
                "{path:?}"
            );
        }
    }

    #[test]
    fn directories_are_made_without_following_a_link() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("trap")).unwrap();
        let directory = File::open(root.path()).unwrap();
        assert!(make_directories(directory.as_fd(), c"/x/y/z", 0o700).is_ok());
        assert!(root.path().join("x/y/z").is_dir());
        assert!(make_directories(directory.as_fd(), c"/trap/planted", 0o700).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
