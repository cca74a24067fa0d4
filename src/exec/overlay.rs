//! Overlays: directories of the host seen as one, with changes kept apart (the kernel's overlayfs.rst).

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::prepare::{c_path, c_string, tmpfs_options};
use super::prepared::Prepared;
use crate::kernel::mount::attribute;
use crate::kernel::{Errno, at, mount};
use crate::plan::step::{Overlay, Upper};

/// A lower layer can only be looked at, and what is in it can be run.
const LOWER: u64 = attribute::RDONLY | attribute::NOSUID | attribute::NODEV;

/// An overlay, made in a file system of ours that nobody sees afterwards: every layer is put below a name of its own
/// there, so that the options hold no path of the host.
#[derive(Debug)]
pub(super) struct OverlayOp {
    /// Names of the lower layers, and where each is on the host.
    pub lower: Vec<(CString, CString)>,
    /// The directory of the host that holds `upper` and `work`; in memory when there is none.
    pub upper: Option<CString>,
    /// Options of the file system of ours.
    pub memory: Vec<(CString, Option<CString>)>,
    /// Options of the overlay.
    pub options: Vec<(CString, Option<CString>)>,
}

/// Makes the strings for an overlay.
///
/// # Errors
/// A path that C cannot hold.
pub(super) fn prepare(overlay: &Overlay, prepared: &Prepared) -> Result<OverlayOp, Errno> {
    let new = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let joined = |(_, _, kind): &(u32, OwnedFd, libc::c_int)| *kind == libc::CLONE_NEWUSER;
    let user_namespace = prepared.clone_flags & new != 0 || prepared.join_before.iter().any(joined);
    let mut names = Vec::new();
    let mut lower = Vec::new();
    for (at, path) in overlay.lower.iter().enumerate() {
        let name = format!("lower{at}");
        lower.push((c_string(name.as_ref())?, c_path(path)?));
        names.push(name);
    }
    let (upper, size, upper_name, work_name) = match &overlay.upper {
        Upper::Memory { size } => (None, *size, c"upper", c"work"),
        Upper::Directory(path) => (
            Some(c_path(path)?),
            Some(64 << 10),
            c"changes/upper",
            c"changes/work",
        ),
        // Nobody has opened a store for it.
        Upper::Kept(_) => return Err(Errno::EINVAL),
    };
    let mut options = vec![
        (
            c"lowerdir".to_owned(),
            Some(c_string(names.join(":").as_ref())?),
        ),
        (c"upperdir".to_owned(), Some(upper_name.to_owned())),
        (c"workdir".to_owned(), Some(work_name.to_owned())),
    ];
    if upper.is_some() {
        // What is kept is read again, and applied: it holds whole files, and says nothing about files elsewhere.
        for (key, value) in [
            (c"redirect_dir", c"nofollow"),
            (c"metacopy", c"off"),
            (c"index", c"off"),
        ] {
            options.push((key.to_owned(), Some(value.to_owned())));
        }
    }
    if user_namespace {
        // Without it the notes to itself would need a right that only the first user namespace gives.
        options.push((c"userxattr".to_owned(), None));
    }
    Ok(OverlayOp {
        lower,
        upper,
        memory: tmpfs_options(size, 0o755)?,
        options,
    })
}

/// Makes an overlay, detached. Allocates nothing.
///
/// Its layers must be attached somewhere while it is made, and are named relative to the working directory: what they are
/// called on the host is looked up once, by descriptors.
///
/// # Errors
/// EPERM, ENODEV, EINVAL: the kernel lets this caller mount none. Others as for the calls.
pub(super) fn make(op: &OverlayOp, host: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let context = mount::open_filesystem(c"tmpfs")?;
    for (key, value) in &op.memory {
        mount::configure(context.as_fd(), key, value.as_deref())?;
    }
    let layers = mount::make_mount(context.as_fd(), attribute::NOSUID | attribute::NODEV)?;
    mount::attach_over_root(layers.as_fd())?;
    let mut mode = None;
    for (name, path) in &op.lower {
        let place = at::resolve(host, path)?;
        let tree = mount::clone_tree(place.as_fd())?;
        mount::set_attributes(tree.as_fd(), LOWER, true)?;
        // The directory itself has the mode of its uppermost layer, which is to be that of what it shows.
        mode = match mode {
            None => Some(at::mode(tree.as_fd())? & 0o1777),
            some => some,
        };
        at::make_directory(layers.as_fd(), name, 0o755)?;
        mount::attach_at(tree.as_fd(), layers.as_fd(), name)?;
    }
    match &op.upper {
        None => {
            at::make_directory(layers.as_fd(), c"upper", 0o755)?;
            at::set_mode(layers.as_fd(), c"upper", mode.unwrap_or(0o755))?;
            at::make_directory(layers.as_fd(), c"work", 0o755)?;
        }
        Some(path) => {
            let place = at::resolve(host, path)?;
            let tree = mount::clone_tree(place.as_fd())?;
            at::make_directory(layers.as_fd(), c"changes", 0o755)?;
            mount::attach_at(tree.as_fd(), layers.as_fd(), c"changes")?;
        }
    }
    at::enter(layers.as_fd())?;
    let overlay = mount::open_filesystem(c"overlay")?;
    for (key, value) in &op.options {
        mount::configure(overlay.as_fd(), key, value.as_deref())?;
    }
    let made = mount::make_mount(overlay.as_fd(), attribute::NOSUID | attribute::NODEV)?;
    // The overlay has layers of its own now; by no path are these found any more.
    mount::detach_here()?;
    Ok(made)
}
