//! `[devices]`: which device nodes work inside.
//!
//! Everything is turned into rules about paths below `/dev`, which `[filesystem]` places and mounts with the others.

use std::path::{Path, PathBuf};

use super::expand;
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

/// The keys that stand for several nodes.
const CLASSES: [(&str, &[&str]); 5] = [
    ("audio", &["/dev/snd"]),
    ("camera", &["/dev/media*", "/dev/video*"]),
    ("gpu", &["/dev/dri", "/dev/kfd", "/dev/nvidia*"]),
    ("input", &["/dev/input", "/dev/uinput"]),
    ("kvm", &["/dev/kvm", "/dev/vhost-net", "/dev/vhost-vsock"]),
];

/// A rule about nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The key that says it.
    pub key: String,
    /// A path or a pattern below /dev.
    pub path: PathBuf,
    /// Whether `key` stands for more than this path, so that a rule that names the path wins.
    pub class: bool,
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
            access: Access::ReadWrite,
            site: Site::DEFAULT,
            layer: None,
        }));
    }
    for (key, value, rule) in policy.section(Section::Devices) {
        let class = CLASSES.iter().find(|(name, _)| *name == key);
        match (class, value) {
            // A minimal /dev lacks them anyway.
            (Some(_), Value::Bool(false)) if minimal => {}
            (Some((_, paths)), Value::Bool(wanted)) => out.extend(paths.iter().map(|path| Rule {
                key: key.to_owned(),
                path: path.into(),
                class: true,
                access: if *wanted {
                    Access::ReadWrite
                } else {
                    Access::Hidden
                },
                site: rule.site,
                layer: Some(rule.layer),
            })),
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
