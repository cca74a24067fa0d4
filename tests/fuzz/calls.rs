//! Compiled programs against an independent reading of their rules: filters of system calls, lists of devices.

use std::cmp::Reverse;

use sandbox::bpf::{self, Action, Arch, Filter, Key, Rule, SeccompData};
use sandbox::section::limits::DeviceRule;

const KILL: Action = Action::KillProcess;
const ENOSYS: Action = Action::Errno(38);

/// Bytes, one after the other; 0 when there are no more.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// One of these, which are not none.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = match all.len() {
            0..=256 => self.next().into(),
            _ => usize::from(self.next()) << 8 | usize::from(self.next()),
        };
        all[at % all.len()]
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Calls that are entrances to others, or stand behind one, or are tested most.
const INTERESTING: &[&str] = &[
    "clone",
    "clone3",
    "unshare",
    "open",
    "openat",
    "openat2",
    "socket",
    "socketcall",
    "ipc",
    "shmget",
    "semtimedop",
    "io_uring_setup",
    "io_uring_enter",
    "mmap",
    "mmap2",
    "mprotect",
    "ioctl",
    "fcntl",
    "fcntl64",
    "prctl",
    "personality",
    "kill",
    "futex",
    "futex_time64",
    "getuid",
    "getuid32",
    "settimeofday",
    "stime",
    "mount",
    "ptrace",
    "read",
    "write",
    "setns",
    "chmod",
    "newfstatat",
    "fstatat64",
];

const ACTIONS: &[&str] = &[
    "allow", "deny", "ENOSYS", "kill", "log", "trap", "EACCES", "allow",
];

const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x5412,
    0x10000,
    0x1002_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    u64::MAX,
    u64::MAX - 1,
];

fn number(bytes: &mut Bytes) -> u64 {
    let chosen = bytes.next();
    match chosen {
        0..=127 => NUMBERS[usize::from(chosen) % NUMBERS.len()],
        128..=191 => u64::from(bytes.next()),
        _ => u64::from_le_bytes(std::array::from_fn(|_| bytes.next())),
    }
}

fn call<'a>(bytes: &mut Bytes, named: &[&'a str]) -> &'a str {
    match bytes.next() {
        0..=95 if !named.is_empty() => bytes.of(named),
        0..=191 => bytes.of(INTERESTING),
        chosen => bytes.of(Arch::ALL[usize::from(chosen) % 3].calls()).1,
    }
}

fn key(bytes: &mut Bytes) -> String {
    match bytes.next() % 16 {
        0 => "default".to_owned(),
        1..=3 => {
            let groups: Vec<&str> = bpf::groups().map(|group| group.name).collect();
            bytes.of(&groups).to_owned()
        }
        4..=7 => call(bytes, &[]).to_owned(),
        _ => {
            let supported: Vec<&str> = bpf::supported_calls().collect();
            let call = match bytes.next() {
                0..=127 => bytes.of(&[
                    "clone", "openat", "mmap", "ioctl", "socket", "fcntl", "open",
                ]),
                _ => bytes.of(&supported),
            };
            let mut conditions = Vec::new();
            for _ in 0..=bytes.next() % 4 {
                conditions.push(match bytes.next() % 3 {
                    0 => "_".to_owned(),
                    _ => {
                        let sign = bytes.of(&["", "!=", "<", "<=", ">", ">=", "&", ""]);
                        format!("{sign}{:#x}", number(bytes))
                    }
                });
            }
            format!("{call}({})", conditions.join(", "))
        }
    }
}

/// How strict an action is; two errnos are told apart so that one of them holds.
fn rank(action: Action) -> (u8, i32) {
    match action {
        Action::Allow => (0, 0),
        Action::Log => (1, 0),
        Action::Errno(number) => (2, -number),
        Action::Trap => (3, 0),
        Action::KillProcess => (4, 0),
    }
}

