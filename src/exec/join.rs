//! Entering a sandbox that runs already.
//!
//! The launcher stays outside. Its child is put into the sandbox's control group first, so that nothing of it is beyond the
//! limits, then makes itself untraceable, and only then enters the namespaces, by descriptors that were opened and looked at
//! before: what the sandbox does meanwhile cannot lead it elsewhere. A change of user namespaces gives it all capabilities
//! there and may make it traceable, so that it makes itself untraceable once more; it has no number in the pid namespace
//! yet. What becomes the program is forked then: it is untraceable from its first moment until exec, and execs under the
//! filter. The child stays outside of the pid namespace and does for the program what process 1 does in a launch.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::{Errno, namespace, process, systemd};
use crate::plan::step::NamespaceKind;
use crate::plan::{Action, Plan};

use super::failure::LaunchError;
use super::group::Directories;
use super::prepare::flag;
use super::prepared::{Op, Prepared};
use super::share::Shared;

/// A sandbox that is to be entered: everything that is needed for it, opened.
#[derive(Debug)]
pub struct Target {
    /// Those of its namespaces that it shares with another sandbox.
    pub shared: Shared,
    /// Its own namespaces.
    pub namespaces: Vec<(NamespaceKind, OwnedFd)>,
    /// Its control group.
    pub group: Option<Directories>,
    /// The unit of the service manager that the group lies in.
    pub unit: Option<String>,
    /// Becomes readable when the sandbox ends.
    pub end: OwnedFd,
    /// Whether who enters becomes root inside, which somebody else is by now.
    pub as_root: bool,
}

/// What the launcher and the child do to enter.
#[derive(Debug)]
pub(super) struct Join {
    /// In the order in which they are entered.
    pub namespaces: Vec<(OwnedFd, libc::c_int)>,
    pub group: Option<Directories>,
    pub unit: Option<String>,
    pub end: OwnedFd,
    pub as_root: bool,
}

/// Prepares a process that joins a sandbox under the steps of `plan`.
///
/// # Errors
/// As for [`super::prepare()`].
pub fn prepare_join(plan: &Plan, target: Target) -> Result<Prepared, LaunchError> {
    let mut prepared = super::prepare(plan)?;
    let mut namespaces = target.namespaces;
    // The user namespace gives the privileges over the others; the mount namespace last, since it changes what paths mean.
    namespaces.sort_by_key(|(kind, _)| (*kind == NamespaceKind::Mount, *kind));
    // What belongs to a user namespace above comes first: from the sandbox's own there is no way up.
    let above = (target.shared.user.into_iter()).map(|user| (NamespaceKind::User, user));
    let above = above.chain(target.shared.namespaces);
    prepared.join = Some(Join {
        namespaces: above
            .chain(namespaces)
            .map(|(kind, file)| (file, flag(kind)))
            .collect(),
        group: target.group,
        unit: target.unit,
        end: target.end,
        as_root: target.as_root,
    });
    for todo in &mut prepared.child {
        if let Op::Landlock(rules) = &mut todo.op {
            rules.pass_over_what_is_gone();
        }
    }
    prepared.init = true;
    prepared.die_with_parent = true;
    prepared.cuts_capabilities = true;
    // The filter of a sandbox without a process 1 of ours, or without a terminal, may forbid what these need.
    let allows = plan.steps.iter().all(|step| match &step.action {
        Action::Seccomp(filter) => filter.permits_init(true),
        _ => true,
    });
    if !allows {
        prepared.init_filter = None;
    }
    Ok(prepared)
}

impl Join {
    /// Puts the child, which waits, into the control group.
    pub fn enter_group(&self, pid: libc::pid_t) -> Result<(), LaunchError> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let entered = match group.enter(pid) {
            Err(error) if error.errno == Errno::EACCES && self.enter_by_manager(group, pid) => {
                Ok(())
            }
            other => other,
        };
        entered.map_err(|error| {
            let mut refused = LaunchError::doing(
                "entering the control group of the sandbox",
                error.errno,
            )
            .detail(error.to_string());
            if error.errno == Errno::EACCES {
                refused.help.push(
                    "on cgroup v2 a user may move processes only within the part of the tree that is the user's own: join from \
                     there, as with `systemd-run --user --scope sandboxctl join …`"
                        .to_owned(),
                );
            }
            refused
        })
    }

    /// Asks the service manager that made the group to move the child: from a login session only that may do it. Whether
    /// it is in the group then.
    fn enter_by_manager(&self, group: &Directories, pid: libc::pid_t) -> bool {
        let manager = crate::host::cgroup::probe_self().manager;
        let (Some(manager), Some(unit)) = (manager, &self.unit) else {
            return false;
        };
        let mut places = group.places().into_iter();
        let inner = places.find_map(|place| place.path.file_name().map(std::ffi::OsStr::to_owned));
        let Some(inner) = inner.and_then(|name| name.into_string().ok()) else {
            return false;
        };
        systemd::add_to_unit(&manager.bus, unit, &inner, &[pid]).is_ok()
            && group.processes().contains(&pid)
    }

    /// Enters the namespaces. Allocates nothing.
    pub fn enter(&self) -> Result<(), Errno> {
        process::undumpable()?;
        for (file, kind) in &self.namespaces {
            namespace::setns(file.as_fd(), *kind)?;
        }
        if self.as_root {
            process::become_root()?;
        }
        process::undumpable()
    }

    /// Becomes readable when the sandbox ends.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
