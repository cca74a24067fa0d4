//! The desktop outside: entries, D-Bus services and commands that start programs in their sandboxes, and what is said to the
//! desktop's servers so that a program inside finds what `[desktop]` promises.
//!
//! Entries: `scan` reads what a desktop would find, `plan` decides which files there are to be (`copy` makes their texts,
//! from `entry`, `exec` and `program`), `apply` writes and removes them through `place` and keeps `manifest`, and `judge`
//! says what would still start a program without its sandbox. All but `scan`, `place` and `apply` are functions of values.
//!
//! Servers: `wayland` asks the compositor for a socket of the sandbox's own, `authority` reads and writes X cookies.

pub mod apply;
pub mod authority;
pub mod copy;
pub mod entry;
pub mod exec;
pub mod follow;
pub mod judge;
pub mod manifest;
pub mod place;
pub mod plan;
pub mod program;
pub mod scan;
pub mod service;
pub mod step;
pub mod wayland;

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    let halves = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}
