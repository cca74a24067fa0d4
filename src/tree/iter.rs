//! Going through a map in the order of its paths.

use std::path::PathBuf;

use super::map::{Entry, PathMap};

/// Paths with values, in the order of the paths.
pub struct Iter<'a, V> {
    pub(super) entries: &'a [Entry<V>],
    pub(super) order: std::slice::Iter<'a, u32>,
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries,
            order: self.order.clone(),
        }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a PathBuf, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.order.next()?;
        self.entries.get(*at as usize).map(Entry::pair)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.order.size_hint()
    }
}

impl<V> DoubleEndedIterator for Iter<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let at = self.order.next_back()?;
        self.entries.get(*at as usize).map(Entry::pair)
    }
}

impl<'a, V> IntoIterator for &'a PathMap<V> {
    type Item = (&'a PathBuf, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

type PairMut<'a, V> = (&'a PathBuf, &'a mut V);
type Changed<'a, V> = fn(&'a mut Entry<V>) -> PairMut<'a, V>;
type Taken<V> = fn(Entry<V>) -> (PathBuf, V);

/// Paths with values that can be changed, in the order of the paths.
pub struct IterMut<'a, V>(std::iter::Map<std::slice::IterMut<'a, Entry<V>>, Changed<'a, V>>);

impl<'a, V> Iterator for IterMut<'a, V> {
    type Item = PairMut<'a, V>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl<'a, V> IntoIterator for &'a mut PathMap<V> {
    type Item = PairMut<'a, V>;
    type IntoIter = IterMut<'a, V>;

    fn into_iter(self) -> IterMut<'a, V> {
        self.settle();
        let all = self.entries.iter_mut();
        IterMut(all.map(|entry| (&entry.key.path, &mut entry.value)))
    }
}

/// Paths with values, in the order of the paths, taken out.
pub struct IntoIter<V>(std::iter::Map<std::vec::IntoIter<Entry<V>>, Taken<V>>);

impl<V> Iterator for IntoIter<V> {
    type Item = (PathBuf, V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<V> DoubleEndedIterator for IntoIter<V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl<V> IntoIterator for PathMap<V> {
    type Item = (PathBuf, V);
    type IntoIter = IntoIter<V>;

    fn into_iter(mut self) -> IntoIter<V> {
        self.settle();
        let all = self.entries.into_iter();
        IntoIter(all.map(|entry| (entry.key.path, entry.value)))
    }
}
