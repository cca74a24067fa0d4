//! The compiler as a whole: programs as text, the answers that nobody asked for, and what is refused. `property.rs` holds
//! every program against an evaluator that applies the rules one by one.

#![allow(clippy::unwrap_used)]

use insta::assert_snapshot;

use super::*;

#[path = "property.rs"]
mod property;

pub(super) fn filter(default: &str, architectures: &[Arch], rules: &[(&str, &str)]) -> Filter {
    let rule = |(key, action): &(&str, &str)| Rule {
        key: Key::parse(key).unwrap(),
        action: Action::parse(action).unwrap(),
    };
    Filter {
        default: Action::parse(default).unwrap(),
        architectures: architectures.to_vec(),
        rules: rules.iter().map(rule).collect(),
    }
}

fn compiled(default: &str, architectures: &[Arch], rules: &[(&str, &str)]) -> Compiled {
    compile(&filter(default, architectures, rules)).unwrap()
}

fn program(default: &str, rules: &[(&str, &str)]) -> Program {
    compiled(default, X86_64, rules).program
}

const X86_64: &[Arch] = &[Arch::X86_64];
const BOTH: &[Arch] = &[Arch::X86_64, Arch::X86];

fn ask_on(arch: Arch, program: &Program, call: &str, args: [u64; 3]) -> String {
    let [a, b, c] = args;
    program
        .verdict_for(call, arch, [a, b, c, 0, 0, 0])
        .unwrap()
        .to_string()
}

fn ask(program: &Program, call: &str, args: [u64; 3]) -> String {
    ask_on(Arch::X86_64, program, call, args)
}

/// The implied answers beyond those that every filter has, one a line.
fn implied(default: &str, architectures: &[Arch], rules: &[(&str, &str)]) -> String {
    let everywhere = implied::around(architectures);
    let notes = compiled(default, architectures, rules).implied;
    let own = notes.iter().filter(|note| !everywhere.contains(note));
    own.map(|note| format!("{} = {}: {}\n", note.call, note.action, note.because))
        .collect()
}

