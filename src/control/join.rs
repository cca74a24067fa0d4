//! Whether a running sandbox may be joined, and what has to be open for it.
//!
//! A record is only as good as who could write it: a program in a sandbox that shows it the directory of records could write
//! one too, to have the next `join` run outside of any sandbox. So everything that the kernel knows is asked of the kernel,
//! and it has to agree with the record:
//!
//! - the sandbox is the caller's own. Root joins nobody else's: a user has all privileges over a user namespace of theirs, and
//!   so over a process of root that enters it;
//! - the launcher is alive, holds the very file of the record, and its lock, lives in the caller's own namespaces and is no more confined than the
//!   caller: so it is no program of a sandbox;
//! - the child is the launcher's, and the program the child's;
//! - each namespace is the one that the launcher saw, and the user namespace is the caller's;
//! - the program is in the control group of the record, and in no other than the launcher if there is none;
//! - what binds the sandbox's process 1 binds, by the record, those who join too.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::confinement::Confinement;
use super::process::{self, NAMESPACES, Process};
use super::record::Record;
use super::registry::Entry;
use super::sandbox::{Refusal, Sandbox, user_name};
use super::share;
use crate::exec::{Shared, Target};
use crate::kernel::stat::Stat;
use crate::kernel::{Errno, namespace, signal};
use crate::plan::step::NamespaceKind;
use crate::report::escape;

/// A sandbox that may be joined.
#[derive(Debug)]
pub struct Joinable {
    /// What is open.
    pub target: Target,
    /// What binds those who join.
    pub confinement: Confinement,
    /// The program, by its number outside.
    pub program: i32,
    /// The bounding set of the program.
    pub bounding: Option<u64>,
}

/// Who is root inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// Everybody who is the caller outside.
    Caller,
    /// Somebody else.
    Other,
    /// Nobody.
    Nobody,
}

/// Who is root in the user namespace of a process, by its map (user_namespaces(7)).
fn root(pid: i32, caller: u32) -> Root {
    if process::namespace_of(pid, NamespaceKind::User.file()) == own_namespace(NamespaceKind::User)
    {
        return match caller {
            0 => Root::Caller,
            _ => Root::Nobody,
        };
    }
    let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap_or_default();
    let outside = map.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("0")).then(|| words.next()?.parse::<u32>().ok())?
    });
    match outside {
        Some(outside) if outside == caller => Root::Caller,
        Some(_) => Root::Other,
        None => Root::Nobody,
    }
}

/// Whether who joins has to become root inside to be it.
fn as_root(name: &str, program: i32, confinement: &Confinement) -> Result<bool, Refusal> {
    if !confinement.may_join_as_root {
        return Err(Refusal::new(format!(
            "`{name}` is not joined as root: its profile does not allow it"
        ))
        .help("set `user.join-as-root = true` in the profile, and start it again"));
    }
    match root(program, nix::unistd::geteuid().as_raw()) {
        Root::Caller => Ok(false),
        Root::Other => Ok(true),
        Root::Nobody => Err(Refusal::new(format!(
            "`{name}` is not joined as root: there is no root inside"
        ))
        .help("set `user.subordinate-ids = true`, or `user.uid = \"root\"`, with which everybody inside is root")),
    }
}

/// Looks whether a sandbox may be joined, as root inside if `wants_root`, and opens what that takes.
///
/// # Errors
/// It may not, in words.
pub fn open(sandbox: &Sandbox, wants_root: bool) -> Result<Joinable, Refusal> {
    let name = escape::line(sandbox.name());
    own(sandbox, "join")?;
    let record = sandbox.record()?;
    if !sandbox.entry.is_live() {
        return Err(Refusal::new(format!(
            "`{name}` cannot be joined: its launcher was killed, and nobody else can say what binds it"
        ))
        .help(format!("`sandboxctl kill --all {name}` ends what is left of it")));
    }
    let child = sandbox.child()?;
    let program = sandbox.program()?;
    let refused = |reason: String| {
        Refusal::new(format!("`{name}` is not joined: {reason}")).help(
            "the record and the kernel do not agree: somebody may have forged it, or the program has left its sandbox's namespaces",
        )
    };
    launcher(record).map_err(refused)?;
    family(record, &child, &program).map_err(refused)?;
    let confinement = confinement(sandbox).map_err(refused)?;
    if record.init {
        binds(child.pid(), &confinement).map_err(refused)?;
    }
    let as_root = wants_root && as_root(&name, program.pid(), &confinement)?;
    let namespaces = namespaces(program.pid(), record)
        .map_err(|reason| refused(reason.message).help_all(reason.help))?;
    let (shared, namespaces) = apart(namespaces, record);
    let group = sandbox.group()?;
    match &group {
        Some(group) => {
            if !group.processes().contains(&program.pid()) {
                return Err(refused(
                    "its program is not in the control group that it names".to_owned(),
                ));
            }
            if group.is_frozen() {
                return Err(Refusal::new(format!(
                    "`{name}` is frozen: who joins it would be frozen too"
                ))
                .help(format!("`sandboxctl thaw {name}` lets it go on")));
            }
        }
        None => {
            let groups = |pid: i32| std::fs::read(format!("/proc/{pid}/cgroup")).ok();
            // Within a cgroup namespace of its own the sandbox is where it was.
            if groups(child.pid()).is_none() || groups(child.pid()) != groups(record.supervisor.pid)
            {
                return Err(refused(
                    "it is in a control group that the record does not name".to_owned(),
                ));
            }
        }
    }
    held(record, &sandbox.entry).map_err(refused)?;
    let bounding = mask(program.pid(), "CapBnd:");
    // All of this was about the processes that are meant only if they are still there.
    for process in [&child, &program] {
        if signal::send(process.fd(), 0) == Err(Errno::ESRCH) {
            return Err(Refusal::new(format!("`{name}` has just ended")));
        }
    }
    let end = child
        .fd()
        .try_clone_to_owned()
        .map_err(|error| Refusal::new(format!("`{name}` cannot be joined: {error}")))?;
    Ok(Joinable {
        target: Target {
            shared,
            namespaces,
            group,
            unit: record.unit.clone(),
            end,
            as_root,
        },
        confinement,
        program: program.pid(),
        bounding,
    })
}

