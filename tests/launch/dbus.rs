//! `[dbus]`: a bus of our own with two services, and what of it is reached through the filter; what is left of the filter.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use zbus::MessageStream;

use super::notify::next_call;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, case};

const BUS: &[Need] = &[
    Need::UserNamespaces,
    Need::Program("dbus-daemon"),
    Need::Program("dbus-send"),
    Need::Program("xdg-dbus-proxy"),
];

const SYSTEMD: &[Need] = &[
    Need::UserNamespaces,
    Need::SystemdUser,
    Need::Program("systemd-run"),
    Need::Program("xdg-dbus-proxy"),
];

pub fn cases() -> Vec<Case> {
    vec![
        case("names_are_let_through", BUS, names_are_let_through),
        case("names_are_owned", BUS, names_are_owned),
        case("parts_are_let_through", BUS, parts_are_let_through),
        case("nobody_listens_in", BUS, nobody_listens_in),
        case("none", BUS, none),
        case("host", BUS, host),
        case("killed_launcher", BUS, killed_launcher),
        case("killed_filter", BUS, killed_filter),
        case("background", BUS, background),
        case("portals_know_the_program", BUS, portals_know_the_program),
        case("assistive_programs", BUS, assistive_programs),
        case("without_a_bus", &[Need::UserNamespaces], without_a_bus),
        case("mistakes", &[], mistakes),
        case("risks_are_told", &[], risks_are_told),
        case("filter_is_in_the_scope", SYSTEMD, filter_is_in_the_scope),
        case(
            "service_manager_is_out_of_reach",
            SYSTEMD,
            service_manager_is_out_of_reach,
        ),
    ]
}

/// A session bus with two services, each of which answers any call with what was called.
pub struct Bus {
    daemon: Child,
    socket: PathBuf,
}

