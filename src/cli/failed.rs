//! A launch that did not happen, told: what was asked, where, what the kernel said, what it means for that step, and
//! what to do.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::exec::LaunchError;
use crate::kernel::Errno;
use crate::plan::step::{NamespaceKind, Root};
use crate::plan::{Action, Plan};
use crate::report::{SourceMap, escape};

use super::status;

/// The message and the exit status.
pub(super) struct Told {
    pub text: String,
    pub status: i32,
}

/// What an errno means for one kind of step, and what would help.
#[derive(Default)]
struct Meaning {
    means: &'static str,
    help: Vec<String>,
}

fn meaning(means: &'static str, help: &[&str]) -> Meaning {
    Meaning {
        means,
        help: help.iter().map(|&line| line.to_owned()).collect(),
    }
}

/// What to do where nothing is known.
const AGAIN: &str =
    "start it again; if it stays so, `sandboxctl doctor` tries what this host allows";

const DOCTOR: &str = "`sandboxctl doctor` tries what this host allows, and names the exact fix";

fn explain(action: &Action, errno: Errno) -> Meaning {
    match (action, errno) {
        (Action::Clone { namespaces }, Errno::EPERM)
            if namespaces.contains(&NamespaceKind::User) =>
        {
            meaning(
                "this system does not let ordinary users make user namespaces, or we run in a chroot",
                &[
                    DOCTOR,
                    "Ubuntu since 23.10 restricts them by AppArmor (kernel.apparmor_restrict_unprivileged_userns); \
                       hardened Debian kernels by kernel.unprivileged_userns_clone=0",
                ],
            )
        }
        (Action::Clone { .. }, Errno::EPERM) => meaning(
            "the caller lacks CAP_SYS_ADMIN for these namespaces",
            &[DOCTOR],
        ),
        (Action::Clone { .. }, Errno::ENOSPC) => meaning(
            "a limit on the number of namespaces is reached",
            &[
                "the limits are in /proc/sys/user/max_*_namespaces; 0 forbids that kind altogether",
                DOCTOR,
            ],
        ),
        (Action::Clone { .. }, Errno::EAGAIN) => meaning(
            "a limit on processes is reached",
            &["see `ulimit -u`, and pids.max of the caller's control group"],
        ),
        (Action::Clone { .. }, Errno::EINVAL) => {
            meaning("this kernel lacks one of these namespaces", &[DOCTOR])
        }
        (Action::Clone { .. }, Errno::ENOSYS) => meaning(
            "clone3 is not to be had: an outer sandbox forbids it, or the kernel is older than 5.3",
            &[],
        ),
        (Action::MapIds { .. }, Errno::EPERM) => meaning(
            "the kernel does not let the caller map these ids",
            &[
                "an ordinary user may map only the own id, or ranges of /etc/subuid with `user.subordinate-ids = true`",
            ],
        ),
        (Action::MountProc { .. }, Errno::EPERM) => meaning(
            "a new /proc may only be mounted where the whole of the present one can be seen",
            &[
                "in a container parts of /proc are covered: start the sandbox outside of it, or do without `namespaces.pid`",
            ],
        ),
        (
            Action::MountOverlay { .. }
            | Action::NewRoot {
                from: Root::Overlay(_),
                ..
            },
            Errno::EPERM | Errno::ENODEV | Errno::EINVAL | Errno::EOPNOTSUPP,
        ) => meaning(
            "this kernel does not let this caller mount an overlay: user namespaces may since Linux 5.11, if the module is there",
            &[
                "{ root = NAME, access = \"read-only\" } needs none: nothing can be changed inside then",
                "the place of `overlay`, and that where changes are kept, have to be on a file system of a disk: XDG_DATA_HOME can lead elsewhere",
                "\"read-only\" and \"read-write\" need no overlay",
            ],
        ),
        (Action::MountHost { .. } | Action::NewRoot { .. }, Errno::ELOOP | Errno::ENOTDIR) => {
            meaning(
                "a component of the path has become a symbolic link since it was looked at",
                &["somebody is changing the file system; start it again"],
            )
        }
        (Action::MountHost { .. }, Errno::ENOENT) => meaning(
            "the path has vanished since it was looked at, or the place to mount on does not exist",
            &["start it again"],
        ),
        (
            Action::MountHost { .. } | Action::Restrict { .. } | Action::Mask { .. },
            Errno::EACCES,
        ) => meaning(
            "the caller may not pass one of the directories on the way",
            &[],
        ),
        (Action::OwnDirectory { .. }, Errno::ENOSPC | Errno::EDQUOT) => meaning(
            "the file system that it is to lie on is full, or the caller's part of it is",
            &["make room there: `df -h` and `df -i` say how much there is, `quota` what is yours"],
        ),
        (Action::OwnDirectory { path }, Errno::EROFS) => Meaning {
            means: "the file system that it is to lie on is read-only, and only what is there can be kept from the program",
            help: vec![
                format!(
                    "make it where that can be written to: mkdir -p -m 700 {}",
                    escape::os(path.as_os_str())
                ),
                "or have XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_STATE_HOME lead elsewhere"
                    .to_owned(),
            ],
        },
        (_, Errno::ENOSPC) => meaning(
            "the limit on mounts is reached (fs.mount-max), or a file system of ours is full",
            &[],
        ),
        (Action::NewTerminal, Errno::ENOENT | Errno::ENXIO) => meaning(
            "there is no /dev/ptmx inside",
            &[
                "show /dev, or use a minimal one (`devices.default = \"minimal\"`), or set `process.terminal = \"caller\"`",
            ],
        ),
        (Action::KeepAway(_), Errno::EMFILE) => meaning(
            "you have as many inotify queues open as you may",
            &[
                "end programs that watch files, or raise the limit: sysctl fs.inotify.max_user_instances",
            ],
        ),
        (Action::KeepAway(_), Errno::ECHILD) => meaning(
            "the process that was to do it was killed before it had begun",
            &["start it again"],
        ),
        (Action::WorkingDirectory { .. }, Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR) => {
            meaning(
                "it cannot be entered inside",
                &["name another one with --chdir, or show this one with --ro or --rw"],
            )
        }
        (Action::Nice { .. }, Errno::EACCES | Errno::EPERM) => meaning(
            "lowering it needs CAP_SYS_NICE on the host",
            &[
                "`nice` prints the caller's; say that or more, or start it as root",
                "root can allow a user to go lower with a `nice` line in /etc/security/limits.conf (RLIMIT_NICE, `ulimit -e`)",
            ],
        ),
        (Action::OomScoreAdjust { .. }, Errno::EACCES | Errno::EPERM) => meaning(
            "lowering it needs CAP_SYS_RESOURCE on the host",
            &["/proc/self/oom_score_adj has the caller's; say that or more, or start it as root"],
        ),
        (Action::IoPriority { .. }, Errno::EPERM) => meaning(
            "a real-time I/O priority needs CAP_SYS_NICE or CAP_SYS_ADMIN on the host, or an outer sandbox forbids the call",
            &["\"best-effort:0\" is the highest that an ordinary user may have"],
        ),
        (Action::Scheduler { value }, Errno::EPERM) if value.is_real_time() => meaning(
            "real time needs CAP_SYS_NICE on the host or an RLIMIT_RTPRIO of that priority, and on a kernel with \
             CONFIG_RT_GROUP_SCHED time for it in the CPU group",
            &[
                "root can allow a user with an `rtprio` line in /etc/security/limits.conf (`ulimit -r` shows it)",
                "on cgroup v1, a group of cpu.rt_runtime_us = 0 has none: see that file in the group that /proc/self/cgroup \
                 names beside `cpu`, and in the sandbox's own, which is new: real time and a CPU limit of [limits] exclude each other there",
            ],
        ),
        (Action::Scheduler { .. }, Errno::EPERM) => meaning(
            "the caller runs at \"idle\" or in real time and may not leave it, which needs CAP_SYS_NICE on the host, or an \
             outer sandbox forbids the call",
            &[],
        ),
        (Action::CpuAffinity { .. }, Errno::EINVAL) => meaning(
            "one of these CPUs is not there, or the control group does not allow it",
            &[
                "/sys/devices/system/cpu/online lists those that are there, Cpus_allowed_list in /proc/self/status those that \
                 are allowed",
            ],
        ),
        (Action::ResourceLimit { .. }, Errno::EPERM) => meaning(
            "it would raise the hard limit, which needs CAP_SYS_RESOURCE",
            &["see `ulimit -H -a` for what the caller may use"],
        ),
        (Action::ResourceLimit { .. }, Errno::EINVAL) => meaning(
            "this kernel does not know that limit, or takes no such value",
            &[],
        ),
        (Action::Landlock(_), Errno::E2BIG) => meaning(
            "16 rulesets of Landlock hold this process already: sandboxes in sandboxes",
            &["start it outside of them, or with `process.landlock = false`"],
        ),
        (Action::Landlock(_), Errno::ENOENT | Errno::ELOOP | Errno::EINVAL) => meaning(
            "what a rule names has changed since it was looked at",
            &["somebody is changing the file system; start it again"],
        ),
        (Action::Landlock(_), Errno::EPERM) => meaning(
            "an outer sandbox forbids Landlock",
            &["to do without the second wall: `process.landlock = false`"],
        ),
        (Action::Seccomp(_), Errno::EINVAL) => meaning(
            "this kernel does not know an answer that the filter gives, or has no seccomp",
            &[DOCTOR],
        ),
        (Action::NewSessionKeyring, Errno::EDQUOT) => meaning(
            "the caller has too many keys",
            &["see /proc/key-users; or set `process.session-keyring = \"caller\"`"],
        ),
        (Action::ShareNamespaces { .. }, Errno::EPERM) => meaning(
            "the kernel lets the caller not into the user namespace that these namespaces belong to",
            &[DOCTOR],
        ),
        (Action::JoinNamespace { .. }, Errno::EACCES) => meaning(
            "the process that it belongs to is another user's, or may not be looked into",
            &["entering it takes root, or the privileges of its owner"],
        ),
        (Action::JoinNamespace { .. }, Errno::EPERM) => meaning(
            "the caller has no privilege over that namespace",
            &["it belongs to another user, or to a user namespace that is not joined too"],
        ),
        (Action::JoinNamespace { .. }, Errno::EINVAL) => {
            meaning("that file is no namespace of this kind", &[])
        }
        (Action::JoinNamespace { .. }, Errno::ENOENT) => {
            meaning("that namespace does not exist (any more)", &[])
        }
        _ => Meaning::default(),
    }
}

