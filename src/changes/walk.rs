//! What an upper layer changes in the directory below it.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{FileStat, fstatat};

use super::content::same_content;
use super::store::Area;
use super::{Result, remove};
use crate::kernel::{Errno, at};
use crate::report::escape;

/// What is nested deeper is not looked into: each level costs descriptors.
const DEEPEST: usize = 120;
/// The mode bits that are carried: set-user-ID and set-group-ID never are.
pub const CARRIED: u32 = 0o1777;

/// What happened at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// There was nothing.
    Added,
    /// The content of a file, or what a link says.
    Modified,
    /// The permissions alone.
    Mode,
    /// Something of another type is there.
    Type,
    /// There is nothing any more.
    Deleted,
}

impl Kind {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Mode => "mode-changed",
            Self::Type => "type-changed",
            Self::Deleted => "deleted",
        }
    }
}

/// A type of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A named pipe, a socket, a device node.
    Special(&'static str),
}

impl Object {
    /// Of a mode (stat(2)).
    #[must_use]
    pub fn of(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Link,
            libc::S_IFIFO => Self::Special("fifo"),
            libc::S_IFSOCK => Self::Special("socket"),
            _ => Self::Special("device"),
        }
    }

    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Special(word) => word,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Below the directory.
    pub path: PathBuf,
    /// What happened.
    pub kind: Kind,
    /// What is there; of what is deleted, what was there.
    pub object: Object,
    /// The mode now and before.
    pub mode: (Option<u32>, Option<u32>),
    /// The size of a file in bytes, now and before.
    pub size: (Option<u64>, Option<u64>),
    /// What a link says.
    pub target: Option<PathBuf>,
    /// What is on the disk has changed since the overlay was made.
    pub conflict: bool,
    /// Why it is never carried onto the disk.
    pub refused: Option<String>,
    /// What somebody who looks at it should know.
    pub note: Option<String>,
    /// The directory around it which the program replaced by a new one.
    pub replaced: Option<PathBuf>,
    /// Whether it lies in a directory, new or replaced, that shows nothing of the disk.
    pub(super) opaque: bool,
}

/// All changes of an area, in the order of the paths, parents first.
///
/// # Errors
/// The area cannot be read.
pub fn changes(area: &Area) -> Result<Vec<Change>> {
    let fail = |errno: Errno| format!("the kept changes cannot be read: {}", errno.desc());
    let upper = area.upper().map_err(fail)?;
    let lower = area.lower()?;
    let mut walk = Walk {
        area,
        found: Vec::new(),
    };
    let top = walk.mode_of_top(upper.as_fd(), lower.as_fd());
    walk.found.extend(top);
    let around = Around {
        path: Path::new(""),
        opaque: is_opaque(upper.as_fd()),
        replaced: None,
        depth: 0,
    };
    walk.directory(upper.as_fd(), Some(lower.as_fd()), &around)
        .map_err(fail)?;
    Ok(walk.found)
}

struct Walk<'a> {
    area: &'a Area,
    found: Vec<Change>,
}

/// Where the walk is.
struct Around<'p> {
    path: &'p Path,
    opaque: bool,
    replaced: Option<&'p Path>,
    depth: usize,
}

pub(super) fn look(directory: BorrowedFd<'_>, name: &CStr) -> Option<FileStat> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
}

/// Whether the kernel shows nothing of the layers below in this directory of an upper layer.
fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0u8; 8];
    [c"user.overlay.opaque", c"trusted.overlay.opaque"]
        .iter()
        .any(|name| {
            at::attribute(directory, name, &mut value)
                .is_ok_and(|length| value.get(..length) == Some(b"y"))
        })
}

/// Whether something in an upper layer says that there is nothing.
pub(super) fn is_whiteout(found: &FileStat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFCHR && found.st_rdev == 0
}

