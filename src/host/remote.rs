//! File systems of which somebody has to be asked: a server elsewhere, a process here, a daemon that mounts. Which these
//! are is told by the mount table, so that nobody is asked to know it.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::kernel::{pseudo, status};

/// How long one may take to answer, in milliseconds.
const PATIENCE: u16 = 5000;

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

/// What is known of devices. The mount table is read when the first is met that is neither a disk nor the root's.
#[derive(Default)]
pub(super) struct Devices {
    names: Option<BTreeMap<Device, String>>,
    /// Those that have answered, or need not be asked.
    answered: BTreeMap<Device, bool>,
    root: Option<Device>,
}

impl Devices {
    /// Takes the root's device for one that answers: this very program came from it.
    pub(super) fn trust(&mut self, device: Device) {
        self.root = Some(device);
    }

    /// The name of a device's file system; empty for a disk's, and where the mount table does not tell.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub(super) fn name(&mut self, device: Device) -> nix::Result<&str> {
        // Every file system without a disk has major number 0.
        if device.0 != 0 {
            return Ok("");
        }
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
        Ok(names.get(&device).map_or("", String::as_str))
    }

    /// Whom names on a device are asked of.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub(super) fn kind(&mut self, device: Device) -> nix::Result<Kind> {
        if self.root == Some(device) {
            return Ok(Kind::Here);
        }
        Ok(match self.name(device)? {
            "autofs" => Kind::Automount,
            name if is_remote(name) => Kind::Remote,
            _ => Kind::Here,
        })
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

/// Whether somebody else has to be asked about what is in a file system of this name.
pub(super) fn is_remote(name: &str) -> bool {
    const REMOTE: [&str; 12] = [
        "9p", "afs", "ceph", "cifs", "coda", "fuse", "gfs2", "lustre", "nfs", "nfs4", "ocfs2",
        "smb3",
    ];
    REMOTE.contains(&name) || name.starts_with("fuse.")
}

/// Devices and the names of their file systems, from mountinfo (proc_pid_mountinfo(5)).
fn names(mountinfo: &[u8]) -> BTreeMap<Device, String> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (before, after) = line.split_once(" - ")?;
            let (major, minor) = before.split(' ').nth(2)?.split_once(':')?;
            let name = after.split(' ').next()?.to_owned();
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
        assert_eq!(devices.name((0, 30)), Ok("nfs4"));
        assert_eq!(devices.kind((0, 30)), Ok(Kind::Remote));
        assert_eq!(devices.kind((0, 20)), Ok(Kind::Automount));
        // A disk, and what nobody knows.
        assert_eq!(devices.kind((98, 0)), Ok(Kind::Here));
        assert_eq!(devices.kind((0, 99)), Ok(Kind::Here));
        devices.trust((0, 30));
        assert_eq!(devices.kind((0, 30)), Ok(Kind::Here));
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