/// What the rules say about a call of one name, by its arguments, before anything is implied.
fn said(filter: &Filter, name: &str, is_in_groups_as: &str, args: &[u64; 6]) -> Action {
    let mut found = Vec::new();
    for rule in &filter.rules {
        let (kind, specific) = match &rule.key {
            Key::Default => (1, usize::MAX),
            Key::Group(group) => {
                let Some(group) = bpf::groups().find(|one| one.name == group) else {
                    continue;
                };
                let members = group.members();
                if !members.contains(is_in_groups_as) {
                    continue;
                }
                (2, members.len())
            }
            Key::Call(own) if own == name => (3, 0),
            Key::CallWithArguments(on) if on.call() == name => {
                let holds = on
                    .conditions()
                    .iter()
                    .all(|condition| condition.holds(args));
                if !holds {
                    continue;
                }
                // More conditions come first.
                (4, 64 - on.conditions().len())
            }
            _ => continue,
        };
        found.push(((kind, Reverse(specific), rank(rule.action)), rule.action));
    }
    let best = found.into_iter().max_by_key(|(rank, _)| *rank);
    best.map_or(filter.default, |(_, action)| action)
}

fn names(filter: &Filter, name: &str) -> bool {
    filter
        .rules
        .iter()
        .any(|rule| rule.key.call() == Some(name))
}

fn tests(filter: &Filter, name: &str) -> bool {
    filter
        .rules
        .iter()
        .any(|rule| matches!(&rule.key, Key::CallWithArguments(on) if on.call() == name))
}

/// i386 calls of wider ids, sizes and times: by their endings, and those that have names of their own.
fn is_entrance_to(name: &str) -> Option<&str> {
    let own = match name {
        "ugetrlimit" => "getrlimit",
        "_llseek" => "lseek",
        "_newselect" => "select",
        "fstatat64" => "newfstatat",
        "mmap2" => "mmap",
        "stime" => "settimeofday",
        _ => name
            .strip_suffix("_time64")
            .or_else(|| name.strip_suffix("64"))
            .or_else(|| name.strip_suffix("32"))?,
    };
    // `stat64`, but not `pread64` or `fadvise64`, which are called so everywhere.
    (Arch::X86_64.number(name).is_none() && Arch::X86_64.number(own).is_some()).then_some(own)
}

