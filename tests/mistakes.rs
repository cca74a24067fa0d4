//! What people do wrong in profiles, one file each, and what they are told.

use std::fs;
use std::path::Path;

use sandbox::profile::document::parse;
use sandbox::report::render::{Style, render};
use sandbox::report::{Source, SourceKind, SourceMap};

#[test]
fn every_mistake_is_explained() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .expect("the directory of mistakes")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    assert!(names.len() >= 25);
    for name in names {
        let text = fs::read_to_string(directory.join(&name)).expect("a text");
        let mut sources = SourceMap::new();
        let source = sources.add(Source {
            name: name.clone(),
            kind: SourceKind::Embedded,
            text: text.clone().into(),
        });
        let found = parse("mistake", source, &text).diagnostics;
        assert!(!found.is_empty(), "{name} passes");
        let shown = render(&found, &sources, Style::PLAIN);
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{name}: {shown:?}"
        );
        insta::assert_snapshot!(name.trim_end_matches(".toml"), shown);
    }
}
