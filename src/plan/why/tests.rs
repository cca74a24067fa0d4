//! Questions and answers as values.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use super::*;
use crate::host::facts::{Caller, PathFact, PathKind};
use crate::policy::resolve;
use crate::profile::document;
use crate::report::{Source, SourceKind, SourceMap};
use crate::section::filesystem;

/// Directories end in `/`, links name their target.
const HOST: &[&str] = &[
    "/dev/",
    "/dev/null!",
    "/proc/",
    "/usr/",
    "/usr/bin/",
    "/usr/bin/sh",
    "/bin>usr/bin",
    "/etc/",
    "/etc/passwd",
    "/etc/a.conf",
    "/etc/ssl/",
    "/etc/ssl/key",
    "/home/",
    "/home/u/",
    "/home/u/.ssh/",
    "/home/u/.ssh/id",
    "/home/u/work/",
    "/srv/",
    "/srv/data",
    "/tmp/",
    "/lnk>etc/ssl",
    "/mnt/",
];

fn probe(path: &Path) -> PathFact {
    let mut fact = PathFact {
        canonical: None,
        kind: PathKind::Missing,
        links: Vec::new(),
        error: None,
        twin: None,
    };
    let mut place = path.to_owned();
    for entry in HOST {
        if let Some((link, target)) = entry.split_once('>')
            && let Ok(rest) = path.strip_prefix(link)
        {
            fact.links.push((link.into(), target.into()));
            place = Path::new("/").join(target).join(rest);
            if rest.as_os_str().is_empty() {
                place = Path::new("/").join(target);
            }
        }
    }
    let text = place.to_string_lossy().into_owned();
    let kind = match () {
        () if text == "/" || HOST.contains(&format!("{text}/").as_str()) => PathKind::Directory,
        () if HOST.contains(&format!("{text}!").as_str()) => PathKind::Special,
        () if HOST.contains(&text.as_str()) => PathKind::File,
        () => return fact,
    };
    fact.kind = kind;
    fact.canonical = Some(place);
    fact
}

fn caller(root: bool) -> Caller {
    Caller {
        uid: if root { 0 } else { 1000 },
        home: "/home/u".into(),
        working_directory: "/home/u/work".into(),
        capabilities: if root { u64::MAX } else { 0 },
        environment: vec![
            ("HOME".into(), "/home/u".into()),
            ("LC_ALL".into(), "C".into()),
        ],
        ..Caller::default()
    }
}

/// Asks profiles, the lower first; what comes out is `VERDICT says | rule at NAME:LINE | over …`.
fn ask_as(root: bool, profiles: &[&str], text: &str) -> Vec<Answer> {
    let (answers, _) = asked(root, profiles, text);
    answers
}

fn asked(root: bool, profiles: &[&str], text: &str) -> (Vec<Answer>, SourceMap) {
    let mut sources = SourceMap::new();
    let mut layers = Vec::new();
    for (number, text) in profiles.iter().enumerate() {
        let id = sources.add(Source {
            name: format!("{number}.toml"),
            kind: SourceKind::Embedded,
            text: (*text).to_owned().into(),
        });
        let parsed = document::parse("p", id, text);
        assert_eq!(parsed.diagnostics, [], "{text}");
        layers.push(parsed.profile);
    }
    let policy = resolve("p", &layers);
    let mut facts = Facts {
        caller: caller(root),
        ..Facts::default()
    };
    facts.machine.last_capability = 40;
    facts.machine.mount_api = true;
    let questions = question::read(text, &facts.caller).unwrap();
    let paths: Vec<PathBuf> = questions
        .iter()
        .filter_map(|question| match question {
            Question::Path(path) => Some(path.clone()),
            _ => None,
        })
        .collect();
    let around = compile::surroundings(&policy, &facts).unwrap();
    let wanted = filesystem::wanted_for(&policy, &facts.caller, &around, &paths);
    for glob in wanted.globs {
        let pattern = glob::Pattern::new(glob.to_str().unwrap()).unwrap();
        let found = HOST.iter().map(|entry| entry.trim_end_matches(['/', '!']));
        let found = found
            .filter(|path| pattern.matches(path))
            .map(PathBuf::from);
        let found: Vec<PathBuf> = found.collect();
        for path in &found {
            facts.paths.insert(path.clone(), probe(path));
        }
        facts.globs.insert(glob, found);
    }
    for path in wanted.paths {
        let fact = probe(&path);
        facts.paths.insert(path, fact);
    }
    let answers = questions
        .iter()
        .map(|question| answer(question, &policy, &facts).unwrap())
        .collect();
    (answers, sources)
}

