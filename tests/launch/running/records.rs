//! Records that nobody holds any more, that others wrote, and that cannot be written.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::super::support::{Case, Need, Outcome, Scene, case, unique};
use super::{Fault, PLAIN, control, ctl, of, start, until};

pub fn cases() -> Vec<Case> {
    vec![
        case("killed_launcher", &[], killed_launcher),
        case("orphan", &[], orphan),
        case("forged_records", &[], forged_records),
        case("files_of_others_stay", &[], files_of_others_stay),
        case(
            "records_are_hidden",
            &[Need::UserNamespaces],
            records_are_hidden,
        ),
        case(
            "unwritable_registry",
            &[Need::OrdinaryUser],
            unwritable_registry,
        ),
    ]
}

fn killed_launcher(scene: &Scene) -> Outcome {
    let name = unique("dead");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let waiting = scene.sandboxctl().args(["wait", &name]).spawn()?;
    let waiter = format!(" {} ", waiting.pid());
    until(scene, "somebody who waits for the lock", || {
        let locks = fs::read_to_string("/proc/locks")?;
        let mut blocked = locks.lines().filter(|line| line.contains("->"));
        Ok(blocked.any(|line| line.contains(&waiter)))
    })?;
    run.signal(Signal::SIGKILL)?;
    run.wait()?.exits_with(137)?;
    let out = waiting.wait()?;
    out.exits_with(125)?;
    out.complains("its launcher did not say how")?;
    until(scene, "the removal of a stale record", || {
        let listed = control(scene, &["list", "--json"])?;
        Ok(of(&listed, "name", &name).is_none() && !scene.records().join(&name).exists())
    })?;
    // Its name is free.
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn orphan(scene: &Scene) -> Outcome {
    let name = unique("orphan");
    let run = start(
        scene,
        &name,
        "[process]\ndie-with-parent = false\n",
        "exec sleep 600",
    )?;
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    let line = of(&control(scene, &["list", "--json"])?, "name", &name).ok_or("not listed")?;
    assert_eq!(line["status"], "orphaned", "{line}");
    ctl(scene, &["kill", &name, "--all", "--signal", "KILL"])?.succeeds()?;
    until(scene, "the end of an orphan", || {
        Ok(of(&control(scene, &["list", "--json"])?, "name", &name).is_none())
    })
}

/// Variables may name a directory in which there are other files of its owner's: what is no record is nobody's to remove.
fn files_of_others_stay(scene: &Scene) -> Outcome {
    let directory = scene.records();
    fs::create_dir_all(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    let write = |kind: &str, texts: [&str; 4]| -> Result<Vec<PathBuf>, Fault> {
        let mut files = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let path = directory.join(unique(&format!("{kind}-{number}")));
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            files.push(path);
        }
        Ok(files)
    };
    let texts = ["Dear all,\n", "without an end", "{\"a\": 1}\n", "\n"];
    let files = write("letter", texts)?;
    // What was begun and never finished is a record.
    let begun = ["", "{\"vers", "{\"version\":1,\"na", "{\"version\":99}\n"];
    let stale = write("begun", begun)?;
    let other = directory.join(".run").join(unique("other"));
    fs::create_dir_all(&other)?;
    fs::set_permissions(directory.join(".run"), fs::Permissions::from_mode(0o700))?;
    let out = ctl(scene, &["list"])?;
    let name = unique("letters");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    let left: Vec<bool> = files.iter().map(|path| path.exists()).collect();
    let gone: Vec<bool> = stale.iter().map(|path| !path.exists()).collect();
    let kept = other.exists();
    for path in files.iter().chain(&stale) {
        let _ = fs::remove_file(path);
    }
    let _ = fs::remove_dir(&other);
    out.succeeds()?;
    let told = out.stderr().matches("is no record").count();
    assert!(told >= 4 && !out.stdout().contains("letter-"), "{out}");
    assert_eq!(left, [true; 4], "{out}");
    assert_eq!(gone, [true; 4], "{out}");
    assert!(kept);
    Ok(())
}

/// Writes a record as if a launcher held it; as long as this lives it is not stale.
pub(super) fn forge(directory: &Path, name: &str, record: &Value) -> Result<Flock<File>, Fault> {
    let path = directory.join(name);
    fs::write(&path, format!("{record}\n{{}}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let file = File::open(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// The first line of a record that is there.
pub(super) fn record(directory: &Path, name: &str) -> Result<Value, Fault> {
    let text = fs::read_to_string(directory.join(name))?;
    Ok(serde_json::from_str(text.lines().next().unwrap_or(""))?)
}

fn forged_records(scene: &Scene) -> Outcome {
    let name = unique("true");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let directory = scene.records();
    let good = record(&directory, &name)?;
    let forged = unique("forged");
    let refuses = |change: &dyn Fn(&mut Value), words: &str| -> Outcome {
        let mut value = good.clone();
        value["name"] = json!(forged);
        change(&mut value);
        let lock = forge(&directory, &forged, &value)?;
        for verb in [
            &["kill", &forged][..],
            &["kill", &forged, "--all", "--signal", "KILL"],
        ] {
            let out = ctl(scene, verb)?;
            if words.is_empty() {
                // Killing what has ended is no failure.
                continue;
            }
            out.exits_with(1)?;
            out.complains(words)?;
        }
        drop(lock);
        let _ = fs::remove_file(directory.join(&forged));
        Ok(())
    };
    // Another process has the number by now.
    refuses(
        &|record| {
            record["child"]["started"] = json!(1);
            record["program_process"] = json!(null);
        },
        "",
    )?;
    // The host was restarted, or it is of a container.
    refuses(
        &|record| record["boot"] = json!("another"),
        "another pid namespace",
    )?;
    refuses(
        &|record| record["pid_namespace"] = json!(1),
        "another pid namespace",
    )?;
    // No group at all, and one that is gone.
    let place = |path: &str| json!([{ "version": "v2", "controllers": ["pids"], "path": path }]);
    refuses_group(
        scene,
        &directory,
        &good,
        &forged,
        &place("/etc"),
        "is no control group",
    )?;
    refuses_group(
        scene,
        &directory,
        &good,
        &forged,
        &place("/nowhere"),
        "cannot be opened",
    )?;
    // About somebody else, of another version, no record.
    for (change, words) in [
        (json!({ "name": "other" }), "not about what its name"),
        (json!({ "uid": 77 }), "not about what its name"),
        (json!({ "version": 2 }), "version 2"),
        (json!({ "child": 5 }), "is no record"),
    ] {
        let mut value = good.clone();
        value["name"] = json!(forged);
        for (key, to) in change.as_object().into_iter().flatten() {
            value[key] = to.clone();
        }
        let lock = forge(&directory, &forged, &value)?;
        let out = ctl(scene, &["list"])?;
        out.succeeds()?.complains(words)?;
        ctl(scene, &["kill", &forged])?
            .exits_with(1)?
            .complains("no sandbox named")?;
        drop(lock);
        let _ = fs::remove_file(directory.join(&forged));
    }
    // A link, a file that others may write to, a file with a second name, a directory, a pipe.
    let real = directory.join(&name);
    let path = directory.join(&forged);
    symlink(&real, &path)?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("symbolic link")?;
    fs::remove_file(&path)?;
    let mut value = good.clone();
    value["name"] = json!(forged);
    let lock = forge(&directory, &forged, &value)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o606))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("nobody else has rights")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    fs::hard_link(&path, scene.folder().join("second"))
        .or_else(|_| fs::hard_link(&path, directory.join(".second")))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("nobody else has rights")?;
    drop(lock);
    fs::remove_file(&path)?;
    let _ = fs::remove_file(directory.join(".second"));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("no plain file")?;
    fs::remove_file(&path)?;
    // Nothing of this touched what runs.
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn refuses_group(
    scene: &Scene,
    directory: &Path,
    good: &Value,
    forged: &str,
    group: &Value,
    words: &str,
) -> Outcome {
    let mut value = good.clone();
    value["name"] = json!(forged);
    value["group"] = group.clone();
    let lock = forge(directory, forged, &value)?;
    for verb in [
        &["kill", forged, "--all", "--signal", "KILL"][..],
        &["freeze", forged],
        &["ps", forged],
    ] {
        let out = ctl(scene, verb)?;
        if verb[0] != "ps" {
            out.exits_with(1)?;
        }
        out.complains(words)?;
    }
    drop(lock);
    let _ = fs::remove_file(directory.join(forged));
    Ok(())
}

fn records_are_hidden(scene: &Scene) -> Outcome {
    let name = unique("seen");
    let run = start(scene, &name, PLAIN, "exec sleep 600")?;
    let place = scene.records();
    let at = place.display().to_string();
    for profile in [
        "",
        "[filesystem]\n\"/\" = \"read-write\"\n",
        "[filesystem]\n\"/\" = \"read-only\"\n",
    ] {
        let sandbox = match profile {
            "" => scene.sandbox().args(["--profile", "default"]),
            text => scene.sandbox().profile_text(text)?,
        };
        let out = sandbox
            .program([
                "sh",
                "-c",
                &format!("ls {at}/{name}; echo x > {at}/forged; true"),
            ])
            .run()?;
        out.succeeds()?;
        assert!(!out.stdout().contains(&name), "{profile}: {out}");
        assert!(!place.join("forged").exists(), "{profile}");
    }
    ctl(scene, &["kill", &name])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}

fn unwritable_registry(scene: &Scene) -> Outcome {
    if Path::new(&format!("/run/user/{}", nix::unistd::getuid())).exists() {
        return Ok(());
    }
    let lost = || -> Result<_, Fault> {
        Ok(scene
            .sandbox()
            .profile_text(PLAIN)?
            .without_env("XDG_RUNTIME_DIR")
            .env("XDG_STATE_HOME", "/proc/nowhere"))
    };
    let out = lost()?.program(["true"]).run()?;
    out.succeeds()?;
    assert_eq!(out.stderr(), "", "{out}");
    let out = lost()?.args(["--verbose"]).program(["true"]).run()?;
    out.succeeds()?.complains("will not know this sandbox")?;
    let out = lost()?.args(["--name", "x"]).program(["true"]).run()?;
    out.exits_with(125)?.complains("cannot be named `x`")?;
    Ok(())
}
