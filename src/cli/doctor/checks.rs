//! From what was found to answers. Pure.

mod desktop;

use crate::host::doctor::verdict::NEEDED_FOR_MOUNTS;
use crate::host::doctor::{Cause, Findings, Helper, Step, classify};
use crate::kernel::Errno;
use crate::section::landlock;
use crate::section::limits::CONTROLS;

use super::limits::Answer;
use super::{Check, Group, State};

/// Everything that is to be said, group by group.
pub(super) fn judge(found: &Findings, limits: &Answer) -> Vec<Check> {
    let mut checks = calls(found);
    checks.extend(namespaces(found));
    checks.extend(control_groups(found, limits));
    checks.extend(desktop::checks(&found.desktop));
    checks.extend(helpers(found));
    checks.extend(host(found));
    checks
}

fn check(name: &'static str, group: Group, state: State, detail: impl Into<String>) -> Check {
    Check {
        name,
        group,
        state,
        needed: false,
        detail: detail.into(),
        costs: String::new(),
        fix: Vec::new(),
    }
}

impl Check {
    fn needed(mut self) -> Self {
        self.needed = true;
        self
    }

    /// What its lack costs and what helps; nothing is said unless it is missing.
    fn costs(mut self, costs: impl Into<String>, fix: impl IntoIterator<Item = String>) -> Self {
        if self.state == State::Missing {
            self.costs = costs.into();
            self.fix.extend(fix);
        }
        self
    }
}

fn state(there: bool) -> State {
    if there { State::Ok } else { State::Missing }
}

// -------------------------------------------------------------------------------------------- kernel

fn calls(found: &Findings) -> Vec<Check> {
    let calls = &found.calls;
    let filtered = found.around.filtered;
    let call = |name, result: Result<(), Errno>, since: &str| {
        let detail = match result {
            Ok(()) => String::new(),
            Err(errno) => format!("{errno:?}: {}", errno.desc()),
        };
        let help = if filtered {
            "a seccomp filter holds this process: start `sandbox` outside of the container or sandbox, or let that allow the call".to_owned()
        } else {
            format!("use Linux {since} or later")
        };
        (
            check(name, Group::Kernel, state(result.is_ok()), detail),
            [help],
        )
    };
    let everything = "every sandbox: the launcher cannot do without it";
    let mut checks = Vec::new();
    let (clone3, help) = call("clone3", calls.clone3, "5.5");
    checks.push(clone3.costs(
        "time namespaces: the older clone does all else in its place",
        help,
    ));
    for (name, result, since) in [
        ("pidfd", calls.pidfd, "5.4"),
        ("close-range", calls.close_range, "5.11"),
    ] {
        let (check, help) = call(name, result, since);
        checks.push(check.needed().costs(everything, help));
    }
    let (openat2, help) = call("openat2", calls.openat2, "5.6");
    // The launcher has another road when the kernel says ENOSYS, and none when a filter says something else.
    checks.push(match calls.openat2 {
        Err(Errno::ENOSYS) => openat2.costs("nothing but time: paths are walked one by one", help),
        _ => openat2.needed().costs("every `[filesystem]` rule", help),
    });
    let mount_api = calls.mount_api.then_some(()).ok_or(Errno::ENOSYS);
    let (mount_api, help) = call("mount-api", mount_api, "5.12");
    checks.push(
        mount_api
            .needed()
            .costs("every `[filesystem]` and `[devices]` rule", help),
    );
    let (log, trap) = (found.seccomp.log, found.seccomp.trap);
    let answers = [
        ("errno", found.seccomp.errno),
        ("kill", found.seccomp.kill_process),
        ("log", log),
        ("trap", trap),
    ];
    let names: Vec<&str> = answers
        .iter()
        .filter_map(|(name, has)| has.then_some(*name))
        .collect();
    checks.push(
        check(
            "seccomp",
            Group::Kernel,
            state(answers.iter().all(|(_, has)| *has)),
            if names.is_empty() {
                "no filters".to_owned()
            } else {
                format!("answers: {}", names.join(", "))
            },
        )
        .needed()
        .costs(
            "`[syscalls]` rules, and those of other sections that are held by a filter",
            ["use a kernel since 4.14 with CONFIG_SECCOMP_FILTER".to_owned()],
        ),
    );
    let keyrings = calls.keyrings.then_some(()).ok_or(Errno::ENOSYS);
    let (keyrings, help) = call("keyrings", keyrings, "with CONFIG_KEYS");
    checks.push(keyrings.costs(
        "nothing: without keyrings there is nothing to keep apart",
        help,
    ));
    checks.push(check(
        "landlock",
        Group::Kernel,
        State::Info,
        second_wall(calls.landlock),
    ));
    checks
}

