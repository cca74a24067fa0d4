//! The profiles of a library, each in a few words.

use super::document;
use super::search::{Found, Library};
use crate::report::SourceId;

/// One profile in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// Its name.
    pub name: String,
    /// A file, or `embedded:NAME.toml`.
    pub source: String,
    /// What it is for; empty when it does not say.
    pub description: String,
    /// The programs that take it.
    pub programs: Vec<String>,
    /// The profiles that it extends, as it names them.
    pub extends: Vec<String>,
    /// What is wrong with it, in a line.
    pub error: Option<String>,
}

/// All profiles that can be named, by name.
#[must_use]
pub fn list(library: &Library) -> Vec<Brief> {
    let mut names = library.names();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| brief(name, library))
        .collect()
}

fn brief(name: String, library: &Library) -> Option<Brief> {
    let (source, text) = match library.find(&name)? {
        Found::Embedded(text) => (format!("embedded:{name}.toml"), Ok(text.to_owned())),
        Found::File(path) => (
            path.to_string_lossy().into_owned(),
            library.read(&path).map(|read| read.text),
        ),
    };
    let mut brief = Brief {
        name,
        source,
        ..Brief::default()
    };
    match text {
        Err(error) => brief.error = Some(error.message),
        Ok(text) => {
            let parsed = document::parse(&brief.name, SourceId::default(), &text);
            brief.error = parsed
                .diagnostics
                .into_iter()
                .next()
                .map(|error| error.message);
            let profile = parsed.profile;
            brief.description = profile
                .description
                .map(|said| said.value)
                .unwrap_or_default();
            let programs = profile.programs.map(|said| said.value).unwrap_or_default();
            brief.programs = programs.into_iter().map(|program| program.value).collect();
            brief.extends = profile
                .extends
                .into_iter()
                .flat_map(|list| list.value)
                .map(|name| name.value)
                .collect();
        }
    }
    Some(brief)
}
