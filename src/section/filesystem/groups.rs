//! Keeps a program that has limits from changing them: the directories of control groups are read-only in its view, unless
//! a rule names them, and where it still reaches a service manager that would change them, that is said.

use std::path::PathBuf;

use super::{Draft, Surroundings, What};
use crate::host::facts::PathKind;
use crate::profile::value::Access;
use crate::report::Site;
use crate::tree::PathSet;

const BECAUSE: &str = "the program must not change its own limits";

/// What has to be looked at.
pub fn wanted(around: &Surroundings) -> impl Iterator<Item = PathBuf> {
    around
        .groups
        .iter()
        .flat_map(|groups| groups.mounts.iter().cloned())
}

/// Makes the directories of control groups read-only. Returns what it keeps, by the path on the host.
pub fn keep(draft: &mut Draft) -> Vec<(PathBuf, Access, String, Site)> {
    let Some(groups) = &draft.around.groups else {
        return Vec::new();
    };
    let mut kept = Vec::new();
    for mount in &groups.mounts {
        if draft.known.get(mount) != Some(&PathKind::Directory) || draft.table.contains_key(mount) {
            continue;
        }
        kept.push((
            mount.clone(),
            Access::ReadOnly,
            BECAUSE.to_owned(),
            Site::DEFAULT,
        ));
        let open = draft
            .shown(mount)
            .is_some_and(|(source, access)| source == *mount && access == Access::ReadWrite);
        if open {
            let what = What::Show {
                source: mount.clone(),
                access: Access::ReadOnly,
                devices: false,
                directory: true,
            };
            draft.imply(mount.clone(), what, Site::DEFAULT, BECAUSE);
        }
    }
    kept
}

/// Says where the program can still have its limits changed; of no rule, as those of shipped profiles are passed over.
pub fn tell(draft: &mut Draft) {
    let Some(groups) = &draft.around.groups else {
        return;
    };
    let open = |mount: &&PathBuf| {
        let shown = draft.shown(mount);
        let is_there = draft.known.get(mount) == Some(&PathKind::Directory);
        is_there
            && shown
                .is_some_and(|(source, access)| source == **mount && access == Access::ReadWrite)
    };
    let inside = draft.table.iter().filter(|(_, item)| {
        matches!(&item.what, What::Show { source, access: Access::ReadWrite, .. }
            if groups.mounts.iter().any(|mount| source.starts_with(mount)))
    });
    let writable: PathSet = groups
        .mounts
        .iter()
        .filter(open)
        .chain(inside.map(|(place, _)| place))
        .cloned()
        .collect();
    let reached: Vec<PathBuf> = groups
        .sockets
        .iter()
        .filter(|socket| {
            draft
                .shown(socket)
                .is_some_and(|(source, access)| source == **socket && access != Access::Hidden)
        })
        .cloned()
        .collect();
    for place in writable {
        draft.note(
            Site::DEFAULT,
            format!(
                "the limits hold against accidents only: the program can write to `{}`",
                place.display()
            ),
        );
    }
    if let Some(socket) = reached.first() {
        draft.note(
            Site::DEFAULT,
            format!(
                "the limits hold against accidents only: the program reaches the service manager at `{}`, which changes them",
                socket.display()
            ),
        );
    }
}
