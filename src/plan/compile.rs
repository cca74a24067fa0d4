//! Policy + facts → plan. The order of the steps is made here, and only here:
//!
//! 1. limits before anything can fork: the child waits until it is in its group;
//! 2. namespaces with the clone, ids while the child waits, the control group's namespace once it is in its group;
//! 3. the view: propagation, root, mounts from the outside in, seals, pivot; then the terminal, which belongs to the view;
//! 4. privileges last: no_new_privs, bounding set, and in the process that becomes the program limits, capabilities,
//!    working directory, descriptors, filter, exec.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::landlock::{Refused, of_files};
use super::{Action, Note, OnFailure, Plan, Step};
use crate::control::place;
use crate::host::Facts;
use crate::plan::step::{NamespaceKind, Overlay, Root, Upper};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::report::{Diagnostic, Diagnostics, Site};
use crate::section::desktop::Desktop;
use crate::section::expand::{Expanded, expand};
use crate::section::filesystem::{self, ControlGroups, Surroundings};
use crate::section::landlock::Ruleset;
use crate::section::namespaces::{Namespaces, Needs};
use crate::section::process::{Process, Terminal, usual_directories};
use crate::section::user::Groups;
use crate::section::{dbus, desktop, devices, environment, limits, namespaces, user};

/// What is to be started.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The program, as the user named it.
    pub program: OsString,
    /// Its arguments, without argument 0.
    pub arguments: Vec<OsString>,
    /// What the sandbox is called: names its control group.
    pub name: String,
    /// The desktop entry that it is started from, if it is: its name without `.desktop`.
    pub app: Option<String>,
    /// Whether every rule that only adds strictness may be dropped with a warning.
    pub best_effort: bool,
}

/// What the file-system view depends on beside the policy and the host's paths.
///
/// # Errors
/// Namespaces that contradict each other.
pub fn surroundings(policy: &Policy, facts: &Facts) -> Result<Surroundings, Diagnostics> {
    decide(policy, facts).map(|decided| around(policy, facts, &decided))
}

/// The kinds of namespaces that a plan for this policy makes for this caller; none where its rules contradict each other, as a
/// plan will say.
#[must_use]
pub fn new_namespaces(policy: &Policy, facts: &Facts) -> Vec<NamespaceKind> {
    decide(policy, facts)
        .map(|decided| decided.new.into_keys().collect())
        .unwrap_or_default()
}

pub(super) fn decide(policy: &Policy, facts: &Facts) -> Result<Namespaces, Diagnostics> {
    let first = |section| policy.section(section).next().map(|(_, _, rule)| rule.site);
    let view = first(Section::Filesystem).or_else(|| {
        devices::asks(policy)
            .then(|| first(Section::Devices))
            .flatten()
    });
    let view = view.or_else(|| first(Section::Dbus));
    let view = view.or_else(|| first(Section::Desktop));
    let needs = Needs {
        mount: view,
        ids: user::wanted(policy),
        group: policy
            .section(Section::Limits)
            .find(|(key, ..)| limits::is_held_by_group(key))
            .map(|(_, _, rule)| rule.site),
    };
    Namespaces::decide(policy, needs, &facts.caller)
}

fn around(policy: &Policy, facts: &Facts, decided: &Namespaces) -> Surroundings {
    let data = facts.caller.directories.get("XDG_DATA_HOME");
    let data = data
        .map_or_else(|| facts.caller.home.join(".local/share"), Clone::clone)
        .join("sandbox");
    let configuration = facts.caller.directories.get("XDG_CONFIG_HOME");
    let configuration = configuration
        .map_or_else(|| facts.caller.home.join(".config"), Clone::clone)
        .join("sandbox");
    let directory = |name| facts.caller.directories.get(name).map(PathBuf::as_path);
    let state = directory("XDG_STATE_HOME")
        .map_or_else(|| facts.caller.home.join(".local/state"), Path::to_owned);
    Surroundings {
        pid_namespace: decided.is_new(NamespaceKind::Pid),
        ipc_namespace: decided.is_new(NamespaceKind::Ipc),
        network_namespace: decided.is_new(NamespaceKind::Net),
        terminal: None,
        private_root: data.join("private").join(&policy.private_name),
        changes: data.join("changes"),
        configuration: [configuration]
            .into_iter()
            .chain(facts.root_cache.clone())
            .collect(),
        roots: facts.roots.clone(),
        records: place::of(facts.caller.uid, directory("XDG_RUNTIME_DIR"), Some(&state)),
        real_root: facts.caller.uid == 0,
        user_namespace: decided.is_new(NamespaceKind::User),
        memory: facts.machine.memory,
        groups: limited(policy, facts),
        write_xor_execute: Process::of(policy).write_xor_execute.value,
        // What is wrong with it is told when the plan is made.
        desktop: desktop::decide(policy, facts)
            .map(|desktop| desktop.paths)
            .unwrap_or_default(),
        fixtures: dbus::fixtures(policy, facts),
    }
}

