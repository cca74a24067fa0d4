//! The caller's supplementary groups: dropped where the program gives privileges up and the caller may drop them.

use super::support::{Case, Need, Outcome, Scene, case};

const AS_ROOT: &[Need] = &[Need::Root, Need::Program("setpriv")];
/// Without a name on any host.
const GROUPS: &str = "4242,4243";
/// Gives capabilities up, and makes no namespace.
const BARE: &str = "[capabilities]\ndefault = \"drop\"\n";

pub fn cases() -> Vec<Case> {
    vec![
        case("root_leaves_them", AS_ROOT, root_leaves_them),
        case("kept_when_asked", AS_ROOT, kept_when_asked),
        case(
            "kept_with_the_privileges",
            AS_ROOT,
            kept_with_the_privileges,
        ),
        case("shown_before", AS_ROOT, shown_before),
        case("missing_step_is_noticed", AS_ROOT, missing_step_is_noticed),
        case("who_joins_leaves_them", AS_ROOT, who_joins_leaves_them),
        case(
            "not_where_it_is_forbidden",
            &[
                Need::Root,
                Need::Program("setpriv"),
                Need::Program("unshare"),
            ],
            not_where_it_is_forbidden,
        ),
        case(
            "not_by_an_ordinary_user",
            &[Need::Root, Need::Program("setpriv")],
            not_by_an_ordinary_user,
        ),
        case(
            "by_who_has_subordinate_ids",
            &[
                Need::OrdinaryUser,
                Need::UserNamespaces,
                Need::Program("newuidmap"),
                Need::File("/etc/subuid"),
            ],
            by_who_has_subordinate_ids,
        ),
    ]
}

fn in_groups() -> [&'static str; 3] {
    ["setpriv", "--groups", GROUPS]
}

fn root_leaves_them(scene: &Scene) -> Outcome {
    // Without anything around it, the program has them.
    let bare = scene
        .sandbox()
        .profile_text("[limits]\nopen-files = 64\n")?
        .behind(in_groups())
        .deeds(["status@Groups"])
        .run()?;
    bare.answers(&[("status@Groups", "4242 4243")])?;
    let user = "[namespaces]\nuser = true\n";
    let root_inside =
        "[user]\nuid = \"root\"\ngid = \"root\"\n[capabilities]\ndefault = \"keep\"\n";
    for text in [BARE, user, root_inside] {
        let out = scene
            .sandbox()
            .profile_text(text)?
            .behind(in_groups())
            .deeds(["status@Groups"])
            .run()?;
        out.answers(&[("status@Groups", "ok")])?;
    }
    for profile in ["default", "strict", "build"] {
        let out = scene
            .sandbox()
            .args(["--profile", profile, "--best-effort"])
            .show_probe()
            .behind(in_groups())
            .deeds(["status@Groups"])
            .run()?;
        out.answers(&[("status@Groups", "ok")])?;
    }
    Ok(())
}

fn kept_when_asked(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .profile_text(&format!("{BARE}[user]\ngroups = \"caller\"\n"))?
        .behind(in_groups())
        .deeds(["status@Groups"])
        .run()?;
    out.answers(&[("status@Groups", "4242 4243")])
}

/// Who may take them back is not told that they are gone, unless that is asked for.
fn kept_with_the_privileges(scene: &Scene) -> Outcome {
    let keep = "[capabilities]\ndefault = \"drop\"\nsetgid = \"keep\"\n";
    for (more, groups) in [("", "4242 4243"), ("[user]\ngroups = \"none\"\n", "ok")] {
        let out = scene
            .sandbox()
            .profile_text(&format!("{keep}{more}"))?
            .behind(in_groups())
            .deeds(["status@Groups"])
            .run()?;
        out.answers(&[("status@Groups", groups)])?;
    }
    Ok(())
}

fn shown_before(scene: &Scene) -> Outcome {
    let line = |text: &str, more: &[&str]| {
        scene
            .sandbox()
            .args(["--dry-run"])
            .profile_text(text)
            .map(|line| line.behind(["setpriv"].into_iter().chain(more.iter().copied())))
    };
    let out = line(BARE, &["--groups", GROUPS])?.program(["true"]).run()?;
    out.succeeds()?;
    out.says("leave the caller's supplementary groups")?;
    let out = line(BARE, &["--clear-groups"])?.program(["true"]).run()?;
    out.succeeds()?;
    assert!(!out.stdout().contains("supplementary"), "{out}");
    Ok(())
}

