//! What binds every process of a sandbox, written down by the launcher for those who join it later.
//!
//! These are the steps of the plan that was carried out, not the rules that they were made of: the profile may have changed
//! since, and so may the host. Only the launcher writes them and only `sandboxctl` of the same user reads them; nothing
//! inside of the sandbox is asked what binds it.

use std::borrow::Cow;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::record::{escaped, raw};
use crate::bpf::{self, Arch, Instruction, Program};
use crate::plan::step::NamespaceKind;
use crate::plan::{Action, OnFailure, Plan, Step};
use crate::profile::read;
use crate::profile::value::{IoPriority, Scheduler};
use crate::report::{Site, SourceMap};
use crate::section::landlock::{PathRule, Rights, Ruleset, Scopes};
use crate::section::rlimits;
use crate::section::syscalls::FilterPlan;

/// One thing that is done to a process before it becomes a program of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rule {
    NewSessionKeyring,
    DropGroups,
    NoNewPrivileges,
    Landlock {
        abi: u32,
        /// Bits of rights.
        handled: u64,
        /// Paths inside, [`escaped`], and what is granted there.
        rules: Vec<(String, u64)>,
        abstract_sockets: bool,
        signals: bool,
    },
    OomScoreAdjust(i32),
    Nice(i32),
    IoPriority(IoPriority),
    Scheduler(Scheduler),
    CpuAffinity(String),
    ResourceLimit {
        resource: u32,
        value: Option<u64>,
    },
    Capabilities {
        keep: u64,
        ambient: bool,
        bounding: bool,
        last: u32,
    },
    Umask(u32),
    WorkingDirectory(Vec<String>),
    Seccomp {
        default: String,
        rules: usize,
        architectures: Vec<String>,
        /// Code, jumps and operand of each instruction.
        program: Vec<(u16, u8, u8, u32)>,
    },
}

/// A rule and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bond {
    rule: Rule,
    /// `FILE:LINE:COLUMN`, or why.
    origin: String,
    /// Whether the sandbox may have been started without it.
    may_fail: bool,
}

/// A resource limit that the launcher was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// The RLIMIT_ constant.
    pub resource: u32,
    /// The soft limit; u64::MAX for none.
    pub soft: u64,
    /// The hard limit; u64::MAX for none.
    pub hard: u64,
}

/// What the launcher was started with and has handed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The umask.
    pub umask: u32,
    /// Resource limits.
    pub limits: Vec<Inherited>,
    /// The working directory, [`escaped`].
    pub working_directory: String,
}

/// What binds every process of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    bonds: Vec<Bond>,
    /// In order, [`escaped`].
    environment: Vec<(String, String)>,
    /// What came from the launcher's caller.
    pub caller: Caller,
    /// Whether who joins may be root inside.
    #[serde(default)]
    pub may_join_as_root: bool,
}

