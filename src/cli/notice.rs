//! Telling the user of a desktop what a terminal would show: notifications, for programs that were started without one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::ending::Kind;
use crate::kernel::notification::{Notification, send};
use crate::kernel::{descriptor, terminal};
use crate::report::escape;

/// When notifications are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Where nobody would see a message: standard error is no terminal, there is a session bus, and the program was
    /// started by a desktop entry, without any terminal, or on a display with none of the standard streams on one
    #[default]
    Auto,
    /// In any case
    Always,
    /// Not at all
    Never,
}

/// The surroundings that decide.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    /// The address of the session bus.
    bus: Option<String>,
    stderr_is_terminal: bool,
    has_terminal: bool,
    /// Whether there is a display, and no standard stream leads to a terminal: a session that was started from a console keeps
    /// that as the terminal of all its programs.
    on_display_alone: bool,
    /// Whether this very process was started from a desktop entry.
    from_entry: bool,
}

/// Notices of one kind do not follow faster than this.
const REST: Duration = Duration::from_secs(60);
/// A body of notifications is short; servers cut longer ones at places of their own.
const LONGEST: usize = 600;

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    NotStarted,
    /// A program that serves it has ended.
    Companion,
    Limit(Kind),
}

/// Sends notifications, and sees that a storm of events is one.
pub(super) struct Notifier {
    bus: Option<String>,
    entry: Option<String>,
    program: String,
    sent: BTreeMap<Matter, Sent>,
}

struct Sent {
    at: Instant,
    /// Where the server's number for it arrives.
    number: Option<File>,
    known: u32,
}

impl Notifier {
    /// Decides whether there will be notifications; nothing is sent, and no bus is spoken to, before there is need.
    pub fn new(when: When, program: &str) -> Self {
        let bus = match when {
            When::Never => None,
            _ => wanted(when, look_around()),
        };
        let entry = bus.as_ref().and(entry_name());
        Self {
            bus,
            entry,
            program: program.to_owned(),
            sent: BTreeMap::new(),
        }
    }

    /// Moves what it keeps to where memory is asked for now.
    pub fn gather(&mut self) {
        self.bus = self.bus.clone();
        self.entry = self.entry.clone();
        self.program = self.program.clone();
    }

    /// Whether [`When::Always`] can be kept.
    pub fn can_send(&self) -> bool {
        self.bus.is_some()
    }

    /// Whether something of this kind was told.
    pub fn has_told(&self, kind: Kind) -> bool {
        self.sent.contains_key(&Matter::Limit(kind))
    }

    /// The program runs, and something happened to it.
    pub fn happened(&mut self, kind: Kind, text: &str) {
        let summary = format!("{}: a limit was reached", self.program);
        self.tell(Matter::Limit(kind), "dialog-warning", summary, text);
    }

    /// It runs, and what runs beside it for its sandbox has ended.
    pub fn lost(&mut self, text: &str) {
        let summary = format!("{}: a part of its sandbox has ended", self.program);
        self.tell(Matter::Companion, "dialog-warning", summary, text);
    }

    /// It was not started.
    pub fn failed(&mut self, text: &str) {
        let summary = format!("{} was not started", self.program);
        self.tell(Matter::NotStarted, "dialog-error", summary, text);
    }

    fn tell(&mut self, matter: Matter, icon: &'static str, summary: String, text: &str) {
        let Some(bus) = &self.bus else {
            return;
        };
        let mut replaces = 0;
        if let Some(sent) = self.sent.get_mut(&matter) {
            if sent.at.elapsed() < REST {
                return;
            }
            replaces = sent.number();
        }
        let notification = Notification {
            bus: bus.clone(),
            replaces,
            icon,
            summary: escape::line(&summary).into_owned(),
            body: body(text),
            desktop_entry: self.entry.clone(),
        };
        // A notification that cannot be sent is no reason to disturb the program.
        let number = send(&notification).ok().map(File::from);
        let sent = Sent {
            at: Instant::now(),
            number,
            known: replaces,
        };
        self.sent.insert(matter, sent);
    }
}

