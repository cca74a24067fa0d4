//! The directories in which a hidden name may appear, watched as the program sees them.
//!
//! A directory is watched first and read then, so that nothing slips through in between; what is renamed is looked at anew
//! where it has gone. Paths are walked from the root of the view, through no link. Who makes names faster than they can be
//! looked at has events lost: then everything is looked at once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{CString, OsStr};
use std::ops::Bound;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::host::glob::{Kinds, foreign};
use crate::kernel::{Errno, at, descriptor, inotify};
use crate::section::filesystem::later::Names;
use crate::section::pattern::Onward;

use super::cover::Covers;

/// Directories that are watched.
const MOST_WATCHED: usize = 65_536;
/// Bytes of their paths. The memory is the launcher's, and no limit of the sandbox holds it.
const MOST_BYTES: usize = 32 << 20;
/// Watches that are kept beyond that while more is to be heard.
const MOST_NOWHERE: usize = 16_384;
/// Names that are hidden while the sandbox lives.
const MOST_COVERED: usize = 10_000;
/// Bytes of events that are read at once: so few that the sandbox's end is noticed soon.
const EVENTS: usize = 4 << 10;

/// Something that could not be hidden.
#[derive(Debug)]
pub(super) struct Lost {
    pub errno: Errno,
    pub path: PathBuf,
}

/// A directory that is not watched.
#[derive(Debug)]
pub(super) struct Unwatched {
    pub errno: Errno,
    pub path: PathBuf,
}

pub(super) struct Tree<'n> {
    names: &'n Names,
    covers: Covers,
    queue: OwnedFd,
    kinds: Kinds,
    /// The number of each directory.
    numbers: BTreeMap<Rc<Path>, i32>,
    /// A directory that is shown at several places has one number.
    places: HashMap<i32, Vec<Rc<Path>>>,
    /// Watches of directories that are nowhere now. They are kept until all that happened is known: who was moved comes
    /// again, and keeps its watch although the user may have no more of them.
    nowhere: Vec<i32>,
    /// How long the paths in `numbers` are together.
    bytes: usize,
    /// What has been met since everything is looked at anew.
    met: Option<BTreeSet<Rc<Path>>>,
    covered: BTreeSet<PathBuf>,
    /// Whom to tell of the first directory that is not watched.
    tell: Option<&'n mut dyn FnMut(Unwatched)>,
    buffer: Vec<u8>,
}

/// A directory that is to be looked at, what may be in it, and the kind of file system around it.
struct Next {
    path: PathBuf,
    onward: Onward,
    around: Option<&'static str>,
}

/// From a path on: what is below it comes first.
fn from(path: &Path) -> (Bound<&Path>, Bound<&Path>) {
    (Bound::Included(path), Bound::Unbounded)
}

fn c_name(name: &OsStr) -> Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
}

impl<'n> Tree<'n> {
    /// Nothing is watched yet.
    pub(super) fn new(
        names: &'n Names,
        covers: Covers,
        queue: OwnedFd,
        tell: &'n mut dyn FnMut(Unwatched),
    ) -> Self {
        Self {
            names,
            covers,
            queue,
            kinds: Kinds::default(),
            numbers: BTreeMap::new(),
            places: HashMap::new(),
            nowhere: Vec::new(),
            bytes: 0,
            met: None,
            covered: BTreeSet::new(),
            tell: Some(tell),
            buffer: Vec::new(),
        }
    }

    /// Lets go of all but the watches.
    pub(super) fn into_queue(self) -> OwnedFd {
        self.queue
    }

    /// What becomes readable when something happens.
    pub(super) fn queue(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Looks at everything, from the root on.
    pub(super) fn look_at_all(&mut self) -> Result<(), Lost> {
        let onward = self.names.onward(Path::new("/"));
        let root = onward.map(|onward| Next {
            path: "/".into(),
            onward,
            around: None,
        });
        self.enter(root.into_iter().collect())
    }

    /// Takes what has been told.
    pub(super) fn hear(&mut self) -> Result<(), Lost> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(EVENTS, 0);
        let result = match descriptor::read(self.queue.as_fd(), &mut buffer) {
            Ok(length) => self.take(buffer.get(..length).unwrap_or_default()),
            Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(Lost {
                errno,
                path: "/".into(),
            }),
        };
        self.buffer = buffer;
        if self.nowhere.len() >= MOST_NOWHERE || !self.has_more() {
            for number in std::mem::take(&mut self.nowhere) {
                if !self.places.contains_key(&number) {
                    inotify::forget(self.queue.as_fd(), number);
                }
            }
        }
        result
    }

