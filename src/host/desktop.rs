//! The caller's displays, looked at and asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::facts::Caller;
use super::facts::desktop::{Compositor, Context, DesktopFacts, FIRST_DISPLAY, Portals};
use super::probe::helper;
use crate::desktop::wayland::{self, Refusal};
use crate::kernel::bus;
use crate::section::desktop::{Display, Server, Wanted};

/// Launchers that start at the same time look for numbers in so many places.
const SPREAD: u32 = 10_000;
/// Where the system has X sockets.
const SOCKETS: &str = "/tmp/.X11-unix";

/// Finds out what is asked for.
#[must_use]
pub fn probe(wanted: Wanted, app: String, caller: &Caller) -> DesktopFacts {
    let mut facts = DesktopFacts {
        app,
        ..DesktopFacts::default()
    };
    if wanted.portals {
        facts.portals = Some(portals(&facts.app, caller));
    }
    if wanted.compositor {
        facts.compositor = compositor(caller).map(|socket| Compositor {
            context: wanted.context.then(|| context(&socket)),
            socket,
        });
    }
    if wanted.servers {
        facts.servers = servers();
        facts.sized_xwayland = (facts.servers.get(Server::Xwayland.name()))
            .is_some_and(|program| knows(program, b"-geometry"));
    }
    if wanted.displays {
        facts.abstract_displays = abstract_displays();
        let used = used_displays();
        facts.free_display = free_display(FIRST_DISPLAY, &used);
        let apart = std::process::id() % SPREAD;
        facts.own_display = free_display(FIRST_DISPLAY + apart, &used);
    }
    facts
}

/// Directories of the desktop's data, that of the user first (XDG Base Directory Specification).
fn data_directories(caller: &Caller) -> Vec<PathBuf> {
    let own = caller.directories.get("XDG_DATA_HOME").cloned();
    let usual = OsStr::new("/usr/local/share:/usr/share");
    let others = caller
        .variable("XDG_DATA_DIRS")
        .filter(|list| !list.is_empty())
        .unwrap_or(usual);
    own.into_iter()
        .chain(std::env::split_paths(others))
        .filter(|path| path.is_absolute())
        .collect()
}

/// Looks what there is of portals, and has documents shown if they are not yet.
fn portals(app: &str, caller: &Caller) -> Portals {
    let directories = data_directories(caller);
    let service = "dbus-1/services/org.freedesktop.portal.Desktop.service";
    let has = |path: &str| directories.iter().any(|at| at.join(path).is_file());
    let backends = directories.iter().flat_map(|at| {
        std::fs::read_dir(at.join("xdg-desktop-portal/portals"))
            .into_iter()
            .flatten()
            .flatten()
    });
    let shows_dialogs = |path: PathBuf| {
        std::fs::read_to_string(path)
            .is_ok_and(|text| text.contains("org.freedesktop.impl.portal.FileChooser"))
    };
    let dialogs = has(service)
        && backends
            .into_iter()
            .any(|backend| shows_dialogs(backend.path()));
    Portals {
        dialogs,
        no_documents: shown_documents(app, caller).err(),
        entry: has(&format!("applications/{app}.desktop")),
    }
}

/// The address of the caller's session bus.
fn session_bus(caller: &Caller) -> Result<String, String> {
    let named = caller
        .variable("DBUS_SESSION_BUS_ADDRESS")
        .and_then(OsStr::to_str)
        .filter(|text| !text.is_empty());
    match (named, caller.directories.get("XDG_RUNTIME_DIR")) {
        (Some(named), _) => Ok(named.to_owned()),
        (None, Some(runtime)) => Ok(format!("unix:path={}", runtime.join("bus").display())),
        (None, None) => Err("there is no session bus".to_owned()),
    }
}

/// Where the bus of assistive technologies listens.
///
/// # Errors
/// Why there is none, in words.
pub fn accessibility(caller: &Caller) -> Result<String, String> {
    bus::accessibility(&session_bus(caller)?)
}

