//! The heap: what is given out, what comes back, and what is left alone.

#![allow(clippy::unwrap_used)]

use super::*;

/// The arena is one for all tests of this program, which run beside each other.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn what_is_kept_is_apart_from_all_that_goes() {
    let _alone = ALONE.lock();
    // The other test fills it, and leaves nothing used.
    locked(|state| *state = State::EMPTY);
    let layout = |size: usize| Layout::from_size_align(size, 8).unwrap();
    // SAFETY: the sizes are not zero.
    let take = |size: usize| unsafe { Heap.alloc(layout(size)) };
    let blocks: Vec<*mut u8> = (0..100).map(|_| take(300)).collect();
    for block in &blocks {
        // SAFETY: the block is ours and so long.
        unsafe { block.write_bytes(7, 300) };
    }
    gather(|| {
        // SAFETY: the block is ours, with this layout.
        unsafe { Heap.dealloc(blocks[9], layout(300)) };
        let next = take(300);
        assert_eq!(next as usize % PAGE, 0);
        // SAFETY: as above. Now it lies above what is used.
        unsafe { Heap.dealloc(next, layout(300)) };
    });
    let kept = blocks[50];
    let copy = || {
        let copy = take(300);
        // SAFETY: both are so long, and apart.
        unsafe { copy.copy_from(kept, 300) };
        copy
    };
    // SAFETY: nothing but the copy is used.
    let copy = unsafe { keep_only(copy) };
    // SAFETY: the arena is readable, used or not.
    let found = |block: *mut u8| unsafe { block.read() };
    assert_eq!((found(copy), found(blocks[50])), (7, 0));
    // SAFETY: the block is ours, with this layout.
    unsafe { Heap.dealloc(copy, layout(300)) };
    assert!(locked(|state| state.used.iter().all(|used| *used == 0)));
    // SAFETY: nothing of it is used.
    unsafe { abandon() };
}

#[test]
fn classes_hold_what_they_are_for() {
    let mut before = (0, 0);
    for size in 0..=LARGEST {
        let (number, room) = class(size).unwrap();
        assert!(
            room >= size && room % GRAIN == 0 && number < CLASSES,
            "{size}"
        );
        assert_eq!(size_of_class(number), Some(room), "{size}");
        assert!(room <= size.max(64) * 5 / 4 + GRAIN, "{size} takes {room}");
        assert!((number, room) >= before);
        before = (number, room);
    }
    assert_eq!(class(LARGEST + 1), None);
    assert_eq!(before, (CLASSES - 1, LARGEST));
}

#[test]
fn few_pages_are_written_to() {
    let _alone = ALONE.lock();
    locked(|state| *state = State::EMPTY);
    let layout = |size: usize| Layout::from_size_align(size, 8).unwrap();
    // SAFETY: the sizes are not zero.
    let take = |size: usize| Heap::place(unsafe { Heap.alloc(layout(size)) }).unwrap();
    let back = |at: usize, size: usize| {
        // SAFETY: the block is ours, with this layout.
        unsafe { Heap.dealloc(start().wrapping_add(at), layout(size)) };
    };
    let (large, behind) = (take(1000), take(40));
    back(large, 1000);
    // It is taken apart, to the last grain.
    assert_eq!(
        [take(500), take(300), take(192)],
        [large, large + 512, large + 816]
    );
    let next = take(100);
    assert!(next > behind);
    // The last one grows where it is.
    // SAFETY: the block is ours, with this layout.
    let grown = unsafe { Heap.realloc(start().wrapping_add(next), layout(100), 9000) };
    assert_eq!(Heap::place(grown), Some(next));
    // What another process has a copy of is not written to.
    share();
    back(large, 500);
    assert_eq!(take(500) % PAGE, 0);
    locked(|state| *state = State::EMPTY);
    // SAFETY: nothing of it is used.
    unsafe { abandon() };
}

/// The heap of this test run is another one, so that the arena is this test's alone.
#[test]
fn blocks_are_apart_and_pages_come_back() {
    let _alone = ALONE.lock();
    locked(|state| *state = State::EMPTY);
    let layout = |size: usize| Layout::from_size_align(size, 8).unwrap();
    let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
    let mut seed = 1_u32;
    let mut random = |most: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % most
    };
    let check = |&(block, size, mark): &(*mut u8, usize, u8)| {
        // SAFETY: the block is ours and so long.
        let bytes = unsafe { std::slice::from_raw_parts(block, size) };
        assert!(bytes.iter().all(|byte| *byte == mark));
    };
    for round in 0..20_000 {
        #[allow(clippy::cast_possible_truncation)]
        let mark = round as u8;
        let size = 1 + random(if round % 50 == 0 { 200_000 } else { 700 });
        if blocks.len() > 300 {
            let (block, size, mark) = blocks.swap_remove(random(300));
            check(&(block, size, mark));
            // SAFETY: the block is ours, with this layout.
            unsafe { Heap.dealloc(block, layout(size)) };
        }
        if round % 3 == 0 && !blocks.is_empty() {
            let (block, before, mark) = blocks.pop().unwrap();
            // SAFETY: as above.
            let block = unsafe { Heap.realloc(block, layout(before), size) };
            check(&(block, size.min(before), mark));
            // SAFETY: as above.
            unsafe { block.write_bytes(mark, size) };
            blocks.push((block, size, mark));
        }
        // SAFETY: the size is not zero.
        let block = unsafe { Heap.alloc(layout(size)) };
        assert_eq!(block as usize % GRAIN, 0);
        // SAFETY: the block is ours and so long.
        unsafe { block.write_bytes(mark, size) };
        blocks.push((block, size, mark));
        if round % 1000 == 0 {
            give_back();
        }
    }
    blocks.iter().for_each(check);
    for (block, size, _) in blocks {
        // SAFETY: as above.
        unsafe { Heap.dealloc(block, layout(size)) };
    }
    assert!(locked(|state| state.used.iter().all(|used| *used == 0)));
    // SAFETY: nothing of it is used.
    unsafe { abandon() };
    // SAFETY: the size is not zero.
    let block = unsafe { Heap.alloc(layout(3 << 20)) };
    assert_eq!(Heap::place(block), None);
    // SAFETY: the block is ours, with this layout.
    unsafe { Heap.dealloc(block, layout(3 << 20)) };
}

