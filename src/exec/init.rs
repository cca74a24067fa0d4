//! Process 1 of a new pid namespace: reaps, forwards signals, and ends with the program.
//!
//! It keeps nothing of the launcher: no capability, no argument or variable, no descriptor but the program's
//! terminal and, beside one, the pipe on which it says that the program was stopped. It cannot be traced (it never
//! execs, so that it stays undumpable) and runs under the program's own filter, which lets it close descriptors in any case.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::kernel::memory::Mark;
use crate::kernel::process::{Change, exit};
use crate::kernel::{Errno, capability, descriptor, process, seccomp, signal, terminal};

use super::child::{Lines, fail};
use super::filtered;
use super::prepared::Prepared;

/// Written to the launcher when the program was stopped from its terminal.
pub(super) const STOPPED: &[u8] = b"s";

/// What process 1 keeps: the program's terminal and the pipe beside it.
pub(super) type Kept = [Option<OwnedFd>; 2];

/// Becomes process 1. What is returned is all that [`serve`] needs: nothing of the launcher's memory.
pub(super) fn become_init(
    prepared: &Prepared,
    program: libc::pid_t,
    terminal: Option<OwnedFd>,
    lines: Lines<'_>,
) -> Kept {
    let Lines { socket, status, .. } = lines;
    process::set_name(c"sandbox-init");
    process::forget_arguments_and_environment(c"sandbox-init");
    let step = prepared.init_step.unwrap_or(prepared.execute.step);
    // The launcher learns from the end of the socket that the program was started: this copy must not hold it open. It
    // is closed with everything else, and so is what the program's process waits for; until then a failure can be told.
    let socket = ManuallyDrop::new(socket);
    let fail = |step, errno| -> ! {
        end(program);
        fail(socket.as_fd(), step, errno)
    };
    if let Err(errno) = settle(prepared) {
        fail(step, errno);
    }
    let kept = match keep(terminal, status) {
        Ok(kept) => kept,
        Err(errno) => fail(step, errno),
    };
    if let Some(filter) = &prepared.init_filter
        && let Err(errno) = seccomp::install(&filter.instructions)
    {
        fail(filter.step, errno);
    }
    let count = kept.iter().flatten().count();
    if let Err(errno) = descriptor::close_from(u32::try_from(count).unwrap_or(0)) {
        if prepared.init_filter.is_none() {
            fail(step, errno);
        }
        end(program);
        filtered::fail(prepared.slate.as_ref(), step, errno);
    }
    kept
}

/// Ends the program's process, which would take the end of this one for all being well.
fn end(program: libc::pid_t) {
    // ESRCH: it has ended by itself.
    let _ = signal::send_to(program, libc::SIGKILL);
}

/// Gives up what the launcher had.
fn settle(prepared: &Prepared) -> Result<(), Errno> {
    if prepared.cuts_capabilities {
        capability::keep_only(0, false)?;
    }
    // Armed anew, for a change of capabilities may clear it.
    if prepared.die_with_parent {
        process::die_with_parent(libc::SIGKILL)?;
    }
    Ok(())
}

/// Makes the terminal and the pipe beside it the lowest descriptors; all others are to be closed.
fn keep(terminal: Option<OwnedFd>, status: Option<OwnedFd>) -> Result<Kept, Errno> {
    let Some(terminal) = terminal else {
        // Closed with everything else.
        std::mem::forget(status);
        return Ok([None, None]);
    };
    let terminal = descriptor::move_onto(terminal, 0)?;
    let status = status
        .map(|status| descriptor::move_onto(status, 1))
        .transpose()?;
    Ok([Some(terminal), status])
}

/// A program that has run so long without anything to do for process 1 is one that stays.
const QUIET: Duration = Duration::from_secs(1);

/// Serves until the program has ended. Uses no memory but the stack below a mark, so that all other may be given back when the
/// program is one that stays; a short one is not made to wait for pages that come again at its end.
#[inline(never)] // the frame of who makes the mark is to be a small one
pub(super) fn serve(
    program: libc::pid_t,
    [terminal, status]: Kept,
    new_session: bool,
    mut give_back: Option<(fn(Mark), Mark)>,
) -> ! {
    loop {
        let came = match signal::wait(&signal::WATCHED, give_back.map(|_| QUIET)) {
            Ok(came) => came,
            Err(Errno::EAGAIN) => {
                if let Some((give_back, mark)) = give_back.take() {
                    give_back(mark);
                }
                continue;
            }
            Err(_) => continue,
        };
        match came.number {
            libc::SIGCHLD => reap(program, terminal.is_some(), status.as_ref()),
            // Keys of a terminal that the program shares with us reach it without our help.
            _ if came.by_kernel && !new_session => {}
            libc::SIGCONT => {
                if let Some(terminal) = &terminal {
                    // The program's group goes on in the foreground, as a shell's `fg` does it.
                    let _ = terminal::set_foreground(terminal.as_fd(), program);
                    let _ = signal::send_to(-program, libc::SIGCONT);
                }
                let _ = signal::send_to(program, libc::SIGCONT);
            }
            // A change of size reaches the program through its own terminal.
            libc::SIGWINCH if terminal.is_some() => {}
            number => drop(signal::send_to(program, number)),
        }
    }
}

/// Waits for everything that has ended; ends with the program.
fn reap(program: libc::pid_t, watch_stops: bool, status: Option<&OwnedFd>) {
    let stops = if watch_stops { libc::WSTOPPED } else { 0 };
    loop {
        let (pid, change) = match process::wait_any(libc::WEXITED | libc::WNOHANG | stops) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            // Who cannot wait would never learn that the program has ended.
            Err(_) => exit(125),
        };
        if pid != program {
            continue;
        }
        match change {
            Change::Exited(code) => exit(code),
            Change::Killed(signal) => exit(128 + signal),
            Change::Stopped(_) => {
                if let Some(status) = status {
                    let _ = descriptor::write(status.as_fd(), STOPPED);
                }
            }
            Change::Continued => {}
        }
    }
}
