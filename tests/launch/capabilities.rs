//! `[capabilities]` and what else gives power: kept and dropped sets, set-user-ID programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("none_in_a_user_namespace", USERNS, none_in_a_user_namespace),
        case("none_when_dropped", &[], none_when_dropped),
        case("kept_in_a_user_namespace", USERNS, kept_in_a_user_namespace),
        case("kept_one_works", USERNS, kept_one_works),
        case("kept_one_is_ambient", USERNS, kept_one_is_ambient),
        case("all_but_one", &[Need::Root], all_but_one),
        case(
            "root_keeps_what_nobody_drops",
            &[Need::Root],
            root_keeps_what_nobody_drops,
        ),
        case("dropped_for_good", &[Need::Root], dropped_for_good),
        case("set_user_id_program", &[Need::Root], set_user_id_program),
        case(
            "set_user_id_program_of_the_system",
            &[Need::OrdinaryUser, Need::Program("su")],
            set_user_id_program_of_the_system,
        ),
        case("no_new_privileges", &[], no_new_privileges),
        case("needed_no_new_privileges", &[], needed_no_new_privileges),
        case("mistakes", &[], mistakes),
    ]
}

const SETS: [&str; 5] = [
    "status@CapInh",
    "status@CapPrm",
    "status@CapEff",
    "status@CapBnd",
    "status@CapAmb",
];
const NONE: &str = "0000000000000000";
/// CAP_NET_BIND_SERVICE is number 10.
const BIND: &str = "0000000000000400";

fn sets(scene: &Scene, profile: &str) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(profile)?
        .deeds(SETS.iter().copied().chain(["status@NoNewPrivs"]))
        .run()
}

fn all_are(out: &Finished, value: &str) -> Outcome {
    out.answers(&SETS.map(|set| (set, value)))
}

fn none_in_a_user_namespace(scene: &Scene) -> Outcome {
    for profile in [
        "[namespaces]\nuser = true\n",
        "[user]\nuid = \"root\"\n",
        "[namespaces]\nuser = true\npid = true\n[filesystem]\n\"/\" = \"read-only\"\n",
        "[namespaces]\nuser = true\n[process]\nno-new-privileges = true\n",
    ] {
        let out = sets(scene, profile)?;
        out.succeeds()?;
        // No exec gives anything under no_new_privs, so that the bounding set is of no consequence.
        if out.answer("status@NoNewPrivs") == "1" {
            out.answers(&[SETS[0], SETS[1], SETS[2], SETS[4]].map(|set| (set, NONE)))?;
        } else {
            all_are(&out, NONE)?;
        }
    }
    Ok(())
}

fn none_when_dropped(scene: &Scene) -> Outcome {
    let out = sets(scene, "[capabilities]\ndefault = \"drop\"\n")?;
    out.succeeds()?;
    if scene.host.is_root() {
        return all_are(&out, NONE);
    }
    // An ordinary user cannot cut the bounding set; then nothing may be gained from it.
    let bounding = out.answer("status@CapBnd");
    assert!(
        bounding == NONE || out.answer("status@NoNewPrivs") == "1",
        "{out}"
    );
    out.answers(&[
        ("status@CapInh", NONE),
        ("status@CapPrm", NONE),
        ("status@CapEff", NONE),
        ("status@CapAmb", NONE),
    ])
}

fn kept_in_a_user_namespace(scene: &Scene) -> Outcome {
    let out = sets(
        scene,
        "[namespaces]\nuser = true\n[capabilities]\nnet_bind_service = \"keep\"\n",
    )?;
    out.succeeds()?;
    all_are(&out, BIND)?;
    let out = sets(
        scene,
        "[namespaces]\nuser = true\n[capabilities]\nCAP_NET_BIND_SERVICE = \"keep\"\n",
    );
    // Both spellings are documented; upper case need not be accepted.
    let out = out?;
    assert!(
        out.code() == 2 || out.answer("status@CapEff") == BIND,
        "{out}"
    );
    Ok(())
}

