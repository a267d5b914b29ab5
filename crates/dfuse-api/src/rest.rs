//! The HTTP endpoints. A module has its part of their table.

mod answers;
pub(crate) mod auth;
mod block_id;
mod blocks;
mod coverage;
mod parameters;
mod search;
pub(crate) mod state;
mod transactions;

use dfuse_http::Endpoint;

/// The table of endpoints.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let parts = [
        block_id::endpoints(),
        blocks::endpoints(),
        coverage::endpoints(),
        transactions::endpoints(),
        search::endpoints(),
        state::endpoints(),
    ];
    parts.into_iter().flatten().collect()
}
