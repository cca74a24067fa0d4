//! Groups of processes that were put under limits while they ran (`sandboxctl attach`). No launcher looks after them, so
//! that nobody holds a lock on their records: such a record is stale when no process is in the group any more.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::name;
use super::process;
use super::record::{self, Content, Layer, Limit, ProcessId, Record};
use super::registry::{Refused, Registration, Wanted};
use super::sandbox::{self, Refusal, Sandbox, Status, now};
use crate::exec::group::{GroupDirectory, sweep};
use crate::kernel::stat::Stat;
use crate::kernel::{Errno, descriptor};
use crate::report::escape;

/// What is to be written down about such a group.
#[derive(Debug)]
pub struct Attached {
    /// What it is to be called; else as its first process.
    pub name: Option<String>,
    /// The profiles asked for.
    pub profile: String,
    /// The profiles that had a say.
    pub layers: Vec<Layer>,
    /// The first process that was named.
    pub process: ProcessId,
    /// Its directories.
    pub group: Vec<GroupDirectory>,
    /// The systemd unit that it lies in.
    pub unit: Option<String>,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// The soft limit that a process beside it holds, in bytes.
    pub memory_soft: Option<u64>,
    /// The policy as JSON.
    pub policy: serde_json::Value,
}

impl Attached {
    /// Writes the record down, and leaves it there. What the group is called.
    ///
    /// # Errors
    /// There is no place for it, or the process has ended.
    pub fn register(self) -> Result<String, String> {
        let pid = self.process.pid;
        let mut words = process::words(pid).into_iter();
        let gone = || format!("process {pid} has ended");
        let comm = Stat::of(pid).map_err(|_| gone())?.name;
        let program = words.next().unwrap_or_else(|| comm.clone().into());
        let like = self.name.unwrap_or_else(|| name::of_program(comm.as_ref()));
        let mut registration =
            Registration::make(&Wanted::Like(like)).map_err(|refused| match refused {
                Refused::Taken(why) | Refused::Unusable(why) => why,
            })?;
        let namespace = process::own_namespace().map_err(|error| error.to_string())?;
        let record = Record {
            version: record::VERSION,
            name: registration.name().to_owned(),
            attached: true,
            profile: self.profile,
            layers: self.layers,
            program: record::escaped(&program),
            arguments: words.map(|word| record::escaped(&word)).collect(),
            uid: nix::unistd::geteuid().as_raw(),
            boot: process::boot(),
            pid_namespace: namespace,
            supervisor: self.process,
            child: self.process,
            init: false,
            program_process: None,
            created: now(),
            group: self.group,
            unit: self.unit,
            limits: self.limits,
            memory_soft: self.memory_soft,
            namespaces: process::namespaces(pid),
            again: None,
        };
        let nothing = serde_json::Value::Null;
        let lines = Content::rules(&self.policy, &nothing)
            .and_then(|rules| Content::lines(&record, &rules))
            .map_err(|error| error.to_string())?;
        registration
            .write(&lines)
            .map_err(|error| error.to_string())?;
        registration.leave();
        Ok(record.name)
    }
}

/// How often an empty group is tried to be removed.
const TRIES: u32 = 25;
/// The time between.
const PAUSE: Duration = Duration::from_millis(2);

/// Whether a process is still in the group of such a record. What was written down in another pid namespace counts as
/// there: no lock says that it is not, and with the next start of the host it is gone.
pub(super) fn is_left(record: &Record, owner: u32) -> bool {
    if record.boot != process::boot() {
        return false;
    }
    if !process::is_here(record) {
        return true;
    }
    match sandbox::open_group(record, owner) {
        Ok(Some(group)) if group.is_populated() => true,
        Ok(Some(group)) if record.unit.is_none() => {
            // Nobody else is told that it is empty. What is removed is empty and bears our name; what has just ended may be
            // counted for a moment.
            let parents = || record.group.iter().filter_map(|at| at.path.parent());
            for _ in 0..TRIES {
                drop(sweep(parents()));
                if !group.each().any(|(_, at)| at.has("cgroup.procs")) {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
            false
        }
        _ => false,
    }
}

impl Sandbox {
    /// Whether this is no sandbox, but a group of processes that ran already.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.attached)
    }

    /// What a group of attached processes is doing.
    pub(super) fn status_of_attached(&self) -> Status {
        match self.group() {
            Ok(Some(group)) if group.is_frozen() => Status::Frozen,
            Ok(Some(group)) if group.is_populated() => Status::Running,
            _ => Status::Ending,
        }
    }

    /// Refuses what would strike the very process that asks for it.
    pub(super) fn check_outside(&self, what: &str) -> Result<(), Refusal> {
        let own = std::process::id().cast_signed();
        if !self.is_attached() || !self.processes()?.contains(&own) {
            return Ok(());
        }
        Err(Refusal::new(format!(
            "`{}` is not {what} from within: this very process is in it",
            escape::line(self.name())
        ))
        .help("say it in a terminal that is not under these limits"))
    }

    /// Waits until no process is left in a group of attached ones.
    ///
    /// # Errors
    /// It cannot be looked at, or this process is in it.
    pub fn wait_for_attached(&self) -> Result<(), Refusal> {
        /// As numbers come again, the group is looked at from time to time.
        const LOOK: i32 = 1000;
        /// For a process that has ended and is still listed.
        const SOON: i32 = 20;
        self.check_outside("waited for")?;
        loop {
            let Some(group) = self.group().ok().flatten() else {
                // Its directory is gone.
                return Ok(());
            };
            let Some(&pid) = group.processes().first() else {
                return Ok(());
            };
            let opened = crate::kernel::process::open(pid);
            let mut fds: Vec<libc::pollfd> = opened
                .iter()
                .filter(|_| Stat::of(pid).is_ok_and(|stat| !stat.is_dead()))
                .map(|fd| libc::pollfd {
                    fd: fd.as_fd().as_raw_fd(),
                    events: libc::POLLIN,
                    revents: 0,
                })
                .collect();
            let patience = if fds.is_empty() { SOON } else { LOOK };
            match descriptor::poll(&mut fds, patience) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Refusal::new(format!("cannot wait: {}", errno.desc()))),
            }
        }
    }
}
