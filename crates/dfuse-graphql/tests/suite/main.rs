//! Documents executed over recorded and synthetic chains.
#![allow(clippy::unwrap_used)]

mod limits;
mod replay;
mod resume;
mod schema;
mod streams;
mod support;
