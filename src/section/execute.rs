//! `[execute]`: which programs can be run at all.
//!
//! Held by Landlock's right to execute (landlock(7)), in a ruleset of its own beside that of `[filesystem]`, so that both
//! have to allow a program. Landlock grants and takes nothing away: what is denied below something allowed takes a mount.
//! Where a view is mounted, what is not allowed can be mapped for execution neither, which is all that a dynamic loader does
//! with a program that it is handed (`filesystem/programs`).

use std::path::{Path, PathBuf};

use super::expand::{Expanded, expand, is_pattern, literal};
use super::filesystem::seen;
use super::landlock::{PathRule, Rights};
use crate::host::Facts;
use crate::host::facts::{Caller, PathKind};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::Value;
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

/// Where libraries are, on the usual systems: they are mapped for execution (ld.so(8)). Those of Nix and Guix hold the
/// programs too.
pub const LIBRARIES: [&str; 12] = [
    "/gnu/store",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/local/lib",
    "/usr/local/lib64",
];

/// What can be done with what lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Nothing.
    Deny,
    /// It can be mapped for execution, as libraries are, and not be run.
    Map,
    /// It can be run.
    Allow,
}

impl Word {
    fn of(value: &Value) -> Self {
        match value {
            Value::Word("allow") => Self::Allow,
            Value::Word("map") => Self::Map,
            _ => Self::Deny,
        }
    }
}

/// What is said of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// What.
    pub word: Word,
    /// Who.
    pub site: Site,
}

/// A rule that Landlock cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unheld {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub site: Site,
    /// What above it is allowed.
    pub above: String,
    /// Where it is about.
    pub place: PathBuf,
    /// Whether it says `"map"`, which is less than what is allowed above it.
    pub map: bool,
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
    /// What is said of which place, with what comes along.
    pub said: PathMap<Said>,
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

/// The paths that the section is about, inside, with those that come along; and its patterns.
fn named(policy: &Policy, caller: &Caller) -> (Vec<PathBuf>, Vec<PathBuf>) {
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
    paths.extend(LIBRARIES.map(PathBuf::from));
    (paths, globs)
}

/// The paths and the patterns that have to be looked at: below another root, where there is one.
#[must_use]
pub fn wanted(policy: &Policy, facts: &Facts) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (paths, globs) = named(policy, &facts.caller);
    let Some(tree) = seen::other_root(policy, facts) else {
        return (paths, globs);
    };
    let pattern = literal(&tree, true);
    let below = |tree: &Path, path: &PathBuf| join(tree, path);
    (
        paths.iter().map(|path| below(&tree, path)).collect(),
        globs.iter().map(|glob| below(&pattern, glob)).collect(),
    )
}

/// What has to be looked at once more, where links in another root lead on in it: with paths that somebody asks about.
#[must_use]
pub fn wanted_beyond(policy: &Policy, facts: &Facts, asked: &[PathBuf]) -> Vec<PathBuf> {
    let Some(tree) = seen::other_root(policy, facts) else {
        return Vec::new();
    };
    let (mut paths, globs) = named(policy, &facts.caller);
    for glob in globs {
        paths.extend(matches(&glob, Some(&tree), facts).unwrap_or_default());
    }
    paths.extend(asked.iter().cloned());
    seen::beyond(&tree, &paths, facts)
}

/// What a pattern matches, as paths inside; nothing where nobody looked.
fn matches(glob: &Path, tree: Option<&Path>, facts: &Facts) -> Option<Vec<PathBuf>> {
    let Some(tree) = tree else {
        return facts.globs.get(glob).cloned();
    };
    let found = facts.globs.get(&join(&literal(tree, true), glob))?;
    let inside = |path: &PathBuf| Some(Path::new("/").join(path.strip_prefix(tree).ok()?));
    Some(found.iter().filter_map(inside).collect())
}

/// A path inside, below a tree of the host.
fn join(tree: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(rest) if !rest.as_os_str().is_empty() => tree.join(rest),
        _ => tree.to_owned(),
    }
}

/// One rule at one path.
#[derive(Clone, Debug)]
struct Rule {
    key: String,
    site: Site,
    word: Word,
}

