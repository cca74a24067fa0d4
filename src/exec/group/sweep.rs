//! Removing what dead supervisors left.
//!
//! It costs one listing of each directory, whatever number of sandboxes run: whether a process number is in use is asked
//! for each of them, which is next to nothing; whether the process is still the same one, for a few.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::PATIENCE;
use super::directories::{kill_all, remove_tree};
use super::name::{Name, Supervisor, pid_namespace};
use super::scope;
use crate::kernel::cgroup::Directory;
use crate::kernel::process;

/// So many supervisors are looked at closely.
const CLOSELY: usize = 8;

/// What was swept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Groups that are gone now.
    pub removed: Vec<PathBuf>,
    /// Groups of dead supervisors that could not be removed, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Who is known to live or to be dead.
struct Living {
    here: u64,
    known: BTreeMap<Supervisor, bool>,
    /// So many may still be looked at closely.
    left: usize,
    /// Of those that seem to live, the first few are passed over: others in each run.
    skip: usize,
}

impl Living {
    fn new() -> Option<Self> {
        Some(Self {
            here: pid_namespace().ok()?,
            known: BTreeMap::new(),
            left: CLOSELY,
            skip: 0,
        })
    }

    /// Chooses whom to look at closely among so many.
    fn among(&mut self, count: usize) {
        let turn = usize::try_from(std::process::id()).unwrap_or(0);
        self.left = CLOSELY;
        self.skip = match count.checked_sub(CLOSELY) {
            None | Some(0) => 0,
            Some(most) => turn % (most + 1),
        };
    }

    /// Of supervisors in other pid namespaces it cannot be told from here: they count as living. A process number that is
    /// in use again is found out in one of the next runs.
    fn is_dead(&mut self, who: Supervisor) -> bool {
        if who.pid_namespace != self.here {
            return false;
        }
        if let Some(dead) = self.known.get(&who) {
            return *dead;
        }
        let dead = if !process::exists(who.pid) {
            true
        } else if self.skip > 0 {
            self.skip -= 1;
            false
        } else if self.left > 0 {
            self.left -= 1;
            !is_alive(who.pid, who.started)
        } else {
            false
        };
        self.known.insert(who, dead);
        dead
    }
}

/// Start times differ between processes that had the same number, so that both together name one.
fn is_alive(pid: i32, started: u64) -> bool {
    match process::start_time(pid) {
        Ok(time) => time == started,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Kills what is left in groups below `parents` whose supervisors are dead, and removes them. One listing of each parent
/// when there is nothing to do.
///
/// Groups of supervisors in other pid namespaces are left alone: from here it cannot be told whether they live. Names can
/// be forged only by who may make groups there, and what is killed then are processes that were put there.
pub fn sweep<'p>(parents: impl IntoIterator<Item = &'p Path>) -> Swept {
    let mut swept = Swept::default();
    let Some(mut living) = Living::new() else {
        return swept;
    };
    for path in parents {
        let Ok(parent) = Directory::open(path) else {
            continue;
        };
        let names: Vec<Name> = parent
            .children()
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| Name::parse(entry))
            .collect();
        if living.known.is_empty() {
            living.among(names.len());
        }
        for name in names {
            if !living.is_dead(name.supervisor) {
                continue;
            }
            let entry = name.to_string();
            let result = match parent.child(&entry) {
                Ok(group) => kill_all(&group).and_then(|()| remove_tree(&parent, &entry, PATIENCE)),
                // Another launch was quicker.
                Err(error) if error.errno == nix::errno::Errno::ENOENT => continue,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => swept.removed.push(path.join(&entry)),
                Err(error) => swept.failed.push((path.join(&entry), error.to_string())),
            }
        }
    }
    swept
}

/// Kills what is left in scopes of dead supervisors in a slice; systemd removes them then.
pub fn sweep_scopes(slice: &Path) -> Swept {
    let mut swept = Swept::default();
    let (Some(mut living), Ok(parent)) = (Living::new(), Directory::open(slice)) else {
        return swept;
    };
    let names: Vec<(String, i32)> = parent
        .children()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| {
            let pid = scope::maker(&entry)?;
            Some((entry, pid))
        })
        .collect();
    living.among(names.len());
    for (name, pid) in names {
        // The name tells whom to ask for; the group inside, which nobody but its owner makes, who it was exactly.
        if process::exists(pid) {
            if living.skip > 0 {
                living.skip -= 1;
                continue;
            }
            if living.left == 0 {
                continue;
            }
        }
        let Ok(group) = parent.child(&name) else {
            continue;
        };
        let inner = group.children().unwrap_or_default();
        let supervisors = inner.iter().filter_map(|name| Supervisor::of_inner(name));
        let mut supervisors = supervisors.filter(|who| who.pid == pid);
        if !supervisors.next().is_some_and(|who| living.is_dead(who)) {
            continue;
        }
        match kill_all(&group) {
            Ok(()) => swept.removed.push(slice.join(&name)),
            Err(error) => swept.failed.push((slice.join(&name), error.to_string())),
        }
    }
    swept
}
