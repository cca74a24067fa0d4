//! Why a run ended as it did, and what its limits did to it: told from counters alone, as a list of causes.
//!
//! Blame is the difficult part. The kernel counts its kills in the group of the victim, whosever limit was reached; so a
//! kill is laid to the sandbox's own limit only if that limit's own counters say so, and else to a group above or to the
//! host.

use std::time::Duration;

use super::kind::Kind;
use super::limit::{Direction, Limit, Reader};
use super::words::{plural, time};
use crate::exec::Ending;
use crate::exec::group::{Ceiling, Circumstances, Usage};
use crate::profile::value::{Cpu, human_bytes};
use crate::report::escape;

/// One thing that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub kind: Kind,
    /// How often.
    pub count: u64,
    /// The key of the limit, where it is one of ours.
    pub limit: Option<String>,
    /// A sentence without the program's name.
    pub text: String,
    /// What to do, a line each.
    pub help: Vec<String>,
}

/// What is known when the program has ended.
pub(super) struct Facts<'a> {
    pub ending: Ending,
    pub timed_out: bool,
    pub lasted: Duration,
    pub usage: Usage,
    pub around: &'a Circumstances,
    pub limits: &'a [Limit],
    pub pushed_back: u64,
    pub reader: &'a Reader,
}

impl Facts<'_> {
    pub fn limit(&self, key: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.key == key)
    }

    fn ceiling(&self, key: &str) -> Option<&Ceiling> {
        self.around.above.iter().find(|ceiling| ceiling.key == key)
    }

    /// The limit of a group above that holds instead of ours, because it is lower or because we have none.
    pub fn lower(&self, key: &str) -> Option<&Ceiling> {
        let ceiling = self.ceiling(key)?;
        let own = self.limit(key).and_then(|limit| limit.amount.number());
        own.is_none_or(|own| ceiling.value < own).then_some(ceiling)
    }

    /// All that is to be told, what ended the program first.
    pub fn causes(&self) -> Vec<Cause> {
        [
            self.memory(),
            self.pids(),
            self.timeout(),
            self.high(),
            self.swap(),
            self.cpu(),
            self.soft(),
        ]
        .into_iter()
        .flatten()
        .chain(self.io(Direction::Read))
        .chain(self.io(Direction::Write))
        .chain(self.lower_above())
        .collect()
    }

    fn raise(&self, limits: &[Option<&Limit>]) -> Vec<String> {
        limits
            .iter()
            .flatten()
            .map(|limit| {
                let ways = limit.raise(self.reader);
                format!("to give it more: {}", ways.join("; for good: "))
            })
            .collect()
    }

    fn memory(&self) -> Option<Cause> {
        let kills = self.usage.oom_kills.unwrap_or(0);
        if kills == 0 {
            return self.not_for_memory();
        }
        let killed = format!(
            "the kernel killed {}",
            plural(kills, "process", "processes")
        );
        let peak = self
            .usage
            .memory_peak
            .map_or_else(String::new, |peak| format!("; peak {}", human_bytes(peak)));
        if let Some(own) = self.limit("memory").filter(|own| self.is_own_kill(own)) {
            let (swap, raised) = self.swap_at_kill();
            return Some(Cause {
                kind: Kind::Memory,
                count: kills,
                limit: Some(own.full_key()),
                text: format!(
                    "{killed} at the memory limit of {} ({}){peak}{swap}",
                    own.amount.words(),
                    own.cited()
                ),
                help: self.raise(&[Some(own), raised]),
            });
        }
        let own = match self.limit("memory") {
            Some(own) => format!(
                "; the sandbox's own limit of {} ({}) was not the cause",
                own.amount.words(),
                own.cited()
            ),
            None => "; the sandbox has no memory limit of its own".to_owned(),
        };
        if let Some(ceiling) = self.lower("memory").filter(|ceiling| ceiling.reached) {
            return Some(Cause {
                kind: Kind::MemoryAbove,
                count: kills,
                limit: None,
                text: format!(
                    "{killed} at the memory limit of {} of {}, which holds for all that runs in there{peak}{own}",
                    human_bytes(ceiling.value),
                    group(ceiling)
                ),
                help: vec![who_sets(ceiling)],
            });
        }
        Some(Cause {
            kind: Kind::HostMemory,
            count: kills,
            limit: None,
            text: format!("{killed} because the host itself ran out of memory{peak}{own}"),
            help: vec![
                "a limit on memory, for this program or for what else runs, keeps the host from that: --memory SIZE"
                    .to_owned(),
            ],
        })
    }

    /// Whether the kills were for the group's own limit.
    fn is_own_kill(&self, own: &Limit) -> bool {
        if let Some(ooms) = self.around.own_ooms {
            return ooms > 0;
        }
        // v1 does not count them apart. At the own limit the peak is the limit, less what the kernel keeps in hand for
        // each CPU.
        let near = |peak: Option<u64>, limit: Option<u64>| {
            peak.zip(limit)
                .is_some_and(|(peak, limit)| peak + (limit / 16).max(4 << 20) >= limit)
        };
        let memory = own.amount.number();
        let swap = self.limit("swap").and_then(|swap| swap.amount.number());
        let both = memory.zip(swap).map(|(memory, swap)| memory + swap);
        let hit = self.usage.memory_limit_hits.is_none_or(|hits| hits > 0);
        (hit && near(self.usage.memory_peak, memory))
            || near(self.around.memory_and_swap_peak, both)
            || self.usage.memory_peak.is_none()
    }

    /// Whether so much of memory and swap together means that swap was used: each of the two counters lags a little behind.
    pub fn has_swapped(&self, both: u64) -> bool {
        self.usage
            .memory_peak
            .is_some_and(|memory| both > memory + (4 << 20))
    }

    /// What to say about swap where memory was the cause, and the swap limit if that is to be raised too.
    fn swap_at_kill(&self) -> (String, Option<&Limit>) {
        let used = match (self.usage.swap_peak, self.around.memory_and_swap_peak) {
            (Some(0), _) | (None, None) => String::new(),
            (Some(peak), _) => format!(", swap {}", human_bytes(peak)),
            (None, Some(both)) if self.has_swapped(both) => {
                format!(", {} with swap", human_bytes(both))
            }
            (None, Some(_)) => String::new(),
        };
        let Some(limit) = self.limit("swap") else {
            return (used, None);
        };
        let swap = limit.amount.number();
        let both = self
            .limit("memory")
            .and_then(|memory| memory.amount.number())
            .zip(swap);
        let full = self.around.swap_limit_hits.unwrap_or(0) > 0
            || self
                .around
                .memory_and_swap_peak
                .zip(both)
                .is_some_and(|(peak, (memory, swap))| peak + (4 << 20) >= memory + swap);
        match swap {
            Some(0) => (
                format!("{used}; it may not use swap ({})", limit.cited()),
                None,
            ),
            _ if full => (
                format!(
                    "{used}; its swap limit of {} was reached too ({})",
                    limit.amount.words(),
                    limit.cited()
                ),
                Some(limit),
            ),
            _ if self.around.swap_refusals.unwrap_or(0) > 0 => {
                (format!("{used}; the host had no more swap"), None)
            }
            _ => (used, None),
        }
    }

    /// No kill of the kernel's for memory.
    fn not_for_memory(&self) -> Option<Cause> {
        if let Some(kills @ 1..) = self.around.oomd_kills {
            return Some(Cause {
                kind: Kind::Oomd,
                count: kills,
                limit: None,
                text: format!(
                    "systemd-oomd killed {} of it, because memory pressure was too high for too long",
                    plural(kills, "process", "processes")
                ),
                help: vec![
                    "`oomctl` shows what it watches; `journalctl -u systemd-oomd` what it did and why"
                        .to_owned(),
                ],
            });
        }
        let by_kill = matches!(self.ending.signal(), Some(libc::SIGKILL));
        if by_kill && !self.timed_out && self.usage.oom_kills == Some(0) {
            return Some(Cause {
                kind: Kind::Killed,
                count: 1,
                limit: None,
                text: "ended by SIGKILL, and none of its limits was the cause: somebody sent the signal"
                    .to_owned(),
                help: Vec::new(),
            });
        }
        let hits = self.usage.memory_limit_hits.filter(|hits| *hits > 0)?;
        let own = self.limit("memory")?;
        Some(Cause {
            kind: Kind::MemoryReclaimed,
            count: hits,
            limit: Some(own.full_key()),
            text: format!(
                "reached its memory limit of {} ({}) {}; the kernel made room by reclaiming, and killed nothing",
                own.amount.words(),
                own.cited(),
                plural(hits, "time", "times")
            ),
            help: self.raise(&[Some(own)]),
        })
    }

    fn pids(&self) -> Option<Cause> {
        let refused = self.usage.pids_refused.filter(|refused| *refused > 0)?;
        let forks = plural(refused, "fork was", "forks were");
        let own = self.limit("pids");
        let most = own.and_then(|own| own.amount.number());
        let lower = self.lower("pids");
        // The kernel counts a refusal where it was tried; the own limit was the cause only if it was reached.
        let reached = match (most, self.usage.pids_peak) {
            (Some(most), Some(peak)) => peak >= most,
            (most, None) => most.is_some() && lower.is_none(),
            (None, _) => false,
        };
        if let Some(own) = own.filter(|_| reached || lower.is_none()) {
            return Some(Cause {
                kind: Kind::Pids,
                count: refused,
                limit: Some(own.full_key()),
                text: format!(
                    "{forks} refused at the limit of {} processes and threads ({})",
                    own.amount.words(),
                    own.cited()
                ),
                help: self.raise(&[Some(own)]),
            });
        }
        let ceiling = lower?;
        Some(Cause {
            kind: Kind::PidsAbove,
            count: refused,
            limit: None,
            text: format!(
                "{forks} refused at the limit of {} processes and threads of {}, which holds for all that runs in there",
                ceiling.value,
                group(ceiling)
            ),
            help: vec![who_sets(ceiling)],
        })
    }

    fn timeout(&self) -> Option<Cause> {
        let limit = self.limit("timeout").filter(|_| self.timed_out)?;
        Some(Cause {
            kind: Kind::Timeout,
            count: 1,
            limit: Some(limit.full_key()),
            text: format!(
                "ended after its timeout of {} ({})",
                limit.amount.words(),
                limit.cited()
            ),
            help: self.raise(&[Some(limit)]),
        })
    }

    fn high(&self) -> Option<Cause> {
        let hits = self.around.high_hits.filter(|hits| *hits > 0)?;
        let limit = self
            .limits
            .iter()
            .find(|limit| limit.writes.iter().any(|(file, _)| file == "memory.high"))?;
        Some(Cause {
            kind: Kind::MemoryThrottled,
            count: hits,
            limit: Some(limit.full_key()),
            text: format!(
                "slowed down above {} of memory ({}) {}",
                limit.amount.words(),
                limit.cited(),
                plural(hits, "time", "times")
            ),
            help: self.raise(&[Some(limit)]),
        })
    }

    fn swap(&self) -> Option<Cause> {
        let hits = self.around.swap_limit_hits.filter(|hits| *hits > 0)?;
        let limit = self.limit("swap")?;
        // Nothing new where it was said with the kill; and where swap is forbidden, that it is not used is no news.
        if self.usage.oom_kills.unwrap_or(0) > 0 || limit.amount.number() == Some(0) {
            return None;
        }
        Some(Cause {
            kind: Kind::SwapFull,
            count: hits,
            limit: Some(limit.full_key()),
            text: format!(
                "reached its swap limit of {} ({})",
                limit.amount.words(),
                limit.cited()
            ),
            help: self.raise(&[Some(limit)]),
        })
    }

    fn cpu(&self) -> Option<Cause> {
        let limit = self.limit("cpu")?;
        let periods = self.usage.throttled.filter(|periods| *periods > 0)?;
        let ran = match self.around.cpu_periods {
            Some(all) if all >= periods => format!(
                " of the {all} that it ran in ({}%)",
                periods.saturating_mul(100) / all
            ),
            _ => String::new(),
        };
        let waited = self.usage.throttled_usec.map_or_else(String::new, |usec| {
            format!("; {} in all, added up over the CPUs", time(usec))
        });
        Some(Cause {
            kind: Kind::Cpu,
            count: periods,
            limit: Some(limit.full_key()),
            text: format!(
                "held back at the CPU limit of {} ({}) in {}{ran}{waited}",
                limit.amount.words(),
                limit.cited(),
                plural(periods, "period", "periods"),
            ),
            help: self.raise(&[Some(limit)]),
        })
    }

    /// The kernel does not count how long a group waits at a rate; that it was as fast as it might be says as much.
    fn io(&self, direction: Direction) -> Option<Cause> {
        let (did, bytes) = match direction {
            Direction::Read => ("read from", self.usage.io_read_bytes?),
            Direction::Write => ("wrote to", self.usage.io_write_bytes?),
        };
        let (limit, most) = self
            .limits
            .iter()
            .filter_map(|limit| Some((limit, limit.rate(direction)?)))
            .min_by_key(|(_, rate)| *rate)?;
        let milliseconds = u64::try_from(self.lasted.as_millis()).ok()?.max(1);
        let average = bytes.saturating_mul(1000) / milliseconds;
        if self.lasted.as_secs() < 1 || average < most - most / 5 {
            return None;
        }
        Some(Cause {
            kind: Kind::Io,
            count: 1,
            limit: Some(limit.full_key()),
            text: format!(
                "{did} disks at {} a second on average; its limit is {} ({})",
                human_bytes(average),
                human_bytes(most),
                limit.cited()
            ),
            help: self.raise(&[Some(limit)]),
        })
    }

    fn soft(&self) -> Option<Cause> {
        let limit = self.limit("memory-soft").filter(|_| self.pushed_back > 0)?;
        Some(Cause {
            kind: Kind::MemorySoft,
            count: self.pushed_back,
            limit: Some(limit.full_key()),
            text: format!(
                "pushed back towards its soft limit of {} ({}) {}, because the host was short of memory",
                limit.amount.words(),
                limit.cited(),
                plural(self.pushed_back, "time", "times")
            ),
            help: Vec::new(),
        })
    }

    fn lower_above(&self) -> impl Iterator<Item = Cause> {
        self.limits.iter().filter_map(|limit| {
            let ceiling = self.lower(&limit.key)?;
            Some(Cause {
                kind: Kind::LowerAbove,
                count: 1,
                limit: Some(limit.full_key()),
                text: format!(
                    "the limit of {} that holds is the one of {}, which is lower than the sandbox's own {} ({})",
                    amount(ceiling),
                    group(ceiling),
                    limit.amount.words(),
                    limit.cited()
                ),
                help: vec![who_sets(ceiling)],
            })
        })
    }
}

/// `2.0 GiB of memory`.
fn amount(ceiling: &Ceiling) -> String {
    match ceiling.key {
        "memory" => format!("{} of memory", human_bytes(ceiling.value)),
        "swap" => format!("{} of swap", human_bytes(ceiling.value)),
        "cpu" => format!("{} of CPU time", Cpu::Share(ceiling.value)),
        _ => format!("{} processes and threads", ceiling.value),
    }
}

fn group(ceiling: &Ceiling) -> String {
    format!(
        "the group {} above the sandbox's",
        escape::os(ceiling.group.as_os_str())
    )
}

/// Who is to be asked for more.
fn who_sets(ceiling: &Ceiling) -> String {
    let unit = ceiling
        .group
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| {
            [".slice", ".scope", ".service"]
                .iter()
                .any(|end| name.ends_with(end))
        });
    match unit {
        Some(unit) => {
            let unit = escape::line(&unit).into_owned();
            format!(
                "that limit is systemd's or the administrator's: `systemctl show {unit}`, or `systemctl --user show {unit}`"
            )
        }
        None => "that limit was set by whoever made that group: an administrator, or a container"
            .to_owned(),
    }
}
