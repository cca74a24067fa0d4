//! `[syscalls]`: the system call filter.

/// The filter to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPlan {}
