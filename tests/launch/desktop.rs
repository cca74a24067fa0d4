//! Desktop entries: copies that lead into sandboxes, through the command line, in homes and data directories of our own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Case, Finished, Need, Outcome, Scene, binary, case};

pub fn cases() -> Vec<Case> {
    vec![
        case("corpus", &[Need::Program("desktop-file-validate")], corpus),
        case(
            "glib_hands_over_the_same",
            &[Need::Program("gio")],
            glib_hands_over_the_same,
        ),
        case("foreign_files_come_back", &[], foreign_files_come_back),
        case("edits_are_kept", &[], edits_are_kept),
        case("refresh_follows", &[], refresh_follows),
        case(
            "nothing_opens_the_door_without_a_word",
            &[],
            nothing_opens_the_door_without_a_word,
        ),
        case("services_and_autostart", &[], services_and_autostart),
        case(
            "the_bus_starts_the_sandbox",
            &[Need::Program("dbus-daemon"), Need::Program("dbus-send")],
            the_bus_starts_the_sandbox,
        ),
        case("commands", &[], commands),
        case("packages_are_followed", &[], packages_are_followed),
        case("hostile_files", &[], hostile_files),
        case(
            "links_are_not_written_through",
            &[],
            links_are_not_written_through,
        ),
        case(
            "root_writes_into_no_home_of_others",
            &[Need::Root],
            root_writes_into_no_home_of_others,
        ),
        case("what_does_not_exist", &[], what_does_not_exist),
        case("removed_by_one_name", &[], removed_by_one_name),
    ]
}

/// Every fixture below `tests/desktop/entries`: name and bytes.
static FIXTURES: &[(&str, &[u8])] = &include!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/desktop/list.rs"
));

const PROFILE: &str = "programs = [\"argdump\"]\n[limits]\nopen-files = 100\n";
const ENTRY: &str = "[Desktop Entry]\nType=Application\nName=Example\nName[de]=Beispiel\nExec=argdump %f\nMimeType=text/plain;\n";

/// Programs and directories of data, beside a scene's home.
struct Desk<'a> {
    scene: &'a Scene,
}

impl<'a> Desk<'a> {
    /// `sandboxctl` beside a launcher that only takes its options off, and a program that writes down what it is given.
    fn new(scene: &'a Scene) -> io::Result<Desk<'a>> {
        let desk = Desk { scene };
        desk.program("sandbox", "while [ \"$1\" != -- ]; do case $1 in --env) export \"$2\"; shift;; esac; shift; done; shift\nSANDBOXED=yes exec \"$@\"")?;
        desk.program(
            "argdump",
            "printf '%s\\0' \"FOO=$FOO\" \"$@\" >\"$DUMP.new\"; echo \"$SANDBOXED\" >\"$DUMP.sandboxed\"; mv \"$DUMP.new\" \"$DUMP\"",
        )?;
        fs::copy(binary("sandboxctl"), scene.folder().join("bin/sandboxctl"))?;
        scene.install_profile("corpus", PROFILE)?;
        fs::create_dir_all(scene.folder().join("etc/xdg"))?;
        fs::create_dir_all(scene.folder().join("share/applications"))?;
        Ok(desk)
    }

    fn program(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self
            .scene
            .write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn entry(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        self.scene
            .write(&format!("share/applications/{name}"), text)
    }

    fn ours(&self, name: &str) -> PathBuf {
        self.scene
            .home()
            .join(".local/share/applications")
            .join(name)
    }

    fn path(&self) -> String {
        format!(
            "{}:/usr/bin:/bin",
            self.scene.folder().join("bin").display()
        )
    }

    fn ctl(&self, verb: &str, more: &[&str]) -> io::Result<Finished> {
        let folder = self.scene.folder();
        self.scene
            .command(folder.join("bin/sandboxctl"))
            .args(["desktop", verb])
            .args(more.iter().copied())
            .env("PATH", self.path())
            .env("XDG_DATA_DIRS", folder.join("share"))
            .env("XDG_CONFIG_DIRS", folder.join("etc/xdg"))
            .run()
    }

    /// What `check` finds: weight and file name of each.
    fn found(&self) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
        let out = self.ctl("check", &["--json"])?;
        let answer: Value = serde_json::from_str(&out.stdout())?;
        let list = answer["findings"].as_array().cloned().unwrap_or_default();
        assert_eq!(out.code(), i32::from(!list.is_empty()), "{out}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(list
            .iter()
            .map(|finding| {
                let path = text(&finding["path"]);
                (
                    text(&finding["weight"]),
                    path.rsplit('/').next().unwrap_or("").to_owned(),
                )
            })
            .collect())
    }

    /// Everything in the scene: kind and contents.
    fn everything(&self) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut all = BTreeMap::new();
        let mut waiting = vec![self.scene.folder().to_owned()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let found = fs::symlink_metadata(&path)?;
                let what = if found.is_symlink() {
                    format!("-> {}", fs::read_link(&path)?.display()).into_bytes()
                } else if found.is_dir() {
                    waiting.push(path.clone());
                    b"directory".to_vec()
                } else if found.is_file() && found.len() < 1 << 24 {
                    let mut bytes = format!("{:o} ", found.mode()).into_bytes();
                    bytes.extend(fs::read(&path)?);
                    bytes
                } else {
                    b"other".to_vec()
                };
                all.insert(path, what);
            }
        }
        Ok(all)
    }
}

