//! Parsed ABIs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use dfuse_antelope::{
    Name,
    abi::{Abi, AbiSerializer},
};

use super::history::AbiRecord;

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

    fn lock(&self) -> MutexGuard<'_, Halves> {
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