/// A policy and calls: the compiled program answers what the rules say. Where it does not, it refuses with ENOSYS what would be a
/// way around a rule, and tells it; what must be closed is closed.
pub fn calls(data: &[u8]) {
    let mut bytes = Bytes(data);
    let chosen = bytes.next();
    let mut rules: Vec<Rule> = Vec::new();
    for _ in 0..bytes.next() % 10 {
        let key = key(&mut bytes);
        let action = Action::parse(bytes.of(ACTIONS)).expect("an action");
        // What cannot be tested is refused, in words.
        match Key::parse(&key) {
            Ok(key) => rules.push(Rule { key, action }),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let architectures: Vec<Arch> = match chosen & 7 {
        0 => vec![Arch::X86_64],
        mask => (Arch::ALL.into_iter().enumerate())
            .filter(|(bit, _)| mask & (1 << bit) != 0)
            .map(|(_, arch)| arch)
            .collect(),
    };
    let filter = Filter {
        default: Action::parse(ACTIONS[usize::from(chosen >> 3) % ACTIONS.len()])
            .expect("an action"),
        architectures,
        rules,
    };
    let compiled = match bpf::compile(&filter) {
        Ok(compiled) => compiled,
        Err(error) => {
            let broken = matches!(error, bpf::CompileError::Broken(_));
            assert!(!broken, "{error}: {filter:?}");
            return;
        }
    };
    let named: Vec<&str> = filter
        .rules
        .iter()
        .filter_map(|rule| rule.key.call())
        .collect();
    for _ in 0..24 {
        let arch = bytes.of(&Arch::ALL);
        let name = call(&mut bytes, &named);
        let number = match (bytes.next() % 16, arch.number(name)) {
            (0, _) | (_, None) => u32::from_le_bytes(std::array::from_fn(|_| bytes.next())),
            (1, Some(number)) => number | 0x4000_0000,
            (2, Some(number)) => number.wrapping_sub(1),
            (_, Some(number)) => number,
        };
        let args = std::array::from_fn(|_| number_near(&mut bytes, &filter));
        judge(&filter, &compiled, arch, number, args);
        if bytes.is_empty() {
            break;
        }
    }
    for arch in &filter.architectures {
        closed(&filter, &compiled, *arch);
    }
}

/// A number that a rule tests for, or one beside it, or any.
fn number_near(bytes: &mut Bytes, filter: &Filter) -> u64 {
    let conditions = filter.rules.iter().filter_map(|rule| match &rule.key {
        Key::CallWithArguments(on) => Some(on.conditions()),
        _ => None,
    });
    let tested: Vec<u64> = conditions.flatten().map(|one| one.value()).collect();
    match bytes.next() {
        0..=31 => 0,
        32..=191 if !tested.is_empty() => {
            let near = bytes.of(&tested);
            match bytes.next() % 8 {
                0 => near.wrapping_add(1),
                1 => near.wrapping_sub(1),
                2 => near ^ 1 << 32,
                3 => near | 0xffff_ffff << 32,
                _ => near,
            }
        }
        _ => number(bytes),
    }
}

fn judge(filter: &Filter, compiled: &bpf::Compiled, arch: Arch, number: u32, args: [u64; 6]) {
    let data = SeccompData {
        number,
        arch: arch.audit_value(),
        instruction_pointer: 0,
        args,
    };
    let answer = bpf::interpret(&compiled.program, &data);
    let shown = || {
        format!(
            "{arch} {:?} {number:#x} {args:x?} of {filter:?}",
            arch.call(number)
        )
    };
    if !filter.architectures.contains(&arch) {
        return assert_eq!(answer, KILL, "{}", shown());
    }
    let Some(name) = arch.call(number) else {
        let x32 = arch == Arch::X86_64 && (0x4000_0000..0x8000_0000).contains(&number);
        return assert_eq!(answer, if x32 { KILL } else { ENOSYS }, "{}", shown());
    };
    let entrance = is_entrance_to(name)
        .filter(|other| arch == Arch::X86 && !names(filter, name) && names(filter, other));
    let expected = said(filter, entrance.unwrap_or(name), name, &args);
    if answer == expected {
        return;
    }
    // It is a way around some rule, and nothing else is refused beyond the rules.
    let may = [
        "clone3",
        "openat2",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
    ];
    let on_x86 = ["socketcall", "ipc", "mmap"];
    assert!(
        may.contains(&name) || arch == Arch::X86 && on_x86.contains(&name),
        "{answer} and not {expected}: {}",
        shown()
    );
    assert_eq!(answer, ENOSYS, "{}", shown());
    let told = |note: &bpf::Implied| note.call == name && note.action == answer;
    assert!(compiled.implied.iter().any(told), "not told: {}", shown());
    assert!(
        name == "mmap" || !names(filter, name),
        "a rule names it: {}",
        shown()
    );
}

/// What would be a way around a rule is closed, whatever else is said but its own name.
fn closed(filter: &Filter, compiled: &bpf::Compiled, arch: Arch) {
    let answer = |name: &str| compiled.program.verdict_for(name, arch, [0; 6]);
    let is_closed = |name: &str| answer(name).is_none_or(|action| !action.permits());
    let denied =
        |name: &str| arch.number(name).is_some() && !said(filter, name, name, &[0; 6]).permits();
    let shown = || format!("{arch}: {filter:?}");
    let has = |name: &str| arch.number(name).is_some();
    if !names(filter, "clone3") && has("clone") && tests(filter, "clone") {
        assert!(is_closed("clone3"), "{}", shown());
    }
    let opens = ["open", "openat"];
    if !names(filter, "openat2")
        && opens
            .into_iter()
            .any(|name| has(name) && tests(filter, name))
    {
        assert!(is_closed("openat2"), "{}", shown());
    }
    let named = filter
        .rules
        .iter()
        .any(|rule| matches!(&rule.key, Key::Group(name) if name == "@io-uring"));
    if !named {
        for ring in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
            let around = ["openat", "connect", "socket", "read", "write", "unlinkat"]
                .into_iter()
                .any(denied);
            if !names(filter, ring) && around {
                assert!(is_closed(ring), "{ring}: {}", shown());
            }
        }
    }
    if arch == Arch::X86 {
        if !names(filter, "socketcall") && ["socket", "connect", "sendto"].into_iter().any(denied) {
            assert!(is_closed("socketcall"), "{}", shown());
        }
        if !names(filter, "ipc") && ["shmget", "semget", "msgget"].into_iter().any(denied) {
            assert!(is_closed("ipc"), "{}", shown());
        }
        if tests(filter, "mmap") {
            assert!(is_closed("mmap"), "{}", shown());
        }
    }
}

const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;

/// A list of devices and accesses: the program of extended BPF ends, and allows what the rules do together.
pub fn devices(data: &[u8]) {
    const MAJORS: &[u32] = &[0, 1, 5, 10, 116, 226, u32::MAX];
    let mut bytes = Bytes(data);
    let number = |bytes: &mut Bytes| match bytes.next() {
        0..=199 => bytes.of(MAJORS),
        _ => u32::from_le_bytes(std::array::from_fn(|_| bytes.next())),
    };
    let mut rules = Vec::new();
    for _ in 0..bytes.next() % 64 {
        let bits = bytes.next();
        rules.push(DeviceRule {
            block: bits & 1 != 0,
            write: bits & 2 != 0,
            make: bits & 4 != 0,
            major: (bits & 8 == 0).then(|| number(&mut bytes)),
            minor: (bits & 16 == 0).then(|| number(&mut bytes)),
        });
    }
    let words = bpf::device::compile(&rules).words();
    for _ in 0..32 {
        let bits = bytes.next();
        let access = u32::from(bits & 7);
        let block = bits & 8 != 0;
        let device = bytes.of(&rules
            .iter()
            .copied()
            .map(Some)
            .chain([None])
            .collect::<Vec<_>>());
        let near = |said: Option<u32>, bytes: &mut Bytes| match said {
            Some(said) if !bytes.next().is_multiple_of(4) => said,
            _ => number(bytes),
        };
        let major = near(device.and_then(|rule| rule.major), &mut bytes);
        let minor = near(device.and_then(|rule| rule.minor), &mut bytes);
        let allowed = [MAKE, READ, WRITE].iter().all(|bit| {
            let covers = |rule: &DeviceRule| {
                rule.block == block
                    && rule.major.is_none_or(|own| own == major)
                    && rule.minor.is_none_or(|own| own == minor)
                    && (*bit == READ || *bit == WRITE && rule.write || *bit == MAKE && rule.make)
            };
            access & bit == 0 || rules.iter().any(covers)
        });
        let kind = if block { 1 } else { 2 };
        let answer = run(&words, [access << 16 | kind, major, minor]);
        assert_eq!(
            answer,
            u64::from(allowed),
            "{access} {block} {major}:{minor} of {rules:?}"
        );
    }
}

/// Runs a program of extended BPF, of the few instructions that are used (instruction-set of the kernel's documents).
fn run(words: &[u64], context: [u32; 3]) -> u64 {
    let mut registers: [Option<u64>; 16] = [None; 16];
    registers[1] = Some(0);
    let mut at = 0;
    for _ in 0..=words.len() {
        let [code, both, low, high, a, b, c, d] = words[at].to_le_bytes();
        let (target, source) = (usize::from(both & 15), usize::from(both >> 4));
        let offset = i16::from_le_bytes([low, high]);
        let immediate = i32::from_le_bytes([a, b, c, d]);
        let extended = i64::from(immediate).cast_unsigned();
        let value = |register: usize| registers[register].expect("it is set");
        at += 1;
        match code {
            0x61 => {
                assert!(source == 1 && (0..12).contains(&offset) && offset % 4 == 0);
                registers[target] =
                    Some(context[usize::try_from(offset / 4).expect("of it")].into());
            }
            0xbf => registers[target] = Some(value(source)),
            0xb7 => registers[target] = Some(extended),
            0x57 => registers[target] = Some(value(target) & extended),
            0x77 => registers[target] = Some(value(target) >> immediate),
            0x56 => {
                if value(target) as u32 != immediate.cast_unsigned() {
                    // Only ever onward: so it ends.
                    at += usize::try_from(offset).expect("onward");
                }
            }
            0x95 => return value(0),
            other => panic!("instruction {other:#x}"),
        }
    }
    panic!("it does not end");
}
