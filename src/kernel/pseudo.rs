//! Files of /proc, of control groups and the like: the kernel makes their text when they are read, and tells no size before.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What most of them fit into, so that it takes one read(2), and one more that says that this was all.
const ROOM: usize = 4096;
/// None is larger; a mount table of 100,000 mounts is not.
const MOST: u64 = 64 << 20;

/// All of a file. The standard library would ask for the size first, and then read 32, 64, 128 bytes and so on.
///
/// # Errors
/// Those of open(2) and read(2); EFBIG when it is longer than any is, for what would be left out might matter.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    all(File::open(path)?)
}

/// The same as text.
///
/// # Errors
/// Those of open(2) and read(2); `InvalidData` when it is no UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    text(File::open(path)?)
}

/// The text of an open file, from where it stands.
///
/// # Errors
/// Those of read(2); `InvalidData` when it is no UTF-8.
pub fn text(file: File) -> io::Result<String> {
    String::from_utf8(all(file)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Whether a file has anything but white space near its start: a list of a hundred thousand processes is not made to
/// know that there is one.
#[must_use]
pub fn says_something(path: impl AsRef<Path>) -> bool {
    let mut start = [0; 64];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    read.is_ok_and(|length| {
        let start = start.get(..length).unwrap_or_default();
        start.iter().any(|byte| !byte.is_ascii_whitespace())
    })
}

fn all(file: File) -> io::Result<Vec<u8>> {
    within(file, MOST)
}

fn within(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(ROOM);
    // A file that is bounded is read without being asked for its size.
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        false => Ok(bytes),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_also_when_it_is_more_than_fits_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!says_something(file.path()));
        let long = " x\n".repeat(ROOM);
        std::fs::write(file.path(), &long).unwrap();
        assert_eq!(read(file.path()).unwrap(), long.as_bytes());
        assert_eq!(read_text(file.path()).unwrap(), long);
        assert!(says_something(file.path()));
        std::fs::write(file.path(), b"\n \xff").unwrap();
        let error = read_text(file.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(!says_something("/proc/self/nothing"));
        assert!(read_text("/proc/self/status").unwrap().starts_with("Name:"));
        // What is too long is not taken for a shorter one.
        let bounded = |most| within(File::open(file.path()).unwrap(), most);
        assert_eq!(bounded(3).unwrap(), b"\n \xff");
        let error = bounded(2).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    }
}
