//! `sandboxctl closure`: what a program needs to start.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::json;

use super::{answer, complain, status};
use crate::closure::walk::{Request, closure};
use crate::closure::{Closure, Part, text};
use crate::report::escape;

/// The options of the verb.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Options {
    /// Programs, by path, or by a name that is looked for in the PATH
    #[arg(value_name = "PROGRAM", required = true, value_hint = ValueHint::CommandName)]
    programs: Vec<PathBuf>,
    /// Print a profile in which these paths, read-only, are all that there is
    #[arg(long)]
    profile: bool,
    /// Print JSON: for each path why it is needed, by whom, and the links on the way
    #[arg(long, conflicts_with = "profile")]
    json: bool,
    /// Only what the files themselves name, without what is known of programs such as Python
    #[arg(long)]
    only_needed: bool,
}

/// Carries it out.
///
/// # Errors
/// The exit status: 2 for a program that is not there or can be run by nobody, 1 when something that it needs is missing.
pub fn run(options: &Options) -> Result<(), i32> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let request = Request {
        programs: options.programs.clone(),
        path: std::env::split_paths(&path).collect(),
        only_needed: options.only_needed,
    };
    let found = closure(&request).map_err(|why| {
        complain(&format!("sandboxctl: {}\n", escape::line(&why)));
        status::USAGE
    })?;
    if options.json {
        answer(&in_json(&found))?;
    } else if options.profile {
        answer(&text::profile(&found, &options.programs))?;
    } else {
        let lines: Vec<String> = found
            .paths()
            .iter()
            .map(|path| format!("{}\n", escape::os(path.as_os_str())))
            .collect();
        answer(&lines.concat())?;
        for note in &found.notes {
            complain(&format!("note: {}\n", escape::line(note)));
        }
        let optional = found.members.values();
        let optional = optional.filter(|one| one.part == Part::Optional).count();
        if optional > 0 {
            complain(&format!(
                "note: {optional} more paths are opened where they are there (languages, names of users and hosts, …): --profile and --json tell them\n"
            ));
        }
    }
    for line in &found.missing {
        complain(&format!("missing: {}\n", escape::line(line)));
    }
    if found.missing.is_empty() {
        Ok(())
    } else {
        Err(status::NO)
    }
}

fn in_json(found: &Closure) -> String {
    let members: Vec<_> = found
        .members
        .iter()
        .map(|(path, member)| {
            let links: Vec<_> = member
                .links
                .iter()
                .map(|(at, says)| json!({ "path": at.to_string_lossy(), "target": says.to_string_lossy() }))
                .collect();
            json!({
                "path": path.to_string_lossy(),
                "part": member.part.word(),
                "because": member.because,
                "real": member.real.to_string_lossy(),
                "links": links,
                "executed": member.executed,
            })
        })
        .collect();
    let all = json!({
        "complete": found.missing.is_empty(),
        "members": members,
        "missing": found.missing,
        "notes": found.notes,
    });
    format!("{all:#}\n")
}
