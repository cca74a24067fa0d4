//! Files that nobody but root can have written: opened component by component from the root, each checked through the
//! descriptor that is then used, so that nothing is looked up twice.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use crate::show::show;
use crate::system::{self, Status};

/// The largest rule file.
const LARGEST: u64 = 256 * 1024;
/// The largest file of accounts.
const LARGEST_ACCOUNTS: u64 = 64 << 20;
/// The most rule files.
const MOST: usize = 1024;

/// A path that was opened, or that is not there.
#[derive(Debug)]
pub enum Found {
    /// It is there, and root's alone.
    File(OwnedFd),
    /// It is not there.
    Missing,
}

fn wrong(path: &str, what: &str) -> String {
    format!("{} {what}", show(path))
}

/// Root's, and nobody else may write to it.
fn is_roots(status: &Status) -> Result<(), &'static str> {
    if status.uid != 0 {
        return Err("does not belong to root");
    }
    if status.mode & 0o022 != 0
        && !(status.mode & 0o020 != 0 && status.mode & 0o002 == 0 && status.gid == 0)
    {
        return Err("can be written to by others than root");
    }
    Ok(())
}

/// Opens an absolute path, of which every directory and the last component must be root's; no symbolic link is followed
/// but in directories that root alone can change, and of those only relative and absolute links of root's.
///
/// # Errors
/// What is wrong with which component.
pub fn open(path: &str, flags: libc::c_int) -> Result<Found, String> {
    // /bin and /sbin are links on most systems; what root links to is root's word.
    let mut left = 16;
    let mut current = path.to_owned();
    loop {
        match walk(&current, flags)? {
            Walked::Open(fd) => return Ok(Found::File(fd)),
            Walked::Missing => return Ok(Found::Missing),
            Walked::Link(target) => {
                left -= 1;
                if left == 0 {
                    return Err(wrong(path, "is a chain of too many symbolic links"));
                }
                current = target;
            }
        }
    }
}

enum Walked {
    Open(OwnedFd),
    Missing,
    /// The path to go on with.
    Link(String),
}

fn walk(path: &str, flags: libc::c_int) -> Result<Walked, String> {
    let io = |at: &str, error: &io::Error| wrong(at, &format!("cannot be opened: {error}"));
    let parts: Vec<&str> = path
        .strip_prefix('/')
        .ok_or_else(|| wrong(path, "is not an absolute path"))?
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let mut at = "/".to_owned();
    let mut directory = system::open_at(None, c"/", libc::O_PATH | libc::O_DIRECTORY)
        .map_err(|error| io(&at, &error))?;
    let check = |directory: &OwnedFd, at: &str| {
        let status = system::stat(directory.as_fd()).map_err(|error| io(at, &error))?;
        is_roots(&status).map_err(|what| wrong(at, what))
    };
    check(&directory, &at)?;
    for (number, part) in parts.iter().enumerate() {
        if *part == ".." {
            return Err(wrong(path, "contains `..`"));
        }
        let last = number + 1 == parts.len();
        let name = CString::new(*part).map_err(|_| wrong(path, "contains a NUL"))?;
        let next = if at == "/" {
            format!("/{part}")
        } else {
            format!("{at}/{part}")
        };
        let opened = match system::open_at(Some(directory.as_fd()), &name, libc::O_PATH) {
            Ok(opened) => opened,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Walked::Missing),
            Err(error) => return Err(io(&next, &error)),
        };
        let status = system::stat(opened.as_fd()).map_err(|error| io(&next, &error))?;
        if status.mode & libc::S_IFMT == libc::S_IFLNK {
            // The directory is root's alone, so that the link is too.
            let target = system::read_link(opened.as_fd()).map_err(|error| io(&next, &error))?;
            let target = String::from_utf8(target)
                .map_err(|_| wrong(&next, "is a link to a strange name"))?;
            let rest = parts.get(number + 1..).unwrap_or_default().join("/");
            let base = if target.starts_with('/') {
                target
            } else {
                normal(&format!("{at}/{target}"))
                    .ok_or_else(|| wrong(&next, "is a link out of the root"))?
            };
            return Ok(Walked::Link(if rest.is_empty() {
                base
            } else {
                format!("{base}/{rest}")
            }));
        }
        is_roots(&status).map_err(|what| wrong(&next, what))?;
        if last {
            let again = system::open_at(Some(directory.as_fd()), &name, flags)
                .map_err(|error| io(&next, &error))?;
            let second = system::stat(again.as_fd()).map_err(|error| io(&next, &error))?;
            // Root itself may have replaced it: what counts is what is used.
            is_roots(&second).map_err(|what| wrong(&next, what))?;
            return Ok(Walked::Open(again));
        }
        if !status.is_directory() {
            return Err(wrong(&next, "is not a directory"));
        }
        directory = opened;
        at = next;
    }
    Ok(Walked::Open(directory))
}

