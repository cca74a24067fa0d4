//! The control groups of this host, as far as this caller may use them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

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
    /// Whether a trigger can be set on the host's memory pressure (`/proc/pressure/memory` opens for writing).
    pub pressure: bool,
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
    /// Those optional interface files that exist in the caller's own group (or, if that is unseen, at the mount).
    pub files: BTreeSet<String>,
}

/// Files whose presence depends on how the kernel was built.
pub const OPTIONAL_FILES: &[&str] = &[
    "cpu.cfs_quota_us",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.swap.max",
    "memory.reclaim",
];

/// The v2 hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's own group and its ancestors up to the mount, the nearest first; empty when the own group is unseen.
    pub groups: Vec<Group>,
    /// [`OPTIONAL_FILES`] of a group below the root; none when no group was found that could show it.
    pub files: Option<BTreeSet<String>>,
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
