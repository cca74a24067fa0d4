//! What each word about a path lets a program do, from inside: with mounts alone, with Landlock behind them, and with
//! Landlock in their place. One row of [`ROWS`] a word; each cell says what must come of a deed.

use std::error::Error;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, binary, case};

pub fn cases() -> Vec<Case> {
    let both = &[Need::UserNamespaces, Need::Landlock(2)];
    vec![
        case("mounts", &[Need::UserNamespaces], mounts),
        case("mounts_and_landlock", both, mounts_and_landlock),
        case("landlock_alone", &[Need::Landlock(2)], landlock_alone),
        case("refused_alone", &[Need::Landlock(2)], refused_alone),
        case("with_capabilities", both, with_capabilities),
        case(
            "below_mount_points",
            &[Need::Root, Need::Program("unshare"), Need::Program("mount")],
            below_mount_points,
        ),
    ]
}

/// A deed, with `F` for the folder, and its answers: mounts, mounts and Landlock, Landlock alone.
type Cells = &'static [(&'static str, [&'static str; 3])];

struct Row {
    /// The folder's name, which is the row's.
    name: &'static str,
    /// The value; `SOURCE` is another folder with the same in it.
    view: &'static str,
    /// Whether Landlock can hold it without mounts.
    alone: bool,
    cells: &'static [Cells],
}

const fn row(name: &'static str, view: &'static str, alone: bool, cells: &'static [Cells]) -> Row {
    Row {
        name,
        view,
        alone,
        cells,
    }
}

/// Rows `shown/…` lie below a directory that is read-write.
const ROWS: &[Row] = &[
    row(
        "read-only",
        "\"read-only\"",
        true,
        &[READ_ONLY, RUNS, LOCKED],
    ),
    row(
        "read-write",
        "\"read-write\"",
        true,
        &[READ_WRITE, RUNS, RUNS_WHAT_IT_MAKES, LOCKED],
    ),
    row(
        "no-exec",
        "{ access = \"read-write\", execute = false }",
        true,
        &[
            READ_WRITE,
            RUNS_NOTHING,
            MAPS_NOTHING,
            RUNS_NOTHING_MADE,
            LOCKED,
        ],
    ),
    row(
        "read-only-no-exec",
        "{ access = \"read-only\", execute = false }",
        true,
        &[READ_ONLY, RUNS_NOTHING, MAPS_NOTHING, LOCKED],
    ),
    row("hidden", "\"hidden\"", true, &[ABSENT]),
    row("denied", "\"denied\"", true, &[CLOSED, CLOSED_ITSELF]),
    row(
        "tmpfs",
        "\"tmpfs\"",
        false,
        &[EMPTY, RUNS_WHAT_IT_MAKES, LOCKED],
    ),
    row(
        "tmpfs-sized",
        "{ tmpfs = \"16M\", execute = false }",
        false,
        &[EMPTY, RUNS_NOTHING_MADE, LOCKED],
    ),
    row(
        "private",
        "\"private\"",
        false,
        &[EMPTY, RUNS_WHAT_IT_MAKES, LOCKED],
    ),
    row(
        "private-no-exec",
        "{ access = \"private\", execute = false }",
        false,
        &[EMPTY, RUNS_NOTHING_MADE, LOCKED],
    ),
    row(
        "bind",
        "{ bind = \"SOURCE\", access = \"read-only\" }",
        false,
        &[READ_ONLY, RUNS, LOCKED],
    ),
    row(
        "bind-no-exec",
        "{ bind = \"SOURCE\", access = \"read-write\", execute = false }",
        false,
        &[
            READ_WRITE,
            RUNS_NOTHING,
            MAPS_NOTHING,
            RUNS_NOTHING_MADE,
            LOCKED,
        ],
    ),
    row(
        "copy",
        "\"copy\"",
        false,
        &[APART, RUNS, RUNS_WHAT_IT_MAKES, LOCKED],
    ),
    row(
        "copy-no-exec",
        "{ copy = \"16M\", execute = false }",
        false,
        &[APART, RUNS_NOTHING, MAPS_NOTHING, RUNS_NOTHING_MADE, LOCKED],
    ),
    row(
        "overlay",
        "\"overlay\"",
        false,
        &[APART, RUNS, RUNS_WHAT_IT_MAKES, LOCKED],
    ),
    row("text", "{ text = \"said\" }", false, &[TEXT]),
    row(
        "shown/read-only",
        "\"read-only\"",
        false,
        &[READ_ONLY, RUNS, LOCKED, PINNED],
    ),
    row(
        "shown/no-exec",
        "{ access = \"read-write\", execute = false }",
        false,
        &[
            READ_WRITE,
            RUNS_NOTHING,
            MAPS_NOTHING,
            RUNS_NOTHING_MADE,
            LOCKED,
            PINNED,
        ],
    ),
    row(
        "shown/hidden",
        "\"hidden\"",
        false,
        &[CLOSED, CLOSED_ITSELF, LOCKED, PINNED],
    ),
    row(
        "shown/denied",
        "\"denied\"",
        false,
        &[CLOSED, CLOSED_ITSELF, LOCKED, PINNED],
    ),
];

const READ_ONLY: Cells = &[
    ("stat@F/file", ["ok", "ok", "ok"]),
    ("read@F/file", ["`content`", "`content`", "`content`"]),
    ("write@F/file", ["EROFS", "EROFS", "EACCES"]),
    ("create@F/new", ["EROFS", "EROFS", "EACCES"]),
    ("rename@F/sub@F/moved", ["EROFS", "EROFS", "EACCES"]),
    ("link@F/file@F/hard", ["EROFS", "EROFS", "EACCES"]),
    // Modes are not Landlock's.
    ("chmod@F/file", ["EROFS", "EROFS", "ok"]),
    ("copy@/usr/bin/true@F/made", ["EROFS", "EROFS", "EACCES"]),
    // To connect is no change; Landlock knows sockets with a path from ABI 9 on.
    ("connect@F/socket", ["ok", "ok", "ok|EACCES"]),
];

const READ_WRITE: Cells = &[
    ("stat@F/file", ["ok", "ok", "ok"]),
    ("read@F/file", ["`content`", "`content`", "`content`"]),
    ("write@F/file", ["ok", "ok", "ok"]),
    ("create@F/new", ["ok", "ok", "ok"]),
    ("rename@F/sub@F/moved", ["ok", "ok", "ok"]),
    ("link@F/file@F/hard", ["ok", "ok", "ok"]),
    ("chmod@F/file", ["ok", "ok", "ok"]),
    ("copy@/usr/bin/true@F/made", ["ok", "ok", "ok"]),
    ("connect@F/socket", ["ok", "ok", "ok"]),
];

/// As read-write, in an overlay: a directory of the host's is copied to be renamed, and its sockets are other files.
const APART: Cells = &[
    ("stat@F/file", ["ok", "ok", ""]),
    ("read@F/file", ["`content`", "`content`", ""]),
    ("write@F/file", ["ok", "ok", ""]),
    ("read@F/./file", ["`contentx`", "`contentx`", ""]),
    ("create@F/new", ["ok", "ok", ""]),
    ("rename@F/new@F/sub/moved", ["ok", "ok", ""]),
    ("rename@F/sub@F/moved", ["EXDEV", "EXDEV", ""]),
    ("link@F/file@F/hard", ["ok", "ok", ""]),
    ("chmod@F/file", ["ok", "ok", ""]),
    ("copy@/usr/bin/true@F/made", ["ok", "ok", ""]),
    ("connect@F/socket", ["ECONNREFUSED", "ECONNREFUSED", ""]),
];

const RUNS: Cells = &[
    ("exec@F/tool", ["Some(0)", "Some(0)", "Some(0)"]),
    ("map@F/tool", ["ok", "ok", "ok"]),
];
const RUNS_NOTHING: Cells = &[("exec@F/tool", ["EACCES", "EACCES", "EACCES"])];
/// What is mapped is no program to Landlock.
const MAPS_NOTHING: Cells = &[("map@F/tool", ["EPERM", "EPERM", "ok"])];
const RUNS_WHAT_IT_MAKES: Cells = &[
    ("copy@/usr/bin/true@F/made2", ["ok", "ok", "ok"]),
    ("exec@F/made2", ["Some(0)", "Some(0)", "Some(0)"]),
];
const RUNS_NOTHING_MADE: Cells = &[
    ("copy@/usr/bin/true@F/made3", ["ok", "ok", "ok"]),
    ("exec@F/made3", ["EACCES", "EACCES", "EACCES"]),
];

/// In a directory of ours: it does not exist. Landlock lets be seen that it does, and nothing of what is in it.
const ABSENT: Cells = &[
    ("stat@F", ["ENOENT", "ENOENT", "ok"]),
    ("stat@F/file", ["ENOENT", "ENOENT", "ok"]),
    ("read@F/file", ["ENOENT", "ENOENT", "EACCES"]),
    ("list@F", ["ENOENT", "ENOENT", "EACCES"]),
    ("write@F/file", ["ENOENT", "ENOENT", "EACCES"]),
    ("create@F/new", ["ENOENT", "ENOENT", "EACCES"]),
    ("mkdir@F", ["EROFS", "EROFS", "EEXIST"]),
    ("rename@F/sub@F/moved", ["ENOENT", "ENOENT", "EACCES"]),
    ("link@F/file@F/hard", ["ENOENT", "ENOENT", "EACCES"]),
    ("chmod@F/file", ["ENOENT", "ENOENT", "ok"]),
    ("exec@F/tool", ["ENOENT", "ENOENT", "EACCES"]),
    ("connect@F/socket", ["ENOENT", "ENOENT", "ok|EACCES"]),
    ("tmpfs@F", ["ENOENT|EPERM", "ENOENT|EPERM", "EPERM"]),
    ("umount@F", ["ENOENT|EPERM", "ENOENT|EPERM", "EPERM"]),
];

const CLOSED: Cells = &[
    ("stat@F", ["ok", "ok", "ok"]),
    ("stat@F/file", ["EACCES", "EACCES", "ok"]),
    ("read@F/file", ["EACCES", "EACCES", "EACCES"]),
    ("list@F", ["EACCES", "EACCES", "EACCES"]),
    ("write@F/file", ["EACCES", "EACCES", "EACCES"]),
    ("create@F/new", ["EACCES", "EACCES", "EACCES"]),
    ("rename@F/sub@F/moved", ["EACCES", "EACCES", "EACCES"]),
    ("link@F/file@F/hard", ["EACCES", "EACCES", "EACCES"]),
    ("chmod@F/file", ["EACCES", "EACCES", "ok"]),
    ("exec@F/tool", ["EACCES", "EACCES", "EACCES"]),
    ("connect@F/socket", ["EACCES", "EACCES", "ok|EACCES"]),
];
const CLOSED_ITSELF: Cells = &[
    // It stays closed: what covers it is read-only. Without mounts it is the directory itself.
    ("chmod@F", ["EROFS", "EROFS", "ok"]),
    ("tmpfs@F", ["EPERM", "EPERM", "EPERM"]),
    ("umount@F", ["EPERM", "EPERM", "EPERM"]),
    ("rmdir@F", ["EBUSY|EROFS", "EBUSY|EROFS|EACCES", "EACCES"]),
];

const EMPTY: Cells = &[
    ("stat@F/file", ["ENOENT", "ENOENT", ""]),
    ("list@F", ["[]", "[]", ""]),
    ("connect@F/socket", ["ENOENT", "ENOENT", ""]),
    ("exec@F/tool", ["ENOENT", "ENOENT", ""]),
    ("create@F/new", ["ok", "ok", ""]),
    ("write@F/new", ["ok", "ok", ""]),
    ("chmod@F/new", ["ok", "ok", ""]),
    ("link@F/new@F/hard", ["ok", "ok", ""]),
    ("rename@F/new@F/other", ["ok", "ok", ""]),
    ("read@F/other", ["`x`", "`x`", ""]),
];

const TEXT: Cells = &[
    ("stat@F", ["ok", "ok", ""]),
    ("read@F", ["`said`", "`said`", ""]),
    ("write@F", ["EACCES", "EACCES", ""]),
    ("create@F", ["EEXIST", "EEXIST", ""]),
    (
        "rename@F@F-moved",
        ["EBUSY|EROFS", "EBUSY|EROFS|EACCES", ""],
    ),
    ("link@F@F-hard", ["EXDEV|EROFS", "EXDEV|EROFS", ""]),
    ("chmod@F", ["EROFS", "EROFS", ""]),
    ("exec@F", ["EACCES", "EACCES", ""]),
    (
        "connect@F",
        ["EACCES|ECONNREFUSED|EROFS", "EACCES|ECONNREFUSED|EROFS", ""],
    ),
    ("bind@/usr/bin/true@F", ["EPERM", "EPERM", ""]),
    ("umount@F", ["EPERM", "EPERM", ""]),
    ("remount@F", ["EPERM", "EPERM", ""]),
];

/// Without a capability over the mounts, nothing about them changes.
const LOCKED: Cells = &[
    ("tmpfs@F", ["EPERM", "EPERM", "EPERM"]),
    ("bind@/usr@F", ["EPERM", "EPERM", "EPERM"]),
    ("umount@F", ["EPERM", "EPERM", "EPERM"]),
    ("remount@F", ["EPERM", "EPERM", "EPERM"]),
    ("setattr@F", ["EPERM", "EPERM", "EPERM"]),
];
/// Nor is it moved aside in the writable directory around it.
const PINNED: Cells = &[("rename@F@F-moved", ["EBUSY", "EBUSY", ""])];

/// What every program needs.
const SYSTEM: &str = "\"/\" = \"hidden\"\n\"/usr\" = \"read-only\"\n\"/bin\" = \"read-only\"\n\"/lib\" = \"read-only\"\n\
    \"/lib64\" = \"read-only\"\n\"/etc\" = \"read-only\"\n\"/dev/null\" = \"read-write\"\n";
const KEPT: &str = "[namespaces]\npid = true\n";
const NO_CAPABILITIES: &str = "[capabilities]\ndefault = \"drop\"\n";

/// Folders with a file, a program, a folder and a socket in each.
struct Folders {
    home: PathBuf,
    sockets: Vec<UnixListener>,
}

impl Folders {
    fn make(scene: &Scene, rows: &[&Row]) -> Result<Self, Box<dyn Error>> {
        let mut made = Self {
            home: scene.home(),
            sockets: Vec::new(),
        };
        for row in rows {
            for name in [row.name.to_owned(), format!("source-{}", row.name)] {
                if row.name == "text" {
                    scene.write(&format!("home/{name}"), "content")?;
                    continue;
                }
                let folder = made.home.join(name);
                fs::create_dir_all(folder.join("sub"))?;
                fs::write(folder.join("file"), "content")?;
                fs::copy("/bin/true", folder.join("tool"))?;
                made.sockets
                    .push(UnixListener::bind(folder.join("socket"))?);
            }
        }
        Ok(made)
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// Fails if anything of a folder has changed on the host.
    fn are_as_they_were(&self, row: &Row) -> Outcome {
        let folder = self.home.join(row.name);
        assert_eq!(fs::read_to_string(folder.join("file"))?, "content");
        let names: Result<Vec<_>, _> = fs::read_dir(&folder)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        let mut names = names?;
        names.sort();
        assert_eq!(names, ["file", "socket", "sub", "tool"], "{}", row.name);
        assert_eq!(fs::read_dir(folder.join("sub"))?.count(), 0, "{}", row.name);
        Ok(())
    }

    fn profile(&self, rows: &[&Row]) -> Result<String, Box<dyn Error>> {
        let probe = std::env::current_exe()?.display().to_string();
        let mut out = format!("[filesystem]\n{SYSTEM}\"{probe}\" = \"read-only\"\n");
        if rows.iter().any(|row| row.name.starts_with("shown/")) {
            out.push_str(&format!("\"{}\" = \"read-write\"\n", self.path("shown")));
        }
        for row in rows {
            let source = self.path(&format!("source-{}", row.name));
            let view = row.view.replace("SOURCE", &source);
            out.push_str(&format!("\"{}\" = {view}\n", self.path(row.name)));
        }
        Ok(out)
    }

    fn table(&self, rows: &[&Row], column: usize) -> Vec<(String, &'static str)> {
        let mut out = Vec::new();
        for row in rows {
            let folder = self.path(row.name);
            for (deed, answers) in row.cells.iter().copied().flatten() {
                let words: Vec<String> = deed
                    .split('@')
                    .map(|word| match word.strip_prefix('F') {
                        Some(rest) => format!("{folder}{rest}"),
                        None => word.to_owned(),
                    })
                    .collect();
                out.push((words.join("@"), answers[column]));
            }
        }
        out
    }
}

/// The launcher on a host that gives no user namespace, as a container is one.
fn without_namespaces<'a>(scene: &Scene, inner: Sandbox<'a>) -> std::io::Result<Sandbox<'a>> {
    let outer = "[syscalls]\n\"clone(&CLONE_NEWUSER)\" = \"deny\"\n\"unshare(&CLONE_NEWUSER)\" = \"deny\"\n\
        [capabilities]\ndefault = \"drop\"\n";
    let profile = scene.write("outer.toml", outer)?;
    let line: [PathBuf; 4] = [binary("sandbox"), "--profile".into(), profile, "--".into()];
    Ok(inner.behind(line))
}

