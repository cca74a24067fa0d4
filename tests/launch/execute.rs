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
        case(
            "a_loader_is_handed_programs",
            BOTH,
            a_loader_is_handed_programs,
        ),
        case("libraries_elsewhere", BOTH, libraries_elsewhere),
        case("denied_below_allowed", BOTH, denied_below_allowed),
        case("programs_in_memory", BOTH, programs_in_memory),
        case("what_is_made_inside", BOTH, what_is_made_inside),
        case("many_programs", BOTH, many_programs),
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

const VIEW: &str = "[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n[capabilities]\ndefault = \"drop\"\n";

/// Behind a view a loader that may run loads what may run, and libraries.
fn a_loader_is_handed_programs(scene: &Scene) -> Outcome {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    if !std::path::Path::new(loader).exists() {
        return Ok(());
    }
    let script = format!(
        "{loader} /usr/bin/id; echo id=$?; {loader} /usr/bin/env true; echo env=$?; {loader} /usr/bin/env sh -c 'echo again'"
    );
    for view in [VIEW, "[namespaces]\npid = true\n"] {
        let line = scene.sandbox().profile_text(&format!("{SHELL}{view}"))?;
        let out = line.program(["sh", "-c", &script]).run()?;
        // `env` may run, and starts nothing that may not.
        out.prints("id=127\nenv=126\nagain")?;
        out.complains("failed to map segment")?;
    }
    // What [filesystem] keeps from being executed stays so, whatever this section allows.
    let both = format!(
        "{SHELL}[filesystem]\n\"/\" = \"read-only\"\n\"/usr/bin/env\" = {{ access = \"read-only\", execute = false }}\n"
    );
    let line = scene.sandbox().profile_text(&both)?;
    let out = line.program(["sh", "-c", "env true; echo $?"]).run()?;
    out.prints("126")
}

/// A library that a program loads from a directory of its own: not mapped, until a rule says so.
fn libraries_elsewhere(scene: &Scene) -> Outcome {
    let probe = super::support::own_path();
    let probe = probe.display();
    let own = scene.home().join("own");
    std::fs::create_dir(&own)?;
    std::fs::copy("/bin/true", own.join("library"))?;
    let map = format!("map@{}", own.join("library").display());
    let exec = format!("exec@{}", own.join("library").display());
    let run = |rule: &str| {
        let text = format!("[execute]\n\"{probe}\" = \"allow\"\n{rule}{VIEW}");
        let line = scene.sandbox().profile_text(&text)?;
        line.deeds([&map, &exec]).run()
    };
    run("")?.answers(&[(&map, "EPERM"), (&exec, "EACCES")])?;
    let folder = own.display();
    run(&format!("\"{folder}\" = \"map\"\n"))?.answers(&[(&map, "ok"), (&exec, "EACCES")])?;
    run(&format!("\"{folder}\" = \"allow\"\n"))?.answers(&[(&map, "ok"), (&exec, "Some(0)")])?;
    // It is told, and what cannot be had is refused.
    let text = format!("[execute]\n\"{probe}\" = \"allow\"\n{VIEW}");
    let plan = scene.sandbox().profile_text(&text)?.args(["--dry-run"]);
    let plan = plan.program(["true"]).run()?;
    plan.succeeds()?.says("= \"map\"")?;
    let out = run("\"/usr\" = \"allow\"\n\"/usr/lib\" = \"map\"\n")?;
    out.exits_with(125)?.complains("above it is allowed")
}

