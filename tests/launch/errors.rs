//! What the command line promises about mistakes: status, place, and that nothing is run.

use std::os::unix::fs::PermissionsExt;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("wrong_usage", &[], wrong_usage),
        case("every_mistake_is_told", &[], every_mistake_is_told),
        case("mistakes_of_all_files", &[], mistakes_of_all_files),
        case("on_the_command_line", &[], on_the_command_line),
        case("empty_profiles", &[], empty_profiles),
        case("odd_profiles", &[], odd_profiles),
        case(
            "profile_that_does_not_exist",
            &[],
            profile_that_does_not_exist,
        ),
        case("cycle", &[], cycle),
        case("names_are_no_paths", &[], names_are_no_paths),
        case("hostile_text_is_escaped", &[], hostile_text_is_escaped),
        case("step_that_fails", &[Need::OrdinaryUser], step_that_fails),
        case("not_found", USERNS, not_found),
        case("too_little_memory", &[Need::Limits], too_little_memory),
        case("not_executable", USERNS, not_executable),
        case("dry_run_runs_nothing", USERNS, dry_run_runs_nothing),
        case("dry_run_as_json", USERNS, dry_run_as_json),
        case("report_as_json", &[], report_as_json),
        case("quiet", &[], quiet),
        case("full_output", &[Need::File("/dev/full")], full_output),
    ]
}

fn run(scene: &Scene, profile: &str) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(profile)?
        .program(["echo", "was run"])
        .run()
}

fn wrong_usage(scene: &Scene) -> Outcome {
    for options in [
        vec!["--no-such-option"],
        vec!["--profile"],
        vec!["--set", "limits.memory"],
        vec!["--set", "nowhere.key=1"],
        vec!["--set", "=x"],
        vec!["--bind", "onlyone"],
        vec!["--env", "=x"],
        vec!["--net", "everything"],
        vec!["--memory", "lots"],
    ] {
        let out = scene
            .sandbox()
            .args(["--no-profile", "--set", "process.umask=0022"])
            .args(options)
            .program(["echo", "was run"])
            .run()?;
        out.exits_with(2)?.prints("")?;
        assert!(!out.stderr().trim().is_empty(), "{out}");
    }
    // Nothing says what the sandbox is to be.
    let out = scene
        .sandbox()
        .args(["--no-profile"])
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")
}

fn every_mistake_is_told(scene: &Scene) -> Outcome {
    let out = run(
        scene,
        "descriptin = \"x\"\n[limits]\nmemry = \"3G\"\npids = \"x\"\n[filesystm]\n\"/\" = \"read-only\"\n\
         [filesystem]\n\"/x\" = \"read-onyl\"\n",
    )?;
    out.exits_with(2)?.prints("")?;
    for text in [
        "profile-1.toml:1:1",
        "profile-1.toml:3:1",
        "profile-1.toml:4:8",
        "profile-1.toml:5:2",
        "profile-1.toml:8:8",
        "memory",
        "filesystem",
        "read-only",
        "description",
    ] {
        out.complains(text)?;
    }
    Ok(())
}

fn mistakes_of_all_files(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[limits]\nmemry = \"3G\"\n")?
        .profile_text("[process]\nnice = 99\n")?
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")?;
    out.complains("profile-1.toml:2:1")?;
    out.complains("profile-2.toml:2:8")
}

fn on_the_command_line(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\numask = \"022\"\n")?
        .args(["--set", "process.nice=99", "--set", "limits.memry=1G"])
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")?;
    out.complains("nice")?;
    out.complains("memry")
}

fn empty_profiles(scene: &Scene) -> Outcome {
    for text in [
        "",
        "\n\n",
        "# only a comment\n",
        "\0\0\0\0",
        "[limits]\n",
        "description = \"x\"\n",
        "[limits",
        "\u{feff}",
    ] {
        let out = run(scene, text)?;
        out.exits_with(2)
            .map_err(|error| format!("{text:?}: {error}"))?
            .prints("")?;
    }
    Ok(())
}

