//! The own process moved into a user namespace with a range of ids: files that belong to subordinate ids are made, changed
//! and removed only from there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::kernel::{Errno, clone, descriptor, namespace, process};
use crate::plan::step::IdRange;

use super::outside::run_helper;

/// Moves the calling process, for the rest of its life, into a new user namespace with these maps. It is root there, and over
/// these ids only. The process must have one thread.
///
/// newuidmap(1) works from outside only, so that a copy of the process stays there until it has run them.
///
/// # Errors
/// In words: the system refuses user namespaces, or what one of the helpers said.
pub fn enter(
    uids: &[IdRange],
    gids: &[IdRange],
    (newuidmap, newgidmap): (&Path, &Path),
) -> Result<(), String> {
    let failed = |what: &str, errno: Errno| format!("{what}: {}", errno.desc());
    let pipe = || descriptor::pipe().map_err(|errno| failed("pipe", errno));
    let ((go, going), (said, saying)) = (pipe()?, pipe()?);
    let within = nix::unistd::getpid().as_raw();
    let copy = clone::fork().map_err(|errno| failed("fork", errno))?;
    if copy == 0 {
        drop((going, said));
        // Nobody says anything where the namespace could not be made.
        if !matches!(File::from(go).read(&mut [0]), Ok(1)) {
            process::exit(0);
        }
        let done =
            run_helper(newuidmap, within, uids).and_then(|()| run_helper(newgidmap, within, gids));
        if let Err(why) = done {
            // Without a word of what went wrong there is at least the status.
            let _ = File::from(saying).write_all(why.as_bytes());
            process::exit(1);
        }
        process::exit(0);
    }
    drop((go, saying));
    let made = namespace::unshare(libc::CLONE_NEWUSER);
    if made.is_ok() {
        let _ = File::from(going).write_all(b"!");
    } else {
        drop(going);
    }
    let mut why = String::new();
    let _ = File::from(said).read_to_string(&mut why);
    let pid = nix::unistd::Pid::from_raw(copy);
    let status = nix::sys::wait::waitpid(pid, None).map_err(|errno| failed("waitpid", errno))?;
    made.map_err(|errno| failed("no user namespace could be made", errno))?;
    match status {
        nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
        _ if why.is_empty() => Err(format!("{} failed", newuidmap.display())),
        _ => Err(why),
    }
}
