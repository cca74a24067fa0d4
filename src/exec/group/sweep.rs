//! Removing what dead supervisors left.

use std::path::PathBuf;

use super::attached::{maker, remove_if_empty};
use super::directories::{kill_all, remove_tree};
use super::name::{Name, pid_namespace};
use super::{PATIENCE, is_alive};
use crate::kernel::cgroup::Directory;

/// What was swept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Groups that are gone now.
    pub removed: Vec<PathBuf>,
    /// Groups of dead supervisors that could not be removed, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Kills what is left in groups below `parents` whose supervisors are dead, and removes them. One listing of each parent
/// when there is nothing to do.
///
/// Groups that `sandboxctl attach` made are removed when nothing is in them any more, and never killed.
///
/// Groups of supervisors in other pid namespaces are left alone: from here it cannot be told whether they live.
pub fn sweep(parents: &[PathBuf]) -> Swept {
    let mut swept = Swept::default();
    let Ok(here) = pid_namespace() else {
        return swept;
    };
    for path in parents {
        let Ok(parent) = Directory::open(path) else {
            continue;
        };
        for entry in parent.children().unwrap_or_default() {
            // Processes that were put under limits while they ran are nobody's to kill.
            if let Some(maker) = maker(&entry) {
                if maker.pid_namespace == here
                    && !is_alive(maker.pid, maker.started)
                    && remove_if_empty(&parent, &entry)
                {
                    swept.removed.push(path.join(&entry));
                }
                continue;
            }
            let Some(name) = Name::parse(&entry) else {
                continue;
            };
            if name.pid_namespace != here || is_alive(name.pid, name.started) {
                continue;
            }
            let result = parent
                .child(&entry)
                .and_then(|group| kill_all(&group))
                .and_then(|()| remove_tree(&parent, &entry, PATIENCE));
            match result {
                Ok(()) => swept.removed.push(path.join(&entry)),
                Err(error) => swept.failed.push((path.join(&entry), error.to_string())),
            }
        }
    }
    swept
}
