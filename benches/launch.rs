//! What a launch costs: wall time from spawn to exit of `true`, for this program and for others that do the like, and
//! the memory that stays behind while the program runs.
//!
//! `cargo bench --bench launch [-- [--rounds N] [--json] [--sandbox FILE] [--only WORD] [--ordinary] [--beside]]`, as root or
//! as an ordinary user; with `--ordinary`, root has all of them started by an ordinary one. `--beside` measures something
//! else: launches while 0 to 1,000 others run; and `--together` launches on all processors at once, by the second. Every
//! round runs each command once, in an order that moves on, so that all of them see the same machine. On a machine that does
//! other things too, look at the ratios and the minima. The home directory is an empty one in /tmp, for of another home the
//! sandbox hides parts, which `bwrap` does not do.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "launch/crowd.rs"]
mod crowd;
#[path = "launch/others.rs"]
mod others;
#[path = "launch/together.rs"]
mod together;

const PROGRAM: &str = "/bin/true";
const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/view.toml");
const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/dist/sandbox");
/// The row that others are compared with.
const REFERENCE: &str = "bwrap, the same view";
/// The row whose time is everybody's.
const PLAIN: &str = "no sandbox";
/// The ordinary user that root starts them as where there is no account of a person.
const NOBODY: u32 = 65534;

/// An ordinary user: the newest account of a person (some of the ways serve nobody else), or nobody's.
fn ordinary_user() -> u32 {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let numbers = accounts
        .lines()
        .filter_map(|line| line.split(':').nth(2)?.parse::<u32>().ok());
    let people = numbers.filter(|number| (1000..60_000).contains(number));
    people.max().unwrap_or(NOBODY)
}

struct Options {
    rounds: usize,
    json: bool,
    sandbox: Option<PathBuf>,
    only: Option<String>,
    ordinary: bool,
    beside: bool,
    together: bool,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            rounds: 200,
            json: false,
            sandbox: None,
            only: None,
            ordinary: false,
            beside: false,
            together: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--rounds" => {
                    let text = value()?;
                    options.rounds = text
                        .parse()
                        .ok()
                        .filter(|&rounds| rounds > 0)
                        .ok_or(format!("`{text}` is no number of rounds"))?;
                }
                "--json" => options.json = true,
                "--ordinary" => options.ordinary = nix::unistd::geteuid().is_root(),
                "--beside" => options.beside = true,
                "--together" => options.together = true,
                "--sandbox" => options.sandbox = Some(value()?.into()),
                "--only" => options.only = Some(value()?),
                // What cargo adds.
                "--bench" => {}
                other => return Err(format!("unknown option `{other}`")),
            }
        }
        Ok(options)
    }
}

/// One way of starting a program.
#[derive(Clone)]
struct Case {
    name: &'static str,
    line: Vec<String>,
    home: PathBuf,
    /// Who starts it, if not the caller.
    user: Option<u32>,
}

/// Where the programs that are measured are, and who starts them.
struct Place {
    directory: tempfile::TempDir,
    sandbox: String,
    profile: String,
    user: Option<u32>,
}

impl Place {
    /// A directory in /tmp; for another user with copies of what that user may not reach where it is.
    fn make(sandbox: &str, ordinary: bool) -> std::io::Result<Self> {
        let directory = tempfile::tempdir_in("/tmp")?;
        let mut place = Self {
            sandbox: sandbox.to_owned(),
            profile: PROFILE.to_owned(),
            user: None,
            directory,
        };
        std::fs::create_dir(place.home())?;
        if ordinary {
            let base = place.directory.path();
            std::fs::set_permissions(base, std::fs::Permissions::from_mode(0o755))?;
            let copy = |from: &str, name: &str| {
                let to = base.join(name);
                std::fs::copy(from, &to).map(|_| to.display().to_string())
            };
            let (sandbox, profile) = (copy(sandbox, "sandbox")?, copy(PROFILE, "view.toml")?);
            let user = ordinary_user();
            std::os::unix::fs::chown(place.home(), Some(user), Some(user))?;
            (place.sandbox, place.profile, place.user) = (sandbox, profile, Some(user));
        }
        // Pages of a file that was just built count as dirty until they are on the disk.
        std::fs::File::open(&place.sandbox)?.sync_all()?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    fn case(&self, name: &'static str, line: Vec<String>) -> Case {
        Case {
            name,
            line,
            home: self.home(),
            user: self.user,
        }
    }
}

fn cases(place: &Place) -> Vec<Case> {
    let case = |name, program: &str, arguments: &str| {
        let words = std::iter::once(program).chain(arguments.split_whitespace());
        place.case(name, words.map(str::to_owned).collect())
    };
    let (sandbox, view) = (
        place.sandbox.as_str(),
        format!("--profile {} --", place.profile),
    );
    let mut cases = vec![
        place.case(PLAIN, Vec::new()),
        case(
            "unshare, the same namespaces",
            "/usr/bin/unshare",
            "--user --map-current-user --mount --pid --fork --ipc --uts --cgroup",
        ),
        case(
            REFERENCE,
            "/usr/bin/bwrap",
            "--unshare-all --share-net --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp",
        ),
        case("firejail, default profile", "/usr/bin/firejail", "--quiet"),
        case(
            "sandbox, no namespaces",
            sandbox,
            "--no-profile --set process.no-new-privileges=true --",
        ),
        case("sandbox, the same view", sandbox, &view),
    ];
    cases.extend(
        [
            ("sandbox --profile memlimit", "memlimit"),
            ("sandbox --profile default", "default"),
            ("sandbox --profile build", "build"),
            ("sandbox --profile firefox", "firefox"),
        ]
        .map(|(name, profile)| case(name, sandbox, &format!("--profile {profile} --"))),
    );
    cases
}

impl Case {
    fn command(&self, program: &str) -> Command {
        // A bundle names its program itself; what follows is the container's name, which must be a new one.
        let name = format!("bench-{}", std::process::id());
        let last = if self.is_bundle() { &name } else { program };
        let mut words = self.line.iter().map(String::as_str).chain([last]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words).env("HOME", &self.home);
        if let Some(user) = self.user {
            // With the groups of root go its rights.
            command.uid(user).gid(user).env_remove("XDG_RUNTIME_DIR");
        }
        command
    }

