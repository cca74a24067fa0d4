//! What `[desktop]` does to the environment: variables say what is there, and nothing else.

use std::ffi::OsString;

use super::{AUTHORITY, Portal, Screen, WAYLAND, Wayland, X11, is_on, word};
use crate::host::facts::Caller;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value;
use crate::report::Site;

/// What happens to a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None`: the program does not get it.
    pub value: Option<OsString>,
    /// The key that says so: `desktop.x11`.
    pub key: String,
    /// Where.
    pub site: Site,
}

/// Variables that name an input method for a toolkit.
const INPUT_METHODS: [&str; 5] = [
    "GTK_IM_MODULE",
    "QT_IM_MODULE",
    "QT_IM_MODULES",
    "SDL_IM_MODULE",
    "XMODIFIERS",
];
/// What the C library reads (locale(7)), but for LC_….
const LANGUAGES: [&str; 3] = ["LANG", "LANGUAGE", "TZ"];

struct Gathered<'a> {
    policy: &'a Policy,
    out: Vec<Variable>,
}

impl Gathered<'_> {
    fn say(&mut self, key: &str, name: &str, value: Option<OsString>) {
        let said = self.policy.get(Section::Desktop, key);
        self.out.push(Variable {
            name: name.to_owned(),
            value,
            key: format!("desktop.{key}"),
            site: said.map_or_else(|| super::first(self.policy), |said| said.site),
        });
    }

    fn set(&mut self, key: &str, name: &str, value: impl Into<OsString>) {
        self.say(key, name, Some(value.into()));
    }

    fn unset(&mut self, key: &str, name: &str) {
        self.say(key, name, None);
    }
}

/// All rules.
pub(super) fn rules(
    policy: &Policy,
    caller: &Caller,
    screen: &Screen,
    portal: Option<&Portal>,
) -> Vec<Variable> {
    let mut all = Gathered {
        policy,
        out: Vec::new(),
    };
    let runtime = caller.directories.get("XDG_RUNTIME_DIR");
    let in_runtime = |name: &str| runtime.map(|at| at.join(name).into_os_string());
    let wayland = screen.wayland.value != Wayland::None && runtime.is_some();
    // A descriptor that the caller was given, not the program.
    all.unset("wayland", "WAYLAND_SOCKET");
    match wayland {
        true => all.set("wayland", "WAYLAND_DISPLAY", WAYLAND),
        false => all.unset("wayland", "WAYLAND_DISPLAY"),
    }
    match &screen.x11.value {
        X11::None => {
            all.unset("x11", "DISPLAY");
            all.unset("x11", "XAUTHORITY");
        }
        // Over the network it is found by its own name.
        X11::Host { socket: None, .. } => {
            all.say("x11", "DISPLAY", caller.variable("DISPLAY").map(Into::into));
            all.say("x11", "XAUTHORITY", in_runtime(AUTHORITY));
        }
        _ => {
            all.set("x11", "DISPLAY", format!(":{}", screen.number));
            all.say("x11", "XAUTHORITY", in_runtime(AUTHORITY));
        }
    }
    match (wayland, &screen.x11.value) {
        (true, _) => all.set("wayland", "XDG_SESSION_TYPE", "wayland"),
        (false, X11::None) => all.unset("x11", "XDG_SESSION_TYPE"),
        (false, _) => all.set("x11", "XDG_SESSION_TYPE", "x11"),
    }
    sound(&mut all, caller, in_runtime("pulse/native"));
    match is_on(policy, "ssh-agent") && caller.variable("SSH_AUTH_SOCK").is_some() {
        true => all.say("ssh-agent", "SSH_AUTH_SOCK", in_runtime("ssh-agent")),
        false => all.unset("ssh-agent", "SSH_AUTH_SOCK"),
    }
    if !is_on(policy, "accessibility") {
        all.set("accessibility", "NO_AT_BRIDGE", "1");
        // GTK 4 asks by itself.
        all.set("accessibility", "GTK_A11Y", "none");
    }
    // An address of the host; the filter's is said with that of the session bus.
    all.unset("accessibility", "AT_SPI_BUS_ADDRESS");
    if portal.is_some_and(|portal| portal.dialogs) {
        // Toolkits ask for the desktop's dialogs by themselves only in sandboxes that they know.
        all.set("portals", "GTK_USE_PORTAL", "1");
        if caller.variable("QT_QPA_PLATFORMTHEME").is_none() {
            all.set("portals", "QT_QPA_PLATFORMTHEME", "xdgdesktopportal");
        }
    }
    for name in INPUT_METHODS {
        match caller
            .variable(name)
            .filter(|_| is_on(policy, "input-methods"))
        {
            Some(value) => all.set("input-methods", name, value),
            None => all.unset("input-methods", name),
        }
    }
    languages(&mut all, caller);
    all.out
}

fn sound(all: &mut Gathered, caller: &Caller, native: Option<OsString>) {
    let word = word(all.policy, "audio").map_or("none", |said| said.value);
    let network = caller
        .variable("PULSE_SERVER")
        .is_some_and(|text| text.to_str().is_some_and(|text| text.starts_with("tcp")));
    match (word, native) {
        ("none", _) | (_, None) => all.unset("audio", "PULSE_SERVER"),
        // Shown as far as the network is.
        _ if network => {}
        (_, Some(mut native)) => {
            let mut text = OsString::from("unix:");
            text.push(std::mem::take(&mut native));
            all.set("audio", "PULSE_SERVER", text);
        }
    }
    match word {
        "pipewire" => all.set("audio", "PIPEWIRE_REMOTE", "pipewire-0"),
        _ => all.unset("audio", "PIPEWIRE_REMOTE"),
    }
    all.unset("audio", "PIPEWIRE_RUNTIME_DIR");
}

fn languages(all: &mut Gathered, caller: &Caller) {
    let names = caller.environment.iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        (LANGUAGES.contains(&name) || name.starts_with("LC_")).then(|| (name.to_owned(), value))
    });
    let Some(said) = word(all.policy, "locale") else {
        return;
    };
    for (name, value) in names {
        match said.value {
            "host" => all.set("locale", &name, value),
            _ => all.unset("locale", &name),
        }
    }
    if said.value == "none" {
        all.out
            .retain(|variable| !LANGUAGES.contains(&variable.name.as_str()));
        all.set("locale", "LANG", "C.UTF-8");
        all.set("locale", "TZ", "UTC");
        all.unset("locale", "LANGUAGE");
    }
}

/// The program's environment with what the section says about it. A text in `[environment]` for a variable's own name wins.
#[must_use]
pub fn environment(
    policy: &Policy,
    rules: &[Variable],
    mut lowered: Vec<(OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    for rule in rules {
        let said = policy.get(Section::Environment, &rule.name);
        let named = said.is_some_and(|said| {
            matches!(said.value, value::Value::Variable(value::Variable::Set(_)))
        });
        if named {
            continue;
        }
        let at = lowered.iter().position(|(name, _)| *name == *rule.name);
        match (&rule.value, at) {
            (Some(value), Some(at)) => {
                if let Some(entry) = lowered.get_mut(at) {
                    entry.1.clone_from(value);
                }
            }
            (Some(value), None) => lowered.push((rule.name.clone().into(), value.clone())),
            (None, Some(at)) => {
                lowered.remove(at);
            }
            (None, None) => {}
        }
    }
    lowered
}