use std::os::unix::fs::MetadataExt;

fn finding(weight: &str, file: &str) -> (String, String) {
    (weight.to_owned(), file.to_owned())
}

fn corpus(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    assert!(FIXTURES.len() >= 60, "{}", FIXTURES.len());
    for (name, bytes) in FIXTURES {
        fs::write(scene.folder().join("share/applications").join(name), bytes)?;
    }
    let before = desk.everything()?;
    let out = desk.ctl("install", &["--all"])?;
    out.exits_with(1)?; // because of those that are refused
    let validate = |path: &Path| -> io::Result<Vec<String>> {
        let out = Command::new("desktop-file-validate")
            .arg("--no-hints")
            .arg(path)
            .output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines = text.lines().filter(|line| line.contains(": error: "));
        Ok(lines
            .map(|line| line.split(": error: ").nth(1).unwrap_or("").to_owned())
            .collect())
    };
    for (name, original) in FIXTURES {
        let ours = desk.ours(name);
        let kind = name.split('-').next().unwrap_or("");
        let told = out.stderr().contains(&format!("/{name}: starts"));
        assert_eq!(
            ours.exists(),
            matches!(kind, "taken" | "loose"),
            "{name}\n{out}"
        );
        assert_eq!(told, kind == "refused", "{name}\n{out}");
        if !ours.exists() {
            continue;
        }
        let copy = fs::read(&ours)?;
        let lines = |bytes: &[u8]| {
            bytes
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        };
        let kept = |line: &Vec<u8>| {
            let text = String::from_utf8_lossy(line).into_owned();
            let key = text
                .trim_start()
                .split(['=', '[', ' '])
                .next()
                .unwrap_or("")
                .to_owned();
            !matches!(key.as_str(), "Exec" | "DBusActivatable") && !text.starts_with("X-Sandbox-")
        };
        let keep = |bytes: &[u8]| lines(bytes).into_iter().filter(kept).collect::<Vec<_>>();
        assert_eq!(keep(&copy), keep(original), "{name}");
        if kind == "taken" {
            assert_eq!(validate(&ours)?, Vec::<String>::new(), "{name}");
        } else {
            let worse = validate(&ours)?.len()
                > validate(&scene.folder().join("share/applications").join(name))?.len();
            assert!(!worse, "{name}");
        }
    }
    let again = desk.ctl("install", &["--all"])?;
    assert!(again.stdout().starts_with("nothing to do"), "{again}");
    // What could not be rewritten is what check finds.
    let found = desk.found()?;
    let refused = FIXTURES
        .iter()
        .filter(|(name, _)| name.starts_with("refused-"))
        .count();
    assert_eq!(found.len(), refused, "{found:?}");
    assert!(
        found
            .iter()
            .all(|(weight, name)| weight == "unsandboxed" && name.starts_with("refused-")),
        "{found:?}"
    );
    desk.ctl("remove", &["--all"])?.succeeds()?;
    assert_eq!(desk.everything()?, before);
    Ok(())
}

