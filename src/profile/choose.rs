//! Which profile a program takes when none is named.

use super::document;
use super::load::embedded_source;
use super::search::{Found, Library};
use crate::report::{Diagnostics, Source, SourceId, SourceKind, SourceMap};

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The profile.
    pub name: String,
    /// Why it is this one, in words.
    pub reason: String,
}

/// Where programs are that only the administrator installs.
const SYSTEM: [&str; 9] = [
    "/usr/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib64/",
    "/opt/",
    "/snap/",
    "/nix/store/",
    "/gnu/store/",
];

/// Whether a path is below a directory that only the administrator installs programs into.
#[must_use]
pub fn is_of_system(path: &str) -> bool {
    let system = SYSTEM.iter().any(|prefix| path.starts_with(prefix));
    system && path.split('/').all(|part| part != "..")
}

/// The profile that is taken when none is named.
const FALLBACK: &str = "default";

/// The profile whose `programs` names a program's file name, else `default`.
///
/// The profile that is called like the program is looked at first, then all others: the user's directory first, by
/// name within one. A program given by a path outside of the system's directories takes `default`: its name says
/// nothing about what it is.
///
/// # Errors
/// A profile that may be the one cannot be read: another one could be looser.
pub fn for_program(
    program: &str,
    library: &Library,
    sources: &mut SourceMap,
) -> Result<Chosen, Diagnostics> {
    let fallback = |reason: String| Chosen {
        name: FALLBACK.to_owned(),
        reason,
    };
    let file = program.rsplit('/').next().unwrap_or(program);
    if program.contains('/') && !is_of_system(program) {
        return Ok(fallback(format!(
            "`{program}` is not in a system directory, so that its name does not choose a profile"
        )));
    }
    if file.is_empty() {
        return Ok(fallback("no program is named".to_owned()));
    }
    let mut names = library.names();
    if let Some(at) = names.iter().position(|name| name == file) {
        let own = names.remove(at);
        names.insert(0, own);
    }
    let rank = |name: &str| match library.find(name) {
        Some(Found::File(path)) => library
            .directories
            .iter()
            .position(|directory| path.starts_with(directory))
            .unwrap_or(usize::MAX - 1),
        _ => usize::MAX,
    };
    // Only what is not called like the program is sorted, and the first one found ends the search.
    let own_first = usize::from(names.first().is_some_and(|name| name == file));
    if own_first == 1 && takes(file, file, library, sources)? {
        return Ok(chosen(file, file));
    }
    let mut others: Vec<(usize, &String)> = names
        .iter()
        .skip(own_first)
        .map(|name| (rank(name), name))
        .collect();
    others.sort();
    for (_, name) in others {
        if takes(name, file, library, sources)? {
            return Ok(chosen(name, file));
        }
    }
    Ok(fallback(format!("no profile names `{file}`")))
}

fn chosen(name: &str, file: &str) -> Chosen {
    Chosen {
        name: name.to_owned(),
        reason: format!("its `programs` names `{file}`"),
    }
}

/// Whether a profile's `programs` names a program's file name; not if that cannot be read.
pub fn names(name: &str, file: &str, library: &Library, sources: &mut SourceMap) -> bool {
    !name.contains('/') && takes(name, file, library, sources).unwrap_or(false)
}

/// Whether a profile's own document names a program. Parsed only when the name occurs in its text at all.
fn takes(
    name: &str,
    file: &str,
    library: &Library,
    sources: &mut SourceMap,
) -> Result<bool, Diagnostics> {
    let source = match library.find(name) {
        None => return Ok(false),
        Some(Found::Embedded(text)) => embedded_source(name, text),
        Some(Found::File(path)) => {
            let text = match library.read(&path) {
                Ok(text) => text,
                Err(error) if name == file => return Err(vec![error]),
                // What cannot be read names no program; it is an error when it is asked for by name.
                Err(_) => return Ok(false),
            };
            Source {
                name: path.to_string_lossy().into_owned(),
                kind: SourceKind::File(path),
                text: text.text.into(),
            }
        }
    };
    if !source.text.contains(file) || !source.text.contains("programs") {
        return Ok(false);
    }
    let parsed = document::parse(name, SourceId::default(), &source.text);
    if let Some(programs) = &parsed.profile.programs {
        return Ok(programs.value.iter().any(|program| program.value == file));
    }
    if parsed.diagnostics.is_empty() {
        return Ok(false);
    }
    // It may well be the one, and what it would have said cannot be known.
    let id = sources.add(source);
    Err(document::parse(name, id, &sources.get(id).text).diagnostics)
}
