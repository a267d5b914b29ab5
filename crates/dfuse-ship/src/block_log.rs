//! The block log of nodeos, `blocks.log`: final blocks one after the other, also split and pruned.
//!
//! A preamble says of which chain it is. Behind each block stands the place at which the block begins.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use dfuse_antelope::{
    self as antelope, Checksum256, Name, PublicKey, Signature, TimePoint,
    chain::unpack_extensions,
    model::BlockHeader,
    raw::{Reader, Writer},
};

use crate::{DeltaRow, Error, Result, StateRow, window::Window};

/// In the version: old blocks were punched out of the file.
const PRUNED: u32 = 1 << 31;
/// What the preamble ends with.
const TOTEM: u64 = u64::MAX;
/// Bytes of the place behind a block.
const PLACE: u64 = 8;
/// Bytes of the count at the end of a pruned log.
const COUNT: u64 = 4;
/// Bytes of `chain_config` in a genesis state.
const CHAIN_CONFIG: usize = 8 + 14 * 4 + 2 * 2;

/// What a chain begins with, as far as its first block needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisState {
    /// The key of the only producer.
    pub initial_key: PublicKey,
}

impl GenesisState {
    /// As the deltas of the first blocks tell it: the first producer is `eosio`, whose permissions have the key.
    pub fn of_state(deltas: &[DeltaRow]) -> Option<Self> {
        let keys = deltas.iter().find_map(|delta| match &delta.row {
            StateRow::Permission(permission) if permission.owner == Name::literal("eosio") => {
                Some(&permission.authority.keys)
            }
            _ => None,
        })?;
        keys.first().map(|(key, _)| Self { initial_key: key.clone() })
    }
}

/// A block of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedBlock {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its id.
    pub id: Checksum256,
    /// The packed `signed_block`.
    pub block: Bytes,
}

/// Reads a block log from its first kept block to its end.
pub struct BlockLog<F> {
    window: Window<F>,
    chain_id: Checksum256,
    genesis: Option<GenesisState>,
    first_block_num: u32,
    /// Where blocks end.
    end: u64,
    is_pruned: bool,
}

struct Preamble {
    version: u32,
    first_block_num: u32,
    chain_id: Checksum256,
    genesis: Option<GenesisState>,
}

impl<F: Read + Seek> BlockLog<F> {
    /// Begins to read a log. What is appended later is not seen.
    ///
    /// # Errors
    /// The file cannot be read, is something else, or is pruned and damaged.
    pub fn open(mut file: F) -> Result<Self> {
        let io = |source| Error::Io { offset: 0, source };
        let mut end = file.seek(SeekFrom::End(0)).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut window = Window::new(file);
        let preamble = window.frame("the preamble of a block log", preamble).map_err(|error| match error {
            Error::Damaged { why, .. } => Error::NotABlockLog { why },
            Error::Truncated { .. } => Error::NotABlockLog { why: "it ends inside its preamble".to_owned() },
            other => other,
        })?;
        let Preamble { version, mut first_block_num, chain_id, genesis } = preamble;
        if version & PRUNED != 0 {
            let begin = window.offset();
            let mut file = window.into_source();
            let (first, blocks_end) = first_kept(&mut file, begin, end)?;
            end = blocks_end;
            file.seek(SeekFrom::Start(first)).map_err(|source| Error::Io { offset: first, source })?;
            window = Window::at(file, first);
            if first < end {
                let header = window.peek("a block", BlockHeader::unpack)?;
                first_block_num = header.block_num();
            }
        }
        Ok(Self { window, chain_id, genesis, first_block_num, end, is_pruned: version & PRUNED != 0 })
    }

    /// Whether old blocks were punched out of the file.
    pub fn is_pruned(&self) -> bool {
        self.is_pruned
    }

    /// The chain's id.
    pub fn chain_id(&self) -> Checksum256 {
        self.chain_id
    }

    /// What the chain begins with, if the log knows it.
    pub fn genesis(&self) -> Option<&GenesisState> {
        self.genesis.as_ref()
    }

    /// The number of the first block in the file.
    pub fn first_block_num(&self) -> u32 {
        self.first_block_num
    }

