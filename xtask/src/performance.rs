//! `docs/performance.md`: what is measured, how, and what came out, as ratios.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const FILE: &str = "docs/performance.md";
/// Rounds of the launches and of the work inside.
const LAUNCHES: &str = "150";
const INSIDE: &str = "6";

/// Runs all measurements, one after the other, and writes what they say. Builds the programs that are released first
/// unless they are newer than the sources. Ten minutes at most beside that.
///
/// # Errors
/// Something cannot be built, or a measurement fails.
pub fn measure(root: &Path) -> Result<(), String> {
    if !is_fresh(root) {
        super::dist::build(root)?;
    }
    let launch = json(&bench(
        root,
        "launch",
        &["--rounds", LAUNCHES, "--json", "--ordinary"],
    )?)?;
    // What only root is allowed, and what others do for root.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let by_root = match is_root {
        true => Some(json(&bench(
            root,
            "launch",
            &["--rounds", LAUNCHES, "--json"],
        )?)?),
        false => None,
    };
    let together = bench(root, "launch", &["--together"])?;
    let beside = bench(root, "launch", &["--beside", "--rounds", "60"])?;
    let inside = json(&bench(root, "inside", &["--rounds", INSIDE, "--json"])?)?;
    let sandbox = root.join("target/dist/sandbox").display().to_string();
    let views = bench(root, "views", &["--rounds", "3", "--sandbox", &sandbox])?;
    let budget = run(
        root,
        &[
            "test",
            "--quiet",
            "--test",
            "budget",
            "--",
            "--nocapture",
            "--test-threads=1",
        ],
    )?;
    let text = [
        head(),
        launches(&launch, by_root.as_ref()),
        rates(&together),
        growth(&beside, &views),
        work(&inside),
        counts(&budget),
        sizes(root),
    ]
    .join("\n");
    let to = root.join(FILE);
    fs::write(&to, text).map_err(|error| format!("{}: {error}", to.display()))?;
    println!("wrote {}", to.display());
    Ok(())
}

fn is_fresh(root: &Path) -> bool {
    let built = fs::metadata(root.join("target/dist/sandbox")).and_then(|found| found.modified());
    let sources = newest(&root.join("src"));
    matches!((built, sources), (Ok(built), Some(sources)) if built > sources)
}

fn newest(directory: &Path) -> Option<std::time::SystemTime> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    entries
        .filter_map(|entry| match entry.path().is_dir() {
            true => newest(&entry.path()),
            false => entry.metadata().ok()?.modified().ok(),
        })
        .max()
}

/// What a bench prints. The bench itself need not be fast: what it measures are other programs.
fn bench(root: &Path, name: &str, words: &[&str]) -> Result<String, String> {
    let mut line = vec![
        "bench",
        "--quiet",
        "--profile",
        "dev",
        "--bench",
        name,
        "--",
    ];
    line.extend(words);
    run(root, &line)
}

fn run(root: &Path, line: &[&str]) -> Result<String, String> {
    println!("cargo {}", line.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .current_dir(root)
        .args(line)
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(said);
    }
    let why = String::from_utf8_lossy(&done.stderr);
    Err(format!(
        "cargo {}: {}\n{said}{why}",
        line.join(" "),
        done.status
    ))
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("a bench wrote no JSON: {error}\n{text}"))
}

fn head() -> String {
    let of = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = of("/proc/sys/kernel/osrelease");
    let version: Vec<&str> = kernel.trim().split('.').take(2).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "# What a launch costs

Written by `cargo xtask performance`, which measures all of it again in less than ten minutes; do not edit. Times depend on the
machine, so ratios are given; counts and sizes do not. This was Linux {} with {processors} processors. The programs measured are
those that are released (`cargo xtask dist`).
",
        version.join(".")
    )
}

/// The rows of a bench of launches.
struct Rows<'a>(Vec<&'a Value>);

impl<'a> Rows<'a> {
    fn of(found: &'a Value) -> Self {
        Self(found["rows"].as_array().into_iter().flatten().collect())
    }

