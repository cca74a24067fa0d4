//! `[desktop]`: which displays, sockets and variables the program finds, on a host that has an X server, a compositor of our
//! own making, and a sound server that is only a socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::programs::browser::Display;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, case};

const X: &[Need] = &[
    Need::UserNamespaces,
    Need::Program("Xvfb"),
    Need::Program("xwininfo"),
    Need::Program("xdpyinfo"),
    Need::Program("xeyes"),
];

const PLAIN: &[Need] = &[Need::UserNamespaces];

const NESTED: &[Need] = &[
    Need::UserNamespaces,
    Need::Program("Xvfb"),
    Need::Program("xwininfo"),
    Need::Program("xdpyinfo"),
    Need::Program("xeyes"),
    Need::Program("Xephyr"),
];

pub fn cases() -> Vec<Case> {
    vec![
        case("host_x_server", X, host_x_server),
        case("no_x_server", X, no_x_server),
        case("virtual_x_server", X, virtual_x_server),
        case("nested_x_server", NESTED, nested_x_server),
        case("servers_at_once", X, servers_at_once),
        case("other_cookies_stay_out", X, other_cookies_stay_out),
        case("isolated_wayland", PLAIN, isolated_wayland),
        case("wayland_without_contexts", PLAIN, wayland_without_contexts),
        case("silent_compositor", PLAIN, silent_compositor),
        case(
            "weston_has_no_contexts",
            &[Need::UserNamespaces, Need::Program("weston")],
            weston_has_no_contexts,
        ),
        case("sound", PLAIN, sound),
        case("agents", PLAIN, agents),
        case("nothing_unless_said", PLAIN, nothing_unless_said),
        case("rules_about_paths_win", PLAIN, rules_about_paths_win),
        case("mistakes", &[], mistakes),
    ]
}

/// A sandbox with the files of the system, and these words about the desktop.
fn sandbox<'a>(scene: &'a Scene, words: &str) -> std::io::Result<Sandbox<'a>> {
    let profile = format!("extends = [\"base\"]\n[desktop]\n{words}");
    let sandbox = scene.sandbox().profile_text(&profile)?;
    // As it is without a desktop, whatever runs these tests.
    Ok(
        ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "SSH_AUTH_SOCK"]
            .iter()
            .fold(sandbox, |sandbox, name| sandbox.without_env(name))
            .limit(Duration::from_secs(60)),
    )
}

fn shell<'a>(sandbox: Sandbox<'a>, script: &str) -> Sandbox<'a> {
    sandbox.program(["sh", "-c", script])
}

// ------------------------------------------------------------------------------------------------ X

/// What another client shows on the display, by its title.
const SECRET: &str = "a window of somebody else";

/// A window with that title, as long as this lives.
struct Window(std::process::Child);

impl Window {
    fn open(display: &Display) -> Result<Self, Box<dyn std::error::Error>> {
        let child = std::process::Command::new("xeyes")
            .args(["-title", SECRET])
            .env("DISPLAY", &display.name)
            .env("XAUTHORITY", &display.authority)
            .spawn()?;
        let window = Self(child);
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(100));
            let seen = std::process::Command::new("xwininfo")
                .args(["-root", "-tree"])
                .env("DISPLAY", &display.name)
                .env("XAUTHORITY", &display.authority)
                .output()?;
            if String::from_utf8_lossy(&seen.stdout).contains(SECRET) {
                return Ok(window);
            }
        }
        Err("the window does not open".into())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a text is somewhere in its output.
fn says(out: &Finished, text: &str) -> Outcome {
    match out.stdout().contains(text) {
        true => Ok(()),
        false => Err(format!("`{text}` was not printed: {out}").into()),
    }
}

const LOOK: &str = "xwininfo -root -tree 2>&1; echo sockets: $(ls -A /tmp/.X11-unix 2>/dev/null); echo display: $DISPLAY;
    echo files: $(ls -A $XDG_RUNTIME_DIR)";

