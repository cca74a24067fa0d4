//! What the launcher sets for the child from outside, while it waits.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::kernel::{Errno, at};
use crate::plan::step::IdRange;

use super::failure::LaunchError;
use super::prepared::Prepared;

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Makes the directories that are the caller's own, with mode 0700, where they are missing.
pub(super) fn make_own_directories(prepared: &Prepared) -> Result<(), LaunchError> {
    for (step, path) in &prepared.own_directories {
        let step = *step as usize;
        let found = make_directory(path)
            .and_then(|()| std::fs::symlink_metadata(path))
            .map_err(|error| LaunchError::at_step(step, errno(&error)))?;
        if !found.is_dir() {
            return Err(LaunchError::at_step(step, Errno::ENOTDIR));
        }
        // A directory that another user put there would be his to fill.
        if found.uid() != nix::unistd::geteuid().as_raw() {
            let whose = format!("it belongs to the user {}, and is not used", found.uid());
            return Err(LaunchError::at_step(step, Errno::EPERM).detail(whose));
        }
    }
    Ok(())
}

/// Root may have been given another user's HOME, in which links lead where that user may not write: none is followed.
fn make_directory(path: &Path) -> std::io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return DirBuilder::new().recursive(true).mode(0o700).create(path);
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    at::open(at::working_directory(), c"/", flags, 0)
        .and_then(|root| at::make_directories(root.as_fd(), &path, 0o700))
        .map(drop)
        .map_err(|errno| std::io::Error::from_raw_os_error(errno as i32))
}

pub(super) fn write_file(pid: libc::pid_t, name: &str, text: &str) -> Result<(), Errno> {
    OpenOptions::new()
        .write(true)
        .open(format!("/proc/{pid}/{name}"))
        // One write: the kernel takes a map as a whole.
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| errno(&error))
}

fn map_text(ranges: &[IdRange]) -> String {
    let mut text = String::new();
    for range in ranges {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.length);
    }
    text
}

/// Writes the id maps, unless that has been done by who made the child.
pub(super) fn map_ids_of_own(prepared: &Prepared, pid: libc::pid_t) -> Result<(), LaunchError> {
    match prepared.share.is_empty() {
        true => map_ids(prepared, pid),
        false => Ok(()),
    }
}

/// Writes the id maps of the child's user namespace (user_namespaces(7)).
pub(super) fn map_ids(prepared: &Prepared, pid: libc::pid_t) -> Result<(), LaunchError> {
    let Some((step, maps)) = &prepared.maps else {
        return Ok(());
    };
    let step = *step as usize;
    if let Some((newuidmap, newgidmap)) = &maps.helpers {
        run_helper(newuidmap, pid, &maps.uids)
            .map_err(|why| LaunchError::at_step(step, Errno::EPERM).detail(why))?;
        return run_helper(newgidmap, pid, &maps.gids)
            .map_err(|why| LaunchError::at_step(step, Errno::EPERM).detail(why));
    }
    let failed = |errno| LaunchError::at_step(step, errno);
    // Ids outside are those of the writer's user namespace, in which the caller may have others.
    let (uid, gid) = (
        nix::unistd::getuid().as_raw(),
        nix::unistd::getgid().as_raw(),
    );
    let enters = prepared
        .share
        .iter()
        .any(|(_, shared)| shared.user.is_some());
    let seen = |ranges: &[IdRange], own: u32| -> Vec<IdRange> {
        let own = |range: &IdRange| match enters {
            true => IdRange {
                outside: own,
                ..*range
            },
            false => *range,
        };
        ranges.iter().map(own).collect()
    };
    if maps.deny_setgroups {
        write_file(pid, "setgroups", "deny").map_err(failed)?;
    }
    write_file(pid, "gid_map", &map_text(&seen(&maps.gids, gid))).map_err(failed)?;
    write_file(pid, "uid_map", &map_text(&seen(&maps.uids, uid))).map_err(failed)
}

/// newuidmap(1) or newgidmap(1): set-user-ID programs that check /etc/subuid and /etc/subgid.
pub(super) fn run_helper(
    helper: &Path,
    pid: libc::pid_t,
    ranges: &[IdRange],
) -> Result<(), String> {
    let mut command = Command::new(helper);
    command
        .arg(pid.to_string())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for range in ranges {
        command.args([range.inside, range.outside, range.length].map(|number| number.to_string()));
    }
    let name = helper.display();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{name} said: {}",
            crate::report::escape::line(String::from_utf8_lossy(&output.stderr).trim())
        )),
        Err(error) => Err(format!("{name} could not be run: {error}")),
    }
}
