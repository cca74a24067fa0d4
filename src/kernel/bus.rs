//! The message bus itself, as a service on it: org.freedesktop.DBus (D-Bus Specification, "Message Bus Messages").

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use zbus::zvariant::Type;

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

/// Has a child process call a method that takes nothing; what it answered, as `read` makes a text of it.
fn ask<T>(
    address: &str,
    (name, path, method): (&str, &str, &str),
    read: impl FnOnce(T) -> String,
) -> Result<String, String>
where
    T: DeserializeOwned + Type,
{
    let asked = async {
        let connection = zbus::connection::Builder::address(address)
            .method_timeout(PATIENCE)
            .build()
            .await?;
        let call = connection.call_method(Some(name), path, Some(name), method, &());
        call.await?.body().deserialize().map(read)
    };
    super::systemd::converse(
        async { asked.await.map_err(|error: zbus::Error| error.to_string()) },
        PATIENCE,
    )
}

/// Has the desktop's documents (org.freedesktop.portal.Documents) started, if they are not, and asks where they are shown.
///
/// # Errors
/// What the bus said, or why it cannot be asked.
pub fn documents(address: &str) -> Result<PathBuf, String> {
    let path = "/org/freedesktop/portal/documents";
    let name = "org.freedesktop.portal.Documents";
    let text = |mut bytes: Vec<u8>| {
        bytes.retain(|byte| *byte != 0);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    ask(address, (name, path, "GetMountPoint"), text).map(PathBuf::from)
}

/// Has the bus of assistive technologies (org.a11y.Bus) started, if it is not, and asks where it listens.
///
/// # Errors
/// What the session bus said, or why it cannot be asked.
pub fn accessibility(address: &str) -> Result<String, String> {
    let asked = ("org.a11y.Bus", "/org/a11y/bus", "GetAddress");
    ask(address, asked, |address: String| address)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bus_that_is_not_there_is_an_error() {
        assert!(super::reload("unix:path=/nonexistent/bus").is_err());
    }
}
