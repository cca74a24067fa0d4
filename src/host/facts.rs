//! What was probed, as values: a test writes them by hand, a bug report contains them, a plan is made from them.

pub mod cgroup;
pub mod desktop;

use crate::tree::PathMap;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::dbus::DbusFacts;
pub use cgroup::CgroupFacts;
pub use desktop::DesktopFacts;

/// Everything that a plan depends on beside the policy.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// Who started the launcher.
    pub caller: Caller,
    /// What this kernel and this machine are.
    pub machine: Machine,
    /// The control groups, as far as this caller may use them.
    pub cgroup: CgroupFacts,
    /// What the paths that the policy names are on this host, by the path as expanded (lexically normal, absolute).
    pub paths: PathMap<PathFact>,
    /// What the globs that the policy names match, by the glob as expanded.
    pub globs: PathMap<Vec<PathBuf>>,
    /// Where the roots are that the policy names, by what it says.
    pub roots: BTreeMap<String, PathBuf>,
    /// Where something is mounted on this host, by paths without links; empty when no rule needs to know.
    pub mount_points: Vec<PathBuf>,
    /// The caller's cache of roots, when it is there.
    pub root_cache: Option<PathBuf>,
    /// The caller's displays.
    pub desktop: DesktopFacts,
    /// What there is for filtering message buses; not looked at unless a policy asks for it.
    pub dbus: DbusFacts,
    /// Where patterns were not searched, and why.
    pub notes: Vec<String>,
}

/// Who started the launcher.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Caller {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Login name; the number where there is none.
    pub user: String,
    /// Home directory: of the environment if it is the caller's own directory, else of the user database.
    pub home: PathBuf,
    /// The directory where the launcher was started.
    pub working_directory: PathBuf,
    /// What `${…}` may name in paths, beside `HOME` and `PWD`: `XDG_…` directories and `XAUTHORITY`.
    pub directories: BTreeMap<String, PathBuf>,
    /// The environment, in its order.
    #[serde(skip)]
    pub environment: Vec<(OsString, OsString)>,
    /// Effective capabilities, bit n for capability n.
    pub capabilities: u64,
    /// Supplementary groups but the own one; none where nobody could drop them and no rule asks.
    pub groups: Vec<u32>,
    /// Whether groups can be dropped: with CAP_SETGID, where the user namespace does not forbid it.
    pub may_drop_groups: bool,
    /// Which of the descriptors 0, 1, 2 are terminals; none when no rule asks for a terminal.
    pub terminals: [bool; 3],
    /// The first range of /etc/subuid for this user: start and length.
    pub subordinate_uids: Option<(u32, u32)>,
    /// The first range of /etc/subgid for this user.
    pub subordinate_gids: Option<(u32, u32)>,
    /// newuidmap(1), in a system directory.
    pub newuidmap: Option<PathBuf>,
    /// newgidmap(1), in a system directory.
    pub newgidmap: Option<PathBuf>,
}

impl Caller {
    /// Whether the launcher may make namespaces and mounts without a user namespace.
    #[must_use]
    pub fn has_capability(&self, number: u32) -> bool {
        number < 64 && self.capabilities & (1 << number) != 0
    }

    /// Whether the caller is the host's root, or has the capability that mounting and most namespaces need.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        const CAP_SYS_ADMIN: u32 = 21;
        self.has_capability(CAP_SYS_ADMIN)
    }

    /// The caller's value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&std::ffi::OsStr> {
        self.environment
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    }
}

/// What this kernel and this machine are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// uname(2) release; empty when nobody is shown it.
    pub kernel: String,
    /// RAM in bytes; 0 when no rule names a part of it.
    pub memory: u64,
    /// The highest capability that the kernel knows.
    pub last_capability: u32,
    /// Whether open_tree, move_mount, fsopen, mount_setattr can be used.
    pub mount_api: bool,
    /// Whether keyctl can be used.
    pub keyrings: bool,
    /// Kinds of namespaces that a plan would make and this kernel does not have, by their names in a profile.
    pub missing_namespaces: Vec<&'static str>,
    /// The version of Landlock's interface; 0 without Landlock, or when no rule is about files or sockets.
    pub landlock: u32,
    /// Why an ordinary caller gets no user namespace, once that was found out; it is taken for granted until one fails.
    pub no_user_namespaces: Option<Refused>,
}

/// Something that this host does not let be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Where it failed, what the kernel said, and what that means here.
    pub detail: String,
    /// What helps, a line each.
    pub fix: Vec<String>,
}

/// What a path is on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathFact {
    /// The path without any symbolic link, when it exists.
    pub canonical: Option<PathBuf>,
    /// What is there, after all links.
    pub kind: PathKind,
    /// The symbolic links that were followed, in order: where each is and what it says.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Why it could not be looked at (an errno), when it is neither found nor plainly missing.
    pub error: Option<i32>,
    /// Which file it is, where that has more names than one.
    pub twin: Option<Twin>,
}

/// A regular file with several names (link(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Twin {
    /// The numbers of its device.
    pub device: (u32, u32),
    /// Its number there.
    pub inode: u64,
    /// How many names it has.
    pub names: u32,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PathKind {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A socket, FIFO or device node.
    Special,
}

impl Facts {
    /// What is known about a path: nothing known is the same as nothing there.
    #[must_use]
    pub fn path(&self, path: &Path) -> Option<&PathFact> {
        self.paths.get(path)
    }
}
