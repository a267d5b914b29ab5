//! Traces of transactions as a block has them.

use dfuse_antelope::{
    Checksum256, Name, Result,
    model::{
        AccountRamDelta, Block, Feature, FeatureOp, SignedTransaction, Transaction, TransactionReceiptHeader,
        TransactionStatus, TransactionTrace, TrxOp, TrxOperation,
    },
    raw::Reader,
};

use crate::Trace;

const ONBLOCK: Name = Name::literal("onblock");
const ONERROR: Name = Name::literal("onerror");
const ACTIVATE: Name = Name::literal("activate");

/// Puts traces into a block; that of a failed deferred transaction stands before the one of its handler. What comes back is the RAM
/// that deferred transactions gave back or took, by trace.
pub(super) fn add(block: &mut Block, traces: Vec<Trace>) -> Vec<Option<AccountRamDelta>> {
    let mut ram = Vec::with_capacity(traces.len());
    for (position, mut trace) in traces.into_iter().enumerate() {
        if let Some(op) = implicit(&trace, position) {
            block.unfiltered_implicit_transaction_ops.push(op);
        }
        if let Some(failed) = trace.failed.take() {
            let status = TransactionStatus::SoftFail;
            let receipt = Some(TransactionReceiptHeader { status, ..TransactionReceiptHeader::default() });
            let failed_trace = TransactionTrace { receipt, ..failed.trace };
            // State history says that the handler was executed.
            if let Some(receipt) = trace.trace.receipt.as_mut().filter(|it| it.status == TransactionStatus::Executed) {
                receipt.status = TransactionStatus::SoftFail;
            }
            block.unfiltered_transaction_traces.push(failed_trace.clone());
            ram.push(failed.ram_delta.or(trace.ram_delta.take()));
            trace.trace.failed_dtrx_trace = Some(Box::new(failed_trace));
        }
        ram.push(trace.ram_delta);
        block.unfiltered_transaction_traces.push(trace.trace);
    }
    ram
}

/// What follows from the traces once all operations are in them.
pub(super) fn finish(block: &mut Block) -> Result<()> {
    features(block)?;
    let (time, number, id) = (block.header.timestamp, u64::from(block.number), block.id);
    let place = |trace: &mut TransactionTrace, index: u64| {
        trace.index = index;
        trace.block_time = time;
        trace.block_num = number;
        trace.producer_block_id = Some(id);
        for action in &mut trace.action_traces {
            action.block_num = number;
            action.block_time = time;
            action.producer_block_id = Some(id);
        }
    };
    let traces = &mut block.unfiltered_transaction_traces;
    for index in 0..traces.len() {
        place(&mut traces[index], index as u64);
        // A copy of the trace before this one, now with its operations.
        let copy = traces[index].failed_dtrx_trace.is_some().then(|| Box::new(traces[index.saturating_sub(1)].clone()));
        traces[index].failed_dtrx_trace = copy;
    }
    block.update_counts();
    Ok(())
}

/// A transaction that the chain itself made: the first of a block, and the handlers of errors.
fn implicit(trace: &Trace, position: usize) -> Option<TrxOp> {
    let action = trace.trace.action_traces.iter().find(|action| action.action_ordinal == 1)?;
    let op = |name, transaction: SignedTransaction, transaction_id: Checksum256| {
        let transaction = Some(transaction);
        Some(TrxOp { operation: TrxOperation::Create, name, transaction_id, transaction })
    };
    match (action.action.account, action.action.name) {
        (Name::EOSIO, ONBLOCK) if position == 0 && !trace.trace.scheduled => {
            op(ONBLOCK, trace.signed_transaction()?, trace.trace.id)
        }
        // Nothing but the action is known of it.
        (Name::EOSIO, ONERROR) if trace.failed.is_some() => {
            let transaction = Transaction { actions: vec![action.action.clone()], ..Transaction::default() };
            op(ONERROR, SignedTransaction { transaction, ..SignedTransaction::default() }, trace.trace.id)
        }
        _ => None,
    }
}

/// Features are activated by the header, before anything else is done, and are announced by an action.
fn features(block: &mut Block) -> Result<()> {
    let activated = block.header.activated_features()?;
    let operation = |kind: &str, action_index, digest| FeatureOp {
        kind: kind.to_owned(),
        action_index,
        feature_digest: digest,
        feature: Feature { feature_digest: digest, ..Feature::default() },
    };
    if let Some(first) = block.unfiltered_transaction_traces.first_mut() {
        for digest in activated {
            first.feature_ops.push(operation("ACTIVATE", 0, dfuse_antelope::Checksum(digest)));
        }
    }
    for trace in block.unfiltered_transaction_traces.iter_mut().filter(|trace| !trace.is_reverted()) {
        for action in &trace.action_traces {
            let is_announcement =
                (action.receiver, action.action.account, action.action.name) == (Name::EOSIO, Name::EOSIO, ACTIVATE);
            if !is_announcement || action.receipt.is_none() {
                continue;
            }
            if let Ok(digest) = Reader::new(&action.action.raw_data).checksum256() {
                trace.feature_ops.push(operation("PRE_ACTIVATE", action.execution_index, digest));
            }
        }
    }
    Ok(())
}
