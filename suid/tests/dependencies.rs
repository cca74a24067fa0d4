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
