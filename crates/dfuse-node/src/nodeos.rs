//! Supervision of nodeos processes.
//!
//! [`Nodeos::start`] starts the nodes of a configuration and gives a [`Source`](crate::Source) of the blocks that one of them
//! logs. Each node has a task that starts it, asks it for its state, starts it again when it ends or hangs, and stops it in
//! the end:
//!
//! - Its standard output is drained into a bounded [`Queue`](crate::Queue) on a thread of its own and decoded on another; its
//!   own log is passed on through `tracing`.
//! - After a crash the state of a node is unusable. It is made anew: from the newest snapshot that leaves out no block which is
//!   wanted, or by executing all blocks again. Blocks that come again are known, so nothing is doubled.
//! - A node may be ahead of what was taken of its log, when this process was killed. [`Nodeos::rewind`] takes it back.
//! - Processes do not outlive this one: the operating system asks them to stop, and what still runs at the next start is ended.

mod check;
mod config;
mod monitor;
mod output;
mod process;
mod restore;
mod shared;
mod snapshots;
mod status;
mod supervisor;

pub use config::{NodeConfig, NodeosOptions};
pub use snapshots::snapshot_block;
pub use status::NodeStatus;
pub use supervisor::Nodeos;
