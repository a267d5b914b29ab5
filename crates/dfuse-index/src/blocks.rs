//! Blocks by number, id, time and global sequence, and their transactions.

use std::ops::{Bound, RangeInclusive};

use bytes::Bytes;
use dfuse_antelope::{BlockTimestamp, Checksum, Checksum256};
use dfuse_kv::{Direction, KeyRange};

use crate::{
    Aging, BlockContext, Delta, DeltaBuilder, EarlierWay, Family, Index, Kept, Part, Result, View,
    block_filters::{self, AppliedFilter, FILTERS},
    codec::{ValueReader, put_varint},
    index::global_sequences,
};

/// Number to what is known of the block.
pub const BLOCKS: Family = Family::new("block");
/// Number to transactions.
pub const BLOCK_TRANSACTIONS: Family = Family::new("block-transactions");
/// First global sequence of a block to its number.
pub const SEQUENCES: Family = Family::new("sequence");
/// Block time and number.
pub const TIMES: Family = Family::new("time");

/// Numbers of blocks that were made of state history.
pub const STATE_HISTORY_BLOCKS: Family = Family::new("state-history-block");

/// The index of blocks. Its name is `blocks`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blocks;

/// What the index knows of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedBlock {
    /// Height.
    pub number: u32,
    /// Block id.
    pub id: Checksum256,
    /// Block time.
    pub time: BlockTimestamp,
    /// Number of the last irreversible block, as this one knows it.
    pub lib_number: u32,
    /// Receipts in the block.
    pub transactions: u32,
    /// Traces of everything that ran, or should have.
    pub transaction_traces: u32,
    /// Actions of the transactions themselves.
    pub input_actions: u32,
    /// All actions.
    pub actions: u32,
    /// Of the first and the last action that was executed for good; absent if there is none.
    pub global_sequences: Option<RangeInclusive<u64>>,
}

/// A transaction trace of a block; its position is that in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTransaction {
    /// Its id.
    pub id: Checksum256,
    /// Of its first action; absent if none was executed for good.
    pub first_global_sequence: Option<u64>,
}

/// Which block to look for by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeMatch {
    /// The one at that time.
    Exact,
    /// The last one at or before it.
    AtOrBefore,
    /// The last one before it.
    Before,
    /// The first one at or after it.
    AtOrAfter,
    /// The first one after it.
    After,
}

/// Blocks without actions that are read before they are skipped.
const NEAR_BLOCKS: u32 = 16;

impl Blocks {
    pub(crate) const fn name(self) -> &'static str {
        "blocks"
    }
}

impl Index for Blocks {
    fn name(&self) -> &'static str {
        Self::name(*self)
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[BLOCKS, BLOCK_TRANSACTIONS, SEQUENCES, STATE_HISTORY_BLOCKS, TIMES, FILTERS]
    }

    fn kept(&self, family: Family) -> Option<Kept> {
        let parts = &[Part::Search, Part::Transactions];
        (family == BLOCK_TRANSACTIONS).then_some(Kept { parts, aging: Aging::Blocks { offset: 0 } })
    }

    fn earlier_way(&self) -> EarlierWay {
        EarlierWay::Blocks
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let block = context.block();
        let before = block_filters::at(view, block.number.saturating_sub(1))?;
        let indexed = IndexedBlock {
            number: block.number,
            id: block.id,
            time: block.header.timestamp,
            lib_number: block.lib_num(),
            transactions: block.unfiltered_transaction_count,
            transaction_traces: block.unfiltered_transaction_trace_count,
            input_actions: block.unfiltered_executed_input_action_count,
            actions: block.unfiltered_executed_total_action_count,
            global_sequences: context.global_sequences().cloned(),
        };
        let key = block.number.to_be_bytes();
        let mut delta = DeltaBuilder::new();
        delta.put(BLOCKS, key, indexed.encode());
        delta.put(TIMES, [indexed.time.0.to_be_bytes(), key].concat(), []);
        if block.state_history.is_some() {
            delta.put(STATE_HISTORY_BLOCKS, key, []);
        }
        let first = indexed.global_sequences.as_ref().map_or(0, |sequences| *sequences.start());
        if indexed.global_sequences.is_some() {
            delta.put(SEQUENCES, first.to_be_bytes(), key);
        }
        let mut transactions = Vec::with_capacity(block.transaction_traces().len() * 34);
        for trace in block.transaction_traces() {
            transactions.extend_from_slice(&trace.id.0);
            put_varint(&mut transactions, global_sequences(trace).map_or(0, |own| own.start() - first + 1));
        }
        if !transactions.is_empty() {
            delta.put(BLOCK_TRANSACTIONS, key, transactions);
        }
        if before.is_some() || block.filtering_applied {
            let filter = AppliedFilter::of(block, before.as_ref());
            if before.is_none_or(|before| !before.is_same(&filter)) {
                delta.put(FILTERS, key, filter.encode());
            }
        }
        Ok(delta.build())
    }
}

