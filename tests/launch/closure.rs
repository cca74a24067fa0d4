//! `sandboxctl closure`: against what the loader itself says, and as a profile that runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{Case, Need, Outcome, Scene, case};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "agrees_with_the_loader",
            &[Need::Program("ldd")],
            agrees_with_the_loader,
        ),
        case(
            "a_profile_that_runs",
            &[Need::UserNamespaces],
            a_profile_that_runs,
        ),
        case(
            "a_profile_of_python",
            &[Need::UserNamespaces, Need::File("/usr/bin/python3")],
            a_profile_of_python,
        ),
        case("scripts_and_env", &[], scripts_and_env),
        case("links_and_targets", &[], links_and_targets),
        case("what_is_missing", &[], what_is_missing),
        case("what_is_no_program", &[], what_is_no_program),
    ]
}

/// Programs of which most are somewhere; at least a few have to be here.
const PROGRAMS: [&str; 22] = [
    "/bin/bash",
    "/bin/ls",
    "/bin/mount",
    "/bin/systemctl",
    "/usr/bin/apt",
    "/usr/bin/bwrap",
    "/usr/bin/curl",
    "/usr/bin/dbus-daemon",
    "/usr/bin/env",
    "/usr/bin/find",
    "/usr/bin/gcc",
    "/usr/bin/gdb",
    "/usr/bin/git",
    "/usr/bin/node",
    "/usr/bin/perl",
    "/usr/bin/python3",
    "/usr/bin/readelf",
    "/usr/bin/ssh",
    "/usr/bin/sudo",
    "/usr/bin/tar",
    "/usr/lib/firefox-esr/firefox-esr",
    "/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
];

fn members(text: &str) -> Result<Vec<serde_json::Value>, Box<dyn std::error::Error>> {
    let all: serde_json::Value = serde_json::from_str(text)?;
    Ok(all["members"].as_array().cloned().unwrap_or_default())
}

/// `ldd` runs the loader of what it looks at, which is right for programs of the distribution, and nothing else.
fn agrees_with_the_loader(scene: &Scene) -> Outcome {
    let mut compared = 0;
    for program in PROGRAMS.into_iter().filter(|path| Path::new(path).exists()) {
        let Ok(start) = fs::read(program) else {
            continue;
        };
        if !start.starts_with(b"\x7fELF") {
            continue;
        }
        let said = Command::new("ldd").arg(program).output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let theirs: BTreeSet<PathBuf> = said
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .filter_map(|word| fs::canonicalize(word).ok())
            .collect();
        let out = scene
            .sandboxctl()
            .args(["closure", "--json", "--only-needed", program])
            .run()?;
        let ours: BTreeSet<PathBuf> = members(&out.succeeds()?.stdout())?
            .iter()
            .filter(|one| one["part"] == "library" || one["part"] == "loader")
            .filter_map(|one| one["real"].as_str().map(PathBuf::from))
            .collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(missing.is_empty(), "{program}: {missing:?} is missing");
        // Which of the better ones is taken depends on the processor.
        let more: Vec<_> = ours
            .difference(&theirs)
            .filter(|path| !path.to_string_lossy().contains("hwcaps"))
            .collect();
        assert!(more.is_empty(), "{program}: {more:?} is too many");
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} programs were compared");
    Ok(())
}

fn profile_of(scene: &Scene, programs: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let line = ["closure", "--profile"].iter().chain(programs).copied();
    let out = scene.sandboxctl().args(line).run()?;
    Ok(out.succeeds()?.stdout())
}

fn a_profile_that_runs(scene: &Scene) -> Outcome {
    let profile = profile_of(scene, &["/bin/sh", "ls"])?;
    let line = scene.sandbox().profile_text(&profile)?;
    let out = line
        .program([
            "/bin/sh",
            "-c",
            "ls -d /etc/passwd /home /usr/share; echo done",
        ])
        .run()?;
    out.prints("done")?;
    // With what it has in comments it runs as well, and nothing but these two.
    let strict: String = profile
        .lines()
        .map(|line| {
            let execute = line.strip_prefix("# ").filter(|rest| {
                *rest == "[execute]"
                    || *rest == "default = \"deny\""
                    || rest.ends_with("= \"allow\"")
            });
            format!("{}\n", execute.unwrap_or(line))
        })
        .collect();
    assert!(strict.contains("\n[execute]\ndefault"), "{strict}");
    if scene
        .sandbox()
        .profile_text(&strict)?
        .args(["--dry-run"])
        .program(["/bin/sh"])
        .run()?
        .code()
        == 0
    {
        let line = scene.sandbox().profile_text(&strict)?;
        let out = line
            .program(["/bin/sh", "-c", "ls / >/dev/null && echo done"])
            .run()?;
        out.prints("done")?;
    }
    Ok(())
}

