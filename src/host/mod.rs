//! This host and this caller: facts as a plain value, and the only code that gathers them.

pub mod facts;
pub mod glob;
pub mod paths;

pub use facts::Facts;
