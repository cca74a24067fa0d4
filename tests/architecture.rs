//! What the design says about the shape of the sources, as a test that reads them.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that touch nothing: text and values in, values out.
const PURE: [&str; 7] = [
    "bpf", "plan", "policy", "section", "report", "profile", "tree",
];
/// Files that touch nothing, of modules that do.
const PURE_FILES: [&str; 10] = [
    "follow", "copy", "entry", "exec", "judge", "manifest", "plan", "program", "service", "step",
];
/// The one file of a pure module that reads the disk, to fetch texts.
const READS_FILES: &str = "src/profile/search.rs";
/// What a pure module must not name.
const EFFECTS: [&str; 7] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "libc::",
    "nix::",
    "crate::kernel",
];
/// Files of pure modules that may name constants of `libc`: tables of numbers. Functions they may not: see below.
const CONSTANTS: [&str; 2] = ["src/bpf/", "src/section/"];
/// Where `unsafe` may stand.
const UNSAFE: [&str; 3] = ["src/kernel/", "src/exec/child.rs", "suid/src/system.rs"];
/// A file that is longer must be a table.
const LONGEST: usize = 600;
const TABLES: [&str; 1] = ["src/profile/table.rs"];

struct File {
    /// Relative to the package.
    path: String,
    text: String,
}

impl File {
    /// The lines of code outside of comments and above the module of tests, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("\n#[cfg(test)]\n").filter(|at| {
            let mut below = self.text[*at..].lines().skip(2);
            below
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.starts_with("mod "))
        });
        self.text[..end.unwrap_or(self.text.len())]
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("")))
            .filter(|(_, line)| !line.trim().is_empty())
    }

    fn is_in_module(&self, module: &str) -> bool {
        self.path.starts_with(&format!("src/{module}/")) || self.path == format!("src/{module}.rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<File> {
    let mut files = Vec::new();
    let mut directories = vec![root().join("src"), root().join("suid/src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("sources can be listed") {
            let path: PathBuf = entry.expect("sources can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(File {
                    text: fs::read_to_string(&path).expect("sources can be read"),
                    path: path
                        .strip_prefix(root())
                        .expect("below the root")
                        .display()
                        .to_string(),
                });
            }
        }
    }
    assert!(files.len() > 10, "the sources were not found");
    files
}

/// Whether every `libc::` in a line is followed by the name of a constant, or by a macro's `$name` in a table of them.
/// Functions and C types begin in lower case.
fn names_constants_only(line: &str) -> bool {
    line.match_indices("libc::").all(|(at, word)| {
        line[at + word.len()..].starts_with(|c: char| c.is_ascii_uppercase() || c == '$')
    })
}

#[test]
fn pure_modules_touch_nothing() {
    let mut found = Vec::new();
    for file in sources() {
        let pure = PURE.iter().any(|module| file.is_in_module(module))
            || PURE_FILES
                .iter()
                .any(|name| file.path == format!("src/desktop/{name}.rs"));
        if !pure || file.path == READS_FILES || file.path.ends_with("/tests.rs") {
            continue;
        }
        let table_of_numbers = CONSTANTS.iter().any(|place| file.path.starts_with(place));
        for (number, line) in file.code() {
            // `std::os::unix::` is types only, and has `nix::` in its name.
            let line = line.replace("std::os::unix::", "");
            for effect in EFFECTS.into_iter().filter(|effect| line.contains(effect)) {
                if effect != "libc::" || !table_of_numbers || !names_constants_only(&line) {
                    found.push(format!("{}:{number}: {effect}", file.path));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "a pure module names an effect:\n{}",
        found.join("\n")
    );
}

#[test]
fn unsafe_stands_only_at_the_kernels_edge() {
    let mut found = Vec::new();
    for file in sources() {
        let is_test = file.path.ends_with("_tests.rs");
        if is_test || UNSAFE.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        for (number, line) in file.code() {
            let words = || line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            if words().any(|word| word == "unsafe") {
                found.push(format!("{}:{number}", file.path));
            }
        }
    }
    assert!(
        found.is_empty(),
        "`unsafe` where it must not be:\n{}",
        found.join("\n")
    );
}

#[test]
fn files_are_short_or_tables() {
    let long: Vec<String> = sources()
        .into_iter()
        // Tests are lists of cases: tables too.
        .filter(|file| !TABLES.contains(&file.path.as_str()) && !file.path.ends_with("tests.rs"))
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(
        long.is_empty(),
        "more than {LONGEST} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn the_architecture_page_names_every_module() {
    let page =
        fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let list = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs can be read");
    let modules: Vec<&str> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(modules.len() >= 8, "{modules:?}");
    for module in modules {
        assert!(
            page.contains(&format!("`{module}`")),
            "ARCHITECTURE.md does not name `{module}`"
        );
    }
}

#[test]
fn the_rules_can_fail() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let code = "// std::fs in a comment\nuse std::fs;\n#[cfg(test)]\n#[allow(a)]\nmod tests {\n";
    let lines: Vec<_> = file("src/plan/a.rs", code)
        .code()
        .map(|(at, line)| (at, line.to_owned()))
        .collect();
    assert_eq!(lines, [(2, "use std::fs;".to_owned())]);
    assert_eq!(
        file("src/plan/a.rs", "a\n#[cfg(test)]\nuse b;\n")
            .code()
            .count(),
        3
    );
    assert!(
        file("src/plan/a.rs", "").is_in_module("plan")
            && !file("src/planning/a.rs", "").is_in_module("plan")
    );
    assert!(names_constants_only("a(libc::EPERM, libc::SYS_read)"));
    assert!(
        !names_constants_only("libc::getpid()")
            && !names_constants_only("libc::EPERM + libc::open")
    );
}

/// What gives back the stack above or below itself is no part of another function, whose variables would go with it: optimised,
/// the one that watches names has more of them than there is room for.
#[test]
fn who_gives_stack_back_has_a_frame_of_its_own() {
    for (file, function) in [
        ("src/exec/init.rs", "pub(super) fn serve("),
        ("src/exec/child.rs", "fn stay("),
        ("src/exec/child.rs", "fn live_on<"),
        ("src/exec/child.rs", "fn give_all_back("),
        ("src/kernel/memory.rs", "pub fn give_stack_back("),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(path).expect(file);
        let before = text.split(function).next().unwrap_or_default();
        let above = before.lines().last().unwrap_or_default();
        assert!(
            above.starts_with("#[inline(never)]"),
            "{function} in {file}: {above}"
        );
    }
    let child = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exec/child.rs");
    let child = fs::read_to_string(child).expect("it is there");
    assert!(child.contains("black_box(live)(own)"));
}
