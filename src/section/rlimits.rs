//! The keys of `[limits]` that are resource limits of each process (setrlimit(2)).

use std::time::Duration;

use crate::plan::{Action, OnFailure, Step};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Count, Size, Value};

/// Key, resource (linux/resource.h), both by the number that the kernel gives them on all architectures that we know.
const RESOURCES: &[(&str, u32)] = &[
    ("address-space", 9),
    ("core-size", 4),
    ("cpu-time", 0),
    ("data-size", 2),
    ("file-size", 1),
    ("locked-memory", 8),
    ("message-queues", 12),
    ("nice-limit", 13),
    ("open-files", 7),
    ("pending-signals", 11),
    ("processes", 6),
    ("realtime-priority", 14),
    ("realtime-time", 15),
    ("stack-size", 3),
];

/// The key of a resource limit.
#[must_use]
pub fn name(resource: u32) -> Option<&'static str> {
    RESOURCES
        .iter()
        .find(|(_, number)| *number == resource)
        .map(|(name, _)| *name)
}

/// The resource limits that the policy sets, in the order of their names.
///
/// `may_degrade` says whether a rule (by its key) may fail with a warning; see `degrade` and `--best-effort`.
#[must_use]
pub fn steps(policy: &Policy, may_degrade: impl Fn(&str) -> bool) -> Vec<Step> {
    RESOURCES
        .iter()
        .filter_map(|&(name, resource)| {
            let rule = policy.get(Section::Limits, name)?;
            let value = amount(name, rule.value)?;
            Some(Step {
                action: Action::ResourceLimit {
                    resource,
                    name,
                    value,
                },
                site: rule.site,
                because: String::new(),
                on_failure: if may_degrade(name) {
                    OnFailure::Warn
                } else {
                    OnFailure::Fatal
                },
            })
        })
        .collect()
}

/// The value in the kernel's units; `Some(None)` is no limit, `None` a value that no such key can have.
fn amount(name: &str, value: &Value) -> Option<Option<u64>> {
    match value {
        // 19 is where lowering ends for everybody, so that 0 says the same as 1; and 1 would be more than the 0 that
        // everybody has whom nobody gave any.
        Value::Integer(19) if name == "nice-limit" => Some(Some(0)),
        Value::Integer(nice) if name == "nice-limit" => {
            Some(Some(u64::try_from(LEAST_OF_NICE.checked_sub(*nice)?).ok()?))
        }
        // A year of it is 2^45: nothing that can be said is cut off.
        Value::Duration(time) if name == "realtime-time" => Some(Some(
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX - 1),
        )),
        Value::Size(Size::Bytes(bytes)) => Some(Some(*bytes)),
        Value::Count(Count::Number(number)) => Some(Some(*number)),
        Value::Size(Size::Max) | Value::Count(Count::Max) => Some(None),
        Value::Integer(number) => Some(Some(u64::try_from(*number).ok()?)),
        Value::Duration(time) => Some(Some(whole_seconds(*time))),
        _ => None,
    }
}

/// The kernel counts RLIMIT_NICE from here downwards, since a limit cannot be negative (setrlimit(2)).
const LEAST_OF_NICE: i64 = 20;

/// A resource limit in words.
#[must_use]
pub fn describe(name: &str, value: Option<u64>) -> String {
    let Some(value) = value else {
        return format!("lift the resource limit {name}");
    };
    match name {
        "nice-limit" => {
            let lowest = i64::try_from(value).map_or(i64::MIN, |value| LEAST_OF_NICE - value);
            let lowest = lowest.min(19);
            format!("set the resource limit {name} to {value}: nice values from {lowest} on")
        }
        "realtime-time" => format!("set the resource limit {name} to {value} microseconds"),
        "cpu-time" => format!("set the resource limit {name} to {value} seconds"),
        _ => format!("set the resource limit {name} to {value}"),
    }
}

