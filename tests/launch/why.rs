//! `sandboxctl why`: what it says is what a program inside finds.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::support::{Case, Need, Outcome, Scene, case};

pub fn cases() -> Vec<Case> {
    vec![
        case("agrees_with_the_kernel", &[Need::UserNamespaces], agrees),
        case("who_is_asked", &[], who_is_asked),
    ]
}

const PROFILE: &str = r#"[filesystem]
"/" = "read-only"
"~" = "read-write"
"~/closed" = "hidden"
"~/closed/but" = "read-only"
"~/kept" = "read-only"
"~/kept/*.open" = "read-write"
"~/text" = { text = "said\n" }
"~/other" = { bind = "~/kept", access = "read-only" }
"~/memory" = "tmpfs"
"~/own" = "private"
[syscalls]
"@keyring" = "deny"
keyctl = "ENOSYS"
"socket(AF_NETLINK)" = "deny"
getpgid = "EUCLEAN"
[capabilities]
default = "drop"
net_raw = "keep"
[namespaces]
user = true
[environment]
GIVEN = "given"
"TAKEN_*" = false
"#;

/// Files, and what can be found out about each.
const FILES: [&str; 12] = [
    "plain",
    "closed/secret",
    "closed/but/shown",
    "kept/one",
    "kept/two.open",
    "text",
    "other/one",
    "closed",
    "lead/secret",
    "../outside",
    "memory/nothing",
    "lead-out",
];
/// Calls as they are asked for, and as they are made.
const CALLS: [(&str, &str); 8] = [
    ("getpid", "call@getpid"),
    ("getpgid", "call@getpgid@0"),
    ("keyctl", "call@keyctl@0@0@0"),
    ("add_key", "call@add_key@0@0@0@0@0"),
    ("socket(AF_NETLINK)", "call@socket@16@3@0"),
    ("socket(AF_UNIX)", "call@socket@1@1@0"),
    ("uname", "call@uname@0"),
    ("syscalls.request_key", "call@request_key@0@0@0@0"),
];

fn ask(scene: &Scene, words: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let out = scene
        .sandboxctl()
        .args(["why", "--json"])
        .args(words.iter().copied())
        .run()?;
    out.succeeds()?;
    let value = serde_json::from_str(&out.stdout())?;
    super::running::agrees("why", &value)?;
    Ok(value)
}

