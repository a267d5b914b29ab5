//! Parsed ABIs.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{
    Name,
    abi::{Abi, AbiSerializer},
};
use quick_cache::{Weighter, sync::Cache};

use super::history::AbiRecord;

/// What an entry takes besides its packed ABI.
const OVERHEAD: usize = 256;
/// About what an entry takes.
const ENTRY_BYTES: usize = 8 << 10;

/// Parsed ABIs, shared by requests. Those that are seldom used leave when they become too many.
pub struct AbiCache(Cache<Key, Entry, PackedBytes>);

/// Account, and the global sequence at which it got the ABI.
type Key = (Name, u64);

#[derive(Debug, Clone)]
struct Entry {
    /// Another branch may have set another ABI at that sequence.
    packed: Bytes,
    parsed: Option<Arc<AbiSerializer>>,
}

#[derive(Debug, Clone)]
struct PackedBytes;

impl Weighter<Key, Entry> for PackedBytes {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        (entry.packed.len() + OVERHEAD) as u64
    }
}

impl fmt::Debug for AbiCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parsed ABIs", self.0.len())
    }
}

impl AbiCache {
    /// Room for ABIs of so many packed bytes; parsed ones take several times as much.
    pub fn new(packed_bytes: usize) -> Self {
        Self(Cache::with_weighter(packed_bytes / ENTRY_BYTES, packed_bytes as u64, PackedBytes))
    }

    /// The ABI of that record; absent if it cannot be read.
    pub fn get(&self, account: Name, record: &AbiRecord) -> Option<Arc<AbiSerializer>> {
        let key = (account, record.global_sequence);
        if let Some(entry) = self.0.get(&key).filter(|entry| entry.packed == record.abi) {
            return entry.parsed;
        }
        // Outside of the lock: a large one takes milliseconds.
        let parsed = Abi::from_bytes(&record.abi).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)));
        // A copy: the record may share the memory of a larger piece.
        let packed = Bytes::copy_from_slice(&record.abi);
        self.0.insert(key, Entry { packed, parsed: parsed.clone() });
        parsed
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
        assert!(Arc::ptr_eq(&often, &parsed(&cache, &record(0, "name", 1000))));
        let once = (1..100).map(|sequence| {
            let abi = parsed(&cache, &record(sequence, "name", 1000));
            assert!(Arc::ptr_eq(&often, &parsed(&cache, &record(0, "name", 1000))));
            assert!(cache.0.weight() <= 20_000 && cache.0.len() <= 17);
            abi
        });
        let once: Vec<_> = once.collect();
        // The others are held by nobody but this test.
        let kept = once.iter().filter(|abi| Arc::strong_count(abi) > 1).count();
        assert!((1..=16).contains(&kept), "{kept}");
        // What is larger than the cache comes through it.
        parsed(&cache, &record(100, "name", 100_000));
    }
}
