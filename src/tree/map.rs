//! Maps and sets of paths.
//!
//! They are asked far more often than they are told: what is at a path, and what is at or above it. Both are answered by a
//! table of hashes, the second in one pass over the path's bytes, for each part of a plain path up to a slash is hashed on
//! the way to its end. The order is kept beside it, as numbers, once it is asked for.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

use super::iter::Iter;
use super::{Key, compare, first_name, is_plain, rest_of};

/// Up to so many entries are looked through one by one.
const FEW: usize = 8;

/// An odd number without a pattern (2^64 divided by the golden ratio).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Names in directories are others' to choose, and not in a way that makes them all hash to one: where a program lies in its
/// memory is another place each time.
fn seed() -> u64 {
    static HERE: u8 = 0;
    (&raw const HERE).addr() as u64 ^ FACTOR
}

/// A hash that goes on with a word: all bits of it count in all of the outcome.
#[allow(clippy::cast_possible_truncation)] // both halves are taken
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(FACTOR);
    product as u64 ^ (product >> 64) as u64
}

/// The same with a name.
fn with_name(hash: u64, name: &[u8]) -> u64 {
    let (words, rest) = name.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    // The length of the rest comes before it.
    let rest = rest.iter().fold(rest.len() as u64 + 1, |word, byte| {
        word << 8 | u64::from(*byte)
    });
    mix(words.fold(hash, mix), rest)
}

/// What is kept of a hash.
#[allow(clippy::cast_possible_truncation)] // all bits count in each half
fn kept(hash: u64) -> u32 {
    hash as u32
}

/// Tells of each part of a plain path that ends before a slash or at the end, the shortest first: how long it is, and its hash.
/// False for a path that is no plain one; what was told of it means nothing then.
fn scan(path: &[u8], mut tell: impl FnMut(usize, u32)) -> bool {
    let Some((b'/', mut rest)) = path.split_first() else {
        return false;
    };
    let mut hash = seed();
    tell(1, kept(hash));
    if rest.is_empty() {
        return true;
    }
    loop {
        let (name, behind) = first_name(rest);
        if matches!(name, b"" | b"." | b"..") {
            return false;
        }
        hash = with_name(hash, name);
        let behind = behind.unwrap_or_default();
        match rest.len() == name.len() {
            true => {
                tell(path.len(), kept(hash));
                return true;
            }
            false => tell(path.len() - behind.len() - 1, kept(hash)),
        }
        rest = behind;
    }
}

/// The hash of a path, and whether it is a plain one. Equal paths have equal hashes, however they are written.
fn hash_of(path: &Path) -> (u32, bool) {
    let mut last = 0;
    if scan(path.as_os_str().as_bytes(), |_, hash| last = hash) {
        return (last, true);
    }
    let hash = path.components().fold(!seed(), |hash, part| match part {
        Component::RootDir => seed(),
        part => with_name(hash, part.as_os_str().as_bytes()),
    });
    (kept(hash), false)
}

/// What is at a path.
#[derive(Clone)]
pub(super) struct Entry<V> {
    hash: u32,
    pub(super) key: Key,
    pub(super) value: V,
}

impl<V> Entry<V> {
    pub(super) fn pair(&self) -> (&PathBuf, &V) {
        (&self.key.path, &self.value)
    }

    fn is_at(&self, hash: u32, (path, plain): (&Path, bool)) -> bool {
        self.hash == hash
            && match plain && self.key.plain {
                true => self.key.path.as_os_str() == path.as_os_str(),
                false => self.key.path == path,
            }
    }
}

/// Values by paths.
#[derive(Clone)]
pub struct PathMap<V> {
    /// As they came.
    pub(super) entries: Vec<Entry<V>>,
    /// Their numbers, in the order of the paths; once somebody has asked for it.
    order: OnceCell<Vec<u32>>,
    /// Their numbers and one more, by their hashes; 0: none. Empty where there are few.
    slots: Vec<u32>,
}

impl<V> Default for PathMap<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            order: OnceCell::new(),
            slots: Vec::new(),
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // there is no memory for so many
fn number(at: usize) -> u32 {
    at as u32
}

