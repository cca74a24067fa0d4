//! `sandboxctl explain`: the table of keys, told to a person.

use std::fmt::Write;

use super::reference;
use crate::bpf::{Arch, groups};
use crate::profile::key::{Key, Name, Section};
use crate::profile::table;
use crate::report::Diagnostic;
use crate::section::capabilities;
use crate::section::dbus::rule::Who;

const WIDTH: usize = 80;

/// Explains what a topic names: a section, a key with or without its section, or anything that a key's pattern covers.
///
/// # Errors
///
/// When nothing in the language has that name: says so, with the nearest names.
pub fn explain(topic: &str) -> Result<String, Diagnostic> {
    let topic = topic.trim();
    let bare = topic.trim_start_matches('[').trim_end_matches(']');
    if let Some(section) = Section::by_name(bare) {
        return Ok(about_section(section));
    }
    if let Some(entry) = table::TOP.iter().find(|entry| entry.0 == bare) {
        return Ok(about_top(entry));
    }
    if let Some((section, name)) = bare.split_once('.')
        && let Some(section) = Section::by_name(section.trim())
    {
        let name = unquoted(name);
        return match keys_named(Some(section), name).first() {
            Some(key) => Ok(about_key(key) + &about_name(key, name)),
            None => Err(unknown(topic, name, Some(section))),
        };
    }
    let name = unquoted(bare);
    match keys_named(None, name).as_slice() {
        [] => match key_of_the_kernel(name) {
            Some(key) => Ok(about_key(key) + &about_name(key, name)),
            None => Err(unknown(topic, name, None)),
        },
        [key] => Ok(about_key(key) + &about_name(key, name)),
        several => Ok(about_several(name, several)),
    }
}

/// Lists all sections and keys.
#[must_use]
pub fn overview() -> String {
    let mut out =
        String::from("Keys of a profile. `sandboxctl explain KEY` says more about one.\n\n");
    for &(name, _, summary) in table::TOP {
        item(&mut out, name, summary);
    }
    for section in Section::ALL {
        let _ = write!(out, "\n[{section}]  {}\n", reference::title(section));
        for key in reference::keys(section) {
            item(&mut out, reference::name(key), key.summary);
        }
    }
    out
}

/// The keys that a name can mean: exact ones first, patterns only where no exact key of the section has the name.
fn keys_named(section: Option<Section>, name: &str) -> Vec<&'static Key> {
    Section::ALL
        .into_iter()
        .filter(|at| section.is_none_or(|wanted| wanted == *at))
        .filter_map(|at| {
            table::find(at, name).or_else(|| {
                reference::keys(at).find(|key| {
                    // With its section any text that a pattern could mean is explained; alone only a certain one.
                    covers(key, name, section.is_some())
                        || (reference::is_pattern(key) && reference::name(key) == name)
                })
            })
        })
        .collect()
}

/// Whether a name is of the form that a pattern key takes. Words are system calls, capabilities and variables alike, so
/// that alone they say which section they belong to only by their spelling.
fn covers(key: &Key, name: &str, section_is_known: bool) -> bool {
    let word = |allowed: fn(char) -> bool| !name.is_empty() && name.chars().all(allowed);
    match key.name {
        Name::Exact(_) => false,
        // A path alone is one of the view; rates of devices are rarer.
        Name::Path if key.section == Section::Limits && !section_is_known => false,
        Name::Path => name.starts_with(['/', '~']) || name.starts_with("${"),
        Name::Device => name.starts_with("/dev/"),
        Name::BusName => name.contains('.') && Who::parse(name).is_ok(),
        Name::Open { start, .. } => name.len() > start.len() && name.starts_with(start),
        Name::Syscall if section_is_known => {
            name.contains('(')
                || word(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '@' | '_'))
        }
        Name::Syscall => name.starts_with('@') || (name.contains('(') && name.ends_with(')')),
        Name::Capability if section_is_known => word(|c| c.is_ascii_alphabetic() || c == '_'),
        Name::Capability => name
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("cap_")),
        Name::Variable if section_is_known => word(|c| !c.is_control() && c != '='),
        Name::Variable => {
            word(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '*'))
                && name.contains(|c: char| c.is_ascii_uppercase())
                && !name.starts_with("CAP_")
        }
    }
}

/// The key that a bare name is covered by because the kernel has a call or a capability of that name.
fn key_of_the_kernel(name: &str) -> Option<&'static Key> {
    let section = if is_call(name) {
        Section::Syscalls
    } else if capabilities::number(&capabilities::canonical(name)).is_some() {
        Section::Capabilities
    } else {
        return None;
    };
    keys_named(Some(section), name).first().copied()
}

fn is_call(name: &str) -> bool {
    Arch::ALL.iter().any(|arch| arch.number(name).is_some())
}

