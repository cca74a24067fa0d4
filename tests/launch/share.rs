//! `namespaces.net = "sandbox:NAME"`: namespaces of a running sandbox, shared by another.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use super::running::{Other, UIDS};
use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Sandbox, Scene, case, unique};

const USERNS: &[Need] = &[Need::UserNamespaces];
/// What the first sandbox makes.
const FIRST: &str = "[namespaces]\nnet = true\nipc = true\nuts = true\nhostname = \"first-host\"\n";
const KINDS: [&str; 3] = ["net", "ipc", "uts"];

pub fn cases() -> Vec<Case> {
    vec![
        case("same_namespaces", USERNS, same_namespaces),
        case("either_may_end", USERNS, either_may_end),
        case("joined_too", USERNS, joined_too),
        case("ids_are_the_callers", USERNS, ids_are_the_callers),
        case("what_is_refused", USERNS, what_is_refused),
        case(
            "not_below_capabilities",
            &[Need::OrdinaryUser, Need::UserNamespaces],
            not_below_capabilities,
        ),
        case(
            "of_another_user",
            &[Need::Root, Need::UserNamespaces],
            of_another_user,
        ),
    ]
}

/// All three kinds of `name`.
fn shares(name: &str) -> String {
    let keys = KINDS.map(|kind| format!("{kind} = \"sandbox:{name}\"\n"));
    format!("[namespaces]\n{}", keys.concat())
}

/// A sandbox that serves a port of its loopback interface.
fn serving(sandbox: Sandbox<'_>, port: &str) -> Result<Running, Box<dyn std::error::Error>> {
    let deed = format!("serve@{port}");
    let mut run = sandbox.deeds([deed.as_str(), "wait@600"]).spawn()?;
    run.wait_for(&format!("{deed}: ok"))?;
    Ok(run)
}

fn end(run: Running) -> Outcome {
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    Ok(())
}

fn same_namespaces(scene: &Scene) -> Outcome {
    let name = unique("first");
    let first = serving(scene.run_called(&name, FIRST)?, "8071")?;
    let inside = first.descendants().last().copied().ok_or("no program")?;
    let there = KINDS.map(|kind| fs::read_link(format!("/proc/{inside}/ns/{kind}")));
    let deeds = [
        "ns@net",
        "ns@ipc",
        "ns@uts",
        "read@/proc/sys/kernel/hostname",
        "reach@8071",
    ];
    let out = scene
        .sandbox()
        .profile_text(&shares(&name))?
        .deeds(deeds)
        .run()?;
    // With a view and processes of its own.
    let view = scene
        .sandbox()
        .profile_text(&format!(
            "{}pid = true\n[filesystem]\n\"/mnt\" = \"tmpfs\"\n",
            shares(&name)
        ))?
        .deeds(["reach@8071", "create@/mnt/x"])
        .run()?;
    let alone = scene
        .sandbox()
        .profile_text("[namespaces]\nnet = true\n")?
        .deeds(["reach@8071"])
        .run()?;
    end(first)?;
    out.succeeds()?;
    for (kind, there) in KINDS.iter().zip(there) {
        let found = out.answer(&format!("ns@{kind}"));
        assert_eq!(found, there?.to_string_lossy(), "{out}");
        assert_ne!(
            found,
            fs::read_link(format!("/proc/self/ns/{kind}"))?.to_string_lossy()
        );
    }
    out.answers(&[
        ("read@/proc/sys/kernel/hostname", "`first-host\\n`"),
        ("reach@8071", "hello"),
    ])?;
    view.answers(&[("reach@8071", "hello"), ("create@/mnt/x", "ok")])?;
    alone.answers(&[("reach@8071", "ECONNREFUSED")])
}

