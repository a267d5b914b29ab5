//! The bytes of a bundle: 100 blocks in one zstd-compressed dbin stream, each in a frame of its own, so that one block
//! can be read alone. `docs/block-files.md` describes the format; every zstd decoder reads it from start to end.

use std::{
    fmt,
    io::{Cursor, Read},
    sync::{Mutex, PoisonError},
};

use bytes::{Buf, BufMut, Bytes};
use dfuse_antelope::model::bstream::{ANTELOPE_BLOCK_TYPE_URL, EOSIO_BLOCK_TYPE_URL, Envelope};
use xxhash_rust::xxh64::xxh64;
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{CParameter, find_frame_compressed_size, get_frame_content_size},
};

use crate::{BlockRef, EncodedBlock, Error, Result, dbin};

/// Blocks from one bundle's base to the next one's.
pub const BUNDLE_BLOCKS: u32 = 100;

/// zstd's own default; `docs/block-files.md` has the measurements.
pub const COMPRESSION_LEVEL: i32 = 3;

/// Enough of the end of a file to hold both tables of a full bundle.
pub(crate) const TAIL_BYTES: u64 = 2048;

/// Skippable frame of the seek table, by the zstd seekable format.
const SEEK_TABLE_MAGIC: u32 = 0x184d_2a5e;
/// Skippable frames of our own.
const OWN_MAGIC: u32 = 0x184d_2a5d;
/// Last bytes of a seek table.
const SEEKABLE_MAGIC: u32 = 0x8f92_eab1;
/// Content of the frame that follows the header: says that the file must end with tables.
const MARKER: &[u8; 6] = b"dfuse\x01";
/// Seek table flags: every entry has a checksum.
const WITH_CHECKSUMS: u8 = 0x80;
const SEEK_ENTRY_BYTES: usize = 12;
const SEEK_FOOTER_BYTES: usize = 9;
const SKIPPABLE_HEADER_BYTES: usize = 8;
/// Header, marker and block table.
const FRAMES_BESIDE_BLOCKS: usize = 3;

/// Base of the bundle that holds a block.
pub fn base_of(number: u32) -> u32 {
    number - number % BUNDLE_BLOCKS
}

/// The low half, as the seekable format stores it.
fn checksum(data: &[u8]) -> u32 {
    xxh64(data, 0) as u32
}

fn compressor(level: i32) -> Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level).map_err(|e| Error::Usage(format!("zstd level {level}: {e}")))?;
    compressor
        .set_parameter(CParameter::ChecksumFlag(true))
        .map_err(|e| Error::Usage(format!("zstd checksums: {e}")))?;
    Ok(compressor)
}

fn compress(compressor: &mut Compressor<'_>, data: &[u8]) -> Result<Vec<u8>> {
    compressor.compress(data).map_err(|e| Error::Usage(format!("zstd cannot compress {} bytes: {e}", data.len())))
}

fn header() -> Bytes {
    dbin::header(ANTELOPE_BLOCK_TYPE_URL)
}

fn put_skippable(file: &mut Vec<u8>, magic: u32, content: &[u8]) {
    file.put_u32_le(magic);
    file.put_u32_le(content.len() as u32);
    file.put_slice(content);
}

/// A one-block file.
pub fn encode_one_block(block: &EncodedBlock, level: i32) -> Result<Vec<u8>> {
    /// The last one, with its level: its memory, more than a megabyte, is not asked of the system anew for every block.
    static IDLE: Mutex<Option<(i32, Compressor<'static>)>> = Mutex::new(None);
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stream = header().to_vec();
    stream.extend_from_slice(&dbin::length_prefix(block.envelope())?);
    stream.extend_from_slice(block.envelope());
    let kept = idle().take().filter(|(kept, _)| *kept == level);
    let mut compressor = kept.map_or_else(|| compressor(level), |(_, compressor)| Ok(compressor))?;
    let file = compress(&mut compressor, &stream)?;
    *idle() = Some((level, compressor));
    Ok(file)
}

/// A bundle of at most [`BUNDLE_BLOCKS`] blocks in ascending order.
///
/// # Errors
/// Those of [`BundleEncoder::push`].
pub fn encode(blocks: &[EncodedBlock], level: i32) -> Result<Vec<u8>> {
    let mut bundle = BundleEncoder::new(level)?;
    bundle.extend(blocks)?;
    Ok(bundle.finish())
}

/// A bundle that is made block by block.
pub struct BundleEncoder {
    compressor: Compressor<'static>,
    file: Vec<u8>,
    seek_table: Vec<u8>,
    blocks: Vec<BlockRef>,
    /// The content of a frame; kept for its memory.
    content: Vec<u8>,
}

impl fmt::Debug for BundleEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleEncoder").field("blocks", &self.blocks.len()).field("last", &self.last()).finish()
    }
}

