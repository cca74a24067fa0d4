//! What the host has at the paths of rules, and which rules that leaves.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::gather::{binds, unseen};
use super::rule::Rule;
use super::{Draft, moved, world};
use crate::host::facts::PathKind;
use crate::profile::value::{Access, Create, View};
use crate::report::{Diagnostic, Site};
use crate::section::expand::Expanded;
use crate::tree::{self, PathMap};

/// The mode of a directory on the way forbids it, and it is not the caller's to change (EACCES, errno(3)).
const EACCES: i32 = 13;
/// The same, but the directory is the caller's own.
const EPERM: i32 = 1;
/// It is not there.
const ENOENT: i32 = 2;
/// Too many open files.
const EMFILE: i32 = 24;
/// Going on would mount something (autofs).
const EREMOTE: i32 = 66;
/// Whoever keeps the file system does not answer.
const ETIMEDOUT: i32 = 110;

/// Adds what the host has there; drops rules about what it does not have.
pub fn look_up(draft: &mut Draft, rules: &mut Vec<Rule>) {
    let binds: PathMap<PathBuf> = binds(draft).into_iter().collect();
    let mut classes: BTreeMap<(String, Site), bool> = BTreeMap::new();
    rules.retain_mut(|rule| look_at(draft, rule, &binds, &mut classes));
    for ((key, site), found) in classes {
        if !found {
            draft.note(site, format!("this host has no device for `{key}`"));
        }
    }
}

/// The same for one rule: whether it is kept. `classes`: whether anything was found for a class of devices.
fn look_at(
    draft: &mut Draft,
    rule: &mut Rule,
    binds: &PathMap<PathBuf>,
    classes: &mut BTreeMap<(String, Site), bool>,
) -> bool {
    let above = tree::above(&rule.path);
    let bound = above.and_then(|above| binds.nearest(above));
    let Some(fact) = draft.facts.path(&rule.path) else {
        let elsewhere = rule.hides() && bound.is_some();
        if !elsewhere {
            draft.errors.push(unseen(&rule.key, rule.site));
        }
        return elsewhere;
    };
    let host = world::leads_to(&rule.path, fact);
    // Until now both are the path itself.
    if host.as_os_str() != rule.path.as_os_str() {
        rule.host = host.into_owned();
        rule.source.clone_from(&rule.host);
    }
    rule.kind = fact.kind;
    rule.source_kind = fact.kind;
    rule.via.clone_from(&fact.links);
    let key = &rule.key;
    let shown = rule.path.display();
    let found = fact.canonical.is_some() && fact.error.is_none();
    if rule.device && rule.pattern && rule.layer.is_some() {
        *classes.entry((key.clone(), rule.site)).or_default() |= found;
    }
    if is_one_process(&rule.host) || magic(&rule.via).is_some() {
        draft.errors.push(
            Diagnostic::error(
                format!("`{key}` is about one process"),
                rule.site,
                "inside it is another one, or none",
            )
            .help("name a path below /proc that is the same for all processes"),
        );
        return false;
    }
    // A root that is passed over would leave all around the other rules as it is on the host.
    if !found && rule.path.parent().is_none() && matches!(rule.view, View::Host(_)) {
        let error = fact.error.unwrap_or(ENOENT);
        let reason = std::io::Error::from_raw_os_error(error);
        draft.errors.push(Diagnostic::error(
            format!("`/` cannot be looked at: {reason}"),
            rule.site,
            "so that this cannot be done",
        ));
        return false;
    }
    if let Some(error) = fact.error {
        let reason = std::io::Error::from_raw_os_error(error);
        match &rule.view {
            _ if rule.terms.required || rule.terms.create.is_some() => {
                draft.errors.push(Diagnostic::error(
                    format!("`{shown}` cannot be looked at: {reason}"),
                    rule.site,
                    "so that it cannot be told whether it is there",
                ))
            }
            View::Host(Access::Hidden | Access::Denied)
                if error == EACCES && !draft.around.real_root =>
            {
                draft.note(
                    rule.site,
                    format!("`{shown}` is out of the caller's reach already: {reason}"),
                );
            }
            // Without it the program only sees less.
            View::Host(Access::ReadWrite) => {
                draft.note(rule.site, format!("`{shown}` is passed over: {reason}"));
            }
            // What lies around it may be writable, so that this one must be known to be out of reach.
            View::Host(Access::ReadOnly) if error == EACCES && !draft.around.real_root => {
                draft.note(rule.site, format!("`{shown}` is passed over: {reason}"));
            }
            _ => {
                let mut told = Diagnostic::error(
                    format!("`{shown}` cannot be looked at: {reason}"),
                    rule.site,
                    "so that this cannot be done",
                );
                if error == EPERM {
                    told = told.help("a directory on the way is closed by its own mode, which a program could change: name that directory, or open it (chmod u+rx)");
                }
                if error == EMFILE {
                    told = told.help("the limit on open descriptors is reached: see `ulimit -n`; 64 are enough for most sandboxes");
                }
                if error == EREMOTE {
                    told = told.help("an automount lies on the way, and is not triggered: what is there may never answer. Go there first (`ls`), and start this again");
                }
                if error == ETIMEDOUT {
                    told = told.help("the file system on the way is kept by a server that does not answer: unmount it (`umount -l`), or see why");
                }
                draft.errors.push(told);
            }
        }
        return false;
    }
    let of_host = matches!(rule.view, View::Host(_));
    if of_host
        && !found
        && let Some(what) = rule.terms.create
    {
        if let Some(kind) = create(draft, rule, &rule.host, &rule.via, what) {
            (rule.kind, rule.source_kind) = (kind, kind);
            return true;
        }
        return false;
    }
    if of_host && !found && rule.terms.required {
        draft.errors.push(
            Diagnostic::error(
                format!("the host has no `{shown}`"),
                rule.site,
                "this says that it is required",
            )
            .help("make it, or have it made: create = \"dir\" or \"file\""),
        );
        return false;
    }
    if let View::Host(access @ (Access::ReadOnly | Access::ReadWrite)) = &rule.view
        && !found
    {
        let elsewhere = bound.and_then(|(place, source)| {
            let there = moved(&rule.path, place, source);
            draft
                .facts
                .path(&there)
                .filter(|fact| fact.kind != PathKind::Missing)
                .map(|_| (place, there))
        });
        if let Some((place, there)) = elsewhere {
            draft.errors.push(
                Diagnostic::error(
                    format!("the host has no `{shown}`"),
                    rule.site,
                    format!("what is seen there comes with `{}`", place.display()),
                )
                .help(format!(
                    "say {{ bind = \"{}\", access = \"{}\" }} if that is meant",
                    there.display(),
                    access.word()
                )),
            );
        } else if !(rule.layer.is_none()
            || rule.beside
            || (rule.device && rule.pattern)
            // Which of many files of a kind a user has is no news; which socket is missing is.
            || (rule.desktop && rule.grants() == Some(Access::ReadOnly)))
        {
            draft.note(rule.site, format!("`{shown}` is absent on this host"));
        }
        return false;
    }
    if rule.device && !suits_as_device(draft, rule) {
        return false;
    }
    if let View::Bind { source, .. } | View::Root { source, .. } = rule.view.clone()
        && !look_up_source(draft, rule, &source)
    {
        return false;
    }
    true
}

