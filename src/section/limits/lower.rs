//! Which control group holds the limits on this host: a decision over values, made once.
//!
//! Each limit is held where its controller is: on v2, or in a v1 hierarchy of its own. The order of the ways into the v2
//! hierarchy: a delegated group that the caller may write to already; systemd, which alone may make groups in its own part
//! of the tree; a group directly, as root.

mod legacy;
mod unified;
pub mod ways;

use std::collections::BTreeSet;

use super::control::{By, Control, NO_IDLE, named};
use super::plan::plain_name;
use super::writes::{Group as Written, device_writes, seat, writes};
use super::{Amount, DeviceLimit, DeviceRule, GroupPlan, Limits, SoftLimit, Version, Way};
use crate::host::Facts;
use crate::host::facts::cgroup::Node;
use crate::profile::key::Section;
use crate::profile::value::Ranges;
use crate::report::Site;

/// A limit that this host cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The section of the rule.
    pub section: Section,
    /// Its key.
    pub key: String,
    /// The rule.
    pub site: Site,
    /// Why, in this host's terms.
    pub reason: String,
    /// What would help, a line each.
    pub help: Vec<String>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lowered {
    /// The group; none when nothing needs one.
    pub group: Option<GroupPlan>,
    /// Limits that are dropped with a warning.
    pub dropped: Vec<Refusal>,
    /// What is to be known about limits that are held: the rule, what, and what would help.
    pub remarks: Vec<(Site, String, Option<String>)>,
}

/// Why something cannot be, and what would help, a line each.
type Reason = (String, Vec<String>);

