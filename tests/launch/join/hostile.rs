//! Sandboxes that want to make something of who joins, and records that lie.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::support::{Case, Outcome, Scene, case, unique, wait_until};
use super::{SOON, USERNS, end, idle, join};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "out_of_reach_while_entering",
            USERNS,
            out_of_reach_while_entering,
        ),
        case("own_file_is_out_of_reach", USERNS, own_file_is_out_of_reach),
        case("forged_records", USERNS, forged_records),
    ]
}

fn out_of_reach_while_entering(scene: &Scene) -> Outcome {
    for profile in [
        "[namespaces]\npid = true\n[capabilities]\ndefault = \"drop\"\n",
        "[namespaces]\npid = true\n[syscalls]\npersonality = \"deny\"\n[capabilities]\ndefault = \"drop\"\n",
        "[namespaces]\nuts = true\n[syscalls]\npersonality = \"deny\"\n[capabilities]\ndefault = \"drop\"\n",
    ] {
        let name = unique("stalked");
        let mut run = scene
            .run_called(&name, profile)?
            .probe(["stalk", "12"])
            .spawn()?;
        run.wait_for("stalking")?;
        let deadline = Instant::now() + Duration::from_secs(9);
        let mut joins = 0;
        while Instant::now() < deadline {
            let out = join(scene, &name).program(["sleep", "0.5"]).run()?;
            // It may be stopped for a moment, but nothing worse.
            out.succeeds()?;
            joins += 1;
        }
        let out = run.wait()?;
        out.succeeds()?;
        let text = out.stdout();
        let number = |word: &str| {
            let mut words = text.split_whitespace().skip_while(|found| *found != word);
            words.nth(1).and_then(|number| number.parse::<u32>().ok())
        };
        assert_eq!(number("early"), Some(0), "under {profile}: {text}");
        // What it tries works on programs, else this would show nothing.
        let (new, late) = (number("new"), number("late"));
        assert!(
            joins >= 5 && new >= Some(5) && late >= Some(3),
            "under {profile}: {text}"
        );
    }
    Ok(())
}

/// Who owns `sandboxctl` joins with a program that leads to `/proc/self/exe`: then `sandboxctl` runs inside, and a program
/// there holds its file, whatever the view shows. It must not become writable when nobody runs it any more.
fn own_file_is_out_of_reach(scene: &Scene) -> Outcome {
    let own = scene.home().join("sandboxctl");
    fs::copy(super::super::support::binary("sandboxctl"), &own)?;
    let link = scene.home().join("link");
    std::os::unix::fs::symlink("/proc/self/exe", &link)?;
    let name = unique("own-file");
    let script = "echo ready
        while :; do
            for p in /proc/[0-9]*; do
                line=$(tr '\\0' ' ' 2>/dev/null <$p/cmdline) || continue
                case $line in *'link events ') ;; *) continue ;; esac
                command exec 5<$p/exe || continue
                echo held
                while readlink $p/exe >/dev/null 2>&1; do sleep 0.05; done
                printf overwritten >>/proc/self/fd/5 && echo written || echo refused
                exec sleep 600
            done
        done";
    let profile = "[filesystem]\n\"/\" = \"read-only\"\n\"/dev/null\" = \"read-write\"\n[namespaces]\npid = true\n\
                   [capabilities]\ndefault = \"drop\"\n[process]\nlandlock = false\n";
    let mut run = scene
        .run_called(&name, profile)?
        .program(["sh", "-c", script])
        .spawn()?;
    run.wait_for("ready")?;
    let joined = scene
        .command(&own)
        .args(["join", &name])
        .args([link.clone(), "events".into()])
        .spawn()?;
    run.wait_for("held")?;
    joined.signal(Signal::SIGKILL)?;
    joined.wait()?;
    let told = wait_until(SOON, || {
        let text = run.stdout_so_far();
        text.contains("refused") || text.contains("written")
    });
    let text = run.stdout_so_far();
    end(run)?;
    assert!(told && text.contains("refused"), "{text}");
    let (before, after) = (
        fs::read(super::super::support::binary("sandboxctl"))?,
        fs::read(&own)?,
    );
    assert!(before == after, "`sandboxctl` was written to");
    Ok(())
}

/// A record under another name whose lock we hold; removed when this is dropped.
struct Forged {
    path: PathBuf,
    _lock: fs::File,
}

