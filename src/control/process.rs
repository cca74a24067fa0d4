//! Processes of running sandboxes, seen from outside: the very one that a record means, those below it, and what /proc says
//! of each (proc(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use super::attached;
use super::record::{ProcessId, Record};
use crate::kernel::stat::Stat;
use crate::kernel::{Errno, namespace, process, signal};

impl From<&Stat> for ProcessId {
    fn from(stat: &Stat) -> Self {
        Self {
            pid: stat.pid,
            started: stat.started,
        }
    }
}

/// Every process that can be seen.
#[must_use]
pub fn table() -> BTreeMap<i32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, Stat::of(pid).ok()?)))
        .collect()
}

/// A process and all below it.
#[must_use]
pub fn descendants(root: i32, table: &BTreeMap<i32, Stat>) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for stat in table.values() {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if table.contains_key(&pid) && found.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// The numbers of a process in the pid namespaces from the reader's down to its own (`NSpid`, proc_pid_status(5)).
#[must_use]
pub fn numbers(pid: i32) -> Vec<i32> {
    let line = status_line(pid, "NSpid:").unwrap_or_default();
    line.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// What a process was started with, arguments with their quotes and strange bytes shown; its name where that is empty.
#[must_use]
pub fn command(stat: &Stat) -> String {
    let line = std::fs::read(format!("/proc/{}/cmdline", stat.pid)).unwrap_or_default();
    let text = String::from_utf8_lossy(&line);
    let words: Vec<&str> = text.split('\0').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        format!("[{}]", stat.name)
    } else {
        words.join(" ")
    }
}

/// What a process was started with, word by word; nothing for a thread of the kernel and what hides it.
#[must_use]
pub fn words(pid: i32) -> Vec<OsString> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    if line.is_empty() {
        return Vec::new();
    }
    line.split(|byte| *byte == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

/// The rest of the line of /proc/PID/status that begins with `name`.
#[must_use]
pub fn status_line(pid: i32, name: &str) -> Option<String> {
    let text = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::to_owned)
}

/// The real, effective, saved and file system user of a process.
fn users(pid: i32) -> Vec<u32> {
    let line = status_line(pid, "Uid:").unwrap_or_default();
    line.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// The inode of a namespace of a process.
#[must_use]
pub fn namespace_of(pid: i32, kind: &str) -> Option<u64> {
    Some(
        std::fs::metadata(format!("/proc/{pid}/ns/{kind}"))
            .ok()?
            .ino(),
    )
}

/// The kinds of namespaces, as /proc/PID/ns names them.
pub const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The namespaces of a process by kind, as far as the caller may look.
#[must_use]
pub fn namespaces(pid: i32) -> BTreeMap<String, u64> {
    NAMESPACES
        .iter()
        .filter_map(|kind| Some(((*kind).to_owned(), namespace_of(pid, kind)?)))
        .collect()
}

/// Which start of the host this is.
#[must_use]
pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The own process.
///
/// # Errors
/// Those of /proc.
pub fn own() -> std::io::Result<ProcessId> {
    let pid = nix::unistd::getpid().as_raw();
    Ok(ProcessId {
        pid,
        started: process::start_time(pid)?,
    })
}

/// Why a process is not acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It has ended, or its number belongs to another one now.
    Gone,
    /// Its number means nothing here.
    Elsewhere,
    /// It is not the user's whose record says that it is.
    Foreign,
    /// The kernel refuses.
    Refused(Errno),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("it has ended"),
            Self::Elsewhere => f.write_str(
                "it was started in another pid namespace (in a sandbox, a container, or before a restart), where its processes have other numbers",
            ),
            Self::Foreign => f.write_str(
                "the record names a process that does not belong to the user whose record it is",
            ),
            Self::Refused(errno) => f.write_str(errno.desc()),
        }
    }
}

impl std::error::Error for Lost {}

/// A process that is the one that was meant for as long as this lives.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    fd: OwnedFd,
}

impl Process {
    /// Opens a process of a record that belongs to `owner`. Root, who may do everything to everybody, is told of no process
    /// that is not the owner's: not its uid, and in no user namespace of its.
    ///
    /// # Errors
    /// [`Lost`].
    pub fn open(id: ProcessId, owner: u32) -> Result<Self, Lost> {
        if id.pid <= 0 {
            return Err(Lost::Gone);
        }
        let fd = process::open(id.pid).map_err(|errno| match errno {
            Errno::ESRCH | Errno::EINVAL => Lost::Gone,
            errno => Lost::Refused(errno),
        })?;
        let stat = Stat::of(id.pid).ok();
        let stat = stat.filter(|stat| stat.started == id.started && !stat.is_dead());
        let caller = nix::unistd::geteuid().as_raw();
        let foreign = caller == 0 && owner != 0 && !belongs(id.pid, owner);
        // The number was that of the same process all the while if it still is now.
        match signal::send(fd.as_fd(), 0) {
            Err(Errno::ESRCH) => return Err(Lost::Gone),
            // EPERM: it is there.
            _ if stat.is_none() => return Err(Lost::Gone),
            _ if foreign => return Err(Lost::Foreign),
            _ => {}
        }
        Ok(Self { pid: id.pid, fd })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Becomes readable when it ends.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// ESRCH, EPERM (pidfd_send_signal(2)).
    pub fn signal(&self, number: i32) -> Result<(), Errno> {
        signal::send(self.fd.as_fd(), number)
    }
}

/// Whether a process is a user's own, or lives in a user namespace of the user's.
fn belongs(pid: i32, owner: u32) -> bool {
    let users = users(pid);
    if !users.is_empty() && users.iter().all(|user| *user == owner) {
        return true;
    }
    File::open(format!("/proc/{pid}/ns/user"))
        .is_ok_and(|file| namespace::owner(file.as_fd()) == Ok(owner))
}

/// Whether a process has this file open, beside what it was given as its standard streams, and its exclusive lock by that
/// (flock(2)). Whoever only looks at a file, an editor or a search, is not taken for who made it.
#[must_use]
pub fn holds(pid: i32, file: &File) -> bool {
    let id = |found: std::fs::Metadata| (found.dev(), found.ino());
    let Ok(wanted) = file.metadata().map(id) else {
        return false;
    };
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut open = open.into_iter().flatten().flatten();
    open.any(|entry| {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        number.is_some_and(|number: u32| number > 2)
            // Follows the link.
            && std::fs::metadata(entry.path()).is_ok_and(|found| id(found) == wanted)
            && number.is_some_and(|number| locks(pid, number))
    })
}

/// Whether a process has the exclusive lock on a file by this descriptor (proc_pid_fdinfo(5)).
fn locks(pid: i32, number: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
    text.is_ok_and(|text| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("lock:"));
        lines.any(|line| {
            let is_there = |wanted| line.split_whitespace().any(|word| word == wanted);
            is_there("FLOCK") && is_there("WRITE")
        })
    })
}

