//! From keys to places: expansion, patterns, what the host has, and which rule wins where several meet.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::world::{self, Walk};
use super::{Draft, Item, What, moved};
use crate::host::facts::PathKind;
use crate::policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Size, Value, View};
use crate::report::{Diagnostic, Site};
use crate::section::devices;
use crate::section::expand::{self, Expanded};

/// A file's own mode forbids it (EACCES, errno(3)).
const EACCES: i32 = 13;
/// The longest name of a file (NAME_MAX, limits.h).
const LONGEST_NAME: usize = 255;
/// More rules than this are a mistake in a pattern; a mount namespace takes 100,000 mounts (fs.mount-max).
const MOST_RULES: usize = 10_000;

/// A rule about one path of this host.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As written.
    pub key: String,
    pub site: Site,
    /// The rank of its layer; `None` below all layers.
    pub layer: Option<usize>,
    /// Whether `key` stands for more than this path.
    pub pattern: bool,
    /// Whether [devices] says it.
    pub device: bool,
    pub view: View,
    /// As expanded.
    pub path: PathBuf,
    /// Where `path` leads on the host.
    pub host: PathBuf,
    pub kind: PathKind,
    /// The links on the way to `host`.
    pub via: Vec<(PathBuf, PathBuf)>,
    /// What is shown: `host`, or the other path, with the links on the way there.
    pub source: PathBuf,
    pub source_kind: PathKind,
    pub source_via: Vec<(PathBuf, PathBuf)>,
    /// Where it sits inside.
    pub place: PathBuf,
    /// Links that must be seen inside, so that `path` leads to `place`.
    pub links: Vec<(PathBuf, PathBuf)>,
}

impl Rule {
    /// Whether it shows something of the host, and with which access.
    pub fn grants(&self) -> Option<Access> {
        match &self.view {
            View::Host(Access::Hidden) => None,
            View::Host(access) | View::Bind { access, .. } => Some(*access),
            View::Private | View::Tmpfs { .. } | View::Text(_) => None,
        }
    }

    pub fn hides(&self) -> bool {
        self.view == View::Host(Access::Hidden)
    }

    /// The stricter the smaller.
    fn width(&self) -> u8 {
        match (&self.view, self.grants()) {
            (_, Some(Access::ReadWrite)) => 3,
            (_, Some(_)) => 2,
            (View::Host(_), None) => 0,
            _ => 1,
        }
    }

    /// Whether this rule rather than `other` decides about the place at which both sit.
    fn beats(&self, other: &Self) -> bool {
        let rank = |rule: &Self| {
            let direct = self.path == other.path || rule.place == rule.path;
            let pattern = if rule.pattern { rule.key.len() } else { 0 };
            (
                !rule.pattern,
                direct,
                rule.layer,
                pattern,
                std::cmp::Reverse(rule.width()),
            )
        };
        // A later layer's word that something is hidden holds by whatever name it was said.
        match (
            self.hides() && self.layer > other.layer,
            other.hides() && other.layer > self.layer,
        ) {
            (true, false) if !self.pattern => true,
            (false, true) if !other.pattern => false,
            _ => rank(self) > rank(other),
        }
    }
}

/// All rules that hold, one a place, in the order of the places.
pub fn place(draft: &mut Draft) -> Vec<Rule> {
    let mut rules = Vec::new();
    gather(draft, &mut rules);
    gather_devices(draft, &mut rules);
    if rules.len() > MOST_RULES {
        draft.errors.push(
            Diagnostic::general(format!(
                "{} rules in [filesystem] and [devices] are too many",
                rules.len()
            ))
            .help("use patterns that match less"),
        );
        return Vec::new();
    }
    let rules = decide(draft, rules, |rule| rule.path.clone());
    let mut rules = look_up(draft, rules);
    settle(draft, &mut rules);
    decide(draft, rules, |rule| rule.place.clone())
}

