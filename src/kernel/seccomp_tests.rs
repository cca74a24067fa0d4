//! Filters against the real kernel: each case forks a child, which becomes an ordinary user, sets no_new_privs, installs
//! the filter and makes one call.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::{install, prepare, support};
use crate::bpf::{Action, Arch, Filter, Key, Program, Rule, compile};

fn program(default: &str, architectures: Vec<Arch>, rules: &[(&str, &str)]) -> Program {
    let rule = |(key, action): &(&str, &str)| Rule {
        key: Key::parse(key).unwrap(),
        action: Action::parse(action).unwrap(),
    };
    let rules = rules.iter().map(rule).collect();
    let filter = Filter {
        default: Action::parse(default).unwrap(),
        architectures,
        rules,
    };
    compile(&filter).unwrap().program
}

fn native() -> Vec<Arch> {
    vec![Arch::native().unwrap()]
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was made, or failed for a reason of its own; the value is 0 or the errno.
    Answer(Errno),
    Killed(Signal),
}

/// The errno of a raw call, 0 when it succeeded.
fn raw(number: i64, args: [u64; 3]) -> i32 {
    let [a, b, c] = args;
    // SAFETY: the calls made here read and write no memory of ours.
    let result = unsafe { libc::syscall(number, a, b, c) };
    if result < 0 { Errno::last_raw() } else { 0 }
}

/// Makes the call in a child, under the filter if there is one. The child allocates nothing: the test harness has threads.
fn end_of(filter: Option<&Program>, call: impl Fn() -> i32) -> End {
    let filter = filter.map(prepare);
    // SAFETY: the child makes system calls alone until it exits.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            raw(libc::SYS_setresuid, [65534; 3]);
            raw(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 0, 0]);
            // SAFETY: takes numbers only.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            let code = match filter.as_deref().map_or(Ok(()), install) {
                Ok(()) => call(),
                Err(_) => 255,
            };
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, 255) => panic!("the filter could not be installed"),
            WaitStatus::Exited(_, code) => End::Answer(Errno::from_raw(code)),
            WaitStatus::Signaled(_, signal, _) => End::Killed(signal),
            other => panic!("{other:?}"),
        },
    }
}

const MADE: End = End::Answer(Errno::UnknownErrno);

#[test]
fn this_kernel_has_what_filters_need() {
    let support = support();
    assert!(support.errno && support.kill_process && support.log && support.trap);
    assert!(
        support
            .lacks(&program(
                "kill",
                native(),
                &[("getppid", "trap"), ("read", "log")]
            ))
            .is_empty()
    );
    assert_eq!(
        super::Support::default()
            .lacks(&program("allow", native(), &[]))
            .len(),
        3
    );
}

#[test]
fn without_no_new_privs_an_ordinary_user_may_not_filter() {
    let filter = prepare(&program("allow", native(), &[]));
    // SAFETY: the child makes system calls alone until it exits.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            raw(libc::SYS_setresuid, [65534; 3]);
            let code = install(&filter).err().map_or(0, |errno| errno as i32);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(
                waitpid(child, None).unwrap(),
                WaitStatus::Exited(child, Errno::EACCES as i32)
            );
        }
    }
    assert_eq!(install(&[]), Err(Errno::EINVAL));
}

#[test]
fn each_action_is_what_the_kernel_does() {
    let getppid = || raw(libc::SYS_getppid, [0; 3]);
    for (action, end) in [
        ("allow", MADE),
        ("log", MADE),
        ("deny", End::Answer(Errno::EPERM)),
        ("EHWPOISON", End::Answer(Errno::EHWPOISON)),
        ("trap", End::Killed(Signal::SIGSYS)),
        ("kill", End::Killed(Signal::SIGSYS)),
    ] {
        assert_eq!(
            end_of(
                Some(&program("allow", native(), &[("getppid", action)])),
                getppid
            ),
            end,
            "{action}"
        );
    }
}

