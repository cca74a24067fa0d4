use std::collections::BTreeMap;

use super::*;
use crate::cli::doctor::{is_fit, limits, show};
use crate::host::doctor::Attempts;
use crate::kernel::seccomp::Support;

/// A host where everything works for an ordinary user, but control groups.
fn good() -> Findings {
    let mut found = Findings {
        architecture: "x86_64".to_owned(),
        seccomp: Support {
            errno: true,
            kill_process: true,
            log: true,
            trap: true,
        },
        in_user_namespace: Step::ALL.map(|step| (step, Ok(()))).into(),
        ..Findings::default()
    };
    found.facts.caller.uid = 1000;
    found.facts.caller.user = "alice".to_owned();
    found.around.max_user_namespaces = Some(15_000);
    found.around.program = "/usr/bin/sandbox".into();
    found
}

fn judged(found: &Findings) -> BTreeMap<&'static str, Check> {
    let checks = judge(found, &limits::judge(&found.facts));
    let count = checks.len();
    let map: BTreeMap<_, _> = checks
        .into_iter()
        .map(|check| (check.name, check))
        .collect();
    assert_eq!(map.len(), count, "two checks have one name");
    map
}

fn fit(found: &Findings) -> bool {
    is_fit(&judge(found, &limits::judge(&found.facts)))
}

/// A host where the trial ended at this step.
fn ended_at(step: Step, errno: Errno) -> Findings {
    let mut found = good();
    let before = Step::ALL.iter().take_while(|one| **one != step);
    found.in_user_namespace = before.map(|step| (*step, Ok(()))).collect::<Attempts>();
    found.in_user_namespace.insert(step, Err(errno));
    found
}

#[test]
fn a_good_host_is_fit_even_without_limits() {
    let found = good();
    assert!(fit(&found));
    let checks = judged(&found);
    assert_eq!(checks["user-namespace"].state, State::Ok);
    let memory = &checks["memory-limit"];
    assert_eq!(memory.state, State::Missing);
    assert!(
        !memory.costs.is_empty() && !memory.fix.is_empty(),
        "{memory:?}"
    );
}

#[test]
fn what_is_missing_says_its_cost_and_its_fix_and_what_is_not_says_neither() {
    let mut bad = ended_at(Step::User, Errno::ENOSPC);
    bad.around.max_user_namespaces = Some(0);
    bad.calls.clone3 = Err(Errno::ENOSYS);
    bad.calls.mount_api = false;
    bad.seccomp = Support::default();
    for found in [good(), bad] {
        for check in judged(&found).values() {
            let missing = check.state == State::Missing;
            assert_eq!(missing, !check.costs.is_empty(), "{check:?}");
            assert!(missing || check.fix.is_empty(), "{check:?}");
        }
    }
}

#[test]
fn a_refused_user_namespace_is_the_one_fault() {
    let mut found = ended_at(Step::User, Errno::ENOSPC);
    found.around.max_user_namespaces = Some(0);
    assert!(!fit(&found));
    let checks = judged(&found);
    assert_eq!(checks["user-namespace"].state, State::Missing);
    assert!(checks["user-namespace"].fix[0].contains("user.max_user_namespaces = 15000"));
    assert_eq!(checks["pid-namespace"].state, State::Info);
}

#[test]
fn capabilities_that_are_taken_away_are_seen_at_the_mounts() {
    let mut found = ended_at(Step::Private, Errno::EACCES);
    found.around.apparmor_restricts = true;
    let checks = judged(&found);
    assert!(
        checks["user-namespace"].detail.contains("AppArmor"),
        "{checks:?}"
    );
    assert!(!fit(&found));
}

#[test]
fn root_does_without_user_namespaces() {
    let mut found = ended_at(Step::User, Errno::ENOSPC);
    found.facts.caller.uid = 0;
    found.facts.caller.capabilities = u64::MAX;
    found.directly = Step::ALL.map(|step| (step, Ok(()))).into();
    assert!(fit(&found));
    assert_eq!(judged(&found)["user-namespace"].state, State::Missing);
    found.directly.insert(Step::Proc, Err(Errno::EPERM));
    assert!(!fit(&found));
}

#[test]
fn a_trial_without_an_answer_is_no_success() {
    let mut found = good();
    found.in_user_namespace.remove(&Step::Proc);
    assert!(!fit(&found));
}

#[test]
fn the_json_document_has_the_fields_that_the_manual_describes() {
    let mut found = good();
    found.core_pattern = Some("|/usr/bin/\u{1b}[31m".to_owned());
    let answer = limits::judge(&found.facts);
    let checks = judge(&found, &answer);
    let document = show::json(&found, &checks, &answer);
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let mut top = keys(&document);
    top.sort();
    assert_eq!(top, ["checks", "fit", "kernel", "limits", "user"]);
    let mut check = keys(&document["checks"][0]);
    check.sort();
    assert_eq!(
        check,
        ["costs", "detail", "fix", "group", "name", "needed", "state"]
    );
    assert_eq!(document["limits"]["layout"], "none");
    assert!(document["limits"]["way"].is_null());
    assert_eq!(document["limits"]["refused"][0]["limit"], "memory");
    // What is printed to a terminal is harmless.
    assert!(!show::text(&found, &checks, &answer).contains('\u{1b}'));
}
