//! Where a program starts: `main` as the C library calls it.
//!
//! The standard library's own start looks up the bounds of the stack in /proc/self/maps and installs handlers for its
//! overflow, which takes twenty system calls. A launcher that lives for a millisecond before it execs does without:
//! an overflow is SIGSEGV either way, by the guard that the kernel keeps below the stack.

use super::{Result, check_int, descriptor};

/// Opens /dev/null as those of the descriptors 0, 1 and 2 that are closed, so that no file that is opened later is
/// taken for one of them.
///
/// # Errors
/// poll(2), or open(2) of /dev/null.
pub fn fill_standard_descriptors() -> Result<()> {
    let mut standard = [0, 1, 2].map(|fd| libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    });
    descriptor::poll(&mut standard, 0)?;
    for entry in standard {
        if entry.revents & libc::POLLNVAL != 0 {
            // The lowest number that is free is the one that is missing. The program gets it too.
            // SAFETY: the path is a constant.
            check_int(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
        }
    }
    Ok(())
}

/// Has writing fail with EPIPE where nobody reads any more, as the standard library does, and with EFBIG where a file may
/// not grow (`ulimit -f`): neither must kill the launcher without a word.
pub fn ignore_refused_writes() {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Starts the program with a function that returns its exit status.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Called by the C library, which has already told `std::env` about arguments and variables.
        #[cfg(target_env = "gnu")]
        // SAFETY: the only symbol of this name: `no_main` keeps the compiler from making one.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _count: ::std::ffi::c_int,
            _words: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            if let Err(errno) = $crate::kernel::entry::fill_standard_descriptors() {
                // What is closed stays so: nothing else can be in its place yet.
                let _ = ::std::io::Write::write_all(
                    &mut ::std::io::stderr(),
                    format!(
                        "sandbox: it cannot be found out which standard streams are open: {errno}\n"
                    )
                    .as_bytes(),
                );
                ::std::process::exit(125);
            }
            $crate::kernel::entry::ignore_refused_writes();
            ::std::process::exit($main())
        }

        #[cfg(not(target_env = "gnu"))]
        fn main() {
            ::std::process::exit($main())
        }
    };
}
