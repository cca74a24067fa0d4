//! The self-audit: before the program is executed, the child asks the kernel whether what the plan promised is in force.
//!
//! The expectations are made from the steps of the plan, not from the operations that carry them out, so that an operation
//! that was left out, or that said it was done and was not, is noticed. What has no question to ask for it (a
//! filter that answers none, Landlock where only sockets are held) rests on the kernel's word that it was installed.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bpf;
use crate::kernel::mount::Seen;
use crate::kernel::{Errno, at, capability, descriptor, mount, namespace, process, seccomp};
use crate::plan::step::{Action, NamespaceKind, Root};
use crate::plan::{OnFailure, Plan, Step};
use crate::profile::value::Access;
use crate::section::limits::Way;
use crate::tree::PathMap;

use super::failure::LaunchError;
use super::prepare::{c_path, c_string};

/// In the number of a step: it was carried out, and does not hold.
pub(super) const UNHELD: u32 = 1 << 31;

/// A promise that the child can put to the test.
#[derive(Debug)]
enum Promise {
    /// A namespace is not this one.
    OtherNamespace { file: CString, than: u64 },
    /// The session keyring is not this one.
    OtherKeyring { than: i32 },
    /// What is mounted appears nowhere else.
    Unshared,
    /// The host is called so inside.
    Hostname(CString),
    /// It dies with its parent.
    DiesWithParent,
    /// What is mounted at a path has these flags (ST_*) of `asked`, and is of this kind where that is known.
    Mounted {
        path: CString,
        asked: u64,
        flags: u64,
        kind: Option<u64>,
    },
    /// The process information shows this process by the number that it has in its own namespace: `self`, as a path.
    OwnProcesses(CString),
    /// What is at a path is closed to everybody, and read-only.
    Closed(CString),
    /// The session is its own.
    OwnSession,
    /// It is in no supplementary group.
    NoGroups,
    /// no_new_privs is set.
    NoNewPrivileges,
    /// Landlock holds files, so that it refuses all mounting too.
    Landlocked,
    /// No more capabilities than these in any set.
    Capabilities {
        keep: u64,
        ambient: bool,
        bounding: bool,
        last: u32,
    },
    /// A resource limit is this one.
    ResourceLimit { resource: u32, value: u64 },
    /// The umask.
    Umask(u32),
    /// The working directory is inside.
    Inside,
    /// Every descriptor above 2 closes on exec.
    Closing,
    /// A filter is installed.
    Filtered,
}

/// Where the caller is (/proc/self/cgroup), and how many lines of it must be others for the child.
#[derive(Debug)]
struct Groups {
    than: Vec<u8>,
    others: usize,
}

#[derive(Debug)]
struct Expected {
    step: u32,
    promise: Promise,
}

/// All that is asked, by the moment at which it can be.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// In how many hierarchies the child must have left the groups of the caller.
    groups: Option<(u32, Groups)>,
    /// Before anything else is done: without its namespaces the child would change the host.
    namespaces: Vec<Expected>,
    /// While the host's /proc can be reached.
    outside: Vec<Expected>,
    /// When the child has its view.
    view: Vec<Expected>,
    /// By then somebody must have said that what is made in it later is looked after.
    keeper: Option<u32>,
    /// When nothing is left to do but the filter.
    program: Vec<Expected>,
    /// When there is nothing left to do but exec.
    filter: Option<Expected>,
}

impl Audit {
    /// What a plan promises, and this caller is not so already.
    ///
    /// # Errors
    /// /proc does not say in which namespaces the caller is.
    pub(super) fn of(plan: &Plan) -> Result<Self, LaunchError> {
        let mut audit = Self::default();
        let mut mounts = Mounts::default();
        for (number, step) in plan.steps.iter().enumerate() {
            let index = u32::try_from(number).unwrap_or(u32::MAX);
            if step.on_failure == OnFailure::Warn {
                continue;
            }
            let failed = |errno| LaunchError::at_step(number, errno);
            audit.expect(index, step).map_err(failed)?;
            mounts.expect(index, &step.action);
        }
        audit.view.extend(mounts.finish());
        Ok(audit)
    }

