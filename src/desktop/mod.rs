//! The desktop outside: what is said to its servers so that the program inside finds what `[desktop]` promises.

pub mod authority;
pub mod wayland;
