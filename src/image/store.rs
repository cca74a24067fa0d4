//! The cache of imported roots: `$XDG_DATA_HOME/sandbox/roots`, for root `/var/lib/sandbox/roots`.
//!
//! `sha256-…/tree` is a root, `sha256-…/image.json` what is known about it; `names/NAME` and `files/STATE` are links to
//! the directories of roots. What is being unpacked or removed is called `tmp-…`: it becomes a root by one rename, and is
//! swept when its process is gone. Who changes something holds the lock; who uses a root holds it by a shared lock.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::Result;
use super::config::Config;
use super::stream::is_digest;
use crate::kernel::Errno;
use crate::report::Diagnostic;

const TEMPORARY: &str = "tmp-";
/// So many digits of a digest are enough to name a root, if no other begins so.
const FEWEST_DIGITS: usize = 6;

/// Where the roots of a user are kept: with the data that is the user's own, and root's where the system's is, unless
/// `XDG_DATA_HOME` says otherwise.
#[must_use]
pub fn place(uid: u32, said: Option<&Path>, home: Option<&Path>) -> PathBuf {
    match (said, home) {
        (Some(data), _) => data.join("sandbox/roots"),
        (None, Some(home)) if uid != 0 => home.join(".local/share/sandbox/roots"),
        (None, _) => PathBuf::from("/var/lib/sandbox/roots"),
    }
}

/// The cache.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

/// One root of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its directory in the cache.
    pub directory: PathBuf,
    /// What is known about it.
    pub config: Config,
    /// What it is called.
    pub names: Vec<String>,
}

impl Root {
    /// The root file system itself.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }
}

/// A root that cannot be removed as long as this lives.
#[derive(Debug)]
pub struct Held {
    /// The root.
    pub root: Root,
    _lock: Flock<File>,
}

/// The right to change the cache.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// A directory that is gone again unless it is kept.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // What stays after a failure here is swept later.
            let _ = erase(&self.path);
        }
    }
}

/// Removes a directory whose owner may have closed it to itself.
fn erase(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    fs::remove_dir_all(path)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::general(format!("{what} `{}`: {error}", path.display()))
}

/// Letters, digits and `_ + . : -`, not beginning with a dot or a hyphen, and not what is taken for a digest.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    const LONGEST: usize = 64;
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | ':' | '-'));
    if name.is_empty() || name.len() > LONGEST {
        Err(format!("a root's name has 1 to {LONGEST} characters"))
    } else if name.starts_with(['.', '-']) || name.contains(odd) {
        Err("a root's name has letters, digits and `_ + . : -`, and does not begin with a dot or a hyphen".to_owned())
    } else if name.starts_with("sha256:") || name.starts_with("sha256-") {
        Err("a root's name does not begin as a digest does".to_owned())
    } else {
        Ok(())
    }
}

/// A text that came from elsewhere made a name.
#[must_use]
pub fn make_name(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | ':') {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    let name = name.trim_start_matches(['.', '-']).to_owned();
    check_name(&name).is_ok().then_some(name)
}

