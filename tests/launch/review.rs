//! Changes that are kept apart and reviewed (`--copy`, "overlay"), and changes that are thrown away ("copy").

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::running::agrees;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, case};

type Made<T> = Result<T, Box<dyn std::error::Error>>;

const NEEDS: &[Need] = &[Need::UserNamespaces, Need::UserAttributes];

pub fn cases() -> Vec<Case> {
    vec![
        case("a_build", NEEDS, a_build),
        case("parts", NEEDS, parts),
        case("random", NEEDS, random),
        case("made_anew", NEEDS, made_anew),
        case("conflicts", NEEDS, conflicts),
        case("hostile", NEEDS, hostile),
        case("links_on_the_way", NEEDS, links_on_the_way),
        case("killed", NEEDS, killed),
        case("nothing_changed", NEEDS, nothing_changed),
        case("goes_on", NEEDS, goes_on),
        case("rules_below", NEEDS, rules_below),
        case("refused", NEEDS, refused),
        case("text", NEEDS, text),
        case("thrown_away", &[Need::UserNamespaces], thrown_away),
        case(
            "private_directories",
            &[Need::UserNamespaces],
            private_directories,
        ),
    ]
}

/// What was printed has this in it.
trait Tells {
    fn tells(&self, text: &str) -> Outcome;
}

impl Tells for Finished {
    fn tells(&self, text: &str) -> Outcome {
        match self.stdout().contains(text) {
            true => Ok(()),
            false => {
                Err(format!("expected `{text}` in:\n{}{}", self.stdout(), self.stderr()).into())
            }
        }
    }
}

/// A directory to be changed.
fn project(scene: &Scene) -> Made<PathBuf> {
    let place = scene.folder().join("project");
    for directory in ["src", "old/deep", "keep"] {
        fs::create_dir_all(place.join(directory))?;
    }
    for (name, text) in [
        ("README", "hello\n"),
        ("src/main", "1\n2\n3\n"),
        ("src/tool", "#!/bin/sh\n"),
        ("old/a", "a"),
        ("old/deep/b", "b"),
        ("keep/k", "k"),
    ] {
        fs::write(place.join(name), text)?;
    }
    fs::set_permissions(place.join("src/tool"), fs::Permissions::from_mode(0o755))?;
    symlink("README", place.join("link"))?;
    // What was written just now is not taken for a change since.
    std::thread::sleep(Duration::from_millis(20));
    Ok(place)
}

/// A tree as a value: of each path its type, its permissions and its content.
fn tree(root: &Path) -> Made<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let found = fs::symlink_metadata(&path)?;
        let content = match found.file_type() {
            kind if kind.is_symlink() => {
                fs::read_link(&path)?.into_os_string().into_encoded_bytes()
            }
            kind if kind.is_file() => fs::read(&path)?,
            kind => {
                if kind.is_dir() {
                    open.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
                }
                Vec::new()
            }
        };
        all.insert(path.strip_prefix(root)?.to_owned(), (found.mode(), content));
    }
    Ok(all)
}

fn copying<'a>(scene: &'a Scene, place: &Path, name: &str) -> Sandbox<'a> {
    let options = [
        "--no-profile",
        "--set",
        "namespaces.pid=true",
        "--name",
        name,
        "--copy",
    ];
    scene.sandbox().args(options).args([place]).in_folder(place)
}

fn run(scene: &Scene, place: &Path, script: &str) -> Made<Finished> {
    let out = copying(scene, place, "work")
        .program(["/bin/sh", "-ec", script])
        .run()?;
    out.succeeds()?;
    Ok(out)
}

fn ctl(scene: &Scene, words: &[&str]) -> std::io::Result<Finished> {
    scene.sandboxctl().args(words.iter().copied()).run()
}