fn host_x_server(scene: &Scene) -> Outcome {
    let display = Display::start(scene)?;
    let _window = Window::open(&display)?;
    let out = shell(display.client(sandbox(scene, "x11 = \"host\"\n")?), LOOK).run()?;
    out.succeeds()?;
    says(&out, SECRET)?;
    says(&out, "files: Xauthority")?;
    // Its socket alone, under a number that nobody else has.
    let stdout = out.stdout();
    let number = stdout
        .lines()
        .find_map(|line| line.strip_prefix("display: :"))
        .ok_or("no display")?;
    assert_ne!(format!(":{number}"), display.name, "{out}");
    says(&out, &format!("sockets: X{number}\n"))?;
    // Where Wayland shows nothing, it is the fallback.
    let words = "wayland = \"auto\"\nx11 = \"fallback\"\n";
    let out = shell(display.client(sandbox(scene, words)?), LOOK).run()?;
    says(&out, SECRET)
}

fn no_x_server(scene: &Scene) -> Outcome {
    let display = Display::start(scene)?;
    let _window = Window::open(&display)?;
    // The section alone, without a word about abstract sockets, and with the caller's files in sight.
    if scene.host.lacks(&Need::Landlock(6)).is_none() {
        let line = scene
            .sandbox()
            .profile_text("[desktop]\nx11 = \"none\"\n")?;
        let script = format!("DISPLAY={} xwininfo -root 2>&1", display.name);
        let out = shell(display.client(line), &script)
            .env("XAUTHORITY", &display.authority)
            .run()?;
        out.exits_with(1)?;
        says(&out, "unable to open display")?;
    }
    for words in ["x11 = \"none\"\n", "fonts = true\n"] {
        let line = shell(display.client(sandbox(scene, words)?), LOOK);
        let out = line.run()?;
        assert!(!out.stdout().contains(SECRET), "{words}: {out}");
        says(&out, "sockets:\ndisplay:\nfiles:\n")?;
        // Knowing where it is and what opens it helps nobody: neither the file nor the abstract socket is there.
        let script = format!(
            "cat > /tmp/cookie; XAUTHORITY=/tmp/cookie DISPLAY={} xwininfo -root 2>&1",
            display.name
        );
        let cookie = std::fs::read(&display.authority)?;
        let line = shell(sandbox(scene, words)?, &script).stdin(cookie);
        let out = line.run()?;
        if scene.host.lacks(&Need::Landlock(6)).is_none() {
            out.exits_with(1)?;
            says(&out, "unable to open display")?;
        }
    }
    Ok(())
}

/// Looks at a server of the sandbox's own, while there is another one with a window.
fn own_x_server(scene: &Scene, words: &str) -> Outcome {
    let display = Display::start(scene)?;
    let _window = Window::open(&display)?;
    let before = sockets();
    let script = format!(
        "{LOOK}; xdpyinfo | grep dimensions; XAUTHORITY=/nowhere xdpyinfo 2>&1; echo ${{DISPLAY#:}} >/tmp/x; cat /tmp/x"
    );
    let out = shell(display.client(sandbox(scene, words)?), &script).run()?;
    assert!(!out.stdout().contains(SECRET), "{out}");
    says(&out, "Root window id")?;
    says(&out, "dimensions:    800x600")?;
    says(&out, "files: Xauthority")?;
    // Without the cookie there is nothing.
    says(&out, "unable to open display")?;
    let stdout = out.stdout();
    let number = stdout.lines().last().ok_or("no display")?;
    assert_ne!(format!(":{number}"), display.name);
    says(&out, &format!("sockets: X{number}\n"))?;
    // It leaves nothing behind.
    assert_eq!(sockets(), before, "{out}");
    assert!(!Path::new(&format!("/tmp/.X{number}-lock")).exists());
    Ok(())
}

fn sockets() -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir("/tmp/.X11-unix").into_iter().flatten();
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    // Other tests come and go with theirs; those of sandboxes have larger numbers.
    names.retain(|name| name.len() > 3);
    names.sort();
    names
}

fn virtual_x_server(scene: &Scene) -> Outcome {
    own_x_server(scene, "x11 = \"virtual\"\nx11-screen = \"800x600\"\n")
}

fn nested_x_server(scene: &Scene) -> Outcome {
    own_x_server(scene, "x11 = \"nested\"\nx11-screen = \"800x600\"\n")
}

fn servers_at_once(scene: &Scene) -> Outcome {
    let started: Result<Vec<_>, _> = (0..3)
        .map(|_| {
            let line = sandbox(scene, "x11 = \"virtual\"\n")?;
            shell(line, "xdpyinfo | head -1; sleep 1").spawn()
        })
        .collect();
    for running in started? {
        let out = running.wait()?;
        out.succeeds()?;
        says(&out, "name of display")?;
    }
    Ok(())
}

