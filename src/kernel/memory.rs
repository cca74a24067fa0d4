//! Memory of this process that it does not need any more, given back while it stays beside a program.

use super::heap;

/// The largest page that a kernel for this processor may have.
pub(super) const PAGE: usize = if cfg!(target_arch = "x86_64") {
    4 << 10
} else {
    64 << 10
};

/// Gives back memory that is not in use: what the heap has free, the stack that this call does not need, and the pages of the program's file
/// that nobody writes to, of which those that are used again are mapped again from the page cache (madvise(2),
/// MADV_DONTNEED).
pub fn give_back() {
    heap::give_back();
    give_stack_back();
    #[cfg(target_env = "gnu")]
    // SAFETY: only what is free is given back.
    unsafe {
        libc::malloc_trim(0)
    };
    give_file_back();
}

/// Gives back the pages of the program's file, of which those that are used again are mapped again.
pub fn give_file_back() {
    unsafe extern "C" fn each(
        object: *mut libc::dl_phdr_info,
        _size: usize,
        _data: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the C library passes a valid description, and nothing changes it meanwhile.
        let object = unsafe { &*object };
        // SAFETY: the headers of a loaded object stay where they are; so many does it have.
        let headers =
            unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
        for header in headers {
            if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
                continue;
            }
            let start = object.dlpi_addr as usize + header.p_vaddr as usize;
            let end = start + header.p_memsz as usize;
            let start = start & !(PAGE - 1);
            // SAFETY: a mapping of a file that can only be read: what is dropped comes back as it was.
            unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_DONTNEED) };
        }
        0
    }
    // SAFETY: the function keeps to what dl_iterate_phdr(3) demands, and no data is passed.
    unsafe { libc::dl_iterate_phdr(Some(each), std::ptr::null_mut()) };
}

/// Gives back the part of the stack that deeper calls used, of the first thread.
pub fn give_stack_back() {
    // No call goes deeper than the first megabyte but for moments, and nothing else lies so near below the stack (the kernel
    // leaves a gap, mmap_base).
    const LENGTH: usize = 1 << 20;
    let here = 0_u8;
    // What is left of this page, and one more, are this call's own.
    let end = (&raw const here as usize - PAGE) & !(PAGE - 1);
    // SAFETY: below the frame of this call there is nothing that anybody uses. Where there is no stack yet, ENOMEM.
    unsafe { libc::madvise((end - LENGTH) as *mut _, LENGTH, libc::MADV_DONTNEED) };
}

/// Gives back the stack of all that called what calls this, but for the two pages that are nearest.
///
/// # Safety
/// The caller, or one that called it and whose frame and all below it are smaller than a page together, never returns; uses
/// nothing that lies in the frames of its own callers, and no argument or variable that the process was started with.
pub unsafe fn abandon_callers() {
    unsafe extern "C" {
        static program_invocation_name: *const libc::c_char;
    }
    let here = 0_u8;
    let start = (&raw const here as usize + 3 * PAGE) & !(PAGE - 1);
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
