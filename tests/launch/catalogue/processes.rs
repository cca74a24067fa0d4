//! PRC: processes of the host, and the launcher's own inside.

use std::fs;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::attempt::Control::{Anyone, Root, Sometimes};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{Attempt, Bait, Found, SECRET, any, attempt, done, opens, owned, raw, reads};

const PTRACE_SEIZE: u64 = 0x4206;

pub const ALL: &[Attempt] = &[
    attempt("PRC-1", "see processes of the host", Anyone, |bait| {
        reads(format!("/proc/{}/cmdline", bait.get("victim")))
    }),
    attempt("PRC-2", "trace a process of the host", Anyone, |bait| {
        seize(bait.number("victim"))
    }),
    attempt(
        "PRC-3",
        "read the memory of a process of the host",
        Anyone,
        |bait| {
            let mut byte = 0_u8;
            let own = libc::iovec {
                iov_base: (&raw mut byte).cast(),
                iov_len: 1,
            };
            let other = libc::iovec {
                iov_base: std::ptr::without_provenance_mut(0x1000),
                iov_len: 1,
            };
            let (own, other) = ((&raw const own) as u64, (&raw const other) as u64);
            match raw(
                libc::SYS_process_vm_readv,
                &[bait.number("victim"), own, 1, other, 1, 0],
            ) {
                Err(nix::errno::Errno::EFAULT) => {
                    Escaped("allowed, at an address where nothing is".to_owned())
                }
                other => done("process_vm_readv", other),
            }
        },
    ),
    attempt(
        "PRC-3 file",
        "the same through /proc/PID/mem",
        Anyone,
        |bait| opens(format!("/proc/{}/mem", bait.get("victim")), false),
    ),
    attempt(
        "PRC-4",
        "take a descriptor of a process of the host (pidfd_getfd)",
        Anyone,
        |bait| {
            let process = raw(libc::SYS_pidfd_open, &[bait.number("victim"), 0]);
            match process.map(owned) {
                Ok(Some(process)) => {
                    use std::os::fd::AsRawFd;
                    let number = u64::try_from(process.as_raw_fd()).unwrap_or(u64::MAX);
                    done("pidfd_getfd", raw(libc::SYS_pidfd_getfd, &[number, 1, 0]))
                }
                other => Held(format!("pidfd_open: {other:?}")),
            }
        },
    ),
    attempt("PRC-5", "signal a process of the host", Anyone, |bait| {
        let pid = i32::try_from(bait.number("victim")).unwrap_or(i32::MAX);
        done("kill", kill(Pid::from_raw(pid), None))
    }),
    attempt("PRC-5 pidfd", "the same by descriptor", Anyone, |bait| {
        let process = raw(libc::SYS_pidfd_open, &[bait.number("victim"), 0]);
        done("pidfd_open", process).and(|| {
            let number = raw(libc::SYS_pidfd_open, &[bait.number("victim"), 0]).unwrap_or(-1);
            done(
                "pidfd_send_signal",
                raw(
                    libc::SYS_pidfd_send_signal,
                    &[number.cast_unsigned(), 0, 0, 0],
                ),
            )
        })
    }),
    attempt(
        "PRC-6",
        "change the resource limits of a process of the host",
        Anyone,
        |bait| {
            let mut limit = [0_u64; 2];
            let victim = bait.number("victim");
            let read = raw(
                libc::SYS_prlimit64,
                &[victim, 7, 0, limit.as_mut_ptr() as u64],
            );
            match read {
                Ok(_) => done(
                    "prlimit64",
                    raw(libc::SYS_prlimit64, &[victim, 7, limit.as_ptr() as u64, 0]),
                ),
                Err(errno) => Held(format!("prlimit64: {errno:?}")),
            }
        },
    ),
    attempt(
        "PRC-6 affinity",
        "move a process of the host to another processor",
        Anyone,
        |bait| {
            let mut set = [0_u64; 16];
            let victim = bait.number("victim");
            match raw(
                libc::SYS_sched_getaffinity,
                &[victim, 128, set.as_mut_ptr() as u64],
            ) {
                Ok(_) => done(
                    "sched_setaffinity",
                    raw(
                        libc::SYS_sched_setaffinity,
                        &[victim, 128, set.as_ptr() as u64],
                    ),
                ),
                Err(errno) => Held(format!("sched_getaffinity: {errno:?}")),
            }
        },
    ),
    attempt(
        "PRC-6 priority",
        "change the priority of a process of the host",
        Anyone,
        |bait| {
            done(
                "setpriority",
                raw(libc::SYS_setpriority, &[0, bait.number("victim"), 10]),
            )
        },
    ),
    attempt(
        "PRC-6 compare",
        "compare a process of the host with oneself (kcmp)",
        Anyone,
        |bait| {
            let own = u64::from(std::process::id());
            let files = 2;
            done(
                "kcmp",
                raw(libc::SYS_kcmp, &[own, bait.number("victim"), files, 0, 0]),
            )
        },
    ),
    attempt(
        "PRC-7",
        "/proc/PID/root and cwd of others as a way to their files",
        Anyone,
        |bait| {
            let id = bait.home(".ssh/id");
            any(others(bait)
                .into_iter()
                .flat_map(|pid| {
                    [
                        format!("/proc/{pid}/root{id}"),
                        format!("/proc/{pid}/cwd/../.ssh/id"),
                        format!("/proc/{pid}/cwd{id}"),
                    ]
                })
                .map(reads))
        },
    ),
    attempt(
        "PRC-8",
        "secrets in the environment of others (/proc/PID/environ)",
        Anyone,
        |bait| {
            any(others(bait)
                .into_iter()
                .map(|pid| reads(format!("/proc/{pid}/environ"))))
        },
    ),
    attempt(
        "PRC-8 cmdline",
        "secrets in the command line of others",
        Anyone,
        |bait| {
            any(others(bait)
                .into_iter()
                .map(|pid| reads(format!("/proc/{pid}/cmdline"))))
        },
    ),
    attempt(
        "PRC-9",
        "trace the supervisor or another process that is less confined",
        Anyone,
        |bait| any(others(bait).into_iter().map(|pid| seize(u64::from(pid)))),
    ),
    attempt(
        "PRC-9 memory",
        "write to the supervisor's memory (/proc/PID/mem)",
        Anyone,
        |bait| {
            any(others(bait)
                .into_iter()
                .map(|pid| opens(format!("/proc/{pid}/mem"), true)))
        },
    ),
    attempt(
        "PRC-10",
        "overwrite the launcher through /proc/PID/exe",
        Root,
        |bait| {
            any(others(bait)
                .into_iter()
                .map(|pid| opens(format!("/proc/{pid}/exe"), true)))
        },
    ),
    attempt(
        "PRC-10 path",
        "overwrite the launcher's own programs by their path",
        Sometimes("for whom they belong to"),
        // One that is not running: the kernel would look at that first.
        |bait| opens(format!("{}ctl", bait.get("launcher")), true),
    ),
    Attempt {
        id: "LIF-1",
        what: "live on in a session of one's own after the end",
        control: Anyone,
        run: |_| {
            let forked = super::attempt::in_child(|| {
                let _ = nix::unistd::setsid();
                // SAFETY: this process has one thread.
                if let Ok(nix::unistd::ForkResult::Child) = unsafe { nix::unistd::fork() } {
                    let _ = nix::sys::prctl::set_name(c"bait-daemon");
                    for number in 0..64 {
                        let _ = nix::unistd::close(number);
                    }
                    super::attempt::rest(20_000);
                }
                0
            });
            done("a daemon", forked.map(|_| ()))
        },
        after: Some(|_| {
            // An end takes a moment.
            super::attempt::rest(30);
            let mut found = None;
            for pid in fs::read_dir("/proc").into_iter().flatten().flatten() {
                let Some(number) = pid
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<i32>().ok())
                else {
                    continue;
                };
                if fs::read_to_string(pid.path().join("comm"))
                    .is_ok_and(|name| name.trim() == "bait-daemon")
                {
                    let _ = kill(Pid::from_raw(number), nix::sys::signal::Signal::SIGKILL);
                    // Whose parent has ended is ours, at least in tests.
                    let _ = nix::sys::wait::waitpid(Pid::from_raw(number), None);
                    found = Some(format!("process {number} lives"));
                }
            }
            found
        }),
    },
];

