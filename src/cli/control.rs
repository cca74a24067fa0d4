//! `sandboxctl`: one function a verb.

use clap::{CommandFactory, FromArgMatches};
use serde_json::json;

use crate::control::sandbox;
use crate::plan::{Note, Plan, Request, outline, show as steps};
use crate::policy::show;
use crate::profile::brief::{self, Brief};
use crate::profile::search::Library;
use crate::report::paint::Paint;
use crate::report::{Diagnostic, Diagnostics, Severity, SourceMap, escape};

use crate::section::{dbus, desktop};

use super::arguments::{Control, Verb};
use super::delegate::{self, Delegate};
use super::{
    answer, attach, changes, closure, desktop as entries, doctor, explain, group, inspect, join,
    logs, root, rules, schema, status, usage,
};

mod events;
mod list;
mod namespaces;
mod policy;
mod ps;
mod running;
mod set;
mod signal;
mod state;
mod stats;
mod table;
mod top;
mod tree;
mod wait;
mod why;

/// The program `sandboxctl`.
#[must_use]
pub fn main() -> i32 {
    let control = match read() {
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
        Verb::Check {
            profiles,
            json,
            verbose,
        } => check(&profiles, json, verbose),
        Verb::Explain { key } => explain_key(key.as_deref()),
        Verb::Schema => answer(&schema::text()),
        Verb::Doctor { json } => doctor::doctor(json),
        Verb::Attach(options) => attach::run(&options),
        Verb::Join {
            name,
            as_root_inside,
            command,
        } => join::join(&name, as_root_inside, &command),
        Verb::Logs { name, follow } => logs::logs(&name, follow),
        Verb::Running(verb) => running::run(verb),
        Verb::Closure(options) => closure::run(&options),
        Verb::Changes(verb) => changes::run(verb),
        Verb::Root { verb } => root::run(verb),
        Verb::Desktop { verb } => entries::run(&verb),
        Verb::Delegate { user, remove, pid } => delegate::run(Delegate {
            user: &user,
            remove,
            pid,
        }),
        Verb::Group(verb) => group::run(&verb),
        Verb::Rules(verb) => rules::run(&verb),
    };
    done.err().unwrap_or(status::OK)
}

fn read() -> Result<Control, clap::Error> {
    Control::from_arg_matches(&usage::matches(
        &mut Control::command(),
        std::env::args_os(),
    )?)
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
                    "extends": profile.extends,
                    "error": profile.error,
                })
            })
            .collect();
        format!("{:#}\n", json!(list))
    } else {
        listing(&all, inspect::paint())
    };
    answer(&text)
}

/// What a profile is mostly for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Program,
    Name,
    Part,
}

/// Who extends a profile.
fn extended_by<'a>(profile: &Brief, all: &'a [Brief]) -> Vec<&'a str> {
    all.iter()
        .filter(|other| other.extends.contains(&profile.name))
        .map(|other| other.name.as_str())
        .collect()
}

/// The profiles by their use: nothing in a profile says it, so that it is told from its programs and its heirs.
fn listing(all: &[Brief], paint: Paint) -> String {
    let use_of = |profile: &Brief| match () {
        () if !profile.programs.is_empty() => Use::Program,
        () if extended_by(profile, all).len() > 1 => Use::Part,
        () => Use::Name,
    };
    let width = all
        .iter()
        .map(|profile| profile.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (group, title) in [
        (Use::Name, "to be named: sandbox --profile NAME PROGRAM"),
        (Use::Program, "taken by their programs: sandbox PROGRAM"),
        (Use::Part, "extended by others"),
    ] {
        let mut profiles = all
            .iter()
            .filter(|&profile| use_of(profile) == group)
            .peekable();
        if profiles.peek().is_none() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&paint.strong(title));
        text.push('\n');
        for profile in profiles {
            let what = match &profile.error {
                Some(error) => format!("wrong: {error}"),
                None => profile.description.clone(),
            };
            text.push_str(&format!(
                "  {:width$}  {}\n",
                profile.name,
                escape::line(&what)
            ));
            let mut more = |label: &str, words: &str| {
                if !words.is_empty() {
                    let line = format!("{label}{}", escape::line(words));
                    text.push_str(&format!("  {:width$}  {}\n", "", paint.faint(&line)));
                }
            };
            more("programs: ", &profile.programs.join(" "));
            if !profile.source.starts_with("embedded:") {
                more("file: ", &profile.source);
            }
        }
    }
    text
}

