//! What a filtered chain says of itself: which filters its blocks went through, and what it cannot answer.

use dfuse_antelope::model::TransactionLifecycle;
use dfuse_index::{
    Error, View,
    block_filters::{self, AppliedFilter},
};
use dfuse_trx::Status;
use serde_json::{Map, Value};

use crate::{ApiError, ApiResult, ErrorCode, Service};

/// `details.reason` where filters left out what transactions changed.
const FILTERED_BLOCKS: &str = "filtered_blocks";

/// Whether actions are left out, by filters of blocks or by those of what is indexed for searching.
pub fn is_filtered(service: &Service) -> bool {
    searches_some(service)
        || block_filters::at(service.chain().serving.snapshot().view(), u32::MAX).is_ok_and(|filter| filter.is_some())
}

/// Whether actions are left out of the block with that number on the view's branch, or of what is searched of it.
pub fn is_filtered_at(service: &Service, view: &View, number: u32) -> bool {
    searches_some(service)
        || block_filters::at(view, number).is_ok_and(|filter| filter.is_some_and(|filter| filter.is_applied))
}

/// Whether not all actions are indexed for searching.
fn searches_some(service: &Service) -> bool {
    !service.chain().search.options().filter.passes_all()
}

/// The programs of a filter as `details` have them.
pub fn programs(filter: &AppliedFilter) -> Value {
    let named = [("include", &filter.include), ("exclude", &filter.exclude), ("system", &filter.system)];
    let named = named.into_iter().filter(|(_, text)| !text.is_empty());
    Value::Object(Map::from_iter(named.map(|(name, text)| (name.to_owned(), Value::from(text.as_str())))))
}

/// Fails where state as of that block is not known, since a filter of another program left out what transactions changed.
///
/// # Errors
/// `app_state_unavailable_error`, and those of reading.
pub(crate) fn must_have_state(view: &View, number: u32) -> ApiResult<()> {
    let filter = match block_filters::at(view, number) {
        // While that index is built, state is answered all the same.
        Err(Error::NotBuilt { .. }) => return Ok(()),
        filter => filter?,
    };
    if filter.is_none_or(|filter| !filter.lacks_state) {
        return Ok(());
    }
    let Some(first) = block_filters::all(view)?.into_iter().find(|filter| filter.lacks_state) else { return Ok(()) };
    let message = format!(
        "State at block {number} is unknown: from block {} on, blocks came filtered, without what the transactions that were left \
         out had changed.",
        first.from_block
    );
    Err(ApiError::new(ErrorCode::StateUnavailable, message)
        .detail("first_block_num", first.from_block)
        .detail("reason", FILTERED_BLOCKS)
        .detail("filter", programs(&first)))
}

/// The number of the block that executed the transaction, if a filter left its trace out.
pub(crate) fn left_out_in(lifecycle: &TransactionLifecycle) -> Option<u32> {
    let header = lifecycle.execution_block_header.as_ref().filter(|_| lifecycle.execution_trace.is_none())?;
    Some(header.previous.block_num().saturating_add(1))
}

/// What is known of a transaction, unless that is no more than that a filter left it out.
///
/// # Errors
/// `data_trx_left_out_error`, and those of reading.
pub(crate) fn known(view: &View, lifecycle: TransactionLifecycle) -> ApiResult<TransactionLifecycle> {
    let Some(number) = left_out_in(&lifecycle).filter(|_| lifecycle.transaction.is_none()) else {
        return Ok(lifecycle);
    };
    let filter = block_filters::at(view, number)?.unwrap_or_default();
    let status = Status::of(&lifecycle);
    let message = format!(
        "The transaction is in block {number} (its status is {status}), but the filter of this server left it out: nothing more is \
         known of it here."
    );
    Err(ApiError::new(ErrorCode::TransactionLeftOut, message)
        .detail("trx_id", lifecycle.id.to_string())
        .detail("block_num", number)
        .detail("status", status.as_str())
        .detail("filter", programs(&filter)))
}