impl BundleEncoder {
    /// Without blocks, for frames of that level of zstd.
    ///
    /// # Errors
    /// The level does not exist, or there is no memory.
    pub fn new(level: i32) -> Result<Self> {
        let compressor = compressor(level)?;
        let (file, seek_table, blocks, content) = Default::default();
        let mut bundle = Self { compressor, file, seek_table, blocks, content };
        bundle.push_frame(&header())?;
        put_skippable(&mut bundle.file, OWN_MAGIC, MARKER);
        put_entry(&mut bundle.seek_table, SKIPPABLE_HEADER_BYTES + MARKER.len(), &[]);
        Ok(bundle)
    }

    /// The first of its blocks.
    pub fn first(&self) -> Option<BlockRef> {
        self.blocks.first().copied()
    }

    /// The last of its blocks so far.
    pub fn last(&self) -> Option<BlockRef> {
        self.blocks.last().copied()
    }

    /// Adds a block.
    ///
    /// # Errors
    /// [`Error::Usage`] if it does not come after the last one, or if there are [`BUNDLE_BLOCKS`] already.
    pub fn push(&mut self, block: &EncodedBlock) -> Result<()> {
        let is_next = self.last().is_none_or(|last| last.number < block.number());
        if !is_next || self.blocks.len() >= BUNDLE_BLOCKS as usize {
            let (number, len) = (block.number(), self.blocks.len());
            return Err(Error::Usage(format!("block {number} is not the next one of a bundle that has {len} blocks")));
        }
        let mut content = std::mem::take(&mut self.content);
        content.clear();
        content.extend_from_slice(&dbin::length_prefix(block.envelope())?);
        content.extend_from_slice(block.envelope());
        self.push_frame(&content)?;
        self.content = content;
        self.blocks.push(block.into());
        Ok(())
    }

    /// Adds blocks, one after the other.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub fn extend(&mut self, blocks: &[EncodedBlock]) -> Result<()> {
        blocks.iter().try_for_each(|block| self.push(block))
    }

    fn push_frame(&mut self, content: &[u8]) -> Result<()> {
        let frame = compress(&mut self.compressor, content)?;
        self.file.extend_from_slice(&frame);
        put_entry(&mut self.seek_table, frame.len(), content);
        Ok(())
    }

    /// The file, with its tables.
    pub fn finish(self) -> Vec<u8> {
        let Self { mut file, mut seek_table, blocks, .. } = self;
        let mut numbers = vec![];
        blocks.iter().for_each(|block| numbers.put_u32_le(block.number));
        numbers.put_u32_le(checksum(&numbers));
        put_skippable(&mut file, OWN_MAGIC, &numbers);
        put_entry(&mut seek_table, SKIPPABLE_HEADER_BYTES + numbers.len(), &[]);

        seek_table.put_u32_le((blocks.len() + FRAMES_BESIDE_BLOCKS) as u32);
        seek_table.put_u8(WITH_CHECKSUMS);
        seek_table.put_u32_le(SEEKABLE_MAGIC);
        put_skippable(&mut file, SEEK_TABLE_MAGIC, &seek_table);
        file
    }
}

fn put_entry(seek_table: &mut Vec<u8>, compressed: usize, content: &[u8]) {
    seek_table.put_u32_le(compressed as u32);
    seek_table.put_u32_le(content.len() as u32);
    seek_table.put_u32_le(checksum(content));
}

/// Where one block is in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockFrame {
    /// Number of the block.
    pub number: u32,
    /// Bytes of its frame, from the start of the file.
    pub offset: u64,
    /// Length of its frame in bytes.
    pub length: u32,
    /// Length of what is in the frame.
    content_length: u32,
    /// Low half of XXH64 of what is in the frame.
    checksum: u32,
}

impl BlockFrame {
    /// Where the next frame starts.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }

    /// Bytes of the block, decompressed, with the length before it.
    pub fn content_length(&self) -> usize {
        self.content_length as usize
    }

