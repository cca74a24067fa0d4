//! `desktop.documents` and `--documents`: files that are shown because an argument names them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("shown_alone", USERNS, shown_alone),
        case("what_may_be_done", USERNS, what_may_be_done),
        case(
            "only_those_that_are_meant",
            USERNS,
            only_those_that_are_meant,
        ),
        case("not_by_being_named", USERNS, not_by_being_named),
        case("through_links", USERNS, through_links),
        case("odd_names", USERNS, odd_names),
        case("with_their_directory", USERNS, with_their_directory),
        case(
            "right_in_the_home_directory",
            USERNS,
            right_in_the_home_directory,
        ),
    ]
}

/// A home with documents, under a profile that puts another one in its place.
struct Desk<'a>(&'a Scene);

impl<'a> Desk<'a> {
    fn new(scene: &'a Scene, documents: &str) -> std::io::Result<Desk<'a>> {
        let text = format!(
            "[filesystem]\n\"/\" = \"read-only\"\n\"~\" = \"private\"\n\"~/closed\" = \"hidden\"\n{documents}"
        );
        scene.install_profile("reader", &text)?;
        for name in [
            "elsewhere/x",
            "elsewhere/beside",
            "closed/x",
            ".ssh/id_rsa",
            "elsewhere/.hidden/x",
            "other/y",
        ] {
            let path = scene.home().join(name);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(path, format!("text of {name}"))?;
        }
        Ok(Desk(scene))
    }

    fn at(&self, name: &str) -> String {
        self.0.home().join(name).display().to_string()
    }

    /// Prints what can be read of the paths among the arguments, as `NAME: TEXT`, with what goes wrong in place of the text.
    fn read(&self, options: &[&str], arguments: &[&str]) -> std::io::Result<Finished> {
        let script = "for file; do echo \"$file: $(cat \"$file\" 2>/dev/null || echo NONE)\"; done";
        let line = ["/bin/sh", "-c", script, "sh"];
        self.0
            .sandbox()
            .args(["--profile", "reader"])
            .args(options)
            .program(line.iter().chain(arguments).copied())
            .run()
    }
}

const READ_ONLY: &str = "[desktop]\ndocuments = \"read-only\"\n";

fn shown_alone(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, READ_ONLY)?;
    let (x, beside) = (desk.at("elsewhere/x"), desk.at("elsewhere/beside"));
    desk.read(&[], &[&x])?
        .prints(&format!("{x}: text of elsewhere/x"))?;
    let script = format!("cat {x}; ls $(dirname {x}); cat {beside} || echo not beside");
    let run = |argument: &str| {
        scene
            .sandbox()
            .args(["--profile", "reader"])
            .program(["/bin/sh", "-c", &script, "sh", argument])
            .run()
    };
    let shown = "text of elsewhere/xx\nnot beside";
    run(&x)?.prints(shown)?;
    run(&format!("file://{x}"))?.prints(shown)?;
    run(&format!("file://localhost{}", x.replace("/x", "/%78")))?.prints(shown)?;
    for other in [
        format!("--file={x}"),
        format!("-{x}"),
        format!("http://{x}"),
    ] {
        run(&other)?.prints("not beside")?;
    }
    // Nothing of it stays in the profile's own home but names.
    desk.read(&["--documents=none"], &[&x])?
        .prints(&format!("{x}: NONE"))
}

fn what_may_be_done(scene: &Scene) -> Outcome {
    let x = scene.home().join("elsewhere/x").display().to_string();
    let script = format!("echo new >>{x}; touch {x}.new; cat {x}");
    let run = || {
        let program = ["/bin/sh", "-c", &script, "sh", &x];
        scene
            .sandbox()
            .args(["--profile", "reader"])
            .program(program)
            .run()
    };
    Desk::new(scene, READ_ONLY)?;
    run()?.prints("text of elsewhere/x")?;
    Desk::new(scene, "[desktop]\ndocuments = \"read-write\"\n")?;
    run()?.prints("text of elsewhere/xnew")?;
    assert_eq!(fs::read_to_string(&x)?, "text of elsewhere/xnew\n");
    // What is saved beside it would be found by nobody: it cannot be.
    run()?.complains("x.new")
}

fn only_those_that_are_meant(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, "")?;
    let (x, y) = (desk.at("elsewhere/x"), desk.at("other/y"));
    let none = format!("{x}: NONE\n{y}: NONE");
    let second = format!("{x}: NONE\n{y}: text of other/y");
    let first = format!("{x}: text of elsewhere/x\n{y}: NONE");
    let both = format!("{x}: text of elsewhere/x\n{y}: text of other/y");
    // Three arguments of the shell's come first.
    for (option, expected) in [
        (None, &none),
        (Some("--documents"), &both),
        (Some("--documents=all"), &both),
        (Some("--documents=none"), &none),
        (Some("--documents=5"), &second),
        (Some("--documents=4,1"), &first),
        (Some("--documents=9"), &none),
    ] {
        let options: Vec<&str> = option.into_iter().collect();
        desk.read(&options, &[&x, &y])?.prints(expected)?;
    }
    desk.read(&["--documents=0"], &[&x])?.exits_with(2)?;
    Ok(())
}