/// All that are seen, but the ones that try: first whoever is process 1.
pub fn others(bait: &Bait) -> Vec<u32> {
    let own = [std::process::id(), std::os::unix::process::parent_id()];
    let mut all = vec![1];
    all.extend(u32::try_from(bait.number("victim")));
    let seen = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut seen: Vec<u32> = seen
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    seen.sort_unstable_by(|a, b| b.cmp(a));
    all.extend(seen.into_iter().take(60));
    all.retain(|pid| !own.contains(pid));
    all
}

fn seize(pid: u64) -> Found {
    let seized = raw(libc::SYS_ptrace, &[PTRACE_SEIZE, pid, 0, 0]);
    if seized.is_ok() {
        // It goes on when its tracer ends, which is at once.
        return Escaped(format!("process {pid} is traced"));
    }
    done(&format!("ptrace {pid}"), seized)
}

impl Found {
    /// If this worked, what comes next.
    pub fn and(self, next: impl FnOnce() -> Found) -> Found {
        match self {
            Escaped(_) => next(),
            Held(text) => Held(text),
        }
    }
}

/// The probe `victim`: a process of the host that lets itself be traced, and has a secret everywhere.
pub fn victim() -> crate::support::Answer {
    // SAFETY: takes no pointer: anybody may trace this one, where Yama asks.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::MAX, 0, 0, 0) };
    println!("ready {}", SECRET.len());
    std::thread::sleep(std::time::Duration::from_secs(600));
    Ok(String::new())
}
