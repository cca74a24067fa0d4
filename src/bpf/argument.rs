//! Which arguments of which calls a rule may test, and the tests themselves.

use std::fmt;

use crate::inline::Short;

/// What an argument is, as far as a filter can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number of which the kernel uses 32 bits, or flags that all lie there: the low half is compared, so that the high
    /// half cannot hide it (CVE-2019-10063).
    Int32,
    /// A number of which the kernel uses all bits.
    Int64,
    /// File mode bits, of which the kernel uses 16; only `&` tests are exact.
    Mode,
    /// An address. What lies there may change after the filter has looked (TOCTOU), and the filter cannot look at all.
    Pointer,
    /// Number or address, depending on the other arguments or on the architecture.
    Varies,
}

use Kind::{Int32 as I, Int64 as L, Mode as M, Pointer as P, Varies as V};

/// One argument's kind and its name in the manual page.
pub(super) type Argument = (Kind, Short<16>);

/// A call and what it takes.
#[derive(Clone, Copy)]
struct Signature {
    call: Short<24>,
    count: usize,
    arguments: [Argument; 6],
}

/// How an argument is compared; always as an unsigned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparison {
    /// `VALUE`
    Equal,
    /// `!=VALUE`
    NotEqual,
    /// `<VALUE`
    Less,
    /// `<=VALUE`
    LessOrEqual,
    /// `>VALUE`
    Greater,
    /// `>=VALUE`
    GreaterOrEqual,
    /// `&VALUE`: any of these bits is set.
    AnyBitOf,
}

impl Comparison {
    /// The sign that stands before the value in a key.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::AnyBitOf => "&",
        }
    }
}

/// One test of one argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Condition {
    pub(super) index: u8,
    pub(super) wide: bool,
    pub(super) comparison: Comparison,
    pub(super) value: u64,
}

impl Condition {
    /// Which argument, from 0.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Whether all 64 bits are compared, or the low 32.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// How it is compared.
    pub fn comparison(&self) -> Comparison {
        self.comparison
    }

    /// With what it is compared.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// Whether arguments meet it.
    #[must_use]
    pub fn holds(&self, arguments: &[u64; 6]) -> bool {
        let mask = if self.wide { u64::MAX } else { u32::MAX.into() };
        let Some(given) = arguments.get(usize::from(self.index)) else {
            return false;
        };
        let (given, value) = (given & mask, self.value & mask);
        match self.comparison {
            Comparison::Equal => given == value,
            Comparison::NotEqual => given != value,
            Comparison::Less => given < value,
            Comparison::LessOrEqual => given <= value,
            Comparison::Greater => given > value,
            Comparison::GreaterOrEqual => given >= value,
            Comparison::AnyBitOf => given & value != 0,
        }
    }

    /// The nearest value that meets it; `None` when there is none.
    #[must_use]
    pub fn example(&self) -> Option<u64> {
        match self.comparison {
            Comparison::Equal
            | Comparison::LessOrEqual
            | Comparison::GreaterOrEqual
            | Comparison::AnyBitOf => Some(self.value),
            Comparison::Less => self.value.checked_sub(1),
            Comparison::NotEqual | Comparison::Greater => self.value.checked_add(1),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:#x}", self.comparison.sign(), self.value)
    }
}

/// The arguments of a call, `None` when rules may not test them.
pub(super) fn signature(call: &str) -> Option<&'static [Argument]> {
    let at = SIGNATURES.binary_search_by(|signature| signature.call.as_str().cmp(call));
    let signature = SIGNATURES.get(at.ok()?)?;
    signature.arguments.get(..signature.count)
}

/// The calls whose arguments rules may test.
pub fn supported_calls() -> impl Iterator<Item = &'static str> {
    SIGNATURES.iter().map(|signature| signature.call.as_str())
}

