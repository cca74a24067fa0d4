//! What is read here is what the library reads; how much is read here.

#![allow(clippy::unwrap_used)]

use std::os::unix::ffi::OsStringExt;

use clap::CommandFactory;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::cli::usage;

fn words<'a>(line: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    let all = ["sandbox"].into_iter().chain(line);
    all.map(OsString::from).collect()
}

/// Compares; whether the line is plain.
fn same(words: &[OsString]) -> bool {
    let Some(typed) = read(words) else {
        return false;
    };
    let library = Typed::by_library(words);
    let library = library.unwrap_or_else(|error| panic!("{words:?} is taken, and {error}"));
    assert_eq!(typed, library, "{words:?}");
    true
}

#[test]
fn usual_lines_are_plain() {
    for line in [
        "firefox",
        "-- firefox",
        "firefox --private-window -- x --profile y",
        "/bin/true -",
        "prog --",
        "prog -- --",
        "prog --help -h --version -V",
        "-- -odd -- --version",
        "-- - x",
        "-- --quiet",
        "--profile build npm install",
        "--profile=build -- npm install",
        "--profile a --profile=b prog",
        "--profile --",
        "--profile=-x prog",
        "--profile=a=b prog",
        "--profile ./x.toml --quiet --report prog",
        "--dry-run --json --verbose prog",
        "--no-profile --pids 10 bash",
        "--memory 3G --swap 3G --memory-soft 1G -- firefox --private-window",
        "--hide ~/Mail --net none --ro /a --hide /b --set limits.pids=3 --env A= --env=B=c prog",
        "--root debian /bin/sh",
        "--background --name x --app-id a.b.C.desktop prog",
        "--notify=always --app-id=org.b.C --documents=1 -- /usr/bin/firefox %u",
        "--notify never --documents=2,1 prog",
        "--documents=none --documents-x prog",
        "--new --best-effort --system-profiles prog",
    ] {
        let plain = same(&words(line.split(' ')));
        let declined = ["--profile --", "--documents=none --documents-x prog"];
        assert_eq!(plain, !declined.contains(&line), "{line}");
    }
}

#[test]
fn what_is_to_be_judged_is_left_to_the_library() {
    for line in [
        &[][..],
        &[""],
        &["-"],
        &["--"],
        &["--", ""],
        &["--", "--"],
        &["--", "--", "prog"],
        &["--profile"],
        &["--profile", "a"],
        &["--profile", "", "prog"],
        &["--profile=", "prog"],
        &["--profile", "-a", "prog"],
        &["--profile", "-", "prog"],
        &["--profile", "--", "prog"],
        &["--profil", "a", "prog"],
        &["--profiles", "a", "prog"],
        &["-p", "a", "prog"],
        &["-q", "prog"],
        &["-vq", "prog"],
        &["--help", "prog"],
        &["--version"],
        &["--quiet"],
        &["--quiet=true", "prog"],
        &["--quiet", "--quiet", "prog"],
        &["--quiet", "--verbose", "prog"],
        &["--no-profile", "--profile", "a", "prog"],
        &["--background", "--dry-run", "prog"],
        &["--memory", "1G", "--memory=1G", "prog"],
        &["--notify", "auto", "--notify", "auto", "prog"],
        &["--notify", "Auto", "prog"],
        &["--net", "bridge", "prog"],
        &["--name", "../x", "prog"],
        &["--app-id", "a/b", "prog"],
        &["--documents", "prog"],
        &["--documents=0", "prog"],
        &["--root", "debian"],
        &["--root", "debian", "--"],
        &["--=x", "prog"],
        &["---profile", "a", "prog"],
        &["\u{2010}-quiet"], // looks like one, and is a program
    ] {
        let plain = same(&words(line.iter().copied()));
        assert_eq!(plain, line == ["\u{2010}-quiet"], "{line:?}");
    }
    assert!(read(&[]).is_none());
}

#[test]
fn programs_and_arguments_are_any_bytes_and_options_are_not() {
    let odd = || OsString::from_vec(vec![b'a', 0xff]);
    let line = |before: &[&str], after: Vec<OsString>| -> Vec<OsString> {
        let mut line = words(before.iter().copied());
        line.extend(after);
        line
    };
    assert!(same(&line(&[], vec![odd(), odd(), "".into()])));
    assert!(same(&line(&["--"], vec![OsString::from_vec(vec![0xff])])));
    assert!(same(&line(
        &["--"],
        vec![OsString::from_vec(vec![b'-', 0xff])]
    )));
    assert!(!same(&line(&["--profile"], vec![odd(), "prog".into()])));
    let attached = OsString::from_vec(b"--profile=\xff".to_vec());
    assert!(!same(&line(&[], vec![attached, "prog".into()])));
    let dashed = OsString::from_vec(b"-\xff".to_vec());
    assert!(!same(&line(&[], vec![dashed, "prog".into()])));
}

#[test]
fn every_option_is_plain() {
    for option in Launch::command().get_arguments() {
        let Some(name) = option.get_long() else {
            continue;
        };
        let value = match name {
            "net" => "none",
            "notify" => "never",
            "documents" => "2",
            _ => "value",
        };
        let takes = option.get_action().takes_values();
        let line = match takes {
            true => format!("--{name}={value} prog"),
            false => format!("--{name} prog"),
        };
        assert!(same(&words(line.split(' '))), "{line}");
        if takes && name != "documents" {
            let line = format!("--{name} {value} prog");
            assert!(same(&words(line.split(' '))), "{line}");
        }
    }
}

