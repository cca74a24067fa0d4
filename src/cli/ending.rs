//! How a run ended, told to people and to programs: which limit was hit, where it was set, and how to raise it.
//!
//! `Report` gathers what is known; `cause` tells why, from counters; `words` and `json` say it.

mod cause;
mod diary;
mod json;
mod kind;
mod limit;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsStr;

use crate::exec::group::{Circumstances, Event, Usage};
use crate::exec::{Ending, Outcome};
use crate::plan::Plan;
use crate::report::{SourceMap, escape};

use cause::{Cause, Facts};
pub(super) use diary::Diary;
use diary::Entry;
pub use json::text as schema;
pub(super) use kind::Kind;
use limit::Limit;
pub(super) use limit::Reader;

/// What is to be told about a run.
pub(super) struct Report {
    program: String,
    ending: Ending,
    seconds: f64,
    timed_out: bool,
    /// None without a control group.
    usage: Option<Usage>,
    around: Circumstances,
    has_swapped: bool,
    limits: Vec<Limit>,
    causes: Vec<Cause>,
    entries: Vec<Entry>,
    left_out: u64,
    /// What ended beside the program before it.
    lost: Vec<String>,
}

impl Report {
    #[inline(never)] // what it needs of the stack is not to stay with who waits for the program
    pub fn of(
        outcome: &Outcome,
        plan: &Plan,
        sources: &SourceMap,
        program: &OsStr,
        reader: &Reader,
        diary: &Diary,
    ) -> Self {
        let limits = Limit::all(plan, sources, reader);
        let facts = Facts {
            ending: outcome.ending,
            timed_out: outcome.timed_out,
            lasted: outcome.duration,
            usage: outcome.usage.unwrap_or_default(),
            around: &outcome.circumstances,
            limits: &limits,
            pushed_back: diary.pushed_back(),
            reader,
        };
        let causes = facts.causes();
        let both = outcome.circumstances.memory_and_swap_peak;
        let has_swapped = both.is_some_and(|both| facts.has_swapped(both));
        Self {
            program: escape::os(program),
            ending: outcome.ending,
            seconds: outcome.duration.as_secs_f64(),
            timed_out: outcome.timed_out,
            usage: outcome.usage,
            around: outcome.circumstances.clone(),
            has_swapped,
            causes,
            limits,
            entries: diary.entries().to_vec(),
            left_out: diary.left_out(),
            lost: diary.all_lost().to_vec(),
        }
    }

    /// What a user must know even without asking: a limit ended the program or refused it something.
    pub fn remarks(&self) -> String {
        let mut out = String::new();
        for cause in self.loud() {
            words::told(&mut out, &self.program, cause);
        }
        out
    }

    fn loud(&self) -> impl Iterator<Item = &Cause> {
        self.causes.iter().filter(|cause| cause.kind.is_loud())
    }

    /// The same as notices: which kind, what, and what to do.
    pub fn notices(&self) -> impl Iterator<Item = (Kind, String)> {
        self.loud()
            .map(|cause| (cause.kind, lines(&cause.text, &cause.help)))
    }

    /// Everything that was counted.
    pub fn full(&self) -> String {
        words::full(self)
    }

    /// The same for programs, as `schema/report.schema.json` describes it.
    pub fn to_json(&self) -> serde_json::Value {
        json::of(self)
    }
}

fn lines(text: &str, help: &[String]) -> String {
    std::iter::once(text)
        .chain(help.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is worth a notice at the moment when it happens; none for what only slows the program down.
pub(super) fn notice_of(
    event: Event,
    plan: &Plan,
    sources: &SourceMap,
    reader: &Reader,
) -> Option<(Kind, String)> {
    let (kind, key) = match event {
        Event::OutOfMemory { .. } => (Kind::Memory, "memory"),
        Event::ForksRefused { .. } => (Kind::Pids, "pids"),
        _ => return None,
    };
    let limits = Limit::all(plan, sources, reader);
    // Whose limit it was is told at the end: the kernel's counters alone can say, and they are still moving.
    let (place, help) = match limits.iter().find(|limit| limit.key == key) {
        Some(limit) => (
            format!(
                "; its limit is {} ({})",
                limit.amount.words(),
                limit.cited()
            ),
            vec![format!(
                "to give it more: {}",
                limit.raise(reader).join("; for good: ")
            )],
        ),
        None => (String::new(), Vec::new()),
    };
    Some((kind, lines(&format!("{event}{place}"), &help)))
}
