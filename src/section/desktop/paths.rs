//! What `[desktop]` shows at which path.

use std::path::{Path, PathBuf};

use super::{
    AUTHORITY, Portal, Screen, WAYLAND, Wayland, X11, X11_SOCKETS, first, flag, is_on, word,
};
use crate::host::facts::Caller;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value, View};
use crate::report::Site;
use crate::section::expand::{Expanded, expand};

/// A rule about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// The key that says it, for messages: `desktop.fonts`.
    pub key: String,
    /// Absolute.
    pub path: PathBuf,
    /// What is seen there.
    pub shown: Shown,
    /// Where it is said.
    pub site: Site,
    /// The rank of its layer; `None` below all layers.
    pub layer: Option<usize>,
}

impl PathRule {
    /// The other path of the host that is shown, if one is.
    #[must_use]
    pub fn source(&self) -> Option<&Path> {
        match &self.shown {
            Shown::View(View::Bind { source, .. }) => Some(Path::new(source)),
            _ => None,
        }
    }
}

/// What is seen at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What a view says.
    View(View),
    /// What is called this in the directory of the run.
    Made(&'static str),
}

/// The user's own things that are shown where they are, by key.
const OWN: [(&str, &[&str]); 2] = [
    (
        "fonts",
        &[
            "~/.fonts",
            "~/.fonts.conf",
            "~/.fonts.conf.d",
            "${XDG_DATA_HOME}/fonts",
            "${XDG_CONFIG_HOME}/fontconfig",
        ],
    ),
    (
        "themes",
        &[
            "~/.themes",
            "~/.icons",
            "~/.gtkrc-2.0",
            "${XDG_DATA_HOME}/themes",
            "${XDG_DATA_HOME}/icons",
            "${XDG_DATA_HOME}/color-schemes",
            "${XDG_CONFIG_HOME}/gtk-2.0",
            "${XDG_CONFIG_HOME}/gtk-3.0",
            "${XDG_CONFIG_HOME}/gtk-4.0",
            "${XDG_CONFIG_HOME}/kdeglobals",
            "${XDG_CONFIG_HOME}/qt5ct",
            "${XDG_CONFIG_HOME}/qt6ct",
            "${XDG_CONFIG_HOME}/Kvantum",
        ],
    ),
];

/// The system's, where the root is not shown.
const SYSTEM: [(&str, &[&str]); 3] = [
    (
        "fonts",
        &[
            "/etc/fonts",
            "/usr/share/fonts",
            "/usr/share/fontconfig",
            "/usr/local/share/fonts",
            "/var/cache/fontconfig",
        ],
    ),
    (
        "themes",
        &[
            "/usr/share/themes",
            "/usr/share/icons",
            "/usr/share/pixmaps",
            "/etc/gtk-3.0",
            "/etc/gtk-4.0",
        ],
    ),
    (
        "locale",
        &[
            "/usr/share/locale",
            "/usr/lib/locale",
            "/etc/localtime",
            "/usr/share/zoneinfo",
        ],
    ),
];

const CUPS: &str = "/run/cups/cups.sock";

struct Gathered<'a> {
    policy: &'a Policy,
    caller: &'a Caller,
    notes: &'a mut Vec<(Site, String)>,
    out: Vec<PathRule>,
}

/// All rules, in an order that is always the same.
pub(super) fn rules(
    policy: &Policy,
    caller: &Caller,
    screen: &Screen,
    portal: Option<&Portal>,
    notes: &mut Vec<(Site, String)>,
) -> Vec<PathRule> {
    let mut all = Gathered {
        policy,
        caller,
        notes,
        out: Vec::new(),
    };
    all.implied();
    all.screen(screen);
    all.audio();
    all.agents();
    all.documents(portal);
    all.files();
    all.out
}

