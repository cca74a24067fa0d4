//! `sandboxctl events`: what happens to sandboxes, a line each, until they have ended.
//!
//! What the kernel announces (an end by the pidfd, `memory.events` and its like on v2 by POLLPRI) is told at once; for the
//! rest the counters are read at an interval.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::control::process::{self, Process};
use crate::control::record::Record;
use crate::control::sandbox::{self, Sandbox, now, user_name};
use crate::control::statistics::Statistics;
use crate::exec::group::Directories;
use crate::kernel::{Errno, descriptor};
use crate::profile::value::human_bytes;
use crate::report::escape;
use crate::section::limits::Version;

use super::super::answer;
use super::super::arguments::Interval;
use super::running::{chosen, command, refuse};
use super::table;

/// What happened: its word, the same in words, and what is known about it.
type News = (&'static str, String, Value);

/// A sandbox that is watched.
struct Watched {
    sandbox: Box<Sandbox>,
    record: Record,
    group: Option<Directories>,
    /// The child; none where it cannot be reached from here, so that the lock says when it has ended.
    child: Option<Process>,
    /// Files that poll POLLPRI when what is in them has changed.
    announcing: Vec<File>,
    last: Statistics,
    frozen: bool,
    /// Whether the child has ended, so that the launcher is about to let the lock go.
    ended: bool,
}

/// Files of v2 that the kernel announces changes of (kernel document cgroup-v2).
const ANNOUNCING: [&str; 3] = ["memory.events", "pids.events", "cgroup.events"];

impl Watched {
    /// Gives the sandbox back while it is still being started.
    fn of(mut sandbox: Box<Sandbox>) -> Result<Self, Box<Sandbox>> {
        // It may have been written meanwhile.
        sandbox.refresh();
        let Some(record) = sandbox.record.clone() else {
            return Err(sandbox);
        };
        let group = sandbox.group().ok().flatten();
        let statistics = |group: &Directories| Statistics::of_group(group, record.memory_soft);
        Ok(Self {
            child: process::child(&record, sandbox.uid()).ok(),
            announcing: group.as_ref().map(announcing).unwrap_or_default(),
            last: group.as_ref().map(statistics).unwrap_or_default(),
            frozen: group.as_ref().is_some_and(Directories::is_frozen),
            ended: false,
            group,
            record,
            sandbox,
        })
    }

    /// What the kernel has announced is taken note of, so that it announces the next.
    fn hear(&mut self) {
        // A file of a group that is gone cannot be read any more.
        self.announcing
            .retain(|file| file.read_at(&mut [0; 512], 0).is_ok());
    }

    /// What has changed since the last look.
    fn news(&mut self) -> Vec<News> {
        self.hear();
        let Some(group) = &self.group else {
            return Vec::new();
        };
        // The launcher removes it before it lets the lock go.
        if !group
            .each()
            .all(|(_, directory)| directory.has("cgroup.procs"))
        {
            return Vec::new();
        }
        let now = Statistics::of_group(group, self.record.memory_soft);
        let before = std::mem::replace(&mut self.last, now);
        let more =
            |now: Option<u64>, before: Option<u64>| now.filter(|now| *now > before.unwrap_or(0));
        let mut news = Vec::new();
        if let Some(kills) = more(now.oom_kills, before.oom_kills) {
            news.push(oom(kills, &before));
        }
        if let Some(hits) = more(now.memory_limit_hits, before.memory_limit_hits) {
            news.push((
                "memory-limit",
                format!(
                    "at the memory limit{}, {hits} times until now",
                    now.memory_limit
                        .map_or_else(String::new, |limit| format!(" of {}", human_bytes(limit)))
                ),
                json!({ "memory_limit_hits": hits, "memory_limit": now.memory_limit }),
            ));
        }
        if let Some(refused) = more(now.pids_refused, before.pids_refused) {
            news.push((
                "pids-limit",
                format!(
                    "forks were refused{}, {refused} until now",
                    now.pids_limit.map_or_else(String::new, |limit| format!(
                        " at the limit of {limit} processes"
                    ))
                ),
                json!({ "pids_refused": refused, "pids_limit": now.pids_limit }),
            ));
        }
        if let Some(time) = more(now.throttled_usec, before.throttled_usec) {
            news.push((
                "throttled",
                format!("held back at the CPU limit, {} ms until now", time / 1000),
                json!({ "throttled_usec": time, "throttled": now.throttled }),
            ));
        }
        let frozen = group.is_frozen();
        if frozen != std::mem::replace(&mut self.frozen, frozen) {
            news.push(match frozen {
                true => ("frozen", "none of its processes runs".to_owned(), json!({})),
                false => ("thawed", "its processes run again".to_owned(), json!({})),
            });
        }
        news
    }

    /// How it ended; none while it runs.
    fn ending(&self) -> Option<Vec<News>> {
        if self.sandbox.entry.is_live() {
            return None;
        }
        // Its launcher is gone; the sandbox may have outlived it.
        let ended = self
            .sandbox
            .entry
            .content()
            .ok()
            .and_then(|content| content.ended);
        if ended.is_none() && process::is_left(&self.record, self.sandbox.uid()) {
            return None;
        }
        let exited = match ended {
            Some(ended) => (
                "exited",
                format!("with status {}", ended.status),
                json!({ "status": ended.status, "timed_out": ended.timed_out, "oom_kills": ended.oom_kills }),
            ),
            None if self.record.attached => (
                "exited",
                "none of its processes is left".to_owned(),
                json!({ "status": null }),
            ),
            None => (
                "exited",
                "its launcher was killed".to_owned(),
                json!({ "status": null }),
            ),
        };
        // What came last was counted when the group was gone for us already.
        let kills = ended.and_then(|ended| ended.oom_kills);
        let last = kills
            .filter(|kills| *kills > self.last.oom_kills.unwrap_or(0))
            .map(|kills| oom(kills, &self.last));
        Some(last.into_iter().chain([exited]).collect())
    }
}

/// The kernel has killed so many processes by now, more than were known.
fn oom(kills: u64, before: &Statistics) -> News {
    let limit = before.memory_limit.map_or_else(String::new, |limit| {
        format!(" at the memory limit of {}", human_bytes(limit))
    });
    let what = match kills.saturating_sub(before.oom_kills.unwrap_or(0)) {
        1 => "a process".to_owned(),
        new => format!("{new} processes"),
    };
    (
        "oom",
        format!("the kernel killed {what}{limit}"),
        json!({ "oom_kills": kills, "memory_limit": before.memory_limit }),
    )
}

fn announcing(group: &Directories) -> Vec<File> {
    let mut files = Vec::new();
    for (version, directory) in group.each() {
        if version == Version::V2 {
            let found = ANNOUNCING
                .iter()
                .filter_map(|name| directory.file(name).ok());
            files.extend(found);
        }
    }
    files
}

/// Prints one event.
fn tell(watched: &Watched, (event, words, more): News, json: bool) -> Result<(), i32> {
    let time = table::date(now());
    if json {
        let mut value = json!({
            "time": time,
            "event": event,
            "name": watched.sandbox.name(),
            "uid": watched.sandbox.uid(),
            "user": user_name(watched.sandbox.uid()),
        });
        if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
            fields.extend(more);
        }
        return answer(&format!("{value}\n"));
    }
    answer(&format!(
        "{time} {} {event}: {}\n",
        watched.sandbox.name(),
        escape::line(&words)
    ))
}

