//! Programs against an evaluator written from the description of the semantics: it ranks all rules that match a call and
//! takes the highest, knows no ranges, trees or jumps, and shares nothing with the compiler but the tables of names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use proptest::prelude::*;

use super::super::arch::X86_SIBLINGS;
use super::super::implied::{IO_URING_DOES, MULTIPLEXERS};
use super::super::*;

const ENOSYS: Action = Action::Errno(38);

fn members(group: &str) -> &'static BTreeSet<&'static str> {
    static ALL: OnceLock<BTreeMap<&str, BTreeSet<&str>>> = OnceLock::new();
    ALL.get_or_init(|| {
        groups()
            .map(|group| (group.name, group.members()))
            .collect()
    })
    .get(group)
    .unwrap()
}

fn expected(filter: &Filter, data: &SeccompData) -> Action {
    let Some(arch) = filter
        .architectures
        .iter()
        .copied()
        .find(|arch| arch.audit_value() == data.arch)
    else {
        return Action::KillProcess;
    };
    if arch == Arch::X86_64 && data.number >> 30 == 1 {
        return Action::KillProcess;
    }
    let Some((_, call)) = arch
        .calls()
        .iter()
        .find(|(number, _)| *number == data.number)
    else {
        return ENOSYS;
    };
    if is_closed(filter, arch, call) {
        ENOSYS
    } else {
        decide(filter, arch, call, Some(data.args))
    }
}

fn severity(action: Action) -> i64 {
    match action {
        Action::KillProcess => 10_000,
        Action::Trap => 9_000,
        Action::Errno(number) => 8_000 - i64::from(number),
        Action::Log => 1,
        Action::Allow => 0,
    }
}

fn is_named(filter: &Filter, call: &str) -> bool {
    filter
        .rules
        .iter()
        .any(|rule| rule.key.call() == Some(call))
}

/// The name whose rules count for the call.
fn subject<'c>(filter: &Filter, arch: Arch, call: &'c str) -> &'c str {
    if arch == Arch::X86 && !is_named(filter, call) {
        for (name, sibling) in X86_SIBLINGS {
            if *sibling == call && is_named(filter, name) {
                return name;
            }
        }
    }
    call
}

/// The action of the highest-ranking rule; without arguments, rules on arguments are passed over.
fn decide(filter: &Filter, arch: Arch, call: &str, args: Option<[u64; 6]>) -> Action {
    let name = subject(filter, arch, call);
    let mut best = ((-1, 0, 0), filter.default);
    for rule in &filter.rules {
        let rank = match &rule.key {
            Key::Default => (0, 0),
            Key::Group(group) if members(group).contains(call) => {
                (1, -(members(group).len() as i64))
            }
            Key::Call(named) if named == name => (2, 0),
            Key::CallWithArguments(on) if on.call() == name => match args {
                Some(args)
                    if on
                        .conditions()
                        .iter()
                        .all(|condition| holds(condition, args)) =>
                {
                    (3, on.conditions().len() as i64)
                }
                _ => continue,
            },
            _ => continue,
        };
        let rank = (rank.0, rank.1, severity(rule.action));
        if rank > best.0 {
            best = (rank, rule.action);
        }
    }
    best.1
}

fn holds(condition: &Condition, args: [u64; 6]) -> bool {
    let whole = args[usize::from(condition.index())];
    let value = condition.value();
    let argument = if condition.is_wide() {
        whole
    } else {
        whole % (1 << 32)
    };
    match condition.comparison() {
        Comparison::Equal => argument == value,
        Comparison::NotEqual => argument != value,
        Comparison::Less => argument < value,
        Comparison::LessOrEqual => argument <= value,
        Comparison::Greater => argument > value,
        Comparison::GreaterOrEqual => argument >= value,
        Comparison::AnyBitOf => argument & value != 0,
    }
}

fn tests_arguments<'f>(filter: &'f Filter, arch: Arch, call: &str) -> Vec<&'f Rule> {
    let name = subject(filter, arch, call);
    let on = |rule: &&Rule| matches!(&rule.key, Key::CallWithArguments(on) if on.call() == name);
    filter.rules.iter().filter(on).collect()
}

