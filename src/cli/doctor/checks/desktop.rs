//! Displays and sound: what there is, and whether it keeps programs apart.

use crate::host::desktop::Survey;
use crate::host::facts::desktop::Context;

use super::super::{Check, Group, State};
use super::check;

/// What is to be said about them.
pub(super) fn checks(found: &Survey) -> Vec<Check> {
    let info = |name, detail: String| check(name, Group::Desktop, State::Info, detail);
    let wayland = match &found.compositor {
        None => info("wayland", "no compositor (WAYLAND_DISPLAY)".to_owned()),
        Some(compositor) => {
            let at = compositor.socket.display();
            let (state, why) = match &compositor.context {
                Some(Context::Known) => (
                    State::Ok,
                    "keeps sandboxes apart (security-context-v1)".to_owned(),
                ),
                Some(Context::Failed(why)) => (State::Missing, format!("does not answer: {why}")),
                _ => (
                    State::Missing,
                    "does not keep sandboxes apart (no security-context-v1)".to_owned(),
                ),
            };
            check("wayland", Group::Desktop, state, format!("{at} {why}")).costs(
                "`desktop.wayland = \"isolated\"`; with \"auto\" programs reach whatever the compositor gives to any client",
                ["use a compositor that has it: sway 1.9, KWin 6, niri, COSMIC and others".to_owned()],
            )
        }
    };
    let x11 = match &found.x11 {
        None => info("x11", "no server (DISPLAY)".to_owned()),
        Some((display, open)) => {
            let open = match open {
                true => ", also by an abstract socket, which `network.abstract-sockets` keeps away",
                false => "",
            };
            info(
                "x11",
                format!("{display}{open}; its clients are not kept apart"),
            )
        }
    };
    let sockets = [("PulseAudio", &found.pulse), ("PipeWire", &found.pipewire)];
    let sound: Vec<String> = sockets
        .iter()
        .filter_map(|(name, at)| Some(format!("{name} at {}", at.as_ref()?.display())))
        .collect();
    let sound = match sound.is_empty() {
        true => "no server in XDG_RUNTIME_DIR".to_owned(),
        false => sound.join(", "),
    };
    let servers: Vec<String> = found
        .servers
        .values()
        .map(|path| path.display().to_string())
        .collect();
    let own = check(
        "own-x-server",
        Group::Desktop,
        if servers.is_empty() { State::Info } else { State::Ok },
        match servers.is_empty() {
            true => "none installed: `desktop.x11 = \"nested\"` needs Xephyr or Xwayland, \"virtual\" needs Xvfb".to_owned(),
            false => servers.join(", "),
        },
    );
    vec![wayland, x11, info("sound", sound), own]
}