/// What an errno means wherever it comes from: something has run out, or is not there at all.
fn shortage(errno: Errno) -> Meaning {
    match errno {
        Errno::EMFILE => meaning(
            "the limit on open descriptors is reached",
            &["see `ulimit -n`: 64 are enough for most sandboxes"],
        ),
        Errno::ENFILE => meaning(
            "the limit on open files of the whole system is reached",
            &["see /proc/sys/fs/file-nr and fs.file-max"],
        ),
        Errno::ENOMEM => meaning(
            "memory is short, or a limit on it is reached",
            &["see `ulimit -v`, and the limits of the caller's control group"],
        ),
        Errno::EFBIG => meaning(
            "the limit on the size of files is reached",
            &["see `ulimit -f`"],
        ),
        Errno::ENOSYS => meaning(
            "this kernel, or a filter around `sandbox`, lacks a call that this takes",
            &[DOCTOR],
        ),
        Errno::ENOENT if !Path::new("/proc/self/ns").exists() => meaning(
            "there is no /proc here, without which nothing can be set up",
            &["mount it where `sandbox` is started: mount -t proc proc /proc"],
        ),
        _ => Meaning::default(),
    }
}

/// What to do where nobody knows better.
fn way_out(errno: Errno) -> &'static str {
    match errno {
        Errno::EAGAIN | Errno::EBUSY | Errno::EINTR | Errno::ENOENT | Errno::EPIPE => {
            "something has changed meanwhile: start it again"
        }
        Errno::EIO => "a disk, or what is mounted, fails: see the kernel's messages (dmesg)",
        Errno::EROFS => "see in /proc/self/mountinfo what is mounted read-only",
        _ => DOCTOR,
    }
}

