//! One file a section: its meaning as types, and its lowering to steps. All pure.

pub mod limits;
pub mod rlimits;
pub mod syscalls;