/// `[filesystem]` as rules about paths.
fn gather(draft: &mut Draft, out: &mut Vec<Rule>) {
    let binds: Vec<(PathBuf, PathBuf)> = binds(draft);
    for (key, value, rule) in draft.policy.section(Section::Filesystem) {
        let Value::View(view) = value else { continue };
        let mut add =
            |path: PathBuf, pattern: bool| out.push(new(key, rule, path, pattern, view.clone()));
        match expand::expand(key, &draft.facts.caller) {
            Err(why) => draft.errors.push(Diagnostic::error(
                format!("`{key}` is no path for [filesystem]"),
                rule.key_site,
                why,
            )),
            Ok(Expanded::NotApplicable(why)) => {
                draft.note(rule.site, format!("`{key}` is passed over: {why}"))
            }
            Ok(Expanded::Path(path)) => {
                if path == Path::new("/") && !key.starts_with('/') {
                    draft.errors.push(
                        Diagnostic::error(
                            format!("`{key}` is `/` here"),
                            rule.site,
                            "this would be about everything",
                        )
                        .help("start it in another directory, or say \"/\" if that is meant"),
                    );
                } else {
                    add(path, false);
                }
            }
            Ok(Expanded::Glob(glob)) => {
                let mut found: BTreeSet<PathBuf> = BTreeSet::new();
                let mut looked = true;
                let mut find = |glob: &Path| match draft.facts.globs.get(glob) {
                    Some(paths) => paths.clone(),
                    None => {
                        looked = false;
                        Vec::new()
                    }
                };
                found.extend(find(&glob));
                if view == &View::Host(Access::Hidden) {
                    for (place, source) in &binds {
                        if let Ok(rest) = glob.strip_prefix(expand::literal(place, true)) {
                            let there = find(&expand::literal(source, true).join(rest));
                            found.extend(there.iter().map(|path| moved(path, source, place)));
                        }
                    }
                }
                if !looked {
                    draft.errors.push(unseen(key, rule.site));
                } else if found.is_empty() {
                    draft.note(rule.site, format!("`{key}` matches nothing on this host"));
                }
                for path in found {
                    add(path, true);
                }
            }
        }
    }
}

fn new(key: &str, rule: &policy::Rule, path: PathBuf, pattern: bool, view: View) -> Rule {
    Rule {
        key: key.to_owned(),
        site: rule.site,
        layer: Some(rule.layer),
        pattern,
        device: false,
        view,
        host: path.clone(),
        place: path.clone(),
        source: path.clone(),
        path,
        kind: PathKind::Missing,
        via: Vec::new(),
        source_kind: PathKind::Missing,
        source_via: Vec::new(),
        links: Vec::new(),
    }
}

/// `[devices]` as rules about paths.
fn gather_devices(draft: &mut Draft, out: &mut Vec<Rule>) {
    let rules = match devices::rules(draft.policy) {
        Ok(rules) => rules,
        Err(errors) => return draft.errors.extend(errors),
    };
    for device in rules {
        let paths = if expand::is_pattern(&device.path.to_string_lossy()) {
            match draft.facts.globs.get(&device.path) {
                Some(paths) => paths.clone(),
                None => {
                    draft.errors.push(unseen(&device.key, device.site));
                    continue;
                }
            }
        } else {
            vec![device.path.clone()]
        };
        out.extend(paths.into_iter().map(|path| Rule {
            key: device.key.clone(),
            site: device.site,
            layer: device.layer,
            pattern: device.class,
            device: true,
            view: View::Host(device.access),
            host: path.clone(),
            place: path.clone(),
            source: path.clone(),
            path,
            kind: PathKind::Missing,
            via: Vec::new(),
            source_kind: PathKind::Missing,
            source_via: Vec::new(),
            links: Vec::new(),
        }));
    }
}

fn unseen(key: &str, site: Site) -> Diagnostic {
    Diagnostic::error(
        format!("`{key}` was not looked at on this host"),
        site,
        "it cannot be told what this means",
    )
}

/// Places at which another path is shown, by the letter of the keys.
fn binds(draft: &Draft) -> Vec<(PathBuf, PathBuf)> {
    let caller = &draft.facts.caller;
    draft
        .policy
        .section(Section::Filesystem)
        .filter_map(
            |(key, value, _)| match (expand::expand(key, caller), value) {
                (Ok(Expanded::Path(place)), Value::View(View::Bind { source, .. })) => {
                    match expand::expand(source, caller) {
                        Ok(Expanded::Path(source)) => Some((place, source)),
                        _ => None,
                    }
                }
                _ => None,
            },
        )
        .collect()
}

/// Keeps one rule for each value of `at`, and says which ones lost.
fn decide(draft: &mut Draft, rules: Vec<Rule>, at: impl Fn(&Rule) -> PathBuf) -> Vec<Rule> {
    let mut winners: BTreeMap<PathBuf, Rule> = BTreeMap::new();
    for rule in rules {
        let at = at(&rule);
        let Some(before) = winners.remove(&at) else {
            winners.insert(at, rule);
            continue;
        };
        let (mut winner, loser) = if rule.beats(&before) {
            (rule, before)
        } else {
            (before, rule)
        };
        if loser.view != winner.view && loser.layer.is_some() {
            draft.note(
                loser.site,
                format!(
                    "`{}` has no effect: `{}` decides about `{}`",
                    loser.key,
                    winner.key,
                    at.display()
                ),
            );
        }
        // By its other name it must still be found.
        winner.links.extend(loser.links);
        winners.insert(at, winner);
    }
    winners.into_values().collect()
}

