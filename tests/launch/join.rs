//! `sandboxctl join`: the same restrictions as the sandbox's own, and nobody to be fooled.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::support::sandbox::Running;
use super::support::{Case, Need, Outcome, Sandbox, Scene};

mod course;
mod hostile;
mod same;
mod users;

const USERNS: &[Need] = &[Need::UserNamespaces];
/// How long something may take that happens at once.
const SOON: Duration = Duration::from_secs(5);

pub fn cases() -> Vec<Case> {
    let all = [
        same::cases(),
        course::cases(),
        hostile::cases(),
        users::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// A sandbox that runs until it is dropped, named after the test.
fn start<'a>(scene: &'a Scene, name: &str, profile: &str) -> std::io::Result<Sandbox<'a>> {
    Ok(scene
        .sandbox()
        .profile_text(profile)?
        .args(["--name", name]))
}

fn join<'a>(scene: &'a Scene, name: &str) -> Sandbox<'a> {
    scene.sandboxctl().args(["join", name])
}

/// A name that no other test or person uses.
fn unique(what: &str) -> String {
    format!("test-{}-{what}", std::process::id())
}

/// Starts a sandbox in which nothing happens.
fn idle(scene: &Scene, name: &str, profile: &str) -> std::io::Result<Running> {
    idling(start(scene, name, profile)?)
}

/// Has a sandbox run until it is ended.
fn idling(sandbox: Sandbox) -> std::io::Result<Running> {
    let mut run = sandbox
        .program(["sh", "-c", "echo ready; exec sleep 600"])
        .spawn()?;
    run.wait_for("ready")?;
    Ok(run)
}

fn end(run: Running) -> Outcome {
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    Ok(())
}

/// The record of a sandbox of this scene.
fn record_of(scene: &Scene, name: &str) -> PathBuf {
    if scene.host.is_root() {
        Path::new("/run/sandbox").join(name)
    } else {
        scene.runtime().join("sandbox").join(name)
    }
}
