//! The ABI in force at any moment of a branch.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use dfuse_antelope::{Checksum256, Name, abi::AbiSerializer};
use dfuse_kv::Direction;

use super::{
    cache::AbiCache,
    history::{at, next_change},
    period::{KeptPeriods, Period, find},
};
use crate::{Result, View, blocks};

/// Gives the ABIs with which action data is decoded.
pub trait AbiSource {
    /// The ABI of an account that was in force for the action with that global sequence, `u64::MAX` for the one after the
    /// last block; absent if the account had none, or none that can be read.
    ///
    /// # Errors
    /// The source cannot be read.
    fn abi(&self, account: Name, global_sequence: u64) -> Result<Option<Arc<AbiSerializer>>>;

    /// The global sequence of the action at that position, in the order of execution, of a transaction in the block with that
    /// number; of the action that came next on the chain if the transaction executed none for good. `u64::MAX` if nothing
    /// came.
    ///
    /// # Errors
    /// The source cannot be read.
    fn sequence(&self, block_number: u32, transaction: Checksum256, action_index: u32) -> Result<u64>;

    /// The global sequence of the first action after the block with that number; `u64::MAX` if nothing came.
    ///
    /// # Errors
    /// The source cannot be read.
    fn sequence_after(&self, block_number: u32) -> Result<u64>;
}

/// The ABIs that a view knows. For one request: it remembers all that was asked.
#[derive(Debug)]
pub struct ViewAbis<'a> {
    view: &'a View,
    cache: &'a AbiCache,
    known: Known<'a>,
    /// What other requests have asked of the same view.
    kept: Option<&'a KeptPeriods>,
}

/// What was asked of the ABIs of one view.
#[derive(Debug, Default)]
pub struct KnownAbis(Mutex<HashMap<Name, Vec<Period>>>);

#[derive(Debug)]
enum Known<'a> {
    Own(KnownAbis),
    Shared(&'a KnownAbis),
}

impl<'a> ViewAbis<'a> {
    /// Of that view, whose indexes of blocks and of ABIs are read.
    pub fn new(view: &'a View, cache: &'a AbiCache) -> Self {
        Self { view, cache, known: Known::Own(KnownAbis::default()), kept: None }
    }

    /// The same, which keeps what was read for all others that have the same view.
    pub(crate) fn keeping(view: &'a View, cache: &'a AbiCache, kept: &'a KeptPeriods) -> Self {
        Self { kept: Some(kept), ..Self::new(view, cache) }
    }

    /// The same, which remembers what others ask of the view, too.
    pub fn remembering(view: &'a View, cache: &'a AbiCache, known: &'a KnownAbis) -> Self {
        Self { view, cache, known: Known::Shared(known), kept: None }
    }
}

impl AbiSource for ViewAbis<'_> {
    fn abi(&self, account: Name, global_sequence: u64) -> Result<Option<Arc<AbiSerializer>>> {
        let known = match &self.known {
            Known::Own(known) => known,
            Known::Shared(known) => known,
        };
        let mut known = known.0.lock().unwrap_or_else(PoisonError::into_inner);
        let periods = known.entry(account).or_default();
        if let Some(period) = find(periods, global_sequence) {
            return Ok(period.abi.clone());
        }
        let period = match self.kept.and_then(|kept| kept.get(account, global_sequence)) {
            Some(period) => period,
            None => self.period(account, global_sequence)?,
        };
        let abi = period.abi.clone();
        periods.push(period);
        Ok(abi)
    }

    fn sequence(&self, block_number: u32, transaction: Checksum256, action_index: u32) -> Result<u64> {
        let transactions = blocks::transactions(self.view, block_number)?;
        let position = transactions.iter().position(|it| it.id == transaction);
        let from_there = &transactions[position.unwrap_or(0)..];
        if let Some(first) = from_there.first().filter(|_| position.is_some()).and_then(|it| it.first_global_sequence) {
            return Ok(first.saturating_add(action_index.into()));
        }
        match from_there.iter().find_map(|it| it.first_global_sequence) {
            Some(next) => Ok(next),
            None => self.sequence_after(block_number),
        }
    }

    fn sequence_after(&self, block_number: u32) -> Result<u64> {
        for block in blocks::range(self.view, block_number..=u32::MAX, Direction::Forward)? {
            let block = block?;
            if let Some(own) = block.global_sequences {
                let is_it = block.number == block_number;
                return Ok(if is_it { own.end().saturating_add(1) } else { *own.start() });
            }
        }
        Ok(u64::MAX)
    }
}

impl ViewAbis<'_> {
    /// Reads the period of that global sequence.
    fn period(&self, account: Name, global_sequence: u64) -> Result<Period> {
        let record = at(self.view, account, global_sequence)?;
        let first = record.as_ref().map_or(global_sequence, |record| record.global_sequence + 1);
        let last = next_change(self.view, account, global_sequence)?.unwrap_or(u64::MAX);
        let packed_bytes = record.as_ref().map_or(0, |record| record.abi.len());
        let abi = record.and_then(|record| self.cache.get(account, &record));
        let period = Period { sequences: first..=last, abi, packed_bytes };
        if let Some(kept) = self.kept {
            kept.insert(account, period.clone());
        }
        Ok(period)
    }
}
