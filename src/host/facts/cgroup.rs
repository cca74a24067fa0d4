//! The control groups of this host, as far as this caller may use them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::profile::value::Ranges;

/// Control groups as the caller finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CgroupFacts {
    /// The v1 hierarchies that are mounted, but for named ones.
    pub legacy: Vec<Hierarchy>,
    /// The v2 hierarchy, when it is mounted (on a hybrid host beside v1, usually without controllers).
    pub unified: Option<Unified>,
    /// Whether systemd is the init system (`/run/systemd/system` exists, sd_booted(3)).
    pub systemd: bool,
    /// The service manager that can be asked for a scope: the user's, or the system's when the caller is root.
    pub manager: Option<Manager>,
    /// Why there is no [`CgroupFacts::manager`]; empty when there is one.
    pub no_manager: String,
    /// Whether a trigger can be set on the host's memory pressure (`/proc/pressure/memory` opens for writing); no when that
    /// was not wanted.
    pub pressure: bool,
    /// The CPUs that a group which the caller makes can have, when that was wanted and is seen.
    pub cpus: Option<Ranges>,
    /// Its memory nodes.
    pub memory_nodes: Option<Ranges>,
    /// Whether some block device is shared by weight (its scheduler is BFQ, or iocost is on for it); none when that was not
    /// wanted or is not seen.
    pub weights: Option<bool>,
    /// On which disks the wanted paths lie, by their keys; or why on none.
    pub disks: BTreeMap<String, Result<Disk, String>>,
    /// Whether the caller may refuse devices to a group (CAP_SYS_ADMIN in the initial user namespace); no when that was not
    /// wanted.
    pub may_refuse_devices: bool,
    /// The device nodes that `[devices]` lists, when that was wanted.
    pub nodes: BTreeSet<Node>,
    /// The inode of the caller's pid namespace; part of the names of groups, so that sweeping is exact.
    pub pid_namespace: u64,
}

/// One v1 hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hierarchy {
    /// Its controllers; several when they are mounted together (`cpu,cpuacct`).
    pub controllers: BTreeSet<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's own group; none when it lies outside of what is mounted.
    pub own: Option<PathBuf>,
    /// Whether the caller may make groups in its own group.
    pub own_writable: bool,
    /// The directory that `sandboxctl delegate` made for the caller, when the caller may make groups in it.
    pub delegated: Option<PathBuf>,
    /// Those of the wanted files that its groups do not have.
    pub missing: BTreeSet<String>,
}

/// What is to be looked at, so that a launch pays only for what its limits need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Controllers and interface files whose presence depends on how the kernel was built.
    pub files: BTreeSet<(&'static str, String)>,
    /// The CPUs and memory nodes of the group that gets a child.
    pub cpuset: bool,
    /// Whether a trigger can be set on the host's memory pressure.
    pub pressure: bool,
    /// Whether some block device is shared by weight.
    pub weights: bool,
    /// The keys of `[limits]` that are paths: on which disks they lie.
    pub paths: BTreeSet<String>,
    /// Whether devices can be refused to a group, and the numbers of those that `[devices]` lists.
    pub devices: bool,
}

/// The number of a whole disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Disk {
    /// The driver's number.
    pub major: u32,
    /// The device's.
    pub minor: u32,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Node {
    /// A block device rather than a character device.
    pub block: bool,
    /// The driver's number.
    pub major: u32,
    /// The device's.
    pub minor: u32,
}

/// The v2 hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's own group and its ancestors up to the mount, the nearest first; empty when the own group is unseen.
    pub groups: Vec<Group>,
    /// Those of the wanted files that groups below the root do not have; none of a controller that no group was found to
    /// have.
    pub missing: BTreeSet<String>,
}

/// One v2 group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its directory.
    pub path: PathBuf,
    /// Whether it is the root of the hierarchy, which alone may have processes beside groups with controllers.
    pub root: bool,
    /// `cgroup.controllers`: what its parent gives it.
    pub controllers: BTreeSet<String>,
    /// `cgroup.subtree_control`: what it gives its children.
    pub enabled: BTreeSet<String>,
    /// Whether it has processes of its own.
    pub occupied: bool,
    /// Whether the caller may make groups in it and move processes between them.
    pub writable: bool,
    /// Whether the caller may change `cgroup.subtree_control`.
    pub control_writable: bool,
}

/// A systemd manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Manager {
    /// Whether it is the system's rather than the user's.
    pub system: bool,
    /// The socket of its bus.
    pub bus: PathBuf,
    /// The controllers that it can give to its units.
    pub controllers: BTreeSet<String>,
}

impl CgroupFacts {
    /// The v1 hierarchy of a controller.
    #[must_use]
    pub fn legacy(&self, controller: &str) -> Option<&Hierarchy> {
        self.legacy
            .iter()
            .find(|hierarchy| hierarchy.controllers.contains(controller))
    }

    /// Whether limits belong to v1: as soon as one of the controllers that we use is there.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        ["memory", "pids", "cpu"]
            .iter()
            .any(|controller| self.legacy(controller).is_some())
    }
}

impl Hierarchy {
    /// Where the caller may make a group: below its own group, else in what was delegated to it.
    #[must_use]
    pub fn parent(&self) -> Option<&Path> {
        if self.own_writable
            && let Some(own) = &self.own
        {
            return Some(own);
        }
        self.delegated.as_deref()
    }
}
