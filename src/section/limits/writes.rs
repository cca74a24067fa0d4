//! Limits → files and what is written to them, for both versions of control groups. Kernel documents
//! admin-guide/cgroup-v1/*, admin-guide/cgroup-v2.

use std::collections::BTreeMap;

use super::control::{By, Control, named};
use super::{Amount, DeviceLimit, DeviceRule, LimitWrite, Limits, Version};
use crate::host::facts::cgroup::Disk;
use crate::profile::value::{Ranges, Rates};
use crate::report::Site;

/// What a group is, as far as writing to it depends on that.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    /// The version of the hierarchy in which the group has a controller; none when it has it in none.
    pub version: &'a dyn Fn(&str) -> Option<Version>,
    /// Whether the kernel lacks a file.
    pub lacks: &'a dyn Fn(&str) -> bool,
    /// Whether the failure of a limit (by its key) is a warning.
    pub may_fail: &'a dyn Fn(&str) -> bool,
}

/// The version of the hierarchy that holds a control; none when the group has its controller in none.
#[must_use]
pub fn seat(control: &Control, version: &dyn Fn(&str) -> Option<Version>) -> Option<Version> {
    [Version::V2, Version::V1].into_iter().find(|&at| {
        let controller = control.hold(at).controller;
        !controller.is_empty() && version(controller) == Some(at)
    })
}

/// What is written, in the order in which a fresh group takes it. Limits that the group has no controller for are left
/// out, and so are those that no file holds.
#[must_use]
pub fn writes(limits: &Limits, group: Group<'_>) -> Vec<LimitWrite> {
    let mut pen = Pen {
        limits,
        group,
        all: Vec::new(),
    };
    let mut disks = Disks::default();
    let mut rdma: BTreeMap<(&str, Version), (String, String, Site)> = BTreeMap::new();
    for (key, control, limit) in limits.iter() {
        let Some(version) = seat(control, group.version) else {
            continue;
        };
        let controller = control.hold(version).controller;
        let end = control.end(key).unwrap_or_default();
        let write = Target {
            key,
            controller,
            version,
            site: limit.site,
        };
        match (control.label(), &limit.value) {
            ("PATH", Amount::Rates(rates)) => disks.add(&write, limits.disks.get(key), *rates),
            ("rdma-handles-DEVICE" | "rdma-objects-DEVICE", amount) => {
                let what = match control.label() {
                    "rdma-handles-DEVICE" => "hca_handle",
                    _ => "hca_object",
                };
                let entry = rdma
                    .entry((end, version))
                    .or_insert_with(|| (key.to_owned(), end.to_owned(), limit.site));
                entry.1.push_str(&format!(" {what}={}", shown(amount)));
            }
            _ => pen.one(&write, control, end, &limit.value),
        }
    }
    for (target, disk, rates) in disks.0 {
        pen.rates(&target, disk, rates);
    }
    for ((_, version), (key, value, site)) in rdma {
        let target = Target {
            key: &key,
            controller: "rdma",
            version,
            site,
        };
        pen.put(&target, "rdma.max", value);
    }
    pen.all
}

/// Where one limit goes.
#[derive(Clone, Copy)]
struct Target<'a> {
    key: &'a str,
    controller: &'static str,
    version: Version,
    site: Site,
}

/// Rates by disk: of two paths on one the smaller holds.
#[derive(Default)]
struct Disks<'a>(Vec<(Target<'a>, Disk, Rates)>);

impl<'a> Disks<'a> {
    fn add(&mut self, target: &Target<'a>, disk: Option<&Disk>, rates: Rates) {
        let Some(disk) = disk else { return };
        match self.0.iter_mut().find(|(_, known, _)| known == disk) {
            Some((_, _, known)) => *known = known.least(rates),
            None => self.0.push((*target, *disk, rates)),
        }
    }
}

struct Pen<'a> {
    limits: &'a Limits,
    group: Group<'a>,
    all: Vec<LimitWrite>,
}

/// An amount as most files take it.
fn shown(amount: &Amount) -> String {
    match amount {
        Amount::Number(number) => number.to_string(),
        Amount::Max => "max".to_owned(),
        Amount::Word(word) => (*word).to_owned(),
        Amount::Flag(on) => u8::from(*on).to_string(),
        Amount::Ranges(ranges) => ranges.to_string(),
        Amount::Rates(_) => String::new(),
    }
}