fn run(scene: &Scene, column: usize, more: &str) -> Result<Finished, Box<dyn Error>> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| column < 2 || row.alone).collect();
    let folders = Folders::make(scene, &rows)?;
    let table = folders.table(&rows, column);
    // What is kept for review has to be at an end with the sandbox.
    let kept = if column < 2 { KEPT } else { "" };
    let mut line = scene
        .sandbox()
        .profile_text(&format!("{}{kept}{more}", folders.profile(&rows)?))?;
    if column == 2 {
        line = without_namespaces(scene, line)?.args(["--best-effort"]);
    }
    let name = format!("matrix-{}-{column}", std::process::id());
    let line = line.args(["--name", &name]);
    let out = line.deeds(table.iter().map(|(deed, _)| deed)).run()?;
    if column < 2 {
        // Some of what is kept nobody but its tools can remove.
        let away = scene.sandboxctl().args(["discard", &name]).run()?;
        away.succeeds()?;
    }
    out.answers(&table)?;
    out.succeeds()?;
    for row in rows.iter().filter(|row| row.cells.contains(&APART)) {
        folders.are_as_they_were(row)?;
    }
    drop(folders.sockets);
    Ok(out)
}

fn mounts(scene: &Scene) -> Outcome {
    run(
        scene,
        0,
        &format!("[process]\nlandlock = false\n{NO_CAPABILITIES}"),
    )
    .map(drop)
}

