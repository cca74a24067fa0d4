//! `sandboxctl desktop remove`.

use super::follow::tell_manager;
use super::{Remove, Stage, carry_out, fail, is_called, manifest, names};
use crate::cli::status;
use crate::desktop::apply;
use crate::desktop::manifest::{Kind, Record, Selection};
use crate::desktop::step::{Force, Step, away};

pub(super) fn remove(options: &Remove) -> Result<(), i32> {
    let how = options.how;
    let stage = Stage::set(how.system)?;
    let (mut held, mut known) = manifest(&stage.scope, how.dry_run)?;
    let mut unknown = false;
    for wanted in &options.programs {
        let ours = known.files.iter().any(|record| is_called(record, wanted));
        if !ours && !known.selection.wanted.contains(wanted) {
            unknown = true;
            fail(&format!(
                "nothing was installed for `{wanted}`; `sandboxctl desktop list` says what was"
            ));
        }
    }
    if unknown {
        if let Some(held) = held {
            held.finish(&[]).map_err(|why| fail(&why))?;
        }
        return Err(status::NO);
    }
    let mut leaving: Vec<Record> = known
        .files
        .iter()
        .filter(|record| {
            options.all
                || options
                    .programs
                    .iter()
                    .any(|wanted| is_called(record, wanted))
        })
        .cloned()
        .collect();
    if options.all {
        known.selection = Selection::default();
    }
    for wanted in &options.programs {
        known.selection.wanted.remove(wanted);
    }
    for record in &leaving {
        // Selected by another name, or as one of all.
        if known
            .selection
            .has(&names(&record.name, &record.program, &record.profile))
        {
            let said = options
                .programs
                .iter()
                .filter(|wanted| is_called(record, wanted));
            known.selection.except.extend(said.cloned());
        }
    }
    if known.selection.is_empty() {
        known.selection = Selection::default();
        // With nothing to be refreshed.
        let units = known
            .files
            .iter()
            .filter(|record| record.kind == Kind::Unit);
        let others = units
            .filter(|record| !leaving.contains(record))
            .cloned()
            .collect::<Vec<_>>();
        leaving.extend(others);
    }
    if let Some(held) = &mut held {
        held.manifest.selection = known.selection.clone();
    }
    let state = |path: &str| apply::state(&stage.scope, path);
    let steps: Vec<Step> = leaving
        .iter()
        .map(|record| away(record, &state, Force(how.force), "as asked"))
        .collect();
    let done = carry_out(held, &steps, &[], how, known.files.len() - leaving.len());
    if leaving.iter().any(|record| record.kind == Kind::Unit) && !how.dry_run {
        tell_manager(how.system, false);
    }
    done
}
