//! Sets of paths.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::map::PathMap;

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
