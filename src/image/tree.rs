//! A tree that is being unpacked: every change is made by descriptors, from the root of the tree downwards, and no
//! symbolic link is ever followed.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, mkfifoat, unlinkat};

use super::Ids;
use super::tape::Member;
use crate::kernel::{Errno, at};

/// Set-user-id and set-group-id: nothing unpacked has them.
const SET_IDS: u32 = 0o6000;

/// A tree being made.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    ids: Ids,
    /// Paths that the current layer has made, with their parents: its whiteouts are not about them.
    fresh: HashSet<Vec<u8>>,
    /// Times of directories, which change while they are filled.
    times: Vec<(Vec<u8>, i64)>,
    /// Set-id bits that were taken away.
    pub set_ids: u64,
    /// Extended attributes that were left out.
    pub attributes: u64,
}

/// A path as C has it. Names with a NUL never come this far.
fn c_path(names: &[&[u8]]) -> Result<CString, Errno> {
    CString::new(names.join(&b'/')).map_err(|_| Errno::EINVAL)
}

impl Tree {
    /// A tree in an empty directory.
    pub fn new(root: OwnedFd, ids: Ids) -> Self {
        Self {
            root,
            ids,
            fresh: HashSet::new(),
            times: Vec::new(),
            set_ids: 0,
            attributes: 0,
        }
    }

    /// What follows is the next layer.
    pub fn next_layer(&mut self) {
        self.fresh.clear();
    }

    fn remember(&mut self, names: &[&[u8]]) {
        for length in (1..=names.len()).rev() {
            let path = names.get(..length).unwrap_or_default().join(&b'/');
            if !self.fresh.insert(path) {
                // Its parents are there too.
                return;
            }
        }
    }

    /// A directory of the tree.
    ///
    /// # Errors
    /// ELOOP, ENOTDIR: a name on the way is no directory.
    pub fn open(&self, names: &[&[u8]]) -> Result<OwnedFd, Errno> {
        if names.is_empty() {
            return at::open(self.root.as_fd(), c".", libc::O_PATH | libc::O_DIRECTORY, 0);
        }
        let place = at::resolve(self.root.as_fd(), &c_path(names)?)?;
        if at::mode(place.as_fd())? & libc::S_IFMT == libc::S_IFDIR {
            Ok(place)
        } else {
            Err(Errno::ENOTDIR)
        }
    }

    /// The directory in which a member lies; made when the archive does not have it.
    fn parent(&mut self, names: &[&[u8]]) -> Result<OwnedFd, Errno> {
        match self.open(names) {
            Err(Errno::ENOENT) => {
                at::make_directories(self.root.as_fd(), &c_path(names)?, 0o755)?;
                self.open(names)
            }
            other => other,
        }
    }

