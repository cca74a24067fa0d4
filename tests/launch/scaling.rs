//! How set-up grows with the rules and with the files of a home directory: counted in system calls and in processor time of
//! the launcher itself, so that it does not matter what else the machine does. And that it ends where a server never answers.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};

use super::support::{Case, Need, Outcome, Scene, binary, case};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "calls_grow_with_rules_alone",
            &[Need::Program("strace")],
            calls_grow_with_rules_alone,
        ),
        case(
            "time_grows_no_worse_than_linearly",
            &[],
            time_grows_no_worse_than_linearly,
        ),
        case(
            "automounts_are_left_alone",
            &[Need::Root, Need::File("/dev/autofs")],
            automounts_are_left_alone,
        ),
    ]
}

const PATTERNS: usize = 20;

/// Directories for rules and for patterns, and a profile about so many of them.
fn tree(scene: &Scene, most: usize) -> Outcome {
    for at in 0..PATTERNS {
        let folder = scene.home().join(format!("pattern{at}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("x.key"), "")?;
    }
    for at in 0..most {
        fs::create_dir_all(scene.home().join(format!("rules/r{}/d{at}", at % 50)))?;
    }
    Ok(())
}

fn profile(rules: usize) -> String {
    let mut text = "[filesystem]\n\"/\" = \"read-only\"\n\"~\" = \"read-write\"\n".to_owned();
    for at in 0..rules {
        let word = ["read-only", "hidden", "read-write"][at % 3];
        let _ = writeln!(text, "\"~/rules/r{}/d{at}\" = \"{word}\"", at % 50);
    }
    for at in 0..PATTERNS {
        let _ = writeln!(text, "\"~/pattern{at}/*.key\" = \"hidden\"");
    }
    text
}

/// System calls of `sandbox --dry-run`.
fn calls(scene: &Scene, rules: usize) -> Result<usize, Box<dyn std::error::Error>> {
    let log = scene.folder().join("calls");
    let out = scene
        .sandbox()
        .profile_text(&profile(rules))?
        .args(["--dry-run"])
        .program(["true"])
        .behind(["strace".into(), "-f".into(), "-o".into(), log.clone()])
        .run()?;
    out.succeeds()?;
    Ok(fs::read_to_string(log)?.lines().count())
}

fn calls_grow_with_rules_alone(scene: &Scene) -> Outcome {
    tree(scene, 400)?;
    let (few, many) = (calls(scene, 40)?, calls(scene, 400)?);
    let each = (many.saturating_sub(few)) as f64 / 360.0;
    assert!(
        each < 12.0,
        "each rule takes {each:.1} calls: {few}, {many}"
    );
    for at in 0..30 {
        let folder = scene.home().join(format!("elsewhere/d{at}"));
        fs::create_dir_all(&folder)?;
        for file in 0..100 {
            fs::write(folder.join(format!("f{file}")), "")?;
        }
    }
    let with_files = calls(scene, 400)?;
    // Memory may be asked for in another rhythm.
    assert!(
        with_files <= many + 20,
        "files that no rule names take {many} calls to {with_files}"
    );
    Ok(())
}

/// Processor time in user mode of one `sandbox --dry-run`, the least of three.
fn time(scene: &Scene, rules: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let path = scene.write("many.toml", &profile(rules))?;
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let used = || -> Result<f64, nix::errno::Errno> {
            let time = getrusage(UsageWho::RUSAGE_CHILDREN)?.user_time();
            Ok(time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        };
        let before = used()?;
        run(scene, &path)?;
        least = least.min(used()? - before);
    }
    Ok(least)
}

fn run(scene: &Scene, profile: &Path) -> Outcome {
    let done = std::process::Command::new(binary("sandbox"))
        .env("HOME", scene.home())
        .arg("--profile")
        .arg(profile)
        .args(["--dry-run", "true"])
        .output()?;
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

/// Four times as many rules take four times as long; sixteen times would be the square.
fn time_grows_no_worse_than_linearly(scene: &Scene) -> Outcome {
    tree(scene, 2_400)?;
    let (few, many) = (time(scene, 600)?, time(scene, 2_400)?);
    let growth = many / few.max(1e-4);
    assert!(
        growth < 8.0,
        "four times the rules take {growth:.1} times as long: {few:.3} s, {many:.3} s"
    );
    Ok(())
}

/// A mount of autofs whose daemon never answers: who asks for more than its name waits for ever.
struct Automount(std::path::PathBuf);

impl Automount {
    fn new(
        at: std::path::PathBuf,
        kind: &str,
        daemon: &fs::File,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        use std::os::fd::AsRawFd;
        fs::create_dir_all(&at)?;
        let group = nix::unistd::getpgrp();
        let options = format!(
            "fd={},pgrp={group},minproto=5,maxproto=5,{kind}",
            daemon.as_raw_fd()
        );
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(
            Some("test"),
            &at,
            Some("autofs"),
            flags,
            Some(options.as_str()),
        )?;
        Ok(Self(at))
    }
}

impl Drop for Automount {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

fn automounts_are_left_alone(scene: &Scene) -> Outcome {
    let (_reader, writer) = nix::unistd::pipe()?;
    let daemon = fs::File::from(writer);
    for kind in ["direct", "indirect"] {
        let at = scene.folder().join(format!("all/{kind}"));
        let automount = Automount::new(at.clone(), kind, &daemon)?;
        let (all, at) = (scene.folder().join("all"), at.display());
        for (key, status) in [
            (format!("{at}"), 0),
            (format!("{at}/x*"), 0),
            (format!("{}/*/x", all.display()), 0),
            (format!("{}/*/x/y*", all.display()), 0),
            (format!("{}/{}*", all.display(), &kind[..3]), 0),
            // What lies behind it cannot be known, so that it cannot be hidden for certain.
            (format!("{at}/x/y"), 125),
        ] {
            let text = format!("[filesystem]\n\"/\" = \"read-only\"\n\"{key}\" = \"hidden\"\n");
            let out = scene
                .sandbox()
                .profile_text(&text)?
                .limit(std::time::Duration::from_secs(20))
                .program(["true"])
                .run()?;
            out.exits_with(status)?;
        }
        drop(automount);
    }
    Ok(())
}
