//! SEC: the filter of system calls, its gaps, and what it is there for.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;

use nix::sys::wait::WaitStatus;

use super::attempt::Control::{Anyone, Root, Sometimes};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{
    Attempt, Found, NONE, NOWHERE, any, at, attempt, done, in_child, raw, reached,
};
use super::namespaces::status;

const HERE: u64 = libc::AT_FDCWD as u64;

/// A call with arguments that the kernel refuses, if it looks at them.
macro_rules! call {
    ($id:literal, $what:literal, $control:expr, $number:expr, [$($argument:expr),*]) => {
        attempt($id, $what, $control, |_| reached($what, raw($number, &[$($argument),*])))
    };
}

pub const ALL: &[Attempt] = &[
    attempt("SEC-1", "run without a filter", Anyone, |_| {
        status("Seccomp:", |v| v == "0")
    }),
    attempt(
        "SEC-1 others",
        "a process inside without a filter",
        Anyone,
        |_| {
            let all = fs::read_dir("/proc").into_iter().flatten().flatten();
            let all = all.filter(|entry| {
                entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.parse::<u32>().is_ok())
            });
            any(all.map(|entry| {
                let text = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
                if text.lines().any(|line| line == "Seccomp:\t0") {
                    Escaped(format!("process {}", entry.file_name().to_string_lossy()))
                } else {
                    Held("all have one".to_owned())
                }
            }))
        },
    ),
    attempt(
        "SEC-2",
        "the 32-bit entry of the kernel (int 0x80)",
        Sometimes("x86 with 32-bit support"),
        |_| {
            // getpid, which every list allows.
            done("int 0x80", crate::support::foreign("20"))
        },
    ),
    attempt(
        "SEC-3",
        "a 32-bit program",
        Sometimes("x86 with 32-bit support"),
        |_| foreign_program(),
    ),
    attempt(
        "SEC-4",
        "x32 numbers",
        Sometimes("kernels with x32 only"),
        |_| done("x32 getpid", raw(0x4000_0000 | libc::SYS_getpid, &[])),
    ),
    attempt(
        "SEC-5",
        "an address family with bits above the 32nd",
        Anyone,
        |_| done("socket", raw(libc::SYS_socket, &[16 | 1 << 32, 3, 12])),
    ),
    attempt(
        "SEC-6",
        "trace a child, to change its calls after the check",
        Anyone,
        |_| traced_child(0),
    ),
    attempt(
        "SEC-7",
        "suspend a child's filter (PTRACE_O_SUSPEND_SECCOMP)",
        Sometimes("root, where the kernel has it"),
        |_| traced_child(1 << 21),
    ),
    attempt(
        "SEC-8",
        "io_uring",
        Sometimes("where kernel.io_uring_disabled is 0"),
        |_| {
            let parameters = [0_u64; 15];
            done(
                "io_uring_setup",
                raw(libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as u64]),
            )
        },
    ),
    call!(
        "SEC-9 open_tree",
        "open_tree",
        Anyone,
        libc::SYS_open_tree,
        [HERE, at(c"/nowhere"), 0]
    ),
    call!(
        "SEC-9 open_tree_attr",
        "open_tree_attr",
        Sometimes("Linux 6.15 and newer"),
        467,
        [HERE, at(c"/nowhere"), 0, 0, 0]
    ),
    call!(
        "SEC-9 mount_setattr",
        "mount_setattr",
        Root,
        libc::SYS_mount_setattr,
        [HERE, at(c"/nowhere"), 0, NOWHERE, 32]
    ),
    call!(
        "SEC-9 fspick",
        "fspick",
        Root,
        libc::SYS_fspick,
        [HERE, at(c"/nowhere"), 0]
    ),
    call!(
        "SEC-9 fsconfig",
        "fsconfig",
        Anyone,
        libc::SYS_fsconfig,
        [NONE, 99, 0, 0, 0]
    ),
    call!(
        "SEC-9 unknown",
        "a number that nobody has yet",
        Sometimes("a kernel from the future"),
        5000,
        []
    ),
    call!("SEC-12 bpf", "bpf", Root, libc::SYS_bpf, [0, NOWHERE, 8]),
    call!(
        "SEC-12 perf_event_open",
        "perf_event_open",
        Anyone,
        libc::SYS_perf_event_open,
        [NOWHERE, 0, 0, NONE, 0]
    ),
    attempt("SEC-12 userfaultfd", "userfaultfd", Anyone, |_| {
        done("userfaultfd", raw(libc::SYS_userfaultfd, &[1]))
    }),
    call!(
        "SEC-12 kexec",
        "kexec_load",
        Sometimes("root, where the kernel has it"),
        libc::SYS_kexec_load,
        [0, 10_000, NOWHERE, NONE]
    ),
    call!(
        "SEC-12 init_module",
        "init_module",
        Sometimes("root, where the kernel has it"),
        libc::SYS_init_module,
        [NOWHERE, 0, NOWHERE]
    ),
    call!(
        "SEC-12 finit_module",
        "finit_module",
        Sometimes("root, where the kernel has it"),
        libc::SYS_finit_module,
        [NONE, NOWHERE, 0]
    ),
    call!(
        "SEC-12 delete_module",
        "delete_module",
        Sometimes("root, where the kernel has it"),
        libc::SYS_delete_module,
        [at(c"no-such-module-here"), 0x800]
    ),
    call!(
        "SEC-12 swapon",
        "swapon",
        Root,
        libc::SYS_swapon,
        [at(c"/nowhere"), 0]
    ),
    call!(
        "SEC-12 reboot",
        "reboot",
        Root,
        libc::SYS_reboot,
        [0, 0, 0, 0]
    ),
    call!(
        "SEC-12 acct",
        "acct",
        Root,
        libc::SYS_acct,
        [at(c"/nowhere/at/all")]
    ),
    call!(
        "SEC-12 settimeofday",
        "settimeofday",
        Anyone,
        libc::SYS_settimeofday,
        [NOWHERE, 0]
    ),
    call!(
        "SEC-12 clock_settime",
        "clock_settime",
        Anyone,
        libc::SYS_clock_settime,
        [0, NOWHERE]
    ),
    call!(
        "SEC-12 quotactl",
        "quotactl",
        Anyone,
        libc::SYS_quotactl,
        [0x7f_ffff, at(c"/nowhere"), 0, NOWHERE]
    ),
    call!(
        "SEC-12 fanotify",
        "fanotify_init",
        Root,
        libc::SYS_fanotify_init,
        [0xffff_ffff, 0]
    ),
    call!(
        "SEC-12 syslog",
        "syslog",
        Sometimes("root, or where kernel.dmesg_restrict is 0"),
        libc::SYS_syslog,
        [10, 0, 0]
    ),
    #[cfg(target_arch = "x86_64")]
    call!(
        "SEC-12 iopl",
        "iopl",
        Sometimes("root, where the kernel has it"),
        libc::SYS_iopl,
        [99]
    ),
    #[cfg(target_arch = "x86_64")]
    call!(
        "SEC-12 modify_ldt",
        "modify_ldt",
        Sometimes("a kernel that has it"),
        libc::SYS_modify_ldt,
        [0, NOWHERE, 0]
    ),
    call!(
        "SEC-12 sethostname",
        "sethostname",
        Root,
        libc::SYS_sethostname,
        [NOWHERE, 100_000]
    ),
];