fn show_policy(names: &[String], json: bool, all: bool) -> Result<(), i32> {
    let mut sources = SourceMap::new();
    match inspect::resolve(names, &inspect::library(), None, &mut sources) {
        Ok(resolved) => {
            inspect::tell(&resolved.warnings, &sources);
            if json {
                answer(&format!("{:#}\n", show::json(&resolved.policy, &sources)))
            } else {
                answer(&show::toml(
                    &resolved.policy,
                    &sources,
                    all,
                    inspect::paint(),
                ))
            }
        }
        Err(mut errors) => {
            // Both have names, and a sandbox is called after its program.
            if let ([name], [error]) = (names, errors.as_mut_slice())
                && sandbox::find(name).is_ok()
            {
                *error = error.clone().help(format!(
                    "a running sandbox has this name: `sandboxctl policy {name}` prints what it was started with"
                ));
            }
            inspect::tell(&errors, &sources);
            Err(status::USAGE)
        }
    }
}

/// Checks each profile by itself: its language, and whether this host can apply it.
fn check(names: &[String], json: bool, verbose: bool) -> Result<(), i32> {
    let library = inspect::library();
    let mut worst = status::OK;
    let mut reports = Vec::new();
    for name in names {
        let mut sources = SourceMap::new();
        let (verdict, found, plan) = check_one(name, &library, &mut sources);
        worst = worst.max(verdict);
        if json {
            let told = |notes: &[Note]| {
                notes
                    .iter()
                    .map(|note| steps::note_json(note, &sources))
                    .collect::<Vec<_>>()
            };
            reports.push(json!({
                "profile": name,
                "ok": verdict == status::OK,
                "diagnostics": found.iter().map(|diagnostic| diagnostic_json(diagnostic, &sources)).collect::<Vec<_>>(),
                "notes": told(&plan.notes),
                "warnings": told(&plan.warnings),
            }));
        } else {
            inspect::tell(&found, &sources);
            let verdict = match verdict {
                status::OK if !plan.warnings.is_empty() => "good; this host applies it in part",
                status::OK => "good, and this host can apply it",
                status::NO => "good, but this host cannot apply it",
                _ => "wrong",
            };
            let mut text = format!("{}: {verdict}\n", escape::line(name));
            for warning in &plan.warnings {
                let warning = steps::warning(warning, &sources).replace('\n', "\n  ");
                text.push_str(&format!("  warning: {warning}\n"));
            }
            let (notes, others) = outline::notes(&plan.notes, &sources, verbose);
            let others = (others > 0).then(|| outline::passed_over(others));
            for note in notes.into_iter().chain(others) {
                text.push_str(&format!("  note: {note}\n"));
            }
            answer(&text)?;
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

fn diagnostic_json(diagnostic: &Diagnostic, sources: &SourceMap) -> serde_json::Value {
    let place = diagnostic
        .primary
        .as_ref()
        .map(|label| sources.position(label.site));
    json!({
        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
        "message": diagnostic.message,
        "source": place.as_ref().map(|place| &place.name),
        "line": place.as_ref().map(|place| place.line),
        "column": place.as_ref().map(|place| place.column),
        "help": diagnostic.help,
    })
}

fn check_one(name: &str, library: &Library, sources: &mut SourceMap) -> (i32, Diagnostics, Plan) {
    let mut resolved = match inspect::resolve(&[name.to_owned()], library, None, sources) {
        Ok(resolved) => resolved,
        Err(errors) => return (status::USAGE, errors, Plan::default()),
    };
    let roots = match inspect::roots(&mut resolved, root::find, sources) {
        Ok(roots) => roots,
        Err(errors) => return (status::NO, errors, Plan::default()),
    };
    let mut found = resolved.warnings;
    let request = Request {
        program: "true".into(),
        name: "check".to_owned(),
        ..Request::default()
    };
    match inspect::plan(&resolved.policy, &roots, &request, None) {
        Ok((plan, _)) => {
            let risks = dbus::risks(&resolved.policy).into_iter();
            let risks = risks.chain(desktop::risks(&resolved.policy));
            found.extend(
                risks.map(|(site, text)| Diagnostic::error(text, site, "opened here").as_warning()),
            );
            (status::OK, found, plan)
        }
        Err(errors) => {
            found.extend(errors);
            (status::NO, found, Plan::default())
        }
    }
}