impl Walk<'_> {
    fn mode_of_top(&self, upper: BorrowedFd<'_>, lower: BorrowedFd<'_>) -> Option<Change> {
        let (now, before) = (at::mode(upper).ok()?, at::mode(lower).ok()?);
        (now & CARRIED != before & CARRIED).then(|| Change {
            path: PathBuf::new(),
            mode: (Some(now & CARRIED), Some(before & CARRIED)),
            ..empty(Kind::Mode, Object::Directory)
        })
    }

    fn directory(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        around: &Around<'_>,
    ) -> std::result::Result<(), Errno> {
        let mut names = remove::names(upper)?;
        if around.opaque
            && let Some(lower) = lower
        {
            names.extend(remove::names(lower).unwrap_or_default());
            names.sort();
            names.dedup();
        }
        for name in names {
            self.entry(upper, lower, &name, around);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        name: &CStr,
        around: &Around<'_>,
    ) {
        let path = around.path.join(OsStr::from_bytes(name.to_bytes()));
        let now = match fstatat(upper, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Some(found).filter(|found| !is_whiteout(found)),
            Err(Errno::ENOENT) => None,
            Err(errno) => {
                let refused = Some(format!("it cannot be looked at: {}", errno.desc()));
                let unknown = empty(Kind::Modified, Object::File);
                self.found.push(Change {
                    path,
                    refused,
                    ..unknown
                });
                return;
            }
        };
        let before = lower.and_then(|lower| look(lower, name));
        let change = |kind, object| Change {
            path: path.clone(),
            opaque: around.opaque,
            replaced: around.replaced.map(Path::to_owned),
            ..empty(kind, object)
        };
        let Some(now) = now else {
            if let Some(before) = before {
                let mut gone = change(Kind::Deleted, Object::of(before.st_mode));
                gone.mode.1 = Some(before.st_mode & CARRIED);
                gone.size.1 = size(&before);
                gone.conflict = match lower {
                    Some(lower) => self.is_younger(lower, name, &before, &path, 0),
                    None => false,
                };
                self.found.push(gone);
            }
            return;
        };
        let object = Object::of(now.st_mode);
        let was = before.map(|found| Object::of(found.st_mode));
        let kind = match was {
            None => Some(Kind::Added),
            Some(was) if was != object => Some(Kind::Type),
            Some(_) => self.differs(upper, lower, name, &now, before.as_ref()),
        };
        let set_ids = now.st_mode & !before.map_or(0, |found| found.st_mode) & 0o6000 != 0
            && object == Object::File;
        let kind = kind.or(set_ids.then_some(Kind::Mode));
        if let Some(kind) = kind {
            let mut found = change(kind, object);
            let mode = |found: &FileStat| found.st_mode & CARRIED;
            found.mode = (Some(mode(&now)), before.as_ref().map(mode));
            found.size = (size(&now), before.as_ref().and_then(size));
            if object == Object::Link {
                found.target = readlinkat(upper, name).ok().map(PathBuf::from);
                found.mode = (None, None);
            }
            found.conflict = match (&before, lower) {
                (Some(before), Some(lower))
                    if !(kind == Kind::Mode && object == Object::Directory) =>
                {
                    self.is_younger(lower, name, before, &path, 0)
                }
                _ => false,
            };
            found.refused = refused(&found, name);
            if set_ids && kind == Kind::Mode && found.mode.0 == found.mode.1 {
                found.refused =
                    Some("a set-user-ID or set-group-ID bit is never carried over".to_owned());
            }
            found.note = note(&found, set_ids);
            self.found.push(found);
        }
        if object == Object::Directory {
            self.below(
                upper,
                lower.filter(|_| was == Some(Object::Directory)),
                name,
                &path,
                around,
            );
        }
    }

    fn below(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        name: &CStr,
        path: &Path,
        around: &Around<'_>,
    ) {
        let inner = match (around.depth >= DEEPEST, remove::open(upper, name)) {
            (false, Ok(inner)) => inner,
            (deep, opened) => {
                let why = match opened {
                    _ if deep => "it is nested too deep".to_owned(),
                    Err(errno) => format!("what is in it cannot be read: {}", errno.desc()),
                    Ok(_) => String::new(),
                };
                let refused = Some(why);
                match self.found.last_mut().filter(|change| change.path == path) {
                    Some(change) => change.refused = refused,
                    None => self.found.push(Change {
                        path: path.to_owned(),
                        refused,
                        ..empty(Kind::Mode, Object::Directory)
                    }),
                }
                return;
            }
        };
        let lower: Option<OwnedFd> = lower.and_then(|lower| remove::open(lower, name).ok());
        let opaque = is_opaque(inner.as_fd());
        let around = Around {
            path,
            opaque: around.opaque || opaque || lower.is_none(),
            replaced: match opaque && lower.is_some() {
                true => around.replaced.or(Some(path)),
                false => around.replaced,
            },
            depth: around.depth + 1,
        };
        // A directory that is replaced shows nothing of the old one, also where that is gone deeper down.
        if let Err(errno) = self.directory(inner.as_fd(), lower.as_ref().map(AsFd::as_fd), &around)
        {
            self.found.push(Change {
                path: path.to_owned(),
                refused: Some(format!("what is in it cannot be read: {}", errno.desc())),
                ..empty(Kind::Mode, Object::Directory)
            });
        }
    }

    /// How two of the same type differ, if they do.
    fn differs(
        &self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        name: &CStr,
        now: &FileStat,
        before: Option<&FileStat>,
    ) -> Option<Kind> {
        let (lower, before) = (lower?, before?);
        let modes = (now.st_mode & CARRIED != before.st_mode & CARRIED).then_some(Kind::Mode);
        match Object::of(now.st_mode) {
            Object::Link => {
                let target = |directory| readlinkat(directory, name).ok();
                (target(upper) != target(lower)).then_some(Kind::Modified)
            }
            Object::File => {
                let same = now.st_size == before.st_size && same_content(upper, lower, name);
                if same { modes } else { Some(Kind::Modified) }
            }
            _ => modes,
        }
    }

    /// Whether what is on the disk, or something in it, was changed by others since the overlay was made. Directories do not
    /// count by themselves: what is made and removed in them changes them.
    fn is_younger(
        &self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        found: &FileStat,
        path: &Path,
        depth: usize,
    ) -> bool {
        if found.st_mode & libc::S_IFMT != libc::S_IFDIR {
            let changed = (found.st_ctime, found.st_ctime_nsec);
            let known = key(path);
            return changed > self.area.about.since
                && !self
                    .area
                    .about
                    .applied
                    .iter()
                    .any(|(path, inode, seconds, rest)| {
                        *path == known && *inode == found.st_ino && (*seconds, *rest) == changed
                    });
        }
        // What cannot be looked at may have been changed.
        if depth >= DEEPEST {
            return true;
        }
        let Ok(inner) = remove::open(directory, name) else {
            return true;
        };
        remove::names(inner.as_fd()).map_or(true, |names| {
            names.iter().any(|name| {
                look(inner.as_fd(), name).is_some_and(|found| {
                    let path = path.join(OsStr::from_bytes(name.to_bytes()));
                    self.is_younger(inner.as_fd(), name, &found, &path, depth + 1)
                })
            })
        })
    }
}

