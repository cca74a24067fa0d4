//! The file of the program that is running right now, out of the reach of what it starts.
//!
//! A program that is started instead of the launcher's own image may be a link or a script that leads to `/proc/self/exe`:
//! then the launcher itself is run once more, inside, as a process that the sandbox's programs may look at. By
//! `/proc/PID/exe` they have its file in their hands as it lies outside, whatever their view shows, and who owns that file
//! can write to it as soon as nobody runs it any more (CVE-2019-5736 against runc). So whoever owns it runs it from
//! somewhere else: root from a mount of its own that cannot be written, others from a sealed copy in memory.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::failure::LaunchError;
use crate::kernel::{Errno, mount, process};

/// Where the file of the own program is found.
const OWN: &str = "/proc/self/exe";
/// Somebody may execute it (linux/memfd.h); kernels before 6.3 do not know it, and need not be told.
const MAY_BE_EXECUTED: MFdFlags = MFdFlags::from_bits_retain(0x10);
const SEALS: SealFlag = SealFlag::F_SEAL_WRITE
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_SEAL);

/// Goes on only as a program whose file nothing that it starts can write to; runs it once more if need be, from the start,
/// so that nothing may have been changed before.
///
/// # Errors
/// Neither a mount nor a copy can be had.
pub fn keep_out_of_reach() -> Result<(), LaunchError> {
    let doing = "keeping the file of the own program from the sandbox";
    // Who may not read it does not own it.
    let Ok(own) = File::open(OWN) else {
        return Ok(());
    };
    let refused = |errno| LaunchError::doing(doing, errno);
    let found = own.metadata().map_err(|_| refused(Errno::EIO))?;
    let caller = nix::unistd::geteuid().as_raw();
    let writable = nix::unistd::access(OWN, nix::unistd::AccessFlags::W_OK).is_ok();
    if found.uid() != caller && !writable {
        return Ok(());
    }
    if is_sealed(&own) || mount::is_read_only(own.as_fd()) == Ok(true) {
        name();
        return Ok(());
    }
    let away = match read_only(&own) {
        Ok(mount) => mount,
        Err(_) => copy(&own, found.permissions().mode()).map_err(|errno| {
            let mut error = refused(errno);
            error.help.push(
                "install the programs where they are not your own to write to, such as in /usr/local/bin"
                    .to_owned(),
            );
            error
        })?,
    };
    Err(refused(run(&away)))
}

fn is_sealed(file: &File) -> bool {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    seals.is_ok_and(|seals| seals.contains(SealFlag::F_SEAL_WRITE))
}

/// The same file by a mount that nothing is written through. It is in no namespace: nobody can change it.
fn read_only(own: &File) -> Result<OwnedFd, Errno> {
    let tree = mount::clone_tree(own.as_fd())?;
    mount::set_attributes(tree.as_fd(), mount::attribute::RDONLY, false)?;
    Ok(tree)
}

fn copy(own: &File, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let made = match memfd_create(c"sandbox", flags | MAY_BE_EXECUTED) {
        Err(Errno::EINVAL) => memfd_create(c"sandbox", flags)?,
        other => other?,
    };
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let mut into = File::from(made);
    let mut from = own;
    std::io::copy(&mut from, &mut into).map_err(errno)?;
    let permissions = std::fs::Permissions::from_mode(mode & 0o555);
    into.set_permissions(permissions).map_err(errno)?;
    fcntl(&into, FcntlArg::F_ADD_SEALS(SEALS))?;
    // To be executed it must not be open for writing anywhere.
    let path = format!("/proc/self/fd/{}", into.as_raw_fd());
    File::open(path).map(OwnedFd::from).map_err(errno)
}

/// Runs this file with the own arguments and environment. Returns only if that fails.
fn run(file: &OwnedFd) -> Errno {
    let strings = |all: Vec<OsString>| -> Vec<CString> {
        // They came as C strings.
        all.into_iter()
            .filter_map(|text| CString::new(text.into_vec()).ok())
            .collect()
    };
    let variables = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let arguments = strings(std::env::args_os().collect());
    let environment = strings(variables.collect());
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let all = strings.iter().map(|text| text.as_ptr());
        all.chain(std::iter::once(std::ptr::null())).collect()
    };
    let Ok(path) = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())) else {
        return Errno::EINVAL;
    };
    process::execute(&path, &pointers(&arguments), &pointers(&environment))
}

/// Who was run by a descriptor is called by its number.
fn name() {
    let called = std::env::args_os().next().unwrap_or_default();
    let file = std::path::Path::new(&called)
        .file_name()
        .unwrap_or_default();
    if let Ok(file) = CString::new(file.as_encoded_bytes()) {
        process::set_name(&file);
    }
}
