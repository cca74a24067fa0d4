//! `process.again`: a second start is handed into the sandbox in which the program runs already, or has one of its own.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::programs::browser::Display;
use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Sandbox, Scene, case};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    vec![
        case("reaches_the_first", USERNS, reaches_the_first),
        case("new_unless_it_is_said", USERNS, new_unless_it_is_said),
        case("new_on_demand", USERNS, new_on_demand),
        case("other_rules", USERNS, other_rules),
        case("other_program", USERNS, other_program),
        case("other_name", USERNS, other_name),
        case("same_confinement", USERNS, same_confinement),
        case(
            "starts_where_it_was_called",
            USERNS,
            starts_where_it_was_called,
        ),
        case("after_the_end", USERNS, after_the_end),
        case("documents", USERNS, documents),
        case("all_at_once", USERNS, all_at_once),
        case(
            "waits_for_all_of_the_record",
            USERNS,
            waits_for_all_of_the_record,
        ),
        case("dry_run", USERNS, dry_run),
        case(
            "firefox_opens_a_second_window",
            &[
                Need::UserNamespaces,
                Need::Program("firefox-esr"),
                Need::Program("Xvfb"),
                Need::Program("xwininfo"),
                Need::Program("dbus-daemon"),
                Need::Program("xdg-dbus-proxy"),
            ],
            firefox_opens_a_second_window,
        ),
    ]
}

const RULES: &str =
    "extends = [\"base\"]\n[filesystem]\n\"~\" = \"private\"\n\"/tmp\" = \"tmpfs\"\n[process]\n";
const JOIN: &str = "again = \"join\"\n";

/// A program with one instance for each home: it is found by a lock there, and reached by a pipe that only its sandbox has.
const PROGRAM: &str = r#"
if mkfifo /tmp/inbox 2>/dev/null; then
    mkdir ~/lock 2>/dev/null || { echo "it runs, but is not responding"; exit 9; }
    exec 3<>/tmp/inbox
    echo ready
    while read -r line <&3; do
        echo "got $line"
        [ "$line" = end ] && exit 0
    done
fi
echo "$1" >/tmp/inbox
echo sent
exit 3
"#;

fn start<'a>(scene: &'a Scene, rules: &str, word: &str) -> io::Result<Sandbox<'a>> {
    Ok(scene
        .sandbox()
        .profile_text(rules)?
        .program(["sh", "-c", PROGRAM, "program", word]))
}

fn joining() -> String {
    format!("{RULES}{JOIN}")
}

/// The first one, which waits for what it is told.
fn first(scene: &Scene, rules: &str) -> io::Result<Running> {
    let mut run = start(scene, rules, "")?.spawn()?;
    run.wait_for("ready\n")?;
    Ok(run)
}

/// The sandbox may be gone before who said so has ended.
fn tell_the_end(scene: &Scene) -> Outcome {
    let out = start(scene, &joining(), "end")?.run()?;
    assert!(matches!(out.code(), 3 | 137), "{out}");
    Ok(())
}

/// Ends the first one, and looks whether it got that.
fn end(scene: &Scene, run: Running, got: &[&str]) -> Outcome {
    tell_the_end(scene)?;
    let out = run.wait()?;
    out.succeeds()?;
    let lines: Vec<String> = got.iter().map(|word| format!("got {word}\n")).collect();
    assert_eq!(out.stdout(), format!("ready\n{}got end\n", lines.concat()));
    Ok(())
}

fn is_alone(out: &super::support::sandbox::Finished) -> Outcome {
    out.exits_with(9)?.says("not responding")
}

fn reaches_the_first(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    let out = start(scene, &joining(), "page")?.run()?;
    out.exits_with(3)?.prints("sent")?;
    assert_eq!(out.stderr(), "");
    let out = start(scene, &joining(), "again")?
        .args(["--verbose"])
        .run()?;
    out.exits_with(3)?.complains("which runs already")?;
    end(scene, run, &["page", "again"])
}

fn new_unless_it_is_said(scene: &Scene) -> Outcome {
    let run = first(scene, RULES)?;
    is_alone(&start(scene, RULES, "page")?.run()?)?;
    run.signal(Signal::SIGTERM)?;
    run.wait()?;
    Ok(())
}

fn new_on_demand(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    is_alone(&start(scene, &joining(), "page")?.args(["--new"]).run()?)?;
    let set = ["--set", "process.again=new"];
    is_alone(&start(scene, &joining(), "page")?.args(set).run()?)?;
    end(scene, run, &[])
}

