//! `sandboxctl set`: other limits for a sandbox that runs.

use std::fmt::Write as _;

use serde_json::json;

use crate::control::limits::{Changed, apply, enable, plan, undo};
use crate::control::record::{self, Limit, Record};
use crate::control::sandbox::{self, Refusal, Sandbox};
use crate::exec::group::Directories;
use crate::host::{self, disk};
use crate::kernel::machine;
use crate::policy::recorded::toml_of;
use crate::policy::{self, Policy};
use crate::profile::key::Section;
use crate::profile::value::exact_bytes;
use crate::profile::{Profile, write};
use crate::report::{Diagnostic, Diagnostics, SourceMap};
use crate::section::expand::{Expanded, expand};
use crate::section::limits::{Amount, Limits, Version, is_held_by_group};

use super::super::layer::assignments;
use super::super::{answer, inspect, status};
use super::running::refuse;

/// How a change is called as the origin of a limit.
const ORIGIN: &str = "sandboxctl set";

pub(super) fn set(name: &str, texts: &[String], force: bool, json: bool) -> Result<(), i32> {
    let sandbox = sandbox::find(name).map_err(|refusal| refuse(&refusal))?;
    let record = sandbox.record().map_err(|refusal| refuse(&refusal))?;
    let mut sources = SourceMap::new();
    let wanted = wanted(record, texts, &mut sources).map_err(|wrong| {
        inspect::tell(&wrong, &sources);
        status::USAGE
    })?;
    let done = change(&sandbox, record, &wanted, force).map_err(|refusal| refuse(&refusal))?;
    if json {
        let json = json!({ "name": sandbox.name(), "changed": done });
        return answer(&format!("{json:#}\n"));
    }
    let mut text = String::new();
    for changed in &done {
        let _ = writeln!(
            text,
            "{}: {} → {}  (limits.{})",
            changed.file,
            shown(&changed.file, &changed.before),
            shown(&changed.file, &changed.after),
            changed.key
        );
    }
    if done.is_empty() {
        let _ = writeln!(
            text,
            "nothing to change: `{}` has these limits already",
            sandbox.name()
        );
    }
    answer(&text)
}

/// A value with its unit, where that helps.
fn shown(file: &str, value: &str) -> String {
    const UNLIMITED: u64 = (i64::MAX as u64) - 65_536;
    let is_bytes = (file.starts_with("memory.") && file != "memory.swappiness")
        || file.starts_with("hugetlb.");
    match value.parse::<u64>() {
        Ok(bytes) if is_bytes && bytes >= UNLIMITED => "max".to_owned(),
        Ok(bytes) if is_bytes && bytes > 1024 => exact_bytes(bytes),
        _ => value.to_owned(),
    }
}

/// What is to hold.
struct Wanted {
    keys: Vec<String>,
    old: Limits,
    new: Limits,
    /// What is written down.
    limits: Vec<Limit>,
}

/// The limits in force with the changes over them.
fn wanted(
    record: &Record,
    texts: &[String],
    sources: &mut SourceMap,
) -> Result<Wanted, Diagnostics> {
    let known: Vec<String> = record
        .limits
        .iter()
        .map(|limit| {
            format!(
                "limits.{}={}",
                write::key(&limit.key),
                toml_of(&limit.value)
            )
        })
        .collect();
    if let Some(text) = texts.iter().find(|text| !text.contains('=')) {
        return Err(vec![
            Diagnostic::general(format!("`{text}` is not of the form KEY=VALUE"))
                .help("such as memory=4G, pids=100, cpu=50%"),
        ]);
    }
    let base = assignments("limits in force", &known, sources)?;
    let texts: Vec<String> = texts
        .iter()
        .map(|text| match text.split_once(['=', '"', '/']) {
            // `limits.memory=4G` says it too, and another section is to be named in the refusal.
            Some((before, _)) if before.contains('.') => text.clone(),
            _ => format!("limits.{text}"),
        })
        .collect();
    let change = assignments(ORIGIN, &texts, sources)?;
    let others: Diagnostics = change
        .entries
        .iter()
        .filter(|entry| entry.section != Section::Limits || !is_held_by_group(&entry.key.value))
        .map(|entry| {
            Diagnostic::error(
                format!(
                    "`{}.{}` cannot be changed while a sandbox runs",
                    entry.section, entry.key.value
                ),
                entry.key.site,
                "only limits of the sandbox as a whole can",
            )
        })
        .collect();
    if !others.is_empty() {
        return Err(others);
    }
    let keys: Vec<String> = change
        .entries
        .iter()
        .map(|entry| entry.key.value.clone())
        .collect();
    let ram = machine::memory().unwrap_or(0);
    let merge = |layers: &[Profile]| policy::resolve(&record.profile, layers);
    let (before, after) = (
        merge(std::slice::from_ref(&base)),
        merge(&[base.clone(), change]),
    );
    let mut old = Limits::change(&before, ram)?;
    let mut new = Limits::change(&after, ram)?;
    for (limits, policy) in [(&mut old, &before), (&mut new, &after)] {
        locate(limits, policy)?;
    }
    Ok(Wanted {
        limits: limits(record, &after, &keys),
        keys,
        old,
        new,
    })
}

