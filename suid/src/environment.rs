//! The environment of the program: empty, then a fixed search path, who the target and the caller are, what the rule sets,
//! and what it keeps of the caller's, value by value.

use std::collections::BTreeMap;

use crate::accounts::User;
use crate::rule::{Run, is_variable};

/// The search path of every program that a rule runs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A longer value is not kept.
const LONGEST: usize = 4096;
/// Variables that make programs load, run or open what they name, by name or, with `*`, by their beginning.
const DANGEROUS: &[&str] = &[
    "*_PROXY",
    "BASHOPTS",
    "BASH_*",
    "CDPATH",
    "DBUS_*",
    "EDITOR",
    "ENV",
    "FPATH",
    "GCONV_*",
    "GETCONF_*",
    "GLIBC_*",
    "GOTRACEBACK",
    "HOME",
    "HOSTALIASES",
    "IFS",
    "JAVA_*",
    "KRB5*",
    "LD_*",
    "LESS*",
    "LOCALDOMAIN",
    "LOCPATH",
    "LOGNAME",
    "LUA_*",
    "MAIL",
    "MALLOC_*",
    "NIS_PATH",
    "NLSPATH",
    "NODE_*",
    "OLDPWD",
    "OPENSSL_*",
    "PAGER",
    "PATH",
    "PATH_LOCALE",
    "PERL*",
    "PERLIO*",
    "PS4",
    "PWD",
    "PYTHON*",
    "RES_OPTIONS",
    "RESOLV_*",
    "RUBY*",
    "RUST_*",
    "SANDBOX_*",
    "SHELL",
    "SHELLOPTS",
    "SSL_*",
    "TERMCAP",
    "TERMINFO*",
    "TERMPATH",
    "TMPDIR",
    "TMPPREFIX",
    "USER",
    "VISUAL",
    "XDG_*",
    "ZDOTDIR",
];

/// Whether a variable may not be kept, whatever its value.
#[must_use]
pub fn is_dangerous(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    DANGEROUS.iter().any(
        |entry| match (entry.strip_prefix('*'), entry.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(start)) => name.starts_with(start),
            _ => *entry == name,
        },
    )
}

/// Whether a name with this beginning could be a dangerous one: `L` could be `LD_PRELOAD`.
#[must_use]
pub fn may_be_dangerous(start: &str) -> bool {
    let start = start.to_ascii_uppercase();
    is_dangerous(&start) || DANGEROUS.iter().any(|entry| entry.starts_with(&start))
}

/// Whether a value of the caller's may reach a privileged program under this name.
fn is_harmless(name: &str, value: &[u8]) -> bool {
    let printable = value.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f);
    if !printable || value.len() > LONGEST || value.starts_with(b"()") {
        return false;
    }
    let has = |byte: u8| value.contains(&byte);
    match name {
        // Names of locales; as paths they would be opened, as formats expanded.
        "LANG" | "LANGUAGE" => !has(b'/') && !has(b'%'),
        name if name.starts_with("LC_") => !has(b'/') && !has(b'%'),
        "TERM" | "COLORTERM" => !has(b'/') && value.len() <= 64,
        "TZ" => {
            let zone = value.strip_prefix(b":").unwrap_or(value);
            let inside = !zone.starts_with(b"/") || zone.starts_with(b"/usr/share/zoneinfo/");
            inside && !zone.split(|byte| *byte == b'/').any(|part| part == b"..")
        }
        _ => true,
    }
}

/// Who called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Login name, where there is one.
    pub name: Option<String>,
}

/// The variables, as `NAME=value`, in the order of their names.
///
/// `theirs` is the caller's environment. A variable that is there twice, has no `=` or a strange name is not kept.
#[must_use]
pub fn build(
    run: &Run,
    target: Option<&User>,
    uid: u32,
    origin: &Origin,
    theirs: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut seen: BTreeMap<&str, (usize, &[u8])> = BTreeMap::new();
    for entry in theirs {
        let Some(at) = entry.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = (
            entry.get(..at).unwrap_or_default(),
            entry.get(at + 1..).unwrap_or_default(),
        );
        if let Some(name) = std::str::from_utf8(name)
            .ok()
            .filter(|name| is_variable(name))
        {
            let count = seen.get(name).map_or(0, |(count, _)| *count);
            seen.insert(name, (count + 1, value));
        }
    }
    for (name, (count, value)) in seen {
        let kept = run.keep.iter().any(|keep| match keep.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => keep == name,
        });
        if kept && count == 1 && !is_dangerous(name) && is_harmless(name, value) {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
    let mut put = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.as_bytes().to_vec());
    };
    put("PATH", PATH);
    match target {
        Some(user) => {
            put("HOME", &user.home);
            put("USER", &user.name);
            put("LOGNAME", &user.name);
            let shell = if user.shell.is_empty() {
                "/bin/sh"
            } else {
                &user.shell
            };
            put("SHELL", shell);
        }
        None => {
            put("HOME", "/");
            put("USER", &uid.to_string());
            put("LOGNAME", &uid.to_string());
            put("SHELL", "/bin/sh");
        }
    }
    put("SANDBOX_UID", &origin.uid.to_string());
    put("SANDBOX_GID", &origin.gid.to_string());
    put("SANDBOX_USER", origin.name.as_deref().unwrap_or(""));
    for (name, value) in &run.set {
        put(name, value);
    }
    all.into_iter()
        .map(|(name, value)| [name.as_bytes(), b"=", &value].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_load_or_run_is_dangerous() {
        for name in [
            "LD_PRELOAD",
            "ld_preload",
            "LD_",
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "IFS",
            "ENV",
            "BASH_ENV",
            "PATH",
            "HOME",
            "PYTHONPATH",
            "PERL5LIB",
            "RUBYOPT",
            "NODE_OPTIONS",
            "TMPDIR",
            "SANDBOX_UID",
            "TERMINFO",
            "http_proxy",
            "XDG_CONFIG_HOME",
        ] {
            assert!(is_dangerous(name), "{name}");
        }
        for name in [
            "TERM",
            "LANG",
            "LC_ALL",
            "LC_",
            "TZ",
            "DISPLAY",
            "COLORTERM",
            "EDITION",
        ] {
            assert!(!is_dangerous(name), "{name}");
        }
    }

    #[test]
    fn beginnings_that_cover_a_dangerous_name_are_dangerous() {
        for start in ["L", "LD", "ld_", "PY", "", "TERMI", "H"] {
            assert!(may_be_dangerous(start), "{start}");
        }
        for start in ["LC_", "COLOR", "WAYLAND_"] {
            assert!(!may_be_dangerous(start), "{start}");
        }
    }

    #[test]
    fn values_are_judged_by_their_names() {
        for (name, value, expected) in [
            ("LANG", "de_DE.UTF-8", true),
            ("LANG", "../../tmp/x", false),
            ("LC_ALL", "%s", false),
            ("TZ", "Europe/Berlin", true),
            ("TZ", ":Europe/Berlin", true),
            ("TZ", "/usr/share/zoneinfo/UTC", true),
            ("TZ", "/tmp/zone", false),
            ("TZ", "../../../tmp/zone", false),
            ("TERM", "xterm-256color", true),
            ("TERM", "/tmp/x", false),
            ("OTHER", "() { :; }", false),
            ("OTHER", "a\nb", false),
            ("OTHER", "plain", true),
        ] {
            assert_eq!(
                is_harmless(name, value.as_bytes()),
                expected,
                "{name}={value}"
            );
        }
        assert!(!is_harmless("OTHER", &[b'a'; LONGEST + 1]));
    }
}
