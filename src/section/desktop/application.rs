//! What a program is called where it counts which application it is: portals, compositors, scopes of the service manager.
//!
//! Portals keep permissions and documents by that name, and look for a desktop entry of the same name.

/// Begins the names of those that have none that portals would take. Names of Flatpak have three parts: none of them is
/// called so.
const OURS: &str = "sandbox.";

/// More is no name.
const LONGEST: usize = 255;

/// What portals call a program that was started from the desktop entry `app` (its name without `.desktop`), or else as
/// `program`.
#[must_use]
pub fn portal_name(app: Option<&str>, program: &str) -> String {
    match app {
        Some(app) if is_portal_name(app) => app.to_owned(),
        app => {
            let own: String = (app.unwrap_or(program).chars())
                .map(|letter| match letter {
                    'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => letter,
                    _ => '_',
                })
                .take(LONGEST - OURS.len() - 1)
                .collect();
            match own.chars().next() {
                None => format!("{OURS}app"),
                Some('0'..='9') => format!("{OURS}_{own}"),
                Some(_) => format!("{OURS}{own}"),
            }
        }
    }
}

/// Whether portals take it for the name of an application: parts of letters, digits and `_` with dots between them, two at
/// least; the last one may have `-` in it.
#[must_use]
pub fn is_portal_name(text: &str) -> bool {
    let Some((first, last)) = text.rsplit_once('.') else {
        return false;
    };
    let is_part = |part: &str, dash: bool| {
        let fits =
            |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (dash && byte == b'-');
        !part.is_empty()
            && !part.starts_with(|letter: char| letter.is_ascii_digit())
            && part.bytes().all(fits)
    };
    text.len() <= LONGEST
        && is_part(last, true)
        && first.split('.').all(|part| is_part(part, false))
}

/// Whether a name is one of ours, of which there is no desktop entry unless we make it.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_names_of_applications_keep_them() {
        for (app, program, expected) in [
            (Some("org.gnome.gedit"), "gedit", "org.gnome.gedit"),
            (Some("org.a.b-c"), "x", "org.a.b-c"),
            (Some("org.a-b.c"), "x", "sandbox.org_a-b_c"),
            (Some("firefox-esr"), "x", "sandbox.firefox-esr"),
            (Some("org..x"), "x", "sandbox.org__x"),
            (Some(".a.b"), "x", "sandbox._a_b"),
            (Some("7.a"), "x", "sandbox._7_a"),
            (Some("a b\n[c]"), "x", "sandbox.a_b__c_"),
            (None, "vlc", "sandbox.vlc"),
            (None, "", "sandbox.app"),
        ] {
            let name = portal_name(app, program);
            assert_eq!(name, expected);
            assert!(is_portal_name(&name), "{name}");
        }
        assert!(!is_portal_name(&format!("a.{}", "b".repeat(300))));
        assert!(portal_name(None, &"b".repeat(300)).len() <= 255);
    }
}
