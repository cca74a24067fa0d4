//! Tests of the built programs on a real kernel: one file per topic, each with the
//! cases it contributes. `support` says how a case is written.
//!
//! `cargo test --test launch [-- FILTER]` runs them on this host. The same binary runs
//! in virtual machines and as an ordinary user (`tests/run`), and as a probe within
//! sandboxes (`launch probe NAME …`).

mod capabilities;
mod command;
mod escapes;
mod filesystem;
mod harness;
mod namespaces;
#[allow(
    dead_code,
    reason = "a vocabulary for cases; which of it is in use depends on the cases"
)]
mod support;
mod syscalls;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::main(&[
        ("capabilities", capabilities::cases),
        ("command", command::cases),
        ("escapes", escapes::cases),
        ("filesystem", filesystem::cases),
        ("harness", harness::cases),
        ("namespaces", namespaces::cases),
        ("syscalls", syscalls::cases),
    ])
}
