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

/// Less than this is too little of a stack to make a sandbox on, by a wide margin: what runs out of its stack is killed
/// without a word.
#[cfg(target_env = "gnu")]
const LEAST_STACK: usize = 256 << 10;

/// What is wrong with the limit on the stack, if anything is. No system call: the C library has asked for it at the start, to
/// give threads stacks of that size (pthread_create(3)).
#[cfg(target_env = "gnu")]
#[must_use]
pub fn lack_of_stack() -> Option<String> {
    unsafe extern "C" {
        fn pthread_getattr_default_np(attributes: *mut libc::pthread_attr_t) -> libc::c_int;
    }
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: it writes the structure, or says that it has not.
    if unsafe { pthread_getattr_default_np(attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let mut size = 0;
    // SAFETY: the structure has been written.
    let told = unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut size) };
    // SAFETY: as above; it is not used any more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if told != 0 {
        return None;
    }
    (size < LEAST_STACK).then(|| {
        format!(
            "the limit on the stack is {} KiB, of which a sandbox cannot be made (`ulimit -s`); nothing was run\n  help: raise \
             it where `sandbox` is started: `ulimit -s 8192`; {} are enough\n  help: for the program alone, \
             `limits.stack-size` sets another\n",
            size >> 10,
            LEAST_STACK >> 10
        )
    })
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
            if let Some(lack) = $crate::kernel::entry::lack_of_stack() {
                let _ = ::std::io::Write::write_all(
                    &mut ::std::io::stderr(),
                    format!("sandbox: {lack}").as_bytes(),
                );
                ::std::process::exit(125);
            }
            ::std::process::exit($main())
        }

        #[cfg(not(target_env = "gnu"))]
        fn main() {
            ::std::process::exit($main())
        }
    };
}
