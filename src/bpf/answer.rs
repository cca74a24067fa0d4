//! Which rules hold for a call: specificity, not order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::argument::Condition;
use super::{Action, Arch, CompileError, Filter, Key, Rule, groups};

/// What happens to one call on one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answer<'f> {
    /// The rules on its arguments, the most specific first; the first whose conditions hold decides.
    pub(super) conditional: Vec<(&'f [Condition], Action)>,
    /// What happens when none of them holds.
    pub(super) otherwise: Action,
}

impl Answer<'_> {
    /// The same whatever the arguments.
    pub(super) fn always(action: Action) -> Self {
        Self {
            conditional: Vec::new(),
            otherwise: action,
        }
    }

    /// Whether the call is kept from the kernel for some arguments.
    pub(super) fn restricts(&self) -> bool {
        !self.otherwise.permits() || self.conditional.iter().any(|(_, action)| !action.permits())
    }
}

/// The rules of a filter by what they name.
pub(super) struct Rules<'f> {
    by_call: BTreeMap<&'f str, Vec<&'f Rule>>,
    /// The smallest group first, the stricter of two of one size.
    groups: Vec<(BTreeSet<&'static str>, Action)>,
    named_groups: BTreeSet<&'f str>,
    pub(super) default: Action,
}

impl<'f> Rules<'f> {
    pub(super) fn new(filter: &'f Filter) -> Result<Self, CompileError> {
        let mut by_call: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut members = Vec::new();
        let mut named_groups = BTreeSet::new();
        let mut defaults = Vec::new();
        for (index, rule) in filter.rules.iter().enumerate() {
            match &rule.key {
                Key::Default => defaults.push(rule.action),
                Key::Group(name) => {
                    let group = groups::find(name).ok_or_else(|| CompileError::UnknownGroup {
                        rule: index,
                        group: name.clone(),
                    })?;
                    members.push((group.members(), rule.action));
                    named_groups.insert(name.as_str());
                }
                Key::Call(call) => by_call.entry(call.as_str()).or_default().push(rule),
                Key::CallWithArguments(on) => by_call.entry(on.call()).or_default().push(rule),
            }
        }
        members.sort_by_key(|(members, action)| (members.len(), Reverse(action.strictness())));
        let default = strictest(defaults).unwrap_or(filter.default);
        Ok(Self {
            by_call,
            groups: members,
            named_groups,
            default,
        })
    }

    /// Whether a rule speaks about the call by its own name.
    pub(super) fn names(&self, call: &str) -> bool {
        self.by_call.contains_key(call)
    }

    /// Whether a rule speaks about the group by its own name.
    pub(super) fn names_group(&self, group: &str) -> bool {
        self.named_groups.contains(group)
    }

    /// Whether a rule that names the call keeps it from the kernel for some arguments.
    pub(super) fn restricts_by_name(&self, call: &str) -> bool {
        self.by_call
            .get(call)
            .is_some_and(|rules| rules.iter().any(|rule| !rule.action.permits()))
    }

    /// The call whose rules hold for `call`: itself, or the one that it is another entrance to when only that is named.
    pub(super) fn subject<'c>(&self, arch: Arch, call: &'c str) -> &'c str {
        match arch.counterpart(call) {
            Some(counterpart) if !self.names(call) && self.names(counterpart) => counterpart,
            _ => call,
        }
    }

    /// What the rules say about a call.
    pub(super) fn answer(&self, arch: Arch, call: &str) -> Answer<'f> {
        let rules = self
            .by_call
            .get(self.subject(arch, call))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut conditional: Vec<_> = rules
            .iter()
            .filter_map(|rule| match &rule.key {
                Key::CallWithArguments(on) => Some((on.conditions(), rule.action)),
                _ => None,
            })
            .collect();
        // The conditions themselves come last, so that the order of the rules does not show in the program.
        conditional.sort_by_key(|(conditions, action)| {
            Reverse((conditions.len(), action.strictness(), *conditions))
        });
        let plain = rules
            .iter()
            .filter(|rule| matches!(rule.key, Key::Call(_)))
            .map(|rule| rule.action);
        let otherwise = strictest(plain)
            .or_else(|| {
                self.groups
                    .iter()
                    .find(|(members, _)| members.contains(call))
                    .map(|(_, action)| *action)
            })
            .unwrap_or(self.default);
        Answer {
            conditional,
            otherwise,
        }
    }
}

fn strictest(actions: impl IntoIterator<Item = Action>) -> Option<Action> {
    actions.into_iter().max_by_key(|action| action.strictness())
}
