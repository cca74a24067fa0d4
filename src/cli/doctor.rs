//! `sandboxctl doctor`.

pub(super) fn doctor(_json: bool) -> Result<(), i32> {
    Ok(())
}
