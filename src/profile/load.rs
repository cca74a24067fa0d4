//! Names of profiles → layers, lowest first: what each extends, itself, its drop-ins, and the command line at last.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Profile;
use super::document::{self, Parsed, profile_name};
use super::search::{Found, Library};
use crate::report::suggest::nearest;
use crate::report::{Diagnostic, Diagnostics, Severity, Site, Source, SourceKind, SourceMap};

pub use super::choose::{Chosen, for_program};

/// How deep profiles may extend each other.
pub const MOST_DEPTH: usize = 32;
/// How many profiles may take part in all.
pub const MOST_PROFILES: usize = 256;

/// What was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The names asked for, joined by `+`; a file's is its name without `.toml`. `command-line` where there are none.
    /// Letters, digits, `_`, `+`, `.` and `-` only, not beginning with `.` or `-`.
    pub name: String,
    /// The layers, lowest first.
    pub layers: Vec<Profile>,
    /// What is suspect about them.
    pub warnings: Diagnostics,
}

/// Loads profiles from left to right, each with what it extends below it and its drop-ins above it, and the command
/// line over all. A profile that several extend is merged once, the first time; one that is asked for by name after
/// it was extended is merged again, so that it overrules what stands to its left.
///
/// # Errors
/// Everything that is wrong with all of them.
pub fn load(
    names: &[String],
    library: &Library,
    command_line: Option<Profile>,
    sources: &mut SourceMap,
) -> Result<Loaded, Diagnostics> {
    let mut loader = Loader {
        library,
        sources,
        known: BTreeMap::new(),
        stack: Vec::new(),
        layers: Vec::new(),
        diagnostics: Vec::new(),
        full: false,
    };
    let mut titles: Vec<String> = Vec::new();
    for name in names {
        let title = loader.ask(name);
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    let mut layers = loader.layers;
    let (errors, warnings): (Diagnostics, Diagnostics) = loader
        .diagnostics
        .into_iter()
        .partition(|diagnostic| diagnostic.severity == Severity::Error);
    layers.extend(command_line);
    if !errors.is_empty() {
        return Err(errors.into_iter().chain(warnings).collect());
    }
    if layers.is_empty() {
        return Err(vec![
            Diagnostic::general("no profile and no rule was given")
                .help("name a profile with --profile, or say a rule with --set"),
        ]);
    }
    if titles.is_empty() {
        titles.push("command-line".to_owned());
    }
    Ok(Loaded {
        name: titles.join("+"),
        layers,
        warnings,
    })
}

/// A profile as it is told from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// Of the library.
    Name(String),
    /// A file by its path.
    Path(PathBuf),
}

impl Identity {
    fn title(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Path(path) => path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
        }
    }
}

struct Loader<'a> {
    library: &'a Library,
    sources: &'a mut SourceMap,
    /// What was merged already: which of the layers are the profile's own.
    known: BTreeMap<Identity, Range<usize>>,
    /// What is being merged, and where the profile before asks for it.
    stack: Vec<(Identity, Option<Site>)>,
    layers: Vec<Profile>,
    diagnostics: Diagnostics,
    /// Whether there were too many; said once.
    full: bool,
}