fn a_profile_of_python(scene: &Scene) -> Outcome {
    let profile = profile_of(scene, &["/usr/bin/python3"])?;
    let line = scene.sandbox().profile_text(&profile)?;
    let out = line
        .program(["/usr/bin/python3", "-c", "import json, ctypes; print(1)"])
        .run()?;
    out.prints("1")
}

fn scripts_and_env(scene: &Scene) -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let runnable = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    let script = scene.write("script", "#!/usr/bin/env -S sh -eu\necho\n")?;
    runnable(&script)?;
    let text = script.display().to_string();
    let out = scene
        .sandboxctl()
        .args(["closure", "--json", &text])
        .run()?;
    let all = members(&out.succeeds()?.stdout())?;
    let part = |name: &str| {
        let mut found = all.iter().filter(|one| {
            one["path"]
                .as_str()
                .is_some_and(|path| path.ends_with(name))
        });
        found
            .next()
            .map(|one| one["part"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(part("/script").as_deref(), Some("program"), "{out}");
    assert_eq!(part("/env").as_deref(), Some("interpreter"), "{out}");
    assert_eq!(part("/sh").as_deref(), Some("interpreter"), "{out}");
    // Scripts that interpret each other end as they do in the kernel.
    let one = scene.folder().join("one");
    let two = scene.write("two", &format!("#!{}\n", one.display()))?;
    scene.write("one", &format!("#!{}\n", two.display()))?;
    runnable(&one)?;
    runnable(&two)?;
    let out = scene
        .sandboxctl()
        .args(["closure".into(), one.into_os_string()])
        .run()?;
    // They are the same two again and again: everything is known, and nothing of it is a program.
    assert!(out.code() <= 2, "{out}");
    Ok(())
}

fn links_and_targets(scene: &Scene) -> Outcome {
    let link = scene.folder().join("link");
    let other = scene.folder().join("other");
    std::os::unix::fs::symlink("/bin/sh", &other)?;
    std::os::unix::fs::symlink("other", &link)?;
    let out = scene
        .sandboxctl()
        .args(["closure".into(), link.clone().into_os_string()])
        .run()?;
    let text = out.succeeds()?.stdout();
    let lines: BTreeSet<&str> = text.lines().collect();
    for path in [&link, &other, &fs::canonicalize("/bin/sh")?] {
        assert!(
            lines.contains(path.display().to_string().as_str()),
            "{path:?}: {out}"
        );
    }
    Ok(())
}

/// A library that is nowhere is told, and the status says so.
fn what_is_missing(scene: &Scene) -> Outcome {
    let mut bytes = fs::read("/bin/ls")?;
    let Some(at) = bytes.windows(10).position(|part| part == b"libc.so.6\0") else {
        return Ok(());
    };
    bytes[at + 3] = b'Z';
    let path = scene.folder().join("ls");
    fs::write(&path, bytes)?;
    let out = scene
        .sandboxctl()
        .args(["closure".into(), path.into_os_string()])
        .run()?;
    out.exits_with(1)?.complains("libZ.so.6")
}

fn what_is_no_program(scene: &Scene) -> Outcome {
    let text = scene.write("text", "hello\n")?;
    let cut = scene.folder().join("cut");
    fs::write(&cut, b"\x7fELF\x02\x01\x01")?;
    let pipe = scene.folder().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU)?;
    for (path, why) in [
        (text.as_path(), "neither an ELF file nor a script"),
        (&cut, "it ends within its header"),
        (&pipe, "no regular file"),
        (Path::new("/nowhere/x"), "not there"),
        (Path::new("no-such-program-x"), "was not found"),
        (Path::new("/etc"), "no regular file"),
    ] {
        let out = scene
            .sandboxctl()
            .args(["closure".as_ref(), path.as_os_str()])
            .run()?;
        out.exits_with(2)?.complains(why)?;
    }
    Ok(())
}
