//! Something closed, mounted over what appears.
//!
//! It comes from a file system of ours in a mount namespace of our own: a tree can be taken from the own namespace only, and
//! put into the one that one is in. Inside there is never a path that leads to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::{Errno, at, mount, namespace};

use super::super::operation::{COVER, make_scratch};

/// Where covers come from, and where they go.
pub(super) struct Covers {
    own: OwnedFd,
    view: OwnedFd,
    scratch: OwnedFd,
    /// The root of the view.
    pub root: OwnedFd,
}

impl Covers {
    /// Moves this process into the view, away from the root of the host.
    pub(super) fn new(view: OwnedFd, host: OwnedFd) -> Result<Self, Errno> {
        namespace::setns(view.as_fd(), libc::CLONE_NEWNS)?;
        namespace::unshare(libc::CLONE_NEWNS)?;
        mount::make_private()?;
        let scratch = make_scratch()?;
        let own = at::open(host.as_fd(), c"proc/self/ns/mnt", libc::O_RDONLY, 0)?;
        namespace::setns(view.as_fd(), libc::CLONE_NEWNS)?;
        // A program that has made a namespace of its own before finds hidden what is hidden later.
        mount::make_shared()?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let root = at::open(at::working_directory(), c"/", flags, 0)?;
        Ok(Self {
            own,
            view,
            scratch,
            root,
        })
    }

    /// Covers what a descriptor names, unless it is where something is mounted already; whether it did.
    pub(super) fn put(&self, what: BorrowedFd<'_>, directory: bool) -> Result<bool, Errno> {
        if mount::is_mounted_on(what)? {
            return Ok(false);
        }
        namespace::setns(self.own.as_fd(), libc::CLONE_NEWNS)?;
        let name = if directory { c"directory" } else { c"file" };
        let tree = mount::clone_tree_at(self.scratch.as_fd(), name)
            .and_then(|tree| mount::set_attributes(tree.as_fd(), COVER, true).map(|()| tree));
        namespace::setns(self.view.as_fd(), libc::CLONE_NEWNS)?;
        // That the cover is gone does not say that what it is for is.
        let tree = tree.map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR => Errno::ESTALE,
            other => other,
        })?;
        mount::attach(tree.as_fd(), what).map(|()| true)
    }
}
