//! Changes that a sandbox made and that are kept apart until somebody has looked at them: `"PATH" = "overlay"`, `--copy`.
//!
//! A *store* belongs to one name of sandboxes, and has an *area* for each directory that was changed: the upper layer of an
//! overlay over that directory. What is in an upper layer was written by the program inside, and is taken as hostile: it is
//! read by descriptors from its root downwards, no link is followed, and nothing but plain files, directories and links is
//! ever carried anywhere.

pub mod apply;
pub mod content;
pub mod difference;
pub mod private;
pub mod remove;
pub mod store;
pub mod walk;

pub use walk::{Change, Kind, Object};

/// Something that could not be done, in words.
pub type Result<T> = std::result::Result<T, String>;
