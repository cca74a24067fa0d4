//! Making the child in namespaces of another sandbox.
//!
//! A namespace is entered with privileges over the user namespace that it belongs to, which an ordinary user has only within
//! that, and out of which there is no way back. So the launcher does not go: it forks a process that enters and makes the
//! child, as a child of the launcher's (CLONE_PARENT), in a new user namespace below that one; only from there the ids can be
//! mapped. Then it is gone. All is done by descriptors that were opened and looked at before.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::clone::{self, Child, Side, clone3, clone3_beside};
use crate::kernel::{Errno, descriptor, namespace, process, signal};
use crate::plan::step::NamespaceKind;

use super::failure::LaunchError;
use super::outside;
use super::prepare::flag;
use super::prepared::Prepared;

/// Namespaces of a running sandbox, opened.
#[derive(Debug)]
pub struct Shared {
    /// The user namespace that they belong to, where privileges over it are to be had inside only.
    pub user: Option<OwnedFd>,
    /// They.
    pub namespaces: Vec<(NamespaceKind, OwnedFd)>,
}

/// Where the message is about no step.
const NO_STEP: u32 = u32::MAX;

/// Makes the child, if it may be in the control group at `birthplace`, and says whether it is. Returns in the launcher, and
/// in the child.
pub(super) fn make_child(
    prepared: &Prepared,
    birthplace: Option<BorrowedFd<'_>>,
) -> Result<(Side, bool), LaunchError> {
    if !prepared.share.is_empty() {
        return Ok((make(prepared)?, false));
    }
    let mut born = birthplace.is_some();
    let mut side = clone3(prepared.clone_flags, birthplace);
    if born && side.is_err() {
        // An old kernel, or a group that takes no children in this way: it is moved there, or what speaks against that is
        // said then.
        born = false;
        side = clone3(prepared.clone_flags, None);
    }
    let side = side.map_err(|errno| match prepared.clone_step {
        Some(step) => LaunchError::at_step(step, errno),
        None => LaunchError::doing("making a process", errno),
    })?;
    Ok((side, born))
}

/// The same, in namespaces of another sandbox.
fn make(prepared: &Prepared) -> Result<Side, LaunchError> {
    let doing =
        |errno| LaunchError::doing("making a process in namespaces of another sandbox", errno);
    let (read, write) = descriptor::pipe().map_err(doing)?;
    let porter = clone::fork().map_err(doing)?;
    if porter == 0 {
        drop(read);
        match enter_and_make(prepared) {
            Ok(Side::Child) => return Ok(Side::Child),
            Ok(Side::Parent(child)) => report(&write, 0, 0, child.pid),
            Err((step, errno)) => report(&write, step, errno as i32, 0),
        }
        process::exit(0);
    }
    drop(write);
    let mut message = Vec::new();
    let told = File::from(read).read_to_end(&mut message);
    let gone =
        process::open(porter).and_then(|porter| process::wait_for(porter.as_fd(), libc::WEXITED));
    gone.map_err(doing)?;
    told.map_err(|_| doing(Errno::EIO))?;
    let word = |at: usize| -> Option<[u8; 4]> { message.get(at..at + 4)?.try_into().ok() };
    let (Some(step), Some(errno), Some(pid)) = (word(0), word(4), word(8)) else {
        return Err(doing(Errno::ECHILD));
    };
    let (step, errno) = (u32::from_ne_bytes(step), i32::from_ne_bytes(errno));
    if errno != 0 {
        let errno = Errno::from_raw(errno);
        return Err(match step {
            NO_STEP => doing(errno),
            step => LaunchError::at_step(step as usize, errno),
        });
    }
    let pid = i32::from_ne_bytes(pid);
    // It is our child, and nobody else has waited for it: the number is still its own.
    let pidfd = process::open(pid).map_err(doing)?;
    Ok(Side::Parent(Child { pid, pidfd }))
}

fn report(to: &OwnedFd, step: u32, errno: i32, pid: i32) {
    let mut message = [0; 12];
    let words = step
        .to_ne_bytes()
        .into_iter()
        .chain(errno.to_ne_bytes())
        .chain(pid.to_ne_bytes());
    for (slot, byte) in message.iter_mut().zip(words) {
        *slot = byte;
    }
    // If the launcher is not there to read it, the child notices too.
    let _ = descriptor::write(to.as_fd(), &message);
}

fn enter_and_make(prepared: &Prepared) -> Result<Side, (u32, Errno)> {
    for (step, shared) in &prepared.share {
        let failed = |errno| (*step, errno);
        if let Some(user) = &shared.user {
            namespace::setns(user.as_fd(), libc::CLONE_NEWUSER).map_err(failed)?;
        }
        for (kind, file) in &shared.namespaces {
            namespace::setns(file.as_fd(), flag(*kind)).map_err(failed)?;
        }
    }
    let step = |step: Option<usize>| {
        step.and_then(|step| u32::try_from(step).ok())
            .unwrap_or(NO_STEP)
    };
    let side = clone3_beside(prepared.clone_flags, None)
        .map_err(|errno| (step(prepared.clone_step), errno))?;
    if let Side::Parent(child) = &side {
        outside::map_ids(prepared, child.pid).map_err(|error| {
            let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
            (step(error.step), error.errno.unwrap_or(Errno::EPERM))
        })?;
    }
    Ok(side)
}
