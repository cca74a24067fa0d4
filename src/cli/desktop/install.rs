//! `sandboxctl desktop install`.

use super::follow::tell_manager;
use super::{Install, Stage, carry_out, fail, judged, manifest, names};
use crate::cli::status;
use crate::desktop::apply;
use crate::desktop::plan::{Source, Verdict, World, wish};
use crate::desktop::program::file_name;
use crate::desktop::step::{Force, steps};

pub(super) fn install(options: &Install) -> Result<(), i32> {
    let how = options.how;
    let stage = Stage::set(how.system)?;
    stage.launcher()?;
    let (mut held, mut known) = manifest(&stage.scope, how.dry_run)?;
    let found = stage.scan(&known);
    let mut unknown = false;
    stage.with_world(|world| {
        for wanted in &options.programs {
            if let Err(why) = exists(wanted, &found.sources, options.shims, world) {
                unknown = true;
                fail(&why);
            }
        }
    });
    if unknown {
        if let Some(held) = held {
            // Directories that were made for nothing.
            held.finish(&[]).map_err(|why| fail(&why))?;
        }
        return Err(status::NO);
    }
    let selection = &mut known.selection;
    if options.all {
        selection.all = true;
        selection.except.clear();
    }
    for wanted in &options.programs {
        selection.except.remove(wanted);
        selection.wanted.insert(wanted.clone());
    }
    selection.shims |= options.shims;
    selection.follow |= options.follow;
    if let Some(held) = &mut held {
        held.manifest.selection = selection.clone();
    }
    let wished = stage.with_world(|world| wish(&found.sources, &known.selection, &known, world));
    let (remarks, number) = (wished.remarks.clone(), wished.files.len());
    let state = |path: &str| apply::state(&stage.scope, path);
    let steps = steps(wished, &known, &state, Force(how.force));
    let done = carry_out(held, &steps, &remarks, how, number);
    if options.follow && !how.dry_run {
        tell_manager(how.system, true);
    }
    done
}

/// Whether a name stands for anything that can be led into a sandbox.
fn exists(wanted: &str, sources: &[Source], shims: bool, world: &World<'_>) -> Result<(), String> {
    let all = judged(sources, world);
    let is_it = |source: &Source, verdict: &Verdict| match verdict {
        Verdict::Takes { program, profile }
        | Verdict::Cannot {
            program, profile, ..
        } => names(&source.name, program, profile).contains(&wanted),
        _ => false,
    };
    if all.iter().any(|(source, verdict)| is_it(source, verdict)) {
        return Ok(());
    }
    let of_claims = || {
        let is_it = |(program, claim): &(&String, &crate::desktop::plan::Claim)| {
            *program == wanted || claim.profile == wanted
        };
        world.claims.iter().filter(is_it)
    };
    let installed = of_claims().find(|(program, _)| (world.locate)(program).is_some());
    match installed {
        Some(_) if shims => return Ok(()),
        Some((program, _)) => {
            return Err(format!(
                "no desktop entry starts `{program}`; --shims makes a command of that name"
            ));
        }
        None => {}
    }
    if of_claims().next().is_some() {
        return Err(format!("`{wanted}` is not installed"));
    }
    let entry = all
        .iter()
        .find(|(source, _)| names(&source.name, "", "").contains(&wanted));
    if let Some((source, verdict)) = entry {
        return Err(match verdict {
            Verdict::NotInstalled => format!("the program of `{}` is not installed", source.path),
            Verdict::Sandboxed => format!("`{}` leads through `sandbox` by itself", source.path),
            _ => format!(
                "no profile names the program of `{}`; `programs` in a profile does",
                source.path
            ),
        });
    }
    if (world.locate)(wanted).is_some() {
        return Err(format!(
            "no profile names `{0}`: write one with `programs = [\"{0}\"]`; `sandboxctl profiles` lists those that exist",
            file_name(wanted)
        ));
    }
    Err(format!(
        "`{wanted}` is neither a program with a profile nor the entry of one; `sandboxctl desktop list` says what there is"
    ))
}
