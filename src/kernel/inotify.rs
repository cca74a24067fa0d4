//! inotify(7): what happens to the names in directories.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use super::{Result, check_int};

/// What was said about a watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'b> {
    /// The number that [`watch_here`] gave; −1 when events were lost.
    pub watch: i32,
    /// Bits of IN_…
    pub mask: u32,
    /// The name in the directory.
    pub name: &'b OsStr,
}

impl Event<'_> {
    /// Whether events were lost, since nobody read so many in time.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.mask & libc::IN_Q_OVERFLOW != 0
    }

    /// Whether the watch is gone: the directory is, or was unmounted.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.mask & libc::IN_IGNORED != 0
    }
}

/// A queue of events; reads never wait (inotify_init1(2)).
///
/// # Errors
/// EMFILE: the user has too many (fs.inotify.max_user_instances), or too many descriptors are open.
pub fn queue() -> Result<OwnedFd> {
    // SAFETY: takes flags only.
    let fd = check_int(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has the names in the working directory told. A directory that is watched already keeps its number (inotify_add_watch(2)).
///
/// # Errors
/// ENOSPC: the user has too many watches (fs.inotify.max_user_watches). EACCES: the directory cannot be read.
pub fn watch_here(queue: BorrowedFd<'_>) -> Result<i32> {
    let mask = libc::IN_CREATE
        | libc::IN_MOVED_TO
        | libc::IN_MOVED_FROM
        | libc::IN_DELETE
        | libc::IN_ONLYDIR;
    // SAFETY: the path is a constant.
    check_int(unsafe { libc::inotify_add_watch(queue.as_raw_fd(), c".".as_ptr(), mask) })
}

/// Ends a watch; one that is gone is no error.
pub fn forget(queue: BorrowedFd<'_>, watch: i32) {
    // SAFETY: plain integers.
    unsafe { libc::inotify_rm_watch(queue.as_raw_fd(), watch) };
}

/// The events in what was read from a queue.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    const HEADER: usize = size_of::<libc::inotify_event>();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let word = |at: usize| -> Option<[u8; 4]> { rest.get(at..at + 4)?.try_into().ok() };
        let (watch, mask, length) = (word(0)?, word(4)?, word(12)?);
        let length = usize::try_from(u32::from_ne_bytes(length)).ok()?;
        let name = rest.get(HEADER..HEADER.checked_add(length)?)?;
        let end = name.iter().position(|&byte| byte == 0);
        rest = rest.get(HEADER + length..)?;
        Some(Event {
            watch: i32::from_ne_bytes(watch),
            mask: u32::from_ne_bytes(mask),
            name: OsStr::from_bytes(name.get(..end.unwrap_or(name.len()))?),
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event(watch: i32, mask: u32, name: &[u8]) -> Vec<u8> {
        let length = u32::try_from(name.len()).unwrap();
        let mut bytes = watch.to_ne_bytes().to_vec();
        bytes.extend(mask.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(name);
        bytes
    }

    #[test]
    fn events_are_read_and_what_is_cut_short_ends_them() {
        let mut bytes = event(3, libc::IN_CREATE, b".env\0\0\0\0");
        bytes.extend(event(-1, libc::IN_Q_OVERFLOW, b""));
        bytes.extend(event(4, libc::IN_IGNORED, b""));
        let found: Vec<Event<'_>> = events(&bytes).collect();
        assert_eq!(found.len(), 3);
        assert!(found[0].watch == 3 && found[0].name == ".env");
        assert!(found[1].is_overflow() && found[2].is_end());
        assert_eq!(events(&bytes[..20]).count(), 0);
        assert_eq!(events(&bytes[..30]).count(), 1);
    }
}