    /// Goes on at a block's place, which an index knows.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn seek(self, offset: u64) -> Result<Self> {
        let mut file = self.window.into_source();
        file.seek(SeekFrom::Start(offset)).map_err(|source| Error::Io { offset, source })?;
        Ok(Self { window: Window::at(file, offset), ..self })
    }

    /// The next block. `None` is the end of the log. A block that is not complete is an error at its offset: the node was killed
    /// while it wrote, or is writing.
    ///
    /// # Errors
    /// The file cannot be read, is cut off or damaged.
    pub fn next_block(&mut self) -> Result<Option<LoggedBlock>> {
        let offset = self.window.offset();
        if offset >= self.end {
            return Ok(None);
        }
        let (id, block, place) = self.window.frame("a block", |r| {
            let before = r.remaining();
            let header = skip_block(r)?;
            let block = &before[..before.len() - r.remaining().len()];
            // The place comes first: the id takes longer, and may be wanted again when more was read.
            let place = r.u64()?;
            Ok((header.id()?, Bytes::copy_from_slice(block), place))
        })?;
        if place != offset {
            return Err(damaged(offset, "its end does not say where it begins"));
        }
        Ok(Some(LoggedBlock { offset, id, block }))
    }
}

fn preamble(reader: &mut Reader<'_>) -> antelope::Result<Preamble> {
    let invalid = |why: String| antelope::Error::invalid("block log", why);
    let version = reader.u32()?;
    match version & !PRUNED {
        1..=3 => {}
        4 => return Err(invalid("it is of EOSIO 2.1, which cannot be read".to_owned())),
        _ => return Err(invalid(format!("it has version {version} instead of 1, 2 or 3"))),
    }
    let is_oldest = version & !PRUNED == 1;
    let first_block_num = if is_oldest { 1 } else { reader.u32()? };
    let (chain_id, genesis) = if version & !PRUNED < 3 || first_block_num == 1 {
        let (initial_timestamp, initial_key) = (TimePoint(reader.i64()?), PublicKey::read(reader)?);
        let configuration = reader.take(CHAIN_CONFIG, "the configuration of a chain")?;
        let mut packed = Writer::new();
        packed.i64(initial_timestamp.0);
        initial_key.write(&mut packed);
        packed.take(configuration);
        (Checksum256::sha256(&packed.bytes), Some(GenesisState { initial_key }))
    } else {
        (reader.checksum256()?, None)
    };
    if !is_oldest && reader.u64()? != TOTEM {
        return Err(invalid("its preamble does not end as one".to_owned()));
    }
    Ok(Preamble { version, first_block_num, chain_id, genesis })
}

/// Passes over a `signed_block`; only its header is looked into.
fn skip_block(reader: &mut Reader<'_>) -> antelope::Result<BlockHeader> {
    let header = BlockHeader::unpack(reader)?;
    Signature::read(reader)?;
    reader.list(7, "transaction receipts", |r| {
        r.take(5, "receipt")?;
        r.varuint32()?;
        match r.varuint32()? {
            0 => r.take(32, "transaction id").map(drop),
            1 => {
                r.list(66, "signatures", |r| Signature::read(r).map(drop))?;
                r.u8()?;
                r.blob("packed_context_free_data")?;
                r.blob("packed_trx").map(drop)
            }
            other => Err(antelope::Error::invalid("transaction receipt", format!("unknown variant {other}"))),
        }
    })?;
    unpack_extensions(reader)?;
    Ok(header)
}

/// Goes back from the end of a pruned log by the places behind blocks: where kept blocks begin, and where they end.
fn first_kept<F: Read + Seek>(file: &mut F, begin: u64, end: u64) -> Result<(u64, u64)> {
    let cut = || Error::Truncated { offset: begin, what: "a pruned block log".to_owned() };
    let end = end.checked_sub(COUNT).filter(|end| *end >= begin).ok_or_else(cut)?;
    let kept = u32::from_le_bytes(bytes(file, end)?);
    let mut next = end;
    for _ in 0..kept {
        let place = next.checked_sub(PLACE).filter(|place| *place > begin);
        let place = place.ok_or_else(|| damaged(next, "blocks are missing"))?;
        let block = u64::from_le_bytes(bytes(file, place)?);
        if block >= place || block < begin {
            return Err(damaged(place, "the place behind a block is not where it begins"));
        }
        next = block;
    }
    Ok((next, end))
}

fn bytes<const N: usize>(file: &mut (impl Read + Seek), offset: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::Truncated { offset, what: "a block".to_owned() })
        }
        Err(source) => Err(Error::Io { offset, source }),
    }
}

fn damaged(offset: u64, why: &str) -> Error {
    Error::Damaged { offset, what: "a block".to_owned(), why: why.to_owned() }
}
