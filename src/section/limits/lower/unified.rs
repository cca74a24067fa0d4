//! Where a group can be made in the v2 hierarchy: among the caller's own group and those above it, or by systemd.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Reason;
use crate::host::Facts;
use crate::host::facts::cgroup::{Group, Manager, Unified};
use crate::section::limits::plan::list;
use crate::section::limits::{Place, Version, Way};

/// A way into the v2 hierarchy, or why there is none.
pub(super) enum Found {
    /// A group above ours gets a child.
    Direct(Direct),
    /// systemd is asked.
    Scope(Manager),
    /// There is none, and why.
    Nowhere(Reason),
}

/// Looks for a group that can have a child with these controllers.
///
/// `beside`: whether the group has directories in v1 hierarchies too, for which systemd cannot be asked.
pub(super) fn find(facts: &Facts, needed: &BTreeSet<&str>, beside: bool) -> Found {
    let cgroup = &facts.cgroup;
    let Some(tree) = &cgroup.unified else {
        return Found::Nowhere((
            "no control groups are mounted that hold it".to_owned(),
            vec!["mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned()],
        ));
    };
    let root = facts.caller.uid == 0;
    let direct = best(tree, needed, |group| {
        group.writable && (beside || !cgroup.systemd || is_delegated_unit(&group.path))
    });
    if let Some(direct) = &direct
        && needed.iter().all(|name| !direct.missing.contains(*name))
    {
        return Found::Direct(direct.clone());
    }
    if let Some(manager) = cgroup.manager.as_ref().filter(|_| !beside) {
        return Found::Scope(manager.clone());
    }
    // Root may write anywhere; only where systemd cannot be asked does it make a group beside systemd's.
    let direct = match direct {
        None if root => best(tree, needed, |group| {
            group.writable && (group.root || !cgroup.systemd)
        }),
        direct => direct,
    };
    match direct {
        Some(direct) => Found::Direct(direct),
        None => Found::Nowhere(nowhere(facts, tree)),
    }
}

impl Found {
    /// Why a controller cannot be had this way.
    pub(super) fn refusal(&self, controller: &str, facts: &Facts) -> Option<Reason> {
        match self {
            Self::Direct(direct) if direct.missing.contains(controller) => {
                let parent = direct.parent.display();
                Some((
                    format!(
                        "the controller `{controller}` cannot be had for a group below {parent}"
                    ),
                    vec![format!(
                        "as root: echo +{controller} > {parent}/cgroup.subtree_control, and the same in each group above it first"
                    )],
                ))
            }
            Self::Scope(manager)
                if !manager.controllers.contains(controller) && !controller.is_empty() =>
            {
                Some((
                    format!(
                        "the service manager of `{}` was not given the controller `{controller}`",
                        facts.caller.user
                    ),
                    drop_in(controller),
                ))
            }
            Self::Nowhere(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// The way as a plan has it.
    pub(super) fn way(self, controllers: BTreeSet<String>) -> Option<Way> {
        match self {
            Self::Direct(direct) => Some(Way::Direct {
                places: vec![direct.place(controllers)],
            }),
            Self::Scope(manager) => Some(Way::Scope {
                bus: manager.bus,
                slice: if manager.system {
                    "system.slice"
                } else {
                    "app.slice"
                },
                system: manager.system,
            }),
            Self::Nowhere(_) => None,
        }
    }
}

impl Direct {
    /// The place of a group with these controllers.
    pub(super) fn place(self, controllers: BTreeSet<String>) -> Place {
        // What was dropped since is not enabled.
        let enable = self.enable.into_iter().filter_map(|(group, all)| {
            let wanted: BTreeSet<String> = all.intersection(&controllers).cloned().collect();
            (!wanted.is_empty()).then_some((group, wanted))
        });
        Place {
            version: Version::V2,
            parent: self.parent,
            enable: enable.collect(),
            optional: false,
            controllers,
        }
    }
}

/// A group that can have a child with some controllers.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub parent: PathBuf,
    pub enable: Vec<(PathBuf, BTreeSet<String>)>,
    pub missing: BTreeSet<String>,
}

/// The nearest ancestor that can give a child all that is needed, else the one that can give most.
pub(super) fn best(
    tree: &Unified,
    needed: &BTreeSet<&str>,
    suits: impl Fn(&Group) -> bool,
) -> Option<Direct> {
    let mut best: Option<Direct> = None;
    for (at, group) in tree.groups.iter().enumerate() {
        // The own group has a process: the caller. Only the root may have processes beside groups with controllers.
        // Without controllers its children may lie beside them.
        if !suits(group) || (group.occupied && !group.root && !needed.is_empty()) {
            continue;
        }
        let mut missing = BTreeSet::new();
        let mut enable: Vec<(PathBuf, BTreeSet<String>)> = Vec::new();
        for controller in needed {
            let Some(path) = enabling(&tree.groups, at, controller) else {
                missing.insert((*controller).to_owned());
                continue;
            };
            for group in path {
                match enable.iter_mut().find(|(known, _)| *known == group.path) {
                    Some((_, controllers)) => {
                        controllers.insert((*controller).to_owned());
                    }
                    None => enable.push((
                        group.path.clone(),
                        BTreeSet::from([(*controller).to_owned()]),
                    )),
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
pub(super) fn is_delegated_unit(path: &Path) -> bool {
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

pub(super) fn drop_in(controller: &str) -> Vec<String> {
    vec![
        format!(
            "as root, give it: mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf; systemctl daemon-reload"
        ),
        format!("then log out and in again, so that `{controller}` is delegated"),
    ]
}

pub(super) fn delegation(facts: &Facts) -> Vec<String> {
    vec![format!("sudo sandboxctl delegate {}", facts.caller.user)]
}

/// Why no group can be made on v2 at all, and what would help.
pub(super) fn nowhere(facts: &Facts, tree: &Unified) -> Reason {
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
