//! `sandbox`: a declarative sandbox launcher for Linux.
