//! `/v0/state`: rows of contract tables, ABIs, keys, links and scopes at any height, and what follows from them.
//!
//! The height, the ABI and the table of a request are resolved before the first byte of its answer; what comes then is
//! streamed.

mod abi;
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
    rows::{Form, RowOptions},
};
use axum::{
    Router,
    routing::{get, post},
};

use crate::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v0/state/abi", get(abi::get).post(abi::get))
        .route("/v0/state/abi/bin_to_json", post(abi::bin_to_json))
        .route("/v0/state/key_accounts", get(keys::key_accounts).post(keys::key_accounts))
        .route("/v0/state/permission_links", get(keys::permission_links).post(keys::permission_links))
        .route("/v0/state/table", get(table::one).post(table::one))
        .route("/v0/state/table/diff", get(difference::get).post(difference::get))
        .route("/v0/state/table/row", get(table::row).post(table::row))
        .route("/v0/state/table/row/history", get(history::get).post(history::get))
        .route("/v0/state/table_scopes", get(keys::table_scopes).post(keys::table_scopes))
        .route("/v0/state/tables/accounts", get(table::of_accounts).post(table::of_accounts))
        .route("/v0/state/tables/scopes", get(table::of_scopes).post(table::of_scopes))
        .route("/v0/tokens", get(tokens::all).post(tokens::all))
        .route("/v0/tokens/{contract}/{symbol}/holders", get(tokens::holders).post(tokens::holders))
        .route("/v0/accounts/{account}/balances", get(tokens::balances).post(tokens::balances))
        .route("/v1/history/get_key_accounts", get(keys::legacy).post(keys::legacy_json))
}
