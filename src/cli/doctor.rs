//! `sandboxctl doctor`: what this host offers to sandboxes, and the exact fix for what it lacks.
//!
//! The host is tried in [`crate::host::doctor`]; `checks` and `limits` judge what was found, and `show` prints it.

mod checks;
mod limits;
mod show;

use crate::host::doctor::examine;
use crate::report::SourceMap;

use super::{answer, inspect, status};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is there.
    Ok,
    /// It is not, and some rules fail.
    Missing,
    /// Nothing hangs on it.
    Info,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Info => "info",
        }
    }
}

/// What a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// System calls.
    Kernel,
    /// Namespaces and mounts.
    Namespaces,
    /// Control groups.
    Limits,
    /// Displays and sound.
    Desktop,
    /// Programs of others.
    Helpers,
    /// Settings of the host.
    Host,
}

impl Group {
    const ALL: [Self; 6] = [
        Self::Kernel,
        Self::Namespaces,
        Self::Limits,
        Self::Desktop,
        Self::Helpers,
        Self::Host,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Namespaces => "namespaces",
            Self::Limits => "limits",
            Self::Desktop => "desktop",
            Self::Helpers => "helpers",
            Self::Host => "host",
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    name: &'static str,
    group: Group,
    state: State,
    /// Whether nearly every profile needs it: when it is missing, the host is not fit.
    needed: bool,
    detail: String,
    /// What fails without it; empty unless it is missing.
    costs: String,
    fix: Vec<String>,
}

pub(super) fn doctor(json: bool) -> Result<(), i32> {
    let found = examine().map_err(|error| {
        inspect::tell(&[error], &SourceMap::new());
        status::NO
    })?;
    let limits = limits::judge(&found.facts);
    let checks = checks::judge(&found, &limits);
    let text = if json {
        format!("{:#}\n", show::json(&found, &checks, &limits))
    } else {
        show::text(&found, &checks, &limits)
    };
    answer(&text)?;
    if is_fit(&checks) {
        Ok(())
    } else {
        Err(status::NO)
    }
}

/// Whether profiles without limits can be applied.
fn is_fit(checks: &[Check]) -> bool {
    !checks
        .iter()
        .any(|check| check.needed && check.state == State::Missing)
}
