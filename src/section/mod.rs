//! One file a section: its meaning as types, and its lowering to steps. All pure.

pub mod devices;
pub mod expand;
pub mod filesystem;
pub mod limits;
pub mod syscalls;
