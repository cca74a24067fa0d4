//! The launcher's side of the records of running sandboxes: a name before anything is started, what others must know once
//! the program runs, how it ended.

use std::ffi::OsStr;

use crate::control::confinement::{Caller, Confinement, Inherited};
use crate::control::name;
use crate::control::process;
use crate::control::record::{self, Content, Ended, Layer, Limit, ProcessId, Record};
use crate::control::registry::{Refused, Registration, Wanted};
use crate::control::sandbox::now;
use crate::exec::{Outcome, Started};
use crate::kernel::signal;
use crate::kernel::stat::Stat;
use crate::plan::Plan;
use crate::policy::{Policy, show};
use crate::profile::key::Section;
use crate::report::{SourceMap, escape};
use crate::section::user;

use super::arguments::Launch;
use super::{complain, status};

/// A run that others can find; or, where no record can be made, one that they cannot.
pub(super) struct Registered {
    registration: Option<Registration>,
    /// Until it has been written down, and memory is given back.
    policy: Option<Policy>,
    /// What of the record can be said before the program runs.
    rules: Result<Vec<u8>, String>,
    /// What a second start is compared with.
    again: Option<String>,
    /// The caller's umask: by the time that the rest of the record is made ready, it is another one.
    umask: u32,
}

/// Takes the run's name. That no record can be made is no reason not to start, unless a name was asked for.
///
/// # Errors
/// The exit status; the reason has been told.
#[inline(never)] // what it needs of the stack is not to stay with who waits for the program
pub(super) fn take_name(launch: &Launch) -> Result<Registered, i32> {
    // From here on there is something to be removed: a signal that would end this process waits until the program runs, which
    // it is passed on to.
    let _ = signal::block(&signal::WATCHED);
    let wanted = match &launch.name {
        Some(name) => Wanted::Exactly(name.clone()),
        None => Wanted::Like(name::of_program(
            launch.program().unwrap_or_else(|| OsStr::new("")),
        )),
    };
    let registration = match (Registration::make(&wanted), &launch.name) {
        (Ok(registration), _) => Some(registration),
        (Err(Refused::Taken(by)), name) => {
            complain(&format!(
                "sandbox: the name `{}` is taken by a running sandbox: {by}\n  help: choose another --name, or end that one: sandboxctl kill {0}\n",
                name.as_deref().unwrap_or_default()
            ));
            return Err(status::NOT_SET_UP);
        }
        (Err(Refused::Unusable(reason)), Some(name)) => {
            complain(&format!(
                "sandbox: the sandbox cannot be named `{name}`, as no record of it can be written: {reason}\n  help: without --name it is started, and `sandboxctl` does not know it\n"
            ));
            return Err(status::NOT_SET_UP);
        }
        (Err(Refused::Unusable(reason)), None) => {
            if launch.verbose {
                complain(&format!(
                    "sandbox: `sandboxctl` will not know this sandbox: {reason}\n"
                ));
            }
            None
        }
    };
    Ok(Registered {
        umask: registration.as_ref().map_or(0, Registration::umask),
        registration,
        policy: None,
        rules: Ok(Vec::new()),
        again: None,
    })
}

impl Registered {
    /// What the sandbox is called; none where there is no record.
    pub(super) fn name(&self) -> Option<&str> {
        self.registration.as_ref().map(Registration::name)
    }

    /// Leaves the record to another process, which has taken it over with everything else.
    pub(super) fn leave(self) {
        std::mem::forget(self.registration);
    }

    /// Keeps the policy, and what a second start is compared with, until the program runs.
    pub(super) fn keep(&mut self, policy: Policy, again: Option<String>) {
        self.policy = self.registration.is_some().then_some(policy);
        self.again = again;
    }

    /// Gets that part of the record ready that does not depend on how the program is started.
    pub(super) fn get_ready(&mut self, plan: &Plan, sources: &SourceMap) {
        let Some(policy) = &self.policy else {
            return;
        };
        let confinement = Confinement::of(plan, sources, caller(self.umask))
            .with_root(user::may_join_as_root(policy));
        let rules = Content::rules(&show::Json(policy, sources), &confinement);
        self.rules = rules.map_err(|error| error.to_string());
    }

