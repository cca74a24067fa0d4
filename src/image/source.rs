//! What a path holds, told by its contents: a root file system's archive, a `docker save` archive, or an OCI layout.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use super::manifest::{self, Descriptor, DockerImage, Index};
use super::member::components;
use super::stream::{Budget, Compression, Stream, compression};
use super::tape::{Kind, Tape};
use super::{Limits, Result};
use crate::kernel::{Errno, at};
use crate::report::Diagnostic;

/// No archive of an image has more members.
const MOST_MEMBERS: usize = 100_000;
/// Links within an archive that lead to links.
const MOST_LINKS: usize = 8;

/// What was found.
pub enum Source {
    /// One archive that is the root file system itself.
    Tar(File),
    /// What `docker save` writes.
    Docker(Blobs, Vec<DockerImage>),
    /// An image layout (OCI image specification).
    Oci(Blobs, Index),
}

/// Where an image's parts are.
pub enum Blobs {
    /// Files below a directory.
    Directory(OwnedFd),
    /// Members of an archive that is not compressed.
    Archive(Rc<File>, BTreeMap<Vec<u8>, Slot>),
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Where its contents are.
    Data {
        /// First byte.
        offset: u64,
        /// How many.
        size: u64,
    },
    /// It is another name of this one.
    Link(Vec<u8>),
}

/// A part of a file, read without moving its place.
pub struct Part {
    file: Rc<File>,
    offset: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self
            .file
            .read_at(into.get_mut(..length).unwrap_or_default(), self.offset)?;
        self.offset += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// A regular file, not waited for.
fn regular(
    directory: std::os::fd::BorrowedFd<'_>,
    name: &std::ffi::CStr,
    follow: bool,
) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | if follow { 0 } else { libc::O_NOFOLLOW };
    let file = File::from(at::open(directory, name, flags, 0)?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(invalid("it is no regular file"))
    }
}

impl Blobs {
    /// A part by its path in the image.
    ///
    /// # Errors
    /// It is not there, or leads out of the image.
    pub fn open(&self, path: &str) -> io::Result<Box<dyn Read>> {
        let names =
            components(path.as_bytes(), 16).map_err(|why| invalid(format!("`{path}` {why}")))?;
        match self {
            Self::Directory(root) => {
                let Some((name, parents)) = names.split_last() else {
                    return Err(invalid("the directory itself is named"));
                };
                let parents = CString::new(parents.join(&b'/'))?;
                let parent = match parents.is_empty() {
                    true => at::open(root.as_fd(), c".", libc::O_PATH | libc::O_DIRECTORY, 0)?,
                    false => at::resolve(root.as_fd(), &parents)?,
                };
                let file = regular(parent.as_fd(), &CString::new(*name)?, false);
                Ok(Box::new(file.map_err(|error| {
                    io::Error::new(error.kind(), format!("`{path}`: {error}"))
                })?))
            }
            Self::Archive(file, members) => {
                let mut at = names.join(&b'/');
                for _ in 0..MOST_LINKS {
                    match members.get(&at) {
                        None => return Err(invalid(format!("`{path}` is missing"))),
                        Some(Slot::Data { offset, size }) => {
                            return Ok(Box::new(Part {
                                file: Rc::clone(file),
                                offset: *offset,
                                left: *size,
                            }));
                        }
                        Some(Slot::Link(target)) => at.clone_from(target),
                    }
                }
                Err(invalid(format!("`{path}` is a link to links")))
            }
        }
    }

    /// A part that is a short text.
    ///
    /// # Errors
    /// As [`Blobs::open`]; it is too long.
    pub fn text(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.open(path)?
            .take(manifest::LONGEST + 1)
            .read_to_end(&mut text)?;
        if text.len() as u64 > manifest::LONGEST {
            return Err(invalid(format!("`{path}` is longer than 4M")));
        }
        Ok(text)
    }

    /// A blob's text, checked against the digest that names it.
    ///
    /// # Errors
    /// As [`Blobs::text`]; the digest is another one.
    pub fn blob(&self, descriptor: &Descriptor) -> io::Result<Vec<u8>> {
        let text = self.text(&blob_path(&descriptor.digest)?)?;
        check(&text, &descriptor.digest)?;
        Ok(text)
    }
}

/// Where a blob lies in a layout.
///
/// # Errors
/// It is no digest of the one kind that is read.
pub fn blob_path(digest: &str) -> io::Result<String> {
    if super::stream::is_digest(digest) {
        Ok(digest.replacen("sha256:", "blobs/sha256/", 1))
    } else {
        Err(invalid(format!("`{digest}` is no sha256 digest")))
    }
}

/// Compares a text with the digest that it should have.
///
/// # Errors
/// It has another one.
pub fn check(text: &[u8], digest: &str) -> io::Result<()> {
    use sha2::{Digest, Sha256};
    let found = super::stream::name_digest(Sha256::new_with_prefix(text));
    if found == digest {
        Ok(())
    } else {
        Err(invalid(format!(
            "its digest is {found} and should be {digest}: it is damaged"
        )))
    }
}

/// Whether a directory is an OCI layout.
#[must_use]
pub fn is_layout(path: &Path) -> bool {
    ["oci-layout", "index.json"]
        .iter()
        .all(|name| path.join(name).is_file())
}

