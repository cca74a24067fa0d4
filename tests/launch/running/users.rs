//! Several users, none of whom is to lead another, or root, astray.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::support::sandbox::Running;
use super::super::support::{Case, Finished, Need, Outcome, Scene, case, unique};
use super::records::{forge, record};
use super::{Fault, LIMITED, PLAIN, control, ctl, of, start, written};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "two_users",
            &[Need::Root, Need::Program("setpriv")],
            two_users,
        ),
        case(
            "root_is_not_led_astray",
            &[Need::Root, Need::Program("setpriv")],
            root_is_not_led_astray,
        ),
    ]
}

/// A user without a name, with a runtime directory where root looks for it.
pub struct Other {
    pub uid: u32,
    pub runtime: PathBuf,
}

impl Other {
    pub fn new(uid: u32) -> Result<Self, Fault> {
        fs::create_dir_all("/run/user")?;
        let runtime = PathBuf::from(format!("/run/user/{uid}"));
        fs::create_dir(&runtime)?;
        let other = Self { uid, runtime };
        other.own(&other.runtime)?;
        Ok(other)
    }

    fn own(&self, path: &Path) -> Outcome {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.uid))?;
        if !path.is_symlink() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    pub fn words(&self) -> Vec<String> {
        let uid = self.uid;
        [
            "setpriv",
            &format!("--reuid={uid}"),
            &format!("--regid={uid}"),
            "--clear-groups",
            "--inh-caps=-all",
        ]
        .map(str::to_owned)
        .into()
    }

    pub fn ctl(&self, scene: &Scene, words: &[&str]) -> Result<Finished, Fault> {
        Ok(scene
            .sandboxctl()
            .args(words.iter().copied())
            .behind(self.words())
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .env("HOME", &self.runtime)
            .in_folder("/")
            .run()?)
    }

    pub fn start(&self, scene: &Scene, name: &str) -> Result<Running, Fault> {
        let run = scene
            .sandbox()
            .args([
                "--no-profile",
                "--set",
                "process.no-new-privileges=true",
                "--name",
                name,
            ])
            .behind(self.words())
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .env("HOME", &self.runtime)
            .in_folder("/")
            .idle()?;
        written(scene, name)?;
        Ok(run)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.runtime);
    }
}

/// Uids that no user of a usual host has.
pub const UIDS: [u32; 2] = [64_321, 64_322];

fn two_users(scene: &Scene) -> Outcome {
    let [one, two] = UIDS.map(Other::new);
    let (one, two) = (one?, two?);
    let (first, second, roots) = (unique("one"), unique("two"), unique("root"));
    let runs = [
        one.start(scene, &first)?,
        two.start(scene, &second)?,
        start(scene, &roots, PLAIN, "exec sleep 600")?,
    ];
    // Each sees the own ones, root all.
    let out = one.ctl(scene, &["list"])?;
    assert!(
        out.stdout().contains(&first) && !out.stdout().contains(&second),
        "{out}"
    );
    assert!(!out.stdout().contains(&roots), "{out}");
    let listed = control(scene, &["list", "--json"])?;
    for (name, uid) in [(&first, UIDS[0]), (&second, UIDS[1]), (&roots, 0)] {
        let line = of(&listed, "name", name).ok_or("not listed")?;
        assert_eq!(line["uid"], uid);
    }
    for verb in ["kill", "state", "ps", "stats", "policy", "freeze", "wait"] {
        for name in [&second, &roots] {
            one.ctl(scene, &[verb, name])?
                .exits_with(1)?
                .complains("no sandbox named")?;
        }
    }
    // Pointed at the other's directory by the environment, nothing more is seen.
    let out = scene
        .sandboxctl()
        .args(["list"])
        .behind(one.words())
        .env("XDG_RUNTIME_DIR", &two.runtime)
        .env("HOME", &one.runtime)
        .in_folder("/")
        .run()?;
    assert!(!out.stdout().contains(&second), "{out}");
    // The same name twice: root says whose.
    let double = one.start(scene, &second)?;
    ctl(scene, &["kill", &second])?
        .exits_with(1)?
        .complains("several users")?;
    ctl(scene, &["kill", &format!("{}/{second}", UIDS[0])])?.succeeds()?;
    double.wait()?.exits_with(143)?;
    for name in [&first, &second, &roots] {
        ctl(scene, &["kill", name])?.succeeds()?;
    }
    for run in runs {
        run.wait()?.exits_with(143)?;
    }
    Ok(())
}

fn root_is_not_led_astray(scene: &Scene) -> Outcome {
    let user = Other::new(UIDS[0])?;
    let name = unique("bait");
    let own = user.start(scene, &name)?;
    let directory = user.runtime.join("sandbox");
    let good = record(&directory, &name)?;
    // A process of root, as if it were the user's sandbox.
    let victim = unique("victim");
    let run = start(scene, &victim, LIMITED, "exec sleep 600")
        .or_else(|_| start(scene, &victim, PLAIN, "exec sleep 600"))?;
    let target = record(&scene.records(), &victim)?;
    let forged = unique("trap");
    for steal in [
        &["child", "program_process", "init"][..],
        &["group"],
        &["child", "group"],
    ] {
        let mut value = good.clone();
        value["name"] = json!(forged);
        for key in steal {
            value[*key] = target[*key].clone();
        }
        if steal.contains(&"group") && value["group"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        let lock = forge(&directory, &forged, &value)?;
        user.own(&directory.join(&forged))?;
        fs::set_permissions(directory.join(&forged), fs::Permissions::from_mode(0o600))?;
        let verbs: &[&[&str]] = match steal {
            ["group"] => &[
                &["kill", &forged, "--all", "--signal", "KILL"],
                &["freeze", &forged],
            ],
            _ => &[
                &["kill", &forged],
                &["kill", &forged, "--signal", "KILL"],
                &["kill", &forged, "--all", "--signal", "KILL"],
                &["kill", &forged, "--all"],
            ],
        };
        for verb in verbs {
            let out = ctl(scene, verb)?;
            out.exits_with(1)?;
            out.complains("belong")?;
        }
        drop(lock);
        fs::remove_file(directory.join(&forged))?;
    }
    assert_eq!(
        of(&control(scene, &["list", "--json"])?, "name", &victim)
            .map(|line| line["status"].clone()),
        Some(json!("running"))
    );
    ctl(scene, &["kill", &name])?.succeeds()?;
    own.wait()?.exits_with(143)?;
    // The directory is a link to another's, or another's itself.
    fs::remove_dir_all(&directory)?;
    symlink("/run/sandbox", &directory)?;
    user.own(&directory)?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("symbolic link")?;
    fs::remove_file(&directory)?;
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("belongs to user 0")?;
    user.own(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o770))?;
    ctl(scene, &["list"])?
        .succeeds()?
        .complains("others have rights")?;
    ctl(scene, &["kill", &victim])?.succeeds()?;
    run.wait()?.exits_with(143)?;
    Ok(())
}
