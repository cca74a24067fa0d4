//! The kernel's interface, one system call or one file protocol per function; the only place with `unsafe` code beside the
//! child after clone.

pub mod seccomp;
