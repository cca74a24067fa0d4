//! Desktop notifications over D-Bus: the Desktop Notifications Specification, org.freedesktop.Notifications.
//!
//! The D-Bus client runs in a process of its own that nobody waits for, so that a bus that hangs holds nobody up.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use zbus::Variant;

/// What is to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The address of the session bus, as in `DBUS_SESSION_BUS_ADDRESS`.
    pub bus: String,
    /// The number of the notification that this one takes the place of; 0 for none.
    pub replaces: u32,
    /// A name of the icon theme.
    pub icon: &'static str,
    /// One line of plain text.
    pub summary: String,
    /// Markup: `&`, `<` and `>` of texts are escaped.
    pub body: String,
    /// The desktop entry that it is about, without `.desktop`.
    pub desktop_entry: Option<String>,
}

/// How long the bus and the server of notifications have.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends it, without waiting. The number that the server gives it can be read from the descriptor later on, four bytes in
/// the host's order; nothing comes when it was not shown.
///
/// # Errors
/// Those of pipe(2) and fork(2).
pub fn send(notification: &Notification) -> Result<OwnedFd, Errno> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // SAFETY: the launcher has one thread, so that no lock can be held by another one; the child ends by _exit and runs
    // no destructor of the parent's values.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // A grandchild is nobody's to wait for: it can take its time, and the launcher can end before it.
            // SAFETY: as above.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                detach(&writer);
                if let Ok(number) = zbus::block_on(notify(notification)) {
                    answer(number);
                }
            }
            // SAFETY: ends this process without running destructors or handlers of the parent's.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            reap(child);
            Ok(reader)
        }
    }
}

/// Where the grandchild has its end of the pipe.
const PIPE: libc::c_int = 3;

/// Away from the launcher's terminal, streams and descriptors, and with a time to live.
fn detach(writer: &OwnedFd) {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let patience = u32::try_from(PATIENCE.as_secs()).unwrap_or(1) + 1;
    // SAFETY: plain system calls on numbers; descriptors of the parent's values are closed in this process only, which
    // never returns to code that would use them.
    #[allow(clippy::multiple_unsafe_ops_per_block)]
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(patience);
        libc::setsid();
        libc::dup2(writer.as_raw_fd(), PIPE);
        libc::syscall(libc::SYS_close_range, 4_u32, u32::MAX, 0_u32);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for stream in 0..3 {
            libc::dup2(null, stream);
        }
    }
}

fn answer(number: u32) {
    let bytes = number.to_ne_bytes();
    // SAFETY: the buffer has as many bytes as are written.
    unsafe { libc::write(PIPE, bytes.as_ptr().cast(), bytes.len()) };
}

async fn notify(notification: &Notification) -> zbus::Result<u32> {
    const NAME: &str = "org.freedesktop.Notifications";
    let connection = zbus::connection::Builder::address(notification.bus.as_str())
        .method_timeout(PATIENCE)
        .build()
        .await?;
    // 1 is "normal": it is shown, and does not stay until it is clicked.
    let mut hints: HashMap<&str, Variant<'_>> = HashMap::from([("urgency", Variant::from(1_u8))]);
    if let Some(entry) = &notification.desktop_entry {
        hints.insert("desktop-entry", Variant::from(entry.as_str()));
    }
    let actions: Vec<&str> = Vec::new();
    let body = (
        "sandbox",
        notification.replaces,
        notification.icon,
        notification.summary.as_str(),
        notification.body.as_str(),
        actions,
        hints,
        -1_i32,
    );
    let reply = connection
        .call_method(
            Some(NAME),
            "/org/freedesktop/Notifications",
            Some(NAME),
            "Notify",
            &body,
        )
        .await?;
    reply.body().deserialize()
}

fn reap(child: Pid) {
    while waitpid(child, None) == Err(Errno::EINTR) {}
}
