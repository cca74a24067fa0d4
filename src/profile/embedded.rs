//! The profiles that are compiled into the program, so that a bare installation works.

/// Name and text of each, by name.
pub static EMBEDDED: &[(&str, &str)] = &[
    ("base", include_str!("../../profiles/base.toml")),
    ("memlimit", include_str!("../../profiles/memlimit.toml")),
];

/// The text of a profile.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    EMBEDDED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}
