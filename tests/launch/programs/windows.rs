//! Programs of the desktop, each started from its entry as a file manager starts it, and its window seen.
//!
//! Those that are not installed are skipped: `tests/install-deps` brings a few small ones, one of a kind.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::dbus::Bus;
use super::super::support::{Case, Finished, Need, Outcome, Scene, case};
use super::browser::Display;

/// A program, its package's entry, and what it is given.
struct Program {
    name: &'static str,
    entry: &'static str,
    /// The document's name; none where it opens none.
    document: &'static str,
    /// Part of the window's line as `xwininfo -tree` has it.
    window: &'static str,
    profile: &'static str,
}

macro_rules! programs {
    ($($case:ident: $name:literal $entry:literal $document:literal $window:literal $profile:literal;)*) => {
        pub fn cases() -> Vec<Case> {
            vec![$(case(
                concat!("window_of_", stringify!($case)),
                &[
                    Need::UserNamespaces,
                    Need::OrdinaryUser, // VLC and xterm do not start as root without what is taken from it
                    Need::Program($name),
                    Need::Program("gio"),
                    Need::Program("dbus-daemon"),
                    Need::Program("Xvfb"),
                    Need::Program("xwininfo"),
                    Need::Program("xwd"),
                ],
                |scene| window(scene, &Program {
                    name: $name,
                    entry: $entry,
                    document: $document,
                    window: $window,
                    profile: $profile,
                }),
            )),*]
        }
    };
}

programs! {
    evince: "evince" "org.gnome.Evince" "page.pdf" "page.pdf" "document-viewer";
    featherpad: "featherpad" "featherpad" "note.txt" "note.txt" "text-editor";
    kate: "kate" "org.kde.kate" "note.txt" "note.txt" "text-editor";
    mousepad: "mousepad" "org.xfce.mousepad" "note.txt" "note.txt" "text-editor";
    mupdf: "mupdf" "mupdf" "page.pdf" "page.pdf" "document-viewer";
    pcmanfm: "pcmanfm" "pcmanfm" "" "(\"pcmanfm\" \"Pcmanfm\")" "file-manager";
    vlc: "vlc" "vlc" "film.y4m" "(\"vlc\" \"vlc\")" "vlc";
    xterm: "xterm" "debian-xterm" "" "(\"xterm\" \"XTerm\")" "terminal";
    zathura: "zathura" "org.pwmt.zathura" "page.pdf" "page.pdf" "document-viewer";
}

/// Long enough for a toolkit's first start on a slow host.
const PATIENCE: Duration = Duration::from_secs(60);
/// A window with text or buttons has more colours than one that stayed empty.
const COLOURS: usize = 8;
/// Letters of bitmap fonts are of one colour.
const COLOURS_OF_A_TERMINAL: usize = 2;

type Fault = Box<dyn Error>;

/// A page with a line of text; readers make the missing table of objects for themselves.
const PAGE: &str = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
    3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n\
    4 0 obj<</Length 38>>stream\nBT /F 24 Tf 40 100 Td (A page) Tj ET  \nendstream endobj\n\
    5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

fn document(name: &str) -> Vec<u8> {
    match name.rsplit_once('.') {
        Some((_, "pdf")) => PAGE.into(),
        Some((_, "y4m")) => {
            let mut film = b"YUV4MPEG2 W64 H64 F5:1 Ip A1:1 C420jpeg\n".to_vec();
            for shade in 0..250_u8 {
                film.extend(b"FRAME\n");
                film.extend([shade; 64 * 64 * 3 / 2]);
            }
            film
        }
        _ => b"A note.\n".into(),
    }
}

fn window(scene: &Scene, program: &Program) -> Outcome {
    let entry = format!("{}.desktop", program.entry);
    let original = format!("/usr/share/applications/{entry}");
    if fs::metadata(&original).is_err() {
        return Err(format!("`{}` is here, but no {original}", program.name).into());
    }
    let ctl = |line: &[&str]| -> Result<Finished, Fault> {
        let ctl = scene.sandboxctl().args(line.iter().copied());
        Ok(ctl.env("XDG_DATA_DIRS", "/usr/share").run()?)
    };
    ctl(&["desktop", "install", program.name])?;
    let ours = scene.home().join(".local/share/applications").join(&entry);
    let opened = scene.home().join("desk").join(program.document);
    fs::create_dir_all(scene.home().join("desk"))?;
    if !program.document.is_empty() {
        fs::write(&opened, document(program.document))?;
    }
    // Without one, programs start a bus that stays.
    let bus = Bus::start(scene)?;
    let display = Display::start(scene)?;
    let launch = scene.command("gio").args(["launch"]).args([&ours]);
    let launch = match program.profile {
        "terminal" => launch,
        _ => launch.args([&opened]),
    };
    let launched = display
        .client(launch)
        .env("XDG_DATA_DIRS", "/usr/share")
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
        .run()?;
    let seen = launched.succeeds().map(|_| ()).and_then(|()| {
        painted(scene, &display, program)?;
        sandboxed(&ctl(&["list", "--json"])?, program)
    });
    let last = ctl(&["list"]).map(|out| out.stdout()).unwrap_or_default();
    // By its own name: another test's sandboxes are in another scene.
    let _ = ctl(&["kill", "--all", program.name]);
    seen.map_err(|why| format!("{}: {why}\n{launched}\n{last}", program.name).into())
}

/// Waits for the window, and for something in it.
fn painted(scene: &Scene, display: &Display, program: &Program) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    let mut last = (String::new(), 0);
    let least = match program.profile {
        "terminal" => COLOURS_OF_A_TERMINAL,
        _ => COLOURS,
    };
    while Instant::now() < deadline {
        let tree = scene.command("xwininfo").args(["-root", "-tree"]);
        last.0 = display.client(tree).run()?.stdout();
        if last.0.contains(program.window) {
            last.1 = colours(display)?;
            if last.1 >= least {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let (windows, colours) = last;
    Err(format!(
        "no window of `{}` in {least} colours but {colours}\n{windows}",
        program.window
    )
    .into())
}

/// How many colours are on the screen (X11/XWDFile.h, in words of 32 bits).
fn colours(display: &Display) -> Result<usize, Fault> {
    let dump = Command::new("xwd")
        .args(["-root", "-silent", "-display", &display.name])
        .env("XAUTHORITY", &display.authority)
        .output()?
        .stdout;
    let field = |number: usize| -> Option<usize> {
        let bytes = dump.get(number * 4..number * 4 + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let start = field(0)
        .zip(field(19))
        .map(|(header, map)| header + map * 12);
    // The server refuses while windows are being made.
    let points = start
        .and_then(|start| dump.get(start..))
        .unwrap_or_default();
    let seen: HashSet<&[u8]> = points.chunks_exact(4).collect();
    Ok(seen.len())
}

fn sandboxed(listed: &Finished, program: &Program) -> Outcome {
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout())?;
    let mut all = listed.as_array().into_iter().flatten();
    let is_it = |line: &serde_json::Value| {
        line["profile"] == program.profile && line["status"] == "running"
    };
    match all.any(is_it) {
        true => Ok(()),
        false => Err(format!("no sandbox of `{}`: {listed:#}", program.profile).into()),
    }
}
