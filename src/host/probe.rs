//! The only probe of the system: fills [`Facts`] in.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::facts::{Caller, Facts, Machine};
use crate::kernel::{Errno, capability, descriptor, landlock, machine, mount, process, terminal};
use crate::plan::step::NamespaceKind;
use crate::report::{Diagnostic, escape};
use crate::section::namespaces::KINDS;

/// What a policy lets be passed over, so that a launch does not pay for it.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The user's own directories (`${XDG_DOWNLOAD_DIR}` and so on) are named.
    pub user_directories: bool,
    /// Subordinate ids are asked for.
    pub subordinate_ids: bool,
    /// The supplementary groups are to be dropped; of root they are looked at in any case.
    pub groups: bool,
    /// A part of the RAM is named.
    pub memory: bool,
    /// A terminal of the program's own is asked for, where the caller has one.
    pub terminals: bool,
    /// The kernel's release is shown to somebody.
    pub release: bool,
    /// Files or sockets are to be held.
    pub landlock: bool,
}

impl Scope {
    /// Nothing but who the caller is.
    pub const NOTHING: Self = Self {
        user_directories: false,
        subordinate_ids: false,
        groups: false,
        memory: false,
        terminals: false,
        release: false,
        landlock: false,
    };

    /// Everything.
    pub const ALL: Self = Self {
        user_directories: true,
        subordinate_ids: true,
        groups: true,
        memory: true,
        terminals: true,
        release: true,
        landlock: true,
    };
}

/// Gathers everything but what the policy's paths and limits need.
///
/// # Errors
/// A launcher that runs with more rights than its caller, which it is not made for; a caller without a home directory.
pub fn probe(scope: Scope) -> Result<Facts, Diagnostic> {
    Ok(Facts {
        caller: caller(scope)?,
        machine: Machine {
            kernel: match scope.release {
                true => machine::kernel_release(),
                false => String::new(),
            },
            memory: match scope.memory {
                true => machine::memory().unwrap_or(0),
                false => 0,
            },
            last_capability: machine::last_capability(),
            mount_api: mount::supported(),
            keyrings: process::has_keyrings(),
            missing_namespaces: Vec::new(),
            landlock: match scope.landlock {
                true => landlock::version().unwrap_or(0),
                false => 0,
            },
            no_user_namespaces: None,
        },
        ..Facts::default()
    })
}

/// Those of these kinds that /proc/self/ns does not show, by their names in a profile; none where /proc cannot tell.
#[must_use]
pub fn missing_namespaces(wanted: &[NamespaceKind]) -> Vec<&'static str> {
    // A question for each costs less than a list of that directory, for which the kernel makes all of them.
    let is_there = |kind: NamespaceKind| {
        let path = Path::new("/proc/self/ns").join(kind.file());
        path.symlink_metadata().is_ok()
    };
    let (there, missing): (Vec<_>, Vec<_>) = KINDS
        .into_iter()
        .filter(|(kind, _)| wanted.contains(kind))
        .partition(|(kind, _)| is_there(*kind));
    // Every kernel has namespaces of mounts.
    let can_tell = || !missing.is_empty() && (!there.is_empty() || is_there(NamespaceKind::Mount));
    match can_tell() {
        true => missing.into_iter().map(|(_, name)| name).collect(),
        false => Vec::new(),
    }
}

fn caller(scope: Scope) -> Result<Caller, Diagnostic> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if uid != nix::unistd::geteuid() || gid != nix::unistd::getegid() {
        return Err(Diagnostic::general("the launcher has been made set-user-ID or set-group-ID")
            .help("it is not made for that, and would give its caller the other user's rights: chmod u-s,g-s it"));
    }
    let environment: Vec<_> = std::env::vars_os().collect();
    let home = home(uid)?;
    let mut caller = Caller {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        user: uid.to_string(),
        directories: directories(&home, scope),
        home,
        working_directory: std::env::current_dir().unwrap_or_default(),
        environment,
        capabilities: capability::effective().unwrap_or(0),
        terminals: [0, 1, 2]
            .map(|fd| scope.terminals && terminal::is_terminal(descriptor::stream(fd))),
        ..Caller::default()
    };
    if scope.subordinate_ids {
        subordinate_ids(&mut caller);
    }
    const CAP_SETGID: u32 = 6;
    let sets_groups = caller.has_capability(CAP_SETGID);
    if sets_groups || scope.groups || scope.subordinate_ids {
        caller.groups = other_groups(caller.gid)?;
    }
    caller.may_drop_groups = sets_groups
        && !caller.groups.is_empty()
        // It is not where a user has mapped ids alone, as with `unshare -r`.
        && std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"allow"));
    Ok(caller)
}

