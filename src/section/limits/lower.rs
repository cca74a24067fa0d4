//! Which control group holds the limits on this host: a decision over values, made once.
//!
//! The order of the ways: a delegated v2 group that the caller may write to already; systemd, which alone may make
//! groups in its own part of the tree; a v2 group directly, as root; v1, where a limit needs a group in the hierarchy
//! of its controller.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::plan::{list, plain_name};
use super::writes::{controller, writes};
use super::{GroupPlan, KEYS, Limits, Place, SoftLimit, Version, Way};
use crate::host::Facts;
use crate::host::facts::cgroup::{Group, Unified};
use crate::profile::key::Section;
use crate::report::Site;

/// A limit that this host cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The section of the rule.
    pub section: Section,
    /// Its key.
    pub key: &'static str,
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
}

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
    let version = if facts.cgroup.is_legacy() {
        Version::V1
    } else {
        Version::V2
    };
    let choice = match version {
        Version::V1 => legacy(limits, facts),
        Version::V2 => unified(limits, facts),
    };
    let mut held = limits.clone();
    let (mut fatal, mut dropped) = (Vec::new(), Vec::new());
    for refusal in choice.refusals {
        held.forget(refusal.key);
        if may_degrade(refusal.key) {
            dropped.push(refusal);
        } else {
            fatal.push(refusal);
        }
    }
    if !fatal.is_empty() {
        return Err(fatal);
    }
    let Some(way) = choice.way.filter(|_| !held.is_empty()) else {
        return Ok(Lowered {
            group: None,
            dropped,
        });
    };
    let soft = held.memory_soft.as_ref().filter(|_| version == Version::V2);
    let group = GroupPlan {
        name: plain_name(name),
        controllers: needed(&held),
        writes: writes(&held, version, &may_degrade),
        soft: soft.map(|limit| SoftLimit {
            bytes: limit.value,
            may_fail: may_degrade("memory-soft"),
            site: limit.site,
        }),
        devices: None,
        kill_at_oom: false,
        way: trimmed(way, &needed(&held)),
    };
    Ok(Lowered {
        group: Some(group),
        dropped,
    })
}

/// A way, and what it cannot do.
struct Choice {
    way: Option<Way>,
    refusals: Vec<Refusal>,
}

fn needed(limits: &Limits) -> BTreeSet<String> {
    KEYS.iter()
        .filter(|key| limits.get(key).is_some())
        .map(|key| controller(key).to_owned())
        .collect()
}

/// Without what dropped limits would have needed.
fn trimmed(way: Way, controllers: &BTreeSet<String>) -> Way {
    match way {
        Way::Direct { places } => Way::Direct {
            places: places
                .into_iter()
                .filter(|place| {
                    place.version == Version::V2
                        || place.optional
                        || !place.controllers.is_disjoint(controllers)
                })
                .collect(),
        },
        way => way,
    }
}

