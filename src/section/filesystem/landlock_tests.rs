//! What Landlock holds of a view, on hosts made by hand, and as a property beside that of the mounts.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::model::{self, Found, Table};
use super::tests::{HandMade, policy};
use super::*;
use crate::section::landlock::Rights;

fn caller() -> Caller {
    Caller {
        uid: 1000,
        home: "/home/u".into(),
        working_directory: "/home/u/work".into(),
        ..Caller::default()
    }
}

fn access(word: &str) -> View {
    match word {
        "ro" => View::Host(Access::ReadOnly),
        "rw" => View::Host(Access::ReadWrite),
        "hidden" => View::Host(Access::Hidden),
        "tmpfs" => View::Tmpfs { size: None },
        "private" => View::Private,
        "text" => View::Text("x".to_owned()),
        other => View::Bind {
            source: other.to_owned(),
            access: Access::ReadOnly,
        },
    }
}

/// `PATH=WORD …`, and devices as `[NAME]`.
fn rules(text: &str) -> Policy {
    let words: Vec<(Section, &str, Value)> = text
        .split_whitespace()
        .map(|word| match word.split_once('=') {
            Some((path, view)) => (Section::Filesystem, path, Value::View(access(view))),
            None => (
                Section::Devices,
                word.trim_matches(['[', ']']),
                Value::Bool(true),
            ),
        })
        .collect();
    policy(&words)
}

const HOST: &str = "/usr/bin/true /bin/ /etc/passwd /etc/shadow /dev/null! /dev/zero! /dev/full! /dev/random! \
    /dev/urandom! /dev/tty! /dev/dri/card0! /proc/ /tmp/ /home/u/.ssh/id /home/u/work/.git/hooks/ /srv/data/f";

fn around() -> Surroundings {
    Surroundings {
        private_root: "/home/u/.local/share/sandbox/private/test".into(),
        ..Surroundings::default()
    }
}

fn facts(policy: &Policy, around: &Surroundings) -> Facts {
    HandMade::new(HOST).facts(&wanted(policy, &caller(), around), caller())
}

/// `PATH: RIGHTS` of each rule, and what only mounts hold after `+`.
fn told(held: &Held) -> String {
    let rules = held
        .rules
        .iter()
        .map(|rule| format!("{}: {}", rule.path.display(), rule.rights));
    let beyond = held
        .beyond
        .iter()
        .filter(|at| !at.ends_with("sandbox/private"))
        .map(|at| format!("+ {}", at.display()));
    rules.chain(beyond).collect::<Vec<_>>().join("\n")
}

#[test]
fn rules_come_from_the_table() {
    let table = [
        // A root that is granted everything leaves nothing to refuse.
        ("~/.ssh=hidden", ""),
        ("/=rw ~/.ssh=hidden", ""),
        (
            "/=ro",
            "/: read-only\n/dev: execute write-file read-file read-dir ioctl-dev resolve-unix",
        ),
        (
            "/=ro ~/work=rw",
            "/: read-only\n/dev: execute write-file read-file read-dir ioctl-dev resolve-unix\n/home/u/work: read-write",
        ),
        // Below what is granted nothing can be taken away.
        (
            "/=ro ~/.ssh=hidden /dev=hidden",
            "/: read-only\n+ /dev\n+ /home/u/.ssh",
        ),
        (
            "/=ro /dev=hidden ~/work=rw ~/work/.git/hooks=ro",
            "/: read-only\n/home/u/work: read-write\n+ /dev\n+ /home/u/work/.git/hooks",
        ),
        // Nothing is granted but what is listed; directories of ours can be listed.
        (
            "/=hidden /usr=ro ~/work=rw /etc/passwd=ro",
            "/: read-dir\n/etc/passwd: read-only\n/home/u/work: read-write\n/usr: read-only",
        ),
        (
            "/=hidden /usr=ro ~=private /tmp=tmpfs /etc/hosts=text",
            "/: read-dir\n/etc/hosts: read-file\n/home/u: read-write\n/tmp: read-write\n/usr: read-only",
        ),
        // Another place of the same files is granted no more than they are.
        (
            "/=hidden /usr=ro /data=/srv/data",
            "/: read-dir\n/data: read-only\n/usr: read-only",
        ),
        // Unless they are granted more at their own: a rule is tied to what is found, not to the path.
        (
            "/=hidden /usr=ro /data=/srv/data /srv/data=rw",
            "/: read-dir\n/data: read-only\n/srv/data: read-write\n/usr: read-only\n+ /data",
        ),
        // A root from elsewhere keeps all else out.
        ("/=tmpfs", "/: read-write"),
        (
            "/=hidden /usr=ro [gpu]",
            "/: read-dir\n/dev: devices\n/dev/shm: read-write\n/usr: read-only",
        ),
    ];
    for (text, expected) in table {
        let policy = rules(text);
        let around = around();
        let lowered = lower(&policy, &facts(&policy, &around), &around);
        let lowered = lowered.unwrap_or_else(|errors| panic!("{text}: {errors:#?}"));
        assert_eq!(told(&lowered.held), expected, "{text}");
        assert_eq!(lowered.refused, [], "{text}");
    }
}

