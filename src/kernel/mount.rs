//! Mounts by descriptor: the mount API of Linux 5.2 and mount_setattr(2) of 5.12. Allocates nothing.
//!
//! A tree is cloned detached, gets its attributes with everything below it, and only then becomes visible: there
//! is no moment in which it can be seen without them, and no path is resolved twice.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, Result, check, check_int};

const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_int = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;

/// Attributes of a mount (mount_setattr(2)).
pub mod attribute {
    /// MOUNT_ATTR_RDONLY
    pub const RDONLY: u64 = 0x1;
    /// MOUNT_ATTR_NOSUID
    pub const NOSUID: u64 = 0x2;
    /// MOUNT_ATTR_NODEV
    pub const NODEV: u64 = 0x4;
    /// MOUNT_ATTR_NOEXEC
    pub const NOEXEC: u64 = 0x8;
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn own(fd: libc::c_long) -> OwnedFd {
    #[allow(clippy::cast_possible_truncation)] // descriptors are ints
    // SAFETY: callers pass a descriptor that the kernel has just returned.
    unsafe {
        OwnedFd::from_raw_fd(fd as RawFd)
    }
}

/// A detached copy of the tree at an open path, with all mounts below it.
///
/// # Errors
/// open_tree(2). EINVAL: the path belongs to another mount namespace, or a mount below it may not be copied.
pub fn clone_tree(place: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | libc::O_CLOEXEC.cast_unsigned()
        | (libc::AT_EMPTY_PATH | AT_RECURSIVE).cast_unsigned();
    // SAFETY: the empty path is a constant.
    check(unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags) })
        .map(own)
}

/// The same for what has that name in a directory: a link itself, not what it says.
///
/// # Errors
/// As [`clone_tree`].
pub fn clone_tree_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | libc::O_CLOEXEC.cast_unsigned()
        | (libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | AT_RECURSIVE).cast_unsigned();
    // SAFETY: the name lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            directory.as_raw_fd(),
            name.as_ptr(),
            flags,
        )
    })
    .map(own)
}

/// The same for what has that name in a directory of ours, or what it leads to if it is a link.
///
/// # Errors
/// As [`clone_tree`].
pub fn clone_tree_behind(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | libc::AT_NO_AUTOMOUNT.cast_unsigned();
    // SAFETY: the name lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            directory.as_raw_fd(),
            name.as_ptr(),
            flags,
        )
    })
    .map(own)
}

/// Sets attributes on a mount, or with everything below it.
///
/// # Errors
/// mount_setattr(2). EPERM: an attribute that may not be changed here.
pub fn set_attributes(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> Result<()> {
    change_attributes(mount, set, 0, recursive)
}

/// Sets attributes and clears others.
///
/// # Errors
/// As [`set_attributes`]; what a more privileged mount namespace has set cannot be cleared.
pub fn change_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    recursive: bool,
) -> Result<()> {
    let attributes = MountAttr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the structure lives through the call; its size is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Attaches a detached tree at an open path, over what is there.
///
/// # Errors
/// move_mount(2). ENOTDIR: a directory onto a file or the reverse.
pub fn attach(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the empty paths are constants.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            place.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// The same over what has that name in a directory: a link is covered, not followed.
///
/// # Errors
/// As [`attach`].
pub fn attach_at(tree: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: both names live through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            directory.as_raw_fd(),
            name.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Attaches a detached tree over the root. Paths that start at the root still lead into the old one.
///
/// # Errors
/// move_mount(2).
pub fn attach_over_root(tree: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the paths are constants.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            c"/".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// A file system of its own, not yet configured (fsopen(2)).
///
/// # Errors
/// ENODEV: the kernel does not know the type. EPERM: it may not be mounted by this user namespace.
pub fn open_filesystem(kind: &CStr) -> Result<OwnedFd> {
    // SAFETY: the name lives through the call.
    check(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }).map(own)
}

/// One option: `key=value`, or a flag when there is no value (fsconfig(2)).
///
/// # Errors
/// EINVAL: the file system does not know the option or the value.
pub fn configure(context: BorrowedFd<'_>, key: &CStr, value: Option<&CStr>) -> Result<()> {
    let (command, value) = match value {
        Some(value) => (FSCONFIG_SET_STRING, value.as_ptr()),
        None => (FSCONFIG_SET_FLAG, std::ptr::null()),
    };
    // SAFETY: key and value live through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            key.as_ptr(),
            value,
            0,
        )
    })
    .map(drop)
}

