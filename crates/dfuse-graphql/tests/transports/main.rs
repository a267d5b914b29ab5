//! The transports, with an executor that says what the test wants.
#![allow(clippy::unwrap_used)]

mod access;
mod contract;
mod editor;
mod http;
mod legacy;
mod support;
mod transport;
