//! Operations of the child, carried out: one arm of a match and one call of the kernel each. Allocates nothing.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::mount::attribute;
use crate::kernel::{
    Errno, at, capability, descriptor, mount, namespace, process, seccomp, terminal,
};

use super::child::GO;
use super::overlay;
use super::prepared::{Op, Place, RootOp};

/// The child to the launcher: here is the other end of the program's terminal.
pub(super) const TERMINAL: &[u8] = b"tty";
/// The child to the launcher: the view stands, and what may be made in it later is to be looked after.
pub(super) const VIEW: &[u8] = b"view";
/// What covers something else can only be looked at.
pub(super) const COVER: u64 =
    attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;
/// Descriptors that are not closed one by one: few beside the least limit that anybody sets (RLIMIT_NOFILE).
const MOST_LEFT: usize = 48;

/// What operations leave for later ones.
#[derive(Default)]
pub(super) struct State<'a> {
    /// The root of the host.
    host: Option<OwnedFd>,
    /// Where the directory of the run is.
    pub run: Option<&'a CStr>,
    /// The directory of the host that was used last.
    source: Option<Near<'a>>,
    /// The directory inside that was used last.
    target: Option<Near<'a>>,
    /// The root of the new tree.
    root: Option<OwnedFd>,
    /// A file system of ours, unreachable by any path, from which masks and texts are mounted.
    scratch: Option<OwnedFd>,
    /// The first directory that covers something where there is no such file system: others show the same one, which
    /// costs a mount each, not a file system.
    closed: Option<OwnedFd>,
    /// The program's own terminal.
    pub terminal: Option<OwnedFd>,
    /// Whether what is made in the view later is looked after.
    pub kept: bool,
    /// How many descriptors are left to exec, or to process 1 when it closes all at once.
    left: usize,
}

impl<'a> State<'a> {
    /// Nothing yet.
    pub(super) fn new(run: Option<&'a CStr>) -> Self {
        Self {
            run,
            ..Self::default()
        }
    }

    /// Has a descriptor closed with all others later, which saves a call; at once when there are many already. All
    /// that the child opens closes on exec.
    fn leave(&mut self, fd: OwnedFd) {
        if self.left < MOST_LEFT {
            self.left += 1;
            std::mem::forget(fd);
        }
    }
}

/// An open directory, and the path at which it was found. Neighbours share it: a whole /dev is made through one.
struct Near<'a> {
    path: &'a CStr,
    directory: OwnedFd,
}

fn root_of<'s>(state: &'s State<'_>) -> Result<BorrowedFd<'s>, Errno> {
    state.root.as_ref().map(AsFd::as_fd).ok_or(Errno::EBADF)
}

/// The root of the host: still the own one, whatever is stacked on it.
pub(super) fn host_of<'s>(state: &'s mut State<'_>) -> Result<BorrowedFd<'s>, Errno> {
    if state.host.is_none() {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        state.host = Some(at::open(at::working_directory(), c"/", flags, 0)?);
    }
    state.host.as_ref().map(AsFd::as_fd).ok_or(Errno::EBADF)
}

/// The directory of something on the host.
fn source_of<'s, 'a>(state: &'s mut State<'a>, path: &'a CStr) -> Result<BorrowedFd<'s>, Errno> {
    if state.source.as_ref().is_none_or(|near| near.path != path) {
        let directory = at::resolve(host_of(state)?, path)?;
        state.source = Some(Near { path, directory });
    }
    let near = state.source.as_ref().ok_or(Errno::EBADF)?;
    Ok(near.directory.as_fd())
}

/// The directory of something inside.
fn target_of<'s, 'a>(state: &'s mut State<'a>, path: &'a CStr) -> Result<BorrowedFd<'s>, Errno> {
    if state.target.as_ref().is_none_or(|near| near.path != path) {
        let directory = at::resolve(root_of(state)?, path)?;
        if let Some(before) = state.target.replace(Near { path, directory }) {
            state.leave(before.directory);
        }
    }
    let near = state.target.as_ref().ok_or(Errno::EBADF)?;
    Ok(near.directory.as_fd())
}

/// The same, made with its parents where it is missing.
fn made_target_of<'s, 'a>(
    state: &'s mut State<'a>,
    path: &'a CStr,
) -> Result<BorrowedFd<'s>, Errno> {
    if target_of(state, path).err() == Some(Errno::ENOENT) {
        at::make_directories(root_of(state)?, path, 0o755)?;
    }
    target_of(state, path)
}

fn attach<'a>(state: &mut State<'a>, tree: OwnedFd, place: &'a Place) -> Result<(), Errno> {
    attach_open(state, tree.as_fd(), place)?;
    state.leave(tree);
    Ok(())
}

