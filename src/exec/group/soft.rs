//! A soft limit that the supervisor holds: under memory pressure of the host the group is pushed back to it (v2).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::event::Event;
use super::shortage::Shortage;
use super::{Directories, GroupError};
use crate::kernel::pressure;
use crate::section::limits::SoftLimit;

/// The limit, and what tells that memory is short.
#[derive(Debug)]
pub(super) struct Soft {
    bytes: u64,
    trigger: File,
    shortage: Shortage,
}

impl Soft {
    pub fn new(limit: &SoftLimit, directories: &Directories) -> Result<Self, GroupError> {
        let fail = |message: String| GroupError {
            key: Some("memory-soft".to_owned()),
            site: limit.site,
            message,
            cause: None,
            help: Vec::new(),
        };
        let memory = directories.of("memory");
        if !memory.is_some_and(|(_, directory)| directory.has("memory.reclaim")) {
            return Err(fail(
                "this kernel cannot be asked to reclaim (`memory.reclaim`, Linux 5.19)".to_owned(),
            ));
        }
        let trigger = pressure::memory_trigger().map_err(|error| {
            fail(format!(
                "cannot watch memory pressure (/proc/pressure/memory): {error}"
            ))
            .help("needs Linux 6.5, or root, and a kernel started with `psi=1`")
        })?;
        Ok(Self {
            bytes: limit.bytes,
            trigger,
            shortage: Shortage::new(directories),
        })
    }

    /// The trigger has fired: pushes the group back, unless the pressure is the group's own or of our own making.
    pub fn pressed(&mut self, directories: &Directories) -> Option<Event> {
        if !self.shortage.is_real(directories) {
            return None;
        }
        let started = Instant::now();
        let event = self.push_back(directories);
        self.shortage.spent(started.elapsed());
        event
    }

    /// Reclaims from the group down to its soft limit, in parts, for at most a fifth of a second, so that the supervisor
    /// stays responsive. Under lasting pressure the kernel calls again every 2 s.
    pub fn push_back(&self, directories: &Directories) -> Option<Event> {
        const PART: u64 = 8 << 20;
        let (_, memory) = directories.of("memory")?;
        // `sandboxctl set` may have changed it.
        let bytes = memory.soft_limit().unwrap_or(self.bytes);
        let used = || memory.number("memory.current").unwrap_or(0);
        let started = Instant::now();
        let before = used();
        let mut after = before;
        while started.elapsed() < Duration::from_millis(200) {
            let excess = after.saturating_sub(bytes);
            if excess == 0 {
                break;
            }
            // EAGAIN: less than that could be reclaimed; no more is to be had now.
            let part = excess.min(PART).to_string();
            let ended = memory.write("memory.reclaim", &part).is_err();
            after = used();
            if ended {
                break;
            }
        }
        (after < before).then_some(Event::PushedBack { before, after })
    }
}

impl AsFd for Soft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.trigger.as_fd()
    }
}
