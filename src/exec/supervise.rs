//! The launcher beside its child: has it made (`start`), and then forwards signals, relays the terminal, keeps the time and
//! tells how it ended.

mod keeping;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kernel::clone::Child;
use crate::kernel::process::Change;
use crate::kernel::{Errno, descriptor, heap, memory, namespace, process, signal};
use crate::section::filesystem::later::Names;

use super::audit::UNHELD;
use super::child::{DROPPED_LENGTH, ENTERING, FAILURE_LENGTH, READY};
use super::companion::Companions;
use super::failure::LaunchError;
use super::filtered;
use super::group::{Group, WATCHES};
use super::init::STOPPED;
use super::join::Join;
use super::keeper::Keeper;
use super::made;
use super::operation::{TERMINAL, VIEW};
use super::outcome::{Ending, Outcome, Remark, Started};
use super::prepared::Prepared;
use super::relay::{self, Relay};
use super::start::{Ends, refused, start};

/// How long a program that ran into its timeout has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// When a program has run so long, it will not end at once: the launcher makes itself small.
const SETTLED: Duration = Duration::from_secs(1);

/// Carries a prepared plan out and waits for the end; what of it was for the child is gone then. `run` is the directory of the run, if the plan asks for one. `tell` is called for what the user must know at once.
///
/// # Errors
/// A step failed: nothing was run, and what had been made is gone again.
pub fn launch(
    prepared: &mut Prepared,
    run: Option<&Path>,
    tell: &mut dyn FnMut(Remark),
) -> Result<Outcome, LaunchError> {
    // SIGCHLD ignored, as some callers leave it, would let the child's status get lost.
    signal::reset_actions();
    // A reader of our messages who has left, or a file that may not grow, must not end us: how the program ends would be
    // lost.
    signal::block(&[&signal::WATCHED[..], &[libc::SIGPIPE, libc::SIGXFSZ]].concat())
        .map_err(|errno| LaunchError::doing("blocking signals", errno))?;
    let signals = signal::descriptor(&signal::WATCHED)
        .map_err(|errno| LaunchError::doing("making a descriptor for signals", errno))?;
    let mut group = match &prepared.group {
        None => None,
        Some((step, plan)) => Some(Group::create(plan).map_err(|error| refused(*step, error))?),
    };
    for (step, file, kind) in &prepared.join_before {
        namespace::setns(file.as_fd(), *kind)
            .map_err(|errno| LaunchError::at_step(*step as usize, errno))?;
    }
    let started = Instant::now();
    let mut companions = Companions::default();
    // The compositor takes clients there as long as this is kept.
    let mut contexts = Vec::new();
    let made = made::make(&prepared.made, run).and_then(|kept| {
        contexts = kept;
        let group = group.as_mut();
        start(prepared, run, group, &mut companions, &mut *tell)
    });
    prepared.let_go();
    let names = prepared.names.take();
    let result = made.and_then(|(child, lines)| {
        let mut supervisor = Supervisor {
            companions: &mut companions,
            prepared: &mut *prepared,
            child,
            lines,
            signals,
            group: group.as_mut(),
            tell,
            relay: None,
            names,
            keeper: None,
            terminal_group: relay::own_foreground(),
            ready: false,
            told: false,
            ended: false,
            failure: None,
            deadline: None,
            settled: None,
            timed_out: false,
        };
        supervisor.run(started)
    });
    // Before the scope that they are in is to go.
    drop((companions, contexts));
    if result.is_err() {
        // Nothing was run, and the caller may try another way.
        process::set_umask(prepared.umask);
    }
    finish(group, result)
}

/// Removes the control group, whatever came before.
#[inline(never)] // of no use to who waits in `launch`
fn finish(
    group: Option<Group>,
    result: Result<Outcome, LaunchError>,
) -> Result<Outcome, LaunchError> {
    let mut leftovers = Vec::new();
    if let Some(group) = group
        && let Err(error) = group.kill().and_then(|()| group.remove())
    {
        leftovers.push(error.to_string());
    }
    match result {
        Ok(mut outcome) => {
            outcome.leftovers = leftovers;
            Ok(outcome)
        }
        Err(mut error) => {
            error.help.extend(leftovers);
            Err(error)
        }
    }
}

