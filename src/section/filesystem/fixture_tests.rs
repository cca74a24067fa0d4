//! What other sections put into the view, as steps.
#![allow(clippy::unwrap_used)]

use super::tests::{HOST, around, fs, hidden, lowered, ro, rw, show, tmpfs};
use super::*;

fn fixture(place: &str, what: Fixed) -> Fixture {
    Fixture {
        place: place.into(),
        what,
        key: "dbus.session".to_owned(),
        site: Site::DEFAULT,
    }
}

fn with(fixtures: &[(&str, Fixed)]) -> Surroundings {
    let all = fixtures.iter();
    Surroundings {
        fixtures: all
            .map(|(place, what)| fixture(place, what.clone()))
            .collect(),
        ..around()
    }
}

fn made() -> Fixed {
    Fixed::Made("bus".into())
}

const SOCKETS: &str = "/run/user/5/bus! /run/user/5/systemd/private! /var/run>/run";

fn host() -> String {
    format!("{HOST} {SOCKETS}")
}

#[test]
fn a_socket_of_the_run_is_mounted_where_there_is_something_to_mount_on() {
    let around = with(&[("/run/user/5/bus", made())]);
    let shown = show(&lowered(&[ro("/"), tmpfs("/run")], &around, &host()).unwrap());
    let at = |text: &str| {
        shown
            .find(text)
            .unwrap_or_else(|| panic!("no `{text}` in {shown}"))
    };
    let mount = at("MountMade { name: \"bus\", target: \"/run/user/5/bus\", access: ReadOnly }");
    assert!(
        at("tmpfs /run ") < at("mkdir /run/user/5\n") && at("touch /run/user/5/bus\n") < mount,
        "{shown}"
    );
    // On that of the host, whatever is said about the directories around it.
    for rules in [vec![], vec![rw("/")], vec![ro("/"), rw("/run")]] {
        let shown = show(&lowered(&rules, &around, &host()).unwrap());
        assert!(
            shown.contains("MountMade") && !shown.contains("touch"),
            "{shown}"
        );
    }
    // By a link of the host it comes to where that leads.
    let around = with(&[("/var/run/user/5/bus", made())]);
    let shown = show(&lowered(&[ro("/"), tmpfs("/run")], &around, &host()).unwrap());
    assert!(shown.contains("target: \"/run/user/5/bus\""), "{shown}");
    let errors = lowered(&[ro("/")], &with(&[("/run/user/6/bus", made())]), &host()).unwrap_err();
    assert_eq!(errors[0].message, "nothing can be put at `/run/user/6/bus`");
}

#[test]
fn what_is_hidden_is_hidden_where_it_would_be_seen() {
    let around = with(&[
        ("/run/user/5/bus", Fixed::Hidden),
        ("/run/user/5/systemd", Fixed::Hidden),
    ]);
    let shown = show(&lowered(&[ro("/")], &around, &host()).unwrap());
    assert!(
        shown.contains("mask /run/user/5/bus\n") && shown.contains("mask /run/user/5/systemd\n"),
        "{shown}"
    );
    let shown = show(&lowered(&[ro("/"), tmpfs("/run")], &around, &host()).unwrap());
    assert!(!shown.contains("mask /run"), "{shown}");
    // Also at a second place.
    let bind = |source: &str| View::Bind {
        source: source.to_owned(),
        access: Access::ReadWrite,
    };
    let rules = [ro("/"), tmpfs("/run"), fs("/srv/data", bind("/run/user/5"))];
    let shown = show(&lowered(&rules, &around, &host()).unwrap());
    assert!(
        shown.contains("mask /srv/data/bus\n") && shown.contains("mask /srv/data/systemd\n"),
        "{shown}"
    );
    let around = with(&[("/run/user/5/bus", made())]);
    let shown = show(&lowered(&rules, &around, &host()).unwrap());
    assert!(shown.contains("mask /srv/data/bus\n"), "{shown}");
}

#[test]
fn what_is_shown_is_shown_whatever_hides_it() {
    let around = with(&[
        ("/run/user/5/bus", Fixed::Shown(Access::ReadOnly)),
        ("/run/user/5/absent", Fixed::Shown(Access::ReadOnly)),
    ]);
    let shown = show(&lowered(&[ro("/"), tmpfs("/run")], &around, &host()).unwrap());
    assert!(
        shown.contains("show /run/user/5/bus read-only\n") && !shown.contains("absent"),
        "{shown}"
    );
    let shown = show(&lowered(&[ro("/"), hidden("/run/user/5")], &around, &host()).unwrap());
    assert!(
        shown.contains("show /run/user/5/bus read-only\n"),
        "{shown}"
    );
}

#[test]
fn a_rule_about_the_same_path_is_a_contradiction() {
    for what in [made(), Fixed::Hidden] {
        let around = with(&[("/run/user/5/bus", what)]);
        let errors = lowered(&[ro("/"), rw("/run/user/5/bus")], &around, &host()).unwrap_err();
        assert_eq!(
            errors[0].message,
            "two rules decide about `/run/user/5/bus`"
        );
        lowered(&[ro("/"), hidden("/run/user/5/bus")], &around, &host()).unwrap();
    }
}
