//! The probe `do DEED…`: many small attempts in one process, so that a case starts one
//! sandbox for all of them. A deed is words joined by `@`; each answers with a line
//! `DEED: ANSWER`, where the answer is `ok`, what was found, or the error's name.
//!
//! | deed                         | tries to                                             |
//! | ---------------------------- | ---------------------------------------------------- |
//! | `stat@P` `mode@P`            | find P; answers mode, owner and group                 |
//! | `list@P` `read@P`            | list or read P; answers the names or the text        |
//! | `open@P`                     | open P for reading, which devices refuse if nodev    |
//! | `write@P` `create@P`         | append a byte to P; make a new file                  |
//! | `mkdir@P` `unlink@P` `rmdir@P` | what they say                                      |
//! | `copy@A@B`                   | copy a file with its mode                            |
//! | `rename@A@B` `link@A@B` `symlink@TEXT@P` | what they say                            |
//! | `chmod@P` `exec@P`           | set P's mode to itself; run P                        |
//! | `bind@A@B` `tmpfs@P` `proc@P` `umount@P` `move@A@B` | mount or unmount              |
//! | `remount@P` `setattr@P`      | make the mount at P writable, by either way          |
//! | `below@P@NAME`               | read P/NAME in a copy of P's mount without others    |
//! | `mknod@P`                    | make a node of /dev/null's number                    |
//! | `truncate@P` `mkfifo@P`      | set P's length to its own; make a FIFO               |
//! | `connect@P` `ioctl@P`        | connect to a socket; ask a device whether it is a terminal |
//! | `map@P`                      | map P for execution                                  |
//! | `signal@PID`                 | look whether PID could be signalled                  |
//! | `pty`                        | open a pseudo-terminal of the sandbox's own          |
//! | `ns@KIND` `inode@P`          | answers the namespace's inode, P's inode             |
//! | `later@P@SECONDS`            | make P, and wait so long until it cannot be read     |
//! | `ids`                        | answers `UID GID GROUPS`                             |
//! | `status@KEY`                 | answers a line of /proc/self/status                  |
//! | `limit@NAME`                 | answers `SOFT HARD` of /proc/self/limits             |
//! | `trace@PID` `memory@PID`     | attach to a process; read its memory                 |
//! | `key@NAME` `bindport@N`      | find a key; listen on a port of lo and connect to it |
//! | `serve@N` `reach@N`          | greet whoever connects to a port of lo from now on; answers the greeting |
//! | `where` `wait@SECONDS`        | answers the working directory; waits                 |
//! | `call@NAME@ARG…`             | a system call, as the probe `syscall`                |

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::probe::{Answer, Refusal, system_call};

/// Tries all, one after the other.
pub fn run(deeds: &[&str]) -> Answer {
    for deed in deeds {
        let words: Vec<&str> = deed.split('@').collect();
        let answer = match attempt(&words) {
            Ok(text) if text.is_empty() => "ok".to_owned(),
            Ok(text) => text.trim_end().replace('\n', "\\n"),
            Err(Refusal::Errno(errno)) => format!("{errno:?}"),
            Err(Refusal::Usage(text)) => return Err(Refusal::Usage(format!("`{deed}`: {text}"))),
        };
        println!("{deed}: {answer}");
    }
    Ok(String::new())
}

