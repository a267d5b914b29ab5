//! Everything a client sees: errors, limits, REST, WebSocket.
//!
//! ```text
//! connection -> Server::handle: trace id, CORS, errors, log -> access -> handler -> Api::read: a snapshot, off the async threads
//! ```
//!
//! A handler takes [`Params`] and the [`Api`], reads in [`Api::read`], and answers with [`ApiResult`]. Every error that it
//! raises has an [`ErrorCode`] of the one table, from which `docs/errors.md` is generated.
//!
//! | module | what |
//! |---|---|
//! | `error` | the one table of codes, and the error that is made of it; what errors of the rooms below mean to a client |
//! | `server`, `frame` | connections, and what is around every request: trace id, CORS, errors in their one form, log line, counts |
//! | `access`, `params` | who may ask; the validator of parameters, which names all that is wrong at once |
//! | `api`, `readers` | what handlers share: a snapshot read on a CPU thread, a bounded number at a time, given up when the client leaves; what streams render of a block |
//! | `streamed` | answers of any length, slice by slice |
//! | `health`, `metrics`, `readiness` | what operators ask |
//! | `rest` | the endpoints; each module has its routes |
//! | `chain_api` | `/v1/chain/*`: requests passed on to nodes, pushes with a guarantee |
//! | `websocket` | `/v1/stream`: `session` takes requests, a module each answers them, `follow` the steps of the chain, `selection` and `recent` what is made once for many, `action_history` the past |

mod access;
mod api;
mod bodies;
mod chain_api;
mod client;
mod error;
mod frame;
mod health;
mod json;
mod metrics;
pub mod params;
mod readers;
mod readiness;
mod rest;
mod secrets;
mod server;
mod streamed;
mod trace_id;
mod turns;
mod undone;
mod websocket;

pub use access::{Access, Credentials, OpenAccess};
pub use api::{Api, Chain, Options};
pub use chain_api::{ChainApiOptions, PushOptions};
pub use error::{ApiError, ApiResult, Detail, DetailType, ErrorBody, ErrorCode, GrpcStatus, Retry, Row};
pub use frame::integrity::IntegritySecret;
pub use json::{Json, JsonText};
pub use metrics::Metrics;
pub use params::Params;
pub use readers::{Class, Reading};
pub use readiness::Readiness;
pub use server::{Server, Stopping};
pub use trace_id::TraceId;
pub use websocket::{WebSocketOptions, check_stream_message, stream_message_types};