impl IndexedBlock {
    /// Last 28 bytes of the id (the first four are the number), time in slots (u32); varints: how far the LIB is below,
    /// transactions, traces, input actions, actions, how many global sequences and, if any, the first one.
    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(48);
        value.extend_from_slice(&self.id.0[4..]);
        value.extend_from_slice(&self.time.0.to_be_bytes());
        let below = self.number.wrapping_sub(self.lib_number);
        for number in [below, self.transactions, self.transaction_traces, self.input_actions, self.actions] {
            put_varint(&mut value, number.into());
        }
        match &self.global_sequences {
            None => put_varint(&mut value, 0),
            Some(sequences) => {
                put_varint(&mut value, sequences.end() - sequences.start() + 1);
                put_varint(&mut value, *sequences.start());
            }
        }
        value
    }

    fn decode(number: u32, value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(BLOCKS, value);
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id[4..].copy_from_slice(reader.take(28)?);
        let time = BlockTimestamp(reader.u32()?);
        let lib_number = number.wrapping_sub(reader.varint32()?);
        let [transactions, transaction_traces] = [reader.varint32()?, reader.varint32()?];
        let [input_actions, actions] = [reader.varint32()?, reader.varint32()?];
        let global_sequences = match reader.varint()? {
            0 => None,
            count => {
                let first = reader.varint()?;
                let last = first.checked_add(count - 1).ok_or_else(|| reader.damaged("sequences over 64 bits"))?;
                Some(first..=last)
            }
        };
        reader.finish()?;
        Ok(Self {
            number,
            id: Checksum(id),
            time,
            lib_number,
            transactions,
            transaction_traces,
            input_actions,
            actions,
            global_sequences,
        })
    }
}

/// The block with that number on the view's branch.
pub fn by_number(view: &View, number: u32) -> Result<Option<IndexedBlock>> {
    let value = view.get(BLOCKS, &number.to_be_bytes())?;
    value.map(|value| IndexedBlock::decode(number, &value)).transpose()
}

/// The block with that id, if it is on the view's branch. Blocks of other branches: [`crate::ServingSnapshot::view_at`].
pub fn by_id(view: &View, id: Checksum256) -> Result<Option<IndexedBlock>> {
    Ok(by_number(view, id.block_num())?.filter(|block| block.id == id))
}

/// The block by its time.
pub fn by_time(view: &View, time: BlockTimestamp, which: TimeMatch) -> Result<Option<IndexedBlock>> {
    // Keys of that time are longer than these bounds, so they are above the lower and below the upper one.
    let (from, after) = (time.0.to_be_bytes(), time.0.checked_add(1).map(u32::to_be_bytes));
    let until = |end: Option<[u8; 4]>| end.map_or(Bound::Unbounded, Bound::Excluded);
    let (range, direction) = match which {
        TimeMatch::Exact => (KeyRange::prefix(from.to_vec()), Direction::Forward),
        TimeMatch::AtOrBefore => (KeyRange::new((Bound::Unbounded, until(after))), Direction::Reverse),
        TimeMatch::Before => (KeyRange::new(..from), Direction::Reverse),
        TimeMatch::AtOrAfter => (KeyRange::new(from..), Direction::Forward),
        TimeMatch::After => match after {
            Some(after) => (KeyRange::new(after..), Direction::Forward),
            None => return Ok(None),
        },
    };
    let Some((key, _)) = view.first(TIMES, &range, direction)? else { return Ok(None) };
    let mut reader = ValueReader::new(TIMES, &key);
    reader.u32()?;
    by_number(view, reader.u32()?)
}

/// The block that holds the action with that global sequence.
pub fn by_global_sequence(view: &View, sequence: u64) -> Result<Option<IndexedBlock>> {
    let range = KeyRange::new(..=sequence.to_be_bytes());
    let Some((_, value)) = view.first(SEQUENCES, &range, Direction::Reverse)? else { return Ok(None) };
    let block = by_number(view, ValueReader::new(SEQUENCES, &value).u32()?)?;
    Ok(block.filter(|block| block.global_sequences.as_ref().is_some_and(|held| held.contains(&sequence))))
}

