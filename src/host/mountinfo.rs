//! Reads /proc/PID/mountinfo (proc_pid_mountinfo(5)) as the bytes that it is: what the names of files are is up to who made
//! them, and of two names that are no text one must not be taken for the other.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// What a line says, as the kernel writes it: see [`plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// `8:1`
    pub device: &'a [u8],
    /// What of the file system is mounted.
    pub root: &'a [u8],
    /// Where.
    pub point: &'a [u8],
    /// `ext4`
    pub kind: &'a [u8],
    /// What it was mounted from.
    pub source: &'a [u8],
    /// The options of the file system.
    pub options: &'a [u8],
}

/// All mounts, in the order of the table; what is no line of one is passed over.
pub fn lines(table: &[u8]) -> impl Iterator<Item = Line<'_>> {
    table.split(|byte| *byte == b'\n').filter_map(line)
}

/// One line of the table.
pub fn line(text: &[u8]) -> Option<Line<'_>> {
    // Blanks in names are escaped: this is the first field of its kind.
    const SEPARATOR: &[u8] = b" - ";
    let end = text
        .windows(SEPARATOR.len())
        .position(|part| part == SEPARATOR)?;
    let mut before = text.get(..end)?.split(|byte| *byte == b' ').skip(2);
    let after = text.get(end + SEPARATOR.len()..)?;
    let mut after = after.split(|byte| *byte == b' ');
    Some(Line {
        device: before.next()?,
        root: before.next()?,
        point: before.next()?,
        kind: after.next()?,
        source: after.next().unwrap_or_default(),
        options: after.next().unwrap_or_default(),
    })
}

/// The bytes that a field stands for: the kernel writes a blank as `\040`, and a tab, a line end, a backslash and, since it
/// would begin a comment, `#` likewise.
#[must_use]
pub fn plain(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(octal) = octal {
            bytes.push(octal);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    bytes
}

/// The path that a field stands for.
#[must_use]
pub fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(plain(field)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_behind_any_number_of_optional_ones() {
        for optional in ["", "shared:1 ", "shared:9 master:2 propagate_from:3 "] {
            let text = format!("36 35 98:0 /r /p rw,noatime {optional}- ext4 /dev/root rw,x=y");
            let found = line(text.as_bytes()).unwrap();
            assert_eq!(
                found,
                Line {
                    device: b"98:0",
                    root: b"/r",
                    point: b"/p",
                    kind: b"ext4",
                    source: b"/dev/root",
                    options: b"rw,x=y",
                }
            );
        }
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        assert_eq!(lines(b"\nbroken\n - \n1 2 3:4 / - ext4\n").count(), 0);
        // A source may be empty.
        let found = line(b"1 2 3:4 / /p rw - fuse  rw").unwrap();
        assert_eq!((found.source, found.options), (&b""[..], &b"rw"[..]));
    }

    #[test]
    fn names_are_bytes() {
        let found = line(b"1 2 3:4 / /\xff\\040\\134\\011x\\9 rw - ext4 d rw").unwrap();
        assert_eq!(plain(found.point), b"/\xff \\\tx\\9");
        assert_ne!(path(b"/\xff"), path(b"/\xfe"));
    }
}
