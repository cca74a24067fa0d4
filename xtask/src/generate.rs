//! Everything that is committed but derived, as a list of paths and texts.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use sandbox::cli::arguments::{Control, Launch};
use sandbox::cli::schema;

use crate::{complete, manual};

/// Writes what is stale, and says what was.
pub fn write(root: &Path) -> Result<(), String> {
    for (path, text) in stale(root)? {
        let file = root.join(&path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)
                .map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails when a file is not what would be written.
pub fn check(root: &Path) -> Result<(), String> {
    let stale = stale(root)?;
    if stale.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = stale
        .into_iter()
        .map(|(path, _)| format!("  {path}"))
        .collect();
    Err(format!(
        "stale, `cargo xtask generate` writes them anew:\n{}",
        names.join("\n")
    ))
}

fn stale(root: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut stale = files(root)?;
    stale.retain(|(path, text)| fs::read(root.join(path)).ok().as_ref() != Some(text));
    Ok(stale)
}

fn files(root: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut files = vec![(
        "schema/profile.json".to_owned(),
        schema::text().into_bytes(),
    )];
    for page in ["sandbox.1", "sandboxctl.1", "sandbox.toml.5"] {
        let source = format!("man/src/{page}");
        let template =
            fs::read_to_string(root.join(&source)).map_err(|error| format!("{source}: {error}"))?;
        let text = manual::page(&template).map_err(|error| format!("{source}: {error}"))?;
        files.push((format!("man/{page}"), text.into_bytes()));
    }
    for (program, command) in [
        ("sandbox", Launch::command()),
        ("sandboxctl", Control::command()),
    ] {
        for (shell, name) in [
            (Shell::Bash, format!("{program}.bash")),
            (Shell::Zsh, format!("_{program}")),
            (Shell::Fish, format!("{program}.fish")),
        ] {
            let text = complete::script(shell, program, &command)?;
            files.push((format!("completions/{name}"), text.into_bytes()));
        }
    }
    Ok(files)
}