impl<V> PathMap<V> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for some.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self {
            entries: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of the entry at a path.
    fn find(&self, hash: u32, path: (&Path, bool)) -> Option<usize> {
        let Some(mask) = self.slots.len().checked_sub(1) else {
            return self
                .entries
                .iter()
                .position(|entry| entry.is_at(hash, path));
        };
        let mut slot = hash as usize & mask;
        // At least half of them are empty.
        loop {
            let at = self.slots.get(slot).copied()?.checked_sub(1)? as usize;
            if self.entries.get(at)?.is_at(hash, path) {
                return Some(at);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn at(&self, path: &Path) -> Option<&Entry<V>> {
        if self.entries.is_empty() {
            return None;
        }
        let (hash, plain) = hash_of(path);
        self.entries.get(self.find(hash, (path, plain))?)
    }

    /// Takes the last entry into the table of hashes.
    fn note_last(&mut self) {
        let count = self.entries.len();
        if count <= FEW {
            return;
        }
        if count * 2 > self.slots.len() {
            return self.hash_all();
        }
        if let Some(entry) = self.entries.last() {
            let hash = entry.hash;
            put(&mut self.slots, hash, number(count));
        }
    }

    fn hash_all(&mut self) {
        let count = self.entries.len();
        self.slots.clear();
        if count <= FEW {
            return;
        }
        self.slots.resize((count * 4).next_power_of_two(), 0);
        for (at, entry) in self.entries.iter().enumerate() {
            put(&mut self.slots, entry.hash, number(at + 1));
        }
    }

    /// Adds what is not there yet; its number.
    fn add(&mut self, hash: u32, key: Key, value: V) -> usize {
        let at = self.entries.len();
        if let Some(order) = self.order.get_mut() {
            let entries = &self.entries;
            let is_before = |other: &u32| {
                let other = entries.get(*other as usize);
                other.is_some_and(|other| compare(other.key.named(), key.named()).is_lt())
            };
            // Most come in their order.
            let place = match order.last().is_none_or(is_before) {
                true => order.len(),
                false => order.partition_point(is_before),
            };
            order.insert(place, number(at));
        }
        self.entries.push(Entry { hash, key, value });
        self.note_last();
        at
    }

    /// The numbers of the entries, in the order of the paths.
    pub(super) fn order(&self) -> &[u32] {
        self.order.get_or_init(|| {
            let mut order: Vec<u32> = (0..number(self.entries.len())).collect();
            let key = |at: u32| self.entries.get(at as usize).map(|entry| entry.key.named());
            order.sort_by(|one, other| match (key(*one), key(*other)) {
                (Some(one), Some(other)) => compare(one, other),
                _ => Ordering::Equal,
            });
            order
        })
    }

    /// Makes the order of the entries that of their paths.
    pub(super) fn settle(&mut self) {
        let order = self.order();
        if (0..).zip(order).all(|(at, other)| at == *other) {
            return;
        }
        let order = self.order.take().unwrap_or_default();
        let mut all: Vec<_> = std::mem::take(&mut self.entries)
            .into_iter()
            .map(Some)
            .collect();
        let settled = order.iter();
        self.entries = settled
            .filter_map(|at| all.get_mut(*at as usize)?.take())
            .collect();
        self.hash_all();
    }

    /// What is at this path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&V> {
        self.at(path).map(|entry| &entry.value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, path: &Path) -> Option<&mut V> {
        let (hash, plain) = hash_of(path);
        let at = self.find(hash, (path, plain))?;
        self.entries.get_mut(at).map(|entry| &mut entry.value)
    }

    /// Whether something is at this path.
    #[must_use]
    pub fn contains_key(&self, path: &Path) -> bool {
        self.at(path).is_some()
    }

    /// The nearest entry at or above a path.
    #[must_use]
    pub fn nearest(&self, path: &Path) -> Option<(&PathBuf, &V)> {
        if self.entries.is_empty() {
            return None;
        }
        let mut nearest = None;
        let plain = self.pass(path, |at| nearest = Some(at));
        match plain {
            true => nearest.and_then(|at| self.entries.get(at)),
            false => path.ancestors().find_map(|at| self.at(at)),
        }
        .map(Entry::pair)
    }

    /// Tells of the entries at or above a plain path, the nearest last; false for another path, as [`scan`].
    fn pass(&self, path: &Path, mut tell: impl FnMut(usize)) -> bool {
        let bytes = path.as_os_str().as_bytes();
        scan(bytes, |length, hash| {
            let part = bytes.get(..length).unwrap_or_default();
            let part = Path::new(OsStr::from_bytes(part));
            if let Some(at) = self.find(hash, (part, true)) {
                tell(at);
            }
        })
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
        // Nearly always these are a few.
        let (mut first, mut count, mut more) = ([0_u32; FEW], 0, Vec::new());
        let plain = self.pass(path, |at| match first.get_mut(count) {
            Some(place) => (*place, count) = (number(at), count + 1),
            None => more.push(number(at)),
        });
        if !plain {
            count = 0;
            let all = path.ancestors().filter_map(|at| {
                let (hash, plain) = hash_of(at);
                self.find(hash, (at, plain)).map(number)
            });
            more = all.collect();
            more.reverse();
        }
        let more = more.into_iter().rev();
        let first = first.into_iter().take(count).rev();
        more.chain(first)
            .filter_map(|at| self.entries.get(at as usize))
            .map(Entry::pair)
    }

    /// Tells of each entry in their order, and how many entries lie above it.
    pub fn each_below<'a>(&'a self, mut tell: impl FnMut(&'a PathBuf, &'a V, usize)) {
        let mut above: Vec<&Key> = Vec::new();
        for Entry { key, value, .. } in self.in_order() {
            // One that is not above this one is above none behind it.
            while let Some(last) = above.last()
                && rest_of(key.named(), last.named()).is_none()
            {
                above.pop();
            }
            tell(&key.path, value, above.len());
            above.push(key);
        }
    }

    /// The path as it is kept, and what is there.
    #[must_use]
    pub fn get_key_value(&self, path: &Path) -> Option<(&PathBuf, &V)> {
        self.at(path).map(Entry::pair)
    }

    /// Puts something at a path; returns what was there.
    pub fn insert(&mut self, path: PathBuf, value: V) -> Option<V> {
        let (hash, plain) = hash_of(&path);
        match self.find(hash, (&path, plain)) {
            Some(at) => {
                let entry = self.entries.get_mut(at);
                entry.map(|entry| std::mem::replace(&mut entry.value, value))
            }
            None => {
                self.add(hash, Key { path, plain }, value);
                None
            }
        }
    }

    /// Takes out what is at a path.
    pub fn remove(&mut self, path: &Path) -> Option<V> {
        let (hash, plain) = hash_of(path);
        let at = self.find(hash, (path, plain))?;
        let removed = self.entries.remove(at);
        self.order.take();
        self.hash_all();
        Some(removed.value)
    }

    /// The place of a path.
    pub fn entry(&mut self, path: PathBuf) -> Place<'_, V> {
        let (hash, plain) = hash_of(&path);
        Place {
            found: self.find(hash, (&path, plain)),
            key: Key { path, plain },
            hash,
            map: self,
        }
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&PathBuf, &mut V) -> bool) {
        self.settle();
        let before = self.entries.len();
        self.entries
            .retain_mut(|entry| keep(&entry.key.path, &mut entry.value));
        if self.entries.len() != before {
            self.order.take();
            self.hash_all();
        }
    }

