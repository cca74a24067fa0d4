//! What a launch has to know about the host's control groups for its limits: nothing else is looked at.

use super::control::{self, By, named};
use super::{Version, is_held_by_group};
use crate::host::facts::cgroup::Wanted;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Count, Cpu, Size, Value};

/// What the limits of a policy hang on.
#[must_use]
pub fn wanted(policy: &Policy) -> Wanted {
    let mut wanted = Wanted::default();
    for (key, value, _) in policy.section(Section::Limits) {
        let unlimited = matches!(
            value,
            Value::Size(Size::Max) | Value::Count(Count::Max) | Value::Cpu(Cpu::Max)
        );
        if is_held_by_group(key) && !unlimited {
            let word = matches!(value, Value::Word("idle" | "listed"));
            add(&mut wanted, key, word);
        }
    }
    wanted
}

/// What every limit hangs on, for the question which of them a host can hold.
#[must_use]
pub fn all<'k>(keys: impl Iterator<Item = &'k str>) -> Wanted {
    let mut wanted = Wanted::default();
    for key in keys {
        add(&mut wanted, key, true);
        add(&mut wanted, key, false);
    }
    wanted
}

/// `word`: whether the value is a word with a meaning of its own (`cpu-weight = "idle"`, `devices = "listed"`).
fn add(wanted: &mut Wanted, key: &str, word: bool) {
    let Some(control) = control::of(key) else {
        return;
    };
    let end = control.end(key).unwrap_or_default();
    for version in [Version::V1, Version::V2] {
        let hold = control.hold(version);
        if let By::File { files, lacking, .. } = hold.by
            && !lacking.is_empty()
        {
            let files = files.iter().map(|file| (hold.controller, named(file, end)));
            wanted.files.extend(files);
        }
    }
    match (control.label(), word) {
        ("cpus" | "memory-nodes", _) => wanted.cpuset = true,
        ("memory-soft", _) => {
            wanted.pressure = true;
            wanted.files.insert(("memory", "memory.reclaim".to_owned()));
        }
        ("cpu-weight", true) => {
            wanted.files.insert(("cpu", "cpu.idle".to_owned()));
        }
        ("io-weight", _) => wanted.weights = true,
        ("PATH", _) => {
            wanted.paths.insert(key.to_owned());
        }
        ("devices", true) => wanted.devices = true,
        _ => {}
    }
}