/// Only one's own sandboxes are entered; `verb` is what is not done.
pub(super) fn own(sandbox: &Sandbox, verb: &str) -> Result<(), Refusal> {
    if sandbox.is_attached() {
        return Err(Refusal::new(format!(
            "`{}` is no sandbox: its processes ran already when they were put under limits, and are not confined",
            escape::line(sandbox.name())
        ))
        .help(match verb {
            "join" => "to have a program under the same limits, start it from one of them",
            _ => "name a sandbox that `sandbox` started",
        }));
    }
    let caller = nix::unistd::geteuid().as_raw();
    if sandbox.uid() == caller {
        return Ok(());
    }
    let name = escape::line(sandbox.name());
    let owner = user_name(sandbox.uid());
    if verb != "join" {
        return Err(Refusal::new(format!(
            "`{name}` belongs to {owner}, and its namespaces are shared with its own user's programs only"
        )));
    }
    let refusal = Refusal::new(format!(
        "`{name}` belongs to {owner}, and a sandbox is joined by its own user only"
    ));
    Err(if caller == 0 {
        refusal.help(format!(
            "as that user: runuser -u {owner} -- sandboxctl join {name}; root itself would be in that user's hands there"
        ))
    } else {
        refusal
    })
}

/// The child is the launcher's, and the program the child's.
pub(super) fn family(record: &Record, child: &Process, program: &Process) -> Result<(), String> {
    let is_child = Stat::of(child.pid()).is_ok_and(|stat| stat.parent == record.supervisor.pid);
    let is_program = program.pid() == child.pid()
        || Stat::of(program.pid()).is_ok_and(|stat| stat.parent == child.pid());
    match is_child && is_program {
        true => Ok(()),
        false => Err("its process was not started by its launcher".to_owned()),
    }
}

/// Whoever can write where records are looked for could copy a true one, loosen what it says, and hold its lock.
pub(super) fn held(record: &Record, entry: &Entry) -> Result<(), String> {
    match process::holds(record.supervisor.pid, entry.file()) {
        true => Ok(()),
        false => Err("its launcher does not hold this record".to_owned()),
    }
}

/// A launcher runs where the caller runs, and is bound by nothing that does not bind the caller too.
pub(super) fn launcher(record: &Record) -> Result<(), String> {
    let pid = record.supervisor.pid;
    let is_it = || Stat::of(pid).is_ok_and(|stat| stat.started == record.supervisor.started);
    if !is_it() {
        return Err("its launcher is not there".to_owned());
    }
    for kind in [
        NamespaceKind::User,
        NamespaceKind::Mount,
        NamespaceKind::Pid,
    ] {
        let theirs = process::namespace_of(pid, kind.file());
        if theirs.is_none() || theirs != own_namespace(kind) {
            return Err(format!(
                "its launcher runs in another {} namespace",
                kind.name()
            ));
        }
    }
    let own = std::process::id().cast_signed();
    for line in ["NoNewPrivs:", "Seccomp:"] {
        if process::status_line(pid, line) != process::status_line(own, line) {
            return Err("its launcher is itself confined".to_owned());
        }
    }
    // Root needs no no_new_privs to make itself less than root.
    match (mask(pid, "CapEff:"), mask(own, "CapEff:")) {
        (Some(theirs), Some(ours)) if ours & !theirs == 0 => {}
        _ => return Err("its launcher lacks privileges that the caller has".to_owned()),
    }
    if is_it() {
        Ok(())
    } else {
        Err("its launcher has just ended".to_owned())
    }
}

