//! What an attempt is, and how a list of them is tried within one sandbox: each in a child of its own, so that one that is
//! killed for its attempt (a filter does that) says something too.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};

use crate::support::Answer;

/// The text that no program inside may learn. It lies in files, variables and processes of the host.
pub const SECRET: &str = "bait-s3cret";

/// How long one attempt may take until it counts as held.
const PATIENCE: u32 = 4;

/// What came of an attempt, each with what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It worked.
    Escaped(String),
    /// It did not.
    Held(String),
}

use Found::{Escaped, Held};

/// Where an attempt must have worked at least, so that its failure elsewhere says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// With nothing around it, whoever tries.
    Anyone,
    /// With nothing around it, as root.
    Root,
    /// It depends on the host, for the reason given.
    Sometimes(&'static str),
}

/// One line of the catalogue.
pub struct Attempt {
    /// The class and number, and a word where there are several.
    pub id: &'static str,
    /// What is tried, for people.
    pub what: &'static str,
    /// Where it works.
    pub control: Control,
    /// Tries it; runs inside.
    pub run: fn(&Bait) -> Found,
    /// Where only the outside can tell: looks for what it left, takes it away, and says what it was.
    pub after: Option<fn(&Bait) -> Option<String>>,
}

/// An attempt that tells by itself whether it worked.
pub const fn attempt(
    id: &'static str,
    what: &'static str,
    control: Control,
    run: fn(&Bait) -> Found,
) -> Attempt {
    let after = None;
    Attempt {
        id,
        what,
        control,
        run,
        after,
    }
}

/// What the host has laid out, by name; handed to the program inside as arguments.
#[derive(Clone, Default)]
pub struct Bait(pub BTreeMap<String, String>);

impl Bait {
    /// From arguments `NAME=VALUE`.
    pub fn parse(words: &[&str]) -> Bait {
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        Bait(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    /// As arguments.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(|(n, v)| format!("{n}={v}")).collect()
    }

    /// A value; empty if nothing was laid out.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A value that is a number; 0 if nothing was laid out.
    pub fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// A path below the home of the caller.
    pub fn home(&self, relative: &str) -> String {
        format!("{}/{relative}", self.get("home"))
    }

    /// A path below the directory where the program was started.
    pub fn project(&self, relative: &str) -> String {
        format!("{}/{relative}", self.get("project"))
    }
}

/// The probe `catalogue NAME=VALUE…`: tries everything and says what came of it, one line each.
pub fn run(words: &[&str]) -> Answer {
    let bait = Bait::parse(words);
    let only = bait.get("only");
    // One write for all: whatever a line is cut by, it is not by another process.
    for one in super::all() {
        if !only.is_empty() && !only.split(',').any(|id| one.id == id) {
            continue;
        }
        let (verdict, evidence) = match isolated(one, &bait) {
            Escaped(evidence) => ("ESCAPED", evidence),
            Held(evidence) => ("HELD", evidence),
        };
        let evidence: String = evidence
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(160)
            .collect();
        println!("{}: {verdict} {evidence}", one.id);
    }
    println!("catalogue: done");
    Ok(String::new())
}

/// Tries one in a child.
fn isolated(one: &Attempt, bait: &Bait) -> Found {
    let Ok((reader, writer)) = pipe() else {
        return Held("no pipe".to_owned());
    };
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Err(errno) => Held(format!("no process: {errno:?}")),
        Ok(ForkResult::Child) => {
            drop(reader);
            nix::unistd::alarm::set(PATIENCE);
            let found = (one.run)(bait);
            let (letter, text) = match &found {
                Escaped(text) => ('E', text),
                Held(text) => ('H', text),
            };
            let _ = fs::File::from(writer).write_all(format!("{letter}{text}").as_bytes());
            // SAFETY: takes no pointer; what the parent has opened is left to it.
            unsafe { libc::_exit(0) }
        }
        Ok(ForkResult::Parent { child }) => {
            drop(writer);
            let mut text = String::new();
            // What the child has started may hold the other end, so that the end of the pipe says nothing.
            let status = waitpid(child, None);
            let mut from = fs::File::from(reader);
            let _ = nix::fcntl::fcntl(
                &from,
                nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
            );
            let mut piece = [0; 4096];
            if let Ok(length) = from.read(&mut piece) {
                text =
                    String::from_utf8_lossy(piece.get(..length).unwrap_or_default()).into_owned();
            }
            match (text.chars().next(), status) {
                (Some('E'), _) => Escaped(text.get(1..).unwrap_or_default().to_owned()),
                (Some('H'), _) => Held(text.get(1..).unwrap_or_default().to_owned()),
                (_, Ok(WaitStatus::Signaled(_, signal, _))) => Held(format!("{signal}")),
                (_, other) => Held(format!("ended without a word ({other:?})")),
            }
        }
    }
}

