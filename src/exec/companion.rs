//! Programs that run beside the program: started while the child waits in its group, waited for until they serve, watched, and
//! ended with the run.
//!
//! A companion is a child of the launcher's with a session of its own. It keeps the standard streams, of which only the last one
//! leads anywhere (to the launcher, who tells its last words if it fails), and descriptor 3, on which it says that it serves.
//! It gains no privileges by what it executes, and is sent its signal to end also when the launcher is killed.

mod identity;

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kernel::clone::{Side, clone3};
use crate::kernel::process::Change;
use crate::kernel::{Errno, at, descriptor, process, signal};
use crate::plan::companion::{Companion, Loss, Ready, Stop};
use crate::report::escape;

use super::failure::LaunchError;
use super::group::Group;
use super::outcome::Remark;
use super::prepare::{c_path, c_string};
use identity::{Known, Root};

/// How long a companion may take until it serves.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one that is asked to end may take.
const GRACE: Duration = Duration::from_secs(1);

/// On which descriptor it says that it serves.
const READY: i32 = 3;

/// Where the launcher's ends lie meanwhile: above all that a companion keeps.
const ABOVE: i32 = 16;

/// The launcher to its companion: you are in your group.
const GO: &[u8] = b"go";

/// A line that says it serves is a number.
const LONGEST_LINE: usize = 16;

/// So much of its last words is told.
const LAST_WORDS: usize = 2000;

/// The companions of a run. They are ended when this is dropped, the last one first.
#[derive(Debug, Default)]
pub(super) struct Companions(Vec<Running>);

#[derive(Debug)]
struct Running {
    name: String,
    pidfd: OwnedFd,
    /// What it says on standard error.
    words: OwnedFd,
    /// The other end of its descriptor 3: closed, it tells many of them that nobody needs them.
    line: Option<OwnedFd>,
    stop: Stop,
    loss: Loss,
    ended: bool,
    /// What those who look at it find, as long as it runs.
    _known: Option<Known>,
}

impl Companions {
    /// Starts one, in the scope of the run's control group if it has one, and waits until it serves. `program` is the number of
    /// the process in which the program will run.
    pub(super) fn start(
        &mut self,
        step: usize,
        companion: &Companion,
        run: Option<&Path>,
        group: Option<&Group>,
        program: i32,
    ) -> Result<(), LaunchError> {
        let refused = |detail: String| LaunchError {
            step: Some(step),
            detail,
            errno: None,
            ..LaunchError::at_step(step, Errno::ECHILD)
        };
        check_program(&companion.program).map_err(&refused)?;
        let failed = |errno| LaunchError::at_step(step, errno);
        let run = run.unwrap_or(Path::new("/"));
        let strings = Strings::of(companion, run).map_err(failed)?;
        let unknown = |why: std::io::Error| {
            refused(format!(
                "what portals are to know of it cannot be shown: {why}"
            ))
            .cause(why.raw_os_error().map(Errno::from_raw))
        };
        let (known, root) = match &companion.identity {
            None => (None, None),
            Some(identity) => (
                Some(Known::of(identity, run, program).map_err(unknown)?),
                Some(Root::prepare(identity, run).map_err(unknown)?),
            ),
        };
        let pipe = || -> Result<(OwnedFd, OwnedFd), Errno> {
            let (read, write) = descriptor::pipe()?;
            Ok((read, descriptor::duplicate_above(write.as_fd(), ABOVE)?))
        };
        let (words, its_words) = pipe().map_err(failed)?;
        let (line, its_line) = pipe().map_err(failed)?;
        // One that talks much is not to be held up by nobody listening.
        descriptor::never_wait(its_words.as_fd()).map_err(failed)?;
        descriptor::never_wait(words.as_fd()).map_err(failed)?;
        let (socket, its_socket) = descriptor::socket_pair()
            .and_then(|(own, its)| Ok((own, descriptor::duplicate_above(its.as_fd(), ABOVE)?)))
            .map_err(failed)?;
        let null = open_null().map_err(failed)?;
        let pointers = (
            super::start::pointers(&strings.arguments),
            super::start::pointers(&strings.environment),
        );
        let home = group.and_then(Group::home);
        let mut born = home.is_some();
        let mut side = clone3(0, home);
        if born && side.is_err() {
            born = false;
            side = clone3(0, None);
        }
        let child = match side.map_err(failed)? {
            Side::Child => become_companion(
                &Its {
                    stop: companion.stop,
                    root: root.as_ref(),
                    socket: its_socket.as_fd(),
                    streams: [
                        null.as_fd(),
                        null.as_fd(),
                        its_words.as_fd(),
                        its_line.as_fd(),
                    ],
                },
                &strings.program,
                (&pointers.0, &pointers.1),
            ),
            Side::Parent(child) => child,
        };
        drop((its_words, its_line, its_socket, null));
        self.0.push(Running {
            name: companion.name.clone(),
            pidfd: child.pidfd,
            words,
            line: Some(line),
            stop: companion.stop,
            loss: companion.loss,
            ended: false,
            _known: known,
        });
        let Some(running) = self.0.last_mut() else {
            return Err(failed(Errno::ECHILD));
        };
        if let (Some(group), false) = (group, born) {
            group
                .take_in(child.pid)
                .map_err(|error| refused(error.to_string()))?;
        }
        descriptor::send(socket.as_fd(), GO).map_err(failed)?;
        let mut word = [0; 4];
        match descriptor::read(socket.as_fd(), &mut word) {
            // Closed by exec.
            Ok(0) => {}
            Ok(_) => {
                let errno = Errno::from_raw(i32::from_ne_bytes(word));
                let told = escape::os(companion.program.as_os_str());
                return Err(failed(errno).detail(match root {
                    None => format!("`{told}` cannot be executed"),
                    Some(_) => format!(
                        "`{told}` cannot be executed in a root of its own, by which portals know it"
                    ),
                }));
            }
            Err(errno) => return Err(failed(errno)),
        }
        let line = running.wait(&companion.ready).map_err(&refused)?;
        if let Ready::Number { name, target } = &companion.ready {
            let mut target = target.as_os_str().to_owned();
            target.push(line);
            symlink(&target, run.join(name)).map_err(|error| refused(error.to_string()))?;
            running.line = None;
        }
        Ok(())
    }

