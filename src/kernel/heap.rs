//! The heap of the launcher: memory of one arena, in blocks of set sizes that are used again for their own size, or taken apart.
//!
//! A launch asks for memory ten thousand times, and stays beside the program for as long as that runs. The C library's
//! allocator takes ten times as long to answer, and cannot say where its memory lies. Here both are simple: a process that
//! needs nothing of it any more gives all of it back, and one that stays gives back each page in which nothing is left.
//! What does not fit is asked of the C library.
//!
//! What counts is how many pages are written to: each costs as much as a hundred allocations, and once more in a process that
//! has been forked since.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::PAGE;

/// Bytes of the arena; what is not used is only addresses.
const SIZE: usize = 4 << 20;
const PAGES: usize = SIZE / PAGE;
/// What every block begins at a multiple of, and the smallest block.
const GRAIN: usize = 16;
/// Up to here, sizes are multiples of [`GRAIN`]; above, there are four between a power of two and the next.
const FINE: usize = 1024;
/// The largest block.
const LARGEST: usize = 1 << 20;
const CLASSES: usize = FINE / GRAIN + 1 + 4 * 10;
/// What even the least launch writes to: asked for at once, and not page by page.
const FIRST: usize = 68 << 10;

#[cfg_attr(target_arch = "x86_64", repr(C, align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C, align(65536)))]
struct Arena(UnsafeCell<[u8; SIZE]>);

// SAFETY: who holds the lock, or has been given a block, alone touches its bytes.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));

/// What is known of the arena.
struct State {
    /// Where nothing was given out yet, or nothing is any more.
    next: usize,
    /// Up to here something was given out since pages were last given back.
    top: usize,
    /// What lies below is not written to any more: what of it is given back is not given out again.
    floor: usize,
    /// What is left of the free block that was last taken apart, first to last.
    spare: (usize, usize),
    /// Whether blocks are no longer taken apart for smaller ones: in a process that stays they would get ever smaller.
    settled: bool,
    /// The classes of which there is a free block, a bit each.
    has: [u64; 2],
    /// The first free block of each class, as its place behind the start and one more; 0: none. Each free block begins
    /// with the next one.
    free: [u32; CLASSES],
    /// How many blocks that are in use touch a page.
    used: [u16; PAGES],
}

#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Locked {
    taken: AtomicBool,
    state: UnsafeCell<State>,
}

// SAFETY: the state is touched only by who has taken the lock.
unsafe impl Sync for Locked {}

static LOCKED: Locked = Locked {
    taken: AtomicBool::new(false),
    state: UnsafeCell::new(State::EMPTY),
};

/// Does something with the state, alone.
fn locked<T>(work: impl FnOnce(&mut State) -> T) -> T {
    while LOCKED
        .taken
        .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        std::thread::yield_now();
    }
    // SAFETY: the lock was free and is ours.
    let result = work(unsafe { &mut *LOCKED.state.get() });
    LOCKED.taken.store(false, Ordering::Release);
    result
}

fn start() -> *mut u8 {
    ARENA.0.get().cast()
}

/// The first word of a block.
#[allow(clippy::cast_ptr_alignment)] // the arena begins with a page, and blocks with a grain
fn word(at: usize) -> *mut u32 {
    start().wrapping_add(at).cast()
}

/// The class of a size, and the size of its blocks; none for what is too large.
#[inline(always)] // it is asked ten thousand times a launch, nearly always of a small size
fn class(size: usize) -> Option<(usize, usize)> {
    if size <= FINE {
        let number = size.div_ceil(GRAIN).max(1);
        return Some((number, number * GRAIN));
    }
    large_class(size)
}

fn large_class(size: usize) -> Option<(usize, usize)> {
    if size > LARGEST {
        return None;
    }
    // Above 2^bits, in quarters of that.
    let bits = (size - 1).ilog2();
    let quarter = 1_usize << (bits - 2);
    let quarters = (size - (1 << bits)).div_ceil(quarter);
    let above = bits.saturating_sub(FINE.ilog2()) as usize;
    Some((
        FINE / GRAIN + above * 4 + quarters,
        (1 << bits) + quarters * quarter,
    ))
}

