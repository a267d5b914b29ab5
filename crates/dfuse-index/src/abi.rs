//! The history of ABIs, and those that are kept parsed.

mod cache;
mod history;
mod period;
mod source;

pub use cache::AbiCache;
pub(crate) use history::dumped_at;
pub use history::{ABIS, AbiRecord, Abis, after_block, at, at_head, changes, history, next_change};
pub(crate) use period::KeptPeriods;
pub use source::{AbiSource, KnownAbis, ViewAbis};
