//! The caller's displays, as values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// The caller's displays, as far as a policy asks about them.
#[derive(Clone, Debug, Serialize)]
pub struct DesktopFacts {
    /// The Wayland compositor.
    pub compositor: Option<Compositor>,
    /// X servers that can be had for a sandbox alone, by their names.
    pub servers: BTreeMap<&'static str, PathBuf>,
    /// Whether Xwayland can be told how large its window is to be (23.1).
    pub sized_xwayland: bool,
    /// X displays that are reached without a file.
    pub abstract_displays: Vec<u32>,
    /// A number that no X display on this machine has.
    pub free_display: u32,
    /// What portals call the program.
    pub app: String,
    /// The desktop's portals; `None` when a policy does not ask for them.
    pub portals: Option<Portals>,
    /// Another one, that no two launchers find at the same time: for a server of the sandbox's own.
    pub own_display: u32,
}

impl Default for DesktopFacts {
    fn default() -> Self {
        Self {
            compositor: None,
            servers: BTreeMap::new(),
            sized_xwayland: false,
            abstract_displays: Vec::new(),
            free_display: FIRST_DISPLAY,
            own_display: FIRST_DISPLAY,
            app: String::new(),
            portals: None,
        }
    }
}

/// Displays of users and of ssh have smaller numbers.
pub const FIRST_DISPLAY: u32 = 100;

/// A Wayland compositor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compositor {
    /// Its socket.
    pub socket: PathBuf,
    /// Whether it can be told of a sandbox; `None` when it was not asked.
    pub context: Option<Context>,
}

/// What a compositor says about security contexts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Context {
    /// It has them.
    Known,
    /// It does not.
    Unknown,
    /// It does not answer, and why.
    Failed(String),
}

/// The desktop's portals (xdg-desktop-portal).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Portals {
    /// Whether a file dialog can be had: the bus can start xdg-desktop-portal, and a desktop brings dialogs for it.
    pub dialogs: bool,
    /// Why documents cannot be handed out; `None` when they can.
    pub no_documents: Option<String>,
    /// Whether there is a desktop entry of the name that portals call the program by.
    pub entry: bool,
}
