//! The feed: the one stream of blocks that everything which follows the chain subscribes to.
//!
//! ```text
//! source -> Feed::push -> one-block file -> hub -> Subscription: New, Undo, Irreversible
//!                                            |
//!                          Keeper: bundles of what is final and committed; lost blocks aside
//! ```

mod arrivals;
mod aside;
mod block;
mod faults;
mod handle;
mod history;
mod hub;
mod index;
mod keeper;
mod loss_log;
mod losses;
mod options;
mod past;
mod restore;
mod shared;
mod subscription;
mod writer;

pub use arrivals::Arrivals;
pub use block::FeedBlock;
pub use faults::Fault;
pub use handle::FeedHandle;
pub use keeper::{Committer, Keeper};
pub use losses::Losses;
pub use options::{FeedOptions, Mode, Publish};
pub use subscription::{FeedEvent, FeedStep, Next, Request, Start, Subscription};
pub use writer::Feed;

#[cfg(test)]
mod tests;
