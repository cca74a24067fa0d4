//! Landlock (landlock(7)): three system calls. Allocates nothing.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, Result, check};

/// struct landlock_ruleset_attr of linux/landlock.h.
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// struct landlock_path_beneath_attr; the kernel's is packed.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// The version of Landlock's interface.
///
/// # Errors
/// ENOSYS: not built in, or an outer sandbox. EOPNOTSUPP: built in, but not started at boot.
pub fn version() -> Result<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag nothing is read and nothing is made.
    let version = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            none,
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    })?;
    Ok(u32::try_from(version).unwrap_or(0))
}

/// Makes a ruleset that refuses the rights `handled` where no rule grants them, and shuts off `scoped`
/// (landlock_create_ruleset(2)). Kernels that do not know scopes are told nothing of them.
///
/// # Errors
/// EINVAL: the kernel does not know one of the rights. ENOMSG: nothing is handled.
pub fn create(handled: u64, scoped: u64) -> Result<OwnedFd> {
    let attributes = RulesetAttributes {
        handled_access_fs: handled,
        handled_access_net: 0,
        scoped,
    };
    let size = match scoped {
        0 => size_of::<u64>(),
        _ => size_of::<RulesetAttributes>(),
    };
    // SAFETY: the structure lives through the call, and no more of it is read than the size says.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size,
            0_u32,
        )
    })?;
    #[allow(clippy::cast_possible_truncation)] // descriptors are ints
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Grants rights on a file, or on a directory and all below it (landlock_add_rule(2)).
///
/// # Errors
/// EINVAL: a right of directories for a file that is none, or one that is not handled. EBADFD: a file that is in no
/// file system that can be seen (a pipe, a socket), which Landlock leaves alone.
pub fn allow(ruleset: BorrowedFd<'_>, at: BorrowedFd<'_>, rights: u64) -> Result<()> {
    const LANDLOCK_RULE_PATH_BENEATH: u32 = 1;
    let rule = PathBeneath {
        allowed_access: rights,
        parent_fd: at.as_raw_fd(),
    };
    // SAFETY: the structure lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0_u32,
        )
    })
    .map(drop)
}

/// Holds this thread and all that it starts to a ruleset, for good (landlock_restrict_self(2)).
///
/// # Errors
/// EPERM: neither no_new_privs nor CAP_SYS_ADMIN in the own user namespace. E2BIG: 16 rulesets hold it already.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) })
        .map(drop)
}

/// Whether Landlock refuses a rule for this kind of file because it never refuses the file itself.
#[must_use]
pub fn is_left_alone(errno: Errno) -> bool {
    errno == Errno::EBADFD
}
