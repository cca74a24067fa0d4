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
    /// The rules on groups that each call is in, the smallest group first, the stricter of two of one size.
    by_member: BTreeMap<&'static str, Vec<&'f Rule>>,
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
                    members.push((group.members(), rule));
                    named_groups.insert(name.as_str());
                }
                Key::Call(call) => by_call.entry(call.as_str()).or_default().push(rule),
                Key::CallWithArguments(on) => by_call.entry(on.call()).or_default().push(rule),
            }
        }
        members.sort_by_key(|(members, rule)| (members.len(), Reverse(rule.action.strictness())));
        let mut by_member: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (members, rule) in members {
            for member in members {
                by_member.entry(member).or_default().push(rule);
            }
        }
        let default = strictest(defaults).unwrap_or(filter.default);
        Ok(Self {
            by_call,
            by_member,
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

    /// The calls that a rule may speak about; for all others the default holds.
    pub(super) fn spoken_of(&self, arch: Arch) -> impl Iterator<Item = &str> {
        let siblings = arch.siblings().iter();
        let siblings = siblings.filter(|(name, _)| self.names(name));
        let named = self.by_call.keys().chain(self.by_member.keys()).copied();
        named.chain(siblings.map(|(_, call)| *call))
    }

    /// What the rules say about a call.
    pub(super) fn answer(&self, arch: Arch, call: &str) -> Answer<'f> {
        let speaking = self.speaking(arch, call);
        let conditional = speaking.conditional.into_iter();
        Answer {
            conditional: conditional
                .filter_map(|rule| Some((conditions(rule)?, rule.action)))
                .collect(),
            otherwise: speaking.otherwise.map_or(self.default, |rule| rule.action),
        }
    }

    /// The rules that speak about a call, and which of them decides.
    pub(super) fn speaking(&self, arch: Arch, call: &str) -> Speaking<'f> {
        let rules = self
            .by_call
            .get(self.subject(arch, call))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut conditional: Vec<&'f Rule> = rules
            .iter()
            .copied()
            .filter(|rule| conditions(rule).is_some())
            .collect();
        // The conditions themselves come last, so that the order of the rules does not show in the program.
        conditional.sort_by_key(|rule| {
            let conditions = conditions(rule).unwrap_or_default();
            Reverse((conditions.len(), rule.action.strictness(), conditions))
        });
        let mut plain: Vec<&'f Rule> = rules
            .iter()
            .copied()
            .filter(|rule| matches!(rule.key, Key::Call(_)))
            .collect();
        plain.sort_by_key(|rule| Reverse(rule.action.strictness()));
        let groups = self.by_member.get(call).into_iter().flatten().copied();
        let mut weaker = plain.into_iter().chain(groups);
        Speaking {
            conditional,
            otherwise: weaker.next(),
            beaten: weaker.collect(),
        }
    }
}

fn conditions(rule: &Rule) -> Option<&[Condition]> {
    match &rule.key {
        Key::CallWithArguments(on) => Some(on.conditions()),
        _ => None,
    }
}

/// The rules of a filter that speak about one call, before anything is implied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaking<'f> {
    /// Those on its arguments, the most specific first: the first whose conditions hold decides.
    pub conditional: Vec<&'f Rule>,
    /// What decides when none of them holds; `None`: the default does.
    pub otherwise: Option<&'f Rule>,
    /// What `otherwise` is more specific than, or as specific and stricter; the next one first.
    pub beaten: Vec<&'f Rule>,
}

/// Which rules of a filter speak about a call.
///
/// # Errors
/// The filter names a group that does not exist.
pub fn speaking<'f>(
    filter: &'f Filter,
    arch: Arch,
    call: &str,
) -> Result<Speaking<'f>, CompileError> {
    Ok(Rules::new(filter)?.speaking(arch, call))
}

fn strictest(actions: impl IntoIterator<Item = Action>) -> Option<Action> {
    actions.into_iter().max_by_key(|action| action.strictness())
}