/// A refusal for each limit that `why` has a reason against.
fn refuse(
    limits: &Limits,
    mut why: impl FnMut(&'static str) -> Option<(String, Vec<String>)>,
) -> Vec<Refusal> {
    KEYS.iter()
        .filter_map(|&key| {
            let limit = limits.get(key)?;
            let (reason, help) = why(key)?;
            Some(Refusal {
                section: Section::Limits,
                key,
                site: limit.site,
                reason,
                help,
            })
        })
        .collect()
}

// ------------------------------------------------------------------------------------------------ v1

fn legacy(limits: &Limits, facts: &Facts) -> Choice {
    let cgroup = &facts.cgroup;
    let refusals = refuse(limits, |key| {
        let controller = controller(key);
        let Some(hierarchy) = cgroup.legacy(controller) else {
            return Some((
                format!("no cgroup v1 hierarchy with the controller `{controller}` is mounted"),
                vec![format!(
                    "mount it: mkdir /sys/fs/cgroup/{controller}; mount -t cgroup -o {controller} cgroup /sys/fs/cgroup/{controller}"
                )],
            ));
        };
        if hierarchy.parent().is_none() {
            let mount = hierarchy.mount.display();
            return Some((
                format!(
                    "this host uses cgroup v1, and `{}` may make no group in {mount}",
                    facts.caller.user
                ),
                delegation(facts),
            ));
        }
        let lacks = |file: &str| !hierarchy.files.contains(file);
        match key {
            "swap" if limits.memory.is_none() => Some((
                "cgroup v1 limits memory and swap by their sum, so that `swap` needs `memory` too"
                    .to_owned(),
                vec!["set `limits.memory`".to_owned()],
            )),
            "swap" if lacks("memory.memsw.limit_in_bytes") => Some((
                "this kernel does not count swap (`memory.memsw.limit_in_bytes` is missing)"
                    .to_owned(),
                vec!["start the kernel with `swapaccount=1`".to_owned()],
            )),
            "cpu" if lacks("cpu.cfs_quota_us") => Some((
                "this kernel has no CPU quotas (`cpu.cfs_quota_us` is missing)".to_owned(),
                vec!["use `limits.cpu-weight`".to_owned()],
            )),
            "memory-soft" if lacks("memory.soft_limit_in_bytes") => Some((
                "this kernel has no soft limits (`memory.soft_limit_in_bytes` is missing)"
                    .to_owned(),
                Vec::new(),
            )),
            _ => None,
        }
    });
    let needed = needed(limits);
    let mut places: Vec<Place> = Vec::new();
    for hierarchy in &cgroup.legacy {
        let holds = !hierarchy.controllers.is_disjoint(&needed);
        // Frozen first, processes can be killed and counted while they fork; CPU time is told by cpuacct.
        let helps = ["freezer", "cpuacct"]
            .iter()
            .any(|name| hierarchy.controllers.contains(*name));
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
    Choice {
        way: Some(Way::Direct { places }),
        refusals,
    }
}

// ------------------------------------------------------------------------------------------------ v2

fn unified(limits: &Limits, facts: &Facts) -> Choice {
    let cgroup = &facts.cgroup;
    let Some(tree) = &cgroup.unified else {
        return Choice {
            way: None,
            refusals: refuse(limits, |key| {
                Some((
                    format!(
                        "no control groups are mounted that have the controller `{}`",
                        controller(key)
                    ),
                    vec!["mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned()],
                ))
            }),
        };
    };
    let needed = needed(limits);
    let root = facts.caller.uid == 0;
    let direct = best(tree, &needed, |group| {
        group.writable && (!cgroup.systemd || is_delegated_unit(&group.path))
    });
    if let Some(direct) = &direct
        && direct.has(&needed)
    {
        return direct.clone().choice(limits, facts, tree);
    }
    if let Some(manager) = &cgroup.manager {
        let way = Way::Scope {
            bus: manager.bus.clone(),
            slice: if manager.system {
                "system.slice"
            } else {
                "app.slice"
            },
            system: manager.system,
        };
        let refusals = refuse(limits, |key| {
            let controller = controller(key);
            if manager.controllers.contains(controller) {
                return optional_file(key, facts, tree);
            }
            Some((
                format!(
                    "the service manager of `{}` was not given the controller `{controller}`",
                    facts.caller.user
                ),
                drop_in(controller),
            ))
        });
        return Choice {
            way: Some(way),
            refusals,
        };
    }
    // Root may write anywhere; only where systemd cannot be asked does it make a group beside systemd's.
    let direct = match direct {
        None if root => best(tree, &needed, |group| {
            group.writable && (group.root || !cgroup.systemd)
        }),
        direct => direct,
    };
    match direct {
        Some(direct) => direct.choice(limits, facts, tree),
        None => Choice {
            way: None,
            refusals: refuse(limits, |_| Some(nowhere(facts, tree))),
        },
    }
}

/// A group that can have a child with some controllers.
#[derive(Clone)]
struct Direct {
    parent: PathBuf,
    enable: Vec<(PathBuf, BTreeSet<String>)>,
    missing: BTreeSet<String>,
}

impl Direct {
    fn has(&self, needed: &BTreeSet<String>) -> bool {
        self.missing.is_disjoint(needed)
    }

    fn choice(self, limits: &Limits, facts: &Facts, tree: &Unified) -> Choice {
        let refusals = refuse(limits, |key| {
            let controller = controller(key);
            if self.missing.contains(controller) {
                let parent = self.parent.display();
                return Some((
                    format!(
                        "the controller `{controller}` cannot be had for a group below {parent}"
                    ),
                    vec![format!(
                        "as root: echo +{controller} > {parent}/cgroup.subtree_control, and the same in each group above it first"
                    )],
                ));
            }
            optional_file(key, facts, tree)
        });
        Choice {
            way: Some(Way::Direct {
                places: vec![Place {
                    version: Version::V2,
                    controllers: needed(limits),
                    parent: self.parent,
                    enable: self.enable,
                    optional: false,
                }],
            }),
            refusals,
        }
    }
}

/// The nearest ancestor that can give a child all that is needed, else the one that can give most.
fn best(
    tree: &Unified,
    needed: &BTreeSet<String>,
    suits: impl Fn(&Group) -> bool,
) -> Option<Direct> {
    let mut best: Option<Direct> = None;
    for (at, group) in tree.groups.iter().enumerate() {
        // The own group has a process: the caller. Only the root may have processes beside groups with controllers.
        if !suits(group) || (group.occupied && !group.root) {
            continue;
        }
        let mut missing = BTreeSet::new();
        let mut enable: Vec<(PathBuf, BTreeSet<String>)> = Vec::new();
        for controller in needed {
            let Some(path) = enabling(&tree.groups, at, controller) else {
                missing.insert(controller.clone());
                continue;
            };
            for group in path {
                match enable.iter_mut().find(|(known, _)| *known == group.path) {
                    Some((_, controllers)) => {
                        controllers.insert(controller.clone());
                    }
                    None => enable.push((group.path.clone(), BTreeSet::from([controller.clone()]))),
                }
            }
        }
        // From the top down: a shorter path is higher.
        enable.sort_by_key(|(path, _)| path.components().count());
        let better = best
            .as_ref()
            .is_none_or(|best| missing.len() < best.missing.len());
        if better {
            best = Some(Direct {
                parent: group.path.clone(),
                enable,
                missing,
            });
        }
    }
    best
}

/// The groups in which a controller must be enabled so that children of the `at`th group have it; none if it cannot be.
fn enabling<'a>(groups: &'a [Group], at: usize, controller: &str) -> Option<Vec<&'a Group>> {
    let mut path = Vec::new();
    for group in groups.get(at..)? {
        if group.enabled.contains(controller) {
            return Some(path);
        }
        if !group.control_writable || (group.occupied && !group.root) {
            return None;
        }
        path.push(group);
        if group.controllers.contains(controller) {
            return Some(path);
        }
    }
    None
}

/// Whether a group lies in a service or scope whose insides are not systemd's: a slice's are, and a user manager's are.
fn is_delegated_unit(path: &Path) -> bool {
    for component in path.components().rev() {
        let name = component.as_os_str().to_string_lossy();
        if name.ends_with(".slice") {
            return false;
        }
        if name.ends_with(".scope") || name.ends_with(".service") {
            return !name.starts_with("user@") && name != "init.scope";
        }
    }
    false
}

/// What is missing in the kernel for a limit on v2.
fn optional_file(key: &str, facts: &Facts, tree: &Unified) -> Option<(String, Vec<String>)> {
    let lacks = |file: &str| {
        tree.files
            .as_ref()
            .is_some_and(|files| !files.contains(file))
    };
    match key {
        "swap" if lacks("memory.swap.max") => Some((
            "this kernel does not count swap (`memory.swap.max` is missing)".to_owned(),
            vec!["start the kernel with `swapaccount=1`".to_owned()],
        )),
        "memory-soft" if lacks("memory.reclaim") => Some((
            "cgroup v2 has no soft limit, and this kernel cannot be asked to reclaim (`memory.reclaim`, Linux 5.19)"
                .to_owned(),
            Vec::new(),
        )),
        "memory-soft" if !facts.cgroup.pressure => Some((
            format!(
                "cgroup v2 has no soft limit, and `{}` cannot watch memory pressure (/proc/pressure/memory)",
                facts.caller.user
            ),
            vec!["needs Linux 6.5, or root, and a kernel started with `psi=1`".to_owned()],
        )),
        _ => None,
    }
}

fn drop_in(controller: &str) -> Vec<String> {
    vec![
        format!(
            "as root, give it: mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf; systemctl daemon-reload"
        ),
        format!("then log out and in again, so that `{controller}` is delegated"),
    ]
}

fn delegation(facts: &Facts) -> Vec<String> {
    vec![format!("sudo sandboxctl delegate {}", facts.caller.user)]
}

/// Why no group can be made on v2 at all, and what would help.
fn nowhere(facts: &Facts, tree: &Unified) -> (String, Vec<String>) {
    let user = &facts.caller.user;
    let own = tree.groups.first();
    let Some(own) = own else {
        return (
            format!(
                "this process's own control group lies outside of what is mounted at {}",
                tree.mount.display()
            ),
            vec!["start the sandbox where the host's control groups are seen".to_owned()],
        );
    };
    if facts.caller.uid == 0 {
        return (
            format!(
                "no group above {} lets controllers be enabled for a child: each has processes of its own or is read-only (controllers enabled there: {})",
                own.path.display(),
                if own.enabled.is_empty() {
                    "none".to_owned()
                } else {
                    list(&own.enabled)
                }
            ),
            vec![format!(
                "in a container: mount the control groups writable, and move its processes from {} into a group below it",
                own.path.display()
            )],
        );
    }
    if facts.cgroup.systemd {
        return (
            format!(
                "`{user}` has no service manager that could be asked: {}",
                facts.cgroup.no_manager
            ),
            vec![
                format!("start one: log in anew, or as root: loginctl enable-linger {user}"),
                "Debian and Ubuntu need the package dbus-user-session".to_owned(),
            ],
        );
    }
    let mut help = delegation(facts);
    if let Some(line) = help.first_mut() {
        // v2 lets a user move processes only within what is delegated to it: the shell has to be put there by root.
        line.push_str(" --pid $$");
    }
    (
        format!(
            "no control group above {} is delegated to `{user}`, and systemd is not running",
            own.path.display()
        ),
        help,
    )
}

#[cfg(test)]
#[path = "lower_tests.rs"]
mod tests;
