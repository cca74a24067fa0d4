//! `sandboxctl ps`: the processes of sandboxes, with their numbers outside and inside.

use serde::Serialize;

use crate::control::process;
use crate::control::sandbox::Sandbox;
use crate::kernel::stat::Stat;

use super::super::{answer, complain, inspect};
use super::running::{NONE, chosen};
use super::table;
use crate::report::escape;

/// A process, as `--json` has it.
#[derive(Clone, Serialize)]
pub(super) struct Line {
    /// The sandbox.
    pub sandbox: String,
    /// The owner of the sandbox.
    pub uid: u32,
    /// Its number for who asks.
    pub pid: i32,
    /// Its number in its own pid namespace.
    pub inside: Option<i32>,
    /// Its parent, for who asks.
    pub parent: i32,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// Its threads.
    pub threads: u64,
    /// Bytes of memory in RAM, shared ones included.
    pub memory: u64,
    /// What it was started with.
    pub command: String,
}

/// The processes of one sandbox, by their numbers. What has ended meanwhile is left out.
pub(super) fn lines(sandbox: &Sandbox) -> Vec<Line> {
    let processes = match sandbox.processes() {
        Ok(processes) => processes,
        Err(refusal) => {
            complain(&format!(
                "sandboxctl: warning: {}\n",
                escape::line(&refusal.message)
            ));
            return Vec::new();
        }
    };
    let found = processes.into_iter().filter_map(|pid| {
        let stat = Stat::of(pid).ok()?;
        Some(Line {
            sandbox: sandbox.name().to_owned(),
            uid: sandbox.uid(),
            pid,
            inside: process::numbers(pid).last().copied(),
            parent: stat.parent,
            state: stat.state,
            threads: stat.threads,
            memory: stat.resident,
            command: process::command(&stat),
        })
    });
    found.collect()
}

pub(super) fn ps(name: Option<&str>, json: bool) -> Result<(), i32> {
    let sandboxes = chosen(name)?;
    let lines: Vec<Line> = sandboxes.iter().flat_map(lines).collect();
    if json {
        return answer(&format!("{:#}\n", serde_json::json!(lines)));
    }
    if sandboxes.is_empty() {
        return answer(NONE);
    }
    let columns = [
        ("SANDBOX", false),
        ("PID", true),
        ("INSIDE", true),
        ("STATE", false),
        ("THREADS", true),
        ("MEMORY", true),
        ("COMMAND", false),
    ];
    let rows: Vec<Vec<String>> = lines
        .into_iter()
        .map(|line| {
            vec![
                line.sandbox,
                line.pid.to_string(),
                line.inside
                    .map_or_else(|| table::NOTHING.to_owned(), |pid| pid.to_string()),
                line.state.to_string(),
                line.threads.to_string(),
                table::bytes(line.memory),
                line.command,
            ]
        })
        .collect();
    answer(&table::text(&columns, &rows, inspect::paint()))
}
