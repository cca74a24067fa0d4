//! A word that a process leaves to who made it, without a system call: a filter of system calls may forbid all that could
//! say something. It is gone from a process that becomes another program.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Errno, Result};

/// Shared with every process that is forked while it is there.
#[derive(Debug)]
pub struct Slate {
    word: &'static AtomicU64,
}

impl Slate {
    /// A blank one.
    ///
    /// # Errors
    /// mmap(2).
    pub fn new() -> Result<Self> {
        // SAFETY: a mapping of its own, at an address that the kernel chooses.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: as long as this is there, the page is; it is aligned, zero, and only used as this.
        let word = unsafe { &*page.cast::<AtomicU64>() };
        Ok(Self { word })
    }

    /// Leaves a word, unless there is one already.
    pub fn leave(&self, word: u64) {
        let _ = (self.word).compare_exchange(0, word, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The word that was left.
    pub fn read(&self) -> Option<u64> {
        Some(self.word.load(Ordering::SeqCst)).filter(|word| *word != 0)
    }
}

impl Drop for Slate {
    fn drop(&mut self) {
        let page = std::ptr::from_ref(self.word).cast_mut();
        // SAFETY: mapped by `new`, and nobody has the word any more.
        unsafe { libc::munmap(page.cast(), size_of::<AtomicU64>()) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::clone::fork;
    use super::super::process::exit;
    use super::*;

    #[test]
    fn a_child_leaves_the_first_word() {
        let slate = Slate::new().unwrap();
        assert_eq!(slate.read(), None);
        let child = fork().unwrap();
        if child == 0 {
            slate.leave(7);
            slate.leave(8);
            exit(0);
        }
        let child = nix::unistd::Pid::from_raw(child);
        nix::sys::wait::waitpid(child, None).unwrap();
        assert_eq!(slate.read(), Some(7));
    }
}
