//! Tests of the built programs on a real kernel: one file per topic, each with the
//! cases it contributes. `support` says how a case is written.
//!
//! `cargo test --test launch [-- FILTER]` runs them on this host. The same binary runs
//! in virtual machines and as an ordinary user (`tests/run`), and as a probe within
//! sandboxes (`launch probe NAME …`).

mod attached;
mod attacks;
mod audit;
mod background;
mod caller;
mod capabilities;
mod catalogue;
mod closure;
mod command;
mod controls;
mod dbus;
mod desktop;
mod devices;
mod display;
mod doctor;
mod documents;
mod errors;
mod escapes;
mod execute;
mod faults;
mod filesystem;
mod groups;
mod harness;
mod hogs;
mod join;
mod landlock;
mod later;
mod life;
mod limits;
mod matrix;
mod namespaces;
mod notify;
mod paths;
mod process;
mod programs;
mod review;
mod roots;
mod running;
mod scaling;
mod second;
mod session;
mod session_desktop;
mod share;
mod shortages;
mod soft;
mod steer;
mod suid;
#[allow(
    dead_code,
    reason = "a vocabulary for cases; which of it is in use depends on the cases"
)]
mod support;
mod syscalls;
mod terminal;
mod truth;
mod undoing;
mod why;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(status) = catalogue::answer(&words) {
        return status;
    }
    support::main(&[
        ("attached", attached::cases),
        ("attacks", attacks::cases),
        ("audit", audit::cases),
        ("background", background::cases),
        ("caller", caller::cases),
        ("capabilities", capabilities::cases),
        ("closure", closure::cases),
        ("catalogue", catalogue::cases),
        ("command", command::cases),
        ("controls", controls::cases),
        ("devices", devices::cases),
        ("dbus", dbus::cases),
        ("display", display::cases),
        ("desktop", desktop::cases),
        ("desktop_session", session_desktop::cases),
        ("doctor", doctor::cases),
        ("documents", documents::cases),
        ("errors", errors::cases),
        ("escapes", escapes::cases),
        ("execute", execute::cases),
        ("faults", faults::cases),
        ("filesystem", filesystem::cases),
        ("groups", groups::cases),
        ("harness", harness::cases),
        ("hogs", hogs::cases),
        ("join", join::cases),
        ("landlock", landlock::cases),
        ("later", later::cases),
        ("life", life::cases),
        ("limits", limits::cases),
        ("matrix", matrix::cases),
        ("namespaces", namespaces::cases),
        ("notify", notify::cases),
        ("paths", paths::cases),
        ("process", process::cases),
        ("programs", programs::cases),
        ("review", review::cases),
        ("running", running::cases),
        ("session", session::cases),
        ("scaling", scaling::cases),
        ("second", second::cases),
        ("share", share::cases),
        ("shortages", shortages::cases),
        ("soft", soft::cases),
        ("steer", steer::cases),
        ("suid", suid::cases),
        ("roots", roots::cases),
        ("syscalls", syscalls::cases),
        ("terminal", terminal::cases),
        ("truth", truth::cases),
        ("undoing", undoing::cases),
        ("why", why::cases),
        ("words", words::cases),
    ])
}