/// The first global sequence at or above the block with that number; absent if no action was executed from there on.
pub fn first_global_sequence_from(view: &View, number: u32) -> Result<Option<u64>> {
    if view.block().is_none_or(|head| head.number < number) {
        return Ok(None);
    }
    if let Some(block) = by_number(view, number)? {
        if let Some(sequences) = block.global_sequences {
            return Ok(Some(*sequences.start()));
        }
        // Nearly every block has actions.
        for block in range(view, number..=number.saturating_add(NEAR_BLOCKS), Direction::Forward)? {
            if let Some(sequences) = block?.global_sequences {
                return Ok(Some(*sequences.start()));
            }
        }
    }
    // Of a filtered chain, or from before the first block: blocks and sequences ascend together.
    let block_from = |low: u64| -> Result<Option<(u64, u32)>> {
        let found = view.first(SEQUENCES, &KeyRange::new(low.to_be_bytes()..), Direction::Forward)?;
        let read = |(key, value): (Bytes, Bytes)| {
            Ok((ValueReader::new(SEQUENCES, &key).u64()?, ValueReader::new(SEQUENCES, &value).u32()?))
        };
        found.map(read).transpose()
    };
    let (mut low, mut high) = (0, u64::MAX);
    while let Some((sequence, block)) = block_from(low)? {
        if block >= number {
            return Ok(Some(sequence));
        }
        // What is at or below `low` is too low, and `high` is not.
        let Some(next) = sequence.checked_add(1) else { return Ok(None) };
        low = low.max(next);
        let middle = low + (high - low) / 2;
        match block_from(middle)? {
            Some((_, block)) if block < number => low = middle,
            _ => high = middle,
        }
    }
    Ok(None)
}

/// Blocks of the range on the view's branch, in either direction.
pub fn range(
    view: &View,
    numbers: RangeInclusive<u32>,
    direction: Direction,
) -> Result<impl Iterator<Item = Result<IndexedBlock>> + Send + use<>> {
    let keys = KeyRange::new(numbers.start().to_be_bytes()..=numbers.end().to_be_bytes());
    Ok(view.scan(BLOCKS, &keys, direction)?.map(|entry| {
        let (key, value): (Bytes, Bytes) = entry?;
        IndexedBlock::decode(ValueReader::new(BLOCKS, &key).u32()?, &value)
    }))
}

/// The first and the last of these blocks that were made of state history, if any of them was.
pub fn of_state_history(view: &View, numbers: RangeInclusive<u32>) -> Result<Option<RangeInclusive<u32>>> {
    if numbers.is_empty() {
        return Ok(None);
    }
    let keys = KeyRange::new(numbers.start().to_be_bytes()..=numbers.end().to_be_bytes());
    let at = |direction| -> Result<Option<u32>> {
        let found = view.first(STATE_HISTORY_BLOCKS, &keys, direction)?;
        found.map(|(key, _)| ValueReader::new(STATE_HISTORY_BLOCKS, &key).u32()).transpose()
    };
    let Some(first) = at(Direction::Forward)? else { return Ok(None) };
    Ok(at(Direction::Reverse)?.map(|last| first..=last))
}

/// Transaction traces of the block with that number, in the order of execution; empty if the block is unknown.
pub fn transactions(view: &View, number: u32) -> Result<Vec<BlockTransaction>> {
    match by_number(view, number)? {
        Some(block) => transactions_of(view, &block),
        None => Ok(Vec::new()),
    }
}

/// Transaction traces of a block on the view's branch, in the order of execution.
pub fn transactions_of(view: &View, block: &IndexedBlock) -> Result<Vec<BlockTransaction>> {
    let Some(value) = view.get(BLOCK_TRANSACTIONS, &block.number.to_be_bytes())? else { return Ok(Vec::new()) };
    let first = block.global_sequences.as_ref().map_or(0, |own| *own.start());
    let mut reader = ValueReader::new(BLOCK_TRANSACTIONS, &value);
    let mut transactions = Vec::new();
    while !reader.rest().is_empty() {
        let id = reader.id()?;
        let first_global_sequence = reader.varint()?.checked_sub(1).map(|offset| first.wrapping_add(offset));
        transactions.push(BlockTransaction { id, first_global_sequence });
    }
    Ok(transactions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let mut id = Checksum256::sha256(b"block");
        id.0[..4].copy_from_slice(&7u32.to_be_bytes());
        let mut block = IndexedBlock {
            number: 7,
            id,
            time: BlockTimestamp(1_600_000_000),
            lib_number: 3,
            transactions: 300,
            transaction_traces: 301,
            input_actions: 400,
            actions: u32::MAX,
            global_sequences: None,
        };
        for global_sequences in [None, Some(1..=1), Some(5_000_000_000..=5_000_000_150), Some(u64::MAX..=u64::MAX)] {
            block.global_sequences = global_sequences;
            let value = block.encode();
            assert_eq!(IndexedBlock::decode(7, &value).unwrap(), block);
            assert!(IndexedBlock::decode(7, &value[..value.len() - 1]).is_err());
        }
        block.lib_number = 9;
        assert_eq!(IndexedBlock::decode(7, &block.encode()).unwrap(), block);
    }
}