impl Pen<'_> {
    fn put(&mut self, target: &Target<'_>, file: &str, value: String) {
        self.all.push(LimitWrite {
            key: target.key.to_owned(),
            controller: target.controller,
            file: file.to_owned(),
            value,
            may_fail: (self.group.may_fail)(target.key),
            site: target.site,
        });
    }

    /// The first file of a control that the kernel does not lack; the first of all where it lacks each.
    fn file(&self, control: &Control, version: Version, end: &str) -> Option<String> {
        let By::File { files, .. } = control.hold(version).by else {
            return None;
        };
        let names = || files.iter().map(|file| named(file, end));
        names()
            .find(|file| !(self.group.lacks)(file))
            .or_else(|| names().next())
    }

    fn one(&mut self, target: &Target<'_>, control: &Control, end: &str, amount: &Amount) {
        let version = target.version;
        let v1 = version == Version::V1;
        match (control.label(), amount) {
            ("memory-soft", amount) => self.soft(target, amount),
            // On v1 we do it ourselves.
            ("oom-group", _) if v1 => {}
            ("memory", Amount::Max) if v1 => {
                self.put(target, "memory.limit_in_bytes", "-1".to_owned())
            }
            ("swap", amount) if v1 => self.sum(target, amount),
            ("pids", Amount::Number(number)) => {
                self.put(target, "pids.max", (*number).min(MOST_PIDS).to_string());
            }
            ("cpu", amount) => self.quota(target, amount),
            ("cpu-burst", Amount::Max) => {}
            ("cpu-weight", Amount::Word(_)) => self.put(target, "cpu.idle", "1".to_owned()),
            ("cpu-weight", Amount::Number(weight)) if v1 => {
                self.put(target, "cpu.shares", shares(*weight).to_string());
            }
            ("io-weight", Amount::Number(weight)) => {
                let Some(file) = self.file(control, version, end) else {
                    return;
                };
                let weight = if file == "io.weight" {
                    *weight
                } else {
                    bfq_weight(*weight)
                };
                self.put(target, &file, weight.to_string());
            }
            ("huge-pages-SIZE", Amount::Max) if v1 => {
                self.put(
                    target,
                    &named("hugetlb.{}.limit_in_bytes", end),
                    "-1".to_owned(),
                );
            }
            ("misc-RESOURCE", amount) => {
                self.put(target, "misc.max", format!("{end} {}", shown(amount)))
            }
            ("net-priority-INTERFACE", amount) => {
                self.put(
                    target,
                    "net_prio.ifpriomap",
                    format!("{end} {}", shown(amount)),
                );
            }
            // Which those are hangs on the host: see `devices`.
            ("devices", _) => {}
            (_, amount) => {
                if let Some(file) = self.file(control, version, end) {
                    self.put(target, &file, shown(amount));
                }
            }
        }
    }

    fn soft(&mut self, target: &Target<'_>, amount: &Amount) {
        let file = match (target.version, self.limits.soft_mode()) {
            (Version::V1, _) => "memory.soft_limit_in_bytes",
            (Version::V2, "throttle") => "memory.high",
            (Version::V2, "protect") => "memory.low",
            (Version::V2, _) => return,
        };
        let value = match (target.version, file, amount) {
            (Version::V1, _, Amount::Max) => "-1".to_owned(),
            (_, "memory.low", Amount::Max) => "0".to_owned(),
            (_, _, amount) => shown(amount),
        };
        self.put(target, file, value);
    }

    /// v1 counts memory and swap together; without `memory` the limit was refused before.
    fn sum(&mut self, target: &Target<'_>, amount: &Amount) {
        let memory = self
            .limits
            .number("memory")
            .map_or(0, |memory| memory.value);
        let value = match amount {
            Amount::Number(swap) => memory.saturating_add(*swap).to_string(),
            _ => "-1".to_owned(),
        };
        self.put(target, "memory.memsw.limit_in_bytes", value);
    }

    fn quota(&mut self, target: &Target<'_>, amount: &Amount) {
        let quota = match amount {
            Amount::Number(_) => self.limits.quota(),
            _ => None,
        };
        match (target.version, quota) {
            (Version::V1, Some((quota, period))) => {
                self.put(target, "cpu.cfs_period_us", period.to_string());
                self.put(target, "cpu.cfs_quota_us", quota.to_string());
            }
            (Version::V1, None) => self.put(target, "cpu.cfs_quota_us", "-1".to_owned()),
            (Version::V2, Some((quota, period))) => {
                self.put(target, "cpu.max", format!("{quota} {period}"));
            }
            (Version::V2, None) => self.put(target, "cpu.max", "max".to_owned()),
        }
    }

    /// Plain numbers: v1 reads `1M` as 1, and v2 refuses it.
    fn rates(&mut self, target: &Target<'_>, disk: Disk, rates: Rates) {
        let names = [
            ("blkio.throttle.read_bps_device", "rbps"),
            ("blkio.throttle.write_bps_device", "wbps"),
            ("blkio.throttle.read_iops_device", "riops"),
            ("blkio.throttle.write_iops_device", "wiops"),
        ];
        let rates = names
            .into_iter()
            .zip(rates.parts())
            .filter_map(|(names, (_, rate, _))| Some((names, rate?)));
        if target.version == Version::V1 {
            for ((file, _), rate) in rates {
                self.put(target, file, format!("{disk} {rate}"));
            }
            return;
        }
        let mut line = disk.to_string();
        for ((_, word), rate) in rates {
            line.push_str(&format!(" {word}={rate}"));
        }
        self.put(target, "io.max", line);
    }
}