impl Bus {
    pub fn start(scene: &Scene) -> Result<Bus, Box<dyn std::error::Error>> {
        let socket = scene.runtime().join("bus");
        let configuration = scene.write(
            "bus.conf",
            &format!(
                "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
                 \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
                 <busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
                 <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
                 <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
                socket.display()
            ),
        )?;
        let daemon = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg(format!("--config-file={}", configuration.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut bus = Bus { daemon, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        // It is there before anybody listens on it.
        while UnixStream::connect(&bus.socket).is_err() {
            if Instant::now() > deadline || bus.daemon.try_wait()?.is_some() {
                return Err("dbus-daemon does not start".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        for name in ["org.test.Good", "org.test.Bad"] {
            bus.serve(name)?;
        }
        Ok(bus)
    }

    /// With one more service.
    fn serve(&self, name: &'static str) -> Outcome {
        let (ready, is_ready) = mpsc::channel();
        let address = self.address();
        // It ends with the bus.
        thread::spawn(move || zbus::block_on(serve(&address, name, &ready)).is_ok());
        Ok(is_ready.recv_timeout(Duration::from_secs(20))?)
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// A sandbox on this bus, with these rules.
    fn sandbox<'a>(&self, scene: &'a Scene, rules: &str) -> std::io::Result<Sandbox<'a>> {
        let profile = format!("extends = [\"base\"]\n[dbus]\n{rules}");
        let sandbox = scene.sandbox().profile_text(&profile)?;
        Ok(sandbox.env("DBUS_SESSION_BUS_ADDRESS", self.address()))
    }

    /// Calls a method from inside.
    fn call(&self, scene: &Scene, rules: &str, call: &[&str]) -> std::io::Result<Finished> {
        let line = [
            "dbus-send",
            "--session",
            "--print-reply",
            "--reply-timeout=5000",
        ];
        self.sandbox(scene, rules)?
            .program(line.iter().chain(call).copied())
            .run()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

async fn serve(address: &str, name: &'static str, ready: &mpsc::Sender<()>) -> zbus::Result<()> {
    let connection = zbus::connection::Builder::address(address).build().await?;
    let mut messages = MessageStream::from(&connection);
    connection.request_name(name).await?;
    let _ = ready.send(());
    while let Some(message) = next_call(&mut messages).await? {
        let header = message.header();
        let part = |part: Option<String>| part.unwrap_or_default();
        let called = format!(
            "{name} was asked {}.{} at {}",
            part(header.interface().map(ToString::to_string)),
            part(header.member().map(ToString::to_string)),
            part(header.path().map(ToString::to_string)),
        );
        let member = part(header.member().map(ToString::to_string));
        let answer = match member.as_str() {
            // Of the accessibility bus, for which this one stands.
            "GetAddress" => address.to_owned(),
            "WhoAmI" => {
                let sender = part(header.sender().map(ToString::to_string));
                identity(&connection, &sender).await?
            }
            _ => called,
        };
        connection.reply(&header, &answer).await?;
    }
    Ok(())
}

/// What portals look at to know who called: the root directory of that process, and what is said of the instance.
async fn identity(connection: &zbus::Connection, sender: &str) -> zbus::Result<String> {
    let (bus, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
    let method = "GetConnectionUnixProcessID";
    let asked = connection.call_method(Some(bus), path, Some(bus), method, &sender);
    let pid: u32 = asked.await?.body().deserialize()?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/root/.flatpak-info"));
    Ok(info.unwrap_or_else(|error| error.to_string()))
}

const GOOD: &[&str] = &["--dest=org.test.Good", "/org/test", "org.test.One.Call"];
const BAD: &[&str] = &["--dest=org.test.Bad", "/org/test", "org.test.One.Call"];
const NAMES: &[&str] = &[
    "--dest=org.freedesktop.DBus",
    "/org/freedesktop/DBus",
    "org.freedesktop.DBus.ListNames",
];

fn names_are_let_through(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let rules = "\"org.test.Good\" = \"talk\"\n";
    let out = bus.call(scene, rules, GOOD)?;
    out.succeeds()?;
    assert!(
        out.stdout()
            .contains("org.test.Good was asked org.test.One.Call at /org/test"),
        "{out}"
    );
    bus.call(scene, rules, BAD)?.exits_with(1)?;
    let out = bus.call(scene, rules, NAMES)?;
    out.succeeds()?;
    assert!(out.stdout().contains("org.test.Good"), "{out}");
    assert!(!out.stdout().contains("org.test.Bad"), "{out}");
    // Who may only see does not talk.
    bus.call(scene, "\"org.test.Good\" = \"see\"\n", GOOD)?
        .exits_with(1)?;
    let out = bus.call(scene, "\"org.test.Good\" = \"see\"\n", NAMES)?;
    assert!(out.stdout().contains("org.test.Good"), "{out}");
    // A filter without rules lets nothing through.
    bus.call(scene, "session = \"filtered\"\n", GOOD)?
        .exits_with(1)?;
    // What was given by a profile below is taken back.
    let out = bus
        .sandbox(scene, rules)?
        .profile_text("[dbus]\nsession = \"filtered\"\n\"org.test.Good\" = \"none\"\n")?
        .program(
            ["dbus-send", "--session", "--print-reply"]
                .iter()
                .chain(GOOD)
                .copied(),
        )
        .run()?;
    out.exits_with(1)?;
    // All names below one.
    bus.call(scene, "\"org.test.*\" = \"talk\"\n", BAD)?
        .succeeds()?;
    Ok(())
}

fn request(name: &str) -> Vec<String> {
    let mut line: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    line.pop();
    line.push("org.freedesktop.DBus.RequestName".to_owned());
    line.push(format!("string:{name}"));
    line.push("uint32:0".to_owned());
    line
}

fn names_are_owned(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let rules = "\"org.test.Own.*\" = \"own\"\n\"org.test.Seen\" = \"talk\"\n";
    for (name, expected) in [
        ("org.test.Own", 0),
        ("org.test.Own.a.b", 0),
        ("org.test.Seen", 1),
        ("org.test.Other", 1),
    ] {
        let line = request(name);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        bus.call(scene, rules, &line)?.exits_with(expected)?;
    }
    Ok(())
}

fn parts_are_let_through(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let rules = "\"org.test.Good(org.test.One.*@/org/test)\" = \"call\"\n";
    bus.call(scene, rules, GOOD)?.succeeds()?;
    for call in [
        ["--dest=org.test.Good", "/org/test", "org.test.Two.Call"],
        ["--dest=org.test.Good", "/org/other", "org.test.One.Call"],
        ["--dest=org.test.Bad", "/org/test", "org.test.One.Call"],
    ] {
        bus.call(scene, rules, &call)?.exits_with(1)?;
    }
    // Having been answered once opens nothing else.
    let out = bus
        .sandbox(scene, rules)?
        .program([
            "sh",
            "-c",
            "dbus-send --session --print-reply --dest=org.test.Good /org/test org.test.One.Call && \
             ! dbus-send --session --print-reply --dest=org.test.Good /org/test org.test.Two.Call",
        ])
        .run()?;
    out.succeeds()?;
    Ok(())
}

fn nobody_listens_in(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let monitor = [
        "--dest=org.freedesktop.DBus",
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus.Monitoring.BecomeMonitor",
        "array:string:",
        "uint32:0",
    ];
    bus.call(scene, "\"org.test.Good\" = \"talk\"\n", &monitor)?
        .exits_with(1)?;
    // Two spellings of asking for what is said to others; CVE-2026-34080 was about those that are not the usual one. On a host
    // where that is open, the launcher says so.
    for rule in ["eavesdrop=true", "eavesdrop='true'"] {
        let call = [
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.AddMatch",
            &format!("string:{rule}"),
        ];
        let out = bus.call(scene, "session = \"filtered\"\n", &call)?;
        if out.code() == 0 {
            out.complains("CVE-2026-34080")?;
        }
    }
    Ok(())
}

fn none(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let socket = bus.socket.display();
    let script = format!(
        "echo \"address=$DBUS_SESSION_BUS_ADDRESS\"; ls -l {socket} 2>&1; dbus-send --bus=unix:path={socket} / a.b.C"
    );
    let out = bus
        .sandbox(scene, "session = \"none\"\n")?
        .program(["sh", "-c", &script])
        .run()?;
    out.exits_with(1)?;
    assert!(out.stdout().starts_with("address=\n"), "{out}");
    assert!(!out.stdout().contains("srw"), "{out}");
    // Also where everything else of the host is shown, and the address is known.
    let script = format!(
        "cat {socket} 2>&1; dbus-send --bus=unix:path={socket} --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames"
    );
    let bare = |rules: &str| -> std::io::Result<Finished> {
        scene
            .sandbox()
            .profile_text(rules)?
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .program(["sh", "-c", &script])
            .run()
    };
    bare("[dbus]\nsession = \"none\"\n")?.exits_with(1)?;
    bare("[filesystem]\n\"/\" = \"read-write\"\n")?.succeeds()?;
    let out = bare("[dbus]\nsession = \"filtered\"\n")?;
    out.succeeds()?;
    assert!(!out.stdout().contains("org.test.Good"), "{out}");
    Ok(())
}

fn host(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let out = bus.call(scene, "session = \"host\"\n", BAD)?;
    out.succeeds()?;
    Ok(())
}

/// The directories of runs that are there now.
fn runs(scene: &Scene) -> Vec<PathBuf> {
    let records = match scene.host.is_root() {
        true => PathBuf::from("/run/sandbox"),
        false => scene.runtime().join("sandbox"),
    };
    let entries = std::fs::read_dir(records.join(".run"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        if Instant::now() > deadline {
            return Err(format!("{what} does not come to pass").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The processes below one whose name begins so.
pub fn called(running: &super::support::sandbox::Running, name: &str) -> Vec<nix::unistd::Pid> {
    let is = |pid: &nix::unistd::Pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.starts_with(name))
    };
    running.descendants().into_iter().filter(is).collect()
}

fn killed_launcher(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let before = runs(scene);
    let mut running = bus
        .sandbox(scene, "\"org.test.Good\" = \"talk\"\n")?
        .program(["sh", "-c", "echo up; exec sleep 600"])
        .spawn()?;
    running.wait_for("up\n")?;
    let filter = called(&running, "xdg-dbus-proxy");
    assert_eq!(filter.len(), 1, "there is no filter");
    let ours = |runs: &[PathBuf]| -> Vec<PathBuf> {
        runs.iter()
            .filter(|run| !before.contains(run))
            .cloned()
            .collect()
    };
    let run = ours(&runs(scene));
    assert_eq!(run.len(), 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&run[0].metadata()?.permissions());
    assert_eq!(mode & 0o777, 0o700);
    running.signal(Signal::SIGKILL)?;
    let _ = running.wait()?;
    wait_until("the end of the filter", || {
        !std::path::Path::new(&format!("/proc/{}", filter[0])).exists()
            || std::fs::read_to_string(format!("/proc/{}/stat", filter[0]))
                .is_ok_and(|stat| stat.contains(") Z "))
    })?;
    // Swept by the next launch, whatever that is about.
    assert!(run[0].exists());
    scene
        .sandbox()
        .args(["--no-profile", "--set", "process.nice=1"])
        .program(["true"])
        .run()?
        .succeeds()?;
    assert!(!run[0].exists(), "`{}` is left", run[0].display());
    // At an orderly end nothing is left.
    bus.call(scene, "\"org.test.Good\" = \"talk\"\n", GOOD)?
        .succeeds()?;
    assert_eq!(ours(&runs(scene)), Vec::<PathBuf>::new());
    Ok(())
}

fn killed_filter(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let mut running = bus
        .sandbox(scene, "\"org.test.Good\" = \"talk\"\n")?
        .program(["sh", "-c", "echo it is up; read line; echo $line"])
        .stdin("")
        .on_terminal()
        .spawn()?;
    running.wait_for("it is up\r\n")?;
    let filter = called(&running, "xdg-dbus-proxy");
    nix::sys::signal::kill(filter[0], Signal::SIGKILL)?;
    running.wait_for("the D-Bus filter was killed by signal 9")?;
    // The program goes on.
    running.type_in(b"still here\n")?;
    let out = running.wait()?;
    out.succeeds()?;
    // Once as it is typed, and once as it is read.
    assert_eq!(out.stdout().matches("still here").count(), 2, "{out}");
    Ok(())
}

fn portals_know_the_program(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    bus.serve("org.freedesktop.portal.Desktop")?;
    let runtime = scene.runtime();
    let ask = [
        "dbus-send --session --print-reply --dest=org.freedesktop.portal.Desktop /org/freedesktop/portal/desktop",
        "org.freedesktop.portal.Settings.WhoAmI",
    ]
    .join(" ");
    let run = |rules: &str, more: &[&str], script: &str| {
        scene
            .sandbox()
            .profile_text(&format!("extends = [\"base\"]\n{rules}"))?
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .args(more.iter().copied())
            .program(["sh", "-c", script])
            .run()
    };
    let portals = "[desktop]\nportals = true\n";
    let out = run(portals, &["--app-id", "org.test.App"], &ask)?;
    out.succeeds()?;
    assert!(out.stdout().contains("name=org.test.App\n"), "{out}");
    assert!(out.stdout().contains("shared=network;\n"), "{out}");
    // Those that have no such name get one of ours, and the entry that portals look for.
    let entry = scene
        .home()
        .join(".local/share/applications/sandbox.some-app.desktop");
    let out = run(portals, &["--app-id", "some-app", "--net", "none"], &ask)?;
    out.succeeds()?;
    assert!(out.stdout().contains("name=sandbox.some-app\n"), "{out}");
    assert!(!out.stdout().contains("shared=network"), "{out}");
    let written = std::fs::read_to_string(&entry)?;
    assert!(written.contains("NoDisplay=true"), "{written}");
    // Somebody's own stays.
    std::fs::write(&entry, "mine")?;
    run(portals, &["--app-id", "some-app"], &ask)?.succeeds()?;
    assert_eq!(std::fs::read_to_string(&entry)?, "mine");
    // As long as it runs, they find a process in its namespaces; and the program itself is told nothing of it.
    let mut running = scene
        .sandbox()
        .profile_text(&format!("extends = [\"base\"]\n{portals}"))?
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
        .program([
            "sh",
            "-c",
            "ls -a / | grep flatpak; readlink /proc/self/ns/mnt; read line",
        ])
        .on_terminal()
        .spawn()?;
    running.wait_for("mnt:[")?;
    let instances = || -> Vec<PathBuf> {
        let all = std::fs::read_dir(runtime.join(".flatpak"))
            .into_iter()
            .flatten()
            .flatten();
        all.map(|entry| entry.path()).collect()
    };
    let known = instances();
    assert_eq!(known.len(), 1, "{known:?}");
    let said: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(known[0].join("bwrapinfo.json"))?)?;
    let process = std::fs::read_link(format!("/proc/{}/ns/mnt", said["child-pid"]));
    running.type_in(b"\n")?;
    let out = running.wait()?;
    out.succeeds()?;
    assert!(!out.stdout().contains("flatpak-info"), "{out}");
    if let Ok(process) = process {
        assert!(
            out.stdout().contains(&*process.to_string_lossy()),
            "{out} {process:?}"
        );
    }
    assert_eq!(instances(), [""; 0].map(PathBuf::from));
    // Without the key nobody is impersonated.
    let rules = "[dbus]\n\"org.freedesktop.portal.Desktop(org.freedesktop.portal.Settings.*)\" = \"talk\"\n";
    let out = run(rules, &["--app-id", "org.test.App"], &ask)?;
    out.succeeds()?;
    assert!(!out.stdout().contains("name="), "{out}");
    // What names another application is not reached.
    let register = ask.replace("portal.Settings.WhoAmI", "host.portal.Registry.Register");
    run(portals, &[], &register)?.exits_with(1)?;
    Ok(())
}

fn assistive_programs(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    bus.serve("org.a11y.Bus")?;
    bus.serve("org.a11y.atspi.Registry")?;
    let ask = |call: &str| {
        let script = format!(
            "dbus-send --bus=\"$AT_SPI_BUS_ADDRESS\" --print-reply --reply-timeout=5000 {call}"
        );
        scene
            .sandbox()
            .profile_text("extends = [\"base\"]\n[desktop]\naccessibility = true\n")?
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .program(["sh", "-c", &script])
            .run()
    };
    let registry = "--dest=org.a11y.atspi.Registry /org/a11y/atspi/";
    let out = ask(&format!(
        "{registry}registry org.a11y.atspi.Registry.GetRegisteredEvents"
    ))?;
    out.succeeds()?;
    out.says("org.a11y.atspi.Registry was asked")?;
    for call in [
        format!("{registry}accessible/root org.a11y.atspi.Accessible.GetChildren"),
        "--dest=org.test.Good /org/test org.a11y.atspi.Text.GetText".to_owned(),
    ] {
        ask(&call)?.exits_with(1)?;
    }
    let out = scene
        .sandbox()
        .profile_text("extends = [\"base\"]\n[desktop]\nnotifications = true\n")?
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
        .env("AT_SPI_BUS_ADDRESS", bus.address())
        .program([
            "sh",
            "-c",
            "echo $NO_AT_BRIDGE $GTK_A11Y $AT_SPI_BUS_ADDRESS",
        ])
        .run()?;
    out.succeeds()?;
    assert_eq!(out.stdout(), "1 none\n");
    Ok(())
}

fn background(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let name = format!("test-{}-dbus", std::process::id());
    let out = bus
        .sandbox(scene, "\"org.test.Good\" = \"talk\"\n")?
        .args(["--background", "--name", &name])
        .program(["sleep", "600"])
        .run()?;
    out.succeeds()?;
    let call = ["dbus-send", "--session", "--print-reply"];
    let inside = |call_of: &[&'static str]| {
        scene
            .sandboxctl()
            .args(["join", &name])
            .program(call.iter().chain(call_of).copied())
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .run()
    };
    let (good, bad) = (inside(GOOD)?, inside(BAD)?);
    let killed = scene.sandboxctl().args(["kill", &name]).run()?;
    wait_until("the end of the run", || runs(scene).is_empty())?;
    killed.succeeds()?;
    good.succeeds()?;
    bad.exits_with(1)?;
    let log = match scene.host.is_root() {
        true => PathBuf::from("/var/log/sandbox"),
        false => scene.home().join(".local/state/sandbox/logs"),
    };
    let _ = std::fs::remove_file(log.join(format!("{name}.log")));
    Ok(())
}

fn without_a_bus(scene: &Scene) -> Outcome {
    let socket = scene.runtime().join("no-bus");
    let out = scene
        .sandbox()
        .profile_text(
            "extends = [\"base\"]\n[dbus]\nsession = \"filtered\"\n\"org.test.Good\" = \"talk\"\n",
        )?
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={}", socket.display()),
        )
        .program(["sh", "-c", "echo \"address=$DBUS_SESSION_BUS_ADDRESS\""])
        .run()?;
    out.succeeds()?;
    out.prints("address=")
}

fn mistakes(scene: &Scene) -> Outcome {
    for (rules, told) in [
        ("\"org\" = \"talk\"\n", "unknown key `org` in `[dbus]`"),
        ("\"org.1x\" = \"talk\"\n", "names nobody on a bus"),
        ("sesion = \"none\"\n", "did you mean `session`?"),
        ("\"org.a.b\" = \"tlak\"\n", "did you mean \"talk\"?"),
        ("\"org.a.b\" = \"call\"\n", "stands in parentheses"),
        ("\"org.a.b(*)\" = \"own\"\n", "cannot be \"own\""),
        (
            "\"org.a.*\" = \"talk\"\n\"org.a.b\" = \"none\"\n",
            "takes away what another rule gives",
        ),
        (
            "\"org.a.b --own=org.c\" = \"talk\"\n",
            "names nobody on a bus",
        ),
    ] {
        let out = scene
            .sandboxctl()
            .args(["check"])
            .args([scene.write("mistake.toml", &format!("[dbus]\n{rules}"))?])
            .run()?;
        assert_ne!(out.code(), 0, "{rules}: {out}");
        out.complains(told)?;
    }
    Ok(())
}

fn risks_are_told(scene: &Scene) -> Outcome {
    for (rules, told) in [
        ("session = \"host\"\n", "can leave the sandbox"),
        (
            "session = \"filtered\"\n\"org.freedesktop.*\" = \"talk\"\n",
            "way out of the sandbox",
        ),
        (
            "\"org.freedesktop.systemd1\" = \"talk\"\n",
            "starts any program outside",
        ),
        (
            "\"org.freedesktop.portal.Desktop\" = \"talk\"\n",
            "org.freedesktop.host.portal.Registry",
        ),
    ] {
        let file = scene.write(
            "risk.toml",
            &format!("degrade = [\"dbus.session\"]\n[dbus]\n{rules}"),
        )?;
        let out = scene.sandboxctl().args(["check"]).args([file]).run()?;
        out.complains(told)?;
    }
    Ok(())
}

/// By the scope portals know who asks them.
fn filter_is_in_the_scope(scene: &Scene) -> Outcome {
    let runtime = format!("/run/user/{}", nix::unistd::geteuid());
    let mut running = scene
        .sandbox()
        .profile_text(
            "extends = [\"base\"]\n[limits]\npids = 100\n[dbus]\nsession = \"filtered\"\n",
        )?
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={runtime}/bus"),
        )
        .program(["sh", "-c", "echo it is up; read line"])
        .on_terminal()
        .spawn()?;
    running.wait_for("it is up\r\n")?;
    let filter = called(&running, "xdg-dbus-proxy");
    assert_eq!(filter.len(), 1, "there is no filter");
    let group = std::fs::read_to_string(format!("/proc/{}/cgroup", filter[0]))?;
    let group = group.trim().to_owned();
    running.type_in(b"\n")?;
    running.wait()?.succeeds()?;
    let scope = group.strip_suffix("/keep").unwrap_or_default();
    assert!(
        scope.contains("/app-sandbox-sh") && scope.ends_with(".scope"),
        "{group}"
    );
    let path = scope.rsplit_once("::").map_or("", |(_, path)| path);
    wait_until("the end of the scope", || {
        !std::path::Path::new(&format!("/sys/fs/cgroup{path}")).exists()
    })
}

fn service_manager_is_out_of_reach(scene: &Scene) -> Outcome {
    let runtime = format!("/run/user/{}", nix::unistd::geteuid());
    let marker = scene.home().join("started-outside");
    let start = format!(
        "systemd-run --user --wait --collect touch {} 2>&1; \
         XDG_RUNTIME_DIR={runtime} systemd-run --user --wait --collect touch {0} 2>&1; \
         DBUS_SESSION_BUS_ADDRESS=unix:path={runtime}/bus systemd-run --user --wait --collect touch {0} 2>&1; \
         ls {runtime}/systemd 2>&1; true",
        marker.display()
    );
    let run = |rules: &str| {
        scene
            .sandbox()
            .profile_text(rules)?
            .env("XDG_RUNTIME_DIR", &*runtime)
            .env(
                "DBUS_SESSION_BUS_ADDRESS",
                format!("unix:path={runtime}/bus"),
            )
            .program(["sh", "-c", &start])
            .run()
    };
    for rules in [
        "[dbus]\nsession = \"filtered\"\n\"org.freedesktop.Notifications\" = \"talk\"\n",
        "[dbus]\nsession = \"none\"\n",
        "extends = [\"base\"]\n[dbus]\nsession = \"filtered\"\n",
        // In a scope of systemd's, beside whose keeper the filter runs.
        "extends = [\"base\"]\n[limits]\npids = 100\n[dbus]\nsession = \"filtered\"\n",
    ] {
        let out = run(rules)?;
        out.succeeds()?;
        assert!(!marker.exists(), "{rules}: {out}");
    }
    // It would have worked.
    run("[dbus]\nsession = \"host\"\n")?.succeeds()?;
    assert!(marker.exists());
    Ok(())
}
