//! The probe of control groups. Where hierarchies are is read from /proc/self/mountinfo, with its root field (a container
//! sees only a part of a hierarchy), joined with /proc/self/cgroup; see cgroups(7), proc_pid_mountinfo(5).

mod interface;

use crate::kernel::pseudo;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

use super::facts::cgroup::{CgroupFacts, Group, Hierarchy, Manager, Unified, Wanted};
use super::mountinfo;
use interface::{cpuset, missing, missing_of_v2, shared_by_weight};

/// The directory that `sandboxctl delegate` makes in each hierarchy; users' directories are below it, by number.
pub const DELEGATED: &str = "sandbox.user";

/// Looks at the control groups, for the caller with this (effective) user id; at nothing that only some limits need.
#[must_use]
pub fn probe(uid: u32) -> CgroupFacts {
    probe_for(uid, &Wanted::default())
}

/// Looks at the control groups, for the caller with this (effective) user id, and at what is wanted. On which disks paths
/// lie, and devices, are looked at elsewhere.
#[must_use]
pub fn probe_for(uid: u32, wanted: &Wanted) -> CgroupFacts {
    probe_at(uid, &own(), wanted)
}

/// The caller's own groups.
#[must_use]
pub fn own() -> Vec<Membership> {
    memberships(&pseudo::read("/proc/self/cgroup").unwrap_or_default())
}

/// The same, with these groups in the place of the caller's own.
#[must_use]
pub fn probe_at(uid: u32, own: &[Membership], wanted: &Wanted) -> CgroupFacts {
    let mounts = mounts(&pseudo::read("/proc/self/mountinfo").unwrap_or_default());
    let mut facts = CgroupFacts {
        systemd: Path::new("/run/systemd/system").is_dir(),
        pressure: wanted.pressure
            && fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/proc/pressure/memory")
                .is_ok(),
        pid_namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino()),
        ..CgroupFacts::default()
    };
    for mount in &mounts {
        match mount.version {
            2 if facts.unified.is_none() => {
                let group = own
                    .iter()
                    .find(|line| line.controllers.is_empty() && !line.named);
                facts.unified = Some(unified(mount, group, wanted));
            }
            // The first mount of a hierarchy that shows the own group serves; further ones are the same again.
            1 if !mount.controllers.is_empty()
                && !facts
                    .legacy
                    .iter()
                    .any(|known| known.controllers == mount.controllers && known.own.is_some()) =>
            {
                let group = own
                    .iter()
                    .find(|line| line.controllers == mount.controllers);
                let hierarchy = hierarchy(mount, group, uid, wanted);
                facts
                    .legacy
                    .retain(|known| known.controllers != mount.controllers);
                facts.legacy.push(hierarchy);
            }
            _ => {}
        }
    }
    match manager(uid, facts.unified.as_ref(), facts.systemd) {
        Ok(manager) => facts.manager = Some(manager),
        Err(why) => facts.no_manager = why,
    }
    cpuset(&mut facts, wanted);
    if wanted.weights {
        facts.weights = Some(shared_by_weight(facts.unified.as_ref()));
    }
    facts
}

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// 1 or 2.
    pub version: u8,
    /// Which of its groups is seen at the mount point.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// v1: its controllers; empty for a named one.
    pub controllers: BTreeSet<String>,
}

/// What the lines of hierarchies have in them, of either version.
const KIND: &[u8] = b" - cgroup";

const CONTROLLERS: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "dmem",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// The mounted hierarchies, in the order of the text of mountinfo.
#[must_use]
pub fn mounts(mountinfo: &[u8]) -> Vec<Mount> {
    let mut all = Vec::new();
    for line in mountinfo.split(|byte| *byte == b'\n') {
        // Most are of something else, and there may be hundreds.
        if !line.windows(KIND.len()).any(|part| part == KIND) {
            continue;
        }
        let Some(line) = mountinfo::line(line) else {
            continue;
        };
        let version = match line.kind {
            b"cgroup" => 1,
            b"cgroup2" => 2,
            _ => continue,
        };
        let (root, point) = (mountinfo::path(line.root), mountinfo::path(line.point));
        // The kernel writes no others; joined with a group they would lead out of the hierarchy.
        if !root.is_absolute() || !point.is_absolute() {
            continue;
        }
        // Names of controllers are text; what is none is no controller.
        let options = String::from_utf8_lossy(line.options);
        all.push(Mount {
            version,
            root,
            point,
            controllers: options
                .split(',')
                .filter(|option| version == 1 && CONTROLLERS.contains(option))
                .map(str::to_owned)
                .collect(),
        });
    }
    all
}

