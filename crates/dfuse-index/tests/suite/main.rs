//! The pipeline and its indexes, from outside.
#![allow(clippy::unwrap_used)]

mod chain;
mod followers;
mod histories;
mod model;
mod no_space;
mod opening;
mod rebuilding;
mod recorded;
