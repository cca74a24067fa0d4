//! The launcher's side of changes that are kept: the store is opened once the run has its name, and looked at in the end.

use std::path::PathBuf;

use crate::changes::store::Store;
use crate::changes::{apply, walk};
use crate::host;
use crate::plan::step::{Overlay, Root, Upper};
use crate::plan::{Action, Plan};
use crate::report::escape;

use super::complain;

/// Where all stores are.
///
/// # Errors
/// The caller has no home directory.
pub(super) fn place() -> Result<PathBuf, String> {
    let data = host::data().map_err(|error| error.message)?;
    // The way there may lead through links, which are the caller's or the administrator's.
    Ok(data.canonicalize().unwrap_or(data).join("changes"))
}

/// Opens the store for a run of that name, and puts it into the plan; none when the plan keeps nothing.
///
/// # Errors
/// It cannot be had, in words.
pub(super) fn open(plan: &mut Plan, name: &str, quiet: bool) -> Result<Option<Store>, String> {
    let overlays = plan
        .steps
        .iter_mut()
        .filter_map(|step| match &mut step.action {
            Action::MountOverlay { overlay, .. }
            | Action::NewRoot {
                from: Root::Overlay(overlay),
                ..
            } => Some(overlay),
            _ => None,
        });
    let kept: Vec<&mut Overlay> = overlays
        .filter(|overlay| matches!(overlay.upper, Upper::Kept(_)))
        .collect();
    if kept.is_empty() {
        return Ok(None);
    }
    let place = place()?;
    let store = Store::make(&place, name)?;
    let before = count(&store).unwrap_or(0);
    if before > 0 && !quiet {
        complain(&format!(
            "sandbox: goes on with the {before} changes that are kept as `{name}` already (sandboxctl discard {name} throws them away)\n"
        ));
    }
    match fill(&store, kept) {
        Ok(()) => Ok(Some(store)),
        Err(why) => {
            // What was made for nothing goes again.
            let _ = apply::tidy(store);
            Err(why)
        }
    }
}

fn fill(store: &Store, kept: Vec<&mut Overlay>) -> Result<(), String> {
    // As it is mounted, no link is followed.
    let path = store.path().canonicalize();
    let path = path.map_err(|error| format!("`{}`: {error}", store.path().display()))?;
    for overlay in kept {
        if let (Upper::Kept(area), Some(lower)) = (&overlay.upper, overlay.lower.first()) {
            store.make_area(area, lower)?;
            overlay.upper = Upper::Directory(path.join(area));
        }
    }
    Ok(())
}

fn count(store: &Store) -> Result<usize, String> {
    let areas = store.areas()?;
    areas
        .iter()
        .map(|area| walk::changes(area).map(|changes| changes.len()))
        .sum()
}

/// What is to be said of what is kept; a store in which nothing is kept is removed.
pub(super) fn close(store: Store) -> Option<String> {
    let name = store.name.clone();
    let text = match count(&store) {
        Ok(0) => apply::tidy(store).err()?,
        Ok(1) => format!("kept 1 change: sandboxctl diff {name}"),
        Ok(number) => format!("kept {number} changes: sandboxctl diff {name}"),
        Err(why) => format!("changes are kept: sandboxctl diff {name} ({why})"),
    };
    Some(format!("sandbox: {}\n", escape::line(&text)))
}
