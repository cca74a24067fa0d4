//! What is done to running sandboxes: signals, killing, freezing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::process::{self, Process};
use super::record::ProcessId;
use super::sandbox::{Refusal, Sandbox, Status};
use crate::exec::group::Directories;
use crate::kernel::Errno;
use crate::kernel::stat::Stat;

/// How long killing and freezing may take until it is an error.
const PATIENCE: Duration = Duration::from_secs(10);

impl Sandbox {
    /// Sends a signal to the program.
    ///
    /// # Errors
    /// It cannot be reached, or the kernel refuses.
    pub fn signal(&self, number: i32) -> Result<(), Refusal> {
        let program = self.program().map_err(|lost| match self.is_attached() {
            true => lost.help(
                "of the processes that were attached only the first is meant; --all means all",
            ),
            false => lost,
        })?;
        program
            .signal(number)
            .map_err(|errno| self.refused("the signal cannot be sent", errno))?;
        if number == libc::SIGKILL {
            self.let_die()?;
        }
        Ok(())
    }

    /// Sends a signal to every process.
    ///
    /// # Errors
    /// As for [`Sandbox::signal`].
    pub fn signal_all(&self, number: i32) -> Result<(), Refusal> {
        self.check_outside("signalled")?;
        if number == libc::SIGKILL {
            return self.kill();
        }
        for pid in self.processes()? {
            if let Some(process) = self.member(pid) {
                // What has just ended needs no signal.
                let _ = process.signal(number);
            }
        }
        Ok(())
    }

    /// Kills every process, and waits until none is left.
    ///
    /// # Errors
    /// It cannot be reached; or some are still there after ten seconds.
    pub fn kill(&self) -> Result<(), Refusal> {
        let failed = |what: &dyn std::fmt::Display| {
            Refusal::new(format!("`{}` cannot be killed: {what}", self.name()))
        };
        if let Some(group) = self.group()? {
            return group.kill().map_err(|error| failed(&error));
        }
        let record = self.record()?;
        let child = match process::child(record, self.uid()) {
            Err(process::Lost::Gone) => return Ok(()),
            other => other.map_err(|lost| failed(&lost))?,
        };
        let own = process::own_namespace().ok();
        let inner = record.namespaces.get("pid").copied();
        if !(record.init || inner.is_some() && inner != own) {
            // Without a pid namespace of its own nobody kills the rest: stopped from the top down, so that none makes
            // others, then killed.
            for number in [libc::SIGSTOP, libc::SIGKILL] {
                self.sweep(&child, number);
            }
        }
        // With process 1 the kernel kills its namespace (pid_namespaces(7)).
        let _ = child.signal(libc::SIGKILL);
        let started = Instant::now();
        while Stat::of(child.pid()).is_ok_and(|stat| !stat.is_dead())
            && child.signal(0) != Err(Errno::ESRCH)
        {
            if started.elapsed() > PATIENCE {
                return Err(failed(&format!("process {} is still there", child.pid())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Signals everything below a process until nothing new appears there.
    fn sweep(&self, child: &Process, number: i32) {
        const ROUNDS: usize = 1000;
        let mut done = BTreeSet::new();
        for _ in 0..ROUNDS {
            let table = process::table();
            let mut new = false;
            for pid in process::descendants(child.pid(), &table) {
                let Some(stat) = table.get(&pid) else {
                    continue;
                };
                // The child last, so that the others stay below it.
                if pid == child.pid() && number == libc::SIGKILL || stat.is_dead() {
                    continue;
                }
                if done.insert((pid, stat.started)) {
                    new = true;
                    if let Ok(process) = Process::open(ProcessId::from(stat), self.uid()) {
                        let _ = process.signal(number);
                    }
                }
            }
            if !new {
                return;
            }
        }
    }

    /// One of its processes, held so that it is no other. Of a group that only its user can have filled, nothing more is
    /// asked.
    fn member(&self, pid: i32) -> Option<Process> {
        let stat = Stat::of(pid).ok()?;
        Process::open(ProcessId::from(&stat), self.uid()).ok()
    }

    /// A process that is frozen on v1 dies only when it is thawed.
    fn let_die(&self) -> Result<(), Refusal> {
        match self.group()? {
            Some(group) if group.is_frozen() => {
                set(&group, false).map_err(|error| self.stuck(&error))
            }
            _ => Ok(()),
        }
    }

    /// Stops every process.
    ///
    /// # Errors
    /// It has no control group, or none that can freeze; or the kernel takes more than ten seconds.
    pub fn freeze(&self) -> Result<(), Refusal> {
        self.check_outside("frozen")?;
        set(&self.freezer()?, true).map_err(|error| self.stuck(&error))
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As for [`Sandbox::freeze`]; it was not frozen.
    pub fn thaw(&self) -> Result<(), Refusal> {
        let group = self.freezer()?;
        if self.status() != Status::Frozen {
            return Err(Refusal::new(format!("`{}` is not frozen", self.name())));
        }
        set(&group, false).map_err(|error| self.stuck(&error))
    }

    fn freezer(&self) -> Result<Directories, Refusal> {
        let name = self.name();
        let Some(group) = self.group()? else {
            return Err(
                Refusal::new(format!("`{name}` has no control group, so that it cannot be frozen"))
                    .help("a sandbox with a limit in [limits] has one: `sandbox --pids 4096 …`, where `sandboxctl doctor` finds a way")
                    .help(format!("what is possible: `sandboxctl kill --all --signal STOP {name}`, and `CONT` later")),
            );
        };
        if !group.can_be_frozen() {
            return Err(Refusal::new(format!(
                "the control group of `{name}` cannot freeze: it is of cgroup v1 and has no part in the hierarchy of `freezer`"
            ))
            .help(match self.is_attached() {
                true => "processes that ran already are put under limits alone there, and not into a freezer's group",
                false => "as root: `sandboxctl delegate USER`, and start it anew",
            })
            .help(format!("what is possible: `sandboxctl kill --all --signal STOP {name}`, and `CONT` later")));
        }
        Ok(group)
    }

    fn stuck(&self, error: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(format!("`{}`: {error}", self.name()))
    }

    fn refused(&self, what: &str, errno: Errno) -> Refusal {
        Refusal::new(format!("`{}`: {what}: {}", self.name(), errno.desc()))
    }
}

fn set(group: &Directories, frozen: bool) -> Result<(), String> {
    let result = if frozen { group.freeze() } else { group.thaw() };
    result.map_err(|error| match error.errno {
        Errno::EBUSY => format!(
            "it is not {} after {} s: a process may hang in the kernel",
            if frozen { "frozen" } else { "thawed" },
            PATIENCE.as_secs()
        ),
        _ => error.to_string(),
    })
}
