//! What is done under the program's own filter, which may forbid whatever it likes.

use crate::bpf::Malformed;
use crate::kernel::process::exit;
use crate::kernel::slate::Slate;
use crate::kernel::{Errno, seccomp};
use crate::section::syscalls::FilterPlan;

/// The filter of process 1.
#[derive(Debug)]
pub(super) struct InitFilter {
    /// The step that asked for it.
    pub step: u32,
    pub instructions: Box<[libc::sock_filter]>,
}

impl InitFilter {
    /// The program's, which lets process 1 close descriptors besides: until it is installed, a failure is told with one, and
    /// the program waits for the end of another.
    ///
    /// # Errors
    /// It is longer than the kernel takes.
    pub(super) fn new(step: u32, filter: &FilterPlan) -> Result<Self, Malformed> {
        const CALL: &str = "close_range";
        let forbids = filter.architectures.first().filter(|native| {
            // From the first that is not kept.
            (0..=2).any(|first| {
                let arguments = [first, u64::from(u32::MAX), 0, 0, 0, 0];
                let verdict = filter.program.verdict_for(CALL, **native, arguments);
                verdict.is_some_and(|verdict| !verdict.permits())
            })
        });
        let instructions = match forbids {
            None => seccomp::prepare(&filter.program),
            Some(native) => seccomp::prepare(&filter.program.with_call(CALL, *native)?),
        };
        Ok(Self { step, instructions })
    }
}

/// Whether memory can be given back under a filter (madvise(2)).
pub(super) fn lets_memory_go(filter: &FilterPlan) -> bool {
    const MADV_DONTNEED: u64 = 4;
    let native = filter.architectures.first();
    let verdict = native.and_then(|native| {
        let arguments = [0, 0, MADV_DONTNEED, 0, 0, 0];
        filter.program.verdict_for("madvise", *native, arguments)
    });
    verdict.is_some_and(|verdict| verdict.permits())
}

/// Leaves to the launcher which step failed and why. Makes no system call.
pub(super) fn leave(slate: Option<&Slate>, step: u32, errno: Errno) {
    if let Some(slate) = slate {
        slate.leave(u64::from(step) << 32 | u64::from((errno as i32).cast_unsigned()));
    }
}

/// What was left.
pub(super) fn left(slate: Option<&Slate>) -> Option<(u32, Errno)> {
    let word = slate?.read()?;
    let errno = i32::try_from(word & u64::from(u32::MAX)).unwrap_or_default();
    Some((
        u32::try_from(word >> 32).unwrap_or(u32::MAX),
        Errno::from_raw(errno),
    ))
}

/// Leaves that, and ends.
pub(super) fn fail(slate: Option<&Slate>, step: u32, errno: Errno) -> ! {
    leave(slate, step, errno);
    exit(125)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let slate = Slate::new().unwrap();
        assert_eq!(left(Some(&slate)), None);
        leave(Some(&slate), u32::MAX - 7, Errno::ENOENT);
        assert_eq!(left(Some(&slate)), Some((u32::MAX - 7, Errno::ENOENT)));
    }
}