fn not_by_being_named(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, READ_ONLY)?;
    for (name, why) in [
        ("closed/x", "the profile hides `~/closed`"),
        (".ssh/id_rsa", "begin with a dot"),
        ("elsewhere/.hidden/x", "begin with a dot"),
        ("elsewhere/../.ssh/id_rsa", "begin with a dot"),
    ] {
        let path = desk.at(name);
        let out = desk.read(&[], &[&path])?;
        out.prints(&format!("{path}: NONE"))?;
        out.complains(why)?;
    }
    let home = scene.home().display().to_string();
    desk.read(&[], &[&home])?
        .complains("holds the home directory")?;
    // Who asks for it gets it.
    let key = desk.at(".ssh/id_rsa");
    desk.read(&["--ro", &key], &[&key])?
        .prints(&format!("{key}: text of .ssh/id_rsa"))
}

fn through_links(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, READ_ONLY)?;
    symlink("elsewhere/x", scene.home().join("link"))?;
    symlink(".ssh/id_rsa", scene.home().join("to-key"))?;
    let (x, link) = (desk.at("elsewhere/x"), desk.at("link"));
    // The link itself is not there inside.
    desk.read(&[], &[&link])?
        .prints(&format!("{x}: text of elsewhere/x"))?;
    let key = desk.at("to-key");
    let out = desk.read(&[], &[&key])?;
    out.prints(&format!("{key}: NONE"))?;
    out.complains("begin with a dot")
}

fn odd_names(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, READ_ONLY)?;
    for name in ["a b", "a[1]*?", "a{b}", "ü", "a=b", "a\"b'c\\"] {
        let path = desk.at(&format!("odd/{name}"));
        fs::create_dir_all(scene.home().join("odd"))?;
        fs::write(&path, "odd")?;
        desk.read(&[], &[&path])?.prints(&format!("{path}: odd"))?;
    }
    let path = desk.at("odd/${HOME}");
    fs::write(&path, "odd")?;
    desk.read(&[], &[&path])?.complains("no rule can name it")
}

/// As LibreOffice saves: a lock beside the document, a new file there, and that one in place of the old.
fn with_their_directory(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, "[desktop]\ndocuments = \"directory\"\n")?;
    for name in ["elsewhere/.env", "elsewhere/.~lock.x#", "at-home"] {
        fs::write(scene.home().join(name), format!("text of {name}"))?;
    }
    let x = desk.at("elsewhere/x");
    let script = "cd \"$(dirname \"$1\")\" && cat beside .~lock.x#
        echo locked >.~lock.y# && echo new >lu1.tmp && mv lu1.tmp \"$1\" && rm .~lock.y# && echo saved
        cat .env .hidden/x; echo planted >>.env; echo planted >>.hidden/x; cat ../other/y || echo nothing else";
    let line = ["/bin/sh", "-c", script, "sh"];
    let run = |document: &str| {
        scene
            .sandbox()
            .args(["--profile", "reader"])
            .program(line.iter().copied().chain([document]))
            .run()
    };
    run(&x)?.prints("text of elsewhere/besidetext of elsewhere/.~lock.x#saved\nnothing else")?;
    assert_eq!(fs::read_to_string(&x)?, "new\n");
    for name in ["elsewhere/.env", "elsewhere/.hidden/x"] {
        assert_eq!(
            fs::read_to_string(desk.at(name))?,
            format!("text of {name}")
        );
    }
    // Nor does a directory in which anybody may put files and sockets.
    fs::set_permissions(desk.at("elsewhere"), fs::Permissions::from_mode(0o1777))?;
    run(&x)?.prints("nothing else")?;
    // The home directory comes with no document, nor does one that is hidden or begins with a dot.
    let home = desk.at("at-home");
    desk.read(&[], &[&home])?
        .prints(&format!("{home}: text of at-home"))?;
    let list = ["/bin/ls", &desk.at("."), &home];
    let out = scene
        .sandbox()
        .args(["--profile", "reader"])
        .program(list)
        .run()?;
    assert!(!out.stdout().contains("other"), "{out}");
    for (name, why) in [
        ("closed/x", "the profile hides `~/closed`"),
        ("elsewhere/.hidden/x", "begin with a dot"),
    ] {
        let path = desk.at(name);
        let out = desk.read(&[], &[&path])?;
        out.prints(&format!("{path}: NONE"))?;
        out.complains(why)?;
    }
    Ok(())
}

/// What is mounted cannot be replaced, and GLib's programs fail where they can make the new file but not put it there. So
/// it is seen in a directory where they cannot, and write in place.
fn right_in_the_home_directory(scene: &Scene) -> Outcome {
    let desk = Desk::new(scene, "[desktop]\ndocuments = \"read-write\"\n")?;
    let script = "echo \"$1\"; touch \"${1#file://}.new\" || echo \"$2\" >>\"$1\"";
    for name in ["letter", "a \"b\" {1}=\\'.txt"] {
        let path = desk.at(name);
        fs::write(&path, "as it was\n")?;
        let seen = desk.at(&format!("opened/{name}"));
        let line = ["/bin/sh", "-c", script, "sh", &path, "changed"];
        let out = scene
            .sandbox()
            .args(["--profile", "reader"])
            .program(line)
            .run()?;
        out.prints(&seen)?;
        assert_eq!(fs::read_to_string(&path)?, "as it was\nchanged\n", "{out}");
    }
    // No rule can name a new place for this one.
    let path = desk.at("a[1]");
    fs::write(&path, "odd")?;
    desk.read(&[], &[&path])?.prints(&format!("{path}: odd"))?;
    let uri = format!("file://{}", desk.at("letter"));
    let line = ["/bin/echo", &uri];
    let out = scene
        .sandbox()
        .args(["--profile", "reader"])
        .program(line)
        .run()?;
    out.prints(&format!("file://{}", desk.at("opened/letter")))?;
    assert!(!scene.home().join("opened").exists());
    Ok(())
}
