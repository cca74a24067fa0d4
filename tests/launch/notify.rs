//! Notifications of a desktop: a bus and a server of our own, and what arrives there.

use std::future::poll_fn;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Message, MessageStream, OwnedVariant};

use super::support::{Case, Need, Outcome, Sandbox, Scene, case};

const DESKTOP: &[Need] = &[Need::Program("dbus-daemon"), Need::Program("setsid")];

pub fn cases() -> Vec<Case> {
    vec![
        case("not_started", DESKTOP, not_started),
        case("timeout", DESKTOP, timeout),
        case(
            "limit_strikes",
            &[
                Need::Limits,
                Need::Program("dbus-daemon"),
                Need::Program("setsid"),
            ],
            limit_strikes,
        ),
        case(
            "filter_is_gone",
            &[
                Need::UserNamespaces,
                Need::Program("dbus-daemon"),
                Need::Program("xdg-dbus-proxy"),
            ],
            filter_is_gone,
        ),
        case("when", DESKTOP, when),
        case("nobody_there", &[Need::Program("setsid")], nobody_there),
    ]
}

/// One call of `Notify`.
#[derive(Clone, Debug, Default)]
pub struct Notice {
    application: String,
    pub summary: String,
    pub body: String,
    pub entry: Option<String>,
}

/// A session bus with a server of notifications.
struct Desktop {
    bus: Child,
    address: String,
    received: Arc<Mutex<Vec<Notice>>>,
}

type Arguments = (
    String,
    u32,
    String,
    String,
    String,
    Vec<String>,
    std::collections::HashMap<String, OwnedVariant>,
    i32,
);

