//! `[environment]`: which variables the program gets.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Value, Variable};

/// Whether `pattern`, in which `*` stands for any characters, matches all of `name`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|&byte| byte == b'*');
    let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else {
        return false;
    };
    let Some(tail) = parts.next_back() else {
        return rest.is_empty();
    };
    // The first place at which a part is found leaves the most for those behind it.
    for part in parts {
        match find(part, rest) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(tail)
}

/// What follows a part where it is found first.
fn find<'n>(part: &[u8], mut name: &'n [u8]) -> Option<&'n [u8]> {
    let Some(first) = part.first() else {
        return Some(name);
    };
    loop {
        let at = name.iter().position(|byte| byte == first)?;
        name = name.get(at..)?;
        if let Some(behind) = name.strip_prefix(part) {
            return Some(behind);
        }
        name = name.get(1..)?;
    }
}

/// What is said of a variable: by which key, and where.
type Said<'p> = (&'p str, Traced<&'p Variable>);

/// The rule for a variable: its own name, else the longest pattern that matches; with its key and its place.
#[must_use]
pub fn rule_for<'p>(policy: &'p Policy, name: &OsStr) -> Option<Said<'p>> {
    Rules::of(policy).about(name)
}

/// What `[environment]` says of variables, told apart once for many of them.
struct Rules<'p> {
    /// In the order of their names.
    names: Vec<Said<'p>>,
    /// Those among them that stand for more than one.
    patterns: Vec<Said<'p>>,
}

impl<'p> Rules<'p> {
    fn of(policy: &'p Policy) -> Self {
        let said = policy.section(Section::Environment);
        let names: Vec<_> = said
            .filter_map(|(key, value, rule)| match value {
                Value::Variable(said) => Some((key, Traced::new(said, rule.site))),
                _ => None,
            })
            .collect();
        let patterns = names.iter().filter(|(key, _)| key.contains('*'));
        Self {
            patterns: patterns.cloned().collect(),
            names,
        }
    }

    /// As [`rule_for`].
    fn about(&self, name: &OsStr) -> Option<Said<'p>> {
        let name = name.as_bytes();
        let own = |(key, _): &Said| key.as_bytes().cmp(name);
        if let Ok(own) = self.names.binary_search_by(own) {
            return self.names.get(own).cloned();
        }
        let mut found: Option<Said> = None;
        for (key, said) in &self.patterns {
            // What is shorter than one that was found need not be looked at. Of two of one length the later name decides:
            // arbitrary, but always the same.
            let longest = found
                .as_ref()
                .is_none_or(|(before, _)| before.len() <= key.len());
            if longest && matches(key.as_bytes(), name) {
                found = Some((key, said.clone()));
            }
        }
        found
    }
}

/// Whether variables that no rule names are kept from the program, and where that is said.
#[must_use]
pub fn is_clean(policy: &Policy) -> Traced<bool> {
    match policy.get(Section::Environment, "default") {
        Some(said) => Traced::new(*said.value == Value::Word("clean"), said.site),
        None => Traced::default_value(false),
    }
}

/// The program's environment: what passes of the caller's, in its order, then what is set beside it, by name. The first
/// of several variables of one name counts, as for the C library.
#[must_use]
pub fn lower(policy: &Policy, caller: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let clean = is_clean(policy).value;
    let rules = Rules::of(policy);
    let mut seen: BTreeSet<&OsStr> = BTreeSet::new();
    let mut result = Vec::with_capacity(caller.len());
    for (name, value) in caller {
        if !seen.insert(name) {
            continue;
        }
        match rules.about(name).map(|(_, said)| said.value) {
            Some(Variable::Pass) => result.push((name.clone(), value.clone())),
            Some(Variable::Unset) => {}
            Some(Variable::Set(text)) => result.push((name.clone(), text.into())),
            None if clean => {}
            None => result.push((name.clone(), value.clone())),
        }
    }
    for (key, value, _) in policy.section(Section::Environment) {
        if let Value::Variable(Variable::Set(text)) = value
            && !key.contains('*')
            && !seen.contains(OsStr::new(key))
        {
            result.push((key.into(), text.into()));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rule;
    use crate::report::Site;

    /// The same, with every rule looked at.
    fn looked_for<'p>(policy: &'p Policy, name: &OsStr) -> Option<Said<'p>> {
        let variable = |value: &'p Value| match value {
            Value::Variable(said) => Some(said),
            _ => None,
        };
        let matching = policy.section(Section::Environment);
        let matching = matching.filter(|(key, ..)| {
            let key = key.as_bytes();
            key == name.as_bytes() || (key.contains(&b'*') && matches(key, name.as_bytes()))
        });
        matching
            .filter_map(|(key, value, rule)| Some((key, Traced::new(variable(value)?, rule.site))))
            // Of two patterns of one length the later name decides: arbitrary, but always the same.
            .max_by_key(|(key, _)| (*key == name, key.len()))
    }

    #[test]
    fn rules_that_are_told_apart_say_what_each_alone_does() {
        let mut policy = Policy::default();
        let keys = [
            "default", "A*", "*A", "AB*", "*B", "AB", "A*B", "A_*", "*_B", "C", "**", "Ä*",
        ];
        for (number, key) in keys.into_iter().enumerate() {
            let value = match key {
                "default" => Value::Word("clean"),
                _ => Value::Variable(Variable::Set(number.to_string())),
            };
            let rule = Rule {
                value: Some(value),
                site: Site::DEFAULT,
                key_site: Site::DEFAULT,
                layer: 0,
                overruled: Vec::new(),
            };
            policy
                .rules
                .insert((Section::Environment, key.to_owned()), rule);
        }
        let rules = Rules::of(&policy);
        let names = [
            "default", "A", "B", "AB", "ABC", "A_B", "CAB", "C", "", "A*", "A*B", "Ä", "ÄB", "Z_B",
        ];
        for name in names.map(OsStr::new) {
            let alone = looked_for(&policy, name);
            assert_eq!(rules.about(name), alone, "{name:?}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("LC_*", "LC_ALL", true),
            ("LC_*", "LC_", true),
            ("LC_*", "XLC_ALL", false),
            ("*_TOKEN", "GITHUB_TOKEN", true),
            ("*_TOKEN", "GITHUB_TOKENS", false),
            ("*SECRET*", "MY_SECRET_KEY", true),
            ("A*B*C", "AxxBC", true),
            ("A*B*C", "AxxCB", false),
            ("PATH", "PATHS", false),
            ("PATH", "PATH", true),
            ("PATHS", "PATH", false),
            ("*", "", true),
            ("", "A", false),
            ("**", "A", true),
            ("A*", "A", true),
            ("AB*BC", "ABC", false),
            ("*AB*AB", "AAB_AAB", true),
            ("*AAB*", "AAAB", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
