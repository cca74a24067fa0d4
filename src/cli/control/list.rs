//! `sandboxctl list`: a line for each running sandbox.

use serde::Serialize;

use crate::control::process;
use crate::control::sandbox::{Sandbox, Status, user_name};
use crate::control::statistics::{Processes, Statistics};

use super::super::{answer, inspect};
use super::running::{NONE, chosen, command, sees_everybody};
use super::table;

/// A sandbox, as `--json` has it.
#[derive(Serialize)]
struct Line {
    name: String,
    uid: u32,
    user: String,
    /// `sandbox`, or `attached`.
    kind: &'static str,
    profile: Option<String>,
    pid: Option<i32>,
    supervisor: Option<i32>,
    status: Status,
    created: Option<String>,
    age_seconds: Option<u64>,
    memory: Option<u64>,
    memory_limit: Option<u64>,
    program: Option<String>,
    arguments: Option<Vec<String>>,
}

impl Line {
    fn of(sandbox: &Sandbox, processes: &Processes) -> Self {
        let statistics = Statistics::of(sandbox, processes).unwrap_or_default();
        let record = sandbox.record.as_ref();
        let here = record.filter(|record| process::is_here(record));
        Self {
            name: sandbox.name().to_owned(),
            uid: sandbox.uid(),
            user: user_name(sandbox.uid()),
            kind: match sandbox.is_attached() {
                true => "attached",
                false => "sandbox",
            },
            profile: record.map(|record| record.profile.clone()),
            // Numbers of another pid namespace mean nothing here.
            pid: here.map(|record| record.child.pid),
            supervisor: here
                .filter(|record| !record.attached)
                .map(|record| record.supervisor.pid),
            status: sandbox.status(),
            created: record.map(|record| table::date(record.created)),
            age_seconds: sandbox.age().map(|age| age / 1000),
            memory: statistics.memory,
            memory_limit: statistics.memory_limit,
            program: record.map(|record| record.program.clone()),
            arguments: record.map(|record| record.arguments.clone()),
        }
    }
}

pub(super) fn list(json: bool, names: bool) -> Result<(), i32> {
    let sandboxes = chosen(None)?;
    if names {
        let names = sandboxes
            .iter()
            .map(|sandbox| format!("{}\n", sandbox.name()));
        return answer(&names.collect::<String>());
    }
    let processes = Processes::default();
    let lines: Vec<Line> = sandboxes
        .iter()
        .map(|sandbox| Line::of(sandbox, &processes))
        .collect();
    if json {
        return answer(&format!("{:#}\n", serde_json::json!(lines)));
    }
    if lines.is_empty() {
        return answer(NONE);
    }
    let mut columns = vec![
        ("NAME", false),
        ("PROFILE", false),
        ("PID", true),
        ("STATUS", false),
        ("AGE", true),
        ("MEMORY", true),
        ("PROGRAM", false),
    ];
    if sees_everybody() {
        columns.insert(1, ("USER", false));
    }
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| table::NOTHING.to_owned());
    let rows: Vec<Vec<String>> = sandboxes
        .iter()
        .zip(lines)
        .map(|(sandbox, line)| {
            let mut row = vec![
                line.name,
                or_nothing(line.profile.filter(|profile| !profile.is_empty())),
                or_nothing(line.pid.map(|pid| pid.to_string())),
                match (sandbox.is_attached(), line.status) {
                    (true, Status::Running) => "attached".to_owned(),
                    (_, status) => status.to_string(),
                },
                or_nothing(sandbox.age().map(table::age)),
                table::of_limit(line.memory, line.memory_limit, table::bytes),
                command(sandbox),
            ];
            if sees_everybody() {
                row.insert(1, line.user);
            }
            row
        })
        .collect();
    answer(&table::text(&columns, &rows, inspect::paint()))
}
