//! Carrying a plan out.

pub mod group;
