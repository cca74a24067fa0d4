//! `[limits]`: what a control group is to hold. Which group that is on this host: [`lower()`]; what is written to it:
//! [`writes`].
//!
//! The keys that are limits of each process are in [`super::rlimits`].

pub mod lower;
pub mod plan;
pub mod writes;

use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Count, Cpu, Size, Value, exact_bytes};
use crate::report::{Diagnostic, Diagnostics, Site};

pub use lower::{Lowered, Refusal, lower};
pub use plan::{DeviceLimit, DeviceRule, GroupPlan, LimitWrite, Place, SoftLimit, Version, Way};

/// The keys of `[limits]` that need a control group.
pub const KEYS: &[&str] = &["memory", "swap", "memory-soft", "pids", "cpu", "cpu-weight"];

/// What the program and all its children may use together. A missing entry is no limit, as is `"max"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<Traced<u64>>,
    /// Bytes in addition to `memory`.
    pub swap: Option<Traced<u64>>,
    /// Bytes.
    pub memory_soft: Option<Traced<u64>>,
    /// Processes and threads.
    pub pids: Option<Traced<u64>>,
    /// Hundredths of a percent of one CPU.
    pub cpu: Option<Traced<u64>>,
    /// 1 to 10000; 100 is everybody's.
    pub cpu_weight: Option<Traced<u64>>,
    /// A soft limit that a later layer's smaller hard limit leaves without effect.
    pub yielded: Option<Traced<u64>>,
}

/// The least CPU time that the kernel can deal out: 1 ms (its shortest quota) in every second (its longest period).
const LEAST_CPU: u64 = 10;
/// The most: the kernel counts the quota of a period of 100 ms in 44 bits of microseconds.
const MOST_CPU: u64 = ((1 << 44) - 1) / 10;

impl Limits {
    /// What the policy says, with parts of the RAM turned into bytes (rounded down); `ram` is this host's, in bytes.
    ///
    /// # Errors
    /// Limits that contradict each other, and values that no kernel takes.
    pub fn of(policy: &Policy, ram: u64) -> Result<Self, Diagnostics> {
        let mut wrong = Vec::new();
        let size = |key| {
            let rule = policy.get(Section::Limits, key)?;
            match *rule.value {
                Value::Size(Size::Bytes(bytes)) => Some(Traced::new(bytes, rule.site)),
                Value::Size(Size::OfRam(part)) => {
                    let bytes = u128::from(ram) * u128::from(part) / 10_000;
                    Some(Traced::new(
                        u64::try_from(bytes).unwrap_or(u64::MAX),
                        rule.site,
                    ))
                }
                _ => None,
            }
        };
        let number = |key| {
            let rule = policy.get(Section::Limits, key)?;
            let value = match *rule.value {
                Value::Count(Count::Number(number)) => number,
                Value::Cpu(Cpu::Share(share)) => share,
                Value::Integer(number) => u64::try_from(number).ok()?,
                _ => return None,
            };
            Some(Traced::new(value, rule.site))
        };
        let mut limits = Self {
            memory: size("memory"),
            swap: size("swap"),
            memory_soft: size("memory-soft"),
            pids: number("pids"),
            cpu: number("cpu"),
            cpu_weight: number("cpu-weight"),
            yielded: None,
        };
        let layer = |key: &str| {
            policy
                .rules
                .get(&(Section::Limits, key.to_owned()))
                .map(|rule| rule.layer)
        };
        if layer("memory-soft") < layer("memory") {
            limits.yield_soft();
        }
        limits.check(&mut wrong);
        if wrong.is_empty() {
            Ok(limits)
        } else {
            Err(wrong)
        }
    }

    /// Somebody lowered the hard limit of an extended profile below its soft one, which is then never reached.
    fn yield_soft(&mut self) {
        if let (Some(memory), Some(soft)) = (&self.memory, &self.memory_soft)
            && soft.value > memory.value
        {
            self.yielded = self.memory_soft.take();
        }
    }

    fn check(&self, wrong: &mut Diagnostics) {
        if let (Some(memory), Some(soft)) = (&self.memory, &self.memory_soft)
            && soft.value > memory.value
        {
            wrong.push(
                Diagnostic::error(
                    format!(
                        "`memory-soft` ({}) is more than `memory` ({})",
                        exact_bytes(soft.value),
                        exact_bytes(memory.value)
                    ),
                    soft.site,
                    "would never be reached",
                )
                .related(memory.site, "the hard limit"),
            );
        }
        for (key, limit) in [
            ("memory", &self.memory),
            ("swap", &self.swap),
            ("memory-soft", &self.memory_soft),
        ] {
            if let Some(limit) = limit
                && limit.value > MOST_BYTES
            {
                wrong.push(too_large(key, limit.site));
            }
        }
        if let (Some(memory), Some(swap)) = (&self.memory, &self.swap)
            && wrong.is_empty()
            && memory.value.saturating_add(swap.value) > MOST_BYTES
        {
            wrong.push(
                Diagnostic::error(
                    "`memory` and `swap` are too much together",
                    swap.site,
                    "their sum does not fit into 63 bits",
                )
                .related(memory.site, "the other part")
                .help("`\"max\"` is no limit"),
            );
        }
        if let Some(cpu) = &self.cpu
            && !(LEAST_CPU..=MOST_CPU).contains(&cpu.value)
        {
            wrong.push(
                Diagnostic::error(
                    format!("`cpu` is {}", Cpu::Share(cpu.value)),
                    cpu.site,
                    format!(
                        "the kernel deals out {} to {} of a CPU",
                        Cpu::Share(LEAST_CPU),
                        Cpu::Share(MOST_CPU)
                    ),
                )
                .help("`\"max\"` is no limit"),
            );
        }
    }

