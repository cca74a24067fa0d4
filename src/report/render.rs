//! Diagnostics as text.

use super::{Diagnostic, SourceMap};

/// The diagnostics for people.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        if let Some(label) = &diagnostic.primary {
            out.push_str(&format!("{}: ", sources.position(label.site)));
        }
        out.push_str(&super::escape::line(&diagnostic.message));
        out.push('\n');
    }
    out
}
