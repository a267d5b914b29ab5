//! The HTTP endpoints. A module has its part of the table of routes.

mod block_id;
mod blocks;
mod search;
pub(crate) mod state;
mod transactions;

use axum::Router;

use crate::Api;

/// All routes.
pub(crate) fn routes() -> Router<Api> {
    let routes = Router::new().merge(block_id::routes()).merge(blocks::routes()).merge(transactions::routes());
    routes.merge(search::routes()).merge(state::routes())
}