fn rule(action: &Action) -> Option<Rule> {
    // Every action is named, so that who adds one has to say whether it binds those who join.
    Some(match action {
        Action::NewSessionKeyring => Rule::NewSessionKeyring,
        Action::DropGroups => Rule::DropGroups,
        Action::NoNewPrivileges => Rule::NoNewPrivileges,
        Action::Landlock(ruleset) if ruleset.handled.is_empty() && ruleset.scopes.is_empty() => {
            return None;
        }
        Action::Landlock(ruleset) => Rule::Landlock {
            abi: ruleset.abi,
            handled: ruleset.handled.bits(),
            rules: (ruleset.rules.iter())
                .map(|rule| (escaped(rule.path.as_os_str()), rule.rights.bits()))
                .collect(),
            abstract_sockets: ruleset.scopes.abstract_sockets,
            signals: ruleset.scopes.signals,
        },
        Action::OomScoreAdjust { value } => Rule::OomScoreAdjust(*value),
        Action::Nice { value } => Rule::Nice(*value),
        Action::IoPriority { value } => Rule::IoPriority(*value),
        Action::Scheduler { value } => Rule::Scheduler(*value),
        Action::CpuAffinity { cpus } => Rule::CpuAffinity(cpus.to_string()),
        Action::ResourceLimit {
            resource, value, ..
        } => Rule::ResourceLimit {
            resource: *resource,
            value: *value,
        },
        Action::Capabilities {
            keep,
            ambient,
            bounding,
            last,
        } => Rule::Capabilities {
            keep: *keep,
            ambient: *ambient,
            bounding: *bounding,
            last: *last,
        },
        Action::Umask { mode } => Rule::Umask(*mode),
        Action::WorkingDirectory { candidates } => Rule::WorkingDirectory(
            candidates
                .iter()
                .map(|path| escaped(path.as_os_str()))
                .collect(),
        ),
        Action::Seccomp(filter) => Rule::Seccomp {
            default: filter.default.to_string(),
            rules: filter.rules,
            architectures: (filter.architectures.iter())
                .map(|arch| arch.name().to_owned())
                .collect(),
            program: (filter.program.instructions().iter())
                .map(|one| (one.code, one.jt, one.jf, one.k))
                .collect(),
        },
        // Of the sandbox, not of its processes: who enters its namespaces and its group has it.
        Action::RunDirectory
        | Action::StartCompanion(_)
        | Action::Cookie { .. }
        | Action::WaylandContext { .. }
        | Action::DesktopEntry { .. }
        | Action::OwnDirectory { .. }
        | Action::Create { .. }
        | Action::Clone { .. }
        | Action::MapIds { .. }
        | Action::EnterGroup(_)
        | Action::JoinNamespace { .. }
        | Action::ShareNamespaces { .. }
        | Action::UnshareCgroupNamespace
        | Action::Hostname { .. }
        | Action::LoopbackUp
        | Action::PrivatePropagation
        | Action::NewRoot { .. }
        | Action::MakeDirectory { .. }
        | Action::MakeFile { .. }
        | Action::MakeLink { .. }
        | Action::MountHost { .. }
        | Action::MountMade { .. }
        | Action::Restrict { .. }
        | Action::MountTmpfs { .. }
        | Action::MountOverlay { .. }
        | Action::MountProc { .. }
        | Action::MountDevpts { .. }
        | Action::MountMqueue { .. }
        | Action::Mask { .. }
        | Action::MountText { .. }
        | Action::Seal { .. }
        | Action::NoExecution { .. }
        | Action::KeepAway(_)
        | Action::PivotRoot => return None,
        // Done for every process that joins, whatever the sandbox does: the caller's terminal is never handed in, and
        // nothing outlives who joined.
        Action::NewTerminal
        | Action::NewSession
        | Action::Init
        | Action::CloseDescriptors
        | Action::DieWithParent
        // The program's own. The environment is taken apart by `of`; time runs for the sandbox as a whole.
        | Action::Execute { .. }
        | Action::Timeout { .. } => return None,
    })
}

/// A rule of Landlock for somebody who comes from outside. The kernel lets nobody enter a domain of Landlock that exists, and
/// what is made anew is one beside the sandbox's: its scopes would keep the sandbox's own processes and sockets away too. So
/// those are left to the namespace that holds the same, where there is one.
fn outer<'a>(action: &'a Action, plan: &Plan) -> Cow<'a, Action> {
    let Action::Landlock(ruleset) = action else {
        return Cow::Borrowed(action);
    };
    let has = |kind| {
        plan.steps.iter().any(
            |step| matches!(&step.action, Action::Clone { namespaces } if namespaces.contains(&kind)),
        )
    };
    let mut ruleset = ruleset.clone();
    ruleset.scopes.signals &= !has(NamespaceKind::Pid);
    ruleset.scopes.abstract_sockets &= !has(NamespaceKind::Net);
    Cow::Owned(Action::Landlock(ruleset))
}

