//! Documents executed over recorded and synthetic chains.

mod replay;
mod streams;
mod support;