    fn in_order(&self) -> impl DoubleEndedIterator<Item = &Entry<V>> {
        self.order()
            .iter()
            .filter_map(|at| self.entries.get(*at as usize))
    }

    /// All in their order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, V> {
        Iter {
            entries: &self.entries,
            order: self.order().iter(),
        }
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&PathBuf, &mut V)> {
        self.settle();
        let all = self.entries.iter_mut();
        all.map(|entry| (&entry.key.path, &mut entry.value))
    }

    /// All paths in their order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &PathBuf> {
        self.iter().map(|(path, _)| path)
    }

    /// What is there, in the order of the paths.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// All paths in their order, taken out.
    pub fn into_keys(self) -> impl DoubleEndedIterator<Item = PathBuf> {
        self.into_iter().map(|(path, _)| path)
    }

    /// What is there, in the order of the paths, taken out.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> {
        self.into_iter().map(|(_, value)| value)
    }

    /// All strictly below a path.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
        let key = (path, is_plain(path));
        let order = self.order();
        let first = order.partition_point(|at| {
            let entry = self.entries.get(*at as usize);
            entry.is_some_and(|entry| compare(entry.key.named(), key).is_le())
        });
        let behind = order.get(first..).unwrap_or_default().iter();
        behind
            .filter_map(|at| self.entries.get(*at as usize))
            .take_while(move |entry| rest_of(entry.key.named(), key).is_some())
            .map(Entry::pair)
    }
}

/// Puts a number into a table of hashes that has room for it.
fn put(slots: &mut [u32], hash: u32, number: u32) {
    let Some(mask) = slots.len().checked_sub(1) else {
        return;
    };
    let mut slot = hash as usize & mask;
    while let Some(there) = slots.get_mut(slot) {
        if *there == 0 {
            *there = number;
            return;
        }
        slot = (slot + 1) & mask;
    }
}

/// The place of a path in a map.
pub struct Place<'a, V> {
    map: &'a mut PathMap<V>,
    key: Key,
    hash: u32,
    found: Option<usize>,
}

impl<'a, V> Place<'a, V> {
    /// What is there; else what is made now.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        let at = match self.found {
            Some(at) => at,
            None => self.map.add(self.hash, self.key, make()),
        };
        // It is there: it was found, or added.
        &mut self.map.entries[at].value
    }

    /// What is there; else this.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// What is there; else what is usual.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

impl<V> FromIterator<(PathBuf, V)> for PathMap<V> {
    fn from_iter<I: IntoIterator<Item = (PathBuf, V)>>(all: I) -> Self {
        let all = all.into_iter();
        let mut map = Self::with_capacity(all.size_hint().0);
        for (path, value) in all {
            let (hash, plain) = hash_of(&path);
            let found = map.find(hash, (&path, plain));
            let key = Key { path, plain };
            match found.and_then(|at| map.entries.get_mut(at)) {
                // The last one counts, as it is written there.
                Some(entry) => (entry.key, entry.value) = (key, value),
                None => drop(map.add(hash, key, value)),
            }
        }
        map
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
        for (path, value) in all {
            self.insert(path, value);
        }
    }
}

impl<V: PartialEq> PartialEq for PathMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for PathMap<V> {}

impl<V: fmt::Debug> fmt::Debug for PathMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