/// Chooses the group, and what is written to it.
///
/// `name` says what it is for (the profile); `may_degrade` whether a limit (by its key) may be dropped with a warning.
///
/// # Errors
/// Every limit that this host cannot hold and that must not be dropped.
pub fn lower(
    limits: &Limits,
    facts: &Facts,
    name: &str,
    may_degrade: impl Fn(&str) -> bool,
) -> Result<Lowered, Vec<Refusal>> {
    if limits.is_empty() {
        return Ok(Lowered::default());
    }
    let mut held = limits.clone();
    held.locate(&facts.cgroup.disks);
    let mut refusals = Vec::new();
    refuse(&mut held, &mut refusals, |limits, key, control| {
        own_reason(limits, facts, key, control)
    });
    let beside = facts.cgroup.is_legacy() || on(&held, facts, Version::V1).next().is_some();
    let needed: BTreeSet<&str> = on(&held, facts, Version::V2)
        .map(|(_, control)| control.v2.controller)
        .filter(|name| !name.is_empty())
        .collect();
    let found = on(&held, facts, Version::V2)
        .next()
        .map(|_| unified::find(facts, &needed, beside));
    refuse(&mut held, &mut refusals, |_, _, control| {
        match version(control, facts) {
            Version::V1 => legacy::refusal(control, facts),
            Version::V2 => found.as_ref()?.refusal(control.v2.controller, facts),
        }
    });
    // In the order of the table, not of the causes.
    refusals.sort_by_key(|refusal| limits.iter().position(|(key, ..)| key == refusal.key));
    let (dropped, fatal): (Vec<Refusal>, Vec<Refusal>) = refusals
        .into_iter()
        .partition(|refusal| may_degrade(&refusal.key));
    if !fatal.is_empty() {
        return Err(fatal);
    }
    let mut lowered = Lowered {
        remarks: remarks(&held, facts),
        dropped,
        group: None,
    };
    if held.is_empty() {
        return Ok(lowered);
    }
    let names = |version: Version| -> BTreeSet<String> {
        on(&held, facts, version)
            .map(|(_, control)| control.hold(version).controller.to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    let (old, new) = (names(Version::V1), names(Version::V2));
    let is_unified = on(&held, facts, Version::V2).next().is_some();
    let way = found
        .filter(|_| is_unified)
        .and_then(|found| found.way(new.clone()));
    let way = match way {
        Some(scope @ Way::Scope { .. }) => scope,
        way => Way::Direct {
            places: legacy::places(facts, &old, way, !old.is_empty()),
        },
    };
    let devices = devices(&held, facts, &may_degrade);
    let v1_devices = devices.as_ref().filter(|_| old.contains("devices"));
    let group = Written {
        version: &|controller| match (old.contains(controller), new.contains(controller)) {
            (true, _) => Some(Version::V1),
            (_, true) => Some(Version::V2),
            _ => None,
        },
        lacks: &|file| lacks(facts, file),
        may_fail: &may_degrade,
    };
    let mut all = writes(&held, group);
    all.extend(v1_devices.map(device_writes).unwrap_or_default());
    legacy::fill_cpuset(&way, facts, &held, &may_degrade, &mut all);
    let soft = held
        .number("memory-soft")
        .filter(|_| new.contains("memory") && held.soft_mode() == "pressure");
    lowered.group = Some(GroupPlan {
        name: plain_name(name),
        application: None,
        controllers: old.union(&new).cloned().collect(),
        writes: all,
        soft: soft.map(|limit| SoftLimit {
            bytes: limit.value,
            may_fail: may_degrade("memory-soft"),
            site: limit.site,
        }),
        devices: devices.filter(|_| !old.contains("devices")),
        kill_at_oom: old.contains("memory")
            && held
                .get("oom-group")
                .is_some_and(|limit| limit.value == Amount::Flag(true)),
        way,
    });
    Ok(lowered)
}

/// The version that holds a control here.
fn version(control: &Control, facts: &Facts) -> Version {
    let cgroup = &facts.cgroup;
    let known = |controller: &str| {
        let tree = cgroup.unified.as_ref()?;
        let top = tree.groups.last()?;
        if cgroup.legacy(controller).is_some() {
            Some(Version::V1)
        } else if top.controllers.contains(controller) {
            Some(Version::V2)
        } else {
            None
        }
    };
    let v1 = control.v1.controller;
    if !v1.is_empty() && cgroup.legacy(v1).is_some() {
        return Version::V1;
    }
    if let Some(version) = seat(control, &known) {
        return version;
    }
    // Nobody has it: said in the words of the version that this host uses.
    if cgroup.unified.is_none() || (cgroup.is_legacy() && !control.v2.controller.is_empty()) {
        Version::V1
    } else {
        Version::V2
    }
}

/// The limits that a version holds here.
fn on<'l>(
    limits: &'l Limits,
    facts: &'l Facts,
    at: Version,
) -> impl Iterator<Item = (&'l str, &'static Control)> {
    limits
        .iter()
        .map(|(key, control, _)| (key, control))
        .filter(move |(_, control)| version(control, facts) == at)
}

/// Takes away each limit that `why` has a reason against.
fn refuse(
    limits: &mut Limits,
    refusals: &mut Vec<Refusal>,
    why: impl Fn(&Limits, &str, &'static Control) -> Option<Reason>,
) {
    let refused: Vec<Refusal> = limits
        .iter()
        .filter_map(|(key, control, limit)| {
            let (reason, help) = why(limits, key, control)?;
            Some(Refusal {
                section: Section::Limits,
                key: key.to_owned(),
                site: limit.site,
                reason,
                help,
            })
        })
        .collect();
    for refusal in &refused {
        limits.forget(&refusal.key);
    }
    refusals.extend(refused);
}

/// Whether the kernel lacks a file, as far as that was looked at.
fn lacks(facts: &Facts, file: &str) -> bool {
    let cgroup = &facts.cgroup;
    let unified = cgroup.unified.as_ref();
    cgroup
        .legacy
        .iter()
        .any(|hierarchy| hierarchy.missing.contains(file))
        || unified.is_some_and(|tree| tree.missing.contains(file))
}

/// Why a limit cannot be held, whoever asks and wherever a group is made.
fn own_reason(limits: &Limits, facts: &Facts, key: &str, control: &Control) -> Option<Reason> {
    let at = version(control, facts);
    let hold = control.hold(at);
    let line = |text: &str| Vec::from_iter((!text.is_empty()).then(|| text.to_owned()));
    match hold.by {
        By::Nothing { why, help } => return Some((why.to_owned(), line(help))),
        By::File {
            files,
            lacking,
            help,
        } => {
            let end = control.end(key).unwrap_or_default();
            let mut names = files.iter().map(|file| named(file, end));
            if !lacking.is_empty() && names.all(|file| lacks(facts, &file)) {
                let names: Vec<String> = files
                    .iter()
                    .map(|file| format!("`{}`", named(file, end)))
                    .collect();
                let verb = if names.len() == 1 { "is" } else { "are" };
                return Some((
                    format!(
                        "this kernel {lacking} ({} {verb} missing)",
                        names.join(" and ")
                    ),
                    line(help),
                ));
            }
        }
        By::Ourselves => {}
    }
    let limit = limits.get(key)?;
    match (control.label(), at, &limit.value) {
        ("swap", Version::V1, _) if limits.number("memory").is_none() => Some((
            "cgroup v1 limits memory and swap by their sum, so that `swap` needs `memory` too"
                .to_owned(),
            line("set `limits.memory`"),
        )),
        ("memory-soft", at, _) => soft_reason(limits, facts, at),
        ("cpu-weight", _, Amount::Word(_)) if lacks(facts, "cpu.idle") => Some((
            format!("this kernel {NO_IDLE} (`cpu.idle` is missing)"),
            line("`cpu-weight = 1` is nearly as little"),
        )),
        ("cpus", _, Amount::Ranges(asked)) => not_there(asked, facts.cgroup.cpus.as_ref(), "CPU"),
        ("memory-nodes", _, Amount::Ranges(asked)) => {
            not_there(asked, facts.cgroup.memory_nodes.as_ref(), "memory node")
        }
        ("PATH", _, _) => match facts.cgroup.disks.get(key) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some((why.clone(), Vec::new())),
            None => Some((
                format!("nothing is known about the device of {key}"),
                Vec::new(),
            )),
        },
        ("devices", _, _) if !facts.cgroup.may_refuse_devices => Some((
            format!(
                "`{}` may not refuse devices to a group: the kernel wants CAP_SYS_ADMIN in the initial user namespace",
                facts.caller.user
            ),
            line(
                "run it as root; or let a minimal /dev (`[devices]`) and a mount namespace keep other devices out",
            ),
        )),
        _ => None,
    }
}

fn soft_reason(limits: &Limits, facts: &Facts, at: Version) -> Option<Reason> {
    let mode = limits.soft_mode();
    match (at, mode) {
        (Version::V1, "pressure") => None,
        (Version::V1, _) => Some((
            format!("this host uses cgroup v1 for memory, which knows no `memory-soft-mode = \"{mode}\"`"),
            vec!["`\"pressure\"` is what v1 has".to_owned()],
        )),
        (Version::V2, "pressure") if lacks(facts, "memory.reclaim") => Some((
            "cgroup v2 has no soft limit, and this kernel cannot be asked to reclaim (`memory.reclaim`, Linux 5.19)"
                .to_owned(),
            Vec::new(),
        )),
        (Version::V2, "pressure") if !facts.cgroup.pressure => Some((
            format!(
                "cgroup v2 has no soft limit, and `{}` cannot watch memory pressure (/proc/pressure/memory)",
                facts.caller.user
            ),
            vec!["needs Linux 6.5, or root, and a kernel started with `psi=1`".to_owned()],
        )),
        _ => None,
    }
}

/// v2 takes CPUs that are not there, and v1 says «numerical result out of range».
fn not_there(asked: &Ranges, there: Option<&Ranges>, what: &str) -> Option<Reason> {
    let there = there?;
    let lack = asked.without(there);
    (!lack.0.is_empty()).then(|| {
        (
            format!("there is no {what} {lack} for a group that is made here"),
            vec![format!("there are {there}")],
        )
    })
}

/// Standard devices, that every program may use: null, zero, full, random, urandom, tty, ptmx, and pts.
const STANDARD: [(u32, Option<u32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// The devices that are left, if others are refused.
fn devices(
    limits: &Limits,
    facts: &Facts,
    may_degrade: &impl Fn(&str) -> bool,
) -> Option<DeviceLimit> {
    let limit = limits.get("devices")?;
    let rule = |block, major, minor| DeviceRule {
        block,
        major: Some(major),
        minor,
        write: true,
        make: true,
    };
    let standard = STANDARD
        .iter()
        .map(|&(major, minor)| rule(false, major, minor));
    let is_standard = |node: &&Node| {
        !node.block
            && STANDARD.iter().any(|&(major, minor)| {
                major == node.major && minor.is_none_or(|minor| minor == node.minor)
            })
    };
    let listed = facts.cgroup.nodes.iter().filter(|node| !is_standard(node));
    let listed = listed.map(|node| rule(node.block, node.major, Some(node.minor)));
    Some(DeviceLimit {
        allowed: standard.chain(listed).collect(),
        may_fail: may_degrade("devices"),
        site: limit.site,
    })
}

/// What holds otherwise than one would think.
fn remarks(limits: &Limits, facts: &Facts) -> Vec<(Site, String, Option<String>)> {
    let mut all = Vec::new();
    let mut disks: Vec<(&str, _)> = Vec::new();
    for (key, control, limit) in limits.iter() {
        if control.label() == "io-weight" && facts.cgroup.weights == Some(false) {
            all.push((
                limit.site,
                "`io-weight` has no effect yet: no block device of this host is shared by weight"
                    .to_owned(),
                Some(
                    "as root, for each disk: echo bfq > /sys/block/DISK/queue/scheduler".to_owned(),
                ),
            ));
        }
        let Some(disk) = limits.disks.get(key).filter(|_| control.label() == "PATH") else {
            continue;
        };
        if let Some((other, _)) = disks.iter().find(|(_, known)| *known == disk) {
            all.push((
                limit.site,
                format!("`{other}` and `{key}` lie on one disk ({disk}): the smaller of their rates holds for both"),
                None,
            ));
        }
        disks.push((key, disk));
    }
    all
}

#[cfg(test)]
#[path = "lower_tests.rs"]
mod tests;
