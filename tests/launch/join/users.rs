//! Whose sandbox may be joined, and as whom.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use super::super::running::{Other, UIDS};
use super::super::support::{Case, Need, Outcome, Scene, case, unique};
use super::{USERNS, end, idle, join};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "of_another_user",
            &[Need::Root, Need::UserNamespaces],
            of_another_user,
        ),
        case("as_root_inside", USERNS, as_root_inside),
        case(
            "as_root_of_subordinate_ids",
            &[Need::Root, Need::UserNamespaces, Need::Program("newuidmap")],
            as_root_of_subordinate_ids,
        ),
    ]
}

/// Neither root another user's, whose hands it would be in, nor the other way round.
fn of_another_user(scene: &Scene) -> Outcome {
    let other = Other::new(UIDS[0])?;
    // The programs and the profile where anybody can read them.
    let place = scene.folder().join("shared");
    fs::create_dir(&place)?;
    for path in [scene.folder(), place.as_path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    for program in ["sandbox", "sandboxctl"] {
        fs::copy(super::super::support::binary(program), place.join(program))?;
    }
    let as_other = |program: &str| {
        scene
            .command(place.join(program))
            .behind(other.words())
            .env("XDG_RUNTIME_DIR", other.runtime.as_os_str())
            .env("HOME", other.runtime.as_os_str())
            .in_folder("/")
    };
    let theirs = unique("theirs");
    let run = as_other("sandbox")
        .args([
            "--no-profile",
            "--set",
            "namespaces.uts=true",
            "--name",
            &theirs,
        ])
        .idle()?;
    let ours = unique("ours");
    let own = idle(scene, &ours, "[namespaces]\nuts = true\n")?;
    let by_root = join(scene, &theirs).program(["echo", "was run"]).run()?;
    let by_other = as_other("sandboxctl")
        .args(["join", &ours])
        .program(["echo", "was run"])
        .run()?;
    let by_owner = as_other("sandboxctl")
        .args(["join", &theirs])
        .program(["echo", "was run"])
        .run()?;
    end(own)?;
    end(run)?;
    by_root.exits_with(125)?.prints("")?;
    by_root.complains("joined by its own user only")?;
    by_root.complains("runuser -u")?;
    by_other.exits_with(125)?.prints("")?;
    by_owner.succeeds()?.prints("was run")
}

fn as_root_inside(scene: &Scene) -> Outcome {
    let line = ["sh", "-c", "id -u; grep Cap.[^n] /proc/self/status"];
    for (label, profile, uid, reason) in [
        (
            "forbidden",
            "[user]\nuid = \"root\"\n",
            None,
            "its profile does not allow it",
        ),
        (
            "nobody",
            "[namespaces]\nuser = true\n[user]\nuid = 77\njoin-as-root = true\n",
            None,
            "there is no root inside",
        ),
        (
            "everybody",
            "[user]\nuid = \"root\"\njoin-as-root = true\n[capabilities]\ndefault = \"drop\"\nchown = \"keep\"\n",
            Some("0"),
            "",
        ),
    ] {
        let name = unique(label);
        let run = idle(scene, &name, profile)?;
        let joined = scene
            .sandboxctl()
            .args(["join", "--as-root-inside", &name])
            .program(line)
            .run()?;
        end(run)?;
        match uid {
            Some(uid) => {
                joined.succeeds()?;
                let text = joined.stdout();
                assert_eq!(text.lines().next(), Some(uid), "{joined}");
                for set in text.lines().skip(1) {
                    let bits = set.split_whitespace().nth(1).unwrap_or_default();
                    let bits = u64::from_str_radix(bits, 16).unwrap_or(u64::MAX);
                    assert!(bits & !1 == 0, "{set}: {joined}");
                }
            }
            None => {
                joined.exits_with(125)?.prints("")?;
                joined.complains(reason)?;
            }
        }
    }
    Ok(())
}

/// A root inside who is somebody else outside: an ordinary user's sandbox with subordinate ids.
fn as_root_of_subordinate_ids(scene: &Scene) -> Outcome {
    const OTHER: u32 = 54323;
    let folder = scene.folder();
    let place = folder.join("shared");
    let home = folder.join("home-of-other");
    for path in [&place, &home] {
        fs::create_dir(path)?;
    }
    for path in [folder, place.as_path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    chown(&home, Some(OTHER), Some(OTHER))?;
    for program in ["sandbox", "sandboxctl"] {
        fs::copy(super::super::support::binary(program), place.join(program))?;
    }
    let profile = scene.write(
        "shared/p.toml",
        "[namespaces]\npid = true\n[user]\nsubordinate-ids = true\njoin-as-root = true\n\
         [capabilities]\ndefault = \"drop\"\nchown = \"keep\"\n[syscalls]\npersonality = \"deny\"\n",
    )?;
    fs::set_permissions(&profile, fs::Permissions::from_mode(0o644))?;
    let name = unique("subordinate");
    // Accounts that only this mount namespace knows.
    let script = format!(
        "set -eu
        mkdir {0}/etc; mount -t tmpfs -o mode=755 tmpfs {0}/etc; cp -a /etc/. {0}/etc/; mount --bind {0}/etc /etc
        echo 'sbx-sub:x:{OTHER}:{OTHER}::{1}:/bin/sh' >>/etc/passwd
        echo 'sbx-sub:x:{OTHER}:' >>/etc/group
        echo sbx-sub:3000000:65536 >>/etc/subuid; echo sbx-sub:3000000:65536 >>/etc/subgid
        cd /
        user() {{ setpriv --reuid {OTHER} --regid {OTHER} --clear-groups env -i HOME={1} PATH=/usr/bin:/bin \"$@\"; }}
        user {2}/sandbox --profile {2}/p.toml --name {name} sleep 600 &
        for i in $(seq 100); do user {2}/sandboxctl state {name} 2>/dev/null | grep -q running && break; sleep 0.1; done
        user {2}/sandboxctl join {name} id -u
        user {2}/sandboxctl join --as-root-inside {name} sh -c 'id -u; id -G; grep -E \"Cap[PEBA]|NoNew|Seccomp:\" /proc/self/status'
        user {2}/sandboxctl kill {name}
        wait || true",
        folder.display(),
        home.display(),
        place.display(),
    );
    let script = scene.write("world.sh", &script)?;
    let out = scene
        .command("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh"])
        .args([script])
        .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("54323"), "{out}");
    assert_eq!(
        (lines.next(), lines.next()),
        (Some("0"), Some("0")),
        "{out}"
    );
    for line in lines {
        let (what, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim();
        match what {
            "NoNewPrivs" => assert_eq!(value, "1", "{out}"),
            "Seccomp" => assert_eq!(value, "2", "{out}"),
            _ => {
                let bits = u64::from_str_radix(value, 16).unwrap_or(u64::MAX);
                assert!(bits & !1 == 0, "{line}: {out}");
            }
        }
    }
    Ok(())
}
