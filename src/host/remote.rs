//! File systems of which somebody has to be asked: a server elsewhere, a process here, a daemon that mounts. Which these
//! are is told by the kernel's own notes, or by the mount table, so that nobody is asked to know it.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::mountinfo;
use crate::kernel::{pseudo, status};

/// How long one may take to answer, in milliseconds.
pub(super) const PATIENCE: u16 = 5000;

/// What a device number stands for.
pub(super) type Device = (u32, u32);

/// Whom a name in a file system is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// This kernel.
    Here,
    /// Somebody else, who may not answer.
    Remote,
    /// A daemon, which mounts something then (autofs).
    Automount,
}

/// What is known of devices. The mount table is read when the first is met that is neither a disk nor the root's, and of
/// which the kernel tells no other way.
#[derive(Default)]
pub(super) struct Devices {
    names: Option<BTreeMap<Device, String>>,
    /// The names of those that were met.
    met: BTreeMap<Device, String>,
    /// Those that have answered, or need not be asked.
    answered: BTreeMap<Device, bool>,
    root: Option<Device>,
    /// The last one that was asked about.
    last: Option<(Device, Kind)>,
}

impl Devices {
    /// Takes the root's device for one that answers: this very program came from it.
    pub(super) fn trust(&mut self, device: Device) {
        self.root = Some(device);
    }

    /// The name of a device's file system, of which a directory is given; empty for a disk's, and where nothing tells.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub(super) fn name(&mut self, device: Device, directory: BorrowedFd<'_>) -> nix::Result<&str> {
        // Every file system without a disk has major number 0.
        if device.0 != 0 {
            return Ok("");
        }
        if !self.met.contains_key(&device) {
            let name = match status::magic(directory)? {
                Some(magic) => name_of(magic).to_owned(),
                None => self.listed(device)?,
            };
            self.met.insert(device, name);
        }
        Ok(self.met.get(&device).map_or("", String::as_str))
    }

    /// The same from the mount table.
    fn listed(&mut self, device: Device) -> nix::Result<String> {
        let names = match &mut self.names {
            Some(names) => names,
            none => {
                let table = pseudo::read("/proc/self/mountinfo");
                let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
                none.insert(names(
                    &table.map_err(|error| Errno::from_raw(errno(error)))?,
                ))
            }
        };
        Ok(names.get(&device).cloned().unwrap_or_default())
    }

    /// Whom names on a device are asked of.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub(super) fn kind(&mut self, device: Device, directory: BorrowedFd<'_>) -> nix::Result<Kind> {
        if self.root == Some(device) {
            return Ok(Kind::Here);
        }
        if let Some((last, kind)) = self.last
            && last == device
        {
            return Ok(kind);
        }
        let kind = self.name(device, directory).map(kind_of)?;
        self.last = Some((device, kind));
        Ok(kind)
    }

    /// Asks a remote one, once.
    ///
    /// # Errors
    /// ETIMEDOUT: it does not answer. Else what it answers.
    pub(super) fn ask(&mut self, device: Device, directory: BorrowedFd<'_>) -> nix::Result<()> {
        let answered = match self.answered.get(&device) {
            Some(answered) => *answered,
            None => {
                let answered = status::answers(directory, PATIENCE)?;
                self.answered.insert(device, answered);
                answered
            }
        };
        match answered {
            true => Ok(()),
            false => Err(Errno::ETIMEDOUT),
        }
    }
}

fn kind_of(name: &str) -> Kind {
    match name {
        "" => Kind::Here,
        "autofs" => Kind::Automount,
        name if is_remote(name) => Kind::Remote,
        _ => Kind::Here,
    }
}

/// The name that stands for a number (linux/magic.h, and the file systems' own); empty for all that need not be told apart.
pub(super) fn name_of(magic: u64) -> &'static str {
    match magic {
        0x0187 => "autofs",
        0x6573_5546 => "fuse",
        0x6969 => "nfs",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "cifs",
        0x0102_1997 => "9p",
        0x00c3_6400 => "ceph",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x7375_7245 => "coda",
        0x7461_636f => "ocfs2",
        0x0116_1970 => "gfs2",
        0x0bd0_0bd0 => "lustre",
        0x9fa0 => "proc",
        0x6265_6572 => "sysfs",
        _ => "",
    }
}

/// Whether somebody else has to be asked about what is in a file system of this name.
pub(super) fn is_remote(name: &str) -> bool {
    const REMOTE: [&str; 12] = [
        "9p", "afs", "ceph", "cifs", "coda", "fuse", "gfs2", "lustre", "nfs", "nfs4", "ocfs2",
        "smb3",
    ];
    REMOTE.contains(&name) || name.starts_with("fuse.")
}

/// Devices and the names of their file systems, from mountinfo (proc_pid_mountinfo(5)).
fn names(table: &[u8]) -> BTreeMap<Device, String> {
    mountinfo::lines(table)
        .filter_map(|line| {
            let (major, minor) = std::str::from_utf8(line.device).ok()?.split_once(':')?;
            let name = String::from_utf8_lossy(line.kind).into_owned();
            Some(((major.parse().ok()?, minor.parse().ok()?), name))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_names() {
        let found = names(
            b"36 35 98:0 / / rw - ext4 /dev/root rw\n\
            40 36 0:20 / /home rw,relatime shared:1 - autofs map rw,fd=4,indirect\n\
            41 40 0:30 / /home/joe\\040x rw - nfs4 server:/joe rw\nbroken\n - \n",
        );
        let mut devices = Devices {
            names: Some(found),
            ..Devices::default()
        };
        assert_eq!(devices.listed((0, 30)), Ok("nfs4".to_owned()));
        assert_eq!(devices.listed((0, 99)), Ok(String::new()));
        assert_eq!(kind_of("nfs4"), Kind::Remote);
        assert_eq!(kind_of("autofs"), Kind::Automount);
        assert_eq!(kind_of("ext4"), Kind::Here);
    }

    #[test]
    fn the_kernel_tells_the_same_as_the_table() {
        use std::os::fd::AsFd;
        for path in ["/proc", "/sys", "/dev/shm"] {
            let Ok(open) = std::fs::File::open(path) else {
                continue;
            };
            let device = status::of(open.as_fd()).unwrap().device;
            let listed = Devices::default().listed(device).unwrap();
            let mut devices = Devices::default();
            let told = devices.name(device, open.as_fd()).unwrap();
            assert!(
                told == listed || (told.is_empty() && listed == "tmpfs"),
                "{path}"
            );
            devices.trust(device);
            assert_eq!(devices.kind(device, open.as_fd()), Ok(Kind::Here));
        }
    }

    #[test]
    fn names_of_remote_file_systems() {
        assert!(is_remote("nfs") && is_remote("fuse.sshfs") && is_remote("cifs"));
        assert!(!is_remote("fuseblk") && !is_remote("tmpfs") && !is_remote(""));
    }

    #[test]
    fn what_is_here_answers() {
        use std::os::fd::AsFd;
        let root = std::fs::File::open("/").unwrap();
        assert_eq!(status::answers(root.as_fd(), 5000), Ok(true));
    }
}
