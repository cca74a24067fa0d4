//! Diagnostics as text for people.
//!
//! The lines of a source that are shown are copies: control and invisible characters in them are escaped and very
//! long lines are cut around the place that matters, so that no file can write to the terminal.

use std::collections::BTreeSet;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::escape::line as escaped;
use super::{Diagnostic, Label, Severity, Site, SourceId, SourceKind, SourceMap};

/// How diagnostics are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// With terminal colours, and lines drawn with box characters.
    pub colour: bool,
}

impl Style {
    /// ASCII without colours.
    pub const PLAIN: Self = Self { colour: false };
}

/// What is shown of a line, in characters, beside the underlined part.
const BEFORE: usize = 60;
const AFTER: usize = 60;
/// What is underlined of a line, in characters.
const MARKED: usize = 80;
/// Places of one source further apart than this are shown apart.
const FAR: usize = 100;
/// The longest message, in bytes.
const LONGEST: usize = 600;

/// The diagnostics for people, and at last how many there are.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, style: Style) -> String {
    let renderer = if style.colour {
        Renderer::styled().decor_style(DecorStyle::Unicode)
    } else {
        Renderer::plain()
    }
    .term_width(BEFORE + MARKED + AFTER + 100);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let group = group(diagnostic, sources);
        for line in renderer.render(&[group]).lines() {
            // Drawn for a picture without a name; its name was said on the line before.
            if matches!(without_colours(line).trim(), ":::" | "⸬") {
                continue;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out.push('\n');
    }
    if !diagnostics.is_empty() {
        out.push_str(&count(diagnostics, sources));
        out.push('\n');
    }
    out
}

/// One line each, `file:line:column: message`, for logs.
#[must_use]
pub fn lines(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        if let Some(label) = &diagnostic.primary {
            out.push_str(&format!("{}: ", sources.position(label.site)));
        }
        out.push_str(&short(&diagnostic.message));
        out.push('\n');
    }
    out
}

/// A line of the renderer without its colours. Foreign text in it is escaped, so that every ESC is the renderer's.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    out
}

/// Escaped, and cut where it is too long.
fn short(text: &str) -> String {
    let mut text = escaped(text).into_owned();
    if text.len() > LONGEST {
        let end = (0..=LONGEST)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn group<'a>(diagnostic: &Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(short(&diagnostic.message)));
    let mut labels: Vec<(&Label, AnnotationKind)> = Vec::new();
    labels.extend(
        diagnostic
            .primary
            .iter()
            .map(|label| (label, AnnotationKind::Primary)),
    );
    labels.extend(
        diagnostic
            .related
            .iter()
            .map(|label| (label, AnnotationKind::Context)),
    );
    // Places of one source that are near each other share a picture; the primary one comes first.
    let mut pictures: Vec<Vec<Marked>> = Vec::new();
    for (label, kind) in labels {
        let mark = Marked::new(label, kind, sources);
        let near = |picture: &&mut Vec<Marked>| {
            picture.first().is_some_and(|first| {
                first.source == mark.source && first.line.abs_diff(mark.line) <= FAR
            })
        };
        match pictures.iter_mut().find(near) {
            Some(picture) => picture.push(mark),
            None => pictures.push(vec![mark]),
        }
    }
    for picture in pictures {
        group = draw(group, &picture, sources);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(short(help)));
    }
    group
}

/// A place and the line that it is on.
struct Marked {
    source: SourceId,
    /// From 0.
    line: usize,
    /// In the line, in characters from 1.
    column: usize,
    /// Bytes of the line that are marked.
    span: Range<usize>,
    text: String,
    kind: AnnotationKind,
}

