//! What is told of a launch: while it is made, and when it is over.

use std::time::Duration;

use crate::kernel::Errno;
use crate::report::Site;

use super::group::{Circumstances, Event, GroupDirectory, Usage};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status; 128+N after signal N where process 1 reported it.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Ending {
    /// What the launcher itself exits with.
    #[must_use]
    pub fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => 128 + signal,
        }
    }

    /// The signal that it died of, where that can be told: a status above 128 may also be the program's own.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Killed(signal) => Some(signal),
            Self::Exited(status) if (129..=128 + 64).contains(&status) => Some(status - 128),
            Self::Exited(_) => None,
        }
    }
}

/// What became of a launch.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the program ended.
    pub ending: Ending,
    /// Wall time from clone to end.
    pub duration: Duration,
    /// What its control group counted.
    pub usage: Option<Usage>,
    /// What lay around that group.
    pub circumstances: Circumstances,
    /// Whether it ran into its timeout.
    pub timed_out: bool,
    /// Things that could not be tidied up.
    pub leftovers: Vec<String>,
}

/// Something to be told while the program is being started.
#[derive(Clone, Debug)]
pub enum Remark {
    /// A step was passed over, as the policy allows.
    Dropped {
        /// Its number in the plan.
        step: usize,
        /// Why.
        errno: Errno,
    },
    /// Something about the control group.
    Group(String),
    /// A program beside the program has ended before it, in words.
    Companion(String),
    /// Something about what is hidden while the program runs.
    View(String),
    /// A limit made itself felt while the program runs.
    Event(Event),
    /// The child has been let go, and sets itself up: there is time for what can be done before the program runs.
    LetGo,
    /// The program has been started; not told of one that has ended already.
    Started(Started),
    /// It has run for a while, and may go on for days: what is not needed any more is to go, and what is needed to be copied to where memory is asked for now.
    Settled,
}

/// A program that runs.
#[derive(Clone, Debug)]
pub struct Started {
    /// The launcher's child: process 1 of the sandbox if it has one, else the program.
    pub child: libc::pid_t,
    /// Whether the child is our process 1.
    pub init: bool,
    /// The directories of its control group.
    pub group: Vec<GroupDirectory>,
    /// The systemd unit that the group lies in.
    pub unit: Option<String>,
    /// The soft memory limit that we hold, in bytes.
    pub memory_soft: Option<u64>,
    /// Limits that are not held, because their rules allow that.
    pub without: Vec<Site>,
}
