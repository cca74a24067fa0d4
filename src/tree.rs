//! Maps and sets of paths, in the order of [`Path`]: parents come before children, and all that lies below a path stands
//! together.
//!
//! The standard library takes both paths apart each time it compares two. Nearly all of these paths are plain ones, absolute
//! and without `.`, `..` and needless slashes: of such the bytes can be compared, with the slash before all others.

mod iter;
mod map;
mod set;

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

pub use iter::{IntoIter, Iter, IterMut};
pub use map::{PathMap, Place};
pub use set::PathSet;

/// A path and whether it is a plain one.
#[derive(Clone, Debug)]
pub struct Key {
    path: PathBuf,
    plain: bool,
}

impl From<PathBuf> for Key {
    fn from(path: PathBuf) -> Self {
        let plain = is_plain(&path);
        Self { path, plain }
    }
}

impl Key {
    fn named(&self) -> (&Path, bool) {
        (&self.path, self.plain)
    }
}

impl Deref for Key {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.named(), other.named())
    }
}

/// As [`Path`] is ordered.
fn compare((one, plain): (&Path, bool), (other, also): (&Path, bool)) -> Ordering {
    if !(plain && also) {
        return one.cmp(other);
    }
    let (one, other) = (one.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    let same = common(one, other);
    match (one.get(same), other.get(same)) {
        (Some(b'/'), Some(_)) => Ordering::Less,
        (Some(_), Some(b'/')) => Ordering::Greater,
        (one, other) => one.cmp(&other),
    }
}

/// Puts values in the order of their paths; those of one path stay as they are.
pub fn sort<T>(all: &mut [T], at: impl Fn(&T) -> &Path) {
    let keys: Vec<(&Path, bool)> = all
        .iter()
        .map(|value| (at(value), is_plain(at(value))))
        .collect();
    if keys.is_sorted_by(|one, other| compare(*one, *other).is_le()) {
        return;
    }
    let mut order: Vec<((&Path, bool), usize)> = keys.into_iter().zip(0..).collect();
    order.sort_unstable_by(|(one, at), (other, behind)| {
        compare(*one, *other).then_with(|| at.cmp(behind))
    });
    let mut order: Vec<usize> = order.into_iter().map(|(_, from)| from).collect();
    for to in 0..all.len() {
        // What was swapped away is found where it went.
        let next = |order: &[usize], from: usize| order.get(from).copied().unwrap_or(from);
        let mut from = next(&order, to);
        while from < to {
            from = next(&order, from);
        }
        if let Some(place) = order.get_mut(to) {
            *place = from;
        }
        all.swap(to, from);
    }
}

/// How many bytes at the start are the same.
#[must_use]
pub fn common(one: &[u8], other: &[u8]) -> usize {
    let (words, _) = one.as_chunks::<8>();
    let (others, _) = other.as_chunks::<8>();
    let mut same = 0;
    for (a, b) in words.iter().zip(others) {
        let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differs != 0 {
            return same + differs.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let (one, other) = (
        one.get(same..).unwrap_or_default(),
        other.get(same..).unwrap_or_default(),
    );
    same + one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Whether two paths are equal, for those that are written in the same way most of the time.
#[must_use]
pub fn same(one: &Path, other: &Path) -> bool {
    let (bytes, others) = (one.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    if bytes == others {
        return true;
    }
    match (bytes.last(), others.last()) {
        // They are the last ones of the last names.
        (Some(last), Some(other))
            if last != other && !b"/.".contains(last) && !b"/.".contains(other) =>
        {
            false
        }
        _ => one == other,
    }
}

/// What a path is called below another one, as [`Path::strip_prefix`].
#[must_use]
pub fn rest<'a>(path: &'a Path, above: &Path) -> Option<&'a Path> {
    rest_of((path, is_plain(path)), (above, is_plain(above)))
}

/// Whether a path is another one or lies below it, as [`Path::starts_with`].
#[must_use]
pub fn is_within(path: &Path, above: &Path) -> bool {
    let (bytes, others) = (path.as_os_str().as_bytes(), above.as_os_str().as_bytes());
    match (bytes.strip_prefix(others), others) {
        (Some([] | [b'/', ..]), _) | (Some(_), b"/") => return true,
        _ => {}
    }
    match (bytes, others) {
        // Their first names begin with other letters.
        ([b'/', one, ..], [b'/', other, ..])
            if one != other && !b"/.".contains(one) && !b"/.".contains(other) =>
        {
            false
        }
        _ => path.starts_with(above),
    }
}

/// What is above a path, as [`Path::parent`].
#[must_use]
pub fn above(path: &Path) -> Option<&Path> {
    let bytes = path.as_os_str().as_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let parts = slash.and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?)));
    match parts {
        None | Some((_, b"" | b".")) => path.parent(),
        Some(([], _)) => Some(Path::new("/")),
        // What is above may be written with more than its names.
        Some((above, _))
            if !above.starts_with(b"/") || matches!(above.last(), Some(b'/' | b'.')) =>
        {
            path.parent()
        }
        Some((above, _)) => Some(Path::new(OsStr::from_bytes(above))),
    }
}

fn rest_of<'a>((path, plain): (&'a Path, bool), (above, also): (&Path, bool)) -> Option<&'a Path> {
    if !(plain && also) {
        return path.strip_prefix(above).ok();
    }
    let (bytes, above) = (path.as_os_str().as_bytes(), above.as_os_str().as_bytes());
    let rest = match (above, bytes.strip_prefix(above)?) {
        (b"/", rest) | (_, rest @ [] | [b'/', rest @ ..]) => rest,
        _ => return None,
    };
    Some(Path::new(OsStr::from_bytes(rest)))
}

/// Whether a path is absolute, and its text is what its components say.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let mut rest = match bytes.split_first() {
        Some((b'/', [])) => return true,
        Some((b'/', rest)) => rest,
        _ => return false,
    };
    loop {
        let (name, behind) = first_name(rest);
        if matches!(name, b"" | b"." | b"..") {
            return false;
        }
        match behind {
            None => return true,
            Some(behind) => rest = behind,
        }
    }
}

/// What stands before the first slash, and what behind it.
fn first_name(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let (words, _) = path.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        // A byte that is 0 borrows from its highest bit.
        let slashes = u64::from_le_bytes(*word) ^ (EACH * b'/' as u64);
        let found = slashes.wrapping_sub(EACH) & !slashes & (EACH << 7);
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            return (path.get(..at).unwrap_or_default(), path.get(at + 1..));
        }
        at += 8;
    }
    let rest = path.get(at..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == b'/') {
        None => (path, None),
        Some(length) => {
            at += length;
            (path.get(..at).unwrap_or_default(), path.get(at + 1..))
        }
    }
}

/// The path itself and all above it, the nearest first, as [`Path::ancestors`].
pub fn ancestors(path: &Path) -> impl Iterator<Item = &Path> {
    // What is above a plain path is plain.
    let plain = is_plain(path);
    std::iter::successors(Some(path), move |path| parent(path, plain))
}

fn parent(path: &Path, plain: bool) -> Option<&Path> {
    if !plain {
        return path.parent();
    }
    let bytes = path.as_os_str().as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/')? {
        0 if bytes.len() == 1 => None,
        0 => Some(Path::new("/")),
        at => bytes
            .get(..at)
            .map(|above| Path::new(OsStr::from_bytes(above))),
    }
}

/// The names in a path and its `..`, the last first.
#[must_use]
pub fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
