//! Real programs under the profiles that are shipped, started as people start them.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use super::limits::{group, value};
use super::support::sandbox::Running;
use super::support::{Case, Finished, Need, Outcome, Sandbox, Scene, binary, case};

pub mod browser;
mod build;
mod windows;

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("every_profile", USERNS, every_profile),
        case(
            "same_rules_for_root",
            &[Need::Root, Need::UserNamespaces],
            same_rules_for_root,
        ),
        case(
            "limits_seen_from_outside",
            &[Need::Limits, Need::UserNamespaces],
            limits_seen_from_outside,
        ),
        case("cgroup_demo", &[Need::Limits, Need::SwapLimit], cgroup_demo),
        case(
            "limits_of_a_user",
            &[Need::OrdinaryUser, Need::UserNamespaces],
            limits_of_a_user,
        ),
        case(
            "container_demo",
            &[Need::UserNamespaces, Need::Program("busybox")],
            container_demo,
        ),
        case(
            "container_demo_bomb",
            &[Need::UserNamespaces, Need::Limits, Need::Program("busybox")],
            container_demo_bomb,
        ),
        case("unshare_demo", USERNS, unshare_demo),
        case(
            "default_from_root_directory",
            USERNS,
            default_from_root_directory,
        ),
        case("default_in_project", USERNS, default_in_project),
        case("default_in_home", USERNS, default_in_home),
        case("shell", USERNS, shell),
        case("strict", USERNS, strict),
        case(
            "strict_python",
            &[Need::UserNamespaces, Need::Program("python3")],
            strict_python,
        ),
    ];
    cases.extend(browser::cases());
    cases.extend(build::cases());
    cases.extend(windows::cases());
    cases
}

/// Long enough for a browser on two slow cores that others use too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// `try NAME COMMAND…` for scripts: prints `NAME: ok` or `NAME: no`, which [`Finished::answers`] reads.
const TRY: &str = "try() { name=$1; shift; if \"$@\" >/dev/null 2>&1; then echo \"$name: ok\"; else echo \"$name: no\"; fi; }\n";

/// The profile `name` over a shell that runs `script`.
fn script<'a>(scene: &'a Scene, name: &str, script: &str) -> Sandbox<'a> {
    scene.sandbox().args(["--profile", name]).program([
        "sh".to_owned(),
        "-c".into(),
        format!("{TRY}{script}"),
    ])
}

