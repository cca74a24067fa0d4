//! TTY and FD: the caller's terminal, descriptors and working directory.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::attempt::Control::{Anyone, Root, Sometimes};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{
    Attempt, Bait, Found, any, attempt, behind, done, errno_of, opens, raw, reached, reads,
};

pub const ALL: &[Attempt] = &[
    attempt(
        "TTY-1",
        "push input into the terminal (TIOCSTI)",
        Anyone,
        |_| push(libc::TIOCSTI),
    ),
    attempt(
        "TTY-2",
        "the same with a bit above the 32nd",
        Anyone,
        |_| push(libc::TIOCSTI | 1 << 32),
    ),
    attempt("TTY-3", "paste on a console (TIOCLINUX)", Anyone, |_| {
        let code = 3_u8;
        reached(
            "TIOCLINUX",
            raw(
                libc::SYS_ioctl,
                &[0, libc::TIOCLINUX, (&raw const code) as u64],
            ),
        )
    }),
    attempt(
        "TTY-3 discipline",
        "load a line discipline (TIOCSETD)",
        Anyone,
        |_| {
            // The one that is there already.
            let number = 0_i32;
            done(
                "TIOCSETD",
                raw(
                    libc::SYS_ioctl,
                    &[0, libc::TIOCSETD, (&raw const number) as u64],
                ),
            )
        },
    ),
    attempt(
        "TTY-4",
        "open another terminal of the caller's",
        Anyone,
        other_terminal,
    ),
    attempt("TTY-4 console", "open a console", Root, |_| {
        any([
            "/dev/console",
            "/dev/tty0",
            "/dev/tty1",
            "/dev/ttyS0",
            "/dev/vcs",
        ]
        .map(|path| {
            // A pseudo-terminal may be shown by such a name (majors 136 to 143).
            let number = std::fs::metadata(path).map_or(0, |found| found.rdev());
            if (136..144).contains(&nix::sys::stat::major(number)) {
                return Held(format!("{path} is a pseudo-terminal"));
            }
            opens(path, true)
        }))
    }),
    attempt(
        "TTY-5",
        "have the caller's terminal as one's own (/dev/tty)",
        Anyone,
        |bait| match std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
        {
            Ok(_) if standard_is_callers(bait) => Escaped("/dev/tty is the caller's".to_owned()),
            Ok(_) => Held("/dev/tty is another".to_owned()),
            Err(error) => Held(format!("/dev/tty: {:?}", errno_of(&error))),
        },
    ),
    attempt(
        "TTY-6",
        "leave the caller's terminal without echo",
        Anyone,
        |bait| {
            if !standard_is_callers(bait) {
                return Held("standard input is another terminal".to_owned());
            }
            let attributes = nix::sys::termios::tcgetattr(std::io::stdin());
            let set = attributes.and_then(|a| {
                nix::sys::termios::tcsetattr(
                    std::io::stdin(),
                    nix::sys::termios::SetArg::TCSANOW,
                    &a,
                )
            });
            done("tcsetattr", set)
        },
    ),
    attempt(
        "TTY-6 flags",
        "leave the caller's terminal non-blocking",
        Anyone,
        |bait| {
            if !standard_is_callers(bait) {
                return Held("standard input is another description".to_owned());
            }
            let flags = fcntl(std::io::stdin(), FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
            let set = flags.and_then(|flags| {
                fcntl(
                    std::io::stdin(),
                    FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK),
                )?;
                fcntl(std::io::stdin(), FcntlArg::F_SETFL(flags))
            });
            done("F_SETFL", set)
        },
    ),
    attempt(
        "FD-1",
        "use a descriptor that was left open",
        Anyone,
        |_| {
            any([8, 9].map(|number| {
                done(
                    &format!("descriptor {number}"),
                    raw(libc::SYS_fcntl, &[number, 1]),
                )
            }))
        },
    ),
    attempt("FD-2", "walk out through an open directory", Anyone, |_| {
        any([
            "/proc/self/fd/9/id",
            "/dev/fd/9/id",
            "/proc/self/fd/9/../.ssh/id",
        ]
        .map(reads))
    }),
    attempt(
        "FD-3",
        "leave by a path relative to the working directory",
        Anyone,
        |_| {
            any([
                "../.ssh/id",
                "./../project/../.ssh/id",
                "/proc/self/cwd/../.ssh/id",
            ]
            .map(reads))
        },
    ),
    attempt(
        "FD-4",
        "use the descriptors of other processes (/proc/PID/fd)",
        Anyone,
        |bait| {
            any(super::processes::others(bait).into_iter().flat_map(|pid| {
                (0..12).map(move |number| {
                    let path = format!("/proc/{pid}/fd/{number}");
                    match std::fs::read_link(&path) {
                        Ok(target) => Escaped(format!("{path} is {}", target.display())),
                        Err(error) => Held(format!("{path}: {:?}", errno_of(&error))),
                    }
                })
            }))
        },
    ),
    attempt(
        "FD-8",
        "be handed a directory by an accomplice outside, over a socket",
        Anyone,
        accomplice,
    ),
    attempt(
        "FD-8 abstract",
        "the same over an abstract socket",
        Sometimes("no accomplice listens there"),
        |bait| match super::services::abstract_stream(bait.get("abstract")) {
            Ok(_) => Escaped("connected".to_owned()),
            Err(error) => Held(format!("{:?}", errno_of(&error))),
        },
    ),
];

