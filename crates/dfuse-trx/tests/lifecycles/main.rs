//! Lifecycles at every head of recorded and of random chains, against a naive reading of the best chain's blocks.
#![allow(clippy::unwrap_used)]

mod disagreement;
mod feed;
mod histories;
mod model;
mod node;
mod recorded;
