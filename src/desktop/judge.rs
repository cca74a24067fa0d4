//! What would start a program without its sandbox, or not at all: told from what a desktop finds.

use super::copy::{HOLDS, is_marked};
use super::digest;
use super::entry::{Document, MAIN};
use super::exec::{self, Codes};
use super::manifest::{Kind, Manifest, Record};
use super::plan::{Source, Verdict, World, judge};
use super::program::file_name;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The program is started without its sandbox.
    Unsandboxed,
    /// It is not started.
    Broken,
    /// It is started in its sandbox, by a file that is out of date.
    Stale,
}

impl Weight {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsandboxed => "unsandboxed",
            Self::Broken => "broken",
            Self::Stale => "stale",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub weight: Weight,
    /// The file.
    pub path: String,
    /// The program.
    pub program: String,
    /// What is wrong, in a line.
    pub text: String,
    /// What to do.
    pub help: String,
}

/// A file in the order in which a desktop looks: the first of a name counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The file; its target does not matter here.
    pub source: Source,
    /// Whether it is ours by the manifest or by its mark.
    pub ours: bool,
    /// Whether it was, and its mark was taken out: nothing is made from it.
    pub edited: bool,
}

const REFRESH: &str = "sandboxctl desktop refresh";

/// The command lines of a file: every `Exec` of it, with its group.
fn commands(content: &[u8], codes: Codes) -> Vec<(String, Result<Vec<String>, String>)> {
    let Ok(document) = Document::parse(content) else {
        return Vec::new();
    };
    let lines = document.entries().filter(|line| line.key == b"Exec");
    lines
        .map(|line| {
            let group = String::from_utf8_lossy(line.group).into_owned();
            let value = String::from_utf8_lossy(line.value);
            let words = exec::parse(&value, codes).map(|words| {
                words
                    .iter()
                    .map(|word| word.text().unwrap_or_default())
                    .collect()
            });
            (group, words)
        })
        .collect()
}