fn glib_hands_over_the_same(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    for (name, bytes) in FIXTURES {
        fs::write(scene.folder().join("share/applications").join(name), bytes)?;
    }
    desk.ctl("install", &["--all"])?.exits_with(1)?;
    let document = scene.write("a file & 'more' \"$x\".txt", "text")?;
    let dump = scene.folder().join("dump");
    let sandboxed = scene.folder().join("dump.sandboxed");
    let handed = |entry: &Path| -> Result<(Vec<u8>, String), Box<dyn std::error::Error>> {
        let _ = fs::remove_file(&dump);
        let out = scene
            .command("gio")
            .args([
                "launch".into(),
                entry.as_os_str().to_owned(),
                document.clone().into_os_string(),
            ])
            .env("PATH", desk.path())
            .env("DUMP", &dump)
            .env("XDG_DATA_DIRS", scene.folder().join("share"))
            .without_env("DBUS_SESSION_BUS_ADDRESS")
            .run()?;
        let end = Instant::now() + Duration::from_secs(20);
        while !dump.exists() {
            assert!(
                Instant::now() < end,
                "{}: nothing was started\n{out}",
                entry.display()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((fs::read(&dump)?, fs::read_to_string(&sandboxed)?))
    };
    let mut compared = 0;
    for (name, bytes) in FIXTURES {
        let other = bytes.windows(2).any(|pair| pair == b"%k"); // the file's own place
        if !name.starts_with("taken-") || other {
            continue;
        }
        let (theirs, open) = handed(&scene.folder().join("share/applications").join(name))?;
        let (ours, closed) = handed(&desk.ours(name))?;
        assert_eq!(
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&theirs),
            "{name}"
        );
        assert_eq!((open.trim(), closed.trim()), ("", "yes"), "{name}");
        compared += 1;
    }
    assert!(compared >= 50, "{compared}");
    Ok(())
}

fn foreign_files_come_back(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("a.desktop", ENTRY)?;
    // The user's own, one of them a link, and one in a directory.
    fs::create_dir_all(desk.ours("kde"))?;
    fs::write(desk.ours("a.desktop"), ENTRY.replace("Example", "Mine"))?;
    fs::write(desk.ours("kde/c.desktop"), ENTRY)?;
    let elsewhere = scene.write("elsewhere/b.desktop", ENTRY)?;
    symlink(&elsewhere, desk.ours("b.desktop"))?;
    let before = desk.everything()?;
    let out = desk.ctl("install", &["argdump"])?;
    out.succeeds()?;
    for name in ["a.desktop", "b.desktop", "kde/c.desktop"] {
        let text = fs::read_to_string(desk.ours(name))?;
        assert!(
            text.contains("/bin/sandbox --profile corpus"),
            "{name}: {text}"
        );
        assert!(
            !fs::symlink_metadata(desk.ours(name))?.is_symlink(),
            "{name}"
        );
    }
    assert!(fs::read_to_string(desk.ours("a.desktop"))?.contains("Name=Mine"));
    assert_eq!(fs::read_to_string(&elsewhere)?, ENTRY);
    let again = desk.ctl("install", &["argdump"])?;
    assert!(again.stdout().starts_with("nothing to do"), "{again}");
    assert_eq!(desk.found()?, []);
    desk.ctl("remove", &["argdump"])?.succeeds()?;
    assert_eq!(desk.everything()?, before);
    Ok(())
}

fn edits_are_kept(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("a.desktop", ENTRY)?;
    let before = desk.everything()?;
    desk.ctl("install", &["corpus"])?.succeeds()?;
    let edited = fs::read_to_string(desk.ours("a.desktop"))?.replace("Name=Example", "Name=Edited");
    fs::write(desk.ours("a.desktop"), &edited)?;
    for verb in [
        &["refresh"][..],
        &["install", "corpus"],
        &["remove", "corpus"],
    ] {
        let out = desk.ctl(verb[0], &verb[1..])?;
        out.exits_with(1)?;
        assert!(out.stdout().contains("changed by hand"), "{out}");
        assert_eq!(fs::read_to_string(desk.ours("a.desktop"))?, edited);
    }
    // A change that leaves the sandbox is found.
    desk.ctl("install", &["corpus", "--force"])?.succeeds()?;
    fs::write(desk.ours("a.desktop"), ENTRY)?;
    assert_eq!(desk.found()?, [finding("unsandboxed", "a.desktop")]);
    let marked = format!("{ENTRY}X-Sandbox-Source=/x\n");
    fs::write(desk.ours("a.desktop"), marked)?;
    assert!(desk.found()?.contains(&finding("unsandboxed", "a.desktop")));
    desk.ctl("refresh", &["--force"])?.succeeds()?;
    assert_eq!(desk.found()?, []);
    desk.ctl("remove", &["--all"])?.succeeds()?;
    assert_eq!(desk.everything()?, before);
    Ok(())
}

fn refresh_follows(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    let system = desk.entry("a.desktop", ENTRY)?;
    desk.ctl("install", &["argdump"])?.succeeds()?;
    // The package has another version, with one entry more.
    fs::write(&system, ENTRY.replace("Exec=argdump", "Exec=argdump --new"))?;
    desk.entry("b.desktop", ENTRY)?;
    assert_eq!(
        desk.found()?,
        [
            finding("unsandboxed", "b.desktop"),
            finding("stale", "a.desktop")
        ]
    );
    let dry = desk.ctl("refresh", &["--dry-run"])?;
    assert!(
        dry.stdout().contains("would be brought up to date"),
        "{dry}"
    );
    assert_eq!(desk.found()?.len(), 2);
    desk.ctl("refresh", &[])?.succeeds()?;
    assert!(fs::read_to_string(desk.ours("a.desktop"))?.contains("-- "));
    assert!(fs::read_to_string(desk.ours("a.desktop"))?.contains("argdump --new %f"));
    assert_eq!(desk.found()?, []);
    // One entry goes.
    fs::remove_file(&system)?;
    assert_eq!(desk.found()?, [finding("stale", "a.desktop")]);
    desk.ctl("refresh", &[])?.succeeds()?;
    assert!(!desk.ours("a.desktop").exists() && desk.ours("b.desktop").exists());
    // Ours goes.
    fs::remove_file(desk.ours("b.desktop"))?;
    assert!(desk.found()?.contains(&finding("unsandboxed", "b.desktop")));
    desk.ctl("refresh", &[])?.succeeds()?;
    assert_eq!(desk.found()?, []);
    // The whole package goes.
    fs::remove_file(scene.folder().join("bin/argdump"))?;
    assert!(desk.found()?.contains(&finding("broken", "b.desktop")));
    desk.ctl("refresh", &[])?.succeeds()?;
    assert!(!desk.ours("b.desktop").exists());
    Ok(())
}

fn nothing_opens_the_door_without_a_word(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("a.desktop", &format!("{ENTRY}TryExec=argdump\n"))?;
    desk.ctl("install", &["argdump"])?.succeeds()?;
    let profile = scene.home().join(".config/sandbox/profiles/corpus.toml");
    // The profile is gone: the copy stays, through a refresh too, and starts nothing.
    fs::remove_file(&profile)?;
    assert_eq!(desk.found()?, [finding("broken", "a.desktop")]);
    let out = desk.ctl("refresh", &[])?;
    out.exits_with(1)?;
    assert!(out.stdout().contains("it stays"), "{out}");
    assert!(desk.ours("a.desktop").exists());
    // It is not valid.
    fs::write(&profile, PROFILE.replace("open-files", "open-flies"))?;
    assert_eq!(desk.found()?, [finding("broken", "a.desktop")]);
    desk.ctl("refresh", &[])?.exits_with(1)?;
    assert!(desk.ours("a.desktop").exists());
    fs::write(&profile, PROFILE)?;
    assert_eq!(desk.found()?, []);
    // The launcher is gone: desktops do not fall through to the original, for the command begins with another program.
    let launcher = scene.folder().join("bin/sandbox");
    fs::rename(&launcher, scene.folder().join("bin/away"))?;
    let out = desk.ctl("check", &[])?;
    out.exits_with(1)?;
    assert!(
        out.stdout().contains("broken: ")
            && !out.stdout().contains("unsandboxed: ")
            && out.stdout().contains("the launcher"),
        "{out}"
    );
    fs::rename(scene.folder().join("bin/away"), &launcher)?;
    // A second entry for the same program.
    desk.entry("other.desktop", &ENTRY.replace("Example", "Other"))?;
    assert_eq!(desk.found()?, [finding("unsandboxed", "other.desktop")]);
    fs::remove_file(scene.folder().join("share/applications/other.desktop"))?;
    // A unit of the user's systemd.
    let unit = scene.write(
        "home/.config/systemd/user/a.service",
        "[Service]\nExecStart=/usr/bin/argdump --daemon\n",
    )?;
    assert_eq!(desk.found()?, [finding("unsandboxed", "a.service")]);
    scene.write(
        "home/.config/systemd/user/a.service.d/sandbox.conf",
        "[Service]\nExecStart=\nExecStart=/usr/bin/sandbox --profile corpus -- /usr/bin/argdump --daemon\n",
    )?;
    assert_eq!(desk.found()?, []);
    fs::remove_file(unit)?;
    // The program is gone.
    fs::remove_file(scene.folder().join("bin/argdump"))?;
    assert!(desk.found()?.iter().any(|(weight, _)| weight != "stale"));
    Ok(())
}

fn services_and_autostart(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry(
        "org.example.Dump.desktop",
        &format!("{ENTRY}DBusActivatable=true\n"),
    )?;
    scene.write(
        "share/dbus-1/services/any-name.service",
        "[D-BUS Service]\nName=org.example.Dump\nExec=/usr/bin/env A=b argdump --service\nSystemdService=dump.service\n",
    )?;
    scene.write("etc/xdg/autostart/dump.desktop", ENTRY)?;
    let before = desk.everything()?;
    desk.ctl("install", &["argdump"])?.succeeds()?;
    let entry = fs::read_to_string(desk.ours("org.example.Dump.desktop"))?;
    assert!(entry.contains("DBusActivatable=false"), "{entry}");
    let service = fs::read_to_string(
        scene
            .home()
            .join(".local/share/dbus-1/services/org.example.Dump.service"),
    )?;
    assert!(!service.contains("SystemdService"), "{service}");
    assert!(
        service.contains("--env A=b --documents=none -- "),
        "{service}"
    );
    let autostart = fs::read_to_string(scene.home().join(".config/autostart/dump.desktop"))?;
    assert!(autostart.contains("--profile corpus"), "{autostart}");
    assert_eq!(desk.found()?, []);
    // A service that comes before ours.
    let first = scene.write(
        "run/dbus-1/services/x.service",
        "[D-BUS Service]\nName=org.example.Dump\nExec=/usr/bin/argdump\n",
    )?;
    desk.program("../bin2/argdump", "true")?;
    let found = desk.found()?;
    assert_eq!(
        found.len(),
        usize::from(Path::new("/usr/bin/argdump").exists()),
        "{found:?}"
    );
    fs::remove_file(first)?;
    desk.ctl("remove", &["--all"])?.succeeds()?;
    let mut after = desk.everything()?;
    after.retain(|path, _| {
        !path.starts_with(scene.folder().join("bin2")) && !path.starts_with(scene.runtime())
    });
    let mut before = before;
    before.retain(|path, _| !path.starts_with(scene.runtime()));
    assert_eq!(after, before);
    Ok(())
}

fn the_bus_starts_the_sandbox(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    let dump = scene.folder().join("dump");
    scene.write(
        "share/dbus-1/services/org.example.Dump.service",
        "[D-BUS Service]\nName=org.example.Dump\nExec=/usr/bin/env \"FOO=a b\" argdump \"x y\" 5%\n",
    )?;
    desk.ctl("install", &["argdump"])?.succeeds()?;
    let socket = scene.folder().join("bus");
    let config = scene.write(
        "bus.conf",
        &format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><standard_session_servicedirs/>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            socket.display()
        ),
    )?;
    let mut bus = Command::new("dbus-daemon")
        .args(["--nofork", "--nosyslog", "--config-file"])
        .arg(&config)
        .env("DUMP", &dump)
        .env("PATH", desk.path())
        .env("XDG_RUNTIME_DIR", scene.runtime())
        .env("XDG_DATA_HOME", scene.home().join(".local/share"))
        .env("XDG_DATA_DIRS", scene.folder().join("share"))
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let end = Instant::now() + Duration::from_secs(30);
    while !socket.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = scene
        .command("dbus-send")
        .args([
            "--print-reply",
            "--reply-timeout=2000",
            "--dest=org.example.Dump",
            "/",
            "org.example.Dump.Hello",
        ])
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={}", socket.display()),
        )
        .run();
    while !dump.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    bus.kill()?;
    bus.wait()?;
    asked?;
    assert_eq!(
        String::from_utf8_lossy(&fs::read(&dump)?),
        "FOO=a b\0x y\x005%\0"
    );
    assert_eq!(
        fs::read_to_string(scene.folder().join("dump.sandboxed"))?,
        "yes\n"
    );
    Ok(())
}

