//! Compilers, package managers and Git under `build`, without a network.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, case, on_path};
use super::{PATIENCE, TRY};

/// The one that compiled this test; a rustup shim would look for its toolchain in the home directory.
const CARGO: &str = env!("CARGO");

pub fn cases() -> Vec<Case> {
    const GIT: &[Need] = &[Need::UserNamespaces, Need::Program("git")];
    vec![
        case("build_sees", &[Need::UserNamespaces], build_sees),
        case(
            "build_with_make",
            &[
                Need::UserNamespaces,
                Need::Program("gcc"),
                Need::Program("make"),
            ],
            build_with_make,
        ),
        case(
            "build_with_cargo",
            &[
                Need::UserNamespaces,
                Need::Program("gcc"),
                Need::File(CARGO),
            ],
            build_with_cargo,
        ),
        case(
            "build_with_pip",
            &[
                Need::UserNamespaces,
                Need::Program("python3"),
                Need::File("/usr/lib/python3/dist-packages/pip"),
            ],
            build_with_pip,
        ),
        case(
            "build_with_npm",
            &[
                Need::UserNamespaces,
                Need::Program("node"),
                Need::Program("npm"),
            ],
            build_with_npm,
        ),
        case("git_in_new_repository", GIT, git_in_new_repository),
        case("git_in_given_repository", GIT, git_in_given_repository),
        case(
            "tracing",
            &[Need::UserNamespaces, Need::Program("strace")],
            tracing,
        ),
        case(
            "sudo_gains_nothing",
            &[Need::UserNamespaces, Need::Program("sudo")],
            sudo_gains_nothing,
        ),
    ]
}

fn project(scene: &Scene) -> PathBuf {
    scene.home().join("project")
}

/// `script` in the project, under a profile and without network.
fn within<'a>(scene: &'a Scene, profile: &str, script: &str) -> std::io::Result<Sandbox<'a>> {
    fs::create_dir_all(project(scene))?;
    Ok(scene
        .sandbox()
        .args(["--profile", profile, "--net", "none"])
        .program(["sh".to_owned(), "-c".into(), format!("{TRY}{script}")])
        .in_folder(project(scene))
        .limit(PATIENCE))
}