    fn expect(&mut self, step: u32, said: &Step) -> Result<(), Errno> {
        let expected = |promise| Expected { step, promise };
        match &said.action {
            Action::Clone { namespaces } => {
                for &kind in namespaces {
                    // It is made later, by a step of its own.
                    if kind != NamespaceKind::Cgroup {
                        self.namespaces.push(expected(other_namespace(kind)?));
                    }
                }
            }
            Action::EnterGroup(group) => {
                let others = match &group.way {
                    Way::Scope { .. } => 1,
                    Way::Direct { places } => places.iter().filter(|place| !place.optional).count(),
                };
                let than = crate::kernel::pseudo::read("/proc/self/cgroup").map_err(errno)?;
                self.groups = Some((step, Groups { than, others }));
            }
            Action::UnshareCgroupNamespace => {
                self.outside
                    .push(expected(other_namespace(NamespaceKind::Cgroup)?));
            }
            Action::NewSessionKeyring => {
                if let Ok(than) = process::session_keyring() {
                    self.outside.push(expected(Promise::OtherKeyring { than }));
                }
            }
            Action::PrivatePropagation => self.outside.push(expected(Promise::Unshared)),
            Action::Hostname { name } => {
                self.view
                    .push(expected(Promise::Hostname(c_string(name.as_ref())?)));
            }
            Action::MountProc { target, .. } => {
                let own = c_path(&target.join("self"))?;
                self.view.push(expected(Promise::OwnProcesses(own)));
            }
            Action::DieWithParent => self.view.push(expected(Promise::DiesWithParent)),
            Action::NewSession | Action::NewTerminal => {
                self.view.push(expected(Promise::OwnSession));
            }
            Action::PivotRoot => self.view.push(expected(Promise::Inside)),
            Action::DropGroups => self.program.push(expected(Promise::NoGroups)),
            Action::KeepAway(_) => self.keeper = Some(step),
            Action::NoNewPrivileges => self.program.push(expected(Promise::NoNewPrivileges)),
            Action::Landlock(ruleset) if !ruleset.handled.is_empty() => {
                self.view.push(expected(Promise::Landlocked));
            }
            &Action::Capabilities {
                keep,
                ambient,
                bounding,
                last,
            } => self.program.push(expected(Promise::Capabilities {
                keep,
                ambient,
                bounding,
                last,
            })),
            &Action::ResourceLimit {
                resource, value, ..
            } => self.program.push(expected(Promise::ResourceLimit {
                resource,
                value: value.unwrap_or(libc::RLIM_INFINITY),
            })),
            &Action::Umask { mode } => self.program.push(expected(Promise::Umask(mode))),
            Action::WorkingDirectory { .. } => self.program.push(expected(Promise::Inside)),
            Action::CloseDescriptors => self.program.push(expected(Promise::Closing)),
            Action::Seccomp(filter) if answers(&filter.program) => {
                self.filter = Some(expected(Promise::Filtered));
            }
            _ => {}
        }
        Ok(())
    }

    /// To be called first, when the child is in its groups, and shows them as the caller sees them; with the root of the
    /// host.
    pub(super) fn start(&self, host: BorrowedFd<'_>) -> Result<(), (u32, Errno)> {
        all(&self.namespaces, Some(host))?;
        match &self.groups {
            None => Ok(()),
            Some((step, groups)) => match groups.are_left(host) {
                Ok(true) => Ok(()),
                Ok(false) => Err((step | UNHELD, Errno::EBADE)),
                Err(errno) => Err((step | UNHELD, errno)),
            },
        }
    }

    /// Whether [`Self::start`] asks for anything.
    pub(super) fn asks_at_start(&self) -> bool {
        self.groups.is_some() || !self.namespaces.is_empty()
    }

    /// To be called before the root is changed, with the root of the host.
    pub(super) fn outside(&self, host: BorrowedFd<'_>) -> Result<(), (u32, Errno)> {
        all(&self.outside, Some(host))
    }

    /// Whether anything has to be asked outside.
    pub(super) fn asks_outside(&self) -> bool {
        !self.outside.is_empty()
    }

    /// To be called when the child has its view.
    pub(super) fn view(&self, kept: bool) -> Result<(), (u32, Errno)> {
        if let Some(step) = self.keeper.filter(|_| !kept) {
            return Err((step | UNHELD, Errno::EBADE));
        }
        all(&self.view, None)
    }

    /// To be called by what becomes the program, before the filter.
    pub(super) fn program(&self) -> Result<(), (u32, Errno)> {
        all(&self.program, None)
    }

    /// To be called under the filter.
    pub(super) fn filter(&self) -> Result<(), (u32, Errno)> {
        all(self.filter.as_slice(), None)
    }
}

/// In the first step that does not hold.
fn all(expected: &[Expected], host: Option<BorrowedFd<'_>>) -> Result<(), (u32, Errno)> {
    for Expected { step, promise } in expected {
        match promise.holds(host) {
            Ok(true) => {}
            Ok(false) => return Err((step | UNHELD, Errno::EBADE)),
            Err(errno) => return Err((step | UNHELD, errno)),
        }
    }
    Ok(())
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::ENOENT, Errno::from_raw)
}

