//! `[execute]`: which programs can be run at all, as found from inside.

use super::support::{Case, Need, Outcome, Scene, case};

const LANDLOCK: &[Need] = &[Need::Landlock(2)];
const BOTH: &[Need] = &[Need::Landlock(2), Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "only_what_is_allowed_is_run",
            LANDLOCK,
            only_what_is_allowed,
        ),
        case("behind_a_view", BOTH, behind_a_view),
        case("the_program_itself", LANDLOCK, the_program_itself),
        case("what_it_does_not_stop", LANDLOCK, what_it_does_not_stop),
        case("without_a_loader", LANDLOCK, without_a_loader),
        case("what_cannot_be_held", LANDLOCK, what_cannot_be_held),
        case(
            "files_can_still_be_moved",
            LANDLOCK,
            files_can_still_be_moved,
        ),
    ]
}

const SHELL: &str = "[execute]\n\"/bin/sh\" = \"allow\"\n\"/usr/bin/env\" = \"allow\"\n";

fn only_what_is_allowed(scene: &Scene) -> Outcome {
    let script = "env true; echo env=$?; id; echo id=$?; /usr/bin/env sh -c 'echo again'";
    let line = scene.sandbox().profile_text(SHELL)?;
    let out = line.program(["sh", "-c", script]).run()?;
    out.prints("env=126\nid=126\nagain")?;
    // A directory is allowed with all that is below it.
    let all = "[execute]\ndefault = \"deny\"\n\"/usr/bin\" = \"allow\"\n";
    let line = scene.sandbox().profile_text(all)?;
    let out = line
        .program(["sh", "-c", "/usr/bin/true && echo ok"])
        .run()?;
    out.prints("ok")
}

fn behind_a_view(scene: &Scene) -> Outcome {
    let view = format!("{SHELL}[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n");
    let script =
        "id; echo id=$?; cp /usr/bin/env /tmp/env; /tmp/env; echo copy=$?; env sh -c 'echo again'";
    for more in ["", "[namespaces]\npid = true\n"] {
        let line = scene.sandbox().profile_text(&format!("{view}{more}"))?;
        // Neither is cp allowed, so that nothing is copied at all.
        let out = line.program(["sh", "-c", script]).run()?;
        out.prints("id=126\ncopy=127\nagain")?;
    }
    // A copy is another file, and lies where nothing is allowed.
    let text = format!(
        "[execute]\n\"/bin/cp\" = \"allow\"\n{}",
        view.replace("[execute]\n", "")
    );
    let line = scene.sandbox().profile_text(&text)?;
    let out = line.program(["sh", "-c", script]).run()?;
    out.prints("id=126\ncopy=126\nagain")
}

fn the_program_itself(scene: &Scene) -> Outcome {
    let line = scene.sandbox().profile_text(SHELL)?;
    let out = line.program(["/usr/bin/id"]).run()?;
    out.exits_with(126)?
        .complains("is not allowed by [execute]")?;
    let none = "[execute]\ndefault = \"deny\"\n";
    let plan = scene.sandbox().profile_text(none)?.args(["--dry-run"]);
    let plan = plan.program(["true"]).run()?;
    let text = plan.succeeds()?.stdout();
    assert!(text.contains("nothing can be started"), "{plan}");
    assert!(text.contains("let nothing be executed but"), "{plan}");
    Ok(())
}

/// The manual says so; should it change, the manual has to.
fn what_it_does_not_stop(scene: &Scene) -> Outcome {
    let script = scene.write("script", "echo read by an interpreter\n")?;
    let script = script.display().to_string();
    let line = scene.sandbox().profile_text(SHELL)?;
    let out = line.program(["sh", &script]).run()?;
    out.prints("read by an interpreter")?;
    let loader = "/lib64/ld-linux-x86-64.so.2";
    if std::path::Path::new(loader).exists() {
        let line = scene.sandbox().profile_text(SHELL)?;
        let command = format!("{loader} /usr/bin/printf through-the-loader");
        let out = line.program(["sh", "-c", &command]).run()?;
        out.prints("through-the-loader")?;
    }
    // What is only in memory is told in the plan, unless the filter forbids it.
    let plan = |more: &str| {
        let text = format!("{SHELL}{more}");
        let line = scene.sandbox().profile_text(&text)?.args(["--dry-run"]);
        line.program(["true"]).run()
    };
    assert!(plan("")?.succeeds()?.stdout().contains("in memory can"));
    let filtered = plan("[syscalls]\nmemfd_create = \"deny\"\n")?;
    assert!(
        !filtered.succeeds()?.stdout().contains("in memory can"),
        "{filtered}"
    );
    Ok(())
}

/// Denied, the loader loads nothing, and no program with libraries starts.
fn without_a_loader(scene: &Scene) -> Outcome {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    if !std::path::Path::new(loader).exists() {
        return Ok(());
    }
    let text = format!("{SHELL}\"{loader}\" = \"deny\"\n");
    let line = scene.sandbox().profile_text(&text)?;
    let out = line.program(["sh", "-c", "echo x"]).run()?;
    out.exits_with(126)?.complains("its loader")
}

fn what_cannot_be_held(scene: &Scene) -> Outcome {
    let run = |text: &str, options: &[&str]| {
        let line = scene.sandbox().profile_text(text)?.args(options.to_vec());
        line.program(["sh", "-c", "id -u >/dev/null; echo $?"])
            .run()
    };
    for text in [
        "[execute]\n\"/usr\" = \"allow\"\n\"/usr/bin/id\" = \"deny\"\n",
        "[execute]\ndefault = \"allow\"\n\"/usr/bin/id\" = \"deny\"\n",
    ] {
        let out = run(text, &[])?;
        out.exits_with(125)?
            .complains("Landlock takes nothing away")?;
        out.complains("/usr/bin/id")?;
        let out = run(text, &["--best-effort"])?;
        out.prints("0")?;
        out.complains("cannot be applied")?;
    }
    let out = run(
        "[execute]\ndefault = \"deny\"\n[process]\nlandlock = false\n",
        &[],
    )?;
    out.exits_with(125)?
        .complains("`process.landlock` is false")?;
    let out = run(
        "[execute]\ndefault = \"deny\"\n[process]\nnested = true\n",
        &[],
    )?;
    out.exits_with(125)?.complains("process.nested")
}

/// Landlock's rule about moving files is not this section's.
fn files_can_still_be_moved(scene: &Scene) -> Outcome {
    let folder = scene.folder().join("move");
    std::fs::create_dir_all(folder.join("a"))?;
    std::fs::create_dir_all(folder.join("b"))?;
    std::fs::write(folder.join("a/file"), "x")?;
    let text = format!("{SHELL}\"/bin/mv\" = \"allow\"\n\"/bin/ln\" = \"allow\"\n");
    let line = scene.sandbox().profile_text(&text)?.in_folder(&folder);
    let script = "mv a/file b/file && ln b/file a/other && echo moved";
    line.program(["sh", "-c", script]).run()?.prints("moved")
}