    fn is_bundle(&self) -> bool {
        self.line.iter().any(|word| word == "--bundle")
    }

    /// Why it cannot be measured, if it cannot.
    fn obstacle(&self) -> Option<String> {
        if self
            .line
            .first()
            .is_some_and(|program| !Path::new(program).is_file())
        {
            return Some("not installed".to_owned());
        }
        match self.command(PROGRAM).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                Some(
                    text.lines()
                        .next()
                        .unwrap_or("fails without a word")
                        .to_owned(),
                )
            }
            Err(error) => Some(error.to_string()),
        }
    }

    /// From before spawn to after wait.
    fn time(&self) -> Result<Duration, String> {
        let mut command = self.command(PROGRAM);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = Instant::now();
        let status = command.spawn().and_then(|mut child| child.wait());
        let took = started.elapsed();
        match status {
            Ok(status) if status.success() => Ok(took),
            Ok(status) => Err(format!("`{}` ended with {status}", self.name)),
            Err(error) => Err(format!("`{}`: {error}", self.name)),
        }
    }

    /// Private memory in kB of each process between this one and the program, the outermost first, while it runs.
    fn memory(&self) -> Result<Vec<Memory>, String> {
        let mut child = self
            .command("/bin/cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let measured = (|| {
            let mut line = String::new();
            let (Some(input), Some(output)) = (&mut child.stdin, &mut child.stdout) else {
                return Err("no pipe".to_owned());
            };
            // Once the program answers, all set-up is over.
            writeln!(input, "ready").map_err(|error| error.to_string())?;
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(|error| error.to_string())?;
            // The launcher gives memory back when the program has run for a second.
            std::thread::sleep(Duration::from_millis(1500));
            let mut found = Vec::new();
            let mut left = vec![child.id()];
            while let Some(pid) = left.pop() {
                left.extend(children(pid));
                // All but the program itself.
                found.extend(Some(Memory::of(pid)).filter(|memory| memory.name != "cat"));
            }
            Ok(found)
        })();
        drop(child.stdin.take());
        child.wait().map_err(|error| error.to_string())?;
        measured
    }
}

struct Memory {
    name: String,
    /// Pages that no other process has: those that were written to, and those that are as in the program's file; kB.
    /// None: it may not be looked at.
    sizes: Option<(u64, u64)>,
}

impl Memory {
    fn of(pid: u32) -> Self {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        Self {
            name: name.trim().to_owned(),
            sizes: rollup.ok().map(|text| {
                let sum = |start: &str| {
                    text.lines()
                        .filter(|line| line.starts_with(start))
                        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
                        .sum()
                };
                (sum("Private_Dirty:"), sum("Private_Clean:"))
            }),
        }
    }

