//! `[execute]`: which programs can be run at all.
//!
//! Held by Landlock's right to execute (landlock(7)), in a ruleset of its own beside that of `[filesystem]`, so that both
//! have to allow a program. Landlock grants and takes nothing away: what is denied below something allowed cannot be held.

use std::path::{Path, PathBuf};

use super::expand::{Expanded, expand, is_pattern};
use super::landlock::{PathRule, Rights};
use crate::host::Facts;
use crate::host::facts::{Caller, PathKind};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Value, View};
use crate::report::{Diagnostic, Diagnostics, Site};
use crate::tree::PathMap;

/// Where the dynamic loaders are (`PT_INTERP` of elf(5)): the kernel executes one with every program that has libraries.
pub const LOADERS: [&str; 8] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/usr/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
];

/// A rule that Landlock cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unheld {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub site: Site,
    /// What above it is allowed.
    pub above: String,
}

/// What the section comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// What may be executed, and that files may be moved everywhere, which is no matter of this section.
    pub rules: Vec<PathRule>,
    /// The rules that take something away.
    pub unheld: Vec<Unheld>,
    /// What there is to know about rules.
    pub notes: Vec<(Site, String)>,
    /// Who said that nothing else may be executed.
    pub site: Site,
}

/// Whether everything that no rule names is kept from being executed; and who says so.
fn default(policy: &Policy) -> (bool, Site) {
    match policy.get(Section::Execute, "default") {
        Some(said) => (*said.value == Value::Word("deny"), said.site),
        None => {
            let mut rules = policy.section(Section::Execute);
            let first = rules.next().map_or(Site::DEFAULT, |(.., rule)| rule.site);
            (true, first)
        }
    }
}

/// Whether the section takes anything away.
#[must_use]
pub fn asks(policy: &Policy) -> bool {
    let mut rules = policy.section(Section::Execute);
    policy.mentions(Section::Execute)
        && (default(policy).0 || rules.any(|(_, value, _)| *value == Value::Word("deny")))
}

/// The paths and the patterns that have to be looked at.
#[must_use]
pub fn wanted(policy: &Policy, caller: &Caller) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut paths, mut globs) = (Vec::new(), Vec::new());
    if !policy.mentions(Section::Execute) {
        return (paths, globs);
    }
    for (key, ..) in policy.section(Section::Execute) {
        match expand(key, caller) {
            Ok(Expanded::Path(path)) => paths.push(path),
            Ok(Expanded::Glob(glob)) => globs.push(glob),
            Ok(Expanded::NotApplicable(_)) | Err(_) => {}
        }
    }
    paths.extend(LOADERS.map(PathBuf::from));
    (paths, globs)
}

/// One rule at one path.
#[derive(Clone, Debug)]
struct Rule {
    key: String,
    site: Site,
    allow: bool,
}

impl Rule {
    /// A literal before a pattern, a longer pattern before a shorter one, what denies before what allows.
    fn rank(&self) -> (bool, usize, bool) {
        let pattern = is_pattern(&self.key);
        (
            !pattern,
            if pattern { self.key.len() } else { 0 },
            !self.allow,
        )
    }
}

