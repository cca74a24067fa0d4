//! Running a program in a scene, and what came out of it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::scene::own_path;
use super::{Outcome, Scene};

/// A command line in the making.
pub struct Sandbox<'a> {
    scene: &'a Scene,
    binary: OsString,
    options: Vec<OsString>,
    program: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    folder: Option<OsString>,
    input: Vec<u8>,
    terminal: bool,
    limit: Duration,
    profiles: u32,
}

impl<'a> Sandbox<'a> {
    /// `binary` with no arguments and a small environment that leads to the scene.
    pub fn new(scene: &'a Scene, binary: &Path) -> Sandbox<'a> {
        let home = scene.home();
        let mut environment = BTreeMap::new();
        let mut set = |name: &str, value: &OsStr| environment.insert(name.into(), value.to_owned());
        set(
            "PATH",
            OsStr::new("/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
        );
        set("HOME", home.as_os_str());
        set("XDG_CONFIG_HOME", home.join(".config").as_os_str());
        set("XDG_CACHE_HOME", home.join(".cache").as_os_str());
        set("XDG_DATA_HOME", home.join(".local/share").as_os_str());
        set("XDG_STATE_HOME", home.join(".local/state").as_os_str());
        set("XDG_RUNTIME_DIR", scene.runtime().as_os_str());
        set("LANG", OsStr::new("C.UTF-8"));
        set("TERM", OsStr::new("dumb"));
        for name in ["USER", "LOGNAME"] {
            if let Some(value) = std::env::var_os(name) {
                set(name, &value);
            }
        }
        // The bus is the host's, for the user's service manager is.
        if let Some(bus) = std::env::var_os("DBUS_SESSION_BUS_ADDRESS") {
            set("DBUS_SESSION_BUS_ADDRESS", &bus);
        } else if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR") {
            let socket = Path::new(&folder).join("bus");
            if socket.exists() {
                let address = format!("unix:path={}", socket.display());
                set("DBUS_SESSION_BUS_ADDRESS", OsStr::new(&address));
            }
        }
        Sandbox {
            scene,
            binary: binary.into(),
            options: Vec::new(),
            program: Vec::new(),
            environment,
            folder: None,
            input: Vec::new(),
            terminal: false,
            limit: Duration::from_secs(if scene.host.is_virtual() { 180 } else { 60 }),
            profiles: 0,
        }
    }

    /// Writes `text` to a file of the scene and adds `--profile FILE`.
    pub fn profile_text(mut self, text: &str) -> io::Result<Sandbox<'a>> {
        self.profiles += 1;
        let name = format!("profile-{}.toml", self.profiles);
        // One that was started before may be about to read a file of that name: it finds either text, and never a part.
        let new = self.scene.write(&format!("{name}.new"), text)?;
        let path = self.scene.folder().join(name);
        std::fs::rename(new, &path)?;
        self.options.push("--profile".into());
        self.options.push(path.into());
        Ok(self)
    }