    fn text(&self) -> String {
        match self.sizes {
            Some((dirty, clean)) => format!("{} {dirty} ({clean})", self.name),
            None => format!("{} (only root may look)", self.name),
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = text.unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// What was measured of a case.
struct Row {
    case: Case,
    times: Vec<Duration>,
    memory: Vec<Memory>,
}

impl Row {
    fn minimum(&self) -> f64 {
        micros(self.times.first().copied().unwrap_or_default())
    }

    fn median(&self) -> f64 {
        micros(
            self.times
                .get(self.times.len() / 2)
                .copied()
                .unwrap_or_default(),
        )
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn measure(cases: Vec<Case>, rounds: usize) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for case in cases {
        let memory = if case.line.is_empty() || case.is_bundle() {
            Vec::new()
        } else {
            case.memory()?
        };
        rows.push(Row {
            case,
            times: Vec::with_capacity(rounds),
            memory,
        });
    }
    for round in 0..rounds {
        for at in 0..rows.len() {
            let at = (at + round) % rows.len();
            if let Some(row) = rows.get_mut(at) {
                let time = row.case.time()?;
                row.times.push(time);
            }
        }
    }
    for row in &mut rows {
        row.times.sort();
    }
    Ok(rows)
}

/// A case that could not be measured, and why.
type Missing = (&'static str, String);

fn report(rows: &[Row], missing: &[Missing], options: &Options, sandbox: &str) -> String {
    let row = |name: &str| rows.iter().find(|row| row.case.name == name);
    let (plain, reference) = (row(PLAIN), row(REFERENCE));
    let to = |row: &Row, other: &str, time: fn(&Row) -> f64| {
        let other = rows.iter().find(|row| row.case.name == other)?;
        Some(time(row) / time(other))
    };
    let own = |row: &Row, time: fn(&Row) -> f64| time(row) - plain.map_or(0.0, time);
    // What a row takes beside the program itself, as a part of all that the reference takes.
    let part = |row: &Row, time: fn(&Row) -> f64| {
        reference.map(|reference| own(row, time) / time(reference))
    };
    if options.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.case.name,
                    "command": row.case.line.join(" "),
                    "minimum_us": row.minimum(),
                    "median_us": row.median(),
                    "own_minimum_us": own(row, Row::minimum),
                    "own_median_us": own(row, Row::median),
                    "own_minimum_to_bwrap": part(row, Row::minimum),
                    "own_median_to_bwrap": part(row, Row::median),
                    "minimum_to_floor": to(row, others::FLOOR, Row::minimum),
                    "median_to_floor": to(row, others::FLOOR, Row::median),
                    "minimum_to_firejail": to(row, others::FIREJAIL, Row::minimum),
                    "median_to_firejail": to(row, others::FIREJAIL, Row::median),
                    "private_kB": row.memory.iter().map(|memory| json!({
                        "process": memory.name,
                        "dirty": memory.sizes.map(|sizes| sizes.0),
                        "clean": memory.sizes.map(|sizes| sizes.1),
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        let missing: Vec<Value> = missing
            .iter()
            .map(|(name, why)| json!({ "name": name, "why": why }))
            .collect();
        let all = json!({ "sandbox": sandbox, "rounds": options.rounds, "rows": rows, "missing": missing });
        return format!("{all:#}\n");
    }
    let mut text = format!(
        "sandbox: {sandbox}\n{} rounds of `{PROGRAM}`; microseconds from spawn to exit, minimum and median;\n\
         own: without what `{PLAIN}` takes; own/bwrap: as a part of all that `{REFERENCE}` takes\n\n\
         {:<30} {:>15} {:>15} {:>13} {:>13}  private memory meanwhile, dirty (clean), kB\n",
        options.rounds, "", "time", "own", "own/bwrap", "of the floor"
    );
    for row in rows {
        let ratio = |part: Option<f64>| part.map_or("-".to_owned(), |part| format!("{part:.2}"));
        let memory: Vec<String> = row.memory.iter().map(Memory::text).collect();
        text.push_str(&format!(
            "{:<30} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>6} {:>6} {:>6} {:>6}  {}\n",
            row.case.name,
            row.minimum(),
            row.median(),
            own(row, Row::minimum),
            own(row, Row::median),
            ratio(part(row, Row::minimum)),
            ratio(part(row, Row::median)),
            ratio(to(row, others::FLOOR, Row::minimum)),
            ratio(to(row, others::FLOOR, Row::median)),
            memory.join(", ")
        ));
    }
    for (name, why) in missing {
        text.push_str(&format!("{name:<30} {why}\n"));
    }
    text
}

fn run() -> Result<(), String> {
    let options = Options::read()?;
    let sandbox = match &options.sandbox {
        Some(path) => path.display().to_string(),
        None if Path::new(DIST).is_file() => DIST.to_owned(),
        None => env!("CARGO_BIN_EXE_sandbox").to_owned(),
    };
    let place =
        Place::make(&sandbox, options.ordinary).map_err(|error| format!("{sandbox}: {error}"))?;
    let mut cases = cases(&place);
    cases.extend(others::cases(&place));
    if options.together {
        print!("{}", together::measure(&cases)?);
        return Ok(());
    }
    if options.beside {
        let rows = crowd::measure(&place.sandbox, &place.home(), options.rounds)?;
        print!("sandbox: {sandbox}\n{}", crowd::text(&rows));
        return Ok(());
    }
    let mut missing = Vec::new();
    let mut measurable = Vec::new();
    for case in cases {
        let wanted = options
            .only
            .as_ref()
            .is_none_or(|only| case.name.contains(only));
        if !wanted && case.name != PLAIN && case.name != REFERENCE {
            continue;
        }
        match case.obstacle() {
            None => measurable.push(case),
            Some(why) => missing.push((case.name, why)),
        }
    }
    let rows = measure(measurable, options.rounds)?;
    let kind = if sandbox == DIST {
        " (static, `cargo xtask dist`)"
    } else if options.sandbox.is_some() {
        ""
    } else {
        " (dynamic; `cargo xtask dist` makes the static one that is released)"
    };
    print!(
        "{}",
        report(&rows, &missing, &options, &format!("{sandbox}{kind}"))
    );
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("launch: {why}");
            ExitCode::FAILURE
        }
    }
}
