//! What happens between clone and exec. Allocates nothing, decides nothing: a match over prepared operations.
//!
//! On the first failure the child writes (step, errno) to the launcher and ends.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::mount::attribute;
use crate::kernel::process::exit;
use crate::kernel::{
    Errno, at, capability, clone, descriptor, mount, namespace, process, seccomp, signal, terminal,
};

use super::prepare::{ExecOp, Op, Prepared, RootOp};

/// The launcher to the child: its ids, its group and all else that is done from outside are in place.
pub(super) const GO: &[u8] = b"go";
/// The child to the launcher: everything is done but the filter and exec. Before this a silent end is a failure.
pub(super) const READY: &[u8] = b"ready";
/// The child to the launcher: here is the other end of the program's terminal.
pub(super) const TERMINAL: &[u8] = b"tty";
/// A failure is (step, errno), each four bytes in native order.
pub(super) const FAILURE_LENGTH: usize = 8;

/// What the child gets beside [`Prepared`].
pub(super) struct Lines<'a> {
    /// To the launcher; closed by exec.
    pub socket: OwnedFd,
    /// Where process 1 says that the program was stopped on its terminal.
    pub status: Option<OwnedFd>,
    /// Pointers into the strings of [`ExecOp`], with null at the end.
    pub arguments: &'a [*const libc::c_char],
    /// The same for the environment.
    pub environment: &'a [*const libc::c_char],
    /// Whether SIGHUP was ignored when the launcher started (nohup(1)).
    pub keep_hangup_ignored: bool,
}

/// What operations leave for later ones.
#[derive(Default)]
struct State {
    /// The root of the new tree.
    root: Option<OwnedFd>,
    /// A file system of ours, unreachable by any path, from which masks and texts are mounted.
    scratch: Option<OwnedFd>,
    /// The program's own terminal.
    terminal: Option<OwnedFd>,
}

/// The child's life. Never returns.
pub(super) fn run(prepared: &Prepared, lines: Lines<'_>) -> ! {
    let socket = lines.socket.as_fd();
    if prepared.die_with_parent && process::die_with_parent(libc::SIGKILL).is_err() {
        fail(socket, u32::MAX, Errno::last());
    }
    // If the launcher died before that was armed, its end of the socket is closed, and this ends too.
    let mut word = [0u8; 8];
    match descriptor::read(socket, &mut word) {
        Ok(length) if word.get(..length) == Some(GO) => {}
        _ => exit(125),
    }
    // From here on nobody can look into this process or trace it, until the program is started.
    if let Err(errno) = process::undumpable() {
        fail(socket, u32::MAX, errno);
    }
    let mut state = State::default();
    for (step, op) in &prepared.child {
        if let Err(errno) = carry_out(op, &mut state, socket) {
            fail(socket, *step, errno);
        }
    }
    if !prepared.init {
        become_program(prepared, &lines, &state);
    }
    match clone::fork() {
        Err(errno) => fail(socket, prepared.execute.step, errno),
        Ok(0) => become_program(prepared, &lines, &state),
        Ok(program) => super::init::run(prepared, program, state.terminal, lines),
    }
}

/// Says which step failed and why, and ends.
pub(super) fn fail(socket: BorrowedFd<'_>, step: u32, errno: Errno) -> ! {
    let mut message = [0u8; FAILURE_LENGTH];
    let (first, second) = message.split_at_mut(4);
    first.copy_from_slice(&step.to_ne_bytes());
    second.copy_from_slice(&(errno as i32).to_ne_bytes());
    // Nobody is left to be told if this fails; the exit status says it as well.
    let _ = descriptor::send(socket, &message);
    exit(125)
}

