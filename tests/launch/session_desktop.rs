//! A desktop's session in a throwaway machine: an X server and a compositor without screens, the user's own bus and service
//! manager, entries of packages, and the ways in which desktops start them. It changes the home of whoever runs it, and files
//! below /usr/local, so that it runs nowhere else.

use std::cell::RefCell;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::notify::{Notice, serve};
use super::programs::browser::Display;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, binary, case};

const DESKTOP: &[Need] = &[
    Need::File("/vm/settings"), // of tests/vm
    Need::OrdinaryUser,
    Need::UserNamespaces,
    Need::SystemdUser,
    Need::Program("sudo"),
    Need::Program("xdg-dbus-proxy"),
    Need::Program("Xvfb"),
    Need::Program("Xephyr"),
    Need::Program("xwininfo"),
    Need::Program("xwd"),
    Need::Program("xterm"),
    Need::Program("gio"),
    Need::Program("gdbus"),
    Need::Program("gtk-launch"),
    Need::Program("gtk3-widget-factory"),
    Need::Program("gtk3-demo-application"),
    Need::Program("weston"),
    Need::Program("wayland-info"),
];

pub fn cases() -> Vec<Case> {
    vec![
        case("an_icon_opens_a_window", DESKTOP, an_icon_opens_a_window),
        case("gtk_launch_on_wayland", DESKTOP, gtk_launch_on_wayland),
        case("the_bus_starts_it", DESKTOP, the_bus_starts_it),
        case("inside", DESKTOP, inside),
        case("nothing_runs_outside", DESKTOP, nothing_runs_outside),
        case("failures_are_told", DESKTOP, failures_are_told),
        case("packages_are_followed", DESKTOP, packages_are_followed),
    ]
}

type Fault = Box<dyn Error>;

/// An emulated processor needs that long for a program with a toolkit.
const PATIENCE: Duration = Duration::from_secs(90);

fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>, Fault>) -> Result<T, Fault> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: not seen in {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

// ------------------------------------------------------------------------------------------------ the session

/// A session with an X server; what is put into it is taken away with it.
struct Desk<'a> {
    scene: &'a Scene,
    display: Display,
    wayland: Option<super::support::sandbox::Running>,
    home: PathBuf,
    runtime: PathBuf,
    bin: PathBuf,
    made: RefCell<Vec<PathBuf>>,
}

impl<'a> Desk<'a> {
    fn new(scene: &'a Scene) -> Result<Self, Fault> {
        let bin = scene.folder().join("bin");
        fs::create_dir(&bin)?;
        for name in ["sandbox", "sandboxctl"] {
            fs::copy(binary(name), bin.join(name))?;
        }
        let desk = Desk {
            scene,
            display: Display::start(scene)?,
            wayland: None,
            home: std::env::var_os("HOME").ok_or("HOME is not set")?.into(),
            runtime: format!("/run/user/{}", nix::unistd::geteuid()).into(),
            bin,
            made: RefCell::default(),
        };
        desk.announce()?;
        Ok(desk)
    }

    /// Tells the bus and the service manager where the displays are, as desktops do when they start.
    fn announce(&self) -> Outcome {
        let authority = self.display.authority.display();
        let line = self.client("dbus-update-activation-environment");
        let line = line.args([
            "--systemd".to_owned(),
            format!("DISPLAY={}", self.display.name),
        ]);
        let line = line.args([format!("XAUTHORITY={authority}")]);
        line.run()?.succeeds()?;
        Ok(())
    }

    /// With a compositor beside the X server.
    fn with_wayland(mut self, options: &[&str]) -> Result<Self, Fault> {
        let line = self.client("weston").without_env("DISPLAY");
        let line = line
            .args(["--backend=headless-backend.so", "--socket=wayland-1"])
            .args([
                "--use-pixman",
                "--idle-time=0",
                "--width=800",
                "--height=600",
            ])
            .args(options.iter().copied())
            .limit(PATIENCE * 3);
        self.wayland = Some(line.spawn()?);
        let socket = self.runtime.join("wayland-1");
        until("the compositor's socket", || {
            Ok(socket.exists().then_some(()))
        })?;
        Ok(self)
    }