fn action(rule: &Rule) -> Result<Action, String> {
    Ok(match rule {
        Rule::NewSessionKeyring => Action::NewSessionKeyring,
        Rule::DropGroups => Action::DropGroups,
        Rule::NoNewPrivileges => Action::NoNewPrivileges,
        Rule::Landlock {
            abi,
            handled,
            rules,
            abstract_sockets,
            signals,
        } => {
            let rights = |bits: u64| {
                Rights::from_bits(bits)
                    .ok_or_else(|| "a right of its Landlock rules is unknown".to_owned())
            };
            Action::Landlock(Ruleset {
                abi: *abi,
                handled: rights(*handled)?,
                rules: (rules.iter())
                    .map(|(path, bits)| {
                        Ok(PathRule {
                            path: raw(path).into(),
                            rights: rights(*bits)?,
                            site: Site::DEFAULT,
                        })
                    })
                    .collect::<Result<_, String>>()?,
                scopes: Scopes {
                    abstract_sockets: *abstract_sockets,
                    signals: *signals,
                },
                beyond: Vec::new(),
            })
        }
        Rule::OomScoreAdjust(value) => Action::OomScoreAdjust { value: *value },
        Rule::Nice(value) => Action::Nice { value: *value },
        Rule::IoPriority(value) => Action::IoPriority { value: *value },
        Rule::Scheduler(value) => Action::Scheduler { value: *value },
        Rule::CpuAffinity(cpus) => Action::CpuAffinity {
            cpus: read::cpu_set(cpus).map_err(|wrong| wrong.message)?,
        },
        Rule::ResourceLimit { resource, value } => Action::ResourceLimit {
            resource: *resource,
            name: rlimits::name(*resource)
                .ok_or_else(|| format!("there is no resource limit {resource}"))?,
            value: *value,
        },
        Rule::Capabilities {
            keep,
            ambient,
            bounding,
            last,
        } => Action::Capabilities {
            keep: *keep,
            ambient: *ambient,
            bounding: *bounding,
            last: *last,
        },
        Rule::Umask(mode) => Action::Umask { mode: *mode },
        Rule::WorkingDirectory(paths) => Action::WorkingDirectory {
            candidates: paths.iter().map(|path| raw(path).into()).collect(),
        },
        Rule::Seccomp {
            default,
            rules,
            architectures,
            program,
        } => {
            let program = program
                .iter()
                .map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k })
                .collect();
            let architecture = |name: &String| {
                Arch::parse(name).ok_or_else(|| "an architecture is unknown".to_owned())
            };
            Action::Seccomp(FilterPlan {
                program: Program::new(program)
                    .map_err(|_| "its system call filter is none".to_owned())?,
                default: bpf::Action::parse(default)
                    .map_err(|_| "its system call filter is incomplete".to_owned())?,
                architectures: architectures
                    .iter()
                    .map(architecture)
                    .collect::<Result<_, _>>()?,
                rules: *rules,
                implied: Vec::new(),
            })
        }
    })
}

/// What is to be run in a sandbox beside its program.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// As it is looked up inside: a path, or a name to be searched in `PATH`.
    pub program: OsString,
    /// Without argument 0.
    pub arguments: Vec<OsString>,
    /// Whether the caller's standard streams lead to a terminal.
    pub terminal: bool,
    /// Variables that the caller's terminal asks for.
    pub variables: Vec<(OsString, OsString)>,
    /// The bounding set of the sandbox's program and the highest capability, where the caller's own has more.
    pub bounding: Option<(u64, u32)>,
    /// Whether it is to be root inside.
    pub as_root: bool,
    /// Where it starts if that is seen inside, before what holds for the sandbox's own program.
    pub directory: Option<OsString>,
}

impl Confinement {
    /// What binds the processes of the sandbox that a plan makes.
    #[must_use]
    pub fn of(plan: &Plan, sources: &SourceMap, caller: Caller) -> Self {
        let mut bonds = Vec::new();
        let mut environment = Vec::new();
        for step in &plan.steps {
            if let Action::Execute {
                environment: set, ..
            } = &step.action
            {
                environment = set
                    .iter()
                    .map(|(name, value)| (escaped(name), escaped(value)))
                    .collect();
            }
            let Some(rule) = rule(&outer(&step.action, plan)) else {
                continue;
            };
            bonds.push(Bond {
                rule,
                origin: if step.site.is_default() {
                    step.because.clone()
                } else {
                    sources.position(step.site).to_string()
                },
                may_fail: step.on_failure == OnFailure::Warn,
            });
        }
        Self {
            bonds,
            environment,
            caller,
            may_join_as_root: false,
        }
    }

