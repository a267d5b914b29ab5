//! The engine's write-ahead journals, read to see whether they are whole before the engine reads them.
//!
//! The engine takes whatever it cannot parse for the end of a journal and cuts the rest off, and it does not verify the moment
//! that a batch was written at. A flipped byte could thus drop or reorder batches, silently. The format is that of fjall 3.1:
//! a batch is a start (1, number of items u32, moment u64), items (2, type, compression, keyspace u64, length of the key u16, of
//! the value u32, of its stored form u32, key, value) or clears (4, keyspace u64), and an end (3, XXH3 of the items' bytes u64,
//! `FJL` 3). Numbers are little endian. What follows the last batch is zeros: files are allocated ahead.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Buf;
use xxhash_rust::xxh3::xxh3_64;

use super::damage::Damage;
use crate::{Error, Result};

const TRAILER: &[u8; 4] = b"FJL\x03";
const EXTENSION: &str = "jnl";
/// Length that the engine gives to a new journal.
const ALLOCATED_BYTES: u64 = 64 << 20;
/// The engine begins a new journal when one is longer than this.
const SEALED_BYTES: u64 = 64_000_000;
/// Bytes of the longest batch that is looked for behind a place that does not parse.
const SEARCHED_BYTES: usize = 256 << 20;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What the journals of a store have.
#[derive(Debug, Default)]
pub(super) struct Journals {
    /// Their paths, oldest first.
    pub(super) files: Vec<PathBuf>,
    /// The moment of the last batch. Absent if there is none.
    pub(super) last: Option<u64>,
    /// Whether nothing was written to the newest one since the engine made it.
    pub(super) is_fresh: bool,
}

/// Reads the journals in the engine's directory; the second is what is wrong with them.
pub(super) fn read(directory: &Path) -> Result<(Journals, Option<Damage>)> {
    let mut numbered = list(directory)?;
    numbered.sort_unstable();
    let mut journals =
        Journals { files: numbered.iter().map(|(_, file)| file.clone()).collect(), ..Journals::default() };
    for pair in numbered.windows(2) {
        if pair[0].0 + 1 != pair[1].0 {
            let missing = directory.join(format!("{}.{EXTENSION}", pair[0].0 + 1));
            return Ok((journals, Some(Damage::new(missing, "it is missing, although later ones are there"))));
        }
    }
    let newest = numbered.len().saturating_sub(1);
    for (at, (_, file)) in numbered.iter().enumerate() {
        let content = content(file)?;
        let (batches, end) = batches(&content, &mut journals.last);
        let end = match end {
            Ok(()) if at < newest && content.length < SEALED_BYTES => Err("it was cut off".to_owned()),
            end => end,
        };
        if let Err(why) = end {
            return Ok((journals, Some(Damage::new(file.clone(), why))));
        }
        journals.is_fresh = at == newest && batches == 0 && content.length == ALLOCATED_BYTES;
    }
    Ok((journals, None))
}

/// Puts an empty journal in the place of those of a store that is closed: everything was written out. When the engine opens, it would
/// read all of them, entry by entry. The store must be marked as closed before, so that what a crash leaves of this is known for
/// what it is.
pub(super) fn begin_anew(directory: &Path) -> Result<()> {
    let mut old = list(directory)?;
    old.sort_unstable();
    let number = old.last().map_or(0, |(newest, _)| newest + 1);
    let new = directory.join(format!("{number}.{EXTENSION}"));
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    File::create(&new).and_then(|file| file.sync_all()).map_err(|error| Error::io(&new, error))?;
    sync(directory).map_err(|error| Error::io(directory, error))?;
    for (_, file) in old {
        fs::remove_file(&file).map_err(|error| Error::io(&file, error))?;
    }
    Ok(())
}

fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let fail = |error| Error::io(directory, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(number) = number
        {
            found.push((number, path));
        }
    }
    Ok(found)
}

/// A journal's bytes without the zeros at its end.
struct Content {
    bytes: Vec<u8>,
    length: u64,
}

fn content(file: &Path) -> Result<Content> {
    let fail = |error: io::Error| Error::io(file, error);
    let mut reader = File::open(file).map_err(fail)?;
    let length = reader.metadata().map_err(fail)?.len();
    let (mut bytes, mut zeros) = (Vec::new(), 0_usize);
    let mut piece = vec![0; ZEROS.len()];
    loop {
        let count = reader.read(&mut piece).map_err(fail)?;
        let read = &piece[..count];
        if count == 0 {
            break;
        } else if *read == ZEROS[..count] {
            zeros += count;
        } else {
            bytes.resize(bytes.len() + zeros, 0);
            bytes.extend_from_slice(read);
            zeros = 0;
        }
    }
    // Values may end with zeros, too, but a batch ends with its trailer.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(Content { bytes, length })
}

