//! The pipeline and its indexes, from outside.
#![allow(clippy::unwrap_used)]

mod chain;
mod histories;
mod no_space;
mod opening;
mod rebuilding;
mod recorded;
