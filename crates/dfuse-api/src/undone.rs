//! Transactions of blocks that were undone.

use dfuse_query::{ApiError, ApiResult, ErrorCode};
use dfuse_trx::{IdPrefix, Lifecycles};

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
