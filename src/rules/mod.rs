//! Rules of `sandbox-suid` as the administrator works with them: importing those of another program, and looking for
//! dangerous ones. What a rule means is said by the package `sandbox-suid`, which carries it out.

pub mod import;
pub mod review;

pub use import::{Imported, import};
pub use review::{Concern, Weight, review};
