//! Which kind of "no" a refused namespace is on this system, and the exact fix. Pure.
//!
//! See user_namespaces(7), namespaces(7), and the sysctls that distributions add.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::trial::Step;
use crate::kernel::Errno;
use crate::report::escape;

/// What must succeed for an ordinary user to mount a view.
pub const NEEDED_FOR_MOUNTS: [Step; 5] = [
    Step::User,
    Step::MapIds,
    Step::Mount,
    Step::Private,
    Step::Tmpfs,
];

/// What the answer depends on beside step and errno.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Surroundings {
    /// `user.max_user_namespaces`
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian, Arch)
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu)
    pub apparmor_restricts: bool,
    /// The security modules that run; empty when it cannot be told.
    pub modules: Vec<String>,
    /// Whether a seccomp filter holds us.
    pub filtered: bool,
    /// Whether our root is not that of the mount namespace.
    pub chroot: bool,
    /// Whether we have CAP_SYS_ADMIN.
    pub privileged: bool,
    /// Whether we are in a container.
    pub container: bool,
    /// The program `sandbox`.
    pub program: PathBuf,
}

/// A kind of "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// `user.max_…_namespaces` is 0.
    LimitZero,
    /// A limit on their number or depth is reached.
    LimitReached,
    /// `kernel.unprivileged_userns_clone` is 0.
    Knob,
    /// AppArmor keeps them from programs without a profile.
    AppArmor,
    /// SELinux.
    SeLinux,
    /// Another security module.
    Module,
    /// A seccomp filter, of a container or an outer sandbox.
    Filter,
    /// A container that covers parts of /proc.
    CoveredProc,
    /// We run in a chroot.
    Chroot,
    /// The kernel was built without.
    NotBuilt,
    /// The kernel gives them to root alone.
    Hardened,
    /// A limit on processes.
    Processes,
    /// None of these.
    Unknown,
}

/// Why, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The kind.
    pub cause: Cause,
    /// In this host's terms.
    pub detail: String,
    /// A line each; commands where there are any.
    pub fix: Vec<String>,
}

/// Judges a step that failed.
#[must_use]
pub fn classify(step: Step, errno: Errno, around: &Surroundings) -> Verdict {
    let cause = cause(step, errno, around);
    let (detail, fix) = words(step, cause, around);
    Verdict {
        cause,
        detail: format!("{errno:?} {}: {detail}", place(step)),
        fix,
    }
}

fn cause(step: Step, errno: Errno, around: &Surroundings) -> Cause {
    let has = |module: &str| around.modules.iter().any(|name| name == module);
    let denied = matches!(errno, Errno::EPERM | Errno::EACCES);
    match errno {
        Errno::ENOSPC | Errno::EUSERS => {
            return match (step, around.max_user_namespaces) {
                (Step::User, Some(0)) => Cause::LimitZero,
                _ => Cause::LimitReached,
            };
        }
        Errno::EINVAL | Errno::ENODEV => return Cause::NotBuilt,
        Errno::ENOSYS if around.filtered => return Cause::Filter,
        Errno::ENOSYS => return Cause::NotBuilt,
        Errno::EAGAIN => return Cause::Processes,
        _ if !denied => return Cause::Unknown,
        _ => {}
    }
    if step == Step::User {
        return match errno {
            Errno::EACCES if has("selinux") => Cause::SeLinux,
            Errno::EACCES if around.apparmor_restricts => Cause::AppArmor,
            Errno::EACCES if around.filtered => Cause::Filter,
            Errno::EACCES => Cause::Module,
            _ if around.unprivileged_userns_clone == Some(0) => Cause::Knob,
            _ if around.chroot => Cause::Chroot,
            _ if around.filtered => Cause::Filter,
            _ if around.apparmor_restricts => Cause::AppArmor,
            _ if has("selinux") => Cause::SeLinux,
            _ if around.privileged => Cause::Chroot,
            _ => Cause::Hardened,
        };
    }
    // A user namespace was made (or we are root), and what belongs to it is refused.
    if step == Step::Proc && errno == Errno::EPERM && !around.apparmor_restricts {
        return Cause::CoveredProc;
    }
    if around.apparmor_restricts {
        Cause::AppArmor
    } else if around.filtered {
        Cause::Filter
    } else if has("selinux") {
        Cause::SeLinux
    } else if errno == Errno::EACCES || around.container || has("apparmor") {
        Cause::Module
    } else {
        Cause::Unknown
    }
}

