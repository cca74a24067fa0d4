//! The limits of a run as people know them: how much, who said so, and how to raise it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::flag::Flag;
use crate::plan::{Action, Plan};
use crate::profile::value::{Cpu, exact_bytes, human_bytes};
use crate::profile::write;
use crate::report::{Position, Site, SourceKind, SourceMap, escape};
use crate::section::limits::{GroupPlan, Version, Way};

/// How much a limit allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    Bytes(u64),
    Count(u64),
    /// Hundredths of a percent of one CPU.
    Share(u64),
    Time(Duration),
    /// As it was said.
    Other(String),
}

/// To or from a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// One limit, with all that was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// `memory`, `pids`, …; `timeout` is the one that is no key of `[limits]`.
    pub key: String,
    pub amount: Amount,
    /// Files of the group, and what was written to each.
    pub writes: Vec<(String, String)>,
    pub place: Option<Position>,
    said: Said,
}

/// Who said it, as far as that decides how to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    OnCommandLine,
    /// In a file that its reader may change.
    InOwnFile,
    /// In a profile of the program's or the administrator's; the profile's name.
    InForeignProfile(String),
}

/// What [`Limit::raise`] needs to know about who reads it.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// The one profile of the library that was asked for.
    pub profile: Option<String>,
    /// The caller's own directory of profiles, as it is shown.
    pub directory: Option<PathBuf>,
    /// Whether a file may be changed by the caller, and is meant to be.
    pub may_change: Option<fn(&Path) -> bool>,
}

impl Amount {
    /// For people: `3.0 GiB`, `512`, `150%`.
    pub fn words(&self) -> String {
        match self {
            Self::Bytes(bytes) => human_bytes(*bytes),
            Self::Count(count) => count.to_string(),
            Self::Share(share) => Cpu::Share(*share).to_string(),
            Self::Time(time) => format!("{} s", time.as_secs_f64()),
            Self::Other(text) => escape::line(text).into_owned(),
        }
    }

    /// As a value of a profile: `3G`, `512`, `150%`.
    pub fn value(&self) -> String {
        match self {
            Self::Bytes(bytes) => exact_bytes(*bytes),
            Self::Time(time) => match time.subsec_millis() {
                0 => format!("{}s", time.as_secs()),
                _ => format!("{}ms", time.as_millis()),
            },
            other => other.words(),
        }
    }

    pub fn number(&self) -> Option<u64> {
        match *self {
            Self::Bytes(number) | Self::Count(number) | Self::Share(number) => Some(number),
            Self::Time(_) | Self::Other(_) => None,
        }
    }

    /// A value to try next: about twice as much, in few digits.
    fn more(&self) -> Option<String> {
        let twice = |number: u64| number.max(1).saturating_mul(2);
        Some(match *self {
            Self::Bytes(bytes) => {
                let wanted = twice(bytes).max(1 << 20);
                let unit = if wanted >= 4 << 30 { 1 << 30 } else { 1 << 20 };
                exact_bytes(wanted.div_ceil(unit).saturating_mul(unit))
            }
            Self::Count(count) => twice(count).to_string(),
            Self::Share(share) => Cpu::Share(twice(share)).to_string(),
            Self::Time(time) => Self::Time(time.saturating_mul(2)).value(),
            Self::Other(_) => return None,
        })
    }
}

