//! The words for each step of a plan, and the plan for programs; `outline` has it for people.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::companion;
use super::step::{IdRange, NamespaceKind, Overlay, Root, Upper};
use super::{Action, Note, Phase, Plan, Step};
use crate::profile::value::{Access, Create, exact_bytes};
use crate::report::{Site, SourceMap, escape};
use crate::section::{capabilities, rlimits};

fn path(path: &Path) -> String {
    escape::os(path.as_os_str())
}

fn layers(overlay: &Overlay) -> String {
    let lower: Vec<String> = overlay.lower.iter().map(|at| path(at)).collect();
    let changes = match &overlay.upper {
        Upper::Memory { size: None } => "thrown away".to_owned(),
        Upper::Memory { size: Some(size) } => {
            format!("of up to {} thrown away", exact_bytes(*size))
        }
        Upper::Directory(directory) => format!("kept in {}", path(directory)),
        Upper::Kept(_) => "kept apart until they are reviewed".to_owned(),
    };
    format!(
        "{}, unchanged itself, changes {changes}",
        lower.join(" over ")
    )
}

fn ranges(ranges: &[IdRange]) -> String {
    let words: Vec<String> = ranges
        .iter()
        .map(|range| match range.length {
            1 => format!("{} is {}", range.inside, range.outside),
            length => format!(
                "{}-{} are {}-{}",
                range.inside,
                u64::from(range.inside) + u64::from(length) - 1,
                range.outside,
                u64::from(range.outside) + u64::from(length) - 1
            ),
        })
        .collect();
    words.join(", ")
}

impl Phase {
    /// One word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Clone => "clone",
            Self::Beside => "beside",
            Self::Child => "inside",
            Self::Program => "program",
        }
    }
}

