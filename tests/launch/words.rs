//! What is said about a path beside the access: that it is closed, made first, required; patterns with exceptions; and that no
//! rule is without effect in silence, and none leaves anything on the host.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::support::{Case, Need, Outcome, Scene, case};

const VIEW: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("denied_is_not_hidden", VIEW, denied_is_not_hidden),
        case("created", VIEW, created),
        case("created_through_no_link", VIEW, created_through_no_link),
        case("required", VIEW, required),
        case("wrong_terms", &[], wrong_terms),
        case("nothing_to_execute", VIEW, nothing_to_execute),
        case("execution_given_back", VIEW, execution_given_back),
        case("no_stub_is_left", VIEW, no_stub_is_left),
        case("patterns_and_exceptions", VIEW, patterns_and_exceptions),
        case("check_tells_all", VIEW, check_tells_all),
        case("why", VIEW, why),
    ]
}

/// Everything below a directory, with types and modes.
fn tree(at: &Path) -> std::io::Result<Vec<String>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let found = entry.path().symlink_metadata()?;
        out.push(format!("{} {:o}", entry.path().display(), found.mode()));
        if found.is_dir() {
            out.extend(tree(&entry.path())?);
        }
    }
    out.sort();
    Ok(out)
}

fn denied_is_not_hidden(scene: &Scene) -> Outcome {
    for name in ["closed", "gone"] {
        fs::create_dir(scene.home().join(name))?;
    }
    scene.write("home/closed-file", "x")?;
    let profile = "[filesystem]\n\"~\" = \"tmpfs\"\n\"~/closed\" = \"denied\"\n\"~/closed-file\" = \"denied\"\n\
        \"~/gone\" = \"hidden\"\n\"~/never\" = \"denied\"\n[capabilities]\ndefault = \"drop\"\n";
    let at = |name: &str| scene.home().join(name).display().to_string();
    let table = [
        (format!("list@{}", at("closed")), "EACCES"),
        (format!("stat@{}", at("closed")), "ok"),
        (format!("read@{}", at("closed-file")), "EACCES"),
        (format!("write@{}", at("closed-file")), "EACCES|EROFS"),
        (format!("stat@{}", at("gone")), "ENOENT"),
        // The host has none, so that nobody's is kept away.
        (format!("stat@{}", at("never")), "ENOENT"),
        (format!("mkdir@{}", at("never")), "ok"),
    ];
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .show_probe()
        .deeds(table.iter().map(|(deed, _)| deed))
        .run()?;
    out.answers(&table)?;
    Ok(())
}

fn created(scene: &Scene) -> Outcome {
    let profile = "[filesystem]\n\"/\" = \"read-only\"\n\
        \"~/made/deep\" = { access = \"read-write\", create = \"dir\" }\n\
        \"~/made/file\" = { access = \"read-write\", create = \"file\", execute = false }\n\
        \"~/place\" = { bind = \"~/other/source\", access = \"read-write\", create = \"dir\" }\n";
    let home = scene.home();
    fs::create_dir(home.join("place"))?;
    let line = || scene.sandbox().profile_text(profile);
    let plan = line()?.args(["--dry-run"]).program(["true"]).run()?;
    plan.succeeds()?;
    plan.says(&format!(
        "make the directory {} if it is missing",
        home.join("made/deep").display()
    ))?;
    if home.join("made").exists() {
        return Err("a plan made something".into());
    }
    let script = "echo 1 >~/made/deep/new && echo 2 >~/made/file && echo 3 >~/place/kept";
    // Whatever the umask, and a second time with what is there.
    for umask in ["0000", "0777", "0022"] {
        let out = line()?
            .program(["sh", "-c", script])
            .behind(["sh", "-c", "umask $0; exec \"$@\"", umask])
            .run()?;
        out.succeeds()?;
    }
    for (path, mode) in [
        ("made", 0o040_700),
        ("made/deep", 0o040_700),
        ("made/file", 0o100_600),
        ("other/source", 0o040_700),
    ] {
        let found = fs::symlink_metadata(home.join(path))?.mode();
        if found != mode {
            return Err(format!("{path} has mode {found:o}").into());
        }
    }
    assert_eq!(fs::read_to_string(home.join("made/file"))?, "2\n");
    assert_eq!(fs::read_to_string(home.join("other/source/kept"))?, "3\n");
    Ok(())
}

