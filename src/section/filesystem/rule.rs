//! Rules about paths of this host: where each sits, and which one wins where several meet.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Draft;
use super::gather::{gather, gather_desktop, gather_devices};
use super::look::look_up;
use super::world::{self, Walk};
use crate::host::facts::PathKind;
use crate::profile::value::{Access, Terms, View};
use crate::report::{Diagnostic, Site};
use crate::tree::{self, PathMap};

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
    /// Its place among those that are decided about.
    pub number: usize,
    /// Whether `key` stands for more than this path.
    pub pattern: bool,
    /// Whether [devices] says it.
    pub device: bool,
    /// Whether it is what a class of devices needs beside its nodes.
    pub beside: bool,
    /// Whether [desktop] says it.
    pub desktop: bool,
    /// What is shown, when it is made for the run: its name in the directory of the run.
    pub made: Option<String>,
    /// Without terms.
    pub view: View,
    pub terms: Terms,
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
    /// A rule of which nothing is known yet but what it says.
    pub fn new(key: &str, site: Site, layer: Option<usize>, view: &View, path: PathBuf) -> Self {
        Self {
            key: key.to_owned(),
            site,
            layer,
            number: 0,
            pattern: false,
            device: false,
            beside: false,
            desktop: false,
            made: None,
            terms: view.terms(),
            view: view.plain().clone(),
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

    /// Whether it shows something of the host, and with which access.
    pub fn grants(&self) -> Option<Access> {
        match &self.view {
            View::Host(Access::Hidden | Access::Denied) => None,
            View::Host(access) | View::Bind { access, .. } => Some(*access),
            // Nothing of the host can be changed by it.
            View::Root { .. } | View::Copy { .. } | View::Overlay => Some(Access::ReadOnly),
            View::Private | View::Tmpfs { .. } | View::Text(_) | View::With(..) => None,
        }
    }

    pub fn hides(&self) -> bool {
        self.view.closes()
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
    // Patterns stand for a few more.
    let mut rules = Vec::with_capacity(draft.said.len() * 5 / 4);
    gather(draft, &mut rules);
    gather_devices(draft, &mut rules);
    gather_desktop(draft, &mut rules);
    if rules.len() > MOST_RULES {
        draft.errors.push(
            Diagnostic::general(format!(
                "{} rules in [filesystem], [devices] and [desktop] are too many",
                rules.len()
            ))
            .help("use patterns that match less"),
        );
        return Vec::new();
    }
    decide(draft, &mut rules, |rule| &rule.path);
    look_up(draft, &mut rules);
    settle(draft, &mut rules);
    decide(draft, &mut rules, |rule| &rule.place);
    drop_seen(&mut rules);
    rules
}

/// Drops what is needed beside devices where the host's own is seen anyway, with whichever access.
fn drop_seen(rules: &mut Vec<Rule>) {
    if !rules.iter().any(|rule| rule.beside) {
        return;
    }
    let host_shown = |rule: &Rule| match &rule.view {
        View::Host(access) => *access != Access::Hidden,
        _ => false,
    };
    let told: PathMap<bool> = rules
        .iter()
        .filter(|rule| !rule.beside)
        .map(|rule| (rule.place.clone(), host_shown(rule)))
        .collect();
    let seen = |rule: &Rule| {
        let nearest = told.nearest(&rule.place);
        nearest.is_none_or(|(_, shown)| *shown)
    };
    rules.retain(|rule| !rule.beside || !seen(rule));
}

/// Keeps one rule for each value of `at`, in the order of the paths, and says which ones lost.
fn decide(draft: &mut Draft, rules: &mut Vec<Rule>, at: impl Fn(&Rule) -> &PathBuf) {
    let mut lost = Vec::new();
    for (number, rule) in rules.iter_mut().enumerate() {
        rule.number = number;
    }
    tree::sort(rules, |rule| at(rule));
    rules.dedup_by(|rule, winner| {
        if !tree::same(at(rule), at(winner)) {
            return false;
        }
        let number = rule.number;
        if rule.beats(winner) {
            std::mem::swap(rule, winner);
        }
        let loser = rule;
        // What a class needs beside its nodes is no rule that anybody wrote.
        if (&loser.view, loser.terms) != (&winner.view, winner.terms)
            && loser.layer.is_some()
            && !loser.beside
        {
            let text = format!(
                "`{}` has no effect: `{}` decides about `{}`",
                loser.key,
                winner.key,
                at(winner).display()
            );
            draft.decisive.insert(winner.key.clone());
            lost.push((number, loser.pattern, loser.key.clone(), loser.site, text));
        }
        // By its other name it must still be found.
        winner.links.append(&mut loser.links);
        true
    });
    if lost.is_empty() {
        return;
    }
    // That a pattern has exceptions is what they are for.
    let mut left: BTreeSet<(String, Site)> = BTreeSet::new();
    left.extend(rules.iter().map(|rule| (rule.key.clone(), rule.site)));
    // As they were gathered.
    lost.sort_by_key(|(number, ..)| *number);
    for (_, pattern, key, site, text) in lost {
        if !pattern || left.insert((key, site)) {
            draft.note(site, text);
        }
    }
}

/// Finds each rule's place. Where one sits depends on what the others show above it, so that this is repeated
/// until nothing moves.
fn settle(draft: &mut Draft, rules: &mut [Rule]) {
    let links = world::links(draft.facts);
    if links.is_empty() {
        for rule in rules {
            // It is the path itself, unless that is written in another way.
            if !tree::is_plain(&rule.path) {
                rule.place = world::normal(&rule.path);
            }
        }
        return;
    }
    let mut trees: PathMap<PathBuf> = PathMap::new();
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
