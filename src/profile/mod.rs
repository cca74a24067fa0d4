//! Text → [`Profile`]: what one document says, with the place of every key and value.
//!
//! Nothing here looks at the environment; only [`search`] reads the disk, and only to fetch texts.

pub mod brief;
pub mod choose;
pub mod document;
pub mod embedded;
pub mod key;
pub mod load;
pub mod name;
mod plain;
pub mod read;
pub mod search;
pub mod table;
pub mod value;
pub mod write;

use crate::report::{Located, SourceId};
use key::Section;
use value::Value;

/// The name of the layer that the command line makes; no profile can have it.
pub const COMMAND_LINE: &str = "command line";

/// What one document says, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The document.
    pub source: SourceId,
    /// The profile's name: its file name without `.toml`.
    pub name: String,
    /// One line for people.
    pub description: Option<Located<String>>,
    /// Programs that take this profile when none is named.
    pub programs: Option<Located<Vec<Located<String>>>>,
    /// Profiles merged below this one, left to right.
    pub extends: Option<Located<Vec<Located<String>>>>,
    /// Rules that a host may fail to apply with a warning, as `section.key` in the canonical spelling.
    pub degrade: Option<Located<Vec<Located<String>>>>,
    /// Everything else: one entry a key, in the order of the document.
    pub entries: Vec<Entry>,
}

/// One line of a section: a thing and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section.
    pub section: Section,
    /// The thing, in the canonical spelling (see [`name::lookup`]); the site shows it as written.
    pub key: Located<String>,
    /// What happens to it; `None` is `"inherit"`: back to the default, whatever lower layers say.
    pub value: Located<Option<Value>>,
}

impl Profile {
    /// A profile that says nothing yet.
    #[must_use]
    pub fn empty(name: &str, source: SourceId) -> Self {
        Self {
            source,
            name: name.to_owned(),
            description: None,
            programs: None,
            extends: None,
            degrade: None,
            entries: Vec::new(),
        }
    }
}