/// A name that only images have at their top.
fn is_of_an_image(name: &[u8]) -> bool {
    let hex = |text: &[u8]| text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit);
    let stem = name
        .strip_suffix(b".json")
        .or_else(|| name.strip_suffix(b".tar"))
        .unwrap_or(name);
    matches!(
        name,
        b"blobs" | b"manifest.json" | b"index.json" | b"oci-layout" | b"repositories"
    ) || hex(stem)
}

/// The members of an image's archive; none when it is something else, which is known at the first other name.
///
/// # Errors
/// The archive is damaged, or no archive.
pub fn members(reader: impl Read) -> io::Result<Option<BTreeMap<Vec<u8>, Slot>>> {
    let mut tape = Tape::new(reader);
    let mut found = BTreeMap::new();
    while let Some(member) = tape.next_member()? {
        let Ok(names) = components(&member.path, 16) else {
            return Ok(None);
        };
        match names.first() {
            None => continue,
            Some(first) if !is_of_an_image(first) => return Ok(None),
            Some(_) => {}
        }
        let path = names.join(&b'/');
        let slot = match member.kind {
            Kind::File => Slot::Data {
                offset: member.offset,
                size: member.size,
            },
            Kind::HardLink => match components(&member.target, 16) {
                Ok(target) => Slot::Link(target.join(&b'/')),
                Err(_) => continue,
            },
            Kind::Symlink => match beside(&names, &member.target) {
                Some(target) => Slot::Link(target),
                None => continue,
            },
            _ => continue,
        };
        if found.len() >= MOST_MEMBERS {
            return Err(invalid("it has too many members for an image"));
        }
        found.insert(path, slot);
    }
    let has = |name: &[u8]| found.contains_key(name);
    let image = has(b"manifest.json") || (has(b"oci-layout") && has(b"index.json"));
    Ok(image.then_some(found))
}

/// Where a symbolic link of an archive leads, if that is within it.
fn beside(names: &[&[u8]], target: &[u8]) -> Option<Vec<u8>> {
    let mut at: Vec<&[u8]> = names.split_last()?.1.to_vec();
    for name in target.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                at.pop()?;
            }
            _ => at.push(name),
        }
    }
    (!target.starts_with(b"/")).then(|| at.join(&b'/'))
}

/// Opens a path and tells what it holds. `spool` gives an unnamed file, for an image whose archive is compressed.
///
/// # Errors
/// It cannot be read, or holds nothing that is known.
pub fn open(
    path: &Path,
    limits: Limits,
    spool: impl FnOnce() -> io::Result<File>,
) -> Result<Source> {
    let wrong = |error: io::Error| {
        Diagnostic::general(format!("`{}` cannot be imported: {error}", path.display()))
    };
    if path.is_dir() {
        if !is_layout(path) {
            return Err(Diagnostic::general(format!(
                "`{}` cannot be imported: it is a directory without `oci-layout` and `index.json`",
                path.display()
            ))
            .help(format!(
                "a directory that is a root already needs no import: sandbox --root {} PROGRAM",
                path.display()
            )));
        }
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|error| wrong(error.into()))?;
        let directory = at::open(
            at::working_directory(),
            &name,
            libc::O_PATH | libc::O_DIRECTORY,
            0,
        )
        .map_err(|error| wrong(error.into()))?;
        let blobs = Blobs::Directory(directory);
        return layout(blobs).map_err(wrong);
    }
    read(path, limits, spool).map_err(wrong)
}

fn layout(blobs: Blobs) -> io::Result<Source> {
    let index = manifest::read(&blobs.text("index.json")?)
        .map_err(|why| invalid(format!("`index.json`: {why}")))?;
    Ok(Source::Oci(blobs, index))
}

fn read(
    path: &Path,
    limits: Limits,
    spool: impl FnOnce() -> io::Result<File>,
) -> io::Result<Source> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut file = regular(at::working_directory(), &name, true)?;
    let mut start = [0u8; 8];
    let got = file.read_at(&mut start, 0)?;
    if got == 0 {
        return Err(invalid("it is empty"));
    }
    let (file, found) = match compression(&start) {
        Compression::None => {
            let found = members(io::BufReader::with_capacity(1 << 20, &file))?;
            (file, found)
        }
        _ => {
            let found = members(Stream::new(&file, Budget::new(limits))?)?;
            file.rewind()?;
            if found.is_some() {
                let mut plain = spool()?;
                io::copy(&mut Stream::new(&file, Budget::new(limits))?, &mut plain)?;
                (plain, found)
            } else {
                (file, None)
            }
        }
    };
    let Some(members) = found else {
        file_at_start(&file)?;
        return Ok(Source::Tar(file));
    };
    let docker = members.contains_key(b"manifest.json".as_slice());
    let blobs = Blobs::Archive(Rc::new(file), members);
    if docker {
        let text = blobs.text("manifest.json")?;
        let images =
            manifest::read(&text).map_err(|why| invalid(format!("`manifest.json`: {why}")))?;
        Ok(Source::Docker(blobs, images))
    } else {
        layout(blobs)
    }
}

fn file_at_start(mut file: &File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0)).map(drop)
}

/// What tells one state of a file from another without reading it: where it is, its size and its times.
///
/// # Errors
/// ENOENT and others of stat(2).
pub fn fingerprint(path: &Path) -> std::result::Result<String, Errno> {
    use std::os::unix::fs::MetadataExt;
    let at = if path.is_dir() {
        path.join("index.json")
    } else {
        path.to_owned()
    };
    let found = std::fs::metadata(at)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    Ok(format!(
        "{}-{}-{}-{}.{:09}-{}.{:09}",
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec()
    ))
}
