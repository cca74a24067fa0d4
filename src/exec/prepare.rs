//! Plan → [`Prepared`]: every string, descriptor and filter that the child needs, made before it exists.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel::mount::attribute;
use crate::kernel::{Errno, at, process, seccomp};
use crate::plan::step::{Action, IdRange, NamespaceKind, Root};
use crate::plan::{OnFailure, Phase, Plan};
use crate::profile::value::Access;
use crate::section::limits::GroupPlan;

use super::failure::LaunchError;
use super::join::Join;
use super::priority::{self, Priority};
use super::share::Shared;

/// One thing that the child does, in C form.
#[derive(Debug)]
pub(super) enum Op {
    Join {
        file: OwnedFd,
        kind: libc::c_int,
    },
    Unshare(libc::c_int),
    NewSessionKeyring,
    Hostname(CString),
    LoopbackUp,
    PrivatePropagation,
    NewRoot {
        from: RootOp,
        attributes: u64,
        scratch: bool,
    },
    MakeDirectory {
        path: CString,
        place: Place,
        mode: u32,
    },
    MakeFile(Place),
    MakeLink {
        place: Place,
        target: CString,
    },
    MountHost {
        source: Place,
        target: Place,
        attributes: u64,
    },
    Restrict {
        path: CString,
        read_only: bool,
    },
    MountNew {
        kind: CString,
        options: Vec<(CString, Option<CString>)>,
        target: Place,
        attributes: u64,
    },
    Mask {
        place: Place,
        directory: bool,
    },
    Text {
        target: Place,
        name: CString,
        content: Vec<u8>,
    },
    Seal {
        path: CString,
    },
    PivotRoot {
        read_only: bool,
    },
    NewTerminal {
        attributes: Option<libc::termios>,
        size: Option<libc::winsize>,
        replace: [bool; 3],
    },
    NewSession,
    NoNewPrivileges,
    DropBounding {
        keep: u64,
        last: u32,
    },
    KeepCapabilities {
        keep: u64,
        ambient: bool,
    },
    ResourceLimit {
        resource: u32,
        value: Option<u64>,
    },
    CpuAffinity(process::CpuMask),
    Umask(u32),
    WorkingDirectory(Vec<CString>),
    CloseDescriptors,
    Seccomp(Vec<libc::sock_filter>),
}

/// A path, taken apart: what lies beside another is reached through the same directory.
#[derive(Debug)]
pub(super) struct Place {
    pub parent: CString,
    /// One component; `.` for the root itself.
    pub name: CString,
}

/// What the new root is made of.
#[derive(Debug)]
pub(super) enum RootOp {
    Host,
    Directory(CString),
    Empty,
}

/// One operation, and the step that it belongs to.
#[derive(Debug)]
pub(super) struct Todo {
    pub step: u32,
    pub op: Op,
    /// Whether the launch goes on without it, with a word to the user.
    pub may_fail: bool,
}

/// How the program is found and started.
#[derive(Debug)]
pub(super) struct ExecOp {
    pub step: u32,
    pub candidates: Vec<CString>,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
}

/// Everything that a launch needs.
#[derive(Debug)]
pub struct Prepared {
    pub(super) clone_flags: u64,
    /// The step that asks for namespaces, when one does.
    pub(super) clone_step: Option<usize>,
    /// Namespaces that the launcher enters itself, since they count for its children: user first, then pid.
    pub(super) join_before: Vec<(u32, OwnedFd, libc::c_int)>,
    /// Namespaces of other sandboxes that the child is made in.
    pub(super) share: Vec<(u32, Shared)>,
    /// The sandbox that is entered, when none is made.
    pub(super) join: Option<Join>,
    pub(super) own_directories: Vec<(u32, PathBuf)>,
    pub(super) maps: Option<(u32, MapOp)>,
    pub(super) group: Option<(u32, GroupPlan)>,
    /// Set by the launcher while the child waits.
    pub(super) priorities: Vec<Priority>,
    /// Done by the child, in this order.
    pub(super) child: Vec<Todo>,
    /// Whether the child stays as process 1 beside the program.
    pub(super) init: bool,
    /// Done by process 1 before it waits: it needs no capability and gets the same filter.
    pub(super) init_filter: Option<Vec<libc::sock_filter>>,
    /// Done by what becomes the program, in this order.
    pub(super) program: Vec<Todo>,
    pub(super) execute: ExecOp,
    pub(super) timeout: Option<Duration>,
    pub(super) die_with_parent: bool,
    pub(super) new_session: bool,
    pub(super) new_terminal: bool,
    /// Whether a step cuts capabilities, so that process 1 gives up its own too.
    pub(super) cuts_capabilities: bool,
    /// The caller's umask, which the program gets back.
    pub(super) umask: u32,
}

