//! What is linked into the setuid program is a list that is looked at: `dependencies.txt`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn committed(folder: &Path) -> BTreeSet<String> {
    std::fs::read_to_string(folder.join("dependencies.txt"))
        .expect("the list is there")
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn nothing_new_is_linked_into_the_setuid_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "sandbox-suid",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
        ])
        .current_dir(folder)
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let linked: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(
        linked,
        committed(folder),
        "suid/dependencies.txt names other packages than are linked"
    );
}

#[test]
fn unsafe_stands_in_one_module() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(sources).expect("the sources are there") {
        let path = entry.expect("they can be listed").path();
        let text = std::fs::read_to_string(&path).expect("they can be read");
        let code = text.lines().filter_map(|line| line.split("//").next());
        let has = code
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
            .any(|word| word == "unsafe");
        assert_eq!(has, path.ends_with("system.rs"), "{}", path.display());
    }
}