static SIGNATURES: [Signature; WRITTEN.len()] = {
    let none = (I, Short::of(""));
    let mut made = [Signature {
        call: Short::of(""),
        count: 0,
        arguments: [none; 6],
    }; WRITTEN.len()];
    let mut at = 0;
    while at < WRITTEN.len() {
        let (call, arguments) = WRITTEN[at];
        made[at].call = Short::of(call);
        made[at].count = arguments.len();
        let mut index = 0;
        while index < arguments.len() {
            let (kind, name) = arguments[index];
            made[at].arguments[index] = (kind, Short::of(name));
            index += 1;
        }
        at += 1;
    }
    made
};

/// Sources: section 2 of the manual, and SYSCALL_DEFINE lines of the kernel for what it really reads. Flags that C declares
/// `unsigned long` count as `Int32` when every defined one lies in the low half: the kernel ignores or refuses the rest.
const WRITTEN: &[(&str, &[(Kind, &str)])] = &[
    (
        "accept4",
        &[(I, "sockfd"), (P, "addr"), (P, "addrlen"), (I, "flags")],
    ),
    ("arch_prctl", &[(I, "op"), (V, "addr")]),
    ("bpf", &[(I, "cmd"), (P, "attr"), (I, "size")]),
    ("chmod", &[(P, "pathname"), (M, "mode")]),
    ("clock_adjtime", &[(I, "clk_id"), (P, "buf")]),
    ("clock_adjtime64", &[(I, "clk_id"), (P, "buf")]),
    ("clock_settime", &[(I, "clockid"), (P, "tp")]),
    ("clock_settime64", &[(I, "clockid"), (P, "tp")]),
    (
        "clone",
        &[
            (I, "flags"),
            (P, "stack"),
            (P, "parent_tid"),
            (V, "child_tid"),
            (V, "tls"),
        ],
    ),
    ("close_range", &[(I, "first"), (I, "last"), (I, "flags")]),
    ("creat", &[(P, "pathname"), (M, "mode")]),
    ("dup3", &[(I, "oldfd"), (I, "newfd"), (I, "flags")]),
    ("epoll_create1", &[(I, "flags")]),
    (
        "execveat",
        &[
            (I, "dirfd"),
            (P, "pathname"),
            (P, "argv"),
            (P, "envp"),
            (I, "flags"),
        ],
    ),
    ("fanotify_init", &[(I, "flags"), (I, "event_f_flags")]),
    ("fchmod", &[(I, "fd"), (M, "mode")]),
    ("fchmodat", &[(I, "dirfd"), (P, "pathname"), (M, "mode")]),
    (
        "fchmodat2",
        &[(I, "dirfd"), (P, "pathname"), (M, "mode"), (I, "flags")],
    ),
    ("fcntl", &[(I, "fd"), (I, "op"), (V, "arg")]),
    ("fcntl64", &[(I, "fd"), (I, "op"), (V, "arg")]),
    ("flock", &[(I, "fd"), (I, "op")]),
    ("fsmount", &[(I, "fsfd"), (I, "flags"), (I, "attr_flags")]),
    ("fsopen", &[(P, "fsname"), (I, "flags")]),
    (
        "futex",
        &[
            (P, "uaddr"),
            (I, "futex_op"),
            (I, "val"),
            (V, "timeout"),
            (P, "uaddr2"),
            (I, "val3"),
        ],
    ),
    (
        "futex_time64",
        &[
            (P, "uaddr"),
            (I, "futex_op"),
            (I, "val"),
            (V, "timeout"),
            (P, "uaddr2"),
            (I, "val3"),
        ],
    ),
    ("getrandom", &[(P, "buf"), (L, "size"), (I, "flags")]),
    (
        "getsockopt",
        &[
            (I, "sockfd"),
            (I, "level"),
            (I, "optname"),
            (P, "optval"),
            (P, "optlen"),
        ],
    ),
    ("inotify_init1", &[(I, "flags")]),
    ("ioctl", &[(I, "fd"), (I, "op"), (V, "argument")]),
    ("ioprio_set", &[(I, "which"), (I, "who"), (I, "ioprio")]),
    (
        "kcmp",
        &[
            (I, "pid1"),
            (I, "pid2"),
            (I, "type"),
            (L, "idx1"),
            (L, "idx2"),
        ],
    ),
    (
        "keyctl",
        &[
            (I, "op"),
            (V, "arg2"),
            (V, "arg3"),
            (V, "arg4"),
            (V, "arg5"),
        ],
    ),
    ("kill", &[(I, "pid"), (I, "sig")]),
    (
        "linkat",
        &[
            (I, "olddirfd"),
            (P, "oldpath"),
            (I, "newdirfd"),
            (P, "newpath"),
            (I, "flags"),
        ],
    ),
    ("listen", &[(I, "sockfd"), (I, "backlog")]),
    ("madvise", &[(P, "addr"), (L, "size"), (I, "advice")]),
    ("membarrier", &[(I, "cmd"), (I, "flags"), (I, "cpu_id")]),
    ("memfd_create", &[(P, "name"), (I, "flags")]),
    ("mkdir", &[(P, "pathname"), (M, "mode")]),
    ("mkdirat", &[(I, "dirfd"), (P, "pathname"), (M, "mode")]),
    ("mknod", &[(P, "pathname"), (M, "mode"), (I, "dev")]),
    (
        "mknodat",
        &[(I, "dirfd"), (P, "pathname"), (M, "mode"), (I, "dev")],
    ),
    ("mlock2", &[(P, "addr"), (L, "size"), (I, "flags")]),
    ("mlockall", &[(I, "flags")]),
    (
        "mmap",
        &[
            (P, "addr"),
            (L, "length"),
            (I, "prot"),
            (I, "flags"),
            (I, "fd"),
            (V, "offset"),
        ],
    ),
    (
        "mmap2",
        &[
            (P, "addr"),
            (L, "length"),
            (I, "prot"),
            (I, "flags"),
            (I, "fd"),
            (V, "offset"),
        ],
    ),
    (
        "mount",
        &[
            (P, "source"),
            (P, "target"),
            (P, "filesystemtype"),
            (I, "mountflags"),
            (P, "data"),
        ],
    ),
    (
        "move_mount",
        &[
            (I, "from_dirfd"),
            (P, "from_path"),
            (I, "to_dirfd"),
            (P, "to_path"),
            (I, "flags"),
        ],
    ),
    ("mprotect", &[(P, "addr"), (L, "size"), (I, "prot")]),
    (
        "mremap",
        &[
            (P, "old_address"),
            (L, "old_size"),
            (L, "new_size"),
            (I, "flags"),
            (P, "new_address"),
        ],
    ),
    ("msgctl", &[(I, "msqid"), (I, "op"), (P, "buf")]),
    (
        "name_to_handle_at",
        &[
            (I, "dirfd"),
            (P, "pathname"),
            (P, "handle"),
            (P, "mount_id"),
            (I, "flags"),
        ],
    ),
    ("open", &[(P, "pathname"), (I, "flags"), (M, "mode")]),
    (
        "open_by_handle_at",
        &[(I, "mount_fd"), (P, "handle"), (I, "flags")],
    ),
    ("open_tree", &[(I, "dirfd"), (P, "path"), (I, "flags")]),
    (
        "openat",
        &[(I, "dirfd"), (P, "pathname"), (I, "flags"), (M, "mode")],
    ),
    (
        "perf_event_open",
        &[
            (P, "attr"),
            (I, "pid"),
            (I, "cpu"),
            (I, "group_fd"),
            (I, "flags"),
        ],
    ),
    ("personality", &[(I, "persona")]),
    ("pidfd_open", &[(I, "pid"), (I, "flags")]),
    (
        "pidfd_send_signal",
        &[(I, "pidfd"), (I, "sig"), (P, "info"), (I, "flags")],
    ),
    ("pipe2", &[(P, "pipefd"), (I, "flags")]),
    (
        "pkey_mprotect",
        &[(P, "addr"), (L, "size"), (I, "prot"), (I, "pkey")],
    ),
    (
        "prctl",
        &[
            (I, "op"),
            (V, "arg2"),
            (V, "arg3"),
            (V, "arg4"),
            (V, "arg5"),
        ],
    ),
    (
        "prlimit64",
        &[
            (I, "pid"),
            (I, "resource"),
            (P, "new_limit"),
            (P, "old_limit"),
        ],
    ),
    ("ptrace", &[(I, "op"), (I, "pid"), (V, "addr"), (V, "data")]),
    (
        "quotactl",
        &[(I, "op"), (P, "special"), (I, "id"), (P, "addr")],
    ),
    (
        "reboot",
        &[(I, "magic"), (I, "magic2"), (I, "op"), (P, "arg")],
    ),
    (
        "renameat2",
        &[
            (I, "olddirfd"),
            (P, "oldpath"),
            (I, "newdirfd"),
            (P, "newpath"),
            (I, "flags"),
        ],
    ),
    ("rt_sigqueueinfo", &[(I, "tgid"), (I, "sig"), (P, "info")]),
    (
        "rt_tgsigqueueinfo",
        &[(I, "tgid"), (I, "tid"), (I, "sig"), (P, "info")],
    ),
    (
        "sched_setscheduler",
        &[(I, "pid"), (I, "policy"), (P, "param")],
    ),
    ("seccomp", &[(I, "operation"), (I, "flags"), (P, "args")]),
    ("semget", &[(I, "key"), (I, "nsems"), (I, "semflg")]),
    ("sendmsg", &[(I, "sockfd"), (P, "msg"), (I, "flags")]),
    (
        "sendto",
        &[
            (I, "sockfd"),
            (P, "buf"),
            (L, "size"),
            (I, "flags"),
            (P, "dest_addr"),
            (I, "addrlen"),
        ],
    ),
    ("setns", &[(I, "fd"), (I, "nstype")]),
    ("setpriority", &[(I, "which"), (I, "who"), (I, "prio")]),
    ("setrlimit", &[(I, "resource"), (P, "rlim")]),
    (
        "setsockopt",
        &[
            (I, "sockfd"),
            (I, "level"),
            (I, "optname"),
            (P, "optval"),
            (I, "optlen"),
        ],
    ),
    ("shmat", &[(I, "shmid"), (P, "shmaddr"), (I, "shmflg")]),
    ("shmctl", &[(I, "shmid"), (I, "op"), (P, "buf")]),
    ("shmget", &[(I, "key"), (L, "size"), (I, "shmflg")]),
    ("shutdown", &[(I, "sockfd"), (I, "how")]),
    (
        "signalfd4",
        &[(I, "fd"), (P, "mask"), (L, "sizemask"), (I, "flags")],
    ),
    ("socket", &[(I, "domain"), (I, "type"), (I, "protocol")]),
    ("socketcall", &[(I, "call"), (P, "args")]),
    (
        "socketpair",
        &[(I, "domain"), (I, "type"), (I, "protocol"), (P, "sv")],
    ),
    ("syslog", &[(I, "type"), (P, "bufp"), (I, "size")]),
    ("tgkill", &[(I, "tgid"), (I, "tid"), (I, "sig")]),
    ("timerfd_create", &[(I, "clockid"), (I, "flags")]),
    ("tkill", &[(I, "tid"), (I, "sig")]),
    ("unlinkat", &[(I, "dirfd"), (P, "pathname"), (I, "flags")]),
    ("unshare", &[(I, "flags")]),
    ("userfaultfd", &[(I, "flags")]),
];

#[cfg(test)]
mod tests {
    use super::{WRITTEN, signature};
    use crate::bpf::Arch;

    #[test]
    fn every_supported_call_exists_and_is_there_once() {
        assert!(WRITTEN.is_sorted_by(|left, right| left.0 < right.0));
        for (call, arguments) in WRITTEN {
            assert!(
                Arch::ALL.iter().any(|arch| arch.number(call).is_some()),
                "{call}"
            );
            assert!((1..=6).contains(&arguments.len()), "{call}");
        }
        assert!(signature("read").is_none());
    }
}