/// The inode of the own pid namespace.
///
/// # Errors
/// Those of /proc.
pub fn own_namespace() -> std::io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

/// The first child of a process that has one thread: the program, of our process 1.
#[must_use]
pub fn first_child(pid: i32) -> Option<i32> {
    match std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(text) => text.split_whitespace().next()?.parse().ok(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => table()
            .values()
            .find(|stat| stat.parent == pid)
            .map(|stat| stat.pid),
    }
}

/// Whether the numbers in a record mean something to the caller.
#[must_use]
pub fn is_here(record: &Record) -> bool {
    own_namespace().is_ok_and(|own| own == record.pid_namespace) && boot() == record.boot
}

/// Opens the child of a record's launcher.
///
/// # Errors
/// [`Lost`].
pub fn child(record: &Record, owner: u32) -> Result<Process, Lost> {
    if !is_here(record) {
        return Err(Lost::Elsewhere);
    }
    Process::open(record.child, owner)
}

/// Whether the sandbox of a record outlived its launcher, as `die-with-parent = false` allows. What was started in another
/// pid namespace cannot be told from here, and counts as gone: its record would be left for ever.
#[must_use]
pub fn is_left(record: &Record, owner: u32) -> bool {
    if record.attached {
        return attached::is_left(record, owner);
    }
    match child(record, owner) {
        Ok(_) => true,
        Err(Lost::Refused(_)) => true,
        Err(Lost::Gone | Lost::Foreign | Lost::Elsewhere) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kernel::lock;
    use crate::plan::step::NamespaceKind;
    use crate::section::namespaces;

    #[test]
    fn the_kernels_files_are_of_our_kinds() {
        for name in NAMESPACES {
            let kind = NamespaceKind::of_file(name).unwrap();
            assert_eq!(kind.file(), name);
            assert!(
                namespace_of(own().unwrap().pid, kind.file()).is_some(),
                "{name}"
            );
        }
        assert_eq!(NAMESPACES.len(), namespaces::KINDS.len());
        for other in ["mount", "pid_for_children", ""] {
            assert_eq!(NamespaceKind::of_file(other), None);
        }
    }

    #[test]
    fn another_start_time_is_another_process() {
        let own = own().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        assert!(Process::open(own, uid).is_ok());
        let other = ProcessId {
            started: own.started + 1,
            ..own
        };
        assert_eq!(Process::open(other, uid).unwrap_err(), Lost::Gone);
        for pid in [0, -1, i32::MAX] {
            let id = ProcessId { pid, started: 0 };
            assert_eq!(Process::open(id, uid).unwrap_err(), Lost::Gone);
        }
    }

    #[test]
    fn who_only_looks_at_a_file_does_not_hold_it() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (file, other) = (path.as_file(), File::open(path.path()).unwrap());
        let own = std::process::id().cast_signed();
        assert!(!holds(own, file));
        assert!(lock::try_shared(other.as_fd()).unwrap() && !holds(own, file));
        lock::release(other.as_fd());
        assert!(lock::try_exclusive(file.as_fd()).unwrap() && holds(own, &other));
        lock::release(file.as_fd());
        assert!(!holds(own, &other));
    }

    #[test]
    fn root_is_led_to_no_process_of_another() {
        let uid = nix::unistd::geteuid().as_raw();
        if uid == 0 {
            let lost = Process::open(own().unwrap(), 54321).unwrap_err();
            assert_eq!(lost, Lost::Foreign);
        }
    }

    #[test]
    fn a_tree_is_found_whole_and_circles_end() {
        let stat = |pid, parent| Stat {
            pid,
            name: String::new(),
            state: 'S',
            parent,
            kernel: false,
            ticks: 0,
            threads: 1,
            started: 0,
            resident: 0,
        };
        let table: BTreeMap<i32, Stat> = [(1, 0), (2, 1), (3, 2), (4, 1), (5, 6), (6, 5)]
            .map(|(pid, parent)| (pid, stat(pid, parent)))
            .into();
        assert_eq!(descendants(2, &table), BTreeSet::from([2, 3]));
        assert_eq!(descendants(1, &table), BTreeSet::from([1, 2, 3, 4]));
        assert_eq!(descendants(5, &table), BTreeSet::from([5, 6]));
        assert_eq!(descendants(9, &table), BTreeSet::new());
    }
}
