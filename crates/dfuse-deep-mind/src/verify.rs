//! What a block says of itself, compared with what the lines before it say.
//!
//! A block's receipts name its transactions, its header has the merkle roots of receipts and actions, an action's digest
//! covers its content, and the RAM that an action used is in its trace as well as in its operations. So a line that is
//! missing, doubled or changed is found, with few exceptions: rows that change without changing their size, limits of
//! accounts, and features that are prepared are said once and nowhere else.
//!
//! Only what is certain for the node's software is checked. Blocks with instant finality have merkle trees of another
//! kind, whose roots stand elsewhere.

mod actions;
mod merkle;
mod operations;
mod ram;
mod receipts;

use dfuse_antelope::{
    Checksum256,
    model::{Block, TransactionStatus, TransactionTrace},
};

use crate::Software;

/// Header extension of blocks with instant finality.
const FINALITY_EXTENSION: u32 = 2;

/// What does not agree.
pub(crate) struct Finding {
    /// Position of the trace in the block, if it is one transaction's.
    pub(crate) trace: Option<usize>,
    pub(crate) why: String,
}

type Found = Result<(), Finding>;

impl Finding {
    fn of_block(why: impl Into<String>) -> Self {
        Self { trace: None, why: why.into() }
    }

    fn of(at: usize, trace: &TransactionTrace, why: impl std::fmt::Display) -> Self {
        Self { trace: Some(at), why: format!("transaction {}: {why}", trace.id) }
    }
}

/// Compares block after block.
#[derive(Default)]
pub(crate) struct Verifier {
    /// The block before; none at the beginning of a run.
    last: Option<Checksum256>,
    switched: bool,
    ram: ram::Usage,
    actions: actions::Digests,
    operations: operations::Sums,
}

impl Verifier {
    /// What follows need not continue what came before.
    pub(crate) fn begin_run(&mut self) {
        self.last = None;
        self.switched = false;
        self.ram.clear();
    }

    /// The node leaves its branch.
    pub(crate) fn switch_fork(&mut self) {
        self.switched = true;
    }

    /// Checks a complete block. `first_of_chain`: the operations of genesis are part of it. `follows`: its parent was read.
    pub(crate) fn block(&mut self, block: &Block, software: Software, first_of_chain: bool, follows: bool) -> Found {
        if self.last != Some(block.header.previous) {
            if self.last.is_some() && !follows && !self.switched {
                let why = format!("the block before it, {}, is missing", block.header.previous);
                return Err(Finding::of_block(why));
            }
            self.ram.clear();
        }
        receipts::check(block)?;
        self.actions.check(block)?;
        for (at, trace) in block.unfiltered_transaction_traces.iter().enumerate() {
            // A failure undid what the operations of a trace without a receipt say.
            let Some(receipt) = &trace.receipt else { continue };
            self.ram.check(at, trace)?;
            if receipt.status == TransactionStatus::Delayed {
                operations::check_delayed(at, trace)?;
            }
            let has_genesis = first_of_chain && at == 0;
            if !trace.is_reverted() && !has_genesis {
                self.operations.check(at, trace, software)?;
            }
        }
        operations::check_block(block)?;
        self.last = Some(block.id);
        self.switched = false;
        Ok(())
    }
}

/// Whether merkle trees and header are those of instant finality.
fn has_instant_finality(block: &Block) -> bool {
    block.header.header_extensions.iter().any(|extension| extension.r#type == FINALITY_EXTENSION)
}
