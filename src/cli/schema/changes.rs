//! The JSON of the verbs about changes that are kept and about private directories.

use serde_json::{Value, json};

use super::running::{Member, count, flag, list, maybe, object, text};

fn change() -> Vec<Member<'static>> {
    vec![
        (
            "path",
            text(),
            "below the directory; empty for the directory itself",
        ),
        (
            "change",
            json!({ "enum": ["added", "modified", "mode-changed", "type-changed", "deleted"] }),
            "what happened",
        ),
        (
            "type",
            json!({ "enum": ["file", "directory", "link", "fifo", "socket", "device"] }),
            "what is there; of what is deleted, what was there",
        ),
        ("mode", maybe(text()), "permissions now, in octal"),
        (
            "old_mode",
            maybe(text()),
            "permissions on the disk, in octal",
        ),
        ("size", maybe(count()), "bytes of a file now"),
        ("old_size", maybe(count()), "bytes of the file on the disk"),
        ("target", maybe(text()), "what a link says"),
        (
            "conflict",
            flag(),
            "whether it was changed on the disk since the sandbox was started",
        ),
        (
            "refused",
            maybe(text()),
            "why it is not carried onto the disk; null where it is, or can be",
        ),
        (
            "note",
            maybe(text()),
            "what somebody who looks at it should know",
        ),
    ]
}

fn areas(members: &[Member]) -> Value {
    list(object(&[
        ("path", text(), "the directory"),
        (
            "changes",
            list(object(members)),
            "in the order of the paths, parents first",
        ),
    ]))
}

/// The schemas, by what they are called.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let name: Member = ("name", text(), "what the run was called");
    let diff = object(&[
        name.clone(),
        ("running", flag(), "whether a sandbox still writes to it"),
        (
            "areas",
            areas(&change()),
            "each directory whose changes are kept",
        ),
    ]);
    let mut applied = change();
    applied.push(("applied", flag(), "whether it is on the disk now"));
    let apply = object(&[
        name.clone(),
        ("applied", count(), "changes that are on the disk now"),
        ("left", count(), "changes that are still kept"),
        (
            "areas",
            areas(&applied),
            "each directory, with what was to be done",
        ),
    ]);
    let changes = list(object(&[
        name,
        ("path", text(), "the directory"),
        (
            "changes",
            maybe(count()),
            "how many; null where they cannot be read",
        ),
        ("bytes", maybe(count()), "of the files in them"),
        ("since", count(), "when they began, in seconds since 1970"),
        ("running", flag(), "whether a sandbox still writes to it"),
        ("error", maybe(text()), "why they cannot be read"),
    ]));
    let mut private = list(object(&[
        ("profile", text(), "the profile, or several joined by `+`"),
        (
            "place",
            text(),
            "where it is seen inside; `~` is the home directory",
        ),
        ("path", text(), "where it is on the disk"),
        ("bytes", count(), "room that it takes on the disk"),
        (
            "used",
            count(),
            "when something in it was last changed, in seconds since 1970",
        ),
        ("in_use", flag(), "whether a running sandbox shows it"),
    ]));
    private["title"] = "what `sandboxctl private list --json` prints".into();
    vec![
        ("diff", diff),
        ("apply", apply),
        ("changes", changes),
        ("private-list", private),
    ]
}