fn own_namespace(kind: NamespaceKind) -> Option<u64> {
    Some(
        std::fs::metadata(format!("/proc/self/ns/{}", kind.file()))
            .ok()?
            .ino(),
    )
}

fn confinement(sandbox: &Sandbox) -> Result<Confinement, String> {
    let line = sandbox
        .confinement
        .as_deref()
        .ok_or("its record does not say what binds it")?;
    serde_json::from_str(line)
        .map_err(|error| format!("what its record says binds it cannot be read: {error}"))
}

/// Process 1 of a sandbox has all that binds the program's start, and never changes.
fn binds(init: i32, confinement: &Confinement) -> Result<(), String> {
    let is = |line, value: &str| {
        process::status_line(init, line).is_some_and(|found| found.trim() == value)
    };
    let less = |what: &str| Err(format!("its record says nothing of the {what} that it has"));
    if !is("NoNewPrivs:", "0") && !confinement.has_no_new_privileges() {
        return less("no_new_privs");
    }
    if !is("Seccomp:", "0") && !confinement.has_filter() {
        return less("system call filter");
    }
    Ok(())
}

/// A set of capabilities of a process.
pub(super) fn mask(pid: i32, line: &str) -> Option<u64> {
    u64::from_str_radix(process::status_line(pid, line)?.trim(), 16).ok()
}

/// Takes apart what the sandbox shares with another one, and what is its own: that belongs to its own user namespace.
fn apart(
    namespaces: Vec<(NamespaceKind, OwnedFd)>,
    record: &Record,
) -> (Shared, Vec<(NamespaceKind, OwnedFd)>) {
    let mut shared = Shared {
        user: None,
        namespaces: Vec::new(),
    };
    let mut own = Vec::new();
    let below = namespaces
        .iter()
        .any(|(kind, _)| *kind == NamespaceKind::User);
    for (kind, file) in namespaces {
        let owner = namespace::user_namespace_of(file.as_fd()).ok();
        let inode = owner.as_ref().and_then(share::inode);
        let is_own = inode.as_ref() == record.namespaces.get("user");
        if kind == NamespaceKind::User || !below || is_own {
            own.push((kind, file));
            continue;
        }
        // Root has its privileges over that one too, and stays where it is.
        if !nix::unistd::geteuid().is_root() {
            shared.user = shared.user.or(owner);
        }
        shared.namespaces.push((kind, file));
    }
    (shared, own)
}

/// Opens the namespaces of the program, each if it is the one that the launcher saw and not the caller's.
pub(super) fn namespaces(
    program: i32,
    record: &Record,
) -> Result<Vec<(NamespaceKind, OwnedFd)>, Refusal> {
    let mut found = Vec::new();
    for name in NAMESPACES {
        let Some(kind) = NamespaceKind::of_file(name) else {
            continue;
        };
        let path = format!("/proc/{program}/ns/{name}");
        // A kernel without this kind has none, and then the launcher saw none.
        let Some(&seen) = record.namespaces.get(name) else {
            if Path::new("/proc/self/ns").join(name).exists() {
                return Err(Refusal::new(format!(
                    "its record does not name its {name} namespace"
                )));
            }
            continue;
        };
        if Some(seen) == own_namespace(kind) {
            if process::namespace_of(program, name) != Some(seen) {
                return Err(Refusal::new(format!(
                    "its program has left the {name} namespace"
                )));
            }
            continue;
        }
        let file = File::open(&path).map_err(|error| {
            let refusal = Refusal::new(format!("its {name} namespace cannot be opened: {error}"));
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => refusal.help(
                    "the program may have closed itself to others (PR_SET_DUMPABLE), or gained privileges",
                ),
                _ => refusal,
            }
        })?;
        let inode = file.metadata().map_or(0, |found| found.ino());
        if inode != seen {
            return Err(Refusal::new(format!(
                "its program has left the {name} namespace"
            )));
        }
        if kind == NamespaceKind::User {
            let caller = nix::unistd::geteuid().as_raw();
            match namespace::owner(file.as_fd()) {
                Ok(owner) if owner == caller => {}
                Ok(owner) => {
                    return Err(Refusal::new(format!(
                        "its user namespace belongs to {}",
                        user_name(owner)
                    )));
                }
                Err(errno) => {
                    return Err(Refusal::new(format!(
                        "it cannot be told whose its user namespace is: {}",
                        errno.desc()
                    )));
                }
            }
        }
        found.push((kind, OwnedFd::from(file)));
    }
    Ok(found)
}