/// Whether an implied answer closes the call.
fn is_closed(filter: &Filter, arch: Arch, call: &str) -> bool {
    let tested =
        |call: &str| arch.number(call).is_some() && !tests_arguments(filter, arch, call).is_empty();
    let restricted_by_name = |call: &str| {
        filter
            .rules
            .iter()
            .any(|rule| rule.key.call() == Some(call) && !rule.action.permits())
    };
    match call {
        "mmap" if arch == Arch::X86 => tested("mmap"),
        _ if is_named(filter, call) => false,
        "clone3" => {
            tested("clone")
                || restricted_by_name("clone")
                || restricted_by_name("unshare")
                || is_named(filter, "clone")
                    && matches!(decide(filter, arch, call, None), Action::Errno(_))
        }
        "openat2" => tested("open") || tested("openat"),
        "io_uring_setup" | "io_uring_enter" | "io_uring_register" => {
            if filter
                .rules
                .iter()
                .any(|rule| rule.key == Key::Group("@io-uring".into()))
            {
                return false;
            }
            // No call has this name, so only the default speaks about it.
            let default = decide(filter, arch, "", None);
            let mut done = IO_URING_DOES
                .iter()
                .filter(|call| arch.number(call).is_some());
            !default.permits()
                || done.any(|call| {
                    !decide(filter, arch, call, None).permits()
                        || tests_arguments(filter, arch, call)
                            .iter()
                            .any(|rule| !rule.action.permits())
                })
        }
        _ if arch == Arch::X86 => MULTIPLEXERS.iter().any(|(entrance, behind)| {
            let own = decide(filter, arch, call, None);
            *entrance == call
                && behind.iter().any(|behind| {
                    decide(filter, arch, behind, None) != own
                        || !tests_arguments(filter, arch, behind).is_empty()
                })
        }),
        _ => false,
    }
}

/// Calls that the implied answers are about, and a few that rules may test.
const INTERESTING: &str = "clone clone3 unshare socket socketpair ioctl open openat openat2 io_uring_setup io_uring_enter mmap
    mmap2 fcntl fcntl64 setuid setuid32 socketcall ipc semop semget shmget shmat prlimit64 kill personality getppid read
    accept connect futex futex_time64 mremap getrandom madvise chmod mknodat umount umount2 open_tree";

const VALUES: [u64; 12] = [
    0,
    1,
    2,
    3,
    7,
    16,
    0x5412,
    0x1000_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7000_0000_0000_0002,
];

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Allow),
        2 => Just(Action::Errno(1)),
        1 => (1..=4095).prop_map(Action::Errno),
        1 => Just(ENOSYS),
        1 => Just(Action::KillProcess),
        1 => Just(Action::Log),
        1 => Just(Action::Trap),
    ]
}

fn any_architectures() -> impl Strategy<Value = Vec<Arch>> {
    Just(Arch::ALL.to_vec())
        .prop_shuffle()
        .prop_flat_map(|all| (1..=3_usize).prop_map(move |count| all[..count].to_vec()))
}

fn any_call() -> impl Strategy<Value = String> {
    let interesting: Vec<_> = INTERESTING
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let all: Vec<_> = members("@known")
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    // Many rules have to meet in one call, or ties are never seen.
    let crowded = prop::sample::select(vec!["socket", "clone", "shmget"]).prop_map(str::to_owned);
    prop_oneof![6 => crowded, 4 => prop::sample::select(interesting), 1 => prop::sample::select(all)]
}

/// A key with conditions, as text; those that the parser refuses are thrown away.
fn any_test() -> impl Strategy<Value = Option<Key>> {
    let condition = prop_oneof![
        2 => Just("_".to_owned()),
        3 => (prop::sample::select(vec!["", "!=", "<", "<=", ">", ">=", "&"]), prop::sample::select(VALUES.to_vec()))
            .prop_map(|(sign, value)| format!("{sign}{value}")),
    ];
    let call = prop_oneof![
        3 => any_call(),
        1 => prop::sample::select(supported_calls().map(str::to_owned).collect::<Vec<_>>()),
    ];
    (call, prop::collection::vec(condition, 1..6)).prop_map(|(call, mut conditions)| {
        // Pointers and missing arguments are dropped one by one rather than the whole rule.
        let text = |conditions: &[String]| format!("{call}({})", conditions.join(", "));
        for index in (0..conditions.len()).rev() {
            let alone: Vec<_> = (0..index)
                .map(|_| "_".to_owned())
                .chain([conditions[index].clone()])
                .collect();
            if conditions[index] != "_" && Key::parse(&text(&alone)).is_err() {
                conditions[index] = "_".to_owned();
            }
        }
        while conditions.last().is_some_and(|condition| condition == "_") {
            conditions.pop();
        }
        Key::parse(&text(&conditions)).ok()
    })
}

