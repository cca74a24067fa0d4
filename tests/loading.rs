//! Profiles on disk: where they are found, what they extend, and what hostile files do (nothing but a clear error).

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::policy::{resolve, show};
use sandbox::profile::choose::{Chosen, for_program};
use sandbox::profile::document::parse;
use sandbox::profile::embedded::EMBEDDED;
use sandbox::profile::load::{Loaded, load};
use sandbox::profile::search::Library;
use sandbox::report::paint::Paint;
use sandbox::report::render::{Style, render};
use sandbox::report::{Diagnostics, Source, SourceKind, SourceMap};
use tempfile::TempDir;

/// Nothing here may take longer, however slow the machine.
const BOUND: Duration = Duration::from_secs(5);

/// Directories of profiles, highest first: `user` and `system`.
struct Host {
    root: TempDir,
}

impl Host {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        for name in ["user", "system"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        Self { root }
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn library(&self) -> Library {
        Library::new(
            vec![
                self.root.path().join("user"),
                self.root.path().join("system"),
            ],
            nix::unistd::getuid().as_raw(),
        )
    }

    fn load(&self, names: &[&str]) -> (Result<Loaded, Diagnostics>, SourceMap) {
        let mut sources = SourceMap::new();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let loaded = load(&names, &self.library(), None, &mut sources);
        (loaded, sources)
    }

    /// The layers by the last part of their file's name.
    fn layers(&self, names: &[&str]) -> Vec<String> {
        let (loaded, sources) = self.load(names);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(found) => panic!("{}", render(&found, &sources, Style::PLAIN)),
        };
        loaded
            .layers
            .iter()
            .map(|layer| self.short(&sources.get(layer.source).name))
            .collect()
    }

    fn errors(&self, names: &[&str]) -> String {
        let (loaded, sources) = self.load(names);
        self.short(&render(
            &loaded.expect_err("an error"),
            &sources,
            Style::PLAIN,
        ))
    }

    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.root.path().display()), "")
    }

    fn shown(&self, names: &[&str]) -> String {
        let (loaded, sources) = self.load(names);
        let loaded = loaded.unwrap();
        self.short(&show::toml(
            &resolve(&loaded.name, &loaded.layers),
            &sources,
            false,
            Paint::PLAIN,
        ))
    }
}

#[test]
fn layers_are_extended_profiles_then_the_profile_then_its_drop_ins() {
    let host = Host::new();
    host.write("system/a.toml", "[limits]\npids = 1\n");
    host.write("system/b.toml", "extends = [\"a\"]\n");
    host.write("system/c.toml", "extends = [\"a\"]\n[limits]\npids = 3\n");
    host.write(
        "system/d.toml",
        "extends = [\"b\", \"c\"]\n[limits]\npids = 4\n",
    );
    host.write("system/d.d/20.toml", "[limits]\npids = 20\n");
    host.write("system/d.d/10.toml", "[limits]\npids = 10\n");
    host.write("system/d.d/.hidden.toml", "broken\n");
    host.write("system/d.d/readme", "broken\n");
    host.write("user/d.d/05.toml", "[limits]\npids = 5\n");
    host.write("user/a.d/x.toml", "[limits]\nmemory = \"1G\"\n");
    assert_eq!(
        host.layers(&["d"]),
        [
            "system/a.toml",
            "user/a.d/x.toml",
            "system/b.toml",
            "system/c.toml",
            "system/d.toml",
            "system/d.d/10.toml",
            "system/d.d/20.toml",
            "user/d.d/05.toml"
        ]
    );
    insta::assert_snapshot!(host.shown(&["d"]));
}

#[test]
fn higher_directories_hide_lower_ones_and_these_the_embedded() {
    let host = Host::new();
    host.write("system/a.toml", "[limits]\npids = 1\n");
    host.write("user/a.toml", "[limits]\npids = 2\n");
    assert_eq!(host.layers(&["a"]), ["user/a.toml"]);
    assert_eq!(host.layers(&["memlimit"]), ["embedded:memlimit.toml"]);
    host.write("system/memlimit.toml", "[limits]\npids = 2\n");
    assert_eq!(host.layers(&["memlimit"]), ["system/memlimit.toml"]);
}

#[test]
fn a_dangling_link_does_not_uncover_a_looser_profile() {
    let host = Host::new();
    host.write("system/a.toml", "[limits]\npids = 1\n");
    symlink("nowhere", host.root.path().join("user/a.toml")).unwrap();
    insta::assert_snapshot!(host.errors(&["a"]));
}

