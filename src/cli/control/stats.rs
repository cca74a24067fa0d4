//! `sandboxctl stats`: what sandboxes use, once.

use std::fmt::Write as _;

use serde_json::json;

use crate::control::sandbox::user_name;
use crate::control::statistics::{Counted, Processes, Statistics};
use crate::profile::value::human_bytes;
use crate::report::escape;

use super::super::{answer, complain, inspect};
use super::running::{NONE, chosen};

pub(super) fn stats(name: Option<&str>, json: bool) -> Result<(), i32> {
    let sandboxes = chosen(name)?;
    let processes = Processes::default();
    let mut all = Vec::new();
    let mut text = String::new();
    for sandbox in &sandboxes {
        let statistics = match Statistics::of(sandbox, &processes) {
            Ok(statistics) => statistics,
            Err(refusal) => {
                complain(&format!(
                    "sandboxctl: warning: {}\n",
                    escape::line(&refusal.message)
                ));
                continue;
            }
        };
        if json {
            let mut value = json!(statistics);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("name".to_owned(), sandbox.name().into());
                fields.insert("uid".to_owned(), sandbox.uid().into());
                fields.insert("user".to_owned(), user_name(sandbox.uid()).into());
            }
            all.push(value);
        } else {
            let _ = writeln!(text, "{}", inspect::paint().strong(sandbox.name()));
            text.push_str(&lines(&statistics));
        }
    }
    if json {
        return answer(&format!("{:#}\n", json!(all)));
    }
    answer(if sandboxes.is_empty() { NONE } else { &text })
}

/// CPU time in seconds.
pub(super) fn seconds(microseconds: u64) -> String {
    format!(
        "{}.{:02} s",
        microseconds / 1_000_000,
        microseconds % 1_000_000 / 10_000
    )
}

/// A line for each number that is known.
pub(super) fn lines(found: &Statistics) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(out, "  {label:<16}{value}");
        }
    };
    let of = |used: Option<u64>, limit: Option<u64>, say: fn(u64) -> String| {
        let limit = limit.map_or_else(String::new, |limit| format!(" of {}", say(limit)));
        used.map(|used| say(used) + &limit)
    };
    let number: fn(u64) -> String = |number| number.to_string();
    let events = |count: Option<u64>, one: &str, many: &str| {
        count
            .filter(|count| *count > 0)
            .map(|count| format!("{count} {}", if count == 1 { one } else { many }))
    };
    line("memory", of(found.memory, found.memory_limit, human_bytes));
    line(
        "",
        found.memory_soft.map(|soft| {
            format!(
                "pushed back to {} when the host runs short",
                human_bytes(soft)
            )
        }),
    );
    line("memory peak", found.memory_peak.map(human_bytes));
    line(
        "",
        events(
            found.memory_limit_hits,
            "time at the limit",
            "times at the limit",
        ),
    );
    line(
        "",
        events(
            found.oom_kills,
            "process killed at the limit",
            "processes killed at the limit",
        ),
    );
    line("swap", of(found.swap, found.swap_limit, human_bytes));
    line("processes", of(found.pids, found.pids_limit, number));
    line(
        "",
        events(found.pids_refused, "fork refused", "forks refused"),
    );
    line("CPU time", found.cpu_usec.map(seconds));
    line(
        "CPU limit",
        found
            .cpu_limit
            .map(|cpus| format!("{:.0}% of one CPU", cpus * 100.0)),
    );
    line(
        "",
        found
            .throttled_usec
            .filter(|time| *time > 0)
            .map(|time| format!("held back for {}", seconds(time))),
    );
    let io = found.io_read_bytes.zip(found.io_write_bytes);
    line(
        "disk",
        io.map(|(read, written)| {
            format!(
                "{} read, {} written",
                human_bytes(read),
                human_bytes(written)
            )
        }),
    );
    let pressure = [
        ("memory", found.pressure.memory),
        ("CPU", found.pressure.cpu),
        ("disk", found.pressure.io),
    ];
    let pressure: Vec<String> = pressure
        .into_iter()
        .filter_map(|(what, part)| Some(format!("{what} {:.1}%", part?)))
        .collect();
    line(
        "held up",
        (!pressure.is_empty()).then(|| format!("{} (last 10 s)", pressure.join(", "))),
    );
    line(
        "",
        (found.counted == Counted::Processes).then(|| {
            "without a control group: summed over its processes, shared memory for each".to_owned()
        }),
    );
    out
}
