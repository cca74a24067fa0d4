//! `[devices]`: which device nodes work inside.
//!
//! Everything is turned into rules about paths below `/dev`, which `[filesystem]` places and mounts with the others.

use std::path::{Path, PathBuf};

use super::expand;
use crate::host::Facts;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value};
use crate::report::{Diagnostic, Diagnostics, Site};

/// Nodes that a minimal /dev has whatever a profile says.
pub const BASE: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];

/// Symbolic links that a minimal /dev has: where, and what they say.
pub const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
];

/// A key that stands for several nodes.
#[derive(Debug)]
pub struct Class {
    /// The key.
    pub name: &'static str,
    /// Paths and patterns below /dev.
    nodes: &'static [&'static str],
    /// What drivers' libraries read to find and name these devices, beside their nodes; patterns too. Shown read-only where
    /// it would not be seen otherwise, and only on a host that has one of the nodes.
    beside: &'static [&'static str],
}

/// Where most devices that can be plugged in or have a driver of their own are described, by their place on the bus.
const BUSES: &str = "/sys/devices/pci*";
/// What udev knows about devices (udev(7)), for libudev.
const NAMES: &str = "/run/udev/data";

/// The keys that stand for several nodes, in the order of their names.
pub const CLASSES: [Class; 9] = [
    Class {
        name: "audio",
        nodes: &["/dev/snd"],
        beside: &[],
    },
    Class {
        name: "camera",
        nodes: &["/dev/media*", "/dev/video*"],
        beside: &["/sys/class/video4linux", BUSES, NAMES],
    },
    Class {
        name: "gpu",
        nodes: &["/dev/dri", "/dev/kfd", "/dev/nvidia*"],
        // libdrm goes from the number of a node to the device on its bus (drmGetDevice2); NVIDIA's driver and ROCm look
        // for their module and topology.
        beside: &[
            "/sys/bus/pci/devices",
            "/sys/class/drm",
            "/sys/class/kfd",
            "/sys/dev/char",
            "/sys/devices/platform",
            "/sys/devices/virtual/kfd",
            "/sys/module/nvidia*",
            BUSES,
            NAMES,
        ],
    },
    Class {
        name: "input",
        nodes: &["/dev/input", "/dev/uinput"],
        beside: &[
            "/sys/class/input",
            "/sys/devices/virtual/input",
            BUSES,
            NAMES,
        ],
    },
    Class {
        name: "kvm",
        nodes: &["/dev/kvm", "/dev/vhost-net", "/dev/vhost-vsock"],
        beside: &[],
    },
    Class {
        name: "printer",
        nodes: &["/dev/lp*", "/dev/usb/lp*"],
        beside: &[],
    },
    Class {
        name: "serial",
        nodes: &[
            "/dev/ttyACM*",
            "/dev/ttyAMA*",
            "/dev/ttyS[0-9]*",
            "/dev/ttyUSB*",
        ],
        beside: &["/sys/class/tty", BUSES, NAMES],
    },
    Class {
        name: "tpm",
        nodes: &["/dev/tpm[0-9]*", "/dev/tpmrm[0-9]*"],
        beside: &[],
    },
    Class {
        name: "usb",
        nodes: &["/dev/bus/usb"],
        beside: &["/sys/bus/usb/devices", BUSES, NAMES],
    },
];

impl Class {
    /// Whether a host has one of its nodes.
    #[must_use]
    pub fn is_there(&self, facts: &Facts) -> bool {
        self.nodes
            .iter()
            .map(Path::new)
            .any(|node| match facts.globs.get(node) {
                Some(found) => !found.is_empty(),
                None => facts
                    .path(node)
                    .is_some_and(|fact| fact.canonical.is_some()),
            })
    }
}