/// The changes as `diff --json` tells them: `CHANGE PATH`.
fn changes(scene: &Scene) -> Made<Vec<String>> {
    let out = ctl(scene, &["diff", "work", "--json"])?;
    out.succeeds()?;
    let value: Value = serde_json::from_str(&out.stdout())?;
    agrees("diff", &value)?;
    let areas = value["areas"].as_array().cloned().unwrap_or_default();
    let all = areas
        .iter()
        .flat_map(|area| area["changes"].as_array().cloned().unwrap_or_default());
    Ok(all
        .map(|change| {
            let word = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("change"), word("path"))
        })
        .collect())
}

fn store(scene: &Scene) -> PathBuf {
    scene.home().join(".local/share/sandbox/changes/work")
}

/// As npm or make would.
const BUILD: &str = "
    echo 4 >> src/main; echo new > README.tmp; mv README.tmp README
    mkdir -p out/obj; echo object > out/obj/main.o; chmod 700 out; ln -s obj/main.o out/latest
    rm -r old; mv keep kept; chmod 711 src/tool; ln -sf src/main link
    cat src/tool > /dev/null; touch src/tool";

fn a_build(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let seen = scene.folder().join("seen");
    fs::create_dir(&seen)?;
    let before = tree(&place)?;
    let out = copying(scene, &place, "work")
        .args(["--rw"])
        .args([&seen])
        .program([
            "/bin/sh",
            "-ec",
            &format!("{BUILD}; cp -a . \"$0\""),
            &seen.display().to_string(),
        ])
        .run()?;
    out.succeeds()?;
    out.complains("kept 12 changes: sandboxctl diff work")?;
    assert_eq!(tree(&place)?, before, "the disk was changed");
    assert_eq!(
        changes(scene)?,
        [
            "modified README",
            "deleted keep",
            "added kept",
            "added kept/k",
            "modified link",
            "deleted old",
            "added out",
            "added out/latest",
            "added out/obj",
            "added out/obj/main.o",
            "modified src/main",
            "mode-changed src/tool",
        ]
    );
    let out = ctl(scene, &["apply", "work"])?;
    out.succeeds()?;
    out.tells("12 changes on the disk now; nothing is left")?;
    assert_eq!(tree(&place)?, tree(&seen)?);
    assert!(!store(scene).exists(), "the store stays");
    ctl(scene, &["diff", "work"])?
        .exits_with(1)?
        .complains("no changes are kept as `work`")
}

fn parts(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let before = tree(&place)?;
    run(scene, &place, BUILD)?;
    // Paths are told from where one is, if that is in the directory.
    let out = scene
        .sandboxctl()
        .args(["apply", "work", "main"])
        .in_folder(place.join("src"))
        .run()?;
    out.succeeds()?.tells("1 change on the disk now; 11 left")?;
    assert_eq!(fs::read_to_string(place.join("src/main"))?, "1\n2\n3\n4\n");
    assert_eq!(fs::read_to_string(place.join("README"))?, "hello\n");
    // A new directory comes with what is named in it.
    ctl(scene, &["apply", "work", "out/obj"])?.succeeds()?;
    assert_eq!(
        fs::read_to_string(place.join("out/obj/main.o"))?,
        "object\n"
    );
    assert!(!place.join("out/latest").exists());
    let left = changes(scene)?;
    assert!(
        !left
            .iter()
            .any(|line| line.ends_with("main") || line.ends_with("out/obj")),
        "{left:?}"
    );
    // What was carried is not a change of others: the program may change it again.
    run(scene, &place, "echo 5 >> src/main")?;
    ctl(scene, &["apply", "work", "src/main"])?.succeeds()?;
    assert_eq!(
        fs::read_to_string(place.join("src/main"))?,
        "1\n2\n3\n4\n5\n"
    );
    ctl(scene, &["discard", "work", "old", "src"])?.succeeds()?;
    let left = changes(scene)?;
    assert!(
        !left
            .iter()
            .any(|line| line.contains("old") || line.contains("src")),
        "{left:?}"
    );
    ctl(scene, &["apply", "work", "nowhere"])?
        .exits_with(1)?
        .complains("nothing was changed at `nowhere`")?;
    ctl(scene, &["discard", "work"])?.succeeds()?;
    assert!(!store(scene).exists());
    assert_eq!(tree(&place.join("old"))?.len(), 4);
    assert_eq!(
        before.get(Path::new("README")),
        tree(&place)?.get(Path::new("README"))
    );
    Ok(())
}

