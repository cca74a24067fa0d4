//! Layers of profiles → one policy, in which every value knows who said it and whom it overruled.
//!
//! There is one kind of rule and one merge rule: key by key, the later layer wins (see `merge`).

mod merge;
pub mod recorded;
mod rules;
pub mod show;

use crate::profile::key::Section;
use crate::profile::name;
use crate::profile::value::Value;
use crate::report::{Located, Site};

pub use merge::{merge, resolve};
pub use rules::{Name, Rules};

/// What one layer said about a key before a later one overruled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    /// What it said; `None` is `"inherit"`.
    pub value: Option<Value>,
    /// Where.
    pub site: Site,
    /// The layer's rank.
    pub layer: usize,
}

/// One key's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What holds; `None`: the winner says `"inherit"`, so that the default holds.
    pub value: Option<Value>,
    /// Where the winner's value stands.
    pub site: Site,
    /// Where the winner's key stands.
    pub key_site: Site,
    /// The winner's rank among [`Policy::layers`]: later layers have higher ranks.
    pub layer: usize,
    /// What lower layers said, the latest first.
    pub overruled: Vec<Overruled>,
}

/// A value with the place that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced<T> {
    /// What holds.
    pub value: T,
    /// Where it was said; [`Site::DEFAULT`] when nobody did.
    pub site: Site,
}

impl<T> Traced<T> {
    /// Puts a value and its place together.
    pub fn new(value: T, site: Site) -> Self {
        Self { value, site }
    }

    /// A value that nobody asked for.
    pub fn default_value(value: T) -> Self {
        Self::new(value, Site::DEFAULT)
    }
}

/// One layer, lowest first: an extended profile, the profile, a drop-in, another `--profile`, the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The profile's name.
    pub name: String,
    /// A place in it, for its file's name.
    pub site: Site,
    /// Whether somebody typed it for this run.
    pub typed: bool,
}

/// What holds for a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The names of the profiles asked for, joined by `+`.
    pub name: String,
    /// What private directories are kept under: the same, but for a profile that was given as a file by its whole path, so
    /// that no two share one.
    pub private_name: String,
    /// The last description that a layer gives.
    pub description: Option<Located<String>>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// Rules that may be dropped with a warning, as `section.key`.
    pub degrade: Vec<Located<String>>,
    /// Every key that any layer names.
    pub rules: Rules,
}

impl Policy {
    /// What holds for a key, when a layer says so and none later says `"inherit"`.
    #[must_use]
    pub fn get(&self, section: Section, key: &str) -> Option<Traced<&Value>> {
        let rule = self.rules.get(section, key)?;
        Some(Traced::new(rule.value.as_ref()?, rule.site))
    }

    /// The keys of a section that hold, in the order of their names.
    pub fn section(&self, section: Section) -> impl Iterator<Item = (&str, &Value, &Rule)> {
        let rules = self.rules.of(section).iter();
        rules.filter_map(|((_, key), rule)| Some((key.as_str(), rule.value.as_ref()?, rule)))
    }

    /// Whether the program could only do more if this rule were not applied, so that `--best-effort` may drop it.
    #[must_use]
    pub fn only_adds_strictness(&self, section: Section, key: &str) -> bool {
        let Some(value) = self.get(section, key) else {
            return false;
        };
        name::lookup(section, key).is_ok_and(|(entry, _)| entry.degradable())
            && value.value.only_adds_strictness()
    }

    /// Whether a layer allows that this host fails to apply the rule, with a warning (`degrade`). What was typed for this
    /// run is meant: no profile allows it to be dropped.
    #[must_use]
    pub fn may_degrade(&self, section: Section, key: &str) -> bool {
        let named = |rule: &Located<String>| {
            rule.value
                .split_once('.')
                .is_some_and(|(at, name)| at == section.name() && name == key)
        };
        let layer = self.rules.get(section, key).map(|rule| rule.layer);
        let typed = layer
            .and_then(|rank| self.layers.get(rank))
            .is_some_and(|layer| layer.typed);
        !typed && self.degrade.iter().any(named) && self.only_adds_strictness(section, key)
    }

    /// Whether anything in a section holds.
    #[must_use]
    pub fn mentions(&self, section: Section) -> bool {
        self.section(section).next().is_some()
    }
}
