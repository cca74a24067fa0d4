//! Who is attacked: nothing at all, the shipped profiles with one wall or both, and other launchers.

use std::fs;
use std::io;

use super::lair::{Lair, Observed};
use crate::support::{Need, Sandbox, Scene, binary, on_path, own_path};

/// What holds files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walls {
    /// Mounts and Landlock.
    Both,
    /// Mounts alone.
    Mounts,
    /// Landlock alone, on a host that gives no namespaces.
    Landlock,
}

/// One run of the whole catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Without any sandbox.
    Nothing,
    /// A shipped profile.
    Profile(&'static str, Walls),
    /// A profile that Landlock and the filter can hold alone.
    Alone,
    /// bubblewrap, as strict as it gets without a filter of the user's own.
    Bubblewrap,
    /// firejail with its default profile.
    Firejail,
    /// firejail without a profile.
    FirejailBare,
}

/// The profiles that all attempts are made against.
pub const PROFILES: [&str; 7] = [
    "strict",
    "default",
    "build",
    "agent",
    "desktop-app",
    "web-browser",
    "container-demo",
];

/// A view of files that needs no mount, the filter of `strict`, and no privilege.
const ALONE: &str = r#"
degrade = ["namespaces.pid"]
[namespaces]
pid = true
[filesystem]
"/" = "hidden"
"/usr" = "read-only"
"/bin" = "read-only"
"/lib" = "read-only"
"/lib64" = "read-only"
"/dev/null" = "read-write"
"/proc" = "read-only"
[syscalls]
default = "ENOSYS"
"@system-service" = "allow"
"@keyring" = "deny"
"@cross-process" = "deny"
"@aio" = "ENOSYS"
"@mount" = "deny"
"@new-mount-api" = "deny"
setns = "deny"
userfaultfd = "deny"
unshare = "deny"
"clone(&CLONE_NEWUSER)" = "deny"
socket = "EAFNOSUPPORT"
socketpair = "EAFNOSUPPORT"
"socketpair(AF_UNIX)" = "allow"
"ioctl(_, TIOCSTI)" = "deny"
"ioctl(_, TIOCLINUX)" = "deny"
"ioctl(_, TIOCSETD)" = "deny"
[capabilities]
default = "drop"
[environment]
default = "clean"
PATH = true
[process]
no-new-privileges = true
terminal = "new"
session-keyring = "new"
[limits]
core-size = 1
"#;

impl Course {
    /// As the heading of a column.
    pub fn name(self) -> String {
        match self {
            Course::Nothing => "nothing".to_owned(),
            Course::Profile(name, Walls::Both) => name.to_owned(),
            Course::Profile(name, Walls::Mounts) => format!("{name}, mounts only"),
            Course::Profile(name, Walls::Landlock) => format!("{name}, Landlock only"),
            Course::Alone => "Landlock alone".to_owned(),
            Course::Bubblewrap => "bubblewrap".to_owned(),
            Course::Firejail => "firejail".to_owned(),
            Course::FirejailBare => "firejail --noprofile".to_owned(),
        }
    }

    /// Whether the program is there.
    pub fn is_there(self) -> bool {
        match self {
            Course::Bubblewrap => on_path("bwrap").is_some(),
            Course::Firejail | Course::FirejailBare => on_path("firejail").is_some(),
            _ => true,
        }
    }

    /// Makes all attempts.
    pub fn run(self, scene: &Scene, lair: &Lair) -> io::Result<Observed> {
        lair.observe(scene, self.line(scene, lair)?)
    }

    /// The command line.
    pub fn line<'a>(self, scene: &'a Scene, lair: &Lair) -> io::Result<Sandbox<'a>> {
        let own = own_path().display().to_string();
        let words = lair.line();
        Ok(match self {
            Course::Nothing => scene.command(&own).args(words.into_iter().skip(1)),
            Course::Profile("container-demo", walls) => {
                let line = scene
                    .sandbox()
                    .args(["--profile", "container-demo", "--root"])
                    .args([root(scene)?]);
                let line = line.args(["--ro", "/usr"]).show_probe();
                walled(scene, unlimited(scene, line), walls)?.program(words)
            }
            Course::Profile(name, walls) => {
                let mut line = scene.sandbox().args(["--profile", name]).show_probe();
                if matches!(name, "strict" | "desktop-app" | "web-browser") {
                    line = line.args(["--set", "process.working-directory=/tmp"]);
                }
                if matches!(name, "desktop-app" | "web-browser") {
                    // The bait is no compositor: it says nothing, and "auto" does not start with one that cannot be asked. What is
                    // tried is the most that "auto" comes to, with a compositor that knows no sandboxes.
                    line = line.args(["--set", "desktop.wayland=host"]);
                }
                walled(scene, unlimited(scene, line), walls)?.program(words)
            }
            Course::Alone => {
                let line = scene.sandbox().profile_text(ALONE)?.show_probe();
                walled(scene, line, Walls::Landlock)?.program(words)
            }
            Course::Bubblewrap => {
                let line = scene.command("bwrap").args(
                    "--unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL --setenv PATH /usr/bin:/bin \
                     --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
                     --proc /proc --dev /dev --tmpfs /tmp --chdir /tmp"
                        .split(' ')
                        .filter(|word| !word.is_empty()),
                );
                line.args(["--ro-bind", &own, &own, "--"]).args(words)
            }
            Course::Firejail => scene.command("firejail").args(["--quiet"]).args(words),
            Course::FirejailBare => scene
                .command("firejail")
                .args(["--quiet", "--noprofile"])
                .args(words),
        })
    }
}

/// Where nobody gives this user a control group, limits are not what is looked at.
fn unlimited<'a>(scene: &Scene, line: Sandbox<'a>) -> Sandbox<'a> {
    if scene.host.lacks(&Need::Limits).is_some() {
        line.args(["--best-effort"])
    } else {
        line
    }
}

fn walled<'a>(scene: &Scene, line: Sandbox<'a>, walls: Walls) -> io::Result<Sandbox<'a>> {
    Ok(match walls {
        Walls::Both => line,
        Walls::Mounts => line.args(["--set", "process.landlock=false"]),
        Walls::Landlock => {
            // A host as a container is one: no user namespaces, and no capability that could do without.
            let text = "[syscalls]\n\"clone(&CLONE_NEWUSER)\" = \"deny\"\n\"unshare(&CLONE_NEWUSER)\" = \"deny\"\n\
                        [capabilities]\ndefault = \"drop\"\n";
            let outer = scene.write("outer.toml", text)?.display().to_string();
            line.behind([
                binary("sandbox").display().to_string(),
                "--profile".to_owned(),
                outer,
                "--".to_owned(),
            ])
        }
    })
}

/// A root with nothing in it but places to mount on.
fn root(scene: &Scene) -> io::Result<String> {
    let root = scene.folder().join("rootfs");
    if !root.exists() {
        for folder in ["dev", "proc", "tmp", "usr", "etc", "sys"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for folder in ["bin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{folder}"), root.join(folder))?;
        }
        let own = own_path();
        let place = root.join(own.strip_prefix("/").unwrap_or(&own));
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(place, "")?;
    }
    Ok(root.display().to_string())
}