fn either_may_end(scene: &Scene) -> Outcome {
    let (one, two, three) = (unique("one"), unique("two"), unique("three"));
    let first = serving(scene.run_called(&one, FIRST)?, "8072")?;
    let second = serving(scene.run_called(&two, &shares(&one))?, "8073")?;
    let third = serving(scene.run_called(&three, &shares(&one))?, "8074")?;
    // The third goes, and the first is as it was.
    end(third)?;
    let still = scene
        .sandbox()
        .profile_text(&shares(&one))?
        .deeds(["reach@8072", "reach@8073", "reach@8074"])
        .run()?;
    // The first goes, and the second goes on.
    end(first)?;
    let after = scene
        .sandboxctl()
        .args(["join", &two])
        .deeds(["reach@8072", "reach@8073", "read@/proc/sys/kernel/hostname"])
        .run()?;
    let gone = scene
        .sandbox()
        .profile_text(&shares(&one))?
        .program(["echo", "was run"])
        .run()?;
    end(second)?;
    still.answers(&[
        ("reach@8072", "hello"),
        ("reach@8073", "hello"),
        ("reach@8074", "ECONNREFUSED"),
    ])?;
    after.answers(&[
        ("reach@8072", "ECONNREFUSED"),
        ("reach@8073", "hello"),
        ("read@/proc/sys/kernel/hostname", "`first-host\\n`"),
    ])?;
    gone.exits_with(125)?.prints("")?;
    gone.complains(&format!("no sandbox named `{one}` is running"))?;
    // What runs, and which line asks for what does not.
    gone.complains(&two)?;
    gone.complains("profile-1.toml:3:7")
}

/// Who joins a sandbox that shares is in all of its namespaces.
fn joined_too(scene: &Scene) -> Outcome {
    let (one, two) = (unique("one"), unique("two"));
    let first = serving(scene.run_called(&one, FIRST)?, "8075")?;
    let profile = format!("{}pid = true\nuser = true\n", shares(&one));
    let second = serving(scene.run_called(&two, &profile)?, "8076")?;
    let inside = second.descendants().last().copied().ok_or("no program")?;
    let kinds = ["net", "ipc", "uts", "pid", "user", "mnt"];
    let there = kinds.map(|kind| fs::read_link(format!("/proc/{inside}/ns/{kind}")));
    let out = scene
        .sandboxctl()
        .args(["join", &two])
        .deeds(kinds.map(|kind| format!("ns@{kind}")))
        .run()?;
    end(second)?;
    end(first)?;
    out.succeeds()?;
    for (kind, there) in kinds.iter().zip(there) {
        assert_eq!(
            out.answer(&format!("ns@{kind}")),
            there?.to_string_lossy(),
            "{out}"
        );
    }
    Ok(())
}

/// Ids are mapped through the user namespace between: whatever they are in the other sandbox.
fn ids_are_the_callers(scene: &Scene) -> Outcome {
    let name = unique("root");
    let first = serving(
        scene.run_called(
            &name,
            "[namespaces]\nuser = true\nnet = true\n[user]\nuid = \"root\"\ngid = \"root\"\n",
        )?,
        "8077",
    )?;
    let file = scene.home().join("made");
    let made = file.display();
    let own = scene
        .sandbox()
        .profile_text(&format!(
            "[namespaces]\nuser = true\nnet = \"sandbox:{name}\"\n"
        ))?
        .deeds([
            format!("create@{made}"),
            "ids".to_owned(),
            "reach@8077".to_owned(),
        ])
        .run()?;
    let owner = fs::metadata(&file).map(|found| std::os::unix::fs::MetadataExt::uid(&found));
    let other = scene
        .sandbox()
        .profile_text(&format!(
            "[namespaces]\nnet = \"sandbox:{name}\"\n[user]\nuid = 4321\ngid = 4321\n"
        ))?
        .deeds(["ids"])
        .run()?;
    end(first)?;
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    own.answers(&[
        (format!("create@{made}"), "ok"),
        ("reach@8077".to_owned(), "hello"),
    ])?;
    assert!(
        own.answer("ids").starts_with(&format!("{uid} {gid}")),
        "{own}"
    );
    assert_eq!(owner?, uid.as_raw());
    assert!(other.answer("ids").starts_with("4321 4321"), "{other}");
    Ok(())
}

