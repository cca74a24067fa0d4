//! Patterns of `[filesystem]` that hide: what gets such a name while the program runs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Sandbox, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];
const UNSHARE: &[Need] = &[Need::UserNamespaces, Need::Program("unshare")];
const EXCHANGE: &[Need] = &[Need::UserNamespaces, Need::Program("python3")];

pub fn cases() -> Vec<Case> {
    vec![
        case("made_outside", USERNS, made_outside),
        case(
            "where_there_was_no_directory",
            USERNS,
            where_there_was_no_directory,
        ),
        case(
            "put_in_the_place_of_another",
            USERNS,
            put_in_the_place_of_another,
        ),
        case("made_inside", USERNS, made_inside),
        case("moved_inside", USERNS, moved_inside),
        case("exchanged_inside", EXCHANGE, exchanged_inside),
        case("directories", USERNS, directories),
        case("links", USERNS, links),
        case("at_a_second_place", USERNS, at_a_second_place),
        case(
            "in_namespaces_made_before",
            UNSHARE,
            in_namespaces_made_before,
        ),
        case("storm", USERNS, storm),
        case("too_many_end_the_program", USERNS, too_many_end_the_program),
        case(
            "too_few_watches_are_told",
            &[Need::Root, Need::UserNamespaces, Need::Program("unshare")],
            too_few_watches_are_told,
        ),
        case("ends_with_the_keeper", USERNS, ends_with_the_keeper),
        case("out_of_reach", USERNS, out_of_reach),
        case("least_privilege", USERNS, least_privilege),
        case("outlives_the_launcher", USERNS, outlives_the_launcher),
        case(
            "nobody_stays_without_patterns",
            USERNS,
            nobody_stays_without_patterns,
        ),
        case("joined_in_the_background", USERNS, joined_in_the_background),
    ]
}

const PROFILE: &str = "[filesystem]\n\"~\" = \"read-write\"\n\"~/work/**/.env*\" = \"hidden\"\n\
     \"~/work/**/.env.example\" = \"read-only\"\n\"~/work/shown/.env\" = \"read-write\"\n\
     [namespaces]\nuser = true\npid = true\n";

/// What the program begins with: `closed FILE` waits until a file that is there cannot be read; `go N` waits for the test.
const WORDS: &str = "cd ~ || exit 9
closed() {
  i=0
  while [ $i -lt 500 ]; do
    if [ -e \"$1\" ] || [ -L \"$1\" ]; then cat \"$1\" >/dev/null 2>&1 || ls \"$1/\" >/dev/null 2>&1 || { echo \"closed $1\"; return; }; fi
    i=$((i+1)); sleep 0.02
  done
  echo \"SEEN $1\"
}
go() { until [ -e \"go$1\" ]; do sleep 0.02; done; }
";

fn script<'a>(scene: &'a Scene, profile: &str, text: &str) -> std::io::Result<Sandbox<'a>> {
    fs::create_dir_all(scene.home().join("work/a"))?;
    Ok(scene
        .sandbox()
        .profile_text(profile)?
        .limit(Duration::from_secs(240))
        .program(["sh", "-c", &format!("{WORDS}{text}")]))
}

fn keepers(run: &Running) -> Vec<Pid> {
    let is_keeper = |pid: &Pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "sandbox-keeper")
    };
    run.descendants().into_iter().filter(is_keeper).collect()
}

fn is_gone(pid: Pid) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

