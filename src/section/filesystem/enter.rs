//! From rules at their places to entries of the table.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::rule::Rule;
use super::{Draft, Item, What, world};
use crate::host::facts::PathKind;
use crate::profile::value::{Access, Size, View};
use crate::report::Diagnostic;
use crate::section::devices;

/// The longest name of a file (NAME_MAX, limits.h).
const LONGEST_NAME: usize = 255;

/// Fills the table.
pub fn enter(draft: &mut Draft, rules: &[Rule]) {
    let minimal = devices::is_minimal(draft.policy);
    let said: BTreeMap<&Path, bool> = rules
        .iter()
        .filter_map(|rule| Some((rule.host.as_path(), rule.terms.execute?)))
        .collect();
    // What cannot be executed at its own place cannot be at another, unless that is said.
    let refused = |rule: &Rule| {
        let moved = matches!(rule.view, View::Bind { .. });
        let mut above = rule.source.ancestors();
        let found = above.find_map(|at| said.get(at).copied());
        found.filter(|execute| moved && !execute)
    };
    for rule in rules {
        let root = rule.place == Path::new("/");
        let what = match &rule.view {
            View::Host(Access::Hidden) => What::Hidden,
            View::Host(Access::Denied) => What::Denied {
                directory: match rule.kind {
                    PathKind::Missing => None,
                    kind => Some(kind == PathKind::Directory),
                },
            },
            View::Host(access) | View::Bind { access, .. } => {
                let in_dev = rule.place.starts_with("/dev") && rule.source.starts_with("/dev");
                if rule.source_kind == PathKind::Special && in_dev && minimal && !rule.device {
                    draft.note(
                        rule.site,
                        format!(
                            "`{}` does not work as a device: only [devices] does that",
                            rule.key
                        ),
                    );
                }
                What::Show {
                    source: rule.source.clone(),
                    access: *access,
                    devices: rule.device
                        || (in_dev && !minimal && matches!(rule.view, View::Host(_))),
                    directory: rule.source_kind == PathKind::Directory,
                }
            }
            View::Root {
                access: Access::ReadWrite,
                ..
            } if rule.source_kind == PathKind::Directory => What::Overlay {
                source: rule.source.clone(),
            },
            View::Root { access, .. } => What::Show {
                source: rule.source.clone(),
                access: *access,
                devices: false,
                directory: rule.source_kind == PathKind::Directory,
            },
            View::Private => {
                let name = encode(&rule.place, &draft.facts.caller.home);
                if name.len() > LONGEST_NAME {
                    draft.errors.push(Diagnostic::error(
                        format!("`{}` is too long a path for a private directory", rule.key),
                        rule.site,
                        "",
                    ));
                    continue;
                }
                let directory = private_root(draft).join(name);
                draft.make_own(&directory, rule.site);
                What::Private { directory }
            }
            View::Tmpfs { size } => What::Tmpfs {
                size: size.and_then(|size| bytes(size, draft.around.memory)),
                mode: tmpfs_mode(&rule.place, &draft.facts.caller.home),
            },
            View::Text(text) => match &rule.made {
                Some(name) => What::Made { name: name.into() },
                None => What::Text(text.clone()),
            },
            // Terms were taken off when the rule was made.
            View::With(..) => continue,
        };
        if root
            && let Some(why) = match &what {
                What::Text(_)
                | What::Made { .. }
                | What::Show {
                    directory: false, ..
                } => Some("a file cannot be the root"),
                What::Tmpfs { size: Some(_), .. } => {
                    Some("the root in memory has no size of its own")
                }
                _ => None,
            }
        {
            draft
                .errors
                .push(Diagnostic::error("`/` cannot be this", rule.site, why));
        }
        draft.table.insert(
            rule.place.clone(),
            Item {
                what,
                name: rule.key.clone(),
                site: rule.site,
                because: if rule.layer.is_some() {
                    String::new()
                } else if rule.desktop {
                    super::system::IMPLIED_BY_DESKTOP.to_owned()
                } else {
                    super::system::IMPLIED_BY_DEVICES.to_owned()
                },
                execute: rule.terms.execute.or_else(|| refused(rule)),
            },
        );
    }
    for rule in rules.iter().filter(|rule| !rule.hides()) {
        for (at, target) in &rule.links {
            let because = format!("`{}` is reached through it", rule.key);
            draft.imply(at, What::Link(target.clone()), rule.site, &because);
        }
    }
}

/// Where the private directories of this profile really are: the way there may lead through links (`/home` is one on some
/// hosts), which no mount follows.
fn private_root(draft: &Draft) -> PathBuf {
    let root = &draft.around.private_root;
    let (Some(all), Some(own)) = (root.parent(), root.file_name()) else {
        return root.clone();
    };
    let there = draft
        .facts
        .path(all)
        .map(|fact| world::host_place(all, fact));
    there.map_or_else(|| root.clone(), |there| there.join(own))
}

/// A size in bytes; `None` without a limit. 0 would mean no limit to tmpfs(5).
fn bytes(size: Size, memory: u64) -> Option<u64> {
    const PAGE: u64 = 4096;
    let bytes = match size {
        Size::Bytes(bytes) => bytes,
        Size::OfRam(part) => {
            u64::try_from(u128::from(memory) * u128::from(part) / 10_000).unwrap_or(u64::MAX)
        }
        Size::Max => return None,
    };
    Some(bytes.max(PAGE))
}

fn tmpfs_mode(place: &Path, home: &Path) -> u32 {
    if ["/tmp", "/var/tmp", "/dev/shm"]
        .map(Path::new)
        .contains(&place)
    {
        0o1777
    } else if place.starts_with("/run/user") || place.starts_with(home) {
        0o700
    } else {
        0o755
    }
}

/// A path as the name of one file: `home`, `home%2F.cache`, `%2Fsrv%2Fdata`.
fn encode(path: &Path, home: &Path) -> String {
    let (mut out, rest): (String, &OsStr) = match path.strip_prefix(home) {
        Ok(rest) if rest.as_os_str().is_empty() => return "home".to_owned(),
        Ok(rest) => ("home%2F".to_owned(), rest.as_os_str()),
        Err(_) => (String::new(), path.as_os_str()),
    };
    for &byte in rest.as_bytes() {
        if byte.is_ascii_alphanumeric() || b".-_+@ ".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
