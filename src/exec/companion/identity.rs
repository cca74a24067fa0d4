//! A root directory of a companion's own, which is the host's with one file more: by it portals know for whom it speaks.
//!
//! Everything that needs memory is made before there is a process. What that process cannot be shown is left out: the companion
//! tells by itself if it lacks something.

use std::ffi::CString;
use std::fs::{DirBuilder, read_dir, read_link, remove_file};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use crate::kernel::mount::{self, attribute};
use crate::kernel::{Errno, at, descriptor, namespace};
use crate::plan::companion::Identity;

/// Where they look for a process in the namespaces of the program.
const INSTANCE: &str = "bwrapinfo.json";

/// What the process needs to move into its root.
pub(super) struct Root {
    shown: Vec<(CString, Shown)>,
    info: Vec<u8>,
    maps: [(CString, Vec<u8>); 3],
    real_root: bool,
}

enum Shown {
    Directory,
    Link(CString),
}

/// A link by which portals find what is known of a run; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Known(PathBuf);

impl Drop for Known {
    fn drop(&mut self) {
        let _ = remove_file(&self.0);
    }
}

impl Known {
    /// Says in the directory of the run which process is in the program's namespaces, and where Flatpak describes instances
    /// that it stands there. It is a link, so that Flatpak does not take it for one of its own.
    pub(super) fn of(identity: &Identity, run: &Path, program: i32) -> io::Result<Self> {
        std::fs::write(run.join(INSTANCE), format!("{{\"child-pid\": {program}}}"))?;
        let mut builder = DirBuilder::new();
        match builder.mode(0o755).create(&identity.instances) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => forget_gone(&identity.instances),
        }
        let link = identity.instances.join(instance(run));
        symlink(run, &link)?;
        Ok(Self(link))
    }
}

/// Removes what launchers left that were killed: links into nothing.
fn forget_gone(instances: &Path) {
    for entry in read_dir(instances).into_iter().flatten().flatten() {
        let path = entry.path();
        let gone = read_link(&path).is_ok_and(|run| {
            let above = run.parent().and_then(Path::file_name);
            above.is_some_and(|name| name == ".run") && !run.exists()
        });
        if gone {
            let _ = remove_file(path);
        }
    }
}

/// What the run is called: as the directory of it.
fn instance(run: &Path) -> String {
    run.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Root {
    /// Looks what there is at the root, and writes down what is to be said.
    pub(super) fn prepare(identity: &Identity, run: &Path) -> io::Result<Self> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
        let mut shown = Vec::new();
        for entry in read_dir("/")? {
            let entry = entry?;
            let name = text(entry.file_name().as_bytes())?;
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                let target = read_link(entry.path())?;
                shown.push((name, Shown::Link(text(target.as_os_str().as_bytes())?)));
            } else if kind.is_dir() {
                shown.push((name, Shown::Directory));
            }
        }
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let map = |id: u32| format!("{id} {id} 1").into_bytes();
        Ok(Self {
            shown,
            info: identity.info(&instance(run)).into_bytes(),
            maps: [
                (c"/proc/self/setgroups".to_owned(), b"deny".to_vec()),
                (c"/proc/self/uid_map".to_owned(), map(user.as_raw())),
                (c"/proc/self/gid_map".to_owned(), map(group.as_raw())),
            ],
            real_root: user.is_root(),
        })
    }

    /// Moves the calling process there. Allocates nothing.
    pub(super) fn enter(&self) -> Result<(), Errno> {
        if !self.real_root || namespace::unshare(libc::CLONE_NEWNS).is_err() {
            namespace::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
            for (path, text) in &self.maps {
                let file = at::open(at::working_directory(), path, libc::O_WRONLY, 0)?;
                descriptor::write(file.as_fd(), text)?;
            }
        }
        mount::make_private()?;
        let context = mount::open_filesystem(c"tmpfs")?;
        mount::configure(context.as_fd(), c"mode", Some(c"0755"))?;
        mount::configure(context.as_fd(), c"size", Some(c"1M"))?;
        let tree = mount::make_mount(context.as_fd(), attribute::NOSUID | attribute::NODEV)?;
        let host = at::open(
            at::working_directory(),
            c"/",
            libc::O_PATH | libc::O_DIRECTORY,
            0,
        )?;
        // A mount is attached below one that has a place.
        mount::attach_over_root(tree.as_fd())?;
        for (name, shown) in &self.shown {
            // Errors leave it out.
            let _ = match shown {
                Shown::Directory => mount::clone_tree_at(host.as_fd(), name).and_then(|part| {
                    at::make_directory(tree.as_fd(), name, 0o755)?;
                    mount::attach_at(part.as_fd(), tree.as_fd(), name)
                }),
                Shown::Link(target) => at::make_link(target, tree.as_fd(), name),
            };
        }
        self.say(tree.as_fd())?;
        mount::pivot(tree.as_fd())
    }

    fn say(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        let file = at::open(
            root,
            c".flatpak-info",
            libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
            0o444,
        )?;
        match descriptor::write(file.as_fd(), &self.info) {
            Ok(length) if length == self.info.len() => Ok(()),
            Ok(_) => Err(Errno::EIO),
            Err(errno) => Err(errno),
        }
    }
}
