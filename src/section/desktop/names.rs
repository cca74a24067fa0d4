//! Which names on message buses `[desktop]` needs. A pure list, from which `[dbus]` makes rules below its own.

use super::is_on;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::report::Site;

/// What may be done with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Its owner is talked to.
    Talk,
    /// It is owned.
    Own,
    /// These methods are called, `INTERFACE.MEMBER@PATH` as xdg-dbus-proxy(1) writes them, and signals that match come in.
    Call(&'static [&'static str]),
}

/// A rule about a name on the session bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusRule {
    /// The name; `.*` at the end stands for all below it.
    pub name: &'static str,
    /// What may be done with it.
    pub leave: Leave,
    /// The key that asks for it, for messages: `desktop.tray`.
    pub key: String,
    /// Where that is said.
    pub site: Site,
}

/// Whether assistive programs are to reach this one.
#[must_use]
pub fn shows_accessibility(policy: &Policy) -> bool {
    is_on(policy, "accessibility")
}

const NAMES: &[(&str, &str, Leave)] = &[
    // Whether there are any; to turn them on is not the program's business.
    (
        "accessibility",
        "org.a11y.Bus",
        Leave::Call(&[
            "org.freedesktop.DBus.Properties.Get@/org/a11y/bus",
            "org.freedesktop.DBus.Properties.GetAll@/org/a11y/bus",
            "org.freedesktop.DBus.Properties.PropertiesChanged@/org/a11y/bus",
        ]),
    ),
    ("input-methods", "org.freedesktop.portal.Fcitx", Leave::Talk),
    ("input-methods", "org.freedesktop.portal.IBus", Leave::Talk),
    ("input-methods", "org.freedesktop.IBus.Portal", Leave::Talk),
    ("mpris", "org.mpris.MediaPlayer2.*", Leave::Own),
    (
        "notifications",
        "org.freedesktop.Notifications",
        Leave::Talk,
    ),
    (
        "portals",
        "org.freedesktop.portal.Desktop",
        Leave::Call(PORTALS),
    ),
    (
        "portals",
        "org.freedesktop.portal.Documents",
        Leave::Call(&["org.freedesktop.portal.Documents.*@/org/freedesktop/portal/documents"]),
    ),
    ("tray", "org.kde.StatusNotifierWatcher", Leave::Talk),
    // Items of the tray own a name with the number of their process in it: `org.kde.StatusNotifierItem-2-1`; newer ones none.
];

/// Interfaces of the portal that ask the user, or tell little. Not among them: `org.freedesktop.host.portal.Registry`, which
/// lets a caller name itself; RemoteDesktop and InputCapture, which type for the user; Background, which starts programs at
/// log-in; DynamicLauncher, which makes entries.
const PORTALS: &[&str] = &[
    "org.freedesktop.DBus.Properties.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Account.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Camera.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Email.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.FileChooser.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Inhibit.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.MemoryMonitor.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.NetworkMonitor.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Notification.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.OpenURI.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.PowerProfileMonitor.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Print.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.ProxyResolver.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Request.*@/org/freedesktop/portal/desktop/*",
    "org.freedesktop.portal.ScreenCast.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Screenshot.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Session.*@/org/freedesktop/portal/desktop/*",
    "org.freedesktop.portal.Settings.*@/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Trash.*@/org/freedesktop/portal/desktop",
];

/// The rules that the section implies for the session bus.
#[must_use]
pub fn rules(policy: &Policy) -> Vec<BusRule> {
    if !policy.mentions(Section::Desktop) {
        return Vec::new();
    }
    NAMES
        .iter()
        .filter(|(key, ..)| is_on(policy, key))
        .filter_map(|&(key, name, leave)| {
            Some(BusRule {
                name,
                leave,
                key: format!("desktop.{key}"),
                site: policy.get(Section::Desktop, key)?.site,
            })
        })
        .collect()
}