fn become_program(prepared: &Prepared, lines: &Lines<'_>, state: &State) -> ! {
    let socket = lines.socket.as_fd();
    process::set_umask(prepared.umask);
    if prepared.init && prepared.new_terminal {
        // The group must be in the foreground before the program can ask for its terminal.
        let group = process::new_group().and_then(|()| match &state.terminal {
            Some(terminal) => terminal::set_foreground(terminal.as_fd(), terminal::own_group()),
            None => Ok(()),
        });
        if let Err(errno) = group {
            fail(socket, prepared.execute.step, errno);
        }
    }
    signal::reset_actions(lines.keep_hangup_ignored);
    let mut told = false;
    for (step, op) in &prepared.program {
        if matches!(op, Op::Seccomp(_)) {
            // The filter may forbid everything that follows but exec.
            ready(socket);
            told = true;
            if let Err(errno) = signal::unblock_all() {
                fail(socket, *step, errno);
            }
        }
        if let Err(errno) = carry_out(op, &mut State::default(), socket) {
            fail(socket, *step, errno);
        }
    }
    if !told {
        ready(socket);
        if let Err(errno) = signal::unblock_all() {
            fail(socket, prepared.execute.step, errno);
        }
    }
    execute(&prepared.execute, lines)
}

fn ready(socket: BorrowedFd<'_>) {
    if descriptor::send(socket, READY).is_err() {
        exit(125);
    }
}

fn execute(op: &ExecOp, lines: &Lines<'_>) -> ! {
    let mut reason = Errno::ENOENT;
    for candidate in &op.candidates {
        match process::execute(candidate, lines.arguments, lines.environment) {
            // As a shell does: a directory without the program, or one that is not there, is passed over.
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => reason = Errno::EACCES,
            other => {
                reason = other;
                break;
            }
        }
    }
    let mut message = [0u8; FAILURE_LENGTH];
    let (first, second) = message.split_at_mut(4);
    first.copy_from_slice(&op.step.to_ne_bytes());
    second.copy_from_slice(&(reason as i32).to_ne_bytes());
    // Under a filter this may not get through; the exit status says it too.
    let _ = descriptor::send(lines.socket.as_fd(), &message);
    exit(if reason == Errno::ENOENT { 127 } else { 126 })
}

fn root_of(state: &State) -> Result<BorrowedFd<'_>, Errno> {
    state.root.as_ref().map(AsFd::as_fd).ok_or(Errno::EBADF)
}

/// A path of the host. The root is still the old one, whatever is stacked on it.
fn host(path: &CStr) -> Result<OwnedFd, Errno> {
    let old_root = at::open(
        at::working_directory(),
        c"/",
        libc::O_PATH | libc::O_DIRECTORY,
        0,
    )?;
    at::resolve(old_root.as_fd(), path)
}

fn carry_out(op: &Op, state: &mut State, socket: BorrowedFd<'_>) -> Result<(), Errno> {
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
        Op::MakeDirectory { path, mode } => {
            at::make_directories(root_of(state)?, path, *mode).map(drop)
        }
        Op::MakeFile { parent, name } => make_file(root_of(state)?, parent, name),
        Op::MakeLink {
            parent,
            name,
            target,
        } => make_link(root_of(state)?, parent, name, target),
        Op::MountHost {
            source,
            target,
            attributes,
        } => {
            let tree = mount::clone_tree(host(source)?.as_fd())?;
            mount::set_attributes(tree.as_fd(), *attributes, true)?;
            mount::attach(tree.as_fd(), at::resolve(root_of(state)?, target)?.as_fd())
        }
        Op::Restrict { path, attributes } => {
            let place = at::resolve(root_of(state)?, path)?;
            let tree = mount::clone_tree(place.as_fd())?;
            mount::set_attributes(tree.as_fd(), *attributes, true)?;
            mount::attach(tree.as_fd(), place.as_fd())
        }
        Op::MountNew {
            kind,
            options,
            target,
            attributes,
        } => {
            let place = at::resolve(root_of(state)?, target)?;
            let context = mount::open_filesystem(kind)?;
            for (key, value) in options {
                mount::configure(context.as_fd(), key, value.as_deref())?;
            }
            mount::attach(
                mount::make_mount(context.as_fd(), *attributes)?.as_fd(),
                place.as_fd(),
            )
        }
        Op::Mask { path, directory } => {
            let source = if *directory { c"directory" } else { c"file" };
            cover(state, source, path)
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
            mount::set_attributes(place.as_fd(), attribute::RDONLY, false)
        }
        Op::PivotRoot { read_only } => pivot(state, *read_only),
        Op::NewTerminal {
            attributes,
            size,
            replace,
        } => new_terminal(attributes.as_ref(), size.as_ref(), *replace, state, socket),
        Op::NewSession => process::new_session(),
        Op::NoNewPrivileges => process::no_new_privileges(),
        Op::DropBounding { keep, last } => drop_bounding(*keep, *last),
        Op::KeepCapabilities { keep, ambient } => capability::keep_only(*keep, *ambient),
        Op::ResourceLimit { resource, value } => process::set_limit(*resource, *value),
        Op::Nice(value) => process::set_nice(*value),
        Op::Umask(mask) => {
            process::set_umask(*mask);
            Ok(())
        }
        Op::WorkingDirectory(candidates) => working_directory(candidates),
        Op::CloseDescriptors => descriptor::close_from_on_exec(3),
        Op::Seccomp(program) => seccomp::install(program),
    }
}

