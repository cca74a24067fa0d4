//! What is wrong with a profile or a command line: plural, located, with a way out.

use super::Site;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is run.
    Error,
    /// Something is probably not what its author meant.
    Warning,
}

/// A place and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub site: Site,
    /// The words beside it; may be empty.
    pub text: String,
}

/// One thing that is wrong, with the places that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// One line, lower case, no full stop. Foreign text in it is escaped when it is printed.
    pub message: String,
    /// The place that is wrong; none when the whole is (a file that cannot be read).
    pub primary: Option<Label>,
    /// Other places that matter: the first definition, the profile that extends this one.
    pub related: Vec<Label>,
    /// What to do about it, a line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error about a place.
    #[must_use]
    pub fn error(message: impl Into<String>, site: Site, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: Some(Label {
                site,
                text: label.into(),
            }),
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// An error that no place in a text can show.
    #[must_use]
    pub fn general(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Adds a place that matters too.
    #[must_use]
    pub fn related(mut self, site: Site, text: impl Into<String>) -> Self {
        self.related.push(Label {
            site,
            text: text.into(),
        });
        self
    }

    /// Adds a line of advice.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// Everything that is wrong, in the order in which it was found.
pub type Diagnostics = Vec<Diagnostic>;
