//! `[environment]`: which variables the program gets.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Value, Variable};

/// Whether `pattern`, in which `*` stands for any characters, matches all of `name`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else {
        return pattern == name;
    };
    let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
    let Some(rest) = name.strip_prefix(head) else {
        return false;
    };
    (0..=rest.len()).any(|skipped| matches(tail, &rest[skipped..]))
}

/// The rule for a variable: its own name, else the longest pattern that matches; with its key and its place.
#[must_use]
pub fn rule_for<'p>(policy: &'p Policy, name: &OsStr) -> Option<(&'p str, Traced<&'p Variable>)> {
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
    let mut seen = BTreeSet::new();
    let mut result = Vec::new();
    for (name, value) in caller {
        if !seen.insert(name.clone()) {
            continue;
        }
        match rule_for(policy, name).map(|(_, said)| said.value) {
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
    use super::matches;

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
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
