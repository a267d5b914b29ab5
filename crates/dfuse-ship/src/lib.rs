//! What nodes write and send besides deep-mind logs: portable snapshots, logs of state history and of blocks, and the messages
//! of state history.
//!
//! No async, and nothing is opened: bytes come from any [`std::io::Read`], and a row at a time is held in memory. Every error
//! names the offset at which the bytes are wrong.
//!
//! ```
//! use dfuse_ship::{Snapshot, SnapshotRow};
//!
//! # fn rows(file: impl std::io::Read) -> dfuse_ship::Result<()> {
//! let mut snapshot = Snapshot::open(file)?;
//! while snapshot.next_section()?.is_some() {
//!     while let Some(row) = snapshot.next_row()? {
//!         if let SnapshotRow::Contract(row) = row {
//!             println!("{} {} {}: {}", row.code, row.scope, row.table, row.primary_key);
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | `snapshot` | the file: its `section`s, and their rows (`row`), decoded by `head`, `contracts` and `global` |
//! | `history` | the log files of state history, entry by entry |
//! | `block_log` | the block log, block by block |
//! | `protocol`, `messages` | what a node's WebSocket of state history speaks |
//! | `traces`, `creation` | what an entry of the traces' log says, and what follows from it |
//! | `deltas` | what an entry of the state's log says |
//! | `blocks` | blocks made of all of these: `transactions`, `consensus` over a `merkle` tree, compared with what a node says of `finality`, and operations on `rows`, `deferred` transactions and `resources`, from what is `known` before by `key` (`packed` where it is kept) and by the `authors` that are certain |
//! | `state`, `rows` | rows of chain state, and their packed form |
//! | `window` | decoding from a stream, of which a part is held |

mod block_log;
mod blocks;
mod creation;
mod deltas;
mod error;
mod history;
mod messages;
mod protocol;
mod rows;
mod snapshot;
mod state;
mod traces;
mod window;

pub use block_log::{BlockLog, GenesisState, LoggedBlock};
pub use blocks::{Assembler, Consensus, HistoryBlock, MemoryRows, RowChange, Rows, state_entry};
pub use deltas::{DeltaRow, Deltas, StateRow};
pub use error::{Error, Result};
pub use history::{Entry, HistoryLog, inflated};
pub use messages::{BlocksRequest, Position, Request, Response, Results, Status};
pub use protocol::Protocol;
pub use snapshot::{Head, LegacyHead, ProposedSchedule, SavannaHead, Section, Snapshot, SnapshotRow, is_snapshot};
pub use state::{
    Account, AccountMetadata, AccountSequences, Authority, Code, CodeReference, ContractRow, DeferredTimes,
    GeneratedTransaction, GlobalProperty, KeyValue, Permission, PermissionLink, ProtocolState, ResourceLimits,
    ResourceUsage, SecondaryKey, SecondaryRow, Table, UsageAccumulator,
};
pub use traces::{PartialTransaction, Trace, traces};
