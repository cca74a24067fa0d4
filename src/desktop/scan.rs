//! What a desktop would find: entries, autostart entries and D-Bus services, in the order in which it looks.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::entry::{Document, MOST_BYTES};
use super::judge::{Seen, is_ours};
use super::manifest::{Kind, Manifest};
use super::plan::Source;
use super::service;

/// Files and directories that are looked at, of each kind.
const MOST_FILES: usize = 20_000;
const DEEPEST: usize = 8;

/// Where things are, for one user or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// For all users.
    pub system: bool,
    /// Directories of data, highest first.
    pub data: Vec<PathBuf>,
    /// The one of them that is ours to write to.
    pub own_data: PathBuf,
    /// Directories of configuration, highest first; a user's own is the first.
    pub config: Vec<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// Where commands are put.
    pub bin: PathBuf,
    /// Where the manifest is kept.
    pub state: PathBuf,
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
}

/// Where programs of the system are.
const PATH: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/games"];

impl Scope {
    /// The scope of a user, by the variables of the environment.
    ///
    /// # Errors
    /// There is no home directory.
    pub fn user(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let absolute = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = absolute("HOME").ok_or("HOME is not set")?;
        let list = |name: &str, default: &str| -> Vec<PathBuf> {
            let said = variable(name).filter(|said| !said.is_empty());
            let said = said.unwrap_or_else(|| default.into());
            std::env::split_paths(&said)
                .filter(|path| path.is_absolute())
                .collect()
        };
        let own_data = absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        let mut data = vec![own_data.clone()];
        data.extend(list("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
        let mut config = vec![absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"))];
        config.extend(list("XDG_CONFIG_DIRS", "/etc/xdg"));
        let mut path = list("PATH", "");
        path.extend(PATH.map(PathBuf::from));
        Ok(Self {
            system: false,
            data,
            own_data,
            config,
            runtime: absolute("XDG_RUNTIME_DIR"),
            bin: home.join(".local/bin"),
            state: absolute("XDG_STATE_HOME")
                .unwrap_or_else(|| home.join(".local/state"))
                .join("sandbox"),
            path,
        })
    }

    /// The scope of all users.
    #[must_use]
    pub fn system() -> Self {
        Self {
            system: true,
            data: ["/usr/local/share", "/usr/share"]
                .map(PathBuf::from)
                .to_vec(),
            own_data: "/usr/local/share".into(),
            config: vec!["/etc/xdg".into()],
            runtime: None,
            bin: "/usr/local/bin".into(),
            state: "/var/lib/sandbox".into(),
            path: PATH.map(PathBuf::from).to_vec(),
        }
    }

    /// A directory of ours as its trusted beginning and the rest.
    #[must_use]
    pub fn split<'a>(&'a self, directory: &'a Path) -> (&'a Path, &'a str) {
        let bases = [self.own_data.as_path(), &self.bin, &self.state];
        let own_config = self
            .config
            .first()
            .map(PathBuf::as_path)
            .filter(|_| !self.system);
        bases
            .into_iter()
            .chain(own_config)
            .filter_map(|base| Some((base, directory.strip_prefix(base).ok()?.to_str()?)))
            .max_by_key(|(base, _)| base.as_os_str().len())
            .unwrap_or((directory, ""))
    }
}

/// A file of any of the kinds: at most so large, and no pipe is waited for. `None` where there is nothing.
#[must_use]
pub fn read(path: &Path) -> Option<Result<Vec<u8>, String>> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() {
        return Some(Err("it is not an ordinary file".to_owned()));
    }
    if found.len() > MOST_BYTES as u64 {
        return Some(Err("it is larger than 1 MiB".to_owned()));
    }
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path);
    let read = opened.and_then(|file| {
        let mut bytes = Vec::new();
        if file.metadata()?.is_file() {
            file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    });
    Some(read.map_err(|error| error.to_string()))
}

/// The files below a directory with an ending, by their paths relative to it, sorted.
fn files(directory: &Path, ending: &str, deep: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![(directory.to_owned(), String::new(), 0)];
    let mut looked = 0;
    while let Some((at, prefix, depth)) = waiting.pop() {
        let Ok(listed) = fs::read_dir(&at) else {
            continue;
        };
        for entry in listed.flatten() {
            looked += 1;
            if looked > MOST_FILES {
                return found;
            }
            // What has no name in UTF-8 cannot be told of, nor be overridden under the same one.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') || name.chars().any(char::is_control) {
                continue;
            }
            if name.ends_with(ending) {
                found.push(format!("{prefix}{name}"));
            } else if deep && depth < DEEPEST && entry.path().is_dir() {
                waiting.push((entry.path(), format!("{prefix}{name}/"), depth + 1));
            }
        }
    }
    found.sort();
    found
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// All files, in the order in which a desktop looks.
    pub seen: Vec<Seen>,
    /// Of each name the first that is not ours.
    pub sources: Vec<Source>,
}

