//! Maps and sets of paths, in the order of [`Path`]: parents come before children, and all that lies below a path stands
//! together.
//!
//! The standard library takes both paths apart each time it compares two, and making a plan compares tens of thousands of
//! times. Nearly all of these paths are plain ones, absolute and without `.`, `..` and needless slashes: of such the bytes
//! can be compared, with the slash before all others.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::btree_map::{self, BTreeMap};
use std::ffi::{OsStr, OsString};
use std::ops::{Bound, Deref};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

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

impl Deref for Key {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// A key, or what is looked for among them.
trait Named {
    fn named(&self) -> (&Path, bool);
}

impl Named for Key {
    fn named(&self) -> (&Path, bool) {
        (&self.path, self.plain)
    }
}

impl Named for (&Path, bool) {
    fn named(&self) -> (&Path, bool) {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for Key {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Named + '_ {}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.named(), other.named())
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

/// How many bytes at the start are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
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

/// What a path is called below another one, as [`Path::strip_prefix`].
#[must_use]
pub fn rest<'a>(path: &'a Path, above: &Path) -> Option<&'a Path> {
    rest_of((path, is_plain(path)), (above, is_plain(above)))
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
        match rest {
            [] | [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => {
                return false;
            }
            _ => {}
        }
        let slash = rest.iter().position(|byte| *byte == b'/');
        match slash.and_then(|at| rest.get(at + 1..)) {
            None => return true,
            Some(behind) => rest = behind,
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

/// Values by paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathMap<V>(BTreeMap<Key, V>);

impl<V> Default for PathMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> PathMap<V> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What is at this path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&V> {
        let key = (path, is_plain(path));
        self.0.get(&key as &dyn Named)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, path: &Path) -> Option<&mut V> {
        let key = (path, is_plain(path));
        self.0.get_mut(&key as &dyn Named)
    }

    /// Whether something is at this path.
    #[must_use]
    pub fn contains_key(&self, path: &Path) -> bool {
        self.get(path).is_some()
    }

    /// The nearest entry at or above a path.
    #[must_use]
    pub fn nearest(&self, path: &Path) -> Option<(&PathBuf, &V)> {
        self.above(path).next()
    }

    /// What `find` makes of the nearest entry, at or above a path, of which it makes anything.
    pub fn find_above<'a, T>(
        &'a self,
        path: &Path,
        find: impl Fn(&'a V) -> Option<T>,
    ) -> Option<(&'a PathBuf, T)> {
        self.above(path)
            .find_map(|(at, value)| Some((at, find(value)?)))
    }

    /// All at or above a path, the nearest first.
    pub fn above<'a>(&'a self, path: &Path) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
        let plain = is_plain(path);
        let mut next = Some(path);
        std::iter::from_fn(move || {
            while let Some(at) = next {
                // All that lies below a path stands behind it: the last one up to here is above this path, or below the
                // same as this path is.
                let until = (
                    Bound::Unbounded,
                    Bound::Included(&(at, plain) as &dyn Named),
                );
                let (key, value) = self.0.range::<dyn Named, _>(until).next_back()?;
                let mut way = std::iter::successors(Some(at), |at| parent(at, plain));
                if rest_of((at, plain), key.named()).is_some() {
                    next = way.find(|up| rest_of((up, plain), key.named()).is_none());
                    return Some((&key.path, value));
                }
                next = way.find(|up| rest_of(key.named(), (up, plain)).is_some());
            }
            None
        })
    }

    /// Tells of each entry in their order, as the last of all that are at or above its path: the highest first.
    pub fn each_below_others<'a>(&'a self, mut tell: impl FnMut(&[(&'a Key, &'a V)])) {
        let mut line: Vec<(&Key, &V)> = Vec::new();
        for (key, value) in &self.0 {
            let above = |(at, _): &(&Key, &V)| rest_of(key.named(), at.named()).is_some();
            let still = line.iter().take_while(|entry| above(entry)).count();
            line.truncate(still);
            line.push((key, value));
            tell(&line);
        }
    }

    /// The path as it is kept, and what is there.
    #[must_use]
    pub fn get_key_value(&self, path: &Path) -> Option<(&PathBuf, &V)> {
        let key = (path, is_plain(path));
        let found = self.0.get_key_value(&key as &dyn Named);
        found.map(|(key, value)| (&key.path, value))
    }

    /// Puts something at a path; returns what was there.
    pub fn insert(&mut self, path: PathBuf, value: V) -> Option<V> {
        self.0.insert(path.into(), value)
    }

    /// Takes out what is at a path.
    pub fn remove(&mut self, path: &Path) -> Option<V> {
        let key = (path, is_plain(path));
        self.0.remove(&key as &dyn Named)
    }

