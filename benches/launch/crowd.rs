//! What a launch with limits costs beside others that run already: it must not grow with their number.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{PROGRAM, micros};

/// So many run already.
const CROWDS: [usize; 5] = [0, 1, 50, 200, 1000];
const LINE: [&str; 3] = ["--profile", "memlimit", "--"];

/// What was measured beside a crowd: how many, and the minimum and the median in microseconds.
pub struct Beside {
    pub crowd: usize,
    pub minimum: f64,
    pub median: f64,
}

fn command(sandbox: &str, home: &Path, program: &str) -> Command {
    let mut command = Command::new(sandbox);
    command
        .args(LINE)
        .arg(program)
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Launches beside more and more others.
pub fn measure(sandbox: &str, home: &Path, rounds: usize) -> Result<Vec<Beside>, String> {
    let mut running: Vec<Child> = Vec::new();
    let mut found = Ok(Vec::new());
    for crowd in CROWDS {
        found = found.and_then(|mut found: Vec<Beside>| {
            while running.len() < crowd {
                // It waits for the end of a standard input that stays open.
                let started = command(sandbox, home, "/bin/cat")
                    .stdin(Stdio::piped())
                    .spawn();
                running.push(started.map_err(|error| error.to_string())?);
            }
            // Until all of them run, and have given memory back.
            std::thread::sleep(Duration::from_millis(2500));
            let mut times = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let started = Instant::now();
                let status = command(sandbox, home, PROGRAM)
                    .status()
                    .map_err(|error| error.to_string())?;
                times.push(started.elapsed());
                if !status.success() {
                    return Err(format!(
                        "a launch beside {crowd} others ended with {status}"
                    ));
                }
            }
            times.sort();
            let at = |index: usize| times.get(index).copied().map_or(0.0, micros);
            found.push(Beside {
                crowd,
                minimum: at(0),
                median: at(rounds / 2),
            });
            Ok(found)
        });
    }
    for child in &mut running {
        drop(child.stdin.take());
    }
    for mut child in running {
        // It ends by itself now.
        let _ = child.wait();
    }
    found
}

/// As a table.
pub fn text(rows: &[Beside]) -> String {
    let mut text = "\n`sandbox --profile memlimit` beside so many others, microseconds (minimum, median), and of the first minimum:\n".to_owned();
    let alone = rows.first().map_or(f64::NAN, |row| row.minimum);
    for row in rows {
        text.push_str(&format!(
            "{:>30} {:>7.0} {:>7.0} {:>6.2}\n",
            row.crowd,
            row.minimum,
            row.median,
            row.minimum / alone
        ));
    }
    text
}
