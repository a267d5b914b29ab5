//! The server from outside: requests in process, and over sockets where only those show something.
#![allow(clippy::unwrap_used)]

mod blocks;
mod chain_api;
mod connections;
mod fairness;
mod frame;
#[path = "../lifecycle/pretty.rs"]
mod pretty;
mod search;
mod state;
mod support;
mod transactions;
mod walk;
mod websocket;
