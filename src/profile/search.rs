//! Where profiles are kept, and the only place that reads them from disk.
//!
//! A profile decides what a program may do, so nothing but an ordinary file is read (no pipe that blocks, no device
//! that never ends), no more than [`MOST_BYTES`] of it, once, and only where others could not have changed it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use super::document::profile_name;
use super::embedded::{self, EMBEDDED};
use crate::report::Diagnostic;

/// The largest profile.
pub const MOST_BYTES: u64 = 1 << 20;
/// Drop-ins of one profile.
const MOST_DROP_INS: usize = 256;
/// Profiles of one directory.
const MOST_PROFILES: usize = 10_000;

/// The directories of profiles.
#[derive(Clone, Debug)]
pub struct Library {
    /// Highest first: the user's, the administrator's, local packages', the distribution's.
    pub directories: Vec<PathBuf>,
    /// Who reads: files of others than this user and root are suspect.
    pub reader: u32,
    /// Which of the directories are there, the same order; asked once, since most hosts have none of them and a profile
    /// extends half a dozen others.
    present: OnceCell<Vec<PathBuf>>,
}

/// A profile that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// On disk.
    File(PathBuf),
    /// In the program.
    Embedded(&'static str),
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Text {
    /// All of it.
    pub text: String,
    /// What is suspect about the file.
    pub warnings: Vec<Diagnostic>,
}

impl Library {
    /// A library of these directories, highest first, above the embedded profiles.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>, reader: u32) -> Self {
        Self {
            directories,
            reader,
            present: OnceCell::new(),
        }
    }

    /// The directories but for those that are missing. What is wrong with one otherwise is told by who reads it.
    fn present(&self) -> &[PathBuf] {
        self.present.get_or_init(|| {
            let is_missing = |directory: &Path| {
                fs::metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            };
            let all = self.directories.iter();
            all.filter(|directory| !is_missing(directory))
                .cloned()
                .collect()
        })
    }

    /// The library of a host, for a user whose `$XDG_CONFIG_HOME` is `config_home`.
    #[must_use]
    pub fn standard(config_home: Option<&Path>, reader: u32) -> Self {
        let mut directories = Vec::with_capacity(4);
        // The specification has relative paths ignored; here they would mean the working directory.
        if let Some(home) = config_home.filter(|home| home.is_absolute()) {
            directories.push(home.join("sandbox/profiles"));
        }
        directories.extend(
            [
                "/etc/sandbox/profiles",
                "/usr/local/share/sandbox/profiles",
                "/usr/share/sandbox/profiles",
            ]
            .map(PathBuf::from),
        );
        Self::new(directories, reader)
    }

    /// The profile of that name: of the highest directory that has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found> {
        if profile_name(name).is_err() {
            return None;
        }
        let file = format!("{name}.toml");
        self.present()
            .iter()
            .map(|directory| directory.join(&file))
            // A dangling link is found, and then an error: it must not uncover another profile in silence.
            .find(|path| fs::symlink_metadata(path).is_ok())
            .map(Found::File)
            .or_else(|| embedded::find(name).map(Found::Embedded))
    }

    /// The names of all profiles, sorted. Directories that cannot be read have none.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = EMBEDDED
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for directory in self.present() {
            names.extend(
                toml_files(directory)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|path| {
                        let name = path.file_stem()?.to_str()?.to_owned();
                        profile_name(&name).is_ok().then_some(name)
                    }),
            );
        }
        names.into_iter().collect()
    }

    /// The drop-ins of a profile, in the order in which they are merged over it: the lowest directory first, by name
    /// within one.
    ///
    /// # Errors
    /// A directory of drop-ins is there but cannot be read, or holds too many.
    pub fn drop_ins(&self, name: &str) -> Result<Vec<PathBuf>, Diagnostic> {
        let mut found = Vec::new();
        for directory in self.present().iter().rev() {
            let directory = directory.join(format!("{name}.d"));
            match toml_files(&directory) {
                Ok(files) => found.extend(files),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Diagnostic::general(format!(
                        "cannot read the drop-ins in `{}`: {}",
                        directory.display(),
                        reason(&error)
                    )));
                }
            }
        }
        if found.len() > MOST_DROP_INS {
            return Err(Diagnostic::general(format!(
                "`{name}` has {} drop-ins; at most {MOST_DROP_INS} are read",
                found.len()
            )));
        }
        Ok(found)
    }

    /// Reads a file, once.
    ///
    /// # Errors
    /// It is no ordinary file, cannot be read, is larger than 1 MiB or not UTF-8; or root would read a file that
    /// others can change.
    pub fn read(&self, path: &Path) -> Result<Text, Diagnostic> {
        let shown = path.display();
        let failed = |error: &io::Error| {
            Diagnostic::general(format!(
                "cannot read the profile `{shown}`: {}",
                reason(error)
            ))
        };
        // Asked before opening, since opening a device can have effects, and asked again of what was opened.
        let mut seen = fs::symlink_metadata(path).map_err(|error| failed(&error))?;
        let is_link = seen.is_symlink();
        if is_link {
            seen = fs::metadata(path).map_err(|error| failed(&error))?;
        }
        check_kind(path, &seen)?;
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
            .open(path)
            .map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        check_kind(path, &metadata)?;
        let too_large = || {
            Diagnostic::general(format!("the profile `{shown}` is larger than 1 MiB"))
                .help("no profile is that large; is this the file that was meant?")
        };
        if metadata.len() > MOST_BYTES {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        file.by_ref()
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&error))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(too_large());
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Diagnostic::general(format!(
                "the profile `{shown}` is not UTF-8 from byte {} on",
                error.utf8_error().valid_up_to()
            ))
            .help("save it in UTF-8")
        })?;
        Ok(Text {
            text,
            warnings: self.distrust(path, is_link, &metadata)?,
        })
    }

    /// Who else could have changed a file.
    fn distrust(
        &self,
        path: &Path,
        is_link: bool,
        file: &Metadata,
    ) -> Result<Vec<Diagnostic>, Diagnostic> {
        let mut found = Vec::new();
        let mut say = |message: String, help: String| {
            found.push(Diagnostic::general(message).help(help).as_warning());
        };
        let shown = path.display();
        if file.uid() != 0 && file.uid() != self.reader {
            say(
                format!(
                    "the profile `{shown}` belongs to another user ({})",
                    file.uid()
                ),
                "its owner decides what the program may do; copy it, or take a profile of your own"
                    .to_owned(),
            );
        }
        if writable_by_others(file) {
            say(
                format!("the profile `{shown}` can be changed by other users"),
                format!("chmod go-w {shown}"),
            );
        }
        // Whoever can rename a directory on the way can put another file there.
        for (directory, metadata) in directories_above(path, is_link) {
            let foreign = metadata.uid() != 0 && metadata.uid() != self.reader;
            // In a sticky directory others can add files, not replace them.
            let open = writable_by_others(&metadata) && metadata.mode() & 0o1000 == 0;
            if foreign || open {
                let place = directory.display();
                say(
                    format!("the profile `{shown}` can be replaced by other users, in `{place}`"),
                    if foreign {
                        format!("`{place}` belongs to another user ({})", metadata.uid())
                    } else {
                        format!("chmod go-w {place}")
                    },
                );
                break;
            }
        }
        if self.reader == 0 && !found.is_empty() {
            let mut error = found.swap_remove(0);
            error.severity = crate::report::Severity::Error;
            error
                .help
                .push("root takes no rules from other users".to_owned());
            return Err(error);
        }
        Ok(found)
    }
}

