//! How a run ended, told to people and to programs: which limit was hit, where it was set, and how to raise it.

use std::ffi::OsStr;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::exec::group::Usage;
use crate::exec::{Ending, Outcome};
use crate::plan::{Action, Plan};
use crate::profile::value::human_bytes;
use crate::report::{Position, SourceMap, escape};
use crate::section::limits::GroupPlan;

/// A limit as the plan has it.
struct Limit {
    /// What is written for it.
    value: String,
    place: Option<Position>,
}

/// What is to be told about a run.
pub(super) struct Report {
    program: String,
    ending: Ending,
    seconds: f64,
    usage: Usage,
    has_group: bool,
    memory: Option<Limit>,
    swap: bool,
    pids: Option<Limit>,
    cpu: Option<Limit>,
    timeout: Option<Limit>,
    timed_out: bool,
}

fn bytes(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), human_bytes)
}

/// `SIGKILL`, or `signal 34`.
fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
}

fn plural(count: u64, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {many}")
    }
}

impl Report {
    pub fn of(outcome: &Outcome, plan: &Plan, sources: &SourceMap, program: &OsStr) -> Self {
        let group = plan.steps.iter().find_map(|step| match &step.action {
            Action::EnterGroup(group) => Some(group),
            _ => None,
        });
        let limit = |key: &str| {
            let group: &GroupPlan = group?;
            let write = group.writes.iter().find(|write| write.key == key)?;
            Some(Limit {
                value: write.value.clone(),
                place: (!write.site.is_default()).then(|| sources.position(write.site)),
            })
        };
        let timeout = plan.steps.iter().find_map(|step| match &step.action {
            Action::Timeout { after } => Some(Limit {
                value: format!("{} s", after.as_secs_f64()),
                place: (!step.site.is_default()).then(|| sources.position(step.site)),
            }),
            _ => None,
        });
        Self {
            program: escape::os(program),
            ending: outcome.ending,
            seconds: outcome.duration.as_secs_f64(),
            usage: outcome.usage.unwrap_or_default(),
            has_group: outcome.usage.is_some(),
            memory: limit("memory"),
            swap: limit("swap").is_some(),
            pids: limit("pids"),
            cpu: limit("cpu"),
            timeout,
            timed_out: outcome.timed_out,
        }
    }

    /// What a user must know even without asking: a limit ended the program or refused it something.
    pub fn remarks(&self) -> String {
        let mut out = String::new();
        let name = &self.program;
        if let (Some(kills @ 1..), Some(memory)) = (self.usage.oom_kills, &self.memory) {
            let peak = self
                .usage
                .memory_peak
                .map_or_else(String::new, |peak| format!("; peak {}", human_bytes(peak)));
            let swap = match (self.swap, self.usage.swap_peak) {
                (true, Some(peak)) => format!(", swap {}", human_bytes(peak)),
                _ => String::new(),
            };
            let _ = writeln!(
                out,
                "sandbox: {name}: the kernel killed {} at the memory limit of {}{}{peak}{swap}",
                plural(kills, "process", "processes"),
                bytes(&memory.value),
                place("limits.memory", memory),
            );
            let _ = writeln!(
                out,
                "  to give it more: --memory SIZE, or `memory` in [limits]"
            );
        }
        if let (Some(refused @ 1..), Some(pids)) = (self.usage.pids_refused, &self.pids) {
            let _ = writeln!(
                out,
                "sandbox: {name}: {} refused at the limit of {} processes and threads{}",
                plural(refused, "fork was", "forks were"),
                pids.value,
                place("limits.pids", pids),
            );
            let _ = writeln!(
                out,
                "  to give it more: --pids COUNT, or `pids` in [limits]"
            );
        }
        if let (true, Some(timeout)) = (self.timed_out, &self.timeout) {
            let _ = writeln!(
                out,
                "sandbox: {name}: ended after its timeout of {}{}",
                timeout.value,
                place("process.timeout", timeout),
            );
        }
        out
    }

    /// Everything that was counted.
    pub fn full(&self) -> String {
        let mut out = self.remarks();
        let how = match self.ending {
            Ending::Exited(status) if status > 128 => {
                format!("exit status {status} ({})", signal_name(status - 128))
            }
            Ending::Exited(status) => format!("exit status {status}"),
            Ending::Killed(signal) => format!("killed by {}", signal_name(signal)),
        };
        let _ = writeln!(
            out,
            "sandbox: {}: {how} after {:.2} s",
            self.program, self.seconds
        );
        if !self.has_group {
            let _ = writeln!(out, "  no limits, so that nothing else was counted");
            return out;
        }
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(out, "  {name:<20}{value}");
            }
        };
        let of = |limit: &Option<Limit>, text: fn(&str) -> String| {
            limit
                .as_ref()
                .map_or_else(String::new, |limit| format!(" of {}", text(&limit.value)))
        };
        let usage = &self.usage;
        line(
            "memory, at most",
            usage
                .memory_peak
                .map(|peak| human_bytes(peak) + &of(&self.memory, bytes)),
        );
        line("swap, at most", usage.swap_peak.map(human_bytes));
        line(
            "killed for memory",
            usage.oom_kills.map(|count| count.to_string()),
        );
        line(
            "processes, at most",
            usage
                .pids_peak
                .map(|peak| format!("{peak}{}", of(&self.pids, str::to_owned))),
        );
        line(
            "forks refused",
            usage.pids_refused.map(|count| count.to_string()),
        );
        line("CPU time", usage.cpu_usec.map(seconds));
        line(
            "held back",
            usage
                .throttled_usec
                .filter(|_| self.cpu.is_some())
                .map(|time| format!("{} at the CPU limit", seconds(time))),
        );
        out
    }

    /// The same for programs: `{program, status, signal, seconds, timed_out, usage, limits}`.
    pub fn to_json(&self) -> Json {
        let signal = match self.ending {
            Ending::Killed(signal) => Some(signal),
            Ending::Exited(status) if status > 128 => Some(status - 128),
            Ending::Exited(_) => None,
        };
        let limit = |limit: &Option<Limit>| {
            limit.as_ref().map(|limit| {
                json!({
                    "value": limit.value,
                    "origin": limit.place.as_ref().map(ToString::to_string),
                })
            })
        };
        json!({
            "program": self.program,
            "status": self.ending.status(),
            "signal": signal,
            "seconds": self.seconds,
            "timed_out": self.timed_out,
            "usage": self.has_group.then_some(&self.usage),
            "limits": {
                "memory": limit(&self.memory),
                "pids": limit(&self.pids),
                "cpu": limit(&self.cpu),
                "timeout": limit(&self.timeout),
            },
        })
    }
}

/// CPU time of a run in words.
fn seconds(microseconds: u64) -> String {
    // Hundredths are enough for people; beyond 2^53 µs precision does not matter.
    #[allow(clippy::cast_precision_loss)]
    let seconds = microseconds as f64 / 1e6;
    format!("{seconds:.2} s")
}

fn place(key: &str, limit: &Limit) -> String {
    match &limit.place {
        Some(place) => format!(" ({key}, {place})"),
        None => format!(" ({key})"),
    }
}
