//! `sandbox --background`: a launcher that nobody waits for. What goes wrong until the program has been executed is still told
//! in the foreground.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use crate::control::log;
use crate::kernel::descriptor::stream;
use crate::kernel::process::Change;
use crate::kernel::{Errno, clone, descriptor, process, signal};
use crate::report::escape;

use super::{answer, complain, status};

/// Which process one is after [`detach`].
pub(super) enum Side {
    /// The one that was started: all is done, and this is its exit status.
    Foreground(i32),
    /// The one that goes on in the background.
    Background(Background),
}

/// What the process in the background has of the one in the foreground.
pub(super) struct Background {
    /// Where the name is told once the program has been executed. Closed untold, it says that it was not.
    foreground: Option<OwnedFd>,
    /// The caller's standard error, until the program has been executed.
    stderr: Option<OwnedFd>,
}

/// Leaves the terminal and the caller's session.
///
/// # Errors
/// fork(2), setsid(2) and the like, told.
pub(super) fn detach() -> Result<Side, i32> {
    try_detach().map_err(|errno| {
        complain(&format!(
            "sandbox: nothing can be started in the background: {}\n",
            errno.desc()
        ));
        status::NOT_SET_UP
    })
}

fn try_detach() -> Result<Side, Errno> {
    let (read, write) = descriptor::pipe()?;
    match clone::fork()? {
        0 => {
            drop(read);
            // Until the program runs, who gives up in the foreground gives it up.
            process::die_with_parent(libc::SIGTERM)?;
            process::new_session()?;
            let stderr = stream(2)
                .try_clone_to_owned()
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            Ok(Side::Background(Background {
                foreground: Some(write),
                stderr: Some(stderr),
            }))
        }
        pid => {
            drop(write);
            // Nothing is to be tidied up here: whoever gives up ends this process, and with it the other one.
            signal::unblock(&signal::WATCHED)?;
            Ok(Side::Foreground(wait(pid, &read)?))
        }
    }
}

/// Waits until the program has been executed, or has not.
fn wait(pid: libc::pid_t, told: &OwnedFd) -> Result<i32, Errno> {
    let mut name = Vec::new();
    let mut buffer = [0; 256];
    loop {
        match descriptor::read(told.as_fd(), &mut buffer)? {
            0 => break,
            length => name.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
    if !name.is_empty() {
        let name = String::from_utf8_lossy(&name);
        return Ok(answer(&format!("{}\n", escape::line(&name)))
            .err()
            .unwrap_or(status::OK));
    }
    let child = process::open(pid)?;
    match process::wait_for(child.as_fd(), libc::WEXITED)? {
        Some(Change::Exited(status)) => Ok(status),
        _ => Ok(status::NOT_SET_UP),
    }
}

impl Background {
    /// Has the program, and from now on ourselves too, write to the log of this name, and read nothing.
    ///
    /// # Errors
    /// The exit status; the reason has been told.
    pub fn write_to_log(&self, name: &str) -> Result<(), i32> {
        let opened = File::open("/dev/null").and_then(|null| {
            let log = log::create(name)?;
            for (from, onto) in [(&null, 0), (&log, 1), (&log, 2)] {
                descriptor::duplicate_onto(from.as_fd(), onto)?;
            }
            Ok(())
        });
        opened.map_err(|error| {
            let path = log::path(name).unwrap_or_default();
            complain(&format!(
                "sandbox: nothing can be started in the background: the log `{}` cannot be made: {error}\n",
                escape::os(path.as_os_str())
            ));
            status::NOT_SET_UP
        })
    }

    /// The program has been executed: the foreground need not wait any more.
    pub fn started(&mut self, name: &str) {
        if let Some(foreground) = self.foreground.take() {
            // Who has left need not be told.
            let _ = process::die_with_parent(0);
            let _ = descriptor::write(foreground.as_fd(), name.as_bytes());
        }
        // Whoever reads what the caller has as stderr, such as `ssh` or a pipe, waits until nobody has it open.
        self.stderr = None;
    }

    /// Nothing was executed: what is said now is for the foreground.
    pub fn failed(&self, name: &str) {
        log::remove(name);
        if let Some(stderr) = &self.stderr {
            let _ = descriptor::duplicate_onto(stderr.as_fd(), 2);
        }
    }
}
