//! What a running sandbox uses, and of which limits: from its control group, or, without one, from its processes.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::Serialize;

use super::process;
use super::sandbox::{Refusal, Sandbox};
use crate::exec::group::Directories;
use crate::kernel::cgroup::{Directory, field};
use crate::kernel::stat::Stat;
use crate::section::limits::Version;

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// The kernel counts them for the control group.
    #[default]
    Group,
    /// They are added up over the processes that run now: memory that several share counts for each, and what has ended not
    /// at all.
    Processes,
}

/// The part of the last ten seconds in which at least one process was held up, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// For want of memory.
    pub memory: Option<f64>,
    /// For want of CPU time.
    pub cpu: Option<f64>,
    /// By reading and writing.
    pub io: Option<f64>,
}

/// Numbers of a moment. What this kernel does not count, or what has no limit, is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// Where they come from.
    pub counted: Counted,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The most bytes of memory that it may use.
    pub memory_limit: Option<u64>,
    /// Bytes of memory to which it is pushed back when the host runs short.
    pub memory_soft: Option<u64>,
    /// The most bytes of memory that it has used.
    pub memory_peak: Option<u64>,
    /// Times that the memory limit was reached.
    pub memory_limit_hits: Option<u64>,
    /// Processes that the kernel killed at it.
    pub oom_kills: Option<u64>,
    /// Bytes of swap.
    pub swap: Option<u64>,
    /// The most bytes of swap that it may use.
    pub swap_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The most of them.
    pub pids_limit: Option<u64>,
    /// Forks refused at that limit.
    pub pids_refused: Option<u64>,
    /// CPU time in microseconds.
    pub cpu_usec: Option<u64>,
    /// The most CPU time, as a part of one CPU: 1.5 is one and a half.
    pub cpu_limit: Option<f64>,
    /// Times that it was held back at that limit.
    pub throttled: Option<u64>,
    /// Time for which it was held back, in microseconds.
    pub throttled_usec: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
    /// How much it is held up (v2).
    pub pressure: Pressure,
}

/// The host's processes, looked at once, and only when somebody asks.
#[derive(Debug, Default)]
pub struct Processes(OnceCell<BTreeMap<i32, Stat>>);

impl Processes {
    /// All of them.
    pub fn table(&self) -> &BTreeMap<i32, Stat> {
        self.0.get_or_init(process::table)
    }
}

impl Statistics {
    /// What a sandbox uses now.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn of(sandbox: &Sandbox, processes: &Processes) -> Result<Self, Refusal> {
        let soft = sandbox.record()?.memory_soft;
        match sandbox.group()? {
            Some(group) => Ok(Self::of_group(&group, soft)),
            None => Ok(Self::of_tree(sandbox.child()?.pid(), processes)),
        }
    }

    /// What a group uses now. On v2, where no file says it, `soft` is the soft limit that its launcher holds.
    #[must_use]
    pub fn of_group(group: &Directories, soft: Option<u64>) -> Self {
        let usage = group.usage();
        let current = group.current();
        let mut found = Self {
            counted: Counted::Group,
            memory: current.memory,
            memory_soft: soft,
            memory_peak: usage.memory_peak,
            memory_limit_hits: usage.memory_limit_hits,
            oom_kills: usage.oom_kills,
            swap: current.swap,
            pids: current.pids,
            pids_refused: usage.pids_refused,
            cpu_usec: usage.cpu_usec,
            throttled: usage.throttled,
            throttled_usec: usage.throttled_usec,
            io_read_bytes: usage.io_read_bytes,
            io_write_bytes: usage.io_write_bytes,
            ..Self::default()
        };
        match group.of("memory") {
            Some((Version::V1, memory)) => {
                found.memory_limit = limit(memory, "memory.limit_in_bytes");
                found.memory_soft = limit(memory, "memory.soft_limit_in_bytes").or(soft);
                let both = limit(memory, "memory.memsw.limit_in_bytes");
                found.swap_limit = both
                    .zip(found.memory_limit)
                    .map(|(both, memory)| both.saturating_sub(memory));
            }
            Some((Version::V2, memory)) => {
                found.memory_limit = memory.number("memory.max");
                found.swap_limit = memory.number("memory.swap.max");
            }
            None => {}
        }
        if let Some((_, pids)) = group.of("pids") {
            found.pids_limit = pids.number("pids.max");
        }
        if let Some((version, cpu)) = group.of("cpu") {
            found.cpu_limit = cpu_limit(version, cpu);
        }
        if found.io_read_bytes.is_none() {
            (found.io_read_bytes, found.io_write_bytes) = io(group);
        }
        let percent = |hundredths: Option<u32>| hundredths.map(|part| f64::from(part) / 100.0);
        found.pressure = Pressure {
            memory: percent(current.pressure.memory),
            cpu: percent(current.pressure.cpu),
            io: percent(current.pressure.io),
        };
        found
    }

    /// What a process and all below it use now.
    #[must_use]
    pub fn of_tree(root: i32, processes: &Processes) -> Self {
        let table = processes.table();
        let members = process::descendants(root, table);
        let all = || members.iter().filter_map(|pid| table.get(pid));
        let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .and_then(|hertz| u64::try_from(hertz).ok())
            .filter(|hertz| *hertz > 0)
            .unwrap_or(100);
        let ticks: u64 = all().map(|stat| stat.ticks).sum();
        Self {
            counted: Counted::Processes,
            memory: Some(all().map(|stat| stat.resident).sum()),
            pids: Some(all().map(|stat| stat.threads).sum()),
            cpu_usec: Some(ticks.saturating_mul(1_000_000) / hertz),
            ..Self::default()
        }
    }
}