/// A number that looks like chance, the same in every run.
fn next(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// What a program does by chance; much of it fails.
fn deeds(seed: u64) -> String {
    let mut state = seed;
    let names = [
        "README",
        "src",
        "src/main",
        "src/tool",
        "old",
        "old/a",
        "old/deep",
        "keep",
        "n",
        "n/m",
        "src/n",
        "link",
        "old/deep/b",
    ];
    let mut script = String::new();
    for number in 0..40 {
        let mut name = || names[usize::try_from(next(&mut state, 13)).unwrap_or(0)];
        let (a, b) = (name(), name());
        let deed = match next(&mut state, 11) {
            0 => format!("echo {number} > {a}"),
            1 => format!("echo {number} >> {a}"),
            2 => format!("rm -f {a}"),
            3 => format!("rm -rf {a}"),
            4 | 5 => format!("mkdir -p {a}"),
            6 => format!("mv -T {a} {b}"),
            7 => format!(
                "chmod {} {a}",
                ["755", "700", "711", "1755"][usize::try_from(next(&mut state, 4)).unwrap_or(0)]
            ),
            8 => format!("ln -snf {b} {a}"),
            9 => format!("ln {a} {b}"),
            _ => format!("cp -a {a} {b}"),
        };
        script.push_str(&format!("{deed} 2>/dev/null || :\n"));
    }
    script
}

/// Whatever the program did: what it saw in the end is what the disk has once that is carried over.
fn random(scene: &Scene) -> Outcome {
    for seed in 1..=24 {
        let place = project(scene)?;
        let seen = scene.folder().join("seen");
        fs::create_dir(&seen)?;
        let before = tree(&place)?;
        let script = deeds(seed);
        // Some go on with what an earlier run has left.
        for script in script.split_inclusive("30\n") {
            let out = copying(scene, &place, "work")
                .args(["--rw"])
                .args([&seen])
                .program([
                    "/bin/sh",
                    "-c",
                    &format!("{script}\nrm -rf \"$0\"/*; cp -a . \"$0\""),
                    &seen.display().to_string(),
                ])
                .run()?;
            out.succeeds()?;
        }
        assert_eq!(
            tree(&place)?,
            before,
            "seed {seed}: the disk was changed by\n{script}"
        );
        if store(scene).exists() {
            let found = changes(scene)?;
            let out = ctl(scene, &["apply", "work"])?;
            assert_eq!(
                out.code(),
                0,
                "seed {seed}: {found:#?}\n{}{}\n{script}",
                out.stdout(),
                out.stderr()
            );
        }
        assert_eq!(tree(&place)?, tree(&seen)?, "seed {seed}:\n{script}");
        assert!(
            !store(scene).exists(),
            "seed {seed}: the store stays after\n{script}"
        );
        for path in [place, seen] {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// A directory that was removed and made again hides the old one.
fn made_anew(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    run(
        scene,
        &place,
        "rm -r old; mkdir old; echo new > old/a; echo c > old/c",
    )?;
    assert_eq!(
        changes(scene)?,
        ["modified old/a", "added old/c", "deleted old/deep"]
    );
    // One file of it cannot be put back alone: the old one would stay hidden.
    ctl(scene, &["discard", "work", "old/a"])?
        .exits_with(1)?
        .tells("discard that as a whole")?;
    assert_eq!(changes(scene)?.len(), 3);
    ctl(scene, &["apply", "work", "old/c"])?.succeeds()?;
    assert_eq!(changes(scene)?, ["modified old/a", "deleted old/deep"]);
    ctl(scene, &["discard", "work", "old"])?.succeeds()?;
    assert!(!store(scene).exists());
    assert_eq!(fs::read_to_string(place.join("old/a"))?, "a");
    assert!(place.join("old/c").exists());
    Ok(())
}

fn conflicts(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    run(
        scene,
        &place,
        "echo mine > README; echo mine > src/main; rm -r old; echo mine > new; chmod 600 src/tool",
    )?;
    fs::write(place.join("README"), "theirs\n")?;
    fs::write(place.join("old/deep/c"), "theirs\n")?;
    fs::write(place.join("new"), "theirs\n")?;
    fs::write(place.join("src/tool"), "theirs\n")?;
    ctl(scene, &["diff", "work"])?.tells("changed on the disk since: apply refuses it")?;
    let out = ctl(scene, &["apply", "work", "--json"])?;
    out.exits_with(1)?;
    let value: Value = serde_json::from_str(&out.stdout())?;
    agrees("apply", &value)?;
    assert_eq!(value["applied"], 1, "{value:#}");
    for (name, text) in [
        ("README", "theirs\n"),
        ("new", "theirs\n"),
        ("src/tool", "theirs\n"),
        ("old/a", "a"),
        ("src/main", "mine\n"),
    ] {
        assert_eq!(fs::read_to_string(place.join(name))?, text, "{name}");
    }
    ctl(scene, &["apply", "work", "--force", "README"])?.succeeds()?;
    assert_eq!(fs::read_to_string(place.join("README"))?, "mine\n");
    // Another directory of that name is not the one that was looked at.
    fs::rename(&place, scene.folder().join("moved"))?;
    fs::create_dir(&place)?;
    ctl(scene, &["apply", "work", "--force"])?
        .exits_with(1)?
        .complains("another directory")?;
    assert_eq!(fs::read_dir(&place)?.count(), 0);
    ctl(scene, &["discard", "work"])?.succeeds()?;
    Ok(())
}

fn hostile(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let outside = scene.folder().join("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("victim"), "whole")?;
    let script = format!(
        "mkfifo pipe; mkdir closed; echo x > closed/x; chmod 000 closed
         cp src/tool suid; chmod 6755 suid; chmod u+s src/tool
         rm -r old; ln -s {0} old; ln -s {0}/victim bait
         touch \"$(printf 'bad\\nname')\" \"$(printf 'e\\033[31mred')\"
         mkdir -p .git/hooks; echo evil > .git/hooks/pre-commit
         d=deep; i=0; while [ $i -lt 150 ]; do d=$d/d; i=$((i+1)); done; mkdir -p $d; echo y > $d/y",
        outside.display()
    );
    run(scene, &place, &script)?;
    let out = ctl(scene, &["diff", "work", "--all"])?;
    out.succeeds()?;
    assert!(!out.stdout().contains('\u{1b}'), "{}", out.stdout());
    for told in [
        "bad\\nname",
        "e\\x1b[31mred",
        "a fifo is never carried over",
        "set-user-ID or set-group-ID bit is not carried over",
        "the link leads out of the directory",
        "other programs may run what it says",
        "nested too deep",
    ] {
        out.tells(told)?;
    }
    let out = ctl(scene, &["apply", "work"])?;
    out.exits_with(1)?;
    assert!(!place.join("pipe").exists());
    assert!(!place.join("bad\nname").exists());
    assert_eq!(fs::metadata(place.join("suid"))?.mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(place.join("src/tool"))?.mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(place.join("old"))?, outside);
    assert_eq!(fs::read_link(place.join("bait"))?, outside.join("victim"));
    assert_eq!(fs::read_to_string(outside.join("victim"))?, "whole");
    assert_eq!(fs::read_dir(&outside)?.count(), 1);
    let leftovers = fs::read_dir(&place)?.flatten().filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .contains("sandbox-apply")
    });
    assert_eq!(leftovers.count(), 0);
    ctl(scene, &["discard", "work"])?.succeeds()?;
    assert!(
        !store(scene).exists(),
        "what is closed or deep is removed as well"
    );
    let _ = fs::set_permissions(place.join("closed"), fs::Permissions::from_mode(0o700));
    Ok(())
}

/// What is carried into a directory is not carried through a link that has taken its place, on either side.
fn links_on_the_way(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let outside = scene.folder().join("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("k"), "whole")?;
    run(
        scene,
        &place,
        "echo evil > keep/k; echo evil > keep/new; rm old/a",
    )?;
    for name in ["keep", "old"] {
        fs::remove_dir_all(place.join(name))?;
        symlink(&outside, place.join(name))?;
    }
    fs::write(outside.join("a"), "whole")?;
    ctl(scene, &["apply", "work"])?.exits_with(1)?;
    ctl(scene, &["apply", "work", "keep/k", "keep/new"])?.exits_with(1)?;
    for name in ["k", "a"] {
        assert_eq!(fs::read_to_string(outside.join(name))?, "whole");
    }
    assert!(!outside.join("new").exists());
    ctl(scene, &["discard", "work"])?.succeeds()?;
    Ok(())
}

fn killed(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let mut running = copying(scene, &place, "work")
        .program([
            "/bin/sh",
            "-ec",
            "echo mine > README; echo ready; exec sleep 60",
        ])
        .spawn()?;
    running.wait_for("ready")?;
    // While it runs it can be looked at, and nothing else.
    ctl(scene, &["diff", "work"])?.tells("modified      README")?;
    ctl(scene, &["apply", "work"])?
        .exits_with(1)?
        .complains("still running")?;
    ctl(scene, &["discard", "work"])?
        .exits_with(1)?
        .complains("still running")?;
    running.signal(Signal::SIGKILL)?;
    let _ = running.wait();
    for _ in 0..100 {
        if ctl(scene, &["apply", "work"])?.code() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::read_to_string(place.join("README"))?, "mine\n");
    // One in which nothing was changed is swept when the stores are listed.
    let mut running = copying(scene, &place, "work")
        .program(["/bin/sh", "-ec", "echo ready; exec sleep 60"])
        .spawn()?;
    running.wait_for("ready")?;
    running.signal(Signal::SIGKILL)?;
    let _ = running.wait();
    assert!(store(scene).exists());
    let out = ctl(scene, &["changes", "--json"])?;
    out.succeeds()?;
    agrees("changes", &serde_json::from_str(&out.stdout())?)?;
    assert!(!store(scene).exists());
    Ok(())
}

fn nothing_changed(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let out = run(
        scene,
        &place,
        "cat README; touch README; chmod 755 src/tool",
    )?;
    assert!(!out.stderr().contains("kept"), "{}", out.stderr());
    assert!(!store(scene).exists());
    ctl(scene, &["changes"])?
        .succeeds()?
        .tells("no changes are kept")
}

fn goes_on(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let other = scene.folder().join("other");
    fs::create_dir(&other)?;
    run(scene, &place, "echo mine > README; rm old/a")?;
    let out = run(scene, &place, "cat README; ls old")?;
    assert_eq!(out.stdout(), "mine\ndeep\n");
    out.complains("goes on with the 2 changes")?;
    // One name, two directories.
    run(scene, &other, "echo x > x")?;
    let out = ctl(scene, &["changes"])?;
    out.succeeds()?;
    out.tells("1 change,")?;
    out.tells("2 changes,")?;
    ctl(scene, &["apply", "work"])?.succeeds()?;
    assert_eq!(fs::read_to_string(other.join("x"))?, "x\n");
    assert!(!place.join("old/a").exists());
    Ok(())
}

/// Rules below a directory whose changes are kept hold in it; the store is seen nowhere.
fn rules_below(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    fs::write(place.join("secret"), "secret")?;
    let shown = place.display();
    let second = scene.folder().join("second");
    fs::create_dir(&second)?;
    symlink(&place, scene.home().join("by-link"))?;
    let profile = format!(
        "[namespaces]\npid = true\n[filesystem]\n\"{shown}\" = \"overlay\"\n\"{shown}/secret\" = \"hidden\"\n\"{shown}/keep\" = \"read-only\"\n\"{shown}/src\" = \"read-write\"\n\"{}\" = {{ bind = \"{shown}\", access = \"read-only\" }}\n",
        second.display()
    );
    let data = scene.home().join(".local/share/sandbox");
    let script = format!(
        "cat secret; echo x > keep/k; echo x > src/through; echo x > README
         cat {0}/secret; echo x > {0}/README; cat {0}/README
         rm -rf secret; ls {1}/changes; echo x > {1}/changes/x; cat ~/by-link/secret",
        second.display(),
        data.display()
    );
    let out = scene
        .sandbox()
        .profile_text(&profile)?
        .args(["--name", "work"])
        .in_folder(&place)
        .program(["/bin/sh", "-c", &script])
        .run()?;
    assert!(!out.stdout().contains("secret"), "{}", out.stdout());
    assert_eq!(out.stdout(), "hello\n", "{}", out.stderr());
    assert_eq!(changes(scene)?, ["modified README"], "{}", out.stderr());
    assert_eq!(fs::read_to_string(place.join("README"))?, "hello\n");
    assert_eq!(fs::read_to_string(place.join("src/through"))?, "x\n");
    assert_eq!(fs::read_to_string(place.join("secret"))?, "secret");
    assert!(!data.join("changes/x").exists());
    ctl(scene, &["discard", "work"])?.succeeds()?;
    // What a profile opens in it is a part of what the command line wants to be kept apart.
    let out = scene
        .sandbox()
        .profile_text(&format!("[namespaces]\npid = true\n[filesystem]\n\"{shown}/src\" = \"read-write\"\n\"{shown}/keep\" = \"read-only\"\n"))?
        .args(["--name", "work", "--copy"])
        .args([&place])
        .in_folder(&place)
        .program(["/bin/sh", "-c", "echo y > src/apart; echo y > keep/k || :"])
        .run()?;
    out.succeeds()?;
    assert!(!place.join("src/apart").exists());
    assert_eq!(changes(scene)?, ["added src/apart"]);
    ctl(scene, &["discard", "work"])?.succeeds()?;
    Ok(())
}

fn refused(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    let options = |more: &[&str]| {
        scene
            .sandbox()
            .args(["--no-profile"])
            .args(more.iter().copied())
            .in_folder(&place)
            .program(["true"])
            .run()
    };
    let pid = ["--set", "namespaces.pid=true"];
    let cases: [(&[&str], &str); 5] = [
        (&["--copy", "README"], "it is no directory"),
        (&["--copy", "nowhere"], "it does not exist on this host"),
        (&["--copy", "/"], "something is mounted below it"),
        (
            &["--set", "filesystem.\"/\"=copy"],
            "something is mounted below it",
        ),
        (
            &["--set", "filesystem.\"/proc\"={ copy = \"0\" }"],
            "holds nothing",
        ),
    ];
    for (more, told) in cases {
        let out = options(&[&pid[..], more].concat())?;
        assert_ne!(out.code(), 0, "{more:?}");
        out.complains(told)?;
    }
    options(&["--copy", "."])?
        .exits_with(125)?
        .complains("namespaces.pid = true")?;
    assert!(!store(scene).exists());
    // Somebody else writes to the store.
    let mut running = copying(scene, &place, "work")
        .program(["/bin/sh", "-c", "echo ready; exec sleep 60"])
        .spawn()?;
    running.wait_for("ready")?;
    copying(scene, &place, "work")
        .program(["true"])
        .run()?
        .exits_with(125)?
        .complains("the name `work` is taken")?;
    running.signal(Signal::SIGTERM)?;
    let _ = running.wait();
    Ok(())
}

fn text(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    run(
        scene,
        &place,
        "echo 4 >> src/main; printf 'a\\033[2J\\377\\n' > evil; printf 'a\\0b' > binary",
    )?;
    let out = ctl(scene, &["diff", "--patch", "work"])?;
    out.succeeds()?;
    out.tells("--- a/src/main\n+++ b/src/main\n@@ -1,3 +1,4 @@\n 1\n 2\n 3\n+4\n")?;
    out.tells("+a\\x1b[2J\\xff\n")?;
    out.tells("(no text)")?;
    assert!(!out.stdout().contains('\u{1b}'));
    ctl(scene, &["discard", "work"])?.succeeds()?;
    Ok(())
}

fn thrown_away(scene: &Scene) -> Outcome {
    let place = project(scene)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o710))?;
    let before = tree(&place)?;
    let shown = place.display();
    let out = scene
        .sandbox()
        .profile_text(&format!("[filesystem]\n\"{shown}\" = {{ copy = \"1M\" }}\n"))?
        .in_folder(&place)
        .program(["/bin/sh", "-c", "stat -c %a .; echo x > README; cat README; rm src/main; ls src; head -c 2000000 /dev/zero > big || echo full"])
        .run()?;
    assert_eq!(out.stdout(), "710\nx\ntool\nfull\n", "{}", out.stderr());
    assert_eq!(tree(&place)?, before);
    assert!(
        !scene
            .home()
            .join(".local/share/sandbox/changes/sh")
            .exists()
    );
    let out = scene
        .sandbox()
        .profile_text(&format!("[filesystem]\n\"{shown}\" = \"copy\"\n\"/\" = \"read-only\"\n[process]\nwrite-xor-execute = true\n"))?
        .in_folder(&place)
        .program(["/bin/sh", "-c", "cp /bin/true own; ./own && echo ran"])
        .run()?;
    assert!(
        !out.stdout().contains("ran"),
        "what can be written cannot be executed"
    );
    Ok(())
}

fn private_directories(scene: &Scene) -> Outcome {
    scene.install_profile(
        "keeper",
        "[namespaces]\npid = true\n[filesystem]\n\"~\" = \"private\"\n\"~/.cache\" = \"private\"\n",
    )?;
    let keep = |script: &'static str| {
        scene
            .sandbox()
            .args(["--profile", "keeper", "--name", "keep"])
            .in_folder("/")
            .program(["/bin/sh", "-c", script])
    };
    keep("echo x > ~/.cache/x; mkdir ~/closed; touch ~/closed/f; chmod 0 ~/closed")
        .run()?
        .succeeds()?;
    let out = ctl(scene, &["private", "list", "--json"])?;
    out.succeeds()?;
    let value: Value = serde_json::from_str(&out.stdout())?;
    agrees("private-list", &value)?;
    let places: Vec<&str> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["place"].as_str())
        .collect();
    assert_eq!(places, ["~", "~/.cache"]);
    let mut running = keep("echo ready; exec sleep 60").spawn()?;
    running.wait_for("ready")?;
    ctl(scene, &["private", "list"])?.tells("in use")?;
    ctl(scene, &["private", "remove", "keeper"])?
        .exits_with(1)?
        .complains("in use by a running sandbox; nothing was removed")?;
    running.signal(Signal::SIGTERM)?;
    let _ = running.wait();
    ctl(scene, &["private", "remove", "keeper", "/elsewhere"])?
        .exits_with(1)?
        .complains("it has ~, ~/.cache")?;
    ctl(scene, &["private", "remove", "keeper", "~/.cache"])?.succeeds()?;
    let left = scene.home().join(".local/share/sandbox/private/keeper");
    assert_eq!(fs::read_dir(&left)?.count(), 1);
    ctl(scene, &["private", "remove", "keeper"])?.succeeds()?;
    assert!(!left.exists());
    ctl(scene, &["private", "remove", "keeper"])?
        .exits_with(1)?
        .complains("has no private directories")
}
