//! Plan → [`Prepared`]: every string, descriptor and filter that the child needs, made before it exists.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::desktop::scan::is_shim;
use crate::kernel::mount::attribute;
use crate::kernel::slate::Slate;
use crate::kernel::{Errno, at, process, seccomp};
use crate::plan::companion;
use crate::plan::step::{Action, NamespaceKind, ProcOptions, Root};
use crate::plan::{OnFailure, Phase, Plan};
use crate::profile::value::Access;

use super::audit::{self, Audit};
use super::failure::LaunchError;
use super::filtered::{InitFilter, lets_memory_go};
use super::made::Made;
use super::overlay::{self};
use super::prepared::{ExecOp, MapOp, Op, Place, Prepared, RootOp, Todo};
use super::priority::{self, Priority};
use super::share::Shared;

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

pub(super) fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

pub(super) fn c_path(path: &Path) -> Result<CString, Errno> {
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

pub(super) fn tmpfs_options(
    size: Option<u64>,
    mode: u32,
) -> Result<Vec<(CString, Option<CString>)>, Errno> {
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

/// Words that every kernel takes, where there is a choice.
fn proc_options(options: &ProcOptions) -> Result<Vec<(CString, Option<CString>)>, Errno> {
    let mut out = Vec::new();
    if let Some(word) = options.hide {
        out.push((c"hidepid".to_owned(), Some(c_string(word.as_ref())?)));
    }
    if options.only_processes {
        out.push((c"subset".to_owned(), Some(c"pid".to_owned())));
    }
    Ok(out)
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
        // A command that would start a sandbox, in this one, is not what was meant.
        .filter(|directory| !(may_have_shims(directory) && is_shim(&directory.join(program))))
        .map(|directory| c_path(&directory.join(program)))
        .collect()
}

/// Where `sandboxctl desktop install --shims` puts commands: no other directory is looked at.
fn may_have_shims(directory: &Path) -> bool {
    directory == Path::new("/usr/local/bin") || directory.ends_with(".local/bin")
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
#[inline(never)] // what it needs of the stack is not to stay with who waits for the program
pub fn prepare_sharing(plan: &Plan, shared: Vec<Shared>) -> Result<Prepared, LaunchError> {
    let mut shared = shared.into_iter();
    let mut prepared = Prepared {
        clone_flags: 0,
        clone_step: None,
        join_before: Vec::new(),
        share: Vec::new(),
        join: None,
        run_directory: None,
        companions: Vec::new(),
        made: Vec::new(),
        own_directories: Vec::new(),
        created: Vec::new(),
        maps: None,
        group: None,
        names: None,
        priorities: Vec::new(),
        child: Vec::new(),
        init: false,
        init_step: None,
        init_filter: None,
        init_gives_back: true,
        slate: None,
        program: Vec::new(),
        execute: ExecOp {
            step: 0,
            candidates: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
        },
        audit: Audit::of(plan)?,
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
        if audit::is_left_out(number) {
            continue;
        }
        if let Some(value) = priority::lower(&step.action) {
            prepared.priorities.push(Priority {
                step: index,
                value,
                may_fail: step.on_failure == OnFailure::Warn,
            });
            continue;
        }
        let op = match &step.action {
            Action::RunDirectory => {
                prepared.run_directory = Some(number);
                continue;
            }
            Action::StartCompanion(companion) => {
                prepared.companions.push((number, companion.clone()));
                continue;
            }
            Action::Cookie { name, copy } => {
                let (name, copy) = (name.clone(), copy.clone());
                prepared.made.push((number, Made::Cookie { name, copy }));
                continue;
            }
            Action::DesktopEntry { path, text } => {
                let (path, text) = (path.clone(), text.clone());
                prepared.made.push((number, Made::Entry { path, text }));
                continue;
            }
            Action::WaylandContext {
                compositor,
                name,
                engine,
                app,
            } => {
                let context = Made::Context {
                    name: name.clone(),
                    compositor: compositor.clone(),
                    engine: engine.clone(),
                    app: app.clone(),
                };
                prepared.made.push((number, context));
                continue;
            }
            Action::OwnDirectory { path } => {
                prepared.own_directories.push((index, path.clone()));
                continue;
            }
            Action::Create { path, what } => {
                prepared.created.push((index, path.clone(), *what));
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
                prepared.init_step = Some(index);
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
                let of_init = InitFilter::new(index, filter)
                    .map_err(|why| failed(Errno::E2BIG).detail(why.to_string()))?;
                prepared.init_filter = Some(of_init);
                prepared.init_gives_back = lets_memory_go(filter);
                prepared.slate = Some(Slate::new().map_err(failed)?);
                Op::Seccomp(seccomp::prepare(&filter.program).into_vec())
            }
            Action::NewRoot { from, access } => {
                root_read_only =
                    *access != Access::ReadWrite && !matches!(from, Root::Empty | Root::Overlay(_));
                Op::NewRoot {
                    from: match from {
                        Root::Host => RootOp::Host,
                        Root::Directory(path) => RootOp::Directory(c_path(path).map_err(failed)?),
                        Root::Empty => RootOp::Empty,
                        Root::Overlay(overlay) => {
                            RootOp::Overlay(overlay::prepare(overlay, &prepared).map_err(failed)?)
                        }
                    },
                    attributes: attributes(*access, false),
                    scratch,
                }
            }
            Action::MountOverlay { overlay, target } => Op::MountOverlay {
                overlay: overlay::prepare(overlay, &prepared).map_err(failed)?,
                target: place(target).map_err(failed)?,
            },
            Action::PivotRoot => Op::PivotRoot {
                read_only: root_read_only,
            },
            Action::KeepAway(names) => {
                prepared.names = Some((index, names.clone()));
                Op::AwaitKeeper
            }
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

/// Whether files are covered, which takes a file system of ours to take others from. Directories have one of their own.
fn needs_scratch(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| {
        matches!(
            step.action,
            Action::MountText { .. }
                | Action::Mask {
                    directory: false,
                    ..
                }
        )
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
        Action::MountMade {
            name,
            target,
            access,
        } => Op::MountMade {
            // It must not lead out of the directory of the run.
            name: companion::is_name(name)
                .then(|| c_string(name))
                .ok_or(Errno::EINVAL)??,
            target: place(target)?,
            attributes: attributes(*access, false) | attribute::NOEXEC,
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
        Action::MountProc { target, options } => mount_new(
            "proc",
            proc_options(options)?,
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
        Action::NoExecution { path } => Op::NoExecution {
            path: c_path(path)?,
        },
        Action::DropGroups => Op::DropGroups,
        Action::NoNewPrivileges => Op::NoNewPrivileges,
        Action::Landlock(ruleset) => Op::Landlock(super::landlock::prepare(ruleset)?),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::desktop::copy::SHIM_MARK;

    #[test]
    fn commands_that_start_sandboxes_are_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let shims = home.path().join(".local/bin");
        fs::create_dir_all(&shims).unwrap();
        fs::write(
            shims.join("ours"),
            format!("#!/bin/sh\n{SHIM_MARK}\nexec x\n"),
        )
        .unwrap();
        fs::write(shims.join("theirs"), "#!/bin/sh\nexec x\n").unwrap();
        let path = format!("{}:/usr/bin", shims.display());
        let environment = [("PATH".into(), path.into())];
        let found = |name: &str| candidates(OsStr::new(name), &environment).unwrap().len();
        assert_eq!((found("ours"), found("theirs"), found("none")), (1, 2, 2));
    }
}
