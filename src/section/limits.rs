//! `[limits]`: what a control group is to hold. Which group that is on this host: [`lower()`]; what is written to it:
//! [`writes`]; how each key is held: [`control`].
//!
//! The keys that are limits of each process are in [`super::rlimits`].

mod check;
pub mod control;
pub mod lower;
pub mod plan;
pub mod want;
pub mod writes;

use std::collections::BTreeMap;

use crate::host::facts::cgroup::Disk;
use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Count, Cpu, Ranges, Rates, Size, Value};
use crate::report::Diagnostics;

pub use control::{CONTROLS, Control, is_held_by_group};
pub use lower::{Lowered, Refusal, lower};
pub use plan::{DeviceLimit, DeviceRule, GroupPlan, LimitWrite, Place, SoftLimit, Version, Way};
pub use want::wanted;

/// How much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes, things, hundredths of a percent of one CPU, a weight, or microseconds, as the key says.
    Number(u64),
    /// As much as there is: only where a limit that holds is to be taken back ([`Limits::change`]).
    Max,
    /// One of the key's words.
    Word(&'static str),
    /// Yes or no.
    Flag(bool),
    /// CPUs or memory nodes.
    Ranges(Ranges),
    /// Rates of a block device.
    Rates(Rates),
}

/// What the program and all its children may use together, by the keys of `[limits]`. A key that is not there is no limit,
/// as is `"max"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    held: BTreeMap<String, Traced<Amount>>,
    /// Limits that a later layer's smaller `memory` leaves without effect, with their keys.
    pub yielded: Vec<(String, Traced<u64>)>,
    /// On which disks the paths lie, as far as that is known.
    disks: BTreeMap<String, Disk>,
}

impl Limits {
    /// What the policy says, with parts of the RAM turned into bytes (rounded down); `ram` is this host's, in bytes.
    ///
    /// # Errors
    /// Limits that contradict each other, and values that no kernel takes.
    pub fn of(policy: &Policy, ram: u64) -> Result<Self, Diagnostics> {
        let mut limits = Self::read(policy, ram);
        limits
            .held
            .retain(|key, limit| !is_default(key, &limit.value));
        limits.yield_to_memory(policy);
        limits.check(policy)?;
        Ok(limits)
    }

    /// The same for limits that are to change in a group that runs: what is no limit any more is there as
    /// [`Amount::Max`], or as the word for it.
    ///
    /// # Errors
    /// Limits that contradict each other, and values that no kernel takes.
    pub fn change(policy: &Policy, ram: u64) -> Result<Self, Diagnostics> {
        let limits = Self::read(policy, ram);
        limits.check(policy)?;
        Ok(limits)
    }

    fn read(policy: &Policy, ram: u64) -> Self {
        let held = policy
            .section(Section::Limits)
            .filter(|(key, ..)| is_held_by_group(key))
            .filter_map(|(key, value, rule)| {
                let amount = amount(value, ram)?;
                Some((key.to_owned(), Traced::new(amount, rule.site)))
            });
        Self {
            held: held.collect(),
            ..Self::default()
        }
    }

    /// With one more limit.
    #[must_use]
    pub fn with(mut self, key: &str, limit: Traced<Amount>) -> Self {
        self.held.insert(key.to_owned(), limit);
        self
    }

    /// With one more limit that is a number and that nobody asked for.
    #[must_use]
    pub fn with_number(self, key: &str, number: u64) -> Self {
        self.with(key, Traced::default_value(Amount::Number(number)))
    }

    /// One of each, small enough to be valid anywhere: for the question what a host can hold.
    #[must_use]
    pub fn sample() -> Self {
        let some = CONTROLS.iter().map(|control| {
            let (key, amount) = match control.label() {
                "cpus" | "memory-nodes" => (control.label(), Amount::Ranges(Ranges(vec![(0, 0)]))),
                "memory" | "swap" => (control.label(), Amount::Number(1 << 30)),
                "memory-soft" | "memory-high" | "memory-low" | "memory-min" | "zswap" => {
                    (control.label(), Amount::Number(1 << 29))
                }
                "oom-group" | "perf-event" => (control.label(), Amount::Flag(true)),
                "zswap-writeback" => (control.label(), Amount::Flag(false)),
                "cpu" => ("cpu", Amount::Number(10_000)),
                "devices" => ("devices", Amount::Word("listed")),
                "PATH" => {
                    let rates = Rates {
                        read: Some(1 << 20),
                        ..Rates::default()
                    };
                    ("/", Amount::Rates(rates))
                }
                "huge-pages-SIZE" => ("huge-pages-2MB", Amount::Number(1 << 21)),
                "net-priority-INTERFACE" => ("net-priority-lo", Amount::Number(1)),
                label => (label, Amount::Number(100)),
            };
            (key.to_owned(), Traced::default_value(amount))
        });
        Self {
            held: some.collect(),
            ..Self::default()
        }
    }