fn what_is_refused(scene: &Scene) -> Outcome {
    let name = unique("plain");
    let first = serving(
        scene.run_called(&name, "[namespaces]\nnet = true\n")?,
        "8078",
    )?;
    let mut wrong = Vec::new();
    for (keys, status, reason) in [
        (format!("user = \"sandbox:{name}\""), 125, "made below it"),
        (
            format!("mount = \"sandbox:{name}\""),
            125,
            "a view of one's own",
        ),
        (format!("pid = \"sandbox:{name}\""), 125, "seen and stopped"),
        (
            format!("cgroup = \"sandbox:{name}\""),
            125,
            "for its own limits",
        ),
        (format!("time = \"sandbox:{name}\""), 125, "clocks"),
        (
            format!("ipc = \"sandbox:{name}\""),
            125,
            "has no ipc namespace of its own",
        ),
        (
            format!("uts = \"sandbox:{name}\"\nhostname = \"x\""),
            125,
            "is not ours to set",
        ),
        (
            format!("net = \"sandbox:{name}\"\n[network]\nmode = \"host\""),
            125,
            "contradicts sharing",
        ),
        (
            "net = \"sandbox:no-such-one\"".to_owned(),
            125,
            "no sandbox named `no-such-one`",
        ),
        ("net = \"sandbox:\"".to_owned(), 2, "names no sandbox"),
        ("net = \"sandbox:../x\"".to_owned(), 2, "names no sandbox"),
        ("net = \"sandbox:a/b\"".to_owned(), 2, "names no sandbox"),
    ] {
        let out = scene
            .sandbox()
            .profile_text(&format!("[namespaces]\n{keys}\n"))?
            .program(["echo", "was run"])
            .run()?;
        let told = out.stderr();
        if out.code() != status
            || !out.stdout().is_empty()
            || !told.contains(reason)
            || !told.contains("profile-1.toml:")
        {
            wrong.push(format!("{keys}: {out}"));
        }
    }
    end(first)?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Who has capabilities in a user namespace has them over what is made below it: nobody is put there who could be found.
fn not_below_capabilities(scene: &Scene) -> Outcome {
    let (one, two) = (unique("strong"), unique("shut-in"));
    let strong = "[namespaces]\nnet = true\n[capabilities]\ndefault = \"keep\"\n";
    let first = serving(scene.run_called(&one, strong)?, "8079")?;
    let shut_in = strong.replace("net = true", "net = true\npid = true");
    let second = serving(scene.run_called(&two, &shut_in)?, "8080")?;
    let below = |name: &str| {
        scene
            .sandbox()
            .profile_text(&format!("[namespaces]\nnet = \"sandbox:{name}\"\n"))?
            .deeds(["reach@8080"])
            .run()
    };
    let (refused, taken) = (below(&one)?, below(&two)?);
    end(first)?;
    end(second)?;
    refused.exits_with(125)?.prints("")?;
    refused.complains("could take over")?;
    taken.answers(&[("reach@8080", "hello")])
}

/// Neither root another user's, nor the other way round.
fn of_another_user(scene: &Scene) -> Outcome {
    let other = Other::new(UIDS[0])?;
    let place = scene.folder().join("shared");
    fs::create_dir(&place)?;
    for path in [scene.folder(), place.as_path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    fs::copy(super::support::binary("sandbox"), place.join("sandbox"))?;
    let as_other = || {
        scene
            .command(place.join("sandbox"))
            .args(["--no-profile"])
            .behind(other.words())
            .env("XDG_RUNTIME_DIR", other.runtime.as_os_str())
            .env("HOME", other.runtime.as_os_str())
            .in_folder("/")
    };
    let (theirs, ours) = (unique("theirs"), unique("ours"));
    let mut run = as_other()
        .args(["--set", "namespaces.net=true", "--name", &theirs])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let own = serving(scene.run_called(&ours, FIRST)?, "8081")?;
    let by_root = scene
        .sandbox()
        .profile_text(&format!("[namespaces]\nnet = \"sandbox:{theirs}\"\n"))?
        .program(["echo", "was run"])
        .run()?;
    let set = |name: &str| format!("namespaces.net=sandbox:{name}");
    let by_other = as_other()
        .args(["--set", &set(&ours)])
        .program(["echo", "was run"])
        .run()?;
    let by_owner = as_other()
        .args(["--set", &set(&theirs)])
        .program(["echo", "was run"])
        .run()?;
    end(own)?;
    end(run)?;
    by_root.exits_with(125)?.prints("")?;
    by_root.complains("shared with its own user's programs only")?;
    by_other.exits_with(125)?.prints("")?;
    by_other.complains(&format!("no sandbox named `{ours}`"))?;
    by_owner.succeeds()?.prints("was run")
}
