use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dfuse_antelope::{BlockTimestamp, Checksum256, TimePointSec, model::Block};
use dfuse_index::BlockRef;

use crate::{IdPrefix, index::events_of};

/// How many are remembered: some 40 MB.
const MAX_TRANSACTIONS: usize = 1 << 18;
/// How many times a block that was undone mentions a transaction, as far as it is remembered: some 30 MB.
const MAX_MENTIONS: usize = 1 << 18;

/// A signed transaction in a block that was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkedTransaction {
    /// The block; the newest, if there are several.
    pub block: BlockRef,
    /// Position among the block's receipts.
    pub position: u32,
    /// Until this time it can come into another block.
    pub expiration: TimePointSec,
}

/// The signed transactions of blocks that were undone, until they have expired irreversibly, and which blocks those are that
/// mention a transaction.
///
/// It is no index on purpose: what an index writes follows from the chain's blocks alone, so that building it again gives
/// the same. This follows from the blocks that lost, which are kept with the block files for far longer than a
/// transaction lives. It observes the feed ([`dfuse_index::ChainObserver`]); whoever owns the feed calls
/// [`ForkedTransactions::undone`] for blocks that come on another branch than the best ([`dfuse_blocks::Added::Side`]), and
/// begins with [`ForkedTransactions::restore`].
///
/// That a transaction is in it does not say that it is pending: the chain may have it, too.
#[derive(Debug, Default)]
pub struct ForkedTransactions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<Checksum256, ForkedTransaction>,
    by_expiration: BTreeSet<(TimePointSec, Checksum256)>,
    mentions: Mentions,
}

/// Which blocks that were undone say something of a transaction. This is not forgotten when the transaction has expired.
#[derive(Debug, Default)]
struct Mentions {
    by_id: BTreeSet<(Checksum256, BlockRef)>,
    by_block: BTreeMap<BlockRef, Vec<Checksum256>>,
}

impl ForkedTransaction {
    /// Whether no block can have it any more, once a block of that time is irreversible.
    pub fn has_expired(&self, irreversible: BlockTimestamp) -> bool {
        has_expired(self.expiration, irreversible)
    }
}

fn has_expired(expiration: TimePointSec, irreversible: BlockTimestamp) -> bool {
    irreversible.to_unix_ms() > i64::from(expiration.0) * 1000
}

