//! Attributes of the calling process, and ends of others. What the child uses allocates nothing.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, Result, check, check_int, memory};

fn prctl(option: libc::c_int, value: libc::c_ulong) -> Result<libc::c_int> {
    // SAFETY: the options used here take integers.
    check_int(unsafe { libc::prctl(option, value, 0, 0, 0) })
}

/// Set-user-ID programs and file capabilities give nothing from now on (PR_SET_NO_NEW_PRIVS(2const)).
///
/// # Errors
/// prctl(2); EPERM when it does not hold afterwards.
pub fn no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    if has_no_new_privileges() {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Whether no_new_privs is set.
#[must_use]
pub fn has_no_new_privileges() -> bool {
    prctl(libc::PR_GET_NO_NEW_PRIVS, 0) == Ok(1)
}

/// Others cannot trace this process or open its /proc files, and it leaves no core dump, until it execs.
///
/// # Errors
/// prctl(2).
pub fn undumpable() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0).map(drop)
}

/// This signal is sent to the caller when the thread that made it ends (PR_SET_PDEATHSIG(2const)).
///
/// # Errors
/// prctl(2).
pub fn die_with_parent(signal: libc::c_int) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong).map(drop)
}

/// Leaves all supplementary groups.
///
/// # Errors
/// setgroups(2). EPERM without CAP_SETGID, or where it is denied (user_namespaces(7)).
pub fn drop_groups() -> Result<()> {
    // SAFETY: no groups are read. The plain call: the C library's would look for other threads.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) })
        .map(drop)
}

/// Whether the caller is in no supplementary group.
///
/// # Errors
/// getgroups(2).
pub fn has_no_groups() -> Result<bool> {
    // SAFETY: with a length of 0 nothing is written.
    Ok(check_int(unsafe { libc::getgroups(0, std::ptr::null_mut()) })? == 0)
}

/// Becomes user 0 and group 0 of the own user namespace, in no other group. The capabilities stay.
///
/// # Errors
/// EINVAL: the namespace has no such user; EPERM without CAP_SETUID and CAP_SETGID, or where setgroups(2) is denied.
pub fn become_root() -> Result<()> {
    drop_groups()?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) }).map(drop)
}

/// The name that ps(1) shows, at most 15 bytes.
pub fn set_name(name: &CStr) {
    // SAFETY: the kernel copies at most 16 bytes from a string that lives through the call. A name is a courtesy: it
    // does not matter if it fails.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Joins a new, empty session keyring (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
///
/// The kernel gives the quota of a keyring back a moment after its last process has ended, so that somebody who starts
/// many programs one after the other can meet it: then this waits, up to a second.
///
/// # Errors
/// keyctl(2). EDQUOT: too many keys.
pub fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    const PAUSE: libc::timespec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    let anonymous = std::ptr::null::<libc::c_char>();
    let mut patience = 50;
    loop {
        // SAFETY: without a name a new anonymous keyring is made.
        let joined = check(unsafe {
            libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous)
        });
        match joined {
            Err(Errno::EDQUOT) if patience > 0 => {
                patience -= 1;
                // SAFETY: the time to wait is a constant, and what is left of it is not asked for.
                unsafe { libc::nanosleep(&PAUSE, std::ptr::null_mut()) };
            }
            other => return other.map(drop),
        }
    }
}

/// Whether keyrings can be used at all: not where an outer filter or the kernel's configuration forbids it.
#[must_use]
pub fn has_keyrings() -> bool {
    !matches!(session_keyring(), Err(Errno::ENOSYS | Errno::EPERM))
}

/// The session keyring of the caller, by its number (keyctl(2), KEYCTL_GET_KEYRING_ID). None is made.
///
/// # Errors
/// keyctl(2). ENOKEY: there is none.
pub fn session_keyring() -> Result<i32> {
    const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
    const KEY_SPEC_SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: plain integers. 0: none is made if there is none.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_SESSION_KEYRING,
            0,
        )
    };
    // Serial numbers of keys are 32 bits.
    check(returned).and_then(|number| i32::try_from(number).map_err(|_| Errno::EOVERFLOW))
}

