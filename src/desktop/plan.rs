//! Which files there are to be: a function of what was found, of the profiles, and of what was written before.

use std::collections::BTreeMap;

use super::copy::Copy;
use super::digest;
use super::entry::{Document, MAIN};
use super::exec::{self, Codes};
use super::follow::{self, Follow};
use super::manifest::{Kind, Manifest, Record, Selection};
use super::program::{file_name, is_wrapper, started};

/// A file that a desktop would find, not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: Kind,
    /// Desktop-file ID, D-Bus name or file name: what others call it by.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// What is in it, or why that cannot be known.
    pub content: Result<Vec<u8>, String>,
    /// Where our copy has to be to come first; or why no place does.
    pub target: Result<String, String>,
}

/// A profile that names a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The profile.
    pub profile: String,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// What is known besides the files.
pub struct World<'a> {
    /// Absolute path of `sandbox`.
    pub launcher: &'a str,
    /// The directory of commands.
    pub bin: &'a str,
    /// By the file name of a program: the profile that takes it.
    pub claims: &'a BTreeMap<String, Claim>,
    /// Where an executable is, past our own shims: by name, or by absolute path if it is there.
    pub locate: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a path is in a directory of the system, so that its file name says what it is.
    pub is_system: &'a dyn Fn(&str) -> bool,
    /// How changes of packages would be followed.
    pub follow: &'a Follow,
}

/// What is to be said of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No profile takes its program, or it starts none.
    Nothing,
    /// Its program is not installed.
    NotInstalled,
    /// It leads through `sandbox` by itself.
    Sandboxed,
    /// Its program has a profile.
    Takes {
        /// The program's file name.
        program: String,
        /// The profile.
        profile: String,
    },
    /// It seems to start a program that has a profile, and cannot be led through the launcher without a guess.
    Cannot {
        /// The program.
        program: String,
        /// The profile.
        profile: String,
        /// Why not.
        why: String,
    },
}

/// The first program with a profile that a text mentions as a word.
fn mentioned(text: &str, world: &World<'_>) -> Option<(String, String)> {
    text.split(|c: char| !(c.is_alphanumeric() || "._+-".contains(c)))
        .find_map(|word| Some((word.to_owned(), world.claims.get(word)?.profile.clone())))
}

/// Judges one source by itself.
#[must_use]
pub fn judge(source: &Source, world: &World<'_>) -> Verdict {
    let Ok(content) = &source.content else {
        return Verdict::Nothing;
    };
    let raw = String::from_utf8_lossy(content);
    let (group, codes) = match source.kind {
        Kind::Service => (super::service::GROUP, Codes::Unknown),
        _ => (MAIN, Codes::Known),
    };
    let document = match Document::parse(content) {
        Ok(document) => document,
        Err(why) => {
            let exec = raw
                .lines()
                .find_map(|line| line.trim().strip_prefix("Exec"))
                .unwrap_or("");
            return mentioned(exec, world).map_or(Verdict::Nothing, |(program, profile)| {
                Verdict::Cannot {
                    program,
                    profile,
                    why,
                }
            });
        }
    };
    if source.kind != Kind::Service
        && (document.is_true(b"Hidden") || document.text(MAIN, b"Type") != Some("Application"))
    {
        return Verdict::Nothing;
    }
    let Some(value) = document.value(group, b"Exec") else {
        return Verdict::Nothing;
    };
    let value = String::from_utf8_lossy(value);
    let cannot = |why: String| {
        mentioned(&value, world).map_or(Verdict::Nothing, |(program, profile)| Verdict::Cannot {
            program,
            profile,
            why,
        })
    };
    let started = match exec::parse(&value, codes).and_then(|words| started(&words)) {
        Ok(started) => started,
        Err(why) => return cannot(why),
    };
    let program = file_name(&started.program).to_owned();
    if started.program == world.launcher || started.program == "sandbox" {
        return Verdict::Sandboxed;
    }
    if is_wrapper(&started.program) {
        return cannot(format!(
            "it is started by `{}`, which is not looked behind",
            started.program
        ));
    }
    let Some(claim) = world.claims.get(&program) else {
        let first = value.split_whitespace().next().unwrap_or("");
        let others = value.get(first.len()..).unwrap_or("");
        return match mentioned(others, world) {
            Some((mentioned, profile)) if (world.locate)(&started.program).is_some() => {
                Verdict::Cannot {
                    program: mentioned,
                    profile,
                    why: format!("it is started by `{program}`, for which there is no profile"),
                }
            }
            _ => Verdict::Nothing,
        };
    };
    let profile = claim.profile.clone();
    if (world.locate)(&started.program).is_none() {
        return Verdict::NotInstalled;
    }
    let tried = document.text(MAIN, b"TryExec").unwrap_or("");
    if source.kind != Kind::Service && !tried.is_empty() && (world.locate)(tried).is_none() {
        return Verdict::NotInstalled;
    }
    if started.program.contains('/') && !(world.is_system)(&started.program) {
        let why = format!(
            "`{}` is not in a directory of the system, so that its name says nothing",
            started.program
        );
        return Verdict::Cannot {
            program,
            profile,
            why,
        };
    }
    Verdict::Takes { program, profile }
}