fn other_cookies_stay_out(scene: &Scene) -> Outcome {
    let display = Display::start(scene)?;
    // A second entry, for another display.
    let mut file = std::fs::read(&display.authority)?;
    let one = file.len();
    file.extend([0xff, 0xff, 0, 0, 0, 2, b'9', b'9', 0, 18]);
    file.extend(b"MIT-MAGIC-COOKIE-1");
    file.extend([0, 16]);
    file.extend(b"not to be seen!!");
    std::fs::write(&display.authority, &file)?;
    let line = shell(
        display.client(sandbox(scene, "x11 = \"host\"\n")?),
        "xdpyinfo >/dev/null && wc -c <$XAUTHORITY; cat $XAUTHORITY",
    );
    let out = line.run()?;
    out.succeeds()?;
    says(&out, &format!("{one}\n"))?;
    assert!(!out.stdout().contains("not to be seen"), "{out}");
    Ok(())
}

// ------------------------------------------------------------------------------------------------ Wayland

/// A compositor with nothing but a registry, for so many clients.
struct Compositor {
    socket: PathBuf,
    thread: Option<JoinHandle<Vec<u8>>>,
}

const MANAGER: &str = "wp_security_context_manager_v1";

impl Compositor {
    /// Answers syncs, and lists these interfaces. What it hears is what it returns in the end.
    fn start(
        scene: &Scene,
        interfaces: &'static [&'static str],
        clients: usize,
    ) -> std::io::Result<Self> {
        let socket = scene.runtime().join("wayland-7");
        let listener = UnixListener::bind(&socket)?;
        let thread = thread::spawn(move || {
            let mut heard = Vec::new();
            for _ in 0..clients {
                if let Ok((stream, _)) = listener.accept() {
                    heard.extend(serve(stream, interfaces).unwrap_or_default());
                }
            }
            heard
        });
        Ok(Self {
            socket,
            thread: Some(thread),
        })
    }

    fn client<'a>(&self, line: Sandbox<'a>) -> Sandbox<'a> {
        line.env("WAYLAND_DISPLAY", "wayland-7")
    }

    fn heard(&mut self) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let thread = self.thread.take().ok_or("asked twice")?;
        thread.join().map_err(|_| "the compositor failed".into())
    }
}

fn message(object: u32, opcode: u16, arguments: &[u8]) -> Vec<u8> {
    let length = u32::try_from(arguments.len() + 8).unwrap_or(0) << 16;
    let mut out = object.to_ne_bytes().to_vec();
    out.extend((length | u32::from(opcode)).to_ne_bytes());
    out.extend(arguments);
    out
}

fn serve(mut stream: UnixStream, interfaces: &[&str]) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map(u32::from_ne_bytes).unwrap_or(0)
    };
    let mut heard = Vec::new();
    let mut next = 0;
    let mut bytes = [0; 4096];
    loop {
        // Descriptors beside the bytes are thrown away by the kernel.
        let length = stream.read(&mut bytes)?;
        if length == 0 {
            return Ok(heard);
        }
        heard.extend(&bytes[..length]);
        while heard.len() >= next + 8 {
            let (object, head) = (word(&heard, next), word(&heard, next + 4));
            let (length, opcode) = ((head >> 16) as usize, head & 0xffff);
            if length < 8 || heard.len() < next + length {
                break;
            }
            let id = word(&heard, next + 8);
            match (object, opcode) {
                (1, 0) => stream.write_all(&message(id, 0, &[0; 4]))?,
                (1, 1) => {
                    for (name, interface) in (1u32..).zip(interfaces) {
                        let mut arguments = name.to_ne_bytes().to_vec();
                        let text = u32::try_from(interface.len() + 1).unwrap_or(0);
                        arguments.extend(text.to_ne_bytes());
                        arguments.extend(interface.bytes());
                        arguments.push(0);
                        arguments.resize(arguments.len().next_multiple_of(4), 0);
                        arguments.extend(1u32.to_ne_bytes());
                        stream.write_all(&message(id, 0, &arguments))?;
                    }
                }
                _ => {}
            }
            next += length;
        }
    }
}

