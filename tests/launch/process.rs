//! `[process]`, `[environment]`, resource limits, and what a process inherits or must not.

use super::support::{Case, Finished, Need, Scene};

mod ends;
mod first;
mod inherited;
mod priorities;

const USERNS: &[Need] = &[Need::UserNamespaces];

pub fn cases() -> Vec<Case> {
    let all = [
        priorities::cases(),
        ends::cases(),
        inherited::cases(),
        first::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// Runs a shell script under a profile.
fn script(scene: &Scene, profile: &str, text: &str) -> std::io::Result<Finished> {
    scene
        .sandbox()
        .profile_text(profile)?
        .program(["sh", "-c", text])
        .run()
}
