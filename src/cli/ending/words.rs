//! The report for people.

use std::fmt::Write as _;

use super::Report;
use super::cause::Cause;
use crate::exec::Ending;
use crate::profile::value::human_bytes;
use crate::report::escape;

/// So many events of a run are told to people; programs get all that were kept.
const TOLD_EVENTS: usize = 12;

/// `SIGKILL`, or `signal 34`.
pub(super) fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
}

pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {many}")
    }
}

/// Microseconds in words: hundredths of a second are enough for people.
pub(super) fn time(microseconds: u64) -> String {
    // Beyond 2^53 µs precision does not matter.
    #[allow(clippy::cast_precision_loss)]
    let seconds = microseconds as f64 / 1e6;
    format!("{seconds:.2} s")
}

/// A cause, and what to do about it.
pub(super) fn told(out: &mut String, program: &str, cause: &Cause) {
    let _ = writeln!(out, "sandbox: {program}: {}", cause.text);
    for line in &cause.help {
        let _ = writeln!(out, "  {line}");
    }
}

fn ending(ending: Ending) -> String {
    match ending {
        Ending::Exited(status) => match ending.signal() {
            Some(signal) => format!("exit status {status} ({})", signal_name(signal)),
            None => format!("exit status {status}"),
        },
        Ending::Killed(signal) => format!("killed by {}", signal_name(signal)),
    }
}

/// Everything that was counted.
pub(super) fn full(report: &Report) -> String {
    let mut out = String::new();
    for cause in &report.causes {
        told(&mut out, &report.program, cause);
    }
    let _ = writeln!(
        out,
        "sandbox: {}: {} after {:.2} s",
        report.program,
        ending(report.ending),
        report.seconds
    );
    for lost in &report.lost {
        let _ = writeln!(out, "  before it ended: {}", escape::line(lost));
    }
    let Some(usage) = &report.usage else {
        let _ = writeln!(out, "  no limits, so that nothing else was counted");
        return out;
    };
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(out, "  {name:<20}{value}");
        }
    };
    let of = |key: &str| {
        report
            .limits
            .iter()
            .find(|limit| limit.key == key)
            .map_or_else(String::new, |limit| format!(" of {}", limit.amount.words()))
    };
    line(
        "memory, at most",
        usage
            .memory_peak
            .map(|peak| human_bytes(peak) + &of("memory")),
    );
    line(
        "swap, at most",
        usage.swap_peak.map(|peak| human_bytes(peak) + &of("swap")),
    );
    line(
        "memory and swap",
        report
            .around
            .memory_and_swap_peak
            .filter(|_| report.has_swapped)
            .map(human_bytes),
    );
    line(
        "killed for memory",
        usage.oom_kills.map(|count| count.to_string()),
    );
    line(
        "processes, at most",
        usage.pids_peak.map(|peak| format!("{peak}{}", of("pids"))),
    );
    line(
        "forks refused",
        usage.pids_refused.map(|count| count.to_string()),
    );
    line(
        "CPU time",
        usage
            .cpu_usec
            .map(|all| match (usage.user_usec, usage.system_usec) {
                (Some(user), Some(system)) => {
                    format!(
                        "{} (user {}, system {})",
                        time(all),
                        time(user),
                        time(system)
                    )
                }
                _ => time(all),
            }),
    );
    let disk = |bytes: Option<u64>, operations: Option<u64>| {
        let bytes = bytes?;
        Some(match operations {
            Some(count) => format!(
                "{} in {}",
                human_bytes(bytes),
                plural(count, "operation", "operations")
            ),
            None => human_bytes(bytes),
        })
    };
    line("read from disks", disk(usage.io_read_bytes, usage.io_reads));
    line(
        "written to disks",
        disk(usage.io_write_bytes, usage.io_writes),
    );
    let entries = report.entries.len();
    let hidden = entries.saturating_sub(TOLD_EVENTS);
    for (at, entry) in report.entries.iter().enumerate() {
        if at == TOLD_EVENTS / 2 && hidden > 0 {
            let more = hidden as u64 + report.left_out;
            let _ = writeln!(out, "  … {more} more …");
        }
        if at < TOLD_EVENTS / 2 || at >= TOLD_EVENTS / 2 + hidden {
            let after = format!("after {:.2} s", entry.after.as_secs_f64());
            let _ = writeln!(out, "  {after:<20}{}", entry.event);
        }
    }
    out
}
