//! What is polled so that limits that strike are noticed at that moment; between two events nobody looks.
//!
//! A storm wakes the supervisor once a second at most, and less often the longer it lasts: a descriptor that has just told
//! something is left out for a while. CPU throttling has no event, and refused forks have none on v1 of newer kernels (seen
//! with Linux 6.18); they are looked at when something else wakes us.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::event::Event;
use super::soft::Soft;
use super::{Directories, Group, GroupError};
use crate::kernel::cgroup::{FileError, field};
use crate::kernel::watch::{Changing, OutOfMemory};
use crate::section::limits::Version;

/// So many descriptors are polled at most: memory, processes, pressure of the host.
pub const WATCHES: usize = 3;

/// How long a descriptor is left out after it told something.
const QUIET: Duration = Duration::from_secs(1);
/// The longest time, in a storm that goes on.
const LONGEST: Duration = Duration::from_secs(32);
/// v1 tells that memory ran out before it kills: the count is looked at again so often, at such intervals.
const LOOKS: u8 = 20;
const SOON: Duration = Duration::from_millis(10);

/// One thing that is watched.
#[derive(Debug)]
pub(super) struct Watch {
    source: Source,
    /// The count when it was last told.
    told: u64,
    /// Until then it is not polled.
    quiet: Option<Instant>,
    pause: Duration,
    /// So many looks are left until a count that must come is given up.
    looks: u8,
    /// When it is looked at whatever woke us, as its kernel may not tell.
    silent: Option<Instant>,
}

#[derive(Debug)]
enum Source {
    /// v1 `memory.oom_control`, and what says when to read it.
    Killed(OutOfMemory, Changing),
    /// v2 `memory.events`.
    Memory(Changing),
    /// `pids.events`.
    Forks(Changing),
}

impl Watch {
    fn new(source: Source) -> Self {
        Self {
            source,
            told: 0,
            quiet: None,
            pause: QUIET,
            looks: 0,
            silent: None,
        }
    }

    /// Memory of the group, where it has that controller.
    pub fn memory(directories: &Directories) -> Result<Option<Self>, FileError> {
        let Some((version, memory)) = directories.of("memory") else {
            return Ok(None);
        };
        let source = match version {
            Version::V1 => Source::Killed(
                OutOfMemory::of(memory)?,
                Changing::open(memory, "memory.oom_control")?,
            ),
            Version::V2 => Source::Memory(Changing::open(memory, "memory.events")?),
        };
        Ok(Some(Self::new(source)))
    }

    /// Forks in the group, where it has the controller.
    fn forks(directories: &Directories) -> Result<Option<Self>, FileError> {
        let Some((version, pids)) = directories.of("pids") else {
            return Ok(None);
        };
        let mut watch = Self::new(Source::Forks(Changing::open(pids, "pids.events")?));
        watch.silent = (version == Version::V1).then(Instant::now);
        Ok(Some(watch))
    }

    pub fn is_memory(&self) -> bool {
        !matches!(self.source, Source::Forks(_))
    }

    fn descriptor(&self) -> (BorrowedFd<'_>, libc::c_short) {
        match &self.source {
            Source::Killed(notifier, _) => (notifier.as_fd(), libc::POLLIN),
            Source::Memory(file) | Source::Forks(file) => (file.as_fd(), libc::POLLPRI),
        }
    }

    /// Looks at the count; an error when the group is gone.
    fn look(&mut self, woken: bool, now: Instant) -> std::io::Result<Option<Event>> {
        let count = match &self.source {
            Source::Killed(notifier, file) => {
                notifier.take();
                field(&file.read()?, "oom_kill")
            }
            Source::Memory(file) => field(&file.read()?, "oom_kill"),
            Source::Forks(file) => field(&file.read()?, "max"),
        };
        let count = count.unwrap_or(0);
        if count > self.told {
            self.told = count;
            self.looks = 0;
            let is_storm = self
                .quiet
                .is_some_and(|until| now.saturating_duration_since(until) < self.pause);
            self.pause = if is_storm && !self.is_memory() {
                (self.pause * 2).min(LONGEST)
            } else {
                QUIET
            };
            self.quiet = Some(now + self.pause);
            return Ok(Some(match self.source {
                Source::Forks(_) => Event::ForksRefused { count },
                _ => Event::OutOfMemory { kills: count },
            }));
        }
        self.looks = match (&self.source, woken) {
            (Source::Killed(..), true) => LOOKS,
            _ => self.looks.saturating_sub(1),
        };
        let pause = if self.looks > 0 { SOON } else { QUIET };
        self.quiet = Some(now + pause);
        Ok(None)
    }
}

/// What a group's supervisor polls.
#[derive(Debug, Default)]
pub(super) struct Watches {
    list: Vec<Watch>,
    pub(super) soft: Option<Soft>,
    throttled: u64,
}

