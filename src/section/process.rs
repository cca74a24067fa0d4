//! `[process]`: attributes of the process that becomes the program.

use std::path::PathBuf;
use std::time::Duration;

use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{CpuSet, IoPriority, Scheduler, Value};
use crate::report::Site;

/// Which terminal the program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// The caller's.
    Inherit,
    /// A pseudo-terminal of its own, when the caller has a terminal.
    New,
    /// None.
    None,
}

/// What `[process]` says.
#[derive(Clone, Debug)]
pub struct Process {
    /// `None`: not said.
    pub no_new_privileges: Option<Traced<bool>>,
    /// A process 1 of ours in a new pid namespace.
    pub init: Traced<bool>,
    /// The terminal.
    pub terminal: Traced<Terminal>,
    /// A new session keyring.
    pub new_keyring: Traced<bool>,
    /// End with the launcher.
    pub die_with_parent: Traced<bool>,
    /// The nice value.
    pub nice: Option<Traced<i32>>,
    /// The place in the queue for the disk.
    pub io_priority: Option<Traced<IoPriority>>,
    /// How the CPUs are shared out.
    pub scheduler: Option<Traced<Scheduler>>,
    /// The CPUs that it runs on.
    pub cpu_affinity: Option<Traced<CpuSet>>,
    /// The OOM score adjustment.
    pub oom_score_adjust: Option<Traced<i32>>,
    /// The umask.
    pub umask: Option<Traced<u32>>,
    /// The working directory, not yet expanded.
    pub working_directory: Option<Traced<String>>,
    /// Wall time.
    pub timeout: Option<Traced<Duration>>,
    /// Landlock as a second wall; `None`: where the kernel has it.
    pub landlock: Option<Traced<bool>>,
    /// The program makes sandboxes of its own.
    pub nested: Traced<bool>,
    /// What can be written cannot be executed.
    pub write_xor_execute: Traced<bool>,
}

impl Process {
    /// Reads the section.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        // Few of its many keys are ever said: they are looked up once together.
        let all: Vec<_> = policy.section(Section::Process).collect();
        let get = |key: &str| {
            let said = all.iter().find(|(said, ..)| *said == key);
            said.map(|(_, value, rule)| Traced::new(*value, rule.site))
        };
        let flag = |key| {
            get(key).and_then(|said| match said.value {
                Value::Bool(value) => Some(Traced::new(*value, said.site)),
                _ => None,
            })
        };
        let integer = |key| {
            get(key).and_then(|said| match said.value {
                Value::Integer(value) => i32::try_from(*value)
                    .ok()
                    .map(|value| Traced::new(value, said.site)),
                _ => None,
            })
        };
        let word = |key| {
            get(key).and_then(|said| match said.value {
                Value::Word(word) => Some(Traced::new(*word, said.site)),
                _ => None,
            })
        };
        let or = |value: Option<Traced<bool>>, default| {
            value.unwrap_or(Traced::new(default, Site::DEFAULT))
        };
        Self {
            no_new_privileges: flag("no-new-privileges"),
            init: or(flag("init"), true),
            terminal: word("terminal").map_or(
                Traced::new(Terminal::Inherit, Site::DEFAULT),
                |said| {
                    let terminal = match said.value {
                        "new" => Terminal::New,
                        "none" => Terminal::None,
                        _ => Terminal::Inherit,
                    };
                    Traced::new(terminal, said.site)
                },
            ),
            new_keyring: word("session-keyring").map_or(Traced::new(true, Site::DEFAULT), |said| {
                Traced::new(said.value == "new", said.site)
            }),
            die_with_parent: or(flag("die-with-parent"), true),
            nice: integer("nice"),
            io_priority: get("io-priority").and_then(|said| match said.value {
                Value::IoPriority(priority) => Some(Traced::new(*priority, said.site)),
                _ => None,
            }),
            scheduler: get("scheduler").and_then(|said| match said.value {
                Value::Scheduler(scheduler) => Some(Traced::new(*scheduler, said.site)),
                _ => None,
            }),
            cpu_affinity: get("cpu-affinity").and_then(|said| match said.value {
                Value::CpuSet(cpus) => Some(Traced::new(cpus.clone(), said.site)),
                _ => None,
            }),
            oom_score_adjust: integer("oom-score-adjust"),
            umask: get("umask").and_then(|said| match said.value {
                Value::Mode(mode) => Some(Traced::new(*mode, said.site)),
                _ => None,
            }),
            working_directory: get("working-directory").and_then(|said| match said.value {
                Value::Text(path) => Some(Traced::new(path.clone(), said.site)),
                _ => None,
            }),
            timeout: get("timeout").and_then(|said| match said.value {
                Value::Duration(span) => Some(Traced::new(*span, said.site)),
                _ => None,
            }),
            landlock: flag("landlock"),
            nested: or(flag("nested"), false),
            write_xor_execute: or(flag("write-xor-execute"), false),
        }
    }
}

/// Where the program starts when nobody says: the best first.
#[must_use]
pub fn usual_directories(caller: &crate::host::facts::Caller) -> Vec<PathBuf> {
    let mut candidates = vec![
        caller.working_directory.clone(),
        caller.home.clone(),
        PathBuf::from("/"),
    ];
    candidates.retain(|path| path.is_absolute());
    candidates.dedup();
    candidates
}
