//! Streams of xz, one after another with padding between them (the .xz file format, 1.2).

use std::io::{self, BufRead, Read};

use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

/// The largest dictionary, in bytes, that is allocated for an archive: what `xz -9` takes. It is the archive that says how
/// large its dictionary is, and up to 4 GiB can be said.
const MOST_MEMORY: usize = 64 << 20;
/// Padding between streams comes in units of four bytes.
const PADDING: u64 = 4;

/// A decoder that looks into its source's buffer, and takes from it no more than it understands.
pub struct Xz<R> {
    inner: R,
    decoder: Box<XzDecoder<'static>>,
    /// Whether a stream has begun that has not ended.
    within: bool,
    /// Whether a stream has ended.
    after: bool,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// What is wrong, for people.
fn told(error: &XzError) -> io::Error {
    match error {
        XzError::DictionaryTooLarge(bytes) => invalid(format!(
            "its xz dictionary takes {bytes} bytes, and {MOST_MEMORY} are the most (xz -9)"
        )),
        XzError::Sha256NotSupported => invalid(
            "its xz stream is checked by SHA-256, which is not read here: pack it with `xz --check=crc64`",
        ),
        other => invalid(format!("xz: {other}")),
    }
}

impl<R: BufRead> Xz<R> {
    /// Nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            decoder: XzDecoder::in_heap_with_alloc_dict_size(0, MOST_MEMORY),
            within: false,
            after: false,
        }
    }

    /// Passes over what may lie between streams; false at the end.
    fn at_a_stream(&mut self) -> io::Result<bool> {
        let mut passed = 0u64;
        loop {
            let buffer = self.inner.fill_buf()?;
            let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
            // A stream begins with 0xfd.
            let ended = buffer.is_empty() || zeros < buffer.len();
            let last = buffer.is_empty();
            self.inner.consume(zeros);
            passed += zeros as u64;
            if !ended {
                continue;
            }
            let padded = self.after || passed == 0;
            return match padded && passed.is_multiple_of(PADDING) {
                true => Ok(!last),
                false => Err(invalid("xz: what lies between its streams is no padding")),
            };
        }
    }
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within {
                if !self.at_a_stream()? {
                    return Ok(0);
                }
                self.decoder.reset();
                self.within = true;
            }
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let done = self
                .decoder
                .decode(buffer, into)
                .map_err(|error| told(&error))?;
            let (used, made) = (done.input_consumed(), done.output_produced());
            self.inner.consume(used);
            if matches!(done, XzNextBlockResult::EndOfStream(..)) {
                (self.within, self.after) = (false, true);
            } else if used == 0 && made == 0 {
                // Without a step forward there would be none for ever.
                return Err(invalid("xz: it does not go on"));
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// `printf 'a shell\n' | xz --check=crc32`
    const SHELL: &[u8] = include_bytes!("xz_tests/shell.xz");

    fn unpack(bytes: &[u8], window: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Xz::new(BufReader::with_capacity(window, bytes)).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn streams_follow_each_other() {
        let padded = [SHELL, &[0; 8], SHELL, &[0; 4]].concat();
        for window in [1, 2, 7, 64 << 10] {
            assert_eq!(unpack(SHELL, window).unwrap(), b"a shell\n", "{window}");
            assert_eq!(
                unpack(&padded, window).unwrap(),
                b"a shell\na shell\n",
                "{window}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_refused() {
        for length in 1..SHELL.len() {
            let error = unpack(&SHELL[..length], 64).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::UnexpectedEof,
                "{length}: {error}"
            );
        }
        for at in 0..SHELL.len() {
            let mut bytes = SHELL.to_vec();
            bytes[at] ^= 0x10;
            assert!(unpack(&bytes, 64).is_err(), "{at}");
        }
        for rest in [&[0u8; 3][..], b"rest"] {
            let bytes = [SHELL, rest].concat();
            assert!(unpack(&bytes, 64).is_err(), "{rest:?}");
        }
    }

    #[test]
    fn a_dictionary_has_a_bound() {
        // `xz --lzma2=dict=1GiB`, of the same text.
        let error = unpack(include_bytes!("xz_tests/large-dictionary.xz"), 64).unwrap_err();
        assert!(error.to_string().contains("the most"), "{error}");
    }

    #[test]
    fn a_check_that_is_not_read_is_told() {
        let error = unpack(include_bytes!("xz_tests/sha256.xz"), 64).unwrap_err();
        assert!(error.to_string().contains("SHA-256"), "{error}");
    }
}
