//! A group in a delegated scope of systemd.
//!
//! A scope vanishes with its last process, and its counters with it. So a process of ours, which does nothing, keeps the
//! scope: in a group of its own (`keep`) beside the program's (`box-…`), where it is neither counted nor limited. The
//! limits are those of `box-…`; what an administrator sets for the scope itself holds beside them.
//!
//! When the supervisor is killed, the process that keeps the scope ends, and so does the program, unless its profile lets
//! it live on; then the scope ends with it, or at the next launch: who the supervisor was stands in the scope's name and,
//! exactly, in that of the inner group.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::name::Supervisor;
use super::{GroupError, enable_controllers};
use crate::host::cgroup::{directory, memberships, mounts};
use crate::kernel::cgroup::Directory;
use crate::kernel::process::{self, random_hex};
use crate::kernel::systemd::{Keeper, ScopeRequest, add_to_unit, start_scope};
use crate::section::limits::GroupPlan;

/// The group in a scope of processes that ran already.
pub(super) const BOX: &str = "box";
/// The group of what keeps the scope.
pub(super) const KEEP: &str = "keep";

/// A scope, and the process that keeps it.
#[derive(Debug)]
pub(super) struct Scope {
    request: ScopeRequest,
    controllers: BTreeSet<String>,
    supervisor: Supervisor,
    keeper: Option<Keeper>,
    keep: Option<Directory>,
}

/// The program's group in a scope that runs.
pub(super) struct Parts {
    pub parent: Directory,
    pub name: String,
    pub directory: Directory,
    pub controllers: BTreeSet<String>,
}

impl Scope {
    pub fn new(plan: &GroupPlan, bus: &Path, slice: &str) -> Result<Self, GroupError> {
        let random = random_hex()
            .map_err(|error| GroupError::general(format!("cannot get random bytes: {error}")))?;
        let supervisor = Supervisor::own()?;
        Ok(Self {
            supervisor,
            request: ScopeRequest {
                bus: bus.to_owned(),
                unit: format!(
                    "app-sandbox-{}-{}x{random}.scope",
                    called(plan),
                    supervisor.pid
                ),
                slice: slice.to_owned(),
                description: format!("sandbox {}", plan.name),
                pids: Vec::new(),
            },
            controllers: plan.controllers.clone(),
            keeper: None,
            keep: None,
        })
    }

    pub fn unit(&self) -> &str {
        &self.request.unit
    }

    /// Puts a process into that group. From a login session only the service manager may: what moves leaves a part of the
    /// tree that is not the user's.
    pub fn take_in(&self, pid: i32) -> Result<(), GroupError> {
        match self.keep.as_ref().map(|keep| keep.enter(pid)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => self.add(KEEP, &[pid]),
        }
    }

    /// The group beside the program's, once the scope runs.
    pub fn home(&self) -> Option<&Directory> {
        self.keep.as_ref()
    }

    /// Has systemd move the process into a new scope, and makes the groups in it.
    pub fn start(&mut self, pid: i32) -> Result<Parts, GroupError> {
        let keeper = Keeper::start().map_err(|error| {
            GroupError::general(format!(
                "cannot start a process that keeps the scope: {error}"
            ))
        })?;
        let keeper = self.keeper.insert(keeper);
        let keeping = keeper.pid();
        self.request.pids = vec![pid, keeping];
        start_scope(&self.request).map_err(|why| self.not_made(&why))?;
        let path = self.located(pid)?;
        if self.located(keeping)? != path {
            return Err(GroupError::general(
                "systemd put two processes of one scope into different groups",
            ));
        }
        let scope = Directory::open(&path)?;
        let keep = scope.make(KEEP)?;
        let name = self.supervisor.inner();
        let directory = scope.make(&name)?;
        keep.enter(keeping)?;
        self.keep = Some(keep);
        directory.enter(pid)?;
        let controllers = self.enabled(&self.available(&scope)?);
        enable_controllers(&scope, &controllers)?;
        Ok(Parts {
            parent: scope,
            name,
            directory,
            controllers,
        })
    }

    /// The directory of the scope that a process is in; an error when that is another group.
    fn located(&self, pid: i32) -> Result<PathBuf, GroupError> {
        let say = |what: String| {
            GroupError::general(format!(
                "{what}, after systemd reported the scope as started"
            ))
        };
        let read = |path: &str| {
            std::fs::read(path).map_err(|error| say(format!("cannot read `{path}`: {error}")))
        };
        let text = read(&format!("/proc/{pid}/cgroup"))?;
        let group = memberships(&text)
            .into_iter()
            .find(|line| line.controllers.is_empty() && !line.named)
            .map(|line| line.group)
            .unwrap_or_default();
        if group
            .file_name()
            .is_none_or(|name| name != self.request.unit.as_str())
        {
            return Err(say(format!(
                "process {pid} is in the group {}",
                group.display()
            )));
        }
        mounts(&read("/proc/self/mountinfo")?)
            .iter()
            .filter(|mount| mount.version == 2)
            .find_map(|mount| directory(mount, &group))
            .ok_or_else(|| say(format!("the group {} is not mounted here", group.display())))
    }
}

/// Which process made a scope, by its name (`app-sandbox-ID-PIDxRANDOM.scope`); none for what is no scope of ours. After
/// the last `-` only letters and digits may stand, for portals to know the application.
pub(super) fn maker(unit: &str) -> Option<i32> {
    let name = unit.strip_prefix("app-sandbox-")?.strip_suffix(".scope")?;
    let (pid, random) = name.rsplit_once('-')?.1.split_once('x')?;
    let is_ours = !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number: i32 = pid.parse().ok()?;
    (is_ours && number > 1 && number.to_string() == pid).then_some(number)
}

