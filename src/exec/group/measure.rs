//! What a group has used, and what it uses now, read from the files of its directories.

use serde::Serialize;

use super::directories::Directories;
use crate::kernel::cgroup::{Directory, field};
use crate::section::limits::Version;

/// What the group has used, as far as this kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The most bytes of memory at a time.
    pub memory_peak: Option<u64>,
    /// The most bytes of swap at a time (v2, Linux 6.5).
    pub swap_peak: Option<u64>,
    /// Processes that the kernel killed at the memory limit.
    pub oom_kills: Option<u64>,
    /// The most processes and threads at a time.
    pub pids_peak: Option<u64>,
    /// Forks refused at the limit.
    pub pids_refused: Option<u64>,
    /// CPU time in microseconds.
    pub cpu_usec: Option<u64>,
    /// Of it in the program's own code, in microseconds.
    pub user_usec: Option<u64>,
    /// Of it in the kernel, in microseconds.
    pub system_usec: Option<u64>,
    /// Times that the group was held back at its CPU quota.
    pub throttled: Option<u64>,
    /// Time for which the group was held back at its CPU quota, in microseconds.
    pub throttled_usec: Option<u64>,
    /// Times that the memory limit was reached, also where reclaiming helped.
    pub memory_limit_hits: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
    /// Reads from block devices.
    pub io_reads: Option<u64>,
    /// Writes to block devices.
    pub io_writes: Option<u64>,
}

/// What the group uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Current {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of swap.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Whether it is frozen, or about to be.
    pub frozen: bool,
    /// How much its processes wait (v2).
    pub pressure: Pressure,
}

/// The share of the last ten seconds in which at least one process waited, in hundredths of a percent (PSI; kernel document
/// accounting/psi). None on v1 and where the kernel does not measure it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// For memory.
    pub memory: Option<u32>,
    /// For a CPU.
    pub cpu: Option<u32>,
    /// For a block device.
    pub io: Option<u32>,
}

impl Directories {
    /// What the group has used until now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.measure_memory(&mut usage);
        if let Some((_, pids)) = self.of("pids") {
            usage.pids_peak = pids.number("pids.peak");
            usage.pids_refused = pids.field("pids.events", "max");
        }
        self.measure_cpu(&mut usage);
        self.measure_io(&mut usage);
        usage
    }

    fn measure_memory(&self, usage: &mut Usage) {
        match self.of("memory") {
            Some((Version::V1, memory)) => {
                usage.memory_peak = memory.number("memory.max_usage_in_bytes");
                usage.memory_limit_hits = memory.number("memory.failcnt");
                usage.oom_kills = memory.field("memory.oom_control", "oom_kill");
            }
            Some((Version::V2, memory)) => {
                usage.memory_peak = memory.number("memory.peak");
                usage.swap_peak = memory.number("memory.swap.peak");
                let events = memory.read("memory.events").unwrap_or_default();
                usage.memory_limit_hits = field(&events, "max");
                usage.oom_kills = field(&events, "oom_kill");
            }
            None => {}
        }
    }

    fn measure_cpu(&self, usage: &mut Usage) {
        let usec = |nanoseconds: u64| nanoseconds / 1000;
        if let Some((Version::V1, cpuacct)) = self.of("cpuacct") {
            usage.cpu_usec = cpuacct.number("cpuacct.usage").map(usec);
            let user = cpuacct.number("cpuacct.usage_user").map(usec);
            let system = cpuacct.number("cpuacct.usage_sys").map(usec);
            if let (Some(all), Some(user), Some(system)) = (usage.cpu_usec, user, system) {
                let user = share_of(all, user, system);
                usage.user_usec = Some(user);
                usage.system_usec = Some(all - user);
            }
        }
        if let Some((Version::V1, cpu)) = self.of("cpu") {
            let stat = cpu.read("cpu.stat").unwrap_or_default();
            usage.throttled = field(&stat, "nr_throttled");
            usage.throttled_usec = field(&stat, "throttled_time").map(usec);
        }
        if let Some(unified) = self.unified()
            && self.of("cpuacct").is_none()
        {
            // Without the controller the file is there too, with the time alone.
            let stat = unified.read("cpu.stat").unwrap_or_default();
            usage.cpu_usec = field(&stat, "usage_usec");
            usage.user_usec = field(&stat, "user_usec");
            usage.system_usec = field(&stat, "system_usec");
            usage.throttled = usage.throttled.or(field(&stat, "nr_throttled"));
            usage.throttled_usec = usage.throttled_usec.or(field(&stat, "throttled_usec"));
        }
    }

    fn measure_io(&self, usage: &mut Usage) {
        if let Some((Version::V1, blkio)) = self.of("blkio") {
            let [bytes, calls] = [
                "blkio.throttle.io_service_bytes_recursive",
                "blkio.throttle.io_serviced_recursive",
            ]
            .map(|file| blkio.read(file).ok());
            usage.io_read_bytes = bytes.as_deref().map(|text| operations(text, "Read"));
            usage.io_write_bytes = bytes.as_deref().map(|text| operations(text, "Write"));
            usage.io_reads = calls.as_deref().map(|text| operations(text, "Read"));
            usage.io_writes = calls.as_deref().map(|text| operations(text, "Write"));
        } else if let Some((Version::V2, io)) = self.of("io") {
            let stat = io.read("io.stat").ok();
            let sum = |name: &str| stat.as_deref().map(|text| pairs(text, name));
            usage.io_read_bytes = sum("rbytes");
            usage.io_write_bytes = sum("wbytes");
            usage.io_reads = sum("rios");
            usage.io_writes = sum("wios");
        }
    }

    /// What the group uses now.
    #[must_use]
    pub fn current(&self) -> Current {
        let mut current = Current::default();
        match self.of("memory") {
            Some((Version::V1, memory)) => {
                current.memory = memory.number("memory.usage_in_bytes");
                let both = memory.number("memory.memsw.usage_in_bytes");
                current.swap = both
                    .zip(current.memory)
                    .map(|(both, memory)| both.saturating_sub(memory));
            }
            Some((Version::V2, memory)) => {
                current.memory = memory.number("memory.current");
                current.swap = memory.number("memory.swap.current");
            }
            None => {}
        }
        current.pids = self
            .of("pids")
            .and_then(|(_, pids)| pids.number("pids.current"));
        current.frozen = self.is_frozen();
        if let Some(unified) = self.unified() {
            current.pressure = Pressure {
                memory: pressure(unified, "memory.pressure"),
                cpu: pressure(unified, "cpu.pressure"),
                io: pressure(unified, "io.pressure"),
            };
        }
        current
    }
}

