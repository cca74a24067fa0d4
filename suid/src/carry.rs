//! Carrying an order out: becoming the target, irrevocably, and executing; or having the caller's process limited.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::decide::RunOrder;
use crate::rule::Rule;
use crate::sanitise::Limit;
use crate::system;
use crate::trust::{self, Found};

/// Where the launcher and its control program are looked for.
const DIRECTORIES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// CAP_SETUID, linux/capability.h
const SETUID: u32 = 7;

/// Why an order could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit status.
    pub status: i32,
    /// For the log and for root; others are told to ask.
    pub message: String,
    /// Whether the caller may be told.
    pub public: bool,
}

impl Failure {
    fn private(message: impl Into<String>) -> Self {
        Self {
            status: 126,
            message: message.into(),
            public: false,
        }
    }

    fn public(status: i32, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            public: true,
        }
    }
}

fn installed(name: &str) -> Result<(String, OwnedFd), Failure> {
    for directory in DIRECTORIES {
        let path = format!("{directory}/{name}");
        if let Found::File(file) = trust::program(&path).map_err(Failure::private)? {
            return Ok((path, file));
        }
    }
    Err(Failure::private(format!(
        "`{name}` is in neither {}",
        DIRECTORIES.join(" nor ")
    )))
}

/// The arguments of `sandboxctl attach` that put a process under a rule's limits.
fn attach_arguments(rule: &Rule, process: &Process) -> Vec<String> {
    let mut arguments = vec![
        "attach".to_owned(),
        "--system-profiles".to_owned(),
        "--limits-only".to_owned(),
    ];
    if let Some(profile) = &rule.profile {
        arguments.extend(["--profile".to_owned(), profile.clone()]);
    }
    for (key, value) in &rule.limits {
        arguments.extend(["--set".to_owned(), format!("limits.{key}={value}")]);
    }
    arguments.extend(["--name".to_owned(), rule.name.clone()]);
    arguments.extend(["--started".to_owned(), process.started.to_string()]);
    arguments.extend(["--owner".to_owned(), process.uid.to_string()]);
    arguments.push(process.pid.to_string());
    arguments
}

/// A process, named so that its number cannot pass to another one unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    /// Start time in clock ticks since boot.
    started: u64,
    /// Real user id.
    uid: u32,
}

fn process(pid: i32) -> Result<Process, Failure> {
    let read = |file: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/{file}"))
            .map_err(|error| Failure::private(format!("cannot read /proc/{pid}/{file}: {error}")))
    };
    let status = read("status")?;
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().next())
        .and_then(crate::accounts::id)
        .ok_or_else(|| Failure::private("/proc does not say whose the process is"))?;
    // The command's name may hold blanks and brackets: the fields are counted from the last one.
    let stat = read("stat")?;
    let started = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| Failure::private("/proc does not say when the process started"))?;
    Ok(Process { pid, started, uid })
}