/// Whether SIGKILL is sent to the caller when its parent ends (PR_GET_PDEATHSIG(2const)).
///
/// # Errors
/// prctl(2).
pub fn dies_with_parent() -> Result<bool> {
    let mut signal: libc::c_int = 0;
    // SAFETY: the kernel writes an int to where it is told, which lives through the call.
    check_int(unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0) })?;
    Ok(signal == libc::SIGKILL)
}

/// The caller's number in its own pid namespace (getpid(2)).
#[must_use]
pub fn own_number() -> u32 {
    std::process::id()
}

/// Whether the caller leads a session (getsid(2)).
#[must_use]
pub fn leads_session() -> bool {
    // SAFETY: plain integers.
    let session = unsafe { libc::getsid(0) };
    u32::try_from(session) == Ok(own_number())
}

/// A resource limit of the caller: soft, hard (getrlimit(2)).
///
/// # Errors
/// EINVAL: there is no such limit.
pub fn limit(resource: u32) -> Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::getrlimit(resource as _, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// A session of one's own without a terminal (setsid(2)).
///
/// # Errors
/// EPERM: the caller leads a process group.
pub fn new_session() -> Result<()> {
    // SAFETY: no arguments.
    check_int(unsafe { libc::setsid() }).map(drop)
}

/// A process group of one's own (setpgid(2)).
///
/// # Errors
/// setpgid(2).
pub fn new_group() -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// setrlimit(2), soft and hard; `None` is no limit.
///
/// # Errors
/// EPERM: the hard limit would rise, which needs CAP_SYS_RESOURCE.
pub fn set_limit(resource: u32, value: Option<u64>) -> Result<()> {
    let value = value.unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::setrlimit(resource as _, &raw const limit) }).map(drop)
}

/// The supplementary groups of the caller (getgroups(2)). The C library's number of how many there may be is read from
/// /proc; how many there are the kernel says.
///
/// # Errors
/// getgroups(2).
pub fn groups() -> Result<Vec<u32>> {
    loop {
        // SAFETY: with a size of 0 nothing is written.
        let number = check_int(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
        let mut groups: Vec<libc::gid_t> = vec![0; usize::try_from(number).unwrap_or(0)];
        if groups.is_empty() {
            return Ok(groups);
        }
        // SAFETY: the list is ours and as long as we say.
        match check_int(unsafe { libc::getgroups(number, groups.as_mut_ptr()) }) {
            // They have become more.
            Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
            Ok(number) => {
                groups.truncate(usize::try_from(number).unwrap_or(0));
                return Ok(groups);
            }
        }
    }
}

/// The resource limits of the caller that there are on every kernel: number, soft, hard (getrlimit(2)).
#[must_use]
pub fn limits() -> Vec<(u32, u64, u64)> {
    const LIMITS: u32 = 16;
    let mut found = Vec::new();
    for resource in 0..LIMITS {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the structure lives through the call.
        if unsafe { libc::getrlimit(resource as _, &raw mut limit) } == 0 {
            found.push((resource, limit.rlim_cur, limit.rlim_max));
        }
    }
    found
}

/// Brings the caller's limits down to others, where these are lower, and its soft limits up to them where they may rise.
///
/// # Errors
/// setrlimit(2); EINVAL: there is no such limit.
pub fn limit_to(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let mut own = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::getrlimit(resource as _, &raw mut own) })?;
    // RLIM_INFINITY is the highest number.
    let hard = hard.min(own.rlim_max);
    let limit = libc::rlimit {
        rlim_cur: soft.min(hard),
        rlim_max: hard,
    };
    // SAFETY: the structure lives through the call.
    check_int(unsafe { libc::setrlimit(resource as _, &raw const limit) }).map(drop)
}

