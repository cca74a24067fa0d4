//! Private directories of profiles, as they are on the disk: `$XDG_DATA_HOME/sandbox/private/PROFILE/PLACE`.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::sys::stat::{fstat, fstatat};

use super::{Result, remove};
use crate::control::sandbox;
use crate::host::mountinfo;
use crate::kernel::{Errno, at};
use crate::report::escape;

/// So deep the room that is taken is counted.
const DEEPEST: usize = 120;

/// One private directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private {
    /// What the profile's directories are kept under.
    pub profile: String,
    /// Its name there.
    pub name: OsString,
    /// Where it is seen inside; below `~` for what is in the home directory.
    pub place: PathBuf,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When something in it was last changed, in seconds since 1970.
    pub used: i64,
    /// Whether a running sandbox shows it.
    pub in_use: bool,
}

fn told(path: &Path) -> String {
    escape::os(path.as_os_str())
}

/// The directory of all of them; none when it is not there.
fn open(path: &Path) -> Result<Option<OwnedFd>> {
    let fail = |errno: Errno| format!("`{}`: {}", told(path), errno.desc());
    let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| fail(Errno::EINVAL))?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let opened = match at::open(at::working_directory(), &c_path, flags, 0) {
        Ok(opened) => opened,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(fail(errno)),
    };
    let found = fstat(&opened).map_err(fail)?;
    match found.st_uid == nix::unistd::geteuid().as_raw() {
        true => Ok(Some(opened)),
        false => Err(format!("`{}` belongs to somebody else", told(path))),
    }
}