/// Seconds, rounded up, at least 1: the kernel takes 0 for 1 anyhow, and less than was asked for would surprise.
fn whole_seconds(time: Duration) -> u64 {
    let part = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(part).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::profile::key::Name;
    use crate::profile::table::KEYS;
    use crate::section::limits::tests::policy;

    #[test]
    #[allow(clippy::unnecessary_cast)] // the type differs between C libraries
    fn numbers_are_the_c_librarys() {
        let number = |name: &str| RESOURCES.iter().find(|(key, _)| *key == name).unwrap().1;
        assert_eq!(number("open-files"), libc::RLIMIT_NOFILE as u32);
        assert_eq!(number("processes"), libc::RLIMIT_NPROC as u32);
        assert_eq!(number("core-size"), libc::RLIMIT_CORE as u32);
        assert_eq!(number("file-size"), libc::RLIMIT_FSIZE as u32);
        assert_eq!(number("address-space"), libc::RLIMIT_AS as u32);
        assert_eq!(number("data-size"), libc::RLIMIT_DATA as u32);
        assert_eq!(number("stack-size"), libc::RLIMIT_STACK as u32);
        assert_eq!(number("locked-memory"), libc::RLIMIT_MEMLOCK as u32);
        assert_eq!(number("cpu-time"), libc::RLIMIT_CPU as u32);
        assert_eq!(number("pending-signals"), libc::RLIMIT_SIGPENDING as u32);
        assert_eq!(number("message-queues"), libc::RLIMIT_MSGQUEUE as u32);
        assert_eq!(number("realtime-priority"), libc::RLIMIT_RTPRIO as u32);
        assert_eq!(number("nice-limit"), libc::RLIMIT_NICE as u32);
        assert_eq!(number("realtime-time"), libc::RLIMIT_RTTIME as u32);
    }

    #[test]
    fn every_limit_of_the_table_is_held_by_a_group_or_by_an_rlimit() {
        for key in KEYS.iter().filter(|key| key.section == Section::Limits) {
            let Name::Exact(name) = key.name else {
                continue;
            };
            let rlimit = RESOURCES.iter().any(|(key, _)| *key == name);
            let group = crate::section::limits::is_held_by_group(name);
            assert!(rlimit != group, "{name}");
        }
    }

    #[test]
    fn values_keep_their_units() {
        let policy = policy(&[
            ("open-files", Value::Count(Count::Number(0))),
            ("core-size", Value::Size(Size::Max)),
            ("cpu-time", Value::Duration(Duration::from_millis(1500))),
            ("realtime-priority", Value::Integer(5)),
            ("realtime-time", Value::Duration(Duration::from_millis(3))),
            ("nice-limit", Value::Integer(-20)),
            ("memory", Value::Size(Size::Bytes(1))),
        ]);
        let all = steps(&policy, |key| key == "cpu-time");
        let shown: Vec<_> = all
            .iter()
            .map(|step| match step.action {
                Action::ResourceLimit { name, value, .. } => (name, value, step.on_failure),
                _ => unreachable!("only resource limits are made here"),
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("core-size", None, OnFailure::Fatal),
                ("cpu-time", Some(2), OnFailure::Warn),
                ("nice-limit", Some(40), OnFailure::Fatal),
                ("open-files", Some(0), OnFailure::Fatal),
                ("realtime-priority", Some(5), OnFailure::Fatal),
                ("realtime-time", Some(3000), OnFailure::Fatal),
            ]
        );
    }

    #[test]
    fn the_nice_limit_is_told_both_ways() {
        for (nice, kernel) in [(-20, 40), (0, 20), (18, 2), (19, 0)] {
            let value = amount("nice-limit", &Value::Integer(nice)).unwrap();
            assert_eq!(value, Some(kernel));
            let told = describe("nice-limit", value);
            assert!(
                told.ends_with(&format!("to {kernel}: nice values from {nice} on")),
                "{told}"
            );
        }
    }
}
