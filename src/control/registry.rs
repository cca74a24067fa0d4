//! The directories with records: one file a sandbox, made by its name alone, so that names are unique, and locked by the
//! launcher as long as it lives (flock(2)).
//!
//! Who reads the records of another user (root does) takes nothing for granted: directories are opened component by
//! component without following links, and they and the files in them must belong to that user and to nobody else.
//!
//! A file is removed only by who holds the lock on it, exclusively, and has seen that the name still leads to it: by its
//! launcher at the end, or by who found it stale. So that nobody removes what somebody else has just made.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

pub use super::directory::Whose;
use super::directory::{Directory, OTHERS, readable, writable};
use super::record::{Content, Ended};
use super::{name, process, run_directory};
use crate::kernel::lock;
use crate::report::escape;

/// A record that is longer is none of ours.
const LONGEST: u64 = 4 << 20;

/// What every record begins with.
const BEGINNING: &[u8] = b"{\"version\":";

/// What a sandbox that is about to be started is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This, or it is not started.
    Exactly(String),
    /// This, or this with a number.
    Like(String),
}

/// Why there is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The name is taken by a running sandbox: this one, in words.
    Taken(String),
    /// No directory can be written to: reasons.
    Unusable(String),
}

/// Makes the directory that the caller's records are kept in, where it is missing and can be made.
pub fn make_place() {
    // Why not is told when a name is to be taken. Not kept open: the caller may have few descriptors to give.
    drop(writable());
}

/// The right to look around and to take a name, before anybody else who asks for it does.
#[derive(Debug)]
pub struct Turn {
    /// Holds the lock.
    _directory: Directory,
}

