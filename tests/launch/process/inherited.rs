//! What comes from the caller: descriptors, variables, keys, signals, words.

use std::fs;

use super::super::support::{Case, Outcome, Scene, case};
use super::{USERNS, script};

pub fn cases() -> Vec<Case> {
    vec![
        case("descriptors", &[], descriptors),
        case("closed_streams", USERNS, closed_streams),
        case("environment_passed", &[], environment_passed),
        case("environment_clean", &[], environment_clean),
        case("environment_patterns", &[], environment_patterns),
        case("environment_options", &[], environment_options),
        case(
            "path_inside_finds_the_program",
            &[],
            path_inside_finds_the_program,
        ),
        case("session_keyring", &[], session_keyring),
        case("signals_start_fresh", USERNS, signals_start_fresh),
        case("standard_input", USERNS, standard_input),
        case("arguments_as_given", &[], arguments_as_given),
    ]
}

fn descriptors(scene: &Scene) -> Outcome {
    for profile in [
        "[process]\numask = \"022\"\n",
        "[namespaces]\npid = true\n[syscalls]\nptrace = \"deny\"\n",
        "[filesystem]\n\"/srv\" = \"read-only\"\n[limits]\nopen-files = 64\n",
    ] {
        if profile.contains('/') && scene.host.no_userns.is_some() {
            continue;
        }
        let out = scene
            .sandbox()
            .behind([
                "sh",
                "-c",
                "exec 3</ 7</etc/passwd 9>/dev/null; exec \"$@\"",
                "sh",
            ])
            .profile_text(profile)?
            .probe(["fds"])
            .run()?;
        out.succeeds()?;
        let text = out.stdout();
        let numbers: Vec<_> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(numbers, ["0", "1", "2"], "{profile}{out}");
    }
    // Control: without the launcher they are there.
    let out = scene
        .command("/bin/sh")
        .args(["-c", "exec 7</etc/passwd; exec \"$0\" probe fds"])
        .args([std::env::current_exe()?])
        .run()?;
    assert!(out.stdout().contains("/etc/passwd"), "{out}");
    Ok(())
}

/// Started without standard streams, nothing of ours may land on their numbers.
fn closed_streams(scene: &Scene) -> Outcome {
    let note = scene.home().join("note");
    let out = scene
        .sandbox()
        .behind(["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
        .profile_text("[namespaces]\npid = true\n[filesystem]\n\"/srv\" = \"read-only\"\n")?
        .program([
            "sh",
            "-c",
            "for fd in 0 1 2; do readlink /proc/self/fd/$fd || echo none; done 3>\"$0\" >&3; \
             ls /proc/self/fd >>\"$0\"",
            &note.display().to_string(),
        ])
        .run()?;
    let said = fs::read_to_string(&note).unwrap_or_default();
    let first: Vec<_> = said.lines().take(3).collect();
    // 1 is the note itself by the redirection.
    assert!(
        matches!(
            first.as_slice(),
            ["/dev/null" | "none", _, "/dev/null" | "none"]
        ),
        "{said}{out}"
    );
    Ok(())
}

fn environment_passed(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[environment]\nGONE = false\nCHANGED = \"new value\"\nADDED = \"\"\n")?
        .env("KEPT", "kept value")
        .env("GONE", "x")
        .env("CHANGED", "old")
        .program(["env"])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let has = |line: &str| text.lines().any(|one| one == line);
    assert!(
        has("KEPT=kept value") && has("CHANGED=new value") && has("ADDED="),
        "{out}"
    );
    assert!(!text.contains("GONE"), "{out}");
    Ok(())
}

fn environment_clean(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(
            "[environment]\ndefault = \"clean\"\nPATH = true\nKEPT = true\nABSENT = true\nSET = \"1\"\n",
        )?
        .env("KEPT", "yes")
        .env("SECRET", "s3cret")
        .env("LD_PRELOAD", "")
        .program(["env"])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let mut names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["KEPT", "PATH", "SET"], "{out}");
    Ok(())
}