/// The same for a tree that is used again.
fn attach_open<'a>(
    state: &mut State<'a>,
    tree: BorrowedFd<'_>,
    place: &'a Place,
) -> Result<(), Errno> {
    let directory = target_of(state, &place.parent)?;
    mount::attach_at(tree, directory, &place.name)?;
    // The directory that is kept is the parent of what has just been covered, so that it stays what its path leads
    // to, unless the root itself was covered.
    if place.name.as_c_str() == c"." {
        state.target = None;
    }
    Ok(())
}

/// Carries one operation out.
pub(super) fn carry_out<'a>(
    op: &'a Op,
    state: &mut State<'a>,
    socket: BorrowedFd<'_>,
) -> Result<(), Errno> {
    match op {
        Op::Join { file, kind } => namespace::setns(file.as_fd(), *kind),
        Op::Unshare(flags) => namespace::unshare(*flags),
        Op::NewSessionKeyring => process::new_session_keyring(),
        Op::Hostname(name) => namespace::sethostname(name),
        Op::LoopbackUp => namespace::loopback_up(),
        Op::PrivatePropagation => mount::make_private(),
        Op::NewRoot {
            from,
            attributes,
            scratch,
        } => new_root(from, *attributes, *scratch, state),
        Op::MakeDirectory { path, place, mode } => make_directory(state, path, place, *mode),
        Op::MakeFile(place) => {
            let parent = made_target_of(state, &place.parent)?;
            match at::make_file(parent, &place.name, 0o644) {
                Err(Errno::EEXIST) => Ok(()),
                other => other,
            }
        }
        Op::MakeLink { place, target } => {
            make_link(made_target_of(state, &place.parent)?, &place.name, target)
        }
        Op::MountHost {
            source,
            target,
            attributes,
        } => {
            let directory = source_of(state, &source.parent)?;
            let tree = mount::clone_tree_at(directory, &source.name)?;
            mount::set_attributes(tree.as_fd(), *attributes, true)?;
            attach(state, tree, target)
        }
        Op::MountMade {
            name,
            target,
            attributes,
        } => {
            let directory = source_of(state, state.run.ok_or(Errno::EBADF)?)?;
            let tree = mount::clone_tree_behind(directory, name)?;
            mount::set_attributes(tree.as_fd(), *attributes, true)?;
            attach(state, tree, target)
        }
        Op::MountOverlay { overlay, target } => {
            let tree = overlay::make(overlay, host_of(state)?)?;
            attach(state, tree, target)
        }
        Op::Restrict { path, read_only } => {
            let place = at::resolve(root_of(state)?, path)?;
            let tree = mount::clone_tree(place.as_fd())?;
            // A part of a read-only part may be writable again.
            let (set, clear) = if *read_only {
                (attribute::RDONLY, 0)
            } else {
                (0, attribute::RDONLY)
            };
            mount::change_attributes(tree.as_fd(), set, clear, true)?;
            mount::attach(tree.as_fd(), place.as_fd())
        }
        Op::MountNew {
            kind,
            options,
            target,
            attributes,
        } => {
            let context = mount::open_filesystem(kind)?;
            for (key, value) in options {
                mount::configure(context.as_fd(), key, value.as_deref())?;
            }
            let made = mount::make_mount(context.as_fd(), *attributes)?;
            state.leave(context);
            attach(state, made, target)
        }
        Op::Mask {
            place,
            directory: true,
        } if state.scratch.is_none() => close_directory(state, place),
        Op::Mask { place, directory } => {
            let source = if *directory { c"directory" } else { c"file" };
            cover(state, source, place)
        }
        Op::Text {
            target,
            name,
            content,
        } => {
            let scratch = state.scratch.as_ref().ok_or(Errno::EBADF)?;
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
            let file = at::open(scratch.as_fd(), name, flags, 0o444)?;
            let mut rest = content.as_slice();
            while !rest.is_empty() {
                let written = descriptor::write(file.as_fd(), rest)?;
                rest = rest.get(written..).ok_or(Errno::EIO)?;
            }
            cover(state, name, target)
        }
        Op::Seal { path } => {
            let place = at::resolve(root_of(state)?, path)?;
            mount::set_attributes(place.as_fd(), attribute::RDONLY, false)?;
            state.leave(place);
            Ok(())
        }
        Op::NoExecution { path } => {
            let place = at::resolve(root_of(state)?, path)?;
            mount::set_attributes(place.as_fd(), attribute::NOEXEC, true)?;
            state.leave(place);
            Ok(())
        }
        Op::PivotRoot { read_only } => pivot(state, *read_only),
        Op::AwaitKeeper => {
            await_keeper(socket)?;
            state.kept = true;
            Ok(())
        }
        Op::NewTerminal {
            attributes,
            size,
            replace,
        } => new_terminal(attributes.as_ref(), size.as_ref(), *replace, state, socket),
        Op::NewSession => process::new_session(),
        Op::DropGroups => process::drop_groups(),
        Op::NoNewPrivileges => process::no_new_privileges(),
        Op::Landlock(rules) => rules.hold(|fd| state.leave(fd)),
        Op::DropBounding { keep, last } => drop_bounding(*keep, *last),
        Op::KeepCapabilities { keep, ambient } => capability::keep_only(*keep, *ambient),
        Op::ResourceLimit { resource, value } => process::set_limit(*resource, *value),
        Op::CpuAffinity(cpus) => process::set_affinity(cpus),
        Op::Umask(mask) => {
            process::set_umask(*mask);
            Ok(())
        }
        Op::WorkingDirectory(candidates) => working_directory(candidates),
        Op::CloseDescriptors => descriptor::close_from_on_exec(3),
        Op::Seccomp(program) => seccomp::install(program),
    }
}

