//! Bytes of an archive or a layer on their way: decompressed, hashed before and after, and never more than allowed.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::Limits;
use super::xz::Xz;

/// How a file is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952
    Gzip,
    /// RFC 8878
    Zstd,
    /// The .xz file format
    Xz,
    /// Known, and not read here: by what name.
    Other(&'static str),
}

/// Tells by the first bytes.
#[must_use]
pub fn compression(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A frame of zstd that is to be skipped.
        [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [b'B', b'Z', b'h', ..] => Compression::Other("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Compression::Other("lz4"),
        _ => Compression::None,
    }
}

/// `sha256:` and 64 digits.
#[must_use]
pub fn name_digest(hash: Sha256) -> String {
    let mut out = "sha256:".to_owned();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Whether a text is `sha256:` and 64 lower-case digits: safe as a part of a path too.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// What is left of the limits, for all layers of an image together.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    bytes: Cell<u64>,
}

impl Budget {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            limits,
            bytes: Cell::new(0),
        })
    }

    /// What was unpacked so far, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether a file of this size would still fit.
    #[must_use]
    pub fn fits(&self, size: u64) -> bool {
        self.bytes.get().saturating_add(size) <= self.limits.bytes
    }

    /// The limits themselves.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How it is said that there is too much.
    #[must_use]
    pub fn exceeded(&self) -> String {
        format!(
            "it is larger than {} when it is unpacked",
            crate::profile::value::human_bytes(self.limits.bytes)
        )
    }
}

/// A hash and a count of what passed.
#[derive(Clone, Debug, Default)]
struct Meter(Rc<RefCell<(Sha256, u64)>>);

struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(into)?;
        let mut meter = self.meter.0.borrow_mut();
        meter.0.update(into.get(..got).unwrap_or_default());
        meter.1 += got as u64;
        Ok(got)
    }
}

enum Decoder<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<Zstd<BufReader<R>>>),
    Xz(Box<Xz<BufReader<R>>>),
}

/// Frames of zstd one after another; the decoder knows only one.
struct Zstd<R: Read> {
    frame: Option<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
    rest: Option<R>,
}

impl<R: BufRead> Zstd<R> {
    fn new(inner: R) -> Self {
        Self {
            frame: None,
            rest: Some(inner),
        }
    }

    /// Passes over frames that are to be skipped; false at the end.
    fn at_a_frame(rest: &mut R) -> io::Result<bool> {
        loop {
            if rest.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let start = rest.fill_buf()?;
            let skipped = matches!(start, [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50);
            if !skipped {
                return Ok(true);
            }
            let mut head = [0u8; 8];
            rest.read_exact(&mut head)?;
            let [.., a, b, c, d] = head;
            let length = u64::from(u32::from_le_bytes([a, b, c, d]));
            let passed = io::copy(&mut rest.by_ref().take(length), &mut io::sink())?;
            if passed < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let got = frame.read(into)?;
                if got > 0 {
                    return Ok(got);
                }
                self.rest = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut rest) = self.rest.take() else {
                return Ok(0);
            };
            if !Self::at_a_frame(&mut rest)? {
                return Ok(0);
            }
            let frame = ruzstd::decoding::StreamingDecoder::new(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            self.frame = Some(frame);
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.read(into),
            Self::Gzip(inner) => inner.read(into),
            Self::Zstd(inner) => inner.read(into),
            Self::Xz(inner) => inner.read(into),
        }
    }
}

/// What was compressed, decompressed.
pub struct Stream<R: Read> {
    decoder: Decoder<Metered<R>>,
    before: Meter,
    after: Meter,
    budget: Rc<Budget>,
}

impl<R: Read> Stream<R> {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// A compression that is not read here, or reading failed.
    pub fn new(inner: R, budget: Rc<Budget>) -> io::Result<Self> {
        let before = Meter::default();
        let mut inner = BufReader::with_capacity(
            64 << 10,
            Metered {
                inner,
                meter: before.clone(),
            },
        );
        let decoder = match compression(inner.fill_buf()?) {
            Compression::None => Decoder::Plain(inner),
            Compression::Gzip => {
                Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(inner)))
            }
            Compression::Zstd => Decoder::Zstd(Box::new(Zstd::new(inner))),
            Compression::Xz => Decoder::Xz(Box::new(Xz::new(inner))),
            Compression::Other(name) => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "it is compressed with {name}: gzip, zstd, xz and plain archives are read"
                    ),
                ));
            }
        };
        Ok(Self {
            decoder,
            before,
            after: Meter::default(),
            budget,
        })
    }

    /// Reads what is left, and tells the digests of what was read: as it came, and decompressed.
    ///
    /// # Errors
    /// As reading.
    pub fn finish(mut self) -> io::Result<(String, String)> {
        io::copy(&mut self, &mut io::sink())?;
        let hash = |meter: &Meter| name_digest(meter.0.borrow().0.clone());
        Ok((hash(&self.before), hash(&self.after)))
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.decoder.read(into)?;
        let mut after = self.after.0.borrow_mut();
        after.0.update(into.get(..got).unwrap_or_default());
        after.1 += got as u64;
        let budget = &self.budget;
        budget.bytes.set(budget.bytes.get() + got as u64);
        let too_much = |why| Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        if !budget.fits(0) {
            return too_much(budget.exceeded());
        }
        let read = self.before.0.borrow().1;
        if after.1 > budget.limits.free && after.1 / budget.limits.ratio > read {
            return too_much(format!(
                "it grows more than {} times when it is unpacked",
                budget.limits.ratio
            ));
        }
        Ok(got)
    }
}
