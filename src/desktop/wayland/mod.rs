//! A Wayland socket that the compositor knows belongs to a sandbox: the protocol security-context-v1, spoken by hand.
//!
//! What such a socket's clients are not offered is the compositor's choice: screen capture, clipboard watching, virtual
//! keyboards, layers above all windows, the lock screen, and further contexts.

pub mod wire;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kernel::descriptor;
use wire::{DISPLAY, Event, Message, Request};

/// The interface of the one who makes contexts.
pub const MANAGER: &str = "wp_security_context_manager_v1";
/// A compositor that says nothing for so long is taken for gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a registry ever says; a server that goes on is not listened to.
const MOST: usize = 1 << 20;

/// Numbers of the objects that we make, in their order.
const REGISTRY: u32 = 2;
const FIRST_ANSWER: u32 = 3;
const MANAGER_ID: u32 = 4;
const CONTEXT: u32 = 5;
const SECOND_ANSWER: u32 = 6;

/// Who the clients of a socket are, for the compositor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The sandbox engine, as a reverse domain name.
    pub engine: String,
    /// The program.
    pub app: String,
    /// This run of it.
    pub instance: String,
}

/// A socket that was told to the compositor. It accepts clients there until this is dropped.
#[derive(Debug)]
pub struct Listener {
    /// Closing it ends the context: the compositor holds the other end.
    _open: OwnedFd,
}

/// Why a compositor cannot be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no such protocol.
    Unknown,
    /// It has, or may have, and something went wrong.
    Failed(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("it did not answer within {} s", PATIENCE.as_secs())
            }
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Asks whether the compositor at a socket has the protocol. Nothing is changed.
///
/// # Errors
/// [`Refusal`]
pub fn ask(socket: &Path) -> Result<(), Refusal> {
    let mut connection = Connection::open(socket)?;
    connection.find_manager().map(drop)
}

/// Makes a listening socket at `at`, mode 0700, and tells the compositor at `compositor` that it belongs to a sandbox.
///
/// # Errors
/// [`Refusal`]; no socket is left then.
pub fn listen(compositor: &Path, at: &Path, identity: &Identity) -> Result<Listener, Refusal> {
    let mut connection = Connection::open(compositor)?;
    let name = connection.find_manager()?;
    let listener = UnixListener::bind(at)?;
    let told = tell(&mut connection, name, &listener, identity).and_then(|open| {
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o700))?;
        Ok(open)
    });
    match told {
        Ok(open) => Ok(Listener { _open: open }),
        Err(refusal) => {
            // What cannot be removed now goes with the directory that it is in.
            let _ = std::fs::remove_file(at);
            Err(refusal)
        }
    }
}

fn tell(
    connection: &mut Connection,
    name: u32,
    listener: &UnixListener,
    identity: &Identity,
) -> Result<OwnedFd, Refusal> {
    let (theirs, ours) = descriptor::pipe().map_err(io::Error::from)?;
    connection.send(&Request::bind(REGISTRY, name, MANAGER, 1, MANAGER_ID))?;
    connection.send_with(
        &Request::create_listener(MANAGER_ID, CONTEXT),
        [listener.as_fd(), theirs.as_fd()],
    )?;
    connection.send(&Request::set_sandbox_engine(CONTEXT, &identity.engine))?;
    connection.send(&Request::set_app_id(CONTEXT, &identity.app))?;
    connection.send(&Request::set_instance_id(CONTEXT, &identity.instance))?;
    connection.send(&Request::commit(CONTEXT))?;
    connection.send(&Request::destroy(CONTEXT))?;
    connection.send(&Request::destroy(MANAGER_ID))?;
    // Errors come before the answer to this.
    connection.send(&Request::sync(DISPLAY, SECOND_ANSWER))?;
    connection.until(SECOND_ANSWER, |_| {})?;
    Ok(ours)
}

struct Connection {
    stream: UnixStream,
    /// What has come and was not yet read as a message.
    pending: Vec<u8>,
    until: Instant,
    heard: usize,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self, Refusal> {
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            pending: Vec::new(),
            until: Instant::now() + PATIENCE,
            heard: 0,
        })
    }

    /// The registry's number for the manager.
    fn find_manager(&mut self) -> Result<u32, Refusal> {
        self.send(&Request::get_registry(DISPLAY, REGISTRY))?;
        self.send(&Request::sync(DISPLAY, FIRST_ANSWER))?;
        let mut found = None;
        self.until(FIRST_ANSWER, |event| {
            if let Event::Global {
                name, interface, ..
            } = event
                && interface == MANAGER
            {
                found = Some(name);
            }
        })?;
        found.ok_or(Refusal::Unknown)
    }

    fn send(&mut self, message: &Message) -> Result<(), Refusal> {
        Ok(self.stream.write_all(message.bytes())?)
    }

    /// A message with descriptors beside it. The receiver takes them in their order, whichever bytes they come with.
    fn send_with(&mut self, message: &Message, beside: [BorrowedFd<'_>; 2]) -> Result<(), Refusal> {
        let (head, rest) = message.bytes().split_at(4);
        let [first, second] = beside;
        for (bytes, fd) in [(head, first), (rest, second)] {
            descriptor::send_descriptor(self.stream.as_fd(), bytes, fd).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// Hears what the compositor says until it has answered a sync.
    fn until(&mut self, answer: u32, mut hear: impl FnMut(Event)) -> Result<(), Refusal> {
        loop {
            while let Some((event, length)) = Event::read(&self.pending, REGISTRY)
                .map_err(|why| Refusal::Failed(why.to_owned()))?
            {
                self.pending.drain(..length);
                match event {
                    Event::Done { callback } if callback == answer => return Ok(()),
                    Event::Error { object, text } => {
                        return Err(Refusal::Failed(format!(
                            "it says of object {object}: {text}"
                        )));
                    }
                    event => hear(event),
                }
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Result<(), Refusal> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = [0u8; 4096];
        let length = self.stream.read(&mut bytes)?;
        self.heard += length;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if self.heard > MOST {
            return Err(Refusal::Failed("it does not stop talking".to_owned()));
        }
        self.pending.extend(bytes.iter().take(length));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