impl Action {
    /// What it does, in a line; lines for control groups.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::OwnDirectory { path: at } => {
                format!("make the directory {} if it is missing", path(at))
            }
            Self::RunDirectory => {
                format!("make a directory for this run alone, {}", companion::SHOWN)
            }
            Self::StartCompanion(companion) => {
                let mut line = path(&companion.program);
                for word in &companion.arguments {
                    line.push(' ');
                    line.push_str(&escape::os(&word.shown()));
                }
                let known = companion.identity.as_ref();
                let known = known.map(|identity| format!(", known to portals as {}", identity.app));
                format!(
                    "start the {}{}: {line}",
                    escape::line(&companion.name),
                    escape::line(&known.unwrap_or_default())
                )
            }
            Self::Cookie { name, copy } => {
                let from = match copy {
                    Some((theirs, number)) => {
                        format!("the cookie for display {number} of {}", path(theirs))
                    }
                    None => "a new cookie".to_owned(),
                };
                format!("write {from} to {}/{}", companion::SHOWN, escape::os(name))
            }
            Self::WaylandContext {
                compositor, name, ..
            } => format!(
                "make {}/{}, and tell the Wayland compositor at {} that it belongs to a sandbox",
                companion::SHOWN,
                escape::os(name),
                path(compositor)
            ),
            Self::DesktopEntry { path: at, .. } => {
                format!("write the desktop entry {}, seen in no menu", path(at))
            }
            Self::MountMade {
                name,
                target,
                access,
            } => format!(
                "show {}/{} at {}, {}",
                companion::SHOWN,
                escape::os(name),
                path(target),
                access.word()
            ),
            Self::Create { path: at, what } => {
                let what = match what {
                    Create::Directory => "directory",
                    Create::File => "file",
                };
                format!("make the {what} {} if it is missing", path(at))
            }
            Self::Clone { namespaces } if namespaces.is_empty() => {
                "make a process in the caller's namespaces".to_owned()
            }
            Self::Clone { namespaces } => {
                let names: Vec<_> = namespaces.iter().map(|kind| kind.name()).collect();
                format!("make a process in new namespaces: {}", names.join(" "))
            }
            Self::MapIds {
                uids,
                gids,
                helpers,
                ..
            } => format!(
                "map ids{}: user {}; group {}",
                if helpers.is_some() {
                    " with newuidmap and newgidmap"
                } else {
                    ""
                },
                ranges(uids),
                ranges(gids)
            ),
            Self::EnterGroup(group) => format!("control group: {group}"),
            Self::JoinNamespace { kind, path: at } => {
                format!("enter the {} namespace {}", kind.name(), path(at))
            }
            Self::ShareNamespaces { sandbox, kinds, .. } => {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                format!(
                    "share namespaces of the running sandbox {}: {}",
                    escape::line(sandbox),
                    names.join(" ")
                )
            }
            Self::NewSessionKeyring => "join a new, empty session keyring".to_owned(),
            Self::UnshareCgroupNamespace => {
                "make the own control group the root of a new cgroup namespace".to_owned()
            }
            Self::Hostname { name } => format!("set the host name to {}", escape::line(name)),
            Self::LoopbackUp => "bring the loopback interface up".to_owned(),
            Self::NewTerminal => {
                "open a pseudo-terminal in a session of its own, to stand in for the caller's"
                    .to_owned()
            }
            Self::NewSession => "start a session without a terminal".to_owned(),
            Self::ResourceLimit { name, value, .. } => rlimits::describe(name, *value),
            Self::Nice { value } => format!("set the nice value to {value}"),
            Self::IoPriority { value } => format!("set the I/O priority to {value}"),
            Self::Scheduler { value } => format!("set the scheduler to {value}"),
            Self::CpuAffinity { cpus } => format!("bind it to the CPUs {cpus}"),
            Self::OomScoreAdjust { value } => format!("set the OOM score adjustment to {value}"),
            Self::Umask { mode } => format!("set the umask to {mode:04o}"),
            Self::WorkingDirectory { candidates } => {
                let names: Vec<_> = candidates.iter().map(|at| path(at)).collect();
                format!("go to {}", names.join(", or else "))
            }
            Self::DropGroups => "leave the caller's supplementary groups".to_owned(),
            Self::NoNewPrivileges => "set no_new_privs".to_owned(),
            Self::Landlock(ruleset) => ruleset.describe(),
            Self::Capabilities { keep: 0, .. } => "give up all capabilities".to_owned(),
            Self::Capabilities { keep, .. } => {
                format!(
                    "give up all capabilities but {}",
                    capabilities::names(*keep).join(" ")
                )
            }
            Self::Init => "stay as process 1 beside the program".to_owned(),
            Self::CloseDescriptors => "close all descriptors above 2".to_owned(),
            Self::Seccomp(filter) => format!(
                "install the system call filter: {} rules over default {}, {} instructions",
                filter.rules,
                filter.default,
                filter.program.instructions().len()
            ),
            Self::Execute {
                arguments,
                environment,
                ..
            } => {
                let words: Vec<_> = arguments.iter().map(|word| escape::os(word)).collect();
                format!(
                    "execute {} with {} variables",
                    words.join(" "),
                    environment.len()
                )
            }
            Self::Timeout { after } => format!("end it after {} seconds", after.as_secs_f64()),
            Self::DieWithParent => "end it when the launcher is killed".to_owned(),
            view => view.describe_view(),
        }
    }

    /// The file-system steps.
    fn describe_view(&self) -> String {
        let mode_of = |access: &Access| access.word();
        match self {
            Self::PrivatePropagation => {
                "stop mounts from spreading to and from the host".to_owned()
            }
            Self::NewRoot { from, access } => match from {
                Root::Host => format!("new root: the host's tree, {}", mode_of(access)),
                Root::Directory(at) => format!("new root: {}, {}", path(at), mode_of(access)),
                Root::Empty => "new root: empty, in memory".to_owned(),
                Root::Overlay(overlay) => format!("new root: {}", layers(overlay)),
            },
            Self::MakeDirectory { path: at, .. } => {
                format!("make the directory {} inside", path(at))
            }
            Self::MakeFile { path: at } => {
                format!("make the file {} inside, to mount on", path(at))
            }
            Self::MakeLink { path: at, target } => {
                format!("make the link {} -> {}", path(at), path(target))
            }
            Self::MountHost {
                source,
                target,
                access,
                ..
            } if source == target => {
                format!("show {}, {}", path(target), mode_of(access))
            }
            Self::MountHost {
                source,
                target,
                access,
                ..
            } => {
                format!(
                    "show {} at {}, {}",
                    path(source),
                    path(target),
                    mode_of(access)
                )
            }
            Self::MountOverlay { overlay, target } => {
                format!("show {} at {}", layers(overlay), path(target))
            }
            Self::Restrict { path: at, access } => format!("make {} {}", path(at), mode_of(access)),
            Self::MountTmpfs { target, size, .. } => match size {
                Some(size) => format!(
                    "mount an empty tmpfs of {} at {}",
                    exact_bytes(*size),
                    path(target)
                ),
                None => format!("mount an empty tmpfs at {}", path(target)),
            },
            Self::MountProc { target, options } => {
                let mut text = format!(
                    "mount the processes of the new pid namespace at {}",
                    path(target)
                );
                if options.only_processes {
                    text.push_str(", and nothing else");
                }
                if let Some(word) = options.hide {
                    text.push_str(&format!(", those of other users hidden ({word})"));
                }
                text
            }
            Self::MountDevpts { target } => {
                format!("mount terminals of its own at {}", path(target))
            }
            Self::MountMqueue { target } => format!("mount message queues at {}", path(target)),
            Self::Mask { path: at, .. } => format!("hide {}", path(at)),
            Self::MountText { target, content } => {
                format!("show a text of {} bytes at {}", content.len(), path(target))
            }
            Self::Seal { path: at } => format!("make {} itself read-only", path(at)),
            Self::NoExecution { path: at } => format!("let nothing at {} be executed", path(at)),
            Self::KeepAway(names) => {
                let keys: Vec<_> = names.keys().map(escape::line).collect();
                format!(
                    "have a process of the launcher hide what gets such a name later: {}",
                    keys.join(" ")
                )
            }
            _ => "make the new root the root, and let go of the host's".to_owned(),
        }
    }

    /// The kind of the action, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunDirectory => "run-directory",
            Self::StartCompanion(_) => "start-companion",
            Self::MountMade { .. } => "mount-made",
            Self::Cookie { .. } => "cookie",
            Self::WaylandContext { .. } => "wayland-context",
            Self::DesktopEntry { .. } => "desktop-entry",
            Self::OwnDirectory { .. } => "own-directory",
            Self::Create { .. } => "create",
            Self::Clone { .. } => "clone",
            Self::MapIds { .. } => "map-ids",
            Self::EnterGroup(_) => "enter-group",
            Self::JoinNamespace { .. } => "join-namespace",
            Self::ShareNamespaces { .. } => "share-namespaces",
            Self::NewSessionKeyring => "new-session-keyring",
            Self::UnshareCgroupNamespace => "unshare-cgroup-namespace",
            Self::Hostname { .. } => "hostname",
            Self::LoopbackUp => "loopback-up",
            Self::PrivatePropagation => "private-propagation",
            Self::NewRoot { .. } => "new-root",
            Self::MakeDirectory { .. } => "make-directory",
            Self::MakeFile { .. } => "make-file",
            Self::MakeLink { .. } => "make-link",
            Self::MountHost { .. } => "mount-host",
            Self::MountOverlay { .. } => "mount-overlay",
            Self::Restrict { .. } => "restrict",
            Self::MountTmpfs { .. } => "mount-tmpfs",
            Self::MountProc { .. } => "mount-proc",
            Self::MountDevpts { .. } => "mount-devpts",
            Self::MountMqueue { .. } => "mount-mqueue",
            Self::Mask { .. } => "mask",
            Self::MountText { .. } => "mount-text",
            Self::Seal { .. } => "seal",
            Self::NoExecution { .. } => "no-execution",
            Self::PivotRoot => "pivot-root",
            Self::KeepAway(_) => "keep-away",
            Self::NewTerminal => "new-terminal",
            Self::NewSession => "new-session",
            Self::ResourceLimit { .. } => "resource-limit",
            Self::Nice { .. } => "nice",
            Self::IoPriority { .. } => "io-priority",
            Self::Scheduler { .. } => "scheduler",
            Self::CpuAffinity { .. } => "cpu-affinity",
            Self::OomScoreAdjust { .. } => "oom-score-adjust",
            Self::Umask { .. } => "umask",
            Self::WorkingDirectory { .. } => "working-directory",
            Self::DropGroups => "drop-groups",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Landlock(_) => "landlock",
            Self::Capabilities { .. } => "capabilities",
            Self::Init => "init",
            Self::CloseDescriptors => "close-descriptors",
            Self::Seccomp(_) => "seccomp",
            Self::Execute { .. } => "execute",
            Self::Timeout { .. } => "timeout",
            Self::DieWithParent => "die-with-parent",
        }
    }

    /// What a program may want to know beyond the words.
    fn details(&self) -> Json {
        match self {
            Self::Clone { namespaces } => json!({
                "namespaces": namespaces.iter().map(|kind| kind.name()).collect::<Vec<_>>()
            }),
            Self::EnterGroup(group) => serde_json::to_value(group).unwrap_or(Json::Null),
            Self::MapIds { uids, gids, .. } => {
                let list = |ranges: &[IdRange]| -> Vec<Json> {
                    ranges
                        .iter()
                        .map(|range| json!([range.inside, range.outside, range.length]))
                        .collect()
                };
                json!({ "uids": list(uids), "gids": list(gids) })
            }
            Self::Seccomp(filter) => json!({
                "default": filter.default.to_string(),
                "rules": filter.rules,
                "instructions": filter.program.instructions().len(),
                "architectures": filter.architectures.iter().map(|arch| arch.name()).collect::<Vec<_>>(),
                "implied": filter.implied.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
            Self::Landlock(ruleset) => json!({
                "abi": ruleset.abi,
                "rights": ruleset.handled.names().collect::<Vec<_>>(),
                "rules": ruleset.rules.iter().map(|rule| json!({
                    "path": rule.path.to_string_lossy(),
                    "rights": rule.rights.names().collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
                "scopes": ruleset.scopes.names(),
                "lost": crate::section::landlock::lost(ruleset.abi),
                "mounts-alone": ruleset.beyond.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            }),
            Self::StartCompanion(companion) => json!({
                "name": companion.name,
                "program": companion.program.to_string_lossy(),
                "arguments": companion.arguments.iter().map(|word| word.shown().to_string_lossy().into_owned()).collect::<Vec<_>>(),
                "variables": companion.environment.iter().map(|(name, _)| name.to_string_lossy()).collect::<Vec<_>>(),
                "known-as": companion.identity.as_ref().map(|identity| &identity.app),
            }),
            Self::Execute {
                arguments,
                environment,
                ..
            } => json!({
                "arguments": arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
                // Values may be secrets, and plans end up in bug reports.
                "variables": environment.iter().map(|(name, _)| name.to_string_lossy()).collect::<Vec<_>>(),
            }),
            _ => Json::Null,
        }
    }
}

/// ` (file:line:column)`, or nothing.
#[must_use]
pub fn at(note: &Note, sources: &SourceMap) -> String {
    if note.site.is_default() {
        String::new()
    } else {
        format!(" ({})", sources.position(note.site))
    }
}

/// A warning, and on a line below what would help.
#[must_use]
pub fn warning(note: &Note, sources: &SourceMap) -> String {
    let mut text = format!("{}{}", escape::line(&note.text), at(note, sources));
    if let Some(help) = &note.help {
        text.push_str("; to mend it: ");
        text.push_str(&escape::line(help));
    }
    text
}

fn place(site: Site, sources: &SourceMap) -> Json {
    if site.is_default() {
        return Json::Null;
    }
    let position = sources.position(site);
    json!({ "source": position.name, "line": position.line, "column": position.column })
}

fn step_json(step: &Step, sources: &SourceMap) -> Json {
    json!({
        "phase": step.phase().word(),
        "action": step.action.kind(),
        "text": step.action.describe(),
        "details": step.action.details(),
        "origin": place(step.site, sources),
        "because": step.because,
    })
}

/// A note or a warning as JSON: `{text, help, origin}`.
#[must_use]
pub fn note_json(note: &Note, sources: &SourceMap) -> Json {
    json!({ "text": note.text, "help": note.help, "origin": place(note.site, sources) })
}

/// The plan as JSON: `{steps, notes, warnings}`.
#[must_use]
pub fn to_json(plan: &Plan, sources: &SourceMap) -> Json {
    let notes = |notes: &[Note]| -> Vec<Json> {
        notes.iter().map(|note| note_json(note, sources)).collect()
    };
    json!({
        "steps": plan.steps.iter().map(|step| step_json(step, sources)).collect::<Vec<_>>(),
        "notes": notes(&plan.notes),
        "warnings": notes(&plan.warnings),
    })
}

/// For [`NamespaceKind`] lists in messages.
impl std::fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