    /// Adds options, before the program.
    pub fn args<T: Into<OsString>>(mut self, more: impl IntoIterator<Item = T>) -> Sandbox<'a> {
        self.options.extend(more.into_iter().map(Into::into));
        self
    }

    /// The program to start and its arguments, put after `--`.
    pub fn program<T: Into<OsString>>(mut self, line: impl IntoIterator<Item = T>) -> Sandbox<'a> {
        self.program = line.into_iter().map(Into::into).collect();
        self
    }

    /// Starts this test program inside, as the probe NAME with its arguments. A profile
    /// that hides it must show it again, see [`Sandbox::show_probe`].
    pub fn probe<T: Into<OsString>>(self, line: impl IntoIterator<Item = T>) -> Sandbox<'a> {
        let mut program = vec![own_path().into_os_string(), "probe".into()];
        program.extend(line.into_iter().map(Into::into));
        self.program(program)
    }

    /// Starts the probe `do` with these deeds; see [`Finished::answer`].
    pub fn deeds<T: AsRef<str>>(self, deeds: impl IntoIterator<Item = T>) -> Sandbox<'a> {
        let mut line = vec!["do".to_owned()];
        line.extend(deeds.into_iter().map(|deed| deed.as_ref().to_owned()));
        self.probe(line)
    }

    /// Puts the program under test behind another one, which is to run it.
    pub fn behind<T: Into<OsString>>(mut self, line: impl IntoIterator<Item = T>) -> Sandbox<'a> {
        let mut line = line.into_iter().map(Into::into);
        if let Some(program) = line.next() {
            let launcher = std::mem::replace(&mut self.binary, program);
            let mut options: Vec<OsString> = line.collect();
            options.push(launcher);
            options.append(&mut self.options);
            self.options = options;
        }
        self
    }

    /// Adds `--ro` for this test program.
    pub fn show_probe(self) -> Sandbox<'a> {
        self.args([OsString::from("--ro"), own_path().into_os_string()])
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Sandbox<'a> {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Leaves a variable out.
    pub fn without_env(mut self, name: &str) -> Sandbox<'a> {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// Starts in `folder` instead of the home.
    pub fn in_folder(mut self, folder: impl Into<OsString>) -> Sandbox<'a> {
        self.folder = Some(folder.into());
        self
    }

    /// What standard input holds (else it is empty).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Sandbox<'a> {
        self.input = bytes.into();
        self
    }

    /// Starts in a session of its own whose controlling terminal is a new
    /// pseudo-terminal, in which all three streams are; its output counts as stdout.
    pub fn on_terminal(mut self) -> Sandbox<'a> {
        self.terminal = true;
        self
    }

    /// How long it may take until all of it is killed and `run` fails.
    pub fn limit(mut self, limit: Duration) -> Sandbox<'a> {
        self.limit = limit;
        self
    }

    /// Starts it and waits.
    pub fn run(self) -> io::Result<Finished> {
        self.spawn()?.wait()
    }

    /// The command line, and the command without its streams, for who starts it otherwise.
    pub fn command(&self) -> (Vec<OsString>, Command) {
        let mut line = vec![self.binary.clone()];
        line.extend(self.options.iter().cloned());
        if !self.program.is_empty() {
            // Other commands than the launcher's have no such mark in front of operands.
            line.push("--".into());
            line.extend(self.program.iter().cloned());
        }
        let mut command = Command::new(&self.binary);
        command
            .args(line.iter().skip(1))
            .env_clear()
            .envs(&self.environment);
        match &self.folder {
            Some(folder) => command.current_dir(folder),
            None => command.current_dir(self.scene.home()),
        };
        (line, command)
    }

    /// Starts a shell line, and waits until it has begun.
    pub fn begin(self, line: &str) -> io::Result<Running> {
        let line = format!("echo ready; {line}");
        let mut run = self.program(["sh", "-c", &line]).spawn()?;
        run.wait_for("ready")?;
        Ok(run)
    }

    /// Starts what goes on until it is ended.
    pub fn idle(self) -> io::Result<Running> {
        self.begin("exec sleep 600")
    }

    /// Starts it.
    pub fn spawn(self) -> io::Result<Running> {
        let (line, mut command) = self.command();
        let shown = shown(&line);
        let start = |command: &mut Command| {
            let failed = |error| io::Error::new(error, format!("{shown}: {error}"));
            command
                .spawn()
                .map_err(|error: io::Error| failed(error.kind()))
        };
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let (child, input) = if self.terminal {
            let master = set_terminal(&mut command)?;
            let child = start(&mut command)?;
            drop(command); // its copies of the other end would keep the terminal open
            stdout.fill_from(std::fs::File::from(master.try_clone()?));
            stderr.end();
            let mut writer = std::fs::File::from(master);
            writer.write_all(&self.input)?;
            (child, Some(writer))
        } else {
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command.process_group(0);
            let mut child = start(&mut command)?;
            match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
                (Some(mut input), Some(out), Some(err)) => {
                    stdout.fill_from(out);
                    stderr.fill_from(err);
                    let bytes = self.input;
                    thread::spawn(move || input.write_all(&bytes));
                }
                _ => return Err(io::Error::other("the pipes are missing")),
            }
            (child, None)
        };
        let deadline = Instant::now() + self.limit;
        Ok(Running {
            child,
            line: shown,
            stdout,
            stderr,
            terminal: input,
            deadline,
        })
    }
}

