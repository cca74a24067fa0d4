//! What was said on the command line.

pub mod layer;