/// Makes the configured file system and a detached mount of it (fsconfig(2), fsmount(2)).
///
/// # Errors
/// EPERM: this user namespace may not mount it; for proc also when the visible one has parts covered. ENOSPC: too many mounts.
pub fn make_mount(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd> {
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes no key and no value.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            none,
            none,
            0,
        )
    })?;
    // SAFETY: plain integers.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        )
    })
    .map(own)
}

/// Makes all mounts of this namespace private: nothing spreads to or from the host (mount_namespaces(7)).
///
/// # Errors
/// mount(2).
pub fn make_private() -> Result<()> {
    propagate(libc::MS_PRIVATE)
}

/// Has what is mounted on the mounts of this namespace later spread to copies of it in other namespaces (mount_namespaces(7),
/// MS_SHARED).
///
/// # Errors
/// mount(2).
pub fn make_shared() -> Result<()> {
    propagate(libc::MS_SHARED)
}

/// Sets how all mounts of this namespace spread.
fn propagate(how: libc::c_ulong) -> Result<()> {
    let none = std::ptr::null();
    // SAFETY: the target is a constant; the other pointers are not looked at.
    check_int(unsafe {
        libc::mount(
            none,
            c"/".as_ptr(),
            none,
            libc::MS_REC | how,
            std::ptr::null(),
        )
    })
    .map(drop)
}

/// Makes the mount at `root` the root, lets go of the old one with everything on it and of what may be stacked upon
/// that, and goes to `/`.
///
/// Whatever stays mounted over the new root is reached from inside as `/..`, so that this is looked at before returning.
///
/// # Errors
/// pivot_root(2), umount(2), statx(2); EBUSY when something is still mounted over the new root.
pub fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    /// The old root, and the file system of ours that was attached over it.
    const STACKED: usize = 2;
    super::at::enter(root)?;
    // SAFETY: the paths are constants. With both the same, the old root ends up on top of the new one.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // SAFETY: the path is a constant.
    check_int(unsafe { libc::chdir(c"/".as_ptr()) })?;
    let new = mount_at(c"/")?;
    let mut left = STACKED;
    // Walking upwards from the root stays there, but enters what is mounted over it.
    while mount_at(c"/..")? != new {
        left = left.checked_sub(1).ok_or(Errno::EBUSY)?;
        // SAFETY: the path is a constant.
        check_int(unsafe { libc::umount2(c"/..".as_ptr(), libc::MNT_DETACH) })?;
    }
    Ok(())
}

/// statx(2), of a path from a directory.
fn statx(
    directory: libc::c_int,
    path: &CStr,
    flags: libc::c_int,
    mask: u32,
) -> Result<libc::statx> {
    // SAFETY: all-zero is a valid statx.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string, and the kernel writes one statx.
    check_int(unsafe { libc::statx(directory, path.as_ptr(), flags, mask, &raw mut status) })?;
    Ok(status)
}

/// The number of the mount in which a path ends.
fn mount_at(path: &CStr) -> Result<u64> {
    let status = statx(
        libc::AT_FDCWD,
        path,
        libc::AT_NO_AUTOMOUNT,
        libc::STATX_MNT_ID,
    )?;
    if status.stx_mask & libc::STATX_MNT_ID == 0 {
        return Err(Errno::ENOSYS);
    }
    Ok(status.stx_mnt_id)
}

/// Takes the mount whose root is the working directory out of the tree; what else uses it keeps it (umount2(2),
/// MNT_DETACH).
///
/// # Errors
/// EINVAL: the working directory is not the root of a mount.
pub fn detach_here() -> Result<()> {
    // SAFETY: the path is a constant.
    check_int(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Whether a mount is read-only.
///
/// # Errors
/// fstatvfs(3).
pub fn is_read_only(place: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: all-zero is a valid statvfs.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::fstatvfs(place.as_raw_fd(), &raw mut found) })?;
    Ok(found.f_flag & libc::ST_RDONLY != 0)
}

/// f_type of a file system in memory (statfs(2)).
pub const TMPFS: u64 = 0x0102_1994;
/// f_type of an overlay.
pub const OVERLAYFS: u64 = 0x794c_7630;
/// f_type of the process information.
pub const PROC: u64 = 0x9fa0;
/// f_type of the terminals.
pub const DEVPTS: u64 = 0x1cd1;
/// f_type of the message queues.
pub const MQUEUE: u64 = 0x1980_0202;

