//! What has to hold whatever the input, one function for each reader of foreign text.
//!
//! The fuzzers in `fuzz/` search inputs for which it does not; `tests/fuzz.rs` runs the known ones.
#![allow(dead_code)] // Each fuzzer takes one of the functions.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sandbox::bpf::{self, Action, Arch, Filter, Key, Program, Rule, SeccompData};
use sandbox::cli::layer::{Flag, Said, layer};
use sandbox::closure::{cache, companion, elf, script};
use sandbox::desktop::copy::{Copy, is_marked};
use sandbox::desktop::entry::Document;
use sandbox::desktop::exec::{self, Codes};
use sandbox::desktop::manifest::Manifest;
use sandbox::host::cgroup::{directory, memberships, mounts};
use sandbox::host::facts::Caller;
use sandbox::host::paths::mount_points;
use sandbox::image::config::Config;
use sandbox::image::stream::{Budget, Stream};
use sandbox::image::tape::{self, Tape};
use sandbox::image::{Limits, manifest, member, source};
use sandbox::policy::{Policy, resolve, show};
use sandbox::profile::document::{Parsed, parse};
use sandbox::profile::key::Section;
use sandbox::profile::load::load;
use sandbox::profile::search::Library;
use sandbox::profile::value::Value;
use sandbox::profile::{Profile, name, write};
use sandbox::report::escape::is_harmful;
use sandbox::report::paint::Paint;
use sandbox::report::render::{Style, lines, render};
use sandbox::report::{Diagnostic, Site, Source, SourceKind, SourceMap};
use sandbox::section::expand::{Expanded, expand, is_pattern};

#[path = "calls.rs"]
pub mod calls;
#[path = "names.rs"]
pub mod names;
#[path = "privileged.rs"]
pub mod privileged;
#[path = "small.rs"]
pub mod small;
#[path = "written.rs"]
pub mod written;

/// A function of this file, or of those beside it.
pub type Check = fn(&[u8]);

/// All of them, by the names of the fuzzers.
pub const ALL: [(&str, Check); 24] = [
    ("profile", profile),
    ("merge", merge),
    ("syscall_key", syscall_key),
    ("expand", expansion),
    ("mountinfo", mountinfo),
    ("command_line", command_line),
    ("rules", rules),
    ("suid_conf", suid_conf),
    ("archive", archive),
    ("closure", closure),
    ("desktop_entry", desktop_entry),
    ("values", small::values),
    ("dbus", small::dbus),
    ("wayland", small::wayland),
    ("authority", small::authority),
    ("calls", calls::calls),
    ("devices", calls::devices),
    ("pattern", names::pattern),
    ("argument", privileged::argument),
    ("verdict", privileged::verdict),
    ("record", written::record),
    ("stat", written::stat),
    ("image", written::image),
    ("identity", written::identity),
];

fn add(sources: &mut SourceMap, name: &str, text: &str) -> Parsed {
    let id = sources.add(Source {
        name: format!("{name}.toml"),
        kind: SourceKind::Embedded,
        text: text.to_owned().into(),
    });
    parse(name, id, text)
}

/// Every diagnostic can be shown, says where it belongs, and writes nothing harmful to a terminal.
fn shows(diagnostics: &[Diagnostic], sources: &SourceMap) {
    for diagnostic in diagnostics {
        let labels = diagnostic.primary.iter().chain(&diagnostic.related);
        for site in labels.map(|label| label.site) {
            let place = site.start as usize..site.end as usize;
            let text = &sources.get(site.source).text;
            assert!(
                text.get(place).is_some(),
                "{diagnostic:?} is not within {text:?}"
            );
        }
    }
    let harmless = |text: &str| !text.chars().any(|c| c != '\n' && is_harmful(c));
    let plain = render(diagnostics, sources, Style::PLAIN);
    assert!(harmless(&plain), "{plain:?}");
    let short = lines(diagnostics, sources);
    assert!(harmless(&short), "{short:?}");
    assert_eq!(short.lines().count(), diagnostics.len(), "{short}");
    let coloured = render(diagnostics, sources, Style { colour: true });
    assert_eq!(coloured.is_empty(), diagnostics.is_empty());
}

/// A value without the places of what is in it.
fn without_places(value: Option<&Value>) -> Option<Value> {
    let mut value = value?.clone();
    if let Value::List(list) = &mut value {
        for text in list {
            text.site = Site::DEFAULT;
        }
    }
    Some(value)
}

