//! Memory of this process that it does not need any more, given back while it stays beside a program.

use super::heap;

/// The largest page that a kernel for this processor may have.
pub(super) const PAGE: usize = if cfg!(target_arch = "x86_64") {
    4 << 10
} else {
    64 << 10
};

/// Gives back memory that is not in use: what the heap has free, the stack that this call does not need, and the pages of the
/// program's file that nobody writes to, of which those that are used again are mapped again from the page cache (madvise(2),
/// MADV_DONTNEED).
pub fn give_back() {
    heap::give_back();
    give_stack_back();
    if heap::is_unused() {
        trim();
    }
    give_file_back();
}

/// Gives back what the C library's heap has free. Whoever has asked it for nothing since it was forked shares all pages of that
/// with its parent, and would make some its own by this.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only what is free is given back.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Gives back the pages of the program's file, of which those that are used again are mapped again. Where its C library is another
/// file, that is left alone. Neither dl_iterate_phdr(3) is asked, whose lock is a page that every process would have for itself,
/// nor getauxval(3), which reads the part of the stack that a process that stays has abandoned.
pub fn give_file_back() {
    unsafe extern "C" {
        /// Where the program's file begins (made by linkers).
        static __ehdr_start: libc::Elf64_Ehdr;
    }
    let own = &raw const __ehdr_start;
    // SAFETY: linkers define it where it is mapped, and it is never written to.
    let file = unsafe { &*own };
    let offset = file.e_phoff as usize;
    let table: *const libc::Elf64_Phdr = own.cast::<u8>().wrapping_add(offset).cast();
    // SAFETY: the headers follow in the same mapping, so many as the file says.
    let headers = unsafe { std::slice::from_raw_parts(table, file.e_phnum.into()) };
    let first = headers
        .iter()
        .find(|header| header.p_type == libc::PT_LOAD && header.p_offset == 0);
    let Some(first) = first else {
        return;
    };
    let base = (own as usize).wrapping_sub(first.p_vaddr as usize);
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = base.wrapping_add(header.p_vaddr as usize);
        let end = start + header.p_memsz as usize;
        let start = start & !(PAGE - 1);
        // SAFETY: a mapping of a file that can only be read: what is dropped comes back as it was.
        unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_DONTNEED) };
    }
}

/// Makes all of a range zero. Whole pages of it are given back, so that none is made for that.
///
/// # Safety
/// The range is writable memory of no file, and nobody else uses it.
pub unsafe fn clear(start: *mut u8, length: usize) {
    let zero = |from: usize, to: usize| {
        // SAFETY: a part of the range.
        unsafe { std::ptr::write_bytes(from as *mut u8, 0, to.saturating_sub(from)) };
    };
    let (start, end) = (start as usize, start as usize + length);
    let (first, last) = (start.next_multiple_of(PAGE), end & !(PAGE - 1));
    let given_back = first < last && {
        // SAFETY: as above; whole pages.
        let done = unsafe { libc::madvise(first as *mut _, last - first, libc::MADV_DONTNEED) };
        done == 0
    };
    if given_back {
        zero(start, first);
        zero(last, end);
    } else {
        // A page that is locked, perhaps.
        zero(start, end);
    }
}

/// What a call that only makes a system call needs of the stack below its caller's variables.
const LEAF: usize = 1 << 10;

/// Gives back the part of the stack that deeper calls used, of the first thread.
#[inline(never)] // as a part of its caller it could not tell where that one's variables end
pub fn give_stack_back() {
    // No call goes deeper than the first megabyte but for moments, and nothing else lies so near below the stack (the kernel
    // leaves a gap, mmap_base).
    const LENGTH: usize = 1 << 20;
    let here = 0_u8;
    let end = (&raw const here as usize - LEAF) & !(PAGE - 1);
    // SAFETY: below the frame of this call there is nothing that anybody uses. Where there is no stack yet, ENOMEM.
    unsafe { libc::madvise((end - LENGTH) as *mut _, LENGTH, libc::MADV_DONTNEED) };
}

/// A place on the stack, in the frame of a call.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl Mark {
    /// One in the frame of who calls this.
    #[inline(always)]
    #[must_use]
    pub fn here() -> Self {
        // That its address is known elsewhere keeps the frame in being for as long as what it calls.
        let here = 0_u8;
        Self(std::hint::black_box(&raw const here) as usize)
    }
}

/// Gives back the stack of all that called who made the mark.
///
/// # Safety
/// Who made the mark never returns; no more than 512 bytes of its frame lie above the mark, which the compiler must not make
/// larger by what is called from there (`inline(never)`, or a function that it does not know); it, and what it calls, use
/// nothing that lies in the frames of its own callers, and no argument or variable that the process was started with.
pub unsafe fn abandon_callers(mark: Mark) {
    unsafe extern "C" {
        static program_invocation_name: *const libc::c_char;
    }
    let start = (mark.0 + 512).next_multiple_of(PAGE);
    // SAFETY: the C library set it at start: the first argument, which lies above the whole stack.
    let end = unsafe { program_invocation_name } as usize & !(PAGE - 1);
    if let Some(length) = end.checked_sub(start) {
        // SAFETY: whole pages of the stack, which nobody uses any more.
        unsafe { libc::madvise(start as *mut _, length, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_given_back_comes_back() {
        let text = std::hint::black_box("as it was in the file");
        super::give_back();
        assert_eq!(text.len(), 21);
        assert!(text.starts_with("as it was") && text.ends_with("in the file"));
    }
}
