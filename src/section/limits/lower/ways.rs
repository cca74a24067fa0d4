//! The ways to a control group in their fixed order, each with why it is or is not for this caller: what `doctor` prints. The
//! choice itself is [`lower`](super::lower()).

use std::path::Path;

use super::unified::{delegation, is_delegated_unit, nowhere};
use crate::host::Facts;
use crate::section::limits::{GroupPlan, Version, Way};

/// One of the ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its word.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether this caller can go it.
    pub applies: bool,
    /// Whether groups are made this way.
    pub taken: bool,
    /// Where, or why not.
    pub why: String,
}

/// What is done and where, or why it is not.
type Answer = Result<String, String>;

/// The ways in the order in which they are tried; `plan` is the group that would be made for every limit that can be held.
#[must_use]
pub fn ways(facts: &Facts, plan: Option<&GroupPlan>) -> Vec<Offer> {
    let beside = hybrid(facts);
    let taken = plan.map(|plan| word(&plan.way, facts));
    let all: [(&'static str, &'static str, Answer); 6] = [
        (
            "delegated",
            "a group of v2 that is the caller's own already",
            delegated(facts),
        ),
        (
            "systemd-user",
            "a scope of the user's service manager",
            manager(facts, false),
        ),
        (
            "systemd-system",
            "a scope of the system's service manager, as root",
            manager(facts, true),
        ),
        ("v2", "a group of v2 made directly, as root", direct(facts)),
        (
            "v1",
            "groups in the hierarchies of v1",
            alone(legacy(facts), &beside),
        ),
        (
            "hybrid",
            "groups in the hierarchies of v1, and one of v2",
            beside,
        ),
    ];
    let mut offers: Vec<Offer> = all
        .into_iter()
        .map(|(name, about, answer)| Offer {
            name,
            about,
            applies: answer.is_ok(),
            taken: taken == Some(name),
            why: answer.unwrap_or_else(|why| why),
        })
        .collect();
    offers.push(Offer {
        name: "error",
        about: "no group: a profile with limits is refused",
        applies: true,
        taken: plan.is_none(),
        why: match plan {
            Some(_) => "not needed".to_owned(),
            None => "none of the others can be gone".to_owned(),
        },
    });
    offers
}

/// The word of a way that was chosen.
#[must_use]
pub fn word(way: &Way, facts: &Facts) -> &'static str {
    match way {
        Way::Scope { system: true, .. } => "systemd-system",
        Way::Scope { system: false, .. } => "systemd-user",
        Way::Direct { places } => {
            let has = |version| places.iter().any(|place| place.version == version);
            match (has(Version::V1), has(Version::V2)) {
                (true, true) => "hybrid",
                (true, false) => "v1",
                _ => match places
                    .first()
                    .is_some_and(|place| is_own(facts, &place.parent))
                {
                    true => "delegated",
                    false => "v2",
                },
            }
        }
    }
}

/// Whether a group of v2 was given to the caller, rather than root's because everything is.
fn is_own(facts: &Facts, parent: &Path) -> bool {
    match facts.cgroup.systemd {
        true => is_delegated_unit(parent),
        false => facts.caller.uid != 0,
    }
}

fn delegated(facts: &Facts) -> Answer {
    let Some(tree) = facts.cgroup.unified.as_ref() else {
        return Err("the cgroup v2 hierarchy is not mounted".to_owned());
    };
    if facts.cgroup.is_legacy() {
        return Err("the controllers of memory, pids and CPU are on v1".to_owned());
    }
    let own = tree.groups.iter().find(|group| {
        group.writable && (!group.occupied || group.root) && is_own(facts, &group.path)
    });
    match own {
        Some(group) => Ok(format!("below {}", group.path.display())),
        None if facts.caller.uid == 0 => {
            Err("this process is in no group that systemd has delegated".to_owned())
        }
        None => Err(format!(
            "no group above this process belongs to `{}`{}",
            facts.caller.user,
            match facts.cgroup.systemd {
                true => " but the service manager's own".to_owned(),
                false => format!("; {} --pid $$ gives one", delegation(facts).join("")),
            }
        )),
    }
}

