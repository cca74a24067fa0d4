//! The plan: what will be done, step by step, as a value.
//!
//! A plan is made from a policy and the facts of this host; nothing is touched to make it. `--dry-run`, `sandboxctl
//! check` and the snapshot tests print it; the executor carries it out.

pub mod attach;
pub mod companion;
mod compile;
mod dbus;
mod desktop;
mod execute;
mod landlock;
mod limits;
pub mod outline;
mod privileges;
pub mod show;
pub mod step;
pub mod why;

pub use compile::{Request, compile, new_namespaces, surroundings};
pub use landlock::wants_landlock;
pub use step::{Action, OnFailure, Phase, Step};

use crate::report::Site;

/// What will be done, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Rules that turned out to need nothing, and why.
    pub notes: Vec<Note>,
    /// Rules that this host cannot apply and that may be dropped.
    pub warnings: Vec<Note>,
    /// Limits among those, each by itself.
    pub without: Vec<Site>,
}

/// Something to be known about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// One line.
    pub text: String,
    /// What would help, in a line.
    pub help: Option<String>,
    /// The rule.
    pub site: Site,
}
