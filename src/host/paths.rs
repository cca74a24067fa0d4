//! What is at a path: looked at component by component, so that every symbolic link on the way is known.
//!
//! Nothing is opened but as a bare reference (`O_PATH`, open(2)): no FIFO blocks, no device reacts. Nor is an automount
//! triggered, which a server that does not answer could hold up for ever: with O_DIRECTORY even a bare reference would (path
//! resolution asks for a directory then), and so would a name that is looked for in a directory of autofs. A file system of
//! which somebody else has to be asked (`remote`) is gone into only once it has answered.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::facts::{PathFact, PathKind, Twin};
use super::mountinfo;
use super::remote::{self, Devices};
use crate::kernel::status::{self, Status};
use crate::tree::{self, PathMap, PathSet};

/// The kernel follows no more links in one path (path_resolution(7)).
pub(crate) const MOST_LINKS: usize = 40;
/// Directories that are kept open while paths below them are looked at.
const MOST_OPEN: usize = 128;
/// Names that are remembered as missing.
const MOST_MISSING: usize = 1024;

/// Looks at paths; they must be absolute.
#[must_use]
pub fn probe(paths: &[PathBuf]) -> PathMap<PathFact> {
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    probe_with(&mut Walker::default(), &paths)
}

/// The same by a walker that has been at some of them before.
pub(super) fn probe_with(walker: &mut Walker, paths: &[&Path]) -> PathMap<PathFact> {
    let next = paths.iter().skip(1).map(Some).chain([None]);
    paths
        .iter()
        .zip(next)
        .map(|(path, next)| {
            // What the next one lies below will be opened anyway: that is also a look.
            let open = next.is_some_and(|next| tree::is_within(next, path));
            ((*path).to_owned(), walker.fact(path, open).0)
        })
        .collect()
}

/// What one name in a directory is.
#[derive(Clone, Debug)]
enum Entry {
    Directory(Rc<Directory>),
    Link(PathBuf),
    Other(PathKind, Option<Twin>),
}

/// A directory on the way.
#[derive(Debug)]
pub(super) struct Directory {
    /// A bare reference to it.
    pub fd: OwnedFd,
    /// The numbers of the device that it is on.
    pub device: (u32, u32),
}

/// What is found at the end of a path: the path without links, and a reference to a directory.
type Found = (PathBuf, PathKind, Option<Rc<Directory>>);

/// Looks at paths, and remembers the directories on the way.
#[derive(Default)]
pub(super) struct Walker {
    root: Option<Rc<Directory>>,
    seen: PathMap<Entry>,
    /// The last plain path that was gone, and the directories on it before any link: how much of it leads there. The next
    /// one begins like it most of the time.
    last: PathBuf,
    trail: Vec<(usize, Rc<Directory>)>,
    /// Directories that are not there: many rules name something below the same ones.
    missing: PathSet,
    /// Where something is mounted; read once an automount is met.
    mounted: Option<PathSet>,
    /// What is known of the devices on the way.
    devices: Devices,
}

impl Walker {
    /// What is at a path, and a reference to it when it is a directory.
    pub(super) fn look(&mut self, path: &Path) -> (PathFact, Option<Rc<Directory>>) {
        self.fact(path, true)
    }

    /// The same; without `open`, a directory at the end is not opened for the reference.
    fn fact(&mut self, path: &Path, open: bool) -> (PathFact, Option<Rc<Directory>>) {
        let mut fact = PathFact {
            canonical: None,
            kind: PathKind::Missing,
            links: Vec::new(),
            error: None,
            twin: None,
        };
        let end = match self.follow(path, open, &mut fact) {
            Ok((canonical, kind, directory)) => {
                fact.canonical = Some(canonical);
                fact.kind = kind;
                directory
            }
            Err(Errno::ENOENT | Errno::ENOTDIR) => None,
            Err(error) => {
                fact.error = Some(error as i32);
                None
            }
        };
        (fact, end)
    }