/// Where the program's control groups could be changed, when they hold limits.
fn limited(policy: &Policy, facts: &Facts) -> Option<ControlGroups> {
    let mut rules = policy.section(Section::Limits);
    rules.find(|(key, ..)| limits::is_held_by_group(key))?;
    let usual = PathBuf::from("/sys/fs/cgroup");
    let legacy = facts.cgroup.legacy.iter().map(|found| &found.mount);
    let unified = facts.cgroup.unified.iter().map(|found| &found.mount);
    let others = legacy.chain(unified).filter(|at| !at.starts_with(&usual));
    let mut mounts: Vec<PathBuf> = others.cloned().collect();
    mounts.push(usual);
    let manager = facts.cgroup.manager.as_ref();
    let sockets = manager.map(|manager| {
        let private = match manager.bus.parent() {
            Some(runtime) if !manager.system => runtime.join("systemd/private"),
            _ => PathBuf::from("/run/systemd/private"),
        };
        vec![manager.bus.clone(), private]
    });
    Some(ControlGroups {
        mounts,
        sockets: sockets.unwrap_or_default(),
    })
}

/// Whether a caller who may mount nothing needs a user namespace, and this host has refused one.
fn must_do_without(facts: &Facts, decided: &Namespaces) -> bool {
    facts.machine.no_user_namespaces.is_some()
        && !facts.caller.is_privileged()
        && decided.is_new(NamespaceKind::User)
}

/// Makes the plan.
///
/// # Errors
/// Every rule that contradicts another or that this host cannot apply.
pub fn compile(policy: &Policy, facts: &Facts, request: &Request) -> Result<Plan, Diagnostics> {
    let mut builder = Builder {
        policy,
        facts,
        request,
        plan: Plan::default(),
        errors: Diagnostics::new(),
        ruleset: None,
        mounts: true,
        mounted: false,
        programs_denied: BTreeSet::new(),
        desktop: Desktop::default(),
    };
    builder.decide_desktop();
    let mut decided = builder.take(decide(policy, facts)).unwrap_or_default();
    let mut refused = Vec::new();
    if must_do_without(facts, &decided) {
        builder.mounts = false;
        builder.without_namespaces(&mut decided, &mut refused);
    }
    builder.namespaces(&mut decided);
    let around = around(policy, facts, &decided);
    builder.limits(filesystem::asks(policy, &around));
    builder.displays();
    builder.buses(&decided);
    builder.inside(&decided);
    let process = Process::of(policy);
    builder.view(around, &decided, &process, refused);
    builder.terminal(&process);
    builder.privileges(&decided, &process);
    builder.program(&process);
    if builder.errors.is_empty() {
        Ok(builder.plan)
    } else {
        Err(builder.errors)
    }
}

pub(super) struct Builder<'a> {
    pub policy: &'a Policy,
    pub facts: &'a Facts,
    pub request: &'a Request,
    pub plan: Plan,
    pub errors: Diagnostics,
    /// What Landlock is to hold.
    pub ruleset: Option<Ruleset>,
    /// Whether the view is made of mounts; else it is held by Landlock alone.
    pub mounts: bool,
    /// Whether a view is mounted.
    pub mounted: bool,
    /// Where a mount holds that `[execute]` denies something.
    pub programs_denied: BTreeSet<PathBuf>,
    /// What `[desktop]` comes to.
    pub desktop: Desktop,
}

