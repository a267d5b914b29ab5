//! The logs of blocks, traces and deltas side by side, by the ids of their blocks.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use bytes::Bytes;
use dfuse_antelope::Checksum256;
use dfuse_ship::{BlockLog, Entry, Error as Wrong, GenesisState, HistoryBlock, HistoryLog, inflated};

use super::{
    HistoryFolders,
    files::{Part, parts},
    wrong,
};
use crate::{Error, Result};

/// Blocks that are decoded together, and about how many bytes of them.
const BATCH_BLOCKS: usize = 64;
const BATCH_BYTES: usize = 16 << 20;
/// Most bytes that the traces of a block decompress to.
const MAX_TRACES: u64 = 1 << 30;
/// A node that has replayed its blocks has the state that a chain begins with in this block, and not in the first.
const SECOND_BLOCK: u32 = 2;

/// A block as it stands in the logs.
pub(super) struct Raw {
    id: Checksum256,
    block: Bytes,
    traces: Option<Vec<u8>>,
    deltas: Option<Vec<u8>>,
    place: String,
}

impl Raw {
    fn bytes(&self) -> usize {
        let history = [&self.traces, &self.deltas].into_iter().flatten().map(Vec::len);
        self.block.len() + history.sum::<usize>()
    }

    pub(super) fn decode(&self) -> Result<HistoryBlock> {
        let wrong = |error| wrong(&self.place, error);
        let mut traces = vec![];
        if let Some(payload) = &self.traces {
            let read = inflated(payload).take(MAX_TRACES).read_to_end(&mut traces);
            read.map_err(|error| {
                wrong(Wrong::Block { number: self.id.block_num(), why: format!("its traces: {error}") })
            })?;
        }
        let none = [0];
        match &self.deltas {
            Some(deltas) => HistoryBlock::decode(self.id, &self.block, &traces.into(), inflated(deltas)),
            None => HistoryBlock::decode(self.id, &self.block, &traces.into(), &none[..]),
        }
        .map_err(wrong)
    }
}

/// What the block log says of its chain.
pub(super) struct Chain {
    pub(super) chain_id: Checksum256,
    /// What the chain began with, if the log does, too.
    pub(super) genesis: Option<GenesisState>,
}

/// The logs, at the next block.
pub(super) struct Logs {
    place: String,
    /// A block whose history was not found.
    waiting: Option<(Checksum256, Bytes)>,
    /// What the next call is told, since the last one had blocks before it.
    failed: Option<Error>,
    blocks: Blocks,
    traces: History,
    deltas: History,
}

impl Logs {
    pub(super) fn open(folders: &HistoryFolders) -> Result<Self> {
        let blocks = folders.blocks().to_owned();
        let blocks =
            Blocks { parts: parts(&blocks, "blocks")?.into(), folder: blocks, open: None, next: 0, unfinished: None };
        let open = |name| History::open(folders.history().to_owned(), name);
        Ok(Self {
            place: folders.to_string(),
            waiting: None,
            failed: None,
            blocks,
            traces: open("trace_history")?,
            deltas: open("chain_state_history")?,
        })
    }

    /// Of which chain the block log is.
    pub(super) fn chain(&mut self) -> Result<Chain> {
        match self.blocks.chain()? {
            Some((chain_id, genesis)) => Ok(Chain { chain_id, genesis }),
            None => Err(self.missing(&format!("there is no blocks.log in {}", self.blocks.folder.display()))),
        }
    }

    /// Reads the first block, which must be that of the chain: in its middle nobody knows what came before.
    pub(super) fn genesis(&mut self, chain: Chain) -> Result<(GenesisState, HistoryBlock)> {
        let first = self.blocks.next()?;
        let Some((genesis, block)) = chain.genesis.zip(first.filter(|block| block.0.block_num() == 1)) else {
            return Err(self.missing(
                "the block log does not begin with the first block of the chain, and no state of a later one was loaded; begin \
                 with an empty data directory, or with --snapshot"
            ));
        };
        // A node that has replayed its blocks has no history of the first.
        let deltas = self.deltas.entry(block.0)?;
        let raw = Raw { id: block.0, block: block.1, traces: None, deltas, place: self.place.clone() };
        Ok((genesis, raw.decode()?))
    }

