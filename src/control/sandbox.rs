//! A running sandbox: its record, and what can be reached by it.

use std::collections::BTreeSet;

use super::process::{self, Lost, Process};
use super::record::Record;
use super::registry::{self, Entry, Whose};
use crate::exec::group::Directories;

/// What a sandbox is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its program has not been started yet.
    Starting,
    /// It runs.
    Running,
    /// It runs, but none of its processes gets the CPU.
    Frozen,
    /// It runs, but its launcher was killed.
    Orphaned,
    /// Its program has ended; the launcher tidies up.
    Ending,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Orphaned => "orphaned",
            Self::Ending => "ending",
        })
    }
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// The file.
    pub entry: Entry,
    /// What it says; none while the sandbox is being set up.
    pub record: Option<Record>,
    /// The policy that it was started with, as JSON.
    pub policy: Option<String>,
    /// What binds those who join it, as JSON.
    pub confinement: Option<String>,
}

/// Why nothing can be done to a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is the matter.
    pub message: String,
    /// What would help, a line each.
    pub help: Vec<String>,
}

impl Refusal {
    /// A refusal without advice.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Vec::new(),
        }
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }

    /// Adds several lines of advice.
    #[must_use]
    pub fn help_all(mut self, lines: Vec<String>) -> Self {
        self.help.extend(lines);
        self
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Sandbox {
    /// Reads what a record says.
    ///
    /// # Errors
    /// It is none of ours, in words.
    pub fn of(entry: Entry) -> Result<Self, String> {
        let content = entry.content()?;
        Ok(Self {
            entry,
            record: content.record,
            policy: content.policy,
            confinement: content.confinement,
        })
    }

    /// Reads the record again, which may have been written meanwhile.
    pub fn refresh(&mut self) {
        if let Ok(content) = self.entry.content() {
            self.record = content.record;
            self.policy = content.policy;
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.entry.name()
    }

    /// Whose it is.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.entry.uid()
    }

    /// What is written down about it.
    ///
    /// # Errors
    /// It is still being set up.
    pub fn record(&self) -> Result<&Record, Refusal> {
        self.record.as_ref().ok_or_else(|| {
            Refusal::new(format!("`{}` is still being started", self.name())).help("try again")
        })
    }

    /// The launcher's child, to be acted upon: process 1 of the sandbox if it has one, else the program.
    ///
    /// # Errors
    /// It has ended, or the record does not tell the truth.
    pub fn child(&self) -> Result<Process, Refusal> {
        process::child(self.record()?, self.uid()).map_err(|lost| self.lost(&lost))
    }

    /// The program itself.
    ///
    /// # Errors
    /// As for [`Sandbox::child`].
    pub fn program(&self) -> Result<Process, Refusal> {
        let record = self.record()?;
        if !process::is_here(record) {
            return Err(self.lost(&Lost::Elsewhere));
        }
        let id = record.program_process.unwrap_or(record.child);
        Process::open(id, self.uid()).map_err(|lost| self.lost(&lost))
    }

    fn lost(&self, lost: &Lost) -> Refusal {
        Refusal::new(format!("`{}` cannot be reached: {lost}", self.name()))
    }

    /// Its control group, opened; none when it has no limits.
    ///
    /// # Errors
    /// It is gone; or what the record names is no group of the user whose record it is.
    pub fn group(&self) -> Result<Option<Directories>, Refusal> {
        open_group(self.record()?, self.uid())
    }

    /// Its processes by their numbers outside: those of its group, or, without one, its child and all below it.
    ///
    /// # Errors
    /// As for [`Sandbox::group`] and [`Sandbox::child`].
    pub fn processes(&self) -> Result<BTreeSet<i32>, Refusal> {
        if let Some(group) = self.group()? {
            return Ok(group.processes());
        }
        let child = self.child()?;
        Ok(process::descendants(child.pid(), &process::table()))
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let Some(record) = &self.record else {
            return Status::Starting;
        };
        if record.attached {
            return self.status_of_attached();
        }
        match process::child(record, self.uid()) {
            Err(Lost::Gone) => return Status::Ending,
            Ok(_) if !self.entry.is_live() => return Status::Orphaned,
            _ => {}
        }
        match self.group() {
            Ok(Some(group)) if group.is_frozen() => Status::Frozen,
            _ => Status::Running,
        }
    }

    /// How long it has been running, in milliseconds.
    #[must_use]
    pub fn age(&self) -> Option<u64> {
        Some(now().saturating_sub(self.record.as_ref()?.created))
    }
}

/// Opens the control group of a record of `uid`; none when it has no limits.
///
/// # Errors
/// As for [`Sandbox::group`].
pub(super) fn open_group(record: &Record, uid: u32) -> Result<Option<Directories>, Refusal> {
    if record.group.is_empty() {
        return Ok(None);
    }
    let gone = |error: &dyn std::fmt::Display| {
        Refusal::new(format!(
            "the control group of `{}` cannot be opened: {error}",
            record.name
        ))
    };
    let group = Directories::open(&record.group).map_err(|error| gone(&error))?;
    for (version, directory) in group.each() {
        if directory.version() != Some(version) {
            return Err(gone(&format!(
                "`{}` is no control group",
                crate::report::escape::os(directory.path().as_os_str())
            )));
        }
        // The kernel lets root write everywhere, so that root has to ask whose it is: only who may make groups in a place
        // has made one there.
        let owner = directory.owner().map_err(|error| gone(&error))?;
        if uid != 0 && owner != uid {
            return Err(gone(&format!(
                "`{}` belongs to user {owner}, and the record to user {uid}",
                crate::report::escape::os(directory.path().as_os_str()),
            )));
        }
    }
    Ok(Some(group))
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// All running sandboxes that the caller may see.
#[derive(Debug, Default)]
pub struct All {
    /// By user and name.
    pub sandboxes: Vec<Sandbox>,
    /// What is not used, and why.
    pub passed_over: Vec<String>,
}

/// Finds all running sandboxes that the caller may see: one's own, for root everybody's.
#[must_use]
pub fn all() -> All {
    of(Whose::Seen)
}

/// Finds all running sandboxes of the caller's.
#[must_use]
pub fn own() -> All {
    of(Whose::Own)
}

fn of(whose: Whose) -> All {
    let found = registry::find(whose);
    let mut all = All {
        passed_over: found.passed_over,
        ..All::default()
    };
    for entry in found.entries {
        let path = entry.path();
        match Sandbox::of(entry) {
            Ok(sandbox) => all.sandboxes.push(sandbox),
            Err(reason) => all.passed_over.push(format!(
                "`{}` {reason}",
                crate::report::escape::os(path.as_os_str())
            )),
        }
    }
    all.sandboxes
        .sort_by(|a, b| (a.uid(), a.name()).cmp(&(b.uid(), b.name())));
    all
}

/// Finds one by its name; root may say `USER/NAME` where several users have one of that name.
///
/// # Errors
/// There is none, with names that are near and all that there are; or there are several.
pub fn find(name: &str) -> Result<Sandbox, Refusal> {
    let all = all();
    let (user, plain) = match name.split_once('/') {
        Some((user, plain)) => (Some(user), plain),
        None => (None, name),
    };
    let is_users = |sandbox: &Sandbox| {
        user.is_none_or(|user| {
            user == user_name(sandbox.uid()) || user.parse() == Ok(sandbox.uid())
        })
    };
    let names: Vec<String> = all
        .sandboxes
        .iter()
        .map(|sandbox| sandbox.name().to_owned())
        .collect();
    let mut found: Vec<Sandbox> = all
        .sandboxes
        .into_iter()
        .filter(|sandbox| sandbox.name() == plain && is_users(sandbox))
        .collect();
    let told = crate::report::escape::line(name);
    match (found.pop(), found.is_empty()) {
        (Some(sandbox), true) => Ok(sandbox),
        (Some(last), false) => {
            found.push(last);
            let all: Vec<String> = found
                .iter()
                .map(|sandbox| format!("{}/{}", user_name(sandbox.uid()), sandbox.name()))
                .collect();
            Err(
                Refusal::new(format!("several users run a sandbox named `{told}`"))
                    .help(format!("say which: {}", all.join(", "))),
            )
        }
        (None, _) => Err(unknown(name, &names, all.passed_over)),
    }
}

fn unknown(name: &str, names: &[String], passed_over: Vec<String>) -> Refusal {
    const MANY: usize = 10;
    let told = crate::report::escape::line(name);
    let mut refusal = Refusal::new(format!("no sandbox named `{told}` is running"));
    let candidates = names.iter().map(String::as_str);
    if let Some(near) = crate::report::suggest::nearest(name, candidates) {
        refusal = refusal.help(format!("did you mean `{near}`?"));
    }
    refusal = refusal.help(match names {
        [] => "none is running; `sandbox PROGRAM` starts one".to_owned(),
        names if names.len() > MANY => format!(
            "running: {} and {} more, see `sandboxctl list`",
            names.get(..MANY).unwrap_or_default().join(", "),
            names.len() - MANY
        ),
        names => format!("running: {}", names.join(", ")),
    });
    for reason in passed_over {
        refusal = refusal.help(reason);
    }
    refusal
}

/// What a user is called; the number when the user database does not say.
#[must_use]
pub fn user_name(uid: u32) -> String {
    crate::host::login_name(uid).unwrap_or_else(|| uid.to_string())
}