fn attempt(words: &[&str]) -> Answer {
    let nothing: Option<&str> = None;
    let done = |()| String::new();
    match *words {
        ["stat", path] => Ok(fs::symlink_metadata(path).map(|_| String::new())?),
        ["mode", path] => {
            let found = fs::metadata(path)?;
            let mode = found.mode() & 0o7777;
            Ok(format!("{mode:04o} {} {}", found.uid(), found.gid()))
        }
        ["list", path] => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(format!("[{}]", names.join(" ")))
        }
        ["read", path] => {
            let mut text = Vec::new();
            fs::File::open(path)?.take(65536).read_to_end(&mut text)?;
            Ok(format!("`{}`", String::from_utf8_lossy(&text)))
        }
        ["open", path] => {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            Ok(fs::File::options()
                .read(true)
                .custom_flags(flags)
                .open(path)
                .map(|_| String::new())?)
        }
        ["write", path] => {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            let mut file = fs::File::options()
                .append(true)
                .custom_flags(flags)
                .open(path)?;
            Ok(file.write_all(b"x").map(done)?)
        }
        ["create", path] => {
            let mut options = fs::File::options();
            Ok(options
                .write(true)
                .create_new(true)
                .open(path)
                .map(|_| String::new())?)
        }
        ["copy", from, to] => Ok(fs::copy(from, to).map(|_| String::new())?),
        ["mkdir", path] => Ok(fs::create_dir(path).map(done)?),
        ["unlink", path] => Ok(fs::remove_file(path).map(done)?),
        ["rmdir", path] => Ok(fs::remove_dir(path).map(done)?),
        ["rename", from, to] => Ok(fs::rename(from, to).map(done)?),
        ["link", from, to] => Ok(fs::hard_link(from, to).map(done)?),
        ["symlink", text, path] => Ok(std::os::unix::fs::symlink(text, path).map(done)?),
        ["chmod", path] => {
            let mode = fs::symlink_metadata(path)?.mode() & 0o7777;
            Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode)).map(done)?)
        }
        ["exec", path] => {
            let status = std::process::Command::new(path).status()?;
            Ok(format!("{:?}", status.code()))
        }
        ["memfd", path] => {
            let name = c"program";
            // SAFETY: the name is a C string.
            let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
            if fd < 0 {
                return Err(Refusal::Errno(Errno::last()));
            }
            // SAFETY: a new descriptor that nobody else owns.
            let mut file = fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
            file.write_all(&fs::read(path)?)?;
            let status = std::process::Command::new(format!("/proc/self/fd/{fd}")).status()?;
            Ok(format!("{:?}", status.code()))
        }
        ["bind", from, to] => {
            Ok(mount(Some(from), to, nothing, MsFlags::MS_BIND, nothing).map(done)?)
        }
        ["tmpfs", path] => Ok(mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )
        .map(done)?),
        ["proc", path] => {
            Ok(mount(Some("proc"), path, Some("proc"), MsFlags::empty(), nothing).map(done)?)
        }
        ["umount", path] => Ok(umount2(path, MntFlags::MNT_DETACH).map(done)?),
        ["move", from, to] => {
            Ok(mount(Some(from), to, nothing, MsFlags::MS_MOVE, nothing).map(done)?)
        }
        ["remount", path] => {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            Ok(mount(nothing, path, nothing, flags, nothing).map(done)?)
        }
        ["setattr", path] => set_attributes(path),
        ["below", path, name] => below(path, name),
        ["mknod", path] => {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
            let number = nix::sys::stat::makedev(1, 3);
            let made = nix::sys::stat::mknod(path, nix::sys::stat::SFlag::S_IFCHR, mode, number);
            Ok(made.map(done)?)
        }
        ["truncate", path] => {
            let length = fs::symlink_metadata(path)?.len();
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            Ok(nix::unistd::truncate(path, length).map(done)?)
        }
        ["mkfifo", path] => {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            Ok(nix::unistd::mkfifo(path, mode).map(done)?)
        }
        ["connect", path] => Ok(match path.strip_prefix("abstract:") {
            Some(name) => {
                let address = SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&address).map(|_| String::new())?
            }
            None => UnixStream::connect(path).map(|_| String::new())?,
        }),
        ["ioctl", path] => {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            let device = fs::File::options()
                .read(true)
                .custom_flags(flags)
                .open(path)?;
            Ok(nix::sys::termios::tcgetattr(&device).map(|_| String::new())?)
        }
        ["map", path] => {
            let file = fs::File::open(path)?;
            // SAFETY: a new mapping that nobody uses.
            let at = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    1,
                    libc::PROT_READ | libc::PROT_EXEC,
                    libc::MAP_PRIVATE,
                    file.as_raw_fd(),
                    0,
                )
            };
            if at == libc::MAP_FAILED {
                return Err(Refusal::Errno(Errno::last()));
            }
            Ok(String::new())
        }
        ["signal", pid] => {
            let pid = nix::unistd::Pid::from_raw(number(pid)?);
            Ok(nix::sys::signal::kill(pid, None).map(done)?)
        }
        ["pty"] => {
            let pair = nix::pty::openpty(None, None)?;
            let mut writer = fs::File::from(pair.slave);
            writer.write_all(b"!")?;
            let mut byte = [0];
            fs::File::from(pair.master).read_exact(&mut byte)?;
            Ok(String::new())
        }
        ["ns", kind] => {
            let link = fs::read_link(format!("/proc/self/ns/{kind}"))?;
            Ok(link.to_string_lossy().into_owned())
        }
        ["inode", path] => Ok(fs::symlink_metadata(path)?.ino().to_string()),
        ["later", path, seconds] => {
            fs::write(path, "")?;
            let patience = u64::from(number(seconds)?.unsigned_abs());
            let until = Instant::now() + Duration::from_secs(patience);
            loop {
                match fs::read(path) {
                    Err(_) => break Ok("closed".to_owned()),
                    Ok(_) if Instant::now() > until => break Ok("seen".to_owned()),
                    Ok(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        }
        ["ids"] => {
            let groups = nix::unistd::getgroups()?;
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
            Ok(format!("{uid} {gid} [{}]", groups.join(" ")))
        }
        ["status", key] => line_of("/proc/self/status", key)
            .map(|rest| rest.trim_start_matches(':').trim().replace('\t', " ")),
        ["limit", name] => {
            let rest = line_of("/proc/self/limits", name)?;
            let words: Vec<&str> = rest.split_whitespace().take(2).collect();
            Ok(words.join(" "))
        }
        ["trace", pid] => {
            let pid = number(pid)?;
            // SAFETY: PTRACE_SEIZE reads and writes nothing of ours.
            let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) };
            Errno::result(seized)?;
            // SAFETY: takes no pointer.
            unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) };
            Ok(String::new())
        }
        ["memory", pid] => {
            let mut byte = 0_u8;
            let own = libc::iovec {
                iov_base: (&raw mut byte).cast(),
                iov_len: 1,
            };
            // Where a program without position-independent code has its header; any errno
            // but EFAULT says that nothing was looked at.
            let other = libc::iovec {
                iov_base: std::ptr::without_provenance_mut(0x40_0000),
                iov_len: 1,
            };
            // SAFETY: the local vector names one byte that outlives the call.
            let read = unsafe { libc::process_vm_readv(number(pid)?, &own, 1, &other, 1, 0) };
            Ok(Errno::result(read).map(|_| String::new())?)
        }
        ["key", name] => find_key(name),
        ["serve", port] => {
            let address = (std::net::Ipv4Addr::LOCALHOST, port.parse().unwrap_or(0));
            let listener = std::net::TcpListener::bind(address)?;
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let mut stream = stream;
                    let _ = stream.write_all(b"hello");
                }
            });
            Ok(String::new())
        }
        ["reach", port] => {
            let address = (std::net::Ipv4Addr::LOCALHOST, port.parse().unwrap_or(0));
            let mut text = String::new();
            std::net::TcpStream::connect(address)?.read_to_string(&mut text)?;
            Ok(text)
        }
        ["bindport", port] => {
            let listener = std::net::TcpListener::bind(format!("127.0.0.1:{port}"))?;
            drop(std::net::TcpStream::connect(listener.local_addr()?)?);
            Ok(String::new())
        }
        ["where"] => Ok(std::env::current_dir()?.display().to_string()),
        ["wait", seconds] => {
            let seconds = number(seconds)?.unsigned_abs();
            thread::sleep(Duration::from_secs(seconds.into()));
            Ok(String::new())
        }
        ["call", name, ref rest @ ..] => system_call(name, rest),
        _ => Err(Refusal::Usage("no such deed".to_owned())),
    }
}

