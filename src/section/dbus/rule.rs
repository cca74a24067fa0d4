//! Keys of `[dbus]` that name somebody on a bus: `org.freedesktop.Notifications`, `system:org.freedesktop.UPower`,
//! `org.mpris.MediaPlayer2.vlc.*`, `org.freedesktop.portal.Desktop(org.freedesktop.portal.OpenURI.*@/org/freedesktop/portal/desktop)`.
//! The grammar of names, interfaces and paths is that of the D-Bus specification.

use std::fmt;

/// A message bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bus {
    /// That of the user's session.
    Session,
    /// That of the machine.
    System,
}

impl Bus {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Session, Self::System];

    /// Its key, and what stands before names on it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::System => "system",
        }
    }
}

/// The longest name, interface or member (D-Bus specification, "Valid Names").
const LONGEST: usize = 255;

/// Who is meant, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// On which bus.
    pub bus: Bus,
    /// A well-known name.
    pub name: String,
    /// Whether all names below it are meant too: `.*`.
    pub below: bool,
    /// What of it, when that is not everything: `[METHOD][@PATH]`.
    pub part: Option<String>,
}

impl Who {
    /// Reads a key.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (bus, rest) = match text.split_once(':') {
            None => (Bus::Session, text),
            Some(("session", rest)) => (Bus::Session, rest),
            Some(("system", rest)) => (Bus::System, rest),
            Some(("", _)) => return Err("names such as `:1.5` change with every start".to_owned()),
            Some(_) => {
                return Err("before the colon stands `session` or `system`".to_owned());
            }
        };
        let (name, part) = match rest.split_once('(') {
            None => (rest, None),
            Some((name, part)) => {
                let part = part.strip_suffix(')');
                (
                    name,
                    Some(part.ok_or("`)` is missing at the end")?.to_owned()),
                )
            }
        };
        let (name, below) = match name.strip_suffix(".*") {
            Some(name) => (name, true),
            None => (name, false),
        };
        if !is_dotted(name, true) {
            return Err(
                "a name has at least two parts with dots between them, of letters, digits, `_` and `-`; \
                 `*` can only be its last part"
                    .to_owned(),
            );
        }
        if let Some(part) = &part {
            check_part(part)?;
        }
        Ok(Self {
            bus,
            name: name.to_owned(),
            below,
            part,
        })
    }

    /// The name, with `.*` if all names below are meant.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{}{}", self.name, if self.below { ".*" } else { "" })
    }

    /// Whether it is about that name too.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.name);
        rest.is_some_and(|rest| rest.is_empty() || (self.below && rest.starts_with('.')))
    }

    /// Whether it is about all that the other is about.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.bus == other.bus
            && self.covers(&other.name)
            && (self.below || !other.below)
            && (self.part.is_none() || self.part == other.part)
    }

    /// Whether both are about some name.
    #[must_use]
    pub fn meets(&self, other: &str, below: bool) -> bool {
        let prefix = |long: &str, short: &str| {
            long.strip_prefix(short)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.name == other
            || (self.below && prefix(other, &self.name))
            || (below && prefix(&self.name, other))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bus == Bus::System {
            f.write_str("system:")?;
        }
        f.write_str(&self.pattern())?;
        match &self.part {
            None => Ok(()),
            Some(part) => write!(f, "({part})"),
        }
    }
}

/// Parts with dots between them, none beginning with a digit; `hyphens` may stand in names of the bus, not in interfaces.
fn is_dotted(text: &str, hyphens: bool) -> bool {
    text.len() <= LONGEST
        && text.contains('.')
        && text.split('.').all(|part| is_part(part, hyphens))
}

fn is_part(part: &str, hyphens: bool) -> bool {
    !part.is_empty()
        && !part.starts_with(|c: char| c.is_ascii_digit())
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || (hyphens && b == b'-'))
}