/// What v1 writes for a list of devices: all are denied, then some allowed.
#[must_use]
pub fn device_writes(devices: &DeviceLimit) -> Vec<LimitWrite> {
    let write = |file: &str, value: String| LimitWrite {
        key: "devices".to_owned(),
        controller: "devices",
        file: file.to_owned(),
        value,
        may_fail: devices.may_fail,
        site: devices.site,
    };
    let mut all = vec![write("devices.deny", "a".to_owned())];
    all.extend(
        devices
            .allowed
            .iter()
            .map(|rule| write("devices.allow", device_rule(rule))),
    );
    all
}

/// One line of devices.allow.
fn device_rule(rule: &DeviceRule) -> String {
    let kind = if rule.block { 'b' } else { 'c' };
    let number =
        |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let mut access = "r".to_owned();
    if rule.write {
        access.push('w');
    }
    if rule.make {
        access.push('m');
    }
    format!(
        "{kind} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
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

/// BFQ's weight, 1 to 1000, of one of 1 to 10000: as it is up to everybody's 100, then so that 10000 is 1000. systemd
/// counts the same way (its source, `BFQ_WEIGHT`).
#[must_use]
pub fn bfq_weight(weight: u64) -> u64 {
    if weight <= 100 {
        weight.max(1)
    } else {
        100 + (weight.min(10_000) - 100) * 900 / 9_900
    }
}

/// Whether a file can be read, to see what a write has come to.
#[must_use]
pub fn reads_back(file: &str) -> bool {
    // Write-only; what holds is in devices.list, merged.
    !matches!(file, "devices.allow" | "devices.deny")
}

/// Whether what a file says after a write is what was written, but for the kernel's rounding.
///
/// Bytes are rounded down to a page of at most 64 KiB, or to the huge pages that are counted.
#[must_use]
pub fn agrees(file: &str, written: &str, read: &str) -> bool {
    let (written, read) = (written.trim(), read.trim());
    if written == read {
        return true;
    }
    match file {
        "cpuset.cpus" | "cpuset.mems" => {
            return Ranges::parse(read).is_some() && Ranges::parse(read) == Ranges::parse(written);
        }
        // Only those bandwidths are shown that are limited.
        "io.max" | "rdma.max" => return has_fields(written, read),
        "io.weight" | "io.bfq.weight" | "blkio.bfq.weight" | "blkio.weight" => {
            return read
                .lines()
                .any(|line| line.strip_prefix("default ") == Some(written));
        }
        "misc.max" | "net_prio.ifpriomap" => {
            return read.lines().any(|line| line.trim() == written);
        }
        _ if file.starts_with("blkio.throttle.") => {
            return read.lines().any(|line| line.trim() == written);
        }
        _ => {}
    }
    // No limit: what v1 reads for it.
    if written == "-1" && read.parse::<u64>().is_ok_and(|read| read >= MOST - 65_536) {
        return true;
    }
    if written == "max" && read.starts_with("max ") {
        return true;
    }
    let page = match file.strip_prefix("hugetlb.") {
        Some(rest) => rest.split('.').next().and_then(page_size).unwrap_or(1),
        None if file.starts_with("memory.") => 65_536,
        None => return false,
    };
    match (written.parse::<u64>(), read.parse::<u64>()) {
        (Ok(written), Ok(read)) => read <= written && written - read < page,
        // The kernel says `max` for what is as much as it can count.
        (Ok(written), Err(_)) => read == "max" && written >= MOST - 65_536,
        _ => false,
    }
}

/// As much as the kernel's counters of bytes hold.
const MOST: u64 = i64::MAX as u64;

/// The bytes of the kernel's name of a size of huge pages.
fn page_size(name: &str) -> Option<u64> {
    let number = name.trim_end_matches(char::is_alphabetic);
    let shift = match name.get(number.len()..)? {
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Whether the line of the same first word has all the `name=value` that were written.
fn has_fields(written: &str, read: &str) -> bool {
    let mut words = written.split(' ');
    let name = words.next();
    let line = read.lines().find(|line| line.split(' ').next() == name);
    let found: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    words.all(|word| found.contains(&word))
}

#[cfg(test)]
#[path = "writes_tests.rs"]
mod tests;
