//! /etc/ld.so.cache, as ldconfig(8) writes it since glibc 2.2, alone or behind the old table.

use std::collections::BTreeMap;

/// Names of libraries, and the paths that they are found at, the best first.
pub type Cache = BTreeMap<Vec<u8>, Vec<Found>>;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The library.
    pub path: Vec<u8>,
    /// Whether it is for some processors only.
    pub special: bool,
}

const OLD: &[u8] = b"ld.so-1.7.0\0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes before the entries, and of one entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// More than any ldconfig has written.
const MOST: usize = 1_000_000;
const LONGEST: usize = 4096;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}

/// Reads a cache that this host's machine wrote. Entries that lead out of it are left out.
///
/// # Errors
/// It is no such file, or cut off.
pub fn read(bytes: &[u8]) -> Result<Cache, &'static str> {
    let cut = "it is cut off";
    let start = if bytes.starts_with(OLD) {
        let count = word(bytes, OLD.len()).ok_or(cut)?;
        let old = usize::try_from(count).ok().and_then(|n| n.checked_mul(12));
        let end = old.and_then(|size| size.checked_add(OLD.len() + 4));
        end.and_then(|end| end.checked_next_multiple_of(8))
            .ok_or(cut)?
    } else {
        0
    };
    let own = bytes.get(start..).ok_or(cut)?;
    if !own.starts_with(NEW) {
        return Err("it has another format than glibc's since 2.2");
    }
    let count = word(own, NEW.len()).and_then(|count| usize::try_from(count).ok());
    let count = count
        .filter(|count| *count <= MOST)
        .ok_or("it has too many entries")?;
    let entries = own.get(HEADER..HEADER + count * ENTRY).ok_or(cut)?;
    let text = |at: u32| {
        let rest = own.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().take(LONGEST).position(|byte| *byte == 0)?;
        rest.get(..end)
    };
    let mut cache = Cache::new();
    for entry in entries.chunks_exact(ENTRY) {
        let name = word(entry, 4).and_then(text);
        let path = word(entry, 8).and_then(text);
        let special = entry.get(16..24).is_none_or(|caps| caps != [0; 8]);
        if let (Some(name), Some(path)) = (name, path) {
            cache.entry(name.to_owned()).or_default().push(Found {
                path: path.to_owned(),
                special,
            });
        }
    }
    Ok(cache)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cache(entries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut head = NEW.to_vec();
        head.extend(u32::try_from(entries.len()).unwrap().to_ne_bytes());
        head.resize(HEADER, 0);
        let mut strings = Vec::new();
        let base = HEADER + entries.len() * ENTRY;
        for (name, path, caps) in entries {
            let mut put = |text: &str| {
                let at = u32::try_from(base + strings.len()).unwrap();
                strings.extend(text.bytes().chain([0]));
                at.to_ne_bytes()
            };
            head.extend(3_i32.to_ne_bytes());
            head.extend(put(name));
            head.extend(put(path));
            head.extend(0_u32.to_ne_bytes());
            head.extend(caps.to_ne_bytes());
        }
        head.extend(strings);
        head
    }

    #[test]
    fn entries_are_found_by_name_in_their_order() {
        let bytes = cache(&[
            (
                "liba.so.1",
                "/lib/glibc-hwcaps/x86-64-v3/liba.so.1",
                1 << 62,
            ),
            ("liba.so.1", "/lib/liba.so.1", 0),
            ("libb.so", "/opt/libb.so", 0),
        ]);
        let read = read(&bytes).unwrap();
        let paths: Vec<_> = read[b"liba.so.1".as_slice()]
            .iter()
            .map(|found| {
                (
                    String::from_utf8_lossy(&found.path).into_owned(),
                    found.special,
                )
            })
            .collect();
        assert_eq!(
            paths,
            [
                ("/lib/glibc-hwcaps/x86-64-v3/liba.so.1".to_owned(), true),
                ("/lib/liba.so.1".to_owned(), false)
            ]
        );
        let mut old = OLD.to_vec();
        old.extend(1_u32.to_ne_bytes());
        old.extend([0; 12]);
        old.resize(32, 0);
        old.extend(&bytes);
        assert_eq!(super::read(&old).unwrap(), read);
    }

    #[test]
    fn what_is_cut_off_or_lies_is_no_cache() {
        let whole = cache(&[("liba.so.1", "/lib/liba.so.1", 0)]);
        for end in 0..HEADER + ENTRY {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        // The strings are gone: nothing is known, and nothing is made up.
        assert!(read(&whole[..HEADER + ENTRY]).unwrap().is_empty());
        let mut lies = whole;
        lies[NEW.len()..NEW.len() + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(read(&lies), Err("it has too many entries"));
    }
}
