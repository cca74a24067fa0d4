//! Every system call of the program; the only module with `unsafe`.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn checked_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Real, effective and saved ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// getresuid(2)
    pub uids: [u32; 3],
    /// getresgid(2)
    pub gids: [u32; 3],
}

/// The own ids.
///
/// # Errors
/// None that the manual knows.
pub fn ids() -> io::Result<Ids> {
    let (mut uids, mut gids) = ([0; 3], [0; 3]);
    let [real, effective, saved] = &mut uids;
    // SAFETY: the three pointers are to integers of ours.
    checked(unsafe { libc::getresuid(real, effective, saved) })?;
    let [real, effective, saved] = &mut gids;
    // SAFETY: the three pointers are to integers of ours.
    checked(unsafe { libc::getresgid(real, effective, saved) })?;
    Ok(Ids { uids, gids })
}

/// The supplementary groups; getgroups(2).
///
/// # Errors
/// None that the manual knows but EINVAL, when they change meanwhile.
pub fn groups() -> io::Result<Vec<u32>> {
    // SAFETY: with the size 0 nothing is written.
    let count = checked(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
    let mut all = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the buffer holds `count` ids.
    let count = checked(unsafe { libc::getgroups(count, all.as_mut_ptr()) })?;
    all.truncate(usize::try_from(count).unwrap_or(0));
    Ok(all)
}

/// Sets all three kinds of ids for good, groups first; setgroups(2), setresgid(2), setresuid(2).
///
/// # Errors
/// EPERM without privilege; EAGAIN at the user's limit of processes. Nothing may be run then.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer is to as many ids as the length says.
    checked(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::setresuid(uid, uid, uid) })?;
    Ok(())
}

/// Gives all rights up that the caller did not have, for good.
///
/// # Errors
/// EPERM when they could be taken back; others as setresuid(2).
pub fn become_caller() -> io::Result<()> {
    let ids = ids()?;
    let ([uid, ..], [gid, ..]) = (ids.uids, ids.gids);
    if ids.gids != [gid; 3] {
        // SAFETY: plain numbers.
        checked(unsafe { libc::setresgid(gid, gid, gid) })?;
    }
    if ids.uids != [uid; 3] {
        // SAFETY: plain numbers.
        checked(unsafe { libc::setresuid(uid, uid, uid) })?;
    }
    if uid != 0 && can_regain_root() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

/// Begins an empty session keyring, so that the target does not come by the keys of the caller's session; keyctl(2). A kernel
/// without keyrings has none to be kept.
///
/// # Errors
/// EDQUOT and the like.
pub fn new_session_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let name = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name nothing is read.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name) };
    match checked_long(joined) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        other => other.map(drop),
    }
}

/// Whether the process could make itself root again.
#[must_use]
pub fn can_regain_root() -> bool {
    // SAFETY: plain numbers; on success the caller ends the process.
    unsafe { libc::setresuid(0, 0, 0) == 0 }
}

/// Whether no_new_privs is set; prctl(2).
#[must_use]
pub fn has_no_new_privileges() -> bool {
    // SAFETY: reads an attribute of this process.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// Keeps other processes of the caller's from reading this one, and the kernel from dumping it.
///
/// # Errors
/// None that the manual knows.
pub fn forbid_dumps() -> io::Result<()> {
    // SAFETY: sets an attribute of this process.
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// The low and the high half of the sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// _LINUX_CAPABILITY_VERSION_3, linux/capability.h
const CAPABILITY_VERSION: u32 = 0x2008_0522;

fn capabilities() -> io::Result<[CapabilityData; 2]> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: the kernel writes two entries with version 3.
    checked_long(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(data)
}

fn set_capabilities(data: &[CapabilityData; 2]) -> io::Result<()> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    // SAFETY: the kernel reads two entries with version 3.
    checked_long(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
        .map(drop)
}

/// Empties the inheritable and ambient capabilities, which an exec of a setuid program keeps.
///
/// # Errors
/// Those of capset(2).
pub fn clear_inheritable() -> io::Result<()> {
    let mut data = capabilities()?;
    for half in &mut data {
        half.inheritable = 0;
    }
    set_capabilities(&data)?;
    // SAFETY: changes an attribute of this process.
    let cleared = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    checked(cleared).map(drop)
}

/// Whether the permitted capabilities outlive becoming another user; prctl(2).
///
/// # Errors
/// EPERM where securebits lock it.
pub fn keep_capabilities(keep: bool) -> io::Result<()> {
    // SAFETY: sets an attribute of this process.
    checked(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) })
        .map(drop)
}