/// What there is to say about one group of calls, or one call.
fn about_name(key: &Key, name: &str) -> String {
    let mut out = String::new();
    if key.name != Name::Syscall {
        return out;
    }
    let call = name.split('(').next().unwrap_or(name);
    if let Some(group) = groups().find(|group| group.name == name) {
        out.push('\n');
        paragraph(&mut out, 4, &format!("{name}: {}", group.about));
        let members: Vec<&str> = group.members().into_iter().collect();
        paragraph(&mut out, 4, &members.join(" "));
    } else if is_call(call) {
        // Groups of everything say nothing.
        let of: Vec<&str> = groups()
            .filter(|group| group.name != "@known" && group.members().contains(call))
            .map(|group| group.name)
            .collect();
        if !of.is_empty() {
            out.push('\n');
            paragraph(&mut out, 4, &format!("{call} is in {}", of.join(" ")));
        }
    }
    out
}

fn unquoted(name: &str) -> &str {
    let name = name.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| name.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(name)
}

fn about_section(section: Section) -> String {
    let mut out = format!("[{section}]\n");
    paragraph(&mut out, 4, reference::title(section));
    out.push('\n');
    paragraph(&mut out, 4, reference::about(section));
    out.push('\n');
    for key in reference::keys(section) {
        item(&mut out, reference::name(key), key.summary);
    }
    for key in reference::keys(section).filter(|key| reference::is_pattern(key)) {
        out.push('\n');
        out.push_str(&about_key(key));
    }
    out
}

fn about_key(key: &Key) -> String {
    let mut out = format!("{}.{}\n", key.section, reference::name(key));
    paragraph(&mut out, 4, key.summary);
    out.push('\n');
    for (label, text) in [
        ("values", reference::values(key.kind).as_str()),
        ("default", key.default),
        ("since", key.since),
    ] {
        hanging(&mut out, &format!("    {label:<9}"), text);
    }
    out.push('\n');
    paragraph(&mut out, 4, key.detail);
    if let Some(security) = key.security {
        out.push('\n');
        paragraph(&mut out, 4, &format!("Security: {security}"));
    }
    let _ = write!(out, "\n    [{}]\n    {}\n", key.section, key.example);
    out
}

fn about_top(&(name, example, summary): &(&str, &str, &str)) -> String {
    let mut out = format!("{name}\n");
    paragraph(&mut out, 4, summary);
    let _ = write!(out, "\n    {example}\n");
    out
}

fn about_several(name: &str, keys: &[&Key]) -> String {
    let mut out = format!("`{name}` is a key of several sections; name one with its section:\n\n");
    for key in keys {
        let name = match key.name {
            Name::Exact(exact) => exact,
            _ => name,
        };
        item(&mut out, &format!("{}.{name}", key.section), key.summary);
    }
    out
}