/// The pages that a block touches.
fn pages(at: usize, size: usize) -> std::ops::Range<usize> {
    // No block is empty; a ceiling would take a division more.
    at / PAGE..(at + size - 1) / PAGE + 1
}

impl State {
    const EMPTY: Self = Self {
        next: 0,
        top: 0,
        floor: 0,
        spare: (0, 0),
        settled: false,
        has: [0; 2],
        free: [0; CLASSES],
        used: [0; PAGES],
    };

    #[inline(always)]
    fn take(&mut self, class: usize, size: usize) -> Option<usize> {
        let at = match self.pop(class) {
            Some(at) => at,
            None => self.take_apart(class, size)?,
        };
        self.begin_use(at, size);
        Some(at)
    }

    /// A part of what is larger and free, for a page that was written to costs less than one more; else of what was never
    /// given out.
    fn take_apart(&mut self, class: usize, size: usize) -> Option<usize> {
        let (at, end) = self.spare;
        if size <= end - at {
            self.spare.0 = at + size;
            return Some(at);
        }
        if let Some((at, length)) = self.pop_above(class) {
            self.leave(self.spare.0, self.spare.1);
            self.spare = (at + size, at + length);
            return Some(at);
        }
        let at = self.next;
        if at + size > SIZE {
            return None;
        }
        if at == 0 {
            populate();
        }
        self.next = at + size;
        self.top = self.top.max(self.next);
        Some(at)
    }

    /// The smallest free block of a larger class, and its size.
    fn pop_above(&mut self, class: usize) -> Option<(usize, usize)> {
        if self.settled {
            return None;
        }
        let [low, high] = self.has;
        // The class itself is one of those that have none.
        let found = match class {
            0..64 if low >> class != 0 => class + (low >> class).trailing_zeros() as usize,
            0..64 => 64 + high.trailing_zeros() as usize,
            _ => class + (high >> (class - 64)).trailing_zeros() as usize,
        };
        let at = self.pop(found)?;
        Some((at, size_of_class(found)?))
    }

    /// Counts a block on each page that it touches.
    #[inline(always)]
    fn count(&mut self, at: usize, size: usize, count: impl Fn(&mut u16)) {
        let pages = pages(at, size);
        // Most blocks lie within one page.
        if let Some(used) = self.used.get_mut(pages.start) {
            count(used);
        }
        for page in pages.start + 1..pages.end {
            if let Some(used) = self.used.get_mut(page) {
                count(used);
            }
        }
    }

    #[inline(always)]
    fn begin_use(&mut self, at: usize, size: usize) {
        self.count(at, size, |used| *used += 1);
    }

    #[inline(always)]
    fn end_use(&mut self, at: usize, size: usize) {
        self.count(at, size, |used| *used -= 1);
    }

    #[inline(always)]
    fn pop(&mut self, class: usize) -> Option<usize> {
        let head = self.free.get_mut(class)?;
        let at = head.checked_sub(1)? as usize;
        // SAFETY: a free block of the arena, which begins with the next one's place, and is aligned for it.
        *head = unsafe { word(at).read() };
        if *head == 0 {
            self.has_none(class);
        }
        Some(at)
    }

    fn has_none(&mut self, class: usize) {
        if let Some(word) = self.has.get_mut(class / 64) {
            *word &= !(1 << (class % 64));
        }
    }

    /// What is left of a block, as blocks that are as large as can be.
    fn leave(&mut self, mut from: usize, end: usize) {
        while let Some((class, size)) = class_within(end - from) {
            self.put(from, class);
            from += size;
        }
    }

