//! What this host offers to sandboxes, found out by trying. Nothing of it stays.

pub mod trial;
pub mod verdict;

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::probe::{Scope, helper, probe};
use crate::kernel::{Errno, at, descriptor, landlock, mount, process, seccomp};
use crate::report::Diagnostic;
use crate::section::limits::{Limits, want};

pub use trial::{Attempts, Step};
pub use verdict::{Cause, Surroundings, Verdict, classify};

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What plans are made from.
    pub facts: Facts,
    /// `x86_64` and the like, as uname(2) says.
    pub architecture: String,
    /// System calls that the launcher uses, and what came of them.
    pub calls: Calls,
    /// What filters can answer.
    pub seccomp: seccomp::Support,
    /// A user namespace, and everything else in it.
    pub in_user_namespace: Attempts,
    /// Namespaces without a user namespace; empty for an ordinary user.
    pub directly: Attempts,
    /// What refusals depend on.
    pub around: Surroundings,
    /// What there is of a desktop.
    pub desktop: super::desktop::Survey,
    /// Programs of others that rules need.
    pub helpers: Vec<Helper>,
    /// Whether set-user-ID programs give nothing to us.
    pub no_new_privileges: bool,
    /// Whether we are in a user namespace that does not map all ids.
    pub nested: bool,
    /// `dev.tty.legacy_tiocsti`
    pub tiocsti: Option<String>,
    /// `kernel.yama.ptrace_scope`
    pub ptrace_scope: Option<String>,
    /// `kernel.core_pattern`
    pub core_pattern: Option<String>,
}

/// System calls, tried.
#[derive(Clone, Debug)]
pub struct Calls {
    /// clone3(2)
    pub clone3: Result<(), Errno>,
    /// pidfd_open(2)
    pub pidfd: Result<(), Errno>,
    /// close_range(2), with close-on-exec
    pub close_range: Result<(), Errno>,
    /// openat2(2)
    pub openat2: Result<(), Errno>,
    /// mount_setattr(2), the latest of the new mount calls
    pub mount_api: bool,
    /// keyctl(2)
    pub keyrings: bool,
    /// The version of Landlock's interface
    pub landlock: Result<u32, Errno>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            clone3: Ok(()),
            pidfd: Ok(()),
            close_range: Ok(()),
            openat2: Ok(()),
            mount_api: true,
            keyrings: true,
            landlock: Err(Errno::ENOSYS),
        }
    }
}

/// A program that others wrote.
#[derive(Clone, Debug, Default)]
pub struct Helper {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// Whether it gets privilege when it is started: set-user-ID root, or file capabilities.
    pub privileged: bool,
}

const HELPERS: [&str; 4] = ["newuidmap", "newgidmap", "pasta", "xdg-dbus-proxy"];

/// Looks and tries.
///
/// # Errors
/// Those of [`probe`].
pub fn examine() -> Result<Findings, Diagnostic> {
    let mut facts = probe(Scope::ALL)?;
    facts.dbus.proxy = super::dbus::proxy();
    if let Some(proxy) = &mut facts.dbus.proxy {
        proxy.examine();
    }
    let sample = Limits::sample();
    let wanted = want::all(sample.iter().map(|(key, ..)| key));
    facts.cgroup = super::cgroup::probe_for(facts.caller.uid, &wanted);
    for key in wanted.paths {
        let disk = super::disk::find(Path::new(&key));
        facts.cgroup.disks.insert(key, disk);
    }
    facts.cgroup.may_refuse_devices = facts.caller.is_privileged() && is_initial_user_namespace();
    let (uid, gid) = (facts.caller.uid, facts.caller.gid);
    Ok(Findings {
        architecture: nix::sys::utsname::uname()
            .map(|name| name.machine().to_string_lossy().into_owned())
            .unwrap_or_default(),
        calls: Calls {
            clone3: trial::plain_clone(),
            pidfd: process::open(std::process::id().cast_signed()).map(drop),
            // No descriptor has the highest number.
            close_range: descriptor::close_from_on_exec(u32::MAX),
            openat2: at::try_openat2(),
            mount_api: mount::supported(),
            keyrings: process::has_keyrings(),
            landlock: landlock::version(),
        },
        seccomp: seccomp::support(),
        in_user_namespace: trial::in_user_namespace(uid, gid),
        directly: if facts.caller.is_privileged() {
            trial::directly()
        } else {
            Attempts::new()
        },
        around: surroundings(facts.caller.is_privileged()),
        no_new_privileges: process::has_no_new_privileges(),
        nested: is_nested(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default()),
        desktop: super::desktop::survey(&facts.caller),
        helpers: HELPERS.iter().map(|name| look_for(name)).collect(),
        tiocsti: sysctl("dev/tty/legacy_tiocsti"),
        ptrace_scope: sysctl("kernel/yama/ptrace_scope"),
        core_pattern: sysctl("kernel/core_pattern"),
        facts,
    })
}

