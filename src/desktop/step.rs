//! What is done to get from the files that are there to those that are to be.

use std::collections::BTreeSet;

use super::manifest::{Kind, Manifest, Record};
use super::plan::{Desired, Wish};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// An ordinary file.
    File {
        /// Its digest.
        sha256: String,
        /// Whether it says that it is ours.
        marked: bool,
    },
    /// A symbolic link, or a file that is too large to be read.
    Foreign,
    /// A directory, a pipe, or what cannot be looked at: in words.
    Other(String),
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new file; what is there is kept under another name if `backup` says so.
    Write {
        /// The file.
        file: Desired,
        /// Keep what is there.
        backup: bool,
        /// Why.
        why: &'static str,
    },
    /// It is there and as it should be, but was not recorded so.
    Adopt(Record),
    /// Taken away; what was there before comes back.
    Remove {
        /// What is known of it.
        record: Record,
        /// Why.
        why: &'static str,
    },
    /// Only the record goes: the file is gone already. A backup comes back.
    Forget(Record),
    /// Left as it is.
    Leave {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
}

/// Changes by hand and foreign files are overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Force(pub bool);

const EDITED: &str = "was changed by hand since; --force overwrites it";

/// The steps towards a wish. Files of ours that it does not name are taken away.
#[must_use]
pub fn steps(
    wish: Wish,
    manifest: &Manifest,
    state: &dyn Fn(&str) -> State,
    force: Force,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let named: BTreeSet<String> = wish
        .files
        .iter()
        .map(|file| file.record.path.clone())
        .collect();
    for file in wish.files {
        steps.extend(towards(file, manifest, state, force));
    }
    for record in &manifest.files {
        if named.contains(&record.path) {
            continue;
        }
        if let Some(why) = wish.stay.get(&record.path) {
            steps.push(Step::Leave {
                path: record.path.clone(),
                why: why.clone(),
            });
            continue;
        }
        steps.push(away(record, state, force, "what it was made from is gone"));
    }
    steps
}

/// The step that takes a file of ours away.
#[must_use]
pub fn away(
    record: &Record,
    state: &dyn Fn(&str) -> State,
    Force(force): Force,
    why: &'static str,
) -> Step {
    match state(&record.path) {
        State::Absent => Step::Forget(record.clone()),
        State::File { sha256, .. } if sha256 == record.sha256 || force => Step::Remove {
            record: record.clone(),
            why,
        },
        State::Foreign if force => Step::Remove {
            record: record.clone(),
            why,
        },
        State::File { .. } | State::Foreign => Step::Leave {
            path: record.path.clone(),
            why: "was changed by hand since; --force removes it".to_owned(),
        },
        State::Other(what) => Step::Leave {
            path: record.path.clone(),
            why: what,
        },
    }
}

fn towards(
    file: Desired,
    manifest: &Manifest,
    state: &dyn Fn(&str) -> State,
    Force(force): Force,
) -> Option<Step> {
    let path = file.record.path.clone();
    let leave = |why: &str| {
        Some(Step::Leave {
            path: path.clone(),
            why: why.to_owned(),
        })
    };
    let write = |file, backup, why| Some(Step::Write { file, backup, why });
    let known = manifest.find(&path);
    match (state(&path), known) {
        (State::Other(what), _) => leave(&what),
        (State::Absent, None) => write(file, false, "written"),
        (State::Absent, Some(_)) => write(file, false, "was gone, written again"),
        (State::File { sha256, .. }, Some(record)) if sha256 == file.record.sha256 => {
            let same = Record {
                backup: record.backup.clone(),
                ..file.record
            };
            (same != *record).then_some(Step::Adopt(same))
        }
        (State::File { sha256, .. }, None) if sha256 == file.record.sha256 => {
            Some(Step::Adopt(file.record))
        }
        (State::File { sha256, .. }, Some(record)) if sha256 == record.sha256 => {
            let why = if record.source_sha256 == file.record.source_sha256 {
                "brought up to date"
            } else {
                "brought up to date: what it was made from has changed"
            };
            write(file, false, why)
        }
        (_, Some(_)) if force => write(file, false, "overwritten"),
        (_, Some(_)) => leave(EDITED),
        (State::File { marked: true, .. }, None) if force => write(file, false, "overwritten"),
        (State::File { marked: true, .. }, None) => leave(
            "is a copy of ours that was not recorded, or was changed by hand; --force overwrites it",
        ),
        (_, None) if file.record.kind == Kind::Shim && !force => {
            leave("is a command that is not ours; --force replaces it, and `remove` brings it back")
        }
        (_, None) => write(
            file,
            true,
            "written; what was there before is kept beside it",
        ),
    }
}