fn new_root(from: &RootOp, attributes: u64, scratch: bool, state: &mut State) -> Result<(), Errno> {
    if scratch {
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
        state.scratch = Some(made);
    }
    let tree = match from {
        RootOp::Host => mount::clone_tree(host(c"/")?.as_fd())?,
        RootOp::Directory(path) => mount::clone_tree(host(path)?.as_fd())?,
        RootOp::Empty => {
            let context = mount::open_filesystem(c"tmpfs")?;
            mount::configure(context.as_fd(), c"mode", Some(c"0755"))?;
            mount::configure(context.as_fd(), c"size", Some(c"4M"))?;
            mount::make_mount(context.as_fd(), attribute::NOSUID | attribute::NODEV)?
        }
    };
    if !matches!(from, RootOp::Empty) {
        mount::set_attributes(tree.as_fd(), attributes, true)?;
    }
    mount::attach_over_root(tree.as_fd())?;
    state.root = Some(tree);
    Ok(())
}

fn cover(state: &State, source: &CStr, target: &CStr) -> Result<(), Errno> {
    let scratch = state.scratch.as_ref().ok_or(Errno::EBADF)?;
    let source = at::open(scratch.as_fd(), source, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    let tree = mount::clone_tree(source.as_fd())?;
    let attributes = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;
    mount::set_attributes(tree.as_fd(), attributes, true)?;
    mount::attach(tree.as_fd(), at::resolve(root_of(state)?, target)?.as_fd())
}

fn make_file(root: BorrowedFd<'_>, parent: &CStr, name: &CStr) -> Result<(), Errno> {
    let parent = at::make_directories(root, parent, 0o755)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    match at::open(parent.as_fd(), name, flags, 0o644) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn make_link(root: BorrowedFd<'_>, parent: &CStr, name: &CStr, target: &CStr) -> Result<(), Errno> {
    let parent = at::make_directories(root, parent, 0o755)?;
    match at::make_link(target, parent.as_fd(), name) {
        Err(Errno::EEXIST) => {
            let mut says = [0u8; libc::PATH_MAX as usize];
            let length = at::read_link(parent.as_fd(), name, &mut says)?;
            if says.get(..length) == Some(target.to_bytes()) {
                Ok(())
            } else {
                Err(Errno::EEXIST)
            }
        }
        other => other,
    }
}

fn pivot(state: &mut State, read_only: bool) -> Result<(), Errno> {
    let root = root_of(state)?;
    // What was promised is looked at once more before anything of the host is let go.
    if read_only && !mount::is_read_only(root)? {
        return Err(Errno::EROFS);
    }
    mount::pivot(root)?;
    state.root = None;
    state.scratch = None;
    Ok(())
}

fn new_terminal(
    attributes: Option<&libc::termios>,
    size: Option<&libc::winsize>,
    replace: [bool; 3],
    state: &mut State,
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
        if keep & (1 << number) == 0 && capability::in_bounding(number)? {
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