impl Watches {
    pub fn gather(&mut self) {
        let watches = std::mem::take(&mut self.list);
        self.list.reserve_exact(watches.len());
        self.list.extend(watches);
    }

    pub fn hold(&mut self, soft: Soft) {
        self.soft = Some(soft);
    }

    pub fn add(&mut self, watch: Watch) {
        self.list.push(watch);
    }
}

impl Group {
    /// Opens what tells when a limit strikes; what has happened until now is returned. What cannot be watched is told by
    /// the report at the end only.
    #[must_use]
    pub fn watch(&mut self) -> Vec<Event> {
        let directories = &self.directories;
        let watches = &mut self.watches;
        if !watches.list.iter().any(Watch::is_memory)
            && let Ok(Some(watch)) = Watch::memory(directories)
        {
            watches.list.push(watch);
        }
        if let Ok(Some(watch)) = Watch::forks(directories) {
            watches.list.push(watch);
        }
        // A file that was never read polls at once.
        let now = Instant::now();
        let mut events = Vec::new();
        watches.list.retain_mut(|watch| {
            let found = watch.look(false, now);
            match found {
                Ok(Some(event)) => events.push(event),
                Ok(None) => watch.quiet = None,
                Err(_) => return false,
            }
            true
        });
        events
    }

    /// What is to be polled, upon which [`Group::notice`] is to be called.
    #[must_use]
    pub fn watches(&self) -> [libc::pollfd; WATCHES] {
        let now = Instant::now();
        let mut entries = [libc::pollfd {
            fd: -1,
            events: 0,
            revents: 0,
        }; WATCHES];
        let watches = self.watches.list.iter().map(|watch| {
            let rests = watch.quiet.is_some_and(|until| now < until);
            (!rests).then(|| watch.descriptor())
        });
        let soft = self.watches.soft.as_ref();
        let soft = soft.map(|soft| Some((soft.as_fd(), libc::POLLPRI)));
        for (entry, watched) in entries.iter_mut().zip(watches.chain(soft)) {
            if let Some((fd, events)) = watched {
                entry.fd = fd.as_raw_fd();
                entry.events = events;
            }
        }
        entries
    }

    /// When [`Group::watches`] will have changed, and [`Group::notice`] may have something to say, without an event.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        let now = Instant::now();
        let quiet = self.watches.list.iter().filter_map(|watch| watch.quiet);
        quiet.filter(|until| *until > now).min()
    }

    /// What happened since: `ready` are the answers to [`Group::watches`]. Reclaims down to the soft limit where the host is
    /// short of memory, and kills all of the group upon an out-of-memory kill, where that was asked for.
    ///
    /// # Errors
    /// The group should have been killed and was not.
    pub fn notice(&mut self, ready: &[libc::pollfd]) -> (Vec<Event>, Option<GroupError>) {
        let mut events = Vec::new();
        let is_ready = |at: usize| ready.get(at).is_some_and(|entry| entry.revents != 0);
        let now = Instant::now();
        let is_due = |watch: &Watch| {
            let rests = watch.quiet.is_some_and(|until| now < until);
            let silent = watch.silent.is_some_and(|since| now > since + QUIET);
            !rests && (watch.looks > 0 || silent)
        };
        if !(0..WATCHES).any(is_ready) && !self.watches.list.iter().any(is_due) {
            return (events, None);
        }
        let count = self.watches.list.len();
        let mut at = 0;
        self.watches.list.retain_mut(|watch| {
            let woken = is_ready(at);
            at += 1;
            if !woken && !is_due(watch) {
                return true;
            }
            let found = watch.look(woken, now);
            if let Some(silent) = &mut watch.silent {
                *silent = now;
                if !woken && matches!(found, Ok(None)) {
                    watch.quiet = None;
                }
            }
            events.extend(found.as_ref().ok().copied().flatten());
            found.is_ok()
        });
        if is_ready(count)
            && let Some(soft) = &mut self.watches.soft
        {
            events.extend(soft.pressed(&self.directories));
        }
        events.extend(self.throttled());
        let killed = events
            .iter()
            .any(|event| matches!(event, Event::OutOfMemory { .. }));
        let failed = if killed && self.kill_at_oom {
            self.kill().err()
        } else {
            None
        };
        (events, failed)
    }

    /// Told when it is a second for the first time, and whenever it has doubled.
    fn throttled(&mut self) -> Option<Event> {
        let (version, cpu) = self.directories.of("cpu")?;
        let usec = match version {
            Version::V1 => cpu.field("cpu.stat", "throttled_time")? / 1000,
            Version::V2 => cpu.field("cpu.stat", "throttled_usec")?,
        };
        if usec < 1_000_000.max(self.watches.throttled.saturating_mul(2)) {
            return None;
        }
        self.watches.throttled = usec;
        Some(Event::Throttled { usec })
    }
}
