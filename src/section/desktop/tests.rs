#![allow(clippy::unwrap_used)]

use std::ffi::OsString;

use super::*;
use crate::host::facts::desktop::Compositor;
use crate::host::facts::{Caller, DesktopFacts};
use crate::policy::Rule;
use crate::profile::value::{Access, View};

fn policy(rules: &[(&str, Value)]) -> Policy {
    let mut policy = Policy::default();
    for (key, value) in rules {
        let rule = Rule {
            value: Some(value.clone()),
            site: Site::DEFAULT,
            key_site: Site::DEFAULT,
            layer: 0,
            overruled: Vec::new(),
        };
        policy
            .rules
            .insert((Section::Desktop, (*key).to_owned()), rule);
    }
    policy
}

fn words(rules: &[(&str, &'static str)]) -> Policy {
    let rules: Vec<_> = rules
        .iter()
        .map(|(key, word)| (*key, Value::Word(word)))
        .collect();
    policy(&rules)
}

fn facts(variables: &[(&str, &str)], context: Option<Context>) -> Facts {
    let wayland = |context| Compositor {
        socket: "/run/user/7/wayland-1".into(),
        context: Some(context),
    };
    Facts {
        caller: Caller {
            uid: 7,
            home: "/home/u".into(),
            directories: [
                ("XDG_RUNTIME_DIR", "/run/user/7"),
                ("XDG_CONFIG_HOME", "/home/u/.config"),
                ("XDG_DATA_HOME", "/home/u/.local/share"),
                ("XAUTHORITY", "/home/u/.Xauthority"),
            ]
            .map(|(name, path)| (name.to_owned(), path.into()))
            .into(),
            environment: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            ..Caller::default()
        },
        desktop: DesktopFacts {
            compositor: context.map(wayland),
            servers: [("Xvfb", "/usr/bin/Xvfb"), ("Xephyr", "/usr/bin/Xephyr")]
                .map(|(name, path)| (name, path.into()))
                .into(),
            own_display: 123,
            ..DesktopFacts::default()
        },
        ..Facts::default()
    }
}

fn shown(desktop: &Desktop, path: &str) -> Option<Shown> {
    let found = desktop
        .paths
        .iter()
        .rev()
        .find(|rule| rule.path == Path::new(path));
    found.map(|rule| rule.shown.clone())
}

fn variable(desktop: &Desktop, policy: &Policy, name: &str) -> Option<OsString> {
    let theirs = vec![(name.into(), "theirs".into())];
    environment(policy, &desktop.variables, theirs)
        .into_iter()
        .find(|(at, _)| at == name)
        .map(|(_, value)| value)
}

#[test]
fn silence_changes_nothing_and_a_word_closes_the_rest() {
    let facts = facts(&[("DISPLAY", ":0")], Some(Context::Known));
    assert_eq!(
        decide(&Policy::default(), &facts).unwrap(),
        Desktop::default()
    );
    let policy = policy(&[("fonts", Value::Bool(true))]);
    let desktop = decide(&policy, &facts).unwrap();
    assert_eq!(
        shown(&desktop, "/run/user/7"),
        Some(Shown::View(View::Tmpfs { size: None }))
    );
    let hidden = Some(Shown::View(View::Host(Access::Hidden)));
    assert_eq!(shown(&desktop, "/tmp/.X11-unix"), hidden);
    for name in [
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "SSH_AUTH_SOCK",
        "PULSE_SERVER",
    ] {
        assert_eq!(variable(&desktop, &policy, name), None, "{name}");
    }
    assert_eq!(variable(&desktop, &policy, "LANG"), Some("theirs".into()));
}

#[test]
fn auto_isolates_where_the_compositor_can_and_says_where_it_cannot() {
    let policy = words(&[("wayland", "auto"), ("x11", "fallback")]);
    let at = "/run/user/7/wayland-0";
    let known = decide(&policy, &facts(&[("DISPLAY", ":0")], Some(Context::Known))).unwrap();
    assert_eq!(shown(&known, at), Some(Shown::Made(WAYLAND)));
    assert_eq!(
        variable(&known, &policy, "WAYLAND_DISPLAY"),
        Some(WAYLAND.into())
    );
    assert!(known.notes.is_empty());
    assert_eq!(variable(&known, &policy, "DISPLAY"), None, "no fallback");

    let plain = decide(&policy, &facts(&[], Some(Context::Unknown))).unwrap();
    let told = |note: &(Site, String)| note.1.contains("does not keep sandboxes apart");
    assert!(plain.notes.iter().any(told));
    assert!(matches!(
        shown(&plain, at),
        Some(Shown::View(View::Bind { .. }))
    ));

    // What does not answer is not what answers that it cannot.
    let failed = Some(Context::Failed("gone".to_owned()));
    assert!(decide(&policy, &facts(&[], failed.clone())).is_err());
    for context in [Some(Context::Unknown), failed] {
        let strict = words(&[("wayland", "isolated")]);
        assert!(decide(&strict, &facts(&[], context)).is_err());
    }
}

#[test]
fn without_wayland_the_fallback_is_the_callers_server_under_another_number() {
    let policy = words(&[("wayland", "auto"), ("x11", "fallback")]);
    let desktop = decide(&policy, &facts(&[("DISPLAY", ":3.1")], None)).unwrap();
    let bind = View::Bind {
        source: "/tmp/.X11-unix/X3".to_owned(),
        access: Access::ReadWrite,
    };
    assert_eq!(
        shown(&desktop, "/tmp/.X11-unix/X100"),
        Some(Shown::View(bind))
    );
    assert_eq!(variable(&desktop, &policy, "DISPLAY"), Some(":100".into()));
    assert_eq!(
        variable(&desktop, &policy, "XAUTHORITY"),
        Some("/run/user/7/Xauthority".into())
    );
}

#[test]
fn a_server_of_ones_own_needs_a_program_and_a_place_to_be_seen() {
    let server = |policy: &Policy, facts: &Facts| {
        decide(policy, facts).map(|desktop| desktop.screen.unwrap().x11.value)
    };
    let nested = words(&[("x11", "nested")]);
    let x = facts(&[("DISPLAY", ":0")], None);
    assert!(matches!(
        server(&nested, &x),
        Ok(X11::Own {
            server: Server::Xephyr,
            screen: (1280, 800),
            ..
        })
    ));
    assert!(server(&nested, &facts(&[], None)).is_err());
    // Xwayland is not installed, and there is no X for Xephyr.
    assert!(server(&nested, &facts(&[], Some(Context::Known))).is_err());
    let unseen = words(&[("x11", "virtual")]);
    assert!(matches!(
        server(&unseen, &facts(&[], None)),
        Ok(X11::Own {
            server: Server::Xvfb,
            ..
        })
    ));
}

#[test]
fn displays_and_sizes_are_read() {
    for (text, number, socket) in [
        (":0", 0, Some("/tmp/.X11-unix/X0")),
        (":12.3", 12, Some("/tmp/.X11-unix/X12")),
        ("unix:1", 1, Some("/tmp/.X11-unix/X1")),
        ("localhost:10.0", 10, None),
        ("[::1]:2", 2, None),
    ] {
        let display = Display::parse(text).unwrap();
        assert_eq!(display.number, number, "{text}");
        assert_eq!(display.socket(), socket.map(PathBuf::from), "{text}");
    }
    for text in [
        "",
        "0",
        ":",
        ":x",
        ":-1",
        ":0x1",
        ":99999999999",
        "/tmp/x:/../0/../../etc",
    ] {
        assert_eq!(Display::parse(text), None, "{text}");
    }
    for (text, size) in [
        ("1280x800", Some((1280, 800))),
        ("1280", None),
        ("0x0", None),
        ("-1x600", None),
        ("800x600x24", None),
        ("99999x600", None),
    ] {
        assert_eq!(size_of(text), size, "{text}");
    }
}

#[test]
fn names_on_the_bus_are_asked_for_by_keys() {
    let policy = policy(&[
        ("notifications", Value::Bool(true)),
        ("tray", Value::Bool(false)),
        ("portals", Value::Bool(true)),
    ]);
    let rules = names::rules(&policy);
    let names: Vec<_> = rules.iter().map(|rule| rule.name).collect();
    assert!(names.contains(&"org.freedesktop.Notifications"));
    assert!(!names.contains(&"org.kde.StatusNotifierWatcher"));
    let host = |rule: &names::BusRule| match rule.leave {
        names::Leave::Call(parts) => parts.iter().any(|part| part.contains("host.portal")),
        _ => rule.name.contains("host.portal"),
    };
    assert!(!rules.iter().any(host));
}
