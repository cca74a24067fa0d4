//! Paths as profiles write them → absolute paths: `~`, `${HOME}`, `${PWD}`, `${XAUTHORITY}` and the `${XDG_…}` directories.
//!
//! What a variable holds was chosen by whoever set it: only a plain absolute path is taken from one, and in a
//! pattern it stands for itself, whatever characters it has.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use glob::Pattern;

use crate::host::facts::Caller;
use crate::tree;

/// The kernel takes no longer path (PATH_MAX, limits.h), its closing NUL included.
const LONGEST: usize = 4096;

/// What a written path comes to on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expanded {
    /// An absolute, lexically normal path.
    Path(PathBuf),
    /// An absolute, lexically normal pattern.
    Glob(PathBuf),
    /// It means nothing on this host, and why.
    NotApplicable(String),
}

/// Whether a text has characters that make it a pattern.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Expands a written path.
///
/// # Errors
/// What is wrong with the text, whatever the host: it is not absolute, leads upwards, names an unknown variable,
/// has control characters, is too long, or is no valid pattern.
pub fn expand(text: &str, caller: &Caller) -> Result<Expanded, String> {
    // One look at each byte tells nearly all of them from those that need another.
    let (mut plain, mut pattern) = (true, false);
    for byte in text.bytes() {
        plain &= matches!(byte, b' '..=b'~');
        pattern |= matches!(byte, b'*' | b'?' | b'[');
    }
    if !plain && text.chars().any(char::is_control) {
        return Err("a path cannot have control characters".to_owned());
    }
    let (start, rest) = if let Some(rest) = text.strip_prefix('~') {
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err("`~` stands for one's own home directory only, followed by `/`".to_owned());
        }
        ("~", rest)
    } else if text.starts_with("${") {
        let Some((name, rest)) = text.find('}').map(|at| (&text[2..at], &text[at + 1..])) else {
            return Err("`${` without `}`".to_owned());
        };
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(format!("`/` must follow `${{{name}}}`"));
        }
        (name, rest)
    } else if text.starts_with('/') {
        ("", text)
    } else {
        return Err("a path must start with `/`, `~` or `${…}`".to_owned());
    };
    if rest.contains('$') && rest.contains("${") {
        return Err("a variable can stand only at the start".to_owned());
    }
    // As nearly all are written.
    if start.is_empty() && !pattern && text.len() < LONGEST && tree::is_plain(Path::new(text)) {
        return Ok(Expanded::Path(text.into()));
    }
    let mut out = PathBuf::with_capacity(text.len() + 32);
    out.push("/");
    if !start.is_empty() {
        match value(start, caller) {
            Ok(base) if pattern => out.push(literal(&base, true)),
            Ok(base) => out.push(base),
            Err(Refusal::Unknown) => {
                return Err(format!(
                    "`${{{start}}}` is not known here; HOME, PWD, XAUTHORITY and XDG_… are"
                ));
            }
            Err(Refusal::Here(why)) => return Ok(Expanded::NotApplicable(why)),
        }
    }
    match rest.strip_prefix('/') {
        None | Some("") => {}
        Some(names) if tree::is_plain(Path::new(rest)) => out.push(names),
        Some(names) => {
            for component in Path::new(names).components() {
                match component {
                    Component::Normal(name) => out.push(name),
                    Component::ParentDir => return Err("`..` is not allowed in a path".to_owned()),
                    Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                }
            }
        }
    }
    if out.as_os_str().len() >= LONGEST {
        return Err(format!("the path is longer than {LONGEST} bytes"));
    }
    if !pattern {
        return Ok(Expanded::Path(out));
    }
    for component in out.components() {
        let name = component.as_os_str().to_string_lossy();
        if is_pattern(&name)
            && let Err(error) = Pattern::new(&name)
        {
            return Err(format!("`{name}` is no pattern: {}", error.msg));
        }
    }
    Ok(Expanded::Glob(out))
}

enum Refusal {
    Unknown,
    Here(String),
}