#[test]
fn an_allow_list_lets_the_rest_fail() {
    let filter = program(
        "EACCES",
        native(),
        &[("exit_group", "allow"), ("@timer", "allow")],
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_getppid, [0; 3])),
        End::Answer(Errno::EACCES)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_timer_delete, [77, 0, 0])),
        End::Answer(Errno::EINVAL)
    );
    // `timer_delete` of no timer is EINVAL from the kernel itself, so the call was made.
    assert_eq!(
        end_of(None, || raw(libc::SYS_timer_delete, [77, 0, 0])),
        End::Answer(Errno::EINVAL)
    );
}

/// CVE-2019-10063: the kernel takes 32 bits of the request, so must the filter.
#[test]
fn the_high_half_of_an_ioctl_request_hides_nothing() {
    let filter = program(
        "allow",
        native(),
        &[
            ("ioctl(_, TIOCSTI)", "EACCES"),
            ("ioctl(_, TIOCLINUX)", "EXDEV"),
        ],
    );
    let ioctl = |request: u64| move || raw(libc::SYS_ioctl, [u64::MAX, request, 0]);
    assert_eq!(
        end_of(None, ioctl(0x5412 | 1 << 32)),
        End::Answer(Errno::EBADF)
    );
    assert_eq!(
        end_of(Some(&filter), ioctl(0x5412)),
        End::Answer(Errno::EACCES)
    );
    assert_eq!(
        end_of(Some(&filter), ioctl(0x5412 | 1 << 32)),
        End::Answer(Errno::EACCES)
    );
    assert_eq!(
        end_of(Some(&filter), ioctl(0x541c | 0xffff_ffff << 32)),
        End::Answer(Errno::EXDEV)
    );
    assert_eq!(
        end_of(Some(&filter), ioctl(0x5413)),
        End::Answer(Errno::EBADF)
    );
}

#[test]
fn namespaces_are_told_by_their_bits() {
    let rules = [
        ("clone(&CLONE_NEWUSER|CLONE_NEWNS)", "EACCES"),
        ("unshare(&CLONE_NEWUSER)", "EXDEV"),
    ];
    let filter = program("allow", native(), &rules);
    let user = libc::CLONE_NEWUSER as u64;
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_clone, [user, 0, 0])),
        End::Answer(Errno::EACCES)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(
            libc::SYS_clone,
            [user | 1 << 40, 0, 0]
        )),
        End::Answer(Errno::EACCES)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(
            libc::SYS_unshare,
            [user | 0x200, 0, 0]
        )),
        End::Answer(Errno::EXDEV)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_unshare, [0x200, 0, 0])),
        MADE
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_clone3, [0, 0, 0])),
        End::Answer(Errno::ENOSYS)
    );
    // Without the filter the kernel looks at the (bad) arguments.
    assert_eq!(
        end_of(None, || raw(libc::SYS_clone3, [0, 0, 0])),
        End::Answer(Errno::EINVAL)
    );
}

#[test]
fn unknown_numbers_are_enosys_and_sockets_close_io_uring() {
    let filter = program("allow", native(), &[("socket(AF_NETLINK)", "EAFNOSUPPORT")]);
    assert_eq!(
        end_of(Some(&filter), || raw(9999, [0; 3])),
        End::Answer(Errno::ENOSYS)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(-1, [0; 3])),
        End::Answer(Errno::ENOSYS)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_io_uring_setup, [1, 0, 0])),
        End::Answer(Errno::ENOSYS)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_socket, [16, 3, 0])),
        End::Answer(Errno::EAFNOSUPPORT)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_socket, [1, 1, 0])),
        MADE
    );
}

