//! `[desktop]`: which parts of the caller's desktop the program reaches.
//!
//! The section says words; this module makes of them what other parts carry out: rules about paths, which `[filesystem]`
//! places and mounts with its own, rules about variables, and sockets that are made for the run ([`Screen`]). What is a
//! name on a message bus is said by [`names`].

pub mod application;
pub mod names;
mod paths;
mod portals;
mod variables;

use std::path::{Path, PathBuf};

pub use paths::{PathRule, Shown};
pub use portals::{Portal, portal};
pub use variables::{Variable, environment};

use crate::host::Facts;
use crate::host::facts::desktop::Context;
use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::Value;
use crate::report::{Diagnostic, Diagnostics, Site};

/// What the program's display is called inside, where it is a Wayland compositor's.
pub const WAYLAND: &str = "wayland-0";
/// The cookie's file in the directory of the run, and inside below the runtime directory.
pub const AUTHORITY: &str = "Xauthority";
/// Where X servers have their sockets.
pub const X11_SOCKETS: &str = "/tmp/.X11-unix";

/// A server for X clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum X11 {
    /// None is reached.
    None,
    /// The caller's.
    Host {
        /// Its socket; none when it is reached over the network.
        socket: Option<PathBuf>,
        /// Its number there.
        number: u32,
        /// Where the caller's cookies are.
        cookies: Option<PathBuf>,
    },
    /// One for this sandbox alone.
    Own {
        /// Which.
        server: Server,
        /// Where it is.
        program: PathBuf,
        /// Width and height.
        screen: (u32, u32),
    },
}

/// A program that is an X server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// In a window of another X server.
    Xephyr,
    /// In a window of a Wayland compositor.
    Xwayland,
    /// Without any window.
    Xvfb,
}

impl Server {
    /// The file name of the program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xephyr => "Xephyr",
            Self::Xwayland => "Xwayland",
            Self::Xvfb => "Xvfb",
        }
    }
}

/// A way to the Wayland compositor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wayland {
    /// None.
    None,
    /// Its ordinary socket.
    Plain {
        /// Which.
        socket: PathBuf,
    },
    /// A socket that it knows belongs to a sandbox.
    Isolated {
        /// Its ordinary socket, on which it is told.
        socket: PathBuf,
    },
}

/// What the program is to see of displays, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Of Wayland.
    pub wayland: Traced<Wayland>,
    /// Of X.
    pub x11: Traced<X11>,
    /// The number of the X display inside.
    pub number: u32,
}

/// What the section comes to on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desktop {
    /// What is seen at which path.
    pub paths: Vec<PathRule>,
    /// What happens to which variable.
    pub variables: Vec<Variable>,
    /// Displays; none when the section says nothing.
    pub screen: Option<Screen>,
    /// What is to be known, and stops nothing.
    pub notes: Vec<(Site, String)>,
}

/// What a key of the section is: the word that its rule says, and where.
fn word(policy: &Policy, key: &str) -> Option<Traced<&'static str>> {
    let said = policy.get(Section::Desktop, key)?;
    match said.value {
        Value::Word(word) => Some(Traced::new(word, said.site)),
        _ => None,
    }
}

/// Whether a key is set to true, and where that is said.
fn flag(policy: &Policy, key: &str) -> Option<Traced<bool>> {
    let said = policy.get(Section::Desktop, key)?;
    match said.value {
        Value::Bool(on) => Some(Traced::new(*on, said.site)),
        _ => None,
    }
}

/// Whether a key is set to true.
fn is_on(policy: &Policy, key: &str) -> bool {
    flag(policy, key).is_some_and(|said| said.value)
}

/// The first rule of the section.
fn first(policy: &Policy) -> Site {
    policy
        .section(Section::Desktop)
        .next()
        .map_or(Site::DEFAULT, |(.., rule)| rule.site)
}

/// What the section opens that leads out of the sandbox, and where that is said.
#[must_use]
pub fn risks(policy: &Policy) -> Vec<(Site, String)> {
    let words = [
        (
            "x11",
            "host",
            "every X client reads all keys, sees all windows and types into them: nothing keeps this program from the caller's others",
        ),
        (
            "wayland",
            "host",
            "many compositors let every client of their ordinary socket record the screen, type, and read the clipboard",
        ),
        (
            "audio",
            "pipewire",
            "through PipeWire's own socket the program may record microphones, cameras and screens",
        ),
        (
            "gpg-agent",
            "host",
            "the program can use, show and change the caller's keys as far as the agent does without a passphrase",
        ),
    ];
    let flags = [(
        "ssh-agent",
        "the program can log in wherever the caller's keys let it",
    )];
    let said = words.iter().filter_map(|(key, risky, text)| {
        let said = word(policy, key).filter(|said| said.value == *risky)?;
        Some((said.site, (*text).to_owned()))
    });
    let on = flags.iter().filter_map(|(key, text)| {
        let said = flag(policy, key).filter(|said| said.value)?;
        Some((said.site, (*text).to_owned()))
    });
    said.chain(on).collect()
}