    fn named(&self, name: &str) -> Option<&'a Value> {
        self.0.iter().find(|row| row["name"] == name).copied()
    }

    /// The least time, in microseconds.
    fn time(&self, name: &str) -> Option<f64> {
        self.named(name)?["minimum_us"].as_f64()
    }

    /// How many times as long as another way.
    fn quotient(&self, a: &str, b: &str) -> Option<f64> {
        Some(self.time(a)? / self.time(b)?)
    }

    /// Milliseconds over another way.
    fn over(&self, a: &str, b: &str) -> Option<f64> {
        Some((self.time(a)? - self.time(b)?) / 1e3)
    }

    /// What all processes have written to, and share with nobody; kB.
    fn memory(&self, name: &str) -> Option<f64> {
        let processes = self.named(name)?["private_kB"].as_array()?;
        let dirty = processes.iter().map(|one| one["dirty"].as_f64());
        dirty.sum::<Option<f64>>().filter(|_| !processes.is_empty())
    }
}

const PLAIN: &str = "no sandbox";
const BARE: &str = "floor, no namespaces";
const FLOOR: &str = "floor, the same view";
const WHOLE: &str = "floor, all that the view asks";
const LIMITED: &str = "floor, a memory limit";
const BWRAP: &str = "bwrap, the same view";
const FIREJAIL: &str = "firejail, firefox profile";
const VIEW: &str = "sandbox, the same view";
const MEMLIMIT: &str = "sandbox --profile memlimit";

fn launches(found: &Value, by_root: Option<&Value>) -> String {
    let mut text = format!(
        "## Time

`cargo bench --bench launch -- --ordinary`. Every round starts `/bin/true` once by each way, in an order that moves on, from
before `spawn` to after `wait`; {LAUNCHES} rounds, as an ordinary user. *The floor* is `benches/floor.c`: the least system calls
that set up the view of `benches/view.toml`, with nobody who reads a profile, looks at the host, checks, supervises or cleans up;
without namespaces it is a static program that starts another and waits, with a memory limit the same in a control group of its
own. *All that the view asks* adds what that profile has us do beside the view: a process 1 that stays, covers over records, and
Landlock as a second wall. *bwrap* is
`bwrap --unshare-all --share-net --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp`, the same view. *firejail* runs with its
profile for Firefox. A row is the whole time of that way as a part of another's whole time; minima, and medians in parentheses.

"
    );
    text += &table(found);
    let rows = Rows::of(found);
    let root_rows = by_root.map(Rows::of);
    if let Some(by_root) = by_root {
        text += "\n### The same for root\n\n";
        text += &table(by_root);
    }
    let limited = rows
        .over(MEMLIMIT, PLAIN)
        .or_else(|| root_rows.as_ref()?.over(MEMLIMIT, PLAIN));
    let goals = [
        Goal {
            what: "the same view: at most 1.3 × the floor",
            found: rows.quotient(VIEW, FLOOR),
            holds: |found| found <= 1.3,
            unit: " ×",
        },
        Goal {
            what: "the same view: at most half of bwrap",
            found: rows.quotient(VIEW, BWRAP),
            holds: |found| found <= 0.5,
            unit: " ×",
        },
        Goal {
            what: "profile firefox: at least 30 × faster than firejail's",
            found: rows.quotient(FIREJAIL, "sandbox --profile firefox"),
            holds: |found| found >= 30.0,
            unit: " ×",
        },
        Goal {
            what: "memlimit, its limits set: at most 0.5 ms over the program alone",
            found: limited,
            holds: |found| found <= 0.5,
            unit: " ms",
        },
        Goal {
            what: "what stays for the same view: at most 150 kB of private memory",
            found: rows.memory(VIEW),
            holds: |found| found <= 150.0,
            unit: " kB",
        },
        Goal {
            what: "what stays for `default`: at most 150 kB of private memory",
            found: rows.memory("sandbox --profile default"),
            holds: |found| found <= 150.0,
            unit: " kB",
        },
    ];
    text + &judged(&goals) + &bounds(&rows)
}