#[test]
fn a_profile_that_is_asked_for_after_it_was_extended_overrules_again() {
    let host = Host::new();
    host.write("system/closed.toml", "[network]\nmode = \"none\"\n");
    host.write(
        "system/open.toml",
        "extends = [\"closed\"]\n[network]\nmode = \"host\"\n",
    );
    assert_eq!(
        host.layers(&["open", "closed"]),
        [
            "system/closed.toml",
            "system/open.toml",
            "system/closed.toml"
        ]
    );
}

#[test]
fn a_drop_in_replaces_extends_whole() {
    let host = Host::new();
    host.write("system/a.toml", "[limits]\npids = 1\n");
    host.write("system/b.toml", "[limits]\npids = 2\n");
    host.write("system/c.toml", "extends = [\"a\"]\n");
    host.write("user/c.d/x.toml", "extends = [\"b\"]\n");
    assert_eq!(
        host.layers(&["c"]),
        ["system/b.toml", "system/c.toml", "user/c.d/x.toml"]
    );
}

#[test]
fn files_are_given_by_a_path_with_a_slash() {
    let host = Host::new();
    let path = host.write("elsewhere/x.toml", "extends = [\"base\"]\n");
    let (loaded, _) = host.load(&[path.to_str().unwrap()]);
    assert_eq!(loaded.unwrap().name, "x");
    insta::assert_snapshot!(host.errors(&["x.toml"]));
}

#[test]
fn circles_are_shown_with_their_places() {
    let host = Host::new();
    host.write("system/a.toml", "extends = [\"b\"]\n");
    host.write(
        "system/b.toml",
        "description = \"b\"\nextends = [\"base\", \"c\"]\n",
    );
    host.write("system/c.toml", "extends = [\"a\"]\n");
    host.write("user/own.toml", "extends = [\"own\"]\n");
    insta::assert_snapshot!(host.errors(&["a"]));
    insta::assert_snapshot!(host.errors(&["own"]));
}

#[test]
fn what_is_missing_is_searched_and_suggested() {
    let host = Host::new();
    host.write("system/firefox.toml", "extends = [\"bsae\"]\n");
    insta::assert_snapshot!(host.errors(&["firefox"]));
    insta::assert_snapshot!(host.errors(&["firefix"]));
}

#[test]
fn errors_of_all_files_are_shown_with_the_way_to_them() {
    let host = Host::new();
    host.write("system/a.toml", "[limits]\nmemory = \"3GB\"\n");
    host.write("system/b.toml", "extends = [\"a\"]\n[limits]\npids = -1\n");
    host.write("user/b.d/x.toml", "[limit]\n");
    insta::assert_snapshot!(host.errors(&["b"]));
}

#[test]
fn programs_choose_their_profile() {
    let host = Host::new();
    host.write(
        "system/firefox.toml",
        "programs = [\"firefox\", \"firefox-esr\"]\nextends = [\"base\"]\n",
    );
    host.write(
        "system/aaa.toml",
        "programs = [\"firefox\"]\nextends = [\"base\"]\n",
    );
    host.write(
        "system/zzz.toml",
        "programs = [\"curl\"]\nextends = [\"base\"]\n",
    );
    host.write(
        "user/zzzz.toml",
        "programs = [\"curl\"]\nextends = [\"base\"]\n",
    );
    host.write(
        "system/quiet.toml",
        "# curl programs\nextends = [\"base\"]\n",
    );
    let choose = |program: &str| {
        let mut sources = SourceMap::new();
        for_program(program, &host.library(), &mut sources).map(|chosen: Chosen| chosen.name)
    };
    for (program, profile) in [
        ("firefox", "firefox"),
        ("firefox-esr", "firefox"),
        ("/usr/bin/firefox", "firefox"),
        ("/home/me/firefox", "default"),
        ("./firefox", "default"),
        ("/usr/../home/me/firefox", "default"),
        ("curl", "zzzz"),
        ("vi", "default"),
        ("", "default"),
        ("/", "default"),
    ] {
        assert_eq!(choose(program).as_deref(), Ok(profile), "{program}");
    }
    // One that may be meant but cannot be understood stops the search: the next one could be looser.
    host.write("user/broken.toml", "programs = \"vi\"\n");
    assert!(choose("vi").is_err());
    assert_eq!(choose("firefox").as_deref(), Ok("firefox"));
}

#[test]
fn a_thousand_profiles_are_searched_quickly() {
    let host = Host::new();
    for n in 0..1000 {
        host.write(
            &format!("system/p{n}.toml"),
            &format!("programs = [\"program{n}\"]\nextends = [\"base\"]\n"),
        );
    }
    let start = Instant::now();
    let mut sources = SourceMap::new();
    let chosen = for_program("program999", &host.library(), &mut sources).unwrap();
    assert_eq!(chosen.name, "p999");
    assert!(start.elapsed() < BOUND);
}

