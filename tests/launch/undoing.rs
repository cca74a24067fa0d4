//! Limits cannot be undone from inside a view: not by writing to the group's files, not by leaving the group, not by asking
//! the service manager that made it.

use std::fs;

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const LIMITS: &[Need] = &[Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("by_writing", LIMITS, by_writing),
        case("by_a_second_road", LIMITS, by_a_second_road),
        case("as_the_profile_says", LIMITS, as_the_profile_says),
        case("in_a_namespace", LIMITS, in_a_namespace),
        case(
            "by_the_manager",
            &[Need::SystemdUser, Need::CgroupV2, Need::OrdinaryUser],
            by_the_manager,
        ),
        case("said_in_the_plan", LIMITS, said_in_the_plan),
    ]
}

const LIMIT: &str = "[limits]\npids = 33\n";

/// Tries to raise the limit, to make a group in the own one and beside it, and to move there, in what is mounted below $0.
/// The launcher is the parent, whose number is in the group's name.
const TRIES: &str = r#"
for group in $(find "$0" -type d -path "*-$PPID[-x]*" 2>/dev/null); do
    found=yes
    file=$group/pids.max
    [ -e "$file" ] && { echo 32 >"$file"; } 2>/dev/null && echo "wrote $file"
    for made in "$group/inner" "${group%/*}/beside"; do
        mkdir "$made" 2>/dev/null && echo "made $made"
        { echo 0 >"$made/cgroup.procs"; } 2>/dev/null && echo "went to $made"
        { echo 0 >"${group%/*}/cgroup.procs"; } 2>/dev/null
        rmdir "$made" 2>/dev/null
    done
    { echo 0 >"${group%/*}/cgroup.procs"; } 2>/dev/null && echo "left $group"
done
echo "tried ${found:-nothing}"
"#;

fn tries(
    scene: &Scene,
    profile: &str,
    below: &str,
) -> Result<Finished, Box<dyn std::error::Error>> {
    let sandbox = scene.sandbox().profile_text(profile)?;
    let out = sandbox.program(["sh", "-c", TRIES, below]).run()?;
    out.succeeds()?;
    Ok(out)
}

fn by_writing(scene: &Scene) -> Outcome {
    let mut profiles = vec![format!("{LIMIT}[filesystem]\n\"/tmp\" = \"tmpfs\"\n")];
    if scene.host.no_userns.is_none() {
        profiles.push(format!(
            "{LIMIT}[namespaces]\nuser = true\n[filesystem]\n\"/\" = \"read-write\"\n"
        ));
        profiles.push(format!(
            "{LIMIT}[filesystem]\n\"/\" = \"read-write\"\n\"/sys\" = \"read-write\"\n[capabilities]\ndefault = \"keep\"\n"
        ));
    } else if !scene.host.is_root() {
        return Ok(());
    }
    for profile in profiles {
        let out = tries(scene, &profile, "/sys/fs/cgroup")?;
        assert_eq!(out.stdout(), "tried yes\n", "{profile}{out}");
    }
    Ok(())
}

/// What is shown at a second place is no way around.
fn by_a_second_road(scene: &Scene) -> Outcome {
    if scene.host.no_userns.is_some() && !scene.host.is_root() {
        return Ok(());
    }
    let place = scene.home().join("sys");
    fs::create_dir(&place)?;
    let place = place.display();
    let profile = format!(
        "{LIMIT}[filesystem]\n\"{place}\" = {{ bind = \"/sys\", access = \"read-write\" }}\n"
    );
    let out = tries(scene, &profile, &format!("{place}/fs/cgroup"))?;
    assert_eq!(out.stdout(), "tried yes\n", "{profile}{out}");
    Ok(())
}

/// Who writes the rule has the last word, and is told what it means.
fn as_the_profile_says(scene: &Scene) -> Outcome {
    if scene.host.no_userns.is_some() && !scene.host.is_root() {
        return Ok(());
    }
    let profile = format!("{LIMIT}[filesystem]\n\"/sys/fs/cgroup\" = \"read-write\"\n");
    let plan = scene
        .sandbox()
        .profile_text(&profile)?
        .args(["--dry-run"])
        .program(["true"])
        .run()?;
    plan.succeeds()?;
    let text = plan.stdout();
    assert!(
        text.contains("accidents only: the program can write to `/sys/fs/cgroup`"),
        "{plan}"
    );
    // The same tries that fail without that rule get through: they do try something.
    let out = tries(scene, &profile, "/sys/fs/cgroup")?;
    // With `nsdelegate` the limit itself stays locked by the control group namespace; groups can be made.
    assert!(out.stdout().contains("made "), "{out}");
    Ok(())
}

/// A view brings a control group namespace; without one, and where it is refused, there is none.
fn in_a_namespace(scene: &Scene) -> Outcome {
    if scene.host.no_userns.is_some() && !scene.host.is_root() {
        return Ok(());
    }
    let own = fs::read_link("/proc/self/ns/cgroup")?.display().to_string();
    for (rules, new) in [
        ("[filesystem]\n\"/tmp\" = \"tmpfs\"\n", true),
        (
            "[namespaces]\ncgroup = false\n[filesystem]\n\"/tmp\" = \"tmpfs\"\n",
            false,
        ),
        ("", false),
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("{LIMIT}{rules}"))?
            .program(["readlink", "/proc/self/ns/cgroup"])
            .run()?;
        out.succeeds()?;
        assert_eq!(out.stdout().trim() != own, new, "{rules}{out}");
    }
    Ok(())
}

/// Asks the user's manager for more. From the base profile it is not reached; where nothing is hidden it is, and the plan
/// says so.
fn by_the_manager(scene: &Scene) -> Outcome {
    const ASKS: &str = r#"
unit=$(grep -o 'app-sandbox-[^/]*\.scope' /proc/self/cgroup | head -n1)
[ -n "$unit" ] || unit=$(cat "$0")
systemctl --user set-property --runtime "$unit" MemoryMax=infinity >/dev/null 2>&1 && echo "asked for $unit"
for socket in "/run/user/$(id -u)/bus" "/run/user/$(id -u)/systemd/private"; do
    [ -e "$socket" ] && echo "sees $socket"
done
echo tried
"#;
    let limit = "[limits]\nmemory = \"64M\"\npids = 33\n";
    let ask = |profile: &str| {
        let sandbox = scene.sandbox().profile_text(profile)?;
        sandbox
            .env(
                "XDG_RUNTIME_DIR",
                format!("/run/user/{}", nix::unistd::getuid()),
            )
            .program(["sh", "-c", ASKS, "/dev/null"])
            .run()
    };
    let out = ask(&format!("extends = [\"base\"]\n{limit}"))?;
    out.succeeds()?;
    assert_eq!(out.stdout(), "tried\n", "{out}");
    let out = ask(limit)?;
    out.succeeds()?;
    assert!(out.stdout().contains("asked for app-sandbox-"), "{out}");
    Ok(())
}

fn said_in_the_plan(scene: &Scene) -> Outcome {
    for (profile, said) in [
        (LIMIT.to_owned(), true),
        (format!("extends = [\"base\"]\n{LIMIT}"), false),
    ] {
        if profile.starts_with("extends") && scene.host.no_userns.is_some() {
            continue;
        }
        let out = scene
            .sandbox()
            .profile_text(&profile)?
            .args(["--dry-run"])
            .program(["true"])
            .run()?;
        out.succeeds()?;
        assert_eq!(out.stdout().contains("accidents only"), said, "{out}");
    }
    Ok(())
}