/// Gives up all capabilities but these, which outlive exec (the ambient set); all sets are those afterwards.
///
/// # Errors
/// EPERM when one of them is not permitted; the bounding set may stay larger, as nothing can be gained from it without
/// a setuid program.
pub fn limit_capabilities(numbers: &[u32]) -> io::Result<()> {
    let mut data = [CapabilityData::default(); 2];
    for number in numbers {
        let half = data
            .get_mut(*number as usize / 32)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        let bit = 1_u32 << (number % 32);
        half.effective |= bit;
        half.permitted |= bit;
        half.inheritable |= bit;
    }
    set_capabilities(&data)?;
    keep_capabilities(false)?;
    for number in numbers {
        let number = libc::c_ulong::from(*number);
        // SAFETY: changes an attribute of this process.
        checked(unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                number,
                0,
                0,
            )
        })?;
    }
    Ok(())
}

/// Opens /dev/null on those of the descriptors 0, 1, 2 that are closed, so that nothing else lands there.
///
/// # Errors
/// /dev/null cannot be opened, or is none.
pub fn fill_standard_descriptors() -> io::Result<()> {
    for fd in 0..3 {
        // SAFETY: asks about a number.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0 {
            continue;
        }
        // SAFETY: the path is a C string. The lowest free number is this one, since those below are open.
        let opened =
            checked(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_NOFOLLOW) })?;
        // SAFETY: a descriptor that was just opened is borrowed for the call.
        let status = stat(unsafe { BorrowedFd::borrow_raw(opened) })?;
        if opened != fd || status.device != (1, 3) {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
    }
    Ok(())
}

/// Closes every descriptor above 2; close_range(2).
///
/// # Errors
/// ENOSYS before Linux 5.9.
pub fn close_others() -> io::Result<()> {
    // SAFETY: nothing that this process has opened yet is above 2.
    checked_long(unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) }).map(drop)
}

/// Default actions for all signals, none blocked, no timers.
pub fn reset_signals() {
    // The kernel's structure (handler, flags, restorer, mask), not the C library's, which refuses two real-time signals.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        let nothing = std::ptr::null_mut::<u64>();
        // SAFETY: zeros are the default action, which runs no code of ours; for SIGKILL and SIGSTOP the call fails.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                nothing,
                8_usize,
            )
        };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written before it is used.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: the set was just written.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) };
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: a value of zeros is a valid timer that is off.
        let off: libc::itimerval = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a value of ours.
        unsafe { libc::setitimer(timer, &raw const off, std::ptr::null_mut()) };
    }
}

/// Sets the umask.
pub fn set_umask(mask: u32) {
    // SAFETY: a plain number.
    unsafe { libc::umask(mask) };
}

/// A resource limit of the process: soft and hard; getrlimit(2).
///
/// # Errors
/// EINVAL for a resource that this kernel does not know.
pub fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let nothing = std::ptr::null::<libc::rlimit64>();
    // SAFETY: the pointer is to a value of ours; nothing new is set.
    let get = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, nothing, &raw mut limit) };
    checked_long(get)?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets a resource limit; setrlimit(2). No limit is `u64::MAX`.
///
/// # Errors
/// EPERM when the hard limit is raised without CAP_SYS_RESOURCE.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    let nothing = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: the pointer is to a value of ours; nothing old is asked for.
    let set = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, nothing) };
    checked_long(set).map(drop)
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions.
    pub mode: u32,
    /// Names.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// Major and minor of a device node.
    pub device: (u32, u32),
}

