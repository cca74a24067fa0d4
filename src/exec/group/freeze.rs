//! Stopping all processes of a group at once and letting them go on: v1 `freezer.state`, v2 `cgroup.freeze`.
//! Kernel documents admin-guide/cgroup-v1/freezer-subsystem, admin-guide/cgroup-v2.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::PATIENCE;
use super::directories::Directories;
use crate::kernel::cgroup::{Directory, FileError};
use crate::section::limits::Version;

/// What freezes a group.
#[derive(Clone, Copy)]
struct Freezer<'a> {
    version: Version,
    directory: &'a Directory,
}

impl Directories {
    /// Stops every process in the group, and waits until they have stopped. They do not notice. Doing it again is no
    /// error. Who ends the sandbox has to kill the group, which thaws it: on v1 a frozen process does not die.
    ///
    /// # Errors
    /// EOPNOTSUPP: the group has no freezer. EBUSY: some still run after 10 s (in uninterruptible sleep); the group is
    /// thawed again then. Those of writing a file: EACCES for somebody else's group.
    pub fn freeze(&self) -> Result<(), FileError> {
        let freezer = self.required("freeze")?;
        let result = freezer.freeze();
        if result.is_err() {
            let _ = freezer.thaw();
        }
        result
    }

    /// Lets the processes in the group go on.
    ///
    /// # Errors
    /// EOPNOTSUPP: the group has no freezer. EBUSY: it is still frozen after 10 s: a group above it is. Those of writing a
    /// file.
    pub fn thaw(&self) -> Result<(), FileError> {
        self.required("thaw")?.thaw()
    }

    /// Whether the group is frozen, or about to be.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.freezer().is_some_and(|freezer| match freezer.version {
            Version::V1 => freezer.state().is_ok_and(|state| state != "THAWED"),
            Version::V2 => freezer.directory.number("cgroup.freeze") == Some(1),
        })
    }

    /// Whether there is anything that could freeze it.
    #[must_use]
    pub fn can_be_frozen(&self) -> bool {
        self.freezer().is_some()
    }

    fn freezer(&self) -> Option<Freezer<'_>> {
        if let Some(directory) = self.unified()
            && directory.has("cgroup.freeze")
        {
            return Some(Freezer {
                version: Version::V2,
                directory,
            });
        }
        match self.of("freezer") {
            Some((Version::V1, directory)) => Some(Freezer {
                version: Version::V1,
                directory,
            }),
            _ => None,
        }
    }

    fn required(&self, doing: &str) -> Result<Freezer<'_>, FileError> {
        let path = |directories: &Self| {
            let first = directories.members.first();
            first.map(|member| member.directory.path().to_owned())
        };
        self.freezer().ok_or_else(|| FileError {
            path: path(self).unwrap_or_default(),
            doing: doing.to_owned(),
            errno: Errno::EOPNOTSUPP,
        })
    }
}

impl Freezer<'_> {
    fn state(self) -> Result<String, FileError> {
        Ok(self
            .directory
            .read("freezer.state")?
            .trim()
            .to_ascii_uppercase())
    }

    fn freeze(self) -> Result<(), FileError> {
        match self.version {
            // Written again each time: what has forked meanwhile may have been missed.
            Version::V1 => self.wait("freeze", || {
                self.directory.write("freezer.state", "FROZEN")?;
                Ok(self.state()? == "FROZEN")
            }),
            Version::V2 => {
                self.directory.write("cgroup.freeze", "1")?;
                self.wait("freeze", || Ok(self.is_stopped(1)))
            }
        }
    }

    fn thaw(self) -> Result<(), FileError> {
        match self.version {
            Version::V1 => {
                self.directory.write("freezer.state", "THAWED")?;
                self.wait("thaw", || Ok(self.state()? == "THAWED"))
            }
            Version::V2 => {
                self.directory.write("cgroup.freeze", "0")?;
                self.wait("thaw", || Ok(self.is_stopped(0)))
            }
        }
    }

    fn is_stopped(self, wanted: u64) -> bool {
        self.directory.field("cgroup.events", "frozen") == Some(wanted)
    }

    fn wait(
        self,
        doing: &str,
        mut done: impl FnMut() -> Result<bool, FileError>,
    ) -> Result<(), FileError> {
        let started = Instant::now();
        let mut pause = Duration::from_micros(100);
        while !done()? {
            if started.elapsed() > PATIENCE {
                return Err(FileError {
                    path: self.directory.path().to_owned(),
                    doing: doing.to_owned(),
                    errno: Errno::EBUSY,
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Ok(())
    }
}