#[test]
fn what_is_writable_is_not_executable_where_that_is_asked() {
    let policy = rules("/=hidden /usr=ro ~/work=rw /tmp=tmpfs");
    let around = Surroundings {
        write_xor_execute: true,
        ..around()
    };
    let lowered = lower(&policy, &facts(&policy, &around), &around).unwrap();
    assert_eq!(
        told(&lowered.held),
        "/: read-dir\n/home/u/work: read-write, not executable\n/tmp: read-write, not executable\n/usr: read-only"
    );
    let shut: Vec<_> = lowered
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            crate::plan::Action::NoExecution { path } => path.to_str(),
            _ => None,
        })
        .collect();
    assert_eq!(shut, ["/home/u/work", "/tmp"]);
    // A root that nothing could be executed from is a mistake.
    let all = rules("/=rw ~/.ssh=hidden");
    let errors = lower(&all, &facts(&all, &around), &around).unwrap_err();
    assert!(
        errors
            .iter()
            .any(|error| error.message.contains("nothing could be executed"))
    );
}

#[test]
fn without_mounts_some_rules_cannot_be_held() {
    let table = [
        ("/=ro ~/work=rw", ""),
        ("/=hidden /usr=ro ~/work=rw /dev/null=rw", ""),
        ("/=hidden /usr=ro ~/.ssh=hidden", ""),
        (
            "~/.ssh=hidden",
            "~/.ssh (strict): `/` above it gives more, and Landlock takes nothing away",
        ),
        (
            "/=ro ~/.ssh=hidden",
            "~/.ssh (strict): `/` above it gives more, and Landlock takes nothing away",
        ),
        (
            "/=ro ~/work=rw ~/work/.git/hooks=ro",
            "~/work/.git/hooks (strict): `~/work` above it gives more, and Landlock takes nothing away",
        ),
        (
            "/=rw /usr=ro",
            "/usr (strict): `/` above it gives more, and Landlock takes nothing away",
        ),
        (
            "/=ro /tmp=tmpfs",
            "/tmp: a file system in memory is mounted",
        ),
        (
            "/=ro ~=private",
            "~: a directory of the profile's own is mounted",
        ),
        (
            "/=ro /etc/passwd=text",
            "/etc/passwd: a text is mounted in the file's place",
        ),
        (
            "/=ro /etc=/srv/data",
            "/etc: a path is shown at another place by a mount",
        ),
        (
            "/=ro [gpu]",
            "devices: a /dev of its own is mounted; `devices.default = \"host\"` does without",
        ),
        // What is not there needs no holding.
        ("/=ro ~/.gnupg=hidden", ""),
    ];
    for (text, expected) in table {
        let policy = rules(text);
        let around = around();
        let lowered = lower_without_mounts(&policy, &facts(&policy, &around), &around);
        let lowered = lowered.unwrap_or_else(|errors| panic!("{text}: {errors:#?}"));
        let refused: Vec<String> = lowered
            .refused
            .iter()
            .map(|one| {
                let strict = if one.strict { " (strict)" } else { "" };
                format!("{}{strict}: {}", one.key, one.why)
            })
            .collect();
        assert_eq!(refused.join("\n"), expected, "{text}");
        assert_eq!(lowered.steps, [], "{text}");
    }
}

#[test]
fn without_mounts_what_is_not_listed_is_not_granted() {
    let policy = rules("/=hidden /usr=ro ~/work=rw /dev/null=rw /etc/passwd=ro");
    let around = around();
    let lowered = lower_without_mounts(&policy, &facts(&policy, &around), &around).unwrap();
    assert_eq!(
        told(&lowered.held),
        "/dev/null: devices\n/etc/passwd: read-only\n/home/u/work: read-write\n/usr: read-only"
    );
}

/// What Landlock grants at a path of a simulated view.
fn granted(table: &Table, held: &Held, path: &Path) -> Rights {
    let object = |at: &Path| match table.found(at) {
        Found::Host(source, _) => (true, source),
        Found::Ours => (false, at.to_owned()),
    };
    path.ancestors().fold(Rights::NONE, |rights, at| {
        let here = object(at);
        held.rules
            .iter()
            .filter(|rule| object(&rule.path) == here)
            .fold(rights, |rights, rule| rights | rule.rights)
    })
}

