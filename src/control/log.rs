//! What sandboxes in the background write: a file for each name, in a directory of the user's own. It stays when the sandbox
//! ends, until another of that name is started in the background. Nobody stands between the program and its file, so that
//! nothing bounds it but `limits.file-size` and the file system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::directory;

/// Where root's are.
const OF_ROOT: &str = "/var/log/sandbox";
/// Where a user's are, below the directory of the user's state (`~/.local/state`).
const BELOW_STATE: &str = "sandbox/logs";

/// The directory of the caller's; none without a home.
fn directory() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        Some(PathBuf::from(OF_ROOT))
    } else {
        directory::state().map(|state| state.join(BELOW_STATE))
    }
}

/// The file of a name.
///
/// # Errors
/// `NotFound`: the caller has no home.
pub fn path(name: &str) -> io::Result<PathBuf> {
    let directory = directory().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "$HOME names no directory for logs")
    })?;
    Ok(directory.join(format!("{name}.log")))
}

/// Not through a link that somebody else has put there, and not into a directory of somebody else.
fn checked(directory: &Path) -> io::Result<()> {
    let found = directory.symlink_metadata()?;
    if found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() {
        Ok(())
    } else {
        Err(io::Error::other(
            "the directory is a link, or belongs to somebody else",
        ))
    }
}

/// Makes the file of a name anew, to be written to at its end.
///
/// # Errors
/// Those of open(2); the directory is not the caller's.
pub fn create(name: &str) -> io::Result<File> {
    let path = path(name)?;
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        checked(directory)?;
    }
    // A new file: who still reads the one before is not shown two in one.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
}

/// Removes the file of a name, which nothing was written to.
pub fn remove(name: &str) {
    if let Ok(path) = path(name) {
        // Nobody needs it, so that nobody needs to know either.
        let _ = std::fs::remove_file(path);
    }
}

/// Opens the file of a name.
///
/// # Errors
/// `NotFound`: nothing of that name was started in the background. Others as for [`create`].
pub fn open(name: &str) -> io::Result<File> {
    let path = path(name)?;
    if let Some(directory) = path.parent() {
        checked(directory)?;
    }
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
}
