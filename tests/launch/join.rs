//! `sandboxctl join`: the same restrictions as the sandbox's own, and nobody to be fooled.

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

fn join<'a>(scene: &'a Scene, name: &str) -> Sandbox<'a> {
    scene.sandboxctl().args(["join", name])
}

/// Starts a sandbox in which nothing happens.
fn idle(scene: &Scene, name: &str, profile: &str) -> std::io::Result<Running> {
    scene.run_called(name, profile)?.idle()
}

fn end(run: Running) -> Outcome {
    run.signal(Signal::SIGKILL)?;
    run.wait()?;
    Ok(())
}