fn commands(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    let bin = scene.home().join(".local/bin");
    let before = desk.everything()?;
    let out = desk.ctl("install", &["argdump"])?;
    out.exits_with(1)?;
    out.complains("--shims makes a command")?;
    assert_eq!(desk.everything()?, before);
    desk.ctl("install", &["argdump", "--shims"])?.succeeds()?;
    // It is not found first.
    assert_eq!(desk.found()?, [finding("unsandboxed", "argdump")]);
    let dump = scene.folder().join("dump");
    scene
        .command(bin.join("argdump"))
        .args(["a b", "$c"])
        .env("DUMP", &dump)
        .run()?
        .succeeds()?;
    assert_eq!(fs::read(&dump)?, b"FOO=\0a b\0$c\0");
    assert_eq!(
        fs::read_to_string(scene.folder().join("dump.sandboxed"))?,
        "yes\n"
    );
    fs::remove_file(&dump)?;
    fs::remove_file(scene.folder().join("dump.sandboxed"))?;
    desk.ctl("remove", &["argdump"])?.succeeds()?;
    assert_eq!(desk.everything()?, before);
    // A command of the user's is not touched.
    scene.write("home/.local/bin/argdump", "#!/bin/sh\n")?;
    let out = desk.ctl("install", &["argdump", "--shims"])?;
    out.exits_with(1)?;
    assert!(out.stdout().contains("not ours"), "{out}");
    assert_eq!(fs::read_to_string(bin.join("argdump"))?, "#!/bin/sh\n");
    Ok(())
}

