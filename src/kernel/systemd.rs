//! systemd's manager over D-Bus: org.freedesktop.systemd1(5), and the process that keeps a scope alive.
//!
//! The D-Bus client runs in a short-lived child, so that the supervisor stays small and has one thread.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_core::Stream;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use zbus::{MatchRule, MessageStream, OwnedObjectPath, Variant};

/// A scope to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRequest {
    /// The socket of the bus.
    pub bus: PathBuf,
    /// The unit's name.
    pub unit: String,
    /// The slice that it is made in.
    pub slice: String,
    /// For people.
    pub description: String,
    /// The processes that are put into it.
    pub pids: Vec<i32>,
}

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(25);

/// Has systemd put processes into a new, delegated scope, and waits until that is done.
///
/// # Errors
/// What systemd or the bus said, for people.
pub fn start_scope(request: &ScopeRequest) -> Result<(), String> {
    ask(call(request))
}

/// Has systemd move processes into a group of a delegated unit that runs, by the group's name below the unit's. The user's
/// manager asks the system's where it may not do so itself.
///
/// # Errors
/// What systemd or the bus said, for people.
pub fn add_to_unit(bus: &Path, unit: &str, group: &str, pids: &[i32]) -> Result<(), String> {
    ask(add(bus, unit, &format!("/{group}"), &numbers(pids)))
}

/// As D-Bus has them.
fn numbers(pids: &[i32]) -> Vec<u32> {
    pids.iter()
        .filter_map(|pid| u32::try_from(*pid).ok())
        .collect()
}

/// Has a child process talk to the bus.
fn ask(talk: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    converse(async { talk.await.map(|()| String::new()) }, TIMEOUT).map(drop)
}

/// Has a child process talk to a bus, and returns what it found out.
///
/// # Errors
/// What was said on the bus, or that nothing was within the time.
pub(super) fn converse(
    talk: impl Future<Output = Result<String, String>>,
    timeout: Duration,
) -> Result<String, String> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("no pipe: {errno}"))?;
    // SAFETY: the launcher has one thread when it sets a sandbox up, so that no lock can be held by another one; the
    // child ends by _exit and runs no destructor of the parent's values.
    let forked = unsafe { fork() }.map_err(|errno| format!("no child process: {errno}"))?;
    match forked {
        ForkResult::Child => {
            drop(reader);
            die_with_parent();
            let said = match zbus::block_on(talk) {
                Ok(found) => format!("{DONE}{found}"),
                Err(why) => why,
            };
            let _ = File::from(writer).write_all(said.as_bytes());
            exit_now(0)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let said = read_all(reader, timeout);
            // It has ended, or it hangs; either way nothing of it is wanted any more.
            let _ = kill(child, Signal::SIGKILL);
            reap(child);
            match said {
                Some(text) if text.is_empty() => {
                    Err("the D-Bus client ended without a word".to_owned())
                }
                Some(text) => match text.strip_prefix(DONE) {
                    Some(found) => Ok(found.to_owned()),
                    None => Err(text),
                },
                None => Err(format!("no answer within {} s", timeout.as_secs())),
            }
        }
    }
}

/// Begins what a child says when all went well.
const DONE: &str = "ok ";

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OBJECT: &str = "/org/freedesktop/systemd1";

async fn connect(socket: &Path) -> Result<zbus::Connection, String> {
    zbus::connection::Builder::address(address(socket).as_str())
        .method_timeout(TIMEOUT)
        .build()
        .await
        .map_err(|error| format!("no connection to the bus at {}: {error}", socket.display()))
}

async fn add(bus: &Path, unit: &str, group: &str, pids: &[u32]) -> Result<(), String> {
    let connection = connect(bus).await?;
    let body = (unit, group, pids);
    let manager = Some(MANAGER);
    connection
        .call_method(
            Some(SYSTEMD),
            OBJECT,
            manager,
            "AttachProcessesToUnit",
            &body,
        )
        .await
        .map_err(|error| explain(&error))?;
    Ok(())
}

