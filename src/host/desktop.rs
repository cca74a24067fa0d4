//! The caller's displays, looked at and asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::facts::Caller;
use super::facts::desktop::{Compositor, Context, DesktopFacts, FIRST_DISPLAY};
use super::probe::helper;
use crate::desktop::wayland::{self, Refusal};
use crate::section::desktop::{Server, Wanted};

/// Where the system has X sockets.
const SOCKETS: &str = "/tmp/.X11-unix";

/// Finds out what is asked for.
#[must_use]
pub fn probe(wanted: Wanted, caller: &Caller) -> DesktopFacts {
    let mut facts = DesktopFacts::default();
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
        facts.free_display = free_display();
    }
    facts
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
    std::fs::read(program)
        .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
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

/// A number from [`FIRST_DISPLAY`] on that no X display has, neither as a file nor as an abstract socket.
fn free_display() -> u32 {
    let mut used: BTreeSet<u32> = abstract_displays().into_iter().collect();
    for entry in std::fs::read_dir(SOCKETS).into_iter().flatten().flatten() {
        used.extend(number(&entry.file_name().to_string_lossy()));
    }
    (FIRST_DISPLAY..)
        .find(|number| !used.contains(number))
        .unwrap_or(FIRST_DISPLAY)
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
