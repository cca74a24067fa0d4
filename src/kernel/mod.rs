//! The kernel's edge: one system call or one file protocol a function.
//!
//! Each wrapper takes safe types, makes one call and returns a typed errno. Beside `exec::child` this is the only
//! place with `unsafe`. Functions that say so allocate nothing, so that the child can use them after clone.

#![allow(unsafe_code)]

pub mod at;
pub mod bpf;
pub mod bus;
pub mod capability;
pub mod cgroup;
pub mod clone;
pub mod descriptor;
pub mod entry;
pub mod heap;
pub mod inotify;
pub mod landlock;
pub mod lock;
pub mod machine;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod notification;
pub mod peer;
pub mod pressure;
pub mod process;
pub mod pseudo;
pub mod resident;
pub mod seccomp;
pub mod signal;
pub mod slate;
pub mod stat;
pub mod status;
pub mod systemd;
pub mod terminal;
pub mod watch;

pub use nix::errno::Errno;

/// What every wrapper returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// −1 → the errno of this thread.
fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned < 0 {
        Err(Errno::last())
    } else {
        Ok(returned)
    }
}

/// The same for calls that return an `int`.
fn check_int(returned: libc::c_int) -> Result<libc::c_int> {
    if returned < 0 {
        Err(Errno::last())
    } else {
        Ok(returned)
    }
}
