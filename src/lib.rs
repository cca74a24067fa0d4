//! `sandbox`: a declarative sandbox launcher for Linux.
//!
//! The modules, in the order in which data flows through them:
//!
//! text → [`profile`] → [`policy`] → [`plan`] (with the [`host`]'s facts) → [`exec`] → [`kernel`]

pub mod bpf;
pub mod changes;
pub mod cli;
pub mod closure;
pub mod control;
pub mod desktop;
pub mod exec;
pub mod host;
pub mod image;
mod inline;
pub mod kernel;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod report;
pub mod rules;
pub mod section;
pub mod tree;
