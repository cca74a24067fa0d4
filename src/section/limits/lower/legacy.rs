//! Where a group can be made in v1 hierarchies, a directory in each, and what such directories need.

use std::collections::BTreeSet;

use super::Reason;
use super::unified::{best, delegation};
use crate::host::Facts;
use crate::section::limits::control::Control;
use crate::section::limits::{LimitWrite, Limits, Place, Version, Way};

/// Why a controller cannot be had.
pub(super) fn refusal(control: &Control, facts: &Facts) -> Option<Reason> {
    let controller = control.v1.controller;
    let Some(hierarchy) = facts.cgroup.legacy(controller) else {
        return Some((
            format!("no cgroup v1 hierarchy with the controller `{controller}` is mounted"),
            vec![format!(
                "mount it, if /proc/cgroups lists it: mkdir /sys/fs/cgroup/{controller}; mount -t cgroup -o {controller} cgroup /sys/fs/cgroup/{controller}"
            )],
        ));
    };
    if hierarchy.parent().is_some() {
        return None;
    }
    Some((
        format!(
            "this host uses cgroup v1, and `{}` may make no group in {}",
            facts.caller.user,
            hierarchy.mount.display()
        ),
        delegation(facts),
    ))
}

/// The places of a group: in v1 hierarchies those that hold one of the controllers or help to kill and count; then that of
/// v2, if a limit is held there (`unified`), else one without a limit, in which killing and freezing are exact.
pub(super) fn places(
    facts: &Facts,
    needed: &BTreeSet<String>,
    unified: Option<Way>,
    legacy: bool,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for hierarchy in facts.cgroup.legacy.iter().filter(|_| legacy) {
        let holds = !hierarchy.controllers.is_disjoint(needed);
        // Frozen first, processes can be killed and counted while they fork; CPU time is told by cpuacct. A group of
        // cpuset takes nobody before it is filled in.
        let helps = ["freezer", "cpuacct"]
            .iter()
            .any(|name| hierarchy.controllers.contains(*name))
            && !hierarchy.controllers.contains("cpuset");
        if let Some(parent) = hierarchy.parent()
            && (holds || helps)
        {
            places.push(Place {
                version: Version::V1,
                enable: Vec::new(),
                controllers: hierarchy.controllers.clone(),
                parent: parent.to_owned(),
                optional: !holds,
            });
        }
    }
    match unified {
        Some(Way::Direct { places: more }) => places.extend(more),
        _ => places.extend(twin(facts)),
    }
    places
}

/// A v2 group beside v1 ones that hold all the limits.
fn twin(facts: &Facts) -> Option<Place> {
    let tree = facts.cgroup.unified.as_ref()?;
    if facts.caller.uid != 0 {
        return None;
    }
    let direct = best(tree, &BTreeSet::new(), |group| group.writable)?;
    let mut place = direct.place(BTreeSet::new());
    place.optional = true;
    Some(place)
}

/// A new group of v1's cpuset has neither CPUs nor memory nodes, and takes no process before it has both: what nobody asked
/// for is as in its parent.
pub(super) fn fill_cpuset(
    way: &Way,
    facts: &Facts,
    limits: &Limits,
    may_degrade: &impl Fn(&str) -> bool,
    writes: &mut Vec<LimitWrite>,
) {
    let Way::Direct { places } = way else { return };
    let place = places
        .iter()
        .find(|place| place.version == Version::V1 && place.controllers.contains("cpuset"));
    let Some(place) = place else { return };
    let files = [
        ("cpuset.mems", &facts.cgroup.memory_nodes),
        ("cpuset.cpus", &facts.cgroup.cpus),
    ];
    // The limit for whose sake the directory is made.
    let cause = limits
        .iter()
        .find(|(_, control, _)| place.controllers.contains(control.v1.controller));
    let Some((key, _, limit)) = cause else { return };
    for (file, own) in files {
        let written = writes.iter().any(|write| write.file == file);
        if let Some(own) = own.as_ref().filter(|_| !written) {
            writes.insert(
                0,
                LimitWrite {
                    key: key.to_owned(),
                    controller: "cpuset",
                    file: file.to_owned(),
                    value: own.to_string(),
                    may_fail: may_degrade(key),
                    site: limit.site,
                },
            );
        }
    }
}
