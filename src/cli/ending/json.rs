//! The report for programs, and the schema of it (JSON schema, draft 2020-12).

use serde_json::{Map, Value as Json, json};

use super::Report;
use super::kind::Kind;

/// Raised when a member changes its meaning or goes; new ones may come at any time.
const VERSION: u32 = 1;

pub(super) fn of(report: &Report) -> Json {
    let limits: Map<String, Json> = report
        .limits
        .iter()
        .map(|limit| {
            let lower = report
                .around
                .above
                .iter()
                .find(|ceiling| {
                    ceiling.key == limit.key
                        && limit.amount.number().is_some_and(|own| ceiling.value < own)
                })
                .map(|ceiling| json!({ "number": ceiling.value, "group": ceiling.group.to_string_lossy() }));
            let writes: Vec<Json> = limit
                .writes
                .iter()
                .map(|(file, value)| json!({ "file": file, "value": value }))
                .collect();
            let entry = json!({
                "value": limit.amount.value(),
                "number": limit.amount.number(),
                "origin": limit.place.as_ref().map(ToString::to_string),
                "writes": writes,
                "lower_above": lower,
            });
            (limit.key.clone(), entry)
        })
        .collect();
    let causes: Vec<Json> = report
        .causes
        .iter()
        .map(|cause| {
            json!({
                "kind": cause.kind,
                "count": cause.count,
                "limit": cause.limit,
                "text": cause.text,
                "help": cause.help,
            })
        })
        .collect();
    let events: Vec<Json> = report
        .entries
        .iter()
        .map(|entry| {
            let mut event = serde_json::to_value(entry.event).unwrap_or_default();
            event["seconds"] = json!(entry.after.as_secs_f64());
            event
        })
        .collect();
    let usage = report.usage.map(|usage| {
        let mut usage = serde_json::to_value(usage).unwrap_or_default();
        usage["memory_and_swap_peak"] = json!(report.around.memory_and_swap_peak);
        usage["cpu_periods"] = json!(report.around.cpu_periods);
        usage
    });
    json!({
        "version": VERSION,
        "program": report.program,
        "status": report.ending.status(),
        "signal": report.ending.signal(),
        "seconds": report.seconds,
        "timed_out": report.timed_out,
        "causes": causes,
        "usage": usage,
        "limits": limits,
        "events": events,
        "events_left_out": report.left_out,
        "companions_lost": report.lost,
    })
}

/// The members of `usage` that are always there, with what each is.
const USAGE: &[(&str, &str)] = &[
    (
        "memory_peak",
        "the most bytes of memory at a time, the sandbox's own set-up included",
    ),
    (
        "swap_peak",
        "the most bytes of swap at a time (cgroup v2, Linux 6.5)",
    ),
    (
        "memory_and_swap_peak",
        "the most bytes of both together (cgroup v1)",
    ),
    (
        "oom_kills",
        "processes that the kernel killed for want of memory, whosever limit was the cause",
    ),
    (
        "memory_limit_hits",
        "times that the memory limit was reached, also where reclaiming helped",
    ),
    (
        "pids_peak",
        "the most processes and threads at a time, the sandbox's own process 1 included",
    ),
    ("pids_refused", "forks that were refused"),
    (
        "cpu_usec",
        "CPU time in microseconds, the sandbox's own set-up included",
    ),
    ("user_usec", "of it in programs' own code"),
    ("system_usec", "of it in the kernel"),
    (
        "throttled",
        "periods in which the CPU limit held the sandbox back",
    ),
    (
        "cpu_periods",
        "periods in which the sandbox ran under its CPU limit",
    ),
    (
        "throttled_usec",
        "microseconds that it was held back for, added up over the CPUs",
    ),
    ("io_read_bytes", "bytes read from block devices"),
    ("io_write_bytes", "bytes written to block devices"),
    ("io_reads", "reads from block devices"),
    ("io_writes", "writes to block devices"),
];

