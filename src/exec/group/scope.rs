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

use super::name::Supervisor;
use super::{GroupError, enable_controllers};
use crate::host::cgroup::{directory, memberships, mounts};
use crate::kernel::cgroup::Directory;
use crate::kernel::process::random_hex;
use crate::kernel::systemd::{Keeper, ScopeRequest, start_scope};
use crate::section::limits::GroupPlan;

const KEEP: &str = "keep";

/// A scope, and the process that keeps it.
#[derive(Debug)]
pub(super) struct Scope {
    request: ScopeRequest,
    controllers: BTreeSet<String>,
    supervisor: Supervisor,
    keeper: Option<Keeper>,
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
                    escape(&plan.name),
                    supervisor.pid
                ),
                slice: slice.to_owned(),
                description: format!("sandbox {}", plan.name),
                pids: Vec::new(),
            },
            controllers: plan.controllers.clone(),
            keeper: None,
        })
    }

    pub fn unit(&self) -> &str {
        &self.request.unit
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
        self.request.pids = [pid, keeping]
            .into_iter()
            .filter_map(|pid| u32::try_from(pid).ok())
            .collect();
        start_scope(&self.request).map_err(|why| {
            GroupError::general(format!(
                "systemd does not make the scope `{}`: {why}",
                self.request.unit
            ))
        })?;
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
        directory.enter(pid)?;
        let available = scope.read("cgroup.controllers")?;
        let available: BTreeSet<&str> = available.split_whitespace().collect();
        if let Some(missing) = self
            .controllers
            .iter()
            .find(|name| !available.contains(name.as_str()))
        {
            return Err(GroupError::general(format!(
                "systemd gave the scope `{}` no controller `{missing}`",
                self.request.unit
            )));
        }
        // Those that hold no limit count.
        let mut controllers = self.controllers.clone();
        controllers.extend(
            ["memory", "pids"]
                .into_iter()
                .filter(|name| available.contains(name))
                .map(str::to_owned),
        );
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