struct Supervisor<'a> {
    prepared: &'a mut Prepared,
    companions: &'a mut Companions,
    child: Child,
    lines: Ends,
    signals: OwnedFd,
    group: Option<&'a mut Group>,
    tell: &'a mut dyn FnMut(Remark),
    relay: Option<Relay>,
    /// For the keeper, until there is one.
    names: Option<(u32, Names)>,
    keeper: Option<Keeper>,
    terminal_group: Option<libc::pid_t>,
    /// Whether the child has said that only exec is left.
    ready: bool,
    /// Whether it has been told that the program was started.
    told: bool,
    /// Whether the sandbox that was joined has ended.
    ended: bool,
    failure: Option<LaunchError>,
    deadline: Option<Instant>,
    /// When to make ourselves small.
    settled: Option<Instant>,
    timed_out: bool,
}

fn interest(fd: Option<BorrowedFd<'_>>) -> libc::pollfd {
    libc::pollfd {
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    }
}

/// A step's number and an errno, as the child writes them.
fn words(message: &[u8]) -> (u32, Errno) {
    let word = |range: std::ops::Range<usize>| {
        let bytes = message
            .get(range)
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map(u32::from_ne_bytes).unwrap_or_default()
    };
    (word(0..4), Errno::from_raw(word(4..8).cast_signed()))
}

