//! `hub.index` in the data directory: the full ids of one-block files, whose names have the ends of ids only, in the order
//! in which the blocks came. With it a restart reads no block to rebuild the fork database. It can be removed at any time:
//! blocks that it does not have are read, and of branches of equal length the one with the lower id then counts as first.
//!
//! Format: `dfusehub` and a version byte, 1; then for every block id (32 bytes), id of the block before (32), number of the
//! LIB (4, little-endian) and the low half of XXH64 of these 68 bytes (4, little-endian).

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::{Buf, BufMut};
use dfuse_antelope::Checksum;
use tracing::warn;
use xxhash_rust::xxh64::xxh64;

use super::hub::Link;

const FILE: &str = "hub.index";
const MAGIC: &[u8; 9] = b"dfusehub\x01";
const RECORD_BYTES: usize = 72;
/// Records of blocks that have left the hub that are put up with.
const MAX_STALE: usize = 20_000;

/// Writes `hub.index`. A failure is logged and ends the writing: the feed needs the file for nothing but speed.
#[derive(Debug)]
pub(super) struct HubIndex {
    path: PathBuf,
    /// None after a failure.
    file: Option<File>,
    /// In the file.
    records: usize,
    /// Of them, how many were there when the file was last rewritten.
    live: usize,
}

impl HubIndex {
    /// All intact records of the file, in order; empty if there is none.
    pub(super) fn read(data_dir: &Path) -> Vec<Link> {
        let path = data_dir.join(FILE);
        let data = match std::fs::read(&path) {
            Ok(data) => data,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return vec![],
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot be read: one-block files are read instead");
                return vec![];
            }
        };
        let Some(records) = data.strip_prefix(MAGIC) else {
            warn!(path = %path.display(), "is of no known form: one-block files are read instead");
            return vec![];
        };
        records.chunks_exact(RECORD_BYTES).filter_map(decode).collect()
    }

    /// Replaces the file by one with these blocks.
    pub(super) fn create(data_dir: &Path, links: impl Iterator<Item = Link>) -> Self {
        let mut index = Self { path: data_dir.join(FILE), file: None, records: 0, live: 0 };
        index.rewrite(links);
        index
    }

    /// Adds a block whose one-block file was written.
    pub(super) fn append(&mut self, link: &Link) {
        let mut record = vec![];
        encode(link, &mut record);
        self.records += 1;
        let written = self.file.as_mut().map(|file| file.write_all(&record));
        self.given_up(written.unwrap_or(Ok(())));
    }

    /// Whether most of the file is of blocks that are gone.
    pub(super) fn is_stale(&self) -> bool {
        self.file.is_some() && self.records > self.live * 2 + MAX_STALE
    }

    pub(super) fn rewrite(&mut self, links: impl Iterator<Item = Link>) {
        let mut data = MAGIC.to_vec();
        links.for_each(|link| encode(&link, &mut data));
        self.live = (data.len() - MAGIC.len()) / RECORD_BYTES;
        self.records = self.live;
        let written = self.replace(&data);
        self.given_up(written);
    }

    fn replace(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let unfinished = self.path.with_extension("index.tmp");
        std::fs::write(&unfinished, data)?;
        std::fs::rename(unfinished, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }

    fn given_up(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            warn!(path = %self.path.display(), %error, "cannot be written: the next start will read more");
            self.file = None;
        }
    }
}

fn encode(link: &Link, to: &mut Vec<u8>) {
    let start = to.len();
    to.put_slice(&link.id.0);
    to.put_slice(&link.previous.0);
    to.put_u32_le(link.lib_number);
    to.put_u32_le(xxh64(&to[start..], 0) as u32);
}

fn decode(record: &[u8]) -> Option<Link> {
    let (content, mut checksum) = record.split_at_checked(RECORD_BYTES - 4)?;
    if checksum.get_u32_le() != xxh64(content, 0) as u32 {
        return None;
    }
    let (id, rest) = content.split_first_chunk::<32>()?;
    let (previous, mut lib_number) = rest.split_first_chunk::<32>()?;
    Some(Link { id: Checksum(*id), previous: Checksum(*previous), lib_number: lib_number.get_u32_le() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::chain;

    #[test]
    fn what_was_written_is_read_and_damage_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let links: Vec<_> = chain(2, 5, 0).iter().map(Link::of).collect();
        assert_eq!(HubIndex::read(folder.path()), []);
        let mut index = HubIndex::create(folder.path(), links[..2].iter().copied());
        links[2..].iter().for_each(|link| index.append(link));
        assert_eq!(HubIndex::read(folder.path()), links);
        assert!(!index.is_stale());

        let path = folder.path().join(FILE);
        let mut data = std::fs::read(&path).unwrap();
        data[MAGIC.len() + RECORD_BYTES + 40] ^= 1;
        data.truncate(data.len() - 1);
        std::fs::write(&path, &data).unwrap();
        assert_eq!(HubIndex::read(folder.path()), [links[0], links[2], links[3]]);
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(HubIndex::read(folder.path()), []);
        index.rewrite(links[3..].iter().copied());
        assert_eq!(HubIndex::read(folder.path()), links[3..]);
    }

    #[test]
    fn no_place_to_write_to_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut index = HubIndex::create(&file, std::iter::empty());
        index.append(&Link::of(&chain(2, 1, 0)[0]));
        assert!(!index.is_stale());
    }
}
