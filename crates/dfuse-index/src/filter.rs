//! Which keys are in the scratch space: so that reading one that is not there, as that of a new row, costs no seek.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{PoisonError, RwLock},
};

use dfuse_kv::Keyspace;

/// Bits of a block, all of whose bits are near each other.
const BLOCK_BITS: usize = 512;
const BITS_PER_KEY: usize = 12;
/// Bits that are set for a key.
const PROBES: u32 = 6;
/// Keys that the first layer is for; each further one is for twice as many.
const FIRST_LAYER: usize = 1 << 16;

/// A Bloom filter that grows. It may take a key that was never added for one that was, in about one case of a hundred.
#[derive(Debug, Default)]
pub(crate) struct KeyFilter(RwLock<Vec<Layer>>);

#[derive(Debug)]
struct Layer {
    blocks: Vec<[u64; BLOCK_BITS / 64]>,
    /// Keys for which there is room.
    room: usize,
}

impl Layer {
    fn new(keys: usize) -> Self {
        Self { blocks: vec![[0; BLOCK_BITS / 64]; (keys * BITS_PER_KEY).div_ceil(BLOCK_BITS)], room: keys }
    }

    fn block(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.blocks.len() as u128) >> 64) as usize
    }

    fn contains(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block(hash)];
        bits(hash).all(|bit| block[bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn add(&mut self, hash: u64) {
        let at = self.block(hash);
        bits(hash).for_each(|bit| self.blocks[at][bit / 64] |= 1 << (bit % 64));
        self.room -= 1;
    }
}

/// Positions in the block.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..PROBES).map(move |probe| (mixed >> (probe * 9 + 8)) as usize % BLOCK_BITS)
}

fn hash(keyspace: Keyspace, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (keyspace, key).hash(&mut hasher);
    hasher.finish()
}

impl KeyFilter {
    pub(crate) fn add(&self, keyspace: Keyspace, key: &[u8]) {
        let hash = hash(keyspace, key);
        // No change can panic halfway.
        let mut layers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if layers.iter().rev().any(|layer| layer.contains(hash)) {
            return;
        }
        if layers.last().is_none_or(|last| last.room == 0) {
            let keys = FIRST_LAYER << layers.len();
            layers.push(Layer::new(keys));
        }
        layers.iter_mut().last().into_iter().for_each(|last| last.add(hash));
    }

    /// Whether it may have been added.
    pub(crate) fn may_contain(&self, keyspace: Keyspace, key: &[u8]) -> bool {
        let hash = hash(keyspace, key);
        let layers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        layers.iter().rev().any(|layer| layer.contains(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let filter = KeyFilter::default();
        assert!(!filter.may_contain(Keyspace::at(0), b"a"));
        let count = 300_000_u32;
        for number in 0..count {
            filter.add(Keyspace::at(number as u16 % 2), &number.to_be_bytes());
        }
        let found = |keyspace: u16| {
            let contains = |number: &u32| filter.may_contain(Keyspace::at(keyspace), &number.to_be_bytes());
            (0..count).filter(contains).count() as u32
        };
        for keyspace in [0, 1] {
            assert!((count / 2..count / 2 + count / 50).contains(&found(keyspace)), "{}", found(keyspace));
        }
        assert!(found(2) < count / 25, "{}", found(2));
    }
}
