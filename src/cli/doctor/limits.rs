//! Which way limits would take here: the planner is asked, with every limit that needs a control group. Pure.

use std::collections::BTreeSet;

use crate::host::Facts;
use crate::section::limits::{Limits, Refusal, Version, Way, control, lower};

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

    /// The word for the way.
    pub(super) fn way_word(&self) -> Option<&'static str> {
        self.way.as_ref().map(|way| match way {
            Way::Direct { places } => match places.iter().map(|place| place.version).max() {
                Some(Version::V2) if places.len() > 1 => "hybrid",
                Some(Version::V2) => "v2",
                _ => "v1",
            },
            Way::Scope { system: true, .. } => "systemd-system",
            Way::Scope { system: false, .. } => "systemd-user",
        })
    }
}