/// A sandbox was started, or was there when we came.
fn started(watched: &Watched) -> News {
    let record = &watched.record;
    (
        "started",
        command(&watched.sandbox),
        json!({
            "created": table::date(record.created),
            "pid": record.child.pid,
            "profile": record.profile,
            "program": record.program,
        }),
    )
}

pub(super) fn events(name: Option<&str>, json: bool, interval: Interval) -> Result<(), i32> {
    let mut all: BTreeMap<(u32, String), Watched> = BTreeMap::new();
    let mut newcomers = match name {
        Some(name) => vec![sandbox::find(name).map_err(|error| refuse(&error))?],
        None => chosen(None)?,
    };
    loop {
        let mut starting = Vec::new();
        for sandbox in newcomers {
            let key = (sandbox.uid(), sandbox.name().to_owned());
            let known = all.get(&key).map(|known| known.sandbox.entry.inode());
            if known == Some(sandbox.entry.inode()) {
                continue;
            }
            match Watched::of(Box::new(sandbox)) {
                Ok(watched) => {
                    // The one before of that name.
                    if let Some(before) = all.remove(&key) {
                        for news in before.ending().into_iter().flatten() {
                            tell(&before, news, json)?;
                        }
                    }
                    tell(&watched, started(&watched), json)?;
                    all.insert(key, watched);
                }
                Err(sandbox) if sandbox.entry.is_live() => starting.push(*sandbox),
                Err(_) => {}
            }
        }
        if name.is_some() && all.is_empty() && starting.is_empty() {
            return Ok(());
        }
        pause(&mut all, interval)?;
        let mut over = Vec::new();
        for (key, watched) in &mut all {
            for news in watched.news() {
                tell(watched, news, json)?;
            }
            if let Some(ending) = watched.ending() {
                for news in ending {
                    tell(watched, news, json)?;
                }
                over.push(key.clone());
            }
        }
        for key in over {
            all.remove(&key);
        }
        newcomers = match name {
            Some(_) => starting,
            None => sandbox::all().sandboxes,
        };
    }
}

/// Waits until something is announced, or for the interval.
fn pause(all: &mut BTreeMap<(u32, String), Watched>, interval: Interval) -> Result<(), i32> {
    /// How often the lock is looked at when its launcher is about to let it go.
    const SOON: i32 = 20;
    let entry = |fd: BorrowedFd<'_>, events| libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let mut fds = Vec::new();
    for watched in all.values() {
        if let Some(child) = watched.child.as_ref().filter(|_| !watched.ended) {
            fds.push(entry(child.fd(), libc::POLLIN));
        }
        let announcing = watched.announcing.iter();
        fds.extend(announcing.map(|file| entry(file.as_fd(), libc::POLLPRI)));
    }
    let milliseconds = match all.values().any(|watched| watched.ended) {
        true => SOON,
        false => i32::try_from(interval.0).unwrap_or(i32::MAX),
    };
    match descriptor::poll(&mut fds, milliseconds) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => {
            let reason = format!("cannot wait for events: {}", errno.desc());
            return Err(refuse(&sandbox::Refusal::new(reason)));
        }
    }
    let over: Vec<i32> = fds
        .iter()
        .filter(|found| found.events == libc::POLLIN && found.revents != 0)
        .map(|found| found.fd)
        .collect();
    for watched in all.values_mut() {
        if let Some(child) = &watched.child {
            watched.ended |= over.contains(&child.fd().as_raw_fd());
        }
    }
    Ok(())
}