/// Tells a failure.
pub(super) fn tell(error: &LaunchError, plan: &Plan, sources: &SourceMap) -> Told {
    tell_of(
        "sandbox: the sandbox could not be set up",
        error,
        plan,
        sources,
    )
}

/// Tells a failure of what `headline` says.
pub(super) fn tell_of(
    headline: &str,
    error: &LaunchError,
    plan: &Plan,
    sources: &SourceMap,
) -> Told {
    let step = error
        .step
        .and_then(|number| Some((number, plan.steps.get(number)?)));
    if let Some((_, step)) = step
        && let Action::Execute {
            program,
            environment,
            ..
        } = &step.action
        && let Some(errno) = error.errno
    {
        return not_executed(program, environment, errno);
    }
    let end = match error.begun {
        true => "if the program had begun, it was killed",
        false => "nothing was run",
    };
    let mut text = format!("{headline}; {end}\n");
    let mut help = Vec::new();
    let mut errno = error.errno;
    match step {
        Some((number, step)) => {
            let what = step.action.describe();
            let what = what.lines().next().unwrap_or_default();
            let _ = writeln!(text, "  step {}: {what}", number + 1);
            let site = error
                .site
                .filter(|site| !site.is_default())
                .unwrap_or(step.site);
            if !site.is_default() {
                let _ = writeln!(text, "  asked for: {}", sources.position(site));
            } else if !step.because.is_empty() {
                let _ = writeln!(text, "  asked for: {}", step.because);
            }
            if let Some(errno) = errno {
                let mut meaning = explain(&step.action, errno);
                if meaning.means.is_empty() || errno == Errno::ENOENT {
                    let other = shortage(errno);
                    if !other.means.is_empty() {
                        meaning = other;
                    }
                }
                help.extend(meaning.help);
                let _ = writeln!(text, "  the kernel said: {errno:?} ({})", errno.desc());
                if !meaning.means.is_empty() {
                    let _ = writeln!(text, "  which means: {}", meaning.means);
                }
            }
        }
        None => {
            let _ = writeln!(text, "  while: {}", escape::line(&error.doing));
            // The child's own words say it better than an errno of ours.
            if !error.detail.is_empty() {
                errno = None;
            }
            if let Some(errno) = errno {
                let meaning = shortage(errno);
                help.extend(meaning.help);
                let _ = writeln!(text, "  the kernel said: {errno:?} ({})", errno.desc());
                if !meaning.means.is_empty() {
                    let _ = writeln!(text, "  which means: {}", meaning.means);
                }
            }
        }
    }
    if !error.detail.is_empty() {
        let _ = writeln!(text, "  {}", escape::line(&error.detail));
    }
    if let Some(cause) = error.cause {
        help.extend(shortage(cause).help);
    }
    if help.is_empty() && error.help.is_empty() {
        help.push(errno.or(error.cause).map_or(AGAIN, way_out).to_owned());
    }
    for line in help.iter().chain(&error.help) {
        let _ = writeln!(text, "  help: {}", escape::line(line));
    }
    Told {
        text,
        status: status::NOT_SET_UP,
    }
}

