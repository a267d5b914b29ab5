//! `/v0/state`: rows of contract tables, ABIs, keys, links and scopes at any height, and what follows from them.
//!
//! The height, the ABI and the table of a request are resolved before the first byte of its answer; what comes then is
//! streamed.

mod abi;
mod bin_to_json;
mod difference;
mod height;
mod history;
mod keys;
mod rows;
mod table;
mod tokens;

pub(crate) use self::height::write_coverage;
use axum::{Router, routing::MethodFilter};
use dfuse_query::Class;

use crate::{
    Api,
    answer::{both, on},
};

pub(super) fn routes() -> Router<Api> {
    use Class::{LookUp, Page, Search};
    Router::new()
        .route("/v0/state/abi", both(LookUp, abi::get))
        .route("/v0/state/abi/bin_to_json", on(MethodFilter::POST, Page, bin_to_json::post))
        .route("/v0/state/key_accounts", both(Page, keys::key_accounts))
        .route("/v0/state/permission_links", both(Page, keys::permission_links))
        .route("/v0/state/table", both(Page, table::one))
        .route("/v0/state/table/diff", both(Page, difference::get))
        .route("/v0/state/table/row", both(LookUp, table::row))
        .route("/v0/state/table/row/history", both(Page, history::get))
        .route("/v0/state/table_scopes", both(Page, keys::table_scopes))
        .route("/v0/state/tables/accounts", both(Page, table::of_accounts))
        .route("/v0/state/tables/scopes", both(Page, table::of_scopes))
        .route("/v0/tokens", both(Search, tokens::all))
        .route("/v0/tokens/{contract}/{symbol}/holders", both(Search, tokens::holders))
        .route("/v0/accounts/{account}/balances", both(Page, tokens::balances))
        .route(
            "/v1/history/get_key_accounts",
            on(MethodFilter::GET, Page, keys::legacy).merge(on(MethodFilter::POST, Page, keys::legacy_json)),
        )
}
