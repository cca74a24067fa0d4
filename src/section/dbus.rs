//! `[dbus]`: which message buses the program reaches, and whom on them. Pure.
//!
//! A bus is the host's (`"host"`), out of reach (`"none"`), or reached through a filter that lets pass what rules name
//! (`"filtered"`): xdg-dbus-proxy(1), which is started beside the program and listens in the directory of the run.

pub mod accessibility;
pub mod address;
pub mod risk;
pub mod rule;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::host::Facts;
use crate::host::facts::{Caller, PathKind};
use crate::plan::companion::{Companion, Identity, Loss, Ready, Stop, Word};
use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Access, Value, Variable};
use crate::report::{Diagnostic, Diagnostics, Site};

use super::desktop::names::{self, Leave};
use super::filesystem::{Fixed, Fixture};
use accessibility::{Accessible, accessible};
use address::Address;
use rule::{Bus, Who};

/// What a key of a bus takes.
pub const MODES: &[&str] = &["host", "filtered", "none"];

/// What a key of a name takes.
pub const RIGHTS: &[&str] = &["none", "see", "talk", "own", "call", "listen"];

/// Where the system's bus listens.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// How a bus is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As by any program of the caller's.
    Host,
    /// Through a filter.
    Filtered,
    /// Not at all.
    None,
}

/// What becomes of one bus on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which.
    pub bus: Bus,
    /// How it is reached; a filter for which something is missing here is [`Mode::None`].
    pub mode: Mode,
    /// The rule.
    pub site: Site,
    /// Where it listens on the host; none when it cannot be found or used.
    pub address: Option<Address>,
    /// Where it is seen inside.
    pub place: PathBuf,
    /// What lacks for a filter that was asked for.
    pub lack: Option<Lack>,
}

/// Why there is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// This host has no such bus: there is nothing to be filtered.
    Bus,
    /// The bus has an address that no filter takes.
    Address(String),
    /// The program that filters is not installed.
    Proxy,
}

/// Whether the section says anything.
#[must_use]
pub fn asks(policy: &Policy) -> bool {
    policy.mentions(Section::Dbus) || implied(policy).next().is_some()
}

/// Names on the session bus that keys of `[desktop]` stand for, but for those that a rule here names itself.
fn implied(policy: &Policy) -> impl Iterator<Item = names::BusRule> {
    let all = names::rules(policy).into_iter();
    all.filter(|rule| policy.get(Section::Dbus, rule.name).is_none())
}

/// Whether a filter is asked for, so that it matters whether this host has one.
#[must_use]
pub fn wants_filter(policy: &Policy) -> bool {
    Bus::ALL
        .iter()
        .any(|bus| mode(policy, *bus).is_some_and(|mode| mode.value == Mode::Filtered))
}

/// What the section says about a bus: names on it ask for a filter. None when it says nothing.
#[must_use]
pub fn mode(policy: &Policy, bus: Bus) -> Option<Traced<Mode>> {
    if let Some(said) = policy.get(Section::Dbus, bus.key()) {
        let mode = match said.value {
            Value::Word("host") => Mode::Host,
            Value::Word("filtered") => Mode::Filtered,
            _ => Mode::None,
        };
        return Some(Traced::new(mode, said.site));
    }
    let mut named = policy
        .section(Section::Dbus)
        .filter(|(key, ..)| Who::parse(key).is_ok_and(|who| who.bus == bus));
    let named = named.next().map(|(.., rule)| rule.site);
    let implied = || match bus {
        Bus::Session => implied(policy).next().map(|rule| rule.site),
        Bus::System => None,
    };
    named
        .or_else(implied)
        .map(|site| Traced::new(Mode::Filtered, site))
}