fn mounts_and_landlock(scene: &Scene) -> Outcome {
    run(
        scene,
        1,
        &format!("[process]\nlandlock = true\n{NO_CAPABILITIES}"),
    )
    .map(drop)
}

fn landlock_alone(scene: &Scene) -> Outcome {
    let out = run(scene, 2, "")?;
    out.complains("this host gives you no user namespace")
}

/// Words that take mounts are refused by name where there are none, and so is what is stricter than what lies around it.
fn refused_alone(scene: &Scene) -> Outcome {
    for row in ROWS.iter().filter(|row| !row.alone) {
        let folders = Folders::make(scene, &[row])?;
        let path = folders.path(row.name);
        // Without a copy, what is done to it would be done to the host: no word lets it be dropped.
        let apart = row.cells.contains(&APART);
        let degrade = format!("degrade = [\"filesystem.{path}\"]\n");
        let ways = match apart {
            true => vec![
                ("", vec![]),
                ("", vec!["--best-effort"]),
                (&*degrade, vec![]),
            ],
            false => vec![("", vec![])],
        };
        for (before, options) in ways {
            let kept = if row.name == "overlay" { KEPT } else { "" };
            let text = format!("{before}{}{kept}", folders.profile(&[row])?);
            let line = scene.sandbox().profile_text(&text)?;
            let out = without_namespaces(scene, line)?
                .args(options)
                .program(["true"])
                .run()?;
            if out.code() != 125 || !out.stderr().contains(&path) {
                return Err(format!("{}: not refused by name\n{out}", row.name).into());
            }
            if apart && before.is_empty() {
                out.complains("an overlay is mounted, so that changes go elsewhere")?;
            }
        }
        fs::remove_dir_all(scene.home())?;
        fs::create_dir_all(scene.home())?;
    }
    Ok(())
}