/// A rule about nodes.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The key that says it.
    pub key: String,
    /// A path or a pattern below /dev.
    pub path: PathBuf,
    /// Whether `key` stands for more than this path, so that a rule that names the path wins.
    pub class: bool,
    /// Not a node, but what is needed beside nodes: the class, for nothing is shown when the host has none of them.
    pub beside: Option<&'static Class>,
    /// Read-write or hidden.
    pub access: Access,
    /// Where it stands.
    pub site: Site,
    /// The rank of its layer; `None` below all layers.
    pub layer: Option<usize>,
}

/// Whether the section asks for anything.
#[must_use]
pub fn asks(policy: &Policy) -> bool {
    is_minimal(policy)
        || policy
            .section(Section::Devices)
            .any(|(key, ..)| key != "default")
}

/// Whether /dev is made by us.
#[must_use]
pub fn is_minimal(policy: &Policy) -> bool {
    match policy.get(Section::Devices, "default") {
        Some(traced) => traced.value != &Value::Word("host"),
        None => policy.mentions(Section::Devices),
    }
}

/// What the section says, as rules about paths, in the order of the paths.
///
/// # Errors
/// A path that is not below /dev, and `"read-only"`: the kernel does not look at a mount's read-only flag when a
/// device is opened (mount(2), `MS_RDONLY` is about files, directories and links).
pub fn rules(policy: &Policy) -> Result<Vec<Rule>, Diagnostics> {
    let minimal = is_minimal(policy);
    let mut out = Vec::new();
    let mut errors = Diagnostics::new();
    if minimal {
        out.extend(BASE.map(|path| Rule {
            key: path.to_owned(),
            path: path.into(),
            class: true,
            beside: None,
            access: Access::ReadWrite,
            site: Site::DEFAULT,
            layer: None,
        }));
    }
    for (key, value, rule) in policy.section(Section::Devices) {
        let class = CLASSES.iter().find(|class| class.name == key);
        match (class, value) {
            // A minimal /dev lacks them anyway.
            (Some(_), Value::Bool(false)) if minimal => {}
            (Some(class), Value::Bool(wanted)) => {
                let access = match wanted {
                    true => Access::ReadWrite,
                    false => Access::Hidden,
                };
                let one = |path: &&str, beside, access| Rule {
                    key: key.to_owned(),
                    path: path.into(),
                    class: true,
                    beside,
                    access,
                    site: rule.site,
                    layer: Some(rule.layer),
                };
                out.extend(class.nodes.iter().map(|path| one(path, None, access)));
                if *wanted {
                    let beside = |path| one(path, Some(class), Access::ReadOnly);
                    out.extend(class.beside.iter().map(beside));
                }
            }
            (None, Value::Device(Access::ReadOnly)) => errors.push(
                Diagnostic::error(
                    format!("`{key}` cannot be made read-only"),
                    rule.site,
                    "a read-only mount does not stop writing to a device",
                )
                .help("say `true` or `false`"),
            ),
            (None, Value::Device(access)) => match place(key) {
                Ok(path) => out.push(Rule {
                    key: key.to_owned(),
                    path,
                    class: false,
                    beside: None,
                    access: *access,
                    site: rule.site,
                    layer: Some(rule.layer),
                }),
                Err(why) => errors.push(Diagnostic::error(
                    format!("`{key}` is no device's path"),
                    rule.key_site,
                    why,
                )),
            },
            _ => {}
        }
    }
    out.sort_by(|a, b| (&a.path, a.layer).cmp(&(&b.path, b.layer)));
    if errors.is_empty() {
        Ok(out)
    } else {
        Err(errors)
    }
}

/// A device's path, checked.
fn place(key: &str) -> Result<PathBuf, String> {
    // No variable is needed below /dev, so that nobody's directories are either.
    match expand::expand(key, &crate::host::facts::Caller::default())? {
        expand::Expanded::Path(path) | expand::Expanded::Glob(path)
            if path.starts_with("/dev") && path != Path::new("/dev") =>
        {
            Ok(path)
        }
        _ => Err("it must lie below /dev".to_owned()),
    }
}
