//! The HTTP endpoints. A module has its part of the table of routes.

mod block_id;
mod blocks;
mod search;
pub(crate) mod state;
mod transactions;

use axum::{Router, middleware::from_fn_with_state, routing::get};

use crate::{Api, chain_api, frame::integrity, health, sender, websocket};

/// All routes.
pub(crate) fn router(api: Api) -> Router {
    let protected = Router::new().merge(block_id::routes()).merge(blocks::routes()).merge(transactions::routes());
    let protected = protected.merge(search::routes()).merge(state::routes());
    let protected = protected.route_layer(from_fn_with_state(api.clone(), integrity::prove));
    let protected = protected.merge(websocket::routes(&api));
    let protected = protected.route_layer(from_fn_with_state(api.clone(), sender::check));
    let open = Router::new()
        .route("/", get(health::version))
        .route("/healthz", get(health::health))
        .route("/metrics", get(health::metrics));
    // Asks for access itself, where that is wanted.
    Router::new().merge(protected).merge(open).merge(chain_api::routes()).with_state(api)
}
