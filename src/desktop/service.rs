//! D-Bus service files, by which the session bus starts programs (D-Bus specification, "Message Bus Starting Services").

use super::entry::Document;

/// The group of a service file.
pub const GROUP: &[u8] = b"D-BUS Service";

/// The name that a service file provides.
#[must_use]
pub fn name(document: &Document) -> Option<&str> {
    document.text(GROUP, b"Name").filter(|name| is_name(name))
}

/// Whether a text is a well-known name of D-Bus: what may become a file's name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let element = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    name.len() <= 200 && name.contains('.') && name.split('.').all(element)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::copy::Copy;
    use super::*;

    #[test]
    fn names_become_file_names_only_if_they_are_names() {
        assert!(is_name("org.gnome.Evince") && is_name("a.b-c._1"));
        for name in ["", "a", "a..b", "../x.y", "a.b/c", "a.1b", "a.b\nc"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn the_unit_is_left_out() {
        let copy = Copy {
            app: "",
            launcher: "/usr/bin/sandbox",
            profile: "viewer",
            source: "/usr/share/dbus-1/services/a.service",
            sha256: "00",
            locate: &|_| None,
        };
        let text = b"[D-BUS Service]\nName=org.a.B\nExec=/usr/bin/b --service 50%\nSystemdService=b.service\n";
        let out = copy.service(Document::parse(text).unwrap()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains("SystemdService"), "{out}");
        assert!(
            out.ends_with(
                "Name=org.a.B\nExec=/usr/bin/sandbox --profile viewer --notify=always --documents=none -- /usr/bin/b --service 50%\n"
            ),
            "{out}"
        );
    }
}
