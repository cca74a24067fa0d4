//! How the time to set a view up grows: with the rules, with the files that patterns match, and with the files that they do
//! not.
//!
//! `cargo bench --bench views [-- [--rounds N] [--rules N,N…] [--files N,N…] [--sandbox FILE]]`, as root or as an ordinary user. It
//! makes a home directory in a temporary place with 50 directories that a pattern each looks into, and adds files where no
//! pattern looks, or where all do. Each number is the least of some rounds, in milliseconds: the plan alone (`--dry-run`), and a
//! launch of `true`. What counts is the last column: the time for ten times as much, which is 10 when it grows linearly.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const PATTERNS: usize = 50;
const PROGRAM: &str = "/bin/true";

struct Options {
    rounds: usize,
    rules: Vec<usize>,
    files: Vec<usize>,
    sandbox: PathBuf,
}

fn numbers(text: &str) -> Result<Vec<usize>, String> {
    let read = |word: &str| word.parse().map_err(|_| format!("`{word}` is no number"));
    text.split(',').map(read).collect()
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        rounds: 5,
        // One less than the most, for `/`, the home directory and the patterns are rules too.
        rules: vec![10, 100, 1_000, 9_000],
        files: vec![2_000, 20_000, 200_000],
        sandbox: env!("CARGO_BIN_EXE_sandbox").into(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        match word.as_str() {
            "--rounds" => options.rounds = numbers(&value()?)?.first().copied().unwrap_or(1).max(1),
            "--rules" => options.rules = numbers(&value()?)?,
            "--files" => options.files = numbers(&value()?)?,
            "--sandbox" => options.sandbox = value()?.into(),
            // What cargo adds.
            "--bench" => {}
            other => return Err(format!("unknown option `{other}`")),
        }
    }
    Ok(options)
}

/// A home directory that is removed at the end.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new(rules: usize) -> io::Result<Self> {
        let tree = Self {
            folder: tempfile::tempdir()?,
        };
        for at in 0..PATTERNS {
            tree.fill(&format!("pattern{at}"), 0..20)?;
            fs::write(tree.path(&format!("pattern{at}/secret.key")), "")?;
        }
        for at in 0..rules {
            fs::create_dir_all(tree.path(&rule(at)))?;
        }
        Ok(tree)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Makes empty files, a hundred to a directory but for those of patterns.
    fn fill(&self, directory: &str, numbers: std::ops::Range<usize>) -> io::Result<()> {
        let flat = directory.starts_with("pattern");
        for at in numbers {
            let parent = match flat {
                true => self.path(directory),
                false => self.path(&format!("{directory}/d{}", at / 100)),
            };
            if at % 100 == 0 || flat {
                fs::create_dir_all(&parent)?;
            }
            fs::File::create(parent.join(format!("file{at}")))?;
        }
        Ok(())
    }

    fn profile(&self, rules: usize) -> io::Result<PathBuf> {
        let home = self.folder.path().display();
        let mut text =
            format!("[filesystem]\n\"/\" = \"read-only\"\n\"{home}\" = \"read-write\"\n");
        for at in 0..rules {
            let word = ["read-only", "hidden", "read-write"][at % 3];
            text.push_str(&format!("\"{home}/{}\" = \"{word}\"\n", rule(at)));
        }
        for at in 0..PATTERNS {
            text.push_str(&format!("\"{home}/pattern{at}/*.key\" = \"hidden\"\n"));
        }
        let path = self.path("views.toml");
        fs::write(&path, text)?;
        Ok(path)
    }
}

fn rule(at: usize) -> String {
    format!("rules/r{}/d{at}", at % 100)
}

/// The least time of some rounds in milliseconds.
fn least(options: &Options, profile: &Path, more: &[&str]) -> io::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..options.rounds {
        let started = Instant::now();
        let done = Command::new(&options.sandbox)
            .arg("--profile")
            .arg(profile)
            .args(more)
            .args(["--", PROGRAM])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(io::Error::other(said));
        }
        least = least.min(took);
    }
    Ok(least)
}

/// A line of the table for each of some amounts.
fn series(
    options: &Options,
    title: &str,
    amounts: &[usize],
    mut profile: impl FnMut(usize) -> io::Result<PathBuf>,
) -> io::Result<()> {
    println!(
        "\n{title:<34} {:>10} {:>10} {:>12}",
        "plan", "launch", "×10 costs"
    );
    let mut before: Option<(usize, f64)> = None;
    for &amount in amounts {
        let profile = profile(amount)?;
        let plan = least(options, &profile, &["--dry-run"])?;
        let launch = least(options, &profile, &[])?;
        let growth = before.map_or_else(String::new, |(less, took)| {
            let steps = (amount as f64 / less as f64).log10();
            format!("{:.1}", (launch / took).powf(1.0 / steps))
        });
        println!("{amount:>34} {plan:>10.2} {launch:>10.2} {growth:>12}");
        before = Some((amount, launch));
    }
    Ok(())
}

fn measure(options: &Options) -> io::Result<()> {
    let most = options.rules.iter().copied().max().unwrap_or(0);
    let tree = Tree::new(most)?;
    println!(
        "{} with {PATTERNS} patterns, least of {} rounds, milliseconds",
        options.sandbox.display(),
        options.rounds
    );
    series(options, "rules", &options.rules, |rules| {
        tree.profile(rules)
    })?;
    let few = 1_000.min(most);
    let mut made = 0;
    series(
        options,
        "files where no pattern looks",
        &options.files,
        |files| {
            tree.fill("elsewhere", made..files.max(made))?;
            made = files.max(made);
            tree.profile(few)
        },
    )?;
    let mut made = 20;
    series(
        options,
        "files where patterns look",
        &options.files,
        |files| {
            let each = (files / PATTERNS).max(made);
            for at in 0..PATTERNS {
                tree.fill(&format!("pattern{at}"), made..each)?;
            }
            made = each;
            // More names than the limit are an error, which is not what is measured.
            tree.profile(few)
        },
    )
    .or_else(|error| {
        println!(
            "{:>34} {}",
            "",
            error.to_string().lines().next().unwrap_or_default()
        );
        Ok(())
    })
}

fn main() -> ExitCode {
    match options()
        .map_err(io::Error::other)
        .and_then(|options| measure(&options))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("views: {error}");
            ExitCode::FAILURE
        }
    }
}