/// The sandbox stood, but the program could not be started in it.
fn not_executed(program: &OsStr, environment: &[(OsString, OsString)], errno: Errno) -> Told {
    let shown = escape::os(program);
    if errno == Errno::ENOENT {
        return Told {
            text: format!("sandbox: {shown}: {}\n", not_found(program, environment)),
            status: status::NOT_FOUND,
        };
    }
    if errno == Errno::EACCES
        && let Some(why) = file_of(program, environment).and_then(|file| not_executable(&file))
    {
        return Told {
            text: format!("sandbox: {shown}: {why}\n"),
            status: status::NOT_EXECUTABLE,
        };
    }
    let (why, status) = match errno {
        Errno::EACCES => (
            "permission denied: it, its interpreter or its loader is no executable file, lies on a file system without execution, or is not allowed by [execute]",
            status::NOT_EXECUTABLE,
        ),
        Errno::ENOEXEC => (
            "it is no program, and no script with a `#!` line",
            status::NOT_EXECUTABLE,
        ),
        Errno::EISDIR => ("it is a directory", status::NOT_EXECUTABLE),
        Errno::EAGAIN => (
            "no process could be made for it: a limit on processes is reached\n  help: see `limits.pids`, \
             `limits.processes` and `ulimit -u`",
            status::NOT_EXECUTABLE,
        ),
        Errno::ENOMEM => (
            "there is not enough memory to start it\n  help: see `limits.memory` and `limits.address-space`",
            status::NOT_EXECUTABLE,
        ),
        Errno::E2BIG => (
            "its arguments and variables are too long together",
            status::NOT_EXECUTABLE,
        ),
        Errno::ETXTBSY => (
            "somebody has the file open for writing",
            status::NOT_EXECUTABLE,
        ),
        other => {
            let help = shortage(other).help;
            let help = help.first().map_or(way_out(other), String::as_str);
            return Told {
                text: format!(
                    "sandbox: {shown}: it cannot be started; the kernel said: {other:?} ({})\n  help: {help}\n",
                    other.desc()
                ),
                status: status::NOT_EXECUTABLE,
            };
        }
    };
    Told {
        text: format!("sandbox: {shown}: {why}\n"),
        status,
    }
}

