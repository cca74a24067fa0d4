//! `probe inject FILE PLACE PROGRAM…` runs a program of whose system calls one fails, without having been made.
//!
//! PLACE is `PROCESS:NUMBER:TIME:ERRNO`: the TIMEth call (from 1) with this number of the PROCESSth process (from 0, in the
//! order in which they make their first calls), or `none`. FILE gets a line `PROCESS NUMBER TIMES` for each kind of call
//! that a process made, and a line `hit` if the call was made to fail. What a process does after it has become another program
//! is not counted, but for the first process, which becomes PROGRAM so.
//!
//! A filter hands every call to this process, which lets it through or answers it (seccomp_unotify(2)): unlike with a
//! tracer, processes are told apart, and a call costs microseconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use nix::errno::Errno;

use super::probe::{Answer, Refusal};

/// _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp)
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
/// The thread that waits for an answer is only interrupted by what kills it (Linux 5.19).
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

/// What the child says: its process id, a descriptor, and bytes that make its length a rare one.
const TOLD: usize = 11;
const LENGTH: u32 = 11;

struct Place {
    process: usize,
    number: i32,
    time: u32,
    errno: i32,
}

fn place(text: &str) -> Result<Option<Place>, Refusal> {
    if text == "none" {
        return Ok(None);
    }
    let wrong = || Refusal::Usage(format!("`{text}` is no place"));
    let numbers: Result<Vec<i32>, _> = text.split(':').map(str::parse).collect();
    let &[process, number, time, errno] = numbers.map_err(|_| wrong())?.as_slice() else {
        return Err(wrong());
    };
    Ok(Some(Place {
        process: usize::try_from(process).map_err(|_| wrong())?,
        number,
        time: u32::try_from(time).map_err(|_| wrong())?,
        errno,
    }))
}

/// See above.
pub fn run(file: &str, text: &str, program: &[&str]) -> Answer {
    let place = place(text)?;
    let [name, arguments @ ..] = program else {
        return Err(Refusal::Usage("a program is missing".to_owned()));
    };
    let mut pair = [0; 2];
    // SAFETY: the array takes two descriptors.
    let made = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            0,
            pair.as_mut_ptr(),
        )
    };
    Errno::result(made)?;
    let [ours, theirs] = pair;
    let mut command = Command::new(name);
    command.args(arguments);
    let tell = move || {
        let mut told = [0_u8; TOLD];
        told[..4].copy_from_slice(&std::process::id().to_ne_bytes());
        // From here on every call waits for an answer, but the one that says whose descriptor is to be asked.
        told[4..8].copy_from_slice(&filter()?.to_ne_bytes());
        // SAFETY: the buffer lives through the call.
        unsafe { libc::syscall(libc::SYS_sendto, theirs, told.as_ptr(), told.len(), 0, 0, 0) };
        Ok(())
    };
    // SAFETY: only system calls, on descriptors that both have.
    unsafe { command.pre_exec(tell) };
    let answering = std::thread::spawn(move || answer(ours, place));
    let child = command.spawn();
    // SAFETY: closes a descriptor of ours that nobody uses any more.
    unsafe { libc::close(theirs) };
    let status = child.and_then(|mut child| child.wait())?;
    let text = answering
        .join()
        .unwrap_or_else(|_| "the thread has failed\n".to_owned());
    fs::write(file, text)?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    std::process::exit(code.unwrap_or(1));
}

/// Installs the filter; every call but the one that hands its descriptor over waits for an answer from then on.
fn filter() -> std::io::Result<RawFd> {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let handed = u32::try_from(libc::SYS_sendto).unwrap_or(0);
    let program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        // `sendto` of so many bytes is ours, and of nobody else.
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 2, handed),
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 32),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, LENGTH),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_USER_NOTIF,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_ptr().cast_mut(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE;
    let install = || {
        // SAFETY: the program outlives the call, and is only read.
        unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        }
    };
    let mut listener = install();
    if listener < 0 {
        // Without privilege only after this; root stays able to tell whether the launcher sets it.
        // SAFETY: takes no pointer.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        listener = install();
    }
    Errno::result(listener)?;
    Ok(RawFd::try_from(listener).unwrap_or(-1))
}

/// The listener, from the process that says its numbers at the other end of `from`.
fn listener(from: RawFd) -> Result<OwnedFd, Errno> {
    let mut told = [0_u8; TOLD];
    // SAFETY: no more bytes than the array has.
    let read = unsafe { libc::read(from, told.as_mut_ptr().cast(), told.len()) };
    if Errno::result(read)? == 0 {
        return Err(Errno::EPIPE);
    }
    let [a, b, c, d, e, f, g, h, ..] = told;
    let (pid, number) = (
        i32::from_ne_bytes([a, b, c, d]),
        i32::from_ne_bytes([e, f, g, h]),
    );
    // SAFETY: it takes no pointers.
    let process = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: it takes no pointers.
    let got = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) };
    // SAFETY: closes what was opened above.
    unsafe { libc::close(i32::try_from(process).unwrap_or(-1)) };
    let got = Errno::result(got)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(got).unwrap_or(-1)) })
}

/// Answers until nobody is left who could ask.
fn answer(from: RawFd, place: Option<Place>) -> String {
    let listener = match listener(from) {
        Ok(listener) => listener,
        Err(errno) => return format!("no listener: {errno}\n"),
    };
    let mut pids: Vec<u32> = Vec::new();
    let mut other: Vec<bool> = Vec::new();
    let mut counts: BTreeMap<(usize, i32), u32> = BTreeMap::new();
    let mut hit = false;
    loop {
        let mut ready = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, as said.
        if unsafe { libc::poll(&raw mut ready, 1, -1) } < 0 {
            continue;
        }
        if ready.revents & libc::POLLIN == 0 {
            break;
        }
        // SAFETY: numbers only, for which zero is a value.
        let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the structure has the size that the request's number says.
        if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut asked) } < 0 {
            continue;
        }
        let process = pids
            .iter()
            .position(|pid| *pid == asked.pid)
            .unwrap_or_else(|| {
                pids.push(asked.pid);
                other.push(false);
                pids.len() - 1
            });
        let mut answer = libc::seccomp_notif_resp {
            id: asked.id,
            val: 0,
            error: 0,
            flags: u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1),
        };
        if !other[process] {
            let count = counts.entry((process, asked.data.nr)).or_insert(0);
            *count += 1;
            if let Some(place) = &place
                && (place.process, place.number, place.time) == (process, asked.data.nr, *count)
            {
                hit = true;
                answer.flags = 0;
                answer.error = -place.errno;
            } else if process != 0 && i64::from(asked.data.nr) == libc::SYS_execve {
                other[process] = true;
            }
        }
        // SAFETY: as above. Whoever asked may be gone.
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw mut answer) };
    }
    let mut text = String::new();
    for ((process, number), times) in counts {
        let _ = writeln!(text, "{process} {number} {times}");
    }
    if hit {
        text.push_str("hit\n");
    }
    text
}