/// With every capability inside, Landlock still lets nothing be mounted, unmounted or changed.
fn with_capabilities(scene: &Scene) -> Outcome {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name != "hidden").collect();
    let folders = Folders::make(scene, &rows)?;
    let more = "[user]\nuid = \"root\"\ngid = \"root\"\n[capabilities]\ndefault = \"keep\"\n[process]\nlandlock = true\n";
    let folder_of = |row: &&Row| folders.path(row.name);
    let mut table: Vec<(String, &str)> = rows
        .iter()
        .map(folder_of)
        .flat_map(|folder| ["tmpfs", "umount", "remount"].map(|deed| format!("{deed}@{folder}")))
        .map(|deed| (deed, "EPERM|ENOTDIR"))
        .collect();
    // Attributes of a mount are none of Landlock's, but what they let through is.
    for name in ["read-only", "read-only-no-exec", "bind"] {
        let folder = folders.path(name);
        table.push((format!("setattr@{folder}"), "ok"));
        table.push((format!("write@{folder}/file"), "EACCES"));
        table.push((format!("create@{folder}/new"), "EACCES"));
    }
    let profile = format!("{}{KEPT}{more}", folders.profile(&rows)?);
    let out = scene
        .sandbox()
        .profile_text(&profile)?
        .deeds(table.iter().map(|(deed, _)| deed))
        .run()?;
    out.answers(&table)?;
    out.succeeds()?;
    Ok(())
}

