//! What no rule says about /dev, /proc and the resolver's file, and is there all the same.

use std::path::Path;

use super::{Draft, Item, RESOLVER, What, proc};
use crate::host::facts::PathKind;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::Access;
use crate::report::{Diagnostic, Site};
use crate::section::devices;

/// Adds /dev and /proc where no rule has the last word about them.
pub fn trees(draft: &mut Draft) {
    if devices::is_minimal(draft.policy) {
        minimal_dev(draft);
    } else {
        host_dev(draft);
    }
    proc::mount(draft);
}

/// An imported root cannot know whom this host asks for names: the host's own list is shown, where the network is the
/// host's too and no rule has the last word.
pub fn resolver(draft: &mut Draft) {
    let place = Path::new(RESOLVER);
    let Some(Item {
        what: What::Overlay { source, .. },
        site,
        ..
    }) = draft.table.get(Path::new("/"))
    else {
        return;
    };
    let (inside, site) = (source.join("etc/resolv.conf"), *site);
    let host = draft.facts.path(place).and_then(|fact| {
        (fact.kind == PathKind::File)
            .then(|| fact.canonical.clone())
            .flatten()
    });
    let covered = draft
        .cover(place)
        .is_some_and(|(at, _)| at != Path::new("/"));
    let (Some(source), false) = (host, covered || !draft.around.shows_a_root(draft.policy)) else {
        return;
    };
    match draft.known.get(&inside) {
        Some(PathKind::File | PathKind::Missing) => {
            let what = What::Show {
                source,
                access: Access::ReadOnly,
                devices: false,
                directory: false,
            };
            draft.imply(place, what, site, "names are looked up as on the host");
        }
        _ => draft.note(
            site,
            format!("`{RESOLVER}` is a link in this root: names are not looked up as on the host"),
        ),
    }
}

/// Devices work in the host's /dev, where that is shown.
pub fn host_dev(draft: &mut Draft) {
    let dev = Path::new("/dev");
    if !draft.table.contains_key(dev)
        && draft.known.get(dev) == Some(&PathKind::Directory)
        && let Some((source, access)) = draft.shown(dev)
        && source == dev
    {
        let what = What::Show {
            source: source.into_owned(),
            access,
            devices: true,
            directory: true,
        };
        draft.imply(dev, what, Site::DEFAULT, "device nodes work in /dev only");
    }
}

/// Why something of [devices] is there that no key names.
pub const IMPLIED_BY_DEVICES: &str = "implied by [devices]";
/// Why something of [desktop] is there that no key names.
pub const IMPLIED_BY_DESKTOP: &str = "implied by [desktop]";

/// The first rule of [devices].
pub fn first_of_devices(policy: &Policy) -> Site {
    policy
        .section(Section::Devices)
        .next()
        .map_or(Site::DEFAULT, |(.., rule)| rule.site)
}

fn minimal_dev(draft: &mut Draft) {
    let because = IMPLIED_BY_DEVICES;
    let said = first_of_devices(draft.policy);
    if let Some(item) = draft.table.remove(Path::new("/dev")) {
        if matches!(item.what, What::Show { .. }) {
            draft.note(
                item.site,
                "`/dev` has no effect: [devices] makes a /dev of its own",
            );
        } else {
            draft.errors.push(
                Diagnostic::error(
                    "two rules make /dev",
                    item.site,
                    "this one, in [filesystem]",
                )
                .related(said, "[devices] makes a /dev of its own")
                .help("set one of them to \"inherit\", or `devices.default = \"host\"`"),
            );
        }
    }
    draft.imply("/dev", What::MinimalDev, said, because);
    draft.imply("/dev/pts", What::Devpts, said, because);
    draft.imply(
        "/dev/shm",
        What::Tmpfs {
            size: None,
            mode: 0o1777,
        },
        said,
        because,
    );
    if draft.around.ipc_namespace {
        draft.imply("/dev/mqueue", What::Mqueue, said, because);
    }
    for (place, target) in devices::LINKS {
        draft.imply(place, What::Link(target.into()), said, because);
    }
    if let Some(terminal) = draft.around.terminal.clone()
        && terminal.starts_with("/dev")
        && draft.known.get(&terminal) == Some(&PathKind::Special)
    {
        let what = What::Show {
            source: terminal,
            access: Access::ReadWrite,
            devices: true,
            directory: false,
        };
        draft.imply("/dev/console", what, said, "the program keeps its terminal");
    }
}
