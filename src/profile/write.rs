//! Values as TOML that reads back as the same value, and as JSON.

use std::time::Duration;

use serde_json::json;

use super::read::{action_word, time};
use super::value::{Id, Namespace, Terms, Value, Variable, View, exact_bytes};
use crate::report::escape::is_harmful;

/// A text as a TOML string on one line. What must not reach a terminal is escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_harmful(c) && u32::from(c) < 0x1_0000 => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c if is_harmful(c) => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key as TOML writes it: bare where it can be.
#[must_use]
pub fn key(text: &str) -> String {
    let bare = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { text.to_owned() } else { quoted(text) }
}

/// Several texts as a TOML array.
#[must_use]
pub fn array<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

fn duration(value: Duration) -> String {
    let milliseconds = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    time::UNITS
        .iter()
        .find(|(_, unit)| milliseconds.is_multiple_of(*unit))
        .map_or_else(String::new, |(name, unit)| {
            format!("{}{name}", milliseconds / unit)
        })
}

impl Value {
    /// The value as a profile writes it, on one line.
    #[must_use]
    pub fn to_toml(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Size(size) => match size.to_string() {
                text if text.bytes().all(|byte| byte.is_ascii_digit()) => text,
                text => quoted(&text),
            },
            Self::Count(super::value::Count::Number(number)) => number.to_string(),
            Self::Count(super::value::Count::Max) => quoted("max"),
            Self::Cpu(cpu) => quoted(&cpu.to_string()),
            Self::Duration(value) => quoted(&duration(*value)),
            Self::Mode(mode) => quoted(&format!("{mode:04o}")),
            Self::Word(word) => quoted(word),
            Self::Text(text) => quoted(text),
            Self::List(list) => array(list.iter().map(|text| text.value.as_str())),
            Self::Namespace(Namespace::New) => "true".to_owned(),
            Self::Namespace(Namespace::Caller) => "false".to_owned(),
            Self::Namespace(Namespace::Join(path)) => quoted(path),
            Self::Namespace(Namespace::Sandbox(name)) => quoted(&format!("sandbox:{name}")),
            Self::View(view) => self::view(view),
            Self::Syscall(action) => quoted(&action_word(*action)),
            Self::Keep(keep) => quoted(if *keep { "keep" } else { "drop" }),
            Self::Variable(Variable::Pass) => "true".to_owned(),
            Self::Variable(Variable::Unset) => "false".to_owned(),
            Self::Variable(Variable::Set(text)) => quoted(text),
            Self::Device(access) => quoted(access.word()),
            Self::Id(Id::Caller) => quoted("caller"),
            Self::Id(Id::Number(number)) => number.to_string(),
            Self::Ranges(ranges) => quoted(&ranges.to_string()),
            Self::Rates(rates) => self::rates(rates),
            Self::IoPriority(priority) => quoted(&priority.to_string()),
            Self::Scheduler(scheduler) => quoted(&scheduler.to_string()),
            Self::CpuSet(cpus) => quoted(&cpus.to_string()),
        }
    }

    /// The value as JSON: numbers and booleans as such, the rest in a profile's words.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(value) => json!(value),
            Self::Integer(value) => json!(value),
            Self::Size(size) => json!(size.to_string()),
            Self::Count(super::value::Count::Number(number)) => json!(number),
            Self::Count(super::value::Count::Max) => json!("max"),
            Self::Cpu(cpu) => json!(cpu.to_string()),
            Self::Duration(value) => json!(duration(*value)),
            Self::Mode(mode) => json!(format!("{mode:04o}")),
            Self::Word(word) => json!(word),
            Self::Text(text) => json!(text),
            Self::List(list) => list.iter().map(|text| text.value.as_str()).collect(),
            Self::Namespace(Namespace::New) => json!(true),
            Self::Namespace(Namespace::Caller) => json!(false),
            Self::Namespace(Namespace::Join(path)) => json!(path),
            Self::Namespace(Namespace::Sandbox(name)) => json!(format!("sandbox:{name}")),
            Self::View(view) => view_json(view),
            Self::Syscall(action) => json!(action_word(*action)),
            Self::Keep(keep) => json!(if *keep { "keep" } else { "drop" }),
            Self::Variable(Variable::Pass) => json!(true),
            Self::Variable(Variable::Unset) => json!(false),
            Self::Variable(Variable::Set(text)) => json!(text),
            Self::Device(access) => json!(access.word()),
            Self::Id(Id::Caller) => json!("caller"),
            Self::Id(Id::Number(number)) => json!(number),
            Self::Ranges(ranges) => json!(ranges.to_string()),
            Self::Rates(rates) => {
                let parts = rates.parts().into_iter();
                let parts =
                    parts.filter_map(|(name, rate, _)| Some((name.to_owned(), rate?.into())));
                serde_json::Value::Object(parts.collect())
            }
            Self::IoPriority(priority) => json!(priority.to_string()),
            Self::Scheduler(scheduler) => json!(scheduler.to_string()),
            Self::CpuSet(cpus) => json!(cpus.to_string()),
        }
    }
}

