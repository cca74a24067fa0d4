//! The caller's terminal and the program's own: bytes, sizes and settings passed between them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::kernel::descriptor::{self, stream};
use crate::kernel::{Errno, signal, terminal};

use super::prepared::Op;

/// The launcher's side of the program's terminal.
pub(super) struct Relay {
    master: OwnedFd,
    /// What the caller's terminal was set to, when it is one and is to be passed on.
    saved: Option<libc::termios>,
    /// Whether the caller's standard input is still to be read.
    reads: bool,
    /// Typed, but not yet taken by the program's terminal.
    pending: Vec<u8>,
    /// Where output of the program goes.
    output: BorrowedFd<'static>,
}

impl Relay {
    /// Starts passing on between the caller's terminal and `master`.
    pub fn start(master: OwnedFd) -> Self {
        let input = stream(0);
        let saved = terminal::attributes(input).ok();
        let output = if terminal::is_terminal(stream(1)) {
            stream(1)
        } else {
            stream(2)
        };
        let relay = Self {
            master,
            reads: saved.is_some(),
            saved,
            pending: Vec::new(),
            output,
        };
        relay.make_raw();
        relay.pass_size();
        relay
    }

    fn make_raw(&self) {
        if let Some(saved) = &self.saved {
            // Failing leaves the caller's terminal as it is: lines are then edited twice, nothing is lost.
            let _ = terminal::set_attributes(stream(0), &terminal::raw(saved));
        }
    }

    /// Puts the caller's terminal back as it was.
    pub fn restore(&self) {
        if let Some(saved) = &self.saved {
            let _ = terminal::set_attributes(stream(0), saved);
        }
    }

    /// Gives the program's terminal the size of the caller's.
    pub fn pass_size(&self) {
        if let Ok(size) = terminal::size(stream(0)).or_else(|_| terminal::size(self.output)) {
            let _ = terminal::set_size(self.master.as_fd(), &size);
        }
    }

    /// The program was stopped from its terminal: so is the launcher, and the caller's shell takes over. Returns when
    /// the shell lets the launcher go on.
    pub fn suspend(&mut self) {
        self.restore();
        // The launcher's whole job, as the terminal's suspend key would have done it. Unlike SIGSTOP this stops nothing
        // where nobody is there to let it go on (an orphaned process group): what is outside is not the program's to stop.
        let _ = signal::send_to(0, libc::SIGTSTP);
        let _ = signal::let_through(libc::SIGTSTP);
        self.make_raw();
        self.pass_size();
    }

    /// What to wait for: the master, and the caller's standard input.
    pub fn interests(&self) -> [libc::pollfd; 2] {
        let writes = if self.pending.is_empty() {
            0
        } else {
            libc::POLLOUT
        };
        let reads = self.reads && self.pending.is_empty();
        [
            libc::pollfd {
                fd: self.master.as_raw_fd(),
                events: libc::POLLIN | writes,
                revents: 0,
            },
            libc::pollfd {
                fd: if reads { 0 } else { -1 },
                events: libc::POLLIN,
                revents: 0,
            },
        ]
    }

    /// Passes on what is ready. `false`: the program's side is closed.
    #[inline(never)] // what is passed on lies on the stack for that only
    pub fn pass(&mut self, master: libc::c_short, input: libc::c_short) -> bool {
        let mut buffer = [0u8; 4096];
        if input != 0 {
            match descriptor::read(stream(0), &mut buffer) {
                Ok(length) if length > 0 => self
                    .pending
                    .extend_from_slice(buffer.get(..length).unwrap_or(&[])),
                // The caller's terminal is gone.
                _ => self.reads = false,
            }
        }
        if master & libc::POLLOUT != 0 {
            match descriptor::write(self.master.as_fd(), &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::EAGAIN) => {}
                Err(_) => self.pending.clear(),
            }
        }
        if master & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) != 0 {
            return self.pass_output(&mut buffer);
        }
        true
    }

    fn pass_output(&mut self, buffer: &mut [u8]) -> bool {
        match descriptor::read(self.master.as_fd(), buffer) {
            Ok(length) if length > 0 => {
                let mut rest = buffer.get(..length).unwrap_or(&[]);
                while !rest.is_empty() {
                    match descriptor::write(self.output, rest) {
                        Ok(length) => rest = rest.get(length..).unwrap_or(&[]),
                        Err(_) => return true,
                    }
                }
                true
            }
            // EIO: every process has closed the other side.
            _ => false,
        }
    }

    /// Passes on what the program wrote last, and puts the caller's terminal back.
    pub fn finish(mut self) {
        let mut buffer = [0u8; 4096];
        loop {
            let mut ready = [libc::pollfd {
                fd: self.master.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            }];
            let found = descriptor::poll(&mut ready, 0);
            if !matches!(found, Ok(n) if n > 0) || !self.pass_output(&mut buffer) {
                break;
            }
        }
        self.restore();
    }
}

/// Takes the caller's terminal back into the foreground when the program has left it to a group that is gone.
pub(super) fn reclaim_foreground(group: Option<libc::pid_t>) {
    let Some(group) = group else { return };
    let input = stream(0);
    if terminal::foreground(input).is_ok_and(|now| now != group && now != terminal::own_group()) {
        // SIGTTOU is blocked in the launcher.
        let _ = terminal::set_foreground(input, group);
    }
}

/// The group that has the caller's terminal, if it is ours.
pub(super) fn own_foreground() -> Option<libc::pid_t> {
    let group = terminal::foreground(stream(0)).ok()?;
    (group == terminal::own_group()).then_some(group)
}

/// Stops the launcher as the terminal's suspend key would have; returns when it goes on.
pub(super) fn stop_self() {
    let _ = signal::send_to(std::process::id().cast_signed(), libc::SIGSTOP);
}

/// What the child needs to make a terminal like that of the caller.
pub(super) fn terminal_op() -> Op {
    let standard = [0, 1, 2].map(stream);
    let replace = standard.map(terminal::is_terminal);
    let model = standard.into_iter().find(|fd| terminal::is_terminal(*fd));
    Op::NewTerminal {
        attributes: model.and_then(|fd| terminal::attributes(fd).ok()),
        size: model.and_then(|fd| terminal::size(fd).ok()),
        replace,
    }
}
