//! What a developer runs beside cargo itself.
//!
//! `cargo xtask generate` writes the manual pages, the completions and the schema; with `--check` it only says which of
//! them are stale. `cargo xtask dist` builds the static programs that are released.
//! `cargo xtask attacks` writes the table of attacks into SECURITY.md; a table that was made elsewhere (`launch
//! catalogue-table`) can be given as a file. `cargo xtask performance` measures the programs and writes
//! `docs/performance.md`.

mod attacks;
mod complete;
mod dist;
mod generate;
mod manual;
mod performance;
mod roff;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask generate [--check] | dist | attacks [TABLE] | performance";

fn main() -> ExitCode {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().unwrap_or(manifest);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["generate"] => generate::write(root),
        ["generate", "--check"] => generate::check(root),
        ["attacks"] => attacks::write(root),
        ["attacks", table] => std::fs::read_to_string(table)
            .map_err(|error| format!("{table}: {error}"))
            .and_then(|table| attacks::place(root, &table)),
        ["dist"] => dist::build(root),
        ["performance"] => performance::measure(root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
