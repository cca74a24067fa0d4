//! What was written, so that it can be taken back: `desktop.json`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A desktop entry.
    Entry,
    /// An entry that is started with the session.
    Autostart,
    /// A D-Bus service file of the session bus.
    Service,
    /// A command in a directory of the search path.
    Shim,
    /// A unit of systemd that refreshes the others.
    Unit,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Autostart => "autostart entry",
            Self::Service => "D-Bus service",
            Self::Shim => "command",
            Self::Unit => "unit of systemd",
        }
    }
}

/// A file that is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it is.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The desktop-file ID, the D-Bus name or the command.
    pub name: String,
    /// The program that it starts, by its file name.
    pub program: String,
    /// The profile that it is started under.
    pub profile: String,
    /// What it was made from; a shim's is the program.
    pub source: String,
    /// The source's digest; empty for a shim.
    pub source_sha256: String,
    /// The digest of what we wrote.
    pub sha256: String,
    /// The file's name, in the same directory, under which what was there before is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// Which programs are to be started in their sandboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// All that have a profile, also those installed later.
    #[serde(default)]
    pub all: bool,
    /// Programs, profiles or desktop-file IDs.
    #[serde(default)]
    pub wanted: BTreeSet<String>,
    /// The same, that are not.
    #[serde(default)]
    pub except: BTreeSet<String>,
    /// Commands too.
    #[serde(default)]
    pub shims: bool,
    /// Changes of packages are followed by themselves.
    #[serde(default)]
    pub follow: bool,
}

impl Selection {
    /// Whether one of the names that something goes by is selected.
    #[must_use]
    pub fn has(&self, names: &[&str]) -> bool {
        let any = |set: &BTreeSet<String>| names.iter().any(|name| set.contains(*name));
        (self.all || any(&self.wanted)) && !any(&self.except)
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.wanted.is_empty()
    }
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// What was asked for.
    pub selection: Selection,
    /// What there is of ours.
    pub files: Vec<Record>,
    /// Directories that were made for it, outer ones first.
    #[serde(default)]
    pub directories: Vec<String>,
    /// Caches of update-desktop-database(1) that were not there before.
    #[serde(default)]
    pub caches: Vec<String>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            version: VERSION,
            selection: Selection::default(),
            files: Vec::new(),
            directories: Vec::new(),
            caches: Vec::new(),
        }
    }
}

impl Manifest {
    /// Reads it.
    ///
    /// # Errors
    /// It is not JSON of this form, or of a later version of it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if read.version != VERSION {
            return Err(format!(
                "it is of version {}, and {VERSION} is known here",
                read.version
            ));
        }
        let odd = |path: &str| !path.starts_with('/') || path.split('/').any(|part| part == "..");
        let backups = read.files.iter().filter_map(|file| file.backup.as_deref());
        if read.files.iter().any(|file| odd(&file.path))
            || read
                .directories
                .iter()
                .chain(&read.caches)
                .any(|path| odd(path))
            || backups
                .clone()
                .any(|name| name.contains('/') || !name.contains(".sandbox-orig"))
        {
            return Err("it names a path that is not absolute, or none of ours".to_owned());
        }
        Ok(read)
    }

    /// Writes it.
    #[must_use]
    pub fn text(&self) -> String {
        // Nothing in it can fail to be JSON.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{text}\n")
    }

    /// What is known about a file.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Record> {
        self.files.iter().find(|record| record.path == path)
    }

    /// Keeps a record, in place of the one with its path.
    pub fn keep(&mut self, record: Record) {
        self.forget(&record.path);
        self.files.push(record);
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Drops a record.
    pub fn forget(&mut self, path: &str) {
        self.files.retain(|record| record.path != path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_is_not_trusted_blindly() {
        let mut manifest = Manifest::default();
        manifest.selection.wanted.insert("firefox".to_owned());
        manifest.keep(Record {
            path: "/h/a.desktop".to_owned(),
            kind: Kind::Entry,
            name: "a.desktop".to_owned(),
            program: "a".to_owned(),
            profile: "a".to_owned(),
            source: "/usr/share/applications/a.desktop".to_owned(),
            source_sha256: "0".to_owned(),
            sha256: "1".to_owned(),
            backup: Some("a.desktop.sandbox-orig".to_owned()),
        });
        assert_eq!(
            Manifest::parse(manifest.text().as_bytes()),
            Ok(manifest.clone())
        );
        for (from, to) in [
            ("/h/a.desktop", "/h/../etc/passwd"),
            ("a.desktop.sandbox-orig", "../a.sandbox-orig"),
            ("\"version\": 1", "\"version\": 2"),
        ] {
            let text = manifest.text().replace(from, to);
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn exceptions_come_before_wishes() {
        let mut selection = Selection {
            all: true,
            ..Selection::default()
        };
        assert!(selection.has(&["vlc"]));
        selection.except.insert("vlc".to_owned());
        assert!(!selection.has(&["vlc.desktop", "vlc"]));
    }
}