fn unknown(topic: &str, name: &str, section: Option<Section>) -> Diagnostic {
    let retired = |at| table::retired(at, name);
    let found = match section {
        Some(section) => retired(section),
        None => Section::ALL.into_iter().find_map(retired),
    };
    if let Some(wrong) = found {
        let diagnostic = Diagnostic::general(format!("{}, so that it is no key", wrong.message));
        return wrong.help.into_iter().fold(diagnostic, Diagnostic::help);
    }
    let mut diagnostic = Diagnostic::general(match section {
        Some(section) => format!("there is no key `{name}` in [{section}]"),
        None => format!("there is no key or section `{topic}`"),
    });
    let mut candidates: Vec<&str> = Vec::new();
    for key in table::KEYS {
        if section.is_none_or(|wanted| wanted == key.section)
            && let Name::Exact(name) | Name::Open { label: name, .. } = key.name
        {
            candidates.push(name);
        }
    }
    if section.is_none() {
        candidates.extend(Section::ALL.into_iter().map(Section::name));
        candidates.extend(table::TOP.iter().map(|entry| entry.0));
    }
    let start = format!("{}-", name.replace('_', "-").to_lowercase());
    let begin = candidates.iter().filter(|key| key.starts_with(&start));
    let mut near: Vec<&str> = begin.take(5).copied().collect();
    for one in nearest(name, &candidates) {
        if !near.contains(&one) {
            near.push(one);
        }
    }
    for near in near {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    match section {
        Some(section) => diagnostic.help(format!("`sandboxctl explain {section}` lists its keys")),
        None => diagnostic.help("`sandboxctl explain` lists all keys"),
    }
}

/// The names that a mistyped one may have meant, the nearest first, at most three.
fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Vec<&'a str> {
    let limit = name.chars().count().clamp(2, 9) / 3 + 1;
    let mut found: Vec<(usize, &str)> = candidates
        .iter()
        .map(|candidate| {
            (
                distance(
                    &name.replace('_', "-").to_lowercase(),
                    &candidate.to_lowercase(),
                ),
                *candidate,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .map(|(_, candidate)| candidate)
        .take(3)
        .collect()
}

/// How many letters have to be added, removed, replaced or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

fn item(out: &mut String, name: &str, summary: &str) {
    hanging(out, &format!("  {name:<18} "), summary);
}

fn paragraph(out: &mut String, indent: usize, text: &str) {
    hanging(out, &" ".repeat(indent), text);
}

/// Writes text behind a lead, broken at spaces, further lines below the first.
fn hanging(out: &mut String, lead: &str, text: &str) {
    let indent = lead.chars().count();
    out.push_str(lead);
    let mut column = indent;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn first_line(topic: &str) -> String {
        explain(topic).unwrap().lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_key_is_found_with_and_without_its_section() {
        let text = explain("limits.memory").unwrap();
        assert_eq!(text, explain("memory").unwrap());
        for part in [
            "limits.memory\n",
            "\"25%\"",
            "no limit",
            "0.1.0",
            "memory.max",
            "[limits]\n    memory = \"3G\"",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn every_key_of_the_table_is_explained_with_all_it_says() {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in table::KEYS {
            let text = explain(&format!("{}.{}", key.section, reference::name(key))).unwrap();
            let text = squeezed(&text);
            for part in [
                key.summary,
                key.detail,
                key.default,
                key.security.unwrap_or(""),
                key.example,
            ] {
                assert!(
                    text.contains(&squeezed(part)),
                    "{part:?} is missing in\n{text}"
                );
            }
        }
        for (name, ..) in table::TOP {
            assert_eq!(first_line(name), *name);
        }
    }

    #[test]
    fn what_a_pattern_covers_is_explained_by_it() {
        for (topic, line) in [
            ("~/.ssh", "filesystem.PATH"),
            ("\"/etc/*\"", "filesystem.PATH"),
            ("${XDG_DOWNLOAD_DIR}", "filesystem.PATH"),
            ("filesystem.\"~/.ssh\"", "filesystem.PATH"),
            ("@mount", "syscalls.CALL"),
            ("ioctl(_, TIOCSTI)", "syscalls.CALL"),
            ("syscalls.ptrace", "syscalls.CALL"),
            ("ptrace", "syscalls.CALL"),
            ("net_admin", "capabilities.CAPABILITY"),
            ("umask", "process.umask"),
            ("CAP_SYS_ADMIN", "capabilities.CAPABILITY"),
            ("capabilities.net_raw", "capabilities.CAPABILITY"),
            ("LD_PRELOAD", "environment.VARIABLE"),
            ("environment.lower", "environment.VARIABLE"),
            ("devices./dev/kvm", "devices.DEVICE"),
            ("syscalls.architectures", "syscalls.architectures"),
        ] {
            assert_eq!(first_line(topic), line, "{topic}");
        }
    }

    #[test]
    fn calls_and_groups_are_told_apart() {
        let group = explain("@swap").unwrap();
        assert!(group.contains("swapoff swapon"), "{group}");
        let call = explain("ptrace").unwrap();
        assert!(call.contains("ptrace is in @debug"), "{call}");
        assert!(!explain("syscalls").unwrap().contains(" is in @"));
    }

    #[test]
    fn an_ambiguous_name_lists_where_it_stands() {
        let text = explain("default").unwrap();
        for part in [
            "devices.default",
            "syscalls.default",
            "capabilities.default",
            "environment.default",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let text = explain("/dev/kvm").unwrap();
        assert!(
            text.contains("filesystem./dev/kvm") && text.contains("devices./dev/kvm"),
            "{text}"
        );
    }

    #[test]
    fn a_section_lists_its_keys_and_explains_its_patterns() {
        let text = explain("filesystem").unwrap();
        assert!(
            text.starts_with("[filesystem]\n") && text.contains("filesystem.PATH\n"),
            "{text}"
        );
        assert_eq!(text, explain("[filesystem]").unwrap());
        assert!(explain("limits").unwrap().contains("memory-soft"));
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest_names() {
        for (topic, near) in [
            ("memroy", "`memory`"),
            ("memory_soft", "`memory-soft`"),
            ("kernel-memory", "counts towards `memory`"),
            ("huge-page-SIZE", "`huge-pages-SIZE`"),
            ("huge-pages", "`huge-pages-SIZE`"),
            ("misc", "`misc-RESOURCE`"),
            ("limits.pid", "`pids`"),
            ("filesytem", "`filesystem`"),
            ("extend", "`extends`"),
        ] {
            let error = explain(topic).unwrap_err();
            assert!(
                error.help.iter().any(|line| line.contains(near)),
                "{topic}: {error:?}"
            );
        }
        let error = explain("xyzzy-quux").unwrap_err();
        assert!(
            !error.help.iter().any(|line| line.contains("did you mean")),
            "{error:?}"
        );
        for odd in [
            "",
            ".",
            "[",
            "limits.",
            ".memory",
            "\u{1b}[31m",
            "\"",
            "ääää.b",
            &"a".repeat(10_000),
        ] {
            assert!(explain(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn the_overview_names_everything_and_fits_the_screen() {
        let text = overview();
        for key in table::KEYS {
            assert!(
                text.contains(reference::name(key)),
                "{}",
                reference::name(key)
            );
        }
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("memroy", "memory", 1),
            ("cpu", "gpu", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
