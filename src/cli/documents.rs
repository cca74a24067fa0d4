//! Files named among the arguments of the program, shown to it: `desktop.documents` and `--documents`.
//!
//! A path on a command line is a wish of whoever typed it or chose it in a dialog, but launchers also pass on what other
//! programs hand them, such as a link in a message. So that a path grants only itself, only where the profile has put
//! something of its own in place of what the host has, and never a name that begins with a dot: those are keys,
//! settings, and what is run when somebody logs in. With `"directory"` the directory of a document is shown with it, for
//! programs that put a lock and what they save beside it first.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::host::facts::Caller;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value, View};
use crate::profile::write::quoted;
use crate::section::expand::{self, Expanded};

use super::flag::Flag;

/// More than these in one run are not shown: each takes mounts.
const MOST: usize = 256;

/// The directory in which documents are seen that cannot be shown where they are.
const ELSEWHERE: &str = "opened";

/// Which of the program's arguments may name documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// None.
    None,
    /// From the one with this number on, counted from 1, but for so many at the end.
    From {
        /// The first.
        first: usize,
        /// How many at the end are none.
        rest: usize,
    },
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is neither `all`, `none`, FIRST nor FIRST,REST, such as 1 or 2,1: from the second argument on, but for the last"
            )
        };
        match text {
            "none" => return Ok(Self::None),
            "all" => return Ok(Self::From { first: 1, rest: 0 }),
            _ => {}
        }
        let (first, rest) = text.split_once(',').unwrap_or((text, "0"));
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let (first, rest) = (number(first)?, number(rest)?);
        match first {
            0 => Err(wrong()),
            _ => Ok(Self::From { first, rest }),
        }
    }
}

/// What is made of the arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Documents {
    /// Rules, as if they had been typed.
    pub options: Vec<(Flag, String)>,
    /// Arguments that are to be put otherwise, by their index: links are seldom there inside.
    pub replaced: Vec<(usize, OsString)>,
    /// Those that are shown because they were named.
    pub shown: Vec<Document>,
    /// What is not shown, and why.
    pub warnings: Vec<String>,
}

/// A document that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// Where it is.
    pub real: PathBuf,
    /// Where it is seen.
    pub seen: PathBuf,
}

/// How documents are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Alone, to be read.
    ReadOnly,
    /// Alone, to be changed.
    ReadWrite,
    /// With what is beside them, all to be changed.
    Directory,
}

/// How documents are shown; `None`: not at all.
#[must_use]
pub(super) fn shown(policy: &Policy, asked: Option<Which>) -> Option<Shown> {
    let said = policy.get(Section::Desktop, "documents");
    match (said.map(|said| said.value), asked) {
        (_, Some(Which::None)) => None,
        (Some(Value::Word("read-only")), _) => Some(Shown::ReadOnly),
        (Some(Value::Word("read-write")), _) => Some(Shown::ReadWrite),
        (Some(Value::Word("directory")), _) => Some(Shown::Directory),
        (None, Some(_)) => Some(Shown::ReadOnly),
        _ => None,
    }
}

/// Looks at the arguments of the program.
pub(super) fn find(
    policy: &Policy,
    caller: &Caller,
    arguments: &[OsString],
    which: Which,
    shown: Shown,
) -> Documents {
    let mut out = Documents::default();
    let Which::From { first, rest } = which else {
        return out;
    };
    let places = places(policy, caller);
    let end = arguments.len().saturating_sub(rest);
    for (index, argument) in arguments.iter().enumerate().take(end).skip(first - 1) {
        let Some((named, is_uri)) = named(argument) else {
            continue;
        };
        let path = caller.working_directory.join(named);
        // What is not there is for the program to complain about, or to make.
        let Ok(real) = fs::canonicalize(&path) else {
            continue;
        };
        if out.options.len() >= 2 * MOST {
            out.warnings.push(format!(
                "no more than {MOST} documents are shown in one run"
            ));
            break;
        }
        match grant(&places, caller, &path, &real, shown) {
            Ok(None) => {}
            Ok(Some(Grant { options, seen })) => {
                for option in options {
                    if !out.options.contains(&option) {
                        out.options.push(option);
                    }
                }
                out.shown.push(Document {
                    real,
                    seen: seen.clone(),
                });
                if seen != lexical(&path) {
                    let text = match is_uri {
                        true => uri(&seen),
                        false => seen.into_os_string(),
                    };
                    out.replaced.push((index, text));
                }
            }
            Err(why) => out
                .warnings
                .push(format!("`{}` is not shown inside: {why}", path.display())),
        }
    }
    out
}

