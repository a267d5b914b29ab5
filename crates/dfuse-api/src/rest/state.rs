//! `/v0/state`: rows of contract tables, ABIs, keys, links and scopes at any height, and what follows from them.
//!
//! The height, the ABI and the table of a request are resolved before the first byte of its answer; what comes then is
//! streamed.

mod abi;
mod bin_to_json;
pub(crate) mod coverage;
mod cursor;
mod difference;
mod height;
mod history;
mod keys;
mod list;
mod rows;
mod table;
mod tokens;

pub(crate) use self::{
    height::{Asked, Height},
    rows::{RowOptions, lenient_form},
};
use axum::{
    Router,
    routing::{get, post},
};

use crate::{Api, Class};

pub(super) fn routes() -> Router<Api> {
    use Class::{LookUp, Page, Search};
    Router::new()
        .route("/v0/state/abi", LookUp.route(get(abi::get).post(abi::get)))
        .route("/v0/state/abi/bin_to_json", Page.route(post(bin_to_json::post)))
        .route("/v0/state/key_accounts", Page.route(get(keys::key_accounts).post(keys::key_accounts)))
        .route("/v0/state/permission_links", Page.route(get(keys::permission_links).post(keys::permission_links)))
        .route("/v0/state/table", Page.route(get(table::one).post(table::one)))
        .route("/v0/state/table/diff", Page.route(get(difference::get).post(difference::get)))
        .route("/v0/state/table/row", LookUp.route(get(table::row).post(table::row)))
        .route("/v0/state/table/row/history", Page.route(get(history::get).post(history::get)))
        .route("/v0/state/table_scopes", Page.route(get(keys::table_scopes).post(keys::table_scopes)))
        .route("/v0/state/tables/accounts", Page.route(get(table::of_accounts).post(table::of_accounts)))
        .route("/v0/state/tables/scopes", Page.route(get(table::of_scopes).post(table::of_scopes)))
        .route("/v0/tokens", Search.route(get(tokens::all).post(tokens::all)))
        .route("/v0/tokens/{contract}/{symbol}/holders", Search.route(get(tokens::holders).post(tokens::holders)))
        .route("/v0/accounts/{account}/balances", Page.route(get(tokens::balances).post(tokens::balances)))
        .route("/v1/history/get_key_accounts", Page.route(get(keys::legacy).post(keys::legacy_json)))
}
