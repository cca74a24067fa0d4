//! The probe `stalk SECONDS`: a hostile program of a sandbox that waits for new processes and tries to get hold of each
//! before it has become a program: by its memory, by its other files in /proc, by tracing it.
//!
//! Prints `new N early N late N`: how many came, how many it got hold of before they executed their program, and
//! afterwards, where nothing forbids it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::probe::{Answer, number};

pub fn run(seconds: &str) -> Answer {
    let end = Instant::now() + Duration::from_secs(number(seconds)?);
    let mut known = processes()?;
    println!("stalking");
    let mut stalkers = Vec::new();
    while Instant::now() < end {
        for pid in processes()? {
            if known.insert(pid) {
                // Every second is traced: a process that is traced already cannot be opened as if it were not.
                let trace = stalkers.len() % 2 == 0;
                stalkers.push(thread::spawn(move || stalk(pid, trace)));
            }
        }
    }
    let new = stalkers.len();
    let found: Vec<Option<bool>> = stalkers
        .into_iter()
        .filter_map(|stalker| stalker.join().ok())
        .collect();
    let count = |what| found.iter().filter(|found| **found == Some(what)).count();
    let (early, late) = (count(true), count(false));
    Ok(format!("new {new} early {early} late {late}"))
}

fn processes() -> io::Result<BTreeSet<i32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// Tries again and again, until it has it or it is gone. `Some(true)`: it has not executed its program yet.
fn stalk(pid: i32, trace: bool) -> Option<bool> {
    let until = Instant::now() + Duration::from_millis(400);
    while Instant::now() < until {
        let found = if trace { seize(pid) } else { open(pid) };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Opens its memory, environment and descriptors. `Some(true)`: it executed its program only afterwards.
fn open(pid: i32) -> Option<bool> {
    let memory = fs::File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"));
    let other = fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| !text.is_empty())
        || fs::read_link(format!("/proc/{pid}/fd/0")).is_ok();
    let Ok(memory) = memory else {
        return other.then(|| is_ours(pid));
    };
    thread::sleep(Duration::from_millis(150));
    // The memory of before is gone when the program has been executed: nothing is read, and that is no error.
    let mut byte = [0];
    let gone = matches!(memory.read_at(&mut byte, 1 << 12), Ok(0));
    Some(gone && fs::exists(format!("/proc/{pid}")).unwrap_or(false))
}

/// Whether a process that lets itself be looked at is still what is to become a program.
fn is_ours(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.starts_with("sandbox")
}

/// Traces it. `Some(true)`: it has not executed its program yet.
///
/// That it stops for us at the end of execve(2) says nothing: the kernel lets a process be traced as soon as it has the
/// memory of the new program, shortly before.
fn seize(pid: i32) -> Option<bool> {
    // SAFETY: PTRACE_SEIZE reads and writes nothing of ours.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) };
    Errno::result(seized).ok()?;
    // Only who has stopped can be let go.
    // SAFETY: takes no pointer.
    unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0) };
    let mut status = 0;
    // SAFETY: the status lives through the call.
    unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    let early = is_ours(pid);
    // SAFETY: takes no pointer.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) };
    Some(early)
}