    fn root(&mut self) -> nix::Result<Rc<Directory>> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open("/", flags, Mode::empty())?;
        let device = status::of(fd.as_fd())?.device;
        self.devices.trust(device);
        Ok(self.root.insert(Rc::new(Directory { fd, device })).clone())
    }

    fn follow(&mut self, path: &Path, open_last: bool, fact: &mut PathFact) -> nix::Result<Found> {
        let root = self.root()?;
        if tree::is_plain(path)
            && let Some(found) = self.go(&root, path, open_last, fact)?
        {
            return Ok(found);
        }
        // The directories on the way, so that `..` leads back to where one came from.
        let mut way: Vec<(PathBuf, Rc<Directory>)> = Vec::new();
        let mut rest = tree::names(path);
        while let Some(name) = rest.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let (at, directory) = way
                .last()
                .map_or((Path::new("/"), &root), |(at, found)| (at.as_path(), found));
            let here = at.join(&name);
            if rest.is_empty()
                && !open_last
                && let Some(kind) = self.look_only(directory, &here, &name, fact)?
            {
                return Ok((here, kind, None));
            }
            match self.entry(&here, &directory.fd, &name)? {
                Entry::Directory(found) => {
                    if let Some(next) = rest.last() {
                        self.may_enter(&found, &here.join(next))?;
                    }
                    way.push((here, found));
                }
                Entry::Link(target) => {
                    if fact.links.len() >= MOST_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    if target.is_absolute() {
                        way.clear();
                    }
                    rest.extend(tree::names(&target));
                    fact.links.push((here, target));
                }
                Entry::Other(kind, twin) if rest.is_empty() => {
                    fact.twin = twin;
                    return Ok((here, kind, None));
                }
                Entry::Other(..) => return Err(Errno::ENOTDIR),
            }
        }
        let (at, found) = way.pop().unwrap_or_else(|| (PathBuf::from("/"), root));
        Ok((at, PathKind::Directory, Some(found)))
    }

    /// Goes a plain path on which no link is met; nothing when one is.
    fn go(
        &mut self,
        root: &Rc<Directory>,
        path: &Path,
        open_last: bool,
        fact: &mut PathFact,
    ) -> nix::Result<Option<Found>> {
        let bytes = path.as_os_str().as_bytes();
        if bytes == b"/" {
            let root = Some(root.clone());
            return Ok(Some((path.to_owned(), PathKind::Directory, root)));
        }
        let same = tree::common(bytes, self.last.as_os_str().as_bytes());
        let leads = |(end, _): &(usize, Rc<Directory>)| {
            *end <= same && bytes.get(*end).is_some_and(|byte| *byte == b'/')
        };
        let still = self.trail.iter().take_while(|step| leads(step)).count();
        self.trail.truncate(still);
        path.clone_into(&mut self.last);
        let mut start = self.trail.last().map_or(0, |(end, _)| *end);
        while let Some(rest) = bytes.get(start + 1..) {
            let length = rest.iter().position(|byte| *byte == b'/');
            let name = OsStr::from_bytes(match length {
                Some(length) => rest.get(..length).unwrap_or_default(),
                None => rest,
            });
            let end = start + 1 + name.len();
            let here = Path::new(OsStr::from_bytes(bytes.get(..end).unwrap_or_default()));
            let directory = match self.trail.last() {
                Some((_, directory)) => {
                    let directory = directory.clone();
                    self.may_enter(&directory, here)?;
                    directory
                }
                None => root.clone(),
            };
            if length.is_none()
                && !open_last
                && let Some(kind) = self.look_only(&directory, here, name, fact)?
            {
                return Ok(Some((here.to_owned(), kind, None)));
            }
            match (self.entry(here, &directory.fd, name)?, length) {
                (Entry::Link(_), _) => return Ok(None),
                (Entry::Directory(found), None) => {
                    return Ok(Some((here.to_owned(), PathKind::Directory, Some(found))));
                }
                (Entry::Directory(found), Some(_)) => self.trail.push((end, found)),
                (Entry::Other(kind, twin), None) => {
                    fact.twin = twin;
                    return Ok(Some((here.to_owned(), kind, None)));
                }
                (Entry::Other(..), Some(_)) => return Err(Errno::ENOTDIR),
            }
            start = end;
        }
        Ok(None)
    }

    /// Before a name in a directory is looked for: whether that would mount something, or has to be asked of somebody who
    /// does not answer.
    fn may_enter(&mut self, directory: &Directory, next: &Path) -> nix::Result<()> {
        match self.devices.kind(directory.device, directory.fd.as_fd())? {
            remote::Kind::Automount if !self.is_mounted(next) => Err(Errno::EREMOTE),
            remote::Kind::Remote => self.devices.ask(directory.device, directory.fd.as_fd()),
            remote::Kind::Automount | remote::Kind::Here => Ok(()),
        }
    }

    /// What a name is that nothing more is to be done with, unless it was opened before; nothing for a link.
    fn look_only(
        &self,
        directory: &Directory,
        here: &Path,
        name: &OsStr,
        fact: &mut PathFact,
    ) -> nix::Result<Option<PathKind>> {
        if self.seen.contains_key(here) {
            return Ok(None);
        }
        let looked = look_at(&directory.fd, name);
        let looked = looked.map_err(|error| own_lock(&directory.fd, error))?;
        let kind = match type_of(&looked) {
            SFlag::S_IFDIR => PathKind::Directory,
            SFlag::S_IFREG => PathKind::File,
            SFlag::S_IFLNK => return Ok(None),
            _ => PathKind::Special,
        };
        fact.twin = twin(kind, &looked);
        Ok(Some(kind))
    }

    fn entry(&mut self, path: &Path, directory: &OwnedFd, name: &OsStr) -> nix::Result<Entry> {
        if let Some(entry) = self.seen.get(path) {
            return Ok(entry.clone());
        }
        if self.missing.contains(path) {
            return Err(Errno::ENOENT);
        }
        let fd = match reference(directory, name) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => {
                if self.missing.len() < MOST_MISSING {
                    self.missing.insert(path.to_owned());
                }
                return Err(Errno::ENOENT);
            }
            Err(error) => return Err(own_lock(directory, error)),
        };
        let found = status::of(fd.as_fd())?;
        let entry = match type_of(&found) {
            SFlag::S_IFDIR => Entry::Directory(Rc::new(Directory {
                fd,
                device: found.device,
            })),
            // Of the link itself, not of what its name leads to by now.
            SFlag::S_IFLNK => Entry::Link(readlinkat(fd.as_fd(), "")?.into()),
            SFlag::S_IFREG => Entry::Other(PathKind::File, twin(PathKind::File, &found)),
            _ => Entry::Other(PathKind::Special, None),
        };
        if self.seen.len() < MOST_OPEN {
            self.seen.insert(path.to_owned(), entry.clone());
        }
        Ok(entry)
    }
}