    /// A program of the session.
    fn client(&self, program: impl AsRef<Path>) -> Sandbox<'a> {
        let bus = format!("unix:path={}/bus", self.runtime.display());
        let line = self.display.client(self.scene.command(program));
        let line = [
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME",
        ]
        .iter()
        .fold(line, |line, name| line.without_env(name))
        .env("HOME", &self.home)
        .env("XDG_RUNTIME_DIR", &self.runtime)
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .in_folder(&self.home);
        match self.wayland {
            Some(_) => line.env("WAYLAND_DISPLAY", "wayland-1"),
            None => line,
        }
    }

    fn ctl(&self, line: &[&str]) -> Result<Finished, Fault> {
        let out = self.client(self.bin.join("sandboxctl"));
        Ok(out.args(line.iter().copied()).run()?)
    }

    fn profile(&self, name: &str, text: &str) -> Result<PathBuf, Fault> {
        let folder = self.home.join(".config/sandbox/profiles");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.toml"));
        fs::write(&path, format!("extends = [\"desktop-app\"]\n{text}"))?;
        self.made.borrow_mut().push(path.clone());
        Ok(path)
    }

    /// A file as a package brings it.
    fn packaged(&self, path: &str, mode: &str, text: &str) -> Outcome {
        let line = self.client("sudo");
        let line = line.args(["install", "-D", "-m", mode, "/dev/stdin", path]);
        line.stdin(text).run()?.succeeds()?;
        self.made.borrow_mut().push(path.into());
        Ok(())
    }

    fn launch(&self, program: &str, entry: impl AsRef<OsStr>) -> Outcome {
        let line = self.client(program);
        let line = match program {
            "gio" => line.args(["launch"]),
            _ => line,
        };
        line.args([entry.as_ref()]).run()?.succeeds()?;
        Ok(())
    }

    /// Our copy of an entry.
    fn entry(&self, name: &str) -> PathBuf {
        self.home.join(".local/share/applications").join(name)
    }

    /// The sandbox of a profile, which is to come up: the process 1 in it.
    fn sandboxed(&self, profile: &str) -> Result<i64, Fault> {
        let pid = until(&format!("a sandbox of {profile}"), || {
            let listed: Value = serde_json::from_str(&self.ctl(&["list", "--json"])?.stdout())?;
            let mut all = listed.as_array().into_iter().flatten();
            let found = all.find(|line| {
                let named = line["profile"].as_str().unwrap_or_default();
                named.contains(profile) && line["status"] == "running"
            });
            Ok(found.and_then(|line| line["pid"].as_i64()))
        })?;
        // Its namespaces are not ours to look at; its numbers in them, and what holds it, are.
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = |key: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(key));
            found.unwrap_or_default().split_whitespace().count()
        };
        assert!(line("NSpid:") >= 2, "{status}");
        assert!(
            status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"),
            "{status}"
        );
        Ok(pid)
    }

    /// Waits for a window on the display, by what is said of it.
    fn window(&self, text: &str) -> Outcome {
        until(&format!("a window of {text}"), || {
            let out = self.client("xwininfo").args(["-root", "-tree"]).run()?;
            Ok(out.stdout().contains(text).then_some(()))
        })
    }

    fn picture(&self) -> Result<Picture, Fault> {
        let out = std::process::Command::new("xwd")
            .args(["-root", "-silent", "-display", &self.display.name])
            .env("XAUTHORITY", &self.display.authority)
            .output()?;
        Picture::of_dump(&out.stdout).ok_or_else(|| "xwd gives no picture".into())
    }

    /// Waits until so many points differ from an earlier picture, in so many colours.
    fn painted(&self, name: &str, before: &Picture, points: usize, colours: usize) -> Outcome {
        let mut last = (0, 0);
        let seen = until("a picture", || {
            let now = self.picture()?;
            last = now.beyond(before);
            Ok((last.0 >= points && last.1 >= colours).then_some(now))
        });
        let seen = seen.map_err(|why| format!("{why}; {last:?} of {points} {colours}"))?;
        println!("{name}: {} points in {} colours", last.0, last.1);
        seen.keep(name)
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        let listed = self.ctl(&["list", "--json"]).map(|out| out.stdout());
        let listed: Value = serde_json::from_str(&listed.unwrap_or_default()).unwrap_or_default();
        for sandbox in listed.as_array().into_iter().flatten() {
            let name = sandbox["name"].as_str().unwrap_or_default();
            let _ = self.ctl(&["kill", "--all", name]);
        }
        let _ = self.ctl(&["desktop", "remove", "--all"]);
        for path in self.made.borrow().iter() {
            let _ = self.client("sudo").args(["rm", "-f"]).args([path]).run();
        }
        if let Some(wayland) = self.wayland.take() {
            let _ = wayland.signal(Signal::SIGTERM);
            let _ = wayland.wait();
        }
    }
}