/// A mount holds what Landlock cannot: one program of a directory that is allowed.
fn denied_below_allowed(scene: &Scene) -> Outcome {
    let script = "id -u; echo id=$?; true; /usr/bin/true && echo true; mv /usr/bin/id /usr/bin/other; cp /usr/bin/id /tmp/id && /tmp/id -u >/dev/null; echo copy=$?";
    for (default, copy) in [("deny", "126"), ("allow", "0")] {
        let rules = format!(
            "[execute]\ndefault = \"{default}\"\n\"/usr\" = \"allow\"\n\"/usr/bin/id\" = \"deny\"\n"
        );
        let line = scene.sandbox().profile_text(&format!("{rules}{VIEW}"))?;
        let out = line.program(["sh", "-c", script]).run()?;
        out.prints(&format!("id=126\ntrue\ncopy={copy}"))?;
        let plan = scene.sandbox().profile_text(&format!("{rules}{VIEW}"))?;
        let plan = plan.args(["--dry-run"]).program(["true"]).run()?;
        let told = plan.succeeds()?.stdout().contains("can be run as a copy");
        assert_eq!(told, default == "allow", "{plan}");
    }
    // In a directory that can be written it is not moved aside.
    let own = scene.home().join("own");
    std::fs::create_dir(&own)?;
    std::fs::copy("/bin/true", own.join("one"))?;
    std::fs::copy("/bin/true", own.join("other"))?;
    let at = |name: &str| own.join(name).display().to_string();
    let probe = super::support::own_path();
    let text = format!(
        "[execute]\n\"{}\" = \"allow\"\n\"{}\" = \"allow\"\n\"{}\" = \"deny\"\n{VIEW}[filesystem]\n\"{}\" = \"read-write\"\n",
        probe.display(),
        own.display(),
        at("one"),
        own.display()
    )
    .replacen("[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n", "", 1)
    .replace("[filesystem]\n", "[filesystem]\n\"/\" = \"read-only\"\n");
    let deeds = [
        (format!("exec@{}", at("other")), "Some(0)"),
        (format!("exec@{}", at("one")), "EACCES"),
        (format!("map@{}", at("one")), "EPERM"),
        (format!("rename@{}@{}", at("one"), at("moved")), "EBUSY"),
        (format!("link@{}@{}", at("one"), at("linked")), "EXDEV"),
        (format!("umount@{}", at("one")), "EPERM"),
    ];
    let line = scene.sandbox().profile_text(&text)?;
    let out = line.deeds(deeds.iter().map(|(deed, _)| deed)).run()?;
    out.answers(&deeds)
}

/// What is only in memory has no path: a filter holds it, and the plan says so.
fn programs_in_memory(scene: &Scene) -> Outcome {
    let probe = super::support::own_path();
    let rules = format!("[execute]\n\"{}\" = \"allow\"\n{VIEW}", probe.display());
    let deed = "memfd@/bin/true";
    let run = |more: &str| {
        let line = scene.sandbox().profile_text(&format!("{rules}{more}"))?;
        line.deeds([deed]).run()
    };
    run("")?.answers(&[(deed, "Some(0)")])?;
    run("[syscalls]\nmemfd_create = \"deny\"\n")?.answers(&[(deed, "EPERM")])
}

/// What a program makes for itself cannot be run, nor handed to the loader, nor mapped.
fn what_is_made_inside(scene: &Scene) -> Outcome {
    let probe = super::support::own_path();
    let text = format!(
        "[execute]\n\"{}\" = \"allow\"\n[filesystem]\n\"/\" = \"read-only\"\n\"/tmp\" = \"tmpfs\"\n\"~\" = \"private\"\n\
         [capabilities]\ndefault = \"drop\"\n",
        probe.display()
    );
    let home = scene.home().join("made").display().to_string();
    let mut deeds = Vec::new();
    for at in ["/tmp/made", &home] {
        deeds.push((format!("copy@/usr/bin/true@{at}"), "ok"));
        deeds.push((format!("exec@{at}"), "EACCES"));
        deeds.push((format!("map@{at}"), "EPERM"));
        deeds.push((format!("remount@{}", at.trim_end_matches("/made")), "EPERM"));
    }
    let line = scene.sandbox().profile_text(&text)?;
    let out = line.deeds(deeds.iter().map(|(deed, _)| deed)).run()?;
    out.succeeds()?.answers(&deeds)
}

/// A pattern that matches a whole directory is not a mount a file.
fn many_programs(scene: &Scene) -> Outcome {
    let text = format!("[execute]\n\"/usr/bin/*\" = \"allow\"\n\"/usr/bin/id\" = \"deny\"\n{VIEW}");
    let line = scene.sandbox().profile_text(&text)?;
    let script = "id; echo $?; true && env true && echo ran";
    line.program(["sh", "-c", script])
        .run()?
        .prints("126\nran")?;
    let plan = scene.sandbox().profile_text(&text)?;
    let plan = plan.args(["--dry-run", "--json"]).program(["true"]).run()?;
    let mounts = plan.succeeds()?.stdout().matches("\"mount-host\"").count();
    assert!((1..40).contains(&mounts), "{mounts} mounts\n{plan}");
    Ok(())
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