fn kept_one_works(scene: &Scene) -> Outcome {
    let run = |rules: &str| {
        scene
            .sandbox()
            .profile_text(&format!(
                "[namespaces]\nuser = true\nnet = true\n[capabilities]\n{rules}"
            ))?
            .deeds(["bindport@80", "bindport@8080", "call@chroot@s:/"])
            .run()
    };
    run("default = \"drop\"\n")?.answers(&[("bindport@80", "EACCES"), ("bindport@8080", "ok")])?;
    run("net_bind_service = \"keep\"\n")?
        .answers(&[("bindport@80", "ok"), ("call@chroot@s:/", "EPERM")])?;
    run("default = \"keep\"\n")?.answers(&[("bindport@80", "ok"), ("call@chroot@s:/", "= 0")])?;
    run("default = \"keep\"\nsys_chroot = \"drop\"\n")?
        .answers(&[("bindport@80", "ok"), ("call@chroot@s:/", "EPERM")])
}

/// It survives the exec of a shell and of what that starts.
fn kept_one_is_ambient(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[namespaces]\nuser = true\n[capabilities]\nnet_bind_service = \"keep\"\n")?
        .program(["sh", "-c", "sh -c 'grep Cap /proc/self/status; true'"])
        .run()?;
    out.succeeds()?;
    assert_eq!(out.stdout().matches(BIND).count(), 5, "{out}");
    Ok(())
}

fn all_but_one(scene: &Scene) -> Outcome {
    let before = fs::read_to_string("/proc/self/status")?;
    let before = before
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    let before = u64::from_str_radix(before.ok_or("no CapEff")?, 16)?;
    let out = sets(
        scene,
        "[capabilities]\ndefault = \"keep\"\nsys_admin = \"drop\"\n",
    )?;
    out.succeeds()?;
    let expected = format!("{:016x}", before & !(1 << 21));
    out.answers(&[
        ("status@CapEff", expected.as_str()),
        ("status@CapPrm", expected.as_str()),
        ("status@CapBnd", expected.as_str()),
    ])
}

fn root_keeps_what_nobody_drops(scene: &Scene) -> Outcome {
    let control = scene
        .command(std::env::current_exe()?)
        .args(["probe", "do"])
        .args(SETS)
        .run()?;
    for profile in [
        "[process]\numask = \"022\"\n",
        "[limits]\nopen-files = 100\n",
    ] {
        let out = sets(scene, profile)?;
        for set in SETS {
            assert_eq!(out.answer(set), control.answer(set), "{set}");
        }
    }
    Ok(())
}

fn dropped_for_good(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[capabilities]\ndefault = \"drop\"\n")?
        .deeds([
            "ids",
            "call@setuid@0",
            "call@setresuid@0@0@0",
            "status@CapEff",
            "call@prctl@47@2@21@0@0", // PR_CAP_AMBIENT_RAISE
            "call@prctl@28@0@0@0@0",  // securebits
            "call@unshare@0x20000",   // CLONE_NEWNS
            "call@chroot@s:/",
            "call@sethostname@s:x@1",
            "call@mount@0@s:/@0@0x40000@0",
        ])
        .run()?;
    out.answers(&[
        ("call@setuid@0", "= 0"),
        ("status@CapEff", NONE),
        ("call@prctl@47@2@21@0@0", "EPERM"),
        ("call@prctl@28@0@0@0@0", "EPERM"),
        ("call@unshare@0x20000", "EPERM"),
        ("call@chroot@s:/", "EPERM"),
        ("call@sethostname@s:x@1", "EPERM"),
        ("call@mount@0@s:/@0@0x40000@0", "EPERM"),
    ])?;
    // Nor by starting something else as root.
    let out = scene
        .sandbox()
        .profile_text("[capabilities]\ndefault = \"drop\"\n")?
        .program(["sh", "-c", "grep CapEff /proc/self/status"])
        .run()?;
    out.prints(&format!("CapEff:\t{NONE}"))
}

