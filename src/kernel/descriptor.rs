//! Descriptors: pipes, sockets and their messages, poll(2), close_range(2). What the child uses allocates nothing.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, Result, check, check_int};

fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a descriptor that the kernel has just returned.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A pair of connected sockets that keep the boundaries of messages; close-on-exec.
///
/// # Errors
/// socketpair(2).
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd)> {
    let mut pair: [RawFd; 2] = [-1; 2];
    // SAFETY: the array has room for two.
    check_int(unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC,
            0,
            pair.as_mut_ptr(),
        )
    })?;
    Ok((own(pair[0]), own(pair[1])))
}

/// A pipe: the end to read, the end to write; close-on-exec.
///
/// # Errors
/// pipe(2).
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut pair: [RawFd; 2] = [-1; 2];
    // SAFETY: the array has room for two.
    check_int(unsafe { libc::pipe2(pair.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((own(pair[0]), own(pair[1])))
}

/// One of the descriptors 0, 1 and 2. The handles of the standard library would be made with buffers of eight thousand bytes.
#[must_use]
pub fn stream(number: usize) -> BorrowedFd<'static> {
    let number = match number {
        0 => libc::STDIN_FILENO,
        1 => libc::STDOUT_FILENO,
        _ => libc::STDERR_FILENO,
    };
    // SAFETY: the standard streams are never closed, so that borrowing them for ever is right.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// One of the descriptors 0, 1 and 2 with the type and mode bits of its file, if it is open.
pub fn standard(number: RawFd) -> Option<(BorrowedFd<'static>, u32)> {
    // SAFETY: an all-zero stat is valid.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call; a number that is not open is refused.
    let looked = unsafe { libc::fstat(number, &raw mut found) };
    if !(0..3).contains(&number) || looked < 0 {
        return None;
    }
    // SAFETY: it is open, and nobody closes these three.
    Some((unsafe { BorrowedFd::borrow_raw(number) }, found.st_mode))
}

/// Whether a descriptor was opened for reading and for writing (F_GETFL of fcntl(2)); neither with O_PATH.
///
/// # Errors
/// fcntl(2).
pub fn opened_for(fd: BorrowedFd<'_>) -> Result<(bool, bool)> {
    // SAFETY: takes no pointer.
    let flags = check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let mode = flags & libc::O_ACCMODE;
    let usable = flags & libc::O_PATH == 0;
    Ok((
        usable && mode != libc::O_WRONLY,
        usable && mode != libc::O_RDONLY,
    ))
}

/// read(2), begun anew when a signal interrupts it.
///
/// # Errors
/// read(2).
pub fn read(from: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: the buffer's pointer and length belong together.
        let length = unsafe { libc::read(from.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) };
        match usize::try_from(length) {
            Ok(length) => return Ok(length),
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return Err(Errno::last()),
        }
    }
}

/// write(2), begun anew when a signal interrupts it.
///
/// # Errors
/// write(2).
pub fn write(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    loop {
        // SAFETY: the buffer's pointer and length belong together.
        let length = unsafe { libc::write(to.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(length) {
            Ok(length) => return Ok(length),
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return Err(Errno::last()),
        }
    }
}

/// Sends a message, without SIGPIPE when nobody is there to get it.
///
/// # Errors
/// send(2).
pub fn send(to: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    // SAFETY: the buffer's pointer and length belong together.
    let sent = unsafe {
        libc::send(
            to.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// A control message with one descriptor, laid out as cmsg(3) says: the header, then the data.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    descriptor: RawFd,
    // The whole is a multiple of the header's alignment, as CMSG_SPACE would make it.
    _space: RawFd,
}

/// What CMSG_LEN gives for one descriptor.
const CONTROL_LENGTH: usize = size_of::<libc::cmsghdr>() + size_of::<RawFd>();

impl Control {
    fn with(descriptor: RawFd) -> Self {
        Self {
            header: libc::cmsghdr {
                cmsg_len: CONTROL_LENGTH as _,
                cmsg_level: libc::SOL_SOCKET,
                cmsg_type: libc::SCM_RIGHTS,
            },
            descriptor,
            _space: 0,
        }
    }
}

/// A message of one part with room for a descriptor beside it.
fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = std::ptr::from_mut(part);
    header.msg_iovlen = 1;
    header.msg_control = std::ptr::from_mut(control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    header
}

/// Sends a message with a descriptor (unix(7), SCM_RIGHTS).
///
/// # Errors
/// sendmsg(2).
pub fn send_descriptor(to: BorrowedFd<'_>, text: &[u8], descriptor: BorrowedFd<'_>) -> Result<()> {
    let mut control = Control::with(descriptor.as_raw_fd());
    let mut part = libc::iovec {
        iov_base: text.as_ptr().cast_mut().cast(),
        iov_len: text.len(),
    };
    let header = message(&mut part, &mut control);
    // SAFETY: everything that the header names lives through the call.
    let sent = unsafe { libc::sendmsg(to.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Receives a message, and the descriptor that may come with it. Length 0: the other side is gone.
///
/// # Errors
/// recvmsg(2).
pub fn receive(from: BorrowedFd<'_>, into: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut control = Control::with(-1);
    let mut part = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let mut header = message(&mut part, &mut control);
    let length = loop {
        // SAFETY: everything that the header names lives through the call.
        let length =
            unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        match usize::try_from(length) {
            Ok(length) => break length,
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return Err(Errno::last()),
        }
    };
    let came = header.msg_controllen >= CONTROL_LENGTH
        && control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_RIGHTS;
    if !came {
        return Ok((length, None));
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let descriptor = unsafe { OwnedFd::from_raw_fd(control.descriptor) };
    Ok((length, Some(descriptor)))
}

/// Waits until one of the descriptors is ready; a negative timeout waits for ever, in milliseconds.
///
/// # Errors
/// poll(2); EINTR is passed on.
pub fn poll(what: &mut [libc::pollfd], timeout: libc::c_int) -> Result<usize> {
    // SAFETY: the slice's pointer and length belong together.
    let ready = unsafe { libc::poll(what.as_mut_ptr(), what.len() as libc::nfds_t, timeout) };
    usize::try_from(ready).map_err(|_| Errno::last())
}

/// Closes every descriptor from `first` on (close_range(2)).
///
/// # Errors
/// ENOSYS: a kernel before 5.9.
pub fn close_from(first: u32) -> Result<()> {
    // SAFETY: descriptors that are still owned are not used any more: the caller is about to exec or to loop on what
    // it kept below `first`.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Sets close-on-exec on every descriptor from `first` on.
///
/// # Errors
/// EINVAL, ENOSYS: a kernel before 5.11.
pub fn close_from_on_exec(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: no descriptor is closed yet.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Whether every open descriptor from `first` to 255 closes on exec: few programs pass more on, and one call tells which of
/// these are open.
///
/// # Errors
/// poll(2), fcntl(2).
pub fn all_close_on_exec(first: RawFd) -> Result<bool> {
    const MOST: usize = 256;
    let mut asked = [libc::pollfd {
        fd: -1,
        events: 0,
        revents: 0,
    }; MOST];
    // poll(2) takes no more than descriptors may be open.
    let (most, _) = super::process::limit(libc::RLIMIT_NOFILE as _)?;
    let count = usize::try_from(most).unwrap_or(MOST).min(MOST);
    let asked = &mut asked[..count];
    for (fd, slot) in (first..256).zip(&mut *asked) {
        slot.fd = fd;
    }
    poll(asked, 0)?;
    for slot in asked.iter().filter(|slot| slot.fd >= 0) {
        if slot.revents & libc::POLLNVAL != 0 {
            continue;
        }
        // SAFETY: plain integers.
        let flags = check_int(unsafe { libc::fcntl(slot.fd, libc::F_GETFD) })?;
        if flags & libc::FD_CLOEXEC == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes `onto` another name of `from` (dup2(2)); it survives exec.
///
/// # Errors
/// dup2(2).
pub fn duplicate_onto(from: BorrowedFd<'_>, onto: RawFd) -> Result<()> {
    // SAFETY: whoever owns `onto` (a standard descriptor) keeps owning it.
    check_int(unsafe { libc::dup2(from.as_raw_fd(), onto) }).map(drop)
}

/// Another name of a descriptor, with a number of at least `least`; close-on-exec (F_DUPFD_CLOEXEC of fcntl(2)).
///
/// # Errors
/// fcntl(2); EINVAL or EMFILE: the limit on descriptors is lower.
pub fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let number = check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })?;
    Ok(own(number))
}

/// Has reads and writes fail instead of wait (O_NONBLOCK, fcntl(2)), by whatever name the file is used.
///
/// # Errors
/// fcntl(2).
pub fn never_wait(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: takes no pointer.
    let flags = check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })
        .map(drop)
}

/// Makes `number` the only name of an open descriptor: what was open under that number is closed.
///
/// # Errors
/// dup2(2).
pub fn move_onto(from: OwnedFd, number: RawFd) -> Result<OwnedFd> {
    if from.as_raw_fd() == number {
        return Ok(from);
    }
    // SAFETY: the caller gives the number away: whatever had it is closed by this and not used any more.
    check_int(unsafe { libc::dup2(from.as_raw_fd(), number) })?;
    // SAFETY: the new name is ours; the old one is closed when `from` ends.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
