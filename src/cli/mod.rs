//! The two programs: what was said on their command lines, and what they say back.
//!
//! `arguments`, `explain`, `layer`, `reference` and `schema` are functions of the arguments and of the table of keys: nothing
//! is read, nothing is run. One file a verb does the rest.

pub mod arguments;
mod attach;
mod background;
mod changes;
mod closure;
pub mod control;
pub mod delegate;
pub mod desktop;
mod doctor;
pub mod documents;
pub mod ending;
pub mod explain;
mod failed;
mod fallback;
pub mod flag;
pub mod group;
mod inspect;
mod join;
mod keep;
pub mod launch;
pub mod layer;
mod logs;
pub mod notice;
mod private;
pub mod reference;
mod registered;
pub mod root;
pub mod rules;
mod run;
pub mod schema;
mod second;
mod usage;

/// Exit statuses that the programs give by themselves.
pub mod status {
    /// All is well.
    pub const OK: i32 = 0;
    /// `sandboxctl`: what was asked has been answered, and the answer is no.
    pub const NO: i32 = 1;
    /// The command line or a profile is wrong.
    pub const USAGE: i32 = 2;
    /// The sandbox could not be set up; nothing was run.
    pub const NOT_SET_UP: i32 = 125;
    /// The program cannot be executed.
    pub const NOT_EXECUTABLE: i32 = 126;
    /// The program was not found.
    pub const NOT_FOUND: i32 = 127;
}

/// Prints to standard error; nobody can be told if that is gone.
fn complain(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The same while a program runs that has to be looked after: who has read nothing for a second is told nothing.
fn complain_in_passing(text: &str) {
    use std::os::fd::AsRawFd;
    let mut ready = [libc::pollfd {
        fd: std::io::stderr().as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    }];
    if crate::kernel::descriptor::poll(&mut ready, 1000) != Ok(0) {
        complain(text);
    }
}

/// Prints to standard output. A reader that left early is no failure.
///
/// # Errors
/// A full disk and the like: the status that says so.
fn answer(text: &str) -> Result<(), i32> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    answered(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What became of an answer.
fn answered(written: std::io::Result<()>) -> Result<(), i32> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            complain(&format!(
                "error: cannot write to standard output: {error}\n"
            ));
            Err(status::NO)
        }
    }
}
