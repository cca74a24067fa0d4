//! Carries steps out, and keeps the manifest of what was written.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::manifest::{Kind, Manifest, Record};
use super::place::{Place, Result};
use super::scan::Scope;
use super::step::{State, Step};
use crate::kernel::lock;

/// The manifest's file.
pub const MANIFEST: &str = "desktop.json";
/// Makes the cache of what opens which type of file.
const UPDATE: &str = "/usr/bin/update-desktop-database";
const CACHE: &str = "mimeinfo.cache";

/// The manifest of a scope, held against others that would change it.
pub struct Held<'a> {
    scope: &'a Scope,
    /// What is known.
    pub manifest: Manifest,
    place: Option<Place>,
    saved: Manifest,
}

/// Reads the manifest. Nothing is made, and nobody kept away.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub fn load(scope: &Scope) -> Result<Manifest> {
    if !scope.state.exists() {
        return Ok(Manifest::default());
    }
    match Place::open(&scope.state, "", None)? {
        Some(place) => read(&place),
        None => Ok(Manifest::default()),
    }
}

fn read(place: &Place) -> Result<Manifest> {
    match place.read(MANIFEST)? {
        None => Ok(Manifest::default()),
        Some(text) => Manifest::parse(&text).map_err(|why| {
            format!(
                "`{}` cannot be used: {why}; move it away, and install again",
                place.path().join(MANIFEST).display()
            )
        }),
    }
}

/// What is at a path, for [`super::step::steps`].
#[must_use]
pub fn state(scope: &Scope, path: &str) -> State {
    let path = Path::new(path);
    let opened = named(path).and_then(|(directory, name)| {
        let (base, below) = scope.split(directory);
        // Links on the way below are as wrong as they are for writing.
        Ok((Place::open(base, below, None)?, name))
    });
    match opened {
        Ok((Some(place), name)) => place.state(name),
        Ok((None, _)) => State::Absent,
        Err(why) => State::Other(why),
    }
}

fn named(path: &Path) -> Result<(&Path, &str)> {
    let parts = path
        .parent()
        .zip(path.file_name().and_then(|name| name.to_str()));
    parts.ok_or_else(|| format!("`{}` has no name", path.display()))
}

impl<'a> Held<'a> {
    /// Reads the manifest and keeps others from changing it.
    ///
    /// # Errors
    /// As for [`load`]; or somebody else is at work.
    pub fn take(scope: &'a Scope) -> Result<Self> {
        let mut made = Vec::new();
        let place = Place::open(&scope.state, "", Some(&mut made))?
            .ok_or_else(|| format!("`{}` cannot be made", scope.state.display()))?;
        match lock::try_exclusive(place.descriptor().as_fd()) {
            Ok(true) => {}
            Ok(false) => return Err("another `sandboxctl desktop` is at work".to_owned()),
            Err(errno) => {
                return Err(format!(
                    "cannot lock `{}`: {}",
                    scope.state.display(),
                    errno.desc()
                ));
            }
        }
        let saved = read(&place)?;
        let mut manifest = saved.clone();
        manifest.directories.extend(made);
        Ok(Self {
            scope,
            manifest,
            place: Some(place),
            saved,
        })
    }

    fn place(&mut self, directory: &Path) -> Result<Place> {
        let (base, below) = self.scope.split(directory);
        let mut made = Vec::new();
        let place = Place::open(base, below, Some(&mut made));
        self.manifest.directories.extend(made);
        place?.ok_or_else(|| format!("`{}` cannot be made", directory.display()))
    }

