//! Log files of state history: `trace_history.log`, `chain_state_history.log`, also split and pruned ones.
//!
//! An entry has a header, a payload, which is compressed, and at its end its own place in the file. A pruned log has a hole behind
//! its first header; its entries are found from the end, by these places.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use dfuse_antelope::{Checksum256, raw::Reader};
use flate2::read::ZlibDecoder;

use crate::{Error, Result};

/// The high half of an entry's magic number: the name `ship`.
const MAGIC: u64 = 0xc35d_5000;
/// Bytes of an entry's header.
const HEADER: u64 = 48;
/// Bytes of the place at the end of an entry.
const PLACE: u64 = 8;
/// Bytes of the count at the end of a pruned log.
const COUNT: u64 = 4;
/// The feature of the first entry that tells a pruned log.
const PRUNED: u64 = 1;

/// An entry of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The block's id.
    pub block_id: Checksum256,
    /// Where the entry begins in the file.
    pub offset: u64,
    /// Bytes of its payload, compressed.
    pub size: u64,
    /// Version and features.
    flags: u64,
}

impl Entry {
    /// Where the next entry begins.
    fn end(&self) -> u64 {
        self.offset + HEADER + self.size + PLACE
    }

    fn is_pruned(&self) -> bool {
        self.flags >> 16 & PRUNED != 0
    }
}

/// Reads a log from its first kept entry to its end. A node of the Spring family appends the blocks of a new branch: an entry of
/// the same or a lower number replaces all from there on.
pub struct HistoryLog<F> {
    file: F,
    /// Where entries end.
    end: u64,
    first: u64,
    next: u64,
}

impl<F: Read + Seek> HistoryLog<F> {
    /// Begins to read a log. What is appended later is not seen.
    ///
    /// # Errors
    /// The file cannot be read, is something else, or is pruned and damaged.
    pub fn open(mut file: F) -> Result<Self> {
        let end = file.seek(SeekFrom::End(0)).map_err(|source| Error::Io { offset: 0, source })?;
        let mut log = Self { file, end, first: 0, next: 0 };
        if end == 0 {
            return Ok(log);
        }
        let first = log.header(0)?;
        if first.is_pruned() {
            log.find_first_kept()?;
            log.first = log.next;
        }
        Ok(log)
    }