/// Finds the disks that the paths among the keys lie on.
fn locate(limits: &mut Limits, policy: &Policy) -> Result<(), Diagnostics> {
    let paths: Vec<String> = limits
        .iter()
        .filter(|(_, control, _)| control.label() == "PATH")
        .map(|(key, ..)| key.to_owned())
        .collect();
    if paths.is_empty() {
        return Ok(());
    }
    let scope = host::Scope {
        user_directories: true,
        subordinate_ids: false,
        groups: false,
        memory: false,
        terminals: false,
        release: false,
        landlock: false,
    };
    let facts = host::probe(scope).map_err(|error| vec![error])?;
    let mut wrong = Diagnostics::new();
    let mut disks = std::collections::BTreeMap::new();
    for key in paths {
        let found = match expand(&key, &facts.caller) {
            Ok(Expanded::Path(path)) => disk::find(&path),
            Ok(Expanded::NotApplicable(why)) | Err(why) => Err(why),
            Ok(Expanded::Glob(_)) => Err(format!("{key} is a pattern")),
        };
        if let (Err(why), Some(rule)) = (&found, policy.get(Section::Limits, &key)) {
            wrong.push(Diagnostic::error(
                format!("`limits.{key}` cannot be set: {why}"),
                rule.site,
                "asked for here",
            ));
        }
        disks.insert(key, found);
    }
    limits.locate(&disks);
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The limits to be written down: those that change come from here.
fn limits(record: &Record, policy: &Policy, keys: &[String]) -> Vec<Limit> {
    policy
        .section(Section::Limits)
        .map(|(key, value, _)| {
            let known = record.limits.iter().find(|limit| limit.key == key);
            let (origin, applied) = match known {
                Some(limit) if !keys.iter().any(|changed| changed == key) => {
                    (limit.origin.clone(), limit.applied)
                }
                _ => (ORIGIN.to_owned(), true),
            };
            Limit {
                key: key.to_owned(),
                value: value.to_json(),
                origin,
                applied,
            }
        })
        .collect()
}

fn change(
    sandbox: &Sandbox,
    record: &Record,
    wanted: &Wanted,
    force: bool,
) -> Result<Vec<Changed>, Refusal> {
    let group = sandbox.group()?.ok_or_else(|| {
        Refusal::new(format!(
            "`{}` has no control group, which holds limits: it was started without any, or none could be had",
            sandbox.name()
        ))
        .help(format!(
            "put its processes under limits: sandboxctl attach --tree --memory … {}",
            record.child.pid
        ))
    })?;
    let soft = Soft::of(sandbox, record, &group, wanted)?;
    enable(&group, &wanted.keys);
    let writes = plan(&group, &wanted.old, &wanted.new, &wanted.keys)?;
    let mut done = apply(&group, &writes, force)?;
    if let Some(soft) = &soft {
        match soft.tell(&group) {
            Ok(changed) => done.extend(changed),
            Err(refusal) => {
                undo(&group, &writes, &done);
                return Err(refusal);
            }
        }
    }
    let memory_soft = match &soft {
        Some(soft) => soft.after,
        None => record.memory_soft,
    };
    let line = serde_json::to_vec(&record::Changed {
        limits: wanted.limits.clone(),
        memory_soft,
    });
    let written = line.map_err(|error| error.to_string()).and_then(|line| {
        sandbox
            .entry
            .append(line)
            .map_err(|error| error.to_string())
    });
    if let Err(reason) = written {
        super::super::complain(&format!(
            "sandboxctl: warning: the new limits hold, and `sandboxctl state` shows the old ones: {reason}\n"
        ));
    }
    Ok(done)
}

/// A soft limit that the launcher holds, as no file of v2 does.
struct Soft {
    before: Option<u64>,
    after: Option<u64>,
}

impl Soft {
    /// None when it does not change.
    fn of(
        sandbox: &Sandbox,
        record: &Record,
        group: &Directories,
        wanted: &Wanted,
    ) -> Result<Option<Self>, Refusal> {
        let is_soft = |key: &String| key == "memory-soft" || key == "memory-soft-mode";
        let Some((Version::V2, memory)) = group.of("memory") else {
            return Ok(None);
        };
        if !wanted.keys.iter().any(is_soft) {
            return Ok(None);
        }
        let after = match wanted.new.get("memory-soft").map(|limit| &limit.value) {
            Some(Amount::Number(bytes)) if wanted.new.soft_mode() == "pressure" => Some(*bytes),
            _ => None,
        };
        let watches = record.memory_soft.is_some() || memory.soft_limit().is_some();
        // Of attached processes it is held by one that lives as long as their group.
        let is_held = sandbox.entry.is_live() || record.attached;
        if after.is_some() && (!watches || !is_held) {
            let why = if record.attached {
                "they were attached without one, so that nothing watches the host's memory for them"
            } else if watches {
                "its launcher, which would hold it, was killed"
            } else {
                "it was started without one, so that its launcher does not watch the host's memory"
            };
            return Err(Refusal::new(format!(
                "`{}` cannot be given a soft limit: {why}",
                sandbox.name()
            ))
            .help("memory-soft-mode=throttle gives it one that the kernel holds at all times (memory.high)"));
        }
        Ok(watches.then_some(Self {
            before: record.memory_soft,
            after,
        }))
    }

    /// Tells the launcher, which asks the group's directory whenever memory is short.
    fn tell(&self, group: &Directories) -> Result<Option<Changed>, Refusal> {
        let Some((_, memory)) = group.of("memory").filter(|_| self.before != self.after) else {
            return Ok(None);
        };
        memory
            .set_soft_limit(self.after.unwrap_or(u64::MAX))
            .map_err(|error| Refusal::new(error.to_string()))?;
        let shown = |bytes: Option<u64>| bytes.map_or("max".to_owned(), |bytes| bytes.to_string());
        Ok(Some(Changed {
            key: "memory-soft".to_owned(),
            file: "memory.reclaim".to_owned(),
            before: shown(self.before),
            after: shown(self.after),
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(limits: &[(&str, serde_json::Value)]) -> Record {
        let json = json!({
            "version": 1, "name": "x", "profile": "p", "layers": [], "program": "true", "arguments": [], "uid": 1,
            "boot": "", "pid_namespace": 1, "supervisor": { "pid": 1, "started": 1 },
            "child": { "pid": 2, "started": 2 }, "init": false, "program_process": null, "created": 0, "group": [],
            "unit": null, "memory_soft": null, "namespaces": {},
            "limits": limits.iter().map(|(key, value)| json!({ "key": key, "value": value, "origin": "p.toml:1:1" }))
                .collect::<Vec<_>>(),
        });
        serde_json::from_value(json).unwrap()
    }

    fn of(limits: &[(&str, serde_json::Value)], texts: &[&str]) -> Result<Wanted, Diagnostics> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        wanted(&record(limits), &texts, &mut SourceMap::new())
    }

    #[test]
    fn changes_are_judged_together_with_what_holds() {
        let held = [("memory", json!("2G")), ("memory-soft", json!("1G"))];
        let found = of(&held, &["memory=4G", "limits.pids=7"]).unwrap();
        assert_eq!(found.keys, ["memory", "pids"]);
        assert_eq!(found.new.number("memory").unwrap().value, 4 << 30);
        assert_eq!(found.new.number("memory-soft").unwrap().value, 1 << 30);
        let origins: Vec<_> = found
            .limits
            .iter()
            .map(|limit| limit.origin.as_str())
            .collect();
        assert_eq!(origins, [ORIGIN, "p.toml:1:1", ORIGIN]);
        let wrong = of(&held, &["memory=512M"]).err().unwrap();
        assert!(
            wrong[0].message.contains("`memory-soft`"),
            "{}",
            wrong[0].message
        );
        assert!(of(&held, &["memory=512M", "memory-soft=256M"]).is_ok());
        assert!(of(&held, &["memory=512M", "memory-soft=max"]).is_ok());
    }

    #[test]
    fn what_cannot_change_is_refused_before_anything_is_done() {
        for (text, why) in [
            ("namespaces.pid=true", "namespaces.pid"),
            ("open-files=9", "limits.open-files"),
            ("memory=3Q", "3Q"),
            ("memroy=3G", "memroy"),
            ("memory", "KEY=VALUE"),
        ] {
            let wrong = of(&[], &[text]).err().unwrap();
            assert!(
                wrong[0].message.contains(why),
                "{text}: {}",
                wrong[0].message
            );
        }
    }

    #[test]
    fn values_of_every_shape_are_read_again() {
        let held = [
            ("cpus", json!("0-1")),
            ("oom-group", json!(true)),
            ("cpu", json!("150%")),
            ("cpu-weight", json!(50)),
        ];
        let found = of(&held, &["pids=5"]).unwrap();
        assert_eq!(found.limits.len(), 5);
    }
}