/// The directories above a file, by its path without any symbolic link.
fn directories_above(path: &Path, is_link: bool) -> Vec<(PathBuf, Metadata)> {
    let look = |at: &Path| fs::symlink_metadata(at).map(|found| (at.to_owned(), found));
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let above = path.ancestors().skip(1).map(look);
    if path.is_absolute()
        && is_plain
        && !is_link
        && let Ok(found) = above.collect::<io::Result<Vec<_>>>()
        && found.iter().all(|(_, metadata)| !metadata.is_symlink())
    {
        // Without a link on the way there is nothing to resolve.
        return found;
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let above = real.ancestors().skip(1);
    above
        .filter_map(|at| Some((at.to_owned(), fs::metadata(at).ok()?)))
        .collect()
}

/// Whether the mode lets others write. The group of a user's own (same number as the user) has no others in it.
fn writable_by_others(file: &Metadata) -> bool {
    let group = file.mode() & 0o020 != 0 && file.gid() != file.uid();
    group || file.mode() & 0o002 != 0
}

/// Refuses everything but ordinary files.
fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), Diagnostic> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(
        Diagnostic::general(format!("the profile `{}` is {what}", path.display()))
            .help("a profile is an ordinary file"),
    )
}

/// What the kernel said, in its words, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).to_lowercase(),
        None => text,
    }
}

/// The `*.toml` of a directory by name, without hidden ones.
fn toml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)?.take(MOST_PROFILES) {
        let name = entry?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && Path::new(&name).extension() == Some(OsStr::new("toml")) {
            found.push(directory.join(name));
        }
    }
    found.sort_by(|a, b| {
        a.as_os_str()
            .as_encoded_bytes()
            .cmp(b.as_os_str().as_encoded_bytes())
    });
    Ok(found)
}
