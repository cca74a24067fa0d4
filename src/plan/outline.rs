//! A plan for people: by who carries its steps out and when, with what belongs together on one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::show::at;
use super::{Action, Note, Phase, Plan, Step};
use crate::report::paint::Paint;
use crate::report::{Site, SourceKind, SourceMap, escape};

/// How much is told, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Every step on a line of its own, and every note.
    pub every: bool,
    /// Headings and places in different weights.
    pub paint: Paint,
}

/// What [`Step::because`] says of what `[devices]` makes by itself.
const DEVICES: &str = "implied by [devices]";

const PHASES: [(Phase, &str); 5] = [
    (Phase::Before, "the launcher, first"),
    (Phase::Clone, "the launcher, starting a process"),
    (Phase::Beside, "the launcher, while that process waits"),
    (Phase::Child, "the new process"),
    (Phase::Program, "what becomes the program, last"),
];

/// One or several steps that are told together.
struct Line<'a> {
    /// Numbers of the first and the last step, from 1.
    numbers: (usize, usize),
    step: &'a Step,
    what: String,
}

/// The plan as text. Steps keep the numbers that messages call them by.
#[must_use]
pub fn text(plan: &Plan, sources: &SourceMap, style: Style) -> String {
    let mut out = String::new();
    for (phase, title) in PHASES {
        let steps: Vec<(usize, &Step)> = (1..)
            .zip(&plan.steps)
            .filter(|(_, step)| step.phase() == phase)
            .collect();
        if steps.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", style.paint.strong(title));
        for line in lines(&steps, style.every) {
            tell(&mut out, &line, sources, style);
        }
    }
    let (told, others) = notes(&plan.notes, sources, style.every);
    if !told.is_empty() || others > 0 || !plan.warnings.is_empty() {
        out.push('\n');
    }
    for note in told {
        let _ = writeln!(out, "note: {note}");
    }
    if others > 0 {
        let _ = writeln!(out, "note: {}", passed_over(others));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {}", super::show::warning(warning, sources));
    }
    out
}

/// Notes on rules that somebody wrote on this host, as text, and how many there are on rules of shipped profiles: those
/// name what any host may have, and that this one lacks most of it is no news. With `every`, all are told.
#[must_use]
pub fn notes(notes: &[Note], sources: &SourceMap, every: bool) -> (Vec<String>, usize) {
    let told: Vec<String> = notes
        .iter()
        .filter(|note| every || !is_shipped(&sources.get(note.site.source).kind))
        .map(|note| format!("{}{}", escape::line(&note.text), at(note, sources)))
        .collect();
    let others = notes.len() - told.len();
    (told, others)
}

/// Whether a text came with the program or was installed with it.
fn is_shipped(kind: &SourceKind) -> bool {
    match kind {
        SourceKind::Embedded => true,
        SourceKind::File(path) => path.starts_with("/usr"),
        SourceKind::Default | SourceKind::CommandLine => false,
    }
}

/// One line for the notes that are not told.
#[must_use]
pub fn passed_over(count: usize) -> String {
    let (rules, find) = if count == 1 {
        ("rule", "finds")
    } else {
        ("rules", "find")
    };
    format!("{count} {rules} of shipped profiles {find} nothing to do here; --verbose names them")
}