/// A picture of a display: points of red, green and blue.
struct Picture {
    width: usize,
    points: Vec<[u8; 3]>,
}

impl Picture {
    /// Of what `xwd` writes (X11/XWDFile.h) for a screen of 24 bits in words of 32.
    fn of_dump(dump: &[u8]) -> Option<Self> {
        let field = |number: usize| {
            let bytes = dump.get(number * 4..number * 4 + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        };
        let (width, height, line) = (field(4)?, field(5)?, field(12)?);
        let start = field(0)? + field(19)? * 12;
        let mut points = Vec::with_capacity(width * height);
        for row in 0..height {
            let row = dump.get(start + row * line..start + row * line + width * 4)?;
            points.extend(row.chunks_exact(4).map(|p| [p[2], p[1], p[0]]));
        }
        Some(Self { width, points })
    }

    /// How many points are not as before, and in how many colours.
    fn beyond(&self, before: &Self) -> (usize, usize) {
        let pairs = self.points.iter().zip(&before.points);
        let mut new: Vec<_> = pairs
            .filter(|(now, then)| now != then)
            .map(|(now, _)| now)
            .collect();
        let count = new.len();
        new.sort_unstable();
        new.dedup();
        (count, new.len())
    }

    /// For people, where they ask for it.
    fn keep(&self, name: &str) -> Outcome {
        let Some(folder) = std::env::var_os("SANDBOX_TEST_PICTURES") else {
            return Ok(());
        };
        let height = self.points.len() / self.width.max(1);
        let mut file = format!("P6 {} {height} 255\n", self.width).into_bytes();
        file.extend(self.points.iter().flatten());
        fs::create_dir_all(&folder)?;
        Ok(fs::write(
            Path::new(&folder).join(format!("{name}.ppm")),
            file,
        )?)
    }
}

/// The server of notifications of this session, which all cases share.
fn notices() -> Result<Vec<Notice>, Fault> {
    static SERVER: OnceLock<Arc<Mutex<Vec<Notice>>>> = OnceLock::new();
    if SERVER.get().is_none() {
        let received = Arc::clone(SERVER.get_or_init(Arc::default));
        let address = format!("unix:path=/run/user/{}/bus", nix::unistd::geteuid());
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || zbus::block_on(serve(&address, &received, &ready)).is_ok());
        is_ready.recv_timeout(PATIENCE)?;
    }
    let server = SERVER.get().ok_or("no server")?;
    Ok(server
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone())
}

// ------------------------------------------------------------------------------------------------ entries

fn an_icon_opens_a_window(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.profile(
        "deskterm",
        "programs = [\"xterm\"]\n[limits]\npids = 200\n[desktop]\nwayland = \"none\"\nx11 = \"nested\"\nx11-screen = \"500x400\"\n",
    )?;
    let out = desk.ctl(&["desktop", "install", "xterm"])?;
    out.succeeds()?;
    assert!(desk.entry("debian-xterm.desktop").exists(), "{out}");
    let before = desk.picture()?;
    desk.launch("gio", desk.entry("debian-xterm.desktop"))?;
    desk.sandboxed("deskterm")?;
    desk.window("Xephyr")?;
    desk.painted("xterm", &before, 50_000, 1)?;
    // By its scope portals know who asks.
    let filter = until("the filter", || {
        let all = fs::read_dir("/proc")?.flatten();
        let mut filters = all.filter(|entry| {
            fs::read_to_string(entry.path().join("comm"))
                .is_ok_and(|name| name == "xdg-dbus-proxy\n")
        });
        Ok(filters.next().map(|entry| entry.path()))
    })?;
    let group = fs::read_to_string(filter.join("cgroup"))?;
    assert!(
        group.contains(r"/app-sandbox-debian\x2dxterm-")
            && group.trim_end().ends_with(".scope/keep"),
        "{group}"
    );
    desk.ctl(&["desktop", "check"])?.succeeds()?;
    Ok(())
}

