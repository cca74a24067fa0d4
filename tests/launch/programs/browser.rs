//! Firefox: a picture of a page, and a window on a display of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::support::sandbox::Running;
use super::super::support::{Case, Need, Outcome, Sandbox, Scene, case};
use super::{PATIENCE, has_browser_limits, process, script};

pub fn cases() -> Vec<Case> {
    vec![
        case("firefox_home", &[Need::UserNamespaces], firefox_home),
        case(
            "firefox_takes_a_picture",
            &[Need::UserNamespaces, Need::Program("firefox-esr")],
            firefox_takes_a_picture,
        ),
        case(
            "firefox_opens_a_window",
            &[
                Need::UserNamespaces,
                Need::Program("firefox-esr"),
                Need::Program("Xvfb"),
                Need::Program("xwininfo"),
            ],
            firefox_opens_a_window,
        ),
    ]
}

/// Its profile comes by its name. Root's Firefox must be another user inside, see `web-browser`.
fn firefox(scene: &Scene) -> Sandbox<'_> {
    let line = scene.sandbox().limit(PATIENCE);
    if scene.host.is_root() {
        line.args(["--set", "user.uid=1000", "--set", "user.gid=1000"])
    } else {
        line
    }
}

/// A page in the Downloads directory, and its address.
fn page(scene: &Scene) -> io::Result<(PathBuf, String)> {
    let text = "<!DOCTYPE html><title>A page</title><body style='background: teal'><h1>Seen</h1>";
    let path = scene.write("home/Downloads/page.html", text)?;
    let address = format!("file://{}", path.display());
    Ok((path, address))
}

/// What any program sees as this profile's home.
fn firefox_home(scene: &Scene) -> Outcome {
    page(scene)?;
    scene.write("home/.ssh/id_ed25519", "key")?;
    scene.write("home/.mozilla/firefox/profiles.ini", "")?;
    scene.write("home/documents/letter", "")?;
    let look = "cd; try ssh test -e .ssh; try profile test -e .mozilla; try documents test -e documents
        try page cat Downloads/page.html; try save touch Downloads/saved; try keep touch kept; try system touch /usr/x";
    let out = script(scene, "firefox", look).run()?;
    out.succeeds()?.answers(&[
        ("ssh", "no"),
        ("profile", "no"),
        ("documents", "no"),
        ("page", "ok"),
        ("save", "ok"),
        ("keep", "ok"),
        ("system", "no"),
    ])?;
    assert!(scene.home().join("Downloads/saved").exists());
    assert!(!scene.home().join("kept").exists());
    // Kept from run to run.
    let out = script(scene, "firefox", "cd; try kept test -e kept").run()?;
    out.answers(&[("kept", "ok")])
}

fn firefox_takes_a_picture(scene: &Scene) -> Outcome {
    let (page, address) = page(scene)?;
    let picture = page.with_file_name("picture.png");
    let line = [
        "firefox-esr",
        "--headless",
        "--window-size=400,300",
        "--screenshot",
    ]
    .map(str::to_owned);
    let out = firefox(scene)
        .program(
            line.into_iter()
                .chain([picture.display().to_string(), address]),
        )
        .run()?;
    out.succeeds()?;
    let bytes = fs::read(&picture).map_err(|error| format!("{error}\n{out}"))?;
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{out}");
    assert!(bytes.len() > 1000, "{} bytes\n{out}", bytes.len());
    let size = bytes.get(16..24).ok_or("no header")?;
    assert_eq!(size, [0, 0, 1, 0x90, 0, 0, 1, 0x2c], "{out}");
    // Its settings went where the profile says, not into the home directory.
    let kept = scene
        .home()
        .join(".local/share/sandbox/private/firefox/home");
    let settings = [".mozilla", ".config/mozilla"]; // old versions, new ones
    assert!(
        settings.iter().any(|name| kept.join(name).exists()),
        "{out}"
    );
    assert!(
        !settings.iter().any(|name| scene.home().join(name).exists()),
        "{out}"
    );
    Ok(())
}