/// Tries whether an ordinary caller gets a user namespace in which he may mount. Says why not; nothing when he does.
#[must_use]
pub fn user_namespace_refused() -> Option<super::facts::Refused> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let attempts = trial::in_user_namespace(uid.as_raw(), gid.as_raw());
    let (step, errno) = verdict::NEEDED_FOR_MOUNTS
        .iter()
        .find_map(|step| Some((*step, (*attempts.get(step)?).err()?)))?;
    let verdict = classify(step, errno, &surroundings(false));
    Some(super::facts::Refused {
        detail: verdict.detail,
        fix: verdict.fix,
    })
}

fn sysctl(name: &str) -> Option<String> {
    let text = fs::read(Path::new("/proc/sys").join(name)).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

fn surroundings(privileged: bool) -> Surroundings {
    let number = |name| sysctl(name)?.parse().ok();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Surroundings {
        max_user_namespaces: number("user/max_user_namespaces"),
        unprivileged_userns_clone: number("kernel/unprivileged_userns_clone"),
        apparmor_restricts: number("kernel/apparmor_restrict_unprivileged_userns") == Some(1),
        modules: modules(),
        filtered: status
            .lines()
            .any(|line| line.starts_with("Seccomp:") && line.ends_with('2')),
        chroot: is_chroot(&fs::read("/proc/self/mountinfo").unwrap_or_default()),
        privileged,
        container: [
            "/.dockerenv",
            "/run/.containerenv",
            "/run/systemd/container",
        ]
        .iter()
        .any(|path| Path::new(path).exists()),
        program: std::env::current_exe()
            .map(|path| path.with_file_name("sandbox"))
            .unwrap_or_default(),
    }
}

/// Whether this process is in the initial user namespace, whose capabilities count for everything.
#[must_use]
pub fn is_initial_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && !is_nested(&map)
}

/// Whether a map of ids is not that of the first user namespace, which has all of them.
fn is_nested(map: &str) -> bool {
    !map.is_empty() && map.split_whitespace().ne(["0", "0", "4294967295"])
}

/// Whether no mount is at our root: then it is a directory within one (chroot(2)).
fn is_chroot(mountinfo: &[u8]) -> bool {
    let mut lines = mountinfo.split(|byte| *byte == b'\n').peekable();
    lines.peek().is_some_and(|line| !line.is_empty())
        && !lines.any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(b"/"))
}

/// The security modules that run.
fn modules() -> Vec<String> {
    if let Ok(text) = fs::read_to_string("/sys/kernel/security/lsm") {
        return text.trim().split(',').map(str::to_owned).collect();
    }
    // securityfs is seldom mounted in containers; these two can be told otherwise.
    let mut found = Vec::new();
    if fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.trim() == "Y")
    {
        found.push("apparmor".to_owned());
    }
    if Path::new("/sys/fs/selinux/enforce").exists() {
        found.push("selinux".to_owned());
    }
    found
}

fn look_for(name: &'static str) -> Helper {
    let path = helper(name);
    let privileged = path.as_deref().is_some_and(|path| {
        let set_user = fs::metadata(path)
            .is_ok_and(|found| found.uid() == 0 && found.permissions().mode() & libc::S_ISUID != 0);
        set_user || has_attribute(path, c"security.capability")
    });
    Helper {
        name,
        path,
        privileged,
    }
}

fn has_attribute(path: &Path, name: &CStr) -> bool {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .is_ok_and(|path| at::has_attribute(&path, name))
}

#[cfg(test)]
mod tests {
    use super::{is_chroot, is_nested};

    #[test]
    fn a_nested_user_namespace_maps_less() {
        assert!(!is_nested("         0          0 4294967295\n"));
        assert!(!is_nested(""));
        assert!(is_nested("      1001       1001          1\n"));
    }

    #[test]
    fn a_chroot_has_no_mount_at_its_root() {
        let host = b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /proc rw - proc proc rw\n";
        let inside = b"2 1 0:5 / /proc rw - proc proc rw\n";
        assert!(!is_chroot(host));
        assert!(is_chroot(inside));
        // Nothing is known without /proc.
        assert!(!is_chroot(b""));
    }
}
