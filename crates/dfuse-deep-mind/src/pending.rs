//! What the log says before it says to which transaction or block it belongs.

use dfuse_antelope::model::{RamAction, RamNamespace, RlimitOp, TransactionTrace};

use crate::{
    creation::{CreationKind, creation_tree},
    error::Parse,
};

/// Operations that belong to the next transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    /// Only its lists of operations are used.
    pub(crate) trace: TransactionTrace,
    pub(crate) creations: Vec<(u32, CreationKind)>,
}

impl Pending {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is left of a transaction that failed: billing, and the removal of the deferred transaction that it was.
    pub(crate) fn revert(&mut self) {
        let rlimit_ops = std::mem::take(&mut self.trace.rlimit_ops);
        let removal = self.trace.ram_ops.drain(..).find(is_deferred_removal);
        self.clear();
        self.trace.rlimit_ops = rlimit_ops;
        self.trace.ram_ops.extend(removal);
    }

    /// Moves the operations into the transaction's trace.
    pub(crate) fn attach(&mut self, trace: &mut TransactionTrace) -> Parse<()> {
        trace.creation_tree = creation_tree(&mut self.creations)?;
        self.creations.clear();
        let from = &mut self.trace;
        trace.db_ops = std::mem::take(&mut from.db_ops);
        trace.dtrx_ops = std::mem::take(&mut from.dtrx_ops);
        trace.feature_ops = std::mem::take(&mut from.feature_ops);
        trace.perm_ops = std::mem::take(&mut from.perm_ops);
        trace.ram_ops = std::mem::take(&mut from.ram_ops);
        trace.ram_correction_ops = std::mem::take(&mut from.ram_correction_ops);
        trace.rlimit_ops = std::mem::take(&mut from.rlimit_ops);
        trace.table_ops = std::mem::take(&mut from.table_ops);
        Ok(())
    }
}

pub(crate) fn is_deferred_removal(op: &dfuse_antelope::model::RamOp) -> bool {
    op.namespace == RamNamespace::DeferredTrx && op.action == RamAction::Remove
}

/// What precedes the first block: it belongs to that block, and comes back if the node begins it anew.
#[derive(Debug, Clone, Default)]
pub(crate) struct Genesis {
    pub(crate) pending: Pending,
    pub(crate) rlimit_ops: Vec<RlimitOp>,
}

impl Genesis {
    /// Whether the node has made its chain just now, rather than continued one.
    pub(crate) fn is_of_chain(&self) -> bool {
        !self.rlimit_ops.is_empty()
    }
}
