//! What tells one process from another with the same number later.

use std::fs;
use std::io::ErrorKind;

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22).
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn start_time(pid: i32) -> std::io::Result<u64> {
    let text = fs::read(format!("/proc/{pid}/stat")).map_err(|error| {
        if error.raw_os_error() == Some(libc::ESRCH) {
            ErrorKind::NotFound.into()
        } else {
            error
        }
    })?;
    // The name in parentheses may hold anything, also a parenthesis.
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Random bits of the kernel, as hexadecimal digits.
///
/// # Errors
/// Those of getrandom(2).
pub fn random_hex() -> std::io::Result<String> {
    let mut bytes = [0_u8; 6];
    // SAFETY: the buffer is ours and as long as we say.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != 6 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