/// The path that an argument names, and whether it is a URI.
fn named(argument: &OsStr) -> Option<(PathBuf, bool)> {
    let bytes = argument.as_bytes();
    if bytes.is_empty() || bytes.starts_with(b"-") {
        return None;
    }
    let Some(rest) = bytes.strip_prefix(b"file:") else {
        return Some((PathBuf::from(argument), false));
    };
    let path = match rest.strip_prefix(b"//") {
        Some(rest) => rest.strip_prefix(b"localhost").unwrap_or(rest),
        None => rest,
    };
    // What is behind these is a place in the document.
    let end = path.iter().position(|byte| b"?#".contains(byte));
    let path = path.get(..end.unwrap_or(path.len()))?;
    let decoded = percent_decoded(path)?;
    let is_plain = decoded.starts_with(b"/") && !decoded.contains(&0);
    is_plain.then(|| (PathBuf::from(OsString::from_vec(decoded)), true))
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [*bytes.next()?, *bytes.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        out.push(u8::from_str_radix(digits, 16).ok()?);
    }
    Some(out)
}

fn uri(path: &Path) -> OsString {
    let mut out = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/_.-~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.into()
}

/// Without `.` and doubled slashes. `..` stays, and so never equals a real path.
fn lexical(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .collect()
}

/// One rule of the profile: where, what, and its key.
struct Rule<'a> {
    at: Expanded,
    view: &'a View,
    key: &'a str,
}

fn places<'a>(policy: &'a Policy, caller: &Caller) -> Vec<Rule<'a>> {
    let rules = policy.section(Section::Filesystem);
    rules
        .filter_map(|(key, value, _)| {
            let Value::View(view) = value else {
                return None;
            };
            let at = match expand::expand(key, caller).ok()? {
                // The caller's home may be reached through a link.
                Expanded::Path(path) => Expanded::Path(fs::canonicalize(&path).unwrap_or(path)),
                Expanded::Glob(pattern) => Expanded::Glob(pattern),
                Expanded::NotApplicable(_) => return None,
            };
            let view = view.plain();
            Some(Rule { at, view, key })
        })
        .collect()
}

/// The rule that decides about a path, and its place.
fn cover<'a>(rules: &'a [Rule<'a>], path: &Path) -> Option<(PathBuf, &'a Rule<'a>)> {
    path.ancestors().find_map(|at| {
        let here = |rule: &&Rule<'_>| match &rule.at {
            Expanded::Path(path) => path == at,
            Expanded::Glob(pattern) => matches(pattern, at),
            Expanded::NotApplicable(_) => false,
        };
        // A literal path over a pattern; of patterns, one that hides.
        let mut found: Vec<&Rule<'_>> = rules.iter().filter(here).collect();
        found.sort_by_key(|rule| {
            let closes = matches!(rule.view, View::Host(Access::Hidden | Access::Denied));
            (matches!(rule.at, Expanded::Glob(_)), !closes)
        });
        found.first().map(|rule| (at.to_owned(), *rule))
    })
}

/// Whether a pattern means a path. `**` is taken for more levels here than where rules are lowered, which hides too much if
/// anything.
fn matches(pattern: &Path, path: &Path) -> bool {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    glob::Pattern::new(&pattern.to_string_lossy())
        .is_ok_and(|pattern| pattern.matches_path_with(path, options))
}

/// How one document is shown.
struct Grant {
    /// The rules.
    options: Vec<(Flag, String)>,
    /// Where it is seen.
    seen: PathBuf,
}

impl Grant {
    fn in_place(options: Vec<(Flag, String)>, real: &Path) -> Option<Self> {
        let seen = real.to_owned();
        Some(Self { options, seen })
    }
}

/// Shows one document; `None` when it is seen already.
fn grant(
    rules: &[Rule<'_>],
    caller: &Caller,
    path: &Path,
    real: &Path,
    shown: Shown,
) -> Result<Option<Grant>, String> {
    let Some((place, rule)) = cover(rules, real) else {
        return Ok(None);
    };
    let flag = match shown {
        Shown::ReadOnly => Flag::ReadOnly,
        Shown::ReadWrite | Shown::Directory => Flag::ReadWrite,
    };
    let own = match rule.view {
        View::Private | View::Tmpfs { .. } => true,
        // The whole system is shown read-only: said about everything, not about this.
        View::Host(Access::ReadOnly) if rule.key == "/" && flag == Flag::ReadWrite => false,
        View::Host(Access::Hidden | Access::Denied) => {
            return Err(format!(
                "the profile hides `{}`; --ro or --rw shows it",
                rule.key
            ));
        }
        _ => return Ok(None),
    };
    is_document(caller, path, real)?;
    let document = (flag, key(real)?);
    let Some(parent) = real.parent().filter(|_| own) else {
        return Ok(Grant::in_place(vec![document], real));
    };
    if parent == place {
        let options = match shown {
            Shown::ReadWrite if real.is_file() && has_plain_name(real) => {
                return elsewhere(parent, real).map(Some);
            }
            _ => vec![document],
        };
        return Ok(Grant::in_place(options, real));
    }
    let directory = key(parent)?;
    if shown == Shown::Directory
        && real.is_file()
        && !is_everybodys(parent)
        && is_document(caller, parent, parent).is_ok()
    {
        // What begins with a dot stays out of sight but for locks, which LibreOffice calls `.~lock.NAME#`.
        let settings = format!("{directory}/.[!~]*");
        let options = vec![(flag, directory), (Flag::Hide, settings)];
        return Ok(Grant::in_place(options, real));
    }
    // A directory that is only there for the document's sake is closed: what a program saved in it would go where nobody
    // looks for it. Programs that write by replacing then write in place, too.
    let options = vec![(Flag::Hide, directory), document];
    Ok(Grant::in_place(options, real))
}

/// Whether anybody may put files there, as in `/tmp`: what lies beside a document is then not what it belongs to, but
/// others' and other programs', and their sockets.
fn is_everybodys(directory: &Path) -> bool {
    fs::metadata(directory).map_or(true, |found| found.mode() & 0o002 != 0)
}

/// A key with `*`, `?` or `[` in it means what the host has there: it cannot say a new place.
fn has_plain_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    !name.iter().any(|byte| b"*?[".contains(byte))
}