/// A set-user-ID copy of this program, in a place without nosuid.
fn set_user_id_program(scene: &Scene) -> Outcome {
    let tool = scene.folder().join("tool");
    fs::copy(std::env::current_exe()?, &tool)?;
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755))?;
    let tool = tool.display().to_string();
    let run = |profile: &str| {
        scene
            .sandbox()
            .profile_text(profile)?
            .in_folder("/")
            .program([
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ])
            .program(vec![
                "setpriv".to_owned(),
                "--reuid=65534".to_owned(),
                "--regid=65534".to_owned(),
                "--clear-groups".to_owned(),
                tool.clone(),
                "probe".to_owned(),
                "do".to_owned(),
                "ids".to_owned(),
                "status@CapEff".to_owned(),
            ])
            .run()
    };
    // Control: it works where nothing speaks against it.
    let out = run("[process]\numask = \"022\"\n")?;
    assert!(out.answer("ids").starts_with("0 "), "{out}");
    for profile in [
        "[process]\nno-new-privileges = true\n",
        "[syscalls]\nptrace = \"deny\"\n",
        "[filesystem]\n\"/srv\" = \"read-only\"\n",
        "[namespaces]\npid = true\n",
        "[devices]\ndefault = \"minimal\"\n",
    ] {
        let out = run(profile)?;
        out.answers(&[("ids", "65534 65534 []"), ("status@CapEff", NONE)])
            .map_err(|error| format!("{profile}{error}"))?;
    }
    Ok(())
}

fn set_user_id_program_of_the_system(scene: &Scene) -> Outcome {
    let run = |profile: &str| -> Result<String, Box<dyn std::error::Error>> {
        let mut run = scene
            .sandbox()
            .profile_text(profile)?
            .on_terminal()
            .program(["su", "root"])
            .spawn()?;
        let asked = run.wait_for("assword");
        let mut uids = Vec::new();
        for pid in run.descendants() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if status.starts_with("Name:\tsu\n") {
                uids.extend(
                    status
                        .lines()
                        .find(|line| line.starts_with("Uid:"))
                        .map(str::to_owned),
                );
            }
        }
        if asked.is_ok() {
            run.type_in(b"not the password\n")?;
        }
        let _ = run.wait()?; // it refuses
        Ok(uids.concat())
    };
    let effective = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
    let control = run("[process]\numask = \"022\"\n")?;
    assert_eq!(effective(&control).as_deref(), Some("0"), "{control}");
    for profile in [
        "[process]\nno-new-privileges = true\n",
        "[syscalls]\nptrace = \"deny\"\n",
    ] {
        let found = run(profile)?;
        // It may as well have ended at once, without asking.
        assert_ne!(
            effective(&found).as_deref(),
            Some("0"),
            "{profile}: {found}"
        );
    }
    Ok(())
}

fn no_new_privileges(scene: &Scene) -> Outcome {
    for (profile, value) in [
        ("[process]\nno-new-privileges = true\n", "1"),
        ("[process]\nno-new-privileges = false\n", "0"),
        ("[process]\numask = \"022\"\n", "0"),
        ("[syscalls]\nptrace = \"deny\"\n", "1"),
    ] {
        let out = scene
            .sandbox()
            .profile_text(profile)?
            .deeds(["status@NoNewPrivs"])
            .run()?;
        out.answers(&[("status@NoNewPrivs", value)])?;
    }
    Ok(())
}

fn needed_no_new_privileges(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text("[process]\nno-new-privileges = false\n[syscalls]\nptrace = \"deny\"\n")?
        .program(["echo", "was run"])
        .run()?;
    assert!(matches!(out.code(), 2 | 125), "{out}");
    out.prints("")?;
    out.complains("profile-1.toml:2:")
}

fn mistakes(scene: &Scene) -> Outcome {
    for (rule, said) in [
        ("net_bind_servic = \"keep\"", "net_bind_service"),
        ("net_raw = \"maybe\"", "maybe"),
        ("net_raw = true", ":2:11"),
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[capabilities]\n{rule}\n"))?
            .program(["echo", "was run"])
            .run()?;
        out.exits_with(2)?.prints("")?;
        out.complains(said)?;
    }
    Ok(())
}
