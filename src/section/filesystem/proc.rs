//! /proc of a new pid namespace: what it shows of processes and of the machine.

use std::path::{Path, PathBuf};

use super::{Draft, Item, Refusal, What};
use crate::host::facts::PathKind;
use crate::plan::step::ProcOptions;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value};
use crate::report::{Diagnostic, Site};

/// Parts of /proc that are about the whole machine, which root could change from inside.
pub(super) const KERNEL_WIDE: [&str; 7] = [
    "/proc/acpi",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The keys about /proc.
const KEYS: [&str; 2] = ["proc-subset", "protect-proc"];

/// What the policy says about a /proc of its own.
pub(super) fn options(policy: &Policy) -> ProcOptions {
    let word = |key| match policy.get(Section::Process, key)?.value {
        Value::Word(word) => Some(*word),
        _ => None,
    };
    ProcOptions {
        only_processes: word("proc-subset") == Some("pid"),
        hide: word("protect-proc").filter(|word| *word != "default"),
    }
}

/// The keys that ask for less than all of /proc, and where.
fn asked(policy: &Policy) -> impl Iterator<Item = (&'static str, Site)> {
    let given = options(policy);
    KEYS.into_iter()
        .zip([given.only_processes, given.hide.is_some()])
        .filter(|(_, given)| *given)
        .filter_map(|(key, _)| Some((key, policy.get(Section::Process, key)?.site)))
}

/// Whether anything is said about /proc by its own keys.
pub(super) fn asks(policy: &Policy) -> bool {
    asked(policy).next().is_some()
}

/// Whether a path is /proc itself or one about a process.
pub(super) fn is_of_one(path: &Path) -> bool {
    let rest = path.strip_prefix("/proc").ok();
    let name = rest.and_then(|rest| rest.iter().next()?.to_str());
    name.is_none_or(|name| {
        matches!(name, "self" | "thread-self") || name.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// What cannot be held without mounts.
pub(super) fn refused(policy: &Policy) -> impl Iterator<Item = Refusal> {
    asked(policy).map(|(key, site)| Refusal {
        key: format!("process.{key}"),
        site,
        why: "a /proc of its own is mounted for it".to_owned(),
        said: false,
        strict: false,
    })
}

/// Puts the /proc of the new pid namespace where no rule has the last word, and closes what is about the whole machine.
pub(super) fn mount(draft: &mut Draft) {
    let place = Path::new("/proc");
    let options = options(draft.policy);
    let (site, because) = match asked(draft.policy).next() {
        Some((key, site)) => (site, format!("implied by process.{key}")),
        None => (Site::DEFAULT, "implied by namespaces.pid".to_owned()),
    };
    if draft.around.pid_namespace {
        match draft.table.get_mut(place) {
            None => {
                let access = Access::ReadWrite;
                draft.imply(place, What::Proc { access, options }, site, &because);
            }
            Some(item) => {
                if let What::Show { source, access, .. } = &item.what
                    && source == place
                {
                    let access = *access;
                    item.what = What::Proc { access, options };
                }
            }
        }
    }
    let ours = matches!(
        draft.table.get(place),
        Some(Item {
            what: What::Proc { .. },
            ..
        })
    );
    if !ours {
        let why = match draft.around.pid_namespace {
            true => "another rule says what is at /proc",
            false => "/proc is the caller's",
        };
        for (key, site) in asked(draft.policy) {
            draft.errors.push(
                Diagnostic::error(format!("`{key}` cannot be carried out: {why}"), site, "asked for here")
                    .help("it is about the /proc of a pid namespace of its own: `namespaces.pid = true`, and no rule for \"/proc\" but read-only"),
            );
        }
        return;
    }
    let root_is_writable = draft
        .shown(Path::new("/"))
        .is_some_and(|(_, access)| access == Access::ReadWrite);
    let closes = draft.around.real_root && (!root_is_writable || draft.around.user_namespace);
    // There is nothing but processes then.
    if !closes || options.only_processes {
        return;
    }
    for part in KERNEL_WIDE.map(PathBuf::from) {
        if let Some(kind @ (PathKind::Directory | PathKind::File)) = draft.known.get(&part) {
            let what = What::Show {
                source: part.clone(),
                access: Access::ReadOnly,
                devices: false,
                directory: *kind == PathKind::Directory,
            };
            draft.imply(part, what, Site::DEFAULT, "it is about the whole machine");
        }
    }
}