/// A file that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// What is kept of it in the manifest; without the backup.
    pub record: Record,
    /// All of it.
    pub content: Vec<u8>,
}

/// What is to be said besides what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The file that it is about.
    pub path: String,
    /// In a line.
    pub text: String,
}

/// What there is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The files.
    pub files: Vec<Desired>,
    /// What would be there if it could be.
    pub remarks: Vec<Remark>,
    /// Files of ours that are to stay as they are, and why.
    pub stay: BTreeMap<String, String>,
}

/// The ID without the file's ending.
fn stem(name: &str) -> &str {
    name.strip_suffix(".desktop").unwrap_or(name)
}

/// The files for a selection.
#[must_use]
pub fn wish(
    sources: &[Source],
    selection: &Selection,
    manifest: &Manifest,
    world: &World<'_>,
) -> Wish {
    let mut wish = Wish::default();
    // A service may be called by an entry's ID, whatever its program is.
    let mut by_id: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut judged: Vec<(&Source, Verdict)> = sources
        .iter()
        .map(|source| (source, judge(source, world)))
        .collect();
    for (source, verdict) in &judged {
        if let (Kind::Entry, Verdict::Takes { program, profile }) = (source.kind, verdict) {
            by_id.insert(
                stem(&source.name).to_owned(),
                (program.clone(), profile.clone()),
            );
        }
    }
    for (source, verdict) in &mut judged {
        if let (Kind::Service, Verdict::Nothing, Some((program, profile))) =
            (source.kind, &*verdict, by_id.get(&source.name))
        {
            *verdict = by_name(source, program, profile);
        }
    }
    for (source, verdict) in &judged {
        let (program, profile) = match verdict {
            Verdict::Takes { program, profile }
            | Verdict::Cannot {
                program, profile, ..
            } => (program, profile),
            _ => continue,
        };
        if !selection.has(&[program, profile, stem(&source.name), &source.name]) {
            continue;
        }
        let made = match verdict {
            Verdict::Cannot { why, .. } => Err(why.clone()),
            _ => desired(source, program, profile, world),
        };
        match made {
            Ok(file) => wish.files.push(file),
            Err(why) => {
                if let Ok(target) = &source.target
                    && manifest.find(target).is_some()
                {
                    wish.stay.insert(
                        target.clone(),
                        format!("what it was made from has changed: {why}"),
                    );
                }
                wish.remarks.push(Remark {
                    path: source.path.clone(),
                    text: format!(
                        "starts `{program}` WITHOUT its sandbox, as it cannot be rewritten: {why}"
                    ),
                });
            }
        }
    }
    if selection.shims {
        shims(&mut wish, selection, world);
    }
    if selection.follow {
        match follow::units(world.follow) {
            Ok(units) => wish.files.extend(units),
            Err(text) => wish.remarks.push(Remark {
                path: world.follow.units.clone(),
                text: format!("packages are not followed: {text}"),
            }),
        }
    }
    keep_closed(&mut wish, &judged, selection, manifest, world);
    wish
}

