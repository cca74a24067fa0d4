//! A second start of a program that runs already: `process.again`.
//!
//! A program that has one instance for each home directory finds its first one by a lock in there, and speaks with it by the
//! session bus or by a socket. From a second sandbox with the same home it sees the lock and reaches nobody. So it is run
//! inside of the first, but only where nothing was asked for that does not hold there: what two starts were told is compared
//! by one digest. Whether that sandbox is what its record says is for [`crate::control::join`] to find out.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::stat::{fstat, stat};

use crate::control::Record;
use crate::control::join::{self, Joinable};
use crate::control::registry::{self, Turn};
use crate::control::sandbox::{self, Refusal, Sandbox};
use crate::exec;
use crate::kernel::at;
use crate::policy::Policy;
use crate::profile::choose;
use crate::profile::key::Section;
use crate::profile::search::Library;
use crate::profile::value::Value;
use crate::report::{SourceMap, escape};

use super::arguments::Launch;
use super::documents::Document;
use super::launch::Ready;
use super::notice::Notifier;
use super::{answer, complain, failed, status};

/// How long somebody who is being started, or looks around too, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What says to the window that it may come to the front. They belong to one click, and so not to the first start.
const OF_THE_CLICK: [&str; 2] = ["XDG_ACTIVATION_TOKEN", "DESKTOP_STARTUP_ID"];

/// All that was asked for, as one digest; none if each start is to have a sandbox of its own. `policy` is without the documents
/// among the arguments.
pub(super) fn asked_for(
    launch: &Launch,
    policy: &Policy,
    names: &[String],
    library: &Library,
    sources: &mut SourceMap,
) -> Option<String> {
    let said = policy.get(Section::Process, "again")?;
    if !matches!(said.value, Value::Word("join")) {
        return None;
    }
    let program = program(launch, names, library, sources);
    let mut said = Said::default();
    said_by(policy, &mut said);
    let always = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];
    // The same rule means another place where such a one differs.
    let variables = always.into_iter().chain(named(&said.0));
    let mut variables: Vec<String> = variables.map(str::to_owned).collect();
    variables.sort_unstable();
    variables.dedup();
    let version = env!("CARGO_PKG_VERSION");
    (version, &policy.private_name, launch.best_effort, program).hash(&mut said);
    for name in variables {
        let value = match name.as_str() {
            "PWD" => std::env::current_dir().ok().map(OsString::from),
            _ => std::env::var_os(&name),
        };
        (name, value).hash(&mut said);
    }
    Some(crate::desktop::digest(&said.0))
}

/// What was said, in bytes: whatever differs is written in another way. Shorter than text, since every byte costs in the digest.
#[derive(Default)]
struct Said(Vec<u8>);

impl Hasher for Said {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Lengths, which are small.
    fn write_usize(&mut self, number: usize) {
        match u8::try_from(number) {
            Ok(small) if small != u8::MAX => self.0.push(small),
            _ => {
                self.0.push(u8::MAX);
                self.write(&number.to_ne_bytes());
            }
        }
    }

    /// Which variant of a type it is.
    fn write_isize(&mut self, number: isize) {
        self.write_usize(number.cast_unsigned());
    }

    /// Of no use: the bytes are.
    fn finish(&self) -> u64 {
        0
    }
}

/// All that holds.
fn said_by(policy: &Policy, said: &mut Said) {
    let degrade: Vec<&String> = policy.degrade.iter().map(|rule| &rule.value).collect();
    (&policy.name, degrade).hash(said);
    for section in Section::ALL {
        for (key, value, _) in policy.section(section) {
            (true, section, key, value).hash(said);
        }
    }
    false.hash(said);
}

/// The variables that stand in rules as `${NAME}`.
fn named(rules: &[u8]) -> impl Iterator<Item = &str> {
    let behind = rules.split(|byte| *byte == b'$').skip(1);
    behind.filter_map(|rest| {
        let rest = rest.strip_prefix(b"{")?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        str::from_utf8(rest.get(..end)?).ok()
    })
}

/// Which program it is: all that a profile names in its `programs` are the same one.
fn program(
    launch: &Launch,
    names: &[String],
    library: &Library,
    sources: &mut SourceMap,
) -> String {
    let program = launch.program().unwrap_or_default().to_string_lossy();
    if program.contains('/') && !choose::is_of_system(&program) {
        let path = absolute(launch.program().unwrap_or_default().to_owned());
        return format!("{path:?}");
    }
    let file = program.rsplit('/').next().unwrap_or(&program);
    match names {
        [name] if choose::names(name, file, library, sources) => "its `programs`".to_owned(),
        _ => format!("`{file}`"),
    }
}