/// What is said about a file that is given by its path.
fn refused(host: &Host, path: &Path) -> String {
    let start = Instant::now();
    let message = host.errors(&[path.to_str().unwrap()]);
    assert!(start.elapsed() < BOUND, "{}", path.display());
    assert!(message.len() < 20_000, "{}", message.len());
    message
}

#[test]
fn only_ordinary_texts_of_bounded_size_are_read() {
    let host = Host::new();
    let at = |name: &str| host.root.path().join(name);
    nix::unistd::mkfifo(&at("fifo.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(at("socket.toml")).unwrap();
    fs::create_dir(at("directory.toml")).unwrap();
    File::create(at("sparse.toml"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    fs::write(at("latin.toml"), b"# \xe4\n").unwrap();
    symlink("/dev/zero", at("link.toml")).unwrap();
    symlink("loop.toml", at("loop.toml")).unwrap();
    let found: Vec<String> = [
        "fifo.toml",
        "socket.toml",
        "directory.toml",
        "sparse.toml",
        "latin.toml",
        "link.toml",
        "loop.toml",
        "missing.toml",
        "missing/x.toml",
    ]
    .iter()
    .map(|name| refused(&host, &at(name)))
    .collect();
    insta::assert_snapshot!(found.join("\n"));
    assert!(refused(&host, Path::new("/dev/zero")).contains("is a device"));
    assert!(refused(&host, Path::new("/usr")).contains("is a directory"));
}

#[test]
fn files_that_others_can_change_are_suspect() {
    let host = Host::new();
    let path = host.write("system/a.toml", "[limits]\npids = 1\n");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o646)).unwrap();
    let warned = |reader: u32| {
        let mut library = host.library();
        library.reader = reader;
        library.read(&path)
    };
    let root = nix::unistd::getuid().is_root();
    // Of an ordinary user's file another one is warned because of its owner and its directory too.
    assert_eq!(
        warned(12_345).unwrap().warnings.len(),
        if root { 1 } else { 3 }
    );
    let refused = |what: &str| {
        let message = warned(0).expect_err("root trusts it").message;
        assert!(!root || message.contains(what), "{message}");
    };
    refused("can be changed by other users");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o777)).unwrap();
    refused("can be replaced");
    fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o1777)).unwrap();
    assert_eq!(warned(nix::unistd::getuid().as_raw()).unwrap().warnings, []);
}

#[test]
fn extending_is_bounded() {
    let host = Host::new();
    let list = |names: Vec<String>| format!("extends = [{}]\n", names.join(", "));
    host.write(
        "system/many.toml",
        &list((0..10_000).map(|n| format!("\"p{n}\"")).collect()),
    );
    // A chain, and a tree that would be read 2^30 times.
    for n in 0..100 {
        host.write(
            &format!("system/chain{n}.toml"),
            &format!("extends = [\"chain{}\"]\n", n + 1),
        );
    }
    for n in 0..30 {
        let next = n + 1;
        host.write(
            &format!("system/tree{n}.toml"),
            &format!("extends = [\"tree{next}\", \"tree{next}\"]\n"),
        );
    }
    host.write("system/tree30.toml", "[limits]\npids = 1\n");
    for n in 0..300 {
        host.write(&format!("system/leaf{n}.toml"), "[limits]\npids = 1\n");
    }
    host.write(
        "system/wide1.toml",
        &list((0..150).map(|n| format!("\"leaf{n}\"")).collect()),
    );
    host.write(
        "system/wide2.toml",
        &list((150..300).map(|n| format!("\"leaf{n}\"")).collect()),
    );
    host.write("system/wide.toml", "extends = [\"wide1\", \"wide2\"]\n");
    let start = Instant::now();
    assert!(
        host.errors(&["many"])
            .contains("10000 entries are too many")
    );
    assert!(host.errors(&["chain0"]).contains("more than 32 deep"));
    assert_eq!(host.layers(&["tree0"]).len(), 31);
    let wide = host.errors(&["wide"]);
    assert!(wide.contains("more than 256 profiles"), "{wide}");
    assert!(wide.contains("1 error in 1 file"), "{wide}");
    assert!(start.elapsed() < BOUND);
}

