//! What the launcher sets for the child from outside, while it waits.

use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::kernel::{Errno, at};
use crate::plan::step::IdRange;
use crate::profile::value::Create;

use super::failure::LaunchError;
use super::prepare::c_string;
use super::prepared::Prepared;

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Makes the directories that are the caller's own, with mode 0700, where they are missing.
pub(super) fn make_own_directories(prepared: &Prepared) -> Result<(), LaunchError> {
    if prepared.own_directories.is_empty() {
        return Ok(());
    }
    let own = nix::unistd::geteuid();
    for (step, path) in &prepared.own_directories {
        let step = *step as usize;
        let found = make_directory(path, own)
            .and_then(|()| std::fs::symlink_metadata(path))
            .map_err(|error| LaunchError::at_step(step, errno(&error)))?;
        if !found.is_dir() {
            return Err(LaunchError::at_step(step, Errno::ENOTDIR));
        }
        // A directory that another user put there would be his to fill.
        if found.uid() != own.as_raw() {
            let whose = format!("it belongs to the user {}, and is not used", found.uid());
            return Err(LaunchError::at_step(step, Errno::EPERM).detail(whose));
        }
    }
    Ok(())
}

/// Makes what rules want to be there before it is shown.
pub(super) fn create(prepared: &Prepared) -> Result<(), LaunchError> {
    for (step, path, what) in &prepared.created {
        create_one(path, *what).map_err(|(errno, why)| {
            let error = LaunchError::at_step(*step as usize, errno);
            match why.is_empty() {
                true => error,
                false => error.detail(why),
            }
        })?;
    }
    Ok(())
}

/// Goes down by descriptors, through no link, and makes nothing in a directory that is another user's to fill.
fn create_one(path: &Path, what: Create) -> Result<(), (Errno, String)> {
    let plain = |errno| (errno, String::new());
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let mut names: Vec<&OsStr> = path.iter().skip(1).collect();
    let last = names.pop().ok_or(plain(Errno::EINVAL))?;
    let mut here =
        at::open(at::working_directory(), c"/", flags | libc::O_DIRECTORY, 0).map_err(plain)?;
    for name in names {
        let name = c_string(name).map_err(plain)?;
        here = match at::open(here.as_fd(), &name, flags | libc::O_DIRECTORY, 0) {
            Err(Errno::ENOENT) => {
                is_trusted(&here)?;
                match at::make_directory(here.as_fd(), &name, 0o700) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(plain(errno)),
                }
                at::open(here.as_fd(), &name, flags | libc::O_DIRECTORY, 0)
            }
            other => other,
        }
        .map_err(plain)?;
    }
    let name = c_string(last).map_err(plain)?;
    if at::open(here.as_fd(), &name, flags, 0).is_err() {
        is_trusted(&here)?;
        let made = match what {
            Create::Directory => at::make_directory(here.as_fd(), &name, 0o700),
            Create::File => at::make_file(here.as_fd(), &name, 0o600),
        };
        match made {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(plain(errno)),
        }
    }
    let found = at::open(here.as_fd(), &name, flags, 0).map_err(plain)?;
    let kind = at::mode(found.as_fd()).map_err(plain)? & libc::S_IFMT;
    match (what, kind) {
        (Create::Directory, libc::S_IFDIR) | (Create::File, libc::S_IFREG) => Ok(()),
        (Create::Directory, _) => Err((Errno::ENOTDIR, "something else is there by now".into())),
        (Create::File, _) => Err((Errno::EEXIST, "something else is there by now".into())),
    }
}

fn is_trusted(directory: &OwnedFd) -> Result<(), (Errno, String)> {
    let owner = at::owner(directory.as_fd()).map_err(|errno| (errno, String::new()))?;
    if owner == 0 || owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    let why = format!("the directory that it would be made in belongs to the user {owner}");
    Err((Errno::EPERM, why))
}

/// Root may have been given another user's HOME, in which links lead where that user may not write: none is followed.
fn make_directory(path: &Path, own: Uid) -> std::io::Result<()> {
    if !own.is_root() {
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
