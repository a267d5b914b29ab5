//! The server from outside: requests in process, and over sockets where only those show something.
#![allow(clippy::unwrap_used)]

mod access;
mod ahead;
mod attacks;
mod blocks;
mod chain_api;
mod connections;
mod contract;
mod documents;
mod fairness;
mod followers;
mod frame;
mod search;
mod state;
mod support;
mod surfaces;
mod tls;
mod transactions;
mod use_cases;
mod walk;
mod websocket;