/// A line of /proc/PID/cgroup.
#[derive(Debug, PartialEq, Eq)]
pub struct Membership {
    /// v1: the controllers of the hierarchy; empty on v2 and for named ones.
    pub controllers: BTreeSet<String>,
    /// Whether the hierarchy is a named one without controllers.
    pub named: bool,
    /// The group, from the root of the cgroup namespace.
    pub group: PathBuf,
}

/// The lines of /proc/PID/cgroup.
#[must_use]
pub fn memberships(text: &[u8]) -> Vec<Membership> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
            let (controllers, group) = (fields.next()?, fields.next()?);
            let controllers = String::from_utf8_lossy(controllers);
            let named = controllers.split(',').any(|name| name.starts_with("name="));
            Some(Membership {
                controllers: controllers
                    .split(',')
                    .filter(|name| !name.is_empty() && !name.starts_with("name="))
                    .map(str::to_owned)
                    .collect(),
                named,
                group: PathBuf::from(OsStr::from_bytes(
                    group.strip_suffix(b" (deleted)").unwrap_or(group),
                )),
            })
        })
        .collect()
}

/// The directory of a group, when it lies within what is mounted.
#[must_use]
pub fn directory(mount: &Mount, group: &Path) -> Option<PathBuf> {
    let below = group.strip_prefix(&mount.root).ok()?;
    // `/../..`: outside of our cgroup namespace.
    if below.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    Some(
        below
            .components()
            .fold(mount.point.clone(), |path, part| path.join(part)),
    )
}

fn may(path: &Path, flags: AccessFlags) -> bool {
    // The set-up runs with real = effective ids, so that access(2), which asks for the real ones, tells the truth;
    // on a read-only mount it says EROFS.
    access(path, flags).is_ok()
}

fn may_make_groups(directory: &Path) -> bool {
    may(directory, AccessFlags::W_OK | AccessFlags::X_OK)
}

fn hierarchy(mount: &Mount, group: Option<&Membership>, uid: u32, wanted: &Wanted) -> Hierarchy {
    let own = group
        .and_then(|line| directory(mount, &line.group))
        .filter(|path| path.is_dir());
    let own_writable = own.as_deref().is_some_and(may_make_groups);
    // What was delegated is for who may make no group below the own one.
    let delegated = || mount.point.join(DELEGATED).join(uid.to_string());
    let delegated = (!own_writable).then(delegated);
    let shows = own.as_deref().unwrap_or(&mount.point);
    let is_root = shows == mount.point && mount.root == Path::new("/");
    Hierarchy {
        controllers: mount.controllers.clone(),
        own_writable,
        missing: missing(shows, is_root, mount, wanted),
        own,
        delegated: delegated.filter(|path| may_make_groups(path)),
        mount: mount.point.clone(),
    }
}

