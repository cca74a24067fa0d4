//! Questions about paths.

use std::path::Path;

use super::{Answer, Can, Cited, Part, Verdict, overruled, said};
use crate::host::Facts;
use crate::host::facts::PathKind;
use crate::plan::surroundings;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::Access;
use crate::report::Diagnostics;
use crate::section::execute::{self, Word};
use crate::section::filesystem;
use crate::section::filesystem::seen::{self, Decider, Shown};
use crate::section::landlock::Rights;

const ALL: Can = Can {
    read: true,
    write: true,
    execute: true,
};
const NOTHING: Can = Can {
    read: false,
    write: false,
    execute: false,
};

pub(super) fn answer(path: &Path, policy: &Policy, facts: &Facts) -> Result<Answer, Diagnostics> {
    let around = surroundings(policy, facts)?;
    let seen = seen::seen(policy, facts, &around, path)?;
    let (mut says, mut can) = words(&seen.shown, path);
    if can.read && !seen.execute {
        can.execute = false;
        says.push_str(", nothing is executed there");
    }
    let mounted = filesystem::asks(policy, &around) && facts.machine.no_user_namespaces.is_none();
    let program = program(&seen, path, policy, facts, mounted)?.filter(|_| can.execute);
    if let Some(program) = &program {
        can.execute = program.verdict == Verdict::Allowed;
    }
    let verdict = match (can.read, can.write) {
        (false, false) => Verdict::Denied,
        (_, true) => Verdict::Allowed,
        _ => Verdict::Partly,
    };
    let mut out = Answer::new("path", path.display().to_string(), verdict, says);
    out.can = Some(can);
    out.parts.extend(program);
    if seen.place != path {
        out.notes
            .push(format!("it leads to `{}`", seen.place.display()));
    }
    if let Some(decider) = &seen.decider {
        out.rule = Some(cited(policy, decider));
        out.beaten.extend(before(policy, decider));
    }
    for decider in &seen.weaker {
        out.beaten.push(cited(policy, decider));
    }
    if let Shown::Root {
        kind: Some(PathKind::Missing),
        ..
    } = &seen.shown
    {
        out.notes.push("the root has nothing there".to_owned());
    }
    if let Shown::Host { kind, devices, .. } = &seen.shown {
        match kind {
            Some(PathKind::Missing) => out.notes.push("the host has nothing there".to_owned()),
            Some(PathKind::Special) if !devices => out.notes.push(
                "a device node there does not work: only those of [devices] do, or of a shown /dev"
                    .to_owned(),
            ),
            _ => {}
        }
    }
    if can.read && matches!(seen.shown, Shown::Host { .. } | Shown::Root { .. }) {
        out.notes
            .push("as far as the file's own owner and mode allow it".to_owned());
    }
    Ok(out)
}

/// Whether `[execute]` lets a file be run as a program; nothing for what is no file, or where the section takes nothing away.
fn program(
    seen: &seen::Seen,
    path: &Path,
    policy: &Policy,
    facts: &Facts,
    mounted: bool,
) -> Result<Option<Part>, Diagnostics> {
    let is_file = !matches!(
        &seen.shown,
        Shown::Host {
            kind: Some(PathKind::Directory),
            ..
        } | Shown::Root {
            kind: Some(PathKind::Directory),
            ..
        }
    );
    if !is_file || !execute::asks(policy) {
        return Ok(None);
    }
    let held = execute::lower(policy, facts)?;
    // Landlock asks where the file is, with all links followed.
    let at = match &seen.shown {
        Shown::Host { path, .. } => facts
            .path(path)
            .and_then(|fact| fact.canonical.clone())
            .unwrap_or_else(|| seen.place.clone()),
        _ => seen.place.clone(),
    };
    let granted = held
        .rules
        .iter()
        .filter(|rule| rule.rights.contains(Rights::EXECUTE) && at.starts_with(&rule.path))
        .max_by_key(|rule| rule.path.components().count());
    let nearest = at.ancestors().find_map(|at| held.said.get(at));
    let word = nearest.map_or(Word::Deny, |said| said.word);
    let site = nearest.map_or(held.site, |said| said.site);
    let (verdict, says, site) = match (granted, word) {
        // A mount holds what Landlock cannot take away.
        (Some(rule), word) if word != Word::Deny || !mounted => {
            (Verdict::Allowed, "allowed", rule.site)
        }
        (_, Word::Map) => (
            Verdict::Denied,
            "refused with EACCES; it can be mapped for execution, as libraries are",
            site,
        ),
        _ if mounted => (
            Verdict::Denied,
            "refused with EACCES, also by way of a loader; it can still be read, where reading is allowed, and handed to an interpreter that may run",
            site,
        ),
        _ => (
            Verdict::Denied,
            "refused with EACCES; it can still be read, where reading is allowed, and handed to an interpreter or a loader that may run",
            site,
        ),
    };
    let of = policy
        .section(Section::Execute)
        .find(|(.., rule)| rule.site == site)
        .map(|(key, value, _)| said(Section::Execute, key, Some(value)));
    let what = match at == path {
        true => "running it as a program".to_owned(),
        false => format!("running it as a program (it is `{}`)", at.display()),
    };
    Ok(Some(Part {
        what,
        verdict,
        says: says.to_owned(),
        rule: of.map(|rule| Cited { rule, site }),
    }))
}

