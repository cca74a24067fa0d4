//! The profiles that are compiled into the program, so that a bare installation works.

/// Name and text of each, by name.
pub static EMBEDDED: &[(&str, &str)] = &[
    ("base", include_str!("../../profiles/base.toml")),
    ("default", include_str!("../../profiles/default.toml")),
    (
        "desktop-app",
        include_str!("../../profiles/desktop-app.toml"),
    ),
    ("firefox", include_str!("../../profiles/firefox.toml")),
    ("memlimit", include_str!("../../profiles/memlimit.toml")),
    ("network", include_str!("../../profiles/network.toml")),
    ("no-secrets", include_str!("../../profiles/no-secrets.toml")),
    ("project", include_str!("../../profiles/project.toml")),
    (
        "web-browser",
        include_str!("../../profiles/web-browser.toml"),
    ),
];

/// The text of a profile.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    EMBEDDED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}
