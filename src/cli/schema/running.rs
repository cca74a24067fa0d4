//! The JSON that the verbs about running sandboxes print, as schemas (<https://json-schema.org>, 2020-12): what is stated
//! here stays as it is; members may be added.

use serde_json::{Map, Value, json};

use super::steering;

/// A member: its name, what it can be, what it means.
pub(super) type Member<'a> = (&'a str, Value, &'a str);

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number() -> Value {
    json!({ "type": "number", "minimum": 0 })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// The same, or null where it is not known or does not exist.
pub(super) fn maybe(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "null" }] })
}

pub(super) fn object(members: &[Member]) -> Value {
    let mut properties = Map::new();
    for (name, schema, meaning) in members {
        let mut schema = schema.clone();
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".to_owned(), (*meaning).into());
        }
        properties.insert((*name).to_owned(), schema);
    }
    let required: Vec<&str> = members.iter().map(|(name, ..)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn status() -> Value {
    json!({ "enum": ["starting", "running", "frozen", "orphaned", "ending"] })
}

fn owner() -> [Member<'static>; 2] {
    [
        ("uid", count(), "the user whose sandbox it is"),
        ("user", text(), "that user's name, or number"),
    ]
}

fn process_id() -> Value {
    object(&[
        (
            "pid",
            count(),
            "its number in the supervisor's pid namespace",
        ),
        (
            "started",
            count(),
            "when it started, in clock ticks since the host's start",
        ),
    ])
}

fn statistics() -> Vec<Member<'static>> {
    let bytes = |meaning| (maybe(count()), meaning);
    let mut members = vec![(
        "counted",
        json!({ "enum": ["group", "processes"] }),
        "by the kernel for the control group, or summed over the processes that run now",
    )];
    let numbers = [
        ("memory", bytes("bytes of memory")),
        ("memory_limit", bytes("the most bytes of memory")),
        (
            "memory_soft",
            bytes("bytes that it is pushed back to when the host runs short"),
        ),
        ("memory_peak", bytes("the most bytes that it has used")),
        (
            "memory_limit_hits",
            bytes("times that the memory limit was reached"),
        ),
        (
            "oom_kills",
            bytes("processes that the kernel killed at that limit"),
        ),
        ("swap", bytes("bytes of swap")),
        ("swap_limit", bytes("the most bytes of swap")),
        ("pids", bytes("processes and threads")),
        ("pids_limit", bytes("the most processes and threads")),
        ("pids_refused", bytes("forks refused at that limit")),
        ("cpu_usec", bytes("CPU time in microseconds")),
        (
            "cpu_limit",
            (
                maybe(number()),
                "the most CPU time, as a part of one CPU: 1.5 is one and a half",
            ),
        ),
        (
            "throttled",
            bytes("times that it was held back at that limit"),
        ),
        (
            "throttled_usec",
            bytes("microseconds for which it was held back"),
        ),
        ("io_read_bytes", bytes("bytes read from block devices")),
        ("io_write_bytes", bytes("bytes written to block devices")),
    ];
    members.extend(
        numbers
            .into_iter()
            .map(|(name, (schema, meaning))| (name, schema, meaning)),
    );
    members.push((
        "pressure",
        object(&[
            ("memory", maybe(number()), "for want of memory"),
            ("cpu", maybe(number()), "for want of CPU time"),
            ("io", maybe(number()), "by reading and writing"),
        ]),
        "percent of the last ten seconds in which a process was held up (cgroup v2)",
    ));
    members
}

fn process(more: &[Member]) -> Value {
    let mut members = vec![
        ("sandbox", text(), "the sandbox"),
        ("uid", count(), "the user whose sandbox it is"),
        ("pid", count(), "its number for who asks"),
        (
            "inside",
            maybe(count()),
            "its number in its own pid namespace",
        ),
        ("parent", count(), "its parent, for who asks"),
        ("state", text(), "R, S, D, T, Z, … as in proc_pid_stat(5)"),
        ("threads", count(), "its threads"),
        (
            "memory",
            count(),
            "bytes of memory in RAM, shared ones included",
        ),
        ("command", text(), "what it was started with"),
    ];
    members.extend_from_slice(more);
    object(&members)
}