/// What Landlock does here.
fn second_wall(version: Result<u32, Errno>) -> String {
    let abi = match version {
        Ok(abi) => abi,
        Err(Errno::EOPNOTSUPP) => {
            return "built in, but not started: add `landlock` to lsm= on the kernel's command line; until then the mounts have no second wall".to_owned();
        }
        Err(errno) => return format!("none ({errno:?}): the mounts have no second wall"),
    };
    let lost = landlock::lost(abi);
    if abi < landlock::FILES_SINCE {
        format!("ABI {abi}: the mounts have no second wall, for which Linux 5.19 is needed")
    } else if lost.is_empty() {
        format!("ABI {abi}, the second wall behind the mounts")
    } else {
        format!(
            "ABI {abi}, the second wall behind the mounts; it does not know {}",
            lost.join(", ")
        )
    }
}

// ---------------------------------------------------------------------------------------- namespaces

/// Name, what is tried for it (all must succeed), whether nearly every profile needs it, and what it costs.
const KINDS: &[(&str, &[Step], bool, &str)] = &[
    (
        "mount-namespace",
        &[Step::Mount, Step::Private, Step::Tmpfs],
        true,
        "every `[filesystem]` and `[devices]` rule",
    ),
    (
        "pid-namespace",
        &[Step::Pid],
        true,
        "`namespaces.pid = true`",
    ),
    (
        "new-proc",
        &[Step::Proc],
        true,
        "`namespaces.pid = true` together with a /proc that shows it",
    ),
    (
        "ipc-namespace",
        &[Step::Ipc],
        true,
        "`namespaces.ipc = true`",
    ),
    (
        "uts-namespace",
        &[Step::Uts],
        true,
        "`namespaces.uts = true`, `--hostname`",
    ),
    (
        "net-namespace",
        &[Step::Net],
        true,
        "`namespaces.net = true`, `network.mode = \"none\"`",
    ),
    (
        "cgroup-namespace",
        &[Step::Cgroup],
        false,
        "`namespaces.cgroup = true`",
    ),
    (
        "time-namespace",
        &[Step::Time],
        false,
        "`namespaces.time = true`",
    ),
];

fn namespaces(found: &Findings) -> Vec<Check> {
    let privileged = found.facts.caller.is_privileged();
    let user = &found.in_user_namespace;
    let refused = |tries: &crate::host::doctor::Attempts, steps: &[Step]| {
        steps
            .iter()
            .find_map(|step| Some((*step, (*tries.get(step)?).err()?)))
    };
    let mut checks = Vec::new();
    let steps = NEEDED_FOR_MOUNTS;
    let user_check = match refused(user, &steps) {
        Some((step, errno)) => {
            let verdict = classify(step, errno, &found.around);
            check("user-namespace", Group::Namespaces, State::Missing, verdict.detail).costs(
                if privileged {
                    "`namespaces.user = true`"
                } else {
                    "every namespace, and every `[filesystem]` rule that Landlock cannot hold: an ordinary user mounts in a user namespace"
                },
                verdict.fix,
            )
        }
        None if steps.iter().all(|step| user.contains_key(step)) => check(
            "user-namespace",
            Group::Namespaces,
            State::Ok,
            "made, with mounts in it",
        ),
        None => unanswered("user-namespace"),
    };
    checks.push(Check {
        needed: !privileged,
        ..user_check
    });
    let (tries, how) = if privileged {
        (&found.directly, "")
    } else {
        (user, "in a user namespace")
    };
    for &(name, steps, needed, costs) in KINDS {
        let one = match refused(tries, steps) {
            Some((step, errno)) => {
                let verdict = classify(step, errno, &found.around);
                let mut fix = verdict.fix;
                if verdict.cause == Cause::LimitReached {
                    fix.push("or end other sandboxes".to_owned());
                }
                check(name, Group::Namespaces, State::Missing, verdict.detail).costs(costs, fix)
            }
            None if steps.iter().all(|step| tries.contains_key(step)) => {
                check(name, Group::Namespaces, State::Ok, how)
            }
            // What could not be tried is not a fault of its own: the fault before it is told.
            None if checks.iter().any(|known| known.state == State::Missing) => check(
                name,
                Group::Namespaces,
                State::Info,
                "not tried, for what it needs is missing",
            ),
            None => unanswered(name),
        };
        checks.push(Check { needed, ..one });
    }
    checks
}

