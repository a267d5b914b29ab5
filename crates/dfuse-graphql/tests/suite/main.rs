//! Documents executed over recorded and synthetic chains.
#![allow(clippy::unwrap_used)]

mod ahead;
mod costs;
mod documents;
mod enums;
mod fields;
mod follow;
mod history;
mod limits;
mod many;
mod replay;
mod resume;
mod schema;
mod state;
mod streams;
mod support;
mod unready;
