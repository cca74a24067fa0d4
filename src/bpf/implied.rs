//! What a filter needs beyond its rules, so that they cannot be walked around by another entrance.

use std::fmt;

use super::answer::{Answer, Rules};
use super::calls::Calls;
use super::constants::ENOSYS;
use super::groups::IO_URING;
use super::{Action, Arch, key};

/// An answer that no rule asked for, to be shown beside the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implied {
    /// The call (or calls) that it is about.
    pub call: String,
    /// What happens to it.
    pub action: Action,
    /// Why.
    pub because: String,
}

impl fmt::Display for Implied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.call, self.action, self.because)
    }
}

/// The answers to one architecture's calls.
pub(super) struct Answers<'f> {
    table: &'static Calls,
    /// The answer of each call, by rising number, as an index into `made`: nearly all calls share a few.
    chosen: Vec<u32>,
    made: Vec<Answer<'f>>,
}

impl<'f> Answers<'f> {
    /// What the rules say.
    pub(super) fn new(arch: Arch, rules: &Rules<'f>) -> Self {
        let table = arch.table();
        let mut answers = Self {
            table,
            chosen: vec![0; table.len()],
            made: vec![Answer::always(rules.default)],
        };
        // The smallest group comes last and decides.
        for (group, action) in rules.on_groups().rev() {
            let answer = answers.make(Answer::always(action));
            group.each(&mut |call| {
                let slot = table.index_of(call);
                if let Some(slot) = slot.and_then(|index| answers.chosen.get_mut(index)) {
                    *slot = answer;
                }
            });
        }
        let siblings = arch.siblings().iter();
        let siblings = siblings.filter(|(name, _)| rules.names(name));
        for call in rules.named().chain(siblings.map(|(_, call)| *call)) {
            if let Some(below) = answers.get(call).map(|answer| answer.otherwise) {
                answers.set(call, rules.answer_over(arch, call, below));
            }
        }
        answers
    }

    /// Keeps an answer, and says where.
    fn make(&mut self, answer: Answer<'f>) -> u32 {
        self.made.push(answer);
        u32::try_from(self.made.len() - 1).unwrap_or(u32::MAX)
    }

    fn get(&self, call: &str) -> Option<&Answer<'f>> {
        let at = self.chosen.get(self.table.index_of(call)?)?;
        self.made.get(*at as usize)
    }

    fn set(&mut self, call: &str, answer: Answer<'f>) {
        let answer = self.make(answer);
        let index = self.table.index_of(call);
        if let Some(slot) = index.and_then(|index| self.chosen.get_mut(index)) {
            *slot = answer;
        }
    }

    /// Number and answer, by rising number.
    pub(super) fn by_number(&self) -> impl Iterator<Item = (u32, &Answer<'f>)> {
        let calls = self.chosen.iter().enumerate();
        calls.filter_map(|(index, answer)| {
            let (number, _) = self.table.get(index)?;
            Some((number, self.made.get(*answer as usize)?))
        })
    }
}

const NO_CALL: Action = Action::Errno(ENOSYS);

const IO_URING_CALLS: [&str; 3] = ["io_uring_enter", "io_uring_register", "io_uring_setup"];

/// What io_uring does for a program without a system call that a filter sees (linux/io_uring.h, `IORING_OP_*`). What is done
/// to a descriptor that is open already, as reading it, is a matter of the call that opened it, unless a rule restricts
/// that too.
pub(super) const IO_URING_DOES: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "close",
    "connect",
    "epoll_ctl",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fdatasync",
    "fgetxattr",
    "fsetxattr",
    "fsync",
    "ftruncate",
    "getpeername",
    "getsockname",
    "getsockopt",
    "getxattr",
    "link",
    "linkat",
    "listen",
    "madvise",
    "mkdir",
    "mkdirat",
    "open",
    "openat",
    "openat2",
    "pipe2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "rename",
    "renameat",
    "renameat2",
    "send",
    "sendmsg",
    "sendto",
    "setsockopt",
    "setxattr",
    "shutdown",
    "socket",
    "splice",
    "statx",
    "symlink",
    "symlinkat",
    "sync_file_range",
    "tee",
    "unlink",
    "unlinkat",
    "waitid",
    "write",
    "writev",
];

/// i386 calls that are entrances to many (net/socket.c, ipc/syscall.c), with what lies behind them. Some of it has no entrance
/// of its own on i386; rules on its name are evaded all the same.
pub(super) const MULTIPLEXERS: [(&str, &[&str]); 2] = [
    (
        "socketcall",
        &[
            "accept",
            "accept4",
            "bind",
            "connect",
            "getpeername",
            "getsockname",
            "getsockopt",
            "listen",
            "recv",
            "recvfrom",
            "recvmmsg",
            "recvmsg",
            "send",
            "sendmmsg",
            "sendmsg",
            "sendto",
            "setsockopt",
            "shutdown",
            "socket",
            "socketpair",
        ],
    ),
    (
        "ipc",
        &[
            "msgctl",
            "msgget",
            "msgrcv",
            "msgsnd",
            "semctl",
            "semget",
            "semop",
            "semtimedop",
            "shmat",
            "shmctl",
            "shmdt",
            "shmget",
        ],
    ),
];