/// Runs `sandboxctl attach` as root, with nothing of the caller's.
fn attach(rule: &Rule, process: &Process) -> Result<(), Failure> {
    let (path, _) = installed("sandboxctl")?;
    let output = Command::new(&path)
        .args(attach_arguments(rule, process))
        // Root in every respect, so that the caller can neither signal nor trace it, and no groups of the caller's.
        .uid(0)
        .gid(0)
        .env_clear()
        .env("PATH", crate::environment::PATH)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        // Not half-way ended or stopped by a key that is pressed on the caller's terminal.
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::private(format!("cannot run {path}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::private(format!(
        "{path} attach ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// Puts the process that called us under the limits of a rule.
///
/// # Errors
/// The process has ended or is not the caller's own; the limits cannot be set.
pub fn limit_caller(rule: &Rule, uid: u32) -> Result<(), Failure> {
    let gone = || Failure::public(126, "the process that called has ended");
    let pid = system::parent();
    if pid <= 1 {
        return Err(gone());
    }
    let handle = system::open_process(pid).map_err(|_| gone())?;
    let parent = process(pid)?;
    // Still our parent and alive after it was opened: number, descriptor and what /proc says mean one process.
    if system::parent() != pid || !system::is_alive(handle.as_fd()) {
        return Err(gone());
    }
    if parent.uid != uid {
        return Err(Failure::public(
            126,
            "the process that called is not your own: call from a shell of yours",
        ));
    }
    attach(rule, &parent)
}

/// Becomes the target and executes. Returns only if that fails. `limits` are those that the caller had.
///
/// # Errors
/// Which step failed; nothing was run.
pub fn run(rule: &Rule, order: &RunOrder, origin: u32, limits: &[Limit]) -> Failure {
    match prepare(rule, order, origin, limits) {
        Ok((program, arguments, environment)) => {
            let error = system::execute(program.as_fd(), &arguments, &environment);
            let status = if error.raw_os_error() == Some(libc::ENOENT) {
                127
            } else {
                126
            };
            Failure::public(status, format!("cannot execute {}: {error}", order.program))
        }
        Err(failure) => failure,
    }
}

type Ready = (OwnedFd, Vec<CString>, Vec<CString>);

fn strings(texts: &[Vec<u8>]) -> Result<Vec<CString>, Failure> {
    texts
        .iter()
        .map(|text| {
            CString::new(text.as_slice()).map_err(|_| Failure::private("a string contains a NUL"))
        })
        .collect()
}

fn prepare(rule: &Rule, order: &RunOrder, origin: u32, limits: &[Limit]) -> Result<Ready, Failure> {
    let program = match trust::program(&order.program).map_err(Failure::private)? {
        Found::File(file) => file,
        Found::Missing => {
            return Err(Failure::public(
                127,
                format!("{} is not installed", order.program),
            ));
        }
    };
    let environment = strings(&order.environment)?;
    let (program, arguments) = match &rule.profile {
        None => (program, strings(&order.arguments)?),
        Some(profile) => {
            let (path, launcher) = installed("sandbox")?;
            let mut all: Vec<Vec<u8>> = [&path, "--system-profiles", "--profile", profile, "--"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec();
            all.push(order.program.clone().into_bytes());
            all.extend(order.arguments.iter().skip(1).cloned());
            (launcher, strings(&all)?)
        }
    };
    // Only root can set limits that hold for whoever the target is.
    if !rule.limits.is_empty() {
        let own = process(i32::try_from(std::process::id()).unwrap_or(0))?;
        let alone = Rule {
            profile: None,
            ..rule.clone()
        };
        attach(&alone, &own)?;
    }
    if order.uid == origin {
        // What the administrator limits somebody to at login (pam_limits) no rule that leaves them who they are undoes.
        for limit in limits {
            system::set_limit(limit.resource, limit.soft, limit.hard).map_err(|error| {
                Failure::private(format!("cannot set the caller's own limits again: {error}"))
            })?;
        }
    }
    if order.uid != 0 && order.uid != origin {
        // The program is neither the caller nor root: it must not type into the caller's terminal.
        system::forbid_terminal_injection().map_err(|error| {
            Failure::private(format!(
                "cannot keep the program from the terminal: {error}"
            ))
        })?;
    }
    let keeps = order.uid != 0 && !order.capabilities.is_empty();
    if keeps {
        system::keep_capabilities(true)
            .map_err(|error| Failure::private(format!("cannot keep capabilities: {error}")))?;
    }
    become_target(order)?;
    if order.uid != origin {
        // Now, so that it is the target's.
        system::new_session_keyring().map_err(|error| {
            Failure::private(format!("cannot keep the caller's keys away: {error}"))
        })?;
    }
    if keeps {
        system::limit_capabilities(&order.capabilities).map_err(|error| {
            Failure::private(format!(
                "cannot limit the capabilities to those of the rule: {error}"
            ))
        })?;
        // Once more, now that nothing else is left: neither root nor a capability by which it could come back.
        if system::can_regain_root() && !order.capabilities.contains(&SETUID) {
            return Err(Failure::private("root's rights could be taken back"));
        }
    }
    system::set_umask(order.umask);
    if let Some(directory) = &order.directory {
        let path = CString::new(directory.as_str())
            .map_err(|_| Failure::private("the directory contains a NUL"))?;
        system::change_directory(&path)
            .map_err(|error| Failure::private(format!("cannot change to {directory}: {error}")))?;
    }
    Ok((program, arguments, environment))
}

fn become_target(order: &RunOrder) -> Result<(), Failure> {
    let failed = |what: &str, error: io::Error| Failure::private(format!("{what}: {error}"));
    if order.uid == u32::MAX || order.gid == u32::MAX {
        return Err(Failure::private("-1 is nobody's id"));
    }
    system::become_user(order.uid, order.gid, &order.groups)
        .map_err(|error| failed("cannot become the target", error))?;
    let ids = system::ids().map_err(|error| failed("cannot read the ids back", error))?;
    let mut groups =
        system::groups().map_err(|error| failed("cannot read the groups back", error))?;
    let mut wanted = order.groups.clone();
    groups.sort_unstable();
    wanted.sort_unstable();
    wanted.dedup();
    groups.dedup();
    if ids.uids != [order.uid; 3] || ids.gids != [order.gid; 3] || groups != wanted {
        return Err(Failure::private("the ids are not those that were set"));
    }
    // With capabilities to be kept they are all there until they are limited.
    if order.uid != 0 && order.capabilities.is_empty() && system::can_regain_root() {
        return Err(Failure::private("root's rights could be taken back"));
    }
    Ok(())
}
