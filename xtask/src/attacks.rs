//! `cargo xtask attacks`: makes all attempts of the catalogue, against this program and against others that are installed,
//! and writes what came of them into SECURITY.md. Root's table and an ordinary user's stand beside each other; each is
//! written by whom it is about.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs the catalogue as who runs this, and puts the table in its place.
pub fn write(root: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |arguments: &[&str]| {
        let output = Command::new(&cargo)
            .args(arguments)
            .current_dir(root)
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo: {error}"))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("cargo {} failed", arguments.join(" ")))
        }
    };
    run(&["build", "--bins"])?;
    let table = run(&[
        "test",
        "--quiet",
        "--test",
        "launch",
        "--",
        "catalogue-table",
    ])?;
    let table = String::from_utf8(table).map_err(|error| format!("the table: {error}"))?;
    place(root, &table)
}

/// Puts a table that was made elsewhere, as in a virtual machine, in its place.
pub fn place(root: &Path, table: &str) -> Result<(), String> {
    let start = table.find("Tried as ").ok_or("there is no table")?;
    let table = table.get(start..).unwrap_or_default().trim_end();
    let who = if table.starts_with("Tried as root") {
        "root"
    } else {
        "user"
    };
    let path = root.join("SECURITY.md");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    let (first, last) = (
        format!("<!-- attacks as {who} -->\n"),
        format!("<!-- end of attacks as {who} -->"),
    );
    let parts = text
        .split_once(&first)
        .and_then(|(before, rest)| Some((before, rest.split_once(&last)?.1)));
    let (before, after) =
        parts.ok_or_else(|| format!("{}: no `{}`", path.display(), first.trim()))?;
    fs::write(&path, format!("{before}{first}{table}\n{last}{after}")).map_err(failed)
}
