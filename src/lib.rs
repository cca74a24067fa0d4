//! `sandbox`: a declarative sandbox launcher for Linux.

pub mod bpf;
pub mod kernel;
