//! What is written down about running sandboxes, what images say of themselves, and texts by which the desktop knows a program.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use sandbox::control::confinement::{Confinement, Entry};
use sandbox::control::name;
use sandbox::control::record::{Content, escaped, raw};
use sandbox::desktop::entry::{Document, MAIN, escape, unescape};
use sandbox::desktop::exec::{self, Codes, Word};
use sandbox::image::config::Config;
use sandbox::image::manifest::{self, Descriptor, Index};
use sandbox::image::source::blob_path;
use sandbox::kernel::stat::Stat;
use sandbox::plan::companion::Identity;
use sandbox::policy::{recorded, show};
use sandbox::profile::key::Section;
use sandbox::profile::value::Value;
use sandbox::report::SourceMap;
use sandbox::section::desktop::application::{is_portal_name, portal_name};

use super::add;

/// A file about a running sandbox: what was read is written as it was, a policy means the same again, and who joins is bound by all
/// that is written down.
pub fn record(data: &[u8]) {
    let bytes = OsStr::from_bytes(data);
    assert_eq!(raw(&escaped(bytes)), bytes);
    assert_eq!(
        name::check(&name::numbered(&name::of_program(bytes), 999_999)),
        Ok(())
    );
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let content = match Content::parse(text) {
        Ok(content) => content,
        Err(why) => return assert!(!why.is_empty()),
    };
    // A line that is still being written changes nothing.
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    assert_eq!(Content::parse(whole).as_ref(), Ok(&content));
    let json =
        |text: &Option<String>| serde_json::from_str::<serde_json::Value>(text.as_ref()?).ok();
    let policy = json(&content.policy);
    let confinement = content
        .confinement
        .as_deref()
        .and_then(|text| serde_json::from_str::<Confinement>(text).ok());
    if let (Some(record), Some(confinement)) = (&content.record, &confinement) {
        let none = serde_json::Value::Null;
        let rules = Content::rules(policy.as_ref().unwrap_or(&none), confinement)
            .expect("they can be said");
        let lines = Content::lines(record, &rules).expect("it can be said");
        let again = std::str::from_utf8(&lines).expect("text");
        let again = Content::parse(again).expect("what was written");
        assert_eq!(again.record.as_ref(), Some(record));
        let read = again
            .confinement
            .as_deref()
            .map(serde_json::from_str::<Confinement>);
        assert_eq!(read.expect("it is there").ok().as_ref(), Some(confinement));
    }
    if let Some(json) = &policy {
        let mut sources = SourceMap::new();
        if let Ok(policy) = recorded::read(json, &mut sources) {
            let shown = show::json(&policy, &sources);
            let mut sources = SourceMap::new();
            let again = recorded::read(&shown, &mut sources).expect("what was shown");
            let values = |policy: &sandbox::policy::Policy| {
                let rules = policy.rules.iter();
                rules
                    .map(|(key, rule)| (key.clone(), rule.value.as_ref().map(Value::to_toml)))
                    .collect::<Vec<((Section, String), _)>>()
            };
            assert_eq!(values(&again), values(&policy));
            assert_eq!(show::json(&again, &sources)["sections"], shown["sections"]);
        }
    }
    if let Some(confinement) = confinement {
        let entry = Entry {
            program: "/bin/true".into(),
            ..Entry::default()
        };
        match confinement.plan(&entry) {
            Ok(plan) => {
                use sandbox::plan::Action;
                let has = |is: fn(&Action) -> bool| plan.steps.iter().any(|step| is(&step.action));
                assert_eq!(
                    has(|action| matches!(action, Action::NoNewPrivileges)),
                    confinement.has_no_new_privileges()
                );
                assert_eq!(
                    has(|action| matches!(action, Action::Seccomp(_))),
                    confinement.has_filter()
                );
                assert_eq!(
                    has(|action| matches!(action, Action::Capabilities { .. })),
                    confinement.cuts_capabilities()
                );
                let last: Vec<_> = plan
                    .steps
                    .iter()
                    .rev()
                    .take(2)
                    .map(|step| &step.action)
                    .collect();
                assert!(matches!(last[0], Action::Execute { .. }));
                assert!(matches!(last[1], Action::Seccomp(_)) == confinement.has_filter());
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

/// `/proc/PID/stat`, with a name that the process has given itself: no name is taken for a field.
pub fn stat(data: &[u8]) {
    let _ = Stat::parse(data);
    let name = String::from_utf8_lossy(data).replace('\n', " ");
    for (state, numbers) in [('S', [1, 2, 3, 4]), ('Z', [0, u64::MAX, u64::MAX, 1])] {
        let [parent, ticks, started, pages] = numbers;
        let text = format!(
            "7 ({name}) {state} {parent} 7 7 0 -1 4194304 1 0 0 0 {ticks} 3 0 0 20 0 5 0 {started} 1000 {pages} 18446744073709551615 1\n"
        );
        let stat = Stat::parse(text.as_bytes()).expect("it is one");
        assert_eq!((stat.pid, stat.name.as_str()), (7, name.as_str()));
        assert_eq!((stat.state, stat.is_dead()), (state, state == 'Z'));
        assert_eq!(
            (u64::try_from(stat.parent), stat.kernel),
            (Ok(parent), false)
        );
        assert_eq!((stat.ticks, stat.threads), (ticks.saturating_add(3), 5));
        assert_eq!(
            (stat.started, stat.resident),
            (started, pages.saturating_mul(4096))
        );
    }
}

/// An index, a manifest, a configuration, /etc/passwd and /etc/group of an image, apart by lines of `--`: what is chosen is for this machine,
/// a blob lies in the layout, and what the image says is a profile that says no more than it may.
pub fn image(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n--\n");
    let mut next = || parts.next().unwrap_or_default();
    let (index, manifest, configuration, passwd, group) = (next(), next(), next(), next(), next());
    let blob = |one: &Descriptor| {
        if let Ok(path) = blob_path(&one.digest) {
            let name = path.strip_prefix("blobs/sha256/").expect("in the layout");
            assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    };
    if let Ok(index) = manifest::read::<Index>(index.as_bytes()) {
        index.manifests.iter().for_each(blob);
        let names = index.manifests.iter().filter_map(Descriptor::reference);
        for wanted in [None].into_iter().chain(names.map(Some)) {
            match manifest::choose(&index.manifests, wanted, "amd64") {
                Ok(chosen) => {
                    let suits = |platform: &manifest::Platform| {
                        platform.architecture == "amd64"
                            && matches!(platform.os.as_str(), "" | "linux")
                    };
                    assert!(chosen.platform.as_ref().is_none_or(suits), "{chosen:?}");
                    if let (Some(wanted), Some(name)) = (wanted, chosen.reference()) {
                        assert!(
                            name.contains(wanted) || chosen.digest == wanted,
                            "{name} is not {wanted}"
                        );
                    }
                }
                Err((why, list)) => assert!(
                    !why.is_empty() && (list.is_empty() || list.len() == index.manifests.len())
                ),
            }
        }
    }
    if let Ok(manifest) = manifest::read::<manifest::Manifest>(manifest.as_bytes()) {
        blob(&manifest.config);
        manifest.layers.iter().for_each(blob);
    }
    if let Ok(said) = manifest::read::<manifest::Configuration>(configuration.as_bytes()) {
        let mut config = Config::default();
        config.take(said.config.unwrap_or_default());
        let asks_for_user = config.user.is_some();
        let unknown = config.find_user(passwd, group);
        assert!(unknown.is_none() || config.uid.is_none());
        assert!(asks_for_user || config.uid.is_none());
        let text = config.profile();
        let mut sources = SourceMap::new();
        let parsed = add(&mut sources, "image", &text);
        assert!(
            parsed.diagnostics.is_empty() || text.is_empty(),
            "{text}\n{:?}",
            parsed.diagnostics
        );
        for entry in &parsed.profile.entries {
            // No file, no limit, no name of a profile: nothing that opens.
            let may = matches!(
                (entry.section, entry.key.value.as_str()),
                (Section::Environment, _)
                    | (Section::Process, "working-directory")
                    | (Section::User, "uid" | "gid")
            );
            assert!(may, "{text}");
        }
        // It is stored as JSON, and the same when read again.
        let stored = serde_json::to_string(&config).expect("it can be said");
        assert_eq!(
            serde_json::from_str::<Config>(&stored).ok().as_ref(),
            Some(&config)
        );
    }
}

/// What a program and its desktop entry are called: portals are told one application, and a desktop entry that is written means what was
/// meant.
pub fn identity(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (app, program) = text.split_once('\n').unwrap_or(("", &text));
    for said in [None, Some(app)] {
        let name = portal_name(said, program);
        assert!(is_portal_name(&name), "{name:?} of {said:?} {program:?}");
        assert_eq!(portal_name(Some(&name), ""), name);
        for network in [false, true] {
            let identity = Identity {
                app: name.clone(),
                network,
                instances: "/run/user/5/.flatpak".into(),
            };
            // Read as a reader of desktop files does: no name begins a line of its own.
            let text = identity.info("1a");
            let document = Document::parse(text.as_bytes()).expect("a file of keys");
            let keys: Vec<_> = document
                .entries()
                .map(|one| (one.group, one.key, one.value))
                .collect();
            let mut expected: Vec<(&[u8], &[u8], &[u8])> = vec![
                (b"Application", b"name", name.as_bytes()),
                (b"Instance", b"instance-id", b"1a"),
            ];
            if network {
                expected.push((b"Context", b"shared", b"network;"));
            }
            assert_eq!(keys, expected);
        }
    }
    // Any words, as they stand in a command line that is written.
    assert_eq!(unescape(&escape(&text)).as_deref(), Ok(&*text));
    let words: Vec<Word> = ["/bin/x"]
        .into_iter()
        .chain(text.split('\n'))
        .map(Word::of)
        .collect();
    for codes in [Codes::Known, Codes::Unknown] {
        if let Ok(line) = exec::write(&words, codes) {
            assert!(!line.contains(['\n', '\r']), "{line:?}");
            assert_eq!(exec::parse(&line, codes).as_ref(), Ok(&words), "{line:?}");
            let file = format!("[Desktop Entry]\nExec={line}\nName={}\n", escape(&text));
            if let Ok(mut document) = Document::parse(file.as_bytes()) {
                let exec = document.text(MAIN, b"Exec").map(str::to_owned);
                assert_eq!(
                    exec.map(|line| exec::parse(&line, codes)),
                    Some(Ok(words.clone())),
                    "{file:?}"
                );
                let name = document
                    .value(MAIN, b"Name")
                    .map(|value| std::str::from_utf8(value).map(unescape));
                assert_eq!(name, Some(Ok(Ok(text.to_string()))), "{file:?}");
                // What is put in is one line more.
                assert!(document.insert(MAIN, &[("X-A", text.to_string())]));
                let again = Document::parse(&document.bytes()).expect("what was read");
                assert_eq!(again.entries().count(), 3, "{file:?}");
            }
        }
        // What is read is written so that it is read again.
        if let Ok(read) = exec::parse(&text, codes)
            && let Ok(line) = exec::write(&read, codes)
        {
            assert_eq!(exec::parse(&line, codes), Ok(read), "{text:?} {line:?}");
        }
    }
}