fn packages_are_followed(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("x.desktop", ENTRY)?;
    let before = desk.everything()?;
    let units = scene.home().join(".config/systemd/user");
    let installed = desk.ctl("install", &["--all", "--follow"])?;
    installed.succeeds()?;
    let read = |name: &str| fs::read_to_string(units.join(name));
    let service = read("sandbox-desktop.service")?;
    let control = scene.folder().join("bin/sandboxctl");
    let line = format!("ExecStart={} desktop refresh\n", control.display());
    assert!(service.contains(&line), "{service}");
    let watched = scene.folder().join("share/applications");
    let path = read("sandbox-desktop.path")?;
    assert!(
        path.contains(&format!("PathChanged={}\n", watched.display())),
        "{path}"
    );
    assert!(read("default.target.d/sandbox-desktop.conf")?.contains("Wants=sandbox-desktop.path"));
    // Units of the system may start programs that have a profile.
    let ours = |(_, file): &(String, String)| file.starts_with("sandbox-desktop");
    assert!(!desk.found()?.iter().any(ours));
    let again = desk.ctl("refresh", &[])?;
    again.succeeds()?;
    assert!(again.stdout().contains("nothing to do"), "{again}");
    // What somebody has written there stays.
    fs::write(
        units.join("sandbox-desktop.path"),
        "[Path]\nPathChanged=/x\n",
    )?;
    desk.ctl("refresh", &[])?.exits_with(1)?;
    fs::write(units.join("sandbox-desktop.path"), path)?;
    // They go with the last program.
    desk.ctl("remove", &["--all"])?.succeeds()?;
    assert_eq!(desk.everything()?, before);
    Ok(())
}