fn environment_patterns(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(
            "[environment]\n\"APP_*\" = false\n\"APP_KEEP_*\" = true\nAPP_KEEP_NOT = false\nAPP_SET = \"x\"\n",
        )?
        .env("APP_ONE", "1")
        .env("APP_KEEP_ONE", "1")
        .env("APP_KEEP_NOT", "1")
        .env("APP_SET", "1")
        .env("OTHER", "1")
        .program(["sh", "-c", "env | grep -e APP -e OTHER | sort"])
        .run()?;
    out.succeeds()?.prints("APP_KEEP_ONE=1\nAPP_SET=x\nOTHER=1")
}

fn environment_options(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[environment]\nA = \"profile\"\nB = \"profile\"\n")?
        .args(["--env", "A=option=1", "--unset-env", "B", "--env", "C=new"])
        .program(["sh", "-c", "echo $A.$B.$C"])
        .run()?;
    out.succeeds()?.prints("option=1..new")
}

/// `PATH` for the program is what the profile says, and relative entries do not count.
fn path_inside_finds_the_program(scene: &Scene) -> Outcome {
    let folder = scene.home().join("tools");
    fs::create_dir(&folder)?;
    fs::copy("/bin/echo", folder.join("only-here"))?;
    let run = |path: String| {
        scene
            .sandbox()
            .profile_text(&format!("[environment]\nPATH = \"{path}\"\n"))?
            .in_folder(&folder)
            .program(["only-here", "found"])
            .run()
    };
    run(format!("/usr/bin:{}", folder.display()))?
        .succeeds()?
        .prints("found")?;
    run("/usr/bin:.:".to_owned())?.exits_with(127)?.prints("")
}

fn session_keyring(scene: &Scene) -> Outcome {
    let own = std::env::current_exe()?.display().to_string();
    let with_key = [own.as_str(), "probe", "with-key", "sandbox-case"];
    let control = scene
        .command(&own)
        .args([
            "probe",
            "with-key",
            "sandbox-case",
            &own,
            "probe",
            "do",
            "key@sandbox-case",
        ])
        .run()?;
    if !control.status.success() {
        return Ok(()); // no keyrings on this host
    }
    control.answers(&[("key@sandbox-case", "found")])?;
    let run = |profile: &str| {
        scene
            .sandbox()
            .behind(with_key)
            .profile_text(profile)?
            .deeds(["key@sandbox-case"])
            .run()
    };
    for profile in [
        "[process]\numask = \"022\"\n",
        "[process]\nsession-keyring = \"new\"\nno-new-privileges = true\n",
    ] {
        run(profile)?.answers(&[("key@sandbox-case", "ENOKEY|EACCES|EPERM")])?;
    }
    run("[process]\nsession-keyring = \"caller\"\n")?.answers(&[("key@sandbox-case", "found")])
}

fn signals_start_fresh(scene: &Scene) -> Outcome {
    // Ignored by the caller; a program under the launcher starts with nothing ignored or blocked.
    let out = scene
        .sandbox()
        .behind([
            "sh",
            "-c",
            "trap '' CHLD PIPE INT QUIT USR1; exec \"$@\"",
            "sh",
        ])
        .profile_text("[namespaces]\npid = true\n")?
        .deeds(["status@SigIgn", "status@SigBlk"])
        .run()?;
    // Rust's runtime ignores SIGPIPE (bit 12) in the probe itself.
    out.answers(&[
        ("status@SigIgn", "0000000000001000"),
        ("status@SigBlk", "0000000000000000"),
    ])
}

fn standard_input(scene: &Scene) -> Outcome {
    let out = script(scene, "[namespaces]\npid = true\n", "cat; echo end")?;
    out.succeeds()?.prints("end")?;
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\npid = true\n[process]\nterminal = \"new\"\n")?
        .stdin("some words\n")
        .program(["cat"])
        .run()?;
    out.succeeds()?.prints("some words")
}

fn arguments_as_given(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\numask = \"022\"\n")?
        .program([
            "printf",
            "[%s]",
            "",
            "a b",
            "--profile",
            "-x",
            "\u{e9}\n",
            "*",
            "$HOME",
        ])
        .run()?;
    out.succeeds()?
        .prints("[][a b][--profile][-x][\u{e9}\n][*][$HOME]")?;
    // Options after the program are the program's, also without `--`.
    let out = scene
        .command(super::super::support::binary("sandbox"))
        .args([
            "--no-profile",
            "--set",
            "process.umask=0077",
            "echo",
            "--profile",
            "none",
            "--help",
        ])
        .run()?;
    out.succeeds()?.prints("--profile none --help")
}
