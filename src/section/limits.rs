//! `[limits]`: what a control group is to hold.

/// How the sandbox gets its control group, and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {}
