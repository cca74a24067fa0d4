//! The message bus itself, as a service on it: org.freedesktop.DBus (D-Bus Specification, "Message Bus Messages").

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long the bus has.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has a bus read its configuration and the files of its services anew. It watches only those directories that were there
/// when it started.
///
/// # Errors
/// What the bus said, or why it cannot be asked.
pub fn reload(address: &str) -> Result<(), String> {
    const NAME: &str = "org.freedesktop.DBus";
    let asked = zbus::block_on(async {
        let connection = zbus::connection::Builder::address(address)
            .method_timeout(PATIENCE)
            .build()
            .await?;
        connection
            .call_method(
                Some(NAME),
                "/org/freedesktop/DBus",
                Some(NAME),
                "ReloadConfig",
                &(),
            )
            .await
            .map(drop)
    });
    asked.map_err(|error: zbus::Error| error.to_string())
}

/// Has the desktop's documents (org.freedesktop.portal.Documents) started, if they are not, and asks where they are shown.
///
/// # Errors
/// What the bus said, or why it cannot be asked.
pub fn documents(address: &str) -> Result<PathBuf, String> {
    const NAME: &str = "org.freedesktop.portal.Documents";
    let asked = zbus::block_on(async {
        let connection = zbus::connection::Builder::address(address)
            .method_timeout(PATIENCE)
            .build()
            .await?;
        let path = "/org/freedesktop/portal/documents";
        let answer = connection.call_method(Some(NAME), path, Some(NAME), "GetMountPoint", &());
        let body = answer.await?;
        let mut bytes: Vec<u8> = body.body().deserialize()?;
        bytes.retain(|byte| *byte != 0);
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    });
    asked.map_err(|error: zbus::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bus_that_is_not_there_is_an_error() {
        assert!(super::reload("unix:path=/nonexistent/bus").is_err());
    }
}