/// What a profile says, in the order of its keys.
fn said(profile: &Profile) -> BTreeSet<(Section, String, String)> {
    profile
        .entries
        .iter()
        .map(|entry| {
            let value = without_places(entry.value.value.as_ref());
            (entry.section, entry.key.value.clone(), format!("{value:?}"))
        })
        .collect()
}

/// Every rule written as TOML is the same rule when read again.
fn reads_back(profile: &Profile) {
    for entry in &profile.entries {
        let value = entry.value.value.as_ref();
        let text = format!(
            "[{}]\n{} = {}\n",
            entry.section,
            write::key(&entry.key.value),
            value.map_or_else(|| "\"inherit\"".to_owned(), Value::to_toml)
        );
        let again = add(&mut SourceMap::new(), "again", &text);
        assert_eq!(again.diagnostics, [], "{text}");
        let again: Vec<_> = again.profile.entries;
        assert_eq!(again.len(), 1, "{text}");
        for other in again {
            assert_eq!(other.key.value, entry.key.value, "{text}");
            assert_eq!(
                without_places(other.value.value.as_ref()),
                without_places(value),
                "{text}"
            );
        }
        if let Some(value) = value {
            assert!(!value.to_json().to_string().is_empty());
        }
    }
}

/// A document: all that is wrong is shown, all that is right reads back.
pub fn profile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut sources = SourceMap::new();
    let parsed = add(&mut sources, "fuzz", text);
    shows(&parsed.diagnostics, &sources);
    let again = add(&mut sources, "fuzz", text);
    assert_eq!(said(&again.profile), said(&parsed.profile));
    assert_eq!(again.diagnostics.len(), parsed.diagnostics.len());
    let keys: BTreeSet<_> = parsed
        .profile
        .entries
        .iter()
        .map(|entry| (entry.section, &entry.key.value))
        .collect();
    assert_eq!(
        keys.len(),
        parsed.profile.entries.len(),
        "a key is said twice in {text:?}"
    );
    reads_back(&parsed.profile);
}

/// What holds, without places.
fn values(policy: &Policy) -> Vec<(Section, &str, Option<Value>)> {
    Section::ALL
        .into_iter()
        .flat_map(|section| policy.section(section))
        .zip(
            Section::ALL
                .into_iter()
                .flat_map(|section| policy.section(section).map(move |_| section)),
        )
        .map(|((key, value, _), section)| (section, key, without_places(Some(value))))
        .collect()
}

/// Documents, apart by lines of `---`: merging is deterministic and idempotent, the last that names a key wins.
pub fn merge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut sources = SourceMap::new();
    let mut layers = Vec::new();
    for (number, text) in text.split("\n---\n").take(6).enumerate() {
        layers.push(add(&mut sources, &format!("layer{number}"), text).profile);
    }
    let policy = resolve("fuzz", &layers);
    assert_eq!(policy, resolve("fuzz", &layers));
    let twice: Vec<Profile> = layers.iter().chain(&layers).cloned().collect();
    let twice = resolve("fuzz", &twice);
    assert_eq!(values(&twice), values(&policy));
    assert_eq!(twice.degrade, policy.degrade);
    assert_eq!(twice.description, policy.description);
    for ((section, key), rule) in policy.rules.iter() {
        let saying: Vec<_> = layers
            .iter()
            .enumerate()
            .flat_map(|(rank, layer)| layer.entries.iter().map(move |entry| (rank, entry)))
            .filter(|(_, entry)| entry.section == *section && entry.key.value == *key)
            .collect();
        let (rank, winner) = saying.last().expect("a rule is of somebody");
        assert_eq!((rule.layer, rule.site), (*rank, winner.value.site));
        assert_eq!(rule.value, winner.value.value);
        assert_eq!(rule.overruled.len() + 1, saying.len());
    }
    let shown = show::toml(&policy, &sources, true, Paint::PLAIN);
    assert!(
        !shown.chars().any(|c| c != '\n' && is_harmful(c)),
        "{shown:?}"
    );
    assert!(!show::json(&policy, &sources).to_string().is_empty());
    if !values(&policy).is_empty() {
        let again = add(&mut sources, "shown", &shown);
        assert_eq!(again.diagnostics, [], "{shown}");
        let again = resolve("fuzz", &[again.profile]);
        assert_eq!(values(&again), values(&policy), "{shown}");
    }
    // The whole loader, with the first as the command line over embedded profiles that the second extends.
    let names: Vec<String> = layers
        .iter()
        .filter_map(|layer| layer.extends.as_ref())
        .flat_map(|extends| extends.value.iter().map(|name| name.value.clone()))
        .filter(|name| !name.contains('/'))
        .take(4)
        .collect();
    let library = Library::new(Vec::new(), 0);
    match load(&names, &library, layers.first().cloned(), &mut sources) {
        Ok(loaded) => {
            let policy = resolve(&loaded.name, &loaded.layers);
            for entry in layers.iter().take(1).flat_map(|layer| &layer.entries) {
                let held = policy.get(entry.section, &entry.key.value);
                assert_eq!(
                    held.map(|traced| traced.value),
                    entry.value.value.as_ref(),
                    "the command line is overruled"
                );
            }
        }
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            shows(&diagnostics, &sources);
        }
    }
}