    /// One more free block.
    fn put(&mut self, at: usize, class: usize) {
        let Some(head) = self.free.get_mut(class) else {
            return;
        };
        // SAFETY: the block was just given back by who had it; it is aligned, and large enough.
        unsafe { word(at).write(*head) };
        #[allow(clippy::cast_possible_truncation)] // below SIZE
        let place = at as u32 + 1;
        let is_first = *head == 0;
        *head = place;
        if is_first && let Some(word) = self.has.get_mut(class / 64) {
            *word |= 1 << (class % 64);
        }
    }

    #[inline(always)]
    fn give(&mut self, at: usize, class: usize, size: usize) {
        self.end_use(at, size);
        if at < self.floor {
            return;
        }
        if at + size == self.next {
            self.next = at;
        } else if at + size == self.spare.0 {
            self.spare.0 = at;
        } else {
            self.put(at, class);
        }
    }

    /// Makes a block larger or smaller where it is, if nothing that is used follows; whether it did.
    fn resize(&mut self, at: usize, before: usize, size: usize) -> bool {
        if at < self.floor {
            return false;
        }
        if at + before == self.spare.0 && at + size <= self.spare.1 {
            self.spare.0 = at + size;
        } else if at + before == self.next && at + size <= SIZE {
            self.next = at + size;
            self.top = self.top.max(self.next);
        } else {
            return false;
        }
        self.end_use(at, before);
        self.begin_use(at, size);
        true
    }

    /// What is given out next begins a page.
    fn begin_page(&mut self) {
        self.next = self.next.next_multiple_of(PAGE).min(SIZE);
        self.top = self.top.max(self.next);
    }

    /// Leaves all that was given out until now as it is.
    fn begin_anew(&mut self) {
        self.begin_page();
        self.free = [0; CLASSES];
        self.has = [0; 2];
        self.spare = (0, 0);
        self.floor = self.next;
    }

    /// Forgets free blocks that touch a page in which nothing is used; returns those pages.
    fn sweep(&mut self) -> impl Iterator<Item = usize> + '_ {
        let (at, end) = std::mem::take(&mut self.spare);
        self.leave(at, end);
        // The first pages were asked for whether or not they were needed.
        let end = self.next.max(self.top).max(FIRST).div_ceil(PAGE);
        for number in 0..CLASSES {
            let Some(size) = size_of_class(number) else {
                continue;
            };
            let mut kept = 0;
            let mut rest = self.free.get(number).copied().unwrap_or(0);
            while let Some(at) = rest.checked_sub(1) {
                let place = rest;
                let block = word(at as usize);
                // SAFETY: as in `take`.
                rest = unsafe { block.read() };
                let touched = self.used.get(pages(at as usize, size));
                if touched.is_some_and(|pages| pages.iter().all(|used| *used > 0)) {
                    // SAFETY: as above.
                    unsafe { block.write(kept) };
                    kept = place;
                }
            }
            if let Some(head) = self.free.get_mut(number) {
                *head = kept;
            }
            if kept == 0 {
                self.has_none(number);
            }
        }
        // What was not given out yet is not begun in the midst of a page that is given back.
        self.begin_page();
        self.top = self.next;
        self.floor = 0;
        self.settled = true;
        let used = self.used.iter().take(end).enumerate();
        used.filter(|(_, used)| **used == 0).map(|(page, _)| page)
    }
}

/// The largest class whose blocks fit into so many bytes, and their size.
fn class_within(room: usize) -> Option<(usize, usize)> {
    let (number, size) = class(room.min(LARGEST))?;
    if size <= room {
        return Some((number, size));
    }
    let below = number - 1;
    size_of_class(below).map(|size| (below, size))
}

fn size_of_class(number: usize) -> Option<usize> {
    let fine = FINE / GRAIN;
    if number <= fine {
        return (number > 0).then_some(number * GRAIN);
    }
    let (power, quarters) = ((number - fine - 1) / 4, (number - fine - 1) % 4 + 1);
    Some((FINE << power) + quarters * (FINE << power) / 4)
}

/// Asks for the first pages at once (MADV_POPULATE_WRITE, Linux 5.14). An older kernel gives them one by one.
fn populate() {
    // SAFETY: memory of ours, which keeps what it holds.
    unsafe { libc::madvise(start().cast(), FIRST, libc::MADV_POPULATE_WRITE) };
}

