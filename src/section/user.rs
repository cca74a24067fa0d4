//! `[user]`: the ids seen inside a new user namespace.

use crate::host::facts::Caller;
use crate::plan::step::{Action, IdRange};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Id, Value};
use crate::report::{Diagnostic, Diagnostics, Site};

/// The key by which who joins may be root inside.
const JOIN_AS_ROOT: &str = "join-as-root";

/// Whether who joins may be root inside.
#[must_use]
pub fn may_join_as_root(policy: &Policy) -> bool {
    policy
        .get(Section::User, JOIN_AS_ROOT)
        .is_some_and(|said| *said.value == Value::Bool(true))
}

const CAP_SETGID: u32 = 6;

/// What becomes of the caller's supplementary groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Nothing: there are none, or they are kept.
    Stay,
    /// They are dropped; because a rule says so, or since the program gives up capabilities.
    Drop(Option<Site>),
    /// A rule wants them dropped, and this caller cannot.
    Stuck(Site),
}

/// Decides. `new`, `joined`: whether the user namespace is a new one, or is joined. `kept`: the capabilities that the
/// program keeps, where it gives any up.
#[must_use]
pub fn groups(
    policy: &Policy,
    caller: &Caller,
    (new, joined): (bool, bool),
    kept: Option<u64>,
) -> Groups {
    let said = policy.get(Section::User, "groups");
    let asked = match said.as_ref().map(|said| (said.value, said.site)) {
        Some((Value::Word("none"), site)) => Some(site),
        Some(_) => return Groups::Stay,
        None => None,
    };
    let mapped = new && has_subordinate_ids(policy);
    if caller.groups.is_empty() {
        return Groups::Stay;
    }
    if !caller.may_drop_groups && !mapped {
        return asked.map_or(Groups::Stay, Groups::Stuck);
    }
    // Who keeps CAP_SETGID on the host takes the groups back. Whether one can be dropped in a namespace of others, nobody knows.
    let gives_up = new || kept.is_some_and(|keep| keep & (1 << CAP_SETGID) == 0);
    match asked.is_some() || (gives_up && !joined) {
        true => Groups::Drop(asked),
        false => Groups::Stay,
    }
}

fn has_subordinate_ids(policy: &Policy) -> bool {
    let said = policy.get(Section::User, "subordinate-ids");
    said.is_some_and(|said| *said.value == Value::Bool(true))
}

/// The rule that asks for other ids than the caller's, if one does.
#[must_use]
pub fn wanted(policy: &Policy) -> Option<Site> {
    policy
        .section(Section::User)
        // What holds for those who join asks for nothing itself.
        .find(|(key, value, _)| {
            !matches!(*key, JOIN_AS_ROOT | "groups")
                && !matches!(value, Value::Id(Id::Caller) | Value::Bool(false))
        })
        .map(|(_, _, rule)| rule.site)
}

fn id(policy: &Policy, key: &str, own: u32) -> u32 {
    match policy.get(Section::User, key).map(|said| said.value) {
        Some(Value::Id(Id::Number(number))) => *number,
        _ => own,
    }
}

/// The maps of the new user namespace. `drops_groups`: whether groups are dropped in there, which must not be forbidden then;
/// by who gives them up without privilege it is always.
///
/// # Errors
/// Subordinate ids that this caller or this host does not have.
pub fn lower(policy: &Policy, caller: &Caller, drops_groups: bool) -> Result<Action, Diagnostics> {
    let inside = (id(policy, "uid", caller.uid), id(policy, "gid", caller.gid));
    let single = |inside, outside| {
        vec![IdRange {
            inside,
            outside,
            length: 1,
        }]
    };
    let subordinate = policy
        .get(Section::User, "subordinate-ids")
        .filter(|said| *said.value == Value::Bool(true));
    let Some(subordinate) = subordinate else {
        return Ok(Action::MapIds {
            uids: single(inside.0, caller.uid),
            gids: single(inside.1, caller.gid),
            deny_setgroups: !drops_groups,
            helpers: None,
        });
    };
    with_subordinate(caller, inside).map_err(|missing| {
        let mut error = Diagnostic::error(
            format!("subordinate ids cannot be mapped: {}", missing.what),
            subordinate.site,
            "asked for here",
        );
        error = error.help(missing.help);
        vec![error]
    })
}

/// Why subordinate ids cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What helps.
    pub help: String,
}

/// The maps of a user namespace in which the caller has these ids, user and group, among the subordinate ones.
///
/// # Errors
/// Subordinate ids that this caller or this host does not have.
pub fn with_subordinate(caller: &Caller, inside: (u32, u32)) -> Result<Action, Missing> {
    let user = &caller.user;
    let files: Vec<&str> = [
        ("/etc/subuid", caller.subordinate_uids),
        ("/etc/subgid", caller.subordinate_gids),
    ]
    .into_iter()
    .filter_map(|(file, range)| range.is_none().then_some(file))
    .collect();
    let (Some(uids), Some(gids)) = (caller.subordinate_uids, caller.subordinate_gids) else {
        return Err(Missing {
            what: format!("`{user}` has no range in {}", files.join(" and ")),
            help: format!(
                "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user} (a range that nobody has yet)"
            ),
        });
    };
    let (Some(newuidmap), Some(newgidmap)) = (&caller.newuidmap, &caller.newgidmap) else {
        return Err(Missing {
            what: "there is no newuidmap and newgidmap that belongs to root and that nobody else may change".to_owned(),
            help: "install the package `uidmap` (Debian, Ubuntu), `shadow-utils` (Fedora) or `shadow` (Arch)".to_owned(),
        });
    };
    Ok(Action::MapIds {
        uids: around(inside.0, caller.uid, uids),
        gids: around(inside.1, caller.gid, gids),
        deny_setgroups: false,
        helpers: Some((newuidmap.clone(), newgidmap.clone())),
    })
}

/// One's own id at `inside`, the subordinate range as the ids below and above it.
fn around(inside: u32, own: u32, (start, length): (u32, u32)) -> Vec<IdRange> {
    let below = inside.min(length);
    let mut ranges = Vec::with_capacity(3);
    if below > 0 {
        ranges.push(IdRange {
            inside: 0,
            outside: start,
            length: below,
        });
    }
    ranges.push(IdRange {
        inside,
        outside: own,
        length: 1,
    });
    let rest = length - below;
    if let Some(above) = inside.checked_add(1)
        && rest > 0
    {
        ranges.push(IdRange {
            inside: above,
            outside: start + below,
            length: rest,
        });
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_id_stands_between_the_subordinate_ones() {
        let range = |inside, outside, length| IdRange {
            inside,
            outside,
            length,
        };
        assert_eq!(
            around(0, 1000, (100_000, 65_536)),
            [range(0, 1000, 1), range(1, 100_000, 65_536)]
        );
        assert_eq!(
            around(1000, 1000, (100_000, 65_536)),
            [
                range(0, 100_000, 1000),
                range(1000, 1000, 1),
                range(1001, 101_000, 64_536)
            ]
        );
        assert_eq!(
            around(70_000, 5, (100_000, 65_536)),
            [range(0, 100_000, 65_536), range(70_000, 5, 1)]
        );
    }
}
