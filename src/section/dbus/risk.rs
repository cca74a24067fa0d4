//! What is reached through a name on a bus that should not be reached from a sandbox.

use super::rule::{Bus, Who};

/// A name, whether those below it are meant too, and what its owner does for whoever asks.
struct Danger {
    bus: Bus,
    name: &'static str,
    below: bool,
    does: &'static str,
}

const fn session(name: &'static str, below: bool, does: &'static str) -> Danger {
    Danger {
        bus: Bus::Session,
        name,
        below,
        does,
    }
}

const fn system(name: &'static str, below: bool, does: &'static str) -> Danger {
    Danger {
        bus: Bus::System,
        name,
        below,
        does,
    }
}

/// What starts programs outside, hands out secrets or files, or speaks for the user.
const DANGERS: &[Danger] = &[
    session(
        "org.freedesktop.systemd1",
        false,
        "starts any program outside of the sandbox",
    ),
    session(
        "org.freedesktop.Flatpak",
        true,
        "starts programs outside of the sandbox",
    ),
    session(
        "org.freedesktop.portal.Flatpak",
        false,
        "starts programs outside of the sandbox",
    ),
    session(
        "org.freedesktop.impl.portal",
        true,
        "grants itself what portals ask the user about",
    ),
    session(
        "org.freedesktop.host.portal",
        true,
        "lets a program register as another application",
    ),
    session("org.gtk.vfs", true, "opens files outside of the sandbox"),
    session("org.freedesktop.secrets", false, "hands out passwords"),
    session("org.gnome.keyring", true, "hands out passwords"),
    session("org.kde.kwalletd", true, "hands out passwords"),
    session("org.kde.kwalletd5", true, "hands out passwords"),
    session("org.kde.kwalletd6", true, "hands out passwords"),
    session(
        "ca.desrt.dconf",
        true,
        "changes settings, commands behind keys among them",
    ),
    session("org.gnome.Shell", true, "controls the desktop"),
    session("org.gnome.Mutter", true, "sees the screen and types"),
    session("org.kde.KWin", true, "controls the desktop"),
    session("org.kde.plasmashell", true, "controls the desktop"),
    session(
        "org.kde.klauncher",
        true,
        "starts programs outside of the sandbox",
    ),
    session(
        "org.kde.krunner",
        true,
        "starts programs outside of the sandbox",
    ),
    session(
        "org.gnome.Terminal",
        true,
        "starts programs outside of the sandbox",
    ),
    session(
        "org.gnome.Ptyxis",
        true,
        "starts programs outside of the sandbox",
    ),
    session(
        "org.freedesktop.FileManager1",
        false,
        "opens files outside of the sandbox",
    ),
    session(
        "org.a11y.Bus",
        false,
        "reads and operates the windows of all programs",
    ),
    system(
        "org.freedesktop.systemd1",
        false,
        "starts any program outside of the sandbox, for whom it trusts",
    ),
    system(
        "org.freedesktop.login1",
        false,
        "ends sessions and takes devices",
    ),
    system("org.freedesktop.UDisks2", true, "mounts file systems"),
    system("org.freedesktop.PackageKit", true, "installs packages"),
    system(
        "org.freedesktop.PolicyKit1",
        true,
        "decides who may do what",
    ),
    system(
        "org.freedesktop.machine1",
        false,
        "starts programs outside of the sandbox",
    ),
];

/// What whoever may talk to these names can have done for him; none when nothing is known of them.
#[must_use]
pub fn of(who: &Who) -> Option<String> {
    if who.bus == Bus::Session
        && who.meets("org.freedesktop.portal", true)
        && who.covers("org.freedesktop.portal.Desktop")
        && who
            .part
            .as_deref()
            .is_none_or(|part| part.starts_with(['*', '@']) || part.contains(".host."))
    {
        return Some(
            "any method of the portals: `org.freedesktop.host.portal.Registry`, which lets a program register as another \
             application, among them; name the interfaces: \"org.freedesktop.portal.Desktop(org.freedesktop.portal.OpenURI.*)\" = \"talk\""
                .to_owned(),
        );
    }
    let found = DANGERS
        .iter()
        .find(|danger| danger.bus == who.bus && who.meets(danger.name, danger.below))?;
    Some(format!("`{}` {}", found.name, found.does))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn wide_names_are_as_dangerous_as_what_they_cover() {
        let told = |text: &str| of(&Who::parse(text).unwrap());
        for text in [
            "org.freedesktop.systemd1",
            "org.freedesktop.*",
            "org.gtk.vfs.Daemon",
            "org.freedesktop.portal.Desktop",
            "org.freedesktop.portal.*",
            "org.freedesktop.portal.Desktop(*)",
            "org.freedesktop.portal.Desktop(@/org/freedesktop/portal/desktop)",
            "system:org.freedesktop.*",
        ] {
            assert!(told(text).is_some(), "{text}");
        }
        for text in [
            "org.freedesktop.Notifications",
            "org.freedesktop.portal.Desktop(org.freedesktop.portal.OpenURI.*)",
            "org.mpris.MediaPlayer2.vlc.*",
            "system:org.freedesktop.UPower",
            "org.freedesktop.portal.Documents",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