/// A document right in a directory that the sandbox has of its own, such as the home directory. Programs that write by
/// replacing can make the new file there, but not put it in the place of one that is mounted, and GTK's then fail. So it is seen
/// in a closed directory.
fn elsewhere(parent: &Path, real: &Path) -> Result<Grant, String> {
    let closed = parent.join(ELSEWHERE);
    let seen = closed.join(real.file_name().unwrap_or_default());
    // A value is no pattern, and says the rest as a key does.
    key(real)?;
    let source = real.to_str().ok_or("its name is not UTF-8")?;
    let value = format!("{{ bind = {}, access = \"read-write\" }}", quoted(source));
    let rule = format!("filesystem.{}={value}", quoted(&key(&seen)?));
    let options = vec![(Flag::Hide, key(&closed)?), (Flag::Set, rule)];
    Ok(Grant { options, seen })
}

/// Whether what an argument names may be shown because it was named.
fn is_document(caller: &Caller, path: &Path, real: &Path) -> Result<(), String> {
    let name_is_hidden = |name: Component<'_>| name.as_os_str().as_bytes().starts_with(b".");
    let home = fs::canonicalize(&caller.home).unwrap_or_else(|_| caller.home.clone());
    let below = real.strip_prefix(&home).unwrap_or(real);
    if below.components().any(name_is_hidden) {
        return Err(
            "names that begin with a dot are shown only on request, with --ro or --rw".to_owned(),
        );
    }
    let runtime = caller.directories.get("XDG_RUNTIME_DIR");
    let mounted = runtime
        .is_some_and(|at| real.starts_with(at.join("gvfs")) || real.starts_with(at.join("doc")))
        || real.starts_with("/run/media");
    if !mounted
        && ["/proc", "/sys", "/dev", "/run"]
            .iter()
            .any(|at| real.starts_with(at))
    {
        return Err("it is the system's, and no document".to_owned());
    }
    if home.starts_with(real) {
        return Err("it holds the home directory".to_owned());
    }
    let found = fs::metadata(real).map_err(|error| error.to_string())?;
    if !found.is_file() && !found.is_dir() {
        return Err("it is neither a file nor a directory".to_owned());
    }
    for at in path.ancestors() {
        let foreign = fs::symlink_metadata(at)
            .is_ok_and(|found| found.is_symlink() && found.uid() != caller.uid && found.uid() != 0);
        if foreign {
            return Err(format!("`{}` is another user's link", at.display()));
        }
    }
    Ok(())
}

/// A path as a key of `[filesystem]`.
fn key(path: &Path) -> Result<String, String> {
    let text = path.to_str().ok_or("its name is not UTF-8")?;
    if text.contains("${") || text.chars().any(char::is_control) {
        return Err("no rule can name it".to_owned());
    }
    Ok(glob::Pattern::escape(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_paths_or_nothing() {
        let path = |text: &str| named(OsStr::new(text)).map(|(path, _)| path);
        assert_eq!(path("a b"), Some("a b".into()));
        assert_eq!(path("file:///a%20b%2Fc#p"), Some("/a b/c".into()));
        assert_eq!(path("file://localhost/a"), Some("/a".into()));
        assert_eq!(path("file:/a"), Some("/a".into()));
        for text in [
            "",
            "-",
            "--file=/a",
            "file://host/a",
            "file:///a%0",
            "file:///a%+1",
            "file:///a%00",
            "file:a",
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn a_real_path_survives_as_a_uri() {
        let text = uri(Path::new("/a b/ü%.txt"));
        assert_eq!(text, "file:///a%20b/%C3%BC%25.txt");
        assert_eq!(named(&text), Some(("/a b/ü%.txt".into(), true)));
    }

    #[test]
    fn which_arguments_is_said_in_numbers() {
        assert_eq!("3".parse(), Ok(Which::From { first: 3, rest: 0 }));
        assert_eq!("2,1".parse(), Ok(Which::From { first: 2, rest: 1 }));
        assert_eq!("none".parse(), Ok(Which::None));
        for text in ["", "0", "-1", "1,", "a"] {
            assert!(text.parse::<Which>().is_err(), "{text}");
        }
    }
}
