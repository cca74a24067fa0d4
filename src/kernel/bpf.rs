//! bpf(2): the program that a v2 control group asks about each use of a device (BPF_PROG_TYPE_CGROUP_DEVICE; kernel document
//! admin-guide/cgroup-v2, "Device controller").

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, check};

// linux/bpf.h
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Programs of groups above and below are asked as well, and each has to agree.
const ALLOW_MULTI: u32 = 2;

/// What BPF_PROG_LOAD takes; later fields are zero.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// What BPF_PROG_ATTACH takes.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> Result<libc::c_long> {
    // SAFETY: the structure is as long as is said, is only read, and outlives the call, as does what it points to.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    check(returned)
}

/// Gives a program to the kernel: its instructions, each as it lies in memory (`struct bpf_insn`).
///
/// # Errors
/// EPERM: without CAP_BPF and CAP_NET_ADMIN in the first user namespace. EINVAL, EACCES: the verifier does not take it.
/// ENOSYS: no bpf(2).
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd> {
    let mut name = [0_u8; 16];
    for (slot, letter) in name.iter_mut().zip(b"sandbox_devices") {
        *slot = *letter;
    }
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr() as u64,
        license: c"".as_ptr() as u64,
        name,
        ..Load::default()
    };
    let fd = bpf(PROG_LOAD, &load)?;
    #[allow(clippy::cast_possible_truncation)] // descriptors are ints
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
    Ok(fd)
}

/// Has a v2 group ask the program; it goes with the group.
///
/// # Errors
/// EPERM: without CAP_NET_ADMIN in the first user namespace, or a group above allows no more programs.
pub fn attach_device_program(program: &OwnedFd, group: BorrowedFd<'_>) -> Result<()> {
    let attach = Attach {
        target: group.as_raw_fd().unsigned_abs(),
        program: program.as_raw_fd().unsigned_abs(),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROG_ATTACH, &attach).map(drop)
}