impl Forged {
    fn new(like: &Path, name: &str, text: &str) -> std::io::Result<Self> {
        let path = like.with_file_name(name);
        let file = fs::File::options()
            .write(true)
            .create_new(true)
            .open(&path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.lock()?;
        fs::write(&path, text)?;
        Ok(Self { path, _lock: file })
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn forged_records(scene: &Scene) -> Outcome {
    let profile = "[namespaces]\npid = true\nuts = true\n[syscalls]\nptrace = \"deny\"\n";
    let name = unique("real");
    let run = idle(scene, &name, profile)?;
    let path = scene.records().join(&name);
    assert!(wait_until(SOON, || fs::read_to_string(&path)
        .is_ok_and(|text| text.lines().count() >= 3)));
    let text = fs::read_to_string(&path)?;
    let lines: Vec<&str> = text.lines().collect();
    let record: serde_json::Value = serde_json::from_str(lines[0])?;
    let number = |value: &serde_json::Value| value.as_i64().unwrap_or_default();
    let inside = number(&record["program_process"]["pid"]);
    assert!(inside > 0, "{record:#}");
    let stat = fs::read_to_string(format!("/proc/{inside}/stat"))?;
    let started: i64 = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok())
        .unwrap_or_default();
    let own =
        serde_json::json!({ "pid": std::process::id(), "started": started_of(std::process::id()) });
    let forge = |what: &str, change: &dyn Fn(&mut serde_json::Value), confinement: &str| {
        let forged = unique(what);
        let mut record = record.clone();
        record["name"] = forged.clone().into();
        change(&mut record);
        let text = format!("{record}\n{}\n{confinement}\n", lines[1]);
        let held = Forged::new(&path, &forged, &text)?;
        let out = join(scene, &forged).program(["echo", "was run"]).run()?;
        drop(held);
        Ok::<_, std::io::Error>(out)
    };
    let same = lines[2];
    let without_filter = {
        let mut confinement: serde_json::Value = serde_json::from_str(same)?;
        if let Some(bonds) = confinement["bonds"].as_array_mut() {
            bonds.retain(|bond| bond["rule"].get("seccomp").is_none());
        }
        confinement.to_string()
    };
    let truth = forge("copy", &|_| {}, same)?;
    let mut outcomes = vec![
        (
            "filter",
            forge("filter", &|_| {}, &without_filter)?,
            "system call filter",
        ),
        (
            "nothing",
            forge("nothing", &|_| {}, "")?,
            "does not say what binds it",
        ),
        (
            "garbage",
            forge("garbage", &|_| {}, "{\"bonds\":7}")?,
            "cannot be read",
        ),
        (
            "launcher",
            forge(
                "launcher",
                &|record| {
                    record["supervisor"] = serde_json::json!({ "pid": inside, "started": started })
                },
                same,
            )?,
            "its launcher",
        ),
        (
            "other-launcher",
            forge(
                "other-launcher",
                &|record| record["supervisor"] = own.clone(),
                same,
            )?,
            "not started by its launcher",
        ),
        (
            "recycled",
            forge(
                "recycled",
                &|record| record["program_process"]["started"] = (started + 1).into(),
                same,
            )?,
            "it has ended",
        ),
        (
            "outside",
            forge(
                "outside",
                &|record| {
                    record["program_process"] = own.clone();
                },
                same,
            )?,
            "not started by its launcher",
        ),
        (
            "moved",
            forge(
                "moved",
                &|record| record["namespaces"]["uts"] = 7.into(),
                same,
            )?,
            "has left the uts namespace",
        ),
        (
            "unnamed",
            forge(
                "unnamed",
                &|record| {
                    drop(
                        record["namespaces"]
                            .as_object_mut()
                            .and_then(|all| all.remove("uts")),
                    )
                },
                same,
            )?,
            "does not name its uts namespace",
        ),
        (
            "pretended",
            forge(
                "pretended",
                &|record| {
                    let own = fs::metadata("/proc/self/ns/uts").map_or(0, |found| found.ino());
                    record["namespaces"]["uts"] = own.into();
                },
                same,
            )?,
            "has left the uts namespace",
        ),
        (
            "group",
            forge(
                "group",
                &|record| {
                    record["group"] =
                        serde_json::json!([{ "version": "v2", "controllers": [], "path": "/tmp" }]);
                },
                same,
            )?,
            "control group",
        ),
    ];
    // Not a file of ours at all.
    let link = unique("link");
    std::os::unix::fs::symlink(&path, path.with_file_name(&link))?;
    let linked = join(scene, &link).program(["echo", "was run"]).run();
    fs::remove_file(path.with_file_name(&link))?;
    outcomes.push(("link", linked?, "symbolic link"));
    end(run)?;
    // All that the kernel says agrees with it, and what it says binds the program may have been loosened.
    outcomes.push(("copy", truth, "its launcher does not hold this record"));
    for (what, out, reason) in outcomes {
        out.exits_with(125)
            .map_err(|error| format!("{what}: {error}"))?;
        out.prints("")?;
        out.complains(reason)?;
    }
    Ok(())
}

fn started_of(pid: u32) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok())
        .unwrap_or_default()
}
