//! Documents executed over recorded and synthetic chains.

mod limits;
mod replay;
mod resume;
mod schema;
mod streams;
mod support;