fn other_namespace(kind: NamespaceKind) -> Result<Promise, Errno> {
    let file = format!("proc/self/ns/{}", kind.file());
    let found = std::fs::metadata(Path::new("/").join(&file)).map_err(errno)?;
    Ok(Promise::OtherNamespace {
        file: CString::new(file).map_err(|_| Errno::EINVAL)?,
        than: found.ino(),
    })
}

/// Whether a filter lets the process ask whether there is one, or refuses that with an error, which answers it too.
fn answers(program: &bpf::Program) -> bool {
    let question = [libc::PR_GET_SECCOMP.unsigned_abs().into(), 0, 0, 0, 0, 0];
    let own = bpf::Arch::native();
    let verdict = own.and_then(|own| program.verdict_for("prctl", own, question));
    matches!(verdict, Some(bpf::Action::Allow | bpf::Action::Errno(_)))
}

impl Groups {
    // What calls this gets no frame of such a size: each page of it would be touched.
    #[inline(never)]
    fn are_left(&self, host: BorrowedFd<'_>) -> Result<bool, Errno> {
        // A line for each hierarchy, of which there are a dozen, with a path that is seldom longer than a line of text.
        let mut text = [0u8; 32 << 10];
        let file = at::open(host, c"proc/self/cgroup", libc::O_RDONLY, 0)?;
        let mut length = 0;
        while let Some(free) = text.get_mut(length..).filter(|free| !free.is_empty()) {
            match descriptor::read(file.as_fd(), free)? {
                0 => break,
                read => length += read,
            }
        }
        let found = text.get(..length).ok_or(Errno::E2BIG)?;
        let is_new = |line: &&[u8]| {
            !self
                .than
                .split(|&byte| byte == b'\n')
                .any(|own| own == *line)
        };
        let lines = found.split(|&byte| byte == b'\n');
        Ok(lines.filter(is_new).count() >= self.others)
    }
}

impl Promise {
    /// Whether it holds.
    ///
    /// # Errors
    /// The kernel does not say.
    fn holds(&self, host: Option<BorrowedFd<'_>>) -> Result<bool, Errno> {
        match self {
            Self::OtherNamespace { file, than } => {
                let host = host.ok_or(Errno::EBADF)?;
                Ok(at::inode(host, file)? != *than)
            }
            Self::OtherKeyring { than } => Ok(process::session_keyring()? != *than),
            Self::Unshared => Ok(mount::is_shared(host.ok_or(Errno::EBADF)?)? != Some(true)),
            Self::Hostname(name) => namespace::is_hostname(name),
            Self::DiesWithParent => process::dies_with_parent(),
            Self::Mounted {
                path,
                asked,
                flags,
                kind,
            } => match mount::look(path) {
                // Nor can the program reach it then: it may do no more than this process.
                Err(Errno::EACCES) => Ok(true),
                // A file system of a user's process (FUSE) answers as it likes; that of the documents of portals refuses. It
                // gives no rights and no devices in any case (fusermount3(1)), and is not promised to be read-only.
                Err(Errno::EPERM) if *flags & libc::ST_RDONLY == 0 => mount::is_root_of_mount(path),
                Err(errno) => Err(errno),
                Ok(Seen {
                    flags: found,
                    kind: is,
                }) => Ok(found & asked == *flags
                    && kind.is_none_or(|kind| kind == is)
                    // One in memory may lie in another one.
                    && (is != mount::TMPFS || mount::is_root_of_mount(path)?)),
            },
            Self::OwnProcesses(own) => match at::link_number(own) {
                Err(Errno::EACCES) => Ok(true),
                Err(errno) => Err(errno),
                Ok(number) => Ok(number == process::own_number()),
            },
            Self::Closed(path) => match at::mode_of(path) {
                Err(Errno::EACCES) => Ok(true),
                Err(errno) => Err(errno),
                Ok(mode) => Ok(mode & 0o7777 == 0),
            },
            Self::OwnSession => Ok(process::leads_session()),
            // Without the privilege to mount, the answer would be the same in any case.
            Self::Landlocked => Ok(!capability::may_mount()? || mount::is_refused()),
            Self::NoGroups => process::has_no_groups(),
            Self::NoNewPrivileges => Ok(process::has_no_new_privileges()),
            Self::Capabilities {
                keep,
                ambient,
                bounding,
                last,
            } => capability::is_at_most(*keep, *ambient, bounding.then_some(*last)),
            Self::ResourceLimit { resource, value } => {
                Ok(process::limit(*resource)? == (*value, *value))
            }
            Self::Umask(mode) => Ok(process::set_umask(*mode) == *mode),
            Self::Inside => at::is_inside(),
            Self::Closing => descriptor::all_close_on_exec(3),
            Self::Filtered => Ok(seccomp::is_filtered()),
        }
    }
}

