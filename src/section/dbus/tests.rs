use std::path::Path;

use super::*;
use crate::host::dbus::Proxy;
use crate::host::facts::PathFact;
use crate::policy::resolve;
use crate::profile::document::parse;
use crate::report::SourceId;

fn policy(rules: &str) -> Policy {
    let parsed = parse("p", SourceId::default(), &format!("[dbus]\n{rules}"));
    assert_eq!(parsed.diagnostics, []);
    resolve("p", &[parsed.profile])
}

/// An ordinary user in a session, with the filter installed.
fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.caller.uid = 5;
    facts
        .caller
        .directories
        .insert("XDG_RUNTIME_DIR".to_owned(), "/run/user/5".into());
    facts.dbus.proxy = Some(Proxy {
        path: "/usr/bin/xdg-dbus-proxy".into(),
        ..Proxy::default()
    });
    facts
}

fn words(rules: &str, facts: &Facts) -> Vec<String> {
    let policy = policy(rules);
    let rules = super::rules(&policy).unwrap();
    let companion = companion(&plans(&policy, facts), &rules, facts, None, None);
    let words = companion
        .into_iter()
        .flat_map(|companion| companion.arguments);
    words
        .map(|word| word.shown().into_string().unwrap())
        .collect()
}

#[test]
fn rules_become_options_of_one_filter() {
    let rules = "session = \"filtered\"\n\"org.a.Talk\" = \"talk\"\n\"org.a.Own.*\" = \"own\"\n\"org.a.See\" = \"see\"\n\
                 \"org.a.None\" = \"none\"\n\"org.a.Part(org.a.I.*@/org/a)\" = \"call\"\n\"org.a.Part(org.a.J.*)\" = \"talk\"\n\
                 \"org.a.Part(org.a.K.S)\" = \"listen\"\n\"system:org.b.C\" = \"talk\"\n";
    assert_eq!(
        words(rules, &facts()),
        [
            "--fd=3",
            "unix:path=/run/user/5/bus",
            "RUN/session-bus",
            "--filter",
            "--own=org.a.Own.*",
            "--call=org.a.Part=org.a.I.*@/org/a",
            "--call=org.a.Part=org.a.J.*",
            "--broadcast=org.a.Part=org.a.J.*",
            "--broadcast=org.a.Part=org.a.K.S",
            "--see=org.a.See",
            "--talk=org.a.Talk",
            "unix:path=/run/dbus/system_bus_socket",
            "RUN/system-bus",
            "--filter",
            "--talk=org.b.C",
        ]
    );
    assert_eq!(
        words("session = \"none\"\n\"org.a.b\" = \"talk\"\n", &facts()),
        [""; 0]
    );
    assert_eq!(words("session = \"host\"\n", &facts()), [""; 0]);
}

#[test]
fn a_filter_that_cannot_be_had_is_no_bus() {
    let policy = policy("\"org.a.b\" = \"talk\"\n");
    let one = |facts: &Facts| {
        let plan = plans(&policy, facts).remove(0);
        (plan.mode, plan.lack)
    };
    let mut facts = facts();
    assert_eq!(one(&facts), (Mode::Filtered, None));
    facts.dbus.proxy = None;
    assert_eq!(one(&facts), (Mode::None, Some(Lack::Proxy)));
    let missing = PathFact {
        canonical: None,
        kind: PathKind::Missing,
        links: Vec::new(),
        error: None,
        twin: None,
    };
    facts.paths.insert("/run/user/5/bus".into(), missing);
    assert_eq!(one(&facts), (Mode::None, Some(Lack::Bus)));
    facts.caller.environment.push((
        variable(Bus::Session).into(),
        "unixexec:path=/bin/sh".into(),
    ));
    assert!(matches!(one(&facts), (Mode::None, Some(Lack::Address(_)))));
    assert!(
        fixtures(&policy, &facts)
            .iter()
            .all(|one| one.what == Fixed::Hidden)
    );
}

#[test]
fn every_other_door_is_shut() {
    let mut facts = facts();
    facts.caller.environment.push((
        variable(Bus::Session).into(),
        "unix:path=/tmp/dbus-x".into(),
    ));
    let at = |mode: &str, place: &str| {
        let all = fixtures(&policy(&format!("session = \"{mode}\"\n")), &facts);
        let mut found = all.into_iter().filter(|one| one.place == Path::new(place));
        let what = found.next().map(|one| one.what);
        assert_eq!(found.next(), None);
        what
    };
    for door in [
        "/run/user/5/bus",
        "/run/user/5/systemd",
        "/run/user/5/at-spi",
    ] {
        assert_eq!(at("filtered", door), Some(Fixed::Hidden), "{door}");
        assert_eq!(at("none", door), Some(Fixed::Hidden), "{door}");
        assert_eq!(at("host", door), None, "{door}");
    }
    assert_eq!(
        at("filtered", "/tmp/dbus-x"),
        Some(Fixed::Made("session-bus".into()))
    );
    assert_eq!(at("none", "/tmp/dbus-x"), Some(Fixed::Hidden));
    assert_eq!(
        at("host", "/tmp/dbus-x"),
        Some(Fixed::Shown(Access::ReadOnly))
    );
}

#[test]
fn addresses_are_those_of_what_is_seen() {
    let facts = facts();
    let after = |mode: &str, mounts: bool| {
        let policy = policy(&format!("session = \"{mode}\"\n"));
        let mut environment: Vec<(OsString, OsString)> = [
            ("A", "b"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/elsewhere"),
            ("AT_SPI_BUS_ADDRESS", "unix:path=/x"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        set_variables(
            &mut environment,
            &policy,
            &plans(&policy, &facts),
            None,
            mounts,
        );
        environment
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect::<Vec<_>>()
    };
    let bus = "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/5/bus";
    assert_eq!(after("filtered", true), ["A=b", bus]);
    assert_eq!(after("filtered", false), ["A=b"]);
    assert_eq!(after("none", true), ["A=b"]);
    assert_eq!(
        after("host", true),
        ["A=b", "AT_SPI_BUS_ADDRESS=unix:path=/x", bus]
    );
}

#[test]
fn rights_that_do_not_fit_are_errors() {
    for rules in [
        "\"org.a.b\" = \"listen\"\n",
        "\"org.a.b(*)\" = \"see\"\n",
        "\"org.a.*\" = \"talk\"\n\"org.a.b(*)\" = \"none\"\n",
        "\"org.a.*\" = \"own\"\n\"org.a.b.*\" = \"talk\"\n",
    ] {
        assert_eq!(
            super::rules(&policy(rules)).unwrap_err().len(),
            1,
            "{rules}"
        );
    }
    for rules in [
        "\"org.a.b\" = \"talk\"\n\"org.a.b.*\" = \"see\"\n",
        "\"org.a.*\" = \"talk\"\n\"system:org.a.b\" = \"none\"\n",
        "\"org.a.b\" = \"see\"\n\"org.a.b(*)\" = \"talk\"\n",
    ] {
        assert!(super::rules(&policy(rules)).is_ok(), "{rules}");
    }
}