impl Supervisor<'_> {
    fn run(&mut self, started: Instant) -> Result<Outcome, LaunchError> {
        self.deadline = self.prepared.timeout.map(|timeout| started + timeout);
        if let Some(group) = &mut self.group {
            for event in group.watch() {
                (self.tell)(Remark::Event(event));
            }
            // What cannot be removed now is tried again by the next launch.
            let _ = group.sweep();
        }
        (self.tell)(Remark::LetGo);
        let change = self.watch();
        self.conclude(change, started)
    }

    /// The child has ended.
    #[inline(never)] // what it needs of the stack is not to stay with who waits
    fn conclude(
        &mut self,
        change: Result<Change, Errno>,
        started: Instant,
    ) -> Result<Outcome, LaunchError> {
        if let Err(errno) = change {
            self.lose("waiting for the child", errno);
        }
        if let Some(relay) = self.relay.take() {
            relay.finish();
        }
        relay::reclaim_foreground(self.terminal_group);
        // Read while the dead child still holds its group in being: a service manager removes an empty one at once.
        let usage = self.group.as_deref().map(Group::usage);
        let circumstances = self
            .group
            .as_deref()
            .map(|group| group.directories().circumstances())
            .unwrap_or_default();
        let _ = process::wait_for(self.child.pidfd.as_fd(), libc::WEXITED);
        // What it sent last may still lie in the socket.
        while self.lines.socket.is_some() {
            self.hear();
        }
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let change = change.map_err(|errno| LaunchError::doing("waiting for the child", errno))?;
        let ending = match change {
            Change::Exited(status) => Ending::Exited(status),
            Change::Killed(signal) => Ending::Killed(signal),
            Change::Stopped(_) | Change::Continued => Ending::Exited(125),
        };
        if !self.ready {
            return Err(LaunchError {
                detail: match ending {
                    Ending::Killed(signal) => {
                        format!("signal {signal} killed the child before the program was started")
                    }
                    Ending::Exited(status) => format!(
                        "the child ended with status {status} before the program was started"
                    ),
                },
                help: match ending {
                    Ending::Killed(libc::SIGSEGV) => {
                        vec!["the limit on the stack may be too small: see `ulimit -s`".to_owned()]
                    }
                    // The child is in its group before it does anything.
                    Ending::Killed(libc::SIGKILL) => vec![
                        "the limit on memory may be too small for anything to start (`limits.memory`), or somebody killed it"
                            .to_owned(),
                    ],
                    _ => Vec::new(),
                },
                ..LaunchError::doing("setting the sandbox up", Errno::ECHILD)
            });
        }
        Ok(Outcome {
            ending,
            duration: started.elapsed(),
            usage,
            circumstances,
            timed_out: self.timed_out,
            leftovers: Vec::new(),
        })
    }

    /// Serves everything until the child has ended; leaves it a zombie.
    fn watch(&mut self) -> Result<Change, Errno> {
        loop {
            let relayed = self.relay.as_ref().map(Relay::interests);
            let idle = interest(None);
            let [master, input] = relayed.unwrap_or([idle, idle]);
            let limits = self.group.as_deref().map(Group::watches);
            let limits = limits.unwrap_or([idle; WATCHES]);
            let mut ready = [
                interest(Some(self.child.pidfd.as_fd())),
                interest(Some(self.signals.as_fd())),
                interest(self.lines.socket.as_ref().map(AsFd::as_fd)),
                interest(self.lines.status.as_ref().map(AsFd::as_fd)),
                master,
                input,
                interest(
                    (self.prepared.join.as_ref())
                        .filter(|_| !self.ended)
                        .map(Join::end),
                ),
                interest(self.keeper.as_ref().and_then(Keeper::socket)),
                limits[0],
                limits[1],
                limits[2],
            ];
            match descriptor::poll(&mut ready, self.patience()) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            let [_, _, _, _, _, _, _, _, limits @ ..] = &ready;
            self.notice(limits);
            let [
                ended,
                signalled,
                heard,
                status,
                master,
                input,
                over,
                kept,
                ..,
            ] = ready.map(|entry| entry.revents);
            if signalled != 0 {
                self.forward();
            }
            if heard != 0 {
                self.hear();
            }
            if kept != 0 {
                self.hear_keeper();
            }
            let executed = self.ready && self.failure.is_none() && self.lines.socket.is_none();
            if executed && !self.told && ended == 0 {
                self.tell_started();
            }
            if status != 0 {
                self.stopped();
            }
            if (master != 0 || input != 0)
                && let Some(relay) = &mut self.relay
                && !relay.pass(master, input)
                && let Some(relay) = self.relay.take()
            {
                relay.finish();
            }
            if over != 0 {
                // What lived in the sandbox ends with it; the child, who is outside, too.
                self.ended = true;
                self.send(libc::SIGKILL);
            }
            self.keep_time();
            if ended != 0 {
                let found = process::wait_for(
                    self.child.pidfd.as_fd(),
                    libc::WEXITED | libc::WNOWAIT | libc::WNOHANG,
                )?;
                if let Some(change) = found {
                    return Ok(change);
                }
            }
        }
    }

    /// Tells which limits have made themselves felt.
    fn notice(&mut self, ready: &[libc::pollfd]) {
        let Some(group) = &mut self.group else {
            return;
        };
        let (events, failed) = group.notice(ready);
        for event in events {
            (self.tell)(Remark::Event(event));
        }
        if let Some(error) = failed {
            (self.tell)(Remark::Group(error.to_string()));
        }
    }

    /// Milliseconds until there is something to do; −1 if nothing.
    fn patience(&self) -> libc::c_int {
        let look = self.group.as_deref().and_then(Group::next_look);
        let next = self
            .deadline
            .into_iter()
            .chain(self.settled)
            .chain(look)
            .min();
        next.map_or(-1, |next| {
            let left = next.saturating_duration_since(Instant::now());
            libc::c_int::try_from(left.as_millis() + 1).unwrap_or(libc::c_int::MAX)
        })
    }

    fn keep_time(&mut self) {
        if self
            .settled
            .is_some_and(|settled| Instant::now() >= settled)
        {
            self.settled = None;
            self.settle();
        }
        let Some(deadline) = self.deadline else {
            return;
        };
        if Instant::now() < deadline {
            return;
        }
        if self.timed_out {
            self.deadline = None;
            let _ = signal::send(self.child.pidfd.as_fd(), libc::SIGKILL);
            if let Some(group) = &self.group {
                // What cannot be killed now is reported when the group is removed.
                let _ = group.kill();
            }
        } else {
            self.timed_out = true;
            self.deadline = Some(deadline + GRACE);
            let _ = signal::send(self.child.pidfd.as_fd(), libc::SIGTERM);
        }
    }

    /// Makes the launcher small, who may stay for days.
    #[inline(never)]
    fn settle(&mut self) {
        self.prepared.release();
        heap::gather(|| {
            if let Some(group) = &mut self.group {
                group.gather();
            }
            (self.tell)(Remark::Settled);
        });
        memory::give_back();
    }

    /// Hands on the signals that have come.
    #[inline(never)]
    fn forward(&mut self) {
        while let Ok(Some(came)) = signal::next(self.signals.as_fd()) {
            match came.number {
                libc::SIGCHLD => {
                    let (told, lost) = self.companions.look();
                    // First, as telling waits for whoever reads it.
                    if lost {
                        self.send(libc::SIGKILL);
                    }
                    told.into_iter().for_each(&mut *self.tell);
                    if self.keeper.as_ref().is_some_and(Keeper::is_stopped) {
                        self.without_keeper("stopped");
                    }
                }
                libc::SIGWINCH => match &self.relay {
                    Some(relay) => relay.pass_size(),
                    None if came.by_kernel => {}
                    None => self.send(libc::SIGWINCH),
                },
                // The suspend key of a terminal that is shared stops the program too; then the launcher stops as well.
                libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                    if !came.by_kernel || self.prepared.new_session {
                        self.send(came.number);
                    }
                    relay::stop_self();
                }
                libc::SIGCONT => self.send(libc::SIGCONT),
                // Keys of a shared terminal reach the program's group without the launcher's help.
                _ if came.by_kernel && !self.prepared.new_session => {}
                number => self.send(number),
            }
        }
    }

    fn send(&self, number: libc::c_int) {
        // ESRCH: it has just ended.
        let _ = signal::send(self.child.pidfd.as_fd(), number);
    }

    /// Takes one message of the child.
    #[inline(never)]
    fn hear(&mut self) {
        let Some(socket) = &self.lines.socket else {
            return;
        };
        let mut message = [0u8; 16];
        match descriptor::receive(socket.as_fd(), &mut message) {
            Ok((0, _)) => {
                self.lines.socket = None;
                // Whoever could not say it any more has left it.
                if let Some((step, errno)) = filtered::left(self.prepared.slate.as_ref()) {
                    self.failed(step, errno);
                }
            }
            Err(errno) => self.lose("hearing from the child", errno),
            Ok((length, file)) => match message.get(..length) {
                Some(READY) => self.ready = true,
                Some(VIEW) => self.keep_away(),
                Some(TERMINAL) => match file {
                    Some(file) => self.relay = Some(Relay::start(file)),
                    // The kernel leaves out what there is no number for.
                    None => self.lose("taking the program's terminal", Errno::EMFILE),
                },
                Some(failure) if length == FAILURE_LENGTH => {
                    let (step, errno) = words(failure);
                    self.failed(step, errno);
                }
                Some(dropped) if length == DROPPED_LENGTH => {
                    let (step, errno) = words(dropped);
                    (self.tell)(Remark::Dropped {
                        step: step as usize,
                        errno,
                    });
                }
                _ => {}
            },
        }
    }

    /// The child can be looked after no more, and is not to go on alone, whatever it has become by now.
    fn lose(&mut self, doing: &str, errno: Errno) {
        self.lines.socket = None;
        self.send(libc::SIGKILL);
        let error = LaunchError {
            begun: true,
            ..LaunchError::doing(doing, errno)
        };
        self.failure.get_or_insert(error);
    }

    #[inline(never)]
    fn tell_started(&mut self) {
        self.told = true;
        self.settled = Some(Instant::now() + SETTLED);
        let group = self.group.as_deref();
        (self.tell)(Remark::Started(Started {
            child: self.child.pid,
            init: self.prepared.init,
            group: group
                .map(|group| group.directories().places())
                .unwrap_or_default(),
            unit: group.and_then(Group::unit).map(str::to_owned),
            memory_soft: group.and_then(Group::soft_limit),
            without: group
                .map(|group| group.warnings().iter().map(|error| error.site).collect())
                .unwrap_or_default(),
        }));
    }

    fn failed(&mut self, step: u32, errno: Errno) {
        let error = match (step, errno) {
            (u32::MAX, errno) => LaunchError::doing("preparing the child", errno),
            (ENTERING, errno) => {
                LaunchError::doing("entering the namespaces of the sandbox", errno)
            }
            (step, errno) if step & UNHELD != 0 => {
                LaunchError::unheld((step & !UNHELD) as usize, errno)
            }
            (step, errno) => LaunchError::at_step(step as usize, errno),
        };
        // Where process 1 and the program's own process fail, the first one counts.
        self.failure.get_or_insert(error);
    }

    /// Process 1 has said that the program was stopped on its terminal.
    fn stopped(&mut self) {
        let Some(status) = &self.lines.status else {
            return;
        };
        let mut word = [0u8; 16];
        match descriptor::read(status.as_fd(), &mut word) {
            Ok(length)
                if word
                    .get(..length)
                    .is_some_and(|word| word.starts_with(STOPPED)) =>
            {
                if let Some(relay) = &mut self.relay {
                    relay.suspend();
                }
                self.send(libc::SIGCONT);
            }
            _ => self.lines.status = None,
        }
    }
}
