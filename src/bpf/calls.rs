//! The system-call tables of one architecture, made while this program is compiled: names behind each other, in the order of
//! their numbers, and where the hash of a name leads. There is no pointer in them, so that a start has nothing to relocate, and a
//! name is found by looking at one place rather than at all of them; a launch asks for some hundreds.

use syscalls::{aarch64, x86, x86_64};

/// Places for hashes; a power of two, more than twice as many as any architecture has calls.
const PLACES: usize = 1024;

/// One call.
#[derive(Clone, Copy)]
struct Entry {
    number: u16,
    /// Where its name begins; it ends where the next one begins.
    start: u16,
}

/// The calls of one architecture.
pub(super) struct Calls {
    /// By rising number; at the end one whose name would begin behind all others.
    entries: &'static [Entry],
    names: &'static str,
    /// By the hash of the name, the next free place if that was taken: the entry's index and one, or 0 for none.
    places: &'static [u16; PLACES],
}

const fn hash(name: &[u8]) -> usize {
    // FNV-1a.
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ (hash >> 15)) as usize % PLACES
}

macro_rules! calls {
    ($arch:ident) => {{
        // `Sysno::iter` of the syscalls crate leaves out the last call, so the numbers are walked here.
        const LAST: usize = $arch::Sysno::last().id() as usize;
        const fn name(number: usize) -> &'static [u8] {
            match $arch::Sysno::new(number) {
                Some(call) => call.name().as_bytes(),
                None => b"",
            }
        }
        const SIZE: (usize, usize) = {
            let (mut count, mut bytes, mut number) = (0, 0, 0);
            while number <= LAST {
                let length = name(number).len();
                count += (length > 0) as usize;
                bytes += length;
                number += 1;
            }
            (count, bytes)
        };
        const MADE: ([Entry; SIZE.0 + 1], [u8; SIZE.1], [u16; PLACES]) = {
            let mut entries = [Entry { number: 0, start: 0 }; SIZE.0 + 1];
            let mut names = [0; SIZE.1];
            let mut places = [0; PLACES];
            let (mut index, mut end, mut number) = (0, 0, 0);
            while number <= LAST {
                let name = name(number);
                if !name.is_empty() {
                    entries[index] = Entry { number: number as u16, start: end as u16 };
                    index += 1;
                    let mut place = hash(name);
                    while places[place] != 0 {
                        place = (place + 1) % PLACES;
                    }
                    places[place] = index as u16;
                    let mut at = 0;
                    while at < name.len() {
                        names[end] = name[at];
                        at += 1;
                        end += 1;
                    }
                }
                number += 1;
            }
            entries[index] = Entry { number: u16::MAX, start: end as u16 };
            (entries, names, places)
        };
        static ENTRIES: [Entry; SIZE.0 + 1] = MADE.0;
        static NAMES: [u8; SIZE.1] = MADE.1;
        static PLACED: [u16; PLACES] = MADE.2;
        Calls {
            entries: &ENTRIES,
            names: match core::str::from_utf8(&NAMES) {
                Ok(names) => names,
                Err(_) => "",
            },
            places: &PLACED,
        }
    }};
}

pub(super) static X86_64: Calls = calls!(x86_64);
pub(super) static X86: Calls = calls!(x86);
pub(super) static AARCH64: Calls = calls!(aarch64);

impl Calls {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    /// The call of this index, by rising number.
    pub(super) fn get(&self, index: usize) -> Option<(u32, &'static str)> {
        let entry = self.entries.get(index)?;
        let next = self.entries.get(index + 1)?;
        let name = self.names.get(entry.start.into()..next.start.into())?;
        Some((entry.number.into(), name))
    }

    /// The index of the call of this name.
    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        let mut place = hash(name.as_bytes());
        loop {
            let index = usize::from(*self.places.get(place)?).checked_sub(1)?;
            if self.get(index)?.1 == name {
                return Some(index);
            }
            place = (place + 1) % PLACES;
        }
    }

    /// The index of the call of this number.
    pub(super) fn index_at(&self, number: u32) -> Option<usize> {
        let calls = self.entries.get(..self.len())?;
        calls
            .binary_search_by_key(&number, |entry| entry.number.into())
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that the tables were made of, and nothing else.
    #[test]
    fn nothing_is_lost_on_the_way_into_the_tables() {
        fn agree(table: &Calls, name_of: impl Fn(usize) -> Option<&'static str>) {
            let mut count = 0;
            for number in 0..=usize::from(u16::MAX) {
                let name = name_of(number);
                let index = table.index_at(u32::try_from(number).unwrap_or(u32::MAX));
                let found = index.and_then(|index| table.get(index));
                assert_eq!(found.map(|(_, name)| name), name, "{number}");
                if let Some(name) = name {
                    assert_eq!(table.index_of(name), index, "{name}");
                    for other in ["", &name[1..], &name[..name.len() - 1], &format!("{name}_")] {
                        let found = table.index_of(other).and_then(|index| table.get(index));
                        assert!(found.is_none_or(|(_, name)| name == other), "{other}");
                    }
                    count += 1;
                }
            }
            assert_eq!(table.len(), count);
            // There is an end to looking for what is not there.
            assert!(count * 2 < PLACES);
            assert!(table.get(count).is_none() && table.index_at(u32::from(u16::MAX)).is_none());
        }
        agree(&X86_64, |number| Some(x86_64::Sysno::new(number)?.name()));
        agree(&X86, |number| Some(x86::Sysno::new(number)?.name()));
        agree(&AARCH64, |number| Some(aarch64::Sysno::new(number)?.name()));
        for (name, number) in [
            ("read", libc::SYS_read),
            ("openat2", libc::SYS_openat2),
            ("ptrace", libc::SYS_ptrace),
            ("clone3", libc::SYS_clone3),
        ] {
            #[cfg(target_arch = "x86_64")]
            let own = &X86_64;
            #[cfg(target_arch = "aarch64")]
            let own = &AARCH64;
            let found = own.index_of(name).and_then(|index| own.get(index));
            let number = found.map(|(found, _)| (i64::from(found), number));
            assert!(
                number.is_some_and(|(found, number)| found == number),
                "{name}"
            );
        }
    }
}