    /// Says whether who joins may be root inside.
    #[must_use]
    pub fn with_root(self, may_join_as_root: bool) -> Self {
        Self {
            may_join_as_root,
            ..self
        }
    }

    /// Whether processes are bound by no_new_privs.
    #[must_use]
    pub fn has_no_new_privileges(&self) -> bool {
        self.bonds
            .iter()
            .any(|bond| bond.rule == Rule::NoNewPrivileges)
    }

    /// Whether processes are bound by a system call filter.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        self.bonds
            .iter()
            .any(|bond| matches!(bond.rule, Rule::Seccomp { .. }))
    }

    /// Whether capabilities are taken from processes.
    #[must_use]
    pub fn cuts_capabilities(&self) -> bool {
        self.bonds
            .iter()
            .any(|bond| matches!(bond.rule, Rule::Capabilities { .. }))
    }

    /// The environment, with the variables of a terminal in it.
    fn environment(&self, variables: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let mut all: Vec<(OsString, OsString)> = (self.environment.iter())
            .map(|(name, value)| (raw(name), raw(value)))
            .filter(|(name, _)| variables.iter().all(|(other, _)| other != name))
            .collect();
        all.extend(variables.iter().cloned());
        all
    }

    /// The plan for a process that joins: what binds the sandbox's own processes, in the same order, and what holds for
    /// everybody who comes from outside.
    ///
    /// # Errors
    /// What is written down makes no sense, in words.
    pub fn plan(&self, entry: &Entry) -> Result<Plan, String> {
        let step = |action, because: &str| Step {
            action,
            site: Site::DEFAULT,
            because: because.to_owned(),
            on_failure: OnFailure::Fatal,
        };
        let mut steps = vec![
            step(Action::DieWithParent, ""),
            step(
                Action::Clone {
                    namespaces: Vec::new(),
                },
                "",
            ),
            if entry.terminal {
                step(Action::NewTerminal, "the caller's is not handed in")
            } else {
                step(Action::NewSession, "the caller's terminal is not handed in")
            },
        ];
        let mut filter = None;
        for bond in &self.bonds {
            let mut made = Step {
                on_failure: if bond.may_fail {
                    OnFailure::Warn
                } else {
                    OnFailure::Fatal
                },
                ..step(action(&bond.rule)?, &bond.origin)
            };
            // Root gets by exec what the bounding set leaves.
            if let Action::Capabilities { bounding, .. } = &mut made.action {
                *bounding |= entry.as_root;
            }
            if let (Action::WorkingDirectory { candidates }, Some(own)) =
                (&mut made.action, &entry.directory)
            {
                candidates.insert(0, own.into());
            }
            match made.action {
                Action::Seccomp(_) => filter = Some(made),
                _ => steps.push(made),
            }
        }
        if let Some((keep, last)) = entry.bounding
            && !self.cuts_capabilities()
        {
            let action = Action::Capabilities {
                keep,
                ambient: false,
                bounding: true,
                last,
            };
            steps.push(step(action, "the sandbox was started without these"));
        }
        let has_directory = |step: &Step| matches!(step.action, Action::WorkingDirectory { .. });
        if !steps.iter().any(has_directory) {
            let own = raw(&self.caller.working_directory).into();
            let asked = entry.directory.as_ref().map(Into::into);
            let candidates = asked.into_iter().chain([own, "/".into()]).collect();
            steps.push(step(Action::WorkingDirectory { candidates }, ""));
        }
        steps.push(step(Action::CloseDescriptors, ""));
        steps.extend(filter);
        let mut arguments = vec![entry.program.clone()];
        arguments.extend(entry.arguments.iter().cloned());
        let execute = Action::Execute {
            program: entry.program.clone(),
            arguments,
            environment: self.environment(&entry.variables),
        };
        steps.push(step(execute, ""));
        Ok(Plan {
            steps,
            ..Plan::default()
        })
    }
}

#[cfg(test)]
#[path = "confinement_tests.rs"]
mod tests;