/// Adds what the host has there; drops rules about what it does not have.
fn look_up(draft: &mut Draft, rules: Vec<Rule>) -> Vec<Rule> {
    let binds = binds(draft);
    let mut out = Vec::new();
    let mut classes: BTreeMap<(String, Site), bool> = BTreeMap::new();
    for mut rule in rules {
        let bound = binds
            .iter()
            .filter(|(place, _)| rule.path.starts_with(place) && rule.path != *place)
            .max_by_key(|(place, _)| place.components().count());
        let Some(fact) = draft.facts.path(&rule.path) else {
            if rule.hides() && bound.is_some() {
                out.push(rule);
            } else {
                draft.errors.push(unseen(&rule.key, rule.site));
            }
            continue;
        };
        rule.host = world::host_place(&rule.path, fact);
        rule.source.clone_from(&rule.host);
        rule.kind = fact.kind;
        rule.source_kind = fact.kind;
        rule.via.clone_from(&fact.links);
        let key = &rule.key;
        let shown = rule.path.display().to_string();
        let found = fact.canonical.is_some() && fact.error.is_none();
        if rule.device && rule.pattern && rule.layer.is_some() {
            *classes.entry((key.clone(), rule.site)).or_default() |= found;
        }
        if is_one_process(&rule.host) {
            draft.errors.push(
                Diagnostic::error(
                    format!("`{key}` is about one process"),
                    rule.site,
                    "inside it is another one, or none",
                )
                .help("name a path below /proc that is the same for all processes"),
            );
            continue;
        }
        if let Some(error) = fact.error {
            let reason = std::io::Error::from_raw_os_error(error);
            match &rule.view {
                View::Host(Access::Hidden) if error == EACCES && !draft.around.real_root => {
                    draft.note(
                        rule.site,
                        format!("`{shown}` is out of the caller's reach already: {reason}"),
                    );
                }
                View::Host(Access::ReadOnly | Access::ReadWrite) => {
                    draft.note(rule.site, format!("`{shown}` is passed over: {reason}"));
                }
                _ => draft.errors.push(Diagnostic::error(
                    format!("`{shown}` cannot be looked at: {reason}"),
                    rule.site,
                    "so that this cannot be done",
                )),
            }
            continue;
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
            } else if rule.layer.is_some() && !(rule.device && rule.pattern) {
                draft.note(rule.site, format!("`{shown}` is absent on this host"));
            }
            continue;
        }
        if rule.device && !suits_as_device(draft, &rule) {
            continue;
        }
        if let View::Bind { source, .. } = rule.view.clone()
            && !look_up_source(draft, &mut rule, &source)
        {
            continue;
        }
        out.push(rule);
    }
    for ((key, site), found) in classes {
        if !found {
            draft.note(site, format!("this host has no device for `{key}`"));
        }
    }
    out
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
    let path = match expand::expand(source, &draft.facts.caller) {
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
    let why = match draft.facts.path(&path) {
        None => "it was not looked at on this host".to_owned(),
        Some(fact) => match (&fact.canonical, fact.error) {
            (_, Some(error)) => std::io::Error::from_raw_os_error(error).to_string(),
            (None, None) => "it does not exist on this host".to_owned(),
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

fn is_one_process(path: &Path) -> bool {
    path.strip_prefix("/proc").ok().and_then(|rest| rest.components().next()).is_some_and(|name| {
        matches!(name, Component::Normal(name) if name.as_bytes().iter().all(u8::is_ascii_digit))
    })
}

/// Finds each rule's place. Where one sits depends on what the others show above it, so that this is repeated
/// until nothing moves.
fn settle(draft: &mut Draft, rules: &mut [Rule]) {
    let links = world::links(draft.facts);
    let mut trees: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for _ in 0..8 {
        let walks: Vec<Result<Walk, String>> = rules
            .iter()
            .map(|rule| world::walk(&rule.path, &links, &trees))
            .collect();
        for (rule, walk) in rules.iter_mut().zip(&walks) {
            if let Ok(walk) = walk {
                rule.place.clone_from(&walk.place);
                rule.links.clone_from(&walk.links);
            }
        }
        let now = rules
            .iter()
            .map(|rule| {
                let source = if rule.grants().is_some() {
                    &rule.source
                } else {
                    &rule.place
                };
                (rule.place.clone(), source.clone())
            })
            .collect();
        if now == trees {
            for (rule, walk) in rules.iter().zip(walks) {
                if let Err(why) = walk {
                    draft.errors.push(
                        Diagnostic::error(
                            format!("it cannot be told where `{}` leads inside", rule.key),
                            rule.site,
                            why,
                        )
                        .help("write the path without symbolic links"),
                    );
                }
            }
            return;
        }
        trees = now;
    }
    draft.errors.push(
        Diagnostic::general("the rules of [filesystem] lead to each other through symbolic links")
            .help("write paths without symbolic links"),
    );
}

/// Fills the table.
pub fn enter(draft: &mut Draft, rules: &[Rule]) {
    let minimal = devices::is_minimal(draft.policy);
    for rule in rules {
        let root = rule.place == Path::new("/");
        let what = match &rule.view {
            View::Host(Access::Hidden) => What::Hidden,
            View::Host(access) | View::Bind { access, .. } => {
                let in_dev = rule.place.starts_with("/dev") && rule.source.starts_with("/dev");
                if rule.source_kind == PathKind::Special && in_dev && minimal && !rule.device {
                    draft.note(
                        rule.site,
                        format!(
                            "`{}` does not work as a device: only [devices] does that",
                            rule.key
                        ),
                    );
                }
                What::Show {
                    source: rule.source.clone(),
                    access: *access,
                    devices: rule.device
                        || (in_dev && !minimal && matches!(rule.view, View::Host(_))),
                    directory: rule.source_kind == PathKind::Directory,
                    pin: false,
                }
            }
            View::Private => {
                let name = encode(&rule.place, &draft.facts.caller.home);
                if name.len() > LONGEST_NAME {
                    draft.errors.push(Diagnostic::error(
                        format!("`{}` is too long a path for a private directory", rule.key),
                        rule.site,
                        "",
                    ));
                    continue;
                }
                let directory = draft.around.private_root.join(name);
                draft.make_own(&directory, rule.site);
                What::Private { directory }
            }
            View::Tmpfs { size } => What::Tmpfs {
                size: size.and_then(|size| bytes(size, draft.around.memory)),
                mode: tmpfs_mode(&rule.place, &draft.facts.caller.home),
            },
            View::Text(text) => What::Text(text.clone()),
        };
        if root
            && let Some(why) = match &what {
                What::Text(_)
                | What::Show {
                    directory: false, ..
                } => Some("a file cannot be the root"),
                What::Tmpfs { size: Some(_), .. } => {
                    Some("the root in memory has no size of its own")
                }
                _ => None,
            }
        {
            draft
                .errors
                .push(Diagnostic::error("`/` cannot be this", rule.site, why));
        }
        draft.table.insert(
            rule.place.clone(),
            Item {
                what,
                name: rule.key.clone(),
                site: rule.site,
                because: if rule.layer.is_some() {
                    String::new()
                } else {
                    "implied by [devices]".to_owned()
                },
            },
        );
    }
    for rule in rules.iter().filter(|rule| !rule.hides()) {
        for (at, target) in &rule.links {
            let because = format!("`{}` is reached through it", rule.key);
            draft.imply(at, What::Link(target.clone()), rule.site, &because);
        }
    }
}

/// A size in bytes; `None` without a limit. 0 would mean no limit to tmpfs(5).
fn bytes(size: Size, memory: u64) -> Option<u64> {
    const PAGE: u64 = 4096;
    let bytes = match size {
        Size::Bytes(bytes) => bytes,
        Size::OfRam(part) => {
            u64::try_from(u128::from(memory) * u128::from(part) / 10_000).unwrap_or(u64::MAX)
        }
        Size::Max => return None,
    };
    Some(bytes.max(PAGE))
}

fn tmpfs_mode(place: &Path, home: &Path) -> u32 {
    if ["/tmp", "/var/tmp", "/dev/shm"]
        .map(Path::new)
        .contains(&place)
    {
        0o1777
    } else if place.starts_with("/run/user") || place.starts_with(home) {
        0o700
    } else {
        0o755
    }
}

/// A path as the name of one file: `home`, `home%2F.cache`, `%2Fsrv%2Fdata`.
fn encode(path: &Path, home: &Path) -> String {
    let (mut out, rest): (String, &OsStr) = match path.strip_prefix(home) {
        Ok(rest) if rest.as_os_str().is_empty() => return "home".to_owned(),
        Ok(rest) => ("home%2F".to_owned(), rest.as_os_str()),
        Err(_) => (String::new(), path.as_os_str()),
    };
    for &byte in rest.as_bytes() {
        if byte.is_ascii_alphanumeric() || b".-_+@ ".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