    /// Looks whether one has ended: what is to be told of it, and whether the program is to end too.
    pub(super) fn look(&mut self) -> (Vec<Remark>, bool) {
        let (mut told, mut lost) = (Vec::new(), false);
        for running in self.0.iter_mut().filter(|running| !running.ended) {
            let flags = libc::WEXITED | libc::WNOHANG;
            if let Ok(Some(change)) = process::wait_for(running.pidfd.as_fd(), flags) {
                running.ended = true;
                let ends = running.loss == Loss::EndsProgram;
                lost |= ends;
                told.push(Remark::Companion(format!(
                    "the {} {}{}{}",
                    running.name,
                    how(change),
                    running.last_words(),
                    if ends { "; the program is ended" } else { "" }
                )));
            }
        }
        (told, lost)
    }
}

impl Drop for Companions {
    fn drop(&mut self) {
        while let Some(running) = self.0.pop() {
            running.end();
        }
    }
}

impl Running {
    /// Waits until it says that it serves; returns what it said, but for the line feed.
    fn wait(&mut self, ready: &Ready) -> Result<String, String> {
        let until = Instant::now() + PATIENCE;
        let mut said: Vec<u8> = Vec::new();
        loop {
            let Some(line) = &self.line else {
                return Err("it cannot be heard".to_owned());
            };
            let mut interests = [interest(line.as_fd()), interest(self.pidfd.as_fd())];
            let left = until.saturating_duration_since(Instant::now());
            let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            match descriptor::poll(&mut interests, left) {
                Ok(0) => {
                    return Err(format!(
                        "it did not serve within {} s{}",
                        PATIENCE.as_secs(),
                        self.last_words()
                    ));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.desc().to_owned()),
            }
            let [line_ready, ended] = interests.map(|one| one.revents);
            if line_ready != 0 {
                let mut bytes = [0; LONGEST_LINE];
                let length = descriptor::read(line.as_fd(), &mut bytes)
                    .map_err(|errno| errno.desc().to_owned())?;
                said.extend_from_slice(bytes.get(..length).unwrap_or_default());
                match ready {
                    Ready::Byte if !said.is_empty() => return Ok(String::new()),
                    Ready::Number { .. } if said.contains(&b'\n') => return number(&said),
                    Ready::Number { .. } if said.len() > LONGEST_LINE => return number(&said),
                    // It has closed it without a word, and will end: how is what matters.
                    _ if length == 0 => self.line = self.line.take().filter(|_| ended == 0),
                    _ => {}
                }
            }
            if ended != 0 || self.line.is_none() {
                let change = process::wait_for(self.pidfd.as_fd(), libc::WEXITED)
                    .map_err(|errno| errno.desc().to_owned())?;
                self.ended = true;
                let how = change.map_or_else(|| "ended".to_owned(), how);
                return Err(format!("it {how} before it served{}", self.last_words()));
            }
            if line_ready != 0 && said.is_empty() {
                // Closed, and still there: give it the time to end.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// What it said last on standard error, with a colon in front; nothing if it was silent.
    fn last_words(&self) -> String {
        let mut said = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = descriptor::read(self.words.as_fd(), &mut bytes) {
            said.extend_from_slice(bytes.get(..length).unwrap_or_default());
        }
        let said = said
            .get(said.len().saturating_sub(LAST_WORDS)..)
            .unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        let mut lines: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines.split_off(lines.len().saturating_sub(3));
        match last.is_empty() {
            true => String::new(),
            false => format!(": {}", escape::line(last.join(" / ").trim())),
        }
    }

    fn end(mut self) {
        if self.ended {
            return;
        }
        self.line = None;
        if self.stop == Stop::Terminate {
            let _ = signal::send(self.pidfd.as_fd(), libc::SIGTERM);
            let mut ended = [interest(self.pidfd.as_fd())];
            let grace = i32::try_from(GRACE.as_millis()).unwrap_or(i32::MAX);
            let _ = descriptor::poll(&mut ended, grace);
        }
        let _ = signal::send(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = process::wait_for(self.pidfd.as_fd(), libc::WEXITED);
    }
}

fn interest(fd: BorrowedFd<'_>) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }
}

fn how(change: Change) -> String {
    match change {
        Change::Exited(status) => format!("ended with status {status}"),
        Change::Killed(signal) => format!("was killed by signal {signal}"),
        Change::Stopped(_) | Change::Continued => "ended".to_owned(),
    }
}

/// The number in a line, as it becomes the end of a file's name.
fn number(line: &[u8]) -> Result<String, String> {
    let digits: Vec<u8> = line
        .iter()
        .copied()
        .take_while(|byte| *byte != b'\n')
        .collect();
    let text = String::from_utf8_lossy(&digits).trim().to_owned();
    match text.parse::<u32>() {
        Ok(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(text),
        _ => Err(format!(
            "it said `{}` instead of a number",
            escape::line(&text)
        )),
    }
}

/// What runs with the caller's rights outside of the sandbox must not be what somebody else can change.
fn check_program(program: &Path) -> Result<(), String> {
    let told = escape::os(program.as_os_str());
    let found =
        std::fs::metadata(program).map_err(|error| format!("`{told}` cannot be used: {error}"))?;
    let own = [0, nix::unistd::geteuid().as_raw()].contains(&found.uid());
    if !program.is_absolute() || !found.is_file() {
        return Err(format!("`{told}` is no program"));
    }
    if !own || found.mode() & 0o022 != 0 {
        return Err(format!(
            "`{told}` is not used: it belongs to somebody else, or others may write to it"
        ));
    }
    Ok(())
}

fn open_null() -> Result<OwnedFd, Errno> {
    let null = at::open(at::working_directory(), c"/dev/null", libc::O_RDWR, 0)?;
    descriptor::duplicate_above(null.as_fd(), ABOVE)
}

/// What exec takes.
struct Strings {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Strings {
    fn of(companion: &Companion, run: &Path) -> Result<Self, Errno> {
        let first = companion.program.file_name().unwrap_or(OsStr::new(""));
        let mut arguments = vec![c_string(first)?];
        for word in &companion.arguments {
            arguments.push(c_string(&word.fill(run))?);
        }
        let mut environment = Vec::new();
        for (name, word) in &companion.environment {
            let value = word.fill(run);
            let mut text = name.as_bytes().to_vec();
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
            environment.push(CString::new(text).map_err(|_| Errno::EINVAL)?);
        }
        Ok(Self {
            program: c_path(&companion.program)?,
            arguments,
            environment,
        })
    }
}

/// What the new process needs.
struct Its<'a> {
    stop: Stop,
    root: Option<&'a Root>,
    socket: BorrowedFd<'a>,
    /// What becomes its descriptors 0 to 3.
    streams: [BorrowedFd<'a>; 4],
}

/// In the new process. Allocates nothing.
fn become_companion(
    its: &Its<'_>,
    program: &CString,
    (arguments, environment): (&[*const libc::c_char], &[*const libc::c_char]),
) -> ! {
    let errno = match prepare(its) {
        Ok(()) => process::execute(program, arguments, environment),
        Err(errno) => errno,
    };
    // If the launcher is gone, nobody wants to know.
    let _ = descriptor::send(its.socket, &(errno as i32).to_ne_bytes());
    process::exit(127)
}

fn prepare(its: &Its<'_>) -> Result<(), Errno> {
    process::die_with_parent(match its.stop {
        Stop::Kill => libc::SIGKILL,
        Stop::Terminate => libc::SIGTERM,
    })?;
    // If the launcher died before that was armed, its end is closed, and there is nothing to do.
    let mut word = [0; 8];
    let length = descriptor::read(its.socket, &mut word)?;
    if word.get(..length) != Some(GO) {
        process::exit(125);
    }
    if let Some(root) = its.root {
        root.enter()?;
    }
    process::new_session()?;
    process::no_new_privileges()?;
    process::set_umask(0o077);
    at::change_directory(c"/")?;
    for (number, stream) in (0..).zip(its.streams) {
        descriptor::duplicate_onto(stream, number)?;
    }
    match descriptor::close_from_on_exec(READY.cast_unsigned() + 1) {
        // Older kernels close none at once; ours close on exec by themselves.
        Err(Errno::EINVAL | Errno::ENOSYS) | Ok(()) => {}
        Err(errno) => return Err(errno),
    }
    signal::unblock_all()
}

#[cfg(test)]
mod tests;
