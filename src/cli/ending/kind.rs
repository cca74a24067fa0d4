//! The words for what ended a run, or was done to it by a limit.

use serde::Serialize;

/// What can have been the cause. The words are part of the JSON report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The kernel killed at the sandbox's own limit of memory, or of memory and swap.
    Memory,
    /// The kernel killed at the memory limit of a group above.
    MemoryAbove,
    /// The kernel killed because the host had no memory left.
    HostMemory,
    /// systemd-oomd killed.
    Oomd,
    /// Forks were refused at the sandbox's own limit.
    Pids,
    /// Forks were refused at the limit of a group above.
    PidsAbove,
    /// The time was over.
    Timeout,
    /// SIGKILL came from somebody, and from no limit of the sandbox.
    Killed,
    /// The memory limit was reached, and the kernel reclaimed enough.
    MemoryReclaimed,
    /// The group was slowed down at `memory-high`.
    MemoryThrottled,
    /// Swapping was refused at the swap limit, and nothing was killed.
    SwapFull,
    /// The group was held back at its CPU limit.
    Cpu,
    /// It read from or wrote to a disk about as fast as its limit allows.
    Io,
    /// The host was short of memory, and the group was pushed back to its soft limit.
    MemorySoft,
    /// A group above has a lower limit, which is the one that holds.
    LowerAbove,
}

impl Kind {
    /// All of them, for the schema.
    pub const ALL: [Self; 15] = [
        Self::Memory,
        Self::MemoryAbove,
        Self::HostMemory,
        Self::Oomd,
        Self::Pids,
        Self::PidsAbove,
        Self::Timeout,
        Self::Killed,
        Self::MemoryReclaimed,
        Self::MemoryThrottled,
        Self::SwapFull,
        Self::Cpu,
        Self::Io,
        Self::MemorySoft,
        Self::LowerAbove,
    ];

    /// Whether it is said without being asked for: it killed, or it made something fail.
    #[must_use]
    pub fn is_loud(self) -> bool {
        matches!(
            self,
            Self::Memory
                | Self::MemoryAbove
                | Self::HostMemory
                | Self::Oomd
                | Self::Pids
                | Self::PidsAbove
                | Self::Timeout
        )
    }
}
