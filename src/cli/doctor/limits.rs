//! Which way limits would take here: the planner is asked, with every limit that needs a control group. Pure.

use std::collections::BTreeSet;

use crate::host::Facts;
use crate::policy::Traced;
use crate::report::Site;
use crate::section::limits::{Limits, Refusal, Version, Way, lower};

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

/// Asks for each limit, small enough to be valid anywhere.
pub(super) fn judge(facts: &Facts) -> Answer {
    let some = |value| Some(Traced::new(value, Site::DEFAULT));
    let limits = Limits {
        memory: some(1 << 30),
        swap: some(1 << 30),
        memory_soft: some(1 << 29),
        pids: some(512),
        cpu: some(10_000),
        cpu_weight: some(50),
        yielded: None,
    };
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
    /// The refusal of a limit, by its key.
    pub(super) fn refusal(&self, key: &str) -> Option<&Refusal> {
        self.refused.iter().find(|refusal| refusal.key == key)
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