/// A limit of v1 in bytes; none for the largest number that the kernel has.
fn limit(group: &Directory, file: &str) -> Option<u64> {
    const NONE: u64 = i64::MAX as u64 & !0xffff;
    group.number(file).filter(|bytes| *bytes < NONE)
}

#[allow(clippy::cast_precision_loss)] // microseconds of a period
fn cpu_limit(version: Version, cpu: &Directory) -> Option<f64> {
    let (quota, period) = match version {
        Version::V1 => (
            cpu.number("cpu.cfs_quota_us")?,
            cpu.number("cpu.cfs_period_us")?,
        ),
        Version::V2 => {
            let text = cpu.read("cpu.max").ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
    };
    (period > 0).then(|| quota as f64 / period as f64)
}

/// Bytes read and written.
fn io(group: &Directories) -> (Option<u64>, Option<u64>) {
    if let Some((Version::V1, blkio)) = group.of("blkio") {
        let text = blkio
            .read("blkio.throttle.io_service_bytes_recursive")
            .or_else(|_| blkio.read("blkio.throttle.io_service_bytes"));
        return text.map_or((None, None), |text| {
            (Some(sum_v1(&text, "Read")), Some(sum_v1(&text, "Write")))
        });
    }
    let unified = group.each().find(|(version, _)| *version == Version::V2);
    match unified.and_then(|(_, directory)| directory.read("io.stat").ok()) {
        Some(text) => (
            Some(sum_v2(&text, "rbytes=")),
            Some(sum_v2(&text, "wbytes=")),
        ),
        None => (None, None),
    }
}

/// Lines `8:0 Read 4096`.
fn sum_v1(text: &str, what: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            device.contains(':').then(|| field(rest, what)).flatten()
        })
        .sum()
}

/// Lines `8:0 rbytes=4096 wbytes=0 …`.
fn sum_v2(text: &str, what: &str) -> u64 {
    text.split_whitespace()
        .filter_map(|word| word.strip_prefix(what)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_added_up() {
        let v1 = "8:0 Read 4096\n8:0 Write 1\n8:16 Read 4\n8:0 Total 9\nTotal 9\n";
        assert_eq!((sum_v1(v1, "Read"), sum_v1(v1, "Write")), (4100, 1));
        let v2 = "8:0 rbytes=1 wbytes=2 rios=3\n8:16 rbytes=10 wbytes=20\n";
        assert_eq!((sum_v2(v2, "rbytes="), sum_v2(v2, "wbytes=")), (11, 22));
    }
}