impl Marked {
    fn new(label: &Label, kind: AnnotationKind, sources: &SourceMap) -> Self {
        let Site { source, start, end } = label.site;
        let text = &sources.get(source).text;
        let start = floor(text, start as usize);
        let end = floor(text, end as usize).max(start);
        let before = text.get(..start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = text
            .get(start..)
            .and_then(|rest| rest.find('\n'))
            .map_or(text.len(), |at| start + at);
        Self {
            source,
            line: before.matches('\n').count(),
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            // Of a place of several lines the first is marked.
            span: start - line_start..end.min(line_end) - line_start,
            text: short(&label.text),
            kind,
        }
    }
}

/// The character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// Adds the lines of one source around some places to a group.
fn draw<'a>(group: Group<'a>, marks: &[Marked], sources: &'a SourceMap) -> Group<'a> {
    let Some(lead) = marks.first() else {
        return group;
    };
    let source = sources.get(lead.source);
    let origin = Origin::path(short(&source.name));
    let is_file = matches!(source.kind, SourceKind::File(_) | SourceKind::Embedded);
    let group = group.element(if is_file {
        origin.line(lead.line + 1).char_column(lead.column)
    } else {
        origin
    });
    let first = marks.iter().map(|mark| mark.line).min().unwrap_or(0);
    let last = marks.iter().map(|mark| mark.line).max().unwrap_or(0);
    let mut copy = String::new();
    let mut annotations: Vec<Annotation<'a>> = Vec::new();
    for (at, line) in source
        .text
        .split('\n')
        .enumerate()
        .skip(first)
        .take(last - first + 1)
    {
        let on_line: Vec<&Marked> = marks.iter().filter(|mark| mark.line == at).collect();
        let focus = on_line.first().map_or(0..0, |mark| mark.span.clone());
        let shown = window(line.strip_suffix('\r').unwrap_or(line), &focus);
        for mark in on_line {
            let start = copy.len() + shown.position(mark.span.start);
            let end = copy.len() + shown.position(mark.span.end);
            let annotation = mark.kind.span(start..end.max(start));
            annotations.push(if mark.text.is_empty() {
                annotation
            } else {
                annotation.label(mark.text.clone())
            });
        }
        copy.push_str(&shown.text);
        copy.push('\n');
    }
    if copy.trim().is_empty() {
        return group;
    }
    group.element(
        Snippet::source(copy)
            .line_start(first + 1)
            .line_numbering(is_file)
            .annotations(annotations),
    )
}

/// The part of a line that is shown.
struct Window {
    text: String,
    /// For each character of the line that is shown: its first byte in the line, and in `text`.
    offsets: Vec<(usize, usize)>,
}

impl Window {
    /// Where a byte of the line is in the text.
    fn position(&self, byte: usize) -> usize {
        let at = self
            .offsets
            .partition_point(|(original, _)| *original < byte);
        self.offsets
            .get(at)
            .map_or(self.text.len(), |(_, shown)| *shown)
    }
}

/// Cuts a line around a place and escapes it.
fn window(line: &str, focus: &Range<usize>) -> Window {
    let before = line.get(..focus.start).unwrap_or("");
    let skip = before.chars().count().saturating_sub(BEFORE);
    let marked = line
        .get(focus.clone())
        .map_or(0, |marked| marked.chars().take(MARKED).count());
    let most = BEFORE + marked + AFTER;
    let mut text = String::new();
    let mut offsets = Vec::new();
    if skip > 0 {
        text.push('…');
    }
    let mut rest = line.char_indices().skip(skip);
    for (byte, c) in rest.by_ref().take(most) {
        offsets.push((byte, text.len()));
        if c == '\t' {
            text.push(' ');
        } else {
            let mut buffer = [0; 4];
            text.push_str(&escaped(c.encode_utf8(&mut buffer)));
        }
    }
    if let Some((byte, _)) = rest.next() {
        offsets.push((byte, text.len()));
        text.push('…');
    }
    Window { text, offsets }
}

/// `3 errors in 2 files, 1 warning`.
fn count(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let number = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let of = |severity| diagnostics.iter().filter(move |d| d.severity == severity);
    let files: BTreeSet<SourceId> = of(Severity::Error)
        .filter_map(|diagnostic| Some(diagnostic.primary.as_ref()?.site.source))
        .filter(|id| {
            matches!(
                sources.get(*id).kind,
                SourceKind::File(_) | SourceKind::Embedded
            )
        })
        .collect();
    let errors = of(Severity::Error).count();
    let warnings = of(Severity::Warning).count();
    let mut out = String::new();
    if errors > 0 {
        out.push_str(&number(errors, "error"));
        if !files.is_empty() {
            out.push_str(" in ");
            out.push_str(&number(files.len(), "file"));
        }
    }
    if warnings > 0 {
        if errors > 0 {
            out.push_str(", ");
        }
        out.push_str(&number(warnings, "warning"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Source;

    fn sources(text: &str) -> (SourceMap, SourceId) {
        let mut sources = SourceMap::new();
        let id = sources.add(Source {
            name: "a.toml".to_owned(),
            kind: SourceKind::Embedded,
            text: text.to_owned().into(),
        });
        (sources, id)
    }

    #[test]
    fn nothing_harmful_reaches_the_terminal() {
        let text = "[limits]\n\"me\u{1b}[31m\u{202e}m\u{7}\" = \u{1}1\n";
        let (sources, id) = sources(text);
        let diagnostic =
            Diagnostic::error("bad \u{1b}]0;x\u{7}", Site::new(id, 9..20), "here \u{202e}")
                .help("do \u{9b}that");
        let out = render(&[diagnostic], &sources, Style::PLAIN);
        assert!(out.chars().all(|c| c == '\n' || !c.is_control()), "{out:?}");
        assert!(!out.contains('\u{202e}'), "{out:?}");
        assert!(out.contains("\\x1b[31m\\u{202e}m"), "{out}");
        assert!(out.contains("a.toml:2:1"), "{out}");
    }

    #[test]
    fn places_are_exact_behind_wide_and_escaped_characters() {
        let text = "\u{1}äö = bad\n";
        let (sources, id) = sources(text);
        let at = text.find("bad").unwrap_or(0);
        let out = render(
            &[Diagnostic::error(
                "wrong",
                Site::new(id, at..at + 3),
                "this",
            )],
            &sources,
            Style::PLAIN,
        );
        insta::assert_snapshot!(out, @r#"
        error: wrong
         --> a.toml:1:7
          |
        1 | \x01äö = bad
          |          ^^^ this

        1 error in 1 file
        "#);
    }

    #[test]
    fn huge_lines_are_cut_around_the_place() {
        let text = format!("x = \"{}\" # {}", "a".repeat(5_000_000), "b".repeat(1000));
        let (sources, id) = sources(&text);
        let site = Site::new(id, 3_000_000..3_000_010);
        let out = render(
            &[Diagnostic::error("wrong", site, "this")],
            &sources,
            Style::PLAIN,
        );
        assert!(out.len() < 1000, "{}", out.len());
        assert!(out.contains("^^^^^^^^^^ this"), "{out}");
    }

    #[test]
    fn places_in_several_files_are_shown_together() {
        let (mut sources, first) = sources("[limits]\nmemory = \"3G\"\n\n\n\nmemory = \"2G\"\n");
        let second = sources.add(Source {
            name: "b.toml".to_owned(),
            kind: SourceKind::Embedded,
            text: "\nextends = [\"a\"]\n".into(),
        });
        let option = sources.add(Source {
            name: "command line".to_owned(),
            kind: SourceKind::CommandLine,
            text: "--memory 3GB".into(),
        });
        let found = [
            Diagnostic::error("said twice", Site::new(first, 26..32), "again here")
                .related(Site::new(first, 9..15), "first here")
                .related(Site::new(second, 12..15), "extended here")
                .help("say it once"),
            Diagnostic::error("no size", Site::new(option, 9..12), "this").help("write \"3G\""),
            Diagnostic::general("something general")
                .as_warning()
                .help("do that")
                .help("or that"),
        ];
        insta::assert_snapshot!(render(&found, &sources, Style::PLAIN), @r#"
        error: said twice
         --> a.toml:6:1
          |
        2 | memory = "3G"
          | ------ first here
        ...
        6 | memory = "2G"
          | ^^^^^^ again here
         ::: b.toml:2:12
          |
        2 | extends = ["a"]
          |            --- extended here
          |
          = help: say it once

        error: no size
        --> command line
         |
         | --memory 3GB
         |          ^^^ this
         |
         = help: write "3G"

        warning: something general
         |
         = help: do that
         = help: or that

        2 errors in 1 file, 1 warning
        "#);
    }

    #[test]
    fn any_place_can_be_shown() {
        let text = "ä\r\n\r\nb";
        let (sources, id) = sources(text);
        for start in 0..=10 {
            for end in start..=10 {
                let site = Site::new(id, start..end);
                let out = render(
                    &[Diagnostic::error("w", site, "l")],
                    &sources,
                    Style { colour: true },
                );
                assert!(!out.contains('⸬'), "{out}");
            }
        }
    }
}
