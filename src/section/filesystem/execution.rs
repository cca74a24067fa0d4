//! Where nothing can be executed.

use std::path::{Path, PathBuf};

use super::draft::Line;
use super::programs::Programs;
use super::{Draft, Item, What};
use crate::report::Diagnostic;
use crate::tree::PathSet;

/// The places of a table at which nothing can be executed.
pub(super) fn shut(draft: &mut Draft, lines: &[Line], root: &Item) -> PathSet {
    let mut shut = PathSet::default();
    for (line, place) in lines.iter().zip(draft.table.keys()) {
        if !line.executes {
            shut.insert(place.clone());
        }
    }
    // What [execute] leaves is told with it.
    if !draft.programs.as_ref().is_some_and(Programs::keep_root) {
        nothing_to_execute(draft, root, &shut);
    }
    shut
}

/// Refuses a view in which no program could be run.
fn nothing_to_execute(draft: &mut Draft, root: &Item, shut: &PathSet) {
    let of_host = matches!(root.what, What::Show { .. } | What::Overlay { .. });
    let runs = |(place, item): (&PathBuf, &Item)| {
        let said = item.because.is_empty() && !item.what.closes();
        said && !matches!(item.what, What::Text(_) | What::Link(_)) && !shut.contains(place)
    };
    if !of_host || !shut.contains(Path::new("/")) || draft.table.iter().any(runs) {
        return;
    }
    let error = match root.execute {
        Some(_) => Diagnostic::error(
            "nothing could be executed: `execute = false` holds for everything",
            root.site,
            "this says it for `/`",
        )
        .help("give it back where the programs are: \"/usr\" = { access = \"read-only\", execute = true }"),
        None => Diagnostic::error(
            "nothing could be executed: `/` is writable, and `process.write-xor-execute` keeps what is writable from being executed",
            root.site,
            "this makes it writable",
        )
        .help("\"/\" = \"read-only\", and directories of it \"read-write\""),
    };
    draft.errors.push(error);
}
