//! What was said on the command line, and what is said back about the language itself.
//!
//! Everything here is a function of the arguments and of the table of keys: nothing is read, nothing is run.

pub mod arguments;
pub mod explain;
pub mod reference;
pub mod schema;