/// A program near the limit, with trampolines, is one that the kernel takes.
#[test]
fn long_programs_are_taken() {
    let keys: Vec<_> = (0..560).map(|number| format!("socket({number})")).collect();
    let mut rules: Vec<_> = keys.iter().map(|key| (key.as_str(), "EACCES")).collect();
    let shown: Vec<_> = (0..500)
        .map(|number| format!("kill(_, {number})"))
        .collect();
    rules.extend(shown.iter().map(|key| (key.as_str(), "EXDEV")));
    let calls = Arch::native().unwrap().calls();
    let alternate: Vec<_> = calls
        .iter()
        .step_by(2)
        .map(|(_, name)| *name)
        .filter(|name| *name != "exit_group")
        .collect();
    rules.extend(
        alternate
            .iter()
            .filter(|name| !["socket", "kill", "getppid"].contains(name))
            .map(|name| (*name, "ENOTTY")),
    );
    let filter = program("allow", native(), &rules);
    assert!(
        filter.instructions().len() > 3500,
        "{}",
        filter.instructions().len()
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_socket, [559, 0, 0])),
        End::Answer(Errno::EACCES)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_kill, [0, 499, 0])),
        End::Answer(Errno::EXDEV)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_kill, [0, 500, 0])),
        End::Answer(Errno::EINVAL)
    );
    assert_eq!(
        end_of(Some(&filter), || raw(libc::SYS_getppid, [0; 3])),
        MADE
    );
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;

    use super::*;

    /// A call by the entrance of 32-bit programs.
    fn int80(number: u32, first: u32) -> i32 {
        let result: i32;
        // SAFETY: rbx is saved by hand, since the compiler keeps it; the calls made here touch no memory of ours.
        unsafe {
            asm!(
                "push rbx",
                "mov ebx, {first:e}",
                "int 0x80",
                "pop rbx",
                first = in(reg) first,
                inlateout("eax") number => result,
                in("ecx") 0,
                in("edx") 0,
                out("r8") _,
                out("r9") _,
                out("r10") _,
                out("r11") _,
            );
        }
        if result < 0 { -result } else { 0 }
    }

    /// Whether the kernel has the 32-bit entrance at all.
    fn has_int80() -> bool {
        let has = end_of(None, || int80(64, 0)) == MADE;
        if !has {
            eprintln!("skipped: this kernel has no 32-bit system calls");
        }
        has
    }

    #[test]
    fn x32_numbers_kill() {
        let filter = program("allow", native(), &[("getppid", "EACCES")]);
        assert_eq!(
            end_of(Some(&filter), || raw(
                0x4000_0000 | libc::SYS_getppid,
                [0; 3]
            )),
            End::Killed(Signal::SIGSYS)
        );
        assert_eq!(
            end_of(Some(&filter), || raw(0x4000_0000 | 520, [0; 3])),
            End::Killed(Signal::SIGSYS)
        );
        assert_eq!(
            end_of(Some(&filter), || raw(libc::SYS_getppid, [0; 3])),
            End::Answer(Errno::EACCES)
        );
    }

    #[test]
    fn a_foreign_architecture_kills() {
        if has_int80() {
            let filter = program("allow", native(), &[]);
            assert_eq!(
                end_of(Some(&filter), || int80(64, 0)),
                End::Killed(Signal::SIGSYS)
            );
        }
    }

    #[test]
    fn a_named_architecture_has_its_own_table() {
        if has_int80() {
            let rules = [
                ("getppid", "EACCES"),
                ("socket(AF_INET)", "EXDEV"),
                ("setuid", "ENOTTY"),
            ];
            let filter = program("allow", vec![Arch::X86_64, Arch::X86], &rules);
            assert_eq!(
                end_of(Some(&filter), || int80(64, 0)),
                End::Answer(Errno::EACCES)
            );
            // 110 is getppid on x86_64 and iopl on x86.
            assert_eq!(
                end_of(Some(&filter), || int80(110, 0)),
                end_of(None, || int80(110, 0))
            );
            assert_eq!(
                end_of(Some(&filter), || int80(359, 2)),
                End::Answer(Errno::EXDEV)
            );
            // socketcall, another entrance to socket
            assert_eq!(
                end_of(Some(&filter), || int80(102, 1)),
                End::Answer(Errno::ENOSYS)
            );
            // setuid32, another entrance to setuid
            assert_eq!(
                end_of(Some(&filter), || int80(213, 0)),
                End::Answer(Errno::ENOTTY)
            );
            assert_eq!(end_of(None, || int80(213, 65534)), MADE);
        }
    }
}
