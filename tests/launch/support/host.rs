//! What this host offers to the cases, and what a case can ask of it.

use std::fmt;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::unistd::{AccessFlags, Uid, access};

use super::{probe, scene};

/// Something that a case needs. It displays as the name that `SANDBOX_TEST_REQUIRE` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `root`: effective uid 0.
    Root,
    /// `ordinary-user`: any other uid.
    OrdinaryUser,
    /// `userns`: user namespaces in which mounting works.
    UserNamespaces,
    /// `user-attributes`: where scenes are, files keep `user.` attributes, without which an overlay of an ordinary user
    /// cannot tell what is removed.
    UserAttributes,
    /// `no-userns`: the contrary.
    NoUserNamespaces,
    /// `cgroup-v1`: v1 hierarchies with memory and pids (hybrid counts).
    CgroupV1,
    /// `cgroup-v2`: a v2 hierarchy with memory and pids.
    CgroupV2,
    /// `limits`: memory and pids can be limited by us, in whatever way: as root, in a
    /// group that is ours, or through the user's service manager.
    Limits,
    /// `controller:NAME`: this controller exists in some hierarchy.
    Controller(&'static str),
    /// `systemd`: systemd is process 1.
    Systemd,
    /// `systemd-user`: the caller's service manager answers.
    SystemdUser,
    /// `no-systemd-user`: there is none.
    NoSystemdUser,
    /// `swap`: swap space is in use.
    Swap,
    /// `swap-limit`: the memory controller can limit swap.
    SwapLimit,
    /// `program:NAME`: an executable on the path.
    Program(&'static str),
    /// `binary:NAME`: a program of this workspace, built.
    Binary(&'static str),
    /// `capability:NAME` (lower case, without `cap_`): effective.
    Capability(&'static str),
    /// `landlock:N`: at least this Landlock ABI.
    Landlock(u32),
    /// `file:PATH`: this file exists.
    File(&'static str),
    /// `limit:KEY`: `sandboxctl doctor` says that this limit can be held here.
    Limit(&'static str),
}

const PLAIN: &[Need] = &[
    Need::Root,
    Need::OrdinaryUser,
    Need::UserNamespaces,
    Need::UserAttributes,
    Need::NoUserNamespaces,
    Need::CgroupV1,
    Need::CgroupV2,
    Need::Limits,
    Need::Systemd,
    Need::SystemdUser,
    Need::NoSystemdUser,
    Need::Swap,
    Need::SwapLimit,
];
const PREFIXES: &[&str] = &[
    "controller:",
    "program:",
    "binary:",
    "capability:",
    "landlock:",
    "file:",
    "limit:",
];

impl Need {
    /// Whether `name` is how some need is displayed.
    pub fn is_name(name: &str) -> bool {
        PLAIN.iter().any(|need| need.to_string() == name)
            || PREFIXES
                .iter()
                .any(|p| name.len() > p.len() && name.starts_with(p))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Root => f.write_str("root"),
            Need::OrdinaryUser => f.write_str("ordinary-user"),
            Need::UserNamespaces => f.write_str("userns"),
            Need::UserAttributes => f.write_str("user-attributes"),
            Need::NoUserNamespaces => f.write_str("no-userns"),
            Need::CgroupV1 => f.write_str("cgroup-v1"),
            Need::CgroupV2 => f.write_str("cgroup-v2"),
            Need::Limits => f.write_str("limits"),
            Need::Controller(name) => write!(f, "controller:{name}"),
            Need::Systemd => f.write_str("systemd"),
            Need::SystemdUser => f.write_str("systemd-user"),
            Need::NoSystemdUser => f.write_str("no-systemd-user"),
            Need::Swap => f.write_str("swap"),
            Need::SwapLimit => f.write_str("swap-limit"),
            Need::Program(name) => write!(f, "program:{name}"),
            Need::Binary(name) => write!(f, "binary:{name}"),
            Need::Capability(name) => write!(f, "capability:{name}"),
            Need::Landlock(abi) => write!(f, "landlock:{abi}"),
            Need::File(path) => write!(f, "file:{path}"),
            Need::Limit(key) => write!(f, "limit:{key}"),
        }
    }
}

/// How control groups are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// No hierarchy is mounted.
    None,
    /// v1 hierarchies only.
    V1,
    /// v2 only.
    V2,
    /// v1 hierarchies with controllers, and a v2 one beside them.
    Hybrid,
}

/// What was found on this host, once, before the first case.
#[derive(Clone, Debug)]
pub struct Host {
    /// The kind that the runner says this is (`SANDBOX_TEST_HOST`): `host`, `host-user`,
    /// `vm-v2-root`, …
    pub kind: String,
    /// Effective user.
    pub uid: u32,
    /// Why user namespaces do not work, if they do not.
    pub no_userns: Option<String>,
    /// Layout of the control groups.
    pub layout: Layout,
    /// Controllers of the v1 hierarchies and where each is mounted.
    pub v1: Vec<(String, PathBuf)>,
    /// Where v2 is mounted, and its controllers.
    pub v2: Option<(PathBuf, Vec<String>)>,
    /// Whether systemd is process 1.
    pub systemd: bool,
    /// Whether the user's service manager answers.
    pub systemd_user: bool,
    /// Swap space in bytes.
    pub swap: u64,
    /// Landlock ABI; 0 without Landlock.
    pub landlock: u32,
    /// Effective capabilities.
    pub capabilities: u64,
}

impl Host {
    /// Looks at this host.
    pub fn probe() -> Host {
        let (v1, v2) = hierarchies();
        let layout = match (v1.is_empty(), v2.is_some()) {
            (true, false) => Layout::None,
            (true, true) => Layout::V2,
            (false, false) => Layout::V1,
            (false, true) => Layout::Hybrid,
        };
        let manager = std::env::var_os("XDG_RUNTIME_DIR")
            .map(|dir| Path::new(&dir).join("systemd/private"))
            .is_some_and(|socket| UnixStream::connect(socket).is_ok());
        Host {
            kind: std::env::var("SANDBOX_TEST_HOST").unwrap_or_else(|_| "host".to_owned()),
            uid: Uid::effective().as_raw(),
            no_userns: why_no_userns(),
            layout,
            v1,
            v2,
            systemd: Path::new("/run/systemd/system").is_dir(),
            systemd_user: manager,
            swap: kib_of("/proc/meminfo", "SwapTotal:") * 1024,
            landlock: probe::landlock_abi(),
            capabilities: status_word("CapEff:")
                .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
                .unwrap_or(0),
        }
    }

    /// Whether we are root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether this is one of the emulated machines, where time is no measure.
    pub fn is_virtual(&self) -> bool {
        self.kind.starts_with("vm-")
    }

    /// Where the v1 hierarchy of `controller` is mounted.
    pub fn v1_mount(&self, controller: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|(name, _)| name == controller);
        found.map(|(_, path)| path.as_path())
    }

    /// Why `need` is not met, or `None` when it is.
    pub fn lacks(&self, need: &Need) -> Option<String> {
        let unless = |met: bool, reason: &str| (!met).then(|| reason.to_owned());
        match need {
            Need::Root => unless(self.is_root(), "this is not root"),
            Need::OrdinaryUser => unless(!self.is_root(), "this is root"),
            Need::UserNamespaces => self.no_userns.clone(),
            Need::UserAttributes => unless(
                keeps_attributes(&scene::above()),
                "the file system of the scenes keeps no attributes of users",
            ),
            Need::NoUserNamespaces => unless(self.no_userns.is_some(), "user namespaces work"),
            Need::CgroupV1 => unless(
                self.v1_mount("memory").is_some() && self.v1_mount("pids").is_some(),
                "there are no v1 hierarchies with memory and pids",
            ),
            Need::CgroupV2 => unless(
                self.v2_has("memory") && self.v2_has("pids"),
                "there is no v2 hierarchy with memory and pids",
            ),
            Need::Limits => unless(
                self.can_limit(),
                "nothing lets this user limit memory and pids",
            ),
            Need::Controller(name) => unless(
                self.v1_mount(name).is_some() || self.v2_has(name),
                &format!("there is no controller `{name}`"),
            ),
            Need::Systemd => unless(self.systemd, "systemd is not process 1"),
            Need::SystemdUser => {
                unless(self.systemd_user, "no service manager of the user answers")
            }
            Need::NoSystemdUser => unless(!self.systemd_user, "the user has a service manager"),
            Need::Swap => unless(self.swap > 0, "there is no swap"),
            Need::SwapLimit => unless(self.limits_swap(), "swap cannot be limited"),
            Need::Program(name) => unless(
                on_path(name).is_some(),
                &format!("`{name}` is not installed"),
            ),
            Need::Binary(name) => {
                let path = scene::binary(name);
                unless(
                    path.is_file(),
                    &format!("`{}` was not built", path.display()),
                )
            }
            Need::Capability(name) => unless(
                self.has_capability(name),
                &format!("the capability `{name}` is missing"),
            ),
            Need::Landlock(abi) => unless(
                self.landlock >= *abi,
                &format!(
                    "the kernel's Landlock ABI is {}, less than {abi}",
                    self.landlock
                ),
            ),
            Need::File(path) => unless(Path::new(path).exists(), &format!("there is no `{path}`")),
            Need::Limit(key) => match refused_limits() {
                Ok(refused) => {
                    let found = refused.iter().find(|(name, _)| name == key);
                    found.map(|(_, reason)| format!("`{key}` cannot be held: {reason}"))
                }
                Err(why) => Some(why.clone()),
            },
        }
    }

    fn v2_has(&self, controller: &str) -> bool {
        let controllers = self.v2.as_ref().map(|(_, controllers)| controllers);
        controllers.is_some_and(|list| list.iter().any(|name| name == controller))
    }

    fn can_limit(&self) -> bool {
        if self.lacks(&Need::CgroupV1).is_none() {
            return self.is_root()
                || ["memory", "pids"]
                    .iter()
                    .all(|name| self.owns_v1_group(name));
        }
        if self.lacks(&Need::CgroupV2).is_some() {
            return false;
        }
        self.is_root() || self.systemd_user || self.owns_v2_group()
    }

    fn owns_v1_group(&self, controller: &str) -> bool {
        let Some(mount) = self.v1_mount(controller) else {
            return false;
        };
        let own = own_group(|controllers| controllers.split(',').any(|name| name == controller));
        // What `sandboxctl delegate` gives away, or a group that is ours anyway.
        let given = format!("sandbox.user/{}", nix::unistd::getuid());
        let groups = own.into_iter().chain([given]);
        let mut places = groups.map(|path| mount.join(path));
        places.any(|path| access(&path, AccessFlags::W_OK).is_ok())
    }

    fn owns_v2_group(&self) -> bool {
        let (Some((mount, _)), Some(own)) = (&self.v2, own_group(str::is_empty)) else {
            return false;
        };
        access(&mount.join(own), AccessFlags::W_OK).is_ok()
    }

    fn limits_swap(&self) -> bool {
        if let Some(memory) = self.v1_mount("memory") {
            return memory.join("memory.memsw.limit_in_bytes").exists();
        }
        // The v2 root group has no such file, so any child is asked.
        let Some((root, _)) = &self.v2 else {
            return false;
        };
        if !self.v2_has("memory") {
            return false;
        }
        match fs::read_to_string(root.join("cgroup.subtree_control")) {
            Ok(enabled) if enabled.split_whitespace().any(|name| name == "memory") => {
                let groups = fs::read_dir(root).into_iter().flatten().flatten();
                let mut groups = groups
                    .map(|entry| entry.path())
                    .filter(|path| path.join("memory.max").exists());
                match groups.next() {
                    Some(group) => group.join("memory.swap.max").exists(),
                    None => self.swap > 0,
                }
            }
            _ => self.swap > 0, // no child has the controller yet; the kernel offers both or none
        }
    }

    fn has_capability(&self, name: &str) -> bool {
        let known = format!("CAP_{}", name.to_uppercase()).parse::<caps::Capability>();
        known.is_ok_and(|capability| self.capabilities & capability.bitmask() != 0)
    }
}

/// The limits that `sandboxctl doctor` says cannot be held here, and why; asked once.
pub fn refused_limits() -> &'static Result<Vec<(String, String)>, String> {
    static ANSWER: OnceLock<Result<Vec<(String, String)>, String>> = OnceLock::new();
    ANSWER.get_or_init(|| {
        let output = Command::new(scene::binary("sandboxctl"))
            .args(["doctor", "--json"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`sandboxctl doctor` cannot be run: {error}"))?;
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("`sandboxctl doctor --json` says no JSON: {error}"))?;
        let refused = document.pointer("/limits/refused");
        let refused = refused.and_then(serde_json::Value::as_array);
        let refused = refused.ok_or("`sandboxctl doctor --json` lists no refused limits")?;
        let text = |one: &serde_json::Value, name: &str| {
            one.get(name)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(refused
            .iter()
            .map(|one| (text(one, "limit"), text(one, "reason")))
            .collect())
    })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, uid {}, cgroups {:?}, user namespaces {}, systemd {}, user manager {}, \
             swap {} MiB, landlock {}, limits {}",
            self.kind,
            self.uid,
            self.layout,
            self.no_userns.as_deref().unwrap_or("work"),
            self.systemd,
            self.systemd_user,
            self.swap >> 20,
            self.landlock,
            self.can_limit(),
        )
    }
}

/// Whether files in a folder keep `user.` attributes (xattr(7)); tmpfs does so since Linux 6.6.
fn keeps_attributes(folder: &Path) -> bool {
    use std::os::fd::AsFd;
    let path = folder.join(format!("sandbox-test-attributes-{}", std::process::id()));
    let kept = fs::File::create(&path).is_ok_and(|file| {
        sandbox::kernel::at::set_attribute(file.as_fd(), c"user.sandbox", b"1").is_ok()
    });
    let _ = fs::remove_file(&path);
    kept
}

/// The path of an executable, from `PATH` and the administrator's folders.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// Where the controllers of v1 are mounted; where v2 is, and its controllers.
#[expect(
    clippy::type_complexity,
    reason = "taken apart at once by the only caller"
)]
fn hierarchies() -> (Vec<(String, PathBuf)>, Option<(PathBuf, Vec<String>)>) {
    let (mut v1, mut v2) = (Vec::new(), None);
    for line in fs::read_to_string("/proc/self/mounts")
        .unwrap_or_default()
        .lines()
    {
        let mut fields = line.split(' ');
        let (Some(_), Some(mount), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if kind == "cgroup" {
            let known = [
                "cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer",
            ];
            for name in options.split(',').filter(|option| known.contains(option)) {
                v1.push((name.to_owned(), PathBuf::from(mount)));
            }
        } else if kind == "cgroup2" && v2.is_none() {
            let controllers = fs::read_to_string(Path::new(mount).join("cgroup.controllers"));
            let controllers = controllers.unwrap_or_default();
            let names = controllers.split_whitespace().map(str::to_owned).collect();
            v2 = Some((PathBuf::from(mount), names));
        }
    }
    (v1, v2)
}

/// Our group in the hierarchy whose controllers `is` accepts, relative to its root.
fn own_group(is: impl Fn(&str) -> bool) -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        is(controllers).then(|| path.trim_start_matches('/').to_owned())
    })
}

/// Tries in another process, for one cannot leave a user namespace again.
fn why_no_userns() -> Option<String> {
    let mut command = Command::new(scene::own_path());
    let tried = command
        .args(["probe", "userns"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Some(format!("user namespaces do not work ({said})"))
        }
        Err(error) => Some(format!("user namespaces could not be tried ({error})")),
    }
}

fn kib_of(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let number = value.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn status_word(key: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.trim().to_owned())
}