/// A first byte that chooses architectures (its bits 0 to 2) and the default, then lines of `KEY=ACTION`: keys read
/// back, a filter fits the kernel, is the same whatever the order of its rules, and answers every call.
pub fn syscall_key(data: &[u8]) {
    let Some((&chosen, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut rules = Vec::new();
    for line in text.lines().take(12) {
        let (key, action) = line.rsplit_once('=').unwrap_or((line, "deny"));
        match Key::parse(key) {
            Ok(read) => {
                assert_eq!(Key::parse(&read.to_string()).as_ref(), Ok(&read), "{key:?}");
                let action = Action::parse(action).unwrap_or(Action::Errno(1));
                rules.push(Rule { key: read, action });
            }
            Err(error) => {
                assert!(
                    key.get(error.span.clone()).is_some(),
                    "{error:?} in {key:?}"
                );
                assert!(!error.to_string().is_empty());
            }
        }
    }
    let filter = Filter {
        default: if chosen & 8 == 0 {
            Action::Allow
        } else {
            Action::KillProcess
        },
        architectures: Arch::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| chosen & (1 << bit) != 0)
            .map(|(_, arch)| arch)
            .collect(),
        rules,
    };
    let compiled = match bpf::compile(&filter) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(
                !matches!(error, bpf::CompileError::Broken(_)),
                "{error}: {filter:?}"
            );
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let program = &compiled.program;
    let length = program.instructions().len();
    assert!((1..=bpf::MAX_INSTRUCTIONS).contains(&length));
    assert_eq!(
        Program::new(program.instructions().to_vec()).as_ref(),
        Ok(program)
    );
    let mut turned = filter.clone();
    turned.rules.reverse();
    // The order of rules does not show.
    assert_eq!(
        bpf::compile(&turned).map(|turned| turned.program).as_ref(),
        Ok(program),
        "{filter:?}"
    );
    let answers = program.actions();
    let mut numbers = Numbers::seeded(data);
    for round in 0..64 {
        let arch = Arch::ALL[(numbers.next() % 3) as usize];
        let calls = arch.calls();
        let known = calls[(numbers.next() as usize) % calls.len()];
        // Calls that a rule speaks about, any call, any number.
        let named = filter.rules.get(round % (filter.rules.len() + 1));
        let named = named.and_then(|rule| arch.number(rule.key.call()?));
        let call = SeccompData {
            number: match (round % 4, named) {
                (1, _) => numbers.next() as u32,
                (2, _) | (_, None) => known.0,
                (_, Some(number)) => number,
            },
            arch: if round == 63 {
                numbers.next() as u32
            } else {
                arch.audit_value()
            },
            instruction_pointer: numbers.next(),
            args: if round % 8 == 0 {
                [0; 6]
            } else {
                std::array::from_fn(|_| numbers.argument(&filter))
            },
        };
        let answer = bpf::interpret(program, &call);
        assert!(answers.contains(&answer), "{answer} is not of {answers:?}");
        if call.arch == arch.audit_value()
            && let Some(name) = arch.call(call.number)
        {
            let verdict = program.verdict_for(name, arch, call.args);
            if arch.number(name) == Some(call.number) {
                assert_eq!(verdict, Some(answer), "{name}: {call:?}");
            }
            if call.args == [0; 6] {
                assert_eq!(program.allows(arch, call.number), answer.permits());
            }
        }
        if !Arch::ALL
            .iter()
            .any(|arch| filter.architectures.contains(arch) && arch.audit_value() == call.arch)
        {
            assert_eq!(answer, Action::KillProcess, "a foreign architecture");
        }
    }
}

/// Numbers that follow from the input (xorshift, seeded with FNV-1a).
pub struct Numbers(u64);

impl Numbers {
    pub fn seeded(data: &[u8]) -> Self {
        let seed = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A number near to one that the filter tests for, or any.
    fn argument(&mut self, filter: &Filter) -> u64 {
        let tested: Vec<u64> = filter
            .rules
            .iter()
            .filter_map(|rule| match &rule.key {
                Key::CallWithArguments(on) => Some(on.conditions()),
                _ => None,
            })
            .flatten()
            .map(|condition| condition.value())
            .collect();
        let any = self.next();
        match tested.get(any as usize % (tested.len() + 1)) {
            Some(value) => value.wrapping_add(self.next() % 3).wrapping_sub(1),
            None => any >> (any % 64),
        }
    }
}

/// Somebody whose directories are of every kind.
fn caller() -> Caller {
    Caller {
        home: "/home/u".into(),
        working_directory: "/home/u/my [work]*".into(),
        directories: [
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("XDG_CONFIG_HOME", "//home/./u/.config/"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_DATA_HOME", "/home/u/../v"),
            ("XDG_STATE_HOME", "/home/u/a\nb"),
            ("XDG_MUSIC_DIR", ""),
            ("XAUTHORITY", "/"),
        ]
        .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
        .into(),
        ..Caller::default()
    }
}

fn is_normal(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && parts.all(|part| matches!(part, Component::Normal(_)))
        // Nothing that `components` leaves out of sight.
        && path.components().collect::<PathBuf>().as_os_str() == path.as_os_str()
}

/// A written path: what it comes to is absolute and normal, and means the same when written again.
pub fn expansion(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let caller = caller();
    let found = expand(text, &caller);
    assert_eq!(found, expand(text, &caller));
    match found {
        Ok(Expanded::Path(path)) => {
            assert!(is_normal(&path), "{text:?} is {path:?}");
            assert!(path.as_os_str().len() < 4096);
            assert!(!is_pattern(text));
            let written = path.to_str().expect("all of it was text");
            if !is_pattern(written) {
                let again = expand(written, &caller);
                assert_eq!(again, Ok(Expanded::Path(path.clone())), "{text:?}");
            }
            if text.starts_with('~') || text.starts_with("${HOME}") {
                assert!(path.starts_with(&caller.home), "{text:?} is {path:?}");
            }
        }
        Ok(Expanded::Glob(path)) => {
            assert!(is_normal(&path), "{text:?} is {path:?}");
            assert!(path.as_os_str().len() < 4096);
            assert!(is_pattern(text));
            let written = path.to_str().expect("all of it was text");
            let again = expand(written, &caller);
            assert_eq!(again, Ok(Expanded::Glob(path.clone())), "{text:?}");
        }
        Ok(Expanded::NotApplicable(why)) => {
            assert!(text.starts_with("${"), "{text:?}: {why}");
            assert!(!why.is_empty());
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// `/proc/self/mountinfo` and `/proc/self/cgroup`: a group is within the mount that shows it.
pub fn mountinfo(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    let mounts = mounts(data);
    let memberships = memberships(data);
    assert!(mounts.len() <= lines && memberships.len() <= lines);
    for mount in &mounts {
        assert!(matches!(mount.version, 1 | 2), "{mount:?}");
        assert!(mount.version == 1 || mount.controllers.is_empty());
        assert!(mount.root.is_absolute() && mount.point.is_absolute());
    }
    for mount in mounts.iter().take(16) {
        for line in memberships.iter().take(16) {
            let Some(path) = directory(mount, &line.group) else {
                continue;
            };
            let below = path.strip_prefix(&mount.point);
            let below = below.expect("a group is below the mount");
            assert!(
                below
                    .components()
                    .all(|part| matches!(part, Component::Normal(_))),
                "{line:?} of {mount:?} is {path:?}"
            );
        }
    }
    assert!(mount_points(data).iter().count() <= lines);
    named_as_the_kernel_does(data);
}

/// A mount point of any name, with what the kernel writes for blanks and the like (`mangle` of fs/seq_file.c), is one line and comes back.
fn named_as_the_kernel_does(data: &[u8]) {
    let name = String::from_utf8_lossy(data).replace('\0', "");
    let point: PathBuf = Path::new("/")
        .components()
        .chain(Path::new(&name).components())
        .filter(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        .collect();
    let mut written = String::new();
    for letter in point.to_str().expect("text").chars() {
        match letter {
            ' ' | '\t' | '\n' | '\\' | '#' => {
                written.push_str(&format!("\\{:03o}", u32::from(letter)))
            }
            letter => written.push(letter),
        }
    }
    let table = format!(
        "36 35 0:20 / {written} rw shared:1 - cgroup2 cgroup rw\n37 35 0:21 {written} /autofs rw - autofs x rw\n"
    );
    let points = mount_points(table.as_bytes());
    assert!(points.iter().eq([&point]), "{points:?} is not {point:?}");
    let found = mounts(table.as_bytes());
    assert_eq!(found.len(), 1, "{table:?}");
    assert_eq!((found[0].version, &found[0].point), (2, &point));
}

/// Options, apart by NUL, each `NAME ARGUMENT`: a layer is as if each were a layer of its own, over those before it.
pub fn command_line(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let options: Vec<(Flag, String)> = text
        .split('\0')
        .take(16)
        .map(|option| {
            let by_name = option.split_once(' ').and_then(|(name, argument)| {
                let flag = Flag::ALL.into_iter().find(|flag| flag.name() == name)?;
                Some((flag, argument))
            });
            let (flag, argument) = by_name.unwrap_or((Flag::Set, option));
            (flag, argument.to_owned())
        })
        .collect();
    let one = |options: &[(Flag, String)], sources: &mut SourceMap| {
        let said = Said {
            image: None,
            options: options.to_vec(),
            working_directory: Some("/home/u/my [work]*".to_owned()),
        };
        layer(&said, sources)
    };
    let mut sources = SourceMap::new();
    let profile = match one(&options, &mut sources) {
        Ok(profile) => profile.expect("an option is a layer"),
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            return shows(&diagnostics, &sources);
        }
    };
    for entry in &profile.entries {
        let (section, key) = (entry.section, &entry.key.value);
        let canonical = name::lookup(section, key).map(|(_, canonical)| canonical);
        assert_eq!(canonical.ok().as_ref(), Some(key), "not canonical");
    }
    reads_back(&profile);
    let apart: Vec<Profile> = options
        .iter()
        .map(|option| {
            let alone = one(std::slice::from_ref(option), &mut sources);
            alone.ok().flatten().expect("right together, right alone")
        })
        .collect();
    let together = resolve("together", std::slice::from_ref(&profile));
    assert_eq!(together.rules.len(), profile.entries.len(), "said twice");
    assert_eq!(
        values(&together),
        values(&resolve("apart", &apart)),
        "{options:?}"
    );
}

/// A rule file, and a request after its first line: whatever is understood is judged, and what is refused is refused in
/// words that drive no terminal.
pub fn rules(data: &[u8]) {
    use sandbox_suid::accounts::Accounts;
    use sandbox_suid::decide::{Order, Request, Verdict, decide};
    use sandbox_suid::rule;

    let text = String::from_utf8_lossy(data);
    let (request, text) = text.split_once('\n').unwrap_or(("", &text));
    let rules = match rule::read("r.toml", text) {
        Ok(rules) => rules,
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(
                faults
                    .iter()
                    .all(|fault| !fault.message.chars().any(is_harmful)),
                "{faults:?}"
            );
            return;
        }
    };
    let Ok(rules) = rule::join(vec![rules]) else {
        return;
    };
    let accounts = Accounts::read(
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
        "staff:x:50:ann\n",
    );
    let mut words = request.split(' ').map(|word| word.as_bytes().to_vec());
    let asked = Request {
        uid: 1000,
        gid: 1000,
        groups: vec![50],
        name: words.next().unwrap_or_default(),
        arguments: words.collect(),
        environment: vec![b"LD_PRELOAD=x".to_vec(), b"TERM=x".to_vec()],
    };
    match decide(&rules, &accounts, &asked) {
        Verdict::Refuse(refusal) => {
            assert!(matches!(refusal.status, 126 | 127));
            assert!(!refusal.told.chars().any(is_harmful), "{refusal:?}");
        }
        Verdict::Allow { rule, order } => {
            assert_eq!(rule.name.as_bytes(), asked.name);
            if let Order::Run(order) = order {
                assert!(order.program.starts_with('/') && !order.program.contains("/../"));
                assert!(order.uid != u32::MAX && order.gid != u32::MAX);
                assert!(
                    order
                        .environment
                        .iter()
                        .all(|entry| !entry.starts_with(b"LD_") || rule_sets(rule, entry))
                );
                assert!(
                    order.arguments.iter().all(|text| !text.contains(&0))
                        || asked.arguments.iter().any(|text| text.contains(&0))
                );
            }
        }
    }
}

/// Whether the administrator gave the variable this value.
fn rule_sets(rule: &sandbox_suid::rule::Rule, entry: &[u8]) -> bool {
    match &rule.action {
        sandbox_suid::rule::Action::Run(run) => run
            .set
            .iter()
            .any(|(name, value)| format!("{name}={value}").as_bytes() == entry),
        sandbox_suid::rule::Action::LimitCaller => false,
    }
}

/// What is made of a suid.conf is a rule file, and nothing of a line leaves its comment or its string.
pub fn suid_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let imported = sandbox::rules::import("suid.conf", &text);
    assert!(
        !imported
            .text
            .chars()
            .any(|letter| letter != '\n' && is_harmful(letter)),
        "{}",
        imported.text
    );
    if imported.rules > 0 {
        let rules = sandbox_suid::rule::read("imported", &imported.text);
        assert_eq!(
            rules.map(|rules| rules.len()),
            Ok(imported.rules),
            "{}",
            imported.text
        );
    }
}

/// An archive of members, as it is decompressed and read: it ends, members have the names that they are judged by, and no
/// more is read than is there.
pub fn archive(data: &[u8]) {
    let limits = Limits {
        bytes: 1 << 20,
        ..Limits::default()
    };
    // Compressed or not, at most this much comes out.
    if let Ok(stream) = Stream::new(data, Budget::new(limits)) {
        let mut out = Vec::new();
        let _ = stream.take(2 << 20).read_to_end(&mut out);
        assert!(out.len() <= (1 << 20) + (64 << 10));
    }
    // Checksums would stop nearly every mutation: they are put right first.
    let mut sound = data.to_vec();
    for block in sound.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].copy_from_slice(b"        ");
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    let _ = source::members(&sound[..]);
    let mut tape = Tape::new(&sound[..]);
    let mut members = 0;
    while let Ok(Some(member)) = tape.next_member() {
        members += 1;
        assert!(members <= sound.len() / 512, "a member takes a block");
        assert!(member.offset <= sound.len() as u64);
        assert!(member.kind == tape::Kind::File || member.size == 0);
        if let Ok(names) = member::components(&member.path, 8) {
            assert!(names.len() <= 8);
            for name in names {
                assert!(!name.is_empty() && name != b"." && name != b"..");
                assert!(!name.contains(&b'/') && !name.contains(&0) && name.len() <= 255);
                if let Ok(member::Whiteout::Remove(gone)) = member::whiteout(name) {
                    assert!(!gone.is_empty() && gone != b"." && gone != b"..");
                }
            }
        }
        let mut contents = Vec::new();
        match tape.read_to_end(&mut contents) {
            Ok(length) => assert_eq!(length as u64, member.size),
            Err(_) => break,
        }
    }
    // The texts of images.
    let _ = manifest::read::<Vec<manifest::DockerImage>>(data);
    let _ = manifest::read::<manifest::Manifest>(data);
    if let Ok(index) = manifest::read::<manifest::Index>(data) {
        let _ = manifest::choose(&index.manifests, None, "amd64");
    }
    if let Ok(said) = manifest::read::<manifest::Configuration>(data) {
        let mut config = Config::default();
        config.take(said.config.unwrap_or_default());
        let text = String::from_utf8_lossy(data);
        let _ = config.find_user(&text, &text);
        let mut sources = SourceMap::new();
        let parsed = add(&mut sources, "image", &config.profile());
        // An image may say nothing, where a profile may not.
        let fine = parsed.diagnostics.is_empty() || config.profile().is_empty();
        assert!(fine, "{}", config.profile());
    }
}

/// What programs, scripts and the loader's cache say is bounded, and made of what they hold.
pub fn closure(data: &[u8]) {
    const LONGEST: usize = 65_536;
    if let Ok(read) = elf::read(data) {
        assert!(elf::is_elf(data));
        let names = (read.needed.iter().chain(&read.wanted)).chain(read.interpreter.iter());
        let names: Vec<_> = names.chain(read.name.iter()).collect();
        for name in names {
            assert!(name.len() <= 4096 && !name.contains(&0));
            assert!(
                name.is_empty() || data.windows(name.len()).any(|part| part == name.as_slice())
            );
        }
        for path in read.rpath.iter().chain(&read.runpath) {
            assert!(path.len() <= LONGEST && !path.contains(&0));
        }
        assert!(read.versions.len() <= 8192 && read.versions_needed.len() <= 8192);
        assert!(read.needed.len() <= 4096);
    }
    if let Ok(read) = cache::read(data) {
        let entries: usize = read.values().map(Vec::len).sum();
        assert!(entries <= data.len() / 24);
    }
    if let Some(Ok(line)) = script::read(data) {
        assert!(!line.interpreter.is_empty() && line.interpreter.len() <= 256);
        let argument = line.argument.unwrap_or_default();
        assert!(script::of_env(&argument).is_none_or(|program| !program.contains(&b' ')));
    }
    let services = companion::services(&String::from_utf8_lossy(data));
    assert!(services.len() <= 64 && services.iter().all(|name| !name.contains('/')));
}

/// A desktop entry or a D-Bus service of somebody else: what is copied starts nothing past the launcher, in no group and
/// under no spelling, and is otherwise the same, line by line.
pub fn desktop_entry(data: &[u8]) {
    const LAUNCHER: &str = "/opt/s b/sandbox";
    let _ = Manifest::parse(data);
    let Ok(document) = Document::parse(data) else {
        return;
    };
    assert_eq!(document.bytes(), data);
    let copy = Copy {
        app: "a",
        launcher: LAUNCHER,
        profile: "p",
        source: "/usr/share/a\nExec=b.desktop",
        sha256: "0",
        locate: &|name| Some(format!("/usr/bin/{name}")),
    };
    for (made, codes) in [
        (copy.entry(document.clone()), Codes::Known),
        (copy.service(document.clone()), Codes::Unknown),
    ] {
        let Ok(made) = made else {
            continue;
        };
        assert!(is_marked(&made));
        let again = Document::parse(&made).expect("what was read before");
        let dropped = match codes {
            Codes::Known => 0,
            Codes::Unknown => document
                .entries()
                .filter(|line| line.key == b"SystemdService")
                .count(),
        };
        assert_eq!(
            again.entries().count() + dropped,
            document.entries().count() + 4
        );
        let old: Vec<_> = document
            .entries()
            .filter(|line| codes == Codes::Known || line.key != b"SystemdService")
            .collect();
        let new: Vec<_> = again
            .entries()
            .filter(|line| !line.key.starts_with(b"X-Sandbox-"))
            .collect();
        assert_eq!(old.len(), new.len());
        for (old, new) in old.iter().zip(&new) {
            assert_eq!(
                (old.group, old.key, old.locale),
                (new.group, new.key, new.locale)
            );
            match new.key {
                b"DBusActivatable" => assert_eq!(new.value, b"false"),
                b"Exec" => {
                    let read = |value: &[u8]| {
                        let text = std::str::from_utf8(value).expect("UTF-8");
                        exec::parse(text, codes).expect("it can be read")
                    };
                    let (old, new) = (read(old.value), read(new.value));
                    let first = |words: &exec::Words| words[0].text().expect("a program");
                    if new == old {
                        let itself = [LAUNCHER, "sandbox", "/usr/bin/env"];
                        assert!(itself.contains(&first(&new).as_str()));
                        continue;
                    }
                    // An entry starts nothing when the launcher is gone, rather than be passed over (GLib).
                    let launcher = match codes {
                        Codes::Known => {
                            assert_eq!(first(&new), "/usr/bin/env");
                            new[1].text()
                        }
                        Codes::Unknown => new[0].text(),
                    };
                    assert_eq!(launcher.as_deref(), Some(LAUNCHER));
                    let after = new
                        .iter()
                        .position(|word| word.text().as_deref() == Some("--"))
                        .expect("the end of options");
                    // All after the program is what it was.
                    let rest = &new[after + 2..];
                    assert!(old.ends_with(rest), "{old:?} {new:?}");
                    assert!(rest.len() < old.len());
                }
                _ => assert_eq!(old.value, new.value),
            }
        }
    }
}
