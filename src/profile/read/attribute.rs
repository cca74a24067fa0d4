//! Priorities, schedulers and sets of CPUs.

use super::Wrong;
use super::control::numbers;
use crate::profile::value::{CpuSet, IoPriority, Scheduler};
use crate::report::suggest::nearest;

/// What `process.io-priority` can begin with.
const IO_WORDS: [&str; 3] = ["idle", "best-effort", "realtime"];
/// What `process.scheduler` can begin with.
const SCHEDULER_WORDS: [&str; 5] = ["other", "batch", "idle", "fifo", "round-robin"];

/// A word, and the number behind a colon if there is one: decimal digits alone.
fn parts(text: &str) -> Option<(&str, Option<u8>)> {
    let Some((word, number)) = text.split_once(':') else {
        return Some((text, None));
    };
    let digits = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return None;
    }
    Some((word, Some(number.parse().ok()?)))
}

fn wrong(text: &str, what: &str, words: &[&'static str], advice: &str) -> Wrong {
    let wrong = Wrong::new(format!("`{text}` is not {what}"));
    let word = text.split_once(':').map_or(text, |(word, _)| word);
    let wrong = match nearest(word, words.iter().copied()) {
        Some(near) if near != word => wrong.label(format!("did you mean \"{near}\"?")),
        _ => wrong,
    };
    wrong.help(advice)
}

/// `idle`, `best-effort:0` to `best-effort:7`, `realtime:0` to `realtime:7`.
///
/// # Errors
/// It is something else.
pub fn io_priority(text: &str) -> Result<IoPriority, Wrong> {
    match parts(text) {
        Some(("idle", None)) => Ok(IoPriority::Idle),
        Some(("best-effort", Some(level @ 0..=7))) => Ok(IoPriority::BestEffort(level)),
        Some(("realtime", Some(level @ 0..=7))) => Ok(IoPriority::RealTime(level)),
        _ => Err(wrong(
            text,
            "an I/O priority",
            &IO_WORDS,
            "write \"idle\", or \"best-effort:N\" or \"realtime:N\" with N from 0 (served first) to 7",
        )),
    }
}

/// `other`, `batch`, `idle`, `fifo:1` to `fifo:99`, `round-robin:1` to `round-robin:99`.
///
/// # Errors
/// It is something else.
pub fn scheduler(text: &str) -> Result<Scheduler, Wrong> {
    match parts(text) {
        Some(("other", None)) => Ok(Scheduler::Other),
        Some(("batch", None)) => Ok(Scheduler::Batch),
        Some(("idle", None)) => Ok(Scheduler::Idle),
        Some(("fifo", Some(priority @ 1..=99))) => Ok(Scheduler::Fifo(priority)),
        Some(("round-robin", Some(priority @ 1..=99))) => Ok(Scheduler::RoundRobin(priority)),
        _ => Err(wrong(
            text,
            "a scheduler",
            &SCHEDULER_WORDS,
            "write \"other\", \"batch\" or \"idle\", or \"fifo:N\" or \"round-robin:N\" with a priority N from 1 to 99",
        )),
    }
}

/// Numbers and ranges of CPUs: `0-3,7`.
///
/// # Errors
/// It is something else, or no kernel has so many.
pub fn cpu_set(text: &str) -> Result<CpuSet, Wrong> {
    let ranges = numbers(text, CpuSet::HIGHEST)?;
    CpuSet::new(ranges).ok_or_else(|| Wrong::new("this list of CPUs is empty"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_said_reads_back() {
        for text in ["idle", "best-effort:0", "best-effort:7", "realtime:3"] {
            assert_eq!(io_priority(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "best-effort",
            "best-effort:8",
            "best-effort:",
            "idle:0",
            "realtime:-1",
            "realtime:+1",
            "Idle",
            "realtime:256",
        ] {
            assert!(io_priority(text).is_err(), "{text}");
        }
        for text in ["other", "batch", "idle", "fifo:1", "round-robin:99"] {
            assert_eq!(scheduler(text).unwrap().to_string(), text);
        }
        for text in [
            "", "fifo", "fifo:0", "fifo:100", "rr:1", "other:0", "batch:1", "deadline",
        ] {
            assert!(scheduler(text).is_err(), "{text}");
        }
        assert_eq!(cpu_set("8191,0").unwrap().to_string(), "0,8191");
        assert!(cpu_set("8192").is_err());
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        assert_eq!(
            scheduler("fife:3").unwrap_err().label,
            "did you mean \"fifo\"?"
        );
        assert_eq!(scheduler("fifo:300").unwrap_err().label, "");
    }
}