/// What is mounted below a path on the host is as read-only, and as little executable, as the path.
fn below_mount_points(scene: &Scene) -> Outcome {
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| matches!(row.name, "read-only" | "no-exec" | "bind-no-exec"))
        .collect();
    let folders = Folders::make(scene, &rows)?;
    let script = "for at in \"$1/read-only\" \"$1/no-exec\" \"$1/source-bind-no-exec\"; do \
        mount -t tmpfs inner \"$at/sub\" && cp /bin/true \"$at/sub/tool\" && echo content >\"$at/sub/file\" || exit 9; done; \
        shift; exec \"$@\"";
    let home = folders.home.display().to_string();
    let line = ["unshare", "-m", "sh", "-c", script, "sh", &home];
    let at = |name: &str| folders.path(&format!("{name}/sub"));
    let mut table = Vec::new();
    for (name, write, exec) in [
        ("read-only", "EROFS", "Some(0)"),
        ("no-exec", "ok", "EACCES"),
        ("bind-no-exec", "ok", "EACCES"),
    ] {
        table.push((format!("write@{}/file", at(name)), write));
        table.push((format!("create@{}/new", at(name)), write));
        table.push((format!("exec@{}/tool", at(name)), exec));
    }
    for landlock in [false, true] {
        let more = format!("[process]\nlandlock = {landlock}\n{NO_CAPABILITIES}");
        let inner = scene
            .sandbox()
            .profile_text(&format!("{}{more}", folders.profile(&rows)?))?
            .deeds(table.iter().map(|(deed, _)| deed));
        let out = inner.behind(line).run()?;
        out.answers(&table)?;
        out.succeeds()?;
    }
    Ok(())
}
