//! Paths as profiles write them: absolute, below `~`, or below a directory that the host names.

use super::Wrong;
use crate::report::suggest::nearest;
use crate::section::expand::is_pattern;

/// What `${…}` can name at the beginning of a path.
pub const VARIABLES: [&str; 16] = [
    "HOME",
    "PWD",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_DESKTOP_DIR",
    "XDG_DOCUMENTS_DIR",
    "XDG_DOWNLOAD_DIR",
    "XDG_MUSIC_DIR",
    "XDG_PICTURES_DIR",
    "XDG_PUBLICSHARE_DIR",
    "XDG_TEMPLATES_DIR",
    "XDG_VIDEOS_DIR",
];

/// PATH_MAX and NAME_MAX.
const LONGEST: usize = 4096;
const LONGEST_NAME: usize = 255;

/// Splits what a path begins with (`/`, `~`, `${NAME}`) from the names that follow. `${HOME}` is `~`.
fn head(text: &str) -> Result<(&str, &str), Wrong> {
    if text.starts_with('/') {
        return Ok(("/", text));
    }
    if let Some(rest) = text.strip_prefix('~') {
        if rest.is_empty() || rest.starts_with('/') {
            return Ok(("~", rest));
        }
        return Err(
            Wrong::new(format!("`{text}` names another user's home directory"))
                .label("only `~` and `~/…` are known")
                .help("write the path itself, such as \"/home/other\""),
        );
    }
    if let Some(behind) = text.strip_prefix("${") {
        let Some((name, rest)) = behind.split_once('}') else {
            return Err(Wrong::new(format!("`{text}` has no closing `}}`")));
        };
        if !VARIABLES.contains(&name) {
            let wrong = Wrong::new(format!("`${{{name}}}` is not known in paths"));
            return Err(match nearest(name, VARIABLES) {
                Some(near) => wrong.label(format!("did you mean `${{{near}}}`?")),
                None => wrong.help("HOME, PWD, XAUTHORITY and the XDG_… directories are known"),
            });
        }
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(Wrong::new(format!("`{text}` needs a `/` after `}}`")));
        }
        let head = text.get(..text.len() - rest.len()).unwrap_or(text);
        return Ok((if name == "HOME" { "~" } else { head }, rest));
    }
    if let Some(rest) = text.strip_prefix('$') {
        let end = rest.find('/').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        return Err(Wrong::new(format!("`{text}` is not an absolute path"))
            .help(format!("write \"${{{name}}}{rest}\"")));
    }
    Err(Wrong::new(format!("`{text}` is not an absolute path"))
        .label("must begin with `/`, `~` or `${…}`"))
}

/// The canonical form of a path: no doubled or trailing `/`, no `.`, `~` for `${HOME}`.
fn normal(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("the path is empty"));
    }
    if text.len() > LONGEST {
        return Err(Wrong::new(format!("the path is {} bytes long", text.len()))
            .label(format!("at most {LONGEST}")));
    }
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    if !text.bytes().all(printable)
        && let Some(c) = text.chars().find(|c| c.is_control())
    {
        return Err(Wrong::new("the path contains a control character")
            .label(format!("U+{:04X}", u32::from(c))));
    }
    let (head, rest) = head(text)?;
    let mut out = String::with_capacity(text.len());
    out.push_str(head);
    let variable = rest.contains('$');
    for name in rest.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            return Err(Wrong::new(format!("`{text}` contains `..`"))
                .label("what it leads to depends on links")
                .help("write the path that is meant"));
        }
        if name.len() > LONGEST_NAME {
            return Err(
                Wrong::new(format!("a name in the path is {} bytes long", name.len()))
                    .label(format!("at most {LONGEST_NAME}")),
            );
        }
        if variable && name.contains("${") {
            return Err(Wrong::new(format!("`{text}` has `${{` within the path"))
                .label("only a whole beginning expands"));
        }
        if !out.ends_with('/') {
            out.push('/');
        }
        out.push_str(name);
    }
    Ok(out)
}

/// A path as a value, in its canonical form.
///
/// # Errors
/// It is not absolute, contains `..` or control characters, names an unknown `${…}`, or is too long.
pub fn value(text: &str) -> Result<String, Wrong> {
    normal(text)
}

/// A path as a key, in its canonical form: each name can be a glob.
///
/// # Errors
/// As [`value`]; or a name is no valid glob; or the last one is `**`, which stands for directories on the way.
pub fn key(text: &str) -> Result<String, Wrong> {
    let path = normal(text)?;
    if path.ends_with("/**") {
        return Err(Wrong::new(format!("`{text}` ends with `**`"))
            .label("stands for directories on the way to something")
            .help("name the directory itself: what holds for it holds for everything below"));
    }
    if !is_pattern(&path) {
        return Ok(path);
    }
    let patterns = path.split('/').filter(|name| is_pattern(name));
    for name in patterns {
        if let Err(error) = glob::Pattern::new(name) {
            return Err(Wrong::new(format!("`{name}` is not a valid glob"))
                .label(error.msg)
                .help("a `[` that is meant literally is written `[[]`"));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_key() {
        for (text, canonical) in [
            ("/", "/"),
            ("//", "/"),
            ("/tmp/", "/tmp"),
            ("/a//b/./c", "/a/b/c"),
            ("~", "~"),
            ("~/", "~"),
            ("${HOME}", "~"),
            ("${HOME}/x/", "~/x"),
            ("${XDG_DOWNLOAD_DIR}", "${XDG_DOWNLOAD_DIR}"),
            ("${PWD}/a", "${PWD}/a"),
            ("/dev/nvidia*", "/dev/nvidia*"),
            ("/a$b", "/a$b"),
            ("/a/**/b*", "/a/**/b*"),
        ] {
            assert_eq!(key(text).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = format!("/{}", "a".repeat(256));
        let longer = "/a".repeat(2049);
        for text in [
            "",
            "a",
            "./a",
            "../a",
            "/a/../b",
            "/..",
            "~x",
            "~root/x",
            "${HOME",
            "${FOO}",
            "${HOME}x",
            "$HOME/x",
            "/x/${HOME}",
            "/a\0b",
            "/a\nb",
            "/a\u{85}b",
            "/a/b**",
            "/a/**",
            "/a/**/",
            "/[",
            long.as_str(),
            longer.as_str(),
        ] {
            assert!(key(text).is_err(), "{text:?}");
        }
        assert_eq!(
            key("${XDG_DOWNLOADS_DIR}").expect_err("unknown").label,
            "did you mean `${XDG_DOWNLOAD_DIR}`?"
        );
        assert_eq!(
            key("$HOME/x").expect_err("shell").help,
            ["write \"${HOME}/x\""]
        );
    }
}