fn place(step: Step) -> &'static str {
    match step {
        Step::User => "on making a user namespace",
        Step::MapIds => "on writing the id maps of a user namespace",
        Step::Mount => "on making a mount namespace",
        Step::Private => "on making the mounts of a new namespace private",
        Step::Tmpfs => "on mounting a tmpfs in a new namespace",
        Step::Ipc => "on making an IPC namespace",
        Step::Uts => "on making a UTS namespace",
        Step::Net => "on making a network namespace",
        Step::Cgroup => "on making a cgroup namespace",
        Step::Time => "on making a time namespace",
        Step::Pid => "on making a pid namespace",
        Step::Proc => "on mounting the proc of a new pid namespace",
    }
}

/// The sysctl that limits a kind of namespace.
fn limit(step: Step) -> &'static str {
    match step {
        Step::User | Step::MapIds => "user.max_user_namespaces",
        Step::Mount | Step::Private | Step::Tmpfs => "user.max_mnt_namespaces",
        Step::Ipc => "user.max_ipc_namespaces",
        Step::Uts => "user.max_uts_namespaces",
        Step::Net => "user.max_net_namespaces",
        Step::Cgroup => "user.max_cgroup_namespaces",
        Step::Time => "user.max_time_namespaces",
        Step::Pid | Step::Proc => "user.max_pid_namespaces",
    }
}

/// Sets a sysctl now and after the next start.
fn sysctl(name: &str, value: &str) -> Vec<String> {
    vec![format!(
        "as root: echo '{name} = {value}' > /etc/sysctl.d/60-sandbox.conf && sysctl -p /etc/sysctl.d/60-sandbox.conf"
    )]
}

fn unconfined_container() -> String {
    "start the container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined --security-opt apparmor=unconfined".to_owned()
}

fn words(step: Step, cause: Cause, around: &Surroundings) -> (String, Vec<String>) {
    match cause {
        Cause::LimitZero => (
            "user namespaces are switched off (user.max_user_namespaces is 0)".to_owned(),
            sysctl("user.max_user_namespaces", "15000"),
        ),
        Cause::LimitReached => (
            format!(
                "the limit on their number ({}), or on their depth (32), is reached",
                limit(step)
            ),
            sysctl(limit(step), "15000"),
        ),
        Cause::Knob => (
            "user namespaces are kept from ordinary users (kernel.unprivileged_userns_clone is 0)"
                .to_owned(),
            sysctl("kernel.unprivileged_userns_clone", "1"),
        ),
        Cause::AppArmor => (
            format!(
                "AppArmor gives no capability in user namespaces to programs without a profile of their own (kernel.apparmor_restrict_unprivileged_userns is 1), and {} has none",
                escape::line(&around.program.to_string_lossy())
            ),
            profile(&around.program),
        ),
        Cause::SeLinux => (
            "SELinux does not let this domain do it".to_owned(),
            vec![
                "see what was denied: ausearch -m avc -ts recent".to_owned(),
                "as root, allow it: ausearch -m avc -ts recent --raw | audit2allow -M sandbox-userns && semodule -i sandbox-userns.pp"
                    .to_owned(),
            ],
        ),
        Cause::Module => (
            format!("a security module does not allow it ({})", modules(around)),
            if around.container {
                vec![unconfined_container()]
            } else {
                vec!["see what was denied: journalctl -k -g denied".to_owned()]
            },
        ),
        Cause::Filter => (
            "a seccomp filter forbids it: we are in a container or in another sandbox".to_owned(),
            vec![
                unconfined_container(),
                "or start `sandbox` outside of it".to_owned(),
            ],
        ),
        Cause::CoveredProc => (
            "the kernel mounts a new proc only where nothing covers a part of the present one, as containers do".to_owned(),
            vec![
                "start the container with --security-opt systempaths=unconfined".to_owned(),
                "or do without: `namespaces.pid = false`".to_owned(),
            ],
        ),
        Cause::Chroot => (
            "we run in a chroot, or something is mounted over our root: there the kernel refuses user namespaces".to_owned(),
            vec!["enter the directory with systemd-nspawn -D or with pivot_root(2) rather than with chroot".to_owned()],
        ),
        Cause::NotBuilt => (
            format!("this kernel ({}) lacks it", option(step)),
            vec![format!("use a kernel with {}", option(step))],
        ),
        Cause::Hardened => (
            "this kernel gives user namespaces to root alone, as hardened kernels do, or a security module refuses them"
                .to_owned(),
            vec![
                format!("security modules here: {}", modules(around)),
                "use the distribution's ordinary kernel, or start `sandbox` as root".to_owned(),
            ],
        ),
        Cause::Processes => (
            "a limit on processes is reached".to_owned(),
            vec!["see `ulimit -u`, and pids.max of the own control group".to_owned()],
        ),
        Cause::Unknown => (
            "for no reason that is known here".to_owned(),
            vec!["see what the kernel says: journalctl -k, or dmesg".to_owned()],
        ),
    }
}