/// `program` is looked for where this test finds it, which may not be a directory of the system.
fn with_program<'a>(line: Sandbox<'a>, program: &Path) -> Sandbox<'a> {
    let folder = program.parent().unwrap_or(Path::new("/usr/bin"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    line.env("PATH", path)
}

fn build_sees(scene: &Scene) -> Outcome {
    scene.write("home/.ssh/id_ed25519", "key")?;
    scene.write("home/.npmrc", "//registry.example/:_authToken=x")?;
    scene.write("home/other/file", "as it was\n")?;
    scene.write("home/project/.git/hooks/sample", "")?;
    let look = "try ssh test -e ~/.ssh; try npmrc test -e ~/.npmrc; try other cat ../other/file; try write touch made
        try hook touch .git/hooks/post-merge; try system touch /usr/local/made; try etc touch /etc/made
        (echo changed >../other/file) 2>/dev/null; (touch ../made) 2>/dev/null
        echo \"secret $AWS_SECRET_ACCESS_KEY$GITHUB_TOKEN.\"; echo \"kept $KEPT.\"";
    let out = within(scene, "build", look)?
        .env("AWS_SECRET_ACCESS_KEY", "hunter2")
        .env("GITHUB_TOKEN", "hunter2")
        .env("KEPT", "yes")
        .run()?;
    out.succeeds()?.answers(&[
        ("ssh", "no"),
        ("npmrc", "no"),
        ("other", "no"),
        ("write", "ok"),
        ("hook", "no"),
        ("system", "no"),
        ("etc", "no"),
    ])?;
    assert!(out.stdout().ends_with("secret .\nkept yes.\n"), "{out}");
    assert!(project(scene).join("made").exists() && !scene.home().join("made").exists());
    assert_eq!(
        fs::read_to_string(scene.home().join("other/file"))?,
        "as it was\n"
    );
    assert!(!project(scene).join(".git/hooks/post-merge").exists());
    Ok(())
}

fn build_with_make(scene: &Scene) -> Outcome {
    scene.write(
        "home/project/answer.c",
        "#include <stdio.h>\nint main(void) { return printf(\"%d\\n\", 42) < 0; }\n",
    )?;
    scene.write(
        "home/project/Makefile",
        "answer: answer.c\n\tgcc -O1 -o $@ $<\n",
    )?;
    let out = within(scene, "build", "make -s && ./answer")?.run()?;
    out.succeeds()?.prints("42")?;
    assert!(project(scene).join("answer").exists());
    Ok(())
}

fn build_with_cargo(scene: &Scene) -> Outcome {
    let manifest = "[package]\nname = \"answer\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    scene.write("home/project/Cargo.toml", manifest)?;
    // Code that somebody else wrote and that runs while it is built.
    scene.write(
        "home/project/build.rs",
        "fn main() { println!(\"cargo::rustc-env=KEYS={}\", std::fs::read_dir(std::env::var(\"HOME\").unwrap() + \"/.ssh\").is_ok()); }\n",
    )?;
    scene.write(
        "home/project/src/main.rs",
        "fn main() { println!(\"42 {}\", env!(\"KEYS\")); }\n",
    )?;
    scene.write("home/.ssh/id_ed25519", "key")?;
    let line = within(
        scene,
        "build",
        "cargo build --quiet --offline && target/debug/answer",
    )?;
    let out = with_program(line, Path::new(CARGO)).run()?;
    out.succeeds()?.prints("42 false")
}

fn build_with_pip(scene: &Scene) -> Outcome {
    scene.write(
        "home/project/wheel/answer/__init__.py",
        "def answer(): return 42\n",
    )?;
    let about = "home/project/wheel/answer-1.0.dist-info";
    scene.write(
        &format!("{about}/METADATA"),
        "Metadata-Version: 2.1\nName: answer\nVersion: 1.0\n",
    )?;
    scene.write(
        &format!("{about}/WHEEL"),
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    )?;
    scene.write(
        &format!("{about}/RECORD"),
        "answer/__init__.py,,\nanswer-1.0.dist-info/METADATA,,\nanswer-1.0.dist-info/WHEEL,,\nanswer-1.0.dist-info/RECORD,,\n",
    )?;
    let install = "set -e
        (cd wheel && /usr/bin/python3 -m zipfile -c ../answer-1.0-py3-none-any.whl answer answer-1.0.dist-info)
        /usr/bin/python3 -m venv --without-pip venv
        /usr/bin/python3 -m pip --quiet --disable-pip-version-check --python venv/bin/python install --no-index ./answer-1.0-py3-none-any.whl
        venv/bin/python -c 'import answer; print(answer.answer(), answer.__file__)'";
    let out = within(scene, "build", install)?.run()?;
    out.succeeds()?;
    assert!(
        out.stdout()
            .starts_with(&format!("42 {}/venv/", project(scene).display())),
        "{out}"
    );
    Ok(())
}

fn build_with_npm(scene: &Scene) -> Outcome {
    scene.write("home/.ssh/id_ed25519", "key")?;
    scene.write(
        "home/project/package.json",
        "{\"name\": \"project\", \"version\": \"1.0.0\"}",
    )?;
    // Such scripts are what the profile is for.
    let script = "node -e 'const fs = require(\\\"fs\\\"); fs.writeFileSync(\\\"ran\\\", String(fs.existsSync(process.env.HOME + \\\"/.ssh\\\")))'";
    scene.write(
        "home/project/answer/package.json",
        &format!("{{\"name\": \"answer\", \"version\": \"1.0.0\", \"main\": \"index.js\", \"scripts\": {{\"install\": \"{script}\"}}}}"),
    )?;
    scene.write("home/project/answer/index.js", "module.exports = 41\n")?;
    let install = "npm install --silent --offline --no-audit --no-fund --no-update-notifier ./answer >/dev/null && \
                   node -e 'console.log(1 + require(\"answer\"))'; cat answer/ran";
    let mut line = within(scene, "build", install)?;
    if let Some(npm) = on_path("npm") {
        line = with_program(line, &npm);
    }
    let out = line.run()?;
    out.succeeds()?.prints("42\nfalse")?;
    assert!(project(scene).join("node_modules/answer").exists());
    Ok(())
}

const COMMIT: &str =
    "git -c user.name=Tester -c user.email=tester@example.org commit --quiet --message";

fn git_in_new_repository(scene: &Scene) -> Outcome {
    let script = format!(
        "set -e
         git -c init.defaultBranch=main init --quiet one; cd one; echo 1 >file; git add file; {COMMIT} first
         git status --porcelain; echo 2 >file; git status --porcelain; cd ..
         git clone --quiet \"file://$PWD/one\" two; cat two/file; git -C two log --format=%s"
    );
    for profile in ["build", "default"] {
        let out = within(scene, profile, &script)?.run()?;
        out.succeeds()?.prints("M file\n1\nfirst")?;
        for name in ["one", "two"] {
            fs::remove_dir_all(project(scene).join(name))?;
        }
    }
    Ok(())
}

/// A build reads its repository; who works in it commits; neither makes what Git runs later.
fn git_in_given_repository(scene: &Scene) -> Outcome {
    scene.write("home/project/file", "1\n")?;
    let host = |script: &str| -> Result<Finished, Box<dyn std::error::Error>> {
        let out = scene
            .command("/bin/sh")
            .args(["-c", script])
            .in_folder(project(scene))
            .run()?;
        out.succeeds()?;
        Ok(out)
    };
    host(&format!(
        "git -c init.defaultBranch=main init --quiet; git add file; {COMMIT} first"
    ))?;
    let script = format!(
        "echo more >>file; try status git status; try log git log; try add git add file; try commit {COMMIT} second
         try hook touch .git/hooks/post-commit; try alias git config alias.status '!id'; try moved mv .git .git2"
    );
    for (profile, changes, subjects) in [("build", "no", "first"), ("dev", "ok", "second\nfirst")] {
        let out = within(scene, profile, &script)?.run()?;
        out.succeeds()?.answers(&[
            ("status", "ok"),
            ("log", "ok"),
            ("add", changes),
            ("commit", changes),
            ("hook", "no"),
            ("alias", "no"),
            ("moved", "no"),
        ])?;
        host("git log --format=%s")?.prints(subjects)?;
    }
    Ok(())
}

fn tracing(scene: &Scene) -> Outcome {
    let trace = "strace -o /dev/null true";
    let out = within(scene, "build", trace)?.run()?;
    assert_ne!(out.code(), 0, "{out}");
    out.complains("ptrace")?;
    out.complains("Operation not permitted")?;
    let control = scene.command("/bin/sh").args(["-c", trace]).run()?;
    if control.code() == 0 {
        within(scene, "dev", trace)?.run()?.succeeds()?;
    }
    Ok(())
}

fn sudo_gains_nothing(scene: &Scene) -> Outcome {
    for profile in ["build", "default", "firefox"] {
        let script = "sudo -n sh -c 'id -u; touch /usr/made; grep CapEff: /proc/self/status'; echo status $?";
        let out = within(scene, profile, script)?.run()?;
        out.succeeds()?;
        // Root may start as root what has no capability; nobody else starts anything.
        let ended = if scene.host.is_root() && !out.stdout().contains("status 1") {
            out.stdout().contains("CapEff:\t0000000000000000")
        } else {
            out.stdout() == "status 1\n"
        };
        assert!(ended, "{profile}: {out}");
        assert!(!Path::new("/usr/made").exists(), "{out}");
    }
    Ok(())
}
