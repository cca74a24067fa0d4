//! seccomp(2): installing a filter, and what this kernel's filters can answer.

use nix::errno::Errno;

use crate::bpf::{Action, Program};

/// The program in the form that the kernel reads, for [`install`]. Allocates, so it is made before clone.
pub fn prepare(program: &Program) -> Box<[libc::sock_filter]> {
    let instructions = program.instructions().iter();
    instructions
        .map(|one| libc::sock_filter {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        })
        .collect()
}

/// Filters the system calls of the calling thread, and of what it forks and runs, from the next call on; it cannot be
/// taken back. Needs no_new_privs (or CAP_SYS_ADMIN in the user namespace), which is set elsewhere. Allocates nothing and
/// takes no lock, so it may be used between clone and exec.
///
/// # Errors
/// `EACCES` without no_new_privs, `EINVAL` for a program that the kernel refuses, `ENOMEM` when this and the filters
/// before it are longer than 32768 instructions together, `ENOSYS` for a kernel (or an outer filter) without seccomp(2).
pub fn install(filter: &[libc::sock_filter]) -> Result<(), Errno> {
    let len = libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::EINVAL)?;
    // The kernel only reads through the pointer; the structure lacks a const one.
    let program = libc::sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: `program` and the `len` instructions that it points to live until the call returns, and are only read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    Errno::result(result).map(drop)
}

/// Whether the calling thread is filtered; an answer that is an error is a filter's too (PR_GET_SECCOMP(2const)).
pub fn is_filtered() -> bool {
    // SAFETY: plain integers.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) != 0 }
}

/// What this kernel's filters can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// A call can be answered with an errno; there are filters at all.
    pub errno: bool,
    /// A call can kill the whole process (4.14), not only the thread.
    pub kill_process: bool,
    /// A call can be written to the audit log (4.14).
    pub log: bool,
    /// A call can raise SIGSYS.
    pub trap: bool,
}

impl Support {
    /// Whether a filter can answer with this action.
    pub fn has(self, action: Action) -> bool {
        match action {
            Action::Allow | Action::Errno(_) => self.errno,
            Action::KillProcess => self.kill_process,
            Action::Log => self.log,
            Action::Trap => self.trap,
        }
    }

    /// The actions of a program that this kernel lacks; it would kill the thread in their place.
    pub fn lacks(self, program: &Program) -> Vec<Action> {
        program
            .actions()
            .into_iter()
            .filter(|action| !self.has(*action))
            .collect()
    }
}

/// Asks the kernel what its filters can answer (`SECCOMP_GET_ACTION_AVAIL`, since 4.14). Without that operation nothing is
/// supported, which is right for what is built on it: an older kernel cannot kill a process.
pub fn support() -> Support {
    Support {
        errno: available(libc::SECCOMP_RET_ERRNO),
        kill_process: available(libc::SECCOMP_RET_KILL_PROCESS),
        log: available(libc::SECCOMP_RET_LOG),
        trap: available(libc::SECCOMP_RET_TRAP),
    }
}

fn available(action: u32) -> bool {
    // SAFETY: the kernel reads one `u32`, which lives until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    result == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "seccomp_tests.rs"]
mod tests;
