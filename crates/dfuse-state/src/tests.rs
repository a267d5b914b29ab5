//! Reads at every height of recorded and of random chains, against a fold of all operations.
#![allow(clippy::unwrap_used)]

mod histories;
mod loaded;
mod many_keys;
mod model;
mod node;
mod rebuilding;
mod recorded;
