//! The frame that cases of the `launch` tests are written in.
//!
//! A topic is a file with `pub fn cases() -> Vec<Case>`, named in `main.rs`. A case
//! states what it needs from the host and gets a [`Scene`]:
//!
//! ```ignore
//! pub fn cases() -> Vec<Case> {
//!     vec![case("first_process", &[Need::UserNamespaces], first_process)]
//! }
//!
//! fn first_process(scene: &Scene) -> Outcome {
//!     let out = scene
//!         .sandbox()
//!         .profile_text("[namespaces]\npid = true\n")?
//!         .program(["sh", "-c", "echo $$"])
//!         .run()?;
//!     out.succeeds()?;
//!     assert_eq!(out.stdout(), "1\n");
//!     Ok(())
//! }
//! ```
//!
//! A case that fails is run once more, as a busy host and a kernel short of memory decide about many; that is printed as
//! `RETRIED NAME: REASON`, and no more than [`RETRIES`] of a run get it. What a case leaves behind is never forgiven.
//!
//! Cases run one after the other. After each, the frame looks for processes, cgroups,
//! mounts and descriptors that it left, removes what it can, and fails the case.
//!
//! When the host lacks a need, the case is reported as ignored and
//! `SKIPPED NAME: REASON` is printed; unless the need is listed in the variable
//! `SANDBOX_TEST_REQUIRE` (comma-separated, spelled as [`Need`] displays), which makes
//! it fail.

mod deeds;
mod host;
mod inject;
mod leaks;
mod probe;
pub mod sandbox;
mod scene;
mod stalk;

pub use host::{Host, Layout, Need, on_path, refused_limits};
pub use leaks::Traces;
pub use probe::{Answer, foreign};
pub use sandbox::{Finished, Sandbox};
pub use scene::{Scene, binary, own_path, unique};

use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::unistd::Pid;

/// What a case ends with; a failed assertion may panic as well.
pub type Outcome = Result<(), Box<dyn Error>>;

/// One test.
pub struct Case {
    name: &'static str,
    needs: &'static [Need],
    check: Box<dyn Fn(&Scene) -> Outcome + Send>,
}

/// A case called `name` within its topic, to be run where `needs` are met.
pub fn case(
    name: &'static str,
    needs: &'static [Need],
    check: impl Fn(&Scene) -> Outcome + Send + 'static,
) -> Case {
    let check = Box::new(check);
    Case { name, needs, check }
}

/// A topic: its name, and the function that lists its cases.
pub type Topic = (&'static str, fn() -> Vec<Case>);

/// Runs a probe if the arguments say so, else the cases of `topics`.
pub fn main(topics: &[Topic]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, name, rest @ ..] = arguments.as_slice()
        && first == "probe"
    {
        return probe::run(name, rest);
    }

    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // what a case leaves behind is found by comparison
    if arguments.list {
        let trials = topics.iter().flat_map(|(topic, cases)| {
            cases()
                .into_iter()
                .map(move |case| Trial::test(format!("{topic}::{}", case.name), || Ok(())))
        });
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }

    if let Some(status) = elsewhere() {
        return status;
    }
    note_panics();
    if let Err(reason) = leaks::isolate() {
        println!("note: {reason}");
    }
    let host = Arc::new(Host::probe());
    let required = match required() {
        Ok(required) => required,
        Err(wrong) => {
            eprintln!("SANDBOX_TEST_REQUIRE: {wrong}");
            return ExitCode::from(2);
        }
    };
    println!("host: {host}");
    let mut trials = Vec::new();
    // A host that differs in one thing from another only needs the topics that depend on it.
    let wanted = std::env::var("SANDBOX_TEST_TOPICS").unwrap_or_default();
    let is_wanted = |topic: &str| wanted.is_empty() || wanted.split(',').any(|name| name == topic);
    if let Some(unknown) = wanted
        .split(',')
        .find(|name| !name.is_empty() && !topics.iter().any(|(topic, _)| topic == name))
    {
        eprintln!("SANDBOX_TEST_TOPICS: `{unknown}` is not a topic");
        return ExitCode::from(2);
    }
    for (topic, cases) in topics.iter().filter(|(topic, _)| is_wanted(topic)) {
        for case in cases() {
            trials.push(trial(topic, case, &host, &required, &arguments));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A scene outside of any case, as for a report: what is left behind in it is not looked for.
///
/// # Errors
///
/// The scene's folders cannot be made.
pub fn stage() -> std::io::Result<Scene> {
    if let Err(reason) = leaks::isolate() {
        eprintln!("note: {reason}");
    }
    Scene::new(Arc::new(Host::probe()))
}

/// Profiles replace /tmp, and with it a test program that was built there, as from a checkout below it: then all runs as
/// a copy in another place. `None`: it may stay where it is.
fn elsewhere() -> Option<ExitCode> {
    let own = own_path();
    if !own.starts_with("/tmp") {
        return None;
    }
    let folder = scene::above().join(format!("sandbox-test-program-{}", std::process::id()));
    let copy = folder.join("launch");
    let copied = fs::create_dir(&folder).and_then(|()| fs::copy(&own, &copy).map(drop));
    let ended = copied.and_then(|()| {
        std::process::Command::new(&copy)
            .args(std::env::args_os().skip(1))
            .status()
    });
    let removed = fs::remove_dir_all(&folder);
    let failed = |error: std::io::Error| {
        eprintln!(
            "the test program cannot be run from {}: {error}",
            folder.display()
        );
        ExitCode::FAILURE
    };
    Some(match ended.and_then(|status| removed.map(|()| status)) {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ),
        Err(error) => failed(error),
    })
}

/// The needs that must be met, from the environment.
fn required() -> Result<Vec<String>, String> {
    let listed = std::env::var("SANDBOX_TEST_REQUIRE").unwrap_or_default();
    let names = listed.split(',').map(str::trim).filter(|n| !n.is_empty());
    names
        .map(|name| {
            if Need::is_name(name) {
                Ok(name.to_owned())
            } else {
                Err(format!("`{name}` is not a need"))
            }
        })
        .collect()
}

fn trial(
    topic: &str,
    case: Case,
    host: &Arc<Host>,
    required: &[String],
    arguments: &Arguments,
) -> Trial {
    let name = format!("{topic}::{}", case.name);
    let unmet: Vec<(String, String)> = case
        .needs
        .iter()
        .filter_map(|need| host.lacks(need).map(|reason| (need.to_string(), reason)))
        .collect();
    if let Some((need, reason)) = unmet.iter().find(|(need, _)| required.contains(need)) {
        let failure = format!("`{need}` is required here, and {reason}");
        return Trial::test(name, move || Err(Failed::from(failure)));
    }
    if !unmet.is_empty() {
        let reasons: Vec<String> = unmet.into_iter().map(|(_, reason)| reason).collect();
        let reason = reasons.join("; ");
        if selected(arguments, &name) {
            println!("SKIPPED {name}: {reason}");
        }
        return Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)));
    }
    let host = Arc::clone(host);
    Trial::test(name.clone(), move || perform(&name, &case, &host))
}