impl Store {
    /// The cache at a place, which may not be there yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there, and whether it can be trusted: what others may write is not obeyed.
    fn there(&self) -> Result<bool> {
        let found = match fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("cannot look at", &self.path, &error)),
        };
        let own = found.uid() == nix::unistd::geteuid().as_raw();
        if found.is_dir() && own && found.mode() & 0o022 == 0 {
            return Ok(true);
        }
        Err(Diagnostic::general(format!(
            "`{}` is not used: it can be changed by others",
            self.path.display()
        ))
        .help("it has to be a directory of one's own that nobody else may write to"))
    }

    /// Makes the cache if it is missing, and waits for the right to change it. Leftovers are swept.
    ///
    /// # Errors
    /// It cannot be made or locked.
    pub fn lock(&self, mut wait: impl FnMut()) -> Result<Lock> {
        for part in ["", "names", "files"] {
            let path = self.path.join(part);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|error| failed("cannot make", &path, &error))?;
        }
        self.there()?;
        let path = self.path.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed("cannot open", &path, &error))?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                wait();
                Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, error)| failed("cannot lock", &path, &error.into()))?
            }
            Err((_, error)) => return Err(failed("cannot lock", &path, &error.into())),
        };
        self.sweep();
        Ok(Lock { _file: file })
    }

    /// Removes what processes left that did not come to their end. Only with the lock, so that it is nobody's work.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(TEMPORARY.as_bytes())
            {
                // The next one tries again.
                let _ = erase(&entry.path());
            }
        }
        for entry in fs::read_dir(self.path.join("files"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if !entry.path().exists() {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Whether something lies here that was not unpacked or removed to its end.
    #[must_use]
    pub fn has_leftovers(&self) -> bool {
        let begun = |entry: fs::DirEntry| {
            let name = entry.file_name();
            name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
        };
        let entries = fs::read_dir(&self.path);
        entries.is_ok_and(|entries| entries.flatten().any(begun))
    }

    /// A directory to unpack into.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn temporary(&self, _lock: &Lock) -> Result<Temporary> {
        let path = self.path.join(format!("{TEMPORARY}{}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| failed("cannot make", &path, &error))?;
        Ok(Temporary { path, kept: false })
    }

    /// A file without a name.
    ///
    /// # Errors
    /// open(2) with O_TMPFILE.
    pub fn spool(&self) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .mode(0o600)
            .open(&self.path)
    }

    fn directory(&self, digest: &str) -> PathBuf {
        self.path.join(digest.replacen(':', "-", 1))
    }

    /// Makes a root of what was unpacked. False when it was there already.
    ///
    /// # Errors
    /// What renaming says.
    pub fn keep(&self, _lock: &Lock, mut unpacked: Temporary, config: &Config) -> Result<bool> {
        let path = unpacked.path.join("image.json");
        let text = serde_json::to_vec_pretty(config).unwrap_or_default();
        let written = fs::write(&path, text).and_then(|()| File::open(&path)?.sync_all());
        written.map_err(|error| failed("cannot write", &path, &error))?;
        let to = self.directory(&config.digest);
        if to.exists() {
            return Ok(false);
        }
        // Nothing is added to a root or taken from it by accident.
        let close = fs::set_permissions(&unpacked.path, fs::Permissions::from_mode(0o500));
        close
            .and_then(|()| fs::rename(&unpacked.path, &to))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|error| failed("cannot make", &to, &error))?;
        unpacked.kept = true;
        Ok(true)
    }

    /// Calls a root so. Returns the digest of the one that was called so before, if that is another.
    ///
    /// # Errors
    /// What symlink(2) and rename(2) say.
    pub fn call(&self, _lock: &Lock, name: &str, digest: &str) -> Result<Option<String>> {
        let before = self.called(name).filter(|before| before != digest);
        self.link(&self.path.join("names").join(name), digest)?;
        Ok(before)
    }

    /// Remembers which root a state of a file is.
    ///
    /// # Errors
    /// As [`Store::call`].
    pub fn remember(&self, _lock: &Lock, state: &str, digest: &str) -> Result<()> {
        self.link(&self.path.join("files").join(state), digest)
    }

    fn link(&self, at: &Path, digest: &str) -> Result<()> {
        let new = self.path.join(format!("{TEMPORARY}link"));
        let _ = fs::remove_file(&new);
        symlink(Path::new("..").join(digest.replacen(':', "-", 1)), &new)
            .and_then(|()| fs::rename(&new, at))
            .map_err(|error| failed("cannot make", at, &error))
    }

    /// The digest that a link of the cache leads to.
    fn leads(&self, link: &Path) -> Option<String> {
        let target = fs::read_link(link).ok()?;
        let digest = target.file_name()?.to_str()?.replacen('-', ":", 1);
        is_digest(&digest).then_some(digest)
    }

    fn called(&self, name: &str) -> Option<String> {
        check_name(name).ok()?;
        self.leads(&self.path.join("names").join(name))
    }

    /// The root that a state of a file is, if it was imported.
    #[must_use]
    pub fn known(&self, state: &str) -> Option<String> {
        let digest = self.leads(&self.path.join("files").join(state))?;
        self.directory(&digest).is_dir().then_some(digest)
    }

    /// The digest of the root that is meant by a name, a digest, or the beginning of one.
    ///
    /// # Errors
    /// There is none, or the beginning is that of several.
    pub fn find(&self, what: &str) -> Result<String> {
        if self.there()? {
            if let Some(digest) = self.called(what)
                && self.directory(&digest).is_dir()
            {
                return Ok(digest);
            }
            let digits = what
                .strip_prefix("sha256:")
                .or_else(|| what.strip_prefix("sha256-"))
                .unwrap_or(what);
            if digits.len() >= FEWEST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                let all = self.digests()?;
                let begins =
                    |digest: &&String| digest.trim_start_matches("sha256:").starts_with(digits);
                let found: Vec<&String> = all.iter().filter(begins).collect();
                match found.as_slice() {
                    [] => {}
                    [one] => return Ok((*one).clone()),
                    _ => {
                        return Err(Diagnostic::general(format!(
                            "`{what}` is the beginning of several digests"
                        )));
                    }
                }
            }
        }
        Err(self.missing(what))
    }

    fn missing(&self, what: &str) -> Diagnostic {
        let error = Diagnostic::general(format!("there is no imported root `{what}`"));
        let names = self.names().unwrap_or_default();
        let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        let near = crate::report::suggest::nearest(what, names.iter().copied());
        match near {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        }
        .help("`sandboxctl root list` shows those that there are; `sandboxctl root import FILE` makes one")
        .help("a directory or a file is given with a slash: ./NAME")
    }

    fn digests(&self) -> Result<Vec<String>> {
        if !self.there()? {
            return Ok(Vec::new());
        }
        let entries =
            fs::read_dir(&self.path).map_err(|error| failed("cannot read", &self.path, &error))?;
        let mut all: Vec<String> = entries
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.replacen('-', ":", 1)))
            .filter(|name| is_digest(name))
            .collect();
        all.sort();
        Ok(all)
    }

    /// All names and the digests that they stand for.
    fn names(&self) -> Result<Vec<(String, String)>> {
        if !self.there()? {
            return Ok(Vec::new());
        }
        let mut names: Vec<(String, String)> = fs::read_dir(self.path.join("names"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let digest = self.called(&name)?;
                Some((name, digest))
            })
            .collect();
        names.sort();
        Ok(names)
    }

    /// What is known about a root.
    ///
    /// # Errors
    /// Its notes cannot be read.
    pub fn read(&self, digest: &str) -> Result<Root> {
        let directory = self.directory(digest);
        let path = directory.join("image.json");
        let text = fs::read(&path).map_err(|error| failed("cannot read", &path, &error))?;
        let config: Config = serde_json::from_slice(&text).map_err(|error| {
            Diagnostic::general(format!("`{}` is damaged: {error}", path.display()))
        })?;
        let names = self
            .names()?
            .into_iter()
            .filter(|(_, of)| of == digest)
            .map(|(name, _)| name)
            .collect();
        Ok(Root {
            directory,
            config,
            names,
        })
    }

    /// All roots, in the order of their names.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn list(&self) -> Result<Vec<Root>> {
        let mut roots = Vec::new();
        for digest in self.digests()? {
            roots.push(self.read(&digest)?);
        }
        roots.sort_by(|a, b| (a.names.is_empty(), &a.names).cmp(&(b.names.is_empty(), &b.names)));
        Ok(roots)
    }

    /// Keeps a root from being removed.
    ///
    /// # Errors
    /// It is being removed, or gone.
    pub fn hold(&self, digest: &str) -> Result<Held> {
        let directory = self.directory(digest);
        let gone = || Diagnostic::general(format!("the root `{digest}` is being removed"));
        let file =
            File::open(&directory).map_err(|error| failed("cannot open", &directory, &error))?;
        // Who only looks whether it is in use is gone at once; who removes it has it renamed before.
        let lock = Flock::lock(file, FlockArg::LockShared).map_err(|_| gone())?;
        // It may have been taken away between the two.
        let same = fs::metadata(&directory).and_then(|now| Ok(now.ino() == lock.metadata()?.ino()));
        if !same.unwrap_or(false) {
            return Err(gone());
        }
        Ok(Held {
            root: self.read(digest)?,
            _lock: lock,
        })
    }

    /// Whether somebody uses a root.
    #[must_use]
    pub fn in_use(&self, digest: &str) -> bool {
        let Ok(file) = File::open(self.directory(digest)) else {
            return false;
        };
        Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
    }

    /// Removes a root with all its names.
    ///
    /// # Errors
    /// Somebody uses it, or it cannot be removed.
    pub fn remove(&self, _lock: &Lock, digest: &str) -> Result<()> {
        let directory = self.directory(digest);
        let file =
            File::open(&directory).map_err(|error| failed("cannot open", &directory, &error))?;
        let Ok(_held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            return Err(Diagnostic::general(format!(
                "the root `{digest}` is in use: it is not removed"
            ))
            .help("end the sandboxes that run in it first"));
        };
        for (name, of) in self.names()? {
            if of == digest {
                let path = self.path.join("names").join(name);
                fs::remove_file(&path).map_err(|error| failed("cannot remove", &path, &error))?;
            }
        }
        let away = self.path.join(format!("{TEMPORARY}{}", std::process::id()));
        let gone = fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
            .and_then(|()| fs::rename(&directory, &away))
            .and_then(|()| erase(&away));
        gone.map_err(|error| failed("cannot remove", &directory, &error))
    }

    /// Takes a name away, and leaves the root.
    ///
    /// # Errors
    /// What unlink(2) says.
    pub fn forget(&self, _lock: &Lock, name: &str) -> Result<()> {
        let path = self.path.join("names").join(name);
        fs::remove_file(&path).map_err(|error| failed("cannot remove", &path, &error))
    }
}