fn gtk_launch_on_wayland(scene: &Scene) -> Outcome {
    // So that it gives pictures of the screen to anybody.
    let desk = Desk::new(scene)?.with_wayland(&["--debug"])?;
    desk.profile(
        "deskgtk",
        "programs = [\"gtk3-widget-factory\"]\n[desktop]\nwayland = \"auto\"\nx11 = \"none\"\n",
    )?;
    desk.ctl(&["desktop", "install", "gtk3-widget-factory"])?
        .succeeds()?;
    let shot = || -> Result<u64, Fault> {
        let folder = scene.folder().join("shot");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        let line = desk.client("weston-screenshooter").in_folder(&folder);
        line.run()?.succeeds()?;
        let file = fs::read_dir(&folder)?
            .flatten()
            .next()
            .ok_or("no picture")?;
        if let Some(kept) = std::env::var_os("SANDBOX_TEST_PICTURES") {
            fs::create_dir_all(&kept)?;
            fs::copy(file.path(), Path::new(&kept).join("gtk-on-wayland.png"))?;
        }
        Ok(file.metadata()?.len())
    };
    let before = shot()?;
    desk.launch("gtk-launch", "gtk3-widget-factory")?;
    desk.sandboxed("deskgtk")?;
    // A picture with a window full of buttons does not become as small.
    let mut after = 0;
    until("the window in a picture", || {
        after = shot()?;
        Ok((after > before + 5_000).then_some(()))
    })
    .map_err(|why| format!("{why}: {before} and {after} bytes"))?;
    println!("pictures: {before} bytes without the window, {after} with it");
    Ok(())
}

const ACTIVATED: &str = "org.gtk.Demo2";

fn the_bus_starts_it(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.profile(
        "deskbus",
        "programs = [\"gtk3-demo-application\"]\n[desktop]\nwayland = \"none\"\nx11 = \"host\"\n[dbus]\n\"org.gtk.Demo2\" = \"own\"\n",
    )?;
    desk.packaged(
        "/usr/local/share/applications/org.gtk.Demo2.desktop",
        "644",
        "[Desktop Entry]\nType=Application\nName=Widgets\nExec=gtk3-demo-application\nDBusActivatable=true\n",
    )?;
    desk.packaged(
        "/usr/local/share/dbus-1/services/org.gtk.Demo2.service",
        "644",
        "[D-BUS Service]\nName=org.gtk.Demo2\nExec=/usr/bin/gtk3-demo-application --gapplication-service\n",
    )?;
    desk.ctl(&["desktop", "install", "gtk3-demo-application"])?
        .succeeds()?;
    let entry = fs::read_to_string(desk.entry("org.gtk.Demo2.desktop"))?;
    assert!(entry.contains("DBusActivatable=false"), "{entry}");
    let activate = desk.client("gdbus").args([
        "call",
        "--session",
        "--timeout=90",
        "--dest",
        ACTIVATED,
        "--object-path=/org/gtk/Demo2",
        "--method=org.freedesktop.Application.Activate",
        "@a{sv} {}",
    ]);
    activate.run()?.succeeds()?;
    desk.sandboxed("deskbus")?;
    desk.window("gtk3-demo-application")
}

// ------------------------------------------------------------------------------------------------ from inside

const SECRET: &str = "a window of somebody else";

