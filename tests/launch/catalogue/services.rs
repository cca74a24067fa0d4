//! IPC, NET and ENV: what listens outside, what is shared with programs outside, and what is inherited from the caller.

use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use super::attempt::Control::{Anyone, Root, Sometimes};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{Attempt, Found, NOWHERE, any, at, attempt, done, errno_of, raw, reached};
use super::namespaces::status;

macro_rules! socket {
    ($id:literal, $what:literal, $name:literal) => {
        attempt($id, concat!("reach ", $what), Anyone, |bait| {
            connects(&format!("{}/{}", bait.get("run"), $name))
        })
    };
}

macro_rules! family {
    ($id:literal, $what:literal, $control:expr, $arguments:expr) => {
        attempt($id, concat!("open a socket: ", $what), $control, |_| {
            done("socket", raw(libc::SYS_socket, &$arguments))
        })
    };
}

macro_rules! variable {
    ($id:literal, $what:literal, [$($name:literal),+]) => {
        attempt($id, $what, Anyone, |_| any([$($name),+].map(|name| match std::env::var(name) {
            Ok(_) => Escaped(format!("{name} is set")),
            Err(_) => Held("not set".to_owned()),
        })))
    };
}

pub const ALL: &[Attempt] = &[
    attempt(
        "IPC-1 manager",
        "reach the user's service manager",
        Anyone,
        |bait| connects(bait.get("manager")),
    ),
    attempt("IPC-1 bus", "reach the session bus", Anyone, |bait| {
        let path = bait.get("bus");
        // What filters the bus for a sandbox may stand in its place.
        match super::lair::identity(path) == bait.get("bus-identity") {
            true => connects(path),
            false => Held(format!("{path} is another, or none")),
        }
    }),
    attempt(
        "IPC-2",
        "reach sockets of the system (/run)",
        Root,
        |bait| connects(bait.get("system-socket")),
    ),
    socket!("IPC-3", "a container engine", "docker.sock"),
    attempt(
        "IPC-4",
        "reach the X server by its path",
        Sometimes("where /tmp/.X11-unix can be written"),
        |bait| connects(bait.get("x11")),
    ),
    attempt(
        "IPC-4 abstract",
        "reach the X server by its abstract name",
        Anyone,
        |bait| abstracted(bait.get("x11-abstract")),
    ),
    socket!("IPC-5", "the Wayland compositor", "wayland-0"),
    socket!("IPC-6", "the sound server", "pulse/native"),
    socket!(
        "IPC-6 pipewire",
        "cameras and screens (PipeWire)",
        "pipewire-0"
    ),
    socket!("IPC-7", "the agent of GnuPG", "gnupg/S.gpg-agent"),
    attempt("IPC-7 ssh", "reach the agent of SSH", Anyone, |bait| {
        connects(bait.get("agent"))
    }),
    attempt("IPC-8", "reach an abstract socket", Anyone, |bait| {
        abstracted(bait.get("abstract"))
    }),
    attempt(
        "IPC-9",
        "attach shared memory of the host (System V)",
        Anyone,
        |bait| {
            done(
                "shmat",
                raw(libc::SYS_shmat, &[bait.number("shmid"), 0, 0o10000]),
            )
        },
    ),
    attempt(
        "IPC-9 queue",
        "open a message queue of the host (POSIX)",
        Anyone,
        |bait| {
            let name = std::ffi::CString::new(bait.get("queue")).unwrap_or_default();
            done("mq_open", raw(libc::SYS_mq_open, &[at(&name), 0, 0, 0]))
        },
    ),
    attempt(
        "IPC-10",
        "read a key of the caller's session",
        Sometimes("where the kernel has keys"),
        |_| {
            let found = raw(
                libc::SYS_keyctl,
                &[10, 3_u64.wrapping_neg(), at(c"user"), at(c"bait"), 0],
            );
            done("keyctl", found)
        },
    ),
    attempt(
        "IPC-10 add",
        "make a key (add_key)",
        Sometimes("where the kernel has keys"),
        |_| {
            reached(
                "add_key",
                raw(libc::SYS_add_key, &[NOWHERE, NOWHERE, 0, 0, 0]),
            )
        },
    ),
    attempt(
        "IPC-10 request",
        "have the kernel run the key helper (request_key)",
        Sometimes("where the kernel has keys"),
        |_| {
            reached(
                "request_key",
                raw(libc::SYS_request_key, &[NOWHERE, NOWHERE, 0, 0]),
            )
        },
    ),
    attempt("NET-1", "reach a service on 127.0.0.1", Anyone, |bait| {
        connects_tcp(&format!("127.0.0.1:{}", bait.get("port")))
    }),
    attempt(
        "NET-1 v6",
        "reach a service on ::1",
        Sometimes("where there is IPv6"),
        |bait| connects_tcp(&format!("[::1]:{}", bait.get("port6"))),
    ),
    attempt(
        "NET-1 mapped",
        "reach a service on ::ffff:127.0.0.1",
        Sometimes("where there is IPv6"),
        |bait| connects_tcp(&format!("[::ffff:127.0.0.1]:{}", bait.get("port"))),
    ),
    attempt(
        "NET-1 udp",
        "reach a service on 127.0.0.1 by UDP",
        Anyone,
        |bait| {
            let asked = UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
                socket.set_read_timeout(Some(Duration::from_millis(300)))?;
                socket.send_to(b"?", format!("127.0.0.1:{}", bait.get("udp")))?;
                let mut answer = [0; 16];
                socket.recv(&mut answer)
            });
            done("an answer", asked.map_err(|error| errno_of(&error)))
        },
    ),
    family!("NET-3 packet", "packets (AF_PACKET)", Root, [17, 3, 0x0300]),
    family!("NET-3 raw", "raw IP", Root, [2, 3, 1]),
    family!(
        "NET-4",
        "the hypervisor (AF_VSOCK)",
        Sometimes("where the kernel has it"),
        [40, 1, 0]
    ),
    family!(
        "NET-5 netfilter",
        "the firewall (netlink)",
        Anyone,
        [16, 3, 12]
    ),
    family!(
        "NET-5 xfrm",
        "IPsec (netlink)",
        Sometimes("where the kernel has it"),
        [16, 3, 6]
    ),
    family!(
        "NET-5 uevent",
        "what is plugged in (netlink)",
        Anyone,
        [16, 3, 15]
    ),
    family!(
        "NET-5 audit",
        "audit (netlink)",
        Sometimes("where the kernel has it"),
        [16, 3, 9]
    ),
    family!(
        "NET-5 diag",
        "other sockets (netlink)",
        Sometimes("where the kernel has it"),
        [16, 3, 4]
    ),
    family!(
        "NET-5 generic",
        "all others of netlink",
        Anyone,
        [16, 3, 16]
    ),
    family!(
        "NET-6 crypto",
        "kernel cryptography (AF_ALG)",
        Sometimes("where the kernel has it"),
        [38, 5, 0]
    ),
    family!(
        "NET-6 bluetooth",
        "Bluetooth",
        Sometimes("where the kernel has it"),
        [31, 3, 0]
    ),
    family!(
        "NET-6 can",
        "CAN",
        Sometimes("where the kernel has it"),
        [29, 3, 1]
    ),
    family!(
        "NET-6 xdp",
        "AF_XDP",
        Sometimes("where the kernel has it"),
        [44, 3, 0]
    ),
    family!(
        "NET-6 tipc",
        "TIPC",
        Sometimes("where the kernel has it"),
        [30, 1, 0]
    ),
    attempt(
        "NET-6 any",
        "open a socket of any other family",
        Sometimes("where modules need not be loaded for long"),
        |_| {
            let usual = [1, 2, 10, 16];
            any((3..46)
                .filter(|family| !usual.contains(family))
                .flat_map(|family| {
                    [1, 2, 3, 5].map(|kind| {
                        done(
                            &format!("family {family}"),
                            raw(libc::SYS_socket, &[family, kind, 0]),
                        )
                    })
                })
                .chain([done("netlink", raw(libc::SYS_socket, &[16, 3, 16]))]))
        },
    ),
    attempt(
        "NET-6 pair",
        "make a pair of another family (socketpair)",
        Anyone,
        |_| {
            // Of a family that is there and knows no pairs.
            match raw(libc::SYS_socketpair, &[16, 3, 0, NOWHERE]) {
                Err(nix::errno::Errno::EAFNOSUPPORT) => Held("EAFNOSUPPORT".to_owned()),
                other => reached("socketpair", other),
            }
        },
    ),
    variable!(
        "ENV-1",
        "secrets in the environment, by a usual name",
        ["BAIT_TOKEN"]
    ),
    variable!(
        "ENV-1 other",
        "secrets in the environment, by an unusual name",
        ["BAIT_THING"]
    ),
    variable!(
        "ENV-2 loader",
        "variables that load code (LD_*, GCONV_PATH)",
        ["LD_LIBRARY_PATH", "GCONV_PATH", "LD_BIND_NOT"]
    ),
    variable!(
        "ENV-2 shell",
        "variables that run code in shells",
        ["BASH_ENV", "ENV"]
    ),
    attempt("ENV-3", "addresses of services", Anyone, |bait| {
        let set = |name: &str| match std::env::var(name) {
            Ok(_) => Escaped(format!("{name} is set")),
            Err(_) => Held("not set".to_owned()),
        };
        let others = [
            "SSH_AUTH_SOCK",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "DOCKER_HOST",
        ];
        let bus = "DBUS_SESSION_BUS_ADDRESS";
        let address = std::env::var(bus).unwrap_or_default();
        let socket = address.strip_prefix("unix:path=").unwrap_or_default();
        let found = super::lair::identity(socket);
        // That of a bus which is the sandbox's own leads nowhere else.
        let own = found != "none" && found != bait.get("bus-identity");
        any(others.map(set).into_iter().chain((!own).then(|| set(bus))))
    }),
    attempt(
        "ENV-6",
        "start with signals ignored by the caller",
        Anyone,
        |_| {
            status("SigIgn:", |hex| {
                // SIGUSR1, which the caller ignores.
                u64::from_str_radix(hex, 16).unwrap_or(0) & (1 << 9) != 0
            })
        },
    ),
];

/// Whatever comes of it: a connection at all.
fn connects(path: &str) -> Found {
    match UnixStream::connect(path) {
        Ok(_) => Escaped(format!("{path} is reached")),
        Err(error) => Held(format!("{path}: {:?}", errno_of(&error))),
    }
}

fn connects_tcp(address: &str) -> Found {
    let Ok(parsed) = address.parse() else {
        return Held("nobody listens".to_owned());
    };
    match TcpStream::connect_timeout(&parsed, Duration::from_millis(500)) {
        Ok(_) => Escaped(format!("{address} is reached")),
        Err(error) => Held(format!("{address}: {:?}", errno_of(&error))),
    }
}

/// Connects to a socket without a file.
pub fn abstract_stream(name: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
}

fn abstracted(name: &str) -> Found {
    match abstract_stream(name) {
        Ok(_) => Escaped(format!("@{name} is reached")),
        Err(error) => Held(format!("{:?}", errno_of(&error))),
    }
}