fn agrees(scene: &Scene) -> Outcome {
    let home = scene.home();
    for folder in ["closed/but", "kept", "other", "memory", "own"] {
        fs::create_dir_all(home.join(folder))?;
    }
    for file in [
        "plain",
        "closed/secret",
        "closed/but/shown",
        "kept/one",
        "kept/two.open",
        "text",
        "../outside",
    ] {
        fs::write(home.join(file), "content\n")?;
    }
    std::os::unix::fs::symlink("closed", home.join("lead"))?;
    std::os::unix::fs::symlink("kept/one", home.join("lead-out"))?;
    let path = |file: &str| home.join(file).display().to_string();
    let mut deeds = Vec::new();
    for file in FILES {
        deeds.push(format!("open@{}", path(file)));
        deeds.push(format!("write@{}", path(file)));
    }
    deeds.extend(CALLS.iter().map(|(_, made)| (*made).to_owned()));
    deeds.extend(["status@CapBnd", "where", "wait@600"].map(str::to_owned));
    let name = format!("test-{}-why", std::process::id());
    let mut run = scene
        .sandbox()
        .profile_text(PROFILE)?
        .args(["--name", &name])
        .deeds(deeds)
        .spawn()?;
    run.wait_for("where: ")?;
    let mut asked = Vec::new();
    for file in FILES {
        asked.push((file, ask(scene, &[&name, &path(file)])));
    }
    let calls = CALLS.map(|(question, made)| (made, ask(scene, &[&name, question])));
    let capabilities = ["net_raw", "sys_admin", "cap_chown"].map(|one| ask(scene, &[&name, one]));
    let variable = ask(scene, &[&name, "TAKEN_X"]);
    run.signal(Signal::SIGKILL)?;
    let inside = run.wait()?;

    let mut wrong = Vec::new();
    for (file, said) in asked {
        let said = said?;
        let answer = &said["answers"][0];
        for (deed, key) in [("open", "read"), ("write", "write")] {
            let found = inside.answer(&format!("{deed}@{}", path(file)));
            // What is not there can be made where it may be written.
            let can = found == "ok"
                || (found == "ENOENT" && file == "memory/nothing")
                || (found == "EISDIR" && key == "read");
            let promised = answer["access"][key] == true;
            if can != promised {
                wrong.push(format!("{deed} {file}: {found}, but {answer:#}"));
            }
        }
        assert_eq!(said["asked"]["kind"], "sandbox", "{said:#}");
        if !answer["rule"]["source"]
            .as_str()
            .is_some_and(|source| source.ends_with("profile-1.toml"))
        {
            wrong.push(format!("{file}: no line: {answer:#}"));
        }
    }
    for (made, said) in calls {
        let answer = said?["answers"][0].clone();
        let found = inside.answer(made);
        let denied = matches!(found.as_str(), "EPERM" | "ENOSYS" | "EUCLEAN");
        if denied != (answer["verdict"] == "denied") || (denied && answer["says"] != found.as_str())
        {
            wrong.push(format!("{made}: {found}, but {answer:#}"));
        }
    }
    let bounding = u64::from_str_radix(&inside.answer("status@CapBnd"), 16)?;
    for (number, said) in [13, 21, 0].into_iter().zip(capabilities) {
        let answer = said?["answers"][0].clone();
        if (bounding & (1 << number) != 0) != (answer["verdict"] == "allowed") {
            wrong.push(format!("{bounding:x}, but {answer:#}"));
        }
    }
    let variable = variable?;
    assert_eq!(variable["answers"][0]["verdict"], "denied", "{variable:#}");
    assert_eq!(variable["answers"][0]["rule"]["line"], 24, "{variable:#}");
    assert!(wrong.is_empty(), "{}\n{inside}", wrong.join("\n"));
    Ok(())
}

fn who_is_asked(scene: &Scene) -> Outcome {
    let name = format!("test-{}-asked", std::process::id());
    let file = scene.write("asked.toml", "[limits]\nopen-files = 99\n")?;
    let file = file.display().to_string();
    let mut run = scene
        .sandbox()
        .profile_text("[limits]\nopen-files = 77\n")?
        .args(["--name", &name])
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    let running = ask(scene, &[&name, "open-files"]);
    let told = scene
        .sandboxctl()
        .args(["why", &name, "open-files"])
        .run()?;
    let profile = ask(scene, &[&file, "open-files"]);
    let several = ask(scene, &[&file, "default", "open-files"]);
    let option = ask(scene, &["--profile", &file, "open-files"]);
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    let (running, profile) = (running?, profile?);
    assert_eq!(running["asked"]["kind"], "sandbox");
    assert_eq!(running["answers"][0]["says"], "77");
    assert_eq!(running["answers"][0]["rule"]["line"], 2);
    assert!(told.stdout().contains("the running sandbox"), "{told}");
    assert!(told.stdout().contains("profile-1.toml:2:"), "{told}");
    assert_eq!(profile["asked"]["kind"], "profile");
    assert_eq!(profile["answers"][0]["says"], "99");
    assert_eq!(several?["answers"][0]["kind"], "key");
    assert_eq!(option?["answers"][0]["says"], "99");
    for (words, status, reason) in [
        (
            &["no-such-one", "memory"][..],
            1,
            "neither a running sandbox nor a profile",
        ),
        (&["memory"], 2, "is missing"),
        (&["default", "memry"], 2, "did you mean `memory`?"),
        (
            &["--profile", "default", "a", "memory"],
            2,
            "only the question follows",
        ),
        (&["/no/such/file", "memory"], 2, "/no/such/file"),
    ] {
        let out = scene
            .sandboxctl()
            .args(["why"])
            .args(words.iter().copied())
            .run()?;
        out.exits_with(status)?.prints("")?;
        out.complains(reason)?;
    }
    Ok(())
}