fn words(path: &Path) -> BTreeSet<String> {
    let text = pseudo::read_text(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn unified(mount: &Mount, group: Option<&Membership>, wanted: &Wanted) -> Unified {
    let own = group
        .and_then(|line| directory(mount, &line.group))
        .filter(|path| path.is_dir());
    let mut groups = Vec::new();
    let mut at = own.as_deref();
    while let Some(path) = at {
        groups.push(Group {
            path: path.to_owned(),
            // The root of the whole hierarchy, and it alone, has no type.
            root: !path.join("cgroup.type").exists() && !path.join("cgroup.events").exists(),
            controllers: words(&path.join("cgroup.controllers")),
            enabled: words(&path.join("cgroup.subtree_control")),
            occupied: pseudo::says_something(path.join("cgroup.procs")),
            writable: may_make_groups(path) && may(&path.join("cgroup.procs"), AccessFlags::W_OK),
            control_writable: may(&path.join("cgroup.subtree_control"), AccessFlags::W_OK),
        });
        if path == mount.point {
            break;
        }
        at = path.parent();
    }
    Unified {
        missing: missing_of_v2(mount, &groups, wanted),
        mount: mount.point.clone(),
        groups,
    }
}

/// Finds the manager that can be asked, or says why there is none.
fn manager(uid: u32, tree: Option<&Unified>, systemd: bool) -> Result<Manager, String> {
    if !systemd {
        return Err("systemd is not running".to_owned());
    }
    let Some(tree) = tree else {
        return Err("the cgroup v2 hierarchy is not mounted".to_owned());
    };
    if uid == 0 {
        let bus = PathBuf::from("/run/dbus/system_bus_socket");
        check_socket(&bus, 0)?;
        return Ok(Manager {
            system: true,
            bus,
            controllers: words(&tree.mount.join("cgroup.controllers")),
        });
    }
    // The manager's own runtime directory first: DBUS_SESSION_BUS_ADDRESS can name a bus without a service manager.
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let candidates = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .into_iter()
        .chain([runtime]);
    let mut why = String::new();
    for candidate in candidates {
        match check_socket(&candidate.join("systemd/private"), uid)
            .and_then(|()| check_socket(&candidate.join("bus"), uid))
        {
            Ok(()) => {
                let unit =
                    format!("user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
                return Ok(Manager {
                    system: false,
                    bus: candidate.join("bus"),
                    controllers: words(&tree.mount.join(unit)),
                });
            }
            Err(error) if why.is_empty() => why = error,
            Err(_) => {}
        }
    }
    Err(why)
}

/// A socket that is `uid`'s, in a directory of `uid`'s own: nobody else can have put it there.
fn check_socket(path: &Path, uid: u32) -> Result<(), String> {
    let say = |what: &str| Err(format!("{} {what}", path.display()));
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => say("is not a socket"),
        Ok(meta) if meta.uid() != uid && meta.uid() != 0 => say("belongs to somebody else"),
        Ok(_) => {
            let parent = path
                .parent()
                .and_then(|parent| fs::symlink_metadata(parent).ok());
            match parent {
                Some(parent) if parent.is_dir() && (parent.uid() == uid || parent.uid() == 0) => {
                    Ok(())
                }
                _ => say("lies in a directory of somebody else"),
            }
        }
        Err(error) => say(&format!("cannot be used: {error}")),
    }
}

/// The probe for this process, with what a soft limit needs.
#[must_use]
pub fn probe_self() -> CgroupFacts {
    let wanted = Wanted {
        pressure: true,
        ..Wanted::default()
    };
    probe_for(geteuid().as_raw(), &wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_roots_escapes_and_shared_mounts() {
        let text = br"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 /docker/ab /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /mnt/a\040b rw,relatime - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
        let all = mounts(text);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].root, Path::new("/docker/ab"));
        assert_eq!(
            all[0].controllers,
            ["cpu", "cpuacct"].map(String::from).into()
        );
        assert!(all[1].controllers.is_empty());
        assert_eq!(
            (all[2].version, all[2].point.as_path()),
            (2, Path::new("/mnt/a b"))
        );
    }

    #[test]
    fn names_of_groups_are_bytes() {
        let all = mounts(b"1 2 3 / /c\xff rw - cgroup2 c rw");
        assert_eq!(all[0].point, Path::new(OsStr::from_bytes(b"/c\xff")));
        let own = memberships(b"0::/a\xff/b\n");
        assert_eq!(own[0].group, Path::new(OsStr::from_bytes(b"/a\xff/b")));
        let found = directory(&all[0], &own[0].group);
        assert_eq!(
            found,
            Some(OsStr::from_bytes(b"/c\xff/a\xff/b").to_owned().into())
        );
    }

    #[test]
    fn a_mount_without_absolute_paths_is_none() {
        for text in ["1 2 3  /c rw - cgroup2 c rw", "1 2 3 / c rw - cgroup2 c rw"] {
            assert_eq!(mounts(text.as_bytes()), []);
        }
    }

    #[test]
    fn own_groups_are_found_below_what_is_mounted() {
        let mount = |root: &str| Mount {
            version: 1,
            root: root.into(),
            point: "/c/memory".into(),
            controllers: BTreeSet::new(),
        };
        let at = |root: &str, group: &str| directory(&mount(root), Path::new(group));
        assert_eq!(at("/", "/"), Some("/c/memory".into()));
        assert_eq!(at("/", "/a/b"), Some("/c/memory/a/b".into()));
        assert_eq!(at("/a", "/a/b"), Some("/c/memory/b".into()));
        assert_eq!(at("/a", "/ab"), None);
        assert_eq!(at("/", "/../b"), None);
    }

    #[test]
    fn memberships_of_all_kinds() {
        let text = b"9:name=systemd:/x\n4:memory:/a:b (deleted)\n3:cpu,cpuacct:/\n0::/user.slice\n";
        let all = memberships(text);
        assert!(all[0].named && all[0].controllers.is_empty());
        assert_eq!(all[1].group, Path::new("/a:b"));
        assert_eq!(all[2].controllers.len(), 2);
        assert!(all[3].controllers.is_empty() && !all[3].named);
    }
}
