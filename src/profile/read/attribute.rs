//! Priorities, schedulers and sets of CPUs.

use super::Wrong;
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
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
    };
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(Wrong::new(format!("`{text}` is not a list of CPUs"))
                .help("write numbers from 0 and ranges of them, such as \"0-3,7\""));
        };
        if first > last {
            return Err(
                Wrong::new(format!("the range `{part}` is the wrong way round"))
                    .help(format!("write \"{last}-{first}\"")),
            );
        }
        if last > CpuSet::HIGHEST {
            return Err(Wrong::new(format!("there is no CPU {last}"))
                .label(format!("at most {}", CpuSet::HIGHEST)));
        }
        ranges.push((first, last));
    }
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
        for (text, shown) in [
            ("0", "0"),
            ("3,1-2, 0", "0-3"),
            ("0-3,7", "0-3,7"),
            ("8191", "8191"),
        ] {
            assert_eq!(cpu_set(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            ",",
            "1,",
            "-1",
            "1-",
            "3-1",
            "a",
            "8192",
            "99999999999",
            "0-3:2",
            "+1",
        ] {
            assert!(cpu_set(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        assert_eq!(
            scheduler("fife:3").unwrap_err().label,
            "did you mean \"fifo\"?"
        );
        assert_eq!(scheduler("fifo:300").unwrap_err().label, "");
        assert_eq!(cpu_set("3-1").unwrap_err().help, ["write \"1-3\""]);
    }
}