/// Whoever asks for other rules gets them; not even stricter ones are taken for the same.
fn other_rules(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    for more in [
        "nice = 5\n",
        "umask = \"0077\"\n",
        "[network]\nmode = \"none\"\n",
    ] {
        let out = start(scene, &format!("{}{more}", joining()), "page")?.run()?;
        is_alone(&out)?;
        out.complains("not under the same rules")?;
    }
    let out = start(scene, &joining(), "page")?
        .args(["--ro", "/etc"])
        .run()?;
    is_alone(&out)?;
    // The same rules mean another home.
    let home = scene.folder().join("elsewhere");
    std::fs::create_dir(&home)?;
    let out = start(scene, &joining(), "page")?
        .env("XDG_DATA_HOME", home)
        .limit(Duration::from_secs(3))
        .spawn()?;
    let mut out = out;
    out.wait_for("ready\n")?;
    out.signal(Signal::SIGTERM)?;
    out.wait()?;
    end(scene, run, &[])
}

fn other_program(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    let line = ["test", "-p", "/tmp/inbox"];
    let out = scene
        .sandbox()
        .profile_text(&joining())?
        .program(line)
        .run()?;
    out.exits_with(1)?;
    end(scene, run, &[])
}

fn other_name(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    let name = format!("test-{}-other", std::process::id());
    is_alone(
        &start(scene, &joining(), "page")?
            .args(["--name", &name])
            .run()?,
    )?;
    end(scene, run, &[])
}

/// What binds it binds the second one.
fn same_confinement(scene: &Scene) -> Outcome {
    let look = "for kind in user mnt pid ipc net uts; do readlink /proc/self/ns/$kind; done
        grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd|CapPrm):' /proc/self/status; touch /usr/x && echo written; ls ~/.. | wc -l";
    let line = |text: &str| -> io::Result<Sandbox<'_>> {
        Ok(scene
            .sandbox()
            .profile_text(&joining())?
            .program(["sh", "-c", text]))
    };
    let mut run = line(&format!("{look}; echo ready; sleep 60"))?.spawn()?;
    run.wait_for("ready\n")?;
    let out = line(look)?.run()?;
    let theirs = run.stdout_so_far();
    run.signal(Signal::SIGTERM)?;
    run.wait()?;
    assert_eq!(format!("{}ready\n", out.stdout()), theirs);
    assert!(
        !theirs.contains("written") && theirs.contains("NoNewPrivs:\t1"),
        "{theirs}"
    );
    Ok(())
}

fn starts_where_it_was_called(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    let out = scene
        .sandbox()
        .profile_text(&joining())?
        .in_folder("/usr/bin")
        .program(["sh", "-c", "pwd; test -p /tmp/inbox"])
        .run()?;
    out.succeeds()?.prints("/usr/bin")?;
    end(scene, run, &[])
}

/// Nothing is left of it, and the next one is a first one.
fn after_the_end(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    end(scene, run, &[])?;
    is_alone(&start(scene, &joining(), "page")?.run()?)?;
    let run = scene
        .sandbox()
        .profile_text(&joining())?
        .program(["sh", "-c", "rmdir ~/lock; exit 0"])
        .run()?;
    run.succeeds()?;
    let run = first(scene, &joining())?;
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    // Its launcher was killed.
    is_alone(&start(scene, &joining(), "page")?.run()?)
}

fn documents(scene: &Scene) -> Outcome {
    let rules = format!("{}[desktop]\ndocuments = \"read-only\"\n", joining());
    let a = scene.write("home/letters/a", "first")?;
    let b = scene.write("home/letters/b", "second")?;
    let line = |file: &std::path::Path, text: &str| -> io::Result<Sandbox<'_>> {
        Ok(scene
            .sandbox()
            .profile_text(&rules)?
            .args(["--documents=3"])
            .program([
                "sh".as_ref(),
                "-c".as_ref(),
                text.as_ref(),
                file.as_os_str(),
            ]))
    };
    let mut run = line(&a, "touch /tmp/inbox; echo ready; sleep 60")?.spawn()?;
    run.wait_for("ready\n")?;
    let look = "test -e /tmp/inbox && cat \"$0\"";
    line(&a, look)?.run()?.succeeds()?.prints("first")?;
    let refused = line(&b, look)?.run()?;
    refused.exits_with(125)?.complains("does not show it")?;
    refused.complains("--new")?;
    let own = line(&b, "cat \"$0\"")?.args(["--new"]).run()?;
    own.succeeds()?.prints("second")?;
    // Another file by the same name is not the one that is shown.
    std::fs::rename(&b, &a)?;
    line(&a, look)?
        .run()?
        .exits_with(125)?
        .complains("does not show it")?;
    run.signal(Signal::SIGTERM)?;
    run.wait()?;
    Ok(())
}

