//! The block model: protobuf package `sf.antelope.type.v1`, with all fields and numbers (`proto/` holds the schema).
//!
//! Messages are ordinary structs whose names, ids and times are this crate's types rather than text: compact in memory,
//! ready for comparison, and read without an allocation each. [`Message`] is their wire form, `serde::Serialize` their
//! canonical JSON form. Payloads of `dfuse.eosio.codec.v1` read as well; what only that schema has is passed over.

mod accessors;
mod block;
pub mod bstream;
mod json;
mod lifecycle;
mod message;
mod operation;
mod parts;
mod trace;
mod transaction;
pub mod wire;

pub use block::*;
pub use lifecycle::*;
pub use message::{Field, Message};
pub use operation::*;
pub use parts::BlockParts;
pub use trace::*;
pub use transaction::*;