/// What a variable, or `~`, stands for.
fn value<'c>(name: &str, caller: &'c Caller) -> Result<Cow<'c, Path>, Refusal> {
    let here = |why: &str| {
        Refusal::Here(match name {
            "~" => format!("`~` {why}"),
            _ => format!("`${{{name}}}` {why}"),
        })
    };
    let value = match name {
        "~" | "HOME" => Some(&caller.home),
        "PWD" => Some(&caller.working_directory),
        _ if name == "XAUTHORITY" || name.starts_with("XDG_") => caller.directories.get(name),
        _ => return Err(Refusal::Unknown),
    };
    let Some(value) = value.filter(|value| !value.as_os_str().is_empty()) else {
        return Err(here("is not set"));
    };
    let bytes = value.as_os_str().as_bytes();
    let control = bytes.iter().any(u8::is_ascii_control);
    if tree::is_plain(value) && !control {
        return Ok(value.into());
    }
    let why = if !value.is_absolute() {
        "is not an absolute path"
    } else if value.components().any(|part| part == Component::ParentDir) {
        "leads upwards with `..`"
    } else if control {
        "has control characters"
    } else {
        // Without double slashes and dots.
        return Ok(Cow::Owned(value.components().collect()));
    };
    Err(here(why))
}

/// A path that stands for itself where a pattern is expected.
#[must_use]
pub fn literal(path: &Path, in_pattern: bool) -> PathBuf {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b']');
    if !in_pattern || !path.as_os_str().as_bytes().iter().any(special) {
        return path.to_owned();
    }
    path.components()
        .map(|part| match part {
            Component::Normal(name) => match name.to_str() {
                Some(text) => OsString::from(Pattern::escape(text)),
                // A pattern is text; a name that is not can only be itself.
                None => name.to_owned(),
            },
            other => other.as_os_str().to_owned(),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller {
            home: "/home/u".into(),
            working_directory: "/home/u/my [work]".into(),
            directories: [
                ("XDG_RUNTIME_DIR", "/run/user/1000"),
                ("XDG_CACHE_HOME", "cache"),
                ("XDG_DATA_HOME", "/home/u/../v"),
                ("XDG_STATE_HOME", "/home/u/a\nb"),
                ("XDG_CONFIG_HOME", "//home/./u/.config/"),
            ]
            .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
            .into(),
            ..Caller::default()
        }
    }

    #[test]
    fn paths_expand_to_absolute_normal_ones() {
        for (text, path) in [
            ("/", "/"),
            ("//usr/./lib/", "/usr/lib"),
            ("~", "/home/u"),
            ("~/.ssh", "/home/u/.ssh"),
            ("${HOME}/x", "/home/u/x"),
            ("${PWD}", "/home/u/my [work]"),
            ("${XDG_RUNTIME_DIR}/bus", "/run/user/1000/bus"),
            ("${XDG_CONFIG_HOME}/a", "/home/u/.config/a"),
            ("/a~b/$c", "/a~b/$c"),
        ] {
            assert_eq!(
                expand(text, &caller()),
                Ok(Expanded::Path(path.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_variable_in_a_pattern_stands_for_itself() {
        assert_eq!(
            expand("${PWD}/*.key", &caller()),
            Ok(Expanded::Glob("/home/u/my [[]work[]]/*.key".into()))
        );
    }

    #[test]
    fn what_this_host_does_not_have_is_not_applicable() {
        for (text, why) in [
            ("${XAUTHORITY}", "`${XAUTHORITY}` is not set"),
            ("${XDG_MUSIC_DIR}/x", "`${XDG_MUSIC_DIR}` is not set"),
            (
                "${XDG_CACHE_HOME}",
                "`${XDG_CACHE_HOME}` is not an absolute path",
            ),
            (
                "${XDG_DATA_HOME}",
                "`${XDG_DATA_HOME}` leads upwards with `..`",
            ),
            (
                "${XDG_STATE_HOME}",
                "`${XDG_STATE_HOME}` has control characters",
            ),
        ] {
            assert_eq!(
                expand(text, &caller()),
                Ok(Expanded::NotApplicable(why.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_texts_are_errors_on_every_host() {
        for text in [
            "",
            "usr",
            "~root/x",
            "${PATH}/x",
            "${HOME",
            "${HOME}x",
            "/a/../b",
            "~/..",
            "/a/${HOME}",
            "/a\nb",
            "/a\0b",
            "/a[",
            "/a/***",
        ] {
            assert!(expand(text, &caller()).is_err(), "{text:?}");
        }
        assert!(expand(&format!("/{}", "a/".repeat(3000)), &caller()).is_err());
    }
}
