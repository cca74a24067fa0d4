//! Places in the kernel's queues: nice value, I/O priority, scheduler, OOM score. The launcher gives them to the child while
//! it waits.

use crate::kernel::{Errno, process};
use crate::plan::Action;
use crate::profile::value::{IoPriority, Scheduler};

use super::failure::LaunchError;
use super::outside;

/// One of the places in the kernel's queues, which the launcher gives the child.
#[derive(Debug)]
pub(super) struct Priority {
    pub step: u32,
    pub value: PriorityOp,
    pub may_fail: bool,
}

/// Which queue, and which place.
#[derive(Clone, Copy, Debug)]
pub(super) enum PriorityOp {
    /// oom_score_adj
    OomScore(i32),
    Nice(i32),
    Io {
        class: u16,
        level: u16,
    },
    Scheduler {
        policy: libc::c_int,
        priority: libc::c_int,
    },
}

/// Whether the child is to be a real-time process.
pub(super) fn is_real_time(priorities: &[Priority]) -> bool {
    priorities
        .iter()
        .any(|entry| matches!(entry.value, PriorityOp::Scheduler { priority, .. } if priority > 0))
}

/// The kernel's words for it (linux/ioprio.h, sched(7)); none for what is no priority.
pub(super) fn lower(action: &Action) -> Option<PriorityOp> {
    Some(match action {
        Action::OomScoreAdjust { value } => PriorityOp::OomScore(*value),
        Action::Nice { value } => PriorityOp::Nice(*value),
        Action::IoPriority { value } => {
            let (class, level) = match value {
                IoPriority::RealTime(level) => (1, *level),
                IoPriority::BestEffort(level) => (2, *level),
                IoPriority::Idle => (3, 0),
            };
            PriorityOp::Io {
                class,
                level: level.into(),
            }
        }
        Action::Scheduler { value } => {
            let (policy, priority) = match value {
                Scheduler::Other => (libc::SCHED_OTHER, 0),
                Scheduler::Batch => (libc::SCHED_BATCH, 0),
                Scheduler::Idle => (libc::SCHED_IDLE, 0),
                Scheduler::Fifo(priority) => (libc::SCHED_FIFO, *priority),
                Scheduler::RoundRobin(priority) => (libc::SCHED_RR, *priority),
            };
            PriorityOp::Scheduler {
                policy,
                priority: priority.into(),
            }
        }
        _ => return None,
    })
}

/// Gives the child its places in the kernel's queues, which its children inherit. `drop` is called with the step and the
/// reason for those that are passed over, as they may be.
pub(super) fn set_all(
    priorities: &[Priority],
    pid: libc::pid_t,
    drop: &mut dyn FnMut(usize, Errno),
) -> Result<(), LaunchError> {
    for entry in priorities {
        let set = match entry.value {
            PriorityOp::OomScore(value) => {
                outside::write_file(pid, "oom_score_adj", &value.to_string())
            }
            PriorityOp::Nice(value) => process::set_nice(pid, value),
            PriorityOp::Io { class, level } => process::set_io_priority(pid, class, level),
            PriorityOp::Scheduler { policy, priority } => {
                process::set_scheduler(pid, policy, priority)
            }
        };
        match set {
            Ok(()) => {}
            Err(errno) if entry.may_fail => drop(entry.step as usize, errno),
            Err(errno) => return Err(LaunchError::at_step(entry.step as usize, errno)),
        }
    }
    Ok(())
}