fn table(found: &Value) -> String {
    let mut text =
        "| way | of the floor | of bwrap | of firejail |\n| --- | --- | --- | --- |\n".to_owned();
    let rows = Rows::of(found);
    let others = [FLOOR, BWRAP, FIREJAIL].map(|name| rows.named(name));
    for row in &rows.0 {
        let cells = others.map(|other| {
            let part = |what: &str| Some(row[what].as_f64()? / other?[what].as_f64()?);
            match (part("minimum_us"), part("median_us")) {
                (Some(minimum), Some(median)) => format!("{} ({})", ratio(minimum), ratio(median)),
                _ => "–".to_owned(),
            }
        });
        text += &format!("| {} | {} |\n", name(row), cells.join(" | "));
    }
    for missing in found["missing"].as_array().into_iter().flatten() {
        let why = missing["why"].as_str().unwrap_or_default();
        text += &format!(
            "| {} | not measured: {} | | |\n",
            name(missing),
            why.replace('|', "/")
        );
    }
    text
}

/// How far the goals are from what nobody can be below.
fn bounds(rows: &Rows<'_>) -> String {
    let (Some(floor), Some(bare)) = (rows.quotient(FLOOR, BWRAP), rows.over(BARE, PLAIN)) else {
        return String::new();
    };
    let mut text = format!(
        "
### What nobody can be below

The floor itself takes {} of bwrap's time. A static program that only starts another and waits takes {bare:.2} ms over that
program alone. Some of that is the start of the C library, which asks the processor some forty questions (`cpuid`); where a
hypervisor answers them, as here, each takes up to microseconds.
",
        ratio(floor)
    );
    if let Some(limited) = rows.over(LIMITED, PLAIN) {
        text += &format!(
            "When it makes a control group with one limit, has the program in it, and removes it, it takes {limited:.2} ms: {}.
",
            reach(limited <= 0.5)
        );
    }
    let whole = |other| rows.quotient(WHOLE, other);
    if let (Some(floor), Some(bwrap), Some(ours)) =
        (whole(FLOOR), whole(BWRAP), rows.quotient(VIEW, WHOLE))
    {
        text += &format!(
            "What the profile of the view asks beside it takes the floor to {} of itself and {} of bwrap: {}.
We take {} of that. What is ours beyond it: a far larger program is mapped and its addresses put right, a profile read, the host
looked at, a plan made and written down, everything looked at once more before the program starts (the self-audit), and
cleaned up.
",
            ratio(floor),
            ratio(bwrap),
            reach(bwrap <= 0.5),
            ratio(ours)
        );
    }
    text += "Where there is no process 1 to share the pages that were relocated at the start, as without namespaces or with `memlimit`, they
are the launcher's own, and more stays than in a view: see the counts below.
";
    text
}

/// What the least that a goal takes says of it.
fn reach(within: bool) -> &'static str {
    match within {
        true => "that goal can be reached",
        false => "here nobody who does that can reach that goal",
    }
}

/// A goal that was set.
struct Goal {
    what: &'static str,
    /// None: it could not be measured.
    found: Option<f64>,
    holds: fn(f64) -> bool,
    unit: &'static str,
}

/// The goals, first in one sentence, then one by one.
fn judged(goals: &[Goal]) -> String {
    let reached = |goal: &Goal| goal.found.map(goal.holds);
    let number = |verdict| goals.iter().filter(|goal| reached(goal) == verdict).count();
    let (met, missed, unknown) = (number(Some(true)), number(Some(false)), number(None));
    let mut text = format!(
        "\n### Goals\n\nOf {} goals {met} are reached, {missed} are missed, {unknown} were not measured. Times are minima; \
         memory is what all processes of ours have written to and share with nobody, when the program has run for \
         more than a second.\n\n| goal | measured | |\n| --- | --- | --- |\n",
        goals.len()
    );
    for goal in goals {
        let told = goal.found.map_or("not measured".to_owned(), |found| {
            let digits = if found >= 10.0 { 0 } else { 2 };
            format!("{found:.digits$}{}", goal.unit)
        });
        let verdict = match reached(goal) {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        };
        text += &format!("| {} | {told} | {verdict} |\n", goal.what);
    }
    text
}

fn name(row: &Value) -> String {
    row["name"].as_str().unwrap_or_default().to_owned()
}

fn ratio(number: f64) -> String {
    match number {
        small if small < 0.1 => format!("{small:.3}"),
        large if large >= 10.0 => format!("{large:.0}"),
        other => format!("{other:.2}"),
    }
}