fn inside(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?.with_wayland(&[])?;
    notices()?;
    let result = scene.folder().join("result");
    fs::create_dir(&result)?;
    let marker = desk.home.join("started-outside");
    let script = format!(
        "#!/bin/sh\nexec >{out}/new 2>&1\n\
         notify() {{ gdbus call --session --timeout=20 --dest org.freedesktop.Notifications --object-path /org/freedesktop/Notifications \
         --method org.freedesktop.Notifications.Notify inside 0 '' 'from inside' text '[]' '{{}}' 1; echo \"allowed: $?\"; }}\n\
         ask() {{ dbus-send --session --print-reply --reply-timeout=5000 --dest=$1 / org.freedesktop.DBus.Peer.Ping; echo \"$1: $?\"; }}\n\
         systemd-run --user --wait --collect touch {marker}; echo \"systemd-run: $?\"\n\
         XDG_RUNTIME_DIR={runtime} systemd-run --user --wait --collect touch {marker}; echo \"systemd-run again: $?\"\n\
         notify\nask org.freedesktop.systemd1\nask org.freedesktop.impl.portal.PermissionStore\nask ca.desrt.dconf\n\
         xwininfo -root -tree | sed 's/^/own: /'\n\
         DISPLAY={display} xwininfo -root -tree; echo \"theirs: $?\"\n\
         cd /tmp; weston-screenshooter; echo \"picture: $? $(ls /tmp/*.png 2>/dev/null)\"\n\
         wayland-info | grep interface: | sed 's/.*interface: //;s/,.*//'; echo wayland: $WAYLAND_DISPLAY\n\
         mv {out}/new {out}/all\n",
        out = result.display(),
        marker = marker.display(),
        runtime = desk.runtime.display(),
        display = desk.display.name,
    );
    desk.packaged("/usr/local/bin/desk-inside", "755", &script)?;
    desk.packaged(
        "/usr/local/share/applications/desk-inside.desktop",
        "644",
        "[Desktop Entry]\nType=Application\nName=Inside\nExec=desk-inside\n",
    )?;
    desk.profile(
        "deskinside",
        &format!(
            "programs = [\"desk-inside\"]\n[filesystem]\n\"{}\" = \"read-write\"\n[desktop]\nx11 = \"virtual\"\n",
            result.display()
        ),
    )?;
    desk.ctl(&["desktop", "install", "desk-inside"])?
        .succeeds()?;
    let other = desk.client("xterm").args(["-title", SECRET]).spawn()?;
    desk.window(SECRET)?;
    desk.launch("gtk-launch", "desk-inside")?;
    let said = until("the end of the program", || {
        Ok(fs::read_to_string(result.join("all")).ok())
    });
    other.signal(Signal::SIGTERM)?;
    other.wait()?;
    let said = said.map_err(|why| {
        format!(
            "{why}: {}",
            fs::read_to_string(result.join("new")).unwrap_or_default()
        )
    })?;
    println!("{said}");
    assert!(!marker.exists(), "{said}");
    for refused in [
        "systemd-run",
        "systemd-run again",
        "org.freedesktop.systemd1",
        "org.freedesktop.impl.portal.PermissionStore",
        "ca.desrt.dconf",
        "theirs",
    ] {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{refused}: ")));
        assert!(
            line.is_some_and(|status| status != "0"),
            "{refused}\n{said}"
        );
    }
    assert!(said.contains("\nallowed: 0\n"), "{said}");
    assert!(
        notices()?
            .iter()
            .any(|notice| notice.summary == "from inside")
    );
    assert!(said.contains("own: ") && !said.contains(SECRET), "{said}");
    // This compositor gives pictures of the screen to its own programs alone.
    let picture = said
        .lines()
        .find_map(|line| line.strip_prefix("picture: "))
        .unwrap_or("0");
    assert!(picture.trim() != "0" && !picture.contains(".png"), "{said}");
    assert!(
        said.contains("\nwl_compositor\n") || said.contains("\n'wl_compositor'\n"),
        "{said}"
    );
    assert!(said.contains("wayland: wayland-0"), "{said}");
    Ok(())
}

// ------------------------------------------------------------------------------------------------ what is gone