/// What has to be found out about the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Which Wayland compositor there is.
    pub compositor: bool,
    /// Whether it can be told of a sandbox.
    pub context: bool,
    /// Which X servers are installed.
    pub servers: bool,
    /// Which numbers X displays have.
    pub displays: bool,
    /// Whether there are portals.
    pub portals: bool,
}

/// What a policy needs to know of the host's displays.
#[must_use]
pub fn wanted(policy: &Policy) -> Wanted {
    let wayland = word(policy, "wayland").map_or("none", |said| said.value);
    let x11 = word(policy, "x11").map_or("none", |said| said.value);
    let own = matches!(x11, "nested" | "virtual");
    Wanted {
        compositor: wayland != "none" || x11 == "nested",
        context: matches!(wayland, "isolated" | "auto"),
        servers: own,
        displays: word(policy, "x11").is_some(),
        portals: is_on(policy, "portals"),
    }
}

/// Makes out what the section comes to.
///
/// # Errors
/// What was asked for and is not to be had here.
pub fn decide(policy: &Policy, facts: &Facts) -> Result<Desktop, Diagnostics> {
    if !policy.mentions(Section::Desktop) {
        return Ok(Desktop::default());
    }
    let mut desktop = Desktop::default();
    let mut errors = Diagnostics::new();
    let wayland = wayland(policy, facts, &mut desktop, &mut errors);
    let x11 = x11(policy, facts, &wayland.value, &mut desktop, &mut errors);
    let screen = Screen {
        wayland,
        number: match x11.value {
            X11::Own { .. } => facts.desktop.own_display,
            _ => facts.desktop.free_display,
        },
        x11,
    };
    if let Some(said) = word(policy, "audio").filter(|said| said.value == "pipewire") {
        let text =
            "through PipeWire's own socket the program may record microphones, cameras and screens";
        desktop.notes.push((said.site, text.to_owned()));
    }
    if let Some(said) = word(policy, "audio").filter(|said| said.value == "pulse") {
        let text = "whoever reaches the sound server may also record the microphone: it keeps playing and recording apart for nobody";
        desktop.notes.push((said.site, text.to_owned()));
    }
    if let (Some(said), Some(Err(why))) = (
        flag(policy, "accessibility").filter(|said| said.value),
        &facts.dbus.accessibility,
    ) {
        desktop.notes.push((
            said.site,
            format!("assistive programs do not reach this one: {why}"),
        ));
    }
    let portal = portal(policy, facts);
    if let Some(portal) = &portal {
        desktop
            .notes
            .extend(portal.notes.iter().map(|text| (portal.site, text.clone())));
    }
    desktop.paths = paths::rules(
        policy,
        &facts.caller,
        &screen,
        portal.as_ref(),
        &mut desktop.notes,
    );
    desktop.variables = variables::rules(policy, &facts.caller, &screen, portal.as_ref());
    desktop.screen = Some(screen);
    if errors.is_empty() {
        Ok(desktop)
    } else {
        Err(errors)
    }
}

fn wayland(
    policy: &Policy,
    facts: &Facts,
    out: &mut Desktop,
    errors: &mut Diagnostics,
) -> Traced<Wayland> {
    let none = |site| Traced::new(Wayland::None, site);
    let Some(said) = word(policy, "wayland") else {
        return none(first(policy));
    };
    let site = said.site;
    if said.value == "none" {
        return none(site);
    }
    let Some(compositor) = &facts.desktop.compositor else {
        let text = "no Wayland compositor is shown: the caller has none (WAYLAND_DISPLAY)";
        out.notes.push((site, text.to_owned()));
        return none(site);
    };
    let socket = compositor.socket.clone();
    let shown = socket.display();
    let why = match (said.value, &compositor.context) {
        ("host", _) => return Traced::new(Wayland::Plain { socket }, site),
        (_, Some(Context::Known)) => return Traced::new(Wayland::Isolated { socket }, site),
        (_, Some(Context::Unknown)) => "it has no wp_security_context_manager_v1".to_owned(),
        (_, Some(Context::Failed(why))) => {
            // Nothing can be said about a compositor that does not answer: it is not the one that cannot.
            errors.push(
                Diagnostic::error(
                    format!("the Wayland compositor at `{shown}` cannot be asked: {why}"),
                    site,
                    "this needs it",
                )
                .help("unset WAYLAND_DISPLAY if it is gone, or say `desktop.wayland = \"none\"`"),
            );
            return none(site);
        }
        (_, None) => "it was not asked".to_owned(),
    };
    if said.value == "auto" {
        out.notes.push((
            site,
            format!("the Wayland compositor at `{shown}` does not keep sandboxes apart ({why}): the program reaches its ordinary socket, and whatever it lets any client do"),
        ));
        return Traced::new(Wayland::Plain { socket }, site);
    }
    errors.push(
        Diagnostic::error(
            format!("the Wayland compositor at `{shown}` cannot be told of a sandbox: {why}"),
            site,
            "asked for here",
        )
        .help("sway 1.9, KWin 6, niri, COSMIC and others can; `desktop.wayland = \"auto\"` makes do with the ordinary socket"),
    );
    none(site)
}