/// Pushes an empty line, which runs nothing and leaves the lines of the output as they are.
fn push(request: u64) -> Found {
    let byte = b'\n';
    any([0, 1, 2].map(|number| {
        let pushed = raw(
            libc::SYS_ioctl,
            &[number, request, (&raw const byte) as u64],
        );
        done(&format!("TIOCSTI on {number}"), pushed)
    }))
}

/// Terminals are told apart by the file system that they are in, and their name in it.
fn standard_is_callers(bait: &Bait) -> bool {
    let link = "/proc/self/fd/0";
    let found = std::fs::metadata(link);
    found.is_ok_and(|found| found.dev() == bait.number("pts-device"))
        && std::fs::read_link(link).is_ok_and(|name| name.as_os_str() == bait.get("terminal"))
}

fn other_terminal(bait: &Bait) -> Found {
    let path = bait.get("pts");
    match std::fs::metadata(path) {
        Ok(found) if found.dev() == bait.number("pts-device") => opens(path, true),
        Ok(_) => Held(format!("{path} is another")),
        Err(error) => Held(format!("{path}: {:?}", errno_of(&error))),
    }
}

/// Takes part: somebody outside who listens in a directory that both see.
fn accomplice(bait: &Bait) -> Found {
    let socket = match std::os::unix::net::UnixStream::connect(bait.project("accomplice")) {
        Ok(socket) => socket,
        Err(error) => return Held(format!("connect: {:?}", errno_of(&error))),
    };
    let mut message = Message::new(0);
    let number = u64::try_from(socket.as_raw_fd()).unwrap_or(u64::MAX);
    if let Err(errno) = message.pass(libc::SYS_recvmsg, number) {
        return Held(format!("recvmsg: {errno:?}"));
    }
    match super::attempt::owned(message.descriptor()) {
        Some(folder) => reads(behind(&folder, "id")),
        None => Held("no descriptor came".to_owned()),
    }
}

/// A message of one byte and one descriptor, as sendmsg(2) has it on machines of 64 bits.
pub struct Message {
    byte: Box<[u8; 1]>,
    control: Box<[u64; 3]>,
}

impl Message {
    /// With a descriptor to be sent, or room for one.
    pub fn new(descriptor: i32) -> Message {
        // cmsghdr: length, level and type (SOL_SOCKET, SCM_RIGHTS), then the descriptor.
        let descriptor = u64::try_from(descriptor).unwrap_or(0);
        Message {
            byte: Box::new([0]),
            control: Box::new([20, 1 | 1 << 32, descriptor]),
        }
    }

    /// Sends or receives it.
    pub fn pass(&mut self, call: libc::c_long, socket: u64) -> Result<i64, nix::errno::Errno> {
        let part = [self.byte.as_mut_ptr() as u64, 1];
        let header = [
            0_u64,
            0,
            part.as_ptr() as u64,
            1,
            self.control.as_mut_ptr() as u64,
            24,
            0,
        ];
        raw(call, &[socket, header.as_ptr() as u64, 0])
    }

    /// What came; 0 or less if none did.
    fn descriptor(&self) -> i64 {
        let [_, _, descriptor] = *self.control;
        let low = i64::try_from(descriptor & 0xffff_ffff).unwrap_or(-1);
        if low == 0 { -1 } else { low }
    }
}
