//! The JSON that the verbs print which change limits or tell rules, as schemas: see [`super::running`].

use serde_json::{Value, json};

use super::running::{count, flag, list, maybe, object, text};

/// Where something was said.
fn place() -> Value {
    object(&[
        ("source", text(), "the file, or the option"),
        ("line", maybe(count()), "from 1; null on a command line"),
        ("column", maybe(count()), "from 1, in characters"),
    ])
}

/// What was left out, or is to be known.
fn note() -> Value {
    object(&[
        ("text", text(), "what it is"),
        ("help", maybe(text()), "what would change it"),
        ("origin", maybe(place()), "the rule that it is about"),
    ])
}

/// `policy`, and `show`.
pub(super) fn policy() -> Value {
    let overruled = object(&[
        ("value", json!({}), "what it said; null: it was taken away"),
        ("origin", maybe(place()), "where"),
    ]);
    let rule = object(&[
        (
            "value",
            json!({}),
            "as in a profile; null where it was taken away",
        ),
        ("origin", maybe(place()), "where"),
        ("overrules", list(overruled), "what others said before"),
    ]);
    let layer = object(&[
        ("name", text(), "the profile"),
        ("source", text(), "its file, or what else it came from"),
    ]);
    let section = json!({ "type": "object", "additionalProperties": rule });
    object(&[
        ("name", text(), "the profiles asked for"),
        ("description", maybe(text()), "what it is for"),
        ("layers", list(layer), "who had a say, the lowest first"),
        ("degrade", list(text()), "rules that may be left out"),
        (
            "sections",
            json!({ "type": "object", "additionalProperties": section }),
            "by their names, then by key",
        ),
    ])
}

/// `set`.
pub(super) fn set() -> Value {
    let changed = object(&[
        ("key", text(), "the key of `[limits]`"),
        ("file", text(), "the file of the control group"),
        ("before", text(), "what it said"),
        ("after", text(), "what it says"),
    ]);
    object(&[
        ("name", text(), "the sandbox"),
        ("changed", list(changed), "empty: all was so already"),
    ])
}

/// `attach`.
pub(super) fn attach() -> Value {
    let process = object(&[
        ("pid", count(), "its number"),
        ("name", text(), "the name that it has given itself"),
    ]);
    let limit = object(&[
        ("key", text(), "the key of the profile"),
        ("what", text(), "what was set, in words"),
        ("place", place(), "where it was said"),
    ]);
    object(&[
        ("processes", list(process), "what is limited"),
        ("groups", list(text()), "the directories of the group"),
        ("unit", maybe(text()), "the unit of the service manager"),
        ("name", maybe(text()), "what `sandboxctl list` calls it"),
        (
            "watcher",
            maybe(count()),
            "the process that holds the soft limit",
        ),
        ("limits", list(limit), "what was set"),
        ("left_out", list(text()), "keys with --limits-only"),
        ("warnings", list(note()), "what is to be known"),
    ])
}

/// `rules list`.
pub(super) fn rules_list() -> Value {
    list(object(&[
        ("name", text(), "as `sandbox-suid` is asked for it"),
        ("place", text(), "where it is written"),
        ("description", text(), "what it is for"),
        ("users", list(text()), "who may use it; `*` is everybody"),
        ("groups", list(text()), "whose members may use it"),
        ("except_users", list(text()), "who may not"),
        ("except_groups", list(text()), "whose members may not"),
        (
            "action",
            json!({ "enum": ["run", "limit-caller"] }),
            "what it does",
        ),
        ("program", maybe(text()), "what is run"),
        ("profile", maybe(text()), "under which rules"),
        ("limits", json!({}), "under which limits"),
    ]))
}

/// `rules check`.
pub(super) fn rules_check() -> Value {
    list(object(&[
        (
            "weight",
            json!({ "enum": ["fault", "danger", "doubt"] }),
            "how bad it is",
        ),
        ("rule", maybe(text()), "about which"),
        ("place", text(), "where it is written"),
        ("message", text(), "what it is"),
        ("help", text(), "what would be better; may be empty"),
    ]))
}

/// `profiles`.
pub(super) fn profiles() -> Value {
    list(object(&[
        ("name", text(), "the profile"),
        ("source", text(), "its file, or `built-in`"),
        ("description", maybe(text()), "what it is for"),
        ("programs", list(text()), "which take it by themselves"),
        ("extends", list(text()), "on what it builds"),
        ("error", maybe(text()), "why it cannot be read"),
    ]))
}

/// `check`.
pub(super) fn check() -> Value {
    let diagnostic = object(&[
        (
            "severity",
            json!({ "enum": ["error", "warning"] }),
            "how bad",
        ),
        ("message", text(), "what it is"),
        ("source", maybe(text()), "the file"),
        ("line", maybe(count()), "from 1"),
        ("column", maybe(count()), "from 1, in characters"),
        ("help", list(text()), "what would help"),
    ]);
    list(object(&[
        ("profile", text(), "which"),
        ("ok", flag(), "whether this host can apply it"),
        ("diagnostics", list(diagnostic), "what is wrong with it"),
        ("notes", list(note()), "what is to be known"),
        ("warnings", list(note()), "what this host leaves out"),
    ]))
}