/// The schema of a report.
fn schema() -> Json {
    let nullable = |kind: &str, text: &str| json!({ "anyOf": [{ "type": kind }, { "const": null }], "description": text });
    let natural = |text: &str| json!({ "type": "integer", "minimum": 0, "description": text });
    let text = |text: &str| json!({ "type": "string", "description": text });
    let counts: Map<String, Json> = USAGE
        .iter()
        .map(|(name, what)| ((*name).to_owned(), nullable("integer", what)))
        .collect();
    let names: Vec<&str> = USAGE.iter().map(|(name, _)| *name).collect();
    let kinds: Vec<Json> = Kind::ALL.iter().map(|kind| json!(kind)).collect();
    let object = |required: &[&str], properties: Json| json!({ "type": "object", "required": required, "properties": properties });
    let event = |name: &str, what: &str, fields: &[(&str, &str)]| {
        let mut properties = json!({
            "event": { "const": name },
            "seconds": { "type": "number", "minimum": 0, "description": "when, since the start" },
        });
        let mut required = vec!["event", "seconds"];
        for (field, what) in fields {
            properties[*field] = natural(what);
            required.push(field);
        }
        let mut event = object(&required, properties);
        event["description"] = json!(what);
        event
    };
    let mut usage = object(&names, Json::Object(counts));
    usage["description"] = json!(
        "what the control group counted; what this kernel does not count is null, and so is all of it without a control group"
    );
    let limit = object(
        &["value", "number", "origin", "writes", "lower_above"],
        json!({
            "value": text("the limit as one writes it in a profile"),
            "number": nullable("integer", "bytes, processes, or hundredths of a percent of one CPU; null for what is no single number"),
            "origin": nullable("string", "the place that says it: FILE:LINE:COLUMN, or the option"),
            "writes": {
                "type": "array",
                "description": "files of the control group, and what was written to each, in this order",
                "items": object(&["file", "value"], json!({ "file": text("its name"), "value": text("what was written") })),
            },
            "lower_above": {
                "anyOf": [
                    object(&["number", "group"], json!({ "number": natural("in the same unit"), "group": text("its directory") })),
                    { "const": null },
                ],
                "description": "a group above that has a lower limit, which is the one that holds",
            },
        }),
    );
    let cause = object(
        &["kind", "count", "limit", "text", "help"],
        json!({
            "kind": { "enum": kinds, "description": "what it was" },
            "count": natural("how often"),
            "limit": nullable("string", "the key of the limit, where it is one of the sandbox's own"),
            "text": text("a sentence for people"),
            "help": { "type": "array", "items": { "type": "string" }, "description": "what to do, a line each" },
        }),
    );
    let events = json!([
        event(
            "out-of-memory",
            "the kernel killed for want of memory",
            &[("kills", "processes until then")]
        ),
        event(
            "forks-refused",
            "forks were refused",
            &[("count", "forks until then")]
        ),
        event(
            "throttled",
            "the CPU limit held it back",
            &[("usec", "microseconds until then")]
        ),
        event(
            "pushed-back",
            "pushed back towards the soft limit",
            &[("before", "bytes before"), ("after", "bytes after")]
        ),
    ]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sandbox report",
        "description": "How a run ended, as `sandbox --json` prints it on standard error: sandbox(1). Members may be added; version is raised when one changes its meaning or goes.",
        "type": "object",
        "required": ["version", "program", "status", "signal", "seconds", "timed_out", "causes", "usage", "limits", "events", "events_left_out", "companions_lost"],
        "properties": {
            "version": { "const": VERSION },
            "program": text("as it was named"),
            "status": { "type": "integer", "minimum": 0, "maximum": 255, "description": "the exit status of sandbox" },
            "signal": nullable("integer", "the signal that it died of"),
            "seconds": { "type": "number", "minimum": 0, "description": "how long it ran" },
            "timed_out": { "type": "boolean", "description": "whether process.timeout ended it" },
            "causes": { "type": "array", "items": cause, "description": "why it ended, and what its limits did to it; what ended it first" },
            "usage": { "anyOf": [usage, { "const": null }] },
            "limits": { "type": "object", "additionalProperties": limit, "description": "by the key in [limits], and `timeout`" },
            "events": { "type": "array", "items": { "anyOf": events }, "description": "what happened while it ran; counts are those of the whole run until then" },
            "companions_lost": { "type": "array", "items": { "type": "string" }, "description": "programs of the sandbox beside the program (a filter of a bus, an X server) that ended before it, and how" },
            "events_left_out": natural("events between the first and the last ones that were not kept"),
        },
    })
}

/// The schema as it is printed and committed.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

#[cfg(test)]
pub(super) fn schema_for_tests() -> Json {
    schema()
}
