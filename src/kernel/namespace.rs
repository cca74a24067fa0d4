//! Namespaces: setns(2), unshare(2), and what belongs to new ones. Allocates nothing.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, check_int};

/// Enters the namespace that `file` names; `kind` is its CLONE_NEW… flag, so that no other kind is entered.
///
/// # Errors
/// setns(2); EINVAL: the file is of another kind, EPERM: the privilege over that namespace is missing.
pub fn setns(file: BorrowedFd<'_>, kind: libc::c_int) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::setns(file.as_raw_fd(), kind) }).map(drop)
}

/// Moves the caller into new namespaces.
///
/// # Errors
/// unshare(2).
pub fn unshare(flags: libc::c_int) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::unshare(flags) }).map(drop)
}

/// Sets the host name of the caller's UTS namespace.
///
/// # Errors
/// sethostname(2); EINVAL: longer than 64 bytes.
pub fn sethostname(name: &CStr) -> Result<()> {
    // SAFETY: the pointer and the length describe the same live string.
    check_int(unsafe { libc::sethostname(name.as_ptr(), name.to_bytes().len()) }).map(drop)
}

/// Whether the host is called so (uname(2)).
///
/// # Errors
/// uname(2).
pub fn is_hostname(name: &CStr) -> Result<bool> {
    // SAFETY: all-zero is a valid utsname.
    let mut found: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::uname(&raw mut found) })?;
    let found = found.nodename.iter().map(|&byte| byte.cast_unsigned());
    Ok(found
        .take_while(|&byte| byte != 0)
        .eq(name.to_bytes().iter().copied()))
}

/// Brings the interface `lo` of the caller's network namespace up (netdevice(7)).
///
/// # Errors
/// socket(2), ioctl SIOCSIFFLAGS.
pub fn loopback_up() -> Result<()> {
    // SAFETY: plain integers.
    let socket = check_int(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    })?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    #[allow(clippy::cast_possible_truncation)] // both flags fit
    {
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    }
    // SAFETY: the request outlives the call.
    let done = check_int(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request) });
    // SAFETY: the descriptor was opened above and is not used again.
    unsafe { libc::close(socket) };
    done.map(drop)
}

/// Opens the user namespace that a namespace belongs to (ioctl_ns(2), NS_GET_USERNS).
///
/// # Errors
/// EPERM: it is above the caller's own. ENOTTY: a kernel before 4.9.
pub fn user_namespace_of(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the request takes no argument.
    let fd = check_int(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_USERNS) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The user to whom a user namespace belongs (ioctl_ns(2), NS_GET_OWNER_UID).
///
/// # Errors
/// EINVAL: the file is no user namespace. ENOTTY: a kernel before 4.11.
pub fn owner(file: BorrowedFd<'_>) -> Result<u32> {
    const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;
    let mut uid: libc::uid_t = u32::MAX;
    // SAFETY: the kernel writes one uid_t, which lives through the call.
    check_int(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) })?;
    Ok(uid)
}
