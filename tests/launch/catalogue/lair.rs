//! What the host lays out for attempts to find, and how a launcher is started over it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::attempt::{Bait, Found, SECRET, at, raw};
use super::terminal::Message;
use crate::support::{Sandbox, Scene, binary, own_path};

/// What came of each attempt, or why nothing was tried.
pub enum Observed {
    /// By id.
    Ran(BTreeMap<&'static str, Found>),
    /// The launcher did not start the program; with what it said.
    Refused(String),
}

impl Observed {
    /// What came of one.
    pub fn of(&self, id: &str) -> Option<&Found> {
        match self {
            Observed::Ran(all) => all.get(id),
            Observed::Refused(_) => None,
        }
    }
}

/// The bait, and all that has to live as long as it does.
pub struct Lair {
    /// By name.
    pub bait: Bait,
    victim: Child,
    shared: u64,
    files: Vec<PathBuf>,
    has_keys: bool,
    _kept: (Vec<UnixListener>, Vec<TcpListener>, Vec<OwnedFd>),
}

impl Lair {
    /// Lays everything out.
    pub fn new(scene: &Scene) -> io::Result<Lair> {
        let mut bait = Bait::default();
        let mut set = |name: &str, value: String| bait.0.insert(name.to_owned(), value);
        let home = scene.home();
        let number = std::process::id();
        set("home", home.display().to_string());
        let project = home.join("project");
        set("project", project.display().to_string());
        set("run", scene.runtime().display().to_string());
        set("launcher", binary("sandbox").display().to_string());
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let peers: std::collections::BTreeSet<&str> = mounts
            .split_whitespace()
            .filter(|word| word.starts_with("shared:"))
            .collect();
        set("peers", peers.into_iter().collect::<Vec<_>>().join(" "));
        for file in [
            ".ssh/id",
            ".aws/credentials",
            ".mozilla/cookies",
            ".bash_history",
            "Documents/letter",
            "Documents/gone",
        ] {
            scene.write(&format!("home/{file}"), SECRET)?;
        }
        for file in [
            ".bashrc",
            "project/.git/config",
            "project/.git/hooks/sample",
            "project/.vscode/x",
            "project/.envrc",
        ] {
            scene.write(&format!("home/{file}"), "")?;
        }
        scene.write("run/bait", SECRET)?;
        fs::hard_link(home.join(".ssh/id"), project.join("second-name"))?;
        std::os::unix::fs::symlink("../.ssh/id", project.join("link"))?;

        let mut files = Vec::new();
        for (name, folder) in [("tmp", "/tmp"), ("shm", "/dev/shm")] {
            let path = Path::new(folder).join(format!("sandbox-bait-{number}"));
            fs::write(&path, SECRET)?;
            set(name, path.display().to_string());
            files.push(path);
        }
        for folder in [
            "/",
            "/usr/bin",
            "/etc",
            "/var/lib",
            "/etc/cron.d",
            "/tmp",
            "/dev/shm",
        ] {
            set(&format!("folder-{folder}"), identity(folder));
        }
        for kind in ["mnt", "pid", "ipc", "uts", "cgroup", "net", "user"] {
            set(
                &format!("ns-{kind}"),
                fs::metadata(format!("/proc/self/ns/{kind}"))?
                    .ino()
                    .to_string(),
            );
        }

        let mut sockets = Vec::new();
        // Where a user's systemd makes the control groups, it has to be found: it is the bait itself.
        let systemd = scene.host.systemd_user.then(|| {
            let folder = std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default();
            PathBuf::from(folder)
        });
        let folder = systemd.clone().unwrap_or_else(|| scene.runtime());
        set("bus", folder.join("bus").display().to_string());
        set(
            "manager",
            folder.join("systemd/private").display().to_string(),
        );
        let ours: &[&str] = match systemd {
            None => &["bus", "systemd/private"],
            Some(_) => &[],
        };
        for name in ours.iter().copied().chain([
            "docker.sock",
            "wayland-0",
            "pulse/native",
            "pipewire-0",
            "gnupg/S.gpg-agent",
        ]) {
            let path = scene.runtime().join(name);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            sockets.push(UnixListener::bind(path)?);
        }
        set(
            "bus-identity",
            identity(&folder.join("bus").display().to_string()),
        );
        let mut elsewhere = vec![(
            "agent",
            PathBuf::from(format!("/tmp/sandbox-bait-agent-{number}")),
        )];
        if scene.host.is_root() {
            elsewhere.push((
                "system-socket",
                PathBuf::from(format!("/run/sandbox-bait-{number}")),
            ));
        }
        if fs::create_dir_all("/tmp/.X11-unix").is_ok() {
            elsewhere.push(("x11", PathBuf::from(format!("/tmp/.X11-unix/X{number}"))));
        }
        for (name, path) in elsewhere {
            if let Ok(socket) = UnixListener::bind(&path) {
                sockets.push(socket);
                set(name, path.display().to_string());
                files.push(path);
            }
        }
        for (name, text) in [
            ("abstract", format!("sandbox-bait-{number}")),
            ("x11-abstract", format!("/tmp/.X11-unix/X{number}")),
        ] {
            sockets.push(UnixListener::bind_addr(&SocketAddr::from_abstract_name(
                &text,
            )?)?);
            set(name, text);
        }
        accomplice(&project.join("accomplice"), &home.join(".ssh"))?;

        let mut listeners = vec![TcpListener::bind("127.0.0.1:0")?];
        set("port", listeners[0].local_addr()?.port().to_string());
        if let Ok(listener) = TcpListener::bind("[::1]:0") {
            set("port6", listener.local_addr()?.port().to_string());
            listeners.push(listener);
        }
        let echo = UdpSocket::bind("127.0.0.1:0")?;
        set("udp", echo.local_addr()?.port().to_string());
        thread::spawn(move || {
            let mut text = [0; 16];
            while let Ok((length, from)) = echo.recv_from(&mut text) {
                let _ = echo.send_to(text.get(..length).unwrap_or_default(), from);
            }
        });

        // System V: private to nobody; POSIX: by name.
        let shared = raw(libc::SYS_shmget, &[0, 4096, 0o600])?.cast_unsigned();
        set("shmid", shared.to_string());
        let queue = format!("sandbox-bait-{number}");
        let name = std::ffi::CString::new(queue.clone()).unwrap_or_default();
        let made = raw(
            libc::SYS_mq_open,
            &[
                at(&name),
                u64::from(libc::O_CREAT.cast_unsigned()),
                0o600,
                0,
            ],
        );
        let mut kept = Vec::new();
        if let Ok(descriptor) = made {
            kept.extend(super::attempt::owned(descriptor));
        }
        set("queue", queue);

        let pty = nix::pty::openpty(None, None)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd()))?;
        set("pts-device", fs::metadata(&path)?.dev().to_string());
        set("pts", path.display().to_string());
        kept.extend([pty.master, pty.slave]);