/// Words of lines that are nearly plain.
fn word() -> impl Strategy<Value = OsString> {
    let mut names: Vec<String> = Launch::command()
        .get_arguments()
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect();
    names.extend(["--help", "--version", "--none"].map(str::to_owned));
    let values = [
        "a",
        "none",
        "host",
        "auto",
        "always",
        "never",
        "1",
        "2,1",
        "all",
        "",
        "-",
        "--",
        "-1",
        "a b",
        "a=b",
        "=",
        "x.desktop",
        "a/b",
        "/a:/b",
        "limits.pids=3",
        "\n",
        "ä",
        "-q",
        "-h",
        "-V",
        "-qv",
        "--memory=1G",
        "%",
        "help",
    ];
    let value = move || select(values.to_vec());
    prop_oneof![
        6 => select(names.clone()).prop_map(OsString::from),
        3 => (select(names), value()).prop_map(|(name, value)| format!("{name}={value}").into()),
        8 => value().prop_map(OsString::from),
        1 => vec(any::<u8>(), 0..4).prop_map(OsString::from_vec),
        1 => "-{0,3}[a-z=]{0,6}".prop_map(OsString::from),
    ]
}

/// Lines of which most are plain: options with what they take, then anything.
fn line() -> impl Strategy<Value = Vec<OsString>> {
    let options: Vec<(String, bool)> = Launch::command()
        .get_arguments()
        .filter_map(|option| {
            Some((
                option.get_long()?.to_owned(),
                option.get_action().takes_values(),
            ))
        })
        .collect();
    let values = select(["a", "none", "always", "2", "1G", "b"].as_slice());
    let option = (select(options), values, any::<bool>()).prop_map(
        |((name, takes), value, attached)| match (takes, attached) {
            (false, _) => vec![format!("--{name}")],
            (true, true) => vec![format!("--{name}={value}")],
            (true, false) => vec![format!("--{name}"), value.to_owned()],
        },
    );
    (vec(option, 0..5), vec(word(), 0..6)).prop_map(|(options, more)| {
        let options = options.into_iter().flatten().map(OsString::from);
        [OsString::from("sandbox")]
            .into_iter()
            .chain(options)
            .chain(more)
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_library_reads_the_same(words in line()) {
        same(&words);
    }

    #[test]
    fn hostile_lines_too(words in vec(word(), 0..7)) {
        same(&words);
        let mut line = vec![OsString::from("sandbox")];
        line.extend(words);
        same(&line);
    }
}

/// So many in each run of the tests; for more by hand: THROWN=3000000.
const COUNT: u64 = 10_000;

/// Numbers without a pattern (splitmix64).
struct Random(u64);

impl Random {
    #[allow(clippy::cast_possible_truncation)] // any bits will do
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) as usize % below
    }
}

/// A byte that means something to one of the two readers, or that none expects.
const BYTES: &[u8] = b"-=-=a, :/%.@\0\n\x7f\xff\xc3\xa9\xe2";

/// Lines that are plain, damaged: bytes and words taken away, doubled, put in and exchanged, words joined and cut in two.
#[test]
fn lines_that_are_damaged_are_read_alike() {
    let options: Vec<(String, bool)> = Launch::command()
        .get_arguments()
        .filter_map(|option| {
            let takes = option.get_action().takes_values();
            Some((option.get_long()?.to_owned(), takes))
        })
        .collect();
    let values = [
        "a",
        "none",
        "host",
        "never",
        "2",
        "2,1",
        "1G",
        "a.b",
        "x.desktop",
        "-1",
        "--",
        "=",
        "",
    ];
    let asked = std::env::var("THROWN").ok();
    let all = asked.and_then(|asked| asked.parse().ok()).unwrap_or(COUNT);
    let (mut random, mut taken) = (Random(1), 0);
    // Made once, which takes longer than all else.
    let mut library = Launch::command();
    for _ in 0..all {
        let mut line: Vec<Vec<u8>> = vec![b"sandbox".to_vec()];
        for _ in 0..random.next(4) {
            let (name, takes) = &options[random.next(options.len())];
            let value = values[random.next(values.len() - 1)];
            match (takes, random.next(2)) {
                (false, _) => line.push(format!("--{name}").into_bytes()),
                (true, 0) => line.push(format!("--{name}={value}").into_bytes()),
                (true, _) => line.extend([format!("--{name}").into_bytes(), value.into()]),
            }
        }
        for word in ["--", "prog", "--quiet", "--", "x"] {
            if random.next(3) > 0 {
                line.push(word.into());
            }
        }
        for _ in 0..random.next(3) {
            let at = random.next(line.len());
            let word = line[at].clone();
            let inside = random.next(word.len() + 1);
            match random.next(7) {
                0 => line[at].insert(inside, BYTES[random.next(BYTES.len())]),
                1 if inside < word.len() => drop(line[at].remove(inside)),
                2 => drop(line.remove(at)),
                3 => line.insert(random.next(line.len() + 1), word),
                4 => {
                    let other = random.next(line.len());
                    line.swap(at, other);
                }
                5 => {
                    let rest = line[at].split_off(inside);
                    line.insert(at + 1, rest);
                }
                _ if at > 0 => {
                    line.remove(at);
                    line[at - 1].extend(word);
                }
                _ => {}
            }
            if line.is_empty() {
                line.push(Vec::new());
            }
        }
        let line: Vec<OsString> = line.into_iter().map(OsString::from_vec).collect();
        let Some(typed) = read(&line) else {
            continue;
        };
        let matches = usage::matches(&mut library, &line);
        let found = matches.and_then(|matches| Typed::from_matches(&matches));
        let found = found.unwrap_or_else(|error| panic!("{line:?} is taken, and {error}"));
        assert_eq!(typed, found, "{line:?}");
        taken += 1;
    }
    assert!(taken > all / 4, "only {taken} of {all}");
}
