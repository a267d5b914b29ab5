//! Transactions as clients see them: the JSON of lifecycles and traces, in both versions of the API, and the endpoints.
//!
//! [`Renderer`] writes straight into a buffer. Version 1 of the models is in lifecycles, version 0 in the messages of
//! streams of actions.

mod abis;
mod operations;
mod pushed;
mod render;
mod trace;
mod transaction;
mod tree;
mod undone;
mod writer;

pub use abis::{AbiCache, AbiSource, ViewAbis};
pub use operations::Rows;
pub use pushed::Nesting;
pub use render::Renderer;
pub use tree::ActionTree;
pub(crate) use undone::{lifecycle_in, not_found};
pub use writer::JsonWriter;