async fn call(request: &ScopeRequest) -> Result<(), String> {
    let connection = connect(&request.bus).await?;
    // The signal can come as soon as the call is made: listen first.
    let rule = removed_jobs().map_err(|error| format!("match rule: {error}"))?;
    let mut signals = MessageStream::for_match_rule(rule, &connection, None)
        .await
        .map_err(|error| explain(&error))?;
    connection
        .call_method(Some(SYSTEMD), OBJECT, Some(MANAGER), "Subscribe", &())
        .await
        .map_err(|error| explain(&error))?;
    let properties: Vec<(&str, Variant<'_>)> = vec![
        ("Description", Variant::from(request.description.as_str())),
        ("Slice", Variant::from(request.slice.as_str())),
        ("PIDs", Variant::from(numbers(&request.pids))),
        // Also: out-of-memory kills in it do not end the scope, and its groups are ours to make.
        ("Delegate", Variant::from(true)),
        ("CollectMode", Variant::from("inactive-or-failed")),
        // The limits are those of the group in the scope; the manager's default would come on top.
        ("TasksMax", Variant::from(u64::MAX)),
    ];
    let none: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    let body = (request.unit.as_str(), "fail", properties, none);
    let reply = connection
        .call_method(
            Some(SYSTEMD),
            OBJECT,
            Some(MANAGER),
            "StartTransientUnit",
            &body,
        )
        .await
        .map_err(|error| explain(&error))?;
    let job: OwnedObjectPath = reply
        .body()
        .deserialize()
        .map_err(|error| format!("its answer is no job: {error}"))?;
    loop {
        let next = std::future::poll_fn(|context| Pin::new(&mut signals).poll_next(context));
        let message = next
            .await
            .ok_or("the bus closed the connection")?
            .map_err(|error| explain(&error))?;
        let body = message.body();
        let removed: Result<(u32, OwnedObjectPath, String, String), _> = body.deserialize();
        match removed {
            Ok((_, removed, _, result)) if removed == job => {
                return match result.as_str() {
                    "done" => Ok(()),
                    other => Err(format!("its job ended as `{other}`")),
                };
            }
            _ => {}
        }
    }
}

/// Has the manager on a bus read its units anew, and starts or stops one. Waits for neither.
///
/// # Errors
/// What the manager said, or why it cannot be asked.
pub fn reload_units(bus: &str, unit: &str, start: bool) -> Result<(), String> {
    ask(async {
        let connection = zbus::connection::Builder::address(bus)
            .method_timeout(TIMEOUT)
            .build()
            .await
            .map_err(|error| error.to_string())?;
        let (one, manager) = ((unit, "replace"), Some(MANAGER));
        // One whose file is gone is stopped before it is forgotten.
        if !start {
            let stop = connection.call_method(Some(SYSTEMD), OBJECT, manager, "StopUnit", &one);
            let _ = stop.await;
        }
        let reload = connection.call_method(Some(SYSTEMD), OBJECT, manager, "Reload", &());
        reload.await.map_err(|error| explain(&error))?;
        if start {
            let start = connection.call_method(Some(SYSTEMD), OBJECT, manager, "StartUnit", &one);
            start.await.map_err(|error| explain(&error))?;
        }
        Ok(())
    })
}

fn removed_jobs() -> zbus::Result<MatchRule<'static>> {
    MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(SYSTEMD)
        .path(OBJECT)
        .interface(MANAGER)
        .member("JobRemoved")
        .build()
}

/// A D-Bus address: bytes outside of a small set are written as `%NN`.
fn address(socket: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut address = "unix:path=".to_owned();
    for &byte in socket.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'/' | b'.' | b'\\' | b'*' => {
                address.push(char::from(byte));
            }
            _ => address.push_str(&format!("%{byte:02x}")),
        }
    }
    address
}

