//! Everything a client sees: errors, limits, REST, WebSocket.
//!
//! ```text
//! connection -> Server::handle: trace id, CORS, errors, log -> access -> handler -> Api::read: a snapshot, off the async threads
//! ```
//!
//! A handler takes [`Params`] and the [`Api`], reads in [`Api::read`], and answers with [`ApiResult`]. Every error that it
//! raises has an [`ErrorCode`] of the one table, from which `docs/errors.md` is generated.

mod access;
mod api;
mod chain_api;
mod error;
mod frame;
mod health;
mod json;
pub mod lifecycle;
mod metrics;
pub mod params;
mod readers;
mod readiness;
mod rest;
mod server;
mod streamed;
mod text;
mod trace_id;
mod websocket;

pub use access::{Access, Credentials, OpenAccess};
pub use api::{Api, Chain, Options};
pub use chain_api::{ChainApiOptions, PushOptions};
pub use error::{ApiError, ApiResult, Detail, DetailType, ErrorBody, ErrorCode, GrpcStatus, Retry, Row};
pub use frame::integrity::IntegritySecret;
pub use json::{Json, JsonText};
pub use metrics::Metrics;
pub use params::Params;
pub use readers::Reading;
pub use readiness::Readiness;
pub use server::{Server, Stopping};
pub use trace_id::TraceId;
pub use websocket::{WebSocketOptions, check_stream_message, stream_message_types};
