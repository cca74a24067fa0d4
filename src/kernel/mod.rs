//! The kernel's edge: one system call or one file protocol a function. The only place with `unsafe`, beside `exec::child`.

pub mod cgroup;
pub mod pressure;
pub mod process;
pub mod systemd;
