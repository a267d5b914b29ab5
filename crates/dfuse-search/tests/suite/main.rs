//! Searches compared with a scan of all blocks that shares no code with them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod budgets;
mod filtered;
mod histories;
mod node;
mod rebuilding;
mod recorded;