/// The unit's name in a group's path, if it is one of a scope of ours for processes that ran already.
pub(super) fn is_attached(name: &str) -> bool {
    name.starts_with(ATTACHED) && name.ends_with(".scope")
}

/// The same of a scope for a program that was started.
pub(super) fn is_sandbox(name: &str) -> bool {
    name.starts_with("app-sandbox-") && name.ends_with(".scope")
}

/// How units for processes that ran already begin.
const ATTACHED: &str = "app-sandboxattach-";

/// How often what has just moved is moved on: what it forks before is left behind in the group of its birth.
const ROUNDS: u32 = 100;

impl Scope {
    /// A scope for processes that run already: nobody reports on it, so that no process keeps it, and it vanishes with the
    /// last of them.
    pub fn of_running(plan: &GroupPlan, bus: &Path, slice: &str) -> Result<Self, GroupError> {
        let mut scope = Self::new(plan, bus, slice)?;
        scope.request.unit = scope.request.unit.replacen("app-sandbox-", ATTACHED, 1);
        scope.request.description = format!("limits of {} on running processes", plan.name);
        Ok(scope)
    }

    /// Has systemd move running processes into a new scope, and moves them on into the group that is limited. They may go
    /// on forking meanwhile.
    pub fn take(&mut self, pids: &[i32]) -> Result<Parts, GroupError> {
        let mut pids = pids.to_vec();
        let mut tries = 0;
        loop {
            self.request.pids = pids.clone();
            let Err(why) = start_scope(&self.request) else {
                break;
            };
            // systemd takes all or none, and one of many that fork has ended meanwhile.
            let before = pids.len();
            pids.retain(|pid| process::exists(*pid));
            tries += 1;
            if pids.is_empty() || (pids.len() == before && tries > 3) || tries > ROUNDS {
                return Err(self.not_made(&why));
            }
        }
        let located = pids.iter().map(|pid| self.located(*pid));
        // Any that has not ended shows where the scope is.
        let path = located
            .reduce(|found, other| found.or(other))
            .ok_or_else(|| GroupError::general("there is no process to be limited"))??;
        let scope = Directory::open(&path)?;
        let directory = scope.make(BOX)?;
        let available = self.available(&scope)?;
        let controllers = self.enabled(&available);
        let mut rounds = 0;
        loop {
            for pid in scope.processes()? {
                match directory.enter(pid) {
                    Err(error) if error.errno == Errno::ESRCH => {}
                    other => other?,
                }
            }
            match enable_controllers(&scope, &controllers) {
                // One was born in the scope meanwhile.
                Err(_) if rounds < ROUNDS && !scope.processes()?.is_empty() => rounds += 1,
                other => break other?,
            }
        }
        Ok(Parts {
            parent: scope,
            name: BOX.to_owned(),
            directory,
            controllers,
        })
    }

    /// Moves further processes into a group of the scope that runs.
    pub fn add(&self, group: &str, pids: &[i32]) -> Result<(), GroupError> {
        let (bus, unit) = (&self.request.bus, &self.request.unit);
        add_to_unit(bus, unit, group, pids).map_err(|why| {
            GroupError::general(format!(
                "systemd does not move processes into `{unit}`: {why}"
            ))
        })
    }

    fn not_made(&self, why: &str) -> GroupError {
        GroupError::general(format!(
            "systemd does not make the scope `{}`: {why}",
            self.request.unit
        ))
    }

    /// The controllers that systemd gave the scope, all that are needed among them.
    fn available(&self, scope: &Directory) -> Result<BTreeSet<String>, GroupError> {
        let text = scope.read("cgroup.controllers")?;
        let available: BTreeSet<String> = text.split_whitespace().map(str::to_owned).collect();
        match self.controllers.difference(&available).next() {
            None => Ok(available),
            Some(missing) => Err(GroupError::general(format!(
                "systemd gave the scope `{}` no controller `{missing}`",
                self.request.unit
            ))),
        }
    }

    /// Those that hold a limit, and those that count.
    fn enabled(&self, available: &BTreeSet<String>) -> BTreeSet<String> {
        let counting = ["memory", "pids"].map(str::to_owned);
        let counting = counting.into_iter().filter(|name| available.contains(name));
        self.controllers.iter().cloned().chain(counting).collect()
    }
}

/// The part of a scope's name that says which application it is. Portals and desktops look for a desktop entry called so.
fn called(plan: &GroupPlan) -> String {
    // A unit's name has at most 255 bytes.
    const LONGEST: usize = 160;
    let entry = plan.application.as_deref().map(escape);
    entry
        .filter(|name| !name.is_empty() && name.len() <= LONGEST)
        .unwrap_or_else(|| escape(&plan.name))
}

/// A part of a unit's name: `-` separates parts, and what systemd has no letter for is written as `\xNN`
/// (systemd-escape(1)).
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if at == 0 => escaped.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{escape, maker};

    #[test]
    fn names_are_escaped_as_systemd_does() {
        assert_eq!(escape("org.notify-rust.x"), r"org.notify\x2drust.x");
        assert_eq!(escape("../a b"), r"\x2e.\x2fa\x20b");
    }

    #[test]
    fn the_name_of_a_scope_says_who_made_it() {
        assert_eq!(maker(r"app-sandbox-a\x2db-77x0af.scope"), Some(77));
        for other in [
            "app-sandbox-a-0af.scope",
            "app-sandbox-a-77x.scope",
            "app-sandbox-a-077x1.scope",
            "app-sandbox-a-77x1.service",
            "app-sandbox-a-1x1.scope",
            "app-sandbox-a-+5x1.scope",
            "app-other-a-77x1.scope",
            "app-sandbox-77xzz.scope",
        ] {
            assert_eq!(maker(other), None, "{other}");
        }
    }
}