/// What is mounted where at the end.
#[derive(Default)]
struct Mounts(PathMap<(u32, Found)>);

/// What is to be found at a path.
enum Found {
    Mount { flags: u64, kind: Option<u64> },
    Closed,
}

impl Mounts {
    fn put(&mut self, step: u32, path: &Path, flags: u64, kind: Option<u64>) {
        self.0
            .insert(path.to_owned(), (step, Found::Mount { flags, kind }));
    }

    /// The flags of what was mounted at or below a path, as far as `only` says.
    fn change(&mut self, at: &Path, step: u32, below: bool, change: impl Fn(u64) -> u64) {
        for (path, (by, found)) in &mut self.0 {
            let meant = if below {
                path.starts_with(at)
            } else {
                path == at
            };
            if let (true, Found::Mount { flags, .. }) = (meant, found) {
                *flags = change(*flags);
                *by = step;
            }
        }
    }

    fn expect(&mut self, step: u32, action: &Action) {
        let read_only = |access: Access| match access {
            Access::ReadWrite => 0,
            _ => libc::ST_RDONLY,
        };
        match action {
            Action::NewRoot { from, access } => {
                let (flags, kind) = match from {
                    Root::Empty => (libc::ST_NODEV, Some(mount::TMPFS)),
                    Root::Overlay(_) => (0, Some(mount::OVERLAYFS)),
                    Root::Host | Root::Directory(_) => (read_only(*access) | libc::ST_NODEV, None),
                };
                self.put(step, Path::new("/"), flags | libc::ST_NOSUID, kind);
            }
            Action::MountHost {
                target,
                access,
                devices,
                ..
            } => {
                let devices = if *devices { 0 } else { libc::ST_NODEV };
                let flags = read_only(*access) | devices | libc::ST_NOSUID;
                self.put(step, target, flags, None);
            }
            Action::MountOverlay { target, .. } => {
                self.put(step, target, 0, Some(mount::OVERLAYFS));
            }
            Action::Restrict { path, access } => {
                // It is a mount from now on.
                self.put(step, path, read_only(*access), None);
            }
            Action::MountTmpfs { target, .. } => {
                let flags = libc::ST_NOSUID | libc::ST_NODEV;
                self.put(step, target, flags, Some(mount::TMPFS));
            }
            Action::MountProc { target, .. } => self.put(step, target, 0, Some(mount::PROC)),
            Action::MountDevpts { target } => self.put(step, target, 0, Some(mount::DEVPTS)),
            Action::MountMqueue { target } => self.put(step, target, 0, Some(mount::MQUEUE)),
            Action::MountText { target, .. } => {
                self.put(step, target, libc::ST_RDONLY, Some(mount::TMPFS));
            }
            Action::Mask { path, .. } => {
                self.0.insert(path.clone(), (step, Found::Closed));
            }
            Action::Seal { path } => {
                self.change(path, step, false, |flags| flags | libc::ST_RDONLY);
            }
            Action::NoExecution { path } => {
                self.change(path, step, true, |flags| flags | libc::ST_NOEXEC);
            }
            _ => {}
        }
    }

    fn finish(self) -> Vec<Expected> {
        let c_strings = self.0.into_iter().filter_map(|(path, found)| {
            let path = c_path(&path).ok()?;
            Some((path, found))
        });
        c_strings
            .map(|(path, (step, found))| Expected {
                step,
                promise: match found {
                    Found::Mount { flags, kind } => Promise::Mounted {
                        path,
                        // A file system of the host may have more of them. What is in memory is made by us.
                        asked: match kind {
                            Some(mount::TMPFS) => flags | libc::ST_RDONLY,
                            _ => flags,
                        },
                        flags,
                        kind,
                    },
                    Found::Closed => Promise::Closed(path),
                },
            })
            .collect()
    }
}

/// Whether a test wants this step left out, to see that the audit notices: the number that `--dry-run` prints. Builds
/// for use cannot do that.
#[cfg(debug_assertions)]
pub(super) fn is_left_out(number: usize) -> bool {
    let wanted = std::env::var("SANDBOX_LEAVE_OUT_STEP");
    wanted.is_ok_and(|text| text.parse() == Ok(number + 1))
}

/// Builds for use leave nothing out.
#[cfg(not(debug_assertions))]
pub(super) fn is_left_out(_: usize) -> bool {
    false
}