fn tell(out: &mut String, line: &Line<'_>, sources: &SourceMap, style: Style) {
    let (first, last) = line.numbers;
    let number = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    let what = line.what.replace('\n', "\n           ");
    let _ = write!(out, "{number:>7}  {what}");
    let from = origin(line.step.site, &line.step.because, sources);
    if !from.is_empty() {
        let _ = write!(out, "  {}", style.paint.faint(&format!("[{from}]")));
    }
    out.push('\n');
    match &line.step.action {
        Action::Seccomp(filter) => {
            // What is answered the same for the same reason is told together.
            let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
            for implied in &filter.implied {
                let answer = format!("{}, {}", implied.action, implied.because);
                match answers.iter_mut().find(|(before, _)| *before == answer) {
                    Some((_, calls)) => calls.push(&implied.call),
                    None => answers.push((answer, vec![&implied.call])),
                }
            }
            for (answer, calls) in answers {
                let _ = writeln!(out, "           {}: {answer}", calls.join(", "));
            }
        }
        Action::Landlock(ruleset) if style.every => {
            for rule in &ruleset.rules {
                let at = escape::os(rule.path.as_os_str());
                let _ = writeln!(out, "           {at}: {}", rule.rights);
            }
            if !ruleset.beyond.is_empty() {
                let places: Vec<_> = ruleset
                    .beyond
                    .iter()
                    .map(|at| escape::os(at.as_os_str()))
                    .collect();
                let _ = writeln!(out, "           held by mounts alone: {}", places.join(" "));
            }
        }
        Action::Execute { environment, .. } if style.every => {
            // Names only: values may be secrets.
            let names: Vec<_> = environment
                .iter()
                .map(|(name, _)| escape::os(name))
                .collect();
            let _ = writeln!(out, "           {}", names.join(" "));
        }
        _ => {}
    }
}

/// Where a rule stands, in words; empty when nobody asked.
fn origin(site: Site, because: &str, sources: &SourceMap) -> String {
    match (site.is_default(), because.is_empty()) {
        (true, true) => String::new(),
        (true, false) => because.to_owned(),
        (false, true) => sources.position(site).to_string(),
        (false, false) => format!("{}; {because}", sources.position(site)),
    }
}

fn lines<'a>(steps: &[(usize, &'a Step)], every: bool) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    let mut devices: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (index, &(number, step)) in steps.iter().enumerate() {
        let here = lines.len();
        if !every && let Some(last) = lines.last_mut() {
            let follows = last.numbers.1 + 1 == number;
            if follows
                && let Some(name) = device(step)
                && let Some(names) = devices.get_mut(&(here - 1))
            {
                if let Some(name) = name
                    && !names.contains(&name)
                {
                    names.push(name);
                }
                last.numbers.1 = number;
                last.what = format!("make a /dev of its own: {}", names.join(" "));
                continue;
            }
            if follows
                && let (Action::Mask { .. }, Action::Mask { path, .. }) =
                    (&last.step.action, &step.action)
                && last.step.site == step.site
                && last.step.because == step.because
            {
                last.numbers.1 = number;
                let _ = write!(last.what, " {}", escape::os(path.as_os_str()));
                continue;
            }
        }
        if !every && device(step) == Some(None) && matches!(step.action, Action::MountTmpfs { .. })
        {
            devices.insert(here, Vec::new());
        } else if !every && is_place_for_next(step, steps.get(index + 1).map(|(_, next)| *next)) {
            continue;
        }
        lines.push(Line {
            numbers: (number, number),
            step,
            what: step.action.describe(),
        });
    }
    lines
}

/// The name in /dev that a step makes because `[devices]` implies it; `Some(None)` for /dev itself.
fn device(step: &Step) -> Option<Option<String>> {
    if step.because != DEVICES {
        return None;
    }
    let name = target(&step.action)?.strip_prefix("/dev").ok()?;
    Some(if name.as_os_str().is_empty() {
        None
    } else {
        Some(escape::os(name.as_os_str()))
    })
}

/// Whether a step only makes the place that the next one mounts on.
fn is_place_for_next(step: &Step, next: Option<&Step>) -> bool {
    matches!(
        step.action,
        Action::MakeDirectory { .. } | Action::MakeFile { .. }
    ) && next.is_some_and(|next| target(&next.action) == target(&step.action))
}

