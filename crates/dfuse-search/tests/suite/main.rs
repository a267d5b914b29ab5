//! Searches compared with a scan of all blocks that shares no code with them.
#![allow(clippy::unwrap_used)]

mod histories;
mod naive;
mod node;
mod queries;
mod rebuilding;
mod recorded;