impl Walker {
    /// What a directory's file system is, without asking it.
    pub(super) fn kind(&mut self, directory: &Directory) -> nix::Result<&str> {
        self.devices.name(directory.device, directory.fd.as_fd())
    }

    /// Asks a directory's file system once whether it is there, where somebody else has to be asked.
    pub(super) fn ask(&mut self, directory: &Directory) -> nix::Result<()> {
        match self.devices.kind(directory.device, directory.fd.as_fd())? {
            remote::Kind::Remote => self.devices.ask(directory.device, directory.fd.as_fd()),
            remote::Kind::Automount | remote::Kind::Here => Ok(()),
        }
    }

    /// Whether something is mounted there already, so that going there mounts nothing: a home directory on autofs is.
    fn is_mounted(&mut self, path: &Path) -> bool {
        let points = self.mounted.get_or_insert_with(|| {
            // Without it nothing is known to be mounted.
            let table = crate::kernel::pseudo::read("/proc/self/mountinfo").unwrap_or_default();
            mount_points(&table)
        });
        points.contains(path)
    }
}

/// The mount points that mountinfo names (proc_pid_mountinfo(5)), but for those of autofs itself.
#[must_use]
pub fn mount_points(table: &[u8]) -> PathSet {
    mountinfo::lines(table)
        .filter(|line| line.kind != b"autofs")
        .map(|line| mountinfo::path(line.point))
        .collect()
}

/// EACCES stands for what the caller can never reach. His own directory he could open again (chmod(2)), and so could a
/// program: that is EPERM, "not now".
pub(super) fn own_lock(directory: &OwnedFd, error: Errno) -> Errno {
    let owner = || fstat(directory.as_fd()).map(|found| found.st_uid);
    if error == Errno::EACCES && owner() == Ok(nix::unistd::geteuid().as_raw()) {
        Errno::EPERM
    } else {
        error
    }
}