    /// Whether there is anything that a control group must hold.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limit of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Traced<u64>> {
        match key {
            "memory" => self.memory.as_ref(),
            "swap" => self.swap.as_ref(),
            "memory-soft" => self.memory_soft.as_ref(),
            "pids" => self.pids.as_ref(),
            "cpu" => self.cpu.as_ref(),
            "cpu-weight" => self.cpu_weight.as_ref(),
            _ => None,
        }
    }

    /// Drops the limit of that key.
    fn forget(&mut self, key: &str) {
        match key {
            "memory" => self.memory = None,
            "swap" => self.swap = None,
            "memory-soft" => self.memory_soft = None,
            "pids" => self.pids = None,
            "cpu" => self.cpu = None,
            "cpu-weight" => self.cpu_weight = None,
            _ => {}
        }
    }
}

/// The largest number of bytes that the kernel's counters hold.
const MOST_BYTES: u64 = i64::MAX as u64;

fn too_large(key: &str, site: Site) -> Diagnostic {
    Diagnostic::error(
        format!("`{key}` is too large"),
        site,
        "does not fit into 63 bits",
    )
    .help("`\"max\"` is no limit")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::Rule;
    use crate::report::{Source, SourceId, SourceKind, SourceMap};

    fn source() -> SourceId {
        SourceMap::new().add(Source {
            name: "a.toml".to_owned(),
            kind: SourceKind::CommandLine,
            text: String::new(),
        })
    }

    /// A policy of `[limits]` alone; the nth value stands at byte n.
    pub(crate) fn policy(entries: &[(&str, Value)]) -> Policy {
        let source = source();
        let mut policy = Policy::default();
        for (at, (key, value)) in entries.iter().enumerate() {
            let site = Site::new(source, at..at + 1);
            policy.rules.insert(
                (Section::Limits, (*key).to_owned()),
                Rule {
                    value: Some(value.clone()),
                    site,
                    key_site: site,
                    layer: 0,
                    overruled: Vec::new(),
                },
            );
        }
        policy
    }

    fn bytes(n: u64) -> Value {
        Value::Size(Size::Bytes(n))
    }

    #[test]
    fn parts_of_the_ram_become_bytes_and_max_becomes_nothing() {
        let limits = Limits::of(
            &policy(&[
                ("memory", Value::Size(Size::OfRam(2_500))),
                ("swap", Value::Size(Size::Max)),
                ("pids", Value::Count(Count::Max)),
                ("cpu", Value::Cpu(Cpu::Max)),
                ("cpu-weight", Value::Integer(50)),
            ]),
            8 << 30,
        )
        .unwrap();
        assert_eq!(limits.memory.unwrap().value, 2 << 30);
        assert_eq!(limits.cpu_weight.unwrap().value, 50);
        assert!(limits.swap.is_none() && limits.pids.is_none() && limits.cpu.is_none());
    }

    #[test]
    fn zero_is_a_limit() {
        let limits = Limits::of(
            &policy(&[("swap", bytes(0)), ("pids", Value::Count(Count::Number(0)))]),
            1,
        )
        .unwrap();
        assert_eq!(limits.swap.map(|limit| limit.value), Some(0));
        assert_eq!(limits.pids.map(|limit| limit.value), Some(0));
    }

    #[test]
    fn a_later_hard_limit_leaves_a_higher_soft_one_without_effect() {
        let mut policy = policy(&[("memory", bytes(1)), ("memory-soft", bytes(2))]);
        let memory = (Section::Limits, "memory".to_owned());
        policy.rules.get_mut(&memory).unwrap().layer = 1;
        let limits = Limits::of(&policy, 1).unwrap();
        assert_eq!(limits.memory_soft, None);
        assert_eq!(limits.yielded.map(|limit| limit.value), Some(2));
    }

    #[test]
    fn contradictions_are_found_with_both_places() {
        let soft = Limits::of(
            &policy(&[("memory", bytes(1)), ("memory-soft", bytes(2))]),
            1,
        )
        .unwrap_err();
        assert_eq!(soft.len(), 1);
        assert_eq!(soft[0].primary.as_ref().unwrap().site.start, 1);
        assert_eq!(soft[0].related[0].site.start, 0);

        let sum = Limits::of(
            &policy(&[("memory", bytes(1 << 62)), ("swap", bytes(1 << 62))]),
            1,
        )
        .unwrap_err();
        assert_eq!(sum[0].message, "`memory` and `swap` are too much together");

        let huge = Limits::of(&policy(&[("memory", bytes(1 << 63))]), 1).unwrap_err();
        assert_eq!(huge[0].message, "`memory` is too large");
    }

    #[test]
    fn cpu_time_that_no_kernel_can_deal_out_is_refused() {
        for share in [0, 9, MOST_CPU + 1, u64::MAX] {
            let wrong = Limits::of(&policy(&[("cpu", Value::Cpu(Cpu::Share(share)))]), 1);
            assert!(wrong.is_err(), "{share}");
        }
        for share in [10, 10_000, MOST_CPU] {
            let right = Limits::of(&policy(&[("cpu", Value::Cpu(Cpu::Share(share)))]), 1);
            assert!(right.is_ok(), "{share}");
        }
    }
}
