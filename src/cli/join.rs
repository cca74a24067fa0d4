//! `sandboxctl join`: a program in a sandbox that runs already.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::confinement::Entry;
use crate::control::join::{self, Joinable};
use crate::control::sandbox::{self, Refusal, Sandbox};
use crate::exec::{self, Remark};
use crate::kernel::{at, capability, descriptor, machine, process, terminal};
use crate::plan::Plan;
use crate::report::{SourceMap, escape};

use super::{complain, failed, status};

/// How long a sandbox that is being started is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a program in a running sandbox and ends with its status.
///
/// # Errors
/// The exit status.
pub(super) fn join(name: &str, as_root: bool, command: &[OsString]) -> Result<(), i32> {
    let headline = format!("sandboxctl: `{}` could not be joined", escape::line(name));
    exec::itself::keep_out_of_reach().map_err(|error| {
        let told = failed::tell_of(&headline, &error, &Plan::default(), &SourceMap::new());
        complain(&told.text);
        told.status
    })?;
    let joinable = find(name)
        .and_then(|sandbox| join::open(&sandbox, as_root))
        .map_err(|refusal| refuse(&refusal))?;
    let entry = Entry {
        as_root,
        ..entry(&joinable, command)
    };
    let told = escape::line(name);
    match enter("sandboxctl", &headline, &told, joinable, &entry) {
        Ok(status::OK) => Ok(()),
        Ok(other) => Err(other),
        Err((text, status)) => {
            complain(&text);
            Err(status)
        }
    }
}

/// Runs a program in a sandbox and returns its status. `caller` is who says what, and `name` what the sandbox is called, to be
/// shown.
///
/// # Errors
/// Why it was not run, and the exit status.
pub(super) fn enter(
    caller: &str,
    headline: &str,
    name: &str,
    joinable: Joinable,
    entry: &Entry,
) -> Result<i32, (String, i32)> {
    let refused = |reason: String| (text(caller, &Refusal::new(reason)), status::NOT_SET_UP);
    let plan = joinable.confinement.plan(entry).map_err(|reason| {
        refused(format!(
            "`{name}` is not joined: what its record says binds it makes no sense: {reason}"
        ))
    })?;
    hand_on(&joinable).map_err(refused)?;
    let mut tell = |remark| {
        if let Remark::Dropped { step, errno } = remark
            && let Some(step) = plan.steps.get(step)
        {
            complain(&format!(
                "{caller}: warning: not done: {}: {}\n",
                escape::line(&step.action.describe()),
                errno.desc()
            ));
        }
    };
    exec::prepare_join(&plan, joinable.target)
        .and_then(|mut prepared| exec::launch(&mut prepared, None, &mut tell))
        .map(|outcome| outcome.ending.status())
        .map_err(|error| {
            let told = failed::tell_of(headline, &error, &plan, &SourceMap::new());
            (told.text, told.status)
        })
}

/// Finds a sandbox, and waits a moment for one that is just being started.
fn find(name: &str) -> Result<Sandbox, Refusal> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sandbox = sandbox::find(name)?;
        if sandbox.record.is_some() || !sandbox.entry.is_live() || Instant::now() > deadline {
            return Ok(sandbox);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Tells why not.
fn refuse(refusal: &Refusal) -> i32 {
    complain(&text("sandboxctl", refusal));
    status::NOT_SET_UP
}

/// Why not, and what would help.
pub(super) fn text(caller: &str, refusal: &Refusal) -> String {
    let mut text = format!("{caller}: {}\n", refusal.message);
    for line in &refusal.help {
        text.push_str(&format!("  help: {line}\n"));
    }
    text
}

/// What is to be run, and with which terminal.
pub(super) fn entry(joinable: &Joinable, command: &[OsString]) -> Entry {
    let terminal = (0..3).any(|fd| terminal::is_terminal(descriptor::stream(fd)));
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (program.clone(), arguments.to_vec()),
        None => (shell(joinable.program), Vec::new()),
    };
    let variables = match std::env::var_os("TERM") {
        Some(term) if terminal => vec![("TERM".into(), term)],
        _ => Vec::new(),
    };
    Entry {
        program,
        arguments,
        terminal,
        variables,
        bounding: bounding(joinable),
        as_root: false,
        directory: None,
    }
}

/// The bounding set of the sandbox's program and the highest capability, where the caller's own has more.
fn bounding(joinable: &Joinable) -> Option<(u64, u32)> {
    let theirs = joinable.bounding?;
    let last = machine::last_capability();
    let has = |number| capability::in_bounding(number) != Ok(false);
    let has_more = (0..=last).any(|number| has(number) && theirs & (1 << number) == 0);
    Some((theirs, last)).filter(|_| has_more)
}

/// The caller's shell if it is there inside.
fn shell(program: i32) -> OsString {
    let usual = OsString::from("/bin/sh");
    let Some(own) = std::env::var_os("SHELL").filter(|path| Path::new(path).is_absolute()) else {
        return usual;
    };
    if is_inside(program, &own) { own } else { usual }
}

fn is_inside(program: i32, path: &OsStr) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(root) = std::fs::File::open(format!("/proc/{program}/root")) else {
        return false;
    };
    std::ffi::CString::new(path.as_bytes())
        .is_ok_and(|path| at::resolve_as_root(root.as_fd(), &path).is_ok())
}

/// Gives ourselves, and so the program, what the launcher had from its caller.
fn hand_on(joinable: &Joinable) -> Result<(), String> {
    let caller = &joinable.confinement.caller;
    process::set_umask(caller.umask & 0o777);
    for limit in &caller.limits {
        process::limit_to(limit.resource, limit.soft, limit.hard).map_err(|errno| {
            format!(
                "the resource limit {} of its launcher cannot be set: {}",
                limit.resource,
                errno.desc()
            )
        })?;
    }
    Ok(())
}
