//! What is linked into the programs, judged by `deny.toml` also where cargo-deny is not installed: licences, sources, and
//! packages that are there in two versions. Advisories need cargo-deny and its database.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

/// Licences that all may have, and those that single packages may have beside them, by `deny.toml`.
fn settings() -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml can be read");
    let read = DeTable::parse(&text).expect("deny.toml is TOML");
    let licences = read.get_ref().get("licenses").expect("[licenses]");
    let licences = licences.get_ref().as_table().expect("a table");
    let listed = licences.get("exceptions").expect("exceptions");
    let mut exceptions = BTreeMap::new();
    for one in listed.get_ref().as_array().expect("a list").iter() {
        let one = one.get_ref().as_table().expect("a table");
        let name = one.get("crate").expect("a name").get_ref();
        let name = name.as_str().expect("a text").to_owned();
        exceptions.insert(name, words(one.get("allow").expect("a list").get_ref()));
    }
    let allowed = licences.get("allow").expect("a list").get_ref();
    (words(allowed), exceptions)
}

fn words(value: &DeValue<'_>) -> BTreeSet<String> {
    let words = value.as_array().expect("a list").iter();
    words
        .map(|word| word.get_ref().as_str().expect("a word").to_owned())
        .collect()
}

/// The packages that this host's programs, tests and benchmarks are built from, exactly as they are locked.
fn packages() -> Vec<Json> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let version = Command::new(&cargo)
        .args(["-vV"])
        .output()
        .expect("cargo runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let out = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", host.expect("a host")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let all: Json = serde_json::from_slice(&out.stdout).expect("JSON");
    let all = all["packages"].as_array().expect("packages").clone();
    assert!(all.len() > 50, "only {} packages", all.len());
    all
}

fn text<'a>(package: &'a Json, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// Whether one may use what stands under an expression of SPDX, having these licences. `None`: it is no expression.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> Option<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        // What it was before SPDX had words for it.
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (answer, rest) = any_of(&words, allowed)?;
    rest.is_empty().then_some(answer)
}

type Read<'a, 'b> = Option<(bool, &'a [&'b str])>;

fn any_of<'a, 'b>(words: &'a [&'b str], allowed: &BTreeSet<String>) -> Read<'a, 'b> {
    let (mut answer, mut rest) = all_of(words, allowed)?;
    while let ["OR", more @ ..] = rest {
        let (other, left) = all_of(more, allowed)?;
        (answer, rest) = (answer || other, left);
    }
    Some((answer, rest))
}

fn all_of<'a, 'b>(words: &'a [&'b str], allowed: &BTreeSet<String>) -> Read<'a, 'b> {
    let (mut answer, mut rest) = one(words, allowed)?;
    while let ["AND", more @ ..] = rest {
        let (other, left) = one(more, allowed)?;
        (answer, rest) = (answer && other, left);
    }
    Some((answer, rest))
}

fn one<'a, 'b>(words: &'a [&'b str], allowed: &BTreeSet<String>) -> Read<'a, 'b> {
    match words {
        ["(", inner @ ..] => match any_of(inner, allowed)? {
            (answer, [")", rest @ ..]) => Some((answer, rest)),
            _ => None,
        },
        ["OR" | "AND" | "WITH" | ")", ..] => None,
        [name, "WITH", exception, rest @ ..] => {
            Some((allowed.contains(&format!("{name} WITH {exception}")), rest))
        }
        [name, rest @ ..] => Some((allowed.contains(*name), rest)),
        [] => None,
    }
}

#[test]
fn licences_are_those_that_are_allowed() {
    let (allowed, mut exceptions) = settings();
    let mut wrong = Vec::new();
    for package in packages() {
        let (name, licence) = (text(&package, "name"), text(&package, "license"));
        let more = exceptions.remove(name).unwrap_or_default();
        let allowed = allowed.union(&more).cloned().collect();
        match is_allowed(licence, &allowed) {
            Some(true) => {}
            Some(false) => wrong.push(format!("{name}: `{licence}` is not allowed")),
            None => wrong.push(format!("{name}: `{licence}` is no expression")),
        }
    }
    wrong.extend(
        exceptions
            .keys()
            .map(|name| format!("{name}: an exception for what is not there")),
    );
    assert!(wrong.is_empty(), "by deny.toml:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_there_in_two_versions_or_from_elsewhere() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let (name, source) = (text(&package, "name"), text(&package, "source"));
        // Ours have none.
        let known =
            source.is_empty() || source == "registry+https://github.com/rust-lang/crates.io-index";
        assert!(known, "{name} comes from {source}");
        let version = text(&package, "version").to_owned();
        versions.entry(name.to_owned()).or_default().insert(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    let mine: BTreeSet<String> = ["MIT", "Zlib", "A WITH x"].map(str::to_owned).into();
    for (expression, answer) in [
        ("MIT", Some(true)),
        ("GPL-3.0", Some(false)),
        ("GPL-3.0 OR MIT", Some(true)),
        ("GPL-3.0/MIT", Some(true)),
        ("GPL-3.0 AND MIT", Some(false)),
        ("(GPL-3.0 OR MIT) AND Zlib", Some(true)),
        ("GPL-3.0 AND MIT OR Zlib", Some(true)),
        ("MIT WITH x", Some(false)),
        ("A WITH x", Some(true)),
        ("", None),
        ("MIT OR", None),
        ("(MIT", None),
        ("MIT MIT", None),
    ] {
        assert_eq!(is_allowed(expression, &mine), answer, "{expression}");
    }
}