/// Gives `command` a new terminal; returns the end that stays with us.
fn set_terminal(command: &mut Command) -> io::Result<OwnedFd> {
    let pty = nix::pty::openpty(None, None)?;
    command
        .stdin(Stdio::from(pty.slave.try_clone()?))
        .stdout(Stdio::from(pty.slave.try_clone()?))
        .stderr(Stdio::from(pty.slave));
    for end in [pty.master.as_raw_fd()] {
        // SAFETY: fcntl on a descriptor we own; without this the child would hold our end.
        if unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let lead = || {
        nix::unistd::setsid()?;
        // SAFETY: an ioctl on descriptor 0, which is the terminal by now.
        match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: `lead` makes two system calls and allocates nothing.
    unsafe { command.pre_exec(lead) };
    Ok(pty.master)
}

/// What a process has written so far, read by a thread of ours.
#[derive(Clone, Default)]
struct Stream(Arc<Mutex<(Vec<u8>, bool)>>);

impl Stream {
    fn fill_from(&self, mut from: impl Read + Send + 'static) {
        let stream = self.clone();
        thread::spawn(move || {
            let mut piece = [0; 16384];
            // A terminal whose other end has gone reads as EIO.
            while let Ok(n @ 1..) = from.read(&mut piece) {
                let mut inner = stream.0.lock().unwrap_or_else(PoisonError::into_inner);
                inner.0.extend(piece.get(..n).unwrap_or_default());
            }
            stream.end();
        });
    }

    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }
}

/// A program that was started. Dropped without [`Running::wait`], it is killed.
pub struct Running {
    child: Child,
    line: String,
    stdout: Stream,
    stderr: Stream,
    terminal: Option<std::fs::File>,
    deadline: Instant,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap_or(i32::MAX))
    }

    /// The processes below it, by their ids outside: those it started, then theirs.
    pub fn descendants(&self) -> Vec<Pid> {
        let mut parents = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
            let parent = after.split_whitespace().nth(1);
            if let Some(parent) = parent.and_then(|word| word.parse::<i32>().ok()) {
                parents.insert(pid, parent);
            }
        }
        let mut found = vec![self.pid().as_raw()];
        let mut at = 0;
        while let Some(&above) = found.get(at) {
            found.extend(
                parents
                    .iter()
                    .filter(|(_, p)| **p == above)
                    .map(|(pid, _)| *pid),
            );
            at += 1;
        }
        found.into_iter().skip(1).map(Pid::from_raw).collect()
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// Types into its terminal.
    pub fn type_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.terminal {
            Some(terminal) => terminal.write_all(bytes),
            None => Err(io::Error::other("it was not started with `on_terminal`")),
        }
    }

    /// Our end of its terminal.
    pub fn terminal(&self) -> io::Result<&std::fs::File> {
        let missing = || io::Error::other("it was not started with `on_terminal`");
        self.terminal.as_ref().ok_or_else(missing)
    }

    /// What it has written to standard output so far.
    pub fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stdout.bytes()).into_owned()
    }

    /// Waits until standard output contains `text`; fails if it ends without.
    pub fn wait_for(&mut self, text: &str) -> io::Result<()> {
        while !self.stdout_so_far().contains(text) {
            if self.stdout.has_ended() || Instant::now() > self.deadline {
                let said = String::from_utf8_lossy(&self.stderr.bytes()).into_owned();
                let out = self.stdout_so_far();
                return Err(io::Error::other(format!(
                    "`{}` never wrote `{text}`, but:\n{out}{said}",
                    self.line
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until it has ended and its output too.
    pub fn wait(mut self) -> io::Result<Finished> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > self.deadline {
                self.kill();
                let out = self.stdout_so_far();
                let said = String::from_utf8_lossy(&self.stderr.bytes()).into_owned();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "`{}` did not end in time\nstdout: {out}\nstderr: {said}",
                        self.line
                    ),
                ));
            }
            thread::sleep(Duration::from_millis(2));
        };
        // Something left behind may hold the pipes; the search for leaks will name it.
        let grace = Instant::now() + Duration::from_secs(3);
        while !(self.stdout.has_ended() && self.stderr.has_ended()) && Instant::now() < grace {
            thread::sleep(Duration::from_millis(2));
        }
        Ok(Finished {
            line: self.line.clone(),
            status,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
        })
    }

    fn kill(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

/// How a program ended and what it wrote.
pub struct Finished {
    line: String,
    /// As the kernel reported it.
    pub status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Finished {
    /// Exit status as a shell shows it: 128+N after signal N.
    pub fn code(&self) -> i32 {
        let signal = self.status.signal().map(|number| 128 + number);
        self.status.code().or(signal).unwrap_or(-1)
    }

    /// Standard output, as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error, as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// What the probe `do` answered to a deed.
    pub fn answer(&self, deed: &str) -> String {
        let text = self.stdout();
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
        let found = lines.find_map(|line| line.strip_prefix(deed)?.strip_prefix(": "));
        found.map_or_else(|| format!("no answer to `{deed}`\n{self}"), str::to_owned)
    }

    /// Fails unless the probe `do` answered each deed as said; all that differ are named.
    pub fn answers<D: AsRef<str>>(&self, expected: &[(D, &str)]) -> Outcome {
        let mut wrong = Vec::new();
        for (deed, expected) in expected {
            let deed = deed.as_ref();
            let found = self.answer(deed);
            if !expected.split('|').any(|one| one == found) {
                wrong.push(format!("{deed}: expected {expected}, got {found}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{}\nstatus {}, stderr:\n{}\ncommand: {}",
            wrong.join("\n"),
            self.code(),
            self.stderr(),
            self.line
        )
        .into())
    }

    /// Fails unless it exited with 0.
    pub fn succeeds(&self) -> Result<&Finished, Box<dyn std::error::Error>> {
        self.exits_with(0)
    }

    /// Fails unless it exited with `code`.
    pub fn exits_with(&self, code: i32) -> Result<&Finished, Box<dyn std::error::Error>> {
        if self.code() == code {
            Ok(self)
        } else {
            Err(format!("expected exit status {code}\n{self}").into())
        }
    }

    /// Fails unless standard output contains `text`.
    pub fn says(&self, text: &str) -> Outcome {
        match self.stdout().contains(text) {
            true => Ok(()),
            false => Err(format!("`{text}` is not said\n{self}").into()),
        }
    }

    /// Fails unless standard output, without space at its ends, is `text`.
    pub fn prints(&self, text: &str) -> Outcome {
        if self.stdout().trim() == text {
            Ok(())
        } else {
            Err(format!("expected the output `{text}`\n{self}").into())
        }
    }

    /// Fails unless standard error contains `text`.
    pub fn complains(&self, text: &str) -> Outcome {
        if self.stderr().contains(text) {
            Ok(())
        } else {
            Err(format!("expected `{text}` on standard error\n{self}").into())
        }
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command: {}", self.line)?;
        writeln!(f, "status: {}", self.code())?;
        writeln!(f, "stdout:\n{}", self.stdout().trim_end())?;
        write!(f, "stderr:\n{}", self.stderr().trim_end())
    }
}

/// A command line for people.
fn shown(line: &[OsString]) -> String {
    let words: Vec<String> = line
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}