/// Judges the files of all names.
///
/// `seen` is in the order in which the desktop looks; `selected` says which programs, profiles and names are to be in
/// sandboxes; `profile` what is wrong with a profile.
#[must_use]
pub fn findings(
    seen: &[Seen],
    manifest: &Manifest,
    world: &World<'_>,
    selected: &dyn Fn(&[&str]) -> bool,
    profile: &dyn Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut names: Vec<(Kind, &str)> = seen
        .iter()
        .map(|seen| (seen.source.kind, seen.source.name.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    for (kind, name) in names {
        let all = || {
            seen.iter()
                .filter(|seen| seen.source.kind == kind && seen.source.name == name)
        };
        let Some(first) = all().next() else {
            continue;
        };
        let record = manifest
            .files
            .iter()
            .find(|record| record.kind == kind && record.name == name);
        // What is below ours shows where ours cannot be used.
        let below = all()
            .find(|seen| !seen.ours && !seen.edited)
            .map(|seen| &seen.source);
        if first.ours {
            ours(&first.source, record, below, world, &mut found);
        } else {
            foreign(&first.source, record, world, selected, &mut found);
        }
    }
    for record in &manifest.files {
        if record.kind == Kind::Unit {
            continue;
        }
        if let Some(wrong) = profile(&record.profile) {
            found.push(Finding {
                weight: Weight::Broken,
                path: record.path.clone(),
                program: record.program.clone(),
                text: format!(
                    "its profile `{}` cannot be used, so that nothing is started: {wrong}",
                    record.profile
                ),
                help: format!(
                    "bring the profile back, or: sandboxctl desktop remove {}",
                    record.program
                ),
            });
        }
        if record.kind != Kind::Shim && !seen.iter().any(|seen| seen.source.path == record.path) {
            found.push(Finding {
                weight: Weight::Unsandboxed,
                path: record.path.clone(),
                program: record.program.clone(),
                text: "our copy is gone, so that what it replaced is used".to_owned(),
                help: REFRESH.to_owned(),
            });
        }
    }
    found.sort_by(|a, b| (a.weight, &a.path, &a.text).cmp(&(b.weight, &b.path, &b.text)));
    found.dedup();
    found
}

/// A file that is ours comes first: does it hold?
fn ours(
    file: &Source,
    record: Option<&Record>,
    below: Option<&Source>,
    world: &World<'_>,
    found: &mut Vec<Finding>,
) {
    let program = record.map_or("", |record| record.program.as_str());
    let mut say = |weight, text: String, help: &str| {
        found.push(Finding {
            weight,
            path: file.path.clone(),
            program: program.to_owned(),
            text,
            help: help.to_owned(),
        });
    };
    let content = match &file.content {
        Ok(content) => content,
        Err(why) => {
            return say(
                Weight::Unsandboxed,
                format!("our copy cannot be read: {why}"),
                REFRESH,
            );
        }
    };
    let falls_through = match (file.kind, below) {
        (Kind::Entry, Some(below)) => format!(
            "desktops then use {} instead, without a sandbox",
            below.path
        ),
        _ => "nothing is started then".to_owned(),
    };
    let worst = match (file.kind, below) {
        (Kind::Entry, Some(_)) => Weight::Unsandboxed,
        _ => Weight::Broken,
    };
    let codes = if file.kind == Kind::Service {
        Codes::Unknown
    } else {
        Codes::Known
    };
    let commands = commands(content, codes);
    if commands.is_empty() {
        say(
            worst,
            format!("it has no command; {falls_through}"),
            "sandboxctl desktop refresh --force",
        );
    }
    for (group, words) in commands {
        let words = match words {
            Ok(words) => words,
            Err(why) => {
                say(
                    worst,
                    format!("`Exec=` in [{group}] cannot be read: {why}"),
                    "sandboxctl desktop refresh --force",
                );
                continue;
            }
        };
        let held = words.first().is_some_and(|first| first == HOLDS);
        let launcher = words.get(usize::from(held)).map_or("", String::as_str);
        let is_launcher = launcher == world.launcher
            || (file_name(launcher) == "sandbox" && (world.is_system)(launcher));
        let is_gone = (world.locate)(launcher).is_none();
        let was_launcher = is_gone && file_name(launcher) == "sandbox";
        if !is_launcher && !was_launcher {
            say(
                Weight::Unsandboxed,
                format!(
                    "`Exec=` in [{group}] starts `{launcher}` and not the launcher: it was changed by hand"
                ),
                "sandboxctl desktop refresh --force",
            );
        } else if is_gone {
            let (weight, then) = match held {
                true => (Weight::Broken, "nothing is started then"),
                false => (worst, falls_through.as_str()),
            };
            say(
                weight,
                format!("the launcher `{launcher}` is not there; {then}"),
                &format!("install it again, or, from where it is now: {REFRESH}"),
            );
        } else if words
            .iter()
            .take_while(|word| *word != "--")
            .any(|word| word == "--no-profile")
        {
            say(
                Weight::Unsandboxed,
                format!("`Exec=` in [{group}] takes no profile"),
                "sandboxctl desktop refresh --force",
            );
        } else if let Some(program) = words.iter().skip_while(|word| *word != "--").nth(1)
            && program.starts_with('/')
            && (world.locate)(program).is_none()
        {
            say(
                Weight::Broken,
                format!("`{program}`, which [{group}] starts, is not there any more"),
                REFRESH,
            );
        }
    }
    if let Ok(document) = Document::parse(content) {
        if file.kind != Kind::Service {
            let tried = document.text(MAIN, b"TryExec").unwrap_or("");
            if !tried.is_empty() && (world.locate)(tried).is_none() {
                say(
                    worst,
                    format!("`TryExec={tried}` is not there; {falls_through}"),
                    REFRESH,
                );
            }
            if document.is_true(b"DBusActivatable") {
                say(
                    Weight::Unsandboxed,
                    "`DBusActivatable=true` makes desktops ask the bus instead of starting the sandbox".to_owned(),
                    "sandboxctl desktop refresh --force",
                );
            }
            let usable =
                document.text(MAIN, b"Type").is_some() && document.text(MAIN, b"Name").is_some();
            if !usable {
                say(
                    worst,
                    format!("it has no Type or no Name; {falls_through}"),
                    "sandboxctl desktop refresh --force",
                );
            }
        } else if document
            .text(super::service::GROUP, b"SystemdService")
            .is_some()
        {
            say(
                Weight::Unsandboxed,
                "`SystemdService=` makes the bus start a unit instead of the sandbox".to_owned(),
                "sandboxctl desktop refresh --force",
            );
        }
    }
    let Some(record) = record else {
        return;
    };
    match below {
        Some(below) => {
            let now = below.content.as_deref().map(digest).unwrap_or_default();
            if now != record.source_sha256 || below.path != record.source {
                say(
                    Weight::Stale,
                    format!("{}, which it was made from, has changed", below.path),
                    REFRESH,
                );
            }
        }
        None => say(
            Weight::Stale,
            format!("{}, which it was made from, is gone", record.source),
            REFRESH,
        ),
    }
}

/// A file that is not ours comes first: what does it start?
fn foreign(
    file: &Source,
    record: Option<&Record>,
    world: &World<'_>,
    selected: &dyn Fn(&[&str]) -> bool,
    found: &mut Vec<Finding>,
) {
    let stem = file.name.strip_suffix(".desktop").unwrap_or(&file.name);
    let (program, text, help) = match judge(file, world) {
        Verdict::Takes { program, profile } => {
            if !selected(&[&program, &profile, stem, &file.name]) {
                return;
            }
            let text = match record {
                Some(record) if record.path != file.path => format!(
                    "comes before our {} and starts `{program}` without its sandbox",
                    record.path
                ),
                _ => format!("starts `{program}` without its sandbox"),
            };
            let help = match &file.target {
                Ok(_) => "sandboxctl desktop refresh".to_owned(),
                Err(why) => why.clone(),
            };
            (program, text, help)
        }
        Verdict::Cannot {
            program,
            profile,
            why,
        } => {
            if !selected(&[&program, &profile, stem, &file.name]) {
                return;
            }
            let text = format!(
                "seems to start `{program}` without its sandbox, and cannot be rewritten: {why}"
            );
            let help = format!("write an entry of your own, or: sandboxctl desktop remove {stem}");
            (program, text, help)
        }
        // What no profile takes any more, and once was ours.
        Verdict::Nothing if record.is_some_and(|record| record.path == file.path) => (
            record
                .map(|record| record.program.clone())
                .unwrap_or_default(),
            "is not ours any more: it was changed by hand".to_owned(),
            "sandboxctl desktop refresh --force".to_owned(),
        ),
        _ => return,
    };
    found.push(Finding {
        weight: Weight::Unsandboxed,
        path: file.path.clone(),
        program,
        text,
        help,
    });
}

/// Whether a file counts as ours.
#[must_use]
pub fn is_ours(path: &str, content: &[u8], manifest: &Manifest) -> bool {
    is_marked(content)
        || manifest
            .find(path)
            .is_some_and(|record| record.sha256 == digest(content))
}