fn missing_step_is_noticed(scene: &Scene) -> Outcome {
    let mut missed = 0;
    for number in 1..12 {
        let out = scene
            .sandbox()
            .profile_text(BARE)?
            .env("SANDBOX_LEAVE_OUT_STEP", number.to_string())
            .behind(in_groups())
            .deeds(["status@Groups"])
            .run()?;
        missed += u32::from(out.stderr().contains("supplementary groups"));
        if out.code() == 0 {
            out.answers(&[("status@Groups", "ok")])?;
        }
    }
    assert_eq!(missed, 1, "one step leaves the groups");
    Ok(())
}

fn who_joins_leaves_them(scene: &Scene) -> Outcome {
    let name = format!("test-{}-grouped", std::process::id());
    let mut running = scene
        .sandbox()
        .args(["--name", &name])
        .profile_text(&format!("{BARE}[namespaces]\nuser = true\n"))?
        .behind(in_groups())
        .program(["sh", "-c", "echo started; exec sleep 60"])
        .spawn()?;
    running.wait_for("started")?;
    let out = scene
        .sandboxctl()
        .args(["join", &name, "--", "grep", "^Groups:", "/proc/self/status"])
        .behind(in_groups())
        .run()?;
    out.succeeds()?;
    assert_eq!(out.stdout().trim(), "Groups:", "{out}");
    running.signal(nix::sys::signal::Signal::SIGTERM)?;
    running.wait()?;
    Ok(())
}

/// `unshare -r`: root of a user namespace in which groups are not to be dropped.
fn not_where_it_is_forbidden(scene: &Scene) -> Outcome {
    let forbidden = [
        "setpriv",
        "--groups",
        GROUPS,
        "unshare",
        "--user",
        "--map-root-user",
    ];
    let out = scene
        .sandbox()
        .profile_text(BARE)?
        .behind(forbidden)
        .deeds(["status@Groups"])
        .run()?;
    out.answers(&[("status@Groups", "65534 65534")])?;
    let out = scene
        .sandbox()
        .profile_text(&format!("{BARE}[user]\ngroups = \"none\"\n"))?
        .behind(forbidden)
        .program(["true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("cannot be dropped")?;
    out.complains("hide by path")
}

fn not_by_an_ordinary_user(scene: &Scene) -> Outcome {
    let ordinary = [
        "setpriv", "--reuid", "65534", "--regid", "65534", "--groups", GROUPS,
    ];
    let wanted = "[user]\ngroups = \"none\"\n[limits]\nopen-files = 64\n";
    let run = |text: &str, groups: &[&str]| {
        scene
            .sandbox()
            .args(["--dry-run"])
            .env("HOME", "/")
            .profile_text(text)
            .and_then(|line| line.behind(groups.iter().copied()).program(["true"]).run())
    };
    let out = run(wanted, &ordinary)?;
    out.exits_with(125)?;
    out.complains("(4242 4243) cannot be dropped")?;
    out.complains("user.groups")?;
    let out = run(&format!("degrade = [\"user.groups\"]\n{wanted}"), &ordinary)?;
    out.succeeds()?;
    assert!(
        out.stderr().contains("cannot be dropped") || out.stdout().contains("cannot be dropped"),
        "{out}"
    );
    // Nothing is asked, or there is nothing to drop.
    run("[limits]\nopen-files = 64\n", &ordinary)?.succeeds()?;
    let alone = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    run(wanted, &alone)?.succeeds()?;
    Ok(())
}

fn by_who_has_subordinate_ids(scene: &Scene) -> Outcome {
    let bare = scene
        .sandbox()
        .profile_text("[namespaces]\nuser = true\n")?
        .deeds(["status@Groups"])
        .run()?;
    if !bare.answer("status@Groups").contains("65534") {
        println!("SKIPPED groups::by_who_has_subordinate_ids: this user is in no other group");
        return Ok(());
    }
    let out = scene
        .sandbox()
        .profile_text("[user]\nsubordinate-ids = true\nuid = \"root\"\ngid = \"root\"\n")?
        .deeds(["status@Groups"])
        .run()?;
    let groups = out.answer("status@Groups");
    assert!(!groups.contains("65534"), "{out}");
    Ok(())
}
