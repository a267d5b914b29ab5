//! Which filters the blocks went through, and whether they took the chain's state with them.

use bytes::Bytes;
use dfuse_antelope::model::Block;
use dfuse_kv::{Direction, KeyRange};

use crate::{
    Family, Result, View,
    codec::{ValueReader, put_varint},
};

/// Number of a block to the filter that it went through, where the block before went through another one. Empty for a chain that is
/// not filtered.
pub const FILTERS: Family = Family::new("block-filter");

/// A filter that blocks went through, from one of them up to the next filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppliedFilter {
    /// Number of the first block.
    pub from_block: u32,
    /// Whether transactions may have been left out at all.
    pub is_applied: bool,
    /// The programs of the filter, of several filters separated by `;;;`; empty without one.
    pub include: String,
    /// The same.
    pub exclude: String,
    /// The same.
    pub system: String,
    /// Whether what transactions changed was left out with them, in this block or an earlier one: state is not known any more.
    pub lacks_state: bool,
}

impl AppliedFilter {
    /// What a block says that follows one with `before`.
    pub(crate) fn of(block: &Block, before: Option<&Self>) -> Self {
        let lacks_state = before.is_some_and(|before| before.lacks_state) || block.lacks_changes();
        if !block.filtering_applied {
            return Self { from_block: block.number, lacks_state, ..Self::default() };
        }
        Self {
            from_block: block.number,
            is_applied: true,
            include: block.filtering_include_filter_expr.clone(),
            exclude: block.filtering_exclude_filter_expr.clone(),
            system: block.filtering_system_actions_include_filter_expr.clone(),
            lacks_state,
        }
    }

    /// Whether it says the same of its blocks.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Self { from_block: self.from_block, ..other.clone() } == *self
    }

    /// Flags (1: applied, 2: lacks state), then each text with its length before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = vec![u8::from(self.is_applied) | u8::from(self.lacks_state) << 1];
        for text in [&self.include, &self.exclude, &self.system] {
            put_varint(&mut value, text.len() as u64);
            value.extend_from_slice(text.as_bytes());
        }
        value
    }

    fn decode(key: &Bytes, value: &Bytes) -> Result<Self> {
        let from_block = ValueReader::new(FILTERS, key).u32()?;
        let mut reader = ValueReader::new(FILTERS, value);
        let flags = reader.take(1)?[0];
        let mut text = || -> Result<String> {
            let bytes = reader.varint32()? as usize;
            let text = std::str::from_utf8(reader.take(bytes)?);
            text.map(str::to_owned).map_err(|error| reader.damaged(error.to_string()))
        };
        let (include, exclude, system) = (text()?, text()?, text()?);
        reader.finish()?;
        Ok(Self { from_block, is_applied: flags & 1 != 0, include, exclude, system, lacks_state: flags & 2 != 0 })
    }
}

/// The filter of the block with that number on the view's branch; absent if neither it nor a block before went through one.
///
/// # Errors
/// Those of reading.
pub fn at(view: &View, number: u32) -> Result<Option<AppliedFilter>> {
    let found = view.first(FILTERS, &KeyRange::new(..=number.to_be_bytes()), Direction::Reverse)?;
    found.map(|(key, value)| AppliedFilter::decode(&key, &value)).transpose()
}

/// All filters of the view's branch, in the order of blocks; empty for a chain that is not filtered.
///
/// # Errors
/// Those of reading.
pub fn all(view: &View) -> Result<Vec<AppliedFilter>> {
    let entries = view.scan(FILTERS, &KeyRange::all(), Direction::Forward)?;
    entries.map(|entry| entry.and_then(|(key, value)| AppliedFilter::decode(&key, &value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let filter = AppliedFilter {
            from_block: 7,
            is_applied: true,
            include: "receiver == 'a'".to_owned(),
            exclude: String::new(),
            system: "é;;;b".to_owned(),
            lacks_state: true,
        };
        for filter in [filter, AppliedFilter { from_block: 7, ..AppliedFilter::default() }] {
            let (key, value) = (Bytes::copy_from_slice(&7_u32.to_be_bytes()), Bytes::from(filter.encode()));
            assert_eq!(AppliedFilter::decode(&key, &value).unwrap(), filter);
            assert!(AppliedFilter::decode(&key, &value.slice(..value.len() - 1)).is_err());
        }
    }

    #[test]
    fn what_was_lost_stays_lost() {
        let mut block =
            Block { number: 5, filtering_applied: true, unfiltered_transaction_trace_count: 1, ..Block::default() };
        let lost = AppliedFilter::of(&block, None);
        assert!(lost.lacks_state && lost.is_applied);
        block = Block { number: 6, ..Block::default() };
        let whole = AppliedFilter::of(&block, Some(&lost));
        assert!(whole.lacks_state && !whole.is_applied && !whole.is_same(&lost));
        assert!(!AppliedFilter::of(&block, None).lacks_state);
    }
}
