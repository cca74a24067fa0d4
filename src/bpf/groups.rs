//! Groups of system calls. Names and contents follow `SystemCallFilter=` of systemd.exec(5), version 257 and later, so that
//! what administrators know holds here; `open_tree` is in `@mount` as in version 257 and in `@file-system` as in 258.
//! Groups of our own stand at the end. A name may be one that only an architecture unknown here has.

use std::collections::BTreeSet;

use super::Arch;

/// A group of calls.
#[derive(Debug)]
pub struct Group {
    /// Its name, `@` included.
    pub name: &'static str,
    /// What the calls do, in a few words.
    pub about: &'static str,
    /// Groups that it contains.
    pub includes: &'static [&'static str],
    calls: &'static str,
}

impl Group {
    /// The calls of the group itself and of those that it contains, in alphabetical order.
    pub fn members(&self) -> BTreeSet<&'static str> {
        let mut members = BTreeSet::new();
        self.each(&mut |call| {
            members.insert(call);
        });
        members
    }

    /// Hands over each of its calls, some more than once.
    pub(super) fn each(&self, take: &mut dyn FnMut(&'static str)) {
        self.calls.split_ascii_whitespace().for_each(&mut *take);
        if self.name == KNOWN {
            let tables = Arch::ALL.iter().flat_map(|arch| arch.calls());
            tables.for_each(|(_, name)| take(name));
        }
        for group in self.includes.iter().filter_map(|name| find(name)) {
            group.each(take);
        }
    }

    /// How many calls it has.
    pub(super) fn size(&self) -> usize {
        // Of its own it names each once.
        match self.includes.is_empty() {
            true => self.calls.split_ascii_whitespace().count(),
            false => self.members().len(),
        }
    }

    /// Whether a call is one of its.
    pub(super) fn has(&self, call: &str) -> bool {
        let mut found = false;
        self.each(&mut |member| found |= member == call);
        found
    }
}

const KNOWN: &str = "@known";
/// The group that names io_uring itself.
pub(super) const IO_URING: &str = "@io-uring";

/// All groups.
pub fn groups() -> impl Iterator<Item = &'static Group> + Clone {
    GROUPS.iter()
}