impl Gathered<'_> {
    fn push(&mut self, key: &str, path: impl Into<PathBuf>, shown: Shown) {
        let rule = self
            .policy
            .rules
            .get(Section::Desktop, key)
            .filter(|rule| rule.value.is_some());
        self.out.push(PathRule {
            key: match key {
                "" => "[desktop]".to_owned(),
                key => format!("desktop.{key}"),
            },
            path: path.into(),
            shown,
            site: rule.map_or_else(|| first(self.policy), |rule| rule.site),
            layer: rule.map(|rule| rule.layer),
        });
    }

    fn show(&mut self, key: &str, path: impl Into<PathBuf>, access: Access) {
        self.push(key, path, Shown::View(View::Host(access)));
    }

    /// Another path of the host.
    fn bind(&mut self, key: &str, path: impl Into<PathBuf>, source: &Path, access: Access) {
        let path = path.into();
        if path == source {
            return self.show(key, path, access);
        }
        match source.to_str() {
            Some(text) => {
                let source = text.to_owned();
                self.push(key, path, Shown::View(View::Bind { source, access }));
            }
            None => self.note(
                key,
                &format!("`{}` is no text, and not shown", source.display()),
            ),
        }
    }

    fn note(&mut self, key: &str, text: &str) {
        let site = self
            .policy
            .get(Section::Desktop, key)
            .map_or(Site::DEFAULT, |said| said.site);
        self.notes.push((site, text.to_owned()));
    }

    fn expanded(&self, text: &str) -> Option<PathBuf> {
        match expand(text, self.caller) {
            Ok(Expanded::Path(path)) => Some(path),
            _ => None,
        }
    }

    fn runtime(&self) -> Option<PathBuf> {
        self.expanded("${XDG_RUNTIME_DIR}")
    }

    /// The runtime directory; the absence of it is told once for each key that needs it.
    fn runtime_for(&mut self, key: &str) -> Option<PathBuf> {
        let found = self.runtime();
        if found.is_none() {
            self.note(key, "nothing is shown for it: XDG_RUNTIME_DIR is not set");
        }
        found
    }

    /// What holds because the section says anything at all.
    fn implied(&mut self) {
        if let Some(runtime) = self.runtime() {
            self.push("", runtime, Shown::View(View::Tmpfs { size: None }));
        }
        for path in [X11_SOCKETS, "/tmp/.ICE-unix", "/run/cups"] {
            self.push("", path, Shown::View(View::Host(Access::Hidden)));
        }
    }

    fn screen(&mut self, screen: &Screen) {
        let runtime = match (&screen.wayland.value, &screen.x11.value) {
            (Wayland::None, X11::None) => None,
            (Wayland::None, _) => self.runtime_for("x11"),
            _ => self.runtime_for("wayland"),
        };
        match (&screen.wayland.value, &runtime) {
            (Wayland::Plain { socket }, Some(runtime)) => {
                self.bind("wayland", runtime.join(WAYLAND), socket, Access::ReadWrite);
            }
            (Wayland::Isolated { .. }, Some(runtime)) => {
                self.push("wayland", runtime.join(WAYLAND), Shown::Made(WAYLAND));
            }
            _ => {}
        }
        let inside = Path::new(X11_SOCKETS).join(format!("X{}", screen.number));
        match &screen.x11.value {
            X11::None => return,
            X11::Host { socket, .. } => {
                if let Some(socket) = socket {
                    self.bind("x11", inside, socket, Access::ReadWrite);
                }
            }
            X11::Own { .. } => self.push("x11", inside, Shown::Made("X")),
        }
        if let Some(runtime) = runtime {
            self.push("x11", runtime.join(AUTHORITY), Shown::Made(AUTHORITY));
        }
    }

    fn audio(&mut self) {
        let word = word(self.policy, "audio").map_or("none", |said| said.value);
        if word == "none" {
            return;
        }
        let Some(runtime) = self.runtime_for("audio") else {
            return;
        };
        let native = runtime.join("pulse/native");
        // `unix:/path`, behind an optional `{machine}` (pulse's ServerStrings); the network needs no socket.
        let said = self
            .caller
            .variable("PULSE_SERVER")
            .and_then(|text| text.to_str());
        let said = said.map(|text| text.rsplit('}').next().unwrap_or(text));
        let socket = said.and_then(|text| {
            let path = text.strip_prefix("unix:").unwrap_or(text);
            self.expanded(path).filter(|_| path.starts_with('/'))
        });
        match (said, socket) {
            (None | Some(""), _) => self.show("audio", native, Access::ReadWrite),
            (_, Some(socket)) => self.bind("audio", native, &socket, Access::ReadWrite),
            (Some(_), None) => self.note("audio", "PULSE_SERVER names no socket of this machine"),
        }
        let cookie = self.caller.variable("PULSE_COOKIE").map(PathBuf::from);
        let cookie = cookie
            .filter(|path| path.is_absolute())
            .or_else(|| self.expanded("${XDG_CONFIG_HOME}/pulse/cookie"));
        if let Some(cookie) = cookie {
            self.show("audio", cookie, Access::ReadOnly);
        }
        if word == "pipewire" {
            let remote = self.caller.variable("PIPEWIRE_REMOTE").map(PathBuf::from);
            let remote = remote.unwrap_or_else(|| "pipewire-0".into());
            self.bind(
                "audio",
                runtime.join("pipewire-0"),
                &runtime.join(remote),
                Access::ReadWrite,
            );
        }
    }

    fn agents(&mut self) {
        if is_on(self.policy, "ssh-agent")
            && let Some(runtime) = self.runtime_for("ssh-agent")
        {
            let socket = self.caller.variable("SSH_AUTH_SOCK").map(PathBuf::from);
            match socket.filter(|path| path.is_absolute()) {
                Some(socket) => self.bind(
                    "ssh-agent",
                    runtime.join("ssh-agent"),
                    &socket,
                    Access::ReadWrite,
                ),
                None => self.note("ssh-agent", "the caller has no SSH agent (SSH_AUTH_SOCK)"),
            }
        }
        let gpg = word(self.policy, "gpg-agent").map_or("none", |said| said.value);
        if gpg != "none"
            && let Some(runtime) = self.runtime_for("gpg-agent")
        {
            let name = match gpg {
                "host" => "S.gpg-agent",
                _ => "S.gpg-agent.extra",
            };
            let directory = runtime.join("gnupg");
            self.bind(
                "gpg-agent",
                directory.join("S.gpg-agent"),
                &directory.join(name),
                Access::ReadWrite,
            );
        }
        if is_on(self.policy, "printing") {
            self.show("printing", CUPS, Access::ReadWrite);
            self.show("printing", "/etc/cups/client.conf", Access::ReadOnly);
        }
    }

    /// The documents that were handed to this program alone, where portals say that documents are.
    fn documents(&mut self, portal: Option<&Portal>) {
        if let Some(portal) = portal.filter(|portal| portal.documents)
            && let Some(runtime) = self.runtime_for("portals")
        {
            let place = runtime.join("doc");
            let own = place.join("by-app").join(&portal.app);
            self.bind("portals", place, &own, Access::ReadWrite);
        }
    }

    fn files(&mut self) {
        for (key, paths) in OWN {
            if flag(self.policy, key).is_some_and(|said| said.value) {
                for path in paths
                    .iter()
                    .filter_map(|path| self.expanded(path))
                    .collect::<Vec<_>>()
                {
                    self.show(key, path, Access::ReadOnly);
                }
            }
        }
        let root = self.policy.get(Section::Filesystem, "/");
        let bare = root.is_some_and(|said| {
            matches!(
                said.value,
                Value::View(View::Host(Access::Hidden) | View::Tmpfs { .. })
            )
        });
        for (key, paths) in SYSTEM.iter().filter(|_| bare) {
            let asked = match *key {
                "locale" => word(self.policy, "locale").is_some_and(|said| said.value == "host"),
                key => is_on(self.policy, key),
            };
            if asked {
                for path in *paths {
                    self.show(key, *path, Access::ReadOnly);
                }
            }
        }
    }
}