/// What becomes of the buses that the section says something about.
#[must_use]
pub fn plans(policy: &Policy, facts: &Facts) -> Vec<Plan> {
    let plan = |bus| {
        let said = mode(policy, bus)?;
        let found = find(bus, &facts.caller);
        let missing = |path: &Path| {
            facts
                .path(path)
                .is_some_and(|fact| fact.kind == PathKind::Missing)
        };
        let (address, lack) = match found {
            Ok(Address::Path(path)) if missing(&path) => (None, Some(Lack::Bus)),
            Ok(address) => (Some(address), None),
            Err(lack) => (None, Some(lack)),
        };
        let lack = match said.value {
            Mode::Filtered if lack.is_none() && facts.dbus.proxy.is_none() => Some(Lack::Proxy),
            Mode::Filtered => lack,
            Mode::Host | Mode::None => None,
        };
        Some(Plan {
            bus,
            mode: match lack {
                None => said.value,
                Some(_) => Mode::None,
            },
            site: said.site,
            place: match &address {
                Some(Address::Path(path)) => path.clone(),
                _ => usual(bus, &facts.caller),
            },
            address,
            lack,
        })
    };
    Bus::ALL.into_iter().filter_map(plan).collect()
}

/// Whether a bus is filtered on this host, once its socket was looked for.
#[must_use]
pub fn filters(policy: &Policy, facts: &Facts) -> bool {
    let plans = plans(policy, facts);
    plans.iter().any(|plan| plan.mode == Mode::Filtered)
}

/// The runtime directories that the caller may have, the one that is named first.
fn runtimes(caller: &Caller) -> Vec<PathBuf> {
    let usual = PathBuf::from(format!("/run/user/{}", caller.uid));
    let named = caller.directories.get("XDG_RUNTIME_DIR").cloned();
    let mut all: Vec<PathBuf> = named
        .into_iter()
        .filter(|path| path.is_absolute())
        .collect();
    if !all.contains(&usual) {
        all.push(usual);
    }
    all
}

/// Where a bus listens if nothing else is said.
fn usual(bus: Bus, caller: &Caller) -> PathBuf {
    match bus {
        Bus::System => SYSTEM_BUS.into(),
        Bus::Session => runtimes(caller)
            .first()
            .map_or_else(|| PathBuf::from("/run/bus"), |runtime| runtime.join("bus")),
    }
}

fn variable(bus: Bus) -> &'static str {
    match bus {
        Bus::Session => "DBUS_SESSION_BUS_ADDRESS",
        Bus::System => "DBUS_SYSTEM_BUS_ADDRESS",
    }
}

/// Where a bus of the caller's listens.
fn find(bus: Bus, caller: &Caller) -> Result<Address, Lack> {
    let runtimes = runtimes(caller);
    match caller
        .variable(variable(bus))
        .filter(|text| !text.is_empty())
    {
        Some(list) => {
            Address::parse(list, runtimes.first().map(PathBuf::as_path)).map_err(Lack::Address)
        }
        None => Ok(Address::Path(usual(bus, caller))),
    }
}

/// What is put into the view for it: the filter's socket, that of the host, or nothing; and other doors to the same.
#[must_use]
pub fn fixtures(policy: &Policy, facts: &Facts) -> Vec<Fixture> {
    let plans = plans(policy, facts);
    let accessible = accessible(policy, facts, &plans);
    let mut all: Vec<Fixture> = accessible.iter().map(Accessible::fixture).collect();
    for plan in plans {
        let mut put = |place: PathBuf, what: Fixed| {
            all.push(Fixture {
                place,
                what,
                key: format!("{}.{}", Section::Dbus, plan.bus.key()),
                site: plan.site,
            });
        };
        if plan.mode == Mode::Host {
            put(plan.place.clone(), Fixed::Shown(Access::ReadOnly));
            continue;
        }
        let mut doors = doors(plan.bus, &facts.caller);
        if !doors.contains(&plan.place) {
            doors.push(plan.place.clone());
        }
        for door in doors {
            if plan.mode != Mode::Filtered || door != plan.place {
                put(door, Fixed::Hidden);
            }
        }
        if plan.mode == Mode::Filtered {
            put(plan.place.clone(), Fixed::Made(socket(plan.bus)));
        }
    }
    all
}