/// Reads batch by batch: how many there are, and what is wrong with the rest. A torn last batch is no damage: that is how a
/// power cut leaves it.
fn batches(content: &Content, last: &mut Option<u64>) -> (usize, Result<(), String>) {
    let mut rest = &content.bytes[..];
    let mut count = 0;
    loop {
        if rest.is_empty() {
            return (count, Ok(()));
        }
        let at = content.bytes.len() - rest.len();
        match batch(&mut rest) {
            Some(moment) if last.is_some_and(|last| last >= moment) => {
                return (count, Err(format!("the batch at byte {at} is of an earlier moment than the one before")));
            }
            Some(moment) => *last = Some(moment),
            None if leads_to_batch(&content.bytes[at..], *last) => {
                return (count, Err(format!("the batch at byte {at} does not match its checksum, and others follow")));
            }
            None => return (count, Ok(())),
        }
        count += 1;
    }
}

/// Takes a whole batch, and tells its moment.
fn batch(rest: &mut &[u8]) -> Option<u64> {
    let mut input = *rest;
    if input.try_get_u8().ok()? != 1 {
        return None;
    }
    let items = input.try_get_u32_le().ok()?;
    let moment = input.try_get_u64_le().ok()?;
    let start = input;
    for _ in 0..items {
        match input.try_get_u8().ok()? {
            2 => {
                // Type, compression, keyspace.
                input = input.get(10..)?;
                let key = usize::from(input.try_get_u16_le().ok()?);
                let _length = input.try_get_u32_le().ok()?;
                let value = input.try_get_u32_le().ok()? as usize;
                input = input.get(key.checked_add(value)?..)?;
            }
            4 => input = input.get(8..)?,
            _ => return None,
        }
    }
    let content = &start[..start.len() - input.len()];
    let is_end = input.try_get_u8().ok()? == 3;
    let checksum = input.try_get_u64_le().ok()?;
    let after = input.strip_prefix(TRAILER)?;
    if !is_end || checksum != xxh3_64(content) {
        return None;
    }
    *rest = after;
    Some(moment)
}

/// Whether a whole, later batch follows somewhere.
fn leads_to_batch(bytes: &[u8], last: Option<u64>) -> bool {
    let searched = &bytes[..bytes.len().min(SEARCHED_BYTES)];
    let starts = searched.iter().enumerate().skip(1).filter(|(_, byte)| **byte == 1);
    // What is no batch stops being like one within some bytes.
    starts
        .map(|(at, _)| &bytes[at..])
        .any(|mut rest| batch(&mut rest).is_some_and(|moment| last.is_none_or(|last| moment > last)))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn put_batch(file: &mut Vec<u8>, moment: u64, items: u32) {
        file.put_u8(1);
        file.put_u32_le(items);
        file.put_u64_le(moment);
        let start = file.len();
        for item in 0..items {
            file.put_slice(&[2, 0, 0]);
            file.put_u64_le(7);
            file.put_u16_le(3);
            file.put_u32_le(item);
            file.put_u32_le(item);
            file.put_slice(b"key");
            file.put_bytes(0x61, item as usize);
        }
        let checksum = xxh3_64(&file[start..]);
        file.put_u8(3);
        file.put_u64_le(checksum);
        file.put_slice(TRAILER);
    }

    fn examine(bytes: &[u8]) -> (usize, Result<(), String>) {
        batches(&Content { bytes: bytes.to_vec(), length: bytes.len() as u64 }, &mut None)
    }

    #[test]
    fn flips_in_the_middle_are_told_and_torn_ends_are_not() {
        let mut file = Vec::new();
        let ends: Vec<_> = (0..4)
            .map(|at| {
                put_batch(&mut file, 10 + u64::from(at), at + 1);
                file.len()
            })
            .collect();
        assert_eq!(examine(&file), (4, Ok(())));
        for cut in 0..file.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(examine(&file[..cut]), (whole, Ok(())), "{cut}");
        }
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x40;
            let (count, end) = examine(&flipped);
            // Of the last batch, its moment may have become a later one.
            assert!(count <= 4 && (end.is_err() || at >= ends[2]), "{at}: {count} {end:?}");
        }
        let mut repeated = file;
        put_batch(&mut repeated, 12, 1);
        assert!(examine(&repeated).1.is_err());
    }
}
