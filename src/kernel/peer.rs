//! Another process that runs already, named by a descriptor: who it is, and what can be set on it from outside.
//!
//! Files below /proc and most calls take a number, which may pass to another process. A [`Peer`] was opened before it was
//! looked at, and can tell afterwards whether the number still means it ([`Peer::is_there`]).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::stat::Stat;
use super::{Errno, Result, check_int, process};

/// A process.
#[derive(Debug)]
pub struct Peer {
    pid: i32,
    fd: OwnedFd,
    /// What it was when it was opened.
    pub stat: Stat,
    /// Its user ids: real, effective, saved, of the file system (proc_pid_status(5)).
    pub users: Vec<u32>,
    /// Whether the number is a process's, and not that of one of its further threads.
    pub leads: bool,
}

impl Peer {
    /// Opens it by its number, which is positive.
    ///
    /// # Errors
    /// ESRCH: there is none; else pidfd_open(2).
    pub fn open(pid: i32) -> Result<Self> {
        // A thread that is no leader is refused with EINVAL or ENOENT, depending on the kernel.
        let fd = process::open(pid)?;
        let stat = Stat::of(pid)?;
        let status = read(&format!("/proc/{pid}/status"))?;
        let peer = Self {
            pid,
            fd,
            stat,
            users: numbers(&status, "Uid:"),
            leads: numbers(&status, "Tgid:") == [pid.unsigned_abs()],
        };
        // What was read was this process's if it is still there.
        if peer.has_ended() && peer.stat.state != 'Z' {
            return Err(Errno::ESRCH);
        }
        Ok(peer)
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has ended; a zombie has.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut wanted = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut wanted, PollTimeout::ZERO) {
                Err(Errno::EINTR) => {}
                other => return other != Ok(0),
            }
        }
    }

    /// Whether the number still means this process: what was done to the number before this was asked was done to it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.has_ended() && Stat::of(self.pid).is_ok_and(|now| now.started == self.stat.started)
    }

    /// The text of its /proc/PID/cgroup.
    ///
    /// # Errors
    /// ESRCH: it has ended.
    pub fn groups(&self) -> Result<String> {
        read(&format!("/proc/{}/cgroup", self.pid))
    }

    /// Sets a resource limit, soft and hard; `None` is no limit (prlimit(2)).
    ///
    /// # Errors
    /// EPERM: the hard limit would rise, which needs CAP_SYS_RESOURCE, or the process is another user's.
    pub fn set_limit(&self, resource: u32, value: Option<u64>) -> Result<()> {
        let value = value.unwrap_or(libc::RLIM_INFINITY);
        let limit = libc::rlimit64 {
            rlim_cur: value,
            rlim_max: value,
        };
        let none = std::ptr::null_mut();
        // SAFETY: the structure lives through the call, and no old value is asked for.
        check_int(unsafe { libc::prlimit64(self.pid, resource as _, &raw const limit, none) })
            .map(drop)
    }

    /// The hard limit of a resource; `None` is no limit (prlimit(2)).
    ///
    /// # Errors
    /// EPERM: the process is another user's.
    pub fn hard_limit(&self, resource: u32) -> Result<Option<u64>> {
        let mut limit = libc::rlimit64 {
            rlim_cur: 0,
            rlim_max: 0,
        };
        let none = std::ptr::null();
        // SAFETY: the structure lives through the call, and no new value is given.
        check_int(unsafe { libc::prlimit64(self.pid, resource as _, none, &raw mut limit) })?;
        Ok((limit.rlim_max != libc::RLIM_INFINITY).then_some(limit.rlim_max))
    }

    /// The nice value of its first thread (getpriority(2)).
    ///
    /// # Errors
    /// ESRCH: it has ended.
    pub fn nice(&self) -> Result<i32> {
        Errno::clear();
        // SAFETY: plain integers.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, self.pid.unsigned_abs()) };
        match Errno::last_raw() {
            0 => Ok(nice),
            error => Err(Errno::from_raw(error)),
        }
    }

    /// Sets the nice value of all its threads, which each have their own (setpriority(2)).
    ///
    /// # Errors
    /// EACCES: it would fall, which needs CAP_SYS_NICE; EPERM: the process is another user's.
    pub fn set_nice(&self, value: i32) -> Result<()> {
        let mut done = Vec::new();
        // A thread that was made meanwhile was made by one with either value: until none is new.
        loop {
            let new: Vec<u32> = self
                .threads()?
                .into_iter()
                .filter(|thread| !done.contains(thread))
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            for thread in new {
                // SAFETY: plain integers.
                let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, value) };
                match check_int(set) {
                    // The thread has ended.
                    Ok(_) | Err(Errno::ESRCH) => done.push(thread),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn threads(&self) -> Result<Vec<u32>> {
        let entries = fs::read_dir(format!("/proc/{}/task", self.pid)).map_err(|e| errno(&e))?;
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// Its OOM score adjustment (proc_pid_oom_score_adj(5)).
    ///
    /// # Errors
    /// ESRCH: it has ended.
    pub fn oom_score_adjust(&self) -> Result<i32> {
        let text = read(&format!("/proc/{}/oom_score_adj", self.pid))?;
        text.trim().parse().map_err(|_| Errno::EIO)
    }

    /// Sets its OOM score adjustment.
    ///
    /// # Errors
    /// EACCES: it would fall, which needs CAP_SYS_RESOURCE, or the process is another user's.
    pub fn set_oom_score_adjust(&self, value: i32) -> Result<()> {
        let path = format!("/proc/{}/oom_score_adj", self.pid);
        fs::write(path, value.to_string()).map_err(|error| errno(&error))
    }

    /// Bytes of memory that it has in RAM (proc_pid_status(5), VmRSS).
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = read(&format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let kib = numbers(&status, "VmRSS:").first().copied().unwrap_or(0);
        u64::from(kib) * 1024
    }
}

/// All processes that /proc shows, with what their files say.
#[must_use]
pub fn all() -> Vec<(i32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Stat::of(pid).ok()?)))
        .collect()
}

/// The numbers in a line that begins with `name`.
fn numbers(text: &str, name: &str) -> Vec<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.unwrap_or_default().split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

fn read(path: &str) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| errno(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A process that is gone is missing from /proc, or answers ESRCH.
fn errno(error: &std::io::Error) -> Errno {
    match error.raw_os_error() {
        Some(libc::ENOENT) => Errno::ESRCH,
        Some(number) => Errno::from_raw(number),
        None => Errno::EIO,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_self_is_there_and_what_has_ended_is_not() {
        let own = i32::try_from(std::process::id()).unwrap();
        let peer = Peer::open(own).unwrap();
        assert!(peer.is_there() && peer.leads && !peer.stat.kernel);
        assert_eq!(peer.users.len(), 4);
        assert!(peer.resident() > 0);
        assert_eq!(peer.nice(), Ok(peer.nice().unwrap()));

        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let peer = Peer::open(pid).unwrap();
        assert_eq!(peer.set_limit(7, Some(9)), Ok(()));
        assert_eq!(peer.hard_limit(7), Ok(Some(9)));
        assert_eq!(peer.set_nice(5).and_then(|()| peer.nice()), Ok(5));
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !peer.has_ended() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // Dead and not yet waited for: a zombie, which can still be looked at.
        assert!(!peer.is_there());
        assert_eq!(Peer::open(pid).unwrap().stat.state, 'Z');
        child.wait().unwrap();
        assert_eq!(Peer::open(pid).map(drop), Err(Errno::ESRCH));
    }
}
