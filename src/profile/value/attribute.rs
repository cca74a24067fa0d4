//! What a process has beside its limits: its place in the queues for the disk and the CPUs, and the CPUs it may run on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Ranges;

/// The place in the queue for the disk (ioprio_set(2)). Levels are 0 to 7, a lower one is served sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoPriority {
    /// Only when nobody else wants the disk.
    Idle,
    /// With everybody.
    BestEffort(u8),
    /// Before everybody.
    RealTime(u8),
}

/// How the CPUs are shared out (sched(7)). Priorities are 1 to 99, a higher one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduler {
    /// SCHED_OTHER: everybody's.
    Other,
    /// SCHED_BATCH: as everybody, but in no hurry to be woken.
    Batch,
    /// SCHED_IDLE: with less than the weight of nice 19.
    Idle,
    /// SCHED_FIFO: before everybody, until it waits.
    Fifo(u8),
    /// SCHED_RR: before everybody, in turns with those of the same priority.
    RoundRobin(u8),
}

/// A set of CPUs by their numbers: ranges in rising order that neither touch nor overlap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CpuSet(Ranges);

impl CpuSet {
    /// The highest number that can be said; no kernel is built for more.
    pub const HIGHEST: u32 = 8191;

    /// From ranges, both ends included, in any order. `None`: it holds nothing, or a number beyond [`Self::HIGHEST`].
    #[must_use]
    pub fn new(ranges: Vec<(u32, u32)>) -> Option<Self> {
        if ranges.is_empty()
            || ranges
                .iter()
                .any(|(first, last)| first > last || *last > Self::HIGHEST)
        {
            return None;
        }
        Some(Self(Ranges::of(ranges)))
    }

    /// The numbers, in rising order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.0.iter().flat_map(|&(first, last)| first..=last)
    }
}

impl IoPriority {
    /// Whether a program could only do more without it: 4 is what a process has that was given none.
    #[must_use]
    pub fn only_adds_strictness(self) -> bool {
        match self {
            Self::Idle => true,
            Self::BestEffort(level) => level >= 4,
            Self::RealTime(_) => false,
        }
    }
}

impl Scheduler {
    /// Whether it goes before everybody.
    #[must_use]
    pub fn is_real_time(self) -> bool {
        matches!(self, Self::Fifo(_) | Self::RoundRobin(_))
    }
}

impl fmt::Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::BestEffort(level) => write!(f, "best-effort:{level}"),
            Self::RealTime(level) => write!(f, "realtime:{level}"),
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("other"),
            Self::Batch => f.write_str("batch"),
            Self::Idle => f.write_str("idle"),
            Self::Fifo(priority) => write!(f, "fifo:{priority}"),
            Self::RoundRobin(priority) => write!(f, "round-robin:{priority}"),
        }
    }
}

/// As the kernel's lists are written: `0-3,7`.
impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_cpus_has_one_form() {
        let set = CpuSet::new(vec![(7, 7), (2, 3), (0, 1), (3, 4), (9, 9)]).unwrap();
        assert_eq!(set.to_string(), "0-4,7,9");
        assert_eq!(set.numbers().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 7, 9]);
        assert_eq!(CpuSet::new(vec![]), None);
        assert_eq!(CpuSet::new(vec![(3, 2)]), None);
        assert_eq!(CpuSet::new(vec![(0, 8192)]), None);
    }
}
