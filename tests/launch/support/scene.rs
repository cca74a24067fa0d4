//! The place a case plays in: a home of its own and the programs under test.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Host, Sandbox};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A temporary folder with a home and its XDG folders, and the facts about the host.
pub struct Scene {
    /// What the host offers.
    pub host: Arc<Host>,
    folder: PathBuf,
}

impl Scene {
    /// Makes the folders. They lie in `SANDBOX_TEST_TMP` or /var/tmp, as profiles
    /// commonly replace /tmp.
    pub fn new(host: Arc<Host>) -> io::Result<Scene> {
        let above = above();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandbox-test-{}-{number}", std::process::id());
        let folder = above.join(name);
        fs::create_dir(&folder)?;
        let scene = Scene { host, folder };
        for name in [
            "home",
            "home/.config",
            "home/.cache",
            "home/.local",
            "home/.local/share",
        ] {
            fs::create_dir(scene.folder.join(name))?;
        }
        fs::create_dir(scene.folder.join("home/.local/state"))?;
        fs::create_dir(scene.folder.join("run"))?;
        fs::set_permissions(scene.folder.join("run"), fs::Permissions::from_mode(0o700))?;
        Ok(scene)
    }

    /// The folder that holds everything of this case; removed after it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `HOME` of what runs in this scene.
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// `XDG_RUNTIME_DIR` of what runs in this scene.
    pub fn runtime(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Writes a file below the scene's folder, with the folders above it.
    pub fn write(&self, relative: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Writes a profile where it is found by `name`.
    pub fn install_profile(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        self.write(&format!("home/.config/sandbox/profiles/{name}.toml"), text)
    }

    /// The launcher, to be given options and a program.
    pub fn sandbox(&self) -> Sandbox<'_> {
        Sandbox::new(self, &binary("sandbox"))
    }

    /// The launcher, with a profile and a name for the run.
    pub fn run_called(&self, name: &str, profile: &str) -> io::Result<Sandbox<'_>> {
        Ok(self.sandbox().profile_text(profile)?.args(["--name", name]))
    }

    /// Where the records of who runs the tests are.
    pub fn records(&self) -> PathBuf {
        match self.host.is_root() {
            true => PathBuf::from("/run/sandbox"),
            false => self.runtime().join("sandbox"),
        }
    }

    /// The controlling program, in the same home.
    pub fn sandboxctl(&self) -> Sandbox<'_> {
        Sandbox::new(self, &binary("sandboxctl"))
    }

    /// Any other program, in the same home and with the same checks.
    pub fn command(&self, program: impl AsRef<Path>) -> Sandbox<'_> {
        Sandbox::new(self, program.as_ref())
    }

    /// Removes the folder, unless something is still mounted in it.
    pub fn remove(self) -> io::Result<()> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let folder = self.folder.display().to_string();
        let within = |line: &&str| {
            line.split(' ')
                .nth(4)
                .is_some_and(|at| at.starts_with(&folder))
        };
        if let Some(line) = mounts.lines().find(within) {
            return Err(io::Error::other(format!("still mounted: {line}")));
        }
        fs::remove_dir_all(&self.folder)
            .map_err(|error| io::Error::other(format!("`{folder}` cannot be removed: {error}")))
    }
}

/// A name for a run that no other test or person on this host uses.
pub fn unique(what: &str) -> String {
    format!("test-{}-{what}", std::process::id())
}

/// A program of the workspace: in `SANDBOX_BIN_DIR` if set, else where cargo built it.
pub fn binary(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("SANDBOX_BIN_DIR") {
        return Path::new(&folder).join(name);
    }
    Path::new(env!("CARGO_BIN_EXE_sandbox")).with_file_name(name)
}

/// Where scenes are made.
pub fn above() -> PathBuf {
    std::env::var_os("SANDBOX_TEST_TMP")
        .unwrap_or_else(|| "/var/tmp".into())
        .into()
}

/// This test program, which is also the probe.
pub fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"))
}