/// The supplementary groups, but the own one.
fn other_groups(own: u32) -> Result<Vec<u32>, Diagnostic> {
    let groups = process::groups().map_err(|errno| {
        Diagnostic::general(format!(
            "the kernel does not say which groups this caller is in: {}",
            errno.desc()
        ))
    })?;
    Ok(groups.into_iter().filter(|group| *group != own).collect())
}

/// The home directory: what `$HOME` says if it is the caller's own, for it decides what is shown and hidden; else what the
/// user database says.
fn home(uid: nix::unistd::Uid) -> Result<PathBuf, Diagnostic> {
    let said = std::env::var_os("HOME").map(PathBuf::from);
    if let Some(home) = said.filter(|home| home.is_absolute()) {
        match std::fs::metadata(&home) {
            Ok(found) if found.is_dir() && (found.uid() == uid.as_raw() || uid.is_root()) => {
                return Ok(normal(&home));
            }
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // It is no home of the caller's: nothing is there that he can reach.
                Some(
                    libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG | libc::EACCES,
                ) => {}
                // What is below it may be there all the same: with another home, rules would hide other paths than these.
                _ => {
                    return Err(Diagnostic::general(format!(
                        "the home directory that $HOME names cannot be looked at: `{}`: {}",
                        escape::os(home.as_os_str()),
                        Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc()
                    ))
                    .help("set HOME to a directory that you can reach, or leave it out for that of the user database"));
                }
            },
        }
    }
    let entry = nix::unistd::User::from_uid(uid).ok().flatten();
    match entry.map(|user| user.dir).filter(|home| home.is_absolute()) {
        Some(home) => Ok(normal(&home)),
        None => Err(Diagnostic::general("there is no home directory: $HOME is not set to a directory of your own, and the user database has none")
            .help("set HOME to an absolute path")),
    }
}

/// Where this program keeps data of the caller's: `$XDG_DATA_HOME/sandbox`, as every plan has it.
///
/// # Errors
/// The caller has no home directory.
pub fn data() -> Result<PathBuf, Diagnostic> {
    let said = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = match said.filter(|path| path.is_absolute()) {
        Some(path) => normal(&path),
        None => home(nix::unistd::getuid())?.join(".local/share"),
    };
    Ok(data.join("sandbox"))
}

/// Without `.`, `//` and a slash at the end.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

fn directories(home: &Path, scope: Scope) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut put = |name: &str, path: Option<&Path>| {
        if let Some(path) = path.filter(|path| path.is_absolute()) {
            found.insert(name.to_owned(), normal(path));
        }
    };
    let own = |name: &str, default: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| home.join(default))
    };
    put("XDG_CONFIG_HOME", Some(&own("XDG_CONFIG_HOME", ".config")));
    put("XDG_DATA_HOME", Some(&own("XDG_DATA_HOME", ".local/share")));
    put(
        "XDG_STATE_HOME",
        Some(&own("XDG_STATE_HOME", ".local/state")),
    );
    put("XDG_CACHE_HOME", Some(&own("XDG_CACHE_HOME", ".cache")));
    for name in ["XDG_RUNTIME_DIR", "XAUTHORITY"] {
        put(name, std::env::var_os(name).map(PathBuf::from).as_deref());
    }
    if !found.contains_key("XAUTHORITY") {
        found.insert("XAUTHORITY".to_owned(), home.join(".Xauthority"));
    }
    if scope.user_directories
        && let Some(user) = directories::UserDirs::new()
    {
        let mut put = |name: &str, path: Option<&Path>| {
            if let Some(path) = path.filter(|path| is_for_documents(path, home)) {
                found.insert(format!("XDG_{name}_DIR"), normal(path));
            }
        };
        put("DESKTOP", user.desktop_dir());
        put("DOCUMENTS", user.document_dir());
        put("DOWNLOAD", user.download_dir());
        put("MUSIC", user.audio_dir());
        put("PICTURES", user.picture_dir());
        put("PUBLICSHARE", user.public_dir());
        put("TEMPLATES", user.template_dir());
        put("VIDEOS", user.video_dir());
    }
    found
}

