//! What only some limits need to know: which interface files a kernel has, which CPUs and memory nodes a group can have,
//! whether weights of block devices mean anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Mount, words};
use crate::host::facts::cgroup::{CgroupFacts, Group, Unified, Wanted};
use crate::profile::value::Ranges;

/// The CPUs and memory nodes of the group that would get a child.
pub(super) fn cpuset(facts: &mut CgroupFacts, wanted: &Wanted) {
    let ranges = |directory: &Path, names: [&str; 2]| {
        let text = names
            .iter()
            .find_map(|name| fs::read_to_string(directory.join(name)).ok())?;
        Ranges::parse(&text).filter(|found| !found.0.is_empty())
    };
    if let Some(hierarchy) = facts.legacy("cpuset") {
        // Mounted together with another controller, it must be filled in whenever that is used.
        if let Some(parent) = hierarchy.parent()
            && (wanted.cpuset || hierarchy.controllers.len() > 1)
        {
            let parent = parent.to_owned();
            facts.cpus = ranges(&parent, ["cpuset.effective_cpus", "cpuset.cpus"]);
            facts.memory_nodes = ranges(&parent, ["cpuset.effective_mems", "cpuset.mems"]);
        }
        return;
    }
    if let Some(tree) = facts.unified.as_ref().filter(|_| wanted.cpuset) {
        let find = |name: &str| {
            tree.groups
                .iter()
                .find_map(|group| ranges(&group.path, [name, name]))
        };
        let found = (find("cpuset.cpus.effective"), find("cpuset.mems.effective"));
        (facts.cpus, facts.memory_nodes) = found;
    }
}

/// Whether some block device is shared by weight: its scheduler is BFQ, or iocost is on for it.
pub(super) fn shared_by_weight(tree: Option<&Unified>) -> bool {
    let iocost = tree.and_then(|tree| fs::read_to_string(tree.mount.join("io.cost.qos")).ok());
    if iocost.is_some_and(|text| text.contains("enable=1")) {
        return true;
    }
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks
        .filter_map(|disk| fs::read_to_string(disk.path().join("queue/scheduler")).ok())
        .any(|text| text.contains("[bfq]"))
}

/// Files of v1 that the root of a hierarchy does not show, and one that it shows on the same kernels.
const NOT_ON_ROOT: [(&str, &str); 2] = [
    ("blkio.bfq.weight", "blkio.bfq.io_service_bytes"),
    ("blkio.weight", "blkio.io_merged"),
];

/// Those of the wanted files that groups of a v1 hierarchy do not have.
pub(super) fn missing(
    directory: &Path,
    is_root: bool,
    mount: &Mount,
    wanted: &Wanted,
) -> BTreeSet<String> {
    let files = wanted
        .files
        .iter()
        .filter(|(controller, _)| mount.controllers.contains(*controller));
    files
        .filter(|(_, file)| {
            let stand_in = NOT_ON_ROOT.iter().find(|(name, _)| is_root && name == file);
            let shown = stand_in.map_or(file.as_str(), |(_, shown)| shown);
            !directory.join(shown).exists()
        })
        .map(|(_, file)| file.clone())
        .collect()
}

/// Those of the wanted files that v2 groups do not have: a group that has the controller and is not the root shows it.
pub(super) fn missing_of_v2(mount: &Mount, groups: &[Group], wanted: &Wanted) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    let top = groups.last();
    for controller in wanted
        .files
        .iter()
        .map(|(controller, _)| *controller)
        .collect::<BTreeSet<_>>()
    {
        let is_here = top.is_none_or(|group| group.controllers.contains(controller));
        let Some(witness) = is_here
            .then(|| witness(mount, groups, controller))
            .flatten()
        else {
            if is_here {
                let files = wanted.files.iter().filter(|(of, _)| *of == controller);
                missing.extend(
                    files
                        .filter(|(_, file)| lacks_without_a_witness(mount, file))
                        .map(|(_, file)| file.clone()),
                );
            }
            continue;
        };
        let files = wanted.files.iter().filter(|(of, _)| *of == controller);
        missing.extend(
            files
                .filter(|(_, file)| !witness.join(file).exists())
                .map(|(_, file)| file.clone()),
        );
    }
    missing
}

/// What else shows that a kernel has a file of v2, where no group below the root does.
fn lacks_without_a_witness(mount: &Mount, file: &str) -> bool {
    match file {
        "io.weight" => !mount.point.join("io.cost.qos").exists(),
        "memory.zswap.max" | "memory.zswap.writeback" => !Path::new("/sys/module/zswap").exists(),
        _ => match file
            .strip_prefix("hugetlb.")
            .and_then(|rest| rest.strip_suffix(".max"))
        {
            Some(size) => !page_sizes().contains(size),
            None => false,
        },
    }
}

/// The sizes of huge pages, by the names that control groups give them.
fn page_sizes() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/kernel/mm/hugepages")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let kib: u64 = name
                .to_str()?
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            Some(match kib {
                kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
                kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
                kib => format!("{kib}KB"),
            })
        })
        .collect()
}

/// A group that has a controller and is not the root.
fn witness(mount: &Mount, groups: &[Group], controller: &str) -> Option<PathBuf> {
    let found = groups
        .iter()
        .find(|group| !group.root && group.controllers.contains(controller));
    if let Some(group) = found {
        return Some(group.path.clone());
    }
    let mut children = fs::read_dir(&mount.point).ok()?.flatten();
    children
        .find(|child| {
            child.file_type().is_ok_and(|kind| kind.is_dir())
                && words(&child.path().join("cgroup.controllers")).contains(controller)
        })
        .map(|child| child.path())
}