/// What a step of the view makes or covers.
fn target(action: &Action) -> Option<&Path> {
    match action {
        Action::MakeDirectory { path, .. }
        | Action::MakeFile { path }
        | Action::MakeLink { path, .. } => Some(path),
        Action::MountHost { target, .. }
        | Action::MountMade { target, .. }
        | Action::MountTmpfs { target, .. }
        | Action::MountOverlay { target, .. }
        | Action::MountDevpts { target }
        | Action::MountMqueue { target }
        | Action::MountText { target, .. } => Some(target),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::OnFailure;
    use crate::profile::value::Access;
    use crate::report::Source;

    fn plan(sources: &mut SourceMap) -> Plan {
        let mut site = |name: &str, kind| {
            let source = sources.add(Source {
                name: name.to_owned(),
                kind,
                text: "rule".into(),
            });
            Site::new(source, 0..4)
        };
        let shipped = site("embedded:base.toml", SourceKind::Embedded);
        let installed = SourceKind::File("/usr/share/sandbox/profiles/a.toml".into());
        let installed = site("/usr/share/sandbox/profiles/a.toml", installed);
        let own = site("./own.toml", SourceKind::File("./own.toml".into()));
        let step = |action, site, because: &str| Step {
            action,
            site,
            because: because.to_owned(),
            on_failure: OnFailure::Fatal,
        };
        let show = |path: &str| Action::MountHost {
            source: path.into(),
            target: path.into(),
            access: Access::ReadWrite,
            devices: true,
        };
        let mask = |path: &str| Action::Mask {
            path: path.into(),
            directory: true,
        };
        let file = |path: &str| Action::MakeFile { path: path.into() };
        let tmpfs = |path: &str| Action::MountTmpfs {
            target: path.into(),
            size: None,
            mode: 0o755,
        };
        let note = |text: &str, site| Note {
            text: text.to_owned(),
            help: None,
            site,
        };
        Plan {
            steps: vec![
                step(Action::DieWithParent, Site::DEFAULT, ""),
                step(
                    Action::Clone {
                        namespaces: Vec::new(),
                    },
                    Site::DEFAULT,
                    "",
                ),
                step(tmpfs("/dev"), shipped, DEVICES),
                step(file("/dev/null"), Site::DEFAULT, DEVICES),
                step(show("/dev/null"), Site::DEFAULT, DEVICES),
                step(mask("/etc/a"), own, ""),
                step(mask("/etc/b"), own, ""),
                step(mask("/etc/c"), shipped, ""),
                step(file("/tmp/x"), own, ""),
                step(show("/tmp/x"), own, ""),
                step(file("/tmp/y"), own, ""),
                step(Action::PivotRoot, Site::DEFAULT, ""),
            ],
            notes: vec![
                note("`/a` is absent on this host", own),
                note("`/b` is absent on this host", shipped),
                note("`/c` is absent on this host", installed),
                note("nobody's rule", Site::DEFAULT),
            ],
            warnings: vec![Note {
                help: Some("do this".to_owned()),
                ..note("not applied", own)
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn what_belongs_together_is_on_one_line_and_keeps_its_numbers() {
        let mut sources = SourceMap::new();
        let plan = plan(&mut sources);
        let text = text(&plan, &sources, Style::default());
        let expected = "
the launcher, starting a process
      2  make a process in the caller's namespaces

the new process
      1  end it when the launcher is killed
    3-5  make a /dev of its own: null  [embedded:base.toml:1:1; implied by [devices]]
    6-7  hide /etc/a /etc/b  [./own.toml:1:1]
      8  hide /etc/c  [embedded:base.toml:1:1]
     10  show /tmp/x, read-write  [./own.toml:1:1]
     11  make the file /tmp/y inside, to mount on  [./own.toml:1:1]
     12  make the new root the root, and let go of the host's

note: `/a` is absent on this host (./own.toml:1:1)
note: nobody's rule
note: 2 rules of shipped profiles find nothing to do here; --verbose names them
warning: not applied (./own.toml:1:1); to mend it: do this
";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_is_left_out_when_everything_is_asked_for() {
        let mut sources = SourceMap::new();
        let plan = plan(&mut sources);
        let style = Style {
            every: true,
            ..Style::default()
        };
        let text = text(&plan, &sources, style);
        for number in 1..=plan.steps.len() {
            let start = format!("{number:>7}  ");
            let lines = text.lines().filter(|line| line.starts_with(&start));
            assert_eq!(lines.count(), 1, "{number} in {text}");
        }
        for note in &plan.notes {
            assert!(text.contains(&note.text), "{text}");
        }
    }
}