/// Without `..`, by its letters: the directories on the way are root's and no links.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The text of a file of root's.
///
/// # Errors
/// It is not root's alone, no regular file, too large, or not UTF-8.
pub fn text(path: &str) -> Result<String, String> {
    match open(path, libc::O_RDONLY)? {
        Found::File(file) => content(file, path, LARGEST_ACCOUNTS),
        Found::Missing => Err(wrong(path, "is missing")),
    }
}

fn content(file: OwnedFd, path: &str, largest: u64) -> Result<String, String> {
    let status = system::stat(file.as_fd()).map_err(|error| wrong(path, &error.to_string()))?;
    if !status.is_file() {
        return Err(wrong(path, "is no regular file"));
    }
    is_roots(&status).map_err(|what| wrong(path, what))?;
    if status.size > largest {
        return Err(wrong(path, "is too large"));
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(largest + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(path, &format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > largest {
        return Err(wrong(path, "is too large"));
    }
    String::from_utf8(bytes).map_err(|_| wrong(path, "is not UTF-8"))
}

/// The files of rules, their paths and texts, in the order of their names; none when the directory is missing.
///
/// Only `*.toml`, and none that begin with a dot: what editors and package managers leave beside is no rule.
///
/// # Errors
/// One of them, or a directory on the way, is not root's alone: then none may be used.
pub fn rules(directory: &str) -> Result<Vec<(String, String)>, String> {
    let opened = match open(directory, libc::O_RDONLY | libc::O_DIRECTORY)? {
        Found::File(opened) => opened,
        Found::Missing => return Ok(Vec::new()),
    };
    let again = opened
        .try_clone()
        .map_err(|error| wrong(directory, &error.to_string()))?;
    let mut names: Vec<Vec<u8>> = system::names(again)
        .map_err(|error| wrong(directory, &format!("cannot be listed: {error}")))?
        .into_iter()
        .filter(|name| name.ends_with(b".toml") && !name.starts_with(b"."))
        .collect();
    names.sort_unstable();
    if names.len() > MOST {
        return Err(wrong(directory, "has too many files"));
    }
    names
        .into_iter()
        .map(|name| {
            let shown = format!("{directory}/{}", String::from_utf8_lossy(&name));
            let name = CString::new(name).map_err(|_| wrong(&shown, "contains a NUL"))?;
            let file = system::open_at(Some(opened.as_fd()), &name, libc::O_RDONLY)
                .map_err(|error| wrong(&shown, &format!("cannot be opened: {error}")))?;
            let status =
                system::stat(file.as_fd()).map_err(|error| wrong(&shown, &error.to_string()))?;
            if status.links != 1 {
                return Err(wrong(&shown, "has a second name (a hard link)"));
            }
            let text = content(file, &shown, LARGEST)?;
            Ok((shown, text))
        })
        .collect()
}

/// A program of a rule: a regular file that may be executed, root's alone, and no script, whose interpreter would open it
/// again by its name.
///
/// # Errors
/// What is wrong with it.
pub fn program(path: &str) -> Result<Found, String> {
    let opened = match open(path, libc::O_RDONLY)? {
        Found::File(opened) => opened,
        Found::Missing => return Ok(Found::Missing),
    };
    let status = system::stat(opened.as_fd()).map_err(|error| wrong(path, &error.to_string()))?;
    if !status.is_file() || status.mode & 0o111 == 0 {
        return Err(wrong(path, "is no program"));
    }
    let mut start = [0; 2];
    let file = File::from(opened);
    let read = (&file)
        .read(&mut start)
        .map_err(|error| wrong(path, &format!("cannot be read: {error}")))?;
    if read == 2 && start == *b"#!" {
        return Err(wrong(
            path,
            "is a script: name its interpreter as `program`, and the script in `arguments`",
        ));
    }
    Ok(Found::File(file.into()))
}
