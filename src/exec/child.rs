//! What happens between clone and exec. Allocates nothing, decides nothing: a match over prepared operations.
//!
//! On the first failure the child writes (step, errno) to the launcher and ends.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::memory::Mark;
use crate::kernel::process::exit;
use crate::kernel::slate::Slate;
use crate::kernel::{Errno, clone, descriptor, heap, memory, process, signal, terminal};

use super::filtered;
use super::init::{Kept, become_init, serve};
use super::operation::{State, carry_out, host_of};
use super::prepared::{ExecOp, Op, Prepared, Todo};

/// The launcher to the child: its ids, its group and all else that is done from outside are in place.
pub(super) const GO: &[u8] = b"go";
/// The child to the launcher: everything is done but the filter and exec. Before this a silent end is a failure.
pub(super) const READY: &[u8] = b"ready";
/// In the place of a step's number: the namespaces of a sandbox could not be entered.
pub(super) const ENTERING: u32 = u32::MAX - 1;
/// A failure is (step, errno), each four bytes in native order.
pub(super) const FAILURE_LENGTH: usize = 8;
/// The same, one byte longer: the step was passed over, as it may be.
pub(super) const DROPPED_LENGTH: usize = 9;

/// What the child gets beside [`Prepared`].
pub(super) struct Lines<'a> {
    /// To the launcher; closed by exec.
    pub socket: OwnedFd,
    /// Where process 1 says that the program was stopped on its terminal.
    pub status: Option<OwnedFd>,
    /// Where the directory of the run is.
    pub run: Option<&'a CStr>,
    /// Where the child writes itself into its control group.
    pub doors: &'a [OwnedFd],
    /// Pointers into the strings of [`ExecOp`], with null at the end.
    pub arguments: &'a [*const libc::c_char],
    /// The same for the environment.
    pub environment: &'a [*const libc::c_char],
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
    if let Some((step, _)) = &prepared.group {
        for door in lines.doors {
            if let Err(errno) = descriptor::write(door.as_fd(), b"0") {
                fail(socket, *step, errno);
            }
        }
    }
    let mut state = State::new(lines.run);
    if prepared.audit.asks_at_start() {
        match host_of(&mut state) {
            Ok(host) => held(prepared.audit.start(host), socket),
            Err(errno) => fail(socket, u32::MAX, errno),
        }
    }
    if let Some(join) = &prepared.join
        && let Err(errno) = join.enter()
    {
        fail(socket, ENTERING, errno);
    }
    // Whose privileges change is no longer told of its parent's end.
    if prepared.join.is_some()
        && prepared.die_with_parent
        && process::die_with_parent(libc::SIGKILL).is_err()
    {
        fail(socket, u32::MAX, Errno::last());
    }
    // From here on nobody can look into this process or trace it, until the program is started.
    if let Err(errno) = process::undumpable() {
        fail(socket, u32::MAX, errno);
    }
    let mut asked = !prepared.audit.asks_outside();
    for todo in &prepared.child {
        // The last moment at which the host is there.
        if !asked && matches!(todo.op, Op::NewRoot { .. }) {
            ask_outside(prepared, &mut state, socket);
            asked = true;
        }
        do_one(todo, &mut state, socket);
    }
    if !asked {
        ask_outside(prepared, &mut state, socket);
    }
    held(prepared.audit.view(state.kept), socket);
    if !prepared.init {
        become_program(prepared, &lines, &state, None);
    }
    // Process 1 holds the one end until it has settled.
    let (settled, settling) = match descriptor::pipe() {
        Ok(pipe) => pipe,
        Err(errno) => fail(socket, prepared.execute.step, errno),
    };
    match clone::fork() {
        Err(errno) => fail(socket, prepared.execute.step, errno),
        Ok(0) => {
            drop(settling);
            become_program(prepared, &lines, &state, Some(settled))
        }
        Ok(program) => {
            let new_session = prepared.new_session;
            let gives_back = prepared.init_gives_back;
            // Closed with everything else.
            std::mem::forget((settled, settling));
            let kept = become_init(prepared, program, state.terminal, lines);
            stay(program, kept, new_session, gives_back)
        }
    }
}

/// Process 1 from here on: the launcher's memory, of which it has a copy, is not for it.
#[inline(never)]
fn stay(program: libc::pid_t, kept: Kept, new_session: bool, gives_back: bool) -> ! {
    let mark = Mark::here();
    let give_back = gives_back.then_some((give_all_back as fn(Mark), mark));
    serve(program, kept, new_session, give_back)
}

/// Gives back all memory but what [`serve`] stands on.
#[inline(never)]
fn give_all_back(mark: Mark) {
    // SAFETY: nothing of the heap is used any more: `serve` has its arguments alone, which are numbers.
    unsafe { heap::abandon() };
    memory::give_stack_back();
    memory::give_file_back();
    // SAFETY: `stay`, whose mark it is, never returns; its frame is a few dozen bytes.
    unsafe { memory::abandon_callers(mark) };
}

