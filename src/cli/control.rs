//! `sandboxctl`: one function a verb.

use clap::Parser;
use serde_json::json;

use crate::plan::Request;
use crate::policy::show;
use crate::profile::brief;
use crate::profile::load::load;
use crate::report::{Severity, SourceMap, escape};

use super::arguments::{Control, Verb};
use super::delegate::{self, Delegate};
use super::{answer, doctor, explain, inspect, schema, status, usage};

/// The program `sandboxctl`.
#[must_use]
pub fn main() -> i32 {
    let control = match Control::try_parse() {
        Ok(control) => control,
        Err(error) => return usage::usage(error),
    };
    let done = match control.verb {
        Verb::Profiles { json } => profiles(json),
        Verb::Show {
            profiles,
            json,
            all,
        } => show_policy(&profiles, json, all),
        Verb::Check { profiles, json } => check(&profiles, json),
        Verb::Explain { key } => explain_key(key.as_deref()),
        Verb::Schema => answer(&schema::text()),
        Verb::Doctor { json } => doctor::doctor(json),
        Verb::Delegate { user, remove, pid } => delegate::run(Delegate {
            user: &user,
            remove,
            pid,
        }),
    };
    done.err().unwrap_or(status::OK)
}

fn explain_key(key: Option<&str>) -> Result<(), i32> {
    match key {
        None => answer(&explain::overview()),
        Some(key) => match explain::explain(key) {
            Ok(text) => answer(&text),
            Err(error) => {
                inspect::tell(&[error], &SourceMap::new());
                Err(status::USAGE)
            }
        },
    }
}

/// The profiles that exist: name, where, what for, and the programs that take them.
fn profiles(json: bool) -> Result<(), i32> {
    let library = inspect::library();
    let all = brief::list(&library);
    let text = if json {
        let list: Vec<_> = all
            .iter()
            .map(|profile| {
                json!({
                    "name": profile.name,
                    "source": profile.source,
                    "description": profile.description,
                    "programs": profile.programs,
                    "error": profile.error,
                })
            })
            .collect();
        format!("{:#}\n", json!(list))
    } else {
        let width = all
            .iter()
            .map(|profile| profile.name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for profile in &all {
            let what = profile.error.as_deref().unwrap_or(&profile.description);
            text.push_str(&format!("{:width$}  {}", profile.name, escape::line(what)));
            if !profile.programs.is_empty() {
                text.push_str(&format!(
                    "  [{}]",
                    escape::line(&profile.programs.join(" "))
                ));
            }
            if !profile.source.starts_with("embedded:") {
                text.push_str(&format!("  {}", escape::line(&profile.source)));
            }
            text.push('\n');
        }
        text
    };
    answer(&text)
}

fn show_policy(names: &[String], json: bool, all: bool) -> Result<(), i32> {
    let mut sources = SourceMap::new();
    match inspect::resolve(names, &inspect::library(), None, &mut sources) {
        Ok(resolved) => {
            inspect::tell(&resolved.warnings, &sources);
            if json {
                answer(&format!("{:#}\n", show::json(&resolved.policy, &sources)))
            } else {
                answer(&show::toml(&resolved.policy, &sources, all))
            }
        }
        Err(errors) => {
            inspect::tell(&errors, &sources);
            Err(status::USAGE)
        }
    }
}

/// Checks each profile by itself: its language, and whether this host can apply it.
fn check(names: &[String], json: bool) -> Result<(), i32> {
    let library = inspect::library();
    let mut worst = status::OK;
    let mut reports = Vec::new();
    for name in names {
        let mut sources = SourceMap::new();
        let (verdict, found, notes) = check_one(name, &library, &mut sources);
        worst = worst.max(verdict);
        if json {
            let found: Vec<_> = found
                .iter()
                .map(|diagnostic| {
                    let place = diagnostic.primary.as_ref().map(|label| sources.position(label.site));
                    json!({
                        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
                        "message": diagnostic.message,
                        "source": place.as_ref().map(|place| &place.name),
                        "line": place.as_ref().map(|place| place.line),
                        "column": place.as_ref().map(|place| place.column),
                        "help": diagnostic.help,
                    })
                })
                .collect();
            reports.push(json!({ "profile": name, "ok": verdict == status::OK, "diagnostics": found, "notes": notes }));
        } else {
            inspect::tell(&found, &sources);
            let verdict = match verdict {
                status::OK => "good, and this host can apply it",
                status::NO => "good, but this host cannot apply it",
                _ => "wrong",
            };
            answer(&format!("{}: {verdict}\n", escape::line(name)))?;
            for note in notes {
                answer(&format!("  note: {}\n", escape::line(&note)))?;
            }
        }
    }
    if json {
        answer(&format!("{:#}\n", json!(reports)))?;
    }
    if worst == status::OK {
        Ok(())
    } else {
        Err(worst)
    }
}

fn check_one(
    name: &str,
    library: &crate::profile::search::Library,
    sources: &mut SourceMap,
) -> (i32, crate::report::Diagnostics, Vec<String>) {
    let loaded = match load(&[name.to_owned()], library, None, sources) {
        Ok(loaded) => loaded,
        Err(errors) => return (status::USAGE, errors, Vec::new()),
    };
    let policy = crate::policy::resolve(&loaded.name, &loaded.layers);
    let mut found = loaded.warnings;
    let request = Request {
        program: "true".into(),
        name: "check".to_owned(),
        ..Request::default()
    };
    match inspect::plan(&policy, &request) {
        Ok((plan, _)) => {
            let notes = plan.notes.iter().chain(&plan.warnings);
            let notes = notes
                .map(|note| note.text.clone() + &crate::plan::show::at(note, sources))
                .collect();
            (status::OK, found, notes)
        }
        Err(errors) => {
            found.extend(errors);
            (status::NO, found, Vec::new())
        }
    }
}
