use std::ops::RangeInclusive;

use dfuse_antelope::{
    AbiDump, Checksum256,
    model::{ActionTrace, Block, TransactionTrace},
};
use dfuse_blocks::BlockRef;

use bytes::Bytes;
use dfuse_ship::StateRow;

use crate::{Delta, EarlierWay, Family, JoinPass, Kept, LoadedEntries, Result, View};

/// Takes an entry of an index; without a value it is removed.
pub type PutEntry<'a> = dyn FnMut(Family, Bytes, Option<Bytes>) -> Result<()> + 'a;

/// An index: families of keys, and how a block changes them.
///
/// What it writes must follow from the block and the view alone, so that building it again gives the same bytes.
pub trait Index: Send + Sync {
    /// Its name, on the command line too.
    fn name(&self) -> &'static str;

    /// Grows with every change of keys, values or meaning. Another version on disk must be built anew.
    fn schema_version(&self) -> u32;

    /// A digest of the settings that decide what is in it; absent for the default ones. An index of other settings must be
    /// built anew.
    fn settings(&self) -> Option<Checksum256> {
        None
    }

    /// Its families.
    fn families(&self) -> &'static [Family];

    /// What the block writes. `view` is at the block's parent, on its own branch, whichever branch is the best.
    ///
    /// Of other indexes only what later blocks do not change may be read: when this one is built again they are
    /// ahead. An error means that the block cannot be indexed by any means, or that the view could not be read.
    fn delta(&self, block: &BlockContext<'_>, view: &View) -> Result<Delta>;

    /// What a family is kept for, and how its entries grow old; absent if none of them ever do.
    fn kept(&self, family: Family) -> Option<Kept> {
        let _ = family;
        None
    }

    /// How it takes in blocks of before its first one, which may join later.
    fn earlier_way(&self) -> EarlierWay {
        EarlierWay::Never
    }

    /// Of the way [`EarlierWay::Blocks`]: what it writes for a block of before its first one. `view` is what all indexes say now.
    ///
    /// # Errors
    /// Those of reading.
    fn earlier_block(&self, block: &BlockContext<'_>, view: &View) -> Result<Delta> {
        self.delta(block, view)
    }

    /// Of the way [`EarlierWay::Lists`]: hands to `put` what makes of the entries in `own` those of an index that has the blocks of
    /// `earlier`, too, which end where those of `own` begin. A value that is absent is a deletion. Outside of
    /// [`JoinPass::Between`], this may be given up at any moment and begun again.
    ///
    /// # Errors
    /// Those of reading, and of `put`.
    fn join_earlier(&self, earlier: &View, own: &View, pass: JoinPass, put: &mut PutEntry<'_>) -> Result<()> {
        let _ = (earlier, own, pass, put);
        Ok(())
    }

    /// Whether all that is found by it is read from block files, so that it reaches back as far as these at most: it can be
    /// built from the first block that is still there.
    fn is_read_with_block_files(&self) -> bool {
        false
    }

    /// What the ABIs that a node had when it started add. Committed at once; `view` has what is committed, which is
    /// everything up to the dump's block or more.
    fn abi_dump(&self, dump: &AbiDump, view: &View) -> Result<Delta> {
        let _ = (dump, view);
        Ok(Delta::default())
    }

    /// Whether it holds state of the chain, which blocks alone do not tell where they begin in mid-chain: it is loaded from a
    /// snapshot by [`Index::load`], and lacks what came before where there is none.
    fn holds_state(&self) -> bool {
        false
    }

    /// The entries of rows of the state after block `number`, some of all of them, in any order.
    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        let _ = (rows, number, entries);
        Ok(())
    }

    /// One value of two that [`Index::load`] made for one key from different rows. In any order the result must be the same.
    fn join_loaded(&self, family: Family, first: &[u8], second: &[u8]) -> Result<Bytes> {
        let _ = (family, first);
        Ok(Bytes::copy_from_slice(second))
    }
}

/// A block to index, with what several indexes want to know of it.
#[derive(Debug)]
pub struct BlockContext<'a> {
    block: &'a Block,
    global_sequences: Option<RangeInclusive<u64>>,
}

impl<'a> BlockContext<'a> {
    /// Looks the block over.
    pub fn new(block: &'a Block) -> Self {
        let sequences = block.transaction_traces().iter().filter_map(global_sequences);
        let global_sequences =
            sequences.reduce(|all, more| *all.start().min(more.start())..=*all.end().max(more.end()));
        Self { block, global_sequences }
    }

    /// The block.
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// Number and id.
    pub fn reference(&self) -> BlockRef {
        BlockRef { number: self.block.number, id: self.block.id }
    }

    /// Number and id of the block before.
    pub fn parent(&self) -> BlockRef {
        parent(self.block)
    }

    /// Global sequences of the first and the last action that were executed for good; absent if there is none. They have
    /// no gaps unless the block is filtered.
    pub fn global_sequences(&self) -> Option<&RangeInclusive<u64>> {
        self.global_sequences.as_ref()
    }

    /// Actions that were executed for good, with their transactions' positions among the block's traces and their global
    /// sequences. Transactions are in the order of execution, actions within them are not.
    pub fn executed_actions(&self) -> impl Iterator<Item = ExecutedAction<'a>> {
        let traces = self.block.transaction_traces().iter().enumerate();
        traces.filter(|(_, trace)| !trace.is_reverted()).flat_map(|(position, trace)| {
            let executed = trace.action_traces.iter().filter_map(|action| Some((action, action.receipt.as_ref()?)));
            executed.map(move |(action, receipt)| ExecutedAction {
                position,
                transaction: trace,
                action,
                global_sequence: receipt.global_sequence,
            })
        })
    }
}

/// An action that was executed for good.
#[derive(Debug, Clone, Copy)]
pub struct ExecutedAction<'a> {
    /// Position of its transaction among the block's traces.
    pub position: usize,
    /// Its transaction.
    pub transaction: &'a TransactionTrace,
    /// The action.
    pub action: &'a ActionTrace,
    /// Its ordinal.
    pub global_sequence: u64,
}

pub(crate) fn parent(block: &Block) -> BlockRef {
    BlockRef { number: block.number.saturating_sub(1), id: block.header.previous }
}

/// Global sequences of the first and the last action of a transaction; absent if it failed or executed none. A failed one
/// gives its sequences back.
pub fn global_sequences(trace: &TransactionTrace) -> Option<RangeInclusive<u64>> {
    if trace.is_reverted() {
        return None;
    }
    let sequences = trace.action_traces.iter().filter_map(|action| Some(action.receipt.as_ref()?.global_sequence));
    let (first, last) = sequences.fold((u64::MAX, 0), |(first, last), next| (first.min(next), last.max(next)));
    (first <= last).then_some(first..=last)
}