impl Desktop {
    fn start(scene: &Scene) -> Result<Desktop, Box<dyn std::error::Error>> {
        // Below the scene the path may be too long for a socket, or have characters that an address must escape.
        let socket = scene.runtime().join("desktop-bus");
        let address = format!("unix:path={}", socket.display());
        let configuration = scene.write(
            "bus.conf",
            &format!(
                "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
                 \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
                 <busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth>\
                 <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
                 <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>"
            ),
        )?;
        let bus = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg(format!("--config-file={}", configuration.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()) // it complains of limits that it may not raise
            .spawn()?;
        let mut desktop = Desktop {
            bus,
            address: address.clone(),
            received: Arc::default(),
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(&socket).is_err() {
            if Instant::now() > deadline || desktop.bus.try_wait()?.is_some() {
                return Err("dbus-daemon does not start".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let received = Arc::clone(&desktop.received);
        let (ready, is_ready) = std::sync::mpsc::channel();
        thread::spawn(move || {
            // It ends with the bus.
            let _ = zbus::block_on(serve(&address, &received, &ready));
        });
        is_ready.recv_timeout(Duration::from_secs(20))?;
        Ok(desktop)
    }

    fn received(&self) -> Vec<Notice> {
        let received = self.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has come when at least so many have; those that come too late or too often count as well.
    fn wait_for(&self, count: usize) -> Vec<Notice> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.received().len() < count && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(300));
        self.received()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

/// org.freedesktop.DBus.Introspectable of the notification service, as far as it is there.
const DESCRIBED: &str = r#"<node><interface name="org.freedesktop.Notifications"><method name="Notify">
<arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
<arg type="s" direction="in"/><arg type="as" direction="in"/><arg type="a{sv}" direction="in"/><arg type="i" direction="in"/>
<arg type="u" direction="out"/></method></interface></node>"#;

/// The next call that comes over a bus; none once that has ended.
pub async fn next_call(messages: &mut MessageStream) -> zbus::Result<Option<Message>> {
    loop {
        let next = poll_fn(|context| Pin::new(&mut *messages).poll_next(context));
        match next.await.transpose()? {
            Some(message) if message.message_type() != Type::MethodCall => {}
            found => return Ok(found),
        }
    }
}

/// Serves notifications on a bus, until that ends.
pub async fn serve(
    address: &str,
    received: &Mutex<Vec<Notice>>,
    ready: &std::sync::mpsc::Sender<()>,
) -> zbus::Result<()> {
    let connection = zbus::connection::Builder::address(address).build().await?;
    let mut messages = MessageStream::from(&connection);
    connection
        .request_name("org.freedesktop.Notifications")
        .await?;
    let _ = ready.send(());
    while let Some(message) = next_call(&mut messages).await? {
        let header = message.header();
        let called = header.member().map(|member| member.to_string());
        // So that gdbus knows of which types the arguments are.
        if called.as_deref() == Some("Introspect") {
            connection.reply(&header, &DESCRIBED).await?;
            continue;
        }
        if called.as_deref() != Some("Notify") {
            let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
            connection
                .reply_error(&header, unknown, &"there is Notify alone")
                .await?;
            continue;
        }
        let body = message.body();
        let arguments: Result<Arguments, _> = body.deserialize();
        let Ok((application, _, _, summary, body, _, hints, _)) = arguments else {
            let invalid = "org.freedesktop.DBus.Error.InvalidArgs";
            connection
                .reply_error(&header, invalid, &"these are no arguments of Notify")
                .await?;
            continue;
        };
        let entry = hints.get("desktop-entry").map(|entry| format!("{entry:?}"));
        let notice = Notice {
            application,
            summary,
            body,
            entry,
        };
        let number = {
            let mut all = received.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(notice);
            u32::try_from(all.len()).unwrap_or(0)
        };
        connection.reply(&header, &number).await?;
    }
    Ok(())
}

/// As a desktop starts it: without a terminal, on this bus. `setsid` starts the launcher as its child.
fn launched<'a>(scene: &'a Scene, desktop: &Desktop) -> Sandbox<'a> {
    scene
        .sandbox()
        .env("DBUS_SESSION_BUS_ADDRESS", &*desktop.address)
}

const NO_TERMINAL: [&str; 2] = ["setsid", "-w"];

fn not_started(scene: &Scene) -> Outcome {
    let desktop = Desktop::start(scene)?;
    let out = launched(scene, &desktop)
        .profile_text("[process]\nnice = 1\n")?
        .behind(NO_TERMINAL)
        .env(
            "GIO_LAUNCHED_DESKTOP_FILE",
            "/x/applications/org.a-b.desktop",
        )
        .program(["/no/such/<i>program</i>"])
        .run()?;
    out.exits_with(127)?;
    let received = desktop.wait_for(1);
    assert_eq!(received.len(), 1, "{received:?}");
    let notice = &received[0];
    assert_eq!(notice.application, "sandbox");
    assert_eq!(notice.summary, "i> was not started", "{notice:?}");
    assert!(
        notice.body.contains("/no/such/&lt;i&gt;program"),
        "{notice:?}"
    );
    assert!(!notice.body.contains('<'), "{notice:?}");
    assert!(
        notice
            .entry
            .as_ref()
            .is_some_and(|entry| entry.contains("org.a-b")),
        "{notice:?}"
    );

    // A profile with mistakes, for nobody sees the message otherwise.
    let out = launched(scene, &desktop)
        .profile_text("[limits]\nmemry = 1\n")?
        .behind(NO_TERMINAL)
        .program(["true"])
        .run()?;
    out.exits_with(2)?;
    let received = desktop.wait_for(2);
    assert_eq!(received.len(), 2, "{received:?}");
    assert!(received[1].body.contains("profile-1.toml"), "{received:?}");
    assert!(!received[1].body.contains('\u{1b}'), "{received:?}");
    Ok(())
}

fn filter_is_gone(scene: &Scene) -> Outcome {
    let desktop = Desktop::start(scene)?;
    let mut running = launched(scene, &desktop)
        .profile_text("extends = [\"base\"]\n[dbus]\nsession = \"filtered\"\n")?
        .args(["--notify=always", "--report"])
        .program(["sh", "-c", "echo it is up; read line"])
        .on_terminal()
        .spawn()?;
    running.wait_for("it is up\r\n")?;
    let filter = super::dbus::called(&running, "xdg-dbus-proxy");
    nix::sys::signal::kill(filter[0], nix::sys::signal::Signal::SIGKILL)?;
    let received = desktop.wait_for(1);
    running.type_in(b"\n")?;
    let out = running.wait()?;
    out.succeeds()?;
    assert_eq!(received.len(), 1, "{received:?} {out}");
    assert_eq!(received[0].summary, "sh: a part of its sandbox has ended");
    assert_eq!(received[0].body, "the D-Bus filter was killed by signal 9");
    let told = "before it ended: the D-Bus filter was killed by signal 9";
    assert!(out.stdout().contains(told), "{out}");
    Ok(())
}

fn timeout(scene: &Scene) -> Outcome {
    let desktop = Desktop::start(scene)?;
    let out = launched(scene, &desktop)
        .profile_text("[process]\ntimeout = \"1s\"\n")?
        .behind(NO_TERMINAL)
        .program(["sleep", "60"])
        .run()?;
    out.exits_with(143)?;
    let received = desktop.wait_for(1);
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].summary, "sleep: a limit was reached");
    for part in [
        "timeout of 1 s (process.timeout, ",
        "profile-1.toml:2:11",
        "timeout = \"2s\"",
    ] {
        assert!(received[0].body.contains(part), "{received:?}");
    }
    Ok(())
}

/// Many are killed, one after the other, while the program lives on: that is one notification, and it comes early.
fn limit_strikes(scene: &Scene) -> Outcome {
    if scene.host.systemd_user
        || scene.host.swap > 0 && scene.host.lacks(&Need::SwapLimit).is_some()
    {
        return Ok(()); // limits need the host's own bus, or would be swapped away
    }
    let desktop = Desktop::start(scene)?;
    let own = std::env::current_exe()?.display().to_string();
    let swap = if scene.host.lacks(&Need::SwapLimit).is_none() {
        "swap = 0\n"
    } else {
        ""
    };
    let mut run = launched(scene, &desktop)
        .profile_text(&format!("[limits]\nmemory = \"32M\"\n{swap}"))?
        .behind(NO_TERMINAL)
        .program([
            "sh",
            "-c",
            "for i in 1 2 3 4 5 6; do \"$0\" probe memory-hog 104857600 2>/dev/null; done; echo went on; sleep 600",
            &own,
        ])
        .spawn()?;
    run.wait_for("went on")?;
    let received = desktop.wait_for(1);
    assert_eq!(received.len(), 1, "{received:?}");
    for part in [
        "32.0 MiB (limits.memory, ",
        "profile-1.toml:2:10",
        "--memory 64M",
    ] {
        assert!(received[0].body.contains(part), "{received:?}");
    }
    for pid in run.descendants() {
        if std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
    }
    run.wait()?;
    // The end has nothing new to tell.
    let received = desktop.wait_for(2);
    assert_eq!(received.len(), 1, "{received:?}");
    Ok(())
}

fn when(scene: &Scene) -> Outcome {
    let desktop = Desktop::start(scene)?;
    let failing = |options: &[&str]| -> Result<Sandbox<'_>, Box<dyn std::error::Error>> {
        Ok(launched(scene, &desktop)
            .profile_text("[process]\nnice = 1\n")?
            .args(options.iter().copied())
            .program(["/no/such/program"]))
    };
    failing(&["--notify", "never"])?
        .behind(NO_TERMINAL)
        .run()?
        .exits_with(127)?;
    // Somebody sees it on the terminal.
    failing(&[])?.on_terminal().run()?.exits_with(127)?;
    assert_eq!(desktop.wait_for(0).len(), 0);
    failing(&["--notify", "always"])?
        .on_terminal()
        .run()?
        .exits_with(127)?;
    assert_eq!(desktop.wait_for(1).len(), 1);
    failing(&["--dry-run"])?.behind(NO_TERMINAL).run()?;
    assert_eq!(desktop.wait_for(1).len(), 1);
    let out = scene
        .sandbox()
        .without_env("DBUS_SESSION_BUS_ADDRESS")
        .args([
            "--no-profile",
            "--set",
            "process.nice=1",
            "--notify",
            "always",
        ])
        .program(["true"])
        .run()?;
    out.succeeds()?;
    out.complains("there is no session bus")
}

/// A bus that never answers holds nobody up, and what waits for it is gone soon.
fn nobody_there(scene: &Scene) -> Outcome {
    let socket: PathBuf = scene.runtime().join("deaf");
    let _listener = UnixListener::bind(&socket)?;
    let asked = Instant::now();
    let out = scene
        .sandbox()
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={}", socket.display()),
        )
        .profile_text("[process]\nnice = 1\n")?
        .args(["--notify", "always"])
        .behind(NO_TERMINAL)
        .program(["/no/such/program"])
        .run()?;
    out.exits_with(127)?;
    if !scene.host.is_virtual() {
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    }
    // The sender gives up by itself.
    let left = || {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines =
            entries.map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
        let name = b"/no/such/program";
        lines
            .filter(|line| line.windows(name.len()).any(|part| part == name))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    while left() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(left(), 0, "a process that waits for the bus is left");
    Ok(())
}
