//! What binds a sandbox, written and read.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::profile::value::CpuSet;

fn ruleset() -> Ruleset {
    Ruleset {
        abi: 7,
        handled: Rights::known(7),
        rules: vec![PathRule {
            path: "/a b".into(),
            rights: Rights::read(),
            site: Site::DEFAULT,
        }],
        scopes: Scopes {
            abstract_sockets: true,
            signals: true,
        },
        beyond: Vec::new(),
    }
}

fn plan() -> Plan {
    let step = |action| Step {
        action,
        site: Site::DEFAULT,
        because: "a".to_owned(),
        on_failure: OnFailure::Warn,
    };
    let allow = |program| FilterPlan {
        program,
        default: bpf::Action::Allow,
        architectures: vec![Arch::X86_64],
        rules: 1,
        implied: Vec::new(),
    };
    let program = Program::new(vec![Instruction {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    }]);
    Plan {
        steps: vec![
            step(Action::DieWithParent),
            step(Action::Nice { value: 3 }),
            step(Action::IoPriority {
                value: IoPriority::BestEffort(7),
            }),
            step(Action::Scheduler {
                value: Scheduler::RoundRobin(2),
            }),
            step(Action::OomScoreAdjust { value: 5 }),
            step(Action::NewSessionKeyring),
            step(Action::Hostname {
                name: "x".to_owned(),
            }),
            step(Action::DropGroups),
            step(Action::NoNewPrivileges),
            step(Action::Landlock(ruleset())),
            step(Action::Init),
            step(Action::ResourceLimit {
                resource: 7,
                name: "open-files",
                value: Some(9),
            }),
            step(Action::CpuAffinity {
                cpus: CpuSet::new(vec![(0, 2)]).unwrap(),
            }),
            step(Action::Capabilities {
                keep: 1 << 40,
                ambient: true,
                bounding: true,
                last: 40,
            }),
            step(Action::Umask { mode: 0o77 }),
            step(Action::WorkingDirectory {
                candidates: vec!["/a".into()],
            }),
            step(Action::CloseDescriptors),
            step(Action::Seccomp(allow(program.unwrap()))),
            step(Action::Execute {
                program: "p".into(),
                arguments: Vec::new(),
                environment: vec![("A".into(), "b\\c".into()), ("TERM".into(), "x".into())],
            }),
        ],
        ..Plan::default()
    }
}

#[test]
fn what_binds_the_sandbox_binds_those_who_join_in_the_same_order() {
    let caller = Caller {
        umask: 0o22,
        limits: Vec::new(),
        working_directory: "/home".to_owned(),
    };
    let confinement = Confinement::of(&plan(), &SourceMap::new(), caller);
    let text = serde_json::to_string(&confinement).unwrap();
    let read: Confinement = serde_json::from_str(&text).unwrap();
    assert_eq!(read, confinement);
    let joined = read
        .plan(&Entry {
            program: "sh".into(),
            variables: vec![("TERM".into(), "y".into())],
            ..Entry::default()
        })
        .unwrap();
    let bound = |plan: &Plan| {
        let steps = plan
            .steps
            .iter()
            .filter(|step| rule(&step.action).is_some());
        steps.cloned().collect::<Vec<_>>()
    };
    assert_eq!(bound(&joined), bound(&plan()));
    // The filter is last, but for what it must let through.
    let kinds: Vec<&str> = joined.steps.iter().map(|step| step.action.kind()).collect();
    let end = kinds.len() - 3;
    assert_eq!(kinds[end..], ["close-descriptors", "seccomp", "execute"]);
    assert_eq!(kinds[..3], ["die-with-parent", "clone", "new-session"]);
    let Action::Execute { environment, .. } = &joined.steps.last().unwrap().action else {
        panic!("the last step executes");
    };
    let expected: [(OsString, OsString); 2] =
        [("A".into(), "b\\c".into()), ("TERM".into(), "y".into())];
    assert_eq!(environment[..], expected);
}

/// Who joins gets a domain of its own. Where a namespace holds the same, its scopes would only keep the sandbox's own
/// processes away.
#[test]
fn scopes_of_landlock_are_left_to_namespaces() {
    let step = |action| Step {
        action,
        site: Site::DEFAULT,
        because: String::new(),
        on_failure: OnFailure::Fatal,
    };
    let scopes = |namespaces: &[NamespaceKind], handled| {
        let namespaces = namespaces.to_vec();
        let ruleset = Ruleset {
            handled,
            ..ruleset()
        };
        let plan = Plan {
            steps: vec![
                step(Action::Clone { namespaces }),
                step(Action::Landlock(ruleset)),
            ],
            ..Plan::default()
        };
        let confinement = Confinement::of(&plan, &SourceMap::new(), Caller::default());
        let joined = confinement.plan(&Entry::default()).unwrap();
        joined.steps.into_iter().find_map(|step| match step.action {
            Action::Landlock(ruleset) => Some(ruleset.scopes.bits()),
            _ => None,
        })
    };
    let all = Rights::known(7);
    assert_eq!(scopes(&[], all), Some(3));
    assert_eq!(scopes(&[NamespaceKind::Pid], all), Some(1));
    assert_eq!(scopes(&[NamespaceKind::Net], all), Some(2));
    let both = [NamespaceKind::Pid, NamespaceKind::Net];
    assert_eq!(scopes(&both, all), Some(0));
    assert_eq!(scopes(&both, Rights::NONE), None);
}

#[test]
fn nonsense_is_refused() {
    let confinement = Confinement::of(&plan(), &SourceMap::new(), Caller::default());
    let text = serde_json::to_string(&confinement).unwrap();
    for (is, becomes) in [
        ("\"resource\":7", "\"resource\":99"),
        ("\"0-2\"", "\"2-0\""),
        ("\"x86_64\"", "\"vax\""),
        ("\"handled\":", "\"handled\":9"),
    ] {
        let forged = text.replacen(is, becomes, 1);
        assert_ne!(forged, text, "{is}");
        let read: Confinement = serde_json::from_str(&forged).unwrap();
        assert!(read.plan(&Entry::default()).is_err(), "{becomes}");
    }
    let start = text.find("\"program\":[[").unwrap();
    let end = text[start..].find("]]").unwrap() + start + 2;
    let forged = format!("{}\"program\":[]{}", &text[..start], &text[end..]);
    let read: Confinement = serde_json::from_str(&forged).unwrap();
    assert!(read.plan(&Entry::default()).is_err());
}