/// What an error of the manager means here.
fn explain(error: &zbus::Error) -> String {
    let zbus::Error::MethodError(name, text, _) = error else {
        return error.to_string();
    };
    let text = text.as_deref().unwrap_or("no reason given");
    match name.as_str() {
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => {
            "no systemd manager is on this bus".to_owned()
        }
        "org.freedesktop.DBus.Error.AccessDenied" => format!("it does not allow that: {text}"),
        _ => text.to_owned(),
    }
}

/// Reads until the other end closes; none after the time.
fn read_all(reader: OwnedFd, timeout: Duration) -> Option<String> {
    let started = Instant::now();
    let mut file = File::from(reader);
    let mut all = Vec::new();
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return None;
        }
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut wanted = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, left) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(_) => return None,
        }
        let mut part = [0_u8; 4096];
        match file.read(&mut part) {
            Ok(0) => return Some(String::from_utf8_lossy(&all).into_owned()),
            // What systemd says fits well into this; a reader must end.
            Ok(count) if all.len() < 65_536 => all.extend(part.iter().take(count)),
            Ok(_) => return None,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// A process that does nothing until its parent lets go of it or dies.
#[derive(Debug)]
pub struct Keeper {
    pid: Pid,
    /// Its end is what the process waits for.
    leash: Option<OwnedFd>,
}

impl Keeper {
    /// Starts it. It keeps no descriptor, has a session of its own, and dies of SIGTERM, so that systemd can stop the scope.
    ///
    /// # Errors
    /// Those of pipe(2) and fork(2).
    pub fn start() -> Result<Self, Errno> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: the child makes only async-signal-safe calls and ends by _exit.
        match unsafe { fork() }? {
            ForkResult::Child => keep(&reader),
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                leash: Some(writer),
            }),
        }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.leash = None;
        // Another child may hold a copy of the leash; the process has nothing to lose.
        let _ = kill(self.pid, Signal::SIGKILL);
        reap(self.pid);
    }
}

fn keep(leash: &OwnedFd) -> ! {
    const NAME: &[u8] = b"sandbox-keep\0";
    die_with_parent();
    // SAFETY: plain system calls on numbers that are ours; descriptors of the parent's values are closed in this process
    // only, which never returns to code that would use them.
    #[allow(clippy::multiple_unsafe_ops_per_block)]
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        let leash = leash.as_raw_fd();
        libc::dup2(leash, 0);
        libc::syscall(libc::SYS_close_range, 1_u32, u32::MAX, 0_u32);
        let mut byte = 0_u8;
        // A signal that does not end us interrupts nothing that matters.
        while libc::read(0, (&raw mut byte).cast(), 1) < 0 {
            if Errno::last() != Errno::EINTR {
                break;
            }
        }
    }
    exit_now(0)
}

/// In a fresh child: signals as by default, and death with the parent.
fn die_with_parent() {
    super::signal::start_fresh();
    // SAFETY: sets an attribute of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn exit_now(status: i32) -> ! {
    // SAFETY: ends this process without running destructors or handlers of the parent's.
    unsafe { libc::_exit(status) }
}

fn reap(child: Pid) {
    while waitpid(child, None) == Err(Errno::EINTR) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(
            address(Path::new("/run/user/1000/bus")),
            "unix:path=/run/user/1000/bus"
        );
        assert_eq!(address(Path::new("/a b,c=%")), "unix:path=/a%20b%2cc%3d%25");
    }

    #[test]
    fn a_keeper_ends_when_it_is_let_go() -> Result<(), Errno> {
        let keeper = Keeper::start()?;
        let pid = Pid::from_raw(keeper.pid());
        assert_eq!(kill(pid, None), Ok(()));
        drop(keeper);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
        Ok(())
    }

    #[test]
    fn a_bus_that_is_not_there_is_an_error_that_names_it() {
        let request = ScopeRequest {
            bus: "/nonexistent/bus".into(),
            unit: "a.scope".to_owned(),
            slice: "app.slice".to_owned(),
            description: String::new(),
            pids: Vec::new(),
        };
        let said = start_scope(&request).err().unwrap_or_default();
        assert!(said.contains("/nonexistent/bus"), "{said}");
    }
}