    /// Reads the block from the bytes of its frame. Verifies length, both checksums and number.
    pub fn decode(&self, file: &str, frame: &[u8], decompressor: &mut Decompressor<'_>) -> Result<EncodedBlock> {
        let damaged = |why: &dyn std::fmt::Display| {
            let at = format!("frame of block {} at byte {} of the file", self.number, self.offset);
            Error::damaged(file, None, format!("{at}: {why}"))
        };
        let content_length = self.content_length as usize;
        let whole = find_frame_compressed_size(frame) == Ok(frame.len()) && frame.len() == self.length as usize;
        if !whole || get_frame_content_size(frame).ok().flatten() != Some(content_length as u64) {
            return Err(damaged(&"it is not the frame that the seek table describes"));
        }
        if content_length > dbin::MAX_MESSAGE_BYTES + 4 {
            return Err(damaged(&format!("{content_length} bytes, the limit is {}", dbin::MAX_MESSAGE_BYTES + 4)));
        }
        let content = Bytes::from(decompressor.decompress(frame, content_length).map_err(|e| damaged(&e))?);
        if checksum(&content) != self.checksum {
            return Err(damaged(&"its content does not match the checksum in the seek table"));
        }
        if content.len() < 4 || content[..4] != ((content.len() - 4) as u32).to_be_bytes() {
            return Err(damaged(&"it does not hold one message"));
        }
        let block = EncodedBlock::from_envelope(content.slice(4..)).map_err(|e| damaged(&e))?;
        if block.number() != self.number {
            return Err(damaged(&format!("it holds block {}", block.number())));
        }
        Ok(block)
    }
}

/// Where the blocks of a bundle are: its seek table and block table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockTable {
    frames: Vec<BlockFrame>,
}

impl BlockTable {
    /// Reads the tables from the last bytes of a file, [`TAIL_BYTES`] or the whole file, whose length is `size`. None if
    /// the file does not end with tables of ours, or they contradict the file or themselves.
    pub(crate) fn parse(size: u64, tail: &[u8]) -> Option<Self> {
        let (rest, mut footer) = tail.split_at_checked(tail.len().checked_sub(SEEK_FOOTER_BYTES)?)?;
        let count = footer.get_u32_le() as usize;
        let ours = footer.get_u8() == WITH_CHECKSUMS && footer.get_u32_le() == SEEKABLE_MAGIC;
        let blocks = count.checked_sub(FRAMES_BESIDE_BLOCKS)?;
        if !ours || blocks > BUNDLE_BLOCKS as usize {
            return None;
        }
        let (rest, mut entries) = rest.split_at_checked(rest.len().checked_sub(count * SEEK_ENTRY_BYTES)?)?;
        let seek_table_bytes = (entries.len() + SEEK_FOOTER_BYTES) as u32;
        let rest = skippable_header(rest, SEEK_TABLE_MAGIC, seek_table_bytes)?;
        let end_of_frames = size - (tail.len() - rest.len()) as u64;
        let (rest, numbers) = rest.split_at_checked(rest.len().checked_sub((blocks + 1) * 4)?)?;
        skippable_header(rest, OWN_MAGIC, numbers.len() as u32)?;
        let (mut numbers, mut numbers_checksum) = numbers.split_at(blocks * 4);
        if checksum(numbers) != numbers_checksum.get_u32_le() {
            return None;
        }

        let mut frames = Vec::with_capacity(blocks);
        let mut offset = 0;
        for at in 0..count {
            let (length, content_length, checksum) = (entries.get_u32_le(), entries.get_u32_le(), entries.get_u32_le());
            if (2..count - 1).contains(&at) {
                frames.push(BlockFrame { number: numbers.get_u32_le(), offset, length, content_length, checksum });
            }
            offset += u64::from(length);
        }
        let ascending = frames.is_sorted_by(|a, b| a.number < b.number);
        (offset == end_of_frames && ascending).then_some(Self { frames })
    }

    /// All blocks, ascending.
    pub fn frames(&self) -> &[BlockFrame] {
        &self.frames
    }

    /// The block with this number.
    pub fn find(&self, number: u32) -> Option<&BlockFrame> {
        self.frames.binary_search_by_key(&number, |frame| frame.number).ok().map(|at| &self.frames[at])
    }
}

/// What is before the header of a skippable frame whose content follows `data`.
fn skippable_header(data: &[u8], magic: u32, length: u32) -> Option<&[u8]> {
    let (rest, mut header) = data.split_at_checked(data.len().checked_sub(SKIPPABLE_HEADER_BYTES)?)?;
    (header.get_u32_le() == magic && header.get_u32_le() == length).then_some(rest)
}

/// Reads a block file of any writer from start to end: zstd in any number of frames, or dbin uncompressed.
pub struct StreamReader {
    messages: dbin::Reader<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").field("offset", &self.messages.offset()).finish_non_exhaustive()
    }
}