fn unanswered(name: &'static str) -> Check {
    check(
        name,
        Group::Namespaces,
        State::Missing,
        "the trial did not end in time, or was killed",
    )
    .costs(
        "unknown",
        ["try again when the machine has less to do".to_owned()],
    )
}

// ---------------------------------------------------------------------------------------- limits

fn control_groups(found: &Findings, limits: &Answer) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut detail = format!("cgroup {}", limits.layout);
    if let Some(way) = &limits.way {
        detail.push_str(&format!("; limits take this way: {way}"));
    }
    checks.push(check("control-groups", Group::Limits, State::Info, detail));
    for control in CONTROLS {
        let name = match control.label() {
            "memory" => "memory-limit",
            "swap" => "swap-limit",
            "memory-soft" => "memory-soft-limit",
            "pids" => "pids-limit",
            "cpu" => "cpu-limit",
            "PATH" => "io-rates",
            label => label,
        };
        checks.push(match limits.refusal(control) {
            None => check(name, Group::Limits, State::Ok, ""),
            Some(refusal) => Check {
                costs: format!("`limits.{}`", control.label()),
                fix: refusal.help.clone(),
                ..check(name, Group::Limits, State::Missing, &*refusal.reason)
            },
        });
    }
    let pressure = if found.facts.cgroup.pressure {
        "a trigger can be set on /proc/pressure/memory"
    } else {
        "no trigger can be set on /proc/pressure/memory; soft limits need one on cgroup v2"
    };
    checks.push(check(
        "memory-pressure",
        Group::Limits,
        State::Info,
        pressure,
    ));
    checks
}

// ---------------------------------------------------------------------------------------- helpers

fn helpers(found: &Findings) -> Vec<Check> {
    let caller = &found.facts.caller;
    let mut checks: Vec<Check> = found
        .helpers
        .iter()
        .map(|one| program(found, one))
        .collect();
    let ranges = [
        ("/etc/subuid", caller.subordinate_uids),
        ("/etc/subgid", caller.subordinate_gids),
    ];
    let missing: Vec<&str> = ranges
        .iter()
        .filter_map(|(file, range)| range.is_none().then_some(*file))
        .collect();
    let one = match (missing.is_empty(), caller.uid) {
        (true, _) => {
            let list: Vec<String> = ranges
                .iter()
                .filter_map(|(file, range)| {
                    let (start, length) = (*range)?;
                    Some(format!("{file} {start}+{length}"))
                })
                .collect();
            check("subordinate-ids", Group::Helpers, State::Ok, list.join(", "))
        }
        (false, 0) => check(
            "subordinate-ids",
            Group::Helpers,
            State::Info,
            format!("no range in {}; root seldom needs one", missing.join(", ")),
        ),
        (false, _) => check(
            "subordinate-ids",
            Group::Helpers,
            State::Missing,
            format!("no range for `{}` in {}", caller.user, missing.join(", ")),
        )
        .costs(
            "`user.subordinate-ids = true` and `sandboxctl root import --ids subordinate`",
            [format!(
                "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {} (a range that nobody has yet)",
                caller.user
            )],
        ),
    };
    checks.push(one);
    checks
}

/// The program that filters message buses.
fn bus_filter(found: &Findings) -> Check {
    let costs = "`dbus.session = \"filtered\"`, and names on a bus";
    let name = "xdg-dbus-proxy";
    let Some(proxy) = &found.facts.dbus.proxy else {
        return check(name, Group::Helpers, State::Missing, "not installed")
            .costs(costs, ["install the package xdg-dbus-proxy".to_owned()]);
    };
    let version = proxy.version.as_ref();
    let version = version.map_or_else(String::new, |version| format!(" {version}"));
    let place = format!("{}{version}", proxy.path.display());
    if proxy.holes.is_empty() {
        return check(name, Group::Helpers, State::Ok, place);
    }
    let holes: Vec<&str> = proxy.holes.iter().map(|hole| hole.name).collect();
    let lets: Vec<&str> = proxy.holes.iter().map(|hole| hole.lets).collect();
    check(
        name,
        Group::Helpers,
        State::Missing,
        format!(
            "{place} is older than the version that closes {}, and no changelog of a package says that it is closed",
            holes.join(" and ")
        ),
    )
    .costs(
        format!("what `[dbus]` promises: a program can {}", lets.join(", and ")),
        ["install xdg-dbus-proxy 0.1.8 or later, or your distribution's security update".to_owned()],
    )
}

