//! Block devices: on which disk a path lies, and which device nodes are at a path.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::facts::cgroup::{Disk, Node};
use super::mountinfo;

/// File systems that lie on file systems are followed so far.
const DEEPEST: usize = 8;
/// More nodes below one path are not looked for.
const MOST_NODES: usize = 1000;

/// The disk that a path lies on: of a block device itself, else of the file system that the path is in. A partition stands
/// for its whole disk, which is what the kernel limits; a device-mapper volume is a disk of its own.
///
/// # Errors
/// There is no such path, or what it lies on is no block device: in memory, on the network.
pub fn find(path: &Path) -> Result<Disk, String> {
    let number = device_of(path, DEEPEST)?;
    whole(number).ok_or_else(|| {
        let (major, minor) = (major(number), minor(number));
        format!(
            "{} lies on device {major}:{minor}, which is no block device",
            path.display()
        )
    })
}

fn device_of(path: &Path, depth: usize) -> Result<u64, String> {
    let found = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if found.file_type().is_block_device() {
        return Ok(found.rdev());
    }
    if found.file_type().is_char_device() {
        return Err(format!("{} is no block device", path.display()));
    }
    if major(found.dev()) != 0 {
        return Ok(found.dev());
    }
    // No device of its own: btrfs, overlay, tmpfs, NFS. What it was mounted from is told in mountinfo.
    let real = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = fs::read("/proc/self/mountinfo")
        .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    let Some(mount) = mount_of(&table, &real) else {
        return Err(format!(
            "{}: its file system is not in /proc/self/mountinfo",
            path.display()
        ));
    };
    let lies_on = format!(
        "{} lies on {} ({})",
        path.display(),
        mount.kind,
        mount.source.display()
    );
    let next = match mount.kind.as_str() {
        "overlay" => mount
            .option("upperdir")
            .or_else(|| mount.option("lowerdir")),
        _ => Some(mount.source.clone()),
    };
    let Some(next) = next.filter(|next| next.is_absolute() && depth > 0) else {
        return Err(format!("{lies_on}, which is no block device"));
    };
    device_of(&next, depth - 1).map_err(|why| format!("{lies_on}: {why}"))
}

/// The whole disk of a block device; none when the kernel knows no such device.
fn whole(device: u64) -> Option<Disk> {
    let own = PathBuf::from(format!(
        "/sys/dev/block/{}:{}",
        major(device),
        minor(device)
    ));
    let own = fs::canonicalize(own).ok()?;
    let disk = match own.join("partition").exists() {
        true => own.parent()?.to_owned(),
        false => own,
    };
    parse(&fs::read_to_string(disk.join("dev")).ok()?)
}

