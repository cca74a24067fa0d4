//! What was said on the command line.

pub mod flag;
pub mod layer;
