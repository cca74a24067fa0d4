//! What it costs a program to run inside: work that is nearly all system calls, under each shipped profile and without.
//!
//! `cargo bench --bench inside [-- [--rounds N] [--sandbox FILE] [--json]]`. Each kind of work is a program of the system, so
//! that every view shows it. In each round every profile does each kind once, in an order that moves on; of the least times
//! what the same profile takes for `true` is taken off, so that the launch does not count. The result is the ratio to the
//! same work without a sandbox: 1.02 is two per cent slower. `any filter` is what the kernel takes for a filter that permits
//! everything: a profile with a filter cannot be below it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/dist/sandbox");
/// What is compiled; it comes by standard input, since not every view shows it.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
const WORK: [(&str, &[&str]); 4] = [
    ("launch", &["/bin/true"]),
    (
        "read and write",
        &[
            "/bin/dd",
            "if=/dev/zero",
            "of=/dev/null",
            "bs=1",
            "count=300000",
            "status=none",
        ],
    ),
    ("metadata", &["/usr/bin/du", "-s", "/usr/lib"]),
    (
        "compile",
        &[
            "/usr/bin/gcc",
            "-O2",
            "-pipe",
            "-x",
            "c",
            "-S",
            "-o",
            "/dev/null",
            "-",
        ],
    ),
];
/// Those that a person names; the others are parts of them or need an image.
const PROFILES: [&str; 11] = [
    "memlimit",
    "default",
    "build",
    "dev",
    "shell",
    "strict",
    "agent",
    "desktop-app",
    "web-browser",
    "firefox",
    "chromium",
];

const FILTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/filter.c");

#[derive(Clone, Copy)]
enum Way {
    Plain,
    /// Under a filter that permits everything, by this program.
    AnyFilter,
    Profile(&'static str),
    /// `default` without the second wall.
    WithoutLandlock,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::AnyFilter => "any filter",
            Self::Profile(name) => name,
            Self::WithoutLandlock => "default, process.landlock = false",
        }
    }
}

struct Row {
    way: Way,
    /// The least of each kind of work in seconds.
    least: [f64; WORK.len()],
    obstacle: Option<String>,
}

struct Options {
    rounds: usize,
    json: bool,
    sandbox: PathBuf,
}

fn options() -> Result<Options, String> {
    let dist = Path::new(DIST);
    let mut options = Options {
        rounds: 7,
        json: false,
        sandbox: match dist.is_file() {
            true => dist.to_owned(),
            false => env!("CARGO_BIN_EXE_sandbox").into(),
        },
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        match word.as_str() {
            "--rounds" => {
                let text = value()?;
                let number = text.parse().ok().filter(|&rounds| rounds > 0);
                options.rounds = number.ok_or(format!("`{text}` is no number of rounds"))?;
            }
            "--sandbox" => options.sandbox = value()?.into(),
            "--json" => options.json = true,
            // What cargo adds.
            "--bench" => {}
            other => return Err(format!("unknown option `{other}`")),
        }
    }
    Ok(options)
}

impl Row {
    fn time(&self, options: &Options, home: &Path, words: &[&str]) -> Result<f64, String> {
        let mut line: Vec<&str> = Vec::new();
        let sandbox = options.sandbox.to_string_lossy();
        let filter = home.join("filter");
        match self.way {
            Way::Plain => {}
            Way::AnyFilter => line.push(filter.to_str().ok_or("a home directory without a name")?),
            Way::Profile(profile) => line.extend([&*sandbox, "--profile", profile, "--"]),
            Way::WithoutLandlock => {
                let without = "process.landlock=false";
                line.extend([&*sandbox, "--profile", "default", "--set", without, "--"]);
            }
        }
        line.extend(words);
        let (program, rest) = line.split_first().ok_or("no program")?;
        let source = std::fs::File::open(SOURCE).map_err(|error| format!("{SOURCE}: {error}"))?;
        let mut command = Command::new(program);
        command
            .args(rest)
            .env("HOME", home)
            .current_dir(home)
            .stdin(source)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let done = command
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        let took = started.elapsed().as_secs_f64();
        // `du` may meet what a view hides, and says so by its status.
        if done.status.success() || words.first() == Some(&"/usr/bin/du") {
            return Ok(took);
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(said
            .lines()
            .next()
            .unwrap_or("fails without a word")
            .to_owned())
    }

    /// Without the launch.
    fn own(&self, work: usize) -> f64 {
        let least = |at: usize| self.least.get(at).copied().unwrap_or(f64::NAN);
        least(work) - least(0)
    }
}

fn run() -> Result<(), String> {
    let options = options()?;
    let home = tempfile::tempdir_in("/tmp").map_err(|error| format!("/tmp: {error}"))?;
    // Where it cannot be built, the file is missing, and that is said.
    let _ = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&home.path().join("filter"), Path::new(FILTER)])
        .status();
    let all = [Way::Plain, Way::AnyFilter].into_iter();
    let all = all.chain(PROFILES.into_iter().map(Way::Profile));
    let all = all.chain([Way::WithoutLandlock]);
    let mut rows: Vec<Row> = all
        .map(|way| Row {
            way,
            least: [f64::INFINITY; WORK.len()],
            obstacle: None,
        })
        .collect();
    let count = rows.len();
    for round in 0..options.rounds {
        for (work, (_, words)) in WORK.iter().enumerate() {
            for at in 0..count {
                let Some(row) = rows.get_mut((at + round) % count) else {
                    continue;
                };
                if row.obstacle.is_some() {
                    continue;
                }
                match row.time(&options, home.path(), words) {
                    Ok(took) => {
                        if let Some(least) = row.least.get_mut(work) {
                            *least = least.min(took);
                        }
                    }
                    Err(why) => row.obstacle = Some(why),
                }
            }
        }
    }
    let Some(plain) = rows.first() else {
        return Ok(());
    };
    if let Some(why) = &plain.obstacle {
        return Err(format!("the work cannot be done here at all: {why}"));
    }
    let ratios = |row: &Row| {
        (1..WORK.len())
            .map(|at| row.own(at) / plain.own(at))
            .collect::<Vec<_>>()
    };
    if options.json {
        let found: Vec<_> = rows
            .iter()
            .skip(1)
            .map(|row| {
                serde_json::json!({
                    "profile": row.way.name(), "obstacle": row.obstacle, "ratios": ratios(row),
                })
            })
            .collect();
        println!("{:#}", serde_json::Value::from(found));
        return Ok(());
    }
    println!(
        "{} rounds; the least times without the launch, of those without a sandbox\n",
        options.rounds
    );
    print!("{:<34}", "");
    for (name, _) in WORK.iter().skip(1) {
        print!("{name:>16}");
    }
    println!();
    for row in rows.iter().skip(1) {
        print!("{:<34}", row.way.name());
        match &row.obstacle {
            Some(why) => print!("  {why}"),
            None => ratios(row).iter().for_each(|ratio| print!("{ratio:>16.3}")),
        }
        println!();
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("inside: {why}");
            ExitCode::FAILURE
        }
    }
}
