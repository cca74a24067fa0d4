//! Whether it is the host that is short of memory when its pressure says so.
//!
//! Pressure of the host (PSI) is that of everybody in it, ours too: the time that we spend on reclaiming from the group, and
//! the time that its program then waits for pages that were taken, count as stalls. Were that taken for a shortage, one
//! moment of it would go on for ever: pushing back would be the reason to push back again. So what we and the group
//! caused is left out, unless hardly any memory is left.

use std::time::Duration;

use super::directories::Directories;
use crate::kernel::cgroup::Directory;

/// What was counted when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Microseconds in which somebody on the host waited for memory.
    host: u64,
    /// The same of our group.
    own: u64,
    /// What we spent on reclaiming since then.
    spent: Duration,
}

/// Less than this part of the RAM can be had: the host is short of memory, whoever waits.
const LITTLE: u64 = 10;
/// Stalls of others since the last look that count as a shortage. The trigger itself is 150 ms within 2 s.
const STALLED: u64 = 100_000;

impl Shortage {
    /// What is counted now, to which later counts are compared.
    pub fn new(directories: &Directories) -> Self {
        let mut shortage = Self::default();
        shortage.count(directories);
        shortage
    }

    /// So much time went into reclaiming.
    pub fn spent(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Whether others than the group are short of memory. To be asked when the trigger has fired.
    pub fn is_real(&mut self, directories: &Directories) -> bool {
        let stalled = self.count(directories);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        is_short(stalled, &memory)
    }

    /// Microseconds since the last time in which others waited.
    fn count(&mut self, directories: &Directories) -> u64 {
        let host = std::fs::read_to_string("/proc/pressure/memory");
        let host = host.ok().and_then(|text| total(&text)).unwrap_or(0);
        let own = directories.of("memory").and_then(|(_, group)| of(group));
        let own = own.unwrap_or(0);
        let spent = u64::try_from(self.spent.as_micros()).unwrap_or(u64::MAX);
        let stalled = host
            .saturating_sub(self.host)
            .saturating_sub(own.saturating_sub(self.own))
            .saturating_sub(spent);
        *self = Self {
            host,
            own,
            spent: Duration::ZERO,
        };
        stalled
    }
}

fn of(group: &Directory) -> Option<u64> {
    total(&group.read("memory.pressure").ok()?)
}

/// `total` of the line `some`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("total="))?;
    value.parse().ok()
}

/// A number of /proc/meminfo.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim_start_matches(':')
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn is_short(stalled: u64, memory: &str) -> bool {
    let of_ram = |name| {
        let total = kibibytes(memory, "MemTotal")?;
        Some(kibibytes(memory, name)? < total / LITTLE)
    };
    // The page cache takes all that is free, so that little of it means nothing by itself; much of it means something.
    match (of_ram("MemAvailable"), of_ram("MemFree")) {
        (Some(true), _) => true,
        (_, Some(false)) => false,
        _ => stalled >= STALLED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meminfo(free: u64, available: u64) -> String {
        format!("MemTotal:     1000 kB\nMemFree:  {free} kB\nMemAvailable:  {available} kB\n")
    }

    #[test]
    fn a_shortage_is_that_of_others_or_of_everybody() {
        for (stalled, free, available, short) in [
            (0, 20, 50, true),          // next to nothing is left
            (2_000_000, 20, 50, true),  //
            (2_000_000, 20, 600, true), // others wait for their page cache
            (50_000, 20, 600, false),   // only we do
            (2_000_000, 500, 700, false),
            (0, 500, 700, false),
        ] {
            let case = format!("{stalled} {free} {available}");
            assert_eq!(
                is_short(stalled, &meminfo(free, available)),
                short,
                "{case}"
            );
        }
        assert!(is_short(STALLED, "") && !is_short(0, ""));
    }

    #[test]
    fn the_total_is_that_of_some() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=4711\nfull avg10=0.00 total=9\n";
        assert_eq!(total(text), Some(4711));
        assert_eq!(total("full avg10=0.00 total=9\n"), None);
    }
}