/// By which paths a bus, or somebody with the same power, is reached without a filter.
fn doors(bus: Bus, caller: &Caller) -> Vec<PathBuf> {
    match bus {
        // Beside it the service manager's own sockets, which root may use.
        Bus::System => [
            SYSTEM_BUS,
            "/run/systemd/private",
            "/run/systemd/io.systemd.Manager",
        ]
        .map(PathBuf::from)
        .to_vec(),
        Bus::Session => {
            // The service manager's own socket; the bus of screen readers, which operates windows; file systems of GNOME;
            // filters of other sandboxes.
            let names = ["bus", "systemd", "at-spi", "gvfsd", ".dbus-proxy"];
            let below = |runtime: PathBuf| names.map(|name| runtime.join(name));
            runtimes(caller).into_iter().flat_map(below).collect()
        }
    }
}

/// What the filter's socket is called in the directory of the run.
fn socket(bus: Bus) -> OsString {
    format!("{}-bus", bus.key()).into()
}

/// What the rules let pass, as arguments of the proxy, by bus.
///
/// # Errors
/// Rights that do not fit what they are given on; a right that another rule gives anyway.
pub fn rules(policy: &Policy) -> Result<BTreeMap<Bus, Vec<String>>, Diagnostics> {
    let mut named: Vec<(Who, &str, Site)> = Vec::new();
    let mut errors = Diagnostics::new();
    for (key, value, rule) in policy.section(Section::Dbus) {
        let (Ok(who), Value::Word(right)) = (Who::parse(key), value) else {
            continue;
        };
        match misfit(&who, right) {
            None => named.push((who, right, rule.site)),
            Some(help) => errors.push(
                Diagnostic::error(
                    format!("`{key}` cannot be \"{right}\""),
                    rule.site,
                    "does not fit",
                )
                .help(help),
            ),
        }
    }
    for (who, right, site) in &named {
        // The proxy adds rights up, and takes none away.
        let more = named.iter().find(|(other, given, _)| {
            other != who && other.part.is_none() && other.holds(who) && rank(given) > rank(right)
        });
        if let Some((other, given, at)) = more {
            errors.push(
                Diagnostic::error(
                    format!("`{who}` cannot be \"{right}\" while `{other}` is \"{given}\""),
                    *site,
                    "takes away what another rule gives",
                )
                .related(*at, "this one")
                .help("the filter adds rights up: name one by one what is to be given"),
            );
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut all: BTreeMap<Bus, Vec<String>> = BTreeMap::new();
    for (who, right, _) in named {
        let name = who.pattern();
        let words = all.entry(who.bus).or_default();
        match (&who.part, right) {
            (_, "none") => {}
            (None, right) => words.push(format!("--{right}={name}")),
            (Some(part), "call") => words.push(format!("--call={name}={part}")),
            (Some(part), "listen") => words.push(format!("--broadcast={name}={part}")),
            (Some(part), _) => {
                words.push(format!("--call={name}={part}"));
                words.push(format!("--broadcast={name}={part}"));
            }
        }
    }
    for rule in implied(policy) {
        let (name, words) = (rule.name, all.entry(Bus::Session).or_default());
        match rule.leave {
            Leave::Talk => words.push(format!("--talk={name}")),
            Leave::Own => words.push(format!("--own={name}")),
            Leave::Call(parts) => words.extend(parts.iter().flat_map(|part| {
                [
                    format!("--call={name}={part}"),
                    format!("--broadcast={name}={part}"),
                ]
            })),
        }
    }
    Ok(all)
}

/// How much a right is.
fn rank(right: &str) -> u8 {
    match right {
        "own" => 3,
        "talk" => 2,
        "see" | "call" | "listen" => 1,
        _ => 0,
    }
}

/// What fits instead, where a right does not.
fn misfit(who: &Who, right: &str) -> Option<&'static str> {
    match (&who.part, right) {
        (None, "call" | "listen") => Some(
            "\"call\" and \"listen\" are about a part of what a name does, which stands in parentheses: \"NAME(INTERFACE.*)\"",
        ),
        (Some(_), "see" | "own") => {
            Some("a part of what a name does takes \"talk\", \"call\", \"listen\" or \"none\"")
        }
        _ => None,
    }
}

/// The filter for the buses that have one; none when none has.
#[must_use]
pub fn companion(
    plans: &[Plan],
    rules: &BTreeMap<Bus, Vec<String>>,
    facts: &Facts,
    accessible: Option<&Accessible>,
    identity: Option<Identity>,
) -> Option<Companion> {
    let proxy = facts.dbus.proxy.as_ref()?;
    let mut arguments = vec![Word::text("--fd=3")];
    for plan in plans.iter().filter(|plan| plan.mode == Mode::Filtered) {
        arguments.push(Word::text(plan.address.as_ref()?.text()));
        arguments.push(Word::run("", socket(plan.bus)));
        arguments.push(Word::text("--filter"));
        let of_bus = rules.get(&plan.bus).into_iter().flatten();
        arguments.extend(of_bus.map(Word::text));
    }
    arguments.extend(accessible.into_iter().flat_map(Accessible::arguments));
    (arguments.len() > 1).then(|| Companion {
        name: "D-Bus filter".to_owned(),
        program: proxy.path.clone(),
        arguments,
        // It is to load nothing that talks to other programs by itself.
        environment: vec![
            ("GIO_USE_VFS".into(), Word::text("local")),
            ("LC_ALL".into(), Word::text("C")),
            ("PATH".into(), Word::text("/usr/bin:/bin")),
        ],
        ready: Ready::Byte,
        stop: Stop::Kill,
        loss: Loss::Told,
        identity,
    })
}

/// Makes the addresses in the program's environment those of the buses inside. What `[environment]` says about a variable by
/// its name stays.
pub fn set_variables(
    environment: &mut Vec<(OsString, OsString)>,
    policy: &Policy,
    plans: &[Plan],
    accessible: Option<&Accessible>,
    mounts: bool,
) {
    let said = |name: &str| {
        policy.get(Section::Environment, name).is_some_and(|said| {
            matches!(
                said.value,
                Value::Variable(Variable::Set(_) | Variable::Unset)
            )
        })
    };
    for plan in plans {
        let name = variable(plan.bus);
        let address = match (plan.mode, &plan.address) {
            (Mode::Host, Some(address)) => Some(address.text()),
            (Mode::Filtered, _) if mounts => Some(Address::Path(plan.place.clone()).text()),
            _ => None,
        };
        if plan.mode != Mode::Host && plan.bus == Bus::Session {
            let others = [
                "DBUS_STARTER_ADDRESS",
                "DBUS_STARTER_BUS_TYPE",
                "AT_SPI_BUS_ADDRESS",
            ];
            environment
                .retain(|(name, _)| !others.iter().any(|other| name == other && !said(other)));
        }
        if said(name) {
            continue;
        }
        environment.retain(|(other, _)| other != OsStr::new(name));
        if let Some(address) = address {
            environment.push((name.into(), address));
        }
    }
    if let Some(accessible) = accessible.filter(|_| mounts && !said("AT_SPI_BUS_ADDRESS")) {
        environment.push(Accessible::variable(&accessible.place));
    }
}

/// What is reached that should not be: a line each, with the rule.
#[must_use]
pub fn risks(policy: &Policy) -> Vec<(Site, String)> {
    let mut all = Vec::new();
    for bus in Bus::ALL {
        let Some(mode) = mode(policy, bus) else {
            continue;
        };
        match (mode.value, bus) {
            (Mode::None, _) => continue,
            (Mode::Host, Bus::Session) => all.push((
                mode.site,
                "whoever reaches the session bus can leave the sandbox: systemd and others start programs outside of it when asked"
                    .to_owned(),
            )),
            (Mode::Host, Bus::System) => all.push((
                mode.site,
                "the services of the system bus are reached, which decide by user and session what they do, not by sandbox"
                    .to_owned(),
            )),
            (Mode::Filtered, _) => {
                let rules = policy.section(Section::Dbus);
                all.extend(rules.filter_map(|(key, value, rule)| {
                    let who = Who::parse(key).ok().filter(|who| who.bus == bus)?;
                    let gives = matches!(value, Value::Word("talk" | "own" | "call"));
                    let risk = risk::of(&who).filter(|_| gives)?;
                    Some((rule.site, format!("`{key}` can be a way out of the sandbox: {risk}")))
                }));
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "dbus/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