impl Loader<'_> {
    /// A name or a path of the command line. Returns the profile's title.
    fn ask(&mut self, argument: &str) -> String {
        let identity = if argument.contains('/') {
            Identity::Path(PathBuf::from(argument))
        } else {
            Identity::Name(argument.to_owned())
        };
        let title = identity.title();
        // A file's name too: directories are named after the profile.
        if let Err(wrong) = profile_name(&title) {
            // Of a file that is not there, such as a pattern of the shell's that matched none, the name says nothing.
            if let Identity::Path(path) = &identity
                && let Err(missing) = self.library.read(path)
            {
                self.diagnostics.push(missing);
                return title;
            }
            let mut error = Diagnostic::general(wrong.message);
            if !wrong.label.is_empty() {
                error = error.help(wrong.label);
            }
            error.help.extend(wrong.help);
            if title.ends_with(".toml") {
                error = error.help(format!("a file is given by a path with a slash: ./{title}"));
            }
            self.diagnostics.push(error);
            return title;
        }
        match self.known.get(&identity) {
            Some(own) => self.layers.extend_from_within(own.clone()),
            None => self.merge(identity, None),
        }
        title
    }

    /// Merges a profile that was not merged before.
    fn merge(&mut self, identity: Identity, asked_at: Option<Site>) {
        if self.known.len() + self.stack.len() >= MOST_PROFILES {
            self.too_many(
                asked_at,
                format!("more than {MOST_PROFILES} profiles take part"),
            );
            return;
        }
        if self.stack.len() >= MOST_DEPTH {
            self.too_many(
                asked_at,
                format!("profiles extend each other more than {MOST_DEPTH} deep"),
            );
            return;
        }
        self.stack.push((identity.clone(), asked_at));
        let own = self.read(&identity, asked_at);
        let extends = own.iter().rev().find_map(|layer| layer.extends.clone());
        for name in extends.map(|extends| extends.value).unwrap_or_default() {
            if self.full {
                break;
            }
            if profile_name(&name.value).is_err() {
                // Said when the document was read.
                continue;
            }
            let wanted = Identity::Name(name.value);
            if let Some(start) = self.stack.iter().position(|(busy, _)| *busy == wanted) {
                self.cycle(&wanted, start, name.site);
            } else if !self.known.contains_key(&wanted) {
                self.merge(wanted, Some(name.site));
            }
        }
        self.stack.pop();
        let first = self.layers.len();
        self.layers.extend(own);
        self.known.insert(identity, first..self.layers.len());
    }

    /// A profile's document and its drop-ins.
    fn read(&mut self, identity: &Identity, asked_at: Option<Site>) -> Vec<Profile> {
        let mut own = Vec::new();
        match identity {
            Identity::Path(path) => own.extend(self.file(&identity.title(), path, asked_at)),
            Identity::Name(name) => {
                match self.library.find(name) {
                    None => {
                        self.missing(name, asked_at);
                        return own;
                    }
                    Some(Found::File(path)) => own.extend(self.file(name, &path, asked_at)),
                    Some(Found::Embedded(text)) => {
                        own.push(self.document(name, embedded_source(name, text)));
                    }
                }
                match self.library.drop_ins(name) {
                    Ok(paths) => {
                        for path in paths {
                            own.extend(self.file(name, &path, asked_at));
                        }
                    }
                    Err(error) => self.diagnostics.push(error),
                }
            }
        }
        own
    }

    fn file(&mut self, name: &str, path: &Path, asked_at: Option<Site>) -> Option<Profile> {
        match self.library.read(path) {
            Ok(text) => {
                self.diagnostics.extend(text.warnings);
                Some(self.document(
                    name,
                    Source {
                        name: path.to_string_lossy().into_owned(),
                        kind: SourceKind::File(path.to_owned()),
                        text: text.text.into(),
                    },
                ))
            }
            Err(mut error) => {
                if let Some(site) = asked_at {
                    error = error.related(site, "extended here");
                }
                self.diagnostics.push(error);
                None
            }
        }
    }

    fn document(&mut self, name: &str, source: Source) -> Profile {
        let id = self.sources.add(source);
        let Parsed {
            profile,
            diagnostics,
        } = document::parse(name, id, &self.sources.get(id).text);
        let chain: Vec<Site> = self
            .stack
            .iter()
            .rev()
            .filter_map(|(_, site)| *site)
            .collect();
        self.diagnostics
            .extend(diagnostics.into_iter().map(|diagnostic| {
                chain.iter().fold(diagnostic, |diagnostic, site| {
                    diagnostic.related(*site, "extended here")
                })
            }));
        profile
    }

    fn missing(&mut self, name: &str, asked_at: Option<Site>) {
        let message = format!("there is no profile `{name}`");
        let mut error = match asked_at {
            Some(site) => Diagnostic::error(message, site, "not found"),
            None => Diagnostic::general(message),
        };
        let names = self.library.names();
        if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        let places: Vec<String> = self
            .library
            .directories
            .iter()
            .map(|directory| directory.display().to_string())
            .chain(["the profiles in this program".to_owned()])
            .collect();
        error = error.help(format!("searched in {}", places.join(", ")));
        if asked_at.is_none() {
            error = error.help(format!(
                "`sandboxctl profiles` lists those that there are; a file is named with a slash, as ./{name}"
            ));
        }
        self.diagnostics.push(error);
    }

    /// `wanted` is asked for at `site` while it is being merged.
    fn cycle(&mut self, wanted: &Identity, start: usize, site: Site) {
        let around: Vec<&(Identity, Option<Site>)> = self.stack.iter().skip(start).collect();
        let path: Vec<String> = around
            .iter()
            .map(|(identity, _)| identity.title())
            .chain([wanted.title()])
            .collect();
        let mut error = Diagnostic::error(
            format!(
                "profiles extend each other in a circle: {}",
                path.join(" → ")
            ),
            site,
            "extends it again",
        );
        for (identity, asked) in around.iter().skip(1) {
            if let Some(asked) = asked {
                error = error.related(*asked, format!("extends `{}`", identity.title()));
            }
        }
        if around.len() == 1 {
            error = error.help(format!(
                "to change a profile of the same name, put the changes into `{}.d/NAME.toml` beside it",
                wanted.title()
            ));
        }
        self.diagnostics.push(error);
    }

    fn too_many(&mut self, asked_at: Option<Site>, message: String) {
        if self.full {
            return;
        }
        self.full = true;
        self.diagnostics.push(match asked_at {
            Some(site) => Diagnostic::error(message, site, "this one is not read"),
            None => Diagnostic::general(message),
        });
    }
}

pub(super) fn embedded_source(name: &str, text: &'static str) -> Source {
    Source {
        name: format!("embedded:{name}.toml"),
        kind: SourceKind::Embedded,
        text: text.into(),
    }
}