fn rates(rates: &super::value::Rates) -> String {
    let parts = rates.parts().into_iter().filter_map(|(name, rate, bytes)| {
        let rate = rate?;
        Some(match (bytes, exact_bytes(rate)) {
            (true, text) if text != rate.to_string() => format!("{name} = {}", quoted(&text)),
            _ => format!("{name} = {rate}"),
        })
    });
    format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
}

/// The pairs of a view's table; none where one word says it.
fn view_pairs(view: &View) -> Vec<(&'static str, String)> {
    match view {
        View::Host(_)
        | View::Private
        | View::Tmpfs { size: None }
        | View::Copy { size: None }
        | View::Overlay => Vec::new(),
        View::Copy { size: Some(size) } => vec![("copy", quoted(&size.to_string()))],
        View::Tmpfs { size: Some(size) } => vec![("tmpfs", quoted(&size.to_string()))],
        View::Bind { source, access } => {
            vec![("bind", quoted(source)), ("access", quoted(access.word()))]
        }
        View::Root { source, access } => {
            vec![("root", quoted(source)), ("access", quoted(access.word()))]
        }
        View::Text(text) => vec![("text", quoted(text))],
        View::With(view, terms) => {
            let mut pairs = view_pairs(view);
            if pairs.is_empty() {
                pairs.push(("access", quoted(view_word(view))));
            }
            pairs.extend(term_pairs(*terms));
            pairs
        }
    }
}

/// The word for a view that needs no more.
fn view_word(view: &View) -> &'static str {
    match view {
        View::Host(access) => access.word(),
        View::Private => "private",
        View::Copy { .. } => "copy",
        View::Overlay => "overlay",
        _ => "tmpfs",
    }
}

fn term_pairs(terms: Terms) -> impl Iterator<Item = (&'static str, String)> {
    let execute = terms.execute.map(|on| ("execute", on.to_string()));
    let create = terms.create.map(|made| ("create", quoted(made.word())));
    let required = terms.required.then(|| ("required", "true".to_owned()));
    [execute, create, required].into_iter().flatten()
}