/// Sets the nice value of a process that has one thread; 0 is the caller (setpriority(2)).
///
/// # Errors
/// EACCES: it would fall, which needs CAP_SYS_NICE on the host or RLIMIT_NICE.
pub fn set_nice(pid: libc::pid_t, value: libc::c_int) -> Result<()> {
    // SAFETY: plain integers.
    check_int(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid.cast_unsigned(), value) })
        .map(drop)
}

/// Sets the I/O priority of a process that has one thread; 0 is the caller (ioprio_set(2)).
///
/// # Errors
/// EPERM: class 1 (real time) needs CAP_SYS_NICE or CAP_SYS_ADMIN on the host.
pub fn set_io_priority(pid: libc::pid_t, class: u16, level: u16) -> Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level);
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value) }).map(drop)
}

/// Sets the scheduler of a process that has one thread; 0 is the caller (sched_setscheduler(2)). Some C libraries do not
/// make the call.
///
/// # Errors
/// EPERM: real time needs CAP_SYS_NICE on the host or RLIMIT_RTPRIO, and where control groups share real time out, some in
/// the group; leaving SCHED_IDLE needs what lowering the nice value does.
pub fn set_scheduler(pid: libc::pid_t, policy: libc::c_int, priority: libc::c_int) -> Result<()> {
    // SAFETY: all-zero is valid; only some C libraries have further fields.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = priority;
    // SAFETY: the structure lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            pid,
            policy,
            &raw const parameter,
        )
    })
    .map(drop)
}

/// A set of CPUs as the kernel takes it (sched_setaffinity(2)): 8192 bits, the most that it is built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuMask(Box<[libc::c_ulong; CpuMask::WORDS]>);

impl CpuMask {
    const BITS: usize = libc::c_ulong::BITS as usize;
    const WORDS: usize = 8192 / Self::BITS;

    /// From the numbers of CPUs; those beyond the last that can be said are left out.
    #[must_use]
    pub fn of(numbers: impl Iterator<Item = u32>) -> Self {
        let mut words = Box::new([0; Self::WORDS]);
        for number in numbers {
            let number = number as usize;
            if let Some(word) = words.get_mut(number / Self::BITS) {
                *word |= 1 << (number % Self::BITS);
            }
        }
        Self(words)
    }
}

/// Binds the calling thread to CPUs. The kernel passes over those that are not there or that the control group does not
/// allow; here each must be obtained.
///
/// # Errors
/// EINVAL: one of them is not to be had; nothing is changed if none of them is.
pub fn set_affinity(cpus: &CpuMask) -> Result<()> {
    const LENGTH: usize = size_of::<[libc::c_ulong; CpuMask::WORDS]>();
    // SAFETY: the words live through the call, and are as long as we say.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, LENGTH, cpus.0.as_ptr()) })?;
    let mut got = [0 as libc::c_ulong; CpuMask::WORDS];
    // SAFETY: the array is ours and as long as we say.
    check(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, LENGTH, got.as_mut_ptr()) })?;
    if got == *cpus.0 {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// umask(2): returns the one before; cannot fail.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: plain integers.
    unsafe { libc::umask(mask as libc::mode_t) }
}