fn modules(around: &Surroundings) -> String {
    if around.modules.is_empty() {
        "unknown".to_owned()
    } else {
        around.modules.join(", ")
    }
}

fn option(step: Step) -> &'static str {
    match step {
        Step::User | Step::MapIds => "CONFIG_USER_NS",
        Step::Ipc => "CONFIG_IPC_NS",
        Step::Uts => "CONFIG_UTS_NS",
        Step::Net => "CONFIG_NET_NS",
        Step::Cgroup => "CONFIG_CGROUPS",
        Step::Time => "CONFIG_TIME_NS",
        Step::Pid => "CONFIG_PID_NS",
        Step::Proc => "CONFIG_PROC_FS",
        Step::Mount | Step::Private | Step::Tmpfs => "CONFIG_NAMESPACES, CONFIG_TMPFS",
    }
}

/// An AppArmor profile for the two programs, which says `userns` and confines nothing.
fn profile(program: &Path) -> Vec<String> {
    let path = program.to_string_lossy();
    let plain = path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte));
    if !plain {
        return vec![
            "copy `sandbox` and `sandboxctl` to /usr/local/bin, and ask again there: profiles belong to paths"
                .to_owned(),
        ];
    }
    vec![
        format!(
            "as root: printf 'abi <abi/4.0>,\\nprofile sandbox-launcher {path}{{,ctl}} flags=(unconfined) {{\\n  userns,\\n}}\\n' > /etc/apparmor.d/sandbox-launcher"
        ),
        "then: apparmor_parser -r /etc/apparmor.d/sandbox-launcher".to_owned(),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn around(change: impl FnOnce(&mut Surroundings)) -> Surroundings {
        let mut around = Surroundings {
            max_user_namespaces: Some(15000),
            modules: vec!["capability".to_owned(), "landlock".to_owned()],
            program: "/usr/local/bin/sandbox".into(),
            ..Surroundings::default()
        };
        change(&mut around);
        around
    }

    #[test]
    fn each_kind_of_no() {
        let plain = || around(|_| {});
        let ubuntu = || around(|a| a.apparmor_restricts = true);
        let selinux = || around(|a| a.modules.push("selinux".to_owned()));
        let filtered = || around(|a| a.filtered = true);
        let container = || around(|a| a.container = true);
        for (step, errno, around, expected) in [
            (
                Step::User,
                Errno::ENOSPC,
                around(|a| a.max_user_namespaces = Some(0)),
                Cause::LimitZero,
            ),
            (Step::User, Errno::ENOSPC, plain(), Cause::LimitReached),
            (Step::User, Errno::EUSERS, plain(), Cause::LimitReached),
            (
                Step::Net,
                Errno::ENOSPC,
                around(|a| a.max_user_namespaces = Some(0)),
                Cause::LimitReached,
            ),
            // Debian, Arch, linux-hardened
            (
                Step::User,
                Errno::EPERM,
                around(|a| a.unprivileged_userns_clone = Some(0)),
                Cause::Knob,
            ),
            (
                Step::User,
                Errno::EPERM,
                around(|a| a.unprivileged_userns_clone = Some(1)),
                Cause::Hardened,
            ),
            (Step::User, Errno::EPERM, plain(), Cause::Hardened),
            (
                Step::User,
                Errno::EPERM,
                around(|a| a.privileged = true),
                Cause::Chroot,
            ),
            // Ubuntu: made, but without capabilities; or refused when the profile for that is absent
            (Step::User, Errno::EPERM, ubuntu(), Cause::AppArmor),
            (Step::User, Errno::EACCES, ubuntu(), Cause::AppArmor),
            (Step::MapIds, Errno::EPERM, ubuntu(), Cause::AppArmor),
            (Step::Private, Errno::EACCES, ubuntu(), Cause::AppArmor),
            (Step::Mount, Errno::EPERM, ubuntu(), Cause::AppArmor),
            (Step::Proc, Errno::EPERM, ubuntu(), Cause::AppArmor),
            // Fedora based, hardened
            (Step::User, Errno::EACCES, selinux(), Cause::SeLinux),
            (Step::User, Errno::EPERM, selinux(), Cause::SeLinux),
            (Step::Private, Errno::EACCES, selinux(), Cause::SeLinux),
            // containers
            (Step::User, Errno::EPERM, filtered(), Cause::Filter),
            (Step::User, Errno::ENOSYS, filtered(), Cause::Filter),
            (Step::Mount, Errno::EPERM, filtered(), Cause::Filter),
            (Step::Private, Errno::EACCES, container(), Cause::Module),
            (Step::Proc, Errno::EPERM, filtered(), Cause::CoveredProc),
            (Step::Proc, Errno::EPERM, plain(), Cause::CoveredProc),
            // a knob of the host is the reason also in a chroot or under a filter
            (
                Step::User,
                Errno::EPERM,
                around(|a| {
                    a.unprivileged_userns_clone = Some(0);
                    a.filtered = true;
                }),
                Cause::Knob,
            ),
            (
                Step::User,
                Errno::EPERM,
                around(|a| a.chroot = true),
                Cause::Chroot,
            ),
            (Step::User, Errno::EACCES, plain(), Cause::Module),
            (Step::User, Errno::EINVAL, plain(), Cause::NotBuilt),
            (Step::User, Errno::ENOSYS, plain(), Cause::NotBuilt),
            (Step::Time, Errno::EINVAL, plain(), Cause::NotBuilt),
            (Step::User, Errno::EAGAIN, plain(), Cause::Processes),
            (Step::Tmpfs, Errno::EIO, plain(), Cause::Unknown),
        ] {
            let verdict = classify(step, errno, &around);
            assert_eq!(verdict.cause, expected, "{step:?} {errno:?} {around:?}");
            assert!(!verdict.fix.is_empty(), "{step:?} {errno:?}");
        }
    }

    #[test]
    fn the_fix_names_what_is_to_be_typed() {
        let zero = around(|a| a.max_user_namespaces = Some(0));
        let verdict = classify(Step::User, Errno::ENOSPC, &zero);
        assert!(
            verdict.fix[0].contains("user.max_user_namespaces = 15000"),
            "{verdict:?}"
        );
        let verdict = classify(Step::Net, Errno::ENOSPC, &zero);
        assert!(
            verdict.fix[0].contains("user.max_net_namespaces"),
            "{verdict:?}"
        );
        let ubuntu = around(|a| a.apparmor_restricts = true);
        let verdict = classify(Step::MapIds, Errno::EPERM, &ubuntu);
        assert!(
            verdict.fix[0].contains("/usr/local/bin/sandbox{,ctl}"),
            "{verdict:?}"
        );
    }

    /// Two profiles for one path cancel each other: what is shipped and what is printed are the same file.
    #[test]
    fn the_shipped_profile_is_the_one_that_is_printed() {
        let shipped = include_str!("../../../packaging/apparmor/sandbox-launcher");
        let printed = profile(Path::new("/usr/bin/sandbox")).join("\n");
        for word in [
            "/etc/apparmor.d/sandbox-launcher",
            "profile sandbox-launcher ",
            "flags=(unconfined)",
            "userns,",
            "abi <abi/4.0>,",
        ] {
            assert!(
                shipped.contains(word) && printed.contains(word),
                "{word}: {printed}"
            );
        }
    }

    #[test]
    fn a_path_that_a_shell_or_a_profile_would_misread_is_not_written_out() {
        for path in [
            "/tmp/a'b/sandbox",
            "/tmp/a b/sandbox",
            "/x*/sandbox",
            "",
            "sandbox",
        ] {
            let odd = around(|a| {
                a.apparmor_restricts = true;
                a.program = path.into();
            });
            let verdict = classify(Step::MapIds, Errno::EPERM, &odd);
            assert!(
                !verdict.fix.iter().any(|line| line.contains("printf")),
                "{path}"
            );
        }
    }
}
