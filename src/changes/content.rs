//! What is in files of an upper layer and of the disk.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::walk::{Object, c_path};
use crate::kernel::{Errno, at};

/// Opens a regular file of a directory for reading, and nothing else.
///
/// # Errors
/// open(2). EINVAL: it is no regular file.
pub(super) fn open_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<File, Errno> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = at::open(directory, name, flags, 0)?;
    match Object::of(at::mode(file.as_fd())?) {
        Object::File => Ok(File::from(file)),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether two files of the same name have the same content; not where one cannot be read.
pub(super) fn same_content(upper: BorrowedFd<'_>, lower: BorrowedFd<'_>, name: &CStr) -> bool {
    let (Ok(mut one), Ok(mut other)) = (open_file(upper, name), open_file(lower, name)) else {
        return false;
    };
    let (mut first, mut second) = (vec![0u8; 1 << 16], vec![0u8; 1 << 16]);
    loop {
        let Ok(length) = one.read(&mut first) else {
            return false;
        };
        if length == 0 {
            return matches!(other.read(&mut second), Ok(0));
        }
        let Some(part) = second.get_mut(..length) else {
            return false;
        };
        if other.read_exact(part).is_err() || first.get(..length) != Some(&*part) {
            return false;
        }
    }
}

/// What is in a file below a directory; none where there is no regular file, or where it is longer than `most` bytes.
#[must_use]
pub fn read(root: &OwnedFd, path: &Path, most: u64) -> Option<Vec<u8>> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let name = CString::new(path.file_name()?.as_bytes()).ok()?;
    let directory = at::resolve(root.as_fd(), &c_path(parent).ok()?).ok()?;
    let file = open_file(directory.as_fd(), &name).ok()?;
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).ok()?;
    (u64::try_from(content.len()).ok()? <= most).then_some(content)
}
