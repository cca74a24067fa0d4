//! The names of an archive's members: which are refused, and what those mean that stand for removals. Pure.

/// PATH_MAX without the NUL, less what the cache's own path may take (limits.h).
const LONGEST_PATH: usize = 3500;
/// NAME_MAX (limits.h).
const LONGEST_NAME: usize = 255;

/// The names in a member's path, none for the root itself.
///
/// # Errors
/// Why such a member is refused, as the end of a sentence.
pub fn components(path: &[u8], deepest: usize) -> Result<Vec<&[u8]>, String> {
    if path.is_empty() {
        return Err("has no name".to_owned());
    }
    if path.contains(&0) {
        return Err("has a NUL in its name".to_owned());
    }
    if path.first() == Some(&b'/') {
        return Err("is an absolute path".to_owned());
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("has a path of more than {LONGEST_PATH} bytes"));
    }
    let mut names = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("leads upwards with `..`".to_owned()),
            _ if name.len() > LONGEST_NAME => {
                return Err(format!("has a name of more than {LONGEST_NAME} bytes"));
            }
            _ => names.push(name),
        }
    }
    if names.len() > deepest {
        return Err(format!("lies more than {deepest} directories deep"));
    }
    Ok(names)
}

/// What a member's name means in a layer (the image specification's whiteouts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteout<'n> {
    /// A file like any other.
    None,
    /// This name of lower layers is gone.
    Remove(&'n [u8]),
    /// All that lower layers have in this directory is gone.
    Opaque,
    /// Notes of an old file system to itself.
    Ignored,
}

/// What a name means in a layer.
///
/// # Errors
/// It names nothing that could be removed.
pub fn whiteout(name: &[u8]) -> Result<Whiteout<'_>, String> {
    let Some(rest) = name.strip_prefix(b".wh.") else {
        return Ok(Whiteout::None);
    };
    match rest {
        b".wh..opq" => Ok(Whiteout::Opaque),
        b"" | b"." | b".." => Err("is a whiteout of no name".to_owned()),
        _ if rest.starts_with(b".wh.") => Ok(Whiteout::Ignored),
        _ => Ok(Whiteout::Remove(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_root() {
        let good: [(&str, &[&str]); 6] = [
            ("bin/sh", &["bin", "sh"]),
            ("./bin//sh/", &["bin", "sh"]),
            ("./", &[]),
            (".", &[]),
            ("...", &["..."]),
            ("a/..b", &["a", "..b"]),
        ];
        for (path, names) in good {
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(components(path.as_bytes(), 8), Ok(names), "{path}");
        }
        let long = "x".repeat(256);
        let deep = "a/".repeat(9);
        let far = format!("{}x", "abcdefg/".repeat(500));
        for (path, why) in [
            ("", "no name"),
            ("/etc/passwd", "absolute"),
            ("..", "upwards"),
            ("a/../../b", "upwards"),
            ("a/..", "upwards"),
            ("a\0b", "NUL"),
            (long.as_str(), "more than 255"),
            (deep.as_str(), "more than 8 directories"),
            (far.as_str(), "more than 3500"),
        ] {
            let told = components(path.as_bytes(), 8);
            assert!(
                told.as_ref().is_err_and(|told| told.contains(why)),
                "{path:?}: {told:?}"
            );
        }
    }

    #[test]
    fn whiteouts() {
        for (name, means) in [
            ("file", Whiteout::None),
            (".whale", Whiteout::None),
            (".wh.file", Whiteout::Remove(b"file")),
            (".wh..hidden", Whiteout::Remove(b".hidden")),
            (".wh..wh..opq", Whiteout::Opaque),
            (".wh..wh.plnk", Whiteout::Ignored),
            (".wh..wh.aufs", Whiteout::Ignored),
        ] {
            assert_eq!(whiteout(name.as_bytes()), Ok(means), "{name}");
        }
        for name in [".wh.", ".wh..", ".wh..."] {
            assert!(whiteout(name.as_bytes()).is_err(), "{name}");
        }
    }
}
