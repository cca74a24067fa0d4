//! Carrying a plan out: everything is prepared before there is a child, the child allocates nothing, and the launcher
//! stays behind to forward signals and to tell how it ended.

mod audit;
mod child;
mod companion;
pub mod failure;
mod filtered;
pub mod group;
mod init;
pub mod itself;
mod join;
mod keeper;
mod landlock;
mod made;
mod operation;
mod outcome;
mod outside;
mod overlay;
mod prepare;
mod prepared;
mod priority;
mod relay;
mod share;
mod start;
mod supervise;
pub mod within;

pub use failure::LaunchError;
pub use join::{Target, prepare_join};
pub use outcome::{Ending, Outcome, Remark, Started};
pub use prepare::{prepare, prepare_sharing};
pub use prepared::Prepared;
pub use share::Shared;
pub use supervise::launch;
