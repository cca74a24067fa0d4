//! Files below a directory that is the caller's: written whole or not at all, through descriptors, following no link.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

use super::copy::is_marked;
use super::digest;
use super::entry::MOST_BYTES;
use super::step::State;

/// What went wrong, with the path, in a line.
pub type Result<T> = std::result::Result<T, String>;

/// A directory that files are put into.
pub struct Place {
    fd: OwnedFd,
    path: PathBuf,
}

fn wrong(what: &str, path: &Path, errno: Errno) -> String {
    format!("cannot {what} `{}`: {}", path.display(), errno.desc())
}

impl Place {
    /// Opens `base`/`below`. The base is the caller's word, so that links on the way to it are followed; below it none are.
    /// Directories that are missing are made if `made` is given, and noted there.
    ///
    /// # Errors
    /// Something on the way belongs to somebody else, can be changed by everybody, or is no directory.
    pub fn open(
        base: &Path,
        below: &str,
        mut made: Option<&mut Vec<String>>,
    ) -> Result<Option<Self>> {
        let mut missing = Vec::new();
        let mut at = base.to_owned();
        while std::fs::metadata(&at).is_err() {
            if std::fs::symlink_metadata(&at).is_ok() {
                return Err(format!("`{}` is a link that leads nowhere", at.display()));
            }
            let (Some(name), Some(parent)) = (at.file_name(), at.parent()) else {
                return Err(format!("`{}` is not an absolute path", base.display()));
            };
            missing.push(name.to_owned());
            at = parent.to_owned();
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(&at, flags, Mode::empty()).map_err(|errno| wrong("open", &at, errno))?;
        let mut here = Self { fd, path: at };
        // Where everything exists, the base itself is looked at: not what is above it, which is often root's.
        here.trust()?;
        let below = Path::new(below).components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        });
        for name in missing.into_iter().rev().chain(below) {
            let Some(next) = here.enter(Path::new(&name), made.as_deref_mut())? else {
                return Ok(None);
            };
            next.trust()?;
            here = next;
        }
        Ok(Some(here))
    }

    fn enter(&self, name: &Path, made: Option<&mut Vec<String>>) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let entered = || openat(&self.fd, name, flags, Mode::empty());
        let fd = match (entered(), made) {
            (Err(Errno::ENOENT), None) => return Ok(None),
            (Err(Errno::ENOENT), Some(made)) => {
                let mode =
                    Mode::from_bits_truncate(if geteuid().is_root() { 0o755 } else { 0o700 });
                mkdirat(&self.fd, name, mode).map_err(|errno| wrong("make", &path, errno))?;
                made.push(path.to_string_lossy().into_owned());
                entered()
            }
            (other, _) => other,
        };
        match fd {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::ELOOP | Errno::ENOTDIR) => Err(format!(
                "`{}` is a link or no directory; nothing is written through a link here",
                path.display()
            )),
            Err(errno) => Err(wrong("open", &path, errno)),
        }
    }

    fn trust(&self) -> Result<()> {
        let fd = self.fd.try_clone().map_err(|error| error.to_string())?;
        let found = File::from(fd)
            .metadata()
            .map_err(|error| error.to_string())?;
        let path = self.path.display();
        if found.uid() != geteuid().as_raw() {
            return Err(format!(
                "`{path}` belongs to user {}, and you are {}: files are written by the one whom the directory belongs to",
                found.uid(),
                geteuid()
            ));
        }
        if found.mode() & 0o002 != 0 {
            return Err(format!(
                "everybody can write into `{path}`: chmod o-w {path}"
            ));
        }
        Ok(())
    }

    /// For locks.
    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        &self.fd
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn look(&self, name: &str) -> std::result::Result<FileStat, Errno> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// What is in a file, which is not a link.
    ///
    /// # Errors
    /// What is wrong with it. `None`: there is none.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        match self.look(name) {
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(wrong("look at", &path, errno)),
            Ok(found) if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() => {
                return Err(format!("`{}` is not an ordinary file", path.display()));
            }
            Ok(_) => {}
        }
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC
            | OFlag::O_NOCTTY;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| wrong("open", &path, errno))?;
        let mut bytes = Vec::new();
        let most = 16 * MOST_BYTES as u64;
        let file = File::from(fd);
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Err(format!("`{}` is not an ordinary file", path.display()));
        }
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        if bytes.len() as u64 > most {
            return Err(format!("`{}` is larger than 16 MiB", path.display()));
        }
        Ok(Some(bytes))
    }

    /// What is at a name.
    #[must_use]
    pub fn state(&self, name: &str) -> State {
        let found = match self.look(name) {
            Err(Errno::ENOENT) => return State::Absent,
            Err(errno) => return State::Other(wrong("look at", &self.path.join(name), errno)),
            Ok(found) => found,
        };
        let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        match kind {
            SFlag::S_IFLNK => State::Foreign,
            SFlag::S_IFREG
                if usize::try_from(found.st_size).is_ok_and(|size| size > MOST_BYTES) =>
            {
                State::Foreign
            }
            SFlag::S_IFREG => match self.read(name) {
                Ok(Some(bytes)) => State::File {
                    sha256: digest(&bytes),
                    marked: is_marked(&bytes),
                },
                Ok(None) => State::Absent,
                Err(why) => State::Other(why),
            },
            _ => State::Other(format!(
                "`{}` is neither a file nor a link",
                self.path.join(name).display()
            )),
        }
    }

    /// Writes a file: whole, on the disk, and then under its name.
    ///
    /// # Errors
    /// It could not be; then nothing has changed.
    pub fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        let path = self.path.join(name);
        let scratch = format!(".{name}.sandbox-{}", std::process::id());
        let done = self.write_scratch(&scratch, content, mode).and_then(|()| {
            renameat(&self.fd, scratch.as_str(), &self.fd, name)
                .map_err(|errno| errno.desc().to_owned())
        });
        if let Err(why) = done {
            let _ = unlinkat(&self.fd, scratch.as_str(), UnlinkatFlags::NoRemoveDir);
            return Err(format!("cannot write `{}`: {why}", path.display()));
        }
        self.settle();
        Ok(())
    }

    fn write_scratch(&self, scratch: &str, content: &[u8], mode: u32) -> Result<()> {
        // Of a run that was killed, and had our number.
        let _ = unlinkat(&self.fd, scratch, UnlinkatFlags::NoRemoveDir);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, scratch, flags, Mode::from_bits_truncate(0o600))
            .map_err(|errno| errno.desc().to_owned())?;
        fchmod(&fd, Mode::from_bits_truncate(mode)).map_err(|errno| errno.desc().to_owned())?;
        let mut file = File::from(fd);
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|error| error.to_string())
    }

    /// A crash after this does not undo what was done.
    fn settle(&self) {
        let _ = nix::unistd::fsync(self.fd.as_fd());
    }

    /// Keeps a file, or a link, under a second name beside it; the name.
    ///
    /// # Errors
    /// All names are taken, or the file system refuses.
    pub fn keep(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        for number in 1..10 {
            let backup = match number {
                1 => format!("{name}.sandbox-orig"),
                number => format!("{name}.sandbox-orig.{number}"),
            };
            match linkat(&self.fd, name, &self.fd, backup.as_str(), AtFlags::empty()) {
                Ok(()) => return Ok(backup),
                Err(Errno::EEXIST) => {}
                // No hard links there: for a moment there is no file.
                Err(Errno::EPERM | Errno::ENOTSUP | Errno::EMLINK)
                    if self.look(&backup).is_err() =>
                {
                    renameat(&self.fd, name, &self.fd, backup.as_str())
                        .map_err(|errno| wrong("rename", &path, errno))?;
                    return Ok(backup);
                }
                Err(errno) => return Err(wrong("keep a copy of", &path, errno)),
            }
        }
        Err(format!(
            "`{}` has copies from earlier beside it (`.sandbox-orig`); move them away",
            path.display()
        ))
    }

    /// Whether there is something of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.look(name).is_ok()
    }

    /// Puts back what was kept.
    ///
    /// # Errors
    /// It is gone, or the file system refuses.
    pub fn restore(&self, backup: &str, name: &str) -> Result<()> {
        renameat(&self.fd, backup, &self.fd, name)
            .map_err(|errno| wrong("put back", &self.path.join(name), errno))?;
        self.settle();
        Ok(())
    }

    /// Removes a file; that there is none is as good.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {
                self.settle();
                Ok(())
            }
            Err(errno) => Err(wrong("remove", &self.path.join(name), errno)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn open_at(base: &Path, below: &str) -> Result<Place> {
        Place::open(base, below, Some(&mut Vec::new())).map(Option::unwrap)
    }

    #[test]
    fn a_link_is_not_written_through() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("applications")).unwrap();
        assert!(open_at(root.path(), "applications").is_err());
        let place = open_at(root.path(), "other").unwrap();
        fs::write(outside.path().join("x"), "theirs").unwrap();
        symlink(outside.path().join("x"), root.path().join("other/x")).unwrap();
        assert_eq!(place.state("x"), State::Foreign);
        let backup = place.keep("x").unwrap();
        place.write("x", b"ours", 0o644).unwrap();
        assert_eq!(fs::read(outside.path().join("x")).unwrap(), b"theirs");
        place.restore(&backup, "x").unwrap();
        assert!(
            fs::symlink_metadata(root.path().join("other/x"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(fs::read_dir(root.path().join("other")).unwrap().count(), 1);
    }

    #[test]
    fn directories_are_made_and_noted_and_others_refused() {
        let root = tempfile::tempdir().unwrap();
        let mut made = Vec::new();
        let base = root.path().join("a/b");
        assert!(Place::open(&base, "c", None).unwrap().is_none());
        Place::open(&base, "c/d", Some(&mut made)).unwrap().unwrap();
        assert_eq!(made.len(), 4);
        fs::set_permissions(&base, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(Place::open(&base, "c", None).is_err());
    }

    #[test]
    fn pipes_are_not_opened() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("p"), Mode::S_IRWXU).unwrap();
        let place = open_at(root.path(), "").unwrap();
        assert!(matches!(place.state("p"), State::Other(_)));
        assert!(place.read("p").is_err());
    }
}