/// Whether a directory of user-dirs.dirs(5) may be one for documents. A program that may write that file must not give the
/// next one the home directory, or `~/.ssh`, by the name of downloads.
fn is_for_documents(path: &Path, home: &Path) -> bool {
    let hidden = |part: std::path::Component| part.as_os_str().as_encoded_bytes().starts_with(b".");
    let below = path.strip_prefix(home).unwrap_or(path);
    path.is_absolute() && !home.starts_with(normal(path)) && !normal(below).components().any(hidden)
}

/// What /etc/passwd calls a user, for messages. Other sources of names are not asked: that would load libraries.
#[must_use]
pub fn login_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let uid = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

fn subordinate_ids(caller: &mut Caller) {
    let uid = nix::unistd::Uid::from_raw(caller.uid);
    if let Ok(Some(user)) = nix::unistd::User::from_uid(uid) {
        caller.user = user.name;
    }
    caller.subordinate_uids = range("/etc/subuid", caller);
    caller.subordinate_gids = range("/etc/subgid", caller);
    caller.newuidmap = helper("newuidmap");
    caller.newgidmap = helper("newgidmap");
}

/// The first line of subuid(5) for the caller, by name or number.
fn range(file: &str, caller: &Caller) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        if who != caller.user && who != caller.uid.to_string() {
            return None;
        }
        let start: u32 = fields.next()?.trim().parse().ok()?;
        let length: u32 = fields.next()?.trim().parse().ok()?;
        start.checked_add(length)?;
        Some((start, length))
    })
}

/// A helper program in a system directory: never through the caller's `PATH`, and only one that root alone can change.
#[must_use]
pub fn helper(name: &str) -> Option<PathBuf> {
    HELPERS
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| is_roots(path))
}

/// Where helpers are looked for; the first is where NixOS has its set-user-ID programs.
const HELPERS: [&str; 6] = [
    "/run/wrappers/bin",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
];

/// Whether a path is a file that belongs to root, in a directory that does, and nobody else may write to either.
fn is_roots(path: &Path) -> bool {
    let Ok(path) = std::fs::canonicalize(path) else {
        return false;
    };
    let sound = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0)
    };
    path.is_file() && sound(&path) && path.parent().is_some_and(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_roots_alone() {
        use std::os::unix::fs::PermissionsExt;
        // The test is run as root, or has a file of somebody else's.
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("helper");
        std::fs::write(&path, "").expect("written");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        let root = nix::unistd::geteuid().is_root();
        mode(folder.path(), 0o755);
        mode(&path, 0o755);
        assert_eq!(is_roots(&path), root);
        mode(&path, 0o775);
        assert!(!is_roots(&path));
        mode(&path, 0o755);
        mode(folder.path(), 0o1777);
        assert!(!is_roots(&path));
        assert!(!is_roots(&folder.path().join("none")));
    }

    #[test]
    fn only_what_is_asked_for_is_missing() {
        assert_eq!(missing_namespaces(&[]), Vec::<&str>::new());
        let kinds = KINDS.map(|(kind, _)| kind);
        let missing = missing_namespaces(&kinds);
        assert!(!missing.contains(&"mount"), "{missing:?}");
        for (kind, name) in KINDS {
            let alone = missing_namespaces(&[kind]);
            assert_eq!(!alone.is_empty(), missing.contains(&name), "{name}");
        }
    }

    #[test]
    fn directories_for_documents_are_plain_ones() {
        let home = Path::new("/home/.u");
        let good = ["/home/.u/Downloads", "/home/.u/a/b", "/srv/media"];
        for path in good {
            assert!(is_for_documents(Path::new(path), home), "{path}");
        }
        for path in [
            "/",
            "/home",
            "/home/.u",
            "/home/.u/",
            "/home/.u/.ssh",
            "/home/.u/a/.b/c",
            "/home/.u/a/../.ssh",
            "/home/.other/x",
            "Downloads",
        ] {
            assert!(!is_for_documents(Path::new(path), home), "{path}");
        }
    }
}
