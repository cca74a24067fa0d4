//! Where a bus listens, as its address says (D-Bus specification, "Server Addresses").

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A socket on which a bus listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// It has a path.
    Path(PathBuf),
    /// It has a name without a file.
    Abstract(OsString),
}

impl Address {
    /// The first of the addresses in a list that a program of this machine can connect to. `runtime` is the runtime
    /// directory of the user, if there is one.
    ///
    /// # Errors
    /// None of them is a Unix socket.
    pub fn parse(list: &OsStr, runtime: Option<&Path>) -> Result<Self, String> {
        let found = list
            .as_bytes()
            .split(|byte| *byte == b';')
            .find_map(|one| one_address(one, runtime));
        found.ok_or_else(|| "it is no Unix socket".to_owned())
    }

    /// As an address in a variable or an argument.
    #[must_use]
    pub fn text(&self) -> OsString {
        let (key, value) = match self {
            Self::Path(path) => ("path", path.as_os_str()),
            Self::Abstract(name) => ("abstract", name.as_os_str()),
        };
        let mut text = OsString::from(format!("unix:{key}="));
        text.push(escape(value));
        text
    }
}

fn one_address(text: &[u8], runtime: Option<&Path>) -> Option<Address> {
    let keys = text.strip_prefix(b"unix:")?;
    keys.split(|byte| *byte == b',').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at(at);
        let value = OsString::from_vec(unescape(value.get(1..)?)?);
        match key {
            b"path" => Some(Address::Path(value.into())).filter(absolute),
            b"abstract" if !value.is_empty() => Some(Address::Abstract(value)),
            b"runtime" if value == "yes" => Some(Address::Path(runtime?.join("bus"))),
            _ => None,
        }
    })
}

fn absolute(address: &Address) -> bool {
    matches!(address, Address::Path(path) if path.is_absolute())
}

/// `%` and two hexadecimal digits stand for a byte.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    (!out.contains(&0)).then_some(out)
}

fn escape(text: &OsStr) -> String {
    let mut out = String::new();
    for byte in text.as_bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'/' | b'.' | b'\\' | b'*' => {
                out.push(char::from(*byte));
            }
            other => out.push_str(&format!("%{other:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Result<Address, String> {
        Ok(Address::Path(text.into()))
    }

    #[test]
    fn the_first_unix_socket_is_taken() {
        let parse = |text: &str| Address::parse(OsStr::new(text), Some(Path::new("/run/user/5")));
        assert_eq!(parse("unix:path=/run/user/5/bus"), path("/run/user/5/bus"));
        assert_eq!(parse("unix:path=/tmp/a%20b,guid=12"), path("/tmp/a b"));
        assert_eq!(parse("unix:guid=12,path=/tmp/b"), path("/tmp/b"));
        assert_eq!(parse("tcp:host=x,port=1;unix:path=/b"), path("/b"));
        assert_eq!(parse("unix:runtime=yes"), path("/run/user/5/bus"));
        assert_eq!(
            parse("unix:abstract=/tmp/dbus-x,guid=1"),
            Ok(Address::Abstract("/tmp/dbus-x".into()))
        );
        for other in [
            "",
            "autolaunch:",
            "unixexec:path=/bin/sh",
            "unix:path=a",
            "unix:path=/a%0",
            "unix:path=/a%00",
            "unix:tmpdir=/tmp",
        ] {
            assert!(parse(other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_back(name in proptest::collection::vec(1u8..=255, 1..40)) {
            let path = PathBuf::from(OsString::from_vec([b"/".to_vec(), name.clone()].concat()));
            for address in [Address::Path(path), Address::Abstract(OsString::from_vec(name))] {
                prop_assert_eq!(Address::parse(&address.text(), None), Ok(address));
            }
        }
    }
}
