//! Limits → files and what is written to them, for both versions of control groups. Kernel documents
//! admin-guide/cgroup-v1/*, admin-guide/cgroup-v2.

use super::{LimitWrite, Limits, Version};
use crate::policy::Traced;

/// The controller that holds a key.
#[must_use]
pub fn controller(key: &str) -> &'static str {
    match key {
        "pids" => "pids",
        "cpu" | "cpu-weight" => "cpu",
        _ => "memory",
    }
}

/// The files, in the order in which a fresh group takes them: on v1 `memory` before the sum with `swap`.
///
/// The soft limit has a file on v1 alone.
#[must_use]
pub fn writes(
    limits: &Limits,
    version: Version,
    may_degrade: &dyn Fn(&str) -> bool,
) -> Vec<LimitWrite> {
    let mut all = Vec::new();
    let mut push = |key: &'static str, file: &str, limit: &Traced<u64>, value: String| {
        all.push(LimitWrite {
            key: key.to_owned(),
            controller: controller(key),
            file: file.to_owned(),
            value,
            may_fail: may_degrade(key),
            site: limit.site,
        });
    };
    if let Some(limit) = &limits.memory {
        let file = match version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        push("memory", file, limit, limit.value.to_string());
    }
    if let Some(limit) = &limits.swap {
        match version {
            Version::V1 => {
                // A sum, as v1 counts; without `memory` the limit was refused before.
                let memory = limits.memory.as_ref().map_or(0, |memory| memory.value);
                let sum = memory.saturating_add(limit.value);
                push(
                    "swap",
                    "memory.memsw.limit_in_bytes",
                    limit,
                    sum.to_string(),
                );
            }
            Version::V2 => push("swap", "memory.swap.max", limit, limit.value.to_string()),
        }
    }
    if let Some(limit) = &limits.memory_soft
        && version == Version::V1
    {
        let value = limit.value.to_string();
        push("memory-soft", "memory.soft_limit_in_bytes", limit, value);
    }
    if let Some(limit) = &limits.pids {
        push(
            "pids",
            "pids.max",
            limit,
            limit.value.min(MOST_PIDS).to_string(),
        );
    }
    if let Some(limit) = &limits.cpu {
        let (quota, period) = quota(limit.value);
        match version {
            Version::V1 => {
                push("cpu", "cpu.cfs_period_us", limit, period.to_string());
                push("cpu", "cpu.cfs_quota_us", limit, quota.to_string());
            }
            Version::V2 => push("cpu", "cpu.max", limit, format!("{quota} {period}")),
        }
    }
    if let Some(limit) = &limits.cpu_weight {
        match version {
            Version::V1 => {
                push(
                    "cpu-weight",
                    "cpu.shares",
                    limit,
                    shares(limit.value).to_string(),
                );
            }
            Version::V2 => push("cpu-weight", "cpu.weight", limit, limit.value.to_string()),
        }
    }
    all
}

/// The kernel can have no more processes than this, and `pids.max` takes no larger number.
const MOST_PIDS: u64 = 4_194_304;

/// Quota and period in microseconds of a share in hundredths of a percent: of 100 ms, the kernel's default, unless that
/// gives less than the 1 ms that a quota must have.
#[must_use]
pub fn quota(share: u64) -> (u64, u64) {
    if share >= 100 {
        (share.saturating_mul(10), 100_000)
    } else {
        (share * 100, 1_000_000)
    }
}

/// v1 shares of a v2 weight: proportional, so that everybody's 100 is everybody's 1024, within the kernel's 2 to 262144.
#[must_use]
pub fn shares(weight: u64) -> u64 {
    (weight.saturating_mul(1024).saturating_add(50) / 100).clamp(2, 262_144)
}

