//! Everything a client sees over HTTP: REST, WebSocket, the node's API.
//!
//! ```text
//! connection -> Server::handle: trace id, CORS, errors, log -> sender::check -> handler -> Service::read: a snapshot, off the async threads
//! ```
//!
//! A handler takes [`Params`] and the [`Api`], reads in [`dfuse_query::Service::read`], and answers with
//! [`dfuse_query::ApiResult`]. Every error that it raises has a [`dfuse_query::ErrorCode`] of the one table, from which
//! `docs/errors.md` is generated.
//!
//! | module | what |
//! |---|---|
//! | `server`, `frame` | connections, and what is around every request: trace id, CORS, errors in their one form, log line, counts |
//! | `sender`, `params` | who asks; the validator of parameters, which names all that is wrong at once |
//! | `api`, `answer` | what handlers share; errors as responses |
//! | `streamed` | answers of any length, slice by slice |
//! | `health`, `metrics` | what operators ask |
//! | `rest` | the endpoints; each module has its routes |
//! | `chain_api` | `/v1/chain/*`: requests passed on to nodes, pushes with a guarantee |
//! | `websocket` | `/v1/stream`: `session` takes requests, a module each answers them, `follow` the steps of the chain, `selection` and `recent` what is made once for many, `action_history` the past |

pub mod answer;
mod api;
mod bodies;
mod chain_api;
mod frame;
mod health;
mod json;
mod metrics;
pub mod params;
mod rest;
mod sender;
mod server;
mod streamed;
mod undone;
mod websocket;

pub use api::{Api, Options};
pub use chain_api::{ChainApiOptions, PushOptions};
pub use frame::integrity::IntegritySecret;
pub use json::{Json, JsonText};
pub use params::Params;
pub use server::{Server, Stopping};
pub use websocket::{WebSocketOptions, check_stream_message, stream_message_types};
