//! Text → [`Profile`]: what one document says, with the place of every key and value.
//!
//! Nothing here looks at the environment; only [`search`] reads the disk, and only to fetch texts.

pub mod key;
pub mod table;
pub mod value;

use crate::report::{Located, SourceId};
use key::Section;
use value::Value;

/// What one document says, and nothing more.
#[derive(Clone, Debug)]
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
    /// Everything else: one entry a key, in the order of the document.
    pub entries: Vec<Entry>,
}

/// One line of a section: a thing and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section.
    pub section: Section,
    /// The thing, as written.
    pub key: Located<String>,
    /// What happens to it; `None` is `"inherit"`: back to the default, whatever lower layers say.
    pub value: Located<Option<Value>>,
}