/// The process below `run` that is called `name`, once there is one.
fn process(run: &Running, name: &str) -> Result<Pid, String> {
    let line = format!("{name}\n");
    let is_it =
        |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == line);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(pid) = run.descendants().into_iter().find(is_it) {
            return Ok(pid);
        }
        if Instant::now() > deadline {
            return Err(format!("no process `{name}` below {}", run.pid()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The names of the profiles that are part of the program.
fn shipped(scene: &Scene) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let out = scene.sandboxctl().args(["profiles", "--json"]).run()?;
    out.succeeds()?;
    let listed: Vec<Value> = serde_json::from_str(&out.stdout())?;
    let is_ours = |one: &&Value| {
        one["source"]
            .as_str()
            .is_some_and(|name| name.starts_with("embedded:"))
    };
    let names = listed
        .iter()
        .filter(is_ours)
        .filter_map(|one| one["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Each is good, can be applied but for limits, and a shell starts under it.
fn every_profile(scene: &Scene) -> Outcome {
    let names = shipped(scene)?;
    for expected in [
        "base",
        "default",
        "firefox",
        "strict",
        "build",
        "container-demo",
        "memlimit",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "no `{expected}` in {names:?}"
        );
    }
    let out = scene
        .sandboxctl()
        .args(["check", "--json"])
        .args(&names)
        .run()?;
    assert!(matches!(out.code(), 0 | 1), "{out}");
    let reports: Vec<Value> = serde_json::from_str(&out.stdout())?;
    assert_eq!(reports.len(), names.len(), "{out}");
    let mut refused = 0;
    for report in &reports {
        let found = report["diagnostics"].as_array().ok_or("no `diagnostics`")?;
        assert_eq!(report["ok"].as_bool(), Some(found.is_empty()), "{report:#}");
        refused += found.len();
        for one in found {
            let message = one["message"].as_str().unwrap_or_default();
            let (rules, _) = message
                .split_once(" cannot be applied on this host")
                .ok_or(message)?;
            assert!(
                rules.split(", ").all(|rule| rule.starts_with("`limits.")),
                "{report:#}"
            );
            assert!(
                one["help"].as_array().is_some_and(|help| !help.is_empty()),
                "{report:#}"
            );
        }
    }
    assert_eq!(out.code(), i32::from(refused > 0), "{out}");
    if scene.host.is_root() && scene.host.lacks(&Need::SwapLimit).is_none() {
        assert_eq!(refused, 0, "root is refused nothing\n{out}");
    }
    for name in &names {
        let line = || scene.sandbox().args(["--best-effort", "--profile", name]);
        line()
            .args(["--dry-run"])
            .program(["true"])
            .run()?
            .succeeds()?;
        let out = line().program(["sh", "-c", "echo started"]).run()?;
        out.succeeds().map_err(|error| format!("{name}: {error}"))?;
        out.prints("started")?;
    }
    Ok(())
}

/// Who starts it decides how a rule is carried out, not whether.
fn same_rules_for_root(scene: &Scene) -> Outcome {
    let profile = scene.write(
        "same.toml",
        "extends = [\"base\", \"network\", \"no-secrets\"]\n[limits]\nopen-files = 512\n",
    )?;
    // Where cargo puts it, others may have no way to.
    let launcher = scene.folder().join("launcher");
    fs::copy(binary("sandbox"), &launcher)?;
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
    let plan = |others: &[&str]| -> Result<Value, Box<dyn std::error::Error>> {
        let line = scene
            .command(&launcher)
            .args(["--dry-run", "--json", "--profile"])
            .args([&profile]);
        let line = if others.is_empty() {
            line
        } else {
            line.behind(others.iter().copied())
        };
        let out = line.program(["true"]).run()?;
        out.succeeds()?;
        Ok(serde_json::from_str(&out.stdout())?)
    };
    let root = plan(&[])?;
    let user = plan(&[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ])?;
    let origins = |plan: &Value| -> BTreeSet<String> {
        let steps = plan["steps"].as_array().cloned().unwrap_or_default();
        let origins = steps
            .iter()
            // Where only root makes files, nobody waits for some that get a hidden name later.
            .filter(|step| step["action"] != "keep-away")
            .map(|step| &step["origin"])
            .filter(|origin| !origin.is_null());
        origins.map(Value::to_string).collect()
    };
    assert!(origins(&root).len() > 20, "{root:#}");
    assert_eq!(origins(&root), origins(&user));
    let actions = |plan: &Value, action: &str| -> Vec<Value> {
        let steps = plan["steps"].as_array().cloned().unwrap_or_default();
        steps
            .into_iter()
            .filter(|step| step["action"] == action)
            .collect()
    };
    let makes_user_namespace = |plan: &Value| {
        let made = actions(plan, "clone");
        made.iter().any(|step| {
            let kinds = step["details"]["namespaces"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "user"))
        })
    };
    assert!(
        !makes_user_namespace(&root) && actions(&root, "map-ids").is_empty(),
        "{root:#}"
    );
    assert!(
        makes_user_namespace(&user) && !actions(&user, "map-ids").is_empty(),
        "{user:#}"
    );
    Ok(())
}

/// What the control groups of process `pid` say, against the numbers of `firefox` and `memlimit`.
fn has_browser_limits(scene: &Scene, pid: Pid, pids: Option<&str>) -> Outcome {
    let (gib, v1) = (1_u64 << 30, scene.host.v1_mount("memory").is_some());
    let place = group(scene, pid, "memory")?;
    let own = group(scene, Pid::this(), "memory")?;
    assert!(
        place != own && place.to_string_lossy().contains("sandbox"),
        "{}",
        place.display()
    );
    let memory = |v1, v2| value(scene, pid, "memory", v1, v2);
    assert_eq!(
        memory("memory.limit_in_bytes", "memory.max")?,
        (3 * gib).to_string()
    );
    if scene.host.lacks(&Need::SwapLimit).is_none() {
        let swap = memory("memory.memsw.limit_in_bytes", "memory.swap.max")?;
        assert_eq!(swap, (if v1 { 6 * gib } else { 3 * gib }).to_string());
    }
    if v1 {
        assert_eq!(memory("memory.soft_limit_in_bytes", "")?, gib.to_string());
    }
    if let Some(pids) = pids {
        assert_eq!(value(scene, pid, "pids", "pids.max", "pids.max")?, pids);
    }
    Ok(())
}

fn limits_seen_from_outside(scene: &Scene) -> Outcome {
    for (name, pids) in [("firefox", Some("2048")), ("memlimit", None)] {
        let mut run = scene
            .sandbox()
            .args(["--best-effort", "--profile", name])
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        let seen = process(&run, "sleep")
            .map_err(Into::into)
            .and_then(|pid| has_browser_limits(scene, pid, pids));
        run.signal(Signal::SIGTERM)?;
        run.wait()?.exits_with(143)?;
        seen.map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// The end that a program finds at the limit of a shipped profile, and how it is told.
fn cgroup_demo(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--profile", "cgroup-demo"])
        .probe(["memory-hog", "200000000"])
        .run()?;
    out.exits_with(137)?;
    assert!(!out.stdout().contains("held"), "{out}");
    for part in [
        "killed 1 process at the memory limit of 23.8 MiB",
        "(limits.memory, embedded:cgroup-demo.toml:",
        "; peak 2",
    ] {
        out.complains(part)?;
    }
    Ok(())
}

/// Where a user gets no control group, a profile that may do without says so and runs, another one refuses.
fn limits_of_a_user(scene: &Scene) -> Outcome {
    let can = scene.host.lacks(&Need::Limits).is_none();
    let out = script(scene, "firefox", "echo started").run()?;
    out.succeeds()?.prints("started")?;
    let unlimited = out.stderr().contains("warning: `limits.memory`");
    assert_eq!(unlimited, !can, "{out}");
    let out = script(scene, "memlimit", "echo started").run()?;
    if can && scene.host.lacks(&Need::SwapLimit).is_none() {
        return out.succeeds()?.prints("started");
    }
    out.exits_with(125)?.prints("")?;
    for part in [
        "cannot be applied on this host",
        "embedded:memlimit.toml:",
        "--best-effort",
    ] {
        out.complains(part)?;
    }
    Ok(())
}

/// A root file system of busybox alone, made as `container-demo` says.
fn root_file_system(scene: &Scene) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let root = scene.folder().join("rootfs");
    for name in ["bin", "dev", "proc", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let make = "cp \"$(command -v busybox)\" bin/busybox && bin/busybox --install bin";
    let out = scene
        .command("/bin/sh")
        .args(["-c", make])
        .in_folder(&root)
        .run()?;
    out.succeeds()?;
    Ok(root)
}

fn contained(scene: &Scene, script: &str) -> Result<Finished, Box<dyn std::error::Error>> {
    let root = root_file_system(scene)?;
    let mut line = scene
        .sandbox()
        .args(["--profile", "container-demo", "--root"])
        .args([root]);
    if scene.host.lacks(&Need::Limits).is_some() {
        line = line.args(["--best-effort"]);
    }
    Ok(line
        .program(["/bin/sh", "-c", &format!("{TRY}{script}")])
        .run()?)
}

fn container_demo(scene: &Scene) -> Outcome {
    let out = contained(
        scene,
        "echo name $(hostname); ps; id; echo shell $$; ls -d /usr /etc /home; ls /sys/class/net 2>&1; cat /proc/net/dev
         try change touch /bin/x; try scratch touch /tmp/x; try rename hostname other",
    )?;
    out.succeeds()?;
    out.answers(&[("change", "ok"), ("scratch", "ok"), ("rename", "no")])?;
    let text = out.stdout();
    assert!(text.starts_with("name container\n"), "{out}");
    let (_, listed) = text
        .split_once("COMMAND\n")
        .ok_or_else(|| out.to_string())?;
    let (listed, rest) = listed.split_once("uid=").ok_or_else(|| out.to_string())?;
    assert!(rest.starts_with("0 gid=0"), "{out}");
    assert!(
        !rest.contains("/usr\n") && !rest.contains("/etc\n") && !rest.contains("/home\n"),
        "{out}"
    );
    let numbers: Vec<u32> = listed
        .lines()
        .map(|line| line.split_whitespace().next().unwrap_or_default().parse())
        .collect::<Result<_, _>>()?;
    assert!(
        numbers.first() == Some(&1) && numbers.iter().all(|pid| *pid < 20),
        "{out}"
    );
    assert!(
        (2..=4).contains(&numbers.len()),
        "processes of others\n{out}"
    );
    let (_, interfaces) = text.split_once("|bytes").ok_or_else(|| out.to_string())?;
    let interfaces = interfaces.lines().filter(|line| line.contains(": "));
    let names: Vec<&str> = interfaces
        .filter_map(|line| line.trim_start().split(':').next())
        .collect();
    assert_eq!(names, ["lo", "change", "scratch", "rename"], "{out}");
    // What `--root` names may be changed; what root makes there is the caller's. /tmp is not of it.
    let made = fs::metadata(scene.folder().join("rootfs/bin/x"))?;
    assert_eq!(made.uid(), scene.host.uid);
    assert!(!scene.folder().join("rootfs/tmp/x").exists());
    Ok(())
}

fn container_demo_bomb(scene: &Scene) -> Outcome {
    let out = contained(
        scene,
        "for n in $(seq 40); do sleep 600 & done; echo survived",
    )?;
    assert!(
        out.code() != 0 && !out.stdout().contains("survived"),
        "{out}"
    );
    out.complains("can't fork")?;
    out.complains("refused at the limit of 10")?;
    out.complains("embedded:container-demo.toml:")
}

fn unshare_demo(scene: &Scene) -> Outcome {
    let out = script(
        scene,
        "unshare-demo",
        "hostname; id -u; id -g; grep -c : /proc/net/dev; echo /proc/[0-9]*; try change hostname other; hostname",
    )
    .run()?;
    out.succeeds()?;
    let text = out.stdout();
    let lines: Vec<&str> = text.lines().collect();
    let &["demo", "0", "0", "1", processes, "change: no", "demo"] = lines.as_slice() else {
        return Err(out.to_string().into());
    };
    // The list is the shell's own word: there is it and process 1.
    assert_eq!(processes, "/proc/1 /proc/2", "{out}");
    Ok(())
}

fn default_from_root_directory(scene: &Scene) -> Outcome {
    let made = PathBuf::from(format!("/sandbox-test-{}", std::process::id()));
    let line = format!(
        "pwd; try change touch {0}; try scratch touch /tmp/x; try system touch /usr/x; try read cat /etc/passwd; try shadow test -s /etc/shadow",
        made.display()
    );
    let out = scene
        .sandbox()
        .program(["sh", "-c", &format!("{TRY}{line}")])
        .in_folder("/")
        .run()?;
    let was_made = fs::remove_file(&made).is_ok();
    out.succeeds()?;
    assert!(!was_made && out.stdout().starts_with("/\n"), "{out}");
    out.answers(&[
        ("change", "no"),
        ("scratch", "ok"),
        ("system", "no"),
        ("read", "ok"),
        ("shadow", "no"),
    ])
}

fn default_in_project(scene: &Scene) -> Outcome {
    scene.write("home/project/.git/hooks/sample", "")?;
    scene.write("home/project/.git/config", "[core]\n")?;
    scene.write("home/other/file", "as it was\n")?;
    let project = scene.home().join("project");
    let line = "pwd; try write sh -c 'echo made >made'; try hook touch .git/hooks/post-commit; try config sh -c 'echo >>.git/config'
        try object touch .git/object; try other cat ../other/file; (echo changed >../other/file) 2>/dev/null; echo \"secret $AWS_SECRET_ACCESS_KEY.\"";
    let out = scene
        .sandbox()
        .env("AWS_SECRET_ACCESS_KEY", "hunter2")
        .program(["sh", "-c", &format!("{TRY}{line}")])
        .in_folder(&project)
        .run()?;
    out.succeeds()?;
    out.answers(&[
        ("write", "ok"),
        ("hook", "no"),
        ("config", "no"),
        ("object", "ok"),
        ("other", "no"),
    ])?;
    assert!(
        out.stdout()
            .starts_with(&format!("{}\n", project.display())),
        "{out}"
    );
    assert!(out.stdout().ends_with("secret .\n"), "{out}");
    assert_eq!(fs::read_to_string(project.join("made"))?, "made\n");
    assert_eq!(
        fs::read_to_string(scene.home().join("other/file"))?,
        "as it was\n"
    );
    Ok(())
}

/// There the current directory, which may be changed, is the one that holds keys and start-up files.
fn default_in_home(scene: &Scene) -> Outcome {
    scene.write("home/.ssh/id_ed25519", "key")?;
    scene.write("home/.aws/credentials", "key")?;
    scene.write("home/.bashrc", "# as it was\n")?;
    scene.write("home/.config/autostart/one.desktop", "")?;
    let line = "try ssh cat ~/.ssh/id_ed25519; try new-key touch ~/.ssh/authorized_keys; try aws cat ~/.aws/credentials
        try read cat ~/.bashrc; try plant sh -c 'echo >>~/.bashrc'; try autostart touch ~/.config/autostart/two.desktop
        try file touch ~/file; try move mv ~/.ssh ~/ssh; try remove rm -rf ~/.ssh";
    let out = scene
        .sandbox()
        .program(["sh", "-c", &format!("{TRY}{line}")])
        .run()?;
    out.succeeds()?.answers(&[
        ("ssh", "no"),
        ("new-key", "no"),
        ("aws", "no"),
        ("read", "ok"),
        ("plant", "no"),
        ("autostart", "no"),
        ("file", "ok"),
        ("move", "no"),
        ("remove", "no"),
    ])?;
    assert_eq!(
        fs::read_to_string(scene.home().join(".ssh/id_ed25519"))?,
        "key"
    );
    assert_eq!(
        fs::read_to_string(scene.home().join(".bashrc"))?,
        "# as it was\n"
    );
    assert!(scene.home().join("file").exists());
    Ok(())
}

fn shell(scene: &Scene) -> Outcome {
    scene.write("home/.ssh/id_ed25519", "key")?;
    scene.write("home/.bashrc", "# usual\n")?;
    let out = script(
        scene,
        "shell",
        "cd; ls -A; cat .bashrc; touch made && echo $SANDBOX",
    )
    .run()?;
    out.succeeds()?.prints(".bashrc\n# usual\nshell")?;
    assert!(!scene.home().join("made").exists());
    Ok(())
}

fn strict(scene: &Scene) -> Outcome {
    let shown = scene.write("home/shown", "to be read\n")?;
    scene.write("home/other", "")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let line = "ls -A; cat shown; hostname; grep -c : /proc/net/dev; echo \"${CALLER-none}\"
        for place in /etc/passwd /home /root/.bashrc /var/log /boot /srv /sys/class; do test -e $place && echo \"seen $place\"; done
        try change sh -c 'echo >>shown'; try scratch touch /tmp/x";
    // Where a limit cannot be had the rest holds all the same.
    let strict = || {
        scene
            .sandbox()
            .args(["--best-effort", "--profile", "strict"])
            .env("CALLER", "x")
    };
    let out = strict()
        .args(["--ro".into(), shown.clone().into_os_string()])
        .program(["sh", "-c", &format!("{TRY}{line}")])
        .run()?;
    out.succeeds()?;
    out.prints("shown\nto be read\nsandbox\n1\nnone\nchange: no\nscratch: ok")?;
    let address = listener.local_addr()?.to_string();
    let out = strict()
        .show_probe()
        .probe(["connect", "tcp", &address])
        .run()?;
    out.exits_with(1)?.prints("EAFNOSUPPORT")?;
    // Nor does the way there lead through what is not shown.
    let out = strict()
        .program(["cat".into(), shown.into_os_string()])
        .run()?;
    out.exits_with(1)?.complains("No such file or directory")
}

fn strict_python(scene: &Scene) -> Outcome {
    let program = "import json, re, ssl, subprocess, tempfile, threading
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x'); file.flush()
    print(json.dumps({'size': int(subprocess.check_output(['stat', '-c', '%s', file.name]))}))
thread = threading.Thread(target=lambda: print('thread')); thread.start(); thread.join()
import socket
try: socket.socket()
except OSError as error: print(error.errno)
";
    let out = scene
        .sandbox()
        .args(["--best-effort", "--profile", "strict"])
        .program(["python3", "-c", program])
        .run()?;
    out.succeeds()?;
    out.prints("{\"size\": 1}\nthread\n97")
}