/// One line for an answer: the verdict, what may be done with a path, the line of the rule, and those of the beaten ones.
fn line(answer: &Answer, sources: &SourceMap) -> String {
    let at = |cited: &Cited| match cited.site.is_default() {
        true => "implied".to_owned(),
        false => {
            let at = sources.position(cited.site);
            format!("{}:{}", at.name.trim_end_matches(".toml"), at.line)
        }
    };
    let verdict = match answer.verdict {
        Verdict::Allowed => "yes",
        Verdict::Denied => "no",
        Verdict::Partly => "partly",
        Verdict::Set => "set",
    };
    let can = answer.can.map_or_else(String::new, |can| {
        let letter = |can, letter| if can { letter } else { '-' };
        format!(
            " {}{}{}",
            letter(can.read, 'r'),
            letter(can.write, 'w'),
            letter(can.execute, 'x')
        )
    });
    let mut out = format!(
        "{verdict}{can} {}",
        answer.rule.as_ref().map_or("default".to_owned(), at)
    );
    for beaten in &answer.beaten {
        out.push_str(&format!(" >{}", at(beaten)));
    }
    out
}

/// Lines count from 1; what is before the first `=` of a case's name is the question.
const BASE: &str = r#"[filesystem]
"/" = "read-only"
"~" = "read-write"
"~/.ssh" = "hidden"
"/etc/*.conf" = "hidden"
"/etc/ssl" = "read-write"
"/tmp" = "tmpfs"
"/mnt" = { bind = "/srv", access = "read-write" }
"/usr/bin" = "read-only"
[syscalls]
"@mount" = "deny"
mount = "ENOSYS"
"socket(AF_NETLINK)" = "deny"
"socket(AF_INET, SOCK_RAW)" = "kill"
ptrace = "kill"
[capabilities]
default = "drop"
net_raw = "keep"
[environment]
default = "clean"
LC_ALL = true
"LC_*" = false
LANG = "C"
[limits]
memory = "1G"
[namespaces]
user = true
pid = true
[network]
mode = "none"
"#;