    /// The block of the first entry of deltas, and that entry, which is the whole state; absent if it is the beginning of a chain.
    pub(super) fn first_state(&mut self) -> Result<Option<(Checksum256, impl Read + use<>)>> {
        let Some((entry, log)) = self.deltas.first()? else { return Ok(None) };
        if entry.block_id.block_num() <= SECOND_BLOCK {
            return Ok(None);
        }
        if entry.offset > 0 {
            return Err(self.missing(&format!(
                "{}.log was pruned up to block {}, and no state of a later one was loaded; begin with --snapshot and a snapshot \
                 of a block that the logs still have",
                self.deltas.name,
                entry.block_id.block_num() - 1
            )));
        }
        let place = log.part.place();
        let content = log.log.into_content(entry).map_err(|error| wrong(&place, error))?;
        Ok(Some((entry.block_id, content)))
    }

    /// Goes on with the block of that number, which must be there once there are more.
    pub(super) fn go_to(&mut self, number: u32) -> Result<()> {
        self.blocks.go_to(number)
    }

    fn missing(&self, why: &str) -> Error {
        Error::HistoryMissing(format!("{}: {why}", self.place))
    }

    /// The next blocks, as many as are decoded together; none at the end. After an error the next call tries the same block.
    pub(super) fn batch(&mut self) -> Result<Vec<Raw>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut batch, mut bytes) = (vec![], 0);
        while batch.len() < BATCH_BLOCKS && bytes < BATCH_BYTES {
            match self.next() {
                Ok(Some(raw)) => {
                    bytes += raw.bytes();
                    batch.push(raw);
                }
                Ok(None) => break,
                Err(error) if batch.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(batch)
    }

    fn next(&mut self) -> Result<Option<Raw>> {
        let next = match self.waiting.take() {
            Some(waiting) => Some(waiting),
            None => self.blocks.next()?,
        };
        let Some((id, block)) = next else { return Ok(None) };
        let history = self.traces.required(id).and_then(|traces| Ok((traces, self.deltas.required(id)?)));
        match history {
            Ok((traces, deltas)) => {
                Ok(Some(Raw { id, block, traces: Some(traces), deltas: Some(deltas), place: self.place.clone() }))
            }
            Err(error) => {
                self.waiting = Some((id, block));
                Err(error)
            }
        }
    }

    pub(super) fn next_number(&self) -> u32 {
        self.blocks.next
    }

    /// Says if the block log ends inside a block.
    pub(super) fn tell_unfinished(&self) {
        if let Some(offset) = self.blocks.unfinished {
            tracing::warn!(
                offset,
                block = self.blocks.next,
                "the block log ends inside a block, which was left out: its node was killed, or is writing"
            );
        }
    }

    /// Opens what has grown anew.
    pub(super) fn look_again(&mut self) -> Result<()> {
        self.blocks.look_again()?;
        self.traces.look_again()?;
        self.deltas.look_again()
    }
}

/// The block log, part by part.
struct Blocks {
    folder: PathBuf,
    parts: std::collections::VecDeque<Part>,
    /// The part at hand, and where the next block begins in it.
    open: Option<(Part, BlockLog<File>, u64)>,
    /// The number of the next block; 0 before the first.
    next: u32,
    /// Where the block begins that is not complete.
    unfinished: Option<u64>,
}

impl Blocks {
    /// The chain's id, and what it began with; nothing without a log.
    fn chain(&mut self) -> Result<Option<(Checksum256, Option<GenesisState>)>> {
        if !self.advance()? {
            return Ok(None);
        }
        Ok(self.open.as_ref().map(|(_, log, _)| (log.chain_id(), log.genesis().cloned())))
    }