/// The id maps as text.
#[derive(Debug)]
pub(super) struct MapOp {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
    pub deny_setgroups: bool,
    pub helpers: Option<(PathBuf, PathBuf)>,
}

pub(super) fn flag(kind: NamespaceKind) -> libc::c_int {
    match kind {
        NamespaceKind::User => libc::CLONE_NEWUSER,
        NamespaceKind::Mount => libc::CLONE_NEWNS,
        NamespaceKind::Pid => libc::CLONE_NEWPID,
        NamespaceKind::Ipc => libc::CLONE_NEWIPC,
        NamespaceKind::Uts => libc::CLONE_NEWUTS,
        NamespaceKind::Net => libc::CLONE_NEWNET,
        NamespaceKind::Cgroup => libc::CLONE_NEWCGROUP,
        NamespaceKind::Time => 0x80,
    }
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    c_string(path.as_os_str())
}

fn place(path: &Path) -> Result<Place, Errno> {
    let (parent, name) = match path.parent() {
        None if path.has_root() => (path, OsStr::new(".")),
        None => return Err(Errno::EINVAL),
        Some(parent) => (parent, path.file_name().ok_or(Errno::EINVAL)?),
    };
    Ok(Place {
        parent: c_path(parent)?,
        name: c_string(name)?,
    })
}

fn attributes(access: Access, devices: bool) -> u64 {
    let mut set = attribute::NOSUID;
    if !devices {
        set |= attribute::NODEV;
    }
    if access != Access::ReadWrite {
        set |= attribute::RDONLY;
    }
    set
}

fn tmpfs_options(size: Option<u64>, mode: u32) -> Result<Vec<(CString, Option<CString>)>, Errno> {
    let mut options = vec![(
        c"mode".to_owned(),
        Some(c_string(format!("{mode:o}").as_ref())?),
    )];
    if let Some(size) = size {
        options.push((
            c"size".to_owned(),
            Some(c_string(size.to_string().as_ref())?),
        ));
    }
    Ok(options)
}

fn mount_new(
    kind: &str,
    options: Vec<(CString, Option<CString>)>,
    target: &Path,
    attributes: u64,
) -> Result<Op, Errno> {
    Ok(Op::MountNew {
        kind: c_string(kind.as_ref())?,
        options,
        target: place(target)?,
        attributes,
    })
}

/// Where a program may be: itself when it has a slash, else in each absolute directory of the environment's `PATH`.
fn candidates(
    program: &OsStr,
    environment: &[(OsString, OsString)],
) -> Result<Vec<CString>, Errno> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    let default = OsStr::new("/usr/local/bin:/usr/bin:/bin");
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(default, |(_, value)| value.as_os_str());
    std::env::split_paths(path)
        // A relative entry would make the working directory choose the program.
        .filter(|directory| directory.is_absolute())
        .map(|directory| c_path(&directory.join(program)))
        .collect()
}

/// Turns a plan into what the executor works with.
///
/// # Errors
/// A string that C cannot hold, or a namespace to be joined that cannot be opened: nothing has been done then.
pub fn prepare(plan: &Plan) -> Result<Prepared, LaunchError> {
    prepare_sharing(plan, Vec::new())
}