/// The directories in which a program is looked for.
fn search(environment: &[(OsString, OsString)]) -> Option<&OsStr> {
    let path = environment.iter().find(|(name, _)| name == "PATH");
    path.map(|(_, value)| value.as_os_str())
}

/// The program's file as the host has it.
fn file_of(program: &OsStr, environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    let path = Path::new(program);
    if program.as_bytes().contains(&b'/') {
        return path.exists().then(|| path.to_owned());
    }
    std::env::split_paths(search(environment)?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(path))
        .find(|file| file.is_file())
}

/// Why a file cannot be executed anywhere, where it is the file itself.
fn not_executable(file: &Path) -> Option<String> {
    let found = file.metadata().ok()?;
    let name = escape::os(file.as_os_str());
    match found.is_file() {
        false if found.is_dir() => Some("it is a directory".to_owned()),
        false => Some("it is no ordinary file".to_owned()),
        true if found.permissions().mode() & 0o111 == 0 => Some(format!(
            "permission denied: its mode does not let anybody execute it\n  help: if it is a program or a script: chmod +x {name}"
        )),
        true => None,
    }
}

/// The interpreter that the first line of a script names, when the host has none there.
fn lacking_interpreter(file: &Path) -> Option<String> {
    use std::io::Read;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    // So much of it the kernel reads.
    let mut line = Vec::new();
    let opened = std::fs::File::open(file).ok()?;
    opened.take(256).read_to_end(&mut line).ok()?;
    let line = line
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
    let word = words.find(|word| !word.is_empty())?;
    let interpreter = Path::new(OsStr::from_bytes(word));
    if interpreter.exists() {
        return None;
    }
    let help = match word.strip_suffix(b"\r") {
        Some(_) => "\n  help: its lines end as on Windows: sed -i 's/\\r$//' mends that",
        None => "",
    };
    Some(format!(
        "its first line names the interpreter `{}`, and there is no such file{help}",
        escape::os(interpreter.as_os_str())
    ))
}

/// A program that is not there at all is told apart from one that only the sandbox lacks.
fn not_found(program: &OsStr, environment: &[(OsString, OsString)]) -> String {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return if let Some(why) = lacking_interpreter(path) {
            why
        } else if path.exists() {
            format!(
                "it cannot be seen inside, or its interpreter or loader cannot\n  help: show it: --ro {0}; `sandbox --dry-run` says what is seen",
                escape::os(program)
            )
        } else {
            "there is no such file".to_owned()
        };
    }
    let Some(search) = search(environment) else {
        return "it was not found: PATH is not set inside".to_owned();
    };
    let outside = file_of(program, environment);
    match outside {
        Some(file) => {
            if let Some(why) = lacking_interpreter(&file) {
                return why;
            }
            let file = escape::os(file.as_os_str());
            format!(
                "{file} cannot be seen inside, or its interpreter or loader cannot\n  help: show it: --ro {file}; `sandbox --dry-run` says what is seen"
            )
        }
        None => format!(
            "it was not found in any directory of PATH\n  PATH inside: {}",
            escape::os(search)
        ),
    }
}
