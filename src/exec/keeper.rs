//! The process that hides what gets a hidden name while the sandbox lives.
//!
//! It is a copy of the launcher, outside of the sandbox's pid namespace and of its control group, in the user and mount
//! namespaces of the sandbox: nobody inside can trace it or read its memory, and where somebody can see it and kill it, for want
//! of a pid namespace, the program ends with it. It is there before the program is started, watches the directories that
//! matter as the program sees them (`tree`), and mounts something closed over what appears (`cover`). It lives as long as the
//! launcher's child, whatever becomes of the launcher.
//!
//! Before it looks at the first name it gives up all privileges but those that it needs for that (`privileges`).
//!
//! What cannot be hidden ends the program. What cannot be watched is told.

mod cover;
mod privileges;
mod tree;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::kernel::clone::{Side, clone3};
use crate::kernel::{
    Errno, at, descriptor, heap, inotify, memory, namespace, process, signal, status,
};
use crate::plan::step::NamespaceKind;
use crate::report::escape;
use crate::section::filesystem::later::Names;

use cover::Covers;
use tree::{Lost, Tree, Unwatched};

use super::child::live_apart;
use super::failure::LaunchError;
use super::prepared::Prepared;

/// The first byte of what it says: it has looked at everything, and watches.
const READY: u8 = b'r';
/// It could not begin: an errno.
const FAILED: u8 = b'f';
/// A directory is not watched: an errno and its path.
const UNWATCHED: u8 = b'u';
/// Something could not be hidden: an errno and its path.
const LOST: u8 = b'l';
/// The longest message: a path of the kernel's, and what comes before.
const LONGEST: usize = 4096 + 5;
/// Above all descriptors that it keeps.
const ABOVE: i32 = 32;

/// The namespaces that a child sees its files in.
pub(super) struct View {
    user: Option<OwnedFd>,
    mount: OwnedFd,
}