/// The lines of a table that end with a number: all that stands before the numbers, and the last of them.
fn ends(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.lines().filter_map(|line| {
        let last = line.split_whitespace().next_back()?;
        last.parse::<f64>().ok()?;
        let words = line.split_whitespace();
        let first: Vec<&str> = match line.starts_with(' ') {
            true => words.take(1).collect(),
            false => words
                .take_while(|word| word.parse::<f64>().is_err())
                .collect(),
        };
        Some((first.join(" "), last))
    })
}

fn rates(together: &str) -> String {
    let mut text = "## Launches at once

`cargo bench --bench launch -- --together`: as many threads as processors start one `/bin/true` after the other. Launches each
second as a part of bwrap's, the best of some turns; more is better.

| way | of bwrap |
| --- | --- |
"
    .to_owned();
    for (way, ratio) in ends(together) {
        text += &format!("| {way} | {ratio} |\n");
    }
    text
}

fn growth(beside: &str, views: &str) -> String {
    let mut text = "## Growth

`cargo bench --bench launch -- --beside`: `--profile memlimit` while so many other sandboxes run, as a part of the time alone.

| others | time |
| --- | --- |
"
    .to_owned();
    for (others, ratio) in ends(beside) {
        text += &format!("| {others} | {ratio} |\n");
    }
    text += "
`cargo bench --bench views`: a launch with so many rules, or in a home directory of so many files. What ten times as much
costs: 10 is linear, 1 is nothing.

| | ten times as much costs |
| --- | --- |
";
    let mut of = String::new();
    for line in views.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.ends_with("costs") {
            of = line.split("  ").next().unwrap_or_default().to_owned();
        } else if let [amount, _, _, costs] = words.as_slice()
            && amount.parse::<u64>().is_ok()
        {
            text += &format!("| {amount} {of} | {costs} |\n");
        }
    }
    text
}

fn work(found: &Value) -> String {
    let mut text = format!(
        "## Inside

`cargo bench --bench inside`: a program's own time inside, without the launch, as a part of its time without a sandbox; the
least of {INSIDE} rounds. 600,000 calls of read and write by `dd`, a walk over `/usr/lib` by `du`, a compilation by `gcc`. *Any
filter* is `benches/filter.c`, which permits everything: what the kernel takes of each call as soon as there is a filter, and no
profile with one can be below. The goal is 1.02 for profiles without rules on the arguments of the calls, beyond that. Landlock
looks at each directory above what is opened, which a walk opens many of: the last row is without it.

| profile | read and write | metadata | compile |
| --- | --- | --- | --- |
"
    );
    for row in found.as_array().into_iter().flatten() {
        let profile = row["profile"].as_str().unwrap_or_default();
        let cells = match row["obstacle"].as_str() {
            Some(why) => format!("not measured: {} | |", why.replace('|', "/")),
            None => {
                let ratios = row["ratios"].as_array().into_iter().flatten();
                let cells: Vec<String> = ratios
                    .map(|ratio| {
                        ratio
                            .as_f64()
                            .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
                    })
                    .collect();
                cells.join(" | ")
            }
        };
        text += &format!("| {profile} | {cells} |\n");
    }
    text
}

fn counts(budget: &str) -> String {
    let mut text = "## Counts

`cargo test --test budget -- --nocapture` counts what does not depend on load, and fails above these bounds: system calls of
all our processes from the `execve` of `sandbox` to that of the program, mounts and forks among them, bytes read from /proc,
instructions of the launcher's user space up to the plan (valgrind), and what stays resident.

```text
"
    .to_owned();
    for line in budget.lines().filter(|line| line.contains(", of ")) {
        // Where the program lies says nothing.
        let line = line.split(", with /").next().unwrap_or(line);
        text += line.trim_start_matches('.');
        text.push('\n');
    }
    text + "```\n"
}

fn sizes(root: &Path) -> String {
    let mut text = "## Sizes\n\n| program | MB |\n| --- | --- |\n".to_owned();
    for program in ["sandbox", "sandboxctl", "sandbox-suid"] {
        let path = root.join("target/dist").join(program);
        // Only one of them may have been built.
        if let Ok(found) = fs::metadata(&path) {
            text += &format!("| `{program}` | {:.1} |\n", found.len() as f64 / 1e6);
        }
    }
    text
}
