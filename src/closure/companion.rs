//! What programs open by names that stand in no table of their files: a table of those that are known.

use std::path::{Path, PathBuf};

/// Something that a program may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// A directory or a file, which need not exist.
    pub path: PathBuf,
    /// What it is.
    pub what: &'static str,
    /// Whether the program does not start without.
    pub needed: bool,
}

/// Programs by the beginning of their names; directories beside the directory that they are in, `VERSION` as they have it
/// in their own name. An absolute path is meant as it is.
const PROGRAMS: [(&str, &[&str], &str); 6] = [
    (
        "python3",
        &["lib/VERSION", "lib64/VERSION", "lib/python3"],
        "Python's library",
    ),
    (
        "perl",
        &[
            "lib/x86_64-linux-gnu/perl",
            "lib/x86_64-linux-gnu/perl-base",
            "lib/aarch64-linux-gnu/perl",
            "lib/aarch64-linux-gnu/perl-base",
            "share/perl",
            "share/perl5",
            "lib64/perl5",
        ],
        "Perl's library",
    ),
    ("ruby", &["lib/ruby", "share/ruby"], "Ruby's library"),
    (
        "git",
        &["lib/git-core", "libexec/git-core"],
        "git's own programs",
    ),
    ("gcc", &["lib/gcc", "libexec/gcc"], "the compiler itself"),
    (
        "x86_64-linux-gnu-gcc",
        &["lib/gcc", "libexec/gcc"],
        "the compiler itself",
    ),
];

/// Libraries by the beginning of their names, and what they open.
const LIBRARIES: [(&str, &[&str], &str); 4] = [
    (
        "libc.so.6",
        &[
            "/usr/lib/locale",
            "/usr/lib/x86_64-linux-gnu/gconv",
            "/usr/lib/aarch64-linux-gnu/gconv",
            "/usr/lib64/gconv",
            "/etc/localtime",
            "/usr/share/zoneinfo",
        ],
        "languages, character sets and time zones",
    ),
    (
        "libc.so.6",
        &[
            "/etc/nsswitch.conf",
            "/etc/passwd",
            "/etc/group",
            "/etc/hosts",
            "/etc/resolv.conf",
            "/etc/gai.conf",
        ],
        "names of users and hosts",
    ),
    (
        "libtinfo.so",
        &["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"],
        "terminals",
    ),
    ("libssl.so", &["/etc/ssl"], "certificates"),
];

/// What is known of a program, by where it really is.
#[must_use]
pub fn of_program(real: &Path) -> Vec<Companion> {
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let prefix = real.parent().and_then(Path::parent);
    let Some(prefix) = prefix else {
        return Vec::new();
    };
    let known = PROGRAMS.iter().filter(|(start, ..)| {
        let rest = name.strip_prefix(start);
        // Another program may begin with the same letters.
        rest.is_some_and(|rest| rest.chars().all(|c| matches!(c, '.' | '-' | '0'..='9')))
    });
    known
        .flat_map(|(_, places, what)| {
            places.iter().map(|place| Companion {
                path: prefix.join(place.replace("VERSION", &name)),
                what,
                needed: true,
            })
        })
        .collect()
}

/// What is known of a library, by its name.
#[must_use]
pub fn of_library(name: &str) -> Vec<Companion> {
    let known = LIBRARIES
        .iter()
        .filter(|(start, ..)| name.starts_with(start));
    known
        .flat_map(|(_, places, what)| {
            places.iter().map(|place| Companion {
                path: PathBuf::from(place),
                what,
                needed: false,
            })
        })
        .collect()
}

/// The services that nsswitch.conf(5) names; each is a library `libnss_SERVICE.so.2`.
#[must_use]
pub fn services(text: &str) -> Vec<String> {
    let mut out: Vec<String> = text
        .lines()
        .filter_map(|line| line.split('#').next()?.split_once(':'))
        .flat_map(|(_, services)| {
            // `[NOTFOUND=return]` is an action.
            let outside = services
                .split('[')
                .map(|part| part.rsplit(']').next().unwrap_or(part));
            let words: Vec<String> = outside
                .flat_map(str::split_whitespace)
                .filter(|word| {
                    word.len() < 64 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                })
                .map(str::to_owned)
                .collect();
            words
        })
        .collect();
    out.sort();
    out.dedup();
    out.truncate(64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_own_names() {
        let paths = |path: &str| -> Vec<String> {
            let all = of_program(Path::new(path));
            all.iter()
                .map(|one| one.path.display().to_string())
                .collect()
        };
        assert_eq!(
            paths("/usr/bin/python3.11"),
            [
                "/usr/lib/python3.11",
                "/usr/lib64/python3.11",
                "/usr/lib/python3"
            ]
        );
        assert_eq!(paths("/usr/bin/gitk"), [""; 0]);
        assert_eq!(paths("/usr/bin/true"), [""; 0]);
        assert_eq!(paths("/git"), [""; 0]);
        assert!(!of_library("libc.so.6").is_empty() && of_library("libcap.so.2").is_empty());
    }

    #[test]
    fn services_are_words_without_actions() {
        let text = "# hosts: none\npasswd: files systemd\nhosts: files mdns4_minimal [NOTFOUND=return] dns # x\nbad\nx: ../y";
        assert_eq!(services(text), ["dns", "files", "mdns4_minimal", "systemd"]);
    }
}