/// Whether the command line's filters leave this case in.
fn selected(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &String| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter.as_str())
        }
    };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

/// How many cases of a run are given a second try.
const RETRIES: u32 = 5;

static RETRIED: AtomicU32 = AtomicU32::new(0);

/// Runs one case, and once more if it fails.
fn perform(name: &str, case: &Case, host: &Arc<Host>) -> Result<(), Failed> {
    let first = attempt(case, host);
    let Err(Complaint::Failed(reason)) = &first else {
        return first.map_err(Complaint::into);
    };
    if RETRIED.fetch_add(1, Ordering::Relaxed) >= RETRIES {
        return first.map_err(Complaint::into);
    }
    println!("RETRIED {name}: {}", reason.replace('\n', "\nRETRIED   "));
    attempt(case, host).map_err(Complaint::into)
}

/// What is wrong with a case.
enum Complaint {
    /// What it found is not what it was to find.
    Failed(String),
    /// It left something behind.
    Left(String),
}

impl From<Complaint> for Failed {
    fn from(complaint: Complaint) -> Self {
        match complaint {
            Complaint::Failed(text) | Complaint::Left(text) => Failed::from(text),
        }
    }
}

/// Runs one case, then looks for what it left behind.
fn attempt(case: &Case, host: &Arc<Host>) -> Result<(), Complaint> {
    let before = Traces::take();
    let scene = Scene::new(Arc::clone(host))
        .map_err(|error| Complaint::Failed(format!("no scene: {error}")))?;
    let failed = match catch_unwind(AssertUnwindSafe(|| (case.check)(&scene))) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(noted_panic()),
    };
    let mut left = before.clean_up(); // first, as a mount may lie in the scene
    if let Err(error) = scene.remove() {
        left.push(format!("left behind: {error}"));
    }
    match failed {
        None if left.is_empty() => Ok(()),
        // A case that ends in the middle leaves what it would have ended.
        Some(failed) => Err(Complaint::Failed(
            std::iter::once(failed)
                .chain(left)
                .collect::<Vec<_>>()
                .join("\n"),
        )),
        None => Err(Complaint::Left(left.join("\n"))),
    }
}

/// Message and place of the latest panic, kept for the report.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
}

fn noted_panic() -> String {
    std::mem::take(&mut *PANIC.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits until something is so; whether it was in time.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Whether a process has ended, be it still a zombie.
pub fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit_once(") ") {
        Some((_, rest)) => rest.starts_with('Z') || rest.starts_with('X'),
        None => true,
    }
}
