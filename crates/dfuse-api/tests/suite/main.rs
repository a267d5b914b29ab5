//! The server from outside: requests in process, and over sockets where only those show something.
#![allow(clippy::unwrap_used)]

mod blocks;
mod chain_api;
mod connections;
mod frame;
/// What an action has, and whether a query matches it: the reference that the index is held against, too.
#[path = "../../../dfuse-search/tests/suite/naive.rs"]
mod naive;
#[path = "../../../dfuse-search/tests/suite/queries.rs"]
mod queries;
mod search;
mod state;
mod support;
mod transactions;
mod walk;
mod websocket;
