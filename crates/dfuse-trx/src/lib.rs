//! Transactions: where each of them happened, and its lifecycle, put together from the blocks.
//!
//! [`Transactions`] is the index: for every transaction the blocks that say something of it, and what. [`Lifecycles`]
//! reads from it: first an [`Outline`], which decides from the index alone what counts and what the status is, then the
//! whole [`TransactionLifecycle`](dfuse_antelope::model::TransactionLifecycle) with what the blocks hold.
//!
//! A block on a losing branch takes nothing from a transaction that was signed by a user: it can come into another block
//! until it expires. [`ForkedTransactions`] remembers those.
//!
//! Everything here is synchronous and may block on a disk: call it from CPU threads.

mod error;
mod event;
mod feed;
mod forked;
mod index;
mod lifecycle;
mod listing;
mod outline;
mod prefix;
mod signers;
mod status;
mod undone;

pub use error::{Error, Result};
pub use event::{Event, EventKind, Outcome};
pub use feed::FeedBlocks;
pub use forked::{ForkedTransaction, ForkedTransactions};
pub use index::{TRANSACTIONS, Transactions, WAITING, events, events_in_block};
pub use lifecycle::{BlockSource, Lifecycles};
pub use listing::{BlockTransaction, block_transactions, recent_transactions};
pub use outline::{Body, OperationPlace, Outline, Place};
pub use prefix::IdPrefix;
pub use signers::Signers;
pub use status::Status;
pub use undone::lifecycle_in_block;