    /// Writes down what others must know of a program that runs.
    pub(super) fn started(
        &mut self,
        launch: &Launch,
        started: &Started,
        plan: &Plan,
        sources: &SourceMap,
    ) {
        let (Some(registration), Some(policy)) = (&mut self.registration, &self.policy) else {
            return;
        };
        let written = record(launch, registration.name(), started, plan, policy, sources)
            .map_err(|error| error.to_string())
            .and_then(|mut record| {
                record.again = self.again.take();
                let rules = std::mem::replace(&mut self.rules, Ok(Vec::new()))?;
                Content::lines(&record, &rules).map_err(|error| error.to_string())
            })
            .and_then(|lines| {
                registration
                    .write(&lines)
                    .map_err(|error| error.to_string())
            });
        if let Err(reason) = written
            && !launch.quiet
        {
            complain(&format!(
                "sandbox: warning: `sandboxctl` knows this sandbox by its name only: {}\n",
                escape::line(&reason)
            ));
        }
    }

    /// Moves what it keeps to where memory is asked for now.
    pub(super) fn gather(&mut self) {
        self.policy = None;
        if let Some(registration) = &mut self.registration {
            registration.gather();
        }
    }

    /// Tells those who wait how it ended, and removes the record.
    pub(super) fn ended(&mut self, outcome: &Outcome) {
        // This process ends next.
        std::mem::forget(self.policy.take());
        if let Some(registration) = self.registration.take() {
            registration.end(&Ended {
                status: outcome.ending.status(),
                timed_out: outcome.timed_out,
                oom_kills: outcome.usage.and_then(|usage| usage.oom_kills),
            });
        }
    }
}

/// What this process was started with and hands on. Nothing but the umask is changed before the program runs.
fn caller(umask: u32) -> Caller {
    let limits = crate::kernel::process::limits().into_iter();
    Caller {
        umask,
        limits: limits
            .map(|(resource, soft, hard)| Inherited {
                resource,
                soft,
                hard,
            })
            .collect(),
        working_directory: std::env::current_dir()
            .map(|path| record::escaped(path.as_os_str()))
            .unwrap_or_default(),
    }
}

fn record(
    launch: &Launch,
    name: &str,
    started: &Started,
    plan: &Plan,
    policy: &Policy,
    sources: &SourceMap,
) -> std::io::Result<Record> {
    let identity = |pid| Stat::of(pid).ok().map(|stat| ProcessId::from(&stat));
    let gone = || std::io::Error::other("it has ended");
    let program = started
        .init
        .then(|| process::first_child(started.child).and_then(identity))
        .flatten();
    let program_pid = program.map_or(started.child, |program: ProcessId| program.pid);
    let limits = policy
        .section(Section::Limits)
        .map(|(key, value, rule)| Limit {
            key: key.to_owned(),
            value: value.to_json(),
            origin: sources.position(rule.site).to_string(),
            applied: ![&plan.without, &started.without]
                .into_iter()
                .any(|without| without.contains(&rule.site)),
        });
    let layers = policy.layers.iter().map(|layer| Layer {
        name: layer.name.clone(),
        source: sources.get(layer.site.source).name.clone(),
    });
    Ok(Record {
        version: record::VERSION,
        name: name.to_owned(),
        attached: false,
        profile: policy.name.clone(),
        layers: layers.collect(),
        program: record::escaped(launch.program().unwrap_or_else(|| OsStr::new(""))),
        arguments: launch
            .arguments()
            .iter()
            .map(|argument| record::escaped(argument))
            .collect(),
        uid: nix::unistd::geteuid().as_raw(),
        boot: process::boot(),
        pid_namespace: process::own_namespace()?,
        supervisor: process::own()?,
        child: identity(started.child).ok_or_else(gone)?,
        init: started.init,
        program_process: program,
        created: now(),
        group: started.group.clone(),
        unit: started.unit.clone(),
        limits: limits.collect(),
        memory_soft: started.memory_soft,
        namespaces: process::namespaces(program_pid),
        again: None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::policy::resolve;

    /// What is ready to be written about the caller.
    fn caller_of(registered: &Registered) -> Caller {
        let text = String::from_utf8(registered.rules.clone().unwrap()).unwrap();
        let confinement: serde_json::Value =
            serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        serde_json::from_value(confinement["caller"].clone()).unwrap()
    }

    #[test]
    fn a_launch_that_is_tried_in_another_way_is_recorded_as_the_first() {
        // Where AppArmor refuses what a user namespace is good for, the first try ends after its record was made ready.
        let mut registered = Registered {
            registration: None,
            policy: Some(resolve("x", &[])),
            rules: Ok(Vec::new()),
            again: None,
            umask: 0o027,
        };
        let sources = SourceMap::new();
        registered.get_ready(&Plan::default(), &sources);
        let first = caller_of(&registered);
        registered.get_ready(&Plan::default(), &sources);
        assert_eq!(caller_of(&registered), first);
        assert_eq!(first.umask, 0o027);
        assert!(!first.limits.is_empty() && !first.working_directory.is_empty());
    }
}
