//! `sandboxctl events`.
use super::super::arguments::Interval;
pub(super) fn events(_name: Option<&str>, _json: bool, _interval: Interval) -> Result<(), i32> {
    Err(1)
}