fn x11(
    policy: &Policy,
    facts: &Facts,
    wayland: &Wayland,
    out: &mut Desktop,
    errors: &mut Diagnostics,
) -> Traced<X11> {
    let Some(said) = word(policy, "x11") else {
        return Traced::new(X11::None, first(policy));
    };
    let site = said.site;
    let x11 = match said.value {
        "host" => host(facts, site, out),
        "fallback" if *wayland == Wayland::None => host(facts, site, out),
        "nested" | "virtual" => own(policy, facts, &said, errors),
        _ => X11::None,
    };
    Traced::new(x11, site)
}

/// The caller's X server.
fn host(facts: &Facts, site: Site, out: &mut Desktop) -> X11 {
    let display = facts.caller.variable("DISPLAY");
    let Some(text) = display.filter(|text| !text.is_empty()) else {
        let text = "no X server is shown: the caller has none (DISPLAY)";
        out.notes.push((site, text.to_owned()));
        return X11::None;
    };
    let text = text.to_string_lossy();
    let Some(display) = Display::parse(&text) else {
        let text = format!("no X server is shown: DISPLAY is `{text}`, which names none");
        out.notes.push((site, text));
        return X11::None;
    };
    let warning = "every X client reads all keys, sees all windows and types into them: what runs here is not kept from the caller's other programs";
    out.notes.push((site, warning.to_owned()));
    let cookies = facts.caller.directories.get("XAUTHORITY").cloned();
    X11::Host {
        socket: display.socket(),
        number: display.number,
        cookies,
    }
}

/// A server for this sandbox alone.
fn own(
    policy: &Policy,
    facts: &Facts,
    said: &Traced<&'static str>,
    errors: &mut Diagnostics,
) -> X11 {
    let site = said.site;
    let mut screen = (1280, 800);
    if let Some(size) = policy.get(Section::Desktop, "x11-screen")
        && let Value::Text(text) = size.value
    {
        match size_of(text) {
            Some(size) => screen = size,
            None => errors.push(
                Diagnostic::error(
                    format!("`{text}` is no size of a screen"),
                    size.site,
                    "width and height in pixels, each from 64 to 16384",
                )
                .help("such as \"1280x800\""),
            ),
        }
    }
    let has_x = facts
        .caller
        .variable("DISPLAY")
        .is_some_and(|text| !text.is_empty());
    let candidates: &[Server] = match (said.value, &facts.desktop.compositor) {
        ("virtual", _) => &[Server::Xvfb],
        (_, Some(_)) if has_x => &[Server::Xwayland, Server::Xephyr],
        (_, Some(_)) => &[Server::Xwayland],
        (_, None) if has_x => &[Server::Xephyr],
        (_, None) => {
            errors.push(
                Diagnostic::error(
                    "there is no display to show a nested X server on",
                    site,
                    "neither WAYLAND_DISPLAY nor DISPLAY names one",
                )
                .help("`desktop.x11 = \"virtual\"` needs none, and shows nothing"),
            );
            return X11::None;
        }
    };
    for &server in candidates {
        if let Some(program) = facts.desktop.servers.get(server.name()) {
            return X11::Own {
                server,
                program: program.clone(),
                screen,
            };
        }
    }
    let names: Vec<&str> = candidates.iter().map(|server| server.name()).collect();
    errors.push(
        Diagnostic::error(
            format!("no X server for the sandbox alone: {} is not installed", names.join(", or ")),
            site,
            "asked for here",
        )
        .help("packages: xserver-xephyr, xwayland, xvfb (Debian); xorg-server-xephyr, xorg-xwayland, xorg-server-xvfb (Arch); xorg-x11-server-Xephyr, -Xwayland, -Xvfb (Fedora)"),
    );
    X11::None
}

fn size_of(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = digits.then(|| text.parse().ok()).flatten()?;
        (64..=16384).contains(&number).then_some(number)
    };
    Some((number(width)?, number(height)?))
}

/// What DISPLAY says (X(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Display {
    /// Whether it is on this machine.
    local: bool,
    /// Which of its displays.
    pub number: u32,
}

impl Display {
    /// Reads `:0`, `:0.1`, `unix:0`, `host:10.0`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.rsplit_once(':')?;
        let number = rest.split('.').next()?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self {
            local: matches!(host, "" | "unix"),
            number: digits.then(|| number.parse().ok()).flatten()?,
        })
    }

    /// The socket of a server on this machine.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.local
            .then(|| Path::new(X11_SOCKETS).join(format!("X{}", self.number)))
    }
}

#[cfg(test)]
mod tests;