    /// Whether there is anything that a control group must hold.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The limits in the order of [`CONTROLS`], with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'static Control, &Traced<Amount>)> {
        CONTROLS.iter().flat_map(move |control| {
            let of = move |(key, limit): (&'_ String, _)| control.end(key).map(|_| limit);
            self.held
                .iter()
                .filter(move |(key, limit)| of((key, *limit)).is_some())
                .map(move |(key, limit)| (key.as_str(), control, limit))
        })
    }

    /// The limit of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Traced<Amount>> {
        self.held.get(key)
    }

    /// The limit of that key, when it is a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<Traced<u64>> {
        let limit = self.held.get(key)?;
        match limit.value {
            Amount::Number(number) => Some(Traced::new(number, limit.site)),
            _ => None,
        }
    }

    /// What `memory-soft` means.
    #[must_use]
    pub fn soft_mode(&self) -> &'static str {
        match self.held.get("memory-soft-mode").map(|mode| &mode.value) {
            Some(Amount::Word(word)) => word,
            _ => "pressure",
        }
    }

    /// Says on which disks the paths among the keys lie; those that are not told hold nothing.
    pub fn locate(&mut self, disks: &BTreeMap<String, Result<Disk, String>>) {
        let known = disks.iter();
        self.disks = known
            .filter_map(|(key, disk)| Some((key.clone(), *disk.as_ref().ok()?)))
            .collect();
    }

    /// Drops the limit of that key, and what only says how it is meant.
    pub fn forget(&mut self, key: &str) {
        self.held.remove(key);
        for (modifier, _) in control::MODIFIERS.iter().filter(|(_, of)| *of == key) {
            self.held.remove(*modifier);
        }
    }

    /// Somebody lowered the hard limit of an extended profile below other limits, which are then never reached.
    fn yield_to_memory(&mut self, policy: &Policy) {
        let layer = |key: &str| {
            let rule = policy.rules.get(Section::Limits, key);
            rule.map(|rule| rule.layer)
        };
        let Some(memory) = self.number("memory") else {
            return;
        };
        for key in ["memory-soft", "memory-high", "memory-low", "memory-min"] {
            if let Some(limit) = self.number(key)
                && limit.value > memory.value
                && layer(key) < layer("memory")
            {
                self.forget(key);
                self.yielded.push((key.to_owned(), limit));
            }
        }
    }
}

/// A value of a profile as an amount.
fn amount(value: &Value, ram: u64) -> Option<Amount> {
    Some(match value {
        Value::Size(Size::Bytes(bytes)) => Amount::Number(*bytes),
        Value::Size(Size::OfRam(part)) => {
            let bytes = u128::from(ram) * u128::from(*part) / 10_000;
            Amount::Number(u64::try_from(bytes).unwrap_or(u64::MAX))
        }
        Value::Count(Count::Number(number)) => Amount::Number(*number),
        Value::Cpu(Cpu::Share(share)) => Amount::Number(*share),
        Value::Size(Size::Max) | Value::Count(Count::Max) | Value::Cpu(Cpu::Max) => Amount::Max,
        Value::Integer(number) => Amount::Number(u64::try_from(*number).ok()?),
        Value::Duration(time) => {
            Amount::Number(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        }
        Value::Bool(on) => Amount::Flag(*on),
        Value::Word(word) => Amount::Word(word),
        Value::Ranges(ranges) => Amount::Ranges(ranges.clone()),
        Value::Rates(rates) => Amount::Rates(*rates),
        _ => return None,
    })
}

/// Whether a fresh group is so anyway.
fn is_default(key: &str, amount: &Amount) -> bool {
    match amount {
        Amount::Max => true,
        Amount::Flag(on) => *on == (key == "zswap-writeback"),
        Amount::Word(word) => *word == "any",
        Amount::Rates(rates) => *rates == Rates::default(),
        Amount::Number(number) => *number == 0 && matches!(key, "memory-low" | "memory-min"),
        Amount::Ranges(_) => false,
    }
}

#[cfg(test)]
#[path = "limits/tests.rs"]
pub(crate) mod tests;