    /// Carries one step out and records it.
    ///
    /// # Errors
    /// It could not be done; what was done before stays done and recorded.
    pub fn carry_out(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Leave { .. } => return Ok(()),
            Step::Write { file, backup, .. } => {
                let path = PathBuf::from(&file.record.path);
                let (directory, name) = named(&path)?;
                let place = self.place(directory)?;
                let mut record = file.record.clone();
                record.backup = self
                    .manifest
                    .find(&record.path)
                    .and_then(|known| known.backup.clone());
                if *backup {
                    record.backup = Some(place.keep(name)?);
                }
                let mode = if record.kind == Kind::Shim {
                    0o755
                } else {
                    0o644
                };
                if let Err(why) = place.write(name, &file.content, mode) {
                    if *backup && let Some(kept) = &record.backup {
                        // The first name still leads to it.
                        let _ = place.restore(kept, name);
                    }
                    return Err(why);
                }
                self.manifest.keep(record);
            }
            Step::Adopt(record) => {
                let path = PathBuf::from(&record.path);
                let (directory, name) = named(&path)?;
                let mut record = record.clone();
                // What a run that was killed had kept, and not recorded.
                let kept = format!("{name}.sandbox-orig");
                if record.backup.is_none() && self.place(directory)?.has(&kept) {
                    record.backup = Some(kept);
                }
                self.manifest.keep(record);
            }
            Step::Remove { record, .. } => {
                self.put_back(record, true)?;
                self.manifest.forget(&record.path);
            }
            Step::Forget(record) => {
                self.put_back(record, false)?;
                self.manifest.forget(&record.path);
            }
        }
        self.save()
    }

    fn put_back(&mut self, record: &Record, there: bool) -> Result<()> {
        let path = PathBuf::from(&record.path);
        let (directory, name) = named(&path)?;
        let (base, below) = self.scope.split(directory);
        let Some(place) = Place::open(base, below, None)? else {
            return Ok(());
        };
        match &record.backup {
            Some(backup) if place.has(backup) => place.restore(backup, name),
            _ if there => place.remove(name),
            _ => Ok(()),
        }
    }

    /// Writes the manifest, if something has changed in it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&mut self) -> Result<()> {
        if self.manifest == self.saved {
            return Ok(());
        }
        if let Some(place) = &self.place {
            place.write(MANIFEST, self.manifest.text().as_bytes(), 0o644)?;
        }
        self.saved = self.manifest.clone();
        Ok(())
    }

    /// After the last step: caches, and, when nothing of ours is left, our own traces.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn finish(mut self, touched: &[String]) -> Result<()> {
        let folders: BTreeSet<&Path> = touched
            .iter()
            .map(Path::new)
            .filter(|path| path.extension().is_some_and(|ending| ending == "desktop"))
            .filter_map(Path::parent)
            .map(|folder| {
                // Entries in directories below are in the cache of the uppermost.
                folder
                    .ancestors()
                    .find(|above| above.file_name().is_some_and(|name| name == "applications"))
                    .unwrap_or(folder)
            })
            .filter(|folder| folder.ends_with("applications"))
            .collect();
        for folder in folders {
            self.update(folder);
        }
        if !self.manifest.files.is_empty() || !self.manifest.selection.is_empty() {
            return self.save();
        }
        if let Some(place) = self.place.take() {
            place.remove(MANIFEST)?;
        }
        for directory in self.manifest.directories.iter().rev() {
            // Those in which there is something by now stay.
            let _ = std::fs::remove_dir(directory);
        }
        Ok(())
    }

    /// Has a folder's cache made anew; desktops that need none do not miss it.
    fn update(&mut self, folder: &Path) {
        let ours = self
            .manifest
            .files
            .iter()
            .any(|record| Path::new(&record.path).starts_with(folder));
        let cache = folder.join(CACHE);
        let shown = cache.to_string_lossy().into_owned();
        let was_ours = self.manifest.caches.contains(&shown);
        let there = cache.exists();
        if !ours && was_ours {
            self.manifest.caches.retain(|path| *path != shown);
            let (base, below) = self.scope.split(folder);
            if let Ok(Some(place)) = Place::open(base, below, None) {
                let _ = place.remove(CACHE);
            }
            return;
        }
        let done = Command::new(UPDATE)
            .arg(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if done.is_ok() && !there && cache.exists() && !was_ours {
            self.manifest.caches.push(shown);
        }
    }
}