impl View {
    /// Opens them, if the plan wants names kept away. The child must still wait: later nobody can open them.
    pub(super) fn open(
        prepared: &Prepared,
        child: libc::pid_t,
    ) -> Result<Option<Self>, LaunchError> {
        let Some((step, _)) = &prepared.names else {
            return Ok(None);
        };
        let failed = |errno| LaunchError::at_step(*step as usize, errno);
        let is_new =
            |kind: libc::c_int| prepared.clone_flags & u64::from(kind.cast_unsigned()) != 0;
        let open = |kind: NamespaceKind| -> Result<OwnedFd, LaunchError> {
            let name = kind.file();
            let file = File::open(format!("/proc/{child}/ns/{name}"));
            let file = file.map_err(|error| failed(errno(&error)))?;
            let own = std::fs::metadata(format!("/proc/self/ns/{name}"));
            let own = own.map_err(|error| failed(errno(&error)))?;
            let its = file.metadata().map_err(|error| failed(errno(&error)))?;
            // Nothing is ever mounted in the caller's own.
            match its.ino() == own.ino() {
                true => Err(failed(Errno::EXDEV)),
                false => Ok(file.into()),
            }
        };
        Ok(Some(Self {
            user: match is_new(libc::CLONE_NEWUSER) {
                true => Some(open(NamespaceKind::User)?),
                false => None,
            },
            mount: open(NamespaceKind::Mount)?,
        }))
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// What it says.
pub(super) enum Said {
    /// The program can be started.
    Ready,
    /// The program cannot be started.
    Failed(Errno),
    /// To be told, in words.
    Warning(String),
    /// It is gone.
    Ended,
}

/// The launcher's side.
pub(super) struct Keeper {
    /// The step that asked for it.
    pub step: usize,
    pidfd: OwnedFd,
    socket: Option<OwnedFd>,
    /// Whether it has begun.
    pub ready: bool,
}

impl Keeper {
    /// Starts it; it says when it is ready.
    pub(super) fn start(
        step: u32,
        names: &Names,
        view: View,
        child: BorrowedFd<'_>,
    ) -> Result<Self, Errno> {
        let (own, its) = descriptor::socket_pair()?;
        match clone3(0, None)? {
            Side::Child => live(names, &view, child, &its),
            Side::Parent(keeper) => {
                heap::share();
                Ok(Self {
                    step: step as usize,
                    pidfd: keeper.pidfd,
                    socket: Some(own),
                    ready: false,
                })
            }
        }
    }

    /// What becomes readable when it has something to say.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Whether somebody has stopped it, so that it does not do its work.
    pub(super) fn is_stopped(&self) -> bool {
        let change = process::wait_for(self.pidfd.as_fd(), libc::WSTOPPED | libc::WNOHANG);
        matches!(change, Ok(Some(process::Change::Stopped(_))))
    }

    /// Takes one message.
    #[inline(never)] // what is as long as a message is not to lie on the stack of who waits for one
    pub(super) fn hear(&mut self) -> Said {
        let mut message = [0; LONGEST];
        let length = match &self.socket {
            Some(socket) => descriptor::read(socket.as_fd(), &mut message).unwrap_or(0),
            None => 0,
        };
        let word: Option<[u8; 4]> = message.get(1..5).and_then(|word| word.try_into().ok());
        let errno = Errno::from_raw(word.map(i32::from_ne_bytes).unwrap_or_default());
        let path = message.get(5..length).unwrap_or_default();
        let path = escape::os(std::ffi::OsStr::from_bytes(path));
        match message.first().filter(|_| length > 0) {
            Some(&READY) => {
                self.ready = true;
                Said::Ready
            }
            Some(&FAILED) => Said::Failed(errno),
            Some(&UNWATCHED) => Said::Warning(unwatched(&path, errno)),
            Some(&LOST) => {
                // It ends the program, and then itself.
                self.socket = None;
                Said::Warning(lost(&path, errno))
            }
            _ => {
                self.socket = None;
                Said::Ended
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = signal::send(self.pidfd.as_fd(), libc::SIGKILL);
        // It has left the sandbox's namespaces long before the kernel has taken its watches down, for which it waits tens of
        // milliseconds (SRCU); nobody has to wait for that. Who reaps orphans reaps it.
        let _ = process::wait_for(self.pidfd.as_fd(), libc::WEXITED | libc::WNOHANG);
    }
}

fn unwatched(path: &str, errno: Errno) -> String {
    let (why, help) = match errno {
        Errno::ENOSPC => (
            "your limit on watches is reached",
            "raise it (sysctl fs.inotify.max_user_watches), or let patterns of [filesystem] start in smaller directories",
        ),
        Errno::E2BIG => (
            "there are too many directories",
            "let patterns of [filesystem] start in smaller directories",
        ),
        other => (
            other.desc(),
            "let patterns of [filesystem] start in other directories",
        ),
    };
    format!(
        "files that get a hidden name later in `{path}`, and perhaps elsewhere, are seen: it is not watched, since {why}; {help}"
    )
}

fn lost(path: &str, errno: Errno) -> String {
    let (why, help) = match errno {
        Errno::E2BIG => (
            "more than 10,000 names were hidden while it ran",
            "; use patterns that match less",
        ),
        Errno::ENOSPC => ("the limit on mounts is reached (fs.mount-max)", ""),
        other => (other.desc(), ""),
    };
    format!("`{path}` has to be hidden, and cannot be: {why}; the program is ended{help}")
}

/// Its life.
fn live(names: &Names, view: &View, child: BorrowedFd<'_>, socket: &OwnedFd) -> ! {
    match settle(view, child, socket) {
        Ok(kept) => {
            let names = || names.clone();
            live_apart(|| Box::new((names(), kept)), serve)
        }
        Err(errno) => {
            say(socket.as_fd(), FAILED, errno, Path::new(""));
            process::exit(125);
        }
    }
}

/// Its life without anything of the launcher.
#[allow(clippy::boxed_local)] // the stack of who calls it is gone
fn serve(own: Box<(Names, Kept)>) -> ! {
    let (names, kept) = *own;
    let Kept {
        socket,
        child,
        place,
    } = kept;
    let socket = socket.as_fd();
    let mut tell = |not: Unwatched| say(socket, UNWATCHED, not.errno, &not.path);
    let begun = enter(place);
    let mut tree = match begun {
        Ok((covers, queue)) => Tree::new(&names, covers, queue, &mut tell),
        Err(errno) => {
            say(socket, FAILED, errno, Path::new(""));
            process::exit(125);
        }
    };
    if let Err(Lost { errno, .. }) = tree.look_at_all() {
        say(socket, FAILED, errno, Path::new(""));
        process::exit(125);
    }
    if descriptor::send(socket, &[READY]).is_err() {
        process::exit(125);
    }
    // Nobody waits for this.
    memory::give_back();
    let Some(lost) = watch(&mut tree, child.as_fd()) else {
        // The view is let go of first: taking the watches down takes the kernel tens of milliseconds.
        let queue = tree.into_queue();
        drop(child);
        std::mem::forget(queue);
        process::exit(0);
    };
    say(socket, LOST, lost.errno, &lost.path);
    let _ = signal::send(child.as_fd(), libc::SIGKILL);
    process::exit(1)
}

/// Serves until the child has ended, or something could not be hidden.
fn watch(tree: &mut Tree<'_>, child: BorrowedFd<'_>) -> Option<Lost> {
    loop {
        let interest = |fd: BorrowedFd<'_>| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut ready = [interest(child), interest(tree.queue())];
        match descriptor::poll(&mut ready, -1) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => {
                return Some(Lost {
                    errno,
                    path: "/".into(),
                });
            }
        }
        let [ended, heard] = ready.map(|one| one.revents);
        if ended != 0 {
            return None;
        }
        if heard != 0
            && let Err(lost) = tree.hear()
        {
            return Some(lost);
        }
    }
}

fn say(socket: BorrowedFd<'_>, what: u8, errno: Errno, path: &Path) {
    let mut message = vec![what];
    message.extend((errno as i32).to_ne_bytes());
    message.extend(path.as_os_str().as_bytes());
    message.truncate(LONGEST);
    // Nobody is there to be told if the launcher is gone.
    let _ = descriptor::send(socket, &message);
}

/// What it keeps open.
struct Kept {
    socket: OwnedFd,
    child: OwnedFd,
    place: Place,
}

/// What it needs on its way to where the program's files are.
struct Place {
    mount: OwnedFd,
    user: Option<OwnedFd>,
    /// The root of the host.
    host: OwnedFd,
}

/// Gives up what the launcher had.
fn settle(view: &View, child: BorrowedFd<'_>, socket: &OwnedFd) -> Result<Kept, Errno> {
    process::undumpable()?;
    process::set_name(c"sandbox-keeper");
    process::forget_arguments_and_environment(c"sandbox-keeper");
    process::no_new_privileges()?;
    // Keys of the terminal are the program's.
    process::new_session()?;
    let above = |fd: BorrowedFd<'_>| descriptor::duplicate_above(fd, ABOVE);
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    // No name is left that would be closed a second time.
    let host = at::open(at::working_directory(), c"/", flags, 0)
        .and_then(|opened| above(opened.as_fd()))?;
    let (socket, child, mount) = (
        above(socket.as_fd())?,
        above(child)?,
        above(view.mount.as_fd())?,
    );
    let user = view.user.as_ref().map(|user| above(user.as_fd()));
    let user = user.transpose()?;
    let socket = descriptor::move_onto(socket, 0)?;
    let child = descriptor::move_onto(child, 1)?;
    let mount = descriptor::move_onto(mount, 2)?;
    let host = descriptor::move_onto(host, 3)?;
    let user = user
        .map(|user| descriptor::move_onto(user, 4))
        .transpose()?;
    // What the launcher has open is not to be held open, its caller's pipes least of all.
    descriptor::close_from(if user.is_some() { 5 } else { 4 })?;
    Ok(Kept {
        socket,
        child,
        place: Place { mount, user, host },
    })
}

/// Goes where the program's files are, for good: neither the way back is kept nor a privilege that is not needed there.
fn enter(place: Place) -> Result<(Covers, OwnedFd), Errno> {
    let Place { mount, user, host } = place;
    if let Some(user) = user {
        namespace::setns(user.as_fd(), libc::CLONE_NEWUSER)?;
    }
    // A change of privileges may have opened it to others.
    process::undumpable()?;
    let covers = Covers::new(mount, host)?;
    let queue = inotify::queue()?;
    let tells = status::magic(covers.root.as_fd())?.is_some();
    privileges::drop_all(!tells)?;
    Ok((covers, queue))
}
