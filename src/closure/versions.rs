//! Versions of symbols (gnu.version_r and gnu.version_d of the LSB): what a file needs of another, and what it has.

use super::elf::{Bytes, Image};

/// Records that are read of one file; a C library has about fifty.
const MOST: usize = 8192;
const LONGEST: usize = 1024;
/// VER_FLG_WEAK: it can be missing.
const WEAK: u16 = 2;

/// What is needed: the name of a file, and of a version. What cannot be read is left out, for the loader tells of it.
pub(super) fn needed<B: Bytes + ?Sized>(
    image: &Image<'_, B>,
    table: u64,
    mut at: u64,
    count: u64,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out = Vec::new();
    let mut left = MOST;
    for _ in 0..count.min(MOST as u64) {
        let Some((file, of_file, next)) = need(image, table, at, &mut left) else {
            break;
        };
        out.extend(of_file.into_iter().map(|version| (file.clone(), version)));
        match at.checked_add(next) {
            Some(following) if next != 0 => at = following,
            _ => break,
        }
    }
    out
}

/// One record: the file, its versions, and how far away the next one is.
fn need<B: Bytes + ?Sized>(
    image: &Image<'_, B>,
    table: u64,
    at: u64,
    left: &mut usize,
) -> Option<(Vec<u8>, Vec<Vec<u8>>, u64)> {
    let layout = image.layout;
    let record = image.memory(at, 16)?;
    let file = image.text(table, layout.word(&record, 4)?.into(), LONGEST)?;
    let mut inner = at.checked_add(layout.word(&record, 8)?.into())?;
    let mut versions = Vec::new();
    for _ in 0..layout.half(&record, 2)? {
        *left = left.checked_sub(1)?;
        let one = image.memory(inner, 16)?;
        if layout.half(&one, 4)? & WEAK == 0 {
            versions.push(image.text(table, layout.word(&one, 8)?.into(), LONGEST)?);
        }
        match layout.word(&one, 12)? {
            0 => break,
            next => inner = inner.checked_add(next.into())?,
        }
    }
    Some((file, versions, layout.word(&record, 12)?.into()))
}

/// What a file has.
pub(super) fn defined<B: Bytes + ?Sized>(
    image: &Image<'_, B>,
    table: u64,
    mut at: u64,
    count: u64,
) -> Vec<Vec<u8>> {
    let layout = image.layout;
    let one = |at: u64| {
        let record = image.memory(at, 20)?;
        let inner = at.checked_add(layout.word(&record, 12)?.into())?;
        let name = layout.word(&image.memory(inner, 8)?, 0)?;
        let text = image.text(table, name.into(), LONGEST)?;
        Some((text, u64::from(layout.word(&record, 16)?)))
    };
    let mut out = Vec::new();
    for _ in 0..count.min(MOST as u64) {
        let Some((name, next)) = one(at) else { break };
        out.push(name);
        match at.checked_add(next) {
            Some(following) if next != 0 => at = following,
            _ => break,
        }
    }
    out
}