/// The part of `all` that is the user's: v1 counts both parts by the ticks of a clock, and only their relation is true.
fn share_of(all: u64, user: u64, system: u64) -> u64 {
    let ticks = u128::from(user) + u128::from(system);
    let part = (u128::from(all) * u128::from(user)).checked_div(ticks);
    part.and_then(|part| u64::try_from(part).ok())
        .unwrap_or(all)
}

/// The sum over all devices of lines `MAJOR:MINOR OPERATION NUMBER` (v1; the line `Total NUMBER` is none).
fn operations(text: &str, operation: &str) -> u64 {
    let numbers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == operation).then_some(())?;
        words.next()?.parse::<u64>().ok()
    });
    numbers.fold(0, u64::saturating_add)
}

/// The sum over all devices of `NAME=NUMBER` in lines `MAJOR:MINOR NAME=NUMBER…` (v2).
fn pairs(text: &str, name: &str) -> u64 {
    let numbers = text.split_whitespace().filter_map(|word| {
        let (key, number) = word.split_once('=')?;
        (key == name).then_some(())?;
        number.parse::<u64>().ok()
    });
    numbers.fold(0, u64::saturating_add)
}

fn pressure(group: &Directory, file: &str) -> Option<u32> {
    some_of_ten_seconds(&group.read(file).ok()?)
}

/// `avg10` of the line `some`, which has two decimals, in hundredths.
fn some_of_ten_seconds(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    let (whole, hundredths) = value.split_once('.')?;
    let (whole, hundredths): (u32, u32) = (whole.parse().ok()?, hundredths.parse().ok()?);
    Some(whole * 100 + hundredths).filter(|value| *value <= 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_cpu_time_are_all_of_it() {
        assert_eq!(share_of(300, 340, 0), 300);
        assert_eq!(share_of(100, 30, 90), 25);
        assert_eq!(share_of(7, 0, 0), 7);
        assert_eq!(share_of(u64::MAX, u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn operations_of_all_devices_are_added() {
        let text = "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\n7:1 Read 5\nTotal 35\n";
        assert_eq!(operations(text, "Read"), 15);
        assert_eq!(operations(text, "Write"), 20);
        assert_eq!(operations("", "Read"), 0);
    }

    #[test]
    fn pairs_of_all_devices_are_added() {
        let text = "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n7:1 rbytes=5 wbytes=x\n";
        assert_eq!(pairs(text, "rbytes"), 15);
        assert_eq!(pairs(text, "wbytes"), 20);
        assert_eq!(pairs(text, "ios"), 0);
    }

    #[test]
    fn pressure_is_in_hundredths_of_a_percent() {
        let text = "some avg10=12.05 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 total=1\n";
        assert_eq!(some_of_ten_seconds(text), Some(1205));
        assert_eq!(some_of_ten_seconds("full avg10=1.00"), None);
        assert_eq!(some_of_ten_seconds("some avg10=4000000.00"), None);
        assert_eq!(some_of_ten_seconds("some avg10=nan"), None);
    }
}
