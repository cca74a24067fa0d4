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
