//! A client of nodeos' HTTP API (`/v1/chain/...`, `/v1/producer/...` and what other plugins serve).
//!
//! [`NodeClient::call`] sends JSON and reads JSON, within a time and a size; the methods beside it are the calls that dfuse
//! itself makes, with typed answers. [`NodeClient::forward`] passes a request on as it is, bodies as streams.

mod answers;
mod client;
mod error;
pub(crate) mod transport;

pub use answers::{Info, PackedTransactionJson, ProtocolFeature, PushAnswer, Snapshot};
pub use client::{NodeClient, NodeOptions};
pub use error::{NodeDetail, NodeError, NodeErrorBody, RpcError};
pub use transport::{BoxError, NodeBody, RequestBody, empty_body, full_body};