/// Where a private directory is seen, from its name: `home%2F.cache` is `~/.cache`.
#[must_use]
pub fn place(name: &OsStr) -> PathBuf {
    let bytes = name.as_bytes();
    let (start, rest) = match bytes.strip_prefix(b"home") {
        Some(rest) if rest.is_empty() || rest.starts_with(b"%2F") => ("~", rest),
        _ => ("", bytes),
    };
    let mut out = start.as_bytes().to_vec();
    let mut rest = rest.iter();
    while let Some(&byte) = rest.next() {
        let digits = rest.as_slice().get(..2);
        let number = digits
            .filter(|_| byte == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match number {
            Some(number) => {
                out.push(number);
                rest.nth(1);
            }
            None => out.push(byte),
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

/// All private directories below this one.
///
/// # Errors
/// The directory cannot be read.
pub fn list(path: &Path) -> Result<Vec<Private>> {
    let Some(root) = open(path)? else {
        return Ok(Vec::new());
    };
    let fail = |errno: Errno| format!("`{}`: {}", told(path), errno.desc());
    let shown = shown();
    let mut all = Vec::new();
    for profile in remove::names(root.as_fd()).map_err(fail)? {
        let Ok(directory) = remove::open(root.as_fd(), &profile) else {
            continue;
        };
        let profile = profile.to_string_lossy().into_owned();
        for name in remove::names(directory.as_fd()).map_err(fail)? {
            let mut room = Room::default();
            room.count(directory.as_fd(), &name, 0);
            let name = OsStr::from_bytes(name.to_bytes()).to_owned();
            all.push(Private {
                in_use: shown.has(&profile, &name),
                place: place(&name),
                profile: profile.clone(),
                name,
                bytes: room.bytes,
                used: room.newest,
            });
        }
    }
    Ok(all)
}

#[derive(Default)]
struct Room {
    bytes: u64,
    newest: i64,
}

impl Room {
    fn count(&mut self, directory: BorrowedFd<'_>, name: &std::ffi::CStr, depth: usize) {
        const BLOCK: u64 = 512;
        let Ok(found) = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
            return;
        };
        self.bytes += u64::try_from(found.st_blocks).unwrap_or(0) * BLOCK;
        self.newest = self.newest.max(found.st_mtime);
        if found.st_mode & libc::S_IFMT != libc::S_IFDIR || depth > DEEPEST {
            return;
        }
        let Ok(inner) = remove::open(directory, name) else {
            return;
        };
        for name in remove::names(inner.as_fd()).unwrap_or_default() {
            self.count(inner.as_fd(), &name, depth + 1);
        }
    }
}

/// What running sandboxes show.
struct Shown {
    /// What their mounts show, by the path within its file system.
    roots: Vec<Vec<u8>>,
    /// Profiles of sandboxes of which it cannot be told.
    profiles: Vec<String>,
    /// Whether there is one of which nothing is known yet.
    unknown: bool,
}

fn shown() -> Shown {
    let mut shown = Shown {
        roots: Vec::new(),
        profiles: Vec::new(),
        unknown: false,
    };
    for sandbox in sandbox::all().sandboxes {
        let Ok(record) = sandbox.record() else {
            shown.unknown = true;
            continue;
        };
        match std::fs::read(format!("/proc/{}/mountinfo", record.child.pid)) {
            Ok(table) => {
                shown.see(&table);
            }
            Err(_) => shown.profiles.push(record.profile.clone()),
        }
    }
    shown
}

impl Shown {
    fn see(&mut self, mounts: &[u8]) {
        let roots = mountinfo::lines(mounts).map(|line| mountinfo::plain(line.root));
        self.roots.extend(roots);
    }

    fn has(&self, profile: &str, name: &OsStr) -> bool {
        let end = [b"/private/", profile.as_bytes(), b"/", name.as_bytes()].concat();
        // What is mounted may be a part of it.
        let inner = [&end[..], b"/"].concat();
        self.unknown
            || self.profiles.iter().any(|other| other == profile)
            || self.roots.iter().any(|root| {
                root.ends_with(&end) || root.windows(inner.len()).any(|part| part == inner)
            })
    }
}

/// Removes a private directory, and the directory of its profile with the last one.
///
/// # Errors
/// It is in use, or cannot be removed.
pub fn erase(path: &Path, private: &Private) -> Result<()> {
    if shown().has(&private.profile, &private.name) {
        return Err(format!(
            "`{}` of `{}` is in use by a running sandbox",
            told(&private.place),
            escape::line(&private.profile)
        ));
    }
    let Some(root) = open(path)? else {
        return Ok(());
    };
    let fail = |errno: Errno| format!("`{}`: {}", told(&path.join(&private.profile)), errno.desc());
    let profile = CString::new(private.profile.as_str()).map_err(|_| fail(Errno::EINVAL))?;
    let directory = remove::open(root.as_fd(), &profile).map_err(fail)?;
    remove::remove(directory.as_fd(), &private.name).map_err(fail)?;
    // With others left in it, it stays.
    let _ = nix::unistd::unlinkat(
        &root,
        profile.as_c_str(),
        nix::unistd::UnlinkatFlags::RemoveDir,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_places() {
        for (name, shown) in [
            ("home", "~"),
            ("home%2F.cache", "~/.cache"),
            ("%2Fsrv%2Fa b", "/srv/a b"),
            ("homes", "homes"),
            ("%2", "%2"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(place(OsStr::new(name)), Path::new(shown), "{name}");
        }
    }

    #[test]
    fn what_is_mounted_is_in_use() {
        let mut shown = Shown {
            roots: Vec::new(),
            profiles: Vec::new(),
            unknown: false,
        };
        shown.see(
            b"1 2 3:4 /d/private/a/home%2Fx\\040y /h rw - ext4 d rw\n\
            2 2 3:4 /d/private/b\\134\xff/home/inner /h rw - ext4 d rw\n",
        );
        let has = |profile: &str, name: &[u8]| shown.has(profile, OsStr::from_bytes(name));
        assert!(has("a", b"home%2Fx y"));
        assert!(!has("a", b"home%2Fx"));
        assert!(!has("c", b"home%2Fx y"));
        shown.see(b"3 2 3:4 /d/private/b\\134c/na\\011me\xff/inner /h rw - ext4 d rw\n");
        let has = |name: &[u8]| shown.has("b\\c", OsStr::from_bytes(name));
        assert!(has(b"na\tme\xff"));
        assert!(!has(b"na\tme\xfe"));
    }
}