    /// Goes on with the block of that number: at its place, where an index says it, or else past those before it.
    fn go_to(&mut self, number: u32) -> Result<()> {
        self.next = number;
        let is_before = |part: &Part| part.range.is_some_and(|(_, last)| last < number);
        if self.open.as_ref().is_some_and(|(part, _, _)| is_before(part)) {
            self.open = None;
            while self.parts.front().is_some_and(is_before) {
                self.parts.pop_front();
            }
            self.advance()?;
        }
        let Some((part, mut log, mut place)) = self.open.take() else { return Ok(()) };
        let at = number.checked_sub(log.first_block_num()).filter(|_| !log.is_pruned());
        let index = File::open(part.index()).ok().map(Offsets::Index);
        let offset = index.map(|mut index| index.of(at)).transpose().map_err(|error| wrong(&part.place(), error))?;
        if let Some(offset) = offset.flatten() {
            log = log.seek(offset).map_err(|error| wrong(&part.place(), error))?;
            place = offset;
        }
        self.open = Some((part, log, place));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Checksum256, Bytes)>> {
        loop {
            let Some((part, log, end)) = &mut self.open else {
                if self.advance()? {
                    continue;
                }
                return Ok(None);
            };
            let logged = match log.next_block() {
                Ok(logged) => logged,
                // The log that goes on may be written at this moment.
                Err(Wrong::Truncated { offset, .. }) if part.range.is_none() => {
                    self.unfinished = Some(offset);
                    return Ok(None);
                }
                Err(error) => return Err(wrong(&part.place(), error)),
            };
            let Some(logged) = logged else {
                if part.range.is_none() {
                    return Ok(None);
                }
                self.open = None;
                continue;
            };
            *end = logged.offset + logged.block.len() as u64 + 8;
            let number = logged.id.block_num();
            if number < self.next {
                continue;
            }
            if self.next != 0 && number > self.next {
                let why = format!("{}: blocks {} to {} are missing", part.path.display(), self.next, number - 1);
                return Err(Error::HistoryMissing(why));
            }
            self.next = number + 1;
            return Ok(Some((logged.id, logged.block)));
        }
    }

    fn advance(&mut self) -> Result<bool> {
        let Some(part) = self.parts.pop_front() else { return Ok(false) };
        let log = BlockLog::open(part.open()?).map_err(|error| wrong(&part.place(), error))?;
        self.open = Some((part, log, 0));
        Ok(true)
    }

    /// A log that goes on is read on from where it ended. If it was split meanwhile, its blocks are in a part now.
    fn look_again(&mut self) -> Result<()> {
        self.unfinished = None;
        let next = self.next;
        let found = parts(&self.folder, "blocks")?;
        let is_wanted = |part: &Part| part.range.is_none_or(|(_, last)| last >= next);
        let found: std::collections::VecDeque<_> = found.into_iter().filter(is_wanted).collect();
        let Some((part, log, end)) = self.open.take() else {
            self.parts = found;
            return Ok(());
        };
        let first = log.first_block_num();
        let goes_on = found.len() == 1 && found.front() == Some(&part);
        self.parts = found;
        if goes_on && self.advance()? {
            let (part, log, _) = self.open.take().expect("it was opened");
            if log.first_block_num() != first {
                // It was split after it was listed.
                return Ok(());
            }
            // Where no block was read yet, it begins behind the preamble.
            let log = if end == 0 { log } else { log.seek(end).map_err(|error| wrong(&part.place(), error))? };
            self.open = Some((part, log, end));
        }
        Ok(())
    }
}

/// A log of traces or deltas, part by part.
struct History {
    folder: PathBuf,
    name: &'static str,
    parts: Vec<Part>,
    open: Option<Open>,
}

/// A part at hand.
struct Open {
    part: Part,
    log: HistoryLog<File>,
    /// Of the first block in the file.
    first: u32,
    offsets: Offsets,
}

/// Where entries begin.
enum Offsets {
    /// As the file beside the log says.
    Index(File),
    /// As the log itself says.
    Found(Vec<u64>),
}

impl History {
    fn open(folder: PathBuf, name: &'static str) -> Result<Self> {
        let parts = parts(&folder, name)?;
        if parts.is_empty() {
            let why = format!("{}: there is no {name}.log; the node needs the option for it", folder.display());
            return Err(Error::HistoryMissing(why));
        }
        Ok(Self { folder, name, parts, open: None })
    }

    fn required(&mut self, id: Checksum256) -> Result<Vec<u8>> {
        match self.entry(id)? {
            Some(payload) => Ok(payload),
            None => Err(Error::HistoryMissing(format!(
                "{}: {}.log has no entry of block {} {id}: it was pruned, or began later; take logs that have it, or another source",
                self.folder.display(),
                self.name,
                id.block_num()
            ))),
        }
    }

