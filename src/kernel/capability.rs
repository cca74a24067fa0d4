//! Capability sets (capabilities(7)). Allocates nothing.

use super::{Errno, Result, check, check_int};

const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The effective set of this process, bit n for capability n.
///
/// # Errors
/// capget(2).
pub fn effective() -> Result<u64> {
    let [low, high] = get()?;
    Ok(u64::from(low.effective) | u64::from(high.effective) << 32)
}

/// Takes a capability out of the bounding set.
///
/// # Errors
/// EPERM: CAP_SETPCAP is missing. EINVAL: the kernel has no such capability.
pub fn drop_bounding(number: u32) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) })
        .map(drop)
}

/// Whether a capability is in the bounding set.
///
/// # Errors
/// EINVAL: the kernel has no such capability.
pub fn in_bounding(number: u32) -> Result<bool> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) })
        .map(|set| set == 1)
}

fn get() -> Result<[Data; 2]> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 uses two data structures; both outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(data)
}

fn set(data: &[Data; 2]) -> Result<()> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    // SAFETY: version 3 uses two data structures; both outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Leaves `keep` in the permitted and effective sets, as far as it was there, and with `ambient` in the inheritable
/// and ambient sets; nothing else in any of these. Reads back what it did.
///
/// # Errors
/// capset(2); EPERM as well when the sets are not what they should be afterwards.
pub fn keep_only(keep: u64, ambient: bool) -> Result<()> {
    // SAFETY: plain integers.
    match check_int(unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    }) {
        // A kernel before 4.3 has no ambient set to clear.
        Ok(_) | Err(Errno::EINVAL) => {}
        Err(error) => return Err(error),
    }
    let mut data = match keep {
        0 => [Data::default(); 2],
        _ => get()?,
    };
    for (half, data) in data.iter_mut().enumerate() {
        #[allow(clippy::cast_possible_truncation)] // one half at a time
        let keep = (keep >> (32 * half)) as u32;
        data.permitted &= keep;
        data.effective = data.permitted;
        data.inheritable = if ambient { data.permitted } else { 0 };
    }
    set(&data)?;
    if ambient {
        for number in 0u32..64 {
            let half = &data[usize::from(number >= 32)];
            if half.permitted & (1 << (number % 32)) == 0 {
                continue;
            }
            // SAFETY: plain integers.
            check_int(unsafe {
                libc::prctl(
                    libc::PR_CAP_AMBIENT,
                    libc::PR_CAP_AMBIENT_RAISE,
                    libc::c_ulong::from(number),
                    0,
                    0,
                )
            })?;
        }
    }
    let after = get()?;
    let same = after.iter().zip(&data).all(|(is, should)| {
        is.permitted == should.permitted
            && is.effective == should.effective
            && is.inheritable == should.inheritable
    });
    if same { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether the caller may mount in its user namespace: CAP_SYS_ADMIN is effective.
///
/// # Errors
/// capget(2).
pub fn may_mount() -> Result<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    Ok(get()?[0].effective & (1 << CAP_SYS_ADMIN) != 0)
}

/// Whether the caller has no more than `keep` in its permitted and effective sets, and no more than that with `ambient`,
/// or nothing, in the inheritable set, which bounds the ambient one. With `bounding`, the highest capability that the
/// kernel knows, the lowest and the highest one that are not kept are looked for in the bounding set.
///
/// # Errors
/// capget(2), prctl(2).
pub fn is_at_most(keep: u64, ambient: bool, bounding: Option<u32>) -> Result<bool> {
    let found = get()?;
    let both = |of: fn(&Data) -> u32| u64::from(of(&found[0])) | u64::from(of(&found[1])) << 32;
    let inheritable = if ambient { keep } else { 0 };
    let over = (both(|data| data.permitted) | both(|data| data.effective)) & !keep
        | both(|data| data.inheritable) & !inheritable;
    if over != 0 {
        return Ok(false);
    }
    let Some(last) = bounding else {
        return Ok(true);
    };
    let dropped = |number: &u32| keep & (1 << number) == 0;
    let numbers = 0..=last.min(63);
    for number in [numbers.clone().find(dropped), numbers.rev().find(dropped)]
        .into_iter()
        .flatten()
    {
        if in_bounding(number)? {
            return Ok(false);
        }
    }
    Ok(true)
}