impl StreamReader {
    /// Reads the header; `file` is the name used in errors.
    pub fn new(file: &str, data: Bytes) -> Result<Self> {
        let stream: Box<dyn Read + Send> = if data.starts_with(b"dbin") {
            Box::new(Cursor::new(data))
        } else {
            if is_marked(&data) && BlockTable::parse(data.len() as u64, &data).is_none() {
                return Err(Error::damaged(file, None, "the tables at its end are missing or damaged"));
            }
            Box::new(zstd::Decoder::with_buffer(Cursor::new(data)).map_err(|e| Error::damaged(file, 0, e))?)
        };
        Ok(Self { messages: dbin::Reader::new(file, stream)? })
    }

    /// The next block, or none at the end.
    pub fn block(&mut self) -> Result<Option<EncodedBlock>> {
        let at = self.messages.offset();
        let Some(envelope) = self.messages.message()? else { return Ok(None) };
        EncodedBlock::from_envelope(envelope.clone()).map(Some).map_err(|e| match self.other_type(&envelope) {
            Some(found) => Error::OtherType { file: self.messages.file().to_owned(), found },
            None => self.messages.damaged_at(at, e),
        })
    }

    /// The type of a message that is not a block of an Antelope chain, by its own word or by that of the header.
    fn other_type(&self, envelope: &Bytes) -> Option<String> {
        let payload = Envelope::read(envelope).ok().and_then(|envelope| envelope.payload).map(|any| any.type_url);
        let is_of_antelope = |found: &str| {
            let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
            [ANTELOPE_BLOCK_TYPE_URL, EOSIO_BLOCK_TYPE_URL].iter().any(|known| name(known) == name(found))
                || (self.messages.version() == 0 && found.starts_with("EOS"))
        };
        payload.into_iter().chain([self.messages.content_type().to_owned()]).find(|found| !is_of_antelope(found))
    }
}