/// Whether what a file says after a write is what was written, but for the kernel's rounding.
///
/// Bytes are rounded down to a page of at most 64 KiB.
#[must_use]
pub fn agrees(file: &str, written: &str, read: &str) -> bool {
    let (written, read) = (written.trim(), read.trim());
    if written == read {
        return true;
    }
    let in_bytes = file.starts_with("memory.");
    match (written.parse::<u64>(), read.parse::<u64>()) {
        (Ok(written), Ok(read)) => in_bytes && read <= written && written - read < 65_536,
        // The kernel says `max` for what is as much as it can count.
        (Ok(written), Err(_)) => in_bytes && read == "max" && written >= (i64::MAX as u64) - 65_536,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all() -> Limits {
        let traced = |value| Some(Traced::default_value(value));
        Limits {
            memory: traced(3 << 30),
            swap: traced(1 << 30),
            memory_soft: traced(1 << 30),
            pids: traced(512),
            cpu: traced(15_000),
            cpu_weight: traced(50),
            yielded: None,
        }
    }

    fn shown(version: Version) -> String {
        let lines: Vec<_> = writes(&all(), version, &|_| false)
            .iter()
            .map(ToString::to_string)
            .collect();
        lines.join("\n")
    }

    #[test]
    fn v1() {
        insta::assert_snapshot!(shown(Version::V1), @r"
        memory.limit_in_bytes = 3221225472 (limits.memory)
        memory.memsw.limit_in_bytes = 4294967296 (limits.swap)
        memory.soft_limit_in_bytes = 1073741824 (limits.memory-soft)
        pids.max = 512 (limits.pids)
        cpu.cfs_period_us = 100000 (limits.cpu)
        cpu.cfs_quota_us = 150000 (limits.cpu)
        cpu.shares = 512 (limits.cpu-weight)
        ");
    }

    #[test]
    fn v2() {
        insta::assert_snapshot!(shown(Version::V2), @r"
        memory.max = 3221225472 (limits.memory)
        memory.swap.max = 1073741824 (limits.swap)
        pids.max = 512 (limits.pids)
        cpu.max = 150000 100000 (limits.cpu)
        cpu.weight = 50 (limits.cpu-weight)
        ");
    }

    #[test]
    fn quotas_never_fall_below_a_millisecond() {
        for share in [10, 99, 100, 101, 10_000, 1_000_000] {
            let (quota, period) = quota(share);
            assert!(quota >= 1_000, "{share}");
            assert_eq!(
                u128::from(quota) * 10_000,
                u128::from(share) * u128::from(period)
            );
        }
    }

    #[test]
    fn shares_are_proportional_and_in_range() {
        let pairs = [
            (1, 10),
            (10, 102),
            (50, 512),
            (100, 1024),
            (200, 2048),
            (10_000, 102_400),
        ];
        for (weight, expected) in pairs {
            assert_eq!(shares(weight), expected, "{weight}");
        }
        assert_eq!(shares(0), 2);
        assert_eq!(shares(u64::MAX), 262_144);
    }

    #[test]
    fn more_pids_than_there_can_be_are_written_as_many_as_there_can_be() {
        let limits = Limits {
            pids: Some(Traced::default_value(u64::MAX)),
            ..Limits::default()
        };
        let written = writes(&limits, Version::V2, &|_| false);
        assert_eq!(written[0].value, "4194304");
    }

    #[test]
    fn reading_back_allows_for_pages_and_for_nothing_else() {
        assert!(agrees("memory.max", "25000000", "24997888\n"));
        assert!(agrees("memory.limit_in_bytes", "1024", "0\n"));
        assert!(!agrees("memory.max", "25000000", "25001984\n"));
        assert!(!agrees("memory.max", "25000000", "max\n"));
        assert!(!agrees("memory.max", "103809024", "80740352\n"));
        assert!(agrees("memory.max", &i64::MAX.to_string(), "max\n"));
        assert!(agrees(
            "memory.limit_in_bytes",
            &i64::MAX.to_string(),
            "9223372036854771712\n"
        ));
        assert!(!agrees("pids.max", "512", "511\n"));
        assert!(agrees("cpu.max", "150000 100000", "150000 100000\n"));
        assert!(!agrees("cpu.max", "150000 100000", "max 100000\n"));
    }
}