        let victim = Command::new(own_path())
            .args(["probe", "victim", SECRET])
            .env("VICTIM", SECRET)
            .current_dir(&project)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        set("victim", victim.id().to_string());
        let oom = fs::read_to_string("/proc/self/oom_score_adj")?;
        set("oom", oom.trim().to_owned());
        let has_keys = {
            let line = ["probe", "with-key", "bait", "/bin/true"];
            Command::new(own_path())
                .args(line)
                .stdout(Stdio::null())
                .status()?
                .success()
        };
        let _kept = (sockets, listeners, kept);
        Ok(Lair {
            bait,
            victim,
            shared,
            files,
            has_keys,
            _kept,
        })
    }

    /// The words that start all attempts.
    pub fn line(&self) -> Vec<String> {
        let mut line = vec![
            own_path().display().to_string(),
            "probe".to_owned(),
            "catalogue".to_owned(),
        ];
        line.extend(self.bait.words());
        line
    }

    /// Starts `launcher`, which is to start [`Lair::line`], as a hostile or careless caller does: with secrets in the
    /// environment, descriptors left open, a key in the keyring.
    pub fn observe(&self, scene: &Scene, launcher: Sandbox<'_>) -> io::Result<Observed> {
        let script =
            "trap '' USR1; exec 8</dev/null 9<\"$1\"; shift; exec \"$@\" \"terminal=$(tty)\"";
        let mut line = launcher.behind(["sh", "-c", script, "sh", &self.bait.home(".ssh")]);
        if scene.host.is_root() {
            line = line.behind(["setpriv", "--groups", "4242"]);
        }
        if self.has_keys {
            let own = own_path().display().to_string();
            line = line.behind([own.as_str(), "probe", "with-key", "bait"]);
        }
        for (name, value) in [
            ("BAIT_TOKEN", SECRET),
            ("BAIT_THING", SECRET),
            ("LD_LIBRARY_PATH", "/nowhere"),
            ("GCONV_PATH", "/nowhere"),
            ("BASH_ENV", "/nowhere"),
            ("SSH_AUTH_SOCK", self.bait.get("agent")),
            ("DOCKER_HOST", "unix:///nowhere"),
        ] {
            line = line.env(name, value);
        }
        if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none() && !scene.host.systemd_user {
            // What listens in the scene's runtime directory never answers.
            line = line.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
        }
        let out = line
            .in_folder(self.bait.get("project"))
            .on_terminal()
            .run()?;
        let text = out.stdout();
        if !text.contains("catalogue: done") {
            return Ok(Observed::Refused(format!(
                "status {}\n{text}{}",
                out.code(),
                out.stderr()
            )));
        }
        let mut all = BTreeMap::new();
        for one in super::all() {
            let answer = out.answer(one.id);
            let mut found = match answer.split_once(' ').unwrap_or((&answer, "")) {
                ("ESCAPED", evidence) => Found::Escaped(evidence.to_owned()),
                ("HELD", evidence) => Found::Held(evidence.to_owned()),
                _ => {
                    return Err(io::Error::other(format!(
                        "`{}` has no verdict: {answer}",
                        one.id
                    )));
                }
            };
            if let Some(after) = one.after {
                found = match (after(&self.bait), found) {
                    (Some(seen), _) => Found::Escaped(seen),
                    (None, Found::Escaped(text)) => {
                        Found::Held(format!("{text}, and nothing of it outside"))
                    }
                    (None, held) => held,
                };
            }
            all.insert(one.id, found);
        }
        Ok(Observed::Ran(all))
    }
}

impl Drop for Lair {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = raw(libc::SYS_shmctl, &[self.shared, 0, 0]);
        let name = std::ffi::CString::new(self.bait.get("queue")).unwrap_or_default();
        let _ = raw(libc::SYS_mq_unlink, &[at(&name)]);
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

/// A directory, whatever its path.
pub fn identity(folder: &str) -> String {
    let found = fs::metadata(folder);
    found.map_or_else(
        |_| "none".to_owned(),
        |found| format!("{}.{}", found.dev(), found.ino()),
    )
}

/// Hands a directory to whoever asks.
fn accomplice(socket: &Path, folder: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let folder = fs::File::open(folder)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = u64::try_from(stream.as_raw_fd()).unwrap_or(u64::MAX);
            let _ = Message::new(folder.as_raw_fd()).pass(libc::SYS_sendmsg, number);
        }
    });
    Ok(())
}