fn suits_as_device(draft: &mut Draft, rule: &Rule) -> bool {
    if rule.hides() {
        return true;
    }
    if !rule.host.starts_with("/dev") {
        draft.errors.push(Diagnostic::error(
            format!(
                "`{}` leads to `{}`",
                rule.path.display(),
                rule.host.display()
            ),
            rule.site,
            "device nodes work below /dev only",
        ));
        return false;
    }
    if rule.kind == PathKind::File {
        if rule.layer.is_some() {
            draft.note(
                rule.site,
                format!("`{}` is no device on this host", rule.path.display()),
            );
        }
        return false;
    }
    true
}

fn look_up_source(draft: &mut Draft, rule: &mut Rule, source: &str) -> bool {
    let wrong = |why: String| {
        Diagnostic::error(
            format!("`{source}` cannot be shown at `{}`", rule.key),
            rule.site,
            why,
        )
    };
    let Some(found) = draft.around.elsewhere(&rule.view, &draft.facts.caller) else {
        return true;
    };
    let path = match found {
        Ok(Expanded::Path(path)) => path,
        Ok(Expanded::Glob(_)) => {
            draft
                .errors
                .push(wrong("a pattern is no single path".to_owned()));
            return false;
        }
        Ok(Expanded::NotApplicable(why)) | Err(why) => {
            draft.errors.push(wrong(why));
            return false;
        }
    };
    if rule.desktop
        && draft
            .facts
            .path(&path)
            .is_some_and(|fact| fact.canonical.is_none() && fact.error.is_none())
    {
        let text = format!("`{}` is absent on this host", path.display());
        draft.note(rule.site, text);
        return false;
    }
    let why = match draft.facts.path(&path) {
        None => "it was not looked at on this host".to_owned(),
        Some(fact) if magic(&fact.links).is_some() => {
            "it leads through a link in /proc that is about one process".to_owned()
        }
        Some(fact) => match (&fact.canonical, fact.error) {
            (_, Some(error)) => std::io::Error::from_raw_os_error(error).to_string(),
            (None, None) => match rule.terms.create {
                Some(what) => {
                    rule.source = world::host_place(&path, fact);
                    rule.source_via.clone_from(&fact.links);
                    let made = create(draft, rule, &rule.source, &rule.source_via, what);
                    rule.source_kind = made.unwrap_or(PathKind::Missing);
                    return made.is_some();
                }
                None => "it does not exist on this host".to_owned(),
            },
            (Some(canonical), None) => {
                rule.source.clone_from(canonical);
                rule.source_kind = fact.kind;
                rule.source_via.clone_from(&fact.links);
                return true;
            }
        },
    };
    draft.errors.push(wrong(why));
    false
}

/// Has something made that the host does not have; what that is, unless a link leads there that somebody may have made.
fn create(
    draft: &mut Draft,
    rule: &Rule,
    path: &Path,
    via: &[(PathBuf, PathBuf)],
    what: Create,
) -> Option<PathKind> {
    if let Some(link) = draft.foreign(via) {
        draft.errors.push(
            Diagnostic::error(
                format!("`{}` is not made for `{}`", path.display(), rule.key),
                rule.site,
                format!(
                    "the way there leads through the symbolic link `{}`",
                    link.display()
                ),
            )
            .help("a link in a place that programs may write to can be made by a program")
            .help("make it yourself, or write the path without the link"),
        );
        return None;
    }
    draft.create(path, what, rule.site);
    draft.known.get(path).copied()
}

/// A link that the kernel makes for one process (`/proc/1/root`, `/proc/self/fd/0`): what it says is no path by which it
/// leads there, and whoever that process belongs to has chosen where that is.
fn magic(links: &[(PathBuf, PathBuf)]) -> Option<&Path> {
    let mut at = links.iter().map(|(at, _)| at.as_path());
    at.find(|at| is_one_process(at))
}

fn is_one_process(path: &Path) -> bool {
    let within = tree::is_within(path, Path::new("/proc"));
    within && path.strip_prefix("/proc").ok().and_then(|rest| rest.components().next()).is_some_and(|name| {
        matches!(name, Component::Normal(name) if name.as_bytes().iter().all(u8::is_ascii_digit))
    })
}
