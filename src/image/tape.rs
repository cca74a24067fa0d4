//! A reader of tar archives: ustar, GNU's long names, and pax headers (pax(1p), tar(5)). Pure.
//!
//! It holds one header at a time, and what a header says about its own length is bounded before anything is read.
//! Where readers are known to disagree (a link with contents, say), the archive is refused.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Names and pax headers are no longer than this.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// Headers that are about the one that follows them.
const MOST_EXTENSIONS: u32 = 16;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Another name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A device node, of characters or of blocks.
    Device,
    /// A named pipe.
    Fifo,
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path, as written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Mode bits, with set-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// Seconds since 1970.
    pub modified: i64,
    /// Bytes of contents.
    pub size: u64,
    /// What a link says.
    pub target: Vec<u8>,
    /// Extended attributes.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where in the archive its contents begin.
    pub offset: u64,
}

/// What longer headers say about the member that follows.
#[derive(Clone, Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<i64>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: bool,
}

/// Reads an archive from its beginning to its end mark.
#[derive(Debug)]
pub struct Tape<R> {
    inner: R,
    /// Where `inner` is.
    position: u64,
    /// What is left of the current member's contents.
    left: u64,
    /// What fills its last block.
    padding: u64,
    ended: bool,
    global: Extended,
}

fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

impl<R: Read> Tape<R> {
    /// Nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            position: 0,
            left: 0,
            padding: 0,
            ended: false,
            global: Extended::default(),
        }
    }

    /// The reader, at the place that was reached.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next member; its contents are what can be read next. None after the last.
    ///
    /// # Errors
    /// The archive is damaged, cut off, or has a kind of member that is not read; or reading failed.
    pub fn next_member(&mut self) -> io::Result<Option<Member>> {
        if self.ended {
            return Ok(None);
        }
        let mut extended = self.global.clone();
        for _ in 0..=MOST_EXTENSIONS {
            self.skip()?;
            let mut block = [0u8; BLOCK];
            self.inner.read_exact(&mut block).map_err(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    damaged("it is cut off: it has no end mark")
                } else {
                    error
                }
            })?;
            self.position += BLOCK as u64;
            if block.iter().all(|&byte| byte == 0) {
                self.ended = true;
                return Ok(None);
            }
            let header = Header(&block);
            if !header.is_sound() {
                return Err(damaged(
                    "a header's checksum is wrong: it is damaged, or no tar archive",
                ));
            }
            let size = header.number(124..136, "size")?;
            match header.kind() {
                b'L' => extended.path = Some(self.extension(size, true)?),
                b'K' => extended.target = Some(self.extension(size, true)?),
                b'x' | b'X' => {
                    let text = self.extension(size, false)?;
                    extended.read(&text)?;
                }
                b'g' => {
                    let text = self.extension(size, false)?;
                    self.global.read(&text)?;
                    extended = self.global.clone();
                }
                kind => return self.member(&header, kind, size, extended).map(Some),
            }
        }
        Err(damaged("too many headers for one member"))
    }

    fn member(
        &mut self,
        header: &Header<'_>,
        kind: u8,
        size: u64,
        extended: Extended,
    ) -> io::Result<Member> {
        let path = extended.path.unwrap_or_else(|| header.path());
        let size = extended.size.unwrap_or(size);
        let shown = || String::from_utf8_lossy(&path).into_owned();
        if extended.sparse || kind == b'S' {
            return Err(damaged(format!(
                "`{}` is a sparse file, which is not read here (tar without --sparse writes it whole)",
                shown()
            )));
        }
        let kind = match kind {
            b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(damaged(format!(
                    "`{}` is of the unknown type `{}`",
                    shown(),
                    char::from(other).escape_default()
                )));
            }
        };
        if kind != Kind::File && size != 0 {
            return Err(damaged(format!(
                "`{}` has contents and is no file: readers disagree about such archives",
                shown()
            )));
        }
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(Member {
            kind,
            mode: u32::try_from(header.number(100..108, "mode")? & 0o7777).unwrap_or(0),
            uid: extended
                .uid
                .map_or_else(|| header.number(108..116, "uid"), Ok)?,
            gid: extended
                .gid
                .map_or_else(|| header.number(116..124, "gid"), Ok)?,
            modified: match extended.modified {
                Some(time) => time,
                // A time before 1970 is negative in base 256, which no image needs.
                None => i64::try_from(header.number(136..148, "time").unwrap_or(0)).unwrap_or(0),
            },
            size,
            target: extended.target.unwrap_or_else(|| header.text(157..257)),
            attributes: extended.attributes,
            offset: self.position,
            path,
        })
    }

    /// The contents of a header that is about the next one.
    fn extension(&mut self, size: u64, name: bool) -> io::Result<Vec<u8>> {
        if size > LONGEST_EXTENSION {
            return Err(damaged("a name or an extended header is longer than 1M"));
        }
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        let mut text = Vec::new();
        self.read_to_end(&mut text)?;
        if name {
            while text.last() == Some(&0) {
                text.pop();
            }
        }
        Ok(text)
    }

    /// Passes over what is left of the current member.
    fn skip(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let length = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        let mut rest = [0u8; BLOCK];
        if let Some(rest) = rest.get_mut(..length) {
            self.inner.read_exact(rest)?;
            self.position += rest.len() as u64;
        }
        Ok(())
    }
}

