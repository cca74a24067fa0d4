//! What happens to a group while its program runs, at the moment when it happens.

use std::fmt;

use serde::Serialize;

use crate::profile::value::human_bytes;

/// Something that the kernel or the supervisor did to the group because of a limit. Counts are those of the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The kernel killed processes for want of memory.
    OutOfMemory {
        /// So many until now.
        kills: u64,
    },
    /// Forks were refused at the limit of processes and threads.
    ForksRefused {
        /// So many until now.
        count: u64,
    },
    /// The group was held back at its CPU limit.
    Throttled {
        /// For so many microseconds until now.
        usec: u64,
    },
    /// The host was short of memory, and the group was pushed back towards its soft limit.
    PushedBack {
        /// Bytes that it used before.
        before: u64,
        /// Bytes that it used after.
        after: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfMemory { kills: 1 } => {
                f.write_str("the kernel killed a process for want of memory")
            }
            Self::OutOfMemory { kills } => {
                write!(
                    f,
                    "the kernel killed {kills} processes for want of memory until now"
                )
            }
            Self::ForksRefused { count } => {
                write!(
                    f,
                    "forks were refused at the limit of processes, {count} until now"
                )
            }
            Self::Throttled { usec } => {
                write!(
                    f,
                    "held back at the CPU limit, {} ms until now",
                    usec / 1000
                )
            }
            Self::PushedBack { before, after } => write!(
                f,
                "the host is short of memory: pushed back from {} to {}",
                human_bytes(before),
                human_bytes(after)
            ),
        }
    }
}