    /// Whether more has been told already.
    fn has_more(&self) -> bool {
        let mut ready = [libc::pollfd {
            fd: self.queue.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }];
        descriptor::poll(&mut ready, 0).is_ok_and(|count| count > 0)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        for event in inotify::events(bytes) {
            if event.is_overflow() {
                self.begin_anew()?;
                continue;
            }
            if event.is_end() {
                for path in self.places.remove(&event.watch).unwrap_or_default() {
                    // There may be another directory by now.
                    if self.numbers.get(&path) == Some(&event.watch) {
                        self.numbers.remove(&path);
                        self.bytes -= path.as_os_str().len();
                    }
                }
                continue;
            }
            let Some(places) = self.places.get(&event.watch) else {
                continue;
            };
            for place in places.clone() {
                let path = place.join(event.name);
                self.forget(&path);
                // Whatever is said of a name: when two exchange theirs, that both are gone is heard after one has come.
                self.appear(&place, path)?;
            }
        }
        Ok(())
    }

    /// Looks at everything once more. What is watched stays so meanwhile: nobody else gets its place among the watches that
    /// the user may have.
    fn begin_anew(&mut self) -> Result<(), Lost> {
        self.met = Some(BTreeSet::new());
        self.look_at_all()?;
        let met = self.met.take().unwrap_or_default();
        let stale: Vec<Rc<Path>> = (self.numbers.keys())
            .filter(|path| !met.contains(*path))
            .cloned()
            .collect();
        for path in stale {
            self.leave(&path);
        }
        Ok(())
    }

    /// Watches no more what was at a path.
    fn leave(&mut self, path: &Rc<Path>) {
        if let Some(number) = self.numbers.remove(path) {
            self.bytes -= path.as_os_str().len();
            self.release(number, path);
        }
    }

    /// A directory is not at a path any more.
    fn release(&mut self, number: i32, path: &Rc<Path>) {
        if let Some(places) = self.places.get_mut(&number) {
            places.retain(|place| place != path);
            if places.is_empty() {
                self.places.remove(&number);
                self.nowhere.push(number);
            }
        }
    }

    /// Looks no more after what was at a path and below it.
    fn forget(&mut self, path: &Path) {
        if self.numbers.contains_key(path) {
            let below: Vec<Rc<Path>> = (self.numbers.range::<Path, _>(from(path)))
                .map(|(at, _)| at.clone())
                .take_while(|at| at.starts_with(path))
                .collect();
            for at in below {
                self.leave(&at);
            }
        }
        while let Some(at) = self.covered.range::<Path, _>(from(path)).next()
            && at.starts_with(path)
        {
            let at = at.clone();
            self.covered.remove(&at);
        }
    }

    /// Something new has a name.
    fn appear(&mut self, directory: &Path, path: PathBuf) -> Result<(), Lost> {
        if !self.names.close(&path) && self.names.onward(&path).is_none() {
            return Ok(());
        }
        let opened = c_name(directory.as_os_str())
            .and_then(|directory| at::resolve(self.covers.root.as_fd(), &directory));
        let opened = match opened {
            Ok(opened) => opened,
            // It has gone: where it went, that is an event too. Or it is out of the program's reach as well.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => return Ok(()),
            Err(errno) => return Err(Lost { errno, path }),
        };
        let around = self.kinds.of(opened.as_fd()).ok();
        let mut next = Vec::new();
        self.look(&opened, path, true, around, &mut next)?;
        self.enter(next)
    }