impl Sent {
    /// The server's number, if it has come.
    fn number(&mut self) -> u32 {
        let mut bytes = [0_u8; 4];
        if let Some(file) = &mut self.number
            && file.read_exact(&mut bytes).is_ok()
        {
            self.known = u32::from_ne_bytes(bytes);
        }
        self.known
    }
}

/// The text as the markup of a body: at most so long, harmless, and with nothing of a tag in it.
fn body(text: &str) -> String {
    let text = escape::block(text.trim_end());
    let mut out = String::with_capacity(text.len());
    for (count, letter) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter => out.push(letter),
        }
    }
    out
}

fn wanted(when: When, around: Surroundings) -> Option<String> {
    let unseen = !around.stderr_is_terminal
        && (around.from_entry || !around.has_terminal || around.on_display_alone);
    match when {
        When::Never => None,
        When::Auto if !unseen => None,
        When::Auto | When::Always => around.bus,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The address of the session bus, if there is one.
pub(super) fn session_bus() -> Option<String> {
    variable("DBUS_SESSION_BUS_ADDRESS").or_else(|| {
        let socket = PathBuf::from(variable("XDG_RUNTIME_DIR")?).join("bus");
        let shown = socket.to_str()?;
        // What would have to be escaped in an address is not worth guessing at.
        let plain = shown
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/-_.".contains(c));
        (plain && socket.exists()).then(|| format!("unix:path={shown}"))
    })
}

fn look_around() -> Surroundings {
    let is_terminal = |number| terminal::is_terminal(descriptor::stream(number));
    // Without a bus the rest decides nothing.
    let Some(bus) = session_bus() else {
        return Surroundings::default();
    };
    // GLib's launcher names the process that it started: an entry's terminal, say, hands the variable on.
    let started = variable("GIO_LAUNCHED_DESKTOP_FILE_PID");
    let display = variable("DISPLAY").or_else(|| variable("WAYLAND_DISPLAY"));
    let on_terminal = [0, 1].into_iter().any(is_terminal);
    Surroundings {
        bus: Some(bus),
        on_display_alone: display.is_some() && !on_terminal,
        stderr_is_terminal: is_terminal(2),
        has_terminal: File::open("/dev/tty").is_ok(),
        from_entry: started.is_some_and(|pid| pid == std::process::id().to_string()),
    }
}

/// `firefox` of `/usr/share/applications/firefox.desktop`.
fn entry_name() -> Option<String> {
    let path = variable("GIO_LAUNCHED_DESKTOP_FILE")?;
    let name = Path::new(&path).file_name()?.to_str()?;
    let name = name.strip_suffix(".desktop")?;
    Some(escape::line(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_twice_and_nobody_not_at_all() {
        let bus = || Some("unix:path=/bus".to_owned());
        let around = |stderr_is_terminal, has_terminal, from_entry| Surroundings {
            bus: bus(),
            stderr_is_terminal,
            has_terminal,
            from_entry,
            on_display_alone: false,
        };
        for (when, around, sends) in [
            (When::Auto, around(true, true, false), false),
            (When::Auto, around(false, true, false), false), // `2>log` in a shell
            (When::Auto, around(false, true, true), true),
            (When::Auto, around(false, false, false), true),
            (When::Auto, around(true, true, true), false),
            (When::Always, around(true, true, false), true),
            (When::Never, around(false, false, true), false),
            (When::Always, Surroundings::default(), false),
        ] {
            assert_eq!(
                wanted(when, around.clone()).is_some(),
                sends,
                "{when:?} {around:?}"
            );
        }
    }

    #[test]
    fn a_session_of_a_console_is_told_where_no_stream_leads_there() {
        let around = |stderr_is_terminal| Surroundings {
            bus: Some("unix:path=/bus".to_owned()),
            stderr_is_terminal,
            has_terminal: true,
            on_display_alone: true,
            from_entry: false,
        };
        assert!(wanted(When::Auto, around(false)).is_some());
        assert!(wanted(When::Auto, around(true)).is_none());
    }

    #[test]
    fn texts_are_no_markup() {
        assert_eq!(body("a <b>&\u{1b}[1m\nc\n"), "a &lt;b&gt;&amp;\\x1b[1m\nc");
        let long = body(&"x".repeat(5000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }
}