#[test]
fn the_second_wall_refuses_nothing_that_the_first_allows_and_says_where_it_is_lower() {
    let looked = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&model::rules(), |rules| {
        let host = HandMade::new(&model::HOST.join(" "));
        let Some((table, held)) = model::simulate_with_walls(&rules, &host)? else {
            return Ok(());
        };
        if held.rules.is_empty() {
            return Ok(());
        }
        for path in model::everywhere(&rules) {
            let Found::Host(source, access) = table.found(&path) else {
                continue;
            };
            if !model::on_host(&source) {
                continue;
            }
            looked.set(looked.get() + 1);
            let promised = match access {
                Access::ReadWrite => Rights::read_write(),
                _ => Rights::read(),
            };
            let promised = match table.executes(&path) {
                true => promised,
                false => promised & !Rights::EXECUTE,
            };
            let granted = granted(&table, &held, &path);
            let file = promised.on_file();
            prop_assert!(
                granted.contains(file),
                "{:?}: {} of {}\n{:#?}\n{:?}",
                path,
                granted,
                promised,
                table,
                held
            );
            let lower = path
                .ancestors()
                .any(|at| held.beyond.iter().any(|place| place == at));
            if !lower {
                prop_assert!(
                    promised.contains(granted),
                    "{:?}: {} is more than {}\n{:#?}\n{:?}",
                    path,
                    granted,
                    promised,
                    table,
                    held
                );
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        looked.get() > 500,
        "only {} paths were looked at",
        looked.get()
    );
}

/// Without mounts, what is shown read-only all around cannot be hidden, and what can be written there could be forged.
#[test]
fn records_of_running_sandboxes_are_never_written() {
    let records = PathBuf::from("/home/u/.local/state/sandbox/run");
    let without = |text: &str, host: &str| {
        let policy = rules(text);
        let around = Surroundings {
            records: vec![records.clone()],
            ..around()
        };
        let facts = HandMade::new(&format!("{HOST} {host}"))
            .facts(&wanted(&policy, &caller(), &around), caller());
        lower_without_mounts(&policy, &facts, &around).unwrap()
    };
    for host in ["", "/home/u/.local/state/sandbox/run/"] {
        let shown = without("/=ro", host);
        assert_eq!(shown.refused, [], "{host}");
        let hidden = without("/=hidden /usr=ro", host);
        assert_eq!(hidden.refused, [], "{host}");
        let open = without("/=ro ~=rw", host);
        let refused: Vec<_> = open.refused.iter().map(|one| one.why.as_str()).collect();
        assert!(
            refused.iter().any(|why| why.contains(guard::RECORDS)),
            "{host}: {refused:?}"
        );
        assert!(open.refused.iter().all(|one| one.strict));
    }
    let note = "the program can read the records of running sandboxes";
    let shown = without("/=ro", "/home/u/.local/state/sandbox/run/");
    assert!(
        shown.notes.iter().any(|one| one.text.starts_with(note)),
        "{:?}",
        shown.notes
    );
}

/// Both walls come from one table: the directories of control groups are as read-only for Landlock as they are mounted.
#[test]
fn landlock_grants_no_more_of_control_groups_than_the_mounts() {
    let groups = PathBuf::from("/sys/fs/cgroup");
    let around = Surroundings {
        groups: Some(ControlGroups {
            mounts: vec![groups.clone()],
            sockets: Vec::new(),
        }),
        ..around()
    };
    let host = format!("{HOST} /sys/fs/cgroup/memory/ /sys/kernel/");
    for (text, told_of) in [
        ("/=hidden /usr=ro /sys=ro", "/sys: read-only"),
        // Granted by what is above: the mount alone holds, and that is known.
        ("/=ro /sys=rw", "+ /sys/fs/cgroup"),
    ] {
        let policy = rules(text);
        let facts = HandMade::new(&host).facts(&wanted(&policy, &caller(), &around), caller());
        let lowered = lower(&policy, &facts, &around).unwrap();
        let told = told(&lowered.held);
        assert!(told.lines().any(|line| line == told_of), "{text}:\n{told}");
    }
    // Without mounts it is at least said.
    let policy = rules("/=ro /sys=rw");
    let facts = HandMade::new(&host).facts(&wanted(&policy, &caller(), &around), caller());
    let lowered = lower_without_mounts(&policy, &facts, &around).unwrap();
    assert_eq!(lowered.refused, []);
    let said = "the program can write to `/sys/fs/cgroup`";
    assert!(
        lowered.notes.iter().any(|one| one.text.contains(said)),
        "{:?}",
        lowered.notes
    );
}