#[test]
fn hostile_texts_are_refused_in_bounded_time() {
    let many = |text: &str, n: usize| text.repeat(n);
    let numbered = |n: usize, line: &dyn Fn(usize) -> String| (0..n).map(line).collect::<String>();
    let texts: Vec<(&str, String)> = vec![
        ("brackets", format!("a = {}", many("[", 200_000))),
        (
            "closed brackets",
            format!("a = {}{}", many("[", 200_000), many("]", 200_000)),
        ),
        ("braces", format!("a = {}", many("{a=", 200_000))),
        ("header", format!("[{}]\n", many("a.", 200_000) + "a")),
        ("dotted key", format!("{} = 1\n", many("a.", 200_000) + "a")),
        (
            "many headers",
            numbered(100_000, &|n| format!("[a{n}.b.c]\n")),
        ),
        ("array tables", many("[[limits]]\n", 100_000)),
        ("keys", numbered(300_000, &|n| format!("k{n} = 1\n"))),
        (
            "keys of a section",
            format!(
                "[limits]\n{}",
                numbered(300_000, &|n| format!("k{n} = 1\n"))
            ),
        ),
        ("one key", many("k = 1\n", 100_000)),
        ("one line of errors", many("= ", 200_000)),
        ("lines of errors", many("=\n", 200_000)),
        (
            "string",
            format!("[limits]\nmemory = \"{}\"\n", many("a", 10 << 20)),
        ),
        ("key", format!("[limits]\n{} = 1\n", many("a", 10 << 20))),
        ("comment", format!("#{}\n", many("a", 10 << 20))),
        ("quotes", many("\"", 1 << 20)),
        ("triple quotes", many("\"\"\"", 1 << 18)),
        ("control characters", many("\u{1}\u{202e}", 100_000)),
        (
            "path",
            format!("[filesystem]\n\"{}\" = \"hidden\"\n", many("/a", 1 << 20)),
        ),
        (
            "glob",
            format!("[filesystem]\n\"/{}\" = \"hidden\"\n", many("[", 200)),
        ),
        (
            "number",
            format!("[limits]\npids = {}\n", many("9", 1 << 20)),
        ),
    ];
    for (what, text) in texts {
        let start = Instant::now();
        let mut sources = SourceMap::new();
        let source = sources.add(Source {
            name: "hostile.toml".to_owned(),
            kind: SourceKind::Embedded,
            text: text.clone().into(),
        });
        let found = parse("hostile", source, &text).diagnostics;
        let shown = render(&found, &sources, Style::PLAIN);
        let took = start.elapsed();
        assert!(!found.is_empty(), "{what} passes");
        assert!(found.len() <= 60, "{what}: {} errors", found.len());
        assert!(shown.len() < 100_000, "{what}: {} bytes", shown.len());
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{what}"
        );
        eprintln!("{what}: {} errors, {took:?}", found.len());
        assert!(took < BOUND, "{what}: {took:?}");
    }
}

#[test]
fn rules_without_number_are_read_in_bounded_time() {
    let mut text = "[environment]\n".to_owned();
    for n in 0..100_000 {
        text.push_str(&format!("V{n} = \"x\"\n"));
    }
    let start = Instant::now();
    let mut sources = SourceMap::new();
    let source = sources.add(Source {
        name: "many.toml".to_owned(),
        kind: SourceKind::Embedded,
        text: text.clone().into(),
    });
    let parsed = parse("many", source, &text);
    assert_eq!(parsed.diagnostics, []);
    let policy = resolve("many", &[parsed.profile.clone(), parsed.profile]);
    assert_eq!(policy.rules.len(), 100_000);
    assert!(start.elapsed() < BOUND);
}

#[test]
fn the_embedded_profiles_are_those_of_the_directory_and_load_without_a_word() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    let table: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
    assert_eq!(table, names);
    let host = Host::new();
    for (name, _) in EMBEDDED {
        let (loaded, sources) = host.load(&[name]);
        match loaded {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{name}"),
            Err(found) => panic!("{}", render(&found, &sources, Style::PLAIN)),
        }
    }
}

#[test]
fn the_name_of_a_file_is_the_name_of_its_profile() {
    let host = Host::new();
    for name in ["..toml", ".hidden.toml", "a b.toml", "-x.toml"] {
        let path = host.write(&format!("elsewhere/{name}"), "[limits]\npids = 1\n");
        let message = host.errors(&[path.to_str().unwrap()]);
        assert!(
            message.contains("is not the name of a profile"),
            "{message}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let host = Host::new();
    host.write("user/bom.toml", "\u{feff}[limits]\r\npids = 1\r\n");
    assert_eq!(host.layers(&["bom"]), ["user/bom.toml"]);
}