#[test]
fn each_question_has_its_answer_and_its_line() {
    let over = "[limits]\nmemory = \"2G\"\n[syscalls]\nptrace = \"allow\"\n[filesystem]\n\"~/.ssh\" = \"read-only\"\n";
    let small = "[process]\nproc-subset = \"pid\"\n";
    let mut wrong = Vec::new();
    for (profiles, question, expected) in [
        // Paths: the longest rule, whatever stands above; a literal path over a pattern.
        (&[BASE][..], "/usr/bin/sh", "partly r-x 0:9 >0:2"),
        (&[BASE], "/bin/sh", "partly r-x 0:9 >0:2"),
        (&[BASE], "/", "partly r-x 0:2"),
        (&[BASE], "/etc/passwd", "partly r-x 0:2"),
        (&[BASE], "/etc/nothing", "partly r-x 0:2"),
        (&[BASE], "/etc/a.conf", "no --- 0:5 >0:2"),
        (&[BASE], "/etc/../etc/a.conf", "no --- 0:5 >0:2"),
        (&[BASE], "/etc/ssl/key", "yes rwx 0:6 >0:2"),
        (&[BASE], "/lnk/key", "yes rwx 0:6 >0:2"),
        (&[BASE], "~", "yes rwx 0:3 >0:2"),
        (&[BASE], "~/.ssh", "no --- 0:4 >0:3 >0:2"),
        (&[BASE], "~/.ssh/id", "no --- 0:4 >0:3 >0:2"),
        (&[BASE], "${HOME}/work", "yes rwx 0:3 >0:2"),
        (&[BASE], ".", "yes rwx 0:3 >0:2"),
        (&[BASE], "../.ssh", "no --- 0:4 >0:3 >0:2"),
        (&[BASE], "/tmp/x", "yes rwx 0:7 >0:2"),
        (&[BASE], "/mnt/data", "yes rwx 0:8 >0:2"),
        (&[BASE], "/srv/data", "partly r-x 0:2"),
        (&[BASE], "/proc/1", "yes rwx implied >0:2"),
        (&[BASE, small], "/proc/meminfo", "no --- 1:2 >0:2"),
        (&[BASE, small], "/proc/self/maps", "yes rwx 1:2 >0:2"),
        (&[BASE, over], "~/.ssh", "partly r-x 1:6 >0:4 >0:3 >0:2"),
        (&["[limits]\npids = 5\n"], "/etc", "yes rwx default"),
        // With nothing but what is listed.
        (
            &["[filesystem]\n\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n"],
            "/etc",
            "no --- 0:2",
        ),
        (
            &["[filesystem]\n\"/\" = \"hidden\"\n\"/usr/bin\" = \"read-only\"\n"],
            "/usr",
            "partly r-x 0:2",
        ),
        (
            &["[filesystem]\n\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n"],
            "/bin/sh",
            "no --- 0:2",
        ),
        (
            &["[filesystem]\n\"/\" = \"hidden\"\n\"/bin\" = \"read-only\"\n"],
            "/bin/sh",
            "partly r-x 0:3 >0:2",
        ),
        // Devices.
        (
            &["[devices]\ndefault = \"minimal\"\n"],
            "/dev/null",
            "yes rwx implied >0:2",
        ),
        // System calls: conditions over the name, the name over its groups.
        (&[BASE], "syscalls.mount", "no 0:12 >0:11"),
        (&[BASE], "umount2", "no 0:11"),
        (&[BASE], "ptrace", "no 0:15"),
        (&[BASE, over], "ptrace", "yes 1:4 >0:15"),
        (&[BASE], "getpid", "yes default"),
        (&[BASE], "socket", "partly default"),
        (&[BASE], "socket(AF_NETLINK)", "no 0:13"),
        (&[BASE], "socket(AF_INET)", "yes default"),
        (&[BASE], "socket(AF_INET, SOCK_RAW)", "no 0:14"),
        (&[BASE], "socket(AF_INET, SOCK_STREAM)", "yes default"),
        (&[BASE], "@mount", "no 0:11"),
        (&[BASE], "@timer", "yes default"),
        (&[BASE], "@network-io", "partly default"),
        (&["[limits]\npids = 5\n"], "syscalls.mount", "yes default"),
        // What follows from rules, so that they hold.
        (
            &["[syscalls]\n\"clone(&CLONE_NEWUSER)\" = \"deny\"\n"],
            "clone3",
            "no default",
        ),
        // Capabilities.
        (&[BASE], "net_raw", "yes 0:18 >0:17"),
        (&[BASE], "CAP_NET_RAW", "yes 0:18 >0:17"),
        (&[BASE], "cap_sys_admin", "no 0:17"),
        (&["[limits]\npids = 5\n"], "cap_sys_admin", "no default"),
        // The network.
        (&[BASE], "example.org:443", "no 0:30"),
        (&[BASE], "localhost:80", "partly 0:30"),
        (&["[limits]\npids = 5\n"], "1.2.3.4:1", "yes default"),
        (&["[network]\nmode = \"host\"\n"], "[::1]:631", "yes 0:2"),
        (
            &["[syscalls]\n\"socket(AF_INET)\" = \"deny\"\n"],
            "1.2.3.4:1",
            "no 0:2",
        ),
        (
            &["[syscalls]\n\"socket(AF_INET)\" = \"deny\"\n"],
            "[1::2]:1",
            "yes default",
        ),
        (
            &["[syscalls]\nconnect = \"deny\"\n[network]\nmode = \"host\"\n"],
            "1.2.3.4:1",
            "no 0:2 >0:4",
        ),
        // Variables: a name over a pattern, a pattern over the default.
        (&[BASE], "LC_ALL", "yes 0:21 >0:20"),
        (&[BASE], "$LC_TIME", "no 0:22 >0:20"),
        (&[BASE], "$LANG", "set 0:23 >0:20"),
        (&[BASE], "HOME", "no 0:20"),
        (&["[limits]\npids = 5\n"], "HOME", "yes default"),
        // Keys.
        (&[BASE], "memory", "set 0:25"),
        (&[BASE, over], "limits.memory", "set 1:2 >0:25"),
        (&[BASE], "process.umask", "set default"),
    ] {
        let (answers, sources) = asked(false, profiles, question);
        let [found] = answers.as_slice() else {
            panic!("{question}: {answers:?}");
        };
        let found = line(found, &sources);
        if found != expected {
            wrong.push(format!("{question}: {found}, not {expected}"));
        }
    }
    assert_eq!(wrong, [""; 0], "{wrong:#?}");
}