/// A system call with numbers and addresses.
pub fn raw(number: libc::c_long, arguments: &[u64]) -> Result<i64, Errno> {
    let mut all = [0_u64; 6];
    for (to, from) in all.iter_mut().zip(arguments) {
        *to = *from;
    }
    let [a, b, c, d, e, f] = all;
    // SAFETY: not safe in general; each attempt answers for what its addresses point to, and most point nowhere.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// The address of a text that ends in NUL, for [`raw`].
pub fn at(text: &std::ffi::CStr) -> u64 {
    text.as_ptr() as u64
}

/// An address that nothing is at.
pub const NOWHERE: u64 = 8;

/// -1 as an argument.
pub const NONE: u64 = u64::MAX;

/// A descriptor that a call has just made, to be closed again.
pub fn owned(number: i64) -> Option<OwnedFd> {
    let number = i32::try_from(number).ok().filter(|n| *n >= 0)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Worked, if the call did.
pub fn done<T: std::fmt::Debug>(what: &str, result: Result<T, Errno>) -> Found {
    match result {
        Ok(value) => Escaped(format!("{what}: {value:?}")),
        Err(errno) => Held(format!("{what}: {errno:?}")),
    }
}

/// Worked, if the call came as far as its arguments, which are wrong on purpose.
pub fn reached<T: std::fmt::Debug>(what: &str, result: Result<T, Errno>) -> Found {
    match result {
        Err(errno @ (Errno::EPERM | Errno::ENOSYS | Errno::EACCES)) => {
            Held(format!("{what}: {errno:?}"))
        }
        Err(Errno::EAFNOSUPPORT) => Held(format!("{what}: EAFNOSUPPORT")),
        Err(errno) => Escaped(format!("{what} reaches the kernel: {errno:?}")),
        Ok(value) => Escaped(format!("{what}: {value:?}")),
    }
}

/// The first that works, or what the last one said.
pub fn any(all: impl IntoIterator<Item = Found>) -> Found {
    let mut last = Held("nothing to try".to_owned());
    for found in all {
        last = found;
        if matches!(last, Escaped(_)) {
            break;
        }
    }
    last
}

/// Looks for the secret in a file.
pub fn reads(path: impl AsRef<Path>) -> Found {
    let path = path.as_ref();
    match fs::read(path) {
        Ok(bytes) if String::from_utf8_lossy(&bytes).contains(SECRET) => {
            Escaped(format!("{} is read", path.display()))
        }
        Ok(_) => Held(format!("{}: something else", path.display())),
        Err(error) => Held(format!("{}: {:?}", path.display(), errno_of(&error))),
    }
}

/// Opens a file, and does nothing with it.
pub fn opens(path: impl AsRef<Path>, write: bool) -> Found {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let path = path.as_ref();
    // What is hidden may be opened: it is another file, which lies over it.
    if path.starts_with("/proc") || path.starts_with("/sys") {
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink());
        let (own, above) = (device(path), path.parent().and_then(device));
        if !is_link && own.is_some() && own != above {
            return Held(format!("{} is another", path.display()));
        }
    }
    let opened = fs::File::options()
        .read(!write)
        .write(write)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let how = if write { "writing" } else { "reading" };
    match opened {
        Ok(_) => Escaped(format!("{} opens for {how}", path.display())),
        // It is being run just now, which the kernel looks at before it looks at the mount.
        Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => {
            let allowed = nix::unistd::access(path, nix::unistd::AccessFlags::W_OK);
            done(&format!("{} when it is not run", path.display()), allowed)
        }
        Err(error) => Held(format!("{}: {:?}", path.display(), errno_of(&error))),
    }
}

/// What a standard error says, shorter.
pub fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// Waits for what others do.
pub fn rest(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Leads to an open file through /proc.
pub fn behind(descriptor: &impl AsRawFd, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", descriptor.as_raw_fd())
}

/// Runs something in one more child, and says how that ended.
pub fn in_child(deed: impl FnOnce() -> i32) -> Result<WaitStatus, Errno> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let code = deed();
            // SAFETY: takes no pointer.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => waitpid(child, None),
    }
}