fn discard(from: usize, length: usize) {
    if length == 0 {
        return;
    }
    let place = start().wrapping_add(from);
    // SAFETY: whole pages of the arena, in which nothing is used.
    unsafe { libc::madvise(place.cast(), length, libc::MADV_DONTNEED) };
}

/// Whether nothing was ever allocated here: the program has another heap.
pub fn is_unused() -> bool {
    locked(|state| state.top == 0)
}

/// Gives back every page in which nothing is used.
pub fn give_back() {
    locked(|state| {
        // Neighbours go together.
        let mut run = 0..0;
        for page in state.sweep() {
            if page != run.end {
                discard(run.start * PAGE, run.len() * PAGE);
                run.start = page;
            }
            run.end = page + 1;
        }
        discard(run.start * PAGE, run.len() * PAGE);
    });
}

/// Copies what stays, where little of a heap does: what is allocated from here on lies together, apart from all that is there,
/// so that pages come free. What is free between what is used goes with its page, and is not given out before.
pub fn gather(copy: impl FnOnce()) {
    locked(State::begin_anew);
    copy();
}

/// Another process has a copy of all that is there. To write to a page of it would make one more: what is given back is left
/// as it is until its page is, and what is allocated lies elsewhere.
pub fn share() {
    locked(State::begin_anew);
}

/// Gives everything back but the copy that is made of some of it.
///
/// # Safety
/// The copy has nothing in common with what was allocated before, and the process uses nothing of that any more.
pub unsafe fn keep_only<T>(copy: impl FnOnce() -> T) -> T {
    let before = locked(|state| {
        // Above all that was ever written to.
        state.next = state.top;
        state.begin_anew();
        state.used = [0; PAGES];
        state.next
    });
    let copy = copy();
    discard(0, before);
    copy
}

/// Gives everything back, used or not, and with it the values that lie there.
///
/// # Safety
/// From here on the process uses nothing that was allocated, and allocates nothing.
pub unsafe fn abandon() {
    // Without the lock, which another thread may have held when this process was made.
    discard(0, SIZE);
    let state = (&raw const LOCKED).cast_mut();
    // SAFETY: it takes whole pages; all zero is how it was at the start, and nobody uses it any more.
    unsafe { libc::madvise(state.cast(), size_of::<Locked>(), libc::MADV_DONTNEED) };
}

/// The allocator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

impl Heap {
    fn place(block: *mut u8) -> Option<usize> {
        let at = (block as usize).checked_sub(start() as usize)?;
        (at < SIZE).then_some(at)
    }
}

// SAFETY: each block is given out once until it is given back, is large enough and aligned to 16; for more the C library
// is asked, and blocks that do not lie in the arena are the C library's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let found = class(layout.size()).filter(|_| layout.align() <= GRAIN);
        let taken = found.and_then(|(class, size)| locked(|state| state.take(class, size)));
        match taken {
            // SAFETY: the place lies in the arena.
            Some(at) => unsafe { start().add(at) },
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (Self::place(block), class(layout.size())) {
            (Some(at), Some((class, size))) => locked(|state| state.give(at, class, size)),
            // SAFETY: it is not ours; the caller's promise.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Self::place(block).is_none() {
            // SAFETY: it is not ours; the caller's promise.
            return unsafe { System.realloc(block, layout, size) };
        }
        let classes = (class(layout.size()), class(size));
        if let (Some((_, before)), Some((_, after))) = classes
            && (before == after
                || Self::place(block)
                    .is_some_and(|at| locked(|state| state.resize(at, before, after))))
        {
            return block;
        }
        // SAFETY: the caller's promise: the size is sound for this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller's promise.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            let length = size.min(layout.size());
            // SAFETY: both are at least so long, and two blocks in use do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(block, new, length) };
            // SAFETY: the caller's promise.
            unsafe { self.dealloc(block, layout) };
        }
        new
    }
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