/// Lowers the section.
///
/// # Errors
/// Keys that are no paths, or were not looked at.
pub fn lower(policy: &Policy, facts: &Facts) -> Result<Lowered, Diagnostics> {
    let (deny, site) = default(policy);
    let mut out = Lowered {
        rules: Vec::new(),
        unheld: Vec::new(),
        notes: Vec::new(),
        site,
    };
    let said = gather(policy, facts, &mut out)?;
    // What is seen there comes from elsewhere, so that this host's links say nothing.
    let elsewhere = policy.get(Section::Filesystem, "/").is_some_and(|root| {
        matches!(
            root.value,
            Value::View(View::Root { .. } | View::Bind { .. })
        )
    });
    let place = |path: &Path| match facts.path(path) {
        Some(fact) if !elsewhere => fact.canonical.clone(),
        _ => Some(path.to_owned()),
    };
    let mut table: PathMap<Rule> = PathMap::new();
    if !deny {
        let rule = Rule {
            key: "default".to_owned(),
            site,
            allow: true,
        };
        table.insert(PathBuf::from("/"), rule);
    }
    let mut insert = |at: PathBuf, rule: Rule| match table.get(&at) {
        Some(other) if other.rank() > rule.rank() => {}
        _ => drop(table.insert(at, rule)),
    };
    for (path, rule) in &said {
        match place(path) {
            Some(at) => insert(at, rule.clone()),
            None if rule.allow => out.notes.push((
                rule.site,
                format!("`{}` is absent on this host", path.display()),
            )),
            // It may be made later.
            None => insert(path.clone(), rule.clone()),
        }
    }
    let allows = table.values().any(|rule| rule.allow);
    for loader in LOADERS.map(PathBuf::from) {
        let here = elsewhere
            || facts
                .path(&loader)
                .is_some_and(|fact| fact.kind == PathKind::File);
        if let Some(at) =
            place(&loader).filter(|_| deny && allows && here && !said.contains_key(&loader))
        {
            table.entry(at).or_insert(Rule {
                key: String::new(),
                site: Site::DEFAULT,
                allow: true,
            });
        }
    }
    for (at, rule) in &table {
        let above = at.ancestors().skip(1).find_map(|above| table.get(above));
        let open = above.filter(|above| above.allow);
        match (rule.allow, open) {
            (true, None) => out.rules.push(PathRule {
                path: at.clone(),
                rights: Rights::EXECUTE,
                site: rule.site,
            }),
            (false, Some(above)) => out.unheld.push(Unheld {
                key: rule.key.clone(),
                site: rule.site,
                above: above.key.clone(),
            }),
            _ => {}
        }
    }
    // Every ruleset about files refuses moving from one directory to another where it is not granted (LANDLOCK_ACCESS_FS_REFER).
    match out.rules.first_mut() {
        Some(first) if first.path == Path::new("/") => first.rights = first.rights | Rights::REFER,
        _ => out.rules.insert(
            0,
            PathRule {
                path: PathBuf::from("/"),
                rights: Rights::REFER,
                site: Site::DEFAULT,
            },
        ),
    }
    if !allows {
        out.notes.push((
            site,
            "no program is allowed: nothing can be started".to_owned(),
        ));
    }
    Ok(out)
}

/// What the section says of which path, patterns replaced by what they match.
fn gather(policy: &Policy, facts: &Facts, out: &mut Lowered) -> Result<PathMap<Rule>, Diagnostics> {
    let mut said: PathMap<Rule> = PathMap::new();
    let mut errors = Diagnostics::new();
    for (key, value, rule) in policy.section(Section::Execute) {
        if key == "default" {
            continue;
        }
        let own = Rule {
            key: key.to_owned(),
            site: rule.site,
            allow: *value == Value::Word("allow"),
        };
        let paths = match expand(key, &facts.caller) {
            Err(why) => {
                let message = format!("`{key}` is no path for [execute]");
                errors.push(Diagnostic::error(message, rule.key_site, why));
                continue;
            }
            Ok(Expanded::NotApplicable(why)) => {
                out.notes
                    .push((rule.site, format!("`{key}` is passed over: {why}")));
                continue;
            }
            Ok(Expanded::Path(path)) => vec![path],
            Ok(Expanded::Glob(glob)) => match facts.globs.get(&glob) {
                Some(found) => {
                    if found.is_empty() {
                        let text = format!("`{key}` matches nothing on this host");
                        out.notes.push((rule.site, text));
                    }
                    found.clone()
                }
                None => {
                    let message = format!("`{key}` was not looked at on this host");
                    errors.push(Diagnostic::error(
                        message,
                        rule.site,
                        "it cannot be told what this means",
                    ));
                    continue;
                }
            },
        };
        for path in paths {
            match said.get(&path) {
                Some(other) if other.rank() > own.rank() => {}
                _ => drop(said.insert(path, own.clone())),
            }
        }
    }
    if errors.is_empty() {
        Ok(said)
    } else {
        Err(errors)
    }
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
