//! What lay around the group while its program ran: which of the limits on the path to the root was the one that struck,
//! and whether somebody else killed. Without it a report would blame the sandbox's own limit for the host's or an
//! administrator's.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::directories::Directories;
use crate::kernel::cgroup::{Directory, extended_attribute, field};
use crate::section::limits::Version;

/// What the counters beside [`super::Usage`] say, as far as this kernel has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Times that the group's own limit left no memory to be had (v2). Kills without one came from above, or from the
    /// host's own want of memory.
    pub own_ooms: Option<u64>,
    /// Times that the group was throttled at `memory.high` (v2).
    pub high_hits: Option<u64>,
    /// Times that swapping was refused at the group's swap limit (v2).
    pub swap_limit_hits: Option<u64>,
    /// Times that swapping was refused at all: at a limit, or because the host had no more (v2).
    pub swap_refusals: Option<u64>,
    /// The most bytes of memory and swap together (v1).
    pub memory_and_swap_peak: Option<u64>,
    /// Periods of the CPU quota in which the group ran.
    pub cpu_periods: Option<u64>,
    /// Processes that systemd-oomd killed in the group, or in its scope.
    pub oomd_kills: Option<u64>,
    /// The lowest limit of each kind on the path from the group to the root, without its own.
    pub above: Vec<Ceiling>,
}

/// A limit of a group above ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ceiling {
    /// The key of `[limits]` for the same thing.
    pub key: &'static str,
    /// Bytes, processes, or hundredths of a percent of one CPU.
    pub value: u64,
    /// The group.
    pub group: PathBuf,
    /// Whether that group's counters say that the limit was ever reached.
    pub reached: bool,
}

impl Directories {
    /// What lies around the group now. To be asked while the group is there.
    #[must_use]
    pub fn circumstances(&self) -> Circumstances {
        let mut found = Circumstances::default();
        match self.of("memory") {
            Some((Version::V1, memory)) => {
                found.memory_and_swap_peak = memory.number("memory.memsw.max_usage_in_bytes");
                found.above.extend(ceilings(memory, V1_MEMORY));
            }
            Some((Version::V2, memory)) => {
                let events = memory.read("memory.events").unwrap_or_default();
                found.own_ooms = field(&events, "oom");
                found.high_hits = field(&events, "high");
                let swap = memory.read("memory.swap.events").unwrap_or_default();
                found.swap_limit_hits = field(&swap, "max");
                found.swap_refusals = field(&swap, "fail");
                found.oomd_kills = oomd_kills(memory);
                found.above.extend(ceilings(memory, V2_MEMORY));
            }
            None => {}
        }
        if let Some((_, pids)) = self.of("pids") {
            found.above.extend(ceilings(pids, PIDS));
        }
        if let Some((version, cpu)) = self.of("cpu") {
            found.cpu_periods = cpu.field("cpu.stat", "nr_periods");
            let kinds = match version {
                Version::V1 => V1_CPU,
                Version::V2 => V2_CPU,
            };
            found.above.extend(ceilings(cpu, kinds));
        }
        found
    }
}

/// A kind of limit: its key, how it is read, and whether it was reached.
struct Kind {
    key: &'static str,
    read: fn(&Path) -> Option<u64>,
    reached: fn(&Path) -> bool,
}

fn text(group: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(group.join(file)).ok()
}

fn number(group: &Path, file: &str) -> Option<u64> {
    text(group, file)?.trim().parse().ok()
}

fn counted(group: &Path, file: &str, name: &str) -> bool {
    text(group, file).and_then(|text| field(&text, name)) > Some(0)
}

/// v1 says "no limit" as the largest number of whole pages that it can count.
fn bytes_of_v1(group: &Path, file: &str) -> Option<u64> {
    number(group, file).filter(|value| *value < (i64::MAX as u64) - (1 << 20))
}

const V1_MEMORY: &[Kind] = &[Kind {
    key: "memory",
    read: |group| bytes_of_v1(group, "memory.limit_in_bytes"),
    // Where memory and swap together are limited as much, it is that limit which is reached, and nothing is counted here.
    reached: |group| {
        let near = || {
            let peak = number(group, "memory.max_usage_in_bytes")?;
            let limit = number(group, "memory.limit_in_bytes")?;
            Some(peak + (limit / 16).max(4 << 20) >= limit)
        };
        number(group, "memory.failcnt") > Some(0) || near() == Some(true)
    },
}];