fn program(found: &Findings, helper: &Helper) -> Check {
    let place = helper.path.as_ref().map(|path| path.display().to_string());
    if helper.name == "xdg-dbus-proxy" {
        return bus_filter(found);
    }
    let maps_ids = matches!(helper.name, "newuidmap" | "newgidmap");
    if !maps_ids {
        let there = place.unwrap_or_else(|| "not installed".to_owned());
        return check(
            helper.name,
            Group::Helpers,
            State::Info,
            format!("{there}; not used by this version"),
        );
    }
    let costs = "`user.subordinate-ids = true` and `sandboxctl root import --ids subordinate`";
    let root = found.facts.caller.uid == 0;
    if found.no_new_privileges || found.nested {
        let why = if found.no_new_privileges {
            "set-user-ID programs give nothing to this process (no_new_privs)"
        } else {
            "we are in a user namespace already"
        };
        return check(
            helper.name,
            Group::Helpers,
            State::Missing,
            format!("of no use here: {why}"),
        )
        .costs(costs, ["start `sandbox` outside of it".to_owned()]);
    }
    match place {
        Some(place) if helper.privileged || root => {
            check(helper.name, Group::Helpers, State::Ok, place)
        }
        Some(place) => {
            let fix = format!("as root: chmod u+s {place}");
            check(
                helper.name,
                Group::Helpers,
                State::Missing,
                format!("{place} is neither set-user-ID root nor has file capabilities"),
            )
            .costs(costs, [fix])
        }
        None => check(
            helper.name,
            Group::Helpers,
            if root { State::Info } else { State::Missing },
            "not installed",
        )
        .costs(
            costs,
            ["install it: Debian and Ubuntu have it in `uidmap`, Fedora in `shadow-utils`, Arch in `shadow`".to_owned()],
        ),
    }
}

// ---------------------------------------------------------------------------------------- host

fn host(found: &Findings) -> Vec<Check> {
    let info = |name, detail: String| check(name, Group::Host, State::Info, detail);
    let modules = &found.around.modules;
    let cgroup = &found.facts.cgroup;
    let mut checks = vec![info(
        "security-modules",
        if modules.is_empty() {
            "cannot be told: securityfs is not mounted".to_owned()
        } else {
            modules.join(", ")
        },
    )];
    checks.push(info(
        "service-manager",
        match &cgroup.manager {
            Some(manager) => {
                let whose = if manager.system {
                    "the system's"
                } else {
                    "the user's"
                };
                format!("{whose}, at {}", manager.bus.display())
            }
            None => format!("none: {}", cgroup.no_manager),
        },
    ));
    checks.push(info(
        "terminal-injection",
        match found.tiocsti.as_deref() {
            Some("0") => "ioctl TIOCSTI is off (dev.tty.legacy_tiocsti is 0)".to_owned(),
            Some(_) => "ioctl TIOCSTI is on (dev.tty.legacy_tiocsti is 1): a program on your terminal can type into it; `process.terminal` keeps it away".to_owned(),
            None => "ioctl TIOCSTI is on (this kernel cannot switch it off): a program on your terminal can type into it; `process.terminal` keeps it away".to_owned(),
        },
    ));
    checks.push(info(
        "ptrace-scope",
        match found.ptrace_scope.as_deref() {
            Some("0") | None => {
                "programs of one user may trace each other (no kernel.yama.ptrace_scope, or 0)"
                    .to_owned()
            }
            Some(scope) => format!("kernel.yama.ptrace_scope is {scope}"),
        },
    ));
    checks.push(info(
        "core-dumps",
        match found.core_pattern.as_deref() {
            Some(pattern) if pattern.starts_with('|') => {
                format!("go to a program outside of the sandbox: {pattern}; `limits.core-size = 0` keeps them away")
            }
            Some(pattern) => format!("go to a file: {pattern}"),
            None => "cannot be told".to_owned(),
        },
    ));
    checks
}

#[cfg(test)]
#[path = "tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
