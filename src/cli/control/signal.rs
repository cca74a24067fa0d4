//! `sandboxctl kill`, `freeze` and `thaw`.

use super::running::each;

pub(super) fn kill(names: &[String], signal: i32, all: bool) -> Result<(), i32> {
    each(names, |sandbox| match all {
        true => sandbox.signal_all(signal),
        false => sandbox.signal(signal),
    })
}

pub(super) fn freeze(names: &[String]) -> Result<(), i32> {
    each(names, |sandbox| sandbox.freeze())
}

pub(super) fn thaw(names: &[String]) -> Result<(), i32> {
    each(names, |sandbox| sandbox.thaw())
}