fn lines() -> Value {
    let [uid, user] = owner();
    list(object(&[
        ("name", text(), "what it is called"),
        uid,
        user,
        (
            "kind",
            json!({ "enum": ["sandbox", "attached"] }),
            "attached: processes that ran already, put under limits",
        ),
        (
            "profile",
            maybe(text()),
            "the profiles asked for, joined by `+`",
        ),
        (
            "pid",
            maybe(count()),
            "process 1 of the sandbox, or its program; null for one of another pid namespace",
        ),
        ("supervisor", maybe(count()), "its launcher"),
        ("status", status(), "what it is doing"),
        (
            "created",
            maybe(text()),
            "when its program was started (RFC 3339)",
        ),
        ("age_seconds", maybe(count()), "how long ago that is"),
        ("memory", maybe(count()), "bytes of memory"),
        ("memory_limit", maybe(count()), "the most bytes of memory"),
        (
            "program",
            maybe(text()),
            "as it was typed; strange bytes as \\xNN, \\ as \\\\",
        ),
        ("arguments", maybe(list(text())), "likewise"),
    ]))
}

fn state() -> Value {
    let [uid, user] = owner();
    let place = object(&[
        ("version", json!({ "enum": ["v1", "v2"] }), "its hierarchy"),
        ("controllers", list(text()), "what it limits or counts"),
        ("path", text(), "its directory"),
    ]);
    let layer = object(&[
        ("name", text(), "a profile"),
        ("source", text(), "its file, or what else it came from"),
    ]);
    let limit = object(&[
        ("key", text(), "a key of [limits]"),
        ("value", json!({}), "its value"),
        ("origin", text(), "FILE:LINE:COLUMN, or the option"),
        (
            "applied",
            flag(),
            "whether it holds: not where this host cannot, and the rule may be left out",
        ),
    ]);
    object(&[
        ("version", json!({ "const": 1 }), "of this format"),
        ("name", text(), "what it is called"),
        uid,
        user,
        ("status", status(), "what it is doing"),
        (
            "attached",
            flag(),
            "whether it is no sandbox, but processes that ran already; then the first of them is given as supervisor and child",
        ),
        ("profile", text(), "the profiles asked for, joined by `+`"),
        (
            "layers",
            list(layer),
            "the profiles that had a say, the lowest first",
        ),
        (
            "program",
            text(),
            "as it was typed; strange bytes as \\xNN, \\ as \\\\",
        ),
        ("arguments", list(text()), "likewise"),
        ("boot", text(), "which start of the host"),
        (
            "pid_namespace",
            count(),
            "the inode of the supervisor's pid namespace",
        ),
        ("supervisor", process_id(), "the launcher"),
        ("child", process_id(), "its child"),
        (
            "init",
            flag(),
            "whether the child is process 1, and not the program",
        ),
        (
            "program_process",
            maybe(process_id()),
            "the program, where it is not the child",
        ),
        ("created", text(), "when its program was started (RFC 3339)"),
        ("group", list(place), "the directories of its control group"),
        (
            "unit",
            maybe(text()),
            "the systemd unit that the group lies in",
        ),
        ("limits", list(limit), "its limits, as it was started"),
        (
            "memory_soft",
            maybe(count()),
            "the soft limit that the launcher holds, in bytes",
        ),
        (
            "namespaces",
            json!({ "type": "object", "additionalProperties": count() }),
            "the inodes of its namespaces",
        ),
        (
            "processes",
            list(count()),
            "its processes, by their numbers for who asks",
        ),
        (
            "statistics",
            maybe(object(&statistics())),
            "what it uses now",
        ),
        ("record", text(), "the file that says so"),
    ])
}

fn events() -> Value {
    let [uid, user] = owner();
    let mut event = object(&[
        ("time", text(), "when it was noticed (RFC 3339)"),
        (
            "event",
            json!({ "enum": [
                "started", "memory-limit", "oom", "pids-limit", "throttled", "frozen", "thawed", "exited",
            ] }),
            "what happened; counts beside it are those of the whole run",
        ),
        ("name", text(), "the sandbox"),
        uid,
        user,
    ]);
    if let Some(fields) = event.as_object_mut() {
        fields.insert(
            "title".to_owned(),
            "one line of `sandboxctl events --json`".into(),
        );
    }
    event
}

