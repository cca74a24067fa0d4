//! The group that a plan asks for, as a value that can be shown.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::report::{Site, escape};

/// How the sandbox gets its control group, and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPlan {
    /// Where the group comes from.
    pub way: Way,
    /// What the group is for: the profile's or the sandbox's name in [a-z0-9_.-]. The directory's own name is made fresh
    /// for each run.
    pub name: String,
    /// The desktop entry that the program was started from, if it was: names a scope of systemd.
    pub application: Option<String>,
    /// The controllers that hold the limits.
    pub controllers: BTreeSet<String>,
    /// What is written, in this order.
    pub writes: Vec<LimitWrite>,
    /// Which devices may be used, where no file says it: a BPF program on v2.
    pub devices: Option<DeviceLimit>,
    /// What the supervisor holds itself, where no file does.
    pub soft: Option<SoftLimit>,
    /// Whether the supervisor kills all of the group as soon as the kernel has killed one process for memory: where no file
    /// (`memory.oom.group`) asks the kernel for that.
    pub kill_at_oom: bool,
}

/// A version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// A hierarchy for each controller, or for a few (kernel documents admin-guide/cgroup-v1).
    V1,
    /// One hierarchy for all (kernel document admin-guide/cgroup-v2).
    V2,
}

/// Where the group comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Way {
    /// A directory in each hierarchy that is needed: several on v1, one on v2, both kinds on a hybrid host.
    Direct {
        /// One for each hierarchy; at most one of them is of v2.
        places: Vec<Place>,
    },
    /// A delegated scope of systemd, in which the group is made.
    Scope {
        /// The socket of the bus.
        bus: PathBuf,
        /// The slice that the scope is made in.
        slice: &'static str,
        /// Whether it is the system's manager rather than the user's.
        system: bool,
    },
}

/// Where a group is made in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The version of the hierarchy.
    pub version: Version,
    /// v1: the controllers of the hierarchy; v2: those that hold limits.
    pub controllers: BTreeSet<String>,
    /// The group that gets a child.
    pub parent: PathBuf,
    /// v2: controllers to be enabled for the children of these groups first, from the top down.
    pub enable: Vec<(PathBuf, BTreeSet<String>)>,
    /// Whether the launch goes on without it: it holds no limit, but makes killing and counting exact.
    pub optional: bool,
}

/// One file and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitWrite {
    /// The key of `[limits]` that asked for it.
    pub key: String,
    /// The controller whose file it is.
    pub controller: &'static str,
    /// The file's name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// Whether a failure is a warning.
    pub may_fail: bool,
    /// The rule.
    #[serde(skip)]
    pub site: Site,
}

/// The devices that may be used; all others are refused (EPERM), also when a node for them is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceLimit {
    /// What is allowed.
    pub allowed: Vec<DeviceRule>,
    /// Whether a failure is a warning.
    pub may_fail: bool,
    /// The rule.
    #[serde(skip)]
    pub site: Site,
}

/// Devices that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// A block device rather than a character device.
    pub block: bool,
    /// Every one if none.
    pub major: Option<u32>,
    /// Every one if none.
    pub minor: Option<u32>,
    /// Whether it may be written to; reading is always allowed.
    pub write: bool,
    /// Whether a node for it may be made (mknod(2)).
    pub make: bool,
}

/// A soft limit that the supervisor holds: under memory pressure of the host it reclaims down to this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SoftLimit {
    /// What the group is pushed back to.
    pub bytes: u64,
    /// Whether a failure is a warning.
    pub may_fail: bool,
    /// The rule.
    #[serde(skip)]
    pub site: Site,
}

/// `name` in the letters that a group's name may have; never empty, never with a dot in front.
#[must_use]
pub fn plain_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .take(64)
        .map(|letter| match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9' | '_' | '.' | '-') => letter,
            _ => '_',
        })
        .collect();
    match plain.trim_start_matches(['.', '-']) {
        "" => "sandbox".to_owned(),
        name => name.to_owned(),
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { places } => {
                let versions: BTreeSet<Version> =
                    places.iter().map(|place| place.version).collect();
                let versions: Vec<&str> = versions
                    .iter()
                    .map(|version| match version {
                        Version::V1 => "v1",
                        Version::V2 => "v2",
                    })
                    .collect();
                write!(f, "cgroup {}, a group below", versions.join(" and "))?;
                for (at, place) in places.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(
                        f,
                        "{comma} {}",
                        escape::line(&place.parent.to_string_lossy())
                    )?;
                }
                for (group, controllers) in places.iter().flat_map(|place| &place.enable) {
                    write!(
                        f,
                        "; enabling {} in {}",
                        list(controllers),
                        escape::line(&group.to_string_lossy())
                    )?;
                }
                Ok(())
            }
            Self::Scope { slice, system, .. } => {
                let whose = if *system {
                    "the system's"
                } else {
                    "the user's"
                };
                write!(
                    f,
                    "cgroup v2, a delegated scope in {slice} of {whose} systemd"
                )
            }
        }
    }
}

/// Words with commas.
pub(super) fn list(words: &BTreeSet<String>) -> String {
    words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

impl fmt::Display for LimitWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (limits.{})", self.file, self.value, self.key)
    }
}

/// The way, then a line for each limit.
impl fmt::Display for GroupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.way)?;
        for write in &self.writes {
            write!(f, "\n{write}")?;
        }
        if let Some(devices) = &self.devices {
            write!(
                f,
                "\na BPF program that refuses all devices but {} (limits.devices)",
                devices.allowed.len()
            )?;
        }
        if self.kill_at_oom {
            f.write_str(
                "\nall of it is killed when memory costs the first process (limits.oom-group)",
            )?;
        }
        if let Some(soft) = &self.soft {
            write!(
                f,
                "\nmemory.reclaim down to {} under memory pressure (limits.memory-soft)",
                soft.bytes
            )?;
        }
        Ok(())
    }
}
