//! Transactions of blocks that were undone.

use dfuse_antelope::{
    Checksum256,
    model::{BlockParts, SignedTransaction, TransactionLifecycle},
};
use dfuse_trx::{IdPrefix, Lifecycles};

use crate::{ApiError, ApiResult, ErrorCode};

/// `data_trx_not_found_error` for an id, or its beginning, that is on no block of the chain; names the blocks that were undone
/// and have it. `text` is the id as the request has it.
pub(crate) fn not_found(lifecycles: &Lifecycles<'_>, id: &IdPrefix, text: &str) -> ApiResult<ApiError> {
    let blocks = lifecycles.forked_out(id)?;
    let message = match blocks.is_empty() {
        true => "No transaction of this id is known: it may be in no block yet, or have expired.",
        false => "This transaction is in no block of the chain: all blocks that had it were undone.",
    };
    let error = ApiError::new(ErrorCode::TransactionNotFound, message).detail("trx_id", text);
    if blocks.is_empty() {
        return Ok(error);
    }
    let ids: Vec<_> = blocks.iter().map(|block| block.id.to_string()).collect();
    Ok(error.detail("forked_out", ids))
}

/// The transaction of the trace at that position, from a block that was undone alone.
pub(crate) fn lifecycle_in(
    block: &BlockParts,
    position: u32,
    id: Checksum256,
) -> dfuse_antelope::Result<Option<TransactionLifecycle>> {
    let Some(trace) = block.trace(position)?.filter(|trace| trace.id == id) else { return Ok(None) };
    let ids = block.receipt_ids().collect::<dfuse_antelope::Result<Vec<_>>>()?;
    let receipt = match (0..).zip(ids).find(|(_, named)| *named == id) {
        Some((position, _)) => block.receipt(position)?,
        None => None,
    };
    let transaction = match receipt.as_ref().and_then(|receipt| receipt.packed_transaction.as_ref()) {
        Some(packed) => packed.signed_transaction().ok(),
        None => implicit(block, id)?,
    };
    Ok(Some(TransactionLifecycle {
        id,
        transaction_status: trace.receipt.as_ref().map(|receipt| receipt.status).unwrap_or_default(),
        transaction,
        transaction_receipt: receipt,
        execution_trace: Some(trace),
        execution_block_header: Some(block.header()?),
        ..TransactionLifecycle::default()
    }))
}

/// A transaction that the chain itself made in that block.
fn implicit(block: &BlockParts, id: Checksum256) -> dfuse_antelope::Result<Option<SignedTransaction>> {
    let mut position = 0;
    while let Some(op) = block.implicit_transaction_op(position)? {
        if op.transaction_id == id {
            return Ok(op.transaction);
        }
        position += 1;
    }
    Ok(None)
}
