//! The ABI in force at any moment, parsed once.

use std::{
    cell::RefCell,
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256, Name,
    abi::{Abi, AbiSerializer},
};
use dfuse_index::{
    Result, View,
    abi::{self, AbiRecord},
    blocks,
};
use dfuse_kv::Direction;

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
}

/// The ABIs that a view knows. For one request: it remembers all that was asked.
#[derive(Debug)]
pub struct ViewAbis<'a> {
    view: &'a View,
    cache: &'a AbiCache,
    /// For which global sequences which ABI is in force.
    known: RefCell<HashMap<Name, Vec<Period>>>,
}

type Period = (RangeInclusive<u64>, Option<Arc<AbiSerializer>>);

impl<'a> ViewAbis<'a> {
    /// Of that view, whose indexes of blocks and of ABIs are read.
    pub fn new(view: &'a View, cache: &'a AbiCache) -> Self {
        Self { view, cache, known: RefCell::default() }
    }
}

impl AbiSource for ViewAbis<'_> {
    fn abi(&self, account: Name, global_sequence: u64) -> Result<Option<Arc<AbiSerializer>>> {
        let mut known = self.known.borrow_mut();
        let periods = known.entry(account).or_default();
        if let Some((_, abi)) = periods.iter().find(|(period, _)| period.contains(&global_sequence)) {
            return Ok(abi.clone());
        }
        let record = abi::at(self.view, account, global_sequence)?;
        let first = record.as_ref().map_or(global_sequence, |record| record.global_sequence + 1);
        let last = abi::next_change(self.view, account, global_sequence)?.unwrap_or(u64::MAX);
        let abi = record.and_then(|record| self.cache.get(account, &record));
        periods.push((first..=last, abi.clone()));
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
}

impl ViewAbis<'_> {
    /// The first global sequence after the block with that number.
    fn sequence_after(&self, number: u32) -> Result<u64> {
        for block in blocks::range(self.view, number..=u32::MAX, Direction::Forward)? {
            let block = block?;
            if let Some(own) = block.global_sequences {
                return Ok(if block.number == number { own.end().saturating_add(1) } else { *own.start() });
            }
        }
        Ok(u64::MAX)
    }
}

/// Parsed ABIs, shared by requests. What was not used for long leaves when they become too many.
#[derive(Debug)]
pub struct AbiCache {
    /// Packed bytes that half of the cache holds.
    half: usize,
    halves: Mutex<Halves>,
}

/// What was used lately, and what was before that. When the first is full it becomes the second.
#[derive(Debug, Default)]
struct Halves {
    newer: HashMap<Key, Entry>,
    newer_bytes: usize,
    older: HashMap<Key, Entry>,
}

/// Account, and the global sequence at which it got the ABI.
type Key = (Name, u64);

#[derive(Debug, Clone)]
struct Entry {
    /// Another branch may have set another ABI at that sequence.
    packed: Bytes,
    parsed: Option<Arc<AbiSerializer>>,
}

impl AbiCache {
    /// Room for ABIs of so many packed bytes; parsed ones take several times as much.
    pub fn new(packed_bytes: usize) -> Self {
        Self { half: packed_bytes / 2, halves: Mutex::default() }
    }

    /// The ABI of that record; absent if it cannot be read.
    pub fn get(&self, account: Name, record: &AbiRecord) -> Option<Arc<AbiSerializer>> {
        let key = (account, record.global_sequence);
        if let Some(parsed) = self.find(key, &record.abi) {
            return parsed;
        }
        // Outside of the lock: a large one takes milliseconds.
        let parsed = Abi::from_bytes(&record.abi).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)));
        // A copy: the record may share the memory of a larger piece.
        let packed = Bytes::copy_from_slice(&record.abi);
        self.lock().insert(key, Entry { packed, parsed: parsed.clone() }, self.half);
        parsed
    }

    fn find(&self, key: Key, packed: &Bytes) -> Option<Option<Arc<AbiSerializer>>> {
        let mut halves = self.lock();
        if let Some(entry) = halves.newer.get(&key).filter(|entry| entry.packed == packed) {
            return Some(entry.parsed.clone());
        }
        let entry = halves.older.remove(&key).filter(|entry| entry.packed == packed)?;
        let parsed = entry.parsed.clone();
        halves.insert(key, entry, self.half);
        Some(parsed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn insert(&mut self, key: Key, entry: Entry, room: usize) {
        // What an entry takes besides.
        const OVERHEAD: usize = 256;
        let bytes = entry.packed.len() + OVERHEAD;
        if let Some(replaced) = self.newer.insert(key, entry) {
            self.newer_bytes -= replaced.packed.len() + OVERHEAD;
        }
        self.newer_bytes += bytes;
        if self.newer_bytes > room {
            self.older = std::mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a struct of that name; `size` makes it longer.
    fn record(global_sequence: u64, name: &str, size: usize) -> AbiRecord {
        let abi =
            format!(r#"{{"version":"eosio::abi/1.1{}","actions":[{{"name":"a","type":"{name}"}}]}}"#, "x".repeat(size));
        let abi: Abi = serde_json::from_str(&abi).unwrap();
        AbiRecord { block_number: 1, global_sequence, abi: abi.to_bytes().into() }
    }

    fn parsed(cache: &AbiCache, record: &AbiRecord) -> Arc<AbiSerializer> {
        cache.get(Name::literal("account"), record).unwrap()
    }

    #[test]
    fn abis_are_parsed_once() {
        let cache = AbiCache::new(1 << 20);
        let first = parsed(&cache, &record(5, "name", 0));
        assert!(Arc::ptr_eq(&first, &parsed(&cache, &record(5, "name", 0))));
        assert!(!Arc::ptr_eq(&first, &parsed(&cache, &record(6, "name", 0))));
        // On another branch the account got another one at the same sequence.
        let other = parsed(&cache, &record(5, "uint64", 0));
        assert!(other.action(Name::literal("a")).is_ok() && !Arc::ptr_eq(&first, &other));
        let broken = AbiRecord { block_number: 1, global_sequence: 7, abi: Bytes::from_static(b"\xff") };
        assert!(cache.get(Name::literal("account"), &broken).is_none());
        assert!(cache.get(Name::literal("account"), &broken).is_none());
    }

    #[test]
    fn the_least_used_leave() {
        let cache = AbiCache::new(20_000);
        let often = parsed(&cache, &record(0, "name", 1000));
        let once = parsed(&cache, &record(1, "name", 1000));
        for sequence in 2..100 {
            parsed(&cache, &record(sequence, "name", 1000));
            assert!(Arc::ptr_eq(&often, &parsed(&cache, &record(0, "name", 1000))));
            let halves = cache.lock();
            assert!(halves.newer.len() + halves.older.len() <= 17);
        }
        assert!(!Arc::ptr_eq(&once, &parsed(&cache, &record(1, "name", 1000))));
        // What is larger than the cache comes through it.
        parsed(&cache, &record(100, "name", 100_000));
    }
}
