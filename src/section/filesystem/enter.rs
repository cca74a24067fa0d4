//! From rules at their places to entries of the table.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::rule::Rule;
use super::{Draft, Item, What, world};
use crate::host::facts::PathKind;
use crate::plan::step::Upper;
use crate::profile::key::Section;
use crate::profile::value::{Access, Size, Value, View};
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
        let mut above = rule.source.ancestors().filter(|_| moved);
        let found = above.find_map(|at| said.get(at).copied());
        found.filter(|execute| !execute)
    };
    let copies: Vec<&Rule> = (rules.iter())
        .filter(|rule| matches!(rule.view, View::Copy { .. } | View::Overlay))
        .collect();
    for rule in rules {
        if let Some(over) = copied(rule, &copies) {
            if rule.layer.is_some() {
                let text = format!("`{}` is a part of the copy of `{}`", rule.key, over.key);
                draft.note(rule.site, text);
            }
            continue;
        }
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
                upper: Upper::Memory { size: None },
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
            View::Copy { .. } | View::Overlay => {
                let Some(upper) = upper(draft, rule) else {
                    continue;
                };
                What::Overlay {
                    source: rule.source.clone(),
                    upper,
                }
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

/// The rule of a later layer that says of a whole directory around this one that changes go elsewhere. What an earlier layer
/// opens in it would otherwise be written on the disk, past the review that was asked for.
fn copied<'r>(rule: &Rule, copies: &[&'r Rule]) -> Option<&'r Rule> {
    let opens = rule.view == View::Host(Access::ReadWrite) && !rule.device;
    let mut copies = copies.iter().filter(|_| opens).copied();
    copies.find(|over| over.layer > rule.layer && rule.place.starts_with(&over.place))
}

/// Where changes to a directory of the host go; none when there can be no overlay over it.
fn upper(draft: &mut Draft, rule: &Rule) -> Option<Upper> {
    const SHOWN: usize = 3;
    let wrong = |why: &str| {
        let what = match rule.view {
            View::Overlay => format!("changes to `{}` cannot be kept apart", rule.key),
            _ => format!("`{}` cannot be a copy", rule.key),
        };
        Diagnostic::error(what, rule.site, why)
    };
    let kept = rule.view == View::Overlay;
    // Where nothing can be mounted, that is what is said.
    let mounts = draft.facts.machine.no_user_namespaces.is_none();
    let subordinate = draft.policy.get(Section::User, "subordinate-ids");
    let error = match rule.source_kind {
        PathKind::Directory if kept && mounts && !draft.around.pid_namespace => Some(
            wrong("changes are kept only where nothing of the sandbox goes on after its end")
                .help("add namespaces.pid = true (--set namespaces.pid=true)"),
        ),
        PathKind::Directory
            if kept && subordinate.is_some_and(|said| *said.value == Value::Bool(true)) =>
        {
            Some(wrong(
                "with `user.subordinate-ids` the changes would belong to ids that the caller cannot read",
            ))
        }
        PathKind::Directory => None,
        PathKind::Missing => Some(
            wrong("it does not exist on this host")
                .help(format!("make it: mkdir -p {}", rule.path.display())),
        ),
        _ => Some(
            wrong("it is no directory, and changes are kept apart for directories only")
                .help("name the directory that it is in"),
        ),
    };
    // The kernel shows no mount of a lower layer, and to a user namespace gives no overlay over one that has any.
    let mounts = &draft.facts.mount_points;
    let inner: Vec<String> = mounts
        .iter()
        .filter(|point| point.starts_with(&rule.source) && **point != rule.source)
        .map(|point| format!("`{}`", point.display()))
        .collect();
    let error = error.or_else(|| {
        let shown = inner.get(..SHOWN).unwrap_or(&inner).join(", ");
        (!inner.is_empty()).then(|| {
            let more = inner.len().saturating_sub(SHOWN);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            wrong("something is mounted below it, which an overlay would not show")
                .help(format!("mounted there: {shown}{more}"))
                .help("name directories that have no other mounts in them")
        })
    });
    if let Some(error) = error {
        draft.errors.push(error);
        return None;
    }
    match &rule.view {
        View::Copy { size } => Some(Upper::Memory {
            size: size.and_then(|size| bytes(size, draft.around.memory)),
        }),
        _ => {
            let name = encode(&rule.source, &draft.facts.caller.home);
            if name.len() > LONGEST_NAME {
                draft.errors.push(wrong(
                    "the path is too long to name a directory of changes after",
                ));
                return None;
            }
            Some(Upper::Kept(name))
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