impl ForkedTransactions {
    /// Without transactions.
    pub fn new() -> Self {
        Self::default()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No change can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the signed transactions of a block that is not on the best chain any more. Beyond 262,144 those that
    /// expire first are forgotten, and of as many mentions those of the lowest blocks.
    pub fn undone(&self, block: &Block) {
        let reference = BlockRef { number: block.number, id: block.id };
        let signed = (0..).zip(block.transactions()).filter_map(|(position, receipt)| {
            // The chain has decoded what is in a block.
            let transaction = receipt.packed_transaction.as_ref()?.signed_transaction().ok()?;
            let expiration = transaction.transaction.header.expiration;
            Some((receipt.id, ForkedTransaction { block: reference, position, expiration }))
        });
        let signed: Vec<_> = signed.collect();
        let mut mentioned: Vec<_> = events_of(block).into_iter().map(|(id, _)| id).collect();
        mentioned.sort_unstable();
        mentioned.dedup();
        let mut known = self.known();
        known.mentions.add(reference, mentioned);
        for (id, transaction) in signed {
            if known.by_id.get(&id).is_none_or(|before| before.block <= reference) {
                known.by_id.insert(id, transaction);
                known.by_expiration.insert((transaction.expiration, id));
            }
        }
        while known.by_id.len() > MAX_TRANSACTIONS {
            known.forget_first();
        }
    }

    /// Forgets what has expired, now that a block of that time is irreversible.
    pub fn finalized(&self, time: BlockTimestamp) {
        let mut known = self.known();
        while known.by_expiration.first().is_some_and(|(expiration, _)| has_expired(*expiration, time)) {
            known.forget_first();
        }
    }

    /// The transaction, if it was undone and has not expired when a block of the given time is the last irreversible one.
    pub fn get(&self, id: Checksum256, irreversible: Option<BlockTimestamp>) -> Option<ForkedTransaction> {
        let transaction = self.known().by_id.get(&id).copied()?;
        irreversible.is_none_or(|time| !transaction.has_expired(time)).then_some(transaction)
    }

    /// The blocks that were undone and say something of the transaction whose id begins so, newest first; none if there are
    /// several such transactions. Some of the blocks may be on the best chain again.
    pub(crate) fn mentions(&self, prefix: &IdPrefix) -> Vec<BlockRef> {
        let known = self.known();
        let from = (prefix.first(), BlockRef { number: 0, id: Checksum256::default() });
        let matching = known.mentions.by_id.range(from..).take_while(|(id, _)| prefix.matches(*id));
        let matching: Vec<_> = matching.collect();
        let is_one = matching.windows(2).all(|pair| pair[0].0 == pair[1].0);
        let mut blocks: Vec<_> = matching.into_iter().filter(|_| is_one).map(|(_, block)| *block).collect();
        blocks.sort_unstable_by(|a, b| b.cmp(a));
        blocks
    }

    /// Ids that begin so, like [`ForkedTransactions::get`].
    pub(crate) fn first_ids(
        &self,
        prefix: &IdPrefix,
        irreversible: Option<BlockTimestamp>,
        count: usize,
    ) -> Vec<Checksum256> {
        let known = self.known();
        let matching = known.by_id.range(prefix.first()..).take_while(|(id, _)| prefix.matches(**id));
        let alive = matching.filter(|(_, it)| irreversible.is_none_or(|time| !it.has_expired(time)));
        alive.map(|(id, _)| *id).take(count).collect()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.known().by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Mentions {
    fn add(&mut self, block: BlockRef, ids: Vec<Checksum256>) {
        if ids.is_empty() || self.by_block.contains_key(&block) {
            return;
        }
        self.by_id.extend(ids.iter().map(|id| (*id, block)));
        self.by_block.insert(block, ids);
        while self.by_id.len() > MAX_MENTIONS
            && let Some((lowest, ids)) = self.by_block.pop_first()
        {
            for id in ids {
                self.by_id.remove(&(id, lowest));
            }
        }
    }
}

impl Known {
    fn forget_first(&mut self) {
        if let Some((_, id)) = self.by_expiration.pop_first() {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::{
        model::{PackedTransaction, Transaction, TransactionHeader, TransactionReceipt},
        raw::Writer,
    };

    use super::*;

    fn receipt(expiration: u32) -> TransactionReceipt {
        let header = TransactionHeader { expiration: TimePointSec(expiration), ..Default::default() };
        let transaction = Transaction { header, ..Default::default() };
        let mut packed = Writer::new();
        transaction.pack(&mut packed);
        let packed = PackedTransaction { packed_transaction: packed.bytes.into(), ..Default::default() };
        TransactionReceipt { id: transaction.id(), packed_transaction: Some(packed), ..Default::default() }
    }

    fn block(number: u32, receipts: Vec<TransactionReceipt>) -> Block {
        Block { number, unfiltered_transactions: receipts, ..Default::default() }
    }

    fn time(seconds: u32, half: u32) -> BlockTimestamp {
        BlockTimestamp::from_unix_ms(i64::from(seconds) * 1000 + i64::from(half) * 500).unwrap()
    }

    const NOON: u32 = 1_600_000_000;

    #[test]
    fn kept_until_a_later_block_is_irreversible() {
        let forked = ForkedTransactions::new();
        let (soon, late) = (receipt(NOON), receipt(NOON + 60));
        let deferred = TransactionReceipt { packed_transaction: None, ..receipt(NOON + 90) };
        forked.undone(&block(7, vec![deferred, soon.clone(), late.clone()]));
        assert_eq!(forked.len(), 2);
        let found = forked.get(soon.id, Some(time(NOON, 0))).unwrap();
        assert_eq!((found.block.number, found.position, found.expiration), (7, 1, TimePointSec(NOON)));
        assert_eq!(forked.get(soon.id, Some(time(NOON, 1))), None);
        assert_eq!(forked.get(soon.id, None), Some(found));
        forked.finalized(time(NOON, 0));
        assert_eq!(forked.len(), 2);
        forked.finalized(time(NOON, 1));
        assert_eq!((forked.get(soon.id, None), forked.len()), (None, 1));
        let prefix = IdPrefix::from_hex(&late.id.to_string()[..6]).unwrap();
        assert_eq!(forked.first_ids(&prefix, Some(time(NOON + 60, 0)), 2), [late.id]);
        assert_eq!(forked.first_ids(&prefix, Some(time(NOON + 60, 1)), 2), []);
        forked.finalized(time(NOON + 61, 0));
        assert!(forked.is_empty());
    }

    #[test]
    fn the_newest_block_counts() {
        let forked = ForkedTransactions::new();
        let receipt = receipt(NOON);
        for number in [7, 9, 8] {
            forked.undone(&block(number, vec![receipt.clone()]));
        }
        assert_eq!(forked.get(receipt.id, None).unwrap().block.number, 9);
        assert_eq!(forked.len(), 1);
    }
}
