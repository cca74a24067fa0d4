//! Rules of other programs, imported.
#![allow(clippy::unwrap_used)]

use super::*;
use sandbox_suid::rule::{self, Action};

fn one(line: &str) -> String {
    let imported = import("suid.conf", line);
    assert_eq!(imported.failed, [], "{line}");
    let rules = rule::read("imported.toml", &imported.text);
    assert!(rules.is_ok(), "{rules:?}\n{}", imported.text);
    imported.text
}

#[test]
fn the_callers_memory_limit() {
    let text = one(
        "mem3:::::/:/bin/bash:-c:NAME=/sys/fs/cgroup/memory/memlimit; mkdir -p $NAME; echo 3G > $NAME/memory.limit_in_bytes; echo 6G > $NAME/memory.memsw.limit_in_bytes; echo 1G > memory.soft_limit_in_bytes; echo $PPID >> $NAME/tasks",
    );
    let rules = rule::read("x", &text).unwrap();
    assert!(matches!(rules[0].action, Action::LimitCaller { .. }));
    let limits: Vec<_> = rules[0]
        .limits
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        limits,
        ["memory=\"3G\"", "memory-soft=\"1G\"", "swap=\"3G\""]
    );
    assert!(text.contains("never had an effect"), "{text}");
}

#[test]
fn the_examples_of_its_manual() {
    for (line, parts) in [
        (
            "dmesg:::::/:/bin/dmesg",
            vec![
                "program = \"/bin/dmesg\"",
                "directory = \"/\"",
                "user = \"root\"",
            ],
        ),
        (
            "dmesgrw:::::/:/bin/dmesg:-rw",
            vec!["arguments = [\"-rw\"]"],
        ),
        (
            "printenv::*:*:D-:/:/usr/bin/printenv:--",
            vec![
                "user = \"caller\"",
                "group = \"caller\"",
                "max = \"any\"",
                "# debug output (`D`)",
            ],
        ),
        (
            "socklinger80::nobody:nogroup::/:root:/usr/local/bin/socklinger:outeripv4address\\:80:/srv/miniweb.sh",
            vec![
                "user = \"nobody\"",
                "group = \"nogroup\"",
                "capabilities = [\"net-bind-service\"]",
                "arguments = [\"outeripv4address:80\", \"/srv/miniweb.sh\"]",
            ],
        ),
        (
            "nonet::::T-::suid:/sbin/ip:netns:exec:nonet:/bin/bash:-c:exec setpriv --reuid $SUIDUID -- \"$@\":setpriv",
            vec![
                "directory = \"caller\"",
                "\"netns\", \"exec\", \"nonet\"",
                "(`suid:`)",
            ],
        ),
        (
            "sshd::::D:/:/bin/sh:-c:mkdir -pm700 /var/run/sshd && { flock -nx 1 && exec /usr/sbin/sshd -D </dev/null; } >> /var/run/sshd/lock 2>&1",
            vec!["program = \"/bin/sh\"", "flock -nx 1"],
        ),
        (
            "sudo:::*:C-::suid:/usr/bin/sudo",
            vec!["group = \"caller\"", "(`C`)", "(`suid:`)"],
        ),
        (
            "syncthing::::KT-::/bin/bash:-c:exec setpriv --reuid $SUIDUID /usr/bin/syncthing \"$@\"",
            vec!["(`K`)", "not in SUIDUID"],
        ),
    ] {
        let text = one(line);
        for part in parts {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}

#[test]
fn numbers_of_arguments() {
    for (minmax, min, max) in [
        ("", 0, 0),
        ("2", 2, 2),
        ("1-", 1, ANY),
        ("-", 0, ANY),
        ("-3", 0, 3),
        ("0-3", 0, 3),
    ] {
        let text = one(&format!("x::::{minmax}:/:/bin/true"));
        let rules = rule::read("x", &text).unwrap();
        let Action::Run(run) = &rules[0].action else {
            panic!("{rules:?}")
        };
        assert_eq!((run.extra.min, run.extra.max), (min, max), "{minmax}");
    }
    assert!(one("x::::-3:/:/bin/true").contains("allowed any number there"));
}

#[test]
fn what_cannot_be_taken_over_is_said_and_kept_as_a_comment() {
    for (line, why) in [
        ("x", "`pw` is missing"),
        ("x:secret:::0:/:/bin/true", "`pw` must be empty"),
        ("x:::::/:true", "no absolute path"),
        ("x:::::/:", "the program is missing"),
        ("a/b:::::/:/bin/true", "cannot be a rule's name"),
        ("x::::Z:/:/bin/true", "unknown flag `Z`"),
        ("x::::3-1:/:/bin/true", "is no number of arguments"),
        ("x::::9x:/:/bin/true", "is no number of arguments"),
        ("x::-1:::/:/bin/true", "neither a name nor a number"),
        ("x:::::tmp:/bin/true", "`directory` is"),
    ] {
        let imported = import("suid.conf", line);
        assert_eq!(imported.rules, 0, "{line}");
        assert!(
            imported.failed[0].1.contains(why),
            "{line}: {:?}",
            imported.failed
        );
        assert!(
            imported.text.contains("is not taken over"),
            "{}",
            imported.text
        );
    }
    let twice = import("suid.conf", "x:::::/:/bin/true\nx:::::/:/bin/false\n");
    assert_eq!((twice.rules, twice.failed.len()), (1, 1));
}

#[test]
fn a_line_cannot_write_keys_of_its_own() {
    let imported = import(
        "suid.conf",
        "x:::::/:/bin/true:a\"]\u{b}user = 0:\\u0041:\u{1b}[2J\n#\u{1b}[2J\n",
    );
    assert!(!imported.text.contains('\u{1b}'), "{}", imported.text);
    let rules = rule::read("x", &imported.text).unwrap();
    let Action::Run(run) = &rules[0].action else {
        panic!("{rules:?}")
    };
    assert_eq!(run.arguments, ["a\"]\u{b}user = 0", "\\u0041", "\u{1b}[2J"]);
}