fn all_at_once(scene: &Scene) -> Outcome {
    const MANY: usize = 6;
    // Written once: who starts reads it while the next is being made.
    let file = scene.write("many.toml", &joining())?;
    let line = |word: &str| {
        let program = ["sh", "-c", PROGRAM, "program", word];
        scene
            .sandbox()
            .args(["--profile".as_ref(), file.as_os_str()])
            .program(program)
    };
    let mut runs = Vec::new();
    for number in 0..MANY {
        runs.push(line(&number.to_string()).spawn()?);
    }
    // All but the first send what they have, and end.
    let sent = |runs: &[Running]| {
        runs.iter()
            .filter(|run| run.stdout_so_far() == "sent\n")
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while sent(&runs) < MANY - 1 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let last = line("end").run()?;
    assert!(matches!(last.code(), 3 | 137), "{last}");
    let mut codes = Vec::new();
    let mut told = String::new();
    for run in runs {
        let out = run.wait()?;
        codes.push(out.code());
        told.push_str(&format!(
            "{}: {}{}\n",
            out.code(),
            out.stdout(),
            out.stderr()
        ));
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 3, 3, 3, 3, 3], "{told}");
    Ok(())
}

/// A record is written while others read it.
fn waits_for_all_of_the_record(scene: &Scene) -> Outcome {
    let run = first(scene, &joining())?;
    // The only one of this program with what a second start is compared with.
    let is_ours = |text: &str| text.contains("\"again\":\"") && text.contains("got $line");
    let mut all = std::fs::read_dir(scene.records())?.flatten();
    let (path, text) = all
        .find_map(|file| {
            let text = std::fs::read_to_string(file.path()).ok()?;
            is_ours(&text).then(|| (file.path(), text))
        })
        .ok_or("no record")?;
    let file = std::fs::File::options().write(true).open(&path)?;
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let policy = *ends.get(1).ok_or("no policy")?;
    file.set_len(u64::try_from(policy)? + 1)?;
    let second = start(scene, &joining(), "page")?.spawn()?;
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(&path, &text)?;
    let out = second.wait()?;
    out.exits_with(3)?.prints("sent")?;
    end(scene, run, &["page"])
}

fn dry_run(scene: &Scene) -> Outcome {
    let plan = |more: &[&str]| {
        start(scene, &joining(), "page")?
            .args(["--dry-run"])
            .args(more)
            .run()
    };
    plan(&[])?.succeeds()?.says("plan for sh")?;
    let run = first(scene, &joining())?;
    plan(&[])?
        .succeeds()?
        .says("would be run in the sandbox `sh")?;
    plan(&["--new"])?.succeeds()?.says("plan for sh")?;
    plan(&["--json"])?.succeeds()?.says("\"joins\": \"sh")?;
    end(scene, run, &[])
}

/// A bus for one test. The daemon ends with its standard output.
fn bus(scene: &Scene) -> Result<(Running, String), Box<dyn std::error::Error>> {
    let mut daemon = scene
        .command("dbus-daemon")
        .args(["--session", "--nofork", "--print-address=1"])
        .limit(Duration::from_secs(300))
        .spawn()?;
    daemon.wait_for("\n")?;
    let address = daemon.stdout_so_far().trim().to_owned();
    Ok((daemon, address))
}

fn firefox_opens_a_second_window(scene: &Scene) -> Outcome {
    let patience = super::programs::PATIENCE;
    let display = Display::start(scene)?;
    let (daemon, address) = bus(scene)?;
    let page = |name: &str| -> io::Result<String> {
        let text = format!("<!DOCTYPE html><title>{name}</title>");
        let path = scene.write(&format!("home/Downloads/{name}.html"), &text)?;
        Ok(format!("file://{}", path.display()))
    };
    let (one, two) = (page("First page")?, page("Second page")?);
    let firefox = |page: &str| {
        let line = display
            .client(scene.sandbox())
            .env("DBUS_SESSION_BUS_ADDRESS", &address)
            .args(["--best-effort"])
            .limit(patience * 2);
        // Root's Firefox must be another user inside, see `web-browser`.
        let line = match scene.host.is_root() {
            true => line.args(["--set", "user.uid=1000", "--set", "user.gid=1000"]),
            false => line,
        };
        line.program(["firefox-esr", "--new-window", page])
    };
    let seen = |title: &str| -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let windows = scene.command("xwininfo").args(["-root", "-tree"]);
            if display.client(windows).run()?.stdout().contains(title) {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(false)
    };
    let run = firefox(&one).spawn()?;
    let first = seen("First page")?;
    let second = firefox(&two).run()?;
    let both = seen("Second page")? && seen("First page")?;
    run.signal(Signal::SIGTERM)?;
    let out = run.wait()?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait()?;
    assert!(first, "no window\n{out}");
    second.succeeds()?;
    assert!(both, "no second window\n{second}\n{out}");
    Ok(())
}
