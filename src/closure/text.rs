//! A closure as a profile.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::{Closure, Part};
use crate::profile::read::path;
use crate::profile::write;
use crate::report::escape;

/// The headings, in the order of the profile.
const HEADINGS: [(Part, &str); 7] = [
    (Part::Program, "what was asked for"),
    (Part::Interpreter, "what runs its scripts"),
    (Part::Loader, "the dynamic loader"),
    (Part::LoaderFile, "what the loader reads"),
    (Part::Library, "libraries"),
    (
        Part::Companion,
        "what is known to be needed too, though no file says so",
    ),
    (
        Part::Optional,
        "what is opened where it is there; take the `#` away from what the program misses",
    ),
];

/// The key of a path, which stands for that path alone; `None` when no profile can name it.
fn key(path: &Path) -> Option<String> {
    let escaped: Vec<String> = path
        .to_str()?
        .split('/')
        .map(glob::Pattern::escape)
        .collect();
    path::key(&escaped.join("/")).ok()
}

/// A profile in which the members of a closure are all that there is.
#[must_use]
pub fn profile(closure: &Closure, programs: &[PathBuf]) -> String {
    let names: Vec<String> = programs
        .iter()
        .map(|program| escape::os(program.as_os_str()))
        .collect();
    let names = names.join(", ");
    let mut out = format!(
        "# What {names} needs to start, and nothing else. Made by `sandboxctl closure --profile`; an update of a library can\n\
         # bring new ones, so make it again then. Add what the program works on, such as \"${{PWD}}\" = \"read-write\".\n"
    );
    for line in closure.missing.iter().chain(&closure.notes) {
        let _ = writeln!(out, "# note: {}", escape::line(line));
    }
    let said = format!("{names} and what it needs to start");
    let _ = writeln!(out, "description = {}", write::quoted(&said));
    out.push_str("\n[filesystem]\n\"/\" = \"hidden\"\n");
    for (part, heading) in HEADINGS {
        let mut lines: BTreeMap<String, &str> = BTreeMap::new();
        let mut unnamed = Vec::new();
        for (path, member) in &closure.members {
            if member.part != part {
                continue;
            }
            match key(path) {
                Some(key) => drop(lines.insert(key, &member.because)),
                None => unnamed.push(path),
            }
        }
        if lines.is_empty() && unnamed.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n# {heading}");
        let mark = if part == Part::Optional { "# " } else { "" };
        for (key, because) in lines {
            let why = match part {
                Part::Companion | Part::Optional => format!("  # {}", escape::line(because)),
                _ => String::new(),
            };
            let _ = writeln!(out, "{mark}{} = \"read-only\"{why}", write::key(&key));
        }
        for path in unnamed {
            let _ = writeln!(
                out,
                "# no profile can name this: {}",
                escape::os(path.as_os_str())
            );
        }
    }
    out.push_str("\n[devices]\ndefault = \"minimal\"\n");
    out.push_str("\n# To let nothing else be run, not even what is made inside:\n# [execute]\n# default = \"deny\"\n");
    let executed = closure.members.iter().filter(|(_, member)| member.executed);
    for key in executed.filter_map(|(path, _)| key(path)) {
        let _ = writeln!(out, "# {} = \"allow\"", write::key(&key));
    }
    out
}