/// Ends the process at once.
pub fn exit(status: libc::c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// Becomes another program (execve(2)); returns only on failure. The arrays end with a null pointer.
#[must_use]
pub fn execute(
    program: &CStr,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> Errno {
    debug_assert!(arguments.last().is_some_and(|last| last.is_null()));
    debug_assert!(environment.last().is_some_and(|last| last.is_null()));
    // SAFETY: the caller's arrays hold pointers to live C strings and end with null.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// How a process ended, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// This signal stopped it.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// Waits for a change of one child by its pidfd. With `keep`, the child stays a zombie to be waited for again.
///
/// # Errors
/// waitid(2). `Ok(None)`: nothing has happened yet (only with WNOHANG in `flags`).
pub fn wait_for(child: BorrowedFd<'_>, flags: libc::c_int) -> Result<Option<Change>> {
    wait_id(libc::P_PIDFD, child.as_raw_fd().cast_unsigned(), flags)
        .map(|found| found.map(|(_, change)| change))
}

/// Waits for a change of any child: its pid and what became of it.
///
/// # Errors
/// ECHILD: there is none. `Ok(None)`: nothing has happened yet (only with WNOHANG in `flags`).
pub fn wait_any(flags: libc::c_int) -> Result<Option<(libc::pid_t, Change)>> {
    wait_id(libc::P_ALL, 0, flags)
}

fn wait_id(
    kind: libc::idtype_t,
    id: u32,
    flags: libc::c_int,
) -> Result<Option<(libc::pid_t, Change)>> {
    loop {
        // SAFETY: all-zero is a valid siginfo_t.
        let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the structure lives through the call.
        match check_int(unsafe { libc::waitid(kind, id, &raw mut found, flags) }) {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // SAFETY: waitid(2) fills this in for SIGCHLD, and leaves it 0 when nothing happened.
        let pid = unsafe { found.si_pid() };
        // SAFETY: as above.
        let status = unsafe { found.si_status() };
        if pid == 0 {
            return Ok(None);
        }
        let change = match found.si_code {
            libc::CLD_EXITED => Change::Exited(status),
            libc::CLD_KILLED | libc::CLD_DUMPED => Change::Killed(status),
            libc::CLD_STOPPED | libc::CLD_TRAPPED => Change::Stopped(status),
            _ => Change::Continued,
        };
        return Ok(Some((pid, change)));
    }
}

/// A descriptor that names a process (pidfd_open(2)).
///
/// # Errors
/// ESRCH: there is none of that number.
pub fn open(pid: libc::pid_t) -> Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    #[allow(clippy::cast_possible_truncation)] // descriptors are ints
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Overwrites the arguments and the environment that this process was started with. What /proc/PID/cmdline and
/// /proc/PID/environ show afterwards is `title` and nothing, and so is every argument and variable that `std::env` still
/// finds.
pub fn forget_arguments_and_environment(title: &CStr) {
    unsafe extern "C" {
        static program_invocation_name: *const libc::c_char;
        static environ: *const *const libc::c_char;
    }
    // SAFETY: the C library set it at start and nothing changes it.
    let first = unsafe { program_invocation_name };
    // SAFETY: as above; we never call setenv.
    let mut variables = unsafe { environ };
    if first.is_null() || variables.is_null() {
        return;
    }
    let mut end = first as usize;
    // The kernel lays the strings out one after the other: arguments, then variables (execve(2)).
    loop {
        // SAFETY: the array ends with null, at which the loop ends.
        let variable = unsafe { *variables };
        if variable.is_null() {
            break;
        }
        // SAFETY: each entry is a C string.
        let length = unsafe { libc::strlen(variable) };
        end = end.max(variable as usize + length);
        // SAFETY: the entry before was not the null at the end.
        variables = unsafe { variables.add(1) };
    }
    let length = end - first as usize;
    // SAFETY: the range lies in the strings that the kernel put on our stack, which is writable.
    unsafe { memory::clear(first.cast_mut().cast(), length) };
    let title = title.to_bytes();
    // SAFETY: no more than the range is written, and the last byte stays NUL.
    unsafe {
        std::ptr::copy_nonoverlapping(
            title.as_ptr().cast(),
            first.cast_mut(),
            title.len().min(length.saturating_sub(1)),
        )
    };
}

/// Whether there is a process of this number; it may be another one than was meant, see [`start_time`].
#[must_use]
pub fn exists(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22).
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn start_time(pid: i32) -> std::io::Result<u64> {
    match super::stat::Stat::of(pid) {
        Ok(stat) => Ok(stat.started),
        Err(Errno::ESRCH) => Err(std::io::ErrorKind::NotFound.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Random bits of the kernel, as hexadecimal digits.
///
/// # Errors
/// Those of getrandom(2).
pub fn random_hex() -> std::io::Result<String> {
    let mut bytes = [0_u8; 6];
    // SAFETY: the buffer is ours and as long as we say.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != 6 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
