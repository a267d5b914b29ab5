//! What the blocks of the best chain say of a transaction, read from the first to the last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dfuse_antelope::{
    Checksum256,
    model::{
        Block, DtrxOp, DtrxOperation, ExtDtrxOp, SignedTransaction, TransactionLifecycle, TransactionStatus,
        TransactionTrace,
    },
};

#[derive(Default)]
pub(crate) struct Model {
    best: Vec<Arc<Block>>,
    lib: u32,
    /// Blocks of the best chain that have the id anywhere, by position.
    mentions: BTreeMap<Checksum256, Vec<usize>>,
    /// Every signed transaction of a block that was undone.
    undone: BTreeMap<Checksum256, SignedTransaction>,
    ever: BTreeSet<Checksum256>,
}

fn ids(block: &Block) -> BTreeSet<Checksum256> {
    let traces = block.unfiltered_transaction_traces.iter();
    let deferred = traces.clone().flat_map(|trace| &trace.dtrx_ops).map(|op| op.transaction_id);
    let receipts = block.unfiltered_transactions.iter().map(|receipt| receipt.id);
    traces.map(|trace| trace.id).chain(deferred).chain(receipts).collect()
}

impl Model {
    pub(crate) fn head(&self) -> Option<&Arc<Block>> {
        self.best.last()
    }

    pub(crate) fn best(&self) -> &[Arc<Block>] {
        &self.best
    }

    fn at(&self, number: u32) -> Option<&Arc<Block>> {
        self.best.iter().find(|block| block.number == number)
    }

    pub(crate) fn lib(&self) -> Option<Arc<Block>> {
        self.at(self.lib).cloned()
    }

    pub(crate) fn push(&mut self, block: Arc<Block>) {
        for id in ids(&block) {
            self.mentions.entry(id).or_default().push(self.best.len());
        }
        self.ever.insert(block.id);
        self.best.push(block);
    }

    pub(crate) fn undo(&mut self) {
        let block = self.best.pop().unwrap();
        assert!(block.number > self.lib);
        for id in ids(&block) {
            self.mentions.get_mut(&id).unwrap().pop();
        }
        for receipt in &block.unfiltered_transactions {
            if let Some(packed) = &receipt.packed_transaction {
                self.undone.insert(receipt.id, packed.signed_transaction().unwrap());
            }
        }
    }

    /// The last irreversible block, if there is one; a shorter branch may know of an earlier one.
    pub(crate) fn finalize(&mut self, lib: u32) -> Option<Arc<Block>> {
        self.lib = self.lib.max(lib);
        self.lib()
    }

    /// Every id that was ever seen.
    pub(crate) fn all_ids(&self) -> Vec<Checksum256> {
        self.mentions.keys().copied().collect()
    }

    /// Those of which a later block may say something else, or has just said something.
    pub(crate) fn unsettled_ids(&self) -> Vec<Checksum256> {
        let reversible = |at: &usize| self.best[*at].number + 2 > self.lib;
        let unsettled = self.mentions.iter().filter(|(_, at)| at.last().is_none_or(reversible));
        unsettled.map(|(id, _)| *id).collect()
    }

    /// How many blocks there were on all branches.
    pub(crate) fn blocks_ever(&self) -> usize {
        self.ever.len()
    }

    /// Whether it is in no block of the best chain.
    pub(crate) fn is_lost(&self, id: Checksum256) -> bool {
        self.mentions.get(&id).is_none_or(Vec::is_empty)
    }