/// The group of that name, `@` included.
pub(super) fn find(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

const GROUPS: &[Group] = &[
    Group {
        name: "@default",
        about: "what nearly every program needs to run at all",
        includes: &["@sandbox"],
        calls: "arch_prctl brk cacheflush clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
            clock_nanosleep_time64 execve exit exit_group futex futex_time64 futex_waitv get_robust_list get_thread_area
            getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid
            getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getsid gettid gettimeofday getuid getuid32
            lsm_get_self_attr lsm_list_modules membarrier mmap mmap2 mprotect mseal munmap nanosleep pause prlimit64
            restart_syscall riscv_flush_icache riscv_hwprobe rseq rt_sigreturn sched_getaffinity sched_yield
            set_robust_list set_thread_area set_tid_address set_tls sigreturn time ugetrlimit uretprobe",
    },
    Group {
        name: "@aio",
        about: "asynchronous input and output, io_uring included",
        includes: &[],
        calls: "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit io_uring_enter
            io_uring_register io_uring_setup",
    },
    Group {
        name: "@basic-io",
        about: "reading, writing, seeking, duplicating and closing descriptors",
        includes: &[],
        calls: "_llseek close close_range dup dup2 dup3 llseek lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
            readv write writev",
    },
    Group {
        name: "@chown",
        about: "changing the owner of files",
        includes: &[],
        calls: "chown chown32 fchown fchown32 fchownat lchown lchown32",
    },
    Group {
        name: "@clock",
        about: "setting the system's clock",
        includes: &[],
        calls: "adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday",
    },
    Group {
        name: "@cpu-emulation",
        about: "what emulators of other processor modes use",
        includes: &[],
        calls: "modify_ldt subpage_prot switch_endian vm86 vm86old",
    },
    Group {
        name: "@debug",
        about: "tracing and performance counters",
        includes: &[],
        calls: "lookup_dcookie perf_event_open pidfd_getfd ptrace rtas s390_runtime_instr sys_debug_setcontext",
    },
    Group {
        name: "@file-system",
        about: "opening, creating, naming, removing and describing files",
        includes: &[],
        calls: "access chdir chmod close creat faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 fcntl fcntl64
            fgetxattr file_getattr file_setattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat fstatat64 fstatfs
            fstatfs64 ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch
            inotify_init inotify_init1 inotify_rm_watch lgetxattr link linkat listmount listxattr listxattrat llistxattr
            lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat newfstat newfstatat oldfstat oldlstat oldstat
            open open_tree openat openat2 readlink readlinkat removexattr removexattrat rename renameat renameat2 rmdir
            setxattr setxattrat stat stat64 statfs statfs64 statmount statx symlink symlinkat truncate truncate64 unlink
            unlinkat utime utimensat utimensat_time64 utimes",
    },
    Group {
        name: "@io-event",
        about: "waiting for events on descriptors",
        includes: &[],
        calls: "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
            epoll_wait_old eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select",
    },
    Group {
        name: "@ipc",
        about: "pipes, System V and POSIX message passing, shared memory",
        includes: &[],
        calls: "ipc memfd_create mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
            mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 process_madvise process_vm_readv
            process_vm_writev semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget",
    },
    Group { name: "@keyring", about: "the kernel's keyrings", includes: &[], calls: "add_key keyctl request_key" },
    Group {
        name: "@memlock",
        about: "locking memory",
        includes: &[],
        calls: "mlock mlock2 mlockall munlock munlockall",
    },
    Group {
        name: "@module",
        about: "loading and unloading kernel modules",
        includes: &[],
        calls: "delete_module finit_module init_module",
    },
    Group {
        name: "@mount",
        about: "mounting, unmounting and changing the root",
        includes: &[],
        calls: "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root
            umount umount2",
    },
    Group {
        name: "@network-io",
        about: "sockets, Unix ones included",
        includes: &[],
        calls: "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
            recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair",
    },
    Group {
        name: "@obsolete",
        about: "unusual, obsolete or never implemented calls",
        includes: &[],
        calls: "_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx prof profil
            putpmsg query_module security sgetmask ssetmask stime stty sysfs tuxcall ulimit uselib ustat vserver",
    },
    Group {
        name: "@pkey",
        about: "memory protection keys",
        includes: &[],
        calls: "pkey_alloc pkey_free pkey_mprotect",
    },
    Group {
        name: "@privileged",
        about: "what needs the capabilities of the superuser",
        includes: &["@chown", "@clock", "@module", "@raw-io", "@reboot", "@swap"],
        calls: "_sysctl acct bpf capset chroot fanotify_init fanotify_mark nfsservctl open_by_handle_at pivot_root quotactl
            quotactl_fd setdomainname setfsuid setfsuid32 setgroups setgroups32 sethostname setresuid setresuid32 setreuid
            setreuid32 setuid setuid32 vhangup",
    },
    Group {
        name: "@process",
        about: "making, running, signalling and waiting for processes, namespaces included",
        includes: &[],
        calls: "capget clone clone3 execveat fork getrusage kill pidfd_open pidfd_send_signal prctl rt_sigqueueinfo
            rt_tgsigqueueinfo setns swapcontext tgkill times tkill unshare vfork wait4 waitid waitpid",
    },
    Group {
        name: "@raw-io",
        about: "ports and buses without a driver",
        includes: &[],
        calls: "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write s390_pci_mmio_read s390_pci_mmio_write",
    },
    Group {
        name: "@reboot",
        about: "rebooting and starting another kernel",
        includes: &[],
        calls: "kexec_file_load kexec_load reboot",
    },
    Group {
        name: "@resources",
        about: "limits, priorities, scheduling and memory policies",
        includes: &[],
        calls: "ioprio_set mbind migrate_pages move_pages nice sched_setaffinity sched_setattr sched_setparam
            sched_setscheduler set_mempolicy set_mempolicy_home_node setpriority setrlimit",
    },
    Group {
        name: "@sandbox",
        about: "limiting oneself further",
        includes: &[],
        calls: "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    },
    Group {
        name: "@setuid",
        about: "changing user and group ids",
        includes: &[],
        calls: "setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32
            setreuid setreuid32 setuid setuid32",
    },
    Group {
        name: "@signal",
        about: "handling signals",
        includes: &[],
        calls: "rt_sigaction rt_sigpending rt_sigprocmask rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigaction
            sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigsuspend",
    },
    Group { name: "@swap", about: "swap devices", includes: &[], calls: "swapoff swapon" },
    Group {
        name: "@sync",
        about: "writing files and memory back to storage",
        includes: &[],
        calls: "fdatasync fsync msync sync sync_file_range sync_file_range2 syncfs",
    },
    Group {
        name: "@system-service",
        about: "what a usual service needs",
        includes: &[
            "@aio",
            "@basic-io",
            "@chown",
            "@default",
            "@file-system",
            "@io-event",
            "@ipc",
            "@keyring",
            "@memlock",
            "@network-io",
            "@process",
            "@resources",
            "@setuid",
            "@signal",
            "@sync",
            "@timer",
        ],
        calls: "arm_fadvise64_64 capget capset copy_file_range fadvise64 fadvise64_64 flock get_mempolicy getcpu getpriority
            ioctl ioprio_get kcmp madvise mremap name_to_handle_at oldolduname olduname personality readahead readdir
            remap_file_pages sched_get_priority_max sched_get_priority_min sched_getattr sched_getparam sched_getscheduler
            sched_rr_get_interval sched_rr_get_interval_time64 sched_yield sendfile sendfile64 setfsgid setfsgid32 setfsuid
            setfsuid32 setpgid setsid splice sysinfo tee umask uname userfaultfd vmsplice",
    },
    Group {
        name: "@timer",
        about: "timers",
        includes: &[],
        calls: "alarm getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
            timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
            times",
    },
    Group { name: KNOWN, about: "every call known here", includes: &["@obsolete"], calls: "" },
    // Ours.
    Group {
        name: IO_URING,
        about: "io_uring, which does files and sockets without a system call that a filter could see",
        includes: &[],
        calls: "io_uring_enter io_uring_register io_uring_setup",
    },
    Group {
        name: "@new-mount-api",
        about: "the mount interface by descriptors, with the calls that only read mounts (CVE-2021-41133)",
        includes: &[],
        calls: "fsconfig fsmount fsopen fspick listmount mount_setattr move_mount open_tree open_tree_attr statmount",
    },
    Group {
        name: "@file-handles",
        about: "opening files by handle, past the directories that hide them",
        includes: &[],
        calls: "name_to_handle_at open_by_handle_at",
    },
    Group {
        name: "@cross-process",
        about: "reading and writing another process's memory and descriptors",
        includes: &[],
        calls: "kcmp pidfd_getfd process_madvise process_mrelease process_vm_readv process_vm_writev ptrace",
    },
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::{GROUPS, find};
    use crate::bpf::Arch;

    /// Names of systemd's groups that none of our three tables has, and why.
    const ELSEWHERE: &[(&str, &str)] = &[
        ("arm_fadvise64_64", "32-bit Arm"),
        ("break", "i386, never implemented and in no table"),
        ("cacheflush", "32-bit Arm, MIPS"),
        ("llseek", "another name of lseek or _llseek"),
        ("newfstat", "another name of fstat"),
        ("pciconfig_iobase", "32-bit Arm, PowerPC"),
        ("pciconfig_read", "32-bit Arm, PowerPC"),
        ("pciconfig_write", "32-bit Arm, PowerPC"),
        ("recv", "32-bit Arm, MIPS; socketcall elsewhere"),
        ("send", "32-bit Arm, MIPS; socketcall elsewhere"),
        ("riscv_flush_icache", "RISC-V"),
        ("riscv_hwprobe", "RISC-V"),
        ("rtas", "PowerPC"),
        ("s390_pci_mmio_read", "s390"),
        ("s390_pci_mmio_write", "s390"),
        ("s390_runtime_instr", "s390"),
        ("set_tls", "32-bit Arm, private"),
        ("subpage_prot", "PowerPC"),
        ("swapcontext", "PowerPC"),
        ("switch_endian", "PowerPC"),
        ("sync_file_range2", "PowerPC, 32-bit Arm"),
        ("sys_debug_setcontext", "PowerPC"),
    ];

    #[test]
    fn every_name_is_a_call_somewhere() {
        let elsewhere: BTreeSet<_> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
        let all: BTreeSet<_> = GROUPS.iter().flat_map(|group| group.members()).collect();
        let unknown: BTreeSet<_> = all
            .into_iter()
            .filter(|name| !Arch::ALL.iter().any(|arch| arch.number(name).is_some()))
            .collect();
        assert_eq!(unknown, elsewhere);
    }

    #[test]
    fn groups_are_well_formed() {
        let names: BTreeSet<_> = GROUPS.iter().map(|group| group.name).collect();
        assert_eq!(names.len(), GROUPS.len());
        for group in GROUPS {
            assert!(group.name.starts_with('@') && !group.about.is_empty());
            assert!(
                group.includes.iter().all(|name| names.contains(name)),
                "{}",
                group.name
            );
            let own: Vec<_> = group.calls.split_ascii_whitespace().collect();
            assert!(
                own.is_sorted_by(|left, right| left < right),
                "{}",
                group.name
            );
            assert!(!group.members().is_empty());
        }
        for name in "@default @aio @basic-io @chown @clock @cpu-emulation @debug @file-system @io-event @ipc @keyring @known
            @memlock @module @mount @network-io @obsolete @pkey @privileged @process @raw-io @reboot @resources @sandbox
            @setuid @signal @swap @sync @system-service @timer"
            .split_ascii_whitespace()
        {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn members_include_those_of_inner_groups() {
        let service = find("@system-service").unwrap().members();
        assert!(
            service.contains("seccomp") && service.contains("read") && service.contains("ioctl")
        );
        assert!(!service.contains("mount"));
        assert!(find("@known").unwrap().members().contains("file_setattr"));
        assert!(
            find("@mount").unwrap().members().len() < find("@file-system").unwrap().members().len()
        );
    }
}