    /// The payload of a block's entry.
    fn entry(&mut self, id: Checksum256) -> Result<Option<Vec<u8>>> {
        let number = id.block_num();
        let is_open = self.open.as_ref().is_some_and(|open| open.part.has(number));
        // A node puts an old part elsewhere at any time.
        if !is_open && self.open_part(number).is_err() {
            self.look_again()?;
            self.open_part(number)?;
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        let wrong = |error| wrong(&open.part.place(), error);
        let Some(offset) = open.offsets.of(number.checked_sub(open.first)).map_err(wrong)? else { return Ok(None) };
        let entry = open.log.entry_at(offset).map_err(wrong)?;
        if entry.block_id != id {
            return Ok(None);
        }
        open.log.payload(&entry).map(Some).map_err(wrong)
    }

    /// Opens the part that has a block, if there is one.
    fn open_part(&mut self, number: u32) -> Result<()> {
        let part = self.parts.iter().find(|part| part.has(number)).cloned();
        self.open = part.map(Open::new).transpose()?;
        Ok(())
    }

    /// The first entry, and the part that it is in.
    fn first(&mut self) -> Result<Option<(Entry, Open)>> {
        let Some(part) = self.parts.first() else { return Ok(None) };
        let mut open = Open::new(part.clone())?;
        let entry = open.log.first_entry().map_err(|error| wrong(&open.part.place(), error))?;
        Ok(entry.map(|entry| (entry, open)))
    }

    fn look_again(&mut self) -> Result<()> {
        self.parts = parts(&self.folder, self.name)?;
        self.open = None;
        Ok(())
    }
}

impl Part {
    fn has(&self, number: u32) -> bool {
        self.range.is_none_or(|(first, last)| (first..=last).contains(&number))
    }
}

impl Open {
    fn new(part: Part) -> Result<Self> {
        let mut log = HistoryLog::open(part.open()?).map_err(|error| wrong(&part.place(), error))?;
        let first = log.next_entry().map_err(|error| wrong(&part.place(), error))?;
        let Some(entry) = first else {
            return Ok(Self { part, log, first: 0, offsets: Offsets::Found(vec![]) });
        };
        let kept = entry.block_id.block_num();
        // The index of a pruned log keeps the places of blocks that are gone.
        let index = File::open(part.index()).ok().filter(|_| entry.offset == 0);
        let offsets = match index {
            Some(index) => Offsets::Index(index),
            None => Offsets::Found(scan(&mut log, entry.offset, kept).map_err(|error| wrong(&part.place(), error))?),
        };
        Ok(Self { part, log, first: kept, offsets })
    }
}

/// Entries by number, from that of the first. The newest one of a number counts. An end that is not complete is left out.
fn scan(log: &mut HistoryLog<File>, begin: u64, first: u32) -> Result<Vec<u64>, Wrong> {
    let mut offsets = vec![begin];
    loop {
        let entry = match log.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(offsets),
            Err(Wrong::Truncated { offset, what }) => {
                tracing::warn!(
                    offset,
                    what,
                    "a log of state history ends unfinished: its node was killed, or is writing"
                );
                return Ok(offsets);
            }
            Err(error) => return Err(error),
        };
        if let Some(at) = entry.block_id.block_num().checked_sub(first) {
            offsets.truncate(at as usize);
            offsets.push(entry.offset);
        }
    }
}

impl Offsets {
    fn of(&mut self, at: Option<u32>) -> Result<Option<u64>, Wrong> {
        let Some(at) = at else { return Ok(None) };
        let index = match self {
            Self::Found(offsets) => return Ok(offsets.get(at as usize).copied()),
            Self::Index(index) => index,
        };
        let place = u64::from(at) * 8;
        let mut offset = [0; 8];
        match index.seek(SeekFrom::Start(place)).and_then(|_| index.read_exact(&mut offset)) {
            Ok(()) => Ok(Some(u64::from_le_bytes(offset))),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(source) => Err(Wrong::Io { offset: place, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Cursor};

    use dfuse_testkit::recorded;

    use super::*;

    #[test]
    fn a_log_that_had_no_block_yet_is_read_on_behind_its_preamble() {
        let Some(log) = recorded::tar_member("small/ship-and-blocks.tar.zst", "blocks/blocks.log") else { return };
        let first = BlockLog::open(Cursor::new(&log)).unwrap().next_block().unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocks.log");
        fs::write(&path, &log[..first.offset as usize]).unwrap();
        let parts = parts(folder.path(), "blocks").unwrap().into();
        let mut blocks = Blocks { folder: folder.path().to_owned(), parts, open: None, next: 0, unfinished: None };
        assert_eq!(blocks.next().unwrap(), None);
        fs::write(&path, &log).unwrap();
        blocks.look_again().unwrap();
        assert_eq!(blocks.next().unwrap(), Some((first.id, first.block)));
    }
}