const WAYLAND: &str = "echo $WAYLAND_DISPLAY $XDG_SESSION_TYPE; stat -c %F $XDG_RUNTIME_DIR/*; env | grep WAYLAND_SOCKET";

fn isolated_wayland(scene: &Scene) -> Outcome {
    for word in ["isolated", "auto"] {
        // One client that asks, and one that makes the socket.
        let mut compositor = Compositor::start(scene, &["wl_compositor", MANAGER], 2)?;
        let words = format!("wayland = \"{word}\"\n");
        let line = compositor.client(sandbox(scene, &words)?);
        let out = shell(line.env("WAYLAND_SOCKET", "3"), WAYLAND).run()?;
        says(&out, "wayland-0 wayland\nsocket\n")?;
        assert_eq!(out.stderr(), "");
        let heard = compositor.heard()?;
        let said = |text: &str| {
            heard
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        assert!(said(MANAGER) && said("sh\0"), "{heard:?}");
        std::fs::remove_file(&compositor.socket)?;
    }
    Ok(())
}

fn wayland_without_contexts(scene: &Scene) -> Outcome {
    let compositor = Compositor::start(scene, &["wl_compositor"], 3)?;
    let line = compositor.client(sandbox(scene, "wayland = \"isolated\"\n")?);
    let out = shell(line, "echo ran").run()?;
    out.exits_with(125)?;
    out.complains("cannot be told of a sandbox")?;
    assert!(!out.stdout().contains("ran"));
    let line = compositor.client(sandbox(scene, "wayland = \"auto\"\n")?);
    let out = shell(line, WAYLAND).run()?;
    // Not at every start; who asks is told.
    assert_eq!(out.stderr(), "");
    let line = compositor.client(sandbox(scene, "wayland = \"auto\"\n")?);
    let plan = shell(line.args(["--dry-run"]), WAYLAND).run()?;
    assert!(
        plan.stdout().contains("does not keep sandboxes apart"),
        "{plan}"
    );
    says(&out, "wayland-0 wayland\nsocket\n")?;
    let line = compositor.client(sandbox(scene, "wayland = \"host\"\n")?);
    let out = shell(line, WAYLAND).run()?;
    says(&out, "wayland-0 wayland\nsocket\n")?;
    assert_eq!(out.stderr(), "");
    Ok(())
}

fn silent_compositor(scene: &Scene) -> Outcome {
    // It takes clients, and closes at once: it might be able to.
    let listener = UnixListener::bind(scene.runtime().join("wayland-7"))?;
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(stream)
        }
    });
    for word in ["isolated", "auto"] {
        let line = sandbox(scene, &format!("wayland = \"{word}\"\n"))?;
        let out = shell(line.env("WAYLAND_DISPLAY", "wayland-7"), "echo ran").run()?;
        out.exits_with(125)?;
        out.complains("cannot be asked")?;
    }
    Ok(())
}