fn why() -> Value {
    let verdict = json!({ "enum": ["allowed", "denied", "partly", "set"] });
    let rule = object(&[
        (
            "rule",
            text(),
            "as a profile writes it, or what it follows from",
        ),
        (
            "source",
            maybe(text()),
            "the file; null where it is written nowhere",
        ),
        ("line", maybe(count()), "from 1; null on a command line"),
        ("column", maybe(count()), "from 1, in characters"),
    ]);
    let part = object(&[
        ("what", text(), "calls, or a call with conditions"),
        ("verdict", verdict.clone(), "what happens to it"),
        ("says", text(), "in words"),
        ("rule", maybe(rule.clone()), "what decides"),
    ]);
    let access = object(&[
        ("read", flag(), "whether it can be read or listed"),
        ("write", flag(), "whether it can be changed"),
        ("execute", flag(), "whether it can be run or gone into"),
    ]);
    let kinds = [
        "path",
        "system-call",
        "capability",
        "address",
        "variable",
        "key",
    ];
    let answer = object(&[
        ("kind", json!({ "enum": kinds }), "what was asked about"),
        ("question", text(), "as it was understood"),
        ("verdict", verdict, "`set` where it is a value"),
        ("says", text(), "what happens, in words"),
        (
            "access",
            maybe(access),
            "of a path, as far as its own mode allows",
        ),
        (
            "rule",
            maybe(rule.clone()),
            "what decides; null: no rule is about it",
        ),
        (
            "beaten",
            list(rule),
            "what would have decided without it, the next one first",
        ),
        ("parts", list(part), "exceptions, and members of a group"),
        ("notes", list(text()), "what else there is to know"),
    ]);
    let asked = object(&[
        (
            "kind",
            json!({ "enum": ["sandbox", "profile"] }),
            "whose policy was asked",
        ),
        ("name", text(), "its name"),
    ]);
    object(&[
        ("asked", asked, "who was asked"),
        (
            "answers",
            list(answer),
            "several where a word means several things",
        ),
    ])
}

/// The schemas by the names of their verbs.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    let [uid, user] = owner();
    let mut stats = vec![("name", text(), "the sandbox"), uid.clone(), user.clone()];
    stats.extend(statistics());
    let children = ("children", list(json!({ "$ref": "#/$defs/process" })), "");
    let mut tree = list(object(&[
        ("sandbox", text(), "the sandbox"),
        uid.clone(),
        (
            "processes",
            list(json!({ "$ref": "#/$defs/process" })),
            "those whose parent is none of them",
        ),
    ]));
    if let Some(fields) = tree.as_object_mut() {
        fields.insert(
            "$defs".to_owned(),
            json!({ "process": process(&[children]) }),
        );
    }
    let namespace = object(&[
        ("sandbox", text(), "the sandbox"),
        uid.clone(),
        ("kind", text(), "as /proc/PID/ns names it"),
        ("inode", count(), "which one"),
        (
            "shared_with_caller",
            flag(),
            "whether who asks is in it too",
        ),
        ("shared_with", list(text()), "other sandboxes in it"),
        (
            "processes",
            count(),
            "processes of the sandbox in it, as far as can be seen",
        ),
        ("pid", maybe(count()), "one of them"),
    ]);
    let wait = object(&[
        ("name", text(), "the sandbox"),
        uid,
        (
            "status",
            maybe(count()),
            "the program's exit status, 128+N after signal N; null where the launcher was killed",
        ),
        (
            "timed_out",
            maybe(flag()),
            "whether it ran into its timeout",
        ),
        (
            "oom_kills",
            maybe(count()),
            "processes that the kernel killed at the memory limit",
        ),
    ]);
    let all = [
        ("list", lines()),
        ("state", state()),
        ("ps", list(process(&[]))),
        ("tree", tree),
        ("stats", list(object(&stats))),
        ("events", events()),
        ("wait", wait),
        ("namespaces", list(namespace)),
        ("why", why()),
        ("policy", steering::policy()),
        ("set", steering::set()),
        ("attach", steering::attach()),
        ("profiles", steering::profiles()),
        ("check", steering::check()),
        ("rules-list", steering::rules_list()),
        ("rules-check", steering::rules_check()),
    ];
    all.into_iter()
        .chain(super::changes::all())
        .map(|(verb, mut schema)| {
            if let Some(fields) = schema.as_object_mut() {
                fields.insert(
                    "$schema".to_owned(),
                    "https://json-schema.org/draft/2020-12/schema".into(),
                );
                fields.entry("title").or_insert_with(|| {
                    format!("what `sandboxctl {} --json` prints", verb.replace('-', " ")).into()
                });
            }
            (verb, schema)
        })
        .collect()
}
