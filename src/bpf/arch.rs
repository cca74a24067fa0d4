//! The architectures whose calls can be filtered, and their system-call tables.

use std::fmt;
use std::sync::OnceLock;

use super::calls::{self, Calls};

/// An architecture as the kernel tells it to a filter (`AUDIT_ARCH_*` of linux/audit.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386), which a 64-bit x86 kernel runs too; Wine and Steam need it.
    X86,
    /// 64-bit Arm.
    Aarch64,
}

/// The bit that marks a number as one of the x32 ABI (`__X32_SYSCALL_BIT`); x32 shares its `AUDIT_ARCH` with x86-64.
pub(super) const X32_FIRST: u32 = 0x4000_0000;
/// The first number that is neither x86-64 nor x32; -1, which a tracer writes to skip a call, is above it.
pub(super) const X32_END: u32 = 0x8000_0000;

type List = Vec<(u32, &'static str)>;

impl Arch {
    /// All that are known here.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::X86, Self::Aarch64];

    /// The one this program was built for; `None` where filters cannot be made.
    pub const fn native() -> Option<Self> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "x86") {
            Some(Self::X86)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// Its name in a profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::X86 => "x86",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Reads a name in a profile.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == text)
    }

    /// Its `AUDIT_ARCH_*` value, as found in `seccomp_data.arch`.
    pub const fn audit_value(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    pub(super) const fn table(self) -> &'static Calls {
        match self {
            Self::X86_64 => &calls::X86_64,
            Self::X86 => &calls::X86,
            Self::Aarch64 => &calls::AARCH64,
        }
    }

    /// The calls it has, by rising number.
    pub fn calls(self) -> &'static [(u32, &'static str)] {
        static X86_64: OnceLock<List> = OnceLock::new();
        static X86: OnceLock<List> = OnceLock::new();
        static AARCH64: OnceLock<List> = OnceLock::new();
        let list = match self {
            Self::X86_64 => &X86_64,
            Self::X86 => &X86,
            Self::Aarch64 => &AARCH64,
        };
        let table = self.table();
        list.get_or_init(|| (0..table.len()).filter_map(|at| table.get(at)).collect())
    }

    /// The number of a call, `None` when the architecture has no call of that name.
    pub fn number(self, call: &str) -> Option<u32> {
        let table = self.table();
        Some(table.get(table.index_of(call)?)?.0)
    }

    /// The name of a call, `None` for a number that means nothing.
    pub fn call(self, number: u32) -> Option<&'static str> {
        let table = self.table();
        Some(table.get(table.index_at(number)?)?.1)
    }

    /// The call of the 64-bit architectures that `call` of this one is another entrance to. i386 got wider siblings for
    /// user ids, file sizes and times; a profile written for the 64-bit names would leave them open.
    pub(super) fn counterpart(self, call: &str) -> Option<&'static str> {
        let found = self.siblings().iter().find(|(_, other)| *other == call);
        found.map(|(name, _)| *name)
    }

    /// All such calls: the name that profiles use, and the other entrance to it.
    pub(super) fn siblings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::X86 => X86_SIBLINGS,
            Self::X86_64 | Self::Aarch64 => &[],
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// (the name that profiles use, its other entrance on i386). Arguments lie in the same places wherever rules may test
/// them, which a test holds; the exception is i386's own `mmap`, see `implied`.
pub(super) const X86_SIBLINGS: &[(&str, &str)] = &[
    ("chown", "chown32"),
    ("clock_adjtime", "clock_adjtime64"),
    ("clock_getres", "clock_getres_time64"),
    ("clock_gettime", "clock_gettime64"),
    ("clock_nanosleep", "clock_nanosleep_time64"),
    ("clock_settime", "clock_settime64"),
    ("fchown", "fchown32"),
    ("fcntl", "fcntl64"),
    ("fstat", "fstat64"),
    ("fstatfs", "fstatfs64"),
    ("ftruncate", "ftruncate64"),
    ("futex", "futex_time64"),
    ("getegid", "getegid32"),
    ("geteuid", "geteuid32"),
    ("getgid", "getgid32"),
    ("getgroups", "getgroups32"),
    ("getresgid", "getresgid32"),
    ("getresuid", "getresuid32"),
    ("getrlimit", "ugetrlimit"),
    ("getuid", "getuid32"),
    ("io_pgetevents", "io_pgetevents_time64"),
    ("lchown", "lchown32"),
    ("lseek", "_llseek"),
    ("lstat", "lstat64"),
    ("mmap", "mmap2"),
    ("mq_timedreceive", "mq_timedreceive_time64"),
    ("mq_timedsend", "mq_timedsend_time64"),
    ("newfstatat", "fstatat64"),
    ("ppoll", "ppoll_time64"),
    ("pselect6", "pselect6_time64"),
    ("recvmmsg", "recvmmsg_time64"),
    ("rt_sigtimedwait", "rt_sigtimedwait_time64"),
    ("sched_rr_get_interval", "sched_rr_get_interval_time64"),
    ("select", "_newselect"),
    ("semtimedop", "semtimedop_time64"),
    ("sendfile", "sendfile64"),
    ("setfsgid", "setfsgid32"),
    ("setfsuid", "setfsuid32"),
    ("setgid", "setgid32"),
    ("setgroups", "setgroups32"),
    ("setregid", "setregid32"),
    ("setresgid", "setresgid32"),
    ("setresuid", "setresuid32"),
    ("setreuid", "setreuid32"),
    ("settimeofday", "stime"),
    ("setuid", "setuid32"),
    ("stat", "stat64"),
    ("statfs", "statfs64"),
    ("timer_gettime", "timer_gettime64"),
    ("timer_settime", "timer_settime64"),
    ("timerfd_gettime", "timerfd_gettime64"),
    ("timerfd_settime", "timerfd_settime64"),
    ("truncate", "truncate64"),
    ("umount2", "umount"),
    ("utimensat", "utimensat_time64"),
    ("wait4", "waitpid"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Arch, X32_FIRST, X86_SIBLINGS};
    use crate::bpf::argument;

    #[test]
    fn tables_are_sorted_complete_and_agree_with_names() {
        for arch in Arch::ALL {
            let calls = arch.calls();
            assert!(calls.len() > 300, "{arch}: {}", calls.len());
            assert!(calls.is_sorted_by(|left, right| left.0 < right.0));
            assert!(calls.last().unwrap().0 < X32_FIRST);
            assert_eq!(calls.last().unwrap().1, "file_setattr");
            for (number, name) in calls {
                assert_eq!(arch.number(name), Some(*number));
                assert_eq!(arch.call(*number), Some(*name));
            }
            assert_eq!(Arch::parse(arch.name()), Some(arch));
        }
        assert_eq!(Arch::X86_64.number("getppid"), Some(110));
        assert_eq!(Arch::X86.number("getppid"), Some(64));
        assert_eq!(Arch::Aarch64.number("getppid"), Some(173));
        assert_eq!(Arch::Aarch64.number("fork"), None);
    }

    #[test]
    fn siblings_are_real_and_take_the_same_arguments() {
        for (name, sibling) in X86_SIBLINGS {
            assert!(Arch::X86.number(sibling).is_some(), "{sibling}");
            assert!(
                Arch::ALL.iter().any(|arch| arch.number(name).is_some()),
                "{name}"
            );
            assert!(
                !X86_SIBLINGS.iter().any(|(name, _)| name == sibling),
                "{sibling} is both"
            );
            if let Some(kinds) = argument::signature(name) {
                let same = argument::signature(sibling).unwrap_or_else(|| panic!("{sibling}"));
                assert!(
                    kinds.iter().map(|a| a.0).eq(same.iter().map(|a| a.0)),
                    "{name} and {sibling}"
                );
            }
        }
    }
}
