//! Which programs a table lets be run, as values.

use super::*;
use crate::host::facts::PathFact;
use crate::policy::resolve;
use crate::profile::document::parse;
use crate::report::{Source, SourceKind, SourceMap};

fn policy(text: &str) -> Policy {
    let mut sources = SourceMap::new();
    let text = format!("[execute]\n{text}\n");
    let id = sources.add(Source {
        name: "t.toml".to_owned(),
        kind: SourceKind::Embedded,
        text: text.clone().into(),
    });
    let parsed = parse("t", id, &text);
    assert_eq!(parsed.diagnostics, []);
    resolve("t", &[parsed.profile])
}

/// A host with `/bin` a link, a shell that is a link too, and one loader.
fn facts() -> Facts {
    let fact = |canonical: &str, kind| PathFact {
        canonical: Some(canonical.into()),
        kind,
        links: Vec::new(),
        error: None,
        twin: None,
    };
    let mut facts = Facts::default();
    for (path, canonical, kind) in [
        ("/bin/sh", "/usr/bin/dash", PathKind::File),
        ("/usr/bin", "/usr/bin", PathKind::Directory),
        ("/usr/bin/git", "/usr/bin/git", PathKind::File),
        (
            "/usr/lib/git-core",
            "/usr/lib/git-core",
            PathKind::Directory,
        ),
        ("/usr", "/usr", PathKind::Directory),
        (LOADERS[0], "/usr/lib/ld.so", PathKind::File),
    ] {
        facts.paths.insert(path.into(), fact(canonical, kind));
    }
    let missing = PathFact {
        canonical: None,
        kind: PathKind::Missing,
        links: Vec::new(),
        error: None,
        twin: None,
    };
    facts.paths.insert("/opt/none".into(), missing);
    facts.globs.insert(
        "/usr/bin/g*".into(),
        vec!["/usr/bin/git".into(), "/usr/bin/grep".into()],
    );
    facts
}

fn lowered(text: &str) -> Lowered {
    lower(&policy(text), &facts()).expect("it can be lowered")
}

fn allowed(lowered: &Lowered) -> Vec<&str> {
    let mut rules = lowered.rules.iter();
    let first = rules.next().expect("a rule about moving");
    assert!(first.path == Path::new("/") && first.rights.contains(Rights::REFER));
    rules
        .map(|rule| rule.path.to_str().unwrap_or("?"))
        .collect()
}

#[test]
fn only_what_is_allowed_is_granted_where_it_really_is() {
    let found = lowered(
        "default = \"deny\"\n\"/bin/sh\" = \"allow\"\n\"/usr/lib/git-core\" = \"allow\"\n\"/opt/none\" = \"allow\"",
    );
    assert_eq!(
        allowed(&found),
        ["/usr/bin/dash", "/usr/lib/git-core", "/usr/lib/ld.so"]
    );
    assert_eq!(found.unheld, []);
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    // Saying anything is saying that the rest is denied.
    assert_eq!(
        allowed(&lowered("\"/usr/bin/git\" = \"allow\"")),
        ["/usr/bin/git", "/usr/lib/ld.so"]
    );
}

#[test]
fn the_longest_path_decides_as_far_as_landlock_can() {
    let found = lowered("\"/usr/bin\" = \"deny\"\n\"/usr/bin/git\" = \"allow\"");
    assert_eq!(allowed(&found), ["/usr/bin/git", "/usr/lib/ld.so"]);
    assert_eq!(found.unheld, []);
    let found = lowered("\"/usr\" = \"allow\"\n\"/usr/bin/git\" = \"deny\"");
    assert_eq!(found.unheld[0].key, "/usr/bin/git");
    assert_eq!(found.unheld[0].above, "/usr");
    let found = lowered("default = \"allow\"\n\"/usr/bin/git\" = \"deny\"");
    assert_eq!(found.unheld[0].above, "default");
    // A literal over a glob, a longer glob over a shorter one.
    let found = lowered("\"/usr/bin/g*\" = \"allow\"\n\"/usr/bin/git\" = \"deny\"");
    assert_eq!(allowed(&found), ["/usr/bin/grep", "/usr/lib/ld.so"]);
}

#[test]
fn loaders_can_be_denied_and_come_with_something_allowed() {
    let text = format!(
        "\"/usr/bin/git\" = \"allow\"\n\"{}\" = \"deny\"",
        LOADERS[0]
    );
    assert_eq!(allowed(&lowered(&text)), ["/usr/bin/git"]);
    let none = lowered("default = \"deny\"");
    assert_eq!(allowed(&none), [""; 0]);
    assert!(none.notes[0].1.contains("nothing can be started"));
}

#[test]
fn what_takes_nothing_away_asks_for_nothing() {
    assert!(!asks(&policy("default = \"allow\"\n\"/usr\" = \"allow\"")));
    assert!(!asks(&Policy::default()));
    assert!(asks(&policy("default = \"deny\"")));
    assert!(asks(&policy("\"/usr\" = \"allow\"")));
    assert!(asks(&policy("default = \"allow\"\n\"/usr\" = \"deny\"")));
}
