//! The plan: what will be done, step by step, as a value.
//!
//! A plan is made from a policy and the facts of this host; nothing is touched to make it. `--dry-run`, `sandboxctl
//! check` and the snapshot tests print it; the executor carries it out.

pub mod step;

pub use step::{Action, OnFailure, Phase, Step};
