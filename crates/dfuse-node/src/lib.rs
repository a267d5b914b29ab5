//! Where blocks come from, and the node beside them.
//!
//! A [`SourceSpec`] names a place: a deep-mind log in a file or on standard input, the data directory or the address of a node with
//! the state-history plugin, an existing block store, or Firehose endpoints.
//! [`Source::open`] begins to read it in the background, [`Source::next`] hands out blocks and ABI dumps in the order of
//! the source, forks included. Every source can start again from its beginning; whoever takes the blocks knows which it
//! has.
//!
//! [`nodeos::Nodeos`] supervises nodes, and gives a source of what one of them logs. [`rpc::NodeClient`] calls the HTTP API of a
//! node.
//!
//! | module | what |
//! |---|---|
//! | `spec`, `event`, `source`, `log`, `store` | a place by name, and its blocks read in the background |
//! | `history` | the logs of a node with the state-history plugin: their `files`, what the `logs` say of each block, and the `changes` of state alone |
//! | `ship` | nodes that serve state history: `address`, the `socket` to one, and what a `session` takes from it |
//! | `kept`, `kept_state` | the rows that both compare blocks with, on disk, and where they are |
//! | `first_state`, `whole_state` | the whole state that a history begins with which began in mid-chain |
//! | `live` | machines that share a block store: the live stream of each `machine`, and what the store has |
//! | `url` | files at URLs |
//! | `queue` | what is read from a pipe and not decoded yet |
//! | [`firehose`] | endpoints of others: `client` calls one, `follow` takes blocks of several, `position` knows how far they were taken |
//! | [`nodeos`] | supervised nodes: `config` and `check` what a node is told and what is wrong with it, `process` its process, `output` its own log, `shared` what tasks of others see of it, `monitor` its state, `snapshots` and `restore` how it gets a state again, `supervisor` the task that keeps it running |
//! | [`rpc`] | the client of nodeos' HTTP API |

mod error;
mod event;
pub mod firehose;
mod first_state;
mod history;
mod kept;
mod kept_state;
mod live;
mod log;
pub mod nodeos;
mod queue;
pub mod rpc;
mod ship;
mod source;
mod spec;
mod store;
mod url;
mod whole_state;

pub use error::{Error, Result};
pub use event::{SourceEvent, SourceOptions};
pub use first_state::first_state;
pub use history::{HistoryFolders, state_changes};
pub use kept::StateLoader;
pub use kept_state::KeptState;
pub use log::{decompressed, open_log};
pub use queue::{Queue, QueueState};
pub use ship::Addresses;
pub use source::Source;
pub use spec::SourceSpec;
pub use url::open_url;
pub use whole_state::StateEvent;
