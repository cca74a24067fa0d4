//! Which rules hold for a call: specificity, not order.

use std::cmp::Reverse;

use super::argument::Condition;
use super::groups::{self, Group};
use super::{Action, Arch, CompileError, Filter, Key, Rule};

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
    pub(super) const fn always(action: Action) -> Self {
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
    /// The rules that name a call, by its name.
    by_call: Vec<(&'f str, &'f Rule)>,
    /// The rules on groups, the smallest group first, the stricter of two of one size.
    on_groups: Vec<(&'static Group, &'f Rule)>,
    pub(super) default: Action,
}

impl<'f> Rules<'f> {
    pub(super) fn new(filter: &'f Filter) -> Result<Self, CompileError> {
        let mut by_call = Vec::with_capacity(filter.rules.len());
        let mut on_groups = Vec::new();
        let mut defaults = Vec::new();
        for (index, rule) in filter.rules.iter().enumerate() {
            match &rule.key {
                Key::Default => defaults.push(rule.action),
                Key::Group(name) => {
                    let group = groups::find(name).ok_or_else(|| CompileError::UnknownGroup {
                        rule: index,
                        group: name.clone(),
                    })?;
                    on_groups.push((group, rule));
                }
                Key::Call(call) => by_call.push((call.as_str(), rule)),
                Key::CallWithArguments(on) => by_call.push((on.call(), rule)),
            }
        }
        by_call.sort_by_key(|(call, _)| *call);
        on_groups
            .sort_by_cached_key(|(group, rule)| (group.size(), Reverse(rule.action.strictness())));
        let default = strictest(defaults).unwrap_or(filter.default);
        Ok(Self {
            by_call,
            on_groups,
            default,
        })
    }

    /// The rules that name a call.
    fn naming(&self, call: &str) -> &[(&'f str, &'f Rule)] {
        let first = self.by_call.partition_point(|(name, _)| *name < call);
        let from = self.by_call.get(first..).unwrap_or_default();
        let count = from.iter().take_while(|(name, _)| *name == call).count();
        from.get(..count).unwrap_or_default()
    }

    /// The calls that rules name, each once.
    pub(super) fn named(&self) -> impl Iterator<Item = &'f str> {
        let runs = self.by_call.chunk_by(|(one, _), (next, _)| one == next);
        runs.filter_map(|run| run.first()).map(|(call, _)| *call)
    }

    /// The rules on groups, the smallest group first, the stricter of two of one size.
    pub(super) fn on_groups(&self) -> impl DoubleEndedIterator<Item = (&'static Group, Action)> {
        let rules = self.on_groups.iter();
        rules.map(|(group, rule)| (*group, rule.action))
    }

    /// Whether a rule speaks about the call by its own name.
    pub(super) fn names(&self, call: &str) -> bool {
        let found = self.by_call.binary_search_by_key(&call, |(name, _)| *name);
        found.is_ok()
    }

    /// Whether a rule speaks about the group by its own name.
    pub(super) fn names_group(&self, group: &str) -> bool {
        self.on_groups().any(|(named, _)| named.name == group)
    }

    /// Whether a rule that names the call keeps it from the kernel for some arguments.
    pub(super) fn restricts_by_name(&self, call: &str) -> bool {
        let rules = self.naming(call).iter();
        rules
            .map(|(_, rule)| rule)
            .any(|rule| !rule.action.permits())
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
        let mut groups = self.on_groups();
        let group = groups.find(|(group, _)| group.has(call));
        self.answer_over(arch, call, group.map_or(self.default, |(_, action)| action))
    }

    /// The same where it is known what holds if no rule names the call.
    pub(super) fn answer_over(&self, arch: Arch, call: &str, below: Action) -> Answer<'f> {
        let rules = self.naming(self.subject(arch, call));
        let plain = rules.iter().map(|(_, rule)| *rule).filter(is_plain);
        Answer {
            conditional: conditional(rules)
                .into_iter()
                .filter_map(|rule| Some((conditions(rule)?, rule.action)))
                .collect(),
            otherwise: strictest(plain.map(|rule| rule.action)).unwrap_or(below),
        }
    }

    /// The rules that speak about a call, and which of them decides.
    pub(super) fn speaking(&self, arch: Arch, call: &str) -> Speaking<'f> {
        let rules = self.naming(self.subject(arch, call));
        let mut plain: Vec<&'f Rule> = rules.iter().map(|(_, rule)| *rule).collect();
        plain.retain(is_plain);
        plain.sort_by_key(|rule| Reverse(rule.action.strictness()));
        let groups = self.on_groups.iter();
        let groups = groups.filter(|(group, _)| group.has(call));
        let mut weaker = plain.into_iter().chain(groups.map(|(_, rule)| *rule));
        Speaking {
            conditional: conditional(rules),
            otherwise: weaker.next(),
            beaten: weaker.collect(),
        }
    }
}

fn is_plain(rule: &&Rule) -> bool {
    matches!(rule.key, Key::Call(_))
}

/// Those of the rules on a call that test its arguments, the most specific first.
fn conditional<'f>(rules: &[(&'f str, &'f Rule)]) -> Vec<&'f Rule> {
    let rules = rules.iter().map(|(_, rule)| *rule);
    let mut rules: Vec<&'f Rule> = rules.filter(|rule| conditions(rule).is_some()).collect();
    // The conditions themselves come last, so that the order of the rules does not show in the program.
    rules.sort_by_key(|rule| {
        let conditions = conditions(rule).unwrap_or_default();
        Reverse((conditions.len(), rule.action.strictness(), conditions))
    });
    rules
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