/// Sees to it that the documents of an application can be shown.
fn shown_documents(app: &str, caller: &Caller) -> Result<(), String> {
    let runtime = caller
        .directories
        .get("XDG_RUNTIME_DIR")
        .ok_or("XDG_RUNTIME_DIR is not set")?;
    let place = runtime.join("doc");
    let own = place.join("by-app").join(app);
    if own.is_dir() {
        return Ok(());
    }
    let found = bus::documents(&session_bus(caller)?)?;
    if found != place {
        return Err(format!(
            "they are at `{}`, not in XDG_RUNTIME_DIR",
            found.display()
        ));
    }
    match own.is_dir() {
        true => Ok(()),
        false => Err(format!("`{}` is not there", own.display())),
    }
}

/// X servers that can be had for a sandbox alone.
#[must_use]
pub fn servers() -> BTreeMap<&'static str, PathBuf> {
    [Server::Xephyr, Server::Xwayland, Server::Xvfb]
        .into_iter()
        .filter_map(|server| Some((server.name(), helper(server.name())?)))
        .collect()
}

/// The socket that clients of the caller's would take: what WAYLAND_DISPLAY names, else `wayland-0`, if it is there.
#[must_use]
pub fn compositor(caller: &Caller) -> Option<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let named = caller
        .variable("WAYLAND_DISPLAY")
        .filter(|name| !name.is_empty())
        .map_or(Path::new("wayland-0"), Path::new);
    let path = if named.is_absolute() {
        named.to_owned()
    } else {
        caller.directories.get("XDG_RUNTIME_DIR")?.join(named)
    };
    let found = std::fs::metadata(&path).ok()?;
    found.file_type().is_socket().then_some(path)
}

/// Whether a program has a text in it: its options, which it would have to be started to list.
fn knows(program: &Path, text: &[u8]) -> bool {
    std::fs::read(program).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
}

/// What the compositor at a socket says about security contexts.
#[must_use]
pub fn context(socket: &Path) -> Context {
    match wayland::ask(socket) {
        Ok(()) => Context::Known,
        Err(Refusal::Unknown) => Context::Unknown,
        Err(Refusal::Failed(why)) => Context::Failed(why),
    }
}

/// Numbers of X displays on this machine: as files, as locks, and as abstract sockets.
fn used_displays() -> BTreeSet<u32> {
    let mut used: BTreeSet<u32> = abstract_displays().into_iter().collect();
    let names = |path: &str| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    used.extend(names(SOCKETS).filter_map(|name| number(&name)));
    used.extend(
        names("/tmp").filter_map(|name| number(name.strip_prefix('.')?.strip_suffix("-lock")?)),
    );
    used
}

/// The first number from `first` on that is not used.
fn free_display(first: u32, used: &BTreeSet<u32>) -> u32 {
    (first..)
        .find(|number| !used.contains(number))
        .unwrap_or(first)
}

/// X displays that listen on an abstract socket in the caller's network.
#[must_use]
pub fn abstract_displays() -> Vec<u32> {
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.rsplit_once(" @/tmp/.X11-unix/"))
        .filter_map(|(_, name)| number(name))
        .collect()
}

/// 7 of `X7`.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix('X')?.parse().ok()
}

/// What there is of a desktop, for somebody who asks.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The Wayland compositor, and whether it can be told of sandboxes.
    pub compositor: Option<Compositor>,
    /// The X display that DISPLAY names, and whether it can be reached without a file.
    pub x11: Option<(String, bool)>,
    /// The socket of the PulseAudio protocol.
    pub pulse: Option<PathBuf>,
    /// The socket of PipeWire.
    pub pipewire: Option<PathBuf>,
    /// X servers that can be had for a sandbox alone.
    pub servers: BTreeMap<&'static str, PathBuf>,
}

/// Looks at everything.
#[must_use]
pub fn survey(caller: &Caller) -> Survey {
    let runtime = caller.directories.get("XDG_RUNTIME_DIR");
    let in_runtime = |name: &str| runtime.map(|at| at.join(name)).filter(|path| path.exists());
    let x11 = caller.variable("DISPLAY").filter(|text| !text.is_empty());
    Survey {
        compositor: compositor(caller).map(|socket| Compositor {
            context: Some(context(&socket)),
            socket,
        }),
        x11: x11.map(|text| {
            let text = text.to_string_lossy().into_owned();
            let number = Display::parse(&text).filter(|display| display.socket().is_some());
            let open = number.is_some_and(|at| abstract_displays().contains(&at.number));
            (text, open)
        }),
        pulse: in_runtime("pulse/native"),
        pipewire: in_runtime("pipewire-0"),
        servers: servers(),
    }
}
