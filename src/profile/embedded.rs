//! The profiles that are compiled into the program, so that a bare installation works.

/// Name and text of each, by name.
pub static EMBEDDED: &[(&str, &str)] = &[
    ("agent", include_str!("../../profiles/agent.toml")),
    ("base", include_str!("../../profiles/base.toml")),
    ("build", include_str!("../../profiles/build.toml")),
    (
        "cgroup-demo",
        include_str!("../../profiles/cgroup-demo.toml"),
    ),
    ("chromium", include_str!("../../profiles/chromium.toml")),
    ("container", include_str!("../../profiles/container.toml")),
    (
        "container-demo",
        include_str!("../../profiles/container-demo.toml"),
    ),
    ("default", include_str!("../../profiles/default.toml")),
    (
        "desktop-app",
        include_str!("../../profiles/desktop-app.toml"),
    ),
    ("dev", include_str!("../../profiles/dev.toml")),
    (
        "document-viewer",
        include_str!("../../profiles/document-viewer.toml"),
    ),
    (
        "electron-app",
        include_str!("../../profiles/electron-app.toml"),
    ),
    (
        "file-manager",
        include_str!("../../profiles/file-manager.toml"),
    ),
    ("firefox", include_str!("../../profiles/firefox.toml")),
    (
        "image-editor",
        include_str!("../../profiles/image-editor.toml"),
    ),
    (
        "libreoffice",
        include_str!("../../profiles/libreoffice.toml"),
    ),
    ("memlimit", include_str!("../../profiles/memlimit.toml")),
    ("mpv", include_str!("../../profiles/mpv.toml")),
    ("network", include_str!("../../profiles/network.toml")),
    ("no-network", include_str!("../../profiles/no-network.toml")),
    (
        "no-planting",
        include_str!("../../profiles/no-planting.toml"),
    ),
    ("no-secrets", include_str!("../../profiles/no-secrets.toml")),
    ("project", include_str!("../../profiles/project.toml")),
    ("shell", include_str!("../../profiles/shell.toml")),
    ("strict", include_str!("../../profiles/strict.toml")),
    ("terminal", include_str!("../../profiles/terminal.toml")),
    (
        "text-editor",
        include_str!("../../profiles/text-editor.toml"),
    ),
    (
        "thunderbird",
        include_str!("../../profiles/thunderbird.toml"),
    ),
    (
        "unshare-demo",
        include_str!("../../profiles/unshare-demo.toml"),
    ),
    ("vlc", include_str!("../../profiles/vlc.toml")),
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
