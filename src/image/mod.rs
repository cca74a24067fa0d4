//! Root file systems: an archive or an image is read, checked, and unpacked once into a cache that is named by digests.
//!
//! What is read is hostile until it is shown to be harmless. `member` decides about names, `tape` reads archives,
//! `stream` decompresses and keeps to the limits, `tree` writes by descriptors and never follows a link, `layer` puts
//! layers on each other, `manifest` and `source` find them, `store` keeps the outcome.

pub mod config;
pub mod import;
mod layer;
pub mod manifest;
pub mod member;
pub mod source;
pub mod store;
pub mod stream;
pub mod tape;
mod tree;
mod xz;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod hostile_tests;

use serde::{Deserialize, Serialize};

use crate::report::Diagnostic;

/// What nearly everything here returns: what is wrong, and what helps.
pub type Result<T> = std::result::Result<T, Diagnostic>;

/// What an image may come to. Beyond that it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all layers together, unpacked.
    pub bytes: u64,
    /// Files, directories and links of all layers together.
    pub entries: u64,
    /// Directories below each other.
    pub depth: usize,
    /// How many times larger than what is read it may become, once it is larger than `free`.
    pub ratio: u64,
    /// Bytes: up to this nothing is said about the ratio, for small archives of empty files are harmless.
    pub free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            entries: 1_000_000,
            depth: 100,
            ratio: 200,
            free: 64 << 20,
        }
    }
}

/// Whose the unpacked files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Everything becomes the caller's.
    Own,
    /// As the archive says; only root can do that.
    Kept,
    /// Root's become the caller's, all others the caller's subordinate ids; done from within a user namespace in which they
    /// are as the archive says.
    Subordinate(Ranges),
}

/// Ranges of subordinate ids: what is 1 inside is the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// First user id, and how many.
    pub uids: (u32, u32),
    /// First group id, and how many.
    pub gids: (u32, u32),
}