fn manager(facts: &Facts, system: bool) -> Answer {
    if facts.cgroup.is_legacy() && facts.cgroup.systemd {
        return Err(
            "the controllers of memory, pids and CPU are on v1, which systemd gives to nobody"
                .to_owned(),
        );
    }
    match (&facts.cgroup.manager, facts.caller.uid == 0) {
        (Some(manager), _) if manager.system == system => {
            let controllers: Vec<&str> = manager.controllers.iter().map(String::as_str).collect();
            Ok(format!(
                "{}, with {}",
                manager.bus.display(),
                controllers.join(", ")
            ))
        }
        _ if !facts.cgroup.systemd => Err("systemd is not running".to_owned()),
        (_, true) if !system => Err("root asks the system's".to_owned()),
        (_, false) if system => Err("only root may ask it".to_owned()),
        _ => Err(facts.cgroup.no_manager.clone()),
    }
}

fn direct(facts: &Facts) -> Answer {
    let Some(tree) = facts.cgroup.unified.as_ref() else {
        return Err("the cgroup v2 hierarchy is not mounted".to_owned());
    };
    if facts.cgroup.is_legacy() {
        return Err("the controllers of memory, pids and CPU are on v1".to_owned());
    }
    if facts.caller.uid != 0 {
        return Err("only root may make one anywhere".to_owned());
    }
    if facts.cgroup.manager.is_some() {
        return Err("systemd manages the hierarchy, and is asked".to_owned());
    }
    let free = tree.groups.iter().find(|group| {
        group.writable && (!group.occupied || group.root) && (group.root || !facts.cgroup.systemd)
    });
    match free {
        Some(group) => Ok(format!("below {}", group.path.display())),
        None => Err(nowhere(facts, tree).0),
    }
}

fn legacy(facts: &Facts) -> Answer {
    let cgroup = &facts.cgroup;
    if cgroup.legacy.is_empty() {
        return Err("no hierarchy of v1 is mounted".to_owned());
    }
    let (mine, others): (Vec<_>, Vec<_>) = cgroup
        .legacy
        .iter()
        .partition(|hierarchy| hierarchy.parent().is_some());
    let names = |all: Vec<&crate::host::facts::cgroup::Hierarchy>| {
        let names = all
            .iter()
            .flat_map(|hierarchy| hierarchy.controllers.iter());
        names.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let lacks = match others.is_empty() {
        true => String::new(),
        false => format!("; not with {}", names(others)),
    };
    match mine.is_empty() {
        false => Ok(format!("with {}{lacks}", names(mine))),
        true => Err(format!(
            "`{}` may make no group in any; {}",
            facts.caller.user,
            delegation(facts).join("")
        )),
    }
}

/// v1 by itself, where v2 cannot be had beside it.
fn alone(v1: Answer, hybrid: &Answer) -> Answer {
    match (v1, hybrid) {
        (Ok(_), Ok(_)) => Err("v2 is here too: the next way".to_owned()),
        (v1, _) => v1,
    }
}

fn hybrid(facts: &Facts) -> Answer {
    let cgroup = &facts.cgroup;
    let Some(tree) = cgroup
        .unified
        .as_ref()
        .filter(|_| !cgroup.legacy.is_empty())
    else {
        return Err("only one version is mounted".to_owned());
    };
    if let Err(why) = legacy(facts) {
        return Err(why);
    }
    match tree.groups.iter().find(|group| group.writable) {
        Some(group) => Ok(format!("beside v1, below {}", group.path.display())),
        None => Err(format!(
            "`{}` may make no group below {}",
            facts.caller.user,
            tree.mount.display()
        )),
    }
}