fn weston_has_no_contexts(scene: &Scene) -> Outcome {
    let mut weston = scene
        .command("weston")
        .args([
            "--backend=headless-backend.so",
            "--socket=wayland-w",
            "--idle-time=0",
        ])
        .limit(Duration::from_secs(60))
        .spawn()?;
    let socket = scene.runtime().join("wayland-w");
    for _ in 0..200 {
        if socket.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let line = sandbox(scene, "wayland = \"auto\"\n")?.env("WAYLAND_DISPLAY", "wayland-w");
    let out = shell(line, WAYLAND).run();
    let _ = weston.type_in(b"");
    weston.signal(nix::sys::signal::Signal::SIGTERM)?;
    weston.wait()?;
    let out = out?;
    assert_eq!(out.stderr(), "");
    says(&out, "wayland-0 wayland\nsocket\n")
}

// ------------------------------------------------------------------------------------------------ others

fn sound(scene: &Scene) -> Outcome {
    std::fs::create_dir(scene.runtime().join("pulse"))?;
    let _pulse = UnixListener::bind(scene.runtime().join("pulse/native"))?;
    let _pipewire = UnixListener::bind(scene.runtime().join("pipewire-0"))?;
    let look =
        "cd $XDG_RUNTIME_DIR; echo $(find . ! -type d | sort) \"$PULSE_SERVER $PIPEWIRE_REMOTE\"";
    let runtime = scene.runtime();
    let server = format!("unix:{}/pulse/native", runtime.display());
    for (words, expected) in [
        ("audio = \"none\"\n", " \n".to_owned()),
        ("audio = \"pulse\"\n", format!("./pulse/native {server} \n")),
        (
            "audio = \"pipewire\"\n",
            format!("./pipewire-0 ./pulse/native {server} pipewire-0\n"),
        ),
    ] {
        let out = shell(sandbox(scene, words)?, look).run()?;
        out.succeeds()?;
        assert_eq!(out.stdout(), expected, "{words}: {out}");
    }
    Ok(())
}

fn agents(scene: &Scene) -> Outcome {
    let theirs = scene.folder().join("agent.1");
    let _agent = UnixListener::bind(&theirs)?;
    std::fs::create_dir(scene.runtime().join("gnupg"))?;
    let full = UnixListener::bind(scene.runtime().join("gnupg/S.gpg-agent"))?;
    let _extra = UnixListener::bind(scene.runtime().join("gnupg/S.gpg-agent.extra"))?;
    drop(full);
    let look = "cd $XDG_RUNTIME_DIR; find . ! -type d | sort; echo \"${SSH_AUTH_SOCK##*/}\"";
    for (words, expected) in [
        ("fonts = true\n", "\n"),
        ("ssh-agent = true\n", "./ssh-agent\nssh-agent\n"),
        ("gpg-agent = \"restricted\"\n", "./gnupg/S.gpg-agent\n\n"),
    ] {
        let line = sandbox(scene, words)?.env("SSH_AUTH_SOCK", &theirs);
        let out = shell(line, look).run()?;
        assert_eq!(out.stdout(), expected, "{words}: {out}");
    }
    Ok(())
}

/// The section alone, without `base`: what it does not show is not there, and nothing else changes.
fn nothing_unless_said(scene: &Scene) -> Outcome {
    let _socket = UnixListener::bind(scene.runtime().join("anything"))?;
    scene.write("home/.themes/mine/index.theme", "x")?;
    let look = "ls -A $XDG_RUNTIME_DIR; ls -d /tmp/.X11-unix/* 2>/dev/null; echo $NO_AT_BRIDGE; cat ~/.themes/mine/index.theme";
    let line = scene.sandbox().profile_text("[desktop]\nfonts = true\n")?;
    let out = shell(line.env("DISPLAY", ":0"), look).run()?;
    assert_eq!(out.stdout(), "1\nx", "{out}");
    let home = "extends = [\"base\"]\n[filesystem]\n\"~\" = \"tmpfs\"\n[desktop]\n";
    for (words, seen) in [("themes = true\n", true), ("themes = false\n", false)] {
        let line = scene.sandbox().profile_text(&format!("{home}{words}"))?;
        let out = shell(
            line,
            "cat ~/.themes/mine/index.theme; touch ~/.themes/mine/new",
        )
        .run()?;
        assert_eq!(out.stdout() == "x", seen, "{out}");
        assert_ne!(out.code(), 0, "{out}");
    }
    Ok(())
}

fn rules_about_paths_win(scene: &Scene) -> Outcome {
    std::fs::create_dir(scene.runtime().join("pulse"))?;
    let _pulse = UnixListener::bind(scene.runtime().join("pulse/native"))?;
    let words = "audio = \"pulse\"\n[filesystem]\n\"${XDG_RUNTIME_DIR}/pulse/native\" = \"hidden\"\n[environment]\nPULSE_SERVER = \"none\"\n";
    let out = shell(
        sandbox(scene, words)?,
        "find $XDG_RUNTIME_DIR ! -type d; echo $PULSE_SERVER",
    )
    .run()?;
    assert_eq!(out.stdout(), "none\n", "{out}");
    Ok(())
}

fn mistakes(scene: &Scene) -> Outcome {
    let out = sandbox(scene, "x11 = \"nested\"\n")?
        .program(["true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("there is no display to show a nested X server on")?;
    let out = sandbox(scene, "x11 = \"virtual\"\nx11-screen = \"big\"\n")?
        .program(["true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("`big` is no size of a screen")?;
    let out = sandbox(scene, "x11 = \"yes\"\n")?.program(["true"]).run()?;
    out.exits_with(2)?;
    out.complains("x11")
}