/// An X server without a screen. Ended as it wants to be, so that it removes its socket and its lock.
pub struct Display {
    server: Option<Running>,
    pub name: String,
    pub authority: PathBuf,
    made_sockets: bool,
}

const SOCKETS: &str = "/tmp/.X11-unix";

impl Display {
    pub fn start(scene: &Scene) -> Result<Display, Box<dyn std::error::Error>> {
        let cookie = fs::read("/proc/sys/kernel/random/uuid")?;
        let cookie = cookie.get(..16).ok_or("no random bytes")?;
        let made_sockets = !Path::new(SOCKETS).exists();
        let authority = scene.folder().join("authority");
        fs::write(&authority, entry(cookie))?;
        let mut server = scene
            .command("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-nolisten",
                "tcp",
                "-screen",
                "0",
                "800x600x24",
                "-auth",
            ])
            .args([&authority])
            .limit(PATIENCE * 3) // longer than its client
            .spawn()?;
        server.wait_for("\n")?;
        let name = format!(":{}", server.stdout_so_far().trim());
        Ok(Display {
            server: Some(server),
            name,
            authority,
            made_sockets,
        })
    }

    /// `line` as a client of this display.
    pub fn client<'a>(&self, line: Sandbox<'a>) -> Sandbox<'a> {
        line.env("DISPLAY", &self.name)
            .env("XAUTHORITY", &self.authority)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(server) = self.server.take()
            && server.signal(Signal::SIGTERM).is_ok()
        {
            let _ = server.wait();
        }
        if self.made_sockets {
            let _ = fs::remove_dir(SOCKETS); // stays if another display came to use it
        }
    }
}

/// A line of an authority file, for any host and any display (Xau(3): FamilyWild, no address, no number).
fn entry(cookie: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xff];
    for field in [b"".as_slice(), b"", b"MIT-MAGIC-COOKIE-1", cookie] {
        bytes.extend(u16::try_from(field.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(field);
    }
    bytes
}

fn firefox_opens_a_window(scene: &Scene) -> Outcome {
    let (_, address) = page(scene)?;
    let display = Display::start(scene)?;
    let windows = || -> io::Result<String> {
        let out = display
            .client(scene.command("xwininfo").args(["-root", "-tree"]))
            .run()?;
        out.succeeds()
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(out.stdout())
    };
    assert!(!windows()?.contains("Navigator"));
    // Without the cookie nobody gets in, so what Firefox is shown of it is what lets it.
    let stranger = scene
        .command("xwininfo")
        .args(["-root"])
        .env("DISPLAY", &display.name);
    assert_ne!(stranger.env("XAUTHORITY", "/dev/null").run()?.code(), 0);

    let run = display
        .client(firefox(scene))
        .program(["firefox-esr", &address])
        .limit(PATIENCE * 2)
        .spawn()?;
    let deadline = Instant::now() + PATIENCE;
    // The launcher itself takes a moment until it has a child; later a missing one has ended.
    let ended_if_alone = Instant::now() + PATIENCE / 6;
    let seen = loop {
        let text = windows()?;
        if text.contains("A page") && text.contains("\"Navigator\"") {
            break Ok(());
        }
        let now = Instant::now();
        if now > deadline || (now > ended_if_alone && run.descendants().is_empty()) {
            break Err(text);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let limited = if seen.is_ok() && scene.host.lacks(&Need::Limits).is_none() {
        process(&run, "firefox-esr")
            .map_err(Into::into)
            .and_then(|pid| has_browser_limits(scene, pid, Some("2048")))
    } else {
        Ok(())
    };
    run.signal(Signal::SIGTERM)?;
    let out = run.wait()?;
    seen.map_err(|text| format!("no window\n{text}\n{out}"))?;
    limited.map_err(|error| format!("{error}\n{out}"))?;
    // It may close its windows and go, or be ended by the signal.
    assert!(matches!(out.code(), 0 | 143), "{out}");
    Ok(())
}