/// `[METHOD][@PATH]`: `*`, an interface with `.*`, or a method with its interface; an object's path, perhaps with `/*`.
fn check_part(part: &str) -> Result<(), String> {
    let (method, path) = match part.split_once('@') {
        None => (part, None),
        Some((method, path)) => (method, Some(path)),
    };
    let interface = method.strip_suffix(".*").unwrap_or(method);
    let method_fits = match path {
        Some(_) if method.is_empty() => true,
        _ => method == "*" || is_dotted(interface, false),
    };
    if !method_fits {
        return Err(
            "in the parentheses stands `*`, an interface with `.*` behind it, or a method with its interface, and behind \
             that perhaps `@` and the path of an object"
                .to_owned(),
        );
    }
    let Some(path) = path else { return Ok(()) };
    let trunk = path.strip_suffix("/*").unwrap_or(path);
    let path_fits = path == "/"
        || path == "/*"
        || (trunk.starts_with('/') && trunk.split('/').skip(1).all(is_part_of_path));
    match path_fits {
        true => Ok(()),
        false => Err(
            "behind `@` stands the path of an object: `/org/example`, `/org/example/*`".to_owned(),
        ),
    }
}

fn is_part_of_path(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read_and_written() {
        for (text, canonical) in [
            (
                "org.freedesktop.Notifications",
                "org.freedesktop.Notifications",
            ),
            ("session:org.a.b", "org.a.b"),
            (
                "system:org.freedesktop.UPower",
                "system:org.freedesktop.UPower",
            ),
            (
                "org.mpris.MediaPlayer2.a-b.*",
                "org.mpris.MediaPlayer2.a-b.*",
            ),
            ("org.a.b(*)", "org.a.b(*)"),
            ("org.a.b(org.c.d.*@/org/e/*)", "org.a.b(org.c.d.*@/org/e/*)"),
            ("org.a.b(@/org/e)", "org.a.b(@/org/e)"),
            ("org.a.b(org.c.d.Call@/)", "org.a.b(org.c.d.Call@/)"),
        ] {
            assert_eq!(Who::parse(text).unwrap().to_string(), canonical);
        }
        for text in [
            "",
            "org",
            "*",
            "org.*.b",
            "org..b",
            "org.1a",
            ".org.a",
            "org.a.",
            ":1.5",
            "user:org.a.b",
            "org.a*",
            "org.a b",
            "org.a.b(",
            "org.a.b()",
            "org.a.b(Call)",
            "org.a.b(org.c@e)",
            "org.a.b(org.c.d@/e/)",
            "org.a.b(org.c-d.e)",
            "org.a.b(*)x",
            "org.a.b=x",
            "org.a.b --talk=org.c.d",
            "org.a.b\0",
        ] {
            assert!(Who::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_covers_what_is_below_it_only_when_it_says_so() {
        let who = |text: &str| Who::parse(text).unwrap();
        assert!(who("org.a.*").covers("org.a"));
        assert!(who("org.a.*").covers("org.a.b.c"));
        assert!(!who("org.a.*").covers("org.ab"));
        assert!(!who("org.a").covers("org.a.b"));
        assert!(who("org.a.*").holds(&who("org.a.b(*)")));
        assert!(!who("org.a.b(*)").holds(&who("org.a.b")));
        assert!(!who("org.a.b").holds(&who("org.a.b.*")));
        assert!(who("org.freedesktop.*").meets("org.freedesktop.systemd1", false));
        assert!(who("org.gtk.vfs.mountpoint_1").meets("org.gtk.vfs", true));
        assert!(!who("org.gtk").meets("org.gtk.vfs", true));
    }

    proptest! {
        /// What is read can be handed to the proxy as one argument that begins and ends where it should.
        #[test]
        fn whatever_is_accepted_reads_back_and_has_no_stray_characters(text in "(system:|session:)?[a-z.*()@/=: -]{0,40}") {
            if let Ok(who) = Who::parse(&text) {
                prop_assert_eq!(Who::parse(&who.to_string()), Ok(who.clone()));
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-*@/".contains(c);
                prop_assert!(who.pattern().chars().all(plain));
                prop_assert!(who.part.iter().all(|part| part.chars().all(plain)));
            }
        }
    }
}