fn any_key() -> impl Strategy<Value = Option<Key>> {
    prop_oneof![
        1 => Just(Some(Key::Default)),
        4 => prop::sample::select(groups().map(|group| group.name).collect::<Vec<_>>())
            .prop_map(|name| Some(Key::Group(name.to_owned()))),
        6 => any_call().prop_map(|call| Key::parse(&call).ok()),
        8 => any_test(),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    (
        any_action(),
        any_architectures(),
        prop::collection::vec((any_key(), any_action()), 0..16),
    )
        .prop_map(|(default, architectures, rules)| {
            let usable = |key: &Key| {
                key.call()
                    .is_none_or(|call| architectures.iter().any(|arch| arch.number(call).is_some()))
            };
            let rules = rules
                .into_iter()
                .filter_map(|(key, action)| {
                    Some(Rule {
                        key: key.filter(usable)?,
                        action,
                    })
                })
                .collect();
            Filter {
                default,
                architectures,
                rules,
            }
        })
}

fn any_argument() -> impl Strategy<Value = u64> {
    let value = || prop::sample::select(VALUES.to_vec());
    prop_oneof![
        4 => 0..4_u64,
        4 => value(),
        1 => value().prop_map(|value| value.wrapping_add(1)),
        1 => value().prop_map(|value| value.wrapping_sub(1)),
        1 => value().prop_map(|value| value | 1 << 32),
        1 => any::<u64>(),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Number {
    /// One of the calls that the rules name, by index.
    Named(prop::sample::Index),
    Exact(u32),
}

fn any_data() -> impl Strategy<Value = (prop::sample::Index, Number, [u64; 6])> {
    let number = prop_oneof![
        6 => any::<prop::sample::Index>().prop_map(Number::Named),
        3 => (0..500_u32).prop_map(Number::Exact),
        1 => (0..600_u32).prop_map(|number| Number::Exact(number | 0x4000_0000)),
        1 => any::<u32>().prop_map(Number::Exact),
        1 => prop::sample::select(vec![u32::MAX, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000]).prop_map(Number::Exact),
    ];
    (
        any::<prop::sample::Index>(),
        number,
        prop::array::uniform6(any_argument()),
    )
}

fn compare(filter: &Filter, program: &Program, data: &SeccompData) -> Result<(), TestCaseError> {
    let (made, wanted) = (interpret(program, data), expected(filter, data));
    let call = Arch::ALL
        .iter()
        .find(|arch| arch.audit_value() == data.arch)
        .and_then(|arch| arch.call(data.number));
    prop_assert_eq!(made, wanted, "{:?} {:?}\n{}", call, data, program);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_do_what_the_rules_say(filter in any_filter(), data in prop::collection::vec(any_data(), 60)) {
        let program = compile(&filter).unwrap().program;
        let arches: Vec<u32> = Arch::ALL.iter().map(|arch| arch.audit_value()).chain([0x8000_0016]).collect();
        let mut named: Vec<&str> = filter.rules.iter().filter_map(|rule| rule.key.call()).collect();
        named.extend(INTERESTING.split_ascii_whitespace());
        for (arch, number, args) in data {
            // Enabled architectures three times as often as others.
            let enabled = filter.architectures.iter().map(|arch| arch.audit_value()).cycle().take(9);
            let arch = *arch.get(&enabled.chain(arches.iter().copied()).collect::<Vec<_>>());
            let number = match number {
                Number::Exact(number) => number,
                Number::Named(index) => {
                    let known = Arch::ALL.iter().find(|known| known.audit_value() == arch);
                    known.and_then(|known| known.number(index.get::<&str>(&named))).unwrap_or(512)
                }
            };
            compare(&filter, &program, &SeccompData { number, arch, instruction_pointer: 0, args })?;
        }
    }

    /// Keys are read from untrusted files.
    #[test]
    fn no_key_makes_the_parser_panic(text in "[a-z@(_,)!<>=&|0-9xA-Z \\-é\n]{0,40}") {
        if let Err(error) = Key::parse(&text) {
            prop_assert!(text.get(error.span).is_some());
        }
    }

    #[test]
    fn shown_keys_are_read_back(key in any_key()) {
        if let Some(key) = key {
            prop_assert_eq!(Key::parse(&key.to_string()).unwrap(), key);
        }
    }
}

/// Every second call has a rule and two have hundreds, so that branches lead farther than 255 instructions.
#[test]
fn far_branches_lead_to_the_right_place() {
    let mut rules = Vec::new();
    for (index, (_, call)) in Arch::X86_64.calls().iter().enumerate() {
        if index % 2 == 0 {
            rules.push(Rule {
                key: Key::Call((*call).to_owned()),
                action: Action::Errno(1 + index as i32),
            });
        }
    }
    for number in 0..80 {
        for call in ["socket", "kill", "openat"] {
            let key = Key::parse(&format!("{call}({number})")).unwrap();
            rules.push(Rule {
                key,
                action: Action::Errno(1000 + number),
            });
        }
    }
    let filter = Filter {
        default: Action::Allow,
        architectures: vec![Arch::X86, Arch::X86_64, Arch::Aarch64],
        rules,
    };
    let program = compile(&filter).unwrap().program;
    for arch in Arch::ALL {
        for number in (0..480).chain([0x4000_0001, u32::MAX]) {
            for argument in [0, 1, 79, 80] {
                let args = [argument; 6];
                let data = SeccompData {
                    number,
                    arch: arch.audit_value(),
                    instruction_pointer: 0,
                    args,
                };
                assert_eq!(
                    interpret(&program, &data),
                    expected(&filter, &data),
                    "{arch} {:?}",
                    arch.call(number)
                );
            }
        }
    }
}
