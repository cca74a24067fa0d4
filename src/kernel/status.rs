//! What is known of a file without asking whoever keeps it: a server that does not answer holds nobody up (statx(2),
//! AT_STATX_DONT_SYNC).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, Result, check_int, clone};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Type and mode bits.
    pub mode: u32,
    /// The numbers of the device that it is on.
    pub device: (u32, u32),
    /// Its number there.
    pub inode: u64,
    /// How many names it has.
    pub names: u32,
}

/// Of an open file.
///
/// # Errors
/// statx(2).
pub fn of(file: BorrowedFd<'_>) -> Result<Status> {
    look(file, c"", libc::AT_EMPTY_PATH)
}

/// Of what has that name in a directory: of a link itself. No automount is triggered.
///
/// # Errors
/// statx(2).
pub fn at(directory: BorrowedFd<'_>, name: &CStr) -> Result<Status> {
    look(directory, name, libc::AT_SYMLINK_NOFOLLOW)
}

fn look(directory: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Result<Status> {
    // SAFETY: all-zero is a valid statx.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let how = flags | libc::AT_NO_AUTOMOUNT;
    // SAFETY: the name is a C string, and the kernel writes one statx.
    let returned = unsafe {
        libc::statx(
            directory.as_raw_fd(),
            name.as_ptr(),
            how | libc::AT_STATX_DONT_SYNC,
            libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_INO | libc::STATX_NLINK,
            &raw mut found,
        )
    };
    match check_int(returned) {
        Ok(_) => Ok(Status {
            mode: u32::from(found.stx_mode),
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            names: found.stx_nlink,
        }),
        // An outer sandbox may not know the call.
        Err(Errno::ENOSYS) => old(directory, name, how),
        Err(errno) => Err(errno),
    }
}

/// fstatat(2), for want of statx.
fn old(directory: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Result<Status> {
    // SAFETY: all-zero is a valid stat.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: name and structure live through the call.
    check_int(unsafe {
        libc::fstatat(directory.as_raw_fd(), name.as_ptr(), &raw mut found, flags)
    })?;
    Ok(Status {
        mode: found.st_mode,
        device: (libc::major(found.st_dev), libc::minor(found.st_dev)),
        inode: found.st_ino,
        names: u32::try_from(found.st_nlink).unwrap_or(u32::MAX),
    })
}

/// The number of the kind of file system that an open file is on (linux/magic.h); nothing where the kernel does not tell
/// without asking it (statmount(2), Linux 6.8).
///
/// # Errors
/// statx(2), statmount(2).
pub fn magic(file: BorrowedFd<'_>) -> Result<Option<u64>> {
    const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
    const STATMOUNT_SB_BASIC: u64 = 1;
    const SYS_STATMOUNT: libc::c_long = 457;
    /// `sb_magic`, the fourth of the structure's first eight bytes each.
    const MAGIC: usize = 3;
    // SAFETY: all-zero is a valid statx.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a C string, and the kernel writes one statx.
    let returned = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            STATX_MNT_ID_UNIQUE,
            &raw mut found,
        )
    };
    match check_int(returned) {
        Err(Errno::ENOSYS) => return Ok(None),
        other => other?,
    };
    if found.stx_mask & STATX_MNT_ID_UNIQUE == 0 {
        return Ok(None);
    }
    // Size, mount, and what is wanted; then what the kernel fills in.
    let request = [24, found.stx_mnt_id, STATMOUNT_SB_BASIC];
    let mut answer = [0u64; 80];
    // SAFETY: the request is as long as it says, and no more is written than there is room for.
    let returned = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            request.as_ptr(),
            answer.as_mut_ptr(),
            size_of_val(&answer),
            0,
        )
    };
    match super::check(returned) {
        Ok(_) => Ok(answer.get(MAGIC).copied()),
        // An outer filter may not know it; nor is every mount told of to everybody.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether the file system of an open file answers within a time: asked by a process of its own (fstatfs(2)), for who asks
/// a server that is gone cannot be called back.
///
/// # Errors
/// fork(2), and what the file system answers.
pub fn answers(file: BorrowedFd<'_>, milliseconds: u16) -> Result<bool> {
    // The child makes system calls only, and ends. Who is filtered makes no other calls for it than these.
    let child = clone::fork()?;
    if child == 0 {
        // One that cannot be killed is not to hold the caller's pipes open as well. Without the calls it does.
        // SAFETY: plain integers.
        let copy = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 3) };
        let asked = if copy < 3 { file.as_raw_fd() } else { copy };
        for (first, last) in [(0, copy - 1), (copy + 1, i32::MAX)] {
            if copy >= 3 {
                // SAFETY: plain integers; this process uses no other descriptor.
                unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            }
        }
        // SAFETY: all-zero is a valid statfs.
        let mut found: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the structure lives through the call.
        let returned = unsafe { libc::fstatfs(asked, &raw mut found) };
        // Errors are small numbers.
        let status = match check_int(returned) {
            Ok(_) => 0,
            Err(errno) => errno as i32 & 0xff,
        };
        // SAFETY: ends this process and nothing else.
        unsafe { libc::_exit(status) };
    }
    let mut left = u32::from(milliseconds);
    let mut pause = 1;
    loop {
        let mut status = 0;
        // SAFETY: the status lives through the call; the child is ours.
        let waited =
            match check_int(unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) }) {
                // It has ended, and the caller has SIGCHLD ignored: what it was told, who asks next is told too.
                Err(Errno::ECHILD) => return Ok(true),
                waited => waited?,
            };
        if waited == child {
            return match libc::WEXITSTATUS(status) {
                0 if libc::WIFEXITED(status) => Ok(true),
                errno if libc::WIFEXITED(status) => Err(Errno::from_raw(errno)),
                _ => Ok(false),
            };
        }
        if left == 0 {
            // SAFETY: the child has not been waited for, so that the number is still its own.
            unsafe { libc::kill(child, libc::SIGKILL) };
            std::thread::sleep(std::time::Duration::from_millis(20));
            // It dies when the kernel lets it; nobody waits any longer for that.
            // SAFETY: as above.
            unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
            return Ok(false);
        }
        std::thread::sleep(std::time::Duration::from_millis(pause));
        left = left.saturating_sub(u32::try_from(pause).unwrap_or(u32::MAX));
        pause = (pause * 2).min(50);
    }
}
