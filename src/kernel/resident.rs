//! A process of ours that stays behind when we end.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2};

use super::{memory, process, signal};

/// Does `work` in a process of its own that nobody waits for, and returns its number once it has called what it is given,
/// to say that it is ready. It has a session of its own, no descriptor but /dev/null, `/` as its directory, and dies of
/// SIGTERM.
///
/// To be called while there is one thread.
///
/// # Errors
/// There is no pipe or process; or why the work ended before it was ready.
pub fn leave(
    name: &CStr,
    work: impl FnOnce(&mut dyn FnMut()) -> Result<(), String>,
) -> Result<i32, String> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("no pipe: {errno}"))?;
    // SAFETY: there is one thread, so that no lock can be held by another one; the child ends by _exit and runs no
    // destructor of the parent's values.
    let forked = unsafe { fork() }.map_err(|errno| format!("no process: {errno}"))?;
    match forked {
        ForkResult::Child => {
            drop(reader);
            let _ = process::new_session();
            // Once more, so that it leads no session and its parent, which would have to wait for it, is gone.
            // SAFETY: as above.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => stay(name, writer, work),
                _ => process::exit(0),
            }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            while waitpid(child, None) == Err(Errno::EINTR) {}
            let mut said = String::new();
            File::from(reader)
                .read_to_string(&mut said)
                .map_err(|error| error.to_string())?;
            match said.strip_prefix("ready ") {
                Some(pid) => pid.parse().map_err(|_| "it gave no number".to_owned()),
                None if said.is_empty() => Err("it ended without a word".to_owned()),
                None => Err(said),
            }
        }
    }
}

fn stay(
    name: &CStr,
    writer: OwnedFd,
    work: impl FnOnce(&mut dyn FnMut()) -> Result<(), String>,
) -> ! {
    signal::start_fresh();
    let _ = std::env::set_current_dir("/");
    let mut report = only(writer);
    process::set_name(name);
    process::forget_arguments_and_environment(name);
    let mut ready = || {
        if let Some(mut report) = report.take() {
            let _ = report.write_all(format!("ready {}", std::process::id()).as_bytes());
            drop(report);
            memory::give_back();
        }
    };
    let done = work(&mut ready);
    if let (Err(why), Some(mut report)) = (done, report) {
        let _ = report.write_all(why.as_bytes());
    }
    process::exit(0)
}

/// Leaves /dev/null as the standard streams, and one more descriptor, which becomes 3.
fn only(writer: OwnedFd) -> Option<File> {
    const REPORT: i32 = 3;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .ok()?;
    // SAFETY: descriptors of the parent's values are closed in this process only, which never returns to code that would
    // use them; both of ours are copied before they are closed.
    #[allow(clippy::multiple_unsafe_ops_per_block)]
    let report = unsafe {
        // Above all that is written to below.
        let report = libc::fcntl(writer.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10);
        let null = libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        libc::dup3(report, REPORT, libc::O_CLOEXEC);
        libc::syscall(libc::SYS_close_range, 4_u32, u32::MAX, 0_u32);
        File::from_raw_fd(REPORT)
    };
    // Their numbers are closed, or another's.
    std::mem::forget((writer, null));
    Some(report)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;
    use crate::kernel::peer::Peer;

    #[test]
    fn it_stays_alone_and_says_why_it_cannot() {
        let pid = leave(c"sandbox-test", |ready| {
            ready();
            std::thread::sleep(std::time::Duration::from_secs(60));
            Ok(())
        })
        .unwrap();
        let peer = Peer::open(pid).unwrap();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count();
        let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert_eq!(peer.stat.name, "sandbox-test");
        assert_eq!((open, directory.to_str()), (3, Some("/")));

        let refused = leave(c"sandbox-test", |_| Err("no reason".to_owned()));
        assert_eq!(refused, Err("no reason".to_owned()));
    }
}
