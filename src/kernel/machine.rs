//! What this machine and the caller are.

use super::{Errno, Result, check_int};

/// RAM in bytes (sysinfo(2)).
///
/// # Errors
/// sysinfo(2).
pub fn memory() -> Result<u64> {
    // SAFETY: all-zero is a valid sysinfo.
    let mut found: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::sysinfo(&raw mut found) })?;
    Ok(found.totalram.saturating_mul(found.mem_unit.into()))
}

/// The kernel's release (uname(2)); empty if it cannot be told.
#[must_use]
pub fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The highest capability that the kernel knows. Only EINVAL says that it knows one not: were another refusal taken for that
/// too, the capabilities behind it would never be dropped. Then the highest there can be is the answer, and dropping it fails.
#[must_use]
pub fn last_capability() -> u32 {
    // CAP_CHECKPOINT_RESTORE has been the highest since Linux 5.9.
    let known = |number| super::capability::in_bounding(number) != Err(Errno::EINVAL);
    let mut last = 40;
    while last < 63 && known(last + 1) {
        last += 1;
    }
    while last > 0 && !known(last) {
        last -= 1;
    }
    last
}