/// Waits for one's turn among the caller's starts that look for a running sandbox first, so long at most. None where it does not
/// come, or there is no directory: then two may start at once, as if nobody had looked.
#[must_use]
pub fn take_turn(patience: Duration) -> Option<Turn> {
    const PAUSE: Duration = Duration::from_millis(5);
    let directory = writable().ok()?;
    let deadline = Instant::now() + patience;
    while !lock::try_exclusive(directory.fd.as_fd()).ok()? {
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
    Some(Turn {
        _directory: directory,
    })
}

/// A record of one's own. It is removed when this is dropped.
#[derive(Debug)]
pub struct Registration {
    directory: Rc<Directory>,
    file: File,
    name: String,
    /// Whether the name is still ours.
    named: bool,
    /// The caller's.
    umask: u32,
}

impl Registration {
    /// Takes a name among the caller's running sandboxes, before anything is started.
    ///
    /// # Errors
    /// The name is taken; or there is no directory to write to.
    pub fn make(wanted: &Wanted) -> Result<Self, Refused> {
        let directory = Rc::new(writable().map_err(Refused::Unusable)?);
        let (name, exactly) = match wanted {
            Wanted::Exactly(name) => (name, true),
            Wanted::Like(name) => (name, false),
        };
        let mut number = 1;
        loop {
            let candidate = name::numbered(name, number);
            match create(&directory, &candidate) {
                Ok((file, umask)) => {
                    return Ok(Self {
                        directory,
                        file,
                        name: candidate,
                        named: true,
                        umask,
                    });
                }
                Err(Errno::EEXIST) => match examine(&directory, &candidate) {
                    Some(by) if exactly => return Err(Refused::Taken(by)),
                    Some(_) => number = next(&directory, name, number),
                    // It was stale, and is gone.
                    None => {}
                },
                Err(errno) => {
                    let path = directory.path().join(&candidate);
                    return Err(Refused::Unusable(format!(
                        "`{}` cannot be made: {}",
                        escape::os(path.as_os_str()),
                        errno.desc()
                    )));
                }
            }
        }
    }

    /// What the sandbox is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The umask that the caller had when the name was taken.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.umask
    }

    /// Writes the record, once the program runs.
    ///
    /// # Errors
    /// A full file system and the like.
    pub fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        self.file.write_all(lines)
    }

    /// Moves what it keeps to where memory is asked for now.
    pub fn gather(&mut self) {
        self.name = self.name.clone();
        if let Some(directory) = Rc::get_mut(&mut self.directory) {
            directory.gather();
        }
    }

    /// Removes the record, and tells those who hold it open how the sandbox ended.
    pub fn end(mut self, ended: &Ended) {
        self.unlink();
        if let Ok(mut line) = serde_json::to_vec(ended) {
            line.push(b'\n');
            // Nobody can be told.
            let _ = self.file.write_all(&line);
        }
        sweep(&self.directory);
        run_directory::sweep(&self.directory);
    }

    /// Leaves the record where it is, unlocked: it is stale when nothing is left of what it tells of.
    pub fn leave(mut self) {
        self.named = false;
    }

    fn unlink(&mut self) {
        // Who finds a file unlocked may remove it, and this one is locked: the name is still ours.
        if std::mem::take(&mut self.named) {
            remove(&self.directory, &self.name);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// So many records are looked at when a sandbox ends; more than a few are stale only after a crash of many.
const SWEPT: usize = 16;

/// Removes records of launchers that have died without doing it.
fn sweep(directory: &Rc<Directory>) {
    for name in directory.names().iter().take(SWEPT) {
        if let Ok(entry) = Entry::open(directory, name) {
            let _ = entry.remove_if_stale();
        }
    }
}

fn remove(directory: &Directory, name: &str) {
    // ENOENT, or a file system that can only be read by now: nobody can be told.
    let _ = unlinkat(&directory.fd, name, UnlinkatFlags::NoRemoveDir);
}

/// Makes a file that was not there, and locks it. The umask of the caller is told on the way.
///
/// # Errors
/// EEXIST: it is there. EBUSY: somebody keeps a lock on what nobody can know yet.
fn create(directory: &Directory, name: &str) -> Result<(File, u32), Errno> {
    // Whatever the caller's umask takes away, this mode is meant.
    let theirs = crate::kernel::process::set_umask(0o077);
    let made = create_with_mode(directory, name);
    crate::kernel::process::set_umask(theirs);
    made.map(|file| (file, theirs))
}

fn create_with_mode(directory: &Directory, name: &str) -> Result<File, Errno> {
    const PAUSE: Duration = Duration::from_millis(2);
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_APPEND | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let mut file = File::from(openat(&directory.fd, name, flags, mode)?);
    for _ in 0..200 {
        if !lock::try_exclusive(file.as_fd())? {
            // Somebody is looking whether it is stale.
            std::thread::sleep(PAUSE);
        } else if fstat(&file)?.st_nlink == 0 {
            // And took it for stale, before it was locked.
            file = File::from(openat(&directory.fd, name, flags, mode)?);
        } else {
            return Ok(file);
        }
    }
    remove(directory, name);
    Err(Errno::EBUSY)
}

/// Who has a name; none when its record was stale and has been removed.
fn examine(directory: &Rc<Directory>, name: &str) -> Option<String> {
    let entry = match Entry::open(directory, name) {
        // Gone meanwhile.
        Err(Errno::ENOENT) => return None,
        Err(errno) => {
            let path = directory.path().join(name);
            return Some(format!(
                "`{}`: {}",
                escape::os(path.as_os_str()),
                errno.desc()
            ));
        }
        Ok(entry) => entry,
    };
    if entry.remove_if_stale() {
        return None;
    }
    Some(match entry.content() {
        Ok(Content {
            record: Some(record),
            ..
        }) => format!(
            "`{}`, process {}",
            escape::line(&record.program),
            record.supervisor.pid,
        ),
        _ if entry.is_begun() => "a sandbox that is being started".to_owned(),
        _ => format!(
            "`{}`, which is no record of one",
            escape::os(entry.path().as_os_str())
        ),
    })
}

/// The number to try after `number` was taken: the next ones, and when there are many, the first that is free.
fn next(directory: &Directory, name: &str, number: u32) -> u32 {
    const FEW: u32 = 8;
    let after = number.saturating_add(1);
    if number != FEW {
        return after;
    }
    let names: HashSet<String> = directory.names().into_iter().collect();
    (after..u32::MAX)
        .find(|number| !names.contains(&name::numbered(name, *number)))
        .unwrap_or(after)
}

/// A record of somebody's sandbox.
#[derive(Debug)]
pub struct Entry {
    directory: Rc<Directory>,
    name: String,
    file: File,
    inode: u64,
}

impl Entry {
    /// Opens a file of a directory, if it can be a record.
    ///
    /// # Errors
    /// openat(2). EACCES, too, for a file that is none of the directory's owner, that others have rights on, or that has
    /// another name elsewhere.
    pub fn open(directory: &Rc<Directory>, name: &str) -> Result<Self, Errno> {
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let file = File::from(openat(&directory.fd, name, flags, Mode::empty())?);
        let found = file
            .metadata()
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        let fit = found.is_file()
            && found.uid() == directory.uid()
            && found.mode() & OTHERS == 0
            && found.nlink() <= 1
            && found.len() <= LONGEST;
        if !fit {
            return Err(Errno::EACCES);
        }
        Ok(Self {
            directory: Rc::clone(directory),
            name: name.to_owned(),
            file,
            inode: found.ino(),
        })
    }

    /// The name of the sandbox.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose it is.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.directory.uid()
    }

    /// The inode of the file: another one is another sandbox of that name.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// What it says by now.
    ///
    /// # Errors
    /// It is none of ours, in words.
    pub fn content(&self) -> Result<Content, String> {
        let size = self.file.metadata().map_or(0, |found| found.len());
        let mut text = vec![0; usize::try_from(size.min(LONGEST)).unwrap_or(0)];
        let mut at = 0;
        while let Some(rest) = text.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at as u64) {
                Ok(0) => break,
                Ok(length) => at += length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot be read: {error}")),
            }
        }
        text.truncate(at);
        let text = std::str::from_utf8(&text).map_err(|_| "is no text".to_owned())?;
        let content = Content::parse(text)?;
        if let Some(record) = &content.record
            && (record.name != self.name || record.uid != self.directory.uid())
        {
            return Err("is not about what its name and its owner say".to_owned());
        }
        Ok(content)
    }

    /// Whether it begins as a record does, as far as it goes: one that was never finished, or of another version.
    fn is_begun(&self) -> bool {
        let mut start = [0; BEGINNING.len()];
        let length = self.file.read_at(&mut start, 0);
        let start = length.ok().and_then(|length| start.get(..length));
        start.is_some_and(|start| BEGINNING.starts_with(start))
    }

    /// Whether it is something else, that happens to lie here.
    fn is_foreign(&self) -> bool {
        let is_none = |content: Content| content.record.is_none();
        !self.is_begun() && self.content().is_ok_and(is_none)
    }

    /// Adds a line to it.
    ///
    /// # Errors
    /// A full file system and the like.
    pub fn append(&self, mut line: Vec<u8>) -> std::io::Result<()> {
        line.push(b'\n');
        // The very file that was looked at, whatever its name leads to by now.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let mut file = File::options().append(true).open(path)?;
        file.write_all(&line)
    }

    /// Whether a launcher holds the lock.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match lock::try_shared(self.file.as_fd()) {
            Ok(true) => {
                lock::release(self.file.as_fd());
                false
            }
            // What cannot be locked for another reason is not taken for stale either.
            _ => true,
        }
    }

    /// Waits until no launcher holds the lock.
    ///
    /// # Errors
    /// EINTR: a signal came first.
    pub fn wait(&self) -> Result<(), Errno> {
        lock::wait_shared(self.file.as_fd())?;
        lock::release(self.file.as_fd());
        Ok(())
    }

    /// Removes the record when its launcher has died without doing it, and nothing that it tells of is left. Whether it is
    /// gone.
    #[must_use]
    pub fn remove_if_stale(&self) -> bool {
        if !matches!(lock::try_exclusive(self.file.as_fd()), Ok(true)) {
            return false;
        }
        let left = match self.content() {
            Ok(Content {
                record: Some(record),
                ..
            }) => process::is_left(&record, self.directory.uid()),
            // A directory that variables name may hold other files of its owner's, which are nobody's to remove.
            _ => !self.is_begun(),
        };
        if !left {
            // Nobody else can have removed it: that takes the lock that we hold.
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            let now = fstatat(&self.directory.fd, self.name.as_str(), flags);
            if now.is_ok_and(|found| found.st_ino == self.inode) {
                remove(&self.directory, &self.name);
            }
        }
        lock::release(self.file.as_fd());
        !left
    }
}