fn made_outside(scene: &Scene) -> Outcome {
    let mut run = script(
        scene,
        PROFILE,
        "echo ready; go 1
        for f in work/.env work/a/.env.local work/new/deep/.env work/moved/.env work/tree/x/.env; do closed $f; done
        cat work/a/.env.example work/shown/.env work/a/other",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    let keeper = keepers(&run);
    assert_eq!(keeper.len(), 1, "one process stays for it");
    scene.write("home/work/.env", "secret")?;
    let outside = scene.write("home/outside", "secret")?;
    fs::rename(outside, scene.home().join("work/a/.env.local"))?;
    scene.write("home/work/new/deep/.env", "secret")?;
    for (from, to) in [("one/.env", "moved"), ("two/x/.env", "tree")] {
        let made = scene.write(&format!("home/{from}"), "secret")?;
        let top = scene.home().join(&from[..3]);
        assert!(made.starts_with(&top));
        fs::rename(top, scene.home().join("work").join(to))?;
    }
    scene.write("home/work/a/.env.example", "example ")?;
    scene.write("home/work/shown/.env", "shown ")?;
    scene.write("home/work/a/other", "other")?;
    scene.write("home/go1", "")?;
    let out = run.wait()?;
    out.succeeds()?;
    out.prints(
        "ready\nclosed work/.env\nclosed work/a/.env.local\nclosed work/new/deep/.env\nclosed work/moved/.env\n\
         closed work/tree/x/.env\nexample shown other",
    )?;
    assert!(is_gone(keeper[0]), "it ends with the sandbox");
    // Nothing was made or changed on the host.
    for file in ["work/.env", "work/tree/x/.env"] {
        assert_eq!(fs::read_to_string(scene.home().join(file))?, "secret");
    }
    let mut names: Vec<_> = fs::read_dir(scene.home().join("work"))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    assert_eq!(names, [".env", "a", "moved", "new", "shown", "tree"]);
    Ok(())
}

fn where_there_was_no_directory(scene: &Scene) -> Outcome {
    let profile = "[filesystem]\n\"~\" = \"read-write\"\n\"~/none/yet/**/.env\" = \"denied\"\n[namespaces]\nuser = true\n";
    let mut run = script(scene, profile, "echo ready; go 1; closed none/yet/a/.env")?.spawn()?;
    run.wait_for("ready")?;
    assert!(!scene.home().join("none").exists(), "no stub");
    scene.write("home/none/yet/a/.env", "secret")?;
    scene.write("home/go1", "")?;
    run.wait()?.prints("ready\nclosed none/yet/a/.env")
}

fn put_in_the_place_of_another(scene: &Scene) -> Outcome {
    scene.write("home/work/.env", "one")?;
    let mut run = script(
        scene,
        PROFILE,
        "closed work/.env; echo ready; go 1; closed work/.env; echo again; go 2; closed work/.env",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    let other = scene.write("home/other", "two")?;
    fs::rename(other, scene.home().join("work/.env"))?;
    scene.write("home/go1", "")?;
    run.wait_for("again")?;
    fs::remove_file(scene.home().join("work/.env"))?;
    scene.write("home/work/.env", "three")?;
    scene.write("home/go2", "")?;
    let out = run.wait()?;
    out.prints("closed work/.env\nready\nclosed work/.env\nagain\nclosed work/.env")?;
    assert_eq!(fs::read_to_string(scene.home().join("work/.env"))?, "three");
    Ok(())
}

fn made_inside(scene: &Scene) -> Outcome {
    let out = script(
        scene,
        PROFILE,
        "echo own > work/a/.env; closed work/a/.env; echo own > work/a/x; mv work/a/x work/a/.env.x; closed work/a/.env.x
        mv work/a/x2 work/a/.env 2>/dev/null || echo kept; echo text > work/a/.env.example; cat work/a/.env.example",
    )?
    .run()?;
    out.prints("closed work/a/.env\nclosed work/a/.env.x\nkept\ntext")?;
    assert_eq!(
        fs::read_to_string(scene.home().join("work/a/.env"))?,
        "own\n"
    );
    Ok(())
}

/// What is closed stays so when the directories around it get other names, and what comes there later is closed too.
fn moved_inside(scene: &Scene) -> Outcome {
    let mut run = script(
        scene,
        PROFILE,
        "mkdir -p work/b/c; echo ready; go 1; closed work/b/c/.env; mv work/b work/d; cat work/d/c/.env 2>/dev/null && echo SEEN
        mkdir work/b; echo moved; go 2; closed work/d/c/.env.more; closed work/b/.env",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    scene.write("home/work/b/c/.env", "secret")?;
    scene.write("home/go1", "")?;
    run.wait_for("moved")?;
    scene.write("home/work/d/c/.env.more", "secret")?;
    scene.write("home/work/b/.env", "secret")?;
    scene.write("home/go2", "")?;
    run.wait()?
        .prints("ready\nclosed work/b/c/.env\nmoved\nclosed work/d/c/.env.more\nclosed work/b/.env")
}

/// Two directories that exchange their names (renameat2(2), RENAME_EXCHANGE) are both looked after, where they are now.
fn exchanged_inside(scene: &Scene) -> Outcome {
    let mut run = script(
        scene,
        PROFILE,
        "mkdir -p work/b/c; python3 -c 'import ctypes; print(ctypes.CDLL(None).renameat2(-100, b\"work/a\", -100, b\"work/b\", 2))'
        sleep 0.3; echo ready; go 1; closed work/a/.env; closed work/a/c/.env; closed work/b/.env",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    for directory in ["a", "a/c", "b"] {
        scene.write(&format!("home/work/{directory}/.env"), "secret")?;
    }
    scene.write("home/go1", "")?;
    run.wait()?
        .prints("0\nready\nclosed work/a/.env\nclosed work/a/c/.env\nclosed work/b/.env")
}

fn directories(scene: &Scene) -> Outcome {
    let profile = "[filesystem]\n\"~\" = \"read-write\"\n\"~/work/*/keys\" = \"hidden\"\n[namespaces]\nuser = true\n";
    let mut run = script(
        scene,
        profile,
        "echo ready; go 1; closed work/a/keys; closed work/b/keys; cat work/a/keys/one work/keys/one 2>/dev/null",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    scene.write("home/work/a/keys/one", "secret")?;
    scene.write("home/elsewhere/keys/one", "secret")?;
    fs::rename(scene.home().join("elsewhere"), scene.home().join("work/b"))?;
    scene.write("home/work/keys/one", "shown")?;
    scene.write("home/go1", "")?;
    run.wait()?
        .prints("ready\nclosed work/a/keys\nclosed work/b/keys\nshown")
}

/// A link with such a name is closed itself; through one that leads elsewhere nothing is followed, and nothing covered.
fn links(scene: &Scene) -> Outcome {
    let mut run = script(
        scene,
        PROFILE,
        "echo ready; ln -s ../target work/.env; ln -s ../other work/link; go 1; closed work/.env; sleep 0.3; cat other/.env target",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    scene.write("home/target", "target")?;
    scene.write("home/other/.env", "other ")?;
    scene.write("home/go1", "")?;
    run.wait()?.prints("ready\nclosed work/.env\nother target")
}

fn at_a_second_place(scene: &Scene) -> Outcome {
    fs::create_dir_all(scene.home().join("second"))?;
    let profile = format!(
        "{PROFILE}[filesystem.\"~/second\"]\nbind = \"~/work/a\"\naccess = \"read-only\"\n"
    );
    let mut run = script(
        scene,
        &profile,
        "echo ready; go 1; closed work/a/.env; closed second/.env; closed second/b/.env",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    scene.write("home/work/a/.env", "secret")?;
    scene.write("home/work/a/b/.env", "secret")?;
    scene.write("home/go1", "")?;
    run.wait()?
        .prints("ready\nclosed work/a/.env\nclosed second/.env\nclosed second/b/.env")
}

fn in_namespaces_made_before(scene: &Scene) -> Outcome {
    let profile = format!("{PROFILE}[process]\nlandlock = false\n");
    let text = format!(
        "{WORDS}echo ready; go 1; closed work/a/.env; umount work/a/.env 2>/dev/null && echo SEEN"
    );
    fs::create_dir_all(scene.home().join("work/a"))?;
    let mut run = scene
        .sandbox()
        .profile_text(&profile)?
        .limit(Duration::from_secs(240))
        // A nested sandbox keeps what spreads to it (bubblewrap makes all mounts slaves).
        .program([
            "unshare",
            "-Um",
            "--propagation",
            "slave",
            "sh",
            "-c",
            &text,
        ])
        .spawn()?;
    run.wait_for("ready")?;
    scene.write("home/work/a/.env", "secret")?;
    scene.write("home/go1", "")?;
    let out = run.wait()?;
    // What has spread to it cannot be taken away there.
    out.prints("ready\nclosed work/a/.env")
}

/// More events than the kernel keeps.
fn storm(scene: &Scene) -> Outcome {
    let mut run = script(
        scene,
        PROFILE,
        "echo ready; d=1; while [ $d -le 60 ]; do mkdir -p work/s/$d/x; d=$((d+1)); done
        i=0; while [ $i -lt 20000 ]; do : > work/s/7/f$i; i=$((i+1)); done; echo done; go 1
        closed work/s/59/x/.env; closed work/late/.env",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    scene.write("home/work/late/.env", "secret")?;
    run.wait_for("done")?;
    scene.write("home/work/s/59/x/.env", "secret")?;
    scene.write("home/go1", "")?;
    run.wait()?
        .prints("ready\ndone\nclosed work/s/59/x/.env\nclosed work/late/.env")
}

fn too_many_end_the_program(scene: &Scene) -> Outcome {
    let out = script(
        scene,
        PROFILE,
        "i=0; while [ $i -lt 10100 ]; do : > work/a/.env$i; i=$((i+1)); done; sleep 200; echo SURVIVED",
    )?
    .run()?;
    out.exits_with(137)?;
    out.complains("more than 10,000 names were hidden while it ran; the program is ended")
}

fn too_few_watches_are_told(scene: &Scene) -> Outcome {
    let out = script(scene, PROFILE, "echo ran")?
        .behind([
            "unshare",
            "-Ur",
            "sh",
            "-c",
            "echo 1 > /proc/sys/user/max_inotify_watches && exec \"$@\"",
            "sh",
        ])
        .run()?;
    out.prints("ran")?;
    out.complains("fs.inotify.max_user_watches")
}

fn ends_with_the_keeper(scene: &Scene) -> Outcome {
    let mut run = script(scene, PROFILE, "echo ready; sleep 600")?.spawn()?;
    run.wait_for("ready")?;
    let keeper = keepers(&run);
    kill(*keeper.first().ok_or("no keeper")?, Signal::SIGKILL)?;
    let out = run.wait()?;
    out.exits_with(137)?;
    out.complains("the program is ended")
}

/// Without a pid namespace the program sees it, and may not look into it.
fn out_of_reach(scene: &Scene) -> Outcome {
    let profile = PROFILE.replace("pid = true", "pid = false");
    let mut run = script(
        scene,
        &profile,
        "echo ready; go 1; read k < keeper; cat /proc/$k/comm; ls /proc/$k/fd/3/ >/dev/null 2>&1 && echo SEEN
        ls /proc/$k/root/ >/dev/null 2>&1 && echo SEEN; cat /proc/$k/environ 2>/dev/null | tr -d '\\0' | grep . && echo SEEN; echo end",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    let keeper = keepers(&run);
    let keeper = keeper.first().ok_or("no keeper")?;
    let status = fs::read_to_string(format!("/proc/{keeper}/status"))?;
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    scene.write("home/keeper", &format!("{keeper}\n"))?;
    scene.write("home/go1", "")?;
    run.wait()?.prints("ready\nsandbox-keeper\nend")
}

/// The process that hides names has what it needs for that, and nothing else.
fn least_privilege(scene: &Scene) -> Outcome {
    let mut run = script(
        scene,
        PROFILE,
        "echo ready; go 1; closed work/.env; echo again; go 2",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    let keeper = keepers(&run);
    let keeper = keeper.first().ok_or("no keeper")?;
    // Once something was hidden it has made every kind of call.
    scene.write("home/work/.env", "secret")?;
    scene.write("home/go1", "")?;
    run.wait_for("again")?;
    let status = fs::read_to_string(format!("/proc/{keeper}/status"))?;
    let field = |name: &str| -> &str {
        let mut lines = status.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        found.unwrap_or_default()
    };
    // CAP_DAC_READ_SEARCH, CAP_SYS_CHROOT, CAP_SYS_ADMIN.
    let kept = "0000000000240004";
    for (name, expected) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapPrm", kept),
        ("CapEff", kept),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(field(name), expected, "{name}: {status}");
    }
    match fs::read_dir(format!("/proc/{keeper}/fd")) {
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
        Ok(open) => {
            let mut open: Vec<String> = open
                .map(|entry| Ok(fs::read_link(entry?.path())?.to_string_lossy().into_owned()))
                .collect::<std::io::Result<_>>()?;
            open.sort();
            let kinds: Vec<&str> = (open.iter())
                .map(|name| name.split(':').next().unwrap_or_default())
                .collect();
            // The root of the view and where covers come from; the queue; the child; both mount namespaces; the launcher.
            let expected = ["/", "/", "anon_inode", "anon_inode", "mnt", "mnt", "socket"];
            assert_eq!(kinds, expected, "{open:?}");
        }
    }
    if !nix::unistd::geteuid().is_root() {
        assert!(
            fs::read(format!("/proc/{keeper}/environ")).is_err(),
            "it is not dumpable"
        );
    }
    scene.write("home/go2", "")?;
    run.wait()?.prints("ready\nclosed work/.env\nagain")
}

fn outlives_the_launcher(scene: &Scene) -> Outcome {
    let profile = format!("{PROFILE}[process]\ndie-with-parent = false\n");
    let mut run = script(
        scene,
        &profile,
        "echo ready; go 1; closed work/.env > result; sleep 0.1",
    )?
    .spawn()?;
    run.wait_for("ready")?;
    let keeper = keepers(&run);
    let keeper = *keeper.first().ok_or("no keeper")?;
    run.signal(Signal::SIGKILL)?;
    scene.write("home/work/.env", "secret")?;
    scene.write("home/go1", "")?;
    assert!(is_gone(keeper), "it ends with the program");
    drop(run);
    let result = fs::read_to_string(scene.home().join("result"))?;
    assert_eq!(result, "closed work/.env\n");
    Ok(())
}

fn nobody_stays_without_patterns(scene: &Scene) -> Outcome {
    scene.write("home/one.key", "")?;
    for rules in [
        "\"~/one.key\" = \"hidden\"\n",
        "\"~/*.key\" = \"read-only\"\n",
        "\"/etc/shadow*\" = \"hidden\"\n",
        "\"~\" = \"private\"\n\"~/**/.env\" = \"hidden\"\n",
    ] {
        let profile = format!("[filesystem]\n{rules}[namespaces]\nuser = true\n");
        let mut run = scene
            .sandbox()
            .profile_text(&profile)?
            .program(["sh", "-c", "echo ready; exec sleep 600"])
            .spawn()?;
        run.wait_for("ready")?;
        assert_eq!(keepers(&run), [], "{rules}");
        run.signal(Signal::SIGTERM)?;
        run.wait()?;
    }
    Ok(())
}

fn joined_in_the_background(scene: &Scene) -> Outcome {
    let name = format!("test-{}-later", std::process::id());
    script(scene, PROFILE, "sleep 60")?
        .args(["--background", "--name", &name])
        .run()?
        .succeeds()?;
    let file = scene.write("home/work/a/.env", "secret")?;
    let text = format!("{WORDS}closed work/a/.env");
    let joined = scene
        .sandboxctl()
        .args(["join", &name, "--", "sh", "-c", &text])
        .run()?;
    let killed = scene.sandboxctl().args(["kill", &name]).run()?;
    joined.prints("closed work/a/.env")?;
    killed.succeeds()?;
    assert!(Path::new(&file).is_file());
    Ok(())
}