/// The contents of the current member. An archive that ends before they do is an error.
impl<R: Read> Read for Tape<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(0);
        }
        let got = self
            .inner
            .read(into.get_mut(..length).unwrap_or_default())?;
        if got == 0 {
            return Err(damaged("it is cut off: a member's contents are missing"));
        }
        self.left -= got as u64;
        self.position += got as u64;
        Ok(got)
    }
}

/// One block that is a header.
struct Header<'b>(&'b [u8; BLOCK]);

impl Header<'_> {
    fn field(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// A text up to its NUL, if it has one.
    fn text(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        let field = self.field(range);
        let end = field.iter().position(|&byte| byte == 0);
        field
            .get(..end.unwrap_or(field.len()))
            .unwrap_or_default()
            .to_vec()
    }

    fn kind(&self) -> u8 {
        self.field(156..157).first().copied().unwrap_or(0)
    }

    fn path(&self) -> Vec<u8> {
        let name = self.text(0..100);
        // GNU's own format keeps other things where ustar has the beginning of a long path.
        let ustar = self.field(257..263) == b"ustar\0";
        let prefix = if ustar {
            self.text(345..500)
        } else {
            Vec::new()
        };
        if prefix.is_empty() {
            return name;
        }
        [prefix, name].join(&b'/')
    }

    /// Octal digits, or base 256 when the first bit is set.
    fn number(&self, range: std::ops::Range<usize>, what: &str) -> io::Result<u64> {
        let field = self.field(range);
        let bad = || damaged(format!("a header's {what} is no number"));
        if let Some((&first, rest)) = field.split_first()
            && first & 0x80 != 0
        {
            // Negative numbers, and such as nothing can be counted by.
            if first != 0x80 {
                return Err(bad());
            }
            return rest
                .iter()
                .try_fold(0u64, |sum, &byte| {
                    sum.checked_mul(256)?.checked_add(byte.into())
                })
                .ok_or_else(bad);
        }
        let text = field.trim_ascii_start();
        let end = text.iter().position(|byte| matches!(byte, 0 | b' '));
        let digits = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        digits
            .iter()
            .try_fold(0u64, |sum, &digit| {
                let value = char::from(digit).to_digit(8)?;
                sum.checked_mul(8)?.checked_add(value.into())
            })
            .ok_or_else(bad)
    }

    /// Whether the sum of all bytes is what the header says, its own field taken as spaces. Old programs summed signed
    /// bytes.
    fn is_sound(&self) -> bool {
        let Ok(said) = self.number(148..156, "checksum") else {
            return false;
        };
        let (mut plain, mut signed) = (0u64, 0i64);
        for (at, &byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            plain += u64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        plain == said || i64::try_from(said) == Ok(signed)
    }
}

impl Extended {
    /// Takes the records of a pax header: `LENGTH KEY=VALUE\n`.
    fn read(&mut self, text: &[u8]) -> io::Result<()> {
        let bad = || damaged("an extended header is damaged");
        let mut rest = text;
        while !rest.is_empty() {
            let space = rest.iter().position(|&byte| byte == b' ').ok_or_else(bad)?;
            let length: usize = std::str::from_utf8(rest.get(..space).unwrap_or_default())
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(bad)?;
            let record = rest.get(space + 1..length).ok_or_else(bad)?;
            rest = rest.get(length..).ok_or_else(bad)?;
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or_else(bad)?;
            let (key, value) = record.split_at(equals);
            self.record(key, value.get(1..).unwrap_or_default())
                .ok_or_else(bad)?;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = || std::str::from_utf8(value).ok();
        let number = || text()?.parse::<u64>().ok();
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => {
                // Seconds are enough; what is behind the point is passed over.
                let whole = text()?.split('.').next()?.parse().ok()?;
                self.modified = Some(whole);
            }
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Some(())
    }
}
