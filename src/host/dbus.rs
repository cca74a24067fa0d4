//! The program that filters message buses: where it is, and which of its known holes are closed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::probe::helper;

/// What this host has for `[dbus]`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DbusFacts {
    /// xdg-dbus-proxy(1), when it is there and was looked for.
    pub proxy: Option<Proxy>,
    /// The address of the bus of assistive technologies, or why there is none; `None` when nobody asks for it.
    pub accessibility: Option<Result<String, String>>,
}

/// A filter.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proxy {
    /// Where it is, in a system directory.
    pub path: PathBuf,
    /// What it calls its version; none when nobody needed to ask, as its package says that the holes are closed, or no bus is
    /// filtered.
    pub version: Option<String>,
    /// Known holes that it may have, once it was examined.
    pub holes: Vec<Hole>,
}

/// A known hole of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// Its number in the list of Common Vulnerabilities and Exposures.
    pub name: &'static str,
    /// What it lets a program do.
    pub lets: &'static str,
    /// The version in which it is closed. Distributions close it in older ones too.
    pub closed: [u32; 3],
}

/// All that are known. The project's releases 0.1.7 (April 2026) and 0.1.8 (August 2026); Debian's changelog of
/// 0.1.4-3+deb12u1 and +deb12u2.
pub const HOLES: [Hole; 2] = [
    Hole {
        name: "CVE-2026-34080",
        lets: "hear what other programs say to each other",
        closed: [0, 1, 7],
    },
    Hole {
        name: "CVE-2026-94422",
        lets: "send messages to others as if they were replies",
        closed: [0, 1, 8],
    },
];

/// Where a Debian package tells what was changed.
const CHANGES: &str = "/usr/share/doc/xdg-dbus-proxy/changelog.Debian.gz";

/// More of a changelog is not read.
const MOST: u64 = 1 << 20;

/// Looks for the filter. Which holes it has is not asked yet: that takes longer.
#[must_use]
pub fn proxy() -> Option<Proxy> {
    let path = helper("xdg-dbus-proxy")?;
    Some(Proxy {
        path,
        ..Proxy::default()
    })
}

impl Proxy {
    /// Finds out which of the known holes it may have.
    pub fn examine(&mut self) {
        let changes = changes(Path::new(CHANGES));
        self.holes = open(&changes, None);
        // A package that tells of closing them all need not be asked for its version: that costs a process.
        if !self.holes.is_empty() {
            self.version = version(&self.path);
            self.holes = open(&changes, self.version.as_deref().and_then(numbers));
        }
    }
}

/// The holes that neither a changelog nor a version says to be closed.
fn open(changes: &str, version: Option<[u32; 3]>) -> Vec<Hole> {
    let closed = |hole: &Hole| {
        changes.contains(hole.name) || version.is_some_and(|version| version >= hole.closed)
    };
    HOLES.into_iter().filter(|hole| !closed(hole)).collect()
}

fn changes(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What is no text, or cut off, tells nothing.
        let read = flate2::read::GzDecoder::new(file)
            .take(MOST)
            .read_to_string(&mut text);
        if read.is_err() {
            text.clear();
        }
    }
    text
}

fn version(path: &Path) -> Option<String> {
    let output = Command::new(path)
        .arg("--version")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let word = text.split_whitespace().last()?;
    numbers(word).map(|_| word.to_owned())
}

/// `0.1.10` as numbers that compare.
fn numbers(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.splitn(3, '.');
    let mut number = || {
        let part = parts.next()?;
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    Some([number()?, number()?, number().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_closed_by_versions_and_by_packages() {
        let names = |changes: &str, version: Option<&str>| {
            let open = open(changes, version.and_then(numbers));
            open.iter().map(|hole| hole.name).collect::<Vec<_>>()
        };
        assert_eq!(names("", None), ["CVE-2026-34080", "CVE-2026-94422"]);
        assert_eq!(
            names("", Some("0.1.6")),
            ["CVE-2026-34080", "CVE-2026-94422"]
        );
        assert_eq!(names("", Some("0.1.7")), ["CVE-2026-94422"]);
        assert_eq!(names("", Some("0.1.10")), [""; 0]);
        assert_eq!(
            names("* fix CVE-2026-34080", Some("0.1.4")),
            ["CVE-2026-94422"]
        );
        assert_eq!(names("CVE-2026-34080 CVE-2026-94422", None), [""; 0]);
    }
}