/// `8:0`
fn parse(text: &str) -> Option<Disk> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(Disk {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

/// What a path lies in.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    kind: String,
    source: PathBuf,
    /// As the kernel writes them: a comma in a name is none between two.
    options: Vec<u8>,
}

impl Mounted {
    /// The path that an option of the file system names; of several, the first.
    fn option(&self, name: &str) -> Option<PathBuf> {
        let mut options = self.options.split(|byte| *byte == b',');
        let value = options.find_map(|option| {
            option
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=".as_slice())
        })?;
        let first = value.split(|byte| *byte == b':').next()?;
        Some(mountinfo::path(first))
    }
}

/// The mount that a path without links in it lies in: the last of the longest mount points above it.
fn mount_of(table: &[u8], path: &Path) -> Option<Mounted> {
    let mut best: Option<(usize, mountinfo::Line<'_>)> = None;
    for line in mountinfo::lines(table) {
        let point = mountinfo::path(line.point);
        let length = point.components().count();
        if !path.starts_with(&point) || best.as_ref().is_some_and(|(longest, _)| *longest > length)
        {
            continue;
        }
        best = Some((length, line));
    }
    best.map(|(_, line)| Mounted {
        kind: String::from_utf8_lossy(line.kind).into_owned(),
        source: mountinfo::path(line.source),
        options: line.options.to_owned(),
    })
}

/// Every path at which something is mounted; none where the kernel does not tell.
#[must_use]
pub fn mount_points() -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    mountinfo::lines(&table)
        .map(|line| mountinfo::path(line.point))
        .collect()
}

/// The device nodes at these paths, and below those that are directories.
#[must_use]
pub fn nodes(paths: &[PathBuf]) -> BTreeSet<Node> {
    let mut found = BTreeSet::new();
    let mut open: Vec<(PathBuf, usize)> = paths.iter().map(|path| (path.clone(), 0)).collect();
    let mut looked = 0;
    while let Some((path, depth)) = open.pop().filter(|_| looked < MOST_NODES) {
        looked += 1;
        let Ok(meta) = fs::metadata(&path) else {
            continue;
        };
        let kind = meta.file_type();
        if kind.is_dir() && depth < 3 {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| (entry.path(), depth + 1)));
        }
        if !kind.is_block_device() && !kind.is_char_device() {
            continue;
        }
        let numbers = (
            u32::try_from(major(meta.rdev())),
            u32::try_from(minor(meta.rdev())),
        );
        if let (Ok(major), Ok(minor)) = numbers {
            found.insert(Node {
                block: kind.is_block_device(),
                major,
                minor,
            });
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_longest_mount_point_above_a_path_is_its_own() {
        let text = br"22 1 254:1 / / rw - ext4 /dev/vda1 rw
30 22 0:40 /@home /home rw shared:1 - btrfs /dev/mapper/a\040b rw,subvol=/@home
31 22 0:41 / /home/x rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u\054v,workdir=/w
32 22 0:42 / /homer rw - tmpfs tmpfs rw
";
        let of =
            |path: &str| mount_of(text, Path::new(path)).map(|mount| (mount.kind, mount.source));
        assert_eq!(
            of("/home/me").unwrap(),
            ("btrfs".to_owned(), "/dev/mapper/a b".into())
        );
        assert_eq!(of("/etc").unwrap().0, "ext4");
        let overlay = mount_of(text, Path::new("/home/x/y")).unwrap();
        assert_eq!(overlay.option("upperdir"), Some("/u,v".into()));
        assert_eq!(overlay.option("lowerdir"), Some("/l1".into()));
        assert_eq!(overlay.option("upper"), None);
    }

    #[test]
    fn a_mount_point_that_is_no_text_is_found() {
        // What lies on one disk must not be limited on the other.
        let text = b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
            30 22 0:40 / /m\xff rw - btrfs /dev/a\xfe rw\n\
            31 22 0:41 / /m\xfe rw - btrfs /dev/b rw\n";
        let bytes = |bytes| Path::new(OsStr::from_bytes(bytes));
        let source = |path| mount_of(text, bytes(path)).unwrap().source;
        assert_eq!(source(b"/m\xff/x"), bytes(b"/dev/a\xfe"));
        assert_eq!(source(b"/m\xfe"), bytes(b"/dev/b"));
        assert_eq!(source("/m\u{fffd}".as_bytes()), bytes(b"/dev/vda1"));
    }

    #[test]
    fn what_lies_in_memory_is_refused_with_what_it_lies_on() {
        let why = find(Path::new("/proc/self")).unwrap_err();
        assert!(why.contains("lies on proc"), "{why}");
        assert!(
            find(Path::new("/no/such/path"))
                .unwrap_err()
                .contains("No such file")
        );
        assert!(
            find(Path::new("/dev/null"))
                .unwrap_err()
                .contains("is no block device")
        );
    }

    #[test]
    fn nodes_are_found_with_their_numbers() {
        let found = nodes(&[
            "/dev/null".into(),
            "/no/such/path".into(),
            "/etc/passwd".into(),
        ]);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [Node {
                block: false,
                major: 1,
                minor: 3
            }]
        );
    }
}
