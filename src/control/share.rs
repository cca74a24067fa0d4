//! Namespaces of a running sandbox, opened for a program that is to share them.
//!
//! As for `join`, nothing in a record is believed that the kernel does not confirm. What is opened here is what is entered
//! later: nothing is looked up by a number twice.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use super::join::{self, mask};
use super::process;
use super::sandbox::{self, Refusal};
use crate::exec::Shared;
use crate::kernel::{Errno, namespace, signal};
use crate::plan::step::NamespaceKind;
use crate::report::escape;

/// Opens namespaces of the running sandbox of that name. `below`: the user namespace that
/// they belong to has to be entered first.
///
/// # Errors
/// There is no such sandbox of the caller's own; it has no such namespace of its own; or it does not let itself be shared.
pub fn open(name: &str, kinds: &[NamespaceKind], below: bool) -> Result<Shared, Refusal> {
    let sandbox = sandbox::find(name)?;
    let told = escape::line(name).into_owned();
    let cannot =
        |why: &str| Refusal::new(format!("namespaces of `{told}` cannot be shared: {why}"));
    join::own(&sandbox, "share")?;
    let record = sandbox.record()?;
    if !sandbox.entry.is_live() {
        return Err(
            cannot("its launcher was killed, and nobody else can say what they are").help(format!(
                "`sandboxctl kill --all {told}` ends what is left of it"
            )),
        );
    }
    let child = sandbox.child()?;
    let program = sandbox.program()?;
    join::launcher(record).map_err(|why| cannot(&why))?;
    join::family(record, &child, &program).map_err(|why| cannot(&why))?;
    let mut namespaces = join::namespaces(program.pid(), record)
        .map_err(|reason| cannot(&reason.message).help_all(reason.help))?;
    let mut user = None;
    let mut found = Vec::new();
    for kind in kinds {
        let at = namespaces.iter().position(|(other, _)| other == kind);
        let Some(at) = at else {
            return Err(Refusal::new(format!(
                "`{told}` has no {} namespace of its own: it uses the caller's",
                kind.name()
            ))
            .help(format!(
                "remove `namespaces.{0}` here, or set `namespaces.{0} = true` in the profile of `{told}`",
                kind.name()
            )));
        };
        let file = namespaces.swap_remove(at).1;
        if below {
            let owner = owner(&file).map_err(|errno| {
                cannot(&format!(
                    "an ordinary user has no privilege over its {} namespace ({})",
                    kind.name(),
                    errno.desc()
                ))
            })?;
            let own =
                inode(&owner).is_some_and(|inode| record.namespaces.get("user") == Some(&inode));
            if !own {
                return Err(cannot(&format!(
                    "its {} namespace is that of another sandbox",
                    kind.name()
                ))
                .help("share it with the sandbox that made it"));
            }
            user = Some(owner);
        }
        found.push((*kind, file));
    }
    if user.is_some() {
        // Below its user namespace we are in the hands of whoever has capabilities there and can find us.
        let pids = record.namespaces.get("pid").copied();
        let sees_us = pids == process::own_namespace().ok();
        let can_act = [child.pid(), program.pid()].into_iter().any(|pid| {
            ["CapBnd:", "CapPrm:"]
                .into_iter()
                .any(|line| mask(pid, line) != Some(0))
        });
        // Process 1 keeps what the kernel gave it until the program runs.
        if sees_us && can_act {
            return Err(cannot(
                "it has capabilities in its user namespace and sees the host's processes, so that it could take over who lives below it",
            )
            .help(format!(
                "set `capabilities.default = \"drop\"` or `namespaces.pid = true` in the profile of `{told}`"
            )));
        }
    }
    join::held(record, &sandbox.entry).map_err(|why| cannot(&why))?;
    // All of this was about the processes that are meant only if they are still there.
    for process in [&child, &program] {
        if signal::send(process.fd(), 0) == Err(Errno::ESRCH) {
            return Err(Refusal::new(format!("`{told}` has just ended")));
        }
    }
    Ok(Shared {
        user,
        namespaces: found,
    })
}

fn owner(file: &OwnedFd) -> Result<OwnedFd, Errno> {
    namespace::user_namespace_of(file.as_fd())
}

pub(super) fn inode(file: &OwnedFd) -> Option<u64> {
    let file = File::from(file.try_clone().ok()?);
    Some(file.metadata().ok()?.ino())
}
