//! Plain command lines, which nearly all are, read without the library: before it reads a word, it builds a description of
//! every option with all that its help says, which takes longer than most of what a launch asks the kernel for.
//!
//! A line is plain if each option is a long one as a whole, followed by what it takes, and if nothing about it is to be
//! told. All else is left to the library, whose word is the only one on what is wrong: what is read here, it reads to the
//! same values.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::typed::Typed;
use super::{Launch, app_id, run_name};
use crate::cli::documents::Which;
use crate::cli::flag::Flag;
use crate::cli::notice::When;

/// Where an option leaves what it says.
enum Place<'a> {
    Switch(&'a mut bool),
    Once(&'a mut Option<String>),
    Often(&'a mut Vec<String>),
    Notify(&'a mut When),
    Documents(&'a mut Option<Which>),
}

/// Reads a line that begins with the name of the program itself; none if it is not plain.
pub(super) fn read(words: &[OsString]) -> Option<Typed> {
    let mut typed = Typed::default();
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = words.get(1..)?;
    loop {
        let (word, after) = rest.split_first()?;
        match word.as_bytes() {
            b"" => return None,
            b"--" => {
                typed.launch.command = command(after)?;
                break;
            }
            [b'-', ..] => rest = option(word, after, &mut typed, &mut seen)?,
            _ => {
                typed.launch.command = command(rest)?;
                break;
            }
        }
    }
    let launch = &typed.launch;
    let contradicts_itself = launch.no_profile && !launch.profile.is_empty()
        || launch.quiet && launch.verbose
        || launch.background && launch.dry_run;
    (!contradicts_itself).then_some(typed)
}

/// The program, and what it is given, whatever that is.
fn command(words: &[OsString]) -> Option<Vec<OsString>> {
    let program = words.first()?;
    (!program.is_empty() && program != "--").then(|| words.to_vec())
}

/// One option; returns the words after it and what it takes.
fn option<'a>(
    word: &'a OsStr,
    after: &'a [OsString],
    typed: &mut Typed,
    seen: &mut Vec<&'a str>,
) -> Option<&'a [OsString]> {
    let text = word.to_str()?.strip_prefix("--")?;
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if attached == Some("") {
        return None;
    }
    let place = place(&mut typed.launch, name)?;
    if !matches!(place, Place::Often(_)) {
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    if let Place::Switch(on) = place {
        *on = true;
        return attached.is_none().then_some(after);
    }
    let (value, after) = match attached {
        Some(value) => (value, after),
        // Its value is no word of its own.
        None if matches!(place, Place::Documents(_)) => return None,
        None => {
            let (value, after) = after.split_first()?;
            let value = value.to_str()?;
            // An option that was forgotten to be given something, or something that looks like one.
            if value.is_empty() || value.starts_with('-') {
                return None;
            }
            (value, after)
        }
    };
    if let Some(flag) = Flag::ALL.into_iter().find(|flag| flag.name() == name) {
        typed.rules.push((flag, value.to_owned()));
    }
    match place {
        Place::Switch(_) => {}
        Place::Once(kept) => *kept = Some(checked(name, value)?),
        Place::Often(kept) => kept.push(value.to_owned()),
        Place::Notify(kept) => *kept = when(value)?,
        Place::Documents(kept) => *kept = Some(value.parse().ok()?),
    }
    Some(after)
}

/// The value of an option that is judged here already.
fn checked(name: &str, value: &str) -> Option<String> {
    match name {
        "name" => run_name(value).ok(),
        "app-id" => app_id(value).ok(),
        "net" => matches!(value, "host" | "none").then(|| value.to_owned()),
        _ => Some(value.to_owned()),
    }
}

fn when(value: &str) -> Option<When> {
    Some(match value {
        "auto" => When::Auto,
        "always" => When::Always,
        "never" => When::Never,
        _ => return None,
    })
}

fn place<'a>(launch: &'a mut Launch, name: &str) -> Option<Place<'a>> {
    let rules = &mut launch.shorthand;
    Some(match name {
        "profile" => Place::Often(&mut launch.profile),
        "set" => Place::Often(&mut launch.set),
        "no-profile" => Place::Switch(&mut launch.no_profile),
        "system-profiles" => Place::Switch(&mut launch.system_profiles),
        "best-effort" => Place::Switch(&mut launch.best_effort),
        "name" => Place::Once(&mut launch.name),
        "app-id" => Place::Once(&mut launch.app_id),
        "memory" => Place::Once(&mut rules.memory),
        "swap" => Place::Once(&mut rules.swap),
        "memory-soft" => Place::Once(&mut rules.memory_soft),
        "pids" => Place::Once(&mut rules.pids),
        "cpu" => Place::Once(&mut rules.cpu),
        "ro" => Place::Often(&mut rules.ro),
        "rw" => Place::Often(&mut rules.rw),
        "hide" => Place::Often(&mut rules.hide),
        "tmpfs" => Place::Often(&mut rules.tmpfs),
        "copy" => Place::Often(&mut rules.copy),
        "bind" => Place::Often(&mut rules.bind),
        "root" => Place::Once(&mut rules.root),
        "net" => Place::Once(&mut rules.net),
        "hostname" => Place::Once(&mut rules.hostname),
        "chdir" => Place::Once(&mut rules.chdir),
        "env" => Place::Often(&mut rules.env),
        "unset-env" => Place::Often(&mut rules.unset_env),
        "new" => Place::Switch(&mut launch.new),
        "dry-run" => Place::Switch(&mut launch.dry_run),
        "report" => Place::Switch(&mut launch.report),
        "json" => Place::Switch(&mut launch.json),
        "background" => Place::Switch(&mut launch.background),
        "quiet" => Place::Switch(&mut launch.quiet),
        "verbose" => Place::Switch(&mut launch.verbose),
        "notify" => Place::Notify(&mut launch.notify),
        "documents" => Place::Documents(&mut launch.documents),
        _ => return None,
    })
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