fn hostile_files(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    let folder = scene.folder().join("share/applications");
    desk.entry("good.desktop", ENTRY)?;
    nix::unistd::mkfifo(&folder.join("pipe.desktop"), nix::sys::stat::Mode::S_IRWXU)?;
    fs::File::create(folder.join("huge.desktop"))?.set_len(1 << 30)?;
    fs::create_dir(folder.join("directory.desktop"))?;
    symlink("loop.desktop", folder.join("loop.desktop"))?;
    symlink("nowhere", folder.join("dangling.desktop"))?;
    symlink("/dev/zero", folder.join("zero.desktop"))?;
    symlink("/dev/tty", folder.join("tty.desktop"))?;
    symlink("..", folder.join("up"))?;
    symlink(".", folder.join("here"))?;
    use std::os::unix::ffi::OsStrExt;
    fs::write(
        folder.join(std::ffi::OsStr::from_bytes(b"bad\xff.desktop")),
        ENTRY,
    )?;
    fs::write(folder.join("line\nExec=evil.desktop"), ENTRY)?;
    fs::write(folder.join("\u{1b}[31m.desktop"), ENTRY)?;
    let started = Instant::now();
    let out = desk.ctl("install", &["good.desktop"])?;
    out.succeeds()?;
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert!(
        !out.stdout().contains('\u{1b}') && !out.stderr().contains('\u{1b}'),
        "{out}"
    );
    assert!(desk.ours("good.desktop").exists());
    let mut names: Vec<_> = fs::read_dir(desk.ours(""))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.retain(|name| name != "mimeinfo.cache");
    assert_eq!(names, ["good.desktop"]);
    Ok(())
}

