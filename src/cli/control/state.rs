//! `sandboxctl state`: everything that is known about one running sandbox.

use std::fmt::Write as _;

use serde_json::json;

use crate::control::sandbox::{self, user_name};
use crate::control::statistics::{Processes, Statistics};
use crate::report::escape;
use crate::section::limits::is_held_by_group;

use super::super::{answer, inspect};
use super::running::{command, refuse};
use super::{stats, table};

pub(super) fn state(name: &str, json: bool) -> Result<(), i32> {
    let sandbox = sandbox::find(name).map_err(|error| refuse(&error))?;
    let status = sandbox.status();
    let record = sandbox.record().map_err(|error| refuse(&error))?;
    let processes = sandbox.processes().unwrap_or_default();
    let statistics = Statistics::of(&sandbox, &Processes::default());
    if json {
        let mut value = json!(record);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("user".to_owned(), user_name(record.uid).into());
            fields.insert("status".to_owned(), json!(status));
            fields.insert("created".to_owned(), table::date(record.created).into());
            fields.insert("processes".to_owned(), json!(processes));
            fields.insert("statistics".to_owned(), json!(statistics.as_ref().ok()));
            fields.insert(
                "record".to_owned(),
                sandbox.entry.path().to_string_lossy().into(),
            );
        }
        return answer(&format!("{value:#}\n"));
    }
    let paint = inspect::paint();
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        let label = paint.faint(&format!("{label:<11}"));
        // An unwritable string is none.
        let _ = writeln!(out, "{label} {}", escape::line(value));
    };
    line("name", &record.name);
    line("user", &user_name(record.uid));
    line("status", &status.to_string());
    line("program", &command(&sandbox));
    line("profile", &record.profile);
    for layer in &record.layers {
        line("", &format!("{} ({})", layer.name, layer.source));
    }
    let age = table::age(sandbox.age().unwrap_or_default());
    line(
        "started",
        &format!("{} ({age} ago)", table::date(record.created)),
    );
    let child = match (record.attached, record.init) {
        (true, _) => "attached",
        (_, true) => "process 1",
        (_, false) => "program",
    };
    if !record.attached {
        line("launcher", &format!("process {}", record.supervisor.pid));
    }
    line(child, &format!("process {}", record.child.pid));
    if let Some(program) = record.program_process {
        line("program", &format!("process {}", program.pid));
    }
    line("processes", &processes.len().to_string());
    if record.group.is_empty() {
        line("group", "none");
    }
    for place in &record.group {
        line("group", &place.path.to_string_lossy());
    }
    if let Some(unit) = &record.unit {
        line("unit", unit);
    }
    for limit in &record.limits {
        let value = limit
            .value
            .as_str()
            .map_or_else(|| limit.value.to_string(), str::to_owned);
        let missing = !limit.applied
            || value != "max" && record.group.is_empty() && is_held_by_group(&limit.key);
        let missing = if missing { ", not applied" } else { "" };
        line(
            "limit",
            &format!("{} = {value} ({}){missing}", limit.key, limit.origin),
        );
    }
    let kinds: Vec<String> = record
        .namespaces
        .iter()
        .map(|(kind, inode)| format!("{kind} {inode}"))
        .collect();
    line("namespaces", &kinds.join(", "));
    line("record", &sandbox.entry.path().to_string_lossy());
    match &statistics {
        Ok(statistics) => out.push_str(&stats::lines(statistics)),
        Err(refusal) => return Err(refuse(refusal)),
    }
    answer(&out)
}