    /// The place of a path.
    pub fn entry(&mut self, path: PathBuf) -> btree_map::Entry<'_, Key, V> {
        self.0.entry(path.into())
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&PathBuf, &mut V) -> bool) {
        self.0.retain(|key, value| keep(&key.path, value));
    }

    /// All in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&PathBuf, &V)> {
        self.0.iter().map(|(key, value)| (&key.path, value))
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&PathBuf, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&key.path, value))
    }

    /// All paths in their order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &PathBuf> {
        self.0.keys().map(|key| &key.path)
    }

    /// What is there, in the order of the paths.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.values()
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.0.values_mut()
    }

    /// All paths in their order, taken out.
    pub fn into_keys(self) -> impl DoubleEndedIterator<Item = PathBuf> {
        self.0.into_keys().map(|key| key.path)
    }

    /// What is there, in the order of the paths, taken out.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> {
        self.0.into_values()
    }

    /// All strictly below a path.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
        let key = (path, is_plain(path));
        self.0
            .range::<dyn Named, _>((Bound::Excluded(&key as &dyn Named), Bound::Unbounded))
            .take_while(move |(at, _)| rest_of(at.named(), key).is_some())
            .map(|(key, value)| (&key.path, value))
    }
}

type Pair<'a, V> = (&'a PathBuf, &'a V);
type PairMut<'a, V> = (&'a PathBuf, &'a mut V);

impl<'a, V> IntoIterator for &'a PathMap<V> {
    type Item = Pair<'a, V>;
    type IntoIter =
        std::iter::Map<btree_map::Iter<'a, Key, V>, fn((&'a Key, &'a V)) -> Pair<'a, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (&key.path, value))
    }
}

impl<'a, V> IntoIterator for &'a mut PathMap<V> {
    type Item = PairMut<'a, V>;
    type IntoIter =
        std::iter::Map<btree_map::IterMut<'a, Key, V>, fn((&'a Key, &'a mut V)) -> PairMut<'a, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(|(key, value)| (&key.path, value))
    }
}

impl<V> IntoIterator for PathMap<V> {
    type Item = (PathBuf, V);
    type IntoIter = std::iter::Map<btree_map::IntoIter<Key, V>, fn((Key, V)) -> (PathBuf, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(key, value)| (key.path, value))
    }
}

impl<V> FromIterator<(PathBuf, V)> for PathMap<V> {
    fn from_iter<I: IntoIterator<Item = (PathBuf, V)>>(all: I) -> Self {
        Self(
            all.into_iter()
                .map(|(path, value)| (path.into(), value))
                .collect(),
        )
    }
}

impl<V, const N: usize> From<[(PathBuf, V); N]> for PathMap<V> {
    fn from(all: [(PathBuf, V); N]) -> Self {
        all.into_iter().collect()
    }
}

impl<V: Serialize> Serialize for PathMap<V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self)
    }
}

impl<V> Extend<(PathBuf, V)> for PathMap<V> {
    fn extend<I: IntoIterator<Item = (PathBuf, V)>>(&mut self, all: I) {
        self.0
            .extend(all.into_iter().map(|(path, value)| (path.into(), value)));
    }
}

/// Paths, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSet(PathMap<()>);

/// A set can be asked what a map can.
impl Deref for PathSet {
    type Target = PathMap<()>;

    fn deref(&self) -> &PathMap<()> {
        &self.0
    }
}

impl PathSet {
    /// Whether a path is among them.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        self.contains_key(path)
    }

    /// Adds one; whether it is new.
    pub fn insert(&mut self, path: PathBuf) -> bool {
        self.0.insert(path, ()).is_none()
    }

    /// All in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PathBuf> {
        self.keys()
    }

    /// Those at or below a path.
    pub fn from<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        let itself = self.get_key_value(path);
        let all = itself.into_iter().chain(self.below(path));
        all.map(|(at, ())| at)
    }
}

impl IntoIterator for PathSet {
    type Item = PathBuf;
    type IntoIter =
        std::iter::Map<<PathMap<()> as IntoIterator>::IntoIter, fn((PathBuf, ())) -> PathBuf>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(path, ())| path)
    }
}

impl<'a> IntoIterator for &'a PathSet {
    type Item = &'a PathBuf;
    type IntoIter = std::iter::Map<
        <&'a PathMap<()> as IntoIterator>::IntoIter,
        fn((&'a PathBuf, &'a ())) -> &'a PathBuf,
    >;

    fn into_iter(self) -> Self::IntoIter {
        (&self.0).into_iter().map(|(path, ())| path)
    }
}

impl FromIterator<PathBuf> for PathSet {
    fn from_iter<I: IntoIterator<Item = PathBuf>>(all: I) -> Self {
        Self(all.into_iter().map(|path| (path, ())).collect())
    }
}

impl Extend<PathBuf> for PathSet {
    fn extend<I: IntoIterator<Item = PathBuf>>(&mut self, all: I) {
        self.0.extend(all.into_iter().map(|path| (path, ())));
    }
}

impl<const N: usize> From<[PathBuf; N]> for PathSet {
    fn from(all: [PathBuf; N]) -> Self {
        all.into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