fn number(text: &str) -> Result<i32, Refusal> {
    text.parse()
        .map_err(|_| Refusal::Usage(format!("`{text}` is no process")))
}

/// What follows `key` in a file of lines.
fn line_of(file: &str, key: &str) -> Answer {
    let text = fs::read_to_string(file)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key));
    Ok(rest.unwrap_or("absent").to_owned())
}

/// Clears read-only from the mount at `path` and all below.
fn set_attributes(path: &str) -> Answer {
    let path = std::ffi::CString::new(path).map_err(|e| Refusal::Usage(e.to_string()))?;
    let clear = [0_u64, 1 | 2 | 4 | 8, 0, 0]; // set, clear (ro, nosuid, nodev, noexec), propagation, userns
    // SAFETY: the path ends in NUL, and the structure has the 32 bytes that are given as its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            clear.as_ptr(),
            32_usize,
        )
    };
    Errno::result(result)?;
    Ok(String::new())
}

/// Reads a file in a detached copy of one mount, where nothing is mounted over it.
fn below(path: &str, name: &str) -> Answer {
    let path = std::ffi::CString::new(path).map_err(|e| Refusal::Usage(e.to_string()))?;
    // SAFETY: the path ends in NUL.
    let tree = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            path.as_ptr(),
            1 | libc::O_CLOEXEC, // OPEN_TREE_CLONE
        )
    };
    let tree = Errno::result(tree)?;
    let tree = i32::try_from(tree).map_err(|e| Refusal::Usage(e.to_string()))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    let tree = unsafe { OwnedFd::from_raw_fd(tree) };
    let file = format!("/proc/self/fd/{}/{name}", tree.as_raw_fd());
    Ok(format!("`{}`", fs::read_to_string(file)?))
}

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
const KEYCTL_SEARCH: i32 = 10;
const SESSION: i32 = -3;

fn find_key(name: &str) -> Answer {
    let name = std::ffi::CString::new(name).map_err(|e| Refusal::Usage(e.to_string()))?;
    // SAFETY: both strings end in NUL and outlive the call.
    let found = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_SEARCH,
            SESSION,
            c"user".as_ptr(),
            name.as_ptr(),
            0,
        )
    };
    Errno::result(found)?;
    Ok("found".to_owned())
}

/// The probe `with-key NAME PROGRAM…`: runs a program whose session keyring holds a key.
pub fn with_key(name: &str, program: &[&str]) -> Answer {
    let text = std::ffi::CString::new(name).map_err(|e| Refusal::Usage(e.to_string()))?;
    // SAFETY: a null name means a new, anonymous keyring.
    let joined = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<u8>(),
        )
    };
    Errno::result(joined)?;
    // SAFETY: both strings end in NUL; the payload has the length that is given.
    let added = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            text.as_ptr(),
            c"secret".as_ptr(),
            6,
            SESSION,
        )
    };
    Errno::result(added)?;
    run_program(program)
}

fn run_program(line: &[&str]) -> Answer {
    use std::os::unix::process::CommandExt;
    let [program, rest @ ..] = line else {
        return Err(Refusal::Usage("no program".to_owned()));
    };
    let error: io::Error = std::process::Command::new(program).args(rest).exec();
    Err(error.into())
}