impl Limit {
    /// All limits of a plan's group, in the order in which they are written, and the timeout.
    pub(super) fn all(plan: &Plan, sources: &SourceMap, reader: &Reader) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for step in &plan.steps {
            match &step.action {
                Action::EnterGroup(group) => {
                    for write in &group.writes {
                        let pair = (write.file.clone(), write.value.clone());
                        match all.iter_mut().find(|limit| limit.key == write.key) {
                            Some(limit) => limit.writes.push(pair),
                            None => {
                                let mut limit = Self::said(&write.key, write.site, sources, reader);
                                limit.writes.push(pair);
                                all.push(limit);
                            }
                        }
                    }
                    if let Some(soft) = &group.soft {
                        let mut limit = Self::said("memory-soft", soft.site, sources, reader);
                        limit.amount = Amount::Bytes(soft.bytes);
                        all.push(limit);
                    }
                    let is_v1 = |controller: &str| version(group, controller) == Version::V1;
                    let memory = all
                        .iter()
                        .find(|limit| limit.key == "memory")
                        .and_then(|limit| limit.writes.first()?.1.parse::<u64>().ok());
                    for limit in &mut all {
                        limit.measure(memory.filter(|_| is_v1("memory")));
                    }
                }
                Action::Timeout { after } => {
                    let mut limit = Self::said("timeout", step.site, sources, reader);
                    limit.amount = Amount::Time(*after);
                    all.push(limit);
                }
                _ => {}
            }
        }
        all
    }

    fn said(key: &str, site: Site, sources: &SourceMap, reader: &Reader) -> Self {
        let source = sources.get(site.source);
        let may_change = |path: &Path| reader.may_change.is_none_or(|may| may(path));
        let said = match &source.kind {
            SourceKind::File(path) if may_change(path) => Said::InOwnFile,
            SourceKind::CommandLine | SourceKind::Default => Said::OnCommandLine,
            SourceKind::File(_) | SourceKind::Embedded => {
                // What was asked for is the narrowest profile that says it for this program alone.
                let stem = Path::new(source.name.rsplit([':', '/']).next().unwrap_or_default())
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                    .unwrap_or_default();
                Said::InForeignProfile(reader.profile.clone().unwrap_or(stem))
            }
        };
        Self {
            key: key.to_owned(),
            amount: Amount::Other(sources.text(site).trim_matches('"').to_owned()),
            writes: Vec::new(),
            place: (!site.is_default()).then(|| sources.position(site)),
            said,
        }
    }

    /// Takes the amount from what is written; `sum_with` is the memory that v1 counts into `swap`.
    fn measure(&mut self, sum_with: Option<u64>) {
        let first = self.writes.first().map(|(_, value)| value.as_str());
        let number = || first?.parse::<u64>().ok();
        let amount = match self.key.as_str() {
            "memory" | "memory-soft" | "memory-high" | "memory-low" | "memory-min" => {
                number().map(Amount::Bytes)
            }
            "swap" => {
                number().map(|bytes| Amount::Bytes(bytes.saturating_sub(sum_with.unwrap_or(0))))
            }
            "pids" => number().map(Amount::Count),
            "cpu" => self.share().map(Amount::Share),
            _ => None,
        };
        if let Some(amount) = amount {
            self.amount = amount;
        }
    }

    /// The CPU quota that was written: two files on v1, one on v2.
    fn share(&self) -> Option<u64> {
        let written = |file: &str| {
            let (_, value) = self.writes.iter().find(|(name, _)| name == file)?;
            Some(value.as_str())
        };
        let (quota, period) = match written("cpu.max") {
            Some(both) => both.split_once(' ')?,
            None => (written("cpu.cfs_quota_us")?, written("cpu.cfs_period_us")?),
        };
        let quota: u64 = quota.parse().ok()?;
        quota
            .saturating_mul(10_000)
            .checked_div(period.parse().ok()?)
    }

    /// The least rate a second that is written for a direction, of all disks.
    pub fn rate(&self, direction: Direction) -> Option<u64> {
        let (name, file) = match direction {
            Direction::Read => ("rbps=", "blkio.throttle.read_bps_device"),
            Direction::Write => ("wbps=", "blkio.throttle.write_bps_device"),
        };
        let rates = self.writes.iter().filter_map(|(written, value)| {
            let mut words = value.split(' ');
            let number = match written.as_str() {
                "io.max" => words.find_map(|word| word.strip_prefix(name))?,
                _ if written == file => words.nth(1)?,
                _ => return None,
            };
            number.parse().ok()
        });
        rates.min()
    }

    /// `limits.memory, FILE:2:10`: how every message names it.
    pub fn cited(&self) -> String {
        match &self.place {
            Some(place) => format!("{}, {place}", self.full_key()),
            None => self.full_key(),
        }
    }

    pub fn full_key(&self) -> String {
        format!("{}.{}", self.section(), escape::line(&self.key))
    }

    /// As `--set` takes it.
    fn typed_key(&self) -> String {
        format!("{}.{}", self.section(), write::key(&self.key))
    }

    fn section(&self) -> &'static str {
        match self.key.as_str() {
            "timeout" => "process",
            _ => "limits",
        }
    }

    /// How to allow more: an option for the next run, and what to write where for all.
    pub fn raise(&self, reader: &Reader) -> Vec<String> {
        let more = self.amount.more();
        let flag = Flag::ALL
            .into_iter()
            .find(|flag| flag.name() == self.key && self.key != "set");
        let mut ways = vec![match (flag, &more) {
            (Some(flag), Some(more)) => format!("--{} {more}", flag.name()),
            (Some(flag), None) => format!("--{} VALUE", flag.name()),
            (None, more) => {
                let more = more.as_deref().unwrap_or("VALUE");
                let key = self.typed_key();
                match key == self.full_key() {
                    true => format!("--set {key}={more}"),
                    false => format!("--set '{key}={more}'"),
                }
            }
        }];
        let key = write::key(&self.key);
        let line = match (&self.amount, &more) {
            (Amount::Count(_), Some(more)) => format!("{key} = {more}"),
            (_, Some(more)) => format!("{key} = \"{more}\""),
            (_, None) => format!("{key} = …"),
        };
        match &self.said {
            Said::OnCommandLine => {}
            Said::InOwnFile => {
                if let Some(place) = &self.place {
                    let name = escape::line(&place.name);
                    ways.push(format!("`{line}` in line {} of {name}", place.line));
                }
            }
            Said::InForeignProfile(profile) => {
                if let Some(directory) = &reader.directory {
                    let file = directory.join(format!("{profile}.d/limits.toml"));
                    let file = escape::os(file.as_os_str());
                    ways.push(format!("`{line}` in [{}] of {file}", self.section()));
                }
            }
        }
        ways
    }
}

