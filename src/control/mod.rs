//! Running sandboxes: the records by which they are found, and what can be done to them from outside.
//!
//! There is no daemon. A launcher writes one file for its sandbox, a [`record::Record`], in a directory of its user, and
//! holds a lock on it as long as it supervises; who can take the lock knows that the record is stale. Nothing in a record is
//! trusted beyond what its owner could do anyway: see [`registry`] and [`process`].

pub mod action;
pub mod attached;
pub mod confinement;
pub mod directory;
pub mod join;
pub mod limits;
pub mod log;
pub mod name;
pub mod place;
pub mod process;
pub mod record;
pub mod registry;
pub mod run_directory;
pub mod sandbox;
pub mod share;
pub mod statistics;

pub use record::Record;
pub use registry::{Entry, Registration};
pub use sandbox::Sandbox;