    pub(crate) fn lifecycle(&self, id: Checksum256) -> Option<TransactionLifecycle> {
        let mut told = TransactionLifecycle { id, ..Default::default() };
        if self.is_lost(id) {
            let transaction = self.undone.get(&id)?.clone();
            let expiration = i64::from(transaction.transaction.header.expiration.0) * 1000;
            if self.lib().is_some_and(|lib| lib.header.timestamp.to_unix_ms() > expiration) {
                return None;
            }
            told.transaction = Some(transaction);
            return Some(told);
        }
        for block in self.mentions[&id].iter().map(|at| &self.best[*at]) {
            let irreversible = block.number <= self.lib;
            for receipt in block.unfiltered_transactions.iter().filter(|receipt| receipt.id == id) {
                if let Some(packed) = &receipt.packed_transaction {
                    told.transaction = Some(packed.signed_transaction().unwrap());
                }
                told.transaction_receipt = Some(receipt.clone());
            }
            for op in block.unfiltered_implicit_transaction_ops.iter().filter(|op| op.transaction_id == id) {
                told.transaction = op.transaction.clone();
            }
            for trace in &block.unfiltered_transaction_traces {
                let deferred = trace.dtrx_ops.iter().filter(|op| op.transaction_id == id && trace.receipt.is_some());
                for op in deferred {
                    let by = by(block, trace, op);
                    if matches!(op.operation, DtrxOperation::Cancel | DtrxOperation::ModifyCancel) {
                        told.canceled_by = Some(by);
                        told.cancelation_irreversible = irreversible;
                    } else {
                        // Signed or not, it is the same transaction.
                        if told.transaction.as_ref().is_none_or(|known| known.signatures.is_empty()) {
                            told.transaction = op.transaction.as_deref().cloned();
                        }
                        told.created_by = Some(by);
                        told.creation_irreversible = irreversible;
                        told.canceled_by = None;
                        told.cancelation_irreversible = false;
                    }
                }
                if trace.id == id {
                    let mut trace = trace.clone();
                    if let Some(before) = told.execution_trace.take() {
                        trace.ram_ops = [before.ram_ops, trace.ram_ops].concat();
                        trace.rlimit_ops = [before.rlimit_ops, trace.rlimit_ops].concat();
                    }
                    told.execution_trace = Some(trace);
                    told.execution_block_header = Some(block.header.clone());
                    told.execution_irreversible = irreversible;
                }
            }
        }
        told.transaction_status = match (&told.transaction_receipt, &told.execution_trace) {
            _ if told.canceled_by.is_some() => TransactionStatus::Canceled,
            (None, None) => TransactionStatus::Delayed,
            // What the block says counts.
            (Some(receipt), _) => receipt.status,
            (None, Some(trace)) => trace.receipt.as_ref().map_or(TransactionStatus::HardFail, |receipt| receipt.status),
        };
        Some(told)
    }
}

fn by(block: &Block, trace: &TransactionTrace, op: &DtrxOp) -> ExtDtrxOp {
    ExtDtrxOp {
        source_transaction_id: trace.id,
        block_num: block.number.into(),
        block_id: block.id,
        block_time: block.header.timestamp,
        dtrx_op: op.clone(),
    }
}

/// Fails unless both say the same.
pub(crate) fn assert_same(
    found: Option<&TransactionLifecycle>,
    expected: Option<&TransactionLifecycle>,
    at: impl std::fmt::Display,
) {
    let mut without_handler = None;
    if let Some((found, expected)) = found.zip(expected)
        && found.execution_trace.as_ref().is_some_and(|trace| trace.failed_dtrx_trace.is_some())
        && expected.transaction.is_none()
    {
        // The block tells an error handler's transaction nowhere as a whole, but its hash says that it is the one.
        assert_eq!(found.transaction.as_ref().map(|it| it.transaction.id()), Some(found.id));
        without_handler = Some(TransactionLifecycle { transaction: None, ..found.clone() });
    }
    let found = without_handler.as_ref().or(found);
    if found != expected {
        let both = [found, expected].map(|it| it.map(|it| serde_json::to_string_pretty(it).unwrap()));
        let [found, expected] = both.map(|text| text.unwrap_or_else(|| "unknown".to_owned()));
        let line = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        panic!("{at}: {line:?}\n{}", found.chars().take(6000).collect::<String>());
    }
}
