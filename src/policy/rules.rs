//! The rules of a policy in one sorted list. It is made once and asked some hundreds of times in a launch: a search by halves
//! compares less than a tree does, and nothing is copied to ask.

use super::Rule;
use crate::profile::key::Section;

/// Names a rule.
pub type Name = (Section, String);

/// Rules by section and key, in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    sorted: Vec<(Name, Rule)>,
}

impl Rules {
    /// For so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            sorted: Vec::with_capacity(count),
        }
    }

    fn search(&self, section: Section, key: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|((at, name), _)| {
            at.cmp(&section).then_with(|| name.as_str().cmp(key))
        })
    }

    /// The rule for a key.
    #[must_use]
    pub fn get(&self, section: Section, key: &str) -> Option<&Rule> {
        let at = self.search(section, key).ok()?;
        self.sorted.get(at).map(|(_, rule)| rule)
    }

    /// The rule for a key, to be changed.
    pub fn get_mut(&mut self, section: Section, key: &str) -> Option<&mut Rule> {
        let at = self.search(section, key).ok()?;
        self.sorted.get_mut(at).map(|(_, rule)| rule)
    }

    /// The last one, with its name.
    pub(super) fn last_mut(&mut self) -> Option<&mut (Name, Rule)> {
        self.sorted.last_mut()
    }

    /// Puts a rule in its place, instead of another one for that key. Cheap for what comes last, and to be done in order where
    /// there are many.
    pub fn insert(&mut self, name: Name, rule: Rule) {
        if self.sorted.last().is_none_or(|(last, _)| *last < name) {
            self.sorted.push((name, rule));
            return;
        }
        match self.search(name.0, &name.1) {
            Ok(at) => {
                if let Some((_, before)) = self.sorted.get_mut(at) {
                    *before = rule;
                }
            }
            Err(at) => self.sorted.insert(at, (name, rule)),
        }
    }

    /// Those of a section.
    pub(super) fn of(&self, section: Section) -> &[(Name, Rule)] {
        let start = self.sorted.partition_point(|((at, _), _)| *at < section);
        let from = self.sorted.get(start..).unwrap_or_default();
        let end = from.partition_point(|((at, _), _)| *at == section);
        from.get(..end).unwrap_or_default()
    }

    /// All of them, by section and key.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Rule)> {
        self.sorted.iter().map(|(name, rule)| (name, rule))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}