/// A program that leaves a file in the home that it finds, and its entry and profile.
fn marking(desk: &Desk<'_>) -> Result<PathBuf, Fault> {
    desk.packaged(
        "/usr/local/bin/desk-mark",
        "755",
        "#!/bin/sh\necho ran >\"$HOME/desk-ran\"\n",
    )?;
    desk.packaged(
        "/usr/local/share/applications/desk-mark.desktop",
        "644",
        "[Desktop Entry]\nType=Application\nName=Mark\nExec=desk-mark\n",
    )?;
    let profile = desk.profile(
        "deskmark",
        "programs = [\"desk-mark\"]\n[desktop]\nwayland = \"none\"\nx11 = \"none\"\n",
    )?;
    desk.ctl(&["desktop", "install", "desk-mark"])?.succeeds()?;
    Ok(profile)
}

fn nothing_runs_outside(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    let profile = marking(&desk)?;
    let outside = desk.home.join("desk-ran");
    let inside = || {
        let private = desk.home.join(".local/share/sandbox/private");
        let out = desk
            .client("find")
            .args([private])
            .args(["-name", "desk-ran"])
            .run()?;
        Ok((!out.stdout().is_empty()).then_some(()))
    };
    desk.ctl(&["desktop", "check"])?.succeeds()?;
    desk.launch("gtk-launch", "desk-mark")?;
    until("that it ran inside", inside)?;
    assert!(!outside.exists());
    let away = scene.folder().join("away");
    for (what, path, weight) in [
        ("profile", profile, "broken: "),
        ("launcher", desk.bin.join("sandbox"), "broken: "),
        ("desk-mark", "/usr/local/bin/desk-mark".into(), ""),
    ] {
        let rename = |from: &Path, to: &Path| -> Outcome {
            desk.client("sudo")
                .args(["mv", "-T"])
                .args([from, to])
                .run()?
                .succeeds()?;
            Ok(())
        };
        rename(&path, &away)?;
        let out = desk.ctl(&["desktop", "check"])?;
        println!("{what}:\n{out}");
        out.exits_with(1)?;
        assert!(
            out.stdout().contains(what) && out.stdout().contains(weight),
            "{out}"
        );
        // Whether the launch is said to have failed is theirs.
        let _ = desk.client("gtk-launch").args(["desk-mark"]).run()?;
        let _ = desk
            .client("gio")
            .args(["launch"])
            .args([desk.entry("desk-mark.desktop")])
            .run()?;
        thread::sleep(Duration::from_secs(4));
        assert!(!outside.exists(), "without the {what} it ran outside");
        rename(&away, &path)?;
        desk.ctl(&["desktop", "check"])?.succeeds()?;
    }
    // It would have shown.
    desk.client("/usr/local/bin/desk-mark").run()?.succeeds()?;
    assert!(outside.exists());
    Ok(fs::remove_file(outside)?)
}

fn failures_are_told(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    let before = notices()?.len();
    let profile = marking(&desk)?;
    fs::write(&profile, "programs = [\"desk-mark\"]\n[limits]\npidz = 3\n")?;
    desk.launch("gtk-launch", "desk-mark")?;
    let told = until("a notification", || Ok(notices()?.get(before).cloned()))?;
    println!("{told:?}");
    assert!(told.summary.ends_with("was not started"), "{told:?}");
    assert!(told.body.contains("pidz"), "{told:?}");
    assert!(told.entry.is_some_and(|entry| entry.contains("desk-mark")));
    assert!(!desk.home.join("desk-ran").exists());
    Ok(())
}

fn packages_are_followed(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.profile("followed", "programs = [\"xterm\"]\n")?;
    desk.ctl(&["desktop", "install", "--all", "--follow"])?
        .succeeds()?;
    let text = "[Desktop Entry]\nType=Application\nName=New\nExec=xterm\n";
    desk.packaged(
        "/usr/local/share/applications/org.test.New.desktop",
        "644",
        text,
    )?;
    let ours = desk.entry("org.test.New.desktop");
    let written = until("our copy of a new entry", || {
        Ok(fs::read_to_string(&ours).ok())
    })?;
    assert!(written.contains("--app-id=org.test.New"), "{written}");
    desk.ctl(&["desktop", "remove", "--all"])?.succeeds()?;
    let state = desk
        .client("systemctl")
        .args(["--user", "is-active", "sandbox-desktop.path"]);
    assert_ne!(state.run()?.code(), 0);
    assert!(!ours.exists());
    Ok(())
}
