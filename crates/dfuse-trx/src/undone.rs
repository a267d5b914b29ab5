//! Transactions of blocks that were undone.

use dfuse_antelope::{
    Checksum256,
    model::{BlockParts, SignedTransaction, TransactionLifecycle},
};

/// The transaction of the trace at that position, from that block alone: what is to say of a block that was
/// undone. Absent if the trace is of another one.
///
/// # Errors
/// What the block has of it does not decode.
pub fn lifecycle_in_block(
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
