//! Files and sockets in the directory of the run that the launcher makes by itself, before there is a child.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, hard_link, remove_file};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::desktop::authority;
use crate::desktop::wayland::{Identity, Listener, Refusal, listen};
use crate::kernel::{Errno, process};

use super::failure::LaunchError;

/// What is to be made.
#[derive(Debug)]
pub(super) enum Made {
    /// A file with a cookie for X servers.
    Cookie {
        name: OsString,
        copy: Option<(PathBuf, u32)>,
    },
    /// A desktop entry in the caller's own directory.
    Entry { path: PathBuf, text: String },
    /// A socket that a Wayland compositor was told of.
    Context {
        name: OsString,
        compositor: PathBuf,
        engine: String,
        app: String,
    },
}

/// Makes everything; what is returned must live as long as the sandbox.
pub(super) fn make(
    made: &[(usize, Made)],
    run: Option<&Path>,
) -> Result<Vec<Listener>, LaunchError> {
    let mut kept = Vec::new();
    for (step, one) in made {
        let refused = |errno: Option<Errno>, detail: String| LaunchError {
            errno,
            detail,
            ..LaunchError::at_step(*step, Errno::EIO)
        };
        let run = run.ok_or_else(|| refused(Some(Errno::ENOENT), String::new()))?;
        match one {
            Made::Cookie { name, copy } => {
                let at = run.join(name);
                let written = match copy {
                    Some((theirs, number)) => authority::write_copy(&at, theirs, *number),
                    None => authority::write_new(&at),
                };
                written.map_err(|error| {
                    let errno = error.raw_os_error().map(Errno::from_raw);
                    refused(errno, error.to_string())
                })?;
            }
            Made::Entry { path, text } => write_entry(path, text).map_err(|error| {
                let errno = error.raw_os_error().map(Errno::from_raw);
                refused(errno, error.to_string())
            })?,
            Made::Context {
                name,
                compositor,
                engine,
                app,
            } => {
                let instance = run.file_name().unwrap_or_default().to_string_lossy();
                let identity = Identity {
                    engine: engine.clone(),
                    app: app.clone(),
                    instance: instance.into_owned(),
                };
                let listener = listen(compositor, &run.join(name), &identity);
                kept.push(listener.map_err(|refusal| {
                    let why = match refusal {
                        Refusal::Unknown => "the compositor knows no security contexts".to_owned(),
                        Refusal::Failed(why) => format!("the compositor refused: {why}"),
                    };
                    refused(None, why)
                })?);
            }
        }
    }
    Ok(kept)
}

/// Writes it as a whole, or not at all. One that is there meanwhile stays as it is.
fn write_entry(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).create(directory)?;
    let new = directory.join(format!(".sandbox-{}", process::random_hex()?));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| match hard_link(&new, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        });
    let _ = remove_file(new);
    written
}
