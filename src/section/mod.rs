//! One file a section: its meaning as types, and its lowering to steps. All pure.

pub mod capabilities;
pub mod dbus;
pub mod desktop;
pub mod devices;
pub mod environment;
pub mod execute;
pub mod expand;
pub mod filesystem;
pub mod landlock;
pub mod limits;
pub mod namespaces;
pub mod pattern;
pub mod process;
pub mod rlimits;
pub mod syscalls;
pub mod user;
