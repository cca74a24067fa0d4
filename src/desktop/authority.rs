//! Files of cookies for X servers (Xau(3)): entries of numbers and counted bytes, all lengths of 16 bits, the high byte
//! first.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The one kind of cookie that is handed on.
const COOKIE: &[u8] = b"MIT-MAGIC-COOKIE-1";
/// A server on this machine, by the host's name.
const LOCAL: u16 = 256;
/// Any server.
const WILD: u16 = 0xffff;
/// A file that is longer is none of cookies.
const MOST: u64 = 1 << 20;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    family: u16,
    address: Vec<u8>,
    number: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
}

/// Writes a file with a new cookie that fits every display.
///
/// # Errors
/// Why it cannot be written.
pub fn write_new(at: &Path) -> io::Result<()> {
    let mut data = [0u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut data)?;
    write(at, &encode(&data))
}

/// Writes a file with the one cookie of the caller's that opens a display of this machine, made to fit every display; with
/// none when there is none: servers may let a user in by his id.
///
/// # Errors
/// Why it cannot be written.
pub fn write_copy(at: &Path, theirs: &Path, number: u32) -> io::Result<()> {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(theirs) {
        file.take(MOST).read_to_end(&mut bytes)?;
    }
    let host = nix::unistd::gethostname().unwrap_or_default();
    write(at, &copied(&bytes, host.as_bytes(), number))
}

/// What is handed on of a file of cookies: one entry for every display, or nothing.
#[must_use]
pub fn copied(bytes: &[u8], host: &[u8], number: u32) -> Vec<u8> {
    let cookie = find(bytes, host, number);
    cookie.as_deref().map(encode).unwrap_or_default()
}

fn write(at: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(at)?;
    file.write_all(contents)
}

/// An entry for every display.
fn encode(cookie: &[u8]) -> Vec<u8> {
    let mut out = WILD.to_be_bytes().to_vec();
    for part in [&b""[..], b"", COOKIE, cookie] {
        // None of them is longer than what was read with such a length.
        out.extend(u16::try_from(part.len()).unwrap_or(0).to_be_bytes());
        out.extend(part);
    }
    out
}

/// The cookie for a display of this machine: that of this host's name rather than another's, as the name may have changed.
fn find(bytes: &[u8], host: &[u8], number: u32) -> Option<Vec<u8>> {
    let number = number.to_string();
    let fits = |entry: &Entry| {
        entry.name == COOKIE
            && matches!(entry.family, LOCAL | WILD)
            && (entry.number.is_empty() || entry.number == number.as_bytes())
    };
    let entries: Vec<Entry> = entries(bytes).into_iter().filter(fits).collect();
    let own = |entry: &&Entry| entry.family == WILD || entry.address == host;
    let found = entries.iter().find(own).or(entries.first())?;
    Some(found.data.clone())
}

/// All whole entries.
fn entries(mut bytes: &[u8]) -> Vec<Entry> {
    let mut out = Vec::new();
    while let Some(entry) = entry(&mut bytes) {
        out.push(entry);
    }
    out
}

fn entry(bytes: &mut &[u8]) -> Option<Entry> {
    let family = number(bytes)?;
    Some(Entry {
        family,
        address: counted(bytes)?,
        number: counted(bytes)?,
        name: counted(bytes)?,
        data: counted(bytes)?,
    })
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*head))
}

fn counted(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(number(bytes)?);
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(family: u16, address: &str, number: &str, name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = family.to_be_bytes().to_vec();
        for part in [address.as_bytes(), number.as_bytes(), name, data] {
            out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            out.extend(part);
        }
        out
    }

    #[test]
    fn the_cookie_of_the_display_is_found_and_no_other() {
        let file = [
            one(LOCAL, "old", "0", COOKIE, b"by another name"),
            one(LOCAL, "box", "0", b"XDM-AUTHORIZATION-1", b"another kind"),
            one(0, "\u{7f}", "0", COOKIE, b"over the network"),
            one(LOCAL, "box", "10", COOKIE, b"tunnel"),
            one(LOCAL, "box", "0", COOKIE, b"this"),
        ]
        .concat();
        assert_eq!(find(&file, b"box", 0).as_deref(), Some(&b"this"[..]));
        assert_eq!(find(&file, b"box", 10).as_deref(), Some(&b"tunnel"[..]));
        assert_eq!(
            find(&file, b"new", 0).as_deref(),
            Some(&b"by another name"[..])
        );
        assert_eq!(find(&file, b"box", 1), None);
        assert_eq!(
            find(&file[..file.len() - 1], b"new", 10).as_deref(),
            Some(&b"tunnel"[..])
        );
        assert_eq!(find(b"\x01\x00\xff", b"box", 0), None);
    }

    #[test]
    fn what_is_written_fits_every_display() {
        let file = encode(b"0123456789abcdef");
        for number in [0, 7, 100] {
            assert_eq!(
                find(&file, b"any", number).as_deref(),
                Some(&b"0123456789abcdef"[..])
            );
        }
    }
}