/// Whether the marker of our own bundles follows the first frame.
fn is_marked(file: &[u8]) -> bool {
    let after_header = find_frame_compressed_size(file).ok().and_then(|length| file.get(length..));
    let mut marker = vec![];
    put_skippable(&mut marker, OWN_MAGIC, MARKER);
    after_header.is_some_and(|rest| rest.starts_with(&marker))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{chain, dbin_stream};

    fn read_stream(data: impl Into<Bytes>) -> Result<Vec<EncodedBlock>> {
        let mut reader = StreamReader::new("f", data.into())?;
        let mut blocks = vec![];
        while let Some(block) = reader.block()? {
            blocks.push(block);
        }
        Ok(blocks)
    }

    /// As the store reads: the tables, then frame by frame; without tables from start to end.
    fn read_frames(file: &[u8]) -> Result<Vec<EncodedBlock>> {
        let tail = &file[file.len().saturating_sub(TAIL_BYTES as usize)..];
        let Some(table) = BlockTable::parse(file.len() as u64, tail) else { return read_stream(file.to_vec()) };
        let mut decompressor = Decompressor::new().unwrap();
        let frames = table.frames().iter();
        frames.map(|f| f.decode("f", &file[f.offset as usize..f.end() as usize], &mut decompressor)).collect()
    }

    #[test]
    fn any_decoder_reads_the_dbin_stream() {
        for blocks in [chain(2, 98, 300), chain(100, 100, 0), chain(7, 1, 3 << 20), vec![]] {
            let file = encode(&blocks, 3).unwrap();
            assert_eq!(zstd::decode_all(&file[..]).unwrap(), dbin_stream(&blocks));
            assert_eq!(read_frames(&file).unwrap(), blocks);
            assert_eq!(read_stream(file).unwrap(), blocks);
        }
    }

    #[test]
    fn foreign_files_are_read() {
        let blocks = chain(100, 100, 50);
        let stream = dbin_stream(&blocks);
        assert_eq!(read_frames(&stream).unwrap(), blocks);
        assert_eq!(read_frames(&zstd::encode_all(&stream[..], 1).unwrap()).unwrap(), blocks);
        let (header, messages) = stream.split_at(header().len());
        let two_frames = [zstd::encode_all(header, 1).unwrap(), zstd::encode_all(messages, 1).unwrap()].concat();
        assert_eq!(read_frames(&two_frames).unwrap(), blocks);
        let version_0 = [b"dbin\0EOS01", messages].concat();
        assert_eq!(read_frames(&zstd::encode_all(&version_0[..], 1).unwrap()).unwrap(), blocks);
    }

    /// Ids of other chains do not begin with the block's number, so their envelopes cannot be ours.
    #[test]
    fn files_of_other_chains_are_named() {
        let message = [dbin::length_prefix(b"\x08\x05").unwrap().to_vec(), b"\x08\x05".to_vec()].concat();
        let ethereum = "type.googleapis.com/sf.ethereum.type.v2.Block";
        for (header, found) in [
            (dbin::header(ethereum).to_vec(), ethereum),
            (dbin::header("sf.solana.type.v1.Block").to_vec(), "sf.solana.type.v1.Block"),
            (b"dbin\0ETH01".to_vec(), "ETH01"),
        ] {
            let stream = [header, message.clone()].concat();
            for file in [stream.clone(), zstd::encode_all(&stream[..], 1).unwrap()] {
                let error = read_stream(file).unwrap_err();
                assert!(matches!(&error, Error::OtherType { found: other, .. } if other == found), "{error}");
                assert!(error.to_string().starts_with("f is of another kind of chain: it holds"), "{error}");
            }
        }
        // The payload says it where the header does not, and a broken envelope of our type stays damage.
        let blocks = chain(100, 1, 0);
        let at = blocks[0].envelope().windows(23).position(|part| part == b"sf.antelope.type.v1.Blo").unwrap();
        let mut envelope = blocks[0].envelope().to_vec();
        envelope[at + 3..at + 11].copy_from_slice(b"ethereum");
        let id = envelope.windows(8).position(|part| part == b"00000064").unwrap();
        envelope[id..id + 8].copy_from_slice(b"deadbeef");
        let length = dbin::length_prefix(&envelope).unwrap();
        let error = read_stream([&header()[..], &length, &envelope].concat()).unwrap_err();
        assert!(matches!(&error, Error::OtherType { found, .. } if found.contains("sf.ethereum.type.v1")), "{error}");
        let error = read_stream([&header()[..], &message].concat()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }

    #[test]
    fn tables_of_a_full_bundle_fit_the_tail() {
        let blocks = chain(100, 100, 0);
        let file = encode(&blocks, 3).unwrap();
        let tail = &file[file.len() - TAIL_BYTES as usize..];
        let table = BlockTable::parse(file.len() as u64, tail).unwrap();
        assert_eq!(table.frames().len(), 100);
        assert_eq!(table.find(142).unwrap().number, 142);
        assert_eq!(table.find(99), None);
    }

    #[test]
    fn holes_are_kept_and_disorder_refused() {
        let mut blocks = chain(100, 10, 5);
        blocks.remove(4);
        assert_eq!(read_frames(&encode(&blocks, 3).unwrap()).unwrap(), blocks);
        blocks.swap(1, 2);
        assert!(matches!(encode(&blocks, 3), Err(Error::Usage(_))));
        assert!(matches!(encode(&chain(1, 101, 0), 3), Err(Error::Usage(_))));
    }

    #[test]
    fn a_cut_anywhere_is_an_error() {
        let blocks = chain(100, 4, 60);
        let file = encode(&blocks, 3).unwrap();
        let header_frame = find_frame_compressed_size(&file).unwrap();
        for end in 0..file.len() {
            match read_frames(&file[..end]) {
                // The one cut that leaves a valid file of another kind; the store takes no bundle without blocks.
                Ok(read) => assert!(end == header_frame && read.is_empty(), "{end}"),
                Err(Error::Damaged { .. }) => {}
                Err(other) => panic!("{end}: {other}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn round_trip(first in 1u32..5_000_000, sizes in prop::collection::vec(prop_oneof![0usize..300, Just(1_200_000)], 0..8)) {
            let mut blocks = vec![];
            for (number, size) in (first..).zip(sizes) {
                blocks.extend(chain(number, 1, size));
            }
            let file = encode(&blocks, 3).unwrap();
            prop_assert_eq!(read_frames(&file).unwrap(), blocks.clone());
            prop_assert_eq!(read_stream(file).unwrap(), blocks);
        }

        #[test]
        fn a_flipped_bit_is_an_error_or_harmless(at: prop::sample::Index, bit in 0u8..8) {
            let blocks = chain(100, 4, 60);
            let mut file = encode(&blocks, 3).unwrap();
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            for read in [read_frames(&file), read_stream(file)] {
                match read {
                    Ok(read) => prop_assert_eq!(read, blocks.clone()),
                    Err(error) => prop_assert!(matches!(error, Error::Damaged { .. }), "{}", error),
                }
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read_frames(&bytes);
            let _ = read_frames(&[&bytes[..], &SEEKABLE_MAGIC.to_le_bytes()].concat());
        }
    }
}