impl Rule {
    /// A literal before a pattern, a longer pattern before a shorter one, what denies before what allows.
    fn rank(&self) -> (bool, usize, std::cmp::Reverse<Word>) {
        let pattern = is_pattern(&self.key);
        (
            !pattern,
            if pattern { self.key.len() } else { 0 },
            std::cmp::Reverse(self.word),
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
        said: PathMap::new(),
    };
    let said = gather(policy, facts, &mut out)?;
    // What is seen there comes from elsewhere, so that this host's links say nothing.
    let tree = seen::other_root(policy, facts);
    let links = tree.as_ref().map(|_| seen::links(facts));
    let place = |path: &Path| match (&tree, &links) {
        (Some(tree), Some(links)) => {
            let at = seen::place_in(tree, path, links);
            let fact = facts.path(&join(tree, &at));
            let gone = fact.is_some_and(|fact| fact.kind == PathKind::Missing);
            Some(at).filter(|_| !gone)
        }
        _ => match facts.path(path) {
            Some(fact) => fact.canonical.clone(),
            None => Some(path.to_owned()),
        },
    };
    let wherein = match tree {
        Some(_) => "in the root",
        None => "on this host",
    };
    let mut table: PathMap<Rule> = PathMap::new();
    if !deny {
        let rule = Rule {
            key: "default".to_owned(),
            site,
            word: Word::Allow,
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
            None if rule.word != Word::Deny => out.notes.push((
                rule.site,
                format!("`{}` is absent {wherein}", path.display()),
            )),
            // It may be made later.
            None => insert(path.clone(), rule.clone()),
        }
    }
    let allows = table.values().any(|rule| rule.word == Word::Allow);
    for loader in LOADERS.map(PathBuf::from) {
        let here = tree.is_some()
            || facts
                .path(&loader)
                .is_some_and(|fact| fact.kind == PathKind::File);
        if let Some(at) =
            place(&loader).filter(|_| deny && allows && here && !said.contains_key(&loader))
        {
            table.entry(at).or_insert(Rule {
                key: String::new(),
                site: Site::DEFAULT,
                word: Word::Allow,
            });
        }
    }
    for (at, rule) in &table {
        // What may only be mapped is to Landlock what may not be run.
        let above = at.ancestors().skip(1).find_map(|above| table.get(above));
        let open = above.filter(|above| above.word == Word::Allow);
        match (rule.word == Word::Allow, open) {
            (true, None) => out.rules.push(PathRule {
                path: at.clone(),
                rights: Rights::EXECUTE,
                site: rule.site,
            }),
            (false, Some(above)) => out.unheld.push(Unheld {
                key: rule.key.clone(),
                site: rule.site,
                above: above.key.clone(),
                place: at.clone(),
                map: rule.word == Word::Map,
            }),
            _ => {}
        }
    }
    let root = match (table.get(Path::new("/")), deny) {
        (Some(rule), _) => rule.word,
        (None, true) => Word::Deny,
        (None, false) => Word::Allow,
    };
    out.said.insert("/".into(), Said { word: root, site });
    let rules = table.iter().filter(|(at, _)| at.parent().is_some());
    let rules = rules.map(|(at, rule)| {
        let Rule { word, site, .. } = *rule;
        (at.clone(), Said { word, site })
    });
    out.said.extend(rules);
    for library in LIBRARIES.map(PathBuf::from) {
        if let Some(at) = place(&library).filter(|_| deny && allows) {
            let site = Site::DEFAULT;
            out.said.entry(at).or_insert(Said {
                word: Word::Map,
                site,
            });
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
    let tree = seen::other_root(policy, facts);
    for (key, value, rule) in policy.section(Section::Execute) {
        if key == "default" {
            continue;
        }
        let own = Rule {
            key: key.to_owned(),
            site: rule.site,
            word: Word::of(value),
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
            Ok(Expanded::Glob(glob)) => match matches(&glob, tree.as_deref(), facts) {
                Some(found) => {
                    if found.is_empty() {
                        let text = format!("`{key}` matches nothing on this host");
                        out.notes.push((rule.site, text));
                    }
                    found
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