/// Whether a path is where something is mounted, and not only within that; true where the kernel does not tell (statx(2),
/// Linux 5.8).
///
/// # Errors
/// statx(2).
pub fn is_root_of_mount(path: &CStr) -> Result<bool> {
    let mount_root = libc::STATX_ATTR_MOUNT_ROOT as u64;
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_SYMLINK_NOFOLLOW;
    let status = statx(libc::AT_FDCWD, path, flags, 0)?;
    Ok(status.stx_attributes_mask & mount_root == 0 || status.stx_attributes & mount_root != 0)
}

/// Whether an open path is where something is mounted, as [`is_root_of_mount`].
///
/// # Errors
/// statx(2).
pub fn is_mounted_on(place: BorrowedFd<'_>) -> Result<bool> {
    let status = statx(
        place.as_raw_fd(),
        c"",
        libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
        0,
    )?;
    Ok(status.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0)
}

/// Whether what is mounted on the mount of an open directory appears elsewhere too (mount_namespaces(7), MS_SHARED). Nothing
/// where the kernel does not tell (statmount(2), Linux 6.8).
///
/// # Errors
/// statx(2), statmount(2).
pub fn is_shared(place: BorrowedFd<'_>) -> Result<Option<bool>> {
    const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
    const STATMOUNT_MNT_BASIC: u64 = 2;
    const SYS_STATMOUNT: libc::c_long = 457;
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        mount: u64,
        wanted: u64,
    }
    // Only what is asked for; the kernel fills in as much as there is room for.
    #[repr(C)]
    struct Answer {
        before: [u64; 9],
        propagation: u64,
        after: [u64; 64],
    }
    let status = statx(
        place.as_raw_fd(),
        c"",
        libc::AT_EMPTY_PATH,
        STATX_MNT_ID_UNIQUE,
    )?;
    if status.stx_mask & STATX_MNT_ID_UNIQUE == 0 {
        return Ok(None);
    }
    let request = Request {
        size: 24,
        spare: 0,
        mount: status.stx_mnt_id,
        wanted: STATMOUNT_MNT_BASIC,
    };
    let mut answer = Answer {
        before: [0; 9],
        propagation: 0,
        after: [0; 64],
    };
    // SAFETY: the request is as long as it says, and no more is written than there is room for.
    let returned = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            &raw const request,
            &raw mut answer,
            size_of::<Answer>(),
            0,
        )
    };
    match check(returned) {
        Ok(_) => Ok(Some(answer.propagation & libc::MS_SHARED != 0)),
        // An outer filter may not know it either.
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether mounting is refused before the kernel has even looked at what is asked for, as a Landlock domain about files does.
/// Nothing is mounted in either case: what is to be moved is not said (mount(2), MS_MOVE).
#[must_use]
pub fn is_refused() -> bool {
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    // SAFETY: the path is a constant, and a null source is refused with EINVAL by the kernel.
    let returned = unsafe { libc::mount(none, root, none, libc::MS_MOVE, std::ptr::null()) };
    check_int(returned) == Err(Errno::EPERM)
}

/// What is mounted at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// ST_* flags of the mount.
    pub flags: u64,
    /// f_type of the file system.
    pub kind: u64,
}

/// What is mounted at a path (statfs(2)).
///
/// # Errors
/// statfs(2).
pub fn look(path: &CStr) -> Result<Seen> {
    // As 64-bit kernels lay it out; the C library's declaration keeps the flags to itself.
    #[repr(C)]
    #[derive(Default)]
    struct Statfs {
        kind: u64,
        block_size: u64,
        blocks: [u64; 3],
        files: [u64; 2],
        id: u64,
        name_length: u64,
        fragment_size: u64,
        flags: u64,
        spare: [u64; 4],
    }
    let mut found = Statfs::default();
    // SAFETY: path and structure live through the call.
    check(unsafe { libc::syscall(libc::SYS_statfs, path.as_ptr(), &raw mut found) })?;
    Ok(Seen {
        flags: found.flags,
        kind: found.kind,
    })
}

/// Whether this kernel has the calls above.
#[must_use]
pub fn supported() -> bool {
    // SAFETY: an invalid descriptor: nothing happens, and a kernel that has the call says EBADF.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            -1,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::null::<MountAttr>(),
            0,
        )
    };
    check(returned) != Err(Errno::ENOSYS)
}
