//! The catalogue of attacks: each is tried with nothing around it, where it must work, and under the shipped profiles,
//! where it must not. `cargo xtask attacks` writes the outcome into SECURITY.md, beside that of other launchers.
//!
//! An attempt is one entry of a table (`attempt`), in the file of its class; `lair` is what they are after, `course` whom
//! they are tried against, `exception` what a profile leaves open on purpose.

mod attempt;
mod calls;
mod course;
mod exception;
mod files;
mod kernel;
mod lair;
mod namespaces;
mod processes;
mod services;
mod table;
mod terminal;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use attempt::{Attempt, Control, Found};
use course::{Course, PROFILES, Walls};
use lair::{Lair, Observed};

use super::support::{Case, Need, Outcome, Scene, case};

/// Every attempt, in the order of the classes.
fn all() -> impl Iterator<Item = &'static Attempt> {
    [
        terminal::ALL,
        processes::ALL,
        namespaces::ALL,
        calls::ALL,
        files::ALL,
        kernel::ALL,
        services::ALL,
    ]
    .into_iter()
    .flatten()
}

/// What this program does when it is not asked to run cases.
pub fn answer(words: &[&str]) -> Option<ExitCode> {
    let done = match words {
        ["probe", "catalogue", rest @ ..] => attempt::run(rest).is_ok(),
        ["probe", "victim", ..] => processes::victim().is_ok(),
        ["catalogue-table"] => match table::print() {
            Ok(()) => true,
            Err(error) => {
                eprintln!("{error}");
                false
            }
        },
        _ => return None,
    };
    Some(ExitCode::from(u8::from(!done)))
}

pub fn cases() -> Vec<Case> {
    const NEEDS: &[Need] = &[Need::UserNamespaces];
    let mut cases = vec![
        case("entries", &[], entries),
        case("control", &[], control),
        case("hostless", &[Need::Landlock(2)], hostless),
        case("hostile_callers", NEEDS, table::hostile_callers),
        case("table_is_current", NEEDS, table::is_current),
    ];
    for profile in PROFILES {
        cases.push(case(profile, NEEDS, move |scene| holds(scene, profile)));
    }
    cases
}

/// Each has a name of its own, of a class that there is.
fn entries(_: &Scene) -> Outcome {
    let mut seen = BTreeSet::new();
    for one in all() {
        assert!(seen.insert(one.id), "`{}` is there twice", one.id);
        assert!(
            !one.what.is_empty() && !one.id.contains(':') && !one.id.contains('|'),
            "{}",
            one.id
        );
    }
    assert!(seen.len() >= 80, "only {} attempts", seen.len());
    for exception in exception::ALL {
        for id in exception.ids {
            assert!(seen.contains(id), "the exception `{id}` is of no attempt");
        }
    }
    Ok(())
}

/// An attempt that cannot work says nothing where it does not.
fn control(scene: &Scene) -> Outcome {
    let lair = Lair::new(scene)?;
    let observed = Course::Nothing.run(scene, &lair)?;
    let Observed::Ran(found) = observed else {
        return Err("the attempts do not run at all".into());
    };
    let mut worthless = Vec::new();
    let mut unshown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in all() {
        let must = match one.control {
            Control::Anyone => true,
            Control::Root => scene.host.is_root(),
            Control::Sometimes(_) => false,
        };
        match found.get(one.id) {
            Some(Found::Held(why)) if must => {
                worthless.push(format!("{} does not work here: {why}", one.id))
            }
            Some(Found::Held(_)) => {
                let reason = match one.control {
                    Control::Sometimes(reason) => reason,
                    _ => "for root",
                };
                unshown.entry(reason).or_default().push(one.id);
            }
            _ => {}
        }
    }
    for (reason, ids) in unshown {
        println!(
            "note: not shown to work here ({reason}): {}",
            ids.join(", ")
        );
    }
    if worthless.is_empty() {
        Ok(())
    } else {
        Err(worthless.join("\n").into())
    }
}

/// With both walls and with mounts alone, all but the exceptions are held.
fn holds(scene: &Scene, profile: &'static str) -> Outcome {
    let lair = Lair::new(scene)?;
    let mut open = Vec::new();
    let mut tried = Vec::new();
    for walls in [Walls::Both, Walls::Mounts] {
        let course = Course::Profile(profile, walls);
        match course.run(scene, &lair)? {
            Observed::Ran(found) => {
                open.extend(unexpected(scene, course, &found));
                tried.push((course, found));
            }
            Observed::Refused(why) => return Err(format!("{}: {why}", course.name()).into()),
        }
    }
    open.extend(unneeded(scene, &lair, &tried)?);
    if open.is_empty() {
        Ok(())
    } else {
        Err(open.join("\n").into())
    }
}

/// Where there are no namespaces, the shipped profiles do not start; one that can do without holds what it says.
fn hostless(scene: &Scene) -> Outcome {
    let lair = Lair::new(scene)?;
    let mut open = Vec::new();
    for profile in PROFILES {
        let course = Course::Profile(profile, Walls::Landlock);
        if let Observed::Ran(_) = course.run(scene, &lair)? {
            open.push(format!("{} runs", course.name()));
        }
    }
    match Course::Alone.run(scene, &lair)? {
        Observed::Ran(found) => {
            open.extend(unexpected(scene, Course::Alone, &found));
            open.extend(unneeded(scene, &lair, &[(Course::Alone, found)])?);
        }
        Observed::Refused(why) => open.push(format!("{}: {why}", Course::Alone.name())),
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(open.join("\n").into())
    }
}

/// Exceptions of attempts that are held in every course that the exception is for, and that work with nothing around them.
fn unneeded(
    scene: &Scene,
    lair: &Lair,
    tried: &[(Course, BTreeMap<&'static str, Found>)],
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let Observed::Ran(bare) = Course::Nothing.run(scene, lair)? else {
        return Err("the attempts do not run at all".into());
    };
    let (root, landlock) = (scene.host.is_root(), scene.host.landlock);
    let works = |found: &BTreeMap<_, _>, id| matches!(found.get(id), Some(Found::Escaped(_)));
    let mut unneeded = Vec::new();
    for one in all().filter(|one| works(&bare, one.id)) {
        let meant = tried
            .iter()
            .filter(|(course, _)| exception::of(one.id, *course, root, landlock).is_some());
        let meant: Vec<_> = meant.collect();
        if let Some((course, _)) = meant.first()
            && !meant.iter().any(|(_, found)| works(found, one.id))
        {
            let name = course.name();
            unneeded.push(format!(
                "{name}: {} is held, and an exception says that it is not",
                one.id
            ));
        }
    }
    Ok(unneeded)
}

/// What worked and is no exception.
fn unexpected(scene: &Scene, course: Course, found: &BTreeMap<&'static str, Found>) -> Vec<String> {
    let open = found.iter().filter_map(|(id, found)| match found {
        Found::Escaped(evidence) => Some((*id, evidence)),
        Found::Held(_) => None,
    });
    open.filter(|(id, _)| {
        exception::of(id, course, scene.host.is_root(), scene.host.landlock).is_none()
    })
    .map(|(id, evidence)| format!("{}: {id} works: {evidence}", course.name()))
    .collect()
}
