//! `[execute]` as mounts.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::super::tests::{HOST, HandMade, around, fs, ro, show, tmpfs};
use super::super::{Lowered, lower, wanted};
use crate::host::facts::Caller;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Terms, Value, View};
use crate::section::execute;

fn caller() -> Caller {
    Caller {
        uid: 1000,
        home: "/home/u".into(),
        ..Caller::default()
    }
}

fn lowered(rules: &[(Section, &str, Value)], more: &str) -> Lowered {
    let policy: Policy = super::super::tests::policy(rules);
    let host = HandMade::new(&format!("{HOST} {more}"));
    let around = around();
    let mut looked = wanted(&policy, &caller(), &around);
    let facts = host.facts(&looked, caller());
    let (paths, globs) = execute::wanted(&policy, &facts);
    looked.paths.extend(paths);
    looked.globs.extend(globs);
    lower(&policy, &host.facts(&looked, caller()), &around).unwrap()
}

fn run(key: &'static str, word: &'static str) -> (Section, &'static str, Value) {
    (Section::Execute, key, Value::Word(word))
}

const SHUT: &str = "NoExecution { path: \"/\" }\n";

#[test]
fn nothing_but_programs_and_libraries_can_be_mapped() {
    let found = show(&lowered(&[ro("/"), run("/bin/sh", "allow")], ""));
    assert!(found.contains(SHUT), "{found}");
    for place in ["/usr/bin/sh", "/usr/lib", "/usr/lib64"] {
        assert!(
            found.contains(&format!("show {place} read-only\n")),
            "{found}"
        );
    }
    let at = |text: &str| found.find(text).unwrap();
    assert!(at(SHUT) < at("show /usr/lib "), "{found}");
    assert!(!found.contains("NoExecution { path: \"/usr"), "{found}");
    // A directory of one's own, and memory.
    let rules = [
        ro("/"),
        tmpfs("/tmp"),
        run("/bin/sh", "allow"),
        run("~/work", "map"),
    ];
    let found = show(&lowered(&rules, ""));
    assert!(found.contains("show /home/u/work read-only\n"), "{found}");
    assert!(found.contains("NoExecution { path: \"/tmp\" }"), "{found}");
}

#[test]
fn what_changes_nothing_is_no_mount() {
    for rules in [
        vec![ro("/")],
        vec![ro("/"), run("default", "allow"), run("/usr", "allow")],
        vec![ro("/"), run("/", "allow")],
    ] {
        let found = show(&lowered(&rules, ""));
        assert!(!found.contains("NoExecution"), "{found}");
        assert!(!found.contains("show /usr"), "{found}");
    }
}

#[test]
fn a_denied_program_is_a_mount_of_its_own() {
    let rules = [
        ro("/"),
        run("/usr", "allow"),
        run("/usr/bin/sh", "deny"),
        run("/usr/bin/absent", "deny"),
    ];
    let found = lowered(&rules, "");
    assert!(found.denied.contains(Path::new("/usr/bin/sh")));
    assert!(!found.denied.contains(Path::new("/usr/bin/absent")));
    let found = show(&found);
    assert!(
        found.contains("show /usr/bin/sh read-only\nNoExecution { path: \"/usr/bin/sh\" }\n"),
        "{found}"
    );
}

#[test]
fn both_sections_have_to_let_it() {
    let terms = Terms {
        execute: Some(false),
        ..Terms::default()
    };
    let rules = [
        ro("/"),
        fs("/usr/bin", View::Host(Access::ReadOnly).on(terms)),
        run("/usr/bin/sh", "allow"),
    ];
    let found = show(&lowered(&rules, ""));
    assert!(found.contains(SHUT), "{found}");
    for place in ["/usr/bin", "/usr/bin/sh"] {
        let shut = format!("show {place} read-only\nNoExecution {{ path: \"{place}\" }}\n");
        assert!(
            found.contains(&shut) || !found.contains(&format!("show {place} ")),
            "{found}"
        );
    }
}

#[test]
fn a_pattern_for_many_is_one_mount() {
    let many: String = (0..40).map(|at| format!("/opt/bin/p{at} ")).collect();
    let rules = [ro("/"), run("/opt/bin/*", "allow")];
    let found = show(&lowered(&rules, &many));
    assert!(found.contains("show /opt/bin read-only\n"), "{found}");
    assert!(!found.contains("show /opt/bin/p"), "{found}");
}
