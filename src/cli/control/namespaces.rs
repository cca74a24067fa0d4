//! `sandboxctl namespaces`: which namespaces sandboxes live in, and with whom they share them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::control::process;
use crate::control::sandbox::Sandbox;

use super::super::{answer, inspect};
use super::running::{NONE, chosen};
use super::table;

/// A namespace of a sandbox, as `--json` has it.
#[derive(Serialize)]
struct Line {
    sandbox: String,
    uid: u32,
    kind: String,
    inode: u64,
    /// Whether who asks is in it too.
    shared_with_caller: bool,
    /// Other sandboxes in it.
    shared_with: Vec<String>,
    /// How many of the sandbox's processes are in it, as far as can be seen.
    processes: usize,
    /// One of them, by which it can be entered.
    pid: Option<i32>,
}

fn lines(sandboxes: &[Sandbox]) -> Vec<Line> {
    let own = process::namespaces(nix::unistd::getpid().as_raw());
    let recorded = |sandbox: &Sandbox| {
        sandbox
            .record
            .as_ref()
            .map(|record| record.namespaces.clone())
            .unwrap_or_default()
    };
    let mut lines = Vec::new();
    for sandbox in sandboxes {
        let mut members: BTreeMap<(String, u64), Vec<i32>> = BTreeMap::new();
        for (kind, inode) in recorded(sandbox) {
            members.insert((kind, inode), Vec::new());
        }
        for pid in sandbox.processes().unwrap_or_default() {
            for (kind, inode) in process::namespaces(pid) {
                members.entry((kind, inode)).or_default().push(pid);
            }
        }
        for ((kind, inode), pids) in members {
            let shared_with = sandboxes
                .iter()
                .filter(|other| other.entry.path() != sandbox.entry.path())
                .filter(|other| recorded(other).get(&kind) == Some(&inode))
                .map(|other| other.name().to_owned());
            lines.push(Line {
                sandbox: sandbox.name().to_owned(),
                uid: sandbox.uid(),
                shared_with_caller: own.get(&kind) == Some(&inode),
                shared_with: shared_with.collect(),
                processes: pids.len(),
                pid: pids.first().copied(),
                kind,
                inode,
            });
        }
    }
    lines
}

pub(super) fn namespaces(name: Option<&str>, json: bool) -> Result<(), i32> {
    let sandboxes = chosen(name)?;
    // Whom a sandbox shares with is looked for among all.
    let lines = match name {
        Some(_) => {
            let shown: Vec<_> = sandboxes.iter().map(|one| one.entry.path()).collect();
            let all = crate::control::sandbox::all().sandboxes;
            let names: Vec<(String, u32)> = all
                .iter()
                .filter(|one| shown.contains(&one.entry.path()))
                .map(|one| (one.name().to_owned(), one.uid()))
                .collect();
            let mut lines = lines(&all);
            lines.retain(|line| names.contains(&(line.sandbox.clone(), line.uid)));
            lines
        }
        None => lines(&sandboxes),
    };
    if json {
        return answer(&format!("{:#}\n", serde_json::json!(lines)));
    }
    if sandboxes.is_empty() {
        return answer(NONE);
    }
    let columns = [
        ("SANDBOX", false),
        ("KIND", false),
        ("INODE", true),
        ("PROCESSES", true),
        ("PID", true),
        ("SHARED WITH", false),
    ];
    let rows: Vec<Vec<String>> = lines
        .into_iter()
        .map(|line| {
            let mut shared: Vec<String> = line.shared_with;
            if line.shared_with_caller {
                shared.insert(0, "the caller".to_owned());
            }
            vec![
                line.sandbox,
                line.kind,
                line.inode.to_string(),
                line.processes.to_string(),
                line.pid
                    .map_or_else(|| table::NOTHING.to_owned(), |pid| pid.to_string()),
                if shared.is_empty() {
                    table::NOTHING.to_owned()
                } else {
                    shared.join(", ")
                },
            ]
        })
        .collect();
    answer(&table::text(&columns, &rows, inspect::paint()))
}
