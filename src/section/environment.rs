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

/// The rule for a variable: its own name, else the longest pattern that matches.
fn rule_for<'p>(policy: &'p Policy, name: &OsStr) -> Option<&'p Variable> {
    let literal = name
        .to_str()
        .and_then(|name| policy.get(Section::Environment, name));
    if let Some(Traced {
        value: Value::Variable(said),
        ..
    }) = literal
    {
        return Some(said);
    }
    policy
        .section(Section::Environment)
        .filter(|(key, ..)| key.contains('*') && matches(key.as_bytes(), name.as_bytes()))
        .filter_map(|(key, value, _)| match value {
            Value::Variable(said) => Some((key.len(), said)),
            _ => None,
        })
        // Of two patterns of one length the later name decides: arbitrary, but always the same.
        .max_by_key(|(length, _)| *length)
        .map(|(_, said)| said)
}

/// The program's environment: what passes of the caller's, in its order, then what is set beside it, by name. The first
/// of several variables of one name counts, as for the C library.
#[must_use]
pub fn lower(policy: &Policy, caller: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let clean = matches!(
        policy
            .get(Section::Environment, "default")
            .map(|said| said.value),
        Some(Value::Word("clean"))
    );
    let mut seen = BTreeSet::new();
    let mut result = Vec::new();
    for (name, value) in caller {
        if !seen.insert(name.clone()) {
            continue;
        }
        match rule_for(policy, name) {
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
