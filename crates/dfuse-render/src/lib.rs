//! Chain values as dfuse JSON: rows of tables, traces and lifecycles of transactions.
//!
//! [`Renderer`] writes what a transaction did straight into a buffer. Version 1 of the models is in lifecycles, version 0 in
//! the messages of streams of actions. [`RowFormat`] and [`RowForm`] write the rows of tables. Both decode with the ABI in
//! force, which a [`dfuse_index::abi::AbiSource`] gives.
//!
//! Nothing here knows of requests, and no error here is a client's: what doesn't decode is rendered as hex, with the reason
//! where the models have a place for it.

mod block_json;
mod block_piece;
mod operations;
mod pushed;
mod renderer;
mod row;
mod row_change;
mod row_format;
mod time;
mod trace;
mod transaction;
mod tree;
mod writer;

pub use block_json::fill_json;
pub use block_piece::ActionParts;
pub use pushed::Nesting;
pub use renderer::{Renderer, first_sequence, sequence_at};
pub use row::{RenderedRow, RowRenderer};
pub use row_change::{RowChange, RowChangeForm};
pub use row_format::{RowForm, RowFormat};
pub use time::rfc3339;
pub use tree::ActionTree;
pub use writer::JsonWriter;