/// Lives on as another process of ours that stays, with a copy of what it needs and nothing else of the launcher's memory.
/// The copy holds everything that it points to: nothing of what it was made of is left.
pub(super) fn live_apart<T>(copy: impl FnOnce() -> Box<T>, live: fn(Box<T>) -> !) -> ! {
    // SAFETY: what follows uses the copy alone, and never returns to who has the rest.
    live_on(unsafe { heap::keep_only(copy) }, live)
}

#[inline(never)]
fn live_on<T>(own: Box<T>, live: fn(Box<T>) -> !) -> ! {
    let mark = Mark::here();
    memory::give_stack_back();
    // SAFETY: it never returns to what called this, and its frame is a few dozen bytes.
    unsafe { memory::abandon_callers(mark) };
    // Whatever it is: known to the compiler it could become a part of this, and what it uses would lie above the mark.
    std::hint::black_box(live)(own)
}

/// Carries one operation out. What fails ends the child, unless the launch may go on without it: then it is told.
fn do_one<'a>(todo: &'a Todo, state: &mut State<'a>, socket: BorrowedFd<'_>) {
    match carry_out(&todo.op, state, socket) {
        Ok(()) => {}
        Err(errno) if todo.may_fail => {
            let mut message = [0u8; DROPPED_LENGTH];
            write_words(&mut message, todo.step, errno);
            if descriptor::send(socket, &message).is_err() {
                exit(125);
            }
        }
        Err(errno) => fail(socket, todo.step, errno),
    }
}

fn write_words(message: &mut [u8], step: u32, errno: Errno) {
    let words = step
        .to_ne_bytes()
        .into_iter()
        .chain((errno as i32).to_ne_bytes());
    for (slot, byte) in message.iter_mut().zip(words) {
        *slot = byte;
    }
}

fn ask_outside(prepared: &Prepared, state: &mut State<'_>, socket: BorrowedFd<'_>) {
    match host_of(state) {
        Ok(host) => held(prepared.audit.outside(host), socket),
        Err(errno) => fail(socket, u32::MAX, errno),
    }
}

/// Ends the child when something that was promised is not so.
fn held(asked: Result<(), (u32, Errno)>, socket: BorrowedFd<'_>) {
    if let Err((step, errno)) = asked {
        fail(socket, step, errno);
    }
}

/// Says which step failed and why, and ends.
pub(super) fn fail(socket: BorrowedFd<'_>, step: u32, errno: Errno) -> ! {
    let mut message = [0u8; FAILURE_LENGTH];
    write_words(&mut message, step, errno);
    // Nobody is left to be told if this fails; the exit status says it as well.
    let _ = descriptor::send(socket, &message);
    exit(125)
}

/// `settled` ends when process 1 is what it has to be beside a program.
fn become_program(
    prepared: &Prepared,
    lines: &Lines<'_>,
    state: &State<'_>,
    settled: Option<OwnedFd>,
) -> ! {
    let socket = lines.socket.as_fd();
    let wait = || {
        if let Some(settled) = &settled
            && let Err(errno) = descriptor::read(settled.as_fd(), &mut [0])
        {
            fail(socket, prepared.execute.step, errno);
        }
    };
    // Process 1 takes all with it when it ends; who does its work from outside does not.
    if prepared.join.is_some() && process::die_with_parent(libc::SIGKILL).is_err() {
        fail(socket, u32::MAX, Errno::last());
    }
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
    let mut told = false;
    for todo in &prepared.program {
        if matches!(todo.op, Op::Seccomp(_)) {
            // The filter may forbid everything that follows but exec.
            wait();
            held(prepared.audit.program(), socket);
            ready(socket);
            told = true;
            if let Err(errno) = signal::unblock_all() {
                fail(socket, todo.step, errno);
            }
        }
        do_one(todo, &mut State::default(), socket);
    }
    if told {
        if let Err((step, errno)) = prepared.audit.filter() {
            filtered::fail(prepared.slate.as_ref(), step, errno);
        }
    } else {
        wait();
        held(prepared.audit.program(), socket);
        // A filter that was to be installed and is not would be noticed here.
        held(prepared.audit.filter(), socket);
        ready(socket);
        if let Err(errno) = signal::unblock_all() {
            fail(socket, prepared.execute.step, errno);
        }
    }
    execute(&prepared.execute, lines, prepared.slate.as_ref())
}

fn ready(socket: BorrowedFd<'_>) {
    if descriptor::send(socket, READY).is_err() {
        exit(125);
    }
}

/// With a slate, under a filter.
fn execute(op: &ExecOp, lines: &Lines<'_>, slate: Option<&Slate>) -> ! {
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
    filtered::leave(slate, op.step, reason);
    if slate.is_none() {
        let mut message = [0u8; FAILURE_LENGTH];
        write_words(&mut message, op.step, reason);
        // Nobody is left to be told if this fails; the exit status says it as well.
        let _ = descriptor::send(lines.socket.as_fd(), &message);
    }
    exit(if reason == Errno::ENOENT { 127 } else { 126 })
}