/// What blocks are used, by what the state has been told; and that everything that it believes fits to that.
#[derive(Default)]
struct Ledger(std::collections::BTreeMap<usize, usize>);

impl Ledger {
    /// A block that was given out overlaps none that is used.
    fn took(&mut self, at: usize, size: usize) {
        let before = self.0.range(..at).next_back();
        assert!(before.is_none_or(|(other, length)| other + length <= at));
        assert!(self.0.range(at..at + size).next().is_none());
        assert!(at.is_multiple_of(GRAIN) && at + size <= SIZE);
        self.0.insert(at, size);
    }

    fn check(&self, state: &State) {
        // What is free overlaps neither what is used nor other free blocks, and lies where something was given out.
        let mut all = self.0.clone();
        for number in 0..CLASSES {
            let mut rest = state.free[number];
            let has = state.has[number / 64] >> (number % 64) & 1;
            assert_eq!(has == 1, rest != 0, "class {number}");
            while let Some(at) = rest.checked_sub(1) {
                let (at, size) = (at as usize, size_of_class(number).unwrap());
                assert!(at >= state.floor && at + size <= state.next);
                assert!(all.insert(at, size).is_none());
                // SAFETY: a free block of the arena.
                rest = unsafe { word(at).read() };
            }
        }
        let mut end = 0;
        for (at, size) in all {
            assert!(at >= end, "{at} lies within another");
            end = at + size;
        }
        assert!(end <= state.next && state.next <= SIZE && state.next <= state.top);
        let mut used = [0; PAGES];
        for (at, size) in &self.0 {
            let touched = at / PAGE..=(at + size - 1) / PAGE;
            used[touched].iter_mut().for_each(|count| *count += 1);
        }
        assert_eq!(used, state.used);
    }
}

#[test]
fn no_order_of_deeds_gives_out_what_is_used() {
    let _alone = ALONE.lock();
    for seed in 0..60_u32 {
        locked(|state| *state = State::EMPTY);
        let (mut ledger, mut random) = (Ledger::default(), seed);
        let mut next = |most: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % most
        };
        let largest = [100, 700, 5000, 300_000][seed as usize % 4];
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for _ in 0..1500 {
            let size = 1 + next(largest);
            let deed = next(100);
            locked(|state| match deed {
                0..45 => {
                    let (class, size) = class(size).unwrap();
                    if let Some(at) = state.take(class, size) {
                        ledger.took(at, size);
                        blocks.push((at, size));
                    }
                }
                45..80 if !blocks.is_empty() => {
                    let (at, size) = blocks.swap_remove(next(blocks.len()));
                    ledger.0.remove(&at);
                    state.give(at, class(size).unwrap().0, size);
                }
                80..97 if !blocks.is_empty() => {
                    let number = next(blocks.len());
                    let (at, before) = blocks[number];
                    let (_, after) = class(size).unwrap();
                    if state.resize(at, before, after) {
                        ledger.0.remove(&at);
                        ledger.took(at, after);
                        blocks[number].1 = after;
                    }
                }
                97 => state.begin_anew(),
                98 => {
                    for page in state.sweep() {
                        discard(page * PAGE, PAGE);
                    }
                }
                _ => {}
            });
            locked(|state| ledger.check(state));
        }
    }
    // SAFETY: nothing of it is used.
    unsafe { abandon() };
}

/// Threads that fill what they have been given, give it to each other, and look whether it stayed theirs.
#[test]
fn threads_have_blocks_of_their_own() {
    let _alone = ALONE.lock();
    locked(|state| *state = State::EMPTY);
    let layout = |size: usize| Layout::from_size_align(size, 16).unwrap();
    let (give, take) = std::sync::mpsc::channel::<(usize, usize, u8)>();
    let take = std::sync::Mutex::new(take);
    let back = |(block, size, mark): (usize, usize, u8)| {
        let block = block as *mut u8;
        // SAFETY: it was given out, is so long, and whoever had it has given it away.
        let bytes = unsafe { std::slice::from_raw_parts(block, size) };
        assert!(bytes.iter().all(|byte| *byte == mark));
        // SAFETY: as above, with this layout.
        unsafe { Heap.dealloc(block, layout(size)) };
    };
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            let (give, take) = (give.clone(), &take);
            scope.spawn(move || {
                for round in 0..3000_usize {
                    let size = 1 + round * 37 % 900;
                    // SAFETY: the size is not zero.
                    let block = unsafe { Heap.alloc(layout(size)) };
                    // SAFETY: the block is ours and so long.
                    unsafe { block.write_bytes(number, size) };
                    give.send((block as usize, size, number)).unwrap();
                    let other = take.lock().unwrap().try_recv();
                    if round % 3 > 0 {
                        other.into_iter().for_each(back);
                    } else if let Ok(other) = other {
                        give.send(other).unwrap();
                    }
                }
            });
        }
    });
    drop(give);
    take.into_inner().unwrap().into_iter().for_each(back);
    assert!(locked(|state| state.used.iter().all(|used| *used == 0)));
    // SAFETY: nothing of it is used.
    unsafe { abandon() };
}