fn created_through_no_link(scene: &Scene) -> Outcome {
    let home = scene.home();
    let outside = scene.folder().join("outside");
    fs::create_dir(&outside)?;
    symlink(&outside, home.join("link"))?;
    let out = scene
        .sandbox()
        .profile_text(
            "[filesystem]\n\"~/link/new\" = { access = \"read-write\", create = \"dir\" }\n",
        )?
        .program(["true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("leads through the symbolic link")?;
    out.complains("profile-1.toml:2:")?;
    assert_eq!(tree(&outside)?, Vec::<String>::new());
    Ok(())
}

fn required(scene: &Scene) -> Outcome {
    for (rule, said) in [
        (
            "\"~/data\" = { access = \"read-only\", required = true }",
            "the host has no `",
        ),
        (
            "\"~/*.key\" = { access = \"hidden\", required = true }",
            "matches nothing",
        ),
    ] {
        let profile = format!("[filesystem]\n{rule}\n");
        let out = scene
            .sandbox()
            .profile_text(&profile)?
            .program(["true"])
            .run()?;
        out.exits_with(125)?;
        out.complains(said)?;
        out.complains("profile-1.toml:2:")?;
    }
    scene.write("home/data/x", "x")?;
    scene.write("home/a.key", "x")?;
    let profile = "[filesystem]\n\"~/data\" = { access = \"read-only\", required = true }\n\
        \"~/*.key\" = { access = \"hidden\", required = true }\n";
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .program(["true"])
        .run()?;
    out.succeeds()?;
    Ok(())
}

fn wrong_terms(scene: &Scene) -> Outcome {
    for (view, said) in [
        (
            "{ access = \"hidden\", execute = false }",
            "`execute` says nothing",
        ),
        ("{ tmpfs = \"1M\", create = \"dir\" }", "`create` goes with"),
        (
            "{ access = \"private\", required = true }",
            "`required` goes with",
        ),
        (
            "{ text = \"x\", execute = true }",
            "a text is never executed",
        ),
        (
            "{ access = \"read-write\", create = \"socket\" }",
            "is not one of \"dir\" or \"file\"",
        ),
        ("{ execute = false }", "does not say what is seen"),
        ("{ access = \"readonly\" }", "did you mean \"read-only\"?"),
        (
            "{ access = \"read-only\", excute = true }",
            "did you mean `execute`?",
        ),
        ("\"no-exec\"", "execute = false"),
    ] {
        let profile = format!("[filesystem]\n\"~/x\" = {view}\n");
        let out = scene
            .sandbox()
            .profile_text(&profile)?
            .program(["true"])
            .run()?;
        out.exits_with(2)?;
        out.complains(said)?;
        out.complains("profile-1.toml:2:")?;
    }
    let out = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~/*.d\" = { access = \"read-write\", create = \"dir\" }\n")?
        .program(["true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("`create` makes one path")?;
    Ok(())
}

fn nothing_to_execute(scene: &Scene) -> Outcome {
    let profile = "[filesystem]\n\"/\" = { access = \"read-only\", execute = false }\n\"~\" = \"read-write\"\n";
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .program(["true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("nothing could be executed")
}

/// What is said about a path holds below it until the next word, and a word about access is none.
fn execution_given_back(scene: &Scene) -> Outcome {
    let home = scene.home();
    for at in ["", "plain/", "back/", "back/deep/"] {
        fs::create_dir_all(home.join(at))?;
        fs::copy("/bin/true", home.join(at).join("tool"))?;
    }
    let profile = "[filesystem]\n\"/\" = \"read-only\"\n\"~\" = { access = \"read-write\", execute = false }\n\
        \"~/plain\" = \"read-only\"\n\"~/back\" = { access = \"read-write\", execute = true }\n\
        \"~/back/deep\" = \"read-only\"\n";
    let at = |name: &str| home.join(name).display().to_string();
    let table = [
        (format!("exec@{}", at("tool")), "EACCES"),
        (format!("map@{}", at("tool")), "EPERM"),
        (format!("exec@{}", at("plain/tool")), "EACCES"),
        (format!("exec@{}", at("back/tool")), "Some(0)"),
        (format!("map@{}", at("back/tool")), "ok"),
        (format!("exec@{}", at("back/deep/tool")), "Some(0)"),
        (format!("write@{}", at("back/deep/tool")), "EROFS|EACCES"),
    ];
    for more in ["", "[process]\nwrite-xor-execute = true\n"] {
        let out = scene
            .sandbox()
            .profile_text(&format!("{profile}{more}"))?
            .args(["--set", "filesystem.\"/dev\"=\"read-only\""])
            .args([
                "--set",
                &format!(
                    "filesystem.\"{}\"={{ access = \"read-only\", execute = true }}",
                    super::support::own_path().display()
                ),
            ])
            .deeds(table.iter().map(|(deed, _)| deed))
            .run()?;
        out.answers(&table)?;
    }
    Ok(())
}

/// A rule for what is not there leaves nothing where the user would find it.
fn no_stub_is_left(scene: &Scene) -> Outcome {
    let home = scene.home();
    scene.write("home/project/src/main.c", "x")?;
    scene.write("home/project/.env", "x")?;
    let before = tree(&home)?;
    let project = home.join("project").display().to_string();
    let profile = format!(
        "[filesystem]\n\"/\" = \"read-only\"\n\"{project}\" = \"read-write\"\n\"{project}/.git/hooks\" = \"read-only\"\n\
         \"{project}/.env\" = \"denied\"\n\"{project}/.ssh\" = \"hidden\"\n\"{project}/.npmrc\" = \"denied\"\n\
         \"{project}/**/*.pem\" = \"hidden\"\n\"{project}/missing/deep\" = \"hidden\"\n"
    );
    for more in ["", "[process]\nlandlock = false\n"] {
        let line = scene.sandbox().profile_text(&format!("{profile}{more}"))?;
        let out = line.program(["ls", "-A", &project]).run()?;
        out.succeeds()?.prints(".env\nsrc")?;
    }
    // Where the launcher keeps its own is another matter.
    let own = |line: &String| !line.contains("/.config") && !line.contains("/.local");
    let after: Vec<String> = tree(&home)?.into_iter().filter(own).collect();
    let before: Vec<String> = before.into_iter().filter(own).collect();
    assert_eq!(after, before);
    Ok(())
}

/// One name is excepted; what comes later is seen, and that is said beforehand.
fn patterns_and_exceptions(scene: &Scene) -> Outcome {
    let project = scene.home().join("project");
    for name in [
        ".env",
        "a/.env",
        "a/b/.env.local",
        ".env.example",
        "a/.env.example",
    ] {
        scene.write(&format!("home/project/{name}"), "secret")?;
    }
    let shown = project.display().to_string();
    let profile = format!(
        "[filesystem]\n\"/\" = \"read-only\"\n\"{shown}\" = \"read-write\"\n\"{shown}/**/.env*\" = \"hidden\"\n\
         \"{shown}/**/.env.example\" = \"read-only\"\n[capabilities]\ndefault = \"drop\"\n"
    );
    let at = |name: &str| project.join(name).display().to_string();
    let table = [
        (format!("read@{}", at(".env")), "EACCES"),
        (format!("read@{}", at("a/.env")), "EACCES"),
        (format!("read@{}", at("a/b/.env.local")), "EACCES"),
        (format!("read@{}", at(".env.example")), "`secret`"),
        (format!("read@{}", at("a/.env.example")), "`secret`"),
        // Neither the file nor a directory on the way is moved aside.
        (format!("rename@{}@{}", at(".env"), at("env")), "EBUSY"),
        (format!("rename@{}@{}", at("a/b"), at("a/c")), "EBUSY"),
        (format!("link@{}@{}", at(".env"), at("env")), "EXDEV|EACCES"),
    ];
    let out = scene
        .sandbox()
        .profile_text(&profile)?
        .deeds(table.iter().map(|(deed, _)| deed))
        .run()?;
    out.answers(&table)?;
    let plan = scene
        .sandbox()
        .profile_text(&profile)?
        .args(["--dry-run"])
        .program(["true"])
        .run()?;
    plan.says("hide what gets such a name later: ")?;
    plan.says(&format!("{shown}/**/.env*"))?;
    // As it was said.
    let mut running = scene
        .sandbox()
        .profile_text(&profile)?
        .program([
            "sh",
            "-c",
            "echo ready; read line; while cat a/.env.later; do sleep 0.05; done; echo closed",
        ])
        .in_folder(&project)
        .on_terminal()
        .spawn()?;
    running.wait_for("ready")?;
    scene.write("home/project/a/.env.later", "made later")?;
    running.type_in(b"\n")?;
    let out = running.wait()?;
    out.says("closed")?;
    // The next start knows it.
    let deed = format!("read@{}", at("a/.env.later"));
    let out = scene
        .sandbox()
        .profile_text(&profile)?
        .deeds([&deed])
        .run()?;
    out.answers(&[(&deed, "EACCES")])
}

fn check_tells_all(scene: &Scene) -> Outcome {
    let home = scene.home();
    for name in ["kept/below", "private/own", "shadowed", "same"] {
        fs::create_dir_all(home.join(name))?;
    }
    scene.install_profile(
        "odd",
        "[filesystem]\n\"/\" = \"read-only\"\n\"~/missing\" = \"read-only\"\n\"~/never\" = \"denied\"\n\
         \"~/*.pem\" = \"read-only\"\n\"~/*.key\" = \"hidden\"\n\"~/kept\" = \"hidden\"\n\"~/kept/below\" = \"denied\"\n\
         \"~/private\" = \"tmpfs\"\n\"~/private/own\" = \"hidden\"\n\"~/shad*\" = \"read-write\"\n\"~/shadowed\" = \"hidden\"\n\
         \"~/same\" = \"read-only\"\n",
    )?;
    let out = scene.sandboxctl().args(["check", "odd"]).run()?;
    out.succeeds()?;
    let at = |name: &str| home.join(name).display().to_string();
    for said in [
        format!("`{}` is absent on this host", at("missing")),
        format!(
            "`{}` is absent on this host; made later, it would be seen",
            at("never")
        ),
        "`~/*.pem` matches nothing on this host".to_owned(),
        "`~/*.key` matches nothing on this host yet; what gets such a name later is kept away"
            .to_owned(),
        format!(
            "`{}` is not there: `{}` is closed already",
            at("kept/below"),
            at("kept")
        ),
        format!(
            "`{}` is not there: `{}` shows nothing of the host",
            at("private/own"),
            at("private")
        ),
        format!(
            "`~/shad*` has no effect: `~/shadowed` decides about `{}`",
            at("shadowed")
        ),
        "`~/same` changes nothing: `/` shows the same there already".to_owned(),
    ] {
        out.says(&said)?;
    }
    Ok(())
}

fn why(scene: &Scene) -> Outcome {
    for name in ["closed", "work"] {
        fs::create_dir_all(scene.home().join(name))?;
    }
    scene.install_profile(
        "odd",
        "[filesystem]\n\"/\" = \"read-only\"\n\"~/closed\" = \"denied\"\n\
         \"~/work\" = { access = \"read-write\", execute = false }\n",
    )?;
    for (path, said) in [
        ("~/closed", "it exists, but it is empty and closed"),
        ("~/work", "read-write, nothing is executed there"),
    ] {
        let out = scene.sandboxctl().args(["why", "odd", path]).run()?;
        out.says(said)?;
    }
    Ok(())
}