impl Status {
    /// A directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// A regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// fstat(2)
///
/// # Errors
/// Those of the call.
pub fn stat(fd: BorrowedFd<'_>) -> io::Result<Status> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the pointer is to memory of the size of the structure.
    checked(unsafe { libc::fstat(fd.as_raw_fd(), found.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so that it was written.
    let found = unsafe { found.assume_init() };
    Ok(Status {
        uid: found.st_uid,
        gid: found.st_gid,
        mode: found.st_mode,
        #[allow(clippy::useless_conversion)] // the type differs between architectures
        links: found.st_nlink.into(),
        size: u64::try_from(found.st_size).unwrap_or(u64::MAX),
        device: (libc::major(found.st_rdev), libc::minor(found.st_rdev)),
    })
}

/// Opens one name in a directory without following a link; openat(2). `flags` beside O_CLOEXEC and O_NOFOLLOW.
///
/// # Errors
/// Those of the call; ELOOP (ENOTDIR with O_DIRECTORY) for a symbolic link.
pub fn open_at(
    directory: Option<BorrowedFd<'_>>,
    name: &CStr,
    flags: libc::c_int,
) -> io::Result<OwnedFd> {
    let at: RawFd = directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
    // SAFETY: the name is a C string.
    let fd = checked(unsafe { libc::openat(at, name.as_ptr(), flags) })?;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a symbolic link says that was opened with O_PATH; readlinkat(2).
///
/// # Errors
/// Those of the call; ENAMETOOLONG when it does not fit.
pub fn read_link(link: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut target = vec![0_u8; 4096];
    // SAFETY: the buffer has the length that is said; the name is a C string.
    let length = unsafe {
        libc::readlinkat(
            link.as_raw_fd(),
            c"".as_ptr(),
            target.as_mut_ptr().cast(),
            target.len(),
        )
    };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    if length >= target.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    target.truncate(length);
    Ok(target)
}

/// The names in a directory, without `.` and `..`; readdir(3).
///
/// # Errors
/// Those of the calls.
pub fn names(directory: OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is given away to the stream, which closes it.
    let stream = unsafe { libc::fdopendir(directory.into_raw_fd()) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut all = Vec::new();
    let result = loop {
        // SAFETY: has no arguments.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: errno is this thread's; readdir tells its end from an error by it alone.
        unsafe { *errno = 0 };
        // SAFETY: the stream is open, and nobody else uses it.
        let entry = unsafe { libc::readdir(stream) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            break if error.raw_os_error() == Some(0) {
                Ok(())
            } else {
                Err(error)
            };
        }
        // SAFETY: the entry is valid until the next call.
        let name = unsafe { &raw const (*entry).d_name };
        // SAFETY: the name ends with NUL, and lives as long as the entry.
        let name = unsafe { CStr::from_ptr(name.cast()) }.to_bytes();
        if name != b"." && name != b".." {
            all.push(name.to_vec());
        }
    };
    // SAFETY: the stream is open and not used again.
    unsafe { libc::closedir(stream) };
    result.map(|()| all)
}

/// Changes the working directory.
///
/// # Errors
/// Those of chdir(2).
pub fn change_directory(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is a C string.
    checked(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// Executes an open file; execveat(2). Returns only if it cannot be done.
#[must_use]
pub fn execute(
    program: BorrowedFd<'_>,
    arguments: &[CString],
    environment: &[CString],
) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain(std::iter::once(std::ptr::null()))
            .collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer, and their strings live as long as the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// The parent's number; 0 when it is in another pid namespace.
#[must_use]
pub fn parent() -> i32 {
    // SAFETY: has no arguments.
    unsafe { libc::getppid() }
}

/// A descriptor for a process; pidfd_open(2).
///
/// # Errors
/// ESRCH when it has ended.
pub fn open_process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = checked_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process of a descriptor still lives.
#[must_use]
pub fn is_alive(process: BorrowedFd<'_>) -> bool {
    let mut wanted = libc::pollfd {
        fd: process.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one entry.
    unsafe { libc::poll(&raw mut wanted, 1, 0) == 0 }
}

/// Installs a filter that refuses (EPERM) to push characters into a terminal (TIOCSTI, TIOCLINUX), by whatever system call
/// table; seccomp(2). The program may be less privileged than the terminal's other users.
///
/// # Errors
/// EINVAL without seccomp in the kernel, EACCES without privilege.
pub fn forbid_terminal_injection() -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: u32 = 0xc000_00b7;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code: u16, yes: u8, no: u8, k: u32| libc::sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    };
    // struct seccomp_data: nr at 0, arch at 4, args at 16 (low half of the second at 24, little-endian).
    let mut program = [
        step(LOAD, 0, 0, 4),
        // Another table has other numbers for ioctl: such programs are refused altogether.
        step(EQUAL, 0, 7, ARCHITECTURE),
        step(LOAD, 0, 0, 0),
        step(AT_LEAST, 5, 0, 0x4000_0000),
        step(
            EQUAL,
            0,
            3,
            u32::try_from(libc::SYS_ioctl).unwrap_or(u32::MAX),
        ),
        step(LOAD, 0, 0, 24),
        step(
            EQUAL,
            2,
            0,
            u32::try_from(libc::TIOCSTI).unwrap_or(u32::MAX),
        ),
        step(EQUAL, 1, 0, 0x541c),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, REFUSE),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the structure points to as many instructions as it says, and the kernel copies them.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const filter,
        )
    };
    checked_long(set).map(drop)
}
