//! What a launch may cost, in numbers that do not depend on how busy the machine is: system calls until the program is
//! started, and the private memory of what stays behind.
//!
//! `cargo test --test budget -- --nocapture` shows the numbers. The static program that `cargo xtask dist` builds is
//! measured when it is there; else the one that belongs to this test run, whose bounds are looser: it is linked
//! dynamically, and a debug build asks about every descriptor before it closes it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/view.toml");
const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/dist/sandbox");

/// When the newest file below a directory was written.
fn newest(directory: &Path) -> SystemTime {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let times = entries.map(|path| match path.is_dir() {
        true => newest(&path),
        false => path.metadata().unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The program that is measured, and whether it is the one that is released. One that is older than the sources says
/// nothing about them.
fn sandbox() -> (&'static Path, bool) {
    let dist = Path::new(DIST);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let built = dist.metadata().and_then(|found| found.modified());
    if built.is_ok_and(|built| built > newest(&sources)) {
        (dist, true)
    } else {
        (Path::new(env!("CARGO_BIN_EXE_sandbox")), false)
    }
}

/// Who launches.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// Who runs the tests.
    Caller,
    /// An ordinary user, also when root runs the tests: for root more of /proc has to be shut off.
    Ordinary,
}

/// The ordinary user.
const NOBODY: u32 = 65534;

impl Who {
    fn changes(self) -> bool {
        self == Self::Ordinary && nix::unistd::geteuid().is_root()
    }

    /// A home directory without private directories of profiles, for each would be hidden by a mount more.
    fn home(self) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        // Where records of running sandboxes are kept without a runtime directory: the first launch of all makes it.
        let records = home.path().join(".local/state/sandbox/run");
        std::fs::create_dir_all(&records).unwrap();
        std::fs::set_permissions(&records, std::fs::Permissions::from_mode(0o700)).unwrap();
        if self.changes() {
            for directory in records.ancestors().take(5) {
                std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        home
    }

    /// `program` with `line`, in this home.
    fn launch(self, program: &str, home: &Path, line: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(line)
            .current_dir("/usr")
            .env_clear()
            .env("HOME", home)
            .env("PATH", "/usr/bin:/bin");
        if self.changes() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

fn line<'a>(options: &[&'a str], program: &'a str) -> Vec<&'a str> {
    let mut line = options.to_vec();
    line.extend(["--", program]);
    line
}

/// Whether this host lets the sandbox be made at all; says why if not.
fn works(who: Who, options: &[&str]) -> bool {
    let home = who.home();
    let path = sandbox().0.to_str().unwrap();
    let output = who
        .launch(path, home.path(), &line(options, "/bin/true"))
        .output()
        .unwrap();
    if !output.status.success() {
        println!(
            "skipped: this host cannot carry `{}` out: {}",
            options.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    output.status.success()
}

/// What all our processes did between the execve of `sandbox` and that of the program, as strace saw it.
#[derive(Debug, Default, PartialEq)]
struct Done {
    calls: BTreeMap<String, usize>,
    /// Bytes that were read from files of /proc.
    proc_bytes: usize,
}

impl Done {
    fn sum(&self, names: &[&str]) -> usize {
        let times = names.iter().filter_map(|name| self.calls.get(*name));
        times.sum()
    }
}

fn count(trace: &str) -> Done {
    let mut done = Done::default();
    let mut executed = 0;
    // Whose read of a file of /proc is not finished yet.
    let mut reading = BTreeSet::new();
    let result = |line: &str| line.rsplit_once("= ").and_then(|(_, end)| end.parse().ok());
    for line in trace.lines() {
        let mut words = line.splitn(2, ' ');
        let (Some(pid), Some(rest)) = (words.next(), words.next()) else {
            continue;
        };
        if rest.contains("resumed>") && reading.remove(pid) {
            done.proc_bytes += result(line).unwrap_or(0);
        }
        // `<... read resumed>`, `+++ exited`, `--- SIGCHLD`: no call begins there.
        let Some((name, arguments)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            continue;
        }
        if name == "execve" {
            executed += 1;
            // The launcher may run itself once more, from where nobody can write to it.
            if executed == 1 || arguments.starts_with("\"/proc/self/fd/") {
                continue;
            }
            executed = usize::MAX;
            break;
        }
        if name == "read" && arguments.contains("</proc/") {
            match result(line) {
                Some(bytes) => done.proc_bytes += bytes,
                None => {
                    reading.insert(pid);
                }
            }
        }
        *done.calls.entry(name.to_owned()).or_default() += 1;
    }
    assert_eq!(
        executed,
        usize::MAX,
        "the program was not started:\n{trace}"
    );
    done
}

/// None when strace(1) is missing or may not trace here.
fn traced(who: Who, options: &[&str]) -> Option<Done> {
    let strace = Path::new("/usr/bin/strace");
    if !strace.is_file() {
        println!("skipped: strace is not installed");
        return None;
    }
    if !works(who, options) {
        return None;
    }
    let home = who.home();
    // In the home, as the user has to write it.
    let file = home.path().join("trace");
    let mut words = vec![
        "-f",
        "-y",
        "-o",
        file.to_str().unwrap(),
        sandbox().0.to_str().unwrap(),
    ];
    words.extend(line(options, "/bin/true"));
    let output = who
        .launch("/usr/bin/strace", home.path(), &words)
        .output()
        .unwrap();
    if !output.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(count(&std::fs::read_to_string(file).unwrap()))
}

/// Thousands of instructions of the launcher's own until the plan is made and shown; None when valgrind(1) is missing.
fn instructions(who: Who, options: &[&str]) -> Option<usize> {
    let valgrind = "/usr/bin/valgrind";
    if !Path::new(valgrind).is_file() {
        println!("skipped: valgrind is not installed");
        return None;
    }
    let home = who.home();
    let mut words = vec![
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sandbox().0.to_str().unwrap(),
        "--dry-run",
    ];
    words.extend(line(options, "/bin/true"));
    let output = who.launch(valgrind, home.path(), &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = said
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.parse::<usize>().ok());
    if found.is_none() {
        println!("skipped: valgrind says {said}");
    }
    Some(found?.div_ceil(1000))
}

/// What a launch may cost at most. To be lowered when less is reached, and never to be raised.
struct Budget {
    /// System calls of the program that is released, and of the one of a test run.
    calls: [usize; 2],
    mounts: usize,
    forks: usize,
    proc_bytes: usize,
    /// Thousands of instructions of the program that is released.
    instructions: usize,
}

fn hold(name: &str, who: Who, options: &[&str], budget: &Budget) {
    let Some(done) = traced(who, options) else {
        return;
    };
    let (path, dist) = sandbox();
    let [released, other] = budget.calls;
    // How many signals have to be reset is the caller's doing.
    let own = done
        .calls
        .iter()
        .filter(|(name, _)| *name != "rt_sigaction");
    let sum: usize = own.map(|(_, times)| times).sum();
    let mut sorted: Vec<_> = done.calls.iter().collect();
    sorted.sort_by_key(|(name, times)| (std::cmp::Reverse(**times), *name));
    let list: Vec<String> = sorted
        .iter()
        .map(|(name, times)| format!("{name} {times}"))
        .collect();
    println!("{name}, with {}: {}", path.display(), list.join(", "));
    let mut costs = vec![
        ("system calls", sum, if dist { released } else { other }),
        ("mounts", done.sum(&["mount", "move_mount"]), budget.mounts),
        (
            "forks",
            done.sum(&["clone", "clone3", "fork", "vfork"]),
            budget.forks,
        ),
        ("bytes from /proc", done.proc_bytes, budget.proc_bytes),
    ];
    if dist {
        let found = instructions(who, options);
        costs.extend(found.map(|found| ("thousand instructions", found, budget.instructions)));
    } else {
        println!("skipped: instructions are counted of the program that is released only");
    }
    let told: Vec<String> = costs
        .iter()
        .map(|(what, found, most)| format!("{name}: {found} {what}, of {most}"))
        .collect();
    println!("{}", told.join("\n"));
    for ((_, found, most), told) in costs.iter().zip(told) {
        assert!(found <= most, "{told}\n  {}", list.join(", "));
    }
}

// About ten calls of each are for the record of the running sandbox: two places are looked for, the directory's owner is
// checked, the file is made, locked and checked, and, in a view, hidden from the program by a mount. It is written when the
// program has been started. Seventeen more ask for the limits that the launcher was started with, which bind who joins.

#[test]
fn a_view() {
    // Process 1 makes about ten calls before or after the program's exec, so that they vary; and of the directories
    // above the profile each is looked at. Some twenty are the second wall: one for the kernel's version of it, two to make
    // and to enforce it, two for each place, and up to three for each standard descriptor.
    let budget = Budget {
        calls: [338, 397],
        mounts: 16,
        forks: 2,
        proc_bytes: 100,
        instructions: 800,
    };
    hold("view", Who::Ordinary, &["--profile", PROFILE], &budget);
}

#[test]
fn memory_limits() {
    // Limits of control groups depend on how many hierarchies and groups the host has.
    let budget = Budget {
        calls: [274, 386],
        mounts: 0,
        forks: 1,
        proc_bytes: 4000,
        instructions: 535,
    };
    hold("memlimit", Who::Caller, &["--profile", "memlimit"], &budget);
}

#[test]
fn next_to_nothing() {
    let options = ["--no-profile", "--set", "process.no-new-privileges=true"];
    let budget = Budget {
        calls: [98, 136],
        mounts: 0,
        forks: 1,
        proc_bytes: 100,
        instructions: 230,
    };
    hold("no namespaces", Who::Ordinary, &options, &budget);
}

#[test]
fn the_default() {
    // A process, three mounts and some eighty calls are the keeper's: this profile hides names by patterns.
    let budget = Budget {
        calls: [1020, 1246],
        mounts: 57,
        forks: 3,
        proc_bytes: 2400,
        instructions: 7_350,
    };
    hold("default", Who::Ordinary, &["--profile", "default"], &budget);
}

#[test]
fn a_build() {
    let budget = Budget {
        calls: [920, 1096],
        mounts: 54,
        forks: 2,
        proc_bytes: 2400,
        instructions: 6_750,
    };
    hold("build", Who::Ordinary, &["--profile", "build"], &budget);
}

#[test]
fn a_browser() {
    let budget = Budget {
        calls: [982, 1186],
        mounts: 53,
        forks: 2,
        proc_bytes: 4600,
        instructions: 5_500,
    };
    hold("firefox", Who::Ordinary, &["--profile", "firefox"], &budget);
}

/// Private memory of a process: what it has written to, and what is as in its file, in kB; None when it may not be looked
/// at.
fn private(pid: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((field("Private_Dirty:")?, field("Private_Clean:")?))
}

/// The children of a process, in the order in which they were made.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = text.unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

#[test]
fn memory_that_stays() {
    let options = ["--profile", PROFILE];
    let budget = [("the launcher", 48), ("process 1", 20)];
    memory(Who::Ordinary, &options, &budget);
}

#[test]
fn memory_that_stays_without_a_process_1() {
    let options = ["--no-profile", "--set", "process.no-new-privileges=true"];
    // No other process shares what it wrote to before it forked: 136 kB are tables of pointers, which are relocated.
    memory(Who::Ordinary, &options, &[("the launcher, alone", 200)]);
}

#[test]
fn memory_that_stays_of_the_default() {
    // Together less than 150. Where a stack begins in its page is chance: a page more or less for each.
    let budget = [("the launcher", 48), ("process 1", 20), ("the keeper", 48)];
    memory(Who::Ordinary, &["--profile", "default"], &budget);
}

#[test]
fn memory_that_stays_of_a_build() {
    let budget = [("the launcher", 52), ("process 1", 20)];
    memory(Who::Ordinary, &["--profile", "build"], &budget);
}

/// Holds the processes that stay, the launcher first, to their budgets in kB.
fn memory(who: Who, options: &[&str], budgets: &[(&str, u64)]) {
    if !works(who, options) {
        return;
    }
    let (path, dist) = sandbox();
    // Pages of a file that was just built count as dirty until they are on the disk.
    std::fs::File::open(path).unwrap().sync_all().unwrap();
    let home = who.home();
    let mut child = who
        .launch(
            path.to_str().unwrap(),
            home.path(),
            &line(options, "/bin/cat"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "ready").unwrap();
    let mut answer = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut answer)
        .unwrap();
    // After a second the launcher lets go of the pages that it had for the start only.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let launcher = child.id();
    let pids = std::iter::once(launcher).chain(children(launcher));
    let found: Vec<_> = pids.map(private).collect();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(answer, "ready\n");
    // What a sandbox more costs. Pages of the program's file are shared by all of them, and go when memory is short.
    for ((name, released), found) in budgets.iter().zip(found) {
        let budget = if dist { *released } else { 1250 };
        match found {
            None => println!("{name}: only root may look"),
            Some((dirty, clean)) => {
                let told = format!(
                    "{name}: {dirty} kB of dirty private memory, of {budget}; {clean} kB of pages of its file that nobody else has mapped"
                );
                println!("{told}");
                assert!(dirty <= budget, "{told}");
                assert!(!dist || clean <= 1000, "{told}");
            }
        }
    }
}

#[test]
fn counting_stops_at_the_program() {
    let trace = "7 execve(\"/x/sandbox\", [], 0x1 /* 1 var */) = 0\n\
                 7 read(3</proc/self/status>, \"(\", 1) = 1\n\
                 7 read(3</proc/self/status>,  <unfinished ...>\n\
                 8 read(4</etc/passwd>, \"x\", 9) = 9\n\
                 8 clone3({flags=CLONE_NEWNS} <unfinished ...>\n\
                 7 <... read resumed>\"y\", 8) = 8\n\
                 8 <... clone3 resumed>) = 9\n\
                 8 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
                 9 execve(\"/bin/true\", [\"/bin/true\"], 0x2) = 0\n\
                 9 brk(NULL) = 0x3\n";
    let done = count(trace);
    assert_eq!(done.proc_bytes, 9);
    assert_eq!(
        done.calls.into_iter().collect::<Vec<_>>(),
        [("clone3".to_owned(), 1), ("read".to_owned(), 3)]
    );
}
