//! Limits that contradict each other, and values that no kernel takes.

use super::{Amount, Limits};
use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Cpu, exact_bytes};
use crate::report::{Diagnostic, Diagnostics, Site};

/// The largest number of bytes that the kernel's counters hold.
const MOST_BYTES: u64 = i64::MAX as u64;
/// The least CPU time that the kernel can deal out: 1 ms (its shortest quota) in every second (its longest period).
const LEAST_CPU: u64 = 10;
/// The most: the kernel counts the quota of a period of 100 ms in 44 bits of microseconds.
pub(super) const MOST_CPU: u64 = ((1 << 44) - 1) / 10;
/// The shortest period and the shortest quota, in microseconds.
const SHORTEST: u64 = 1_000;
/// The longest period, in microseconds.
const LONGEST: u64 = 1_000_000;

/// Limits of memory: the first must not be above the second, or it would be as the third word says.
const NOT_ABOVE: &[(&str, &str, &str)] = &[
    ("memory-soft", "memory", "would never be reached"),
    ("memory-high", "memory", "would never be reached"),
    ("memory-low", "memory", "would never be reached"),
    ("memory-min", "memory", "would never be reached"),
    ("memory-soft", "memory-high", "would never be reached"),
    (
        "memory-min",
        "memory-low",
        "leaves `memory-low` without effect",
    ),
];

const SIZES: &[&str] = &[
    "memory",
    "swap",
    "memory-soft",
    "memory-high",
    "memory-low",
    "memory-min",
    "zswap",
];

impl Limits {
    /// Everything that is wrong.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), Diagnostics> {
        let mut wrong = Vec::new();
        self.check_order(&mut wrong);
        self.check_sizes(&mut wrong);
        self.check_soft_mode(policy, &mut wrong);
        self.check_cpu(policy, &mut wrong);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn check_order(&self, wrong: &mut Diagnostics) {
        for &(key, bound, label) in NOT_ABOVE {
            // What `memory-soft` becomes `memory-high` is told once.
            if let (Some(limit), Some(most)) = (self.number(key), self.number(bound))
                && limit.value > most.value
                && !(bound == "memory-high" && self.soft_mode() != "pressure")
            {
                wrong.push(
                    Diagnostic::error(
                        format!(
                            "`{key}` ({}) is more than `{bound}` ({})",
                            exact_bytes(limit.value),
                            exact_bytes(most.value)
                        ),
                        limit.site,
                        label,
                    )
                    .related(
                        most.site,
                        match bound {
                            "memory" => "the hard limit",
                            _ => "the other one",
                        },
                    ),
                );
            }
        }
    }

    fn check_sizes(&self, wrong: &mut Diagnostics) {
        let sizes = self
            .held
            .iter()
            .filter(|(key, _)| SIZES.contains(&key.as_str()) || key.starts_with("huge-pages-"));
        for (key, limit) in sizes {
            if matches!(limit.value, Amount::Number(bytes) if bytes > MOST_BYTES) {
                wrong.push(
                    Diagnostic::error(
                        format!("`{key}` is too large"),
                        limit.site,
                        "does not fit into 63 bits",
                    )
                    .help("`\"max\"` is no limit"),
                );
            }
        }
        if let (Some(memory), Some(swap)) = (self.number("memory"), self.number("swap"))
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
    }

    fn check_soft_mode(&self, policy: &Policy, wrong: &mut Diagnostics) {
        let Some(mode) = self.get("memory-soft-mode") else {
            return;
        };
        if policy.get(Section::Limits, "memory-soft").is_none() {
            wrong.push(lonely("memory-soft-mode", "memory-soft", mode.site));
            return;
        }
        let twin = match self.soft_mode() {
            "throttle" => "memory-high",
            "protect" => "memory-low",
            _ => return,
        };
        if let (Some(soft), Some(other)) = (self.get("memory-soft"), self.get(twin)) {
            wrong.push(
                Diagnostic::error(
                    format!(
                        "`memory-soft` with `memory-soft-mode = \"{}\"` is `{twin}`, which is said too",
                        self.soft_mode()
                    ),
                    soft.site,
                    "said here",
                )
                .related(mode.site, "what it means")
                .related(other.site, "and here")
                .help(format!("leave one of them out; the file is `{}` for both", twin.replace('-', "."))),
            );
        }
    }

    fn check_cpu(&self, policy: &Policy, wrong: &mut Diagnostics) {
        let cpu = self.number("cpu");
        if let Some(cpu) = &cpu
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
            return;
        }
        let said = policy.get(Section::Limits, "cpu").is_some();
        if let Some(period) = self.number("cpu-period") {
            self.check_period(&period, cpu.as_ref(), said, wrong);
        }
        if let Some(burst) = self.number("cpu-burst") {
            let Some(cpu) = cpu else {
                wrong.push(lonely("cpu-burst", "cpu", burst.site));
                return;
            };
            let (quota, _) = self.quota().unwrap_or_default();
            if burst.value > quota {
                wrong.push(
                    Diagnostic::error(
                        format!(
                            "`cpu-burst` ({}) is more than `cpu` gives in one period ({})",
                            microseconds(burst.value),
                            microseconds(quota)
                        ),
                        burst.site,
                        "the kernel refuses it",
                    )
                    .related(cpu.site, format!("{} of a CPU", Cpu::Share(cpu.value))),
                );
            }
        }
    }

    fn check_period(
        &self,
        period: &Traced<u64>,
        cpu: Option<&Traced<u64>>,
        said: bool,
        wrong: &mut Diagnostics,
    ) {
        if !(SHORTEST..=LONGEST).contains(&period.value) {
            wrong.push(Diagnostic::error(
                format!("`cpu-period` is {}", microseconds(period.value)),
                period.site,
                "the kernel takes 1ms to 1s",
            ));
            return;
        }
        let Some(cpu) = cpu else {
            if !said {
                wrong.push(lonely("cpu-period", "cpu", period.site));
            }
            return;
        };
        let (quota, _) = self.quota().unwrap_or_default();
        if quota < SHORTEST {
            wrong.push(
                Diagnostic::error(
                    format!(
                        "{} of a CPU is {quota} µs in each `cpu-period` of {}",
                        Cpu::Share(cpu.value),
                        microseconds(period.value)
                    ),
                    period.site,
                    "the kernel deals out 1 ms at least",
                )
                .related(cpu.site, "`cpu` is said here")
                .help("take a longer period"),
            );
        }
    }

    /// Quota and period of `cpu` in microseconds.
    pub(super) fn quota(&self) -> Option<(u64, u64)> {
        let share = self.number("cpu")?.value;
        Some(match self.number("cpu-period") {
            Some(period) => (
                u64::try_from(u128::from(share) * u128::from(period.value) / 10_000)
                    .unwrap_or(u64::MAX),
                period.value,
            ),
            None => super::writes::quota(share),
        })
    }
}

fn lonely(key: &str, other: &str, site: Site) -> Diagnostic {
    Diagnostic::error(
        format!("`{key}` needs `{other}`"),
        site,
        "means nothing by itself",
    )
    .help(format!(
        "set `limits.{other}` too, or write `{key} = \"inherit\"`"
    ))
}

fn microseconds(time: u64) -> String {
    match time {
        time if time.is_multiple_of(1_000_000) && time > 0 => format!("{}s", time / 1_000_000),
        time if time.is_multiple_of(1_000) => format!("{}ms", time / 1_000),
        time => format!("{time}µs"),
    }
}
