//! What an argument of the caller's must look like: a glob over one whole argument.
//!
//! Narrow on purpose, since patterns of arguments have been a source of holes: a pattern is matched against one argument
//! and never against several joined by blanks; `*` and `?` match neither `/` nor, in front, `-` or `.`; an argument with
//! a `..` component matches no pattern that does not spell it out.

/// Whether `argument` is one that `pattern` allows.
///
/// `*` stands for any characters but `/`, `?` for one, `[a-z]` and `[!a-z]` for one of (or not of) a set, `\` takes the
/// next character as it is. Bytes are compared, so that text in any encoding can be given literally.
#[must_use]
pub fn matches(pattern: &[u8], argument: &[u8]) -> bool {
    if has_parent(argument) && !has_parent(pattern) {
        return false;
    }
    // What starts with a wildcard is neither an option nor a hidden file.
    let wild = matches!(pattern.first(), Some(b'*' | b'?' | b'['));
    if wild && matches!(argument.first(), Some(b'-' | b'.')) {
        return false;
    }
    // Control characters are nobody's to give by a wildcard.
    if argument.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) && pattern != argument {
        return false;
    }
    // Backtracking to the last `*` alone: linear in the product of the lengths, whatever the pattern.
    let (mut p, mut a) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while a < argument.len() {
        let byte = argument.get(a).copied().unwrap_or(0);
        match one(pattern.get(p..).unwrap_or_default(), byte) {
            Step::Taken(length) => {
                p += length;
                a += 1;
                continue;
            }
            Step::Star => {
                star = Some((p + 1, a));
                p += 1;
                continue;
            }
            Step::Other => {}
        }
        match star {
            Some((after, from)) if argument.get(from).is_some_and(|byte| *byte != b'/') => {
                star = Some((after, from + 1));
                p = after;
                a = from + 1;
            }
            _ => return false,
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

/// Whether a pattern is well-formed: every `[` closed, nothing after a last `\`.
#[must_use]
pub fn is_valid(pattern: &[u8]) -> bool {
    let mut rest = pattern;
    while let Some(first) = rest.first() {
        let length = match first {
            b'\\' if rest.len() < 2 => return false,
            b'\\' => 2,
            b'[' => match set(rest) {
                Some((_, length)) => length,
                None => return false,
            },
            _ => 1,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    true
}

enum Step {
    /// The byte is taken by so many bytes of the pattern.
    Taken(usize),
    Star,
    Other,
}

fn one(pattern: &[u8], byte: u8) -> Step {
    let taken = |yes: bool, length| {
        if yes {
            Step::Taken(length)
        } else {
            Step::Other
        }
    };
    match pattern.first() {
        None => Step::Other,
        Some(b'*') => Step::Star,
        Some(b'?') => taken(byte != b'/', 1),
        Some(b'\\') => taken(pattern.get(1) == Some(&byte), 2),
        Some(b'[') => match set(pattern) {
            Some((set, length)) => taken(byte != b'/' && set.has(byte), length),
            None => Step::Other,
        },
        Some(literal) => taken(*literal == byte, 1),
    }
}

struct Set<'a> {
    negated: bool,
    members: &'a [u8],
}

/// The set at the start of a pattern, and its length with the brackets.
fn set(pattern: &[u8]) -> Option<(Set<'_>, usize)> {
    let inner = pattern.get(1..)?;
    let (negated, skip) = match inner.first() {
        Some(b'!' | b'^') => (true, 2),
        _ => (false, 1),
    };
    let members = pattern.get(skip..)?;
    // A `]` right after the opening is a member.
    let end = members.iter().skip(1).position(|byte| *byte == b']')? + 1;
    Some((
        Set {
            negated,
            members: members.get(..end)?,
        },
        skip + end + 1,
    ))
}

impl Set<'_> {
    fn has(&self, byte: u8) -> bool {
        let mut rest = self.members;
        let mut found = false;
        while let Some(&first) = rest.first() {
            if let (Some(b'-'), Some(&last)) = (rest.get(1), rest.get(2)) {
                found |= (first..=last).contains(&byte);
                rest = rest.get(3..).unwrap_or_default();
            } else {
                found |= first == byte;
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        found != self.negated
    }
}

fn has_parent(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        for (pattern, argument, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth[0-9]", "eth5", true),
            ("eth[0-9]", "ethx", false),
            ("eth[!0-9]", "ethx", true),
            ("*", "anything", true),
            ("*", "", true),
            ("*", "a/b", false),
            ("*", "-rf", false),
            ("*", ".hidden", false),
            ("?x", "-x", false),
            ("[-a]x", "-x", false),
            ("-*", "-v", true),
            ("/srv/*", "/srv/a", true),
            ("/srv/*", "/srv/a/b", false),
            ("/srv/*", "/srv/..", false),
            ("/srv/*/x", "/srv/../x", false),
            ("/srv/../x", "/srv/../x", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[]]", "]", true),
            ("*", "a\nb", false),
            ("a\nb", "a\nb", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), argument.as_bytes()),
                expected,
                "{pattern:?} {argument:?}"
            );
        }
    }

    #[test]
    fn what_is_not_closed_is_no_pattern() {
        for pattern in ["[", "[a", "a\\", "[]", "[!]"] {
            assert!(!is_valid(pattern.as_bytes()), "{pattern}");
        }
        for pattern in ["", "*", "[a]", "[]]", "\\[", "[!a-z]*"] {
            assert!(is_valid(pattern.as_bytes()), "{pattern}");
        }
    }
}