fn view(view: &View) -> String {
    let pairs = view_pairs(view);
    if pairs.is_empty() {
        return quoted(view_word(view));
    }
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn view_json(view: &View) -> serde_json::Value {
    match view {
        View::Host(_)
        | View::Private
        | View::Tmpfs { size: None }
        | View::Copy { size: None }
        | View::Overlay => json!(view_word(view)),
        View::Copy { size: Some(size) } => json!({ "copy": size.to_string() }),
        View::Tmpfs { size: Some(size) } => json!({ "tmpfs": size.to_string() }),
        View::Bind { source, access } => json!({ "bind": source, "access": access.word() }),
        View::Root { source, access } => json!({ "root": source, "access": access.word() }),
        View::Text(text) => json!({ "text": text }),
        View::With(view, terms) => {
            let mut out = match view_json(view) {
                serde_json::Value::Object(map) => map,
                word => serde_json::Map::from_iter([("access".to_owned(), word)]),
            };
            if let Some(execute) = terms.execute {
                out.insert("execute".to_owned(), json!(execute));
            }
            if let Some(create) = terms.create {
                out.insert("create".to_owned(), json!(create.word()));
            }
            if terms.required {
                out.insert("required".to_owned(), json!(true));
            }
            out.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::bpf::Action;
    use crate::profile::document::parse;
    use crate::profile::key::Section;
    use crate::profile::value::{
        Access, Count, Cpu, CpuSet, Create, IoPriority, Ranges, Rates, Scheduler, Size,
    };
    use crate::report::SourceId;

    /// A value and a key that takes it.
    fn any_value() -> impl Strategy<Value = (Section, &'static str, Value)> {
        let size = prop_oneof![
            (0..=i64::MAX as u64).prop_map(Size::Bytes),
            (0u32..62).prop_map(|shift| Size::Bytes(1 << shift)),
            (0u32..=10_000).prop_map(Size::OfRam),
            Just(Size::Max),
        ];
        let access = prop_oneof![Just(Access::ReadOnly), Just(Access::ReadWrite)];
        let words = any::<String>().prop_filter("not a removal", |text| text != "inherit");
        let without_nul = words
            .clone()
            .prop_map(|text| text.replace('\0', ""))
            .prop_filter("not a removal", |text| text != "inherit");
        let path = "(/[a-zA-Z0-9 $#\"'\\\\]{1,8}){1,4}"
            .prop_filter("no dots", |path: &String| !path.contains("${"));
        let view = prop_oneof![
            Just(View::Private),
            Just(View::Host(Access::Hidden)),
            Just(View::Host(Access::Denied)),
            access.clone().prop_map(View::Host),
            Just(View::Tmpfs { size: None }),
            Just(View::Copy { size: None }),
            (1u64..1 << 50).prop_map(|n| View::Copy {
                size: Some(Size::Bytes(n))
            }),
            Just(View::Overlay),
            (1u64..1 << 50).prop_map(|n| View::Tmpfs {
                size: Some(Size::Bytes(n))
            }),
            (path.clone(), access.clone())
                .prop_map(|(source, access)| View::Bind { source, access }),
            ("[a-z][a-z0-9:._+-]{0,8}", access)
                .prop_map(|(source, access)| View::Root { source, access }),
            words.prop_map(View::Text),
        ];
        let create = prop_oneof![
            Just(None),
            Just(Some(Create::Directory)),
            Just(Some(Create::File))
        ];
        let terms = (proptest::option::of(any::<bool>()), create, any::<bool>());
        let view = (view, terms).prop_map(|(view, (execute, create, required))| {
            let of_host = matches!(
                view,
                View::Host(Access::ReadOnly | Access::ReadWrite) | View::Bind { .. }
            );
            let closed = view.closes();
            let terms = Terms {
                execute: execute.filter(|_| !closed && !matches!(view, View::Text(_))),
                create: create.filter(|_| of_host),
                required: required && (of_host || closed),
            };
            view.on(terms)
        });
        prop_oneof![
            size.prop_map(|size| (Section::Limits, "memory", Value::Size(size))),
            (0..=i64::MAX as u64).prop_map(|n| (
                Section::Limits,
                "pids",
                Value::Count(Count::Number(n))
            )),
            Just((Section::Limits, "pids", Value::Count(Count::Max))),
            (100u64..1_000_000).prop_map(|n| (Section::Limits, "cpu", Value::Cpu(Cpu::Share(n)))),
            (1u64..1 << 40).prop_map(|n| {
                (
                    Section::Process,
                    "timeout",
                    Value::Duration(Duration::from_millis(n)),
                )
            }),
            (0u32..=0o777).prop_map(|n| (Section::Process, "umask", Value::Mode(n))),
            (-20i64..20).prop_map(|n| (Section::Process, "nice", Value::Integer(n))),
            any::<bool>().prop_map(|on| (Section::Devices, "gpu", Value::Bool(on))),
            any::<bool>().prop_map(|on| (Section::Capabilities, "chown", Value::Keep(on))),
            without_nul.prop_map(|t| (
                Section::Environment,
                "A",
                Value::Variable(Variable::Set(t))
            )),
            path.clone()
                .prop_map(|p| (Section::Process, "working-directory", Value::Text(p))),
            path.prop_map(|p| (
                Section::Namespaces,
                "net",
                Value::Namespace(Namespace::Join(p))
            )),
            view.prop_map(|view| (Section::Filesystem, "/a", Value::View(view))),
            prop_oneof![
                Just("allow"),
                Just("deny"),
                Just("kill"),
                Just("log"),
                Just("trap"),
                Just("ENOSYS"),
                Just("EAGAIN")
            ]
            .prop_map(|word| (
                Section::Syscalls,
                "ptrace",
                Value::Syscall(Action::parse(word).expect("an action"))
            )),
            (0..u32::MAX).prop_map(|n| (Section::User, "uid", Value::Id(Id::Number(n)))),
            Just((Section::User, "uid", Value::Id(Id::Caller))),
            prop_oneof![
                Just(IoPriority::Idle),
                (0u8..8).prop_map(IoPriority::BestEffort),
                (0u8..8).prop_map(IoPriority::RealTime),
            ]
            .prop_map(|p| (Section::Process, "io-priority", Value::IoPriority(p))),
            prop_oneof![
                Just(Scheduler::Other),
                Just(Scheduler::Batch),
                Just(Scheduler::Idle),
                (1u8..100).prop_map(Scheduler::Fifo),
                (1u8..100).prop_map(Scheduler::RoundRobin),
            ]
            .prop_map(|s| (Section::Process, "scheduler", Value::Scheduler(s))),
            proptest::collection::vec((0u32..200, 0u32..50), 1..5).prop_map(|ranges| {
                let ranges = ranges.iter().map(|&(first, more)| (first, first + more));
                let cpus = CpuSet::new(ranges.collect()).expect("none is too high");
                (Section::Process, "cpu-affinity", Value::CpuSet(cpus))
            }),
            Just((Section::Devices, "/dev/kvm", Value::Device(Access::Hidden))),
            Just((Section::Network, "mode", Value::Word("none"))),
            (1_i64..=10_000).prop_map(|n| (Section::Limits, "cpu-weight", Value::Integer(n))),
            Just((Section::Limits, "cpu-weight", Value::Word("idle"))),
            (1_i64..=u32::MAX.into()).prop_map(|n| (
                Section::Limits,
                "net-class",
                Value::Integer(n)
            )),
            proptest::collection::vec((0_u32..=65_535, 0_u32..=65_535), 1..5).prop_map(|ranges| {
                let ranges = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b)));
                (
                    Section::Limits,
                    "cpus",
                    Value::Ranges(Ranges::of(ranges.collect())),
                )
            }),
            proptest::array::uniform4(proptest::option::of(1_u64..u64::from(u32::MAX)))
                .prop_filter("says something", |rates| rates.iter().any(Option::is_some))
                .prop_map(|[read, write, read_operations, write_operations]| {
                    let rates = Rates {
                        read,
                        write,
                        read_operations,
                        write_operations,
                    };
                    (Section::Limits, "/home", Value::Rates(rates))
                }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back((section, name, value) in any_value()) {
            let text = format!("[{section}]\n{} = {}\n", key(name), value.to_toml());
            let parsed = parse("a", SourceId::default(), &text);
            prop_assert_eq!(&parsed.diagnostics, &[], "{}", text);
            prop_assert_eq!(parsed.profile.entries.len(), 1);
            prop_assert_eq!(parsed.profile.entries[0].value.value.as_ref(), Some(&value), "{}", text);
        }

        #[test]
        fn any_key_reads_back(name in "[^=\\p{Cc}]{1,20}") {
            prop_assume!(name != "default");
            let text = format!("[environment]\n{} = true\n", key(&name));
            let parsed = parse("a", SourceId::default(), &text);
            prop_assert_eq!(&parsed.diagnostics, &[], "{}", text);
            prop_assert_eq!(&parsed.profile.entries[0].key.value, &name);
        }

        #[test]
        fn no_text_makes_the_parser_fail(text in any::<String>()) {
            let parsed = parse("a", SourceId::default(), &text);
            let says_something = !parsed.profile.entries.is_empty() || parsed.profile.extends.is_some();
            prop_assert!(says_something || !parsed.diagnostics.is_empty());
        }

        #[test]
        fn no_toml_like_text_makes_the_parser_fail(text in "([a-z]{1,3}|limits|memory|=|\"|\\[|\\]|\\{|\\}|\n|\\.|,|#|3G|true| ){0,40}") {
            let parsed = parse("a", SourceId::default(), &text);
            let says_something = !parsed.profile.entries.is_empty() || parsed.profile.extends.is_some();
            prop_assert!(says_something || !parsed.diagnostics.is_empty());
        }
    }
}