fn links_are_not_written_through(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("a.desktop", ENTRY)?;
    let target = scene.folder().join("theirs");
    fs::create_dir(&target)?;
    symlink(&target, scene.home().join(".local/share/applications"))?;
    let out = desk.ctl("install", &["argdump"])?;
    out.exits_with(1)?;
    assert!(out.stdout().contains("through a link"), "{out}");
    assert_eq!(fs::read_dir(&target)?.count(), 0);
    Ok(())
}

fn root_writes_into_no_home_of_others(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("a.desktop", ENTRY)?;
    let home = scene.home();
    for folder in ["", ".local", ".local/share", ".local/state", ".config"] {
        std::os::unix::fs::chown(home.join(folder), Some(65534), Some(65534))?;
    }
    let before = desk.everything()?;
    let out = desk.ctl("install", &["argdump"])?;
    out.exits_with(1)?;
    out.complains("belongs to user 65534")?;
    out.complains("--system")?;
    assert_eq!(desk.everything()?, before);
    Ok(())
}

fn what_does_not_exist(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("cat.desktop", &ENTRY.replace("argdump", "cat"))?;
    let before = desk.everything()?;
    for (asked, answer) in [
        ("nosuch", "neither a program with a profile"),
        ("cat", "no profile names"),
        ("cat.desktop", "no profile names the program of"),
        ("thunderbird-that-is-not", "neither"),
    ] {
        let out = desk.ctl("install", &[asked])?;
        out.exits_with(1)?;
        out.complains(answer)?;
    }
    desk.ctl("remove", &["nosuch"])?
        .complains("nothing was installed")?;
    desk.ctl("install", &[])?.exits_with(2)?;
    let out = desk.ctl("check", &[])?;
    out.succeeds()?;
    assert!(out.stdout().contains("nothing to check"), "{out}");
    desk.ctl("refresh", &[])?.succeeds()?;
    assert_eq!(desk.everything()?, before);
    // A manifest that was tampered with is used for nothing.
    scene.write(
        "home/.local/state/sandbox/desktop.json",
        "{\"version\":1,\"selection\":{},\"files\":[],\"directories\":[\"/../etc\"]}",
    )?;
    let out = desk.ctl("install", &["argdump"])?;
    out.exits_with(1)?;
    out.complains("cannot be used")
}

fn removed_by_one_name(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene)?;
    desk.entry("a.desktop", ENTRY)?;
    desk.entry("b.desktop", ENTRY)?;
    desk.ctl("install", &["--all"])?.succeeds()?;
    desk.ctl("remove", &["a"])?.succeeds()?;
    assert!(!desk.ours("a.desktop").exists() && desk.ours("b.desktop").exists());
    // It stays out, and is not complained about.
    desk.ctl("refresh", &[])?.succeeds()?;
    assert!(!desk.ours("a.desktop").exists());
    assert_eq!(desk.found()?, []);
    desk.ctl("install", &["a"])?.succeeds()?;
    assert!(desk.ours("a.desktop").exists());
    Ok(())
}