    /// Whether something has that name, and whether it is a directory.
    fn found(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<bool>, Errno> {
        match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found.st_mode & libc::S_IFMT == libc::S_IFDIR)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes room for a member, and opens the directory that it belongs to. A later member or layer replaces what an
    /// earlier one has made.
    fn room<'n>(
        &mut self,
        names: &[&'n [u8]],
        directory: bool,
    ) -> Result<(OwnedFd, &'n OsStr, bool), Errno> {
        let (name, parents) = names.split_last().ok_or(Errno::EISDIR)?;
        let parent = self.parent(parents)?;
        let name = OsStr::from_bytes(name);
        let there = match Self::found(parent.as_fd(), name)? {
            Some(true) if directory => true,
            Some(is_directory) => {
                remove(parent.as_fd(), name, is_directory)?;
                false
            }
            None => false,
        };
        self.remember(names);
        Ok((parent, name, there))
    }

    /// A directory. Its owner can always look into it and remove it.
    pub fn directory(&mut self, names: &[&[u8]], member: &Member) -> Result<(), Errno> {
        let handle = if names.is_empty() {
            self.open(names)?
        } else {
            let (parent, name, there) = self.room(names, true)?;
            let c_name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
            if !there {
                at::make_directory(parent.as_fd(), &c_name, 0o700)?;
            }
            at::open(
                parent.as_fd(),
                &c_name,
                libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW,
                0,
            )?
        };
        self.own(handle.as_fd(), c".", member)?;
        let open = at::open(handle.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        self.mark(open.as_fd(), member)?;
        let bits = self.bits(member, 0o700);
        nix::sys::stat::fchmod(&open, Mode::from_bits_truncate(bits))?;
        self.times.push((names.join(&b'/'), member.modified));
        Ok(())
    }

    /// A regular file with these contents.
    ///
    /// # Errors
    /// What reading or writing says.
    pub fn file(
        &mut self,
        names: &[&[u8]],
        member: &Member,
        contents: &mut impl Read,
    ) -> io::Result<()> {
        let (parent, name, _) = self.room(names, false)?;
        let name = CString::new(name.as_bytes())?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let mut file = File::from(at::open(parent.as_fd(), &name, flags, 0o600)?);
        io::copy(contents, &mut file)?;
        self.own(parent.as_fd(), &name, member)?;
        self.mark(file.as_fd(), member)?;
        // Its owner can always read it: a copy is made when it is changed inside.
        let bits = self.bits(member, 0o400);
        nix::sys::stat::fchmod(&file, Mode::from_bits_truncate(bits))?;
        let time = TimeSpec::new(member.modified, 0);
        nix::sys::stat::futimens(&file, &time, &time)?;
        Ok(())
    }

    /// A symbolic link. What it says counts inside only.
    pub fn symlink(&mut self, names: &[&[u8]], member: &Member) -> Result<(), Errno> {
        let (parent, name, _) = self.room(names, false)?;
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
        let target = CString::new(member.target.as_slice()).map_err(|_| Errno::EINVAL)?;
        at::make_link(&target, parent.as_fd(), &name)?;
        self.own(parent.as_fd(), &name, member)?;
        let time = TimeSpec::new(member.modified, 0);
        let flag = UtimensatFlags::NoFollowSymlink;
        utimensat(&parent, name.as_c_str(), &time, &time, flag)
    }

    /// Another name of what is in the tree already.
    ///
    /// # Errors
    /// ENOENT: it is not there. EISDIR: it is a directory.
    pub fn hard_link(&mut self, names: &[&[u8]], target: &[&[u8]]) -> Result<(), Errno> {
        if names == target {
            return Err(Errno::EINVAL);
        }
        let (target_name, target_parents) = target.split_last().ok_or(Errno::EISDIR)?;
        let source = self.open(target_parents)?;
        let target_name = OsStr::from_bytes(target_name);
        match Self::found(source.as_fd(), target_name)? {
            None => return Err(Errno::ENOENT),
            Some(true) => return Err(Errno::EISDIR),
            Some(false) => {}
        }
        let (parent, name, _) = self.room(names, false)?;
        linkat(&source, target_name, &parent, name, AtFlags::empty())
    }

    /// A named pipe.
    pub fn fifo(&mut self, names: &[&[u8]], member: &Member) -> Result<(), Errno> {
        let (parent, name, _) = self.room(names, false)?;
        mkfifoat(&parent, name, Mode::from_bits_truncate(0o600))?;
        let c_name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
        self.own(parent.as_fd(), &c_name, member)?;
        let bits = Mode::from_bits_truncate(self.bits(member, 0));
        // Nobody but this process changes the tree: what was made just now is no link.
        fchmodat(&parent, name, bits, FchmodatFlags::FollowSymlink)
    }

    /// Takes away what lower layers have at this name.
    pub fn whiteout(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<(), Errno> {
        let path: Vec<&[u8]> = parents.iter().copied().chain([name]).collect();
        if self.fresh.contains(&path.join(&b'/')) {
            return Ok(());
        }
        let parent = match self.open(parents) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        let name = OsStr::from_bytes(name);
        match Self::found(parent.as_fd(), name)? {
            None => Ok(()),
            Some(directory) => remove(parent.as_fd(), name, directory),
        }
    }

    /// Takes away all that lower layers have in this directory.
    pub fn opaque(&mut self, names: &[&[u8]]) -> Result<(), Errno> {
        let directory = self.parent(names)?;
        self.remember(names);
        for name in children(directory.as_fd())? {
            let path: Vec<&[u8]> = names.iter().copied().chain([name.as_slice()]).collect();
            let own = self.fresh.contains(&path.join(&b'/'));
            let os_name = OsStr::from_bytes(&name);
            match (own, Self::found(directory.as_fd(), os_name)?) {
                (_, None) | (true, Some(false)) => {}
                (true, Some(true)) => self.opaque(&path)?,
                (false, Some(kind)) => remove(directory.as_fd(), os_name, kind)?,
            }
        }
        Ok(())
    }

    /// Makes a directory that every root needs, if nothing has its name.
    pub fn supply(&mut self, name: &[u8], mode: u32) -> Result<(), Errno> {
        let c_name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        match at::make_directory(self.root.as_fd(), &c_name, 0o700) {
            Ok(()) => {
                let bits = Mode::from_bits_truncate(mode);
                fchmodat(
                    &self.root,
                    c_name.as_c_str(),
                    bits,
                    FchmodatFlags::FollowSymlink,
                )
            }
            Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The beginning of a file of the tree; none when it is none.
    pub fn small_file(&self, path: &[&[u8]], most: u64) -> Option<Vec<u8>> {
        let place = at::resolve(self.root.as_fd(), &c_path(path).ok()?).ok()?;
        if at::mode(place.as_fd()).ok()? & libc::S_IFMT != libc::S_IFREG {
            return None;
        }
        let (name, parents) = path.split_last()?;
        let parent = self.open(parents).ok()?;
        let name = CString::new(*name).ok()?;
        let file = at::open(parent.as_fd(), &name, libc::O_RDONLY | libc::O_NOFOLLOW, 0).ok()?;
        let mut text = Vec::new();
        File::from(file).take(most).read_to_end(&mut text).ok()?;
        Some(text)
    }

    /// Gives directories their times, and has everything written to the disk.
    ///
    /// # Errors
    /// What syncfs(2) says: without it a crash could leave a tree that looks complete.
    pub fn finish(self) -> Result<Self, Errno> {
        for (path, time) in self.times.iter().rev() {
            let names: Vec<&[u8]> = path
                .split(|&byte| byte == b'/')
                .filter(|name| !name.is_empty())
                .collect();
            // A later layer may have taken it away.
            if let Ok(directory) = self.open(&names) {
                let time = TimeSpec::new(*time, 0);
                let flag = UtimensatFlags::NoFollowSymlink;
                utimensat(&directory, ".", &time, &time, flag)?;
            }
        }
        let root = at::open(
            self.root.as_fd(),
            c".",
            libc::O_RDONLY | libc::O_DIRECTORY,
            0,
        )?;
        nix::unistd::syncfs(&root)?;
        Ok(self)
    }

    /// Mode bits without what gives another's power away, with what the owner needs here.
    fn bits(&mut self, member: &Member, needed: u32) -> u32 {
        if member.mode & SET_IDS != 0 {
            self.set_ids += 1;
        }
        let needed = if self.ids == Ids::Own { needed } else { 0 };
        (member.mode & !SET_IDS) | needed
    }

    fn own(
        &self,
        directory: BorrowedFd<'_>,
        name: &std::ffi::CStr,
        member: &Member,
    ) -> Result<(), Errno> {
        if self.ids == Ids::Own {
            return Ok(());
        }
        let id = |number: u64| match u32::try_from(number) {
            Ok(number) if number != u32::MAX => Ok(number),
            _ => Err(Errno::EOVERFLOW),
        };
        let (uid, gid) = (
            Uid::from_raw(id(member.uid)?),
            Gid::from_raw(id(member.gid)?),
        );
        fchownat(
            directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
    }

    /// Sets the extended attributes that are let through: `user.` ones, but for those by which overlays are made.
    fn mark(&mut self, file: BorrowedFd<'_>, member: &Member) -> Result<(), Errno> {
        for (name, value) in &member.attributes {
            let allowed = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
            let set = match CString::new(name.as_slice()) {
                Ok(name) if allowed => at::set_attribute(file, &name, value),
                _ => Err(Errno::ENOTSUP),
            };
            match set {
                Ok(()) => {}
                Err(Errno::ENOTSUP) => self.attributes += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The names in a directory.
fn children(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    at::names(at::open_names(directory)?.as_fd(), |name| {
        names.push(name.to_vec());
        true
    })?;
    Ok(names)
}

/// Removes a file, or a directory with all in it. The depth of a tree is bounded when it is made.
fn remove(parent: BorrowedFd<'_>, name: &OsStr, directory: bool) -> Result<(), Errno> {
    if !directory {
        return unlinkat(parent, name, UnlinkatFlags::NoRemoveDir);
    }
    let c_name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let open = at::open(parent, &c_name, flags, 0)?;
    for child in children(open.as_fd())? {
        let child = OsStr::from_bytes(&child);
        let found = fstatat(&open, child, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_directory =
            SFlag::from_bits_truncate(found.st_mode & libc::S_IFMT) == SFlag::S_IFDIR;
        remove(open.as_fd(), child, is_directory)?;
    }
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}