/// A child that is traced before it does anything.
fn traced_child(options: u64) -> Found {
    let child = raw(libc::SYS_getpid, &[]).and_then(|_| {
        // SAFETY: this process has one thread.
        unsafe { nix::unistd::fork() }
    });
    match child {
        Ok(nix::unistd::ForkResult::Child) => {
            super::attempt::rest(1000);
            // SAFETY: takes no pointer.
            unsafe { libc::_exit(0) }
        }
        Ok(nix::unistd::ForkResult::Parent { child }) => {
            let pid = u64::try_from(child.as_raw()).unwrap_or(0);
            let seized = raw(libc::SYS_ptrace, &[0x4206, pid, 0, options]);
            let _ = nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(child, None);
            done("ptrace", seized)
        }
        Err(errno) => Held(format!("fork: {errno:?}")),
    }
}

/// The smallest of its kind: it ends with 42.
fn foreign_program() -> Found {
    let mut image = Vec::new();
    let (base, header) = (0x0804_8000_u32, 84_u32);
    // mov eax, 1; mov ebx, 42; int 0x80
    let code = [0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80];
    let size = header + 12;
    image.extend(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2_u16, 3] {
        image.extend(half.to_le_bytes());
    }
    for word in [1, base + header, 52, 0, 0] {
        image.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 1, 40, 0, 0] {
        image.extend(half.to_le_bytes());
    }
    for word in [1, 0, base, base, size, size, 5, 0x1000] {
        image.extend(word.to_le_bytes());
    }
    image.extend(code);
    let Ok(file) = nix::sys::memfd::memfd_create(c"small", nix::sys::memfd::MFdFlags::empty())
    else {
        return Held("no memfd".to_owned());
    };
    let mut file = fs::File::from(file);
    if file.write_all(&image).is_err() {
        return Held("it cannot be written".to_owned());
    }
    let number = u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX);
    let ended = in_child(|| {
        let none = [0_u64];
        let _ = raw(
            libc::SYS_execveat,
            &[
                number,
                at(c""),
                none.as_ptr() as u64,
                none.as_ptr() as u64,
                0x1000,
            ],
        );
        1
    });
    match ended {
        Ok(WaitStatus::Exited(_, 42)) => Escaped("it ran".to_owned()),
        other => Held(format!("{other:?}")),
    }
}