fn version(group: &GroupPlan, controller: &str) -> Version {
    match &group.way {
        Way::Direct { places } => places
            .iter()
            .find(|place| place.controllers.contains(controller))
            .map_or(Version::V2, |place| place.version),
        Way::Scope { .. } => Version::V2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_found_in_what_is_written() {
        let limit = |writes: &[(&str, &str)]| Limit {
            key: "/".to_owned(),
            amount: Amount::Other(String::new()),
            writes: writes
                .iter()
                .map(|(file, value)| ((*file).to_owned(), (*value).to_owned()))
                .collect(),
            place: None,
            said: Said::InOwnFile,
        };
        let v2 = limit(&[
            ("io.max", "8:0 rbps=20 wbps=10 wiops=200"),
            ("io.max", "8:16 wbps=7"),
        ]);
        assert_eq!(v2.rate(Direction::Read), Some(20));
        assert_eq!(v2.rate(Direction::Write), Some(7));
        let v1 = limit(&[("blkio.throttle.write_bps_device", "8:0 10")]);
        assert_eq!(v1.rate(Direction::Read), None);
        assert_eq!(v1.rate(Direction::Write), Some(10));
    }

    #[test]
    fn what_to_try_next_is_about_twice_as_much_and_easily_typed() {
        for (amount, more) in [
            (Amount::Bytes(48 << 20), "96M"),
            (Amount::Bytes(3 << 30), "6G"),
            (Amount::Bytes(6_318_804_992), "12G"),
            (Amount::Bytes(25_000_000), "48M"),
            (Amount::Bytes(0), "1M"),
            (Amount::Count(10), "20"),
            (Amount::Count(0), "2"),
            (Amount::Share(1_000), "20%"),
            (Amount::Time(Duration::from_secs(60)), "120s"),
            (Amount::Time(Duration::from_millis(250)), "500ms"),
        ] {
            assert_eq!(amount.more().as_deref(), Some(more), "{amount:?}");
        }
        assert_eq!(Amount::Other("x".to_owned()).more(), None);
    }
}
