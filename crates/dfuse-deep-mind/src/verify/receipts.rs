//! Receipts against traces: every transaction of a block but `onblock` has a receipt.

use dfuse_antelope::{
    Name,
    model::{ActionTrace, Block, TransactionTrace},
};

use super::{Finding, Found};

const ONBLOCK: Name = Name::literal("onblock");
const ONERROR: Name = Name::literal("onerror");

pub(super) fn check(block: &Block) -> Found {
    let traces = &block.unfiltered_transaction_traces;
    let mut receipts = block.unfiltered_transactions.iter();
    for (at, trace) in traces.iter().enumerate() {
        check_place(block, at, trace)?;
        // A deferred transaction that failed shares its receipt with the handler that follows it.
        let is_handled = traces.get(at + 1).is_some_and(|next| next.failed_dtrx_trace.is_some());
        let Some(billed) = trace.receipt.as_ref().filter(|_| !is_handled && !is_onblock(block, trace)) else {
            continue;
        };
        let id = trace.failed_dtrx_trace.as_ref().map_or(trace.id, |failed| failed.id);
        let Some(receipt) = receipts.next() else {
            return Err(Finding::of(at, trace, "the block has no receipt of it"));
        };
        if receipt.id != id {
            let why = format!("the block's next receipt is of transaction {}", receipt.id);
            return Err(Finding::of(at, trace, why));
        }
        let said = (billed.status, billed.cpu_usage_micro_seconds, billed.net_usage_words);
        if said != (receipt.status, receipt.cpu_usage_micro_seconds, receipt.net_usage_words) {
            return Err(Finding::of(
                at,
                trace,
                "its status, processor time or net usage is not that of the block's receipt",
            ));
        }
    }
    check_implicit(block)?;
    match receipts.next() {
        None => Ok(()),
        Some(receipt) => Err(Finding::of_block(format!(
            "there is no trace of transaction {}, of which the block has a receipt",
            receipt.id
        ))),
    }
}

/// The trace says itself to which block it belongs.
fn check_place(block: &Block, at: usize, trace: &TransactionTrace) -> Found {
    let of_transaction = trace.block_num == u64::from(block.number) && trace.block_time == block.header.timestamp;
    let of_action = |action: &ActionTrace| {
        action.block_num == trace.block_num
            && action.block_time == trace.block_time
            && action.transaction_id == trace.id
    };
    if of_transaction && trace.action_traces.iter().all(of_action) {
        return Ok(());
    }
    Err(Finding::of(at, trace, "its block or time is not that of the block"))
}

/// Transactions of the chain itself are announced. The id of an error handler is not the one that it has.
fn check_implicit(block: &Block) -> Found {
    let (traces, ops) = (&block.unfiltered_transaction_traces, &block.unfiltered_implicit_transaction_ops);
    let mut onblocks = ops.iter().filter(|op| op.name == ONBLOCK);
    if let Some(op) = onblocks.next() {
        if traces.iter().all(|trace| trace.id != op.transaction_id) {
            return Err(Finding::of_block(format!(
                "there is no trace of transaction {}, its onblock",
                op.transaction_id
            )));
        }
        if onblocks.next().is_some() {
            return Err(Finding::of_block("its onblock is announced twice"));
        }
    }
    let handlers = traces.iter().filter(|trace| trace.failed_dtrx_trace.is_some()).count();
    let announced = ops.iter().filter(|op| op.name == ONERROR).count();
    if handlers == announced {
        return Ok(());
    }
    let why = format!("it has {handlers} error handlers of deferred transactions, but {announced} are announced");
    Err(Finding::of_block(why))
}

/// Whether a trace is that of the transaction with which the chain begins the block.
fn is_onblock(block: &Block, trace: &TransactionTrace) -> bool {
    let mut ops = block.unfiltered_implicit_transaction_ops.iter();
    ops.any(|op| op.name == ONBLOCK && op.transaction_id == trace.id)
}
