//! What is said to people: where a text came from, what is wrong with it, and how that is printed.

mod diagnostic;
pub mod escape;
pub mod paint;
pub mod render;
mod source;
pub mod suggest;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use source::{Located, Position, Site, Source, SourceId, SourceKind, SourceMap};