fn new_root(
    from: &RootOp,
    attributes: u64,
    scratch: bool,
    state: &mut State<'_>,
) -> Result<(), Errno> {
    let tree = match from {
        RootOp::Host => mount::clone_tree(host_of(state)?)?,
        RootOp::Directory(path) => mount::clone_tree(at::resolve(host_of(state)?, path)?.as_fd())?,
        RootOp::Empty => {
            let context = mount::open_filesystem(c"tmpfs")?;
            mount::configure(context.as_fd(), c"mode", Some(c"0755"))?;
            mount::configure(context.as_fd(), c"size", Some(c"4M"))?;
            mount::make_mount(context.as_fd(), attribute::NOSUID | attribute::NODEV)?
        }
        RootOp::Overlay(overlay) => overlay::make(overlay, host_of(state)?)?,
    };
    if !matches!(from, RootOp::Empty) {
        mount::set_attributes(tree.as_fd(), attributes, true)?;
    }
    // Only now, so that the tree has no copy of it.
    if scratch {
        state.scratch = Some(make_scratch()?);
    }
    mount::attach_over_root(tree.as_fd())?;
    state.root = Some(tree);
    Ok(())
}

/// Attaches a file system of ours over the root, with a file and a directory to cover others with.
pub(super) fn make_scratch() -> Result<OwnedFd, Errno> {
    let context = mount::open_filesystem(c"tmpfs")?;
    mount::configure(context.as_fd(), c"mode", Some(c"0700"))?;
    let made = mount::make_mount(
        context.as_fd(),
        attribute::NOSUID | attribute::NODEV | attribute::NOEXEC,
    )?;
    mount::attach_over_root(made.as_fd())?;
    // Closed to everybody: mode 0. Nothing can be found in them anyway.
    at::make_directory(made.as_fd(), c"directory", 0)?;
    at::open(
        made.as_fd(),
        c"file",
        libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
        0,
    )?;
    Ok(made)
}

fn cover<'a>(state: &mut State<'a>, source: &CStr, target: &'a Place) -> Result<(), Errno> {
    let scratch = state.scratch.as_ref().ok_or(Errno::EBADF)?;
    let tree = mount::clone_tree_at(scratch.as_fd(), source)?;
    mount::set_attributes(tree.as_fd(), COVER, true)?;
    attach(state, tree, target)
}