/// A path in a text, exactly.
pub(super) fn key(path: &Path) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | 0..0x20 | 0x7f.. => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
            byte => out.push(char::from(byte)),
        }
    }
    out
}

fn empty(kind: Kind, object: Object) -> Change {
    Change {
        path: PathBuf::new(),
        kind,
        object,
        mode: (None, None),
        size: (None, None),
        target: None,
        conflict: false,
        refused: None,
        note: None,
        replaced: None,
        opaque: false,
    }
}

fn size(found: &FileStat) -> Option<u64> {
    (found.st_mode & libc::S_IFMT == libc::S_IFREG)
        .then(|| u64::try_from(found.st_size).unwrap_or(0))
}

/// Why something is never carried onto the disk.
fn refused(change: &Change, name: &CStr) -> Option<String> {
    if let Object::Special(what) = change.object {
        return Some(format!("a {what} is never carried over"));
    }
    let odd = name
        .to_bytes()
        .iter()
        .any(|byte| *byte < 0x20 || *byte == 0x7f)
        || name
            .to_str()
            .is_ok_and(|name| name.chars().any(escape::is_harmful));
    odd.then(|| "its name has characters in it that are not shown".to_owned())
}

/// What is carried out by other programs without being asked.
const RUN_BY_THEMSELVES: [&str; 8] = [
    ".git/hooks",
    ".git/config",
    ".envrc",
    ".vscode",
    ".idea",
    ".npmrc",
    ".cargo/config.toml",
    ".bashrc",
];

/// What somebody who looks at a change should know.
fn note(change: &Change, set_ids: bool) -> Option<String> {
    if set_ids {
        return Some("its set-user-ID or set-group-ID bit is not carried over".to_owned());
    }
    if let Some(target) = &change.target {
        let mut depth = change.path.components().count().saturating_sub(1);
        let out = target.is_absolute()
            || target.components().any(|part| match part {
                std::path::Component::ParentDir => {
                    let out = depth == 0;
                    depth = depth.saturating_sub(1);
                    out
                }
                std::path::Component::Normal(_) => {
                    depth += 1;
                    false
                }
                _ => false,
            });
        return out.then(|| "the link leads out of the directory".to_owned());
    }
    let path = change.path.to_string_lossy();
    let named = |known: &str| {
        path.match_indices(known).any(|(at, _)| {
            let starts = at == 0 || path.as_bytes().get(at - 1) == Some(&b'/');
            let after = path.as_bytes().get(at + known.len());
            starts && matches!(after, None | Some(b'/'))
        })
    };
    let runs = change.kind != Kind::Deleted && change.object == Object::File;
    (runs && RUN_BY_THEMSELVES.into_iter().any(named))
        .then(|| "other programs may run what it says by themselves".to_owned())
}

/// A path below a directory as C has it; `.` for the directory itself.
pub(super) fn c_path(path: &Path) -> std::result::Result<CString, Errno> {
    let bytes = path.as_os_str().as_bytes();
    let bytes = if bytes.is_empty() { b"." } else { bytes };
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}
