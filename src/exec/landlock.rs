//! Landlock as the child carries it out: after all mounts, for its rules are about what is found at the paths then.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::{Errno, at, descriptor, landlock};
use crate::section::landlock::{Rights, Ruleset};

use super::prepare::c_path;

/// A ruleset in C form.
#[derive(Debug)]
pub(super) struct Rules {
    handled: u64,
    scoped: u64,
    /// Paths inside, and what is granted there.
    rules: Vec<(CString, u64)>,
    /// Whether a rule about a path that leads nowhere any more is passed over. Its right went with what was there.
    may_be_gone: bool,
}

pub(super) fn prepare(ruleset: &Ruleset) -> Result<Rules, Errno> {
    let rules = ruleset
        .rules
        .iter()
        .map(|rule| Ok((c_path(&rule.path)?, rule.rights.bits())));
    Ok(Rules {
        handled: ruleset.handled.bits(),
        scoped: ruleset.scopes.bits(),
        rules: rules.collect::<Result<_, Errno>>()?,
        // What is allowed to be run need not be there: it can only be hidden, or missing.
        may_be_gone: ruleset.is_about_programs(),
    })
}

impl Rules {
    /// For a process that comes later than the view was made: the program may have removed what a rule names.
    pub(super) fn pass_over_what_is_gone(&mut self) {
        self.may_be_gone = true;
    }

    /// Holds this process and all that it starts. Allocates nothing; `leave` gets descriptors that can be closed later.
    pub(super) fn hold(&self, mut leave: impl FnMut(OwnedFd)) -> Result<(), Errno> {
        let ruleset = landlock::create(self.handled, self.scoped)?;
        if self.handled != 0 {
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            let root = at::open(at::working_directory(), c"/", flags, 0)?;
            for (path, rights) in &self.rules {
                if path.as_c_str() == c"/" {
                    landlock::allow(ruleset.as_fd(), root.as_fd(), *rights)?;
                    continue;
                }
                let place = match at::resolve(root.as_fd(), path) {
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) if self.may_be_gone => {
                        continue;
                    }
                    other => other?,
                };
                landlock::allow(ruleset.as_fd(), place.as_fd(), *rights)?;
                leave(place);
            }
            leave(root);
            for number in 0..3 {
                self.keep_standard(ruleset.as_fd(), number)?;
            }
        }
        landlock::restrict_self(ruleset.as_fd())?;
        leave(ruleset);
        Ok(())
    }

    /// A standard descriptor can be opened once more by its name (/dev/stdout) as far as it is open already: with
    /// `sandbox … > FILE` that file can be written, and not read.
    fn keep_standard(&self, ruleset: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
        let Some((fd, mode)) = descriptor::standard(number) else {
            return Ok(());
        };
        let kind = mode & libc::S_IFMT;
        // Pipes and sockets are in no directory, so that Landlock leaves them alone.
        if kind != libc::S_IFREG && kind != libc::S_IFCHR {
            return Ok(());
        }
        let (read, write) = descriptor::opened_for(fd)?;
        let mut rights = Rights::NONE;
        if read {
            rights = rights | Rights::READ_FILE;
        }
        if write {
            rights = rights | Rights::WRITE_FILE | Rights::TRUNCATE;
        }
        if kind == libc::S_IFCHR {
            rights = rights | Rights::IOCTL_DEV;
        }
        let rights = rights.bits() & self.handled;
        if rights == 0 {
            return Ok(());
        }
        match landlock::allow(ruleset, fd, rights) {
            Err(errno) if landlock::is_left_alone(errno) => Ok(()),
            other => other,
        }
    }
}