fn odd_profiles(scene: &Scene) -> Outcome {
    let fifo = scene.folder().join("fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let folder = scene.folder().join("folder.toml");
    std::fs::create_dir(&folder)?;
    for path in [
        fifo.display().to_string(),
        folder.display().to_string(),
        "/dev/zero".to_owned(),
        "/dev/null".to_owned(),
    ] {
        let out = scene
            .sandbox()
            .args(["--profile", &path])
            .program(["echo", "was run"])
            .limit(std::time::Duration::from_secs(if scene.host.is_virtual() {
                60
            } else {
                10
            }))
            .run()?;
        out.exits_with(2)?.prints("")?;
    }
    for text in [
        format!("x = {}\n", "[".repeat(200_000)),
        format!("{}x = 1\n", "a.".repeat(100_000)),
        format!("[limits]\nmemory = \"{}\"\n", "9".repeat(1 << 20)),
    ] {
        let out = run(scene, &text)?;
        out.exits_with(2)?.prints("")?;
    }
    Ok(())
}

fn profile_that_does_not_exist(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--profile", "no-such-profile"])
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")?;
    out.complains("no-such-profile")?;
    let out = scene
        .sandbox()
        .args(["--profile", "./no-such-file.toml"])
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")
}

fn cycle(scene: &Scene) -> Outcome {
    scene.install_profile("one", "extends = [\"two\"]\n[limits]\nopen-files = 99\n")?;
    scene.install_profile("two", "extends = [\"one\"]\n[limits]\nopen-files = 98\n")?;
    let out = scene
        .sandbox()
        .args(["--profile", "one"])
        .program(["echo", "was run"])
        .run()?;
    out.exits_with(2)?.prints("")?;
    out.complains("one")?;
    out.complains("two")
}

/// A bare name is never a file of the working directory.
fn names_are_no_paths(scene: &Scene) -> Outcome {
    scene.write("home/planted.toml", "[process]\numask = \"022\"\n")?;
    scene.write("home/planted", "[process]\numask = \"022\"\n")?;
    for name in ["planted", "planted.toml", "..", ".", "a/../../planted"] {
        let out = scene
            .sandbox()
            .args(["--profile", name])
            .program(["echo", "was run"])
            .run()?;
        out.exits_with(2)?.prints("")?;
    }
    scene
        .sandbox()
        .args(["--profile", "./planted.toml"])
        .program(["echo", "was run"])
        .run()?
        .succeeds()?
        .prints("was run")
}

fn hostile_text_is_escaped(scene: &Scene) -> Outcome {
    let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J\u{202e}";
    let mut all = vec![
        run(scene, &format!("\"x{hostile}\" = 1\n"))?,
        run(scene, "[limits]\nmemory = \"\\u001b[2J\"\n")?,
        run(scene, "[syscalls]\n\"\\u001b[2Jx\" = \"deny\"\n")?,
        run(
            scene,
            "[filesystem]\n\"/\\u001b[2J\\nforged: line\" = \"bad\"\n",
        )?,
    ];
    for program in [
        format!("no-such-{hostile}"),
        format!("/no/such\nsandbox: forged{hostile}"),
    ] {
        all.push(
            scene
                .sandbox()
                .profile_text("[process]\numask = \"022\"\n")?
                .program([program])
                .run()?,
        );
    }
    all.push(
        scene
            .sandbox()
            .args(["--profile".to_owned(), format!("x{hostile}")])
            .program(["true"])
            .run()?,
    );
    all.push(
        scene
            .sandbox()
            .args([format!("--x{hostile}")])
            .program(["true"])
            .run()?,
    );
    for out in all {
        assert!(!out.status.success(), "{out}");
        let said = out.stderr();
        for character in ['\u{1b}', '\u{7}', '\u{202e}'] {
            assert!(!said.contains(character), "{character:?} is in {said:?}");
        }
        assert!(
            !said.contains("\nsandbox: forged") && !said.contains("\nforged"),
            "{said:?}"
        );
    }
    Ok(())
}

fn step_that_fails(scene: &Scene) -> Outcome {
    let out = run(scene, "[process]\noom-score-adjust = -900\n")?;
    out.exits_with(125)?.prints("")?;
    out.complains("step")?;
    out.complains("profile-1.toml:2:")?;
    out.complains("EACCES")?;
    out.complains("nothing was run")
}

fn not_found(scene: &Scene) -> Outcome {
    for profile in [
        "[process]\numask = \"022\"\n",
        "[namespaces]\npid = true\n",
        "[syscalls]\nptrace = \"deny\"\n",
    ] {
        for program in ["no-such-program", "/no/such/program"] {
            let out = scene
                .sandbox()
                .profile_text(profile)?
                .program([program])
                .run()?;
            out.exits_with(127)?;
            out.complains(program)?;
        }
    }
    // A script is there; its interpreter is not.
    for (text, what) in [
        (
            "#!/no/such/interpreter -x\n",
            "interpreter `/no/such/interpreter`",
        ),
        ("#! /bin/sh\r\necho was run\r\n", "end as on Windows"),
    ] {
        let script = scene.write("script", text)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let folder = scene.folder().display().to_string();
        for (program, path) in [
            (script.display().to_string(), ""),
            ("script".to_owned(), folder.as_str()),
        ] {
            let out = scene
                .sandbox()
                .profile_text("[process]\numask = \"022\"\n")?
                .args(["--env", &format!("PATH={path}")])
                .program([program])
                .run()?;
            out.exits_with(127)?.prints("")?;
            out.complains(what)?;
        }
    }
    Ok(())
}

fn too_little_memory(scene: &Scene) -> Outcome {
    let out = run(scene, "[limits]\nmemory = \"8K\"\n")?;
    out.exits_with(125)?.prints("")?;
    out.complains("limits.memory")
}

fn not_executable(scene: &Scene) -> Outcome {
    let plain = scene.write("plain", "no program")?;
    let garbage = scene.write("garbage", "\x01\x02 no program")?;
    std::fs::set_permissions(&garbage, std::fs::Permissions::from_mode(0o755))?;
    for profile in [
        "[process]\numask = \"022\"\n",
        "[namespaces]\npid = true\n",
        "[syscalls]\nptrace = \"deny\"\n",
    ] {
        for (program, why) in [
            (plain.display().to_string(), "chmod +x"),
            (garbage.display().to_string(), "no script"),
            ("/".to_owned(), "it is a directory"),
        ] {
            let out = scene
                .sandbox()
                .profile_text(profile)?
                .program([&program])
                .run()?;
            out.exits_with(126)?;
            out.complains(&program)?;
            out.complains(why)?;
        }
    }
    Ok(())
}

const RICH: &str = "[namespaces]\npid = true\nuser = true\nnet = true\n[filesystem]\n\"/\" = \"read-only\"\n\
                    \"~/private\" = \"private\"\n\"/tmp\" = \"tmpfs\"\n[syscalls]\n\"@mount\" = \"deny\"\n\
                    [limits]\nopen-files = 100\n[environment]\nSET = \"1\"\n[process]\nterminal = \"new\"\n";

fn dry_run_runs_nothing(scene: &Scene) -> Outcome {
    std::fs::create_dir(scene.home().join("private"))?;
    let out = scene
        .sandbox()
        .profile_text(RICH)?
        .args(["--dry-run"])
        .program(["touch", "made"])
        .run()?;
    out.succeeds()?;
    assert!(!scene.home().join("made").exists());
    assert!(
        !scene.home().join(".local/share/sandbox").exists(),
        "directories were made"
    );
    let text = out.stdout();
    for part in [
        "/tmp",
        "read-only",
        "private",
        "net",
        "touch",
        "profile-1.toml:6",
        "nothing is run",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    Ok(())
}

fn dry_run_as_json(scene: &Scene) -> Outcome {
    std::fs::create_dir(scene.home().join("private"))?;
    let out = scene
        .sandbox()
        .profile_text(RICH)?
        .args(["--dry-run", "--json"])
        .program(["touch", "made"])
        .run()?;
    out.succeeds()?;
    let plan: serde_json::Value = serde_json::from_str(&out.stdout())?;
    let steps = plan["steps"].as_array().ok_or("no steps")?;
    assert!(steps.len() > 5, "{plan}");
    assert!(!scene.home().join("made").exists());
    Ok(())
}

fn report_as_json(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\numask = \"022\"\n")?
        .args(["--json"])
        .program(["sh", "-c", "kill -TERM $$"])
        .run()?;
    out.exits_with(143)?;
    let report: serde_json::Value = serde_json::from_str(&out.stderr())?;
    assert_eq!(
        (&report["status"], &report["signal"]),
        (&143.into(), &15.into()),
        "{report}"
    );
    Ok(())
}

fn quiet(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\ntimeout = \"500ms\"\n")?
        .args(["--quiet"])
        .program(["sleep", "100"])
        .run()?;
    out.exits_with(143)?;
    assert_eq!(out.stderr(), "", "{out}");
    Ok(())
}

/// An answer that cannot be written is not a success.
fn full_output(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .behind(["sh", "-c", "exec \"$@\" >/dev/full", "sh"])
        .profile_text("[process]\numask = \"022\"\n")?
        .args(["--dry-run"])
        .program(["true"])
        .run()?;
    assert_ne!(out.code(), 0, "{out}");
    Ok(())
}