const V2_MEMORY: &[Kind] = &[
    Kind {
        key: "memory",
        read: |group| number(group, "memory.max"),
        reached: |group| counted(group, "memory.events.local", "oom"),
    },
    Kind {
        key: "swap",
        read: |group| number(group, "memory.swap.max"),
        reached: |group| counted(group, "memory.swap.events", "max"),
    },
];

const PIDS: &[Kind] = &[Kind {
    key: "pids",
    read: |group| number(group, "pids.max"),
    // The kernel counts a refusal where the fork was tried, before Linux 6.12: only what is used can tell.
    reached: |group| number(group, "pids.peak") >= number(group, "pids.max"),
}];

const V1_CPU: &[Kind] = &[Kind {
    key: "cpu",
    read: |group| {
        let quota = number(group, "cpu.cfs_quota_us")?;
        share(quota, number(group, "cpu.cfs_period_us")?)
    },
    reached: |group| counted(group, "cpu.stat", "nr_throttled"),
}];

const V2_CPU: &[Kind] = &[Kind {
    key: "cpu",
    read: |group| {
        let text = text(group, "cpu.max")?;
        let (quota, period) = text.trim().split_once(' ')?;
        share(quota.parse().ok()?, period.parse().ok()?)
    },
    reached: |group| counted(group, "cpu.stat", "nr_throttled"),
}];

/// Hundredths of a percent of one CPU.
fn share(quota: u64, period: u64) -> Option<u64> {
    quota.saturating_mul(10_000).checked_div(period)
}

/// The lowest limit of each kind in the groups above.
fn ceilings(group: &Directory, kinds: &[Kind]) -> Vec<Ceiling> {
    // A directory without this file is no group any more: the hierarchy's mount point was the last.
    let above: Vec<&Path> = group
        .path()
        .ancestors()
        .skip(1)
        .take_while(|path| path.join("cgroup.procs").exists())
        .collect();
    kinds
        .iter()
        .filter_map(|kind| {
            let lowest = above
                .iter()
                .filter_map(|path| Some(((kind.read)(path)?, path)))
                .min_by_key(|(value, _)| *value)?;
            let (value, path) = lowest;
            Some(Ceiling {
                key: kind.key,
                value,
                group: path.to_path_buf(),
                reached: (kind.reached)(path),
            })
        })
        .collect()
}

/// systemd-oomd writes down on the group that it chose how many processes it killed there (systemd-oomd.service(8)).
fn oomd_kills(group: &Directory) -> Option<u64> {
    const NAME: &std::ffi::CStr = c"user.oomd_kill";
    let read = |directory: &Directory| {
        let value = extended_attribute(directory.as_fd(), NAME)?;
        String::from_utf8(value).ok()?.trim().parse::<u64>().ok()
    };
    let scope = || Directory::open(group.path().parent()?).ok();
    read(group).or_else(|| read(&scope()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_lowest_limit_above_is_found_and_the_search_ends_at_the_mount() {
        let root = tree(&[
            ("memory.max", "7\n"),
            ("mount/cgroup.procs", ""),
            ("mount/a/cgroup.procs", ""),
            ("mount/a/memory.max", "4096\n"),
            ("mount/a/memory.events.local", "max 4\noom 1\n"),
            ("mount/a/b/cgroup.procs", ""),
            ("mount/a/b/memory.max", "max\n"),
            ("mount/a/b/memory.swap.max", "0\n"),
            ("mount/a/b/own/cgroup.procs", ""),
            ("mount/a/b/own/memory.max", "1\n"),
        ]);
        let own = Directory::open(&root.path().join("mount/a/b/own")).unwrap();
        let found = ceilings(&own, V2_MEMORY);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].key, found[0].value), ("memory", 4096));
        assert!(found[0].reached && found[0].group.ends_with("mount/a"));
        assert_eq!((found[1].key, found[1].value), ("swap", 0));
        assert!(!found[1].reached);
    }

    #[test]
    fn no_limit_is_no_ceiling() {
        let root = tree(&[
            ("cgroup.procs", ""),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu.cfs_quota_us", "-1\n"),
            ("cpu.cfs_period_us", "100000\n"),
            ("cpu.max", "max 100000\n"),
            ("pids.max", "max\n"),
            ("own/cgroup.procs", ""),
        ]);
        let own = Directory::open(&root.path().join("own")).unwrap();
        for kinds in [V1_MEMORY, V2_MEMORY, V1_CPU, V2_CPU, PIDS] {
            assert_eq!(ceilings(&own, kinds), Vec::new());
        }
        std::fs::write(root.path().join("cpu.cfs_quota_us"), "150000\n").unwrap();
        assert_eq!(ceilings(&own, V1_CPU)[0].value, 15_000);
    }
}