/// A path that was typed from here.
fn absolute(program: OsString) -> OsString {
    if !program.as_bytes().contains(&b'/') {
        return program;
    }
    match std::env::current_dir() {
        Ok(here) => here.join(&program).into(),
        Err(_) => program,
    }
}

/// Where a program is to run.
pub(super) enum Place {
    /// In a sandbox of its own, beside these of the caller's. Whoever else starts one waits until this one has a name.
    Own(Option<Turn>, Vec<Sandbox>),
    /// In this one.
    In(Box<Sandbox>),
}

/// Looks for the sandbox that a program is to be run in.
#[inline(never)] // what it needs of the stack is not to stay with who waits for the program
pub(super) fn place(launch: &Launch, ready: &Ready) -> Place {
    let Some(asked) = ready.again.as_deref().filter(|_| !launch.new) else {
        return Place::Own(None, Vec::new());
    };
    let turn = registry::take_turn(PATIENCE);
    match find(launch, asked) {
        Ok(sandbox) => Place::In(Box::new(sandbox)),
        Err(others) => Place::Own(turn, others),
    }
}

/// The sandbox of the caller's in which all of this holds; else all that run. One that is just being started is waited for, as
/// it may be the one, and so is the end of one that ends.
pub(super) fn find(launch: &Launch, asked: &str) -> Result<Sandbox, Vec<Sandbox>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut in_between = false;
        let mut found: Vec<Sandbox> = Vec::new();
        let mut others: Vec<Sandbox> = Vec::new();
        for sandbox in sandbox::own().sandboxes {
            if !sandbox.entry.is_live() {
                continue;
            }
            if launch
                .name
                .as_deref()
                .is_some_and(|name| name != sandbox.name())
            {
                others.push(sandbox);
                continue;
            }
            match &sandbox.record {
                None => in_between = true,
                Some(record) if record.again.as_deref() != Some(asked) => others.push(sandbox),
                // What ends still has its locks in the home directory.
                Some(_) if sandbox.program().is_err() => in_between = true,
                // Its record is just being written: what binds who joins comes last.
                Some(_) if sandbox.confinement.is_none() => in_between = true,
                Some(_) => found.push(sandbox),
            }
        }
        // The first start has the home directory's lock.
        found.sort_by_key(|sandbox| sandbox.record.as_ref().map(|record| record.created));
        if let Some(first) = found.into_iter().next() {
            return Ok(first);
        }
        if !in_between || Instant::now() > deadline {
            return Err(others);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says that the same program runs under the same profile in one of `others`, and why it is not joined.
#[inline(never)] // what it needs of the stack is not to stay with who waits for the program
pub(super) fn warn_of_another(
    launch: &Launch,
    ready: &Ready,
    others: &[Sandbox],
    sources: &SourceMap,
) {
    if launch.quiet || launch.name.is_some() || others.is_empty() {
        return;
    }
    let program = crate::control::record::escaped(launch.program().unwrap_or_default());
    let file = |program: &str| program.rsplit('/').next().unwrap_or_default().to_owned();
    // Of files that happen to have the same name in two places, each is a profile of its own.
    let mut layers = ready.policy.layers.iter();
    let profile = layers
        .find(|layer| layer.name == ready.policy.name)
        .map(|layer| sources.get(layer.site.source).name.as_str());
    let other = others.iter().find(|sandbox| {
        sandbox.record.as_ref().is_some_and(|record| {
            record.profile == ready.policy.name
                && file(&record.program) == file(&program)
                && source_of(record) == profile
        })
    });
    if let Some(other) = other {
        complain(&format!(
            "sandbox: warning: `{}` runs already in the sandbox `{}`, but not under the same rules: a new sandbox is started\n  \
             the profile was changed since, or the options differ; both may want the same home directory\n",
            escape::line(&file(&program)),
            escape::line(other.name())
        ));
    }
}

/// The file of the profile that a sandbox was started with.
fn source_of(record: &Record) -> Option<&str> {
    let mut layers = record.layers.iter();
    let own = layers.find(|layer| layer.name == record.profile)?;
    Some(&own.source)
}

/// Runs the program in a sandbox, and returns the exit status; none when that sandbox has ended meanwhile.
#[inline(never)] // what it needs of the stack is not to stay with who waits for the program
pub(super) fn run(
    launch: &Launch,
    ready: &Ready,
    sandbox: &Sandbox,
    notifier: &mut Notifier,
) -> Option<i32> {
    let name = escape::line(sandbox.name()).into_owned();
    let headline = format!("sandbox: it could not be run in the sandbox `{name}`");
    let mut failed = |text: &str, status| {
        complain(text);
        notifier.failed(text);
        Some(status)
    };
    if let Err(error) = exec::itself::keep_out_of_reach() {
        let told = failed::tell_of(&headline, &error, &ready.plan, &SourceMap::new());
        return failed(&told.text, told.status);
    }
    let joinable = match join::open(sandbox, false) {
        Ok(joinable) => joinable,
        Err(_) if !is_there(sandbox) => return None,
        Err(refusal) => {
            let refusal = refusal.help("`--new` starts another sandbox");
            return failed(&text(&refusal), status::NOT_SET_UP);
        }
    };
    if let Err(refusal) = shows(&joinable, &name, &ready.documents) {
        return failed(&text(&refusal), status::NOT_SET_UP);
    }
    if launch.verbose {
        complain(&format!(
            "sandbox: it is run in the sandbox `{name}`, which runs already\n"
        ));
    }
    if launch.background && answer(&format!("{}\n", sandbox.name())).is_err() {
        return Some(status::NOT_SET_UP);
    }
    let fixed = ready.policy.get(Section::Process, "working-directory");
    let mut entry = super::join::entry(&joinable, &launch.command);
    entry.program = absolute(entry.program);
    entry.directory = match fixed {
        Some(_) => None,
        None => std::env::current_dir().ok().map(OsString::from),
    };
    let click = OF_THE_CLICK
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    entry.variables.extend(click);
    match super::join::enter("sandbox", &headline, &name, joinable, &entry) {
        Ok(status) => Some(status),
        Err((text, status)) => failed(&text, status),
    }
}

/// Whether a sandbox goes on: its launcher is there, and so is the program.
fn is_there(sandbox: &Sandbox) -> bool {
    sandbox.entry.is_live() && sandbox.program().is_ok()
}

fn text(refusal: &Refusal) -> String {
    super::join::text("sandbox", refusal)
}

/// Whether each document is seen inside: the very same file.
fn shows(joinable: &Joinable, name: &str, documents: &[Document]) -> Result<(), Refusal> {
    let root = File::open(format!("/proc/{}/root", joinable.program)).map_err(|error| {
        Refusal::new(format!(
            "the files of `{name}` cannot be looked at: {error}"
        ))
    })?;
    for document in documents {
        if !is_same(&root, document) {
            return Err(Refusal::new(format!(
                "`{}` is not opened: the program runs already, in the sandbox `{name}`, and that does not show it",
                escape::os(document.real.as_os_str())
            ))
            .help("end the program, and open it again; or put it where the profile shows files")
            .help("--new starts another sandbox, if the program can run twice"));
        }
    }
    Ok(())
}

fn is_same(root: &File, document: &Document) -> bool {
    let identity = |found: nix::sys::stat::FileStat| (found.st_dev, found.st_ino);
    let inside = inside(root, &document.seen);
    inside.is_some() && inside == stat(&document.real).ok().map(identity)
}

fn inside(root: &File, path: &Path) -> Option<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let found = fstat(at::resolve_as_root(root.as_fd(), &path).ok()?).ok()?;
    Some((found.st_dev, found.st_ino))
}

/// What a dry run says of it.
pub(super) fn tell(launch: &Launch, ready: &Ready, sandbox: &Sandbox, sources: &SourceMap) -> i32 {
    if launch.json {
        let told = serde_json::json!({ "joins": sandbox.name(), "profile": ready.policy.name });
        return answer(&format!("{told:#}\n")).err().unwrap_or(status::OK);
    }
    let place = ready
        .policy
        .get(Section::Process, "again")
        .map(|said| format!(" ({})", sources.position(said.site)))
        .unwrap_or_default();
    answer(&format!(
        "{} would be run in the sandbox `{}`, which runs already under the same rules{place}; nothing is run\n  \
         --new shows what a sandbox of its own would be\n",
        escape::os(launch.program().unwrap_or_default()),
        escape::line(sandbox.name())
    ))
    .err()
    .unwrap_or(status::OK)
}