/// Puts the implied answers of one architecture into `answers` and tells them.
pub(super) fn imply<'f>(arch: Arch, rules: &Rules<'f>, answers: &mut Answers<'f>) -> Vec<Implied> {
    let mut decided: Vec<(&'static str, String)> = Vec::new();
    for call in ["clone3", "openat2"].into_iter().chain(IO_URING_CALLS) {
        if !rules.names(call)
            && let Some(because) = reason(call, rules, answers)
        {
            decided.push((call, because));
        }
    }
    if arch == Arch::X86 {
        for (call, behind) in MULTIPLEXERS {
            if let Some(because) = reason_for_multiplexer(call, behind, rules, answers) {
                decided.push((call, because));
            }
        }
        if tested(answers, "mmap") {
            decided.push(("mmap", "on x86 its arguments lie behind a pointer, and a rule tests them; `mmap2` is tested".into()));
        }
    }
    let mut told = siblings(arch, rules, answers);
    for (call, because) in decided {
        if let Some(answer) = answers.get(call)
            && *answer != Answer::always(NO_CALL)
        {
            answers.set(call, Answer::always(NO_CALL));
            told.push(Implied {
                call: call.to_owned(),
                action: NO_CALL,
                because,
            });
        }
    }
    told
}

fn tested(answers: &Answers<'_>, call: &str) -> bool {
    answers
        .get(call)
        .is_some_and(|answer| !answer.conditional.is_empty())
}

fn restricted(answers: &Answers<'_>, call: &str) -> bool {
    answers.get(call).is_some_and(Answer::restricts)
}

fn reason(call: &str, rules: &Rules<'_>, answers: &Answers<'_>) -> Option<String> {
    match call {
        "clone3" if tested(answers, "clone") => {
            Some("its flags lie behind a pointer, and a rule tests those of `clone`; programs fall back to `clone`".into())
        }
        "clone3" => {
            let named = ["clone", "unshare"].into_iter().find(|call| rules.restricts_by_name(call));
            let own = answers.get(call).map(|answer| answer.otherwise);
            match named {
                Some(named) => Some(format!("it does what `{named}` does, which a rule restricts")),
                None if rules.names("clone") && matches!(own, Some(Action::Errno(_))) => {
                    Some("programs fall back to `clone`, which a rule allows, on no other answer".into())
                }
                None => None,
            }
        }
        "openat2" => ["open", "openat"].into_iter().find(|call| tested(answers, call)).map(|named| {
            format!("its flags lie behind a pointer, and a rule tests those of `{named}`; programs fall back to `openat`")
        }),
        _ if rules.names_group(IO_URING) => None,
        _ if !rules.default.permits() => Some("io_uring makes calls that the filter cannot see, and not all are allowed".into()),
        _ => IO_URING_DOES
            .iter()
            .find(|call| restricted(answers, call))
            .map(|call| format!("io_uring makes calls that the filter cannot see, and a rule restricts `{call}`")),
    }
}

/// A multiplexer may keep an answer of its own only while everything behind it has the same one.
fn reason_for_multiplexer(
    call: &str,
    behind: &[&str],
    rules: &Rules<'_>,
    answers: &Answers<'_>,
) -> Option<String> {
    if rules.names(call) {
        return None;
    }
    let own = answers.get(call)?;
    let other = behind
        .iter()
        .find(|behind| rules.answer(Arch::X86, behind) != *own)?;
    Some(format!(
        "on x86 it is another entrance to `{other}`, whose rule it would evade"
    ))
}

/// The calls that got the rules of another name.
fn siblings(arch: Arch, rules: &Rules<'_>, answers: &Answers<'_>) -> Vec<Implied> {
    let mut told = Vec::new();
    let mut siblings: Vec<&str> = arch.siblings().iter().map(|(_, call)| *call).collect();
    siblings.sort_unstable();
    for call in siblings {
        let subject = rules.subject(arch, call);
        let Some(answer) = answers.get(call).filter(|_| subject != call) else {
            continue;
        };
        let because =
            format!("on {arch} it is another entrance to `{subject}`, which a rule names");
        for (conditions, action) in &answer.conditional {
            let mut shown = String::new();
            // Writing to a String cannot fail.
            let _ = key::write_call(&mut shown, call, conditions);
            told.push(Implied {
                call: shown,
                action: *action,
                because: because.clone(),
            });
        }
        told.push(Implied {
            call: call.to_owned(),
            action: answer.otherwise,
            because,
        });
    }
    told
}

/// What holds outside the tables of calls.
pub(super) fn around(architectures: &[Arch]) -> Vec<Implied> {
    let names: Vec<_> = architectures.iter().map(|arch| arch.name()).collect();
    let mut told = vec![Implied {
        call: "calls of other architectures".into(),
        action: Action::KillProcess,
        because: format!(
            "the rules are those of {}; `architectures` can name more",
            names.join(", ")
        ),
    }];
    if architectures.contains(&Arch::X86_64) {
        told.push(Implied {
            call: "x32 calls".into(),
            action: Action::KillProcess,
            because: "they are other numbers for the calls of x86_64".into(),
        });
    }
    told.push(Implied {
        call: "calls of unknown number".into(),
        action: NO_CALL,
        because: "no rule can name them, and programs fall back to older calls".into(),
    });
    told
}

#[cfg(test)]
mod tests {
    use super::{IO_URING_CALLS, IO_URING_DOES, MULTIPLEXERS};
    use crate::bpf::{Arch, groups};

    #[test]
    fn names_in_the_tables_are_calls() {
        let known = groups::find("@known")
            .map(|group| group.members())
            .unwrap_or_default();
        let elsewhere = ["recv", "send"];
        let behind = MULTIPLEXERS.iter().flat_map(|(_, behind)| *behind);
        for call in IO_URING_DOES
            .iter()
            .chain(&IO_URING_CALLS)
            .chain(behind)
            .filter(|call| !elsewhere.contains(call))
        {
            assert!(known.contains(call), "{call}");
        }
        assert!(
            MULTIPLEXERS
                .iter()
                .all(|(call, _)| Arch::X86.number(call).is_some())
        );
    }
}
