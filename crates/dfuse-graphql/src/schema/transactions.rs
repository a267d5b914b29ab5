//! Lifecycles of transactions.

use std::sync::Arc;

use dfuse_antelope::Checksum256;
use dfuse_query::{ApiResult, RouteClass, transactions::by_prefix};
use dfuse_trx::IdPrefix;

use super::arguments::invalid;
use crate::{read::Request, types::TransactionLifecycle};

/// Fewest digits of an id that name a transaction.
const MIN_DIGITS: usize = 8;

/// All that is known of the transaction whose id begins so.
///
/// # Errors
/// `request_validation_error` for what is no id, or the beginning of several; those of [`by_prefix`].
pub(super) fn lifecycle(request: &Arc<Request>, id: &str, confirmations: u32) -> ApiResult<TransactionLifecycle> {
    let read = request.begin(RouteClass::LookUp)?;
    let wrong = |problem: &str| invalid("id", problem);
    if id.len() < MIN_DIGITS {
        return Err(wrong("must have at least 8 hexadecimal digits"));
    }
    let prefix = IdPrefix::from_hex(id).map_err(|error| wrong(&error.to_string()))?;
    let (view, lifecycle) = by_prefix(&read, &prefix, id, confirmations)?.map_err(|problem| wrong(&problem))?;
    request.count(1);
    Ok(TransactionLifecycle::new(request, view, lifecycle))
}

/// A whole id.
///
/// # Errors
/// `request_validation_error`.
pub(super) fn whole_id(text: &str) -> ApiResult<Checksum256> {
    let id = text.to_ascii_lowercase().parse();
    id.map_err(|_| invalid("id", "must be a whole transaction id of 64 hexadecimal digits"))
}