/// Looks.
#[must_use]
pub fn scan(scope: &Scope, manifest: &Manifest) -> Scan {
    let mut scan = Scan::default();
    let own = |directories: &[PathBuf], ours: &Path| directories.iter().position(|at| at == ours);
    let mut walk = |kind: Kind, directories: Vec<PathBuf>, below: &str, ours: Option<&Path>| {
        let rank = ours.and_then(|ours| own(&directories, ours));
        for (at, directory) in directories.iter().enumerate() {
            if directories
                .iter()
                .take(at)
                .any(|before| before == directory)
            {
                continue;
            }
            let folder = directory.join(below);
            let ending = if kind == Kind::Service {
                ".service"
            } else {
                ".desktop"
            };
            for relative in files(&folder, ending, kind == Kind::Entry) {
                let path = folder.join(&relative);
                let target = match (ours, rank) {
                    (Some(ours), Some(rank)) if rank <= at => Ok((ours.join(below), rank == at)),
                    (Some(ours), _) => Err(format!("`{}` comes before `{}`", directory.display(), ours.display())),
                    (None, _) => Err("nothing comes before the system's autostart entries for all users; install it for each user (without --system)".to_owned()),
                };
                look(kind, &relative, &path, target, manifest, &mut scan);
            }
        }
    };
    walk(
        Kind::Entry,
        scope.data.clone(),
        "applications",
        Some(&scope.own_data),
    );
    let own_config = scope.config.first().filter(|_| !scope.system);
    walk(
        Kind::Autostart,
        scope.config.clone(),
        "autostart",
        own_config.map(PathBuf::as_path),
    );
    let mut services: Vec<PathBuf> = scope.runtime.iter().cloned().collect();
    services.extend(scope.data.iter().cloned());
    services.push("/usr/share".into());
    walk(
        Kind::Service,
        services,
        "dbus-1/services",
        Some(&scope.own_data),
    );
    let mut names = BTreeSet::new();
    for seen in &scan.seen {
        if !seen.ours && !seen.edited && names.insert((seen.source.kind, seen.source.name.clone()))
        {
            scan.sources.push(seen.source.clone());
        }
    }
    scan
}

/// Adds a file, and the one that it replaced.
fn look(
    kind: Kind,
    relative: &str,
    path: &Path,
    target: Result<(PathBuf, bool), String>,
    manifest: &Manifest,
    scan: &mut Scan,
) {
    let (Some(content), Some(shown)) = (read(path), path.to_str()) else {
        return;
    };
    let name_of = |content: &Result<Vec<u8>, String>| match kind {
        Kind::Service => {
            let document = Document::parse(content.as_deref().ok()?).ok()?;
            service::name(&document).map(str::to_owned)
        }
        Kind::Entry => Some(relative.replace('/', "-")),
        _ => Some(relative.to_owned()),
    };
    let Some(name) = name_of(&content) else {
        return;
    };
    let target = target.map(|(folder, in_place)| {
        let file = match kind {
            _ if in_place => relative.to_owned(),
            Kind::Service => format!("{name}.service"),
            _ => name.clone(),
        };
        folder.join(file).to_string_lossy().into_owned()
    });
    let record = manifest.find(shown);
    // A link is nobody's copy: we write files.
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let ours = !is_link
        && content
            .as_ref()
            .is_ok_and(|content| is_ours(shown, content, manifest));
    let seen = |content, ours, edited| Seen {
        source: Source {
            kind,
            name: name.clone(),
            path: shown.to_owned(),
            content,
            target: target.clone(),
        },
        ours,
        edited,
    };
    scan.seen
        .push(seen(content, ours, !ours && record.is_some()));
    let backup = record.and_then(|record| record.backup.as_deref());
    if let Some(kept) = backup.and_then(|backup| read(&path.with_file_name(backup))) {
        scan.seen.push(seen(kept, false, false));
    }
}

/// Where an executable is: `name` by itself when it is a path, else in the directories of `path`, of which those of the
/// system come first. Commands of ours and links to firejail are passed over.
#[must_use]
pub fn locate(name: &str, path: &[PathBuf], is_system: &dyn Fn(&str) -> bool) -> Option<String> {
    use nix::unistd::{AccessFlags, access};
    let is_program = |at: &Path| at.is_file() && access(at, AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return (name.starts_with('/') && is_program(Path::new(name))).then(|| name.to_owned());
    }
    let candidates: Vec<String> = path
        .iter()
        .map(|directory| directory.join(name))
        .filter(|at| is_program(at) && !is_stand_in(at))
        .filter_map(|at| at.into_os_string().into_string().ok())
        .collect();
    let of_system = candidates.iter().find(|at| is_system(at));
    of_system.or(candidates.first()).cloned()
}

/// Whether a command only leads to a sandbox.
fn is_stand_in(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_default();
    let leads = real
        .file_name()
        .is_some_and(|name| name == "firejail" || name == "sandbox");
    leads || is_shim(path)
}

/// Whether a command is one of our shims; only its beginning is read.
#[must_use]
pub fn is_shim(path: &Path) -> bool {
    use super::copy::SHIM_MARK;
    let begins = format!("#!/bin/sh\n{SHIM_MARK}\n");
    let mut head = vec![0; begins.len()];
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path);
    opened.is_ok_and(|mut file| file.read_exact(&mut head).is_ok() && head == begins.as_bytes())
}
