//! Plans as values.
#![allow(clippy::unwrap_used)]

use super::super::follow::Follow;
use super::super::step::{Force, State, Step, steps};
use super::*;

const FIREFOX: &str =
    "[Desktop Entry]\nType=Application\nName=F\nExec=firefox %u\nTryExec=firefox\n";

fn entry(name: &str, text: &str) -> Source {
    Source {
        kind: Kind::Entry,
        name: name.to_owned(),
        path: format!("/usr/share/applications/{name}"),
        content: Ok(text.as_bytes().to_vec()),
        target: Ok(format!("/h/applications/{name}")),
    }
}

fn claims() -> BTreeMap<String, Claim> {
    let claim = |profile: &str, error: Option<&str>| Claim {
        profile: profile.to_owned(),
        error: error.map(str::to_owned),
    };
    BTreeMap::from([
        ("firefox".to_owned(), claim("firefox", None)),
        ("vlc".to_owned(), claim("vlc", Some("no good"))),
        ("gone".to_owned(), claim("gone", None)),
    ])
}

fn with_world<R>(claims: &BTreeMap<String, Claim>, act: impl Fn(&World<'_>) -> R) -> R {
    let locate = |name: &str| {
        let file = file_name(name);
        (file != "gone").then(|| match name.contains('/') {
            true => name.to_owned(),
            false => format!("/usr/bin/{name}"),
        })
    };
    act(&World {
        launcher: "/usr/bin/sandbox",
        bin: "/h/bin",
        claims,
        locate: &locate,
        is_system: &|path| path.starts_with("/usr/"),
        follow: &Follow::default(),
    })
}

fn all() -> Selection {
    Selection {
        all: true,
        ..Selection::default()
    }
}

fn verdict(exec: &str) -> Verdict {
    let text = format!("[Desktop Entry]\nType=Application\nName=F\nExec={exec}\n");
    with_world(&claims(), |world| judge(&entry("a.desktop", &text), world))
}

#[test]
fn programs_are_told_and_never_guessed() {
    for exec in [
        "firefox %u",
        "/usr/lib/x/firefox",
        "env A=b firefox",
        "\"firefox\"",
    ] {
        assert!(
            matches!(verdict(exec), Verdict::Takes { .. }),
            "{exec}: {:?}",
            verdict(exec)
        );
    }
    for exec in [
        "sh -c \"firefox %u\"",
        "sh -c 'exec firefox'",
        "flatpak run firefox",
        "firefox; rm",
        "env -S firefox",
        "/home/u/firefox",
        "/snap/bin/firefox",
        "gksu firefox",
    ] {
        assert!(
            matches!(verdict(exec), Verdict::Cannot { .. }),
            "{exec}: {:?}",
            verdict(exec)
        );
    }
    for exec in ["gedit", "sh -c gedit", "firefox-bin", "xfirefox", ""] {
        assert_eq!(verdict(exec), Verdict::Nothing, "{exec}");
    }
    assert_eq!(verdict("gone"), Verdict::NotInstalled);
    assert_eq!(verdict("/usr/bin/sandbox firefox"), Verdict::Sandboxed);
    let hidden = entry("a.desktop", &format!("{FIREFOX}Hidden=true\n"));
    let with_hidden = with_world(&claims(), |world| judge(&hidden, world));
    assert_eq!(with_hidden, Verdict::Nothing);
}

#[test]
fn a_second_run_changes_nothing_and_edits_are_kept() {
    let claims = claims();
    let sources = [entry("f.desktop", FIREFOX)];
    let wished =
        |manifest: &Manifest| with_world(&claims, |world| wish(&sources, &all(), manifest, world));
    let mut manifest = Manifest::default();
    let file = wished(&manifest).files.remove(0);
    let first = steps(
        wished(&manifest),
        &manifest,
        &|_| State::Absent,
        Force(false),
    );
    assert!(
        matches!(&first[..], [Step::Write { backup: false, .. }]),
        "{first:?}"
    );
    manifest.keep(file.record.clone());
    let ours = |sha256: &str| State::File {
        sha256: sha256.to_owned(),
        marked: true,
    };
    let state = |_: &str| ours(&file.record.sha256);
    assert_eq!(
        steps(wished(&manifest), &manifest, &state, Force(false)),
        []
    );
    let edited = |_: &str| ours("other");
    let kept = steps(wished(&manifest), &manifest, &edited, Force(false));
    assert!(matches!(&kept[..], [Step::Leave { .. }]), "{kept:?}");
    let forced = steps(wished(&manifest), &manifest, &edited, Force(true));
    assert!(
        matches!(&forced[..], [Step::Write { backup: false, .. }]),
        "{forced:?}"
    );
    // The source is gone: so is our copy; unless it was edited.
    let gone = || with_world(&claims, |world| wish(&[], &all(), &manifest, world));
    let removed = steps(gone(), &manifest, &state, Force(false));
    assert!(matches!(&removed[..], [Step::Remove { .. }]), "{removed:?}");
    let kept = steps(gone(), &manifest, &edited, Force(false));
    assert!(matches!(&kept[..], [Step::Leave { .. }]), "{kept:?}");
    // A file that was not ours is kept beside.
    let foreign = |_: &str| State::File {
        sha256: "x".to_owned(),
        marked: false,
    };
    let none = Manifest::default();
    let backed = steps(wished(&none), &none, &foreign, Force(false));
    assert!(
        matches!(&backed[..], [Step::Write { backup: true, .. }]),
        "{backed:?}"
    );
}

#[test]
fn a_profile_that_is_gone_does_not_open_the_door() {
    let sources = [entry("f.desktop", FIREFOX)];
    let mut manifest = Manifest::default();
    let made = with_world(&claims(), |world| {
        wish(&sources, &all(), &Manifest::default(), world)
    });
    manifest.keep(made.files[0].record.clone());
    let without = BTreeMap::new();
    let wished = with_world(&without, |world| wish(&sources, &all(), &manifest, world));
    assert_eq!(wished.files, []);
    assert_eq!(wished.stay.len(), 1);
    // The same where the source can no longer be rewritten.
    let worse = [entry(
        "f.desktop",
        &FIREFOX.replace("firefox %u", "sh -c firefox"),
    )];
    let wished = with_world(&claims(), |world| wish(&worse, &all(), &manifest, world));
    assert_eq!((wished.stay.len(), wished.remarks.len()), (1, 1));
    // And where the profile is broken.
    let mut broken = claims();
    broken.get_mut("firefox").unwrap().error = Some("bad".to_owned());
    let wished = with_world(&broken, |world| wish(&sources, &all(), &manifest, world));
    assert_eq!((wished.stay.len(), wished.remarks.len()), (1, 1));
}

#[test]
fn a_service_is_taken_by_its_program_or_by_the_name_of_an_entry() {
    let service = |name: &str, exec: &str| Source {
        kind: Kind::Service,
        name: name.to_owned(),
        path: format!("/usr/share/dbus-1/services/{name}.service"),
        content: Ok(format!("[D-BUS Service]\nName={name}\nExec={exec}\n").into_bytes()),
        target: Ok(format!("/h/dbus-1/services/{name}.service")),
    };
    let sources = [
        entry("org.a.F.desktop", FIREFOX),
        service("org.a.F", "/usr/libexec/f-service"),
        service("org.a.Other", "/usr/bin/firefox --service"),
        service("org.a.No", "/usr/bin/no"),
    ];
    let wished = with_world(&claims(), |world| {
        wish(&sources, &all(), &Manifest::default(), world)
    });
    let names: Vec<&str> = wished
        .files
        .iter()
        .map(|file| file.record.name.as_str())
        .collect();
    assert_eq!(names, ["org.a.F.desktop", "org.a.F", "org.a.Other"]);
}
