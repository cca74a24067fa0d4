//! `sandboxctl top`.
use super::super::arguments::Interval;
pub(super) fn top(_name: Option<&str>, _interval: Interval) -> Result<(), i32> {
    Err(1)
}