/// A bare reference to what has that name in a directory: to a link itself, not to what it says.
pub(super) fn reference(directory: &OwnedFd, name: &OsStr) -> nix::Result<OwnedFd> {
    openat(
        directory.as_fd(),
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// What a descriptor refers to, if that is a directory.
pub(super) fn directory(fd: OwnedFd) -> Option<Directory> {
    let found = status::of(fd.as_fd()).ok()?;
    (type_of(&found) == SFlag::S_IFDIR).then_some(Directory {
        fd,
        device: found.device,
    })
}

fn type_of(found: &Status) -> SFlag {
    SFlag::from_bits_truncate(found.mode) & SFlag::S_IFMT
}

fn look_at(directory: &OwnedFd, name: &OsStr) -> nix::Result<Status> {
    /// The longest name of a file, and its end (NAME_MAX, limits.h).
    const ROOM: usize = 256;
    let mut text = [0; ROOM];
    let length = name.len();
    match text.get_mut(..length).filter(|_| length < ROOM) {
        Some(place) => place.copy_from_slice(name.as_bytes()),
        None => {
            // The kernel says what is wrong with it.
            let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
            return status::at(directory.as_fd(), &name);
        }
    }
    let name = text.get(..=length).map(CStr::from_bytes_with_nul);
    let name = name.and_then(Result::ok).ok_or(Errno::EINVAL)?;
    status::at(directory.as_fd(), name)
}

/// Which file this is, where it has other names.
fn twin(kind: PathKind, found: &Status) -> Option<Twin> {
    let several = kind == PathKind::File && found.names > 1;
    several.then_some(Twin {
        device: found.device,
        inode: found.inode,
        names: found.names,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn one(path: &Path) -> PathFact {
        probe(&[path.to_owned()]).remove(path).unwrap()
    }

    #[test]
    fn links_are_followed_and_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/f"), "").unwrap();
        symlink("../a/b", root.join("a/up")).unwrap();
        symlink(root.join("a/up"), root.join("far")).unwrap();
        let fact = one(&root.join("far/f"));
        assert_eq!(fact.canonical, Some(root.join("a/b/f")));
        assert_eq!(fact.kind, PathKind::File);
        assert_eq!(
            fact.links,
            [
                (root.join("far"), root.join("a/up")),
                (root.join("a/up"), "../a/b".into())
            ]
        );
        assert_eq!(one(&root.join("far")).kind, PathKind::Directory);
    }

    #[test]
    fn what_is_missing_keeps_the_links_on_the_way() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        symlink("nowhere/else", root.join("l")).unwrap();
        fs::write(root.join("f"), "").unwrap();
        let fact = one(&root.join("l/x"));
        assert_eq!(
            (fact.canonical, fact.kind, fact.error),
            (None, PathKind::Missing, None)
        );
        assert_eq!(fact.links, [(root.join("l"), "nowhere/else".into())]);
        assert_eq!(one(&root.join("f/x")).kind, PathKind::Missing);
    }

    #[test]
    fn loops_end_and_special_files_do_not_block() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(one(&root.join("loop")).error, Some(Errno::ELOOP as i32));
        nix::unistd::mkfifo(&root.join("fifo"), Mode::S_IRUSR).unwrap();
        let fact = one(&root.join("fifo"));
        assert_eq!(
            (fact.kind, fact.canonical),
            (PathKind::Special, Some(root.join("fifo")))
        );
        assert_eq!(one(Path::new("/dev/null")).kind, PathKind::Special);
        assert_eq!(one(Path::new("/")).kind, PathKind::Directory);
        assert_eq!(one(Path::new("/")).canonical, Some("/".into()));
    }

    #[test]
    fn mount_points_are_read_without_those_of_automounts() {
        let table = b"36 35 98:0 / / rw - ext4 /dev/root rw\n\
            40 36 0:20 / /home rw,relatime shared:1 - autofs map rw,fd=4,indirect\n\
            41 40 0:30 / /home/joe\\040x rw - nfs4 server:/joe rw\nbroken\n - \n";
        let points: Vec<_> = mount_points(table).into_iter().collect();
        assert_eq!(points, [PathBuf::from("/"), "/home/joe x".into()]);
        // What is beside a mount point, and is no text either, is none.
        let points = mount_points(b"41 40 0:30 / /home/\xff rw - nfs4 server:/joe rw\n");
        let has = |name: &[u8]| points.contains(Path::new(OsStr::from_bytes(name)));
        assert!(has(b"/home/\xff") && !has(b"/home/\xfe"));
    }

    #[test]
    fn a_locked_directory_is_an_error_not_an_absence() {
        if nix::unistd::geteuid().is_root() {
            // Root passes; the errno of a name that is too long stands in.
            let long = format!("/tmp/{}", "x".repeat(300));
            assert_eq!(
                one(Path::new(&long)).error,
                Some(Errno::ENAMETOOLONG as i32)
            );
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let locked = root.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        // His own, which he can open again; another's would be EACCES.
        assert_eq!(one(&locked.join("x")).error, Some(Errno::EPERM as i32));
    }
}
