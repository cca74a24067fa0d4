//! Which way limits would take here: the planner is asked, with every limit that needs a control group. Pure.

use std::collections::BTreeSet;

use crate::host::Facts;
use crate::section::limits::lower::ways::{Offer, ways};
use crate::section::limits::{Limits, Refusal, Way, control, lower};

/// What the planner says.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// `v1`, `v2`, `hybrid` or `none`
    pub layout: &'static str,
    /// Where groups would be made.
    pub way: Option<Way>,
    /// Controllers that groups would have.
    pub controllers: BTreeSet<String>,
    /// Limits that this host cannot hold.
    pub refused: Vec<Refusal>,
    /// All ways, in the order in which they are tried.
    pub ways: Vec<Offer>,
}

/// Asks for each limit.
pub(super) fn judge(facts: &Facts) -> Answer {
    let limits = Limits::sample();
    let lowered = lower(&limits, facts, "doctor", |_| true);
    let (group, refused) = match lowered {
        Ok(lowered) => (lowered.group, lowered.dropped),
        Err(refused) => (None, refused),
    };
    let cgroup = &facts.cgroup;
    Answer {
        ways: ways(facts, group.as_ref()),
        layout: match (cgroup.is_legacy(), cgroup.unified.is_some()) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        },
        controllers: group
            .as_ref()
            .map(|group| group.controllers.clone())
            .unwrap_or_default(),
        way: group.map(|group| group.way),
        refused,
    }
}

impl Answer {
    /// The key of a refused limit for people.
    pub(super) fn label(refusal: &Refusal) -> &str {
        control::of(&refusal.key).map_or(&*refusal.key, |control| control.label())
    }

    /// The refusal of a limit.
    pub(super) fn refusal(&self, control: &control::Control) -> Option<&Refusal> {
        self.refused
            .iter()
            .find(|refusal| control.end(&refusal.key).is_some())
    }

    /// The word for the way that is taken.
    pub(super) fn way_word(&self) -> Option<&'static str> {
        let taken = self.ways.iter().find(|offer| offer.taken)?;
        self.way.as_ref().map(|_| taken.name)
    }
}