/// A service that an entry's D-Bus activation would start.
fn by_name(source: &Source, program: &str, profile: &str) -> Verdict {
    let (program, profile) = (program.to_owned(), profile.to_owned());
    let document = source
        .content
        .as_deref()
        .ok()
        .and_then(|text| Document::parse(text).ok());
    let exec = document
        .as_ref()
        .and_then(|document| document.text(super::service::GROUP, b"Exec"));
    match exec {
        Some("/bin/false" | "/usr/bin/false" | "/bin/true" | "/usr/bin/true") | None => {
            Verdict::Cannot {
                program,
                profile,
                why: "it is a unit of systemd that starts it".to_owned(),
            }
        }
        Some(_) => Verdict::Takes { program, profile },
    }
}

fn desired(
    source: &Source,
    program: &str,
    profile: &str,
    world: &World<'_>,
) -> Result<Desired, String> {
    let content = source.content.as_deref().map_err(Clone::clone)?;
    let target = source.target.clone()?;
    let claim = world.claims.get(program);
    if let Some(error) = claim.and_then(|claim| claim.error.as_ref()) {
        return Err(format!("the profile `{profile}` is not valid: {error}"));
    }
    let sha256 = digest(content);
    let copy = Copy {
        app: stem(&source.name),
        launcher: world.launcher,
        profile,
        source: &source.path,
        sha256: &sha256,
        locate: world.locate,
    };
    let document = Document::parse(content)?;
    let content = match source.kind {
        Kind::Service => copy.service(document)?,
        _ => copy.entry(document)?,
    };
    Ok(Desired {
        record: Record {
            path: target,
            kind: source.kind,
            name: source.name.clone(),
            program: program.to_owned(),
            profile: profile.to_owned(),
            source: source.path.clone(),
            source_sha256: sha256,
            sha256: digest(&content),
            backup: None,
        },
        content,
    })
}

/// A command for each selected program that is installed.
fn shims(wish: &mut Wish, selection: &Selection, world: &World<'_>) {
    for (program, claim) in world.claims {
        let profile = claim.profile.as_str();
        if claim.error.is_some() || !selection.has(&[program, profile]) {
            continue;
        }
        let Some(path) = (world.locate)(program) else {
            continue;
        };
        let copy = Copy {
            app: "",
            launcher: world.launcher,
            profile,
            source: &path,
            sha256: "",
            locate: world.locate,
        };
        let content = copy.shim(&path);
        wish.files.push(Desired {
            record: Record {
                path: format!("{}/{program}", world.bin),
                kind: Kind::Shim,
                name: program.clone(),
                program: program.clone(),
                profile: profile.to_owned(),
                source: path.clone(),
                source_sha256: String::new(),
                sha256: digest(&content),
                backup: None,
            },
            content,
        });
    }
}

/// Files of ours whose profile is gone stay: they start nothing, while without them the program would start as if there had
/// never been a sandbox.
fn keep_closed(
    wish: &mut Wish,
    judged: &[(&Source, Verdict)],
    selection: &Selection,
    manifest: &Manifest,
    world: &World<'_>,
) {
    for record in &manifest.files {
        let names = [
            record.program.as_str(),
            &record.profile,
            stem(&record.name),
            &record.name,
        ];
        if world.claims.contains_key(&record.program) || !selection.has(&names) {
            continue;
        }
        let source = judged
            .iter()
            .find(|(source, _)| source.kind == record.kind && source.name == record.name);
        let there = match record.kind {
            Kind::Shim => (world.locate)(&record.source).is_some(),
            _ => source.is_some() && (world.locate)(&record.program).is_some(),
        };
        if there {
            wish.stay.insert(
                record.path.clone(),
                format!(
                    "no profile names `{}` any more; it stays, so that the program is not started without a sandbox",
                    record.program
                ),
            );
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