/// The same, with what has been opened for each step that shares namespaces of another sandbox, in their order.
///
/// # Errors
/// As for [`prepare()`].
pub fn prepare_sharing(plan: &Plan, shared: Vec<Shared>) -> Result<Prepared, LaunchError> {
    let mut shared = shared.into_iter();
    let mut prepared = Prepared {
        clone_flags: 0,
        clone_step: None,
        join_before: Vec::new(),
        share: Vec::new(),
        join: None,
        own_directories: Vec::new(),
        maps: None,
        group: None,
        priorities: Vec::new(),
        child: Vec::new(),
        init: false,
        init_filter: None,
        program: Vec::new(),
        execute: ExecOp {
            step: 0,
            candidates: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
        },
        timeout: None,
        die_with_parent: false,
        new_session: false,
        new_terminal: false,
        cuts_capabilities: false,
        // What we and the child make has the modes that we say, whatever the caller's umask.
        umask: process::set_umask(0o022),
    };
    let scratch = needs_scratch(plan);
    let mut root_read_only = false;
    for (number, step) in plan.steps.iter().enumerate() {
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let failed = |errno: Errno| LaunchError::at_step(number, errno);
        if let Some(value) = priority::lower(&step.action) {
            prepared.priorities.push(Priority {
                step: index,
                value,
                may_fail: step.on_failure == OnFailure::Warn,
            });
            continue;
        }
        let op = match &step.action {
            Action::OwnDirectory { path } => {
                prepared.own_directories.push((index, path.clone()));
                continue;
            }
            Action::Clone { namespaces } => {
                prepared.clone_step = Some(number);
                for &kind in namespaces {
                    // The group namespace has to wait until the child is in its group (UnshareCgroupNamespace).
                    #[allow(clippy::cast_sign_loss)] // namespace flags are positive
                    if kind != NamespaceKind::Cgroup {
                        prepared.clone_flags |= u64::from(flag(kind).cast_unsigned());
                    }
                }
                continue;
            }
            Action::MapIds {
                uids,
                gids,
                deny_setgroups,
                helpers,
            } => {
                prepared.maps = Some((
                    index,
                    MapOp {
                        uids: uids.clone(),
                        gids: gids.clone(),
                        deny_setgroups: *deny_setgroups,
                        helpers: helpers.clone(),
                    },
                ));
                continue;
            }
            Action::EnterGroup(group) => {
                prepared.group = Some((index, group.clone()));
                continue;
            }
            Action::Init => {
                prepared.init = true;
                continue;
            }
            Action::Timeout { after } => {
                prepared.timeout = Some(*after);
                continue;
            }
            Action::DieWithParent => {
                prepared.die_with_parent = true;
                continue;
            }
            Action::Execute {
                program,
                arguments,
                environment,
            } => {
                prepared.execute = ExecOp {
                    step: index,
                    candidates: candidates(program, environment).map_err(failed)?,
                    arguments: arguments
                        .iter()
                        .map(|text| c_string(text))
                        .collect::<Result<_, _>>()
                        .map_err(failed)?,
                    environment: environment
                        .iter()
                        .map(|(name, value)| {
                            let mut text = name.clone();
                            text.push("=");
                            text.push(value);
                            c_string(&text)
                        })
                        .collect::<Result<_, _>>()
                        .map_err(failed)?,
                };
                continue;
            }
            Action::ShareNamespaces { .. } => {
                let opened = shared.next().ok_or_else(|| failed(Errno::EBADF))?;
                prepared.share.push((index, opened));
                continue;
            }
            Action::JoinNamespace { kind, path } => {
                let path = c_path(path).map_err(failed)?;
                let file =
                    at::open(at::working_directory(), &path, libc::O_RDONLY, 0).map_err(failed)?;
                if matches!(kind, NamespaceKind::User | NamespaceKind::Pid) {
                    prepared.join_before.push((index, file, flag(*kind)));
                    continue;
                }
                Op::Join {
                    file,
                    kind: flag(*kind),
                }
            }
            Action::Capabilities {
                keep,
                ambient,
                bounding,
                last,
            } => {
                if *bounding {
                    let op = Op::DropBounding {
                        keep: *keep,
                        last: *last,
                    };
                    prepared.child.push(Todo {
                        step: index,
                        op,
                        may_fail: false,
                    });
                }
                prepared.cuts_capabilities = true;
                Op::KeepCapabilities {
                    keep: *keep,
                    ambient: *ambient,
                }
            }
            Action::Seccomp(filter) => {
                let instructions = seccomp::prepare(&filter.program).into_vec();
                prepared.init_filter = Some(instructions.clone());
                Op::Seccomp(instructions)
            }
            Action::NewRoot { from, access } => {
                root_read_only = *access != Access::ReadWrite && !matches!(from, Root::Empty);
                Op::NewRoot {
                    from: match from {
                        Root::Host => RootOp::Host,
                        Root::Directory(path) => RootOp::Directory(c_path(path).map_err(failed)?),
                        Root::Empty => RootOp::Empty,
                    },
                    attributes: attributes(*access, false),
                    scratch,
                }
            }
            Action::PivotRoot => Op::PivotRoot {
                read_only: root_read_only,
            },
            Action::NewTerminal => {
                prepared.new_terminal = true;
                prepared.new_session = true;
                super::relay::terminal_op()
            }
            Action::NewSession => {
                prepared.new_session = true;
                Op::NewSession
            }
            simple => simple_op(simple, index).map_err(failed)?,
        };
        let todo = Todo {
            step: index,
            op,
            may_fail: step.on_failure == OnFailure::Warn,
        };
        match step.phase() {
            Phase::Program => prepared.program.push(todo),
            _ => prepared.child.push(todo),
        }
    }
    Ok(prepared)
}

