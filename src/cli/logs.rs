//! `sandboxctl logs`: what a sandbox in the background has written.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::time::Duration;

use crate::control::{log, name as names, sandbox};
use crate::report::escape;

use super::{answer, complain, status};

/// How often a log is looked at again.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints a log, and with `follow` what is added to it until the sandbox ends.
///
/// # Errors
/// The exit status; the reason has been told.
pub(super) fn logs(name: &str, follow: bool) -> Result<(), i32> {
    let told = escape::line(name);
    let refuse = |reason: &str| {
        complain(&format!("sandboxctl: {reason}\n"));
        status::NO
    };
    if let Err(reason) = names::check(name) {
        return Err(refuse(&format!(
            "`{told}` is no name of a sandbox: {reason}"
        )));
    }
    let mut file = log::open(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refuse(&format!(
            "there is no log of `{told}`\n  help: what is started with `sandbox --background` has one"
        )),
        _ => refuse(&format!("the log of `{told}` cannot be read: {error}")),
    })?;
    let mut printer = Printer {
        is_terminal: std::io::stdout().is_terminal(),
        rest: Vec::new(),
    };
    loop {
        // Asked before the log is read: what is written last is in it then.
        let goes_on = follow && sandbox::find(name).is_ok_and(|sandbox| sandbox.entry.is_live());
        printer.copy(&mut file)?;
        if !goes_on {
            return printer.finish();
        }
        std::thread::sleep(PAUSE);
    }
}

/// Prints what a program of a sandbox has written: to a terminal nothing that could command it.
struct Printer {
    is_terminal: bool,
    /// A line that is not complete.
    rest: Vec<u8>,
}

impl Printer {
    fn copy(&mut self, file: &mut File) -> Result<(), i32> {
        let mut buffer = [0; 8192];
        loop {
            let length = match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    complain(&format!("sandboxctl: the log cannot be read: {error}\n"));
                    return Err(status::NO);
                }
            };
            self.rest
                .extend_from_slice(buffer.get(..length).unwrap_or_default());
            let end = self.rest.iter().rposition(|byte| *byte == b'\n');
            if let Some(end) = end {
                let lines: Vec<u8> = self.rest.drain(..=end).collect();
                self.print(&lines)?;
            }
        }
    }

    fn finish(&mut self) -> Result<(), i32> {
        let rest = std::mem::take(&mut self.rest);
        self.print(&rest)
    }

    fn print(&self, bytes: &[u8]) -> Result<(), i32> {
        if !self.is_terminal {
            use std::io::Write;
            let mut out = std::io::stdout().lock();
            return match out.write_all(bytes).and_then(|()| out.flush()) {
                Ok(()) => Ok(()),
                // Nobody reads any more: there is nothing left to do.
                Err(_) => Err(status::OK),
            };
        }
        let text = String::from_utf8_lossy(bytes);
        let mut shown = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    shown.push_str(&escape::line(line));
                    shown.push('\n');
                }
                None => shown.push_str(&escape::line(line)),
            }
        }
        answer(&shown)
    }
}
