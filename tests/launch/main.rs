//! Tests of the built programs on a real kernel: one file per topic, each with the
//! cases it contributes. `support` says how a case is written.
//!
//! `cargo test --test launch [-- FILTER]` runs them on this host. The same binary runs
//! in virtual machines and as an ordinary user (`tests/run`), and as a probe within
//! sandboxes (`launch probe NAME …`).

mod attacks;
mod caller;
mod capabilities;
mod command;
mod doctor;
mod errors;
mod escapes;
mod filesystem;
mod harness;
mod landlock;
mod limits;
mod namespaces;
mod process;
mod programs;
#[allow(
    dead_code,
    reason = "a vocabulary for cases; which of it is in use depends on the cases"
)]
mod support;
mod syscalls;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::main(&[
        ("attacks", attacks::cases),
        ("caller", caller::cases),
        ("capabilities", capabilities::cases),
        ("command", command::cases),
        ("doctor", doctor::cases),
        ("errors", errors::cases),
        ("escapes", escapes::cases),
        ("filesystem", filesystem::cases),
        ("harness", harness::cases),
        ("landlock", landlock::cases),
        ("limits", limits::cases),
        ("namespaces", namespaces::cases),
        ("process", process::cases),
        ("programs", programs::cases),
        ("syscalls", syscalls::cases),
        ("terminal", terminal::cases),
    ])
}
