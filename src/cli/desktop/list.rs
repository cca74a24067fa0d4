//! `sandboxctl desktop list`.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Stage, fail, judged, names};
use crate::cli::answer;
use crate::desktop::apply;
use crate::desktop::manifest::Manifest;
use crate::desktop::plan::Verdict;
use crate::desktop::scan::Scan;
use crate::desktop::step::State;
use crate::report::escape;

pub(super) fn list(system: bool, as_json: bool) -> Result<(), i32> {
    let stage = Stage::set(system)?;
    let known = apply::load(&stage.scope).map_err(|why| fail(&why))?;
    let others = available(&stage, &known, &stage.scan(&known));
    let condition = |path: &str, sha256: &str| match apply::state(&stage.scope, path) {
        State::File { sha256: now, .. } if now == sha256 => "",
        State::Absent => "gone",
        _ => "changed by hand",
    };
    if as_json {
        let files: Vec<_> = known
            .files
            .iter()
            .map(|record| {
                let mut value = json!(record);
                if let Some(fields) = value.as_object_mut() {
                    let is = match condition(&record.path, &record.sha256) {
                        "" => "ours",
                        other => other,
                    };
                    fields.insert("state".to_owned(), json!(is));
                }
                value
            })
            .collect();
        let others: Vec<_> = others
            .iter()
            .map(|(program, (profile, entries))| json!({"program": program, "profile": profile, "entries": entries}))
            .collect();
        return answer(&format!(
            "{:#}\n",
            json!({"selection": known.selection, "files": files, "available": others})
        ));
    }
    let mut text = String::new();
    let width = |of: &dyn Fn(&crate::desktop::manifest::Record) -> usize| {
        known.files.iter().map(of).max().unwrap_or(0)
    };
    let (program, profile) = (
        width(&|record| record.program.chars().count()),
        width(&|record| record.profile.chars().count()),
    );
    for record in &known.files {
        let condition = match condition(&record.path, &record.sha256) {
            "" => String::new(),
            other => format!("  ({other}: see `sandboxctl desktop check`)"),
        };
        text.push_str(&format!(
            "{:program$}  {:profile$}  {:15}  {}{condition}\n",
            escape::line(&record.program),
            escape::line(&record.profile),
            record.kind.word(),
            escape::line(&record.path),
        ));
    }
    if known.files.is_empty() {
        text.push_str("no entry starts a sandbox yet\n");
    }
    text.push_str(&hint(&others));
    answer(&text)
}

/// Programs that have entries and a profile, and were not asked for: profile and entries of each.
type Available = BTreeMap<String, (String, Vec<String>)>;

pub(super) fn available(stage: &Stage, known: &Manifest, found: &Scan) -> Available {
    let mut others = Available::new();
    stage.with_world(|world| {
        for (source, verdict) in judged(&found.sources, world) {
            if let Verdict::Takes { program, profile } = verdict
                && !known
                    .selection
                    .has(&names(&source.name, &program, &profile))
            {
                let (_, entries) = others
                    .entry(program)
                    .or_insert_with(|| (profile, Vec::new()));
                entries.push(source.path.clone());
            }
        }
    });
    others
}

pub(super) fn hint(others: &Available) -> String {
    if others.is_empty() {
        return String::new();
    }
    let names: Vec<String> = others
        .keys()
        .map(|name| escape::line(name).into_owned())
        .collect();
    format!(
        "with a profile, and started without: {} (sandboxctl desktop install NAME, or --all)\n",
        names.join(", ")
    )
}