/// Whether files are covered, which takes a file system of ours to take others from; or so many directories that it
/// costs less than a file system for each.
fn needs_scratch(plan: &Plan) -> bool {
    let mut directories = 0;
    plan.steps.iter().any(|step| match step.action {
        Action::MountText { .. }
        | Action::Mask {
            directory: false, ..
        } => true,
        Action::Mask { .. } => {
            directories += 1;
            directories > 3
        }
        _ => false,
    })
}

fn simple_op(action: &Action, index: u32) -> Result<Op, Errno> {
    Ok(match action {
        Action::NewSessionKeyring => Op::NewSessionKeyring,
        Action::UnshareCgroupNamespace => Op::Unshare(libc::CLONE_NEWCGROUP),
        Action::Hostname { name } => Op::Hostname(c_string(name.as_ref())?),
        Action::LoopbackUp => Op::LoopbackUp,
        Action::PrivatePropagation => Op::PrivatePropagation,
        Action::MakeDirectory { path, mode } => Op::MakeDirectory {
            path: c_path(path)?,
            place: place(path)?,
            mode: *mode,
        },
        Action::MakeFile { path } => Op::MakeFile(place(path)?),
        Action::MakeLink { path, target } => Op::MakeLink {
            place: place(path)?,
            target: c_path(target)?,
        },
        Action::MountHost {
            source,
            target,
            access,
            devices,
        } => Op::MountHost {
            source: place(source)?,
            target: place(target)?,
            attributes: attributes(*access, *devices),
        },
        Action::Restrict { path, access } => Op::Restrict {
            path: c_path(path)?,
            read_only: *access != Access::ReadWrite,
        },
        Action::MountTmpfs { target, size, mode } => mount_new(
            "tmpfs",
            tmpfs_options(*size, *mode)?,
            target,
            attribute::NOSUID | attribute::NODEV,
        )?,
        Action::MountProc { target } => mount_new(
            "proc",
            Vec::new(),
            target,
            attribute::NOSUID | attribute::NODEV | attribute::NOEXEC,
        )?,
        Action::MountDevpts { target } => mount_new(
            "devpts",
            vec![
                (c"newinstance".to_owned(), None),
                (c"ptmxmode".to_owned(), Some(c"0666".to_owned())),
                (c"mode".to_owned(), Some(c"0620".to_owned())),
            ],
            target,
            attribute::NOSUID | attribute::NOEXEC,
        )?,
        Action::MountMqueue { target } => mount_new(
            "mqueue",
            Vec::new(),
            target,
            attribute::NOSUID | attribute::NODEV | attribute::NOEXEC,
        )?,
        Action::Mask { path, directory } => Op::Mask {
            place: place(path)?,
            directory: *directory,
        },
        Action::MountText { target, content } => Op::Text {
            target: place(target)?,
            name: c_string(format!("text-{index}").as_ref())?,
            content: content.clone().into_bytes(),
        },
        Action::Seal { path } => Op::Seal {
            path: c_path(path)?,
        },
        Action::NoNewPrivileges => Op::NoNewPrivileges,
        Action::ResourceLimit {
            resource, value, ..
        } => Op::ResourceLimit {
            resource: *resource,
            value: *value,
        },
        Action::CpuAffinity { cpus } => Op::CpuAffinity(process::CpuMask::of(cpus.numbers())),
        Action::Umask { mode } => Op::Umask(*mode),
        Action::WorkingDirectory { candidates } => Op::WorkingDirectory(
            candidates
                .iter()
                .map(|path| c_path(path))
                .collect::<Result<_, _>>()?,
        ),
        Action::CloseDescriptors => Op::CloseDescriptors,
        // Everything else is taken apart by `prepare` itself.
        _ => return Err(Errno::ENOSYS),
    })
}