#[test]
fn a_plain_rule_is_two_ranges() {
    assert_snapshot!(program("allow", &[("ptrace", "deny")]), @r"
       0: load architecture
       1: if == x86_64 go to 2, else 12
       2: load number
       3: if >= 0x1a8 go to 8, else 4
       4: if >= 0x66 go to 7, else 5
       5: if >= 0x65 go to 6, else 10
       6: return EPERM
       7: if >= 0x151 go to 13, else 10
       8: if >= 0x40000000 go to 11, else 9
       9: if >= 0x1d6 go to 13, else 10
      10: return allow
      11: if >= 0x80000000 go to 13, else 12
      12: return kill
      13: return ENOSYS
    ");
}

#[test]
fn rules_on_arguments_are_leaves() {
    let rules = [
        ("ioctl(_, TIOCSTI)", "deny"),
        ("shmget(_, &0x8000000001)", "trap"),
        ("exit", "allow"),
        ("ioctl", "log"),
    ];
    let filter = filter("kill", &[Arch::Aarch64], &rules);
    assert_snapshot!(compile(&filter).unwrap().program, @r"
     0: load architecture
     1: if == aarch64 go to 2, else 30
     2: load number
     3: if >= 0x104 go to 23, else 4
     4: if >= 0x5e go to 13, else 5
     5: if >= 0x1e go to 11, else 6
     6: if >= 0x1d go to 7, else 30
     7: load argument 1, low
     8: if == 0x5412 go to 9, else 10
     9: return EPERM
    10: return log
    11: if >= 0x5d go to 12, else 30
    12: return allow
    13: if >= 0xc3 go to 22, else 14
    14: if >= 0xc2 go to 15, else 30
    15: load argument 1, high
    16: if & 0x80 go to 20, else 17
    17: load argument 1, low
    18: if & 0x1 go to 20, else 19
    19: go to 21
    20: return trap
    21: return kill
    22: if >= 0xf4 go to 31, else 30
    23: if >= 0x1a0 go to 27, else 24
    24: if >= 0x193 go to 26, else 25
    25: if >= 0x127 go to 31, else 30
    26: if >= 0x19f go to 31, else 30
    27: if >= 0x1ac go to 29, else 28
    28: if >= 0x1a9 go to 31, else 30
    29: if >= 0x1d6 go to 31, else 30
    30: return kill
    31: return ENOSYS
    ");
}

#[test]
fn one_tree_for_each_architecture() {
    assert_snapshot!(compiled("deny", BOTH, &[("exit_group", "allow")]).program, @r"
     0: load architecture
     1: if == x86_64 go to 3, else 2
     2: if == x86 go to 14, else 13
     3: load number
     4: if >= 0x1a9 go to 9, else 5
     5: if >= 0xe8 go to 7, else 6
     6: if >= 0xe7 go to 21, else 30
     7: if >= 0x151 go to 8, else 30
     8: if >= 0x1a8 go to 30, else 31
     9: if >= 0x1d6 go to 11, else 10
    10: if >= 0x1ac go to 30, else 31
    11: if >= 0x40000000 go to 12, else 31
    12: if >= 0x80000000 go to 31, else 13
    13: return kill
    14: load number
    15: if >= 0x11e go to 23, else 16
    16: if >= 0xfb go to 19, else 17
    17: if >= 0xde go to 18, else 30
    18: if >= 0xe0 go to 30, else 31
    19: if >= 0xfd go to 22, else 20
    20: if >= 0xfc go to 21, else 31
    21: return allow
    22: if >= 0x11d go to 31, else 30
    23: if >= 0x1a0 go to 27, else 24
    24: if >= 0x189 go to 26, else 25
    25: if >= 0x183 go to 31, else 30
    26: if >= 0x19f go to 31, else 30
    27: if >= 0x1ac go to 29, else 28
    28: if >= 0x1a9 go to 31, else 30
    29: if >= 0x1d6 go to 31, else 30
    30: return EPERM
    31: return ENOSYS
    ");
}

/// Instructions of typical filters: a whole desktop deny-list 109 (both x86 architectures: 250), an allow-list of
/// `@system-service` 71 (182), no rules at all 11. seccompiler alone needs 5 for each call: about 1500 for the allow-list.
#[test]
fn typical_filters_are_short() {
    let length = |default, arches, rules| {
        compiled(default, arches, rules)
            .program
            .instructions()
            .len()
    };
    let service: &[_] = &[("@system-service", "allow")];
    let lengths = [
        length("allow", X86_64, DENY_LIST),
        length("allow", BOTH, DENY_LIST),
        length("deny", X86_64, service),
        length("deny", BOTH, service),
        length("allow", X86_64, &[]),
    ];
    assert_eq!(lengths, [109, 250, 71, 182, 11]);
}

const DENY_LIST: &[(&str, &str)] = &[
    ("@mount", "deny"),
    ("@module", "deny"),
    ("@raw-io", "deny"),
    ("@reboot", "deny"),
    ("@swap", "deny"),
    ("@clock", "deny"),
    ("@obsolete", "ENOSYS"),
    ("@keyring", "deny"),
    ("@debug", "deny"),
    ("@cross-process", "deny"),
    ("bpf", "deny"),
    ("userfaultfd", "deny"),
    ("ioctl(_, TIOCSTI)", "deny"),
    ("ioctl(_, TIOCLINUX)", "deny"),
    ("clone(&CLONE_NEWUSER)", "deny"),
    ("unshare(&CLONE_NEWUSER)", "deny"),
    ("setns", "deny"),
    ("socket(>=AF_VSOCK)", "EAFNOSUPPORT"),
    ("socket(AF_PACKET)", "EAFNOSUPPORT"),
    ("personality(!=PER_LINUX)", "deny"),
];

#[test]
fn specificity_decides_and_then_strictness() {
    let program = program(
        "EACCES",
        &[
            ("@file-system", "allow"),
            ("@mount", "EXDEV"),
            ("open_tree", "log"),
            ("@chown", "ENOTTY"),
            ("@privileged", "kill"),
            ("socket", "EDOM"),
            ("socket(AF_INET)", "allow"),
            ("socket(AF_INET, &SOCK_RAW)", "kill"),
            ("socket(_, SOCK_RAW)", "trap"),
            ("socket(AF_INET, _, 7)", "allow"),
            ("prlimit64(0, _)", "log"),
            ("prlimit64(_, 3)", "ENOLCK"),
        ],
    );
    // A name over its groups, the smaller group over the larger, the default last.
    assert_eq!(ask(&program, "open_tree", [0; 3]), "log");
    assert_eq!(ask(&program, "chown", [0; 3]), "ENOTTY");
    assert_eq!(ask(&program, "chroot", [0; 3]), "EXDEV");
    assert_eq!(ask(&program, "open", [0; 3]), "allow");
    assert_eq!(ask(&program, "getppid", [0; 3]), "EACCES");
    // More conditions over fewer, between equals the stricter, the plain rule last.
    assert_eq!(ask(&program, "socket", [2, 3, 7]), "kill");
    assert_eq!(ask(&program, "socket", [2, 4, 7]), "allow");
    assert_eq!(ask(&program, "socket", [2, 4, 8]), "allow");
    assert_eq!(ask(&program, "socket", [9, 3, 0]), "trap");
    assert_eq!(ask(&program, "socket", [9, 4, 0]), "EDOM");
    assert_eq!(ask(&program, "prlimit64", [0, 3, 0]), "ENOLCK");
    assert_eq!(ask(&program, "prlimit64", [1, 4, 0]), "EACCES");
}

#[test]
fn order_means_nothing() {
    let mut reversed = DENY_LIST.to_vec();
    reversed.reverse();
    assert_eq!(program("allow", DENY_LIST), program("allow", &reversed));
}

#[test]
fn a_default_rule_replaces_the_default() {
    assert_eq!(
        program("allow", &[("default", "kill")]),
        program("kill", &[])
    );
}

#[test]
fn an_empty_allow_list_allows_nothing() {
    let program = program("deny", &[]);
    assert!(
        Arch::X86_64
            .calls()
            .iter()
            .all(|(number, _)| !program.allows(Arch::X86_64, *number))
    );
    assert_eq!(ask(&program, "wait4", [0; 3]), "EPERM");
    assert_eq!(program.verdict_for("waitpid", Arch::X86_64, [0; 6]), None);
}

#[test]
fn numbers_outside_of_the_table() {
    for default in ["allow", "deny", "kill"] {
        let program = compiled(default, BOTH, &[]).program;
        let answer = |arch: u32, number| {
            interpret(
                &program,
                &SeccompData {
                    number,
                    arch,
                    instruction_pointer: 0,
                    args: [0; 6],
                },
            )
            .to_string()
        };
        let (x86_64, x86) = (Arch::X86_64.audit_value(), Arch::X86.audit_value());
        for number in [337, 400, 470, 9999, 0x3fff_ffff, 0x8000_0000, u32::MAX] {
            assert_eq!(answer(x86_64, number), "ENOSYS", "{default} {number}");
            assert_eq!(answer(x86, number.max(470)), "ENOSYS", "{default} {number}");
        }
        for number in [0x4000_0000, 0x4000_0027, 0x7fff_ffff] {
            assert_eq!(answer(x86_64, number), "kill");
            assert_eq!(answer(x86, number), "ENOSYS");
        }
        for arch in [0, Arch::Aarch64.audit_value(), u32::MAX] {
            assert_eq!(answer(arch, 39), "kill");
        }
    }
}

#[test]
fn implied_for_every_filter() {
    let told: String = compiled("allow", BOTH, &[])
        .implied
        .iter()
        .map(|note| format!("{} = {}: {}\n", note.call, note.action, note.because))
        .collect();
    assert_snapshot!(told, @r"
    calls of other architectures = kill: the rules are those of x86_64, x86; `architectures` can name more
    x32 calls = kill: they are other numbers for the calls of x86_64
    calls of unknown number = ENOSYS: no rule can name them, and programs fall back to older calls
    ");
}

#[test]
fn implied_clone3() {
    assert_snapshot!(implied("allow", X86_64, &[("clone(&CLONE_NEWUSER)", "deny")]), @r"
    clone3 = ENOSYS: its flags lie behind a pointer, and a rule tests those of `clone`; programs fall back to `clone`
    ");
    assert_snapshot!(implied("allow", X86_64, &[("unshare(&CLONE_NEWUSER)", "deny")]), @r"
    clone3 = ENOSYS: it does what `unshare` does, which a rule restricts
    ");
    assert_snapshot!(implied("allow", X86_64, &[("clone", "kill")]), @r"
    clone3 = ENOSYS: it does what `clone` does, which a rule restricts
    ");
    assert_eq!(
        implied(
            "allow",
            X86_64,
            &[("clone(&CLONE_NEWUSER)", "deny"), ("clone3", "allow")]
        ),
        ""
    );
    assert!(!implied("allow", X86_64, &[("@process", "deny")]).contains("clone3"));
    assert_eq!(
        implied("allow", X86_64, &[("clone", "allow"), ("setns", "deny")]),
        ""
    );
    let program = program("deny", &[("clone", "allow")]);
    assert_eq!(ask(&program, "clone3", [0; 3]), "ENOSYS");
    assert_eq!(ask(&program, "clone", [0; 3]), "allow");
}

#[test]
fn implied_openat2_and_io_uring() {
    assert_snapshot!(implied("allow", X86_64, &[("openat(_, _, &O_TMPFILE)", "deny")]), @r"
    openat2 = ENOSYS: its flags lie behind a pointer, and a rule tests those of `openat`; programs fall back to `openat`
    io_uring_enter = ENOSYS: io_uring makes calls that the filter cannot see, and a rule restricts `openat`
    io_uring_register = ENOSYS: io_uring makes calls that the filter cannot see, and a rule restricts `openat`
    io_uring_setup = ENOSYS: io_uring makes calls that the filter cannot see, and a rule restricts `openat`
    ");
    assert_snapshot!(implied("deny", X86_64, &[("@system-service", "allow")]), @r"
    io_uring_enter = ENOSYS: io_uring makes calls that the filter cannot see, and not all are allowed
    io_uring_register = ENOSYS: io_uring makes calls that the filter cannot see, and not all are allowed
    io_uring_setup = ENOSYS: io_uring makes calls that the filter cannot see, and not all are allowed
    ");
    assert_eq!(
        implied(
            "allow",
            X86_64,
            &[("socket(AF_NETLINK)", "deny"), ("@io-uring", "allow")]
        ),
        ""
    );
    assert_eq!(
        implied("allow", X86_64, &[("ptrace", "deny"), ("@clock", "deny")]),
        ""
    );
    assert_eq!(implied("log", X86_64, &[]), "");
}

#[test]
fn implied_on_x86() {
    assert_snapshot!(implied("allow", BOTH, &[("semop", "ENOTTY"), ("setuid", "kill"), ("mmap(_, _, &PROT_EXEC)", "log")]), @r"
    mmap2(_, _, &0x4) = log: on x86 it is another entrance to `mmap`, which a rule names
    mmap2 = allow: on x86 it is another entrance to `mmap`, which a rule names
    setuid32 = kill: on x86 it is another entrance to `setuid`, which a rule names
    ipc = ENOSYS: on x86 it is another entrance to `semop`, whose rule it would evade
    mmap = ENOSYS: on x86 its arguments lie behind a pointer, and a rule tests them; `mmap2` is tested
    ");
    let program = compiled(
        "deny",
        BOTH,
        &[
            ("accept", "allow"),
            ("fcntl(_, F_SETFL)", "kill"),
            ("ipc", "trap"),
        ],
    )
    .program;
    assert_eq!(ask_on(Arch::X86, &program, "socketcall", [0; 3]), "ENOSYS");
    assert_eq!(ask_on(Arch::X86, &program, "ipc", [0; 3]), "trap");
    assert_eq!(ask_on(Arch::X86, &program, "fcntl64", [0, 4, 0]), "kill");
    assert_eq!(ask_on(Arch::X86, &program, "fcntl64", [0, 5, 0]), "EPERM");
}

#[test]
fn what_cannot_be_compiled_is_refused() {
    let refused = |filter: &Filter| {
        let error = compile(filter).unwrap_err();
        (error.rule(), error.to_string())
    };
    assert_eq!(
        refused(&filter("allow", &[], &[])).1,
        "the filter is for no architecture"
    );
    assert_eq!(
        refused(&filter("allow", &[Arch::X86, Arch::X86], &[])).1,
        "the architecture `x86` is named twice"
    );
    let (rule, message) = refused(&filter(
        "allow",
        X86_64,
        &[("read", "deny"), ("socketcall", "deny")],
    ));
    assert_eq!(rule, Some(1));
    assert_snapshot!(message, @r"
    `socketcall` is a system call of `x86` only, the filter is for `x86_64`
    add the architecture to `architectures` or remove the rule
    ");
    assert!(compile(&filter("allow", BOTH, &[("socketcall", "deny")])).is_ok());
    let mut odd = filter("allow", X86_64, &[]);
    odd.rules = vec![Rule {
        key: Key::Call("rea\nd".into()),
        action: Action::Allow,
    }];
    assert_eq!(
        refused(&odd),
        (Some(0), "there is no system call `rea\\nd`".into())
    );
    odd.rules = vec![Rule {
        key: Key::Group("@none".into()),
        action: Action::Allow,
    }];
    assert_eq!(refused(&odd), (Some(0), "there is no group `@none`".into()));
    odd.rules = vec![Rule {
        key: Key::Default,
        action: Action::Errno(0),
    }];
    assert_eq!(
        refused(&odd),
        (Some(0), "0 is no errno: they go from 1 to 4095".into())
    );
    odd = Filter {
        default: Action::Errno(4096),
        architectures: X86_64.to_vec(),
        rules: vec![],
    };
    assert_eq!(refused(&odd).0, None);
}

#[test]
fn too_long_a_filter_is_refused() {
    let rules = |count: u64| {
        let key = |number| Key::parse(&format!("socket({number})")).unwrap();
        let rules = (0..count)
            .map(|number| Rule {
                key: key(number),
                action: Action::Trap,
            })
            .collect();
        Filter {
            default: Action::Allow,
            architectures: X86_64.to_vec(),
            rules,
        }
    };
    assert!(compile(&rules(1300)).is_ok());
    match compile(&rules(1400)) {
        Err(CompileError::TooLong { length }) => assert!(length > MAX_INSTRUCTIONS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_call_is_let_through_besides() {
    let strict = program(
        "kill",
        &[
            ("read", "allow"),
            ("execve", "allow"),
            ("exit_group", "allow"),
        ],
    );
    let more = strict.with_call("close_range", Arch::X86_64).unwrap();
    let verdict = |program: &Program, call, arch| program.verdict_for(call, arch, [0; 6]).unwrap();
    assert_eq!(verdict(&more, "close_range", Arch::X86_64), Action::Allow);
    for call in ["read", "write", "close", "exit_group", "clone3"] {
        for arch in Arch::ALL {
            if arch.number(call).is_some() {
                let (then, now) = (verdict(&strict, call, arch), verdict(&more, call, arch));
                assert_eq!(then, now, "{call}");
            }
        }
    }
    // By the number of the one on another architecture, which is that of another call there.
    assert!(!verdict(&more, "close_range", Arch::X86).permits());
}

#[test]
fn what_becomes_too_long_is_refused() {
    let allow = *program("allow", &[]).instructions().last().unwrap();
    let long = Program::new(vec![allow; MAX_INSTRUCTIONS]).unwrap();
    let refused = long.with_call("close_range", Arch::X86_64);
    assert_eq!(refused, Err(Malformed::Length(MAX_INSTRUCTIONS + 5)));
}