/// Everything that is found, and why some of it is not used.
#[derive(Debug, Default)]
pub struct Found {
    /// The records, by directory and name. Stale ones have been removed.
    pub entries: Vec<Entry>,
    /// Directories and files that are not used, and why.
    pub passed_over: Vec<String>,
}

/// All records of these.
#[must_use]
pub fn find(whose: Whose) -> Found {
    let mut found = Found::default();
    for directory in readable(whose, &mut found.passed_over) {
        for name in directory.names() {
            match Entry::open(&directory, &name) {
                Ok(entry) if entry.remove_if_stale() => {}
                Ok(entry) if entry.is_foreign() => found.passed_over.push(format!(
                    "`{}` is not used: it is no record of a sandbox",
                    escape::os(entry.path().as_os_str())
                )),
                Ok(entry) => found.entries.push(entry),
                Err(Errno::ENOENT) => {}
                Err(errno) => found.passed_over.push(format!(
                    "`{}` is not used: {}",
                    escape::os(directory.path().join(&name).as_os_str()),
                    match errno {
                        Errno::ELOOP => "it is a symbolic link",
                        Errno::EACCES =>
                            "it is no plain file of the directory's owner that nobody else has rights on",
                        errno => errno.desc(),
                    }
                )),
            }
        }
    }
    found
}