/// The rule that a decider is of: its section is the one that has the key at that place.
fn key(policy: &Policy, decider: &Decider) -> Option<(Section, String)> {
    let desktop = decider.name.strip_prefix("desktop.");
    [Section::Filesystem, Section::Devices]
        .into_iter()
        .map(|section| (section, decider.name.clone()))
        .chain(desktop.map(|key| (Section::Desktop, key.to_owned())))
        .find(|key| {
            policy
                .rules
                .get(key.0, &key.1)
                .is_some_and(|rule| rule.site == decider.site && rule.value.is_some())
        })
}

fn cited(policy: &Policy, decider: &Decider) -> Cited {
    let rule = match key(policy, decider) {
        Some((section, key)) => {
            let value = policy.get(section, &key).map(|found| found.value);
            said(section, &key, value)
        }
        None => decider.name.clone(),
    };
    Cited {
        rule: match decider.because.is_empty() {
            true => rule,
            false => format!("{rule}: {}", decider.because),
        },
        site: decider.site,
    }
}

fn before(policy: &Policy, decider: &Decider) -> Vec<Cited> {
    key(policy, decider).map_or_else(Vec::new, |(section, key)| overruled(policy, section, &key))
}

fn words(shown: &Shown, asked: &Path) -> (String, Can) {
    let with = |access: Access| Can {
        write: access == Access::ReadWrite,
        ..ALL
    };
    match shown {
        Shown::Host { path, access, .. } => {
            let says = if path == asked {
                format!("the host's, {}", access.word())
            } else {
                format!("`{}` of the host, {}", path.display(), access.word())
            };
            (says, with(*access))
        }
        Shown::Root { path, .. } => (
            format!(
                "the imported root's `{}`; what is changed there is thrown away",
                path.display()
            ),
            ALL,
        ),
        Shown::Hidden => (
            "hidden: nothing of the host is seen there".to_owned(),
            NOTHING,
        ),
        Shown::Denied => ("it exists, but it is empty and closed".to_owned(), NOTHING),
        Shown::Way => (
            "a directory that only leads to what is shown below it".to_owned(),
            with(Access::ReadOnly),
        ),
        Shown::Tmpfs => ("memory: empty at first, gone afterwards".to_owned(), ALL),
        Shown::Private(directory) => (
            format!(
                "the profile's own, kept between runs in `{}`",
                directory.display()
            ),
            ALL,
        ),
        Shown::Text => (
            "a file with the content that the rule gives".to_owned(),
            Can {
                execute: false,
                ..with(Access::ReadOnly)
            },
        ),
        Shown::Made => (
            "a socket or file that is made for this run alone".to_owned(),
            Can {
                execute: false,
                ..with(Access::ReadOnly)
            },
        ),
        Shown::Proc(access) => (
            "information about the sandbox's own processes".to_owned(),
            with(*access),
        ),
        Shown::Dev => (
            "a minimal /dev with the devices of [devices]".to_owned(),
            with(Access::ReadOnly),
        ),
        Shown::Devpts => ("pseudo-terminals of the sandbox's own".to_owned(), ALL),
        Shown::Mqueue => ("message queues of the sandbox's own".to_owned(), ALL),
        Shown::Link(target) => (
            format!("a symbolic link to `{}`", target.display()),
            with(Access::ReadOnly),
        ),
    }
}
