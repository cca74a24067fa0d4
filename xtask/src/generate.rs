//! Everything that is committed but derived, as a list of paths and texts.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use sandbox::cli::arguments::{Control, Launch};
use sandbox::cli::{ending, schema};
use sandbox::profile::brief;
use sandbox::profile::search::Library;

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
    let mut files = vec![
        (
            "schema/profile.json".to_owned(),
            schema::text().into_bytes(),
        ),
        (
            "schema/report.schema.json".to_owned(),
            ending::schema().into_bytes(),
        ),
    ];
    for (verb, schema) in schema::running::all() {
        files.push((
            format!("schema/{verb}.schema.json"),
            format!("{schema:#}\n").into_bytes(),
        ));
    }
    for page in [
        "sandbox.1",
        "sandboxctl.1",
        "sandbox.toml.5",
        "sandbox-suid.8",
    ] {
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
    let readme = fs::read_to_string(root.join("README.md"))
        .map_err(|error| format!("README.md: {error}"))?;
    files.push(("README.md".to_owned(), with_profiles(&readme)?.into_bytes()));
    Ok(files)
}

/// The table of the shipped profiles, between its marks.
fn with_profiles(readme: &str) -> Result<String, String> {
    const START: &str = "<!-- profiles: written by `cargo xtask generate` -->\n";
    const END: &str = "<!-- end of profiles -->\n";
    let parts = readme
        .split_once(START)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err("README.md: the marks around the list of profiles are gone".to_owned());
    };
    let mut table = String::from("| profile | what it is for |\n| --- | --- |\n");
    for profile in brief::list(&Library::new(Vec::new(), 0)) {
        if let Some(error) = profile.error {
            return Err(format!("profiles/{}.toml: {error}", profile.name));
        }
        table.push_str(&format!(
            "| `{}` | {} |\n",
            profile.name, profile.description
        ));
    }
    Ok(format!("{before}{START}{table}{END}{after}"))
}