    /// The next entry. `None` is the end of the log. An entry that is not complete is an error at its offset: the node was killed
    /// while it wrote, or is writing.
    ///
    /// # Errors
    /// The file cannot be read, is cut off or damaged.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.next == self.end {
            return Ok(None);
        }
        let entry = self.header(self.next)?;
        let place = entry.end().checked_sub(PLACE).filter(|_| entry.end() <= self.end);
        let place = place.ok_or_else(|| truncated(entry.offset))?;
        if self.number(place)? != entry.offset {
            return Err(damaged(entry.offset, "its end does not say where it begins"));
        }
        self.next = entry.end();
        Ok(Some(entry))
    }

    /// The content of an entry, decompressed while it is read.
    ///
    /// # Errors
    /// The file cannot be read, or the entry is too short.
    pub fn content(&mut self, entry: &Entry) -> Result<impl Read> {
        let (begin, size) = self.place_of_content(entry)?;
        self.seek(begin)?;
        Ok(ZlibDecoder::new(BufReader::new(self.file.by_ref().take(size))))
    }

    fn place_of_content(&mut self, entry: &Entry) -> Result<(u64, u64)> {
        let begin = entry.offset + HEADER;
        let form = if entry.size >= 4 { self.bytes::<4>(begin)? } else { [0; 4] };
        let before = before_content(form, entry.size);
        let size = entry.size.checked_sub(before).ok_or_else(|| damaged(entry.offset, "its payload is too short"))?;
        Ok((begin + before, size))
    }

    /// The first entry that is kept; `None` in an empty log. [`HistoryLog::next_entry`] goes on with the second.
    ///
    /// # Errors
    /// Those of [`HistoryLog::next_entry`].
    pub fn first_entry(&mut self) -> Result<Option<Entry>> {
        self.next = self.first;
        self.next_entry()
    }

    /// The same as [`HistoryLog::content`], for those who want nothing else of the log.
    ///
    /// # Errors
    /// Those of [`HistoryLog::content`].
    pub fn into_content(mut self, entry: Entry) -> Result<impl Read + use<F>> {
        let (begin, size) = self.place_of_content(&entry)?;
        self.seek(begin)?;
        Ok(ZlibDecoder::new(BufReader::new(self.file.take(size))))
    }

    /// The entry at a place, which an index knows.
    ///
    /// # Errors
    /// The file cannot be read, or there is no complete entry.
    pub fn entry_at(&mut self, offset: u64) -> Result<Entry> {
        self.next = offset;
        self.next_entry()?.ok_or_else(|| truncated(offset))
    }

    /// The payload of an entry as it is. [`inflated`] decompresses it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn payload(&mut self, entry: &Entry) -> Result<Vec<u8>> {
        let offset = entry.offset + HEADER;
        self.seek(offset)?;
        let mut payload = vec![];
        let read = self.file.by_ref().take(entry.size).read_to_end(&mut payload);
        read.map_err(|source| Error::Io { offset, source })?;
        if payload.len() as u64 == entry.size { Ok(payload) } else { Err(truncated(entry.offset)) }
    }

    /// Goes back from the end of a pruned log by the places at the ends of entries.
    fn find_first_kept(&mut self) -> Result<()> {
        self.end = self.end.checked_sub(COUNT).ok_or_else(|| truncated(0))?;
        let kept = u32::from_le_bytes(self.bytes(self.end)?);
        self.next = self.end;
        for _ in 0..kept {
            let place = self.next.checked_sub(PLACE).ok_or_else(|| damaged(self.next, "entries are missing"))?;
            let begin = self.number(place)?;
            if begin >= place || self.header(begin)?.end() != self.next {
                return Err(damaged(place, "the end of an entry does not say where it begins"));
            }
            self.next = begin;
        }
        Ok(())
    }

    fn header(&mut self, offset: u64) -> Result<Entry> {
        if self.end.saturating_sub(offset) < HEADER {
            return Err(truncated(offset));
        }
        let bytes: [u8; HEADER as usize] = self.bytes(offset)?;
        let mut reader = Reader::new(&bytes);
        let mut fields = || Ok((reader.u64()?, reader.checksum256()?, reader.u64()?));
        let (magic, block_id, size) =
            fields().map_err(|error: dfuse_antelope::Error| damaged(offset, error.to_string()))?;
        if magic >> 32 != MAGIC {
            return Err(match offset {
                0 => Error::NotALog { why: "it does not begin with the magic number of one" },
                _ => damaged(offset, "it does not begin with the magic number"),
            });
        }
        if magic & 0xffff != 0 {
            return Err(Error::NotALog { why: "it is of EOSIO 2.1" });
        }
        if size > u64::MAX / 2 {
            return Err(damaged(offset, "its size is impossible"));
        }
        Ok(Entry { block_id, offset, size, flags: magic & 0xffff_ffff })
    }

    fn number(&mut self, offset: u64) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(offset)?))
    }

    fn bytes<const N: usize>(&mut self, offset: u64) -> Result<[u8; N]> {
        self.seek(offset)?;
        let mut bytes = [0; N];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(truncated(offset)),
            Err(source) => Err(Error::Io { offset, source }),
        }
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        self.file.seek(SeekFrom::Start(offset)).map(drop).map_err(|source| Error::Io { offset, source })
    }
}

/// The content of an entry's payload, decompressed while it is read.
pub fn inflated(payload: &[u8]) -> impl Read {
    let form = payload.first_chunk().copied().unwrap_or_default();
    let before = before_content(form, payload.len() as u64);
    ZlibDecoder::new(payload.get(before as usize..).unwrap_or_default())
}

/// Bytes of a payload before the compressed ones. Leap 4 and later write 1 and the decompressed size; before, there was the
/// compressed size alone.
fn before_content(form: [u8; 4], size: u64) -> u64 {
    if u32::from_le_bytes(form) == 1 && size > 5 { 12 } else { 4 }
}

fn truncated(offset: u64) -> Error {
    Error::Truncated { offset, what: "an entry".to_owned() }
}

fn damaged(offset: u64, why: impl Into<String>) -> Error {
    Error::Damaged { offset, what: "an entry".to_owned(), why: why.into() }
}