    /// Hides what has a hidden name, and notes what is to be looked into.
    fn look(
        &mut self,
        directory: &OwnedFd,
        path: PathBuf,
        may_be_directory: bool,
        around: Option<&'static str>,
        next: &mut Vec<Next>,
    ) -> Result<(), Lost> {
        if self.names.close(&path) {
            return match self.cover(directory, &path) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
                Err(errno) => Err(Lost { errno, path }),
            };
        }
        if may_be_directory && let Some(onward) = self.names.onward(&path) {
            // The queue is freed as it is worked off: what waits in it is bounded as what is watched.
            let waiting = next.len();
            if waiting >= MOST_WATCHED
                || waiting.saturating_mul(path.as_os_str().len()) > MOST_BYTES
            {
                self.tell(Errno::E2BIG, &path);
            } else {
                next.push(Next {
                    path,
                    onward,
                    around,
                });
            }
        }
        Ok(())
    }

    fn cover(&mut self, directory: &OwnedFd, path: &Path) -> Result<(), Errno> {
        let name = c_name(path.file_name().ok_or(Errno::ENOENT)?)?;
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let found = at::open(directory.as_fd(), &name, flags, 0)?;
        let is_directory = at::mode(found.as_fd())? & libc::S_IFMT == libc::S_IFDIR;
        if self.covers.put(found.as_fd(), is_directory)? {
            if self.covered.len() >= MOST_COVERED {
                return Err(Errno::E2BIG);
            }
            self.covered.insert(path.to_owned());
        }
        Ok(())
    }

    /// Watches and reads directories, and what is below them.
    fn enter(&mut self, mut next: Vec<Next>) -> Result<(), Lost> {
        while let Some(Next {
            path,
            onward,
            around,
        }) = next.pop()
        {
            let opened = c_name(path.as_os_str())
                .and_then(|path| at::resolve(self.covers.root.as_fd(), &path));
            let directory = match opened {
                Ok(opened) => opened,
                // Gone, a link, or out of the program's reach as well.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => continue,
                Err(errno) => {
                    self.tell(errno, &path);
                    continue;
                }
            };
            let kind = match self.kinds.of(directory.as_fd()) {
                Ok(kind) => kind,
                Err(errno) => {
                    self.tell(errno, &path);
                    continue;
                }
            };
            // A name that is looked for in a directory of autofs has something mounted.
            let apart = || foreign(kind, around.unwrap_or(kind)).is_some();
            if kind == "autofs" || (onward == Onward::All && apart()) {
                continue;
            }
            match at::mode(directory.as_fd()).map(|mode| mode & libc::S_IFMT) {
                Ok(libc::S_IFDIR) => {}
                Ok(_) => continue,
                Err(errno) => {
                    self.tell(errno, &path);
                    continue;
                }
            }
            // Those that are watched already keep their places, whatever was made since.
            if !self.numbers.contains_key(path.as_path())
                && (self.numbers.len() >= MOST_WATCHED
                    || self.bytes + path.as_os_str().len() > MOST_BYTES)
            {
                self.tell(Errno::E2BIG, &path);
                continue;
            }
            match self.watch(&path, directory.as_fd()) {
                Ok(()) | Err(Errno::EACCES) => {}
                // What is there now is hidden nevertheless.
                Err(errno) => self.tell(errno, &path),
            }
            match onward {
                Onward::Names(names) => {
                    for name in names {
                        self.look(&directory, path.join(name), true, Some(kind), &mut next)?;
                    }
                }
                Onward::All => self.read(&directory, &path, kind, &mut next)?,
            }
        }
        // No directory is held by being in it.
        let _ = at::enter(self.covers.root.as_fd());
        Ok(())
    }

    fn watch(&mut self, path: &Path, directory: BorrowedFd<'_>) -> Result<(), Errno> {
        at::enter(directory)?;
        let number = inotify::watch_here(self.queue.as_fd())?;
        let path: Rc<Path> = path.into();
        if let Some(met) = &mut self.met {
            met.insert(path.clone());
        }
        match self.numbers.insert(path.clone(), number) {
            Some(before) if before == number => return Ok(()),
            Some(before) => self.release(before, &path),
            None => self.bytes += path.as_os_str().len(),
        }
        self.places.entry(number).or_default().push(path);
        Ok(())
    }

    fn read(
        &mut self,
        directory: &OwnedFd,
        path: &Path,
        kind: &'static str,
        next: &mut Vec<Next>,
    ) -> Result<(), Lost> {
        let open = match at::open_names(directory.as_fd()) {
            Ok(open) => open,
            Err(Errno::EACCES) => return Ok(()),
            Err(errno) => {
                self.tell(errno, path);
                return Ok(());
            }
        };
        let mut looked = Ok(());
        let read = at::entries(open.as_fd(), |entry| {
            let path = path.join(OsStr::from_bytes(entry.name));
            looked = self.look(directory, path, entry.may_be_directory(), Some(kind), next);
            looked.is_ok()
        });
        if let Err(errno) = read {
            self.tell(errno, path);
        }
        looked
    }

    fn tell(&mut self, errno: Errno, path: &Path) {
        if let Some(tell) = self.tell.take() {
            tell(Unwatched {
                errno,
                path: path.to_owned(),
            });
        }
    }
}