impl Builder<'_> {
    pub(super) fn take<T>(&mut self, result: Result<T, Diagnostics>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    pub(super) fn step(&mut self, action: Action, site: Site, because: &str) {
        self.plan.steps.push(Step {
            action,
            site,
            because: because.to_owned(),
            on_failure: OnFailure::Fatal,
        });
    }

    pub(super) fn may_degrade(&self, section: Section, key: &str) -> bool {
        self.policy.may_degrade(section, key)
            || (self.request.best_effort && self.policy.only_adds_strictness(section, key))
    }

    /// Namespaces that the kernel does not have are dropped where that is allowed.
    fn known_to_the_kernel(&mut self, decided: &mut Namespaces) {
        for &name in &self.facts.machine.missing_namespaces {
            let Some((kind, why)) = decided.new.iter().find(|(kind, _)| kind.name() == name) else {
                continue;
            };
            let (kind, site) = (*kind, why.site);
            let text = format!(
                "`namespaces.{name}` cannot be applied: this kernel has no {name} namespaces"
            );
            // Without a mount namespace of its own the view would be made of the caller's.
            if kind == NamespaceKind::Mount {
                self.errors
                    .push(Diagnostic::error(text, site, "asked for here"));
            } else if self.may_degrade(Section::Namespaces, name) {
                self.plan.warnings.push(Note {
                    text,
                    help: None,
                    site,
                });
                decided.new.remove(&kind);
            } else {
                self.errors.push(
                    Diagnostic::error(text, site, "asked for here")
                        .help(format!("to run without it: --best-effort, or `degrade = [\"namespaces.{name}\"]` in the profile")),
                );
            }
        }
    }

    fn namespaces(&mut self, decided: &mut Namespaces) {
        for (kind, path, site) in &decided.join {
            if matches!(kind, NamespaceKind::User | NamespaceKind::Pid) {
                let (kind, path) = (*kind, path.clone());
                self.step(
                    Action::JoinNamespace { kind, path },
                    *site,
                    "before the child is made, since it counts for children",
                );
            }
        }
        self.known_to_the_kernel(decided);
        let process = Process::of(self.policy);
        if process.die_with_parent.value {
            self.step(Action::DieWithParent, process.die_with_parent.site, "");
        }
        let mut sites = decided
            .new
            .values()
            .map(|why| why.site)
            .filter(|site| !site.is_default());
        let site = sites.next().unwrap_or(Site::DEFAULT);
        let reasons: Vec<String> = decided
            .new
            .iter()
            .filter(|(_, why)| !why.because.is_empty())
            .map(|(kind, why)| format!("{} {}", kind.name(), why.because))
            .collect();
        let mut shared: Vec<&str> = decided.share.iter().map(|(_, of, _)| of.as_str()).collect();
        shared.dedup();
        for name in shared {
            let mine = decided.share.iter().filter(|(_, of, _)| of == name);
            let site = mine.clone().map(|(.., site)| *site).next();
            self.step(
                Action::ShareNamespaces {
                    sandbox: name.to_owned(),
                    kinds: mine.map(|(kind, ..)| *kind).collect(),
                    below: !self.facts.caller.is_privileged(),
                },
                site.unwrap_or(Site::DEFAULT),
                "",
            );
        }
        let namespaces = decided.new.keys().copied().collect();
        self.step(Action::Clone { namespaces }, site, &reasons.join("; "));
        if let Some(why) = decided.new.get(&NamespaceKind::User) {
            let drops = matches!(self.groups(decided), Groups::Drop(_));
            let maps = user::lower(self.policy, &self.facts.caller, drops);
            if let Some(action) = self.take(maps) {
                let site = user::wanted(self.policy).unwrap_or(why.site);
                self.step(action, site, "");
            }
        }
    }

    /// What is done inside before the view is made.
    fn inside(&mut self, decided: &Namespaces) {
        for (kind, path, site) in &decided.join {
            if !matches!(kind, NamespaceKind::User | NamespaceKind::Pid) {
                let (kind, path) = (*kind, path.clone());
                self.step(Action::JoinNamespace { kind, path }, *site, "");
            }
        }
        let process = Process::of(self.policy);
        self.priorities(&process);
        if process.new_keyring.value {
            if self.facts.machine.keyrings {
                self.step(Action::NewSessionKeyring, process.new_keyring.site, "");
                if self.may_degrade(Section::Process, "session-keyring")
                    && let Some(step) = self.plan.steps.last_mut()
                {
                    step.on_failure = OnFailure::Warn;
                }
            } else {
                self.plan.notes.push(Note {
                    help: None,
                    text: "no new session keyring: this host lets no keyring be used at all"
                        .to_owned(),
                    site: process.new_keyring.site,
                });
            }
        }
        if let Some(why) = decided.new.get(&NamespaceKind::Cgroup) {
            self.step(Action::UnshareCgroupNamespace, why.site, "");
        }
        if let Some(name) = namespaces::hostname(self.policy) {
            self.step(Action::Hostname { name: name.value }, name.site, "");
        }
        if let Some(why) = decided.new.get(&NamespaceKind::Net) {
            self.step(Action::LoopbackUp, why.site, "");
        }
    }

    /// What the launcher sets while the child waits: privileges of the host count for these, and the child may have left
    /// them behind in a user namespace of its own.
    fn priorities(&mut self, process: &Process) {
        if let Some(value) = &process.oom_score_adjust {
            self.step(
                Action::OomScoreAdjust { value: value.value },
                value.site,
                "",
            );
        }
        if let Some(value) = &process.nice {
            self.step(Action::Nice { value: value.value }, value.site, "");
        }
        if let Some(said) = &process.io_priority {
            let value = said.value;
            self.attribute(Action::IoPriority { value }, "io-priority", said.site);
        }
        if let Some(said) = &process.scheduler {
            let value = said.value;
            self.attribute(Action::Scheduler { value }, "scheduler", said.site);
        }
    }

    /// A step of `[process]` that may be dropped where its key may.
    pub(super) fn attribute(&mut self, action: Action, key: &str, site: Site) {
        let on_failure = if self.may_degrade(Section::Process, key) {
            OnFailure::Warn
        } else {
            OnFailure::Fatal
        };
        self.plan.steps.push(Step {
            action,
            site,
            because: String::new(),
            on_failure,
        });
    }

    fn view(
        &mut self,
        surroundings: Surroundings,
        decided: &Namespaces,
        process: &Process,
        mut refused: Vec<Refused>,
    ) {
        let lowered = if self.mounts {
            filesystem::lower(self.policy, self.facts, &surroundings)
        } else {
            filesystem::lower_without_mounts(self.policy, self.facts, &surroundings)
        };
        let Some(lowered) = self.take(lowered) else {
            return;
        };
        if !self.mounts {
            refused.extend(lowered.refused.into_iter().map(of_files));
            let sockets = self.open_sockets(&lowered.held);
            refused.extend(sockets.map(of_files));
            self.tell_refused(refused);
        }
        self.mounted = self.mounts && !lowered.steps.is_empty();
        self.programs_denied.clone_from(&lowered.denied);
        self.hold(&lowered.held, decided, process, self.mounts);
        self.abstract_buses(decided);
        self.abstract_displays(decided);
        self.plan
            .notes
            .extend(self.facts.notes.iter().map(|text| Note {
                text: text.clone(),
                help: None,
                site: Site::DEFAULT,
            }));
        self.plan
            .notes
            .extend(lowered.notes.into_iter().map(|note| Note {
                text: note.text,
                help: None,
                site: note.site,
            }));
        self.overlay_limits(&lowered.steps, decided);
        let steps = if lowered.steps.is_empty() && decided.is_new(NamespaceKind::Mount) {
            vec![Step {
                action: Action::PrivatePropagation,
                site: Site::DEFAULT,
                because: "mounts inside are not to reach the host".to_owned(),
                on_failure: OnFailure::Fatal,
            }]
        } else {
            lowered.steps
        };
        if self.mounts && !steps.is_empty() && !self.facts.machine.mount_api {
            self.errors.push(
                Diagnostic::error(
                    "the file-system view cannot be made: this kernel, or an outer sandbox, lacks mount_setattr(2)",
                    steps.iter().map(|step| step.site).find(|site| !site.is_default()).unwrap_or(Site::DEFAULT),
                    "needs it",
                )
                .help("Linux 5.12 or later has it; `sandboxctl doctor` shows what this host offers"),
            );
        }
        self.plan.steps.extend(steps);
    }

    /// Says what an overlay with changes in memory cannot do on this kernel.
    fn overlay_limits(&mut self, steps: &[Step], decided: &Namespaces) {
        let in_memory = |overlay: &Overlay| matches!(overlay.upper, Upper::Memory { .. });
        let overlay = steps.iter().find(|step| match &step.action {
            Action::NewRoot {
                from: Root::Overlay(overlay),
                ..
            }
            | Action::MountOverlay { overlay, .. } => in_memory(overlay),
            _ => false,
        });
        let mut numbers = self.facts.machine.kernel.split(['.', '-']);
        let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
        let old =
            matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) < (6, 6));
        if let Some(step) = overlay
            && old
            && decided.is_new(NamespaceKind::User)
        {
            self.plan.warnings.push(Note {
                text: "directories that were there can be neither removed nor replaced inside: that takes Linux 6.6".to_owned(),
                help: None,
                site: step.site,
            });
        }
    }

    fn terminal(&mut self, process: &Process) {
        let site = process.terminal.site;
        match process.terminal.value {
            Terminal::Inherit => {}
            Terminal::New if self.facts.caller.terminals.contains(&true) => {
                self.step(Action::NewTerminal, site, "")
            }
            Terminal::New => self.step(
                Action::NewSession,
                site,
                "the caller has no terminal to stand in for",
            ),
            Terminal::None => self.step(Action::NewSession, site, ""),
        }
    }

    pub(super) fn has(&self, found: impl Fn(&Action) -> bool) -> bool {
        self.plan.steps.iter().any(|step| found(&step.action))
    }

    pub(super) fn working_directory(&mut self, process: &Process) {
        if let Some(said) = &process.working_directory {
            match expand(&said.value, &self.facts.caller) {
                Ok(Expanded::Path(path)) => {
                    self.step(
                        Action::WorkingDirectory {
                            candidates: vec![path],
                        },
                        said.site,
                        "",
                    );
                }
                Ok(Expanded::NotApplicable(why)) | Err(why) => self.errors.push(Diagnostic::error(
                    format!("the working directory cannot be told: {why}"),
                    said.site,
                    "asked for here",
                )),
                Ok(Expanded::Glob(_)) => self.errors.push(Diagnostic::error(
                    "a working directory cannot be a pattern",
                    said.site,
                    "has `*`, `?` or `[`",
                )),
            }
        } else if self.has(|action| matches!(action, Action::PivotRoot)) {
            let candidates = usual_directories(&self.facts.caller);
            self.step(
                Action::WorkingDirectory { candidates },
                Site::DEFAULT,
                "the first that is seen inside",
            );
        }
    }

    fn program(&mut self, process: &Process) {
        if let Some(after) = &process.timeout {
            self.step(Action::Timeout { after: after.value }, after.site, "");
        }
        let mut arguments = vec![self.request.program.clone()];
        arguments.extend(self.request.arguments.iter().cloned());
        let mut environment = environment::lower(self.policy, &self.facts.caller.environment);
        environment = desktop::environment(self.policy, &self.desktop.variables, environment);
        let buses = dbus::plans(self.policy, self.facts);
        let accessible = dbus::accessibility::accessible(self.policy, self.facts, &buses);
        dbus::set_variables(
            &mut environment,
            self.policy,
            &buses,
            accessible.as_ref(),
            self.mounts,
        );
        let site = self
            .policy
            .section(Section::Environment)
            .next()
            .map_or(Site::DEFAULT, |(_, _, rule)| rule.site);
        self.step(
            Action::Execute {
                program: self.request.program.clone(),
                arguments,
                environment,
            },
            site,
            "",
        );
    }
}