#[test]
fn a_word_that_means_two_things_gets_two_answers() {
    let kinds = |text| {
        let answers = ask_as(true, &["[limits]\npids = 5\n"], text);
        answers.iter().map(|one| one.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds("kill"), ["system-call", "capability"]);
    assert_eq!(kinds("capabilities.kill"), ["capability"]);
    assert_eq!(kinds("syscalls.kill"), ["system-call"]);
    assert_eq!(kinds("mount"), ["system-call", "key"]);
}

#[test]
fn what_root_has_is_kept_unless_it_is_dropped() {
    let verdict = |profile| ask_as(true, &[profile], "cap_sys_admin")[0].verdict;
    assert_eq!(verdict("[limits]\npids = 5\n"), Verdict::Allowed);
    assert_eq!(
        verdict("[capabilities]\nnet_raw = \"keep\"\n"),
        Verdict::Denied
    );
    assert_eq!(
        verdict("[capabilities]\nsys_admin = \"keep\"\n"),
        Verdict::Allowed
    );
}

#[test]
fn what_is_no_question_is_told() {
    for (text, expected) in [
        ("", "nothing that can be asked"),
        ("memry", "did you mean `memory`?"),
        ("::1:80", "brackets"),
        ("host:0", "no port"),
        ("host:99999", "no port"),
        (":80", "names no host"),
        ("~other/x", "one's own home"),
        ("${NO}/x", "NO"),
        ("@nothing", "@nothing"),
        ("socket(AF_NOTHING)", "AF_NOTHING"),
        ("capabilities.nothing", "nothing"),
        ("limits.nothing", "nothing"),
        ("default", "nothing that can be asked"),
    ] {
        let told = question::read(text, &caller(false));
        assert!(
            matches!(&told, Err(message) if message.contains(expected)),
            "{text}: {told:?}"
        );
    }
}

#[test]
fn what_may_be_run_is_said_of_files() {
    let profile = "[execute]\ndefault = \"deny\"\n\"/usr\" = \"allow\"\n";
    let ask = |path: &str| ask_as(false, &[profile], path).remove(0);
    let denied = ask("/etc/passwd");
    assert!(!denied.can.unwrap().execute && denied.can.unwrap().read);
    assert_eq!(denied.parts[0].verdict, Verdict::Denied);
    assert!(
        denied.parts[0]
            .rule
            .as_ref()
            .unwrap()
            .rule
            .contains("execute.default = \"deny\"")
    );
    let allowed = ask("/usr/bin/sh");
    assert!(allowed.can.unwrap().execute, "{allowed:?}");
    assert_eq!(
        allowed.parts[0].rule.as_ref().unwrap().rule,
        "execute.\"/usr\" = \"allow\""
    );
    // A mount holds what is denied below something allowed; a library is mapped, and not run.
    let view = "[filesystem]\n\"/\" = \"read-only\"\n";
    let rules = "[execute]\n\"/usr\" = \"allow\"\n\"/usr/bin/sh\" = \"deny\"\n\"/srv\" = \"map\"\n";
    let ask = |path: &str| ask_as(false, &[view, rules], path).remove(0);
    let denied = ask("/usr/bin/sh");
    assert!(!denied.can.unwrap().execute, "{denied:?}");
    assert_eq!(
        denied.parts[0].rule.as_ref().unwrap().rule,
        "execute.\"/usr/bin/sh\" = \"deny\""
    );
    let mapped = ask("/srv/data");
    assert!(mapped.parts.is_empty() || mapped.parts[0].says.contains("can be mapped"));
    let without = ask_as(false, &["[limits]\npids = 5\n"], "/etc/passwd").remove(0);
    assert!(without.parts.is_empty());
}