/// Covers a directory with an empty one that nobody may enter.
fn close_directory<'a>(state: &mut State<'a>, place: &'a Place) -> Result<(), Errno> {
    if let Some(first) = &state.closed {
        let again = mount::clone_tree(first.as_fd())?;
        return attach(state, again, place);
    }
    let tmpfs = mount::open_filesystem(c"tmpfs")?;
    mount::configure(tmpfs.as_fd(), c"mode", Some(c"0"))?;
    let made = mount::make_mount(tmpfs.as_fd(), COVER)?;
    state.leave(tmpfs);
    attach_open(state, made.as_fd(), place)?;
    state.closed = Some(made);
    Ok(())
}

fn make_directory<'a>(
    state: &mut State<'a>,
    path: &CStr,
    place: &'a Place,
    mode: u32,
) -> Result<(), Errno> {
    let made = target_of(state, &place.parent)
        .and_then(|parent| at::make_directory(parent, &place.name, mode));
    match made {
        Ok(()) => Ok(()),
        // Parents may be missing; or something is there, which must be a directory.
        Err(_) => at::make_directories(root_of(state)?, path, mode).map(drop),
    }
}

fn make_link(parent: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<(), Errno> {
    match at::make_link(target, parent, name) {
        Err(Errno::EEXIST) => {
            let mut says = [0u8; libc::PATH_MAX as usize];
            let length = at::read_link(parent, name, &mut says)?;
            if says.get(..length) == Some(target.to_bytes()) {
                Ok(())
            } else {
                Err(Errno::EEXIST)
            }
        }
        other => other,
    }
}

fn pivot(state: &mut State<'_>, read_only: bool) -> Result<(), Errno> {
    let root = root_of(state)?;
    // What was promised is looked at once more before anything of the host is let go.
    if read_only && !mount::is_read_only(root)? {
        return Err(Errno::EROFS);
    }
    mount::pivot(root)?;
    let inside = [
        state.root.take(),
        state.target.take().map(|near| near.directory),
        state.closed.take(),
    ];
    for directory in inside.into_iter().flatten() {
        state.leave(directory);
    }
    // Nothing that leads out of the new root stays open.
    *state = State {
        terminal: state.terminal.take(),
        left: state.left,
        ..State::default()
    };
    Ok(())
}

/// Waits until somebody looks after what is made in the view from now on.
fn await_keeper(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    descriptor::send(socket, VIEW)?;
    let mut word = [0u8; 8];
    match descriptor::read(socket, &mut word)? {
        length if word.get(..length) == Some(GO) => Ok(()),
        // The launcher is gone, or has given up.
        _ => Err(Errno::ECANCELED),
    }
}

fn new_terminal(
    attributes: Option<&libc::termios>,
    size: Option<&libc::winsize>,
    replace: [bool; 3],
    state: &mut State<'_>,
    socket: BorrowedFd<'_>,
) -> Result<(), Errno> {
    process::new_session()?;
    if replace == [false; 3] {
        return Ok(());
    }
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let master = at::open(at::working_directory(), c"/dev/ptmx", flags, 0)?;
    terminal::unlock(master.as_fd())?;
    let peer = terminal::peer(master.as_fd())?;
    if let Some(attributes) = attributes {
        terminal::set_attributes(peer.as_fd(), attributes)?;
    }
    if let Some(size) = size {
        terminal::set_size(peer.as_fd(), size)?;
    }
    terminal::make_controlling(peer.as_fd())?;
    descriptor::send_descriptor(socket, TERMINAL, master.as_fd())?;
    for (fd, replace) in (0..).zip(replace) {
        if replace {
            descriptor::duplicate_onto(peer.as_fd(), fd)?;
        }
    }
    state.terminal = Some(peer);
    Ok(())
}

fn drop_bounding(keep: u64, last: u32) -> Result<(), Errno> {
    for number in 0..=last.min(63) {
        if keep & (1 << number) == 0 {
            capability::drop_bounding(number)?;
        }
    }
    Ok(())
}

fn working_directory(candidates: &[std::ffi::CString]) -> Result<(), Errno> {
    let mut reason = Errno::ENOENT;
    for candidate in candidates {
        match at::change_directory(candidate) {
            Ok(()) => return Ok(()),
            Err(errno) => reason = errno,
        }
    }
    Err(reason)
}
