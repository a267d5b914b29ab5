//! The use cases, below every surface: typed questions in, typed answers out.
//!
//! Nothing here knows HTTP, WebSocket or JSON writers. A surface parses a request, has its sender admitted, asks one use case,
//! and renders the answer or the error.
//!
//! ```text
//! request -> Service::admit: Caller -> use case -> Service::read: a snapshot, off the async threads -> answer
//! ```
//!
//! | module | what |
//! |---|---|
//! | `error` | the one table of codes, and the error that is made of it; what errors of the rooms below mean to a client |
//! | `access`, `client` | who may ask, and who is charged for it |
//! | `service` | what use cases share: the chain, limits, a snapshot read on a CPU thread |
//! | `readers` | reads by class, a bounded number at a time, given up when the client leaves |
//! | `turns`, `outbox` | streams: whose turn it is, and the memory of what waits for clients |
//! | `metrics`, `readiness` | what operators ask |
//! | `secrets`, `shorten`, `trace_id` | texts from outside without private keys in them; names of requests |

mod access;
mod client;
mod error;
mod metrics;
pub mod outbox;
mod readers;
mod readiness;
pub mod secrets;
mod service;
mod shorten;
mod trace_id;
pub mod turns;

pub use access::{Access, Asking, Caller, OpenAccess, Standing, Surface};
pub use client::Client;
pub use error::{
    ApiError, ApiResult, Detail, DetailType, ErrorBody, ErrorCode, GrpcStatus, Retry, Row, query_position,
};
pub use metrics::Metrics;
pub use readers::{Class, Reading, blocking, within};
pub use readiness::Readiness;
pub use service::{Chain, Options, Service, StreamOptions};
pub use shorten::{shorten, shorten_to};
pub use trace_id::{TraceId, TraceIds};
